"""Sections of a profile → warnings about what it leaves in place, as the language demands."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from fw_gear_deid.actions import ACTIONS
from fw_gear_deid.actions.hash import EVERY_MRN
from fw_gear_deid.formats import FORMATS, Format
from fw_gear_deid.model.selectors import KeyAt
from fw_gear_deid.profile.advice import links, people, rules, standard
from fw_gear_deid.profile.advice.view import Advice, View, at, keeps, view_of
from fw_gear_deid.profile.language.entries import Entry
from fw_gear_deid.profile.language.schema import ZIP_FIELDS
from fw_gear_deid.profile.language.section import Section
from fw_gear_deid.profile.sections.fields import named, options_of
from fw_gear_deid.profile.text.problems import Problems
from fw_gear_deid.profile.values.variables import Unresolved

DICOM: tuple[Callable[[View], Iterator[Advice]], ...] = (
    rules.private_elements_stay,
    rules.sequences_stay,
    rules.text_stays,
    rules.nothing_changes,
    rules.private_rules_without_effect,
    rules.unknown_tags,
    people.names_stay,
    people.ages_stay,
    people.pixels_stay,
    links.moments_stay,
    links.ages_tell_the_distance,
    links.uids_tell_the_day,
    links.uids_of_one_family,
    links.references_stay,
    standard.codes_are_lost,
    standard.nothing_to_accept,
)
"""What is asked of a dicom section; each yields its warnings. One that is not true, or has no remedy, is noise."""


def warn(sections: dict[str, Section], problems: Problems) -> None:
    """Add the warnings of a whole profile."""
    for advice in _advices(sections):
        problems.warn(*advice)


def _advices(sections: dict[str, Section]) -> Iterator[Advice]:
    for key, section in sections.items():
        if FORMATS[key].codec is not None:
            yield from _fields(section, FORMATS[key])
    if "filename" in sections:
        yield View(sections["filename"], []).here("copies files as they are: whatever they hold travels")
    if "dicom" in sections:
        view = view_of(sections["dicom"])
        for ask in DICOM:
            yield from ask(view)
        yield from _actions(view.entries, rules.vr_at)
    if "zip" in sections:
        yield from _archive(sections["zip"])


def _fields(section: Section, row: Format) -> Iterator[Advice]:
    view = view_of(named(section, row))
    gone = {entry.selector.path for entry in view.entries if isinstance(entry.selector, KeyAt) and not keeps(entry)}
    for message in row.stays(options_of(section, row), gone):
        yield view.here(message)
    yield from _actions(view.entries, lambda entry: None)


def _archive(section: Section) -> Iterator[Advice]:
    view = view_of(section, ZIP_FIELDS)
    if section.flag("hash-subdirectories") and not section.text("salt", ""):
        found = f"can be found by trying all likely names: {EVERY_MRN}"
        message = f"folder names hashed without a salt {found}; set 'salt' to a secret"
        yield view.option("hash-subdirectories", message)
    yield from _actions(view.entries, lambda entry: None)


def _actions(entries: list[Entry], kind: Callable[[Entry], str | None]) -> Iterator[Advice]:
    """Yield what the actions themselves warn of."""
    for entry in entries:
        if warning := warning_of(entry, kind(entry)):
            yield at(entry, warning)


def warning_of(entry: Entry, kind: str | None) -> str:
    """Return what an entry's action leaves, where it works on a VR or another kind of value; empty for nothing."""
    action, settled = entry.action, not isinstance(entry.action, Unresolved)
    return ACTIONS[action.key].warns(action.action if isinstance(action, Unresolved) else action, kind, settled)
