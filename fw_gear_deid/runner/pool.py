"""Tasks → results in their order, over processes that may die: what one was at is done once more, alone.

A worker has a pipe to this process and nothing else: no lock or queue that it could leave behind in a bad state, so one
that is killed costs its own task only, and nothing has to be cleaned up after the helpers of ``multiprocessing``.
"""

from __future__ import annotations

import os
import signal
import time
from collections import deque
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from threading import Thread
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from fw_gear_deid.model.errors import StopRun
from fw_gear_deid.runner.marks import Marks
from fw_gear_deid.runner.signals import SENT
from fw_gear_deid.runner.workers import Settings, Task, silence
from fw_gear_deid.system import cores

if TYPE_CHECKING:
    from multiprocessing.connection import Connection
    from multiprocessing.context import ForkServerContext, SpawnContext

Out = TypeVar("Out")
Work = Callable[[Settings, Task], Out]
Numbered = tuple[int, Task]
Lot = Sequence[Numbered]
_AHEAD = 4  # lots per worker that are out, or done and not taken
_PASSED, _PASSED_BYTES = 100, 1 << 30  # lots per worker, and bytes of all, that may pass one that takes its time
_LOT = 16
_LOT_BYTES = 4 << 20
_LITTLE = 64 << 20  # bytes of all files together: what these can take is bounded, and a process costs as much as many
_STARTS = 3  # how often a process is tried to be started
_PAUSE = 0.1
_TICK = 1.0
_PATIENCE = 10  # seconds for the system to end a process that was told to


class Crew(Protocol):
    """Whoever does the work: ``Pool``, or a cluster."""

    tick: Callable[[], None]
    """Called now and then while tasks take their time."""

    def run(self, work: Work[Out], tasks: Sequence[Task], lost: Callable[[], Out]) -> Iterator[tuple[Task, Out]]:
        """Yield task and result in the order of the tasks; ``lost`` makes the result of one that kills its workers."""
        ...

    def close(self) -> None:
        """End the work; what is under way is lost."""
        ...


