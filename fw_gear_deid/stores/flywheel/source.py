"""Containers and files of a platform project (or a part of it) → branches and items. Only ever read."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import field
from hashlib import sha256
from pathlib import Path
from typing import Any, ClassVar

from fw_gear_deid.model.container import EDITABLE, ContainerRecord
from fw_gear_deid.model.frozen import frozen
from fw_gear_deid.model.outcome import IDS
from fw_gear_deid.model.person import KEYWORDS
from fw_gear_deid.model.ports import LEVELS, Branch, Item
from fw_gear_deid.stores.flywheel.client import (
    AMISS,
    TRIES,
    UNCERTAIN,
    Platform,
    PlatformError,
    digest,
    plain,
    plain_digest,
    wait,
)
from fw_gear_deid.system import private

_PLURAL = {"project": "projects", "subject": "subjects", "session": "sessions", "acquisition": "acquisitions"}


@frozen
class FlywheelSource:
    """Part of a platform: a project, subject, session or acquisition, or one file.

    Attributes
    ----------
    key : str
        API key; never shown.
    level : str
        Of the start.
    id : str
        Of the start.
    project : str
        Id of the project that the start is in.
    file : str
        Base name of the only file to take; empty for all.
    detail : frozenset of str
        Levels (``file`` among them) whose info the profile asks for; the others are listed briefly.
    above_sessions : bool
        Take what no session holds, and leave the sessions to others.
    """

    keeps_subjects: ClassVar[bool] = True
    key: str = field(repr=False)
    level: str
    id: str
    project: str
    file: str = ""
    detail: frozenset[str] = frozenset()
    above_sessions: bool = False
    told: bool = False
    """Tell what no profile can speak of, too: notes, metadata of older releases, who made a file."""
    _found: dict[str, Branch] = field(default_factory=dict, repr=False, compare=False)

    def __reduce__(self) -> tuple[Any, ...]:
        # workers fetch and nothing else: what was listed stays here
        return FlywheelSource, (
            self.key,
            self.level,
            self.id,
            self.project,
            self.file,
            self.detail,
            self.above_sessions,
            self.told,
        )

    def items(self) -> Iterator[Item]:
        """Yield every file of every container, outermost containers first."""
        platform = Platform(self.key)
        self._found.clear()
        if self.level == "project":
            project = platform.get("project", self.id)
            yield from self._files(platform, project, "project", ())
            yield from self._below_project(platform, project)
            return
        start = platform.get(self.level, self.id)
        chain = self._above(platform, start)
        yield from self._visit(platform, start, self.level, chain)

    def _below_project(self, platform: Platform, project: Any) -> Iterator[Item]:
        """Walk a project by three list requests, not one per container."""
        held: dict[str, list[tuple[str, Any]]] = {}
        for level in LEVELS[:1] if self.above_sessions else LEVELS:
            options = self._listing(level)
            pages = platform.listed(
                f"listing {_PLURAL[level]}",
                lambda sdk, level=level, **page: getattr(sdk, f"get_project_{_PLURAL[level]}")(self.id, **page),
                **options,
            )
            for container in pages:
                parent = {"subject": self.id, "session": None, "acquisition": None}[level] or _parent(container, level)
                held.setdefault(parent, []).append((level, container))
        above = {"project": fields_of(project, "project") | {"label": project.label}}
        yield from self._descend(platform, self.id, (), (), above, held)

    def _descend(
        self,
        platform: Platform,
        parent: str,
        keys: tuple[str, ...],
        labels: tuple[str, ...],
        parents: dict[str, dict[str, Any]],
        held: dict[str, list[tuple[str, Any]]],
    ) -> Iterator[Item]:
        for level, container in sorted(held.get(parent, []), key=lambda pair: str(pair[1].id)):
            here = self._note(container, level, keys, labels, parents)
            yield from self._files(platform, container, level, here.keys)
            below = {**parents, level: {**here.record.fields, "label": here.record.label}}
            yield from self._descend(platform, container.id, here.keys, here.labels, below, held)

    def _above(self, platform: Platform, start: Any) -> list[tuple[str, Any]]:
        """Return the containers between the project and a start, with what rules may read of them."""
        chain = []
        for level in LEVELS[: LEVELS.index(self.level)]:
            key = start.parents.get(level)
            if key:
                chain.append((level, platform.get(level, key)))
        return chain

    def _visit(self, platform: Platform, start: Any, level: str, chain: list[tuple[str, Any]]) -> Iterator[Item]:
        keys: tuple[str, ...] = ()
        labels: tuple[str, ...] = ()
        project = platform.get("project", self.project)
        parents: dict[str, dict[str, Any]] = {"project": fields_of(project, "project") | {"label": project.label}}
        for upper, container in chain:
            here = self._note(container, upper, keys, labels, parents)
            keys, labels = here.keys, here.labels
            parents = {**parents, upper: {**here.record.fields, "label": here.record.label}}
        held: dict[str, list[tuple[str, Any]]] = {}
        parent = keys[-1] if keys else self.project
        held[parent] = [(level, start)]
        self._hold_children(platform, start, level, held)
        yield from self._descend(platform, parent, keys, labels, parents, held)

    def _hold_children(
        self, platform: Platform, container: Any, level: str, held: dict[str, list[tuple[str, Any]]]
    ) -> None:
        if level == "acquisition" or self.above_sessions:
            return
        below = LEVELS[LEVELS.index(level) + 1]
        options = self._listing(below)
        children = list(
            platform.listed(
                f"listing {_PLURAL[below]}",
                lambda sdk, **page: getattr(sdk, f"get_{level}_{_PLURAL[below]}")(container.id, **page),
                **options,
            )
        )
        held[container.id] = [(below, child) for child in children]
        for child in children:
            self._hold_children(platform, child, below, held)

    def _listing(self, level: str) -> dict[str, bool]:
        """Return how a level is listed: in full where a profile asks, and where headers tell whose a file is."""
        return {"include_all_info": True} if level in (*self.detail, "acquisition") else {}

    def witnesses(self) -> Iterator[Item]:
        """Yield the files of the start's subject, those that it does not take among them; call after ``items``."""
        subject = next(iter(self._found.values()), None)
        is_part = self.level in LEVELS[1:] or (self.level == "subject" and self.file)
        if subject is None or not is_part or subject.record.fields.get("date_of_birth"):
            return
        platform = Platform(self.key)
        held: dict[str, list[tuple[str, Any]]] = {}
        self._hold_children(platform, platform.get("subject", subject.record.id), "subject", held)
        for _, session in held.get(subject.record.id, []):
            for _, acquisition in held.get(session.id, []):
                keys = (subject.record.id, session.id, acquisition.id)
                for file in acquisition.files or []:
                    yield self._item(file, acquisition.id, "acquisition", keys)

    def _note(
        self,
        container: Any,
        level: str,
        keys: tuple[str, ...],
        labels: tuple[str, ...],
        parents: dict[str, dict[str, Any]],
    ) -> Branch:
        label = container.label or ""
        fields = fields_of(container, level) | self._told(container)
        if level not in self.detail:
            fields.pop("info", None)  # listed for the headers of its files
        codes = {key: code for key in _CODES if isinstance(code := container.get(key), str) and code}
        record = ContainerRecord(level, container.id, label, {**codes, **fields}, parents)
        branch = Branch(record, (*keys, container.id), (*labels, label))
        self._found[container.id] = branch
        return branch

    def _files(self, platform: Platform, container: Any, level: str, keys: tuple[str, ...]) -> Iterator[Item]:
        files = container.files or []
        if self.file:
            files = [file for file in files if file.name == self.file and container.id == self.id]
        if files and "file" in self.detail and level != "project":
            files = _same(platform.get(level, container.id).files, files)
        for file in sorted(files, key=lambda one: str(one.name)):
            yield self._item(file, container.id, level, keys)

    def _item(self, file: Any, container: str, level: str, keys: tuple[str, ...]) -> Item:
        fields = fields_of(file, "file") | self._told(file)
        if "file" not in self.detail:
            fields.pop("info", None)
        # another client's file may be listed without what makes it fetchable
        problem = "" if file.file_id and file.version is not None else "the platform does not tell its version"
        return Item(
            id=f"{_PLURAL[level]}/{container}/files/{file.file_id}",
            name=file.name,
            containers=keys,
            loose=False,
            version=f"{file.version} {file.size} {plain_digest(file.get('hash'))}",
            size=file.size or 0,
            problem=problem,
            fields=fields,
            kind=file.type or "",
            key=str(file.file_id or ""),
            header=_header(file),
            digest=plain_digest(file.get("hash")),
        )

    def _told(self, one: Any) -> dict[str, Any]:
        """Return what is known of a container or file and no profile can speak of."""
        found = {key: plain(one.get(key)) for key in _TOLD} if self.told else {}
        return {key: value for key, value in found.items() if value not in (None, "", [], {})}

    def containers(self, items: Sequence[Item]) -> list[Branch]:
        """Return the containers that ``items`` came by."""
        return list(self._found.values())

    def place(self, item: Item) -> str:
        """Return what the platform knows a file by, wherever it is moved to."""
        return f"fw {item.key or item.id}"

    def pin(self, item: Item) -> str:
        """Return the platform's version of the file: it changes with the content."""
        return item.version

    def fetch(self, item: Item, workspace: Path) -> Path:
        """Download a file and compare it with what the platform says of it; again when it is cut short."""
        platform = Platform(self.key)
        workspace.mkdir(mode=private.FOLDER, exist_ok=True)
        version, size, expected = [*item.version.split(" "), ""][:3]
        target = workspace / "file"
        container = item.id.split("/")[1]
        for attempt in range(1, TRIES + 1):
            try:
                platform.download(container, item.name, int(version), target)
                if target.stat().st_size == int(size) and expected in ("", digest(target)):
                    return target
                problem = PlatformError(AMISS, "downloading a file: what arrived is not what the platform holds")
            except PlatformError as error:
                if error.status not in UNCERTAIN:
                    raise
                problem = error
            target.unlink(missing_ok=True)
            if attempt < TRIES:
                time.sleep(wait(attempt))
        raise problem

    def is_still(self, item: Item, fetched: Path) -> bool:
        """Return true: it was brought."""
        return True

    def origin(self, *parts: str) -> str:
        """Return the SHA-256 of project and source ids: the same for the same source, telling nothing."""
        return sha256("".join((self.project, *parts)).encode()).hexdigest()


def _parent(container: Any, level: str) -> str:
    parents = container.parents
    return str(parents.get("subject" if level == "session" else "session"))


def _same(detailed: list[Any], brief: list[Any]) -> list[Any]:
    wanted = {file.file_id for file in brief}
    return [file for file in detailed if file.file_id in wanted]


def _header(file: Any) -> dict[str, Any]:
    """Return what the platform has noted of a file's DICOM header, where the listing shows it."""
    info = plain(file.get("info")) or {}
    header = info.get("header") if isinstance(info, dict) else None
    found = header.get("dicom") if isinstance(header, dict) else None
    wanted = (*KEYWORDS, *IDS)
    return {keyword: found[keyword] for keyword in wanted if keyword in found} if isinstance(found, dict) else {}


_TOLD = ("notes", "metadata", "origin", "created")
_CODES = ("code", "master_code")
"""Ids of a person that never travel: names are held against them."""


def fields_of(container: Any, level: str) -> dict[str, Any]:
    """Return the metadata that a profile can speak about, as plain JSON values."""
    found = {key: plain(container.get(key)) for key in EDITABLE[level]}
    return {key: value for key, value in found.items() if value not in (None, "", [], {})}
