"""The shipped profiles do what their headers say, on an instance that holds what they name at every depth."""

from __future__ import annotations

import csv
import io
import zipfile
from datetime import date
from hashlib import sha256
from pathlib import Path
from typing import Any

import pydicom
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

from fw_gear_deid.actions import HashUid
from fw_gear_deid.deid import Context, Result, deidentify
from fw_gear_deid.keys import Keyring
from fw_gear_deid.model.outcome import Skipped
from fw_gear_deid.model.selectors import PrivateAt, TagAt
from fw_gear_deid.profile import store
from fw_gear_deid.profile.compiled import DicomSection
from tests.desk import Desk, edits_of
from tests.desk import instance as small
from tests.test_dicom_oracle import CORPUS

NAMES = sorted(name for name in store.shipped() if name != "bids")  # that is not for DICOM
STANDARD = ("basic", "basic-longitudinal", "basic-research", "hipaa-safe-harbor")
CANARY = "ZZ-CANARY-7F3A"
PSEUDONYM = "sub-0123456789ab"
VALUES_OF_ALL = {"subject.pseudonym": PSEUDONYM}
PIXELS = bytes(range(32))
MR_STORAGE = "1.2.840.10008.5.1.4.1.1.4"
UIDS = {
    "SOPInstanceUID": "1.2.826.0.1.3680043.8.498.71",
    "SeriesInstanceUID": "1.2.826.0.1.3680043.8.498.72",
    "StudyInstanceUID": "1.2.826.0.1.3680043.8.498.73",
    "FrameOfReferenceUID": "1.2.826.0.1.3680043.8.498.74",
}
# by VR: legal, and easy to find again where it is an identifier
VALUES: dict[str, Any] = {
    "PN": "ZZ^CANARY^7F3A", "LO": CANARY, "SH": CANARY, "ST": CANARY, "LT": CANARY, "UT": CANARY, "UC": CANARY,
    "CS": "ZZ_CANARY_7F3A", "DA": "20200229", "TM": "134501", "DT": "20200229134501.000000", "UI": "1.2.3.4",
    "DS": "7", "IS": "7", "US": 7, "AS": "044Y",
}  # fmt: skip
# what stands there of programs before this one, and stays
MARKS = {"DeidentificationMethod": "another program"}
# what acquisition parameters look like; nobody's identifier
PARAMETERS: dict[str, Any] = {
    "Modality": "MR", "ImageType": ["ORIGINAL", "PRIMARY"], "Manufacturer": "MAKER", "ManufacturerModelName": "MODEL",
    "SoftwareVersions": "V1", "MagneticFieldStrength": "3", "ScanningSequence": "SE", "SequenceVariant": "NONE",
    "EchoTime": "80", "RepetitionTime": "2000", "FlipAngle": "90", "SliceThickness": "5", "SeriesNumber": "3",
    "InstanceNumber": "9", "ImagePositionPatient": ["0", "0", "1"], "ImageOrientationPatient": list("100010"),
    "PixelSpacing": ["1", "1"], "PatientSex": "F", "PatientWeight": "70.5", "PatientPosition": "HFS",
    "RescaleIntercept": "0", "RescaleSlope": "1", "WindowCenter": "40", "WindowWidth": "80",
}  # fmt: skip
# what most profiles leave: described by people, so the header of each profile says what becomes of it
DESCRIBED = {
    "StudyDescription": "Head study",
    "SeriesDescription": "T1 axial",
    "ProtocolName": "Head routine",
}
DATES = {
    "StudyDate": "20200229",
    "SeriesDate": "20200229",
    "AcquisitionDate": "20200229",
    "StudyTime": "134501",
}
PATIENT = {
    "PatientName": "ZZ^CANARY^7F3A",
    "PatientID": CANARY,
    "PatientBirthDate": "19541215",
    "PatientAge": "044Y",
}
DIFFUSION = [
    ("SIEMENS MR HEADER", 0x0019, 0x0C, "IS", "1000"),
    ("SIEMENS MR HEADER", 0x0019, 0x0D, "CS", "DIRECTIONAL"),
    ("SIEMENS MR HEADER", 0x0019, 0x0E, "FD", [0.0, 0.0, 1.0]),
    ("SIEMENS MR HEADER", 0x0019, 0x27, "FD", [1.0] * 6),
    ("GEMS_PARM_01", 0x0043, 0x39, "IS", ["1000", "8", "0", "0"]),
    ("GEMS_ACQU_01", 0x0019, 0xBB, "DS", "1"),
    ("Philips Imaging DD 001", 0x2001, 0x03, "FL", 1000.0),
    ("Philips Imaging DD 001", 0x2001, 0x04, "CS", "I"),
]
VENDOR = [("SIEMENS MR HEADER", 0x0019, 0x08, "CS", "ZZ_CANARY"), ("ZZ VENDOR", 0x0029, 0x01, "LO", CANARY)]


