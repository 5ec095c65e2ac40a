"""Profile, mapping table and what is known of the source → a book of profiles; whatever is missing is told at once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from fw_gear_deid.model.errors import UsageError
from fw_gear_deid.profile.compiled import Profile
from fw_gear_deid.profile.parse import parse_profile
from fw_gear_deid.profile.text.problems import did_you_mean
from fw_gear_deid.profile.values.book import (
    ID_KEYS,
    LABEL_KEYS,
    Labels,
    Lookup,
    ProfileBook,
    Values,
    agreed,
    compiled,
)
from fw_gear_deid.profile.values.spelling import Nearest, same_id
from fw_gear_deid.profile.values.table import KEYS, MappingTable, Row, read_mapping
from fw_gear_deid.profile.values.trial import Trial
from fw_gear_deid.profile.values.unique import Target, targets
from fw_gear_deid.profile.values.variables import PSEUDONYMS, Template, is_blank, names_in, read_template, spell

__all__ = ["KEYS", "MappingTable", "ProfileBook", "Row", "plan_profiles", "read_mapping", "used_columns"]

_LEVELS = ("project", "subject", "session")
_SAMPLES = {"subject.pseudonym": "sub-000000000000", "session.pseudonym": "ses-000000000000"}
"""What a pseudonym looks like, to find out early where none fits."""
_TELLING_MIN = 3  # letters or digits of a cell that may tell somebody
_SHOWN = 20  # places in one line of a message


def used_columns(text: str) -> frozenset[str]:
    """Return the names of the variables in a profile's text."""
    return frozenset(name for name, _, _ in names_in(read_template(text, "")))


def plan_profiles(
    text: str,
    file: str,
    table: MappingTable | None,
    subjects: Sequence[Labels],
    metadata: Callable[[Labels], Values] | None = None,
    *,
    by_session: bool = False,
    place: Callable[[Labels], str] = "/".join,
) -> ProfileBook:
    """Return the profile of every subject, or of every subject and session, and of every row of a table.

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
    place : callable
        Labels → how a message names a subject or session of the source: its folder, or its container's id.

    Raises
    ------
    ProfileError
        Problems of the profile, whatever the values.
    UsageError
        Every variable without a value, every subject without a row, every value that does not fit its place, and new
        ids that two subjects would share.
    """
    template = read_template(text, file)
    base = parse_profile(text, file)
    used = tuple(dict.fromkeys(name for name, _, _ in names_in(template)))
    if not used and table is None:
        return ProfileBook(base)
    depth = 2 if by_session else 1
    if table is not None and table.by_session != by_session:
        raise ValueError("the table was read for another kind of rows")
    sources = tuple(dict.fromkeys(labels[:depth] for labels in subjects if len(labels) >= depth))
    known = {labels: metadata(labels) if metadata is not None else {} for labels in sources}
    return _Planner(template, base, used, table, known, depth, place).plan()


def _counts(cell: str) -> bool:
    """Tell whether a cell is a number, or a letter or two: an age, a sex, a group."""
    plain = cell.strip()
    return len(plain) < _TELLING_MIN or (len(plain) == _TELLING_MIN and plain.isdecimal())


