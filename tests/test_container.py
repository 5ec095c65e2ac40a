"""Metadata of containers: what the flywheel section lets travel, in which form, and what is noted of the rest."""

import json
import textwrap
from datetime import UTC, date, datetime
from hashlib import sha256
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fw_gear_deid.deid.container import LABEL_MAX, CleanContainer, deidentify_container, fit_label
from fw_gear_deid.keys import Keyring
from fw_gear_deid.model.action import At
from fw_gear_deid.model.container import EDITABLE, LEVELS, ContainerRecord
from fw_gear_deid.model.errors import Unfit
from fw_gear_deid.model.outcome import Always, Edit
from fw_gear_deid.profile.compiled import Profile
from fw_gear_deid.profile.parse import parse_profile

KEYS = Keyring(b"k" * 32)
TODAY = date(2026, 1, 1)
DICOM = "dicom: {date-increment: -17, fields: [{name: StudyDate, increment-date: true}]}\n"
CANARY = "ZZCANARY"
SUBJECT: dict[str, Any] = {
    "firstname": f"{CANARY}-first", "lastname": f"{CANARY}-last", "date_of_birth": "1980-05-01", "sex": "female",
    "cohort": "Study", "mlset": "Training", "type": "human", "race": "Asian", "ethnicity": "Not Hispanic or Latino",
    "species": "Human", "strain": "x", "tags": [f"{CANARY}-tag", "b"], "info": {"PatientName": f"{CANARY}-info"},
}  # fmt: skip
INFO = {
    "PatientName": f"{CANARY}-name",
    "visits": [{"site": "A", "day": "2020-02-29"}, {"site": "B", "when": "2020-02-29 13:45:01"}],
    "名前": {"かな": "やまだ"}, "n": 5, "x": 1.5, "yes": True, "nothing": None, "empty": {},
    "header": {"dicom": {"PatientID": f"{CANARY}-id"}}, "export": {"origin_id": "0" * 64},
}  # fmt: skip
SESSION: dict[str, Any] = {
    "age": 1_000_000_000, "operator": f"{CANARY}-operator", "timestamp": "2020-01-01T10:00:00.250Z", "uid": "1.2.3",
    "timezone": "Europe/Rome", "weight": 70.5, "tags": [f"{CANARY}-tag"], "info": INFO, "notes": [{"text": CANARY}],
}  # fmt: skip
FILE = {"type": "dicom", "modality": "MR", "classification": {"Intent": ["Structural"]}, "tags": [CANARY], "info": INFO}
PARENTS = {"project": {"label": "study"}, "subject": {"label": f"{CANARY}^MARY", **SUBJECT}, "session": {**SESSION}}


def profile(flywheel: str, before: str = DICOM) -> Profile:
    """Read a profile by the lines below ``flywheel:``."""
    return parse_profile(f"{before}flywheel:\n{textwrap.indent(textwrap.dedent(flywheel), '  ')}\n", "p.yaml")


def clean(
    level: str, flywheel: str, fields: dict[str, Any], *, label: str = "L", subject: str = "S", before: str = DICOM
) -> CleanContainer:
    """De-identify one container."""
    record = ContainerRecord(level, "1", label, fields, PARENTS)
    return deidentify_container(record, profile(flywheel, before).flywheel, KEYS.draw(subject), TODAY)


def travelled(flywheel: str, fields: dict[str, Any], level: str = "session") -> dict[str, Any]:
    return clean(level, flywheel, fields).fields


def rules(*fields: str, level: str = "session", options: str = "") -> str:
    """Write a level with fields in flow style."""
    return f"{level}: {{{options}fields: [{', '.join(fields)}]}}"


# -- W11: nothing travels without a rule ---------------------------------------------------------------


@pytest.mark.parametrize("section", ["session: {}", "session:", "subject: {all: true}", "{}"])
def test_nothing_travels_by_default(section: str) -> None:
    done = clean("session", section, SESSION, label=f"{CANARY} 2020-01-01")
    assert (done.label, done.fields) == (None, {})
    assert {edit.path.removeprefix("container session.") for edit in done.edits} == SESSION.keys()
    assert {(edit.action, edit.rule, edit.after) for edit in done.edits} == {("remove", Always.CONTAINER.value, "")}


