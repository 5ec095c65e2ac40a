"""Rectangles in an image, some blank and some left → what is blank, row by row."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple


class Box(NamedTuple):
    """A rectangle of pixels.

    Attributes
    ----------
    blank : bool
        It is to be blank; else it is left as it is where an earlier one would blank it.
    x0, y0, x1, y1 : int
        Columns and rows from 0; the second ones are the first outside.
    """

    blank: bool
    x0: int
    y0: int
    x1: int
    y1: int


Interval = tuple[int, int]


class Band(NamedTuple):
    """Rows ``y0`` to before ``y1`` in which the same columns are blank."""

    y0: int
    y1: int
    columns: tuple[Interval, ...]


def bands(boxes: Sequence[Box], rows: int, columns: int) -> Iterator[Band]:
    """Yield what is blank after rectangles in their order, clipped to the image, from above.

    >>> list(bands([Box(True, 0, 0, 9, 2), Box(False, 2, 1, 4, 9)], 4, 8))
    [Band(y0=0, y1=1, columns=((0, 8),)), Band(y0=1, y1=2, columns=((0, 2), (4, 8)))]
    """
    edges = {min(max(edge, 0), rows) for box in boxes for edge in (box.y0, box.y1)}
    for y0, y1 in pairwise(sorted(edges)):
        found: list[Interval] = []
        for box in boxes:
            if box.y0 <= y0 and y1 <= box.y1:
                start, stop = max(box.x0, 0), min(box.x1, columns)
                found = list(_outside(found, start, stop))
                if box.blank and start < stop:
                    found.append((start, stop))
        if found:
            yield Band(y0, y1, tuple(_joined(found)))


def _outside(found: Iterable[Interval], start: int, stop: int) -> Iterator[Interval]:
    """Yield what is left of intervals without another one."""
    for first, last in found:
        if start >= stop or last <= start or stop <= first:
            yield first, last
            continue
        if first < start:
            yield first, start
        if stop < last:
            yield stop, last


def _joined(found: Iterable[Interval]) -> Iterator[Interval]:
    begin = end = -1
    for first, last in sorted(found):
        if first != end:
            if begin < end:
                yield begin, end
            begin = first
        end = last
    if begin < end:
        yield begin, end
