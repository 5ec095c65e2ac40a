"""Masks of a section and a file as it comes → the same file with rectangles blank in its pixels (docs/pixels.md).

It runs before the rules: they work on what is masked already. Uncompressed pixels pass in pieces, and nothing moves in
them. Of compressed ones, the masked frames alone are decoded and written again, where there is an encoder that loses
nothing; else all are uncompressed then. What shows the pixels once more goes: icons and overlays.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import chain
from typing import NamedTuple

from fw_gear_deid.actions import Remove, Replace
from fw_gear_deid.deid import dataset
from fw_gear_deid.deid.incoming import Incoming
from fw_gear_deid.formats.dicom import deflated, part10
from fw_gear_deid.formats.dicom.part10 import Splice
from fw_gear_deid.formats.dicom.pixels import codec, encapsulated
from fw_gear_deid.formats.dicom.pixels.image import (
    BURNED_IN,
    LOSSY,
    PHOTOMETRIC,
    PLANAR,
    Header,
    Image,
    image_of,
    read,
)
from fw_gear_deid.formats.dicom.pixels.native import Native
from fw_gear_deid.formats.dicom.wire import EXPLICIT_LITTLE, PIXEL_DATA, Cut, header
from fw_gear_deid.model.action import Action
from fw_gear_deid.model.boxes import Box, bands
from fw_gear_deid.model.dictionary import format_tag, keyword_of
from fw_gear_deid.model.errors import Unfit
from fw_gear_deid.model.outcome import Edit
from fw_gear_deid.model.selectors import Selector, TagAt
from fw_gear_deid.plan.edits import Edits
from fw_gear_deid.profile.compiled import DicomSection, Mask, Rule
from fw_gear_deid.profile.language.addresses import parse_regex
from fw_gear_deid.profile.language.conditions import Test, When
from fw_gear_deid.verify import pixels
from fw_gear_deid.verify.source import Reader

_SHOWN_AGAIN = r"(?:[0-9a-f]{8}\.\d+\.)*(?:60[0-9a-f][02468ace][0-9a-f]{4}|00880200)$"  # overlays, icons
_OFFSETS = (0x7FE00001, 0x7FE00002)  # of frames, which are written anew
_EXPLICIT = b"1.2.840.10008.1.2.1\0"
_Changes = tuple[tuple[int, str, bool], ...]
"""Tag, value, and whether it is made where it is absent."""


@dataclass(frozen=True, slots=True)
class Masks:
    """The masks that one file meets.

    Attributes
    ----------
    header : Header
    image : Image
    masks : tuple of Mask
    regions : tuple of Box
        What stays where only ultrasound regions do.
    """

    header: Header
    image: Image
    masks: tuple[Mask, ...]
    regions: tuple[Box, ...]

    @property
    def label(self) -> str:
        """The rules, for the audit."""
        return " ".join((*dict.fromkeys(mask.label for mask in self.masks), "alter_pixels"))

    @property
    def ranges(self) -> list[range]:
        """Frames in which something is blank, from 0, in order."""
        blanks = [mask for mask in self.masks if mask.outside or any(box.blank for box in mask.boxes)]
        spans = sorted(span for mask in blanks for span in mask.frames or ((1, self.image.frames),))
        found: list[range] = []
        for first, last in spans:
            start = max(first - 1, found[-1].stop if found else 0)
            found.append(range(start, max(min(last, self.image.frames), start)))
        return found

    @property
    def count(self) -> int:
        """How many these are; their number may be what a hostile header announces."""
        return sum(map(len, self.ranges))

    def boxes(self, number: int) -> tuple[Box, ...]:
        """Return the rectangles of a frame, from 0, in order; none where nothing is blank."""
        found: list[Box] = []
        for mask in self.masks:
            if mask.frames and not any(first <= number + 1 <= last for first, last in mask.frames):
                continue
            if mask.outside:
                found += [Box(True, 0, 0, self.image.columns, self.image.rows), *self.regions]
            found += mask.boxes
        return tuple(found) if any(box.blank for box in found) else ()


class Masked(NamedTuple):
    """A file with its pixels masked, checked as it passes; the audit's rows, and the masks that it met."""

    source: Incoming
    edits: tuple[Edit, ...]
    masks: tuple[Mask, ...]


