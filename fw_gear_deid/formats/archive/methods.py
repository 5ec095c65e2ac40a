"""How members of a ZIP archive are packed (APPNOTE 4.4.5): bytes ⇄ packed bytes, in pieces."""

from __future__ import annotations

import bz2
import lzma
import zipfile
from typing import Any, Protocol

from fw_gear_deid.formats.archive import flate
from fw_gear_deid.model.errors import Malformed

STORED, DEFLATED, BZIP2, LZMA = zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA


class Unpacker(Protocol):
    """What unpacks, with the methods of ``bz2.BZ2Decompressor``."""

    @property
    def eof(self) -> bool:
        """Tell whether its end was met."""
        ...

    @property
    def needs_input(self) -> bool:
        """Tell whether nothing more comes of what it was given."""
        ...

    def decompress(self, data: bytes, size: int, /) -> bytes:
        """Take packed bytes, none of them after its end, and return some of what they hold."""
        ...


def unpacker(method: int, size: int) -> Unpacker:
    """Return what unpacks a member that is not stored.

    Parameters
    ----------
    size : int
        Bytes of the member.

    Raises
    ------
    Malformed
        Nothing here does.
    """
    if method == DEFLATED:
        unpacks: Unpacker = flate.inflater()
        return unpacks
    if method == BZIP2:
        return bz2.BZ2Decompressor()
    if method == LZMA:
        return _LzmaUnpacker(size)
    raise Malformed("a member of the archive is packed in a way that is not supported")


def packer(method: int, *, small: bool) -> Any:
    """Return what packs a member that is not stored, with ``compress`` and ``flush``."""
    if method == BZIP2:
        return bz2.BZ2Compressor()
    return _LzmaPacker() if method == LZMA else flate.deflater(small=small)


_LC, _LP, _PB, _WINDOW = 3, 0, 2, 8 << 20  # of the encoder's default preset
_VERSION, _PROPERTIES = b"\x09\x04", b"\5\0"


class _LzmaPacker:
    """LZMA as ZIP has it: version, size of the properties, properties, data (APPNOTE 5.8.8)."""

    def __init__(self) -> None:
        filters = [{"id": lzma.FILTER_LZMA1, "lc": _LC, "lp": _LP, "pb": _PB, "dict_size": _WINDOW}]
        self._packer = lzma.LZMACompressor(lzma.FORMAT_RAW, filters=filters)
        self._head = _VERSION + _PROPERTIES + bytes([(_PB * 5 + _LP) * 9 + _LC]) + _WINDOW.to_bytes(4, "little")

    def compress(self, data: bytes | memoryview) -> bytes:
        head, self._head = self._head, b""
        return head + self._packer.compress(data)

    def flush(self) -> bytes:
        return self._packer.flush()


class _LzmaUnpacker:
    """The way back."""

    needs_input = True

    def __init__(self, size: int) -> None:
        self._size = size
        self._begun = b""
        self._unpacker: lzma.LZMADecompressor | None = None

    @property
    def eof(self) -> bool:
        return self._unpacker is not None and self._unpacker.eof

    def decompress(self, data: bytes, size: int, /) -> bytes:
        if self._unpacker is None:
            data = self._begun = self._begun + data
            if len(data) < 9:
                return b""
            self._unpacker, data = self._begin(data)
        out = self._unpacker.decompress(data, size)
        self.needs_input = self._unpacker.needs_input
        return out

    def _begin(self, data: bytes) -> tuple[lzma.LZMADecompressor, bytes]:
        """Read the properties: five bytes, of which the first has three numbers."""
        if data[2:4] != _PROPERTIES:
            raise lzma.LZMAError
        rest, lc = divmod(data[4], 9)
        pb, lp = divmod(rest, 5)
        window = min(int.from_bytes(data[5:9], "little"), self._size)  # more than all of it is of no use
        filters = [{"id": lzma.FILTER_LZMA1, "lc": lc, "lp": lp, "pb": pb, "dict_size": max(window, 4096)}]
        return lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=filters), data[9:]
