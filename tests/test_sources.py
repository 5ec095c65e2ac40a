"""Two runs into one destination, in pairs as they happen in the field: what stands there after each."""

from __future__ import annotations

import errno
import json
import os
import shutil
import sqlite3
from pathlib import Path

import pytest

from fw_gear_deid.model.errors import StopRun
from fw_gear_deid.stores.folder import FolderSink
from fw_gear_deid.system.root import Root
from tests.desk import PROFILE, Desk, contents, instance, packed

MORE = PROFILE + "    - name: PatientSex\n      remove: true\n"


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    """A desk whose key is made by itself and stays with its reports."""
    desk = Desk(tmp_path)
    (desk.folder / "key").unlink()
    return desk


def run(desk: Desk, *options: str, source: Path | None = None, dest: Path | None = None) -> int:
    arguments = desk.arguments(*options, source=source, dest=dest)
    if "--key-file" not in options:
        at = arguments.index("--key-file")
        del arguments[at : at + 2]
    if not any(option == "--reports" for option in options):
        arguments += ["--reports", str(desk.reports)]
    from tests.desk import call

    done = call(*arguments)
    assert "Traceback" not in done.err
    return done.code


def states(desk: Desk) -> list[str]:
    return [row["state"] for row in desk.rows()]


def words(desk: Desk) -> set[str]:
    return {row["reason"].partition(":")[0] for row in desk.rows() if row["state"] == "skipped"}


def test_another_disc_at_the_same_place(desk: Desk) -> None:
    """Same path, same size, same time; other patients."""
    desk.put({"a/IM1": instance("P1"), "S/V/A/1": instance("P3")})
    assert run(desk) == 0
    first = desk.there()
    stamps = {path: path.stat() for path in desk.source.rglob("*") if path.is_file()}
    desk.put({"a/IM1": instance("P2"), "S/V/A/1": instance("P4")})
    for path, status in stamps.items():
        assert path.stat().st_size == status.st_size
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert run(desk) == 0
    assert desk.there().items() > first.items() and len(desk.there()) == 4
    assert sorted(states(desk)) == ["orphan", "orphan", "released", "released"]


@pytest.mark.parametrize("name", ["IM1", "export.zip"])
def test_two_folders_of_one_layout(desk: Desk, name: str) -> None:
    """Daily batches, two discs, a loop over archives of one name: they add up, and come back unchanged."""
    there: dict[str, bytes] = {}
    for patient in ("P1", "P2", "P3"):
        data = instance(patient)
        day = desk.folder / patient
        day.mkdir()
        (day / name).write_bytes(packed({"IM": data}) if name.endswith(".zip") else data)
        assert run(desk, source=day) == 0
        assert desk.there().items() > there.items()
        there = desk.there()
    assert len(there) == 3
    for patient in ("P1", "P2", "P3"):
        assert run(desk, "--exists", "replace", source=desk.folder / patient) == 0
        assert (desk.there(), words(desk)) == (there, {"unchanged"})
        assert states(desk) == ["skipped", "orphan", "orphan"]


def test_copy_with_its_times_elsewhere(desk: Desk) -> None:
    desk.put({"S/V/A/1": instance(), "x": instance("P2"), "S/V/B/2.zip": packed({"a": instance(series=2)})})
    assert run(desk) == 0
    first = desk.there()
    shutil.copytree(desk.source, desk.folder / "copy")
    assert run(desk, source=desk.folder / "copy") == 0
    assert (desk.there(), states(desk), words(desk)) == (first, ["skipped"] * 3, {"unchanged"})


def test_copy_without_its_times_is_known_by_what_comes_out(desk: Desk) -> None:
    desk.put({"S/V/A/1": instance(), "x": instance("P2")})
    assert run(desk) == 0
    first = desk.there()
    shutil.copytree(desk.source, desk.folder / "copy", copy_function=shutil.copy)
    assert run(desk, source=desk.folder / "copy") == 0
    assert (desk.there(), states(desk), words(desk)) == (first, ["skipped"] * 2, {"unchanged"})


