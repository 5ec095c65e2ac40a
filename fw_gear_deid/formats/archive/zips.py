"""ZIP archive ⇄ members, one at a time and within limits (APPNOTE 6.3; hostile input expected)."""

from __future__ import annotations

import errno
import stat
import struct
import zipfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from typing import IO

from fw_gear_deid.formats.archive import flate
from fw_gear_deid.formats.archive.budget import Budget
from fw_gear_deid.formats.archive.members import Member, Names
from fw_gear_deid.model.errors import Malformed, Unfit

_UTF8 = 0x800  # flag: the name is UTF-8
_ENCRYPTED = 0x1
_SIZES_FOLLOW = 0x8  # flag: CRC and sizes stand behind the data
_EPOCH = (1980, 1, 1, 0, 0, 0)  # no time stamps travel
_WRITABLE = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)
_LOCAL, _CENTRAL, _DESCRIPTOR = b"PK\x03\x04", b"PK\x01\x02", b"PK\x07\x08"
_END, _END64, _LOCATOR64, _SIGNED = b"PK\x05\x06", b"PK\x06\x06", b"PK\x06\x07", b"PK\x05\x05"
_BLOCK = 1 << 20
_OVERHEAD = 1024  # bytes that packing may add to data that does not shrink


@dataclass(slots=True)
class ZipArchive:
    """An open ZIP archive (an ``Archive``)."""

    file: zipfile.ZipFile
    stream: IO[bytes]
    outside: int = 0
    comment: bytes = field(init=False)
    extras: str = field(init=False)

    def __post_init__(self) -> None:
        """Read what the directory says of the whole."""
        self.comment = self.file.comment
        self.extras = "zip extra" if any(info.extra or info.comment for info in self.file.infolist()) else ""

    def zip_name(self, name: str) -> str:
        """Return its own name."""
        return name

    def members(self) -> Iterator[Member]:
        """Yield the members in the order of the directory; see ``Archive``. All are checked before the first comes."""
        found: list[tuple[int, str, zipfile.ZipInfo]] = []
        names, budget = Names(), Budget()
        for position, info in enumerate(self.file.infolist(), 1):
            name = _name(info)
            if info.compress_size > info.file_size + info.file_size // 50 + _OVERHEAD:
                raise Malformed(f"member {position}: more is packed than it says")
            if name.endswith("/") and info.file_size == 0:
                continue
            names.add(position, name)
            if info.flag_bits & _ENCRYPTED:
                raise Unfit(f"member {position}: it is encrypted")
            budget.add(position, info.file_size, info.compress_size)
            found.append((position, name, info))
        budget.close()
        self.outside = _Layout(self.stream, self.file).check()
        for position, name, info in found:
            with _Opened(self.file, info) as opened:
                mode = info.external_attr >> 16 if info.create_system == 3 else 0
                special = "link" if stat.S_ISLNK(mode) else ""
                yield Member(position, name, info.file_size, opened.pull, info.compress_type, special)


class _Opened:
    """The bytes of a member, from its first call on."""

    def __init__(self, file: zipfile.ZipFile, info: zipfile.ZipInfo) -> None:
        self._file = file
        self._info = info
        self._stack = ExitStack()
        self._stream: IO[bytes] | None = None

    def __enter__(self) -> _Opened:
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    def pull(self, size: int) -> bytes:
        """Return the next bytes."""
        with _as_malformed():
            if self._stream is None:
                stream = self._stack.enter_context(self._file.open(self._info))
                if self._info.compress_type == zipfile.ZIP_DEFLATED:
                    stream._decompressor = flate.inflater()  # type: ignore[attr-defined]
                self._stream = stream
            return self._stream.read(size)


@contextmanager
def _as_malformed() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno not in (None, errno.EINVAL):  # an offset before the start
            raise  # the disk's fault, not the archive's
        raise Malformed("a member of the archive is damaged") from None
    except flate.DAMAGE:
        raise Malformed("a member of the archive is damaged") from None
    except (NotImplementedError, RuntimeError):
        raise Malformed("a member of the archive is packed in a way that is not supported") from None


@contextmanager
def open_zip(stream: IO[bytes]) -> Iterator[ZipArchive]:
    """Open a ZIP archive.

    Raises
    ------
    Malformed
        It is no archive, or a damaged one.
    """
    try:
        archive = zipfile.ZipFile(stream)
    except (zipfile.BadZipFile, NotImplementedError, ValueError, EOFError, struct.error):
        raise Malformed("the archive is damaged or no ZIP archive") from None
    with archive:
        yield ZipArchive(archive, stream)


def _name(info: zipfile.ZipInfo) -> str:
    """Return a member's path; bytes that are no text are surrogates in it."""
    name = info.filename
    if not info.flag_bits & _UTF8:
        # zipfile takes the IBM PC's letters for it (APPNOTE appendix D); who wrote it took those of another system
        with suppress(UnicodeEncodeError):  # a Unicode path beside it says more
            name = name.encode("cp437").decode("utf-8", "surrogateescape")
    return name.replace("\\", "/")


