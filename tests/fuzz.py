"""Mutated input, for as long as one likes: ``python -m tests.fuzz [--seconds N] [--seed N] [--only TARGET] [--keep DIR]``.

Targets: the reader of profiles, walk and check of DICOM, its repair, the check alone, archives. What must hold of every
mutant stands with its target. One that breaks it is kept in a folder, to become a vector; the exit code is 1 then.
``tests/test_fuzz.py`` tries a few of each.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import pickle
import random
import resource
import signal
import sys
import time
import warnings
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pydicom

from fw_gear_deid.deid import Context, dataset
from fw_gear_deid.deid.incoming import Incoming
from fw_gear_deid.deid.member import deidentify_member
from fw_gear_deid.formats.dicom import part10
from fw_gear_deid.keys import Keyring
from fw_gear_deid.model.errors import Unfit
from fw_gear_deid.profile.parse import parse_profile
from fw_gear_deid.profile.text.problems import ProfileError
from tests import fuzz_archives, planted
from tests.dicom_files import SYNTAXES, sample
from tests.dicom_files import part10 as built

ROOT = Path(__file__).resolve().parents[1]
SECONDS, MEMORY = 10, 3 << 30  # that one mutant may take; of addresses
RULES = """dicom:
  remove-private-tags: {private}
  recurse-sequence: true
  fields:
    - name: PatientName
      remove: true
    - name: PatientID
      replace-with: P
    - name: StudyDescription
      replace-with: NEW
