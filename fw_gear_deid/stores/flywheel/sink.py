"""Results → files of a destination project: containers found or made, files checked there, older ones gone."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from fw_gear_deid.model.ports import Destination, Identity, Spot, Standing, Upload, Wanted
from fw_gear_deid.stores.flywheel.client import (
    AMISS,
    TRIES,
    UNCERTAIN,
    Platform,
    PlatformError,
    digest,
    plain,
    plain_digest,
    refused,
    wait,
)
from fw_gear_deid.stores.flywheel.containers import Containers
from fw_gear_deid.stores.flywheel.holding import Held, Holding, Kept, export_of

_FILE_KEYS = ("type", "modality", "classification", "tags", "info")


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
        self._containers = Containers(self._platform, project, match_by_id)
        self._put: dict[tuple[str, str], tuple[Held, str]] = {}
        """Path and origin of the innermost container → container and name of what this run put there."""

    @property
    def _holding(self) -> Holding:
        return self._containers.holding

    def prepare(self, containers: Sequence[tuple[Wanted, ...]]) -> None:
        """Learn which containers the run wants."""
        self._containers.prepare(containers)

    def finish(self, containers: Sequence[tuple[Wanted, ...]]) -> None:
        """Make containers that hold no files, bring those that do up to date."""
        self._containers.finish(containers)

    @property
    def remembers(self) -> bool:
        """A platform's file carries what it was made of."""
        return True

    @property
    def apart(self) -> frozenset[str]:
        """Levels at which two containers may have one label; subjects are people, whose labels stay their own."""
        return self._match_by_id & {"session", "acquisition"}

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

    def spot(self, destination: Destination) -> Spot:
        """Return ids, as far as there are any."""
        held, file = self._look_up(destination)
        if file is None:
            return Spot(destination.path.rpartition("/")[0], destination.name)
        return Spot(held.id, file.id, str(file.version))

    def exists(self, destination: Destination) -> bool:
        """Tell whether the destination container has a file of this name."""
        return self._look_up(destination)[1] is not None

    def _look_up(self, destination: Destination) -> tuple[Held, Kept | None]:
        """Return a file and what holds it, None where it is not."""
        held = self._holding.root
        for wanted in destination.containers:
            found = self._containers.find(held, wanted)
            if found is None:
                return held, None
            held = found
        return held, held.files.get(destination.name)

    # -- files -----------------------------------------------------------------------------------------

    def settle(self, containers: tuple[Wanted, ...]) -> None:
        """Do nothing: what was uploaded was checked."""

    def put(self, result: Path, destination: Destination, upload: Upload, *, replace: bool) -> None:
        """Upload a result with its metadata in one go, check what the platform holds, then let older ones go."""
        try:
            held = self._containers.ensure(destination.containers)
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
        log = upload.log and (before.log if before is not None else "")  # without a log, the id that is there stays
        there = before and (before.hash, before.size, before.export, log)
        if there != (expected, upload.size, export, upload.log):
            metadata = self._metadata(destination.name, upload, export)
            after = self._send(result, held, destination.name, metadata, before)
            if before is None and int(after.version) > 1:
                self._share(after, upload, replace=replace)
            file = Kept(
                str(after.file_id), destination.name, int(after.version), int(after.size or 0), expected, export,
                upload.log,
            )  # fmt: skip
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
                    raise refused(error) from None
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
        if upload.log:
            metadata["deid_log_id"] = upload.log
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
        self._containers.tidy(held)

    def _delete(self, file: str, version: int | None) -> None:
        """Delete a file or one version of it, and look whether it is gone."""
        options: dict[str, Any] = {} if version is None else {"version": version}
        if self._delete_reason:
            options["delete_reason"] = self._delete_reason
        if self._cleanup == "Cleanup_force":
            options["force"] = True
        try:
            self._platform.write("deleting a file", lambda sdk: sdk.delete_file(file, **options), tries=TRIES)
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


def _key(destination: Destination) -> tuple[str, str]:
    """Return what tells a file from one of the same labels and name in another container."""
    return destination.path, destination.containers[-1].origin if destination.containers else ""
