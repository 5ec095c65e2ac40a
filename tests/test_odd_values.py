"""Values that are not legal, through whole runs: what stands in the files that come out, and what the reports tell."""

from __future__ import annotations

import io
from collections.abc import Iterable
from hashlib import sha256

import pydicom
import pytest

from fw_gear_deid.actions import HashUid
from fw_gear_deid.deid import dataset
from fw_gear_deid.formats.dicom import part10
from fw_gear_deid.model.errors import Unfit
from fw_gear_deid.profile.parse import parse_profile
from fw_gear_deid.verify.instance import Checker
from fw_gear_deid.verify.promises import Promises
from tests.desk import Desk
from tests.dicom_files import CT, SYNTAXES, UID, Item, Leaf, Node, Seq, text
from tests.dicom_files import part10 as file_of
from tests.oracle import carried_out, hold, promises_of

STUDY_DATE, STUDY_TIME, ACQUIRED, BORN = 0x00080020, 0x00080030, 0x0008002A, 0x00100030
PATIENT, NAME, CHARSET, STUDY, INSTANCE = 0x00100020, 0x00100010, 0x00080005, 0x0020000D, 0x00080018
WEIGHT = 0x00101030


def made(*own: Node, number: int = 1, syntax: str = "explicit") -> bytes:
    """Return a file in which some elements are as given."""
    plain: list[Node] = [
        text(0x00080016, "UI", CT), text(INSTANCE, "UI", f"{UID}.{number}"), text(STUDY_DATE, "DA", "20200229"),
        text(0x00080060, "CS", "CT"), text(PATIENT, "LO", "P-77"), text(STUDY, "UI", f"{UID}.7.1"),
        text(0x0020000E, "UI", f"{UID}.7.1.1"),
    ]  # fmt: skip
    by_tag = {node.tag: node for node in [*plain, *own]}
    return file_of([by_tag[tag] for tag in sorted(by_tag)], SYNTAXES[syntax])


def rules(fields: str, options: str = "") -> str:
    lines = "".join(f"    - {line}\n" for line in ["requires: fw-gear-deid", *fields.splitlines()])
    return f"dicom:\n  date-increment: 5\n{options}  fields:\n{lines}"


def released(desk: Desk, profile: str, *files: bytes, code: int = 0) -> list[pydicom.Dataset]:
    """Carry out a profile on files of one patient; return what came out, by instance number."""
    desk.rules(profile)
    desk.put({f"sub/ses/acq/{number}.dcm": data for number, data in enumerate(files)})
    ran = desk.run()
    assert ran.code == code, ran.err
    found = [pydicom.dcmread(io.BytesIO(data)) for data in desk.there().values()]
    return sorted(found, key=lambda ds: str(ds.get("InstanceNumber", "")))


def raw(ds: pydicom.Dataset, tag: int) -> bytes:
    value = ds.get_item(tag, keep_deferred=True).value
    return bytes(value or b"")


def audit(desk: Desk) -> dict[str, str]:
    """Return what was done, by path."""
    return {row["path"]: row["action"] for row in desk.rows("audit.csv")}


# -- dates ---------------------------------------------------------------------------------------------

MOVE = "{name: StudyDate, increment-date: true}\n{name: AcquisitionDateTime, increment-datetime: true}"


@pytest.mark.parametrize("syntax", ["explicit", "implicit", "big", "deflated"])
@pytest.mark.parametrize(
    ("value", "moved"),
    [
        (b"1993.04.30", b"19930505"), (b"  19930430", b"19930505"), (b"19930430\0\0", b"19930505"),
        (b"19930430 ", b"19930505"), (b"1993-04-30", b"19930505"), (b"19930430134501", b"19930505"),
        (b"19930430134501.1234567 ", b"19930505"), (b"19930430+0100 ", b"19930505"), (b"19930430\\1993.05.01", b"19930505\\19930506 "),
        (b"", b""), (b"        ", b"        "), (b"\0\0", b"\0\0"), (b"19930430\\ \\19930501 ", b"19930505\\\\19930506"),
    ],
)  # fmt: skip
def test_dates_of_a_certain_day_move(desk: Desk, value: bytes, moved: bytes, syntax: str) -> None:
    (ds,) = released(desk, rules(MOVE), made(Leaf(STUDY_DATE, "DA", value), syntax=syntax))
    assert raw(ds, STUDY_DATE) == moved


