"""Steps and addresses of the DICOM section, each for itself, as pydicom reads what comes out."""

from __future__ import annotations

import io
from collections.abc import Sequence
from datetime import date
from typing import Any

import pydicom
import pytest

from fw_gear_deid.deid import Context
from fw_gear_deid.deid.incoming import Incoming
from fw_gear_deid.deid.member import Done, deidentify_member
from fw_gear_deid.keys import Keyring
from fw_gear_deid.model.errors import Unfit
from fw_gear_deid.profile.parse import parse_profile
from tests.dicom_files import IDENTITY, SYNTAXES, Item, Leaf, Node, Seq, file_meta, meta_of, part10, text

NAME = text(0x00100010, "PN", "ZZ^A")
KEEP = "  fields:\n    - name: StudyDate\n      keep: true\n"
EXPLICIT = SYNTAXES["explicit"]


def carried_out(
    section: str, nodes: Sequence[Node], syntax: str = "explicit", **file: Any
) -> tuple[pydicom.Dataset, Done]:
    """Carry out a section; return the result as pydicom reads it, and what was done."""
    ctx = Context(parse_profile("dicom:\n" + section, "p.yaml"), Keyring(bytes(32)), "s", date(2026, 1, 1), "strict")
    data = part10([*IDENTITY[:3], *nodes], SYNTAXES[syntax], **file)
    done = deidentify_member(Incoming(iter([data]), len(data)), "a.dcm", ctx)
    found = pydicom.dcmread(io.BytesIO(b"".join(done.pieces)))
    for one in found:  # pydicom reads nothing before it is asked for
        if one.VR == "SQ":
            assert all(item is not None for item in one.value)
    return found, done


def rules(entry: str, action: str = "remove: true", options: str = "") -> str:
    return f"{options}  fields:\n    - {entry}\n      {action}\n"


def told(done: Done) -> list[str]:
    return [f"{edit.path} {edit.rule}" for edit in done.edits]


# -- what goes by itself -------------------------------------------------------------------------------


def test_file_meta_names_nobody_and_says_who_wrote_it() -> None:
    meta = file_meta([
        *meta_of(EXPLICIT)[:4], text(0x00020012, "UI", "1.2.3"), text(0x00020013, "SH", "THEIRS"),
        text(0x00020016, "AE", "ZZ_SCANNER"), text(0x00020100, "UI", "1.2.3"), Leaf(0x00020102, "OB", b"ZZ SECRET "),
    ])  # fmt: skip
    found, done = carried_out(KEEP, [NAME], meta=meta)
    assert [int(one.tag) for one in found.file_meta] == [
        0x00020000, 0x00020001, 0x00020002, 0x00020003, 0x00020010, 0x00020012, 0x00020013,
    ]  # fmt: skip
    assert found.file_meta.ImplementationVersionName == "FW_GEAR_DEID"
    assert found.file_meta.ImplementationClassUID.startswith("2.25.")
    assert {"(0002,0016) always: file meta", "(0002,0102) always: file meta"} <= set(told(done))
    size = sum(8 + len(str(one.value)) for one in found.file_meta)
    assert found.file_meta.FileMetaInformationGroupLength > size // 2


@pytest.mark.parametrize("syntax", ["explicit", "implicit", "big"])
def test_group_lengths_and_padding_go(syntax: str) -> None:
    nodes = [Leaf(0x00100000, "UL", bytes(4)), NAME, Leaf(0xFFFCFFFC, "OB", b"ZZ SECRET ")]
    found, done = carried_out(KEEP, nodes, syntax)
    assert 0x00100000 not in found and 0xFFFCFFFC not in found and found.PatientName == "ZZ^A"
    assert {one.split(" ")[0] for one in told(done)} >= {"(FFFC,FFFC)", "(0010,0000)"}


