"""Mapping table → a profile for every subject or session; what is missing stops everything, all of it told at once."""

from __future__ import annotations

import csv
import pickle
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from fw_gear_deid.actions import IncrementDate, Keep, Replace
from fw_gear_deid.model.errors import Unfit, UsageError
from fw_gear_deid.profile.compiled import Profile
from fw_gear_deid.profile.language import build
from fw_gear_deid.profile.text.problems import ProfileError
from fw_gear_deid.profile.values.book import ProfileBook
from fw_gear_deid.profile.values.mapping import MappingTable, plan_profiles, read_mapping
from fw_gear_deid.profile.values.variables import Unresolved

CANARY = "ZZ^CANARY^7F3A"
TEXT = """dicom:
  fields:
    - name: PatientID
      replace-with: "{{ NEWID }}"
    - name: PatientName
      remove: true
"""
SHIFTED = TEXT + "    - name: StudyDate\n      increment-date: true\n      date-increment-override: {{ shift }}\n"
Rows = Sequence[Sequence[str]]


def table(folder: Path, rows: Rows, *, by_session: bool = False, allow_shared: bool = False) -> MappingTable:
    path = folder / "map.csv"
    with path.open("w", encoding="utf-8", newline="") as stream:
        csv.writer(stream).writerows(rows)
    return read_mapping(path, by_session=by_session, allow_shared=allow_shared)


def action(profile: Profile, index: int = 0) -> object:
    assert profile.dicom is not None
    return profile.dicom.rules[index].action


def refusal(book: object) -> list[str]:
    assert callable(book)
    with pytest.raises(UsageError) as caught:
        book()
    text = str(caught.value)
    assert CANARY not in text
    return [line.strip() for line in text.splitlines()]


# -- the table -----------------------------------------------------------------------------------------


def test_cells_are_read_as_they_are_written(tmp_path: Path) -> None:
    path = tmp_path / "map.csv"
    path.write_bytes('\ufeff subject.label ,NEWID,\r\n007," a ""b""\r\nc ",\r\n\r\n,,\r\n1e5,nan,x\r\n'.encode())
    read = read_mapping(path)
    assert read.columns == ("subject.label", "NEWID", "")
    assert {key: (row.number, row.cells) for key, row in read.rows.items()} == {
        ("007",): (2, ("007", ' a "b"\r\nc ', "")),
        ("1e5",): (5, ("1e5", "nan", "x")),
    }


@pytest.mark.parametrize(
    ("content", "told"),
    [(b"", ["map.csv: no rows below the header", "map.csv: no column subject.label, PatientID, AccessionNumber or St"]),
     (b"subject.label,NEWID\n", ["map.csv: no rows below the header"]),
     (b"label,NEWID\nS1,1\n", ["map.csv: no column subject.label"]),
     (b"subject.label|NEWID\nS1|1\n", ["StudyInstanceUID; columns are separated by commas, semicolons or tabs"]),
     (b"id,patient_id,Subject Label\nS1,1,2\n", ["no column subject.label, PatientID, AccessionNumber or StudyInstanceUID"
      "; column 3 is spelled otherwise: write subject.label; column 2 is spelled otherwise: write PatientID"]),
     (b"subject.label,A,B,A\nS1,1\nS2,1,2,3,4\n", ["map.csv: columns 2 and 4 have the same name",
      "map.csv: row 2 has 2 cells, the header 4", "map.csv: row 3 has 5 cells, the header 4"]),
     (b"subject.label,A\nS1,1\nS2,2\nS1,3\n,4\nS2,5\nS1,6\n", ["map.csv: row 5, column subject.label: blank",
      "map.csv: rows 2, 4, 7 are for the same subject and differ in A",
      "map.csv: rows 3, 6 are for the same subject and differ in A"]),
     (b'subject.label,A\nS1,"a"b\n', ["map.csv: line 2: not CSV; a cell with quotes is written", "no rows"]),
     (b'subject.label,A\nS1,"a\n\n', ["map.csv: line 3: not CSV; a cell with quotes is written", "no rows"]),
     ("subject.label,A\nS1,é\n".encode("cp1252"), ["the mapping is not UTF-8 text"]),
     ("subject.label,A\nS1,x\n".encode("utf-16-le"), ["the mapping is not UTF-8 text"]),
     (b"PK\3\4...", ["the mapping is a workbook; save the sheet as 'CSV UTF-8'"]),
     (b'subject.label,A,B\nS1, "x",""\nS2,"a, ""b""\r\n ""c""",1\nS3,d,\t"e"\n', [
      "map.csv: row 2, column 2: a blank stands before the quotes; take it out", "map.csv: row 4, column 3: a blank"]),
     (b'subject.label,A,B\nS1,#N/A,1\n#REF!,x,="0042"\nS3,#n/a,1.23E+11\nS4,########,1e5\n', [
      "map.csv: rows 2, 4, 5, column A: an error of the spreadsheet",
      "map.csv: row 3, column subject.label: an error of the spreadsheet; write the value as text",
      "map.csv: row 3, column B: a formula",
      "map.csv: row 4, column B: a number cut short by the spreadsheet"])],
)  # fmt: skip
def test_everything_wrong_with_a_table_is_told_by_position(tmp_path: Path, content: bytes, told: list[str]) -> None:
    path = tmp_path / "map.csv"
    path.write_bytes(content)
    lines = refusal(lambda: read_mapping(path))
    assert len(lines) == len(told)
    assert all(expected in line for line, expected in zip(lines, told, strict=True))


