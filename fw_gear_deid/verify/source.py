"""Source, splices and the audit's paths → nothing, or what the splices take of the source and the audit does not name.

The source is read once more, by a reader that shares nothing with what made the splices: each must take one whole
element, mend a length or stand between elements; and behind the last element nothing may be that nobody tells of.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Sequence, Set
from struct import Struct
from typing import NamedTuple

from fw_gear_deid.model import limits
from fw_gear_deid.model.dictionary import LONG_VRS, VRS, format_tag, is_private, public_vr
from fw_gear_deid.model.errors import Unfit
from fw_gear_deid.verify import fails

Splice = tuple[int, int, bytes]
UNDEFINED = b"\xff\xff\xff\xff"
LONG_CODES = frozenset(vr.encode() for vr in LONG_VRS)
VR_OF = {vr.encode(): vr for vr in VRS}
PIXELS = frozenset({0x7FE00010, 0x7FE00008, 0x7FE00009})
DEFLATED = "1.2.840.10008.1.2.1.99"
TRAILING = "trailing bytes"
"""Path of the audit's row about what follows the last element."""
# byte order → tag, VR and short length · tag and long length
HEADS = {True: Struct("<HH2sH"), False: Struct(">HH2sH")}
PLAINS = {True: Struct("<HHL"), False: Struct(">HHL")}
LENGTHS = {True: Struct("<L"), False: Struct(">L")}
_SYNTAX, _META_LENGTH = 0x00020010, 0x00020000
_ITEMS = (b"\xfe\xff\x00\xe0", b"\xff\xfe\xe0\x00")
_KNOWN_MAX, _BLOCK = 50_000, 1 << 16
_NEVER = 1 << 62
_PRIVATE = re.compile(r'\(([0-9A-F]{3}[13579BDF]),(?:".*?",|[0-9A-F]{2})([0-9A-F]{2})\)')
_BEHIND = re.compile(r"[\0 \\]")
_NOT_EXPLICIT_LITTLE = {
    "1.2.840.10008.1.2": (False, True),
    "1.2.840.10008.1.2.2": (True, False),
    "1.2.840.113619.5.2": (False, True),
}


class Form(NamedTuple):
    """How a data set is encoded."""

    explicit: bool
    little: bool


class Span(NamedTuple):
    """Where the parts of a file stand.

    Attributes
    ----------
    data, body : bytes
        The file, or its beginning, and what its data set stands in: the same, or the inflated data set.
    meta, meta_end : int
        The file meta in ``data``.
    start, end : int
        The data set in ``body``.
    total : int
        Length of ``body``, to its end where only a beginning is at hand.
    """

    data: bytes
    body: bytes
    meta: int
    meta_end: int
    start: int
    end: int
    total: int


def form_of(syntax: str) -> Form:
    """Return the encoding that a transfer syntax tells."""
    return Form(*_NOT_EXPLICIT_LITTLE.get(syntax, (True, True)))


def really(src: bytes, pos: int, end: int, form: Form) -> Form:
    """Return how elements are really encoded: some writers change between explicit and implicit VR."""
    if end - pos < 8 or src[pos : pos + 2] in (b"\xfe\xff", b"\xff\xfe"):
        return form
    explicit = src[pos + 4 : pos + 6] in VR_OF
    if explicit and not form.explicit:
        explicit = _is_followed(src, pos, end, form)
    return form if explicit == form.explicit else Form(explicit, form.little)


def _is_followed(src: bytes, pos: int, end: int, form: Form) -> bool:
    """Tell whether an element, read with its VR, is followed by another with a VR, an item or the end."""
    _, _, code, length = HEADS[form.little].unpack_from(src, pos)
    pos += 8
    if code in LONG_CODES:
        if end - pos < 4:
            return False
        if src[pos : pos + 4] == UNDEFINED:
            return True
        length = 4 + LENGTHS[form.little].unpack_from(src, pos)[0]
    pos += length
    if end - pos < 8:
        return bool(pos == end)
    group, _, code, _ = HEADS[form.little].unpack_from(src, pos)
    return group == 0xFFFE or code in VR_OF


Known = dict[bytes, tuple[int, int, bool, bool]]
"""First eight bytes of an element → tag, length with header (-1: behind them), whether UN, whether it holds items."""


