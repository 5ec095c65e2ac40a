"""``ps3-15``: the word, and how Table E.1-1 is resolved by the Types of PS3.3."""

from __future__ import annotations

import io
import pickle
import warnings

import pydicom
import pytest
from pydicom.dataset import Dataset

from fw_gear_deid.model.dictionary import public_vr, tag_of
from fw_gear_deid.model.legal import problem
from fw_gear_deid.model.ruling import Asked
from fw_gear_deid.profile.compiled import DicomSection
from fw_gear_deid.profile.parse import parse_profile
from fw_gear_deid.profile.text.problems import ProfileError
from fw_gear_deid.standard import resolve, tables
from fw_gear_deid.standard.resolve import Standard
from fw_gear_deid.standard.table import StandardTable
from tests.desk import Desk, instance

STORAGE = "1.2.840.10008.5.1.4.1.1."
MR, ENHANCED, SR, PDF, RT, DIR = (
    *(f"{STORAGE}{end}" for end in ("4", "4.1", "88.33", "104.1", "481.5")), "1.2.840.10008.1.3.10",
)  # fmt: skip
PRIVATE = "1.3.12.2.1107.5.9.1"
COMPOUND = [row for row in tables.rows() if "/" in row.basic]
REQUIRES = "  fields:\n    - requires: fw-gear-deid\n"


def tag(keyword: str) -> int:
    found = tag_of(keyword)
    assert found is not None, keyword
    return found


def section_of(word: str, more: str = "") -> DicomSection:
    section = parse_profile(f"dicom:\n  ps3-15: {word}\n{more}{REQUIRES}", "p.yaml").dicom
    assert section is not None
    return section


# -- codes by Type ------------------------------------------------------------------------------------------


def test_there_are_49_compound_rows() -> None:
    assert len(COMPOUND) == 49


def wanted(code: str, kind: str, vr: str, number: int, *, lists: bool = False) -> set[str]:
    """Return what may be done by the table of the specification: Type 1 dummy, 2 empty, 3 remove.

    References (U*) stay with other UIDs where they may not be empty, or their targets are listed besides.
    """
    dummies = {"SQ": {resolve.ITEMS}}.get(vr, {resolve.DUMMY, resolve.HASH})
    if number == resolve.PATIENT_ID:
        return {resolve.PSEUDONYM}
    if not kind:
        return dummies
    if "U*" in code and (kind[0] == "2" or lists):
        return {resolve.ITEMS}
    return {"1": dummies, "2": {resolve.EMPTY}, "3": {resolve.REMOVE}}[kind[0]]


@pytest.mark.parametrize("row", COMPOUND, ids=lambda row: row.keyword)
def test_compound_codes_go_by_type_in_every_class(row: tables.Row) -> None:
    number = int(row.mask, 16)
    vr = public_vr(number) or "UN"
    seen = 0
    for sop_class, iod in tables.sop_classes().items():
        types, standard = tables.types_of(iod), Standard(frozenset(), sop_class)
        places = {path for path, tags in types._places.items() if number in tags} | {()}
        for path in places:
            kind = types.of(path, number) or ("3" if types.whole else "")
            found = standard.of(path, number, vr)
            assert (found.code, found.kind) == (row.basic, kind)
            assert found.deed in wanted(row.basic, kind, vr, number, lists=types.lists), (
                sop_class,
                path,
            )
            seen += 1
    assert seen >= len(tables.sop_classes())


@pytest.mark.parametrize("row", COMPOUND, ids=lambda row: row.keyword)
def test_in_a_class_of_no_standard_compound_codes_give_a_dummy(row: tables.Row) -> None:
    number, vr = int(row.mask, 16), public_vr(int(row.mask, 16)) or "UN"
    found = Standard(frozenset(), PRIVATE).of((), number, vr)
    assert found.kind == "" and found.deed in wanted(row.basic, "", vr, number)


