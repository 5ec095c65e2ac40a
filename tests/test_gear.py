"""The gear as the platform starts it: a subprocess in a folder with manifest.json and config.json, against the loopback."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
import time
import zipfile
from collections import Counter
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("flywheel")

from fw_gear_deid import __version__
from fw_gear_deid.sample import MARKER, make_sample
from fw_gear_deid.stores.flywheel.client import TRIES, wait
from tests.loopback.sdk import ENVIRONMENT
from tests.site import PROFILE, ROOT, Site, kept, opened, stored


@pytest.fixture(scope="session")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sample") / "in"
    make_sample(folder, 2)
    return folder


@pytest.fixture
def site(site: Site, sample: Path) -> Site:
    """The sample in the source project."""
    stored(site.world, site.source, sample)
    return site


def test_project_to_project(site: Site) -> None:
    before = site.world.everything_at(site.source)
    done = site.gear(debug=True)
    assert done.returncode == 0, done.stderr
    assert site.states() == {"released": 10, "skipped": 4}
    assert len(site.at_destination()) == 10
    assert MARKER.encode() not in site.world.everything_at(site.destination)
    assert "(0010,0010) remove p.yaml:7" in done.stderr
    assert any(row["path"] == "container subject.label" for row in site.rows(report="audit.csv"))
    assert site.world.everything_at(site.source) == before
    assert MARKER not in done.stderr + done.stdout
    assert MARKER not in json.dumps(site.rows())
    summary = json.loads((site.folder / "gear" / "output" / "summary.json").read_text())
    assert summary["profile_source"] == "input"
    assert sorted(path.name for path in (site.folder / "gear" / "output").iterdir()) == [
        "audit.csv",
        "files.csv",
        "summary.json",
    ]


def test_nothing_identifying_is_sent(site: Site) -> None:
    site.gear()
    assert MARKER.encode() not in site.world.log.sent("^(POST|PUT|PATCH|DELETE) ")


def test_requests_per_archive(site: Site) -> None:
    site.gear()
    assert len(site.world.requests) / 10 <= 9


def test_rerun_downloads_nothing(site: Site) -> None:
    site.gear()
    there = site.at_destination()
    site.world.log.reset()
    done = site.gear(name="again")
    assert done.returncode == 0
    assert site.states("again") == {"skipped": 14}
    assert site.at_destination() == there
    assert site.world.log.count(r"^GET .*/files/") <= 4  # files that no section takes are looked at again
    assert sum(row["reason"].startswith("unchanged") for row in site.rows("again")) == 10


@pytest.mark.clear
def test_audit_with_originals_is_one_file(site: Site) -> None:
    """A job's output is flat: what the manifest's description says of it."""
    assert site.here(audit_originals=True)[0] == 0
    assert sorted(path.name for path in (site.folder / "gear" / "output").iterdir()) == [
        "audit.csv", "files.csv", "summary.json",
    ]  # fmt: skip
    assert any(MARKER in row["before"] for row in site.rows(report="audit.csv"))
    assert site.here(name="again", audit_originals=True)[0] == 0
    assert site.states("again") == {"skipped": 14}
    described = json.loads((ROOT / "manifest.json").read_text())["config"]["audit_originals"]["description"]
    assert "no private part" in described


@pytest.mark.parametrize("mode", ["Replace", "Cleanup"])
def test_another_profile_renews(site: Site, mode: str) -> None:
    site.gear()
    names = site.at_destination()
    done = site.gear(
        name="again", overwrite_files=mode, profile=PROFILE + "    - name: PatientSex\n      remove: true\n"
    )
    assert done.returncode == 0, done.stderr
    assert site.states("again")["released"] == 10
    assert site.at_destination() == names
    versions = [len(file.versions) for file in site.world.files.values() if file.versions]
    assert max(versions) == 1, "a version that another profile made does not stay"


def test_skip_tells_of_another_profile(site: Site) -> None:
    site.gear()
    done = site.gear(name="again", profile=PROFILE + "    - name: PatientSex\n      remove: true\n")
    assert done.returncode == 1
    assert sum(row["reason"].startswith("stale") for row in site.rows("again")) == 10
    assert site.states("again") == {"skipped": 14}


def test_dry_run_writes_nothing(site: Site) -> None:
    done = site.gear(dry_run=True)
    assert done.returncode == 0, done.stderr
    assert site.states() == {"released": 10, "skipped": 4}
    assert site.at_destination() == []
    assert site.world.log.count("^(PUT|PATCH|DELETE) ") == 0
    assert site.world.log.count("^POST (?!/lookup)") == 0


@pytest.mark.parametrize("level", ["subject", "session", "acquisition"])
def test_starts_anywhere(site: Site, level: str) -> None:
    start = next(c for c in site.world.containers.values() if c.kind == level and c.above("project") is site.source)
    done = site.gear(start)
    assert done.returncode == 0, done.stderr
    assert site.at_destination()
    assert MARKER.encode() not in site.world.everything_at(site.destination)


def test_gear_rule_takes_one_file(site: Site) -> None:
    file = next(f for f in site.world.files.values() if f.name == "dti.dicom.zip")
    done = site.gear(trigger=(file.parent, file.name))
    assert done.returncode == 0, done.stderr
    assert [names[-1] for names in site.at_destination()] == ["dti.dicom.zip"]
    again = site.gear(trigger=(file.parent, file.name), name="again")
    assert (again.returncode, site.states("again")) == (0, {"skipped": 1})


def test_gear_rule_may_take_any_file(site: Site) -> None:
    """A file of a type that the profile does not take is left out, and that is no failure of the job."""
    file = next(f for f in site.world.files.values() if f.fields["type"] == "text")
    code, _ = site.here(trigger=(file.parent, file.name))
    assert (code, site.states()) == (0, {"skipped": 1})
    assert site.rows()[0]["reason"].startswith("not taken")
    assert "type" not in json.loads((ROOT / "manifest.json").read_text())["inputs"]["input_file"]


def test_file_of_a_rule_that_is_gone_is_told(site: Site) -> None:
    file = next(f for f in site.world.files.values() if f.name == "dti.dicom.zip")
    code, said = site.here(trigger=(file.parent, "gone.dicom.zip"))
    assert code == 2 and "input_file" in said


def test_delete_reasons_are_the_platforms(site: Site) -> None:
    from flywheel.models.container_delete_reason import ContainerDeleteReason

    manifest = json.loads((ROOT / "manifest.json").read_text())
    assert manifest["config"]["delete_reason"]["enum"] == [reason.value for reason in ContainerDeleteReason]
    code, said = site.here(delete_reason="because")
    assert code == 2 and "delete_reason" in said


def test_rule_key_needs_a_destination_key(site: Site) -> None:
    narrow = site.server.key(projects=[site.source])
    done = site.gear(key=narrow)
    assert done.returncode == 2
    assert "gear rule" in done.stderr and "deid_destination_key" in done.stderr
    wide = site.server.key()
    assert site.gear(key=narrow, destination_key=wide).returncode == 0
    assert wide not in "".join(site.started)


def test_every_problem_at_once(site: Site) -> None:
    done = site.gear(
        profile="dicom:\n  fields:\n    - name: PatientNam\n      remove: true\n",
        project_path="lab/Nowhere", verify="sometimes", workers=99,
    )  # fmt: skip
    assert done.returncode == 2
    for word in ("verify", "workers"):
        assert word in done.stderr
    done = site.gear(profile=None, project_path="lab/Stored", validate=False)
    assert done.returncode == 2
    assert "validate" in done.stderr and "source project" in done.stderr
    assert site.world.log.count(r"^GET .*/files/") == 0


def test_profile_of_the_platform(site: Site) -> None:
    site.world.site_settings["deid_profile"] = {"dicom": {"fields": [{"name": "PatientName", "remove": True}]}}
    done = site.gear(profile=None, profile_source="platform")
    assert done.returncode == 0, done.stderr
    summary = json.loads((site.folder / "gear" / "output" / "summary.json").read_text())
    assert summary["profile_source"] == "site"
    site.destination.settings["deid_profile"] = {"dicom": {"feilds": []}}
    done = site.gear(profile=None, profile_source="platform")
    assert done.returncode == 2 and "feilds" in done.stderr
    site.destination.settings["deid_profile"] = {}
    done = site.gear(profile=None, profile_source="platform")
    assert done.returncode == 2 and "blank" in done.stderr


def test_mapping_names_subjects(site: Site) -> None:
    labels = sorted(c.label for c in site.world.containers.values() if c.kind == "subject")
    profile = (
        "dicom:\n  fields:\n    - name: PatientName\n      remove: true\n    - name: PatientID\n"
        '      replace-with: "{{ NEWID }}"\n'
        'flywheel:\n  subject:\n    fields:\n      - name: label\n        replace-with: "{{ NEWID }}"\n'
    )
    rows = "".join(f"{label},{new}\n" for label, new in zip(labels, ("00123", "1e5"), strict=True))
    done = site.gear(profile=profile, mapping="subject.label,NEWID\n" + rows)
    assert done.returncode == 0, done.stderr
    assert {names[0] for names in site.at_destination()} == {"00123", "1e5"}
    done = site.gear(profile=profile, mapping=f"subject.label,NEWID\n{labels[0]},x\n", name="short")
    assert done.returncode == 2 and "row" in done.stderr


def test_mapping_by_an_id_of_the_header(site: Site) -> None:
    """A file finds its row by what is in it; a container has no header, and says so."""
    profile = PROFILE.replace(
        "- name: PatientID\n      hash: true", '- name: PatientID\n      replace-with: "{{ NEWID }}"'
    )
    done = site.gear(profile=profile, mapping=f"PatientID,NEWID\n{MARKER}001MRN,N-1\nnobody,N-2\n")
    assert done.returncode == 1
    states = site.states()
    assert (states["refused"], states["released"]) == (5, 5)
    reasons = {row["reason"] for row in site.rows() if row["state"] == "refused"}
    assert reasons == {"m.csv has no row for its PatientID: add one, or leave the file out"}
    summary = json.loads((site.folder / "gear" / "output" / "summary.json").read_text())
    assert summary["mapping"]["unused_rows"] == [3]
    assert "1 row was used by nothing in this run, of the mapping's 2: 3" in done.stderr
    profile += 'flywheel:\n  subject:\n    fields:\n      - name: label\n        replace-with: "{{ NEWID }}"\n'
    done = site.gear(profile=profile, mapping=f"PatientID,NEWID\n{MARKER}001MRN,N-1\n", name="label")
    assert done.returncode == 1
    reasons = {row["reason"] for row in site.rows("label") if row["state"] == "refused"}
    assert reasons and all("{{ NEWID }} has no value here" in reason for reason in reasons)


def test_a_label_that_a_rule_gives_to_two_subjects_is_none(site: Site) -> None:
    profile = PROFILE + "flywheel:\n  subject:\n    fields:\n      - name: label\n        replace-with: SAME\n"
    done = site.gear(profile=profile)
    assert done.returncode == 0, done.stderr
    labels = {names[0] for names in site.at_destination()}
    assert len(labels) == 2 and all(re.fullmatch(r"sub-[0-9a-f]{12}", label) for label in labels)


def test_containers_carry_what_rules_let_travel(site: Site) -> None:
    profile = PROFILE + (
        "flywheel:\n  date-increment: -17\n  session:\n    fields:\n      - name: timestamp\n        increment-datetime: true\n"
        "  subject:\n    fields:\n      - name: info.mrn\n        hash: true\n"
    )
    assert site.gear(profile=profile).returncode == 0
    sessions = [
        c for c in site.world.containers.values() if c.kind == "session" and c.above("project") is site.destination
    ]
    assert {c.fields["timestamp"][:10] for c in sessions} == {"2020-01-01"}
    subjects = [
        c for c in site.world.containers.values() if c.kind == "subject" and c.above("project") is site.destination
    ]
    assert all(set(c.info) == {"mrn", "export"} and MARKER not in c.info["mrn"] for c in subjects)
    assert all("firstname" not in c.fields or not c.fields["firstname"] for c in subjects)
    assert any(row["path"] == "container session.timestamp" for row in site.rows(report="audit.csv"))


def test_containers_follow_the_profile(site: Site) -> None:
    """What an earlier profile let travel is taken back; what others wrote at the destination stays."""
    rules = (
        "flywheel:\n  subject:\n    fields:\n      - name: info.mrn\n        hash: true\n"
        "      - name: lastname\n        replace-with: NOBODY\n"
    )
    assert site.gear(profile=PROFILE + rules).returncode == 0
    subjects = [
        c for c in site.world.containers.values() if c.kind == "subject" and c.above("project") is site.destination
    ]
    assert all(c.fields["lastname"] == "NOBODY" for c in subjects)
    for subject in subjects:
        subject.info["qc"] = "theirs"
    done = site.gear(profile=PROFILE, overwrite_files="Replace")
    assert done.returncode == 0, done.stderr
    assert all(set(c.info) == {"qc", "export"} and not c.fields["lastname"] for c in subjects)


def test_killed_run_is_completed(site: Site) -> None:
    site.world.faults.add(
        "reset", r"^POST .*/files", when="request", skip=4, times=None
    )  # nothing gets through any more
    environment = {**os.environ, **ENVIRONMENT, "PYTHONPATH": str(ROOT), "FLYWHEEL_SDK_BACKOFF_FACTOR": "30"}
    site.gear(dry_run=True)  # makes the folder
    folder = site.folder / "gear"
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"config": config["config"] | {"dry_run": False}}))
    process = subprocess.Popen(
        [sys.executable, str(ROOT / "run.py")],
        cwd=folder,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 30
    while site.world.log.count(r"^POST .*/files") < 5 and time.monotonic() < deadline:
        time.sleep(0.05)
    process.kill()
    process.wait()
    assert len(site.at_destination()) == 4
    site.world.faults.clear()
    assert site.gear(name="again").returncode == 0
    assert len(site.at_destination()) == 10
    assert site.states("again") == {"released": 6, "skipped": 8}


FAULTS = [
    ("status", r"^GET .*/files/", {"code": 503}, {"released": 10}),
    ("status", r"^GET .*/files/", {"code": 500}, {"released": 10}),
    ("cut", r"^GET .*/files/", {"keep": 0.4}, {"released": 10}),
    ("corrupt", r"^GET .*/files/", {}, {"released": 10}),
    ("reset", r"^GET .*/files/", {"when": "response"}, {"released": 10}),
    ("status", r"^POST .*/files", {"code": 503, "when": "before"}, {"released": 10}),
    ("status", r"^POST .*/files", {"code": 503, "when": "after"}, {"released": 10}),
    ("status", r"^POST .*/files", {"code": 429}, {"released": 10}),
    ("reset", r"^POST .*/files", {"when": "request", "keep": 0.3}, {"released": 10}),
    ("store_truncated", r"^POST .*/files", {"keep": 0.1}, {"released": 10}),
    ("store_corrupt", r"^POST .*/files", {}, {"released": 10}),
    ("store_truncated", r"^PUT /signed/", {"keep": 0.1}, {"released": 10}),
    ("store_corrupt", r"^PUT /signed/", {}, {"released": 10}),
    ("status", r"^POST .*/files", {"code": 507}, {"released": 9, "failed": 1}),
    ("status", r"^POST /sessions", {"code": 503, "when": "after"}, {"released": 10}),
    ("race409", r"^POST /subjects", {}, {"released": 10}),
]
SECRET = "a secret of these tests"


@pytest.fixture(scope="session")
def undisturbed(sample: Path, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Digests of what stands at the destination after a run that nothing happens to."""
    with opened(tmp_path_factory.mktemp("undisturbed")) as site:
        stored(site.world, site.source, sample)
        assert site.here(secret=SECRET)[0] == 0
        return digests(site)


