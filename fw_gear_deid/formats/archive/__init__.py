"""Archives and packed files behind one door: what a file is, its members, its content (ZIP, tar, gzip, bzip2, xz)."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from fw_gear_deid.formats.archive.content import AHEAD
from fw_gear_deid.formats.archive.gz import Unpacked, packed, packing_of, stem
from fw_gear_deid.formats.archive.members import HEAD, PIECE, Archive, Member
from fw_gear_deid.formats.archive.tars import Reader, TarArchive, is_tar
from fw_gear_deid.formats.archive.zips import open_zip
from fw_gear_deid.model import limits
from fw_gear_deid.model.errors import Malformed

_ZIP = (b"PK\x03\x04", b"PK\x05\x06", b"PK\x07\x08", b"PK00PK\x03\x04")
_UNREAD = {
    b"7z\xbc\xaf\x27\x1c": "7z",
    b"Rar!\x1a\x07": "RAR",
    b"\x28\xb5\x2f\xfd": "Zstandard",
    b"\x04\x22\x4d\x18": "LZ4",
    b"LZIP\x01": "lzip",
    b"\x1f\x9d\x90": "compress",
}
_NAMES = (".zip", ".tar", ".tgz", ".tbz", ".tbz2", ".txz", ".7z", ".rar")
_HELD = 8 << 20  # bytes of a packed file that are kept while the others are counted
_DISC = (0x8001, b"CD001")  # ISO 9660: the first volume descriptor


@dataclass(frozen=True, slots=True)
class Look:
    """What a file is by its first bytes.

    Attributes
    ----------
    packing : str
        ``gzip``, ``bzip2``, ``xz``, or empty.
    kind : str
        Of the content: ``zip``, ``tar``, ``packed`` (once more), or empty for no archive.
    unread : str
        Name of a kind of archive that is not read, or empty.
    head : bytes
        First bytes of the content.
    """

    packing: str
    kind: str
    unread: str
    head: bytes


def look(source: Path | bytes) -> Look:
    """Return what a file is.

    Raises
    ------
    Malformed
        It is packed, and damaged at its start.
    """
    with _opened(source) as stream:
        head = stream.read(HEAD)
        packing = packing_of(head)
        if packing:
            stream.seek(0)
            head = Unpacked(stream, packing).head(HEAD)
        kind = kind_of(head)
        unread = unread_kind(head)
        if not kind and not packing and not unread:
            stream.seek(_DISC[0])
            unread = "disc image" if stream.read(len(_DISC[1])) == _DISC[1] else ""
    return Look(packing, kind, unread, head)


def kind_of(head: bytes) -> str:
    """Return ``zip``, ``tar``, ``packed``, or nothing, by the first bytes of a file."""
    if head.startswith(_ZIP):
        return "zip"
    if packing_of(head):
        return "packed"
    return "tar" if is_tar(head) else ""


def unread_kind(head: bytes) -> str:
    """Return the name of a kind of archive that is not read, by the first bytes of a file; else nothing."""
    return next((name for signature, name in _UNREAD.items() if head.startswith(signature)), "")


def called_archive(name: str) -> bool:
    """Tell whether a file has the name of an archive, whatever it is."""
    lower = name.lower()
    return lower.endswith(_NAMES) or ".tar." in lower


@contextmanager
def open_archive(source: Path | bytes) -> Iterator[Archive]:
    """Open an archive.

    Raises
    ------
    Malformed
        It is none of a kind that is read, or a damaged one.
    """
    seen = look(source)
    if seen.kind == "tar":
        size = len(source) if isinstance(source, bytes) else source.stat().st_size
        yield TarArchive(lambda: _content(source, seen.packing), limits.now().room(size) if seen.packing else size)
        return
    if seen.packing:
        raise Malformed("the archive is damaged or no archive")
    with _opened(source, AHEAD) as stream, open_zip(stream) as archive:
        yield archive


def content(source: Path | bytes, packing: str) -> bytes:
    """Return the content of a packed file, to be held in memory.

    Raises
    ------
    Malformed
        As ``unpacked``.
    Beyond
        It is larger than the limit ``inside``.
    """
    held, budget = io.BytesIO(), limits.now()
    for piece in _unpacked(source, packing):
        budget.check("inside", held.tell() + len(piece))
        held.write(piece)
    return held.getvalue()


def unpacked(source: Path, packing: str) -> tuple[Iterator[bytes], int]:
    """Return the content of a packed file in pieces, and its length: a large one is unpacked once more for that.

    Raises
    ------
    Malformed
        Damaged, cut off, several files one after the other, or growing beyond any real file.
    """
    held, size = [], 0
    for piece in _unpacked(source, packing):
        size += len(piece)
        if size <= _HELD:
            held.append(piece)
        else:
            held.clear()
    return iter(held) if held else _unpacked(source, packing), size


def _unpacked(source: Path | bytes, packing: str) -> Iterator[bytes]:
    with _opened(source) as stream:
        yield from Unpacked(stream, packing).pieces(PIECE)


def pieces(source: Path) -> Iterator[bytes]:
    """Yield the bytes of a file as it lies there."""
    with source.open("rb", buffering=0) as stream:
        while piece := stream.read(PIECE):
            yield piece


@contextmanager
def _content(source: Path | bytes, packing: str) -> Iterator[Reader]:
    with _opened(source) as stream:
        yield Unpacked(stream, packing) if packing else stream


def _opened(source: Path | bytes, buffering: int = -1) -> IO[bytes]:
    return io.BytesIO(source) if isinstance(source, bytes) else source.open("rb", buffering)


__all__ = [
    "HEAD",
    "PIECE",
    "Archive",
    "Look",
    "Member",
    "Unpacked",
    "called_archive",
    "content",
    "kind_of",
    "look",
    "open_archive",
    "packed",
    "packing_of",
    "pieces",
    "stem",
    "unpacked",
    "unread_kind",
]