def masked(source: Incoming, section: DicomSection, *, verify: bool = True) -> Masked:
    """Return a file with its masks on; itself where none meets it.

    Raises
    ------
    Unfit
        A mask cannot be put on it.
    """
    if not section.masks:
        return Masked(source, (), ())
    met = source.enough(lambda: meet(source.data, section, source.total))
    if met is None:
        return Masked(source, (), ())
    carry = _compressed if met.header.encapsulated else _native
    return Masked(*carry(source, section, met, verify=verify), met.masks)


def meet(data: bytes, section: DicomSection, total: int | None = None) -> Masks | None:
    """Return the masks that a file meets; None where there are none, or it has no pixels.

    Parameters
    ----------
    data : bytes
        The whole file, or its beginning.
    total : int, optional
        Length of the whole file.

    Raises
    ------
    Unfit
        They cannot be put on it.
    Cut
        More of the file is needed.
    """
    asked = frozenset(tag for mask in section.masks for tag in mask.when.tags)
    found = read(data, asked, total)
    masks = tuple(mask for mask in section.masks if holds(mask.when, found))
    if not any(mask.outside or any(box.blank for box in mask.boxes) for mask in masks) or found.pixels is None:
        return None
    image = image_of(found)
    outside = next((mask for mask in masks if mask.outside), None)
    try:
        regions = found.regions() if outside is not None else ()
    except Unfit as error:
        raise Unfit(f"{outside and outside.label} alter_pixels: {error}") from None
    for mask in masks:
        _fits(mask, image)
    if (found.encapsulated or image.swapped or found.parts.fixes) and len(found.parts.src) < found.parts.total:
        raise Cut
    met = Masks(found, image, masks, regions)
    return met if met.count else None


def _fits(mask: Mask, image: Image) -> None:
    """Refuse where a rectangle lies beside the image: the image is not what its rule is about."""
    for box in mask.boxes:
        if box.blank and (box.x0 >= image.columns or box.y0 >= image.rows):
            raise Unfit(
                f"{mask.label} alter_pixels: a rectangle lies outside of the image; "
                "write another entry for images of this size (Rows, Columns)"
            )


# -- conditions ----------------------------------------------------------------------------------------


def holds(condition: When, found: Header) -> bool:
    """Tell whether a file is one that a mask is for, test by test from left to right.

    Raises
    ------
    Unfit
        An element that it asks for cannot be read.
    """
    result = True
    for operator, test in condition.steps:
        one = _passes(test, found) != test.negated
        result = result or one if operator == "or" else result and one
    return result


def _passes(test: Test, found: Header) -> bool:
    match test.word:
        case "missing":
            return not found.has(test.tag)
        case "present":
            return found.has(test.tag)
        case "empty":
            return found.is_empty(test.tag)
    texts = [text.strip(" \0").lower() for text in found.fields.texts(test.tag)]
    if test.pattern is not None:
        there = any(test.pattern.search(text) is not None for text in texts)
    else:
        there = test.value in texts
    return there != test.word.startswith("not")


# -- carrying out --------------------------------------------------------------------------------------


def _native(source: Incoming, section: DicomSection, met: Masks, *, verify: bool) -> tuple[Incoming, tuple[Edit, ...]]:
    """Put masks over uncompressed pixels as they pass."""
    found, image, parts = met.header, met.image, met.header.parts
    pixel = found.pixels
    assert pixel is not None  # noqa: S101 -- it met masks
    native = Native(image, met.boxes)
    watch = pixels.Passing(_shape(image), met.boxes) if verify else None

    def put(pieces: Iterator[bytes]) -> Iterator[bytes]:
        at = 0
        for piece in pieces:
            first, last = max(pixel.value - at, 0), min(pixel.end - at, len(piece))
            at += len(piece)
            if first >= last:
                yield piece
                continue
            part = piece[first:last]
            new = native.put(part, at - len(piece) + first - pixel.value)
            if watch is not None:
                watch.see(part, new)
            yield b"".join((piece[:first], new, piece[last:])) if len(new) < len(piece) else new
        if watch is not None:
            watch.end()

    splices, edits = _tidied(met, section, _truth(found, section, ()))
    row = _row(met, "")
    if parts.deflated:
        body = b"".join(put(iter((parts.body_src,))))
        data = b"".join((parts.src[: parts.meta.end], *deflated.deflate(_joined(body, 0, splices))))
        return _held(source, data), (*edits, row)
    passing = put(chain((parts.src,), source.rest()))
    beginning = b"".join(_joined(next(passing), 0, splices))
    total = parts.total + len(beginning) - len(parts.src)
    return Incoming(chain((beginning,), passing), total), (*edits, row)


