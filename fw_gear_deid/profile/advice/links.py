"""Entries of a dicom section → warnings of elements that still tell what others hide: dates, UIDs, references."""

from __future__ import annotations

from collections.abc import Iterator

from fw_gear_deid.actions import hashuid
from fw_gear_deid.profile.advice.view import Advice, View, at, listed, moves, removes
from fw_gear_deid.profile.language.entries import Entry

# dates and date-times of one visit, the commonest first: one of them tells the others
_MOMENTS = (
    "StudyDate", "SeriesDate", "AcquisitionDate", "ContentDate", "AcquisitionDateTime", "InstanceCreationDate",
    "PerformedProcedureStepStartDate", "PerformedProcedureStepEndDate", "FrameAcquisitionDateTime",
    "FrameReferenceDateTime", "IssueDateOfImagingServiceRequest", "ScheduledProcedureStepStartDate",
    "ScheduledProcedureStepEndDate", "RadiopharmaceuticalStartDateTime", "DateOfSecondaryCapture",
)  # fmt: skip
_BORN, _AGE = "PatientBirthDate", "PatientAge"
_FAMILY = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "FrameOfReferenceUID")
# UID → the attributes that refer to it inside sequences
_REFERRED = {
    "StudyInstanceUID": ("ReferencedSOPInstanceUID",),
    "SOPInstanceUID": ("ReferencedSOPInstanceUID",),
    "FrameOfReferenceUID": ("ReferencedFrameOfReferenceUID", "RelatedFrameOfReferenceUID"),
}


def moments_stay(view: View) -> Iterator[Advice]:
    """Warn where some dates of a visit move and others stay: they tell the true day, and by how much all moved."""
    moving, first = _moving(view)
    stays = [keyword for keyword in _MOMENTS if view.stays(keyword)]
    if first is not None and stays:
        yield at(first, f"{moving} moves, and {_left(stays, 'tell')} the true day; move or remove as well")


def ages_tell_the_distance(view: View) -> Iterator[Advice]:
    """Warn where dates move and a birth date and an age stay: their sum is the true day, within what the age counts."""
    moving, first = _moving(view)
    told = view.stays(_AGE) or view.section.flag("patient-age-from-birthdate")
    if first is not None and told and view.stays(_BORN):
        message = (
            f"{moving} moves, and {_BORN} stays beside {_AGE}: they tell by how much; move or remove {_BORN} as well"
        )
        yield at(first, message)


def uids_tell_the_day(view: View) -> Iterator[Advice]:
    """Warn where dates move and UIDs stay that scanners make of the clock."""
    moving, first = _moving(view)
    stays = [keyword for keyword in _FAMILY if view.stays(keyword)]
    if first is not None and stays:
        verb = "stay" if len(stays) > 1 else "stays"
        message = f"{moving} moves, and {listed(stays)} {verb}: scanners write the day into UIDs; hash as well"
        yield at(first, message)


def uids_of_one_family(view: View) -> Iterator[Advice]:
    """Warn where some UIDs of an instance are hashed and others stay, by which it is found again."""
    for keyword, entry in _hashed(view)[:1]:
        stays = [other for other in _FAMILY if view.stays(other)]
        if stays:
            yield at(entry, f"{keyword} is hashed, and {_left(stays, 'tell')} the source; hash as well")


def references_stay(view: View) -> Iterator[Advice]:
    """Warn where a UID is hashed and what refers to it stays: a broken link, and the original in clear."""
    for keyword, entry in _hashed(view) if not view.section.flag("follow-uids") else ():
        stays = [other for other in _REFERRED.get(keyword, ()) if view.stays_below(other)]
        if stays and not any(map(removes, view.ruling(keyword))):
            how = "hash as well" if view.recursive else "hash as well, with recurse-sequence: true"
            told = _left(stays, "still tell")
            yield at(entry, f"{keyword} is hashed, and {told} the original inside sequences; {how}")


def _moving(view: View) -> tuple[str, Entry | None]:
    """Return the first date of the visit that moves, and the entry that moves it."""
    found = ((keyword, entry) for keyword in _MOMENTS for entry in view.ruling(keyword) if moves(entry))
    return next(found, ("", None))


def _hashed(view: View) -> list[tuple[str, Entry]]:
    """Return the UIDs that are hashed, each with its first entry."""
    found: dict[str, Entry] = {}
    for keyword in _FAMILY:
        for entry in view.ruling(keyword):
            if entry.action.key == hashuid.SPEC.key:
                found.setdefault(keyword, entry)
    return list(found.items())


def _left(keywords: list[str], verb: str) -> str:
    """Return ``A stays: it tells`` or ``A and B stay: they tell``."""
    one = len(keywords) == 1
    return f"{listed(keywords)} {f'stays: it {verb}s' if one else f'stay: they {verb}'}"
