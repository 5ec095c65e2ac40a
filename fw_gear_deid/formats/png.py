"""PNG (W3C, third edition) by chunks: types are the fields, image data are never unpacked and come out as they were."""

from __future__ import annotations

import re
import zlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from hashlib import sha256

from fw_gear_deid.formats.row import Changes, Codec, Field, Format, Options, Splice
from fw_gear_deid.formats.row import Document as Opened
from fw_gear_deid.model.action import Gone
from fw_gear_deid.model.errors import Malformed, Unfit
from fw_gear_deid.model.frozen import frozen
from fw_gear_deid.model.outcome import Always

BEGINS = b"\x89PNG\r\n\x1a\n"
_PICTURE = frozenset({"IHDR", "PLTE", "IDAT", "IEND"})
_NUMBERS = frozenset(
    {
        "tRNS",
        "cHRM",
        "cICP",
        "gAMA",
        "mDCV",
        "cLLI",
        "sBIT",
        "sRGB",
        "bKGD",
        "hIST",
        "pHYs",
        "tIME",
        "acTL",
        "fcTL",
        "fdAT",
    }
)
"""Types that hold numbers or pixels, and no text."""
_TEXTS = frozenset({"tEXt", "zTXt", "iTXt"})
PUBLIC = _PICTURE | _NUMBERS | _TEXTS | {"iCCP", "sPLT", "eXIf", "oFFs", "pCAL", "sCAL", "sTER", "dSIG"}
"""Types of the standard, and those of its extensions that measure."""
_AS_SPELT = {name.lower(): name for name in PUBLIC}
_TYPE = re.compile(r"[A-Za-z]{4}")
_BEHIND = "bytes behind the picture"
_LONGEST = (1 << 31) - 1
_MOST = 1 << 17
"""Chunks of a file; writers divide image data in pieces of 8 kB and more."""
_UNPACKED = 16 << 20
"""Bytes that the text of one chunk may have."""
_BLOCK = 1 << 20
"""Bytes of an EXIF block that is looked into; cameras write a hundredth of it."""
_WHO = re.compile(rb"author|artist|creator|owner|patient|subject|name|mrn|operator|physician", re.IGNORECASE)
"""Keywords of texts that tell of somebody."""
_HEX = re.compile(rb"\s*[a-z0-9]+\s+(\d+)\s+([0-9a-fA-F\s]*)")


@frozen
class Chunk:
    """A chunk of a file: its type, from where to where it stands, and its content."""

    type: str
    start: int
    end: int
    content: bytes


def chunks(data: bytes) -> list[Chunk]:
    """Return the chunks of a file, and what stands behind the last one as another.

    Raises
    ------
    Malformed
        One is cut or its sum is wrong, or there is no picture.
    """
    if not data.startswith(BEGINS):
        raise Malformed("it is no PNG")
    found: list[Chunk] = []
    at = len(BEGINS)
    while not found or found[-1].type != "IEND":
        size, kind = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8].decode("latin-1")
        end = at + 12 + size
        if size > _LONGEST or end > len(data):
            raise Malformed("a PNG chunk runs past the end: the file is cut")
        if not _TYPE.fullmatch(kind):
            raise Malformed("a PNG chunk has no type")
        if zlib.crc32(data[at + 4 : end - 4]) != int.from_bytes(data[end - 4 : end], "big"):
            raise Malformed(f"the sum of a PNG chunk is wrong ({kind})")
        if len(found) >= _MOST:
            raise Malformed(f"more than {_MOST} PNG chunks")
        found.append(Chunk(kind, at, end, data[at + 8 : end - 4]))
        at = end
    if found[0].type != "IHDR" or len(found[0].content) != 13 or not any(one.type == "IDAT" for one in found):
        raise Malformed("it is a PNG without a picture")
    if at < len(data):
        found.append(Chunk(_BEHIND, at, len(data), data[at:]))
    return found


