"""Elements of a data set as others have to hold them: in another encoding, down to the last item (PS3.5 §7.1, §7.5)."""

from __future__ import annotations

from fw_gear_deid.formats.dicom.level import Found, Level, Place, Want
from fw_gear_deid.formats.dicom.walk import Walker
from fw_gear_deid.formats.dicom.wire import LENGTH, UNDEFINED, Encoding, header, item_header
from fw_gear_deid.model.errors import Unfit

_UNDEFINED = b"\xff\xff\xff\xff"
# bytes of a number, by VR, PS3.5 §7.3
_UNITS = (
    dict.fromkeys(("US", "SS", "AT", "OW"), 2)
    | dict.fromkeys(("UL", "SL", "FL", "OL", "OF"), 4)
    | dict.fromkeys(("FD", "OD", "UV", "SV", "OV"), 8)
)
_ENDS = {
    True: (b"\xfe\xff\x0d\xe0\0\0\0\0", b"\xfe\xff\xdd\xe0\0\0\0\0"),
    False: (b"\xff\xfe\xe0\x0d\0\0\0\0", b"\xff\xfe\xe0\xdd\0\0\0\0"),
}
"""Delimiters of items and sequences, little endian and big endian."""


class Everything(Place):
    """A place where every element is wanted."""

    __slots__ = ()

    def want(self, tag: int, vr: str, wire: str) -> Want:
        """Return it, wanted."""
        return Want(tag, vr, wire, wanted=True)

    def below(self, tag: int, index: int, encoding: Encoding) -> Everything:
        """Return the same inside an item."""
        return Everything(encoding)


def recoded(src: bytes, start: int, end: int, encoding: Encoding, target: Encoding) -> bytes:
    """Return an element of a data set as it stands in another encoding; in the same one byte for byte.

    Raises
    ------
    Unfit
        The other encoding cannot hold it.
    """
    piece = src[start:end]
    if encoding == target:
        return piece
    (found,) = Walker(piece).top(Everything(encoding), 0).found
    return _element(piece, found, encoding, target)


def _element(src: bytes, one: Found, encoding: Encoding, target: Encoding) -> bytes:
    want, value = one.want, src[one.value : one.end]
    undefined = src[one.value - 4 : one.value] == _UNDEFINED
    if one.items is None or want.wire == "UN":  # what stands as UN is implicit VR inside, wherever it stands
        if undefined and want.wire != "UN":
            raise Unfit("its frames cannot be written in another encoding")
        return header(want.tag, want.wire, target, UNDEFINED if undefined else len(value)) + _ordered(
            value, want.wire, encoding, target
        )
    item_end, end = _ENDS[target.little]
    built = b""
    for item in one.items:
        inside = _level(src, item, target)
        size = UNDEFINED if item.undefined else len(inside)
        built += item_header(target, size) + inside + (item_end if item.undefined else b"")
    return (
        header(want.tag, want.wire, target, UNDEFINED if undefined else len(built))
        + built
        + (end if undefined else b"")
    )


def _level(src: bytes, level: Level, target: Encoding) -> bytes:
    encoding = level.place.encoding
    if encoding == target:
        return src[level.start : level.end]
    return b"".join(_element(src, one, encoding, target) for one in level.found)


def _ordered(value: bytes, vr: str, encoding: Encoding, target: Encoding) -> bytes:
    """Return a value in another byte order."""
    unit = _UNITS.get(vr, 1)
    if encoding.little == target.little or unit == 1:
        return value
    if len(value) % unit:
        raise Unfit(f"the length of its value does not fit VR {vr}")
    return b"".join(value[at : at + unit][::-1] for at in range(0, len(value), unit))


def mended(end: int, length: int, *, little: bool) -> tuple[int, int, bytes]:
    """Return the splice that mends a length, which stands before an offset."""
    return end - 4, end, LENGTH[little].pack(length)
