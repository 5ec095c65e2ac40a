"""File names: what is legal, what templates give, and which names carry an identifier."""

from __future__ import annotations

import json
import unicodedata
from datetime import date
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fw_gear_deid.deid.names import NoTemplate, from_templates, suffix_of
from fw_gear_deid.model.action import At
from fw_gear_deid.model.errors import Unfit
from fw_gear_deid.model.outcome import Edit
from fw_gear_deid.model.portable import NAME_MAX, same_name_key, sanitize
from fw_gear_deid.model.selectors import Selector, TagAt
from fw_gear_deid.profile.parse import parse_profile
from fw_gear_deid.verify.known import Known

EXAMPLES = settings(derandomize=True, database=None, deadline=None, max_examples=80)
NOWHERE = At("text", lambda purpose: 3, date(2020, 6, 15), lambda name: "")


@pytest.mark.parametrize(
    ("name", "written"),
    [
        ("plain.dcm", "plain.dcm"),
        ("Größe Ω.dcm", "Größe Ω.dcm"),
        ("t2*_flair", "t2starflair"),
        ("T2_*w", "T2starw"),
        ("a*b", "a_b"),
        ('a/b\\c:d?e"f<g>h|i', "a_b_c_d_e_f_g_h_i"),
        ("a\0b\nc\x7fd", "a_b_c_d"),
        ("not-utf8-\udcff.dcm", "not-utf8-_.dcm"),
        ("  a b  ", "a b"),
        ("../../etc", "__.._etc"),
        (".hidden", "_hidden"),
        ("...x", "_x"),
        ("Muster, A.", "Muster, A_"),
        ("Muster, A. .", "Muster, A_"),
        ("\u3000全角\u3000", "全角"),
        ("aux", "_aux"),
        ("Con.dcm", "_Con.dcm"),
        ("nul .txt", "_nul .txt"),
        ("COM1", "_COM1"),
        ("com¹.zip", "_com¹.zip"),
        ("console", "console"),
        ("com10", "com10"),
        ("a\x85b\x9bc", "a_b_c"),
        ("a\u202eb\u2066c\u200bd\ufeffe", "a_b_c_d_e"),
        ("line\u2028end", "line_end"),
        ("\x1b[2Jx", "_[2Jx"),
        ("Mu\u0308ller", "M\u00fcller"),
        ("می\u200cخواهم", "می\u200cخواهم"),  # a joiner that the script needs
        ("x" * NAME_MAX, "x" * NAME_MAX),
    ],
)
def test_sanitize(name: str, written: str) -> None:
    assert sanitize(name) == written


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("", "empty"),
        ("   ", "empty"),
        (".", "empty"),
        ("..", "empty"),
        ("...", "empty"),
        (". .", "empty"),
        ("x" * 201, "longer"),
        ("ü" * 101, "longer"),
    ],
)
def test_no_name_can_be_made(name: str, why: str) -> None:
    with pytest.raises(Unfit, match=why):
        sanitize(name)


@EXAMPLES
@given(st.text(max_size=60) | st.text("./\\ ~aux1\u0301e\n", max_size=12))
def test_sanitize_makes_one_legal_part_of_a_path(name: str) -> None:
    try:
        written = sanitize(name)
    except Unfit:
        return
    assert not set(written) & set('/\\:*?"<>|')
    assert not {unicodedata.category(one) for one in written} & {"Cc", "Cs", "Zl", "Zp"}
    assert not written.startswith((".", " ")) and not written.endswith((".", " ")) and written
    assert written == unicodedata.normalize("NFC", written)
    assert len(written.encode("utf-8")) <= NAME_MAX
    assert sanitize(written) == written


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("abc", "ABC", True),
        ("Straße", "STRASSE", True),
        ("\u00e9", "E\u0301", True),
        ("ﬁ", "FI", True),
        ("K", "\u212a", True),  # the Kelvin sign
        ("می\u200cخ", "میخ", True),
        ("ς", "Σ", True),
        ("a", "ä", False),
        ("a_", "a", False),
        ("1", "l", False),
    ],
)
def test_names_that_some_file_system_takes_for_one(one: str, other: str, same: bool) -> None:
    assert (same_name_key(one) == same_name_key(other)) == same


