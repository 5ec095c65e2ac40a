"""An entry with one action key → Action (profile language §5)."""

from __future__ import annotations

import re
from collections.abc import Set

from fw_gear_deid.actions import SPECS, TABLE, HashUid, Keep, hashuid
from fw_gear_deid.actions.spec import Spec
from fw_gear_deid.model.action import Action
from fw_gear_deid.model.selectors import AnySelector, VrAt
from fw_gear_deid.profile.language import requires, schema
from fw_gear_deid.profile.language.given import FromEntry, is_keyed
from fw_gear_deid.profile.language.section import Section
from fw_gear_deid.profile.text.nodes import Mapping, Node, Scalar
from fw_gear_deid.profile.text.problems import did_you_mean
from fw_gear_deid.profile.values.variables import settle


def action_keys(section: Section, item: Mapping, where: str) -> list[Scalar]:
    """Return the action keys of an entry and complain about keys that nothing knows."""
    found = [key for key, _ in item.entries if key.text in schema.ACTIONS]
    known = schema.ADDRESSES | schema.ACTIONS.keys()
    for key in found:
        known |= schema.ACTIONS[key.text].keys()
    for key, _ in item.entries:
        if key.text in known:
            continue
        everywhere = schema.ADDRESSES | schema.ACTIONS.keys() | {o for more in schema.ACTIONS.values() for o in more}
        if key.text in everywhere:
            message = (
                f"option {key.text!r} does not belong to {found[0].text!r}"
                if found
                else f"option {key.text!r} without an action"
            )
        else:
            message = f"unknown key {key.text!r}{_meant(key.text, everywhere)}"
        section.problems.error(key.line, key.column, where, message)
    return found


_OTHER_WORDS = (
    {word: ours for spec in TABLE for word, ours in spec.words.items()}
    | dict.fromkeys(("tag", "keyword", "field", "element", "attribute"), "name")
    | {"pattern": "regex"}
)
"""Words of other tools → ours."""


def _meant(word: str, known: Set[str]) -> str:
    other = _OTHER_WORDS.get(word.lower().replace("_", "-"))
    return f"; did you mean {other!r}?" if other else did_you_mean(word, known)


_NUMBER = re.compile(r"\W?\s*\d+([.,]\d+)?\s*(days?)?")


def _not_true(spec: Spec, key: str, value: Node) -> str:
    """Say what to write where an action that takes ``true`` alone has another value."""
    if isinstance(value, Scalar) and value.kind == "str" and value.text.strip().lower() in ("true", "yes", "on"):
        return f"must be true without quotes: '{key}: true'"
    if isinstance(value, Scalar) and value.kind == "str" and _NUMBER.fullmatch(value.text) and "int" in spec.not_true:
        return spec.not_true["int"]
    wanted = "must be true or keyed" if spec.keyed else "must be true"
    return spec.not_true.get(value.kind, f"{wanted}; take the entry out to not do it")


def parse_action(
    section: Section,
    item: Mapping,
    where: str,
    selector: AnySelector | None,
    references: dict[str, AnySelector],
    name: str,
) -> Action | None:
    """Return the action of an entry, or complain and return None."""
    found = action_keys(section, item, where)
    if not found:
        if len(item.entries) == 1 and item.entries[0][0].text == "name":
            return Keep()
        if len(item.entries) == 1:
            section.problems.error(
                item.line,
                item.column,
                where,
                f"no action; a {item.entries[0][0].text} needs one, such as 'remove: true'",
            )
        elif all(key.text in schema.ADDRESSES for key, _ in item.entries):
            section.problems.error(item.line, item.column, where, "no action, such as 'remove: true'")
        return None
    if len({key.text for key in found}) > 1:
        listed = ", ".join(repr(key.text) for key in found)
        section.problems.error(found[1].line, found[1].column, where, f"several actions, {listed}: keep one")
        return None
    key = found[0].text
    spec = SPECS[key]
    value = item.get(key)
    assert value is not None  # noqa: S101 -- key comes from the entries of item
    for option, node in item.entries:
        if option.text in schema.ACTIONS[key]:
            section.check(node, schema.ACTIONS[key][option.text], f"{where}.{option.text}")
    is_true = isinstance(value, Scalar) and value.kind == "bool" and value.truth
    if spec.alone and not is_true and not (spec.keyed and is_keyed(value)):
        section.problems.error(value.line, value.column, f"{where}.{key}", _not_true(spec, key, value))
        return None
    if spec.placed and isinstance(selector, VrAt):
        section.problems.error(item.line, item.column, where, f"{key} needs the name of an element, and vr is none")
        return None
    if spec.build is None:
        section.problems.error(found[0].line, found[0].column, where, f"{key!r} is not supported by this version")
        return None
    if spec.sealed and (section.key == "zip" or section.key.startswith("flywheel") or ".groups[" in where):
        section.problems.error(found[0].line, found[0].column, where, f"{key!r} is for fields of files alone")
        return None
    given = FromEntry(spec, section, item, where, key, name, selector, references)
    action = spec.build(given)
    wrong = spec.misfit(action, given.vr) if action is not None and given.vr is not None else ""
    if action is not None and isinstance(selector, VrAt) and not wrong:
        action, wrong = _wide(spec, given, action, selector.vrs[0])
    if wrong:
        given.complain(wrong)
        return None
    return action and settle(action, item, *given.from_section())


def _wide(spec: Spec, given: FromEntry, action: Action, vr: str) -> tuple[Action, str]:
    """Return what is done to all elements of a VR, and what is wrong with it."""
    if spec.only and vr not in spec.only:
        return action, f"{spec.key} is for VR {' and '.join(sorted(spec.only))}, not for {vr}"
    made = spec.wide(given, action, vr)
    return (action, made) if isinstance(made, str) else (made, "")


def hashuid_of(section: Section) -> Action:
    """Return the ``hashuid`` of a section, for UIDs that no entry names: by the key where anything in it is."""
    if requires.keyed(section.options):
        return HashUid(keyed=True)
    spec = hashuid.SPEC
    assert spec.build is not None  # noqa: S101 -- this version has it
    given = FromEntry(spec, section, section.options, section.key, spec.key)
    action = spec.build(given)
    assert action is not None  # noqa: S101 -- it complains and goes on
    return settle(action, *given.from_section())