class Pool:
    """Runs tasks over processes, a bounded number of them ahead of what was taken.

    Parameters
    ----------
    settings : Settings
    workers : int
        1 works in this process as long as there is little to do.
    suspects : collection of str
        Files that an earlier run did not survive: each is done in another process.
    """

    def __init__(self, settings: Settings, workers: int, suspects: Collection[str] = ()) -> None:
        self._settings = settings
        self._suspects = suspects
        self._marks = Marks(settings)
        self._workers = min(workers, cores.MOST_WORKERS)
        self.tick: Callable[[], None] = nothing
        """Called now and then while tasks take their time."""
        self._all: set[_Worker] = set()
        self._idle: list[_Worker] = []
        self._busy: dict[_Worker, deque[Lot]] = {}
        """What each has been given: the first is what it is at."""

    def run(self, work: Work[Out], tasks: Sequence[Task], lost: Callable[[], Out]) -> Iterator[tuple[Task, Out]]:
        """Yield task and result in the order of the tasks.

        Parameters
        ----------
        work : callable
            Task → result; raises nothing.
        tasks : sequence of Task
            One alone is done in this process, unless it is suspect.
        lost : callable
            Makes the result of a task whose worker died twice; of a suspect one, once.

        Raises
        ------
        StopRun
            No process can be started.
        """
        if self._are_done_here(tasks):
            for task in tasks:
                yield task, self._marks.carry_out(work, task)
            return
        from multiprocessing.connection import wait  # one process has no use for it

        source = lots(tasks, self._workers, _LOT, _LOT_BYTES)
        window: deque[deque[Numbered]] = deque()  # in order, not yielded yet
        waiting: deque[Lot] = deque()
        again: deque[Numbered] = deque()  # lost once: somebody killed its worker, or it did itself
        tried = {number for number, task in enumerate(tasks) if self._is_suspect(task)}
        done: dict[int, Out] = {}
        while True:
            while self._may_go_on(window, waiting) and (upcoming := next(source, None)) is not None:
                window.append(deque(upcoming))
                waiting.append(upcoming)
            if not window:
                return
            if not window[0]:
                window.popleft()
                continue
            if window[0][0][0] in done:
                number, task = window[0].popleft()
                yield task, done.pop(number)
                continue
            self._hand_out(work, waiting, again)
            ready = wait([worker.pipe for worker in self._busy], _TICK)
            if not ready:
                self.tick()
            for worker in [one for one in self._busy if one.pipe in ready]:
                try:
                    results = worker.pipe.recv()
                except (EOFError, OSError):
                    lost_one, *queued = self._busy.pop(worker)
                    self._bury(worker)
                    waiting.extendleft(reversed(queued))
                    if len(lost_one) == 1 and lost_one[0][0] in tried:
                        done[lost_one[0][0]] = lost()
                    else:
                        tried |= {number for number, _ in lost_one if len(lost_one) == 1}
                        again.extend(lost_one)
                else:
                    done.update(zip((number for number, _ in self._busy[worker].popleft()), results, strict=True))
                    if not self._busy[worker]:
                        del self._busy[worker]
                        self._idle.append(worker)

    def _may_go_on(self, window: Sequence[Lot], waiting: Sequence[Lot]) -> bool:
        """Tell whether more lots may begin: one that takes its time lets others pass, until their results are many."""
        enough = _AHEAD * self._workers
        if len(window) < enough:
            return True
        if len(waiting) + sum(map(len, self._busy.values())) >= enough or len(window) >= _PASSED * self._workers:
            return False
        return sum(item.size for lot in window for _, task in lot for item in task.items) < _PASSED_BYTES

    def _is_suspect(self, task: Task) -> bool:
        return task.items[0].id in self._suspects

    def _are_done_here(self, tasks: Sequence[Task]) -> bool:
        """Tell whether tasks are done in this process, which a file that takes too much would end."""
        if any(map(self._is_suspect, tasks)):
            return False
        if len(tasks) < 2:
            return True
        if self._workers > 1:
            return False
        return sum(item.size for task in tasks for item in task.items) < _LITTLE or not self._can_start()

    def _can_start(self) -> bool:
        """Tell whether there are other processes to be had."""
        try:
            self._idle.append(self._idle.pop() if self._idle else self._started())
        except StopRun:
            return False
        return True

    def _hand_out(self, work: Work[Any], waiting: deque[Lot], again: deque[Numbered]) -> None:
        """Give every worker what it can take; a task that was lost before gets the machine for itself."""
        while waiting or again:
            if again and self._busy:
                return
            lot = [again[0]] if again else waiting[0]
            worker = self._free(lot)
            if worker is None:
                return
            try:
                worker.pipe.send((work, [task for _, task in lot]))
            except OSError:  # killed meanwhile
                if worker in self._busy:
                    return  # what it was at is told by its pipe
                self._bury(worker)
                continue
            self._busy.setdefault(worker, deque()).append(lot)
            if again:
                again.popleft()
                return
            waiting.popleft()

    def _free(self, lot: Lot) -> _Worker | None:
        """Return a worker for a lot: one that has nothing to do, or soon; None when there is none."""
        if len(self._busy) < self._workers:
            return self._worker()
        if not _is_small(lot):  # a pipe may not hold it while its worker does not read
            return None
        return next((worker for worker, lots in self._busy.items() if len(lots) == 1), None)

    def _worker(self) -> _Worker | None:
        """Return a free worker; None when no more can be had and others are at work."""
        if self._idle:
            return self._idle.pop()
        try:
            return self._started()
        except StopRun:
            if self._busy:
                return None
            raise

    def _started(self) -> _Worker:
        cause: Exception | None = None
        for _ in range(_STARTS):
            try:
                worker = _Worker(self._settings)
            except (OSError, EOFError) as error:  # no process to be had, or who starts them was killed
                cause = error
                time.sleep(_PAUSE)
            else:
                self._all.add(worker)
                return worker
        why = getattr(cause, "strerror", None) or type(cause).__name__
        raise StopRun(f"no worker process can be started ({why}); try fewer --workers, or 1")

    def close(self) -> None:
        """End the workers; what they were at is lost."""
        self._marks.close()
        for worker in self._all:
            worker.end()
        self._all, self._idle, self._busy = set(), [], {}

    def _bury(self, worker: _Worker) -> None:
        worker.end(dead=True)
        self._all.discard(worker)


