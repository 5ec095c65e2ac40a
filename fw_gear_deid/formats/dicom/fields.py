"""Elements of a data set's top level → their texts: what names, labels and people go by."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from fw_gear_deid.formats.dicom import values
from fw_gear_deid.formats.dicom.level import Level, Place, Want
from fw_gear_deid.formats.dicom.wire import Encoding
from fw_gear_deid.model.dictionary import format_tag
from fw_gear_deid.model.errors import Unfit


@dataclass(frozen=True, slots=True)
class Fields:
    """Values of some elements of the top level.

    Attributes
    ----------
    raws : mapping
        Tag → value bytes and VR, of those that are there and no sequences.
    encodings : tuple of str
        Text codecs of the data set.
    little : bool
        Byte order.
    """

    raws: Mapping[int, tuple[bytes, str]]
    encodings: tuple[str, ...]
    little: bool = True

    def raw(self, tag: int) -> bytes | None:
        """Return the value bytes of an element, None when it is absent."""
        found = self.raws.get(tag)
        return None if found is None else found[0]

    def texts(self, tag: int) -> tuple[str, ...]:
        """Return the values of an element as text, none when it is absent.

        Raises
        ------
        Unfit
            There is no text in it, or not one that can be read.
        """
        found = self.raws.get(tag)
        if found is None:
            return ()
        raw, vr = found
        try:
            return _texts(raw, vr, self.encodings, self.little)
        except Unfit as error:
            raise Unfit(f"{format_tag(tag)} {vr}: {error}") from None

    def text(self, tag: int) -> str:
        """Return the values of an element joined by ``,``; empty when absent."""
        return ",".join(self.texts(tag))


@lru_cache(maxsize=256)  # files of one series say the same
def _texts(raw: bytes, vr: str, encodings: tuple[str, ...], little: bool) -> tuple[str, ...]:
    return values.decode(raw, vr, encodings, little=little)


def fields_of(src: bytes, level: Level, tags: frozenset[int]) -> Fields:
    """Return what a walked top level says of some elements."""
    raws = {
        one.want.tag: (src[one.value : one.end], one.want.vr)
        for one in level.found
        if one.items is None and one.want.tag in tags
    }
    return Fields(raws, values.encodings_of(level.charset), level.place.encoding.little)


class Watch(Place):
    """A top level at which some elements are looked at, and nothing else."""

    __slots__ = ("_tags",)

    def __init__(self, encoding: Encoding, tags: frozenset[int]) -> None:
        super().__init__(encoding)
        self._tags = tags

    def want(self, tag: int, vr: str, wire: str) -> Want:
        """Return whether an element is watched."""
        return Want(tag, vr, wire, wanted=tag in self._tags)

    def below(self, tag: int, index: int, encoding: Encoding) -> Watch:
        """Return a place inside an item: nothing is watched there."""
        return watch(encoding, frozenset())


@lru_cache(maxsize=64)
def watch(encoding: Encoding, tags: frozenset[int]) -> Watch:
    """Return the place at which some elements are watched: the same one, which has learnt already."""
    return Watch(encoding, tags)