@pytest.mark.parametrize(
    ("name", "suffix"),
    [
        ("Doe_Jane.dcm", ".dcm"),
        ("Doe.Jane.DICOM.ZIP", ".dicom.zip"),
        ("doe.nii.gz", ".nii.gz"),
        ("doe.tar.gz", ".tar.gz"),
        ("doe.gz", ".gz"),
        ("doe.19541215", ""),  # a date is no kind of file
        ("doe.1954", ""),
        ("Doe.Jane Q", ""),
        ("doe.secretname", ""),
        ("Doe", ""),
    ],
)
def test_suffix(name: str, suffix: str) -> None:
    assert suffix_of(name) == suffix


# -- templates -------------------------------------------------------------------------------------------

VALUES = {0x00100020: "X1", 0x00080060: "MR", 0x0008103E: "T1/w"}


def read(selector: Selector) -> str | None:
    assert isinstance(selector, TagAt)
    return VALUES.get(selector.tag)


def named(source: str, *templates: dict[str, Any]) -> str:
    section = {"date-increment": 1, "fields": [{"name": "Modality"}], "filenames": list(templates)}
    profile = parse_profile(json.dumps({"dicom": section}), "p.yaml")
    assert profile.dicom is not None
    return from_templates(profile.dicom.filenames, source, read, NOWHERE)


def template(output: str, regex: str = ".*", **groups: str) -> dict[str, Any]:
    return {
        "output": output,
        "input-regex": regex,
        "groups": [{"name": name, action.replace("_", "-"): True} for name, action in groups.items()],
    }


PERSON_DATE = r"^(?P<p>[^_]*)_(?P<d>[^.]*)"


@pytest.mark.parametrize(
    ("source", "one", "written"),
    [
        ("a.dcm", template("fixed.dcm"), "fixed.dcm"),
        ("a.dcm", template("{Modality}_{PatientID}.dcm"), "MR_X1.dcm"),
        ("a.dcm", template("{modality}_{PATIENTID}.dcm"), "MR_X1.dcm"),  # vectors filenames-kw-lowercase
        ("a.dcm", template("{SeriesDescription}.dcm"), "T1_w.dcm"),
        ("ab.dcm", template("{x}", "^(?P<x>a)"), "a"),
        ("xa", template("{x}-{y}", "^(?P<x>x)(?P<y>y)?"), "x-"),
        # profile language §7
        (
            "Doe_20200229.dcm",
            template("{p}_{d}.dcm", PERSON_DATE, p="hash", d="increment_date"),
            "fd53ef835b154855_20200301.dcm",
        ),
        ("Doe_2020-02-29.dcm", template("{d}.dcm", PERSON_DATE, d="increment_date"), "20200301.dcm"),
        ("Doe_29-Feb-2020.dcm", template("{d}.dcm", PERSON_DATE, d="increment_date"), "20200301.dcm"),
        ("Doe_x.dcm", template("_{p}.dcm", PERSON_DATE, p="remove"), "_.dcm"),
        ("_x.dcm", template("{p}.dcm", PERSON_DATE, p="hash"), "_dcm"),  # nothing hidden
        ("a.dcm", template("{x}.dcm", "(?P<x>a)", x="hash") | {"output": "t2*_{x}"}, "t2starca978112ca1bbdca"),
    ],
)
def test_template(source: str, one: dict[str, Any], written: str) -> None:
    assert named(source, one) == written


def test_the_first_template_that_matches_is_used() -> None:
    three = (template("z", "z"), template("a", "a"), template("other"))
    assert [named(source, *three) for source in ("apple", "zebra", "Zebra")] == ["a", "z", "other"]


