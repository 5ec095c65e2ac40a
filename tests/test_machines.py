"""Machines and file systems that are not a local ext4 of one's own: what they refuse is told apart from an error."""

from __future__ import annotations

import errno
import json
import os
import sqlite3
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from fw_gear_deid.model.errors import StopRun, UsageError
from fw_gear_deid.system import cores, lock, private, sync
from tests.desk import STORY, Desk, Ran, call, contents, folders, forked, instance, packed

ROOT = Path(__file__).resolve().parents[1]
Patch = pytest.MonkeyPatch


def refusing(real: Callable[..., Any], code: int, when: Callable[..., bool]) -> Callable[..., Any]:
    """Return a system call that answers as some file systems do."""

    def call(*arguments: Any, **options: Any) -> Any:
        if when(*arguments):
            raise OSError(code, os.strerror(code))
        return real(*arguments, **options)

    return call


def is_folder(handle: int) -> bool:
    return stat.S_ISDIR(os.fstat(handle).st_mode)


# -- what a machine has not ----------------------------------------------------------------------------

ELSEWHERE = """\
import importlib.abc, multiprocessing, multiprocessing.context, os, signal, sys

class Missing(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name in ("fcntl", "pwd", "grp", "resource", "termios", "syslog", "pty", "tty"):
            raise ImportError(name)

sys.meta_path.insert(0, Missing())
for name in ("link", "fork", "O_NOFOLLOW", "O_DIRECTORY", "sched_getaffinity", "getuid", "geteuid", "mkfifo", "statvfs"):
    delattr(os, name)
os.supports_dir_fd.clear()
for name in ("SIGHUP", "SIGKILL", "SIGUSR1", "SIGPIPE"):
    delattr(signal, name)
multiprocessing.set_start_method("spawn")
multiprocessing.context.DefaultContext.get_all_start_methods = lambda self: ["spawn"]
for name in ("fork", "forkserver"):
    del multiprocessing.context._concrete_contexts[name]
multiprocessing.get_all_start_methods = lambda: ["spawn"]
"""


def test_folder_commands_need_nothing_of_posix(tmp_path: Path) -> None:
    (tmp_path / "site").mkdir()
    (tmp_path / "site/sitecustomize.py").write_text(ELSEWHERE)
    path = f"{tmp_path / 'site'}{os.pathsep}{ROOT}"

    def start(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "fw_gear_deid", *arguments], cwd=tmp_path, capture_output=True, text=True,
            check=False, env={"PATH": os.environ["PATH"], "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"},
        )  # fmt: skip

    assert start("sample", "in", "--subjects", "1").returncode == 0
    done = start("run", "in", "out", "--profile", "research-site", "--workers", "2")
    assert done.returncode == 0, done.stderr
    assert contents(tmp_path / "out")
    again = start("run", "in", "out", "--profile", "research-site", "--workers", "1")
    assert again.returncode == 0, again.stderr
    shown = start("preview", "in", "--profile", "research-site", "--csv", "table.csv")
    assert shown.returncode == 0, shown.stderr
    assert start("keygen", "key").returncode == 0
    assert start("profile", "new", "new.yaml").returncode == 0
    assert start("profile", "check", "new.yaml").returncode == 0


# -- syncs ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", [errno.EINVAL, errno.EIO, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EBADF, errno.ENOSYS])
def test_folder_that_cannot_be_synced(desk: Desk, monkeypatch: Patch, code: int) -> None:
    """CIFS, drvfs, FUSE: the file stands, and the report says so."""
    desk.put(STORY)
    desk.run()
    expected, states = desk.there(), desk.states()
    other = desk.folder / "again"
    monkeypatch.setattr(os, "fsync", refusing(os.fsync, code, is_folder))
    desk.run("--reports", str(desk.folder / "r"), dest=other)
    assert contents(other) == expected
    assert {row["source"]: row["state"] for row in desk.rows(reports=desk.folder / "r")} == states


def test_folder_that_cannot_be_opened(tmp_path: Path, monkeypatch: Patch) -> None:
    monkeypatch.setattr(os, "open", refusing(os.open, errno.EACCES, lambda path, *_: Path(path).is_dir()))
    sync.sync_folder(tmp_path)


def test_no_file_can_be_synced(desk: Desk, monkeypatch: Patch) -> None:
    """Some FUSE mounts do not know the call at all."""
    desk.put({"S/V/A/1": instance()})
    monkeypatch.setattr(os, "fsync", refusing(os.fsync, errno.ENOSYS, lambda *_: True))
    assert desk.run().code == 0
    assert call("keygen", str(desk.folder / "fresh")).code == 0


