"""Job → released files and reports: the loop over every source file, and its exit code."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from fw_gear_deid import RESULTS, __version__
from fw_gear_deid.deid.container import CleanContainer, deidentify_container
from fw_gear_deid.keys import Keyring
from fw_gear_deid.ledger import ids, reports
from fw_gear_deid.ledger.state import Made, Row, State, path_for
from fw_gear_deid.model.audit import first, lines
from fw_gear_deid.model.cells import shown
from fw_gear_deid.model.container import ContainerRecord
from fw_gear_deid.model.errors import DeidError, StopRun, UsageError, place_of
from fw_gear_deid.model.limits import Given
from fw_gear_deid.model.outcome import Failed, Ids, Refused, Released, Skipped, kind_of
from fw_gear_deid.model.person import OTHER_BIRTH_DATE
from fw_gear_deid.model.ports import Branch, Identity, Item, Sink, Source
from fw_gear_deid.model.seen import Seen
from fw_gear_deid.profile.values.book import ProfileBook
from fw_gear_deid.runner import marks
from fw_gear_deid.runner.earlier import Earlier
from fw_gear_deid.runner.marks import TOOK_TOO_MUCH
from fw_gear_deid.runner.memory import Memory
from fw_gear_deid.runner.newids import NewIds
from fw_gear_deid.runner.people import People, Remark, Sightings
from fw_gear_deid.runner.plan import Cleaned, Place
from fw_gear_deid.runner.policy import UNCHANGED
from fw_gear_deid.runner.pool import Crew, Pool
from fw_gear_deid.runner.prepare import pinned, prepare
from fw_gear_deid.runner.progress import SEE, Manner, Progress
from fw_gear_deid.runner.release import Releaser
from fw_gear_deid.runner.rows import Rows
from fw_gear_deid.runner.shares import shared
from fw_gear_deid.runner.signals import Interrupts
from fw_gear_deid.runner.told import INTERRUPTED, SOME_REFUSED, code_of
from fw_gear_deid.runner.workers import Settings, Task, Worked, process, silence
from fw_gear_deid.system import lock, private
from fw_gear_deid.system.packages import version_of

if TYPE_CHECKING:  # who has no cluster need not have its packages
    from fw_gear_deid.runner.cluster import Scheduler


@dataclass(frozen=True, slots=True)
class Job:
    """Everything a run was asked for, checked.

    Attributes
    ----------
    source : Source
    sink : Sink
    items : list of Item
        Everything the source lists.
    branches : sequence of Branch
        Its containers.
    profiles : ProfileBook
    keyring : Keyring
    reports : Path
        Where what may be handed on goes: ``audit.csv``, ``summary.json``.
    private : Path
        Where the rest of the reports goes: ``files.csv``, and the audit with originals.
    ledger : Path
        Where the ledger and the workspace live; not delivered to anybody.
    exists : str
        ``skip``, ``replace`` or ``fail``.
    verify : str
        ``strict``, ``report`` or ``off``.
    labels : str
        ``rules`` or ``keep``.
    compression : str
        ``fast`` or ``small``.
    workers : int
    scheduler : Scheduler or None
        Of the cluster whose workers do the work instead.
    originals : bool
        ``--audit-originals``.
    ids : Path or None
        ``--ids``: where to write old and new ids.
    uid_map : Path or None
        ``--uid-map``: where to write UIDs that were hashed.
    dry_run : bool
    quiet : bool
    names : bool
        A terminal may show the names of files of SOURCE.
    one_file : bool
        The run is about a single file that somebody chose.
    strict : bool
        ``--identity strict``: people who contradict are refused; else warned of, and kept apart.
    strict_rules : bool
        A file in which a rule of its section finds nothing is refused.
    root : str
        Stands for SOURCE, to tell a folder's name here from the same name elsewhere.
    dest : Identity
        What the destination tells of itself, or is to tell from now on.
    check : bool
        Compare what stands at the destination by SHA-256.
    prune : bool
        Take back what stands there of sources that are gone.
    whole : bool
        The source is all that the destination's files are made of: a whole project, without filters.
    limits : mapping of str to int
        Those that were set; they decide what is refused, not what comes out.
    facts : dict
        What else the summary should tell, such as where the profile came from.
    """

    source: Source
    sink: Sink
    items: list[Item]
    branches: Sequence[Branch]
    profiles: ProfileBook
    keyring: Keyring
    reports: Path
    private: Path
    ledger: Path
    exists: str = "skip"
    verify: str = "strict"
    labels: str = "rules"
    compression: str = "fast"
    workers: int = 1
    scheduler: Scheduler | None = None
    originals: bool = False
    ids: Path | None = None
    uid_map: Path | None = None
    dry_run: bool = False
    quiet: bool = False
    names: bool = True
    one_file: bool = False
    strict: bool = True
    strict_rules: bool = False
    root: str = ""
    dest: Identity = field(default_factory=Identity)
    check: bool = False
    prune: bool = False
    whole: bool = True
    limits: Given = field(default_factory=dict)
    facts: dict[str, object] = field(default_factory=dict)

    @property
    def wants_ids(self) -> bool:
        """Whether ids are asked for, which only the work on a source tells."""
        return self.ids is not None or self.uid_map is not None

    def fingerprint(self, task: Task) -> str:
        """Return what results depend on besides their source: another one makes a rerun do the work again."""
        profile = self.profiles.fingerprint(task.labels, self.profiles.ids_of_row(task.row))
        return self.keyring.stamp(str(RESULTS), profile)


class Stopped(StopRun):
    """The work ended before its end; what was done until then is in the reports.

    Attributes
    ----------
    summary : dict
        What ``summary.json`` says.
    """

    def __init__(self, text: str, summary: dict[str, object]) -> None:
        super().__init__(text)
        self.summary = summary


def run(job: Job, interrupts: Interrupts | None = None) -> tuple[int, dict[str, object]]:
    """De-identify everything the source lists; return the exit code and the summary.

    Parameters
    ----------
    job : Job
    interrupts : Interrupts, optional
        That the caller listens to; without it, signals are taken while this lasts.

    Raises
    ------
    UsageError
        Another run has these reports open.
    StopRun
        The ledger or the destination is lost, or something went wrong that nobody thought of; nothing further was
        released. ``Stopped`` where the reports tell what was.
    """
    if interrupts is None:
        with Interrupts().listening() as own:
            return run(job, own)
    silence()
    try:
        with (
            interrupts.held(),
            _locked(job),
            _workspace(job.private if job.scheduler else job.ledger) as (workspace, suspects),
            closing(State(path_for(job.ledger, job.sink.identity.id), keep=not job.dry_run)) as state,
        ):
            suspects |= state.failed(TOOK_TOO_MUCH)
            marks.carry(workspace, suspects)
            code, summary = _Run(job, state, workspace, suspects, interrupts).go()
    except OSError as error:
        cause = error.strerror or str(error)
        raise StopRun(f"{job.reports}: the reports cannot be written ({cause}); what was released is whole") from None
    return INTERRUPTED if interrupts.asked else code, summary


class _Run:
    """One run while it lasts."""

    def __init__(
        self, job: Job, state: State, workspace: Path, suspects: Collection[str], interrupts: Interrupts
    ) -> None:
        self._interrupts = interrupts
        self._suspects = suspects
        self._job = job
        self._state = state
        self._began = datetime.now(UTC)
        self._settings = Settings(
            job.source,
            job.profiles,
            job.keyring,
            self._began.date(),
            job.verify,
            workspace,
            job.originals,
            job.ids is not None,
            job.strict,
            job.compression == "small",
            job.strict_rules,
            job.limits,
            marks=True,
            uids=job.uid_map is not None,
        )
        self._rows_used = Rows(job.profiles.lookup)
        self._unchanged = 0
        self._ids: dict[Ids, None] = {}
        self._new_ids = NewIds(job.profiles)
        self._listed = job.items
        self._positions = {item.id: number for number, item in enumerate(job.items)}
        self._people = People()
        self._sightings = Sightings({})
        self._containers: dict[str, Cleaned] = {}
        self._releaser: Releaser | None = None
        self._watched = self._progress("", ())
        self._notes: list[str] = []
        """What has to be said of the run as a whole."""

    def go(self) -> tuple[int, dict[str, object]]:
        interrupted = trouble = False
        stopped: str | None = None
        crew = ExitStack()
        try:
            self._state.begin()
            with self._interrupts.allowed():
                pool = crew.enter_context(closing(self._crew()))
                job = self._job = replace(self._job, items=pinned(self._job))
                self._listed = job.items
                prepared = prepare(
                    job, self._settings, pool, self._memory(), lambda items: self._progress("looking", items)
                )
                places = prepared.places
                self._new_ids.compare(place.task for place in places)
                self._people, self._containers = prepared.people, prepared.containers
                self._sightings = Sightings(prepared.people.known)
                job.sink.prepare([cleaned.chain for cleaned in self._containers.values()])
                seen = {key: one for key, one in prepared.seen.items() if isinstance(one, Seen)}
                earlier = Earlier(job, self._state, seen, prepared.people.copies)
                self._releaser = Releaser(
                    job, self._state, earlier, job.dest, self._describe, self._told, self._interrupts.held
                )
                self._work(pool, places, self._releaser)
                trouble = not self._finish_containers(places)
                trouble |= not self._look_for_orphans(earlier)
        except KeyboardInterrupt:
            interrupted = True
        except Exception as error:
            if isinstance(error, UsageError) and self._releaser is None:
                raise  # nothing was written
            stopped = _told(error)
        finally:
            crew.close()
        try:
            summary = self._report(complete=not interrupted and stopped is None)
        except OSError:
            if stopped is None:
                raise
            raise StopRun(stopped) from None
        if stopped is not None:
            raise Stopped(stopped, summary)
        if interrupted:
            return INTERRUPTED, summary
        return SOME_REFUSED if trouble else code_of(summary), summary

    def _crew(self) -> Crew:
        job = self._job
        if job.scheduler is None:
            return Pool(self._settings, job.workers, self._suspects)
        return job.scheduler.connect(self._settings, job.items)

    # -- before anything is written --------------------------------------------------------------------

    def _memory(self) -> Memory:
        """Return what earlier runs knew; looks were sealed by the key, and depend on profile and mapping."""
        job = self._job
        reading = job.keyring.stamp("reading", str(RESULTS), job.profiles.sha256, repr(job.profiles.lookup))
        return Memory(self._state, job.source, job.keyring, reading, job.profiles.fingerprint(()))

    def _describe(self, item: Item) -> CleanContainer:
        """De-identify what the platform knows of a file."""
        if not item.fields or not item.containers:
            return CleanContainer(None, {}, ())
        branch = self._containers[item.containers[-1]].branch
        above = branch.record
        parents = {**above.parents, above.level: {**above.fields, "label": above.label}}
        record = ContainerRecord("file", item.id, item.name, dict(item.fields), parents)
        draw = self._job.keyring.draw(self._people.of[item.id].text)
        return deidentify_container(record, self._job.profiles.flywheel(branch.labels), draw, self._settings.today)

    # -- the work --------------------------------------------------------------------------------------

    def _progress(self, doing: str, items: Sequence[Item]) -> Progress:
        job = self._job
        manner = Manner(quiet=job.quiet, names=job.names, dry_run=job.dry_run)
        return Progress(f"dry run, {doing}" if job.dry_run else doing, items, manner, self._positions)

    def _work(self, pool: Crew, places: list[Place], releaser: Releaser) -> None:
        by_number = {place.task.number: place for place in places}
        with self._progress("de-identifying", self._listed) as self._watched:
            pool.tick = self._tick
            pending = []
            for place, early in releaser.all_early(places):
                if early is None:
                    pending.append(place.task)
                else:
                    if early == ("skipped", UNCHANGED):
                        self._rows_used.pass_over(place.task.row)
                        self._unchanged += 1
                    self._watched.step(place.task.items, *early)
            job = self._job
            try:
                if job.scheduler is None and not job.source.keeps_subjects:
                    pending = shared(pool, pending, job.workers, small=self._settings.small)
                pending.sort(key=lambda task: task.items[0].id in self._suspects)  # the others are not to wait for them
                died = Failed(f"{TOOK_TOO_MUCH}its worker process died")
                for task, worked in pool.run(process, pending, lambda: Worked(died, None, 0.0)):
                    worked = self._new_ids.check(task.person, self._chosen(worked))
                    worked = self._check_person(by_number, task, worked)
                    releaser.finish(by_number[task.number], worked)
                    self._interrupts.check()
            finally:
                releaser.flush()

    def _tick(self) -> None:
        """Let nothing wait for tasks that take their time."""
        self._watched.tick()
        if self._releaser is not None:
            self._releaser.flush()

    def _told(self, place: Place, worked: Worked, state: str, reason: str) -> None:
        """Take what became of a task, once it is so."""
        self._rows_used.use(worked.row)
        if state == "released" or reason.startswith("unchanged"):
            self._ids |= dict.fromkeys(worked.ids)
        self._watched.step(place.task.items, state, reason)

    def _chosen(self, worked: Worked) -> Worked:
        """Tell of a file that somebody chose, and that nobody takes, in words of its own."""
        outcome = worked.outcome
        if not (self._job.one_file and isinstance(outcome, Skipped) and kind_of(outcome.reason) == "other file"):
            return worked
        return replace(worked, outcome=Skipped(f"not taken:{outcome.reason.partition(':')[2]}"))

    def _check_person(self, by_number: Mapping[int, Place], task: Task, worked: Worked) -> Worked:
        """Refuse a result whose birth date contradicts what others of its person say, and what it contradicts."""
        self._people.remarks += [Remark(note, tuple(item.id for item in task.items[:1])) for note in worked.doubts]
        if task.person is None or self._releaser is None or not isinstance(worked.outcome, Released):
            return worked
        numbers = self._sightings.refuse(task.person, task.number, (one.born for one in worked.met))
        if numbers and not self._job.strict:
            remark = Remark(OTHER_BIRTH_DATE, (task.items[0].id,))
            self._people.remarks += [remark] if remark not in self._people.remarks else []
            return worked
        for number in numbers:
            if number != task.number:
                self._releaser.flush()  # it may wait there
                place = by_number[number]
                self._releaser.withhold(place, Refused(f"{OTHER_BIRTH_DATE}{SEE}{task.items[0].id}"))
        if not numbers:
            return worked
        if worked.result is not None:
            worked.result.unlink(missing_ok=True)
        return replace(worked, outcome=Refused(OTHER_BIRTH_DATE), result=None)

    def _finish_containers(self, places: list[Place]) -> bool:
        """Let the destination have what holds no files; return whether that went well."""
        if self._job.dry_run or self._releaser is None:
            return True
        with_files = {key for place in places for key in place.task.items[0].containers}
        empty = [
            cleaned.chain
            for key, cleaned in self._containers.items()
            if key not in with_files and all(one.label for one in cleaned.chain)
        ]
        try:
            self._job.sink.finish([*self._releaser.chains.values(), *empty])
        except OSError as error:
            print(f"containers could not be brought up to date: {shown(str(error))}", file=sys.stderr)  # noqa: T201
            return False
        return True

    def _look_for_orphans(self, earlier: Earlier) -> bool:
        """Note what stands at the destination of sources that are gone, and take it back when asked; return success."""
        unread = sum(bool(item.problem) and item.problem_state != "skipped" for item in self._listed)
        is_safe = bool(self._listed) and not unread
        if self._job.prune and not is_safe:
            self._notes.append("--prune: nothing was taken back, since not everything in SOURCE could be read")
        if self._job.prune and not self._job.whole:
            of = "a project" if self._job.source.origin() else "SOURCE: see --include, --exclude, --only"
            self._notes.append(f"--prune: nothing was taken back, since this run is of a part of {of}")
        well = True
        for number, orphan in enumerate(earlier.orphans(whole=self._job.whole), len(self._listed)):
            reason = "no source of this run"
            if self._job.prune and is_safe and self._job.whole and not self._job.dry_run:
                try:
                    reason = orphan.prune() or "taken back: no source of this run"
                except OSError as error:
                    well = False
                    reason = f"it cannot be taken back: {error.strerror or error}"
            self._state.note([Row(number, orphan.source, "orphan", f"{orphan.path}: {reason}", first=False)])
        return well

    # -- afterwards ------------------------------------------------------------------------------------

    def _report(self, *, complete: bool) -> dict[str, object]:
        job = self._job
        self._state.commit()
        ended = datetime.now(UTC)
        profile = job.profiles.base
        summary: dict[str, object] = (
            {name: job.facts[name] for name in ("warnings",) if name in job.facts}  # nobody is to miss them
            | {
                "program": {"name": "fw-gear-deid", "version": __version__},
                "versions": {"python": sys.version.split()[0], "pydicom": version_of("pydicom")},
                "profile": {"name": profile.name, "sha256": job.profiles.sha256},
                "key": job.keyring.fingerprint(),
                "options": {
                    "exists": job.exists,
                    "verify": job.verify,
                    "labels": job.labels,
                    "compression": job.compression,
                    "workers": job.workers if job.scheduler is None else "cluster",
                    "dry_run": job.dry_run,
                    "audit_originals": job.originals,
                    "limits": dict(job.limits),
                },
                "started": self._began.isoformat(timespec="seconds"),
                "ended": ended.isoformat(timespec="seconds"),
                "seconds": round((ended - self._began).total_seconds(), 3),
                "complete": complete,
                "notes": self._notes,
                "identity_warnings": self._warnings(),
                "profile_warnings": [f"{w.line}:{w.column} {w.message}" for w in profile.warnings],
            }
            | self._rows_used.report()
            | job.facts
        )
        for name, path, kind in (("ids", job.ids, ids.TABLE), ("uid_map", job.uid_map, ids.UID_MAP)):
            if path is not None:
                rows = ids.write(path, kind, self._ids)
                summary[name] = {"rows": rows, "unchanged_files": self._unchanged}
        folders = reports.Folders(job.reports, job.private, job.originals)
        return reports.write(folders, self._rows(), summary, profile.rule_labels(), self._container_audit())

    def _warnings(self) -> list[dict[str, object]]:
        """Tell what is odd about people; files by their row in files.csv, whose header is row 1."""
        rows = {item.id: number for number, item in enumerate(self._listed, 2)}
        return [
            {"what": remark.text, "rows": [rows[key] for key in remark.items if key in rows]}
            for remark in self._people.remarks
        ]

    def _rows(self) -> Iterator[tuple[Row, Made | None]]:
        """Yield one row per source, of an interrupted run, too, and one per orphan."""
        told = iter(self._state.rows())
        row, made = next(told, (None, None))
        for number, item in enumerate(self._listed):
            if row is not None and row.position == number:
                yield row, made
                row, made = next(told, (None, None))
            else:
                yield Row(number, item.id, "not-reached", "the run ended before its turn", bytes_in=item.size), None
        if row is not None:
            yield row, made
            yield from told

    def _container_audit(self) -> str:
        """Return the audit lines of containers that are at the destination."""
        if self._releaser is None:
            return ""
        used = {labels[:depth] for labels in self._releaser.standing for depth in range(1, len(labels) + 1)}
        text = ""
        for key, cleaned in self._containers.items():
            labels = tuple(one.label for one in cleaned.chain)
            if not labels[-1]:  # decided by the first result
                labels = (*labels[:-1], self._releaser.labels.get(key, ""))
            if labels in used:
                edits = (*cleaned.clean.edits, *cleaned.renamed(labels[-1]))
                head = first("/".join(labels))
                text += "".join(head + lines("", [edit], originals=self._job.originals) for edit in edits)
        return text


@contextmanager
def _locked(job: Job) -> Iterator[None]:
    """Make the folders of a run and let one at a time use a ledger, and with it a destination."""
    job.reports.mkdir(parents=True, exist_ok=True)
    if job.private.is_symlink():
        raise UsageError(f"{job.private}: a link is not followed there; --ledger DIR puts the ledger elsewhere")
    for folder in {job.private, job.ledger} - {job.reports}:
        private.make_folder(folder)
    with lock.exclusive(job.ledger):
        yield


@contextmanager
def _workspace(folder: Path) -> Iterator[tuple[Path, frozenset[str]]]:
    """Make a private folder for results on their way; of one left by a killed run, yield the files that it was at."""
    path = folder / ".work"
    suspects = marks.left(path)
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir(mode=0o700)
    try:
        yield path, suspects
    finally:
        shutil.rmtree(path, ignore_errors=True)


def _told(error: Exception) -> str:
    """Return why the work ended: the text of an exception that nobody thought of may quote a value."""
    if isinstance(error, DeidError):
        return str(error)
    if isinstance(error, MemoryError):
        return "not enough memory; nothing more is released"
    if isinstance(error, OSError) and error.strerror:
        return f"{error.strerror} (in {place_of(error)}); nothing more is released"
    return f"unexpected {type(error).__name__} in {place_of(error)}; please report it. Nothing more is released"
