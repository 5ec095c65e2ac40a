"""ZIP archive ⇄ members, one at a time, in pieces and within limits (APPNOTE 6.3; hostile input expected)."""

from __future__ import annotations

import io
import stat
import struct
import zipfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from fw_gear_deid.formats.archive import flate, methods
from fw_gear_deid.formats.archive.budget import Tally
from fw_gear_deid.formats.archive.content import UNKNOWN, Content, Packed
from fw_gear_deid.formats.archive.directory import UTF8, Directory, Entry, check_count
from fw_gear_deid.formats.archive.layout import Layout
from fw_gear_deid.formats.archive.members import PIECE, Member, Names
from fw_gear_deid.model.errors import Malformed, Unfit

_ENCRYPTED = 0x1
_UNREAD = 0x20 | 0x40  # flags: patched data, strong encryption
_OVERHEAD = 1024  # bytes that packing may add to data that does not shrink


@dataclass(slots=True)
class ZipArchive:
    """An open ZIP archive (an ``Archive``)."""

    listed: Directory
    stream: IO[bytes]
    outside: int = 0
    comment: bytes = field(init=False)
    extras: str = field(init=False)
    is_document: bool = field(init=False)

    def __post_init__(self) -> None:
        """Read what the directory says of the whole."""
        self.comment = self.listed.comment
        self.extras = "zip extra" if self.listed.has_more else ""
        self.is_document = self.listed.is_document

    def zip_name(self, name: str) -> str:
        """Return its own name."""
        return name

    def members(self) -> Iterator[Member]:
        """Yield the members in the order of the directory; see ``Archive``. All are checked before the first comes."""
        self._check()
        layout = Layout(self.stream, self.listed)
        layout.check()
        self.outside = layout.outside
        for position, entry in enumerate(self.listed, 1):
            name = _name(entry)
            if _is_folder(entry, name):
                continue
            packed = Packed(layout.starts[entry.number], entry.packed, entry.size, entry.crc,
                             UNKNOWN if entry.flags & _UNREAD else entry.method)  # fmt: skip
            special = "link" if stat.S_ISLNK(entry.mode) else ""
            pull = Content(self.stream, packed).pull
            yield Member(position, name, entry.size, pull, entry.method, special, entry.crc)

    def _check(self) -> None:
        """Judge names and sizes."""
        names, tally = Names(), Tally()
        for position, entry in enumerate(self.listed, 1):
            name = _name(entry)
            if entry.packed > entry.size + entry.size // 50 + _OVERHEAD:
                raise Malformed(f"member {position}: more is packed than it says")
            if _is_folder(entry, name):
                continue
            names.add(position, name)
            if entry.flags & _ENCRYPTED:
                raise Unfit(f"member {position}: it is encrypted")
            tally.add(position, entry.size, entry.packed)
        tally.close()


def _is_folder(entry: Entry, name: str) -> bool:
    return entry.size == 0 and name.endswith("/")


def _name(entry: Entry) -> str:
    """Return a member's path; bytes that are no text are surrogates in it."""
    name = entry.name
    if not entry.flags & UTF8 and not name.isascii():
        # zipfile takes the IBM PC's letters for it (APPNOTE appendix D); who wrote it took those of another system
        with suppress(UnicodeEncodeError):  # a Unicode path beside it says more
            name = name.encode("cp437").decode("utf-8", "surrogateescape")
    return name.replace("\\", "/")


@contextmanager
def open_zip(stream: IO[bytes]) -> Iterator[ZipArchive]:
    """Open a ZIP archive.

    Raises
    ------
    Malformed
        It is no archive, or a damaged one.
    """
    yield ZipArchive(_directory(stream), stream)


def _directory(stream: IO[bytes]) -> Directory:
    check_count(stream)
    try:
        with zipfile.ZipFile(stream) as archive:
            return Directory(archive)
    except (zipfile.BadZipFile, NotImplementedError, ValueError, EOFError, struct.error):
        raise Malformed("the archive is damaged or no ZIP archive") from None


# -- writing -------------------------------------------------------------------------------------------

_LIMIT = zipfile.ZIP64_LIMIT  # sizes and offsets beyond it take eight bytes
_DATE = 1 << 5 | 1  # of 1980: no time stamps travel
_UNIX, _MODE = 3, 0o644 << 16
_VERSIONS = {methods.STORED: 20, methods.DEFLATED: 20, methods.BZIP2: 46, methods.LZMA: 63}
_WIDE = 45  # version that knows sizes of eight bytes
_LZMA_END = 0x2  # flag: LZMA's end is marked
_LOCAL = struct.Struct("<4s5H3L2H")
_CENTRAL = struct.Struct("<4s4B4H3L5H2L")
_SIZES = struct.Struct("<2H2Q")
_PLACE = struct.Struct("<3QLH")