def test_a_table_that_is_not_there_is_a_usage_error(tmp_path: Path) -> None:
    assert "cannot be read" in refusal(lambda: read_mapping(tmp_path / "map.csv"))[0]


def test_by_session_a_subject_may_have_many_rows(tmp_path: Path) -> None:
    rows = [["session.label", "subject.label", "A"], ["b", "S1", "1"], ["c", "S1", "2"], ["b", "S2", "3"]]
    assert set(table(tmp_path, rows, by_session=True).rows) == {("S1", "b"), ("S1", "c"), ("S2", "b")}
    rows.append(["c", "S1", CANARY])
    lines = refusal(lambda: table(tmp_path, rows, by_session=True))
    assert lines == ["map.csv: rows 3, 5 are for the same subject and session and differ in A"]
    lines = refusal(lambda: table(tmp_path, rows))
    assert lines[0] == (
        "map.csv: rows 2, 3, 5 are for the same subject and differ in session.label, A; see --session-level-profile"
    )
    lines = refusal(lambda: table(tmp_path, [["subject.label", "Session"], ["S1", "x"]], by_session=True))
    assert lines == ["map.csv: no column session.label"]
    lines = refusal(lambda: table(tmp_path, [["subject.label", "SESSION LABEL"], ["S1", "x"]], by_session=True))
    assert lines == ["map.csv: no column session.label; column 2 is spelled otherwise: write session.label"]


PLAIN = "subject.label,NEWID\nS1,a\nS2,b\n"


@pytest.mark.parametrize(
    "content",
    [
        PLAIN.replace(",", ";"),
        PLAIN.replace(",", "\t"),
        "sep=;\r\n" + PLAIN.replace(",", ";"),
        '"sep=,"\n' + PLAIN,
        "SEP=|\r" + PLAIN.replace(",", "|").replace("\n", "\r"),
        PLAIN.replace("\n", ",,\n").replace("NEWID,,", "NEWID,"),
        PLAIN.replace(",", ";").replace("NEWID", '"NEWID";"a,b,c,d"').replace("\nS", "\nS").replace("a\n", "a;\n"),
    ],
)
def test_separators_are_recognised_and_rows_counted_as_a_spreadsheet_does(tmp_path: Path, content: str) -> None:
    if '"a,b,c,d"' in content:
        content = content.replace("b\n", "b;x\n")
    for encoding in ("utf-8", "utf-8-sig", "utf-16"):
        path = tmp_path / "map.csv"
        path.write_bytes(content.encode(encoding))
        read = read_mapping(path)
        assert {key: (row.number, row.cells[1]) for key, row in read.rows.items()} == {
            ("S1",): (2, "a"),
            ("S2",): (3, "b"),
        }


