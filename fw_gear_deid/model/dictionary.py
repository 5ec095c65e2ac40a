"""Tag, keyword or private creator → what the DICOM dictionaries know of it (PS3.6; pydicom's tables).

The tables are files beside this one, since to import all of pydicom for them takes longer than many a file does;
``make dictionaries`` makes them, and a test compares them with pydicom's.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

PUBLIC = "public.tsv"  # tag or mask, VR, keyword: the masks last
PRIVATE = "private.tsv"  # creator, then mask and VR of each of its elements

# VRs whose element header has two reserved bytes and a 32-bit length, PS3.5 §7.1.2
LONG_VRS = frozenset({"OB", "OD", "OF", "OL", "OV", "OW", "SQ", "SV", "UC", "UN", "UR", "UT", "UV"})
SHORT_VRS = frozenset(
    {
        "AE", "AS", "AT", "CS", "DA", "DS", "DT", "FD", "FL", "IS", "LO",
        "LT", "PN", "SH", "SL", "SS", "ST", "TM", "UI", "UL", "US",
    }
)  # fmt: skip
VRS = LONG_VRS | SHORT_VRS
TEXT_VRS = frozenset(
    {"AE", "AS", "CS", "DA", "DS", "DT", "IS", "LO", "LT", "PN", "SH", "ST", "TM", "UC", "UI", "UR", "UT"}
)
CHARSET_VRS = frozenset({"LO", "LT", "PN", "SH", "ST", "UC", "UT"})  # affected by (0008,0005), PS3.5 §6.1.2.2
SINGLE_TEXT_VRS = frozenset({"LT", "ST", "UR", "UT"})  # backslash is text, PS3.5 §6.2
BINARY_VRS = frozenset({"OB", "OD", "OF", "OL", "OV", "OW", "UN"})

# Where the dictionary leaves a choice, the one that implicit VR readers take (PS3.5 Annex A.1)
_AMBIGUOUS = {
    "OB or OW": "OW",
    "OB_OW": "OW",
    "US or SS": "US",
    "US or OW": "OW",
    "US or SS or OW": "OW",
    "NONE": "UN",
    "": "UN",
}


def is_private(tag: int) -> bool:
    """Tell whether a tag has an odd group (PS3.5 §7.8)."""
    return bool(tag >> 16 & 1)


def is_private_creator(tag: int) -> bool:
    """Tell whether a tag is in (gggg,0010-00FF) of an odd group (PS3.5 §7.8.1)."""
    return bool(tag >> 16 & 1) and 0x10 <= tag & 0xFFFF <= 0xFF


@lru_cache(maxsize=4096)
def public_vr(tag: int) -> str | None:
    """Return the VR of a public tag, repeating groups included, or None when it is unknown."""
    if is_private(tag):
        return None
    if tag & 0xFFFF == 0:
        return "UL"  # group length, PS3.5 §7.2
    vr = _public().vrs.get(_place(tag))
    return None if vr is None else _AMBIGUOUS.get(vr, vr)


@lru_cache(maxsize=4096)
def certain_vr(tag: int) -> str | None:
    """Return the VR of a public tag where the dictionary leaves no choice, else None."""
    vr = public_vr(tag)
    return None if _public().vrs.get(_place(tag)) in _AMBIGUOUS else vr


@lru_cache(maxsize=4096)
def private_vr(tag: int, creator: str) -> str | None:
    """Return the VR of a private element by creator, or None when no dictionary has it."""
    entries = _private_elements(creator)
    place = f"{tag:08X}"
    # GDCM's table knows elements by their whole tag, in any block, and in any group as well
    masks = (place, f"{place[:4]}xx{place[6:]}", f"{place[:2]}xxxx{place[6:]}")
    vr = next((entries[mask] for mask in masks if mask in entries), None)
    return None if vr is None else _AMBIGUOUS.get(vr, vr)


def known_vr(tag: int, creator: str, vr: str) -> str:
    """Return the VR by which entries and tables for a VR go: the dictionary's, else what stands on the wire.

    Parameters
    ----------
    creator : str
        Of a private element.
    vr : str
        As written; ``UN`` where the file does not tell.

    Examples
    --------
    >>> known_vr(0x00100010, "", "LO"), known_vr(0x00091002, "GEMS_IDEN_01", "UN"), known_vr(0x00091002, "", "UN")
    ('PN', 'SH', 'UN')
    """
    if is_private_creator(tag):
        return "LO" if vr == "UN" else vr
    known = certain_vr(tag)
    if known is None and is_private(tag):
        known = private_vr(tag, creator) if creator else None
    return known if known not in (None, "UN") else vr


def knows_creator(creator: str) -> bool:
    """Tell whether the private dictionary has elements of a creator, so that its text is no name of a person."""
    return creator in _private()


@lru_cache(maxsize=4096)
def keyword_of(tag: int) -> str:
    """Return the keyword of a public tag, empty when it has none."""
    return "" if is_private(tag) else _public().keywords.get(_place(tag), "")


def tag_of(keyword: str) -> int | None:
    """Return the tag of a keyword in its exact spelling, or None."""
    return _tags().get(keyword)


@lru_cache(maxsize=1)
def keywords() -> dict[str, str]:
    """Return lower-case keyword → keyword as the standard spells it."""
    return {keyword.lower(): keyword for keyword in _tags()}


class _Public(NamedTuple):
    """What the standard names: VR and keyword by tag in hexadecimal, or by a mask of one with ``x`` for any digit."""

    vrs: dict[str, str]
    keywords: dict[str, str]


@lru_cache(maxsize=1)
def _public() -> _Public:
    fields = _read(PUBLIC).replace("\n", "\t").split("\t")
    places = fields[0::3]
    return _Public(dict(zip(places, fields[1::3], strict=True)), dict(zip(places, fields[2::3], strict=True)))


@lru_cache(maxsize=1)
def _masks() -> dict[str, tuple[int, int]]:
    """Return mask of repeating groups → its digits, and which of them count."""
    masks = (place for place in _public().vrs if "x" in place)
    return {
        mask: (int(mask.replace("x", "0"), 16), int("".join("0" if char == "x" else "F" for char in mask), 16))
        for mask in masks
    }


def _place(tag: int) -> str:
    """Return under which name the table has a public tag, if it has it."""
    place = f"{tag:08X}"
    if place in _public().vrs:
        return place
    return next((mask for mask, (digits, counting) in _masks().items() if (tag ^ digits) & counting == 0), place)


@lru_cache(maxsize=1)
def _tags() -> dict[str, int]:
    return {keyword: int(place, 16) for place, keyword in _public().keywords.items() if keyword and "x" not in place}


@lru_cache(maxsize=1)
def _private() -> dict[str, list[str]]:
    """Return creator → masks and VRs in turns."""
    return {creator: fields for creator, *fields in (line.split("\t") for line in _read(PRIVATE).split("\n"))}


@lru_cache(maxsize=512)
def _private_elements(creator: str) -> dict[str, str]:
    fields = _private().get(creator, ())
    return dict(zip(fields[0::2], fields[1::2], strict=True))


def _read(name: str) -> str:
    return Path(__file__).with_name(name).read_text(encoding="utf-8")


def format_tag(tag: int) -> str:
    """Return ``(gggg,eeee)`` in upper-case hexadecimal."""
    return f"({tag >> 16:04X},{tag & 0xFFFF:04X})"
