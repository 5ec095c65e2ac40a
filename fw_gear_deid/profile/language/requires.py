"""``- requires: fw-gear-deid``: does nothing here; other engines refuse a profile with it, which they would misread."""

from __future__ import annotations

from typing import Any

from fw_gear_deid.actions import unreadable
from fw_gear_deid.profile.language import schema
from fw_gear_deid.profile.language.section import Section
from fw_gear_deid.profile.text.nodes import Listing, Mapping, Node, Scalar
from fw_gear_deid.profile.text.problems import Problems
from fw_gear_deid.profile.values.variables import PSEUDONYMS, Template, names_in, spell

KEY, OURS = "requires", "fw-gear-deid"
_WORDS = schema.OURS | {unreadable.KEY, "alter-pixels", "rectangles"}
"""Options that only this program knows: others pass them over without a word."""


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
    ours = [(line, column, spell(name)) for name, line, column in names_in(template) if name in PSEUDONYMS]
    ours += [(key.line, key.column, key.text) for key in _keys(root) if key.text in _WORDS]
    if ours and not _stands_in(root):
        line, column, word = min(ours)
        told = f"{word} is known to this program only: add '- {KEY}: {OURS}' to fields, so that others refuse it"
        problems.warn(line, column, "", told)


def _keys(node: Node) -> list[Scalar]:
    match node:
        case Mapping():
            return [found for key, value in node.entries for found in (key, *_keys(value))]
        case Listing():
            return [found for item in node.items for found in _keys(item)]
        case _:
            return []


def _stands_in(root: Node) -> bool:
    sections = [node for _, node in root.entries if isinstance(node, Mapping)] if isinstance(root, Mapping) else []
    listed = [fields for section in sections if isinstance(fields := section.get("fields"), Listing)]
    return any(isinstance(entry, Mapping) and is_requirement(entry) for fields in listed for entry in fields.items)


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
