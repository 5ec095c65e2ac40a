"""Bytes of a value → whether they have the form that they must have."""

from __future__ import annotations

import io
import re
import zlib
from calendar import monthrange

from fw_gear_deid.verify import fails

ITEMS = (b"\xfe\xff\x00\xe0", b"\xff\xfe\xe0\x00")
"""How an item begins, little endian and big endian."""
BLOCK = 1 << 20  # bytes that are compared at once
_FEED = 1 << 16  # bytes that are inflated at once


def stands(src: bytes, start: int, end: int, now: bytes, at: int) -> bool:
    """Tell whether a span of the source stands in the result."""
    return all(
        now.startswith(src[begin : min(begin + BLOCK, end)], at + begin - start) for begin in range(start, end, BLOCK)
    )


MOMENTS = frozenset({"DA", "DT"})
FORMS = MOMENTS | {"AS"}
"""VRs of values whose form is checked where they changed."""
_BINARY = frozenset({"US", "SS", "UL", "SL", "UV", "SV", "FL", "FD"})
_BLANKS = b"\0 \t\r\n"
_MOMENT = re.compile(
    rb"(\d{4})(?:(\d\d)(?:(\d\d)(?:([01]\d|2[0-3])(?:[0-5]\d(?:[0-5]\d(?:\.\d{1,6})?)?)?)?)?)?([+-]\d{4})?"
)
_AGE = re.compile(rb"\d{3}[DWMY]")
_DAY = 8  # digits
_REGISTERED = re.compile(rb"1\.2\.840\.10008(\.(0|[1-9][0-9]{0,3})){1,10}")
_UID = re.compile(rb"(?=.{1,64}$)(0|[1-9][0-9]*)(\.(0|[1-9][0-9]*))*")


def is_moment(raw: bytes, vr: str) -> bool:
    """Tell whether a value is empty, or an age, or a date or date-time of the calendar (PS3.5 Table 6.2-1)."""
    raw = raw.strip(b" ")
    if vr == "AS":
        return not raw or _AGE.fullmatch(raw) is not None
    found = _MOMENT.fullmatch(raw)
    if found is None or (vr == "DA" and len(raw) != _DAY):
        return not raw
    year, month, day = (int(part or 1) for part in found.groups()[:3])
    return year > 0 and 1 <= month <= 12 and 1 <= day <= monthrange(year, month)[1]


_NOT_TO_THE_DAY = re.compile(rb"\d{4}[-./]?(\d\d)?([+-]\d\d:?\d\d|Z)?")


def stands_still(before: bytes, now: bytes, vr: str) -> bool:
    """Tell whether a value that is to move stayed; a DT to the year or month may, since days are not told of it."""
    if vr not in MOMENTS:
        return before == now and bool(before if vr in _BINARY else before.strip(_BLANKS))
    was, found = ([one.strip(_BLANKS) for one in raw.split(b"\\")] for raw in (before, now))
    return len(was) == len(found) and any(
        one == other and one and not (vr == "DT" and _NOT_TO_THE_DAY.fullmatch(one))
        for one, other in zip(was, found, strict=True)
    )


def is_uid(raw: bytes) -> bool:
    """Tell whether a value is empty or a legal UID (PS3.5 §9.1)."""
    raw = raw.rstrip(b"\0 ")
    return not raw or _UID.fullmatch(raw) is not None


def is_registered(raw: bytes) -> bool:
    """Tell whether a value is a UID of DICOM's own, which names no instance (PS3.6 Annex A)."""
    return _REGISTERED.fullmatch(raw.strip(b"\0 ")) is not None


def keeps_uid(before: bytes, now: bytes) -> bool:
    """Tell whether UIDs of a value came out as they went in, but for those that are registered."""
    was, are = ([part.strip(b"\0 ") for part in raw.split(b"\\")] for raw in (before, now))
    if len(was) != len(are):
        return False
    pairs = zip(was, are, strict=True)
    return any(one == other if one and not is_registered(one) else one != other for one, other in pairs)


def begins_like_items(head: bytes, size: int) -> bool:
    """Tell whether a value begins with an item that has room in it, give or take two bytes."""
    if size < 8 or head[:4] not in ITEMS:
        return False
    length = int.from_bytes(head[4:8], "little" if head[0] == 0xFE else "big")
    return length in range(size - 8 + 3) or length == 0xFFFFFFFF


def only_uid(raw: bytes) -> bytes:
    """Return a value without what stands behind a UID at its beginning."""
    found = re.match(rb"[0-9.]{1,64}(?![^\0 \\])", raw)
    return raw if found is None else found[0] + b"\0" * (len(found[0]) % 2)


def inflate(data: bytes, start: int, most: int) -> bytes:
    """Return the data set of a deflated file, of which nothing may be left over.

    Parameters
    ----------
    most : int
        How many bytes it may have.
    """
    stream, view, body = zlib.decompressobj(-15), memoryview(data), io.BytesIO()
    try:
        more = True
        while more and not stream.eof and body.tell() <= most:
            feed: bytes | memoryview = stream.unconsumed_tail
            if not feed:
                feed = view[start : start + _FEED]
                start += len(feed)
            piece = stream.decompress(feed, BLOCK)
            body.write(piece)
            more = bool(piece or feed)
    except zlib.error:
        raise fails("the result does not parse") from None
    if not stream.eof or stream.unused_data.strip(b"\0") or data[start:].strip(b"\0"):
        raise fails("bytes follow the last element, or are missing")
    return body.getvalue()
