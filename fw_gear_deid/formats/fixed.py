"""Text of a table of fixed widths → where its cells stand, as pandas' ``read_fwf`` infers it; and edits of it.

A column is where some line has a letter, up to where no line has one; a blank or a tab is no letter.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from fw_gear_deid.formats.row import Changes
from fw_gear_deid.model.action import Gone, Texts
from fw_gear_deid.model.errors import Malformed, Unfit

_LINE = re.compile(r"[^\r\n]+")
_WORD = re.compile(r"[^ \t]+")
_BLANK = " \t"
_FIRST = 100  # lines by which other readers infer the columns
Edit = tuple[int, int, str]


class Fixed:
    """A table of fixed widths, open; as ``cells.Delimited``.

    Raises
    ------
    Malformed
        Nothing is in it; a line has letters where no column of the first lines is, or none of the header: part of a
        cell may be there, of which a rule would take the rest.
    """

    def __init__(self, text: str) -> None:
        self._text = text
        self._lines = [found.span() for found in _LINE.finditer(text) if found.group().strip(_BLANK)]
        if not self._lines:
            raise Malformed("it is no table: there is no line in it")
        self._slots = self._columns()
        self.names: Sequence[str] = [self._cell(0, number) for number in range(len(self._slots))]
        self.rows = len(self._lines) - 1
        if not all(self.names):
            at = self._slots[self.names.index("")][0] + 1
            raise Malformed(f"letters stand at place {at} of a line, and no column of the header does")

    def column(self, number: int) -> Texts:
        """Return the texts of a column, one for each row."""
        return tuple(self._cell(row, number) for row in range(1, self.rows + 1))

    def check(self) -> None:
        """Nothing else parts it."""

    def _columns(self) -> list[tuple[int, int]]:
        """Return from where to where each column goes; the last has no end."""
        letters = bytearray(max(end - start for start, end in self._lines))
        columns: list[int] = []
        for number, (start, end) in enumerate(self._lines, 1):
            for word in _WORD.finditer(self._text, start, end):
                first, last = word.start() - start, word.end() - start
                letters[first:last] = b"x" * (last - first)
            if number == min(_FIRST, len(self._lines)):
                columns = [run.start() for run in re.finditer(b"x+", letters)]
        found = [run.start() for run in re.finditer(b"x+", letters)]
        if len(found) != len(columns):
            raise Malformed(f"a line behind line {_FIRST} has letters where no column of the lines above it is")
        return list(zip(found, [*found[1:], len(letters)], strict=True))

    def _cell(self, row: int, number: int) -> str:
        start, end = self._place(row, number)
        return self._text[start:end].strip(_BLANK)

    def _place(self, row: int, number: int) -> tuple[int, int]:
        (start, end), (first, last) = self._lines[row], self._slots[number]
        return min(start + first, end), min(start + last, end)

    # -- edits -----------------------------------------------------------------------------------------

    def edits(self, changes: Changes) -> Iterator[Edit]:
        """Yield what is to be done to the text, in order: columns stay below each other.

        Raises
        ------
        Unfit
            A column is to be added, or a text is more than one line.
        """
        if changes.made:
            raise Unfit("a table of fixed widths takes no new column: see replace-with-insert")
        if sum(isinstance(texts, Gone) for texts in changes.texts.values()) == len(self._slots):
            raise Unfit("every column of it would go")
        widths = {number: self._width(number, changes) for number in range(len(self._slots))}
        for row in range(self.rows + 1):
            start, end = self._lines[row]
            if row - 1 in changes.lost:  # with the line end before it
                yield self._lines[row - 1][1], end, ""
                continue
            if any(self._is_behind(row, number, texts) for number, texts in changes.texts.items()):
                yield start, end, "".join(self._new(row, n, changes).ljust(widths[n]) for n in widths).rstrip(_BLANK)
                continue
            for number in sorted(changes.texts):
                first, last = self._place(row, number)
                new = self._new(row, number, changes)
                if new != self._text[first:last] or last < end:
                    yield first, last, new.ljust(widths[number]) if last < end else new

    def _width(self, number: int, changes: Changes) -> int:
        """Return how wide a column is to be: for its new texts, and a blank behind them where another follows."""
        first, last = self._slots[number]
        texts = changes.texts.get(number, ())
        if isinstance(texts, Gone):
            return 0
        return max(last - first, max(map(len, texts), default=0) + (number + 1 < len(self._slots)))

    def _is_behind(self, row: int, number: int, texts: Texts | Gone) -> bool:
        """Tell whether a new text comes where a line has ended before."""
        start, end = self._lines[row]
        return (
            row > 0 and not isinstance(texts, Gone) and bool(texts[row - 1]) and start + self._slots[number][0] >= end
        )

    def _new(self, row: int, number: int, changes: Changes) -> str:
        """Return what is to stand in the place of a cell, blanks included.

        Raises
        ------
        Unfit
        """
        start, end = self._place(row, number)
        texts = changes.texts.get(number)
        if isinstance(texts, Gone):
            return ""
        if texts is None or not row or texts[row - 1] == self._cell(row, number):
            return self._text[start:end]
        if not _is_one_line(texts[row - 1]):
            raise Unfit("the new text has letters that a table of fixed widths cannot hold")
        return texts[row - 1]


def _is_one_line(text: str) -> bool:
    return not re.search(r"[\r\n\t\0]", text) and text == text.strip(_BLANK)
