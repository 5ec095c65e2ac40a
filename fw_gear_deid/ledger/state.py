"""What stands at a destination and what it was made of, kept in one SQLite file: a rerun resumes from it.

Tables
------
about
    Which destination the file is of.
made
    One row per file that this program put there, or is about to: its result, its audit, what it depends on.
parts
    Which source files it was made of, in order.
holds
    Which instances it holds: what tells one source from another, wherever it lies.
looks
    What a first look found in a source file, or a closer one in its header, so that a rerun need not read it again.
people
    What is known of each person, so that another run can tell whether it is the same.
run
    One row per source file of the last run: the reports are a projection of it.

What is written waits for ``commit``: one sync for a batch, and whoever asks meanwhile is told what was written. What
has to be on the disk before something else happens is committed by whoever lets that happen.
"""

from __future__ import annotations

import json
import sqlite3
import zlib
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, TypeVar

from fw_gear_deid.model.errors import StopRun
from fw_gear_deid.model.portable import same_name_key
from fw_gear_deid.system import private

_VERSION = 4
_ADDED = 3  # that of ledgers without the columns that are added here
_NEW = ("sections", "risks")
_SCHEMA = """
CREATE TABLE IF NOT EXISTS about (version INTEGER NOT NULL, dest TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS made (
    name TEXT PRIMARY KEY, path TEXT NOT NULL, inside TEXT NOT NULL, standing INTEGER NOT NULL,
    fingerprint TEXT NOT NULL, key TEXT NOT NULL, task TEXT NOT NULL, person TEXT NOT NULL, sha256 TEXT NOT NULL,
    size INTEGER NOT NULL, stood TEXT NOT NULL, changes INTEGER NOT NULL, members INTEGER NOT NULL,
    seconds REAL NOT NULL, reason TEXT NOT NULL, actions TEXT NOT NULL, unmatched TEXT NOT NULL,
    sections TEXT NOT NULL, risks TEXT NOT NULL, checked TEXT NOT NULL,
    originals INTEGER NOT NULL, root TEXT NOT NULL, audit BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS parts (name TEXT NOT NULL, number INTEGER NOT NULL, place BLOB NOT NULL,
    version TEXT NOT NULL, PRIMARY KEY (name, number)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS by_place ON parts (place);
CREATE TABLE IF NOT EXISTS holds (name TEXT NOT NULL, instance TEXT NOT NULL, PRIMARY KEY (name, instance))
    WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS by_instance ON holds (instance);
CREATE TABLE IF NOT EXISTS looks (place BLOB NOT NULL, closer INTEGER NOT NULL, version TEXT NOT NULL,
    seen TEXT NOT NULL, PRIMARY KEY (place, closer)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS people (person TEXT PRIMARY KEY, known TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS run (
    position INTEGER PRIMARY KEY, source BLOB NOT NULL, state TEXT NOT NULL, reason TEXT NOT NULL, made TEXT NOT NULL,
    first INTEGER NOT NULL, bytes_in INTEGER NOT NULL, seconds REAL NOT NULL);
"""
_SOME = 500  # rows that are read, or asked for, at once


@dataclass(frozen=True, slots=True)
class Made:
    """A file at the destination, and what it was made of.

    Attributes
    ----------
    path : str
        ``SUBJECT/SESSION/ACQUISITION/FILE``.
    inside : str
        What tells its container from others of the same labels, where a store can have such.
    standing : bool
        False while it is being put in place: then it may be there, or not, or an older one.
    fingerprint : str
        Profile, key, options and results number it was made with.
    key : str
        Fingerprint of the key alone.
    task : str
        Versions of the source files.
    person : str
        Text of the person.
    sha256 : str
    size : int
        Bytes.
    stood : str
        What the store told of it once it stood, such as size and time.
    changes, members : int
    seconds : float
    reason : str
        What should be told beside ``released``, such as members that were left out.
    actions : str
        ``action=count`` pairs.
    unmatched : str
        Indices of rules that found nothing, separated by blanks.
    sections : str
        Keys of the sections that took it, separated by blanks.
    risks : str
        What is in it and may tell whose it is though no rule names it.
    checked : str
        ``--verify`` of the run that made it, and ``strict-rules`` where that was on.
    originals : bool
        Whether the lines of the audit hold values before a change.
    audit : bytes
        Its lines of ``audit.csv`` without their first column, the path; packed by zlib.
    root : str
        SOURCE of the run that made it.
    parts : tuple of tuple
        Place and version of each source file.
    holds : frozenset of str
        Instances, sealed.
    """

    path: str
    inside: str
    standing: bool
    fingerprint: str
    key: str
    task: str
    person: str
    sha256: str
    size: int
    stood: str = ""
    changes: int = 0
    members: int = 0
    seconds: float = 0.0
    reason: str = ""
    actions: str = ""
    unmatched: str = ""
    sections: str = ""
    risks: str = ""
    checked: str = ""
    originals: bool = False
    root: str = ""
    audit: bytes = b""
    parts: tuple[tuple[str, str], ...] = ()
    holds: frozenset[str] = frozenset()

    @property
    def places(self) -> tuple[str, ...]:
        """Where the source files lie."""
        return tuple(place for place, _ in self.parts)

    @property
    def name(self) -> str:
        """What it is known by: two names that one file system or another takes for the same are one."""
        return name_of(self.path, self.inside)


