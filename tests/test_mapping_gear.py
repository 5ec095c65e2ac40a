"""A mapping by an id of the header on a platform: what is noted of a header tells the row before the file is read."""

from __future__ import annotations

import pytest

pytest.importorskip("flywheel")

from tests.desk import instance
from tests.site import PROFILE, Site

MAPPED = PROFILE.replace("- name: PatientID\n      hash: true", '- name: PatientID\n      replace-with: "{{ NEWID }}"')


def put(site: Site, patient: str, accession: str, noted: str | None) -> None:
    """Make a subject with one file, and what the platform has noted of its AccessionNumber."""
    session = site.world.add_session(site.world.add_subject(site.source, f"S-{patient}"), "V")
    info = {} if noted is None else {"header": {"dicom": {"AccessionNumber": noted, "PatientID": patient}}}
    data = instance(patient, AccessionNumber=accession)
    site.world.add_file(site.world.add_acquisition(session, "T1"), f"{patient}.dcm", data, type="dicom", info=info)


def states(site: Site, table: str, name: str) -> dict[str, int]:
    done = site.gear(profile=MAPPED, mapping="AccessionNumber,NEWID\n" + table, name=name)
    assert done.returncode in (0, 1), done.stderr
    return site.states(name)


@pytest.mark.parametrize("noted", [True, False], ids=["noted", "read"])
def test_a_table_that_grows_makes_no_file_anew_whose_row_is_known(site: Site, noted: bool) -> None:
    put(site, "P1", "A1", "A1" if noted else None)
    assert states(site, "A1,N-1\n", "one") == {"released": 1}
    put(site, "P2", "A2", "A2" if noted else None)
    assert states(site, "A1,N-1\nA2,N-2\n", "two") == {"released": 1, "skipped": 1}
    (reason,) = (row["reason"] for row in site.rows("two") if row["state"] == "skipped")
    assert reason.startswith("unchanged" if noted else "stale")


def test_studies_of_two_patients_are_told_before_anything_is_read_where_they_are_noted(site: Site) -> None:
    for patient in ("P1", "P2"):
        put(site, patient, f"A-{patient}", f"A-{patient}")
    done = site.gear(profile=MAPPED, mapping="AccessionNumber,NEWID\nA-P1,N-1\nA-P2,N-1\n")
    assert done.returncode == 2
    assert "2 patients would get one new id; --allow-shared-ids lets them: m.csv rows 2, 3" in done.stderr
    assert site.at_destination() == []


def test_a_header_that_is_not_what_was_noted_of_it_is_refused(site: Site) -> None:
    put(site, "P1", "A1", "A2")
    put(site, "P2", "A3", None)
    assert states(site, "A1,N-1\nA2,N-2\nA3,N-3\n", "one") == {"refused": 1, "released": 1}
    reasons = {row["reason"] for row in site.rows("one")}
    assert reasons == {"", "its AccessionNumber, by which the mapping goes, is not the one that was noted of it"}
