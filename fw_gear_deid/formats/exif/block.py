"""An EXIF block, open: its directories, their entries, and where the values of these stand (TIFF 6.0 §2).

Directories that point at each other, stand in each other or reach past the end are damage. A pointer out of the block
is none: no reader finds anything there. A value past the end is damage only for who is to change it: tools write such.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from fw_gear_deid.formats.exif.tags import BELOW, IMAGES, SUB, name_of, space
from fw_gear_deid.formats.exif.values import SIZES, texts_of
from fw_gear_deid.model.action import Texts
from fw_gear_deid.model.errors import Malformed

ORDERS = {b"II*\0": "<", b"MM\0*": ">"}
EMPTY = b"MM\0*\0\0\0\x08" + bytes(6)
"""A block without a tag."""
_ENDS = {1: "st", 2: "nd", 3: "rd"}
_POINTERS = (3, 4, 13)
_DIRECTORIES = 64
"""So many a block may have; cameras write five."""
Span = tuple[int, int]
_OVERLAP = 8
"""Values and pictures together take at most so many times their block's length; in a block that is whole, once."""
_PICTURES = 4096
CUT = ("<cut>",)
"""What a value says that is not there, or of a type that nobody knows: whatever a rule makes of it is refused."""


@dataclass(slots=True)
class Entry:
    """A tag of a directory.

    Attributes
    ----------
    directory : str
        Name of the one that it stands in.
    tag, type, count : int
    at : int
        Where its 12 bytes begin.
    value : tuple of int
        From where to where its value stands, in the entry or elsewhere.
    is_whole : bool
        The value is there, and of a known type.
    below : list of Directory
        Those that it points at.
    images : list of tuple of int
        Where the bytes of a picture stand that it points at.
    """

    directory: str
    tag: int
    type: int
    count: int
    at: int
    value: Span
    is_whole: bool
    below: list[Directory] = field(default_factory=list)
    images: list[Span] = field(default_factory=list)

    @property
    def name(self) -> str:
        """What the tag is called."""
        return name_of(self.directory, self.tag)

    @property
    def is_inside(self) -> bool:
        """Whether the value stands in the entry itself."""
        return self.at < self.value[0] < self.at + 12

    @property
    def is_pointer(self) -> bool:
        """Whether it points at directories."""
        return self.tag in BELOW and space(self.directory) == ""


@dataclass(slots=True)
class Directory:
    """A directory, with the one that follows it in its chain."""

    name: str
    at: int
    entries: list[Entry]
    follows: Directory | None = None

    @property
    def end(self) -> int:
        """Where its entries end, and the pointer at the next directory begins."""
        return self.at + 2 + 12 * len(self.entries)


