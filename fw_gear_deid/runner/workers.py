"""Task → Worked, in this process or another; the one boundary where an error becomes an outcome."""

from __future__ import annotations

import logging
import os
import shutil
import signal
import time
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field, replace
from datetime import date
from multiprocessing import get_all_start_methods, get_context, parent_process
from multiprocessing.context import BaseContext
from pathlib import Path
from threading import Thread
from typing import TypeVar

from fw_gear_deid.deid import Context, Result, deidentify, deidentify_series, first_ids, survey
from fw_gear_deid.deid.ids import Notes
from fw_gear_deid.deid.survey import Surveyed
from fw_gear_deid.keys import Keyring
from fw_gear_deid.model.errors import DeidError, Unfit, place_of
from fw_gear_deid.model.outcome import Failed, Ids, MemberEdits, Outcome, Refused, Released, Skipped
from fw_gear_deid.model.ports import Item, Source
from fw_gear_deid.profile.book import ProfileBook
from fw_gear_deid.system import private


@dataclass(frozen=True, slots=True)
class Settings:
    """What every task of a run shares; sent to each worker once."""

    source: Source
    profiles: ProfileBook
    keyring: Keyring
    today: date
    verify: str
    workspace: Path
    originals: bool
    """Let values before a change leave the worker, for the audit that asks for them."""
    ids: bool = False
    """Let old and new ids leave the worker, for the table that asks for them."""


@dataclass(frozen=True, slots=True)
class Task:
    """One source file, or the instances of one series.

    Attributes
    ----------
    number : int
        Position in the run; names the result in the workspace.
    items : tuple of Item
    subject : str or None
        Whose draws count; None: the PatientID in the file.
    series : bool
        Pack the items into one archive.
    labels : tuple of str
        Labels of the source containers, which a profile may depend on.
    telling : tuple of str
        Texts of these containers that do not travel.
    acquisition : str
        Label of the acquisition, where the header decides whether it stays.
    pseudonyms : mapping of str to str
        Texts of ``subject.pseudonym`` and ``session.pseudonym``.
    """

    number: int
    items: tuple[Item, ...]
    subject: str | None
    series: bool = False
    labels: tuple[str, ...] = ()
    telling: tuple[str, ...] = ()
    acquisition: str = ""
    pseudonyms: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Worked:
    """What a worker sends back: small, and without identifiers unless asked for."""

    outcome: Outcome
    result: Path | None
    seconds: float
    sorting: Mapping[str, str] = field(default_factory=dict)
    """Texts of the sorting tags after de-identification."""
    row: int | None = None
    """Row of the mapping that it went by."""
    ids: tuple[Ids, ...] = ()
    """Old and new ids of what is in the result, where they were asked for."""


def process(settings: Settings, task: Task) -> Worked:
    """Fetch, de-identify and verify one task; never raises for a bad file."""
    begin = time.perf_counter()
    result = settings.workspace / f"{task.number:08d}"
    done: Result | Outcome
    notes = Notes(collect=settings.ids)
    try:
        os.close(private.create_anew(result))  # whoever writes it keeps its mode
        done = _process(settings, task, result, notes)
    except Unfit as error:
        done = Refused(str(error))
    except DeidError as error:
        done = Failed(str(error))
    except OSError as error:
        done = Failed(f"{error.strerror or type(error).__name__} (while reading or writing)")
    except MemoryError:
        done = Failed("not enough memory")
    except Exception as error:  # noqa: BLE001 -- the boundary: nothing may stop the other files
        done = Failed(f"unexpected {type(error).__name__} in {place_of(error)}; please report it")
    seconds = time.perf_counter() - begin
    if isinstance(done, Result):
        released = done.released if settings.originals else _without_originals(done.released)
        return Worked(released, result, seconds, done.sorting, notes.row, tuple(notes.ids))
    result.unlink(missing_ok=True)
    return Worked(done, None, seconds, row=notes.row)


def _process(settings: Settings, task: Task, result: Path, notes: Notes) -> Result | Outcome:
    for item in task.items:
        if item.problem:
            return problem_of(item)
    inbox = settings.workspace / f"{task.number:08d}.in"
    shutil.rmtree(inbox, ignore_errors=True)  # left by a worker that was killed at this very task
    inbox.mkdir(mode=0o700)
    try:
        paths = [settings.source.fetch(item, inbox) for item in task.items]
        before = _stamps(paths)
        try:
            done = _deidentified(task, paths, _context(settings, task, paths[0], notes), result)
        except Unfit:
            if _stamps(paths) == before:
                raise
            done = None  # half of it may be read, half not there yet
        return done if done is not None and _stamps(paths) == before else Failed("it changed while it was read")
    finally:
        shutil.rmtree(inbox, ignore_errors=True)


def _deidentified(task: Task, paths: list[Path], ctx: Context, result: Path) -> Result | Skipped:
    if task.series:
        named = [(path, item.name) for path, item in zip(paths, task.items, strict=True)]
        return deidentify_series(named, ctx, result)
    return deidentify(paths[0], task.items[0].name, ctx, result)


def _stamps(paths: Iterable[Path]) -> list[tuple[str, int, int]]:
    """Return what changes when a file does, or when it becomes a link to another one."""
    states = ((os.path.realpath(path), path.stat()) for path in paths)
    return [(real, status.st_size, status.st_mtime_ns) for real, status in states]