def test_rows_that_say_the_same_are_one_in_the_columns_that_are_used(tmp_path: Path) -> None:
    path = tmp_path / "map.csv"
    path.write_text("PatientID,study,NEWID\nP1,a,N1\nP2,a,N2\nP1,b,N1\nP1,#N/A,N1\n")
    read = read_mapping(path, ["NEWID"])
    assert [row.number for row in read.rows.values()] == [2, 3]
    assert read.notes == ("map.csv: the same as an earlier row, and counted once: rows 4, 5",)
    assert refusal(lambda: read_mapping(path, ["study"])) == [
        "map.csv: row 5, column study: an error of the spreadsheet; write the value as text",
        "map.csv: rows 2, 4, 5 are for the same PatientID and differ in study",
    ]


def test_what_may_have_been_made_into_a_date_is_noted(tmp_path: Path) -> None:
    rows = [["subject.label", "A", "B"], ["S1", "2-Jan", "2-Jan"], ["Mar-05", "x", "1-2"], ["S3", "02. Okt", ""]]
    path = tmp_path / "map.csv"
    table(tmp_path, rows)
    assert read_mapping(path, ["A"]).notes == (
        "map.csv: made into a date by the spreadsheet? rows 2, 4, column A",
        "map.csv: made into a date by the spreadsheet? row 3, column subject.label",
    )


@pytest.mark.parametrize(
    ("header", "key"),
    [("NEWID,PatientID,subject.label", "subject.label"), ("AccessionNumber,PatientID", "PatientID"),
     ("StudyInstanceUID,AccessionNumber", "AccessionNumber"), ("StudyInstanceUID,patientid", "StudyInstanceUID")],
)  # fmt: skip
def test_a_table_goes_by_the_first_key_that_it_has(tmp_path: Path, header: str, key: str) -> None:
    path = tmp_path / "map.csv"
    path.write_text(f"{header}\n" + ",".join(header.split(",")).lower() + "\n")
    read = read_mapping(path)
    assert (read.key, list(read.rows)) == (key, [(key.lower(),)])


# -- profiles by subject -------------------------------------------------------------------------------


def test_every_subject_gets_its_values(tmp_path: Path) -> None:
    rows = table(
        tmp_path, [["subject.label", "NEWID", "more"], ["S1", "00123", ""], ["S2", "1e5", CANARY], ["S9", "", ""]]
    )
    book = plan_profiles(TEXT, "p.yaml", rows, [("S1",), ("S2", "ses"), ("S1", "ses", "acq")])
    assert action(book.of(("S1", "ses", "acq"))) == Replace(("00123",))
    assert action(book.of(("S2",))) == Replace(("1e5",))
    assert book.page(("S2",)).unresolved == ()
    assert book.sha256 == book.of(("S1",)).sha256


def test_what_belongs_to_no_subject_is_refused_where_a_value_is_needed(tmp_path: Path) -> None:
    book = plan_profiles(TEXT, "p.yaml", table(tmp_path, [["subject.label", "NEWID"], ["S1", "x"]]), [("S1",)])
    for labels in ((), ("S3",), ("S3", "ses")):
        assert book.page(labels).unresolved == ("NEWID",)
        with pytest.raises(Unfit, match=r"\{\{ NEWID \}\} have no value"):
            book.of(labels)
        with pytest.raises(
            Unfit, match="map.csv has no row for its" if labels else "map.csv goes by subject.label, and"
        ):
            book.for_file(labels)
    assert book.for_file(("S1", "ses", "acq")) is book.of(("S1",))
    assert isinstance(action(book.base), Unresolved)


def test_a_profile_without_variables_is_one_for_all() -> None:
    text = TEXT.replace("{{ NEWID }}", "x")
    book = plan_profiles(text, "p.yaml", None, [("S1",), ("S2",)])
    assert book.of(("S1",)) is book.of(("S2",)) is book.of(()) is book.for_file(()) is book.base
    assert book.page(("S1",)).unresolved == ()
    assert isinstance(book, ProfileBook)


