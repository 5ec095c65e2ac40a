"""Runs that end before their time: killed, interrupted, without room."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import date
from hashlib import sha256
from pathlib import Path

import pytest
from pydicom.dataset import Dataset

from fw_gear_deid.keys import Keyring
from fw_gear_deid.model.outcome import Released
from fw_gear_deid.runner.setup import PlannedProfile, book_for
from fw_gear_deid.runner.workers import Settings, Task
from fw_gear_deid.runner.workers import process as carry_out
from fw_gear_deid.stores.memory import MemorySource
from tests.desk import PROFILE, ROOT, STORY, Desk, Hook, Ran, contents, folders, forked, instance, result

_MOUNTS = 0x00020000  # CLONE_NEWNS
_apart: list[int] = []


def apart() -> bool:
    """Give this process mounts of its own: the system ends them with it, be it killed (unshare(2))."""
    if os.getpid() not in _apart:
        if ctypes.CDLL(None).unshare(_MOUNTS):
            return False
        _apart.append(os.getpid())
    return not subprocess.run(["mount", "--make-rprivate", "/"], capture_output=True, check=False).returncode


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own that holds little."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)]
    if not apart() or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("file systems cannot be mounted here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def test_no_mount_outlives_its_process(tmp_path: Path) -> None:
    script = (
        "import os, signal, subprocess, sys; from tests.test_interrupted import apart\n"
        "mount = ['mount', '-t', 'tmpfs', 'tmpfs', sys.argv[1]]\n"
        "if not apart() or subprocess.run(mount, capture_output=True).returncode: sys.exit(7)\n"
        "assert sys.argv[1] in open('/proc/self/mounts').read()\n"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    done = subprocess.run([sys.executable, "-c", script, str(tmp_path)], cwd=ROOT, check=False)
    if done.returncode == 7:
        pytest.skip("file systems cannot be mounted here")
    assert done.returncode == -signal.SIGKILL
    assert str(tmp_path) not in Path("/proc/self/mounts").read_text()


def pixels(kib: int) -> Dataset:
    ds = Dataset()
    ds.add_new(0x00420011, "OB", os.urandom(kib << 10))
    return ds


# -- ends before its time ------------------------------------------------------------------------------

WRITES = {"os.link", "os.rename", "os.remove", "os.rmdir", "os.mkdir", "open"}
FAULTS = ("kill", "SIGTERM", "ENOSPC")


def fault_at(count: int, kind: str, folder: Path) -> Hook:
    """Return a hook that does harm at the n-th write below a folder, a full disk also at all that follow."""
    seen = 0

    def hook(event: str, path: str) -> None:
        nonlocal seen
        if event not in WRITES or not path.startswith(str(folder)):
            return
        seen += 1
        if kind == "ENOSPC" and seen >= count and event not in ("os.remove", "os.rmdir"):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        if seen == count and kind == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        elif seen == count and kind.startswith("SIG"):
            os.kill(os.getpid(), getattr(signal, kind))

    return hook


def writes_of(desk: Desk) -> int:
    """Count the writes of an undisturbed run, up to the reports."""
    count = 0

    def hook(event: str, path: str) -> None:
        nonlocal count
        count += event in WRITES and path.startswith(str(desk.folder))

    def work() -> Ran:
        done = desk.run("--quiet", "--exists", "replace")
        return Ran(count, done.out, done.err)

    return forked(work, hook).code


def copied(desk: Desk, name: str) -> Desk:
    """Return another desk with everything of this one, times and links included."""
    shutil.copytree(desk.folder, desk.folder.parent / name, symlinks=True)
    other = Desk.__new__(Desk)
    other.folder = desk.folder.parent / name
    other.source, other.dest, other.reports = (other.folder / part for part in ("in", "out", "out-report"))
    other.profile = other.folder / "profile.yaml"
    return other


@pytest.fixture
def story(tmp_path: Path) -> tuple[Desk, Desk]:
    """A desk in the middle of its life, and the same after an undisturbed run.

    A first run has been there; then one source changed, one became bad, one came, and the profile names files anew.
    """
    (tmp_path / "desk").mkdir()
    desk = Desk(tmp_path / "desk")
    desk.put(STORY)
    assert desk.run().code == 1
    assert len(desk.there()) == 5
    desk.put({"S/V/A/1": instance(StudyID="NEW"), "T/V/A/1": instance("P2")[:-3], "S/V/A/3": instance(number=4)})
    (desk.source / "x/2").unlink()
    desk.rules(PROFILE.replace("SOPInstanceUID\n      hashuid", "SOPInstanceUID\n      keep") + "    - name: StudyID\n")
    done = copied(desk, "undisturbed")
    assert done.run("--exists", "replace").code == 1
    assert len(done.there()) == 6  # what is gone, and what became bad, stands as it did
    return desk, done


@pytest.mark.parametrize("part", range(4))
@pytest.mark.parametrize("kind", FAULTS)
def test_fault_at_any_write(story: tuple[Desk, Desk], kind: str, part: int) -> None:
    """Whole files or none under final names; what it leaves behind is no obstacle; a rerun ends where it should."""
    desk, undisturbed = story
    whole = set(desk.there().items()) | set(undisturbed.there().items())
    total = writes_of(copied(desk, "counted"))
    assert total > 40
    for number in range(1 + part, total, 8):  # the last one removes the workspace
        victim = copied(desk, f"victim{number}")
        done = forked(lambda victim=victim: victim.run("--exists", "replace"), fault_at(number, kind, victim.folder))
        assert done.code == {"kill": -9, "ENOSPC": 1}.get(kind, 130), (number, done.err)
        assert "Traceback" not in done.err
        twin = {pair for pair in victim.there().items() if ".1.1.8" in pair[0]}  # until the other one is met
        assert len(twin) <= 1
        assert set(victim.there().items()) - twin <= whole, number
        if kind == "ENOSPC":
            assert "No space left" in done.err or "disk" in done.err, (number, done.err)
        if kind != "kill":
            assert not (victim.private / ".work").exists()
            assert not list(victim.folder.rglob("*.partial"))
        assert victim.run("--exists", "replace").code == 1
        assert (number, victim.there()) == (number, undisturbed.there())
        assert victim.rows("audit.csv") == undisturbed.rows("audit.csv")
        assert folders(victim.dest) == folders(undisturbed.dest)
        states = {"skipped": "released"}
        then = {source: states.get(state, state) for source, state in victim.states().items()}
        assert then == {source: states.get(state, state) for source, state in undisturbed.states().items()}
        shutil.rmtree(victim.folder)


def test_interrupted_run_tells_of_every_source(desk: Desk) -> None:
    desk.put(STORY)
    links = 0

    def hook(event: str, path: str) -> None:
        nonlocal links
        links += event == "os.link"
        if event == "os.link" and links == 2:
            os.kill(os.getpid(), signal.SIGTERM)

    assert forked(desk.run, hook).code == 130
    assert desk.states().keys() == STORY.keys()
    assert set(desk.states().values()) <= {"released", "refused", "failed", "not-reached"}
    assert desk.summary()["complete"] is False
    assert 1 <= len(desk.there()) <= 2


def read_until(process: subprocess.Popen[bytes], count: int) -> None:
    """Read what a run of a crowded folder says until it has refused some files."""
    assert process.stderr is not None
    while count:
        line = process.stderr.readline()
        assert line, "it ended before"
        count -= line.startswith(b"refused: ")


@pytest.fixture
def crowded(sampled: Desk) -> Desk:
    """The sample, more files, and more damaged ones than a process can tell of that nobody listens to."""
    sampled.put({f"S/V/A/{n}": instance("Q", number=n) for n in range(40)})
    sampled.put({f"S/V/A/{n}-{m}.dcm": instance("Q", number=n)[:-3] for n in range(40) for m in range(5)})
    return sampled


def offspring(token: str) -> list[int]:
    """Return the processes that have a token in their environment."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if token.encode() in (folder / "environ").read_bytes():
                found.append(int(folder.name))
    return found


