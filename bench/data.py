"""Names of data sets → files, the same bytes each time. Its own process: ``python -m bench.data PLACE NAME...``.

What is made up is like what scanners make where it matters for cost: 130 elements and 120 kB of vendor's text in a
header, pixels whose noise is new in every pixel, so that they pack to half, and no window finds them again.
"""

from __future__ import annotations

import hashlib
import io
import shutil
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pydicom
from pydicom._dicom_dict import DicomDictionary
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage, MultiFrameGrayscaleWordSecondaryCaptureImageStorage

from bench import SHARED

_UID = "1.2.826.0.1.3680043.8.498.24019357723119"
_ROWS, _COLUMNS = 384, 512  # with the header, half a megabyte
_FRAME = 512  # rows and columns of a frame
_FILLED = {
    "DS": "1.25",
    "IS": "12",
    "SH": "SE",
    "LO": "Value of a field",
    "CS": "YES",
    "US": 7,
    "FD": 0.25,
    "DA": "20210304",
}
_REAL = ("vendor_mr/dicom2nifti__001_3.dcm", "vendor_mr/dcm_qa_mosaic__IM-0005-0001.dcm", "ct/dcm_qa_ct__01.dcm")
_TIME = (2021, 3, 4, 10, 15, 0)


def pixels(seed: int, rows: int, columns: int) -> bytes:
    """Return 16-bit pixels: a body of four tissues under noise of 7 bits, air of 5.

    Whole numbers only, and raw output of a generator that numpy keeps stable: the same on every machine.
    """
    noise = np.random.PCG64(seed).random_raw(-(-rows * columns // 4)).view(np.uint8)[: 2 * rows * columns]
    first, second = noise.reshape(2, rows, columns).astype(np.int64)
    y, x = np.ogrid[:rows, :columns]
    image = np.maximum(first, second) >> 3
    for number in range(4):
        shift = (seed * 7 + number * 13) % 17 - 8
        tall, wide = rows * (9 - 2 * number) // 20, columns * (9 - 2 * number) // 20
        inside = ((y - rows // 2 - shift) * wide) ** 2 + ((x - columns // 2 + shift) * tall) ** 2 < (tall * wide) ** 2
        tissue = 180 + 240 * number % 700 + (x * (3 + number) + y) // 16 + ((first + second) >> 2)
        image = np.where(inside, tissue, image)
    return _little(image)


def _little(image: npt.NDArray[np.int64]) -> bytes:
    return image.astype("<u2").tobytes()


def protocol(seed: int, size: int) -> bytes:
    """Return a vendor's text of names and numbers, as a header of CSA holds it."""
    raw = np.random.PCG64(seed).random_raw(size // 30)
    lines = (f"sSliceArray.asSlice[{n % 128}].sPar{int(v) % 89}\t = \t{int(v) % 99991}\n" for n, v in enumerate(raw))
    return "".join(lines).encode().ljust(size, b"\0")[:size]


def header(series: int, vendor: int) -> Dataset:
    """Return what the instances of a series share.

    Parameters
    ----------
    series : int
    vendor : int
        Bytes of a vendor's text.
    """
    ds = Dataset()
    keywords = [row[4] for tag, row in sorted(DicomDictionary.items()) if tag >> 16 == 0x18 and _plain(row)]
    _set(ds, **{keyword: _FILLED[pydicom.datadict.dictionary_VR(keyword)] for keyword in keywords[:80]})
    _set(
        ds, SpecificCharacterSet="ISO_IR 100", ImageType=["ORIGINAL", "PRIMARY", "M", "ND"], SOPClassUID=MRImageStorage,
        StudyDate="20210304", SeriesDate="20210304", AcquisitionDate="20210304", ContentDate="20210304",
        StudyTime="101500", SeriesTime="102000", AcquisitionTime="102100", ContentTime="102100",
        AccessionNumber="A4711", Modality="MR", Manufacturer="ACME", InstitutionName="General Hospital",
        InstitutionAddress="1 Some Road", ReferringPhysicianName="Refer^Ring", StationName="MR01",
        StudyDescription="Head", SeriesDescription=f"T1 {series}", PerformingPhysicianName="Perform^Ing",
        OperatorsName="Oper^Ator", ManufacturerModelName="Model 7", PatientName="Bench^Mark", PatientID="MRN0815",
        PatientBirthDate="19700102", PatientSex="O", PatientAge="051Y", PatientSize="1.75", PatientWeight="75",
        PatientAddress="2 Other Road", EthnicGroup="none", Occupation="none", PatientComments="moved",
        AdditionalPatientHistory="a long history of the patient, in words", RequestingPhysician="Request^Ing",
        BodyPartExamined="BRAIN", ScanningSequence="GR", MRAcquisitionType="3D", PatientPosition="HFS",
        StudyInstanceUID=f"{_UID}.1", SeriesInstanceUID=f"{_UID}.1.{series}", FrameOfReferenceUID=f"{_UID}.1.0",
        StudyID="1", SeriesNumber=str(series), ImageOrientationPatient=["1", "0", "0", "0", "1", "0"],
        SamplesPerPixel=1, PhotometricInterpretation="MONOCHROME2", PixelSpacing=["0.5", "0.5"], BitsAllocated=16,
        BitsStored=12, HighBit=11, PixelRepresentation=0, WindowCenter="400", WindowWidth="800",
        RequestedProcedureDescription="Head MR", PerformedProcedureStepDescription="Head",
        ReferencedImageSequence=[_item(ReferencedSOPInstanceUID=f"{_UID}.1.9.{n}") for n in range(3)],
        RequestAttributesSequence=[_item(ScheduledProcedureStepID="S1", RequestedProcedureID="R1")],
        ProcedureCodeSequence=[_item(CodeValue="HEAD", CodingSchemeDesignator="L", CodeMeaning="Head")],
    )  # fmt: skip
    block = ds.private_block(0x29, "SIEMENS CSA HEADER", create=True)
    block.add_new(0x10, "OB", protocol(series, vendor // 10))
    block.add_new(0x20, "OB", protocol(series + 1, vendor - vendor // 10))
    small = ds.private_block(0x51, "SIEMENS MR HEADER", create=True)
    for number in range(20):
        small.add_new(number + 8, "LO", f"TP {number}")
    return ds


def _plain(row: tuple[str, str, str, str, str]) -> bool:
    vr, multiplicity, _, retired, _ = row
    return vr in _FILLED and multiplicity == "1" and not retired


def _set(ds: Dataset, **values: object) -> None:
    for keyword, value in values.items():
        setattr(ds, keyword, value)


def _item(**values: object) -> Dataset:
    ds = Dataset()
    _set(ds, **values)
    return ds


def instance(ds: Dataset, number: int, shape: tuple[int, int], frames: int = 1) -> bytes:
    """Return a file: a header with an instance's own values and pixels."""
    rows, columns = shape
    uid = f"{ds.SeriesInstanceUID}.{number}"
    _set(
        ds, SOPInstanceUID=uid, InstanceNumber=str(number), SliceLocation=str(number), Rows=rows, Columns=columns,
        ImagePositionPatient=["0", "0", str(number)],
        PixelData=b"".join(pixels(number * frames + frame, rows, columns) for frame in range(frames)),
    )  # fmt: skip
    if frames > 1:
        _set(ds, SOPClassUID=MultiFrameGrayscaleWordSecondaryCaptureImageStorage, NumberOfFrames=str(frames))
    ds.file_meta = FileMetaDataset()
    _set(
        ds.file_meta, MediaStorageSOPClassUID=ds.SOPClassUID, MediaStorageSOPInstanceUID=uid,
        TransferSyntaxUID=ExplicitVRLittleEndian, ImplementationClassUID=f"{_UID}.2",
    )  # fmt: skip
    return _encoded(ds)


def _encoded(ds: Dataset) -> bytes:
    out = io.BytesIO()
    ds.save_as(out, enforce_file_format=True)
    return out.getvalue()


def slices(count: int, series: int = 1) -> Iterator[bytes]:
    """Yield slices of half a megabyte."""
    ds = header(series, 120_000)
    return (instance(ds, number, (_ROWS, _COLUMNS)) for number in range(1, count + 1))


def small(count: int, series: int = 1) -> Iterator[bytes]:
    """Yield instances of 17 kB, most of it header."""
    ds = header(series, 8_500)
    return (instance(ds, number, (32, 64)) for number in range(1, count + 1))


def archive(path: Path, members: Iterator[bytes], method: int = zipfile.ZIP_DEFLATED) -> None:
    """Write an archive as zlib packs it."""
    with zipfile.ZipFile(path, "w", method, compresslevel=6) as target:
        for number, data in enumerate(members, 1):
            target.writestr(zipfile.ZipInfo(f"IM{number:05}.dcm", _TIME), data, method, 6)


def tree(path: Path, count: int, folders: str = "SUBJECT/SESSION/SERIES{series}") -> None:
    """Write small files in ten series (one, when there are few)."""
    for series in range(1, 11 if count >= 10 else 2):
        folder = path / folders.format(series=series)
        folder.mkdir(parents=True, exist_ok=True)
        for number, data in enumerate(small(count // 10 or count, series), 1):
            (folder / f"S{series:02}IM{number:05}.dcm").write_bytes(data)


def one(path: Path, count: int) -> None:
    """Write a small file."""
    path.write_bytes(next(small(count)))


def acquisitions(path: Path, count: int) -> None:
    """Write a tree of archives of 26 slices."""
    for series in range(1, count + 1):
        folder = path / f"SUBJECT/SESSION/SERIES{series}"
        folder.mkdir(parents=True)
        archive(folder / f"{series}.dicom.zip", slices(26, series))


def real(path: Path, count: int) -> None:
    """Write an archive of slices of two scanners of MR and one of CT from the shared corpus, made one patient's."""
    originals = [pydicom.dcmread(SHARED / "corpus/dicom" / name) for name in _REAL]

    def copies() -> Iterator[bytes]:
        for number in range(1, count + 1):
            ds = originals[number % len(originals)]
            uid = f"{_UID}.5.{number}"
            _set(ds, SOPInstanceUID=uid, StudyInstanceUID=f"{_UID}.5", PatientID="MRN0815", PatientName="Bench^Mark")
            _set(ds, PatientBirthDate="19700102", PatientSex="O", IssuerOfPatientID="")
            _set(ds.file_meta, MediaStorageSOPInstanceUID=uid)
            yield _encoded(ds)

    archive(path, copies())


MAKERS: dict[str, Callable[[Path, int], None]] = {
    "slices": lambda path, count: archive(path, slices(count)),
    "stored": lambda path, count: archive(path, slices(count), zipfile.ZIP_STORED),
    "small": lambda path, count: archive(path, small(count)),
    "frames": lambda path, count: archive(
        path, iter([instance(header(1, 8_500), 1, (_FRAME, _FRAME), count)]), zipfile.ZIP_STORED
    ),
    "tree": tree,
    "loose": lambda path, count: tree(path, count, ""),
    "file": one,
    "archives": acquisitions,
    "real": real,
}
_ENDINGS = {"slices": ".zip", "stored": ".zip", "small": ".zip", "frames": ".zip", "real": ".zip", "file": ".dcm"}


def make(place: Path, name: str) -> Path:
    """Return the path of a data set, made when it isn't there; never half of it.

    Parameters
    ----------
    place : Path
    name : str
        Kind and count, as ``slices-208``.
    """
    kind, count = name.rsplit("-", 1)
    path = folder(place) / (name + _ENDINGS.get(kind, ""))
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        half = path.with_name(f".half-{path.name}")
        shutil.rmtree(half, ignore_errors=True)  # of a call that was ended
        MAKERS[kind](half, int(count))
        half.rename(path)
    return path


def folder(place: Path) -> Path:
    """Return where data sets of this maker are: another one's are not taken for its own."""
    return place / f"data-{hashlib.sha256(Path(__file__).read_bytes()).hexdigest()[:8]}"


if __name__ == "__main__":
    for wanted in sys.argv[2:]:
        print(make(Path(sys.argv[1]), wanted), flush=True)
