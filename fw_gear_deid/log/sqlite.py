"""A log in one file, which SQLite reads."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fw_gear_deid.log.ids import digits
from fw_gear_deid.model.errors import UNLOGGED, UNREAD, LogDown, UsageError
from fw_gear_deid.system import private
from fw_gear_deid.system.root import lies_in

PATIENCE = 60.0
"""Seconds to wait for other writers."""
_WHY = {
    sqlite3.SQLITE_BUSY: "another program has locked it",
    sqlite3.SQLITE_LOCKED: "another program has locked it",
    sqlite3.SQLITE_READONLY: "a read-only file or disk",
    sqlite3.SQLITE_FULL: "its disk is full",
    sqlite3.SQLITE_CANTOPEN: "it cannot be opened",
    sqlite3.SQLITE_NOTADB: "it is no SQLite file",
    sqlite3.SQLITE_CORRUPT: "it is damaged",
    sqlite3.SQLITE_IOERR: "its disk does not take it",
    sqlite3.SQLITE_ERROR: "its tables are not those of this program",
}
_UUID = "lower(substr(id, 1, 8) || '-' || substr(id, 9, 4) || '-' || substr(id, 13, 4) || '-' || substr(id, 17, 4) || '-' || substr(id, 21))"  # noqa: E501


def path_of(url: str) -> Path:
    """Return the file of ``sqlite:///FILE``; a fourth slash begins a path from the root.

    Raises
    ------
    UsageError
    """
    path = url.partition("://")[2]
    if not path.startswith("/") or len(path) < 2 or "?" in path or "#" in path:
        raise UsageError("the de-id log's address must be sqlite:///FILE, or sqlite:////FILE from the root")
    return Path(path[1:])


class SqliteDatabase:
    """As ``tables.Database``.

    Parameters
    ----------
    path : Path
    outside : sequence of Path
        Folders that it must not lie in.
    create : bool
    patience : float
        Seconds to wait for other writers.

    Raises
    ------
    UsageError
    LogDown
    """

    words = {  # noqa: RUF012 -- a table
        "id": "CHAR(32) COLLATE NOCASE PRIMARY KEY NOT NULL",
        "key": "CHAR(32) COLLATE NOCASE",
        "uuid": f"TEXT GENERATED ALWAYS AS ({_UUID}) VIRTUAL",
        "uuid_index": "CREATE INDEX deid_log_uuid ON deid_log (uuid)",
        "json": "TEXT",
        "text": "TEXT",
        "number": "INTEGER PRIMARY KEY AUTOINCREMENT",
        "hash": "",
    }

    def __init__(self, path: Path, *, outside: Sequence[Path], create: bool, patience: float = PATIENCE) -> None:
        _check(path, outside, create=create)
        try:
            if create:
                private.ensure(path)  # not by sqlite3, whose files others may read
            uri = f"{path.absolute().as_uri()}?mode=rw"
            self._db = sqlite3.connect(uri, uri=True, isolation_level=None, timeout=patience)
        except (sqlite3.Error, OSError) as error:
            raise LogDown(f"{UNLOGGED if create else UNREAD}: {path}: {_why(error)}") from None

    def stored(self, id: str) -> str:
        """As ``Database``."""
        return digits(id)

    @contextmanager
    def session(self, what: str, *, write: bool) -> Iterator[SqliteSession]:
        """As ``Database``."""
        try:
            # not WAL: it needs shared memory, which network mounts have not. EXTRA is FULL, and the journal's end lasts
            self._db.execute("PRAGMA synchronous=EXTRA")
            self._db.execute("PRAGMA secure_delete=ON")
            self._db.execute("BEGIN IMMEDIATE" if write else "BEGIN")
            try:
                yield SqliteSession(self._db)
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise
        except sqlite3.Error as error:
            raise LogDown(f"{what}: {_why(error)}") from None

    def tidy(self) -> None:
        """Nothing: what is deleted is overwritten."""

    def close(self) -> None:
        """As ``Database``."""
        self._db.close()


class SqliteSession:
    """As ``tables.Session``."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db

    def run(self, query: str, values: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """As ``Session``."""
        return self._db.execute(query, values).fetchall()

    def many(self, query: str, rows: Iterable[Sequence[object]]) -> None:
        """As ``Session``."""
        self._db.executemany(query, rows)

    def has_table(self, name: str) -> bool:
        """As ``Session``; a file that has other tables is somebody else's."""
        names = {one for (one,) in self.run("SELECT name FROM sqlite_master WHERE type IN ('table', 'view')")}
        if names and "deid_log" not in names:
            raise UsageError("the file at this address is not a de-id log but another data base")
        return name in names


def _check(path: Path, outside: Sequence[Path], *, create: bool) -> None:
    """Refuse a place where a log would be handed on or be lost.

    Raises
    ------
    UsageError
    """
    if not path.parent.is_dir():
        raise UsageError(f"{path}: its folder is not there; a path from the root has four slashes, sqlite:////")
    if not create and not path.exists():
        raise UsageError(f"{path}: there is no de-id log")
    if path.is_symlink() or (path.exists() and not path.is_file()):
        raise UsageError(f"{path}: a link or something else stands in the place of the de-id log")
    try:
        inside = next((folder for folder in outside if lies_in(path, folder)), None)
    except OSError as error:
        raise UsageError(f"{path}: cannot be looked up ({error.strerror})") from None
    if inside is not None:
        raise UsageError(f"{path}: the de-id log would be handed on, or be lost, in {inside}; keep it elsewhere")


def _why(error: Exception) -> str:
    if isinstance(error, OSError):
        return os.strerror(error.errno) if error.errno else type(error).__name__
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    return _WHY.get(code, f"SQLite says {getattr(error, 'sqlite_errorname', type(error).__name__)}")
