"""A log in PostgreSQL, for many writers: the one door to psycopg."""

from __future__ import annotations

import logging
import os
import socket
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from fw_gear_deid.log.ids import dashed
from fw_gear_deid.model.errors import UNLOGGED, UNREAD, LogDown, UsageError

try:
    import psycopg
except ImportError:
    raise UsageError(
        "a de-id log in PostgreSQL needs its driver: python -m pip install 'fw-gear-deid[postgres]'"
    ) from None

for _name in ("psycopg", "psycopg.pq"):  # what goes wrong is told by us, in words of ours
    logging.getLogger(_name).propagate = False
    logging.getLogger(_name).addHandler(logging.NullHandler())

_TURN = 0x6465_6964  # the lock under which tables are made
PATIENCE = 60
"""Seconds to wait for other writers, and for an answer."""
_WHY = {
    "25006": "the data base is read-only",
    "40": "other writers were in the way",
    "42501": "this user may not write there",
    "42": "its tables are not those of this program",
    "53100": "its disk is full",
    "53": "the data base has no room or no connection left",
    "55": "other writers were in the way",
    "57014": "the data base took too long",
    "57": "the data base was stopped",
    "08": "the data base cannot be reached",
    "": "the data base cannot be reached, or does not let this user in; passwords are in ~/.pgpass or PGPASSWORD",
}


class PostgresDatabase:
    """As ``tables.Database``.

    Parameters
    ----------
    url : str
        ``postgresql://USER@HOST/DATABASE``; what it does not say comes from libpq's variables and ``~/.pgpass``.
    create : bool
    patience : int
        Seconds in which a server has to answer who writes.

    Raises
    ------
    LogDown
    """

    words = {  # noqa: RUF012 -- a table
        "id": "uuid PRIMARY KEY",
        "key": "uuid",
        "uuid": "uuid GENERATED ALWAYS AS (id) STORED",
        "json": "jsonb",
        "text": 'TEXT COLLATE "C"',
        "number": "BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY",
        "hash": "USING hash",
    }

    def __init__(self, url: str, *, create: bool, patience: int = PATIENCE) -> None:
        self._limit = patience if create else None  # a look at everything may take its time
        try:
            # prepared statements and pools of connections do not agree
            self._db = psycopg.connect(url, autocommit=True, prepare_threshold=None, **_settings(url))
            try:
                self._set()
            except BaseException:
                self._db.close()
                raise
        except psycopg.ProgrammingError:
            raise UsageError("the de-id log's address is none that PostgreSQL understands") from None
        except psycopg.Error as error:
            raise LogDown(f"{UNLOGGED if create else UNREAD}: {_why(error)}") from None

    def _set(self) -> None:
        self._db.execute(f"SET lock_timeout = {PATIENCE * 1000}")
        if self._limit is not None:
            self._db.execute(f"SET statement_timeout = {self._limit * 1000}")
        if self._db.execute("SHOW synchronous_commit").fetchone() == ("off",):  # a row that is committed is to last
            self._db.execute("SET synchronous_commit = on")

    def stored(self, id: str) -> str:
        """As ``Database``."""
        return dashed(id)

    @contextmanager
    def session(self, what: str, *, write: bool) -> Iterator[PostgresSession]:
        """As ``Database``."""
        try:
            with self._watched(), self._db.transaction():
                yield PostgresSession(self._db)
        except psycopg.Error as error:
            raise LogDown(f"{what}: {_why(error)}") from None

    @contextmanager
    def _watched(self) -> Iterator[None]:
        """Cut the connection when a server neither answers nor goes: no timeout of its own ends that."""
        if self._limit is None or self._db.closed:
            yield
            return
        with socket.socket(fileno=os.dup(self._db.fileno())) as line:
            watch = threading.Timer(self._limit * 1.5, line.shutdown, [socket.SHUT_RDWR])
            watch.daemon = True
            watch.start()
            try:
                yield
            finally:
                watch.cancel()
                watch.join()  # else it might cut what gets the number of this line next

    def tidy(self) -> None:
        """As ``Database``: deleted rows stay in the files until they are swept."""
        try:
            for table in ("deid_log", "deid_log_map"):
                self._db.execute(f"VACUUM {table}")
        except psycopg.Error as error:
            raise LogDown(f"Erased, but the data base keeps the room of it for now: {_why(error)}") from None

    def close(self) -> None:
        """As ``Database``."""
        self._db.close()


class PostgresSession:
    """As ``tables.Session``."""

    def __init__(self, db: psycopg.Connection[tuple[Any, ...]]) -> None:
        self._db = db

    def run(self, query: str, values: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """As ``Session``."""
        done = self._db.execute(query.replace("?", "%s").encode(), values or None)
        return done.fetchall() if done.description else []

    def many(self, query: str, rows: Iterable[Sequence[object]]) -> None:
        """As ``Session``."""
        with self._db.cursor() as cursor:
            cursor.executemany(query.replace("?", "%s").encode(), rows)

    def has_table(self, name: str) -> bool:
        """As ``Session``; whoever looks waits for others that are making tables."""
        self.run(f"SELECT pg_advisory_xact_lock({_TURN})")
        return self.run("SELECT to_regclass(?) IS NOT NULL", (name,)) == [(True,)]


def _settings(url: str) -> dict[str, Any]:
    """Return what makes a server that is gone an error, not a wait; unless the address says otherwise."""
    settings = {
        "connect_timeout": 10, "keepalives_idle": 30, "keepalives_interval": 10, "keepalives_count": 3,
        "tcp_user_timeout": PATIENCE * 1000, "application_name": "fw-gear-deid",
    }  # fmt: skip
    return {name: value for name, value in settings.items() if f"{name}=" not in url}


def _why(error: psycopg.Error) -> str:
    """Return the cause in our words: the driver's may quote a value."""
    state = error.sqlstate or ""
    return _WHY.get(state) or _WHY.get(state[:2]) or f"the data base answered {state}"
