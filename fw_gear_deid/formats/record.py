"""JSON value ⇄ paths: what is where, and the value with some of it changed or left out."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping
from datetime import date
from enum import Enum

from fw_gear_deid.model.action import REMOVE, Gone
from fw_gear_deid.model.container import Json
from fw_gear_deid.model.errors import Unfit

Path = tuple[str | int, ...]
"""Keys and list positions from the outside in."""

MAX_DEPTH = 100
_MAX_BITS = 1024  # of a whole number: what a double reaches to; beyond lie hours of arithmetic
_Tree = dict[str, "_Tree"] | list["_Tree"] | str | int | float | bool | None | Gone


class Record:
    """A JSON value while rules change it.

    What is removed leaves its place empty until the value is written, so positions in lists stay what they were.

    Parameters
    ----------
    value : object
        Copied. Dates count as text in ISO 8601, members of enumerations as their values.

    Raises
    ------
    Unfit
        It is no JSON value, or deeper than ``MAX_DEPTH``.
    """

    __slots__ = ("_root",)

    def __init__(self, value: object) -> None:
        self._root: _Tree = _copy(value, 0)

    def paths(self, start: Path = ()) -> Iterator[Path]:
        """Yield the paths of everything below ``start``, a group before what is in it."""
        for step, _ in _children(self._node(start)):
            yield (*start, step)
            yield from self.paths((*start, step))

    def leaves(self, start: Path = ()) -> list[Path]:
        """Return the paths of the single values at or below ``start``."""
        node = self._node(start)
        if isinstance(node, dict | list):
            return [leaf for step, _ in _children(node) for leaf in self.leaves((*start, step))]
        return [] if node is REMOVE else [start]

    def is_group(self, path: Path) -> bool:
        """Tell whether a group of keys or a list is at a path."""
        return isinstance(self._node(path), dict | list)

    def find(self, name: str, separator: str = ".") -> list[Path]:
        """Return the paths of a dotted name; several only where keys hold the separator themselves."""
        return list(_find(self._root, name, separator, ()))

    def get(self, path: Path) -> Json | Gone:
        """Return the value at a path, REMOVE where there is none."""
        return _written(self._node(path))

    def put(self, path: Path, value: Json) -> None:
        """Set the value at a path that ``find`` or ``paths`` has given."""
        if not path:
            self._root = _copy(value, 0)
            return
        _set(self._node(path[:-1]), path[-1], _copy(value, len(path)))

    def create(self, name: str, value: Json, separator: str = ".") -> Path:
        """Set a value that is absent, with the groups on the way to it; return its path.

        Raises
        ------
        Unfit
            A single value or a shorter list is in the way.
        """
        path: Path = ()
        parts = name.split(separator)
        for depth, part in enumerate(parts):
            node = self._node(path)
            step = _step(node, part)
            if step is None:
                place = separator.join(parts[:depth])
                raise Unfit(f"{place or 'the record'} is there and has no place for {part!r}, so nothing can be made")
            path = (*path, step)
            if depth < len(parts) - 1 and self._node(path) in (None, REMOVE):
                _set(node, step, {})
        self.put(path, value)
        return path

    def remove(self, path: Path) -> bool:
        """Take a value away; return whether there was one."""
        if self._node(path) is REMOVE:
            return False
        if path:
            _set(self._node(path[:-1]), path[-1], REMOVE)
        else:
            self._root = REMOVE
        return True

    def pick(self, chosen: Collection[Path]) -> Json | Gone:
        """Return the value with nothing in it but what is at the chosen paths and below them.

        A group or list on the way stays as far as anything in it does.
        """
        above = {path[:length] for path in chosen for length in range(len(path))}
        return _picked(self._root, (), frozenset(chosen), above)

    def _node(self, path: Path) -> _Tree:
        node = self._root
        for step in path:
            if isinstance(node, dict) and isinstance(step, str):
                node = node.get(step, REMOVE)
            elif isinstance(node, list) and isinstance(step, int) and step < len(node):
                node = node[step]
            else:
                return REMOVE
        return node


def dotted(path: Path, separator: str = ".") -> str:
    """Return a path as people write it.

    >>> dotted(("info", "visits", 0, "site"))
    'info.visits.0.site'
    """
    return separator.join(str(step) for step in path)


def _copy(value: object, depth: int) -> _Tree:
    if depth > MAX_DEPTH:
        raise Unfit(f"values deeper than {MAX_DEPTH} levels")
    if isinstance(value, Enum):
        value = value.value
    match value:
        case None | bool():
            return value
        case str():
            if not value.isascii() and any("\ud800" <= char <= "\udfff" for char in value):
                raise Unfit("text with half a character")
            return str(value)
        case int():
            if value.bit_length() > _MAX_BITS:
                raise Unfit(f"a number beyond {_MAX_BITS} bits")
            return int(value)
        case float():
            if not math.isfinite(value):
                raise Unfit("a number that is none, or infinite")
            return float(value)
        case date():
            return value.isoformat()
        case Mapping():
            if not all(isinstance(key, str) for key in value):
                raise Unfit("a key that is no text")
            return {str(_copy(key, depth)): _copy(item, depth + 1) for key, item in value.items()}
        case list() | tuple():
            return [_copy(item, depth + 1) for item in value]
        case _:
            raise Unfit("a value that JSON does not have")


def _children(node: _Tree) -> list[tuple[str | int, _Tree]]:
    steps: list[tuple[str | int, _Tree]] = []
    if isinstance(node, dict):
        steps += node.items()
    elif isinstance(node, list):
        steps += enumerate(node)
    return [(step, child) for step, child in steps if child is not REMOVE]


def _find(node: _Tree, rest: str, separator: str, path: Path) -> Iterator[Path]:
    for step, child in _children(node):
        name = str(step)
        if rest == name:
            yield (*path, step)
        elif rest.startswith(name + separator):
            yield from _find(child, rest[len(name + separator) :], separator, (*path, step))


def _step(node: _Tree, part: str) -> str | int | None:
    """Return a key or position as a group or list takes it, None where there is no place for it."""
    if isinstance(node, dict):
        return part
    if isinstance(node, list) and part.isascii() and part.isdecimal() and len(part) < 10 and int(part) < len(node):
        return int(part)
    return None


def _set(node: _Tree, step: str | int, value: _Tree) -> None:
    match node, step:
        case dict(), str():
            node[step] = value
        case list(), int():
            node[step] = value


def _written(node: _Tree) -> Json | Gone:
    if isinstance(node, dict):
        return {key: item for key, child in node.items() if not isinstance(item := _written(child), Gone)}
    if isinstance(node, list):
        return [item for child in node if not isinstance(item := _written(child), Gone)]
    return node


def _picked(node: _Tree, path: Path, chosen: frozenset[Path], above: set[Path]) -> Json | Gone:
    if path in chosen:
        return _written(node)
    if path not in above:
        return REMOVE
    found = [(step, item) for step, child in _children(node)
             if not isinstance(item := _picked(child, (*path, step), chosen, above), Gone)]  # fmt: skip
    if not found:
        return REMOVE
    if isinstance(node, dict):
        return {str(step): item for step, item in found}
    return [item for _, item in found]
