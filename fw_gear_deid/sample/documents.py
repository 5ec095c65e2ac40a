"""Visit → what is written about its images: a structured report, a letter, a converter's sidecar."""

from __future__ import annotations

import json

from pydicom.dataset import Dataset

from fw_gear_deid.sample.canaries import birth_date
from fw_gear_deid.sample.headers import Series, Visit, common, dataset
from fw_gear_deid.sample.images import MR_PHYSICS


def structured_report(series: Series) -> Dataset:
    """Return a basic text report: a container with observer, finding and a section below (PS3.3 §A.35.1)."""
    visit = series.visit
    born = birth_date(visit.subject)
    finding = f"{visit.canary('FAMILY')}, born {born}: no abnormality ({visit.canary('FINDING')})."
    conclusion = f"Call {visit.canary('CALL')} with the result."
    ds = common(series, 1)
    ds.update(
        dataset(
            ContentDate=ds.StudyDate,
            ContentTime=ds.StudyTime,
            CompletionFlag="COMPLETE",
            VerificationFlag="UNVERIFIED",
            ReferencedPerformedProcedureStepSequence=[],
            PerformedProcedureCodeSequence=[],
            ValueType="CONTAINER",
            ContinuityOfContent="SEPARATE",
            ConceptNameCodeSequence=[_code("18748-4", "LN", "Diagnostic imaging report")],
            ContentSequence=[
                dataset(
                    RelationshipType="HAS OBS CONTEXT",
                    ValueType="PNAME",
                    ConceptNameCodeSequence=[_code("121008", "DCM", "Person Observer Name")],
                    PersonName=visit.canary("OBSERV"),
                ),
                _text("121071", "Finding", finding),
                dataset(
                    RelationshipType="CONTAINS",
                    ValueType="CONTAINER",
                    ContinuityOfContent="SEPARATE",
                    ConceptNameCodeSequence=[_code("121076", "DCM", "Conclusions")],
                    ContentSequence=[_text("121077", "Conclusion", conclusion)],
                ),
            ],
        )
    )
    return ds


def _text(code: str, meaning: str, text: str) -> Dataset:
    return dataset(
        RelationshipType="CONTAINS",
        ValueType="TEXT",
        ConceptNameCodeSequence=[_code(code, "DCM", meaning)],
        TextValue=text,
    )


def _code(value: str, scheme: str, meaning: str) -> Dataset:
    return dataset(CodeValue=value, CodingSchemeDesignator=scheme, CodeMeaning=meaning)


def letter(visit: Visit) -> str:
    """Return a report as plain text."""
    return (
        f"Patient: {visit.canary('GIVEN')} {visit.canary('FAMILY')}, born {birth_date(visit.subject)}\n"
        f"MRN: {visit.canary('MRN')}   Accession: {visit.accession}   Date: {visit.day.isoformat()}\n"
        f"\nNo abnormality. Copy to {visit.canary('LETTER')}.\n"
    )


def sidecar(visit: Visit) -> str:
    """Return JSON as a converter writes it beside an MR series."""
    content = {
        "Modality": "MR",
        **{keyword: float(text) for keyword, text in MR_PHYSICS.items()},
        "PatientName": visit.name,
        "PatientBirthDate": birth_date(visit.subject),
        "AcquisitionDateTime": f"{visit.day.isoformat()}T10:21:00",
        "Comments": f"checked by {visit.canary('SIDECAR')}",
    }
    return json.dumps(content, indent=2) + "\n"
