"""Bytes of a value ⇄ its texts (TIFF 6.0 §2; Exif 2.3 §4.6 for texts with a character code).

Texts are ASCII, and UTF-8 or Latin-1 as people write them; numbers as Python does, a rational as the number that it is.
What is neither is ``<37 bytes, …>`` with the beginning of its SHA-256: equal bytes have equal texts.
"""

from __future__ import annotations

import math
import re
import struct
from fractions import Fraction
from hashlib import sha256

from fw_gear_deid.formats.tiff import names
from fw_gear_deid.formats.tiff.wire import SIZES
from fw_gear_deid.model.action import Texts
from fw_gear_deid.model.errors import Unfit

ASCII, BYTE, UNDEFINED = 2, 1, 7
RATIONALS = {5: "L", 10: "l"}
_LETTERS = {1: "B", 3: "H", 4: "L", 6: "b", 8: "h", 9: "l", 11: "f", 12: "d", 13: "L", 16: "Q", 17: "q", 18: "Q"}
_REALS = (11, 12)
WIDE = frozenset(range(40091, 40096))
"""Texts in UTF-16, as Windows writes them."""
CODED = frozenset({(names.MAIN, 37510), (names.GPS, 27), (names.GPS, 28)})
"""Texts behind eight bytes that say their character set."""
PACKETS = frozenset({700, 33723, 34377, 34675, 37724, 50839})
"""Bytes, however they are typed: XMP, IPTC, Photoshop, ICC, layers, ImageJ."""
MANY = 1024
"""Numbers of one value that are told one by one."""
_CODES = {b"ASCII\0\0\0": "", b"UNICODE\0": "utf-16", bytes(8): ""}
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_EXACT = 1e15
"""Below it a whole number is written as one."""
_INT = re.compile(r"[+-]?\d{1,20}", re.ASCII)
_REAL = re.compile(r"[+-]?\d{1,40}(?:\.\d{1,40})?(?:[eE][+-]?\d{1,3})?", re.ASCII)
_NONE = re.compile(r"[+-]?\d{1,10}/0", re.ASCII)


def texts_of(raw: bytes, kind: int, tag: names.Tag, order: str) -> Texts:
    """Return the texts of a value.

    Parameters
    ----------
    raw : bytes
    kind : int
        Type of its values.
    tag : Tag
    order : str
        Of bytes, as ``struct`` has it.
    """
    if kind == ASCII:
        parts = raw.rstrip(b"\0")
        if parts.count(0) >= MANY:
            return (f"<{parts.count(0) + 1} texts, {_digest(raw)}>",)
        return tuple(map(_letters, parts.split(b"\0")))
    if kind not in SIZES:
        return (f"<type {kind}, {raw.hex()}>",)
    if tag[1] in WIDE and kind in (BYTE, UNDEFINED):
        return (_wide(raw, "utf-16-le"),)
    if tag in CODED and kind == UNDEFINED and raw[:8] in _CODES:
        code = _CODES[raw[:8]]
        return (_wide(raw[8:], f"utf-16-{'le' if order == '<' else 'be'}") if code else _bytes(raw[8:]),)
    if kind == UNDEFINED or tag[1] in PACKETS:
        return (_bytes(raw),)
    count = len(raw) // SIZES[kind]
    if count > MANY:
        return (f"<{count} numbers, {_digest(raw)}>",)
    if kind in RATIONALS:
        numbers = struct.unpack(f"{order}{2 * count}{RATIONALS[kind]}", raw)
        return tuple(ratio(*pair) for pair in zip(numbers[::2], numbers[1::2], strict=True))
    return tuple(map(shown, struct.unpack(f"{order}{count}{_LETTERS[kind]}", raw)))


