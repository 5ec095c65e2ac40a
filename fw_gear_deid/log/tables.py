"""A log in the tables of a database: what SQLite and PostgreSQL share."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from typing import Any, Protocol

from fw_gear_deid.keys import Keyring, fresh_id
from fw_gear_deid.log import schema
from fw_gear_deid.log.ids import dashed
from fw_gear_deid.log.seal import Clear, Closed, Seal, Sealed
from fw_gear_deid.model.errors import UNLOGGED, UNREAD, LogDown, UsageError
from fw_gear_deid.model.logged import (
    FAILED,
    KEYWORDS,
    PATIENT,
    RESERVED,
    UPLOADED,
    Entry,
    Logged,
    Look,
    Placed,
    Replaced,
)  # fmt: skip

_SOME = 500  # ids that are asked for at once
_SELECTED = [f"CAST({one} AS TEXT)" if one in ("id", "deidentified_tags") else one for one in schema.COLUMNS]
_SELECT = f"SELECT {', '.join(_SELECTED)}, dest_version FROM deid_log"  # noqa: S608 -- constants
_SELECT_BRIEFLY = _SELECT.replace("CAST(deidentified_tags AS TEXT)", "''")  # of many they would fill the memory
_INSERT = f"INSERT INTO deid_log ({', '.join(schema.COLUMNS)}) VALUES (?{', ?' * (len(schema.COLUMNS) - 1)})"  # noqa: S608
_INSERT_REPLACED = "INSERT INTO deid_log_map (id, kind, old, new) VALUES (?, ?, ?, ?)"
_ORDER = " ORDER BY timestamp, id"
_NO_JSONB = re.compile(r"\\u(0000|[dD][89a-fA-F])")
"""What PostgreSQL's jsonb takes for no JSON: NUL, and half of a character."""


