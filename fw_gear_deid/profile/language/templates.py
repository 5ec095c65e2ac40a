"""``{input-regex, output, groups}`` → substitutions and file-name templates (profile language §5.7, §7)."""

from __future__ import annotations

from fw_gear_deid.actions.regexsub import VARIABLE
from fw_gear_deid.actions.spec import Template
from fw_gear_deid.model.action import Action
from fw_gear_deid.model.patterns import Pattern
from fw_gear_deid.model.selectors import AnySelector, KeyAt, PathAt, TagAt
from fw_gear_deid.profile.language import build, schema
from fw_gear_deid.profile.language.addresses import BadName
from fw_gear_deid.profile.language.section import Section
from fw_gear_deid.profile.text.nodes import Listing, Mapping, Node, Scalar
from fw_gear_deid.profile.text.problems import did_you_mean


def parse_templates(
    section: Section, value: Node, where: str, references: dict[str, AnySelector]
) -> tuple[Template, ...] | None:
    """Return a list of templates whose variables are captures and other fields, or complain and return None."""
    if not isinstance(value, Listing) or not value.items:
        section.problems.error(value.line, value.column, where, "must be a list of {input-regex, output, groups}")
        return None
    found = []
    for index, item in enumerate(value.items):
        template = _template(section, item, f"{where}[{index}]", references)
        if template is None:
            return None
        found.append(template)
    return tuple(found)


def _template(section: Section, item: Node, where: str, references: dict[str, AnySelector]) -> Template | None:
    pattern_and_output = parse_template(section, item, where)
    if pattern_and_output is None or not isinstance(item, Mapping):
        return None
    pattern, output = pattern_and_output
    groups = parse_groups(section, item, where, pattern, references)
    if groups is None:
        return None
    named = dict(groups)
    missing = [name for name in VARIABLE.findall(output) if name not in pattern.groupindex and name not in named]
    if missing:
        node = item.get("output") or item
        section.problems.error(
            node.line, node.column, where,
            f"{{{missing[0]}}} is neither a named capture of input-regex nor listed in groups with an action",
        )  # fmt: skip
        return None
    return pattern, output, groups


def parse_template(section: Section, item: Node, where: str) -> tuple[Pattern, str] | None:
    """Return pattern and template of ``{input-regex, output, groups}``, or complain and return None."""
    if not isinstance(item, Mapping):
        section.problems.error(item.line, item.column, where, "must be a mapping of input-regex, output and groups")
        return None
    good = True
    for key, node in item.entries:
        if key.text not in schema.FILENAME_KEYS:
            hint = did_you_mean(key.text, schema.FILENAME_KEYS)
            section.problems.error(key.line, key.column, where, f"unknown key {key.text!r}{hint}")
            good = False
        else:
            good &= section.check(node, schema.FILENAME_KEYS[key.text], f"{where}.{key.text}")
    for needed in ("input-regex", "output"):
        if item.get(needed) is None:
            section.problems.error(item.line, item.column, where, f"{needed} is missing")
            good = False
    source, output = item.get("input-regex"), item.get("output")
    if not good or not isinstance(source, Scalar) or not isinstance(output, Scalar):
        return None
    pattern = section.regex(source, source.text, f"{where}.input-regex")
    return None if pattern is None else (pattern, output.text)


def parse_groups(
    section: Section, item: Mapping, where: str, pattern: Pattern, references: dict[str, AnySelector] | None
) -> tuple[tuple[str, Action], ...] | None:
    """Return the ``groups`` of a template: name → action.

    Parameters
    ----------
    references : dict, optional
        Filled with the groups that are other fields; None allows captures only.
    """
    node = item.get("groups")
    groups: list[tuple[str, Action]] = []
    good = True
    for index, group in enumerate(node.items if isinstance(node, Listing) else ()):
        here = f"{where}.groups[{index}]"
        name = group.get("name") if isinstance(group, Mapping) else None
        if not isinstance(group, Mapping) or not isinstance(name, Scalar):
            section.problems.error(group.line, group.column, here, "a group is '- name: CAPTURE', then its action")
            good = False
            continue
        selector: AnySelector | None = None
        if name.text not in pattern.groupindex:
            if references is None:
                section.problems.error(
                    name.line, name.column, here, f"{name.text!r} is no named capture of input-regex"
                )
                good = False
                continue
            try:
                selector = section.naming.reference(name.text)
            except BadName as error:
                section.problems.error(name.line, name.column, here, f"neither a capture nor a field: {error}")
                good = False
                continue
            if not isinstance(selector, TagAt | PathAt | KeyAt):
                section.problems.error(
                    name.line, name.column, here, "a group reads one element: a keyword, tag or path"
                )
                good = False
                continue
            references[name.text] = selector
        action = build.parse_action(
            section, group, here, selector, references if references is not None else {}, name.text
        )
        good &= action is not None
        if action is not None:
            groups.append((name.text, action))
    return tuple(groups) if good else None
