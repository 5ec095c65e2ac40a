"""Names of EXIF tags: where a tag stands, its number, its type, what it is called (CIPA DC-008-2023, TIFF 6.0, DNG)."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from fw_gear_deid.model.frozen import frozen

EXIF, GPS, INTEROP, SUB = 34665, 34853, 40965, 330
BELOW = {EXIF: "Exif", GPS: "GPS", INTEROP: "Interop", SUB: "Sub"}
"""Tag that points at a directory → what that is called."""
IMAGES = {273: 279, 324: 325, 513: 514}
"""Tag that tells where bytes of a picture stand → the one that tells how many there are."""
MAKER_NOTE, USER_COMMENT = 37500, 37510
_NUMBERED = ("GPS", "Interop")
"""Directories whose tags have numbers of their own."""


@frozen
class Tag:
    """A tag as the standards know it.

    Attributes
    ----------
    home : str
        Directory that it belongs into: ``0th``, ``Exif``, ``GPS``, ``Interop``.
    number : int
    type : int
        Of its values, TIFF 6.0 §2.
    name : str
        The first of its names.
    """

    home: str
    number: int
    type: int
    name: str


@lru_cache(maxsize=1)
def table() -> list[tuple[Tag, list[str]]]:
    """Return every tag with its names, those of other dictionaries last; a name may come again with another number."""
    lines = Path(__file__).with_name("tags.tsv").read_text("utf-8").splitlines()
    rows = (line.split("\t") for line in lines)
    return [(Tag(home, int(number), int(kind), names.split()[0]), names.split()) for home, number, kind, names in rows]


@lru_cache(maxsize=1)
def _by_name() -> dict[str, list[Tag]]:
    found: dict[str, list[Tag]] = {}
    for tag, names in table():
        for name in names:
            found.setdefault(name.lower(), []).append(tag)
    return found


@lru_cache(maxsize=1)
def _by_number() -> dict[tuple[str, int], str]:
    return {(space(tag.home), tag.number): tag.name for tag, _ in table()}


def named(name: str) -> list[Tag]:
    """Return the tags of a name in any case; an older standard may have had the name for another number."""
    return _by_name().get(name.lower(), [])


def space(directory: str) -> str:
    """Return by whose numbers a directory's tags go."""
    return directory if directory in _NUMBERED else ""


def name_of(directory: str, number: int) -> str:
    """Return what a tag is called, or its number.

    >>> name_of("0th", 315), name_of("GPS", 2), name_of("Exif", 0xEA1C)
    ('Artist', 'GPSLatitude', '0xEA1C')
    """
    return _by_number().get((space(directory), number)) or f"0x{number:04X}"


def wrong(name: str) -> str:
    """Say what is wrong with a name of a profile; empty when EXIF has a tag of it."""
    if named(name):
        return ""
    import difflib  # nobody makes a mistake in most runs

    near = difflib.get_close_matches(name.lower(), _by_name(), n=1)
    meant = f"; did you mean {_by_name()[near[0]][0].name!r}?" if near else ""
    return f"EXIF has no tag of that name{meant}"
