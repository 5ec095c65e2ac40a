"""A JPEG file, open: tags of its EXIF blocks are fields that rules can name; all else is there to go, or to stay.

Each other segment is a field without a name of its own, so that audit and check know of it; digests stand in the names
of what must not change.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256

from fw_gear_deid.formats.exif.block import EMPTY, Block, Entry
from fw_gear_deid.formats.exif.edit import edited
from fw_gear_deid.formats.exif.tags import GPS, Tag, named, space
from fw_gear_deid.formats.exif.values import TYPES
from fw_gear_deid.formats.jpg import kinds
from fw_gear_deid.formats.jpg.segments import APP1, Segment, segments
from fw_gear_deid.formats.row import Changes, Field, Options, Splice
from fw_gear_deid.model.action import Gone, Texts
from fw_gear_deid.model.errors import Malformed, Unfit
from fw_gear_deid.model.outcome import Always

_POSITION = (b"GPSLatitude", b"GPSLongitude", b"GPSDestLatitude", b"GPSCoordinates")
"""What an XMP packet calls the position; such a packet goes with ``remove-gps``."""
_LONGEST = 65535


@dataclass(slots=True)
class _Part:
    """A segment, with its place among the fields: of one of EXIF, that of its first tag."""

    segment: Segment
    kind: str
    number: int = -1
    block: Block | None = None


class Document:
    """A JPEG file, open; as ``formats.row.Document``."""

    def __init__(self, data: bytes, options: Options) -> None:
        self._data = data
        self._bare, self._no_place = bool(options.get("remove-exif")), bool(options.get("remove-gps"))
        self.fields: list[Field] = []
        self.gone: dict[int, str] = {}
        self._tags: dict[tuple[str, int], list[int]] = {}
        self._parts = [_Part(one, kinds.kind_of(data, one)) for one in segments(data)]
        self._add_picture()
        is_followed = self._parts[-1].kind == kinds.BEHIND
        for part in self._parts:
            if part.kind in kinds.HEADERS:
                self._add_rest(part)
            elif part.kind == kinds.EXIF:
                self._add_block(part)
            elif part.kind != kinds.PICTURE:
                part.number = self._add_segment(part)
                if part.kind == kinds.BEHIND or (is_followed and part.kind == kinds.MPF):
                    self.gone[part.number] = Always.PICTURE_END.value

    def find(self, name: str) -> Sequence[int]:
        """Return the fields of a tag, in whatever directory."""
        return sorted(number for tag in named(name) for number in self._tags.get((space(tag.home), tag.number), ()))

    def loose(self) -> dict[int, list[bytes]]:
        """Return what the segments say that the picture does without."""
        told = (one for one in self._parts if one.number >= 0 and one.block is None and one.kind not in kinds.SHOWS)
        return {one.number: [self._content(one)] for one in told}

    def splices(self, changes: Changes) -> Sequence[Splice]:
        """Return what is to be done to the bytes.

        Raises
        ------
        Unfit
        """
        made = [(_tag_of(name), texts) for name, texts in changes.made.items()]
        into = next((one for one in self._parts if one.block is not None and self._is_left(one, changes)), None)
        found = []
        for part in self._parts:
            if part.block is not None:
                found += self._block(part, changes, made if part is into else [])
            elif isinstance(changes.texts.get(part.number), Gone):
                found.append(self._without(part))
        if made and into is None:
            at = self._parts[1 if self._parts[1].kind == kinds.JFIF else 0].segment.end
            new = _wrapped(b"Exif\0\0", edited(Block(EMPTY), {}, made))
            found.append((at, at, new))
        return sorted(found)

    # -- fields ------------------------------------------------------------------------------------------

    def _add(self, field: Field, why: str = "") -> int:
        number = len(self.fields)
        self.fields.append(field)
        if why:
            self.gone[number] = why
        return number

    def _content(self, part: _Part) -> bytes:
        return self._data[part.segment.body : part.segment.end]

    def _add_picture(self) -> None:
        """Add what must never change: all that it takes to decode the image, and the headers that tell its colours."""
        picture = sha256()
        for part in self._parts:
            start, end = part.segment.start, part.segment.end
            if part.kind == kinds.PICTURE:
                picture.update(self._data[start:end])
            elif part.kind in kinds.HEADERS:
                picture.update(self._data[part.segment.body : part.segment.body + 12])
        self._add(Field(f"{kinds.PICTURE} {picture.hexdigest()}", kinds.PICTURE, ()))

    def _add_segment(self, part: _Part) -> int:
        content = self._content(part)
        why = "remove-exif" if self._bare and part.kind not in kinds.SHOWS else ""
        if self._no_place and part.kind == kinds.XMP and any(word in content for word in _POSITION):
            why = why or "remove-gps"
        name = f"{part.kind} {sha256(content).hexdigest()}"
        return self._add(Field(name, part.kind, (f"<{len(content)} bytes>",)), why)

    def _add_rest(self, part: _Part) -> None:
        """Add what stands behind the header of a segment: a thumbnail, or bytes that nobody reads."""
        size = kinds.HEADERS[part.kind]
        rest = self._data[part.segment.body + size : part.segment.end]
        if part.kind == kinds.JFIF and any(self._data[part.segment.body + 12 : part.segment.body + size]):
            rest = self._data[part.segment.body + 12 : part.segment.end]
        if rest:
            name = f"{part.kind} {sha256(rest).hexdigest()}"
            path = f"{part.kind} thumbnail" if part.kind == kinds.JFIF else f"{part.kind} bytes behind the header"
            part.number = self._add(Field(name, path, (f"<{len(rest)} bytes>",)), "remove-exif" if self._bare else "")

    def _add_block(self, part: _Part) -> None:
        block = self._opened(part)
        if block is None:
            part.number = self._add_segment(part)
            return
        part.block, part.number = block, len(self.fields)
        blocks = sum(one.block is not None for one in self._parts)
        places = {id(entry): len(self.fields) + at for at, entry in enumerate(block.entries)}
        for entry in block.entries:
            number = self._add(_field(block, entry, blocks), "remove-exif" if self._bare else "")
            self._tags.setdefault((space(entry.directory), entry.tag), []).append(number)
            if self._no_place and not self._bare and entry.is_pointer and entry.tag == GPS:
                inside = self.fields[number].holds
                self.gone |= dict.fromkeys(range(places[id(entry)], places[id(entry)] + inside + 1), "remove-gps")

    def _opened(self, part: _Part) -> Block | None:
        """Open a block; None where it says nothing, or nobody can read it and it goes whatever it says."""
        try:
            block = Block(self._data[part.segment.body + kinds.EXIF_HEAD : part.segment.end])
        except Malformed:
            if not self._bare:
                raise
            return None
        return block if block.entries else None

    # -- changes -----------------------------------------------------------------------------------------

    def _numbers(self, part: _Part) -> range:
        assert part.block is not None  # noqa: S101 -- asked of blocks alone
        return range(part.number, part.number + len(part.block.entries))

    def _is_left(self, part: _Part, changes: Changes) -> bool:
        return not all(isinstance(changes.texts.get(number), Gone) for number in self._numbers(part))

    def _block(self, part: _Part, changes: Changes, made: Sequence[tuple[Tag, Texts]]) -> list[Splice]:
        texts: Mapping[int, Texts | Gone] = {
            number - part.number: changes.texts[number] for number in self._numbers(part) if number in changes.texts
        }
        assert part.block is not None  # noqa: S101 -- asked of blocks alone
        start, end, body = part.segment.start, part.segment.end, part.segment.body
        if not texts and not made:
            return []
        new = edited(part.block, texts, made)
        return [(start, end, _wrapped(self._data[body : body + kinds.EXIF_HEAD], new) if new else b"")]

    def _without(self, part: _Part) -> Splice:
        segment = part.segment
        if part.kind not in kinds.HEADERS:
            return segment.start, segment.end, b""
        header = self._data[segment.body : segment.body + 12]
        if part.kind == kinds.JFIF:
            header += bytes(2)  # a thumbnail of no columns and no lines
        marker = self._data[segment.start : segment.body - 2]
        return segment.start, segment.end, marker + (len(header) + 2).to_bytes(2, "big") + header


def _field(block: Block, entry: Entry, blocks: int) -> Field:
    which = "" if blocks == 1 else f" of block {blocks}"
    images = " ".join(sha256(block.data[start:end]).hexdigest() for start, end in entry.images)
    name = f"{entry.directory}.{TYPES.get(entry.type, (str(entry.type),))[0]}{images and ' ' + images}.{entry.name}"
    path = f"EXIF {entry.directory} {entry.name}{which}"
    if not entry.is_pointer:
        return Field(name, path, block.texts(entry))
    return Field(name, path, (), holds=_inside(entry))


def _inside(entry: Entry) -> int:
    return sum(1 + _inside(one) for below in entry.below for one in below.entries)


def _tag_of(name: str) -> Tag:
    """Return the tag that a name is made as: the newest of its meanings."""
    return named(name)[-1]


def _wrapped(head: bytes, block: bytes) -> bytes:
    """Return a segment of EXIF.

    Raises
    ------
    Unfit
    """
    size = len(head) + len(block) + 2
    if size > _LONGEST:
        raise Unfit("its EXIF block would be longer than a JPEG segment can be; remove what is long in it")
    return bytes((0xFF, APP1)) + size.to_bytes(2, "big") + head + block
