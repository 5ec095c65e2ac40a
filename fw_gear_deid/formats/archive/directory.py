"""Directory of a ZIP archive as zipfile reads it → the same in a quarter of the memory."""

from __future__ import annotations

import os
import struct
import zipfile
from array import array
from collections.abc import Iterator
from typing import IO, NamedTuple

from fw_gear_deid.model import limits

UTF8 = 0x800  # flag: the name is UTF-8
_NUMBERS = 5  # of an entry: offset, packed, size, CRC, and three small ones in one
_DOCUMENT = frozenset({"[Content_Types].xml", "META-INF/MANIFEST.MF"})
_HUGE = 1 << 62  # larger ones are beyond any file as well


_END, _END64, _LOCATOR64, _CENTRAL = b"PK\x05\x06", b"PK\x06\x06", b"PK\x06\x07", b"PK\x01\x02"
_END_SIZE, _LOCATOR_SIZE, _END64_SIZE, _CENTRAL_SIZE = 22, 20, 56, 46  # APPNOTE 4.3.12, 4.3.14 to 4.3.16
_COMMENT_MAX = 0xFFFF
_BLOCK = 1 << 20


def check_count(stream: IO[bytes]) -> None:
    """Make sure that an archive has no more members than it may, before zipfile makes an object of each.

    Raises
    ------
    Beyond
    """
    start, size = _span(stream)
    budget = limits.now()
    if size // _CENTRAL_SIZE <= budget.most("members"):
        return
    stream.seek(start)
    block, count, left = b"", 0, size
    at = 0
    while True:
        if len(block) - at < _CENTRAL_SIZE:
            more = stream.read(min(_BLOCK, left))
            left -= len(more)
            block, at = block[at:] + more, 0
        if block[at : at + 4] != _CENTRAL or len(block) - at < _CENTRAL_SIZE:
            return  # zipfile says what is wrong, or this is the end
        count += 1
        budget.check("members", count)
        at += _CENTRAL_SIZE + sum(struct.unpack_from("<3H", block, at + 28))
        if at > len(block):
            beyond, at, block = at - len(block), 0, b""
            left -= beyond
            stream.seek(beyond, os.SEEK_CUR)


def _span(stream: IO[bytes]) -> tuple[int, int]:
    """Return where the directory begins and how long it is, by the last of the records that tell; 0 where none does."""
    total = stream.seek(0, os.SEEK_END)
    first = max(0, total - _COMMENT_MAX - _END_SIZE - _LOCATOR_SIZE - _END64_SIZE)
    stream.seek(first)
    tail = stream.read()
    end = tail.rfind(_END)
    if end < 0 or len(tail) - end < _END_SIZE:
        return 0, 0
    (size,) = struct.unpack_from("<L", tail, end + 12)
    wide = end - _LOCATOR_SIZE - _END64_SIZE
    if wide >= 0 and tail.startswith(_LOCATOR64, end - _LOCATOR_SIZE) and tail.startswith(_END64, wide):
        (size,) = struct.unpack_from("<Q", tail, wide + 40)
        end = wide
    return max(first + end - size, 0), size


class Entry(NamedTuple):
    """What the directory says of a member.

    Attributes
    ----------
    number : int
        From 0.
    name, listed : str
        Its path, and as it is written there: one that zipfile changes is a name all the same.
    offset : int
        Where its header begins.
    packed, size, crc, method, flags : int
    mode : int
        What Unix says of the file; 0 where nothing is said.
    """

    number: int
    name: str
    listed: str
    offset: int
    packed: int
    size: int
    crc: int
    method: int
    flags: int
    mode: int


class Directory:
    """The entries of a ZIP archive, in their order.

    Parameters
    ----------
    file : zipfile.ZipFile
        Not needed afterwards.
    """

    def __init__(self, file: zipfile.ZipFile) -> None:
        infos = file.infolist()
        self.start = file.start_dir
        self.comment = file.comment
        self.has_more = any(info.extra or info.comment for info in infos)
        """Whether an entry has extra fields or a comment."""
        self._names = [info.filename for info in infos]
        self.is_document = self._names[:1] == ["mimetype"] or not _DOCUMENT.isdisjoint(self._names)
        """Whether it is a document of an office (ECMA-376 part 2, ODF 1.3 part 2), a book or a program."""
        self._listed = {n: info.orig_filename for n, info in enumerate(infos) if info.orig_filename != info.filename}
        self._numbers = array("q")
        for info in infos:
            mode = info.external_attr >> 16 & 0xFFFF if info.create_system == 3 else 0
            small = info.compress_type | info.flag_bits << 16 | mode << 32
            numbers = info.header_offset, info.compress_size, info.file_size, info.CRC, small
            self._numbers.extend(min(max(number, -_HUGE), _HUGE) for number in numbers)

    def __len__(self) -> int:
        return len(self._names)

    def __iter__(self) -> Iterator[Entry]:
        return map(self.entry, range(len(self)))

    def entry(self, number: int) -> Entry:
        """Return one."""
        name = self._names[number]
        listed = self._listed.get(number, name)
        *numbers, small = self._numbers[_NUMBERS * number : _NUMBERS * (number + 1)]
        offset, packed, size, crc = numbers
        return Entry(number, name, listed, offset, packed, size, crc, small & 0xFFFF, small >> 16 & 0xFFFF, small >> 32)

    def in_file(self) -> array[int]:
        """Return the numbers of the entries in the order of their data."""
        return array("L", sorted(range(len(self)), key=lambda number: self._numbers[_NUMBERS * number]))
