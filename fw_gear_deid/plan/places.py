"""DicomSection → places: which rules point at an element, resolved once for its tag, VR and creator (§2.2, §6)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from enum import Enum, auto
from functools import cached_property
from typing import NamedTuple

from fw_gear_deid.actions import HashUid, Keep
from fw_gear_deid.formats.dicom.level import CHARACTER_SET, Place, Want
from fw_gear_deid.formats.dicom.wire import EXPLICIT_LITTLE, PIXEL_TAGS, Encoding
from fw_gear_deid.model.dictionary import (
    BINARY_VRS,
    format_tag,
    is_private,
    is_private_creator,
    keyword_of,
    known_vr,
    knows_creator,
    private_vr,
    public_vr,
)
from fw_gear_deid.model.outcome import Always
from fw_gear_deid.model.references import CLASSES, HEADS, kind_of
from fw_gear_deid.model.ruling import Asked, Ruling
from fw_gear_deid.model.selectors import GroupsAt, PathAt, PrivateAt, RegexAt, Selector, TagAt, VrAt
from fw_gear_deid.plan.kept import is_parsed
from fw_gear_deid.profile.compiled import DicomSection, Rule
from fw_gear_deid.standard import marks, risks

FOLLOW = "follow-uids"
"""Begins the audit's rule where a UID changes since another one does."""
META_LENGTH = 0x00020000
MEDIA_INSTANCE_UID = 0x00020003
SOP_CLASS_UID, SOP_INSTANCE_UID = 0x00080016, 0x00080018
PATIENT_AGE, BIRTH_DATE, STUDY_DATE = 0x00101010, 0x00100030, 0x00080020
PADDING = 0xFFFCFFFC
# Ours, for (0002,0012) and (0002,0013): who wrote the file, PS3.10 §7.1
SIGNED = {
    0x00020012: ("UI", "2.25.318437409463482186211394526180331563271"),
    0x00020013: ("SH", "FW_GEAR_DEID"),
}
# File meta that names neither a person nor a machine, PS3.10 Table 7.1-1: length, version, class, instance, syntax
META_STAYS = frozenset({META_LENGTH, 0x00020001, 0x00020002, MEDIA_INSTANCE_UID, 0x00020010})
# What makes a file DICOM, and its pixels pixels (Image Pixel Module, PS3.3 §C.7.6.3): stays under remove-undefined
ESSENTIAL = frozenset(
    {SOP_CLASS_UID, SOP_INSTANCE_UID}
    | PIXEL_TAGS
    | {0x7FE00001, 0x7FE00002, 0x7FE00003}
    | {0x00280000 | element for element in (
        0x0002, 0x0003, 0x0004, 0x0006, 0x0008, 0x0009, 0x0010, 0x0011, 0x0034, 0x0100, 0x0101, 0x0102, 0x0103,
        0x0106, 0x0107, 0x0108, 0x0109, 0x0110, 0x0111, 0x0120, 0x0121, 0x0122,
        0x1101, 0x1102, 0x1103, 0x1104, 0x1201, 0x1202, 0x1203, 0x1204, 0x1221, 0x1222, 0x1223, 0x1224,
    )}
)  # fmt: skip


_NO_ENTRY = -1  # index of a rule that is none of the profile's
_PLACES_MAX = 20_000  # places inside items that are remembered where rules go by paths; each takes some kilobytes


GOES = frozenset({"remove", "encrypt"})
"""Actions that take an element away; what is encrypted goes into the envelope."""


class Kind(Enum):
    """What a step does."""

    REMOVE = auto()
    SIGN = auto()
    AGE = auto()
    PARSE = auto()
    RULE = auto()
    INSTANCE = auto()
    SYNC = auto()


class Rank:
    """When a step runs; rules come after FIRST_RULE by their index; then a table's, and what follows."""

    OUTSIDE, PADDING, META, SIGN, GROUP_LENGTH, PRIVATE, AGE, UNDEFINED, FIRST_RULE = range(9)
    TABLE, FOLLOW, INSTANCE, SYNC, NEVER = 1 << 38, 1 << 39, 1 << 40, 1 << 41, 1 << 42