def test_equal_values_share_a_profile_and_different_ones_its_parts(tmp_path: Path) -> None:
    rows = [["subject.label", "NEWID"], *([f"S{number}", f"N{number // 2}"] for number in range(200))]
    subjects = [(f"S{number}",) for number in range(200)]
    book = plan_profiles(TEXT, "p.yaml", table(tmp_path, rows, allow_shared=True), subjects)
    first, same, other = (book.of(labels) for labels in (("S0",), ("S1",), ("S2",)))
    assert first is same
    assert first.dicom is not None
    assert other.dicom is not None
    assert first.dicom.rules[0] != other.dicom.rules[0]
    assert first.dicom.rules[1] is other.dicom.rules[1]
    packed = pickle.dumps(book)
    assert len(packed) < 200 * 300
    assert pickle.loads(packed) == book


def test_labels_are_variables_without_any_table() -> None:
    book = plan_profiles(TEXT.replace("NEWID", "subject.label"), "p.yaml", None, [("a: 'b'",), ("007",)])
    assert action(book.of(("a: 'b'", "x"))) == Replace(("a: 'b'",))
    assert action(book.of(("007",))) == Replace(("007",))


def test_metadata_are_variables_and_the_table_goes_before_them(tmp_path: Path) -> None:
    text = TEXT.replace("{{ NEWID }}", "{{ project.info.site }}-{{ subject.info.n }}-{{ subject.label }}")
    known = {
        ("S1",): {"project.info.site": "P", "subject.info.n": "1"},
        ("S2",): {"project.info.site": "P", "subject.info.n": "2"},
    }
    book = plan_profiles(text, "p.yaml", None, [("S1",), ("S2",)], lambda labels: known[labels])
    assert action(book.of(("S2",))) == Replace(("P-2-S2",))
    assert book.page(()).unresolved == ("subject.info.n", "subject.label")
    rows = table(tmp_path, [["subject.label", "subject.info.n"], ["S1", "x"], ["S2", "y"]])
    book = plan_profiles(text, "p.yaml", rows, [("S1",), ("S2",)], lambda labels: known[labels])
    assert action(book.of(("S2",))) == Replace(("P-y-S2",))


def test_what_is_the_same_in_the_whole_project_is_known_outside_of_subjects() -> None:
    text = TEXT.replace("NEWID", "project.label")
    book = plan_profiles(text, "p.yaml", None, [("S1",), ("S2",)], lambda labels: {"project.label": "P"})
    assert action(book.base) == Replace(("P",))
    assert book.page(()).unresolved == ()


def test_a_fingerprint_changes_with_values_that_are_used(tmp_path: Path) -> None:
    def fingerprint(new: str, more: str, text: str = TEXT) -> str:
        rows = table(tmp_path, [["subject.label", "NEWID", "more"], ["S1", new, more]])
        return plan_profiles(text, "p.yaml", rows, [("S1",)]).page(("S1",)).fingerprint

    assert fingerprint("a", "b") == fingerprint("a", "c")
    assert len({fingerprint("a", "b"), fingerprint("b", "b"), fingerprint("a", "b", TEXT + "\n")}) == 3


# -- everything that is missing ------------------------------------------------------------------------


def test_all_that_is_missing_is_told_at_once_and_nothing_quoted(tmp_path: Path) -> None:
    text = SHIFTED + "    - name: StudyID\n      replace-with: {{ other }}-{{ subject.info.x }}-{{ session.label }}\n"
    rows = table(
        tmp_path,
        [
            ["subject.label", "NEWID", "shift", "Other"],
            ["S1", " ", "", ""],
            ["S2", CANARY, "", ""],
            ["S3", "", "5", ""],
        ],
    )
    subjects = [("S1",), ("Smith",), ("S2",), ("S3",), ("S5",)]
    known = {("S2",): {"subject.info.x": ""}, ("S5",): {"subject.info.x": "1"}}
    lines = refusal(lambda: plan_profiles(text, "p.yaml", rows, subjects, lambda labels: known.get(labels, {})))
    assert lines[1:] == [
        "p.yaml:11:21 {{ other }} has no value: map.csv has no such column; did you mean 'Other'?",
        "p.yaml:11:54 {{ session.label }} has no value: profiles go by subject, not by session",
        "column NEWID is blank: map.csv rows 2, 4",
        "column shift is blank: map.csv rows 2, 3",
        "{{ subject.info.x }} has no value: subjects S1, Smith, S3",
        "the mapping has no row: subjects Smith, S5",
        "{{ subject.info.x }} is blank: subject S2",
    ]


