"""Places of a result, and what is to be asked of the elements that stand there."""

from __future__ import annotations

from typing import NamedTuple

from fw_gear_deid.model.dictionary import is_private_creator
from fw_gear_deid.verify.promises import Promise, Way
from fw_gear_deid.verify.source import Form


class Must(NamedTuple):
    """What is to be asked of an element."""

    vr: str
    wire: str
    promise: Promise | None
    late: bool
    """It depends on the creator of its block."""
    hides: bool
    """No dictionary says that its value is none of items."""
    sealed: bool
    """The dictionary says that it should be one, and it stands with another VR."""


Key = tuple[int, str, bool, tuple[str, ...], bytes, object]
"""Tag, VR on the wire, whether of undefined length, text codecs and beginning of a sequence; what is known."""


class Spot:
    """A place: first eight bytes of an element → tag, length with header (-1: behind them), and what is to be asked."""

    __slots__ = ("below", "form", "known", "late", "passed", "way")

    def __init__(self, way: Way, form: Form) -> None:
        self.way = way
        self.form = form
        self.known: dict[bytes, tuple[int, int, Must | None]] = {}
        self.late: dict[tuple[int, str, str, bool], Promise | None] = {}
        """Elements by creator, VR on the wire and whether a mate stands there → what is promised of them."""
        self.below: dict[tuple[int, int, Form], Spot] = {}
        self.passed: dict[Key, tuple[bytes, int]] = {}
        """Sequences that passed → all of each, and number of items."""


class State:
    """A data set while it is read.

    Attributes
    ----------
    spot : Spot
    encodings : tuple of str
        Text codecs.
    creators : dict
        ``gggg00bb`` → what the block is reserved for.
    early : list of int
        Private elements that stand before their creator, and may not stay without one.
    waiting : list of (int, int, int, int, Must)
        Header, value, end, tag and question of private elements that stand before their creator.
    counts : list of (int, int, Must)
        Number of items, tag and question of private sequences that stand before theirs.
    ended : bool
        All creators are known.
    used : set of int
        Creators of which something stands there.
    there : set of int
        Elements with a value on which a table's answer about others depends.
    """

    __slots__ = ("counts", "creators", "early", "encodings", "ended", "spot", "there", "used", "waiting")

    def __init__(self, spot: Spot, encodings: tuple[str, ...]) -> None:
        self.spot = spot
        self.encodings = encodings
        self.creators: dict[int, str] = {}
        self.early: list[int] = []
        self.waiting: list[tuple[int, int, int, int, Must]] = []
        self.counts: list[tuple[int, int, Must]] = []
        self.ended = False
        self.used: set[int] = set()
        self.there: set[int] = set()

    def creator_of(self, tag: int) -> str:
        """Return the creator of a private element, empty when its block is not reserved; of a creator its text."""
        if is_private_creator(tag):
            return self.creators.get(tag, "")
        return self.creators.get(tag & 0xFFFF0000 | tag >> 8 & 0xFF, "")