@pytest.mark.parametrize("syntax", ["explicit", "implicit", "big", "deflated"])
def test_what_stands_around_goes_and_is_told(syntax: str) -> None:
    pixels = [
        Leaf(tag, "US", value) for tag, value in ((0x00280010, b"\4\0"), (0x00280011, b"\4\0"), (0x00280100, b"\x08\0"))
    ]
    pixels = [*pixels, Leaf(0x7FE00010, "OW", bytes(16))]
    if syntax == "big":
        pixels = [Leaf(one.tag, one.vr, one.value[::-1] if one.vr == "US" else one.value) for one in pixels]
    data = {"preamble": b"ZZ^SECRET".ljust(128, b"."), "after": b"ZZ^SECRET BEHIND"}
    ctx = Context(parse_profile("dicom:\n" + KEEP, "p.yaml"), Keyring(bytes(32)), "s", date(2026, 1, 1), "strict")
    source = part10([*IDENTITY[:3], NAME, *pixels], SYNTAXES[syntax], **data)  # type: ignore[arg-type]
    done = deidentify_member(Incoming(iter([source]), len(source)), "a.dcm", ctx)
    out = b"".join(done.pieces)
    assert out[:132] == bytes(128) + b"DICM" and b"SECRET" not in out
    assert pydicom.dcmread(io.BytesIO(out)).PixelData == bytes(16)
    paths = {edit.path for edit in done.edits}
    assert "preamble" in paths and "trailing bytes" in paths


# -- options -------------------------------------------------------------------------------------------

PRIVATE = (
    text(0x00090010, "LO", "ACME 1"), text(0x00090011, "LO", "OTHER"), text(0x00091001, "LO", "ZZ ONE"),
    text(0x00091101, "LO", "ZZ TWO"), text(0x00091002, "LO", "ZZ THREE"),
)  # fmt: skip


@pytest.mark.parametrize("syntax", ["explicit", "implicit", "big"])
def test_private_elements_go(syntax: str) -> None:
    below = Seq(0x00081140, (Item((*PRIVATE, text(0x00081155, "UI", "1.2.3"))),))
    found, _ = carried_out("  remove-private-tags: true\n" + KEEP, [below, *PRIVATE], syntax)
    assert not [one for one in found if one.tag.is_private]
    [item] = found.ReferencedImageSequence
    assert [int(one.tag) for one in item] == [0x00081155]
    assert found[0x00081140].is_undefined_length is False


def test_private_elements_that_a_rule_names_stay() -> None:
    entry = '    - name: (0009,"ACME 1",01)\n      keep: true\n'
    found, _ = carried_out("  remove-private-tags: true\n  fields:\n" + entry, PRIVATE)
    assert [int(one.tag) for one in found if one.tag.is_private] == [0x00090010, 0x00091001]


def test_what_no_rule_names_goes_and_what_stays_is_its_value_alone() -> None:
    nodes = [
        text(0x00080020, "DA", "20200101"), text(0x00081030, "LO", "ZZ DESCRIPTION"), NAME,
        text(0x00280004, "CS", b"MONOCHROME2\0ZZ SECRET "),
    ]  # fmt: skip
    found, _ = carried_out("  remove-undefined: true\n" + KEEP, nodes)
    assert [int(one.tag) for one in found] == [0x00080016, 0x00080018, 0x00080020, 0x00280004]
    assert found.PhotometricInterpretation == "MONOCHROME2"


@pytest.mark.parametrize(
    ("born", "studied", "units", "age"),
    [
        ("19500101", "20200229", "", "841M"), ("19500102", "20200101", "Y", "069Y"), ("20200101", "20200229", "", "059D"),
        ("20200301", "20200229", "", None), ("1950", "20200229", "", None), ("18000101", "20200101", "Y", "220Y"),
    ],
)  # fmt: skip
def test_an_age_is_told_by_dates_as_they_came(born: str, studied: str, units: str, age: str | None) -> None:
    options = "  patient-age-from-birthdate: true\n" + (f"  patient-age-units: {units}\n" if units else "")
    nodes = [
        text(0x00080020, "DA", studied), NAME, text(0x00100030, "DA", born), text(0x00101010, "AS", "001Y"),
    ]  # fmt: skip
    found, _ = carried_out(rules("name: PatientBirthDate", options=options), nodes)
    assert found.PatientAge == (age or "001Y") and "PatientBirthDate" not in found


# -- where rules point ---------------------------------------------------------------------------------

ITEM = Item((text(0x00081155, "UI", "1.2.3"), NAME))
BELOW = Seq(0x00081140, (ITEM, ITEM))
DEEP = Seq(0x00089215, (Item((BELOW,)),))


def names(found: pydicom.Dataset, way: str = "") -> list[str]:
    """Return where a name stands."""
    out = [f"{way}top"] if "PatientName" in found else []
    for one in found:
        if one.VR == "SQ":
            for number, item in enumerate(one.value):
                out += [where.replace("top", "") for where in names(item, f"{way}{one.keyword}.{number}.")]
    return out