class Step(NamedTuple):
    """One thing to do at a place."""

    rank: int
    kind: Kind
    label: str
    rule: Rule | None = None

    @property
    def general(self) -> bool:
        """Whether no entry names the element by its place: one for its VR does, or a table."""
        return self.rule is not None and (self.rank >= Rank.TABLE or isinstance(self.rule.selector, VrAt))

    @property
    def removes(self) -> bool:
        """Whether it takes the element away, whatever its value."""
        return self.kind is Kind.REMOVE or (self.rule is not None and self.rule.action.key in GOES)

    @property
    def cleans(self) -> bool:
        """Whether it needs to know what the others take away."""
        return self.rule is not None and self.rule.action.key == "clean"


class Beside(NamedTuple):
    """What decides on an element besides its header and its creator.

    Attributes
    ----------
    spared : bool
        remove-private-tags leaves it.
    listed : bool
        remove-undefined leaves it, for what it holds or stands for.
    used : bool
        It is a private creator, and of its block something stays: the table is not asked.
    whole : bool
        What the table wants to see beside it stands there.
    """

    spared: bool = False
    listed: bool = False
    used: bool = False
    whole: bool = True


NOTHING_BESIDE = Beside()


class Act(Want):
    """An element of one tag, VR and creator at one place, with everything that is done to it.

    Attributes
    ----------
    place : RulePlace
    creator : str
        Of a private element.
    rule_vr : str
        VR that rules go by: what the private dictionary knows counts where the wire says UN.
    kind : str
        VR by which entries for a VR and tables go: the dictionary's, whatever stands on the wire.
    steps : tuple of Step
        In the order in which they run.
    fixed : bool
        The steps are known. Else they depend on the creator, or on what else stands there: see ``settled``.
    ruled : bool
        A rule points here.
    keeps : bool
        Nothing here can change it.
    watched : bool
        Its value is asked for by others.
    depends : bool
        What becomes of it depends on more than its value.
    cleans : bool
        A step cleans it of what others take away.
    gone : bool
        All that happens is that it goes, and its length is all that is told of it.
    seals : bool
        What goes may have to go into an envelope.
    """

    __slots__ = (
        "cleans", "creator", "depends", "fixed", "gone", "here", "keeps", "kind", "place", "rule_vr", "ruled", "seals",
        "steps",
        "watched",
    )  # fmt: skip

    def __init__(
        self, place: RulePlace, tag: int, vr: str, wire: str, creator: str = "", known: tuple[Step, ...] | None = None
    ) -> None:
        plan, steps, fixed = place.plan, known or (), known is not None
        watched = place.top and not place.meta and tag in plan.watched
        keeps = all(step.rule is not None and step.rule.action.key == "keep" for step in steps)
        binary = vr in BINARY_VRS and vr != "UN"
        retains = plan.section.retain and not place.meta
        seals = retains or any(step.rule is not None and step.rule.action.key == "encrypt" for step in steps)
        gone = binary and len(steps) == 1 and steps[0].removes and not seals
        read = any(place.points(one, tag, creator, recurse=False) for one in plan.readable)
        watched = watched or read
        wanted = not fixed or bool(steps) or watched or is_private_creator(tag) or tag == CHARACTER_SET or place.meta
        ends_header = plan.section.follow_uids and place.top and tag in PIXEL_TAGS
        wanted = wanted or tag in plan.growing_tags or tag in plan.mate_tags or ends_header
        blind = (
            fixed
            and not (watched or place.meta or tag in plan.growing_tags or tag in plan.mate_tags)
            and tag != CHARACTER_SET
            and ((keeps and not is_private_creator(tag)) or gone)
        )
        super().__init__(tag, vr, wire, wanted=wanted, blind=blind)
        self.place = place
        self.creator = creator
        named = is_private(tag) and not is_private_creator(tag)
        self.rule_vr = private_vr(tag, creator) or "UN" if vr == "UN" and named else vr
        self.kind = known_vr(tag, creator, vr)
        self.steps = steps
        self.fixed = fixed
        self.ruled = any(step.kind is Kind.RULE for step in steps)
        self.keeps = keeps
        self.watched = watched
        self.gone = gone
        self.seals = seals
        self.depends = any(
            step.kind in (Kind.AGE, Kind.SYNC) or (step.rule is not None and bool(plan.names_of(step.rule)))
            for step in steps
        )
        self.cleans = any(step.cleans for step in steps)
        self.depends = self.depends or self.cleans
        self.here = format_tag(tag)
        if named and plan.known_creator(creator):
            # a creator that neither dictionary nor profile know may be any text, a name too
            self.here = f'({tag >> 16:04X},"{creator}",{tag & 0xFF:02X})'