CASES = [
    # class, options, path, keyword, deed
    (MR, "", "", "PatientName", "empty"),
    (MR, "", "", "PatientID", "pseudonym"),
    (MR, "", "RequestAttributesSequence", "PatientID", "pseudonym"),
    (MR, "", "", "AccessionNumber", "hash"),
    (MR, "", "", "StudyID", "hash"),
    (MR, "", "", "SeriesDescription", "remove"),
    (MR, "", "", "StudyDate", "empty"),
    (MR, "", "", "DeviceSerialNumber", "remove"),
    (ENHANCED, "", "", "DeviceSerialNumber", "hash"),
    (ENHANCED, "", "", "ContentDate", "dummy"),
    (MR, "", "", "ClinicalTrialProtocolEthicsCommitteeName", "remove"),
    (MR, "institution", "", "ClinicalTrialProtocolEthicsCommitteeName", "keep"),
    (PRIVATE, "", "", "ClinicalTrialProtocolEthicsCommitteeName", "dummy"),
    (ENHANCED, "", "PerFrameFunctionalGroupsSequence FrameContentSequence", "FrameReferenceDateTime", "dummy"),
    (PRIVATE, "", "", "DeviceSerialNumber", "hash"),
    (PRIVATE, "", "", "StationName", "dummy"),
    (PRIVATE, "", "", "PatientName", "dummy"),
    (PRIVATE, "", "", "StudyComments", "remove"),
    (SR, "", "VerifyingObserverSequence", "VerifyingObserverName", "dummy"),
    (SR, "", "", "ContentSequence", "items"),
    (SR, "", "ContentSequence ContentSequence", "TextValue", "dummy"),
    (SR, "", "ContentSequence", "PersonName", "dummy"),
    (SR, "", "ContentSequence", "UID", "uid"),
    (SR, "", "ContentSequence MeasuredValueSequence", "NumericValue", "keep"),
    (SR, "clean-structured-content", "ContentSequence ContentSequence", "TextValue", "clean"),
    (SR, "clean-structured-content", "ContentSequence", "PersonName", "dummy"),
    (SR, "", "ContentSequence ConceptNameCodeSequence", "CodeMeaning", "meaning"),
    (SR, "", "ContentSequence ConceptNameCodeSequence", "CodeValue", "keep"),
    (SR, "", "PersonIdentificationCodeSequence", "CodeMeaning", "dummy"),
    (SR, "", "PersonIdentificationCodeSequence", "CodeValue", "dummy"),
    (MR, "", "InstitutionCodeSequence", "CodeValue", "dummy"),
    (MR, "institution", "InstitutionCodeSequence", "CodeValue", "keep"),
    (MR, "institution", "", "InstitutionName", "keep"),
    (MR, "", "", "SOPInstanceUID", "uid"),
    (MR, "uids", "", "SOPInstanceUID", "keep"),
    (MR, "", "", "SOPClassUID", "keep"),
    (MR, "", "", "ReferencedImageSequence", "remove"),
    (f"{STORAGE}66.4", "", "", "SourceImageSequence", "items"),
    (MR, "uids", "", "ReferencedImageSequence", "items"),
    (MR, "full-dates", "", "StudyDate", "keep"),
    (MR, "modified-dates", "", "StudyDate", "date"),
    (MR, "modified-dates", "", "StudyTime", "date"),
    (MR, "modified-dates", "", "PatientBirthDate", "empty"),
    (MR, "modified-dates", "", "TimezoneOffsetFromUTC", "remove"),
    (MR, "full-dates", "", "TimezoneOffsetFromUTC", "keep"),
    (MR, "device modified-dates", "", "DateOfLastCalibration", "date"),
    (MR, "device", "", "DateOfLastCalibration", "keep"),
    (MR, "", "", "PatientAge", "remove"),
    (MR, "patient-characteristics", "", "PatientAge", "age"),
    (MR, "patient-characteristics", "", "PatientSex", "keep"),
    (MR, "patient-characteristics", "", "Allergies", "clean"),
    (MR, "clean-descriptors", "", "SeriesDescription", "clean"),
    (MR, "clean-descriptors", "", "RequestAttributesSequence", "items"),
    (MR, "clean-descriptors", "", "DeviceSettingDescription", "remove"),
    (MR, "device", "", "StationAETitle", "clean"),
    # what the table does not name
    (MR, "", "", "DocumentAuthorTrial", "remove"),
    (MR, "", "", "StudyUpdateDateTime", "remove"),
    (MR, "modified-dates", "", "StudyUpdateDateTime", "date"),
    (MR, "", "", "AssertionUID", "uid"),
    (MR, "", "", "ContactURI", "remove"),
    (MR, "", "", "DocumentTitle", "remove"),
    (PDF, "", "", "DocumentTitle", "empty"),
    (PDF, "clean-descriptors", "", "DocumentTitle", "clean"),
    (PDF, "", "", "EncapsulatedDocument", "dummy"),
    (MR, "", "", "CodingSchemeURL", "keep"),
    (MR, "", "", "Manufacturer", "keep"),
    (MR, "", "", "SoftwareVersions", "keep"),
    (MR, "", "", "PixelData", "keep"),
    (MR, "", "", "IconImageSequence", "remove"),
    (MR, "", "", "OriginalAttributesSequence", "remove"),
    (MR, "", "", "DigitalSignaturesSequence", "remove"),
    (MR, "", "", "FileSetID", "remove"),
    (DIR, "", "", "DirectoryRecordSequence", "remove"),
    (f"{STORAGE}11.1", "", "GraphicAnnotationSequence TextObjectSequence", "UnformattedTextValue", "dummy"),
    (f"{STORAGE}11.1", "clean-graphics", "GraphicAnnotationSequence TextObjectSequence", "UnformattedTextValue", "clean"),
    (MR, "clean-structured-content", "AnatomicRegionSequence", "TextValue", "remove"),
    (f"{STORAGE}66.4", "", "SegmentSequence", "SegmentLabel", "clean"),
    (f"{STORAGE}66.4", "", "SegmentSequence", "SegmentAlgorithmName", "keep"),
]  # fmt: skip


