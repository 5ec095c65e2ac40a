"""pydicom, for what neither the scanner nor Python's codecs know: odd DICOM bytes → plain ones, or a refusal.

It is imported when it is needed, since that takes longer than most files do.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from fw_gear_deid.model.errors import Odd

if TYPE_CHECKING:
    from pydicom import Dataset

_DEFLATED = b"1.2.840.10008.1.2.1.99"  # Deflated Explicit VR Little Endian, PS3.5 §A.5
_UNDEFINED = 0xFFFFFFFF


@contextmanager
def strict_pydicom() -> Iterator[Any]:
    """Lend pydicom: it logs nothing, since that quotes values, and raises where it would only warn."""
    import logging

    import pydicom

    logging.getLogger("pydicom").setLevel(logging.CRITICAL + 1)  # which its import has set anew
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield pydicom


def rewrite(src: bytes) -> bytes:
    """Read a file with pydicom and write it again.

    pydicom is lenient: it warns, or stops quietly, where bytes make no sense. Here a warning, bytes left over, or a
    value shorter than its header says is a refusal. So is a deflated data set, which pydicom inflates without limit.

    Raises
    ------
    Odd
        pydicom does not read it without a doubt either.
    """
    if _DEFLATED in src:
        raise Odd("it is not encoded as DICOM demands, and deflated")
    stream = io.BytesIO(src)
    out = io.BytesIO()
    with strict_pydicom() as pydicom:
        try:
            ds = pydicom.dcmread(stream)
            whole = stream.tell() == len(src) and not _is_cut(ds)
            ds.save_as(out, enforce_file_format=False)
        except Exception as error:  # noqa: BLE001 -- pydicom raises whatever broken bytes lead it to
            raise Odd(f"it is not encoded as DICOM demands ({type(error).__name__} in pydicom)") from None
    if not whole or not len(ds):
        raise Odd("it is not encoded as DICOM demands (pydicom stopped before its end)")
    return out.getvalue()


def _is_cut(ds: Dataset) -> bool:
    """Tell whether a value is shorter than its header says: the file ended before it.

    Not inside sequences: those of defined length are still bytes, and pydicom raises for one that lacks its delimiter.
    """
    from pydicom.dataelem import RawDataElement

    # iterating a data set would convert its values
    elements = (ds.get_item(tag, keep_deferred=True) for tag in tuple(ds.keys()))
    return any(
        isinstance(elem, RawDataElement) and elem.length not in (_UNDEFINED, len(elem.value or b""))
        for elem in elements
    )