def test_key_on_a_full_disk_leaves_no_half_of_it(tmp_path: Path, monkeypatch: Patch) -> None:
    monkeypatch.setattr(os, "fsync", refusing(os.fsync, errno.ENOSPC, lambda *_: True))
    done = call("keygen", str(tmp_path / "fresh"))
    assert (done.code, "No space left" in done.err, contents(tmp_path)) == (2, True, {})


def test_folder_on_a_disk_that_is_full_is_no_success(desk: Desk, monkeypatch: Patch) -> None:
    desk.put({"S/V/A/1": instance()})
    monkeypatch.setattr(os, "fsync", refusing(os.fsync, errno.ENOSPC, is_folder))
    assert desk.run().code == 1
    assert (desk.states(), desk.there()) == ({"S/V/A/1": "failed"}, {})


@pytest.mark.parametrize("code", [errno.EIO, errno.ENOSPC, errno.EDQUOT])
def test_file_whose_bytes_do_not_reach_the_disk_fails(desk: Desk, monkeypatch: Patch, code: int) -> None:
    desk.put({"S/V/A/1": instance()})
    real = os.fsync

    def fsync(handle: int) -> None:
        if "/.work/" in str(Path(f"/proc/self/fd/{handle}").readlink()):
            raise OSError(code, os.strerror(code))
        real(handle)

    monkeypatch.setattr(os, "fsync", fsync)
    assert desk.run().code == 1
    assert (desk.states(), desk.there()) == ({"S/V/A/1": "failed"}, {})
    assert folders(desk.dest) == set()


# -- placing -------------------------------------------------------------------------------------------

PLACING = [errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS, errno.ENAMETOOLONG]


@pytest.mark.parametrize("code", PLACING)
@pytest.mark.parametrize("step", ["os.mkdir", "os.link", "partial", "reserved"])
def test_what_cannot_be_placed_fails_and_leaves_nothing(desk: Desk, step: str, code: int) -> None:
    desk.put({"S/V/A/1": instance(), "S/V/A/2": instance(number=2)})
    failed: list[str] = []

    def hook(event: str, path: str) -> None:
        below = path.startswith(str(desk.dest) + "/")
        if event == "os.link" and step == "partial" and ".work" in path:
            raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))
        if event == "os.link" and step == "reserved":
            raise OSError(errno.EPERM, os.strerror(errno.EPERM))
        wanted = {"partial": below and event == "open", "reserved": below and event == "open"}
        if not failed and wanted.get(step, event == step and (below or ".work/0" in path)):
            failed.append(path)
            raise OSError(code, os.strerror(code))

    def work() -> Ran:
        done = desk.run()
        return done if failed else Ran(-2, "", "it never came to this step")

    done = forked(work, hook)
    assert done.code == 1, done.err
    assert desk.states() == {"S/V/A/1": "failed", "S/V/A/2": "released"}
    assert os.strerror(code) in desk.reasons()["S/V/A/1"]
    assert len(desk.there()) == 1
    assert not [path for path in desk.folder.rglob("*") if "partial" in path.name]


def test_no_hard_links_and_somebody_is_quicker(tmp_path: Path) -> None:
    """Between looking and placing another program puts its file there: it stays."""
    from fw_gear_deid.system.root import Root

    (tmp_path / "result").write_bytes(b"ours")
    target = tmp_path / "out/a/x"

    def hook(event: str, path: str) -> None:
        if event == "os.link":
            target.write_bytes(b"theirs")
            raise OSError(errno.EPERM, os.strerror(errno.EPERM))

    def work() -> Ran:
        with pytest.raises(FileExistsError):
            Root(tmp_path / "out").place(tmp_path / "result", ["a", "x"], replace=False)
        return Ran(0, "", "")

    done = forked(work, hook)
    assert done.code == 0, done.err
    assert contents(tmp_path / "out") == {"a/x": b"theirs"}


# -- modes ---------------------------------------------------------------------------------------------


@contextmanager
def mask(value: int) -> Iterator[None]:
    before = os.umask(value)
    try:
        yield
    finally:
        os.umask(before)


def modes(folder: Path, *, files: bool) -> set[int]:
    paths = [path for path in [folder, *folder.rglob("*")] if path.is_file() == files]
    return {stat.S_IMODE(path.lstat().st_mode) for path in paths}


