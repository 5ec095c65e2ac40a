"""Logs for tests: both data bases, in clear and sealed, and what is put into them."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fw_gear_deid.keys import Keyring
from fw_gear_deid.log.open import open_log
from fw_gear_deid.model.logged import PATIENT, UID, DeidLog, Entry, Replaced
from tests.postgres import Server

KEY = Keyring(b"k" * 32)
NAME = "John Doe"
INDEXED = {"PatientName": NAME, "PatientID": "MRN-7", "StudyInstanceUID": "1.2.3", "StudyDate": "20200101"}
REPLACED = (Replaced(UID, "1.2.3", "2.25.1"), Replaced(UID, "1.2.3.4", "2.25.2"), Replaced(PATIENT, "MRN-7", "P1"))


def entry(number: int = 1, indexed: Mapping[str, str] = INDEXED, **fields: Any) -> Entry:
    """Return an entry with a file of its own."""
    given = {
        "run": "run-1", "replaced": REPLACED, "profile_name": "p", "profile_sha256": "a" * 64,
        "source_project": "/data/in", "source_container": "DOE_JOHN/20200101", "source_file": f"DOE_JOHN/{number}.dcm",
        "source_version": "v1", "source_sha": "b" * 64, "dest_project": "dest", "dest_container": "S1/V1/A1",
        "dest_file": f"S1/V1/A1/{number}.dcm", "dest_sha": f"{number:064x}", "gear_version": "0",
    }  # fmt: skip
    tags = '{"00100010": {"vr": "PN", "Value": [{"Alphabetic": "John Doe"}]}}'
    return Entry(indexed=indexed, tags=tags, **(given | fields))


@dataclass
class Place:
    """Where a log is, and how to ask it without this program."""

    url: str
    key: Keyring | None
    ask: Callable[[str], str]

    def open(self, **options: Any) -> DeidLog:
        """Open the log."""
        return open_log(self.url, **({"key": self.key} | options))


def in_file(folder: Path, key: Keyring | None) -> Place:
    """Return a log in a file."""
    path = folder / "log.sqlite"

    def ask(query: str) -> str:
        with closing(sqlite3.connect(path)) as db:
            return "\n".join("|".join(map(str, row)) for row in db.execute(query))

    return Place(f"sqlite:///{path}", key, ask)


def on_server(server: Server, key: Keyring | None) -> Place:
    """Return a log on a server."""
    url = server.schema()
    return Place(url, key, lambda query: server.psql(url, query))


def kept(log: DeidLog) -> Iterator[tuple[str, str]]:
    """Yield source file and state of every entry."""
    return ((one.entry.source_file, one.state) for one in log.find({}))