def test_root_behind_a_link_and_renamed_parent(desk: Desk) -> None:
    desk.put({"S/V/A/1": instance(), "x": instance("P2"), "T/V/A/1": instance("", PatientID="", number=5)})
    assert run(desk) == 0
    first = desk.there()
    (desk.folder / "link").symlink_to(desk.source)
    assert run(desk, source=desk.folder / "link") == 0
    assert (desk.there(), states(desk), words(desk)) == (first, ["skipped"] * 3, {"unchanged"})
    moved = desk.source.rename(desk.folder / "moved")
    assert run(desk, source=moved) == 0
    assert (desk.there(), states(desk), words(desk)) == (first, ["skipped"] * 3, {"unchanged"})


def test_one_subject_of_a_tree_is_who_it_was(desk: Desk) -> None:
    desk.put({"S/V/A/1.zip": packed({"a": instance()}), "T/V/A/1.zip": packed({"a": instance("P2")})})
    assert run(desk) == 0
    subjects = {path.split("/")[0] for path in desk.there()}
    assert run(desk, source=desk.source / "S") == 0
    assert {path.split("/")[0] for path in desk.there()} == subjects
    assert run(desk, "--only", "T") == 0
    assert {path.split("/")[0] for path in desk.there()} == subjects


@pytest.mark.parametrize("born", ["", "19700101"])
def test_two_sites_that_count_alike(desk: Desk, born: str) -> None:
    """Patient 001 of two sites, without ids or with one id and two birth dates: the second is not put to the first."""
    sites = []
    for number, site in enumerate("AB"):
        values = {"PatientID": "001", "PatientBirthDate": f"19{number + 7}00101"} if born else {"PatientID": ""}
        path = desk.folder / site / "001/V/A/1"
        path.parent.mkdir(parents=True)
        path.write_bytes(instance("x", number=number + 1, **values))
        sites.append(desk.folder / site)
    assert run(desk, source=sites[0]) == 0
    first = desk.there()
    assert run(desk, source=sites[1]) == 1
    assert desk.there() == first
    assert "another source" in desk.rows()[0]["reason"]
    assert run(desk, source=sites[0]) == 0
    assert desk.there() == first


def test_one_id_at_two_sites_that_agree_is_one_patient(desk: Desk) -> None:
    for number, site in enumerate("AB"):
        path = desk.folder / site / "1.dcm"
        path.parent.mkdir(parents=True)
        path.write_bytes(instance("P1", number=number + 1, series=number + 1, PatientBirthDate="19700101"))
        assert run(desk, source=path.parent) == 0
    assert len({path.split("/")[0] for path in desk.there()}) == 1
    assert len(desk.there()) == 2


@pytest.mark.parametrize("layout", ["S/V/A/1", "a/1"])
def test_corrected_header(desk: Desk, layout: str) -> None:
    desk.put({layout: instance(StudyID="OLD")})
    assert run(desk) == 0
    first = desk.there()
    desk.put({layout: instance(StudyID="NEW!")})
    assert run(desk) == 1
    assert (desk.there(), words(desk)) == (first, {"stale"})
    assert run(desk, "--exists", "replace") == 0
    assert desk.there().keys() == first.keys() and desk.there() != first
    assert run(desk) == 0


def test_corrected_patient_leaves_the_wrong_one(desk: Desk) -> None:
    """The same instances under another id, and in another subject's folder."""
    desk.put({"S/V/A/1": instance("P1"), "a/1": instance("P2", number=2)})
    assert run(desk) == 0
    first = desk.there()
    desk.put({"S/V/A/1": instance("P1", PatientID="P7"), "a/1": instance("P2", number=2, PatientID="P8")})
    assert run(desk, "--exists", "replace") == 0
    assert len(desk.there()) == 2
    assert not {path.split("/")[0] for path in desk.there()} & {path.split("/")[0] for path in first}


def test_stricter_profile(desk: Desk) -> None:
    desk.put({"S/V/A/1": instance(), "a/1": instance("P2")})
    assert run(desk) == 0
    first = desk.there()
    desk.rules(MORE)
    assert run(desk) == 1
    assert (desk.there(), words(desk)) == (first, {"stale"})
    assert run(desk, "--exists", "replace") == 0
    assert all(desk.there()[path] != first[path] for path in first) and desk.there().keys() == first.keys()
    assert (run(desk), words(desk)) == (0, {"unchanged"})


