"""What containers and the mapping's row tell of somebody, and no label and no name at the destination may."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from fw_gear_deid.deid.labels import holds
from tests import site as sites
from tests.desk import Desk, instance, packed
from tests.site import Site, held

PROFILE = """dicom:
  fields:
    - {name: PatientName, remove: true}
    - {name: PatientID, remove: true}
    - {name: SOPInstanceUID, hashuid: true}
"""
KEEP = """flywheel:
  subject:
    fields: [{name: label, replace-with: S1}]
  session:
    fields: [{name: label, keep: true}]
  acquisition:
    fields: [{name: label, keep: true}]
"""
WHO = {
    "firstname": "Chidi", "lastname": "Okonkwo", "date_of_birth": "1954-12-15T00:00:00+00:00", "code": "MRN-00784512",
}  # fmt: skip


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with sites.opened(tmp_path) as made:
        yield made


def stock(site: Site, session: str, acquisition: str, name: str = "scan.dicom.zip", member: str = "1.dcm") -> None:
    """Add a scan whose header was emptied before; who it is of the containers alone tell."""
    subject = site.world.add_subject(site.source, "subject of this study", **WHO)
    visit = site.world.add_session(subject, session, operator="Quuxington")
    scan = site.world.add_acquisition(visit, acquisition)
    data = instance(PatientName="", PatientID="", SeriesDescription="")
    site.world.add_file(scan, name, packed({member: data}), type="dicom")


TOLD = ("okonkwo", "visit of Chidi", "ChidiOkonkwo", "784512", "1954-12-15", "15Dec54", "by quuxington")


@pytest.mark.parametrize("text", TOLD)
def test_labels_of_sessions_and_acquisitions_are_held(site: Site, text: str) -> None:
    stock(site, f"{text} 1", f"{text} 2")
    code, said = site.here(profile=PROFILE + KEEP)
    assert code == 0, said
    assert [one.label for one in held(site, "subject")] == ["S1"]
    (session,), (acquisition,) = held(site, "session"), held(site, "acquisition")
    assert session.label.startswith("ses-") and acquisition.label.startswith("acq-")
    rows = [
        row
        for row in site.rows(report="audit.csv")
        if row["path"] in ("container session.label", "container acquisition.label")
    ]
    assert len(rows) == 2 and {row["rule"] for row in rows} <= {
        "always: name carries an identifier",
        "always: label without a rule",
    }


@pytest.mark.parametrize("label", ["baseline", "V1 01", "T1w", "1954", "follow-up 12"])
def test_other_labels_stay(site: Site, label: str) -> None:
    stock(site, label, label)
    assert site.here(profile=PROFILE + KEEP)[0] == 0
    assert [one.label for kind in ("session", "acquisition") for one in held(site, kind)] == [label, label]


@pytest.mark.parametrize("text", TOLD)
def test_names_of_archives_and_folders_are_held(site: Site, text: str) -> None:
    stock(site, "V", "A", f"{text}.zip", f"{text}/1.dcm")
    assert site.here(profile=PROFILE + KEEP)[0] == 0
    (file,) = sites.kept(site)
    with zipfile.ZipFile(io.BytesIO(file.content)) as archive:
        names = [file.name, *archive.namelist()]
    assert names[0].startswith("file-") and names[1].startswith("folder-")


def test_what_travels_on_purpose_is_no_secret(site: Site) -> None:
    rules = KEEP.replace("{name: label, replace-with: S1}", "{name: label, keep: true}, {name: lastname, keep: true}")
    stock(site, "okonkwo 1", "chidi 2")
    assert site.here(profile=PROFILE + rules)[0] == 0
    assert [one.label for one in held(site, "session")] == ["okonkwo 1"]
    assert held(site, "acquisition")[0].label.startswith("acq-")


def test_short_numbers_of_labels_count_something() -> None:
    assert not holds("ses-01", ["01"]) and holds("ses-0123", ["0123"]) and holds("ses-roe", ["roe"])


# -- the row of a mapping --------------------------------------------------------------------------------------

TABLE = "subject.label,NEWID,mrn,surname,site,age\nS,X7,00784512,Okonkwo,Rome,45\nT,X8,00784513,Roe,Rome,46\n"
MAPPED = PROFILE.replace("name: PatientID, remove: true", 'name: PatientID, replace-with: "{{ NEWID }}"')


@pytest.mark.parametrize("key", ["subject.label", "PatientID"])
@pytest.mark.parametrize(
    ("folder", "stays"),
    [("784512", False), ("scan of okonkwo", False), ("Rome", True), ("T1_45", True), ("X7", True), ("roe", True)],
)
def test_columns_of_the_row_that_nothing_uses_are_known(tmp_path: Path, key: str, folder: str, stays: bool) -> None:
    """Those that only this row has: not what many share, not what goes out, and no other row's."""
    desk = Desk(tmp_path)
    desk.rules(MAPPED)
    (tmp_path / "m.csv").write_text(
        TABLE.replace("subject.label", key).replace("\nS,", f"\n{'S' if '.' in key else 'QQ1'},")
    )
    data = instance("QQ1", PatientName="Quux^Q")
    desk.put({"S/V/A/x.zip": packed({f"{folder}/IM1": data}), "T/V/A/1": instance("T", number=2)})
    done = desk.run("--mapping", str(tmp_path / "m.csv"))
    assert done.code == 0, done.err
    (made,) = (data for name, data in desk.there().items() if name.endswith(".zip"))
    with zipfile.ZipFile(io.BytesIO(made)) as archive:
        (name,) = archive.namelist()
    assert (name.split("/")[0] == folder) == stays
