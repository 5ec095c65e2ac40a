"""What people give instead of a profile, and write instead of its words: read as meant, or told what to write."""

from __future__ import annotations

import contextlib
import io
import json
import re
import warnings
from pathlib import Path

import pytest

from fw_gear_deid.cli import main
from fw_gear_deid.model.selectors import GroupsAt, PrivateAt, TagAt
from fw_gear_deid.profile import store
from fw_gear_deid.profile.language.addresses import BadName, parse_name
from fw_gear_deid.profile.parse import parse_profile
from fw_gear_deid.profile.text.problems import Problem, ProfileError
from fw_gear_deid.profile.text.wrapped import plain_values
from tests.desk import Desk, call, instance
from tests.test_shown import with_private

FIELDS = "fields:\n    - name: PatientID\n      remove: true\n"
PLAIN = f"name: mine\ndicom:\n  {FIELDS}"
CLEAN = "dicom:\n  remove-private-tags: true\n  recurse-sequence: true\n  date-increment: -3\n  fields:\n"


def indented(text: str, by: str) -> str:
    return "".join(by + line for line in text.splitlines(keepends=True))


def problems(text: str) -> tuple[Problem, ...]:
    try:
        return parse_profile(text, "p.yaml").warnings
    except ProfileError as error:
        return error.problems


def errors(text: str) -> list[str]:
    return [f"{one.line}:{one.column} {one.message}" for one in problems(text) if one.severity == "error"]


def warned(text: str) -> list[str]:
    assert errors(text) == []
    return [f"{one.line}:{one.column} {one.message}" for one in problems(text)]


# -- the platform's three examples -----------------------------------------------------------------------

TEMPLATE = """\
name: custom
deid-log: ~/Documents/deid_log.csv
dicom:
  date-increment: -17
  patient-age-from-birthdate: true
  patient-age-units: Y
  fields:
    - name: PatientID
      remove: true
    - name: StationName
      replace-with: XXXX
    - name: StudyDate
      increment-date: true
    - name: AccessionNumber
      hash: true
    - name: ConcatenationUID
      hashuid: true
"""
KEEP_LIST = """\
name: keep-list
dicom:
  remove-undefined: true
  jitter-range: 5
  fields:
    - name: PatientID
      replace-with: REDACTED
    - name: StudyDate
      jitter: true
    - name: SOPInstanceUID
      hashuid: true
    - name: Modality
      keep: true
    - name: (0009, "GEMS_IDEN_01", 1004)
      keep: true
"""
BLOCK_LIST = """\
name: block-list
dicom:
  remove-private-tags: true
  recurse-sequence: true
  date-increment: 14
  fields:
    - name: (0009, "GEMS_IDEN_01", 1004)
      keep: true
    - name: PatientName
      remove: true
    - name: PatientID
      replace-with: REDACTED
    - name: StudyDate
      increment-date: true
    - name: StudyInstanceUID
      hashuid: true
"""


