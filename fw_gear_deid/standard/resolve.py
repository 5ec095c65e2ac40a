"""An element's place, its row of Table E.1-1, its Type and the options chosen → what is done to it (PS3.15 Annex E)."""

from __future__ import annotations

from typing import NamedTuple

from fw_gear_deid.model.dictionary import keyword_of, public_vr
from fw_gear_deid.standard import tables, unlisted

KEEP, REMOVE, EMPTY, DUMMY, UID, DATE, CLEAN = "keep", "remove", "empty", "dummy", "uid", "date", "clean"
HASH, PSEUDONYM, AGE, MEANING, ITEMS = "hash", "pseudonym", "age", "meaning", "items"
"""What may be done: ``hash`` and ``pseudonym`` are dummies of ids; ``age`` keeps ages up to 89; ``meaning`` keeps what
an item's code means; ``items`` keeps a sequence, and its items are cleaned."""

DUMMIES = {
    "AE": "REMOVED", "AS": "000Y", "AT": "00000000", "CS": "REMOVED", "DA": "19000101", "DS": "0",
    "DT": "19000101000000", "FD": "0", "FL": "0", "IS": "0", "LO": "REMOVED", "LT": "REMOVED", "PN": "REMOVED^REMOVED",
    "SH": "REMOVED", "SL": "0", "SS": "0", "ST": "REMOVED", "SV": "0", "TM": "000000", "UC": "REMOVED", "UL": "0",
    "UR": "urn:removed", "US": "0", "UT": "REMOVED", "UV": "0",
}  # fmt: skip
"""Dummy of each VR that has texts: legal (PS3.5 Table 6.2-1), and the same for everybody."""
OWN_DUMMIES = {0x00080201: "+0000", 0x00080102: "99REMOVED"}
"""Dummies of attributes that not every text of their VR is legal for."""
COMMITTEE = 0x00120081
DOCUMENT, ZONE = 0x00420011, 0x00080201
PATIENT_ID, ISSUED = 0x00100020, frozenset({0x00080050, 0x00200010})
"""PatientID; AccessionNumber and StudyID, which tell studies apart."""
_DATES, _CLEANED = ("DA", "TM", "DT"), frozenset({"AE", "CS", "LO", "LT", "PN", "SH", "ST", "UC", "UR", "UT"})
_DRAWN = (0x50, 0x60)
"""Groups of curves and overlays, whose bits nobody cleans."""
_NUMBERED = ("ID", "IDs", "Identifier", "Number")


class Done(NamedTuple):
    """What is done to an element.

    Attributes
    ----------
    deed : str
    code : str
        Of the table, as it came to count: ``X/Z/D``, ``K``.
    kind : str
        Type of the attribute: ``1``, ``1C``, ``2``, ``2C``, ``3``; empty where it is not known.
    """

    deed: str
    code: str
    kind: str


