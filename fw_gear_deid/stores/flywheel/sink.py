"""Results → files of a destination project: containers found or made, files checked there, older ones gone."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

from fw_gear_deid.model.errors import StopRun
from fw_gear_deid.model.ports import Destination, Identity, Standing, Upload, Wanted
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
from fw_gear_deid.stores.flywheel.holding import PLURAL, Held, Holding, Kept, export_of

T = TypeVar("T")
_FILE_KEYS = ("type", "modality", "classification", "tags", "info")
_CLEARED = frozenset({"firstname", "lastname", "operator", "species", "strain", "uid"})
"""Text fields that an empty text clears."""
_BELOW = {"project": "subject", "subject": "session", "session": "acquisition"}


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
        ``""``: what others put there stays as an older version of a replaced file. ``Cleanup``: it is deleted once the
        new one is verified. ``Cleanup_force``: even when there are smart copies of it.
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
        self._labels: dict[tuple[str, str], str] = {}
        """Level and origin → label that this run gives the container."""
        self._people: dict[str, list[str]] = {}
        """Label of a subject → origins that have it in this run: more than one where a mapping joins them."""
        self._ids: dict[tuple[str, str], str] = {}
        """Parent, and origin or label → container, once it is found or made."""
        self._used: dict[tuple[str, str], str] = {}
        """Level and origin → container that this run uses for it."""
        self._fresh: set[str] = set()
        """Containers whose metadata is that of this run."""
        self._moved: dict[str, Held] = {}
        """Containers under a label that made way for another one."""
        self._put: dict[tuple[str, str], tuple[Held, str]] = {}
        """Path and origin of the innermost container → container and name of what this run put there."""

    @cached_property
    def _holding(self) -> Holding:
        return Holding(self._platform, self._project)

    @property
    def remembers(self) -> bool:
        """A platform's file carries what it was made of."""
        return True

    @property
    def apart(self) -> frozenset[str]:
        """Levels at which two containers may have one label; subjects are people, whose labels stay their own."""
        return self._match_by_id & {"session", "acquisition"}

    def prepare(self, containers: Sequence[tuple[Wanted, ...]]) -> None:
        """Learn which containers the run wants: a label may have to make way for another one's."""
        for chain in containers:
            for wanted in chain:
                if wanted.origin:
                    self._labels[wanted.level, wanted.origin] = wanted.label
        for (level, origin), label in sorted(self._labels.items()):
            if level == "subject":
                self._people.setdefault(label, []).append(origin)

    # -- what is there ---------------------------------------------------------------------------------

    def earlier(self, origin: str, older: str = "") -> Sequence[Standing]:
        """Return what was made of a source file, wherever in the project it stands."""
        return [self._holding.describe(held, file) for held, file in self._holding.made_of(origin, older)]

    def standing(self) -> Iterator[Standing]:
        """Yield everything in the project that this program put there."""
        for held, file in self._holding.ours():
            yield self._holding.describe(held, file)

    @property
    def identity(self) -> Identity:
        """The project: what its files were made with stands with each of them."""
        return Identity(f"fw {self._project}")

    def claim(self, identity: Identity) -> None:
        """Do nothing: a project is known by its id."""

    def stood(self, destination: Destination) -> str:
        """Return id, version and size: another version of it, and one that was cut, differ."""
        _, file = self._look_up(destination)
        return f"{file.id} {file.version} {file.size}" if file is not None else ""

    def digest(self, destination: Destination) -> str:
        """Return the SHA-256 of what was sent, if the platform's own digest says that it still is what was sent."""
        _, file = self._look_up(destination)
        return str(file.export.get("sha256") or "") if file is not None and file.hash and file.whole else ""

    def exists(self, destination: Destination) -> bool:
        """Tell whether the destination container has a file of this name."""
        return self._look_up(destination)[1] is not None

    def _look_up(self, destination: Destination) -> tuple[Held, Kept | None]:
        """Return a file and what holds it, None where it is not."""
        held = self._holding.root
        for wanted in destination.containers:
            found = self._find(held, wanted)
            if found is None:
                return held, None
            held = found
        return held, held.files.get(destination.name)

    def _find(self, parent: Held, wanted: Wanted) -> Held | None:
        """Return the child that is meant, by origin or by label, without making anything.

        Raises
        ------
        PlatformError
            The only one of the label was made from another source: two people, or two scans, would become one.
        """
        key = (parent.id, wanted.origin or wanted.label)
        if key in self._ids:
            return self._holding.get(self._ids[key])
        by_origin = wanted.origin and (wanted.level in self._match_by_id or not wanted.label)
        if by_origin:
            joined = self._people.get(wanted.label, ()) if wanted.level == "subject" else ()
            candidates = (
                self._holding.of_origin(wanted.level, origin, parent.id) for origin in (wanted.origin, *joined)
            )
            found = next((one for one in candidates if one is not None), None)
        else:
            found = self._of_label(parent, wanted)
        if found is not None:
            self._ids[key] = found.id
            self._used[wanted.level, wanted.origin] = found.id
        return found

    def _of_label(self, parent: Held, wanted: Wanted) -> Held | None:
        same = [one for one in self._holding.below(parent.id, wanted.level) if one.label == wanted.label]
        if not wanted.origin:
            return same[0] if same else None
        free = [one for one in same if wanted.origin in one.origins] or [one for one in same if not one.origin]
        if same and not free:
            raise PlatformError(AMISS, _taken(wanted.level))
        return free[0] if free else None

    # -- containers ------------------------------------------------------------------------------------

    def _ensure(self, chain: tuple[Wanted, ...]) -> Held:
        """Find or make every container of a chain and bring its metadata up to date; return the innermost."""
        parent = self._holding.root
        for wanted in chain:
            held = self._find(parent, wanted)
            if held is None:
                held = self._create(parent, wanted)
                self._ids[parent.id, wanted.origin or wanted.label] = held.id
                self._used[wanted.level, wanted.origin] = held.id
            if held.id not in self._fresh:
                self._refresh(parent, held, wanted)
            parent = held
        return parent

    def _create(self, parent: Held, wanted: Wanted) -> Held:
        """Make a container; somebody else may make it at the same moment."""
        body: dict[str, Any] = {
            key: value for key, value in wanted.fields.items() if key not in ("tags", "info", "label")
        }
        body |= {"label": wanted.label, "info": self._info(wanted)}
        if wanted.level == "subject":
            body["project"] = self._project
        elif wanted.level == "session":
            body |= {"project": self._project, "subject": {"_id": parent.id}}
        else:
            body["session"] = parent.id
        for attempt in range(1, TRIES + 1):
            try:
                made = self._write(f"making a {wanted.level}", lambda sdk: getattr(sdk, f"add_{wanted.level}")(body))
            except PlatformError as error:
                if error.status != 409 and error.status not in UNCERTAIN:
                    raise
                # somebody made it, or the platform did and could not say so
                if error.status != 409:
                    time.sleep(wait(attempt))
                found = self._holding.again(parent.id, wanted)
                if found is not None:
                    return found
                if error.status == 409 and not self._make_way(parent, wanted):
                    known = any(one.label == wanted.label for one in self._holding.below(parent.id, wanted.level))
                    if known or attempt > 2:
                        raise PlatformError(AMISS, _taken(wanted.level)) from None
                    time.sleep(wait(attempt))  # another job is just making it
                if attempt == TRIES:
                    raise
                continue
            return self._settle(str(made if isinstance(made, str) else made.id), parent, wanted, body)
        raise AssertionError("unreachable")

    def _settle(self, made: str, parent: Held, wanted: Wanted, body: Mapping[str, Any]) -> Held:
        """Look again after making a container: of two that jobs made at the same moment the oldest is kept."""
        unique = wanted.level == "subject" and not wanted.origin  # the platform itself takes no two of one label
        oldest = None if unique else self._holding.again(parent.id, wanted)
        if oldest is not None and oldest.id != made:
            self._drop(Held(wanted.level, made, parent.id, "", dict(body)))
            return oldest
        if oldest is None:
            oldest = Held(wanted.level, made, parent.id, "", dict(body))
            self._holding.add(oldest)
        self._tag(made, wanted, ())
        self._fresh.add(made)
        return oldest

    def _make_way(self, parent: Held, wanted: Wanted) -> bool:
        """Give the container that has a wanted label a free one, if this run is to rename it anyway."""
        for one in self._holding.below(parent.id, wanted.level):
            later = self._labels.get((one.level, one.origin), "") if one.origin else ""
            if one.label == wanted.label and later and later != one.label:
                self._rename(one, f"renaming-{one.origin[:24]}")
                self._moved[one.id] = one
                return True
        return False

    def _rename(self, held: Held, label: str) -> None:
        self._write(
            f"renaming a {held.level}",
            lambda sdk: getattr(sdk, f"modify_{held.level}")(held.id, {"label": label}),
            tries=TRIES,
        )
        held.fields["label"] = label

    def _refresh(self, parent: Held, held: Held, wanted: Wanted) -> None:
        """Bring the metadata of a container that was there up to date, where it differs."""
        there = held.fields
        export = export_of(there.get("info"))
        fields = {key: value for key, value in wanted.fields.items() if key not in ("tags", "info")}
        fields["label"] = wanted.label
        # what an earlier profile let travel and this one does not
        fields |= {key: "" for key in export.get("fields") or () if key in _CLEARED and key not in fields}
        changed = {key: value for key, value in fields.items() if there.get(key) != value}
        if changed:
            self._modify(parent, held, wanted, changed)
        info, has = self._info(wanted, held), there.get("info") or {}
        gone = [key for key in export.get("info") or () if key not in info and key in has]
        for change in ({"delete": gone} if gone else {}, {"set": {k: v for k, v in info.items() if has.get(k) != v}}):
            if any(change.values()):
                self._change_info(wanted.level, held.id, change)
        there["info"] = {key: value for key, value in has.items() if key not in gone} | info
        self._tag(held.id, wanted, there.get("tags") or ())
        self._fresh.add(held.id)
        self._moved.pop(held.id, None)

    def _modify(self, parent: Held, held: Held, wanted: Wanted, changed: Mapping[str, Any]) -> None:
        def modify() -> None:
            self._write(
                f"updating a {held.level}",
                lambda sdk: getattr(sdk, f"modify_{held.level}")(held.id, dict(changed)),
                tries=TRIES,
            )

        try:
            modify()
        except PlatformError as error:
            if error.status != 409:
                raise
            if not self._make_way(parent, wanted):
                raise PlatformError(AMISS, _taken(held.level)) from None
            modify()
        held.fields |= changed

    def _change_info(self, level: str, container: str, body: Mapping[str, Any]) -> None:
        """Change some keys of a container's info; others' keys stay."""
        self._write(
            f"updating a {level}", lambda sdk: getattr(sdk, f"modify_{level}_info")(container, dict(body)), tries=TRIES
        )

    def _tag(self, container: str, wanted: Wanted, there: Sequence[str]) -> None:
        """Add the tags that a container lacks, in one request."""
        tags = wanted.fields.get("tags")
        missing = [tag for tag in tags if tag not in there] if isinstance(tags, (list, tuple)) else []
        if missing:
            self._write(
                f"tagging a {wanted.level}",
                lambda sdk: getattr(sdk, f"add_{wanted.level}_tags")(container, missing),
                tries=TRIES,
            )

    def _info(self, wanted: Wanted, held: Held | None = None) -> dict[str, Any]:
        info = wanted.fields.get("info")
        base = dict(info) if isinstance(info, Mapping) else {}
        if not wanted.origin:  # from a folder: noted is only that we made it
            ours = held is None or export_of(held.fields.get("info"))
            return base | ({"export": {"info": sorted(base)}} if ours else {})
        # which keys are ours, so that a later run can take back what its profile does not let travel
        fields = sorted(key for key in wanted.fields if key not in ("tags", "info"))
        export = {"origin_id": wanted.origin, "info": sorted(base), "fields": fields}
        people = {wanted.origin, *(self._people.get(wanted.label, ()) if wanted.level == "subject" else ())}
        if held is not None and people & held.origins:
            export["origin_id"] = held.origin
            people |= held.origins
        return base | {"export": export | ({"joined": sorted(people)} if len(people) > 1 else {})}

    def finish(self, containers: Sequence[tuple[Wanted, ...]]) -> None:
        """Make containers that hold no files, bring those that do up to date, end what a renaming began."""
        for chain in sorted(containers, key=lambda one: tuple((wanted.label, wanted.origin) for wanted in one)):
            self._ensure(chain)
        for held in list(self._moved.values()):
            self._rename(held, self._labels[held.level, held.origin])
            del self._moved[held.id]

    def _tidy(self, held: Held) -> None:
        """Remove containers that this program made, that are empty now, and that are not where this run puts things."""
        while held.level != "project" and export_of(held.fields.get("info")) and not held.files:
            parent, use = self._holding.get(held.parent), self._used.get((held.level, held.origin))
            known = (held.level, held.origin) in self._labels and use in (None, held.id)
            wanted = known or held.id in self._fresh
            below = _BELOW.get(held.level)
            if wanted or (below and self._holding.below(held.id, below)) or not self._drop(held):
                return
            self._holding.forget(held)
            self._ids = {key: one for key, one in self._ids.items() if one != held.id}
            held = parent

    def _drop(self, held: Held) -> bool:
        """Delete a container of ours if nobody has put anything into it; tell of it where it has to stay."""
        below = _BELOW.get(held.level)
        try:
            there = self._platform.get(held.level, held.id)
            inside: list[Any] = [*(there.files or ()), *(there.analyses or ()), *(there.notes or ())]
            if below:
                inside += self._platform.listed(
                    f"listing {PLURAL[below]}",
                    lambda sdk, **page: getattr(sdk, f"get_{held.level}_{PLURAL[below]}")(held.id, **page),
                )
            if not inside:
                self._platform.call(
                    f"deleting a {held.level}",
                    lambda sdk: getattr(sdk, f"delete_{held.level}")(held.id, delete_reason="container_is_empty"),
                    tries=TRIES,
                )
                return True
            why = "somebody has put something into it"
        except PlatformError as error:
            if error.status == 404:
                return True
            why = str(error)
        print(f"the {held.level} {held.id} at the destination is of no more use; it stays: {why}", file=sys.stderr)  # noqa: T201
        return False

    # -- files -----------------------------------------------------------------------------------------

    def put(self, result: Path, destination: Destination, upload: Upload, *, replace: bool) -> None:
        """Upload a result with its metadata in one go, check what the platform holds, then let older ones go."""
        try:
            held = self._ensure(destination.containers)
        except PlatformError as error:
            if error.status == AMISS:  # somebody else has the label: at least it is not below the wrong one
                for standing in self.earlier(upload.origin, upload.older):
                    if not standing.belongs(destination.containers):
                        self.remove(standing)
            raise
        before = held.files.get(destination.name)
        if before is not None:
            others = before.origin not in ("", upload.origin, upload.older) and "version_id" in before.export
            same = before.origin != "" and before.origin == upload.origin  # as when another job was as quick
            if others or not (replace or same):
                raise FileExistsError(destination.name)
        expected = digest(result)
        export = {
            "origin_id": upload.origin, "version_id": upload.version, "root_id": upload.root,
            "fingerprint": upload.fingerprint, "sha256": upload.sha256, "sha384": expected, "size": upload.size,
        }  # fmt: skip
        if before is None or (before.hash, before.size, before.export) != (expected, upload.size, export):
            metadata = self._metadata(destination.name, upload, export)
            after = self._send(result, held, destination.name, metadata, before)
            if before is None and int(after.version) > 1:
                self._share(after, upload, replace=replace)
            file = Kept(
                str(after.file_id), destination.name, int(after.version), int(after.size or 0), expected, export
            )
            self._holding.set(held, file)
        for holder, file in self._holding.made_of(upload.origin, upload.older):
            if holder is not held or file.name != destination.name:
                self._delete_file(holder, file)
        if before is not None:
            self._delete_older(held.files[destination.name], before, upload, export)
        self._put[_key(destination)] = (held, destination.name)

    def _send(self, result: Path, held: Held, name: str, metadata: Mapping[str, Any], before: Kept | None) -> Any:
        """Upload until the platform holds exactly what was sent; leave nothing else behind."""
        size, expected = result.stat().st_size, str(export_of(metadata["info"])["sha384"])
        problem: PlatformError | None = None
        for attempt in range(1, TRIES + 1):
            found = None
            try:
                with result.open("rb") as stream:
                    answer = self._platform.upload(held.id, name, stream, size, metadata)
                found = next((file for file in answer if file.name == name), None)
                problem = None
            except PlatformError as error:
                # an address for an upload may have run out; the next attempt gets a new one
                again = error.status in UNCERTAIN or (
                    error.status == 403 and attempt == 1 and self._platform.signed_uploads
                )
                if not again:
                    raise _refused(error) from None
                problem = error
            if found is None:
                found = self._arrived(held, name, before)
            if found is not None:
                if self._is_whole(found, size, expected):
                    return found
                self._delete(str(found.file_id), int(found.version))
                problem = PlatformError(AMISS, "uploading a file: what arrived is not what was sent, and was deleted")
            if attempt < TRIES:
                time.sleep(wait(attempt))
        raise problem or PlatformError(AMISS, "uploading a file: the platform does not show it")

    def _share(self, after: Any, upload: Upload, *, replace: bool) -> None:
        """Look at what came under this name since the listing: a parallel job's result goes, somebody else's stays."""
        version = int(after.version) - 1
        there = self._version(str(after.file_id), version)
        if there is None:
            return  # numbers go on where a file was deleted
        if export_of(plain(there.get("info"))).get("origin_id") == upload.origin != "":
            self._delete(str(after.file_id), version)
        elif not replace:
            self._delete(str(after.file_id), int(after.version))
            raise FileExistsError(str(after.name))

    def _arrived(self, held: Held, name: str, before: Kept | None) -> Any:
        """Ask what is there: the platform may have kept an upload and failed to say so."""
        there = self._platform.get(held.level, held.id).files or []
        found = next((file for file in there if file.name == name), None)
        return None if found is not None and before is not None and int(found.version) == before.version else found

    @staticmethod
    def _is_whole(file: Any, size: int, expected: str) -> bool:
        held = plain_digest(file.get("hash"))
        return file.size == size and held in ("", expected)

    @staticmethod
    def _metadata(name: str, upload: Upload, export: Mapping[str, Any]) -> dict[str, Any]:
        """Everything that is to be known of a file, so that no later request is needed."""
        fields = {key: value for key, value in upload.fields.items() if key in _FILE_KEYS}
        given = fields.get("info")
        info = dict(given) if isinstance(given, Mapping) else {}
        info["export"] = export
        metadata: dict[str, Any] = {"name": name, "tags": [], **fields, "info": info}
        if upload.kind and "type" not in fields:
            metadata["type"] = upload.kind
        if name.lower().endswith(".zip"):
            metadata["zip_member_count"] = upload.members
        return metadata

    def _version(self, file: str, version: int) -> Any:
        """Return a version of a file, None when it is gone."""
        try:
            there = self._platform.call(
                "reading a file version", lambda sdk: sdk.get_file(file, version=version), tries=TRIES
            )
        except PlatformError as error:
            if error.status != 404:
                raise
            return None
        return None if there.get("deleted") else there

    def _delete_older(self, after: Kept, before: Kept, upload: Upload, export: Mapping[str, Any]) -> None:
        """Delete the versions that a verified new one replaces: ours that were made otherwise, with cleanup all."""
        if after.id != before.id:  # a platform may give the new one an id of its own
            return
        for version in range(after.version - 1, 0, -1):
            if self._cleanup or self._made_otherwise(before, version, upload, export):
                self._delete(before.id, version)

    def _made_otherwise(self, file: Kept, version: int, upload: Upload, export: Mapping[str, Any]) -> bool:
        """Tell whether a version was made of the same source, with another fingerprint or of another version of it."""
        found = file.export
        if version != file.version:
            there = self._version(file.id, version)
            found = export_of(plain(there.get("info"))) if there is not None else {}
        # of a folder's file only the ledger knows what it was made of
        same = found.get("origin_id") in {upload.origin, upload.older} - {""} or (
            upload.renews and version == file.version
        )
        return same and any(found.get(key) != export[key] for key in ("fingerprint", "version_id"))

    def _delete_file(self, held: Held, file: Kept) -> None:
        """Delete a file with its versions, but for what somebody else has below ours, and what it leaves empty."""
        theirs: dict[int, Any] = {}
        for version in range(1, file.version) if not self._cleanup else ():
            there = self._version(file.id, version)
            if there is not None and not export_of(plain(there.get("info"))):
                theirs[version] = there
        if theirs:
            for version in range(file.version, 0, -1):
                if version not in theirs:
                    self._delete(file.id, version)
            self._holding.set(held, self._holding.kept(theirs[max(theirs)]))
            return
        self._delete(file.id, None)
        self._holding.unset(held, file.name)
        self._tidy(held)

    def _delete(self, file: str, version: int | None) -> None:
        """Delete a file or one version of it, and look whether it is gone."""
        options: dict[str, Any] = {} if version is None else {"version": version}
        if self._delete_reason:
            options["delete_reason"] = self._delete_reason
        if self._cleanup == "Cleanup_force":
            options["force"] = True
        try:
            self._write("deleting a file", lambda sdk: sdk.delete_file(file, **options), tries=TRIES)
        except PlatformError as error:
            if error.status == 409:
                raise PlatformError(
                    AMISS,
                    "deleting an older file: it has copies elsewhere; overwrite_files: Cleanup_force deletes it anyway",
                ) from None
            if error.status != 404:  # it went before
                raise
        at = {} if version is None else {"version": version}
        if not self._platform.gone("looking after a deletion", lambda sdk: sdk.get_file(file, **at)):
            raise PlatformError(AMISS, "deleting a file: the platform still has it")

    def withdraw(self, destination: Destination) -> None:
        """Delete what this run put somewhere, or what a run from a folder did."""
        held, name = self._put.pop(_key(destination), (None, ""))
        if held is None:
            held, found = self._look_up(destination)
            if found is not None and found.export and not found.origin:
                self._delete_file(held, found)
        elif name in held.files:
            file = held.files[name]
            self._delete(file.id, file.version)
            self._holding.unset(held, name)

    def remove(self, standing: Standing) -> None:
        """Delete a file that a run put here, and containers that it leaves empty and of no use."""
        container, _, name = standing.key.partition("/")
        held = self._holding.get(container)
        if name in held.files:
            self._delete_file(held, held.files[name])

    def _write(self, what: str, request: Callable[[Any], T], *, tries: int = 1) -> T:
        """Send a request that changes something; being forbidden once is enough."""
        try:
            return self._platform.call(what, request, tries=tries)
        except PlatformError as error:
            raise _refused(error) from None


def _key(destination: Destination) -> tuple[str, str]:
    """Return what tells a file from one of the same labels and name in another container."""
    return destination.path, destination.containers[-1].origin if destination.containers else ""


def _refused(error: PlatformError) -> Exception:
    """Return what a failed write means for the run."""
    if error.status != 403:
        return error
    return StopRun(f"the destination: {error}. Nothing more was tried there; what was released is whole")


def _taken(level: str) -> str:
    return (
        f"another {level} at the destination has its label, made from another source: give each a label of its own "
        f"(a rule on flywheel.{level}.label, or labels: rules), or rename that one"
    )
