"""Bytes of a data set and a place → the elements that somebody wants; all others are passed over unread (PS3.5 §7).

The first eight bytes of an element (tag, VR, length) are looked up in its place, which decodes them once and asks once
whether the element is wanted. Files of a series repeat nearly all of them.
"""

from __future__ import annotations

from contextlib import suppress

from fw_gear_deid.formats.dicom.level import CHARACTER_SET, Found, Level, Place, Want
from fw_gear_deid.formats.dicom.wire import (
    HEAD,
    IMPLICIT_LITTLE,
    ITEM,
    ITEM_HEADS,
    LENGTH,
    LONG,
    PIXEL_DATA,
    PLAIN,
    UNDEFINED,
    VR_OF,
    Cut,
    Encoding,
    begins_like_items,
    may_hide_items,
    peek,
)
from fw_gear_deid.model import dictionary, limits
from fw_gear_deid.model.dictionary import format_tag
from fw_gear_deid.model.errors import Malformed, Odd, Unfit

MAX_DEPTH = 64  # deepest real nesting seen is 6; deeper is an attack on the stack
_ITEM_END, _SEQUENCE_END = 0xFFFEE00D, 0xFFFEE0DD
COPY = "a part was not copied: copy or export it again"
_NO_TAG = 1 << 32
# What is remembered is bounded: a hostile file could fill the memory with lengths
_KNOWN_MAX = 50_000
_CLEAN_MAX, _CLEAN_BYTES = 200, 1 << 14  # sequences, and bytes of each
_BEGINNING = 64  # bytes of a sequence by which it is looked up
# Things to be remembered of a data set, and bytes of the outermost file for one more; beyond, all are counted first
_MANY, _FOR_EACH = 20_000, 512
# The command set and the file meta have no place in a data set, PS3.7 §6.3, PS3.10 §7.1
_FORBIDDEN_GROUPS = frozenset({0x0000, 0x0002})


_END = Want(_ITEM_END, "", "", wanted=False)


class _Stop(Exception):
    """The next bytes are no element: where, and what the caller may raise."""

    def __init__(self, at: int, error: Unfit) -> None:
        super().__init__()
        self.at = at
        self.error = error