class WayTexts(NamedTuple):
    """The way to a place in keywords (a step that has none in its tag), and in tags: what regexes are matched with."""

    keywords: str = ""
    tags: str = ""

    def below(self, tag: int, index: int) -> WayTexts:
        """Return those of an item."""
        here = f"{tag:08x}"
        return WayTexts(f"{self.keywords}{keyword_of(tag) or here}.{index}.", f"{self.tags}{here}.{index}.")


class RulePlace(Place):
    """A place of a section's plan.

    Attributes
    ----------
    plan : Places
    top, meta : bool
        The top level; the file meta.
    way : tuple of (int, int)
        Tags and item indices that lead here, where rules go by them.
    """

    __slots__ = ("_acts", "_below", "_made", "_texts", "meta", "plan", "top", "way")

    def __init__(
        self,
        plan: Places,
        encoding: Encoding,
        *,
        top: bool = False,
        meta: bool = False,
        way: tuple[tuple[int, int], ...] = (),
        texts: WayTexts | None = None,
    ) -> None:
        super().__init__(encoding, plan.meta_inserts if meta else plan.inserts if top else ())
        self.plan = plan
        self.top = top
        self.meta = meta
        self.way = way
        self._texts = texts or WayTexts()
        self._acts: dict[tuple[int, str, str, str, Beside] | tuple[int, str, str], Act] = {}
        self._below: dict[tuple[int, int, Encoding], RulePlace] = {}
        self._made: tuple[Act, ...] | None = None

    def below(self, tag: int, index: int, encoding: Encoding) -> RulePlace:
        """Return the place inside an item: one for all where no rule goes by a path."""
        plan = self.plan
        if not plan.by_path:
            if not plan.by_way:
                return plan.inside(encoding)
            index = 0  # one for all items of a sequence
        key = tag, index, encoding
        known = self._below.get(key)
        if known is None:
            plan.made_one()
            way, texts = (*self.way, (tag, index)), self._texts.below(tag, index)
            known = self._below[key] = RulePlace(plan, encoding, way=way, texts=texts)
        return known

    def forget(self) -> None:
        """Forget the places below."""
        self._below.clear()

    def want(self, tag: int, vr: str, wire: str) -> Act:
        """Return what is done to an element, as far as its header alone tells."""
        key = tag, vr, wire
        known = self._acts.get(key)
        if known is None:
            known = self._acts[key] = self._act(tag, vr, wire)
        return known

    def _act(self, tag: int, vr: str, wire: str) -> Act:
        section = self.plan.section
        if self.meta:
            return self.settled(tag, vr, wire)
        private = is_private(tag) and (not is_private_creator(tag) or section.remove_private or self.plan.general)
        depends = section.remove_undefined and (vr == "SQ" or wire == "UN" or tag == CHARACTER_SET or is_private(tag))
        if (private and self.plan.private_matters) or depends or tag in self.plan.mates:
            return Act(self, tag, vr, wire)
        return self.settled(tag, vr, wire)

    def settled(self, tag: int, vr: str, wire: str, creator: str = "", beside: Beside = NOTHING_BESIDE) -> Act:
        """Return an element with its steps."""
        key = tag, vr, wire, creator, beside
        known = self._acts.get(key)
        if known is None:
            steps = tuple(self._steps(tag, known_vr(tag, creator, vr), creator, beside))
            known = self._acts[key] = Act(self, tag, vr, wire, creator, steps)
        return known

    def makes(self) -> tuple[Act, ...]:
        """Return the elements that are made here where they are absent, but for the length of the file meta."""
        if self._made is None:
            self._made = tuple(self.absent(tag) for tag in self.inserts if tag != META_LENGTH)
        return self._made

    def absent(self, tag: int, creator: str = "") -> Act:
        """Return an element that is not there and may be made."""
        vr = public_vr(tag) or (private_vr(tag, creator) if creator else None) or "UN"
        return self.settled(tag, vr, vr, creator)

    def _steps(self, tag: int, vr: str, creator: str, beside: Beside) -> Iterator[Step]:
        plan, section = self.plan, self.plan.section
        rules = [rule for rule in plan.candidates(tag) if self.points(rule.selector, tag, creator)]
        reached = bool(rules) or self.meta or (section.age and self.top and tag == PATIENT_AGE)
        if not reached:
            rules = plan.of_class(tag, vr, creator)
        if self.meta:
            ruled = tag in plan.ruled_tags
            if tag not in META_STAYS and tag not in SIGNED and not ruled:
                yield Step(Rank.META, Kind.REMOVE, Always.FILE_META.value)
            if tag in SIGNED and not ruled:
                yield Step(Rank.SIGN, Kind.SIGN, Always.FILE_META.value)
            if tag in META_STAYS and is_parsed(tag):
                yield Step(Rank.SIGN, Kind.PARSE, Always.FILE_META.value)
        else:
            if tag == PADDING:
                yield Step(Rank.PADDING, Kind.REMOVE, Always.TRAILING.value)
            if not tag & 0xFFFF:
                yield Step(Rank.GROUP_LENGTH, Kind.REMOVE, Always.GROUP_LENGTH.value)
            if section.remove_private and is_private(tag) and not beside.spared:
                yield Step(Rank.PRIVATE, Kind.REMOVE, "remove-private-tags")
            if section.age and self.top and tag == PATIENT_AGE:
                yield Step(Rank.AGE, Kind.AGE, "patient-age-from-birthdate")
            if section.remove_undefined and not rules:
                stays = beside.listed or (self.top and tag in ESSENTIAL)
                if not stays:
                    yield Step(Rank.UNDEFINED, Kind.REMOVE, "remove-undefined")
                elif is_parsed(tag):
                    yield Step(Rank.UNDEFINED, Kind.PARSE, "remove-undefined")
        for rule in rules:
            yield Step(Rank.FIRST_RULE + rule.index, Kind.RULE, rule.label, rule)
        if not (reached or rules or beside.used):
            yield from self._general(tag, vr, creator, beside)
        if self.top and not self.meta and tag == SOP_INSTANCE_UID:
            yield Step(Rank.INSTANCE, Kind.INSTANCE, Always.SOP_INSTANCE_UID.value)
        if self.meta and tag == MEDIA_INSTANCE_UID:
            yield Step(Rank.SYNC, Kind.SYNC, Always.SYNC.value)

    def _general(self, tag: int, vr: str, creator: str, beside: Beside) -> Iterator[Step]:
        """Yield what the table says of an element that no entry reaches."""
        way = tuple(step for step, _ in self.way)
        ruling = self.plan.ruling(Asked(tag, vr, creator, way, self.plan.sop_class, beside.whole))
        if ruling is None and vr == "UI":
            follows = self.plan.follows.get(kind_of(tag, creator, way))
            if follows is not None:
                yield Step(Rank.FOLLOW, Kind.RULE, follows.label, follows)
        for number, action in enumerate(() if ruling is None else ruling.actions):
            assert ruling is not None  # noqa: S101 -- of it
            rule = Rule(TagAt(tag), action, ruling.label, ruling.label, _NO_ENTRY, insert=False)
            yield Step(Rank.TABLE + number, Kind.RULE, rule.label, rule)

    def points(self, selector: Selector, tag: int, creator: str, *, recurse: bool | None = None) -> bool:
        """Tell whether a selector points at an element here by its place; one for VRs does not.

        Parameters
        ----------
        recurse : bool, optional
            Rules for the top level count inside sequences; as the section says, unless told.
        """
        here = self.top or (self.plan.section.recurse if recurse is None else recurse)
        match selector:
            case TagAt(other):
                return other == tag and (other >> 16 == 2) == self.meta and here
            case PrivateAt(group, name, element):
                own = tag >> 16 == group and tag & 0xFFFF > 0xFF and tag & 0xFF == element
                return own and creator == name and here and not self.meta
            case GroupsAt(group, element):
                return not self.meta and here and tag & 0xFF00FFFF == group << 16 | element and not is_private(tag)
            case PathAt(steps, other):
                return not self.meta and other == tag and self._is_way(steps)
            case RegexAt(pattern, hex_pattern):
                if self.meta:
                    return False
                keyword = keyword_of(tag)
                by_name = bool(keyword) and bool(pattern.match(self._texts.keywords + keyword))
                return by_name or bool(hex_pattern.match(f"{self._texts.tags}{tag:08x}"))
            case VrAt():
                return False

    def names(self, tag: int, vr: str, creator: str) -> bool:
        """Tell whether an entry names an element here, by its place or by its VR."""
        by_place = any(self.points(rule.selector, tag, creator) for rule in self.plan.candidates(tag))
        return by_place or bool(self.plan.of_class(tag, known_vr(tag, creator, vr), creator))

    def creates(self, selector: Selector) -> bool:
        """Tell whether a rule that finds nothing makes its element here."""
        match selector:
            case TagAt() | PrivateAt():
                return self.top
            case PathAt(steps, _):
                return self.way == tuple((tag, number or 0) for tag, number in steps)
            case _:
                return False

    def _is_way(self, steps: Sequence[tuple[int, int | None]]) -> bool:
        return len(steps) == len(self.way) and all(
            tag == other and number in (None, index)
            for (tag, number), (other, index) in zip(steps, self.way, strict=True)
        )