def test_a_run_without_a_mapping_tells_every_variable(tmp_path: Path) -> None:
    text = SHIFTED.replace("remove: true", "replace-with: '{{ subject.info.y }}'")
    for subjects in ([("S1",)], []):
        lines = refusal(lambda subjects=subjects: plan_profiles(text, "p.yaml", None, subjects))
        assert [line.partition(" has")[0] for line in lines[1:]] == [
            "p.yaml:4:22 {{ NEWID }}", "p.yaml:6:22 {{ subject.info.y }}", "p.yaml:9:32 {{ shift }}",
        ]  # fmt: skip


def test_values_that_do_not_fit_are_told_by_row(tmp_path: Path) -> None:
    long = CANARY * 9
    rows = [["subject.label", "NEWID", "shift"], ["S1", long, "x"], ["S2", "ok", "5"], ["S3", long + "x", CANARY],
            ["S4", "", "9e6"], ["S5", "good", "9e6"]]  # fmt: skip
    subjects = [(f"S{number}",) for number in range(1, 6)]
    lines = refusal(lambda: plan_profiles(SHIFTED, "p.yaml", table(tmp_path, rows), subjects))
    assert lines[1:] == [
        "column NEWID is blank: map.csv row 5",
        "p.yaml:4:21 error dicom.fields[0].replace-with: the value of {{ NEWID }} is longer than the 64 characters of "
        "VR LO: map.csv rows 2, 4",
        "p.yaml:9:32 error dicom.fields[2].date-increment-override: the value of {{ shift }} must be a number"
        ": map.csv rows 2, 4",
        "p.yaml:7:7 error dicom.fields[2]: the increment leaves the calendar"
        " (with the values of {{ NEWID }}, {{ shift }}): map.csv row 6",
    ]


def test_a_wrong_profile_is_told_before_its_values(tmp_path: Path) -> None:
    with pytest.raises(ProfileError, match="unknown key 'remoove'"):
        plan_profiles(TEXT.replace("remove:", "remoove:"), "p.yaml", None, [("S1",)])


def test_subjects_of_the_table_that_the_source_lacks_do_not_matter(tmp_path: Path) -> None:
    rows = table(tmp_path, [["subject.label", "NEWID"], ["S1", "x"], ["S2", ""], ["S3", CANARY * 9]])
    assert action(plan_profiles(TEXT, "p.yaml", rows, [("S1",)]).of(("S1",))) == Replace(("x",))


def test_two_subjects_may_not_get_one_new_id_unless_asked_for(tmp_path: Path) -> None:
    rows = [
        ["subject.label", "NEWID", "shift"],
        ["S1", "x", "5"],
        ["S2", "X ", "5"],
        ["S3", "y", "6"],
        ["S4", "y", "7"],
    ]
    subjects = [("S1",), ("S2",), ("S3",)]
    lines = refusal(lambda: plan_profiles(SHIFTED, "p.yaml", table(tmp_path, rows), subjects))
    assert lines[1:] == ["2 subjects would get one PatientID; --allow-shared-ids lets them: map.csv rows 2, 3"]
    book = plan_profiles(SHIFTED, "p.yaml", table(tmp_path, rows, allow_shared=True), subjects)
    assert action(book.of(("S2",))) == Replace(("X ",))
    text = SHIFTED.replace("{{ NEWID }}", "{{ subject.label }}-{{ shift }}")
    assert action(plan_profiles(text, "p.yaml", table(tmp_path, rows), subjects).of(("S2",))) == Replace(("S2-5",))


