"""The second reader of TIFF files.

It shares with the first what is agreed on and no code that reads: names of tags, and what belongs to a picture. No
library is the second reader: Pillow passes over sub-images, and keeps one of two entries of a tag; tifffile wants
versions of Python and numpy that not everybody has.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from hashlib import sha256
from sys import byteorder
from typing import Literal

from fw_gear_deid.formats.row import Field
from fw_gear_deid.formats.tiff import names, picture
from fw_gear_deid.model.action import Texts
from fw_gear_deid.model.errors import Malformed

_ARRAYS = {1: "B", 3: "H", 4: "I", 6: "b", 8: "h", 9: "i", 11: "f", 12: "d", 13: "I", 16: "Q", 17: "q", 18: "Q"}
_SIZE = {kind: array(letter).itemsize for kind, letter in _ARRAYS.items()} | {2: 1, 5: 8, 7: 1, 10: 8}
_WHOLE = (1, 3, 4, 13, 16, 18)
_BLOCKS = {34665: "EXIF", 34853: "GPS", 40965: "Interop"}
_IFDS, _PLACES = 330, (13, 18)
_UTF16 = (40091, 40092, 40093, 40094, 40095)
_PACKETS = (700, 33723, 34377, 34675, 37724, 50839)
_CODED = {("", 37510), ("GPS", 27), ("GPS", 28)}
_CONTROL = frozenset(map(chr, (*range(9), 11, 12, *range(14, 32), 127)))
_MOST, _DEEP = 1024, 9
Row = tuple[int, int, int, int]
"""Tag, type, and where the value begins and ends."""

_ABSENT = 0, 0, 0, 0


class Again:
    """The fields of a TIFF file; as ``formats.row.Listing``.

    Raises
    ------
    Malformed
    """

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._order: Literal["little", "big"] = "little" if data[:2] == b"II" else "big"
        self._big = self._int(2, 2) == 43
        self._wide = 8 if self._big else 4
        self._spans: list[tuple[int, int]] = [(0, 16 if self._big or data[8:10] == b"CR" else 8)]
        self.fields: list[Field] = []
        self._tags: dict[names.Tag, list[int]] = {}
        self._known: dict[tuple[int, int, int, names.Tag], Texts] = {}
        pages = list(self._chain(self._int(self._wide, self._wide)))
        for number, rows in enumerate(pages):
            here = self._open("page")
            self._list(rows, "page", 0, len(pages) if not number else 0)
            self._shut(here)
        if self._has_more():
            self.fields.append(Field("unused bytes", "", ()))

    def find(self, name: str) -> Sequence[int]:
        """Return which of the fields a name points at."""
        meant = names.tags_of(name)
        return sorted(number for tag, found in self._tags.items() if tag in meant for number in found)

    def _int(self, at: int, size: int) -> int:
        raw = self._data[at : at + size]
        if len(raw) != size:
            raise Malformed("it ends too early for a second reader")
        return int.from_bytes(raw, self._order)

    def _chain(self, at: int) -> Iterator[list[Row]]:
        before = set()
        while at:
            if at in before:
                raise Malformed("its pages are a circle to a second reader")
            before.add(at)
            rows, at = self._rows(at, linked=True)
            yield rows

    def _rows(self, at: int, *, linked: bool) -> tuple[list[Row], int]:
        """Return the entries of a directory, and where the next one is."""
        head, long = (8, 20) if self._big else (2, 12)
        rows: list[Row] = []
        count, at = self._int(at, head), at + head
        self._spans.append((at - head, at))
        if at + count * long > len(self._data):
            raise Malformed("it ends too early for a second reader")
        for here in range(at, at + count * long, long):
            tag, kind, many = self._int(here, 2), self._int(here + 2, 2), self._int(here + 4, self._wide)
            size, place = _SIZE.get(kind, 0) * many, here + 4 + self._wide
            if kind not in _SIZE:
                size = self._wide
            if size > self._wide:
                place = self._int(place, self._wide)
                self._spans.append((here, here + long))
                self._spans.append((place, place + size))
            else:
                self._spans.append((here, place + size))
            if place + size > len(self._data):
                raise Malformed("a value is outside of the file to a second reader")
            rows.append((tag, kind, place, place + size))
        at += count * long
        after = self._int(at, self._wide) if linked else 0
        self._spans.append((at, at + self._wide if linked else at))
        return rows, after

    def _open(self, name: str) -> int:
        self.fields.append(Field(name, "", ()))
        return len(self.fields) - 1

    def _shut(self, number: int) -> None:
        self.fields[number] = Field(self.fields[number].name, "", (), len(self.fields) - number - 1)

    def _list(self, rows: list[Row], role: str, depth: int, pages: int) -> None:
        """Add the fields of a directory and of all below it; ``pages`` of the file, told of the first one only."""
        if depth > _DEEP:
            raise Malformed("its directories are too deep for a second reader")
        group = role if role in ("GPS", "Interop") else ""
        for tag, kind, start, end in rows:
            number = len(self.fields)
            self._tags.setdefault((group, tag), []).append(number)
            name = names.name_of(group, tag)
            below = self._below(tag, kind, self._data[start:end]) if self._points(tag, kind) else []
            if not below:
                self.fields.append(Field(name, "", self._told(start, end, kind, (group, tag))))
                continue
            self._open(name)
            for one in below:
                self._list(one, _BLOCKS.get(tag, "sub"), depth + 1, 0)
            self._shut(number)
        self._picture(rows, pages)

    def _points(self, tag: int, kind: int) -> bool:
        return kind in _WHOLE and (tag in _BLOCKS or tag == _IFDS or kind in _PLACES)

    def _below(self, tag: int, kind: int, raw: bytes) -> list[list[Row]]:
        """Return the directories that an entry points at, and those that they are chained to."""
        queue = [at for at in self._numbers(raw, kind) if at]
        found: list[list[Row]] = []
        told = {0, *queue}
        while len(found) < len(queue):
            rows, after = self._rows(queue[len(found)], linked=tag not in _BLOCKS)
            found.append(rows)
            if after not in told:
                told.add(after)
                queue.append(after)
        return found

    def _picture(self, rows: list[Row], pages: int) -> None:
        told: dict[int, Row] = {}
        for one in rows:
            told.setdefault(one[0], one)

        def numbers(tag: int) -> Sequence[int]:
            _, kind, start, end = told.get(tag, _ABSENT)
            return self._numbers(self._data[start:end], kind) if kind in _WHOLE else ()

        found = picture.pixels(numbers, self._data, "a directory")
        _, kind, start, end = told.get(270, _ABSENT)
        description = "\n".join(self._told(start, end, kind, ("", 270))) if kind and pages else ""
        follow = picture.following(description, numbers)
        if follow > max(1, pages):
            found.sure += picture.rest_of(follow, found, numbers, len(self._data))
        self._spans += found.sure + found.perhaps
        merged: list[tuple[int, int]] = []
        for start, end in sorted(found.sure):
            if merged and start <= merged[-1][1]:
                start, end = merged[-1][0], max(end, merged.pop()[1])
            if start < end:
                merged.append((start, end))
        if merged:
            self.fields.append(Field(picture.NAME, "", (picture.told(self._data, merged),)))

    def _has_more(self) -> bool:
        """Tell whether something stands where nothing points at."""
        at = 0
        for start, end in sorted((*self._spans, (len(self._data), len(self._data)))):
            if start > at and self._data.count(0, at, start) != start - at:
                return True
            at = max(at, end)
        return False

    def _numbers(self, raw: bytes, kind: int) -> Sequence[int]:
        found: array[int] = array(_ARRAYS[kind], raw)
        if self._order != byteorder:
            found.byteswap()
        return found

    def _told(self, start: int, end: int, kind: int, tag: names.Tag) -> Texts:
        """Return the texts of a value; of one that many point at, always the same."""
        key = start, end, kind, tag
        if end - start <= self._wide:
            return self._texts(self._data[start:end], kind, tag)
        if key not in self._known:
            self._known[key] = self._texts(self._data[start:end], kind, tag)
        return self._known[key]

    def _texts(self, raw: bytes, kind: int, tag: names.Tag) -> Texts:
        if kind not in _SIZE:
            return (f"<type {kind}, {raw.hex()}>",)
        if kind == 2:
            return _ascii(raw)
        if tag[1] in _UTF16 and kind in (1, 7):
            return (_utf16(raw, "little"),)
        if tag in _CODED and kind == 7 and raw[:8] == b"UNICODE\0":
            return (_utf16(raw[8:], self._order),)
        if tag in _CODED and kind == 7 and raw[:8] in (b"ASCII\0\0\0", bytes(8)):
            return (_blob(raw[8:]),)
        if kind == 7 or tag[1] in _PACKETS:
            return (_blob(raw),)
        count = len(raw) // _SIZE[kind]
        if count > _MOST:
            return (f"<{count} numbers, {sha256(raw).hexdigest()[:16]}>",)
        if kind in (5, 10):
            pairs = [
                [int.from_bytes(raw[at : at + 4], self._order, signed=kind == 10) for at in (at, at + 4)]
                for at in range(0, len(raw), 8)
            ]
            return tuple(_number(above / below) if below else f"{above}/0" for above, below in pairs)
        return tuple(_number(one) for one in self._numbers(raw, kind))


def _ascii(raw: bytes) -> Texts:
    end = len(raw)
    while end and not raw[end - 1]:
        end -= 1
    if raw.count(b"\0", 0, end) >= _MOST:
        return (f"<{raw.count(0, 0, end) + 1} texts, {sha256(raw).hexdigest()[:16]}>",)
    return tuple(_utf8(part) or "".join(map(chr, part)) for part in raw[:end].split(b"\0"))


def _utf8(raw: bytes) -> str:
    """Return bytes as UTF-8, nothing where they are none."""
    text = raw.decode("utf-8", "replace")
    return text if text.encode() == raw else ""


def _utf16(raw: bytes, order: str) -> str:
    mark = {b"\xff\xfe": "little", b"\xfe\xff": "big"}.get(raw[:2], "")
    body = raw[2:] if mark else raw
    codec = "utf-16-le" if (mark or order) == "little" else "utf-16-be"
    text = body.decode(codec, "replace")
    return text.rstrip("\0") if text.encode(codec) == body else _blob(body)


def _blob(raw: bytes) -> str:
    """Return bytes as the text that they are, or told."""
    plain = raw.rstrip(b"\0")
    text = _utf8(plain)
    if (text or not plain) and not any(letter in _CONTROL for letter in text):
        return text
    return f"<{len(raw)} bytes, {sha256(raw).hexdigest()[:16]}>"


def _number(number: float) -> str:
    text = repr(number)
    return text.removesuffix(".0") if abs(number) < 1e15 and number == number // 1 else text
