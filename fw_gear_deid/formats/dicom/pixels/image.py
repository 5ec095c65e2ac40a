"""Header of a DICOM image → how its pixels lie in the bytes (PS3.3 §C.7.6.3, PS3.5 §8)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from fw_gear_deid.formats.dicom import part10
from fw_gear_deid.formats.dicom.fields import Fields, Watch, fields_of, watch
from fw_gear_deid.formats.dicom.level import CHARACTER_SET, Found, Place, Want
from fw_gear_deid.formats.dicom.part10 import Parts
from fw_gear_deid.formats.dicom.wire import PIXEL_TAGS, Encoding
from fw_gear_deid.model.boxes import Box
from fw_gear_deid.model.errors import Unfit

_ROWS, _COLUMNS, _FRAMES, _SAMPLES, PLANAR = 0x00280010, 0x00280011, 0x00280008, 0x00280002, 0x00280006
_ALLOCATED, _STORED, _SIGNED, PHOTOMETRIC = 0x00280100, 0x00280101, 0x00280103, 0x00280004
BURNED_IN, LOSSY = 0x00280301, 0x00282110
_LONG_OFFSETS, _LONG_LENGTHS = 0x7FE00001, 0x7FE00002
_REGIONS = 0x00186011
_CORNERS = (0x00186018, 0x0018601A, 0x0018601C, 0x0018601E)  # x0, y0, x1, y1; the last ones are inside
# Of each overlay: bits allocated, bit position, data of its own (PS3.3 §C.9.2)
_OVERLAYS = tuple(tuple(group << 16 | one for one in (0x0100, 0x0102, 0x3000)) for group in range(0x6000, 0x6020, 2))
_IMAGE = frozenset(
    {
        _ROWS, _COLUMNS, _FRAMES, _SAMPLES, PLANAR, _ALLOCATED, _STORED, _SIGNED, PHOTOMETRIC, BURNED_IN, LOSSY,
        _LONG_OFFSETS, _LONG_LENGTHS, CHARACTER_SET, *(tag for tags in _OVERLAYS for tag in tags),
    }
)  # fmt: skip
_GE_BIG = "1.2.840.113619.5.2"
HALVED = ("YBR_FULL_422", "YBR_PARTIAL_422")
"""Chroma of two pixels is one, where the pixels are not compressed."""
_FLOATS = {0x7FE00008: 32, 0x7FE00009: 64}


class _Top(Watch):
    """The top level: the image's attributes, what conditions ask for, and ultrasound regions."""

    __slots__ = ()

    def below(self, tag: int, index: int, encoding: Encoding) -> Watch:
        return watch(encoding, frozenset(_CORNERS) if tag == _REGIONS else frozenset())


@dataclass(frozen=True, slots=True)
class Header:
    """What masks go by in one file.

    Attributes
    ----------
    parts : Parts
    syntax : str
        UID of its transfer syntax.
    fields : Fields
        Elements of the top level.
    """

    parts: Parts
    syntax: str
    fields: Fields

    @property
    def pixels(self) -> Found | None:
        """The element with the pixels; None where the file has none."""
        return next((one for one in self.parts.body.found if one.want.tag in PIXEL_TAGS and one.items is None), None)

    @property
    def encapsulated(self) -> bool:
        """Whether the pixels stand in fragments."""
        one = self.pixels
        return one is not None and one.start in self.parts.body.encapsulated

    def has(self, tag: int) -> bool:
        """Tell whether an element is there, sequences included."""
        return any(one.want.tag == tag for one in self.parts.body.found)

    def is_empty(self, tag: int) -> bool:
        """Tell whether an element is there and has neither value nor items."""
        one = next((one for one in self.parts.body.found if one.want.tag == tag), None)
        if one is None:
            return False
        return not one.items if one.items is not None else not (self.fields.raw(tag) or b"").strip(b"\0 ")

    def regions(self) -> tuple[Box, ...]:
        """Return the ultrasound regions (PS3.3 §C.8.5.5), to be left.

        Raises
        ------
        Unfit
            There are none, or one without its corners.
        """
        one = next((one for one in self.parts.body.found if one.want.tag == _REGIONS), None)
        boxes = []
        for item in (one and one.items) or ():
            corners = fields_of(self.parts.body_src, item, frozenset(_CORNERS))
            x0, y0, x1, y1 = (_number(corners, tag, 0, 1 << 32) for tag in _CORNERS)
            if x1 < x0 or y1 < y0:
                raise Unfit(f"(0018,6011)[{item.index}]: its corners are the wrong way round")
            boxes.append(Box(False, x0, y0, x1 + 1, y1 + 1))
        if not boxes:
            raise Unfit("(0018,6011): it has no ultrasound regions; write rectangles for it")
        return tuple(boxes)


def read(src: bytes, tags: frozenset[int], total: int | None = None) -> Header:
    """Return the header of a file.

    Parameters
    ----------
    src : bytes
        The whole file, or its beginning.
    tags : frozenset of int
        Elements of the top level that conditions ask for.
    total : int, optional
        Length of the whole file.

    Raises
    ------
    Malformed, Odd, Cut
        As ``part10.read``.
    """
    wanted = tags | _IMAGE | PIXEL_TAGS | {_REGIONS}

    def top(encoding: Encoding) -> Place:
        return _Wanted(encoding, wanted)

    parts = part10.read(src, part10.watch_meta(), top, total)
    fields = fields_of(parts.body_src, parts.body, wanted - PIXEL_TAGS)
    return Header(parts, part10.transfer_syntax(parts.src, parts.meta), fields)