def test_labels_are_new_ids_and_so_is_metadata(tmp_path: Path) -> None:
    text = "dicom:\n  fields:\n    - name: (0010,0020)\n      replace-with: '{{ subject.info.code }}'\n"
    text += "flywheel:\n  subject:\n    fields:\n      - name: label\n        replace-with: sub {{ NEWID }}\n"
    rows = [["subject.label", "NEWID"], ["S1", "1"], ["S2", "1"], ["S3", "3"]]
    known = {
        ("S1",): {"subject.info.code": "a"},
        ("S2",): {"subject.info.code": "b"},
        ("S3",): {"subject.info.code": "A"},
    }
    subjects = [("S1",), ("S2",), ("S3",)]
    lines = refusal(
        lambda: plan_profiles(
            text,
            "p.yaml",
            table(tmp_path, rows),
            subjects,
            lambda labels: known[labels],
            place=lambda one: f"<{one[0]}>",
        )
    )
    assert lines[1:] == [
        "2 subjects would get one PatientID; --allow-shared-ids lets them: map.csv rows 2, 4",
        "2 subjects would get one subject label; --allow-shared-ids lets them: map.csv rows 2, 3",
    ]
    text = text[: text.index("flywheel")]
    lines = refusal(lambda: plan_profiles(text, "p.yaml", None, subjects, lambda labels: known[labels]))
    assert lines[1:] == ["2 subjects would get one PatientID; --allow-shared-ids lets them: subjects S1, S3"]
    same = {labels: values | {"project.info.code": "P"} for labels, values in known.items()}
    text = text.replace("subject.info", "project.info")
    assert plan_profiles(text, "p.yaml", None, subjects, lambda labels: same[labels]).common == {
        "project.info.code": "P"
    }


def test_spellings_that_nearly_agree_are_told_by_row(tmp_path: Path) -> None:
    rows = [
        ["subject.label", "NEWID"],
        ["1", "N1"],
        ["002 ", "N2"],
        ["MUSTER A", "N3"],
        ["M\u00fcller", "N4"],
        ["7.0", "N5"],
        ["'8", "N6"],
    ]
    subjects = [("001",), ("002",), ("Muster A",), ("Mu\u0308ller",), ("7",), ("8",), ("Z9",)]
    lines = refusal(lambda: plan_profiles(TEXT, "p.yaml", table(tmp_path, rows), subjects))
    assert lines[1:] == [
        "map.csv row 2 differs only by leading zeros from a subject that has no row",
        "map.csv row 3 differs only by blanks from a subject that has no row",
        "map.csv row 4 differs only by case from a subject that has no row",
        "map.csv row 5 differs only by Unicode form from a subject that has no row",
        "map.csv row 6 differs only by a decimal point from a subject that has no row",
        "map.csv row 7 differs only by quotes from a subject that has no row",
        "the mapping has no row: subject Z9",
    ]


# -- keys that stand in headers ------------------------------------------------------------------------

BY_ID = [["PatientID", "NEWID", "more"], ["P1", "N1", "a"], ["P2", "N2", "b"], ["P3", "", "c"]]


def test_by_an_id_of_the_header_everybody_in_the_table_gets_its_values(tmp_path: Path) -> None:
    book = plan_profiles(TEXT, "p.yaml", table(tmp_path, BY_ID), [("S1",)])
    assert book.by_header == "PatientID"
    for labels in ((), ("S1", "ses"), ("other",)):
        assert action(book.for_file(labels, {"PatientID": "P2"})) == Replace(("N2",))
    assert book.lookup is not None
    assert (book.lookup.row((), {"PatientID": "P2"}), book.lookup.row((), {"PatientID": "x"})) == (3, None)
    assert pickle.loads(pickle.dumps(book)) == book


@pytest.mark.parametrize(
    ("ids", "told"),
    [({"PatientID": "P9"}, "map.csv has no row for its PatientID: add one, or leave the file out"),
     ({"PatientID": "p1"}, "map.csv has no row for its PatientID: row 2 differs only by case"),
     ({"PatientID": "P001"}, "map.csv has no row for its PatientID: row 2 differs only by leading zeros"),
     ({"PatientID": " "}, "map.csv goes by PatientID, and this file has none that can be read"),
     ({}, "map.csv goes by PatientID, and this file has none that can be read"),
     ({"PatientID": "P3"}, "map.csv row 4: column NEWID is blank")],
)  # fmt: skip
def test_who_is_not_in_the_table_is_refused_and_told_why(tmp_path: Path, ids: dict[str, str], told: str) -> None:
    book = plan_profiles(TEXT, "p.yaml", table(tmp_path, BY_ID), [])
    with pytest.raises(Unfit) as caught:
        book.for_file((), ids)
    assert str(caught.value) == told


