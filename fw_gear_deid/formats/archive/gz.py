"""Packed file (gzip RFC 1952, bzip2, xz) → its content, read forward and within limits."""

from __future__ import annotations

import bz2
import lzma
import struct
from collections.abc import Iterator
from typing import Any, Protocol

from fw_gear_deid.formats.archive import flate
from fw_gear_deid.model import limits
from fw_gear_deid.model.errors import Malformed

SIGNATURES = {b"\x1f\x8b\x08": "gzip", b"BZh": "bzip2", b"\xfd7zXZ\0": "xz"}
_SUFFIXES = {
    "gzip": {".tgz": ".tar", ".taz": ".tar", ".gz": "", ".gzip": ""},
    "bzip2": {".tbz": ".tar", ".tbz2": ".tar", ".tb2": ".tar", ".bz2": "", ".bz": ""},
    "xz": {".txz": ".tar", ".xz": ""},
}
_BLOCK = 1 << 16
_PIECE = 1 << 24
_DAMAGE: tuple[type[Exception], ...] = (*flate.DAMAGE, OSError)
_PREFIX = 132  # bytes of a DICOM file up to the end of its prefix
_XZ_MEMORY = 256 << 20  # what the largest preset of xz asks for, fourfold


def packing_of(head: bytes) -> str:
    """Return what a file is packed in by its first bytes: ``gzip``, ``bzip2``, ``xz`` or nothing."""
    for signature, name in SIGNATURES.items():
        if head.startswith(signature) and (name != "bzip2" or (head[3:4].isdigit() and head[4:10] in _BZIP2)):
            return name
    return ""


_BZIP2 = (b"1AY&SY", b"\x17rE8P\x90")  # a block, or the end of an empty file


def stem(name: str, packing: str) -> str:
    """Return the name of what is packed.

    >>> stem("T1.tgz", "gzip"), stem("1.dcm.gz", "gzip"), stem("1", "gzip")
    ('T1.tar', '1.dcm', '1')
    """
    for suffix, inside in _SUFFIXES[packing].items():
        if name.lower().endswith(suffix) and len(name) > len(suffix):
            return name[: -len(suffix)] + inside
    return name


class Stream(Protocol):
    """What a packed file is read from."""

    def read(self, size: int, /) -> bytes:
        """Return some of the next bytes, as many at most; none at the end."""
        ...


class Unpacked:
    """The content of a packed file.

    Several streams one after the other are one content, as ``bgzip`` and ``pigz`` write it; zeros behind the last are
    padding, anything else is damage.

    Parameters
    ----------
    stream : file
        At its start.
    packing : str
    """

    def __init__(self, stream: Stream, packing: str) -> None:
        self._stream = stream
        self._signature = next(signature for signature, name in SIGNATURES.items() if name == packing)
        self._packing = packing
        self._unpacker = self._new()
        self._feed = b""
        self._taken = self._given = self._told = 0
        self._budget = limits.now()
        self._ended = False
        self._begun: list[int] = []
        """Where in the content a stream begins behind the first, until it is known what."""

    def _new(self) -> Any:
        if self._packing == "gzip":
            return flate.gunzipper()
        if self._packing == "bzip2":
            return bz2.BZ2Decompressor()
        return lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_XZ_MEMORY)

    def expect(self, size: int) -> None:
        """Take it for no bomb up to a size that the content itself tells: a mask of zeros packs to a thousandth."""
        self._told = min(size, self._budget.most("member"))

    def read(self, size: int) -> bytes:
        """Return the next bytes of the content, fewer only at its end.

        Raises
        ------
        Malformed
            Damaged, cut off, or followed by something else.
        Beyond
            It grows beyond any real file.
        """
        pieces: list[bytes] = []
        missing = size
        while missing > 0 and not self._ended:
            piece = self._some(missing)
            pieces.append(piece)
            missing -= len(piece)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def pieces(self, size: int) -> Iterator[bytes]:
        """Yield all of the content.

        Raises
        ------
        Malformed
            As ``read``, or it is several DICOM files.
        """
        before, several = b"", False
        while piece := self.read(size):
            yield piece
            before = before[-_PREFIX:] + piece if self._begun else piece
            at = self._given - len(before)
            known = [start for start in self._begun if start + _PREFIX <= self._given]
            several = several or any(before.startswith(b"DICM", start - at + 128) for start in known)
            self._begun = self._begun[len(known) :]
        if several:
            raise Malformed("several files are packed one after the other")

    def head(self, size: int) -> bytes:
        """Return the first bytes, as many as can be had: what is damaged farther on is for who takes it to find.

        Raises
        ------
        Malformed
            There are none.
        """
        data = b""
        while len(data) < size and not self._ended:
            try:
                data += self._some(size - len(data))
            except Malformed:
                if data:
                    return data
                raise
        return data

    def _some(self, size: int) -> bytes:
        if self._unpacker.eof:
            self._next_stream()
            return b""
        if self._unpacker.needs_input and not self._feed:
            self._feed = self._more()
            if not self._feed:
                raise Malformed("what it is packed in is cut off")
        feed, self._feed = self._feed, b""
        try:
            piece: bytes = self._unpacker.decompress(feed, min(size, _PIECE))
        except _DAMAGE:
            raise Malformed("what it is packed in is damaged") from None
        self._given += len(piece)
        self._budget.check_room(self._given - self._told, self._taken)
        self._budget.tick()
        return piece

    def _more(self) -> bytes:
        block = self._stream.read(_BLOCK)
        self._taken += len(block)
        return block

    def _next_stream(self) -> None:
        rest: bytes = self._unpacker.unused_data
        while len(rest) < len(self._signature) and (block := self._more()):
            rest += block
        if rest.startswith(self._signature):
            self._unpacker, self._feed = self._new(), rest
            if self._begun[-1:] != [self._given]:
                self._begun.append(self._given)
            return
        while rest:
            if rest.strip(b"\0"):
                raise Malformed("something follows what it is packed in")
            rest = self._more()
        self._ended = True


_HEADER = b"\x1f\x8b\x08\0\0\0\0\0\0\xff"  # no name, no comment, no time, no system


def packed(pieces: Iterator[bytes], size: int, *, small: bool) -> Iterator[bytes]:
    """Yield what pieces are as one gzip file with nothing in its header; the same however they were divided.

    Parameters
    ----------
    size : int
        Of what is packed at once.
    small : bool
        Take the time for the fewest bytes.
    """
    packer, crc, length, held = flate.deflater(small=small), 0, 0, b""
    yield _HEADER
    for piece in pieces:
        crc, length = flate.crc(piece, crc), length + len(piece)
        held += piece
        whole = len(held) - len(held) % size
        for at in range(0, whole, size):
            yield packer.compress(held[at : at + size])
        held = held[whole:]
    yield packer.compress(held) + packer.flush() + struct.pack("<LL", crc, length & 0xFFFFFFFF)
