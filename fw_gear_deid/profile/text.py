"""YAML or JSON text → nodes that know their line, column and source spelling."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

import yaml

from fw_gear_deid.profile.problems import Problems

MAX_NODES = 200_000  # far above any profile; below what an alias bomb expands to
_INT = re.compile(r"[-+]?(0|[1-9]\d*)", re.ASCII)
_FLOAT = re.compile(r"[-+]?(\d+\.\d*|\.\d+|\d+)([eE][-+]?\d+)?", re.ASCII)
_TAGS = {
    "tag:yaml.org,2002:bool": "bool",
    "tag:yaml.org,2002:null": "null",
    "tag:yaml.org,2002:timestamp": "date",
}


@dataclass(frozen=True, slots=True)
class Scalar:
    """One value as written.

    Attributes
    ----------
    text : str
        Source text: ``001`` stays ``001``, ``00100010`` is a tag.
    kind : str
        ``str``, ``int``, ``float``, ``bool``, ``null`` or ``date``. A number that YAML would read as another one
        (leading zero, octal, sexagesimal, underscores) is ``str``.
    line, column : int
        From 1.
    """

    text: str
    kind: str
    line: int
    column: int

    @property
    def truth(self) -> bool:
        """The value of a ``bool``."""
        return self.text.lower() in ("true", "yes", "on")


@dataclass(frozen=True, slots=True)
class Listing:
    """A sequence of nodes."""

    items: tuple[Node, ...]
    line: int
    column: int
    kind: str = "list"


@dataclass(frozen=True, slots=True)
class Mapping:
    """Keys and their nodes, in the order of the file."""

    entries: tuple[tuple[Scalar, Node], ...]
    line: int
    column: int
    kind: str = "mapping"

    def get(self, key: str) -> Node | None:
        """Return the node of a key, or None."""
        return next((node for name, node in self.entries if name.text == key), None)

    def key(self, key: str) -> Scalar:
        """Return the key itself, for its place."""
        return next(name for name, _ in self.entries if name.text == key)


Node = Scalar | Listing | Mapping


def read(text: str, problems: Problems, options: frozenset[str]) -> Node | None:
    """Parse a document; what is wrong goes to ``problems``, and None comes back.

    Parameters
    ----------
    text : str
    problems : Problems
    options : frozenset of str
        Names that belong inside a section, to explain wrong indentation with.
    """
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        problems.error(line, column, "", f"this is not YAML: {error.problem}{_indentation_hint(text, options)}")
        return None
    except yaml.YAMLError as error:
        problems.error(1, 1, "", f"this is not YAML: {type(error).__name__}")
        return None
    if root is None:
        problems.error(1, 1, "", "the profile is empty")
        return None
    budget = iter(range(MAX_NODES))
    node = _convert(root, problems, budget, 0)
    if next(budget, None) is None:
        problems.error(1, 1, "", f"the profile has more than {MAX_NODES} nodes")
        return None
    return node


def _convert(node: yaml.Node, problems: Problems, budget: Iterator[int], depth: int) -> Node:
    line, column = node.start_mark.line + 1, node.start_mark.column + 1
    if next(budget, None) is None or depth > 50:
        return Scalar("", "null", line, column)
    if isinstance(node, yaml.ScalarNode):
        return Scalar(node.value, _kind(node), line, column)
    if isinstance(node, yaml.SequenceNode):
        return Listing(tuple(_convert(item, problems, budget, depth + 1) for item in node.value), line, column)
    entries: list[tuple[Scalar, Node]] = []
    for key, value in node.value:
        name = _convert(key, problems, budget, depth + 1)
        if not isinstance(name, Scalar):
            problems.error(name.line, name.column, "", "a key must be plain text")
            continue
        if any(name.text == other.text for other, _ in entries):
            problems.error(name.line, name.column, "", f"key {name.text!r} stands twice in one mapping")
        if name.text == "<<":
            problems.error(name.line, name.column, "", "merge keys are not supported; write the keys out")
            continue
        entries.append((name, _convert(value, problems, budget, depth + 1)))
    return Mapping(tuple(entries), line, column)


def _kind(node: yaml.ScalarNode) -> str:
    if node.style in ("'", '"', "|", ">"):
        return "str"
    if node.tag in _TAGS:
        return _TAGS[node.tag]
    if node.tag.endswith((":int", ":float")):
        if _INT.fullmatch(node.value):
            return "int"
        if _FLOAT.fullmatch(node.value):
            return "float" if not re.match(r"[-+]?0\d", node.value) else "str"
    return "str"


def _indentation_hint(text: str, options: frozenset[str]) -> str:
    """Name the first option that stands at the left margin although it belongs into a section."""
    for number, line in enumerate(text.splitlines(), 1):
        name = re.match(r"([\w-]+)\s*:", line)
        if name and name.group(1) in options:
            return (
                f"; {name.group(1)!r} in line {number} belongs inside a section such as 'dicom:': "
                "indent it like the other lines of that section"
            )
    return ""
