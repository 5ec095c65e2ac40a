"""Data of a member as it lies in a ZIP archive → its bytes, forward, checked against size and check sum."""

from __future__ import annotations

import errno
import zipfile
from dataclasses import dataclass
from typing import IO

from fw_gear_deid.formats.archive import flate, methods
from fw_gear_deid.model.errors import Malformed

AHEAD = 1 << 16  # bytes to read at once: several headers and small members, one piece of a large one
UNKNOWN = -1  # a way of packing that nothing unpacks


@dataclass(frozen=True, slots=True)
class Packed:
    """Where the data of a member lies, and what it has to be."""

    start: int
    packed: int
    size: int
    crc: int
    method: int


class Content:
    """The bytes of a member, forward and once, checked at their end."""

    __slots__ = ("_at", "_crc", "_ended", "_is", "_left", "_stream", "_unpacker", "_unread")

    def __init__(self, stream: IO[bytes], packed: Packed) -> None:
        self._stream = stream
        self._is = packed
        self._at, self._unread, self._left = packed.start, packed.packed, packed.size
        self._crc = 0
        self._ended = False
        self._unpacker: methods.Unpacker | None = None

    def pull(self, size: int) -> bytes:
        """Return the next bytes, fewer only at the end; the last ones when all were right."""
        try:
            return self._pull(min(size, self._left))
        except OSError as error:
            if error.errno not in (None, errno.EINVAL):  # an offset before the start
                raise  # the disk's fault, not the archive's
            raise Malformed("a member of the archive is damaged") from None
        except flate.DAMAGE:
            raise Malformed("a member of the archive is damaged") from None

    def _pull(self, size: int) -> bytes:
        if self._ended:
            return b""
        data = self._read(size) if self._is.method == methods.STORED else self._unpacked(size)
        self._crc = flate.crc(data, self._crc)
        self._left -= len(data)
        if not self._left or len(data) < size:
            self._ended = True
            more = self._is.method == methods.STORED and self._unread
            if self._crc != self._is.crc or more:
                raise zipfile.BadZipFile
        return data

    def _unpacked(self, size: int) -> bytes:
        """Return the next bytes, as many as there are."""
        if self._unpacker is None:
            self._unpacker = methods.unpacker(self._is.method, self._is.size)
        # what comes after the last byte is too much; LZMA's end may not be marked, and what follows it is noise then
        missing = size + (size == self._left and self._is.method != methods.LZMA)
        pieces: list[bytes] = []
        while missing and not self._unpacker.eof:
            starved = self._unpacker.needs_input
            packed = self._read(AHEAD) if starved else b""
            piece = self._unpacker.decompress(packed, missing)
            if starved and not (packed or piece):
                break
            pieces.append(piece)
            missing -= len(piece)
        data = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        if len(data) > size:
            raise zipfile.BadZipFile
        return data

    def _read(self, size: int) -> bytes:
        """Return the next bytes as they lie in the file."""
        size = min(size, self._unread)
        if not size:
            return b""
        self._stream.seek(self._at)
        data = self._stream.read(size)
        if len(data) < size:
            raise EOFError
        self._at += size
        self._unread -= size
        return data
