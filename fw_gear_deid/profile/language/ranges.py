"""``date-shift-range``: said once anywhere in a profile, it holds for all of it, since a patient has one shift."""

from __future__ import annotations

from dataclasses import replace

from fw_gear_deid.actions.dates import SHIFT_RANGE
from fw_gear_deid.profile.language import schema
from fw_gear_deid.profile.text.nodes import Mapping, Node, Scalar
from fw_gear_deid.profile.text.problems import Problems

_FLYWHEEL = "flywheel"


def spread(root: Mapping, problems: Problems) -> Mapping:
    """Return a document whose sections all have the range that one of them, or the document, names.

    Two that differ are an error: intervals between a header and what stands beside it would be others.
    """
    said = [pair for place in _places(root) for pair in place.entries if pair[0].text == SHIFT_RANGE]
    for key, value in said[1:]:
        if _text(value) != _text(said[0][1]):
            told = f"another {SHIFT_RANGE} than in line {said[0][0].line}: a patient has one shift; keep one"
            problems.error(key.line, key.column, "", told)
    return _with(root, said[0]) if said else root


def _places(root: Mapping) -> list[Mapping]:
    sections = [node for key, node in root.entries if key.text in schema.SECTIONS or key.text == _FLYWHEEL]
    levels = [node for key, node in root.entries if key.text == _FLYWHEEL and isinstance(node, Mapping)]
    below = [node for level in levels for key, node in level.entries if key.text in schema.LEVELS]
    return [root, *(node for node in (*sections, *below) if isinstance(node, Mapping))]


def _with(root: Mapping, said: tuple[Scalar, Node]) -> Mapping:
    entries: list[tuple[Scalar, Node]] = []
    for key, node in root.entries:
        if isinstance(node, Mapping) and key.text == _FLYWHEEL:
            levels = ((one, _added(value, said) if one.text in schema.LEVELS else value) for one, value in node.entries)
            entries.append((key, replace(node, entries=tuple(levels))))
        else:
            entries.append((key, _added(node, said) if key.text in schema.SECTIONS else node))
    return replace(root, entries=tuple(entries))


def _added(node: Node, said: tuple[Scalar, Node]) -> Node:
    if not isinstance(node, Mapping) or node.get(SHIFT_RANGE) is not None:
        return node
    return replace(node, entries=(*node.entries, said))


def _text(node: Node) -> str:
    return node.text if isinstance(node, Scalar) else ""
