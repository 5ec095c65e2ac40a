"""A dicom section and the standard's table → what becomes of each of its attributes, and what that leaves or breaks.

Nothing is read but the profile: an element of each kind is asked for, at the top level and inside a sequence.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from functools import lru_cache

from fw_gear_deid.actions import CARRIED, replace
from fw_gear_deid.actions.shift import goes_by_key
from fw_gear_deid.formats.dicom.wire import EXPLICIT_LITTLE
from fw_gear_deid.model.dictionary import format_tag, keyword_of, public_vr
from fw_gear_deid.model.frozen import frozen
from fw_gear_deid.model.outcome import Always
from fw_gear_deid.plan.places import SOP_INSTANCE_UID, Kind, Places, RulePlace, Step
from fw_gear_deid.profile.compiled import DicomSection
from fw_gear_deid.standard import tables
from fw_gear_deid.standard.categories import CATEGORIES, by_row
from fw_gear_deid.standard.tables import Row

GOES, EMPTY, CONSTANT, KEYED, CLEANED, ITEMS = "removed", "emptied", "replaced", "by key", "cleaned", "items cleaned"
MOVED, MOVED_BY_KEY, HASHED, CHANGED, KEPT, STAYS = "moved", "moved by key", "hashed", "changed", "kept", "stays"
"""What becomes of a value; the first six leave nothing of it, ``by key`` nothing that can be found by trying."""
_INNER = {"zeros": CONSTANT, "pseudonym": KEYED, "keep-time": KEPT, "cap-age": CHANGED}
"""Action that only a table asks for → what becomes of a value."""
HANDLED, RETAINED, WEAK, BELOW, LEFT = "handled", "retained", "weaker", "left in sequences", "left"
"""How that compares with the standard."""
STATES = (HANDLED, RETAINED, WEAK, BELOW, LEFT)
GAPS = (WEAK, BELOW, LEFT)
_SAFE = frozenset({GOES, EMPTY, CONSTANT, KEYED, CLEANED, ITEMS})
_DATES = frozenset({"DA", "DT", "TM"})
_FOLLOWS = {0x00020003: 0x00080018}
"""MediaStorageSOPInstanceUID is what SOPInstanceUID becomes."""
_SEQUENCE = 0x00081140  # ReferencedImageSequence: where copies of attributes are looked for
_PROBES = {"50xxxxxx": 0x50003000, "60xx3000": 0x60003000, "60xx4000": 0x60004000, "": 0x00091001}
"""Mask of several attributes → the one of them that is asked for; of private ones one whose creator nobody names."""
CLASSES = ("2", "4", "4.1", "6.1", "1", "1.1", "1.2", "128", "20", "12.1", "7", "88.11", "66.4", "481.3", "77.1.4")
_STORAGE = "1.2.840.10008.5.1.4.1.1."


@frozen
class Line:
    """What a profile does to one attribute of Table E.1-1.

    Attributes
    ----------
    row : Row
    category : str
    wanted : str
        Code of the standard, with the options that the profile is held against.
    top, below : str
        What becomes of it at the top level, and inside sequences.
    state : str
        One of ``STATES``.
    """

    row: Row
    category: str
    wanted: str
    top: str
    below: str
    state: str

    @property
    def name(self) -> str:
        """Keyword, else name."""
        return self.row.keyword or self.row.name

    @property
    def tag(self) -> str:
        """The tag as the standard writes it."""
        mask = self.row.mask
        return f"({mask[:4]},{mask[4:]})" if mask else "(gggg,eeee), gggg odd"


@frozen
class Break:
    """An attribute that an IOD wants and the profile takes away.

    Attributes
    ----------
    tag : int
    deed : str
        What becomes of it.
    kind : str
        Its Type.
    iods : tuple of str
    """

    tag: int
    deed: str
    kind: str
    iods: tuple[str, ...]

    @property
    def name(self) -> str:
        """Keyword, else tag."""
        return keyword_of(self.tag) or format_tag(self.tag)


def deed_of(steps: Iterable[Step]) -> str:
    """Return what becomes of a value by the steps of its place."""
    found = STAYS
    for step in steps:
        if step.removes:
            return GOES
        if step.rule is None:
            found = CHANGED if step.kind is Kind.AGE else found
            continue
        found = _by_action(step, found)
    return found


def _by_action(step: Step, before: str) -> str:
    assert step.rule is not None  # noqa: S101 -- asked for rules
    action = step.rule.action
    spec = CARRIED[action.key]
    keyed = goes_by_key(action)
    if spec.keeps:
        return KEPT if before == STAYS else before
    if action.key == replace.SPEC.key and not getattr(action, "append", False):
        return CONSTANT if any(getattr(action, "values", ("{{ }}",))) else EMPTY  # a variable has a value in a run
    if action.key == "clean":
        return CLEANED
    if action.key == "encrypt":
        return GOES
    if action.key in _INNER:
        return _INNER[action.key]
    if action.key == "fill":
        return before
    if spec.moves:
        return MOVED_BY_KEY if keyed else MOVED
    if spec.digest or action.key == "hashuid":
        return KEYED if keyed else HASHED
    return before if before in _SAFE else CHANGED


def options_of(section: DicomSection) -> frozenset[str]:
    """Return the options of PS3.15 that a section is held against where nobody says which.

    Its own, else ``modified-dates`` where it moves the day of the study.
    """
    if section.claims is not None:
        return section.claims
    deed = deed_of(_act(_places(section)[0], 0x00080020, "DA"))
    return frozenset({"modified-dates"} if deed in (MOVED, MOVED_BY_KEY) else ())


def _places(section: DicomSection) -> tuple[RulePlace, ...]:
    """Return the top levels to be asked: of several classes where a table decides by them."""
    classes = [f"{_STORAGE}{end}" for end in CLASSES] if section.table is not None else [""]
    return tuple(Places(section, frozenset(), (), one).top(EXPLICIT_LITTLE) for one in classes)


def _act(place: RulePlace, tag: int, vr: str) -> tuple[Step, ...]:
    return tuple(
        step
        for step in place.settled(tag, vr, vr).steps
        if step.label not in (Always.SOP_INSTANCE_UID.value, Always.SYNC.value)
    )


def lines_of(section: DicomSection, against: frozenset[str] | None = None) -> tuple[Line, ...]:
    """Return what a section does to each attribute of Table E.1-1, in its order.

    Parameters
    ----------
    section : DicomSection
    against : frozenset of str, optional
        Options of PS3.15 with which it is compared; as ``options_of`` unless told.
    """
    options = options_of(section) if against is None else against
    places = _places(section)
    return tuple(_line(places, row, category, options) for row, category in by_row().items())


def _line(places: tuple[RulePlace, ...], row: Row, category: str, options: frozenset[str]) -> Line:
    tag = _PROBES.get(row.mask) or int(row.mask, 16)
    vr = public_vr(tag) or ("LO" if not row.mask else "UN")
    tag = _FOLLOWS.get(tag, tag)
    meta = tag >> 16 == 2
    tops = [deed_of(_act(place.plan.meta if meta else place, tag, vr)) for place in places]
    insides = [deed_of(_act(place.below(_SEQUENCE, 0, EXPLICIT_LITTLE), tag, vr)) for place in places]
    if tag == SOP_INSTANCE_UID:
        tops = [_protected(place, one) for place, one in zip(places, tops, strict=True)]
    if vr == "SQ" and places[0].plan.section.table is not None:  # which asks for each element in it
        tops, insides = ([ITEMS if one == STAYS else one for one in deeds] for deeds in (tops, insides))
    wanted = wanted_of(row, options)
    refers = category == "uids" and vr == "SQ"  # it stays, and what it refers by is hashed
    if refers:
        insides = [deed_of(_act(place.below(tag, 0, EXPLICIT_LITTLE), 0x00081155, "UI")) for place in places]
        pairs = list(zip(tops, insides, strict=True))
        tops = [inside if top in (STAYS, KEPT, ITEMS) else top for top, inside in pairs]
        insides = [top if top in _SAFE - {ITEMS} else inside for top, inside in pairs]
        wanted = wanted if "U" in wanted or wanted in ("C", "K") else f"{wanted}/U"
    states = [_state(wanted, one, vr, options) for one in tops]
    below = [] if meta else [_state(wanted, one, vr, options) for one in insides]
    worst = max(states, key=STATES.index)
    if worst in (HANDLED, RETAINED) and any(one in (LEFT, WEAK) for one in below):
        worst = BELOW
    return Line(row, category, wanted, _told(tops), "" if meta else _told(insides), worst)


def _protected(place: RulePlace, deed: str) -> str:
    """Return what becomes of a SOPInstanceUID, which is hashed where it would go."""
    unnamed = place.plan.section.remove_undefined and not place.plan.names_instance
    return HASHED if deed in (GOES, EMPTY) or (deed == STAYS and unnamed) else deed


def _told(deeds: list[str]) -> str:
    return " or ".join(dict.fromkeys(deeds))


def wanted_of(row: Row, options: frozenset[str]) -> str:
    """Return the code of an attribute with some options: what cleans goes before what retains."""
    chosen = {row.code_of(option) for option in options}
    return "C" if "C" in chosen else "K" if "K" in chosen else row.basic


def _state(wanted: str, deed: str, vr: str, options: frozenset[str]) -> str:
    if deed in _SAFE:
        return HANDLED
    if wanted == "K":
        return RETAINED
    if vr in _DATES and wanted == "C":
        times = vr == "TM" and deed in (STAYS, KEPT)  # days move by whole days
        return HANDLED if deed in (MOVED, MOVED_BY_KEY) else RETAINED if times else WEAK if deed == CHANGED else LEFT
    if deed == HASHED and ("U" in wanted or vr == "UI"):
        return HANDLED
    return LEFT if deed in (STAYS, KEPT) else WEAK


# -- what breaks -------------------------------------------------------------------------------------------


def breaks_of(section: DicomSection) -> tuple[Break, ...]:
    """Return what a section takes away at the top level that an IOD wants (PS3.3 Types 1 and 2), by tag.

    What a table decides about goes by the IOD itself, and is as it wants it.
    """
    place = Places(section, frozenset()).top(EXPLICIT_LITTLE)
    found: dict[tuple[int, str, str], list[str]] = {}
    for iod, tag, kind in _wanted():
        steps = [step for step in _act(place, tag, public_vr(tag) or "UN") if not step.label.startswith("ps3-15")]
        deed = deed_of(steps)
        if deed == GOES or (deed == EMPTY and kind == "1"):
            found.setdefault((tag, deed, kind), []).append(iod)
    return tuple(Break(*key, tuple(iods)) for key, iods in sorted(found.items()))


@lru_cache(maxsize=1)
def _wanted() -> tuple[tuple[str, int, str], ...]:
    """Return IOD, tag and Type of what is wanted whatever the object holds, at the top level."""
    return tuple(
        (iod, tag, kind)
        for iod in tables.iods()
        for tag, kind in tables.types_of(iod).top().items()
        if kind in ("1", "2")
    )


@lru_cache(maxsize=1)
def strictest() -> dict[int, str]:
    """Return tag → the strictest Type that it has anywhere in any IOD, of those that some want: ``1`` or ``2``."""
    found: dict[int, str] = {}
    for iod in tables.iods():
        for tag, kind in tables.types_of(iod).all():
            if kind[0] in "12":
                found[tag] = min(kind[0], found.get(tag, kind[0]))
    return found


@lru_cache(maxsize=1)
def strictest_top() -> dict[int, str]:
    """Return the same of the top level, whatever an object holds."""
    found: dict[int, str] = {}
    for _, tag, kind in _wanted():
        found[tag] = min(kind, found.get(tag, kind))
    return found


def counts_of(lines: Iterable[Line]) -> Iterator[tuple[str, Counter[str]]]:
    """Yield category, and number of attributes by state."""
    found: dict[str, Counter[str]] = {category: Counter() for category in CATEGORIES}
    for line in lines:
        found[line.category][line.state] += 1
    yield from found.items()
