"""One job per session: launched through the platform's queue, watched, gathered; a rerun launches what is missing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("flywheel")

from fw_gear_deid.sample import MARKER
from tests.loopback import Job
from tests.site import PROFILE, Site
from tests.test_gear import sample, site

__all__ = ["sample", "site"]  # fixtures
SECRET = "0123456789abcdef"


def engine(site: Site, broken: set[str]) -> Any:
    """What the platform's engine does with a job: run the gear, keep its output with the analysis."""

    def run(job: Job) -> None:
        assert job.destination is not None
        analysis = site.world.containers[job.destination["id"]]
        assert analysis.parent is not None
        if analysis.parent.id in broken:
            job.state = "failed"
            return
        done = site.gear(analysis, name=f"job-{job.id}", **job.config)
        for path in sorted((site.folder / f"job-{job.id}" / "output").iterdir()):
            site.world.add_file(analysis, path.name, path.read_bytes())
        job.state = "complete" if done.returncode == 0 else "failed"

    return run


def launch(site: Site, manifest: dict[str, Any], **options: Any) -> Any:
    """Run the gear as a job that is to divide itself."""
    gear = site.world.add_gear(manifest)
    own = site.world.add_analysis(site.source, "fan-out")
    job = Job(
        id=site.world.new_id(), gear_id=gear, created=site.world.now(), user="admin", inputs={}, config={},
        destination={"type": "analysis", "id": own.id}, tags=[], state="running",
    )  # fmt: skip
    site.world.jobs[job.id] = job
    return site.gear(own, fan_out="session", job_id=job.id, **options)


def test_one_job_per_session(site: Site, manifest: dict[str, Any]) -> None:
    broken = {next(c.id for c in site.world.containers.values() if c.kind == "session")}
    site.world.on_job = engine(site, broken)
    site.world.add_file(
        site.source, "project.dcm", next(f.content for f in site.world.files.values() if f.name == "report.dcm")
    )
    done = launch(site, manifest, profile=PROFILE)
    assert done.returncode == 1, done.stderr[-3000:]
    print(done.stderr[-3000:])
    released = len(site.at_destination())
    assert released == len([row for row in site.rows() if row["state"] == "released"])
    assert any(len(names) == 1 for names in site.at_destination()), "the project's own file belongs to this job"
    broken.clear()
    jobs = len(site.world.jobs)
    done = launch(site, manifest, profile=PROFILE)
    assert done.returncode == 0, done.stderr
    assert len(site.world.jobs) == jobs + 2  # this one, and the session that was missing
    assert len(site.at_destination()) == 11
    assert MARKER.encode() not in site.world.everything_at(site.destination)


def test_reports_of_a_job_that_was_stopped_before_it_launched_others(site: Site, manifest: dict[str, Any]) -> None:
    report = next(f.content for f in site.world.files.values() if f.name == "report.dcm")
    site.world.add_file(site.source, "project.dcm", report)
    site.world.faults.add("status", r"^POST .*/files", code=403, times=None)
    done = launch(site, manifest)
    assert done.returncode == 1 and "Nothing more was tried" in done.stderr
    assert site.states() == {"failed": 1}
    assert (site.folder / "gear" / "output" / "summary.json").is_file()
    assert len(site.world.jobs) == 1


def test_a_session_that_grew_is_looked_at_again(site: Site, manifest: dict[str, Any]) -> None:
    secrets: list[dict[str, Any]] = []

    def run(job: Job) -> None:
        assert job.destination is not None
        secrets.append({"inputs": job.inputs, "config": job.config})
        analysis = site.world.containers[job.destination["id"]]
        done = site.gear(analysis, name=f"job-{job.id}", key_file=SECRET, **job.config)
        for path in sorted((site.folder / f"job-{job.id}" / "output").iterdir()):
            site.world.add_file(analysis, path.name, path.read_bytes())
        job.state = "complete" if done.returncode == 0 else "failed"

    site.world.on_job = run
    site.world.page_cap = 3
    assert launch(site, manifest, key_file=SECRET).returncode == 0
    jobs, there = len(site.world.jobs), site.at_destination()
    assert launch(site, manifest, key_file=SECRET).returncode == 0
    assert (len(site.world.jobs), site.at_destination()) == (jobs + 1, there), "nothing new, no new job"
    file = next(f for f in site.world.files.values() if f.name == "dti.dicom.zip" and f.parent.kind == "acquisition")
    session = file.parent.parent
    assert session is not None
    site.world.add_file(site.world.add_acquisition(session, "late"), file.name, file.content, type="dicom")
    assert launch(site, manifest, key_file=SECRET).returncode == 0
    assert len(site.world.jobs) == jobs + 3
    assert len(site.at_destination()) == len(there) + 1
    assert all(set(one["inputs"]["key_file"]) == {"type", "id", "name"} for one in secrets)
    assert SECRET not in str(secrets)


@pytest.fixture
def manifest() -> dict[str, Any]:
    return json.loads((Path(__file__).resolve().parents[1] / "manifest.json").read_text())