def section_of(name: str) -> DicomSection:
    section = store.load(name, VALUES_OF_ALL).dicom
    assert section is not None
    return section


def named(name: str, *actions: str) -> list[str]:
    """Return the public keywords at which a profile has one of some actions."""
    found = [
        one.selector.tag
        for one in section_of(name).rules
        if isinstance(one.selector, TagAt) and one.action.key in actions
    ]
    return [keyword for tag in found if (keyword := pydicom.datadict.keyword_for_tag(tag))]


def fill(ds: Dataset, keywords: list[str]) -> Dataset:
    """Give every keyword that is not there yet a legal value; sequences get an item with a name in it."""
    for keyword in keywords:
        if keyword not in ds:
            vr = pydicom.datadict.dictionary_VR(pydicom.tag.Tag(keyword))
            value = MARKS.get(keyword, VALUES.get(vr))
            setattr(ds, keyword, [fill(Dataset(), ["PatientName"])] if vr == "SQ" else value)
    return ds


def add_private(ds: Dataset, elements: list[tuple[str, int, int, str, Any]]) -> None:
    for creator, group, element, vr, value in elements:
        ds.private_block(group, creator, create=True).add_new(element, vr, value)


def instance(name: str, uid: str = UIDS["SOPInstanceUID"]) -> bytes:
    """Return an MR image with everything that a profile names, at the top and inside a sequence."""
    ds = Dataset()
    for keyword, value in (PARAMETERS | DESCRIBED | DATES | PATIENT | UIDS).items():
        setattr(ds, keyword, value)
    ds.SOPClassUID, ds.SOPInstanceUID = MR_STORAGE, uid
    fill(
        ds,
        [*named(name, "remove", "replace-with", "hash", "hashuid", "increment-date", "increment-datetime")],
    )
    add_private(ds, DIFFUSION + VENDOR)
    item = fill(Dataset(), named(name, "remove", "replace-with", "hash"))
    item.PatientBirthDate, item.CodeMeaning = "19541215", "Brain"
    add_private(item, DIFFUSION[:1] + VENDOR)
    ds.AnatomicRegionSequence = [item]
    ds.Rows = ds.Columns = 4
    ds.BitsAllocated = ds.BitsStored = 16
    ds.HighBit, ds.PixelRepresentation, ds.SamplesPerPixel = 15, 0, 1
    ds.PhotometricInterpretation = "MONOCHROME2"
    ds.PixelData = PIXELS
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.file_meta.SourceApplicationEntityTitle = "ZZ-CANARY"
    buffer = io.BytesIO()
    ds.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def run(name: str, data: bytes, folder: Path, source_name: str = "in.dcm") -> tuple[Result, bytes]:
    source, out = folder / "source", folder / "out"
    source.write_bytes(data)
    ctx = Context(store.load(name, VALUES_OF_ALL), Keyring(b"k" * 32), None, date(2026, 1, 1), "strict", originals=True)
    result = deidentify(source, source_name, ctx, out)
    assert isinstance(result, Result)
    return result, out.read_bytes()


def read(data: bytes) -> Dataset:
    return pydicom.dcmread(io.BytesIO(data))