def ended(token: str) -> bool:
    """Wait until all processes with a token in their environment are gone."""
    for _ in range(200):
        if not offspring(token):
            return True
        time.sleep(0.05)
    return False


@pytest.mark.parametrize(
    ("sent", "after"), [(signal.SIGKILL, 1), (signal.SIGKILL, 6), (signal.SIGINT, 2), (signal.SIGTERM, 4)], ids=str
)
def test_run_with_workers_is_ended(crowded: Desk, sent: signal.Signals, after: int) -> None:
    expected = crowded.run("--reports", str(crowded.folder / "r"), dest=crowded.folder / "undisturbed")
    assert expected.code == 1
    process = crowded.start("--workers", "2")
    read_until(process, after)
    process.send_signal(sent)
    done = result(process)
    assert done.code == (-9 if sent == signal.SIGKILL else 130)
    assert "Traceback" not in done.err
    assert ended(f"TOKEN={crowded.folder}"), "workers outlive the run"
    if sent != signal.SIGKILL:
        assert not (crowded.private / ".work").exists()
    assert 1 <= len(crowded.there()) < 50
    assert crowded.run().code == 1
    assert crowded.there() == contents(crowded.folder / "undisturbed")
    assert crowded.rows("audit.csv") == crowded.rows("audit.csv", crowded.folder / "r")


