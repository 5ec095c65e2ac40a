"""The de-id log on a platform: a site's own service, logs of an upload from a folder, and the gear's options."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("flywheel")

from fw_gear_deid.log.service import ServiceLog
from fw_gear_deid.sample import MARKER
from tests.loopback.model import StoredFile
from tests.loopback.sdk import ENVIRONMENT
from tests.postgres import Server
from tests.site import Site
from tests.test_edge import ROOT, command, profile
from tests.test_gear import sample, site
from tests.test_log import server

__all__ = ["profile", "sample", "server", "site"]  # fixtures


def files_at(site: Site) -> list[StoredFile]:
    """Return the files of the destination project."""
    found = []
    for file in site.world.files.values():
        container = file.parent
        while container is not None and container.kind != "project":
            container = container.parent
        if file.versions and container is site.destination:
            found.append(file)
    return found


def id_of(file: StoredFile) -> str:
    return str(file.fields.get("deid_log_id") or "")


def check_service(site: Site) -> None:
    """Every file has the id of its own record."""
    records = {one["id"]: one for one in site.world.deid_log.records}
    ids = [id_of(file) for file in files_at(site)]
    assert len(set(ids)) == len(ids) and set(ids) <= records.keys()


# -- a site's own service ------------------------------------------------------------------------------


def test_site_that_keeps_a_log_has_every_upload_in_it(site: Site) -> None:
    site.world.deid_log.enabled = True
    done = site.gear()
    assert done.returncode == 0, done.stderr
    assert len(files_at(site)) == 10
    check_service(site)
    records = site.world.deid_log.records
    assert len(records) == 10
    assert all(one["indexed_fields"]["PatientName"].startswith(MARKER) for one in records)
    assert all(one["deidentified_tags"]["00100020"]["Value"][0].startswith(MARKER) for one in records)
    assert MARKER not in done.stderr
    assert site.gear().returncode == 0
    assert len(records) == 10  # unchanged files make no new entries


def test_service_that_is_down_stops_the_job_before_the_first_upload(site: Site) -> None:
    site.world.deid_log.enabled = site.world.deid_log.down = True
    done = site.gear()
    assert done.returncode == 2
    assert "Unable to log de-identified data" in done.stderr and "503" in done.stderr
    assert files_at(site) == []


@pytest.mark.parametrize("count", [1, 4, 10])
def test_service_that_dies_stops_the_job(site: Site, monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    site.world.deid_log.enabled = True
    reserve, left = ServiceLog.reserve, count

    def dying(self: ServiceLog, entries: Any) -> list[str]:
        nonlocal left
        left -= 1
        site.world.deid_log.down = not left
        return reserve(self, entries)

    monkeypatch.setattr(ServiceLog, "reserve", dying)
    code, said = site.here()
    assert code == (1 if count > 1 else 2)  # before the first release nothing was begun
    assert "Unable to log de-identified data" in said and "503" in said
    assert len(files_at(site)) == count - 1
    check_service(site)
    site.world.deid_log.down = False
    monkeypatch.undo()
    assert site.here()[0] == 0
    assert len(files_at(site)) == 10
    check_service(site)


def test_upload_from_a_folder_uses_the_sites_log(site: Site, sample: Path, profile: str) -> None:
    site.world.deid_log.enabled = True
    done = command(site, "run", str(sample), "fw://lab/Clean", "--profile", profile)
    assert done.returncode == 0, done.stderr
    assert len(site.world.deid_log.records) == 10
    check_service(site)


# -- a log of one's own --------------------------------------------------------------------------------


def rows(site: Site, query: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(site.folder / "log.sqlite")) as db:
        return db.execute(query).fetchall()


def check_own(site: Site) -> None:
    """Every file has one entry that says that it stands, and no other entry does."""
    there = {(file.id, id_of(file).replace("-", "").upper()) for file in files_at(site)}
    told = rows(site, "SELECT dest_file_id, id FROM deid_log WHERE state = 'uploaded'")
    assert {(file, id_.upper()) for file, id_ in told} == there
    assert not rows(site, "SELECT 1 FROM deid_log WHERE state = 'reserved'")


def upload(site: Site, sample: Path, profile: str, *more: str) -> subprocess.CompletedProcess[str]:
    url = f"sqlite:///{site.folder}/log.sqlite"
    return command(site, "run", str(sample), "fw://lab/Clean", "--profile", profile, "--log-db", url, *more)


def test_an_uploads_id_leads_from_the_copy_to_its_source(site: Site, sample: Path, profile: str) -> None:
    assert upload(site, sample, profile).returncode == 0
    check_own(site)
    file = next(one for one in files_at(site) if one.name.endswith(".US.dcm"))
    url = f"sqlite:///{site.folder}/log.sqlite"
    done = command(site, "log", "files", id_of(file), "--log-db", url, "--reason", "test")
    assert done.returncode == 0, done.stderr
    assert file.id in done.stdout and site.destination.id in done.stdout and str(file.parent.id) in done.stdout
    assert str(sample) in done.stdout and "US_" in done.stdout
    released = site.folder / "released.dcm"
    released.write_bytes(file.content)
    back = site.folder / "back.dcm"
    words = ("--log-db", url, "--reason", "test", "--out", str(back))
    assert command(site, "log", "reidentify", str(released), *words).returncode == 0
    assert back.read_bytes() in {path.read_bytes() for path in sample.rglob("US_*")}


def test_rerun_and_replacement(site: Site, sample: Path, profile: str) -> None:
    assert upload(site, sample, profile).returncode == 0
    before = rows(site, "SELECT * FROM deid_log")
    assert upload(site, sample, profile).returncode == 0
    assert rows(site, "SELECT * FROM deid_log") == before
    path = Path(profile)
    path.write_text(
        path.read_text().replace("name: test", "name: other") + "    - name: PatientSex\n      remove: true\n"
    )
    done = upload(site, sample, profile, "--exists", "replace")
    assert done.returncode == 0, done.stderr
    check_own(site)
    assert rows(site, "SELECT count(*) FROM deid_log WHERE state = 'withdrawn'") == [(10,)]


KILLED = """
import os, sys
from fw_gear_deid.log.tables import TableLog
name, count, late = sys.argv[1], int(sys.argv[2]), sys.argv[3] == "late"
method = getattr(TableLog, name)
def called(self, *arguments):
    global count
    count -= 1
    if not count and not late:
        os._exit(9)
    done = method(self, *arguments)
    if not count and late:
        os._exit(9)
    return done