@pytest.fixture(scope="module", params=NAMES)
def done(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Dataset, bytes]:
    """Name of a profile, what it makes of an instance, and the bytes of that."""
    _, data = run(request.param, instance(request.param), tmp_path_factory.mktemp(request.param))
    return request.param, read(data), data


def hashed(uid: str) -> str:
    return HashUid().uid(uid)


# -- every profile ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_header_says_what_becomes_of_the_data(name: str) -> None:
    lines = store.shipped()[name].read_text(encoding="utf-8").splitlines()
    header = "\n".join(line for line in lines[: lines.index(next(one for one in lines if not one.startswith("#")))])
    assert len(store.headline(store.shipped()[name])) > 20
    assert "Removes:" in header
    assert "Keeps:" in header
    assert "Limits:" in header or name in ("minimal", "starter")
    assert store.load(name, VALUES_OF_ALL).name == name


def planted() -> Dataset:
    """Return an instance with a name in each place where profiles differ."""
    ds = read(instance("minimal"))
    for keyword in ("StudyDescription", "StationName", "InstitutionName", "DocumentTitle", "ImageComments"):
        setattr(ds, keyword, f"ZZ {keyword}")
    ds.NameOfPhysiciansReadingStudy = "ZZ NameOfPhysiciansReadingStudy"
    ds.EncapsulatedDocument = b"ZZ EncapsulatedDocument "
    ds.add_new(0x60004000, "LT", "ZZ OverlayComments")
    for sequence, keyword in {
        "ContentSequence": "TextValue",
        "TextObjectSequence": "UnformattedTextValue",
        "AnatomicRegionSequence": "CodeMeaning",
    }.items():
        setattr(ds, sequence, [Dataset()])
        setattr(ds[sequence][0], keyword, f"ZZ {keyword}")
    ds.IconImageSequence = [Dataset()]
    ds.IconImageSequence[0].PixelData = b"ZZ IconImage"
    ds.IconImageSequence[0]["PixelData"].VR = "OB"
    add_private(ds, [("SIEMENS CSA HEADER", 0x0029, 0x10, "OB", b"ZZ CSA")])
    return ds


# the word by which a heading tells that the element may stay; "everything else" tells of all
TOLD = {
    "StudyDescription": "descriptions", "StationName": "station", "InstitutionName": "institution",
    "ImageComments": "comments", "DocumentTitle": "free text", "NameOfPhysiciansReadingStudy": "readers",
    "EncapsulatedDocument": "documents", "OverlayComments": "overlays", "TextValue": "reports",
    "UnformattedTextValue": "annotations", "CodeMeaning": "codes", "IconImage": "icons", "CSA": "private elements",
}  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_header_tells_what_stays(name: str, tmp_path: Path) -> None:
    buffer = io.BytesIO()
    planted().save_as(buffer)
    assert all(f"ZZ {place}".encode() in buffer.getvalue() for place in TOLD)
    _, data = run(name, buffer.getvalue(), tmp_path)
    left = {place for place in TOLD if f"ZZ {place}".encode() in data}
    text = store.shipped()[name].read_text(encoding="utf-8")
    header = " ".join(line.strip("# ") for line in text[: text.index("\nname:")].splitlines())
    kept = header[header.index("Keeps:") :]
    assert "everything else" in kept or {place for place in left if TOLD[place] not in kept} == set()
    assert bool(left) == (name not in {"keep-list", *STANDARD} - {"basic-research"})


def test_what_a_rule_removes_is_gone(done: tuple[str, Dataset, bytes]) -> None:
    name, ds, _ = done
    (item,) = ds.get("AnatomicRegionSequence", [Dataset()])
    assert not [keyword for keyword in named(name, "remove") if keyword in ds]
    recursive = section_of(name).recurse or section_of(name).remove_undefined
    assert not [keyword for keyword in named(name, "remove") if (keyword in item) == recursive]


