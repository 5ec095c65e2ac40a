"""tar archive ⇄ members, read forward and within limits (POSIX.1-2001 pax, ustar, GNU; hostile input expected).

The standard library's reader takes a damaged header for the end and a header of any size into memory; what is lost so
would be lost unseen. Its knowledge of a header block is used, the way through the file is walked here.
"""

from __future__ import annotations

import tarfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Protocol

from fw_gear_deid.formats.archive.budget import Tally
from fw_gear_deid.formats.archive.members import Member, Names
from fw_gear_deid.model.errors import Malformed, Unfit

_BLOCK = 512
_PIECE = 1 << 20
_HEADER_MAX = 1 << 20  # bytes of a long name or of a pax header
_FILES = (tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.CONTTYPE)
_LINKS = (tarfile.LNKTYPE, tarfile.SYMTYPE)
_DEVICES = (tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE)
_SUFFIXES = (
    ".tar.gz", ".tar.bz2", ".tar.xz", ".tar.bz", ".tgz", ".taz", ".tbz2", ".tbz", ".tb2", ".txz", ".tar",
    ".gz", ".bz2", ".xz",
)  # fmt: skip
_DUMPED = b"D"  # GNU: a folder with the list of its files


class Reader(Protocol):
    """What a tar archive is read from."""

    def read(self, size: int, /) -> bytes:
        """Return the next bytes, fewer only at the end."""
        ...


class TarArchive:
    """A tar archive (an ``Archive``).

    Parameters
    ----------
    open_ : callable
        Opens it at its start.
    room : int
        Bytes that it can hold: no member is larger.
    """

    comment = b""
    extras = "tar headers"
    outside = 0
    is_document = False

    def __init__(self, open_: Callable[[], AbstractContextManager[Reader]], room: int) -> None:
        self._open = open_
        self._room = room

    def zip_name(self, name: str) -> str:
        """Return the name that a platform gives an archive of DICOM: ``T1.tgz`` → ``T1.dicom.zip``."""
        lower = name.lower()
        suffix = next((suffix for suffix in _SUFFIXES if lower.endswith(suffix)), "")
        stem = name[: len(name) - len(suffix)] or name
        return (stem[:-6] if stem.lower().endswith(".dicom") and len(stem) > 6 else stem) + ".dicom.zip"

    def members(self) -> Iterator[Member]:
        """Yield the members in their order; see ``Archive``."""
        with self._open() as stream:
            yield from _Walk(stream, self._room).members()


