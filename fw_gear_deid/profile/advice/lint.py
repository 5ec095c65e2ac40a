"""Sections of a profile → warnings about what it leaves in place, as the language demands."""

from __future__ import annotations

import re

from fw_gear_deid.actions import IncrementDate, IncrementDatetime
from fw_gear_deid.model.action import Action
from fw_gear_deid.model.dictionary import is_private, tag_of
from fw_gear_deid.model.selectors import PathAt, RegexAt, TagAt
from fw_gear_deid.profile.language.addresses import vr_of
from fw_gear_deid.profile.language.entries import Entry, parse_entries
from fw_gear_deid.profile.language.schema import BUILT
from fw_gear_deid.profile.language.section import Section
from fw_gear_deid.profile.text.problems import Problems


def warn(sections: dict[str, Section], problems: Problems) -> None:
    """Add the warnings of a whole profile."""
    for key, section in sections.items():
        if key not in BUILT:
            _at(section, f"the {key} section is not carried out by this version: its files are refused", problems)
    if "filename" in sections:
        _at(sections["filename"], "copies files as they are: whatever they hold travels", problems)
    dicom = sections.get("dicom")
    if dicom is not None:
        _dicom(dicom, problems)


def _at(section: Section, message: str, problems: Problems) -> None:
    problems.warn(section.options.line, section.options.column, section.key, message)


def _dicom(section: Section, problems: Problems) -> None:
    entries = parse_entries(Section(section.key, section.options, section.file, Problems()))
    keep_list = section.flag("remove-undefined")
    if not keep_list and not section.flag("remove-private-tags"):
        _at(section, "private elements stay: see remove-private-tags", problems)
    nested = section.flag("recurse-sequence") or any(isinstance(e.selector, PathAt | RegexAt) for e in entries)
    if not keep_list and not nested:
        _at(section, "sequences stay as they are: see recurse-sequence", problems)
    if not keep_list:
        _at(section, "text that no field names, and text drawn into the pixels, is not looked at", problems)
    if section.flag("patient-age-from-birthdate"):
        _at(section, "ages above 89 years are written as they are", problems)
    if (
        entries
        and all(entry.action.key == "keep" for entry in entries)
        and not any(
            section.flag(key) for key in ("remove-undefined", "remove-private-tags", "patient-age-from-birthdate")
        )
    ):
        _at(section, "every field is kept and no option changes anything: did you mean remove-undefined?", problems)
    if section.flag("remove-private-tags"):
        _private(entries, problems)
    _moments(entries, problems, others_go=keep_list)
    if not keep_list:
        _references(entries, problems, nested=section.flag("recurse-sequence"))
    for entry in entries:
        kind = entry.action.key
        if _stands_still(entry.action):
            problems.warn(entry.line, entry.column, entry.where, "moves by less than a day: the value stays as it is")
        if kind == "hashuid":
            vr = vr_of(entry.selector) if entry.selector is not None else None
            kept = "the last six characters of the value" if vr not in (None, "UI") else "the first and last components"
            problems.warn(entry.line, entry.column, entry.where, f"hashuid keeps {kept} as they are")
        elif kind == "hash" and not section.text("salt", ""):
            problems.warn(
                entry.line, entry.column, entry.where, "a hash without a salt can be undone by trying all likely values"
            )
        if isinstance(entry.selector, TagAt) and not entry.selector.tag >> 16 & 1 and vr_of(entry.selector) is None:
            problems.warn(entry.line, entry.column, entry.where, "no element of this tag is in the DICOM dictionary")


_ODD_GROUP = re.compile(r"(?<![0-9a-f])[0-9a-f]{3}[13579bdf]", re.IGNORECASE)


