"""Compressed frames ⇄ arrays: pydicom, and the libraries that it finds (PS3.5 §8.2, §10).

An encoder is asked for what loses nothing; who masks compares what its frame decodes to.
"""

from __future__ import annotations

import warnings
from collections.abc import Collection
from typing import TYPE_CHECKING, Any

from fw_gear_deid.formats.dicom.careful import strict_pydicom
from fw_gear_deid.formats.dicom.pixels.encapsulated import items_of
from fw_gear_deid.formats.dicom.pixels.image import Image
from fw_gear_deid.model import limits
from fw_gear_deid.model.errors import Unfit

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

RLE = "1.2.840.10008.1.2.5"
JPEG_LS, NEAR_JPEG_LS = "1.2.840.10008.1.2.4.80", "1.2.840.10008.1.2.4.81"
JPEG_2000, LOSSY_JPEG_2000 = "1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2.4.91"
LOSSLESS = {RLE: RLE, JPEG_LS: JPEG_LS, NEAR_JPEG_LS: JPEG_LS, JPEG_2000: JPEG_2000, LOSSY_JPEG_2000: JPEG_2000}
"""Transfer syntax → the one whose encoder makes frames for it that lose nothing (PS3.5 §A.4.3, §A.4.4)."""
LOSES = frozenset({"1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.51"})
"""Transfer syntaxes that always lose something."""
WHOLE = frozenset({"YBR_FULL_422", "YBR_PARTIAL_422", "YBR_PARTIAL_420", "YBR_ICT"})
"""Photometric interpretations that frames without loss cannot have."""
_SOUND = ("pydicom", "pyjpegls", "pylibjpeg", "pillow")
"""Decoders and encoders that survive damage, the better ones first. GDCM ends the process, libjpeg's JPEG-LS never."""
_EXTRAS = "fw-gear-deid[pixels] (lossless JPEG: [jpeg-lossless])"
REMEDY = f"install {_EXTRAS}, decompress it with a DICOM toolkit, or remove its pixels"


def options_of(image: Image, photometric: str | None = None) -> dict[str, Any]:
    """Return what decoders and encoders are told of one frame."""
    return {
        "rows": image.rows,
        "columns": image.columns,
        "samples_per_pixel": image.samples,
        "bits_allocated": image.allocated,
        "bits_stored": image.stored,
        "pixel_representation": int(image.signed),
        "photometric_interpretation": photometric or image.photometric,
        "number_of_frames": 1,
        "planar_configuration": 0,
        "pixel_keyword": "PixelData",
    }


def plugin_of(syntax: str, available: Collection[str]) -> str:
    """Return the decoder or encoder for a transfer syntax.

    Raises
    ------
    LookupError
        There is none that is sound.
    """
    sound = ("pyjpegls",) if syntax in (JPEG_LS, NEAR_JPEG_LS) else _SOUND
    for one in sound:
        if one in available:
            return one
    raise LookupError


def decode(frame: bytes, syntax: str, image: Image, number: int) -> tuple[Array, str]:
    """Return the pixels of a frame and their photometric interpretation.

    Parameters
    ----------
    number : int
        Of the frame, from 0, for messages.

    Returns
    -------
    ndarray, shape (rows, columns) or (rows, columns, samples)
        As it is stored: colours are not converted but for those that the frame's own transform makes.
    str

    Raises
    ------
    Unfit
        There is no decoder for it, or it is damaged.
    """
    limits.now().check_room(image.frame_bits // 8, max(len(frame), 1), f"(7FE0,0010) frame {number + 1}")
    limits.now().tick()
    with strict_pydicom() as pydicom:
        warnings.simplefilter("ignore")
        try:
            decoder = pydicom.pixels.get_decoder(syntax)
            plugin = plugin_of(syntax, decoder.available_plugins)
            found, meta = decoder.as_array(
                items_of([frame]), index=0, raw=True, decoding_plugin=plugin, **options_of(image)
            )
        except MemoryError:
            raise
        except Exception:  # noqa: BLE001 -- decoders raise whatever broken bytes lead them to
            raise Unfit(
                f"(7FE0,0010) frame {number + 1}: it cannot be decoded, so it cannot be masked; {REMEDY}"
            ) from None
    photometric = str(meta["photometric_interpretation"])
    return found, "YBR_FULL" if photometric in ("YBR_FULL_422", "YBR_PARTIAL_420") else photometric  # chroma is whole


def encode(found: Array, syntax: str, image: Image, photometric: str) -> bytes | None:
    """Return a frame that loses nothing, None where there is no encoder for it."""
    with strict_pydicom() as pydicom:
        warnings.simplefilter("ignore")
        try:
            encoder = pydicom.pixels.get_encoder(LOSSLESS[syntax])
            options = options_of(image, photometric)
            del options["pixel_keyword"]
            plugin = plugin_of(LOSSLESS[syntax], encoder.available_plugins)
            return bytes(encoder.encode(found, encoding_plugin=plugin, **options))
        except MemoryError:
            raise
        except Exception:  # noqa: BLE001 -- what is missing, or what it does not take
            return None
