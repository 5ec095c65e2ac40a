"""The second reader of EXIF blocks. It shares with the first nothing but the names of tags.

Pillow's reader would be another, and is too lenient to hold a result against: of two equal tags it keeps one, it leaves
out types that it does not know, values that are cut and all but the first two directories, and joins two blocks to one.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from hashlib import sha256
from typing import Literal

from fw_gear_deid.formats.exif.tags import name_of
from fw_gear_deid.model.errors import Malformed
from fw_gear_deid.model.frozen import frozen

_TYPES = {
    1: ("BYTE", 1), 2: ("ASCII", 1), 3: ("SHORT", 2), 4: ("LONG", 4), 5: ("RATIONAL", 8), 6: ("SBYTE", 1),
    7: ("UNDEFINED", 1), 8: ("SSHORT", 2), 9: ("SLONG", 4), 10: ("SRATIONAL", 8), 11: ("FLOAT", 4), 12: ("DOUBLE", 8),
    13: ("IFD", 4), 129: ("UTF-8", 1),
}  # fmt: skip
_WIDTHS = {kind: width for kind, (_, width) in _TYPES.items()}
_NAMES = {kind: name for kind, (name, _) in _TYPES.items()}
_BELOW = {0x8769: "Exif", 0x8825: "GPS", 0xA005: "Interop", 0x014A: "Sub"}
_LENGTHS = {0x0111: 0x0117, 0x0144: 0x0145, 0x0201: 0x0202}
_RAW = {0x02BC, 0x83BB, 0x8649, 0x8773}
_MOST, _MOST_PICTURES, _TIMES = 64, 4096, 8
_NO_BACKSLASH = bytes.maketrans(b"\\", b"/")


@frozen
class Found:
    """A tag of a block.

    Attributes
    ----------
    directory, name, type : str
    texts : tuple of str
    holds : int
        Of one that points at directories: how many of the next are in these. -1: it points at none.
    images : tuple of str
        Digests of the pictures that it points at.
    """

    directory: str
    name: str
    type: str
    texts: tuple[str, ...]
    holds: int
    images: tuple[str, ...]


class Reader:
    """A pass over a block; ``claimed`` has a 1 for each byte that belongs to something.

    Raises
    ------
    Malformed
    """

    def __init__(self, block: bytes) -> None:
        self._block = block
        mark = block[:4]
        if len(block) < 8 or mark not in (b"II\x2a\x00", b"MM\x00\x2a"):
            raise Malformed("an EXIF block begins with no byte order, to a second reader")
        self._order: Literal["little", "big"] = "little" if mark[:1] == b"I" else "big"
        self.claimed = bytearray(len(block))
        self._directories = bytearray(len(block))
        self._claim(0, 8, self._directories)
        self._count = self._sum = 0
        self.found: list[Found] = []
        self._images_at: list[tuple[int, int]] = []
        self._packages: list[tuple[str, bytes]] = []
        at, number = self._int(4, 4), 0
        while at and (not number or self._is_there(at)):
            end = self._directory(at, {0: "0th", 1: "1st", 2: "2nd", 3: "3rd"}.get(number, f"{number}th"))
            at, number = self._int(end, 4) if end + 4 <= len(block) else 0, number + 1
        if not number:
            raise Malformed("an EXIF block without a directory, to a second reader")

    def gaps(self) -> Iterator[bytes]:
        """Yield what belongs to nothing."""
        start = None
        for at, taken in enumerate(self.claimed + b"\1"):
            if start is None and not taken:
                start = at
            elif start is not None and taken:
                yield self._block[start:at]
                start = None

    def pictures(self) -> Iterator[bytes]:
        """Yield the pictures that tags point at: thumbnails."""
        for start, end in self._images_at:
            yield self._block[start:end]

    def packages(self) -> Iterator[tuple[str, bytes]]:
        """Yield name and bytes of tags that hold a format of its own."""
        yield from self._packages

    def _int(self, at: int, width: int, *, signed: bool = False) -> int:
        return int.from_bytes(self._block[at : at + width], self._order, signed=signed)

    def _is_there(self, at: int) -> bool:
        return at >= 8 and at + 2 <= len(self._block)

    def _claim(self, at: int, end: int, *more: bytearray) -> None:
        for mask in (self.claimed, *more):
            mask[at:end] = b"\1" * len(mask[at:end])

    def _directory(self, at: int, name: str) -> int:
        """Read one, and all below it; return where it ends."""
        end = at + 2 + 12 * self._int(at, 2)
        self._count += 1
        if at < 8 or at + 2 > len(self._block) or end > len(self._block) or self._count > _MOST:
            raise Malformed("an EXIF directory is cut, or there are too many, to a second reader")
        if any(self._directories[at:end]):
            raise Malformed("EXIF directories stand in each other, to a second reader")
        self._claim(at, end, self._directories)
        self._claim(end, end + 4)
        rows = range(at + 2, end, 12)
        for row in rows:
            self._entry(row, name, rows)
        return end

    def _entry(self, row: int, name: str, rows: range) -> None:
        tag, kind, count = self._int(row, 2), self._int(row + 2, 2), self._int(row + 4, 4)
        value = self._value(row)
        if value is not None and len(value) > 4:
            self._add(len(value))
        own = name in ("GPS", "Interop")
        pointer = tag in _BELOW and not own
        texts: tuple[str, ...] = ()
        if not pointer:
            texts = (
                ("<cut>",)
                if value is None and count
                else ("",)
                if value is None
                else self._texts(name, tag, kind, value)
            )
        if tag in _RAW and value is not None and not own:
            self._packages.append((name_of(name, tag), value))
        images = () if own else tuple(self._images(tag, value, kind, rows))
        number = len(self.found)
        self.found.append(Found(name, name_of(name, tag), _NAMES.get(kind, str(kind)), texts, -1, images))
        if pointer:
            if value is None or kind not in (3, 4, 13) or (count != 1 and tag != 0x014A):
                raise Malformed("an EXIF pointer points at nothing, to a second reader")
            width = _WIDTHS[kind]
            for at in range(0, len(value), width):
                start = int.from_bytes(value[at : at + width], self._order)
                if self._is_there(start):
                    self._directory(start, _BELOW[tag])
            holds = len(self.found) - number - 1
            self.found[number] = Found(name, name_of(name, tag), _NAMES[kind], (), holds, ())

    def _add(self, size: int) -> None:
        self._sum += size
        if self._sum > _TIMES * len(self._block) or len(self._images_at) > _MOST_PICTURES:
            raise Malformed("values of an EXIF block stand in each other, to a second reader")

    def _value(self, row: int) -> bytes | None:
        size = _WIDTHS.get(self._int(row + 2, 2), 0) * self._int(row + 4, 4)
        if not size:
            return None
        at = row + 8 if size <= 4 else self._int(row + 8, 4)
        if at + size > len(self._block):
            return None
        self._claim(at, at + size)
        return self._block[at : at + size]

    def _images(self, tag: int, value: bytes | None, kind: int, rows: range) -> Iterator[str]:
        if tag not in _LENGTHS or value is None or kind not in (3, 4, 13):
            return
        starts = self._ints(value, kind)
        row = next((one for one in rows if self._int(one, 2) == _LENGTHS[tag]), None)
        if row is None:
            return
        kind, sizes = self._int(row + 2, 2), self._value(row)
        if any(self._is_odd(one) for one in rows if self._int(one, 2) == _LENGTHS[tag]) or sizes is None:
            return
        for start, size in zip(starts, self._ints(sizes, kind), strict=False):
            if start < len(self._block):
                self._claim(start, start + size)
                self._images_at.append((start, start + size))
                self._add(min(size, len(self._block) - start))
                yield sha256(self._block[start : start + size]).hexdigest()

    def _is_odd(self, row: int) -> bool:
        return self._value(row) is None or self._int(row + 2, 2) not in (3, 4, 13)

    def _ints(self, value: bytes, kind: int) -> list[int]:
        width = _WIDTHS[kind]
        return [int.from_bytes(value[at : at + width], self._order) for at in range(0, len(value), width)]

    def _texts(self, name: str, tag: int, kind: int, value: bytes) -> tuple[str, ...]:
        if kind in (2, 129):
            return tuple(_read(one) for one in value.rstrip(b"\0").split(b"\0"))
        wide = "utf-16-le" if self._order == "little" else "utf-16-be"
        if name not in ("GPS", "Interop") and 0x9C9B <= tag <= 0x9C9F:
            return (str(value, "utf-16-le", "replace").rstrip("\0"),)
        if (tag == 0x9286 and name not in ("GPS", "Interop")) or (tag in (0x1B, 0x1C) and name == "GPS"):
            match value[:8]:
                case b"UNICODE\0":
                    return (str(value[8:], wide, "replace").rstrip("\0"),)
                case b"JIS\0\0\0\0\0":
                    return (str(value[8:].rstrip(b"\0"), "iso2022_jp", "replace"),)
                case b"ASCII\0\0\0" | b"\0\0\0\0\0\0\0\0":
                    return (_read(value[8:].rstrip(b"\0")),)
        if kind == 7 or tag in _RAW or (_WIDTHS[kind] == 1 and len(value) > 16):
            return (_read(value.rstrip(b"\0")),)
        width = _WIDTHS[kind]
        return tuple(self._number(kind, value[at : at + width]) for at in range(0, len(value), width))

    def _number(self, kind: int, value: bytes) -> str:
        signed = kind in (6, 8, 9, 10)
        if kind in (11, 12):
            (number,) = struct.unpack(("<" if self._order == "little" else ">") + ("f" if kind == 11 else "d"), value)
            return str(number)
        if kind not in (5, 10):
            return str(int.from_bytes(value, self._order, signed=signed))
        above = int.from_bytes(value[:4], self._order, signed=signed)
        below = int.from_bytes(value[4:], self._order, signed=signed)
        if not below:
            return f"{above}/0"
        whole, rest = divmod(above, below)
        return str(above / below) if rest else str(whole)


def _read(raw: bytes) -> str:
    try:
        return str(raw, "utf-8")
    except UnicodeDecodeError:
        return "".join(map(chr, raw.translate(_NO_BACKSLASH)))
