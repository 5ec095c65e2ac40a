"""A mapping table as spreadsheets write it → rows by the key that its header names."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

from fw_gear_deid.model import limits
from fw_gear_deid.model.cells import exact
from fw_gear_deid.model.errors import Beyond, UsageError
from fw_gear_deid.model.frozen import frozen
from fw_gear_deid.model.outcome import ID_COLUMNS
from fw_gear_deid.profile.values.book import ID_KEYS, LABEL_KEYS, Labels
from fw_gear_deid.profile.values.spelling import damage, looks_dated
from fw_gear_deid.profile.values.variables import is_blank

KEYS = (LABEL_KEYS[0], *ID_KEYS)
"""A table goes by the first of these that its header has."""
_SHOWN = 20  # rows in one line
_ROW_BYTES = 1000  # more than any real row has, on average
SEPARATORS = (",", ";", "\t")
_SEP_LINE = re.compile(r'\s*"?sep=(.)"?[ \t]*(\r\n|\r|\n|$)', re.IGNORECASE)
_WORKBOOK = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0")  # xlsx and ods, xls


@frozen
class Row:
    """A row of a mapping table.

    Attributes
    ----------
    number : int
        As a spreadsheet counts: the header is row 1.
    cells : tuple of str
        Exactly as written.
    """

    number: int
    cells: Labels


@frozen
class MappingTable:
    """Values of variables: columns are their names, rows belong to the subjects, patients or studies of their key.

    Attributes
    ----------
    name : str
        For messages.
    columns : tuple of str
    rows : mapping
        By key, or by key and session label; of identical rows the first.
    by_session : bool
    key : str
        One of ``KEYS``.
    notes : tuple of str
        What was understood though it need not have been meant.
    sha256 : str
        Of the file.
    allow_shared : bool
        Two subjects may get one new id.
    """

    name: str
    columns: Labels
    rows: Mapping[Labels, Row]
    by_session: bool
    key: str = KEYS[0]
    notes: tuple[str, ...] = ()
    sha256: str = ""
    allow_shared: bool = False


def read_mapping(
    path: Path, used: Collection[str] | None = None, *, by_session: bool = False, allow_shared: bool = False
) -> MappingTable:
    """Read a table; cells stay exactly as they are written.

    Parameters
    ----------
    path : Path
        Separated by commas, semicolons or tabs, with one of the columns ``KEYS``. UTF-8, or UTF-16 with its mark.
    used : collection of str, optional
        Columns that matter besides the key; None: all. Rows of one key must agree in them, and no spreadsheet may have
        damaged them.
    by_session : bool
        Rows belong to a session as well; needs ``session.label``.
    allow_shared : bool
        Two subjects may get one new id.

    Raises
    ------
    UsageError
        With everything that is wrong, by row and column, never by cell.

    Source
    ------
    RFC 4180; the ``sep=`` line is Excel's.
    """
    data = _bytes(path)
    sheet = _Sheet.read(_text(path, data))
    keys = _keys(sheet, by_session=by_session)
    columns = [name for name in sheet.header if name and name not in keys and (used is None or name in used)]
    rows: dict[Labels, Row] = {}
    ours = set(ID_COLUMNS) <= set(sheet.header)
    if ours:
        _written_by_us(sheet, keys)
    if not sheet.problems:
        placed = [(tuple(row.cells[sheet.header.index(name)] for name in keys), row) for row in sheet.rows]
        for key, row in placed:
            blank = [name for name, text in zip(keys, key, strict=True) if is_blank(text)]
            sheet.problems += [f"row {row.number}, column {name}: blank" for name in blank]
            rows.setdefault(key, row)
        sheet.problems += [] if ours else _damaged(sheet, [*keys, *columns])
        sheet.notes += _dated(sheet, [*keys, *columns])
        _doubles(sheet, keys, columns)
    if sheet.problems:
        raise UsageError(*(f"{path.name}: {problem}" for problem in sheet.problems))
    notes = tuple(f"{path.name}: {note}" for note in sheet.notes)
    return MappingTable(
        path.name, sheet.header, rows, by_session, keys[0], notes, sha256(data).hexdigest(), allow_shared
    )


def _bytes(path: Path) -> bytes:
    budget = limits.now()
    try:
        with path.open("rb") as stream:
            data = stream.read(_ROW_BYTES * budget.most("rows") + 1)
    except OSError as error:
        raise UsageError(f"{path}: the mapping cannot be read ({error.strerror})") from None
    try:
        budget.check("rows", max(data.count(b"\n"), data.count(b"\r"), -(-len(data) // _ROW_BYTES)))
    except Beyond as error:
        raise UsageError(f"{path}: {error}") from None
    return data


def _text(path: Path, data: bytes) -> str:
    if data.startswith(_WORKBOOK):
        raise UsageError(f"{path}: the mapping is a workbook; save the sheet as 'CSV UTF-8'")
    try:
        # Excel's "Unicode text" is UTF-16 with its mark
        text = data.decode("utf-16" if data.startswith((b"\xff\xfe", b"\xfe\xff")) else "utf-8-sig")
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text:
        raise UsageError(f"{path}: the mapping is not UTF-8 text; save it as 'CSV UTF-8'")
    return text


@dataclass(slots=True)
class _Sheet:
    """Header and rows that are not empty, and what is wrong so far."""

    header: Labels
    rows: list[Row]
    separator: str
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @staticmethod
    def read(text: str) -> _Sheet:
        """Take a text apart by the separator that its first line names, or its header shows."""
        named = _SEP_LINE.match(text)
        if named:
            sheet = _split(text[named.end() :], named.group(1))
        else:
            sheets = [_split(text, separator) for separator in SEPARATORS]
            sheet = max(sheets, key=lambda one: (one.keys != (), one.keys_nearly != (), len(one.header)))
        for name in dict.fromkeys(sheet.header):
            places = [str(number) for number, other in enumerate(sheet.header, 1) if other == name]
            if name and len(places) > 1:
                sheet.problems.append(f"columns {' and '.join(places)} have the same name")
        ragged = [row for row in sheet.rows if len(row.cells) != len(sheet.header)]
        sheet.problems += [
            f"row {row.number} has {len(row.cells)} cells, the header {len(sheet.header)}" for row in ragged
        ]
        if not sheet.rows:
            sheet.problems.append("no rows below the header")
        return sheet

    @property
    def keys(self) -> Labels:
        """The key columns that the header has."""
        return tuple(key for key in KEYS if key in self.header)

    @property
    def keys_nearly(self) -> Labels:
        """Those that it has in another spelling."""
        return tuple(key for key in KEYS if self.nearly(key))

    def nearly(self, key: str) -> int:
        """Return the column, from 1, whose name is a key in another spelling; 0 when there is none."""
        listed = [_plain(name) for name in self.header]
        return listed.index(_plain(key)) + 1 if _plain(key) in listed else 0


def _plain(name: str) -> str:
    return "".join(char for char in name.casefold() if char.isalnum())


def _split(text: str, separator: str) -> _Sheet:
    sheet = _Sheet((), [], separator)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    rows: list[Row] = []
    try:
        for number, cells in enumerate(reader, 1):
            if not all(is_blank(cell) for cell in cells):
                rows.append(Row(number, tuple(cells)))
    except csv.Error:
        sheet.problems.append(f'line {reader.line_num}: not CSV; a cell with quotes is written "a ""b""", in one pair')
        rows = rows[:1]
    else:
        sheet.problems += _quotes_after_blanks(text, separator)
    if rows:
        sheet.header = tuple(name.strip() for name in rows[0].cells)
        sheet.rows = [Row(row.number, _without_blanks(row.cells, len(sheet.header))) for row in rows[1:]]
    return sheet


