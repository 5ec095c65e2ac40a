"""Companions in a platform's project and in archives: one shift, one stem, and a sidecar goes with its image."""

from __future__ import annotations

import io
import json
import zipfile
from datetime import date

from tests.desk import Desk, instance, packed
from tests.nifti_files import volume
from tests.site import Site, kept, scan

RULES = """\
name: companions
dicom:
  date-increment: -1000
  fields:
    - {name: PatientName, remove: true}
    - {name: PatientID, hash: true}
    - {name: StudyDate, increment-date: true, jitter-date: true, jitter-range: 300}
json:
  date-increment: -1000
  fields:
    - {name: PatientName, remove: true}
    - {name: StudyDate, increment-date: true, date-format: '%Y%m%d', jitter-date: true, jitter-range: 300}
nifti:
  fields:
    - {name: descrip, remove: true}
"""
DAY = "20200229"
SIDE = json.dumps({"PatientName": "Roe^Katherine", "StudyDate": DAY, "EchoTime": 0.0025})


def shift(text: str) -> int:
    return (date(int(text[:4]), int(text[4:6]), int(text[6:8])) - date(2020, 2, 29)).days


def study_day(data: bytes) -> str:
    at = data.find(b"\x08\x00\x20\x00DA")
    return data[at + 8 : at + 16].decode()


def test_companions_of_a_platform(site: Site) -> None:
    place = scan(site, "P1/V1/T1", StudyDate=DAY).parent
    site.world.add_file(place, "Katherine_T1.nii", volume(descrip=b"of Katherine"), type="nifti")
    site.world.add_file(place, "Katherine_T1.json", SIDE.encode(), type="source code")
    site.world.add_file(place, "b.nii", volume()[:-3], type="nifti")
    site.world.add_file(place, "b.json", b'{"EchoTime": 1}', type="source code")
    assert site.here(profile=RULES)[0] == 1
    assert site.states() == {"released": 3, "refused": 2}
    reasons = {row["reason"] for row in site.rows() if row["state"] == "refused"}
    assert "the file that it is about is not released" in reasons
    files = {file.name: file.content for file in kept(site)}
    names = sorted(name for name in files if not name.endswith(".zip"))
    assert len({name.split(".")[0] for name in names}) == 1
    assert names[0].startswith("file-")
    side = json.loads(files[names[0]])
    with zipfile.ZipFile(io.BytesIO(next(data for name, data in files.items() if name.endswith(".zip")))) as archive:
        (name,) = archive.namelist()
        assert shift(study_day(archive.read(name))) == shift(side["StudyDate"]) != 0
    assert side["EchoTime"] == 0.0025


def test_companions_in_an_archive(desk: Desk) -> None:
    desk.rules(RULES)
    inside = {
        "x/1.dcm": instance(StudyDate=DAY), "x/Katherine_T1.nii": volume(), "x/Katherine_T1.json": SIDE.encode(),
        "x/notes.txt": b"Katherine",
    }  # fmt: skip
    for number, order in enumerate((inside, dict(reversed(inside.items())))):
        desk.put({f"S/V/A{number}/a.zip": packed(order)})
    assert desk.run().code == 0
    for data in desk.there().values():
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            found = {name: archive.read(name) for name in archive.namelist()}
        assert len(found) == 3
        stems = {name.split(".")[0] for name in found if not name.endswith(".dcm")}
        assert len(stems) == 1
        assert stems.pop().startswith("x/file-")
        side = json.loads(next(data for name, data in found.items() if name.endswith(".json")))
        header = next(data for name, data in found.items() if name.endswith(".dcm"))
        assert shift(study_day(header)) == shift(side["StudyDate"]) != 0
    assert {row["reason"] for row in desk.rows()} == {"1 member left out: 1 text"}
