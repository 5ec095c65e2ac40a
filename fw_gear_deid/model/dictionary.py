"""Tag, keyword or private creator → what the DICOM dictionaries know of it (PS3.6, PS3.15; pydicom's tables)."""

from __future__ import annotations

from functools import lru_cache

from pydicom import datadict
from pydicom._dicom_dict import DicomDictionary
from pydicom._private_dict import private_dictionaries

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
    try:
        vr = str(datadict.dictionary_VR(tag))
    except KeyError:
        return None
    return _AMBIGUOUS.get(vr, vr)


@lru_cache(maxsize=4096)
def private_vr(tag: int, creator: str) -> str | None:
    """Return the VR of a private element by creator, or None when no dictionary has it."""
    try:
        vr = str(datadict.private_dictionary_VR(tag, creator))
    except KeyError:
        return None
    return _AMBIGUOUS.get(vr, vr)


def knows_creator(creator: str) -> bool:
    """Tell whether the private dictionary has elements of a creator, so that its text is no name of a person."""
    return creator in private_dictionaries


@lru_cache(maxsize=4096)
def keyword_of(tag: int) -> str:
    """Return the keyword of a public tag, empty when it has none."""
    return "" if is_private(tag) else datadict.keyword_for_tag(tag)


def tag_of(keyword: str) -> int | None:
    """Return the tag of a keyword in its exact spelling, or None."""
    tag = datadict.tag_for_keyword(keyword)
    return None if tag is None else int(tag)


@lru_cache(maxsize=1)
def keywords() -> dict[str, str]:
    """Return lower-case keyword → keyword as the standard spells it."""
    return {entry[4].lower(): entry[4] for entry in DicomDictionary.values() if entry[4]}


def format_tag(tag: int) -> str:
    """Return ``(gggg,eeee)`` in upper-case hexadecimal."""
    return f"({tag >> 16:04X},{tag & 0xFFFF:04X})"
