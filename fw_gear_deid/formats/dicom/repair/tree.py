"""What was read of odd bytes so far, as values: a state can be left and taken up again when a reading leads nowhere."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from fw_gear_deid.formats.dicom.wire import UNDEFINED, Encoding, header, item_header
from fw_gear_deid.model.dictionary import format_tag

ITEM, ITEM_END, SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
_DELIMITERS = {
    True: {tag: bytes((0xFE, 0xFF, tag & 0xFF, 0xE0)) for tag in (ITEM, ITEM_END, SEQUENCE_END)},
    False: {tag: bytes((0xFF, 0xFE, 0xE0, tag & 0xFF)) for tag in (ITEM, ITEM_END, SEQUENCE_END)},
}


class Fix(NamedTuple):
    """What was made plain.

    Attributes
    ----------
    path : str
    tag : int
    vr : str
    words : str
        What the audit says of it.
    dropped : int
        Number of bytes that went.
    """

    path: str
    tag: int
    vr: str
    words: str
    dropped: int = 0


class Entry(NamedTuple):
    """An element or an item that was read, and its new bytes where it cannot stay as it is."""

    tag: int
    start: int
    stop: int
    new: bytes | None


Entries = tuple[Entry, "Entries"] | None
Fixes = tuple[Fix, "Fixes"] | None


class Frame(NamedTuple):
    """A data set, or a sequence, that is being read.

    Attributes
    ----------
    above : Frame or None
    sequence : bool
        It holds items, and not elements.
    tag : int
        Of the sequence.
    wire : str
        VR with which the sequence is written; empty where its items will tell.
    encoding : Encoding
    start, value : int
        Where its header and its content begin.
    end : int
        -1: what follows its content ends it.
    limit : int
        Where the innermost of those ends that have an end.
    bounded : bool
        That one is no file.
    root : bool
        It is what was asked for.
    told : int
        Where an item would end whose length is not believed; -1 for all others.
    loose : bool
        Lengths of its items are not believed.
    fresh : bool
        Its header is written anew.
    items : int
        Number of items so far.
    explicit : frozenset of bool
        How its items are encoded.
    entries : Entries
        The last one first.
    """

    above: Frame | None
    sequence: bool
    tag: int
    wire: str
    encoding: Encoding
    start: int
    value: int
    end: int
    limit: int
    bounded: bool = False
    root: bool = False
    told: int = -1
    loose: bool = False
    fresh: bool = False
    items: int = 0
    explicit: frozenset[bool] = frozenset()
    entries: Entries = None

    @property
    def depth(self) -> int:
        """How many sequences hold it."""
        depth, frame = 0, self.above
        while frame is not None:
            depth += frame.sequence
            frame = frame.above
        return depth

    @property
    def path(self) -> str:
        """Where its elements stand: ``(0008,1140)[0]``."""
        if self.above is None:
            return ""
        if self.sequence:
            return self.above.path + format_tag(self.tag)
        return f"{self.above.path}[{self.above.items}]"


class State(NamedTuple):
    """How far the reading has come.

    Attributes
    ----------
    pos : int
    frame : Frame
    fixes : Fixes
    stop : int
        Where the content of the frame ended that was asked for; -1 until it did.
    """

    pos: int
    frame: Frame
    fixes: Fixes = None
    stop: int = -1

    def here(self, tag: int) -> str:
        """Return the path of an element at this place."""
        return self.frame.path + format_tag(tag)

    def fixed(self, tag: int, vr: str, words: str, dropped: int = 0) -> State:
        """Return the state with one more thing made plain."""
        return self._replace(fixes=(Fix(self.here(tag), tag, vr, words, dropped), self.fixes))

    def took(self, tag: int, stop: int, new: bytes | None = None) -> State:
        """Return the state behind an element."""
        entry = Entry(tag, self.pos, stop, new)
        return self._replace(pos=stop, frame=self.frame._replace(entries=(entry, self.frame.entries)))


def in_order(chain: Entries) -> list[Entry]:
    """Return entries, the first one first."""
    found = []
    while chain is not None:
        entry, chain = chain
        found.append(entry)
    found.reverse()
    return found


def fixes_of(state: State) -> tuple[Fix, ...]:
    """Return what was made plain, in the order in which it was met."""
    found, chain = [], state.fixes
    while chain is not None:
        fix, chain = chain
        found.append(fix)
    return tuple(reversed(found))


def content(src: bytes, frame: Frame, stop: int) -> bytes | None:
    """Return the content of a frame that ends at an offset; None where it is as it was."""
    pieces = list(_pieces(src, frame, stop))
    return (
        None
        if len(pieces) == 1 and pieces[0] == (frame.value, stop)
        else b"".join(src[piece[0] : piece[1]] if isinstance(piece, tuple) else piece for piece in pieces)
    )


def _pieces(src: bytes, frame: Frame, stop: int) -> Iterator[tuple[int, int] | bytes]:
    """Yield spans of the source, joined where nothing lies between them, and new bytes."""
    run = at = frame.value
    for entry in in_order(frame.entries):
        if entry.new is None and entry.start == at:
            at = entry.stop
            continue
        yield run, at
        if entry.new is None:
            run = entry.start
        else:
            yield entry.new
            run = entry.stop
        at = entry.stop
    yield run, at


def delimiter(tag: int, encoding: Encoding) -> bytes:
    """Return the delimiter of an item or a sequence (PS3.5 §7.5)."""
    return _DELIMITERS[encoding.little][tag] + bytes(4)


def ended(src: bytes, state: State, stop: int, after: int) -> State:
    """Return the state behind a frame: its content ends at ``stop``, and what delimits it at ``after``."""
    frame = state.frame
    if frame.root:
        return state._replace(pos=after, stop=stop)
    above = frame.above
    assert above is not None  # noqa: S101 -- only a root has none
    new = _sequence(src, frame, stop, after) if frame.sequence else _item(src, frame, stop, after)
    entry = Entry(frame.tag if frame.sequence else ITEM, frame.start, after, new)
    above = above._replace(entries=(entry, above.entries))
    if above.sequence:
        seen = above.explicit if stop == frame.value else above.explicit | {frame.encoding.explicit}
        above = above._replace(items=above.items + 1, explicit=seen)
    return state._replace(pos=after, frame=above)


def _item(src: bytes, frame: Frame, stop: int, after: int) -> bytes | None:
    inside = content(src, frame, stop)
    little = frame.encoding
    if frame.end < 0 and frame.told < 0:
        closed = src[stop:after] == delimiter(ITEM_END, little)
        if inside is None and closed:
            return None
        inside = src[frame.value : stop] if inside is None else inside
        return item_header(little, UNDEFINED) + inside + delimiter(ITEM_END, little)
    if inside is None and frame.told in (-1, stop):
        return None
    inside = src[frame.value : stop] if inside is None else inside
    return item_header(little, len(inside)) + inside


def _sequence(src: bytes, frame: Frame, stop: int, after: int) -> bytes | None:
    inside = content(src, frame, stop)
    undefined = frame.end < 0
    closed = not undefined or src[stop:after] == delimiter(SEQUENCE_END, frame.encoding)
    if inside is None and closed and not frame.fresh and stop in (frame.end, after - 8):
        return None
    assert frame.above is not None  # noqa: S101 -- a sequence stands in a data set
    wire = frame.wire or wire_of(frame)
    inside = src[frame.value : stop] if inside is None else inside
    head = header(frame.tag, wire, frame.above.encoding, UNDEFINED if undefined else len(inside))
    return head + inside + (delimiter(SEQUENCE_END, frame.encoding) if undefined else b"")


def wire_of(frame: Frame) -> str:
    """Return the VR that items are written with in explicit VR: what is implicit inside stands as UN (PS3.5 §6.2.2)."""
    return "UN" if frame.explicit == {False} else "SQ"
