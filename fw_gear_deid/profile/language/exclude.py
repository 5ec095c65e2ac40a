"""``exclude``: conditions on the header → what leaves an instance out (additions, §3)."""

from __future__ import annotations

from fw_gear_deid.model.dictionary import BINARY_VRS
from fw_gear_deid.model.patterns import Pattern
from fw_gear_deid.model.selectors import PrivateAt, TagAt
from fw_gear_deid.profile.compiled import Condition, Exclusion
from fw_gear_deid.profile.language.addresses import BadName, parse_name, vr_of
from fw_gear_deid.profile.language.section import Section
from fw_gear_deid.profile.text.nodes import Listing, Mapping, Node, Scalar

KEY = "exclude"
REGEX = "r!"


def parse(section: Section) -> tuple[Exclusion, ...]:
    """Return the conditions of a section, in the order of the file; wrong ones are complained about."""
    node = section.options.get(KEY)
    found: list[Exclusion] = []
    for index, item in enumerate(node.items if isinstance(node, Listing) else ()):
        where = f"{section.key}.{KEY}[{index}]"
        if not isinstance(item, Mapping) or not item.entries:
            section.problems.error(item.line, item.column, where, "a condition is a mapping: '- Modality: US'")
            continue
        made = [_condition(section, key, value, where) for key, value in item.entries]
        found.append(Exclusion(tuple(one for one in made if one is not None), section.label(item.line)))
    return tuple(found)


def _condition(section: Section, key: Scalar, node: Node, where: str) -> Condition | None:
    try:
        selector = parse_name(key.text)
    except BadName as error:
        section.problems.error(key.line, key.column, where, str(error))
        return None
    if not isinstance(selector, TagAt | PrivateAt):
        message = "a condition is for one element of the top level or of the file meta"
        section.problems.error(key.line, key.column, where, message)
        return None
    vr = vr_of(selector)
    if vr == "SQ" or (vr in BINARY_VRS and vr != "UN"):
        section.problems.error(key.line, key.column, where, f"VR {vr} has no text to compare")
        return None
    values = [_value(section, one, f"{where}.{key.text}") for one in _listed(section, node, where)]
    texts = tuple(one for one in values if isinstance(one, str))
    return Condition(selector, texts, tuple(one for one in values if isinstance(one, Pattern)))


def _listed(section: Section, node: Node, where: str) -> tuple[Node, ...]:
    if not isinstance(node, Listing):
        return (node,)
    if not node.items:
        section.problems.error(node.line, node.column, where, "an empty list: no value would do")
    return node.items


def _value(section: Section, node: Node, where: str) -> str | Pattern | None:
    """Return a text or a pattern of a condition, or complain and return None."""
    if not isinstance(node, Scalar) or node.kind == "null":
        section.problems.error(node.line, node.column, where, "a condition compares with text, or a list of texts")
        return None
    if node.kind == "bool":
        message = f"YAML reads {node.text} as true or false: write it in quotes"
        section.problems.error(node.line, node.column, where, message)
        return None
    if node.text.startswith(REGEX):
        return section.regex(node, node.text.removeprefix(REGEX), where)
    if not node.text.strip():
        section.problems.error(node.line, node.column, where, "empty text: no value that is there is equal to it")
        return None
    return node.text.strip()
