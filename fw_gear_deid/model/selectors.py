"""Where a rule points: the addressing forms of the profile language, as data."""

from __future__ import annotations

from fw_gear_deid.model.frozen import frozen
from fw_gear_deid.model.patterns import Pattern


@frozen
class TagAt:
    """One element by absolute tag, at the top level (or in the file meta for group 0002)."""

    tag: int


@frozen
class PathAt:
    """An element below sequences: ``((sequence tag, item index or None for '*'), ...)`` and the element's tag."""

    steps: tuple[tuple[int, int | None], ...]
    tag: int


@frozen
class PrivateAt:
    """A private element by creator: every block that the creator has reserved (PS3.5 §7.8.1)."""

    group: int
    creator: str
    element: int
    """Low byte of the element number."""


@frozen
class GroupsAt:
    """An element of the repeating groups 50xx or 60xx."""

    group: int
    """0x5000 or 0x6000."""
    element: int


@frozen
class RegexAt:
    """Every element, at any depth, whose dotted keyword path or dotted tag path matches from its start."""

    pattern: Pattern
    hex_pattern: Pattern
    """The same, case-insensitive: hexadecimal paths match in either case."""


@frozen
class VrAt:
    """Every element, at any depth, that no entry names by its place and that has one of some VRs.

    The VR is the dictionary's where it knows the element (``dictionary.vr_of_class``), else that on the wire.
    """

    vrs: tuple[str, ...]


@frozen
class KeyAt:
    """One value of a JSON record by the keys and list positions on the way: ``info.visits.0.site``."""

    path: str
    separator: str = "."


@frozen
class KeysAt:
    """Every value of a JSON record, groups and lists included, whose path matches from its start."""

    pattern: Pattern
    separator: str = "."


Selector = TagAt | PathAt | PrivateAt | GroupsAt | RegexAt | VrAt
"""Of a DICOM element."""
AnySelector = Selector | KeyAt | KeysAt
