"""Gaps of a profile against the standard's table, or what a run refused → the smallest addition that closes them.

It is text of a profile that ``profile check`` accepts: its options and fields belong into the sections of the profile.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

from fw_gear_deid.actions.shift import Shift, goes_by_key
from fw_gear_deid.deid.coverage import BELOW, GAPS, KEPT, WEAK, Line, strictest, strictest_top
from fw_gear_deid.formats import TABLE
from fw_gear_deid.model.dictionary import keyword_of, public_vr
from fw_gear_deid.model.frozen import frozen
from fw_gear_deid.model.outcome import RESIDUE
from fw_gear_deid.model.selectors import PathAt, RegexAt, TagAt
from fw_gear_deid.profile.compiled import DicomSection
from fw_gear_deid.standard import resolve, risks, tables
from fw_gear_deid.standard.categories import vr_of

_REQUIRES = ("requires: fw-gear-deid",)
_CURVES = ("(50xx,0022)", "(50xx,2500)", "(50xx,3000)")
_INSERT = "replace-with-insert: false"


@frozen
class Addition:
    """What closes some gaps: options of the section, an entry of its fields, and what they are of.

    Attributes
    ----------
    options, entry : tuple of str
        Lines.
    closes : tuple of str
        Names of attributes.
    """

    options: tuple[str, ...] = ()
    entry: tuple[str, ...] = ()
    closes: tuple[str, ...] = ()


@frozen
class Suggested:
    """What may be added to a section.

    Attributes
    ----------
    additions : tuple of Addition
    meant : tuple of str
        Attributes that an entry keeps, or changes less than the standard wants: an addition would contradict it.
    left : tuple of str
        Attributes that no entry can take away, since objects would not be valid without them.
    """

    additions: tuple[Addition, ...]
    meant: tuple[str, ...]
    left: tuple[str, ...]

    @property
    def closes(self) -> tuple[str, ...]:
        """Names of the attributes that are closed."""
        return tuple(name for one in self.additions for name in one.closes)


def by_table(section: DicomSection, lines: Sequence[Line], options: Collection[str]) -> Suggested | None:
    """Return the word that closes all gaps at once; None where the section has it."""
    if section.table is not None:
        return None
    gaps, meant = _gaps(lines)
    chosen = [option for option in tables.OPTIONS if option in options]
    word = f"ps3-15: {{profile: basic, options: [{', '.join(chosen)}]}}" if chosen else "ps3-15: basic"
    return Suggested((Addition((word,), _REQUIRES, tuple(line.name for line in gaps)),), meant, ())


def by_entries(section: DicomSection, lines: Sequence[Line]) -> Suggested:
    """Return options and entries, that which closes most first."""
    gaps, meant = _gaps(lines)
    found = [*_private(gaps), *_by_vr(section, gaps)]
    closed = {name for one in found for name in one.closes}
    rest = [line for line in gaps if line.name not in closed]
    named, left = _by_name(section, rest)
    found += named
    if found:
        found.insert(0, Addition((), _REQUIRES))
    return Suggested(tuple(found), meant, left)


def _gaps(lines: Iterable[Line]) -> tuple[list[Line], tuple[str, ...]]:
    """Return the lines that an addition may close, and the names of those that an entry means so."""
    gaps = [line for line in lines if line.state in GAPS]
    meant = [line for line in gaps if line.state == WEAK or KEPT in line.top.split(" or ")]
    return [line for line in gaps if line not in meant], tuple(line.name for line in meant)


def _private(gaps: Iterable[Line]) -> Iterator[Addition]:
    for line in gaps:
        if not line.row.mask:
            yield Addition(("remove-private-tags: true",), (), (line.name,))


def _by_vr(section: DicomSection, gaps: Sequence[Line]) -> Iterator[Addition]:
    """Yield entries for VRs: each reaches, at every depth, all of them that no other entry does."""
    for vrs, action in (
        (("PN",), "replace-with: ''"),
        (("UI",), f"hashuid: {_word(section, 'hashuid')}"),
        *_of_dates(section, gaps),
    ):
        there = [line for line in gaps if vr_of(line.row) in vrs and _is_reached(section, line)]
        if action.startswith("increment-"):
            there = [line for line in there if line.wanted == "C"]
        if "UI" in vrs and there:  # sequences that refer stay, with other UIDs in them
            there += [line for line in gaps if line.category == "uids" and line not in there]
        used = [vr for vr in vrs if any(vr_of(line.row) == vr for line in there)]
        if used:
            which = f"vr: [{', '.join(used)}]" if len(used) > 1 else f"vr: {used[0]}"
            yield Addition((), (which, *action.split("\n")), tuple(line.name for line in there))


def _of_dates(section: DicomSection, gaps: Sequence[Line]) -> Iterator[tuple[tuple[str, ...], str]]:
    """Yield VRs and action for dates: they move where others of the section do, else they are emptied."""
    moves = [rule for rule in section.rules if rule.action.key.startswith("increment-")]
    if moves and any(line.wanted == "C" for line in gaps if vr_of(line.row) in ("DA", "DT")):
        keyed = all(goes_by_key(rule.action) for rule in moves)
        shifts = [getattr(rule.action, "shift", None) for rule in moves]
        days = next((shift.days for shift in shifts if isinstance(shift, Shift)), 0.0)
        how = "keyed" if keyed else f"true\ndate-increment-override: {days:g}"
        yield ("DA", "DT"), f"increment-date: {how}\non-unreadable: empty"
    else:
        yield ("DA", "DT", "TM"), "replace-with: ''"


def _word(section: DicomSection, key: str) -> str:
    """Return how the section spells an action: with a key unless it has none yet, so that equal values stay equal."""
    used = [rule.action for rule in section.rules if rule.action.key == key]
    return "keyed" if all(map(goes_by_key, used)) else "true"


def _is_reached(section: DicomSection, line: Line) -> bool:
    """Tell whether entries for a VR reach an attribute: not where it has an entry of its own."""
    if not line.row.mask or "x" in line.row.mask or line.row.mask.startswith("0002"):
        return False
    tag = int(line.row.mask, 16)
    return line.state == BELOW or not any(rule.selector == TagAt(tag) for rule in section.rules)


def _by_name(section: DicomSection, gaps: Sequence[Line]) -> tuple[list[Addition], tuple[str, ...]]:
    """Return entries for single attributes, and the names of those that objects must have."""
    found: list[Addition] = []
    left: list[str] = []
    by_path = any(isinstance(rule.selector, PathAt | RegexAt) for rule in section.rules)
    if gaps and not section.recurse and not by_path:
        found.append(Addition(("recurse-sequence: true",)))
    for line in gaps:
        entries = _entries(line, deep=by_path and not section.recurse)
        found += [Addition((), entry, (line.name,) if not number else ()) for number, entry in enumerate(entries)]
        if not entries:
            left.append(line.name)
    return found, tuple(left)


def _entries(line: Line, *, deep: bool) -> list[tuple[str, ...]]:
    """Return the entries for one attribute; none where it can neither go nor be replaced."""
    mask = line.row.mask
    if "x" in mask and deep:
        pattern = mask.lower().replace("x", "[0-9a-f]")
        return [(rf"regex: '(.*\.)?{pattern}$'", "remove: true")]
    if "x" in mask:
        names = _CURVES if mask.startswith("50") else (f"({mask[:4]},{mask[4:]})",)
        return [(f"name: {name!r}", "remove: true") for name in names]
    tag, vr = int(mask, 16), vr_of(line.row)
    name = f"name: {line.row.keyword}" if line.row.keyword else f"name: '({mask[:4]},{mask[4:]})'"
    if deep:
        name = rf"regex: '(.*\.)?({line.row.keyword or '(?!)'}|{mask.lower()})$'"
    kind = strictest().get(tag, "3")
    if vr == "SQ" and kind == "1":  # inside sequences it goes all the same: nothing can stand for items
        kind = strictest_top().get(tag, "3")
    if kind == "3" or (kind == "2" and vr == "UN"):
        return [(name, "remove: true")]
    if kind == "2":
        return [(name, "replace-with: ''", _INSERT)]
    dummy = resolve.dummy_of(tag, vr)
    return [] if dummy is None else [(name, f"replace-with: {dummy[0]!r}", _INSERT)]


# -- what a run refused ------------------------------------------------------------------------------------

_RISK = re.compile(r"risk ([a-z-]+): ")
_PLACE = r"(?:\([0-9A-F]{4},[0-9A-F]{4}\))+(?: \w+)?"
_STANDS = re.compile(rf"a name or id that a rule took away stands in ({_PLACE}), too")
_LEFT = re.compile(rf"{RESIDUE}({_PLACE})(?=$|;)")
_TAG = re.compile(r"\(([0-9A-F]{4}),([0-9A-F]{4})\)")
_CLEANED = ("LO", "LT", "SH", "ST", "UC", "UT")
_TOLD = re.compile(r"a name or id that a rule took away stands in ([^,]+?)(?:, row \d+)?, too")


def by_reasons(rows: Iterable[tuple[str, str]], left: Iterable[str] = ()) -> Mapping[str, tuple[Addition, ...]]:
    """Return section → additions that let refused files pass, and that take away what was found in others.

    Parameters
    ----------
    rows : iterable of tuple of str
        Name and reason of each file that was refused.
    left : iterable of str
        Risks of each file that was released.
    """
    found: dict[str, dict[Addition, None]] = {}
    words: dict[str, None] = {}
    places: dict[str, None] = {}
    for name, reason in rows:
        words |= dict.fromkeys(word for word in _RISK.findall(reason) if word in risks.WORDS)
        section = _section_of(name)
        if section != "dicom":
            for field in _TOLD.findall(reason):
                found.setdefault(section, {})[Addition((), (f"name: {field!r}", "remove: true"), (field,))] = None
        places |= dict.fromkeys(_STANDS.findall(reason))
    for text in left:
        places |= dict.fromkeys(_LEFT.findall(text))
    dicom = list(dict.fromkeys(map(_of_place, places)))
    if words:  # which refuse nothing but where that word stands
        accept = f"accept: [{', '.join(word for word in risks.WORDS if word in words)}]"
        dicom.insert(0, Addition(("ps3-15: basic", accept)))
    if dicom:
        found["dicom"] = dict.fromkeys((*dicom, Addition((), _REQUIRES)))
    return {key: tuple(ones) for key, ones in found.items()}


def _of_place(place: str) -> Addition:
    """Return what takes a name or id out of an element: a text is cleaned of it, all else goes."""
    tags = _TAG.findall(place)
    mask = "".join(tags[-1])
    vr = public_vr(int(mask, 16)) or "UN"
    action = "clean: true" if vr in _CLEANED else "replace-with: ''" if vr == "PN" else "remove: true"
    keyword = keyword_of(int(mask, 16))
    if len(tags) > 1:
        return Addition((), (rf"regex: '(.*\.)?({keyword or '(?!)'}|{mask.lower()})$'", action), (place,))
    return Addition((), (f"name: {keyword}" if keyword else f"name: '({tags[0][0]},{tags[0][1]})'", action), (place,))


def _section_of(name: str) -> str:
    """Return the section that takes a file by its name; what has no name of another kind is DICOM."""
    low = name.casefold()
    endings = {pattern.lstrip("*").casefold(): row.key for row in TABLE for pattern in row.patterns}
    return next((key for ending, key in endings.items() if ending and low.endswith(ending)), "dicom")


# -- text --------------------------------------------------------------------------------------------------


def text_of(sections: Mapping[str, Sequence[Addition]], notes: Sequence[str] = ()) -> str:
    """Return additions as text of a profile.

    Parameters
    ----------
    sections : mapping of str to sequence of Addition
    notes : sequence of str
        Comments that stand in front.
    """
    lines = [f"# {note}".rstrip() for note in notes]
    for key, ones in sections.items():
        lines += [f"{key}:"] if ones else []
        lines += [f"  {line}" for one in ones for line in one.options]
        fields = [one for one in ones if one.entry]
        if fields:
            lines.append("  fields:")
        for one in fields:
            if len(one.closes) > 1:
                lines.append(f"    # {_some(one.closes)}")
            first, *more = one.entry
            lines += [f"    - {first}", *(f"      {line}" for line in more)]
    return "\n".join(lines) + "\n"


def _some(names: Sequence[str], most: int = 4) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
