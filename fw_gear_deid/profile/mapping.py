"""Mapping table and source labels → the profile of every subject or session, its variables filled in."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path

from fw_gear_deid.model.errors import UsageError
from fw_gear_deid.profile.book import Labels, Page, ProfileBook, Values, agreed, sharing
from fw_gear_deid.profile.parse import parse_template
from fw_gear_deid.profile.problems import ProfileError, did_you_mean, show
from fw_gear_deid.profile.profile import Profile
from fw_gear_deid.profile.variables import Template, is_blank, names_in, read_template, spell

__all__ = ["KEYS", "MappingTable", "ProfileBook", "Row", "plan_profiles", "read_mapping"]

KEYS = ("subject.label", "session.label")
_LEVELS = ("project", "subject", "session")


@dataclass(frozen=True, slots=True)
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
    cells: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class MappingTable:
    """Values of variables: columns are their names, rows belong to subjects, or to subjects and sessions.

    Attributes
    ----------
    name : str
        For messages.
    columns : tuple of str
    rows : mapping
        By subject label, or by subject and session label.
    by_session : bool
    """

    name: str
    columns: tuple[str, ...]
    rows: Mapping[Labels, Row]
    by_session: bool


def read_mapping(path: Path, *, by_session: bool = False) -> MappingTable:
    """Read a CSV file; cells stay exactly as they are written.

    Parameters
    ----------
    path : Path
        UTF-8, separated by commas, with the column ``subject.label``.
    by_session : bool
        Rows belong to a subject and a session; needs ``session.label`` as well.

    Raises
    ------
    UsageError
        With everything that is wrong, by row and column, never by cell.

    Source
    ------
    RFC 4180
    """
    header, rows, problems = _records(path)
    depth = 2 if by_session else 1
    missing = [key for key in KEYS[:depth] if key not in header]
    separator = "; columns are separated by commas" if len(header) == 1 else ""
    problems += [f"no column {key}{separator}" for key in missing]
    for name in dict.fromkeys(header):
        places = [str(number) for number, other in enumerate(header, 1) if other == name]
        if name and len(places) > 1:
            problems.append(f"columns {' and '.join(places)} have the same name")
    ragged = [row for row in rows if len(row.cells) != len(header)]
    problems += [f"row {row.number} has {len(row.cells)} cells, the header {len(header)}" for row in ragged]
    if not rows:
        problems.append("no rows below the header")
    if not problems:
        keys = [tuple(row.cells[header.index(name)] for name in KEYS[:depth]) for row in rows]
        for row, key in zip(rows, keys, strict=True):
            blank = [name for name, label in zip(KEYS, key, strict=False) if is_blank(label)]
            problems += [f"row {row.number}, column {name}: blank" for name in blank]
        problems += _doubles(rows, keys)
    if problems:
        raise UsageError("\n".join(f"{path.name}: {problem}" for problem in problems))
    return MappingTable(path.name, header, dict(zip(keys, rows, strict=True)), by_session)


def _doubles(rows: Sequence[Row], keys: Sequence[Labels]) -> list[str]:
    """Say which rows are for the same subject, or for the same subject and session."""
    import pandas as pd  # here: it takes longer to load than all the rest, and most runs have no mapping

    frame = pd.DataFrame(keys, index=[row.number for row in rows], dtype=str)
    by, what = ([0, 1], "subject and session") if len(frame.columns) == 2 else (0, "subject")
    groups = frame.groupby(by, sort=False).groups.values()
    doubles = [", ".join(map(str, numbers)) for numbers in groups if len(numbers) > 1]
    return [f"rows {numbers} are for the same {what}" for numbers in doubles]


def _records(path: Path) -> tuple[Labels, list[Row], list[str]]:
    """Return header, rows that are not empty, and what is wrong so far."""
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise UsageError(f"{path}: the mapping cannot be read ({error.strerror})") from None
    except UnicodeDecodeError:
        raise UsageError(f"{path}: the mapping is not UTF-8 text; save it as 'CSV UTF-8'") from None
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    rows: list[Row] = []
    problems: list[str] = []
    try:
        for number, cells in enumerate(reader, 1):
            if not all(is_blank(cell) for cell in cells):
                rows.append(Row(number, tuple(cells)))
    except csv.Error:
        problems.append(f'line {reader.line_num}: not CSV; a cell with quotes is written "a ""b""", in one pair')
    header = tuple(name.strip() for name in rows[0].cells) if rows else ()
    return header, rows[1:], problems


def plan_profiles(
    text: str,
    file: str,
    table: MappingTable | None,
    subjects: Sequence[Labels],
    metadata: Callable[[Labels], Values] | None = None,
    *,
    by_session: bool = False,
) -> ProfileBook:
    """Return the profile of every subject, or of every subject and session.

    Parameters
    ----------
    text : str
        Of the profile.
    file : str
        Name to use in messages.
    table : MappingTable or None
    subjects : sequence of tuple of str
        Labels at the source, from the subject inwards, in the order of its listing.
    metadata : callable, optional
        Labels → values of ``project.*``, ``subject.*`` and ``session.*``.
    by_session : bool
        Values may differ between the sessions of a subject.

    Raises
    ------
    ProfileError
        Problems of the profile, whatever the values.
    UsageError
        Every variable without a value, every source without a row, every value that does not fit its place.
    """
    template = read_template(text, file)
    base = parse_template(template, {}, strict=False)
    used = tuple(dict.fromkeys(name for name, _, _ in names_in(template)))
    if not used:
        return ProfileBook(base)
    depth = 2 if by_session else 1
    if table is not None and table.by_session != by_session:
        raise ValueError("the table was read for another kind of rows")
    sources = tuple(dict.fromkeys(labels[:depth] for labels in subjects if len(labels) >= depth))
    known = {labels: metadata(labels) if metadata is not None else {} for labels in sources}
    return _Planner(template, base, used, table, known, depth).plan()


