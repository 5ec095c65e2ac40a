"""Elements as they stand in a file → the DICOM JSON model (PS3.18 §F.2): what people read in the de-id log.

It loses padding, byte order and spelling; who needs the bytes keeps them beside it.
"""

from __future__ import annotations

import base64
import math
from functools import lru_cache
from hashlib import sha256
from typing import Any

from fw_gear_deid.formats.dicom import values
from fw_gear_deid.formats.dicom.level import Found, Level, Place, Want
from fw_gear_deid.formats.dicom.walk import Walker
from fw_gear_deid.formats.dicom.wire import PIXEL_TAGS, Encoding
from fw_gear_deid.model.dictionary import BINARY_VRS
from fw_gear_deid.model.errors import Unfit

MOST = 64 << 10
"""Bytes of the largest binary value that is kept; of a larger one, and of pixels, the digest."""
Element = dict[str, Any]
_REPRESENTATIONS = ("Alphabetic", "Ideographic", "Phonetic")
_REMEMBERED, _REPEATED = 256, 8 << 10  # bytes of values, and of sequences, that come again in a series


def is_by_digest(tag: int, vr: str, size: int) -> bool:
    """Tell whether of a value only the digest is kept."""
    return tag in PIXEL_TAGS or (vr in BINARY_VRS and size > MOST)


def element(tag: int, vr: str, raw: bytes, codecs: tuple[str, ...], *, little: bool) -> Element:
    """Return an element that is no sequence; not to be changed, others have it too.

    Parameters
    ----------
    codecs : tuple of str
        Text codecs of its data set.
    little : bool
        Byte order.
    """
    if is_by_digest(tag, vr, len(raw)):
        return {"vr": vr, "BulkDataURI": f"urn:sha256:{sha256(raw).hexdigest()}"}
    if len(raw) > _REMEMBERED:
        return _element(vr, raw, codecs, little)
    return _known(vr, raw, codecs, little)


def sequence(src: bytes, level: Level, one: Found, codecs: tuple[str, ...]) -> Element:
    """Return a sequence with all that is in it.

    Parameters
    ----------
    src : bytes
        What it was walked in.
    level : Level
        That holds it.
    codecs : tuple of str
        Text codecs of ``level``.
    """
    part = src[one.start : one.end]
    make = _sequence if len(part) <= _REPEATED else _sequence.__wrapped__
    return make(part, level.place.encoding, codecs)


@lru_cache(maxsize=256)
def _sequence(part: bytes, encoding: Encoding, codecs: tuple[str, ...]) -> Element:
    top = Walker(part).top(Whole(encoding), 0)
    return _element_of(part, top, top.found[0], codecs)


class Whole(Place):
    """A place where everything is wanted."""

    __slots__ = ()

    def want(self, tag: int, vr: str, wire: str) -> Want:
        """Return that it is."""
        return Want(tag, vr, wire, wanted=True)

    def below(self, tag: int, index: int, encoding: Encoding) -> Whole:
        """Return the place inside an item."""
        return Whole(encoding)


def _element_of(src: bytes, level: Level, one: Found, codecs: tuple[str, ...]) -> Element:
    if one.items is None:
        raw, little = src[one.value : one.end], level.place.encoding.little
        return element(one.want.tag, one.want.vr, raw, codecs, little=little)
    return {"vr": "SQ", "Value": [_data_set(src, item, codecs) for item in one.items]}


def _data_set(src: bytes, level: Level, above: tuple[str, ...]) -> Element:
    codecs = above if level.charset is None else values.encodings_of(level.charset)
    return {f"{one.want.tag:08X}": _element_of(src, level, one, codecs) for one in level.found}


@lru_cache(maxsize=4096)
def _known(vr: str, raw: bytes, codecs: tuple[str, ...], little: bool) -> Element:
    return _element(vr, raw, codecs, little)


def _element(vr: str, raw: bytes, codecs: tuple[str, ...], little: bool) -> Element:
    if not raw:
        return {"vr": vr}
    if vr not in BINARY_VRS:
        try:
            texts = values.decode(raw, vr, codecs, little=little)
        except Unfit:
            texts = ()
        found = [_value(text, vr) for text in texts]
        if found and not any("\0" in text for text in texts):  # which data bases refuse in JSON
            return {"vr": vr, "Value": found}
    return {"vr": vr, "InlineBinary": base64.b64encode(raw).decode()}


def _value(text: str, vr: str) -> object:
    if not text:
        return None
    if vr == "PN":
        return {name: part for name, part in zip(_REPRESENTATIONS, text.split("="), strict=False) if part}
    if vr in ("IS", "US", "SS", "UL", "SL", "UV", "SV"):
        return _as_written(text, int)
    if vr in ("DS", "FL", "FD"):
        return _as_written(text, float)
    return text


def _as_written(text: str, kind: type[int] | type[float]) -> object:
    """Return a number where it is spelt as JSON would, else its text."""
    try:
        number = kind(text)
    except ValueError:
        return text
    return number if math.isfinite(number) and repr(number) == text else text
