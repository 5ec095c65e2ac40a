"""Section of a format that is read whole → its rules: fields go by names that the format gives them."""

from __future__ import annotations

from dataclasses import replace

from fw_gear_deid.actions import ACTIONS, IncrementDate, IncrementDatetime, unreadable
from fw_gear_deid.formats import Format
from fw_gear_deid.model.action import Action
from fw_gear_deid.model.selectors import KeyAt, KeysAt
from fw_gear_deid.profile.compiled import FieldSection, FileMatch, KeyRule
from fw_gear_deid.profile.language.addresses import BadName, compile_pattern
from fw_gear_deid.profile.language.entries import Entry, execution_order, parse_entries
from fw_gear_deid.profile.language.filenames import parse_filenames
from fw_gear_deid.profile.language.naming import Naming
from fw_gear_deid.profile.language.section import Section
from fw_gear_deid.profile.text.nodes import Scalar

_UNSUPPORTED = ("alter_pixels", "alter-pixels")


def parse_fields(section: Section, row: Format, match: FileMatch, first: int) -> FieldSection:
    """Compile a section.

    Parameters
    ----------
    section : Section
    row : Format
    match : FileMatch
    first : int
        Index of its first rule among those of the profile.
    """
    section = named(section, row)
    for key in _UNSUPPORTED:
        if section.options.get(key) is not None:
            section.complain(key, "not supported by this version; take it out")
    entries, options = parse_entries(section), options_of(section, row)
    _check_options(section, row, options)
    changes = any(value is True for name, value in options.items() if name.startswith("remove-"))
    if not entries and not changes and not section.problems.fatal:
        at, what = (
            section.options,
            "no fields and no option that changes anything: files would come out as they went in",
        )
        section.problems.error(at.line, at.column, section.key, what)
    for entry in entries:
        if row.actions and entry.action.key not in row.actions:
            can = ", ".join(sorted(row.actions))
            section.problems.error(entry.line, entry.column, entry.where, f"{row.key} fields can take: {can}")
        if row.fixed(entry.name) and not ACTIONS[entry.action.key].keeps:
            what = f"without {entry.name} nobody can read the file: it can only be kept"
            section.problems.error(entry.line, entry.column, entry.where, what)
    rules = tuple(
        KeyRule(entry.selector, _of(entry, row), entry.name, entry.label, index, entry.insert and row.makes)
        for index, entry in enumerate(execution_order(entries), first)
        if isinstance(entry.selector, KeyAt | KeysAt)
    )
    references = {
        name: found for entry in entries for name, found in entry.references.items() if isinstance(found, KeyAt)
    }
    filenames = parse_filenames(section, "filenames", elements=False)
    way = section.text(unreadable.KEY, unreadable.REFUSE)
    return FieldSection(match, rules, filenames, options, tuple(references.items()), way)


def _check_options(section: Section, row: Format, options: dict[str, str | bool | float]) -> None:
    """Complain about values that options of the format cannot have, and about what it cannot do without."""
    at = section.options
    for option, wrong in row.amiss(options).items():
        if option not in options:
            section.problems.error(at.line, at.column, section.key, f"no '{option}': {wrong}")
        elif not section.is_unknown(option):
            section.complain(option, wrong)
    if not row.patterns and at.get("file-filter") is None:
        section.problems.error(at.line, at.column, section.key, "no 'file-filter': nothing else tells its files")


def _of(entry: Entry, row: Format) -> Action:
    """Return the action of an entry as the format has it."""
    if row.free_dates and isinstance(entry.action, IncrementDate | IncrementDatetime):
        return replace(entry.action, loose=True)
    return entry.action


def named(section: Section, row: Format) -> Section:
    """Return a section whose fields go by the names of its format."""

    def name(text: str) -> KeyAt:
        if wrong := row.wrong(text):
            raise BadName(wrong)
        return KeyAt(text)

    def regex(text: str) -> KeysAt:
        if not row.regex:
            raise BadName(f"fields of {row.key} go by name: only dicom and json know regex")
        return KeysAt(compile_pattern(text))

    return replace(section, naming=Naming(name, regex, name, row.defaults, multiple=False))


def options_of(section: Section, row: Format) -> dict[str, str | bool | float]:
    """Return the options that only this format has; one of the wrong type has been complained about."""
    found: dict[str, str | bool | float] = {}
    for name in row.options:
        node = section.options.get(name)
        if isinstance(node, Scalar):
            number = node.kind in ("int", "float")
            found[name] = node.truth if node.kind == "bool" else float(node.text) if number else node.text
    return found
