"""Mapping tables at work: by which key a file finds its row, who is kept out, and the table that a run gives back."""

from __future__ import annotations

import csv
import io
import zipfile
from pathlib import Path
from typing import Any

import pydicom
import pytest

from tests.desk import Desk, call, instance, packed

PROFILE = """\
name: mapped
dicom:
  fields:
    - name: PatientID
      replace-with: "{{ NEWID }}"
    - name: PatientName
      remove: true
"""
HASHED = PROFILE.replace('replace-with: "{{ NEWID }}"', "hash: true") + (
    "    - name: StudyInstanceUID\n      hashuid: true\n    - name: AccessionNumber\n      remove: true\n"
)


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    desk = Desk(tmp_path)
    desk.rules(PROFILE)
    return desk


def table(desk: Desk, text: str, name: str = "m.csv") -> str:
    path = desk.folder / name
    path.write_text(text, encoding="utf-8")
    return str(path)


def new_ids(desk: Desk) -> dict[str, str]:
    """Return PatientID by SOPInstanceUID of everything at DEST."""
    found = {}
    for data in desk.there().values():
        for one in _data_sets(data):
            found[str(one.SOPInstanceUID)] = str(one.PatientID)
    return found


def _data_sets(data: bytes) -> list[Any]:
    if data[:2] != b"PK":
        return [pydicom.dcmread(io.BytesIO(data))]
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return [pydicom.dcmread(io.BytesIO(archive.read(name))) for name in archive.namelist()]


def rows(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(path.read_bytes().decode(), newline="")))


KEYS = {
    "PatientID": ("P1", "P2"),
    "AccessionNumber": ("A1", "A2"),
    "StudyInstanceUID": ("2.25.77.1.129.1", "2.25.77.1.130.1"),
}


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("layout", ["loose", "tree", "archive"])
def test_ids_of_headers_find_their_row_everywhere(desk: Desk, key: str, layout: str) -> None:
    for patient, accession in (("P1", "A1"), ("P2", "A2"), ("P3", "A3")):
        data = instance(patient, AccessionNumber=accession)
        if layout == "loose":
            desk.put({f"{patient}.dcm": data})
        elif layout == "tree":
            desk.put({f"{patient}/V/A/1.dcm": data, f"{patient}/V/A/notes.pdf": b"%PDF"})
        else:
            desk.put({f"{patient}/V/A/s.zip": packed({"1.dcm": data, "x.txt": b"x"})})
    one, two = KEYS[key]
    done = desk.run("--mapping", table(desk, f"NEWID;{key}\nN-1;{one}\nN-2;{two}\nN-9;nobody\n"))
    assert done.code == 1
    assert sorted(new_ids(desk).values()) == ["N-1", "N-2"]
    refused = [reason for name, reason in desk.reasons().items() if desk.states()[name] == "refused"]
    assert refused == [f"m.csv has no row for its {key}: add one, or leave the file out"]
    assert desk.summary()["mapping"]["unused_rows"] == [4]
    assert "note: 1 row was used by nothing in this run, of the mapping's 3: 4" in done.err


def test_padding_does_not_count_and_everything_else_does(desk: Desk) -> None:
    desk.put({"a": instance("P1", PatientID="P1  "), "b": instance("P2", PatientID="p01")})
    assert desk.run("--mapping", table(desk, "PatientID,NEWID\nP1,N-1\nP1x,N-2\n")).code == 1
    assert list(new_ids(desk).values()) == ["N-1"]
    assert desk.reasons()["b"] == "m.csv has no row for its PatientID: row 2 differs only by case and leading zeros"


def test_an_archive_or_series_agrees_on_the_key(desk: Desk) -> None:
    a, b = (instance(number=number, AccessionNumber=text) for number, text in ((1, "A1"), (2, "A2")))
    desk.put({"S/V/A/s.zip": packed({"1": a, "2": b}), "x1": a, "x2": b})
    desk.put({"T/V/A/s.zip": packed({"1": instance("P2", AccessionNumber="A1")})})
    table_ = table(desk, "AccessionNumber,NEWID\nA1,N-1\nA2,N-2\n")
    assert desk.run("--mapping", table_, "--allow-shared-ids").code == 1
    told = "its AccessionNumber, by which the mapping goes, is not that of the first one"
    assert desk.reasons()["S/V/A/s.zip"] == f"member 2: {told}"
    assert desk.reasons()["x1"] == desk.reasons()["x2"] == f"instance 2 of the series: {told}"
    assert desk.states()["T/V/A/s.zip"] == "released"


def test_by_labels_loose_files_are_refused_and_told_what_to_do(desk: Desk) -> None:
    desk.put({"1.dcm": instance()})
    assert desk.run("--mapping", table(desk, "subject.label,NEWID\nP1,N-1\n")).code == 1
    assert "give the mapping a column PatientID instead" in desk.reasons()["1.dcm"]


