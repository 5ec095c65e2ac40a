"""``follow-uids``: what refers to a UID that is hashed goes along."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from fw_gear_deid.actions import HashUid
from fw_gear_deid.deid import dataset
from fw_gear_deid.formats.dicom import part10 as codec
from fw_gear_deid.model import dictionary, references
from fw_gear_deid.model.errors import Unfit
from fw_gear_deid.profile.parse import parse_profile
from tests import oracle
from tests.dicom_files import CT, SYNTAXES, Item, Leaf, Node, Seq, part10, text
from tests.test_general import done_with

STUDY, SERIES, INSTANCE, FRAME = "1.2.840.99.1", "1.2.840.99.2.20200229", "1.2.840.99.3.77", "1.2.840.99.4.5"
OTHER = "1.2.840.99.5.6.7"
ALL = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "FrameOfReferenceUID")
SYNTAX = pytest.mark.parametrize("syntax", SYNTAXES)


def hashed(uid: str) -> str:
    return HashUid().uid(uid)


def section_of(*keywords: str, more: str = "", options: str = "") -> Any:
    fields = "".join(f"    - {{name: {keyword}, hashuid: true}}\n" for keyword in keywords)
    head = f"dicom:\n  follow-uids: true\n{options}  fields:\n    - requires: fw-gear-deid\n"
    section = parse_profile(f"{head}{fields}{more}", "p.yaml").dicom
    assert section is not None
    return section


def nodes_of(*more: Node) -> tuple[Node, ...]:
    nodes = (
        text(0x00080016, "UI", CT),
        text(0x00080018, "UI", INSTANCE),
        text(0x0020000D, "UI", STUDY),
        text(0x0020000E, "UI", SERIES),
        text(0x00200052, "UI", FRAME),
    )
    return tuple(sorted((*nodes, *more), key=lambda node: node.tag))


def reference(uid: str = OTHER) -> Leaf:
    return text(0x00081155, "UI", uid)


OTHERS = {
    "study": "1.2.840.98.1.1",
    "series": "1.2.840.98.2.2",
    "instance": "1.2.840.98.3.3",
    "frame": "1.2.840.98.4.4",
}
IMAGES = Seq(0x00081140, (Item((text(0x00081150, "UI", CT), reference(OTHERS["instance"]))),))
REFERENCES = (
    Seq(0x00081110, (Item((reference(OTHERS["study"]),)),)),
    Seq(0x00081115, (Item((IMAGES, text(0x0020000E, "UI", OTHERS["series"]))),)),
    Seq(0x00640002, (Item((text(0x00640003, "UI", OTHERS["frame"]),)),)),
    Seq(0x30060010, (Item((text(0x00200052, "UI", OTHERS["frame"]),)),)),
    text(0x30060024, "UI", OTHERS["frame"]),
)


def seen(got: Any) -> dict[str, list[str]]:
    series = got.ReferencedSeriesSequence[0]
    return {
        "study": [got.ReferencedStudySequence[0].ReferencedSOPInstanceUID],
        "series": [series.SeriesInstanceUID],
        "instance": [series.ReferencedImageSequence[0].ReferencedSOPInstanceUID],
        "frame": [
            got.DeformableRegistrationSequence[0].SourceFrameOfReferenceUID,
            got.ReferencedFrameOfReferenceSequence[0].FrameOfReferenceUID,
            got.ReferencedFrameOfReferenceUID,
        ],
    }


@SYNTAX
@pytest.mark.parametrize("keyword", ALL)
def test_references_of_one_kind(keyword: str, syntax: str) -> None:
    kind = next(kind for kind, tag in references.HEADS.items() if dictionary.keyword_of(tag) == keyword)
    done, got = done_with(section_of(keyword), nodes_of(*REFERENCES), syntax)
    for other, uids in seen(got).items():
        assert set(uids) == {hashed(OTHERS[other]) if other == kind else OTHERS[other]}, other
    assert got.ReferencedSeriesSequence[0].ReferencedImageSequence[0].ReferencedSOPClassUID == CT
    rules = {edit.rule for edit in done.edits if edit.before == OTHERS[kind]}
    assert rules == {"follow-uids (p.yaml:5)"}


def test_without_the_option_references_stay() -> None:
    section = parse_profile("dicom:\n  fields:\n    - {name: StudyInstanceUID, hashuid: true}\n", "p.yaml").dicom
    assert section is not None
    _, got = done_with(section, nodes_of(*REFERENCES))
    assert {kind: set(uids) for kind, uids in seen(got).items()} == {kind: {uid} for kind, uid in OTHERS.items()}


def test_what_an_entry_names_does_not_follow() -> None:
    more = "    - {name: ReferencedFrameOfReferenceUID, keep: true}\n    - {name: FailedSOPInstanceUIDList, replace-with: '1.2.3'}\n"
    nodes = nodes_of(text(0x00080058, "UI", OTHER), *REFERENCES)
    _, got = done_with(section_of(*ALL, more=more), nodes)
    assert (got.ReferencedFrameOfReferenceUID, got.FailedSOPInstanceUIDList) == (OTHERS["frame"], "1.2.3")


def test_what_an_entry_replaces_is_no_hash() -> None:
    more = "    - {name: StudyInstanceUID, replace-with: '1.2.3'}\n"
    _, got = done_with(section_of(more=more), nodes_of(*REFERENCES))
    assert {kind: set(uids) for kind, uids in seen(got).items()} == {kind: {uid} for kind, uid in OTHERS.items()}


def test_uids_of_the_standard_stay() -> None:
    palette = "1.2.840.10008.1.5.1"
    _, got = done_with(section_of(*ALL), nodes_of(text(0x00280304, "UI", palette)))
    assert got.ReferencedColorPaletteInstanceUID == palette


BLOCK = (text(0x00450010, "LO", "GEMS_SENO_02"),)


@SYNTAX
@pytest.mark.parametrize("vr", ["UI", "UN"])
def test_private_references(vr: str, syntax: str) -> None:
    if syntax == "implicit" and vr == "UN":
        pytest.skip("there is no VR")
    series = Leaf(0x00451051, vr, text(0, "UI", OTHER).value)
    nodes = nodes_of(*BLOCK, text(0x00451050, "UI", OTHERS["instance"]), series)
    _, got = done_with(section_of("SeriesInstanceUID"), nodes, syntax)
    block = got.private_block(0x0045, "GEMS_SENO_02")
    assert block[0x50].value == OTHERS["instance"]
    value = block[0x51].value
    assert (value.decode() if isinstance(value, bytes) else value).rstrip("\0") == hashed(OTHER)


COPIES = (
    text(0x00080080, "LO", f" {STUDY}"),
    text(0x0008103E, "LO", f"see {STUDY}"),
    text(0x00102160, "SH", "12"),
    text(0x00104000, "LT", STUDY),
    Seq(0x00400275, (Item((text(0x0040A160, "UT", SERIES), Seq(0x0040A730, (Item((text(0x0040A124, "UI", INSTANCE),)),)))),)),
    Leaf(0x00910000 + 0x1001, "UN", INSTANCE.encode() + b"\0"),
)  # fmt: skip


@SYNTAX
@pytest.mark.parametrize("undefined", [False, True])
def test_values_that_are_equal_change_whatever_their_vr(syntax: str, undefined: bool) -> None:
    nodes = tuple(replace(node, undefined=undefined) if isinstance(node, Seq) else node for node in COPIES)
    done, got = done_with(section_of(*ALL), nodes_of(text(0x00910010, "LO", "NOBODY"), *nodes), syntax)
    assert got.InstitutionName == hashed(STUDY)
    assert got.SeriesDescription == f"see {STUDY}"
    assert got.PatientComments == hashed(STUDY)
    inside = got.RequestAttributesSequence[0]
    assert inside.TextValue == hashed(SERIES)
    assert hashed(INSTANCE) == inside.ContentSequence[0].UID
    value = got[0x00911001].value
    assert (value.decode() if isinstance(value, bytes) else value).rstrip("\0 ") == hashed(INSTANCE)
    copies = {edit.path: edit for edit in done.edits if edit.path in ("(0010,4000)", "(0008,0080)")}
    assert {edit.rule for edit in copies.values()} == {"follow-uids (p.yaml:5)"}
    assert copies["(0010,4000)"].before == STUDY


def test_several_values_change_one_by_one() -> None:
    _, got = done_with(section_of(*ALL), nodes_of(text(0x00081050, "LO", f"A\\{STUDY}\\B")))
    assert list(got[0x00081050].value) == ["A", hashed(STUDY), "B"]


def test_a_copy_that_its_vr_cannot_hold_goes() -> None:
    nodes = (text(0x0020000D, "UI", "1.2.3"), text(0x00080050, "SH", "1.2.3"))
    _, got = done_with(section_of("StudyInstanceUID"), (*nodes_of()[:2], nodes[1], nodes[0]))
    assert got.AccessionNumber == ""


def test_a_copy_that_an_entry_names_stays() -> None:
    more = "    - {name: InstitutionName, keep: true}\n    - {vr: LT, keep: true}\n"
    _, got = done_with(section_of(*ALL, more=more), nodes_of(*COPIES[:4]))
    assert (got.InstitutionName.strip(), got.PatientComments) == (STUDY, STUDY)


def test_copies_behind_the_pixels() -> None:
    nodes = (Leaf(0x7FE00010, "OW", bytes(8)), Leaf(0xFFF10010, "LO", b"NOBODY"), text(0xFFF11001, "LO", STUDY))
    _, got = done_with(section_of(*ALL), nodes_of(*nodes))
    assert got[0xFFF11001].value == hashed(STUDY)


def test_the_same_with_lengths_that_were_mended_already() -> None:
    inside = Item((text(0x00100010, "PN", "LONG^NAME"), text(0x0040A160, "UT", SERIES), reference()))
    more = "    - {vr: PN, replace-with: ''}\n"
    _, got = done_with(section_of(*ALL, more=more), nodes_of(Seq(0x00400275, (inside, inside))))
    for item in got.RequestAttributesSequence:
        assert (item.PatientName, item.TextValue) == ("", hashed(SERIES))
        assert item.ReferencedSOPInstanceUID == hashed(OTHER)


def test_every_line_of_the_table_is_a_uid() -> None:
    for (tag, around, creator), kind in references._table().items():
        assert kind in references.HEADS
        number = int(tag.replace("xx", "10"), 16)
        vr = dictionary.private_vr(number, creator) if creator else dictionary.public_vr(number)
        assert vr == "UI", (tag, creator)
        assert not around or dictionary.public_vr(int(around, 16)) == "SQ"


def test_advice_does_not_ask_for_what_follows() -> None:
    fields = "".join(f"    - {{name: {keyword}, hashuid: true}}\n" for keyword in ALL)
    for option, asked in (("", True), ("  follow-uids: true\n", False)):
        profile = f"dicom:\n{option}  fields:\n    - requires: fw-gear-deid\n{fields}"
        told = [one.message for one in parse_profile(profile, "a.yaml").warnings]
        assert any("inside sequences; hash as well" in message for message in told) == asked


@SYNTAX
def test_a_copy_that_is_left_is_found_by_the_check(syntax: str) -> None:
    """Whoever forgets one is told by a reader of its own."""
    section = section_of(*ALL, more="    - {name: InstitutionName, keep: true}\n    - {vr: AE, keep: true}\n")
    nodes = nodes_of(text(0x00910010, "LO", "NOBODY"), *COPIES, Leaf(0x7FE00010, "OW", bytes(4)))
    done, _ = oracle.carried_out(part10(nodes, SYNTAXES[syntax]), section)
    source = done.parts.body_src
    comments = (b"\x10\0\0\x40", b"\0\x10\x40\0")
    left = [one for one in done.body if source[one[0] : one[0] + 4] not in comments]
    assert len(left) == len(done.body) - 1
    pieces, meta = codec.write(done.parts, done.meta, left)
    with pytest.raises(Unfit, match=r"verification: \(0010,4000\) still holds a UID that changed elsewhere"):
        dataset.check(replace(done, body=left), b"".join(pieces), meta)


def test_what_is_remembered_of_other_files_changes_no_path() -> None:
    """Sequences in which nothing is wanted are passed over the second time, and their items have no number then."""
    clean = Seq(0x00081032, (Item((text(0x00080100, "SH", "C"),)), Item((text(0x00080100, "SH", "D"),))))
    copy = Seq(0x00400275, (Item((text(0x0040A160, "UT", STUDY), reference(OTHERS["instance"]))),))
    others = Seq(0x0040A730, tuple(Item((reference(f"1.2.840.98.3.{number}"),)) for number in range(4)))
    section = section_of(*ALL)
    first, second, third = (done_with(section, nodes_of(clean, copy, others))[0] for _ in range(3))
    assert first.edits == second.edits == third.edits
    assert "(0040,0275)[0](0040,A160)" in {edit.path for edit in second.edits}