def test_no_template_matches() -> None:
    with pytest.raises(NoTemplate, match="no input-regex of filenames") as caught:
        named("ZZ-CANARY.dcm", template("x", "^y"))
    assert "CANARY" not in str(caught.value)


@pytest.mark.parametrize(
    ("source", "one", "why"),
    [
        ("ZZ-CANARY.dcm", template("{StudyID}.dcm"), "StudyID is absent or empty"),
        (
            "ZZ-CANARY_01-02-2020.dcm",
            template("{d}.dcm", PERSON_DATE, d="increment_date"),
            "no date in a spelling",
        ),
        ("ZZ-CANARY.dcm", template("{x}", "(?P<x>)"), "the output name is empty"),
        ("ZZ-CANARY.dcm", template("{x}" * 30, "(?P<x>.*)"), "longer than 200 bytes"),
    ],
)
def test_no_name_comes_out(source: str, one: dict[str, Any], why: str) -> None:
    with pytest.raises(Unfit, match=why) as caught:
        named(source, one)
    assert "CANARY" not in str(caught.value)


# -- identifiers in names --------------------------------------------------------------------------------


def known(*values: tuple[str, str]) -> Known:
    identifiers = Known()
    for value, vr in values:
        identifiers.add(value, vr)
    return identifiers


