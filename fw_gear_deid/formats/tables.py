"""Tables as text (csv, tsv, table): a field is a column; every cell is text and stays as it is spelt."""

from __future__ import annotations

import io
import re
import sys
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import accumulate, chain
from typing import Protocol, overload

from fw_gear_deid.formats.cells import DELIMITERS, Delimited
from fw_gear_deid.formats.fixed import Fixed
from fw_gear_deid.formats.row import Changes, Codec, Field, Format, Options, Splice
from fw_gear_deid.formats.spans import Text
from fw_gear_deid.model.action import Texts
from fw_gear_deid.model.errors import Malformed

READERS = ("csv", "tsv", "fwf")
_CODECS = ("utf-8", "cp1252", "latin-1")
"""Where no byte order mark tells: the first that its bytes are in. The last takes any."""
_BLANK = " \t"
_MARK = "\ufeff"  # where tables were put behind each other; nobody sees it
_KEPT = 3  # columns whose texts are at hand


class Layout(Protocol):
    """Where the cells of a table stand in its text."""

    names: Sequence[str]
    rows: int

    def column(self, number: int) -> Texts:
        """Return the texts of a column, one for each row."""
        ...

    def check(self) -> None:
        """Make sure that it is read as it was written."""
        ...

    def edits(self, changes: Changes) -> Iterator[tuple[int, int, str]]:
        """Yield what is to be done to the text, in order."""
        ...


class Columns(Sequence[Field]):
    """The fields of a table: the texts of a column are made when it is asked for."""

    def __init__(self, names: Sequence[str], column: Callable[[int], Texts], kept: int = 1) -> None:
        self._names = [name.strip(_MARK) for name in names]
        self._column = column
        self._most = kept
        self._kept: dict[int, Field] = {}
        self._found: dict[str, Sequence[int]] = {}

    def __len__(self) -> int:
        return len(self._names)

    @overload
    def __getitem__(self, number: int) -> Field: ...
    @overload
    def __getitem__(self, number: slice) -> Sequence[Field]: ...
    def __getitem__(self, number: int | slice) -> Field | Sequence[Field]:
        """Return a column, or some."""
        if isinstance(number, slice):
            return [self[one] for one in range(*number.indices(len(self)))]
        number = range(len(self))[number]
        found = self._kept.pop(number, None)
        if found is None:
            name = self._names[number]
            found = Field(name, f"column {name}" if name else f"column {number + 1}", self._column(number), cells=True)
            if len(self._kept) >= self._most:
                del self._kept[next(iter(self._kept))]
        self._kept[number] = found  # the last one used is the last one
        return found

    def find(self, name: str) -> Sequence[int]:
        """Return the columns of a name."""
        if name not in self._found:
            self._found[name] = [number for number, one in enumerate(self._names) if one == name]
        return self._found[name]


class Document:
    """A table, open; as ``formats.row.Document``."""

    def __init__(self, data: bytes, options: Options, *, reader: str) -> None:
        self._file = Text(data, codec_of(data))
        if "\0" in self._file.text:
            raise Malformed("it is no table: it has NULs, as binary files do, and UTF-16 without a byte order mark")
        layout, delimiter = _manner(options, reader)
        self._layout: Layout = Fixed(self._file.text) if layout == "fwf" else Delimited(self._file.text, delimiter)
        self._layout.check()
        self.fields = Columns(self._layout.names, self._layout.column, _KEPT)
        self.gone: dict[int, str] = {}

    def find(self, name: str) -> Sequence[int]:
        """Return the columns of a name."""
        return self.fields.find(name)

    def splices(self, changes: Changes) -> Iterable[Splice]:
        """Yield what is to be done to the bytes.

        Raises
        ------
        Unfit
        """
        return self._file.each(self._layout.edits(changes))


def codec_of(data: bytes) -> str:
    """Return the character set of a table without a byte order mark: what its bytes are is told by nothing else."""
    for codec in _CODECS[:-1]:
        try:
            data.decode(codec)
        except UnicodeDecodeError:
            continue
        return codec
    return _CODECS[-1]


def _manner(options: Options, reader: str) -> tuple[str, str]:
    """Return how a section reads, and the delimiter it reads with."""
    layout = str(options.get("reader") or reader)
    return layout, _letter(options) or ("\t" if layout == "tsv" else ",")


def _letter(options: Options) -> str:
    written = str(options.get("delimiter") or "")
    return "\t" if written.casefold() in ("\\t", "tab") else written


# -- read again ----------------------------------------------------------------------------------------