class Walker:
    """One pass over the bytes of a file.

    Parameters
    ----------
    src : bytes
        All of it, or its beginning.
    total : int, optional
        Length of all.
    """

    __slots__ = ("_begun", "_count", "_doubts", "_encapsulated", "_left", "last", "src", "total")

    def __init__(self, src: bytes, total: int | None = None) -> None:
        self.src = src
        self.total = len(src) if total is None else total
        self.last = -1
        """Tag of the last element of what was walked to its end."""
        self._count = 0
        self._left = _MANY
        """Things that are remembered before all are counted."""
        self._begun: Level | None = None
        self._doubts: list[tuple[Level, Found]] = []
        self._encapsulated: dict[int, tuple[Level, Found]] = {}

    def meta(self, place: Place, start: int) -> Level:
        """Walk the file meta information: explicit VR little endian, group 0002 (PS3.10 §7.1).

        Raises
        ------
        Malformed, Odd, Cut
        """
        level = Level(place, start)
        try:
            level.end = self._elements(level, start, self.total, 0, meta=True)
        except _Stop as stop:
            raise stop.error from None
        return level

    def top(self, place: Place, start: int) -> Level:
        """Walk a data set to the end of the file.

        Raises
        ------
        Malformed
            A value or a sequence runs past the end.
        Odd
            The encoding is not one that is known here.
        Cut
        """
        level, error = self.beginning(place, start)
        if error is not None:
            raise error
        return level

    def beginning(self, place: Place, start: int) -> tuple[Level, Unfit | None]:
        """Walk a data set; its end is where bytes begin that are no element, and the error says why they are none.

        Raises
        ------
        Cut
        """
        level = Level(place, start)
        level.doubts, level.encapsulated = self._doubts, self._encapsulated
        self._count = 0
        self._begun = level
        budget = limits.now()
        self._left = min(_MANY + budget.size // _FOR_EACH, budget.most("elements") + 1)
        try:
            level.end = self._elements(level, start, self.total, 0)
        except _Stop as stop:
            level.end = stop.at
            return level, stop.error
        return level, None

    def head(self, place: Place, start: int, last: int) -> Level | None:
        """Walk the top level up to an element after ``last``; None when the bytes end, or make no sense, before it."""
        level = Level(place, start)
        try:
            level.end = self._elements(level, start, self.total, 0, last=last)
        except (_Stop, Cut):
            return None
        return level if level.end < self.total else None

    def position(self, level: Level, tag: int) -> int:
        """Return where an absent element of a walked data set goes: before the first of a higher tag."""
        return next((one.start for one in self.passed(level, level.end) if one.want.tag > tag), level.end)

    def passed(self, level: Level, end: int) -> list[Found]:
        """Return all elements of a top level up to an offset that is known to end one."""
        passed = Level(_Anything(level.place.encoding), level.start)
        self._elements(passed, level.start, end, 0)
        return passed.found

    def _elements(
        self,
        level: Level,
        pos: int,
        end: int,
        depth: int,
        *,
        meta: bool = False,
        last: int = _NO_TAG,
        seen: set[int] | None = None,
    ) -> int:
        """Fill ``level`` from ``pos``; return where it ended (after its delimiter when of undefined length)."""
        src, place, begin, before, left = self.src, level.place, pos, -1, self._left
        known = place.known
        inserts = iter(place.inserts)
        gap = next(inserts, _NO_TAG)
        while pos < end:
            entry = known.get(src[pos : pos + 8])
            if entry is None:
                entry = self._learn(level, pos, end, before, meta=meta)
            tag, length, want = entry
            if tag > last:
                return pos
            if not length:
                if meta:
                    return pos
                level.end = pos
                return self._end(level, pos, tag, before, want)
            if seen is not None:
                if tag in seen:
                    raise _Stop(pos, Odd(f"{format_tag(tag)} stands twice"))
                seen.add(tag)
                self._remembered()
            elif tag <= before:  # out of order: once more, with an eye on what stands twice
                self._left = left
                level.found, level.creators, level.charset, level.gaps = [], {}, None, {}
                return self._elements(level, begin, end, depth, meta=meta, last=last, seen=set())
            while tag >= gap:
                if tag > gap:
                    level.gaps = level.gaps or {}
                    level.gaps.setdefault(gap, pos)
                gap = next(inserts, _NO_TAG)
            if length > 0:
                value, stop = pos + 8, pos + length
            else:
                value, stop = self._long(level, pos, end, before)
            before = tag
            if stop > end:
                raise _Stop(pos, Malformed(f"{format_tag(tag)} runs past the end; {COPY}"))
            if want is None:
                pos = stop
            elif stop < 0:
                pos = self._undefined(level, want, pos, value, end, depth)
            else:
                if want.vr == "SQ":
                    self._sequence(level, want, pos, value, stop, depth)
                elif (stop > len(src) or src[value : value + 4] in ITEM_HEADS) and self._hides(want, value, stop):
                    self._perhaps_items(level, want, pos, value, stop, depth)
                elif want.wanted:
                    self._note(level, want, pos, value, stop)
                pos = stop
        if level.undefined:
            raise _Stop(pos, Odd("an item of undefined length has no end"))
        level.end = pos
        self.last = before
        return pos

    def _end(self, level: Level, pos: int, tag: int, before: int, want: Want | None) -> int:
        """Return the end of an item of undefined length, which its delimiter tells; all else is out of place here."""
        if want is _END and level.undefined:
            return pos + 8
        if tag >> 16 == 0xFFFE:
            raise _Stop(pos, Odd(f"an item delimiter stands after {_named(before)}"))
        explicit, _ = level.place.encoding
        if tag >> 16 == 0 and not self.src[pos + (6 if explicit else 4) : pos + 8].strip(b"\0"):
            raise _Stop(pos, _zeros(before))
        if tag >> 16 in _FORBIDDEN_GROUPS:
            raise _Stop(pos, Odd(f"{format_tag(tag)} does not belong in a data set"))
        raise _Stop(pos, Odd(f"the element after {_named(before)} has no known VR"))

    def _learn(self, level: Level, pos: int, end: int, before: int, *, meta: bool) -> tuple[int, int, Want | None]:
        """Decode the first eight bytes of an element; a length of 0 says that they are none."""
        if end - pos < 8:
            raise _Stop(pos, Malformed(f"cut off after {_named(before)}; {COPY}"))
        key = self.src[pos : pos + 8]
        if len(key) < 8:
            raise Cut
        place = level.place
        explicit, little = place.encoding
        group, element, code, short = HEAD[little].unpack(key)
        tag = group << 16 | element
        if meta and group != 2:
            return tag, 0, None
        if group == 0xFFFE:
            return tag, 0, _END if tag == _ITEM_END and key[4:] == bytes(4) else None
        if group in _FORBIDDEN_GROUPS and not meta:
            return tag, 0, None
        if explicit:
            wire = VR_OF.get(code, "")
            if not wire:
                return tag, 0, None
            length = -1 if code in LONG else 8 + short
            vr = wire if wire != "UN" else dictionary.public_vr(tag) or "UN"
            if wire not in ("SQ", "UN") and dictionary.public_vr(tag) == "SQ":
                self._no_items(level, pos, end, tag, length)
                return tag, length, place.want(tag, vr, wire)
        else:
            (number,) = LENGTH[little].unpack_from(key, 4)
            length = -1 if number == UNDEFINED else 8 + number
            wire = vr = dictionary.public_vr(tag) or ("LO" if dictionary.is_private_creator(tag) else "UN")
        want: Want | None = place.want(tag, vr, wire)
        assert want is not None  # noqa: S101 -- for the type checker
        if length > 0 and not (want.wanted or vr == "SQ" or wire == "UN"):
            want = None
        if len(place.known) >= _KNOWN_MAX:
            place.known.clear()
        entry = place.known[key] = tag, length, want
        return entry

    def _no_items(self, level: Level, pos: int, end: int, tag: int, length: int) -> None:
        """Make sure that a value holds no items where the dictionary says that it should."""
        value, stop = (pos + 8, pos + length) if length > 0 else self._long(level, pos, end, tag)
        if end >= stop > len(self.src):
            raise Cut
        if stop < 0 or any(item in self.src[value:stop] for item in ITEM_HEADS):
            raise _Stop(pos, Odd(f"{format_tag(tag)} is a sequence and stands with another VR"))

    def _long(self, level: Level, pos: int, end: int, before: int) -> tuple[int, int]:
        """Return where a value with a 32-bit length begins and ends; -1 for an undefined length."""
        explicit, little = level.place.encoding
        value = pos + 12 if explicit else pos + 8
        if value > len(self.src):
            if value > end:
                raise _Stop(pos, Malformed(f"cut off after {_named(before)}; {COPY}"))
            raise Cut
        (number,) = LENGTH[little].unpack_from(self.src, value - 4)
        return value, -1 if number == UNDEFINED else value + number

    def _note(self, level: Level, want: Want, pos: int, value: int, stop: int) -> None:
        if stop > len(self.src) and not want.blind:
            raise Cut
        level.found.append(Found(want, pos, value, stop, None))
        self._remembered()
        tag = want.tag
        if tag == CHARACTER_SET:
            level.charset = self.src[value:stop]
        elif dictionary.is_private_creator(tag):
            level.creators = level.creators or {}
            level.creators[tag] = self.src[value:stop].decode("iso8859").strip("\0 ")

    def _remembered(self) -> None:
        """Tell that one more thing is remembered; before they are many all are counted, which takes no memory.

        Raises
        ------
        Beyond, Cut
        """
        self._left -= 1
        if not self._left and self._begun is not None:
            _Counter(self.src, self.total).count(self._begun)

    def _undefined(self, level: Level, want: Want, start: int, value: int, end: int, depth: int) -> int:
        """Read a value of undefined length: sequence items, or the fragments of encapsulated pixel data."""
        if want.vr in ("SQ", "UN"):
            stop = self._passed(level, want, value, undefined=True)
            if stop < 0:
                items, stop = self._hidden(level, want, start, value, end, depth)
                if not self._keep(level, Found(want, start, value, stop, items)):
                    self._remember(level, want, value, stop, undefined=True)
            return stop
        if want.wire not in ("OB", "OW") or not level.place.encoding.little:
            raise _Stop(start, Odd(f"{format_tag(want.tag)} {want.wire} has an undefined length"))
        if not may_hide_items(want.tag, want.wire):
            return self._fragments(level, want, start, value, end)
        try:
            items, stop = self._items(level, want, start, value, end, depth, undefined=True)
        except _Stop:
            stop = self._fragments(level, want, start, value, end)
            self._doubt(level, want, start, value, stop)
        else:
            self._keep(level, Found(want, start, value, stop, items))
        return stop

    def _hidden(
        self, level: Level, want: Want, start: int, value: int, end: int, depth: int
    ) -> tuple[list[Level], int]:
        """Read the items of a sequence of undefined length, which may stand as UN."""
        try:
            return self._items(level, want, start, value, end, depth, undefined=True)
        except _Stop as stop:
            raise _Stop(start, Odd(str(stop.error)) if want.wire == "UN" else stop.error) from None

    def _doubt(self, level: Level, want: Want, start: int, value: int, stop: int) -> None:
        """Note a value that begins like items, and is none."""
        self._note(level, want, start, value, stop)
        self._doubts.append((level, level.found[-1]))

    def _fragments(self, level: Level, want: Want, start: int, value: int, end: int) -> int:
        """Read the fragments of encapsulated pixel data; return where they end."""
        pos = value
        while end - pos >= 8:
            if pos + 8 > len(self.src):
                raise Cut
            group, element, length = PLAIN[True].unpack_from(self.src, pos)
            pos += 8
            tag = group << 16 | element
            if tag == _SEQUENCE_END and length == 0:
                if want.tag == PIXEL_DATA:
                    self._encapsulated[start] = level, Found(want, start, value, pos, None)
                if want.wanted:
                    self._note(level, want, start, value, pos)
                return pos
            if tag != ITEM:
                raise _Stop(start, Odd(f"a fragment of {format_tag(want.tag)} is no item"))
            pos += length
        error: Unfit = Malformed(f"the fragments of {format_tag(want.tag)} have no end")
        if pos <= end and not self.src[pos:end].strip(b"\0"):
            error = Odd(str(error))  # each of them is whole
        raise _Stop(start, error)

    def _sequence(self, level: Level, want: Want, start: int, value: int, stop: int, depth: int) -> None:
        """Read a sequence of defined length; a short one in which nothing is wanted is read once."""
        if stop > len(self.src):
            raise self._cut(value)
        if self._passed(level, want, value, undefined=False) == stop:
            return
        items, _ = self._items(level, want, start, value, stop, depth, undefined=False)
        if not self._keep(level, Found(want, start, value, stop, items)):
            self._remember(level, want, value, stop, undefined=False)

    def _cut(self, value: int) -> Cut:
        """Return what asks for more bytes; for a sequence that holds too much already none are asked for.

        Raises
        ------
        Beyond
        """
        check_items(self.src, value)
        return Cut()

    def _passed(self, level: Level, want: Want, value: int, *, undefined: bool) -> int:
        """Return where a sequence ends in which nothing is wanted, -1 where it is not known."""
        known = level.place.clean.get((want, undefined, self.src[value : value + _BEGINNING]))
        if known is None or self.src[value : value + len(known)] != known:
            return -1
        return value + len(known)

    def _remember(self, level: Level, want: Want, value: int, stop: int, *, undefined: bool) -> None:
        """Note a sequence in which nothing is wanted; one with frames in it is walked each time."""
        if stop - value > _CLEAN_BYTES or any(value <= start < stop for start in self._encapsulated):
            return
        clean = level.place.clean
        if len(clean) >= _CLEAN_MAX:
            clean.clear()
        clean[want, undefined, self.src[value : value + _BEGINNING]] = self.src[value:stop]

    def _hides(self, want: Want, value: int, stop: int) -> bool:
        """Tell whether a value may be a sequence, by how it begins."""
        if stop - value < 8 or not may_hide_items(want.tag, want.wire):
            return False
        head = self.src[value : value + 8]
        if len(head) < 8:
            raise Cut
        return begins_like_items(head, stop - value)

    def _perhaps_items(self, level: Level, want: Want, start: int, value: int, stop: int, depth: int) -> None:
        """Read a value as a sequence when it is one from its first byte to its last."""
        if stop > len(self.src):
            raise self._cut(value)
        try:
            items, _ = self._items(level, want, start, value, stop, depth, undefined=False)
        except _Stop:
            self._doubt(level, want, start, value, stop)
        else:
            self._keep(level, Found(want, start, value, stop, items))

    def _keep(self, level: Level, found: Found) -> bool:
        """Note a sequence that is wanted, or that holds what is."""
        kept = found.want.wanted or bool(found.items)
        if kept:
            level.found.append(found)
            self._remembered()
        return kept

    def _items(
        self, level: Level, want: Want, start: int, value: int, end: int, depth: int, *, undefined: bool
    ) -> tuple[list[Level], int]:
        """Read the items of a sequence (PS3.5 §7.5); return those that matter, and where the sequence ended."""
        src, tag = self.src, want.tag
        where = format_tag(tag)
        if depth >= MAX_DEPTH:
            raise _Stop(start, Malformed(f"{where}: sequences are nested deeper than {MAX_DEPTH}"))
        # PS3.5 §6.2.2: what stands as UN is implicit VR little endian inside
        encoding = IMPLICIT_LITTLE if want.wire == "UN" else level.place.encoding
        plain = PLAIN[encoding.little].unpack_from
        items: list[Level] = []
        pos, index = value, 0
        while pos != end or undefined:
            if end - pos < 8:
                raise _Stop(start, Odd(f"{where}: the sequence has no end"))
            if pos + 8 > len(src):
                raise Cut
            group, element, length = plain(src, pos)
            delimiter = group << 16 | element
            if delimiter == _SEQUENCE_END and undefined and length == 0:
                return items, pos + 8
            if delimiter != ITEM:
                if not delimiter and not length:
                    raise _Stop(start, Malformed(f"{where}: zeros stand where an item is due; {COPY}"))
                raise _Stop(start, Odd(f"{where}: something else stands where an item is due"))
            pos += 8
            inside = level.place.below(tag, index, peek(src, pos, end, encoding))
            item = Level(inside, pos, level, tag, index)
            index += 1
            self._count += 1
            self._remembered()
            item.number = self._count
            item.undefined = length == UNDEFINED
            if not item.undefined and length > end - pos:
                raise _Stop(start, Malformed(f"{where}: an item runs past the end; {COPY}"))
            try:
                pos = self._elements(item, pos, end if item.undefined else pos + length, depth + 1)
            except _Stop as stop:
                # the sequence as a whole is what cannot be read
                other = inside.encoding != encoding  # than was to be expected
                raise _Stop(start, Odd(str(stop.error)) if other else stop.error) from None
            if item.found or item.gaps or (want.wanted and not want.blind):
                items.append(item)
        return items, pos


def check_items(src: bytes, start: int = 0) -> None:
    """Make sure that bytes do not hold more beginnings of items than a data set may have items.

    Raises
    ------
    Beyond
    """
    budget = limits.now()
    if (len(src) - start) // len(ITEM_HEADS[0]) > budget.most("elements"):
        budget.check("elements", max(src.count(head, start) for head in ITEM_HEADS))


class _Counter(Walker):
    """Counts the items and the other elements of a data set, as far as it is at hand, and remembers none."""

    __slots__ = ("_budget",)

    def count(self, level: Level) -> None:
        """Count those of a top level.

        Raises
        ------
        Beyond
        Cut
            More of it is needed to tell.
        """
        self._budget = limits.now()
        self._left = self._budget.most("elements")
        with suppress(_Stop):
            self._elements(Level(_Counted(level.place.encoding), level.start), level.start, self.total, 0)

    def _remembered(self) -> None:
        self._left -= 1
        if self._left < 0:
            raise limits.beyond("elements", self._budget.most("elements"))
        if not self._left % _MANY:
            self._budget.tick()

    def _note(self, level: Level, want: Want, pos: int, value: int, stop: int) -> None:
        self._remembered()

    def _doubt(self, level: Level, want: Want, start: int, value: int, stop: int) -> None:
        self._remembered()

    def _keep(self, level: Level, found: Found) -> bool:
        self._remembered()
        return False

    def _passed(self, level: Level, want: Want, value: int, *, undefined: bool) -> int:
        return -1

    def _remember(self, level: Level, want: Want, value: int, stop: int, *, undefined: bool) -> None:
        pass


class _Counted(Place):
    """A place where every element counts."""

    __slots__ = ("_others",)

    def __init__(self, encoding: Encoding) -> None:
        super().__init__(encoding)
        self._others = {encoding: self}

    def want(self, tag: int, vr: str, wire: str) -> Want:
        return Want(tag, vr, wire, wanted=vr != "SQ", blind=True)

    def below(self, tag: int, index: int, encoding: Encoding) -> Place:
        known = self._others.get(encoding)
        if known is None:
            known = self._others[encoding] = _Counted(encoding)
        return known


class _Nothing(Place):
    """A place where no element is wanted."""

    __slots__ = ()

    def want(self, tag: int, vr: str, wire: str) -> Want:
        return Want(tag, vr, wire, wanted=False)

    def below(self, tag: int, index: int, encoding: Encoding) -> Place:
        return self if encoding == self.encoding else _Nothing(encoding)


class _Anything(Place):
    """A top level where every element is wanted, and no value, nor what is inside of them."""

    __slots__ = ()

    def want(self, tag: int, vr: str, wire: str) -> Want:
        return Want(tag, vr, wire, wanted=True, blind=True)

    def below(self, tag: int, index: int, encoding: Encoding) -> Place:
        return _Nothing(encoding)


def _zeros(before: int) -> Malformed:
    return Malformed(f"zeros stand where an element is due after {_named(before)}; {COPY}")


def _named(tag: int) -> str:
    return format_tag(tag) if tag >= 0 else "the start"