@pytest.mark.parametrize(("umask", "file", "folder"), [(0, 0o666, 0o777), (0o77, 0o600, 0o700), (0o27, 0o640, 0o750)])
def test_modes_under_any_umask(desk: Desk, umask: int, file: int, folder: int) -> None:
    """Ledger, its journal, key, reports and temporary files are private; what is released has the usual modes."""
    desk.put({"S/V/A/1": instance(), "S/V/A/z.zip": packed({"IM": instance(number=3)}), "loose": instance("P2")})
    seen: dict[str, int] = {}

    def hook(event: str, path: str) -> None:
        for found in (desk.private / ".work").glob("*"):
            seen.setdefault(f"work {found.name}", stat.S_IMODE(found.stat().st_mode))
        for found in [*desk.reports.glob("*"), *desk.private.glob("*")]:
            if found.is_file():
                seen[found.name] = stat.S_IMODE(found.stat().st_mode)

    def work() -> Ran:
        with mask(umask):
            arguments = [one for one in desk.arguments() if one not in ("--key-file", str(desk.folder / "key"))]
            done = call(*arguments)
            return Ran(done.code, json.dumps(seen), done.err)

    done = forked(work, hook)
    assert done.code == 0, done.err
    watched: dict[str, int] = json.loads(done.out)
    assert {name for name in watched if name.startswith("work ")}
    assert {name: mode for name, mode in watched.items() if not name.endswith(".in") and mode != 0o600} == {}
    assert {mode for name, mode in watched.items() if name.endswith(".in")} <= {0o700}
    assert modes(desk.private, files=False) == {0o700}
    assert modes(desk.dest, files=True) == {file}
    assert modes(desk.dest, files=False) == {folder}


def test_journal_of_the_ledger_is_as_private(tmp_path: Path) -> None:
    from fw_gear_deid.ledger.state import State

    with mask(0):
        state = State(tmp_path / "state.sqlite")
        state._db.execute("BEGIN IMMEDIATE")
        state._db.execute("CREATE TABLE more (x)")
    assert modes(tmp_path / "state.sqlite-wal", files=True) == {0o600}
    state.close()


def test_chmod_refused(desk: Desk, monkeypatch: Patch) -> None:
    """CIFS and exFAT: every file of a mount has one mode."""
    desk.put(STORY)
    desk.run()
    expected = desk.there()
    monkeypatch.setattr(os, "chmod", refusing(os.chmod, errno.EPERM, lambda *_: True))
    other = desk.folder / "again"
    desk.run("--reports", str(desk.folder / "r"), dest=other)
    assert contents(other) == expected
    desk.run("--reports", str(desk.folder / "r"), dest=other)
    assert contents(other) == expected


def test_ledger_that_others_may_read_is_closed(tmp_path: Path) -> None:
    path = tmp_path / "ledger"
    path.touch(0o644)
    private.ensure(path)
    assert modes(path, files=True) == {0o600}


@pytest.mark.parametrize(
    "name", ["private/.lock", "private/state.sqlite", "private/.work", "audit.csv.partial", "private/files.csv.partial"]
)
@pytest.mark.parametrize("target", ["victim", "nowhere", "folder"])
def test_link_in_the_place_of_our_own_file_is_not_followed(desk: Desk, name: str, target: str) -> None:
    desk.put({"S/V/A/1": instance()})
    (desk.folder / "victim").write_text("mine")
    (desk.folder / "folder").mkdir()
    (desk.folder / "folder/theirs").write_text("theirs")
    desk.private.mkdir(parents=True)
    (desk.reports / name).symlink_to(desk.folder / target)
    done = desk.run()
    assert "Traceback" not in done.err
    assert (desk.folder / "victim").read_text() == "mine"
    assert contents(desk.folder / "folder") == {"theirs": b"theirs"}
    assert not (desk.folder / "nowhere").exists()
    if name.endswith(".partial"):
        assert (done.code, desk.states()) == (0, {"S/V/A/1": "released"})
    else:
        assert done.code in (1, 2) and desk.there() == {}


def test_link_in_the_place_of_the_private_folder(desk: Desk) -> None:
    desk.put({"S/V/A/1": instance()})
    (desk.folder / "elsewhere").mkdir()
    desk.reports.mkdir()
    desk.private.symlink_to(desk.folder / "elsewhere")
    done = desk.run()
    assert (done.code, "--ledger DIR" in done.err, desk.there()) == (2, True, {})
    assert contents(desk.folder / "elsewhere") == {}