class Reader:
    """The reader of sources; what it once read of eight bytes it remembers."""

    def __init__(self) -> None:
        self._known: dict[Form, Known] = {}

    def known(self, form: Form) -> Known:
        """Return what is remembered in an encoding."""
        return self._known.setdefault(form, {})

    def check(self, span: Span, meta: Sequence[Splice], body: Sequence[Splice], paths: Set[str]) -> None:
        """Make sure that nothing of a source gets lost untold.

        Parameters
        ----------
        span : Span
        meta, body : sequence of Splice
        paths : set of str
            Of the audit's rows.

        Raises
        ------
        Unfit
            A splice takes more or less than an element, the audit does not name one, or something is left behind.
        struct.error
            It does not parse.
        """
        data, src = span.data, span.body
        if span.meta != (132 if data[128:132] == b"DICM" else 0) or data[span.meta_end : span.meta_end + 2] == b"\2\0":
            raise fails("the file meta of the source is not where it was read")
        told = _Walk(self, data, meta, paths)
        told.whole(span.meta, span.meta_end, Form(explicit=True, little=True))
        if src is data:
            if span.start != span.meta_end:
                raise fails("the data set of the source does not begin where it was read")
        elif span.start or told.syntax != DEFLATED or not _is_inflated(span):
            raise fails("what was read is not the data set of the source")
        form = really(src, span.start, span.total, form_of(told.syntax))
        walk = _Walk(self, src, body, paths)
        walk.whole(span.start, span.end, form)
        self._behind(span, walk, form, paths)

    def _behind(self, span: Span, walk: _Walk, form: Form, paths: Set[str]) -> None:
        """Make sure that behind the last element is nothing, padding, or what the audit tells."""
        src, end = span.body, span.end
        if not max(end, len(src)) <= span.total:
            raise fails("the source is longer than what was read")
        if end == span.total:
            return
        if walk.begins(end, span.total, form):
            raise fails("elements of the source are left behind")
        if TRAILING not in paths and (len(src) < span.total or src[end:].strip(b"\0")):
            raise fails("the audit does not tell of bytes after the last element")


