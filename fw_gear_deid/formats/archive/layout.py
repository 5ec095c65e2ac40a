"""What a ZIP archive's directory says ⇄ what lies in the file: members that are not listed are hidden ones.

zipfile believes the last directory. A second archive in front of it, a member that an update took out of the directory
alone, another name or size at the data: each is a file that some program shows and ours would lose.
"""

from __future__ import annotations

import struct
import zipfile
from array import array
from bisect import bisect_left
from itertools import chain
from operator import attrgetter
from typing import IO

from fw_gear_deid.model.errors import Malformed

UTF8 = 0x800  # flag: the name is UTF-8
_SIZES_FOLLOW = 0x8  # flag: CRC and sizes stand behind the data
_LOCAL, _CENTRAL, _DESCRIPTOR = b"PK\x03\x04", b"PK\x01\x02", b"PK\x07\x08"
_END, _END64, _LOCATOR64, _SIGNED = b"PK\x05\x06", b"PK\x06\x06", b"PK\x06\x07", b"PK\x05\x05"
_HEADER = struct.Struct("<4s2x2H4x3L2H")
_BLOCK = 1 << 20


class Layout:
    """Compares the directory with what lies in the file.

    Parameters
    ----------
    stream : file
    file : zipfile.ZipFile
        The directory.
    """

    def __init__(self, stream: IO[bytes], file: zipfile.ZipFile) -> None:
        self._stream = stream
        self._infos = sorted(file.infolist(), key=lambda info: info.header_offset)
        self._start = file.start_dir
        self.outside = 0
        """Bytes that belong to nothing."""
        self._starts = array("Q")
        """Where the data of each begins."""

    def check(self) -> None:
        """Compare all.

        Raises
        ------
        Malformed
        """
        at = 0
        offsets = (info.header_offset for info in self._infos[1:])
        for number, (info, limit) in enumerate(zip(self._infos, chain(offsets, [self._start]), strict=False)):
            if info.header_offset != at:
                if info.header_offset < at:
                    raise Malformed("members of the archive lie over each other")
                self._gap(at, info.header_offset, first=number == 0)
            at = self._member(info, limit)
        self._gap(at, self._start, first=not self._infos)
        self._gap(self._directory(), self._size(), first=False)

    def start_of(self, info: zipfile.ZipInfo) -> int:
        """Return where the data of a member begins, once all are compared."""
        return self._starts[bisect_left(self._infos, info.header_offset, key=attrgetter("header_offset"))]

    def _member(self, info: zipfile.ZipInfo, limit: int) -> int:
        """Compare an entry with the header at its data; return where its record ends."""
        listed = info.orig_filename.encode("utf-8" if info.flag_bits & UTF8 else "cp437")
        head = self._read(info.header_offset, 30 + len(listed))
        if len(head) < 30 or not head.startswith(_LOCAL):
            raise Malformed("a member of the archive is damaged")
        _, flags, method, crc, packed, size, name_size, extra_size = _HEADER.unpack_from(head)
        same = name_size == len(listed) and head[30:] == listed and method == info.compress_type
        if (flags ^ info.flag_bits) & UTF8:
            same = same and listed.isascii()
        if not flags & _SIZES_FOLLOW and 0xFFFFFFFF not in (packed, size) and (crc, packed, size) != (0, 0, 0):
            same = same and (crc, packed, size) == (info.CRC, info.compress_size, info.file_size)
        if not same:
            raise Malformed("a member of the archive is damaged: the directory says otherwise than the member itself")
        start: int = info.header_offset + 30 + name_size + extra_size
        self._starts.append(start)
        end = start + info.compress_size
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
            self.outside += len(block) if block.strip(b"\0") else 0

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
