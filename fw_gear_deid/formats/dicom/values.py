"""Value bytes of an element ⇄ text, by VR and character set (PS3.5 §6.2, §6.1)."""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from functools import lru_cache

from fw_gear_deid.formats.dicom import iso2022
from fw_gear_deid.formats.dicom.careful import strict_pydicom
from fw_gear_deid.model.dictionary import CHARSET_VRS, SINGLE_TEXT_VRS, TEXT_VRS
from fw_gear_deid.model.errors import Unfit, Unreadable
from fw_gear_deid.model.legal import problem

NUMBERS = {
    "US": "H", "SS": "h", "UL": "L", "SL": "l", "UV": "Q", "SV": "q", "FL": "f", "FD": "d",
}  # fmt: skip


UNKNOWN = ("unknown",)
"""Codecs of a character set that is not known: ASCII can be read and written, nothing else."""

_ASCII = ("", "ISO_IR 6", "ISO 2022 IR 6")
_ALONE = ("ISO_IR 192", "GB18030", "GBK")  # know no escape sequences, PS3.5 §6.1.2.5.4
_ONE_BYTE = {
    "13": "shift_jis", "100": "latin_1", "101": "iso8859_2", "109": "iso8859_3", "110": "iso8859_4",
    "126": "iso_ir_126", "127": "iso_ir_127", "138": "iso_ir_138", "144": "iso_ir_144", "148": "iso_ir_148",
    "166": "iso_ir_166",
}  # fmt: skip
_CODECS = (
    dict.fromkeys(_ASCII, "iso8859")
    | {f"ISO_IR {number}": codec for number, codec in _ONE_BYTE.items()}
    | {f"ISO 2022 IR {number}": codec for number, codec in _ONE_BYTE.items()}
    | {
        "ISO 2022 IR 58": "iso_ir_58",
        "ISO 2022 IR 87": "iso2022_jp",
        "ISO 2022 IR 149": "euc_kr",
        "ISO 2022 IR 159": "iso2022_jp_2",
        "ISO_IR 192": "UTF8",
        "GB18030": "GB18030",
        "GBK": "GBK",
        "ISO 2022 GBK": "GBK",
        "ISO 2022 58": "GB2312",
    }
)
"""Defined term of (0008,0005) → Python's codec, under the names that pydicom gives them (PS3.3 §C.12.1.1.2)."""


_BETWEEN = str.maketrans("", "", " -_")
_OTHERWISE = {"UTF8": "ISO_IR 192", "LATIN1": "ISO_IR 100", "ISO88591": "ISO_IR 100"} | {
    term.translate(_BETWEEN): term for term in _CODECS if term
}
"""Defined terms without blanks, hyphens and underscores, and names of the same sets outside of DICOM → the terms."""


def _term(name: str) -> str:
    """Return the defined term that a name of a character set is a spelling of, else the name.

    >>> _term("iso ir-192"), _term("utf-8"), _term("WINDOWS-1252")
    ('ISO_IR 192', 'ISO_IR 192', 'WINDOWS-1252')
    """
    return _OTHERWISE.get(name.upper().translate(_BETWEEN), name)


@lru_cache(maxsize=256)  # files say it at every data set
def encodings_of(raw: bytes | None) -> tuple[str, ...]:
    """Return the Python codecs of a SpecificCharacterSet value, as people spell it; empty when there is none."""
    names = [] if raw is None else [_term(part.strip("\0 ")) for part in raw.decode("ascii", "replace").split("\\")]
    if all(name in _ASCII for name in names):
        return ()  # the default repertoire, which is ASCII: pydicom would write Latin 1
    if any(name not in _CODECS for name in names) or (len(names) > 1 and any(name in _ALONE for name in names)):
        return UNKNOWN
    return tuple(_CODECS[name] for name in names)


def decode(raw: bytes, vr: str, encodings: tuple[str, ...], *, little: bool) -> tuple[str, ...]:
    """Return the values of an element as text, one per value; padding is stripped as pydicom does.

    Raises
    ------
    Unreadable
        The VR has no text, or the bytes are not in the declared character set.
    """
    if vr in TEXT_VRS:
        return _parts(_decode_text(raw, vr, encodings), vr)
    if vr in NUMBERS:
        form = f"{'<' if little else '>'}{NUMBERS[vr]}"
        if len(raw) % struct.calcsize(form):
            raise Unreadable(f"the length of the value does not fit VR {vr}")
        return tuple(str(number) for (number,) in struct.iter_unpack(form, raw))
    if vr == "AT":
        order = "<" if little else ">"
        if len(raw) % 4:
            raise Unreadable("the length of the value does not fit VR AT")
        return tuple(f"{group:04X}{element:04X}" for group, element in struct.iter_unpack(f"{order}HH", raw))
    if vr == "UN" and not raw.strip(b"\0").translate(None, _PRINTABLE):
        return tuple(part.rstrip("\0 ") for part in raw.decode("ascii").split("\\"))
    raise Unreadable(f"VR {vr} has no text that a rule could work on")


def as_bytes(raw: bytes, vr: str) -> tuple[str, ...]:
    """Return the values of an element whose bytes are no text in the declared character set, byte by byte."""
    return _parts(raw.decode("iso8859"), vr)


def _parts(text: str, vr: str) -> tuple[str, ...]:
    if vr in SINGLE_TEXT_VRS:
        return (text.rstrip("\0 "),)
    if vr in ("AE", "DS", "IS"):
        return tuple(part.strip("\0 ") for part in text.split("\\"))
    return tuple(part.rstrip("\0 ") for part in text.split("\\"))


