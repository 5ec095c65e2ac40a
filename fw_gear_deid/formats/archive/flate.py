"""Deflate and gzip: isal where it is installed, a twelfth of zlib's time, else zlib. What damaged data raises.

Measured in pieces of 256 kB, as parts of the bytes and the time of zlib at level 6. 43 MB of real DICOM files: isal 1
1.05 and 0.05, isal 2 1.04 and 0.06, isal 3 1.04 and 0.08, zlib 1 1.03 and 0.3. Data that repeats every 8 kB: isal 1 18
times the bytes, isal 2 14 times, isal 3 1.00, zlib 1 1.15.
"""

from __future__ import annotations

import lzma
import zipfile
import zlib
from typing import Any, cast

try:
    from isal import igzip_lib, isal_zlib
except ImportError:
    HAS_ISAL = False
else:
    HAS_ISAL = True

_SMALL = 6  # zlib's own level
_PACKED = 1  # of what stays with us: text that repeats
_ZLIB = 1  # a third of the time of 6 for a twentieth more bytes
_ISAL = 3  # 1 and 2 lose sight of what lies a few kilobytes back
_ISAL_MEMORY = 5  # zlib's memLevel; the default of 8 is 3 % faster for up to 2 % more bytes
DAMAGE: tuple[type[Exception], ...] = (
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    ValueError,
    # isal types its error as an instance; it is the class IsalError
    *([cast(type[Exception], isal_zlib.error)] if HAS_ISAL else []),
)
"""What damaged data raises; ``OSError`` without a number is bzip2's."""


def inflater() -> Any:
    """Return a decompressor of raw deflate, with the methods of ``bz2.BZ2Decompressor``."""
    return igzip_lib.IgzipDecompressor(flag=igzip_lib.DECOMP_DEFLATE) if HAS_ISAL else _Inflater(-15)


def packer() -> Any:
    """Return a compressor to what ``zlib.decompress`` reads."""
    return isal_zlib.compressobj(_PACKED) if HAS_ISAL else zlib.compressobj(_PACKED)


def gunzipper() -> Any:
    """Return a decompressor of one gzip member, with the methods of ``bz2.BZ2Decompressor``; it compares the CRC."""
    return igzip_lib.IgzipDecompressor(flag=igzip_lib.DECOMP_GZIP) if HAS_ISAL else _Inflater(31)


def deflater(*, small: bool) -> Any:
    """Return a compressor to raw deflate, with the methods of ``zlib``'s.

    Parameters
    ----------
    small : bool
        Take the time for the fewest bytes.
    """
    if HAS_ISAL and not small:
        return isal_zlib.compressobj(_ISAL, zlib.DEFLATED, -15, _ISAL_MEMORY)
    return zlib.compressobj(_SMALL if small else _ZLIB, zlib.DEFLATED, -15)


def crc(data: bytes | memoryview, before: int = 0) -> int:
    """Return the CRC-32 of data, or of what came before and data."""
    return isal_zlib.crc32(data, before) if HAS_ISAL else zlib.crc32(data, before)


class _Inflater:
    """zlib's decompressor with the methods of ``bz2.BZ2Decompressor``: it keeps what it was given."""

    def __init__(self, wbits: int) -> None:
        self._inflater = zlib.decompressobj(wbits)

    @property
    def eof(self) -> bool:
        return self._inflater.eof

    @property
    def needs_input(self) -> bool:
        return not self._inflater.eof and not self._inflater.unconsumed_tail

    @property
    def unused_data(self) -> bytes:
        return self._inflater.unused_data

    def decompress(self, data: bytes, size: int) -> bytes:
        kept = self._inflater.unconsumed_tail
        return self._inflater.decompress(kept + data if kept else data, size)
