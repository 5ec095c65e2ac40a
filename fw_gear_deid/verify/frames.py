"""Frames of a result and of its source → nothing, or what is wrong: comments left, or more than comments gone.

A reader of its own: it goes through the result and lists what is blank there. All else must be the source's.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import NamedTuple

from fw_gear_deid.verify import fails

_JPEG, _CODESTREAM, _WRAPPER = b"\xff\xd8", b"\xff\x4f\xff\x51", bytes.fromhex("0000000c6a502020")
_ITEM = b"\xfe\xff\x00\xe0"
_SCAN_ENDS = re.compile(rb"\xff[\xc0-\xcf\xd8-\xfe]")
_MORE = re.compile(rb"[^\0]")
_DECODING = frozenset(bytes([code]) for code in (*range(0xC0, 0xD0), *range(0xDA, 0xE0), 0xF7, 0xF8))
_ALONE = frozenset(range(0xD0, 0xDA))
_STARTS = ((0xE0, b"JFIF\0", 14), (0xE8, b"mrfx", 5), (0xEE, b"Adobe", 12))
_CODING = frozenset(bytes.fromhex(f"{code:02x}") for code in b"PQRSUVWXY\\]^_`ac")
_TOP = frozenset({b"jP  ", b"ftyp", b"jp2h", b"jp2c"})
_INNER = frozenset({b"ihdr", b"bpcc", b"colr", b"pclr", b"cmap", b"cdef", b"res "})


class Blank(NamedTuple):
    """A span of a frame that may differ: zeros, or a name of what is blank, and names that it had not in the source."""

    start: int
    end: int
    never: frozenset[bytes] = frozenset()


def check(src: bytes, value: int, end: int, before: Callable[[int, int], bytes]) -> None:
    """Make sure of the frames of an element.

    Parameters
    ----------
    src : bytes
        The result.
    value, end : int
        Fragments of the element, delimiter included.
    before : callable
        Span of the result → as many bytes that stood there in the source.

    Raises
    ------
    Unfit
    """
    fragments, pos = [], value
    while src.startswith(_ITEM, pos) and pos < end:
        size = int.from_bytes(src[pos + 4 : pos + 8], "little")
        fragments.append((pos + 8, pos + 8 + size))
        pos += 8 + size
    heads = [
        n
        for n, (start, stop) in enumerate(fragments)
        if src[start : min(start + 8, stop)].startswith((_JPEG, _CODESTREAM, _WRAPPER))
    ]
    if heads[:1] != [0] and heads[:1] != [1]:
        heads.insert(0, 1)  # behind the offset table
    for first, last in pairwise((*heads, len(fragments))):
        frame = fragments[first:last]
        now, was = (b"".join(read(*one) for one in frame) for read in (lambda start, stop: src[start:stop], before))
        _check(now, was)


def _check(now: bytes, was: bytes) -> None:
    at = 0
    for start, end, never in _blanks(now):
        if now[at:start] != was[at:start]:
            raise fails("more than comments changed in a frame")
        if any(was.startswith(head, start) for head in never):
            raise fails("a segment that decoding needs is gone from a frame")
        if not never and now[start:end].strip(b"\0\xff"):
            raise fails("bytes that belong to no segment are left in a frame")
        at = end
    if now[at:] != was[at:]:
        raise fails("more than comments changed in a frame")


def _blanks(data: bytes) -> Iterator[Blank]:
    if data.startswith(_JPEG):
        yield from _jpeg(data)
    elif data.startswith(_CODESTREAM):
        yield from _codestream(data, 0, len(data))
    elif data.startswith(_WRAPPER):
        yield from _boxes(data, 0, len(data), _TOP)


def _jpeg(data: bytes) -> Iterator[Blank]:
    pos, chunks = 0, False
    while pos < len(data):
        if data[pos] != 0xFF:
            stop = data.find(b"\xff", pos)
            stop = len(data) if stop < 0 else stop
            yield Blank(pos, stop)
            pos = stop
            continue
        code = data[pos + 1] if pos + 1 < len(data) else 0
        if code in (0, 0xFF):
            pos += 1
            continue
        if code in _ALONE:
            chunks = chunks and code != 0xD8
            pos += 2
            continue
        stop = pos + 2 + int.from_bytes(data[pos + 2 : pos + 4], "big")
        if code < 0xC0 or not pos + 4 <= stop <= len(data):
            raise fails("a frame does not parse")
        body = data[pos + 4 : stop]
        if code == 0xE2 and body[:13] == b"ICC_PROFILE\0\1":
            chunks = body[50:54] == b"acsp"
        if bytes([code]) not in _DECODING and not (code == 0xE2 and chunks and body[:12] == b"ICC_PROFILE\0"):
            kept = next((size for one, head, size in _STARTS if one == code and body.startswith(head)), 0)
            if body[kept:].strip(b"\0") or not (kept or code == 0xFE):
                raise fails("comments are left in a frame")
            yield Blank(min(pos + 4 + kept, stop), stop) if kept else Blank(pos + 1, pos + 2, _DECODING)
            if not kept:
                yield Blank(pos + 4, stop)
        pos = stop
        if code == 0xDA:
            ends = _SCAN_ENDS.search(data, pos)
            pos = len(data) if ends is None else ends.start()


def _codestream(data: bytes, start: int, end: int) -> Iterator[Blank]:
    pos, tile, size = start + 2, start, 0
    while pos < end:
        code = data[pos : pos + 2]
        if code == b"\xff\xd9":
            after = data.find(_CODESTREAM, pos + 2, end)
            yield Blank(pos + 2, end if after < 0 else after)
            pos = end if after < 0 else after + 2
            continue
        if code == b"\xff\x93":
            close = data.find(b"\xff\xd9", pos, end)
            pos = tile + size if size else (end if close < 0 else close)
            continue
        if code[:1] != b"\xff" or code[1:] in (b"", b"\0", b"\xff"):
            if data[pos:end].strip(b"\0\xff"):
                raise fails("a frame does not parse")
            return
        stop = pos + 2 + int.from_bytes(data[pos + 2 : pos + 4], "big")
        if not pos + 4 <= stop <= end:
            raise fails("a frame does not parse")
        if code == b"\xff\x90":
            tile, size = pos, int.from_bytes(data[pos + 6 : pos + 10], "big")
        elif code == b"\xff\x64":
            if data[pos + 4 : stop].strip(b"\0"):
                raise fails("comments are left in a frame")
            yield Blank(pos + 1, pos + 2, _CODING)
            yield Blank(pos + 4, stop)
        elif code[1:] not in _CODING:
            raise fails("comments are left in a frame")
        pos = stop


def _boxes(data: bytes, pos: int, end: int, kept: frozenset[bytes]) -> Iterator[Blank]:
    while _MORE.search(data, pos, end):
        size, head = int.from_bytes(data[pos : pos + 4], "big"), 8
        kind = data[pos + 4 : pos + 8]
        if size == 1:
            size, head = int.from_bytes(data[pos + 8 : pos + 16], "big"), 16
        stop = pos + size if size else end
        stop = min(stop, end) if kind == b"jp2c" else stop
        if not pos + head <= stop <= end:
            raise fails("a frame does not parse")
        if kind == b"jp2h":
            yield from _boxes(data, pos + head, stop, _INNER)
        elif kind == b"jp2c":
            yield from _codestream(data, pos + head, stop)
        elif kind not in kept:
            if kind != b"free" or data[pos + head : stop].strip(b"\0"):
                raise fails("comments are left in a frame")
            yield Blank(pos + 4, pos + 8, kept)
            yield Blank(pos + head, stop)
        pos = stop
