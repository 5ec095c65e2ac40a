"""Runs over stocks of people: who comes out where, told apart and together, and what is said of it."""

from __future__ import annotations

import io
import zipfile
from dataclasses import replace
from datetime import date
from pathlib import Path

import pydicom
import pytest

from fw_gear_deid.keys import Keyring
from fw_gear_deid.ledger.state import State
from fw_gear_deid.model.person import NO_ID, SEVERAL
from fw_gear_deid.model.ports import Item
from fw_gear_deid.profile.parse import parse_profile
from fw_gear_deid.profile.values.book import ProfileBook
from fw_gear_deid.runner.memory import Memory
from fw_gear_deid.runner.pool import Pool
from fw_gear_deid.runner.prepare import Eyes, look_at_people
from fw_gear_deid.runner.progress import Manner, Progress
from fw_gear_deid.runner.told import warned
from fw_gear_deid.runner.workers import Settings
from fw_gear_deid.stores.folder import FolderSource
from tests.desk import PROFILE, Desk, instance, packed

CONSTANT = PROFILE.replace("PatientID\n      hash: true", "PatientID\n      replace-with: REDACTED")
JITTER = "".join(
    f"    - name: {name}\n      jitter: true\n      jitter-range: 3000\n" for name in ("StudyDate", "PatientBirthDate")
)
BORN = {"PatientBirthDate": "19700115", "StudyDate": "20200301"}


def subjects(desk: Desk) -> set[str]:
    return {path.split("/")[0] for path in desk.there()}


def released(desk: Desk) -> dict[str, list[pydicom.Dataset]]:
    """Return the data sets at the destination by subject folder."""
    found: dict[str, list[pydicom.Dataset]] = {}
    for path, data in desk.there().items():
        members = [data]
        if data[:2] == b"PK":
            with zipfile.ZipFile(io.BytesIO(data)) as archive:
                members = [archive.read(name) for name in archive.namelist()]
        found.setdefault(path.split("/")[0], []).extend(pydicom.dcmread(io.BytesIO(one)) for one in members)
    return found


def test_loose_files_without_an_id_are_refused_by_path(desk: Desk) -> None:
    desk.put({"a": instance(""), "b": instance("ANON"), "c": instance("P1"), "d.zip": packed({"1": instance("")})})
    assert desk.run().code == 1
    assert desk.reasons() == {"a": NO_ID, "b": NO_ID, "c": "", "d.zip": NO_ID}
    assert len(subjects(desk)) == 1


def test_loose_files_without_an_id_are_told_apart_when_only_warned_of(desk: Desk) -> None:
    desk.put({"a": instance("", study=1), "b": instance("", study=2), "c": instance("ANON", study=3)})
    done = desk.run("--identity", "warn")
    assert (done.code, len(subjects(desk))) == (0, 3), done.err
    assert done.err.count("warning: no usable PatientID") == 3
    assert "warning" in done.err.splitlines()[-1]  # after the totals, where it is seen


@pytest.mark.parametrize("profile", [PROFILE, CONSTANT], ids=["hash", "constant"])
def test_a_tree_without_ids_keeps_its_subjects(desk: Desk, profile: str) -> None:
    desk.rules(profile)
    desk.put({f"S{n}/V{v}/A/1": instance("", study=10 * n + v) for n in range(3) for v in range(2)})
    assert desk.run().code == 0
    assert {name: len(sets) for name, sets in released(desk).items()} == dict.fromkeys(subjects(desk), 2)
    assert len(subjects(desk)) == 3


def test_a_folder_named_as_another_patients_id(desk: Desk) -> None:
    desk.put({"P2/V/A/1": instance("", study=1), "x/1": instance("P2", study=2), "P1/V/A/1": instance("P3", study=3)})
    assert desk.run().code == 0
    assert len(subjects(desk)) == 3


def test_a_constant_is_no_label(desk: Desk) -> None:
    desk.rules(CONSTANT)
    desk.put({f"{n}": instance(f"P{n}", study=n) for n in range(3)})
    assert desk.run().code == 0
    found = released(desk)
    assert len(found) == 3 and all(name.startswith("sub-") for name in found)
    assert {one.PatientID for sets in found.values() for one in sets} == {"REDACTED"}


def test_a_constant_names_the_only_patient(desk: Desk) -> None:
    desk.rules(CONSTANT)
    desk.put({"1": instance("P1", study=1), "2": instance("P1", study=2)})
    assert desk.run().code == 0
    assert subjects(desk) == {"REDACTED"}