@pytest.mark.parametrize("victims", ["one", "all"])
def test_killed_worker_costs_nothing_but_time(crowded: Desk, victims: str) -> None:
    """Somebody killed it, not its file: what it was at is done again."""
    process = crowded.start("--workers", "2")
    read_until(process, 1)
    workers = [
        int(pid)
        for server in children_of(process.pid)
        if "forkserver" in Path(f"/proc/{server}/cmdline").read_text()
        for pid in children_of(server)
    ]
    assert len(workers) == 2
    for pid in workers if victims == "all" else workers[:1]:
        os.kill(int(pid), signal.SIGKILL)
    done = result(process)
    assert done.code == 1, done.err
    assert crowded.summary()["states"] == {"released": 50, "skipped": 4, "refused": 200}


def test_work_begins_anew_where_a_worker_was_killed(tmp_path: Path) -> None:
    """What it left in the workspace is in nobody's way."""
    source = MemorySource({"S/V/A/1": instance()})
    book = book_for(
        PlannedProfile.read(PROFILE, "p.yaml", "input"), None, source.containers(list(source.items())), by_session=False
    )
    settings = Settings(source, book, Keyring(b"k" * 32), date(2026, 1, 1), "strict", tmp_path, originals=False)
    (tmp_path / "00000007.in").mkdir()
    (tmp_path / "00000007.in" / "file").write_bytes(b"half")
    (tmp_path / "00000007").write_bytes(b"half")
    worked = carry_out(settings, Task(7, tuple(source.items()), "S"))
    assert isinstance(worked.outcome, Released)
    assert contents(tmp_path).keys() == {"00000007"}
    assert sha256((tmp_path / "00000007").read_bytes()).hexdigest() == worked.outcome.sha256


def children_of(pid: int | str) -> list[str]:
    return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()


def test_file_that_kills_its_worker_fails_alone(sampled: Desk) -> None:
    """A file that needs more memory than there is: the system ends the worker, twice."""
    sampled.put({"S/V/A/huge.dcm": instance(number=2), "S/V/A/after": instance()})
    big = sampled.source / "S/V/A/huge.dcm"
    item = b"\xfe\xff\x00\xe0"
    with big.open("r+b") as stream:  # fragments have to be read to their end
        stream.seek(0, 2)
        stream.write(b"\xe0\x7f\x10\0OB\0\0\xff\xff\xff\xff" + item + bytes(4) + item + b"\0\0\0\xf0")
        stream.seek(0xF0000000, 1)
        stream.write(b"\xfe\xff\xdd\xe0" + bytes(4))
    limit = 3 << 30
    done = subprocess.run(
        [sys.executable, "-m", "fw_gear_deid", *sampled.arguments("--workers", "2")], cwd=ROOT, capture_output=True,
        text=True, check=False, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (limit, limit)),
    )  # fmt: skip
    assert done.returncode == 1, done.err
    assert sampled.states()["S/V/A/huge.dcm"] == "failed"
    assert sampled.reasons()["S/V/A/huge.dcm"] == "not enough memory"
    assert sampled.summary()["states"] == {"failed": 1, "released": 11, "skipped": 4}


