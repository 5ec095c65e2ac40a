"""Nothing is released without its entry in the de-identification log: reserved before, confirmed after."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from fw_gear_deid import __version__, keys
from fw_gear_deid.model.errors import UNLOGGED, UNRESOLVED, LogDown
from fw_gear_deid.model.logged import (
    FAILED,
    KEYWORDS,
    PATIENT,
    UID,
    UPLOADED,
    WITHDRAWN,
    DeidLog,
    Entry,
    Logged,
    Placed,
    Replaced,
)
from fw_gear_deid.model.ports import LEVELS, Destination, Sink, Spot, Standing, Upload, Wanted
from fw_gear_deid.runner.plan import version_of
from fw_gear_deid.runner.workers import Task, Worked

if TYPE_CHECKING:
    from fw_gear_deid.runner.batch import Sent
    from fw_gear_deid.runner.run import Job

Out = TypeVar("Out")
_OURS = timedelta(hours=6)
"""How long another job of a platform may take for one upload."""


class Gate:
    """The log as a run meets it; without one, everything passes.

    Parameters
    ----------
    job : Job
    log : DeidLog or None

    Attributes
    ----------
    confirmed, withdrawn : int
        Entries of this run.
    is_shut : bool
        The log was asked for entries, and has taken none.
    """

    def __init__(self, job: Job, log: DeidLog | None) -> None:
        self._job = job
        self._sink: Sink = job.sink
        self._log = log
        self._run = keys.fresh_name()
        self._profile = job.profiles.base.name
        self.confirmed = self.withdrawn = 0
        self.is_shut = False
        self._reserved = 0
        self._logged: frozenset[bytes] | None = None

    @property
    def wanted(self) -> bool:
        """Whether there is a log."""
        return self._log is not None

    # -- around a release ------------------------------------------------------------------------------

    def reserve(self, sent: Sequence[Sent]) -> None:
        """Write entries for what is to be put; each upload gets the id of its own.

        Raises
        ------
        LogDown
            None was written: nothing may be put.
        """
        if self._log is None or not sent:
            return
        self.is_shut = not self._reserved
        ids = _or(UNLOGGED, lambda log: log.reserve([self._entry(one) for one in sent]), self._log)
        for one, id_ in zip(sent, ids, strict=True):
            one.upload = replace(one.upload, log=id_)
        self.is_shut = False
        self._reserved += len(ids)

    def confirm(self, sent: Sequence[Sent]) -> None:
        """Note what stands, and what does not; what stood in its place before is withdrawn.

        Raises
        ------
        LogDown
        """
        if self._log is None:
            return
        put = [one for one in sent if one.is_put and one.upload.log]
        failed = [one.upload.log for one in sent if not one.is_put and one.upload.log]
        placed = [_placed(one.upload, self._sink.spot(one.destination)) for one in put]
        older = [id_ for there in placed for id_ in self._older(there)]
        older = list(dict.fromkeys([*older, *(id_ for one in sent for id_ in one.gone)]))

        def note(log: DeidLog) -> None:
            if placed:
                log.confirm(placed)
            if failed:
                log.fail(failed, FAILED)
            if older:
                log.fail(older, WITHDRAWN)

        _or(UNRESOLVED, note, self._log)
        self.confirmed += len(placed)
        self.withdrawn += len(older)

    def _older(self, there: Placed) -> list[str]:
        """Return the entries of what a result has taken the place of."""
        if self._log is None or not self._log.readable:
            return []
        found = _or(UNRESOLVED, lambda log: log.find_file(there.file), self._log)
        return [one.id for one in found if one.state == UPLOADED and one.id != there.id]

    def has_entry(self, path: str, sha: str) -> bool:
        """Tell whether the log says of a file at the destination that it stands; where none can be asked, it does.

        Parameters
        ----------
        path : str
            Below the destination, which may have moved.
        sha : str
            Its SHA-256: another patient's file may have the same.

        Raises
        ------
        LogDown
        """
        if self._log is None or not self._log.readable:
            return True
        if self._logged is None:
            self._logged = _or(UNLOGGED, self._all_logged, self._log)
        folder, _, name = path.rpartition("/")
        return self._stamp(folder, name, sha) in self._logged

    def _all_logged(self, log: DeidLog) -> frozenset[bytes]:
        return frozenset(self._stamp(folder, _base(file), sha) for folder, file, sha in log.standing(self._project))

    def _stamp(self, folder: str, name: str, sha: str) -> bytes:
        """Return what stands for a file in little memory; on a platform, where files go by ids, its bytes alone do."""
        place = "" if self._sink.remembers else f"{folder}/{name}"
        return sha256(f"{place}\0{sha}".encode("utf-8", "surrogatepass")).digest()[:16]

    # -- what is taken back ----------------------------------------------------------------------------

    def leaving(self, destination: Destination) -> Callable[[], None]:
        """Return what is to be called once the file at a destination is gone.

        Raises
        ------
        OSError
        LogDown
        """
        if self._log is None or not self._log.readable:
            return _nothing
        spot = self._sink.spot(destination)
        found = _or(UNLOGGED, lambda log: log.find_file(spot.file), self._log)
        ids = [one.id for one in found if one.state == UPLOADED]
        return lambda: self.left(ids)

    def left(self, ids: Collection[str]) -> None:
        """Note that the files of entries are gone.

        Raises
        ------
        LogDown
        """
        gone = [one for one in ids if one]
        if self._log is not None and gone:
            _or(UNLOGGED, lambda log: log.fail(gone, WITHDRAWN), self._log)
            self.withdrawn += len(gone)

    def standing(self, upload: Upload) -> dict[str, Standing]:
        """Return what the store knows to be made of the same source: id of the entry → where it stands."""
        if self._log is None or not (self._sink.remembers and upload.origin):
            return {}
        return {one.log: one for one in self._sink.earlier(upload.origin, upload.older) if one.log}

    # -- what a killed run left ------------------------------------------------------------------------

    def reconcile(self) -> None:
        """Settle entries that a killed run reserved: what stands at the destination is confirmed, what does not failed.

        Raises
        ------
        LogDown
        """
        if self._log is None or not self._log.readable:
            return
        self.is_shut = True
        _or(UNLOGGED, self._reconcile, self._log)
        self.is_shut = False

    def _reconcile(self, log: DeidLog) -> None:
        listed = log.reserved(self._project)
        there: Mapping[str, Standing] = {}
        if listed and self._sink.remembers:
            there = {one.log: one for one in self._sink.standing() if one.log}
        placed: list[Placed] = []
        gone: list[str] = []
        for one in listed:
            spot = self._found(one, there)
            if spot is not None:
                placed.append(Placed(one.id, spot.container, spot.file, spot.version, one.entry.dest_sha))
            elif not (self._sink.remembers and _is_young(one)):
                gone.append(one.id)
        if placed:
            log.confirm(placed)
        if gone:
            log.fail(gone, FAILED)

    def _found(self, one: Logged, there: Mapping[str, Standing]) -> Spot | None:
        """Return where the file of an entry stands; None for nowhere."""
        if self._sink.remembers:
            found = there.get(one.id)
            return found.spot if found is not None else None
        entry = one.entry
        labels = entry.dest_container.split("/") if entry.dest_container else []
        chain = tuple(Wanted(level, label) for level, label in zip(LEVELS, labels, strict=False))
        destination = Destination(chain, _base(entry.dest_file))
        if not self._sink.stood(destination) or self._sink.digest(destination) != entry.dest_sha:
            return None
        return self._sink.spot(destination)

    # -- an entry --------------------------------------------------------------------------------------

    @property
    def _project(self) -> str:
        """What tells the destination from others: a project's id, or what a folder tells of itself."""
        return self._job.dest.id.removeprefix("fw ")

    def _entry(self, one: Sent) -> Entry:
        told = _told(one.worked)
        spot = self._sink.spot(one.destination)
        task = one.place.task
        item = task.items[0]
        on_platform = bool(self._job.source.origin())
        return Entry(
            indexed={key: text for key, text in told["indexed"].items() if key in KEYWORDS},
            tags=told["tags"],
            run=self._run,
            replaced=tuple(
                Replaced(kind, old, new)
                for kind, name in ((UID, "uids"), (PATIENT, "patients"))
                for old, new in told[name]
            ),
            profile_name=self._profile,
            profile_sha256=self._job.profiles.sha256,
            source_project=self._job.root.removeprefix("fw "),
            source_container=(item.containers[-1] if item.containers else "") if on_platform else _folder(task),
            source_file=(item.key or item.id) if on_platform else item.id,
            source_version=item.version if on_platform else version_of(task),
            source_sha=item.digest,
            dest_project=self._project,
            dest_container=spot.container,
            dest_file=spot.file,
            dest_sha=one.made.sha256,
            gear_version=__version__,
        )


