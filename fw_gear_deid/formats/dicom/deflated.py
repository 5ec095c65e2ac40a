"""Deflated data set ⇄ its bytes (PS3.5 §A.5), in steps and within limits: what is too much is never held."""

from __future__ import annotations

import io
import zlib
from collections.abc import Callable, Iterable, Iterator

from fw_gear_deid.formats.archive import flate
from fw_gear_deid.formats.dicom.wire import ITEM_HEADS
from fw_gear_deid.model import limits
from fw_gear_deid.model.errors import Malformed

_LEVEL, _RAW = 6, -15
_FEED, _PIECE = 1 << 16, 1 << 18  # bytes that are given and taken at once
_HELD = 8 << 20  # bytes that are held while the others are counted


def inflate(src: bytes, start: int) -> tuple[bytes, bytes]:
    """Return an inflated data set, and what follows it but padding: some writers leave a gzip trailer there.

    Raises
    ------
    Malformed
        It is damaged or cut off.
    Beyond
        It inflates to more than it may, or to more items than a data set may have.
    """
    budget = limits.now()
    room, many = budget.room(len(src) - start), budget.most("elements")
    held, size, items = io.BytesIO(), 0, 0
    tail = b""

    def end(rest: bytes) -> None:
        nonlocal tail
        tail = rest

    for piece in _pieces(src, start, end):
        size += len(piece)
        items += piece.count(ITEM_HEADS[0])
        if size > room:
            raise limits.beyond("inflated", room)
        if items > many:
            raise limits.beyond("elements", many)
        budget.tick()
        if size <= _HELD:
            held.write(piece)
    if size > _HELD:
        held = io.BytesIO()
        for piece in _pieces(src, start, end):
            held.write(piece)
    return held.getvalue(), tail if tail.strip(b"\0") else b""


def _pieces(src: bytes, start: int, end: Callable[[bytes], None]) -> Iterator[bytes]:
    """Yield what bytes inflate to; ``end`` takes what follows the stream."""
    view, stream, pos = memoryview(src), flate.inflater(), start
    try:
        while not stream.eof:
            feed = bytes(view[pos : pos + _FEED]) if stream.needs_input else b""
            pos += len(feed)
            piece = stream.decompress(feed, _PIECE)
            if piece:
                yield piece
            elif not feed and not stream.eof and stream.needs_input:
                raise Malformed("its deflated data set is cut off")
    except flate.DAMAGE:
        raise Malformed("its deflated data set is damaged") from None
    end(stream.unused_data + bytes(view[pos:]))


def deflate(pieces: Iterable[bytes | memoryview]) -> Iterator[bytes]:
    """Yield a deflated data set, padded to even length."""
    stream, size = zlib.compressobj(_LEVEL, zlib.DEFLATED, _RAW), 0
    for piece in pieces:
        for at in range(0, len(piece), _PIECE):
            if packed := stream.compress(piece[at : at + _PIECE]):
                size += len(packed)
                yield packed
    packed = stream.flush()
    yield packed + b"\0" * ((size + len(packed)) % 2)


def beginning(src: bytes, start: int) -> bytes:
    """Return the first of what bytes inflate to, as far as it can be had."""
    try:
        return zlib.decompressobj(_RAW).decompress(memoryview(src)[start:], min(8 * len(src), _HELD))
    except zlib.error:
        return b""
