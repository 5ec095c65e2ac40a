"""``- requires: fw-gear-deid``: does nothing here; other engines refuse a profile with it, which they would misread."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from fw_gear_deid.profile.language.schema import OURS as WORDS
from fw_gear_deid.profile.language.section import Section
from fw_gear_deid.profile.text.nodes import Listing, Mapping, Node, Scalar
from fw_gear_deid.profile.text.problems import Problems
from fw_gear_deid.profile.values.variables import PSEUDONYMS, Template, names_in, spell

KEY, OURS = "requires", "fw-gear-deid"


def is_requirement(entry: Mapping) -> bool:
    """Tell whether an entry of ``fields`` is this one."""
    return entry.get(KEY) is not None


def check(section: Section, entry: Mapping, where: str) -> None:
    """Complain about one that asks for something else, or says more."""
    value = entry.get(KEY)
    if not isinstance(value, Scalar) or value.text != OURS:
        section.problems.error(entry.line, entry.column, where, f"{KEY} must be {OURS}")
    if len(entry.entries) > 1:
        section.problems.error(entry.line, entry.column, where, f"{KEY} stands alone in its entry")


def warn(root: Node, template: Template, problems: Problems) -> None:
    """Warn of a word that only this program knows in a profile that others would carry out."""
    ours = [(spell(name), line, column) for name, line, column in names_in(template) if name in PSEUDONYMS]
    entries = list(_entries(root))
    ours += [(key.text, key.line, key.column) for entry in entries for key, _ in entry.entries if key.text in WORDS]
    if ours and not any(map(is_requirement, entries)):
        word, line, column = ours[0]
        told = f"{word} is known to this program only: add '- {KEY}: {OURS}' to fields, so that others refuse it"
        problems.warn(line, column, "", told)


def _entries(root: Node) -> Iterator[Mapping]:
    for _, section in root.entries if isinstance(root, Mapping) else ():
        fields = section.get("fields") if isinstance(section, Mapping) else None
        yield from (
            entry for entry in (fields.items if isinstance(fields, Listing) else ()) if isinstance(entry, Mapping)
        )


def add(values: dict[str, Any], template: Template) -> bool:
    """Add the entry to a profile's plain values where it is missing; return whether it was.

    Parameters
    ----------
    values : dict
        Of the document; changed in place.
    template : Template
        The same document.
    """
    problems = Problems()
    if template.root is not None:
        warn(template.root, template, problems)
    listed = [section["fields"] for section in values.values() if isinstance(section, dict) and "fields" in section]
    if not problems.all() or not listed:
        return False
    listed[0].insert(0, {KEY: OURS})
    return True