def test_rules_for_labels_count_for_loose_files(desk: Desk) -> None:
    rules = "flywheel:\n  subject:\n    fields:\n      - name: label\n        regex-sub:\n"
    rules += "          - {input-regex: '^P(?P<n>.+)$', output: 'case-{n}'}\n  session:\n    fields:\n"
    rules += "      - name: label\n        replace-with: visit\n  acquisition:\n    fields:\n      - name: label\n        replace-with: scan\n"
    desk.rules(PROFILE + rules)
    desk.put({"1": instance("P1"), "2": instance("P2"), "3": instance("X3")})
    assert desk.run().code == 1
    assert {path.rpartition("/")[0] for path in desk.there()} == {"case-1/visit/scan", "case-2/visit/scan"}
    assert desk.states()["3"] == "refused"


def test_several_patients_in_one_archive(desk: Desk) -> None:
    """Outside a tree by id, in a tree by birth date, also behind the first member."""
    two = packed({"a": instance("P1"), "b": instance("P2")})
    dates = [instance("P5", number=n, PatientBirthDate=born) for n, born in enumerate(("", "19700101", "19800101"))]
    desk.put({
        "x.zip": two, "S1/V/A/y.zip": packed({str(n): data for n, data in enumerate(dates)}), "S1/V/A/1": instance("P5"),
        "S2/V/A/z.zip": packed({"a": instance("P8"), "b": instance("P9", study=2)}),
    })  # fmt: skip
    assert desk.run().code == 1
    assert desk.reasons() == {
        "x.zip": SEVERAL, "S1/V/A/y.zip": f"member 3: {SEVERAL}", "S1/V/A/1": "", "S2/V/A/z.zip": "",
    }  # fmt: skip
    assert desk.run("--identity", "warn").code == 0
    assert set(desk.states().values()) <= {"released", "skipped"}


def test_a_birth_date_behind_the_first_member_that_contradicts_the_subject(desk: Desk) -> None:
    archive = packed({"a": instance("P1"), "b": instance("P1", number=2, PatientBirthDate="19800101")})
    desk.put({"S/V/A/1": instance("P1", number=3, PatientBirthDate="19700101"), "S/V/B/x.zip": archive})
    assert desk.run().code == 1
    assert "birth date contradicts" in desk.reasons()["S/V/B/x.zip"]


def test_one_shift_for_a_person_wherever_the_files_lie(desk: Desk) -> None:
    """In the tree, in one of its subjects alone, loose, in an archive: one label, one shift; another person: others."""
    desk.rules(PROFILE + JITTER)
    files = {
        f"{name}/V{v}/A/1": instance(patient, study=v, **BORN)
        for name, patient in (("S1", "P1"), ("S2", "P2"))
        for v in (1, 2)
    }
    desk.put(
        files | {"loose/1": instance("p1 ", study=3, **BORN), "z.zip": packed({"1": instance("P1", study=4, **BORN)})}
    )
    assert desk.run().code == 0
    whole = released(desk)
    assert sorted(len(sets) for sets in whole.values()) == [2, 4]
    shifts = {name: {(one.StudyDate, one.PatientBirthDate) for one in sets} for name, sets in whole.items()}
    assert all(len(found) == 1 for found in shifts.values())
    assert len(set.union(*shifts.values())) == 2
    alone = Desk.__new__(Desk)
    alone.folder, alone.dest, alone.reports, alone.profile = (
        desk.folder,
        desk.folder / "alone",
        desk.folder / "rep",
        desk.profile,
    )
    assert desk.run("--reports", str(alone.reports), source=desk.source / "S1", dest=alone.dest).code == 0
    (sets,) = released(alone).values()
    assert {(one.StudyDate, one.PatientBirthDate) for one in sets} in shifts.values()


@pytest.mark.parametrize("files", ["loose", "tree"])
def test_copies_are_named(desk: Desk, files: str) -> None:
    folder = "" if files == "loose" else "S/V/A/"
    desk.put({f"{folder}{name}": instance(number=n) for n in (1, 2) for name in (f"IM{n}", f"IM{n} (1)")})
    for state in ("released", "skipped"):
        assert desk.run().code == 0
        assert desk.states()[f"{folder}IM1"] == state
        assert desk.reasons()[f"{folder}IM2 (1)"] == f"copy of {folder}IM2"
        assert sum(len(sets) for sets in released(desk).values()) == 2


