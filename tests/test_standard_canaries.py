"""38 places of one small series in which identifiers hide: ``ps3-15: basic`` leaves none of them, by itself."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable
from itertools import count

import pydicom
import pytest
from pydicom.dataset import Dataset

from tests.desk import Desk, plain

NAME, MRN, ACCESSION = "ZQXANDERSON", "MRN7700181", "ACC9900217"
WIDE = "貝原益軒"
_number = count(1)


def canary(places: dict[str, bytes], place: str) -> str:
    """Return a text that stands at one place alone."""
    text = f"ZQX{next(_number):03d}CANARY"
    places[place] = text.encode()
    return text


def first(places: dict[str, bytes]) -> tuple[str, bytes]:
    """Return an instance with something at every place, and its name."""
    put: Callable[[str], str] = lambda place: canary(places, place)  # noqa: E731
    ds = base(1)
    ds.AccessionNumber = ACCESSION
    places.update(
        {"PatientName": NAME.encode(), "PatientID": MRN.encode(), "AccessionNumber": ACCESSION.encode()}
        | {"a name in UTF-8": WIDE.encode()}
    )
    ds.InstitutionName, ds.OperatorsName = put("InstitutionName"), ["X", f"{put('second OperatorsName')}^Y"]
    ds.StudyDescription, ds.ImageComments = f"MR of {put('StudyDescription')}", put("ImageComments")
    ds.PatientComments, ds.DeviceSerialNumber = put("PatientComments"), put("DeviceSerialNumber")
    ds.StationName = put("StationName")
    asked = Dataset()
    asked.RequestedProcedureDescription = put("RequestedProcedureDescription")
    asked.ScheduledProcedureStepID = put("ScheduledProcedureStepID")
    ds.RequestAttributesSequence = [asked]
    was, before = Dataset(), Dataset()
    was.ModifyingSystem, before.PatientName = put("ModifyingSystem"), put("ModifiedAttributesSequence")
    was.ModifiedAttributesSequence = [before]
    ds.OriginalAttributesSequence = [was]
    outer, inner = Dataset(), Dataset()
    inner.PersonName, inner.TextValue = put("PersonName in content"), put("TextValue in content")
    outer.ContentSequence = [inner]
    ds.ContentSequence = [outer]
    private(ds, put)
    drawn(ds, put)
    text, graphic = Dataset(), Dataset()
    text.UnformattedTextValue = put("UnformattedTextValue")
    graphic.TextObjectSequence = [text]
    ds.GraphicAnnotationSequence = [graphic]
    signature = Dataset()
    signature.CertificateOfSigner = put("certificate").encode() + b" "
    ds.DigitalSignaturesSequence = [signature]
    ds.EncapsulatedDocument, ds.DocumentTitle = put("EncapsulatedDocument").encode() + b" ", put("DocumentTitle")
    ds.add_new(0xFFFCFFFC, "OB", put("padding").encode() + b" ")
    ds.file_meta.SourceApplicationEntityTitle = put("SourceApplicationEntityTitle")
    ds.file_meta.PrivateInformationCreatorUID = "1.2.3"
    ds.file_meta.PrivateInformation = put("PrivateInformation").encode() + b" "
    ds.preamble = put("preamble").encode().ljust(128, b"\0")
    return f"{put('file name')}.dcm", written(ds)


def private(ds: Dataset, put: Callable[[str], str]) -> None:
    """Put something into private elements, and into a public one that no dictionary knows."""
    block = ds.private_block(0x0029, "SOME VENDOR", create=True)
    inside = Dataset()
    inside.PatientID = put("private SQ")
    block.add_new(0x01, "LO", put("private LO"))
    block.add_new(0x02, "SQ", [inside])
    block.add_new(0x03, "OB", put("private OB").encode() + b" ")
    block.add_new(0x04, "UN", put("private UN").encode() + b" ")
    csa = ds.private_block(0x0029, "SIEMENS CSA HEADER", create=True)
    csa.add_new(0x10, "OB", b"SV10\4\3\2\1" + put("CSA header").encode() + b" ")
    ds.add_new(0x00080009, "UN", put("a public tag of no dictionary").encode() + b" ")


def drawn(ds: Dataset, put: Callable[[str], str]) -> None:
    """Put something into overlays, curves and the icon."""
    ds.add_new(0x60000022, "LO", put("overlay description"))
    ds.add_new(0x60003000, "OW", put("overlay bits").encode() + b" ")
    ds.add_new(0x60004000, "LT", put("overlay comments"))
    ds.add_new(0x50003000, "OW", put("curve data").encode() + b" ")
    icon = Dataset()
    icon.PixelData = put("icon pixels").encode() + b" "
    icon["PixelData"].VR = "OB"
    ds.IconImageSequence = [icon]


def base(number: int) -> Dataset:
    ds = Dataset()
    ds.file_meta = pydicom.dataset.FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.1"
    ds.SpecificCharacterSet = "ISO_IR 192"
    ds.SOPClassUID, ds.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.4", f"2.25.77.{number}"
    ds.StudyInstanceUID, ds.SeriesInstanceUID = "2.25.78", "2.25.79"
    ds.Modality, ds.Manufacturer, ds.InstanceNumber = "MR", "ACME", str(number)
    ds.PatientName, ds.PatientID = f"{NAME}^{WIDE}={WIDE}", MRN
    ds.Rows = ds.Columns = 2
    ds.SamplesPerPixel, ds.PhotometricInterpretation, ds.PixelRepresentation = 1, "MONOCHROME2", 0
    ds.BitsAllocated = ds.BitsStored = 8
    ds.HighBit, ds.PixelData = 7, b"\1\2\3\4"
    ds["PixelData"].VR = "OB"
    return ds


def second() -> bytes:
    """Return another instance, which tells the identifiers of the first in its descriptions."""
    ds = base(2)
    ds.SeriesDescription, ds.ProtocolName = f"{NAME} {MRN}", f"{ACCESSION} {WIDE}"
    return written(ds)


def written(ds: Dataset) -> bytes:
    out = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ds.save_as(out, enforce_file_format=True)
    return out.getvalue()


@pytest.mark.parametrize(
    "options", ["", "modified-dates", "clean-descriptors, clean-structured-content, clean-graphics, safe-private"]
)
def test_nothing_is_left_in_38_places(desk: Desk, options: str) -> None:
    places: dict[str, bytes] = {}
    name, data = first(places)
    places["after the end"] = b"ZQXTAILTAIL"
    desk.put({name: data + places["after the end"], "other.dcm": second()})
    desk.rules(f"dicom:\n  ps3-15: {{profile: basic, options: [{options}]}}\n  fields:\n    - requires: fw-gear-deid\n")
    assert len(places) == 38
    done = desk.run()
    assert done.code == 0, done.err + str(desk.reasons())
    there = desk.there()
    told = b"".join([*(plain(one) for one in there.values()), *(path.encode() for path in there)])
    # what an option keeps of a text that nobody can tell from a word
    kept = {"StudyDescription", "ImageComments", "PatientComments", "RequestedProcedureDescription", "DocumentTitle"}
    kept |= {"TextValue in content", "UnformattedTextValue"}
    left = {place for place, value in places.items() if value in told}
    assert left <= (kept if "clean-descriptors" in options else set())
    assert b"ACME" in told