def test_partial_reports_of_a_killed_run_are_replaced(desk: Desk) -> None:
    desk.put({"S/V/A/1": instance()})
    desk.private.mkdir(parents=True)
    for name in ("audit.csv", "private/files.csv", "summary.json"):
        (desk.reports / f"{name}.partial").write_text("half")
    assert desk.run().code == 0
    assert not list(desk.reports.rglob("*.partial"))


# -- locks ---------------------------------------------------------------------------------------------


def test_second_run_is_told(desk: Desk) -> None:
    desk.put({"S/V/A/1": instance()})
    desk.private.mkdir(parents=True)
    with lock.exclusive(desk.private):
        done = desk.run()
    assert (done.code, "another run" in done.err, desk.there()) == (2, True, {})
    assert desk.run().code == 0


def test_lock_holds_between_threads_and_ends_with_an_error(tmp_path: Path) -> None:
    told: list[str] = []

    def other() -> None:
        try:
            with lock.exclusive(tmp_path):
                told.append("taken")
        except UsageError as error:
            told.append(str(error))

    def broken() -> None:
        with lock.exclusive(tmp_path):
            thread = threading.Thread(target=other)
            thread.start()
            thread.join()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        broken()
    other()
    assert [one.rpartition(": ")[2] for one in told] == ["another run is using it", "taken"]


@pytest.mark.parametrize("code", sorted(lock._REFUSED | lock._TAKEN))
def test_file_system_without_locks_is_no_second_run(desk: Desk, monkeypatch: Patch, code: int) -> None:
    """NFS without its lock service answers ENOLCK, which SQLite calls busy; Lustre does not know the call."""
    desk.put({"S/V/A/1": instance()})

    def refuse(connection: sqlite3.Connection) -> None:
        error = sqlite3.OperationalError("database is locked")
        error.sqlite_errorcode = code
        raise error

    monkeypatch.setattr(lock, "_take", refuse)
    done = desk.run()
    assert (done.code, desk.there()) == (2, {})
    assert "no file locks" in done.err and "--ledger DIR" in done.err and "another run" not in done.err
    assert [path.name for path in desk.private.glob(".lock*")] == [".lock"]


def test_flock_unknown_is_nothing_to_us(desk: Desk, monkeypatch: Patch) -> None:
    fcntl = pytest.importorskip("fcntl")
    monkeypatch.setattr(fcntl, "flock", refusing(fcntl.flock, errno.ENOSYS, lambda *_: True))
    desk.put({"S/V/A/1": instance()})
    assert desk.run().code == 0


# -- cores ---------------------------------------------------------------------------------------------


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="no affinity on this system")
def test_workers_are_the_cores_of_this_process() -> None:
    script = "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))}); " \
        "from fw_gear_deid.system.cores import usable_cores; print(usable_cores())"  # fmt: skip
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "1"


def test_more_workers_than_a_system_can_wait_for(desk: Desk, monkeypatch: Patch) -> None:
    monkeypatch.setattr(cores, "MOST_WORKERS", 1)
    monkeypatch.setattr("fw_gear_deid.runner.pool._processes", None)
    desk.put({"S/V/A/1": instance()})
    assert desk.run("--workers", "100").code == 0


def test_machine_without_any_answer_has_one_core(monkeypatch: Patch) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.delattr(os, "process_cpu_count", raising=False)
    monkeypatch.setattr(cores, "_PROCESS", Path("nowhere"))
    assert cores.usable_cores() == 1


