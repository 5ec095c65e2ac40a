"""Work on a dask cluster: a real scheduler, workers in processes of their own, one of which is killed."""

from __future__ import annotations

import json
import os
import pickle
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from fw_gear_deid import keys
from fw_gear_deid.model.outcome import Failed, Released
from fw_gear_deid.runner.setup import PlannedProfile, book_for
from fw_gear_deid.runner.workers import Settings, Task, Worked, process
from fw_gear_deid.stores.folder import FolderSource
from tests.desk import PROFILE, ROOT, STORY, Desk, Ran, instance, result, timeless

cluster = pytest.importorskip("fw_gear_deid.runner.cluster", exc_type=ImportError)

VALUE = "MEADOWSWEET"  # in names of patients here, and nowhere that a scheduler sees
WAIT = 60


def until(holds: Callable[[], object], what: str) -> None:
    end = time.monotonic() + WAIT
    while not holds():
        assert time.monotonic() < end, what
        time.sleep(0.05)


class Yard:
    """A scheduler and workers, each with a log."""

    def __init__(self, folder: Path, **settings: str) -> None:
        self.folder = folder
        self.file = folder / "scheduler.json"
        self._settings = {f"DASK_DISTRIBUTED__{name}": value for name, value in settings.items()}
        self._all: list[subprocess.Popen[bytes]] = []
        self.start("scheduler", "--port", "0", "--scheduler-file", str(self.file))
        until(self.file.exists, "the scheduler starts")

    def start(self, kind: str, *options: str, preload: str = "") -> subprocess.Popen[bytes]:
        if preload:
            script = self.folder / f"preload{len(self._all)}.py"
            script.write_text(preload)
            options = (*options, "--preload", str(script))
        with (self.folder / f"log{len(self._all)}").open("wb") as log:
            started = subprocess.Popen(
                [sys.executable, "-m", "dask", kind, "--no-dashboard", *options], stdout=log, stderr=log, cwd=self.folder,
                env={**os.environ, **self._settings, "PYTHONPATH": str(ROOT)},
            )  # fmt: skip
        self._all.append(started)
        return started

    def worker(self, preload: str = "") -> subprocess.Popen[bytes]:
        """Start a worker and wait until the scheduler knows it."""
        options = ("--scheduler-file", str(self.file), "--no-nanny", "--nthreads", "1")
        log = self.folder / f"log{len(self._all)}"
        started = self.start("worker", *options, preload=preload)
        until(lambda: b"Registered to" in log.read_bytes(), "a worker starts")
        return started

    def logs(self) -> str:
        return "".join(path.read_text() for path in self.folder.glob("log*"))

    def end(self) -> None:
        for one in reversed(self._all):
            one.kill()
            one.wait()


@contextmanager
def opened(folder: Path, **settings: str) -> Iterator[Yard]:
    yard = Yard(folder, **settings)
    try:
        yield yard
    finally:
        yard.end()


@pytest.fixture(scope="module")
def yard(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Yard]:
    with opened(tmp_path_factory.mktemp("yard")) as yard:
        yard.worker()
        yard.worker()
        yield yard


def on(desk: Desk, yard: Yard, *options: str) -> Ran:
    """Run on a cluster, in a process that leaves no threads here."""
    return ended(desk.start("--scheduler-file", str(yard.file), *options))


def ended(process: subprocess.Popen[bytes]) -> Ran:
    """Wait for the end of a run, and let none outlive its test."""
    try:
        return result(process)
    finally:
        process.kill()


def test_results_and_reports_are_those_of_local_workers(desk: Desk, yard: Yard, tmp_path: Path) -> None:
    desk.put({**STORY, "odd/cut.dcm": instance()[:-3], "S/V/A/notes.txt": "text"})
    local = desk.run("--workers", "2", "--reports", str(tmp_path / "local"), dest=tmp_path / "other")
    address = json.loads(yard.file.read_text())["address"]
    far = ended(desk.start("--scheduler", address, "--ids", str(tmp_path / "ids.csv")))
    assert (far.code, local.code) == (1, 1), far.err
    assert desk.there() == {
        path.relative_to(tmp_path / "other").as_posix(): path.read_bytes()
        for path in (tmp_path / "other").rglob("*.*") if path.is_file()
    }  # fmt: skip
    assert len(desk.there()) >= 5
    assert timeless(desk.rows()) == timeless(desk.rows(reports=tmp_path / "local"))
    assert (desk.reports / "audit.csv").read_bytes() == (tmp_path / "local" / "audit.csv").read_bytes()
    assert desk.summary()["options"]["workers"] == "cluster"
    assert {path.name for path in desk.private.iterdir()} == {
        path.name for path in (tmp_path / "local/private").iterdir()
    }
    assert on(desk, yard).code == 1
    assert {row["reason"].partition(":")[0] for row in desk.rows() if row["state"] == "skipped"} >= {"unchanged"}


