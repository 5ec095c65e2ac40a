"""What shipped profiles leave, asked of programs of the field: dciodvfy finds no new error, dcm2niix the same volumes."""

from __future__ import annotations

import io
import json
import re
import struct
import subprocess
from datetime import date
from pathlib import Path
from typing import Any

import pydicom
import pytest
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

from fw_gear_deid.deid import Context, Result, deidentify
from fw_gear_deid.keys import Keyring
from fw_gear_deid.profile import store
from tests.test_dicom_oracle import CORPUS
from tests.test_readers import program

SIZE, SLICES, VOLUMES = 8, 4, 3
BVALUES = (0, 800, 800)
DIRECTIONS = ([0.0, 0.0, 1.0], [0.6, 0.0, 0.8], [0.0, 1.0, 0.0])
MR, ENHANCED_MR = "1.2.840.10008.5.1.4.1.1.4", "1.2.840.10008.5.1.4.1.1.4.1"
Conversion = dict[str, list[Any]]


def deidentified(profile: str, source: Path, target: Path) -> Path:
    loaded = store.load(profile, {"subject.pseudonym": "sub-0123456789ab"})
    ctx = Context(loaded, Keyring(b"k" * 32), "p", date(2026, 1, 1), "strict")
    target.parent.mkdir(parents=True, exist_ok=True)
    assert isinstance(deidentify(source, source.name, ctx, target), Result)
    return target


# -- valid stays valid -------------------------------------------------------------------------------------


def complaints(path: Path) -> set[str]:
    """Return what dciodvfy calls an error; UIDs and values are others in the result."""
    done = subprocess.run([program("dciodvfy"), str(path)], capture_output=True, check=False)
    lines = (done.stderr + done.stdout).decode("latin-1").splitlines()
    return {re.sub(r"\b\d+(\.\d+){3,}|= <.*", "*", line) for line in lines if line.startswith("Error")}


@pytest.mark.parametrize("profile", ["block-list", "keep-list", "research-site", "stored-archives"])
@pytest.mark.parametrize("name", ["CT_small.dcm", "MR_small.dcm", "JPEG2000.dcm", "examples_palette.dcm"])
def test_a_valid_image_stays_valid(profile: str, name: str, tmp_path: Path) -> None:
    source = Path(str(get_testdata_file(name, download=False)))
    assert complaints(deidentified(profile, source, tmp_path / "out.dcm")) - complaints(source) == set()


@pytest.mark.parametrize("profile", ["block-list", "research-site", "stored-archives"])
@pytest.mark.parametrize("name", ["rtplan.dcm", "rtstruct.dcm", "rtdose.dcm", "test-SR.dcm"])
def test_a_valid_plan_or_report_stays_valid(profile: str, name: str, tmp_path: Path) -> None:
    source = Path(str(get_testdata_file(name, download=False)))
    assert complaints(deidentified(profile, source, tmp_path / "out.dcm")) - complaints(source) == set()


# -- a volume stays what it was ------------------------------------------------------------------------------


def converted(sources: list[Path], folder: Path) -> Conversion:
    """Return what dcm2niix makes: grids, voxels, b-values and directions, slice times."""
    (folder / "in").mkdir(parents=True)
    (folder / "out").mkdir()
    for number, source in enumerate(sources):
        (folder / "in" / f"{number}.dcm").write_bytes(source.read_bytes())
    command = [program("dcm2niix"), "-b", "y", "-z", "n", "-f", "%s", "-o", str(folder / "out"), str(folder / "in")]
    subprocess.run(command, capture_output=True, check=False)
    found: Conversion = {}
    for path in sorted((folder / "out").iterdir()):
        data = path.read_bytes()
        if path.suffix == ".nii":
            # dimensions, spacing, scale and offset, orientation; then voxels
            found.setdefault("volume", []).append((data[40:56], data[76:108], data[112:120], data[252:328], data[352:]))
        elif path.suffix == ".json":
            sidecar = json.loads(data.decode("latin-1"), strict=False)
            found.setdefault("SliceTiming", []).append(sidecar.get("SliceTiming"))
        else:
            found.setdefault(path.suffix, []).append(data)
    return found