@pytest.mark.parametrize(
    ("value", "moved"),
    [
        (b"20200229134501.1234567 ", b"20200305134501.123456 "), (b"20200229134501.5-0800 ", b"20200305134501.500000-0800 "),
        (b"20200229", b"20200305"), (b"202002", b"202002"), (b"2020", b"2020"), (b"2020+0100 ", b"2020+0100 "),
        (b"2020122913", b"2021010313"), (b"202002291345 ", b"202003051345"), (b"2020.02.29", b"20200305"),
        (b"20200229 134501+01:00 ", b"20200305134501.000000+0100"), (b"  202012  ", b"202012"),
    ],
)  # fmt: skip
def test_date_times_keep_their_precision(desk: Desk, value: bytes, moved: bytes) -> None:
    (ds,) = released(desk, rules(MOVE), made(Leaf(ACQUIRED, "DT", value)))
    assert raw(ds, ACQUIRED).rstrip() == moved.rstrip()
    assert len(raw(ds, ACQUIRED)) % 2 == 0


UNREADABLE = [
    b"1962",
    b"196203",
    b"19620000",
    b"00000000",
    b"99999999",
    b"***",
    b"anonymized",
    b"NX DE_1234",
    b"20200229-",
    b"04.05.2020",
]


@pytest.mark.parametrize("value", UNREADABLE)
def test_what_has_no_certain_day_is_refused_and_the_reason_names_the_way_out(desk: Desk, value: bytes) -> None:
    padded = value + b" " * (len(value) % 2)
    assert released(desk, rules(MOVE), made(Leaf(STUDY_DATE, "DA", padded)), code=1) == []
    (reason,) = desk.reasons().values()
    assert "on-unreadable: empty" in reason
    assert "on-unreadable: remove" in reason
    assert "(0008,0020) DA" in reason
    assert value.decode() not in reason


@pytest.mark.parametrize("value", UNREADABLE)
@pytest.mark.parametrize("way", ["empty", "remove"])
@pytest.mark.parametrize("where", ["section", "entry"])
def test_what_has_no_certain_day_goes_as_the_profile_says(desk: Desk, value: bytes, way: str, where: str) -> None:
    padded = value + b" " * (len(value) % 2)
    told = f"on-unreadable: {way}"
    by_entry = f"{{name: StudyDate, increment-date: true, {told}}}"
    profile = rules(by_entry, "  on-unreadable: refuse\n") if where == "entry" else rules(MOVE, f"  {told}\n")
    (ds,) = released(desk, profile, made(Leaf(STUDY_DATE, "DA", padded)))
    assert (STUDY_DATE in ds) == (way == "empty")
    assert not ds.get("StudyDate", "")
    assert audit(desk)["(0008,0020)"] == f"unreadable-{way}"
    assert desk.summary()["actions"][f"unreadable-{way}"] == 1


def test_one_of_several_dates_goes_empty_and_the_others_move(desk: Desk) -> None:
    (ds,) = released(
        desk, rules(MOVE, "  on-unreadable: empty\n"), made(Leaf(STUDY_DATE, "DA", b"1962\\20200229\\*** "))
    )
    assert raw(ds, STUDY_DATE) == b"\\20200305\\"


def test_times_move_as_far_as_they_are_told(desk: Desk) -> None:
    profile = rules("{name: StudyTime, increment-date: true, date-format: '%H%M%S.%f', date-increment-override: 0.5}")
    values = [b"1345", b"13", b"134501.1234567 ", b"134501"]
    (ds,) = released(desk, profile, made(Leaf(STUDY_TIME, "TM", b"\\".join(values))))
    assert raw(ds, STUDY_TIME).rstrip() == b"0145\\01\\014501.123456\\014501.000000"