def test_second_run_on_the_same_reports_is_refused(crowded: Desk) -> None:
    process = crowded.start("--workers", "2")
    read_until(process, 1)
    second = crowded.run("--quiet")
    assert result(process).code == 1
    assert (second.code, "another run" in second.err) == (2, True)
    assert len(crowded.there()) == 50
    assert crowded.run().code == 1  # the lock is gone


def test_reader_of_progress_goes_away(sampled: Desk) -> None:
    """``run ... 2>&1 | head -1`` does not stop the work, nor change what it returns."""
    sampled.put({"bad.dcm": instance()[:-3]})
    process = sampled.start("--workers", "1")
    read_until(process, 1)
    assert process.stderr is not None and process.stdout is not None
    process.stderr.close()
    process.stdout.close()
    assert process.wait(timeout=60) == 1
    assert sampled.summary()["states"] == {"refused": 1, "released": 10, "skipped": 4}


# -- the disk is full ----------------------------------------------------------------------------------


@pytest.mark.parametrize("replaced", [False, True])
def test_destination_is_full(desk: Desk, small_disk: Path, replaced: bool) -> None:
    desk.put({f"S/V/A/{n}": instance(number=n) for n in (1, 2)})
    desk.put({"S/V/A/big": instance(number=3, ImageComments="x" * 9000, RequestAttributesSequence=[pixels(200)])})
    desk.dest = small_disk / "out"
    options = ["--reports", str(desk.reports), *(["--exists", "replace"] if replaced else [])]
    done = desk.run(*options)
    assert done.code == 1
    assert desk.states() == {"S/V/A/1": "released", "S/V/A/2": "released", "S/V/A/big": "failed"}
    assert "No space left" in desk.reasons()["S/V/A/big"]
    assert len(desk.there()) == 2
    subprocess.run(["mount", "-o", "remount,size=1m", str(small_disk)], check=True)
    assert desk.run(*options).code == 0
    assert len(desk.there()) == 3


@pytest.mark.parametrize("size", [12, 20, 28, 36, 44, 52])
def test_reports_are_full(desk: Desk, small_disk: Path, size: int) -> None:
    """Ledger, workspace or reports: nothing is released without a record, and the cause is told."""
    desk.put({f"S/V/A/{n}": instance(number=n, ImageComments="x" * 5000) for n in range(6)})
    subprocess.run(["mount", "-o", f"remount,size={size}k", str(small_disk)], check=True)
    reports = small_disk / "reports"
    done = desk.run("--reports", str(reports))
    assert done.code == 1
    assert "Traceback" not in done.err
    assert re.search("No space left|ledger", done.err), done.err
    assert not (reports / ".work").exists()
    assert not list(small_disk.rglob("*.partial"))
    subprocess.run(["mount", "-o", "remount,size=9m", str(small_disk)], check=True)
    assert desk.run("--reports", str(reports)).code == 0
    assert len(desk.there()) == 6
    assert {row["destination"] for row in desk.rows(reports=reports)} == set(desk.there())


def test_file_size_limit(desk: Desk) -> None:
    """As a quota has it: one result is too large, the others are released."""
    desk.put(
        {
            "S/V/A/1": instance(),
            "S/V/A/big": instance(number=2, ImageComments="x" * 10000, RequestAttributesSequence=[pixels(300)]),
        }
    )

    def work() -> Ran:
        resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
        return desk.run()

    assert forked(work).code == 1
    assert desk.states() == {"S/V/A/1": "released", "S/V/A/big": "failed"}
    assert "File too large" in desk.reasons()["S/V/A/big"]
    assert len(desk.there()) == 1
    assert desk.run().code == 0
    assert len(desk.there()) == 2


def test_destination_without_hard_links(desk: Desk) -> None:
    """exFAT and some network file systems have none."""
    desk.put(STORY)

    def refuse(event: str, path: str) -> None:
        if event == "os.link":
            raise OSError(errno.EPERM, os.strerror(errno.EPERM))

    assert forked(desk.run, refuse).code == 1
    first = desk.there()
    assert len(first) == 5
    shutil.rmtree(desk.dest)
    shutil.rmtree(desk.reports)
    path = next(iter(first))
    (desk.dest / path).parent.mkdir(parents=True)
    (desk.dest / path).write_bytes(b"mine")
    forked(desk.run, refuse)
    assert desk.there() == first | {path: b"mine"}