def digests(site: Site) -> list[str]:
    return sorted(sha256(file.content).hexdigest() for file in kept(site))


@pytest.mark.parametrize(("kind", "match", "options", "expected"), FAULTS, ids=lambda value: str(value)[:30])
def test_faults_hurt_at_most_their_own_file(
    site: Site, undisturbed: list[str], kind: str, match: str, options: dict[str, Any], expected: dict[str, int]
) -> None:
    """Byte for byte, what stands there is what would stand without the fault, or is not there."""
    site.world.features["signed_url"] = "signed" in match
    fault = site.world.faults.add(kind, match, **options)
    code, said = site.here(secret=SECRET)
    assert fault.hits == 1
    found = site.states()
    assert {state: found.get(state, 0) for state in expected} == expected, (site.rows(), said)
    assert code == (1 if "failed" in expected else 0)
    there = digests(site)
    assert len(there) == expected["released"] and Counter(there) <= Counter(undisturbed)
    site.world.faults.clear()
    code, said = site.here(name="again", secret=SECRET)
    assert code == 0, said
    assert digests(site) == undisturbed
    assert all(len(file.versions) == 1 for file in kept(site))
    assert MARKER.encode() not in site.world.everything_at(site.destination)


def test_first_forbidden_write_ends_the_attempts(site: Site) -> None:
    site.world.faults.add("status", r"^POST .*/files", code=403, skip=3, times=None)
    done = site.gear()
    assert done.returncode == 1
    assert "no permission (403)" in done.stderr and "Nothing more was tried" in done.stderr
    assert site.states() == {"failed": 1, "not-reached": 8, "released": 3, "skipped": 2}
    assert site.world.log.count(r"^POST .*/files") == 4
    assert len(site.at_destination()) == 3
    told = json.loads((site.folder / "gear" / "output" / "summary.json").read_text())
    assert told["complete"] is False and told["states"] == site.states()
    assert all(bool(row["destination"]) == (row["state"] == "released") for row in site.rows())
    audited = {row["file"] for row in site.rows(report="audit.csv") if not row["path"].startswith("container")}
    assert audited == {row["destination"] for row in site.rows() if row["state"] == "released"}
    site.world.faults.clear()
    assert site.here(name="again")[0] == 0
    assert site.states("again") == {"released": 7, "skipped": 7}