ALL = ["top", "ReferencedImageSequence.0.", "ReferencedImageSequence.1."] + [
    f"DerivationCodeSequence.0.ReferencedImageSequence.{number}." for number in (0, 1)
]
POINTS = [
    ("name: PatientName", "", ["top"]),
    ("name: (0010,0010)", "", ["top"]),
    ("name: PatientName", "  recurse-sequence: true\n", ALL),
    ("name: ReferencedImageSequence.0.PatientName", "", [ALL[1]]),
    ("name: ReferencedImageSequence.*.PatientName", "", ALL[1:3]),
    ("name: DerivationCodeSequence.0.ReferencedImageSequence.1.PatientName", "", ALL[4:]),
    ("regex: PatientName$", "", ["top"]),
    (r"regex: '(.*\.)?PatientName$'", "", ALL),
    ("regex: '00100010'", "", ["top"]),
    (r"regex: '.*00081140\.1\.00100010'", "", [ALL[2], ALL[4]]),
]


@pytest.mark.parametrize("syntax", ["explicit", "implicit", "big", "deflated"])
@pytest.mark.parametrize(("entry", "options", "gone"), POINTS, ids=lambda value: str(value)[:60])
def test_a_rule_points_where_it_says_and_nowhere_else(entry: str, options: str, gone: list[str], syntax: str) -> None:
    found, done = carried_out(rules(entry, options=options), [BELOW, DEEP, NAME], syntax)
    assert sorted(names(found)) == sorted(set(ALL) - set(gone))
    assert len([edit for edit in done.edits if edit.keyword == "PatientName"]) == len(gone)
    for one in found.ReferencedImageSequence:
        assert one.ReferencedSOPInstanceUID == "1.2.3"


def test_a_creators_element_is_that_of_no_other() -> None:
    found, _ = carried_out(rules('name: (0009,"ACME 1",01)'), PRIVATE)
    assert [int(one.tag) for one in found if one.tag.is_private] == [0x00090010, 0x00090011, 0x00091002, 0x00091101]


def test_repeating_groups_are_all_of_them() -> None:
    nodes = [text(group << 16 | 0x1500, "LO", "ZZ") for group in (0x6000, 0x6002, 0x60FE)]
    found, _ = carried_out(rules("name: (60xx,1500)"), nodes)
    assert not [one for one in found if one.tag.group >= 0x6000]


@pytest.mark.parametrize("insert", [True, False])
def test_what_is_absent_is_made_where_that_is_asked_for(insert: bool) -> None:
    action = f"replace-with: NEW\n      replace-with-insert: {str(insert).lower()}"
    found, done = carried_out(rules("name: StudyDescription", action), [NAME])
    assert ("StudyDescription" in found) == insert
    assert [edit.after for edit in done.edits if edit.keyword == "StudyDescription"] == (["NEW"] if insert else [])


def test_what_nobody_knows_a_vr_for_is_not_made() -> None:
    with pytest.raises(Unfit, match="is absent, and no dictionary knows a VR to create it with"):
        carried_out(rules('name: (0009,"ACME 1",01)', "replace-with: NEW"), [NAME])


def test_a_sequence_takes_no_value() -> None:
    with pytest.raises(Unfit, match=r"\(0008,1140\) is a sequence; remove it, or name"):
        carried_out(rules("regex: Referenced.*Sequence", "replace-with: X"), [BELOW, NAME])


def test_the_audit_counts_bytes_and_shows_none() -> None:
    data = Leaf(0x00420011, "OB", b"ZZ SECRET ")
    twice = rules("name: EncapsulatedDocument") + "    - regex: Encapsulated.*\n      remove: true\n"
    found, done = carried_out(twice, [NAME, data])
    assert "EncapsulatedDocument" not in found
    assert [edit.before for edit in done.edits if edit.keyword == "EncapsulatedDocument"] == ["<10 bytes>"]


@pytest.mark.parametrize(
    ("rule", "warned"),
    [
        ("date-increment: 0, fields: [{name: StudyDate, increment-date: true}]", True),
        ("date-increment: 0.5, fields: [{name: StudyDate, increment-date: true}]", True),
        ("date-increment: 0.5, fields: [{name: AcquisitionDateTime, increment-datetime: true}]", False),
        ("date-increment: -3, fields: [{name: StudyDate, increment-date: true}]", False),
        ("date-increment: 0, fields: [{name: StudyDate, increment-date: true, jitter-date: true}]", False),
    ],
)
def test_dates_that_stay_are_warned_of(rule: str, warned: bool) -> None:
    warnings = parse_profile(f"dicom: {{{rule}}}", "p.yaml").warnings
    assert any("moves by less than a day" in one.message for one in warnings) == warned
