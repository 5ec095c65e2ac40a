"""An element that goes, sequence or not → every text in it, by whatever character set it says something."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

from fw_gear_deid.formats.dicom import values
from fw_gear_deid.formats.dicom.level import CHARACTER_SET, Place, Want
from fw_gear_deid.formats.dicom.walk import Walker
from fw_gear_deid.formats.dicom.wire import Encoding
from fw_gear_deid.model.dictionary import CHARSET_VRS, TEXT_VRS
from fw_gear_deid.model.errors import Unfit

Text = tuple[str, str]
"""A text, and its VR."""


class _All(Place):
    """A place where all text is wanted."""

    __slots__ = ()

    def want(self, tag: int, vr: str, wire: str) -> Want:
        return Want(tag, vr, wire, wanted=tag == CHARACTER_SET or vr in TEXT_VRS or vr == "UN")

    def below(self, tag: int, index: int, encoding: Encoding) -> _All:
        return _All(encoding)


_REPEATS = 1 << 14  # bytes of a sequence that is remembered


def texts_in(element: bytes, encoding: Encoding, codecs: tuple[str, ...]) -> tuple[Text, ...]:
    """Return the texts below a sequence.

    Parameters
    ----------
    element : bytes
        The whole sequence.
    encoding : Encoding
    codecs : tuple of str
        Text codecs of the data set that holds it.

    Raises
    ------
    Malformed, Odd
        It cannot be read by itself: nobody knows what went with it.
    """
    return (_remembered if len(element) <= _REPEATS else _texts_in)(element, encoding, codecs)


def _texts_in(element: bytes, encoding: Encoding, codecs: tuple[str, ...]) -> tuple[Text, ...]:
    top = Walker(element).top(_All(encoding), 0)
    found: list[Text] = []
    codecs_of = {id(top): codecs}
    for level in top.levels():
        if level.parent is not None:
            inherited = codecs_of[id(level.parent)]
            codecs_of[id(level)] = inherited if level.charset is None else values.encodings_of(level.charset)
        for one in level.found:
            if one.items is None and one.want.tag != CHARACTER_SET:
                raw = element[one.value : one.end]
                found += text_of(raw, one.want.vr, codecs_of[id(level)])
    return tuple(found)


_remembered = lru_cache(maxsize=512)(_texts_in)  # the sequences of a series repeat


def text_of(raw: bytes, vr: str, codecs: tuple[str, ...]) -> Iterator[Text]:
    """Yield the text of a value; one that is not in its character set as Latin 1 has it, for others to be tried."""
    if not raw or (vr not in TEXT_VRS and vr != "UN"):
        return
    try:
        yield "\\".join(values.decode(raw, vr, codecs, little=True)), vr
    except Unfit:
        if vr in CHARSET_VRS:
            yield raw.decode("latin_1").strip("\0 "), vr