def test_log_has_what_workers_of_a_cluster_noted(desk: Desk, yard: Yard, tmp_path: Path) -> None:
    """Little comes with the result, much beside it."""
    rows = "".join(f"{VALUE}{number},{number}\n" for number in range(9000))
    desk.rules(PROFILE + "csv:\n  fields:\n    - name: name\n      remove: true\n")
    desk.put({"S/V/A/1": instance(), "S/V/A/t.csv": f"name,n\n{rows}"})
    log = tmp_path / "log.sqlite"
    done = on(desk, yard, "--log-db", f"sqlite:///{log}")
    assert done.code == 0, done.err
    with closing(sqlite3.connect(log)) as db:
        found = dict(db.execute("SELECT source_file_id, deidentified_tags FROM deid_log WHERE state = 'uploaded'"))
    assert found.keys() == {"S/V/A/1", "S/V/A/t.csv"}
    assert f"{VALUE}8999" in found["S/V/A/t.csv"] and len(found["S/V/A/1"]) < 10_000
    assert VALUE not in yard.logs()
    assert not list(desk.private.rglob("*.log"))


def test_scheduler_sees_no_value(desk: Desk, yard: Yard) -> None:
    desk.put({f"{VALUE}/V/A/{n}": instance(VALUE, number=n, PatientName=VALUE) for n in range(1, 5)})
    desk.put({f"{VALUE}/V/A/cut": instance(VALUE)[:-3]})
    assert on(desk, yard).code == 1
    assert "_check" in yard.logs()
    assert VALUE not in yard.logs()


HANGS = """
import os, time
from fw_gear_deid.runner import workers
real, done = vars(workers).setdefault("real", workers.process), []  # a preload runs twice
def process(settings, task):
    if done:
        open({token!r}, "w").close()
        time.sleep(1000)
    done.append(task)
    return real(settings, task)
workers.process = process
"""


def test_worker_killed_half_way(desk: Desk, yard: Yard, tmp_path: Path) -> None:
    """What it was at is done by the others: every file comes out, none twice."""
    count = 60
    desk.put({f"S/V/A/{n}": instance(number=n) for n in range(1, count + 1)})
    token = tmp_path / "token"
    third = yard.worker(HANGS.format(token=str(token)))
    running = desk.start("--scheduler-file", str(yard.file))
    until(token.exists, "the third worker is in the midst of a lot")
    third.kill()
    done = ended(running)
    assert done.code == 0, done.err
    assert list(desk.states().values()) == ["released"] * count
    assert len(desk.there()) == len({row["destination"] for row in desk.rows()}) == count
    lines = [(row["file"], row["path"]) for row in desk.rows("audit.csv")]
    assert len(lines) == len(set(lines))


KILLS = """
import os
from fw_gear_deid.runner import workers
real = vars(workers).setdefault("real", workers.process)
def process(settings, task):
    if task.items[0].name == "killer":
        os._exit(9)
    return real(settings, task)
workers.process = process
"""


def test_file_that_kills_its_workers_fails_alone(desk: Desk, tmp_path: Path) -> None:
    files = {f"S/V/A/{n:02}": instance(number=n) for n in range(1, 30)}
    desk.put({**files, "S/V/A/killer": instance(number=99)})
    (tmp_path / "yard").mkdir()
    with opened(tmp_path / "yard", SCHEDULER__ALLOWED_FAILURES="0") as yard:
        workers = [yard.worker(KILLS) for _ in range(3)]
        done = on(desk, yard)
        assert [worker.poll() for worker in workers].count(9) == 2
    assert done.code == 1, done.err
    assert desk.states() == {**dict.fromkeys(files, "released"), "S/V/A/killer": "failed"}
    assert desk.reasons()["S/V/A/killer"] == "took too much: its worker process died"


BREAKS = """
from fw_gear_deid.runner import workers
def process(settings, task):
    raise OSError(28, "No space left on device") if task.items[0].name == "1" else ValueError("{value}")
workers.process = process
"""