# What sets text back to the first character set, PS3.5 §6.1.2.5.3
_TEXT_DELIMS, _PN_DELIMS = set(b"\r\n\t\f"), set(b"^=")
# ISO 2022 IR 58, whose escape sequence pydicom neither writes nor takes out of the text
_GB2312, _GB2312_ESCAPE = "iso_ir_58", "\x1b$)A"
_NOT_AS_PYTHON = ("shift_jis", "iso2022_jp", "iso2022_jp_2")  # pydicom narrows them to what the standard allows
_PRINTABLE = bytes(range(0x20, 0x7F)) + b"\t\n\r"


def _decode_text(raw: bytes, vr: str, encodings: tuple[str, ...]) -> str:
    if vr not in CHARSET_VRS or not encodings:
        # the default repertoire is ASCII; bytes outside it are read as pydicom reads them
        return raw.decode("iso8859")
    if raw.isascii() and b"\x1b" not in raw and encodings[0] != "shift_jis":
        return raw.decode("ascii")
    if encodings == UNKNOWN:
        raise Unreadable("(0008,0005) names a character set that is not known")
    try:
        if b"\x1b" not in raw:
            return raw.decode(encodings[0])
        # not by splitting the bytes: '=' and '^' may be halves of a character in ISO 2022
        with strict_pydicom() as pydicom:
            text: str = pydicom.charset.decode_bytes(raw, encodings, _PN_DELIMS if vr == "PN" else _TEXT_DELIMS)
        return text.replace(_GB2312_ESCAPE, "") if _GB2312 in encodings else text
    except (UserWarning, UnicodeError, LookupError):
        raise Unreadable("the text is not in the character set that (0008,0005) declares") from None


def encode(texts: Sequence[str], vr: str, encodings: tuple[str, ...], *, little: bool) -> bytes:
    """Return the bytes of values, padded to even length.

    Raises
    ------
    Unfit
        A value is not legal for the VR, or not in the character set of the file.
    """
    if vr != "UN" or len(texts) != 1:
        for text in texts:
            wrong = problem(text, vr)
            if wrong:
                raise Unfit(f"the new value is {wrong}")
    if vr in TEXT_VRS or vr == "UN":
        raw = _encode_texts(texts, vr, encodings)
        return raw if len(raw) % 2 == 0 else raw + (b"\0" if vr in ("UI", "UN") else b" ")
    order = "<" if little else ">"
    try:
        return b"".join(_encode_number(text, vr, order) for text in texts if text)
    except (ValueError, OverflowError, struct.error):
        raise Unfit(f"the new value is no number that VR {vr} can hold") from None


def _encode_number(text: str, vr: str, order: str) -> bytes:
    if vr == "AT":
        return struct.pack(f"{order}HH", int(text[:4], 16), int(text[4:], 16))
    if vr not in ("FL", "FD"):
        return struct.pack(order + NUMBERS[vr], int(text))
    number = float(text)
    if not math.isfinite(number):
        raise OverflowError
    return struct.pack(order + NUMBERS[vr], number)


def _encode_texts(texts: Sequence[str], vr: str, encodings: tuple[str, ...]) -> bytes:
    text = "\\".join(texts)
    plain = vr not in CHARSET_VRS or not encodings
    if text.isascii() and (plain or "\x1b" not in text):
        return text.encode("ascii")
    if plain:
        raise Unfit("the new value has characters outside ASCII and the file declares no character set for them")
    delimiters = "=^" if vr == "PN" else ""
    try:
        # each value by itself: a backslash sets back to the first character set, PS3.5 §6.1.2.5.3
        raw = b"\\".join(_encode_text(text, encodings, delimiters) for text in texts)
        if _decode_text(raw, vr, encodings) == text and _reads_back(raw, vr, encodings, text):
            return raw
    except (UserWarning, UnicodeError, LookupError, Unfit):
        pass
    raise Unfit("the new value cannot be written in the character set of the file; use characters that it has")


def _reads_back(raw: bytes, vr: str, encodings: tuple[str, ...], text: str) -> bool:
    """Tell whether the tables of the standard read the same, where the encoder's are those of a library."""
    if len(encodings) == 1:
        return True
    delimiters = b"\\^=\r\n\t\f" if vr == "PN" else b"\\\r\n\t\f"
    return iso2022.read(raw, encodings[0], delimiters) == text


def _encode_text(text: str, encodings: tuple[str, ...], delimiters: str) -> bytes:
    if text.isascii():
        return text.encode("ascii")
    if delimiters:
        return (
            delimiters[0]
            .encode()
            .join(_encode_text(part, encodings, delimiters[1:]) for part in text.split(delimiters[0]))
        )
    if _GB2312 in encodings[1:]:
        try:
            return text.encode(encodings[0])
        except UnicodeEncodeError:
            return _GB2312_ESCAPE.encode() + text.encode(_GB2312)
    if encodings[0] == "shift_jis" and all(_is_jis_x_0201(char) for char in text):
        return text.encode("shift_jis")  # pydicom writes no Latin beside katakana
    if encodings == ("iso2022_jp",):
        return text.encode("iso2022_jp")  # pydicom sets back to Japanese, its first character set, not to ASCII
    if len(encodings) == 1 and encodings[0] not in _NOT_AS_PYTHON:
        return text.encode(encodings[0])
    with strict_pydicom() as pydicom:
        raw: bytes = pydicom.charset.encode_string(text, encodings)
    return raw


def _is_jis_x_0201(char: str) -> bool:
    return char.isascii() or "\uff61" <= char <= "\uff9f"
