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
    What a first look found in a source file, so that a rerun need not read it again.
people
    What is known of each person, so that another run can tell whether it is the same.
run
    One row per source file of the last run: the reports are a projection of it.
"""

from __future__ import annotations

import json
import sqlite3
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, TypeVar

from fw_gear_deid.model.errors import StopRun
from fw_gear_deid.model.portable import same_name_key
from fw_gear_deid.system import private

_VERSION = 2
_SCHEMA = """
CREATE TABLE IF NOT EXISTS about (version INTEGER NOT NULL, dest TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS made (
    name TEXT PRIMARY KEY, path TEXT NOT NULL, inside TEXT NOT NULL, standing INTEGER NOT NULL,
    fingerprint TEXT NOT NULL, key TEXT NOT NULL, task TEXT NOT NULL, person TEXT NOT NULL, sha256 TEXT NOT NULL,
    size INTEGER NOT NULL, stood TEXT NOT NULL, changes INTEGER NOT NULL, members INTEGER NOT NULL,
    seconds REAL NOT NULL, reason TEXT NOT NULL, actions TEXT NOT NULL, unmatched TEXT NOT NULL, checked TEXT NOT NULL,
    originals INTEGER NOT NULL, root TEXT NOT NULL, audit BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS parts (name TEXT NOT NULL, number INTEGER NOT NULL, place BLOB NOT NULL,
    version TEXT NOT NULL, PRIMARY KEY (name, number));
CREATE INDEX IF NOT EXISTS by_place ON parts (place);
CREATE TABLE IF NOT EXISTS holds (name TEXT NOT NULL, instance TEXT NOT NULL, PRIMARY KEY (name, instance));
CREATE INDEX IF NOT EXISTS by_instance ON holds (instance);
CREATE TABLE IF NOT EXISTS looks (place BLOB PRIMARY KEY, version TEXT NOT NULL, seen TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS people (person TEXT PRIMARY KEY, known TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS run (
    position INTEGER PRIMARY KEY, source BLOB NOT NULL, state TEXT NOT NULL, reason TEXT NOT NULL, made TEXT NOT NULL,
    first INTEGER NOT NULL, bytes_in INTEGER NOT NULL, seconds REAL NOT NULL);
"""
_BATCH = 1000  # rows that wait for one transaction


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
    checked : str
        ``--verify`` of the run that made it.
    originals : bool
        Whether the lines of the audit hold values before a change.
    audit : str
        Its lines of ``audit.csv``.
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
    checked: str = ""
    originals: bool = False
    root: str = ""
    audit: str = ""
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
_SELECT_MADE = _SELECT_AUDITED.replace(" audit ", " '' ")
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
            row = found.execute("SELECT dest FROM about WHERE version = ?", (_VERSION,)).fetchone()
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
        else:
            self._db.execute("INSERT INTO about VALUES (?, ?)", (_VERSION, dest))

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

    def claim(self, dest: str) -> None:
        """Note which destination the ledger is of, once that has something of ours."""
        self._guard(_WRITTEN, self._db.execute, "UPDATE about SET dest = ?", (dest,))

    # -- what stands -----------------------------------------------------------------------------------

    def at(self, name: str, *, audit: bool = True) -> Made | None:
        """Return what stands under a ``Made.name``."""
        return next(self._made("WHERE name = ?", name, audit=audit), None)

    def of_places(self, places: Sequence[str]) -> list[Made]:
        """Return what was made of any of the source files, without audit texts."""
        return self._some("parts", "place", [_stored(place) for place in places])

    def of_instances(self, instances: Iterable[str]) -> list[Made]:
        """Return what holds any of the instances, without audit texts."""
        return self._some("holds", "instance", list(instances))

    def all_made(self) -> Iterator[Made]:
        """Yield everything that stands, without audit texts."""
        yield from self._made("ORDER BY path", audit=False)

    def put(self, made: Made) -> None:
        """Write what stands, or is about to, in one transaction, on disk when this returns.

        Raises
        ------
        StopRun
            The ledger cannot be written: nothing further may be released.
        """
        self._guard(_WRITTEN, self._put, made)

    def _put(self, made: Made) -> None:
        name = made.name
        if made.standing and self._stand(made):
            return
        values: list[Any] = [name, *(getattr(made, column) for column in _MADE)]
        values[-1] = zlib.compress(made.audit.encode("utf-8", "surrogatepass"), 1)
        with _Transaction(self._db) as db:
            self._flush(db)
            for table in ("parts", "holds"):
                db.execute(f"DELETE FROM {table} WHERE name = ?", (name,))  # noqa: S608 -- constants
            db.execute(_INSERT_MADE, values)
            db.executemany("INSERT INTO parts VALUES (?, ?, ?, ?)", self._parts(name, made.parts))
            db.executemany("INSERT INTO holds VALUES (?, ?)", ((name, instance) for instance in made.holds))

    def _stand(self, made: Made) -> bool:
        """Note that what was on its way stands; return false where it was not noted before."""
        query = "UPDATE made SET standing = 1, stood = ? WHERE name = ? AND standing = 0 AND sha256 = ? AND task = ?"
        with _Transaction(self._db) as db:
            self._flush(db)
            return db.execute(query, (made.stood, made.name, made.sha256, made.task)).rowcount == 1

    def move(self, name: str, parts: Sequence[tuple[str, str]]) -> None:
        """Note that the source files of what stands lie elsewhere now."""
        self._guard(_WRITTEN, self._move, name, parts)

    def _move(self, name: str, parts: Sequence[tuple[str, str]]) -> None:
        with _Transaction(self._db) as db:
            db.execute("DELETE FROM parts WHERE name = ?", (name,))
            db.executemany("INSERT INTO parts VALUES (?, ?, ?, ?)", self._parts(name, parts))

    @staticmethod
    def _parts(name: str, parts: Sequence[tuple[str, str]]) -> list[tuple[object, ...]]:
        return [(name, number, _stored(place), version) for number, (place, version) in enumerate(parts)]

    def drop(self, name: str) -> None:
        """Forget what stood under a ``Made.name``."""
        self._guard(_WRITTEN, self._drop, name)

    def _drop(self, name: str) -> None:
        with _Transaction(self._db) as db:
            for table in ("made", "parts", "holds"):
                db.execute(f"DELETE FROM {table} WHERE name = ?", (name,))  # noqa: S608 -- constants

    def _some(self, table: str, column: str, values: Sequence[object]) -> list[Made]:
        found: dict[str, Made] = {}
        for start in range(0, len(values), 500):
            some = values[start : start + 500]
            marks = ",".join("?" * len(some))
            where = f"WHERE name IN (SELECT name FROM {table} WHERE {column} IN ({marks}))"  # noqa: S608 -- constants
            found |= {made.name: made for made in self._made(where, *some, audit=False)}
        return list(found.values())

    def _made(self, rest: str, *values: object, audit: bool) -> Iterator[Made]:
        yield from self._guard(_READ, self._read_made, rest, values, audit)

    def _read_made(self, rest: str, values: Sequence[object], audit: bool) -> list[Made]:
        found = self._db.execute(f"{_SELECT_AUDITED if audit else _SELECT_MADE} {rest}", values).fetchall()
        return [self._one(*row) for row in found]

    def _one(self, name: str, *values: Any) -> Made:
        told = dict(zip(_MADE, values, strict=True))
        told["audit"] = zlib.decompress(told["audit"]).decode("utf-8", "surrogatepass") if told["audit"] else ""
        told |= {column: bool(told[column]) for column in ("standing", "originals")}
        parts = self._db.execute("SELECT place, version FROM parts WHERE name = ? ORDER BY number", (name,)).fetchall()
        holds = self._db.execute("SELECT instance FROM holds WHERE name = ?", (name,)).fetchall()
        told["parts"] = tuple((_text(place), version) for place, version in parts)
        return Made(**told, holds=frozenset(one for (one,) in holds))

    # -- what was seen ---------------------------------------------------------------------------------

    def look(self, place: str, version: str) -> dict[str, Any] | None:
        """Return what a look at this version of a source file found."""
        query = "SELECT seen FROM looks WHERE place = ? AND version = ?"
        row = self._guard(_READ, lambda: self._db.execute(query, (_stored(place), version)).fetchone())
        return None if row is None else json.loads(row[0])

    def remember_looks(self, looks: Iterable[tuple[str, str, dict[str, Any]]]) -> None:
        """Keep what looks found: place, version, finding."""
        rows = [(_stored(place), version, json.dumps(seen)) for place, version, seen in looks]
        self._guard(_WRITTEN, self._remember_looks, rows)

    def _remember_looks(self, rows: Sequence[tuple[object, ...]]) -> None:
        with _Transaction(self._db) as db:
            db.executemany("INSERT OR REPLACE INTO looks VALUES (?, ?, ?)", rows)

    def person(self, text: str) -> dict[str, Any] | None:
        """Return what earlier runs knew of a person."""
        query = "SELECT known FROM people WHERE person = ?"
        row = self._guard(_READ, lambda: self._db.execute(query, (text,)).fetchone())
        return None if row is None else json.loads(row[0])

    def remember_people(self, people: Iterable[tuple[str, dict[str, Any]]]) -> None:
        """Keep what is known of persons: text, knowledge."""
        rows = [(text, json.dumps(known)) for text, known in people]
        self._guard(_WRITTEN, self._remember_people, rows)

    def _remember_people(self, rows: Sequence[tuple[str, str]]) -> None:
        with _Transaction(self._db) as db:
            db.executemany("INSERT OR REPLACE INTO people VALUES (?, ?)", rows)

    # -- the run ---------------------------------------------------------------------------------------

    def begin(self) -> None:
        """Start a run: its rows take the place of those of the last one."""
        self._guard(_WRITTEN, self._db.execute, "DELETE FROM run")

    def note(self, rows: Iterable[Row]) -> None:
        """Write lines of the run; they reach the disk in batches, and with whatever else is written."""
        self._waiting += rows
        if len(self._waiting) >= _BATCH:
            self.flush()

    def flush(self) -> None:
        """Write the lines that wait."""
        self._guard(_WRITTEN, self._flush_alone)

    def _flush_alone(self) -> None:
        if self._waiting:
            with _Transaction(self._db) as db:
                self._flush(db)

    def _flush(self, db: sqlite3.Connection) -> None:
        rows, self._waiting = self._waiting, []
        db.executemany(
            "INSERT OR REPLACE INTO run VALUES (?,?,?,?,?,?,?,?)",
            (
                (row.position, _stored(row.source), row.state, row.reason, row.made, row.first, row.bytes_in,
                 row.seconds)
                for row in rows
            ),
        )  # fmt: skip

    def rows(self) -> Iterator[tuple[Row, Made | None]]:
        """Yield the lines of the run in the order of the listing, with what each tells of; the first with its audit."""
        self.flush()
        columns = "position, source, state, reason, made, first, bytes_in, seconds"
        query = f"SELECT {columns} FROM run ORDER BY position"  # noqa: S608 -- constants
        for values in self._guard(_READ, lambda: self._db.execute(query).fetchall()):
            position, source, state, reason, made, first, bytes_in, seconds = values
            row = Row(position, _text(source), state, reason, made, bool(first), bytes_in, seconds)
            yield row, self.at(made, audit=row.first) if made else None


class _Transaction:
    """One transaction: all of it, or nothing."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db

    def __enter__(self) -> sqlite3.Connection:
        self._db.execute("BEGIN IMMEDIATE")
        return self._db

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        self._db.execute("COMMIT" if kind is None else "ROLLBACK")


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
