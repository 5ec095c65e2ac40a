"""What a scan of stored files finds, hides, remembers and says that it did not look at."""

from __future__ import annotations

import csv
import io
import json
import re
from pathlib import Path

import pytest

from fw_gear_deid.model.dictionary import keyword_of
from fw_gear_deid.sample import MARKER, Planted, make_sample
from fw_gear_deid.scan.words import PENN, says_nobody, tells
from tests.desk import Desk, call, instance, packed
from tests.site import Site, stored

CLEAN = {
    "PatientName": "", "PatientID": "sub-0123456789ab", "SeriesDescription": "T1 MPRAGE", "StudyDate": "20200101",
    "PatientIdentityRemoved": "YES", "DeidentificationMethod": "test", "SliceThickness": 6,
}  # fmt: skip


def scan(source: Path, out: Path, *more: str) -> int:
    return call("scan", str(source), "--out", str(out), "--workers", "1", *more).code


def table(out: Path, name: str = "findings") -> list[dict[str, str]]:
    text = (out / f"{name}.csv").read_bytes().decode()
    return list(csv.DictReader(io.StringIO(text, newline=""), strict=True))


def kinds(out: Path) -> list[tuple[str, str, str]]:
    return [(row["kind"], row["place"], row["what"]) for row in table(out)]


UNTOLD = ["RequestedProcedureDescription", "StudyDescription", "TextValue", "content"]
"""Elements with words that look like any others, and nothing else in the file says that they are a name."""


@pytest.mark.clear
def test_finds_what_the_sample_plants(tmp_path: Path) -> None:
    planted = make_sample(tmp_path / "in", 2)
    assert scan(tmp_path / "in", tmp_path / "scan", "--values") == 1
    rows = table(tmp_path / "scan")
    said = "\n".join((*(row["value"] for row in rows), *(row["file"] for row in rows)))
    told = {(row["file"], row["kind"], row["place"]) for row in rows}
    missed = {_called(one.place) for one in planted if one.value not in said and not _is_told(one, told)}
    assert sorted(missed) == UNTOLD


def _is_told(one: Planted, told: set[tuple[str, str, str]]) -> bool:
    """Tell whether it is said that something stands there that nobody looked into, or the first of its values."""
    kinds = {(kind, place) for file, kind, place in told if file == one.path}
    if PRIVATE.search(one.place):
        return any(kind == "private" for kind, _ in kinds)
    if "PatientID" in _called(one.place):
        return any(place.endswith("PatientID") for _, place in kinds)
    if "preamble" in one.place or "after the data set" in one.place:
        return any(kind == "risk" and place for kind, place in kinds)
    return ("comment" in one.place and ("risk", "zip extra") in kinds) or (
        (".DS_Store" in one.place or "__MACOSX" in one.place) and ("unread", "member") in kinds
    )


PRIVATE = re.compile(r"\([0-9a-fA-F]{3}[13579bdfBDF],")


def _called(place: str) -> str:
    """Return the keyword of the element at a place, or the place."""
    tags = re.findall(r"\(([0-9A-Fa-f]{4}),([0-9A-Fa-f]{4})\)", place)
    return keyword_of(int("".join(tags[-1]), 16)) if tags else place


def test_says_nothing_of_what_is_clean(desk: Desk) -> None:
    desk.put({"S/V/A/1.dcm": instance(**CLEAN), "S/V/A/n.json": b'{"EchoTime": 0.03, "ProtocolName": "T1"}'})
    out = desk.folder / "scan"
    done = call("scan", str(desk.source), "--out", str(out), "--workers", "1")
    assert (kinds(out), done.code) == ([], 0)
    assert "nothing found" in done.out


