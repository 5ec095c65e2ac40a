"""Private sequences, however they stand in a file: rules that count at every depth reach into them, or it is refused."""

from __future__ import annotations

import struct
from datetime import date

import pytest

from fw_gear_deid.deid import Context
from fw_gear_deid.deid.incoming import Incoming
from fw_gear_deid.deid.member import deidentify_member
from fw_gear_deid.keys import Keyring
from fw_gear_deid.model.errors import Unfit
from fw_gear_deid.profile.parse import parse_profile
from tests.dicom_files import IDENTITY, LONG_VRS, SYNTAXES, encode, file_meta, meta_of

NAME = b"ZZQUUXX^A "
RULES = {
    "recurse-sequence": "dicom:\n  recurse-sequence: true\n  fields:\n    - {name: PatientName, remove: true}\n",
    "path by keywords": "dicom:\n  fields:\n    - {regex: '(.*\\.)?PatientName$', remove: true}\n",
    "path by tags": "dicom:\n  fields:\n    - {regex: '(.*\\.)?00100010$', remove: true}\n",
}
PRIVATE = 0x00091001
UNDEFINED, END, ITEM_END = b"\xff\xff\xff\xff", b"\xfe\xff\xdd\xe0\0\0\0\0", b"\xfe\xff\x0d\xe0\0\0\0\0"


def implicit(tag: int, value: bytes) -> bytes:
    return struct.pack("<HHL", tag >> 16, tag & 0xFFFF, len(value)) + value


def explicit(tag: int, vr: str, value: bytes) -> bytes:
    if vr in LONG_VRS:
        return struct.pack("<HH2sHL", tag >> 16, tag & 0xFFFF, vr.encode(), 0, len(value)) + value
    return struct.pack("<HH2sH", tag >> 16, tag & 0xFFFF, vr.encode(), len(value)) + value


def endless(head: bytes, value: bytes) -> bytes:
    """Return an element or item whose length is not told, by one whose length is 0."""
    return head[:-4] + UNDEFINED + value + (ITEM_END if head[:2] == b"\xfe\xff" else END)


def item(value: bytes) -> bytes:
    return b"\xfe\xff\0\xe0" + struct.pack("<L", len(value)) + value


def deep(levels: int, *, told: bool = True) -> bytes:
    """Return a private sequence as UN with others in it, and the name in the innermost."""
    value = implicit(0x00100010, NAME)
    for level in range(levels):
        inner = level < levels - 1
        head = implicit(PRIVATE, b"") if inner else explicit(PRIVATE, "UN", b"")
        one = item(value) if told else endless(item(b""), value)
        told_length = head[:-4] + struct.pack("<L", len(one)) + one
        value = told_length if told else endless(head, one)
    return value


NAMED = implicit(0x00100010, NAME)
SHAPES = {
    **{f"{levels} deep": deep(levels) for levels in (1, 2, 63, 64, 65, 100)},
    **{f"{levels} deep, no lengths": deep(levels, told=False) for levels in (1, 2, 63, 64, 65, 100)},
    "an element twice": explicit(PRIVATE, "UN", item(NAMED + NAMED)),
    "an element twice with other bytes": explicit(PRIVATE, "UN", item(implicit(0x00081030, b"AB") + NAMED + implicit(0x00081030, b"AC"))),
    "an element of group 2": explicit(PRIVATE, "UN", item(implicit(0x00020010, b"1.2\0") + NAMED)),
    "an element of group 0": explicit(PRIVATE, "UN", item(implicit(0x00000010, b"1.2\0") + NAMED)),
    "an element twice, as SQ": explicit(PRIVATE, "SQ", item(2 * explicit(0x00100010, "PN", NAME))),
    "explicit in UN": explicit(PRIVATE, "UN", item(explicit(0x00100010, "PN", NAME))),
    "implicit in OB": explicit(PRIVATE, "OB", item(NAMED)),
    "behind an empty item": explicit(PRIVATE, "UN", item(b"") + item(NAMED)),
    "an end that is not due": explicit(PRIVATE, "UN", item(NAMED) + END),
    "a byte too many": explicit(PRIVATE, "UN", item(NAMED) + b"\0"),
    "an item that is none behind it": explicit(PRIVATE, "UN", item(NAMED) + item(b"\1\2\3\4")),
    "big endian": explicit(PRIVATE, "UN", b"\xff\xfe\xe0\0\0\0\0\x12" + struct.pack(">HHL", 16, 16, 10) + NAME),
}  # fmt: skip
REFUSED = {
    "65 deep", "100 deep", "65 deep, no lengths", "100 deep, no lengths", "an element twice with other bytes",
    "an item that is none behind it", "big endian",
}  # fmt: skip


@pytest.mark.parametrize("rules", RULES)
@pytest.mark.parametrize("shape", SHAPES)
def test_no_name_stays_below_a_private_sequence(shape: str, rules: str) -> None:
    plain = SYNTAXES["explicit"]
    creator = explicit(0x00090010, "LO", b"ACME")
    body = encode(IDENTITY[:3], plain) + creator + SHAPES[shape] + encode(IDENTITY[3:], plain)
    data = bytes(128) + b"DICM" + file_meta(meta_of(plain)) + body
    ctx = Context(parse_profile(RULES[rules], "p.yaml"), Keyring(b"k" * 32), "S", date(2026, 1, 1), "strict")
    if shape in REFUSED:
        with pytest.raises(Unfit) as caught:
            deidentify_member(Incoming(iter([data]), len(data)), "a.dcm", ctx)
        assert "QUUXX" not in str(caught.value)
        return
    out = b"".join(deidentify_member(Incoming(iter([data]), len(data)), "a.dcm", ctx).pieces)
    assert b"QUUXX" not in out and b"ACME" in out
