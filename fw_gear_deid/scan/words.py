"""Names of elements and fields → whether they hold an identifier; texts → what they tell.

The first seventeen are those that the utilities of the University of Pennsylvania look at, so that their users find the
same fields here.
"""

from __future__ import annotations

import re

from fw_gear_deid.model.dictionary import keyword_of, public_vr
from fw_gear_deid.model.person import is_placeholder, plain
from fw_gear_deid.verify.cleaned import told_by
from fw_gear_deid.verify.known import Known

PENN = (
    "AdditionalPatientHistory", "CurrentPatientLocation", "OtherPatientIDs", "OtherPatientIDsSequence",
    "OtherPatientNames", "PatientAddress", "PatientAlternativeCalendar", "PatientBirthDate",
    "PatientBirthDateInAlternativeCalendar", "PatientBirthName", "PatientBirthTime",
    "PatientDeathDateInAlternativeCalendar", "PatientID", "PatientMotherBirthName", "PatientName",
    "PatientTelecomInformation", "PatientTelephoneNumbers",
)  # fmt: skip
_OTHERS = frozenset({
    "AccessionNumber", "AdmissionID", "LocalNamespaceEntityID", "SourceApplicationEntityTitle",
    "UniversalEntityID", "BranchOfService", "ClinicalTrialSubjectID", "CountryOfResidence",
    "DeviceSerialNumber", "EthnicGroup", "FillerOrderNumberImagingServiceRequest", "InstitutionAddress",
    "InstitutionName", "InstitutionalDepartmentName", "InsurancePlanIdentification", "IssuerOfAdmissionID",
    "IssuerOfPatientID", "MedicalRecordLocator", "MilitaryRank", "OrderCallbackPhoneNumber", "OrderEntererLocation",
    "PatientInsurancePlanCodeSequence", "PatientReligiousPreference", "PatientResidence", "PerformedProcedureStepID",
    "PersonAddress", "PersonTelecomInformation", "PersonTelephoneNumbers", "PhysicianOfRecordTelephoneNumbers",
    "PlacerOrderNumberImagingServiceRequest", "ReferringPhysicianAddress", "ReferringPhysicianTelephoneNumbers",
    "RegionOfResidence", "RequestedProcedureID", "ResponsibleOrganization", "ScheduledProcedureStepID",
    "ServiceEpisodeID", "StationName", "StudyID",
})  # fmt: skip
"""Others that tell of a person or of a place, beside every element of VR PN."""
THINGS = frozenset({"DeviceSerialNumber", "SourceApplicationEntityTitle", "StationName"})
"""Those of a machine."""
TEXT_VRS = frozenset({"LO", "LT", "SH", "ST", "UC", "UR", "UT", "AE", "PN"})
_CODES = frozenset({"CodeValue", "CodingSchemeDesignator", "CodingSchemeVersion", "LongCodeValue", "SoftwareVersions"})
"""Elements whose numbers are of a list that everybody has."""
_OURS = re.compile(
    r"(?<![0-9A-Za-z])(?:(?:sub|ses|acq|file|folder)-[0-9a-f]{12}|(?=\d*[a-f])[0-9a-f]{16,64})(?![0-9A-Za-z])"
)
"""Pseudonyms and digests, as de-identification writes them; digits alone are a number that somebody gave."""
_UID = re.compile(r"[0-2](?:\.\d+){3,}|(?<![\d.])2\.25\.\d{20,39}(?!\d)")
_MAKERS = frozenset({"Manufacturer", "ManufacturerModelName", "ImplementationVersionName"})
"""Elements in which makers write their own names."""
_TITLED = re.compile(
    r"\b(?:Dr|Prof|Mr|Mrs|Ms|Miss|Herr|Frau|Hr|Fr|Mme|Mlle|Sr|Sra|MD)\.? {1,2}(?:[A-Z]\. ?)*[A-Z][a-z]{2,}"
)
_DAY = re.compile(r"(?<!\d)(?:19|20)\d\d(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])(?!\d)")
_NUMBER = "a long number"
NAMES = "what looks like a name"


def names_person(tag: int) -> bool:
    """Tell whether a public element holds an identifier: one that Penn's utilities look at, a PN, a table of others."""
    keyword = keyword_of(tag)
    return keyword in PENN or keyword in _OTHERS or public_vr(tag) == "PN"


def is_code(tag: int) -> bool:
    """Tell whether the numbers in an element are everybody's."""
    return keyword_of(tag) in _CODES


def is_makers(tag: int) -> bool:
    """Tell whether an element names a maker or its product: a station's name is often one of these."""
    return keyword_of(tag) in _MAKERS or is_code(tag)


def is_of_person(tag: int) -> bool:
    """Tell whether an identifier is a person's or a place's, so that it tells in other places, too; not a machine's."""
    return keyword_of(tag) not in THINGS | {"StudyID"}


def says_nobody(text: str) -> bool:
    """Tell whether the value of an identifier tells nobody: blank, a placeholder, a pseudonym of ours."""
    bare = plain(text.replace("^", " ").replace("=", " "))
    return is_placeholder(bare) or _OURS.fullmatch(bare) is not None


def tells(text: str, *, numbers: bool = True) -> str:
    """Return what a text tells, in words that quote nothing of it; empty when it tells nothing.

    Parameters
    ----------
    text : str
    numbers : bool
        A long number that is no date counts.
    """
    bare = _OURS.sub(" ", _UID.sub(" ", text)).strip("\0 ")
    if not bare:
        return ""
    if _DAY.search(bare):
        return "a date"
    if _TITLED.search(bare):
        return NAMES
    found = told_by(bare, _NOTHING)
    return "" if found == _NUMBER and not numbers else found


_NOTHING = Known()