class Block:
    """An EXIF block.

    Parameters
    ----------
    data : bytes
        From the byte order mark on.

    Attributes
    ----------
    order : str
        ``<`` or ``>``.
    first : Directory
    directories : list of Directory
        All, each before those that its entries point at.
    solid : list of tuple of int
        Where the header and they stand, without the pointers at the next.
    entries : list of Entry
        All, in the order of the fields: what is in a directory follows the entry that points at it.

    Raises
    ------
    Malformed
    """

    def __init__(self, data: bytes) -> None:
        self.data = data
        if data[:4] not in ORDERS or len(data) < 8:
            raise Malformed("an EXIF block begins with no byte order")
        self.order = ORDERS[data[:4]]
        self.directories: list[Directory] = []
        self.solid: list[Span] = [(0, 8)]
        self._taken = self._pictures = 0
        self.first = self._chain(self._number(4))
        self.entries = list(_in_order(self.first))

    def texts(self, entry: Entry) -> Texts:
        """Return the texts of an entry."""
        if not entry.is_whole:
            return CUT if entry.count else ("",)
        return texts_of(entry.directory, entry.tag, entry.type, self.raw(entry), self.order)

    def raw(self, entry: Entry) -> bytes:
        """Return the bytes of a value."""
        return self.data[slice(*entry.value)]

    def pictures(self) -> Iterator[bytes]:
        """Yield what is a picture of its own in the block: thumbnails."""
        for entry in self.entries:
            for start, end in entry.images:
                yield self.data[start:end]

    def uses(self, entries: Sequence[Entry], mask: bytearray) -> None:
        """Mark the bytes outside of directories that values and pictures of some entries take."""
        for entry in entries:
            values = () if entry.is_inside else (entry.value,)
            for start, end in (*values, *entry.images):
                mask[start:end] = b"\1" * len(mask[start:end])

    def gaps(self) -> Iterator[bytes]:
        """Yield what stands in the block and belongs to nothing in it."""
        mask = self.mask()
        at = mask.find(0)
        while at >= 0:
            end = mask.find(1, at)
            end = len(mask) if end < 0 else end
            yield self.data[at:end]
            at = mask.find(0, end)

    def mask(self) -> bytearray:
        """Return a 1 for each byte of the block that belongs to something."""
        mask = bytearray(len(self.data))
        self.uses(self.entries, mask)
        for start, end in (*self.solid, *((one.end, one.end + 4) for one in self.directories)):
            mask[start:end] = b"\1" * len(mask[start:end])
        return mask

    def _number(self, at: int) -> int:
        return int(struct.unpack_from(self.order + "I", self.data, at)[0])

    def _chain(self, at: int) -> Directory:
        """Read the directories of the chain."""
        first = last = self._directory("0th", at)
        for number in range(1, _DIRECTORIES + 1):
            at = self._number(last.end) if last.end + 4 <= len(self.data) else 0
            if not self._is_there(at):
                break
            last.follows = self._directory(f"{number}{_ENDS.get(number, 'th')}", at)
            last = last.follows
        return first

    def _is_there(self, at: int) -> bool:
        return 8 <= at <= len(self.data) - 2

    def _directory(self, name: str, at: int) -> Directory:
        data = self.data
        if not self._is_there(at):
            raise Malformed("an EXIF directory stands outside of its block")
        (count,) = struct.unpack_from(self.order + "H", data, at)
        span = at, at + 2 + 12 * count
        if span[1] > len(data):
            raise Malformed("an EXIF directory runs past the end of its block")
        if any(span[0] < end and start < span[1] for start, end in self.solid):
            raise Malformed("EXIF directories stand in each other")
        if len(self.solid) > _DIRECTORIES:
            raise Malformed(f"more than {_DIRECTORIES} EXIF directories")
        self.solid.append(span)
        found = Directory(name, at, [self._entry(name, at + 2 + 12 * number) for number in range(count)])
        self.directories.append(found)
        for entry in found.entries:
            if entry.is_pointer:
                entry.below = [self._directory(BELOW[entry.tag], start) for start in self._pointed(entry)]
        for entry in found.entries:
            for image in self._images(entry, found):
                self._count(image)
                self._pictures += 1
                entry.images.append(image)
        return found

    def _count(self, span: Span) -> None:
        self._taken += span[1] - span[0]
        if self._taken > _OVERLAP * len(self.data) or self._pictures > _PICTURES:
            raise Malformed("values of an EXIF block stand in each other")

    def _entry(self, directory: str, at: int) -> Entry:
        tag, kind, count, start = struct.unpack_from(self.order + "HHII", self.data, at)
        size = SIZES.get(kind, 0) * count
        if size <= 4:
            return Entry(directory, tag, kind, count, at, (at + 8, at + 8 + (size or 4)), kind in SIZES and count > 0)
        is_whole = start + size <= len(self.data)
        if is_whole:
            self._count((start, start + size))
        return Entry(
            directory, tag, kind, count, at, (start, start + size) if is_whole else (at + 8, at + 12), is_whole
        )

    def _pointed(self, entry: Entry) -> list[int]:
        if not entry.is_whole or entry.type not in _POINTERS or (entry.count != 1 and entry.tag != SUB):
            raise Malformed(f"EXIF {entry.directory} {entry.name} points at no directory")
        return list(filter(self._is_there, self._numbers(entry)))

    def _numbers(self, entry: Entry) -> list[int]:
        code = "H" if entry.type == 3 else "I"
        return [one for (one,) in struct.iter_unpack(self.order + code, self.raw(entry))]

    def _images(self, entry: Entry, directory: Directory) -> Iterator[Span]:
        """Yield where the bytes of pictures stand; of one that is cut, those that are there."""
        if entry.tag not in IMAGES or space(entry.directory):
            return
        sizes = [one for one in directory.entries if one.tag == IMAGES[entry.tag]]
        if not all(one.is_whole and one.type in _POINTERS for one in (entry, *sizes)):
            return
        for one in sizes[:1]:
            for start, size in zip(self._numbers(entry), self._numbers(one), strict=False):
                if start < len(self.data):
                    yield start, min(start + size, len(self.data))


def _in_order(directory: Directory | None) -> Iterator[Entry]:
    while directory is not None:
        for entry in directory.entries:
            yield entry
            for below in entry.below:
                yield from _in_order(below)
        directory = directory.follows
