"""The loopback platform, driven by the real SDK."""

from __future__ import annotations

import gc
import hashlib
import io
import json
import os
import subprocess
import sys
import urllib.error
import urllib.request
import warnings
import zipfile
from pathlib import Path
from typing import Any

import pytest

from . import Container, Job, LoopbackServer, World, connect
from .sdk import ENVIRONMENT, spec

flywheel = pytest.importorskip("flywheel")
ApiException = flywheel.rest.ApiException

pytestmark = pytest.mark.filterwarnings("error")

CANARY = "ZZ^CANARY^7F3A"


def zipped(**members: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.comment = b"comment"
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


# --- keys ---------------------------------------------------------------------------------


def test_login_tells_who_the_key_is(world: World, server: LoopbackServer) -> None:
    world.add_user("ann")
    with connect(server.key(user="ann")) as client:
        assert client.get_current_user().id == "ann"
        assert client.get_auth_status().user_is_admin is False
        assert client.get_config().features.signed_url is False
        assert client.get_version().release == "23.0.0"


def test_device_key_is_a_bearer(server: LoopbackServer) -> None:
    with connect(server.key(device=True)) as client:
        assert client.get_auth_status().is_device is True


@pytest.mark.parametrize("known", [True, False], ids=["expired", "unknown"])
def test_invalid_key(server: LoopbackServer, known: bool) -> None:
    key = server.key(expired=True) if known else server.address("nobody")
    with pytest.raises(ApiException) as error, connect(key):
        pass
    assert error.value.status == 401


def test_restricted_key_reaches_its_projects_only(world: World, server: LoopbackServer, project: Container) -> None:
    other = world.add_project(world.containers["lab"], "Other")
    world.add_subject(other, "S")
    with connect(server.key(projects=[project])) as client:
        assert [found.label for found in client.projects.iter()] == ["Study A"]
        assert client.subjects() == []
        with pytest.raises(ApiException) as error:
            client.get_project(other.id)
        assert error.value.status == 403
        world.denied_status = 404
        with pytest.raises(ApiException) as error:
            client.lookup("lab/Other")
        assert error.value.status == 404


def test_read_only_key_and_unlisted_user(world: World, server: LoopbackServer, project: Container) -> None:
    with connect(server.key(read_only=True)) as client:
        seen = client.get_project(project.id)
        with pytest.raises(ApiException, match="403"):
            seen.add_tag("x")
    world.add_user("ann")
    with connect(server.key(user="ann")) as client, pytest.raises(ApiException, match="403"):
        client.get_project(project.id)


# --- containers ---------------------------------------------------------------------------


def test_lookup_and_resolve(world: World, client: Any, acquisition: Container) -> None:
    world.add_file(acquisition, "a b%.txt", b"1")
    assert client.lookup("lab/Study A/S 1/V1/T1").id == acquisition.id
    assert client.lookup("lab/Study A/S 1/V1/T1/a b%.txt").container_type == "file"
    assert client.lookup("lab/Study A/S 1/V1/T1/files/a b%.txt").size == 1
    assert client.get("lab").container_type == "group"
    assert client.get(acquisition.id).container_type == "acquisition"
    resolved = client.resolve("lab/Study A/S 1")
    assert [node.container_type for node in resolved.path] == ["group", "project", "subject"]
    assert [node.label for node in resolved.children] == ["V1"]
    with pytest.raises(ApiException) as error:
        client.lookup("lab/Study B")
    assert error.value.status == 404


def test_iterates_everything_beyond_one_page(world: World, client: Any, project: Container) -> None:
    session = world.add_session(world.add_subject(project, "S"), "V")
    for number in range(300):
        made = world.add_acquisition(session, f"A{number}", info={"n": number})
        world.add_file(made, f"f{number}.dcm", b"x", info={"n": number})
    names = [
        file.name
        for found in client.get_project(project.id).subjects.iter()
        for visit in found.sessions.iter()
        for series in visit.acquisitions.iter()
        for file in series.files
    ]
    assert names == [f"f{number}.dcm" for number in range(300)]
    pages = client.files.iter_find(f"parents.project={project.id}", limit=100)
    assert len(list(pages)) == 300
    assert world.log.count("GET /files") == 4
    assert len(client.get_session(session.id).acquisitions.find(sort="created:desc")) == 300
    world.page_cap = 7
    assert len(list(client.get_session(session.id).acquisitions.iter())) == 300


def test_lists_leave_info_out(world: World, client: Any, acquisition: Container) -> None:
    acquisition.info["secret"] = 1
    world.add_file(acquisition, "f.txt", b"x", info={"n": 1}, classification={"Custom": ["a"]})
    [listed] = client.acquisitions.find('label="T1"')
    assert (listed.info, listed.info_exists, listed.files[0].info) == ({}, True, None)
    assert listed.files[0].classification is None
    full = listed.reload()
    assert (full.info, full.files[0].info) == ({"secret": 1}, {"n": 1})
    assert listed.files[0].reload().classification == {"Custom": ["a"]}
    [listed] = client.get_all_acquisitions(include_all_info=True)
    assert listed.info == {"secret": 1}
    world.file_info_in_containers = False
    assert listed.reload().files[0].info is None


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('label="S 1"', ["S 1"]),
        ("label=S 1", ["S 1"]),
        ('label="100"', ["100"]),
        ("label=100", []),
        ('label="a\\, b"', ["a, b"]),
        ("label!=S 1", ["100", "a, b"]),
        ("label=~^[0-9]+$", ["100"]),
        ("info.export.origin_id=77af", ["100"]),
        ("info.age>=40", ["a, b"]),
        ("tags=x,info.age<50", ["a, b"]),
        ("created>2020-01-01", ["S 1", "100", "a, b"]),
        ("parents.project=PROJECT", ["S 1", "100", "a, b"]),
        ('parents.project="PROJECT"', []),
        ("id=PROJECT", []),
    ],
)
def test_filters(world: World, client: Any, project: Container, text: str, found: list[str]) -> None:
    world.add_subject(project, "S 1")
    world.add_subject(project, "100", info={"export": {"origin_id": "77af"}})
    world.add_subject(project, "a, b", info={"age": 40}, tags=["x"])
    subjects = client.get_project(project.id).subjects
    wanted = text.replace("PROJECT", project.id)
    assert [subject.label for subject in subjects.find(wanted)] == found