def test_a_folder_without_a_row_is_named(desk: Desk) -> None:
    desk.put({"S1/V/A/1": instance(), "S2/V/A/1": instance("P2"), "sub 3/V/A/1": instance("P3")})
    done = desk.run("--mapping", table(desk, "subject.label,NEWID\nS1,N-1\nSUB 3,N-3\n"))
    assert (done.code, desk.dest.exists()) == (2, False)
    assert "the mapping has no row: subject S2" in done.err
    assert "m.csv row 3 differs only by case from a subject that has no row" in done.err


def test_who_is_left_out_needs_no_row(desk: Desk) -> None:
    desk.put({f"S{number}/V/A/1": instance(f"P{number}") for number in (1, 2)})
    table_ = table(desk, "subject.label,NEWID\nS1,N-1\n")
    for asked in (["--only", "S1"], ["--exclude", "S2"]):
        done = desk.run("--mapping", table_, *asked)
        assert done.code == 0, done.err
        assert desk.states()["S2/V/A/1"] == "skipped" and desk.reasons()["S2/V/A/1"].startswith("excluded")
    assert list(new_ids(desk).values()) == ["N-1"]


def test_studies_of_two_patients_do_not_share_a_new_id(desk: Desk) -> None:
    for patient in ("P1", "P2"):
        desk.put({f"{patient}/V/A/{n}": instance(patient, n, AccessionNumber=f"{patient}-{n}") for n in (1, 2)})
    table_ = table(desk, "AccessionNumber,NEWID\nP1-1,N-1\nP1-2,N-1\nP2-1,N-1\nP2-2,N-2\n")
    done = desk.run("--mapping", table_)
    assert (done.code, desk.dest.exists()) == (2, False)
    assert "2 patients would get one new id; --allow-shared-ids lets them: m.csv rows 2, 3, 4" in done.err
    assert desk.run("--mapping", table_, "--allow-shared-ids").code == 0
    assert sorted(new_ids(desk).values()) == ["N-1", "N-1", "N-1", "N-2"]


def test_another_row_makes_its_file_anew(desk: Desk) -> None:
    desk.put({"1": instance(), "2": instance("P2")})
    one, two = ("released", "released"), ("skipped", "skipped")
    for text, states in (("N-2", one), ("N-2", two), ("N-3", ("skipped", "released"))):
        assert (
            desk.run(
                "--exists", "replace", "--mapping", table(desk, f"PatientID,NEWID\nP1,N-1\nP2,{text}\nP9,N-9\n")
            ).code
            == 0
        )
        assert desk.states() == dict(zip("12", states, strict=True))
        assert desk.summary()["mapping"]["unused_rows"] == [4]
    assert sorted(new_ids(desk).values()) == ["N-1", "N-3"]


def test_rows_said_twice_are_noted(desk: Desk) -> None:
    desk.put({"1": instance()})
    done = desk.run("--mapping", table(desk, "PatientID,NEWID\nP1,N-1\nP1,N-1\n"))
    assert done.code == 0
    assert "note: m.csv: the same as an earlier row, and counted once: row 3" in done.err


# -- preview -------------------------------------------------------------------------------------------


def test_preview_shows_what_a_table_does(desk: Desk) -> None:
    desk.put({"S1/V/A/1": instance(), "S2/V/A/1": instance("P2"), "S2/V/A/z.zip": packed({"1": instance("P3")})})
    by_id = table(desk, "PatientID,NEWID\nP1,N-1\nP3,N-3\n")
    done = call("preview", str(desk.source), "--profile", str(desk.profile), "--mapping", by_id)
    assert done.code == 1
    assert "'P1' -> 'N-1'" in done.out and "'P3' -> 'N-3'" in done.out
    assert "refused: m.csv has no row for its PatientID: add one, or leave the file out" in done.out
    by_label = table(desk, "subject.label,NEWID\nS1,N-1\nS2,N-2\n")
    done = call("preview", str(desk.source), "--profile", str(desk.profile), "--mapping", by_label)
    assert done.code == 0
    assert "'P1' -> 'N-1'" in done.out and "'P3' -> 'N-2'" in done.out
    file = str(desk.source / "S1/V/A/1")
    done = call("preview", file, "--profile", str(desk.profile), "--mapping", by_label)
    assert done.code == 1
    assert "m.csv goes by subject.label" in done.out
    by_label = table(desk, "subject.label,NEWID\nS1,N-1\n")
    done = call("preview", str(desk.source), "--profile", str(desk.profile), "--mapping", by_label)
    assert (done.code, done.out) == (2, "")
    assert "the mapping has no row: subject S2" in done.err


# -- old and new ids -----------------------------------------------------------------------------------


