"""How a run ends before its time: signals, helpers that die, and what nobody thought of."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fw_gear_deid import deidentify
from fw_gear_deid.runner import run as running
from fw_gear_deid.runner.signals import SENT, Interrupts
from fw_gear_deid.runner.told import last_lines
from fw_gear_deid.stores.folder import FolderSource
from tests.desk import ROOT, Desk, forked, instance

FILES = {f"S/V/A/{n}": instance(number=n) for n in range(1, 4)} | {"loose/1": instance("P2")}


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    desk = Desk(tmp_path)
    desk.put(FILES)
    return desk


# -- signals -------------------------------------------------------------------------------------------


def test_first_signal_raises_and_no_other_does() -> None:
    with Interrupts().listening() as interrupts:
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGHUP)
        assert interrupts.asked


def test_signal_waits_where_it_is_held() -> None:
    with Interrupts().listening() as interrupts, interrupts.held():
        os.kill(os.getpid(), signal.SIGTERM)
        with pytest.raises(KeyboardInterrupt), interrupts.allowed():
            pytest.fail("the work began")
        os.kill(os.getpid(), signal.SIGTERM)


def test_signal_that_came_to_nothing_is_not_forgotten() -> None:
    """An exception in a finalizer goes nowhere; the work has to end all the same."""

    class Swallows:
        def __del__(self) -> None:
            os.kill(os.getpid(), signal.SIGINT)

    def work() -> None:
        one = Swallows()
        del one

    before = sys.unraisablehook
    sys.unraisablehook = lambda unraisable: None
    try:
        with (
            Interrupts().listening() as interrupts,
            interrupts.held(),
            pytest.raises(KeyboardInterrupt),
            interrupts.allowed(),
        ):
            work()
    finally:
        sys.unraisablehook = before


def test_what_a_shell_ignores_stays_ignored() -> None:
    """``nohup`` outlives its terminal."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with Interrupts().listening() as interrupts:
            os.kill(os.getpid(), signal.SIGHUP)
            assert not interrupts.asked
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def at(word: str, *numbers: int) -> Callable[[str, str], None]:
    """Return a hook that sends signals to this process once something touches a path with a word in it."""
    left = list(numbers)

    def hook(event: str, path: str) -> None:
        if word in path and left:
            os.kill(os.getpid(), left.pop(0))

    return hook


WHERE = ["in/S/V/A/2", "state.sqlite", ".lock", ".work", "files.csv.partial", "summary.json", "README.txt"]


@pytest.mark.parametrize("sent", SENT, ids=lambda sent: sent.name)
@pytest.mark.parametrize("word", WHERE)
def test_signals_wherever_it_is(desk: Desk, word: str, sent: signal.Signals) -> None:
    """One, and at once another two: the reports are whole, and tell of every file."""
    done = forked(desk.run, at(word, sent, sent, signal.SIGTERM))
    assert (done.code, "Traceback" in done.err) == (130, False), done.err
    states = list(desk.states().values())
    over = sum(state != "not-reached" for state in states)
    assert done.err.splitlines()[-1] == f"interrupted: {over} of 4 done; the same command goes on"
    assert len(states) == 4 and set(states) <= {"released", "not-reached"}
    assert len(desk.there()) == over
    assert desk.summary()["files"] == 4
    assert not (desk.private / ".work").exists()
    assert not list(desk.folder.rglob("*.partial"))
    assert desk.run().code == 0


def test_signal_during_the_listing_writes_nothing(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    def items(self: FolderSource) -> Any:
        os.kill(os.getpid(), signal.SIGHUP)
        yield from ()

    monkeypatch.setattr(FolderSource, "items", items)
    done = desk.run()
    assert (done.code, done.err) == (130, "fw-gear-deid: interrupted\n")
    assert not desk.dest.exists() and not desk.reports.exists()


def test_quiet_interruption_is_told(desk: Desk) -> None:
    done = forked(lambda: desk.run("--quiet"), at(".work/00000001", signal.SIGINT))
    assert done.code == 130
    assert "interrupted: 1 of 4 done; the same command goes on" in done.err


# -- what nobody thought of ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (ValueError("Jane Doe"), "unexpected ValueError in run.py:"),
        (FileNotFoundError(2, "No such file or directory", "Jane Doe"), "No such file or directory (in "),
        (EOFError("Jane Doe"), "unexpected EOFError in "),
        (MemoryError("Jane Doe"), "not enough memory"),
    ],
    ids=repr,
)
def test_unexpected_error_in_the_parent(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, error: Exception, told: str
) -> None:
    """One line without its text; what was done is reported, and a rerun does the rest."""
    finish, count = running.Releaser.finish, iter(range(9))

    def breaks(self: Any, *arguments: Any) -> Any:
        if next(count) == 2:
            raise error
        return finish(self, *arguments)

    with monkeypatch.context() as patched:
        patched.setattr(running.Releaser, "finish", breaks)
        done = desk.run()
    *_, counts, last = done.err.splitlines()
    assert (done.code, "Traceback" in done.err, "Doe" in done.err) == (1, False, False)
    assert last.startswith(f"fw-gear-deid: {told}"), last
    assert counts.startswith("2 released, 2 not-reached; ")
    assert "cannot be written" not in done.err
    assert sorted(desk.states().values()) == ["not-reached", "not-reached", "released", "released"]
    assert desk.summary()["complete"] is False
    assert not (desk.private / ".work").exists()
    assert desk.run().code == 0
    assert len(desk.there()) == 4