def test_create_update_delete(world: World, client: Any, project: Container) -> None:
    subject = client.get_project(project.id).add_subject(label="S", sex="female", tags=["t"])
    session = subject.add_session(label="V", age=31557600, timestamp="2020-01-01T00:00:00+00:00")
    series = session.add_acquisition(label="A", info={"a.b": 1})
    assert (subject.code, subject.sex, subject.tags) == ("S", "female", ["t"])
    assert (session.subject.label, session.age_years) == ("S", 1.0)
    assert session.timestamp.year == 2020
    assert (series.info, series.parents.group) == ({"a_b": 1}, "lab")
    session.update(label="V2", weight=70.5)
    series.update_info(x=1, y=2)
    series.delete_info("y")
    series.add_note("seen")
    assert (session.reload().label, session.reload().weight) == ("V2", 70.5)
    assert series.reload().info == {"a_b": 1, "x": 1}
    series.replace_info({"z": 3})
    assert (series.reload().info, series.reload().notes[0].text) == ({"z": 3}, "seen")
    client.delete_session(session.id, delete_reason="container_is_empty")
    assert client.get_subject(subject.id).sessions() == []
    assert [(d.kind, d.reason) for d in world.deletions] == [("session", "container_is_empty")]
    with pytest.raises(ApiException, match="422"):
        client.delete_subject(subject.id, delete_reason="because")


def test_tag_twice_is_409(client: Any, acquisition: Container) -> None:
    series = client.get_acquisition(acquisition.id)
    series.add_tag("a")
    with pytest.raises(ApiException, match="409"):
        series.add_tag("a")
    client.add_acquisition_tags(acquisition.id, ["a", "b"])
    series.delete_tag("a")
    assert acquisition.tags == ["b"]


