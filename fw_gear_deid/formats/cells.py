"""Text of a table with delimiters → where its cells stand (RFC 4180, and what spreadsheets make of it); its edits."""

from __future__ import annotations

import re
from array import array
from collections.abc import Iterator, Sequence
from operator import itemgetter

from fw_gear_deid.formats.row import Changes
from fw_gear_deid.model.action import Gone, Texts
from fw_gear_deid.model.errors import Malformed, Unfit

DELIMITERS = ",;\t|"
"""Those that tables of this world have."""
_SEP = re.compile(r"sep=([^\r\n])(?:\r\n|\r|\n)", re.IGNORECASE)
_END = re.compile(r"\r\n|\r|\n")
_BLANK = " \t"
_WORDS = {"\t": "a tab", " ": "a blank"}
Edit = tuple[int, int, str]
"""From where to where letters go, and what comes there."""


class Delimited:
    """A table, its cells by their spans: nothing is copied, and 8 bytes are kept of each.

    Parameters
    ----------
    text : str
        Line ends of all kinds may be mixed. ``sep=;`` in the first line, which Excel writes, says the delimiter.
    delimiter : str
        Where the table says none.

    Attributes
    ----------
    names : sequence of str
        The cells of the first line that is not blank.
    rows : int

    Raises
    ------
    Malformed
        Quotes without an end, rows of another length than the first: all with the line, never with a value.
    """

    def __init__(self, text: str, delimiter: str) -> None:
        self._text = text
        said = _SEP.match(text)
        self._delimiter = said[1] if said else delimiter
        self._starts, self._ends = array("I"), array("I")
        self._width = 0
        self._scan(said.end() if said else 0)
        if not self._width:
            raise Malformed("it is no table: there is no line in it")
        self.names: Sequence[str] = [self._cell(at) for at in range(self._width)]
        self.rows = len(self._starts) // self._width - 1
        if self.rows and self._width > 2 and sum(map(bool, self.names)) < 2:
            raise Malformed("its first line names one column of many: take out what stands above the header")

    def column(self, number: int) -> Texts:
        """Return the texts of a column, one for each row."""
        return tuple(map(self._cell, range(self._width + number, len(self._starts), self._width)))

    def check(self) -> None:
        """Make sure that no other delimiter parts it into more columns: rules would meet none of them.

        Raises
        ------
        Malformed
        """
        header = [self._text[self._starts[at] : self._ends[at]] for at in range(self._width)]
        for other in DELIMITERS.replace(self._delimiter, ""):
            if not any(other in one for one in header if not one.startswith('"')):
                continue
            try:
                width = Delimited(self._text, other)._width
            except Malformed:
                width = 0
            if width > self._width or self._width == 1:
                told = f"{_word(other)} parts its header into more columns than {_word(self._delimiter)}"
                raise Malformed(f"{told}: say which it is with 'delimiter'")

    def _scan(self, at: int) -> None:
        """Note where cells begin and end."""
        text, starts, ends = self._text, self._starts, self._ends
        mark = re.escape(self._delimiter)
        cell = rf'((?:"(?:[^"]++|"")*+"|[^"{mark}\r\n][^{mark}\r\n]*+)?)(?:{mark}|(\r\n|\r|\n|\Z))'
        first, begin = 0, at
        for found in re.compile(cell).finditer(text, at):
            if found.start() != at:
                break
            at = found.end()
            starts.append(found.start(1))
            ends.append(found.end(1))
            if found.lastindex == 2:
                self._end_row(first, begin)
                first, begin = len(starts), at
                if at == len(text):
                    return
        is_closed = re.compile(r'"(?:[^"]++|"")*+"').match(text, at) is not None
        what = "text behind a closing quote" if is_closed else "a quote without an end"
        raise Malformed(f"line {self._line(at)}: {what}")

    def _end_row(self, first: int, begin: int) -> None:
        """Count the cells of a row; a blank line is none."""
        starts, ends = self._starts, self._ends
        width = len(starts) - first
        if width == 1 and self._is_blank(starts[-1], ends[-1]):
            starts.pop()
            ends.pop()
        elif not self._width:
            self._width = width
        elif width != self._width:
            hint = ": take out what stands above the header" if self._width == 1 else ""
            raise Malformed(f"line {self._line(begin)} has {width} cells, and the header {self._width}{hint}")

    def _is_blank(self, start: int, end: int) -> bool:
        """Tell whether a line of one cell is no row; where rows have one cell, blanks may be one."""
        return start == end or (self._width != 1 and not self._text[start:end].strip(_BLANK))

    def _line(self, at: int) -> int:
        return sum(1 for _ in _END.finditer(self._text, 0, at)) + 1

    def _cell(self, at: int) -> str:
        written = self._text[self._starts[at] : self._ends[at]]
        return written[1:-1].replace('""', '"') if written.startswith('"') else written

    # -- edits -----------------------------------------------------------------------------------------

    def edits(self, changes: Changes) -> Iterator[Edit]:
        """Yield what is to be done to the text, in order.

        Raises
        ------
        Unfit
        """
        gone = {number for number, texts in changes.texts.items() if isinstance(texts, Gone)}
        kept = [number for number in range(self._width) if number not in gone]
        if not kept:
            raise Unfit("every column of it would go")
        new = {number: texts for number, texts in changes.texts.items() if not isinstance(texts, Gone)}
        alone = len(kept) == 1 and not changes.made
        if alone:
            new.setdefault(kept[0], ())
        steps = sorted([*_runs(gone), *((number, number, texts) for number, texts in new.items())], key=itemgetter(0))
        for row in range(-1, self.rows):
            base = (row + 1) * self._width
            if row in changes.lost:  # with the line end before it
                yield self._ends[base - 1], self._ends[base + self._width - 1], ""
                continue
            for first, last, texts in steps:
                if texts is None:
                    yield self._cut(base, first, last)
                else:
                    yield from self._new_cell(base + first, texts[row] if texts and row >= 0 else None, alone=alone)
            end = self._ends[base + self._width - 1]
            for name, made in changes.made.items():
                yield end, end, self._delimiter + self._written(made[row] if row >= 0 else name)

    def _cut(self, base: int, first: int, last: int) -> Edit:
        """Return the edit that takes columns from a row, each with a delimiter."""
        if first:
            return self._ends[base + first - 1], self._ends[base + last], ""
        return self._starts[base], self._starts[base + last + 1], ""

    def _new_cell(self, at: int, text: str | None, *, alone: bool) -> Iterator[Edit]:
        """Yield a new cell; where a line would be blank without it, it is to be seen."""
        start, end = self._starts[at], self._ends[at]
        if text is not None and text != self._cell(at):
            yield start, end, self._written(text, quoted=self._text.startswith('"', start, end)) or '""' * alone
        elif alone and start == end:
            yield start, end, '""'

    def _written(self, text: str, *, quoted: bool = False) -> str:
        if "\0" in text:
            raise Unfit("the new text has letters that a table cannot hold")
        if quoted or not {self._delimiter, '"', "\r", "\n"}.isdisjoint(text):
            return f'"{text.replace(chr(34), chr(34) * 2)}"'
        return text


def _runs(gone: set[int]) -> Iterator[tuple[int, int, None]]:
    """Yield the first and the last of each run of columns that go."""
    for first in gone:
        if first - 1 not in gone:
            last = first
            while last + 1 in gone:
                last += 1
            yield first, last, None


def _word(delimiter: str) -> str:
    return _WORDS.get(delimiter, f"'{delimiter}'")
