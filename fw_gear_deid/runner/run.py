"""Job → released files and reports: the loop over every source file, and its exit code."""

from __future__ import annotations

import fcntl
import shutil
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from hashlib import sha256
from importlib.metadata import version as installed
from pathlib import Path
from types import FrameType

from fw_gear_deid import __version__
from fw_gear_deid.deid.survey import Surveyed
from fw_gear_deid.keys import Keyring
from fw_gear_deid.ledger import reports
from fw_gear_deid.ledger.state import RELEASING, Row, State
from fw_gear_deid.model.errors import StopRun, UsageError
from fw_gear_deid.model.outcome import Failed, Refused, Released, Skipped, state_of
from fw_gear_deid.model.ports import Item, Sink, Source
from fw_gear_deid.profile.profile import Profile
from fw_gear_deid.runner.layout import Place, arrange, version_of
from fw_gear_deid.runner.progress import Progress
from fw_gear_deid.runner.workers import Pool, Settings, Task, Worked, look, process, silence

OK, SOME_REFUSED, USAGE, INTERRUPTED = 0, 1, 2, 130


@dataclass(frozen=True, slots=True)
class Job:
    """Everything a run was asked for, checked.

    Attributes
    ----------
    source : Source
    sink : Sink
    profile : Profile
    keyring : Keyring
    reports : Path
    exists : str
        ``skip``, ``replace`` or ``fail``.
    verify : str
        ``strict``, ``report`` or ``off``.
    labels : str
        ``rules`` or ``keep``.
    workers : int
    originals : bool
        ``--audit-originals``.
    dry_run : bool
    quiet : bool
    """

    source: Source
    sink: Sink
    profile: Profile
    keyring: Keyring
    reports: Path
    exists: str = "skip"
    verify: str = "strict"
    labels: str = "rules"
    workers: int = 1
    originals: bool = False
    dry_run: bool = False
    quiet: bool = False

    def fingerprint(self) -> str:
        """Return what results depend on besides their source: another one makes a rerun do the work again."""
        parts = (
            __version__,
            self.profile.sha256,
            self.keyring.fingerprint(),
            self.labels,
            self.verify,
            str(self.originals),
        )
        return sha256("\n".join(parts).encode()).hexdigest()


def run(job: Job) -> int:
    """De-identify everything the source lists; return the exit code.

    Raises
    ------
    UsageError
        Another run has these reports open.
    StopRun
        The ledger is lost; nothing further was released.
    """
    silence()
    job.reports.mkdir(parents=True, exist_ok=True)
    with _locked(job.reports), _workspace(job.reports) as workspace, _terminable():
        state = State(None if job.dry_run else job.reports / "state.sqlite")
        try:
            return _Run(job, state, workspace).go()
        finally:
            state.close()


