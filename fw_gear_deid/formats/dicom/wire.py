"""How elements of a data set are written: headers, byte order, VR on the wire or not (PS3.5 §7.1)."""

from __future__ import annotations

from struct import Struct
from typing import NamedTuple

from fw_gear_deid.model import dictionary
from fw_gear_deid.model.dictionary import format_tag
from fw_gear_deid.model.errors import Unfit

UNDEFINED = 0xFFFFFFFF
PIXEL_DATA = 0x7FE00010
PIXEL_TAGS = frozenset({PIXEL_DATA, 0x7FE00008, 0x7FE00009})  # PixelData, Float-, DoubleFloatPixelData
ITEM = 0xFFFEE000
ITEM_HEADS = (b"\xfe\xff\x00\xe0", b"\xff\xfe\xe0\x00")
"""How an item begins, little endian and big endian."""
OFF_MAX = 2  # bytes by which the length of an item that hides in a value may be off
LONG = frozenset(vr.encode() for vr in dictionary.LONG_VRS)
VR_OF = {vr.encode(): vr for vr in dictionary.VRS}


class Encoding(NamedTuple):
    """How elements of a data set are written: VR on the wire or not, byte order."""

    explicit: bool
    little: bool


EXPLICIT_LITTLE = Encoding(explicit=True, little=True)
IMPLICIT_LITTLE = Encoding(explicit=False, little=True)
EXPLICIT_BIG = Encoding(explicit=True, little=False)

# tag (two halves), VR, 16-bit length · tag, 32-bit length · 32-bit length
HEAD = {True: Struct("<HH2sH"), False: Struct(">HH2sH")}
PLAIN = {True: Struct("<HHL"), False: Struct(">HHL")}
LENGTH = {True: Struct("<L"), False: Struct(">L")}


class Cut(Exception):
    """The bytes at hand end before what is needed: give more."""


def may_hide_items(tag: int, wire: str) -> bool:
    """Tell whether a value that begins like an item is one: no dictionary says that it is not."""
    unknown = dictionary.is_private(tag) or dictionary.public_vr(tag) is None
    return wire == "UN" or (wire != "SQ" and wire in dictionary.LONG_VRS and unknown and tag not in PIXEL_TAGS)


def begins_like_items(head: bytes, size: int) -> bool:
    """Tell whether a value of some length begins with an item that could be in it, or nearly: by its first 8 bytes."""
    if size < 8 or head[:4] not in ITEM_HEADS:
        return False
    (length,) = LENGTH[head[0] == 0xFE].unpack_from(head, 4)
    return bool(length == UNDEFINED or length <= size - 8 + OFF_MAX)


def is_explicit(src: bytes, pos: int, total: int, encoding: Encoding) -> bool:
    """Tell whether a data set starts with a VR on the wire, whatever its transfer syntax claims.

    Raises
    ------
    Cut
    """
    return peek(src, pos, total, encoding).explicit


def peek(src: bytes, pos: int, end: int, encoding: Encoding) -> Encoding:
    """Return how an item is really encoded: some writers change between explicit and implicit VR inside."""
    if end - pos < 8:
        return encoding
    if pos + 8 > len(src):
        raise Cut
    group, _, code, _ = HEAD[encoding.little].unpack_from(src, pos)
    if group == 0xFFFE:
        return encoding
    explicit = code in VR_OF
    if explicit and not encoding.explicit:
        # a 32-bit length such as 0x4C46 spells a VR, too: the element after must have one as well
        explicit = _has_vr_after(src, pos, end, encoding)
    return EXPLICIT_LITTLE if explicit and encoding.little else Encoding(explicit, encoding.little)


def _has_vr_after(src: bytes, pos: int, end: int, encoding: Encoding) -> bool:
    """Tell whether an element, read with its VR, is followed by another with a VR, an item or the end."""
    _, _, code, length = HEAD[encoding.little].unpack_from(src, pos)
    pos += 8
    if code in LONG:
        if end - pos < 4:
            return False
        if pos + 4 > len(src):
            raise Cut
        (length,) = LENGTH[encoding.little].unpack_from(src, pos)
        if length == UNDEFINED:
            return True
        pos += 4
    pos += length
    if end - pos < 8:
        return bool(pos == end)
    if pos + 8 > len(src):
        raise Cut
    group, _, code, _ = HEAD[encoding.little].unpack_from(src, pos)
    return group == 0xFFFE or code in VR_OF


def header(tag: int, wire: str, encoding: Encoding, length: int) -> bytes:
    """Return the header of an element: tag, VR when explicit, length (PS3.5 §7.1.2, §7.1.3).

    Raises
    ------
    Unfit
        The value is too long for a 16-bit length.
    """
    explicit, little = encoding
    if not explicit:
        return PLAIN[little].pack(tag >> 16, tag & 0xFFFF, length)
    code = wire.encode()
    if code in LONG:
        return HEAD[little].pack(tag >> 16, tag & 0xFFFF, code, 0) + LENGTH[little].pack(length)
    if length > 0xFFFE:
        raise Unfit(f"{format_tag(tag)}: the new value is too long for VR {wire}")
    return HEAD[little].pack(tag >> 16, tag & 0xFFFF, code, length)


def item_header(encoding: Encoding, length: int) -> bytes:
    """Return the header of an item (PS3.5 §7.5)."""
    return PLAIN[encoding.little].pack(ITEM >> 16, ITEM & 0xFFFF, length)
