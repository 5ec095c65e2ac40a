"""What was told to be done is on the disk: which files and folders are synced, and before what."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from fw_gear_deid.ledger.state import State
from tests.desk import Desk, Ran, call, forked, instance

FILES = {"S/V/A/1": instance(), "S/V/B/2": instance(number=2)}
Steps = list[tuple[str, str]]


def steps(desk: Desk, arguments: Sequence[str], *, elsewhere: bool = False) -> Steps:
    """Carry out a command; return what was synced, named and made, in order, by paths below the desk."""
    seen: Steps = []
    home = f"{desk.folder}/"

    def note(kind: str, path: str) -> None:
        if path.startswith(home):
            seen.append((kind, path.removeprefix(home)))

    def hook(event: str, path: str) -> None:
        if event in ("os.link", "os.rename"):
            note("name", path)
        if elsewhere and event == "os.link" and "/.work/" in path:
            raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))

    def work() -> Ran:
        fsync = os.fsync

        def noted(handle: int) -> None:
            note("sync", str(Path(f"/proc/self/fd/{handle}").readlink()))
            fsync(handle)

        os.fsync = noted
        done = call(*arguments)
        return Ran(done.code, json.dumps(seen), done.err)

    done = forked(work, hook)
    assert done.code == 0, done.err
    return [(kind, path) for kind, path in json.loads(done.out)]


@pytest.fixture
def stocked(desk: Desk) -> Desk:
    desk.put(FILES)
    return desk


def test_results_are_on_the_disk_before_they_have_a_name_and_names_after(stocked: Desk) -> None:
    seen = steps(stocked, stocked.arguments())
    for number in range(len(FILES)):
        result = f"out-report/private/.work/{number:08d}"
        assert seen.index(("sync", result)) < seen.index(("name", result))
    folders = {path.rpartition("/")[0] for path in stocked.there()}
    assert len(folders) == 2
    last = max(at for at, step in enumerate(seen) if step[0] == "name" and "/.work/" in step[1])
    for folder in folders:
        assert ("sync", f"out/{folder}") in seen[last:]
    reports = [at for at, (kind, path) in enumerate(seen) if kind == "name" and path.endswith(".csv.partial")]
    assert all(seen.index(("sync", f"out/{folder}")) < min(reports) for folder in folders)


def test_results_from_another_disk_are_on_this_one_before_they_have_a_name(stocked: Desk) -> None:
    seen = steps(stocked, stocked.arguments(), elsewhere=True)
    copies = [path for kind, path in seen if kind == "name" and path.startswith("out/") and "fw-gear-deid" not in path]
    assert len(copies) == 2 and all(path.endswith(".partial") for path in copies)
    for path in copies:
        assert seen.index(("sync", path)) < seen.index(("name", path))


def test_the_destination_tells_whose_it_is_before_it_has_a_file(stocked: Desk) -> None:
    seen = steps(stocked, stocked.arguments())
    assert seen.index(("sync", "out/.fw-gear-deid")) < seen.index(("sync", "out"))
    assert seen.index(("sync", "out")) < seen.index(("name", "out-report/private/.work/00000000"))


@pytest.mark.parametrize("report", ["audit.csv", "summary.json", "private/files.csv", "private/README.txt"])
def test_reports_are_on_the_disk_before_they_have_their_names(stocked: Desk, report: str) -> None:
    seen = steps(stocked, stocked.arguments())
    partial = f"out-report/{report}.partial"
    assert seen.index(("sync", partial)) < seen.index(("name", partial))


def test_a_key_is_on_the_disk_before_anything_is_made_with_it(stocked: Desk) -> None:
    arguments = [one for one in stocked.arguments() if one not in ("--key-file", str(stocked.folder / "key"))]
    seen = steps(stocked, arguments)
    assert seen.index(("sync", "out-report/private/secret.key")) < min(
        at for at, step in enumerate(seen) if step[0] == "name"
    )


def test_a_key_that_is_asked_for_is_on_the_disk(desk: Desk) -> None:
    assert steps(desk, ["keygen", str(desk.folder / "fresh")]) == [("sync", "fresh")]


def test_a_commit_of_the_ledger_is_a_sync(tmp_path: Path) -> None:
    """SQLite's own calls cannot be seen from here; what it was told can: 2 is FULL, which syncs with every commit."""
    state = State(tmp_path / "state.sqlite")
    try:
        assert state._db.execute("PRAGMA synchronous").fetchone() == (2,)
        assert state._db.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    finally:
        state.close()


def test_the_ledger_knows_of_results_before_they_have_a_name(stocked: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is committed by then is what another process could read after a fall."""
    names: list[int] = []
    commits: list[int] = []
    commit = State.commit

    def counted(state: State) -> None:
        commit(state)
        commits.append(len(stocked.there()))

    link = os.link

    def linked(*arguments: object, **options: object) -> None:
        names.append(len(commits))
        link(*arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(State, "commit", counted)
    monkeypatch.setattr(os, "link", linked)
    assert stocked.run().code == 0
    assert names and min(names) >= 1 and commits[0] == 0