@pytest.mark.parametrize("text", [TEMPLATE, KEEP_LIST, BLOCK_LIST], ids=["template", "keep-list", "block-list"])
def test_examples_of_the_platform_run(text: str, tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    desk.put({"S/V/A/1.dcm": with_private("GEMS_IDEN_01", StudyDate="20200229", AccessionNumber="A1", StationName="s")})
    desk.rules(text)
    done = desk.run()
    assert done.code == 0, done.err
    assert desk.states() == {"S/V/A/1.dcm": "released"}


@pytest.mark.parametrize("text", [KEEP_LIST, BLOCK_LIST], ids=["keep-list", "block-list"])
def test_their_private_element_is_kept(text: str, tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    desk.put({"S/V/A/1.dcm": with_private("GEMS_IDEN_01", StudyDate="20200229")})
    desk.rules(text.replace("0009", "0019").replace("1004", "100c"))
    assert desk.run().code == 0
    (data,) = desk.there().values()
    assert b"GEMS_IDEN_01" in data
    assert not [row for row in desk.rows("audit.csv") if row["path"] == '(0019,"GEMS_IDEN_01",0C)']
    assert any('read as (0019, "GEMS_IDEN_01", 0c)' in one for one in warned(desk.profile.read_text()))


# -- spellings of addresses ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "note"),
    [
        ('(0009, "GEMS_IDEN_01", 1004)', True), ("(0009,GEMS_IDEN_01,1004)", True), ("(0009,'GEMS_IDEN_01',04)", False),
        ('(0009, "GEMS_IDEN_01", 0004)', True), ('(0009, "GEMS_IDEN_01", 0x1004)', True), ('(0x0009, "GEMS_IDEN_01", 0x04)', False),
        ('(0009, "GEMS_IDEN_01", xx04)', False), ('(0009,"GEMS_IDEN_01",4)', False), ('( 0009 ,"GEMS_IDEN_01" , 04 )', False),
    ],
)  # fmt: skip
def test_spellings_of_a_private_element(written: str, note: bool) -> None:
    assert parse_name(written) == PrivateAt(9, "GEMS_IDEN_01", 4)
    text = CLEAN + f"    - name: {json.dumps(written)}\n      keep: true\n"
    assert any("the number of the block" in one and one.startswith("6:13 ") for one in warned(text)) == note


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("0010,0020", '"(0010,0020)"'), ("0010, 0020", '"(0010,0020)"'), ("0010-0020", '"(0010,0020)"'),
        ("[0010,0020]", '"(0010,0020)"'), ("(0010 0020)", '"(0010,0020)"'), ("0x0010,0x0020", '"(0010,0020)"'),
        ("(0x0010,0x0020)", '"(0010,0020)"'), ("00100020h", '"(0010,0020)"'),
        ("(0019,xx0C)", '(0019, "CREATOR", 0C)'), ("0019xx0C", '(0019, "CREATOR", 0C)'),
        ('0009,"GEMS_IDEN_01",04', '(gggg, "creator", ee)'), ("0009[GEMS_IDEN_01]04", '(gggg, "creator", ee)'),
        ('(0009, "GEMS_IDEN_01")', '(gggg, "creator", ee)'), ('(0009, "GEMS_IDEN_01", 104)', '(gggg, "creator", ee)'),
    ],
)  # fmt: skip
def test_what_is_no_address_tells_how_to_write_it(written: str, said: str) -> None:
    with pytest.raises(BadName) as caught:
        parse_name(written)
    assert said in str(caught.value)


def test_repeating_groups_with_a_hexadecimal_mark() -> None:
    assert (
        parse_name("0x60xx0022") == parse_name("(60xx, 0022)") == parse_name("(0x60xx,0022)") == GroupsAt(0x6000, 0x22)
    )
    assert parse_name("0x00100020") == TagAt(0x00100020)


@pytest.mark.parametrize(
    "how", ['name: "(0009,1004)"', 'name: "00091004"', "name: '0x00091004'", "regex: .*00091004", r"regex: '0009.*'"]
)
def test_keep_that_protects_nothing_is_told(how: str) -> None:
    text = f"dicom:\n  remove-private-tags: true\n  fields:\n    - {how}\n      keep: true\n"
    (found,) = [one for one in warned(text) if "keep protects nothing" in one]
    assert found.startswith("4:7 ")
    assert "by its creator: (" in found
    assert not [one for one in warned(text.replace("remove-private", "recurse-sequence: false\n  remove-private")
                                      .replace("private-tags: true", "private-tags: false")
                                      .replace("keep: true", "remove: true")) if "protects" in one]  # fmt: skip


def test_keep_by_creator_protects() -> None:
    text = 'dicom:\n  remove-private-tags: true\n  fields:\n    - name: (0009, "GEMS_IDEN_01", 04)\n      keep: true\n'
    assert not [one for one in warned(text) if "protects" in one]


# -- documents that hold a profile somewhere -------------------------------------------------------------

INGEST = "template:\n  - pattern: '{subject}'\nexclude:\n  - '*.txt'\n"
TAKEN = {
    "ingest, one": INGEST
    + "deid-profiles:\n  - name: mine\n    dicom:\n"
    + indented(FIELDS, "      ").replace("          ", "        "),
    "ingest, named": INGEST
    + "deid-profile: mine\ndeid-profiles:\n  - name: other\n    json: {}\n  - name: mine\n    dicom:\n"
    + indented(FIELDS, "      ").replace("          ", "        "),
    "settings": json.dumps(
        {"viewer": 1, "deid_profile": {"name": "mine", "dicom": {"fields": [{"name": "PatientID", "remove": True}]}}}
    ),
    "project": json.dumps(
        {
            "label": "x",
            "settings": {
                "deid_profile": {"name": "mine", "dicom": {"fields": [{"name": "PatientID", "remove": True}]}}
            },
        }
    ),
}


