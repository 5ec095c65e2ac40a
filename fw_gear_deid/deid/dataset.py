"""DICOM section and bytes of a file → its de-identified bytes, what changed, and what names and labels go by."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date

from fw_gear_deid.actions import CARRIED, Keep
from fw_gear_deid.actions.cleaning import Fact
from fw_gear_deid.deid import marking
from fw_gear_deid.deid.cleaning import cleaner, cleaning_of, facts_of
from fw_gear_deid.deid.marking import NOTHING_TOLD, Telling
from fw_gear_deid.formats.dicom import fields, frames, part10, texts, values
from fw_gear_deid.formats.dicom.fields import Fields
from fw_gear_deid.formats.dicom.level import CHARACTER_SET, Found, Level, Place, Want
from fw_gear_deid.formats.dicom.part10 import Parts, Splice
from fw_gear_deid.formats.dicom.walk import Walker
from fw_gear_deid.formats.dicom.wire import EXPLICIT_LITTLE, Encoding
from fw_gear_deid.model import legal
from fw_gear_deid.model.action import MOVED, Action, Draw
from fw_gear_deid.model.dictionary import CHARSET_VRS, format_tag, is_private_creator, keyword_of, private_vr, public_vr
from fw_gear_deid.model.errors import Unfit
from fw_gear_deid.model.outcome import REPAIRED, Always, Edit
from fw_gear_deid.model.references import kind_of
from fw_gear_deid.model.ruling import Asked
from fw_gear_deid.model.selectors import AnySelector, PrivateAt, Selector, TagAt
from fw_gear_deid.plan.chain import Memory, Surroundings
from fw_gear_deid.plan.edits import Edits
from fw_gear_deid.plan.places import ESSENTIAL, META_STAYS, PATIENT_AGE, SIGNED, SOP_CLASS_UID, Places, RulePlace
from fw_gear_deid.profile.claims import withheld
from fw_gear_deid.profile.compiled import DicomSection, Rule
from fw_gear_deid.standard import marks
from fw_gear_deid.verify.instance import Checker, Written
from fw_gear_deid.verify.known import Known
from fw_gear_deid.verify.marks import Said
from fw_gear_deid.verify.promises import General, Promise, Promises, Table
from fw_gear_deid.verify.promises import Way as Spot
from fw_gear_deid.verify.source import TRAILING, Span

# top-level elements that people, names, labels and mappings go by
WATCHED = frozenset(
    {
        0x00080018, 0x00080050, 0x00080060, 0x0008103E, 0x00081030, 0x00100010, 0x00100020, 0x00100021, 0x00100030,
        0x00181030, 0x0020000D, 0x0020000E,
    }
)  # fmt: skip
_PLANS_MAX = 16
_MEMORIES_MAX = 16
_CLASSES_MAX = 16


class Plan:
    """A section compiled, and what it made of the values that it met.

    Parameters
    ----------
    section : DicomSection
    also : tuple of Selector
        Elements that the names of archives are made of.
    """

    def __init__(self, section: DicomSection, also: tuple[Selector, ...]) -> None:
        self.section = section
        self.also = also
        self._settled = _settled(section)
        self.places = Places(self._settled, WATCHED, also)
        """Of any SOP class where no table decides; else of the last one that came."""
        self._named: dict[int, bool] = {}
        self._classes = {"": self.places}
        self._checkers: dict[str, Checker] = {}
        self._untrue: dict[int, frozenset[str]] | None = None
        self._memories: dict[tuple[tuple[str, ...], object, date], Memory] = {}

    def turn_to(self, sop_class: str) -> Places:
        """Return the places for a SOP class, and have them at hand for the next file: most are of the same."""
        if self.section.table is not None and sop_class != self.places.sop_class:
            known = self._classes.get(sop_class)
            if known is None:
                if len(self._classes) >= _CLASSES_MAX:
                    self._classes.clear()
                known = self._classes[sop_class] = Places(self._settled, WATCHED, self.also, sop_class)
            self.places = known
        return self.places

    def named_top(self, tags: Iterable[int]) -> frozenset[int]:
        """Return which of some top-level tags a rule points at."""
        return frozenset(tag for tag in tags if self._is_named(tag))

    def _is_named(self, tag: int) -> bool:
        known = self._named.get(tag)
        if known is None:
            vr = public_vr(tag) or "UN"
            known = self.places.top(EXPLICIT_LITTLE).settled(tag, vr, vr).ruled
            self._named[tag] = known
        return known

    @property
    def checker(self) -> Checker:
        """The checks of results, for the SOP class at hand."""
        return self.checker_of(self.places.sop_class)

    def checker_of(self, sop_class: str) -> Checker:
        """Return the checks of results of a SOP class."""
        known = self._checkers.get(sop_class)
        if known is None:
            if len(self._checkers) >= _CLASSES_MAX:
                self._checkers.clear()
            told = Promises(
                [*self._options(), *map(_promise, self._settled.rules)],
                recurse=self.section.recurse,
                stay=self.places.named_private if self.section.remove_private else None,
                unnamed=ESSENTIAL if self.section.remove_undefined else None,
                meta=META_STAYS | SIGNED.keys(),
                general=self._general(sop_class),
            )
            known = self._checkers[sop_class] = Checker(told, self.section.creators)
        return known

    def _general(self, sop_class: str) -> General:
        table = self.section.table
        asked = self._of_others(sop_class) if self.places.by_way else None
        marked = frozenset() if self.section.claims is None else frozenset(marks.TAGS)
        mates = {} if table is None else table.mates
        return General(self.section.creators, asked, mates, marked, self.section.follow_uids)

    def _of_others(self, sop_class: str) -> Table:
        """Return what asks for promises of elements that no entry reaches: by the table, and for UIDs that follow."""
        places = self._classes.get(sop_class) or Places(self._settled, WATCHED, self.also, sop_class)

        def promises(way: Spot, tag: int, vr: str, creator: str, whole: bool) -> list[Promise]:
            if is_private_creator(tag):
                creator = places.known_creator(creator)
            around = tuple(step for step, _ in way.steps)
            ruling = places.ruling(Asked(tag, vr, creator, around, sop_class, whole))
            if ruling is None:
                follows = places.follows.get(kind_of(tag, creator, around)) if vr == "UI" else None
                return [] if follows is None else [_promise(follows)]
            told = ruling.actions
            return [_promised(TagAt(tag), action, ruling.label if ruling else "", table=True) for action in told]

        return promises

    @property
    def untrue(self) -> dict[int, frozenset[str]]:
        """Rule → codes of PS3.15 that are not true of a file in which it found something."""
        if self._untrue is None:
            claims = self.section.claims
            rules = () if claims is None else self.section.rules
            told = {one.index: withheld(one.selector, one.action, claims or frozenset()) for one in rules}
            self._untrue = {index: codes for index, codes in told.items() if codes}
        return self._untrue

    def _options(self) -> Iterator[Promise]:
        """Yield what options promise of single elements; rules that name them go before."""
        if self.section.age:
            yield Promise(TagAt(PATIENT_AGE), MOVED, (), "patient-age-from-birthdate")

    def nowhere(self, encodings: tuple[str, ...]) -> Memory:
        """Return a memory of nobody: nothing is drawn from it."""
        return Memory(Surroundings(encodings, None, date.min))

    def memory(self, encodings: tuple[str, ...], owner: object, draw: Draw, today: date) -> Memory:
        """Return what is remembered of values in one character set, of one person, at one day."""
        key = encodings, owner, today
        known = self._memories.get(key)
        if known is None:
            if len(self._memories) >= _MEMORIES_MAX:
                self._memories.clear()
            known = self._memories[key] = Memory(Surroundings(encodings, draw, today))
        return known


def _settled(section: DicomSection) -> DicomSection:
    """Return a section as it runs: what is decrypted is there before any rule, which then keeps it."""
    if not section.lock.opens:
        return section
    rules = (replace(rule, action=Keep()) if rule.action.key == "decrypt" else rule for rule in section.rules)
    return replace(section, rules=tuple(rules))


def _promise(rule: Rule) -> Promise:
    return _promised(rule.selector, rule.action, rule.label)


def _promised(selector: Selector, action: Action, label: str, *, table: bool = False) -> Promise:
    spec = CARRIED[action.key]
    return Promise(
        selector,
        spec.promised(action),
        spec.texts(action),
        f"{label} {action.key}",
        keeps=spec.keeps,
        table=table,
    )


_PLANS: dict[int, Plan] = {}


def plan_of(section: DicomSection, also: tuple[Selector, ...] = ()) -> Plan:
    """Return the plan of a section; the files of a run share a few."""
    known = _PLANS.get(id(section))
    if known is None or known.section is not section or not set(also) <= set(known.also):
        if len(_PLANS) >= _PLANS_MAX:
            _PLANS.clear()
        known = _PLANS[id(section)] = Plan(section, also)
    return known


def open_file(data: bytes, section: DicomSection, also: tuple[Selector, ...] = (), total: int | None = None) -> Parts:
    """Walk a file for a section.

    Parameters
    ----------
    also : tuple of Selector
        Elements whose texts will be asked for besides those that the section names.
    total : int, optional
        Length of the whole file where ``data`` is its beginning.

    Raises
    ------
    Malformed, Odd, Cut
        As ``part10.read``.
    """
    plan = plan_of(section, also)
    places = plan.places
    parts = part10.read(data, places.meta, places.top, total)
    if section.table is None:
        return parts
    sop_class = _class_of(parts)
    if sop_class == places.sop_class:
        return parts
    places = plan.turn_to(sop_class)
    return part10.read(data, places.meta, places.top, total)


def _class_of(parts: Parts) -> str:
    """Return the SOPClassUID of a top level, empty where it has none; what is no UID decides on nothing."""
    level = parts.body
    one = next((one for one in level.found if one.want.tag == SOP_CLASS_UID and one.items is None), None)
    text = "" if one is None else parts.body_src[one.value : one.end].decode("ascii", "replace").strip("\0 ")
    return "" if legal.problem(text, "UI") else text


def _places_of(parts: Parts) -> Places:
    place = parts.body.place
    assert isinstance(place, RulePlace)  # noqa: S101 -- walked for a section
    return place.plan


@dataclass(slots=True)
class Edited:
    """A file after its rules.

    Attributes
    ----------
    section : DicomSection
    parts : Parts
        As it came.
    edits : tuple of Edit
    matched : set of int
        Rules that found something.
    meta, body : list of Splice
    before, after : Fields
        Elements that others go by, as they came and as they will stand.
    read : callable
        Element → text after de-identification, None where it is absent or empty.
    unread : callable
        Yields text and VR of what went and stands in no edit: values below sequences, and in unknown character sets.
    risks : tuple of str
        Words for what may tell whose it is though no rule names it.
    said : Said, optional
        What it says of its de-identification, by PS3.15.
    telling : tuple of str or Fact
        Labels around the file, which no text that was cleaned may tell.
    sealed : sequence of (Level, Found)
        What goes into an envelope: data set and element.
    where : callable
        Data set, tag → the element's place in the audit.
    blanks : sequence of Splice
        Those of the body that take comments out of compressed frames.
    """

    section: DicomSection
    parts: Parts
    edits: tuple[Edit, ...]
    matched: set[int]
    meta: list[Splice]
    body: list[Splice]
    before: Fields
    after: Fields
    read: Callable[[AnySelector], str | None]
    unread: Callable[[], Iterator[tuple[str, str]]]
    where: Callable[[Level, int], str]
    blanks: Sequence[Splice]
    risks: tuple[str, ...]
    said: Said | None
    telling: tuple[str | Fact, ...] = ()
    sealed: Sequence[tuple[Level, Found]] = ()

    @property
    def known(self) -> Known | None:
        """What texts that were cleaned may not tell; None where no rule cleans any."""
        return cleaning_of(self.facts).known if self.facts is not None else None

    @property
    def facts(self) -> tuple[Fact, ...] | None:
        """What tells of the patient; None where no rule cleans any text of it."""
        if self.section.table is None and not any(rule.action.key == "clean" for rule in self.section.rules):
            return None
        return facts_of(self.edits, self.unread(), self.telling)


def fields_of(parts: Parts) -> Fields:
    """Return the watched elements of a file as it came."""
    return fields.fields_of(parts.body_src, parts.body, WATCHED)


def excluded(parts: Parts, section: DicomSection) -> str:
    """Return the place of the first condition of ``exclude`` that a header meets as it came; empty where none does.

    Raises
    ------
    Unfit
        The value of an element cannot be read, so that nobody knows.
    """
    for one in section.exclude:
        if all(condition.holds(_texts_at(parts, condition.selector)) for condition in one.conditions):
            return one.label
    return ""


def _texts_at(parts: Parts, selector: TagAt | PrivateAt) -> tuple[str, ...]:
    """Return the values of the elements of the top level, or of the file meta, that a selector points at."""
    meta = isinstance(selector, TagAt) and selector.tag >> 16 == 2
    level, src = (parts.meta, parts.src) if meta else (parts.body, parts.body_src)
    place, codecs = level.place, () if meta else values.encodings_of(level.charset)
    assert isinstance(place, RulePlace)  # noqa: S101 -- walked for a section
    found: list[str] = []
    for one in level.found:
        tag = one.want.tag
        creator = "" if is_private_creator(tag) else level.creator_of(tag)
        if one.items is not None or not place.points(selector, tag, creator, recurse=False):
            continue
        vr = private_vr(tag, creator) or "UN" if one.want.vr == "UN" and creator else one.want.vr
        little = place.encoding.little or one.want.wire == "UN"
        try:
            found += values.decode(src[one.value : one.end], vr, codecs, little=little)
        except Unfit as error:
            raise Unfit(f"exclude: {format_tag(tag)} {vr}: {error}") from None
    return tuple(found)


def edit(
    parts: Parts, section: DicomSection, draw: Draw, owner: object, today: date, telling: Telling = NOTHING_TOLD
) -> Edited:
    """Carry out a section on a walked file.

    Parameters
    ----------
    draw : Draw
        Of the person at hand.
    owner : hashable
        What it is known by: key and person.
    telling : Telling
        Of the run: labels around the file, which texts that are cleaned lose, and what marks say.

    Raises
    ------
    Unfit
        A rule cannot be carried out; the message names rule, place and cause.
    Cut
        More of the file is needed.
    """
    plan = plan_of(section)
    memory = lambda encodings: plan.memory(encodings, owner, draw, today)  # noqa: E731
    done = Edits(_places_of(parts), parts.body_src, parts.body, memory, cleaner(telling.around))
    done.run(parts.src, parts.meta)
    risks, said = marking.mark(parts, done, section, plan.untrue, telling)
    cleaned, blanks = _frames(parts, done.body.splices)
    encodings = values.encodings_of(parts.body.charset)
    little = parts.body.place.encoding.little
    edited = Edited(
        section,
        parts,
        (*repaired(parts), *outside(parts), *cleaned, *done.rows()),
        done.matched,
        done.meta.splices,
        sorted([*done.body.splices, *blanks], key=lambda one: one[:2]) if blanks else done.body.splices,
        Fields(done.before, encodings, little),
        Fields(done.after, encodings, little),
        lambda selector: (done.text_at(selector) or None) if isinstance(selector, Selector) else None,
        lambda: _unread(parts.body_src, done),
        done.where,
        blanks,
        risks,
        said,
        telling.around,
        done.sealed,
    )
    if any(row.keyword == "SpecificCharacterSet" for row in edited.edits):
        _check_text(edited)
    return edited


def _unread(src: bytes, done: Edits) -> Iterator[tuple[str, str]]:
    for level, one in done.unread:
        codecs = done.encodings(level)
        if one.items is None:
            yield from texts.text_of(src[one.value : one.end], one.want.vr, codecs)
        else:
            yield from texts.texts_in(src[one.start : one.end], level.place.encoding, codecs)


def check(edited: Edited, data: bytes, meta: Sequence[Splice], behind: int = 0) -> Written:
    """Make sure that a result may leave; return it as it was read.

    Parameters
    ----------
    data : bytes
        The file as it was written, or its beginning.
    meta : sequence of Splice
        Of the file meta, as it was written.
    behind : int
        How many bytes of the source pass on behind ``data``.

    Raises
    ------
    Unfit
    """
    told = meta, edited.body, {row.path for row in edited.edits[len(edited.parts.fixes) :]}
    checker = plan_of(edited.section).checker_of(_places_of(edited.parts).sop_class)
    return checker.check(span_of(edited.parts), data, told, len(data) + behind, edited.known, edited.said)


def span_of(parts: Parts) -> Span:
    """Return where the parts of a file stand, for its check."""
    meta, body = parts.meta, parts.body
    return Span(parts.src, parts.body_src, meta.start, meta.end, body.start, body.end, parts.total)


def shown(parts: Parts, section: DicomSection, selector: Selector) -> Iterator[tuple[str, str]]:
    """Yield place and text of the elements that a selector of the section points at, as a person reads them."""
    plan = plan_of(section)
    edits = Edits(_places_of(parts), parts.body_src, parts.body, plan.nowhere)
    yield from edits.shown(selector, parts.src, parts.meta)


def outside(parts: Parts) -> list[Edit]:
    """Note what is cleaned outside the elements: the preamble, and bytes after the last element."""
    edits = []
    if parts.has_prefix and parts.src[:128].strip(b"\0"):
        edits.append(Edit("preamble", "", "", "remove", Always.PREAMBLE.value, "<128 bytes>", ""))
    if parts.trailing:
        edits.append(Edit(TRAILING, "", "", "remove", Always.TRAILING.value, f"<{parts.trailing} bytes>", ""))
    return edits


def _frames(parts: Parts, splices: Sequence[Splice]) -> tuple[list[Edit], list[Splice]]:
    """Clean compressed frames that no rule takes away: the audit's rows, and splices."""
    edits: list[Edit] = []
    blanks: list[Splice] = []
    for level, one in parts.body.encapsulated.values():
        if any(start <= one.start and one.end <= stop for start, stop, _ in splices):
            continue
        path = _path(level) + format_tag(one.want.tag)
        syntax = part10.transfer_syntax(parts.src, parts.meta)
        try:
            found = list(frames.blanks(parts.body_src, one.value, one.end, syntax))
        except Unfit as error:
            raise Unfit(f"{path}: {error}") from None
        if found:
            size = sum(stop - start for start, stop, _ in found)
            keyword = keyword_of(one.want.tag)
            edits.append(Edit(path, keyword, one.want.vr, "remove", Always.FRAMES.value, f"<{size} bytes>", ""))
            blanks += found
    return edits, blanks