def test_jitter_and_regex_sub_follow_the_same_option(desk: Desk) -> None:
    fields = (
        "{name: PatientWeight, jitter: true}\n"
        "{name: PatientID, on-unreadable: remove, regex-sub: [{input-regex: 'SUB-(?P<n>[0-9]+)$', output: 'X{n}'}]}"
    )
    (ds,) = released(desk, rules(fields, "  on-unreadable: empty\n"), made(text(WEIGHT, "DS", "heavy")))
    assert raw(ds, WEIGHT) == b""
    assert PATIENT not in ds
    assert audit(desk)["(0010,1030)"] == "unreadable-empty"
    assert audit(desk)["(0010,0020)"] == "unreadable-remove"


def test_unreadable_dates_in_sequences_are_met_where_they_stand(desk: Desk) -> None:
    below = Seq(0x00101002, (Item((text(BORN, "DA", "1962"),)), Item((text(BORN, "DA", "19620314"),))))
    fields = "{name: PatientBirthDate, increment-date: true}"
    profile = rules(fields, "  on-unreadable: remove\n  recurse-sequence: true\n")
    (ds,) = released(desk, profile, made(below))
    assert [item.get("PatientBirthDate", None) for item in ds[0x00101002].value] == [None, "19620319"]


def test_a_profile_that_others_would_misread_is_warned_of() -> None:
    profile = parse_profile(
        rules(MOVE, "  on-unreadable: empty\n").replace("    - requires: fw-gear-deid\n", ""), "p.yaml"
    )
    assert [one.message for one in profile.warnings if "on-unreadable is known to this program only" in one.message]
    asked = parse_profile(rules(MOVE, "  on-unreadable: empty\n"), "p.yaml")
    assert not [one.message for one in asked.warnings if "on-unreadable" in one.message]


# -- UIDs ----------------------------------------------------------------------------------------------

ODD_UIDS = [
    b"1.2.0840.10008.05.1", b"1.2.840.113619.2.", b"anonymized", b"1.2.840.X12.7", b".", b"..1..", b"\xe9\xfc", b"1,2,3",
    b"1.2." + b"9" * 70, b"3.4.5.x", b" 1.2.3.4", b"1.2.3.4\0\0\0\0", b"-1.-2",
]  # fmt: skip


@pytest.mark.parametrize("value", ODD_UIDS)
def test_hashuid_makes_a_legal_uid_of_any_text(desk: Desk, value: bytes) -> None:
    padded = value + b"\0" * (len(value) % 2)
    below = Seq(0x00081110, (Item((Leaf(0x00081155, "UI", padded),)),))
    fields = "{name: StudyInstanceUID, hashuid: true}\n{name: ReferencedSOPInstanceUID, hashuid: true}"
    profile = rules(fields, "  recurse-sequence: true\n")
    one, two = released(
        desk,
        profile,
        made(Leaf(STUDY, "UI", padded), below),
        made(Leaf(STUDY, "UI", padded), number=2, syntax="implicit"),
    )
    new = raw(one, STUDY).rstrip(b"\0").decode()
    assert pydicom.uid.UID(new).is_valid
    assert new == raw(two, STUDY).rstrip(b"\0").decode()
    assert new in {
        raw(ds[0x00081110].value[0], 0x00081155).rstrip(b"\0").decode() for ds in (one, two) if 0x00081110 in ds
    }
    assert new == HashUid().uid(value.decode("latin-1"))
    if len(value.strip(b" \0")) > 6:
        assert not any(value.strip(b" \0") in data for data in desk.there().values())


def test_odd_instance_uids_agree_with_the_file_meta(desk: Desk) -> None:
    (ds,) = released(desk, rules("{name: SOPInstanceUID, hashuid: true}"), made(Leaf(INSTANCE, "UI", b"1.2.03.anon\0")))
    assert ds.file_meta.MediaStorageSOPInstanceUID == ds.SOPInstanceUID
    assert pydicom.uid.UID(ds.SOPInstanceUID).is_valid


