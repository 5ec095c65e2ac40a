"""TIFF files, byte by byte: pages, sub-images, blocks, both byte orders, both widths; values and pixels where one wants."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import Any

SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
LETTERS = {1: "B", 3: "H", 4: "L", 6: "b", 8: "h", 9: "l", 11: "f", 12: "d", 13: "L", 16: "Q", 17: "q", 18: "Q"}
Tags = dict[int, Any]
"""Tag → (type, value): text or bytes, numbers, pairs of a rational; directories that it points at; pixels elsewhere."""


@dataclass
class Below:
    """Directories that a tag points at."""

    inside: list[Tags]


@dataclass
class Pixels:
    """Bytes of a picture, which a tag holds the place of, in pieces."""

    pieces: list[bytes]


@dataclass
class At:
    """A value that stands where another one does: of a tag of the same directory, so many bytes in."""

    tag: int
    more: int = 0
    count: int = 0


@dataclass
class Built:
    """A file under construction."""

    order: str = "<"
    big: bool = False
    data: bytearray = field(default_factory=bytearray)
    stands: dict[int, int] = field(default_factory=dict)

    @property
    def width(self) -> int:
        return 8 if self.big else 4

    def place(self, at: int) -> bytes:
        return struct.pack(self.order + ("Q" if self.big else "L"), at)

    def put(self, raw: bytes) -> int:
        if len(self.data) % 2:
            self.data.append(0)
        at = len(self.data)
        self.data += raw
        return at

    def raw(self, kind: int, value: Any) -> bytes:
        if isinstance(value, str):
            return value.encode() + b"\0"
        if isinstance(value, bytes):
            return value
        values = value if isinstance(value, list) else [value]
        if kind in (5, 10):
            return b"".join(struct.pack(self.order + ("2L" if kind == 5 else "2l"), *pair) for pair in values)
        return struct.pack(f"{self.order}{len(values)}{LETTERS[kind]}", *values)

    def entry(self, tag: int, kind: int, value: Any) -> bytes:
        if isinstance(value, Below):
            value = [self.directory(one)[0] for one in value.inside]
        elif isinstance(value, Pixels):
            value = [self.put(one) for one in value.pieces]
        if isinstance(value, At):
            size, stored = value.count, self.place(self.stands[value.tag] + value.more)
        else:
            raw = self.raw(kind, value)
            size, stored = len(raw) // SIZES[kind], raw.ljust(self.width, b"\0")
            if len(raw) > self.width:
                self.stands[tag] = self.put(raw)
                stored = self.place(self.stands[tag])
        return struct.pack(self.order + ("HHQ" if self.big else "HHL"), tag, kind, size) + stored

    def directory(self, tags: Tags) -> tuple[int, int]:
        """Write a directory; return where it stands, and where the place of the next one."""
        entries = [self.entry(tag, *tags[tag]) for tag in sorted(tags)]
        count = struct.pack(self.order + ("Q" if self.big else "H"), len(entries))
        at = self.put(count + b"".join(entries) + bytes(self.width))
        return at, len(self.data) - self.width


def tiff(*pages: Tags, order: str = "<", big: bool = False, lead: bytes = b"", tail: bytes = b"") -> bytes:
    """Return a file of pages; ``lead`` and ``tail`` are bytes that nothing points at."""
    mark = b"II" if order == "<" else b"MM"
    head = struct.pack(order + "HHHQ", 43, 8, 0, 0) if big else struct.pack(order + "HL", 42, 0)
    built = Built(order, big, bytearray(mark + head + lead))
    link = 8 if big else 4
    for page in pages:
        at, after = built.directory(page)
        built.data[link : link + built.width] = built.place(at)
        link = after
    return bytes(built.data + tail)


def page(pixels: bytes = bytes(range(16)), width: int = 4, **tags: Any) -> Tags:
    """Return a gray page of one strip; ``t315=(2, "DOE")`` are more tags."""
    rows = len(pixels) // width
    return {
        256: (3, width), 257: (3, rows), 258: (3, 8), 259: (3, 1), 262: (3, 1), 273: (4, Pixels([pixels])),
        277: (3, 1), 278: (3, rows), 279: (4, len(pixels)),
    } | {int(name[1:]): value for name, value in tags.items()}  # fmt: skip


def tiled(tiles: list[bytes], side: int = 16, **tags: Any) -> Tags:
    """Return a gray page of tiles in a row."""
    return {
        256: (3, side * len(tiles)), 257: (3, side), 258: (3, 8), 259: (3, 1), 262: (3, 1), 277: (3, 1),
        322: (3, side), 323: (3, side), 324: (4, Pixels(tiles)), 325: (4, [len(one) for one in tiles]),
    } | {int(name[1:]): value for name, value in tags.items()}  # fmt: skip


def rich(order: str = "<", big: bool = False) -> bytes:
    """Return two pages with everything: texts, rationals, a sub-image, EXIF, GPS, Interop, XMP, tiles, private tags."""
    sub = page(b"\x31" * 8, t254=(4, 1), t270=(2, "WHAT below"), t315=(2, "SMITH^JOHN"))
    exif = {
        36867: (2, "2021:03:04 10:11:12"), 37500: (7, b"\1\2maker of things\0\xff\xfe"), 33434: (5, [(1, 60)]),
        37510: (7, b"ASCII\0\0\0somebody was here"), 40965: (4, Below([{1: (2, "R98"), 2: (7, b"0100")}])),
    }  # fmt: skip
    gps = {0: (1, [2, 3, 0, 0]), 1: (2, "N"), 2: (5, [(50, 1), (51, 1), (453561, 10000)]), 29: (2, "2021:03:04")}
    first = page(
        t270=(2, "WHAT, a long description that does not fit"), t282=(5, [(144, 2)]), t283=(5, [(72, 1)] if big else At(282, count=1)), t305=(2, "soft"),
        t306=(2, "2021:03:04 10:11:12"), t315=(2, "DOE^JANE"), t330=(4, Below([sub])), t700=(1, b"<x>packet</x>"),
        t34665=(4, Below([exif])), t34853=(4, Below([gps])), t40093=(1, "WIDE\0".encode("utf-16-le")),
        t33723=(7, b"\x1c\2\x50\0\4IPTC"), t65000=(12, [0.5, 2.0]), t65001=(2, "ours private"),
    )  # fmt: skip
    second = tiled([b"\x41" * 256, b"\x42" * 256], t315=(2, "ROE"), t306=(2, "2021:03:05 10:11:12"))
    return tiff(first, second, order=order, big=big)