@pytest.mark.parametrize("text", TAKEN.values(), ids=TAKEN)
def test_a_profile_is_taken_from_where_the_platform_puts_it(text: str) -> None:
    profile = parse_profile(text, "p.yaml")
    assert profile.name == "mine"
    assert profile.dicom is not None
    assert [rule.name for rule in profile.dicom.rules] == ["PatientID"]
    assert any("deid" in one.message and "nothing else" in one.message for one in profile.warnings)
    assert list(plain_values(text)) == ["name", "dicom"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (INGEST, "1:1 a configuration of 'fw ingest', with no profile below 'deid-profiles'"),
        (INGEST + "deid-profile: site\n", "it names 'site': give the file of that name"),
        (INGEST + "deid-profiles:\n  - name: a\n    dicom: {}\n  - name: b\n    dicom: {}\n", "5:1 a configuration of 'fw ingest' with 2 profiles: stand 'a' in line 6, 'b' in line 8"),
        (INGEST + "deid-profile: c\ndeid-profiles:\n  - name: a\n    dicom: {}\n", "5:15 0 profiles below 'deid-profiles' have the name 'c'; there stand 'a' in line 7"),
        (INGEST + "deid-profiles: []\n", "5:1 a configuration of 'fw ingest' with 0 profiles: stands none"),
        ("profile:\n" + indented(PLAIN, "  "), "2:3 the profile stands below 'profile': move it to the left margin"),
        ("a:\n  b:\n" + indented(PLAIN, "    "), "3:5 the profile stands below 'a: b'"),
        ("-\n" + indented(PLAIN, "  "), "2:3 the profile stands below '- '"),
        (PLAIN + "---\n" + PLAIN, "6:1 a second document begins here"),
        (PLAIN + "---\n", "a second document begins here"),
    ],
)  # fmt: skip
def test_where_a_profile_stands_is_told(text: str, said: str) -> None:
    found = errors(text)
    assert len(found) == 1
    assert said in found[0]


def test_json_is_a_profile(tmp_path: Path) -> None:
    (tmp_path / "p.json").write_text('{\n\t"dicom": {\n\t\t"fields": [{"name": "PatientID", "remove": true}]}}')
    assert store.load(str(tmp_path / "p.json")).dicom is not None


def test_a_profile_inside_counts_for_a_run(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    desk.put({"S/V/A/1.dcm": instance("P1")})
    desk.rules(TAKEN["ingest, one"])
    done = desk.run()
    assert done.code == 0
    assert "a configuration of 'fw ingest': the profile 'mine'" in done.err
    assert {row["rule"] for row in desk.rows("audit.csv") if row["keyword"] == "PatientID"} == {"profile.yaml:9"}


# -- words and characters --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ("delete: true", "7:7 unknown key 'delete'; did you mean 'remove'?"),
        ("replace: X", "7:7 unknown key 'replace'; did you mean 'replace-with'?"),
        ("shift: true", "7:7 unknown key 'shift'; did you mean 'increment-date'?"),
        ("empty: true", "7:7 unknown key 'empty'; did you mean \"replace-with: ''\"?"),
        ("increment-date: 10", "7:23 must be true; the number of days goes into 'date-increment' of the section"),
        ("increment-datetime: -1.5", "or 'date-increment-override' of this entry"),
        ("increment-date: '-10'", "7:23 must be true; the number of days goes into 'date-increment' of the section"),
        ('remove: "true"', "7:15 must be true without quotes: 'remove: true'"),
        ("hash: sha256", "must be true or keyed; its length is 'hash-digits'"),
        ("jitter: 3", "must be true; the number goes into 'jitter-range' of this entry"),
        ("keep: false", "must be true; take the entry out to not do it"),
        ("reмove: true", "7:7 unknown key 'reмove'; did you mean 'remove'? (character 3 is CYRILLIC SMALL LETTER EM, U+043C)"),
    ],
)  # fmt: skip
def test_words_that_are_meant_otherwise(entry: str, said: str) -> None:
    (found,) = errors(CLEAN + f"    - name: StudyDate\n      {entry}\n")
    assert said in found


