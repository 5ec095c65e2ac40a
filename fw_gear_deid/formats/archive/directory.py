"""Directory of a ZIP archive as zipfile reads it → the same in a quarter of the memory."""

from __future__ import annotations

import zipfile
from array import array
from collections.abc import Iterator
from typing import NamedTuple

UTF8 = 0x800  # flag: the name is UTF-8
_NUMBERS = 5  # of an entry: offset, packed, size, CRC, and three small ones in one
_DOCUMENT = frozenset({"[Content_Types].xml", "META-INF/MANIFEST.MF"})
_HUGE = 1 << 62  # larger ones are beyond any file as well


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
