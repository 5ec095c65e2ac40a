"""What rules promise of a result: gone, equal to a constant, or different from the source (interfaces §4, point 2)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from fw_gear_deid.model.action import CLEANED, DIFFERS, ENDS, EQUALS, GONE, MOVED, NOTHING, RENAMED, SHIFTED
from fw_gear_deid.model.dictionary import is_private, is_private_creator, keyword_of, known_vr, knows_creator
from fw_gear_deid.model.patterns import Pattern
from fw_gear_deid.model.references import CLASSES
from fw_gear_deid.model.selectors import GroupsAt, PathAt, PrivateAt, RegexAt, Selector, TagAt, VrAt

WANTED = {
    GONE: "gone",
    EQUALS: "what the rule sets",
    ENDS: "at its end what the rule appends",
    DIFFERS: "different from the source",
    MOVED: "a date",
    SHIFTED: "another value",
    CLEANED: "clean",
    RENAMED: "another UID",
}


@dataclass(frozen=True, slots=True)
class Promise:
    """What must hold of the places that a rule points at, unless a later rule speaks about them.

    Attributes
    ----------
    selector : Selector
    kind : str
        ``gone``; ``equals`` the texts; ``ends`` with them; ``differs`` from the source where that was not empty;
        ``moved``: legal dates where it differs; ``shifted``: besides, each value differs that can be read, unless
        another rule speaks of the place, too; ``renamed``: each value is another one, but for registered UIDs;
        ``cleaned``: no value tells what rules took away elsewhere; or empty: nothing.
    texts : tuple of str
    label : str
        Place in the profile.
    keeps : bool
        The rule changes nothing: it only names the place.
    table : bool
        No rule promises it but a table: a private creator that should be gone stays as long as something of its block.
    """

    selector: Selector
    kind: str
    texts: tuple[str, ...]
    label: str
    keeps: bool = False
    table: bool = False


Table = Callable[["Way", int, str, str, bool], Sequence[Promise]]
"""Way, tag, VR by the dictionary and creator of an element that no rule speaks of, and whether a mate of it stands
there → what a table promises of it."""


class General(NamedTuple):
    """What goes for elements that no rule names by their place.

    Attributes
    ----------
    creators : frozenset of str
        Private creators that the profile names: entries for a VR leave them.
    table : callable, optional
    mates : mapping of int to frozenset of int
        Tag → tags of which one has a value beside it, or the table promises something else.
    marks : frozenset of int
        Tags of the top level that say what was done: what a rule made of them is not the last word.
    follow : bool
        No UID that changed may be left where nothing names an element.
    """

    creators: frozenset[str]
    table: Table | None = None
    mates: Mapping[int, frozenset[int]] = {}
    marks: frozenset[int] = frozenset()
    follow: bool = False


_ANYTHING = RegexAt(Pattern("."), Pattern("."))
PRIVATE = Promise(_ANYTHING, GONE, (), "remove-private-tags")
UNNAMED = Promise(_ANYTHING, GONE, (), "remove-undefined")
FILE_META = Promise(_ANYTHING, GONE, (), "always: file meta")
_CHARACTER_SET = 0x00080005


@dataclass(frozen=True, slots=True)
class Way:
    """Where a data set stands: the tags and item indices that lead to it.

    Attributes
    ----------
    steps : tuple of (int, int)
    meta : bool
        The file meta.
    """

    steps: tuple[tuple[int, int], ...] = ()
    meta: bool = False

    @property
    def top(self) -> bool:
        """Whether it is no item."""
        return not self.steps

    def path(self, tag: int, *, by_name: bool) -> str:
        """Return the dotted path of keywords, empty where the element has none, or of tags in lower case.

        A step of the way that has no keyword stands by its tag.
        """
        last = keyword_of(tag) if by_name else f"{tag:08x}"
        steps = (((keyword_of(step) if by_name else "") or f"{step:08x}", str(index)) for step, index in self.steps)
        return ".".join((*(part for step in steps for part in step), last)) if last else ""


class Promises:
    """The promises of a section by what they go by: the last one that speaks of a place holds there.

    Parameters
    ----------
    promises : sequence of Promise
        In the order in which the rules ran.
    recurse : bool
        Rules count inside sequences.
    stay : frozenset of (int, str, int), optional
        Group, creator and element of the private elements that may stay; None: all of them.
    unnamed : frozenset of int, optional
        Tags of the top level that stay although no rule names them; None: all others do as well.
    meta : frozenset of int, optional
        The same for the file meta.
    general : General, optional
        What goes for elements that no rule speaks of.
    """

    def __init__(
        self,
        promises: Sequence[Promise],
        *,
        recurse: bool,
        stay: frozenset[tuple[int, str, int]] | None = None,
        unnamed: frozenset[int] | None = None,
        meta: frozenset[int] | None = None,
        general: General | None = None,
    ) -> None:
        self.recurse = recurse
        self._stay = stay
        self._unnamed = unnamed
        self._meta = meta
        self._creators = {(group, creator) for group, creator, _ in stay or ()}
        self._by_tag: dict[int, list[tuple[int, Promise]]] = {}
        self._by_creator: dict[tuple[int, int], list[tuple[int, Promise]]] = {}
        self._others: list[tuple[int, Promise]] = []
        table = None if general is None else general.table
        self._table = table
        self.follow = general is not None and general.follow
        self.mates = {} if general is None else general.mates
        self.mate_tags = frozenset().union(*self.mates.values())
        self._known = frozenset() if general is None else general.creators
        self._marks = frozenset() if general is None else general.marks
        self._by_vr: dict[str, Promise] = {}
        for promise in promises:
            for vr in promise.selector.vrs if isinstance(promise.selector, VrAt) else ():
                self._by_vr.setdefault(vr, promise)
        self.general = bool(self._by_vr) or table is not None
        """Whether something is promised of elements that no rule names by their place."""
        # what promises nothing matters where being named does
        named = unnamed is not None or self.general or any(promise.kind == SHIFTED for promise in promises)
        telling = [
            (number, one)
            for number, one in enumerate(promises)
            if not isinstance(one.selector, VrAt) and (named or one.kind != NOTHING or _is_meta(one.selector))
        ]
        for number, promise in telling:
            match promise.selector:
                case TagAt(tag) | PathAt(_, tag):
                    self._by_tag.setdefault(tag, []).append((number, promise))
                case PrivateAt(group, _, element):
                    self._by_creator.setdefault((group, element), []).append((number, promise))
                case _:
                    self._others.append((number, promise))
        selectors = [promise.selector for _, promise in telling]
        self.by_path = any(isinstance(one, PathAt | RegexAt) for one in selectors)
        self.by_way = table is not None
        self.by_creator = stay is not None or bool(self._by_creator) or self.general
        self._blocks = {tag & 0xFFFF0000 | tag >> 8 & 0xFF for tag in self._by_tag if is_private(tag)}
        self._named_creators = {(one.group, one.creator) for one in selectors if isinstance(one, PrivateAt)}
        self._by_regex = any(isinstance(one, RegexAt) for one in selectors)

    def at(self, way: Way, tag: int, creator: str, vr: str, *, whole: bool = True) -> Promise | None:
        """Return what must hold of an element.

        Parameters
        ----------
        creator : str
            That of its block, or the text of a creator itself.
        vr : str
            As it stands on the wire, the dictionary's where that does not tell.
        whole : bool
            One of its mates has a value beside it.
        """
        if tag in self._marks and way.top:
            return None
        if self._stay is not None and is_private(tag) and not way.meta and not self._may_stay(tag, creator):
            return PRIVATE
        own, others = self._by_tag.get(tag, ()), self._by_creator.get((tag >> 16, tag & 0xFF), ())
        candidates: Iterable[tuple[int, Promise]] = (*own, *others, *self._others)
        named = [(number, one) for number, one in candidates if self._points(one.selector, way, tag, creator)]
        if named:
            return _last(named)
        vr = known_vr(tag, creator, vr)
        by_vr = None if way.meta or self._is_known(tag, creator) else self._by_vr.get(vr)
        if by_vr is not None:
            spared = by_vr.kind == RENAMED and tag in CLASSES
            return None if by_vr.keeps or by_vr.kind == NOTHING or spared else by_vr
        gone = self._of_unnamed(way, tag, creator)
        if gone is not None or way.meta or self._table is None:
            return gone
        return _last(list(enumerate(self._table(way, tag, vr, creator, whole))))

    def names(self, way: Way, tag: int, creator: str, vr: str) -> bool:
        """Tell whether a rule, or a table, speaks of an element; parameters as ``at``."""
        own, others = self._by_tag.get(tag, ()), self._by_creator.get((tag >> 16, tag & 0xFF), ())
        if any(self._points(one.selector, way, tag, creator) for _, one in (*own, *others, *self._others)):
            return True
        vr = known_vr(tag, creator, vr)
        if vr in self._by_vr and not self._is_known(tag, creator):
            return True
        return self._table is not None and any(
            bool(self._table(way, tag, vr, creator, whole)) for whole in (True, False)
        )

    def _is_known(self, tag: int, creator: str) -> bool:
        """Tell whether an element is a private creator that the dictionary or the profile knows."""
        return is_private_creator(tag) and (creator in self._known or knows_creator(creator))

    def _of_unnamed(self, way: Way, tag: int, creator: str) -> Promise | None:
        """Return what must hold of an element that no rule names."""
        if way.meta:
            return None if self._meta is None or tag in self._meta else FILE_META
        if self._unnamed is None or tag == _CHARACTER_SET or (way.top and tag in self._unnamed):
            return None
        if is_private_creator(tag) and (
            self._by_regex or self._by_vr or tag in self._blocks or (tag >> 16, creator) in self._named_creators
        ):
            return None  # what it was kept for may be gone by a rule
        return UNNAMED

    def _may_stay(self, tag: int, creator: str) -> bool:
        assert self._stay is not None  # noqa: S101 -- asked where private elements go
        if is_private_creator(tag):
            return (tag >> 16, creator) in self._creators
        return (tag >> 16, creator, tag & 0xFF) in self._stay and tag & 0xFFFF > 0xFF

    def _points(self, selector: Selector, way: Way, tag: int, creator: str) -> bool:
        counts = way.top or self.recurse
        match selector:
            case TagAt(other):
                return other == tag and counts and (tag >> 16 == 2) == way.meta
            case GroupsAt(group, element):
                return counts and not way.meta and not is_private(tag) and tag & 0xFF00FFFF == group << 16 | element
            case PrivateAt(group, name, element):
                same = tag >> 16 == group and tag & 0xFFFF > 0xFF and tag & 0xFF == element
                return same and counts and not way.meta and name == creator
            case PathAt(steps, other):
                return other == tag and not way.meta and _leads(steps, way.steps)
            case VrAt():
                return False
            case RegexAt(pattern, hex_pattern):
                if way.meta:
                    return False
                name = way.path(tag, by_name=True)
                return bool(name and pattern.match(name)) or bool(hex_pattern.match(way.path(tag, by_name=False)))


def _last(named: list[tuple[int, Promise]]) -> Promise | None:
    """Return the promise that holds where several rules speak of a place, each with its number."""
    held = [(number, one) for number, one in named if not one.keeps]
    if len(held) > 1:  # one rule may move to where another one moved from
        held = [(number, replace(one, kind=MOVED) if one.kind == SHIFTED else one) for number, one in held]
    held = [pair for pair in held if pair[1].kind != NOTHING]
    # dates that are legal still have to be gone, or what another rule sets
    return max(held, key=lambda pair: (pair[1].kind != MOVED, pair[0]))[1] if held else None


def _is_meta(selector: Selector) -> bool:
    return isinstance(selector, TagAt) and selector.tag >> 16 == 2


def _leads(steps: Sequence[tuple[int, int | None]], way: Sequence[tuple[int, int]]) -> bool:
    return len(steps) == len(way) and all(
        mine == its and wanted in (None, index) for (mine, wanted), (its, index) in zip(steps, way, strict=True)
    )
