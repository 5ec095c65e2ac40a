"""Marks of PS3.15 §E.1.1: what an instance says of its de-identification is what was done to it, and was checked."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from hashlib import sha256
from typing import Any

import pydicom
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from fw_gear_deid import __version__
from fw_gear_deid.deid import dataset
from fw_gear_deid.deid.marking import Telling
from fw_gear_deid.formats.dicom import part10
from fw_gear_deid.keys import Draws, Keyring
from fw_gear_deid.model.errors import Unfit
from fw_gear_deid.profile.compiled import DicomSection
from fw_gear_deid.profile.parse import parse_profile
from fw_gear_deid.standard import marks, tables
from tests.desk import Desk

HEAD = "dicom:\n  accept: [burned-in]\n  fields:\n    - requires: fw-gear-deid\n"
PLAIN = "    - name: PatientName\n      replace-with: ''\n"
METHOD = f"fw-gear-deid PS3.15 {tables.EDITION} basic"
SYNTAXES = (ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian)
TELLING = Telling("de-identified by profile p, SHA-256 0")


def section_of(fields: str = PLAIN, options: tuple[str, ...] = (), more: str = "") -> DicomSection:
    """Return a section that follows the standard as far as marks go by it; no table works here."""
    found = parse_profile(HEAD.replace("  fields", f"{more}  fields") + fields, "p.yaml").dicom
    assert found is not None
    return replace(found, claims=frozenset(options))


def source(syntax: str = ExplicitVRLittleEndian, *, undefined: bool = False, **values: Any) -> bytes:
    ds = Dataset()
    told = {
        "SOPClassUID": "1.2.840.10008.5.1.4.1.1.4", "SOPInstanceUID": "1.2.3", "Modality": "MR",
        "PatientName": "Doe^Jane", "PatientID": "1", "StudyDate": "20200229", "ProtocolName": "t1", "Rows": 4,
    }  # fmt: skip
    for keyword, value in (told | values).items():
        setattr(ds, keyword, value)
    for element in ds:
        if element.VR == "SQ":
            element.is_undefined_length = undefined
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = syntax
    stream = io.BytesIO()
    ds.save_as(stream, enforce_file_format=True)
    return stream.getvalue()


def marked(data: bytes, section: DicomSection, telling: Telling = TELLING) -> tuple[Dataset, bytes, dataset.Edited]:
    draw = Draws(Keyring(b"k" * 32), "id:1")
    parts = dataset.open_file(data, section)
    done = dataset.edit(parts, section, draw, "p", date(2026, 1, 1), telling)
    pieces, meta = part10.write(parts, done.meta, done.body)
    result = b"".join(pieces)
    dataset.check(done, result, meta)
    return pydicom.dcmread(io.BytesIO(result)), result, done


def codes(ds: Dataset) -> list[str]:
    return [item.CodeValue for item in ds.get("DeidentificationMethodCodeSequence", [])]


def code(value: str) -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, "DCM", "something"
    return item


def equipment(maker: str = "Somebody") -> Dataset:
    item = Dataset()
    item.Manufacturer, item.PurposeOfReferenceCodeSequence = maker, [code("109101")]
    return item


@pytest.mark.parametrize("syntax", SYNTAXES, ids=lambda uid: uid.name)
def test_marks_of_an_instance_that_had_none(syntax: str) -> None:
    ds, _, done = marked(source(syntax), section_of(options=("modified-dates", "uids")))
    assert ds.PatientIdentityRemoved == "YES"
    assert ds.DeidentificationMethod == METHOD
    assert codes(ds) == ["113100", "113107", "113110"]
    assert {item.CodingSchemeDesignator for item in ds.DeidentificationMethodCodeSequence} == {"DCM"}
    assert ds.DeidentificationMethodCodeSequence[1].CodeMeaning == marks.MEANINGS["113107"]
    assert ds.LongitudinalTemporalInformationModified == "MODIFIED"
    (item,) = ds.ContributingEquipmentSequence
    assert (item.Manufacturer, item.ManufacturerModelName, item.SoftwareVersions) == (
        "Flywheel", "fw-gear-deid", __version__,
    )  # fmt: skip
    assert item.ContributionDescription == TELLING.profile
    assert (item.PurposeOfReferenceCodeSequence[0].CodeValue, len(item.PurposeOfReferenceCodeSequence)) == ("109104", 1)
    told = {edit.keyword for edit in done.edits if edit.rule.startswith("always: marks")}
    assert told == {
        "PatientIdentityRemoved", "DeidentificationMethod", "DeidentificationMethodCodeSequence",
        "ContributingEquipmentSequence", "LongitudinalTemporalInformationModified",
    }  # fmt: skip
    assert [int(element.tag) for element in ds] == sorted(int(element.tag) for element in ds)


@pytest.mark.parametrize("option", tables.OPTIONS)
def test_each_option_has_its_code_and_no_other(option: str) -> None:
    ds, _, _ = marked(source(), section_of(options=(option,)))
    assert codes(ds) == ["113100", marks.CODE_OF[option]]
    times = {"full-dates": "UNMODIFIED", "modified-dates": "MODIFIED"}
    assert ds.LongitudinalTemporalInformationModified == times.get(option, "REMOVED")


FALSE = {
    "PatientIdentityRemoved": "YES", "DeidentificationMethod": "by hand",
    "DeidentificationMethodCodeSequence": [code("113101"), code("113107")],
    "LongitudinalTemporalInformationModified": "UNMODIFIED",
}  # fmt: skip


@pytest.mark.parametrize("undefined", [False, True])
@pytest.mark.parametrize("syntax", SYNTAXES, ids=lambda uid: uid.name)
def test_false_marks_do_not_survive(syntax: str, undefined: bool) -> None:
    came = source(syntax, undefined=undefined, **FALSE, ContributingEquipmentSequence=[equipment()])
    ds, result, _ = marked(came, section_of())
    assert (ds.PatientIdentityRemoved, ds.LongitudinalTemporalInformationModified) == ("YES", "REMOVED")
    assert list(ds.DeidentificationMethod) == ["by hand", METHOD]
    assert codes(ds) == ["113100"]
    assert [item.Manufacturer for item in ds.ContributingEquipmentSequence] == ["Somebody", "Flywheel"]
    _, twice, _ = marked(result, section_of())
    assert twice == result


@pytest.mark.parametrize(
    ("telling", "more", "removed", "found", "times"),
    [
        (TELLING, {}, "YES", ["113100"], "REMOVED"),
        (Telling("", checked=False), {}, None, [], None),
        (TELLING, {"BurnedInAnnotation": "YES"}, None, ["113100"], "REMOVED"),
        (TELLING, {"BodyPartExamined": "HEAD", "SliceThickness": "1"}, "YES", ["113100"], "REMOVED"),
    ],
)
def test_nothing_is_claimed_that_is_not_sure(
    telling: Telling, more: dict[str, str], removed: str | None, found: list[str], times: str | None
) -> None:
    ds, _, _ = marked(source(**FALSE, **more), section_of(), telling)
    assert ds.get("PatientIdentityRemoved") == removed
    assert codes(ds) == found
    assert ("DeidentificationMethodCodeSequence" in ds) == bool(found)
    assert ds.get("LongitudinalTemporalInformationModified") == times
    assert ds.ContributingEquipmentSequence[0].ManufacturerModelName == "fw-gear-deid"


KEEP = "    - name: {}\n      keep: true\n"
OPTIONS = ("modified-dates", "clean-descriptors", "device")


@pytest.mark.parametrize(
    ("fields", "lost"),
    [
        (PLAIN, set()),
        (KEEP.format("ProtocolName"), {"113105"}),
        (KEEP.format("StudyDate"), {"113107"}),
        (KEEP.format("PatientName"), {"113100"}),
        (KEEP.format("StationName"), set()),  # retained as it is, and absent
        (KEEP.format("AccessionNumber"), set()),  # absent
        (KEEP.format("Rows"), set()),
        ("    - name: StudyDate\n      remove: true\n", set()),
        ("    - name: PatientID\n      hash: true\n", {"113100"}),
        ("    - name: PatientID\n      hash: keyed\n", set()),
        ("    - regex: .*Name\n      keep: true\n", {"113100", "113105"}),
        ("    - regex: Patient.*\n      remove: true\n", set()),
        ("    - vr: PN\n      replace-with: ''\n", set()),
        ("    - vr: PN\n      keep: true\n", {"113100"}),
    ],
)
def test_what_a_rule_leaves_is_not_claimed(fields: str, lost: set[str]) -> None:
    ds, _, _ = marked(source(), section_of(fields, OPTIONS))
    assert {"113100", "113105", "113107", "113109"} - set(codes(ds)) == lost
    assert ("PatientIdentityRemoved" in ds) == ("113100" not in lost)
    assert ("LongitudinalTemporalInformationModified" in ds) == ("113107" not in lost)


@pytest.mark.parametrize(
    ("fields", "methods"),
    [
        ("    - name: DeidentificationMethod\n      replace-with: mine\n", ["mine", METHOD]),
        ("    - name: DeidentificationMethod\n      remove: true\n", [METHOD]),
        ("    - name: PatientIdentityRemoved\n      replace-with: 'NO'\n", ["by hand", METHOD]),
        ("    - name: DeidentificationMethodCodeSequence\n      remove: true\n", ["by hand", METHOD]),
        ("    - name: ContributingEquipmentSequence\n      remove: true\n", ["by hand", METHOD]),
        ("    - regex: .*\\.Manufacturer\n      remove: true\n", ["by hand", METHOD]),
        ("    - vr: [CS, LO]\n      remove: true\n", [METHOD]),
    ],
)
def test_rules_go_first_and_marks_last(fields: str, methods: list[str]) -> None:
    ds, _, _ = marked(source(**FALSE, ContributingEquipmentSequence=[equipment()]), section_of(fields))
    found = ds.DeidentificationMethod
    assert ([found] if isinstance(found, str) else list(found)) == methods
    assert ds.ContributingEquipmentSequence[-1].Manufacturer == "Flywheel"
    assert len(ds.ContributingEquipmentSequence) == (1 if "EquipmentSequence" in fields else 2)
    assert "DeidentificationMethodCodeSequence" in ds


def test_rules_inside_of_a_sequence_that_grows() -> None:
    fields = "    - name: Manufacturer\n      replace-with: A much longer name\n"
    for undefined in (False, True):
        came = source(undefined=undefined, ContributingEquipmentSequence=[equipment(), equipment("Else")])
        ds, _, _ = marked(came, section_of(fields, more="  recurse-sequence: true\n"))
        found = [item.Manufacturer for item in ds.ContributingEquipmentSequence]
        assert found == ["A much longer name", "A much longer name", "Flywheel"]


@pytest.mark.parametrize("undefined", [False, True])
def test_items_that_a_rule_adds_come_first(undefined: bool) -> None:
    fields = "    - name: ContributingEquipmentSequence.2.Manufacturer\n      replace-with: Third\n"
    fields += "    - name: ContributingEquipmentSequence.0.PurposeOfReferenceCodeSequence.1.CodeValue\n      replace-with: V\n"
    came = source(undefined=undefined, ContributingEquipmentSequence=[equipment()])
    ds, _, _ = marked(came, section_of(fields))
    items = ds.ContributingEquipmentSequence
    assert [item.get("Manufacturer") for item in items] == ["Somebody", None, "Third", "Flywheel"]
    assert [one.CodeValue for one in items[0].PurposeOfReferenceCodeSequence] == ["109101", "V"]


def test_insertions_at_one_place_are_in_order() -> None:
    fields = "".join(
        f"    - name: {name}\n      replace-with: x\n"
        for name in ("ClinicalTrialSponsorName", "ClinicalTrialTimePointID", "ClinicalTrialSeriesID")
    )
    ds, _, _ = marked(source(), section_of(fields))
    tags = [int(element.tag) for element in ds]
    assert tags == sorted(tags)
    assert codes(ds) == ["113100"]


def test_a_method_in_any_spelling_is_added_to() -> None:
    data = source(DeidentificationMethod="XXXX").replace(b"XXXX", b"\xff\xfe\xff\xfe")
    _, result, _ = marked(data, section_of())
    assert b"\xff\xfe\xff\xfe\\" + METHOD.encode() in result


def test_without_the_standard_marks_stay_as_they_came() -> None:
    section = replace(section_of(), claims=None)
    ds, _, done = marked(source(**FALSE), section)
    assert done.said is None
    assert (ds.DeidentificationMethod, codes(ds)) == ("by hand", ["113101", "113107"])
    assert "ContributingEquipmentSequence" not in ds


def test_a_risk_that_nothing_covers_refuses() -> None:
    section = replace(section_of(), accept=frozenset())
    with pytest.raises(Unfit, match=r"risk burned-in: text may be drawn .*'accept: \[burned-in\]'.*'exclude'"):
        marked(source(SOPClassUID="1.2.840.10008.5.1.4.1.1.7"), section)
    report = source(SOPClassUID="1.2.840.10008.5.1.4.1.1.88.11")
    with pytest.raises(Unfit, match=r"risk reports: .* the option clean-structured-content"):
        marked(report, section)
    _, _, done = marked(report, replace(section, claims=frozenset({"clean-structured-content"})))
    assert done.risks == ()
    _, _, done = marked(source(BodyPartExamined="HEAD", SliceThickness="1"), section)
    assert done.risks == ("faces",)


# -- the check -------------------------------------------------------------------------------------------

BREAKS: list[Callable[[bytes], bytes]] = [
    lambda data: data.replace(b"YES ", b"NO  "),
    lambda data: data.replace(b"113107", b"113101"),
    lambda data: data.replace(b"\x04\0DCM ", b"\x04\0XXX "),
    lambda data: data.replace(b"MODIFIED", b"REMOVED "),
    lambda data: data.replace(b"PS3.15", b"PS3.16"),
    lambda data: data.replace(b"109104", b"109105"),
    lambda data: data.replace(b"fw-gear-deid\x18", b"fw-gear-dead\x18"),
]


@pytest.mark.parametrize("number", range(len(BREAKS)))
def test_a_mark_that_is_not_true_does_not_pass(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever writes them may err: the check reads what stands there."""
    from fw_gear_deid.plan import marks as written

    section = section_of(options=("modified-dates",))
    real = written.write

    def wrong(*arguments: Any) -> None:
        real(*arguments)
        out = arguments[2]
        out.splices[:] = [(start, end, BREAKS[number](new)) for start, end, new in out.splices]

    before = marked(source(), section)[1]
    assert BREAKS[number](before) != before
    monkeypatch.setattr(written, "write", wrong)
    with pytest.raises(Unfit, match="does not say what was done"):
        marked(source(), section)


