"""Odd DICOM bytes → plain ones by pydicom, or a refusal: the way in for encodings the scanner does not know."""

from __future__ import annotations

import io
import warnings

import pydicom

from fw_gear_deid.model.errors import Odd


def rewrite(src: bytes) -> bytes:
    """Read a file with pydicom and write it again.

    pydicom is lenient: it warns, or stops quietly, where bytes make no sense. Here a warning, or bytes left over,
    is a refusal.

    Raises
    ------
    Odd
        pydicom does not read it without a doubt either.
    """
    stream = io.BytesIO(src)
    out = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            ds = pydicom.dcmread(stream)
            left = len(src) - stream.tell()
            ds.save_as(out, enforce_file_format=False)
        except Exception as error:  # noqa: BLE001 -- pydicom raises whatever broken bytes lead it to
            raise Odd(f"it is not encoded as DICOM demands ({type(error).__name__} in pydicom)") from None
    if left or not len(ds):
        raise Odd("it is not encoded as DICOM demands (pydicom stopped before its end)")
    return out.getvalue()