class _Wanted(_Top):
    """The same; where pixels stand is wanted, they are not."""

    __slots__ = ()

    def want(self, tag: int, vr: str, wire: str) -> Want:
        return Want(tag, vr, wire, wanted=tag in self._tags, blind=tag in PIXEL_TAGS)


@dataclass(frozen=True, slots=True)
class Image:
    """How the pixels of an image lie in the bytes.

    Attributes
    ----------
    rows, columns, frames, samples : int
    planar : bool
        All of a frame's first sample come before its second (uncompressed, and of several samples).
    allocated, stored : int
        Bits of a sample.
    signed : bool
    photometric : str
    little : bool
        Byte order of a sample.
    swapped : bool
        Bytes stand in pairs, the second first: samples of a byte in words of big endian.
    planes : int
        Bits of a sample, as a number, that hold an overlay (PS3.5 §8.1.2, retired).
    """

    rows: int
    columns: int
    frames: int
    samples: int
    planar: bool
    allocated: int
    stored: int
    signed: bool
    photometric: str
    little: bool = True
    swapped: bool = False
    planes: int = 0

    @property
    def halved(self) -> bool:
        """Whether two neighbours share their chroma in uncompressed bytes."""
        return self.photometric in HALVED

    @property
    def frame_bits(self) -> int:
        """Bits of a frame, uncompressed."""
        samples = 2 if self.halved else self.samples
        return self.rows * self.columns * samples * self.allocated

    @property
    def fill(self) -> tuple[int, ...]:
        """What a blank pixel holds, sample by sample: 0; black where colours stand as luminance and chroma."""
        if self.samples == 3 and self.photometric.startswith("YBR"):
            middle = 1 << (self.stored - 1)
            dark = 16 << max(self.stored - 8, 0) if "PARTIAL" in self.photometric else 0
            return dark, middle, middle
        return (0,) * self.samples


def image_of(header: Header) -> Image:
    """Return how the pixels of a file lie.

    Raises
    ------
    Unfit
        The header does not tell, or tells what is not known here.
    """
    fields, one = header.fields, header.pixels
    assert one is not None  # noqa: S101 -- asked for files with pixels
    if sum(header.has(tag) for tag in PIXEL_TAGS) > 1:
        raise Unfit("(7FE0,0010): it has pixels twice, also as floating point numbers; remove one of them")
    samples = _number(fields, _SAMPLES, 1, 5, 1)
    allocated = _FLOATS.get(one.want.tag) or _number(fields, _ALLOCATED, 1, 65)
    stored = _number(fields, _STORED, 1, allocated + 1, allocated)
    photometric = fields.text(PHOTOMETRIC).strip(" \0")
    if allocated != 1 and allocated not in (8, 16, 32, 64):
        raise Unfit("(0028,0100): samples of a size that masks cannot be put on; convert the file with a DICOM toolkit")
    little = header.parts.body.place.encoding.little
    native = not header.encapsulated
    swapped = native and not little and one.want.wire == "OW" and allocated <= 8
    image = Image(
        rows=_number(fields, _ROWS, 1, 1 << 16),
        columns=_number(fields, _COLUMNS, 1, 1 << 16),
        frames=_number(fields, _FRAMES, 1, 1 << 31, 1),
        samples=samples,
        planar=native and samples > 1 and _number(fields, PLANAR, 0, 2, 0) == 1,
        allocated=allocated,
        stored=stored,
        signed=_number(fields, _SIGNED, 0, 2, 0) == 1,
        photometric=photometric,
        little=little and header.syntax != _GE_BIG,
        swapped=swapped,
        planes=sum(_planes(fields, allocated)),
    )
    if not native:
        return image
    return _native(image, (one.end - one.value) * 8)


def _native(image: Image, bits: int) -> Image:
    """Make sure that uncompressed pixels are as many as announced."""
    if image.photometric == "YBR_PARTIAL_420" or (image.halved and image.samples != 3):
        raise Unfit("(0028,0004): pixels that masks cannot be put on; convert the file with a DICOM toolkit")
    if image.halved:
        full = image.rows * image.columns * 3 * image.allocated * image.frames
        if bits >= full or image.columns % 2:  # some writers call whole chroma halved
            image = _with(image, photometric="YBR_PARTIAL" if "PARTIAL" in image.photometric else "YBR_FULL")
    if image.halved:
        image = _with(image, planar=False)
    if bits < image.frame_bits * image.frames:
        raise Unfit("(7FE0,0010): fewer pixels than its header announces; copy or export it again")
    return image


def _with(image: Image, **changes: object) -> Image:
    from dataclasses import replace

    return replace(image, **changes)  # type: ignore[arg-type]


def _planes(fields: Fields, allocated: int) -> Iterator[int]:
    """Yield the bits of a sample in which an overlay stands that has no data of its own."""
    positions = set()
    for bits, position, data in _OVERLAYS:
        if fields.raw(position) is not None and fields.raw(data) is None and _number(fields, bits, 0, 65, 1) > 1:
            positions.add(_number(fields, position, 0, allocated))
    yield from (1 << position for position in positions)


def _number(fields: Fields, tag: int, low: int, high: int, default: int | None = None) -> int:
    """Return the number of an element, from ``low`` to before ``high``."""
    from fw_gear_deid.model.dictionary import format_tag

    texts = [text for text in fields.texts(tag) if text.strip()]
    if not texts and default is not None:
        return default
    try:
        number = int(texts[0]) if texts else low - 1
    except ValueError:
        number = low - 1
    if not low <= number < high:
        raise Unfit(f"{format_tag(tag)}: not a number that an image has; correct it with a DICOM toolkit")
    return number
