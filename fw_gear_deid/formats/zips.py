"""ZIP archive ⇄ members, one at a time and within limits (APPNOTE 6.3; hostile input expected)."""

from __future__ import annotations

import lzma
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from isal import isal_zlib

from fw_gear_deid.model.errors import Malformed, Unfit

MAX_MEMBERS = 1_000_000
MAX_MEMBER = 8 << 30  # bytes; the largest single DICOM object is 4 GiB of pixels
_RATIO = 200  # a member that grows more than this, beyond _FREE bytes, is a bomb
_FREE = 64 << 20
_EPOCH = (1980, 1, 1, 0, 0, 0)  # no time stamps travel
_LEVEL = 1  # isal's level 1: a twentieth of the time of zlib 6 for a tenth more bytes
_DAMAGE: tuple[type[BaseException], ...] = (
    zipfile.BadZipFile, zlib.error, isal_zlib.error, lzma.LZMAError, EOFError, ValueError,
)  # fmt: skip
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
    except OSError as error:
        if error.errno is not None:
            raise  # the disk's fault, not the archive's
        raise Malformed("a member of the archive is damaged") from None
    except _DAMAGE:
        raise Malformed("a member of the archive is damaged") from None
    except (NotImplementedError, RuntimeError):
        raise Malformed("a member of the archive is packed in a way that is not supported") from None
    if len(data) != member.info.file_size:
        raise Malformed("a member of the archive has another size than the archive says")
    return data


def write_member(target: zipfile.ZipFile, name: str, pieces: Iterable[bytes | memoryview], compression: int) -> None:
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
    pieces = list(pieces)
    info.file_size = sum(len(piece) for piece in pieces)
    with target.open(info, "w") as stream:
        if info.compress_type == zipfile.ZIP_DEFLATED:
            stream._compressor = isal_zlib.compressobj(_LEVEL, zlib.DEFLATED, -15)  # type: ignore[attr-defined]
        for piece in pieces:
            stream.write(piece)