class _Walk:
    """One pass through a tar archive."""

    def __init__(self, stream: Reader, room: int) -> None:
        self._stream = stream
        self._room = room
        self._left = 0
        """Bytes of the member at hand that were not read."""
        self._position = 1
        """Of the entry at hand; headers that say more of it are none."""
        self._pax: dict[str, str] = {}
        self._long = ""

    def members(self) -> Iterator[Member]:
        names, tally = Names(), Tally()
        while (info := self._header()) is not None:
            match info.type:
                case tarfile.GNUTYPE_LONGNAME:
                    self._long = _text(self._extra(info).rstrip(b"\0"))
                    continue
                case tarfile.GNUTYPE_LONGLINK:
                    self._extra(info)  # where a link leads is of no interest
                    continue
                case tarfile.XHDTYPE | tarfile.SOLARIS_XHDTYPE:
                    self._pax = _pax(self._extra(info), self._position)
                    continue
                case tarfile.XGLTYPE:
                    if _pax(self._extra(info), self._position).keys() & {"path", "size"}:
                        raise self._problem("a header for all members names one of them")
                    continue
                case b"V":  # GNU: the volume's label
                    self._apply(info)
                    continue
            member = self._member(info, names, tally)
            if member is not None:
                yield member
                self._skip(self._left)
            self._skip(-info.size % _BLOCK)
            self._position += 1
        tally.close()

    def _header(self) -> tarfile.TarInfo | None:
        """Return the next header, None at the end of the archive."""
        block = self._read(_BLOCK)
        if block == bytes(_BLOCK):
            if self._pax or self._long:
                raise self._problem("a header without its member")
            self._end()
            return None
        try:
            return tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
        except tarfile.HeaderError:
            raise self._problem("its header is damaged") from None

    def _member(self, info: tarfile.TarInfo, names: Names, tally: Tally) -> Member | None:
        """Return what a header announces; None for folders."""
        self._apply(info)
        name = info.name.replace("\\", "/")
        if info.type in _FILES and not (name.endswith("/") and info.size == 0):
            names.add(self._position, name)
            tally.add(self._position, info.size, info.size)
            self._left = info.size
            return Member(self._position, name, info.size, self._pull)
        if info.type == _DUMPED:
            self._skip(info.size)
            return None
        if info.type in (tarfile.DIRTYPE, *_FILES, *_LINKS, *_DEVICES):
            if info.size:
                what = "folder's name" if info.type == tarfile.DIRTYPE else "link or device"
                raise self._problem(f"it is a {what} and has data behind it")
            if info.type not in _LINKS + _DEVICES:
                return None
            names.add(self._position, name)
            tally.add(self._position, 0, 0)
            special = "link" if info.type in _LINKS else "device"
            return Member(self._position, name, 0, lambda size: b"", special=special)
        if info.type == tarfile.GNUTYPE_SPARSE:
            raise Unfit(f"member {self._position}: it is sparse; pack it without holes (tar without --sparse)")
        raise Unfit(f"member {self._position}: it is of a kind that is not supported")

    def _apply(self, info: tarfile.TarInfo) -> None:
        """Let the headers before a member's own say more of it."""
        if self._long:
            info.name, self._long = self._long, ""
        pax, self._pax = self._pax, {}
        if any(key.startswith(("GNU.sparse.", "SCHILY.realsize")) for key in pax):
            raise Unfit(f"member {self._position}: it is sparse; pack it without holes (tar without --sparse)")
        info.name = pax.get("path", info.name)
        if "size" in pax:
            if not pax["size"].isascii() or not pax["size"].isdigit():
                raise self._problem("its header is damaged")
            info.size = int(pax["size"][:20])
        if info.size < 0:
            raise self._problem("its header is damaged")
        if info.size > self._room:
            raise self._problem("it is larger than the archive can be")

    def _extra(self, info: tarfile.TarInfo) -> bytes:
        """Return the data of a header that says more of the next member."""
        if not 0 <= info.size <= _HEADER_MAX:
            raise self._problem("its header is larger than any real one")
        data = self._read(info.size)
        self._skip(-info.size % _BLOCK)
        return data

    def _pull(self, size: int) -> bytes:
        data = self._read(min(size, self._left))
        self._left -= len(data)
        return data

    def _skip(self, size: int) -> None:
        while size > 0:
            size -= len(self._read(min(size, _PIECE)))
        self._left = 0

    def _read(self, size: int) -> bytes:
        data = self._stream.read(size)
        if len(data) != size:
            raise Malformed("the archive is cut off")
        return data

    def _end(self) -> None:
        """Read what follows the first block of zeros: more of them, and nothing else."""
        while block := self._stream.read(_PIECE):
            if block.strip(b"\0"):
                raise Malformed("something follows the end of the archive")

    def _problem(self, what: str) -> Malformed:
        return Malformed(f"member {self._position}: {what}")


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogateescape")


def _pax(data: bytes, position: int) -> dict[str, str]:
    """Return the records of a pax header: ``LENGTH KEY=VALUE`` and a line feed (POSIX.1-2001)."""
    records: dict[str, str] = {}
    at = 0
    while at < len(data):
        length, blank, _ = data[at : at + 20].partition(b" ")
        end = at + int(length) if blank and length.isdigit() else 0
        key, equals, value = data[at + len(length) + 1 : max(end - 1, 0)].partition(b"=")
        if not at < end <= len(data) or data[end - 1 : end] != b"\n" or not equals:
            raise Malformed(f"member {position}: its header is damaged")
        records[_text(key)] = _text(value)
        at = end
    return records


def is_tar(head: bytes) -> bool:
    """Tell whether a file is a tar archive, old or new, damaged or not, by its first block."""
    if head[257:262] == b"ustar":
        return True
    try:
        tarfile.TarInfo.frombuf(head[:_BLOCK], "utf-8", "surrogateescape")
    except (tarfile.HeaderError, ValueError):
        return False
    return True