@pytest.mark.parametrize(
    ("value", "vr", "name"),
    [
        ("Doe^Jane^Q", "PN", "doe_scan.zip"),
        ("Doe^Jane^Q", "PN", "scan-JANE.zip"),
        ("Doe^Jane^Q", "PN", "DOE^JANE^Q"),
        ("Doe^Jane", "PN", "DoeJane.zip"),
        ("Doe^Jane", "PN", "doe1.zip"),
        ("Canary^Jo", "PN", "mycanarybird.zip"),
        ("Doe-Smith^J", "PN", "doe_smith"),
        ("Van Der Berg^A", "PN", "der-berg"),
        ("Doe, Jane", "PN", "jane.doe"),
        ("Doe^Jane\\Roe^Ann", "PN", "roe.dcm"),
        ("Müller^Jörg", "PN", "MÜLLER.dcm"),
        ("Müller^Jörg", "PN", "Mu\u0308ller.dcm"),  # as macOS spells it
        ("Mu\u0308ller^Jo\u0308rg", "PN", "x_müller.dcm"),
        ("Müller^Jörg", "PN", "Muller.dcm"),
        ("Jörg", "PN", "1_Jo\u0308rg_2"),
        ("Yamada^Tarou=山田^太郎=やまだ^たろう", "PN", "山田.dcm"),
        ("Yamada^Tarou=山田^太郎=やまだ^たろう", "PN", "yamadatarou"),
        ("Hong^Gildong=洪^吉洞=홍^길동", "PN", "길동"),
        ("Иванов^Иван", "PN", "ИВАНОВ 1"),
        ("PID-12345", "LO", "PID-12345.zip"),
        ("PID-12345", "LO", "pid_12345"),
        ("PID-12345", "LO", "xPID12345y"),
        ("PID-12345", "LO", "P.I.D 1 2 3 4 5"),
        ("A1B2", "LO", "a1b2.dcm"),
        ("one\\two2", "LO", "two2.dcm"),
        ("19541215", "DA", "19541215.dcm"),
        ("19541215", "DA", "1954-12-15_scan"),
        ("19541215", "DA", "scan 1954.12.15"),
        ("12 Main Street", "ST", "12_main_street"),
        ("1.2.840.113619.2.62", "UI", "1.2.840.113619.2.62.dcm"),
        ("not-\udcff-utf8", "LO", "NOT-\udcff-UTF8.dcm"),
        ("Li^Q", "PN", "li_q.zip"),
        ("Li^Wei", "PN", "WeiLi.dcm"),
        ("Doe^Jane", "PN", "JaneDoe"),
        ("Doe^Jane", "PN", "jane.zzcan"),
        ("Doe-Smith^Jane", "PN", "smith"),
        ("O'Brien^Pat", "PN", "x.brien"),
        ("Müller^Jörg", "PN", "mueller"),
        ("Mueller^J", "PN", "Müller"),
        ("MÃ¼ller^JÃ¶rg", "PN", "Müller"),  # UTF-8 that was read as Latin 1
        ("Müller^Jörg", "PN", "M├╝ller"),  # and as a ZIP without its flag has it
        ("任文".encode("gb18030").decode("latin_1"), "PN", "任文"),
        ("王^芳", "PN", "王"),
        ("007", "LO", "007.dcm"),
        ("7", "LO", "7"),
        ("00123456", "LO", "123456.zip"),
        ("MRN00123456", "LO", "123456"),
        ("00123", "LO", "123.zip"),
        ("19541215", "DA", "15121954"),
        ("19541215", "DA", "15.12.1954"),
        ("19541215", "DA", "12-15-54"),
        ("19541215", "DA", "1954_12_15T0930"),
        ("19541215", "DA", "15Dec1954"),
        ("19541215", "DA", "dec 15, 1954"),
        ("19541205", "DA", "5.12.1954"),
        ("19541215", "DA", "541215"),
        ("19541215", "DA", "x19541215093000x"),
        ("19541215093000.000000+0100", "DT", "1954-12-15"),
        ("jane_doe-2", "", "scan of Doe"),
        ("2019-03-04 Roe", "", "20190304"),
        ("Okonkwo^Chidi", "PN", "o_k_o_n_k_w_o"),
        ("Okonkwo^Chidi", "PN", "ochidi"),
        ("Smith^John", "PN", "jsmith"),
        ("Roe-Smith^Jane", "PN", "janeroe_1"),
        ("Łukasiewicz^Łucja", "PN", "lucja"),
        ("Đorđević^Đorđe", "PN", "dordevic"),
        ("Đorđević^Đorđe", "PN", "Djordje"),
        ("Straße^Groß", "PN", "STRASSE"),
        ("Ørsted^Søren", "PN", "soren"),
        ("Ørsted^Søren", "PN", "soeren"),
        ("Æbelø^Åse", "PN", "aebelo"),
        ("Иванов^Пётр", "PN", "ivanov"),
        ("Ivanov^Petr", "PN", "ИВАНОВ"),
        ("Юшкова^Анна", "PN", "Iushkova"),
        ("Юшкова^Анна", "PN", "yushkova"),
        ("Γεωργίου^Νίκος", "PN", "georgiou"),
        ("さとう^はなこ", "PN", "サトウハナコ"),
        ("ｱﾍﾞ^ｼﾝｿﾞｳ", "PN", "アベ"),
        ("박^지성", "PN", "\u1107\u1161\u11a8\u110c\u1175\u1109\u1165\u11bc"),
        ("محمد^أحمد", "PN", "احمد"),
        ("0042", "LO", "scan 42"),
        ("A17", "LO", "A-17.zip"),
        ("P_1", "LO", "P-1"),
        ("1.2.3", "LO", "1_2_3.zip"),
        ("SUBJ0012", "", "subj12"),
        ("SUBJ0012", "", "sub-012"),
        ("SUBJ0012", "", "pat 12"),
        ("SUBJ0012", "", "0012"),
        ("042", "", "pat42"),
        ("19541215", "DA", "15. Dezember 1954"),
        ("19541215", "DA", "15 décembre 1954"),
        ("19541215", "DA", "15 de diciembre de 1954"),
        ("19541215", "DA", "15th Dec 1954"),
        ("19541215", "DA", "1954年12月15日"),
        ("19540301", "DA", "1. März 1954"),
        ("19541215", "DA", "１９５４１２１５"),
    ],
)
def test_identifier_is_found(value: str, vr: str, name: str) -> None:
    assert known((value, vr)).told_by(name)
    assert not known(("Quux^Quuz", "PN"), ("QQ-9988776", "LO")).told_by(name)


