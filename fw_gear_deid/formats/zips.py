"""ZIP archive ⇄ members, one at a time and within limits (APPNOTE 6.3; hostile input expected)."""

from __future__ import annotations

import errno
import lzma
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from isal import isal_zlib

from fw_gear_deid.model.errors import Malformed, Unfit

MAX_MEMBERS = 1_000_000
MAX_MEMBER = 8 << 30  # bytes; the largest single DICOM object is 4 GiB of pixels
_RATIO = 200  # a member that grows more than this, beyond _FREE bytes, is a bomb
_FREE = 64 << 20
_UTF8 = 0x800  # flag: the name is UTF-8
_EPOCH = (1980, 1, 1, 0, 0, 0)  # no time stamps travel
_LEVEL = 1  # isal's level 1: a twentieth of the time of zlib 6 for a tenth more bytes
# isal types its error as an instance; it is the class IsalError
_DAMAGE = (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, ValueError, cast(type[Exception], isal_zlib.error))
_WRITABLE = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)


@dataclass(frozen=True, slots=True)
class Member:
    """One file of an archive."""

    name: str
    info: zipfile.ZipInfo


@contextmanager
def open_archive(path: Path) -> Iterator[zipfile.ZipFile]:
    """Open an archive.

    Raises
    ------
    Malformed
        It is no archive, or a damaged one.
    """
    try:
        archive = zipfile.ZipFile(path)
    except (zipfile.BadZipFile, NotImplementedError, ValueError, EOFError):
        raise Malformed("the archive is damaged or no ZIP archive") from None
    with archive:
        yield archive


def members(archive: zipfile.ZipFile) -> list[Member]:
    """Return the files of an archive in their order; folders are not listed.

    Raises
    ------
    Malformed
        Members that lie about themselves: too many, absolute or upward paths, one name twice, encrypted, bombs.
    """
    infos = archive.infolist()
    if len(infos) > MAX_MEMBERS:
        raise Malformed(f"the archive has more than {MAX_MEMBERS} members")
    found: list[Member] = []
    seen: set[str] = set()
    total = packed = 0
    for position, info in enumerate(infos, 1):
        if info.is_dir():
            continue
        name = _name(info)
        if name.startswith("/") or ".." in name.split("/") or "\0" in name or name[1:2] == ":":
            raise Malformed(f"member {position}: its path leads out of the archive")
        if name in seen:
            raise Malformed(f"member {position}: its name stands twice in the archive")
        if info.flag_bits & 0x1:
            raise Unfit(f"member {position}: it is encrypted")
        total, packed = total + info.file_size, packed + info.compress_size
        if info.file_size > MAX_MEMBER or info.file_size > _FREE + _RATIO * info.compress_size:
            raise Malformed(f"member {position}: it would grow beyond any real one")
        seen.add(name)
        found.append(Member(name, info))
    if total > 4 * _FREE + _RATIO * packed:
        raise Malformed("the archive would grow beyond any real one")
    return found


def _name(info: zipfile.ZipInfo) -> str:
    """Return a member's path; bytes that are no text are surrogates in it."""
    name = info.filename
    if not info.flag_bits & _UTF8:
        # zipfile takes the IBM PC's letters for it (APPNOTE appendix D); who wrote it took those of another system
        with suppress(UnicodeEncodeError):  # a Unicode path beside it says more
            name = name.encode("cp437").decode("utf-8", "surrogateescape")
    return name.replace("\\", "/")


def read_member(archive: zipfile.ZipFile, member: Member) -> bytes:
    """Return the bytes of a member, checked against size and CRC.

    Raises
    ------
    Malformed
    """
    try:
        with archive.open(member.info) as stream:
            if member.info.compress_type == zipfile.ZIP_DEFLATED:
                stream._decompressor = isal_zlib.decompressobj(-15)  # type: ignore[attr-defined]
            data = stream.read(member.info.file_size + 1)
    except OSError as error:
        if error.errno not in (None, errno.EINVAL):  # an offset before the start
            raise  # the disk's fault, not the archive's
        raise Malformed("a member of the archive is damaged") from None
    except _DAMAGE:
        raise Malformed("a member of the archive is damaged") from None
    except (NotImplementedError, RuntimeError):
        raise Malformed("a member of the archive is packed in a way that is not supported") from None
    if len(data) != member.info.file_size:
        raise Malformed("a member of the archive has another size than the archive says")
    return data


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
            stream._compressor = isal_zlib.compressobj(_LEVEL, zlib.DEFLATED, -15)  # type: ignore[attr-defined]
        stream.write(data)
