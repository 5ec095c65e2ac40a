"""Sections of a profile → warnings about what it leaves in place, as the language demands."""

from __future__ import annotations

from fw_gear_deid.actions import IncrementDate, IncrementDatetime
from fw_gear_deid.model.action import Action
from fw_gear_deid.model.selectors import PathAt, RegexAt, TagAt
from fw_gear_deid.profile.entries import parse_entries
from fw_gear_deid.profile.problems import Problems
from fw_gear_deid.profile.schema import BUILT
from fw_gear_deid.profile.section import Section
from fw_gear_deid.profile.selectors import vr_of


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


def _stands_still(action: Action) -> bool:
    """Tell whether dates come out as they went in: a fraction of a day has no effect on a date without a time."""
    match action:
        case IncrementDate(shift, form):
            return not shift.jitter and (not shift.days or (0 < shift.days < 1 and form == "%Y%m%d"))
        case IncrementDatetime(shift):
            return not shift.jitter and not shift.days
        case _:
            return False