def _without_blanks(cells: Labels, width: int) -> Labels:
    """Leave out empty cells beyond the header."""
    return cells[:width] if all(is_blank(cell) for cell in cells[width:]) else cells


def _quotes_after_blanks(text: str, separator: str) -> list[str]:
    """Find cells whose quotes are no quotes: a blank stands before them."""
    quoted = re.compile(rf'(^|[\r\n{re.escape(separator)}])"(?:[^"]|"")*"')
    masked = quoted.sub(r"\1x", text)
    found: dict[int, list[int]] = {}
    for number, cells in enumerate(
        csv.reader(io.StringIO(masked, newline=""), delimiter=separator, quoting=csv.QUOTE_NONE), 1
    ):
        for column, cell in enumerate(cells, 1):
            if cell.lstrip().startswith('"'):
                found.setdefault(column, []).append(number)
    return [
        f"{_rows(numbers)}, column {column}: a blank stands before the quotes; take it out"
        for column, numbers in found.items()
    ]


def _dated(sheet: _Sheet, columns: Sequence[str]) -> list[str]:
    """Say which cells may have been ids before a spreadsheet took them for dates."""
    found: dict[str, list[int]] = {}
    for row in sheet.rows:
        for name in columns:
            if looks_dated(row.cells[sheet.header.index(name)]):
                found.setdefault(name, []).append(row.number)
    return [f"made into a date by the spreadsheet? {_rows(numbers)}, column {name}" for name, numbers in found.items()]