class Target:
    """A ZIP archive that is written forward: names and bytes of members, and nothing else of an original's entries.

    It is one when it was closed without an error.

    Parameters
    ----------
    path : Path or BytesIO
        What stands there goes. Memory is left open.
    small : bool
        Take the time for the fewest bytes.
    """

    def __init__(self, path: Path | io.BytesIO, *, small: bool = False) -> None:
        self._path = path
        self._stream: IO[bytes] = path if isinstance(path, io.BytesIO) else path.open("w+b", buffering=PIECE)
        self._small = small
        self._at = 0
        """Where the next member begins."""
        self._directory = bytearray()
        self._written: dict[str, bytes] = {}
        """Name of a member → where its data lies: a ``Packed`` takes three times as much."""
        self.comment = b""
        """Of the whole archive, at most 65,535 bytes of it; to be set before it is closed."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        try:
            if kind is None:
                self._end()
        finally:
            if not isinstance(self._path, io.BytesIO):
                self._stream.close()

    @contextmanager
    def member(self, name: str, compression: int) -> Iterator[Output]:
        """Add a member: ``with target.member(name, compression) as out: out.write(piece)``.

        An error inside takes it back, and the archive goes on as if it had never been begun.

        Parameters
        ----------
        compression : int
            Of the original; kept where it can be written.

        Raises
        ------
        Unfit
            Its name is longer than one can be, or that of another one.
        """
        if name in self._written:
            raise Unfit("its output name is that of another member")
        method = compression if compression in _VERSIONS else methods.DEFLATED
        out = Output(self._stream, self._at, name, method, small=self._small)
        try:
            yield out
            entry, packed = out.end()
        except BaseException:
            self._stream.seek(self._at)
            self._stream.truncate()
            raise
        self._directory += entry
        self._written[name] = _PLACE.pack(packed.start, packed.packed, packed.size, packed.crc, packed.method)
        self._at = packed.start + packed.packed

    def packed(self, name: str) -> Packed:
        """Return where a member that was written lies."""
        return Packed(*_PLACE.unpack(self._written[name]))

    def pieces(self, name: str) -> Iterator[bytes]:
        """Yield the bytes of a member that was written."""
        self._stream.flush()
        again = io.BytesIO(self._path.getbuffer()) if isinstance(self._path, io.BytesIO) else self._path.open("rb")
        with again as stream:
            content = Content(stream, self.packed(name))
            while piece := content.pull(PIECE):
                yield piece

    def _end(self) -> None:
        """Write directory and end record."""
        count, size, at = len(self._written), len(self._directory), self._at
        self._stream.write(self._directory)
        if count > zipfile.ZIP_FILECOUNT_LIMIT or max(at, size) > _LIMIT:
            self._stream.write(struct.pack("<4sQ2H2L4Q", b"PK\x06\x06", 44, _WIDE, _WIDE, 0, 0, count, count, size, at))
            self._stream.write(struct.pack("<4sLQL", b"PK\x06\x07", 0, at + size, 1))
            count, size, at = min(count, 0xFFFF), min(size, 0xFFFFFFFF), min(at, 0xFFFFFFFF)
        comment = self.comment[:0xFFFF]
        self._stream.write(struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, count, count, size, at, len(comment)))
        self._stream.write(comment)


class Output:
    """A member while it is written. The same bytes come out however they are divided.

    Parameters
    ----------
    stream : file
    start : int
        Where in it the member begins.
    """

    def __init__(self, stream: IO[bytes], start: int, name: str, method: int, *, small: bool) -> None:
        self._stream = stream
        self._start = start
        self._name = name.encode()
        if len(self._name) > 0xFFFF:
            raise Unfit("its output name is longer than one in a ZIP archive can be")
        self._method = method
        self._flags = (0 if name.isascii() else UTF8) | (_LZMA_END if method == methods.LZMA else 0)
        self._packer: Any = None if method == methods.STORED else methods.packer(method, small=small)
        self._held: list[bytes | memoryview] = []
        """What does not make a piece yet."""
        self._holding = 0
        self._size = self._crc = self._packed = 0
        self._begun = False

    def write(self, data: bytes | memoryview) -> None:
        """Add bytes, as many as one likes."""
        self._crc = flate.crc(data, self._crc)
        self._size += len(data)
        if self._holding + len(data) < PIECE:
            self._held.append(data)
            self._holding += len(data)
            return
        view = memoryview(data)
        at = 0
        if self._holding:
            at = PIECE - self._holding
            self._put(b"".join((*self._held, view[:at])))
        while at + PIECE <= len(view):
            self._put(view[at : at + PIECE])
            at += PIECE
        self._held, self._holding = [view[at:]], len(view) - at

    def copy(self, stream: IO[bytes], packed: Packed) -> None:
        """Take all of a member as it was packed in another archive of ours, by the method of this one."""
        self._packer = None
        self._size, self._crc = packed.size, packed.crc
        stream.seek(packed.start)
        left = packed.packed
        while left:
            data = stream.read(min(PIECE, left))
            if not data:
                raise EOFError("the archive ends within a member")
            self._put(data)
            left -= len(data)

    def end(self) -> tuple[bytes, Packed]:
        """Write what is left, and the header; return the entry of the directory, and where the data lies."""
        last = self._held[0] if len(self._held) == 1 else b"".join(self._held)
        if self._packer is not None:
            last = self._packer.compress(last) + self._packer.flush()
        self._packed += len(last)
        wide = max(self._size, self._packed) > _LIMIT
        header = self._header(wide=wide)
        if self._begun:
            self._stream.write(last)
            if wide:
                self._make_room(_SIZES.size)
            self._stream.seek(self._start)
            self._stream.write(header)
            self._stream.seek(self._start + len(header) + self._packed)
        else:
            self._stream.write(header)
            self._stream.write(last)
        packed = Packed(self._start + len(header), self._packed, self._size, self._crc, self._method)
        return self._entry(wide=wide), packed

    def _put(self, data: bytes | memoryview) -> None:
        """Write a piece; room for the header in front of the first."""
        if not self._begun:
            self._stream.write(bytes(_LOCAL.size + len(self._name)))
            self._begun = True
        packed = data if self._packer is None else self._packer.compress(data)
        self._stream.write(packed)
        self._packed += len(packed)

    def _make_room(self, size: int) -> None:
        """Move the data: nobody knew that its sizes would take eight bytes."""
        start = self._start + _LOCAL.size + len(self._name)
        end = start + self._packed
        while end > start:
            begin = max(start, end - PIECE)
            self._stream.seek(begin)
            data = self._stream.read(end - begin)
            self._stream.seek(begin + size)
            self._stream.write(data)
            end = begin

    def _header(self, *, wide: bool) -> bytes:
        """Return what stands in front of the data."""
        packed, size, extra = self._packed, self._size, b""
        if wide:
            packed, size, extra = 0xFFFFFFFF, 0xFFFFFFFF, _SIZES.pack(1, 16, size, packed)
        head = _LOCAL.pack(b"PK\x03\x04", self._version(wide=wide), self._flags, self._method, 0, _DATE, self._crc,
                           packed, size, len(self._name), len(extra))  # fmt: skip
        return head + self._name + extra

    def _entry(self, *, wide: bool) -> bytes:
        """Return what stands in the directory."""
        packed, size, start = self._packed, self._size, self._start
        numbers = []
        if wide:
            numbers += [size, packed]
            packed = size = 0xFFFFFFFF
        if start > _LIMIT:
            numbers.append(start)
            start = 0xFFFFFFFF
        extra = struct.pack(f"<2H{len(numbers)}Q", 1, 8 * len(numbers), *numbers) if numbers else b""
        version = self._version(wide=bool(numbers))
        head = _CENTRAL.pack(b"PK\x01\x02", version, _UNIX, version, 0, self._flags, self._method, 0, _DATE, self._crc,
                             packed, size, len(self._name), len(extra), 0, 0, 0, _MODE, start)  # fmt: skip
        return head + self._name + extra

    def _version(self, *, wide: bool) -> int:
        """Return the version of the format that who reads it has to know."""
        return max(_VERSIONS[self._method], _WIDE if wide else 0)


def write_member(target: Target, name: str, pieces: Iterable[bytes], compression: int) -> Packed:
    """Add a member; return where it lies. See ``Target.member``."""
    with target.member(name, compression) as out:
        for piece in pieces:
            out.write(piece)
    return target.packed(name)