@pytest.mark.parametrize(
    ("text", "place", "said"),
    [
        (PLAIN.replace("- name", "-\u00a0name"), "4:6", "a no-break space (U+00A0) stands here; write a plain space"),
        (PLAIN.replace("    - name", "\u00a0   - name"), "4:1", "a no-break space (U+00A0) stands here"),
        (PLAIN.replace("name: P", "name:\u2003P"), "4:12", "an em space (U+2003) stands here"),
        (PLAIN.replace("dicom:", "dicom\u00a0:"), "2:1", "a no-break space (U+00A0) stands here"),
        (PLAIN.replace("dicom:", "\ufeffdicom:"), "2:1", "an invisible character, zero width no-break space (U+FEFF), stands here; take it out"),
        (PLAIN.replace("PatientID", "Patient\u200bID"), "4:13", "an invisible character, zero width space (U+200B)"),
        (PLAIN.replace("- name", "\u2013 name"), "4:5", "an en dash (U+2013) stands here, which is no minus; write a plain '-'"),
        (CLEAN.replace("-3", "\u22123") + "    - name: PatientID\n", "4:19", "a minus sign (U+2212) stands here"),
        (PLAIN.replace("PatientID", "\u201cPatientID\u201d"), "4:13", "a curly quote, left double quotation mark (U+201C)"),
        (PLAIN.replace("PatientID", "(0019, \u201cSIEMENS MR HEADER\u201d, 0C)"), "4:13", "a curly quote, left double quotation mark (U+201C)"),
        (PLAIN.replace("remove: true", "replace-with: \u2018X\u2019"), "5:21", "write a straight quote"),
        (PLAIN.replace("remove: true", "replace-with: \u201cX"), "", ""),
        (PLAIN.replace("dicom:", "dicom\uff1a"), "2:6", "write a plain ':'"),
        (PLAIN.replace("PatientID", "P\u0430tientID"), "4:13", "did you mean 'PatientID'? (character 2 is CYRILLIC SMALL LETTER A, U+0430)"),
    ],
)  # fmt: skip
def test_look_alike_characters_are_named(text: str, place: str, said: str) -> None:
    found = errors(text)
    if not said:
        assert found == []
        return
    assert any(one.startswith(f"{place} ") and said in one for one in found), found


@pytest.mark.parametrize(
    "value",
    ["'\u201cX\u201d'", '"\u22123"', "Müller\u00a0&\u00a0Söhne", "東京", "d'Été", "caf\u00e9 \u2013 2", "'\u00a0'"],
)
def test_the_same_characters_may_be_meant(value: str) -> None:
    text = PLAIN.replace("remove: true", f"replace-with: {value}") + "# \u201cquoted\u201d \u2013\u00a0note\n"
    assert errors(text) == []


# -- half of a thing -------------------------------------------------------------------------------------


def test_dates_that_stay_are_told() -> None:
    text = CLEAN + "    - name: StudyDate\n      increment-date: true\n    - name: SeriesDate\n      remove: true\n"
    (found,) = [one for one in warned(text) if "the true day" in one]
    assert found.startswith("6:7 StudyDate moves, and AcquisitionDate, ContentDate, AcquisitionDateTime, ")
    assert "SeriesDate," not in found


@pytest.mark.parametrize(
    "text",
    [
        CLEAN.replace("  recurse-sequence: true\n", "") + "    - regex: .*Date.*\n      remove: true\n    - name: StudyDate\n      increment-date: true\n",
        CLEAN.replace("recurse-sequence", "remove-undefined") + "    - name: StudyDate\n      increment-date: true\n",
        CLEAN + "    - name: PatientBirthDate\n      increment-date: true\n",
        CLEAN + "    - name: StudyDate\n      remove: true\n",
    ],
    ids=["regex", "keep-list", "birth date alone", "removed"],
)  # fmt: skip
def test_dates_that_all_go_or_none(text: str) -> None:
    assert not [one for one in warned(text) if "the true day" in one]


