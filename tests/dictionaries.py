"""The tables of ``model/dictionary``, made from those of the installed pydicom: ``make dictionaries``."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from pydicom._dicom_dict import DicomDictionary, RepeatersDictionary
from pydicom._private_dict import private_dictionaries

from fw_gear_deid.model import dictionary


def public() -> Iterator[tuple[str, ...]]:
    """Yield tag or mask, VR and keyword of what the standard names, masks last."""
    for tag, entry in DicomDictionary.items():
        yield f"{tag:08X}", entry[0], entry[4]
    for mask, entry in RepeatersDictionary.items():
        yield mask, entry[0], entry[4]


def private() -> Iterator[tuple[str, ...]]:
    """Yield a creator, and mask and VR of each of its elements."""
    for creator, entries in private_dictionaries.items():
        yield creator, *(field for mask, entry in entries.items() for field in (mask, entry[0]))


def table(rows: Iterable[tuple[str, ...]]) -> str:
    """Return rows as text, a line each, tabs between the fields and no end of the last line."""
    return "\n".join("\t".join(row) for row in rows)


TABLES = {dictionary.PUBLIC: public, dictionary.PRIVATE: private}

if __name__ == "__main__":
    for name, rows in TABLES.items():
        (Path(dictionary.__file__).parent / name).write_text(table(rows()), encoding="utf-8", newline="\n")