@pytest.mark.parametrize("level", LEVELS)
def test_nothing_travels_without_a_section(level: str) -> None:
    done = deidentify_container(ContainerRecord(level, "1", "L", SUBJECT, {}), None, KEYS.draw("S"), TODAY)
    assert (done.label, done.fields) == (None, {})
    assert {edit.path.partition(".")[2] for edit in done.edits} == SUBJECT.keys() & set(EDITABLE[level])


def test_what_was_typed_by_people_needs_a_rule() -> None:
    done = clean("subject", rules("{name: sex}", "{name: info.code, replace-with: A7}", level="subject"), SUBJECT)
    assert done.fields == {"sex": "female", "info": {"code": "A7"}}
    assert CANARY not in json.dumps(done.fields)
    before = {edit.path: (edit.before, edit.after) for edit in done.edits}
    assert before["container subject.firstname"] == (f"{CANARY}-first", "")
    assert before["container subject.tags"] == (f"{CANARY}-tag\\b", "")
    assert before["container subject.info"] == ("<2 values>", "<1 value>")
    assert before["container subject.info.code"] == ("", "A7")


def test_tags_of_files_and_headers_need_a_rule_even_with_all() -> None:
    done = clean("file", "file: {all: true}", FILE)
    assert "tags" not in done.fields
    assert not {"header", "export"} & done.fields["info"].keys()
    assert {e.path: e.before for e in done.edits if e.path.endswith((".header", ".export"))} == {
        "container file.info.export": "<1 value>",
        "container file.info.header": "<1 value>",
    }
    done = clean("file", rules("{name: tags}", level="file", options="all: true, include-info-header: true, "), FILE)
    assert done.fields["tags"] == [CANARY]
    assert done.fields["info"]["header"] == INFO["header"]


def test_all_brings_everything_editable_minus_removals() -> None:
    section = rules("{name: operator, remove: true}", "{regex: info\\.(Pat|head), remove: true}", options="all: true, ")
    done = clean("session", section, {**SESSION, "operator": "", "code": "x"}, label="visit 1")
    stays = INFO.keys() - {"PatientName", "header", "export"}
    assert done.label == "visit 1"
    assert done.fields.keys() == SESSION.keys() - {"operator", "notes"}
    assert done.fields["info"].keys() == stays
    assert Edit("container session.notes", "", "", "remove", Always.CONTAINER.value, "<1 value>", "") in done.edits


# -- paths ---------------------------------------------------------------------------------------------


def digest(text: str) -> str:
    return sha256(text.encode()).hexdigest()[:16]


NAMED = [
    ("{name: info.n}", {"n": 5}),
    ("{name: info.visits.1.site}", {"visits": [{"site": "B"}]}),
    ("{name: info.visits.9.site}", {}),
    ("{name: info.visits.9.site, remove: true}", {}),
    ("{name: info.visits}", {"visits": INFO["visits"]}),
    ("{name: info.名前.かな}", {"名前": {"かな": "やまだ"}}),
    ("{name: info.名前.かな, hash: true}", {"名前": {"かな": digest("やまだ")}}),
    ("{name: info.n, hash: true}", {"n": digest("5")}),
    ("{name: info.visits.1, hash: true}, {regex: info.visits.*n, remove: true}", {"visits": [{"site": digest("B")}]}),
    ("{regex: 'info\\.visits\\.\\d+\\.site', replace-with: Z}", {"visits": [{"site": "Z"}, {"site": "Z"}]}),
    ("{regex: 'info\\.visits', replace-with: Z}", {"visits": [{"site": "Z", "day": "Z"}, {"site": "Z", "when": "Z"}]}),
    ("{regex: 'info\\.visits$', remove: true}", {}),
    ("{name: info.visits.0.day, increment-date: true}", {"visits": [{"day": "2020-02-12"}]}),
    ("{name: info.visits.1.when, increment-datetime: true}", {"visits": [{"when": "2020-02-12 13:45:01"}]}),
    ("{name: info.a.b, replace-with: 'c\\d'}", {"a": {"b": "c\\d"}}),
    ("{name: info.a.b, replace-with: [c, d]}", {"a": {"b": ["c", "d"]}}),
    ("{name: info.a.b, replace-with: c, replace-with-insert: false}", {}),
    ("{name: info.visits.0, remove: true}, {name: info.visits.1.site}", {"visits": [{"site": "B"}]}),
    ("{name: info.nothing, hash: true}", {"nothing": None}),
    ("{name: info.empty}", {"empty": {}}),
    ("{name: info.n, jitter: true, jitter-type: int, jitter-range: 1, jitter-min: 9}", {"n": 9}),
]  # fmt: skip