def test_ids_are_written_when_asked_for_and_are_a_mapping(desk: Desk) -> None:
    desk.rules(HASHED)
    desk.put(
        {f"S/V/A/{n}": instance(number=n, series=1 + n // 2, AccessionNumber="=A1") for n in (1, 2, 3)}
        | {"T/V/A/z.zip": packed({str(n): instance("P2", number=n) for n in (1, 2)}), "T/V/A/bad": instance()[:-4]}
    )
    assert desk.run().code == 1
    assert not (desk.reports / "private" / "ids.csv").exists()
    assert desk.run("--exists", "replace", "--ids").code == 1
    path = desk.reports / "private" / "ids.csv"
    found = rows(path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert list(found[0]) == [
        "PatientID", "StudyInstanceUID", "SeriesInstanceUID", "AccessionNumber",
        "new.PatientID", "new.StudyInstanceUID", "new.SeriesInstanceUID", "new.AccessionNumber",
    ]  # fmt: skip
    uids = [one["SeriesInstanceUID"].removeprefix("2.25.77.1.") for one in found]
    assert uids == ["129.1.1", "129.1.2", "130.1.1"]
    assert [one["AccessionNumber"] for one in found] == ["'=A1", "'=A1", ""]
    assert {one["PatientID"]: one["new.PatientID"] for one in found} == {
        "P1": new_ids(desk)["2.25.77.1.129.1.1.1"], "P2": new_ids(desk)["2.25.77.1.130.1.1.1"],
    }  # fmt: skip
    assert "P1" not in (desk.reports / "private" / "files.csv").read_text()

    # the next delivery of these patients, of another place, gets the same ids
    (desk.folder / "later").mkdir()
    seeded = Desk(desk.folder / "later")
    seeded.rules(PROFILE.replace("NEWID", "new.PatientID"))
    seeded.put({"a": instance("P2", study=7), "b": instance("P9")})
    assert seeded.run("--mapping", str(path)).code == 1
    assert list(new_ids(seeded).values()) == [found[2]["new.PatientID"]]


def test_ids_of_earlier_runs_stay(desk: Desk) -> None:
    desk.rules(HASHED)
    desk.put({"1": instance(), "2": instance("P2")})
    path = desk.folder / "keep" / "ids.csv"
    assert desk.run("--ids", str(path)).code == 0
    before = rows(path)
    desk.put({"3": instance("P3")})
    done = desk.run("--ids", str(path))
    assert done.code == 0
    assert {name for name, state in desk.states().items() if state == "skipped"} == {"1", "2"}
    assert [one["PatientID"] for one in rows(path)] == ["P1", "P2", "P3"]
    assert rows(path)[:2] == before
    desk.rules(PROFILE)
    mapping = table(desk, "PatientID,NEWID\nP1,N-1\nP2,N-2\nP3,N-3\n")
    assert desk.run("--ids", str(path), "--mapping", mapping).code == 0
    assert [one["new.PatientID"] for one in rows(path)] == ["N-1", "N-2", "N-3"]


def test_ids_of_what_is_unchanged_are_told(desk: Desk) -> None:
    """Also where no earlier run was asked for them."""
    desk.rules(HASHED)
    desk.put({"1": instance(), "2": instance("P2")})
    assert desk.run().code == 0
    assert desk.run("--ids").code == 0
    assert set(desk.states().values()) == {"skipped"}
    assert [one["PatientID"] for one in rows(desk.reports / "private" / "ids.csv")] == ["P1", "P2"]


def test_ids_go_nowhere_else(desk: Desk) -> None:
    desk.rules(HASHED)
    desk.put({"1": instance()})
    for place in (desk.dest / "ids.csv", desk.source / "ids.csv"):
        done = desk.run("--ids", str(place))
        assert (done.code, "the ids lie inside" in done.err) == (2, True)
    other = desk.folder / "other.csv"
    other.write_text("somebody,else\n")
    link = desk.folder / "link.csv"
    link.symlink_to(other)
    for path in (other, link, desk.folder):
        done = desk.run("--ids", str(path))
        assert (done.code, "--ids" in done.err) == (2, True)
    assert other.read_text() == "somebody,else\n"
    assert not desk.dest.exists()


def test_blank_ids_of_our_own_table_are_passed_over(desk: Desk) -> None:
    desk.rules(HASHED)
    desk.put({"S/V/A/1": instance(PatientID=""), "T/V/A/1": instance("P2")})
    assert desk.run("--ids").code == 0
    desk.rules(PROFILE.replace("NEWID", "new.PatientID"))
    done = desk.run("--mapping", str(desk.reports / "private" / "ids.csv"), "--exists", "replace")
    assert done.code == 1
    assert "note: ids.csv: without PatientID, for nobody: row 2" in done.err
    assert desk.states() == {"S/V/A/1": "refused", "T/V/A/1": "released"}