def test_a_table_keeps_others_out_even_when_no_column_is_used(tmp_path: Path) -> None:
    book = plan_profiles(TEXT.replace("{{ NEWID }}", "x"), "p.yaml", table(tmp_path, BY_ID), [])
    assert book.for_file((), {"PatientID": "P3"}) is book.base
    with pytest.raises(Unfit, match="no row"):
        book.for_file((), {"PatientID": "P4"})


def test_rows_by_an_id_are_tried_before_anything_is_read(tmp_path: Path) -> None:
    rows = [["PatientID", "NEWID"], ["P1", "x"], ["P2", CANARY * 9], ["P3", "x"], ["P4", ""]]
    lines = refusal(lambda: plan_profiles(TEXT, "p.yaml", table(tmp_path, rows), []))
    assert lines[1:] == [
        "p.yaml:4:21 error dicom.fields[0].replace-with: the value of {{ NEWID }} is longer than the 64 characters of "
        "VR LO: map.csv row 3",
        "2 patients would get one PatientID; --allow-shared-ids lets them: map.csv rows 2, 4",
    ]


def test_studies_of_one_patient_share_its_new_id(tmp_path: Path) -> None:
    rows = [["AccessionNumber", "NEWID"], ["A1", "N1"], ["A2", "N1"]]
    book = plan_profiles(TEXT, "p.yaml", table(tmp_path, rows), [])
    assert book.for_file((), {"AccessionNumber": "A1"}) is book.for_file((), {"AccessionNumber": "A2"})


def test_by_session_an_id_and_a_session_tell_the_row(tmp_path: Path) -> None:
    rows = [["PatientID", "session.label", "NEWID"], ["P1", "a", "N1"], ["P1", "b", "N2"]]
    book = plan_profiles(
        TEXT, "p.yaml", table(tmp_path, rows, by_session=True), [("S", "a"), ("S", "b")], by_session=True
    )
    assert action(book.for_file(("S", "b", "acq"), {"PatientID": "P1"})) == Replace(("N2",))
    for labels, told in (((), "stands in no session"), (("S", "c"), "no row for its PatientID and session")):
        with pytest.raises(Unfit, match=told):
            book.for_file(labels, {"PatientID": "P1"})


def test_a_fingerprint_is_that_of_the_row_or_of_all_rows_where_it_is_not_known_yet(tmp_path: Path) -> None:
    one, other = (
        plan_profiles(TEXT, "p.yaml", table(tmp_path, [*BY_ID[:2], ["P2", new, "b"]]), []) for new in ("N2", "N3")
    )
    assert one.fingerprint((), {"PatientID": "P1"}) == other.fingerprint((), {"PatientID": "P1"})
    assert one.fingerprint((), {"PatientID": "P2"}) != other.fingerprint((), {"PatientID": "P2"})
    assert one.fingerprint(()) != other.fingerprint(())


