"""Entries of ``fields`` → selectors and actions, in file order (profile language §4)."""

from __future__ import annotations

from dataclasses import field

from fw_gear_deid.actions import ACTIONS, Replace
from fw_gear_deid.model.action import Action
from fw_gear_deid.model.frozen import frozen
from fw_gear_deid.model.selectors import AnySelector, GroupsAt, KeysAt, PathAt, PrivateAt, RegexAt, TagAt, VrAt
from fw_gear_deid.profile.language import build, classes, requires, schema
from fw_gear_deid.profile.language.addresses import BadName, is_keyword, spelling_note, vr_of
from fw_gear_deid.profile.language.naming import ELEMENTS
from fw_gear_deid.profile.language.section import Section
from fw_gear_deid.profile.text.nodes import Listing, Mapping, Scalar


@frozen
class Entry:
    """One entry of ``fields``, compiled."""

    selector: AnySelector | None
    action: Action
    name: str
    insert: bool
    line: int
    column: int
    where: str
    label: str
    references: dict[str, AnySelector] = field(default_factory=dict)


def parse_entries(section: Section, names: frozenset[str] | None = None) -> list[Entry]:
    """Return the entries of ``fields`` in file order; wrong ones are complained about and left out.

    Parameters
    ----------
    section : Section
    names : frozenset of str, optional
        The only names allowed, for sections whose fields are no DICOM elements.
    """
    node = section.options.get("fields")
    if not isinstance(node, Listing):
        return []
    entries: list[Entry] = []
    alike: dict[tuple[AnySelector | None, str], list[Entry]] = {}
    for index, item in enumerate(node.items):
        where = f"{section.key}.fields[{index}]"
        if not isinstance(item, Mapping):
            section.problems.error(
                item.line, item.column, where, "a field is a mapping: '- name: KEYWORD', then its action"
            )
            continue
        if requires.is_requirement(item):
            requires.check(section, item, where)
            continue
        if classes.KEY in (key.text for key, _ in item.entries) and _is_one(section, item, where):
            entries += _of_class(section, item, where, entries)
            continue
        entry = _entry(section, item, where, names)
        if entry is not None:
            earlier = alike.setdefault((entry.selector, entry.name if entry.selector is None else ""), [])
            _compare_with_earlier(section, entry, earlier)
            earlier.append(entry)
            entries.append(entry)
    return entries


def _is_one(section: Section, item: Mapping, where: str) -> bool:
    """Complain unless an entry says in one way which fields it is for."""
    there = [key.text for key, _ in item.entries if key.text in schema.ADDRESSES]
    if not there:
        section.problems.error(item.line, item.column, where, "neither a name nor a regex")
    elif len(there) > 1:
        told = " and ".join(f"a {key}" for key in there)
        section.problems.error(item.line, item.column, where, f"both {told}; keep one")
    return len(there) == 1


def _of_class(section: Section, item: Mapping, where: str, earlier: list[Entry]) -> list[Entry]:
    """Return the entries of one for VRs; several where dates of another form move in another way."""
    references: dict[str, AnySelector] = {}
    label = section.label(item.line)
    found = [
        Entry(selector, action, name, False, item.line, item.column, where, label, references)
        for selector, action, name in classes.parse(section, item, where, references)
    ]
    taken = {vr: one for one in reversed(earlier) if isinstance(one.selector, VrAt) for vr in one.selector.vrs}
    for entry in found:
        assert isinstance(entry.selector, VrAt)  # noqa: S101 -- of these
        for vr in entry.selector.vrs:
            if vr in taken:
                told = f"{vr} is listed first in line {taken[vr].line}: that entry acts, this one does not"
                section.problems.warn(item.line, item.column, where, told)
    return found


def _entry(section: Section, item: Mapping, where: str, names: frozenset[str] | None) -> Entry | None:
    keys = [key.text for key, _ in item.entries]
    if not _is_one(section, item, where):
        return None
    by = "name" if "name" in keys else "regex"
    node = item.get(by)
    selector: AnySelector | None = None
    if not isinstance(node, Scalar) or node.kind in ("null", "bool"):
        line, column = (node.line, node.column) if node else (item.line, item.column)
        section.problems.error(line, column, where, f"{by} must be text")
        build.action_keys(section, item, where)
        return None
    if names is not None:
        if by == "regex" or node.text not in names:
            section.problems.error(
                node.line, node.column, where, f"this section knows the fields {', '.join(sorted(names))} only"
            )
            return None
    else:
        if by == "name" and section.naming is ELEMENTS and (note := spelling_note(node.text)):
            section.problems.warn(node.line, node.column, where, note)
        try:
            selector = (section.naming.name if by == "name" else section.naming.regex)(node.text)
        except BadName as error:
            section.problems.error(node.line, node.column, where, str(error))
    references: dict[str, AnySelector] = {}
    action = build.parse_action(section, item, where, selector, references, node.text)
    if action is None or (names is None and selector is None):
        return None
    if wrong := _wrong_kind(action, selector, node.text):
        section.problems.error(node.line, node.column, where, wrong)
        return None
    insert = isinstance(action, Replace) and action.insert
    if isinstance(selector, RegexAt | GroupsAt | KeysAt) or (
        isinstance(selector, PathAt) and any(index is None for _, index in selector.steps)
    ):
        insert = False
    return Entry(
        selector, action, node.text, insert, item.line, item.column, where, section.label(item.line), references
    )


def _wrong_kind(action: Action, selector: AnySelector | None, name: str) -> str:
    """Say why an action is not for an element that a keyword or creator names; a bare number tells no VR."""
    named = isinstance(selector, PrivateAt) or (isinstance(selector, TagAt | PathAt) and is_keyword(name))
    only, vr = ACTIONS[action.key].only, vr_of(selector) if named and selector is not None else None
    if not only or vr is None or vr in only:
        return ""
    return f"{action.key} is for VR {' and '.join(sorted(only))}, and this element has VR {vr}: use another action"


def execution_order(entries: list[Entry]) -> list[Entry]:
    """Fields in file order, but every regex-sub first, the last of them foremost (profile language §2.2).

    Entries for VRs come last, in the order of the file: of two that list a VR the first acts.
    """
    placed = [entry for entry in entries if not isinstance(entry.selector, VrAt)]
    first = [entry for entry in reversed(placed) if ACTIONS[entry.action.key].early]
    later = [entry for entry in placed if not ACTIONS[entry.action.key].early]
    return first + later + [entry for entry in entries if isinstance(entry.selector, VrAt)]


def _compare_with_earlier(section: Section, entry: Entry, earlier: list[Entry]) -> None:
    """Warn of a field listed twice: the language runs both, and published profiles rely on it."""
    if earlier:
        same = earlier[-1].action == entry.action
        what = "the same again; take one out" if same else "that one runs first, this one on its result"
        section.problems.warn(
            entry.line, entry.column, entry.where, f"field listed twice, first in line {earlier[0].line}: {what}"
        )
