"""Data behind a header of MetaImage or NRRD: as many bytes as the header says, so that nothing hides behind them."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from math import prod

from fw_gear_deid.formats.keyvalue.kinds import META_IMAGE_END
from fw_gear_deid.model.errors import Malformed

_SIZES = {
    1: "char uchar ascii_char signed_char int8 int8_t unsigned_char uint8 uint8_t",
    2: "short ushort short_int signed_short signed_short_int int16 int16_t unsigned_short unsigned_short_int uint16 "
    "uint16_t",
    4: "int uint signed_int int32 int32_t unsigned_int uint32 uint32_t float",
    8: "long_long ulong_long longlong long_long_int signed_long_long signed_long_long_int int64 int64_t ulonglong "
    "unsigned_long_long unsigned_long_long_int uint64 uint64_t double",
}
_BYTES = {name: size for size, names in _SIZES.items() for name in names.split()}  # long has 4 or 8: nothing is said
_ZLIB, _GZIP = 15, 31
_PIECE = 1 << 20
_TRUE = ("true", "1")
_SKIPS = {"byte skip", "byteskip", "line skip", "lineskip", "data file", "datafile"}


def check(values: Mapping[str, str], data: memoryview) -> None:
    """Make sure that data are no longer and no shorter than a header says, as far as it says so.

    Parameters
    ----------
    values : mapping of str to str
        The header's.
    data : memoryview
        What follows it.

    Raises
    ------
    Malformed
    """
    size, wbits = _meta_image(values) if META_IMAGE_END in values else _nrrd(values)
    written = values.get("CompressedDataSize", "")
    if wbits and _is_number(written):
        size, wbits = int(written), 0
    if size and not (_unpacks_to(size, data, wbits) if wbits else size == len(data)):
        raise Malformed("the data behind the header are not as long as it says")


def _meta_image(values: Mapping[str, str]) -> tuple[int, int]:
    """Return how many bytes the pixels have, 0 where nothing says so, and how they are packed, 0: not."""
    if values.get("BinaryData", "True").casefold() not in _TRUE:
        return 0, 0
    channels = values.get("ElementNumberOfChannels", "1")
    size = _size(values.get("DimSize", ""), values.get("ElementType", "").removeprefix("MET_"), channels)
    return size, _ZLIB if values.get("CompressedData", "").casefold() in _TRUE else 0


def _nrrd(values: Mapping[str, str]) -> tuple[int, int]:
    """Return the same of an NRRD."""
    encoding = values.get("encoding", "").casefold()
    if encoding not in ("raw", "gz", "gzip") or _SKIPS & values.keys():
        return 0, 0
    return _size(values.get("sizes", ""), values.get("type", ""), "1"), 0 if encoding == "raw" else _GZIP


def _size(sizes: str, kind: str, channels: str) -> int:
    """Return how many bytes a volume has; 0 where that is not known."""
    numbers = [*sizes.split(), channels]
    if not sizes.strip() or not all(_is_number(one) for one in numbers):
        return 0
    return prod(int(one) for one in numbers) * _BYTES.get(kind.strip().casefold().replace(" ", "_"), 0)


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) < 16


def _unpacks_to(size: int, data: memoryview, wbits: int) -> bool:
    """Tell whether packed data end where the file does, and have so many bytes; they are not kept."""
    stream, at, found = zlib.decompressobj(wbits), 0, 0
    try:
        while not stream.eof and found <= size and (stream.unconsumed_tail or at < len(data)):
            piece = stream.unconsumed_tail
            if not piece:
                piece, at = bytes(data[at : at + _PIECE]), at + _PIECE
            found += len(stream.decompress(piece, _PIECE))
    except zlib.error:
        return False
    return stream.eof and found == size and not stream.unused_data and at >= len(data)
