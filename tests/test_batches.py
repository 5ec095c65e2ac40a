"""Results that go to the destination together: what is synced, what a kill between two steps leaves, who is told."""

from __future__ import annotations

import csv
import errno
import io
import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from fw_gear_deid.deid.trail import Scribe
from fw_gear_deid.ledger import reports
from fw_gear_deid.ledger.state import State
from fw_gear_deid.model import audit
from fw_gear_deid.model.cells import cell
from fw_gear_deid.model.errors import StopRun
from fw_gear_deid.model.outcome import Edit
from fw_gear_deid.runner import release
from fw_gear_deid.stores import folder
from tests.desk import PROFILE, Desk, Hook, contents, folders, forked, instance, timeless

NUMBER, SIZE = 10, 4  # files, and how many go together
FILES = {f"S/V/{'AB'[n % 2]}/{n}": instance(number=n) for n in range(NUMBER)}


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    """Some files, and batches that end by number, not by time."""
    monkeypatch.setattr(release, "_MOST", SIZE)
    monkeypatch.setattr(release, "_SECONDS", 1e9)
    desk = Desk(tmp_path)
    desk.put(FILES)
    return desk


def killed_at(event: str, count: int, word: str = "") -> Hook:
    """Return a hook that kills this process before the n-th event that touches a path with a word in it."""
    left = count

    def hook(name: str, path: str) -> None:
        nonlocal left
        if name == event and word in path:
            left -= 1
            if not left:
                os.kill(os.getpid(), signal.SIGKILL)

    return hook


@pytest.fixture
def undisturbed(desk: Desk) -> Iterator[Desk]:
    """What a run comes to that nothing happens to."""
    shutil.copytree(desk.folder, desk.folder.parent / "undisturbed", symlinks=True)
    other = Desk.__new__(Desk)
    other.folder = desk.folder.parent / "undisturbed"
    other.source, other.dest, other.reports = (other.folder / part for part in ("in", "out", "out-report"))
    other.profile = other.folder / "profile.yaml"
    assert other.run().code == 0
    yield other
    shutil.rmtree(other.folder)