class _Walk:
    """A span of one source, read in step with its splices."""

    def __init__(self, reader: Reader, src: bytes, splices: Sequence[Splice], paths: Set[str]) -> None:
        self._reader = reader
        self._src = src
        self._splices = splices
        self._paths = paths
        self._loose: set[str] | None = None
        self._index = 0
        self._next = splices[0][0] if splices else _NEVER
        self._last = 0
        self._items_left = limits.now().most("elements")
        self.syntax = ""

    def whole(self, pos: int, end: int, form: Form) -> None:
        """Read all elements of a span; every splice must have had its place then."""
        if pos < end or self._splices:
            self._level(pos, end, form, "", undefined=False)
        if self._next != _NEVER:
            raise self._misplaced()

    def begins(self, pos: int, total: int, form: Form) -> bool:
        """Tell whether a whole element begins behind the last one."""
        src = self._src
        if len(src) - pos < 12:
            return False
        group, element, code, short = HEADS[form.little].unpack_from(src, pos)
        tag = group << 16 | element
        if group in (0, 2, 0xFFFE, 0xFFFF):
            return False
        if not form.explicit:
            if tag < self._last or not (is_private(tag) or public_vr(tag)):
                return False
            head, size = 8, src[pos + 4 : pos + 8]
        elif code not in VR_OF:
            return False
        elif code in LONG_CODES:
            head, size = 12, src[pos + 8 : pos + 12]
        else:
            return bool(pos + 8 + short <= total)
        return size == UNDEFINED or pos + head + int.from_bytes(size, "little" if form.little else "big") <= total

    # -- elements --------------------------------------------------------------------------------------

    def _level(self, pos: int, end: int, form: Form, path: str, *, undefined: bool) -> int:
        """Read the elements of a data set; return where it ended, behind its delimiter if there is one."""
        src, known = self._src, self._reader.known(form)
        head, length_of = (12 if form.explicit else 8), LENGTHS[form.little].unpack_from
        tag = 0
        while pos < end:
            key = src[pos : pos + 8]
            tag, length, unknown, holds = known.get(key) or self._learn(key, form)
            if self._next <= pos:
                self._take(pos, path, form)
            if not length:
                if not undefined:
                    raise fails("the source does not parse")
                return pos + 8
            begin = pos
            if length > 0:
                value, pos = pos + 8, pos + length
            else:
                value = pos + head
                if src[value - 4 : value] == UNDEFINED:
                    pos = self._open(begin, value, end, form, path, (tag, unknown, holds))
                    continue
                pos = value + length_of(src, value - 4)[0]
            if pos > end:
                raise fails("the source does not parse")
            if tag == _SYNTAX:
                self.syntax = _BEHIND.split(src[value:pos].decode("ascii", "replace").lstrip(" "), maxsplit=1)[0]
            if self._next < pos:
                self._touch(begin, value, pos, form, path + format_tag(tag), unknown=unknown)
        if undefined:
            raise fails("the source does not parse")
        if self._next <= pos:
            self._take(pos, path, form)
        self._last = tag
        return pos

    def _learn(self, key: bytes, form: Form) -> tuple[int, int, bool, bool]:
        """Decode the first eight bytes of an element; length 0 is the end of an item."""
        if len(key) < 8:
            raise fails("the source does not parse")
        group, element, code, short = HEADS[form.little].unpack(key)
        tag = group << 16 | element
        if tag == 0xFFFEE00D and key[4:] == bytes(4):
            return tag, 0, False, False
        if group in (0, 0xFFFE) or (form.explicit and code not in VR_OF):
            raise fails("the source does not parse")
        vr = public_vr(tag) or "UN"
        if form.explicit:
            wire = VR_OF[code]
            length = -1 if code in LONG_CODES else 8 + short
            unlisted = vr == "UN" and wire in LONG_VRS and tag not in PIXELS
            holds = wire in ("SQ", "UN") or unlisted
        else:
            wire = vr
            length = -1 if key[4:] == UNDEFINED else 8 + LENGTHS[form.little].unpack_from(key, 4)[0]
            holds = vr in ("SQ", "UN")
        known = self._reader.known(form)
        if len(known) >= _KNOWN_MAX:
            known.clear()
        known[key] = tag, length, wire == "UN", holds
        return known[key]

    def _open(self, pos: int, value: int, end: int, form: Form, path: str, what: tuple[int, bool, bool]) -> int:
        """Read what has no length; return where it ends."""
        tag, unknown, holds = what
        here = path + format_tag(tag)
        taken = self._next == pos
        if taken:
            self._next = _NEVER  # it goes as a whole: no splice has its place inside
        if holds:
            stop = self._items(value, end, _inside(form, unknown=unknown), here, undefined=True)
        else:
            stop = self._fragments(value, end)
            self._blanked(stop, here)
        if taken:
            self._next = pos
            self._cover(pos, stop, form, here)
        return stop

    def _fragments(self, pos: int, end: int) -> int:
        """Return where fragments end."""
        src = self._src
        while src[pos : pos + 8] != b"\xfe\xff\xdd\xe0\0\0\0\0":
            if src[pos : pos + 4] != b"\xfe\xff\x00\xe0" or pos >= end:
                raise fails("the source does not parse")
            pos += 8 + int(LENGTHS[True].unpack_from(src, pos + 4)[0])
        return pos + 8

    def _blanked(self, stop: int, path: str) -> None:
        """Take what is blanked inside fragments that the audit names; nothing moves by it."""
        while self._next < stop:
            first, last, new = self._splices[self._index]
            if last > stop or last - first != len(new):
                raise self._misplaced()
            self._named(path)
            self._step()

    def _items(self, pos: int, end: int, form: Form, path: str, *, undefined: bool) -> int:
        """Read the items of a sequence; return where it ends."""
        src, index = self._src, 0
        while pos < end or undefined:
            group, element, length = PLAINS[form.little].unpack_from(src, pos)
            item = group << 16 | element
            if item == 0xFFFEE0DD and undefined and not length:
                break
            if item != 0xFFFEE000:
                raise fails("the source does not parse")
            self._items_left -= 1
            if self._items_left < 0:
                raise limits.beyond("elements", limits.now().most("elements"))
            if self._next == pos + 4:
                self._mended()
            pos += 8
            ends = length == 0xFFFFFFFF
            stop = end if ends else pos + length
            if stop > end:
                raise fails("the source does not parse")
            below = really(src, pos, stop, form)
            reached = self._level(pos, stop, below, f"{path}[{index}]", undefined=ends)
            if not ends and reached != stop:
                raise fails("the source does not parse")
            pos = reached
            index += 1
        if not undefined and pos != end:
            raise fails("the source does not parse")
        if self._next == pos and self._splices[self._index][2][:4] in _ITEMS and self._is_named(path):
            self._step()  # else it is put behind an item of a sequence around this one, which ends here, too
        return pos + 8 if undefined else pos

    # -- splices ---------------------------------------------------------------------------------------

    def _touch(self, pos: int, value: int, stop: int, form: Form, here: str, *, unknown: bool) -> None:
        """Make sure that what is put into an element of a length replaces all of it, or stands in its items."""
        if self._next == pos:
            self._cover(pos, stop, form, here)
            return
        if self._next == value - 4:
            self._mended()
        if self._next < value or (value < stop and self._src[value : value + 4] not in _ITEMS):
            raise self._misplaced()
        self._items(value, stop, _inside(form, unknown=unknown), here, undefined=False)

    def _cover(self, pos: int, stop: int, form: Form, path: str) -> None:
        """Take a splice that must be of one whole element, which the audit names."""
        first, last, new = self._splices[self._index]
        if first != pos or last != stop:
            raise self._misplaced()
        if new and not (new[:4] == self._src[pos : pos + 4] and self._is_one(new, form)):
            raise fails("a change puts more or less than one element in")
        if path != "(0002,0000)" or new[:8] != b"\2\0\0\0UL\4\0":
            self._named(path)
        self._step()

    def _take(self, pos: int, path: str, form: Form) -> None:
        """Take what is put between elements; what the audit does not name here may belong to a data set around."""
        while self._next <= pos:
            first, last, new = self._splices[self._index]
            if first != pos:
                raise self._misplaced()
            if last != first:
                return
            group, element = HEADS[form.little].unpack_from(new)[:2]
            tag = group << 16 | element
            if tag != _META_LENGTH and not self._is_named(path + format_tag(tag)):
                return
            if not self._is_one(new, form):
                if path:
                    return  # an element of its name changed here, and one is put behind the items
                raise fails("a change puts more or less than one element in")
            self._step()

    def _is_one(self, new: bytes, form: Form) -> bool:
        """Tell whether bytes are one element."""
        head = 12 if form.explicit else 8
        if new[head - 4 : head] != UNDEFINED or (form.explicit and new[4:6] not in LONG_CODES):
            return _is_one(new, form)
        tag, _, unknown, holds = self._learn(new[:8], form)
        return _Walk(self._reader, new, (), frozenset())._open(
            0, head, len(new), form, "", (tag, unknown, holds)
        ) == len(new)

    def _mended(self) -> None:
        """Take the mending of a length."""
        first, last, new = self._splices[self._index]
        if not last - first == 4 == len(new):
            raise self._misplaced()
        self._step()

    def _step(self) -> None:
        self._index += 1
        self._next = self._splices[self._index][0] if self._index < len(self._splices) else _NEVER

    def _is_named(self, path: str) -> bool:
        """Tell whether the audit has a row of a path, which may name blocks of private elements by creator."""
        if path in self._paths:
            return True
        loose = _PRIVATE.sub(r"(\1,\2)", path)
        if loose == path:
            return False
        if self._loose is None:
            self._loose = {_PRIVATE.sub(r"(\1,\2)", one) for one in self._paths}
        return loose in self._loose

    def _named(self, path: str) -> None:
        if not self._is_named(path):
            raise fails("the audit does not tell every change")

    def _misplaced(self) -> Unfit:
        """Return why a splice cannot be: not named between elements, or not one element."""
        first, last, _ = self._splices[self._index]
        if first == last:
            return fails("the audit does not tell every change")
        return fails("a change takes more or less than one element of the source")


def _inside(form: Form, *, unknown: bool) -> Form:
    """Return how items are encoded: in UN without VR."""
    return Form(explicit=False, little=True) if unknown else form


def _is_one(new: bytes, form: Form) -> bool:
    """Tell whether bytes are one element of a length."""
    _, _, code, short = HEADS[form.little].unpack_from(new)
    if form.explicit and code not in LONG_CODES:
        return len(new) == 8 + int(short)
    head = 12 if form.explicit else 8
    return len(new) == head + int(LENGTHS[form.little].unpack_from(new, head - 4)[0])


def _is_inflated(span: Span) -> bool:
    """Tell whether the data set is what the source's inflates to, with what follows the stream if it is no padding."""
    stream = zlib.decompressobj(-15)
    view, body, pos, at = memoryview(span.data), span.body, span.meta_end, 0
    try:
        while not stream.eof and pos < len(view):
            piece = stream.decompress(view[pos : pos + _BLOCK])
            pos += _BLOCK
            if not body.startswith(piece, at):
                return False
            at += len(piece)
    except zlib.error:
        return False
    rest = stream.unused_data + bytes(view[pos:])
    return stream.eof and body[at:] == (rest if rest.strip(b"\0") else b"")
