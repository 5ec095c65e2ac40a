"""Deflate and gzip by isal: a twentieth of zlib's time; the errors that unpacking damaged data raises."""

from __future__ import annotations

import lzma
import zipfile
import zlib
from typing import Any, cast

from isal import igzip_lib, isal_zlib

_LEVEL = 1  # isal's level 1: a twentieth of the time of zlib 6 for a tenth more bytes
# isal types its error as an instance; it is the class IsalError
DAMAGE = (
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    ValueError,
    cast(type[Exception], isal_zlib.error),
)
"""What damaged data raises; ``OSError`` without a number is bzip2's."""


def inflater() -> Any:
    """Return a decompressor of raw deflate, with the methods of ``zlib``'s."""
    return isal_zlib.decompressobj(-15)


def deflater() -> Any:
    """Return a compressor to raw deflate, with the methods of ``zlib``'s."""
    return isal_zlib.compressobj(_LEVEL, zlib.DEFLATED, -15)


def packer() -> Any:
    """Return a compressor to what ``zlib.decompress`` reads."""
    return isal_zlib.compressobj(_LEVEL)


def crc(data: bytes) -> int:
    """Return the CRC-32 of data."""
    return isal_zlib.crc32(data)


def gunzipper() -> Any:
    """Return a decompressor of one gzip member, with the methods of ``bz2.BZ2Decompressor``; it compares the CRC."""
    return igzip_lib.IgzipDecompressor(flag=igzip_lib.DECOMP_GZIP)