def image(maker: str, **more: Any) -> Dataset:
    ds = Dataset()
    ds.SOPClassUID, ds.SOPInstanceUID = MR, "1.2.826.0.1.3680043.8.498.9"
    ds.StudyInstanceUID, ds.SeriesInstanceUID = "1.2.826.0.1.3680043.8.498.7", "1.2.826.0.1.3680043.8.498.8"
    ds.FrameOfReferenceUID = "1.2.826.0.1.3680043.8.498.6"
    ds.Modality, ds.Manufacturer, ds.ManufacturerModelName = "MR", maker, "MODEL"
    ds.ImageType = ["ORIGINAL", "PRIMARY", "M", "ND"]
    ds.PatientName, ds.PatientID, ds.PatientBirthDate, ds.PatientSex = "ZZ^CANARY", "ZZ-CANARY", "19800101", "F"
    ds.StudyDate = ds.SeriesDate = ds.AcquisitionDate = ds.ContentDate = "20200229"
    ds.StudyTime = ds.SeriesTime = ds.AcquisitionTime = ds.ContentTime = "101500.000000"
    ds.SeriesNumber, ds.InstanceNumber, ds.AcquisitionNumber = 3, 1, 1
    ds.RepetitionTime, ds.EchoTime, ds.MagneticFieldStrength, ds.FlipAngle = 2000, 30, 3, 90
    ds.ScanningSequence, ds.SequenceVariant, ds.MRAcquisitionType = "EP", "SK", "2D"
    ds.ImagePositionPatient, ds.ImageOrientationPatient = [-8, -8, 3], [1, 0, 0, 0, 1, 0]
    ds.PixelSpacing, ds.SliceThickness, ds.SpacingBetweenSlices, ds.PatientPosition = [2, 2], 4, 4, "HFS"
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.BitsAllocated = ds.BitsStored = 16
    ds.HighBit, ds.PixelRepresentation = 15, 0
    ds.Rows = ds.Columns = SIZE
    for keyword, value in more.items():
        setattr(ds, keyword, value)
    return ds


def private(ds: Dataset, group: int, creator: str, elements: dict[int, tuple[str, Any]]) -> Dataset:
    block = ds.private_block(group, creator, create=True)
    for element, (vr, value) in elements.items():
        block.add_new(element, vr, value)
    return ds