def test_pixels_and_what_decodes_them_stay(done: tuple[str, Dataset, bytes]) -> None:
    _, ds, _ = done
    assert ds.PixelData == PIXELS
    assert (ds.Rows, ds.Columns, ds.BitsAllocated, ds.PhotometricInterpretation) == (4, 4, 16, "MONOCHROME2")
    assert ds.SOPClassUID == MR_STORAGE


def test_acquisition_parameters_stay(done: tuple[str, Dataset, bytes]) -> None:
    name, ds, _ = done
    before = read(instance(name))
    kept = PARAMETERS.keys() - ({"PatientSex", "PatientWeight"} if name in ("basic", "basic-longitudinal") else set())
    assert {keyword: ds.get(keyword) for keyword in kept} == {keyword: before[keyword].value for keyword in kept}


def test_file_meta_is_clean(done: tuple[str, Dataset, bytes]) -> None:
    _, ds, data = done
    assert ds.file_meta.MediaStorageSOPInstanceUID == ds.SOPInstanceUID
    assert "SourceApplicationEntityTitle" not in ds.file_meta
    assert not data[:128].strip(b"\0")


def test_no_planted_identifier_is_left(done: tuple[str, Dataset, bytes]) -> None:
    """Minimal and starter say themselves that they are not safe; the others leave nothing that they name."""
    name, _, data = done
    left = data.count(b"CANARY")
    assert left == 0 if name not in ("minimal", "starter") else left > 0


def test_twice_is_once_where_nothing_is_hashed_or_moved(tmp_path: Path) -> None:
    _, once = run("research-site", instance("research-site"), tmp_path)
    _, twice = run("research-site", once, tmp_path)
    assert twice == once


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("place", ["{patient}/visit/scan/{number}.dcm", "{patient}-{number}.dcm"])
def test_several_patients_in_one_folder(name: str, place: str, tmp_path: Path) -> None:
    """As it is, with no mapping and nothing to fill in."""
    desk = Desk(tmp_path)
    for patient in ("P1", "P2", "P3"):
        more = {"PatientBirthDate": f"19{patient[1]}00131", "StudyDate": "20200229"}
        files = {number: small(patient, number=number, **more) for number in (1, 2)}
        desk.put({place.format(patient=patient, number=number): data for number, data in files.items()})
    done = desk.run("--profile", name)
    assert (done.code, set(desk.states().values())) == (0, {"released"}), done.err
    subjects = {Path(row["destination"]).parts[0] for row in desk.rows()}
    assert len(subjects) == 3


# -- one by one ------------------------------------------------------------------------------------------


def outcome(name: str, folder: Path) -> tuple[Dataset, Dataset]:
    return read(instance(name)), read(run(name, instance(name), folder)[1])


def test_minimal(tmp_path: Path) -> None:
    before, after = outcome("minimal", tmp_path)
    gone = {element.keyword for element in before} - {element.keyword for element in after}
    assert gone == {"PatientName", "PatientID", "PatientBirthDate"}
    assert after.AnatomicRegionSequence == before.AnatomicRegionSequence
    assert after[0x0029, 0x1001].value == CANARY


def test_starter(tmp_path: Path) -> None:
    before, after = outcome("starter", tmp_path)
    assert "PatientID" not in after
    assert after.StationName == "XXXX"
    assert after.StudyDate == "20200212"
    assert after.ConcatenationUID == hashed(before.ConcatenationUID)
    assert after.AccessionNumber == sha256(before.AccessionNumber.encode()).hexdigest()[:16]
    assert after.PatientAge == "065Y"
    for keyword in (
        "PatientName",
        "PatientBirthDate",
        *UIDS,
        "SeriesDate",
        "StudyDescription",
        "AnatomicRegionSequence",
    ):
        assert after[keyword] == before[keyword]