@dataclass(slots=True)
class _Planner:
    """Sources and what is known of them, and what is found wrong on the way."""

    template: Template
    base: Profile
    used: tuple[str, ...]
    table: MappingTable | None
    known: Mapping[Labels, Values]
    depth: int
    problems: dict[str, tuple[list[int], list[int]]] = field(default_factory=dict)
    """What is wrong → rows of the table, and positions of sources."""

    def plan(self) -> ProfileBook:
        undefined = self._undefined()
        found = {labels: self._values(number, labels, undefined) for number, labels in enumerate(self.known, 1)}
        pages = self._pages(found)
        if self.problems:
            lines = "\n".join(f"  {what}{self._places(*where)}" for what, where in self.problems.items())
            raise UsageError(f"the variables of the profile need other values:\n{lines}")
        sessions: dict[Labels, list[Values]] = {}
        for labels, values in found.items() if self.depth == 2 else ():
            sessions.setdefault(labels[:1], []).append(values)
        pages |= {subject: self._page(agreed(listed)) for subject, listed in sessions.items()}
        common = agreed(list(found.values()))
        base = self._page({name: value for name, value in common.items() if name.startswith("project.")})
        return ProfileBook(base.profile, pages, self.depth, base.unresolved)

    def _undefined(self) -> set[str]:
        """Note the variables that have a value nowhere."""
        given = {*KEYS[: self.depth], *(self.table.columns if self.table else ())}.union(*self.known.values())
        undefined = set()
        for name, line, column in names_in(self.template):
            if name not in given:
                undefined.add(name)
                self._note(f"{self.template.file}:{line}:{column} {spell(name)} has no value: {self._why(name)}")
        return undefined

    def _why(self, name: str) -> str:
        level, dot, _ = name.partition(".")
        if dot and level == "session" and self.depth == 1:
            return "profiles go by subject, not by session"
        if dot and level in _LEVELS:
            return "the source has no such metadata" + (", nor the mapping such a column" if self.table else "")
        if self.table is None:
            return "there is no mapping"
        return f"{self.table.name} has no such column{did_you_mean(name, self.table.columns)}"

    def _values(self, number: int, labels: Labels, undefined: set[str]) -> Values:
        """Return what a source has; note what it lacks."""
        own = dict(zip(KEYS, labels, strict=False))
        columns = [name for name in (self.table.columns if self.table else ()) if name not in own]
        row = self.table.rows.get(labels) if self.table else None
        cells = {} if self.table is None or row is None else dict(zip(self.table.columns, row.cells, strict=True))
        have = {**self.known[labels], **cells, **own}
        asked = [name for name in self.used if name not in undefined]
        if row is None and any(name in columns for name in asked):
            self._note("the mapping has no row", source=number)
            asked = [name for name in asked if name not in columns]
        for name in asked:
            if name not in have:
                self._note(f"{spell(name)} has no value", source=number)
            elif is_blank(have[name]) and row is not None and name in columns:
                self._note(f"column {name} is blank", row=row.number)
            elif is_blank(have[name]):
                self._note(f"{spell(name)} is blank", source=number)
        return {name: have[name] for name in self.used if not is_blank(have.get(name, ""))}

    def _pages(self, found: Mapping[Labels, Values]) -> dict[Labels, Page]:
        """Compile what has all its values; note the values that do not fit."""
        pages: dict[Labels, Page] = {}
        done: dict[tuple[str, ...], Page | ProfileError] = {}
        for number, (labels, values) in enumerate(found.items(), 1):
            if len(values) < len(self.used):
                continue
            key = tuple(values.values())
            if key not in done:
                try:
                    done[key] = self._page(values)
                except ProfileError as error:
                    done[key] = error
            match done[key]:
                case Page() as page:
                    pages[labels] = page
                case ProfileError(problems=problems):
                    row = self.table.rows.get(labels) if self.table else None
                    for problem in (one for one in problems if one.severity == "error"):
                        what = show(self.template.file, problem)
                        what += "" if "{{" in problem.message else f" (with the values of {spell(*self.used)})"
                        self._note(what, row.number if row else 0, 0 if row else number)
        return pages

    def _page(self, values: Values) -> Page:
        """Compile the profile; variables that are left out make the actions refuse that depend on them."""
        profile = self.base
        unresolved = tuple(name for name in self.used if name not in values)
        if values:
            profile = parse_template(self.template, values, strict=not unresolved, lint_too=False)
            profile = sharing(replace(profile, warnings=self.base.warnings), self.base)
        told = json.dumps([self.base.sha256, sorted(values.items())])
        return Page(profile, unresolved, sha256(told.encode()).hexdigest())

    def _note(self, what: str, row: int = 0, source: int = 0) -> None:
        rows, sources = self.problems.setdefault(what, ([], []))
        rows += [row] if row else []
        sources += [source] if source else []

    def _places(self, rows: list[int], sources: list[int]) -> str:
        """Tell where, by position: a label may be a name."""
        kind = "session" if self.depth == 2 else "subject"
        told = []
        if rows and self.table is not None:
            told.append(f"{self.table.name} row{'s'[: len(rows) - 1]} {', '.join(map(str, rows))}")
        if sources:
            listed = ", ".join(map(str, sources))
            told.append(f"source {kind}{'s'[: len(sources) - 1]} {listed} of {len(self.known)} (in listing order)")
        return f": {'; '.join(told)}" if told else ""