def test_expired_key_mid_run(site: Site) -> None:
    site.world.faults.add("expire_key", r"^POST .*/files", skip=3)
    done = site.gear()
    assert done.returncode == 1
    assert site.states()["failed"] >= 1
    assert site.gear(name="again").returncode == 0
    assert len(site.at_destination()) == 10


def test_damaged_archive_is_refused_and_the_rest_goes_on(site: Site) -> None:
    file = next(f for f in site.world.files.values() if f.name == "dti.dicom.zip")
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        archive.writestr("IM1", bytes(128) + b"DICM" + b"\x02\0\0\0UL")
    site.world.add_file(file.parent, file.name, data.getvalue(), type="dicom")
    assert site.gear().returncode == 1
    assert site.states() == {"refused": 1, "released": 9, "skipped": 4}


def test_site_with_a_deid_log_is_refused(site: Site) -> None:
    site.world.deid_log.enabled = True
    done = site.gear()
    assert done.returncode == 2 and "deid_log" in done.stderr


def test_log_opens_with_what_it_is_about_and_ends_with_the_totals(site: Site) -> None:
    labels = sorted(c.label for c in site.world.containers.values() if c.kind == "subject")
    mapping = "subject.label,NEWID\n" + "".join(f"{label},{label[::-1]}\n" for label in labels)
    code, said = site.here(mapping=mapping, dry_run=True)
    assert code == 0
    first, *lines = said.splitlines()
    assert first == f"fw-gear-deid {__version__}; DRY RUN: nothing is written to the destination"
    for text in (
        f"source: project {site.source.id}; destination: project {site.destination.id}",
        f"profile: test, from input, SHA-256 {sha256(PROFILE.encode()).hexdigest()}",
        f"mapping: SHA-256 {sha256(mapping.encode()).hexdigest()}",
        "files: 14",
    ):
        assert text in lines
    assert "4 skipped" in lines[-1] and "would release 10" in lines[-1] and lines[-1].endswith("output")
    assert "DRY RUN" not in site.here()[1]