CASES = {
    "identifier": ({"PatientName": "Doe^Jane"}, ("identifier", "PatientName", "PatientName")),
    "of this VR": ({"OperatorsName": "Roe^R"}, ("identifier", "OperatorsName", "OperatorsName")),
    "repeated": ({"PatientName": "Doemann^J", "SeriesDescription": "t1 for DOEMANN"},
                 ("repeated", "SeriesDescription", "SeriesDescription")),
    "telephone": ({"ImageComments": "call +1 215 555 0123"}, ("text", "ImageComments", "a telephone number")),
    "mail": ({"ImageComments": "to jane@site.org"}, ("text", "ImageComments", "an address")),
    "date": ({"StudyDescription": "follow-up of 12.03.2019"}, ("text", "StudyDescription", "a date")),
    "name": ({"ImageComments": "seen by Dr. Miller"}, ("text", "ImageComments", "what looks like a name")),
    "number": ({"ImageComments": "chart 00482931"}, ("text", "ImageComments", "a long number")),
    "burned in": ({"BurnedInAnnotation": "YES"}, ("risk", "", "burned-in: text may be drawn into its pixels")),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_finds_in_an_instance(desk: Desk, case: str) -> None:
    fields, found = CASES[case]
    desk.put({"S/V/A/x.zip": packed({"1.dcm": instance(**CLEAN), "2.dcm": instance(number=2, **{**CLEAN, **fields})})})
    out = desk.folder / "scan"
    assert scan(desk.source, out) == 1
    assert found in kinds(out)
    [row] = table(out, "files")
    assert row["instances"] == "2"
    assert all(one["value"] in ("REDACTED", "NA") for one in table(out))


def test_columns_of_the_utilities(desk: Desk) -> None:
    nested = instance(**{**CLEAN, "PatientName": "", "PatientID": "X1"})
    desk.put({"S/V/A/1.dcm": nested, "S/V/A/notes.md": b"plain words"})
    out = desk.folder / "scan"
    assert scan(desk.source, out) == 1
    dicom, other = table(out, "files")
    assert (dicom["subject_label"], dicom["session_label"], dicom["acquisition_label"]) == ("S", "V", "A")
    assert dicom["header_deidentification_method"] == "test"
    assert (dicom["found_fields"], dicom["found_values"]) == ("PatientID", "REDACTED")
    assert dicom["header_has_patient_identifiers"] == dicom["header_patient_identifiers_populated"] == "True"
    assert other["header_deidentification_method"] == "NoSuitableDicomFile"
    assert len(PENN) == 17


@pytest.mark.parametrize(("name", "data", "found"), [
    ("a.json", b'{"PatientName": "Doe", "b": ["seen 2019-03-12"]}', {"identifier": "$.PatientName", "text": "$.b[]"}),
    ("a.csv", b"name,score\nJane Doemann,3\n", {"identifier": "column name"}),
    ("a.tsv", b"participant_id\tage\nsub-01\t3\n", {}),
    ("a.xml", b"<?xml version='1.0'?><a><patient><name>Doe</name></patient></a>", {"identifier": "/a/patient/name"}),
    ("a.txt", b"seen on 2019-03-12\n", {"text": "a line of text"}),
    ("12.03.1961.txt", b"words\n", {"name": "file name"}),
    ("a.dcm", instance()[:-7], {"unread": ""}),
    ("a.bin", b"\1\0\2" * 99, {"unread": ""}),
])  # fmt: skip
def test_other_files(desk: Desk, name: str, data: bytes, found: dict[str, str]) -> None:
    desk.put({f"S/V/A/{name}": data})
    out = desk.folder / "scan"
    assert scan(desk.source, out) == (1 if found else 0)
    assert {row["kind"]: row["place"] for row in table(out)} == found


def test_goes_on_where_it_was_ended(desk: Desk) -> None:
    desk.put({f"S/V/A/{number}.dcm": instance(number=number) for number in range(4)})
    out = desk.folder / "scan"
    assert scan(desk.source, out) == 1
    before = {name: (out / f"{name}.csv").read_bytes() for name in ("findings", "files")}
    notes = (out / "scan.jsonl").read_bytes()
    (out / "scan.jsonl").write_bytes(notes[: notes.index(b"2.dcm") + 20])  # killed in the middle of a line
    assert scan(desk.source, out) == 1
    assert {name: (out / f"{name}.csv").read_bytes() for name in before} == before
    (desk.source / "S/V/A/0.dcm").write_bytes(instance(**CLEAN))
    (desk.source / "S/V/A/1.dcm").unlink()
    assert scan(desk.source, out) == 1
    assert sorted(row["file"] for row in table(out, "files")) == [f"S/V/A/{number}.dcm" for number in (0, 2, 3)]
    assert not any(row["file"].endswith("/0.dcm") and row["kind"] == "identifier" for row in table(out))


def test_workers_find_the_same(desk: Desk) -> None:
    desk.put({f"S{number}/V/A/{number}.dcm": instance(f"P{number}") for number in range(6)})
    assert scan(desk.source, desk.folder / "one") == 1
    assert call("scan", str(desk.source), "--out", str(desk.folder / "two"), "--workers", "2").code == 1
    assert table(desk.folder / "one") == table(desk.folder / "two")


def test_nothing_is_written_into_the_source(desk: Desk) -> None:
    desk.put({"S/V/A/1.dcm": instance()})
    done = call("scan", str(desk.source), "--out", str(desk.source / "scan"))
    assert done.code == 2 and "lie in one another" in done.err
    assert sorted(path.name for path in desk.source.rglob("*")) == ["1.dcm", "A", "S", "V"]


def test_tables_are_private(desk: Desk) -> None:
    desk.put({"S/V/A/1.dcm": instance()})
    out = desk.folder / "scan"
    scan(desk.source, out)
    assert {path.name: oct(path.stat().st_mode & 0o777) for path in (out, *out.iterdir())} == {
        "scan": "0o700", **dict.fromkeys(
            ("containers.csv", "files.csv", "findings.csv", "scan.jsonl", "summary.json"), "0o600"
        ),
    }  # fmt: skip
    assert json.loads((out / "summary.json").read_text())["counts"]["files"] == 1


def test_tables_go_to_a_folder_of_their_own(desk: Desk) -> None:
    """Names of files are in them: they do not lie among what was released, nor in what is scanned."""
    desk.put({"S/V/A/1.dcm": instance()})
    (desk.folder / "other").mkdir()
    (desk.folder / "other" / "a.txt").write_text("a")
    for out, word in ((desk.folder / "other", "holds other files"), (desk.source / "x", "SOURCE and --out lie")):
        done = call("scan", str(desk.source), "--out", str(out), "--workers", "1")
        assert done.code == 2 and word in done.err
    assert [path.name for path in (desk.folder / "other").iterdir()] == ["a.txt"]
    (desk.folder / "empty").mkdir()
    assert [scan(desk.source, desk.folder / "empty") for _ in range(2)] == [1, 1]


@pytest.mark.parametrize(("text", "told"), [
    ("t1_mprage_sag_p2_iso", ""), ("AX T2 FLAIR", ""), ("2.25.301870562219446518.3.1.1", ""), ("20190312", "a date"),
    ("sub-0123456789ab", ""), ("Frau Meier", "what looks like a name"), ("", ""),
    ("folder-f6995f275e68/2.25.91028337071210591933740180196890997227.MR.dcm", ""), ("file-6418814daabb.dicom.zip", ""),
    (f"de-identified by profile basic, SHA-256 {'d264e3bbe14f67c4' * 4}", ""), ("550d0cb6d1f9e6fb", ""),
    ("1234567890123456", "a long number"), ("20210305101500000", "a long number"), ("sub-0123456789ab7", "a long number"),
])  # fmt: skip
def test_what_a_text_tells(text: str, told: str) -> None:
    assert tells(text) == told


@pytest.mark.parametrize(("text", "nobody"), [
    ("550d0cb6d1f9e6fb", True), ("sub-0123456789ab", True), ("ANON", True), ("1234567890123456", False), ("Doe", False),
])  # fmt: skip
def test_whose_value_tells_nobody(text: str, nobody: bool) -> None:
    """A hash of ours has a letter but for one in two thousand; a number of sixteen digits is one that somebody has."""
    assert says_nobody(text) is nobody


@pytest.mark.parametrize("profile", ["basic", "basic-longitudinal"])
def test_says_nothing_of_what_a_profile_of_the_standard_released(desk: Desk, profile: str) -> None:
    desk.source.rmdir()
    make_sample(desk.source, 1)
    assert desk.run("--profile", profile).code == 1  # reports and ultrasound are refused
    done = call("scan", str(desk.dest), "--out", str(desk.folder / "scan"), "--workers", "1")
    assert (kinds(desk.folder / "scan"), done.code) == ([], 0)


def test_marker_is_hidden(desk: Desk) -> None:
    desk.put({"S/V/A/1.dcm": instance()})
    out = desk.folder / "scan"
    scan(desk.source, out)
    assert not any(MARKER in path.read_text() for path in out.iterdir() if path.is_file())


@pytest.mark.clear
def test_a_platform_tells_what_stands_beside_the_files(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    desk = Desk(site.folder)
    desk.put({"P1/V1/T1/a.dcm": instance(**CLEAN)})
    stored(site.world, site.source, desk.source)
    monkeypatch.setenv("FW_API_KEY", site.server.key())
    out = site.folder / "scan"
    done = call("scan", "fw://lab/Stored", "--out", str(out), "--workers", "1", "--values")
    assert done.code == 1
    rows = table(out)
    found = {(row["file"].split()[0], row["place"]): row["value"] for row in rows if row["kind"] == "metadata"}
    assert found["subject", "firstname"] == f"{MARKER}FIRST"
    assert found["session", "operator"] == f"{MARKER}OP"
    assert [value for (_, place), value in found.items() if place == "info.header.dicom.PatientName"] == [
        f"{MARKER}HEADER"
    ]
    [file] = table(out, "files")
    assert (file["subject_label"], file["file_has_patient_identifiers"]) == ("P1", "True")
    assert file["file_user"]
    assert {row["level"] for row in table(out, "containers")} == {"subject", "session", "acquisition"}
    assert site.world.log.count(r"^(PUT|PATCH|DELETE|POST (?!/lookup))") == 0
