"""Test set-up and accepted requests → the state of one platform."""

from __future__ import annotations

import copy
import hashlib
import io
import threading
import uuid
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any

from . import edits
from .evidence import Record, RequestLog, everything_under
from .faults import Faults
from .model import (
    CHOICES,
    CREATE_FIELDS,
    DELETE_REASONS,
    FILE_FIELDS,
    LABEL_MAX,
    ROLES,
    WRITES,
    Container,
    Deletion,
    Job,
    Key,
    StoredFile,
    Ticket,
    Version,
    new_file_fields,
)
from .wire import RefusedError


@dataclass(slots=True)
class DeidLog:
    """The site's de-identification log service."""

    enabled: bool = False
    """Whether ``GET /config`` announces it."""
    down: bool = False
    """Whether it answers 503."""
    records: list[dict[str, Any]] = field(default_factory=list)
    """What was logged; each with the ``id`` it was given and the ``key`` that logged it."""


class World:
    """One platform in memory.

    Everything public may be set or read by a test at any time. Requests are served under `lock`,
    which a test needs only to look at several things at once while clients are at work.
    """

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.base_url = ""
        self.containers: dict[str, Container] = {}
        self.files: dict[str, StoredFile] = {}
        self.users: dict[str, bool] = {"admin": True}
        """User id → whether it is a site admin."""
        self.keys: dict[str, Key] = {}
        self.gears: dict[str, dict[str, Any]] = {}
        self.jobs: dict[str, Job] = {}
        self.rules: dict[str, list[dict[str, Any]]] = {}
        """Project id → its gear rules."""
        self.site_settings: dict[str, Any] = {}
        self.features = {"signed_url": False, "multipart_signed_url": False, "deid_profile": False}
        """``GET /config`` → ``features``; "signed_url" is what switches signed uploads on."""
        self.redirect_downloads = False
        """Whether a download is answered with a redirect to a signed address."""
        self.signed_part_bytes = 8 * 1024 * 1024
        """How much of a signed upload goes to one address."""
        self.roles = {role: set(actions) for role, actions in ROLES.items()}
        """Role → what it allows; nothing to see for a role that is not here."""
        self.roles_readable = True
        """Whether others than site admins may read what a role allows."""
        self.unique_labels = {"group", "project", "subject", "session", "acquisition"}
        """Kinds of which a parent takes no two with one label."""
        self.deletes = True
        """Whether deleting a file does what the answer says."""
        self.page_cap: int | None = None
        """How many items a list answers at most, whatever was asked for."""
        self.denied_status = 403
        """The answer to a key that may not; some platforms say 404."""
        self.file_info_in_containers = True
        """Whether reading one container shows the info of its files."""
        self.file_info_in_lists = True
        """Whether lists of containers that show all info show that of files, too."""
        self.new_version_keeps_metadata = True
        """Whether a new version inherits what its upload does not mention."""
        self.deid_log = DeidLog()
        self.faults = Faults()
        self.log = RequestLog()
        self.deletions: list[Deletion] = []
        self.tickets: dict[str, Ticket] = {}
        self.on_job: Callable[[Job], None] | None = None
        """Runs in a thread of its own for each job; may set its state, "complete" without."""
        self.job_threads: list[threading.Thread] = []
        self.errors: list[str] = []
        """Tracebacks of the server itself: mistakes in here, not faults."""
        self._count = 0

    # --- building -------------------------------------------------------------------------

    def add_user(self, user: str, *, admin: bool = False) -> str:
        """Add a person and return its id."""
        self.users[user] = admin
        return user

    def add_key(
        self,
        user: str = "admin",
        *,
        projects: list[Container] | None = None,
        read_only: bool = False,
        expired: bool = False,
        device: bool = False,
    ) -> str:
        """Make an API key, without host and port; ``projects`` are the only ones it reaches."""
        only = None if projects is None else frozenset(project.id for project in projects)
        number = self.new_id()
        text = number.rjust(57, "D") if device else f"k{number[-19:]}"
        self.keys[text] = Key(text, user, self.users[user], only, read_only, expired, device)
        return text

    def add_group(self, group: str, label: str | None = None) -> Container:
        """Add a group by its readable id."""
        now = self.now()
        made = Container("group", group, None, now, now, {"label": label or group})
        self.containers[group] = made
        return made

    def add_project(
        self, group: Container, label: str, *, users: tuple[str, ...] = ("admin",), **fields: Any
    ) -> Container:
        """Add a project that names some users as its admins."""
        project = self.add("project", group, label=label, **fields)
        project.permissions = {user: ["admin"] for user in users}
        return project

    def add_subject(self, project: Container, label: str, **fields: Any) -> Container:
        """Add a subject."""
        return self.add("subject", project, label=label, **fields)

    def add_session(self, subject: Container, label: str, **fields: Any) -> Container:
        """Add a session."""
        return self.add("session", subject, label=label, **fields)

    def add_acquisition(self, session: Container, label: str, **fields: Any) -> Container:
        """Add an acquisition; ``metadata`` is its legacy header dump."""
        return self.add("acquisition", session, label=label, **fields)

    def add_analysis(self, parent: Container, label: str, **fields: Any) -> Container:
        """Add an analysis to any container below the group."""
        return self.add("analysis", parent, label=label, **fields)

    def add_file(self, container: Container, name: str, content: bytes, **metadata: Any) -> StoredFile:
        """Add a file, or a version of it; ``metadata`` as an upload has it (type, info…)."""
        if zipfile.is_zipfile(io.BytesIO(content)):
            with zipfile.ZipFile(io.BytesIO(content)) as archive:
                metadata.setdefault("zip_member_count", len(archive.infolist()))
        return self.store(container, name, content, metadata, {"type": "user", "id": "admin"})

    def add_note(self, container: Container, text: str, user: str = "admin") -> dict[str, Any]:
        """Add a note to a container."""
        now = self.now()
        note = {"_id": self.new_id(), "user": user, "text": text}
        note |= dict.fromkeys(("created", "modified", "timestamp"), now)
        container.notes.append(note)
        return note

    def add_gear(self, manifest: dict[str, Any], category: str = "analysis") -> str:
        """Install a gear and return its id."""
        gear_id, now = self.new_id(), self.now()
        self.gears[gear_id] = {
            "_id": gear_id,
            "category": category,
            "gear": manifest,
            "created": now,
            "modified": now,
        }
        return gear_id

    @property
    def requests(self) -> list[Record]:
        """Every request so far, in the order of the answers."""
        return self.log.records

    def wait_for_jobs(self, timeout: float = 30) -> None:
        """Wait until `on_job` has returned for every job."""
        for thread in self.job_threads:
            thread.join(timeout)

    # --- looking --------------------------------------------------------------------------

    def everything_at(self, project: Container | str) -> bytes:
        """Everything stored under a project, archives inflated, as bytes to search in."""
        with self.lock:
            root = project if isinstance(project, Container) else self.containers[project]
            files = [file for file in self.files.values() if root in file.parent.lineage()]
            return everything_under(root, list(self.below(root)), files)

    def below(self, root: Container) -> Iterator[Container]:
        """Yield the containers inside one, in the order of their ids."""
        inside = (at for at in self.containers.values() if root in at.lineage())
        yield from (at for at in inside if at is not root)

    def find(self, container_id: str, kind: str | None = None) -> Container:
        """Find a container by id, of a kind if one is given."""
        found = self.containers.get(container_id)
        if found is None or (kind and found.kind != kind):
            raise RefusedError(404, f"{kind or 'container'} {container_id} was not found")
        return found

    def reaches(self, key: Key, container: Container, *, write: bool = False) -> bool:
        """Whether a key may read, or change, a container."""
        project = container.above("project")
        if project is None:
            if key.admin and key.projects is None:
                return True
            projects = (at for at in self.below(container) if at.kind == "project")
            return not write and any(self.reaches(key, at) for at in projects)
        if key.projects is not None and project.id not in key.projects:
            return False
        roles = set(project.permissions.get(key.user, ["admin"] if key.admin else []))
        if not write:
            return bool(roles)
        allowed = {action for role in roles for action in self.roles.get(role, ROLES["admin"])}
        return bool(allowed & WRITES) and not key.read_only

    def admit(self, key: Key, container: Container, *, write: bool = False) -> Container:
        """Return the container to a key that may, refuse the others."""
        if not self.reaches(key, container, write=write):
            raise RefusedError(self.denied_status, "The key does not reach this container")
        return container

    # --- changing -------------------------------------------------------------------------

    def add(self, kind: str, parent: Container, **fields: Any) -> Container:
        """Add a container of any kind, without asking whether the platform would allow it."""
        with self.lock:
            tags = fields.pop("tags", None)
            known = {name: _plain(value) for name, value in fields.items()}
            if kind == "subject":
                known.setdefault("code", known["label"])
            known["info"] = edits.checked_info(known.get("info") or {})
            now = self.now()
            made = Container(kind, self.new_id(), parent, now, now, known, list(tags or []))
            self.containers[made.id] = made
            return made

    def create(self, kind: str, parent: Container, body: dict[str, Any]) -> Container:
        """Add a container as a client asks for it."""
        fields = {name: body[name] for name in CREATE_FIELDS[kind] & set(body)}
        fields.setdefault("label", fields.get("code"))
        if not fields["label"]:
            raise RefusedError(422, "A label is required")
        self.check_fields(kind, fields, parent)
        return self.add(kind, parent, **fields)

    def check_fields(self, kind: str, fields: dict[str, Any], parent: Container | None) -> None:
        """Refuse fields that the platform refuses, a label that is taken above all."""
        for name, allowed in CHOICES.items():
            if fields.get(name) not in allowed:
                raise RefusedError(422, f"{name} has no such value")
        label = fields.get("label")
        if label and len(label) > LABEL_MAX.get(kind, len(label)):
            raise RefusedError(422, "The label is too long")
        siblings = (at for at in self.containers.values() if at.parent is parent)
        taken = {at.label for at in siblings if at.kind == kind and kind in self.unique_labels}
        if label in taken:
            raise RefusedError(409, f"A {kind} with this label already exists")

    def remove(self, container: Container) -> int:
        """Delete a container with all below it, and count the containers."""
        gone = [container, *self.below(container)]
        for at in gone:
            del self.containers[at.id]
            for file in at.files.values():
                del self.files[file.id]
        return len(gone)

    def store(
        self,
        container: Container,
        name: str,
        content: bytes,
        metadata: dict[str, Any],
        origin: dict[str, str],
    ) -> StoredFile:
        """Keep a file, or the next version of one of that name."""
        fields = new_file_fields(name)
        old = container.files.get(name)
        if old and self.new_version_keeps_metadata:
            fields = copy.deepcopy(old.fields) | {"zip_member_count": None}
        given = {key: metadata[key] for key in FILE_FIELDS if metadata.get(key) is not None}
        fields |= copy.deepcopy(given)
        fields["info"] = edits.checked_info(fields["info"])
        edits.checked_classification(fields["classification"], fields["modality"])
        with self.lock:
            file = old or StoredFile(self.new_id(), name, container)
            number = max(file.versions, default=0) + 1
            now = self.now()
            digest = hashlib.sha384(content).hexdigest()
            file.versions[number] = Version(number, self.new_uuid(), content, now, now, origin, fields, digest)
            container.files[name] = self.files[file.id] = file
            return file

    def expire(self, key: str) -> None:
        """Make a key invalid from now on; it may be given with host and port."""
        self.keys[key.rsplit(":", 1)[-1]].expired = True

    def new_id(self) -> str:
        """Make an id of 24 hex digits; later ones sort after earlier ones, as lists need it."""
        with self.lock:
            self._count += 1
            tail = hashlib.sha256(b"%d" % self._count).hexdigest()
            return f"6a1f{self._count:06x}{tail[:14]}"

    def new_uuid(self) -> str:
        """Make an id as file versions and log entries have them."""
        digest = hashlib.sha256(self.new_id().encode()).digest()
        return str(uuid.UUID(bytes=digest[:16], version=4))

    def now(self) -> str:
        """Read the clock, in ISO 8601."""
        return datetime.now(UTC).isoformat(timespec="milliseconds")


def checked_reason(reason: str | None) -> str | None:
    """Refuse a delete reason that the platform does not know."""
    if reason is not None and reason not in DELETE_REASONS:
        raise RefusedError(422, "There is no such delete reason")
    return reason


def _plain(value: Any) -> Any:
    return value.isoformat() if isinstance(value, date) else value
