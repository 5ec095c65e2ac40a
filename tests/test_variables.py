"""Variables of a profile: every value arrives exactly as written, and whatever is missing is told before a run."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from datetime import date
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fw_gear_deid.actions import IncrementDate, Replace
from fw_gear_deid.model.action import At
from fw_gear_deid.model.errors import Unfit, UsageError
from fw_gear_deid.profile.compiled import Profile
from fw_gear_deid.profile.parse import parse_profile
from fw_gear_deid.profile.text.problems import ProfileError
from fw_gear_deid.profile.values import variables
from fw_gear_deid.profile.values.mapping import MappingTable, plan_profiles, read_mapping
from fw_gear_deid.profile.values.variables import Unresolved

EXAMPLES = settings(derandomize=True, database=None, deadline=None, max_examples=200)
CANARY = "ZZ^CANARY^7F3A"
FIELD = "dicom:\n  fields:\n    - name: {name}\n      {action}\n"
NEWID = FIELD.format(name="PatientID", action='replace-with: "{{ NEWID }}"')
NASTY = [
    "00123", "0o17", "1_000", "1e5", "0x1F", "12:30:45", "1.", "-0", ".inf", "nan", "NA", "null", "~", "None", "yes",
    "true", "2020-01-02", "A&B", "x'y", 'say "hi"', "John <b>", "O'Neil: #1", "a: b", "[1]", "{a: b}", "{{ NEWID }}",
    "{{", "}}", "# no comment", "- item", "*alias", "&anchor", "!!int 5", "|", ">", "%YAML", "@", "`", "?", ",",
    " lead",
    "trail ", "\tTab\t", "two\nlines", "two\r\nlines", "---", "...", ": evil\n  - remove: true", "\\", "a\\b", "\\1",
    "\\u0041", "${HOME}", "%s", "ÄÖ é ß", "山田^太郎", "\u202eabc", "\U0001f600", "\ue000\U00100000", "\ufeffx",
    "x" * 5000,
]  # fmt: skip


SPELLINGS = ["{{ V }}", '"{{ V }}"', "'{{V}}'", "|-\n        {{ V }}", "[{{ V }}]", "{{\tV  }} # {{ W }}"]


def replacement(profile: Profile, index: int = 0) -> Sequence[str]:
    assert profile.dicom is not None
    action = profile.dicom.rules[index].action
    assert isinstance(action, Replace)
    return action.values


def errors(text: str, values: dict[str, str] | None) -> list[str]:
    with pytest.raises(ProfileError) as caught:
        parse_profile(text, "p.yaml", values)
    return [line for line in str(caught.value).splitlines() if " error " in line]


def table(folder: Path, *rows: Sequence[str], by_session: bool = False) -> MappingTable:
    path = folder / "map.csv"
    with path.open("w", encoding="utf-8", newline="") as stream:
        csv.writer(stream).writerows(rows)
    return read_mapping(path, by_session=by_session)


# -- values arrive as they are -------------------------------------------------------------------------


@pytest.mark.parametrize("value", NASTY)
@pytest.mark.parametrize("spelling", SPELLINGS)
def test_a_cell_is_text_exactly_as_written(tmp_path: Path, value: str, spelling: str) -> None:
    text = FIELD.format(name="TextValue", action=f"replace-with: {spelling}")
    mapping = table(tmp_path, ["subject.label", "V"], ["S1", value])
    book = plan_profiles(text, "p.yaml", mapping, [("S1",)])
    assert replacement(book.of(("S1", "ses", "acq"))) == (value,)


@EXAMPLES
@given(
    st.text(min_size=1).filter(lambda text: not variables.is_blank(text)),
    st.text("ab'\"# :-{}[]&*!|>%@`\\", max_size=8),
)
def test_any_text_in_any_surrounding_changes_one_scalar_only(value: str, around: str) -> None:
    entry = {"name": "TextValue", "replace-with": around.replace("{{", "") + "{{ V }}" + around.replace("}}", "")}
    try:
        profile = parse_profile(json.dumps({"dicom": {"fields": [entry]}}), "p.json", {"V": value})
    except ProfileError:
        assert "{{" in entry["replace-with"].replace("{{ V }}", "") or "{{{" in entry["replace-with"]
        return
    assert profile.dicom is not None
    assert len(profile.dicom.rules) == 1
    assert replacement(profile) == (entry["replace-with"].replace("{{ V }}", value),)


def test_a_variable_may_stand_in_a_longer_text_and_several_times() -> None:
    text = FIELD.format(name="PatientID", action="replace-with: sub-{{ A }}_{{B}}{{ A }}")
    assert replacement(parse_profile(text, "p.yaml", {"A": "1", "B": "'"})) == ("sub-1_'1",)


def test_json_and_flow_style_hold_variables() -> None:
    second = "{name: OtherPatientNames, replace-with: [{{ A }}, b]}"
    text = f"{{dicom: {{fields: [{{name: PatientID, replace-with: {{{{ A }}}}}}, {second}]}}}}"
    profile = parse_profile(text, "p.yaml", {"A": "a, b"})
    assert (replacement(profile), replacement(profile, 1)) == (("a, b",), ("a, b", "b"))


def test_a_backslash_separates_values_as_everywhere_in_dicom() -> None:
    assert replacement(parse_profile(NEWID, "p.yaml", {"NEWID": "a\\b"})) == ("a", "b")


def test_values_change_nothing_but_their_scalar() -> None:
    evil = ": evil\n  - remove: true"
    text = (
        FIELD.format(name="PatientComments", action="replace-with: {{ V }}")
        + "    - name: PatientName\n      remove: true\n"
    )
    plain, filled = (parse_profile(text, "p.yaml", {"V": value}).dicom for value in ("x", evil))
    assert plain is not None
    assert filled is not None
    assert [rule.action.key for rule in filled.rules] == [rule.action.key for rule in plain.rules]
    assert filled.rules[0].action == Replace((evil,))
    assert filled.rules[1:] == plain.rules[1:]


def test_a_value_in_a_pattern_is_no_pattern() -> None:
    item = 'regex-sub: [{input-regex: "^{{ V }}-(?P<n>\\\\d+)$", output: "{{ W }}-{n}"}]'
    profile = parse_profile(FIELD.format(name="PatientID", action=item), "p.yaml", {"V": "a.*(", "W": "new"})
    assert profile.dicom is not None
    act, at = profile.dicom.rules[0].action, At("LO", lambda purpose: 0, date(2020, 1, 1), str)
    assert act(("a.*(-12",), at) == ("new-12",)
    with pytest.raises(Unfit):
        act(("abc(-12",), at)


def test_a_value_in_a_template_names_no_field() -> None:
    item = 'regex-sub: [{input-regex: ".*", output: "{{ V }}"}]'
    text = FIELD.format(name="PatientID", action=item)
    assert "holds a brace" in errors(text, {"V": "{PatientName}"})[0]
    assert "cannot name the field" in errors(text.replace("{{ V }}", "{{{ V }}}"), {"V": "PatientName"})[0]


# -- numbers and booleans ------------------------------------------------------------------------------

SHIFT = "dicom:\n  date-increment: {{ shift }}\n  remove-private-tags: '{{ flag }}'\n" + FIELD.format(
    name="StudyDate", action="increment-date: true"
).removeprefix("dicom:\n")


@pytest.mark.parametrize(("cell", "days"), [("-17", -17), (" 5 ", 5), ("+3", 3), ("0.5", 0.5), ("1e2", 100)])
@pytest.mark.parametrize(("flag", "truth"), [("TRUE", True), ("no", False)])
def test_a_number_or_boolean_is_read_where_the_option_wants_one(cell: str, days: float, flag: str, truth: bool) -> None:
    for text in (SHIFT, SHIFT.replace("{{ shift }}", '"{{ shift }}"')):
        section = parse_profile(text, "p.yaml", {"shift": cell, "flag": flag}).dicom
        assert section is not None
        assert section.remove_private is truth
        assert isinstance(section.rules[0].action, IncrementDate)
        assert section.rules[0].action.shift.days == days


@pytest.mark.parametrize("cell", ["007", "1_000", "0x10", "ten77", "1e999", "nan", "3 4", "9" * 70, "١٧"])
def test_what_is_no_number_is_an_error_that_does_not_quote_it(cell: str) -> None:
    told = errors(SHIFT, {"shift": cell, "flag": cell})
    assert told == [
        "p.yaml:2:19 error dicom.date-increment: the value of {{ shift }} must be a number",
        "p.yaml:3:24 error dicom.remove-private-tags: the value of {{ flag }} must be true or false",
    ]


def test_a_whole_number_is_asked_for_where_only_such_will_do() -> None:
    text = "dicom:\n  hash-digits: {{ n }}\n" + FIELD.format(name="PatientID", action="hash: true").removeprefix(
        "dicom:\n"
    )
    assert "must be a whole number" in errors(text, {"n": "1.5"})[0]
    assert (
        "hash of 64 digits is too long for VR SH" in errors(text.replace("PatientID", "AccessionNumber"), {"n": "0"})[0]
    )


@pytest.mark.parametrize(
    ("keyword", "cell", "told"),
    [("SeriesNumber", "7", ""), ("Rows", "512", ""), ("Rows", "-1", "not a whole number from 0 to 65535"),
     ("Rows", "1" * 5000, "longer than any number"), ("PatientWeight", "70.5", ""), ("StudyDate", "20200101", ""),
     ("StudyDate", "2020-01-01", "longer than the 8 characters"), ("StudyTime", CANARY, "not in the form of VR TM"),
     ("PatientSex", "female", "not in the form of VR CS"), ("PatientID", "a\nb", "with control characters")],
)  # fmt: skip
def test_a_value_must_be_legal_where_it_goes(keyword: str, cell: str, told: str) -> None:
    text = FIELD.format(name=keyword, action="replace-with: {{ V }}")
    if not told:
        assert replacement(parse_profile(text, "p.yaml", {"V": cell})) == (cell,)
        return
    (line,) = errors(text, {"V": cell})
    assert told in line
    assert line.startswith("p.yaml:4:21 error dicom.fields[0].replace-with: the value of {{ V }}")
    assert cell not in line


QUOTED = ["date-increment", "date-format", "uid-numeric-name", "hash-digits", "jitter-type", "uid-suffix-fields"]


@EXAMPLES
@given(st.sampled_from(QUOTED), st.text("%qY\x07.1-" + CANARY, min_size=3))
def test_no_message_quotes_a_value(option: str, value: str) -> None:
    text = f"dicom:\n  {option}: {{{{ V }}}}\n" + FIELD.format(name="StudyDate", action="increment-date: true")[7:]
    text += "    - name: PatientWeight\n      jitter: true\n    - name: SOPInstanceUID\n      hashuid: true\n"
    with pytest.raises(ProfileError) as caught:
        parse_profile(text + "  other: 1\n", "p.yaml", {"V": value})
    assert not any(value in problem.message for problem in caught.value.problems)


# -- where variables cannot be -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "told"),
    [(NEWID.replace("PatientID", "{{ V }}"), "p.yaml:3:13 error dicom.fields[0].name: name cannot hold a variable"),
     (NEWID.replace("name: PatientID", "regex: '{{ V }}.*'"), "3:14 error dicom.fields[0].regex: regex cannot hold"),
     ("name: {{ V }}\n" + NEWID, "p.yaml:1:7 error name: name cannot hold a variable"),
     (NEWID.replace("fields:", "file-filter: ['{{ V }}']\n  fields:"), "file-filter[0]: file-filter cannot hold a var"),
     (NEWID.replace("replace-with", "{{ V }}"), "4:7 error dicom.fields[0]: a key cannot be a variable"),
     (NEWID.replace("NEWID", "NEW ID"), "4:22 error dicom.fields[0].replace-with: not a variable"),
     (NEWID.replace("NEWID", "NEWID | upper"), "not a variable"),
     (NEWID.replace("NEWID", "f('x')"), "not a variable"),
     (NEWID.replace(" }}", " }"), "'{{' that starts no variable")],
)  # fmt: skip
@pytest.mark.parametrize("values", [None, {"V": CANARY, "NEWID": "x"}])
def test_a_variable_is_a_value_and_nothing_else(text: str, told: str, values: dict[str, str] | None) -> None:
    listed = errors(text, values)
    assert told in listed[0]
    assert CANARY not in str(listed)
    assert not any(char >= "\U000f0000" for char in str(listed))


@pytest.mark.parametrize("value", ["a{b}", r"\{{2}\}", "}}", "{a}}", "{ {a} }", r"x{{1,2}}"])
def test_other_braces_are_text(value: str) -> None:
    text = json.dumps({"dicom": {"fields": [{"name": "TextValue", "replace-with": value}]}})
    assert variables.names(text) == ()
    assert replacement(parse_profile(text, "p.json", {})) == (value,)


def test_names_are_listed_with_their_places() -> None:
    text = "# {{ not.this }}\r\ndicom: {salt: 'ü{{ a.b-c_1 }}',\n"
    text += "  fields: [{name: PatientID, replace-with: {{x}}{{x}}}]} # {{ nor }}\n"
    assert variables.names(text) == (("a.b-c_1", 2, 17), ("x", 3, 44), ("x", 3, 49))
    assert variables.names("dicom: [") == ()


# -- without values ------------------------------------------------------------------------------------

EVERYWHERE = """
dicom:
  date-increment: {{ a }}
  date-format: "{{ b }}"
  salt: {{ c }}
  hash-digits: {{ d }}
  uid-prefix-fields: {{ e }}
  uid-numeric-name: "1.2.840"
  jitter-range: {{ f }}
  remove-undefined: {{ g }}
  patient-age-units: {{ h }}
  filenames:
    - {input-regex: "^{{ i }}_(?P<n>.*)$", output: "{{ j }}_{n}", groups: [{name: n, replace-with: "{{ k }}"}]}
  fields:
    - {name: Rows, replace-with: {{ l }}}
    - {name: PatientBirthDate, replace-with: "{{ m }}"}
    - {name: StudyDate, increment-date: true, datetime-min: "{{ n }}"}
    - {name: SOPInstanceUID, hashuid: {{ o }}}
    - {name: PatientWeight, jitter: true, jitter-type: "{{ p }}", jitter-min: {{ q }}}
    - {name: StudyTime, increment-datetime: true, datetime-format: "{{ r }}%H", jitter-date: true, jitter-unit: {{ s }}}
    - {name: PatientName, remove: true}