def test_label_clash_is_409(client: Any, acquisition: Container) -> None:
    session = client.get_session(client.get_acquisition(acquisition.id).session)
    for add, label in (
        (client.get_project(session.project).add_subject, "S 1"),
        (client.get_subject(session.subject.id).add_session, "V1"),
        (session.add_acquisition, "T1"),
        (client.get_group("lab").add_project, "Study A"),
    ):
        with pytest.raises(ApiException) as error:
            add(label=label)
        assert error.value.status == 409


def test_settings_of_project_group_and_site(client: Any, project: Container) -> None:
    profile = {"name": "p", "dicom": {"fields": [{"name": "PatientID", "remove": True}]}}
    client.modify_project_settings(project.id, {"deid_profile": profile})
    assert client.get_project_settings(project.id).deid_profile == profile
    assert client.get_project(project.id).settings.deid_profile == profile
    client.modify_site_settings({"deid_profile": profile})
    assert client.get_site_settings().deid_profile == profile
    client.get_project(project.id).reload()
    group = client.api_client.call_api(
        "/groups/lab/settings",
        "GET",
        response_type="GroupSettingsOutput",
        auth_settings=["ApiKey"],
        _return_http_data_only=True,
    )
    assert group.deid_profile is None


# --- files --------------------------------------------------------------------------------


def test_upload_with_metadata_is_one_request(world: World, client: Any, acquisition: Container, tmp_path: Path) -> None:
    content = zipped(**{"1.dcm": b"one", "2.dcm": b"two"})
    metadata = {
        "type": "dicom",
        "modality": "MR",
        "classification": {"Intent": ["Structural"]},
        "tags": ["deid"],
        "info": {"a.b": {"c": 1}},
        "zip_member_count": 2,
        "deid_log_id": "00000000-0000-4000-8000-000000000001",
    }
    world.log.reset()
    name = 'ö "q", 100%.dicom.zip'
    [file] = client.upload_file_to_container(acquisition.id, spec(name, content), signed=False, metadata=metadata)
    assert world.log.count() == 1
    assert file.name == name
    assert (file.size, file.hash) == (len(content), hashlib.sha384(content).hexdigest())
    stored = client.get_file(file.file_id)
    assert {key: stored[key] for key in metadata} == metadata | {"info": {"a_b": {"c": 1}}}
    assert (stored.parents.acquisition, stored.parent_ref.type) == (acquisition.id, "acquisition")
    stored.download(str(tmp_path / "copy"))
    assert (tmp_path / "copy").read_bytes() == content
    assert client.get_acquisition(acquisition.id).files[0].read() == content
    assert stored.get_zip_info().comment == "comment"
    assert [member.path for member in stored.get_zip_info().members] == ["1.dcm", "2.dcm"]
    assert stored.read_zip_member("2.dcm") == b"two"
    with urllib.request.urlopen(stored.url()) as answer:
        assert answer.read() == content


def test_new_version_replaces(world: World, client: Any, acquisition: Container) -> None:
    series = client.get_acquisition(acquisition.id)
    [first] = series.upload_file(spec("f.txt", b"1"), metadata={"tags": ["old"]})
    [second] = series.upload_file(spec("f.txt", b"22"))
    assert (first.file_id, first.version, second.version) == (second.file_id, 1, 2)
    assert first["_id"] != second["_id"]
    assert [v.version for v in client.get_file_versions(first.file_id)] == [1, 2]
    assert first.reload().size == 1
    assert client.get_file(first.file_id).read() == b"22"
    assert client.download_file_from_container_as_data(series.id, "f.txt", version=1) == b"1"
    assert second.tags == ["old"]
    world.new_version_keeps_metadata = False
    [third] = series.upload_file(spec("f.txt", b"333"))
    assert third.tags == []


