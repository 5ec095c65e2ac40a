"""DICOM section and bytes of a file → its de-identified bytes, what changed, and what names and labels go by."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date

from fw_gear_deid.actions import ACTIONS
from fw_gear_deid.formats.dicom import frames, part10, texts, values
from fw_gear_deid.formats.dicom.fields import Fields
from fw_gear_deid.formats.dicom.level import CHARACTER_SET, Level, Place, Want
from fw_gear_deid.formats.dicom.part10 import Parts, Splice
from fw_gear_deid.formats.dicom.walk import Walker
from fw_gear_deid.formats.dicom.wire import EXPLICIT_LITTLE, Encoding
from fw_gear_deid.model.action import MOVED
from fw_gear_deid.model.dictionary import CHARSET_VRS, format_tag, keyword_of
from fw_gear_deid.model.errors import Unfit
from fw_gear_deid.model.outcome import REPAIRED, Always, Edit
from fw_gear_deid.model.selectors import AnySelector, Selector, TagAt
from fw_gear_deid.plan.chain import Memory, Surroundings
from fw_gear_deid.plan.edits import Edits
from fw_gear_deid.plan.places import ESSENTIAL, META_STAYS, PATIENT_AGE, SIGNED, Places
from fw_gear_deid.profile.compiled import DicomSection, Rule
from fw_gear_deid.verify.instance import Checker
from fw_gear_deid.verify.promises import Promise, Promises
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
        self.places = Places(section, WATCHED, also)
        self._named: dict[int, bool] = {}
        self._checker: Checker | None = None
        self._memories: dict[tuple[tuple[str, ...], object, date], Memory] = {}

    def named_top(self, tags: Iterable[int]) -> frozenset[int]:
        """Return which of some top-level tags a rule points at."""
        return frozenset(tag for tag in tags if self._is_named(tag))

    def _is_named(self, tag: int) -> bool:
        known = self._named.get(tag)
        if known is None:
            place = self.places.top(EXPLICIT_LITTLE)
            known = any(place.points(rule.selector, tag, "") for rule in self.places.candidates(tag))
            self._named[tag] = known
        return known

    @property
    def checker(self) -> Checker:
        """The checks of results."""
        if self._checker is None:
            told = Promises(
                [*self._options(), *map(_promise, self.section.rules)],
                recurse=self.section.recurse,
                stay=self.places.named_private if self.section.remove_private else None,
                unnamed=ESSENTIAL if self.section.remove_undefined else None,
                meta=META_STAYS | SIGNED.keys(),
            )
            self._checker = Checker(told, self.section.creators)
        return self._checker

    def _options(self) -> Iterator[Promise]:
        """Yield what options promise of single elements; rules that name them go before."""
        if self.section.age:
            yield Promise(TagAt(PATIENT_AGE), MOVED, (), "patient-age-from-birthdate")

    def nowhere(self, encodings: tuple[str, ...]) -> Memory:
        """Return a memory of nobody: nothing is drawn from it."""
        return Memory(Surroundings(encodings, lambda purpose: 0, date.min))

    def memory(self, encodings: tuple[str, ...], owner: object, draw: Callable[[str], int], today: date) -> Memory:
        """Return what is remembered of values in one character set, of one person, at one day."""
        key = encodings, owner, today
        known = self._memories.get(key)
        if known is None:
            if len(self._memories) >= _MEMORIES_MAX:
                self._memories.clear()
            known = self._memories[key] = Memory(Surroundings(encodings, draw, today))
        return known


def _promise(rule: Rule) -> Promise:
    spec = ACTIONS[rule.action.key]
    return Promise(
        rule.selector,
        spec.promised(rule.action),
        spec.texts(rule.action),
        f"{rule.label} {rule.action.key}",
        keeps=spec.keeps,
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
    places = plan_of(section, also).places
    return part10.read(data, places.meta, places.top, total)


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


def fields_of(parts: Parts) -> Fields:
    """Return the watched elements of a file as it came."""
    src, level = parts.body_src, parts.body
    raws = {
        one.want.tag: (src[one.value : one.end], one.want.vr)
        for one in level.found
        if one.items is None and one.want.tag in WATCHED
    }
    return Fields(raws, values.encodings_of(level.charset), level.place.encoding.little)


def edit(parts: Parts, section: DicomSection, draw: Callable[[str], int], owner: object, today: date) -> Edited:
    """Carry out a section on a walked file.

    Parameters
    ----------
    draw : callable
        The stream of the person at hand.
    owner : hashable
        What the stream is known by: key and person.

    Raises
    ------
    Unfit
        A rule cannot be carried out; the message names rule, place and cause.
    Cut
        More of the file is needed.
    """
    plan = plan_of(section)
    done = Edits(plan.places, parts.body_src, parts.body, lambda encodings: plan.memory(encodings, owner, draw, today))
    done.run(parts.src, parts.meta)
    cleaned, blanks = _frames(parts, done.body.splices)
    encodings = values.encodings_of(parts.body.charset)
    little = parts.body.place.encoding.little
    edited = Edited(
        section,
        parts,
        (*repaired(parts), *_outside(parts), *cleaned, *done.rows()),
        done.matched,
        done.meta.splices,
        sorted([*done.body.splices, *blanks], key=lambda one: one[:2]) if blanks else done.body.splices,
        Fields(done.before, encodings, little),
        Fields(done.after, encodings, little),
        lambda selector: (done.text_at(selector) or None) if isinstance(selector, Selector) else None,
        lambda: _unread(parts.body_src, done),
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


def check(edited: Edited, data: bytes, meta: Sequence[Splice], behind: int = 0) -> None:
    """Make sure that a result may leave.

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
    plan_of(edited.section).checker.check(span_of(edited.parts), data, told, len(data) + behind)


def span_of(parts: Parts) -> Span:
    """Return where the parts of a file stand, for its check."""
    meta, body = parts.meta, parts.body
    return Span(parts.src, parts.body_src, meta.start, meta.end, body.start, body.end, parts.total)


def shown(parts: Parts, section: DicomSection, selector: Selector) -> Iterator[tuple[str, str]]:
    """Yield place and text of the elements that a selector of the section points at, as a person reads them."""
    plan = plan_of(section)
    edits = Edits(plan.places, parts.body_src, parts.body, plan.nowhere)
    yield from edits.shown(selector, parts.src, parts.meta)


def _outside(parts: Parts) -> list[Edit]:
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