class Session(Protocol):
    """A transaction that is open."""

    def run(self, query: str, values: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """Carry out a statement, with ``?`` for values, and return its rows."""
        ...

    def many(self, query: str, rows: Iterable[Sequence[object]]) -> None:
        """Carry out a statement for each row of values."""
        ...

    def has_table(self, name: str) -> bool:
        """Tell whether there is a table."""
        ...


class Database(Protocol):
    """A connection to a database."""

    @property
    def words(self) -> dict[str, str]:
        """Its words for ``schema.tables``."""
        ...

    def stored(self, id: str) -> str:
        """Return an id as its column has it."""
        ...

    def session(self, what: str, *, write: bool) -> AbstractContextManager[Session]:
        """Open a transaction, which is committed at the end of the block and rolled back by an error in it.

        Raises
        ------
        LogDown
            Begins with ``what``.
        """
        ...

    def tidy(self) -> None:
        """Give up the room of what was erased."""
        ...

    def close(self) -> None:
        """Let go of the connection."""
        ...


class Undo(Exception):
    """Rolls a transaction back."""


class TableLog:
    """As ``model.logged.DeidLog``.

    Parameters
    ----------
    database : Database
    key : Keyring, optional
        Encrypts originals.
    create : bool
        Make the tables unless they are there.
    """

    readable = True

    def __init__(self, database: Database, key: Keyring | None, *, create: bool) -> None:
        self._db = database
        self._key = key
        try:
            given: Seal = Clear() if key is None else Sealed(key)
            self._seal = self._prepared(given) if create else self._found(given)
        except BaseException:
            database.close()
            raise

    # -- tables ----------------------------------------------------------------------------------------

    def _prepared(self, given: Seal) -> Seal:
        """Make the tables, unless they are there, and return how originals are kept."""
        with self._db.session(UNLOGGED, write=True) as session:
            if not session.has_table("deid_log"):
                for statement in schema.tables(self._db.words, sealed=bool(given.fingerprint)):
                    session.run(statement)
                session.run("INSERT INTO deid_log_about VALUES (?, ?)", (schema.VERSION, given.fingerprint))
            return _agreed(_fingerprint(session, UNLOGGED), given, closed=False)

    def _found(self, given: Seal) -> Seal:
        with self._db.session(UNREAD, write=False) as session:
            if not session.has_table("deid_log"):
                raise UsageError("there is no de-id log at this address")
            return _agreed(_fingerprint(session, UNREAD), given, closed=True)

    def probe(self) -> None:
        """As the port."""
        nothing = self._row(fresh_id(), Entry(indexed={}, tags="{}", run="probe"))
        try:
            with self._db.session(UNLOGGED, write=True) as session:
                _fingerprint(session, UNLOGGED)
                session.run(_INSERT, nothing)
                session.many(_INSERT_REPLACED, [(nothing[0], "probe", "", "")])
                raise Undo
        except Undo:
            pass
        with self._db.session(UNLOGGED, write=True) as session:  # what is rolled back never met a full disk
            session.run("UPDATE deid_log_about SET version = version")

    # -- writing ---------------------------------------------------------------------------------------

    def reserve(self, entries: Sequence[Entry]) -> list[str]:
        """As the port."""
        ids = [fresh_id() for _ in entries]
        rows = [self._row(one, entry) for one, entry in zip(ids, entries, strict=True)]
        pairs = (pair for one, entry in zip(ids, entries, strict=True) for pair in self._pairs(one, entry))
        with self._db.session(UNLOGGED, write=True) as session:
            session.many(_INSERT, rows)
            session.many(_INSERT_REPLACED, pairs)
        return ids

    def _row(self, id: str, entry: Entry) -> tuple[object, ...]:
        """Return the values of ``schema.COLUMNS``."""
        values: dict[str, object] = {"id": self._db.stored(id), "timestamp": now(), "state": RESERVED}
        values |= dict.fromkeys(KEYWORDS)
        for keyword, text in _known(entry.indexed).items():
            values[keyword] = self._seal.cover(_clean(text), keyword, id)
        values["deidentified_tags"] = self._tags(entry.tags, id)
        for name, column in schema.SOURCE.items():
            values[column] = self._seal.cover(_clean(getattr(entry, name)), column, id, found_by=False)
        values |= {column: _clean(getattr(entry, name)) for name, column in schema.PLAIN.items()}
        return tuple(values[column] for column in schema.COLUMNS)

    def _tags(self, text: str, id: str) -> str:
        """Return JSON: the object, or a text of what is sealed or what jsonb would not take."""
        text = text.encode("utf-8", "backslashreplace").decode()  # half a character: its escape is the same to JSON
        if self._seal.fingerprint:
            return json.dumps(self._seal.cover(text, "deidentified_tags", id, found_by=False))
        return json.dumps(text) if _NO_JSONB.search(text) else text

    def _pairs(self, id: str, entry: Entry) -> Iterator[tuple[str, str, str, str]]:
        for pair in dict.fromkeys(entry.replaced):
            new = _clean(pair.new)
            old = self._seal.cover(_clean(pair.old), "old", f"{id} {pair.kind} {new}")
            yield self._db.stored(id), pair.kind, old, new

    def confirm(self, placed: Sequence[Placed]) -> None:
        """As the port."""
        query = (
            "UPDATE deid_log SET state = ?, dest_container = ?, dest_file_id = ?, dest_version = ?, dest_sha = ? "
            "WHERE id = ?"
        )
        with self._db.session(UNLOGGED, write=True) as session:
            session.many(
                query,
                (
                    (UPLOADED, *map(_clean, (one.container, one.file, one.version, one.sha)), self._db.stored(one.id))
                    for one in placed
                ),
            )

    def fail(self, ids: Sequence[str], state: str = FAILED) -> None:
        """As the port."""
        with self._db.session(UNLOGGED, write=True) as session:
            session.many("UPDATE deid_log SET state = ? WHERE id = ?", ((state, self._db.stored(one)) for one in ids))

    # -- reading ---------------------------------------------------------------------------------------

    def reserved(self, dest_project: str) -> list[Logged]:
        """As the port."""
        return self._select(f"WHERE state = '{RESERVED}' AND dest_project = ?", [_clean(dest_project)])

    def standing(self, dest_project: str) -> Iterator[tuple[str, str, str]]:
        """As the port; millions of rows do not stand in memory at once."""
        here = [UPLOADED, _clean(dest_project)]
        for some in self._some(self._ids("WHERE state = ? AND dest_project = ?", here)):
            marks = ", ".join("?" * len(some))
            query = f"SELECT dest_container, dest_file_id, dest_sha FROM deid_log WHERE id IN ({marks})"  # noqa: S608 -- marks
            with self._db.session(UNREAD, write=False) as session:
                rows = session.run(query, [*map(self._db.stored, some)])
            yield from ((container, file, sha) for container, file, sha in rows)

    def find(self, wanted: Mapping[str, str]) -> list[Logged]:
        """As the port."""
        asked = [self._seal.equals(keyword, _clean(text)) for keyword, text in _known(wanted).items()]
        where = " AND ".join(condition for condition, _ in asked)
        return self._select(f"WHERE {where}" if where else "", [value for _, value in asked])

    def get(self, id: str) -> Logged | None:
        """As the port."""
        return next(iter(self._select("WHERE id = ?", [self._db.stored(id)], _SELECT)), None)

    def find_file(self, name: str, sha: str = "") -> list[Logged]:
        """As the port."""
        found = self._select("WHERE dest_file_id = ?", [_clean(name)], _SELECT) if name else []
        return found or (self._select("WHERE dest_sha = ?", [sha], _SELECT) if sha else [])

    def of_subject(self, subject: str) -> list[Logged]:
        """As the port."""
        text = _clean(subject)
        original, first = self._seal.equals("PatientID", text)
        old, second = self._seal.equals("old", text)
        query = f"WHERE {original} OR id IN (SELECT id FROM deid_log_map WHERE kind = ? AND ({old} OR new = ?))"  # noqa: S608 -- constants
        return self._select(query, [first, PATIENT, second, text])

    def _select(self, where: str, values: Sequence[object], select: str = _SELECT_BRIEFLY) -> list[Logged]:
        with self._db.session(UNREAD, write=False) as session:
            rows = session.run(f"{select} {where}{_ORDER}", values)
        return [self._logged(row) for row in rows]

    def _logged(self, row: Sequence[Any]) -> Logged:
        values = dict(zip(schema.COLUMNS, row, strict=False))
        id = dashed(str(values["id"]))
        open_ = self._seal.uncover
        known = () if self._seal.closed else [keyword for keyword in KEYWORDS if values[keyword] is not None]
        fields: dict[str, Any] = {name: values[column] for name, column in schema.PLAIN.items()}
        for name, column in schema.SOURCE.items():
            fields[name] = open_(values[column], column, id, found_by=False)
        indexed = {keyword: open_(values[keyword], keyword, id) for keyword in known}
        entry = Entry(indexed=indexed, tags=self._plain_tags(values["deidentified_tags"], id), **fields)
        return Logged(id, values["timestamp"], values["state"], row[-1], entry, self._seal.closed)

    def _plain_tags(self, cell: str, id: str) -> str:
        if not cell:
            return ""
        text = str(json.loads(cell)) if cell.startswith('"') else cell
        return self._seal.uncover(text, "deidentified_tags", id, found_by=False) if self._seal.fingerprint else text

    def replaced(self, kind: str, id: str = "") -> Iterator[Replaced]:
        """As the port."""
        if self._seal.closed:
            raise UsageError("this de-id log is encrypted: what was replaced is read with its --log-key")
        seen: set[Replaced] = set()
        for some in self._some([id] if id else self._ids()):
            marks = ", ".join("?" * len(some))
            query = f"SELECT CAST(id AS TEXT), old, new FROM deid_log_map WHERE kind = ? AND id IN ({marks})"  # noqa: S608 -- marks
            with self._db.session(UNREAD, write=False) as session:
                rows = session.run(query, [kind, *map(self._db.stored, some)])
            for key, old, new in rows:
                plain = self._seal.uncover(old, "old", f"{dashed(key)} {kind} {new}")
                pair = Replaced(kind, plain, new)
                if pair not in seen:
                    seen.add(pair)
                    yield pair

    def _ids(self, where: str = "", values: Sequence[object] = ()) -> list[str]:
        with self._db.session(UNREAD, write=False) as session:
            rows = session.run(f"SELECT CAST(id AS TEXT) FROM deid_log {where}{_ORDER}", values)  # noqa: S608 -- constants
        return [dashed(one) for (one,) in rows]

    @staticmethod
    def _some(ids: Sequence[str]) -> Iterator[Sequence[str]]:
        return (ids[start : start + _SOME] for start in range(0, len(ids), _SOME))

    # -- erasing, and the trail ------------------------------------------------------------------------

    def purge(self, ids: Sequence[str]) -> None:
        """As the port."""
        stored = [(self._db.stored(one),) for one in ids]
        with self._db.session(UNLOGGED, write=True) as session:
            session.many("DELETE FROM deid_log_map WHERE id = ?", stored)
            session.many("DELETE FROM deid_log WHERE id = ?", stored)
        self._db.tidy()

    def note(self, look: Look) -> None:
        """As the port."""
        row = (now(), *map(_clean, (look.who, look.reason, look.command)), json.dumps(look.ids))
        query = "INSERT INTO deid_log_trail (timestamp, who, reason, command, ids) VALUES (?, ?, ?, ?, ?)"
        with self._db.session("The de-id log cannot note this look-up, so it shows nothing", write=True) as session:
            session.run(query, row)

    def trail(self) -> Iterator[Look]:
        """As the port."""
        query = "SELECT who, reason, command, ids, timestamp FROM deid_log_trail ORDER BY number"
        with self._db.session(UNREAD, write=False) as session:
            rows = session.run(query)
        for who, reason, command, ids, timestamp in rows:
            yield Look(who, reason, command, tuple(json.loads(ids)), timestamp)

    def close(self) -> None:
        """As the port."""
        self._db.close()


def now() -> str:
    """Return the time: UTC, ISO 8601, always of the same length, so that texts compare as times do."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _fingerprint(session: Session, what: str) -> str:
    """Return what tells a log's key.

    Raises
    ------
    LogDown
        The tables are not those of this version.
    """
    if not session.has_table("deid_log_about"):
        raise LogDown(f"{what}: its table deid_log is not one of this program")
    rows = session.run("SELECT version, key FROM deid_log_about")
    if len(rows) != 1 or rows[0][0] != schema.VERSION:
        raise LogDown(f"{what}: its tables are of another version of this program")
    session.run(f"{_SELECT} WHERE id IS NULL")
    session.run("SELECT id, kind, old, new FROM deid_log_map WHERE id IS NULL")
    return str(rows[0][1])


def _agreed(kept: str, given: Seal, *, closed: bool) -> Seal:
    """Return how originals are kept, where the key that is given is that of the log.

    Raises
    ------
    UsageError
    """
    if kept == given.fingerprint:
        return given
    if not kept:
        raise UsageError("this de-id log is not encrypted: leave --log-key away, or begin another log")
    if given.fingerprint:
        raise UsageError("this de-id log is encrypted with another key: give its own --log-key")
    if not closed:
        raise UsageError("this de-id log is encrypted: give its --log-key")
    return Closed(kept)


def _known(values: Mapping[str, str]) -> Mapping[str, str]:
    """Return values whose names are columns.

    Raises
    ------
    UsageError
    """
    if not values.keys() <= set(KEYWORDS):
        raise UsageError(f"the de-id log knows an entry by these keywords: {', '.join(KEYWORDS)}")
    return values


def _clean(text: str) -> str:
    r"""Return text that every database takes: no NUL, and of what is no character (names of files) its ``\x``."""
    return text.encode("utf-8", "backslashreplace").decode().replace("\0", "\\x00")
