"""Value bytes of an element ⇄ text, by VR and character set (PS3.5 §6.2, §6.1)."""

from __future__ import annotations

import struct
import warnings
from collections.abc import Sequence

from pydicom import charset
from pydicom.valuerep import PN_DELIMS, TEXT_VR_DELIMS

from fw_gear_deid.model.dictionary import CHARSET_VRS, SINGLE_TEXT_VRS, TEXT_VRS
from fw_gear_deid.model.errors import Unfit
from fw_gear_deid.model.legal import problem

NUMBERS = {
    "US": "H", "SS": "h", "UL": "L", "SL": "l", "UV": "Q", "SV": "q", "FL": "f", "FD": "d",
}  # fmt: skip


UNKNOWN = ("unknown",)
"""Codecs of a character set that pydicom does not know: ASCII can be read and written, nothing else."""


def encodings_of(raw: bytes | None) -> tuple[str, ...]:
    """Return the Python codecs of a SpecificCharacterSet value; empty when there is none."""
    names = [] if raw is None else [part.strip() for part in raw.decode("ascii", "replace").rstrip("\0 ").split("\\")]
    if not any(names):
        return ()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            return tuple(charset.convert_encodings(names))
        except (UserWarning, LookupError):
            return UNKNOWN


def decode(raw: bytes, vr: str, encodings: tuple[str, ...], *, little: bool) -> tuple[str, ...]:
    """Return the values of an element as text, one per value; padding is stripped as pydicom does.

    Raises
    ------
    Unfit
        The VR has no text, or the bytes are not in the declared character set.
    """
    if vr in TEXT_VRS:
        text = _decode_text(raw, vr, encodings)
        if vr in SINGLE_TEXT_VRS:
            return (text.rstrip("\0 "),)
        if vr in ("AE", "DS", "IS"):
            return tuple(part.strip("\0 ") for part in text.split("\\"))
        return tuple(part.rstrip("\0 ") for part in text.split("\\"))
    if vr in NUMBERS:
        form = f"{'<' if little else '>'}{NUMBERS[vr]}"
        if len(raw) % struct.calcsize(form):
            raise Unfit(f"the length of the value does not fit VR {vr}")
        return tuple(str(number) for (number,) in struct.iter_unpack(form, raw))
    if vr == "AT":
        order = "<" if little else ">"
        return tuple(f"{group:04X}{element:04X}" for group, element in struct.iter_unpack(f"{order}HH", raw))
    if vr == "UN" and not raw.strip(b"\0").translate(None, _PRINTABLE):
        return tuple(part.rstrip("\0 ") for part in raw.decode("ascii").split("\\"))
    raise Unfit(f"VR {vr} has no text that a rule could work on")


_PRINTABLE = bytes(range(0x20, 0x7F)) + b"\t\n\r"


def _decode_text(raw: bytes, vr: str, encodings: tuple[str, ...]) -> str:
    if vr not in CHARSET_VRS or not encodings:
        # the default repertoire is ASCII; bytes outside it are read as pydicom reads them
        return raw.decode("iso8859")
    if raw.isascii() and b"\x1b" not in raw and encodings[0] != "shift_jis":
        return raw.decode("ascii")
    if encodings == UNKNOWN:
        raise Unfit("(0008,0005) names a character set that is not known")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            if vr == "PN":
                return "=".join(charset.decode_bytes(part, encodings, PN_DELIMS) for part in raw.split(b"="))
            return charset.decode_bytes(raw, encodings, TEXT_VR_DELIMS)
        except (UserWarning, UnicodeError, LookupError):
            raise Unfit("the text is not in the character set that (0008,0005) declares") from None


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
        text = "\\".join(texts)
        raw = _encode_text(text, vr, encodings)
        return raw if len(raw) % 2 == 0 else raw + (b"\0" if vr in ("UI", "UN") else b" ")
    texts = [text for text in texts if text]
    if not texts:
        return b""
    order = "<" if little else ">"
    if vr == "AT":
        return b"".join(struct.pack(f"{order}HH", int(text[:4], 16), int(text[4:], 16)) for text in texts)
    if vr in ("FL", "FD"):
        return struct.pack(f"{order}{len(texts)}{NUMBERS[vr]}", *(float(text) for text in texts))
    return struct.pack(f"{order}{len(texts)}{NUMBERS[vr]}", *(int(text) for text in texts))


def _encode_text(text: str, vr: str, encodings: tuple[str, ...]) -> bytes:
    if text.isascii():
        return text.encode("ascii")
    if vr not in CHARSET_VRS or not encodings or encodings == UNKNOWN:
        raise Unfit("the new value has characters outside ASCII and the file declares no character set for them")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            if vr == "PN":
                raw = b"=".join(
                    b"^".join(charset.encode_string(part, encodings) for part in group.split("^"))
                    for group in text.split("=")
                )
            else:
                raw = charset.encode_string(text, encodings)
        except (UserWarning, UnicodeError, LookupError):
            raise Unfit("the new value cannot be written in the character set of the file") from None
    if _decode_text(raw, vr, encodings) != text:
        raise Unfit("the new value cannot be written in the character set of the file")
    return raw