"""


def test_a_profile_is_valid_without_values_and_then_refuses_to_act() -> None:
    profile = parse_profile(EVERYWHERE, "p.yaml")
    assert profile.dicom is not None
    for rule in profile.dicom.rules:
        if rule.name == "PatientName":
            assert rule.action.key == "remove"
            continue
        assert isinstance(rule.action, Unresolved)
        with pytest.raises(Unfit, match="no value"):
            rule.action(("x",), At("LO", lambda purpose: 0, date(2020, 1, 1), str))
    assert (
        "which VR SQ cannot hold"
        in errors(FIELD.format(name="ReferencedStudySequence", action="replace-with: {{ a }}"), None)[0]
    )


@pytest.mark.parametrize(
    ("name", "action", "option", "waits"),
    [
        ("StudyDate", "increment-date", "date-format", True),
        ("StudyDate", "jitter", "date-format", True),
        ("StudyDate", "jitter", "datetime-format", False),
        ("PatientWeight", "jitter", "date-format", False),
        ("PatientWeight", "jitter", "jitter-range", True),
        ("PatientID", "hash", "salt", True),
        ("PatientID", "hash", "uid-numeric-name", False),
        ("StudyInstanceUID", "hashuid", "uid-numeric-name", True),
    ],
)
def test_an_action_waits_for_the_options_that_it_is_made_from(name: str, action: str, option: str, waits: bool) -> None:
    text = f"dicom: {{date-increment: 5, {option}: '{{{{ v }}}}', fields: [{{name: {name}, {action}: true}}]}}"
    profile = parse_profile(text, "p.yaml")
    assert profile.dicom is not None
    assert isinstance(profile.dicom.rules[0].action, Unresolved) is waits


def test_every_variable_without_a_value_is_told_with_its_line() -> None:
    with pytest.raises(UsageError) as caught:
        plan_profiles(EVERYWHERE, "p.yaml", None, [("S1",)])
    lines = str(caught.value).splitlines()[1:]
    assert len(lines) == 19
    assert lines[0] == "  p.yaml:3:19 {{ a }} has no value: there is no mapping"
    assert len(errors(EVERYWHERE, {})) == 19
    assert "{{ NEWID }} has a blank value" in errors(NEWID, {"NEWID": " \u200b"})[0]
    assert errors(NEWID, {"newid": "x"}) == ["p.yaml:4:22 error dicom.fields[0].replace-with: {{ NEWID }} has no value"]
