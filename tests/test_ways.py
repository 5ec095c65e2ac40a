"""What can be read in two ways is not released; what is, three readers find the same elements in."""

from __future__ import annotations

import struct
from datetime import date
from pathlib import Path

import pytest

from fw_gear_deid.deid import Context
from fw_gear_deid.deid.incoming import Incoming
from fw_gear_deid.deid.member import deidentify_member
from fw_gear_deid.keys import Keyring
from fw_gear_deid.model.errors import Unfit
from fw_gear_deid.profile.parse import parse_profile
from tests.dicom_files import IDENTITY, LONG_VRS, SYNTAXES, encode, file_meta, meta_of, part10, sample
from tests.elements import by_dcmdump, by_pydicom, ours
from tests.test_dicom_oracle import CORPUS
from tests.test_hidden_sequences import END, NAMED, UNDEFINED, endless, explicit, implicit, item
from tests.test_readers import program

RULES = "dicom:\n  recurse-sequence: true\n  fields:\n    - {name: PatientName, remove: true}\n"
SEQUENCE = 0x00081140
IMPLICIT, EXPLICIT = SYNTAXES["implicit"], SYNTAXES["explicit"]


def deid(data: bytes, rules: str = RULES) -> bytes:
    ctx = Context(parse_profile(rules, "p.yaml"), Keyring(b"k" * 32), "S", date(2026, 1, 1), "strict")
    return b"".join(deidentify_member(Incoming(iter([data]), len(data)), "a.dcm", ctx).pieces)


def twofold(vr: str, *, whole: bool = True) -> bytes:
    """Return elements in implicit VR, a name among them, the first of a length that spells a VR.

    With VR it is empty, and one other element holds all that follows; or there is none, and it makes no sense.
    """
    length = int.from_bytes(vr.encode(), "little")
    head = struct.pack("<L", 0) if vr in LONG_VRS else b""
    if whole:
        head += struct.pack("<HH2sHL", 0x0009, 0x1002, b"OB", 0, length - len(head) - 12 + len(NAMED))
    return struct.pack("<HHL", 0x0008, 0x1030, length) + head.ljust(length, b"\0") + NAMED


def around(kind: str, level: bytes) -> bytes:
    """Return a file that holds a data set at its top or in an item."""
    if kind == "top":
        return bytes(128) + b"DICM" + file_meta(meta_of(IMPLICIT)) + level
    syntax = IMPLICIT if kind == "implicit" else EXPLICIT
    held = {
        "implicit": lambda: implicit(SEQUENCE, item(level)),
        "implicit, no lengths": lambda: endless(implicit(SEQUENCE, b""), endless(item(b""), level)),
        "explicit": lambda: explicit(SEQUENCE, "SQ", item(level)),
        "UN": lambda: explicit(SEQUENCE, "UN", item(level)),
        "UN, no length": lambda: endless(explicit(SEQUENCE, "UN", b""), item(level)),
        "private UN": lambda: explicit(0x00090010, "LO", b"ACME") + explicit(0x00091001, "UN", item(level)),
    }[kind]()
    syntax = IMPLICIT if kind.startswith("implicit") else syntax
    body = encode(IDENTITY[:3], syntax) + held + encode(IDENTITY[3:], syntax)
    return bytes(128) + b"DICM" + file_meta(meta_of(syntax)) + body


KINDS = ("top", "implicit", "implicit, no lengths", "explicit", "UN", "UN, no length", "private UN")


@pytest.mark.parametrize("vr", ["PN", "LO", "CS", "UI", "OB", "UN", "SQ"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_length_that_spells_a_vr_hides_nothing(kind: str, vr: str) -> None:
    """Read with VR, the name is part of another value; without, it is PatientName."""
    with pytest.raises(Unfit, match="can be read in two ways, with and without VR") as caught:
        deid(around(kind, twofold(vr)))
    assert "QUUXX" not in str(caught.value)


@pytest.mark.parametrize("kind", ["implicit", "implicit, no lengths", "UN"])
@pytest.mark.parametrize("vr", ["PN", "OB"])
def test_such_a_length_alone_is_none(kind: str, vr: str) -> None:
    """One way leads nowhere: the other one counts, and the name goes."""
    out = deid(around(kind, twofold(vr, whole=False)))
    assert b"QUUXX" not in out and by_pydicom(out) == ours(out)


def test_who_reads_until_nothing_makes_sense_has_seen_too_much() -> None:
    """With VR all fits; without, a name stands there before the bytes make no sense."""
    length = int.from_bytes(b"OB", "little")
    behind = NAMED + b"\xff" * 9
    level = struct.pack("<HHLL", 0x0008, 0x1030, length, length - 4 + len(behind)) + bytes(length - 4) + behind
    with pytest.raises(Unfit, match="two ways"):
        deid(around("implicit", level))


PLAIN = {
    **{name: part10(sample(syntax), syntax) for name, syntax in SYNTAXES.items() if name != "deflated"},
    "nested ends": around("explicit", explicit(0x00081140, "SQ", endless(item(b""), explicit(0x00100010, "PN", b"A^B ")))),
    "an end inside of a value": around("explicit", explicit(0x00081030, "LO", END)),
    "an item inside of a value": around("explicit", explicit(0x00081030, "LO", item(b"")[:8])),
    "no length, empty": around("explicit", explicit(0x00081140, "SQ", b"")[:-4] + UNDEFINED + END),
    "odd length": around("explicit", explicit(0x00081030, "LO", b"abc")),
}  # fmt: skip


@pytest.mark.parametrize("name", PLAIN)
def test_three_readers_find_the_same(name: str, tmp_path: Path) -> None:
    out = deid(PLAIN[name])
    (tmp_path / "x.dcm").write_bytes(out)
    assert name == "big" or ours(out) == by_pydicom(out)  # which reads no sequence without a length there
    assert ours(out) == by_dcmdump(program("dcmdump"), tmp_path / "x.dcm")


ODD = {
    "explicit_said_implicit.dcm", "implicit_said_explicit.dcm", "private_ge_ts.dcm",  # dcmdump gives up
    "fo-dicom__GH177_D_CLUNIE_CT1_IVRLE_BigEndian_undefined_length.dcm", "is_ds_garbage.dcm",  # pydicom does
}  # fmt: skip
FILES = sorted(
    path for folder in ("dicom", "hostile", "hostile_built") for path in (CORPUS / folder).rglob("*") if path.is_file()
)


@pytest.mark.skipif(not FILES, reason="no corpus beside the checkout (../shared/corpus)")
@pytest.mark.parametrize("part", range(4))
def test_real_and_hostile_files_are_read_alike_by_three(part: int, tmp_path: Path) -> None:
    """Whatever is released of them; at least 300 are."""
    dcmdump, released = program("dcmdump"), 0
    rules = "dicom:\n  fields:\n    - {name: PatientName, replace-with: X}\n    - {name: PatientID, remove: true}\n"
    for path in FILES[part::4]:
        data = path.read_bytes()
        if data[128:132] != b"DICM" or len(data) > 8 << 20:
            continue
        try:
            out = deid(data, rules)
        except Unfit as error:
            assert "two ways" not in str(error), path.name  # noqa: PT017 -- most may be refused, not for this
            continue
        released += 1
        (tmp_path / "x.dcm").write_bytes(out)
        found = ours(out)
        if path.name not in ODD:
            assert by_pydicom(out) == found, path.name
            assert by_dcmdump(dcmdump, tmp_path / "x.dcm") == found, path.name
    assert released >= 70
