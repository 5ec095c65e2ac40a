"""The flywheel section as it is read, and records whose values nobody expects."""

import math
from datetime import date
from enum import StrEnum
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fw_gear_deid.actions import HashUid
from fw_gear_deid.deid.container import CleanContainer, deidentify_container
from fw_gear_deid.formats.record import MAX_DEPTH, Record, dotted
from fw_gear_deid.keys import Keyring
from fw_gear_deid.model.action import REMOVE
from fw_gear_deid.model.container import LEVELS, ContainerRecord, Moment, fit
from fw_gear_deid.model.errors import Unfit
from fw_gear_deid.model.legal import problem
from fw_gear_deid.profile.compiled import Profile
from fw_gear_deid.profile.parse import parse_profile
from fw_gear_deid.profile.text.problems import ProfileError

DICOM = "dicom: {date-increment: -17, fields: [{name: StudyDate, increment-date: true}]}\n"
SECRET = "ZZCANARY"


def profile(flywheel: str) -> Profile:
    """Read a profile by what stands in its flywheel section."""
    return parse_profile(f"{DICOM}flywheel: {flywheel}\n", "p.yaml")


def field(entry: str, level: str = "session", options: str = "") -> str:
    return f"{{{level}: {{{options}fields: [{{{entry}}}]}}}}"


def run(section: str, fields: dict[str, Any], level: str = "session") -> CleanContainer:
    record = ContainerRecord(level, "1", "L", fields)
    return deidentify_container(record, profile(section).flywheel, Keyring(b"k" * 32).draw("S"), date(2026, 1, 1))


# -- types ---------------------------------------------------------------------------------------------

FITS: list[tuple[str, str, Any, Any]] = [
    ("subject", "sex", "other", "other"), ("subject", "sex", "M", Unfit), ("subject", "sex", "", None),
    ("subject", "cohort", "Control", "Control"), ("subject", "cohort", "Trial", Unfit),
    ("subject", "mlset", "Test", "Test"), ("subject", "mlset", "Testing", "Testing"), ("subject", "mlset", "T", Unfit),
    ("subject", "type", "phantom", "phantom"), ("subject", "type", "dicom", Unfit), ("file", "type", "dicom", "dicom"),
    ("subject", "race", "White", "White"), ("subject", "race", ["White"], Unfit),
    ("subject", "ethnicity", "Unknown or Not Reported", "Unknown or Not Reported"),
    ("subject", "firstname", "", ""), ("subject", "firstname", 5, "5"), ("subject", "firstname", {}, Unfit),
    ("subject", "date_of_birth", "", None), ("subject", "date_of_birth", "1980-02-30", Unfit),
    ("session", "age", "45", 45), ("session", "age", 45.0, 45), ("session", "age", 45.5, Unfit),
    ("session", "age", True, Unfit), ("session", "age", 2**64, Unfit), ("session", "age", "1e3", Unfit),
    ("session", "weight", "70.5", 70.5), ("session", "weight", "nan", Unfit), ("session", "weight", 7, 7.0),
    ("session", "timestamp", "2020-01-01T25:00", Unfit), ("session", "timestamp", None, None),
    ("session", "tags", "a", ["a"]), ("session", "tags", ["a", 1], ["a", "1"]), ("session", "tags", [["a"]], Unfit),
    ("session", "info", "text", Unfit), ("file", "classification", {"Intent": "X"}, {"Intent": ["X"]}),
    ("file", "classification", ["X"], Unfit), ("project", "description", "d", "d"),
]  # fmt: skip


@pytest.mark.parametrize(("level", "key", "value", "expected"), FITS)
def test_values_fit_the_platform(level: str, key: str, value: Any, expected: Any) -> None:
    section = field(f"name: {key}", level)
    if expected is not Unfit:
        assert fit(level, key, value) == expected
        assert type(fit(level, key, value)) is type(expected)
        assert run(section, {key: value}, level).fields == ({} if expected is None else {key: expected})
        return
    with pytest.raises(Unfit, match=rf"^container {level}\.{key}: "):
        run(section, {key: value}, level)