def name_of(path: str, inside: str = "") -> str:
    """Return what a file at the destination is known by."""
    return f"{same_name_key(path)}\0{inside}" if inside else same_name_key(path)


@dataclass(frozen=True, slots=True)
class Row:
    """A source file's line in ``files.csv``.

    Attributes
    ----------
    position : int
        In the order of the listing.
    source, state, reason : str
    made : str
        ``Made.name`` of the file that the line tells of; empty when there is none.
    first : bool
        It carries the sums of that file.
    bytes_in : int
    seconds : float
    """

    position: int
    source: str
    state: str
    reason: str = ""
    made: str = ""
    first: bool = True
    bytes_in: int = 0
    seconds: float = 0.0


_MADE = [one.name for one in fields(Made) if one.name not in ("parts", "holds")]
_INSERT_MADE = f"INSERT OR REPLACE INTO made (name, {', '.join(_MADE)}) VALUES (?{', ?' * len(_MADE)})"  # noqa: S608
_SELECT_AUDITED = f"SELECT name, {', '.join(_MADE)} FROM made"  # noqa: S608 -- constants
_SELECT_MADE = _SELECT_AUDITED.replace(" audit ", " x'' ")
_ROW = [one.name for one in fields(Row)]
_INSERT_ROW = f"INSERT OR REPLACE INTO run ({', '.join(_ROW)}) VALUES (?{', ?' * (len(_ROW) - 1)})"  # noqa: S608
_TOLD = [f"made.{column}" for column in _MADE[:-1]]
_SELECT_ROWS = (
    f"SELECT {', '.join(f'run.{column}' for column in _ROW)}, {', '.join(_TOLD)}, CASE WHEN first THEN audit END "  # noqa: S608
    "FROM run LEFT JOIN made ON made.name = run.made ORDER BY position"
)
T = TypeVar("T")


def path_for(folder: Path, dest: str) -> Path:
    """Return the ledger of a destination in a folder that may hold those of others.

    Parameters
    ----------
    dest : str
        What tells the destination from others; empty when nothing was ever put there.
    """
    for path in sorted(folder.glob("state*.sqlite")):
        if _dest_of(path) in ((dest,) if dest else ("",)):
            return path
    numbers = iter(range(2, 1_000_000))
    path = folder / "state.sqlite"
    while path.exists():
        path = folder / f"state-{next(numbers)}.sqlite"
    return path


def _dest_of(path: Path) -> str | None:
    """Return the destination that a ledger is of; None when it is none of this version."""
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=rw", uri=True)) as found:
            row = found.execute("SELECT dest FROM about WHERE version IN (?, ?)", (_VERSION, _ADDED)).fetchone()
    except sqlite3.Error as error:
        if "no such table" in str(error):
            return None  # of an older version
        raise StopRun(_trouble(_READ, error)) from None
    return row[0] if row else None