def saved(ds: Dataset, path: Path, frames: int = 1) -> Path:
    count = ds.Rows * ds.Columns * frames
    ds.PixelData = struct.pack(f"<{count}H", *(number % 1000 for number in range(count)))
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    buffer = io.BytesIO()
    ds.save_as(buffer, enforce_file_format=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(buffer.getvalue())
    return path


def mosaic(folder: Path) -> list[Path]:
    """Return diffusion images as Siemens writes them: four slices on one page, and their number in a private element."""
    made = []
    for number, bvalue, way in zip((1, 2, 3), BVALUES, DIRECTIONS, strict=True):
        ds = image("SIEMENS", Rows=2 * SIZE, Columns=2 * SIZE, InstanceNumber=number, AcquisitionNumber=number)
        ds.SOPInstanceUID = f"1.2.826.0.1.3680043.8.498.9.{number}"
        ds.ImageType = ["ORIGINAL", "PRIMARY", "DIFFUSION", "NONE", "ND", "MOSAIC"]
        ds.AcquisitionMatrix = [SIZE, 0, 0, SIZE]
        ds.InPlanePhaseEncodingDirection, ds.SoftwareVersions = "COL", "syngo MR E11"
        elements = {
            0x08: ("CS", "IMAGE NUM 4"),
            0x0A: ("US", SLICES),
            0x0C: ("IS", bvalue),
            0x28: ("FD", 25.0),
            0x29: ("FD", [0.0, 1000.0, 500.0, 1500.0]),
        }
        if bvalue:
            elements |= {0x0D: ("CS", "DIRECTIONAL"), 0x0E: ("FD", way)}
        private(ds, 0x0019, "SIEMENS MR HEADER", elements)
        made.append(saved(ds, folder / f"{number}.dcm"))
    return made


def scaled(folder: Path) -> list[Path]:
    """Return slices as Philips writes them: the scale and the diffusion in private elements."""
    made = []
    for number in range(1, VOLUMES * SLICES + 1):
        volume, slice_ = divmod(number - 1, SLICES)
        ds = image("Philips Medical Systems", InstanceNumber=number, ImagePositionPatient=[-8, -8, 4 * slice_])
        ds.SOPInstanceUID = f"1.2.826.0.1.3680043.8.498.9.{number}"
        ds.RescaleSlope, ds.RescaleIntercept = "2.5", "0"
        ds.TemporalPositionIdentifier = 1
        elements = {0x03: ("FL", BVALUES[volume]), 0x08: ("IS", 1), 0x0A: ("IS", slice_ + 1), 0x18: ("SL", SLICES)}
        private(ds, 0x2001, "Philips Imaging DD 001", elements)
        elements = {0x0D: ("FL", 0.0), 0x0E: ("FL", 0.25)}
        elements |= {0xB0 + axis: ("FL", value) for axis, value in enumerate(DIRECTIONS[volume])}
        private(ds, 0x2005, "Philips MR Imaging DD 001", elements)
        made.append(saved(ds, folder / f"{number}.dcm"))
    return made


def item(**values: Any) -> Dataset:
    ds = Dataset()
    for keyword, value in values.items():
        setattr(ds, keyword, value)
    return ds


def enhanced(folder: Path) -> list[Path]:
    """Return one file of many frames, whose geometry and diffusion stand in functional groups."""
    ds = image("CANON_MEC", SOPClassUID=ENHANCED_MR, NumberOfFrames=VOLUMES * SLICES)
    for keyword in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "SliceThickness"):
        del ds[keyword]
    ds.AcquisitionDateTime = "20200229101500"
    ds.SharedFunctionalGroupsSequence = [
        item(
            PixelMeasuresSequence=[item(PixelSpacing=[2, 2], SliceThickness=4, SpacingBetweenSlices=4)],
            PlaneOrientationSequence=[item(ImageOrientationPatient=[1, 0, 0, 0, 1, 0])],
            PixelValueTransformationSequence=[item(RescaleIntercept=0, RescaleSlope="2.5", RescaleType="US")],
            MREchoSequence=[item(EffectiveEchoTime=30.0)],
        )
    ]
    ds.PerFrameFunctionalGroupsSequence = [
        item(
            FrameContentSequence=[
                item(
                    StackID="1",
                    InStackPositionNumber=number % SLICES + 1,
                    DimensionIndexValues=[number % SLICES + 1, number // SLICES + 1],
                    FrameComments="ZZ CANARY",
                    FrameReferenceDateTime="20200229101500",
                )
            ],
            PlanePositionSequence=[item(ImagePositionPatient=[-8, -8, 4 * (number % SLICES)])],
            MRDiffusionSequence=[
                item(
                    DiffusionBValue=float(BVALUES[number // SLICES]),
                    DiffusionDirectionality="DIRECTIONAL",
                    DiffusionGradientDirectionSequence=[
                        item(DiffusionGradientOrientation=DIRECTIONS[number // SLICES])
                    ],
                )
            ],
        )
        for number in range(VOLUMES * SLICES)
    ]
    return [saved(ds, folder / "1.dcm", VOLUMES * SLICES)]


@pytest.mark.parametrize(
    ("make", "profile", "wanted"),
    [
        (mosaic, "research-site", {"volume", "SliceTiming", ".bval", ".bvec"}),
        (scaled, "research-site", {"volume", ".bval", ".bvec"}),
        (enhanced, "research-site", {"volume", ".bval", ".bvec"}),
        (enhanced, "keep-list", {"volume", ".bval", ".bvec"}),
    ],
    ids=["mosaic", "scaled", "enhanced", "enhanced by a keep-list"],
)
def test_a_volume_is_converted_as_before(make: Any, profile: str, wanted: set[str], tmp_path: Path) -> None:
    sources = make(tmp_path / "in")
    results = [deidentified(profile, source, tmp_path / "results" / source.name) for source in sources]
    before, after = converted(sources, tmp_path / "before"), converted(results, tmp_path / "after")
    assert {key for key, found in before.items() if any(found)} >= wanted
    assert after == before
    assert not [path for path in results if b"CANARY" in path.read_bytes()]


def test_without_the_private_elements_it_is_not(tmp_path: Path) -> None:
    """The comparison above can tell."""
    for make in (mosaic, scaled):
        sources = make(tmp_path / make.__name__)
        results = [deidentified("block-list", source, tmp_path / "results" / source.name) for source in sources]
        before, after = (
            converted(paths, tmp_path / f"{make.__name__}-{number}") for number, paths in enumerate((sources, results))
        )
        assert after != before


# Siemens, GE, Philips, UIH, Canon; the mosaics, and those whose scale stands in private elements
REAL = (
    "vendor_mr/dcm_qa_mosaic__IM-0005-0001.dcm", "vendor_mr/nibabel__0.dcm", "vendor_mr/dcm_qa__jpg1.dcm",
    "vendor_mr/dcm_qa_ge__0001.dcm", "vendor_mr/dcm_qa_philips__0016.dcm", "vendor_mr/dcm_qa_philips__IM_0001",
    "vendor_mr/dcm_qa_philips_asl__0001.dcm", "vendor_mr/dcm_qa_uih__00000001.dcm", "vendor_mr/dcm_qa_toshiba__0001.dcm",
    "dcm4che/dcm4che__MR-JPEGLosslessSV1.dcm", "enhanced/dcm_qa_canon_61__5000.dcm",
)  # fmt: skip


@pytest.mark.parametrize("name", REAL)
def test_a_real_image_is_converted_as_before(name: str, tmp_path: Path) -> None:
    source = CORPUS / "dicom" / name
    if not source.exists():
        pytest.skip("no corpus beside the checkout (../shared/corpus)")
    result = deidentified("research-site", source, tmp_path / "out.dcm")
    assert converted([result], tmp_path / "after") == converted([source], tmp_path / "before") != {}
    assert pydicom.dcmread(result).PatientName == ""