@pytest.mark.parametrize(("entry", "expected"), NAMED, ids=[entry for entry, _ in NAMED])
def test_a_rule_lets_its_path_travel_and_no_more(entry: str, expected: dict[str, Any]) -> None:
    assert travelled(rules(entry), SESSION) == ({"info": expected} if expected else {})


def test_separator() -> None:
    section = rules("{name: info/a.b/c}", options="separator: /, ")
    assert travelled(section, {"info": {"a.b": {"c": 1}, "a": {"b": {"c": 2}}}}) == {"info": {"a.b": {"c": 1}}}


def test_a_key_that_holds_the_separator_is_found() -> None:
    section = rules("{name: info.a.b, remove: true}", options="all: true, ")
    assert travelled(section, {"info": {"a.b": 1, "a": {"b": 2, "c": 3}}}) == {"info": {"a": {"c": 3}}}


@pytest.mark.parametrize("entry", ["{name: info.n.x, replace-with: 1}", "{name: info.visits.5, replace-with: a}"])
def test_nothing_is_made_where_there_is_no_place(entry: str) -> None:
    with pytest.raises(Unfit, match=r"p\.yaml:\d+ replace-with: container session\.info\..*no place"):
        travelled(rules(entry), SESSION)


# -- labels --------------------------------------------------------------------------------------------

LABELS = [
    ("{name: label}", "visit 1", "visit 1"),
    ("{name: label}", " a/b\n", "a_b"),
    ("{name: label, remove: true}", "visit 1", None),
    ("{name: label, replace-with: ''}", "visit 1", None),
    ("{name: label, replace-with: v}", "visit 1", "v"),
    ("{regex: lab, hash: true}", "visit 1", digest("visit 1")),
    ("{name: label, regex-sub: [{input-regex: '.*', output: '{subject.label}_{timestamp}', groups: "
     "[{name: subject.label, hash: true}, {name: timestamp, increment-datetime: true, "
     "datetime-format: '%Y-%m-%d %H:%M:%S.%f'}]}]}",
     "visit 1", f"{digest(CANARY + '^MARY')}_2019-12-15 10:00:00.250000+00:00"),
    ("{name: label, regex-sub: [{input-regex: '(?P<d>[0-9-]+).*', output: '{d}-{subject.info.PatientName}{info.gone}', "
     "groups: [{name: d, increment-date: true}, {name: subject.info.PatientName, replace-with: x}, {name: info.gone, "
     "keep: true}]}]}",
     "2020-01-01 DOE", "2019-12-15-x"),
]  # fmt: skip


@pytest.mark.parametrize(("entry", "label", "expected"), LABELS)
def test_labels(entry: str, label: str, expected: str | None) -> None:
    done = clean("session", rules(entry), SESSION, label=label)
    assert done.label == expected
    edits = [edit for edit in done.edits if edit.path == "container session.label"]
    assert [(edit.before, edit.after) for edit in edits] == ([(label, expected or "")] if label != expected else [])


def test_a_label_without_its_pattern_is_refused() -> None:
    entry = "{name: label, regex-sub: [{input-regex: 'x', output: 'y'}]}"
    with pytest.raises(Unfit, match=r"p\.yaml:3 regex-sub: container session\.label: no input-regex") as caught:
        clean("session", rules(entry), SESSION, label=CANARY)
    assert CANARY not in str(caught.value)