# -- what is wrong with a section ----------------------------------------------------------------------

WRONG = [
    ("{sesion: {}}", "flywheel: unknown key 'sesion'; did you mean 'session'?"),
    ("{all: true}", "flywheel: unknown key 'all'; indent it below a level such as 'session:'"),
    ("{date-increment: x}", "flywheel.date-increment: must be a number"),
    ("[session]", "flywheel: must be a mapping of levels, such as 'session:'"),
    ("{session: [all]}", "flywheel.session: must be a mapping of options, indented below its name"),
    ("{session: {al: true}}", "flywheel.session: unknown option 'al'; did you mean 'all'?"),
    ("{session: {all: 1}}", "flywheel.session.all: must be true or false"),
    ("{session: {file-filter: '*'}}", "flywheel.session: unknown option 'file-filter'"),
    ("{session: {date-format: '%Q'}}", "flywheel.session.date-format: %Q is not a format code"),
    ("{session: {include-info-header: true}}", "only files have such a header: it belongs below 'file:'"),
    ("{session: {secret-key: x}}", "flywheel.session.secret-key: not supported by this version; take it out"),
    ("{session: {separator: ''}}", "flywheel.session.separator: must not be empty"),
    (field("name: lable"), "flywheel.session.fields[0]: no key of a session: 'lable'; did you mean 'label'?"),
    (field("name: PatientID"), "no key of a session: 'PatientID'; it has age, operator, timestamp"),
    (field("name: notes, remove: true"), "'notes' never travels"),
    (field("name: subject.label"), "belongs to the subject: name it below 'flywheel.subject'"),
    (field("name: label", "file"), "no key of a file: 'label'"),
    (field("name: label.x"), "'label' is a single value, so nothing can be below it"),
    (field("name: info..x"), "an empty key in the path 'info..x'"),
    (field("name: info.*.x"), "'*' means nothing in a path of keys; write a regex"),
    (field("regex: '(', keep: true"), "not a regular expression: missing ), unterminated subpattern"),
    (field("regex: info, removee: true"), "unknown key 'removee'; did you mean 'remove'?"),
    (field("name: label, replace-with: "), "no value: write '' to empty the field, or 'remove: true'"),
    (field("name: label, encrypt: true"), "'encrypt' is for fields of files alone"),
    (field("name: age, replace-with: old"), "age does not take this: the value is no number"),
    (field("name: sex, replace-with: M", "subject"), "sex does not take this: the value is none of male, female"),
    (field("name: info, replace-with: x"), "info does not take this: the value is no group of keys and values"),
    (field("name: timestamp, hash: true"), "timestamp cannot hold a hash; replace or remove it instead"),
    (field("name: mlset, hashuid: true", "subject"), "mlset cannot hold a hash"),
    (field("name: info.export.x"), "info.export is this program's own and never travels"),
    (field("name: info.header.x", "file"), "info.header does not travel without include-info-header: true"),
    (field("name: label, regex-sub: [{input-regex: x, output: '{acquisition.label}', groups: "
           "[{name: acquisition.label, keep: true}]}]"), "no key of a session or of what is above it: 'acquisition'"),
    (field("name: label, regex-sub: [{input-regex: x, output: '{subject.foo}', groups: "
           "[{name: subject.foo, keep: true}]}]"), "neither a capture nor a field: the subject has firstname"),
]  # fmt: skip


@pytest.mark.parametrize(("section", "message"), WRONG, ids=[section for section, _ in WRONG])
def test_a_wrong_section_is_refused(section: str, message: str) -> None:
    with pytest.raises(ProfileError) as caught:
        profile(section)
    errors = [problem for problem in caught.value.problems if problem.severity == "error"]
    assert len(errors) == 1
    assert errors[0].line == 2
    assert errors[0].column > 1
    assert message in f"{errors[0].where}: {errors[0].message}"