def test_worker_that_cannot_go_on_ends_the_run(desk: Desk, yard: Yard, tmp_path: Path) -> None:
    desk.put({f"S/V/A/{n}": instance(number=n) for n in (1, 2, 3)})
    (tmp_path / "yard").mkdir()
    with opened(tmp_path / "yard") as broken:
        broken.worker(BREAKS.format(value=VALUE))
        done = on(desk, broken)
        assert VALUE not in broken.logs()
    assert done.code == 1
    assert "No space left on device (in " in done.err and VALUE not in done.err, done.err
    assert set(desk.states().values()) == {"not-reached"}
    assert on(desk, yard).code == 0
    assert set(desk.states().values()) == {"released"}


def test_run_is_interrupted_or_loses_its_scheduler(desk: Desk, yard: Yard, tmp_path: Path) -> None:
    desk.put({f"S/V/A/{n}": instance(number=n) for n in range(1, 30)})
    (tmp_path / "yard").mkdir()
    token = tmp_path / "token"
    with opened(tmp_path / "yard") as stuck:
        stuck.worker(HANGS.format(token=str(token)))
        running = desk.start("--scheduler-file", str(stuck.file))
        until(token.exists, "the worker hangs")
        running.send_signal(signal.SIGINT)
        assert ended(running).code == 130
        there = desk.there()
        assert set(desk.states().values()) <= {"released", "not-reached"}
        running = desk.start("--scheduler-file", str(stuck.file))
        until(lambda: [*desk.private.glob(".work/*/0*")], "tasks are out")
        stuck.end()
        lost = ended(running)
        assert (lost.code, "the cluster is lost" in lost.err) == (1, True), lost.err
    assert there.items() <= desk.there().items()
    assert on(desk, yard).code == 0
    assert list(desk.states().values()).count("released") + len(there) == len(desk.there()) == 29


# -- what is asked before the start --------------------------------------------------------------------


def test_worker_of_another_version(desk: Desk, yard: Yard) -> None:
    desk.put(STORY)
    other = yard.worker("import fw_gear_deid; fw_gear_deid.__version__ = '0.0.1'")
    try:
        done = on(desk, yard)
    finally:
        other.send_signal(signal.SIGTERM)
        other.wait()
    assert done.code == 2
    assert "has fw-gear-deid 0.0.1 (here: " in done.err and done.err.count("worker tcp://") == 1, done.err
    assert not desk.dest.exists()


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--scheduler", "tcp://127.0.0.1:9", "--scheduler-file", "F"), "give one of them"),
        (("--scheduler", "tcp://127.0.0.1:9", "--workers", "2"), "--workers is of this machine"),
        (("--scheduler", "tcp://127.0.0.1:9"), "no dask scheduler answers at tcp://127.0.0.1:9"),
        (("--scheduler", "nonsense://x"), "no dask scheduler answers at nonsense://x"),
        (("--scheduler-file", "nowhere.json"), "nowhere.json: cannot be read"),
        (("--scheduler-file", "pyproject.toml"), "pyproject.toml: not what 'dask scheduler"),
    ],
)
def test_cluster_that_cannot_be_asked(
    desk: Desk, options: tuple[str, ...], told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster, "_ANSWER", 1)
    desk.put(STORY)
    done = desk.run(*options)
    assert (done.code, told in done.err) == (2, True), done.err
    assert not desk.dest.exists()


@pytest.mark.parametrize("platform", ["source", "dest"])
def test_platform_has_a_way_of_its_own(desk: Desk, platform: str) -> None:
    places = {"source": str(desk.source), "dest": str(desk.dest)} | {platform: "fw://group/project"}
    options = ("--scheduler", "tcp://127.0.0.1:9", "--reports", str(desk.reports))
    done = desk.run(*options, **places)  # type: ignore[arg-type]
    assert (done.code, "fan_out" in done.err) == (2, True), done.err


def test_packages_of_a_cluster_are_an_extra(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "fw_gear_deid.runner.cluster", None)
    done = desk.run("--scheduler", "tcp://127.0.0.1:9")
    assert (done.code, "pip install 'fw-gear-deid[cluster]'" in done.err) == (2, True), done.err


# -- one worker, without a cluster ---------------------------------------------------------------------


@pytest.fixture
def kit(desk: Desk) -> Any:
    """What a worker gets, as it arrives there."""
    desk.put({"S/V/A/1": instance(VALUE), "S/V/A/2": instance(VALUE, number=2)})
    return made(desk)


def settings_of(desk: Desk) -> Settings:
    book = book_for(PlannedProfile.read(PROFILE, "profile.yaml", "input"), None, [], by_session=False)
    keyring = keys.load(desk.folder / "key")
    return Settings(FolderSource(desk.source), book, keyring, date(2026, 1, 1), "strict", desk.folder / "disk", False)