@given(st.text(min_size=60, max_size=70), st.text(max_size=3))
def test_labels_fit_and_long_ones_stay_different(text: str, more: str) -> None:
    one, other = fit_label(text), fit_label(text + more)
    assert len(one) <= LABEL_MAX
    assert "/" not in one
    assert fit_label(one) == one.strip()
    if len(text.strip()) > LABEL_MAX and text.strip() != (text + more).strip():
        assert one != other
    assert len(text.strip()) <= LABEL_MAX or one[51] == "-"


# -- W26: dates ----------------------------------------------------------------------------------------

STAMPS = [
    ("2020-01-01T10:00:00.250Z", "2019-12-15T10:00:00.250Z"),
    ("2020-01-01 10:00:00+01:00", "2019-12-15 10:00:00+01:00"),
    ("2020-01-01T10:00", "2019-12-15T10:00"),
    ("2020-01-01T10:00:00.123456789-0500", "2019-12-15T10:00:00.123456789-0500"),
    ("2020-01-01", "2019-12-15"),
    (datetime(2020, 1, 1, 10, tzinfo=UTC), "2019-12-15T10:00:00+00:00"),
]
MOVING = {
    "by name": rules("{name: timestamp, increment-datetime: true}"),
    "by day": rules("{name: timestamp, increment-date: true}"),
    "by regex": rules("{regex: time, increment-datetime: true}"),
    "with all": "session: {all: true}",
    "own": rules("{name: timestamp, increment-date: true}", options="date-increment: -17, "),
}


@pytest.mark.parametrize("section", MOVING.values(), ids=MOVING)
@pytest.mark.parametrize(("stamp", "moved"), STAMPS)
def test_timestamps_move_with_the_files_and_keep_their_form(section: str, stamp: object, moved: str) -> None:
    before = DICOM.replace("-17", "3") if "-17" in section else DICOM
    assert clean("session", section, {"timestamp": stamp}, before=before).fields == {"timestamp": moved}


@pytest.mark.parametrize(
    ("before", "section", "day"),
    [
        (DICOM, "date-increment: 2\nsession: {all: true}", "2020-01-03"),
        (DICOM, "date-increment: 2\nsession: {all: true, date-increment: 1}", "2020-01-02"),
        (DICOM, "date-increment: 2\n" + rules("{name: timestamp, increment-date: true}"), "2020-01-03"),
        (DICOM, rules("{name: timestamp}", options="all: true, "), "2020-01-01"),
        ("dicom: {fields: [{name: PatientName, remove: true}]}\n", "session: {all: true}", "2020-01-01"),
    ],
)
def test_whose_increment_holds(before: str, section: str, day: str) -> None:
    done = clean("session", section, {"timestamp": "2020-01-01T10:00:00Z"}, before=before)
    assert done.fields == {"timestamp": f"{day}T10:00:00Z"}
    assert done.edits or day == "2020-01-01"


def test_jitter_is_one_distance_for_a_subject_and_that_of_its_files() -> None:
    jittered = "dicom: {date-increment: 0, fields: [{name: StudyDate, increment-date: true, jitter-date: true}]}\n"
    by_rule = rules("{name: timestamp, increment-datetime: true, jitter-date: true}")
    section = profile("{}", jittered).dicom
    assert section is not None
    shift = section.rules[0].action.shift  # type: ignore[attr-defined]
    moved: dict[str, list[str]] = {"S": [], "other": []}
    for subject, found in moved.items():
        for flywheel in (by_rule, "session: {all: true}"):
            done = clean("session", flywheel, {"timestamp": "2020-01-01"}, subject=subject, before=jittered)
            found.append(str(done.fields["timestamp"]))
    expected = datetime(2020, 1, 1, tzinfo=UTC) + shift.delta(At("DA", KEYS.draw("S"), TODAY, str))
    assert moved["S"] == [expected.date().isoformat()] * 2
    assert len(set(moved["other"])) == 1
    assert moved["other"] != moved["S"]


def test_birth_dates_move_with_all_and_can_be_emptied() -> None:
    assert travelled("subject: {all: true}", SUBJECT, "subject")["date_of_birth"] == "1980-04-14"
    section = rules("{name: date_of_birth, replace-with: ''}", "{name: lastname, replace-with: ''}", level="subject")
    assert travelled(section, SUBJECT, "subject") == {"lastname": ""}