def _folder(task: Task) -> str:
    return task.items[0].id.rpartition("/")[0]


def _told(worked: Worked) -> Mapping[str, Any]:
    """Return what the worker noted, as ``Originals.told`` made it."""
    if worked.log is None:
        raise LogDown(f"{UNLOGGED}: nothing was noted of what a file was made of")
    try:
        text = worked.log.read_bytes() if isinstance(worked.log, Path) else worked.log
        told: Mapping[str, Any] = json.loads(text)
    except (OSError, ValueError):
        raise LogDown(f"{UNLOGGED}: what a worker noted in the workspace cannot be read") from None
    return told


def _placed(upload: Upload, spot: Spot) -> Placed:
    return Placed(upload.log, spot.container, spot.file, spot.version, upload.sha256)


def _is_young(one: Logged) -> bool:
    """Tell whether the run that reserved an entry may still be at it."""
    try:
        then = datetime.fromisoformat(one.timestamp)
    except ValueError:
        return True
    then = then if then.tzinfo is not None else then.replace(tzinfo=UTC)
    return datetime.now(UTC) - then < _OURS


def _base(file: str) -> str:
    """Return the name of a file from its path."""
    return file.replace("\\", "/").rpartition("/")[2]


def _nothing() -> None:
    pass


def _or(why: str, work: Callable[[DeidLog], Out], log: DeidLog) -> Out:
    """Do something with the log; what goes wrong is told in words that users know.

    Raises
    ------
    LogDown
    """
    try:
        return work(log)
    except LogDown as error:
        text = str(error)
        if text.startswith((why, UNRESOLVED)):
            raise
        raise LogDown(f"{why}: {text.removeprefix(UNLOGGED).removeprefix(': ')}") from None