@dataclass(slots=True)
class _Planner:
    """Sources and what is known of them, and what is found wrong on the way."""

    template: Template
    base: Profile
    used: tuple[str, ...]
    table: MappingTable | None
    known: Mapping[Labels, Values]
    depth: int
    place: Callable[[Labels], str]
    problems: dict[str, tuple[list[int], list[str]]] = field(default_factory=dict)
    """What is wrong → rows of the table, and places of the source."""

    def plan(self) -> ProfileBook:
        self._reserved()
        undefined = self._undefined()
        columns = tuple(name for name in (self.table.columns if self.table else ()) if name in self.used)
        found = {labels: self._values(labels, undefined) for labels in self.known}
        rows = self._rows(columns)
        trial = Trial(self.template, self.used)
        self._try_pseudonyms(trial)
        if self._by_header:
            self._try(trial, {key: cells for key, (_, cells) in rows.items()}, columns)
        else:
            self._try_found(trial, found)
        for target in targets(self.template):
            self._shared(target, rows, columns, found)
        if self.problems:
            lines = (f"  {what}{self._places(*where)}" for what, where in self.problems.items())
            raise UsageError("the variables of the profile need other values:", *lines)
        sessions: dict[Labels, list[Values]] = {}
        for labels, values in found.items() if self.depth == 2 else ():
            sessions.setdefault(labels[:1], []).append(values)
        known = found | {subject: agreed(listed) for subject, listed in sessions.items()}
        common = agreed(list(found.values()))
        common = {name: value for name, value in common.items() if name.startswith("project.")}
        base = compiled(self.template, common, self.used, self.base) if common else self.base
        lookup = None
        if self.table is not None:
            table = self.table
            numbers = tuple(row.number for row in table.rows.values())
            lookup = Lookup(
                table.name,
                table.key,
                table.by_session,
                columns,
                rows,
                numbers,
                table.allow_shared,
                table.notes,
                table.sha256,
                self._beside(columns),
            )
        new_ids = tuple(targets(self.template))
        return ProfileBook(base, self.template, self.used, known, common, self.depth, lookup, new_ids)

    @property
    def _by_header(self) -> bool:
        return self.table is not None and self.table.key in ID_KEYS

    # -- what there is -------------------------------------------------------------------------------------

    def _reserved(self) -> None:
        """Pseudonyms are no values to be given."""
        for name in PSEUDONYMS:
            if self.table is not None and name in self.table.columns:
                self._note(f"{self.table.name}: no column may be called {name}; {spell(name)} needs no mapping")
            if any(name in values for values in self.known.values()):
                self._note(f"no metadata may be called {name}; {spell(name)} needs none")

    def _undefined(self) -> set[str]:
        """Note the variables that have a value nowhere."""
        given = {*LABEL_KEYS[: self.depth], *PSEUDONYMS, *(self.table.columns if self.table else ())}
        given = given.union(*self.known.values())
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

    def _row(self, labels: Labels) -> Row | None:
        return self.table.rows.get(labels) if self.table is not None and not self._by_header else None

    def _values(self, labels: Labels, undefined: set[str]) -> Values:
        """Return what a source has without its headers; note what it lacks."""
        own = dict(zip(LABEL_KEYS, labels, strict=False))
        columns = [name for name in (self.table.columns if self.table else ()) if name not in own]
        row = self._row(labels)
        cells = {} if self.table is None or row is None else dict(zip(self.table.columns, row.cells, strict=True))
        have = {**self.known[labels], **cells, **own}
        asked = [name for name in self.used if name not in undefined and name not in PSEUDONYMS]
        if self._by_header:
            asked = [name for name in asked if name not in columns]
        elif row is None and self.table is not None:
            self._note_missing(labels)
            asked = [name for name in asked if name not in columns]
        for name in asked:
            if name not in have:
                self._note(f"{spell(name)} has no value", source=labels)
            elif is_blank(have[name]) and row is not None and name in columns:
                self._note(f"column {name} is blank", row=row.number)
            elif is_blank(have[name]):
                self._note(f"{spell(name)} is blank", source=labels)
        if self._by_header:
            have = {name: value for name, value in have.items() if name not in columns}
        return {name: have[name] for name in self.used if not is_blank(have.get(name, ""))}

    def _note_missing(self, labels: Labels) -> None:
        assert self.table is not None  # noqa: S101 -- called where there is one
        near = Nearest((key, row.number) for key, row in self.table.rows.items()).explain(labels)
        if near:
            self._note(f"{self.table.name} {near} from a {self._kind} that has no row")
        else:
            self._note("the mapping has no row", source=labels)

    def _rows(self, columns: tuple[str, ...]) -> dict[Labels, tuple[int, tuple[str, ...]]]:
        """Return the rows that may count: by label those of the source, by an id of a header all."""
        if self.table is None:
            return {}
        places = [self.table.columns.index(name) for name in columns]
        return {
            key: (row.number, tuple(row.cells[place] for place in places))
            for key, row in self.table.rows.items()
            if self._by_header or key in self.known
        }

    def _beside(self, columns: tuple[str, ...]) -> dict[Labels, tuple[str, ...]]:
        """Return what rows that may count tell besides: cells that only one of them has, in no column that is used."""
        table = self.table
        if table is None:
            return {}
        keys = {*KEYS, *LABEL_KEYS} & {table.key, *LABEL_KEYS[: self.depth]}
        others = [place for place, name in enumerate(table.columns) if name not in self.used and name not in keys]
        used = [table.columns.index(name) for name in columns]
        owners = Counter((place, row.cells[place]) for row in table.rows.values() for place in others)
        found = {}
        for key, row in table.rows.items() if others else ():
            if self._by_header or key in self.known:
                goes_out = {row.cells[place] for place in used}
                cells = {row.cells[place] for place in others if owners[place, row.cells[place]] == 1} - goes_out
                found[key] = tuple(sorted(cell for cell in cells if not (is_blank(cell) or _counts(cell))))
        return found

    # -- whether it fits -----------------------------------------------------------------------------------

    def _try_pseudonyms(self, trial: Trial) -> None:
        samples = {name: _SAMPLES[name] for name in PSEUDONYMS if name in self.used}
        for what in trial.problems(samples):
            self._note(what)

    def _try_found(self, trial: Trial, found: Mapping[Labels, Values]) -> None:
        samples = {name: _SAMPLES[name] for name in PSEUDONYMS if name in self.used}
        for labels, values in found.items():
            if len(values) + len(samples) < len(self.used):
                continue
            row = self._row(labels)
            for what in trial.problems({**values, **samples}):
                self._note(what, row.number if row else 0, None if row else labels)

    def _try(self, trial: Trial, rows: Mapping[Labels, tuple[str, ...]], columns: tuple[str, ...]) -> None:
        assert self.table is not None  # noqa: S101 -- rows come from one
        for key, cells in rows.items():
            values = {name: cell for name, cell in zip(columns, cells, strict=True) if not is_blank(cell)}
            for what in trial.problems(values):
                self._note(what, self.table.rows[key].number)

    # -- who would become one ------------------------------------------------------------------------------

    def _shared(
        self,
        target: Target,
        rows: Mapping[Labels, tuple[int, tuple[str, ...]]],
        columns: tuple[str, ...],
        found: Mapping[Labels, Values],
    ) -> None:
        """Note new ids that two subjects would get; studies of one patient may well share theirs."""
        if self.table is not None and (self.table.allow_shared or self.table.key in ID_KEYS[1:]):
            return
        if not any(name in columns or name.startswith("subject.") for name in target.variables):
            return  # the same for everybody on purpose
        if self._by_header:
            found = {key: dict(zip(columns, cells, strict=True)) for key, (_, cells) in rows.items()}
        owners: dict[str, dict[str, list[Labels]]] = {}
        for key, values in found.items():
            if all(not is_blank(values.get(name, "")) for name in target.variables):
                new = same_id(target.text(values))
                owners.setdefault(new, {}).setdefault(same_id(key[0]) if self._by_header else key[0], []).append(key)
        kind = "patients" if self._by_header else "subjects"
        for sharing in (found_twice for found_twice in owners.values() if len(found_twice) > 1):
            keys = [key for those in sharing.values() for key in those]
            numbers = [rows[key][0] for key in keys if key in rows]
            where = self._places(numbers, [] if numbers else [self.place(key) for key in keys])
            self._note(f"{len(sharing)} {kind} would get one {target.what}; --allow-shared-ids lets them{where}")

    # -- telling -------------------------------------------------------------------------------------------

    def _note(self, what: str, row: int = 0, source: Labels | None = None) -> None:
        rows, sources = self.problems.setdefault(what, ([], []))
        rows += [row] if row else []
        sources += [self.place(source)] if source is not None else []

    @property
    def _kind(self) -> str:
        return "session" if self.depth == 2 else "subject"

    def _places(self, rows: list[int], sources: list[str]) -> str:
        """Tell where: rows by number, subjects by the folder or container that holds them."""
        told = []
        if rows and self.table is not None:
            told.append(f"{self.table.name} row{'s'[: len(rows) - 1]} {', '.join(map(str, rows))}")
        if sources:
            more = f" and {len(sources) - _SHOWN} more" if len(sources) > _SHOWN else ""
            told.append(f"{self._kind}{'s'[: len(sources) - 1]} {', '.join(sources[:_SHOWN])}{more}")
        return f": {'; '.join(told)}" if told else ""