def test_block_list(tmp_path: Path) -> None:
    before, after = outcome("block-list", tmp_path)
    assert after.PatientID == after.AnatomicRegionSequence[0].PatientID == PSEUDONYM
    assert {after[keyword].value for keyword in ("StudyDate", "SeriesDate", "AcquisitionDate")} == {"20200314"}
    assert after.AnatomicRegionSequence[0].PatientBirthDate == "19541229"
    assert {keyword: after[keyword].value for keyword in UIDS} == {
        keyword: hashed(uid) for keyword, uid in UIDS.items()
    }
    assert {keyword: after[keyword].value for keyword in DESCRIBED} == DESCRIBED
    assert after.StudyTime == before.StudyTime
    assert not [element for element in after.iterall() if element.tag.is_private]
    assert [after[keyword].value for keyword in ("PatientName", "AccessionNumber", "DeviceSerialNumber")] == [
        "", "", "REMOVED",
    ]  # fmt: skip


def test_keep_list(tmp_path: Path) -> None:
    _, after = outcome("keep-list", tmp_path)
    listed = {rule.name for rule in section_of("keep-list").rules}
    pixels = {element.keyword for element in after if element.tag.group in (0x0028, 0x7FE0)}
    # in a sequence there is nothing but what is listed, which keeps the sequence
    assert {element.keyword for element in after.iterall()} - listed - pixels == {
        "SOPClassUID", "AnatomicRegionSequence",
    }  # fmt: skip
    assert after.AnatomicRegionSequence[0].PatientName == "REDACTED"
    assert (after.PatientID, after.PatientName, after.PatientBirthDate) == (PSEUDONYM, "REDACTED", "")
    assert after.PatientAge == "065Y"
    assert {keyword: after[keyword].value for keyword in UIDS} == {
        keyword: hashed(uid) for keyword, uid in UIDS.items()
    }


def test_research_site(tmp_path: Path) -> None:
    before, after = outcome("research-site", tmp_path)
    assert after.PatientID == PSEUDONYM
    for emptied in (
        "PatientName",
        "PatientBirthDate",
        "AccessionNumber",
        "StudyID",
        "ReferringPhysicianName",
    ):
        assert after[emptied].is_empty
    assert after.AnatomicRegionSequence[0].CodeMeaning == "Brain"
    assert after.PatientAge == "065Y"
    assert list(after.DeidentificationMethod) == ["another program", "fw-gear-deid research-site 1"]
    for keyword in (*UIDS, *DATES, *DESCRIBED):
        assert after[keyword] == before[keyword]


def test_research_site_keeps_diffusion_and_no_other_private_element(tmp_path: Path) -> None:
    before, after = outcome("research-site", tmp_path)
    for creator, group, element, _, _ in DIFFUSION:
        assert after.private_block(group, creator)[element] == before.private_block(group, creator)[element]
    assert [element.value for element in after.AnatomicRegionSequence[0] if element.tag.is_private] == [
        "SIEMENS MR HEADER", 1000,
    ]  # fmt: skip
    kept = {element.tag for element in after if element.tag.is_private and not element.tag.is_private_creator}
    assert len(kept) == len(DIFFUSION)
    creators = {element.value for element in after if element.tag.is_private_creator}
    assert creators == {creator for creator, *_ in DIFFUSION}


@pytest.mark.parametrize("name", ["keep-list", "research-site"])
@pytest.mark.parametrize(
    ("born", "age", "written"),
    [
        ("19541215", "044Y", "065Y"),
        ("19200101", "044Y", "090Y"),
        ("", "089Y", "089Y"),
        ("", "091Y", "090Y"),
        ("", "", ""),
    ],
)
def test_ages_above_89_are_one_group(name: str, born: str, age: str, written: str, tmp_path: Path) -> None:
    ds = read(instance(name))
    ds.PatientBirthDate, ds.PatientAge = born, age
    buffer = io.BytesIO()
    ds.save_as(buffer)
    assert read(run(name, buffer.getvalue(), tmp_path)[1]).PatientAge == written


def test_research_site_keeps_the_safe_private_attributes() -> None:
    table = CORPUS.parent / "standards" / "ps3_15_table_E3.10-1_safe_private_2026d.csv"
    if not table.exists():
        pytest.skip("no tables of the standard beside the checkout (../shared/standards)")
    with table.open(encoding="utf-8", newline="") as rows:
        safe = {
            (int(row["group"], 16), row["private_creator"], int(row["element"][2:], 16)) for row in csv.DictReader(rows)
        }
    kept = {
        (rule.selector.group, rule.selector.creator, rule.selector.element)
        for rule in section_of("research-site").rules
        if isinstance(rule.selector, PrivateAt) and rule.action.key == "keep"
    }
    assert len(safe) == 479
    assert safe <= kept


