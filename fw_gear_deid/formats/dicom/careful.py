"""pydicom, for what Python's codecs do not know, and as the second reader of bytes that were made plain.

It is imported when it is needed, since that takes longer than most files do.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from fw_gear_deid.model.dictionary import public_vr
from fw_gear_deid.model.errors import Odd

if TYPE_CHECKING:
    from pydicom import Dataset


_DECODERS = ("pylibjpeg", "openjpeg", "jpeg_ls")


@contextmanager
def strict_pydicom() -> Iterator[Any]:
    """Lend pydicom: it logs nothing, since that quotes values, and raises where it would only warn."""
    import logging

    for name in _DECODERS:
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)  # its import looks for them, and they tell
    import pydicom

    logging.getLogger("pydicom").setLevel(logging.CRITICAL + 1)  # which its import has set anew
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield pydicom


def read_back(data: bytes, tags: tuple[int, ...]) -> None:
    """Make sure that pydicom reads a file as it was made plain: the same elements, and each sequence.

    Raises
    ------
    Odd
    """
    with strict_pydicom() as pydicom:
        warnings.simplefilter("ignore")  # of values
        try:
            ds = pydicom.dcmread(io.BytesIO(data), force=True)
            _read_sequences(ds)
        except MemoryError:
            raise
        except Exception:  # noqa: BLE001 -- pydicom raises whatever broken bytes lead it to
            raise Odd(_OTHERWISE) from None
    if sorted(ds.keys()) != sorted(tags):
        raise Odd(_OTHERWISE)


def reads(data: bytes) -> None:
    """Make sure that pydicom reads a file, and each sequence in it, up to the pixels.

    Raises
    ------
    Odd
    """
    with strict_pydicom() as pydicom:
        warnings.simplefilter("ignore")  # of values
        try:
            _read_sequences(pydicom.dcmread(io.BytesIO(data), force=True, stop_before_pixels=True))
        except MemoryError:
            raise
        except Exception:  # noqa: BLE001 -- as above
            raise Odd("the result cannot be read by pydicom") from None


_OTHERWISE = "it can be made plain, but another reader reads something else in it"


def _read_sequences(ds: Dataset) -> None:
    for tag in tuple(ds.keys()):
        vr = ds.get_item(tag, keep_deferred=True).VR or public_vr(int(tag))  # of implicit VR it tells none
        if vr == "SQ":
            for item in ds[tag].value:
                _read_sequences(item)
