"""What the platform keeps: containers, files and their versions, keys, jobs."""

from __future__ import annotations

import mimetypes
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

LEVELS = ("group", "project", "subject", "session", "acquisition")
PARENT = dict(zip(LEVELS[1:], LEVELS[:-1], strict=True))
KINDS = {f"{kind}s": kind for kind in LEVELS} | {"analyses": "analysis"}

# The fields that SDK 23's input models carry (models/*_input.py, *_modify.py). Others are ignored:
# neither a session nor an acquisition takes tags when it is made, an acquisition not even later.
_TIMED = {"label", "info", "timestamp", "timezone"}
_SUBJECT = {
    *("label", "code", "info", "tags", "firstname", "lastname", "sex", "cohort", "mlset"),
    *("date_of_birth", "type", "race", "ethnicity", "species", "strain", "master_code", "state"),
}
_SESSION = _TIMED | {"age", "weight", "operator"}
CREATE_FIELDS: dict[str, set[str]] = {
    "group": {"label"},
    "project": {"label", "description", "info", "copyable"},
    "subject": _SUBJECT,
    "session": _SESSION | {"uid"},
    "acquisition": _TIMED | {"uid"},
    "analysis": {"label", "description", "info"},
}
UPDATE_FIELDS: dict[str, set[str]] = CREATE_FIELDS | {
    "session": _SESSION | {"tags"},
    "analysis": {"label", "description"},
}
CHOICES: dict[str, set[str | None]] = {
    "cohort": {"Control", "Study", None},
    "mlset": {"Training", "Testing", "Validation", None},
    "state": {"In utero", "Alive", "Dead", None},
}
LABEL_MAX = {"subject": 64, "acquisition": 128}
FILE_FIELDS = (
    *("type", "mimetype", "modality", "classification", "tags", "info", "zip_member_count"),
    *("deid_log_id", "deid_log_skip_reason"),
)
DELETE_REASONS = {
    *("duplicate_data", "data_is_not_part_of_study", "data_incomplete_or_corrupt"),
    *("data_structured_incorrectly", "data_has_been_exported_or_moved", "container_is_empty"),
    *("analysis_or_processing_failed_or_cancelled", "compliance_consent_withdrawn"),
    *("compliance_phi", "compliance_data_policy", "test_data", "packfile_cleanup"),
}
# Some of the actions of SDK 23's models/action.py
_READS = {"containers_view_metadata", "files_view_metadata", "files_view_contents", "files_download"}
WRITES = {
    *("containers_create_hierarchy", "containers_modify_metadata", "containers_delete_hierarchy"),
    *("files_create_single", "files_modify_metadata", "files_delete_non_device_data", "tags_manage"),
}
ROLES = {"admin": _READS | WRITES, "read-only": _READS}
_TYPES = {
    ".dicom.zip": "dicom",
    ".dcm.zip": "dicom",
    ".dcm": "dicom",
    ".nii.gz": "nifti",
    ".nii": "nifti",
    ".pdf": "pdf",
    ".csv": "tabular data",
    ".json": "source code",
    ".yaml": "source code",
    ".txt": "text",
    ".zip": "archive",
}


def guess_type(name: str) -> str | None:
    """Turn a file name into the platform's file type."""
    return next((kind for end, kind in _TYPES.items() if name.lower().endswith(end)), None)


@dataclass(slots=True, eq=False)
class Container:
    """A group, project, subject, session, acquisition or analysis."""

    kind: str
    id: str
    parent: Container | None
    created: str
    modified: str
    fields: dict[str, Any]
    """Label, info and the other fields of its kind."""
    tags: list[str] = field(default_factory=list)
    notes: list[dict[str, Any]] = field(default_factory=list)
    files: dict[str, StoredFile] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)
    permissions: dict[str, list[str]] = field(default_factory=dict)
    """User id → role ids; of projects only."""

    @property
    def label(self) -> str:
        """The name shown to people."""
        return str(self.fields["label"])

    @property
    def info(self) -> dict[str, Any]:
        """The free-form metadata."""
        return self.fields.setdefault("info", {})  # type: ignore[no-any-return]

    def lineage(self) -> Iterator[Container]:
        """Yield itself, then its parent, up to the group."""
        at: Container | None = self
        while at:
            yield at
            at = at.parent

    def above(self, kind: str) -> Container | None:
        """Find itself or its ancestor of a kind."""
        return next((at for at in self.lineage() if at.kind == kind), None)


@dataclass(slots=True, eq=False)
class Version:
    """One version of a file: bytes and metadata."""

    number: int
    uuid: str
    content: bytes
    created: str
    modified: str
    origin: dict[str, str]
    fields: dict[str, Any]
    hash: str
    """SHA-384 in hex."""


@dataclass(slots=True, eq=False)
class StoredFile:
    """A file of a container, with all its versions."""

    id: str
    name: str
    parent: Container
    versions: dict[int, Version] = field(default_factory=dict)
    copied: bool = False
    """Whether a smart copy elsewhere depends on it: deleting it then takes ``force``."""

    @property
    def current(self) -> Version:
        """The version that everybody gets who asks for none."""
        return self.versions[max(self.versions)]

    @property
    def content(self) -> bytes:
        """The bytes of the current version."""
        return self.current.content

    @property
    def fields(self) -> dict[str, Any]:
        """The metadata of the current version."""
        return self.current.fields

    @property
    def tags(self) -> list[str]:
        """The tags of the current version."""
        return self.current.fields["tags"]  # type: ignore[no-any-return]

    @property
    def info(self) -> dict[str, Any]:
        """The free-form metadata of the current version."""
        return self.current.fields["info"]  # type: ignore[no-any-return]


@dataclass(slots=True, eq=False)
class Ticket:
    """A signed upload under way, or a download that needs no key."""

    container: Container
    name: str
    metadata: dict[str, Any] = field(default_factory=dict)
    parts: dict[int, bytes] = field(default_factory=dict)
    version: int | None = None


@dataclass(slots=True)
class Key:
    """An API key and what it may reach."""

    text: str
    user: str
    admin: bool
    projects: frozenset[str] | None = None
    """Ids of the only projects it reaches; None: whatever its user reaches."""
    read_only: bool = False
    expired: bool = False
    device: bool = False


@dataclass(slots=True, eq=False)
class Job:
    """A gear run that somebody asked for; nothing runs it but ``World.on_job``."""

    id: str
    gear_id: str
    created: str
    user: str
    inputs: dict[str, Any]
    config: dict[str, Any]
    destination: dict[str, str] | None
    tags: list[str]
    state: str = "pending"
    failure_reason: str | None = None
    logs: list[dict[str, Any]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Deletion:
    """What was deleted, by which words."""

    kind: str
    id: str
    name: str
    reason: str | None
    force: bool


def new_file_fields(name: str) -> dict[str, Any]:
    """Turn a file name into the metadata a file has before anybody describes it."""
    return {
        "type": guess_type(name),
        "mimetype": mimetypes.guess_type(name)[0] or "application/octet-stream",
        "modality": None,
        "classification": {},
        "tags": [],
        "info": {},
        "zip_member_count": None,
        "deid_log_id": None,
        "deid_log_skip_reason": None,
    }