class _Run:
    """One run while it lasts."""

    def __init__(self, job: Job, state: State, workspace: Path) -> None:
        self._job = job
        self._state = state
        self._fingerprint = job.fingerprint()
        self._settings = Settings(
            job.source, job.profile, job.keyring, datetime.now(UTC).date(), job.verify, workspace, job.originals
        )
        self._listed: list[Item] = []
        self._began = datetime.now(UTC)
        self._positions: dict[str, int] = {}
        self._this_run: set[str] = set()
        self._withdrawn: dict[str, list[Row]] = {}
        """Destination → sources that were released there and taken back."""

    def go(self) -> int:
        interrupted = False
        stopped: StopRun | None = None
        pool = Pool(self._settings, self._job.workers)
        try:
            self._listed = list(self._job.source.items())
            self._positions = {item.id: number for number, item in enumerate(self._listed)}
            places = self._plan(pool)
            self._work(pool, places)
        except KeyboardInterrupt:
            interrupted = True
        except StopRun as error:
            stopped = error
        finally:
            pool.close()
        summary = self._report(interrupted=interrupted or stopped is not None)
        if stopped is not None:
            raise stopped
        if interrupted:
            return INTERRUPTED
        states = summary["states"]
        assert isinstance(states, dict)  # noqa: S101 -- reports.write makes it
        return SOME_REFUSED if states.get("refused") or states.get("failed") else OK

    def _plan(self, pool: Pool) -> list[Place]:
        """Look at the headers that places depend on, then arrange everything before anything is written."""
        tasks = [Task(number, (item,), None) for number, item in enumerate(self._listed) if not item.problem]
        wanted = self._one_per_acquisition(tasks)
        seen: dict[str, Surveyed | str] = {}
        for task, result in pool.run(look, wanted, lambda: "its worker process died while reading it"):
            seen[task.items[0].id] = result
        again = [
            task for task in tasks
            if task.items[0].labels and task.items[0].id not in seen
            and not self._answered(task.items[0].labels, seen, tasks)
        ]  # fmt: skip
        for task, result in pool.run(look, again, lambda: "its worker process died while reading it"):
            seen[task.items[0].id] = result
        return arrange(self._listed, seen, self._job.keyring, keep=self._job.labels == "keep")

    def _one_per_acquisition(self, tasks: list[Task]) -> list[Task]:
        wanted, known = [], set()
        for task in tasks:
            labels = task.items[0].labels
            if not labels or labels not in known:
                wanted.append(task)
                known.add(labels)
        return wanted

    @staticmethod
    def _answered(labels: tuple[str, ...], seen: dict[str, Surveyed | str], tasks: list[Task]) -> bool:
        return any(
            isinstance(header := seen.get(task.items[0].id), Surveyed) and bool(header.after)
            for task in tasks
            if task.items[0].labels == labels
        )

    def _work(self, pool: Pool, places: list[Place]) -> None:
        by_number = {place.task.number: place for place in places}
        with Progress(len(self._listed), quiet=self._job.quiet) as progress:
            pending = []
            for place in places:
                early = self._decided_before(place)
                if early is None:
                    pending.append(place.task)
                else:
                    state, reason = early
                    progress.step(state, reason, len(place.task.items))
            results = pool.run(process, pending, lambda: Worked(Failed("its worker process died"), None, 0.0))
            for task, worked in results:
                state, text = self._finish(by_number[task.number], worked)
                progress.step(state, text, len(task.items))

    def _decided_before(self, place: Place) -> tuple[str, str] | None:
        """Record what needs no work: no place for it, or done in an earlier run."""
        items = place.task.items
        if place.problem:
            self._record(place, Row("", 0, "", self._fingerprint, "", "refused", place.problem))
            return "refused", place.problem
        rows = [self._state.get(item.id) for item in items]
        first = rows[0]
        if first is None or not all(row is not None and row.task == version_of(items) for row in rows):
            return None
        unchanged = first.fingerprint == self._fingerprint and first.state in ("released", "skipped") and first.sha256
        if not unchanged or not self._job.sink.exists(first.destination) or self._job.exists == "replace":
            return None
        if "/".join(place.labels) != first.destination.rpartition("/")[0]:
            return None
        for row in rows:
            assert row is not None  # noqa: S101 -- checked above
            self._state.record(
                [replace(row, state="skipped", reason="released by an earlier run and unchanged since",
                         position=self._positions[row.source])]
            )  # fmt: skip
            self._this_run.add(row.source)
        return "skipped", "released by an earlier run and unchanged since"

    def _finish(self, place: Place, worked: Worked) -> tuple[str, str]:
        """Release a result, or note why not; return state and a text for the progress lines."""
        outcome = worked.outcome
        if isinstance(outcome, Released) and worked.result is not None:
            outcome = self._release(place, worked.result, outcome, worked.seconds)
        if isinstance(outcome, Released):
            return "released", f"{'/'.join(place.labels)}/{outcome.name} ({outcome.members} members)"
        row = Row("", 0, "", self._fingerprint, "", state_of(outcome), outcome.reason, seconds=worked.seconds)
        self._record(place, row)
        return state_of(outcome), outcome.reason

    def _release(
        self, place: Place, result: Path, released: Released, seconds: float
    ) -> Released | Refused | Skipped | Failed:
        try:
            if not place.labels[0]:
                return Refused(
                    "it cannot be placed: not in SUBJECT/SESSION/ACQUISITION folders, and without a DICOM header"
                )
            destination = "/".join((*place.labels, released.name))
            rivals = self._rivals(place, destination)
            if rivals:
                self._withdraw(rivals, destination)
                return Refused("another source gets the same name at the destination")
            earlier = [
                row for row in self._state.at(destination) if row.source in {item.id for item in place.task.items}
            ]
            ours = bool(earlier)
            if self._job.sink.exists(destination) and not ours and self._job.exists != "replace":
                reason = "the destination has a file of this name that no run with these reports made"
                return Skipped(reason) if self._job.exists == "skip" else Refused(reason)
            row = self._row(place, released, destination, seconds)
            if self._job.dry_run:
                self._record(place, row)
                return released
            self._record(place, replace(row, state=RELEASING))
            try:
                self._job.sink.put(result, destination, replace=ours or self._job.exists == "replace")
            except FileExistsError:
                return Refused("the destination has a file of this name")
            except OSError as error:
                return Failed(f"{error.strerror or type(error).__name__} (while writing to the destination)")
            self._leave_earlier_place(place, destination)
            self._record(place, row)
            return released
        finally:
            result.unlink(missing_ok=True)

    def _leave_earlier_place(self, place: Place, destination: str) -> None:
        """Remove what an earlier run made of the same source under another name."""
        for item in place.task.items:
            old = self._state.get(item.id)
            if (
                old is not None
                and old.sha256
                and old.destination != destination
                and not self._state.at(old.destination)
            ):
                self._job.sink.withdraw(old.destination)

    def _rivals(self, place: Place, destination: str) -> list[Row]:
        """Return other sources of this run that stand at a destination, or have stood there and were refused."""
        own = {item.id for item in place.task.items}
        return [
            row
            for row in self._state.at(destination) + self._withdrawn.get(destination, [])
            if row.source not in own and row.source in self._positions
        ]

    def _withdraw(self, rivals: list[Row], destination: str) -> None:
        """Take back what a rival released: neither of two sources with one name is trusted to be the right one."""
        if not self._job.dry_run:
            self._job.sink.withdraw(destination)
        for row in rivals:
            lost = replace(row, state="refused", reason="another source gets the same name at the destination",
                           destination="", audit="", actions="", changes=0, sha256="", bytes_out=0)  # fmt: skip
            self._state.record([lost])
            self._withdrawn.setdefault(destination, []).append(row)

    def _row(self, place: Place, released: Released, destination: str, seconds: float) -> Row:
        return Row(
            source="",
            position=0,
            task="",
            fingerprint=self._fingerprint,
            destination=destination,
            state="released",
            reason="",
            changes=sum(len(member.edits) for member in released.audit),
            members=released.members,
            bytes_in=released.bytes_in,
            bytes_out=released.bytes_out,
            sha256=released.sha256,
            seconds=seconds,
            audit=reports.audit_text(destination, released.audit, originals=self._job.originals),
            actions=reports.count_actions(released.audit),
            unmatched=" ".join(str(index) for index in sorted(released.unmatched)),
        )

    def _record(self, place: Place, row: Row) -> None:
        """Write one row per source; of a series the first row carries its sums."""
        version = version_of(place.task.items)
        rows = []
        for number, item in enumerate(place.task.items):
            mine = replace(row, source=item.id, position=self._positions[item.id], task=version)
            if row.members == 0:
                mine = replace(mine, bytes_in=item.size)
            elif number:
                mine = replace(
                    mine, changes=0, members=0, bytes_in=item.size, bytes_out=0, audit="", actions="", seconds=0.0
                )
            elif len(place.task.items) > 1:
                mine = replace(mine, bytes_in=item.size)
            rows.append(mine)
            self._this_run.add(item.id)
        self._state.record(rows)

    def _report(self, *, interrupted: bool) -> dict[str, object]:
        job = self._job
        ended = datetime.now(UTC)
        summary: dict[str, object] = {
            "program": {"name": "fw-gear-deid", "version": __version__},
            "versions": {"python": sys.version.split()[0], "pydicom": installed("pydicom")},
            "profile": {"name": job.profile.name, "sha256": job.profile.sha256},
            "key": job.keyring.fingerprint(),
            "options": {"exists": job.exists, "verify": job.verify, "labels": job.labels, "workers": job.workers,
                        "dry_run": job.dry_run, "audit_originals": job.originals},
            "started": self._began.isoformat(timespec="seconds"),
            "ended": ended.isoformat(timespec="seconds"),
            "seconds": round((ended - self._began).total_seconds(), 3),
            "complete": not interrupted,
            "profile_warnings": [f"{w.line}:{w.column} {w.message}" for w in job.profile.warnings],
        }  # fmt: skip
        rows = self._state.listed(item.id for item in self._listed if item.id in self._this_run)
        return reports.write(job.reports, rows, summary, job.profile.rule_labels())


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Let one run at a time use a reports folder, and with it a destination."""
    with (folder / ".lock").open("w") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise UsageError(f"{folder}: another run is using these reports") from None
        yield


@contextmanager
def _workspace(folder: Path) -> Iterator[Path]:
    """Make a private folder for results on their way; one left by a killed run is removed first."""
    path = folder / ".work"
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir(mode=0o700)
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


@contextmanager
def _terminable() -> Iterator[None]:
    """Let SIGTERM end a run as Ctrl-C does: whole files only, nothing left behind."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    try:
        before = signal.signal(signal.SIGTERM, stop)
    except ValueError:  # not in the main thread
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
