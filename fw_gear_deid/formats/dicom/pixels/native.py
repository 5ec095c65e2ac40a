"""Uncompressed pixels as they pass, and rectangles → the same bytes with something else in the rectangles (PS3.5 §8).

Nothing moves, so a file passes in pieces, however large it is.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from typing import NamedTuple

from fw_gear_deid.formats.dicom.pixels.image import Image
from fw_gear_deid.model.boxes import Band, Box, bands

_FRAMES_MAX = 64  # shapes of masks that are remembered


class Run(NamedTuple):
    """A span of a frame, in bytes (in bits where a sample is one), and what repeats in it."""

    start: int
    stop: int
    unit: bytes


class Native:
    """The masks of one image.

    Parameters
    ----------
    image : Image
    boxes : callable
        Number of a frame, from 0 → its rectangles, in order.
    """

    def __init__(self, image: Image, boxes: Callable[[int], tuple[Box, ...]]) -> None:
        self._image = image
        self._boxes = boxes
        self._runs = lru_cache(maxsize=_FRAMES_MAX)(lambda found: runs(image, found))
        self._tables = [_without(image.planes, index, image) for index in range(image.allocated // 8)]

    def put(self, piece: bytes, at: int) -> bytes:
        """Return a piece with what is put over it.

        Parameters
        ----------
        piece : bytes
        at : int
            Where in the pixels it stands; even where bytes stand in pairs.
        """
        image, buffer = self._image, bytearray(piece)
        if image.swapped:
            buffer = _paired(buffer)
        if image.planes:
            cell = image.allocated // 8
            for index, table in enumerate(self._tables):
                first = (index - at) % cell
                buffer[first::cell] = buffer[first::cell].translate(table)
        scale = 8 if image.allocated == 1 else 1
        size = image.frame_bits if scale == 8 else image.frame_bits // 8
        start, stop = at * scale, (at + len(piece)) * scale
        for frame in range(start // size, -(-stop // size)):
            if boxes := self._boxes(frame):
                base = frame * size - start
                for run in _within(self._runs(boxes), -base, stop - start - base):
                    (_put_bits if scale == 8 else _put)(buffer, base, run)
        return bytes(_paired(buffer) if image.swapped else buffer)


def _within(found: Sequence[Run], start: int, stop: int) -> Iterator[Run]:
    """Yield the runs, sorted and apart, that reach into a span."""
    for number in range(max(bisect_right(found, start, key=lambda run: run.start) - 1, 0), len(found)):
        if found[number].start >= stop:
            return
        yield found[number]


def _put(buffer: bytearray, base: int, run: Run) -> None:
    first, last = max(base + run.start, 0), min(base + run.stop, len(buffer))
    if first < last:
        unit = run.unit
        phase = (first - base - run.start) % len(unit)
        buffer[first:last] = (unit * ((last - first) // len(unit) + 2))[phase : phase + last - first]


def _put_bits(buffer: bytearray, base: int, run: Run) -> None:
    """Clear bits; the first of a byte is its lowest (PS3.5 §8.1.1)."""
    first, last = max(base + run.start, 0), min(base + run.stop, len(buffer) * 8)
    while first < last and first % 8:
        buffer[first // 8] &= ~(1 << first % 8)
        first += 1
    while first < last and last % 8:
        last -= 1
        buffer[last // 8] &= ~(1 << last % 8)
    if first < last:
        buffer[first // 8 : last // 8] = bytes((last - first) // 8)


def _paired(buffer: bytearray) -> bytearray:
    """Return bytes with each pair turned round."""
    turned = bytearray(buffer)
    whole = len(buffer) & ~1
    turned[0:whole:2], turned[1:whole:2] = buffer[1:whole:2], buffer[0:whole:2]
    return turned


def _without(planes: int, index: int, image: Image) -> bytes:
    """Return a table that takes bits of overlays out of one byte of a sample."""
    size = image.allocated // 8
    gone = planes >> 8 * (index if image.little else size - 1 - index) & 0xFF
    return bytes(value & ~gone for value in range(256))


def runs(image: Image, boxes: Sequence[Box]) -> tuple[Run, ...]:
    """Return what is put over a frame, in the order of its bytes.

    Where neighbours share their chroma, both go.
    """
    cell = 1 if image.allocated == 1 else image.allocated // 8
    order = "little" if image.little else "big"
    fill = [value.to_bytes(cell, order) if image.allocated > 1 else b"\0" for value in image.fill]  # type: ignore[arg-type]
    found = list(bands(boxes, image.rows, image.columns))
    if image.halved:
        luma, blue, red = fill
        halves = (Band(y0, y1, _pairs(columns)) for y0, y1, columns in found)
        return tuple(_runs(halves, 0, 4 * cell, image.columns // 2, luma + luma + blue + red))
    if image.planar:
        size = image.rows * image.columns * cell
        return tuple(
            run
            for plane in range(image.samples)
            for run in _runs(found, plane * size, cell, image.columns, fill[plane])
        )
    return tuple(_runs(found, 0, cell * image.samples, image.columns, b"".join(fill)))


def _pairs(columns: Sequence[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    """Return intervals of pixels as those of pairs, which may meet then."""
    found: list[tuple[int, int]] = []
    for start, stop in columns:
        first, last = start // 2, -(-stop // 2)
        if found and first <= found[-1][1]:
            found[-1] = found[-1][0], last
        else:
            found.append((first, last))
    return tuple(found)


def _runs(found: Sequence[Band] | Iterator[Band], base: int, pixel: int, columns: int, unit: bytes) -> Iterator[Run]:
    width = columns * pixel
    for y0, y1, intervals in found:
        if intervals == ((0, columns),):
            yield Run(base + y0 * width, base + y1 * width, unit)
            continue
        for row in range(y0, y1):
            for start, stop in intervals:
                yield Run(base + row * width + start * pixel, base + row * width + stop * pixel, unit)
