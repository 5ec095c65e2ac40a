"""One run at a time: a lock that every system has, which ends with its process however that ends."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from fw_gear_deid.model.errors import UsageError
from fw_gear_deid.system import private

NO_LOCKS = "the file system of this folder has no file locks; put the ledger on a local disk with --ledger DIR"
_TAKEN = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED})
_REFUSED = frozenset(
    {
        sqlite3.SQLITE_PROTOCOL, sqlite3.SQLITE_PERM, sqlite3.SQLITE_NOLFS, sqlite3.SQLITE_IOERR_LOCK,
        sqlite3.SQLITE_IOERR_RDLOCK, sqlite3.SQLITE_IOERR_UNLOCK, sqlite3.SQLITE_IOERR_CHECKRESERVEDLOCK,
    }
)  # fmt: skip


@contextmanager
def exclusive(folder: Path) -> Iterator[None]:
    """Let one process at a time work in a folder, by a lock on its ``.lock``.

    The lock is SQLite's: the ledger needs nothing else of a file system, and it is the same on every system.

    Raises
    ------
    UsageError
        Another process has it, the file system has no locks, or something else stands in its place.
    OSError
        The file cannot be made.
    """
    path = folder / ".lock"
    private.ensure(path)
    with closing(sqlite3.connect(path, timeout=0, isolation_level=None)) as held:
        try:
            _take(held)
        except sqlite3.Error as error:
            raise UsageError(f"{folder}: {_why(error, folder)}") from None
        yield


def _take(connection: sqlite3.Connection) -> None:
    connection.execute("PRAGMA journal_mode=MEMORY")  # nothing is ever written
    connection.execute("BEGIN EXCLUSIVE")


def _why(error: sqlite3.Error, folder: Path) -> str:
    code = getattr(error, "sqlite_errorcode", None)
    if code in _REFUSED or (code in _TAKEN and not _locks_work(folder)):
        return NO_LOCKS
    return "another run is using it" if code in _TAKEN else f"its lock cannot be taken ({error})"


def _locks_work(folder: Path) -> bool:
    """Tell whether a file that nobody else knows can be locked: some network mounts say it is taken."""
    import tempfile  # no run needs it whose lock is free

    handle, name = tempfile.mkstemp(prefix=".lock-", dir=folder)
    os.close(handle)
    try:
        with closing(sqlite3.connect(name, timeout=0, isolation_level=None)) as probe:
            _take(probe)
    except sqlite3.Error:
        return False
    finally:
        Path(name).unlink()
    return True
