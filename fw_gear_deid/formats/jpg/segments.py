"""A JPEG file → its segments, from the first byte to the last (ITU-T T.81 §B.1).

Nothing is decoded: progressive, arithmetic, lossless and twelve-bit images, of any number of scans, are alike.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice

from fw_gear_deid.model.errors import Malformed
from fw_gear_deid.model.frozen import frozen

STRAY, SCAN, BEHIND = 0x00, 0x01, 0x02
"""What is no segment: bytes that no marker begins, entropy-coded ones, and those behind the end."""
SOI, EOI, SOS, COM = 0xD8, 0xD9, 0xDA, 0xFE
APP0, APP1, APP2, APP13, APP14 = 0xE0, 0xE1, 0xE2, 0xED, 0xEE
# frames, Huffman and arithmetic tables · scan, quantisation, lines, restarts, hierarchy · JPEG-LS frame and presets
DECODES = frozenset({*range(0xC0, 0xC8), *range(0xC9, 0xD0), *range(0xD8, 0xE0), 0xF7, 0xF8, SCAN})
_FRAMES = frozenset({*range(0xC0, 0xD0), 0xF7}) - {0xC4, 0xC8, 0xCC}
_RESTARTS = range(0xD0, 0xD8)
_MARKER = re.compile(rb"\xff([\xc0-\xfe])")
_BEHIND_SCAN = re.compile(rb"\xff([\xc0-\xcf\xd8-\xfe])")  # FF 00 is a value, and FF 01 to 7F one of JPEG-LS
_MOST = 10_000
"""Segments of a file; a progressive one with many notes has some hundred."""


@frozen
class Segment:
    """A piece of a file.

    Attributes
    ----------
    code : int
        Second byte of its marker, or what it is instead.
    start, end : int
        With the fill bytes in front of its marker.
    body : int
        Where its content begins.
    """

    code: int
    start: int
    end: int
    body: int


def segments(data: bytes) -> list[Segment]:
    """Return the pieces of a file; together they are all of its bytes.

    Raises
    ------
    Malformed
        It has no image that ends, or a segment runs past the end.
    """
    if not data.startswith(b"\xff\xd8"):
        raise Malformed("it is no JPEG")
    found = [Segment(SOI, 0, 2, 2), *islice(_pieces(data), _MOST)]
    if found[-1].code != EOI:
        raise Malformed(f"more than {_MOST} JPEG segments")
    codes = {one.code for one in found}
    if SOS not in codes or not codes & _FRAMES:
        raise Malformed("it is a JPEG without an image")
    if found[-1].end < len(data):
        found.append(Segment(BEHIND, found[-1].end, len(data), found[-1].end))
    return found


def _pieces(data: bytes) -> Iterator[Segment]:
    at, after_scan = 2, False
    while True:
        marker = (_BEHIND_SCAN if after_scan else _MARKER).search(data, at)
        if marker is None:
            raise Malformed("the JPEG image has no end: it is cut")
        start = len(data[at : marker.start()].rstrip(b"\xff")) + at  # with its fill bytes
        if start > at:
            yield Segment(SCAN if after_scan else STRAY, at, start, at)
        code, body = marker[1][0], marker.end()
        if code == SOI:
            raise Malformed("a JPEG image begins within another")
        if code == EOI:
            yield Segment(EOI, start, body, body)
            return
        at, after_scan = body, False
        if code not in _RESTARTS:
            at += int.from_bytes(data[body : body + 2], "big")
            if at < body + 2 or at > len(data):
                raise Malformed("a JPEG segment runs past the end")
            body, after_scan = body + 2, code == SOS
        yield Segment(code, start, at, body)
