"""Odd file meta information → plain one (PS3.10 §7.1), and where the data set begins."""

from __future__ import annotations

from struct import Struct
from typing import NamedTuple

from fw_gear_deid.formats.dicom.repair.tree import Fix
from fw_gear_deid.formats.dicom.wire import EXPLICIT_LITTLE, header
from fw_gear_deid.model.dictionary import LONG_VRS, VRS, format_tag, public_vr

IMPLICIT = "file meta in implicit VR"
SECOND = "second file meta"
WORDS = (IMPLICIT, SECOND)
"""What the audit says, in the order in which they are tried: before all others."""
_LENGTH, _SYNTAX = 0x00020000, 0x00020010
_HEAD, _PLAIN = Struct("<HH2sH"), Struct("<HHL")
_LONG = frozenset(vr.encode() for vr in LONG_VRS)
_VRS = {vr.encode(): vr for vr in VRS}


class Element(NamedTuple):
    """An element of group 0002; ``explicit`` where its VR is on the wire."""

    tag: int
    vr: str
    start: int
    value: int
    stop: int
    explicit: bool


class Meta(NamedTuple):
    """Plain file meta.

    Attributes
    ----------
    data : bytes
    syntax : str
        Transfer syntax that it tells; empty where it does not.
    stop : int
        Where the data set begins.
    fixes : tuple of Fix
    """

    data: bytes
    syntax: str
    stop: int
    fixes: tuple[Fix, ...]


def read(src: bytes, start: int) -> Meta:
    """Read the file meta of a file; elements of group 0002 behind it are a second one, and go."""
    elements = _elements(src, start)
    own = _own(src, start, elements)
    others = elements[len(own) :]
    fixes = tuple(Fix(format_tag(one.tag), one.tag, one.vr, SECOND, one.stop - one.start) for one in others)
    syntax = next((src[one.value : one.stop] for one in own if one.tag == _SYNTAX), b"").decode("latin-1").strip("\0 ")
    stop = elements[-1].stop if elements else start
    data = src[start : own[-1].stop] if own else b""
    if own and not own[0].explicit:
        data = _explicit(src, own)
        fixes = (*(Fix(format_tag(one.tag), one.tag, one.vr, IMPLICIT) for one in own), *fixes)
    return Meta(data, syntax, stop, fixes)


def _elements(src: bytes, pos: int) -> list[Element]:
    found = []
    while len(src) - pos >= 8:
        group, element, code, short = _HEAD.unpack_from(src, pos)
        (length,) = _PLAIN.unpack_from(src, pos)[2:]
        tag = group << 16 | element
        explicit = code in _VRS
        vr = _VRS[code] if explicit else public_vr(tag) or "UN"
        value = pos + 8
        if explicit and code in _LONG:
            value = pos + 12
            length = int.from_bytes(src[pos + 8 : value], "little")
        elif explicit:
            length = short
        if group != 2 or value + length > len(src):
            break
        found.append(Element(tag, vr, pos, value, value + length, explicit))
        pos = value + length
    return found


def _own(src: bytes, start: int, elements: list[Element]) -> list[Element]:
    """Return those that are the file meta itself: up to its length, where others follow that it has already.

    What follows in the other encoding is none of it, either.
    """
    seen: set[int] = set()
    for at, one in enumerate(elements):
        if one.explicit != elements[0].explicit:
            return elements[:at]
        if one.tag in seen:
            told = elements[0]
            end = told.stop + int.from_bytes(src[told.value : told.stop], "little") if told.tag == _LENGTH else -1
            return [own for own in elements[:at] if own.stop <= end or end not in (other.stop for other in elements)]
        seen.add(one.tag)
    return elements


def _explicit(src: bytes, elements: list[Element]) -> bytes:
    rest = b"".join(
        header(one.tag, one.vr, EXPLICIT_LITTLE, one.stop - one.value) + src[one.value : one.stop]
        for one in elements
        if one.tag != _LENGTH
    )
    return header(_LENGTH, "UL", EXPLICIT_LITTLE, 4) + len(rest).to_bytes(4, "little") + rest
