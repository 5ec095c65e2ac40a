"""Rules that make what is absent below sequences, or for a private creator → the elements and items to make."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from fw_gear_deid.formats.dicom.level import Found, Level
from fw_gear_deid.formats.dicom.wire import IMPLICIT_LITTLE
from fw_gear_deid.model.errors import Unfit
from fw_gear_deid.model.selectors import PathAt, PrivateAt, Selector
from fw_gear_deid.plan.places import Act, Places, Rank, RulePlace
from fw_gear_deid.profile.compiled import Rule

_NUMBER = 1 << 30  # new items come after those of the source


@dataclass(slots=True, eq=False)
class New:
    """An element to be made.

    Attributes
    ----------
    act : Act
    at : int
        Where it goes in the source; nowhere in a new item.
    rule : Rule
        That made it first.
    items : list of Level, or None
        Of a new sequence.
    creator : str
        Text of a new private creator, whose block the rule reserves.
    """

    act: Act
    at: int
    rule: Rule
    items: list[Level] | None = None
    creator: str = ""


@dataclass(slots=True, eq=False)
class Added:
    """Items to be added to a sequence."""

    rule: Rule
    items: list[Level] = field(default_factory=list)


class Growth:
    """What a file lacks.

    Parameters
    ----------
    places : Places
    top : Level
    position : callable
        Data set and tag → where an absent element goes.
    is_there : callable
        Selector and rank → whether an element that is meant stands there before a step.
    is_taken : callable
        Data set, sequence in it and rank → whether a step before takes its items away.

    Attributes
    ----------
    new : dict
        Identity of a data set → elements to be made in it.
    added : dict
        Identity of a data set and tag → items to be added to a sequence of it.
    revived : set of int
        Private creators that stay because something is made in their block.
    """

    def __init__(
        self,
        places: Places,
        top: Level,
        position: Callable[[Level, int], int],
        is_there: Callable[[Selector, int], bool],
        is_taken: Callable[[Level, Found, int], bool],
    ) -> None:
        self._places = places
        self._top = top
        self._position = position
        self._is_there = is_there
        self._is_taken = is_taken
        self._count = 0
        self.new: dict[int, list[New]] = {}
        self.added: dict[tuple[int, int], Added] = {}
        self.revived: set[int] = set()

    def grow(self) -> None:
        """Work out what is to be made.

        Raises
        ------
        Unfit
            Something else stands where a sequence is meant.
        """
        for rule in self._places.growing:
            selector = rule.selector
            if self._is_there(selector, Rank.FIRST_RULE + rule.index) or self._is_new(selector):
                continue
            if isinstance(selector, PathAt):
                self._path(selector, rule)
            elif isinstance(selector, PrivateAt):
                self._private(selector, rule)

    def _is_new(self, selector: Selector) -> bool:
        return any(
            new.act.place.points(selector, new.act.tag, new.act.creator, recurse=False)
            for made in self.new.values()
            for new in made
        )

    def _path(self, selector: PathAt, rule: Rule) -> None:
        level = self._top
        for tag, index in selector.steps:
            level = self._item(level, tag, index or 0, rule)
        tag = selector.tag
        if not any(one.want.tag == tag for one in level.found):
            self._make(level, tag, rule)

    def _make(self, level: Level, tag: int, rule: Rule, creator: str = "") -> New:
        place = level.place
        assert isinstance(place, RulePlace)  # noqa: S101 -- walked by these places
        at = -1 if level.start < 0 else self._position(level, tag)
        new = New(place.absent(tag, creator), at, rule)
        self.new.setdefault(id(level), []).append(new)
        return new

    def _item(self, level: Level, tag: int, index: int, rule: Rule) -> Level:
        """Return an item of a sequence, making the sequence, and empty items before it, where needed."""
        there: Found | None = next((one for one in level.found if one.want.tag == tag), None)
        new = next((one for one in self.new.get(id(level), ()) if one.act.tag == tag), None)
        if there is None and new is None:
            new = self._make(level, tag, rule)
            new.items = []
        if new is not None:
            items, old = new.items, 0
            as_un = False
        else:
            assert there is not None  # noqa: S101 -- one of them is
            if self._is_taken(level, there, Rank.FIRST_RULE + rule.index):
                raise Unfit(f"{rule.label} {rule.action.key}: an earlier rule removes the sequence that it needs")
            if there.items is None:
                raise Unfit(f"{rule.label} {rule.action.key}: {{path}} is no sequence")
            old = len(there.items)
            if index < old:
                return there.items[index]
            items = self.added.setdefault((id(level), tag), Added(rule)).items
            as_un = there.want.wire == "UN"
        if items is None:
            raise Unfit(f"{rule.label} {rule.action.key}: {{path}} is no sequence")
        place = level.place
        while old + len(items) <= index:
            encoding = IMPLICIT_LITTLE if as_un else place.encoding
            number = old + len(items)
            item = Level(place.below(tag, number, encoding), -1, level, tag, number)
            self._count += 1
            item.number = _NUMBER + self._count
            items.append(item)
        return items[index - old]

    def _private(self, selector: PrivateAt, rule: Rule) -> None:
        """Reserve a block for a private creator where it has none (PS3.5 §7.8.1)."""
        top = self._top
        base = selector.group << 16
        blocks = [
            tag & 0xFF for tag, name in top.creators.items() if tag >> 16 == selector.group and name == selector.creator
        ]
        if blocks:
            block = blocks[0]
            self.revived.add(base | block)
        else:
            # elements without a creator are somebody's, too
            taken = {_block(one.want.tag) for one in top.found} | top.creators.keys()
            block = next(block for block in range(0x10, 0x100) if base | block not in taken)
            self._make(top, base | block, rule).creator = selector.creator
            top.creators[base | block] = selector.creator
        tag = base | block << 8 | selector.element
        if not any(one.want.tag == tag for one in top.found):  # else it comes back where it stood
            self._make(top, tag, rule, selector.creator)


def _block(tag: int) -> int:
    """Return the tag of the creator of a private element, or of one that is a creator."""
    return tag if tag & 0xFFFF <= 0xFF else tag & 0xFFFF0000 | tag >> 8 & 0xFF
