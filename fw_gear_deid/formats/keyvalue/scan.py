"""A text header → its keys and values by their spans: one key a line, or a key and the lines up to the next."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from fw_gear_deid.formats.keyvalue.kinds import JCAMP, LISTS, META_IMAGE_END, kind_of, size_of
from fw_gear_deid.formats.keyvalue.volume import check as check_data
from fw_gear_deid.formats.row import Options
from fw_gear_deid.formats.spans import Text
from fw_gear_deid.model.errors import Malformed, Unfit
from fw_gear_deid.model.patterns import Pattern

_LINE = re.compile(r"([^\r\n]*)(\r\n|\n|\r|\Z)")
_END = re.compile(r"\r\n|\n|\r")
_ENDS = re.compile(r"[ \t]*(?:\r\n|\n|\r)[ \t]*")
_SHAPE = re.compile(r"\([^()<>]*\)")  # of what follows: ( 64 ), (0..15), (XY..XY)
_ROOM = re.compile(r"\(\s*(?:\d+\s*,\s*)*(\d+)\s*\)")
_STRING = re.compile(r"<([^<>]*)>", re.DOTALL)
_MOST = 1_000_000
_SIGNS = ("#", "!", ";", "%", "*", "$$", "//", ">>>", "--", "==")
"""What a line begins with that is a comment in one language or another: it is no value of the line before."""


@dataclass(slots=True)
class Record:
    """A key with its value, or a comment; numbers are letters.

    Attributes
    ----------
    name : str
    start, end : int
        All that goes with it: whole lines.
    inner, inner_end : int
        Its value, without blanks around it.
    text : str
        The value as rules see it.
    line : int
        From 1.
    comment : bool
    between : str
        What stands between key and value.
    string : bool
        Its value stands in ``< >``.
    room : int
        How many bytes its value may have; 0: nothing says.
    followed : bool
        A line without a key follows that may be its value.
    """

    name: str
    start: int
    end: int
    inner: int
    inner_end: int
    text: str
    line: int
    comment: bool = False
    between: str = ""
    string: bool = False
    room: int = 0
    followed: bool = False


@dataclass(frozen=True, slots=True)
class _Line:
    number: int
    start: int
    stop: int
    end: int
    text: str


class Scan:
    """A file, scanned.

    Attributes
    ----------
    file : Text
        Its header.
    records : list of Record
    others : list of str
        Lines that are neither, and stay.
    where : int
        Letter at which a new line may be put.
    between : str
        What stands between key and value of a new line, as far as the kind of file tells.
    data : bool
        Data follow the header.

    Raises
    ------
    Unfit
        A line that no rule could reach, a key that stands twice, or bytes that are no text.
    """

    def __init__(self, data: bytes, options: Options) -> None:
        self._kind = kind_of(data)
        self._delimiter = Pattern(str(options.get("delimiter") or ""))
        self._tolerant = bool(options.get("ignore-bad-lines"))
        size = size_of(data, self._kind)
        self.file = Text(data[:size], str(options.get("encoding") or "utf-8"))
        self.between, self.data = self._kind.between, size < len(data)
        if "\0" in self.file.text:
            raise Malformed("it is no text: NUL bytes, where nothing says that data begin")
        self.records: list[Record] = []
        self.others: list[str] = []
        self.where = len(self.file.text)
        self._near = -1  # how many records there are, where the last one stands right before
        for block in self._blocks():
            self._take(block)
        self._check_names()
        self._find_place()
        if self.data:
            check_data({one.name: one.text for one in self.records}, memoryview(data)[size:])

    def _lines(self) -> Iterator[_Line]:
        at, number = 0, 0
        while at < len(self.file.text):
            found = _LINE.match(self.file.text, at)
            assert found is not None  # noqa: S101 -- any text has a line
            number += 1
            if number > _MOST:
                raise Unfit(f"more than {_MOST} lines")
            yield _Line(number, at, found.end(1), found.end(), found[1])
            at = found.end()

    def _blocks(self) -> Iterator[list[_Line]]:
        """Yield lines that belong together: each by itself, or a key with those behind it; none is blank."""
        block: list[_Line] = []
        for line in self._lines():
            if not line.text.strip():
                continue
            is_comment = bool(self._kind.comment) and line.text.startswith(self._kind.comment)
            if block and (is_comment or not self._kind.records or line.text.startswith(self._kind.records)):
                yield block
                block = []
            block.append(line)
        if block:
            yield block

    def _take(self, block: list[_Line]) -> None:
        first = block[0]
        if self._kind.comment and first.text.startswith(self._kind.comment):
            if len(block) > 1:
                raise Malformed(f"a comment stands in a value, before line {block[1].number}")
            self._comment(first)
        elif re.fullmatch(self._kind.frame, first.text.strip()):
            self.others.append(first.text)
        elif self.records and self.records[-1].name in LISTS and self.records[-1].text.startswith("LIST"):
            self.others.append(first.text)
            self.records[-1].followed = True
        else:
            self._key(block)

    def _comment(self, line: _Line) -> None:
        sign = self._kind.comment
        inner, inner_end = _trimmed(line.text, len(sign))
        self.records.append(
            Record(sign, line.start, line.end, line.start + inner, line.start + inner_end,
                   line.text[inner:inner_end], line.number, comment=True)
        )  # fmt: skip

    def _key(self, block: list[_Line]) -> None:
        first = block[0]
        found = self._delimiter.search(first.text)
        name = first.text[: found.start()].strip() if found else ""
        if found is None or not name:
            self._bad(block)
            return
        if found.start() == found.end():
            raise Unfit("the delimiter of the profile matches where nothing stands")
        inner, inner_end = _trimmed(first.text, found.end())
        record = Record(
            name, first.start, block[-1].end, first.start + inner, first.start + inner_end, first.text[inner:inner_end],
            first.number, between=found.group(),
        )  # fmt: skip
        if self._kind.records:
            self._value(record, block[1:])
        self.records.append(record)
        self._near = len(self.records)

    def _value(self, record: Record, behind: list[_Line]) -> None:
        """Find the value of a record that may go on in further lines, behind its shape."""
        if behind and (not record.text or _SHAPE.fullmatch(record.text)):
            room = _ROOM.fullmatch(record.text)
            record.room = int(room[1]) if room else 0
            record.inner = behind[0].start + _trimmed(behind[0].text, 0)[0]
        if behind:
            record.inner_end = behind[-1].start + _trimmed(behind[-1].text, 0)[1]
        text = self.file.text[record.inner : record.inner_end]
        record.string = text.startswith("<")  # which is broken wherever a line is full
        text = _END.sub("", text) if record.string else _ENDS.sub("\n", text)
        found = _STRING.fullmatch(text)
        record.text = found[1] if found else text

    def _bad(self, block: list[_Line]) -> None:
        """Take lines without a key.

        Raises
        ------
        Malformed
        """
        if not self._tolerant:
            raise Malformed(f"line {block[0].number} has no key and delimiter; see ignore-bad-lines")
        self.others += [line.text for line in block]
        before = self.records[-1] if self.records else None
        line = block[0].text
        if line.startswith(_SIGNS):
            self._near = -1
        elif before is not None and not before.comment:
            says_nothing = not before.text or _SHAPE.fullmatch(before.text) is not None
            is_folded = self._near == len(self.records) and line[:1] in (" ", "\t")
            before.followed |= says_nothing or is_folded

    def _check_names(self) -> None:
        names: set[str] = set()
        for record in self.records:
            if not record.comment and record.name in names:
                raise Malformed(f"the key of line {record.line} stands twice")
            names.add(record.name)

    def _find_place(self) -> None:
        """Find where a new line goes: behind the last key before the one that ends the header."""
        for number, record in enumerate(self.records):
            if record.name == META_IMAGE_END or (self._kind is JCAMP and record.name == "##END"):
                self.where = self.where if number else record.start
                return
            if not record.comment or not number:
                self.where = record.end


def _trimmed(text: str, start: int) -> tuple[int, int]:
    """Return where a value begins and ends; where it is empty, behind the blanks."""
    rest = text[start:]
    blanks = len(rest) - len(rest.lstrip(" \t"))
    return start + blanks, max(start + blanks, len(text.rstrip(" \t")))