# -- with the table itself -------------------------------------------------------------------------------


@pytest.mark.parametrize("undefined", [False, True])
@pytest.mark.parametrize("syntax", SYNTAXES, ids=lambda uid: uid.name)
def test_the_table_and_its_marks(syntax: str, undefined: bool) -> None:
    """What the table takes out of equipment of others it does not ask of this program's own item."""
    text = "dicom:\n  ps3-15: {profile: basic, options: [device]}\n"
    section = parse_profile(text, "p.yaml").dicom
    assert section is not None
    other = equipment()
    other.ContributionDescription, other.OperatorsName = "by Jane", "Roe^Jim"
    came = source(syntax, undefined=undefined, **FALSE, ContributingEquipmentSequence=[other])
    ds, result, _ = marked(came, section)
    assert (ds.PatientIdentityRemoved, codes(ds)) == ("YES", ["113100", "113109"])
    theirs, ours = ds.ContributingEquipmentSequence
    assert theirs.get("ContributionDescription", "") == theirs.get("OperatorsName", "") == ""
    assert ours.ContributionDescription == TELLING.profile
    assert b"Roe" not in result


def test_a_run_that_does_not_check_claims_nothing(desk: Desk) -> None:
    desk.profile.write_text("dicom:\n  ps3-15: basic\n", encoding="utf-8")
    desk.put({"S/V/A/1.dcm": source(**FALSE)})
    assert desk.run("--verify", "off").code == 0
    (ds,) = [pydicom.dcmread(path) for path in desk.dest.rglob("*.dcm")]
    assert (ds.get("PatientIdentityRemoved"), codes(ds)) == (None, [])
    assert desk.run("--exists", "replace").code == 0
    (ds,) = [pydicom.dcmread(path) for path in desk.dest.rglob("*.dcm")]
    assert (ds.get("PatientIdentityRemoved"), codes(ds)) == ("YES", ["113100"])
    digest = sha256(desk.profile.read_bytes()).hexdigest()
    assert digest in ds.ContributingEquipmentSequence[0].ContributionDescription