def test_a_batch_is_one_commit_and_a_sync_per_folder(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[str] = []
    commits: list[int] = []
    fsync, commit = os.fsync, State.commit

    def noted(handle: int) -> None:
        synced.append(str(Path(f"/proc/self/fd/{handle}").readlink()))
        fsync(handle)

    def counted(state: State) -> None:
        commits.append(len(desk.there()))
        commit(state)

    monkeypatch.setattr(os, "fsync", noted)
    monkeypatch.setattr(State, "commit", counted)
    assert desk.run().code == 0
    assert commits == [0, SIZE, 2 * SIZE, NUMBER]  # before each of three batches, and at the end
    below = [path for path in synced if path.startswith(f"{desk.dest}/")]
    assert len([path for path in below if ".fw-gear-deid" not in path]) == 1 + 2 + 1  # the second has files of both
    assert len([path for path in synced if "/.work/" in path]) == NUMBER
    synced.clear()
    assert desk.run().code == 0
    assert not [path for path in synced if path.startswith(f"{desk.dest}/") or "/.work/" in path]


@pytest.mark.parametrize("count", range(1, NUMBER + 1))
def test_kill_between_a_put_and_the_commit_of_its_batch(desk: Desk, undisturbed: Desk, count: int) -> None:
    """Whole files stand; the next run knows them by their digests, does the rest, and doubles nothing."""
    assert forked(desk.run, killed_at("os.link", count)).code == -signal.SIGKILL
    left = {path: data for path, data in desk.there().items() if not path.endswith(".partial")}
    assert len(left) == count - 1 and left.items() <= undisturbed.there().items()
    assert desk.run().code == 0
    assert desk.there() == undisturbed.there()
    assert folders(desk.dest) == folders(undisturbed.dest)
    assert sorted(desk.states().values()) == ["released"] * (NUMBER - count + 1) + ["skipped"] * (count - 1)
    assert desk.rows("audit.csv") == undisturbed.rows("audit.csv")
    assert desk.run().code == 0
    assert set(desk.states().values()) == {"skipped"}


@pytest.mark.parametrize("count", [2, SIZE, SIZE + 2, NUMBER])
def test_kill_before_a_commit_leaves_nothing_that_nobody_knows(desk: Desk, count: int) -> None:
    """What stands is noted as on its way: a run that names files otherwise takes it back."""
    assert forked(desk.run, killed_at("os.link", count)).code == -signal.SIGKILL
    first = desk.there()
    desk.rules(PROFILE.replace("SOPInstanceUID\n      hashuid", "SOPInstanceUID\n      keep"))
    assert desk.run("--exists", "replace").code == 0
    assert len(desk.there()) == NUMBER
    assert not desk.there().keys() & first.keys()


@pytest.mark.parametrize("event", ["open", "os.rename"])
@pytest.mark.parametrize("report", ["audit.csv", "files.csv", "summary.json"])
def test_kill_in_the_middle_of_the_reports(desk: Desk, undisturbed: Desk, event: str, report: str) -> None:
    assert forked(desk.run, killed_at(event, 1, f"{report}.partial")).code == -signal.SIGKILL
    assert desk.there() == undisturbed.there()
    assert not (desk.reports / "summary.json").exists()
    assert desk.run().code == 0
    assert set(desk.states().values()) == {"skipped"}
    assert desk.rows("audit.csv") == undisturbed.rows("audit.csv")
    assert not list(desk.folder.rglob("*.partial"))


def test_kill_while_what_was_replaced_is_taken_back(desk: Desk) -> None:
    """The new files stand; of the older ones none is left in the end."""
    assert desk.run().code == 0
    desk.rules(PROFILE.replace("SOPInstanceUID\n      hashuid", "SOPInstanceUID\n      keep"))
    for count in (1, 3, 2):
        hook = killed_at("os.remove", count, f"{desk.dest}/")
        assert forked(lambda: desk.run("--exists", "replace"), hook).code == -signal.SIGKILL
    assert desk.run("--exists", "replace").code == 0
    assert sorted(path.rpartition("/")[2] for path in desk.there()) == sorted(
        f"2.25.77.1.129.1.1.{number}.MR.dcm" for number in range(NUMBER)
    )


def test_folder_that_cannot_be_synced_fails_its_files_alone(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    sync, asked = folder.sync_folder, []

    def full(path: Path) -> None:
        asked.append(path)
        if path == asked[0]:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        sync(path)

    monkeypatch.setattr(folder, "sync_folder", full)
    assert desk.run().code == 1
    monkeypatch.undo()
    assert {name: state for name, state in desk.states().items() if name.startswith("S/V/B")} == {
        f"S/V/B/{n}": "released" for n in range(NUMBER) if n % 2
    }
    assert {state for name, state in desk.states().items() if name.startswith("S/V/A")} == {"failed"}
    assert "No space left" in desk.reasons()["S/V/A/0"]
    assert len(desk.there()) == NUMBER // 2
    assert desk.run().code == 0
    assert len(desk.there()) == NUMBER


def test_batches_make_no_difference(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where what one result takes the place of is another one's name."""
    desk.put({"S/V/A/twin1": instance(number=1, StudyID="1"), "T/V/A/bad": instance("P2")[:-3]})
    found = []
    for most in (1, SIZE, 1000):
        monkeypatch.setattr(release, "_MOST", most)
        dest, kept = desk.folder / f"out{most}", desk.folder / f"r{most}"
        names = ("S/V/A/0", "S/V/B/1", "S/V/A/2")
        for order in (names, names[1:] + names[:1]):
            desk.put({name: FILES[other] for name, other in zip(names, order, strict=True)})
            for name in names:
                os.utime(desk.source / name, ns=(1, 1))
            desk.run("--reports", str(kept), "--exists", "replace", dest=dest)
            rows = timeless(desk.rows(reports=kept))
            found.append((contents(dest), rows, desk.rows("audit.csv", kept)))
    assert found[0:2] == found[2:4] == found[4:6]


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM], ids=str)
@pytest.mark.parametrize("count", [1, 2, SIZE, SIZE + 1])
def test_what_was_put_before_a_signal_is_told(desk: Desk, sent: signal.Signals, count: int) -> None:
    left = count

    def hook(event: str, path: str) -> None:
        nonlocal left
        left -= event == "os.link"
        if event == "os.link" and not left:
            os.kill(os.getpid(), sent)

    assert forked(desk.run, hook).code == 130
    assert list(desk.states().values()).count("released") == len(desk.there()) == count - 1
    assert set(desk.states().values()) <= {"released", "not-reached"}
    assert desk.run().code == 0
    assert len(desk.there()) == NUMBER


def test_one_file_needs_no_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    desk = Desk(tmp_path)
    desk.put({"S/V/A/1": instance()})
    monkeypatch.setattr("fw_gear_deid.runner.pool._Worker", None)
    assert desk.run("--workers", "4").code == 0


# -- the audit's way to the disk -----------------------------------------------------------------------

ODD = ('a "quoted", text', "=1", "line\r\nend", "\u202eturned", "'=x", "\udcff", "plain", "", ",", '"')


def test_lines_are_as_a_csv_writer_has_them() -> None:
    edits = [Edit("(0010,0010)", text, "PN", "remove", text, text, text) for text in ODD]
    for member in ODD:
        out = io.StringIO()
        csv.writer(out, lineterminator="\r\n").writerows(
            [cell(text) for text in (member, e.path, e.keyword, e.vr, e.action, e.rule, e.before, e.after)]
            for e in edits
        )
        assert audit.lines(member, edits, originals=True) == out.getvalue()


@pytest.mark.parametrize("count", [0, 1, 7, 20_000])
def test_lines_come_back_as_they_were_taken(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit, "_PIECE", 1000)
    monkeypatch.setattr(audit, "_FEED", 13)
    edits = [Edit(f"({n:08x})", "K", "LO", "remove", "rule", "before", ODD[n % len(ODD)]) for n in range(count)]
    scribe = Scribe(originals=False)
    for edit in edits:
        scribe.edits("m", [edit])
    trail = scribe.end() + Scribe(originals=False).end()
    assert trail.changes == count
    assert len(trail.lines) < 200 + count * 10
    read = list(csv.reader(io.StringIO("".join(reports.lines_of('a,"b"', trail.lines)), newline="")))
    assert [row[:3] for row in read] == [['a,"b"', "m", edit.path] for edit in edits]
    assert [row[-2:] for row in read] == [["", cell(edit.after)] for edit in edits]


@pytest.mark.parametrize("damage", ["cut", "changed"])
def test_damaged_lines_stop_the_run(damage: str) -> None:
    scribe = Scribe(originals=False)
    scribe.edits("", [Edit("(0010,0010)", "PatientName", "PN", "remove", "rule", "", str(n)) for n in range(50)])
    lines = scribe.end().lines
    with pytest.raises(StopRun, match="damaged"):
        list(reports.lines_of("file", lines[:-20] if damage == "cut" else lines[:9] + b"\xff" * 30 + lines[39:]))
