"""What a run says of itself at its end, and what it leaves where others look."""

from __future__ import annotations

import csv
import errno
import json
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from fw_gear_deid.deid.container import deidentify_container
from fw_gear_deid.model.container import ContainerRecord
from fw_gear_deid.model.errors import UsageError
from fw_gear_deid.profile.parse import parse_profile
from fw_gear_deid.runner import release
from fw_gear_deid.runner import run as running
from fw_gear_deid.stores.folder import FolderSink
from fw_gear_deid.system.root import Outside, Root
from tests.desk import PROFILE, Desk, Ran, contents, forked, instance, packed

CONSTANT = PROFILE + "  filenames:\n    - input-regex: .*\n      output: same.dcm\n"


def raising(error: BaseException) -> Callable[..., Any]:
    def work(*arguments: Any, **options: Any) -> Any:
        raise error

    return work


# -- exit codes ----------------------------------------------------------------------------------------


def test_trouble_with_containers_is_no_success(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.put({"S/V/A/1": instance()})
    monkeypatch.setattr(FolderSink, "finish", raising(OSError(errno.EIO, "Input/output error")))
    done = desk.run()
    assert done.code == 1 and "containers could not be brought up to date" in done.err
    assert desk.states() == {"S/V/A/1": "released"}


def test_an_orphan_that_cannot_be_taken_back_is_no_success(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.put({"S/V/A/1": instance(), "S/V/A/2": instance(number=2)})
    assert desk.run().code == 0
    (desk.source / "S/V/A/2").unlink()
    with monkeypatch.context() as patched:
        patched.setattr(Root, "remove", raising(OSError(errno.EACCES, "Permission denied")))
        assert desk.run("--prune").code == 1
    assert "it cannot be taken back: Permission denied" in "".join(row["reason"] for row in desk.rows())
    assert len(desk.there()) == 2
    assert desk.run("--prune").code == 0
    assert len(desk.there()) == 1


def test_what_cannot_begin_writes_nothing(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.put({"S/V/A/1": instance()})
    monkeypatch.setattr(running, "prepare", raising(UsageError("the mapping is not what it was")))
    done = desk.run()
    assert (done.code, done.err.splitlines()[-1]) == (2, "fw-gear-deid: the mapping is not what it was")
    assert not desk.dest.exists() and not (desk.reports / "summary.json").exists()
    assert not (desk.private / "files.csv").exists()


# -- at the destination --------------------------------------------------------------------------------


@pytest.mark.parametrize("exists", ["fail", "skip", "replace"])
def test_a_file_that_comes_between_look_and_put_stays(desk: Desk, monkeypatch: pytest.MonkeyPatch, exists: str) -> None:
    """Nothing stood there when it was looked: what stands there now is somebody's."""
    desk.put({"S/V/A/1": instance(), "S/V/A/2": instance(number=2)})
    put, came = FolderSink.put, []

    def late(self: FolderSink, result: Path, destination: Any, *arguments: Any, **options: Any) -> None:
        if not came:
            came.append(self.root / destination.path)
            came[0].parent.mkdir(parents=True)
            came[0].write_bytes(b"theirs")
        put(self, result, destination, *arguments, **options)

    monkeypatch.setattr(FolderSink, "put", late)
    assert desk.run("--exists", exists).code == 1
    assert came[0].read_bytes() == b"theirs"
    assert desk.states() == {"S/V/A/1": "failed", "S/V/A/2": "released"}
    assert "File exists" in desk.reasons()["S/V/A/1"]


@pytest.mark.parametrize("count", [2, 3])
def test_two_sources_that_a_template_gives_one_name(desk: Desk, monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    """None of them is trusted to be the right one, be they put together or one after the other."""
    desk.rules(CONSTANT)
    for most in (1, 100):
        monkeypatch.setattr(release, "_MOST", most)
        dest = desk.folder / f"out{most}"
        desk.put({f"S/V/A/{n}": instance(number=n) for n in range(count)} | {"S/V/B/9": instance(series=2)})
        for _ in range(2):
            assert desk.run("--reports", str(desk.folder / f"r{most}"), dest=dest).code == 1
            rows = {row["source"]: row["state"] for row in desk.rows(reports=desk.folder / f"r{most}")}
            assert {state for source, state in rows.items() if source.startswith("S/V/A")} == {"refused"}
            assert len(contents(dest)) == 1


def test_names_and_links_lead_nowhere(tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/theirs").write_bytes(b"theirs")
    (tmp_path / "out/S").mkdir(parents=True)
    (tmp_path / "out/L").symlink_to(tmp_path / "outside")
    (tmp_path / "out/S/f").symlink_to(tmp_path / "outside/theirs")
    root, result = Root(tmp_path / "out"), tmp_path / "result"
    ways = (["..", "x"], [".", "x"], ["", "x"], ["S", "../x"], ["S", ".."], ["S", "a/b"], ["S", "a\0b"], ["L", "x"])
    for parts in ways:
        for replace in (True, False):
            result.write_bytes(b"ours")
            with pytest.raises(Outside):
                root.place(result, parts, replace=replace)
    for parts in (*ways, ["S", "f"], ["L", "theirs"]):
        with pytest.raises(Outside):
            root.remove(parts)
    assert contents(tmp_path / "outside") == {"theirs": b"theirs"}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "outside", "result"]
    assert root.stood(["S", "f"]) == "no file" and root.open(["S", "f"]) is None


def test_what_a_killed_run_left_beside_a_file_goes_with_it(tmp_path: Path) -> None:
    root, result = Root(tmp_path / "out"), tmp_path / "result"
    result.write_bytes(b"ours")
    root.place(result, ["S", "f"], replace=False)
    (tmp_path / "out/S/.f.partial").write_bytes(b"half")
    root.remove(["S", "f"])
    assert not (tmp_path / "out/S").exists()


# -- in the workspace ----------------------------------------------------------------------------------


def seen_in_workspace(desk: Desk, *options: str, most: int = 2) -> list[set[str]]:
    """Return what lay in the workspace at each touch of the disk."""
    seen: list[set[str]] = []

    def hook(event: str, path: str) -> None:
        folder = desk.private / ".work"
        if event in ("os.link", "os.rename", "open") and folder.is_dir():
            seen.append({one.name for one in folder.iterdir()})

    def work() -> Ran:
        release._MOST, release._SECONDS = most, 1e9
        done = desk.run(*options)
        return Ran(done.code, json.dumps([sorted(one) for one in seen]), done.err)

    done = forked(work, hook)
    assert done.code in (0, 1), done.err
    return [set(one) for one in json.loads(done.out)]


def test_results_do_not_pile_up(desk: Desk) -> None:
    desk.put({f"S/V/A/{n}": instance(number=n) for n in range(12)} | {f"S/V/B/{n}": instance("Q")[:-3] for n in "abc"})
    seen = seen_in_workspace(desk)
    assert max(map(len, seen)) <= 3  # of a batch, and the one that is being made
    assert len({name for one in seen for name in one}) >= 12


def test_what_a_killed_run_left_is_gone_before_the_work_begins(desk: Desk) -> None:
    (desk.private / ".work/00000001.in").mkdir(parents=True)
    (desk.private / ".work/00000001.in/file").write_bytes(b"somebody's data")
    (desk.private / ".work/junk").write_bytes(b"half")
    desk.put({f"S/V/A/{n}": instance(number=n) for n in range(3)})
    seen = seen_in_workspace(desk)
    assert not {"junk", "00000001.in"} & seen[-1]
    assert not any("junk" in one for one in seen if any(name.startswith("0000000") and "." not in name for name in one))
    assert not (desk.private / ".work").exists()


def test_what_was_fetched_goes_with_its_task(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Copies of originals from a platform: one at a time, and none when the run is over."""
    pytest.importorskip("flywheel")
    from tests.site import opened, scan

    left: list[list[str]] = []
    finish = release.Releaser.finish

    def looked(self: Any, place: Any, worked: Any) -> None:
        left.append([one.name for one in (tmp_path / "gear" / "work" / ".work").iterdir() if one.suffix == ".in"])
        finish(self, place, worked)

    monkeypatch.setattr(release.Releaser, "finish", looked)
    with opened(tmp_path) as site:
        for number in range(3):
            scan(site, f"P{number}/V/T", number)
        assert site.here()[0] == 0
    assert left == [[]] * 3
    assert not (tmp_path / "gear" / "work" / ".work").exists()


# -- the audit -----------------------------------------------------------------------------------------

TWICE = (
    "dicom:\n  fields:\n    - name: PatientID\n      replace-with: MIDDLE\n    - name: PatientID\n      hash: true\n"
    "    - name: PatientName\n      remove: true\n    - regex: Patient.*\n      remove: true\n"
)


@pytest.mark.parametrize("pack", [False, True])
def test_the_audit_tells_what_stood_there_and_which_rule_was_the_last(desk: Desk, pack: bool) -> None:
    data = instance("ORIGINAL", PatientName="First^One")
    desk.put({"S/V/A/1.zip": packed({"IM": data})} if pack else {"S/V/A/1": data})
    desk.rules(TWICE.replace("    - regex: Patient.*\n      remove: true\n", ""))
    assert desk.run("--audit-originals").code == 0
    with (desk.private / "audit.csv").open(newline="") as stream:
        rows = {row["keyword"]: row for row in csv.DictReader(stream) if row["keyword"]}
    told = rows["PatientID"]
    assert (told["vr"], told["before"], told["action"], told["rule"]) == ("LO", "ORIGINAL", "hash", "profile.yaml:5")
    assert told["after"] not in ("", "MIDDLE", "ORIGINAL")
    assert (rows["PatientName"]["before"], rows["PatientName"]["after"]) == ("First^One", "")


def test_the_audit_of_an_element_that_two_rules_take_tells_the_last(desk: Desk) -> None:
    desk.put({"S/V/A/1": instance("ORIGINAL")})
    desk.rules(TWICE)
    assert desk.run("--audit-originals").code == 0
    rows = {row["keyword"]: row for row in desk.rows("private/audit.csv") if row["keyword"]}
    assert (rows["PatientID"]["before"], rows["PatientID"]["action"]) == ("ORIGINAL", "remove")
    assert rows["PatientID"]["rule"] == "profile.yaml:9"


def test_ids_of_what_was_not_released_are_not_told(desk: Desk) -> None:
    desk.rules(CONSTANT)
    desk.put({"S/V/A/1": instance("GIVEN"), "T/V/A/1": instance("KEPT")})
    assert desk.run().code == 0
    theirs = next(path for path in desk.dest.rglob("same.dcm"))
    theirs.write_bytes(b"theirs")
    ids = desk.folder / "ids.csv"
    done = desk.run("--ids", str(ids), "--exists", "fail", "--reports", str(desk.folder / "other"))
    assert done.code == 1
    states = {row["source"]: row["state"] for row in desk.rows(reports=desk.folder / "other")}
    assert sorted(states.values()) == ["refused", "skipped"]
    told = ids.read_text()
    refused = next(source for source, state in states.items() if state == "refused")
    assert ("GIVEN" in told) == (not refused.startswith("S/"))
    assert ("KEPT" in told) == (not refused.startswith("T/"))


def test_a_ledger_that_cannot_be_read_is_not_passed_over(desk: Desk) -> None:
    """Not even where another one could be begun beside it: what stands would be somebody's then."""
    desk.put({"S/V/A/1": instance()})
    assert desk.run().code == 0
    (desk.private / "state.sqlite").write_bytes(b"no database" * 1000)
    before = sorted(path.name for path in desk.private.iterdir())
    desk.rules(PROFILE + "    - name: PatientSex\n      remove: true\n")
    done = desk.run("--exists", "replace")
    assert done.code == 1 and "the ledger cannot be read" in done.err
    assert sorted(path.name for path in desk.private.iterdir()) == before


@pytest.mark.parametrize("strict", [True, False])
def test_birth_dates_that_only_the_work_on_files_meets_are_compared(desk: Desk, strict: bool) -> None:
    """Behind the first members of two archives of one subject."""
    for number, born in enumerate(("19500101", "19600101", "19500101")):
        members = {"1": instance(number=10 * number), "2": instance(number=10 * number + 1, PatientBirthDate=born)}
        desk.put({f"S/V/A/{number}.zip": packed(members)})
    done = desk.run(*(() if strict else ("--identity", "warn")))
    states = set(desk.states().values())
    assert (done.code, states) == ((1, {"refused"}) if strict else (0, {"released"}))
    assert len(desk.there()) == (0 if strict else 3)
    assert any("birth date" in reason for reason in desk.reasons().values()) == strict


# -- sums ----------------------------------------------------------------------------------------------


def test_a_series_is_summed_once(desk: Desk) -> None:
    desk.put({f"x/{number}": instance(number=number) for number in range(3)})
    assert desk.run().code == 0
    rows = desk.rows()
    assert len({row["destination"] for row in rows}) == 1
    assert [int(row["members"]) for row in rows] == [3, 0, 0]
    changes = len(desk.rows("audit.csv"))
    assert [int(row["changes"]) for row in rows] == [changes, 0, 0]
    assert desk.summary()["totals"]["changes"] == changes == sum(desk.summary()["actions"].values())
    [size] = map(len, desk.there().values())
    assert [int(row["bytes_out"]) for row in rows] == [size, 0, 0] and desk.summary()["totals"]["bytes_out"] == size


def test_a_rule_found_nothing_when_it_found_nothing_in_any_file(desk: Desk) -> None:
    rules = "".join(f"    - name: {name}\n      remove: true\n" for name in ("ImageComments", "StudyID", "StationName"))
    desk.rules(PROFILE + rules)
    desk.put(
        {"S/V/A/1": instance(ImageComments="x"), "S/V/A/2": instance(number=2, StudyID="y"), "T/V/A/3": instance("P2")}
    )
    assert desk.run().code == 0
    assert len(desk.summary()["rules_without_a_match"]) == 1


def test_the_audit_of_containers_tells_what_stood_there() -> None:
    flywheel = (
        "flywheel: {subject: {fields: [{name: lastname, replace-with: MIDDLE}, {name: lastname, hash: true}, "
        "{name: label, replace-with: MIDDLE}, {name: label, replace-with: LAST}]}}\n"
    )
    section = parse_profile(
        "name: x\ndicom: {fields: [{name: PatientName, remove: true}]}\n" + flywheel, "p.yaml"
    ).flywheel
    assert section is not None
    record = ContainerRecord("subject", "1", "FIRST", {"lastname": "ORIGINAL"}, {})
    done = deidentify_container(record, section, lambda purpose: 0, date(2026, 1, 1))
    told = {edit.path: (edit.before, edit.action) for edit in done.edits}
    assert told["container subject.lastname"] == ("ORIGINAL", "hash")
    assert told["container subject.label"] == ("FIRST", "replace-with") and done.label == "LAST"
