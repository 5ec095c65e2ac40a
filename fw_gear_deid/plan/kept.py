"""What the program keeps by itself → its value as it is parsed: nothing stays behind it, or in its place.

File meta that must be there, and under remove-undefined what decodes pixels and text. No rule asked for them, so a
second value, or text behind a NUL, may not pass with them.
"""

from __future__ import annotations

import re
import struct

from fw_gear_deid.formats.dicom import values
from fw_gear_deid.model.dictionary import keyword_of

CHARACTER_SET = 0x00080005
_VERSION, _PHOTOMETRIC, _FRAMES, _ASPECT, _POINTER = 0x00020001, 0x00280004, 0x00280008, 0x00280034, 0x00280009
_UIDS = frozenset({0x00020002, 0x00020003, 0x00020010, 0x00080016, 0x00080018})
_FIRST_VERSION = b"\0\1"  # PS3.10 Table 7.1-1; what else is written there are bits as well, and no text
_UID = re.compile(rb" *([0-9.]{1,64})(?![^\0 \\])")
_WHOLE = re.compile(rb" *([+-]?[0-9]{1,12}) *")
# PS3.3 §C.7.6.3.1.2, retired ones included
_INTERPRETATIONS = frozenset(
    {
        b"MONOCHROME1", b"MONOCHROME2", b"PALETTE COLOR", b"RGB", b"HSV", b"ARGB", b"CMYK", b"YBR_FULL",
        b"YBR_FULL_422", b"YBR_PARTIAL_422", b"YBR_PARTIAL_420", b"YBR_ICT", b"YBR_RCT", b"XYB",
    }
)  # fmt: skip
# Numbers and how many bytes they have, PS3.6
_SIZES = dict.fromkeys(
    (
        0x00280002, 0x00280003, 0x00280006, 0x00280010, 0x00280011, 0x00280100, 0x00280101, 0x00280102, 0x00280103,
        0x00280106, 0x00280107, 0x00280108, 0x00280109, 0x00280110, 0x00280111, 0x00280120, 0x00280121,
    ), 2,
) | {0x00280122: 4} | dict.fromkeys((0x00281101, 0x00281102, 0x00281103, 0x00281104), 6)  # fmt: skip


def is_parsed(tag: int) -> bool:
    """Tell whether the value of an element can be told from what is not part of it."""
    return tag in _UIDS or tag in _SIZES or tag in (CHARACTER_SET, _VERSION, _PHOTOMETRIC, _FRAMES, _ASPECT, _POINTER)


def parsed(tag: int, raw: bytes, *, little: bool) -> bytes | None:
    r"""Return the value of an element as it may stay: the same bytes where there is nothing else; None for none.

    >>> parsed(0x00280004, b"MONOCHROME2\0ZZ^A", little=True)
    b'MONOCHROME2 '
    """
    if not raw.strip(b"\0 ") and tag not in _SIZES and tag != _VERSION:
        return raw
    if not raw:
        return raw
    if tag in _SIZES:
        size = _SIZES[tag]
        return None if len(raw) < size else raw[:size]
    if tag == _VERSION:
        return raw[:2] if len(raw) > 1 and max(raw[:2]) < 0x20 else _FIRST_VERSION
    if tag == _POINTER:
        return _pointers(raw, little=little)
    if tag in _UIDS:
        return uid(raw)
    text = raw.split(b"\0", 1)[0]
    match tag:
        case 0x00280004:
            own = text.split(b"\\")[0].strip(b" ")
            own = own if own in _INTERPRETATIONS else b""
        case 0x00080005:
            own = text.strip(b" ") if values.encodings_of(text) != values.UNKNOWN else b""
        case _:
            own = _numbers(text, 1 if tag == _FRAMES else 2)
    return _padded(own, raw, b" ") if own else None


def uid(raw: bytes) -> bytes | None:
    """Return a UID that stands at the beginning of a value, padded; None where none does."""
    found = _UID.match(raw)
    return _padded(found[1], raw, b"\0") if found else None


def _numbers(text: bytes, count: int) -> bytes:
    found = [_WHOLE.fullmatch(part) for part in text.split(b"\\")[:count]]
    return b"\\".join(one[1] for one in found if one) if all(found) else b""


def _pointers(raw: bytes, *, little: bool) -> bytes | None:
    """Return the tags of an AT value; None where one is of no element."""
    whole = raw[: len(raw) // 4 * 4]
    tags = (group << 16 | element for group, element in struct.iter_unpack("<HH" if little else ">HH", whole))
    return whole if whole and all(map(keyword_of, tags)) else None


def _padded(own: bytes, raw: bytes, padding: bytes) -> bytes:
    if raw.strip(b"\0 ").replace(b" \\", b"\\").replace(b"\\ ", b"\\") == own:
        return raw
    return own + padding * (len(own) % 2)
