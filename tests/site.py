"""A loopback platform with a source project and an empty destination, and the gear started on it."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fw_gear_deid.main import main
from fw_gear_deid.sample import MARKER
from fw_gear_deid.stores.flywheel.client import disconnect
from tests import planted
from tests.desk import instance, packed
from tests.loopback import Container, World, serve
from tests.loopback.model import StoredFile
from tests.loopback.sdk import ENVIRONMENT
from tests.loopback.server import LoopbackServer

ROOT = Path(__file__).resolve().parents[1]
PROFILE = """\
name: test
dicom:
  remove-private-tags: true
  recurse-sequence: true
  date-increment: -17
  fields:
    - name: PatientName
      remove: true
    - name: PatientID
      hash: true
    - name: PatientBirthDate
      remove: true
    - name: PatientAddress
      remove: true
    - name: OtherPatientIDsSequence
      remove: true
    - name: AccessionNumber
      remove: true
    - name: StudyID
      remove: true
    - name: StudyDate
      increment-date: true
    - name: StudyDescription
      remove: true
    - name: SeriesDescription
      remove: true
    - name: ReferringPhysicianName
      remove: true
    - name: OperatorsName
      remove: true
    - name: InstitutionName
      remove: true
    - name: InstitutionAddress
      remove: true
    - name: StationName
      remove: true
    - name: DeviceSerialNumber
      remove: true
    - name: ImageComments
      remove: true
    - name: RequestAttributesSequence
      remove: true
    - name: ContentSequence
      remove: true
    - name: SeriesInstanceUID
    - name: SOPInstanceUID
      hashuid: true
