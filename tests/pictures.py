"""JPEG and PNG files for tests, written byte by byte, and a reader of EXIF tags as they stand there."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

from fw_gear_deid.formats.exif.tags import name_of, named

Tags = Mapping[int, tuple[int, Any]]
"""Number of a tag → its type and value: text, bytes, numbers, pairs of numbers, or ``Tags`` in a directory of its own."""
SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4}
_CODES = {1: "B", 3: "H", 4: "I", 5: "II", 6: "b", 8: "h", 9: "i", 10: "ii", 11: "f", 12: "d", 13: "I"}
# a frame of one sample, and a scan with stuffed, fill and restart bytes in it
FRAME = bytes.fromhex("ffc0000b080001000101011100")
SCAN = bytes.fromhex("ffda0008010100003f00") + b"\x12\xff\x00\x34\xff\xd0\x56\xff\xff\x00\x78"
JFIF = b"JFIF\0\1\1\0\0\1\0\1\0\0"
IHDR = bytes.fromhex("00000001000000010800000000")


def seg(code: int, content: bytes = b"") -> bytes:
    """Return a JPEG segment."""
    return bytes((0xFF, code)) + struct.pack(">H", len(content) + 2) + content


def jpeg(*pieces: bytes, tail: bytes = b"", picture: bytes = FRAME + SCAN) -> bytes:
    """Return a JPEG file: JFIF, the pieces, the picture, its end, and what follows."""
    return b"\xff\xd8" + seg(0xE0, JFIF) + b"".join(pieces) + picture + b"\xff\xd9" + tail


def exif(block: bytes) -> bytes:
    """Return a segment with an EXIF block."""
    return seg(0xE1, b"Exif\0\0" + block)


def xmp(text: bytes) -> bytes:
    """Return a segment with an XMP packet."""
    return seg(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + text)


def tiff(*chain: Tags, order: str = "<", thumbnail: bytes = b"") -> bytes:
    """Return a block: its directories first, each followed by its values; the thumbnail is the last directory's."""
    out = bytearray((b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "I", 8))

    def raw(kind: int, value: Any) -> bytes:
        if isinstance(value, str):
            return value.encode() + b"\0" * (kind == 2)
        if isinstance(value, bytes):
            return value
        values = [value] if isinstance(value, int | float | tuple) else value
        flat = [one for each in values for one in (each if isinstance(each, tuple) else (each,))]
        return struct.pack(order + _CODES[kind] * len(values), *flat)

    def directory(tags: Tags) -> int:
        at, rows = len(out), sorted(tags)
        out.extend(bytes(2 + 12 * len(rows) + 4))
        struct.pack_into(order + "H", out, at, len(rows))
        for number, tag in enumerate(rows):
            kind, value = tags[tag]
            data = struct.pack(order + "I", directory(value)) if isinstance(value, Mapping) else raw(kind, value)
            where = at + 2 + 12 * number
            struct.pack_into(order + "HHI", out, where, tag, kind, len(data) // SIZES[kind])
            if len(data) > 4:
                out.extend(bytes(len(out) % 2))
                data, value = struct.pack(order + "I", len(out)), data
                out.extend(value)
            out[where + 8 : where + 8 + len(data)] = data
        return at

    last = 0
    for number, tags in enumerate(chain):
        is_last = bool(thumbnail) and number == len(chain) - 1
        own = dict(tags) | ({513: (4, 0), 514: (4, len(thumbnail))} if is_last else {})
        at = directory(own)
        if last:
            struct.pack_into(order + "I", out, last, at)
        last = at + 2 + 12 * len(own)
        if is_last:
            row = at + 2 + 12 * sorted(own).index(513) + 8
            struct.pack_into(order + "I", out, row, len(out))
            out.extend(thumbnail)
    return bytes(out)


def tags_of(block: bytes) -> dict[tuple[str, int], tuple[int, bytes]]:
    """Return type and bytes of each tag by directory and number, and the thumbnail's; pointers are followed, not told."""
    order = "<" if block[:2] == b"II" else ">"
    found: dict[tuple[str, int], tuple[int, bytes]] = {}

    def read(name: str, at: int) -> None:
        (count,) = struct.unpack_from(order + "H", block, at)
        for row in range(at + 2, at + 2 + 12 * count, 12):
            tag, kind, number, start = struct.unpack_from(order + "HHII", block, row)
            size = SIZES[kind] * number
            data = block[row + 8 : row + 8 + size] if size <= 4 else block[start : start + size]
            assert len(data) == size
            below = {34665: "Exif", 34853: "GPS", 40965: "Interop"}.get(tag)
            if below and name not in ("GPS", "Interop"):
                read(below, start)
            elif tag != 513:
                assert (name, tag) not in found
                found[name, tag] = kind, data
            else:
                (length,) = (struct.unpack_from(order + "I", block, one + 8)[0] for one in range(at + 2, at + 2 + 12 * count, 12)
                             if struct.unpack_from(order + "H", block, one)[0] == 514)  # fmt: skip
                found[name, 513] = 7, block[start : start + length]
        end = at + 2 + 12 * count
        (follows,) = struct.unpack_from(order + "I", block, end) if end + 4 <= len(block) else (0,)
        if follows and name in ("0th", "1st"):
            read({"0th": "1st", "1st": "2nd"}[name], follows)

    read("0th", struct.unpack_from(order + "I", block, 4)[0])
    return found


def blocks(data: bytes) -> Sequence[bytes]:
    """Return the EXIF blocks of a JPEG file."""
    found, at = [], 2
    while data[at] == 0xFF and data[at + 1] != 0xDA:
        size = int.from_bytes(data[at + 2 : at + 4], "big")
        if data[at + 1] == 0xE1 and data[at + 4 : at + 10] == b"Exif\0\0":
            found.append(data[at + 10 : at + 2 + size])
        at += 2 + size
    return found


def chunk(kind: bytes, content: bytes = b"", crc: int | None = None) -> bytes:
    """Return a PNG chunk."""
    sum_ = zlib.crc32(kind + content) if crc is None else crc
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", sum_)


def png(*before: bytes, after: Sequence[bytes] = (), tail: bytes = b"") -> bytes:
    """Return a PNG file of one sample, its image data in two chunks."""
    data = zlib.compress(b"\0\7")
    pieces = (chunk(b"IHDR", IHDR), *before, chunk(b"IDAT", data[:4]), chunk(b"IDAT", data[4:]), *after, chunk(b"IEND"))
    return b"\x89PNG\r\n\x1a\n" + b"".join(pieces) + tail


def photo(fields: Mapping[str, str]) -> bytes:
    """Return a JPEG file with some tags of text, by their names, and a comment."""
    tags: dict[str, dict[int, Any]] = {"0th": {}, "Exif": {}, "GPS": {}}
    pieces = [seg(0xFE, text.encode()) for name, text in fields.items() if name == "comment"]
    for name, text in fields.items():
        if name != "comment":
            tag = named(name)[-1]
            tags[tag.home][tag.number] = tag.type, text
    below = {34665: (4, tags["Exif"]), 34853: (4, tags["GPS"])}
    return jpeg(exif(tiff(tags["0th"] | {tag: value for tag, value in below.items() if value[1]})), *pieces)


def photo_fields(data: bytes) -> dict[str, str]:
    """Return the tags and comments of such a file."""
    found = {
        name_of(where, tag): raw.rstrip(b"\0").decode()
        for block in blocks(data)
        for (where, tag), (_, raw) in tags_of(block).items()
    }
    comments = data.partition(b"\xff\xfe")[2]
    return found | ({"comment": comments[2 : int.from_bytes(comments[:2], "big")].decode()} if comments else {})


def chunked(fields: Mapping[str, str]) -> bytes:
    """Return a PNG file with some chunks of text, by their types."""
    return png(*(chunk(name.encode(), text.replace("=", "\0").encode()) for name, text in fields.items()))


def chunk_fields(data: bytes) -> dict[str, str]:
    """Return the chunks of text of such a file."""
    found, at = {}, 8
    while at < len(data):
        size, name = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8].decode()
        if name not in ("IHDR", "IDAT", "IEND"):
            found[name] = data[at + 8 : at + 8 + size].replace(b"\0", b"=").decode()
        at += 12 + size
    return found
