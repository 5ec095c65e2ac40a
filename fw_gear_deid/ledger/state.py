"""What became of each source, kept in one SQLite file: reports are projections of it, and a rerun resumes from it."""

from __future__ import annotations

import sqlite3
import zlib
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from fw_gear_deid.model.errors import StopRun
from fw_gear_deid.model.portable import same_name_key
from fw_gear_deid.system import private

_SCHEMA = """
CREATE TABLE IF NOT EXISTS files (
    source TEXT PRIMARY KEY, position INTEGER NOT NULL, task TEXT NOT NULL, fingerprint TEXT NOT NULL,
    destination TEXT NOT NULL, state TEXT NOT NULL, reason TEXT NOT NULL, changes INTEGER NOT NULL,
    members INTEGER NOT NULL, bytes_in INTEGER NOT NULL, bytes_out INTEGER NOT NULL, sha256 TEXT NOT NULL,
    seconds REAL NOT NULL, audit BLOB NOT NULL, actions TEXT NOT NULL, unmatched TEXT NOT NULL,
    name_key TEXT NOT NULL DEFAULT '');
"""
_AUDIT = 13  # column of the compressed text
RELEASING = "releasing"  # on its way: what stands at the destination may be whole or not there


@dataclass(frozen=True, slots=True)
class Row:
    """One source file's line in ``files.csv``, with what a rerun needs.

    Attributes
    ----------
    source : str
    position : int
        In the order of the listing.
    task : str
        Versions of everything that went into the destination file.
    fingerprint : str
        Profile, key, options and program version it was made with.
    destination, state, reason : str
    changes, members, bytes_in, bytes_out : int
    sha256 : str
    seconds : float
    audit : str
        The file's lines of ``audit.csv``; with a series, those of its first instance.
    actions : str
        ``action=count`` pairs.
    unmatched : str
        Indices of rules that found nothing, separated by blanks.
    """

    source: str
    position: int
    task: str
    fingerprint: str
    destination: str
    state: str
    reason: str
    changes: int = 0
    members: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    sha256: str = ""
    seconds: float = 0.0
    audit: str = ""
    actions: str = ""
    unmatched: str = ""


class State:
    """The ledger of one destination.

    Parameters
    ----------
    path : Path
    keep : bool
        False works on a copy in memory (dry runs).
    """

    def __init__(self, path: Path, *, keep: bool = True) -> None:
        try:
            if keep:
                private.ensure(path)  # SQLite gives its journal the same mode
            self._db = sqlite3.connect(path if keep else ":memory:", isolation_level=None)
        except (sqlite3.Error, OSError) as error:
            raise StopRun(f"the ledger cannot be opened ({_cause(error)})") from None
        try:
            if not keep and path.exists():
                with closing(sqlite3.connect(path)) as kept:
                    kept.backup(self._db)
            self._db.execute("PRAGMA synchronous=FULL")
            self._db.executescript(_SCHEMA)
            self._add_name_keys()
        except (sqlite3.Error, OSError) as error:
            self.close()
            raise StopRun(f"the ledger cannot be opened ({_cause(error)})") from None

    def _add_name_keys(self) -> None:
        """Give a ledger of an earlier version what its names are looked up by."""
        if not any(name == "name_key" for _, name, *_ in self._db.execute("PRAGMA table_info(files)")):
            self._db.execute("ALTER TABLE files ADD COLUMN name_key TEXT NOT NULL DEFAULT ''")
            known = self._db.execute("SELECT DISTINCT destination FROM files").fetchall()
            self._db.executemany(
                "UPDATE files SET name_key = ? WHERE destination = ?",
                [(same_name_key(name), name) for (name,) in known],
            )
        self._db.execute("CREATE INDEX IF NOT EXISTS by_name_key ON files (name_key)")

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def get(self, source: str) -> Row | None:
        """Return what is known of a source."""
        return next(self._rows("WHERE source = ?", _stored(source)), None)

    def at(self, destination: str) -> list[Row]:
        """Return the sources that stand, or are about to, at a destination or at what is the same somewhere."""
        return list(self._rows("WHERE name_key = ? AND sha256 != ''", same_name_key(destination)))

    def record(self, rows: Iterable[Row]) -> None:
        """Write rows in one transaction, on disk when this returns.

        Raises
        ------
        StopRun
            The ledger cannot be written: nothing further may be released.
        """
        try:
            self._db.execute("BEGIN IMMEDIATE")
            self._db.executemany(
                "INSERT OR REPLACE INTO files VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)",
                (
                    (
                        _stored(row.source), row.position, row.task, row.fingerprint, row.destination, row.state,
                        row.reason, row.changes, row.members, row.bytes_in, row.bytes_out, row.sha256, row.seconds,
                        zlib.compress(row.audit.encode("utf-8", "surrogatepass"), 1), row.actions, row.unmatched,
                        same_name_key(row.destination),
                    )
                    for row in rows
                ),
            )  # fmt: skip
            self._db.execute("COMMIT")
        except sqlite3.Error as error:
            raise StopRun(f"the ledger cannot be written ({_cause(error)}); nothing more is released") from None

    def _rows(self, where: str, value: str | bytes) -> Iterator[Row]:
        try:
            found = self._db.execute(f"SELECT * FROM files {where} ORDER BY position", (value,)).fetchall()  # noqa: S608 -- constants
            for source, *fields, _ in found:
                fields[_AUDIT - 1] = zlib.decompress(fields[_AUDIT - 1]).decode("utf-8", "surrogatepass")
                yield Row(source if isinstance(source, str) else source.decode("utf-8", "surrogateescape"), *fields)
        except (sqlite3.Error, zlib.error) as error:
            raise StopRun(f"the ledger cannot be read ({_cause(error)}); nothing more is released") from None


# what a disk answers that is broken, and a network file system that has no locks
_OF_THE_DISK = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_PROTOCOL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_NOLFS})


def _cause(error: Exception) -> str:
    code = getattr(error, "sqlite_errorcode", None)
    hint = "; --ledger DIR puts it on another disk" if code is not None and code & 0xFF in _OF_THE_DISK else ""
    return f"{error}{hint}"


def _stored(source: str) -> str | bytes:
    """Return a source's name as SQLite takes it: a name that is no UTF-8 as its bytes."""
    try:
        source.encode()
    except UnicodeEncodeError:
        return source.encode("utf-8", "surrogateescape")
    return source