GROUPS: dict[str, tuple[str, dict[str, str], int | None]] = {
    "no limit": ("0::/user", {"user/cpu.max": "max 100000"}, None),
    "two cores": ("0::/user/job", {"user/job/cpu.max": "200000 100000"}, 2),
    "one and a half": ("0::/job", {"job/cpu.max": "150000 100000"}, 2),
    "less than one": ("0::/job", {"job/cpu.max": "20000 100000"}, 1),
    "limit of a group above": ("0::/a/b", {"a/b/cpu.max": "max 100000", "a/cpu.max": "300000 100000"}, 3),
    "in a container": ("0::/", {"cpu.max": "400000 100000"}, 4),
    "version 1": (
        "4:cpu,cpuacct:/job\n1:name=systemd:/", {
            "cpu,cpuacct/job/cpu.cfs_quota_us": "250000", "cpu,cpuacct/job/cpu.cfs_period_us": "100000"}, 3,
    ),
    "version 1, container": (
        "7:cpu:/docker/0123", {"cpu/cpu.cfs_quota_us": "100000", "cpu/cpu.cfs_period_us": "100000"}, 1,
    ),
    "version 1, no limit": ("4:cpu:/", {"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, None),
    "damaged": ("nonsense\n0::/x", {"x/cpu.max": "many"}, None),
    "none": ("", {}, None),
}  # fmt: skip


@pytest.mark.parametrize("case", GROUPS)
def test_quota_of_control_groups(tmp_path: Path, case: str) -> None:
    text, files, expected = GROUPS[case]
    (tmp_path / "self").write_text(text)
    for name, content in files.items():
        (tmp_path / "mount" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "mount" / name).write_text(content + "\n")
    assert cores.quota(tmp_path / "self", tmp_path / "mount") == expected
    assert cores.quota(tmp_path / "nothing", tmp_path / "mount") is None


@pytest.mark.parametrize("code", [sqlite3.SQLITE_PROTOCOL, sqlite3.SQLITE_IOERR_LOCK, sqlite3.SQLITE_BUSY])
def test_ledger_on_a_disk_that_lets_it_down_names_another(tmp_path: Path, monkeypatch: Patch, code: int) -> None:
    from fw_gear_deid.ledger.state import State

    def connect(*arguments: Any, **options: Any) -> None:
        error = sqlite3.OperationalError("locking protocol")
        error.sqlite_errorcode = code
        raise error

    monkeypatch.setattr(sqlite3, "connect", connect)
    with pytest.raises(StopRun, match="--ledger DIR"):
        State(tmp_path / "state.sqlite")


def test_without_its_ledger_what_stands_is_known_by_its_bytes(desk: Desk) -> None:
    """A ledger of the first version is not read, and left as it is."""
    desk.put(STORY)
    desk.run()
    expected = desk.states(), desk.there()
    (ledger,) = desk.reports.rglob("state.sqlite")
    ledger.unlink()
    with sqlite3.connect(ledger) as db:
        db.execute("CREATE TABLE files (source TEXT PRIMARY KEY)")
    db.close()
    old = ledger.read_bytes()
    for _ in range(2):
        desk.run()
        assert {name: state.replace("skipped", "released") for name, state in desk.states().items()} == expected[0]
        assert (desk.there(), ledger.read_bytes()) == (expected[1], old)
    assert [path.name for path in desk.private.glob("*.sqlite")] != ["state.sqlite"]


def test_ledger_says_when_it_cannot_be_opened(tmp_path: Path) -> None:
    from fw_gear_deid.ledger.state import State

    (tmp_path / "state.sqlite").mkdir()
    with pytest.raises(StopRun, match="ledger cannot be opened"):
        State(tmp_path / "state.sqlite")


def test_text_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    from fw_gear_deid.system.whole import written

    path = tmp_path / "a.csv"
    for text in ("one", "two"):
        with written(path) as stream:
            stream.write(text)
            assert not path.exists() or path.read_text() == "one"
        assert path.read_text() == text

    def interrupted() -> None:
        with written(path) as stream:
            stream.write("three")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert contents(tmp_path) == {"a.csv": b"two"}
    assert path.stat().st_mode & 0o777 == 0o600


def test_table_of_ids_where_nothing_can_be_synced(tmp_path: Path, monkeypatch: Patch) -> None:
    from fw_gear_deid.ledger import ids

    monkeypatch.setattr(os, "fsync", refusing(os.fsync, errno.EINVAL, lambda *_: True))
    ids.write(tmp_path / "ids.csv", ids.TABLE, [("a",) * len(ids.ID_COLUMNS)])
    assert ids.read(tmp_path / "ids.csv", ids.TABLE) == [("a",) * len(ids.ID_COLUMNS)]


def test_ledger_that_cannot_be_prepared_is_let_go(tmp_path: Path, monkeypatch: Patch) -> None:
    """Its lock would keep out the run that comes when there is room again, also of the same process."""
    from fw_gear_deid.ledger.state import State

    kept: list[State] = []

    def full(state: State, dest: str) -> None:
        state._db.execute("PRAGMA locking_mode=EXCLUSIVE")
        state._db.execute("CREATE TABLE some (x)")
        kept.append(state)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr(State, "_prepare", full)
        with pytest.raises(StopRun, match="cannot be opened"):
            State(tmp_path / "state.sqlite")
    State(tmp_path / "state.sqlite").close()
    assert kept