def _joined(data: bytes, start: int, splices: Sequence[Splice]) -> part10.Pieces:
    pieces: part10.Pieces = []
    part10.join(data, start, len(data), splices, pieces)
    return pieces


def _held(source: Incoming, data: bytes) -> Incoming:
    """Return a file that is at hand, once its source turned out to be sound; that one is not held any more."""
    source.drain()
    source.data = b""
    return Incoming(iter((data,)), len(data))


def _compressed(
    source: Incoming, section: DicomSection, met: Masks, *, verify: bool
) -> tuple[Incoming, tuple[Edit, ...]]:
    """Write compressed frames again: those that are masked, or all of them uncompressed."""
    found, parts = met.header, met.header.parts
    pixel = found.pixels
    assert pixel is not None  # noqa: S101 -- it met masks
    if parts.body.place.encoding != EXPLICIT_LITTLE or pixel.want.tag != PIXEL_DATA:
        raise Unfit("(7FE0,0010): compressed pixels in a data set without VR; decompress it with a DICOM toolkit")
    frames = encapsulated.frames_of(parts.body_src, pixel.value, pixel.end, met.image.frames)
    photometric = met.image.photometric
    meta: list[Splice] = []
    changes: tuple[tuple[int, str, bool], ...] = ()
    written = _again(frames, met)
    if written is not None:
        new = parts.body_src[pixel.start : pixel.value] + encapsulated.items_of(written)
        if photometric == "YBR_ICT":
            changes = ((PHOTOMETRIC, "YBR_RCT", False),)
        told = f"{met.count} of {len(frames)} frames written again"
    else:
        plain, photometric = _plain(frames, met)
        new = header(PIXEL_DATA, "OB" if met.image.allocated <= 8 else "OW", EXPLICIT_LITTLE, len(plain)) + plain
        changes = ((PHOTOMETRIC, photometric, False), (PLANAR, "0", False))
        if found.syntax in codec.LOSES or found.syntax == codec.NEAR_JPEG_LS or met.image.photometric == "YBR_ICT":
            changes = (*changes, (LOSSY, "01", True))
        meta = _uncompressed(found)
        told = f"{len(frames)} frames decompressed"
    splices, edits = _tidied(met, section, _truth(found, section, changes))
    body = sorted([*splices, (pixel.start, pixel.end, new)], key=lambda one: one[:2])
    data = b"".join(_joined(parts.src, 0, [*meta, *body]))
    if verify:
        pixels.check(parts.src, data, met.boxes)
    return _held(source, data), (*edits, *_syntax_row(met, meta), _row(met, told))


def _again(frames: Sequence[bytes], met: Masks) -> list[bytes] | None:
    """Return the frames with those that are masked written again, None where that cannot be."""
    image, syntax = met.image, met.header.syntax
    numbers = [number for span in met.ranges for number in span]
    photometric = image.photometric
    if syntax not in codec.LOSSLESS:
        return None
    if photometric in codec.WHOLE:
        if photometric != "YBR_ICT" or len(numbers) < len(frames):
            return None
        photometric = "YBR_RCT"
    written = list(frames)
    for number in numbers:
        found, _ = codec.decode(frames[number], syntax, image, number)
        new = codec.encode(_put(found, met, number, photometric), syntax, image, photometric)
        if new is None:
            return None
        written[number] = new
    return written


def _plain(frames: Sequence[bytes], met: Masks) -> tuple[bytes, str]:
    """Return all frames uncompressed, padded to even length, and their photometric interpretation."""
    image = met.image
    pieces: list[bytes] = []
    photometric = image.photometric
    for number, frame in enumerate(frames):
        found, photometric = codec.decode(frame, met.header.syntax, image, number)
        if found.dtype.itemsize * 8 != image.allocated:
            raise Unfit("(7FE0,0010): its frames are not of the depth that its header announces; compress it again")
        if met.boxes(number):
            found = _put(found, met, number, photometric)
        pieces.append(found.astype(found.dtype.newbyteorder("<"), copy=False).tobytes())
    size = sum(map(len, pieces))
    if size >= (1 << 32) - 2:
        raise Unfit("(7FE0,0010): uncompressed it is too long for DICOM; decompress parts of it with a DICOM toolkit")
    return b"".join((*pieces, b"\0" * (size % 2))), photometric