def made(desk: Desk) -> Any:
    folder = desk.folder / "disk" / "run"
    folder.mkdir(parents=True)
    settings = settings_of(desk)
    items = list(settings.source.items())
    digest = cluster._store(folder / "settings", (replace(settings, keyring=keys.Keyring(b"")), items[0]))
    scheduler = cluster.Scheduler("", None, str(desk.source), desk.folder / "key")
    sent = pickle.dumps(cluster.Kit(folder, digest, scheduler, settings.keyring.fingerprint()))
    for secret in (settings.keyring.secret, (desk.folder / "key").read_bytes(), VALUE.encode(), b"S/V/A"):
        assert secret not in sent
        assert secret not in (folder / "settings").read_bytes() or secret == b"S/V/A"
    assert len(sent) < 2000
    tasks = [Task(number, (item,), "id 1:P") for number, item in enumerate(items)]
    cluster._store(folder / "00000007", (process, tasks))
    return pickle.loads(sent)


def test_worker_lacks_nothing(kit: Any) -> None:
    assert kit.check() == ""


@pytest.mark.parametrize(
    ("harm", "told"),
    [
        (lambda desk: (desk.folder / "key").unlink(), "does not see {}/key (No such file"),
        (lambda desk: (desk.folder / "key").write_text("another key than that of the run"), "sees another key in {}/key"),
        (lambda desk: (desk.folder / "key").write_text("short"), "sees another key in {}/key"),
        (lambda desk: (desk.folder / "disk/run/settings").unlink(), "does not see {}/disk/run"),
        (lambda desk: (desk.folder / "disk/run/settings").write_bytes(b"other"), "does not see {}/disk/run"),
        (lambda desk: (desk.source / "S/V/A/1").unlink(), "does not see {}/in as it is here (No such file"),
        (lambda desk: (desk.source / "S/V/A/1").write_bytes(b"other"), "does not see {}/in as it is here"),
    ],
    ids=["no key", "another key", "no key at all", "no folder", "another folder", "no source", "another source"],
)  # fmt: skip
def test_worker_lacks_something(desk: Desk, kit: Any, harm: Callable[[Desk], object], told: str) -> None:
    harm(desk)
    assert told.format(desk.folder) in kit.check()
    assert VALUE not in kit.check()


def test_worker_of_another_build(kit: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    ours = cluster.programs()
    monkeypatch.setattr(cluster, "programs", lambda: (*ours[:2], "no isal", *ours[3:]))
    assert kit.check() == f"has no isal (here: {ours[2]}): install the same there"


def test_two_attempts_never_meet(desk: Desk, kit: Any) -> None:
    """A worker that was given up and comes back writes over nothing."""
    digest = cluster.sha256((desk.folder / "disk/run/00000007").read_bytes()).hexdigest()
    first, second = (kit.attempt(7, digest) for _ in range(2))
    assert first[0] != second[0]
    found = [cluster._load(desk.folder / "disk/run" / name / "done", told) for name, told in (first, second)]
    paths = {one.result for results in found for one in results}
    assert len(paths) == 4 and all(path.is_file() for path in paths)
    assert [one.outcome for one in found[0]] == [one.outcome for one in found[1]]
    with pytest.raises(ValueError, match="another digest"):
        kit.attempt(7, digest[::-1])


@pytest.mark.parametrize(
    ("harm", "reason"),
    [
        (lambda path: path.write_bytes(path.read_bytes()[:-1]), "it did not arrive as its worker wrote it"),
        (lambda path: path.unlink(), "No such file or directory (while taking what a worker wrote)"),
    ],
    ids=["changed", "gone"],
)
def test_what_is_taken_is_what_was_checked(desk: Desk, kit: Any, harm: Callable[[Path], object], reason: str) -> None:
    digest = cluster.sha256((desk.folder / "disk/run/00000007").read_bytes()).hexdigest()
    name, told = kit.attempt(7, digest)
    attempt = desk.folder / "disk/run" / name
    whole, harmed = cluster._load(attempt / "done", told)
    harm(harmed.result)
    taken = cluster.Cluster(None, settings_of(desk))._taken
    good, bad = taken(whole, attempt), taken(harmed, attempt)
    assert isinstance(good, Worked) and isinstance(good.outcome, Released)
    assert good.result == desk.folder / "disk" / whole.result.name
    assert not whole.result.exists() and good.result.stat().st_nlink == 1
    assert (bad.outcome, bad.result) == (Failed(reason), None)
    assert len([path for path in (desk.folder / "disk").iterdir() if path.is_file()]) == 1
