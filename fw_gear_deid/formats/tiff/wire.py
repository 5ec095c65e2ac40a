"""Bytes of a TIFF file → its directories and where their values stand (TIFF 6.0 §2, BigTIFF).

Everything is read once: a directory that two point at is refused, and with it every circle.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field

from fw_gear_deid.formats.tiff import names
from fw_gear_deid.formats.tiff.ranges import Span
from fw_gear_deid.model.errors import Malformed

SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
"""Type of a value → bytes of one (TIFF 6.0 §2, supplement 1, BigTIFF)."""
POINTS = {names.EXIF_IFD: "EXIF", names.GPS_IFD: names.GPS, names.INTEROP_IFD: names.INTEROP}
"""Tags that point at a block: a directory of its own kind, without a picture."""
PAGE, SUB = "page", "sub"
_WHOLE = {3: "H", 4: "L", 13: "L", 16: "Q", 18: "Q", 1: "B"}
_IFDS = (13, 18)
_DEEP = 8
_MANY = 1_000_000
"""Tags of a file, and numbers of one value that are looked at."""
_TIMES = 4
"""How often, on the whole, values may be longer than the file: a few stand in each other without harm."""


@dataclass(slots=True)
class Entry:
    """A value of a directory.

    Attributes
    ----------
    at : int
        Where the entry itself stands.
    start, size : int
        Where its value stands, and its bytes.
    inline : bool
        It stands in the entry.
    slack : int
        Bytes behind it in the entry, where they are no zeros.
    below : list of Directory
        What it points at.
    number : int
        Among the fields of the file.
    """

    tag: int
    kind: int
    at: int
    start: int
    size: int
    inline: bool
    slack: int = 0
    below: list[Directory] = field(default_factory=list)
    number: int = -1

    @property
    def end(self) -> int:
        """Of the value."""
        return self.start + self.size

    @property
    def points(self) -> bool:
        """Whether it holds places of directories, and no value."""
        return self.tag in POINTS or self.tag == names.SUB_IFDS or self.kind in _IFDS


@dataclass(slots=True)
class Directory:
    """A page, a sub-image, or a block.

    Attributes
    ----------
    role : str
        ``PAGE``, ``SUB``, or the block's name.
    at, end : int
        Its first byte, and the first one behind its entries.
    link : int
        Where the place of the next one stands: behind the entries of pages and sub-images, 0 in a block.
    after : int
        That place.
    number : int
        Of the field that stands for a page.
    """

    role: str
    place: str
    at: int
    end: int
    link: int
    after: int
    entries: list[Entry]
    number: int = -1

    @property
    def group(self) -> str:
        """Whose numbers its tags are, as ``names`` has it."""
        return self.role if self.role in (names.GPS, names.INTEROP) else names.MAIN

    def within(self) -> Iterator[Directory]:
        """Yield it and what is below it."""
        yield self
        for entry in self.entries:
            for one in entry.below:
                yield from one.within()

    def spans(self, width: int) -> Iterator[Span]:
        """Yield its bytes, and those of its values elsewhere; ``width`` of a place."""
        yield self.at, self.end + (width if self.link else 0)
        for entry in self.entries:
            if not entry.inline:
                yield entry.start, entry.end

    def used(self, width: int) -> Iterator[Span]:
        """Yield its bytes but for those that a short value leaves over in its entry."""
        at = self.at
        for entry in self.entries:
            if entry.slack:
                yield at, entry.end
                at = entry.end + entry.slack
        yield at, self.end + (width if self.link else 0)

    def entry(self, tag: int) -> Entry | None:
        """Return the first entry of a tag."""
        return next((one for one in self.entries if one.tag == tag), None)


class Layout:
    """How numbers are written: byte order, and the width of places.

    Attributes
    ----------
    order : str
        As ``struct`` has it.
    big : bool
        BigTIFF.
    width : int
        Bytes of a place.
    first : int
        Where the place of the first directory stands.
    head : int
        Bytes of the header.
    """

    def __init__(self, data: bytes) -> None:
        self.order = {b"II": "<", b"MM": ">"}.get(data[:2], "")
        version = data[2:4] if self.order == "<" else data[3:1:-1]
        if not self.order or version not in (b"*\0", b"+\0"):
            raise Malformed("it is no TIFF file")
        self.big = version == b"+\0"
        self.width, self.first, self.head = (8, 8, 16) if self.big else (4, 4, 8)
        if len(data) < self.head:
            raise Malformed("a TIFF file that ends in its header")
        if self.big and self.numbers(data[4:8], 3) != (8, 0):
            raise Malformed("a BigTIFF file whose places have no eight bytes")
        if data[8:10] == b"CR" and not self.big:
            self.head = 16  # a camera's mark and its place of the raw picture (CR2)
        self._place = struct.Struct(self.order + ("Q" if self.big else "L"))
        self._count = struct.Struct(self.order + ("Q" if self.big else "H"))
        self._entry = struct.Struct(self.order + ("HHQ" if self.big else "HHL"))
        self.entry_size = self._entry.size + self.width
        self.count_size = self._count.size

    def numbers(self, raw: bytes, kind: int) -> tuple[int, ...]:
        """Return whole numbers without sign; nothing where a type has none."""
        letter = _WHOLE.get(kind, "")
        return struct.unpack(f"{self.order}{len(raw) // SIZES[kind]}{letter}", raw) if letter else ()

    def place(self, data: bytes, at: int) -> int:
        """Return a place that stands somewhere."""
        if at + self.width > len(data):
            raise Malformed("a directory runs past the end of the file")
        return int(self._place.unpack_from(data, at)[0])

    def put_place(self, place: int) -> bytes:
        """Return a place as it is written.

        Raises
        ------
        Malformed
            Four bytes are too few.
        """
        try:
            return self._place.pack(place)
        except struct.error:
            raise Malformed("with its new values it is larger than a TIFF file can be; BigTIFF can") from None

    def put_count(self, count: int) -> bytes:
        """Return the number of entries as it is written."""
        return self._count.pack(count)

    def put_entry(self, tag: int, kind: int, count: int, value: bytes) -> bytes:
        """Return an entry; its value, or its place, is filled up with zeros."""
        return self._entry.pack(tag, kind, count) + value.ljust(self.width, b"\0")

    def directory(self, data: bytes, at: int, role: str, place: str) -> Directory:
        """Read one directory, without what it points at."""
        if at < self.head or at + self.count_size > len(data):
            raise Malformed(f"{place}: its directory is outside of the file")
        count = int(self._count.unpack_from(data, at)[0])
        start = at + self.count_size
        end = start + count * self.entry_size
        if end > len(data):
            raise Malformed(f"{place}: its directory runs past the end of the file")
        if count > _MANY:
            raise Malformed(f"{place}: it has more than {_MANY} tags")
        entries = [self._read(data, one, place) for one in range(start, end, self.entry_size)]
        chained = role in (PAGE, SUB)
        return Directory(role, place, at, end, end if chained else 0, self.place(data, end) if chained else 0, entries)

    def _read(self, data: bytes, at: int, place: str) -> Entry:
        tag, kind, count = self._entry.unpack_from(data, at)
        inside = at + self._entry.size
        size = SIZES.get(kind, 0) * count
        if kind not in SIZES:
            return Entry(tag, kind, at, inside, self.width, True)  # a reader passes over it (TIFF 6.0 §2)
        if size <= self.width:
            end = inside + self.width
            slack = end - inside - size if data.count(0, inside + size, end) != end - inside - size else 0
            return Entry(tag, kind, at, inside, size, True, slack)
        start = self.place(data, inside)
        if start < self.head or start + size > len(data):
            raise Malformed(f"{place}: the value of tag {tag} is outside of the file")
        return Entry(tag, kind, at, start, size, False)


class File:
    """The directories of a TIFF file.

    Attributes
    ----------
    layout : Layout
    pages : list of Directory
        In the order of the chain.

    Raises
    ------
    Malformed
        It is cut, something is outside of it, or directories stand in each other or in a circle.
    """

    def __init__(self, data: bytes) -> None:
        self.layout = Layout(data)
        self._data = data
        self._seen: dict[int, int] = {}
        self._entries = 0
        self._values: set[Span] = set()
        self.pages: list[Directory] = []
        at = self.layout.place(data, self.layout.first)
        while at:
            page = self._directory(at, PAGE, f"page {len(self.pages) + 1}", 0)
            self.pages.append(page)
            at = page.after
        if not self.pages:
            raise Malformed("a TIFF file without a page")
        self._apart()

    def raw(self, entry: Entry) -> bytes:
        """Return the bytes of a value."""
        return self._data[entry.start : entry.start + entry.size]

    def numbers(self, directory: Directory, tag: int) -> tuple[int, ...]:
        """Return the whole numbers of a tag; nothing where it is absent."""
        found = directory.entry(tag)
        return () if found is None else self._whole(found)

    def _whole(self, entry: Entry) -> tuple[int, ...]:
        if entry.kind not in SIZES:
            return ()
        if entry.size > _MANY * SIZES[entry.kind]:
            raise Malformed(f"tag {entry.tag} has more than {_MANY} numbers")
        return self.layout.numbers(self.raw(entry), entry.kind)

    def _directory(self, at: int, role: str, place: str, deep: int) -> Directory:
        if at in self._seen:
            raise Malformed(f"{place}: its directory is one that was read before: a circle")
        if deep > _DEEP:
            raise Malformed(f"{place}: directories more than {_DEEP} deep")
        found = self.layout.directory(self._data, at, role, place)
        self._seen[at] = found.end
        self._entries += len(found.entries)
        if self._entries > _MANY:
            raise Malformed(f"it has more than {_MANY} tags")
        self._values.update((entry.start, entry.end) for entry in found.entries if not entry.inline)
        for entry in found.entries:
            if entry.points:
                entry.below = self._below(entry, place, deep + 1)
        return found

    def _below(self, entry: Entry, place: str, deep: int) -> list[Directory]:
        """Read what an entry points at: blocks, or sub-images and those that they are chained to."""
        role = POINTS.get(entry.tag, SUB)
        named = place + " " + (role if role != SUB else names.name_of(names.MAIN, entry.tag))
        waiting = [at for at in self._whole(entry) if at]
        told = {0, *waiting}
        found: list[Directory] = []
        for number, at in enumerate(waiting, 1):  # it grows
            one = self._directory(at, role, f"{named} {number}" if role == SUB else named, deep)
            found.append(one)
            if one.after not in told:
                told.add(one.after)
                waiting.append(one.after)
        return found

    def _apart(self) -> None:
        """Make sure that no directory stands in another, nor that many values do."""
        if sum(end - start for start, end in self._values) > _TIMES * len(self._data):
            raise Malformed("many values of it stand in each other")
        last = 0
        for at, end in sorted(self._seen.items()):
            if at < last:
                raise Malformed("directories of it stand in each other")
            last = end