def test_secret_as_file_or_from_the_context(site: Site) -> None:
    labels = []
    for name, options in {
        "none": {}, "file": {"key_file": "0123456789abcdef"}, "context": {"secret": "fedcba9876543210"},
        "both": {"key_file": "0123456789abcdef", "secret": "fedcba9876543210"},
    }.items():  # fmt: skip
        code, said = site.here(name=name, dry_run=True, **options)
        assert code == 0
        assert said.splitlines()[1].startswith("this job has no secret") == (name == "none")
        summary = json.loads((site.folder / name / "output" / "summary.json").read_text())
        assert bool(summary.get("warnings")) == (name == "none")
        assert "fedcba" not in said + (site.folder / name / "output" / "summary.json").read_text()
        labels.append(site.rows(name)[0]["destination"])
    assert labels[1] == labels[3] and len(set(labels)) == 3


@pytest.mark.parametrize("options", [{"key_file": ""}, {"secret": ""}, {"secret": "short"}, {"key_file": " \n"}])
def test_an_empty_secret_is_no_secret(site: Site, options: dict[str, str]) -> None:
    code, said = site.here(**options)
    assert code == 2 and "16 bytes" in said
    assert site.world.log.count("^POST (?!/lookup)") == 0


def test_signed_uploads(site: Site) -> None:
    site.world.features["signed_url"] = True
    assert site.gear().returncode == 0
    assert len(site.at_destination()) == 10