def _private(entries: list[Entry], problems: Problems) -> None:
    """Warn of rules for private elements that are gone before their turn: the option spares creators' alone."""
    for entry in entries:
        match entry.selector:
            case TagAt(tag) | PathAt(_, tag) if is_private(tag):
                how = f'({tag >> 16:04X}, "CREATOR", {tag & 0xFF:02X})'
            case RegexAt(pattern) if _ODD_GROUP.search(pattern.pattern):
                how = '(gggg, "CREATOR", ee)'
            case _:
                continue
        if entry.action.key != "remove":
            what = "keep protects nothing" if entry.action.key == "keep" else f"{entry.action.key} does nothing"
            message = f"{what} here: remove-private-tags goes first; address the element by its creator: {how}"
            problems.warn(entry.line, entry.column, entry.where, message)


# dates and date-times of one visit: one of them tells the others
_MOMENTS = (
    "StudyDate", "SeriesDate", "AcquisitionDate", "ContentDate", "AcquisitionDateTime", "InstanceCreationDate",
    "PerformedProcedureStepStartDate", "PerformedProcedureStepEndDate", "FrameAcquisitionDateTime",
)  # fmt: skip
_MOVES = frozenset({"increment-date", "increment-datetime", "jitter"})


def _moments(entries: list[Entry], problems: Problems, *, others_go: bool) -> None:
    """Warn where some dates of a visit move and others stay: they tell the true day, and by how much all moved.

    Parameters
    ----------
    others_go : bool
        What no field names is removed.
    """
    ruled = {keyword: [entry for entry in entries if _reaches(entry, keyword)] for keyword in _MOMENTS}
    moving = {key: found for key, found in ruled.items() if any(entry.action.key in _MOVES for entry in found)}
    stays = [
        key
        for key, found in ruled.items()
        if all(entry.action.key == "keep" for entry in found) and not (others_go and not found)
    ]
    if moving and stays:
        key, (first, *_) = next(iter(moving.items()))
        message = f"{key} moves, and {', '.join(stays)} stay: they tell the true day; move or remove them as well"
        problems.warn(first.line, first.column, first.where, message)


# UID → the attribute that refers to it, inside sequences
_REFERRED = {
    "StudyInstanceUID": "ReferencedSOPInstanceUID",
    "SOPInstanceUID": "ReferencedSOPInstanceUID",
    "FrameOfReferenceUID": "ReferencedFrameOfReferenceUID",
}


def _references(entries: list[Entry], problems: Problems, *, nested: bool) -> None:
    """Warn where a UID is hashed and what refers to it stays: a broken link, and the original in clear."""
    for uid, reference in _REFERRED.items():
        hashing = [entry for entry in entries if entry.action.key == "hashuid" and _reaches(entry, uid)]
        gone = any(entry.action.key == "remove" and _reaches(entry, uid) for entry in entries)
        follows = any(entry.action.key != "keep" and _reaches_below(entry, reference, nested) for entry in entries)
        if hashing and not follows and not gone:
            how = "name it, too" if nested else "name it, too, with recurse-sequence: true"
            message = f"{uid} is hashed, and {reference} stays: it still tells the original; {how}"
            problems.warn(hashing[0].line, hashing[0].column, hashing[0].where, message)


def _reaches_below(entry: Entry, keyword: str, nested: bool) -> bool:
    if isinstance(entry.selector, RegexAt):
        return _reaches(entry, keyword) or bool(entry.selector.pattern.match(f"ReferencedImageSequence.0.{keyword}"))
    return nested and _reaches(entry, keyword)


def _reaches(entry: Entry, keyword: str) -> bool:
    tag = tag_of(keyword)
    match entry.selector:
        case TagAt(other):
            return other == tag
        case RegexAt(pattern, hex_pattern):
            return bool(pattern.match(keyword) or hex_pattern.match(f"{tag:08x}"))
        case _:
            return False


def _stands_still(action: Action) -> bool:
    """Tell whether dates come out as they went in: a fraction of a day has no effect on a date without a time."""
    match action:
        case IncrementDate(shift, form):
            return not shift.jitter and (not shift.days or (0 < shift.days < 1 and form == "%Y%m%d"))
        case IncrementDatetime(shift):
            return not shift.jitter and not shift.days
        case _:
            return False