def test_one_instance_with_two_contents_does_not_refuse_its_series(desk: Desk) -> None:
    desk.put({"a": instance(number=1), "b": instance(number=1, StudyID="x"), "c": instance(number=2)})
    assert desk.run().code == 1
    assert desk.states() == {"a": "refused", "b": "refused", "c": "released"}
    assert desk.reasons()["a"].endswith(": see b") and desk.reasons()["b"].endswith(": see a")


@pytest.mark.parametrize("patients", [("P1", "P2"), ("", "P2")], ids=["ids", "one blank"])
def test_only_one_subject_is_who_it_is_among_all(desk: Desk, patients: tuple[str, str]) -> None:
    """An id below two first folders tells nobody: also where one of them is left out."""
    desk.put(
        {f"S{n}/V/A/1": instance("X", study=n) for n in (1, 2)}
        | {f"T{n}/V/A/1": instance(one) for n, one in enumerate(patients)}
    )
    desk.run()
    whole = subjects(desk)
    for name in ("S1", "S2", "T0", "T1"):
        part = desk.folder / f"only-{name}"
        assert desk.run("--only", name, "--reports", str(desk.folder / f"r{name}"), dest=part).code == 0
        assert {path.name for path in part.iterdir() if path.name[0] != "."} < whole


def test_warnings_are_told_by_path_on_a_terminal_and_by_row_in_a_log(desk: Desk) -> None:
    desk.put(
        {"a": instance("P1"), "b": instance("P2", StudyInstanceUID="2.25.77.1.129.1", number=7), "c": instance("P3")}
    )
    done = desk.run()
    assert done.code == 0
    text = "one study (StudyInstanceUID) under two PatientIDs or subjects"
    assert f"warning: {text}: rows 2, 3 of files.csv" in done.err  # no terminal
    (warning,) = desk.summary()["identity_warnings"]
    assert warning == {"what": text, "rows": [2, 3]}
    assert warned(desk.summary(), {2: "a", 3: "b", 4: "c"}) == [f"warning: {text}: a, b"]


PSEUDONYM = PROFILE.replace("PatientID\n      hash: true", 'PatientID\n      replace-with: "{{ subject.pseudonym }}"')
PSEUDONYM = PSEUDONYM.replace("  fields:\n", "  fields:\n    - requires: fw-gear-deid\n")
VISIT = "    - name: StudyID\n      replace-with: '{{ session.pseudonym }}'\n"


def test_the_pseudonym_is_one_text_everywhere(desk: Desk) -> None:
    """In headers, folders, archives, of trees and loose, and in one subject of the tree alone; no mapping is needed."""
    desk.rules(PSEUDONYM + VISIT)
    desk.put({
        "S1/V/A/1": instance("P1", study=1), "S2/V/A/1": instance("P2", study=2), "x/1": instance("P1", study=3),
        "z.zip": packed({"a": instance("P3", study=4)}),
    })  # fmt: skip
    done = desk.run()
    assert done.code == 0, done.err
    found = released(desk)
    assert len(found) == 3
    assert all({one.PatientID for one in sets} == {name} for name, sets in found.items())
    trees = [path.split("/")[:2] for path in desk.there() if path.split("/")[1].startswith("ses-")]
    assert len(trees) == 2
    assert all(visit in {one.StudyID for one in found[name]} for name, visit in trees)
    alone = desk.folder / "alone"
    assert desk.run("--reports", str(desk.folder / "r"), source=desk.source / "S1", dest=alone).code == 0
    assert {path.name for path in alone.iterdir() if path.name[0] != "."} < found.keys()
    assert "warning" not in desk.run("--quiet").err


@pytest.mark.parametrize("profile", ["research-site", "block-list", "keep-list", "stored-archives"])
def test_files_of_nobody_need_no_values(desk: Desk, profile: str) -> None:
    """What lies beside images on a disc is left out, and a damaged image says what is wrong with it."""
    desk.put({"DICOM/IM1": instance(), "README.txt": "read me", "VIEWER.EXE": b"MZ\0\0", "a/b/c.pdf": b"%PDF-1.4 x"})
    assert desk.run("--profile", profile).code == 0
    assert desk.states() == {"DICOM/IM1": "released"} | dict.fromkeys(
        ("README.txt", "VIEWER.EXE", "a/b/c.pdf"), "skipped"
    )
    desk.put({"cut.dcm": instance("P2")[:-3]})
    assert desk.run("--profile", profile).code == 1
    assert "variable" not in desk.reasons()["cut.dcm"] and desk.states()["cut.dcm"] == "refused"


