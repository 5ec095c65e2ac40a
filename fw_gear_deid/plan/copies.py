"""UIDs that a section changed in a file, and the file → its other elements that hold one of them (``follow-uids``)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from fw_gear_deid.formats.dicom.every import every
from fw_gear_deid.formats.dicom.level import Found, Level
from fw_gear_deid.formats.dicom.walk import Walker
from fw_gear_deid.formats.dicom.wire import PIXEL_TAGS, Cut
from fw_gear_deid.model.dictionary import SINGLE_TEXT_VRS
from fw_gear_deid.model.legal import problem

_PADDING = b"\0 "
_PART = b"0123456789."
_LONGEST = 1 << 16  # bytes; a value that is a UID, or some, is no longer, padded as it may be


class Copy(NamedTuple):
    """An element whose value, or one of whose values, is a UID that was changed elsewhere."""

    level: Level
    one: Found
    value: bytes
    """As it will be."""


def may_hold(src: bytes, uid: bytes, spans: Sequence[tuple[int, int]]) -> bool:
    """Tell whether a UID stands by itself in bytes that no change covers: as more than a part of another text.

    Parameters
    ----------
    spans : sequence of (int, int)
        Where to look.
    """
    for first, last in spans:
        at = src.find(uid, first, last)
        while at >= 0:
            end = at + len(uid)
            if src[at - 1 : at] not in _DIGITS and src[end : end + 1] not in _DIGITS and _is_value(src, at, end):
                return True
            at = src.find(uid, end, last)
    return False


_DIGITS = frozenset(_PART[number : number + 1] for number in range(len(_PART)))
_SPACES = re.compile(rb"[ \0]*")


def _is_value(src: bytes, at: int, end: int) -> bool:
    """Tell whether bytes may be a value, or one of several, by what stands around."""
    if src[at - 1 : at] == b"\\" or src[end : end + 1] == b"\\":
        return True
    found = _SPACES.match(src, end)
    behind = (found.end() if found else end) - at
    while at >= 4:
        sizes = {int.from_bytes(src[at - 2 : at], order) for order in ("little", "big")}
        sizes |= {int.from_bytes(src[at - 4 : at], order) for order in ("little", "big")}
        if any(end - at <= size <= behind for size in sizes):
            return True
        if src[at - 1] not in _PADDING:
            return False
        at -= 1
        behind += 1
    return False


def copies(src: bytes, total: int, top: Level, changed: Mapping[bytes, bytes]) -> Iterator[Copy]:
    """Yield the elements of a data set that hold a changed UID, whatever their VR, in the order of the source.

    Parameters
    ----------
    src : bytes
        A file, or its beginning.
    total : int
        Length of all.
    top : Level
        Of the data set, as it was walked.
    changed : mapping of bytes to bytes
        UIDs as they came → as they will stand.

    Raises
    ------
    Cut
        More of the file is needed.
    """
    level, _ = Walker(src, total).beginning(every(top.place.encoding), top.start)
    for one in level.levels():
        for found in one.found:
            if found.items is not None or found.want.tag in PIXEL_TAGS or found.end - found.value > _LONGEST:
                continue
            if found.end > len(src):
                raise Cut
            value = _changed(src[found.value : found.end], found.want.vr, changed)
            if value is not None:
                yield Copy(one, found, value)


def _changed(raw: bytes, vr: str, changed: Mapping[bytes, bytes]) -> bytes | None:
    """Return a value with the changed UIDs in it; None where it holds none."""
    parts = [raw] if vr in SINGLE_TEXT_VRS else raw.split(b"\\")
    new = [changed.get(part.strip(_PADDING), part) for part in parts]
    if new == parts:
        return None
    put = [part for part, old in zip(new, parts, strict=True) if part is not old]
    if vr != "UN" and any(problem(part.decode("ascii"), vr) for part in put):
        return b""  # longer than the VR allows: nothing of it stays
    whole = b"\\".join(new).rstrip(_PADDING)
    return whole + (b"" if not len(whole) % 2 else b"\0" if vr in ("UI", "UN", "OB") else b" ")
