"""Members of an archive of any kind: read one at a time, forward, and under names that stay inside."""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Protocol

from fw_gear_deid.formats.archive import flate
from fw_gear_deid.model.errors import Malformed

HEAD = 2048  # bytes that tell what a file is
PIECE = 1 << 18  # bytes of a member that are in memory at once where it passes through
_WHOLE = 1 << 20  # members up to this size are read at once, where all of them is wanted


@dataclass(slots=True)
class Member:
    """One entry of an archive that is no folder.

    Attributes
    ----------
    position : int
        Among all entries, from 1; stands for the name in messages.
    name : str
        Path in the archive, with ``/``; bytes that are no text are surrogates in it.
    size : int
        Bytes, as the archive says.
    pull : callable
        Returns the next bytes, as many as asked for unless it ends; raises Malformed.
    compression : int
        How to pack it in a ZIP archive: as it was packed, where it came from one.
    crc : int or None
        Check sum of all bytes: as the archive says, or counted by ``pieces``.
    special : str
        What it is when it is no file and has no bytes: a link, a device.
    glanced : bool
        Its beginning alone is wanted.
    """

    position: int
    name: str
    size: int
    pull: Callable[[int], bytes]
    compression: int = zipfile.ZIP_DEFLATED
    special: str = ""
    crc: int | None = None
    glanced: bool = False
    _begun: bytes = field(default=b"", repr=False)
    _head: bytes | None = field(default=None, repr=False)

    def head(self) -> bytes:
        """Return the first bytes."""
        if self._head is None:
            self._begun = self.pull(self.size if self.size <= _WHOLE and not self.glanced else HEAD)
            self._head = self._begun[:HEAD]
        return self._head

    def take(self, size: int) -> bytes:
        """Return the next bytes, without a check of what was not read."""
        self.head()
        begun, self._begun = self._begun, b""
        self._begun = begun[size:]
        return begun[:size] + (self.pull(size - len(begun)) if size > len(begun) else b"")

    def pieces(self) -> Iterator[bytes]:
        """Yield all bytes in pieces, checked against size and check sum when no more come. To be called once.

        Raises
        ------
        Malformed
        """
        self.head()
        piece, self._begun = self._begun, b""
        size, crc, counts = 0, 0, self.crc is None
        while piece:
            size += len(piece)
            if counts:
                crc = flate.crc(piece, crc)
            yield piece
            piece = self.pull(PIECE)
        self._end(size)
        if counts:
            self.crc = crc

    def read(self) -> bytes:
        """Return all bytes, checked against size and check sum. To be called once.

        Raises
        ------
        Malformed
        """
        return b"".join(self.pieces())

    def check(self) -> None:
        """Read to the end without keeping anything.

        Raises
        ------
        Malformed
            It is damaged.
        """
        for _ in self.pieces():
            pass

    def _end(self, size: int) -> None:
        if size != self.size or self.pull(1):
            raise Malformed("a member of the archive has another size than the archive says")


class Archive(Protocol):
    """What can be asked of an archive, whatever its kind."""

    comment: bytes
    """Of the whole archive."""
    extras: str
    """What else travels with members and goes, for the audit: ``zip extra``, ``tar headers``; or empty."""
    is_document: bool
    """It is a document, a book or a program: packed, but none that somebody has put files into."""
    outside: int
    """Bytes that belong to no member and are left out."""

    def zip_name(self, name: str) -> str:
        """Return the name of a ZIP archive with its members: its own, where it is one."""
        ...

    def members(self) -> Iterator[Member]:
        """Yield the members in their order, each to be read before the next; again from the start when called again.

        Raises
        ------
        Malformed
            Members that lie about themselves: too many, absolute or upward paths, one name twice, bombs.
        Unfit
            Members of a kind that cannot be read.
        """
        ...


class Names:
    """The names of an archive so far."""

    def __init__(self) -> None:
        self._seen: set[str] = set()

    def add(self, position: int, name: str) -> None:
        """Check the name of a member.

        Raises
        ------
        Malformed
            It is empty, leads out of the archive, or stands there already.
        """
        parts = name.split("/")
        if name.startswith("/") or ".." in parts or "\0" in name or name[1:2] == ":":
            raise Malformed(f"member {position}: its path leads out of the archive")
        if parts[-1] in ("", "."):
            what = "it is a folder's name and has data behind it" if name.strip("./") else "it has no name"
            raise Malformed(f"member {position}: {what}")
        key = "/".join([part for part in parts if part not in ("", ".")]) if "" in parts or "." in parts else name
        if key in self._seen:
            raise Malformed(f"member {position}: its name stands twice in the archive")
        self._seen.add(key)
