"""Bytes of EXIF values ⇄ texts, by type (TIFF 6.0 §2, CIPA DC-008 §4.6.2)."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from fractions import Fraction
from math import isfinite

from fw_gear_deid.formats.exif.tags import USER_COMMENT, name_of, space
from fw_gear_deid.model.action import Texts
from fw_gear_deid.model.errors import Unfit

# type → its name, and how one value is packed
TYPES = {
    1: ("BYTE", "B"), 2: ("ASCII", "c"), 3: ("SHORT", "H"), 4: ("LONG", "I"), 5: ("RATIONAL", "II"), 6: ("SBYTE", "b"),
    7: ("UNDEFINED", "c"), 8: ("SSHORT", "h"), 9: ("SLONG", "i"), 10: ("SRATIONAL", "ii"), 11: ("FLOAT", "f"),
    12: ("DOUBLE", "d"), 13: ("IFD", "I"), 129: ("UTF-8", "c"),
}  # fmt: skip
SIZES = {kind: struct.calcsize("<" + code) for kind, (_, code) in TYPES.items()}
_STRINGS, _FRACTIONS, _REALS = (2, 129), (5, 10), (11, 12)
_FEW = 16
"""So many bytes are numbers, and more of them are a package."""
_PACKAGES = frozenset({700, 33723, 34377, 34675})  # XMP, IPTC, Photoshop, ICC: of whatever type
_WIDE = range(40091, 40096)  # what a file manager writes: UTF-16, little-endian whatever the block is
_CODED = {"": (USER_COMMENT,), "GPS": (27, 28)}  # with eight bytes in front that tell the character set
_LATIN, _UNICODE, _JIS, _UNTOLD = b"ASCII\0\0\0", b"UNICODE\0", b"JIS\0\0\0\0\0", bytes(8)
_UTF16 = {"<": "utf-16-le", ">": "utf-16-be"}


def texts_of(directory: str, tag: int, kind: int, raw: bytes, order: str) -> Texts:
    """Return the texts of a value.

    Parameters
    ----------
    directory : str
    tag, kind : int
    raw : bytes
        As many as count and type say; the type is known.
    order : str
        ``<`` or ``>``, of the block.
    """
    if kind in _STRINGS:
        return tuple(_plain(one) for one in raw.rstrip(b"\0").split(b"\0"))
    if space(directory) == "" and tag in _WIDE:
        return (raw.decode("utf-16-le", "replace").rstrip("\0"),)
    if tag in _CODED.get(space(directory), ()) and raw[:8] in (_LATIN, _UNICODE, _JIS, _UNTOLD):
        return (_coded(raw[:8], raw[8:], order),)
    if kind == 7 or tag in _PACKAGES or (SIZES[kind] == 1 and len(raw) > _FEW):
        return (_plain(raw.rstrip(b"\0")),)
    return _numbers(kind, raw, order) or ("",)


def _plain(raw: bytes) -> str:
    """Return bytes as UTF-8 where they are, else letter by letter; a backslash would part several values."""
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw.decode("latin-1").replace("\\", "/")


def _coded(charset: bytes, raw: bytes, order: str) -> str:
    if charset == _UNICODE:
        return raw.decode(_UTF16[order], "replace").rstrip("\0")
    if charset == _JIS:
        return raw.rstrip(b"\0").decode("iso2022_jp", "replace")
    return _plain(raw.rstrip(b"\0"))


def _numbers(kind: int, raw: bytes, order: str) -> Texts:
    found = struct.iter_unpack(order + TYPES[kind][1], raw)
    if kind in _FRACTIONS:
        return tuple(_fraction(above, below) for above, below in found)
    return tuple(str(one) for (one,) in found)


def _fraction(above: int, below: int) -> str:
    """Return a rational as a number; as it stands there where it is none."""
    if below == 0:
        return f"{above}/0"
    return str(above // below) if above % below == 0 else str(above / below)


def raw_of(directory: str, tag: int, kind: int, texts: Texts, order: str, before: bytes = b"") -> bytes:
    """Return new texts as bytes of a type.

    Parameters
    ----------
    before : bytes
        The old value, whose character set stays.

    Raises
    ------
    Unfit
        The type cannot hold them; the message quotes none.
    """
    try:
        raw = _raw(directory, tag, kind, texts, order, before)
    except (ValueError, OverflowError, ZeroDivisionError, struct.error):
        raw = b""
    if not raw or texts_of(directory, tag, kind, raw, order) != texts:
        where = f"{directory} {name_of(directory, tag)}"
        what = f"EXIF {where} holds values of type {TYPES[kind][0]}, and the new one is none"
        raise Unfit(f"{what}: remove it instead, and set replace-with-insert to false where it may be absent")
    return raw


def _raw(directory: str, tag: int, kind: int, texts: Texts, order: str, before: bytes) -> bytes:
    if kind in _STRINGS:
        return "\0".join(texts).encode() + b"\0"
    (text,) = texts if len(texts) == 1 else ("",)
    if space(directory) == "" and tag in _WIDE:
        return text.encode("utf-16-le") + b"\0\0"
    if tag in _CODED.get(space(directory), ()):
        if text.isascii() and not before.startswith(_UNICODE):
            return _LATIN + text.encode()
        return _UNICODE + text.encode(_UTF16[order])
    if kind == 7 or tag in _PACKAGES:
        raw = text.encode() or b"\0"
        return raw + bytes(-len(raw) % SIZES[kind])
    return b"".join(_packed(kind, one, order) for one in texts)


def _packed(kind: int, text: str, order: str) -> bytes:
    code = order + TYPES[kind][1]
    if kind in _FRACTIONS:
        return struct.pack(code, *_ratio(kind, text))
    if kind in _REALS:
        return struct.pack(code, float(text))
    return struct.pack(code, int(text))


def _ratio(kind: int, text: str) -> Sequence[int]:
    """Return the nearest rational of 32 bits; whether that is the number, who reads it again finds out."""
    most = 2**31 - 1 if kind == 10 else 2**32 - 1
    above, _, below = text.partition("/")
    if below:
        return int(above), int(below)
    if not isfinite(float(text)):
        raise ValueError
    number = Fraction(text)
    within = max(1, int(most / max(Fraction(1), abs(number))))
    nearest = number.limit_denominator(min(most, within))
    return nearest.numerator, nearest.denominator