"""
Verdict = Callable[[bytes], str]


class Slow(Exception):
    """A mutant took longer than it may."""


def mutated(data: bytes, draw: random.Random, words: tuple[bytes, ...]) -> bytes:
    """Return data with some of it changed, cut out, doubled, moved, or made one of some words."""
    out = bytearray(data)
    for _ in range(draw.choice((1, 1, 1, 2, 3, 5))):
        at = draw.randrange(len(out) + 1)
        if draw.random() < 0.4 and (found := out.find(draw.choice(words), at)) >= 0:
            at = max(0, found + draw.randrange(-4, 12))
        size = draw.choice((1, 1, 2, 4, 8, 12, draw.randrange(1, 200)))
        match draw.randrange(9):
            case 0:
                out[at : at + 1] = bytes([draw.randrange(256)])
            case 1:
                out[at : at + size] = draw.choice((b"\0", b"\xff", b" ")) * size
            case 2:
                del out[at : at + size]
            case 3:
                out[at:at] = out[at : at + size] * draw.choice((1, 1, 2, 50))
            case 4:
                start = draw.randrange(len(out) + 1)
                out[at : at + size] = out[start : start + size]
            case 5:
                out[at:at] = draw.choice(words)
            case 6:
                word = draw.choice(words)
                out[at : at + len(word)] = word
            case 7:
                del out[at:]
            case 8:
                number = draw.choice(
                    (0, 1, 2, 8, 0xFFFE, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFE, 0xFFFFFFFF, draw.randrange(300))
                )
                out[at : at + 4] = number.to_bytes(4, draw.choice(("little", "big")))
    return bytes(out)


# -- targets -------------------------------------------------------------------------------------------


class Profiles:
    """The reader of profiles: a profile or what is wrong with it, and the same once more."""

    words = tuple(
        word.encode() for word in (
            "dicom:", "fields:", "- name: ", "regex: ", "replace-with: ", "remove: true", "hash: true", "{{ X }}", "'", '"', "\n", "  ",
            "\t", "- ", ": ", "{", "}", "[", "]", "&a ", "*a", "<<: *a", "!!python/object:os.system ", "!!binary ", "|", ">", "#", "---\n",
            "...", "%YAML 1.1\n", "null", "~", "1e400", "0x1F", "1_000", "2020-01-01", ".inf", "9" * 400, "(0010,xx10)", '(0009,"X",01)',
            "A.*.B", ".*", "(a+)+$", "(?P<n>", "\\", "\x00", "\x85", "\u2028", "é", "\ud7ff", "date-increment: ", "salt: ", "groups: ",
            "input-regex: ", "output: ", "jitter: true", "increment-date: true", "all: true", "zip:", "flywheel:", "json:", "only-config-profiles",
        )
    )  # fmt: skip

    def __init__(self) -> None:
        self.bases = [path.read_bytes() for path in sorted((ROOT / "profiles").glob("*.yaml"))]
        cases = (ROOT / "tests" / "vectors" / "actions").glob("*.yaml")
        self.bases += [b"name: x\ndicom:\n  fields:\n    - name: PatientID\n      regex-sub:\n" + RULES.encode(), *(
            path.read_bytes()[:4000] for path in sorted(cases))]  # fmt: skip

    @staticmethod
    def verdict(data: bytes) -> str:
        text = data.decode("utf-8", "replace")
        try:
            profile = parse_profile(text, "p.yaml")
        except ProfileError as error:
            why = "".join(error.lines)
            assert 0 < len(why) < 100_000, "nobody says why, or at any length"
            return "refused"
        assert pickle.loads(pickle.dumps(profile)).sections is not None
        assert parse_profile(text, "p.yaml").rule_labels() == profile.rule_labels()
        return "read"


DICOM_WORDS = (
    b"\xfe\xff\x00\xe0", b"\xfe\xff\x0d\xe0\0\0\0\0", b"\xfe\xff\xdd\xe0\0\0\0\0", b"\xff\xff\xff\xff", b"SQ\0\0", b"UN\0\0", b"OB\0\0",
    b"PN", b"\x10\0\x10\0PN", b"\x10\0\x10\0", b"DICM", b"\2\0\x10\0UI", b"\x08\0\x05\0CS", b"\xe0\x7f\x10\0OW\0\0", b"\x09\0\x10\0LO",
    b"\xfc\xff\xfc\xff", b"1.2.840.10008.1.2\0", b"1.2.840.10008.1.2.1.99", b"\x1b$B", b"ISO_IR 192", b"ZZ^CANARY",
)  # fmt: skip


class Images:
    """Walk, rules and check of DICOM, repaired or not: refused, or a file in which another reader finds no name.

    It is also the same when it is de-identified once more, and no message tells of it.
    """

    words = DICOM_WORDS

    def __init__(self, *, odd: bool = False) -> None:
        if odd:
            from tests.test_repair import REPAIRED

            self.bases = [data for data, _ in REPAIRED.values()]
        else:
            self.bases = [built(sample(syntax), syntax) for syntax in SYNTAXES.values()]
        today = date(2026, 1, 1)
        self.contexts = [
            Context(parse_profile(RULES.format(private=word), "p.yaml"), Keyring(bytes(32)), "S", today, "strict")
            for word in ("true", "false")
        ]
        self.number = 0

    def verdict(self, data: bytes) -> str:
        self.number += 1
        ctx = self.contexts[self.number % 2]
        try:
            out = b"".join(deidentify_member(Incoming(iter([data]), len(data)), "a.dcm", ctx).pieces)
        except Unfit as error:
            planted.begin()
            planted.say("message", str(error))
            assert planted.found(None) == [], "a message tells of it"
            return "refused"
        again = b"".join(deidentify_member(Incoming(iter([out]), len(out)), "a.dcm", ctx).pieces)
        assert again == out, "it is another one when it is de-identified once more"
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                names = list(_names(pydicom.dcmread(io.BytesIO(out), force=True)))
            except Exception as error:  # noqa: BLE001 -- values may be anything, and pydicom raises what it likes
                return f"released, unread by pydicom ({type(error).__name__})"
        assert names == [], "another reader finds a name"
        return "released"


def _names(ds: pydicom.Dataset) -> Iterator[str]:
    for one in ds:
        if one.tag == 0x00100010:
            yield str(one.tag)
        if one.VR == "SQ":
            for item in one.value or ():
                yield from _names(item)


class Checks:
    """The check alone: no result passes but the one that the splices make."""

    words = DICOM_WORDS

    def __init__(self) -> None:
        section = parse_profile(RULES.format(private="true"), "p.yaml").dicom
        assert section is not None
        self.bases, self.done = [], {}
        for syntax in SYNTAXES.values():
            data = built(sample(syntax), syntax)
            edited = dataset.edit(dataset.open_file(data, section), section, lambda purpose: 0, "S", date(2026, 1, 1))
            pieces, meta = part10.write(edited.parts, edited.meta, edited.body)
            out = b"".join(pieces)
            self.bases.append(out)
            self.done[out] = edited, meta
        self.all = list(self.done.items())
        self.number = 0

    def verdict(self, data: bytes) -> str:
        self.number += 1
        for right, (edited, meta) in self.all:
            try:
                dataset.check(edited, data, meta)
            except Unfit:
                continue
            assert data == right or _deflated(data, right), "a result passes that is none"
            return "passed"
        return "refused"


def _deflated(data: bytes, right: bytes) -> bool:
    """Tell whether both are the same but for how they were deflated, and padding behind that."""
    at = 144 + int.from_bytes(right[140:144], "little")
    if SYNTAXES["deflated"].uid.encode() not in right[:at] or data[:at] != right[:at]:
        return False
    return zlib.decompressobj(-15).decompress(data[at:]) == zlib.decompressobj(-15).decompress(right[at:])


class Archives:
    """Archives of every kind: as ``tests/fuzz_archives.py`` says."""

    words = (
        b"PK\1\2",
        b"PK\3\4",
        b"PK\5\6",
        b"PK\6\6",
        b"PK\6\7",
        b"PK\7\x08",
        b"ustar",
        b"DICM",
        b"\x1f\x8b\x08",
        b"\x75\x70",
        b"../",
    )

    def __init__(self) -> None:
        self.named = fuzz_archives.bases()
        self.bases = [name.encode() + b"\0" + data for name, data in self.named.items()]

    def verdict(self, data: bytes) -> str:
        name, _, content = data.partition(b"\0")
        known = name.decode("latin-1")
        if known not in self.named:
            return "no name"
        with TemporaryDirectory() as folder:
            return fuzz_archives.verdict(known, content, Path(folder)).partition(",")[0].partition(":")[0]


TARGETS: dict[str, Callable[[], Any]] = {
    "profiles": Profiles, "images": Images, "repairs": lambda: Images(odd=True), "checks": Checks, "archives": Archives,
}  # fmt: skip


# -- the loop ------------------------------------------------------------------------------------------


@contextlib.contextmanager
def alarm(seconds: int) -> Iterator[None]:
    """Raise ``Slow`` when it takes longer."""

    def late(number: int, frame: object) -> None:
        raise Slow

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def trial(name: str, target: Any, draw: random.Random) -> tuple[bytes, str]:
    """Return a mutant, and what became of it or what is wrong with that."""
    data = mutated(draw.choice(target.bases), draw, target.words)
    try:
        with alarm(SECONDS):
            return data, target.verdict(data)
    except Slow:
        return data, f"WRONG: it takes longer than {SECONDS} seconds"
    except Exception as error:  # noqa: BLE001 -- whatever it is, it is what is looked for
        return data, f"WRONG: {type(error).__name__}: {error}"


def fuzz(seconds: float, seed: int, names: list[str], keep: Path) -> int:
    """Try mutants of some targets until the time is over; return how many were wrong."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    targets = {name: TARGETS[name]() for name in names}
    seen: Counter[str] = Counter()
    wrong = 0
    for number, name in enumerate(names):
        draw, end = random.Random(f"{seed} {name}"), time.monotonic() + seconds / len(names)
        while time.monotonic() < end:
            data, what = trial(name, targets[name], draw)
            seen[f"{name}: {what}"] += 1
            if what.startswith("WRONG"):
                wrong += 1
                keep.mkdir(exist_ok=True)
                path = keep / f"{name}-{seed}-{number}-{wrong}"
                path.write_bytes(data)
                print(f"{path}: {what}", flush=True)
    for what, count in sorted(seen.items()):
        print(f"{count:8} {what}")
    return wrong


def main() -> int:
    parser = argparse.ArgumentParser(description="mutated input for readers and checks")
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--only", choices=TARGETS, action="append")
    parser.add_argument("--keep", type=Path, default=Path("fuzz-findings"))
    asked = parser.parse_args()
    print(f"seed {asked.seed}")
    return 1 if fuzz(asked.seconds, asked.seed, asked.only or list(TARGETS), asked.keep) else 0


if __name__ == "__main__":
    sys.exit(main())