class Places:
    """All places of a section, and its rules by what they go by: asking costs the same for 20 and for 3,000.

    Parameters
    ----------
    section : DicomSection
    watched : frozenset of int
        Tags of the top level whose values are asked for.
    also : tuple of Selector
        Other elements whose values are asked for.
    sop_class : str
        Of the files; it matters to a table.
    """

    def __init__(
        self, section: DicomSection, watched: frozenset[int], also: tuple[Selector, ...] = (), sop_class: str = ""
    ) -> None:
        self.section = section
        self.sop_class = sop_class
        rules = section.rules
        self.creators = section.creators
        self.growing = tuple(rule for rule in rules if rule.insert and isinstance(rule.selector, PathAt | PrivateAt))
        """Rules that make what is absent elsewhere than at a fixed place."""
        self.growing_tags = frozenset(
            tag for rule in self.growing if isinstance(rule.selector, PathAt) for tag, _ in rule.selector.steps
        )
        self.ruled_tags = frozenset(rule.selector.tag for rule in rules if isinstance(rule.selector, TagAt))
        self.names_instance = any(rule.selector == TagAt(SOP_INSTANCE_UID) for rule in rules)
        self.references = dict(section.references)
        by_tag: dict[int, list[Rule]] = {}
        by_creator: dict[tuple[int, int], list[Rule]] = {}
        self._others: list[Rule] = []
        self._by_vr: dict[str, Rule] = {}
        for rule in rules:
            match rule.selector:
                case VrAt(vrs):
                    for vr in vrs:
                        self._by_vr.setdefault(vr, rule)
                case TagAt(tag) | PathAt(_, tag):
                    by_tag.setdefault(tag, []).append(rule)
                case PrivateAt(group, _, element):
                    by_creator.setdefault((group, element), []).append(rule)
                case _:
                    self._others.append(rule)
        self._by_tag = by_tag
        self._by_creator = by_creator
        named = (selector for template in section.filenames for selector in template.elements)
        conditions = (one.selector for exclusion in section.exclude for one in exclusion.conditions)
        self.readable = (*self.references.values(), *named, *also, *conditions)
        selectors = [*(rule.selector for rule in rules), *self.readable]
        by_creators = (rule.selector for rule in rules if isinstance(rule.selector, PrivateAt))
        self.named_private = frozenset((one.group, one.creator, one.element) for one in by_creators)
        """Group, creator and element of what rules name by its creator."""
        self.by_path = any(isinstance(one, PathAt | RegexAt) for one in selectors)
        self.general = bool(self._by_vr) or section.table is not None or section.follow_uids
        """Whether something is asked of elements that no entry reaches by its place."""
        self.by_way = section.table is not None or section.follow_uids
        self.mates = {} if section.table is None else section.table.mates
        self.mate_tags = frozenset().union(*self.mates.values())
        """Whether the sequences around an element matter, and not the numbers of items."""
        self.names_instance = self.names_instance or section.table is not None or "UI" in self._by_vr
        self.private_matters = (
            section.remove_private
            or self.general
            or section.remove_undefined
            or any(isinstance(one, PrivateAt | RegexAt) or _is_odd(one) for one in selectors)
        )
        inserted = {rule.selector.tag for rule in rules if rule.insert and isinstance(rule.selector, TagAt)}
        if section.age:
            inserted.add(PATIENT_AGE)
        self.inserts = tuple(sorted(tag for tag in inserted if tag >> 16 != 2))
        self.meta_inserts = tuple(
            sorted({tag for tag in inserted if tag >> 16 == 2} | {META_LENGTH, MEDIA_INSTANCE_UID, *SIGNED})
        )
        marked = frozenset() if section.claims is None else frozenset(marks.TAGS)
        self.inserts = tuple(sorted({*self.inserts, *marked}))
        asked = {SOP_CLASS_UID} if section.table is not None else set()
        dates = {BIRTH_DATE, STUDY_DATE} if section.age else set()
        self.watched = watched | risks.tags() | marked | {SOP_INSTANCE_UID} | asked | dates
        self.meta = RulePlace(self, EXPLICIT_LITTLE, top=True, meta=True)
        self._top: dict[Encoding, RulePlace] = {}
        self._inside: dict[Encoding, RulePlace] = {}
        self._made = 0

    def top(self, encoding: Encoding) -> RulePlace:
        """Return the top level in an encoding."""
        known = self._top.get(encoding)
        if known is None:
            known = self._top[encoding] = RulePlace(self, encoding, top=True)
        return known

    def made_one(self) -> None:
        """Count a place inside an item; of too many all are forgotten that no file holds."""
        self._made += 1
        if self._made > _PLACES_MAX:
            self._made = 0
            for top in self._top.values():
                top.forget()

    def inside(self, encoding: Encoding) -> RulePlace:
        """Return the one place inside items, where no rule goes by a path."""
        known = self._inside.get(encoding)
        if known is None:
            known = self._inside[encoding] = RulePlace(self, encoding)
        return known

    def candidates(self, tag: int) -> list[Rule]:
        """Return the rules that may point at a tag, in the order in which they run."""
        own = self._by_tag.get(tag, [])
        others = [*self._by_creator.get((tag >> 16, tag & 0xFF), ()), *self._others]
        return sorted([*own, *others], key=lambda rule: rule.index) if others else own

    @cached_property
    def follows(self) -> dict[str, Rule]:
        """What is done to UIDs that refer to a study, series, instance or frame of reference whose own is hashed."""
        found: dict[str, Rule] = {}
        for kind, tag in HEADS.items() if self.section.follow_uids else ():
            rules = self.candidates(tag)
            place = self.top(EXPLICIT_LITTLE)
            entries = [rule for rule in rules if place.points(rule.selector, tag, "")] or self.of_class(tag, "UI", "")
            actions = [rule.action for rule in entries]
            label = entries[-1].label if entries else ""
            if not entries:
                ruling = self.ruling(Asked(tag, "UI", "", (), self.sop_class))
                actions, label = ([], "") if ruling is None else (list(ruling.actions), ruling.label)
            for action in actions:
                if isinstance(action, HashUid):
                    spares = replace(action, spares=True)
                    found[kind] = Rule(TagAt(tag), spares, FOLLOW, f"{FOLLOW} ({label})", _NO_ENTRY, insert=False)
        return found

    def known_creator(self, creator: str) -> str:
        """Return a private creator that the dictionary or the profile knows, so that it is no name; else nothing."""
        return creator if creator in self.creators or knows_creator(creator) else ""

    def of_class(self, tag: int, vr: str, creator: str) -> list[Rule]:
        """Return the rule for the elements of a VR, of those that list it the first; at most one.

        A private creator that is known stays: without it nobody could tell what the elements of its block are.
        """
        rule = self._by_vr.get(vr)
        if rule is None or (is_private_creator(tag) and self.known_creator(creator)):
            return []
        return [replace(rule, action=Keep()) if tag in CLASSES and isinstance(rule.action, HashUid) else rule]

    def ruling(self, asked: Asked) -> Ruling | None:
        """Return what the table of the section says of an element that no entry reaches."""
        return None if self.section.table is None else self.section.table.rule(asked)

    def names_private(self, tag: int, creator: str) -> bool:
        """Tell whether a rule names an element of a creator's block."""
        return (tag >> 16, creator, tag & 0xFF) in self.named_private

    def names_of(self, rule: Rule) -> bool:
        """Tell whether what a rule does may depend on other fields."""
        return bool(self.references) and rule.action.key == "regex-sub"


def _is_odd(selector: Selector) -> bool:
    match selector:
        case TagAt(tag):
            return is_private(tag)
        case PathAt(steps, tag):
            return any(is_private(step) for step, _ in (*steps, (tag, None)))
        case _:
            return False
