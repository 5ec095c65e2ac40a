"""What a ZIP archive's directory says ⇄ what lies in the file: members that are not listed are hidden ones.

zipfile believes the last directory. A second archive in front of it, a member that an update took out of the directory
alone, another name or size at the data: each is a file that some program shows and ours would lose.
"""

from __future__ import annotations

import struct
from array import array
from typing import IO

from fw_gear_deid.formats.archive.directory import UTF8, Directory, Entry
from fw_gear_deid.model.errors import Malformed

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
    listed : Directory
    """

    def __init__(self, stream: IO[bytes], listed: Directory) -> None:
        self._stream = stream
        self._listed = listed
        self.outside = 0
        """Bytes that belong to nothing."""
        self.starts = array("q", bytes(8 * len(listed)))
        """Where the data of each begins, once all are compared."""

    def check(self) -> None:
        """Compare all.

        Raises
        ------
        Malformed
        """
        at, start, order = 0, self._listed.start, self._listed.in_file()
        for place, number in enumerate(order):
            entry = self._listed.entry(number)
            if entry.offset != at:
                if entry.offset < at:
                    raise Malformed("members of the archive lie over each other")
                self._gap(at, entry.offset, first=place == 0)
            limit = self._listed.entry(order[place + 1]).offset if place + 1 < len(order) else start
            at = self._member(entry, limit)
        self._gap(at, start, first=not order)
        self._gap(self._directory(), self._size(), first=False)

    def _member(self, entry: Entry, limit: int) -> int:
        """Compare an entry with the header at its data; return where its record ends."""
        listed = entry.listed.encode("utf-8" if entry.flags & UTF8 else "cp437")
        head = self._read(entry.offset, 30 + len(listed))
        if len(head) < 30 or not head.startswith(_LOCAL):
            raise Malformed("a member of the archive is damaged")
        _, flags, method, crc, packed, size, name_size, extra_size = _HEADER.unpack_from(head)
        same = name_size == len(listed) and head[30:] == listed and method == entry.method
        if (flags ^ entry.flags) & UTF8:
            same = same and listed.isascii()
        if not flags & _SIZES_FOLLOW and 0xFFFFFFFF not in (packed, size) and (crc, packed, size) != (0, 0, 0):
            same = same and (crc, packed, size) == (entry.crc, entry.packed, entry.size)
        if not same:
            raise Malformed("a member of the archive is damaged: the directory says otherwise than the member itself")
        start: int = entry.offset + 30 + name_size + extra_size
        self.starts[entry.number] = start
        end = start + entry.packed
        if flags & _SIZES_FOLLOW:
            end += self._descriptor(entry, end)
        if end > limit:
            raise Malformed("members of the archive lie over each other")
        return end

    def _descriptor(self, entry: Entry, at: int) -> int:
        """Return the length of CRC and sizes behind the data, signed or not, of 4 bytes or of 8 (APPNOTE 4.3.9)."""
        found = self._read(at, 24)
        for signature in (_DESCRIPTOR, b""):
            for layout in ("<LLL", "<LQQ"):
                try:
                    numbers = struct.pack(layout, entry.crc, entry.packed, entry.size)
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
        at = self._listed.start
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
                if listed not in (len(self._listed) & 0xFFFF, 0xFFFF):
                    raise Malformed("the archive's directory has another number of members than it says")
                return at + 22 + int(comment)
            else:
                raise Malformed("the archive is damaged or no ZIP archive")

    def _read(self, at: int, size: int) -> bytes:
        self._stream.seek(at)
        return self._stream.read(size)

    def _size(self) -> int:
        return self._stream.seek(0, 2)
