"""Mutated archives, for as long as one likes: ``python -m tests.fuzz_archives SECONDS [SEED]``.

What must hold of every one: released, left out or refused and nothing else; no planted name in a result; no member of
the original missing from a result that tells of nothing left out.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import random
import sys
import tarfile
import time
import zipfile
from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory

from fw_gear_deid.deid import Context, Result, deidentify
from fw_gear_deid.keys import Keyring
from fw_gear_deid.model.errors import Unfit
from fw_gear_deid.model.outcome import Skipped
from fw_gear_deid.profile.parse import parse_profile
from fw_gear_deid.sample import MARKER
from tests.desk import PROFILE, instance, packed, plain

COUNT = 3
# the planted name stands around the images, not in them: what a mutant makes of an image is not the archive's business
MEMBERS = {f"a/{number}": instance(number=number, PatientName="Other^One") for number in range(COUNT)}
UNCHECKED = ".tar"  # nothing tells that blocks were taken out of a plain tar archive, or zeros put in
CONTEXT = Context(parse_profile(PROFILE, "p.yaml"), Keyring(b"k" * 32), "S", date(2026, 1, 1), "strict")


def tarred(members: Mapping[str, bytes | tarfile.TarInfo], form: int = tarfile.PAX_FORMAT) -> bytes:
    """Return a tar archive with an owner and a time of somebody."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=form) as archive:
        for name, data in members.items():
            info = data if isinstance(data, tarfile.TarInfo) else tarfile.TarInfo(name)
            info.name, info.uname, info.gname, info.mtime = name, f"dr_{MARKER}", "radiology", 1583200000.5
            if isinstance(data, tarfile.TarInfo):
                archive.addfile(data)
            else:
                info.size = len(data)
                archive.addfile(info, io.BytesIO(data))
    return stream.getvalue()


def bases() -> dict[str, bytes]:
    """Return whole archives of the same members by name."""
    tars = {form: tarred(MEMBERS, form) for form in (tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT)}
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.comment = MARKER.encode()
        for name, data in MEMBERS.items():
            with archive.open(name, "w", force_zip64=True) as member:
                member.write(data)
    return {
        "deflated.zip": packed(MEMBERS),
        "stored.zip": packed(MEMBERS, zipfile.ZIP_STORED),
        "lzma.zip": packed(MEMBERS, zipfile.ZIP_LZMA),
        "zip64.zip": stream.getvalue(),
        "ustar.tar": tars[tarfile.USTAR_FORMAT],
        "gnu.tar": tars[tarfile.GNU_FORMAT],
        "pax.tar": tars[tarfile.PAX_FORMAT],
        "x.tgz": gzip.compress(tars[tarfile.PAX_FORMAT]),
        "x.tar.bz2": bz2.compress(tars[tarfile.GNU_FORMAT]),
        "x.tar.xz": lzma.compress(tars[tarfile.USTAR_FORMAT]),
    }


def mutants(data: bytes, draw: random.Random) -> Iterator[bytes]:
    """Yield variants without end: bits and runs changed, cut out, doubled, moved, made zero, cut off."""
    marks = [b"PK\1\2", b"PK\3\4", b"PK\5\6", b"ustar", b"DICM", b"\x1f\x8b"]
    while True:
        out = bytearray(data)
        for _ in range(draw.choice((1, 1, 1, 2, 3))):
            mark = draw.choice(marks)
            found = out.find(mark, draw.randrange(len(out))) if draw.random() < 0.5 else -1
            at = max(0, found + draw.randrange(-8, 60)) if found >= 0 else draw.randrange(len(out))
            size = draw.choice((1, 2, 4, 16, 46, 512, draw.randrange(1, 2000)))
            match draw.randrange(9):
                case 0:
                    out[at : at + 1] = bytes([draw.randrange(256)])
                case 1:
                    out[at : at + size] = bytes(len(out[at : at + size]))
                case 2:
                    del out[at : at + size]
                case 3:
                    out[at:at] = out[at : at + size]
                case 4:
                    start = draw.randrange(len(out))
                    out[at : at + size] = out[start : start + len(out[at : at + size])]
                case 5:
                    out[at:at] = draw.randbytes(size)
                case 6:
                    del out[at:]
                case 7:
                    out += draw.choice((out[:at], bytes(out), draw.randbytes(size), bytes(size)))
                case 8:
                    out[at : at + 4] = draw.choice(
                        (b"\xff" * 4, bytes(4), b"\0\0\0\x80", (len(out) // 2).to_bytes(4, "little"))
                    )
            if not out:
                out = bytearray(data[:1])
        yield bytes(out)


def verdict(name: str, data: bytes, folder: Path) -> str:
    """De-identify a mutant and return what became of it; AssertionError when it leaks or loses a member in silence."""
    source, out = folder / "source", folder / "result"
    source.write_bytes(data)
    try:
        done: Result | Skipped | str = deidentify(source, name, CONTEXT, out)
    except Unfit as error:
        done = str(error)
    if isinstance(done, str):
        assert MARKER not in done, "a message quotes a name"
        return "refused"
    if isinstance(done, Skipped):
        return f"skipped: {done.reason}"
    assert isinstance(done, Result)
    assert MARKER.encode() not in plain(out.read_bytes()), "the name is in the result"
    kept = done.released.members >= COUNT or done.released.reason or name.endswith(UNCHECKED)
    assert kept, "a member is lost in silence"
    return f"released, {done.released.reason}" if done.released.reason else "released"


def main(seconds: float, seed: int) -> None:
    """Try mutants until the time is over; keep those that fail beside this program's working folder."""
    draw = random.Random(seed)
    streams = {name: mutants(data, draw) for name, data in bases().items()}
    seen: Counter[str] = Counter()
    began = time.monotonic()
    with TemporaryDirectory() as folder:
        while time.monotonic() - began < seconds:
            name = draw.choice(list(streams))
            data = next(streams[name])
            try:
                seen[verdict(name, data, Path(folder))] += 1
            except Exception as error:  # noqa: BLE001 -- whatever it is, it is what is looked for
                kept = Path(f"failing-{seed}-{sum(seen.values())}-{name}")
                kept.write_bytes(data)
                print(f"{kept}: {type(error).__name__}: {error}")
                seen["FAILED"] += 1
    for what, count in seen.most_common():
        print(f"{count:8} {what}")


if __name__ == "__main__":
    main(float(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 1)
