"""Template → the few fields in it that values go into, so that the others are compiled once for all subjects."""

from __future__ import annotations

from collections.abc import Mapping as Values
from dataclasses import replace

from fw_gear_deid.profile.compiled import Profile
from fw_gear_deid.profile.parse import parse_template
from fw_gear_deid.profile.text.nodes import Listing, Mapping, Node
from fw_gear_deid.profile.text.problems import ProfileError
from fw_gear_deid.profile.values.variables import Template, scalars_in


def open_part(template: Template, base: Profile) -> Template | None:
    """Return a template with those fields of its DICOM section alone that have variables.

    None where variables stand elsewhere, too, or what has none may depend on them.
    """
    root = template.root
    section = root.get("dicom") if isinstance(root, Mapping) else None
    listed = section.get("fields") if isinstance(section, Mapping) else None
    if base.flywheel is not None or not isinstance(root, Mapping) or not isinstance(section, Mapping):
        return None  # metadata moves as dates of the files do
    if not isinstance(listed, Listing):
        return None
    fields_ = replace(listed, items=tuple(item for item in listed.items if _is_open(template, item)))
    if not fields_.items or _is_open(
        template, _with(root, "dicom", _with(section, "fields", replace(listed, items=())))
    ):
        return None
    return replace(template, root=_with(root, "dicom", _with(section, "fields", fields_)))


def _is_open(template: Template, node: Node) -> bool:
    return any(template.spots_in(scalar.text) or "{{" in scalar.text for scalar in scalars_in(node))


def _with(node: Mapping, key: str, value: Node) -> Mapping:
    return replace(node, entries=tuple((name, value if name.text == key else old) for name, old in node.entries))


def swapped(part: Template, values: Values[str, str], used: tuple[str, ...], base: Profile) -> Profile | None:
    """Return a profile with the rules of a part in the place of its own; None where they do not fit one to one."""
    try:
        found = parse_template(part, values, strict=all(name in values for name in used), lint_too=False)
    except ProfileError:
        return None  # the whole profile tells it
    if found.dicom is None or base.dicom is None:
        return None
    fresh = {rule.label: rule for rule in found.dicom.rules}
    places = sum(rule.label in fresh for rule in base.dicom.rules)
    if not len(found.dicom.rules) == len(fresh) == places:
        return None
    rules = tuple(
        replace(fresh[rule.label], index=rule.index) if rule.label in fresh else rule for rule in base.dicom.rules
    )
    return replace(base, dicom=replace(base.dicom, rules=rules))