def lots(tasks: Sequence[Task], workers: int, most: int, size: int) -> Iterator[Lot]:
    """Yield tasks with their numbers, small ones together: handing one over costs as much as many small files do.

    Parameters
    ----------
    tasks : sequence of Task
    workers : int
        Every one of them is to get some.
    most, size : int
        Files and bytes of a lot.
    """
    most = min(most, -(-len(tasks) // (_AHEAD * workers)))
    lot: list[Numbered] = []
    held = 0
    for number, task in enumerate(tasks):
        own = sum(item.size for item in task.items)
        if lot and (len(lot) >= most or held + own > size or task.series):
            yield lot
            lot, held = [], 0
        lot.append((number, task))
        held += own
    if lot:
        yield lot


def _is_small(lot: Lot) -> bool:
    return sum(len(task.items) for _, task in lot) <= _LOT


def nothing() -> None:
    """Do nothing."""


class _Worker:
    """A process that works on one task after the other."""

    def __init__(self, settings: Settings) -> None:
        context = _processes()
        with _deaf():  # and so are the new processes, for good: a terminal sends Ctrl-C to all of them
            self.pipe, theirs = context.Pipe()
            try:
                self._process = context.Process(target=_serve, args=(settings, theirs), daemon=True)
                self._process.start()
            except BaseException:
                self.pipe.close()
                raise
            finally:
                theirs.close()  # so that the pipe ends with the worker

    def end(self, *, dead: bool = False) -> None:
        """End it and wait until it is gone: afterwards nobody writes into the workspace for it."""
        from multiprocessing.connection import wait

        if not dead:
            with suppress(OSError):
                # not by Process.terminate, which takes it for gone when who started it is
                os.kill(self._process.pid or 0, signal.SIGTERM)
            with suppress(EOFError, OSError):
                while wait([self.pipe], _PATIENCE):
                    self.pipe.recv_bytes()
        self.pipe.close()
        self._process.join(_PATIENCE)


def _serve(settings: Settings, pipe: Connection) -> None:
    """Work on what comes through a pipe, until it ends."""
    try:
        for number in SENT:
            signal.signal(number, signal.SIG_DFL if number == signal.SIGTERM else signal.SIG_IGN)  # the parent decides
        if hasattr(signal, "pthread_sigmask"):
            signal.pthread_sigmask(signal.SIG_UNBLOCK, SENT)
        Thread(target=_follow, daemon=True).start()
        silence()
        marks = Marks(settings)
        while True:
            work, tasks = pipe.recv()
            pipe.send([marks.carry_out(work, task) for task in tasks])
    finally:
        os._exit(1)  # what went wrong may quote a value; that it ended tells the parent enough


def _follow() -> None:
    """End with the parent, however it ends: a killed run must leave nobody at work in its workspace."""
    from multiprocessing import parent_process

    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


@contextmanager
def _deaf() -> Iterator[None]:
    """Keep signals for later; processes that are started meanwhile do not get them at all."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, SENT)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _processes() -> SpawnContext | ForkServerContext:
    """Return how processes are started: from a server that has imported everything, where there is one."""
    from multiprocessing import get_all_start_methods, get_context

    if "forkserver" not in get_all_start_methods():  # Windows
        return get_context("spawn")
    from multiprocessing import resource_tracker

    resource_tracker.ensure_running()  # it would let signals through where it is started
    context = get_context("forkserver")
    context.set_forkserver_preload(["fw_gear_deid.runner.pool"])
    return context