setattr(TableLog, name, called)
from fw_gear_deid.cli import main
sys.exit(main(sys.argv[4:]))
"""


@pytest.mark.parametrize("when", ["early", "late"])
@pytest.mark.parametrize(("name", "count"), [("reserve", 1), ("reserve", 4), ("confirm", 1), ("confirm", 4)])
def test_killed_upload_is_settled_by_the_next(
    site: Site, sample: Path, profile: str, name: str, count: int, when: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was put and not confirmed is found by the id that travelled with it."""
    monkeypatch.setenv("FW_API_KEY", site.server.key())
    url = f"sqlite:///{site.folder}/log.sqlite"
    words = ["run", str(sample), "fw://lab/Clean", "--profile", profile, "--log-db", url, "--workers", "1"]
    script = [sys.executable, "-c", KILLED, name, str(count), when]
    done = subprocess.run([*script, *words], cwd=site.folder, capture_output=True, check=False, env=environment(site))
    assert done.returncode == 9, done.stderr
    known = {id_.upper() for (id_,) in rows(site, "SELECT id FROM deid_log WHERE state IN ('reserved', 'uploaded')")}
    assert {id_of(file).replace("-", "").upper() for file in files_at(site)} <= known
    with closing(sqlite3.connect(site.folder / "log.sqlite")) as db:  # as if it had been long ago
        db.execute("UPDATE deid_log SET timestamp = '2020-01-01T00:00:00.000000Z'")
        db.commit()
    assert upload(site, sample, profile).returncode == 0
    check_own(site)
    assert len(files_at(site)) == 10


def environment(site: Site) -> dict[str, str]:
    return {**os.environ, **ENVIRONMENT, "PYTHONPATH": str(ROOT), "HOME": str(site.folder)}


def test_entry_of_a_job_that_may_go_on_is_left(
    site: Site, sample: Path, profile: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another job may have reserved it a moment ago: only what has an old entry and no file is failed."""
    url = f"sqlite:///{site.folder}/log.sqlite"
    monkeypatch.setenv("FW_API_KEY", site.server.key())
    words = ["run", str(sample), "fw://lab/Clean", "--profile", profile, "--log-db", url, "--workers", "1"]
    script = [sys.executable, "-c", KILLED, "reserve", "2", "late"]
    subprocess.run([*script, *words], cwd=site.folder, capture_output=True, check=False, env=environment(site))
    assert upload(site, sample, profile).returncode == 0
    states = dict(rows(site, "SELECT state, count(*) FROM deid_log GROUP BY state"))
    assert states == {"uploaded": 10, "reserved": 1}


# -- the gear's options --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"deid_log": "sqlite"}, "a job's disk is gone after it"),
        ({"deid_log": "postgres"}, "deid_log_url"),
        ({"deid_log": "service"}, "deid_log_url"),
        ({"deid_log": "other"}, "must be one of"),
    ],
)
def test_gear_says_what_its_log_lacks(site: Site, config: dict[str, str], said: str) -> None:
    done = site.gear(**config)
    assert done.returncode == 2 and said in done.stderr
    assert files_at(site) == []


def test_gear_with_a_data_base(site: Site, server: Server) -> None:
    url = server.schema()
    done = site.gear(deid_log="postgres", log_url=url)
    assert done.returncode == 0, done.stderr
    told = server.psql(url, "SELECT dest_file_id || ' ' || id FROM deid_log WHERE state = 'uploaded'").split("\n")
    assert set(told) == {f"{file.id} {id_of(file)}" for file in files_at(site)}
    assert len(told) == 10 and url not in done.stderr
    [source] = set(server.psql(url, "SELECT source_project || dest_project FROM deid_log").split("\n"))
    assert source == site.source.id + site.destination.id
    item = next(
        file for file in site.world.files.values() if file.name == "dti.dicom.zip" and file not in files_at(site)
    )
    [entry] = server.psql(url, f"SELECT source_container FROM deid_log WHERE source_file_id = '{item.id}'").split("\n")
    assert entry == item.parent.id


def test_gear_tells_no_password(site: Site) -> None:
    url = "postgresql://me:sesame-9@127.0.0.1:1/none"
    done = site.gear(deid_log="postgres", log_url=url)
    assert done.returncode == 2 and "Unable to log de-identified data" in done.stderr
    assert "sesame-9" not in done.stderr + done.stdout
    assert files_at(site) == []


def test_gears_address_and_kind_must_agree(site: Site) -> None:
    done = site.gear(deid_log="postgres", log_url="https://log.example/x")
    assert done.returncode == 2 and "no address of a postgres log" in done.stderr


def test_gear_uses_a_service_that_its_context_names(site: Site) -> None:
    done = site.gear(deid_log="service", log_url=f"{site.world.base_url}/deid-log")
    assert done.returncode == 0, done.stderr
    assert len(site.world.deid_log.records) == 10
    check_service(site)
    assert json.dumps(site.rows()).count(MARKER) == 0
