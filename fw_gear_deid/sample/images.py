"""Series and instance number → an image's data set, valid for its SOP class."""

from __future__ import annotations

from struct import pack

from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate

from fw_gear_deid.sample.encode import nested_as_un
from fw_gear_deid.sample.headers import Series, common, dataset

SIDE = 16  # pixels
MR_PHYSICS = {"EchoTime": "2.98", "RepetitionTime": "2300", "MagneticFieldStrength": "3"}
UNKNOWN_CREATOR = "ACME RECON 2.1"  # in no dictionary of private elements


def ramp(start: int, layout: str) -> bytes:
    """Return pixels that count up, row by row.

    Parameters
    ----------
    start : int
        First pixel.
    layout : str
        Byte order and type as ``struct`` writes them: ``<H``, ``>H`` or ``<B``.
    """
    pixels = [(start + index) % 256 for index in range(SIDE * SIDE)]
    return pack(f"{layout[0]}{len(pixels)}{layout[1]}", *pixels)


def siemens_mr(series: Series, instance: int) -> Dataset:
    """Return a slice with the private block of a Siemens scanner and one that no dictionary knows."""
    ds = _mr(series, instance)
    visit = series.visit
    block = ds.private_block(0x0019, "SIEMENS MR HEADER", create=True)
    block.add_new(0x09, "LO", visit.canary("SIEMENS"))
    block.add_new(0x0C, "IS", "1000")
    block = ds.private_block(0x0021, UNKNOWN_CREATOR, create=True)
    block.add_new(0x01, "LO", visit.canary("UNKNOWN"))
    block.add_new(0x02, "OB", b"\1\0\0\0" + visit.canary("BLOB").encode() + b"\0")
    block.add_new(0x03, "UN", nested_as_un(dataset(PatientName=visit.canary("UNSEQ"), PatientSex="O")))
    return ds


def ge_mr(series: Series, instance: int) -> Dataset:
    """Return a slice with the private block of a GE scanner."""
    ds = _mr(series, instance)
    block = ds.private_block(0x0009, "GEMS_IDEN_01", create=True)
    block.add_new(0x02, "SH", "MR01")
    block.add_new(0x30, "SH", series.visit.canary("GEMS"))
    return ds


def big_endian_ct(series: Series, instance: int) -> Dataset:
    """Return a slice whose pixels are big endian; it must be encoded so."""
    ds = _image(series, instance, layout=">H")
    ds.update(
        dataset(
            ImageType=["ORIGINAL", "PRIMARY", "AXIAL"],
            KVP="120",
            AcquisitionNumber="1",
            RescaleIntercept="-1024",
            RescaleSlope="1",
        )
    )
    ds.update(_plane(series, instance))
    return ds


def rle_ultrasound(series: Series, frames: int) -> Dataset:
    """Return a loop whose frames are RLE segments; it must be encoded as RLE Lossless."""
    ds = _image(series, 1, layout="<B")
    ds.update(
        dataset(
            ImageType=["ORIGINAL", "PRIMARY"],
            NumberOfFrames=str(frames),
            FrameTime="40",
            FrameIncrementPointer=0x00181063,  # FrameTime
            LossyImageCompression="00",
            PixelData=encapsulate([_rle(ramp(frame, "<B")) for frame in range(1, frames + 1)]),
        )
    )
    return ds


def _image(series: Series, instance: int, *, layout: str) -> Dataset:
    """Return ``common`` with an image of one frame; its first pixel is the instance number."""
    visit = series.visit
    bits = 16 if layout[1] == "H" else 8
    ds = common(series, instance)
    ds.update(
        dataset(
            ContentDate=ds.StudyDate,
            ContentTime="102100",
            ImageComments=f"{visit.canary('FAMILY')} moved, ask {visit.canary('COMMENT')}",
            SamplesPerPixel=1,
            PhotometricInterpretation="MONOCHROME2",
            Rows=SIDE,
            Columns=SIDE,
            BitsAllocated=bits,
            BitsStored=bits,
            HighBit=bits - 1,
            PixelRepresentation=0,
            PixelData=ramp(instance, layout),
        )
    )
    return ds


def _mr(series: Series, instance: int) -> Dataset:
    ds = _image(series, instance, layout="<H")
    ds.update(
        dataset(
            ImageType=["ORIGINAL", "PRIMARY", "M", "ND"],
            ScanningSequence="GR",
            SequenceVariant="SP",
            ScanOptions="",
            MRAcquisitionType="3D",
            EchoTrainLength="1",
            **MR_PHYSICS,
        )
    )
    ds.update(_plane(series, instance))
    return ds


def _plane(series: Series, instance: int) -> Dataset:
    """Return frame of reference and image plane modules: slices 1 mm apart."""
    return dataset(
        FrameOfReferenceUID=f"{series.uid}.0",
        PositionReferenceIndicator="",
        PatientPosition="HFS",
        SliceThickness="1",
        PixelSpacing=["1", "1"],
        ImageOrientationPatient=["1", "0", "0", "0", "1", "0"],
        ImagePositionPatient=["0", "0", str(instance)],
    )


def _rle(frame: bytes) -> bytes:
    """Return an RLE frame: one segment, each row a literal run (PS3.5 §G.3, §G.5)."""
    header = pack("<16L", 1, 64, *[0] * 14)
    rows = (frame[start : start + SIDE] for start in range(0, len(frame), SIDE))
    return header + b"".join(bytes([SIDE - 1]) + row for row in rows)
