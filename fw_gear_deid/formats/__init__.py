"""File formats: bytes → fields → the same bytes with edits. One file each, one row here.

A file belongs to the first format that its content speaks of, else to the first whose name it has.
"""

from __future__ import annotations

from fw_gear_deid.formats import jpg, json_text, keyvalue, nifti, plain, png, tables, tiff, xml
from fw_gear_deid.formats.dicom import sniff as dicom
from fw_gear_deid.formats.row import Format

TABLE = (
    dicom.FORMAT,
    json_text.FORMAT,
    nifti.FORMAT,
    tiff.FORMAT,
    jpg.FORMAT,
    png.FORMAT,
    xml.FORMAT,
    *tables.FORMATS,
    keyvalue.FORMAT,
    plain.ZIP,
    plain.FILENAME,
)
FORMATS = {row.key: row for row in TABLE}
"""Every format that the language has a section for."""


def known(head: bytes) -> Format | None:
    """Return the format that the first bytes of a file speak of; None where they say nothing."""
    return next((row for row in TABLE if row.sniff(head)), None)


__all__ = ["FORMATS", "TABLE", "Format", "known"]