@pytest.mark.parametrize("size", [0, 10, 700_000])
def test_signed_upload(world: World, client: Any, acquisition: Container, size: int) -> None:
    world.features["signed_url"] = True
    world.signed_part_bytes = 300_000
    content = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
    world.log.reset()
    [file] = client.get_acquisition(acquisition.id).upload_file(
        spec("f.bin", content), metadata={"type": "raw", "tags": ["t"]}
    )
    assert (file.size, file.type, file.tags) == (size, "raw", ["t"])
    assert acquisition.files["f.bin"].content == content
    assert world.log.count("^PUT /signed/") == max(1, -(-size // 300_000))


def test_signed_download_by_redirect(world: World, client: Any, acquisition: Container) -> None:
    world.redirect_downloads = True
    world.add_file(acquisition, "f.txt", b"content")
    assert client.get_acquisition(acquisition.id).read_file("f.txt") == b"content"
    assert world.log.count("^GET /signed/") == 1


def test_range_of_a_file(world: World, client: Any, acquisition: Container) -> None:
    world.add_file(acquisition, "f.txt", b"0123456789")
    piece = client.download_file_from_container_as_data(acquisition.id, "f.txt", view=True, range="bytes=4-")
    assert piece == b"456789"


def test_edits_of_a_file(world: World, client: Any, acquisition: Container) -> None:
    stored = world.add_file(acquisition, "f.txt", b"1", info={"a": 1})
    file = client.get_acquisition(acquisition.id).files[0]
    with pytest.raises(ApiException, match="422"):
        file.replace_classification({"Intent": ["Structural"]})
    file.update(type="dicom", modality="CT")
    file.replace_classification({"Intent": ["Structural"]})
    file.update_classification({"Custom": ["x"]})
    file.update_info(b=2)
    file.delete_info("a")
    file.add_tags(["x", "y"])
    file.delete_tag("x")
    again = file.reload()
    assert (again.type, again.modality, again.info, again.tags) == ("dicom", "CT", {"b": 2}, ["y"])
    assert again.classification == {"Intent": ["Structural"], "Custom": ["x"]}
    client.move_file(file.file_id, {"name": "g.txt"})
    assert stored.name == "g.txt"


def test_delete_of_a_copied_file_takes_force(world: World, client: Any, acquisition: Container) -> None:
    stored = world.add_file(acquisition, "f.txt", b"1")
    stored.copied = True
    with pytest.raises(ApiException, match="409"):
        client.delete_file(stored.id, delete_reason="compliance_phi")
    client.delete_file(stored.id, delete_reason="compliance_phi", force=True)
    assert acquisition.files == {}
    assert [(d.name, d.reason, d.force) for d in world.deletions] == [("f.txt", "compliance_phi", True)]


# --- gears, jobs, rules, log --------------------------------------------------------------


def test_job_runs_what_the_test_attaches(world: World, server: LoopbackServer, client: Any, project: Container) -> None:
    def run(job: Job) -> None:
        with connect(server.key()) as gear:
            gear.get_project(project.id).add_tag(job.config["tag"])
        job.logs.append({"fd": 1, "msg": "done\n"})

    world.on_job = run
    gear_id = world.add_gear({"name": "deid", "version": "1.0.0", "config": {}}, "utility")
    gear = client.get_gear(gear_id)
    assert [found.gear.name for found in client.get_all_gears()] == ["deid"]
    job_id = gear.run(config={"tag": "x"}, destination=client.get_project(project.id))
    world.wait_for_jobs()
    job = client.get_job(job_id)
    assert (job.state, job.gear_info.name, project.tags) == ("complete", "deid", ["x"])
    assert client.get_job_logs(job_id).logs[0].msg == "done\n"


def test_job_without_callback_stays_pending(world: World, client: Any, project: Container) -> None:
    gear = client.get_gear(world.add_gear({"name": "deid", "config": {}}))
    analysis_id = gear.run(destination=client.get_project(project.id))
    analysis = client.get_analysis(analysis_id)
    assert (analysis.parent.id, analysis.parents.project) == (project.id, project.id)
    [job] = world.jobs.values()
    assert job.state == "pending"
    assert job.destination == {"type": "analysis", "id": analysis_id}
    client.get_job(job.id).change_state("cancelled")
    assert job.state == "cancelled"
    analysis.upload_output(spec("audit.csv", b"a,b"))
    assert client.get_project(project.id).analyses[0].files[0].name == "audit.csv"


def test_failing_job_fails(world: World, client: Any, project: Container) -> None:
    def run(_job: Job) -> None:
        raise ValueError("no")

    world.on_job = run
    gear = client.get_gear(world.add_gear({"name": "deid", "config": {}}, "utility"))
    job_id = gear.run(destination=client.get_project(project.id))
    world.wait_for_jobs()
    assert client.get_job(job_id).state == "failed"


def test_rules(client: Any, project: Container) -> None:
    rule = {"gear_id": "6a", "name": "each upload", "any": [], "all": [], "not": []}
    client.add_project_rule(project.id, rule)
    assert [found.name for found in client.get_project_rules(project.id)] == ["each upload"]


def test_deid_log(world: World, server: LoopbackServer, client: Any) -> None:
    world.deid_log.enabled = True
    config = client.get_config()
    assert config.features.deid_log is True
    request = urllib.request.Request(
        f"{config.site.deid_log_url}/logs",
        data=json.dumps({"indexed_fields": {"PatientName": CANARY}, "deidentified_tags": {}}).encode(),
        headers={"Authorization": f"scitran-user {server.key()}"},
    )
    with urllib.request.urlopen(request) as answer:
        log_id = json.load(answer)["id"]
    assert world.deid_log.records[0]["id"] == log_id
    assert world.deid_log.records[0]["indexed_fields"] == {"PatientName": CANARY}
    world.deid_log.down = True
    with pytest.raises(urllib.error.HTTPError) as error:
        urllib.request.urlopen(request)
    error.value.close()
    assert error.value.code == 503


# --- what was stored, what was sent -------------------------------------------------------


def test_everything_is_searched(world: World, client: Any, acquisition: Container) -> None:
    project = acquisition.above("project")
    assert project
    assert CANARY.encode() not in world.everything_at(project)
    other = world.add_project(world.containers["lab"], "Other")
    hidden = zipped(**{"inner.txt": b"x" * 999 + CANARY.encode()})
    series = client.get_acquisition(acquisition.id)
    series.upload_file(spec("outer.zip", zipped(**{"nested.zip": hidden})))
    series.upload_file(spec("outer.zip", b"harmless"))
    assert CANARY.encode() in world.everything_at(project.id)
    assert CANARY.encode() not in world.everything_at(other)
    assert CANARY.encode() in world.log.sent("POST .*/files")
    assert CANARY.encode() not in world.log.sent("POST /lookup")
    client.delete_file(acquisition.files["outer.zip"].id)
    assert CANARY.encode() not in world.everything_at(project)


def test_client_in_another_process(world: World, server: LoopbackServer, project: Container, tmp_path: Path) -> None:
    (tmp_path / "note.txt").write_text("hello")
    code = (
        "import os, flywheel\n"
        "project = flywheel.Client(os.environ['KEY']).lookup('lab/Study A')\n"
        "project.upload_file('note.txt', signed=False)\n"
    )
    world.faults.add("status", "GET /auth/status")
    environment = os.environ | ENVIRONMENT | {"KEY": server.key()}
    subprocess.run([sys.executable, "-c", code], env=environment, cwd=tmp_path, check=True)
    assert project.files["note.txt"].content == b"hello"


def test_sdk_leaves_a_file_open_when_it_uploads_a_path(client: Any, acquisition: Container, tmp_path: Path) -> None:
    path = tmp_path / "f.txt"
    path.write_bytes(b"1")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        client.upload_file_to_container(acquisition.id, str(path))
        client.get_version()  # until here the client holds the last answer and with it the file
        gc.collect()
    assert acquisition.files["f.txt"].content == b"1"
