"""File formats: bytes → fields → the same bytes with edits. One file each, one row here.

A file belongs to the first format that its content speaks of, else to the first whose name it has.
"""

from __future__ import annotations

from fw_gear_deid.formats import jpg, json_text, keyvalue, later, nifti, plain, png, tables, tiff, xml
from fw_gear_deid.formats.dicom import sniff as dicom
from fw_gear_deid.formats.row import Format

TABLE = (
    dicom.FORMAT,
    json_text.FORMAT,
    nifti.FORMAT,
    tiff.FORMAT,
    jpg.FORMAT,
    png.FORMAT,
    *later.FORMATS,
    xml.FORMAT,
    *tables.FORMATS,
    keyvalue.FORMAT,
    plain.ZIP,
    plain.FILENAME,
)
FORMATS = {row.key: row for row in TABLE}
"""Every format that the language has a section for."""
BUILT = frozenset(row.key for row in TABLE if row.built)
"""Those that this version carries out."""


def known(head: bytes) -> Format | None:
    """Return the format that the first bytes of a file speak of; None where they say nothing this version knows."""
    return next((row for row in TABLE if row.built and row.sniff(head)), None)


__all__ = ["BUILT", "FORMATS", "TABLE", "Format", "known"]
