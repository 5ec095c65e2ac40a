"""A place at which every element is wanted, for who looks at all of a file."""

from __future__ import annotations

from functools import lru_cache

from fw_gear_deid.formats.dicom.level import Place, Want
from fw_gear_deid.formats.dicom.wire import PIXEL_TAGS, Encoding


class Every(Place):
    """A place at which every element is wanted, at every depth; of pixels only where they stand."""

    __slots__ = ("_others",)

    def __init__(self, encoding: Encoding) -> None:
        super().__init__(encoding)
        self._others = {encoding: self}

    def want(self, tag: int, vr: str, wire: str) -> Want:
        """Return that an element is."""
        return Want(tag, vr, wire, wanted=True, blind=tag in PIXEL_TAGS)

    def below(self, tag: int, index: int, encoding: Encoding) -> Every:
        """Return the place inside an item."""
        known = self._others.get(encoding)
        if known is None:
            known = self._others[encoding] = type(self)(encoding)
        return known


@lru_cache(maxsize=8)
def every(encoding: Encoding) -> Every:
    """Return the place in an encoding: the same one, which has learnt already."""
    return Every(encoding)