def test_the_pseudonym_in_rules_for_containers(desk: Desk) -> None:
    desk.rules(
        PSEUDONYM
        + "flywheel:\n  subject:\n    fields:\n      - name: label\n        replace-with: 'X-{{ subject.pseudonym }}'\n"
    )
    desk.put({"S1/V/A/1": instance("P1"), "x/1": instance("P2")})
    assert desk.run().code == 0
    assert set(released(desk)) == {f"X-{one.PatientID}" for sets in released(desk).values() for one in sets}


@pytest.mark.parametrize("name", ["block-list", "keep-list", "research-site", "stored-archives"])
def test_shipped_profiles_tell_people_of_a_flat_folder_apart(desk: Desk, name: str) -> None:
    desk.put({f"{n}.dcm": instance(f"P{n}", study=n) for n in range(3)})
    assert desk.run("--profile", name).code == 0
    assert {name: {one.PatientID for one in sets} for name, sets in released(desk).items()} == {
        name: {name} for name in subjects(desk)
    }
    assert len(subjects(desk)) == 3


def test_who_a_mapping_knows_needs_no_id(desk: Desk) -> None:
    """By accession number: two studies with one new id are of one person, who has one shift."""
    rules = PROFILE.replace("PatientID\n      hash: true", "PatientID\n      replace-with: '{{ ID }}'") + JITTER
    desk.rules(rules)
    desk.put({str(n): instance("", study=n, AccessionNumber=f"A{n}", **BORN) for n in range(4)})
    table = desk.folder / "m.csv"
    table.write_text("AccessionNumber,ID\nA0,N-1\nA1,N-1\nA2,N-2\n")
    assert desk.run("--mapping", str(table)).code == 1
    found = released(desk)
    assert {name: len(sets) for name, sets in found.items()} == {"N-1": 2, "N-2": 1}
    assert len({one.StudyDate for one in found["N-1"]}) == 1
    assert desk.states()["3"] == "refused"


def test_what_is_known_of_a_file_is_not_read_again(desk: Desk) -> None:
    """The look of an earlier run counts, from the ledger, for files of the same bytes."""
    desk.put({"S1/V/A/1": instance("P1"), "x": instance("P1", study=2), "y": instance("P2", study=3)})
    source, reads = FolderSource(desk.source), []

    class Counting(FolderSource):
        def fetch(self, item: Item, workspace: Path) -> Path:
            reads.append(item.id)
            return super().fetch(item, workspace)

    items = list(source.items())
    book = ProfileBook(parse_profile(PROFILE, "p.yaml"))
    settings = Settings(
        Counting(desk.source), book, Keyring(b"k" * 32), date(2026, 1, 1), "off", desk.folder, originals=False
    )
    branches = source.containers(items)
    eyes = Eyes(settings, Pool(settings, 1), lambda items: Progress("looking", items, Manner(quiet=True), {}))
    people, seen = look_at_people(items, branches, eyes)
    assert sorted(reads) == ["S1/V/A/1", "x", "y"]
    state = State(desk.folder / "state.sqlite")
    memory = Memory(state, source, settings.keyring, "profile")
    memory.remember(items, seen)
    assert look_at_people(items, branches, eyes, memory=memory)[0] == people
    assert len(reads) == 3
    assert look_at_people(items, branches, eyes, memory=replace(memory, reading="another"))[0] == people
    assert len(reads) == 6
    state.close()


@pytest.mark.parametrize("place", ["tree", "loose"])
def test_subjects_that_a_mapping_joins_are_one_person(desk: Desk, place: str) -> None:
    """Visits that were subjects: one folder, one shift; who is not joined has another."""
    desk.rules(PSEUDONYM.replace("subject.pseudonym", "ID") + JITTER)
    ids, folder = ("S0", "S1", "S2"), "/V{n}/A/1" if place == "tree" else ""
    desk.put({f"{one}{folder.format(n=n)}": instance(one, study=n, **BORN) for n, one in enumerate(ids)})
    table = desk.folder / "m.csv"
    table.write_text(f"{'subject.label' if place == 'tree' else 'PatientID'},ID\nS0,N-1\nS1,N-1\nS2,N-2\n")
    assert desk.run("--mapping", str(table), "--allow-shared-ids").code == 0
    shifts = {(one.PatientID, one.PatientBirthDate, one.StudyDate) for sets in released(desk).values() for one in sets}
    assert len(shifts) == len(subjects(desk)) == 2
