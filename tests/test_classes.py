"""Entries for a VR: which elements they reach, and what goes before and after them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from fw_gear_deid.actions import HashUid
from fw_gear_deid.model.errors import Unfit
from fw_gear_deid.profile.compiled import DicomSection
from fw_gear_deid.profile.parse import parse_profile
from fw_gear_deid.profile.text.problems import ProfileError
from tests.dicom_files import CT, SYNTAXES, Item, Leaf, Node, Seq, text
from tests.test_general import done_with

SYNTAX = pytest.mark.parametrize("syntax", SYNTAXES)
BASE = (text(0x00080016, "UI", CT), text(0x00080018, "UI", "1.2.840.99.1.2"))


def section_of(fields: str, options: str = "") -> DicomSection:
    lines = "".join(f"    - {line}\n" for line in fields.splitlines())
    section = parse_profile(f"dicom:\n{options}  fields:\n    - requires: fw-gear-deid\n{lines}", "p.yaml").dicom
    assert section is not None
    return section


def became(fields: str, nodes: Sequence[Node], options: str = "", syntax: str = "explicit") -> Any:
    done = done_with(section_of(fields, options), tuple(sorted((*BASE, *nodes), key=lambda node: node.tag)), syntax)
    return done[1]


@SYNTAX
def test_at_every_depth_and_private_ones_by_their_creator(syntax: str) -> None:
    inner = Item((text(0x00100010, "PN", "A^B"), Seq(0x0040A730, (Item((text(0x0040A123, "PN", "C^D"),)),))))
    private = (text(0x00090010, "LO", "GEMS_IDEN_01"), text(0x00091002, "SH", "SUITE"), text(0x00091001, "LO", "L"))
    nodes = (text(0x00100010, "PN", "A^B"), Seq(0x00400275, (inner,)), *sorted(private, key=lambda node: node.tag))
    got = became("{vr: [PN, SH], replace-with: X}", nodes, syntax=syntax)
    inside = got.RequestAttributesSequence[0]
    assert (got.PatientName, inside.PatientName, inside.ContentSequence[0].PersonName) == ("X", "X", "X")
    block = got.private_block(0x0009, "GEMS_IDEN_01")
    assert (block[0x02].value, block[0x01].value) == ("X", "L")


@pytest.mark.parametrize("wire", ["PN", "UN", "LO", "SH"])
def test_the_dictionary_counts_where_it_knows_the_element(wire: str) -> None:
    got = became("{vr: PN, replace-with: X}\n{vr: [LO, SH, UN], replace-with: Y}", [Leaf(0x00100010, wire, b"A^B ")])
    value = got[0x00100010].value
    assert (value.decode() if isinstance(value, bytes) else str(value)).strip() == "X"


def test_a_sequence_that_stands_as_un() -> None:
    nodes = [Seq(0x00081140, (Item((text(0x00100010, "PN", "A^B"),)),), vr="UN")]
    assert became("{vr: PN, replace-with: X}", nodes).ReferencedImageSequence[0].PatientName == "X"
    assert "ReferencedImageSequence" not in became("{vr: SQ, remove: true}", nodes)
    assert list(became("{vr: SQ, replace-with: ''}", nodes).ReferencedImageSequence) == []


@pytest.mark.parametrize("action", ["remove: true", "replace-with: ''", "hash: true"])
def test_un_is_what_nobody_knows(action: str) -> None:
    known = (text(0x00090010, "LO", "GEMS_IDEN_01"), Leaf(0x00091002, "UN", b"AB"))
    nobody = (text(0x00110010, "LO", "NOBODY"), Leaf(0x00111001, "UN", b"AB"), Leaf(0x00111002, "OB", b"AB"))
    got = became(f"{{vr: UN, {action}}}", (*known, *nobody, Leaf(0x00100020, "UN", b"AB")))
    assert (got[0x00091002].value, got[0x00111002].value, got.PatientID) in (("AB", b"AB", "AB"), (b"AB", b"AB", "AB"))
    assert 0x00111001 not in got or got[0x00111001].value not in (b"AB", "AB")


def test_un_that_holds_items_goes_by_what_is_in_it_where_the_action_is_for_values() -> None:
    inside = Item((text(0x00100010, "PN", "A^B"), Leaf(0x00091001, "UN", b"AB")))
    nodes = (text(0x00110010, "LO", "NOBODY"), Seq(0x00111001, (inside,), vr="UN"))
    got = became("{vr: UN, hash: true}\n{vr: PN, replace-with: X}", nodes)
    assert b"X" in got[0x00111001].value if isinstance(got[0x00111001].value, bytes) else True
    assert 0x00111001 not in became("{vr: UN, remove: true}", nodes)


def test_a_place_entry_goes_before_at_its_place() -> None:
    nodes = (text(0x00100010, "PN", "A^B"), Seq(0x00081140, (Item((text(0x00100010, "PN", "A^B"),)),)))
    fields = "{vr: PN, replace-with: CLASS}\n{name: PatientName, keep: true}"
    got = became(fields, nodes)
    assert (got.PatientName, got.ReferencedImageSequence[0].PatientName) == ("A^B", "CLASS")
    got = became(fields, nodes, "  recurse-sequence: true\n")
    assert (got.PatientName, got.ReferencedImageSequence[0].PatientName) == ("A^B", "A^B")
    got = became("{vr: PN, replace-with: CLASS}\n{regex: '.*PatientName', replace-with: REGEX}", nodes)
    assert (got.PatientName, got.ReferencedImageSequence[0].PatientName) == ("REGEX", "REGEX")


def test_of_two_the_first_in_the_file_acts() -> None:
    nodes = (text(0x00100010, "PN", "A^B"), text(0x00100020, "LO", "P"))
    got = became("{vr: PN, replace-with: '1'}\n{vr: [LO, PN], replace-with: '2'}", nodes)
    assert (got.PatientName, got.PatientID) == ("1", "2")


def test_it_creates_nothing() -> None:
    assert "PatientName" not in became("{vr: PN, replace-with: X}", [text(0x00100020, "LO", "P")])


@SYNTAX
def test_dates_and_date_times_move_each_in_its_way(syntax: str) -> None:
    nodes = (
        text(0x00080020, "DA", "20200301"),
        text(0x0008002A, "DT", "202003011200+0100"),
        text(0x00181078, "DT", "2020"),
    )
    got = became("{vr: [DA, DT], increment-date: true}", nodes, "  date-increment: -17\n", syntax)
    assert (got.StudyDate, got.AcquisitionDateTime) == ("20200213", "202002131200+0100")
    assert got.RadiopharmaceuticalStartDateTime == "2019"


def test_what_cannot_be_read_goes_by_the_entry() -> None:
    nodes = (text(0x00080020, "DA", "unknown"), text(0x00080021, "DA", "20200301"))
    fields = "{vr: [DA, DT], increment-date: true%s}"
    with pytest.raises(Unfit, match=r"p\.yaml:5 increment-date: \(0008,0020\)"):
        became(fields % "", nodes, "  date-increment: 1\n")
    got = became(fields % ", on-unreadable: remove", nodes, "  date-increment: 1\n")
    assert "StudyDate" not in got and got.SeriesDate == "20200302"


@SYNTAX
def test_registered_uids_stay(syntax: str) -> None:
    nodes = (
        text(0x00081150, "UI", CT),
        text(0x0008010C, "UI", "1.2.840.10008.2.16.4"),
        text(0x0020000D, "UI", "1.2.840.99.7"),
        text(0x00080058, "UI", f"{CT}\\1.2.840.99.8"),
        text(0x00080062, "UI", f"{CT}\\1.2.840.99.8"),
    )
    got = became("{vr: UI, hashuid: true}", nodes, syntax=syntax)
    assert (got.SOPClassUID, got.ReferencedSOPClassUID, got.CodingSchemeUID) == (CT, CT, "1.2.840.10008.2.16.4")
    assert got.StudyInstanceUID == HashUid().uid("1.2.840.99.7")
    assert list(got.SOPClassesInStudy) == [CT, "1.2.840.99.8"]  # a class of somebody's own
    assert list(got.FailedSOPInstanceUIDList) == [CT, HashUid().uid("1.2.840.99.8")]
    assert got.SOPInstanceUID == got.file_meta.MediaStorageSOPInstanceUID == HashUid().uid("1.2.840.99.1.2")


def test_a_sop_instance_uid_is_never_removed() -> None:
    got = became("{vr: UI, remove: true}", [text(0x0020000D, "UI", "1.2.3"), text(0x00100020, "LO", "P")])
    assert "StudyInstanceUID" not in got
    assert got.SOPInstanceUID == HashUid().uid("1.2.840.99.1.2")


PRIVATE = (text(0x00090010, "LO", "GEMS_IDEN_01"), text(0x00091002, "SH", "SUITE"))


def test_it_names_its_elements_for_remove_undefined() -> None:
    inside = Item((text(0x00080050, "SH", "A"), text(0x00100020, "LO", "P")))
    nodes = (text(0x00100020, "LO", "P"), text(0x00200010, "SH", "S"), *PRIVATE, Seq(0x00400275, (inside,)))
    got = became("{vr: SH, keep: true}", nodes, "  remove-undefined: true\n")
    assert ("PatientID" in got, got.StudyID, got[0x00091002].value) == (False, "S", "SUITE")
    assert got[0x00090010].value == "GEMS_IDEN_01"
    assert [elem.keyword for elem in got.RequestAttributesSequence[0]] == ["AccessionNumber"]


def test_it_spares_nothing_from_remove_private_tags() -> None:
    got = became("{vr: [SH, LO, UN], keep: true}", PRIVATE, "  remove-private-tags: true\n")
    assert 0x00090010 not in got and 0x00091002 not in got


def test_the_age_from_the_birth_date_counts_as_named() -> None:
    nodes = (text(0x00080020, "DA", "20200301"), text(0x00100030, "DA", "19500301"), text(0x00101010, "AS", "001Y"))
    inside = Seq(0x00081140, (Item((text(0x00101010, "AS", "001Y"),)),))
    got = became("{vr: AS, remove: true}", (*nodes, inside), "  patient-age-from-birthdate: true\n")
    assert got.PatientAge == "840M"
    assert "PatientAge" not in got.ReferencedImageSequence[0]


def test_a_private_creator_that_is_known_stays() -> None:
    nodes = (*PRIVATE, text(0x00110010, "LO", "DOE JOHN"), text(0x00111001, "LO", "B"))
    got = became("{vr: LO, replace-with: X}", nodes)
    assert (got[0x00090010].value, got[0x00110010].value, got[0x00111001].value) == ("GEMS_IDEN_01", "X", "X")
    named = "{name: '(0011, \"DOE JOHN\", 02)', remove: true}\n{vr: LO, replace-with: X}"
    assert became(named, nodes)[0x00110010].value == "DOE JOHN"


def test_file_meta_is_none_of_it() -> None:
    got = became("{vr: [AE, UI, SH, OB, UL], remove: true}", [text(0x00100020, "LO", "P")])
    assert got.file_meta.TransferSyntaxUID == SYNTAXES["explicit"].uid


@pytest.mark.parametrize(
    ("entry", "wrong"),
    [
        ("{vr: pn, remove: true}", "did you mean 'PN'?"),
        ("{vr: [PN, PN], remove: true}", "PN is listed twice"),
        ("{vr: [], remove: true}", "vr lists nothing"),
        ("{vr: {a: b}, remove: true}", "vr is a VR of DICOM"),
        ("{vr: PN, name: PatientName, remove: true}", "both a vr and a name; keep one"),
        ("{vr: PN, regex: a, remove: true}", "both a vr and a regex; keep one"),
        ("{vr: PN}", "a vr needs one"),
        ("{vr: PN, remove: true, hash: true}", "several actions"),
        ("{vr: PN, encrypt: true}", "encrypt needs the name of an element"),
        ("{vr: PN, decrypt: true}", "decrypt needs the name of an element"),
        ("{vr: PN, replace-with: X, replace-with-insert: true}", "creates nothing"),
        ("{vr: [PN, OB], hash: true}", "VR OB cannot hold a hash"),
        ("{vr: [PN, SQ], replace-with: X}", "the value is text, which VR SQ cannot hold"),
        ("{vr: [PN, US], replace-with: X}", "VR US takes a number"),
        ("{vr: LO, hashuid: true}", "hashuid is for VR UI, not for LO"),
        ("{vr: [DA, AS], increment-date: true}", "VR AS cannot hold what increment-date makes"),
        ("{vr: DA, increment-datetime: true}", "VR DA cannot hold what increment-datetime makes"),
        ("{vr: OB, regex-sub: [{input-regex: '(?P<a>.)', output: '{a}'}]}", "VR OB cannot hold"),
        ("{vr: [DS, AS], jitter: true}", "VR AS cannot hold what jitter makes"),
        ("{name: PatientID, hashuid: true}", "hashuid is for VR UI, and this element has VR LO"),
    ],
)
def test_wrong_entries(entry: str, wrong: str) -> None:
    with pytest.raises(ProfileError) as error:
        section_of(entry, "  date-increment: 1\n")
    assert any(wrong in line for line in error.value.lines), error.value.lines


def test_other_sections_have_no_vr() -> None:
    with pytest.raises(ProfileError) as error:
        parse_profile("json:\n  fields:\n    - {vr: PN, remove: true}\n", "p.yaml")
    assert "vr is for the fields of 'dicom'" in error.value.lines[0]


@pytest.mark.parametrize(
    ("profile", "told"),
    [
        ("dicom:\n  fields:\n    - {vr: PN, remove: true}\n", "vr is known to this program only"),
        ("dicom:\n  follow-uids: true\n  fields:\n    - {name: PatientID, remove: true}\n", "follow-uids is known to"),
        ("dicom:\n  exclude: [{Modality: US}]\n  fields:\n    - {name: PatientID, remove: true}\n", "exclude is known"),
        (
            "dicom:\n  fields:\n    - {vr: PN, remove: true}\n    - {vr: [LO, PN], hash: true}\n",
            "PN is listed first in line 3",
        ),
        (
            "dicom:\n  remove-private-tags: true\n  fields:\n    - {vr: UN, keep: true}\n    - {vr: PN, remove: true}\n",
            "keep protects nothing private",
        ),
    ],
)
def test_warnings(profile: str, told: str) -> None:
    assert any(told in one.message for one in parse_profile(profile, "w.yaml").warnings)


def test_names_of_persons_that_a_class_takes_are_not_warned_of() -> None:
    profile = "dicom:\n  fields:\n    - requires: fw-gear-deid\n    - {vr: PN, remove: true}\n"
    assert not [one for one in parse_profile(profile, "n.yaml").warnings if "names of persons" in one.message]