def _rows(numbers: Sequence[int]) -> str:
    """Name rows by number, the first of them where they are many."""
    more = f" and {len(numbers) - _SHOWN} more" if len(numbers) > _SHOWN else ""
    return f"row{'s'[: len(numbers) - 1]} {', '.join(map(str, numbers[:_SHOWN]))}{more}"


def _keys(sheet: _Sheet, *, by_session: bool) -> Labels:
    """Return the columns that rows go by; say which are missing."""
    if not sheet.keys:
        near = [(sheet.nearly(key), key) for key in sheet.keys_nearly]
        told = "".join(f"; column {column} is spelled otherwise: write {key}" for column, key in near)
        if not told and len(sheet.header) == 1:
            told = "; columns are separated by commas, semicolons or tabs"
        sheet.problems.append(f"no column {KEYS[0]}, {', '.join(KEYS[1:-1])} or {KEYS[-1]}{told}")
    if not by_session:
        return sheet.keys[:1]
    if LABEL_KEYS[1] not in sheet.header:
        column = sheet.nearly(LABEL_KEYS[1])
        near_it = f"; column {column} is spelled otherwise: write {LABEL_KEYS[1]}" if column else ""
        sheet.problems.append(f"no column {LABEL_KEYS[1]}{near_it}")
    return (*sheet.keys[:1], LABEL_KEYS[1])


def _written_by_us(sheet: _Sheet, keys: Labels) -> None:
    """Take cells of ``--ids`` for what they stand for; who has no id in it cannot be looked up by one."""
    sheet.rows = [Row(row.number, tuple(map(exact, row.cells))) for row in sheet.rows]
    nobody = [row for row in sheet.rows if any(is_blank(row.cells[sheet.header.index(name)]) for name in keys)]
    if nobody and len(nobody) < len(sheet.rows):
        sheet.rows = [row for row in sheet.rows if row not in nobody]
        numbers = [row.number for row in nobody]
        sheet.notes.append(f"without {' and '.join(keys)}, for nobody: {_rows(numbers)}")


def _damaged(sheet: _Sheet, columns: Sequence[str]) -> list[str]:
    """Say what a spreadsheet did to cells that count."""
    found: dict[tuple[str, str], list[int]] = {}
    for row in sheet.rows:
        for name in columns:
            what = damage(row.cells[sheet.header.index(name)])
            if what:
                found.setdefault((name, what), []).append(row.number)
    hint = "write the value as text"
    return [f"{_rows(numbers)}, column {name}: {what}; {hint}" for (name, what), numbers in found.items()]


def _doubles(sheet: _Sheet, keys: Labels, columns: Sequence[str]) -> None:
    """Say which rows of one key contradict each other; those that do not are one."""
    import pandas as pd  # here: it takes longer to load than all the rest, and most runs have no mapping

    places = [sheet.header.index(name) for name in (*keys, *columns)]
    cells = [tuple(row.cells[place] for place in places) for row in sheet.rows]
    frame = pd.DataFrame(cells, index=[row.number for row in sheet.rows], dtype=str)
    by = list(range(len(keys)))
    what = "subject" if keys[0] == LABEL_KEYS[0] else keys[0]
    what += " and session" if len(keys) > 1 else ""
    repeated = list(frame.index[frame.duplicated()])
    if repeated:
        sheet.notes.append(f"the same as an earlier row, and counted once: {_rows(repeated)}")
    for _, group in frame[frame.duplicated(by, keep=False)].groupby(by, sort=False):
        differ = [name for place, name in enumerate(columns, len(keys)) if group[place].nunique() > 1]
        if differ:
            numbers = ", ".join(map(str, group.index))
            hint = "; see --session-level-profile" if LABEL_KEYS[1] in sheet.header and len(keys) == 1 else ""
            sheet.problems.append(f"rows {numbers} are for the same {what} and differ in {', '.join(differ)}{hint}")
