"""Folder and number of subjects → a small made-up project, and the identifiers that are planted in it.

The tree is ``SUBJECT/SESSION/ACQUISITION/FILE``, as a site would export it, for trying the whole gear.
Nothing in it comes from a person, and two runs write the same bytes.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from pathlib import Path

from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    RLELossless,
)

from fw_gear_deid.model.errors import UsageError
from fw_gear_deid.sample import documents, images
from fw_gear_deid.sample.archive import pack
from fw_gear_deid.sample.canaries import MARKER, MAX_SUBJECTS, Part, Planted, in_text
from fw_gear_deid.sample.encode import encode
from fw_gear_deid.sample.headers import UID_ROOT, Series, Visit
from fw_gear_deid.sample.images import MR_PHYSICS

__all__ = ["MARKER", "MAX_SUBJECTS", "MR_PHYSICS", "NAMED", "UID_ROOT", "Planted", "make_sample"]

NAMED = 2
"""The subject whose name stands in a SeriesDescription, too."""
Files = Iterator[tuple[str, Part]]  # path below the session folder, and content


def make_sample(folder: Path, subjects: int = 3) -> list[Planted]:
    """Write a made-up project and return every identifier in it with its place.

    Study dates and UIDs identify as well, but are not listed: profiles may shift or keep them. Every UID
    but those of the standard starts with ``UID_ROOT``. Every MR instance has the values of ``MR_PHYSICS``,
    which no profile should touch.

    Parameters
    ----------
    folder : Path
        New or empty.
    subjects : int, 1 to ``MAX_SUBJECTS``
        The first has a name in three scripts, the second one its name in a SeriesDescription; each has every kind of
        file.

    Raises
    ------
    UsageError
        The folder holds something already, or the number is out of range.
    """
    if not 1 <= subjects <= MAX_SUBJECTS:
        raise UsageError(f"the number of subjects must be from 1 to {MAX_SUBJECTS}")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(f"{folder}: exists and is no empty folder; name a new one")
    planted: list[Planted] = []
    for subject in range(1, subjects + 1):
        for visit, files in ((Visit(subject, 1), _first_visit), (Visit(subject, 2), _second_visit)):
            session = f"{visit.canary('MRN')}/{visit.day.isoformat()}_{visit.accession}"
            for name, part in files(visit):
                path = f"{session}/{name}"
                target = folder / path
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(part.data)
                planted += _in_names(path)
                planted += [Planted(path, place, value) for place, value in part.planted]
    return list(dict.fromkeys(planted))  # a folder's name is met with each of its files


def _in_names(path: str) -> Iterator[Planted]:
    """Yield what the names of a file and of its folders carry."""
    parts = path.split("/")
    for depth, name in enumerate(parts, 1):
        place = "file name" if depth == len(parts) else "folder name"
        yield from (Planted("/".join(parts[:depth]), place, value) for value in in_text(name))


def _first_visit(visit: Visit) -> Files:
    """Yield MR as a deflated archive with a sidecar and as a stored one, and the reports."""
    family, sender = visit.canary("FAMILY"), visit.canary("SENDER")
    anatomy = Series(visit, 1, "MR", "T1_MPRAGE")
    yield f"T1_MPRAGE/T1_{family}.dicom.zip", _anatomy(anatomy)
    yield f"T1_MPRAGE/T1_{family}.json", _text(documents.sidecar(visit))
    diffusion = Series(visit, 2, "MR", "DTI")
    slices = {
        f"{diffusion.uid}/{n}.dcm": encode(images.ge_mr(diffusion, n), ImplicitVRLittleEndian, sender=sender)
        for n in (1, 2)
    }
    yield "DTI/dti.dicom.zip", pack(slices, zipfile.ZIP_STORED)
    report = documents.structured_report(Series(visit, 3, "SR", "Report"))
    yield "Report/report.dcm", encode(report, DeflatedExplicitVRLittleEndian, sender=sender)
    yield f"Report/report_{family}.txt", _text(documents.letter(visit))


def _second_visit(visit: Visit) -> Files:
    """Yield CT as a deflated archive and an ultrasound loop as a file of its own."""
    sender = visit.canary("SENDER")
    abdomen = Series(visit, 1, "CT", "Abdomen")
    slices = {
        f"CT{number:04d}": encode(images.big_endian_ct(abdomen, number), ExplicitVRBigEndian, sender=sender)
        for number in (1, 2)
    }
    yield f"Abdomen/{abdomen.uid}.dicom.zip", pack(slices, zipfile.ZIP_DEFLATED)
    # somebody typed a name where a description belongs
    description = f"Liver {visit.canary('FAMILY')}" if visit.subject == NAMED else "Liver"
    loop = encode(
        images.rle_ultrasound(Series(visit, 2, "US", description), frames=3),
        RLELossless,
        sender=sender,
        preamble=f"US {visit.canary('PREAMB')}",
    )
    yield f"Liver {visit.canary('ACQUIS')}/US_{visit.canary('MRN')}.dcm", loop


def _anatomy(series: Series) -> Part:
    """Return an archive with everything that can be wrong around and inside its three slices."""
    visit = series.visit
    top = visit.canary("MRN")
    names = ("IM0001", "IM0002", "IM0003.dcm")
    members = {
        f"{top}/{name}": encode(
            images.siemens_mr(series, number),
            ExplicitVRLittleEndian,
            sender=visit.canary("SENDER"),
            preamble=f"Sent by {visit.canary('PREAMB')}",
            after=f"printed for {visit.canary('TRAILER')}" if number == len(names) else "",
        )
        for number, name in enumerate(names, 1)
    }
    members[f"{top}/.DS_Store"] = _text(f"\0\0\0\1Bud1 {visit.canary('FINDER')}\0")
    members[f"__MACOSX/{top}/._IM0001"] = _text(f"\0\5\26\7 downloaded by {visit.canary('MACOS')}\0")
    return pack(
        members,
        zipfile.ZIP_DEFLATED,
        comment=f"Exported for {visit.canary('ZIPNOTE')}",
        entry=f"from {visit.canary('ENTRY')}",
    )


def _text(text: str) -> Part:
    return Part(text.encode(), tuple(("content", value) for value in in_text(text)))
