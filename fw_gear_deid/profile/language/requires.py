"""``- requires: fw-gear-deid``: does nothing here; other engines refuse a profile with it, which they would misread."""

from __future__ import annotations

from typing import Any

from fw_gear_deid.actions import clean, unreadable
from fw_gear_deid.actions.spec import KEYED
from fw_gear_deid.profile.language import schema
from fw_gear_deid.profile.language.given import is_keyed
from fw_gear_deid.profile.language.section import Section
from fw_gear_deid.profile.text.nodes import Listing, Mapping, Node, Scalar
from fw_gear_deid.profile.text.problems import Problems
from fw_gear_deid.profile.values.variables import PSEUDONYMS, Template, names_in, spell

KEY, OURS = "requires", "fw-gear-deid"
_WORDS = schema.OURS | {
    unreadable.KEY,
    clean.SPEC.key,
    "accept",
    "alter-pixels",
    "exclude",
    "follow-uids",
    "ps3-15",
    "rectangles",
    "vr",
}
"""Words that only this program knows: others pass some of them over, and carry out the rest of the profile."""
_SECRET = frozenset({"ps3-15"})
"""Options that are keyed without saying so."""


def is_requirement(entry: Mapping) -> bool:
    """Tell whether an entry of ``fields`` is this one."""
    return entry.get(KEY) is not None


def is_all(fields: Node | None) -> bool:
    """Tell whether a list of fields has nothing else in it."""
    listed = fields.items if isinstance(fields, Listing) else ()
    return bool(listed) and all(isinstance(one, Mapping) and is_requirement(one) for one in listed)


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
    ours += [(key.line, key.column, key.text) for key, _ in _pairs(root) if key.text in _WORDS]
    ours += [(key.line, key.column, f"{key.text}: {KEYED}") for key in _keyed(root) if key.text not in _SECRET]
    if ours and not _stands_in(root):
        line, column, word = min(ours)
        told = f"{word} is known to this program only: add '- {KEY}: {OURS}' to fields, so that others refuse it"
        problems.warn(line, column, "", told)


def keyed(root: Node) -> str:
    """Return the first word that nothing but a secret key makes safe, with its line; empty when there is none."""
    words = ((key, key.text if key.text in _SECRET else f"{key.text}: {KEYED}") for key in _keyed(root))
    return next((f"{word} (line {key.line})" for key, word in words), "")


def _keyed(root: Node) -> list[Scalar]:
    """Return the keys whose value is the word ``keyed``, and those of options that always work so."""
    return [key for key, value in _pairs(root) if (key.text in schema.KEYED and is_keyed(value)) or key.text in _SECRET]


def _pairs(node: Node) -> list[tuple[Scalar, Node]]:
    match node:
        case Mapping():
            return [found for key, value in node.entries for found in ((key, value), *_pairs(value))]
        case Listing():
            return [found for item in node.items for found in _pairs(item)]
        case _:
            return []


def _stands_in(root: Node) -> bool:
    """Tell whether it stands where others look: in a section for files; they read none for containers."""
    entries = root.entries if isinstance(root, Mapping) else ()
    sections = [node for key, node in entries if key.text in schema.SECTIONS and isinstance(node, Mapping)]
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
    if not problems.all():
        return False
    sections = [values[name] for name in values if name in schema.SECTIONS and isinstance(values[name], dict)]
    chosen = next((section for section in sections if section.get("fields")), sections[0])
    chosen["fields"] = [{KEY: OURS}, *(chosen.get("fields") or ())]
    return True
