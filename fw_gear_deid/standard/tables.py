"""Table E.1-1 of PS3.15 and the Types of PS3.3: what the standard says of an attribute, read when it is asked for.

The files beside this one are made by ``make standard`` (``tests/standard.py`` says from what).
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

E1_1 = "e1_1.tsv"  # mask of a tag, keyword, name, code of the basic profile, code of each option
IODS = "iods.tsv"  # SOP class and its IOD; IOD and its modules
TYPES = "types.tsv"  # module, path of sequences, tags by Type

EDITION = "2025c"
PROFILE = "basic"
OPTIONS = (
    "safe-private",
    "uids",
    "device",
    "institution",
    "patient-characteristics",
    "full-dates",
    "modified-dates",
    "clean-descriptors",
    "clean-structured-content",
    "clean-graphics",
)
"""Words of the options, in the order of the table's columns (PS3.15 Table E.1-1)."""
LISTS = "lists"
"""Stands with the modules of an IOD whose Common Instance Reference Module is mandatory or conditional."""
LATER = ("clean-pixels", "clean-faces")
"""Options of the standard that this version does not know yet."""
CONTENT = 0x0040A730
"""ContentSequence, which holds itself (PS3.3 §C.17.3)."""
_STRICTNESS = {kind: number for number, kind in enumerate(("1", "1C", "2", "2C", "3"))}


class Row(NamedTuple):
    """One attribute of Table E.1-1.

    Attributes
    ----------
    mask : str
        Eight digits of its tag, ``x`` for any; empty for private attributes.
    keyword : str
        Empty where it has none of its own.
    name : str
    basic : str
        Code of the basic profile: ``X``, ``Z``, ``D``, ``U`` or one of several such as ``X/Z/D``.
    codes : tuple of str
        One for each of ``OPTIONS``, ``K`` or ``C``, empty where an option says nothing.
    """

    mask: str
    keyword: str
    name: str
    basic: str
    codes: tuple[str, ...]

    def code_of(self, option: str) -> str:
        """Return the code of an option, empty where it says nothing."""
        return self.codes[OPTIONS.index(option)]


@lru_cache(maxsize=1)
def rows() -> tuple[Row, ...]:
    """Return Table E.1-1, row by row."""
    return tuple(
        Row(mask, keyword, name, basic, tuple(codes))
        for mask, keyword, name, basic, *codes in (line.split("\t") for line in _lines(E1_1))
    )


@lru_cache(maxsize=1)
def _by_mask() -> dict[str, Row]:
    return {row.mask: row for row in rows()}


def row_of(tag: int) -> Row | None:
    """Return the row of a public tag, or None; curves and overlays count by their mask (PS3.5 §7.6)."""
    known = _by_mask()
    place = f"{tag:08X}"
    found = known.get(place)
    if found is None and place[:2] in ("50", "60") and not tag >> 16 & 1:
        found = known.get(f"{place[:2]}xxxxxx") or known.get(f"{place[:2]}xx{place[4:]}")
    return found


def private_row() -> Row:
    """Return the row of all private attributes."""
    return _by_mask()[""]


class Types:
    """Types of the attributes of one IOD, by where they stand.

    Parameters
    ----------
    modules : tuple of str
        Modules of the IOD; ``?`` is one whose attributes are not known.
    """

    __slots__ = ("_places", "lists", "whole")

    def __init__(self, modules: tuple[str, ...]) -> None:
        self.whole = "?" not in modules
        """All modules are known, so an attribute that is not here is an extension of the class (PS3.4 §B.2)."""
        self.lists = LISTS in modules
        """It has to list every instance that it refers to (PS3.3 §C.12.2)."""
        self._places: dict[tuple[int, ...], dict[int, str]] = {}
        for module in modules:
            for path, kind, tag in _attributes(module):
                known = self._places.setdefault(path, {})
                if tag not in known or _STRICTNESS[kind] < _STRICTNESS[known[tag]]:
                    known[tag] = kind

    def of(self, path: tuple[int, ...], tag: int) -> str:
        """Return the Type of an attribute: ``1``, ``1C``, ``2``, ``2C``, ``3``, or empty where it is not known.

        Parameters
        ----------
        path : tuple of int
            Tags of the sequences above it. ContentSequence counts once, however deep.

        Notes
        -----
        Known are the Types of attributes that Table E.1-1 names or whose VR may hold an identifier. Where modules of
        an IOD differ, the strictest counts.
        """
        return self._places.get(plain(path), {}).get(tag, "")

    def all(self) -> Iterator[tuple[int, str]]:
        """Yield tag and Type of every attribute that is known, wherever it stands."""
        for place in self._places.values():
            yield from place.items()

    def top(self) -> dict[int, str]:
        """Return tag → Type, of the attributes of the top level that are known."""
        return self._places.get((), {})


def plain(path: tuple[int, ...]) -> tuple[int, ...]:
    """Return a path in which ContentSequence below ContentSequence counts once.

    >>> plain((CONTENT, CONTENT, CONTENT, 0x0040A168)) == (CONTENT, 0x0040A168)
    True
    """
    return tuple(tag for at, tag in enumerate(path) if tag != CONTENT or not at or path[at - 1] != CONTENT)


@lru_cache(maxsize=1)
def _iods() -> dict[str, tuple[str, ...]]:
    lines = (line.split("\t") for line in _lines(IODS))
    return {first: tuple(others) for first, *others in lines}


def sop_classes() -> dict[str, str]:
    """Return SOP class → IOD, of every class whose attributes are known."""
    return {uid: found[0] for uid, found in _iods().items() if "." in uid}


def iods() -> tuple[str, ...]:
    """Return every IOD."""
    return tuple(name for name in _iods() if "." not in name)


def iod_of(sop_class: str) -> str:
    """Return the IOD of a SOP class, empty where it is none that the tables know."""
    return _iods().get(sop_class, ("",))[0] if "." in sop_class else ""


@lru_cache(maxsize=16)
def types_of(iod: str) -> Types:
    """Return the Types of an IOD."""
    return Types(_iods()[iod])


@lru_cache(maxsize=1)
def _places() -> dict[str, list[str]]:
    """Return module → its lines, as they stand in the file."""
    known: dict[str, list[str]] = {}
    for line in _lines(TYPES):
        module, _, rest = line.partition("\t")
        known.setdefault(module, []).append(rest)
    return known


def _attributes(module: str) -> Iterator[tuple[tuple[int, ...], str, int]]:
    """Yield path, Type and tag of each attribute of a module."""
    for line in _places().get(module, ()):
        way, *kinds = line.split("\t")
        path = tuple(int(step, 16) for step in way.split(".") if step)
        for kind, _, tags in (one.partition(":") for one in kinds):
            for at in range(0, len(tags), 8):
                yield path, kind, int(tags[at : at + 8], 16)


def _lines(name: str) -> list[str]:
    return [
        line
        for line in Path(__file__).with_name(name).read_text(encoding="utf-8").split("\n")
        if line and not line.startswith("#")
    ]
