"""A file of which only the beginning is worked on → that beginning, and the rest as it passes through; gzip or not."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import chain

from fw_gear_deid.deid.incoming import Incoming
from fw_gear_deid.formats import archive
from fw_gear_deid.formats.row import ALL
from fw_gear_deid.model.errors import Malformed, Unfit


class Passing:
    """A file in passing.

    Parameters
    ----------
    source : Incoming
    reach : callable
        As ``Codec.reach``.
    most : int
        Bytes of the longest beginning that is read.

    Attributes
    ----------
    beginning : bytes
        Unpacked.
    is_packed : bool
        By gzip.
    dropped : int
        Bytes that followed what passes through, as far as it was read.

    Raises
    ------
    Unfit
        It has not the beginning that it should have.
    """

    def __init__(self, source: Incoming, reach: Callable[[bytes], tuple[int, int]], most: int) -> None:
        self._pieces: Iterator[bytes] = chain((source.data,), source.rest())
        self._held = b""
        self.dropped = 0
        self.is_packed = archive.packing_of(source.data) == "gzip"
        unpacked = archive.Unpacked(_Stream(self._pieces), "gzip") if self.is_packed else None
        if unpacked is not None:
            self._pieces = unpacked.pieces(archive.PIECE)
        self._read(archive.HEAD)
        size, self._behind = reach(self._held)
        if unpacked is not None:
            unpacked.expect(size + self._behind)
        self._read(most + 1 if size == ALL else min(size, most + 1))
        size = len(self._held) if size == ALL else size
        if size > most:
            raise Unfit("what stands in front of its volume is larger than any real header and extensions")
        if len(self._held) < size:
            raise Malformed("it is cut off in front of its volume")
        self.beginning, self._held = self._held[:size], self._held[size:]

    def rest(self) -> Iterator[bytes]:
        """Yield what follows the beginning and passes through.

        Raises
        ------
        Unfit
            There is less than should be, or the file is damaged.
        """
        left = self._behind
        for piece in chain((self._held,), self._pieces):
            part = piece[:left]
            left -= len(part)
            self.dropped += len(piece) - len(part)
            if part:
                yield part
        if left:
            raise Malformed("its volume is shorter than its header says")

    def _read(self, size: int) -> None:
        """Have so many bytes at hand, or all."""
        held, count = [self._held], len(self._held)
        while count < size and (piece := next(self._pieces, b"")):
            held.append(piece)
            count += len(piece)
        self._held = b"".join(held)


class _Stream:
    """Pieces, to be read as a file is."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._held = b""
        self._at = 0

    def read(self, size: int, /) -> bytes:
        """Return some of the next bytes, as many as asked for at most; none at the end."""
        while self._at == len(self._held):
            piece = next(self._pieces, None)
            if piece is None:
                return b""
            self._held, self._at = piece, 0
        some = self._held[self._at : self._at + size]
        self._at += len(some)
        return some