def problem_of(item: Item) -> Refused | Skipped | Failed:
    """Return what becomes of a source whose listing found a problem."""
    kinds: dict[str, type[Refused | Skipped | Failed]] = {"refused": Refused, "skipped": Skipped, "failed": Failed}
    return kinds[item.problem_state](item.problem)


def _context(settings: Settings, task: Task, path: Path, notes: Notes) -> Context:
    """Take the profile that goes for a task; where the mapping goes by an id, its first header tells which."""
    book = settings.profiles
    ids = first_ids(path, task.items[0].name, book.base) if book.by_header else {}
    # what no section takes needs no values: the work on it says that it is left out
    profile = book.base if ids is None else book.for_file(task.labels, ids, task.pseudonyms)
    notes.row = book.lookup.row(task.labels, ids) if book.lookup is not None and ids is not None else None
    return Context(
        profile,
        settings.keyring,
        task.subject,
        settings.today,
        settings.verify,
        task.telling,
        task.acquisition,
        {book.by_header: ids[book.by_header]} if ids else {},
        notes,
    )


def _without_originals(released: Released) -> Released:
    return replace(
        released,
        audit=tuple(
            MemberEdits(member.member, tuple(replace(edit, before="") for edit in member.edits))
            for member in released.audit
        ),
    )


def look(settings: Settings, task: Task) -> Surveyed | str:
    """Return what the header of a source says for placing it, or why it cannot be read."""
    item = task.items[0]
    if item.problem:
        return item.problem
    try:
        path = settings.source.fetch(item, settings.workspace)
        return survey(path, item.name, _context(settings, task, path, Notes()))
    except DeidError as error:
        return str(error)
    except OSError as error:
        return f"{error.strerror or type(error).__name__} (while reading)"
    except Exception as error:  # noqa: BLE001 -- the boundary
        return f"unexpected {type(error).__name__} in {place_of(error)}; please report it"


def silence() -> None:
    """Keep libraries from printing what they read: their warnings and logs quote values."""
    warnings.simplefilter("ignore")
    logging.getLogger("pydicom").setLevel(logging.CRITICAL + 1)


_settings: list[Settings] = []  # set once per worker process, before its first task


def _start(settings: Settings) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides
    Thread(target=_follow, daemon=True).start()
    silence()
    _settings.append(settings)


def _follow() -> None:
    """End with the parent, however it ends: a killed run must leave nobody at work in its workspace."""
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


Out = TypeVar("Out")
Work = Callable[[Settings, Task], Out]


def _call(work: Work[Out], task: Task) -> Out:
    return work(_settings[-1], task)


def _processes() -> BaseContext:
    """Return how processes are started: from a server that has imported everything, where there is one."""
    if "forkserver" not in get_all_start_methods():  # Windows
        return get_context("spawn")
    context = get_context("forkserver")
    context.set_forkserver_preload(["fw_gear_deid.runner.workers"])
    return context


class Pool:
    """Runs tasks in source order over processes, a bounded number of them ahead."""

    def __init__(self, settings: Settings, workers: int) -> None:
        self._settings = settings
        self._workers = workers
        self._executor: Executor | None = None

    def run(self, work: Work[Out], tasks: Iterable[Task], lost: Callable[[], Out]) -> Iterator[tuple[Task, Out]]:
        """Yield task and result in the order of the tasks.

        Parameters
        ----------
        work : callable
            ``process`` or ``look``.
        tasks : iterable of Task
        lost : callable
            Makes the result of a task whose worker died.
        """
        if self._workers == 1:
            for task in tasks:
                yield task, work(self._settings, task)
            return
        source = iter(tasks)
        window: deque[tuple[Task, Future[Out]]] = deque()
        while True:
            while len(window) < 2 * self._workers and (upcoming := next(source, None)) is not None:
                window.append((upcoming, self._submit(work, upcoming)))
            if not window:
                return
            task, future = window.popleft()
            try:
                result = future.result()
            except BrokenProcessPool:
                # somebody killed a worker, or a task did: run what was under way again, alone, to see which
                result = self._alone(work, task, lost)
                window = deque((other, self._submit(work, other)) for other, _ in window)
            yield task, result

    def _alone(self, work: Work[Out], task: Task, lost: Callable[[], Out]) -> Out:
        self.close()
        try:
            return self._submit(work, task).result()
        except BrokenProcessPool:
            self.close()
            return lost()

    def _submit(self, work: Work[Out], task: Task) -> Future[Out]:
        if self._executor is None:
            context = _processes()
            self._executor = ProcessPoolExecutor(
                self._workers, mp_context=context, initializer=_start, initargs=(self._settings,)
            )
        try:
            return self._executor.submit(_call, work, task)
        except BrokenProcessPool as error:
            future: Future[Out] = Future()
            future.set_exception(error)
            return future

    def close(self) -> None:
        """Stop the workers; what they were at is lost."""
        if self._executor is not None:
            processes = list((getattr(self._executor, "_processes", None) or {}).values())
            self._executor.shutdown(wait=False, cancel_futures=True)
            for process_ in processes:
                process_.terminate()
            self._executor.shutdown(wait=True)
            self._executor = None
