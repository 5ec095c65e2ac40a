"""Bytes of a DICOM file ⇄ its parts: preamble, file meta, data set (PS3.10 §7.1)."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fw_gear_deid.formats.dicom import deflated, whole
from fw_gear_deid.formats.dicom.fields import Fields, Watch, fields_of, watch
from fw_gear_deid.formats.dicom.level import CHARACTER_SET, Level, Place
from fw_gear_deid.formats.dicom.sniff import looks_like_dicom
from fw_gear_deid.formats.dicom.walk import Walker
from fw_gear_deid.formats.dicom.wire import (
    EXPLICIT_BIG,
    EXPLICIT_LITTLE,
    IMPLICIT_LITTLE,
    Cut,
    Encoding,
    is_explicit,
)
from fw_gear_deid.model.errors import Malformed, Odd, Unfit

if TYPE_CHECKING:
    from fw_gear_deid.formats.dicom.repair import Fix

META_LENGTH = 0x00020000
_MEDIA_CLASS, TRANSFER_SYNTAX = 0x00020002, 0x00020010
DEFLATED = "1.2.840.10008.1.2.1.99"
_ENCODING = {
    "1.2.840.10008.1.2": IMPLICIT_LITTLE,
    "1.2.840.10008.1.2.2": EXPLICIT_BIG,
    "1.2.840.113619.5.2": IMPLICIT_LITTLE,  # GE private: only the pixels are big endian
}
# SOPClassUID, SOPInstanceUID, Modality: one of them must be in a data set that has no file meta to name it
_IDENTITY = frozenset({0x00080016, 0x00080018, 0x00080060})
_FIRST = 1 << 15  # bytes; the identifiers of most files stand in the first eight thousand
Splice = tuple[int, int, bytes]
Top = Callable[[Encoding], Place]


@dataclass(slots=True)
class Parts:
    """One DICOM file, walked.

    Attributes
    ----------
    src : bytes
        What ``meta`` was walked in: the whole file, or its beginning.
    meta : Level
        Group 0002; with nothing found when the file has none.
    body_src : bytes
        What ``body`` was walked in: ``src``, or the inflated data set.
    body : Level
    total : int
        Length of ``body_src``, to its end where only a beginning is at hand.
    fixes : tuple of Fix
        What was made plain before it was walked.
    """

    src: bytes
    meta: Level
    body_src: bytes
    body: Level
    total: int
    fixes: tuple[Fix, ...] = ()

    @property
    def has_prefix(self) -> bool:
        """Whether the file has a preamble."""
        return looks_like_dicom(self.src)

    @property
    def trailing(self) -> int:
        """Number of bytes that follow the last element."""
        return self.total - self.body.end

    @property
    def deflated(self) -> bool:
        """Whether the data set was inflated."""
        return self.body_src is not self.src


def read(src: bytes, meta: Place, top: Top, total: int | None = None) -> Parts:
    """Walk a file; what is not encoded as DICOM demands is first made plain.

    Parameters
    ----------
    src : bytes
        The whole file, or its beginning.
    meta : Place
    top : callable
        Encoding of the data set → its place.
    total : int, optional
        Length of the whole file.

    Raises
    ------
    Malformed
        It is no DICOM, or damaged.
    Odd
        It is not encoded as DICOM demands, and there is no certain way to read it.
    Cut
        More of the file is needed.
    """
    parts = finding = None
    try:
        parts = read_plain(src, meta, top, total)
        if not parts.body.doubts:
            return parts
    except Odd as error:
        finding = error.with_traceback(None)  # which holds all that was walked
    if total not in (None, len(src)):
        raise Cut
    try:
        data, fixes = _mended(src, finding)
    except Odd:
        if parts is None:
            raise
        return parts  # what is in doubt is for rules to remove
    if fixes or parts is None:
        parts = read_plain(data, meta, top)
        parts.fixes = fixes
    return parts


def _mended(src: bytes, finding: Odd | None) -> tuple[bytes, tuple[Fix, ...]]:
    """Return a file made plain, and what was odd in it.

    Parameters
    ----------
    finding : Odd, optional
        Why it could not be walked.

    Raises
    ------
    Malformed, Odd
    """
    from fw_gear_deid.formats.dicom import careful, repair

    start = _start(src)
    meta = repair.read_meta(src, start)
    encoding = _ENCODING.get(meta.syntax, EXPLICIT_LITTLE)
    if meta.syntax == DEFLATED:
        body = repair.data_set(b"".join(deflated.inflate(src, meta.stop)), 0, encoding)
        data, rest = (b"".join(deflated.deflate([one])) for one in (body.data, body.data + body.rest))
    else:
        body = repair.data_set(src, meta.stop, encoding)
        data, rest = body.data, body.data + body.rest
    fixes = (*meta.fixes, *body.fixes)
    before = src[:start] + meta.data
    if fixes:
        careful.read_back(before + data, body.tags)
    elif finding is not None:
        raise Odd(f"{finding}; {repair.REMEDY}")
    return before + rest, fixes


def _start(src: bytes) -> int:
    """Return where the file meta begins, or the data set that has none."""
    if looks_like_dicom(src):
        return 132
    if src[:2] in (b"\x02\0", b"\x08\0") and len(src) > 8:
        return 0  # without preamble, as before PS3.10
    raise Malformed("it is not DICOM: no prefix 'DICM' and no data set at its start")


def read_plain(src: bytes, meta: Place, top: Top, total: int | None = None) -> Parts:
    """Walk a file that is encoded as DICOM demands.

    Raises
    ------
    Malformed, Odd, Cut
        As ``read``; nothing is made plain.
    """
    size = len(src) if total is None else total
    walked = Walker(src, size).meta(meta, _start(src))
    length = next((one for one in walked.found if one.want.tag == META_LENGTH), None)
    if length is not None and (length.want.wire != "UL" or length.end - length.value != 4):
        raise Odd("the length of its file meta information is no number")
    body_src, start, tail = src, walked.end, b""
    syntax = transfer_syntax(src, walked)
    if syntax.strip("0123456789."):
        raise Malformed("(0002,0010) holds no transfer syntax; correct it with a DICOM toolkit")
    if syntax == DEFLATED:
        if size != len(src):
            raise Cut
        body_src, tail = deflated.inflate(src, walked.end)
        start, size = 0, len(body_src)
    encoding = _ENCODING.get(syntax, EXPLICIT_LITTLE)
    explicit = is_explicit(body_src, start, size, encoding)
    walker = Walker(body_src, size)
    body, error = walker.beginning(top(Encoding(explicit, encoding.little)), start)
    if isinstance(error, Malformed) and explicit != encoding.explicit:
        raise Odd(str(error))  # its first element may have misled
    if body.end == start:
        raise error or Malformed("its data set is empty")
    if not looks_like_dicom(src) and (body.end != size or not _is_identified(body_src, size, body)):
        raise Malformed("it is not DICOM: no prefix 'DICM', and its bytes are no complete data set")
    whole.check(walker, body, error, _uid(src, walked, _MEDIA_CLASS))
    return Parts(src, walked, body_src + tail if tail else body_src, body, size + len(tail))


def _is_identified(src: bytes, total: int, body: Level) -> bool:
    """Tell whether a data set names its class, instance or modality."""
    watched, _ = Walker(src, total).beginning(watch(body.place.encoding, _IDENTITY), body.start)
    return bool(watched.found)


def transfer_syntax(src: bytes, meta: Level) -> str:
    """Return the UID of (0002,0010), empty when there is none."""
    return _uid(src, meta, TRANSFER_SYNTAX)


def _uid(src: bytes, meta: Level, tag: int) -> str:
    """Return the first value of an element, whatever stands behind it."""
    one = next((one for one in meta.found if one.want.tag == tag), None)
    text = "" if one is None else src[one.value : one.end].decode("ascii", "replace")
    return _BEHIND.split(text.lstrip(" "), maxsplit=1)[0]


_BEHIND = re.compile(r"[\0 \\]")


# -- looking -------------------------------------------------------------------------------------------


def watch_meta() -> Watch:
    """Return the file meta, of which length and transfer syntax are looked at."""
    return watch(EXPLICIT_LITTLE, _META)


_META = frozenset({META_LENGTH, _MEDIA_CLASS, TRANSFER_SYNTAX})


def look(src: bytes, tags: frozenset[int], total: int | None = None) -> Fields:
    """Return some elements of a file's top level; all of it must be readable.

    Parameters
    ----------
    src : bytes
        The whole file, or its beginning.
    tags : frozenset of int
    total : int, optional
        Length of the whole file.

    Raises
    ------
    Malformed, Odd, Cut
        As ``read``.
    """
    parts = read(src, watch_meta(), lambda encoding: watch(encoding, tags | {CHARACTER_SET}), total)
    return fields_of(parts.body_src, parts.body, tags)


@dataclass(frozen=True, slots=True)
class Head:
    """Some elements at the beginning of a file's top level.

    Attributes
    ----------
    tags : frozenset of int
        None above ``last``.
    needed : int
        One of the tags. Where it is not found on the way, all elements are walked: they may be out of order.
    last : int
        The first element after this tag ends the reading.
    """

    tags: frozenset[int]
    needed: int
    last: int

    def look(self, src: bytes, total: int) -> Fields:
        """Return them; what is behind them need not be readable.

        Parameters
        ----------
        src : bytes
            The whole file, or its beginning.
        total : int
            Length of the whole file.

        Raises
        ------
        Malformed, Odd, Cut
            As ``read``.
        """
        found = _head(src, self.tags, self.last)
        return found if found is not None and self.needed in found.raws else look(src, self.tags, total)

    def read(self, read_more: Callable[[int], bytes], total: int) -> Fields:
        """Return them, reading no more than that needs.

        Parameters
        ----------
        read_more : callable
            Number of bytes → the next ones.
        total : int
            How many there are.

        Raises
        ------
        Malformed, Odd
            As ``read``.
        """
        src, size = b"", _FIRST
        while True:
            more = read_more(size)
            src += more
            ended = len(more) < size
            try:
                return self.look(src, len(src) if ended else max(total, len(src)))
            except Cut:
                if ended:
                    raise
            size = 3 * len(src)


def _head(src: bytes, tags: frozenset[int], last: int) -> Fields | None:
    if not looks_like_dicom(src):
        return None
    try:
        meta = Walker(src).meta(watch_meta(), 132)
    except Unfit:
        return None
    body_src, start = src, meta.end
    syntax = transfer_syntax(src, meta)
    if syntax == DEFLATED:
        body_src, start = deflated.beginning(src, meta.end), 0
    encoding = _ENCODING.get(syntax, EXPLICIT_LITTLE)
    explicit = is_explicit(body_src, start, len(body_src), encoding)
    place = watch(Encoding(explicit, encoding.little), tags | {CHARACTER_SET})
    body = Walker(body_src).head(place, start, last)
    return None if body is None else fields_of(body_src, body, tags)


# -- writing -------------------------------------------------------------------------------------------

Pieces = list[bytes | memoryview]


def write(parts: Parts, meta: Sequence[Splice], body: Sequence[Splice]) -> tuple[Pieces, list[Splice]]:
    """Return the bytes of an edited file: clean preamble, file meta, data set, nothing after it.

    Returns
    -------
    list of bytes or memoryview, list of Splice
        The pieces, and the splices of the file meta with its new length.
    """
    out: Pieces = []
    if parts.has_prefix:
        out.append(bytes(128) + b"DICM")
    told = list(meta)
    if parts.meta.found:
        told = _with_length(parts, meta)
        join(parts.src, parts.meta.start, parts.meta.end, told, out)
    if not parts.deflated:
        join(parts.src, parts.body.start, parts.body.end, body, out)
        return out, told
    if not body and not parts.trailing:
        out.append(memoryview(parts.src)[parts.meta.end :])
        return out, told
    pieces: Pieces = []
    join(parts.body_src, parts.body.start, parts.body.end, body, pieces)
    out += deflated.deflate(pieces)
    return out, told


def behind(parts: Parts, body: Sequence[Splice]) -> int:
    """Return how many bytes, of those that are not at hand, follow what ``write`` returns.

    Raises
    ------
    Cut
        A change lies among them.
    """
    if parts.deflated or len(parts.src) == parts.total:
        return 0
    if parts.trailing or any(start > len(parts.src) for start, _, _ in body):
        raise Cut
    taken = max((stop for _, stop, _ in body), default=0)
    return parts.total - max(len(parts.src), taken)


def _with_length(parts: Parts, meta: Sequence[Splice]) -> list[Splice]:
    """Return splices of the file meta with (0002,0000) as it must be after them: the number of bytes behind it."""
    one = next((one for one in parts.meta.found if one.want.tag == META_LENGTH), None)
    start, end = (parts.meta.start,) * 2 if one is None else (one.start, one.end)
    others = [splice for splice in meta if splice[:2] != (start, end) or start == end]
    size = parts.meta.end - parts.meta.start - (end - start)
    size += sum(len(new) - stop + begin for begin, stop, new in others)
    return sorted([(start, end, b"\x02\0\0\0UL\x04\0" + size.to_bytes(4, "little")), *others], key=lambda one: one[:2])


def join(src: bytes, start: int, end: int, splices: Sequence[Splice], out: Pieces) -> None:
    """Append a span of the source with its splices carried out."""
    view = memoryview(src)
    for begin, stop, new in splices:
        if begin > start:
            out.append(view[start:begin])
        if new:
            out.append(new)
        start = stop
    if end > start:
        out.append(view[start:end])
