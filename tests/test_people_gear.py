"""Who a patient is on a platform: the subject container, unless a birth date says otherwise."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("flywheel")

from tests.desk import instance
from tests.loopback import Container
from tests.site import PROFILE, Site

OTHER = "its birth date contradicts the subject's"


def subject(site: Site, files: dict[str, str], *, noted: bool = True, born: str = "", **values: Any) -> Container:
    """Make a subject with a session and an acquisition for each file: name → birth date in it."""
    fields = {"date_of_birth": born} if born else {}
    made = site.world.add_subject(site.source, f"S{len(site.world.containers)}", **fields)
    for number, (name, date) in enumerate(files.items()):
        session = site.world.add_session(made, f"V{number}")
        acquisition = site.world.add_acquisition(session, "T1")
        data = instance("P1", study=number, number=number, PatientBirthDate=date, **values)
        info = {"header": {"dicom": {"PatientBirthDate": date, "PatientID": "P1"}}} if noted else {}
        site.world.add_file(acquisition, name, data, type="dicom", info=info)
    return made


def reasons(site: Site, name: str = "gear") -> dict[str, str]:
    """Return the reasons of a run's table by the names of the files."""
    names = {file.id: file.name for file in site.world.files.values()}
    return {names[row["source"].rpartition("/")[2]]: row["reason"] for row in site.rows(name)}


@pytest.mark.parametrize("noted", [True, False], ids=["noted", "read"])
def test_two_of_three_birth_dates_agree(site: Site, noted: bool) -> None:
    """By what the platform has noted of the headers, or, where it has not, by what the run reads."""
    subject(site, {"a": "19700101", "b": "19700101", "c": "19800101", "d": ""}, noted=noted)
    subject(site, {"e": "19800101"}, noted=noted)
    done = site.gear()
    assert done.returncode == 1
    assert reasons(site) == {"a": "", "b": "", "c": OTHER, "d": "", "e": ""}
    assert len(site.at_destination()) == 4
    assert "1980" not in done.stderr


@pytest.mark.parametrize("noted", [True, False], ids=["noted", "read"])
def test_one_against_one_refuses_both(site: Site, noted: bool) -> None:
    """Also on a rerun."""
    subject(site, {"a": "19700101", "b": "19800101"}, noted=noted)
    for name in ("gear", "again"):
        assert site.gear(name=name).returncode == 1
        assert all(reason.startswith(OTHER) for reason in reasons(site, name).values())
        assert site.at_destination() == []


def test_the_date_that_the_platform_has_counts_first(site: Site) -> None:
    subject(site, {"a": "19700101", "b": "19700101", "c": "19800101"}, born="1980-01-01T00:00:00.000Z", noted=False)
    site.gear()
    assert reasons(site) == {"a": OTHER, "b": OTHER, "c": ""}


@pytest.mark.parametrize("start", ["file", "session"])
def test_a_part_of_a_subject_knows_the_rest(site: Site, start: str) -> None:
    subject(site, {"a": "19700101", "b": "19700101", "c": "19800101"})
    file = next(file for file in site.world.files.values() if file.name == "c")
    done = site.gear(trigger=(file.parent, "c")) if start == "file" else site.gear(file.parent.parent)
    assert (done.returncode, reasons(site), site.at_destination()) == (1, {"c": OTHER}, [])


def test_a_warning_releases(site: Site) -> None:
    subject(site, {"a": "19700101", "b": "19800101"})
    subject(site, {"c": "19700101", "d": "19800101"}, noted=False)
    done = site.gear(identity="warn")
    assert (done.returncode, len(site.at_destination())) == (0, 4), done.stderr
    assert done.stderr.count("warning: its birth date contradicts") == 3
    assert "rows 2, 3 of files.csv" not in done.stderr and "of files.csv" in done.stderr


def test_all_ids_blank_are_the_subjects_of_the_platform(site: Site) -> None:
    for _ in range(2):
        subject(site, {"a": "", "b": ""}, PatientID="")
    assert site.gear(profile=PROFILE).returncode == 0
    found = site.at_destination()
    assert len(found) == 4 and len({labels[0] for labels in found}) == 2


def test_copies_in_one_container(site: Site) -> None:
    made = subject(site, {"a": ""})
    (file,) = site.world.files.values()
    site.world.add_file(file.parent, "b", file.current.content, type="dicom")
    site.world.add_file(site.world.add_acquisition(file.parent.parent, "T2"), "c", file.current.content, type="dicom")
    assert made and site.gear().returncode == 0
    assert reasons(site) == {"a": "", "b": f"copy of acquisitions/{file.parent.id}/files/{file.id}", "c": ""}
