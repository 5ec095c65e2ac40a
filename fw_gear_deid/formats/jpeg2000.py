"""Bytes of a JPEG 2000 image → what is put over comments and boxes that say more than how to decode it.

Nothing moves: lengths of tile-parts and their tables stay right (ISO/IEC 15444-1 Annexes A and I).
"""

from __future__ import annotations

import re
from collections.abc import Generator, Iterator

from fw_gear_deid.formats.jpeg import Blank
from fw_gear_deid.model.errors import Malformed

CODESTREAM = b"\xff\x4f\xff\x51"
WRAPPER = b"\0\0\0\x0cjP  "
_SOT, _SOD, _EOC, _COM = b"\xff\x90", b"\xff\x93", b"\xff\xd9", 0x64
_SOT_SIZE = b"\0\x0a"
# sizes, coding, quantisation, regions, progression, packets, registration; capabilities of parts 2 and 15
_KEPT = frozenset({*range(0x50, 0x54), *range(0x55, 0x5A), *range(0x5C, 0x62), 0x63})
_MORE = re.compile(rb"[^\0]")
_BOXES = frozenset({b"jP  ", b"ftyp", b"jp2h", b"jp2c"})
_HEADER_BOXES = frozenset({b"ihdr", b"bpcc", b"colr", b"pclr", b"cmap", b"cdef", b"res "})


def blanks(data: bytes) -> Iterator[Blank]:
    """Yield what is to be put over an image: a codestream, or one in its wrapper.

    Raises
    ------
    Malformed
        Something else stands where a marker or box is due, or one runs past the end.
    """
    if data.startswith(CODESTREAM):
        yield from _codestream(data, 0, len(data))
    else:
        yield from _boxes(data, 0, len(data), _BOXES)


def _codestream(data: bytes, pos: int, end: int) -> Iterator[Blank]:
    """Yield what is to be put over a codestream, and over those that follow it."""
    while pos < end:
        pos = yield from _one(data, pos, end)


def _one(data: bytes, pos: int, end: int) -> Generator[Blank, None, int]:
    """Yield what is to be put over a codestream and what follows it; return where the next one begins."""
    at = yield from _header(data, pos + 2, end, _SOT)
    while data.startswith(_SOT, at):
        size = int.from_bytes(data[at + 6 : at + 10], "big")
        if data[at + 2 : at + 4] != _SOT_SIZE:
            raise Malformed("something else stands where a JPEG 2000 tile-part is due")
        body = yield from _header(data, at + 12, end, _SOD)
        stop = at + size
        if not size:
            stop = data.find(_EOC, body, end)
            stop = end if stop < 0 else stop
        if stop < body:
            raise Malformed("the length of a JPEG 2000 tile-part is wrong")
        at = min(stop, end)
    if data.startswith(_EOC, at):
        at += 2
        after = data.find(CODESTREAM, at, end)
        stop = end if after < 0 else after
        if data[at:stop].strip(b"\0\xff"):
            yield at, stop, bytes(stop - at)
        return stop
    if data[at:end].strip(b"\0\xff"):
        raise Malformed("something else stands where a JPEG 2000 tile-part is due")
    return end


def _header(data: bytes, pos: int, end: int, last: bytes) -> Generator[Blank, None, int]:
    """Yield what is to be put over a header; return where the marker after it stands."""
    while not data.startswith(last, pos):
        stop = pos + 2 + int.from_bytes(data[pos + 2 : pos + 4], "big")
        if not pos + 4 <= stop <= end or data[pos] != 0xFF or data[pos + 1] < 0x50:
            raise Malformed("something else stands where a JPEG 2000 marker segment is due")
        if data[pos + 1] not in _KEPT:
            now = bytes([_COM]) + data[pos + 2 : pos + 4] + bytes(stop - pos - 4)
            if now != data[pos + 1 : stop]:
                yield pos + 1, stop, now
        pos = stop
    return pos


def _boxes(data: bytes, pos: int, end: int, kept: frozenset[bytes]) -> Iterator[Blank]:
    while _MORE.search(data, pos, end):
        size, kind, inside = int.from_bytes(data[pos : pos + 4], "big"), data[pos + 4 : pos + 8], pos + 8
        if size == 1:
            size, inside = int.from_bytes(data[pos + 8 : pos + 16], "big"), pos + 16
        stop = pos + size if size else end
        if kind == b"jp2c":
            stop = min(stop, end)
        if stop < inside or stop > end or (kind == b"jp2c" and kind not in kept):
            raise Malformed("a JPEG 2000 box runs past the end")
        if kind not in kept:
            now = b"free" + data[pos + 8 : inside] + bytes(stop - inside)
            if now != data[pos + 4 : stop]:
                yield pos + 4, stop, now
        elif kind == b"jp2h":
            yield from _boxes(data, inside, stop, _HEADER_BOXES)
        elif kind == b"jp2c":
            if not data.startswith(CODESTREAM, inside):
                raise Malformed("a JPEG 2000 wrapper holds no codestream")
            yield from _codestream(data, inside, stop)
        pos = stop