class Standard:
    """The basic profile with options, for objects of one SOP class.

    Parameters
    ----------
    options : frozenset of str
        Of ``tables.OPTIONS``.
    sop_class : str
        UID; one that the tables do not know has attributes of no known Type.
    documents : bool
        Encapsulated documents stay as they are, in the classes that exist for them.
    """

    __slots__ = ("_documents", "_types", "known", "lists", "options")

    def __init__(self, options: frozenset[str], sop_class: str, *, documents: bool = False) -> None:
        self.options = options
        iod = tables.iod_of(sop_class)
        self._types = tables.types_of(iod) if iod else None
        self.lists = self._types is not None and self._types.lists
        self._documents = documents and iod.startswith("encapsulated-")
        self.known = self._types is not None and self._types.whole
        """The Types of all attributes are known: what has none here is an extension of the class."""

    def type_of(self, path: tuple[int, ...], tag: int) -> str:
        """Return the Type of an attribute; that of an extension of the class is 3 (PS3.4 §B.2)."""
        found = self._types.of(path, tag) if self._types is not None else ""
        return found or ("3" if self.known else "")

    def of(self, path: tuple[int, ...], tag: int, vr: str) -> Done:
        """Return what is done to a public element.

        Parameters
        ----------
        path : tuple of int
            Tags of the sequences above it.
        tag : int
        vr : str
            The dictionary's where it knows the element, else the wire's.
        """
        kind = self.type_of(path, tag)
        if tag in unlisted.CODE_PARTS:
            return self._code_part(path, tag, vr, kind)
        row = tables.row_of(tag)
        code = self._unlisted(path, tag, vr) if row is None else code_of(row, self.options)
        if self._documents and tag == DOCUMENT and not path:
            code = "K"
        deed = self._deed(code, kind, tag, vr)
        if deed == CLEAN and row is not None and (vr not in _CLEANED or tag == ZONE or tag >> 24 in _DRAWN):
            code = row.basic  # nobody can clean it, so it goes as without the option
            deed = self._deed(code, kind, tag, vr)
        return Done(deed, code, kind)

    def _code_part(self, path: tuple[int, ...], tag: int, vr: str, kind: str) -> Done:
        """Return what is done to a part of a code: those that stand for a person or a place are dummies."""
        if any(map(self._hides, path)):
            return Done(REMOVE if vr == "UI" else DUMMY, "D", kind)
        return Done(MEANING if tag in unlisted.MEANINGS else KEEP, "K", kind)

    def _hides(self, tag: int) -> bool:
        """Tell whether codes in a sequence stand for what is replaced."""
        row = tables.row_of(tag)
        hidden = row is not None and keyword_of(tag).endswith("CodeSequence")
        return hidden and row is not None and code_of(row, self.options) not in ("K", "C")

    def _unlisted(self, path: tuple[int, ...], tag: int, vr: str) -> str:
        known = public_vr(tag)
        return unlisted.code_of(path, tag, "" if known in (None, "UN") else vr, self.options)

    def _deed(self, code: str, kind: str, tag: int, vr: str) -> str:
        if code == "K":
            return ITEMS if vr == "SQ" else AGE if vr == "AS" else KEEP
        if code == "C":
            return ITEMS if vr == "SQ" else DATE if vr in _DATES else CLEAN
        return UID if code == "U" else self._by_type(code, kind, tag, vr)

    def _by_type(self, code: str, kind: str, tag: int, vr: str) -> str:
        """Resolve what removes, empties or replaces (PS3.15 Table E.1-1a)."""
        if tag == COMMITTEE and kind == "1C":
            return REMOVE  # it may stand beside the approval's number alone, which goes
        if tag == PATIENT_ID or (code == "Z" and tag in ISSUED):
            return _dummy(tag, vr)  # emptied they would merge people and studies
        if code == "D" or kind[:1] == "1" or (not kind and code != "X"):
            return _dummy(tag, vr)
        if "U*" in code and (kind[:1] == "2" or self.lists):
            return ITEMS  # references whose UIDs are replaced; without them the list of what is referred to is wrong
        return EMPTY if code == "Z" or kind[:1] == "2" else REMOVE


def _dummy(tag: int, vr: str) -> str:
    """Return which dummy an element gets: ids tell apart what they are of, and nothing else."""
    if vr in ("SQ", "UI"):
        return ITEMS if vr == "SQ" else UID
    if tag == PATIENT_ID:
        return PSEUDONYM
    named = tag in ISSUED or keyword_of(tag).endswith(_NUMBERED)
    return HASH if named and vr in ("SH", "LO", "UC", "UT") else DUMMY


def code_of(row: tables.Row, options: frozenset[str]) -> str:
    """Return the code that counts with some options: ``C`` before ``K`` before the basic profile's.

    Where two options speak of an attribute, such as ``device`` and ``modified-dates`` of a day of calibration, the one
    that changes it counts.
    """
    chosen = {code for option, code in zip(tables.OPTIONS, row.codes, strict=True) if option in options}
    return "C" if "C" in chosen else "K" if "K" in chosen else row.basic


def dummy_of(tag: int, vr: str) -> tuple[str, ...] | None:
    """Return the texts of a dummy, None for a VR that has bytes."""
    own = OWN_DUMMIES.get(tag) or DUMMIES.get(vr)
    return None if own is None else (own,)
