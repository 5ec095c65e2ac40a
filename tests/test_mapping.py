"""Mapping table → a profile for every subject or session; what is missing stops everything, all of it told at once."""

from __future__ import annotations

import csv
import pickle
from collections.abc import Sequence
from pathlib import Path

import pytest

from fw_gear_deid.actions import IncrementDate, Keep, Replace
from fw_gear_deid.model.errors import Unfit, UsageError
from fw_gear_deid.profile.book import ProfileBook
from fw_gear_deid.profile.mapping import MappingTable, plan_profiles, read_mapping
from fw_gear_deid.profile.problems import ProfileError
from fw_gear_deid.profile.profile import Profile
from fw_gear_deid.profile.variables import Unresolved

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


def table(folder: Path, rows: Rows, *, by_session: bool = False) -> MappingTable:
    path = folder / "map.csv"
    with path.open("w", encoding="utf-8", newline="") as stream:
        csv.writer(stream).writerows(rows)
    return read_mapping(path, by_session=by_session)


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
    [(b"", ["map.csv: no column subject.label", "map.csv: no rows below the header"]),
     (b"subject.label,NEWID\n", ["map.csv: no rows below the header"]),
     (b"label,NEWID\nS1,1\n", ["map.csv: no column subject.label"]),
     (b"subject.label;NEWID\nS1;1\n", ["map.csv: no column subject.label; columns are separated by commas"]),
     (b"subject.label,A,B,A\nS1,1\nS2,1,2,3,4\n", ["map.csv: columns 2 and 4 have the same name",
      "map.csv: row 2 has 2 cells, the header 4", "map.csv: row 3 has 5 cells, the header 4"]),
     (b"subject.label,A\nS1,1\nS2,2\nS1,3\n,4\nS2,5\nS1,6\n", ["map.csv: row 5, column subject.label: blank",
      "map.csv: rows 2, 4, 7 are for the same subject", "map.csv: rows 3, 6 are for the same subject"]),
     (b'subject.label,A\nS1,"a"b\n', ["map.csv: line 2: not CSV; a cell with quotes is written", "no rows"]),
     (b'subject.label,A\nS1,"a\n\n', ["map.csv: line 3: not CSV; a cell with quotes is written", "no rows"]),
     ("subject.label,A\nS1,é\n".encode("cp1252"), ["the mapping is not UTF-8 text"]),
     ("subject.label,A\nS1,x\n".encode("utf-16"), ["the mapping is not UTF-8 text"])],
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
    assert lines == ["map.csv: rows 3, 5 are for the same subject and session"]
    lines = refusal(lambda: table(tmp_path, [["subject.label"], ["S1"]], by_session=True))
    assert lines == ["map.csv: no column session.label; columns are separated by commas"]


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
        for lookup in (book.of, book.for_file):
            with pytest.raises(Unfit, match=r"\{\{ NEWID \}\} have no value"):
                lookup(labels)
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
    book = plan_profiles(TEXT, "p.yaml", table(tmp_path, rows), subjects)
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
    subjects = [("S1",), (f"{CANARY} MISSING",), ("S2",), ("S3",), ("S5",)]
    known = {("S2",): {"subject.info.x": ""}, ("S5",): {"subject.info.x": "1"}}
    lines = refusal(lambda: plan_profiles(text, "p.yaml", rows, subjects, lambda labels: known.get(labels, {})))
    assert lines[1:] == [
        "p.yaml:11:21 {{ other }} has no value: map.csv has no such column; did you mean 'Other'?",
        "p.yaml:11:54 {{ session.label }} has no value: profiles go by subject, not by session",
        "column NEWID is blank: map.csv rows 2, 4",
        "column shift is blank: map.csv rows 2, 3",
        "{{ subject.info.x }} has no value: source subjects 1, 2, 4 of 5 (in listing order)",
        "the mapping has no row: source subjects 2, 5 of 5 (in listing order)",
        "{{ subject.info.x }} is blank: source subject 3 of 5 (in listing order)",
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
    rows = [["subject.label", "NEWID", "shift"], ["S1", long, "x"], ["S2", "ok", "5"], ["S3", long, CANARY],
            ["S4", "", "9e6"], ["S5", "ok", "9e6"]]  # fmt: skip
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


def test_two_subjects_may_have_one_value(tmp_path: Path) -> None:
    rows = table(tmp_path, [["subject.label", "NEWID"], ["S1", "x"], ["S2", "x"]])
    book = plan_profiles(TEXT, "p.yaml", rows, [("S1",), ("S2",)])
    assert book.of(("S1",)) is book.of(("S2",))


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
        SHIFTED, "p.yaml", table(tmp_path, rows, by_session=True), [*subjects, ("S1", CANARY)], by_session=True
    ))  # fmt: skip
    assert lines[1:] == ["the mapping has no row: source session 4 of 4 (in listing order)"]


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