class State:
    """The ledger of one destination.

    Parameters
    ----------
    path : Path
    dest : str
        What tells the destination from others.
    keep : bool
        False works on a copy in memory (dry runs).
    """

    def __init__(self, path: Path, dest: str = "", *, keep: bool = True) -> None:
        self._waiting: list[Row] = []
        self._db = self._open(path, keep=keep)
        try:
            self._guard(_OPENED, self._prepare, dest)
        except BaseException:
            self.close()  # with its lock: the same process may try again once there is room
            raise

    def _open(self, path: Path, *, keep: bool) -> sqlite3.Connection:
        try:
            if keep:
                private.ensure(path)  # not by sqlite3, whose files others may read
                return sqlite3.connect(path, isolation_level=None)
            db = sqlite3.connect(":memory:", isolation_level=None)
            if path.exists():
                with closing(sqlite3.connect(path)) as kept:
                    kept.backup(db)
        except (sqlite3.Error, OSError) as error:
            raise StopRun(_trouble(_OPENED, error)) from None
        return db

    def _prepare(self, dest: str) -> None:
        self._db.execute("PRAGMA synchronous=FULL")
        self._db.execute("PRAGMA locking_mode=EXCLUSIVE")  # no shared memory, which network file systems do not have
        self._db.execute("PRAGMA journal_mode=WAL")  # a commit is one sync, not four
        self._db.executescript(_SCHEMA)
        if self._db.execute("SELECT count(*) FROM about").fetchone()[0]:
            self._db.execute("UPDATE about SET dest = ? WHERE dest = ''", (dest,))
            self._renew()
        else:
            self._db.execute("INSERT INTO about VALUES (?, ?)", (_VERSION, dest))

    def _renew(self) -> None:
        """Add what a ledger of the version before has not."""
        if self._db.execute("SELECT version FROM about").fetchone()[0] != _VERSION:
            self._db.execute("BEGIN")
            for column in _NEW:
                self._db.execute(f"ALTER TABLE made ADD COLUMN {column} TEXT NOT NULL DEFAULT ''")
            self._db.execute("UPDATE about SET version = ?", (_VERSION,))
            self._db.execute("COMMIT")

    def _guard(self, what: str, work: Callable[..., T], *arguments: Any) -> T:
        """Do something with the file; a ledger that is lost stops the run.

        Raises
        ------
        StopRun
        """
        try:
            return work(*arguments)
        except (sqlite3.Error, OSError, zlib.error, ValueError) as error:
            raise StopRun(_trouble(what, error)) from None

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def commit(self) -> None:
        """Bring to the disk what was written.

        Raises
        ------
        StopRun
            The ledger cannot be written: nothing further may be released.
        """
        self._guard(_WRITTEN, self._commit)

    def _commit(self) -> None:
        try:
            self._write_rows()
            if self._db.in_transaction:
                self._db.execute("COMMIT")
        except BaseException:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise

    def _write(self, query: str, *values: object) -> sqlite3.Cursor:
        return self._begun().execute(query, values)

    def _write_all(self, query: str, rows: Iterable[Sequence[object]]) -> None:
        self._begun().executemany(query, rows)

    def _begun(self) -> sqlite3.Connection:
        """Return the file with a transaction open."""
        if not self._db.in_transaction:
            self._db.execute("BEGIN IMMEDIATE")
        return self._db

    def claim(self, dest: str) -> None:
        """Note which destination the ledger is of, once that has something of ours."""
        self._guard(_WRITTEN, self._write, "UPDATE about SET dest = ?", dest)

    # -- what stands -----------------------------------------------------------------------------------

    def at(self, name: str) -> Made | None:
        """Return what stands under a ``Made.name``."""
        return next(iter(self._named([name], _SELECT_AUDITED)), None)

    def names_of(self, places: Sequence[str], instances: Iterable[str]) -> set[str]:
        """Return the ``Made.name`` of what was made of any of the source files, or holds any of the instances."""
        found = self._names("parts", "place", [_stored(place) for place in places])
        return found | self._names("holds", "instance", list(instances))

    def of(self, places: Sequence[str], instances: Iterable[str]) -> list[Made]:
        """Return what was made of any of the source files, or holds any of the instances, without audits."""
        return self._named(self.names_of(places, instances))

    def of_instances(self, instances: Iterable[str]) -> list[Made]:
        """Return what holds any of the instances, without audits."""
        return self.of((), instances)

    def all_made(self, beside: Collection[str] = ()) -> Iterator[Made]:
        """Yield what stands in the order of paths, without audits.

        Parameters
        ----------
        beside : collection of str
            ``Made.name`` of what is not asked for.
        """
        listed = self._read("SELECT name FROM made ORDER BY path")
        names = [name for (name,) in listed if name not in beside]
        for start in range(0, len(names), _SOME):
            known = {made.name: made for made in self._named(names[start : start + _SOME])}
            yield from (known[name] for name in names[start : start + _SOME] if name in known)

    def owners(self) -> Iterator[tuple[str, str, str, str, bool]]:
        """Yield name, path, person, key, and whether it is known to stand, of everything that was made."""
        yield from self._read("SELECT name, path, person, key, standing FROM made ORDER BY path")

    def holds(self, name: str) -> set[str]:
        """Return the instances that what stands under a ``Made.name`` holds."""
        return {one for (one,) in self._read("SELECT instance FROM holds WHERE name = ?", name)}

    def put(self, made: Made) -> None:
        """Write what stands, or is about to.

        Raises
        ------
        StopRun
            The ledger cannot be written: nothing further may be released.
        """
        self._guard(_WRITTEN, self._put, made)

    def _put(self, made: Made) -> None:
        name = made.name
        if self._write("DELETE FROM made WHERE name = ?", name).rowcount:
            for table in ("parts", "holds"):
                self._write(f"DELETE FROM {table} WHERE name = ?", name)  # noqa: S608 -- constants
        self._write(_INSERT_MADE, name, *(getattr(made, column) for column in _MADE))
        self._write_all("INSERT INTO parts VALUES (?, ?, ?, ?)", self._parts(name, made.parts))
        self._write_all("INSERT INTO holds VALUES (?, ?)", ((name, instance) for instance in made.holds))

    def stand(self, name: str, stood: str) -> None:
        """Note that what was on its way stands."""
        query = "UPDATE made SET standing = 1, stood = ? WHERE name = ?"
        self._guard(_WRITTEN, self._write, query, stood, name)

    def move(self, name: str, parts: Sequence[tuple[str, str]]) -> None:
        """Note that the source files of what stands lie elsewhere now."""
        self._guard(_WRITTEN, self._move, name, parts)

    def _move(self, name: str, parts: Sequence[tuple[str, str]]) -> None:
        self._write("DELETE FROM parts WHERE name = ?", name)
        self._write_all("INSERT INTO parts VALUES (?, ?, ?, ?)", self._parts(name, parts))

    @staticmethod
    def _parts(name: str, parts: Sequence[tuple[str, str]]) -> list[tuple[object, ...]]:
        return [(name, number, _stored(place), version) for number, (place, version) in enumerate(parts)]

    def drop(self, name: str) -> None:
        """Forget what stood under a ``Made.name``."""
        for table in ("made", "parts", "holds"):
            self._guard(_WRITTEN, self._write, f"DELETE FROM {table} WHERE name = ?", name)  # noqa: S608 -- constants

    def _read(self, query: str, *values: object) -> list[Any]:
        return self._guard(_READ, lambda: self._db.execute(query, values).fetchall())

    def _in(self, query: str, values: Sequence[object]) -> Iterator[Any]:
        """Yield what a query finds that ends with ``IN``, for any number of values."""
        for start in range(0, len(values), _SOME):
            some = values[start : start + _SOME]
            yield from self._read(f"{query} ({','.join('?' * len(some))})", *some)

    def _names(self, table: str, column: str, values: Sequence[object]) -> set[str]:
        query = f"SELECT name FROM {table} WHERE {column} IN"  # noqa: S608 -- constants
        return {name for (name,) in self._in(query, values)}

    def _named(self, names: Collection[str], query: str = _SELECT_MADE) -> list[Made]:
        listed = sorted(names)
        rows = list(self._in(f"{query} WHERE name IN", listed))
        if not rows:
            return []
        parts: dict[str, list[tuple[int, str, str]]] = defaultdict(list)
        holds: dict[str, set[str]] = defaultdict(set)
        of_parts = "SELECT name, number, place, version FROM parts WHERE name IN"
        for name, number, place, version in self._in(of_parts, listed):
            parts[name].append((number, _text(place), version))
        for name, instance in self._in("SELECT name, instance FROM holds WHERE name IN", listed):
            holds[name].add(instance)
        return [
            replace(
                _made(values),
                parts=tuple((place, version) for _, place, version in sorted(parts[name])),
                holds=frozenset(holds[name]),
            )
            for name, *values in rows
        ]

    # -- what was seen ---------------------------------------------------------------------------------

    def looks(self, places: Sequence[str], *, closer: bool = False) -> dict[str, tuple[str, dict[str, Any]]]:
        """Return what looks, or closer ones, found in source files: place → version and finding."""
        query = f"SELECT place, version, seen FROM looks WHERE closer = {closer:d} AND place IN"  # noqa: S608
        found = self._in(query, [_stored(place) for place in places])
        return {_text(place): (version, json.loads(seen)) for place, version, seen in found}

    def remember_looks(self, looks: Iterable[tuple[str, str, dict[str, Any]]], *, closer: bool = False) -> None:
        """Keep what looks, or closer ones, found: place, version, finding."""
        rows = [(_stored(place), closer, version, json.dumps(seen)) for place, version, seen in looks]
        self._guard(_WRITTEN, self._write_all, "INSERT OR REPLACE INTO looks VALUES (?, ?, ?, ?)", rows)

    def people(self, texts: Sequence[str]) -> dict[str, dict[str, Any]]:
        """Return what earlier runs knew of persons: text → knowledge."""
        found = self._in("SELECT person, known FROM people WHERE person IN", texts)
        return {person: json.loads(known) for person, known in found}

    def remember_people(self, people: Iterable[tuple[str, dict[str, Any]]]) -> None:
        """Keep what is known of persons: text, knowledge."""
        rows = [(text, json.dumps(known)) for text, known in people]
        self._guard(_WRITTEN, self._write_all, "INSERT OR REPLACE INTO people VALUES (?, ?)", rows)

    # -- the run ---------------------------------------------------------------------------------------

    def failed(self, words: str) -> frozenset[str]:
        """Return the source files of the last run that failed for a reason which begins with some words."""
        found = self._read("SELECT source, reason FROM run WHERE state = 'failed'")
        return frozenset(_text(source) for source, reason in found if str(reason).startswith(words))

    def begin(self) -> None:
        """Start a run: its rows take the place of those of the last one."""
        self._guard(_WRITTEN, self._write, "DELETE FROM run")

    def note(self, rows: Iterable[Row]) -> None:
        """Write lines of the run."""
        self._waiting += rows
        if len(self._waiting) >= _SOME:
            self._guard(_WRITTEN, self._write_rows)

    def _write_rows(self) -> None:
        rows, self._waiting = self._waiting, []
        if rows:
            self._write_all(
                _INSERT_ROW,
                (
                    (row.position, _stored(row.source), row.state, row.reason, row.made, row.first, row.bytes_in,
                     row.seconds)
                    for row in rows
                ),
            )  # fmt: skip

    def rows(self) -> Iterator[tuple[Row, Made | None]]:
        """Yield the lines of the run in the order of the listing, with what each tells of; the first with its audit.

        Of that, without parts and instances.
        """
        self._guard(_WRITTEN, self._write_rows)
        found = self._guard(_READ, self._db.execute, _SELECT_ROWS)
        while some := self._guard(_READ, found.fetchmany, _SOME):
            for values in some:
                position, source, state, reason, made, first, bytes_in, seconds = values[: len(_ROW)]
                row = Row(position, _text(source), state, reason, made, bool(first), bytes_in, seconds)
                of = values[len(_ROW) :]
                yield row, _made(of) if of[0] is not None else None