class Document:
    """A PNG file, open; as ``formats.row.Document``."""

    def __init__(self, data: bytes, options: Options) -> None:
        self._chunks = chunks(data)
        self.fields = [Field(*_told(one.type, one.content)) for one in self._chunks]
        self.gone: dict[int, str] = {}
        for number, one in enumerate(self._chunks):
            if one.type == _BEHIND:
                self.gone[number] = Always.PICTURE_END.value
            elif options.get("remove-private-chunks") and one.type not in PUBLIC:
                self.gone[number] = "remove-private-chunks"

    def find(self, name: str) -> Sequence[int]:
        """Return the chunks of a type: a public one in any case."""
        spelt = _AS_SPELT.get(name.lower(), name)
        return [number for number, one in enumerate(self._chunks) if one.type == spelt]

    def loose(self) -> dict[int, list[bytes]]:
        """Return what chunks say that the picture does without; of one that cannot be unpacked, as it stands there."""
        found = {}
        for number, one in enumerate(self._chunks):
            if one.type in _TEXTS or one.type == "eXIf" or one.type not in PUBLIC:
                try:
                    found[number] = [said for _, said in _spoken(one)]
                except Malformed:
                    found[number] = [one.content]
        return found

    def splices(self, changes: Changes) -> Sequence[Splice]:
        """Return the chunks that go.

        Raises
        ------
        Unfit
            A rule takes a part of the picture.
        """
        gone = [self._chunks[number] for number, texts in sorted(changes.texts.items()) if isinstance(texts, Gone)]
        for one in gone:
            if one.type in _PICTURE:
                raise Unfit(f"{one.type} is part of the picture: it cannot be removed")
        return [(one.start, one.end, b"") for one in gone]


def _told(kind: str, content: bytes) -> tuple[str, str, tuple[str]]:
    """Return name, path and text of a chunk: of one that tells of somebody what it says, of others their size."""
    text = f"<{len(content)} bytes>"
    if kind in _TEXTS and _WHO.search(content.partition(b"\0")[0]):
        try:
            *_, (_, said) = _said(kind, content)
            text = said.decode("utf-8", "replace") or text
        except Malformed:
            pass  # it goes or is refused, whatever it says
    return f"{kind} {sha256(content).hexdigest()}", kind if kind == _BEHIND else f"chunk {kind}", (text,)


# -- what chunks say -----------------------------------------------------------------------------------


def _said(kind: str, content: bytes) -> Iterator[tuple[str, bytes]]:
    """Yield what a chunk says, unpacked: keyword first, text last.

    Raises
    ------
    Malformed
        What is packed is damaged, or more than anybody reads.
    """
    keyword, _, rest = content.partition(b"\0")
    match kind:
        case "tEXt":
            yield from ((kind, keyword), (kind, rest))
        case "zTXt":
            yield from ((kind, keyword), (kind, _unpacked(rest[1:])))
        case "iTXt":
            language, _, behind = rest[2:].partition(b"\0")
            translated, _, text = behind.partition(b"\0")
            yield from ((kind, keyword), (kind, language), (kind, translated))
            yield kind, _unpacked(text) if rest[:1] == b"\1" else text
        case _:
            yield kind, content


def _unpacked(data: bytes) -> bytes:
    stream = zlib.decompressobj()
    try:
        text = stream.decompress(data, _UNPACKED)
    except zlib.error:
        raise Malformed("a packed PNG chunk is damaged") from None
    if not stream.eof:
        raise Malformed(f"a packed PNG chunk is cut, or unpacks to more than {_UNPACKED >> 20} MB")
    return text + stream.unused_data


def _profile(text: bytes) -> bytes:
    """Return the bytes of a raw profile, which ImageMagick writes in hexadecimal."""
    found = _HEX.fullmatch(text)
    digits = re.sub(rb"\s", b"", found[2]) if found else b""
    return bytes.fromhex(digits[: len(digits) & ~1].decode())


def beside(data: bytes, options: Options) -> Iterator[tuple[str, bytes]]:
    """Yield what the chunks of a file say, unpacked; a colour profile tells of who makes screens."""
    for one in chunks(data):
        if one.type not in _PICTURE | _NUMBERS | {"iCCP"}:
            yield from _spoken(one)