def test_python_caller_gets_what_stopped_it(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    def breaks(self: Any, *arguments: Any) -> Any:
        raise ZeroDivisionError

    monkeypatch.setattr(running.Releaser, "finish", breaks)
    with pytest.raises(running.Stopped, match="unexpected ZeroDivisionError") as caught:
        deidentify(desk.source, desk.dest, profile=desk.profile, workers=1)
    assert caught.value.summary["states"] == {"not-reached": 4}


# -- helpers that die ----------------------------------------------------------------------------------

KILLS = """\
import os, signal, sys
from multiprocessing import forkserver, resource_tracker
from fw_gear_deid.runner import release, run
from fw_gear_deid.cli import main

finish, done = release.Releaser.finish, []

def kills(self, *arguments):
    done.append(None)
    if len(done) == 2:
        helper = {"server": forkserver._forkserver._forkserver_pid, "tracker": resource_tracker._resource_tracker._pid}
        for name in sys.argv[1].split("+"):
            if name == "workers":
                for pid in children(helper["server"]):
                    os.kill(pid, signal.SIGKILL)
            else:
                os.kill(helper[name], signal.SIGKILL)
    return finish(self, *arguments)

def children(pid):
    return map(int, open(f"/proc/{pid}/task/{pid}/children").read().split())

release.Releaser.finish = kills
if __name__ == "__main__":
    sys.exit(main(sys.argv[2:]))
"""


@pytest.mark.parametrize(
    "helpers", ["workers", "server", "tracker", "workers+server", "workers+tracker", "workers+server+tracker"]
)
def test_killed_helpers_cost_nothing(desk: Desk, helpers: str) -> None:
    """The system ends them when memory runs out, and takes which it likes."""
    desk.put({f"T/V/A/{n}": instance("Q", number=n) for n in range(12)})
    (desk.folder / "kills.py").write_text(KILLS)
    process = subprocess.run(
        [sys.executable, str(desk.folder / "kills.py"), helpers, *desk.arguments("--workers", "2")],
        cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False, timeout=100,
    )  # fmt: skip
    assert process.returncode == 0, process.stderr
    assert "Traceback" not in process.stderr and "rror" not in process.stderr
    assert desk.summary()["states"] == {"released": 16}


def test_no_process_can_be_started(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuses(*arguments: Any) -> Any:
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr("fw_gear_deid.runner.pool._Worker", refuses)
    done = desk.run("--workers", "2")
    assert (done.code, "try fewer --workers" in done.err) == (1, True), done.err
    assert set(desk.states().values()) == {"not-reached"}


# -- the last line -------------------------------------------------------------------------------------


def test_last_line_counts_every_state() -> None:
    states = {"released": 3, "skipped": 1, "orphan": 2}
    summary = {"states": states, "totals": {"changes": 27}, "options": {}}
    assert last_lines(0, summary, "R") == ["3 released, 1 skipped, 2 orphan; 27 changes; reports in R"]


def test_loose_file_that_cannot_be_looked_at_fails(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not the file that is to blame, so it is not refused."""
    fetch = FolderSource.fetch

    def ill(self: FolderSource, item: Any, workspace: Path) -> Path:
        if item.id == "loose/1":
            raise OSError(5, "Input/output error")
        return fetch(self, item, workspace)

    monkeypatch.setattr(FolderSource, "fetch", ill)
    assert desk.run().code == 1
    assert (desk.states()["loose/1"], desk.reasons()["loose/1"]) == ("failed", "Input/output error (while reading)")