def _made(values: Sequence[Any]) -> Made:
    """Return what stands by its row, without parts and instances."""
    told = dict(zip(_MADE, values, strict=True))
    told["standing"], told["originals"] = bool(told["standing"]), bool(told["originals"])
    told["audit"] = told["audit"] or b""
    return Made(**told)


_OPENED, _READ = "the ledger cannot be opened", "the ledger cannot be read"
_WRITTEN = "the ledger cannot be written"
# what a disk answers that is broken, and a network file system that has no locks
_OF_THE_DISK = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_PROTOCOL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_NOLFS})


def _trouble(what: str, error: Exception) -> str:
    if isinstance(error, sqlite3.Error):
        code = getattr(error, "sqlite_errorcode", None)
        hint = "; --ledger DIR puts it on another disk" if code is not None and code & 0xFF in _OF_THE_DISK else ""
        return f"{what} ({error}{hint}); nothing more is released"
    cause = error.strerror if isinstance(error, OSError) else "damaged"
    return f"{what} ({cause}); nothing more is released"


def _stored(text: str) -> str | bytes:
    """Return a name as SQLite takes it: one that is no UTF-8 as its bytes."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogateescape")
    return text


def _text(stored: str | bytes) -> str:
    return stored if isinstance(stored, str) else stored.decode("utf-8", "surrogateescape")
