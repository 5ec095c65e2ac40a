"""A data set as it was walked: what is wanted at a place, and what was found there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple, cast

from fw_gear_deid.formats.dicom.wire import Encoding

CHARACTER_SET = 0x00080005


class Want:
    """An element as its header tells it, and what somebody wants of it.

    Attributes
    ----------
    tag : int
    vr : str
        VR for rules: a known public element that stands as UN has the dictionary's VR (PS3.5 §6.2.2).
    wire : str
        VR as written; kept on writing.
    wanted : bool
        It is to be noted. Else it is read only where its end must be found, or what it holds.
    blind : bool
        Where it stands is wanted, its value is not, nor are items in which nothing is.
    """

    __slots__ = ("blind", "tag", "vr", "wanted", "wire")

    def __init__(self, tag: int, vr: str, wire: str, *, wanted: bool, blind: bool = False) -> None:
        self.tag = tag
        self.vr = vr
        self.wire = wire
        self.wanted = wanted
        self.blind = blind


class Place:
    """Where elements stand: the file meta, the top level, or inside items. Subclasses say what is wanted there.

    Attributes
    ----------
    encoding : Encoding
    inserts : tuple of int
        Tags in ascending order whose place is noted where they are absent.
    """

    __slots__ = ("clean", "encoding", "inserts", "known")

    def __init__(self, encoding: Encoding, inserts: tuple[int, ...] = ()) -> None:
        self.encoding = encoding
        self.inserts = inserts
        self.known: dict[bytes, tuple[int, int, Want | None]] = {}
        """First eight bytes → tag, length with header (-1: read it behind them), element (None: pass over)."""
        self.clean: dict[tuple[Want, bool, bytes], bytes] = {}
        """Sequences in which nothing is wanted: whether of undefined length, and beginning → all of each."""

    def want(self, tag: int, vr: str, wire: str) -> Want:
        """Return what is wanted of an element."""
        raise NotImplementedError

    def below(self, tag: int, index: int, encoding: Encoding) -> Place:
        """Return the place inside an item."""
        raise NotImplementedError


class Found(NamedTuple):
    """A wanted element, or one that holds wanted ones.

    Attributes
    ----------
    want : Want
    start, value, end : int
        Offsets of header, value and the byte after, delimiters included. All equal: it is not in the source.
    items : list of Level, or None
        Of a sequence.
    """

    want: Want
    start: int
    value: int
    end: int
    items: list[Level] | None


_NO_CREATORS = cast(dict[int, str], MappingProxyType({}))
_NO_GAPS = cast(dict[int, int], MappingProxyType({}))
_NOTHING: Mapping[int, tuple[Level, Found]] = MappingProxyType({})


class Level:
    """The file meta, the top level or one item.

    Attributes
    ----------
    place : Place
    parent : Level or None
    tag, index : int
        Of the sequence that holds it, and its position there.
    number : int
        Among all data sets of the file, parents first.
    start, end : int
        Span of the elements, without item header and delimiter.
    undefined : bool
        Item of undefined length.
    found : list of Found
        In the order of the source.
    creators : dict
        ``gggg00bb`` → what the block is reserved for, of the creators that are wanted.
    charset : bytes or None
        Value of its own (0008,0005), where it is wanted.
    gaps : dict
        Tag of ``place.inserts`` → where it would stand; the end for those that are not in it.
    doubts : list of (Level, Found)
        Of the top level: elements, wherever they stand, whose values begin like items and cannot be read as such.
    encapsulated : dict of int to (Level, Found)
        Of the top level: offset → PixelData in fragments, wherever it stands.
    """

    __slots__ = (
        "charset", "creators", "doubts", "encapsulated", "end", "found", "gaps", "index", "number", "parent", "place",
        "start", "tag", "undefined",
    )  # fmt: skip

    def __init__(self, place: Place, start: int, parent: Level | None = None, tag: int = 0, index: int = 0) -> None:
        self.place = place
        self.start = start
        self.end = start
        self.parent = parent
        self.tag = tag
        self.index = index
        self.number = 0
        self.undefined = False
        self.found: list[Found] = []
        # most items have none, and share that; who has some makes a dictionary of its own
        self.creators = {} if parent is None else _NO_CREATORS
        self.charset: bytes | None = None
        self.gaps = {} if parent is None else _NO_GAPS
        self.doubts: Sequence[tuple[Level, Found]] = ()
        self.encapsulated: Mapping[int, tuple[Level, Found]] = _NOTHING

    def creator_of(self, tag: int) -> str:
        """Return the creator of a private element, empty when its block is not reserved."""
        return self.creators.get(tag & 0xFFFF0000 | tag >> 8 & 0xFF, "")

    def levels(self) -> Iterator[Level]:
        """Yield this data set and every one below that was kept."""
        yield self
        for one in self.found:
            for item in one.items or ():
                yield from item.levels()