@pytest.mark.parametrize(
    ("more", "recurse", "told"),
    [
        ("", "true", ["inside sequences; hash as well"]),
        ("    - name: ReferencedSOPInstanceUID\n      hashuid: true\n", "true", []),
        ("    - name: ReferencedSOPInstanceUID\n      hashuid: true\n", "false", ["with recurse-sequence: true"]),
        ("    - regex: .*ReferencedSOPInstanceUID\n      hashuid: true\n", "false", []),
        ("    - regex: '.*\\.ReferencedSOPInstanceUID'\n      remove: true\n", "false", []),
        ("    - regex: .*UID$\n      hashuid: true\n", "false", []),
    ],
)
def test_references_that_stay_are_told(more: str, recurse: str, told: list[str]) -> None:
    text = CLEAN.replace("recurse-sequence: true", f"recurse-sequence: {recurse}")
    found = [
        one for one in warned(text + "    - name: SOPInstanceUID\n      hashuid: true\n" + more) if "still tells" in one
    ]
    assert len(found) == len(told)
    assert all(piece in one for piece, one in zip(told, found, strict=True))


@pytest.mark.parametrize("kept", ["AcquisitionDate", "ContentDate"])
def test_a_kept_date_tells_the_others(kept: str) -> None:
    text = CLEAN.replace("recurse-sequence", "remove-undefined") + "    - name: StudyDate\n      jitter: true\n"
    assert [one for one in warned(f"{text}    - name: {kept}\n") if f"StudyDate moves, and {kept} stay" in one]


def test_birth_dates_of_other_forms(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    for name, born in {
        "dots": "1980.01.31",
        "year": "1980",
        "zeros": "19800000",
        "none": "",
        "full": "19800131",
    }.items():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # pydicom's, of values that are no dates
            desk.put({f"{name}/V/A/1.dcm": instance(name, PatientBirthDate=born)})
    desk.rules(CLEAN + "    - name: PatientBirthDate\n      increment-date: true\n    - name: PatientName\n      remove: true\n"
               "    - name: PatientID\n      hash: true\n")  # fmt: skip
    assert desk.run().code == 1
    assert {name.split("/")[0]: state for name, state in desk.states().items()} == {
        "dots": "released", "full": "released", "none": "released", "year": "refused", "zeros": "refused",
    }  # fmt: skip
    assert all("regex-sub" in reason for reason in desk.reasons().values() if reason)
    assert [row["after"] for row in desk.rows("audit.csv") if row["keyword"] == "PatientBirthDate"] == ["19800128"] * 2


# -- profile new -----------------------------------------------------------------------------------------


def test_new_writes_the_five_fields_of_the_template(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    assert call("profile", "new", str(path)).code == 0
    section = parse_profile(path.read_text("utf-8"), "mine.yaml").dicom
    documented = parse_profile(TEMPLATE, "t.yaml").dicom
    assert section is not None and documented is not None
    assert [(one.name, one.action) for one in section.rules] == [(one.name, one.action) for one in documented.rules]
    assert (section.age, section.age_units) == (documented.age, documented.age_units)


@pytest.mark.parametrize("there", [True, False], ids=["to a file", "to nothing"])
def test_new_follows_no_link_and_overwrites_nothing(there: bool, tmp_path: Path) -> None:
    target, link = tmp_path / "target.yaml", tmp_path / "mine.yaml"
    if there:
        target.write_text("mine")
    link.symlink_to(target)
    done = call("profile", "new", str(link))
    assert (done.code, "exists already; nothing was written" in done.err) == (2, True)
    assert target.exists() == there
    assert not there or target.read_text() == "mine"


# -- the page for those who come from elsewhere ----------------------------------------------------------


def test_the_page_names_what_exists() -> None:
    root = Path(__file__).resolve().parents[1]
    page = (root / "docs" / "from-fw-deid.md").read_text("utf-8")
    ours = [row.split(" | ", 1)[1] for row in page.splitlines() if row.startswith("| ") and " | " in row]
    parsers = [call_help("run"), call_help("preview"), call_help("profile")]
    options = {option for text in ours for option in re.findall(r"--[a-z-]+", text)}
    assert options and not [option for option in options if not any(option in text for text in parsers)]
    commands = {word for text in ours for word in re.findall(r"`profile (\w+)", text)}
    assert commands == {"new", "check", "show", "put"}
    manifest = json.loads((root / "manifest.json").read_text("utf-8"))
    named = {word for text in page.split("## Gear")[1:] for word in re.findall(r"`([a-z]+_[a-z_]+)`", text)}
    theirs = {"deid_template", "subject_csv", "alter_pixels"}
    assert named - theirs <= {*manifest["config"], *manifest["inputs"]}


def call_help(*words: str) -> str:
    out = io.StringIO()
    with contextlib.redirect_stdout(out), pytest.raises(SystemExit):
        main([*words, "--help"])
    return out.getvalue()