def _path(level: Level) -> str:
    """Return the path of an item, empty for the top level."""
    return "" if level.parent is None else f"{_path(level.parent)}{format_tag(level.tag)}[{level.index}]"


def repaired(parts: Parts) -> list[Edit]:
    """Note what was made plain before the rules ran."""
    return [
        Edit(
            fix.path,
            keyword_of(fix.tag),
            fix.vr,
            "repair",
            f"{REPAIRED}{fix.words}",
            f"<{fix.dropped} bytes>" if fix.dropped else "",
            "",
        )
        for fix in parts.fixes
    ]


# -- character sets ------------------------------------------------------------------------------------


class _Texts(Place):
    """A place where all text that a character set decides on is wanted."""

    __slots__ = ()

    def want(self, tag: int, vr: str, wire: str) -> Want:
        return Want(tag, vr, wire, wanted=tag == CHARACTER_SET or vr in CHARSET_VRS or vr == "SQ")

    def below(self, tag: int, index: int, encoding: Encoding) -> _Texts:
        return _Texts(encoding)


Way = tuple[tuple[int, int], ...]


def _check_text(edited: Edited) -> None:
    """Refuse when text outside ASCII would be read in another character set than it was written in."""
    parts = edited.parts
    before = dict(_levels(parts.body_src, parts.body.start, parts.body.end, parts.body.place.encoding))
    behind = part10.behind(parts, edited.body)
    pieces: part10.Pieces = []
    part10.join(parts.body_src, parts.body.start, parts.body.end, edited.body, pieces)
    src = b"".join(pieces)
    for way, (level, now) in _levels(src, 0, len(src) + behind, parts.body.place.encoding):
        there = before.get(way)
        if there is not None and there[1] != now and _is_wide(src, level):
            path = "".join(f"{format_tag(tag)}[{index}]" for tag, index in way) + format_tag(CHARACTER_SET)
            how = "keep it" if level.charset is None else "leave it as it is"
            raise Unfit(f"{path} changes while text outside ASCII stays; {how}")


def _levels(src: bytes, start: int, end: int, encoding: Encoding) -> list[tuple[Way, tuple[Level, tuple[str, ...]]]]:
    """Return every data set with its way and text codecs."""
    top = Walker(src[:end], end).top(_Texts(encoding), start)
    found: list[tuple[Way, tuple[Level, tuple[str, ...]]]] = []

    def gather(level: Level, way: Way, above: tuple[str, ...]) -> None:
        own = above if level.charset is None else values.encodings_of(level.charset)
        found.append((way, (level, own)))
        for one in level.found:
            for item in one.items or ():
                gather(item, (*way, (one.want.tag, item.index)), own)

    gather(top, (), ())
    return found


def _is_wide(src: bytes, level: Level) -> bool:
    return any(
        one.items is None
        and one.want.vr in CHARSET_VRS
        and (not (raw := src[one.value : one.end]).isascii() or b"\x1b" in raw)
        for one in level.found
    )