@pytest.mark.parametrize(
    ("value", "vr", "name"),
    [
        ("Doe^Jane", "PN", "does.zip"),  # a short part counts as a word of its own only
        ("Doe^Jane", "PN", "janet"),
        ("Doe^Jane^Q", "PN", "q.zip"),
        ("Doe Jane", "LO", "doe.zip"),  # parts count in a person's name only
        ("PID-12345", "LO", "PID-1234.zip"),
        ("PID-12345", "LO", "12345.zip"),
        ("MR", "CS", "MR.dcm"),
        ("45", "DS", "T1_45.dcm"),
        ("", "LO", "anything"),
        ("Head^Mr", "PN", "head_mr"),  # words for what everybody has
        ("Doe^J", "PN", "j.dcm"),
        ("1", "SH", "IM1.dcm"),
        ("7", "LO", "17"),
        ("1015", "TM", "IM1015"),
        ("19541215", "DA", "1954"),
        ("19541215", "DA", "15121955"),
        ("1.2.840.10008.5.1.4.1.1.4", "UI", "1.2.840.10008.5.1.4.1.1.4"),
        ("BRAIN", "LO", "brain"),
        ("^^", "PN", "anything"),
        ("----", "LO", "----"),
        ("MR1", "SH", "sub-1"),  # a station, not somebody
        ("SUBJ0012", "", "slice 12"),
        ("SUBJ0012", "", "IM12"),
        ("0042", "LO", "IM42"),
        ("A17", "LO", "T1 17"),
        ("Иванов^Пётр", "PN", "pet"),
        ("19541215", "DA", "December"),
    ],
)
def test_chance_is_no_identifier(value: str, vr: str, name: str) -> None:
    assert not known((value, vr)).told_by(name)


def test_only_what_rules_took_away_is_learnt() -> None:
    identifiers = Known()
    edits = [
        ("PatientName", "PN", "Doe^Jane", ""),
        ("PatientID", "LO", "PID-12345", "X1"),
        ("StudyDescription", "LO", "BrainStudy", "BrainStudy"),
        ("PixelData", "OW", "<2048 bytes>", ""),
        ("Modality", "CS", "", "MRMRMR"),
        ("StudyID", "SH", "12", ""),
        ("PatientComments", "LT", "<somebody>", ""),
    ]
    identifiers.learn(Edit("(0000,0000)", *one[:2], "remove", "p.yaml:1", *one[2:]) for one in edits)
    names = ["doe", "PID 12345", "BrainStudy", "2048bytes", "MRMRMR", "12", "of somebody"]
    assert [identifiers.told_by(name) for name in names] == [True, True, False, False, False, False, True]


def test_nothing_is_known_at_first() -> None:
    assert not Known().told_by("Doe^Jane PID-12345")


@EXAMPLES
@given(st.text("aBcXyZ019ÄжÅ-_. ^", min_size=8, max_size=16), st.text(max_size=6), st.text(max_size=6))
def test_a_value_is_found_between_anything(value: str, before: str, after: str) -> None:
    if sum(char.isalnum() for char in value) >= 4:
        assert known((value, "LO")).told_by(f"{before}-{value}-{after}")
        assert known((value, "LO")).told_by(f"{before} {value.upper()} {after}")


@pytest.mark.parametrize("text", ["\ud800 roe", "Ž\udcff\ud800roe", "\udc00", "Roe\ud83d"])
def test_halves_of_characters_are_no_trouble(text: str) -> None:
    """JSON may hold them: they stand for no byte."""
    assert known(("Roe^\ud800Ž\udcff", "PN"), (text, "LO")).told_by(text) == (len(text) > 1)
    assert known(("Roe^J", "PN")).told_by(text) == ("roe" in text.casefold())
