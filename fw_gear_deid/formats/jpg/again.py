"""The second reader of JPEG files: fields, what stands beside them, and what may tell whose a file is."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from hashlib import sha256
from itertools import chain

from fw_gear_deid.formats.exif.again import Found, Reader
from fw_gear_deid.formats.exif.tags import named, space
from fw_gear_deid.formats.row import Field, Options
from fw_gear_deid.model.errors import Malformed

_ALONE = {0xD8, 0xD9, *range(0xD0, 0xD8)}
_SHOWN = {*range(0xC0, 0xE0), 0xF7, 0xF8} - {0xC8}
_CODE = re.compile(rb"\xff[^\x00-\xbf\xff]")
_PIECE = tuple[str, bytes, bytes]
"""What it holds, its content, and all of it."""
_POSITION = {"GPSLatitude", "GPSLongitude", "GPSDestLatitude", "GPSDestLongitude"}
_SERIAL = {"BodySerialNumber", "LensSerialNumber", "CameraSerialNumber"}
_PACKAGES = {"XMLPacket": "XMP", "IPTCNAA": "IPTC", "ImageResources": "IPTC"}


def pieces(data: bytes) -> Iterator[_PIECE]:
    """Yield the pieces of a JPEG file in their order.

    Raises
    ------
    Malformed
    """
    if data[:2] != b"\xff\xd8":
        raise Malformed("it is no JPEG to a second reader")
    yield "picture", b"", data[:2]
    at, scanned = 2, False
    while True:
        start, code = _marker(data, at, scanned=scanned)
        if start > at:
            yield ("picture" if scanned else "bytes between segments"), data[at:start], data[at:start]
        body = data.index(code, start) + 1
        if code == 0xD8:
            raise Malformed("a JPEG image in another, to a second reader")
        if code in _ALONE:
            kind, at, scanned = "picture" if code == 0xD9 else f"segment {code:02X}", body, False
            yield kind, b"", data[start:at]
            if code == 0xD9:
                break
            continue
        at = body + (data[body] << 8 | data[body + 1]) if body + 2 <= len(data) else 0
        if not body + 2 <= at <= len(data):
            raise Malformed("a JPEG segment runs past the end, to a second reader")
        scanned = code == 0xDA
        yield _kind(code, data[body + 2 : at]), data[body + 2 : at], data[start:at]
    if at < len(data):
        yield "bytes behind the picture", data[at:], data[at:]


def _marker(data: bytes, at: int, *, scanned: bool) -> tuple[int, int]:
    """Return where the next marker begins, with its fill bytes, and its second byte."""
    for found in _CODE.finditer(data, at):
        code = found[0][1]
        if not (scanned and 0xD0 <= code <= 0xD7):
            start = found.start()
            while start > at and data[start - 1] == 0xFF:
                start -= 1
            return start, code
    raise Malformed("a JPEG image without an end, to a second reader")


def _kind(code: int, body: bytes) -> str:
    if code in _SHOWN:
        return "picture"
    match code:
        case 0xFE:
            return "comment"
        case 0xE0 if body[:5] == b"JFIF\0" and len(body) >= 14:
            return "JFIF"
        case 0xE0 if body[:5] == b"JFXX\0":
            return "JFXX thumbnail"
        case 0xE1 if body[:5].lower() == b"exif\0":
            return "EXIF"
        case 0xE1 if body[:20] == b"http://ns.adobe.com/":
            return "XMP"
        case 0xE2 if body[:12] == b"ICC_PROFILE\0":
            return "ICC profile"
        case 0xE2 if body[:4] == b"MPF\0":
            return "multi-picture index"
        case 0xED if body[:10] == b"Photoshop ":
            return "IPTC"
        case 0xEE if body[:5] == b"Adobe" and len(body) >= 12:
            return "Adobe"
    return f"APP{code - 0xE0} segment" if 0xE0 <= code <= 0xEF else f"segment {code:02X}"


class Again:
    """The fields of a JPEG file; as ``formats.row.Listing``."""

    def __init__(self, data: bytes, options: Options) -> None:
        self.fields: list[Field] = []
        self._tags: list[tuple[int, str, str]] = []
        picture, fields = sha256(), self.fields
        fields.append(Field("", "", ()))
        for kind, content, whole in pieces(data):
            if kind == "picture":
                picture.update(whole)
            elif kind in ("JFIF", "Adobe"):
                picture.update(content[:12])
                rest = content[14:] if kind == "JFIF" and content[12:14] == b"\0\0" else content[12:]
                if rest:
                    self._add(kind, rest)
            elif kind != "EXIF" or not self._block(content, bool(options.get("remove-exif"))):
                self._add(kind, content)
        fields[0] = Field(f"picture {picture.hexdigest()}", "", ())

    def find(self, name: str) -> Sequence[int]:
        """Return which of the fields a name of the profile, or a field's own, points at."""
        names = {(space(one.home), one.name) for one in named(name)}
        return [
            number
            for number, directory, tag in self._tags
            if (space(directory), tag) in names or self.fields[number].name == name
        ]

    def _add(self, kind: str, content: bytes) -> None:
        self.fields.append(Field(f"{kind} {sha256(content).hexdigest()}", "", (f"<{len(content)} bytes>",)))

    def _block(self, content: bytes, bare: bool) -> bool:
        """Add the fields of an EXIF block; tell whether it has some."""
        try:
            found = Reader(content[6:]).found
        except Malformed:
            if not bare:
                raise
            return False
        for one in found:
            self._tags.append((len(self.fields), one.directory, one.name))
            images = f" {' '.join(one.images)}" if one.images else ""
            self.fields.append(Field(f"{one.directory}.{one.type}{images}.{one.name}", "", one.texts, one.holds))
        return bool(found)


