"""Results → files of a destination project, found or made, checked after they arrived."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fw_gear_deid.model.ports import LEVELS, Destination, Earlier, Upload, Wanted
from fw_gear_deid.stores.flywheel.client import Platform, PlatformError, digest, plain, plain_digest, wait

_TRIES = 4
_PLURAL = {"subject": "subjects", "session": "sessions", "acquisition": "acquisitions"}
_FILE_KEYS = ("type", "modality", "classification", "tags", "info")
_CLEARED = frozenset({"firstname", "lastname", "operator", "species", "strain", "uid"})
"""Text fields that an empty text clears."""
_UNCERTAIN = frozenset({0, 429, 500, 502, 503, 504})
"""Answers after which the platform may or may not have kept an upload."""


def _export(thing: Any) -> Mapping[str, Any]:
    """Return what this program has written into a container's or file's info."""
    found = (plain(thing.get("info")) or {}).get("export")
    return found if isinstance(found, Mapping) else {}


class FlywheelSink:
    """A project that receives de-identified files.

    Parameters
    ----------
    key : str
        API key; never shown.
    project : str
        Id of the destination project.
    match_by_id : frozenset of str
        Levels at which a container is found again by its origin instead of its label.
    cleanup : str
        ``""``: an older version of a replaced file stays. ``Cleanup``: it is deleted once the new one is verified.
        ``Cleanup_force``: even when there are smart copies of it.
    delete_reason : str
        One of the platform's reasons, recorded with a deletion.
    """

    def __init__(
        self, key: str, project: str, *, match_by_id: frozenset[str], cleanup: str = "", delete_reason: str = ""
    ) -> None:
        self._platform = Platform(key)
        self._project = project
        self._match_by_id = match_by_id
        self._cleanup = cleanup
        self._delete_reason = delete_reason
        self._children: dict[str, list[Any]] = {}
        """Container → what stands below it."""
        self._ids: dict[tuple[str, ...], str] = {}
        """Labels from the subject down → container, once it is found or made."""
        self._fresh: set[str] = set()
        """Containers whose metadata is that of this run."""
        self._files: dict[str, dict[str, Any]] = {}
        """Container → its files by name."""
        self._put: dict[str, tuple[str, str]] = {}
        """Path → container and name of what this run put there."""

    # -- what is there ---------------------------------------------------------------------------------

    def earlier(self, containers: tuple[Wanted, ...], origin: str) -> Earlier | None:
        """Return the file that carries a source file's origin."""
        container = self._find(containers)
        if container is None:
            return None
        for name, file in self._files_of(container, containers).items():
            export = _export(file)
            if export.get("origin_id") == origin:
                return Earlier(name, str(export.get("fingerprint", "")), int(file.size or 0))
        return None

    def exists(self, destination: Destination) -> bool:
        """Tell whether the destination container has a file of this name."""
        container = self._find(destination.containers)
        return container is not None and destination.name in self._files_of(container, destination.containers)

    def _files_of(self, container: str, chain: tuple[Wanted, ...]) -> dict[str, Any]:
        if container not in self._files:
            level = chain[-1].level if chain else "project"
            self._files[container] = {file.name: file for file in self._platform.get(level, container).files or []}
        return self._files[container]

    def _find(self, chain: tuple[Wanted, ...]) -> str | None:
        """Return the id of a container at the destination, without making anything.

        An acquisition whose label is not decided yet can be found by its origin only.
        """
        parent = self._project
        for depth, wanted in enumerate(chain, 1):
            labels = tuple(one.label for one in chain[:depth])
            known = self._ids.get(labels) if wanted.label else None
            if known is None:
                found = self._match(parent, wanted)
                if found is None:
                    return None
                known = str(found.id)
                if wanted.label:
                    self._ids[labels] = known
            parent = known
        return parent

    def _match(self, parent: str, wanted: Wanted) -> Any:
        """Return the child that is meant, by origin or by label."""
        children = self._children_of(parent, wanted.level)
        if wanted.origin and (wanted.level in self._match_by_id or not wanted.label):
            return next((child for child in children if _export(child).get("origin_id") == wanted.origin), None)
        return next((child for child in children if child.label == wanted.label), None)

    def _children_of(self, parent: str, level: str) -> list[Any]:
        if parent not in self._children:
            above = "project" if parent == self._project else LEVELS[LEVELS.index(level) - 1]
            self._children[parent] = list(
                self._platform.listed(
                    f"listing {_PLURAL[level]}",
                    lambda sdk, **page: getattr(sdk, f"get_{above}_{_PLURAL[level]}")(parent, **page),
                    include_all_info=True,
                )
            )
        return self._children[parent]

    # -- containers ------------------------------------------------------------------------------------

    def _ensure(self, chain: tuple[Wanted, ...]) -> str:
        """Find or make every container of a chain and bring its metadata up to date; return the innermost id."""
        parent = self._project
        for depth, wanted in enumerate(chain, 1):
            labels = tuple(one.label for one in chain[:depth])
            container = self._ids.get(labels)
            if container is None:
                found = self._match(parent, wanted)
                container = self._create(parent, wanted) if found is None else str(found.id)
                self._ids[labels] = container
            if container not in self._fresh:
                self._refresh(parent, container, wanted)
            parent = container
        return parent

    def _create(self, parent: str, wanted: Wanted) -> str:
        """Make a container; somebody else may make it at the same moment."""
        body: dict[str, Any] = {
            key: value for key, value in wanted.fields.items() if key not in ("tags", "info", "label")
        }
        body |= {"label": wanted.label, "info": self._info(wanted)}
        if wanted.level == "subject":
            body["project"] = self._project
        elif wanted.level == "session":
            body |= {"project": self._project, "subject": {"_id": parent}}
        else:
            body["session"] = parent
        for attempt in range(1, _TRIES + 1):
            try:
                made = self._platform.call(
                    f"making a {wanted.level}", lambda sdk: getattr(sdk, f"add_{wanted.level}")(body)
                )
            except PlatformError as error:
                if error.status != 409 and error.status not in _UNCERTAIN:
                    raise
                # somebody made it, or the platform did and could not say so
                if error.status != 409:
                    time.sleep(wait(attempt))
                self._children.pop(parent, None)
                found = self._match(parent, wanted)
                if found is not None:
                    return str(found.id)
                if error.status == 409:
                    raise PlatformError(
                        409, f"making a {wanted.level}: a container of its label, made from another source"
                    ) from None
                if attempt == _TRIES:
                    raise
                continue
            key = str(made if isinstance(made, str) else made.id)
            self._tag(key, wanted, ())
            self._fresh.add(key)
            self._files[key] = {}
            self._children[key] = []
            return key
        raise AssertionError("unreachable")

    def _refresh(self, parent: str, container: str, wanted: Wanted) -> None:
        """Bring the metadata of a container that was there up to date, where it differs."""
        self._fresh.add(container)
        there = next(child for child in self._children_of(parent, wanted.level) if str(child.id) == container)
        export = _export(there)
        fields = {key: value for key, value in wanted.fields.items() if key not in ("tags", "info")}
        fields["label"] = wanted.label
        # what an earlier profile let travel and this one does not
        fields |= {key: "" for key in export.get("fields") or () if key in _CLEARED and key not in fields}
        changed = {key: value for key, value in fields.items() if plain(there.get(key)) != value}
        if changed:
            self._platform.call(
                f"updating a {wanted.level}",
                lambda sdk: getattr(sdk, f"modify_{wanted.level}")(container, changed),
                tries=_TRIES,
            )
        info, has = self._info(wanted), plain(there.get("info")) or {}
        gone = [key for key in export.get("info") or () if key not in info and key in has]
        for body in ({"delete": gone} if gone else {}, {"set": {k: v for k, v in info.items() if has.get(k) != v}}):
            if any(body.values()):
                self._change_info(wanted.level, container, body)
        self._tag(container, wanted, there.tags or ())

    def _change_info(self, level: str, container: str, body: Mapping[str, Any]) -> None:
        """Change some keys of a container's info; others' keys stay."""
        self._platform.call(
            f"updating a {level}",
            lambda sdk: getattr(sdk, f"modify_{level}_info")(container, dict(body)),
            tries=_TRIES,
        )

    def _tag(self, container: str, wanted: Wanted, there: Sequence[str]) -> None:
        """Add the tags that a container lacks, in one request."""
        tags = wanted.fields.get("tags")
        missing = [tag for tag in tags if tag not in there] if isinstance(tags, (list, tuple)) else []
        if missing:
            self._platform.call(
                f"tagging a {wanted.level}",
                lambda sdk: getattr(sdk, f"add_{wanted.level}_tags")(container, missing),
                tries=_TRIES,
            )

    @staticmethod
    def _info(wanted: Wanted) -> dict[str, Any]:
        info = wanted.fields.get("info")
        base = dict(info) if isinstance(info, Mapping) else {}
        if not wanted.origin:
            return base
        # which keys are ours, so that a later run can take back what its profile does not let travel
        fields = sorted(key for key in wanted.fields if key not in ("tags", "info"))
        return base | {"export": {"origin_id": wanted.origin, "info": sorted(base), "fields": fields}}

    def finish(self, containers: Sequence[tuple[Wanted, ...]]) -> None:
        """Make containers that hold no files, and bring those that do up to date."""
        for chain in sorted(containers, key=lambda one: tuple(wanted.label for wanted in one)):
            self._ensure(chain)

    # -- files -----------------------------------------------------------------------------------------

    def put(self, result: Path, destination: Destination, upload: Upload, *, replace: bool) -> None:
        """Upload a result with its metadata in one go, check what the platform holds, then tidy up."""
        container = self._ensure(destination.containers)
        files = self._files_of(container, destination.containers)
        before = files.get(destination.name)
        if before is not None and not replace:
            raise FileExistsError(destination.name)
        expected = digest(result)
        metadata = self._metadata(destination.name, upload)
        after = self._send(result, container, destination, upload, metadata, before, expected)
        files[destination.name] = after
        self._put[destination.path] = (container, destination.name)
        if before is not None and self._cleanup:
            self._delete_older(after, before)

    def _send(
        self,
        result: Path,
        container: str,
        destination: Destination,
        upload: Upload,
        metadata: Mapping[str, Any],
        before: Any,
        expected: str,
    ) -> Any:
        """Upload until the platform holds exactly what was sent; leave nothing else behind."""
        level = destination.containers[-1].level if destination.containers else "project"
        for attempt in range(1, _TRIES + 1):
            problem: PlatformError | None = None
            found = None
            try:
                with result.open("rb") as stream:
                    answer = self._platform.upload(container, destination.name, stream, upload.size, metadata)
                found = next((file for file in answer if file.name == destination.name), None)
            except PlatformError as error:
                if error.status not in _UNCERTAIN:
                    raise
                problem = error
            if found is None or problem is not None:
                # ask what is there: the platform may have kept it and failed to say so
                there = self._platform.get(level, container).files or []
                found = next((file for file in there if file.name == destination.name), None)
                if found is not None and before is not None and found.version == before.version:
                    found = None
            if found is not None:
                if self._is_whole(found, upload.size, expected):
                    return found
                self._delete(found, int(found.version))
                problem = PlatformError(0, "uploading a file: what arrived is not what was sent, and was deleted")
            if attempt == _TRIES:
                raise problem or PlatformError(0, "uploading a file: the platform does not show it")
            time.sleep(wait(attempt))
        raise AssertionError("unreachable")

    @staticmethod
    def _is_whole(file: Any, size: int, expected: str) -> bool:
        held = plain_digest(file.get("hash"))
        return file.size == size and held in ("", expected)

    def _metadata(self, name: str, upload: Upload) -> dict[str, Any]:
        """Everything that is to be known of a file, so that no later request is needed."""
        fields = {key: value for key, value in upload.fields.items() if key in _FILE_KEYS}
        given = fields.get("info")
        info = dict(given) if isinstance(given, Mapping) else {}
        info["export"] = {"origin_id": upload.origin, "fingerprint": upload.fingerprint, "sha256": upload.sha256}
        metadata: dict[str, Any] = {"name": name, "tags": [], **fields, "info": info}
        if upload.kind and "type" not in fields:
            metadata["type"] = upload.kind
        if name.lower().endswith(".zip"):
            metadata["zip_member_count"] = upload.members
        return metadata

    def _delete_older(self, after: Any, before: Any) -> None:
        """Delete the versions that a verified new one replaces."""
        for version in range(int(before.version), 0, -1):
            if version != int(after.version):
                try:
                    self._delete(after, version)
                except PlatformError as error:
                    if error.status != 404:  # an older one that went before
                        raise

    def _delete(self, file: Any, version: int) -> None:
        options: dict[str, Any] = {"version": version}
        if self._delete_reason:
            options["delete_reason"] = self._delete_reason
        if self._cleanup == "Cleanup_force":
            options["force"] = True
        self._platform.call(
            "deleting a file version", lambda sdk: sdk.delete_file(file.file_id, **options), tries=_TRIES
        )

    def withdraw(self, path: str) -> None:
        """Delete what this run put somewhere."""
        container, name = self._put.pop(path, ("", ""))
        file = self._files.get(container, {}).pop(name, None)
        if file is not None:
            self._delete(file, int(file.version))