@pytest.mark.parametrize(("sop_class", "options", "path", "keyword", "deed"), CASES)
def test_cases(sop_class: str, options: str, path: str, keyword: str, deed: str) -> None:
    number = tag(keyword)
    found = Standard(frozenset(options.split()), sop_class).of(
        tuple(map(tag, path.split())), number, public_vr(number) or "UN"
    )
    assert found.deed == deed, found


@pytest.mark.parametrize(
    ("number", "vr"),
    [(0x60000022, "LO"), (0x60023000, "OW"), (0x50040005, "US"), (0x00080009, "LO"), (0x00410009, "UN")],
)
@pytest.mark.parametrize("options", ["", "clean-graphics clean-descriptors"])
def test_overlays_curves_and_unknown_elements_go(number: int, vr: str, options: str) -> None:
    found = Standard(frozenset(options.split()), MR).of((), number, vr)
    assert found.deed == resolve.REMOVE


def test_a_document_stays_where_its_risk_is_accepted_and_it_is_one() -> None:
    number = tag("EncapsulatedDocument")
    assert Standard(frozenset(), PDF, documents=True).of((), number, "OB").deed == resolve.KEEP
    assert Standard(frozenset(), MR, documents=True).of((), number, "OB").deed == resolve.DUMMY
    assert section_of("basic", "  accept: [documents]\n").table == StandardTable(frozenset(), documents=True)


@pytest.mark.parametrize("vr", resolve.DUMMIES)
def test_dummies_are_legal(vr: str) -> None:
    assert problem(resolve.DUMMIES[vr], vr) == ""


@pytest.mark.parametrize("number", resolve.OWN_DUMMIES)
def test_own_dummies_are_legal(number: int) -> None:
    assert problem(resolve.OWN_DUMMIES[number], public_vr(number) or "") == ""


def test_every_attribute_of_the_table_is_ruled_in_every_class() -> None:
    """No row of X, Z, D or U may leave a value without an option that says so, whatever the class."""
    for sop_class in (*tables.sop_classes(), PRIVATE, ""):
        standard = Standard(frozenset(), sop_class)
        for row in tables.rows():
            if not row.mask or "x" in row.mask:
                continue
            number = int(row.mask, 16)
            found = standard.of((), number, public_vr(number) or "LO")
            assert found.deed not in (resolve.KEEP, resolve.CLEAN, resolve.DATE, resolve.AGE), (sop_class, row)


def test_a_table_is_pickled_and_says_nothing_of_what_stays() -> None:
    table = pickle.loads(pickle.dumps(StandardTable(frozenset({"uids"}))))
    assert table.rule(Asked(tag("SOPInstanceUID"), "UI", "", (), MR)) is None
    assert table.rule(Asked(tag("Rows"), "US", "", (), MR)) is None
    ruling = table.rule(Asked(tag("StationName"), "SH", "", (), MR))
    assert ruling is not None and ruling.label == "ps3-15 X/Z/D"


# -- the word -----------------------------------------------------------------------------------------------


def test_the_short_form_is_the_long_one() -> None:
    assert section_of("basic").table == section_of("{profile: basic}").table == StandardTable(frozenset())
    long = section_of("{profile: basic, edition: 2025c, options: [device, uids]}").table
    assert long == StandardTable(frozenset({"device", "uids"}))