class _Layout:
    """Compares the directory with what lies in the file: members that it does not list are hidden ones.

    zipfile believes the last directory. A second archive in front of it, a member that an update took out of the
    directory alone, another name or size at the data: each is a file that some program shows and ours would lose.
    """

    def __init__(self, stream: IO[bytes], file: zipfile.ZipFile) -> None:
        self._stream = stream
        self._infos = sorted(file.infolist(), key=lambda info: info.header_offset)
        self._start = file.start_dir
        self._outside = 0

    def check(self) -> int:
        """Return the number of bytes that belong to nothing.

        Raises
        ------
        Malformed
        """
        at = 0
        ends = [*(info.header_offset for info in self._infos[1:]), self._start][: len(self._infos)]
        for number, (info, limit) in enumerate(zip(self._infos, ends, strict=True)):
            if info.header_offset < at:
                raise Malformed("members of the archive lie over each other")
            self._gap(at, info.header_offset, first=number == 0)
            at = self._member(info, limit)
        self._gap(at, self._start, first=not self._infos)
        self._gap(self._directory(), self._size(), first=False)
        return self._outside

    def _member(self, info: zipfile.ZipInfo, limit: int) -> int:
        """Compare an entry with the header at its data; return where its record ends."""
        head = self._read(info.header_offset, 30)
        if len(head) < 30 or not head.startswith(_LOCAL):
            raise Malformed("a member of the archive is damaged")
        _, flags, method, _, _, crc, packed, size, name_size, extra_size = struct.unpack("<5H3L2H", head[4:])
        name = self._read(info.header_offset + 30, name_size)
        same = name == _raw_name(info) and method == info.compress_type
        if not flags & _SIZES_FOLLOW and 0xFFFFFFFF not in (packed, size) and (crc, packed, size) != (0, 0, 0):
            same = same and (crc, packed, size) == (info.CRC, info.compress_size, info.file_size)
        if not same:
            raise Malformed("a member of the archive is damaged: the directory says otherwise than the member itself")
        end: int = info.header_offset + 30 + name_size + extra_size + info.compress_size
        if flags & _SIZES_FOLLOW:
            end += self._descriptor(info, end)
        if end > limit:
            raise Malformed("members of the archive lie over each other")
        return end

    def _descriptor(self, info: zipfile.ZipInfo, at: int) -> int:
        """Return the length of CRC and sizes behind the data, signed or not, of 4 bytes or of 8 (APPNOTE 4.3.9)."""
        found = self._read(at, 24)
        for signature in (_DESCRIPTOR, b""):
            for layout in ("<LLL", "<LQQ"):
                try:
                    numbers = struct.pack(layout, info.CRC, info.compress_size, info.file_size)
                except struct.error:
                    continue
                if found.startswith(signature + numbers):
                    return len(signature + numbers)
        return 0

    def _gap(self, start: int, end: int, *, first: bool) -> None:
        """Look at bytes that belong to no member."""
        if end <= start:
            return
        if first and self._read(start, 4) in (_DESCRIPTOR, b"PK00"):
            start += 4  # the mark of an archive that was meant to be split
        tail = b""
        while start < end:
            block = self._read(start, min(_BLOCK, end - start))
            if not block:
                return
            start += len(block)
            if _LOCAL in tail + block or _CENTRAL in tail + block:
                raise Malformed(
                    "the file holds members that the archive's directory does not list,"
                    " or several archives one after the other"
                )
            tail = block[-3:]
            self._outside += len(block) if block.strip(b"\0") else 0

    def _directory(self) -> int:
        """Walk directory and end records; return where they end."""
        at = self._start
        while (head := self._read(at, 46)).startswith(_CENTRAL) and len(head) == 46:
            at += 46 + sum(struct.unpack_from("<3H", head, 28))
        while True:
            head = self._read(at, 22)
            if head.startswith(_SIGNED) and len(head) >= 6:
                at += 6 + int(struct.unpack_from("<H", head, 4)[0])
            elif head.startswith(_END64) and len(head) >= 12:
                at += 12 + int(struct.unpack_from("<Q", head, 4)[0])
            elif head.startswith(_LOCATOR64):
                at += 20
            elif head.startswith(_END) and len(head) == 22:
                listed, _, _, comment = struct.unpack_from("<HLLH", head, 10)
                if listed not in (len(self._infos) & 0xFFFF, 0xFFFF):
                    raise Malformed("the archive's directory has another number of members than it says")
                return at + 22 + int(comment)
            else:
                raise Malformed("the archive is damaged or no ZIP archive")

    def _read(self, at: int, size: int) -> bytes:
        self._stream.seek(at)
        return self._stream.read(size)

    def _size(self) -> int:
        return self._stream.seek(0, 2)


def _raw_name(info: zipfile.ZipInfo) -> bytes:
    return info.orig_filename.encode("utf-8" if info.flag_bits & _UTF8 else "cp437")


def write_member(target: zipfile.ZipFile, name: str, data: bytes, compression: int) -> None:
    """Add a member: its name and bytes, and nothing else of the original's entry.

    Parameters
    ----------
    compression : int
        Of the original; kept where it can be written.
    """
    info = zipfile.ZipInfo(name, date_time=_EPOCH)
    info.compress_type = compression if compression in _WRITABLE else zipfile.ZIP_DEFLATED
    info.create_system = 3
    info.external_attr = 0o644 << 16
    info.file_size = len(data)
    with target.open(info, "w") as stream:
        if info.compress_type == zipfile.ZIP_DEFLATED:
            stream._compressor = flate.deflater()  # type: ignore[attr-defined]
        stream.write(data)