"""


@dataclass
class Site:
    """A loopback platform with a source project and an empty destination; what is in the source the tests say."""

    world: World
    server: LoopbackServer
    source: Container
    destination: Container
    folder: Path
    started: list[str] = field(default_factory=list)

    def job(
        self,
        start: Container | None = None,
        *,
        profile: str | None = PROFILE,
        mapping: str | None = None,
        trigger: tuple[Container, str] | None = None,
        key: str = "",
        destination_key: str = "",
        secret: str | None = None,
        key_file: str | None = None,
        log_url: str | None = None,
        name: str = "gear",
        job_id: str = "",
        **config: Any,
    ) -> Path:
        """Write a job's folder, as the engine would."""
        folder = self.folder / name
        shutil.rmtree(folder, ignore_errors=True)
        (folder / "output").mkdir(parents=True)
        shutil.copy(ROOT / "manifest.json", folder)
        inputs: dict[str, Any] = {"api-key": {"base": "api-key", "key": key or self.server.key()}}
        given = (("deid_profile", "p.yaml", profile), ("mapping_csv", "m.csv", mapping), ("key_file", "k", key_file))
        for slot, file, text in given:
            if text is not None:
                path = folder / "input" / slot / file
                path.parent.mkdir(parents=True)
                path.write_text(text, encoding="utf-8")
                location = {"path": f"/flywheel/v0/input/{slot}/{file}", "name": file}
                parent = {"type": "project", "id": self.source.id}
                inputs[slot] = {"base": "file", "hierarchy": parent, "location": location, "object": {}}
        if trigger is not None:
            container, file = trigger
            path = folder / "input" / "input_file" / file
            path.parent.mkdir(parents=True)
            path.write_bytes(b"the gear downloads it itself")
            parent = {"type": container.kind, "id": container.id}
            inputs["input_file"] = {
                "base": "file", "hierarchy": parent, "location": {"path": str(path), "name": file}, "object": {},
            }  # fmt: skip
        inputs["deid_destination_key"] = {"base": "context", "found": bool(destination_key), "value": destination_key}
        inputs["deid_log_url"] = {"base": "context", "found": log_url is not None, "value": log_url}
        inputs["deid_secret"] = {"base": "context", "found": secret is not None, "value": secret}
        start = start or (trigger[0] if trigger else self.source)
        document = {
            "config": {"project_path": "lab/Clean", "workers": 1} | config,
            "inputs": inputs,
            "destination": {"type": start.kind, "id": start.id},
        } | ({"job": {"id": job_id}} if job_id else {})
        (folder / "config.json").write_text(json.dumps(document), encoding="utf-8")
        return folder

    def gear(self, start: Container | None = None, **options: Any) -> subprocess.CompletedProcess[str]:
        """Run the gear on a container in a process of its own; options as of ``job``."""
        folder = self.job(start, **options)
        environment = {**os.environ, **ENVIRONMENT, "PYTHONPATH": str(ROOT)}
        done = subprocess.run(
            [sys.executable, str(ROOT / "run.py")],
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        self.started.append(done.stdout + done.stderr)
        planted.say("a job's log", done.stdout + done.stderr)
        return done

    def here(self, start: Container | None = None, **options: Any) -> tuple[int, str]:
        """Run the gear in this process: the exit code and what it said."""
        folder = self.job(start, **options)
        with contextlib.redirect_stderr(io.StringIO()) as said:
            code = main(folder)
        planted.say("a job's log", said.getvalue())
        return code, said.getvalue()

    def rows(self, name: str = "gear", report: str = "files.csv") -> list[dict[str, str]]:
        text = (self.folder / name / "output" / report).read_text(encoding="utf-8")
        return list(csv.DictReader(io.StringIO(text, newline="")))

    def states(self, name: str = "gear") -> dict[str, int]:
        found: dict[str, int] = {}
        for row in self.rows(name):
            found[row["state"]] = found.get(row["state"], 0) + 1
        return dict(sorted(found.items()))

    def at_destination(self) -> list[tuple[str, ...]]:
        """Labels and names of every file in the destination project."""
        found = []
        for file in self.world.files.values():
            if not file.versions:
                continue
            labels, container = [], file.parent
            while container is not None and container.kind != "project":
                labels.insert(0, container.label)
                container = container.parent
            if container is self.destination:
                found.append((*labels, file.name))
        return sorted(found)


def stored(world: World, project: Container, folder: Path) -> None:
    """Put a tree SUBJECT/SESSION/ACQUISITION/FILE into a project, with metadata that tells who everybody is."""
    containers: dict[tuple[str, ...], Container] = {}
    for path in sorted(folder.rglob("*")):
        if not path.is_file():
            continue
        subject, session, acquisition, name = path.relative_to(folder).parts
        if (subject,) not in containers:
            containers[subject,] = world.add_subject(
                project, subject, firstname=f"{MARKER}FIRST", lastname=f"{MARKER}LAST", info={"mrn": f"{MARKER}INFO"}
            )
            world.add_note(containers[subject,], f"{MARKER}NOTE")
        if (subject, session) not in containers:
            containers[subject, session] = world.add_session(
                containers[subject,], session, operator=f"{MARKER}OP", timestamp="2020-01-18T10:00:00+00:00",
                tags=[f"{MARKER}TAG"],
            )  # fmt: skip
        key = (subject, session, acquisition)
        if key not in containers:
            containers[key] = world.add_acquisition(containers[subject, session], acquisition)
        kind = "dicom" if name.endswith((".zip", ".dcm")) else "text"
        world.add_file(
            containers[key], name, path.read_bytes(), type=kind, tags=[f"{MARKER}FILETAG"],
            info={"header": {"dicom": {"PatientName": f"{MARKER}HEADER"}}},
        )  # fmt: skip


@contextlib.contextmanager
def opened(folder: Path) -> Iterator[Site]:
    """Serve a site whose jobs get folders below ``folder``."""
    world = World()
    group = world.add_group("lab")
    source, destination = world.add_project(group, "Stored"), world.add_project(group, "Clean")
    world.unique_labels = {"project", "subject"}
    with serve(world) as server:
        site = Site(world, server, source, destination, folder)
        yield site
        planted.names(
            "a label", (one.label for kind in ("subject", "session", "acquisition") for one in held(site, kind))
        )
        planted.names("a file of the destination", (file.name for file in kept(site)))
        disconnect()


def scan(site: Site, path: str, number: int = 1, patient: str = "", **values: Any) -> StoredFile:
    """Add SUBJECT/SESSION/ACQUISITION with one archive to the source; acquisitions are never shared."""
    world, [subject, session, label] = site.world, path.split("/")
    at = child(site, site.source, subject) or world.add_subject(site.source, subject)
    at = child(site, at, session) or world.add_session(at, session)
    acquisition = world.add_acquisition(at, label)
    data = instance(patient or subject, series=number, SeriesDescription=label, **values)
    return world.add_file(acquisition, "scan.dicom.zip", packed({"1.dcm": data}), type="dicom")


def child(site: Site, parent: Container, label: str) -> Container | None:
    return next((one for one in site.world.containers.values() if one.parent is parent and one.label == label), None)


def held(site: Site, kind: str) -> list[Container]:
    """Return the containers of a kind at the destination."""
    return [
        one for one in site.world.containers.values() if one.kind == kind and one.above("project") is site.destination
    ]


def kept(site: Site) -> list[StoredFile]:
    return [
        file for file in site.world.files.values() if file.versions and file.parent.above("project") is site.destination
    ]
