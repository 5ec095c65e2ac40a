"""The ids in a header that a mapping may go by, as they came."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from fw_gear_deid.actions import hashuid
from fw_gear_deid.formats.dicom.fields import Fields
from fw_gear_deid.model.errors import Unfit
from fw_gear_deid.model.outcome import IDS, Edit, Ids

TAGS = {
    "PatientID": 0x00100020, "StudyInstanceUID": 0x0020000D, "SeriesInstanceUID": 0x0020000E,
    "AccessionNumber": 0x00080050,
}  # fmt: skip


@dataclass(slots=True)
class Notes:
    """What the work on one file tells the run.

    Attributes
    ----------
    row : int or None
        Row of the mapping that it went by.
    ids : dict
        Old and new ids of its data sets, in the order of ``ID_COLUMNS``, and UIDs in that of ``UID_COLUMNS``, each
        combination once; filled where ``collect`` and ``uids`` ask for them.
    collect, uids : bool
    """

    row: int | None = None
    ids: dict[Ids, None] = field(default_factory=dict)
    collect: bool = False
    uids: bool = False

    def fresh(self) -> Notes:
        """Return empty ones that take the same."""
        return Notes(collect=self.collect, uids=self.uids)

    def take(self, edits: Iterable[Edit]) -> None:
        """Note the UIDs that were hashed."""
        for edit in edits if self.uids else ():
            if edit.action == hashuid.SPEC.key and edit.after:
                old, new = ([uid.strip("\0 ") for uid in text.split("\\")] for text in (edit.before, edit.after))
                self.ids |= dict.fromkeys(pair for pair in zip(old, new, strict=False) if pair[0] != pair[1])

    def add(self, before: Mapping[str, str], after: Fields) -> None:
        """Note the ids of one data set."""
        if self.collect:
            new = ids_of(after)
            self.ids[(*(before[key] for key in IDS), *(new[key] for key in IDS))] = None


def ids_of(fields: Fields) -> dict[str, str]:
    """Return the ids of a data set without the padding of DICOM (PS3.5 §6.2); empty where absent or no text."""
    found = {}
    for keyword, tag in TAGS.items():
        try:
            texts = fields.texts(tag)
        except Unfit:
            texts = ()
        found[keyword] = "\\".join(texts).strip(" \0")
    return found


def check_ids(own: Mapping[str, str], expected: Mapping[str, str]) -> None:
    """Make sure that a data set has the ids by which the profile of its file was taken.

    Raises
    ------
    Unfit
    """
    for keyword, text in expected.items():
        if own[keyword] != text:
            raise Unfit(f"its {keyword}, by which the mapping goes, is not that of the first one")
