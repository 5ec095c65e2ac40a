"""Series of a visit → the header that its instances share, with an identifier wherever sites have one."""

from __future__ import annotations

from datetime import date, timedelta

from pydicom.dataset import Dataset
from pydicom.uid import BasicTextSRStorage, CTImageStorage, MRImageStorage, UltrasoundMultiFrameImageStorage

from fw_gear_deid.model.frozen import frozen
from fw_gear_deid.sample.canaries import IDEOGRAPHIC, PHONETIC, birth_date, canary

UID_ROOT = "2.25.301870562219446518"  # ours; followed by subject, session, series and instance
_FIRST_VISIT = date(2021, 3, 4)
_BETWEEN_VISITS = timedelta(days=182)
_SOP_CLASSES = {
    "MR": MRImageStorage,
    "CT": CTImageStorage,
    "US": UltrasoundMultiFrameImageStorage,
    "SR": BasicTextSRStorage,
}


@frozen
class Visit:
    """One session of one subject; both are counted from 1."""

    subject: int
    session: int

    def canary(self, place: str) -> str:
        """Return the subject's identifier for a place."""
        return canary(self.subject, place)

    @property
    def name(self) -> str:
        """The subject's name as DICOM writes it, without other scripts."""
        return f"{self.canary('FAMILY')}^{self.canary('GIVEN')}"

    @property
    def accession(self) -> str:
        """Number of the order."""
        return self.canary(f"ACC{self.session}")

    @property
    def day(self) -> date:
        """Date of the study; the visits of a subject are half a year apart."""
        return _FIRST_VISIT + timedelta(days=self.subject) + _BETWEEN_VISITS * (self.session - 1)

    @property
    def uid(self) -> str:
        """StudyInstanceUID."""
        return f"{UID_ROOT}.{self.subject}.{self.session}"


@frozen
class Series:
    """One series of a visit.

    Attributes
    ----------
    visit : Visit
    number : int, from 1
    modality : str
        ``MR``, ``CT``, ``US`` or ``SR``.
    description : str
    """

    visit: Visit
    number: int
    modality: str
    description: str

    @property
    def uid(self) -> str:
        """SeriesInstanceUID."""
        return f"{self.visit.uid}.{self.number}"


def dataset(**values: object) -> Dataset:
    """Return a data set of elements by keyword."""
    ds = Dataset()
    for keyword, value in values.items():
        setattr(ds, keyword, value)
    return ds


def common(series: Series, instance: int) -> Dataset:
    """Return patient, study, series, equipment and SOP common modules (PS3.3 §C.7, §C.12.1)."""
    visit = series.visit
    day = f"{visit.day:%Y%m%d}"
    ds = _patient(visit)
    ds.update(
        dataset(
            SOPClassUID=_SOP_CLASSES[series.modality],
            SOPInstanceUID=f"{series.uid}.{instance}",
            StudyDate=day,
            SeriesDate=day,
            StudyTime="101500",
            SeriesTime="102000",
            AccessionNumber=visit.accession,
            Modality=series.modality,
            Manufacturer="ACME",
            ManufacturerModelName="Model 7",
            InstitutionName=f"Hospital {visit.canary('INST')}",
            ReferringPhysicianName=visit.canary("REFER"),
            OperatorsName=[visit.canary("OPERA"), visit.canary("OPERB")],
            StationName=visit.canary("STATION"),
            StudyDescription=f"Follow-up, see {visit.canary('STUDY')}",
            SeriesDescription=series.description,
            DeviceSerialNumber=visit.canary("SERIAL"),
            SoftwareVersions="E11",
            StudyInstanceUID=visit.uid,
            SeriesInstanceUID=series.uid,
            StudyID=str(visit.session),
            SeriesNumber=str(series.number),
            InstanceNumber=str(instance),
            RequestAttributesSequence=[
                dataset(
                    RequestedProcedureDescription=f"For {visit.canary('REQUEST')}",
                    ScheduledProcedureStepID=visit.canary("STEP"),
                    RequestedProcedureID=visit.canary("PROCED"),
                )
            ],
        )
    )
    ds["RequestAttributesSequence"].is_undefined_length = True
    return ds


def _patient(visit: Visit) -> Dataset:
    """Return the patient module; the first subject's name stands in three scripts (PS3.5 §6.2.1)."""
    name, charset = visit.name, "ISO_IR 100"
    if visit.subject == 1:
        number = f"{visit.subject:03d}"
        name, charset = f"{name}={IDEOGRAPHIC}{number}={PHONETIC}{number}", "ISO_IR 192"
    return dataset(
        SpecificCharacterSet=charset,
        PatientName=name,
        PatientID=visit.canary("MRN"),
        PatientBirthDate=birth_date(visit.subject),
        PatientSex="O",
        PatientAddress=f"1 {visit.canary('STREET')} Road",
        OtherPatientIDsSequence=[
            dataset(
                PatientID=visit.canary("OTHERA"),
                TypeOfPatientID="TEXT",
                IssuerOfPatientIDQualifiersSequence=[
                    dataset(
                        UniversalEntityID=visit.canary("ISSUER"),
                        UniversalEntityIDType="DNS",
                        AssigningFacilitySequence=[dataset(LocalNamespaceEntityID=visit.canary("CLINIC"))],
                    )
                ],
            ),
            dataset(PatientID=visit.canary("OTHERB"), TypeOfPatientID="TEXT"),
        ],
    )
