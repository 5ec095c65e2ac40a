"""Runs again: what is done is not done again, and two sources of one name."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from fw_gear_deid.runner import prepare
from fw_gear_deid.sample import MARKER
from tests.desk import MORE, PROFILE, REPORT, SAME_LABEL, THREE, Desk, desk_row, folders, instance, plain

# -- run again -----------------------------------------------------------------------------------------


def test_rerun_skips_what_is_done(desk: Desk) -> None:
    desk.put(THREE | {"S/V/A/notes.txt": REPORT.encode()})
    assert desk.run().code == 0
    first, audit, rows = desk.there(), desk.rows("audit.csv"), desk.rows()
    for _ in range(2):
        assert desk.run().code == 0
        assert set(desk.states().values()) == {"skipped"}
        assert desk.there() == first
        assert desk.rows("audit.csv") == audit
        assert [row["destination"] for row in desk.rows()] == [row["destination"] for row in rows]
    assert desk.reasons()["S/V/A/1"] == "unchanged: an earlier run released it"


@pytest.mark.parametrize("between", [0, 1, 2], ids=["at once", "after a rerun", "after two"])
@pytest.mark.parametrize("changed", THREE)
def test_changed_source_is_stale_and_done_again_alone(desk: Desk, changed: str, between: int) -> None:
    desk.put(THREE)
    for _ in range(between + 1):
        assert desk.run().code == 0
    first = desk.there()
    desk.put({changed: instance("P2" if changed == "x/3" else "P1", number=int(changed[-1]) if changed != "x/3" else 1,
                                StudyID="NEW")})  # fmt: skip
    done = desk.run()
    assert (done.code, desk.there(), set(desk.states().values())) == (1, first, {"skipped"})
    assert {name for name, reason in desk.reasons().items() if reason.startswith("stale: ")} == {changed}
    assert desk.run("--exists", "replace").code == 0
    assert {name: state for name, state in desk.states().items() if state != "skipped"} == {changed: "released"}
    now = desk.there()
    assert now.keys() == first.keys()
    different = [path for path in now if now[path] != first[path]]
    assert different == [desk_row(desk, changed)["destination"]]
    assert b"NEW" in plain(now[different[0]])


def test_results_of_a_longer_profile_are_stale_and_told(desk: Desk) -> None:
    desk.put(THREE)
    desk.rules(PROFILE + "".join(f"    - {{name: '(0099,{n:04d})', remove: true}}\n" for n in range(50)))
    assert desk.run().code == 0
    assert len(desk.summary()["rules_without_a_match"]) >= 50
    desk.rules(PROFILE)
    assert desk.run().code == 1
    assert {reason.partition(":")[0] for reason in desk.reasons().values()} == {"stale"}
    assert desk.summary()["rules_without_a_match"] == []


@pytest.mark.parametrize("between", [0, 1])
def test_other_profile_renews_everything(desk: Desk, between: int) -> None:
    desk.put(THREE)
    for _ in range(between + 1):
        desk.run()
    first = desk.there()
    desk.rules(MORE)
    assert (desk.run().code, desk.there()) == (1, first)
    assert {reason.partition(":")[0] for reason in desk.reasons().values()} == {"stale"}
    assert desk.run("--exists", "replace").code == 0
    assert set(desk.states().values()) == {"released"}
    now = desk.there()
    assert now.keys() == first.keys()
    assert all(now[path] != first[path] for path in now)
    assert not any(b"\x10\x00\x40\x00CS" in plain(data) for data in now.values())


def test_other_labels_move_everything(desk: Desk) -> None:
    desk.put(THREE)
    desk.run()
    assert desk.run("--labels", "keep").code == 0
    assert desk.states() == {"S/V/A/1": "released", "S/V/A/2": "released", "x/3": "skipped"}
    assert len(desk.there()) == 3
    assert all(next((desk.dest / folder).iterdir(), None) for folder in folders(desk.dest))


def test_options_that_change_no_byte_make_nothing_stale(desk: Desk) -> None:
    desk.put(THREE)
    desk.run("--verify", "off")
    first = desk.there()
    for options in ([], ["--verify", "off"], ["--audit-originals"], []):
        assert (desk.run(*options).code, set(desk.states().values()), desk.there()) == (0, {"skipped"}, first)
        assert {reason.partition(":")[0] for reason in desk.reasons().values()} == {"unchanged"}
        assert {row["before"] for row in desk.rows("audit.csv")} == {""}
        if options == ["--audit-originals"]:
            assert MARKER in "".join(row["before"] for row in desk.rows("audit.csv", desk.private))


def test_name_that_changes_leaves_nothing_behind(desk: Desk) -> None:
    """Another UID of the source, another UID by the profile: the file of the old name goes, and its empty folders."""
    desk.put(THREE)
    desk.run()
    desk.put({"S/V/A/2": instance(number=7)})
    assert desk.run("--prune").code == 0
    assert len(desk.there()) == 3
    desk.rules(PROFILE.replace("hashuid: true", "keep: true"))
    assert desk.run("--exists", "replace").code == 0
    assert sorted(path.rpartition("/")[2] for path in desk.there()) == sorted(
        ["2.25.77.1.129.1.1.1.MR.dcm", "2.25.77.1.129.1.1.7.MR.dcm", "2.25.77.1.130.1.1.dicom.zip"]
    )
    assert len(folders(desk.dest)) == 6
    assert {row["destination"] for row in desk.rows()} == set(desk.there())


@pytest.mark.parametrize(
    ("rules", "data", "state"),
    [
        (MORE + "    - name: PatientAge\n      replace-with: x\n", None, "refused"),
        (PROFILE + "    - name: SeriesDescription\n      increment-date: true\n  date-increment: 3\n", instance(), "refused"),
    ],
    ids=["bad profile", "rule that cannot act"],
)  # fmt: skip
def test_what_is_not_released_any_more_is_taken_back(desk: Desk, rules: str, data: bytes | None, state: str) -> None:
    """The table says what stands at the destination: nothing does that this run did not make or confirm."""
    desk.put({"S/V/A/1": instance(), "S/V/B/2": instance(number=2)})
    assert desk.run().code == 0
    first = desk.there()
    desk.rules(rules)
    if data is None:
        assert desk.run().code == 2
        assert desk.there() == first
        return
    desk.put({"S/V/A/1": data})
    assert desk.run("--exists", "replace").code == 1
    assert desk.states()["S/V/A/1"] == state
    assert {row["destination"] for row in desk.rows() if row["destination"]} == set(desk.there())
    assert desk_row(desk, "S/V/A/1")["destination"] == ""
    desk.rules(PROFILE)
    desk.put({"S/V/A/1": instance()})
    assert desk.run().code == 0
    assert desk.there() == first


@pytest.mark.parametrize(
    "data", [instance()[:-3], instance()[:200], b"", b"plain text"], ids=["cut", "half a header", "empty", "a note"]
)
def test_source_that_cannot_be_read_any_more_keeps_its_result(desk: Desk, data: bytes) -> None:
    desk.put({"S/V/A/1": instance(), "S/V/B/2": instance(number=2)})
    assert desk.run().code == 0
    first = desk.there()
    desk.put({"S/V/A/1": data})
    for options in ([], ["--exists", "replace"], ["--prune"]):
        desk.run(*options)
        assert desk.there() == first
        assert desk.states()["S/V/A/1"] in ("refused", "failed", "skipped")
    desk.put({"S/V/A/1": instance()})
    assert desk.run().code == 0
    assert desk.there() == first


def test_profile_without_dicom_takes_nothing_back(desk: Desk) -> None:
    desk.put({"S/V/A/1": instance()})
    desk.run()
    first = desk.there()
    desk.rules("xml:\n  fields:\n    - name: //a\n      remove: true\n")
    desk.run("--exists", "replace")
    assert desk.there() == first


def test_series_grows_and_shrinks(desk: Desk) -> None:
    desk.put({f"d/{n}": instance(number=n) for n in (1, 2, 3)})
    assert desk.run().code == 0
    first = desk.there()
    desk.put({"d/4": instance(number=4)})
    assert (desk.run().code, desk.there()) == (1, first)
    assert desk.run("--exists", "replace").code == 0
    assert (set(desk.states().values()), desk.there().keys()) == ({"released"}, first.keys())
    assert desk.rows()[0]["members"] == "4"
    (desk.source / "d/4").unlink()
    grown = desk.there()
    for exists in ("skip", "replace"):  # an instance that is gone may be another run's
        assert (desk.run("--exists", exists).code, desk.there()) == (1, grown)
    assert desk.run("--exists", "replace", "--prune").code == 0
    assert desk.there() == first
    desk.put({"d/3": instance(series=2)})  # moves to a series of its own
    assert desk.run("--exists", "replace", "--prune").code == 0
    assert len(desk.there()) == 2
    assert sorted(row["members"] for row in desk.rows()) == ["0", "1", "2"]


def test_source_that_is_gone_keeps_its_result_until_another_takes_the_name(desk: Desk) -> None:
    desk.put({"a/1": instance(), "b/1": instance("P2")})
    desk.run()
    first = desk.there()
    (desk.source / "a/1").unlink()
    assert desk.run().code == 0
    orphan = str(desk.source / "a/1")
    assert (desk.there(), desk.states()) == (first, {"b/1": "skipped", orphan: "orphan"})
    desk.put({"moved/1": instance(StudyID="NEW")})
    assert desk.run("--exists", "replace").code == 0
    assert desk.states() == {"b/1": "skipped", "moved/1": "released"}
    assert desk.there().keys() == first.keys()
    assert desk.there() != first
    desk.put({"a/1": instance(number=2)})  # comes back, to the same series
    assert desk.run("--exists", "replace").code == 0
    assert desk.states() == {"a/1": "released", "b/1": "skipped", "moved/1": "released"}


def test_gone_source_that_comes_back_beside_its_heir_is_a_collision(desk: Desk) -> None:
    desk.rules(PROFILE.replace("SOPInstanceUID\n      hashuid", "SOPInstanceUID\n      keep"))
    desk.put({"S/V/A/1": instance()})
    desk.run()
    time_stamp = (desk.source / "S/V/A/1").stat()
    (desk.source / "S/V/A/1").rename(desk.folder / "kept")
    desk.put({"S/V/A/2": instance(StudyID="2")})
    assert desk.run("--exists", "replace").code == 0
    assert desk.states() == {"S/V/A/2": "released"}
    (desk.folder / "kept").rename(desk.source / "S/V/A/1")
    os.utime(desk.source / "S/V/A/1", ns=(time_stamp.st_atime_ns, time_stamp.st_mtime_ns))
    assert desk.run().code == 1
    assert (set(desk.states().values()), desk.there()) == ({"refused"}, {})


@pytest.mark.parametrize("exists", ["skip", "fail", "replace"])
@pytest.mark.parametrize("kind", ["file", "folder", "dangling link"])
def test_foreign_file_at_the_destination(desk: Desk, exists: str, kind: str) -> None:
    desk.put({"S/V/A/1": instance(), "S/V/A/2": instance(number=2)})
    desk.run()
    first = desk.there()
    path = desk_row(desk, "S/V/A/1")["destination"]
    shutil.rmtree(desk.dest)
    shutil.rmtree(desk.reports)
    target = desk.dest / path
    target.parent.mkdir(parents=True)
    if kind == "file":
        target.write_bytes(b"mine")
    elif kind == "folder":
        target.mkdir()
    else:
        target.symlink_to("nowhere")
    replaced = exists == "replace" and kind != "folder"
    expected = (
        "released" if replaced else "skipped" if exists == "skip" else "refused" if exists == "fail" else "failed"
    )
    for _ in range(2):
        done = desk.run("--exists", exists)
        assert done.code == (0 if expected == "released" else 1)
        assert desk.states()["S/V/A/1"] in (expected, "skipped" if replaced else expected)
        assert desk.states()["S/V/A/2"] in ("released", "skipped")
        if replaced:
            assert desk.there() == first
        else:
            assert os.path.lexists(target)
            assert not target.exists() or target.is_dir() or target.read_bytes() == b"mine"


def test_foreign_files_around_stay(desk: Desk) -> None:
    desk.put({"S/V/A/1": instance()})
    desk.run()
    (path,) = desk.there()
    mine = {str(Path(path).parent / "mine.txt"), path + ".partial", "top.txt"}
    for name in mine:
        (desk.dest / name).write_text("mine")
    desk.rules(PROFILE.replace("hashuid: true", "keep: true"))
    desk.run("--labels", "keep")
    assert {name for name in mine if (desk.dest / name).read_text() == "mine"} == mine
    assert len(desk.there()) == 4


def test_exists_replace_does_everything_again(desk: Desk) -> None:
    desk.put(THREE)
    desk.run()
    first = desk.there()
    for path in first:
        (desk.dest / path).write_bytes(b"spoilt")
    assert desk.run("--exists", "replace").code == 0
    assert set(desk.states().values()) == {"released"}
    assert desk.there() == first


def test_result_that_somebody_removed_is_made_again(desk: Desk) -> None:
    desk.put(THREE)
    desk.run()
    first = desk.there()
    gone = desk_row(desk, "S/V/A/2")["destination"]
    (desk.dest / gone).unlink()
    assert desk.run().code == 0
    assert desk.states() == {"S/V/A/1": "skipped", "S/V/A/2": "released", "x/3": "skipped"}
    assert desk.there() == first


def test_damaged_ledger_stops_the_run(desk: Desk) -> None:
    desk.put(THREE)
    desk.run()
    first = desk.there()
    (desk.private / "state.sqlite").write_bytes(b"no database" * 1000)
    desk.rules(MORE)
    done = desk.run()
    assert (done.code, "ledger" in done.err, "Traceback" in done.err) == (1, True, False)
    assert desk.there() == first


# -- one name for two ----------------------------------------------------------------------------------


def instances_of_one_name(*names: str) -> dict[str, bytes]:
    return {name: instance(StudyID=str(number)) for number, name in enumerate(names)}


@pytest.mark.parametrize("count", [2, 3])
def test_two_sources_of_one_name_are_refused_for_good(desk: Desk, count: int) -> None:
    desk.put(instances_of_one_name(*(f"S/V/A/{n}" for n in range(count))) | {"S/V/A/x": instance(number=9)})
    for _ in range(3):
        assert desk.run().code == 1
        assert list(desk.states().values())[:count] == ["refused"] * count
        assert [path.rpartition(".9.")[2] for path in desk.there()] == ["MR.dcm"]
        assert {row["file"] for row in desk.rows("audit.csv") if row["path"] == "filename"} == set(desk.there())
    for n in range(1, count):
        (desk.source / f"S/V/A/{n}").unlink()
    assert desk.run().code == 0
    assert len(desk.there()) == 2


@pytest.mark.parametrize("reruns", [0, 1, 2])
@pytest.mark.parametrize("rival", ["S/V/A/0", "S/V/A/2"], ids=["before", "after"])
def test_rival_of_what_an_earlier_run_released(desk: Desk, rival: str, reruns: int) -> None:
    desk.put({"S/V/A/1": instance(), "S/V/A/9": instance(number=9)})
    for _ in range(reruns + 1):
        assert desk.run().code == 0
    desk.put({rival: instance(StudyID="7")})
    for _ in range(2):
        assert desk.run().code == 1
        assert (desk.states()["S/V/A/1"], desk.states()[rival]) == ("refused", "refused")
        assert len(desk.there()) == 1
        rows = {row["source"]: row for row in desk.rows()}
        assert rows["S/V/A/1"]["destination"] == rows["S/V/A/1"]["sha256_out"] == ""
        assert {row["file"] for row in desk.rows("audit.csv") if row["path"] == "filename"} == set(desk.there())


@pytest.mark.parametrize("later", [False, True], ids=["at once", "after a release"])
def test_a_label_that_a_rule_gives_to_two_subjects_is_none(desk: Desk, later: bool) -> None:
    """The pseudonyms are, and what stood under the label moves below one."""
    desk.rules(SAME_LABEL)
    desk.put({"S1/V/A/1": instance()})
    if later:
        assert desk.run().code == 0
        assert next(iter(desk.there())).startswith("SAME/")
        assert desk.run().code == 0
    desk.put({"S2/V/A/1": instance("P2")})
    for _ in range(2):
        assert desk.run().code == 0
        assert len({path.split("/")[0] for path in desk.there()}) == len(desk.there()) == 2
        assert all(path.startswith("sub-") for path in desk.there())
        paths = {
            row["file"]: row["after"] for row in desk.rows("audit.csv") if row["path"] == "container subject.label"
        }
        assert set(paths.values()) == set(paths) == {path.split("/")[0] for path in desk.there()}


@pytest.mark.parametrize("labels", [("abc", "ABC"), ("\u00fc", "u\u0308")], ids=["case", "form"])
def test_kept_labels_that_are_one_elsewhere_are_refused(desk: Desk, labels: tuple[str, str]) -> None:
    desk.put({f"{label}/V/A/1": instance(f"P{number}") for number, label in enumerate(labels)})
    assert desk.run("--labels", "keep").code == 1
    assert set(desk.states().values()) == {"refused"}
    assert "two source subjects" in next(iter(desk.reasons().values()))


def test_ids_that_differ_by_case_alone_are_one(desk: Desk) -> None:
    """PatientID in normal form; the labels of the first holds for both."""
    desk.rules(PROFILE.replace("PatientID\n      hash: true", "PatientID\n      keep: true"))
    desk.put({f"x/{number}": instance(patient) for number, patient in enumerate(("P1", "p1 ", "P2"))})
    assert desk.run().code == 0
    assert {path.split("/")[0] for path in desk.there()} == {"P1", "P2"}


@pytest.mark.parametrize("reruns", [0, 1])
def test_names_that_differ_by_case_alone(desk: Desk, reruns: int) -> None:
    desk.rules(PROFILE + "filename:\n  filenames:\n    - input-regex: ^(?P<n>.+)$\n      output: '{n}'\n")
    desk.put({"S/V/A/one.txt": REPORT, "S/V/A/two.txt": REPORT})
    for _ in range(reruns):
        assert desk.run().code == 0
    desk.put({"S/V/A/ONE.txt": REPORT})
    assert desk.run().code == 1
    assert desk.states() == {"S/V/A/ONE.txt": "refused", "S/V/A/one.txt": "refused",
                             "S/V/A/two.txt": "skipped" if reruns else "released"}  # fmt: skip
    assert [path.rpartition("/")[2] for path in desk.there()] == ["two.txt"]


def test_one_patient_in_the_tree_and_loose_is_one(desk: Desk) -> None:
    desk.put({"P1/V/A/1": instance(), "x/1": instance(study=2)})
    desk.rules(PROFILE.replace("PatientID\n      hash: true", "PatientID\n      remove: true"))
    assert desk.run().code == 0
    assert len({path.split("/")[0] for path in desk.there()}) == 1


def test_rerun_of_loose_files_reads_no_header_twice(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither to tell whose they are, nor where they go; another profile looks anew."""
    desk.put({f"x/{n}": instance(f"P{n % 2}", series=n) for n in range(4)} | {"S/V/A/1": instance("P9")})
    assert desk.run().code == 0
    first = desk.there()
    looked: list[str] = []
    look, closer = prepare.look, prepare.look_closer
    monkeypatch.setattr(prepare, "look", lambda settings, task: looked.append("look") or look(settings, task))
    monkeypatch.setattr(
        prepare, "look_closer", lambda settings, task: looked.append("closer") or closer(settings, task)
    )
    assert desk.run().code == 0
    assert (looked, desk.there()) == ([], first)
    assert set(desk.states().values()) == {"skipped"}
    desk.rules(PROFILE + "    - name: SeriesDescription\n      replace-with: other\n")
    assert desk.run("--exists", "replace").code == 0
    assert sorted(looked) == ["closer"] * 4 + ["look"] * 5
    assert {path.split("/")[2] for path in desk.there()} >= {"other"}