def test_research_site_creates_nothing_but_its_mark(tmp_path: Path) -> None:
    ds = read(instance("research-site"))
    for keyword in (*named("research-site", "replace-with"), "PatientAge"):
        del ds[keyword]
    buffer = io.BytesIO()
    ds.save_as(buffer)
    after = read(run("research-site", buffer.getvalue(), tmp_path)[1])
    new = {element.keyword for element in after} - {element.keyword for element in ds}
    assert new == {"DeidentificationMethod"}


# -- archives --------------------------------------------------------------------------------------------


def archive(*members: tuple[str, bytes], comment: bytes = b"") -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as target:
        for name, data in members:
            target.writestr(name, data)
        target.comment = comment
    return buffer.getvalue()


def test_stored_archives(tmp_path: Path) -> None:
    uids = [f"1.2.826.0.1.3680043.8.498.71{number}" for number in range(2)]
    first, second = (instance("stored-archives", uid) for uid in uids)
    source = archive(
        (f"{CANARY}/s1/IM0001", first),  # taken by the pattern of file-filter
        (f"{CANARY}/s1/ZZ_CANARY.dcm", second),
        (f"{CANARY}/report.txt", b"ZZ CANARY has a headache"),
        ("notes.json", b'{"name": "ZZ CANARY"}'),
        comment=b"ZZ CANARY",
    )
    result, data = run("stored-archives", source, tmp_path, f"{CANARY}.zip")
    folder = "/".join(sha256(part.encode()).hexdigest() for part in (CANARY, "s1"))
    with zipfile.ZipFile(io.BytesIO(data)) as written:
        assert written.namelist() == [f"{folder}/{hashed(uid)}.MR.dcm" for uid in uids]
        assert written.comment == b""
        inside = [read(written.read(name)) for name in written.namelist()]
    assert result.released.name == f"MR_{hashed(UIDS['SeriesInstanceUID'])}.dicom.zip"
    assert [ds.SOPInstanceUID for ds in inside] == [hashed(uid) for uid in uids]
    assert {ds.PatientID for ds in inside} == {PSEUDONYM}
    assert not [element for ds in inside for element in ds.iterall() if element.tag.is_private]
    assert not [ds for ds in inside if ds.PatientName or ds.AccessionNumber or "ImageComments" in ds]
    assert {ds.SeriesDescription for ds in inside} == {DESCRIBED["SeriesDescription"]}
    dropped = [edit.before for _, edit in edits_of(result.trail) if edit.path == "member"]
    assert dropped == [f"{CANARY}/report.txt", "notes.json"]
    assert b"CANARY" not in data + b"".join(ds.PatientID.encode() for ds in inside)


def test_stored_archives_of_text_alone_come_to_nothing(tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_bytes(archive(("report.txt", b"ZZ CANARY")))
    ctx = Context(
        store.load("stored-archives", VALUES_OF_ALL),
        Keyring(b"k" * 32),
        None,
        date(2026, 1, 1),
        "strict",
        originals=True,
    )
    assert isinstance(deidentify(tmp_path / "a.zip", "a.zip", ctx, tmp_path / "out"), Skipped)


@pytest.mark.parametrize("name", [name for name in NAMES if name != "stored-archives"])
def test_an_archive_needs_no_zip_section(name: str, tmp_path: Path) -> None:
    source = archive(("s1/a.dcm", instance(name)), comment=b"ZZ CANARY")
    _, data = run(name, source, tmp_path, "series.zip")
    _, alone = run(name, instance(name), tmp_path)
    with zipfile.ZipFile(io.BytesIO(data)) as written:
        assert [written.read(member) for member in written.namelist()] == [alone]
        assert written.comment == b""
