"""YAML or JSON text → nodes that know their line, column and source spelling."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator

import yaml

from fw_gear_deid.model.frozen import frozen
from fw_gear_deid.profile.text import lookalikes
from fw_gear_deid.profile.text.problems import Problems

MAX_CHARACTERS = 1_000_000  # both far above any profile; a larger file is none
MAX_NODES = 200_000  # below what an alias bomb expands to
_MAX_DEPTH = 50
_INT = re.compile(r"[-+]?(0|[1-9]\d*)", re.ASCII)
_FLOAT = re.compile(r"[-+]?(\d+\.\d*|\.\d+|\d+)([eE][-+]?\d+)?", re.ASCII)
BREAK = re.compile(r"\r\n|[\n\r\x85\u2028\u2029]")  # YAML 1.1 §4.2
_TAGS = {
    "tag:yaml.org,2002:bool": "bool",
    "tag:yaml.org,2002:null": "null",
    "tag:yaml.org,2002:timestamp": "date",
}


@frozen
class Scalar:
    """One value as written.

    Attributes
    ----------
    text : str
        Source text: ``001`` stays ``001``, ``00100010`` is a tag.
    kind : str
        ``str``, ``int``, ``float``, ``bool``, ``null`` or ``date``. A number that YAML would read as another one
        (leading zero, octal, sexagesimal, underscores, beyond a float) is ``str``.
    line, column : int
        From 1.
    variables : tuple of str
        Names of the ``{{ variables }}`` in it; its kind is then what the option takes, and ``str`` elsewhere.
    unknown : bool
        One of them has no value: the text only stands for one.
    """

    text: str
    kind: str
    line: int
    column: int
    variables: tuple[str, ...] = ()
    unknown: bool = False

    @property
    def truth(self) -> bool:
        """The value of a ``bool``."""
        return self.text.lower() in ("true", "yes", "on")


@frozen
class Listing:
    """A sequence of nodes."""

    items: tuple[Node, ...]
    line: int
    column: int
    kind: str = "list"


@frozen
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


class _TooMuch(Exception):
    """More nodes, or deeper ones, than a profile has."""


def read(text: str, problems: Problems, options: frozenset[str]) -> Node | None:
    """Parse a document; what is wrong goes to ``problems``, and None comes back.

    Parameters
    ----------
    text : str
    problems : Problems
    options : frozenset of str
        Names that belong inside a section, to explain wrong indentation with.
    """
    if len(text) > MAX_CHARACTERS:
        problems.error(1, 1, "", f"the profile has more than {MAX_CHARACTERS} characters")
        return None
    if not text.strip():
        problems.error(1, 1, "", "the profile is empty")
        return None
    try:
        root = yaml.compose(_without_tabs(text), Loader=yaml.SafeLoader)
        node = None if root is None else _convert(root, problems, iter(range(MAX_NODES)), 0)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        if error.problem == "but found another document":
            message = "a second document begins here ('---'); a profile is one: keep one of them in this file"
            problems.error(line, column, "", message)
            return None
        for number, one in enumerate(BREAK.split(text), 1):
            for place, message in lookalikes.in_line(one):
                problems.error(number, place, "", message)
        problems.error(line, column, "", f"this is not YAML: {error.problem}{_hint(text, line, options)}")
        return None
    except yaml.reader.ReaderError as error:
        before = text[: error.position]
        line, column = before.count("\n") + 1, len(before) - before.rfind("\n")
        code = f"U+{ord(text[error.position]):04X}"
        problems.error(line, column, "", f"this is not YAML: a character that cannot be printed ({code})")
        return None
    except (ValueError, OverflowError):  # of an escape such as \U99999999
        problems.error(1, 1, "", "this is not YAML: an escape that stands for no character")
        return None
    except (RecursionError, _TooMuch):
        problems.error(1, 1, "", f"more than {MAX_NODES} values, or deeper than {_MAX_DEPTH}: no profile is that large")
        return None
    if node is None:
        problems.error(1, 1, "", "the profile is empty")
    return node


def spans(text: str, key: str) -> list[tuple[int, int, str]]:
    """Return where the scalars of a key stand in a document, and what they say; none of one that is not YAML."""
    if len(text) > MAX_CHARACTERS:
        return []
    try:
        root = yaml.compose(_without_tabs(text), Loader=yaml.SafeLoader)
    except (yaml.YAMLError, ValueError, OverflowError, RecursionError):
        return []  # who reads it says so
    found: dict[int, tuple[int, int, str]] = {}
    open_, seen = [root], set()
    while open_:
        node = open_.pop()
        if node is None or id(node) in seen:
            continue
        seen.add(id(node))
        if isinstance(node, yaml.SequenceNode):
            open_ += node.value
        for name, value in node.value if isinstance(node, yaml.MappingNode) else ():
            open_ += (name, value)
            scalars = isinstance(name, yaml.ScalarNode) and isinstance(value, yaml.ScalarNode)
            if scalars and name.value == key and not value.tag.endswith(":null"):
                found[value.start_mark.index] = value.start_mark.index, value.end_mark.index, value.value
    return sorted(found.values())


def _convert(node: yaml.Node, problems: Problems, budget: Iterator[int], depth: int, *, is_key: bool = False) -> Node:
    line, column = node.start_mark.line + 1, node.start_mark.column + 1
    if next(budget, None) is None or depth > _MAX_DEPTH:
        raise _TooMuch
    if isinstance(node, yaml.ScalarNode):
        if node.style is None and not node.value.isascii() and (odd := lookalikes.in_plain(node.value, is_key=is_key)):
            problems.error(line, column, "", odd)
        return Scalar(_whole(node.value, line, column, problems), _kind(node), line, column)
    if isinstance(node, yaml.SequenceNode):
        return Listing(tuple(_convert(item, problems, budget, depth + 1) for item in node.value), line, column)
    entries: list[tuple[Scalar, Node]] = []
    seen: set[str] = set()
    for key, value in node.value:
        name = _convert(key, problems, budget, depth + 1, is_key=True)
        if not isinstance(name, Scalar):
            problems.error(name.line, name.column, "", "a key must be plain text")
            continue
        if name.text in seen:
            problems.error(name.line, name.column, "", f"key {name.text!r} stands twice in one mapping")
        if name.text == "<<":
            problems.error(name.line, name.column, "", "merge keys are not supported; write the keys out")
            continue
        seen.add(name.text)
        entries.append((name, _convert(value, problems, budget, depth + 1)))
    return Mapping(tuple(entries), line, column)


def _without_tabs(text: str) -> str:
    """Return a JSON document with spaces for tabs, which JSON allows between values and YAML does not."""
    if "\t" in text and text.lstrip().startswith("{"):
        try:
            json.loads(text)
        except (ValueError, RecursionError):
            return text
        return text.replace("\t", " ")
    return text


def _whole(text: str, line: int, column: int, problems: Problems) -> str:
    """Return text with the two halves of a character, as JSON escapes them, put together."""
    try:
        return text.encode("utf-16", "surrogatepass").decode("utf-16")
    except UnicodeDecodeError:
        problems.error(line, column, "", "an escape that stands for half a character")
        return text.encode("ascii", "backslashreplace").decode("ascii")


def _kind(node: yaml.ScalarNode) -> str:
    if node.style in ("'", '"', "|", ">"):
        return "str"
    if node.tag in _TAGS:
        return _TAGS[node.tag]
    if node.tag.endswith((":int", ":float")):
        if _FLOAT.fullmatch(node.value) and not math.isfinite(float(node.value)):
            return "str"
        if _INT.fullmatch(node.value):
            return "int"
        if _FLOAT.fullmatch(node.value):
            return "float" if not re.match(r"[-+]?0\d", node.value) else "str"
    return "str"


def _hint(text: str, line: int, options: frozenset[str]) -> str:
    """Say what usually lies behind a syntax error: a tab, a missing quote, or an option at the left margin."""
    here = text.splitlines()[line - 1] if line <= len(text.splitlines()) else ""
    if "\t" in here[: len(here) - len(here.lstrip())]:
        return "; YAML is indented with spaces, not tabs"
    if re.search(r"(:|-)\s+[*&%@`{\[!]", here):
        return "; put text that starts with a special character in quotes"
    for number, other in enumerate(text.splitlines(), 1):
        name = re.match(r"([\w-]+)\s*:", other)
        if name and name.group(1) in options:
            return (
                f"; {name.group(1)!r} in line {number} belongs inside a section such as 'dicom:': "
                "indent it like the other lines of that section"
            )
    return ""