@pytest.mark.parametrize("code", [500, 502, 503, 504])
@pytest.mark.parametrize("match", ["^PUT /signed/", "^GET /signed/"])
def test_storage_that_answers_with_an_error_is_asked_again(site: Site, match: str, code: int) -> None:
    """Signed addresses are not the platform's own; four errors of one file are outlived, and nothing cut stays."""
    site.world.features["signed_url"] = site.world.redirect_downloads = True
    fault = site.world.faults.add("status", match, code=code, times=4)
    file = next(f for f in site.world.files.values() if f.name == "dti.dicom.zip")
    assert site.here(trigger=(file.parent, file.name))[0] == 0
    assert fault.hits == 4
    assert site.states() == {"released": 1}
    assert [len(f.versions) for f in site.world.files.values() if f.parent.above("project") is site.destination] == [1]


def test_waits_grow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLYWHEEL_SDK_BACKOFF_FACTOR", "1")
    waits = [wait(attempt) for attempt in range(1, TRIES)]
    assert waits == [1, 2, 4, 8, 16]


def test_deleted_is_looked_after(site: Site) -> None:
    """A platform that says it deleted, and did not: the job tells."""
    file = next(f for f in site.world.files.values() if f.name == "dti.dicom.zip")
    assert site.here(trigger=(file.parent, file.name))[0] == 0
    site.world.deletes = False
    changed = PROFILE + "    - name: PatientSex\n      remove: true\n"
    code, _ = site.here(trigger=(file.parent, file.name), profile=changed, overwrite_files="Replace", name="again")
    assert code == 1
    assert "the platform still has it" in site.rows("again")[0]["reason"]
