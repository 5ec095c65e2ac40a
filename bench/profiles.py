"""Names of profiles → text of the language that our command and its reference share."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from pydicom._dicom_dict import DicomDictionary

from bench import SHARED

_UIDS = "".join(f"  - name: {name}InstanceUID\n    hashuid: true\n" for name in ("Study", "Series", "SOP"))
_EMPTIED = """
    AccessionNumber AdditionalPatientHistory AdmittingDiagnosesDescription Allergies BranchOfService
    ConsultingPhysicianName CountryOfResidence CurrentPatientLocation EthnicGroup InsurancePlanIdentification
    InstitutionAddress InstitutionName IssuerOfPatientID LastMenstrualDate MedicalAlerts MedicalRecordLocator
    MilitaryRank NameOfPhysiciansReadingStudy Occupation OperatorsName OrderEnteredBy OtherPatientNames PatientAddress
    PatientComments PatientID PatientInsurancePlanCodeSequence PatientMotherBirthName PatientName
    PatientReligiousPreference PatientTelephoneNumbers PerformingPhysicianName PhysiciansOfRecord ReasonForStudy
    ReferringPhysicianAddress ReferringPhysicianName ReferringPhysicianTelephoneNumbers RegionOfResidence
    RequestAttributesSequence RequestedProcedureComments RequestedProcedureDescription RequestingPhysician
    ResponsibleOrganization ResponsiblePerson ScheduledPerformingPhysicianName SmokingStatus SpecialNeeds
    StudyDescription StudyID PatientBirthTime RequestingService
"""
_REMOVED = """
    AccessionNumber AcquisitionProtocolDescription AdditionalPatientHistory AdmittingDiagnosesDescription
    ClinicalTrialSiteName ClinicalTrialSubjectID ContentCreatorName ContentSequence DerivationDescription
    DeviceDescription EthnicGroup ImageComments InstitutionAddress InstitutionName InstitutionalDepartmentName
    MedicalRecordLocator MilitaryRank NameOfPhysiciansReadingStudy Occupation OperatorsName OriginalAttributesSequence
    OtherPatientIDs OtherPatientNames PatientAddress PatientBirthName PatientBirthTime PatientComments
    PatientMotherBirthName PatientName PatientTelephoneNumbers PerformedStationName PerformingPhysicianName
    PersonAddress PhysiciansOfRecord ProtocolName ReferringPhysicianAddress ReferringPhysicianName
    RequestAttributesSequence RequestedProcedureDescription RequestingPhysician ResponsiblePerson ScheduledStationName
    StationName StudyComments StudyDescription
"""
_ZIP = "zip:\n  filenames:\n  - output: '{filename}.zip'\n    input-regex: '^(?P<filename>.+)\\.zip$'\n"
_LEFT_ALONE = {0x0002, 0x0028, 0x7FE0}  # what tells how to read the rest


def site() -> str:
    """Return fields that are emptied, and made where missing: a site's profile."""
    return "dicom:\n  patient-age-from-birthdate: true\n  patient-age-units: Y\n  fields:\n" + _fields(
        _EMPTIED.split(), "replace-with: ''"
    )


def block_list() -> str:
    """Return fields and private elements that are removed."""
    head = "dicom:\n  remove-private-tags: true\n  date-increment: 14\n  fields:\n"
    return (
        head + "  - name: PatientID\n    replace-with: REDACTED\n" + _UIDS + _fields(_REMOVED.split(), "remove: true")
    )


def many(count: int) -> str:
    """Return a number of rules, spread over the dictionary, at every depth."""
    keywords = [
        row[4] for tag, row in sorted(DicomDictionary.items())
        if row[4] and not row[3] and tag >> 16 not in _LEFT_ALONE and row[0] not in ("UI", "CS", "OW", "OB or OW")
        and "or" not in row[0].split() and row[4] != "PatientID"
    ]  # fmt: skip
    chosen = [keywords[number * len(keywords) // count] for number in range(count - 3)]
    return "dicom:\n  recurse-sequence: true\n  fields:\n" + _UIDS + _fields(chosen, "remove: true")


def _fields(keywords: Iterable[str], action: str) -> str:
    return "".join(f"  - name: {keyword}\n    {action}\n" for keyword in keywords)


def write(folder: Path) -> None:
    """Write all; a shared one takes the place of ours of its kind.

    ``NAME_zip`` is the same with the section that the reference wants for archives.
    """
    folder.mkdir(parents=True, exist_ok=True)
    texts = {"site": _shared("upenn4") or site(), "block-list": _shared("blocklist") or block_list()}
    texts |= {f"rules-{count}": many(count) for count in (20, 620, 2900)}
    for name, text in texts.items():
        (folder / f"{name}.yaml").write_text(text, encoding="utf-8")
        (folder / f"{name}_zip.yaml").write_text(text + _ZIP, encoding="utf-8")


def _shared(name: str) -> str | None:
    path = SHARED / f"bench/profiles/{name}.yaml"
    return path.read_text(encoding="utf-8") if path.exists() else None


if __name__ == "__main__":
    import sys

    write(Path(sys.argv[1]))
