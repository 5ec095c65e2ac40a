"""Entries of a dicom section → warnings of people who can still be told: names, ages, text in the pixels."""

from __future__ import annotations

from collections.abc import Iterator

from fw_gear_deid.profile.advice.view import Advice, View, at, listed, removes

# attributes of VR PN that stand at the top level, or inside sequences of many files; the commonest first
NAMES = (
    "PatientName", "ReferringPhysicianName", "OperatorsName", "PerformingPhysicianName", "NameOfPhysiciansReadingStudy",
    "RequestingPhysician", "OtherPatientNames", "PhysiciansOfRecord", "ContentCreatorName", "PersonName",
    "ScheduledPerformingPhysicianName", "PatientBirthName", "PatientMotherBirthName", "ResponsiblePerson",
    "VerifyingObserverName", "ConsultingPhysicianName", "ReviewerName", "ROIInterpreter", "OrderEnteredBy",
    "HumanPerformerName", "InterpretationRecorder", "InterpretationTranscriber", "InterpretationAuthor",
    "PhysicianApprovingInterpretation", "NamesOfIntendedRecipientsOfResults", "EvaluatorName", "DistributionName",
)  # fmt: skip
_SHOWN = 5
_PATIENT_AGE = "PatientAge"
_TOP_CODED = "a regex-sub on PatientAge can write 090Y for them"


def names_stay(view: View) -> Iterator[Advice]:
    """Warn of names of persons that come out as they went in."""
    left = [keyword for keyword in NAMES if view.stays(keyword)]
    more = len(left) - _SHOWN
    if left:
        told = listed(left) if more <= 1 else f"{', '.join(left[:_SHOWN])} and {more} more"
        yield view.here(f"names of persons stay in {told}: remove or empty them")


def ages_stay(view: View) -> Iterator[Advice]:
    """Warn where an age above 89 years is told, one of the identifiers of 45 CFR 164.514(b)(2)."""
    ruled = view.ruling(_PATIENT_AGE)
    if view.section.flag("patient-age-from-birthdate"):
        if not ruled or view.stays(_PATIENT_AGE):
            message = f"ages above 89 years are written as they are: {_TOP_CODED}"
            yield view.option("patient-age-from-birthdate", message)
    elif view.stays(_PATIENT_AGE):
        message = f"ages above 89 years stay: {_TOP_CODED}"
        yield at(ruled[0], message) if ruled else view.here(message)


def pixels_stay(view: View) -> Iterator[Advice]:
    """Warn of text in the pixels, which no rule of a section looks at."""
    masked = any(view.section.options.get(word) is not None for word in ("alter_pixels", "alter-pixels"))
    if (
        not view.by_standard
        and not masked
        and not view.section.lists("accept", "burned-in")
        and not any(map(removes, view.ruling("PixelData")))
    ):
        what = "text drawn into the pixels is not looked at"
        yield view.here(f"{what}: see for yourself in secondary captures and ultrasound, or --exclude these files")