def test_uids_that_differ_stay_different() -> None:
    odd = ["1.2.3", "1.2.03", "1.2.3.", ".1.2.3", "1.2.3.x", "1.2.3.X", "x", "X", "1.2..3", "1.2.3 4"]
    assert len({HashUid().uid(one) for one in odd}) == len(odd)


# -- character sets ------------------------------------------------------------------------------------


def digest(value: str) -> str:
    return sha256(value.encode()).hexdigest()[:16]


@pytest.mark.parametrize(
    ("term", "codec"),
    [
        (b"ISO IR 192", "utf-8"), (b"iso_ir 192", "utf-8"), (b"ISO-IR 192", "utf-8"), (b"UTF-8 ", "utf-8"),
        (b"ISO_IR_100", "latin-1"), (b"iso_ir 100", "latin-1"), (b"ISO 2022-IR 100 ", "latin-1"), (b"ISO-8859-1", "latin-1"),
        (b"gb 18030", "gb18030"),
    ],
)  # fmt: skip
def test_character_sets_as_people_spell_them(desk: Desk, term: bytes, codec: str) -> None:
    name = "M\u00fcller^J\u00f6rg"
    term += b" " * (len(term) % 2)
    written = name.encode(codec)
    fields = "{name: PatientName, hash: true}\n{name: StudyDate, increment-date: true}"
    (ds,) = released(
        desk, rules(fields), made(Leaf(CHARSET, "CS", term), Leaf(NAME, "PN", written + b" " * (len(written) % 2)))
    )
    assert raw(ds, NAME) == digest(name).encode()
    assert b"CS" + len(term).to_bytes(2, "little") + term in next(iter(desk.there().values()))


ODD_BYTES = [
    (b"ISO_IR 192", b"M\xfcller^J\xf6rg "),
    (b"ISO_IR 192", b"Jos\xc3"),
    (b"windows-1252", b"M\xfcller"),
    (b"\\ISO 2022 IR 87 ", b"A\x1b$B\xff\xff\x1b(B"),
]


@pytest.mark.parametrize(("term", "value"), ODD_BYTES)
def test_bytes_that_do_not_decode_are_hashed_as_they_are(desk: Desk, term: bytes, value: bytes) -> None:
    value += b" " * (len(value) % 2)
    declared = made(
        Leaf(CHARSET, "CS", term + b" " * (len(term) % 2)), Leaf(NAME, "PN", value), text(0x00200013, "IS", "1")
    )
    bare = made(Leaf(NAME, "PN", value), text(0x00200013, "IS", "2"), number=2)
    one, two = released(desk, rules("{name: PatientName, hash: true}"), declared, bare)
    assert raw(one, NAME) == digest(value.decode("latin-1").rstrip()).encode()
    assert raw(two, NAME) == raw(one, NAME)


@pytest.mark.parametrize(("term", "value"), ODD_BYTES)
@pytest.mark.parametrize("rule", ["remove: true", "replace-with: ''", "replace-with: X"])
def test_what_only_removes_or_replaces_decodes_nothing(desk: Desk, term: bytes, value: bytes, rule: str) -> None:
    value += b" " * (len(value) % 2)
    data = made(Leaf(CHARSET, "CS", term + b" " * (len(term) % 2)), Leaf(NAME, "PN", value))
    (ds,) = released(desk, rules(f"{{name: PatientName, {rule}}}"), data)
    assert (raw(ds, NAME) if NAME in ds else b"") == (b"X " if "X" in rule else b"")


@pytest.mark.parametrize("way", ["refuse", "empty", "remove"])
def test_regex_sub_of_bytes_that_do_not_decode_goes_by_the_option(desk: Desk, way: str) -> None:
    fields = f"{{name: PatientName, on-unreadable: {way}, regex-sub: [{{input-regex: '(?P<n>.*)', output: '{{n}}'}}]}}"
    data = made(text(CHARSET, "CS", "ISO_IR 192"), Leaf(NAME, "PN", b"M\xfcller"))
    found = released(desk, rules(fields), data, code=way == "refuse")
    if way == "refuse":
        assert "on-unreadable" in next(iter(desk.reasons().values()))
        return
    assert (NAME in found[0]) == (way == "empty")
    assert b"ller" not in next(iter(desk.there().values()))


