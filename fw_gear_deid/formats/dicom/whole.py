"""Where the elements of a data set end, and why → nothing, or a refusal: what its header announces must be there.

A copy that stopped, or that lost a block, has zeros where elements should be. They are padding only behind a data set
that is whole, and other bytes behind the last element only follow pixels that are.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping

from fw_gear_deid.formats.dicom.level import Found, Level
from fw_gear_deid.formats.dicom.walk import COPY, Walker
from fw_gear_deid.formats.dicom.wire import PIXEL_TAGS, Cut
from fw_gear_deid.model import dictionary
from fw_gear_deid.model.dictionary import format_tag
from fw_gear_deid.model.errors import Malformed, Unfit

_CLASS, _ROWS, _COLUMNS, _FRAMES = 0x00080016, 0x00280010, 0x00280011, 0x00280008
_SAMPLES, _BITS, _PHOTOMETRIC = 0x00280002, 0x00280100, 0x00280004
_ADDRESS = 0x00287FE0  # PixelDataProviderURL: the pixels stand elsewhere
_TABLES = frozenset({0x7FE00001, 0x7FE00002, 0x7FE00003})  # stand in front of the pixels that they are about
_FLOAT_BITS = {0x7FE00008: 32, 0x7FE00009: 64}
# Bits of a pixel, of those that it has of all samples, that are written: chroma for every second, or fourth, one
_SPARSE = {"YBR_FULL_422": (2, 3), "YBR_PARTIAL_422": (2, 3), "YBR_PARTIAL_420": (1, 2)}
_STORED = "1.2.840.10008.5.1.4."
# Storage class, or how the UIDs of several begin → elements of which it has one, PS3.3; other classes are of images
_CONTENT: Mapping[str, frozenset[int]] = {
    "1.1.4.2": frozenset({0x56000020}),  # spectroscopy
    "1.1.9.": frozenset({0x54000100}),  # waveforms
    "1.1.11.": frozenset({0x0070005A, 0x00700402, 0x00701B01}),  # presentation states
    "1.1.66": frozenset(),  # raw data: no element says where it is
    "1.1.66.1": frozenset({0x00700308}),  # registrations
    "1.1.66.2": frozenset({0x0070031C}),  # fiducials
    "1.1.66.3": frozenset({0x00640002}),  # deformable registrations
    "1.1.66.5": frozenset({0x00660002}),  # surfaces
    "1.1.66.6": frozenset({0x00660101}),  # tracks
    "1.1.67": frozenset({0x00409094}),  # real world values
    "1.1.77.1.5.3": frozenset({0x00220020}),  # stereometric relationships
    "1.1.78.": frozenset(),  # measurements of eyes
    "1.1.79.1": frozenset(),
    "1.1.80.1": frozenset(),
    "1.1.88.": frozenset({0x0040A730}),  # structured reports
    "1.1.91.": frozenset({0x006A0002}),  # annotations
    "1.1.104.": frozenset({0x00420011}),  # documents
    "1.1.481.2": PIXEL_TAGS | {0x30040050},  # dose
    "1.1.481.3": frozenset({0x30060080}),  # structures
    "1.1.481.4": frozenset({0x30080020}),  # treatment records
    "1.1.481.5": frozenset({0x300A00B0, 0x300A0230}),  # plans
    "1.1.481.6": frozenset({0x30080110}),
    "1.1.481.7": frozenset({0x30080220}),
    "1.1.481.8": frozenset({0x300A03A2}),
    "1.1.481.9": frozenset({0x30080021}),
    "38.1": frozenset({0x00720200}),  # hanging protocols
    "39.1": frozenset({0x00281203, 0x00281223}),  # palettes
}


def check(walker: Walker, level: Level, error: Unfit | None, media_class: str) -> None:
    """Make sure that a data set is whole.

    Parameters
    ----------
    walker : Walker
        That walked it.
    level : Level
        Its top level, to where elements end.
    error : Unfit or None
        Why no element stands there; None when it is the end of the file.
    media_class : str
        Its class as the file meta tells it, for one that ends before its own.

    Raises
    ------
    Malformed
        It is not.
    Odd
        As ``error``.
    Cut
        More of the file is needed.
    """
    if error is None:
        if walker.last in _TABLES:
            raise Malformed(f"the pixels that {format_tag(walker.last)} is about are missing; {COPY}")
        return
    src, at = walker.src, level.end
    if len(src) < min(at + 8, walker.total):
        raise Cut
    found = {one.want.tag: one for one in walker.passed(level, at)}
    if not found or _begins(src, level, max(found)):
        raise error
    held = _Held(src, found, little=level.place.encoding.little)
    if held.pixels():
        return
    if src[at : at + 8].strip(b"\0"):
        raise error
    if held.content(media_class):
        if len(src) < walker.total:
            raise Cut
        if not src[at:].strip(b"\0"):
            return
    last = format_tag(max(found.values(), key=lambda one: one.start).want.tag)
    raise Malformed(f"zeros follow {last} where what its header announces is due; {COPY}")


def _begins(src: bytes, level: Level, last: int) -> bool:
    """Tell whether an element begins where elements end: one that is known, or private behind all others."""
    explicit, little = level.place.encoding
    at = level.end
    if len(src) - at < 8:
        return False
    group, element, code = struct.unpack_from("<HH2s" if little else ">HH2s", src, at)
    tag = group << 16 | element
    if explicit and code.decode("latin-1") not in dictionary.VRS:
        return False
    behind = tag > last and group != 0xFFFF
    known = dictionary.public_vr(tag) is not None
    return (known and (explicit or behind)) or (behind and dictionary.is_private(tag))


class _Held:
    """What a data set holds of what its header announces."""

    def __init__(self, src: bytes, found: dict[int, Found], *, little: bool) -> None:
        self._src = src
        self._found = found
        self._order = "<" if little else ">"

    def pixels(self) -> bool:
        """Tell whether all pixels are there."""
        for tag in PIXEL_TAGS & self._found.keys():
            one = self._found[tag]
            length = one.end - one.value
            if self._src[one.value - 4 : one.value] == b"\xff\xff\xff\xff":
                return length > 16  # an offset table and a delimiter alone are no pixels
            return length > 0 and length >= self._size(tag)
        return False

    def content(self, media_class: str) -> bool:
        """Tell whether there is what the class of the data set is about."""
        if self._is_filled(_ADDRESS):
            return True
        uid = self._text(_CLASS) or media_class
        short = uid.removeprefix(_STORED)
        told = [name for name in _CONTENT if short == name or (name.endswith(".") and short.startswith(name))]
        if short == uid or not told:
            return False  # of images, whose pixels are not there, or of a class that nobody knows
        return any(self._is_filled(tag) for tag in _CONTENT[told[0]])

    def _is_filled(self, tag: int) -> bool:
        one = self._found.get(tag)
        return one is not None and one.end > one.value

    def _size(self, tag: int) -> int:
        """Return how many bytes native pixels have; 0 where the header does not say."""
        rows, columns = self._number(_ROWS), self._number(_COLUMNS)
        bits = _FLOAT_BITS.get(tag) or self._number(_BITS)
        frames = self._text(_FRAMES)
        count = int(frames) if frames.isascii() and frames.isdigit() else 1
        size = rows * columns * bits * (self._number(_SAMPLES) or 1) * count
        part, whole = _SPARSE.get(self._text(_PHOTOMETRIC), (1, 1))
        return (size * part // whole + 7) // 8

    def _number(self, tag: int) -> int:
        raw = self._raw(tag)
        return int(struct.unpack(f"{self._order}H", raw)[0]) if len(raw) == 2 else 0

    def _text(self, tag: int) -> str:
        return self._raw(tag).decode("latin-1").strip("\0 ")

    def _raw(self, tag: int) -> bytes:
        one = self._found.get(tag)
        if one is not None and one.end > len(self._src):
            raise Cut
        return b"" if one is None else self._src[one.value : one.end]