def _spoken(chunk: Chunk) -> Iterator[tuple[str, bytes]]:
    for place, said in _said(chunk.type, chunk.content):
        yield place, said
        if chunk.type in _TEXTS and (profile := _profile(said)):
            yield f"raw profile in {place}", profile


def risks(data: bytes, options: Options) -> Sequence[str]:
    """Return words for what is in a file and may tell whose it is."""
    return list(dict.fromkeys(word for one in chunks(data) for word in _risks(one)))


def _risks(chunk: Chunk) -> Iterator[str]:
    keyword = chunk.content.partition(b"\0")[0].lower()
    if chunk.type == "eXIf":
        from fw_gear_deid.formats.jpg.again import risks_of_tags

        try:
            yield from risks_of_tags(chunk.content) if len(chunk.content) < _BLOCK else ("EXIF",)
        except Malformed:
            yield "damaged EXIF"
    elif chunk.type in _TEXTS and keyword == b"xml:com.adobe.xmp":
        yield "XMP"
    elif chunk.type in _TEXTS and keyword.startswith(b"raw profile type "):
        kind = keyword[17:].decode("latin-1")
        yield {"exif": "EXIF", "app1": "EXIF", "iptc": "IPTC", "8bim": "IPTC", "xmp": "XMP"}.get(kind, "raw profile")
    elif chunk.type in _TEXTS:
        yield "comment"
    elif chunk.type not in PUBLIC:
        yield "private chunk"


# -- read again ----------------------------------------------------------------------------------------


class Again:
    """The chunks of a PNG file as Pillow finds them; as ``formats.row.Listing``."""

    def __init__(self, data: bytes, options: Options) -> None:
        import io

        from PIL.PngImagePlugin import ChunkStream

        self._types: list[str] = []
        self.fields: list[Field] = []
        stream = io.BytesIO(data)
        stream.seek(len(BEGINS))
        reader = ChunkStream(stream)
        try:
            while not self._types or self._types[-1] != "IEND":
                kind, _, size = reader.read()
                content = stream.read(size)
                reader.crc(kind, content)
                self._add(kind.decode("ascii"), content)
        except (SyntaxError, OSError, ValueError, EOFError):
            raise Malformed("it is no PNG to a second reader") from None
        if behind := stream.read():
            self._add(_BEHIND, behind)

    def find(self, name: str) -> Sequence[int]:
        """Return the chunks of a type."""
        public = name.lower() in _AS_SPELT
        return [
            number for number, one in enumerate(self._types)
            if one == name or (public and one in PUBLIC and one.lower() == name.lower())
        ]  # fmt: skip

    def _add(self, kind: str, content: bytes) -> None:
        self._types.append(kind)
        self.fields.append(Field(*_told(kind, content)))


def _loose(document: Opened) -> Mapping[int, Sequence[bytes]]:
    return document.loose() if isinstance(document, Document) else {}


def _wrong(name: str) -> str:
    if _TYPE.fullmatch(name):
        return ""
    return "the type of a PNG chunk has four letters, such as tEXt"


def _stays(options: Options, gone: Collection[str]) -> Sequence[str]:
    names = {name.lower() for name in gone}
    left = [name for name in ("tEXt", "zTXt", "iTXt", "eXIf") if name.lower() not in names]
    told = [f"{', '.join(left)} chunks stay, with the names in them: name those that should go"] if left else []
    if not options.get("remove-private-chunks"):
        told.append("private chunks stay, whatever they hold: remove-private-chunks takes them")
    return told


FORMAT = Format(
    "png",
    "picture",
    ("*.png", "*.PNG"),
    lambda head: head.startswith(BEGINS),
    options={"remove-private-chunks": "bool"},
    codec=Codec(Document, Again, most=1 << 29, beside=beside, risks=risks, loose=_loose),
    wrong=_wrong,
    actions=frozenset({"keep", "remove"}),
    stays=_stays,
)