@pytest.mark.parametrize("way", ["refuse", "empty"])
def test_another_field_that_does_not_decode_goes_by_the_option(desk: Desk, way: str) -> None:
    made_of = "[{input-regex: '(?P<n>.*)', output: '{n}-{PatientName}', groups: [{name: PatientName, keep: true}]}]"
    data = made(text(CHARSET, "CS", "ISO_IR 192"), Leaf(NAME, "PN", b"M\xfcller"))
    fields = f"{{name: PatientID, on-unreadable: {way}, regex-sub: {made_of}}}"
    found = released(desk, rules(fields), data, code=way == "refuse")
    assert [raw(ds, PATIENT) for ds in found] == ([b""] if way == "empty" else [])


# -- patients ------------------------------------------------------------------------------------------


def loose(desk: Desk, ids: Iterable[bytes], term: bytes = b"ISO_IR 192") -> list[str]:
    """Put loose files with these ids into the source; return the subject that each came to."""
    desk.rules(rules("{name: PatientID, remove: true}\n{name: StudyDate, increment-date: true}"))
    files = {}
    for number, one in enumerate(ids):
        padded = one + b" " * (len(one) % 2)
        files[f"{number}.dcm"] = made(Leaf(CHARSET, "CS", term), Leaf(PATIENT, "LO", padded), number=number)
    desk.put(files)
    ran = desk.run()
    assert ran.code == 0, desk.reasons()
    rows = {row["source"]: row["destination"] for row in desk.rows()}
    return [rows[name].split("/")[0] for name in files]


def test_ids_that_do_not_decode_are_patients_of_their_own(desk: Desk) -> None:
    ids = [b"P-\xfc1", b"P-\xdc1", b"P-\xfc1", b"P-\xfc2", b" P-\xfc1", b"\xb1\xb1\xbe\xa9", b"\xb1\xb1\xbe\xaa"]
    subjects = loose(desk, ids)
    assert subjects[0] == subjects[2] == subjects[4]
    assert len(set(subjects)) == 5


def test_an_id_that_does_not_decode_is_nobody_whose_id_does(desk: Desk) -> None:
    first, second = loose(desk, [b"P-\xfc1", "P-\u00fc1".encode()])
    assert first != second


# -- private elements in frames ------------------------------------------------------------------------


def frame(block: int, creator: str = "SIEMENS MR SDI 02") -> Item:
    inside = (
        text(0x00210000 | block, "LO", creator), text(0x00210059 | block << 8, "IS", "1357"),
        text(0x00210076 | block << 8, "LO", "SECRET"),
    )  # fmt: skip
    shared = (text(0x00210000 | block, "LO", creator), Seq(0x002100FE | block << 8, (Item(inside),)))
    return Item(shared)


@pytest.mark.parametrize("syntax", ["explicit", "implicit", "big"])
@pytest.mark.parametrize("undefined", ["", "  remove-undefined: true\n"])
def test_private_elements_stay_in_every_item_where_the_block_is_the_creators(
    desk: Desk, syntax: str, undefined: str
) -> None:
    frames = Seq(0x52009230, (frame(0x10), frame(0x11), frame(0x10, "ACME 1.0")))
    fields = (
        "{name: '(0021, \"SIEMENS MR SDI 02\", FE)', keep: true}\n{name: '(0021, \"SIEMENS MR SDI 02\", 59)', keep: true}\n"
        "{name: StudyDate, increment-date: true}"
    )
    profile = rules(fields, f"  remove-private-tags: true\n  recurse-sequence: true\n{undefined}")
    if undefined:
        profile += "    - {name: StudyInstanceUID, keep: true}\n"
    (ds,) = released(desk, profile, made(frames, syntax=syntax))
    first, second, third = ds[0x52009230].value
    assert (0x002110FE in first, 0x002111FE in second, len(third)) == (True, True, 0)
    if syntax != "implicit":  # of which pydicom knows no private sequence
        assert raw(first[0x002110FE].value[0], 0x00211059) == b"1357"
        assert raw(second[0x002111FE].value[0], 0x00211159) == b"1357"
        assert sorted(map(int, first[0x002110FE].value[0].keys())) == [0x00210010, 0x00211059]
    data = next(iter(desk.there().values()))
    assert data.count(b"1357") == 2
    assert b"SECRET" not in data
    assert b"ACME" not in data