def raw_of(texts: Texts, kind: int, tag: names.Tag, order: str) -> tuple[int, bytes]:
    """Return texts as the bytes of a value, and its type.

    Raises
    ------
    Unfit
        The type cannot hold them.
    """
    if kind == ASCII:
        return kind, b"".join(_plain(text) + b"\0" for text in texts) or b"\0"
    if kind not in SIZES:
        raise Unfit("its type is none of TIFF: it can be removed, and not be changed")
    if tag[1] in WIDE and kind in (BYTE, UNDEFINED):
        return kind, (_whole(_one(texts)) + "\0").encode("utf-16-le")
    if tag in CODED and kind == UNDEFINED:
        text = _one(texts)
        if text.isascii():
            return kind, b"ASCII\0\0\0" + _plain(text)
        return kind, b"UNICODE\0" + _whole(text).encode(f"utf-16-{'le' if order == '<' else 'be'}")
    if kind == UNDEFINED or tag[1] in PACKETS:
        return kind if SIZES[kind] == 1 else UNDEFINED, _plain(_one(texts)) or b"\0"
    if kind in RATIONALS:
        return kind, b"".join(_ratio(text, RATIONALS[kind], order) for text in texts)
    return kind, b"".join(_packed(order + _LETTERS[kind], _number(text, kind)) for text in texts)


def shown(number: int | float) -> str:
    """Return a number as a text: whole ones without a point.

    >>> shown(5), shown(5.0), shown(0.1), shown(float("nan"))
    ('5', '5', '0.1', 'nan')
    """
    return str(int(number)) if abs(number) < _EXACT and number == int(number) else repr(number)


def ratio(above: int, below: int) -> str:
    """Return a rational as a number; as it stands where it is divided by nothing.

    >>> ratio(144, 2), ratio(1, 3), ratio(1, 0)
    ('72', '0.3333333333333333', '1/0')
    """
    if not below:
        return f"{above}/0"
    return shown(above / below)


def _letters(raw: bytes) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw.decode("latin-1")


def _bytes(raw: bytes) -> str:
    """Return bytes as a text where they are one."""
    plain = raw.rstrip(b"\0")
    try:
        text = plain.decode()
    except UnicodeDecodeError:
        text = "\0"
    return text if not _CONTROL.search(text) else f"<{len(raw)} bytes, {_digest(raw)}>"


def _digest(raw: bytes) -> str:
    return sha256(raw).hexdigest()[:16]


def _wide(raw: bytes, codec: str) -> str:
    if raw[:2] in (b"\xff\xfe", b"\xfe\xff"):
        codec, raw = ("utf-16-le" if raw[:1] == b"\xff" else "utf-16-be"), raw[2:]
    try:
        return raw.decode(codec).rstrip("\0")
    except UnicodeDecodeError:
        return _bytes(raw)


def _one(texts: Texts) -> str:
    if len(texts) > 1:
        raise Unfit("it is one text, and there are several")
    return "".join(texts)


def _plain(text: str) -> bytes:
    return _whole(text).encode()


def _whole(text: str) -> str:
    if "\0" in text or any("\ud800" <= letter <= "\udfff" for letter in text):
        raise Unfit("the new text has a NUL, or half a character, in it")
    return text


def _number(text: str, kind: int) -> int | float:
    if not (_REAL if kind in _REALS else _INT).fullmatch(text):
        raise Unfit(f"its type takes {'numbers' if kind in _REALS else 'whole numbers'}, and the new value is none")
    return float(text) if kind in _REALS else int(text)


def _ratio(text: str, letter: str, order: str) -> bytes:
    """Return a number as the rational that is read as the same number."""
    most = (1 << 32) - 1 if letter == "L" else (1 << 31) - 1
    if _NONE.fullmatch(text):
        above, below = int(text[:-2]), 0
    elif _REAL.fullmatch(text):
        number = Fraction(text)
        if number.denominator > most or abs(number.numerator) > most:
            number = number.limit_denominator(max(1, min(most, int(most / max(1, math.ceil(abs(number)))))))
        above, below = number.numerator, number.denominator
        if above / below != float(text):
            raise Unfit("no rational number is as exact as the new value; jitter-type int gives one that is")
    else:
        raise Unfit("its type takes numbers, and the new value is none")
    return _packed(f"{order}2{letter}", above, below)


def _packed(form: str, *numbers: int | float) -> bytes:
    try:
        return struct.pack(form, *numbers)
    except (struct.error, OverflowError):
        raise Unfit("its type has no number as large, or as small") from None
