"""The tables of a log, in words that SQLite and PostgreSQL share.

Tables
------
deid_log
    One row for each file that was, or was about to be, released. Columns have the names of the keywords, so that
    ``SELECT id FROM deid_log WHERE PatientName = 'John Doe'`` is a query.
deid_log_map
    Every UID and patient id that became another one, by entry.
deid_log_trail
    Who looked something up, when, and why.
deid_log_about
    Version of the tables, and what tells the key of a sealed log from others.
"""

from __future__ import annotations

from fw_gear_deid.log.seal import MAC
from fw_gear_deid.model.logged import FAILED, KEYWORDS, RESERVED, UPLOADED, WITHDRAWN

VERSION = 1
SOURCE = {"source_project": "source_project", "source_container": "source_container", "source_file": "source_file_id"}
"""Fields of an entry that a key seals, since folders are named for people; and their columns."""
PLAIN = {
    "run": "run_id", "profile_name": "profile_name", "profile_sha256": "profile_sha256",
    "source_version": "source_version", "source_sha": "source_sha", "dest_project": "dest_project",
    "dest_container": "dest_container", "dest_file": "dest_file_id", "dest_sha": "dest_sha",
    "gear_version": "gear_version",
}  # fmt: skip
"""Fields of an entry that are never sealed, and their columns."""
COLUMNS = ("id", "timestamp", *KEYWORDS, "deidentified_tags", "state", *SOURCE.values(), *PLAIN.values())
FOUND_BY = ("PatientID", "PatientName", "AccessionNumber", "StudyInstanceUID", "SeriesInstanceUID")
_STATES = ", ".join(f"'{state}'" for state in (RESERVED, UPLOADED, FAILED, WITHDRAWN))
_ORDERED = (
    "run_id", "profile_name", "profile_sha256", "source_project", "source_container", "source_file_id",
    "source_version", "source_sha", "dest_container", "dest_file_id", "dest_version", "dest_sha", "gear_version",
    "dest_project",
)  # fmt: skip


def tables(words: dict[str, str], *, sealed: bool) -> list[str]:
    """Return the statements that make the tables.

    Parameters
    ----------
    words : dict
        What databases differ in: ``id`` and ``uuid`` are its columns, ``key`` an id elsewhere, ``json``, ``text``,
        ``number`` a key that counts, ``hash`` the kind of an index for texts of any length.
    sealed : bool
        Cells are looked up by their MAC.
    """
    text = words["text"]
    keywords = ", ".join(f"{keyword} {text}" for keyword in KEYWORDS)
    rest = ", ".join(f"{column} {text} NOT NULL DEFAULT ''" for column in _ORDERED)
    made = [
        f"CREATE TABLE deid_log (id {words['id']}, timestamp {text} NOT NULL, {keywords}, "
        f"deidentified_tags {words['json']} NOT NULL, state {text} NOT NULL CHECK (state IN ({_STATES})), {rest}, "
        f"uuid {words['uuid']})",
        f"CREATE TABLE deid_log_map (id {words['key']} NOT NULL, kind {text} NOT NULL, old {text} NOT NULL, "
        f"new {text} NOT NULL)",
        f"CREATE TABLE deid_log_trail (number {words['number']}, timestamp {text} NOT NULL, who {text} NOT NULL, "
        f"reason {text} NOT NULL, command {text} NOT NULL, ids {text} NOT NULL)",
        f"CREATE TABLE deid_log_about (version INTEGER NOT NULL, key {text} NOT NULL)",
        "CREATE INDEX deid_log_timestamp ON deid_log (timestamp)",
        f"CREATE INDEX deid_log_reserved ON deid_log (timestamp) WHERE state = '{RESERVED}'",
        "CREATE INDEX deid_log_map_id ON deid_log_map (id)",
    ]
    if "uuid_index" in words:
        made.append(words["uuid_index"])
    hashed = [("deid_log", "dest_file_id"), ("deid_log", "dest_sha"), ("deid_log_map", "new")]
    found_by = [*(("deid_log", column) for column in FOUND_BY), ("deid_log_map", "old")]
    made += [_index(table, column, f"{words['hash']} ({column})") for table, column in hashed]
    how = f"(substr({{0}}, 1, {MAC}))" if sealed else f"{words['hash']} ({{0}})"
    made += [_index(table, column, how.format(column)) for table, column in found_by]
    return made


def _index(table: str, column: str, how: str) -> str:
    return f"CREATE INDEX {table}_{column.lower()} ON {table} {how}"