def test_without_recurse_sequence_they_go_as_before(desk: Desk) -> None:
    profile = rules("{name: '(0021, \"SIEMENS MR SDI 02\", FE)', keep: true}", "  remove-private-tags: true\n")
    (ds,) = released(desk, profile, made(Seq(0x52009230, (frame(0x10),))))
    assert len(ds[0x52009230].value[0]) == 0


# -- overlays ------------------------------------------------------------------------------------------

OVERLAY = (0x60000022, 0x60020022, 0x601E0022)


@pytest.mark.parametrize(
    "name", ["0x60xx0022", "60xx0022", "60XX0022", '"(60xx, 0022)"', '"(60XX,0022)"', '"( 60xx , 0022 )"']
)
@pytest.mark.parametrize("syntax", ["explicit", "implicit"])
def test_repeating_groups_in_every_spelling(desk: Desk, name: str, syntax: str) -> None:
    overlays = [text(tag, "LO", "SECRET") for tag in OVERLAY]
    others = [text(0x60000045, "LO", "label"), text(0x50000022, "LO", "curve")]
    (ds,) = released(desk, rules(f"{{name: {name}, remove: true}}"), made(*overlays, *others, syntax=syntax))
    assert not any(tag in ds for tag in OVERLAY)
    assert raw(ds, 0x60000045) == b"label "
    assert raw(ds, 0x50000022) == b"curve "


# -- the check -----------------------------------------------------------------------------------------


def changed(old: bytes, new: bytes, data: bytes, profile: str) -> None:
    """Carry out a profile, put other bytes of the same length into the result, and ask the check."""
    section = parse_profile(profile, "p.yaml").dicom
    assert section is not None
    done, written = carried_out(data, section)
    hold(done, written, promises_of(section))
    assert written.count(old) == 1 and len(old) == len(new)
    for splices in (done.meta, done.body):
        splices[:] = [(start, end, put.replace(old, new)) for start, end, put in splices]
    hold(done, written.replace(old, new), promises_of(section))


@pytest.mark.parametrize("wrong", [b"20200230", b"2020    ", b"SECRETSS", b"00000305"])
def test_the_check_finds_dates_that_are_none(wrong: bytes) -> None:
    with pytest.raises(Unfit, match="is not a date"):
        changed(b"20200305", wrong, made(), rules(MOVE))


def test_the_check_finds_uids_that_are_none() -> None:
    new = HashUid().uid(f"{UID}.7.1").encode()
    with pytest.raises(Unfit, match="no legal UID"):
        changed(new, b"x" + new[1:], made(), rules("{name: StudyInstanceUID, hashuid: true}"))


def test_the_check_finds_private_elements_that_stayed() -> None:
    private = [text(0x00210010, "LO", "ACME 1.0"), text(0x00211059, "IS", "1"), text(0x00211060, "IS", "2")]
    section = parse_profile(rules("{name: '(0021, \"ACME 1.0\", 59)', keep: true}"), "p.yaml").dicom
    assert section is not None
    done, written = carried_out(made(*private), section)
    _, meta = part10.write(done.parts, done.meta, done.body)
    told = meta, done.body, {row.path for row in done.edits}
    named, other = (0x0021, "ACME 1.0", 0x59), (0x0021, "ACME 1.0", 0x60)
    Checker(Promises((), recurse=False, stay=frozenset({named, other})), frozenset()).check(
        dataset.span_of(done.parts), written, told
    )
    for stay in (frozenset({named}), frozenset[tuple[int, str, int]]()):
        with pytest.raises(Unfit, match="remove-private-tags"):
            Checker(Promises((), recurse=False, stay=stay), frozenset()).check(
                dataset.span_of(done.parts), written, told
            )
