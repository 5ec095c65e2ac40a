"""Pieces of one file as they come → its beginning at hand, and the rest to be passed on."""

from __future__ import annotations

from collections.abc import Iterator

from fw_gear_deid.formats.archive import flate
from fw_gear_deid.model.errors import Unfit

_LARGE = 8 << 20  # bytes; a file up to this size is its beginning
_FIRST = 1 << 20  # bytes of a large one, four times as many each time that they are too few
_MOST = 64 << 20


class Incoming:
    """One file that is read forward. A small one is a beginning with nothing behind it.

    Parameters
    ----------
    pieces : iterator of bytes
        All of it; an error at their end says that they are not what they should be.
    total : int
        How many bytes will come.

    Attributes
    ----------
    data : bytes
        The beginning.
    total : int
    """

    __slots__ = ("_crc", "_pieces", "_size", "data", "total")

    def __init__(self, pieces: Iterator[bytes], total: int) -> None:
        self._pieces = self._counted(pieces)
        self._size = self._crc = 0
        self.data = b""
        self.total = total
        self._read(_FIRST if total > _LARGE else total)

    @property
    def mark(self) -> tuple[int, int]:
        """Length and CRC of what has come."""
        return self._size, self._crc

    def grow(self) -> bool:
        """Have more at hand; False when there is no more."""
        if len(self.data) == self.total:
            return False
        size = 4 * len(self.data)
        self._read(size if size <= _MOST else self.total)
        return True

    def rest(self) -> Iterator[bytes]:
        """Yield what comes behind the beginning.

        Raises
        ------
        Unfit
            The file is damaged, or has not the length that it had.
        """
        yield from self._pieces
        if self._size != self.total:
            raise Unfit("it changed while it was read")

    def drain(self) -> None:
        """Make sure that all of it is sound; nobody wants it.

        Raises
        ------
        Unfit
            As ``rest``.
        """
        for _ in self.rest():
            pass

    def _read(self, size: int) -> None:
        """Have so many bytes at hand, or somewhat more."""
        held = [self.data] if self.data else []
        while size >= self.total or self._size < size:
            piece = next(self._pieces, None)
            if piece is None:
                self.total = self._size
                break
            held.append(piece)
        self.data = b"".join(held)

    def _counted(self, pieces: Iterator[bytes]) -> Iterator[bytes]:
        for piece in pieces:
            self._size += len(piece)
            self._crc = flate.crc(piece, self._crc)
            yield piece