def test_another_key_stops_before_anything_is_written(desk: Desk) -> None:
    desk.put({"S/V/A/1": instance(), "a/1": instance("P2")})
    assert run(desk) == 0
    first, before = contents(desk.dest), contents(desk.reports)
    (desk.folder / "other").write_text("o" * 16 + "ther")
    assert run(desk, "--key-file", str(desk.folder / "other")) == 2
    assert run(desk, "--reports", str(desk.folder / "elsewhere")) == 2
    assert not list((desk.folder / "elsewhere").rglob("*.key"))
    assert (contents(desk.dest), contents(desk.reports)) == (first, before)
    assert run(desk, "--key-file", str(desk.folder / "other"), "--new-key") == 0
    assert len(desk.there()) == 2
    assert not {path for path in desk.there() if path in first and path.startswith("sub-")}
    assert run(desk) == 2  # the old key is no longer DEST's
    assert run(desk, "--key-file", str(desk.folder / "other")) == 0
    assert words(desk) == {"unchanged"}


def test_new_key_keeps_the_old_one(desk: Desk) -> None:
    desk.put({"S/V/A/1": instance()})
    assert run(desk) == 0
    (old,) = desk.private.glob("*.key")
    text, first = old.read_text(), desk.there()
    assert run(desk, "--new-key") == 0
    assert text in {path.read_text() for path in desk.private.glob("*.key")}
    assert len(desk.there()) == 1 and desk.there().keys() != first.keys()
    assert run(desk) == 0


def test_lost_reports_are_missed(desk: Desk) -> None:
    """Key and ledger are gone: no patient is doubled; with the key, what stands is known by its bytes."""
    desk.put({"S/V/A/1": instance(), "a/1": instance("P2")})
    assert run(desk) == 0
    first = desk.there()
    (desk.folder / "kept").write_bytes((desk.private / "secret.key").read_bytes())
    shutil.rmtree(desk.reports)
    assert run(desk) == 2
    assert desk.there() == first and not list(desk.folder.rglob("secret.key"))
    assert run(desk, "--key-file", str(desk.folder / "kept")) == 0
    assert (desk.there(), states(desk), words(desk)) == (first, ["skipped"] * 2, {"unchanged"})
    desk.rules(MORE)
    assert run(desk, "--key-file", str(desk.folder / "kept")) == 1
    assert (desk.there(), words(desk)) == (first, {"stale"})


def test_ledger_of_one_destination_says_nothing_of_another(desk: Desk) -> None:
    desk.put({"S/V/A/1": instance()})
    other = desk.folder / "other"
    assert run(desk) == 0
    assert run(desk, dest=other) == 0
    assert states(desk) == ["released"]
    assert contents(other) == desk.there()
    first = contents(other)
    for path in first:
        (desk.dest / path).unlink()
    assert run(desk, dest=other) == 0
    assert (words(desk), contents(other)) == ({"unchanged"}, first)
    assert run(desk) == 0
    assert (states(desk), desk.there()) == (["released"], first)


def test_users_file_under_our_old_name_stays(desk: Desk) -> None:
    desk.put({"S/V/A/1": instance()})
    assert run(desk) == 0
    (old,) = desk.there()
    (desk.dest / old).write_bytes(b"mine")
    desk.rules(PROFILE.replace("SOPInstanceUID\n      hashuid: true", "SOPInstanceUID\n      replace-with: 1.2.3"))
    assert run(desk, "--exists", "replace") == 0
    assert (desk.dest / old).read_bytes() == b"mine" and len(desk.there()) == 2
    assert "it stays" in desk.rows()[0]["reason"]
    assert run(desk, "--prune") == 0
    assert (desk.dest / old).read_bytes() == b"mine"


@pytest.mark.parametrize("damage", ["cut", "changed, size and time as before", "gone"])
def test_what_stands_is_looked_at(desk: Desk, damage: str) -> None:
    desk.put({"S/V/A/1": instance(), "S/V/A/2": instance(number=2)})
    assert run(desk) == 0
    first = desk.there()
    path = desk.dest / sorted(first)[0]
    status, data = path.stat(), path.read_bytes()
    if damage == "gone":
        path.unlink()
    else:
        path.write_bytes(data[:-10] if damage == "cut" else data[:-10] + bytes(10))
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    if damage.startswith("changed"):
        assert (run(desk), sorted(states(desk))) == (0, ["skipped", "skipped"])
    assert run(desk, "--check") == 0
    assert (desk.there(), sorted(states(desk))) == (first, ["released", "skipped"])