def _put(found: codec.Array, met: Masks, number: int, photometric: str) -> codec.Array:
    """Return an array with the rectangles of a frame blank."""
    image = replace(met.image, photometric="RGB" if photometric in ("YBR_RCT", "YBR_ICT") else photometric)
    fill = image.fill if found.ndim > 2 else image.fill[0]
    found = found.copy()
    for y0, y1, columns in bands(met.boxes(number), image.rows, image.columns):
        for start, stop in columns:
            found[y0:y1, start:stop] = fill
    return found


def _shape(image: Image) -> pixels.Shape:
    return pixels.Shape(
        image.rows, image.columns, image.samples, image.planar, image.allocated, image.stored, image.photometric,
        image.little, image.swapped, image.planes,
    )  # fmt: skip


# -- the header ----------------------------------------------------------------------------------------


def _truth(found: Header, section: DicomSection, changes: _Changes) -> _Changes:
    """Return what the header has to say of masked pixels; under the standard's table it has to say it."""
    texts = [text.strip(" \0").upper() for text in found.fields.texts(BURNED_IN)]
    makes = section.table is not None
    if "YES" in texts or (makes and texts != ["NO"]):
        return (*changes, (BURNED_IN, "NO", makes))
    return changes


def _tidied(met: Masks, section: DicomSection, changes: _Changes) -> tuple[list[Splice], tuple[Edit, ...]]:
    """Return splices of a data set that show no pixels once more and tell the truth of them, and the audit's rows."""
    parts = met.header.parts
    rules = _rules(section.match, section.uid, met.label, changes)  # type: ignore[arg-type]
    walked = dataset.open_file(parts.src, rules, (), None if parts.deflated else parts.total)
    plan = dataset.plan_of(rules)
    done = Edits(plan.places, walked.body_src, walked.body, plan.nowhere)
    done.run(walked.src, walked.meta)
    rows = tuple(row[3] for row in sorted(done.body.rows, key=lambda row: row[:3]))
    Reader().check(dataset.span_of(walked), (), done.body.splices, {row.path for row in rows} | {"trailing bytes"})
    return done.body.splices, (*dataset.repaired(parts), *rows)


@lru_cache(maxsize=8)
def _rules(match: object, uid: Action, label: str, changes: _Changes) -> DicomSection:
    """Return a section that does what masks need of the header, and nothing else."""
    listed: list[tuple[Selector, Action, bool]] = [(parse_regex(_SHOWN_AGAIN), Remove(), False)]
    listed += [(TagAt(tag), Remove(), False) for tag in _OFFSETS]
    listed += [(TagAt(tag), Replace((value,), insert, False), insert) for tag, value, insert in changes]
    return DicomSection(
        match=match,  # type: ignore[arg-type]
        rules=tuple(
            Rule(selector, action, "", label, index, insert) for index, (selector, action, insert) in enumerate(listed)
        ),
        filenames=(),
        remove_private=False,
        remove_undefined=False,
        recurse=False,
        age=False,
        age_units="",
        date_format="",
        references=(),
        uid=uid,
    )


def _uncompressed(found: Header) -> list[Splice]:
    """Return splices of the file meta that name explicit VR little endian (PS3.10 §7.1)."""
    parts = found.parts
    one = next(one for one in parts.meta.found if one.want.tag == part10.TRANSFER_SYNTAX)
    splices = [(one.start, one.end, header(one.want.tag, "UI", EXPLICIT_LITTLE, len(_EXPLICIT)) + _EXPLICIT)]
    length = next((one for one in parts.meta.found if one.want.tag == part10.META_LENGTH), None)
    if length is not None:
        size = parts.meta.end - length.end + len(splices[0][2]) - (one.end - one.start)
        splices.insert(0, (length.value, length.end, size.to_bytes(4, "little")))
    return sorted(splices)


def _syntax_row(met: Masks, meta: Sequence[Splice]) -> Iterator[Edit]:
    if meta:
        tag = part10.TRANSFER_SYNTAX
        after = _EXPLICIT.decode().strip("\0")
        yield Edit(format_tag(tag), keyword_of(tag), "UI", "mask", met.label, met.header.syntax, after)


def _row(met: Masks, told: str) -> Edit:
    """Return the audit's row of the pixels."""
    pixel = met.header.pixels
    assert pixel is not None  # noqa: S101 -- it met masks
    what = told or f"{met.count} of {met.image.frames} frames"
    tag = pixel.want.tag
    return Edit(
        format_tag(tag),
        keyword_of(tag),
        pixel.want.vr,
        "mask",
        met.label,
        f"<{pixel.end - pixel.value} bytes>",
        f"<{what}>",
    )