def test_ten_thousand_subjects_are_no_ten_thousand_profiles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Entries with variables are compiled for those who are at work, not for everybody in the table; others once."""
    plain = "".join(f"    - name: '({group:04x},1010)'\n      remove: true\n" for group in range(0x2010, 0x2050, 2))
    rows = [["PatientID", "NEWID"], *([f"P{number}", f"N{number}"] for number in range(300))]
    built: list[str] = []
    original = build.parse_action

    def counted(*arguments: Any) -> Any:
        built.append("")
        return original(*arguments)

    monkeypatch.setattr(build, "parse_action", counted)
    book = plan_profiles(TEXT + plain, "p.yaml", table(tmp_path, rows), [])
    assert len(built) < 3 * 300
    built.clear()
    for _ in range(3):
        assert book.for_file((), {"PatientID": "P7"}) is book.for_file((), {"PatientID": "P7"})
    assert len(built) == 1


# -- pseudonyms ----------------------------------------------------------------------------------------

PSEUDONYM = TEXT.replace("NEWID", "subject.pseudonym")
NAMES = {"subject.pseudonym": "sub-0123456789ab", "session.pseudonym": "ses-0123456789ab"}


def test_pseudonyms_need_no_mapping() -> None:
    book = plan_profiles(PSEUDONYM, "p.yaml", None, [("S1",)])
    for labels in ((), ("S1", "ses")):
        assert action(book.for_file(labels, pseudonyms=NAMES)) == Replace(("sub-0123456789ab",))
        with pytest.raises(Unfit, match=r"subject.pseudonym \}\} have no value"):
            book.for_file(labels)
    assert isinstance(action(book.base), Unresolved)
    assert book.fingerprint((), pseudonyms=NAMES) != book.fingerprint(())


def test_a_pseudonym_must_fit_and_is_nobodys_to_give(tmp_path: Path) -> None:
    lines = refusal(lambda: plan_profiles(PSEUDONYM.replace("PatientID", "PatientBirthDate"), "p.yaml", None, []))
    assert lines[1:] == [
        "p.yaml:4:21 error dicom.fields[0].replace-with: the value of {{ subject.pseudonym }} is longer than the 8 "
        "characters of VR DA"
    ]
    rows = table(tmp_path, [["subject.label", "session.pseudonym"], ["S1", "x"]])
    lines = refusal(lambda: plan_profiles(TEXT.replace("{{ NEWID }}", "x"), "p.yaml", rows, [("S1",)]))
    assert lines[1:] == ["map.csv: no column may be called session.pseudonym; {{ session.pseudonym }} needs no mapping"]
    known = {"subject.pseudonym": "x"}
    lines = refusal(lambda: plan_profiles(PSEUDONYM, "p.yaml", None, [("S1",)], lambda labels: known))
    assert lines[1:] == ["no metadata may be called subject.pseudonym; {{ subject.pseudonym }} needs none"]


# -- profiles by session -------------------------------------------------------------------------------


def test_by_session_every_session_has_a_profile_and_a_subject_what_its_sessions_share(tmp_path: Path) -> None:
    rows = [["subject.label", "session.label", "NEWID", "shift"],
            ["S1", "a", "N1", "5"], ["S1", "b", "N1", "6"], ["S2", "a", "N2", "7"]]  # fmt: skip
    subjects = [("S1", "a"), ("S1", "b"), ("S2", "a")]
    book = plan_profiles(SHIFTED, "p.yaml", table(tmp_path, rows, by_session=True), subjects, by_session=True)
    for labels, days in ((("S1", "a"), 5), (("S1", "b", "acq"), 6), (("S2", "a"), 7), (("S2",), 7)):
        moved = action(book.of(labels), 2)
        assert isinstance(moved, IncrementDate)
        assert moved.shift.days == days
    subject = book.of(("S1",))
    assert action(subject) == Replace(("N1",))
    assert isinstance(action(subject, 2), Unresolved)
    assert not isinstance(action(subject, 1), Keep | Unresolved)
    assert book.page(("S1",)).unresolved == ("shift",)
    with pytest.raises(Unfit, match="shift"):
        book.for_file(("S1",))
    assert book.page(("S1", "unknown")).profile is book.base
    lines = refusal(lambda: plan_profiles(
        SHIFTED, "p.yaml", table(tmp_path, rows, by_session=True), [*subjects, ("S1", "z")], by_session=True
    ))  # fmt: skip
    assert lines[1:] == ["the mapping has no row: session S1/z"]


def test_by_session_a_subject_is_described_without_the_values_of_its_sessions(tmp_path: Path) -> None:
    text = TEXT + "flywheel:\n  subject:\n    all: true\n  session:\n    fields:\n"
    text += "      - {name: label, replace-with: 'ses {{ NEWID }}'}\n"
    rows = [["subject.label", "session.label", "NEWID"], ["S1", "a", "N: 1"], ["S1", "b", "N: 2"]]
    mapping = table(tmp_path, rows, by_session=True)
    book = plan_profiles(text, "p.yaml", mapping, [("S1", "a"), ("S1", "b")], by_session=True)
    subject, session = book.of(("S1",)).flywheel, book.of(("S1", "b")).flywheel
    assert subject is not None
    assert session is not None
    assert subject.levels["subject"].all
    assert isinstance(subject.levels["session"].rules[0].action, Unresolved)
    assert session.levels["session"].rules[0].action == Replace(("ses N: 2",))