UNREADABLE: list[tuple[str, str, Any, Any]] = [
    ("name: info.when, increment-date: true", "info", {"when": "***", "by": "x"}, {"when": "", "by": "x"}),
    ("name: info.number, jitter: true", "info", {"number": "many", "by": "x"}, {"number": "", "by": "x"}),
    ("name: timestamp, increment-datetime: true", "timestamp", "yesterday", None),
    ("name: label, regex-sub: [{input-regex: 'P-(?P<n>.*)', output: '{n}'}]", "label", "other", None),
]


@pytest.mark.parametrize(("entry", "key", "value", "emptied"), UNREADABLE)
def test_what_cannot_be_read_goes_as_the_section_says(entry: str, key: str, value: Any, emptied: Any) -> None:
    others = "" if key != "info" else ", {name: info.by}"
    sections = {
        way: f"{{session: {{on-unreadable: {way}, fields: [{{{entry}}}{others}]}}}}"
        for way in ("refuse", "empty", "remove")
    }
    with pytest.raises(Unfit, match="on-unreadable: empty"):
        run(sections["refuse"], {key: value})
    for way in ("empty", "remove"):
        clean = run(sections[way], {key: value})
        assert any(edit.action == f"unreadable-{way}" for edit in clean.edits)
        kept = clean.fields.get(key) if key != "label" else clean.label
        if way == "empty":
            assert kept == emptied
        else:
            assert kept in (None, {"by": "x"})


def test_dates_that_all_lets_travel_go_by_the_option_too() -> None:
    section = "{session: {all: true, on-unreadable: remove}}"
    assert "timestamp" not in run(section, {"timestamp": "yesterday"}).fields
    with pytest.raises(Unfit, match="on-unreadable"):
        run("{session: {all: true}}", {"timestamp": "yesterday"})


@pytest.mark.parametrize("uid", ["1.2.840.113619.2.62.5", "1.2.0840.5", "anonymized", "1.2.3.", " 1.2.3 ", "1." * 40])
def test_uids_of_containers_are_those_of_the_files(uid: str) -> None:
    assert run(field("name: uid, hashuid: true"), {"uid": uid}).fields == {"uid": HashUid().uid(uid)}
    assert not problem(HashUid().uid(uid), "UI")


WARNED = [
    ("{subject: {all: true}}", "all: true lets label, firstname, lastname, info, tags travel as they are"),
    ("{file: {all: true, fields: [{name: info, remove: true}]}}", None),
    (field("name: timestamp"), "timestamp travels as it is while dates elsewhere move: it tells by how much"),
    (field("name: timestamp, increment-date: true"), None),
    (field("name: label, hash: true"), "a hash without a salt can be undone by trying all likely values"),
    (field("name: label, hash: true", options="salt: x, "), "a salt of 1 characters is found by trying"),
    (field("name: label, hash: true", options="salt: Kj3-wq9_Z, "), None),
    (field("name: label, hash: keyed"), None),
    (field("name: uid, hashuid: true"), None),
    ("{session: {fields: [{name: uid}, {name: uid}]}}", "field listed twice, first in line 2: the same again"),
]


@pytest.mark.parametrize(("section", "message"), WARNED)
def test_what_a_section_leaves_is_told(section: str, message: str | None) -> None:
    found = [one.message for one in profile(section).warnings if one.where.startswith("flywheel")]
    assert [message in one for one in found] == [True] if message else not found  # type: ignore[operator]


def test_a_profile_knows_its_levels_and_what_they_read() -> None:
    entry = "name: label, regex-sub: [{input-regex: x, output: x, groups: [{name: project.label, keep: true}]}]"
    section = profile(field(entry)).flywheel
    assert section is not None
    assert set(section.levels) == {"session"}
    assert section.reads == {"session", "project"}
    assert parse_profile(DICOM, "p.yaml").flywheel is None


