"""Pixels of a source and of its masked copy → nothing, or what is wrong: a rectangle shows, or more than it changed.

A reader of its own: it paints the rectangles, one after the other, and compares all pixels; compressed frames are
decoded by pydicom out of both files.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from fw_gear_deid.model.boxes import Box
from fw_gear_deid.model.errors import Unfit
from fw_gear_deid.verify import fails

if TYPE_CHECKING:
    import numpy as np

_WRONG = "(7FE0,0010): pixels are not masked as the profile says"
Boxes = Callable[[int], Sequence[Box]]
"""Number of a frame, from 0 → its rectangles, in order."""


class Shape(NamedTuple):
    """An image, as its header tells it."""

    rows: int
    columns: int
    samples: int
    planar: bool
    allocated: int
    stored: int
    photometric: str
    little: bool
    swapped: bool
    planes: int


def _blank(shape: Shape) -> list[int]:
    """Return what a masked pixel holds: zero, and no colour."""
    if shape.samples != 3 or shape.photometric[:3] != "YBR":
        return [0] * shape.samples
    return [2 ** max(shape.stored - 4, 4) if "PARTIAL" in shape.photometric else 0, *[2 ** (shape.stored - 1)] * 2]


class Passing:
    """Uncompressed pixels as they pass.

    Parameters
    ----------
    shape : Shape
    boxes : callable
    """

    def __init__(self, shape: Shape, boxes: Boxes) -> None:
        import numpy as np

        self._np = np
        self._shape = shape
        self._boxes = boxes
        cell = max(shape.allocated // 8, 1)
        order = "little" if shape.little else "big"
        blank = [value.to_bytes(cell, order) for value in _blank(shape)]  # type: ignore[arg-type]
        self._halved = shape.photometric in ("YBR_FULL_422", "YBR_PARTIAL_422")
        self._columns = shape.columns // 2 if self._halved else shape.columns
        self._planes = shape.samples if shape.planar else 1
        if self._halved:
            blank = [b"".join((blank[0], blank[0], *blank[1:]))]
        elif not shape.planar:
            blank = [b"".join(blank)]
        self._blank = [np.frombuffer(one, np.uint8) for one in blank]
        left = (~shape.planes & (1 << 8 * cell) - 1).to_bytes(cell, order)  # type: ignore[arg-type]
        self._left = np.frombuffer(left * (len(blank[0]) // cell), np.uint8)
        self._held = b"", b""
        self._at = 0

    def see(self, was: bytes, now: bytes) -> None:
        """Compare the next bytes of both.

        Raises
        ------
        Unfit
        """
        np, shape = self._np, self._shape
        if len(was) != len(now):
            raise fails(_WRONG)
        was, now = self._held[0] + was, self._held[1] + now
        unit = 2 if shape.swapped else len(self._blank[0])
        whole = len(was) // unit * unit
        self._held = was[whole:], now[whole:]
        before, after = (np.frombuffer(one[:whole], np.uint8) for one in (was, now))
        if shape.swapped:
            before, after = (one.reshape(-1, 2)[:, ::-1].ravel() for one in (before, after))
        if shape.allocated == 1:
            before, after = (np.unpackbits(one, bitorder="little") for one in (before, after))
        self._compare(*(one.reshape(-1, len(self._blank[0])) for one in (before, after)))

    def _compare(self, before: np.ndarray, after: np.ndarray) -> None:
        """Compare pixels (rows) byte by byte (columns), plane by plane."""
        np, size = self._np, self._shape.rows * self._columns
        done = 0
        while done < len(before):
            plane, first = divmod(self._at, size)
            count = min(size - first, len(before) - done)
            blank = self._blank[plane % self._planes]
            mask = self._painted(plane // self._planes, first, count)
            wanted = np.where(mask[:, None], blank, before[done : done + count] & self._left)
            if not np.array_equal(wanted, after[done : done + count]):
                raise fails(_WRONG)
            done += count
            self._at += count

    def _painted(self, frame: int, first: int, count: int) -> np.ndarray:
        """Return which of some pixels of a frame are masked."""
        columns = self._columns
        top, bottom = first // columns, -(-(first + count) // columns)
        mask = self._np.zeros((bottom - top, columns), bool)
        for blank, x0, y0, x1, y1 in self._boxes(frame):
            if self._halved and blank:
                x0, x1 = x0 // 2, (x1 + 1) // 2
            elif self._halved:  # a pair stays where both of it do
                x0, x1 = (x0 + 1) // 2, x1 // 2
            mask[max(y0 - top, 0) : max(y1 - top, 0), x0:x1] = blank
        return mask.ravel()[first - top * columns :][:count]

    def end(self) -> None:
        """Look at what is left behind the last pixel: padding.

        Raises
        ------
        Unfit
        """
        if self._held[0] != self._held[1] and self._held[1].strip(b"\0"):
            raise fails(_WRONG)


def check(was: bytes, now: bytes, boxes: Boxes) -> int:
    """Compare the compressed frames of a file with its masked copy's.

    Returns
    -------
    int
        Frames of which no byte changed.

    Raises
    ------
    Unfit
    """
    import logging

    import pydicom

    logging.getLogger("pydicom").setLevel(logging.CRITICAL + 1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            before, after = (pydicom.dcmread(io.BytesIO(one), force=True) for one in (was, now))
            return _check(before, after, boxes)
        except (MemoryError, Unfit):
            raise
        except Exception:  # noqa: BLE001 -- pydicom raises whatever broken bytes lead it to
            raise fails("(7FE0,0010): masked frames cannot be read back") from None


def _decoder(syntax: Any) -> str:
    """Return the decoder of a transfer syntax, none where it is not encapsulated; of those that survive damage."""
    from pydicom.pixels import get_decoder  # type: ignore[attr-defined]

    there = get_decoder(syntax).available_plugins
    sound = (one for one in ("pydicom", "pyjpegls", "pylibjpeg", "pillow") if one in there)
    return next(sound) if syntax.is_encapsulated else ""


def _check(was: Any, now: Any, boxes: Boxes) -> int:
    import numpy as np
    from pydicom.encaps import generate_frames
    from pydicom.pixels import get_decoder  # type: ignore[attr-defined]

    syntaxes = [one.file_meta.TransferSyntaxUID for one in (was, now)]
    count = int(was.get("NumberOfFrames") or 1)
    if int(now.get("NumberOfFrames") or 1) != count:
        raise fails(_WRONG)
    same: list[int] = []
    if syntaxes[0] == syntaxes[1]:
        pairs = zip(*(generate_frames(one.PixelData, number_of_frames=count) for one in (was, now)), strict=True)
        same = [number for number, (before, after) in enumerate(pairs) if before == after]
    if any(boxes(number) for number in same):
        same = [number for number in same if not boxes(number)]  # a frame that was blank already is looked at, too
    others = sorted(set(range(count)) - set(same))
    if not others:
        return len(same)
    read = [
        get_decoder(syntax).iter_array(one, indices=others, raw=True, decoding_plugin=_decoder(syntax))
        for syntax, one in zip(syntaxes, (was, now), strict=True)
    ]
    for number, (before, meta), (after, other) in zip(others, *read, strict=True):
        photometric = str(other["photometric_interpretation"])
        samples = 1 if before.ndim == 2 else before.shape[2]
        rows, columns = before.shape[:2]
        shape = Shape(rows, columns, samples, False, 8, int(meta["bits_stored"]), photometric, True, False, 0)
        mask = np.zeros((rows, columns), bool)
        for blank, x0, y0, x1, y1 in boxes(number):
            mask[y0:y1, x0:x1] = blank
        wanted = before.copy()
        wanted[mask] = _blank(shape) if samples > 1 else 0
        if wanted.dtype != after.dtype or not np.array_equal(wanted, after):
            raise fails(_WRONG)
    return len(same)
