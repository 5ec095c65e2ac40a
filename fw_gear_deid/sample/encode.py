"""Data set and transfer syntax → bytes of a DICOM file, identifiers around the data set too (PS3.10 §7.1)."""

from __future__ import annotations

from io import BytesIO

from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID

from fw_gear_deid.sample.canaries import Part, in_dataset, in_text
from fw_gear_deid.sample.headers import UID_ROOT

# Ends the data set for a reader that stops at it; what follows belongs to no element.
_STRAY_DELIMITER = b"\xfe\xff\x0d\xe0\0\0\0\0"
_IMPLEMENTATION_CLASS = f"{UID_ROOT}.0"


def encode(ds: Dataset, syntax: str, *, sender: str, preamble: str = "", after: str = "") -> Part:
    """Encode a data set as a file.

    Parameters
    ----------
    ds : Dataset
        Receives the file meta.
    syntax : str
        UID of the transfer syntax; encapsulated pixel data must be so already.
    sender : str
        SourceApplicationEntityTitle, at most 16 characters.
    preamble : str
        At most 128 characters.
    after : str
        What follows the data set.
    """
    ds.file_meta = _meta(ds, syntax, sender)
    ds.preamble = preamble.encode().ljust(128, b"\0")
    stream = BytesIO()
    ds.save_as(stream, enforce_file_format=True)
    if after:
        stream.write(_STRAY_DELIMITER + after.encode())
    planted = [("preamble", value) for value in in_text(preamble)]
    planted += [*in_dataset(ds.file_meta), *in_dataset(ds)]
    planted += [("bytes after the data set", value) for value in in_text(after)]
    return Part(stream.getvalue(), tuple(planted))


def _meta(ds: Dataset, syntax: str, sender: str) -> FileMetaDataset:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = ds.SOPClassUID
    meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
    meta.TransferSyntaxUID = UID(syntax)
    meta.ImplementationClassUID = UID(_IMPLEMENTATION_CLASS)
    meta.ImplementationVersionName = "SAMPLE"  # not pydicom's, which changes with its version
    meta.SourceApplicationEntityTitle = sender
    return meta


def nested_as_un(item: Dataset) -> bytes:
    """Return a sequence of one item as the value of a UN element: implicit VR inside (PS3.5 §6.2.2)."""
    stream = BytesIO()
    item.save_as(stream, implicit_vr=True, little_endian=True)
    data = stream.getvalue()
    return b"\xfe\xff\x00\xe0" + len(data).to_bytes(4, "little") + data