def test_range_and_unreadable_dates_go_by_the_section() -> None:
    table = section_of("basic", "  date-shift-range: 7\n  on-unreadable: empty\n").table
    assert table == StandardTable(frozenset(), 7, "empty")


def test_it_is_a_keyed_word_and_other_engines_are_to_refuse_it() -> None:
    text = f"dicom:\n  ps3-15: basic\n{REQUIRES}"
    profile = parse_profile(text, "p.yaml")
    assert profile.keyed == "ps3-15 (line 2)"
    assert not any("known to this program only" in one.message for one in profile.warnings)
    alone = parse_profile("dicom:\n  ps3-15: basic\n", "p.yaml")
    assert any("ps3-15 is known to this program only" in one.message for one in alone.warnings)


@pytest.mark.parametrize(
    ("word", "more", "told"),
    [
        ("advanced", "", "must be basic"),
        ("true", "", "must be basic"),
        ("[basic]", "", "must be basic"),
        ("{profile: x}", "", "the profile must be basic"),
        ("{options: [uids]}", "", "no profile"),
        ("{profile: basic, edition: 2023b}", "", "has edition 2025c"),
        ("{profile: basic, optoins: [uids]}", "", "did you mean 'options'"),
        ("{profile: basic, options: uids}", "", "must be a list"),
        ("{profile: basic, options: [uid]}", "", "no option: 'uid'; did you mean 'uids'"),
        ("{profile: basic, options: [everything]}", "", "options are safe-private"),
        ("{profile: basic, options: [uids, uids]}", "", "stands twice"),
        ("{profile: basic, options: [full-dates, modified-dates]}", "", "exclude each other"),
        ("{profile: basic, options: [clean-pixels]}", "", "clean-pixels is not built yet"),
        ("{profile: basic, options: [clean-faces]}", "", "clean-faces is not built yet"),
        ("basic", "  remove-private-tags: true\n", "ps3-15 decides about private elements"),
    ],
)
def test_errors(word: str, more: str, told: str) -> None:
    with pytest.raises(ProfileError) as error:
        section_of(word, more)
    assert told in str(error.value)


# -- whole runs ---------------------------------------------------------------------------------------------


def test_what_has_no_known_type_is_counted(desk: Desk) -> None:
    desk.put({"a.dcm": instance(SOPClassUID="1.2.3.4", StationName="X", DeviceSerialNumber="9", StudyComments="Y")})
    desk.put({"b.dcm": instance(number=2, series=2, StationName="X", DeviceSerialNumber="9")})
    desk.rules(f"dicom:\n  ps3-15: basic\n  accept: [private-sop]\n{REQUIRES}")
    assert desk.run().code == 0, desk.reasons()
    reasons = desk.reasons()
    assert reasons["b.dcm"] == ""
    count, _, words = reasons["a.dcm"].partition(" ")
    assert words == "attributes of no known type" and int(count) >= 3
    told = [row for row in desk.rows("audit.csv") if row["rule"].endswith("(type not known)")]
    assert len(told) == int(count)
    assert {row["keyword"] for row in told} >= {"StationName", "DeviceSerialNumber", "StudyComments"}


@pytest.mark.parametrize(("position", "accept", "code"), [(0, "", 0), (12, "", 1), (12, "  accept: [burned-in]\n", 0)])
def test_an_overlay_in_the_pixels_is_a_risk(desk: Desk, position: int, accept: str, code: int) -> None:
    ds = pydicom.dcmread(io.BytesIO(instance()))
    ds.add_new(0x60000010, "US", 2)
    ds.add_new(0x60000102, "US", position)
    out = io.BytesIO()
    ds.save_as(out)
    desk.put({"S/V/A/a.dcm": out.getvalue()})
    desk.rules(f"dicom:\n  ps3-15: basic\n{accept}{REQUIRES}")
    assert desk.run().code == code
    assert ("drawn into unused bits" in desk.reasons()["S/V/A/a.dcm"]) == bool(code)
    left = [pydicom.dcmread(io.BytesIO(data)) for data in desk.there().values() if data[128:132] == b"DICM"]
    assert not any(elem.tag.group == 0x6000 for one in left for elem in one)