class Again:
    """The columns of a table as Python's own reader finds them; as ``formats.row.Listing``."""

    def __init__(self, data: bytes, options: Options, *, reader: str) -> None:
        layout, delimiter = _manner(options, reader)
        lines = _lines(data)
        rows = _fixed(list(lines)) if layout == "fwf" else _rows(lines, delimiter)
        names = next(rows, None)
        if names is None:
            raise Malformed("a second reader finds no line in it")
        self._width = len(names)
        self._text, self._starts = _packed(self._width, rows)
        self.fields = Columns(names, self._column)

    def find(self, name: str) -> Sequence[int]:
        """Return the columns of a name."""
        return self.fields.find(name)

    def _column(self, number: int) -> Texts:
        step = self._width + 1
        places = range(number, len(self._starts) - 1, step)
        return tuple(self._text[self._starts[at] : self._starts[at + 1]] for at in places)


def _packed(width: int, rows: Iterable[list[str]]) -> tuple[str, array[int]]:
    """Return the cells of all rows behind each other, and where each begins, and the last of a row ends."""
    pieces: list[str] = []
    starts, size = array("I"), 0
    for row in rows:
        if len(row) != width:
            raise Malformed("a second reader finds rows of several lengths in it")
        starts.extend(accumulate(map(len, row), initial=size))
        size = starts[-1]
        pieces.append("".join(row))
    return "".join(pieces), starts


def _lines(data: bytes) -> Iterator[str]:
    marked = ((b"\xff\xfe\0\0", "utf-32"), (b"\0\0\xfe\xff", "utf-32"), (b"\xef\xbb\xbf", "utf-8-sig"),
              (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"))  # fmt: skip
    codec = next((codec for mark, codec in marked if data.startswith(mark)), None) or codec_of(data)
    try:
        yield from io.TextIOWrapper(io.BytesIO(data), codec, newline="")
    except UnicodeDecodeError:
        raise Malformed("a second reader cannot read its letters") from None


def _rows(lines: Iterator[str], delimiter: str) -> Iterator[list[str]]:
    """Yield header and rows; blank lines are none."""
    import csv  # every start reads this module

    csv.field_size_limit(sys.maxsize)
    first = next(lines, "")
    said = re.fullmatch(r"(?i)sep=([^\r\n])[\r\n]+", first)
    lines, delimiter = (lines, said[1]) if said else (chain([first], lines), delimiter)
    width = 0
    try:
        for row in csv.reader(lines, delimiter=delimiter, strict=True):
            blank = len(row) == 1 and not row[0].strip(_BLANK) and (width > 1 or (not width and row[0] != ""))
            if row and not blank:
                width = width or len(row)
                yield row
    except csv.Error:
        raise Malformed("it is no table to a second reader") from None


def _fixed(lines: list[str]) -> Iterator[list[str]]:
    """Yield header and rows of a table of fixed widths."""
    lines = [line.rstrip("\r\n") for line in lines if line.strip(" \t\r\n")]
    union = 0
    for line in lines:
        union |= int("".join("0" if one in _BLANK else "1" for one in reversed(line)), 2)
    letters = f"{union:b}"[::-1]
    begins = [at for at, one in enumerate(letters) if one == "1" and (not at or letters[at - 1] == "0")]
    for line in lines:
        yield [line[at:end].strip(_BLANK) for at, end in zip(begins, [*begins[1:], None], strict=True)]


# -- in the language -----------------------------------------------------------------------------------


def _amiss(options: Options, reader: str) -> dict[str, str]:
    layout, delimiter = options.get("reader", reader), _letter(options)
    wrong = {}
    if layout not in READERS:
        wrong["reader"] = f"must be {', '.join(READERS[:-1])} or {READERS[-1]}"
    if "delimiter" in options and (len(delimiter) != 1 or delimiter in '"\r\n\0'):
        shown = ", ".join("a tab" if one == "\t" else f"'{one}'" for one in DELIMITERS)
        wrong["delimiter"] = f"must be one letter such as {shown}"
    elif "delimiter" in options and layout == "fwf":
        wrong["delimiter"] = "a table of fixed widths has none"
    return wrong


def _format(key: str, reader: str, patterns: tuple[str, ...]) -> Format:
    return Format(
        key,
        patterns=patterns,
        options={"reader": "str", "delimiter": "str", "subject-column": "str"},
        ours=frozenset({"subject-column"}),
        codec=Codec(partial(Document, reader=reader), partial(Again, reader=reader), most=256 << 20),
        amiss=partial(_amiss, reader=reader),
    )


FORMATS = (
    _format("csv", "csv", ("*.csv", "*.CSV")),  # the reference's lacks the star and matches nothing
    _format("tsv", "tsv", ("*.tsv", "*.TSV")),
    _format("table", "", ()),
)
