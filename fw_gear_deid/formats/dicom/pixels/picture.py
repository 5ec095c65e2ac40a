"""A frame of a DICOM file → a picture for a person's eyes."""

from __future__ import annotations

import io
import warnings

from fw_gear_deid.formats.dicom.careful import strict_pydicom
from fw_gear_deid.formats.dicom.pixels.codec import plugin_of
from fw_gear_deid.model.errors import Unfit


def png(data: bytes, number: int) -> bytes:
    """Return a frame as PNG: colours as they are, shades of grey spread over what the frame has.

    Parameters
    ----------
    data : bytes
        The file.
    number : int
        Of the frame, from 0.

    Raises
    ------
    Unfit
        It cannot be shown.
    """
    with strict_pydicom() as pydicom:
        warnings.simplefilter("ignore")
        import numpy as np
        from PIL import Image

        try:
            ds = pydicom.dcmread(io.BytesIO(data), force=True)
            syntax = ds.file_meta.TransferSyntaxUID
            available = pydicom.pixels.get_decoder(syntax).available_plugins
            plugin = plugin_of(syntax, available) if syntax.is_encapsulated else ""
            found = pydicom.pixels.pixel_array(ds, index=number, decoding_plugin=plugin)
            if ds.PhotometricInterpretation == "PALETTE COLOR":
                found = pydicom.pixels.apply_color_lut(found, ds)
            low, high = (0, 255) if found.dtype == np.uint8 else (float(found.min()), float(found.max()))
            shown = ((found - low) * (255 / max(high - low, 1))).astype(np.uint8)
            if ds.PhotometricInterpretation == "MONOCHROME1":
                shown = 255 - shown
            out = io.BytesIO()
            Image.fromarray(shown).save(out, "PNG")
        except MemoryError:
            raise
        except Exception:  # noqa: BLE001 -- decoders raise whatever broken bytes lead them to
            raise Unfit(f"(7FE0,0010) frame {number + 1}: it cannot be shown") from None
    return out.getvalue()