def test_failure_with_replace_takes_nothing_back(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """No space for the new one: the old one stands."""
    desk.put({"S/V/A/1": instance(), "S/V/A/2": instance(number=2)})
    assert run(desk) == 0
    first = desk.there()
    desk.rules(MORE)

    def full(*arguments: object, **options: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("fw_gear_deid.system.root._name", full)
    assert run(desk, "--exists", "replace") == 1
    monkeypatch.undo()
    assert (desk.there(), states(desk)) == (first, ["failed", "failed"])
    assert run(desk, "--exists", "replace") == 0
    assert desk.there().keys() == first.keys() and desk.there() != first


def test_old_name_that_cannot_be_removed_fails_the_new_one(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.put({"S/V/A/1": instance()})
    assert run(desk) == 0
    first = desk.there()
    desk.rules(PROFILE.replace("SOPInstanceUID\n      hashuid: true", "SOPInstanceUID\n      replace-with: 1.2.3"))
    remove = Root.remove

    def shut(root: Root, parts: list[str]) -> None:
        if "/".join(parts) in first:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        remove(root, parts)

    monkeypatch.setattr(Root, "remove", shut)
    assert run(desk, "--exists", "replace") == 1
    monkeypatch.undo()
    assert (desk.there(), states(desk)) == (first, ["failed"])
    assert run(desk, "--exists", "replace") == 0
    assert len(desk.there()) == 1 and desk.there().keys() != first.keys()


def test_stop_at_the_destination_is_no_failure_of_one_file(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where what stands there cannot be looked at any more: nothing further is tried."""
    desk.put({f"S/V/A/{n}": instance(number=n) for n in (1, 2, 3)})
    assert run(desk) == 0
    first = desk.there()
    desk.rules(MORE)
    tried = []

    def stop(sink: FolderSink, *arguments: object, **options: object) -> None:
        tried.append(1)
        monkeypatch.setattr(FolderSink, "stood", shut)
        raise StopRun("no permission")

    def shut(sink: FolderSink, destination: object) -> str:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(FolderSink, "put", stop)
    assert run(desk, "--exists", "replace") == 1
    monkeypatch.undo()
    assert (len(tried), states(desk)) == (1, ["failed", "not-reached", "not-reached"])
    assert desk.there() == first
    assert run(desk, "--exists", "replace") == 0
    assert desk.there().keys() == first.keys() and desk.there() != first


def test_refused_now_keeps_no_earlier_result(desk: Desk) -> None:
    desk.put({"S/V/A/1": instance(), "a/1": instance("P2")})
    assert run(desk) == 0
    desk.rules(PROFILE + "    - name: SeriesDescription\n      increment-date: true\n  date-increment: 3\n")
    assert run(desk, "--exists", "replace") == 1
    assert (states(desk), desk.there()) == (["refused", "refused"], {})


def test_withdrawn_sources_are_told_and_taken_back_when_asked(desk: Desk) -> None:
    desk.put({"S/V/A/1": instance(), "T/V/A/1": instance("P2"), "a/1": instance("P3")})
    assert run(desk) == 0
    first = desk.there()
    shutil.rmtree(desk.source / "T")
    (desk.source / "a/1").unlink()
    assert run(desk) == 0
    assert (desk.there(), states(desk)) == (first, ["skipped", "orphan", "orphan"])
    assert json.loads((desk.reports / "summary.json").read_text())["states"]["orphan"] == 2
    assert run(desk, "--prune", "--dry-run") == 0
    assert desk.there() == first
    assert run(desk, "--prune") == 0
    assert len(desk.there()) == 1
    assert (run(desk), states(desk)) == (0, ["skipped"])


def test_orphan_that_somebody_has_changed_stays_and_is_told_every_time(desk: Desk) -> None:
    desk.put({"S/V/A/1": instance(), "T/V/A/1": instance("P2")})
    assert run(desk) == 0
    shutil.rmtree(desk.source / "T")
    assert run(desk) == 0
    (orphan,) = (row for row in desk.rows() if row["state"] == "orphan")
    path = desk.dest / orphan["reason"].partition(": ")[0]
    path.write_bytes(b"mine")
    for _ in range(2):
        assert run(desk, "--prune") == 0
        assert path.read_bytes() == b"mine"
        assert states(desk) == ["skipped", "orphan"]
        assert desk.rows()[1]["reason"].endswith("it is not as this program left it: it stays")


@pytest.mark.parametrize("trouble", ["empty", "unreadable"])
def test_prune_needs_a_source_that_was_read(desk: Desk, trouble: str) -> None:
    """A volume that is not mounted is no reason to take everything back."""
    desk.put({"S/V/A/1": instance(), "T/V/A/1": instance("P2")})
    assert run(desk) == 0
    first = desk.there()
    shutil.rmtree(desk.source / "T")
    if trouble == "empty":
        shutil.rmtree(desk.source / "S")
    else:
        (desk.source / "S/V/A/1").unlink()
        (desk.source / "S/V/A/1").symlink_to("/nowhere")
    run(desk, "--prune")
    assert desk.there() == first
    assert "--prune" in json.loads((desk.reports / "summary.json").read_text())["notes"][0]


def test_what_is_left_out_is_no_orphan(desk: Desk) -> None:
    desk.put({"S/V/A/1": instance(), "T/V/A/1": instance("P2")})
    assert run(desk) == 0
    first = desk.there()
    for options in (["--only", "S"], ["--exclude", "T"], ["--include", "S"]):
        assert run(desk, *options, "--prune") == 0
        assert (desk.there(), "orphan" in states(desk)) == (first, False)


@pytest.mark.parametrize("options", [["--exclude", "3"], ["--include", "1", "2"], ["--only", "d"]])
def test_prune_is_for_all_of_a_source(desk: Desk, options: list[str]) -> None:
    """What filters leave out may have been renamed: nothing is known of it."""
    desk.put({f"d/{n}": instance(number=n) for n in (1, 2, 3)} | {"e/1": instance("P2")})
    assert run(desk) == 0
    first = desk.there()
    (desk.source / "e/1").rename(desk.source / "e/3")
    run(desk, *options, "--prune", "--exists", "replace")
    assert desk.there() == first
    assert "--prune" in json.loads((desk.reports / "summary.json").read_text())["notes"][0]


def test_series_over_two_days_is_not_halved(desk: Desk) -> None:
    """The second half of a series comes in a folder of its own: the first half stays what it is."""
    for number in (1, 2):
        (desk.folder / f"day{number}").mkdir()
        (desk.folder / f"day{number}" / "IM").write_bytes(instance(number=number))
    assert run(desk, source=desk.folder / "day1") == 0
    first = desk.there()
    for exists in ("skip", "replace"):
        assert run(desk, "--exists", exists, source=desk.folder / "day2") == 1
        assert (desk.there(), states(desk)[0]) == (first, "refused")


def test_label_that_another_source_holds(desk: Desk) -> None:
    """Two runs, two patients, one constant for a label: they do not meet below it."""
    desk.rules(PROFILE.replace("PatientID\n      hash: true", "PatientID\n      replace-with: SAME"))
    for patient in ("P1", "P2"):
        path = desk.folder / patient / "1"
        path.parent.mkdir()
        path.write_bytes(instance(patient))
        assert run(desk, source=path.parent) == 0
    assert len({path.split("/")[0] for path in desk.there()}) == 2


def test_rerun_that_changes_nothing_writes_once(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.put({f"S/V/A/{n}": instance(number=n) for n in range(30)})
    assert run(desk) == 0
    seen: list[str] = []
    connect = sqlite3.connect

    def watched(*arguments: object, **options: object) -> sqlite3.Connection:
        connection = connect(*arguments, **options)  # type: ignore[call-overload]
        connection.set_trace_callback(seen.append)
        return connection

    monkeypatch.setattr(sqlite3, "connect", watched)
    assert run(desk) == 0
    assert words(desk) == {"unchanged"}
    assert len([text for text in seen if text == "COMMIT"]) <= 6


def test_two_files_of_one_instance_in_one_subject_stay_both(desk: Desk) -> None:
    """A corrected copy in another acquisition, an archive beside its instance: the rerun finds each in order."""
    desk.put({
        "S/V/A/1": instance(), "S/V/B/1": instance(StudyID="NEW"), "S/V/A/2.zip": packed({"a": instance(StudyID="Z")}),
    })  # fmt: skip
    assert run(desk) == 0
    first = desk.there()
    assert len(first) == 3
    for options in ([], ["--exists", "replace"]):
        assert run(desk, *options) == 0
        assert (desk.there(), states(desk), words(desk)) == (first, ["skipped"] * 3, {"unchanged"})


def test_refused_instance_does_not_take_its_series_back(desk: Desk) -> None:
    """One instance of a loose series clashes with another file: the others were asked for, and stay."""
    desk.put({f"a/{number}": instance(number=number) for number in (1, 2)})
    assert run(desk) == 0
    first = desk.there()
    desk.put({"b/2": instance(number=2, StudyID="OTHER")})
    assert run(desk) == 1
    assert (desk.there(), states(desk)) == (first, ["skipped", "refused", "refused"])
    assert run(desk, "--exists", "replace") == 1
    assert (desk.there().keys(), states(desk)) == (first.keys(), ["released", "refused", "refused"])
    assert desk.there() != first


def test_series_refused_file_by_file_is_taken_back(desk: Desk) -> None:
    desk.put({f"a/{number}": instance(number=number) for number in (1, 2)})
    assert run(desk) == 0
    desk.put({f"b/{number}": instance(number=number, StudyID="OTHER") for number in (1, 2)})
    assert run(desk) == 1
    assert (desk.there(), set(states(desk))) == ({}, {"refused"})


def test_folder_whose_file_was_damaged_is_still_who_it_was(desk: Desk) -> None:
    """What a run cannot read tells nothing: the birth date that an earlier one read still counts."""
    desk.put({"S/V/A/1": instance("", PatientID="", PatientBirthDate="19700101")})
    assert run(desk) == 0
    first = desk.there()
    desk.put({"S/V/A/1": b"", "S/V/A/2": instance("", PatientID="", number=2)})
    run(desk)
    (desk.source / "S/V/A/1").unlink()
    desk.put({"S/V/A/2": instance("x", PatientID="", PatientBirthDate="19800202")})
    assert run(desk) == 1
    assert "another birth date" in desk.reasons()["S/V/A/2"]
    assert first.items() <= desk.there().items()


def test_corrected_birth_date(desk: Desk) -> None:
    """Of a patient of whom nothing else stands; beside what another source has of the old one it is refused."""
    desk.put({"a/1": instance(PatientBirthDate="19700101")})
    assert run(desk) == 0
    desk.put({"a/1": instance(PatientBirthDate="19710101")})
    assert run(desk, "--exists", "replace") == 0
    assert (len(desk.there()), states(desk)) == (1, ["released"])
    assert run(desk) == 0
    first = desk.there()
    (desk.source / "a/1").unlink()
    desk.put({"a/2": instance(series=2, PatientBirthDate="19720101")})
    assert run(desk, "--exists", "replace") == 1
    assert desk.there() == first and states(desk) == ["refused", "orphan"]


def test_renamed_file_that_is_left_out_is_not_pruned(desk: Desk) -> None:
    desk.put({"S/V/A/1": instance(), "T/V/A/1": instance("P2")})
    assert run(desk) == 0
    first = desk.there()
    (desk.source / "T/V/A/1").rename(desk.source / "T/V/A/2")
    assert run(desk, "--only", "S", "--prune") == 0
    assert desk.there() == first


def test_orphan_that_is_gone_from_the_destination_is_none(desk: Desk) -> None:
    desk.put({"S/V/A/1": instance(), "T/V/A/1": instance("P2")})
    assert run(desk) == 0
    (desk.source / "T/V/A/1").unlink()
    for path in desk.there():
        (desk.dest / path).unlink()
    assert run(desk) == 0
    assert states(desk) == ["released"]


def test_series_that_was_two_patients_leaves_nothing_untold(desk: Desk) -> None:
    """One of its instances belongs to somebody else now, and both results get other names."""
    desk.put({f"a/{number}": instance(number=number) for number in (1, 2)})
    assert run(desk) == 0
    (first,) = desk.there()
    desk.put({f"a/{n}": instance(number=n, PatientID=f"P{n + 6}", SeriesInstanceUID=f"2.25.9.{n}") for n in (1, 2)})
    assert run(desk, "--exists", "replace") == 0
    assert (len(desk.there()), sorted(states(desk))) == (3, ["orphan", "released", "released"])
    assert run(desk, "--prune") == 0
    assert len(desk.there()) == 2 and first not in desk.there()
