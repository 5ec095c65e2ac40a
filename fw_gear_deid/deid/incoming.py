"""Pieces of one file as they come → its beginning at hand, and the rest to be passed on."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from typing import TypeVar

from fw_gear_deid.formats.dicom.wire import Cut
from fw_gear_deid.model import limits
from fw_gear_deid.model.errors import Unfit

_LARGE = 8 << 20  # bytes; a file up to this size is its beginning
_FIRST = 1 << 20  # bytes of a large one, four times as many each time that they are too few
_MOST = 64 << 20
Made = TypeVar("Made")


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

    __slots__ = ("_damage", "_pieces", "_size", "data", "total")

    def __init__(self, pieces: Iterator[bytes], total: int) -> None:
        self._pieces = self._counted(pieces)
        self._size = 0
        self._damage: Unfit | None = None
        self.data = b""
        self.total = total
        self._read(_FIRST if total > _LARGE else total)

    def enough(self, work: Callable[[], Made]) -> Made:
        """Return what work makes of ``data`` and ``total``; more is read as long as it asks for more.

        Raises
        ------
        Cut
            It asks for more than there is.
        """
        while True:
            try:
                return work()
            except Cut:
                if len(self.data) == self.total:
                    raise
            size = 4 * len(self.data)
            self._read(size if size <= _MOST else self.total)

    def sound(self, work: Callable[[], Made]) -> Made:
        """Return what work makes of the beginning, when all of it is sound; that it is damaged says more.

        Raises
        ------
        Unfit
            As ``work``, and ``rest``.
        """
        try:
            made = self.enough(work)
        except Unfit:
            self.drain()
            raise
        self.drain()
        return made

    def rest(self) -> Iterator[bytes]:
        """Yield what comes behind the beginning.

        Raises
        ------
        Unfit
            The file is damaged, or has not the length that it had.
        """
        yield from self._pieces
        if self._damage is not None:
            raise self._damage
        if self._size != self.total:
            raise Unfit("it changed while it was read")

    def all(self) -> bytes:
        """Return all of it.

        Raises
        ------
        Unfit
            As ``rest``.
        """
        held = _holding(self.data)
        for piece in self.rest():
            held.write(piece)
        return held.getvalue()

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
        held = _holding(self.data)
        while size >= self.total or self._size < size:
            piece = next(self._pieces, None)
            if piece is None:
                self.total = self._size
                break
            held.write(piece)
        self.data = held.getvalue()

    def _counted(self, pieces: Iterator[bytes]) -> Iterator[bytes]:
        budget = limits.now()
        try:
            for piece in pieces:
                budget.tick()
                self._size += len(piece)
                yield piece
        except Unfit as damage:
            self._damage = damage  # who asks again is told the same
            raise


def _holding(data: bytes) -> io.BytesIO:
    """Return what takes more bytes behind these: a list of pieces that is joined takes them twice."""
    held = io.BytesIO(data)
    held.seek(0, io.SEEK_END)
    return held
