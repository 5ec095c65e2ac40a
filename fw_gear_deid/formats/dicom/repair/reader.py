"""Odd bytes of a data set → every way in which they can be read to their end, two at most: more need not be told apart.

Where the bytes are plain there is one way on. Where they are not, each reading of the table that knows the trouble may
give one; a way that leads nowhere is given up.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from enum import Enum
from struct import Struct
from typing import NamedTuple, Protocol

from fw_gear_deid.formats.dicom.repair.tree import (
    ITEM,
    ITEM_END,
    SEQUENCE_END,
    Frame,
    State,
    content,
    delimiter,
    ended,
    in_order,
)
from fw_gear_deid.formats.dicom.walk import COPY, MAX_DEPTH, check_items
from fw_gear_deid.formats.dicom.wire import (
    ITEM_HEADS,
    OFF_MAX,
    UNDEFINED,
    Encoding,
    begins_like_items,
    header,
    may_hide_items,
    peek,
)
from fw_gear_deid.model import limits
from fw_gear_deid.model.dictionary import LONG_VRS, VRS, format_tag, is_private_creator, public_vr
from fw_gear_deid.model.errors import Odd

_PIXELS = 0x7FE00000
_HEAD = {True: Struct("<HH2sH"), False: Struct(">HH2sH")}
_PLAIN = {True: Struct("<HHL"), False: Struct(">HHL")}
_VRS = {vr.encode(): vr for vr in VRS}
ZEROS = "zeros stand"
"""Begins what is told of a file that was copied by half."""
REMEDY = "repair it with a DICOM toolkit such as dcmconv, or ask the vendor of what wrote it"
_STEPS_MIN = 40_000  # elements of all ways together, and one for 8 bytes; hostile bytes could be read in ever more ways
_LOOSE_ENDS = (*ITEM_HEADS, b"\xfe\xff\xdd\xe0", b"\xff\xfe\xe0\xdd")


class Kind(Enum):
    """What can be wrong at a place."""

    VR = "an element whose VR is not known"
    GROUP = "an element that does not belong in a data set"
    DELIMITER = "a delimiter that ends nothing here"
    IN_SEQUENCE = "something else than an item in a sequence"
    NO_END = "the end of what holds it, and no delimiter before it"
    NO_ITEMS = "a sequence without items"
    FRAGMENTS = "fragments that nothing ends"
    HIDDEN = "items in a value that should be a sequence"
    LENGTHS = "items in a value, whose lengths do not fit"
    TWICE = "an element that stands twice"


class Head(NamedTuple):
    """The header of an element.

    Attributes
    ----------
    tag : int
    wire, vr : str
        VR as written, and the one that it has.
    value, stop : int
        Span of its value; ``stop`` is -1 where the length is undefined.
    fresh : str
        VR with which it is to be written anew; empty where the header stays.
    """

    tag: int
    wire: str
    vr: str
    value: int
    stop: int
    fresh: str = ""


class Reading(Protocol):
    """One way to read what is not plain; it yields the states that it leads to."""

    def __call__(self, reader: Reader, state: State, head: Head, words: str, /) -> Iterator[State]:
        """Yield the states that it leads to; ``words`` is what the audit says."""
        ...


class Row(NamedTuple):
    """A row of the table of readings.

    Attributes
    ----------
    kind : Kind
        The trouble that it is tried for.
    words : str
        What the audit says.
    reading : Reading
    """

    kind: Kind
    words: str
    reading: Reading


class Reader:
    """The readings of one file's data set.

    Parameters
    ----------
    src : bytes
    table : sequence of Row
    """

    def __init__(self, src: bytes, table: Sequence[Row]) -> None:
        self.src = src
        self._table = table
        budget = limits.now()
        self._steps = _STEPS_MIN + (min(len(src), budget.size) if budget.size else len(src)) // 8
        self._farthest = (-1, "")

    @property
    def finding(self) -> str:
        """What the way that came farthest could not read."""
        return self._farthest[1]

    def top(self, start: int, encoding: Encoding) -> list[State]:
        """Read a file's data set.

        Raises
        ------
        Beyond
        """
        check_items(self.src, start)
        frame = Frame(None, False, 0, "", encoding, start, start, len(self.src), len(self.src), root=True)
        return self.ways(State(start, frame))

    def ways(self, state: State) -> list[State]:
        """Read the frame of a state to its end; return at most two ways that differ.

        Raises
        ------
        Odd
            It takes too long.
        """
        todo, found = [state], []
        while todo:
            state = todo.pop()
            if state.stop >= 0:
                found.append(state)
                if len(found) > 1:
                    break
                continue
            self._steps -= 1
            if self._steps < 0:
                raise Odd(f"{self.finding or 'it is not as DICOM demands'}, and can be read in too many ways; {REMEDY}")
            # the first reading of the table is followed first
            todo += reversed(list(self._item(state) if state.frame.sequence else self._element(state)))
        return found

    def lost(self, state: State, text: str) -> Iterator[State]:
        """Give up a way; the finding of the one that came farthest is told."""
        if state.pos > self._farthest[0]:
            self._farthest = state.pos, text
        return iter(())

    def tried(self, kind: Kind, state: State, head: Head, text: str) -> Iterator[State]:
        """Yield what the readings make of some trouble."""
        self.lost(state, text)
        for row in self._table:
            if row.kind is kind:
                yield from row.reading(self, state, head, row.words)

    def fits(self, frame: Frame, start: int, size: int) -> bool:
        """Tell whether so many bytes are left."""
        return frame.limit - start >= size

    # -- elements --------------------------------------------------------------------------------------

    def _element(self, state: State) -> Iterable[State]:
        frame, pos = state.frame, state.pos
        if pos == frame.end:
            return self.close(state, pos, pos)
        if frame.told >= 0 and (pos == frame.limit or self.src[pos : pos + 4] in _LOOSE_ENDS):
            if abs(pos - frame.told) > OFF_MAX:
                return self.lost(state, f"{self._item_of(frame)} runs past the end")
            return self.close(state, pos, pos)
        if frame.root and frame.above is None and self._is_complete(state):
            return list(self._plain_element(state, bare=True)) or self.close(state, pos, pos)
        return self._plain_element(state)

    def _is_complete(self, state: State) -> bool:
        """Tell whether what follows need not belong to an element: after the pixels, or all zero."""
        entries = state.frame.entries
        after_pixels = entries is not None and entries[0].tag >= _PIXELS
        zeros = entries is not None and not self.src[state.pos : state.pos + 8].strip(b"\0")
        return after_pixels or (zeros and not self.src[state.pos :].strip(b"\0"))

    def _plain_element(self, state: State, *, bare: bool = False) -> Iterator[State]:
        """Read an element; ``bare`` without any reading."""
        frame, pos = state.frame, state.pos
        at_end = Head(0, "", "", pos, pos)
        if frame.end < 0 and pos == frame.limit and not bare:
            yield from self.tried(Kind.NO_END, state, at_end, f"{self._item_of(frame)} has no end")
            return
        if not self.fits(frame, pos, 8):
            self.lost(state, f"cut off after {self._last(frame)}")
            return
        if not self.src[pos : pos + 8].strip(b"\0"):  # no odd writer makes them
            self.lost(state, f"{ZEROS} where an element is due after {self._last(frame)}; {COPY}")
            return
        explicit, little = frame.encoding
        group, element, code, short = _HEAD[little].unpack_from(self.src, pos)
        (length,) = _PLAIN[little].unpack_from(self.src, pos)[2:]
        tag = group << 16 | element
        head = Head(tag, "", "", pos + 8, pos + 8)
        if group == 0xFFFE:
            if tag == ITEM_END and length == 0 and frame.end < 0 and frame.told < 0:
                yield from self.close(state, pos, pos + 8)
            elif not bare:
                name = {ITEM_END: "an item delimiter", SEQUENCE_END: "a sequence delimiter"}.get(tag, "an item")
                text = f"{name} stands after {self._last(frame)}"
                yield from self.tried(Kind.DELIMITER, state, head, text)
            return
        kind, text = Kind.GROUP, f"{state.here(tag)} does not belong in a data set"
        if group not in (0, 2):
            if not explicit:
                vr = public_vr(tag) or ("LO" if is_private_creator(tag) else "UN")
                stop = -1 if length == UNDEFINED else pos + 8 + length
                yield from self.value(state, Head(tag, vr, vr, pos + 8, stop))
                return
            wire = _VRS.get(code, "")
            if wire:
                known = self.explicit_head(state, tag, wire, short)
                if known is not None:
                    yield from self.value(state, known)
                return
            kind, text = Kind.VR, f"{state.here(tag)} has no known VR"
        if not bare:
            yield from self.tried(kind, state, head, text)

    def explicit_head(self, state: State, tag: int, wire: str, short: int) -> Head | None:
        """Return the header of an element with its VR on the wire, None where it is cut off."""
        pos = state.pos
        vr = wire if wire != "UN" else public_vr(tag) or "UN"
        if wire not in LONG_VRS:
            return Head(tag, wire, vr, pos + 8, pos + 8 + short)
        if not self.fits(state.frame, pos, 12):
            self.lost(state, f"cut off after {self._last(state.frame)}")
            return None
        length = self.number(pos + 8, 4, state.frame.encoding)
        return Head(tag, wire, vr, pos + 12, -1 if length == UNDEFINED else pos + 12 + length)

    def number(self, pos: int, size: int, encoding: Encoding) -> int:
        """Return a length of so many bytes."""
        return int.from_bytes(self.src[pos : pos + size], "little" if encoding.little else "big")

    def value(self, state: State, head: Head) -> Iterator[State]:
        """Read the value of an element whose header is known."""
        frame, src = state.frame, self.src
        tag, undefined = head.tag, head.stop < 0
        here = state.here(tag)
        if head.stop > frame.limit:
            self.lost(state, f"{here} runs past the end")
            return
        hides = may_hide_items(tag, head.wire) and not head.fresh
        if head.vr == "SQ" or (undefined and head.fresh == "SQ"):
            if undefined or head.value == head.stop or self._begins(head, frame) or not self._is_some(head):
                yield from self.opened(state, head)
            else:
                text = f"{here}: something else stands where an item is due"
                yield from self.tried(Kind.NO_ITEMS, state, head, text)
        elif public_vr(tag) == "SQ" and head.wire != "UN" and (undefined or self._holds(head)):
            text = f"{here} is a sequence, stands as {head.wire}, and cannot be read as one"
            yield from self.tried(Kind.HIDDEN, state, head, text)
        elif hides and (undefined or begins_like_items(src[head.value : head.value + 8], head.stop - head.value)):
            farthest = self._farthest
            ways = self.hidden(state, head)
            self._farthest = farthest
            if len(ways) == 1:
                yield self.revealed(state, head, ways[0], head.wire)
            elif undefined and head.wire == "UN":
                self.lost(state, f"{here}: something else stands where an item is due")
            elif undefined:
                yield from self.fragments(state, head)
            else:
                yield state.took(tag, head.stop)  # the plan removes it, or refuses
        elif undefined:
            yield from self.fragments(state, head)
        elif head.fresh:
            value = src[head.value : head.stop]
            if head.fresh not in LONG_VRS and len(value) > 0xFFFE:
                head = head._replace(fresh="UN")
            yield state.took(tag, head.stop, header(tag, head.fresh, frame.encoding, len(value)) + value)
        else:
            yield state.took(tag, head.stop)

    def _begins(self, head: Head, frame: Frame) -> bool:
        little = frame.encoding.little or head.wire == "UN"
        return self.src[head.value : head.value + 4] == ITEM_HEADS[0 if little else 1]

    def _is_some(self, head: Head) -> bool:
        return bool(self.src[head.value : head.stop].strip(b"\0 "))

    def _holds(self, head: Head) -> bool:
        return any(one in self.src[head.value : head.stop] for one in ITEM_HEADS)

    # -- sequences -------------------------------------------------------------------------------------

    def opened(self, state: State, head: Head) -> Iterator[State]:
        """Begin the items of a sequence."""
        frame = self._items_of(state, head)
        if frame.depth > MAX_DEPTH:
            self.lost(state, f"{state.here(head.tag)}: sequences are nested deeper than {MAX_DEPTH}")
            return
        yield state._replace(pos=head.value, frame=frame)

    def _items_of(self, state: State, head: Head) -> Frame:
        above = state.frame
        encoding = Encoding(explicit=False, little=True) if head.wire == "UN" else above.encoding
        bounded = above.bounded or head.stop >= 0
        limit = head.stop if head.stop >= 0 else above.limit
        wire = "" if head.fresh == "SQ" else head.fresh or head.wire
        fresh = bool(head.fresh)
        return Frame(
            above, True, head.tag, wire, encoding, state.pos, head.value, head.stop, limit, bounded, fresh=fresh
        )

    def hidden(self, state: State, head: Head) -> list[State]:
        """Return the ways to read a value as items: with the lengths that these tell, else with others."""
        ways = self.revealing(state, head)
        if not ways:
            text = f"{state.here(head.tag)} holds items that do not fit"
            ways = list(self.tried(Kind.LENGTHS, state, head, text))
        return ways

    def revealing(self, state: State, head: Head, *, loose: bool = False) -> list[State]:
        """Return the ways to read a value as items."""
        frame = self._items_of(state, head)._replace(root=True, loose=loose)
        if frame.depth > MAX_DEPTH:  # each level could be read in other ways, all of which lead here
            raise Odd(f"{format_tag(head.tag)}: sequences are nested deeper than {MAX_DEPTH}; {REMEDY}")
        if head.stop >= 0:
            little = self.src[head.value : head.value + 2] == b"\xfe\xff"
            explicit = frame.encoding.explicit and little == frame.encoding.little
            frame = frame._replace(encoding=Encoding(explicit, little))
        return self.ways(State(head.value, frame, state.fixes))

    def revealed(self, state: State, head: Head, way: State, wire: str) -> State:
        """Return the state behind a value that was read as items, to be written with a VR."""
        frame = way.frame
        undefined = head.stop < 0
        stop = way.pos if undefined else head.stop
        end = delimiter(SEQUENCE_END, frame.encoding) if undefined else b""
        inside = content(self.src, frame, way.stop)
        behind = state._replace(fixes=way.fixes)
        if inside is None and wire == head.wire and self.src[way.stop : stop] == end:
            return behind.took(head.tag, stop)
        inside = self.src[head.value : way.stop] if inside is None else inside
        length = UNDEFINED if undefined else len(inside)
        return behind.took(head.tag, stop, header(head.tag, wire, state.frame.encoding, length) + inside + end)

    def _item(self, state: State) -> Iterator[State]:
        frame, pos = state.frame, state.pos
        here = self._item_of(frame)
        if pos == frame.end:
            yield from self.close(state, pos, pos)
            return
        head = Head(0, "", "", pos, pos)
        if pos == frame.limit:
            yield from self.tried(Kind.NO_END, state, head, f"{here}: the sequence has no end")
            return
        if not self.fits(frame, pos, 8):
            yield from self.tried(Kind.IN_SEQUENCE, state, head, f"{here}: the sequence has no end")
            return
        group, element, length = _PLAIN[frame.encoding.little].unpack_from(self.src, pos)
        tag = group << 16 | element
        if tag == SEQUENCE_END and frame.end < 0 and length == 0:
            yield from self.close(state, pos, pos + 8)
        elif tag == ITEM:
            yield from self._begun(state, length)
        else:
            text = f"{here}: something else stands where an item is due"
            yield from self.tried(Kind.IN_SEQUENCE, state, head._replace(tag=tag), text)

    def _begun(self, state: State, length: int) -> Iterator[State]:
        """Begin an item."""
        frame, pos = state.frame, state.pos + 8
        end = -1 if length == UNDEFINED else pos + length
        told = end if frame.loose else -1
        if frame.loose:
            end = -1
        if end > frame.limit:
            self.lost(state, f"{self._item_of(frame)}: an item runs past the end")
            return
        limit = end if end >= 0 else frame.limit
        bounded = frame.bounded or end >= 0
        item = Frame(frame, False, 0, "", frame.encoding, state.pos, pos, end, limit, bounded, told=told)
        begun = state._replace(pos=pos, frame=item)
        real = peek(self.src, pos, limit, frame.encoding)
        changed = begun._replace(frame=item._replace(encoding=real))
        if real == frame.encoding or self.ways(changed._replace(frame=changed.frame._replace(root=True))):
            yield changed
        else:
            yield begun

    def close(self, state: State, stop: int, after: int) -> Iterator[State]:
        """Yield the state behind a frame that ends here."""
        frame = state.frame
        if frame.sequence:
            if frame.fresh and not frame.wire and len(frame.explicit) > 1:
                self.lost(state, f"{frame.path}: its items are encoded in two ways")
                return
            yield ended(self.src, state, stop, after)
            return
        counts = Counter(entry.tag for entry in in_order(frame.entries))
        twice = next((tag for tag, count in counts.items() if count > 1), None)
        if twice is None:
            yield ended(self.src, state, stop, after)
            return
        text = f"{state.here(twice)} stands twice, and not with the same value"
        for single in self.tried(Kind.TWICE, state, Head(twice, "", "", stop, stop), text):
            yield ended(self.src, single, stop, after)

    def fragments(self, state: State, head: Head) -> Iterator[State]:
        """Read encapsulated pixel data (PS3.5 §A.4)."""
        frame, pos = state.frame, head.value
        here = state.here(head.tag)
        if head.wire not in ("OB", "OW") or head.fresh or not frame.encoding.little:
            self.lost(state, f"{here} {head.wire} has an undefined length")
            return
        while self.fits(frame, pos, 8):
            group, element, length = _PLAIN[True].unpack_from(self.src, pos)
            tag = group << 16 | element
            if tag == SEQUENCE_END and length == 0:
                yield state.took(head.tag, pos + 8)
                return
            if tag != ITEM:
                break
            pos += 8 + length
        if pos > frame.limit:
            self.lost(state, f"a fragment of {here} runs past the end")
            return
        yield from self.tried(Kind.FRAGMENTS, state, head._replace(stop=pos), f"the fragments of {here} have no end")

    def _item_of(self, frame: Frame) -> str:
        """Return the path of the sequence that a frame belongs to."""
        if frame.sequence:
            return frame.path
        return "an item" if frame.above is None else f"{frame.path}: an item"

    @staticmethod
    def _last(frame: Frame) -> str:
        return "the start" if frame.entries is None else format_tag(frame.entries[0].tag)