def test_references_lead_where_they_led(desk: Desk) -> None:
    """A presentation state and its image, hashed apart: what one names is what the other is called."""
    shown, series = Dataset(), Dataset()
    image = pydicom.dcmread(io.BytesIO(instance(number=1)))
    shown.ReferencedSOPClassUID, shown.ReferencedSOPInstanceUID = image.SOPClassUID, image.SOPInstanceUID
    series.SeriesInstanceUID, series.ReferencedImageSequence = image.SeriesInstanceUID, [shown]
    state = instance(number=2, series=2, SOPClassUID=f"{STORAGE}11.1", Modality="PR", ReferencedSeriesSequence=[series])
    desk.put({"S/V/A/a.dcm": instance(number=1), "S/V/A/b.dcm": state})
    desk.rules(f"dicom:\n  ps3-15: basic\n  accept: [annotations]\n{REQUIRES}")
    assert desk.run().code == 0, desk.reasons()
    read = [pydicom.dcmread(io.BytesIO(data)) for name, data in desk.there().items() if name.endswith(".dcm")]
    names = {one.Modality: one for one in read}
    there = names["PR"].ReferencedSeriesSequence[0]
    assert there.SeriesInstanceUID == names["MR"].SeriesInstanceUID != image.SeriesInstanceUID
    told = there.ReferencedImageSequence[0]
    assert told.ReferencedSOPInstanceUID == names["MR"].SOPInstanceUID != image.SOPInstanceUID
    assert told.ReferencedSOPClassUID == image.SOPClassUID
    assert names["PR"].StudyInstanceUID == names["MR"].StudyInstanceUID
    assert names["MR"].file_meta.MediaStorageSOPInstanceUID == names["MR"].SOPInstanceUID


def test_dates_and_ages_with_options(desk: Desk) -> None:
    """All dates of a patient move alike, times stay, what is no date goes by its Type, and nobody is 91."""
    values = {"StudyDate": "20200229", "ContentDate": "20200303", "StudyTime": "101500", "PatientAge": "091Y"}
    odd = {"SeriesDate": "00000000", "AcquisitionDateTime": "20200304120000+0100", "SeriesTime": "NOON"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        desk.put({"S/V/A/a.dcm": instance(PatientSex="F", PatientBirthDate="19290101", **values, **odd)})
    desk.rules(
        "dicom:\n  ps3-15: {profile: basic, options: [modified-dates, patient-characteristics]}\n"
        f"  date-shift-range: 1\n{REQUIRES}"
    )
    assert desk.run().code == 0, desk.reasons()
    ds = next(pydicom.dcmread(io.BytesIO(data)) for data in desk.there().values() if data[128:132] == b"DICM")
    assert (ds.StudyDate, ds.ContentDate, ds.StudyTime) == ("20200228", "20200302", "101500")
    assert ds.AcquisitionDateTime.startswith("20200303120000") and ds.AcquisitionDateTime.endswith("+0100")
    assert (ds.PatientAge, ds.PatientSex, ds.PatientBirthDate) == ("090Y", "F", "")
    assert "SeriesDate" not in ds and "SeriesTime" not in ds


def test_an_entry_is_an_exception_at_its_place_alone(desk: Desk) -> None:
    asked = Dataset()
    asked.StudyID = "INSIDE"
    desk.put({"S/V/A/a.dcm": instance(StudyID="TOP", SeriesDescription="T1", ReferencedStudySequence=[asked])})
    desk.rules(
        "dicom:\n  ps3-15: {profile: basic, options: [uids]}\n  fields:\n    - requires: fw-gear-deid\n"
        "    - name: StudyID\n    - name: SeriesDescription\n"
    )
    assert desk.run().code == 0, desk.reasons()
    ds = next(pydicom.dcmread(io.BytesIO(data)) for data in desk.there().values() if data[128:132] == b"DICM")
    assert (ds.StudyID, ds.SeriesDescription) == ("TOP", "T1")
    assert ds.ReferencedStudySequence[0].StudyID not in ("INSIDE", "TOP")


@pytest.mark.parametrize(
    ("born", "age", "told"),
    [("19200101", "050Y", "090Y"), ("", "095Y", "090Y"), ("", "NOT AGE", ""), ("19900101", "091Y", "362M")],
)
def test_an_age_from_the_birth_date_is_capped(desk: Desk, born: str, age: str, told: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        data = instance(PatientBirthDate=born, StudyDate="20200301", PatientAge=age)
    desk.put({"S/V/A/a.dcm": data})
    desk.rules(f"dicom:\n  ps3-15: basic\n  patient-age-from-birthdate: true\n{REQUIRES}")
    assert desk.run().code == 0, desk.reasons()
    ds = next(pydicom.dcmread(io.BytesIO(data)) for data in desk.there().values() if data[128:132] == b"DICM")
    assert ds.PatientAge == told