def beside(data: bytes, options: Options) -> Iterator[tuple[str, bytes]]:
    """Yield what stands in a file beside its fields, and in the thumbnails of its EXIF blocks.

    Colour profiles are left out: their texts are of those who make software and screens, and say so in common words.
    """
    for kind, content, _ in pieces(data):
        if kind == "EXIF":
            yield from beside_tags(content[6:])
        elif kind in ("JFIF", "Adobe"):
            yield f"{kind} segment", content[12:]
        elif kind not in ("picture", "ICC profile"):
            yield kind, content


def beside_tags(block: bytes) -> Iterator[tuple[str, bytes]]:
    """Yield what stands in an EXIF block beside its tags: gaps, packages, and segments of thumbnails."""
    reader = Reader(block)
    for gap in reader.gaps():
        yield "bytes of the EXIF block that belong to no tag", gap
    for one in reader.packages():
        yield f"{_PACKAGES.get(one[0], one[0])} in the EXIF block", one[1]
    for picture in reader.pictures():
        try:
            inside = list(pieces(picture)) if picture[:2] == b"\xff\xd8" else []
        except Malformed:
            inside = [("bytes of a damaged thumbnail", picture, b"")]
        for kind, content, _ in inside:
            if kind not in ("picture", "JFIF", "Adobe", "ICC profile"):
                yield f"{kind} of a thumbnail", content


def risks(data: bytes, options: Options) -> Sequence[str]:
    """Return words for what is in a file and may tell whose it is."""
    return list(dict.fromkeys(chain.from_iterable(map(_risks, pieces(data)))))


def _risks(piece: _PIECE) -> Iterator[str]:
    kind, content, _ = piece
    if kind == "EXIF":
        yield from risks_of_tags(content[6:])
    elif kind == "XMP":
        yield "XMP"
        if b"GPSLatitude" in content or b"GPSLongitude" in content:
            yield "GPS position"
    elif kind in ("comment", "IPTC"):
        yield kind
    elif kind == "JFXX thumbnail" or (kind == "JFIF" and len(content) > 14):
        yield "thumbnail"
    elif kind == "bytes between segments" or kind.endswith(" segment") or kind.startswith("segment "):
        yield "application segment"


def risks_of_tags(block: bytes) -> Iterator[str]:
    """Yield words for what is in an EXIF block."""
    for one in Reader(block).found:
        yield from _risk(one)


def _risk(one: Found) -> Iterator[str]:
    if one.directory == "GPS" and one.name in _POSITION:
        yield "GPS position"
    elif one.images:
        yield "thumbnail"
    elif one.name == "MakerNote":
        yield "maker note"
    elif one.name == "UserComment" and any(text.strip() for text in one.texts):
        yield "comment"
    elif one.name in _SERIAL:
        yield "serial number"
    elif one.name in _PACKAGES:
        yield _PACKAGES[one.name]
