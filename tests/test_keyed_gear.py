"""The key on a platform: no job without one, and containers move with what is in them."""

from __future__ import annotations

import io
import json
from datetime import date, datetime

import pydicom
import pytest

pytest.importorskip("flywheel")

from tests.desk import instance
from tests.site import PROFILE, Site

KEYED = """\
date-shift-range: 900
dicom:
  fields:
    - requires: fw-gear-deid
    - {name: PatientName, remove: true}
    - {name: PatientID, replace-with: '{{ subject.pseudonym }}'}
    - {name: StudyInstanceUID, hashuid: keyed}
    - {name: StudyDate, increment-date: keyed}
flywheel:
  subject: {fields: [{name: date_of_birth, increment-date: keyed}]}
  session: {all: true, fields: [{name: label, hash: keyed}, {name: uid, hashuid: keyed}, {name: operator, remove: true}]}
  file: {fields: [{name: info.StudyInstanceUID, hashuid: keyed}, {name: info.date, increment-date: keyed}]}
"""
KEY = "a secret of this job alone"
BORN, DAY = date(1970, 1, 15), date(2020, 3, 1)


def stock(site: Site) -> None:
    """Make two subjects with two sessions each, one file in each."""
    for label in ("S1", "S2"):
        subject = site.world.add_subject(site.source, label, date_of_birth=f"{BORN}T00:00:00.000Z")
        for visit in (1, 2):
            data = instance(label, study=visit, StudyDate="20200301", PatientBirthDate="19700115")
            uid = str(pydicom.dcmread(io.BytesIO(data)).StudyInstanceUID)
            session = site.world.add_session(subject, f"V{visit}", timestamp=f"{DAY}T23:59:59.500+02:00", uid=uid)
            acquisition = site.world.add_acquisition(session, "T1")
            site.world.add_file(
                acquisition, "a.dcm", data, type="dicom", info={"StudyInstanceUID": uid, "date": "2020-03-01"}
            )


@pytest.mark.parametrize("word", ["hash: keyed", "jitter: true"])
def test_no_job_goes_by_a_secret_that_anybody_can_guess(site: Site, word: str) -> None:
    stock(site)
    text = f"dicom:\n  fields:\n    - requires: fw-gear-deid\n    - {{name: PatientID, {word}}}\n"
    text = text if "keyed" in word else PROFILE
    code, said = site.here(profile=text)
    if "keyed" in word:
        assert code == 2
        assert said == (
            "fw-gear-deid: p.yaml: hash: keyed (line 4) goes by a secret, and this job has none: "
            "give input key_file, or the context value deid_secret\n"
        )
        assert site.world.log.count("^POST (?!/lookup)") == 0
        return
    assert code == 0, said
    assert said.splitlines()[1].startswith("this job has no secret")
    summary = json.loads((site.folder / "gear" / "output" / "summary.json").read_text())
    assert next(iter(summary)) == "warnings" and "no secret" in summary["warnings"][0]


@pytest.mark.parametrize("how", ["key_file", "secret"])
def test_containers_files_and_headers_move_together(site: Site, how: str) -> None:
    stock(site)
    code, said = site.here(profile=KEYED, **{how: KEY})
    assert code == 0, said
    distances: dict[str, set[int]] = {}
    for file in site.world.files.values():
        session = file.parent.above("session")
        subject = file.parent.above("subject")
        if file.parent.above("project") is not site.destination or session is None or subject is None:
            continue
        found = pydicom.dcmread(io.BytesIO(file.content))
        moved = date.fromisoformat(found.StudyDate[:4] + "-" + found.StudyDate[4:6] + "-" + found.StudyDate[6:])
        stamp = datetime.fromisoformat(session.fields["timestamp"])
        assert stamp == datetime.fromisoformat(f"{moved}T23:59:59.500+02:00")
        assert date.fromisoformat(subject.fields["date_of_birth"][:10]) - BORN == moved - DAY
        assert session.fields["uid"] == file.info["StudyInstanceUID"] == found.StudyInstanceUID
        assert file.info["date"] == moved.isoformat()
        assert subject.label == found.PatientID
        distances.setdefault(subject.label, set()).add((DAY - moved).days)
    assert len(distances) == 2 and all(len(days) == 1 and 1 <= min(days) <= 900 for days in distances.values())
    assert len(set(map(min, distances.values()))) == 2
