"""Fragments of encapsulated PixelData ⇄ frames (PS3.5 §A.4)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from struct import Struct

from fw_gear_deid.model.errors import Unfit

ITEM, END = b"\xfe\xff\x00\xe0", b"\xfe\xff\xdd\xe0\0\0\0\0"
_LENGTH = Struct("<L")
_BEGINS = (b"\xff\xd8\xff", b"\xff\x4f\xff\x51", bytes.fromhex("0000000c6a502020"))
_OFFSETS_MAX = 1 << 32


def frames_of(src: bytes, value: int, end: int, count: int) -> list[bytes]:
    """Return the frames of an element.

    Parameters
    ----------
    value, end : int
        Its items, delimiter included.
    count : int
        How many frames its header announces.

    Raises
    ------
    Unfit
        Which fragments make a frame cannot be told, or they are not as many as announced.
    """
    spans = list(_spans(src, value, end))
    if not spans:
        raise Unfit("(7FE0,0010): it has no fragments; copy or export it again")
    (first, stop), fragments = spans[0], spans[1:]
    offsets = [one for (one,) in _LENGTH.iter_unpack(src[first:stop])] if (stop - first) % 4 == 0 else []
    if len(fragments) == count:
        groups = [[one] for one in fragments]
    elif count == 1:
        groups = [fragments]
    elif len(offsets) == count:
        groups = _by_offsets(fragments, offsets)
    else:
        groups = _by_beginnings(src, fragments)
    if len(groups) != count or not all(groups):
        raise Unfit("(7FE0,0010): other frames than (0028,0008) announces; compress it again with a DICOM toolkit")
    return [b"".join(src[start:stop] for start, stop in group) for group in groups]


def _spans(src: bytes, pos: int, end: int) -> Iterator[tuple[int, int]]:
    while pos < end - 8:
        start = pos + 8
        pos = start + _LENGTH.unpack_from(src, pos + 4)[0]
        yield start, pos


def _by_offsets(fragments: Sequence[tuple[int, int]], offsets: Sequence[int]) -> list[list[tuple[int, int]]]:
    if not fragments:
        return []
    base = fragments[0][0] - 8
    starts = {base + offset for offset in offsets}
    groups: list[list[tuple[int, int]]] = []
    for one in fragments:
        if one[0] - 8 in starts:
            groups.append([])
        if not groups:
            return []
        groups[-1].append(one)
    return groups


def _by_beginnings(src: bytes, fragments: Sequence[tuple[int, int]]) -> list[list[tuple[int, int]]]:
    groups: list[list[tuple[int, int]]] = []
    for one in fragments:
        if src.startswith(_BEGINS, one[0]):
            groups.append([])
        if not groups:
            return []
        groups[-1].append(one)
    return groups


def items_of(frames: Sequence[bytes]) -> bytes:
    """Return the items of an element, one for each frame, with offsets where they fit, and the delimiter."""
    even = [frame + b"\0" * (len(frame) % 2) for frame in frames]
    offsets, at = [], 0
    for frame in even:
        offsets.append(at)
        at += 8 + len(frame)
    table = b"".join(map(_LENGTH.pack, offsets)) if at < _OFFSETS_MAX else b""
    pieces = [ITEM, _LENGTH.pack(len(table)), table]
    for frame in even:
        pieces += [ITEM, _LENGTH.pack(len(frame)), frame]
    return b"".join((*pieces, END))