# -- values that nobody expects ------------------------------------------------------------------------


class Cohort(StrEnum):
    """As the platform's client hands them out."""

    STUDY = "Study"


def nested(depth: int) -> Any:
    value: Any = SECRET
    for _ in range(depth):
        value = {"k": [value]}
    return value


HOSTILE = {
    "deep": nested(MAX_DEPTH), "huge": 10**5000, "nan": math.nan, "infinite": [math.inf], "key": {5: SECRET},
    "set": {SECRET}, "bytes": SECRET.encode(), "half": f"{SECRET}\ud800", "half key": {"\udfff": 1},
}  # fmt: skip


@pytest.mark.parametrize("value", HOSTILE.values(), ids=HOSTILE)
@pytest.mark.parametrize("entry", ["name: info.x, hash: true", "regex: .*x, hash: true", "name: info, remove: true"])
def test_hostile_values_are_refused_where_a_rule_reaches_them(entry: str, value: Any) -> None:
    with pytest.raises(Unfit, match=r"container session\.info: ") as caught:
        run(field(entry), {"info": {"x": value}})
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("value", HOSTILE.values(), ids=HOSTILE)
def test_hostile_values_stay_behind_where_no_rule_reaches_them(value: Any) -> None:
    done = run(field("name: uid"), {"info": {"x": value}, "tags": value, "uid": "1.2"})
    assert done.fields == {"uid": "1.2"}
    assert len(done.edits) == 2


def test_members_of_enumerations_and_dates_count_as_their_text() -> None:
    fields = {"cohort": Cohort.STUDY, "date_of_birth": date(1980, 5, 1)}
    assert run("{subject: {all: true}}", fields, "subject").fields == {"cohort": "Study", "date_of_birth": "1980-04-14"}
    assert type(run(field("name: cohort", "subject"), fields, "subject").fields["cohort"]) is str


SCALARS = st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False) | st.text(max_size=5)
JSON = st.recursive(
    SCALARS.filter(lambda value: value not in (math.inf, -math.inf)),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=12,
)


@given(st.dictionaries(st.sampled_from("abc"), JSON))
def test_a_record_gives_back_what_it_was_given(value: dict[str, Any]) -> None:
    record = Record(value)
    assert record.get(()) == value
    assert record.pick([()]) == value
    for path in list(record.paths()):
        assert path in record.find(dotted(path, "\0"), "\0") or any("\0" in str(step) for step in path)
        copy = Record(value)
        assert copy.remove(path)
        assert copy.get(path) is REMOVE
        assert not copy.remove(path)
        assert Record(value).pick([path]) is not REMOVE


@given(JSON, st.sampled_from(LEVELS))
def test_no_value_does_more_than_be_refused(value: Any, level: str) -> None:
    fields = dict.fromkeys(("info", "tags", "timestamp", "age", "weight", "classification", "description"), value)
    for section in (f"{{{level}: {{all: true}}}}", field("regex: .*, hash: true", level)):
        try:
            done = run(section, fields, level)
        except Unfit:
            continue
        assert done.fields.keys() <= fields.keys()


def test_records_make_groups_on_the_way() -> None:
    record = Record({"a": None, "l": [1, {}]})
    assert record.create("a.b.c", 1) == ("a", "b", "c")
    assert record.create("l.1.x", 2) == ("l", 1, "x")
    assert record.get(()) == {"a": {"b": {"c": 1}}, "l": [1, {"x": 2}]}
    record.remove(("l", 0))
    assert record.get(("l",)) == [{"x": 2}]
    assert record.find("l.1.x") == [("l", 1, "x")]


@pytest.mark.parametrize(
    "text", ["2020-01-01x", "2020-13-01", "2020-01-01T24:01", "20200101", "2020-01-01T10:00+99:00", ""]
)
def test_moments_are_of_the_calendar(text: str) -> None:
    with pytest.raises(Unfit):
        Moment.read(text)
