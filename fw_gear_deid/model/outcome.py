"""What became of one source file: exactly one of four outcomes, never lost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import field
from enum import Enum

from fw_gear_deid.model.frozen import frozen


class Always(Enum):
    """Places that are cleaned whatever the profile says; the value is the audit's ``rule``."""

    PREAMBLE = "always: preamble"
    FILE_META = "always: file meta"
    GROUP_LENGTH = "always: group length"
    TRAILING = "always: bytes after the last element"
    FRAMES = "always: comments in compressed frames"
    SYNC = "always: MediaStorageSOPInstanceUID follows SOPInstanceUID"
    SOP_INSTANCE_UID = "always: SOPInstanceUID is never removed"
    ZIP_COMMENT = "always: zip comment"
    ZIP_EXTRA = "always: zip extra fields and member comments"
    ZIP_OUTSIDE = "always: bytes of an archive that belong to no member"
    TAR_HEADERS = "always: owners, times and other header fields of a tar archive"
    PACKED_HEADER = "always: header of a packed file, with its name and time"
    BEFORE = "always: bytes in front of the volume"
    BEHIND = "always: bytes behind the volume"
    MEMBER_DROPPED = "always: member that no section takes"
    MARKS = "always: marks of what was done, by PS3.15"
    PICTURE_END = "always: bytes behind the end of a picture"
    COPY = "always: a piece that tells what a rule took away"
    NAME = "always: name carries an identifier"
    UNUSED = "always: bytes of a picture file that nothing points at"
    SLIDE_LABEL = "always: label and macro pages of a slide"
    BIDS = "always: names follow the labels of a BIDS tree"
    LABEL = "always: label without a rule"
    PLACE = "always: placed by the de-identified header"
    CONTAINER = "always: container metadata without a rule"
    CONTAINER_DATES = "always: container dates move with the dates in the files"
    CONTAINER_LABEL = "always: a label that the platform takes"


ALWAYS = "always: "
"""Begins each of them."""
REPAIRED = "repaired: "
"""Begins the audit's ``rule`` where odd bytes were made plain before the rules ran."""


RESIDUE = "residue: "
"""Begins the risk of a place that still tells a name or id which a rule took away."""
NOTHING_SOUGHT = "nothing to search for"
"""In the place of a risk, where no rule took away a name or id that could be looked for."""


@frozen
class Edit:
    """One change: a row of the audit.

    Attributes
    ----------
    path : str
        ``(0010,0010)``, ``(0008,1140)[0](0008,1155)``, ``filename``, ``zip comment``, ...
    keyword : str
        Keyword of the element, empty when the dictionary has none.
    vr : str
        Value representation, empty outside DICOM.
    action : str
        Key of the action as users write it.
    rule : str
        Profile line or option behind the change.
    before, after : str
        Text of the values. ``before`` is sensitive: only the opt-in columns and the memory of the worker see it.
    """

    path: str
    keyword: str
    vr: str
    action: str
    rule: str
    before: str
    after: str


IDS = ("PatientID", "StudyInstanceUID", "SeriesInstanceUID", "AccessionNumber")
"""What the table of old and new ids is about."""
ID_COLUMNS = (*IDS, *(f"new.{keyword}" for keyword in IDS))
UID_COLUMNS = ("id_old", "id_new")
"""Of the map of UIDs."""
Ids = tuple[str, ...]
"""A row of one of these tables: texts in the order of its columns."""


@frozen
class Trail:
    """What was changed in one file, ready for the audit.

    Attributes
    ----------
    lines : bytes
        As ``model.audit.lines`` writes them, packed by zlib.
    actions : mapping of str to int
        Number of lines by action.
    """

    lines: bytes = b""
    actions: Mapping[str, int] = field(default_factory=dict)

    @property
    def changes(self) -> int:
        """Number of lines."""
        return sum(self.actions.values())

    def __add__(self, other: Trail) -> Trail:
        return Trail(self.lines + other.lines, Counter(self.actions) + Counter(other.actions))


UNTYPED = " (type not known)"
"""How a label ends where a table acted on an attribute of which nobody knows whether its class needs it."""


@frozen
class Released:
    """De-identified, verified, and (once the runner has put it) at the destination."""

    name: str
    """File name at the destination."""
    members: int
    bytes_in: int
    bytes_out: int
    sha256: str
    warnings: tuple[str, ...] = ()
    unmatched: frozenset[int] = frozenset()
    """Indices of rules of the profile that found nothing to act on in this file."""
    sections: frozenset[str] = frozenset()
    """Keys of the sections that took it, or members of it."""
    risks: tuple[str, ...] = ()
    """Words for what is in it and may tell whose it is though no rule names it."""
    reason: str = ""
    """What the row should tell although it went well, such as members that were left out."""


@frozen
class Refused:
    """Cannot be de-identified and checked; ``reason`` names place and cause, never a value."""

    reason: str
    damaged: bool = False
    """The source itself cannot be read as it is: what an earlier run made of it when it could be is good."""


@frozen
class Skipped:
    """Left out by a rule or because it is there already."""

    reason: str


@frozen
class Failed:
    """An error of the machine or of this program stopped the work on this file."""

    reason: str


Outcome = Released | Refused | Skipped | Failed


class Trouble(str):
    """Why a file could not be looked at, where the machine or this program is to blame and not the file."""

    __slots__ = ()


def outcome_of(problem: str) -> Refused | Failed:
    """Return what a problem that was found before the work makes of a file."""
    return Failed(problem) if isinstance(problem, Trouble) else Refused(problem)


STATES = ("released", "skipped", "refused", "failed", "orphan", "not-reached")
"""What may have become of a source file, in the order of reports."""
SKIPPED = ("unchanged", "stale", "other file", "copy", "excluded", "not taken")
"""What the reason of a skipped file begins with."""
OTHER_DICOM = "other file: DICOM"
"""Begins the reason of a file that no section takes, and that is what this program is for."""


def kind_of(reason: str) -> str:
    """Return the first words of a skipped file's reason.

    >>> kind_of("unchanged: an earlier run released it"), kind_of("copy of row 5")
    ('unchanged', 'copy')
    """
    return next((kind for kind in SKIPPED if reason.startswith(kind)), "")


def state_of(outcome: Outcome) -> str:
    """Return the word of ``files.csv`` for an outcome."""
    match outcome:
        case Released():
            return "released"
        case Refused():
            return "refused"
        case Skipped():
            return "skipped"
        case Failed():
            return "failed"
