"""Sections of a profile → warnings about what it leaves in place, as the language demands."""

from __future__ import annotations

import re

from fw_gear_deid.actions import ACTIONS, hashuid
from fw_gear_deid.formats import BUILT
from fw_gear_deid.model.action import GONE
from fw_gear_deid.model.dictionary import is_private, tag_of
from fw_gear_deid.model.selectors import PathAt, RegexAt, TagAt
from fw_gear_deid.profile.language.addresses import vr_of
from fw_gear_deid.profile.language.entries import Entry, parse_entries
from fw_gear_deid.profile.language.section import Section
from fw_gear_deid.profile.text.problems import Problems
from fw_gear_deid.profile.values.variables import Unresolved


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
        and all(_keeps(entry) for entry in entries)
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
        vr = vr_of(entry.selector) if entry.selector is not None else None
        if warning := warning_of(entry, vr):
            problems.warn(entry.line, entry.column, entry.where, warning)
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
        if not _removes(entry):
            what = f"{entry.action.key} {'protects' if _keeps(entry) else 'does'} nothing"
            message = f"{what} here: remove-private-tags goes first; address the element by its creator: {how}"
            problems.warn(entry.line, entry.column, entry.where, message)


# dates and date-times of one visit: one of them tells the others
_MOMENTS = (
    "StudyDate", "SeriesDate", "AcquisitionDate", "ContentDate", "AcquisitionDateTime", "InstanceCreationDate",
    "PerformedProcedureStepStartDate", "PerformedProcedureStepEndDate", "FrameAcquisitionDateTime",
)  # fmt: skip


def _moments(entries: list[Entry], problems: Problems, *, others_go: bool) -> None:
    """Warn where some dates of a visit move and others stay: they tell the true day, and by how much all moved.

    Parameters
    ----------
    others_go : bool
        What no field names is removed.
    """
    ruled = {keyword: [entry for entry in entries if _reaches(entry, keyword)] for keyword in _MOMENTS}
    moving = {key: found for key, found in ruled.items() if any(ACTIONS[one.action.key].moves for one in found)}
    stays = [
        key for key, found in ruled.items() if all(_keeps(entry) for entry in found) and not (others_go and not found)
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
        hashing = [entry for entry in entries if entry.action.key == hashuid.SPEC.key and _reaches(entry, uid)]
        gone = any(_removes(entry) and _reaches(entry, uid) for entry in entries)
        follows = any(not _keeps(entry) and _reaches_below(entry, reference, nested) for entry in entries)
        if hashing and not follows and not gone:
            how = "name it, too" if nested else "name it, too, with recurse-sequence: true"
            message = f"{uid} is hashed, and {reference} stays: it still tells the original; {how}"
            problems.warn(hashing[0].line, hashing[0].column, hashing[0].where, message)


def _keeps(entry: Entry) -> bool:
    return ACTIONS[entry.action.key].keeps


def _removes(entry: Entry) -> bool:
    return ACTIONS[entry.action.key].promise == GONE


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


def warning_of(entry: Entry, kind: str | None) -> str:
    """Return what an entry's action leaves, where it works on a VR or another kind of value; empty for nothing."""
    action, settled = entry.action, not isinstance(entry.action, Unresolved)
    return ACTIONS[action.key].warns(action.action if isinstance(action, Unresolved) else action, kind, settled)
