"""Tasks → results over a dask cluster that the user made: what travels are numbers, names of folders and digests.

Settings, tasks and results lie on the disk that all of them share: nothing of a patient passes a scheduler, whose pages
and logs others may read, and the key stays where it is. Each attempt at a lot has a folder of its own, so that a worker
that was given up and comes back writes over nothing; this process takes the folder that its own future names.
"""

from __future__ import annotations

import json
import logging
import os
import pickle
import shutil
import time
import warnings
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from hashlib import file_digest, sha256
from importlib.metadata import PackageNotFoundError
from itertools import count
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Lock
from typing import Any, cast

from distributed import Client, Future, KilledWorker, Worker, WorkerPlugin, get_worker

from fw_gear_deid import RESULTS, __version__, keys
from fw_gear_deid.keys import Keyring
from fw_gear_deid.model.errors import StopRun, UsageError, place_of
from fw_gear_deid.model.frozen import frozen
from fw_gear_deid.model.outcome import Failed, Released
from fw_gear_deid.model.ports import Item
from fw_gear_deid.runner.pool import Lot, Numbered, Out, Work, lots, nothing
from fw_gear_deid.runner.workers import Settings, Task, Worked, log_of, silence
from fw_gear_deid.system import private
from fw_gear_deid.system.packages import version_of

_AHEAD = 3  # lots per worker that are out, or done and not taken
_LOT = 400  # with the bytes, about two seconds of work: the scheduler costs 5 to 10 ms a lot
_LOT_BYTES = 50 << 20
_TICK = 1.0
_COUNTED = 5.0  # seconds that a count of workers is believed
_ANSWER = 15  # seconds for a scheduler to answer
_COMING = 60  # seconds for the first worker to come
_SETTINGS, _DONE = "settings", "done"
_ALONE = Lock()
"""A worker may have several threads; what a process remembers of values is for one at a time."""
_PROGRAMS = f"__import__({__name__!r}, fromlist=['programs']).programs()"


@frozen
class Scheduler:
    """A dask cluster that somebody named.

    Attributes
    ----------
    address : str
        Empty where a file tells it.
    file : Path or None
        What ``dask scheduler --scheduler-file`` writes.
    source : str
        SOURCE as it was written, for messages.
    key : Path
        Where the secret lies.
    """

    address: str
    file: Path | None
    source: str
    key: Path

    def connect(self, settings: Settings, items: Sequence[Item]) -> Cluster:
        """Ask every worker whether it can do the work, and return those who will.

        Raises
        ------
        UsageError
            There is no scheduler, no worker, or one that lacks something.
        """
        for name in ("distributed", "distributed.client"):
            logging.getLogger(name).setLevel(logging.CRITICAL)  # what it has to say is told in our words
        address = self._found()
        try:
            client = Client(address, timeout=_ANSWER, set_as_default=False)
        except (OSError, ValueError, TypeError) as error:
            raise UsageError(f"no dask scheduler answers at {address} ({type(error).__name__})") from None
        cluster = Cluster(client, settings)
        try:
            cluster.start(self, items)
        except BaseException:
            cluster.close()
            raise
        return cluster

    def _found(self) -> str:
        if self.file is None:
            return self.address
        try:
            return str(json.loads(self.file.read_text(encoding="utf-8"))["address"])
        except OSError as error:
            raise UsageError(f"{self.file}: cannot be read ({error.strerror})") from None
        except (ValueError, KeyError, TypeError):
            raise UsageError(f"{self.file}: not what 'dask scheduler --scheduler-file' writes") from None


class Cluster:
    """Runs tasks over the workers of a cluster, as ``Pool`` does over processes; neither made nor ended here.

    Parameters
    ----------
    client : Client
    settings : Settings
        Its workspace lies on the disk that all share.
    """

    def __init__(self, client: Client, settings: Settings) -> None:
        self.tick: Callable[[], None] = nothing
        self._client = client
        self._settings = settings
        self._folder = settings.workspace.absolute() / keys.fresh_name()
        self._numbers = count()
        self._out: dict[object, tuple[Lot, Future[Any]]] = {}
        self._ended: SimpleQueue[Future[Any]] = SimpleQueue()
        self._workers, self._counted = 0, float("-inf")
        self._is_equipped = False

    def start(self, scheduler: Scheduler, items: Sequence[Item]) -> None:
        """Give every worker what all tasks share, and ask it whether it sees everything.

        Raises
        ------
        UsageError
        """
        try:
            self._client.wait_for_workers(1, timeout=_COMING)
            self._refuse(self._client.run(eval, _PROGRAMS, on_error="return"), _compared)
            self._folder.mkdir(mode=0o700)
            first = next((item for item in items if not item.problem), None)
            # without the key: each worker reads it where it lies
            digest = _store(self._folder / _SETTINGS, (replace(self._settings, keyring=Keyring(b"")), first))
            kit = Kit(self._folder, digest, scheduler, self._settings.keyring.fingerprint())
            self._client.register_plugin(kit, name=self._folder.name)
            self._is_equipped = True
            self._refuse(self._client.run(_check, self._folder.name, on_error="return"), _plainly)
        except TimeoutError:
            raise UsageError(f"the cluster has no worker, and none came within {_COMING} seconds") from None

    @staticmethod
    def _refuse(answers: dict[str, object], told: Callable[[object], str]) -> None:
        """Raise what workers lack, all of them at once."""
        if lacks := [f"worker {worker} {text}" for worker, answer in answers.items() if (text := told(answer))]:
            raise UsageError(*lacks)

    def run(self, work: Work[Out], tasks: Sequence[Task], lost: Callable[[], Out]) -> Iterator[tuple[Task, Out]]:
        """Yield task and result in the order of the tasks.

        Parameters
        ----------
        work : callable
            Task → result; raises nothing.
        tasks : sequence of Task
        lost : callable
            Makes the result of a task that killed its workers twice, the second time alone.

        Raises
        ------
        StopRun
            The scheduler is gone, or a worker cannot go on.
        """
        source = lots(tasks, self._count(), _LOT, _LOT_BYTES)
        window: deque[Lot] = deque()  # in order, not yielded yet
        again: deque[Numbered] = deque()  # lost once: it killed its workers, or what they were at besides did
        tried: set[int] = set()
        done: dict[int, Out] = {}
        while True:
            while not again and len(window) < _AHEAD * self._count() and (upcoming := next(source, None)) is not None:
                window.append(upcoming)
                self._send(work, upcoming)
            if not window:
                return
            if all(number in done for number, _ in window[0]):
                for number, task in window.popleft():
                    yield task, done.pop(number)
                continue
            if again and not self._out:
                self._send(work, [again.popleft()])
            try:
                ended = self._ended.get(timeout=_TICK)
            except Empty:
                self.tick()
                continue
            lot, future = self._out.pop(ended.key)
            results = self._results(future)
            future.release()
            if results is not None:
                done.update(zip((number for number, _ in lot), cast(list[Out], results), strict=True))
            elif lot[0][0] in tried:
                done[lot[0][0]] = lost()
            else:
                tried |= {number for number, _ in lot}
                again.extend(lot)

    def _count(self) -> int:
        """Return how many workers there are; they come and go."""
        if time.monotonic() - self._counted > _COUNTED:
            with _asking():
                self._workers = max(1, len(self._client.scheduler_info()["workers"]))
            self._counted = time.monotonic()
        return self._workers

    def _send(self, work: Work[Any], lot: Lot) -> None:
        number = next(self._numbers)
        digest = _store(self._folder / f"{number:08d}", (work, [task for _, task in lot]))
        with _asking():
            future = self._client.submit(_attempt, self._folder.name, number, digest, pure=False)
        self._out[future.key] = (lot, future)
        future.add_done_callback(self._ended.put)

    def _results(self, future: Future[Any]) -> list[object] | None:
        """Take what an attempt made out of its folder; None when it killed its workers."""
        try:
            with _asking():
                name, digest = future.result()
        except KilledWorker:
            return None
        if not name:
            raise StopRun(digest)
        attempt = self._folder / name
        try:
            found: list[object] = _load(attempt / _DONE, digest)
        except (OSError, ValueError):
            raise StopRun(f"{attempt}: what a worker wrote there cannot be read here") from None
        results = [self._taken(one, attempt) if isinstance(one, Worked) else one for one in found]
        shutil.rmtree(attempt, ignore_errors=True)  # what is left goes with the workspace
        return results

    def _taken(self, worked: Worked, attempt: Path) -> Worked:
        """Move a result out of the folder that its worker knows, and compare it with what was checked there."""
        if worked.result is None or not isinstance(worked.outcome, Released):
            return worked
        own = self._settings.workspace / worked.result.name
        try:
            (attempt / worked.result.name).replace(own)
            log = worked.log
            if isinstance(log, Path):
                log = log_of(own)
                (attempt / log.name).replace(log)
            with own.open("rb") as stream:
                arrived = file_digest(stream, "sha256").hexdigest() == worked.outcome.sha256
        except OSError as error:
            outcome = Failed(f"{error.strerror or type(error).__name__} (while taking what a worker wrote)")
            return replace(worked, outcome=outcome, result=None, log=None)
        if not arrived:
            own.unlink()
            log_of(own).unlink(missing_ok=True)
            return replace(worked, outcome=Failed("it did not arrive as its worker wrote it"), result=None, log=None)
        return replace(worked, result=own, log=log)

    def close(self) -> None:
        """Let the workers go; what they were at is lost, and lands in a folder that is gone."""
        with suppress(OSError, RuntimeError):  # a scheduler that goes meanwhile has nothing left to end
            if self._client.status == "running":
                self._client.cancel([future for _, future in self._out.values()], force=True)
                if self._is_equipped:
                    self._client.unregister_worker_plugin(self._folder.name)
            self._client.close()
        self._out.clear()


class Kit(WorkerPlugin):
    """What every worker gets once, also one that comes later: where everything lies, and what it has to be.

    Parameters
    ----------
    folder : Path
        Of the run.
    digest : str
        Of the settings in it.
    scheduler : Scheduler
    fingerprint : str
        Of the key.
    """

    def __init__(self, folder: Path, digest: str, scheduler: Scheduler, fingerprint: str) -> None:
        self._folder = folder
        self._digest = digest
        self._source = scheduler.source
        self._key = scheduler.key.absolute()
        self._fingerprint = fingerprint
        self._programs = programs()
        self._read: tuple[Settings, Item | None] | None = None

    def setup(self, worker: Worker) -> None:
        """Do nothing: what is wrong is told when it is asked for, not in the log of a worker."""

    def teardown(self, worker: Worker) -> None:
        """Forget the key."""
        self._read = None

    def check(self) -> str:
        """Return what a worker lacks, in words that follow its name; empty when it lacks nothing."""
        try:
            settings, item = self.settings()
            probe = self._folder / keys.fresh_name()
            probe.mkdir(mode=0o700)
            probe.rmdir()
        except UsageError as error:
            return str(error)
        except OSError as error:
            return f"cannot write to {self._folder} ({error.strerror})"
        try:
            if item is not None:
                settings.source.fetch(item, self._folder)
        except OSError as error:
            return f"does not see {self._source} as it is here ({error.strerror})"
        return ""

    def settings(self) -> tuple[Settings, Item | None]:
        """Return what all tasks share, and a file of SOURCE.

        Raises
        ------
        UsageError
            This worker lacks something.
        """
        if self._read is None:
            if text := _compared(programs(), self._programs):
                raise UsageError(text)
            try:
                settings, item = _load(self._folder / _SETTINGS, self._digest)
            except (OSError, ValueError):
                raise UsageError(f"does not see {self._folder}") from None
            self._read = replace(settings, keyring=self._keyring()), item
        return self._read

    def _keyring(self) -> Keyring:
        try:
            keyring = keys.of(self._key.read_bytes(), str(self._key))
        except OSError as error:
            raise UsageError(f"does not see {self._key} ({error.strerror})") from None
        except UsageError:
            keyring = None
        if keyring is None or keyring.fingerprint() != self._fingerprint:
            raise UsageError(f"sees another key in {self._key}")
        return keyring

    def attempt(self, number: int, digest: str) -> tuple[str, str]:
        """Work on a lot in a folder that nobody else has; return its name, and the digest of what it tells."""
        with _ALONE, warnings.catch_warnings():
            silence()
            settings = self.settings()[0]
            work, tasks = _load(self._folder / f"{number:08d}", digest)
            folder = self._folder / f"{number:08d}-{keys.fresh_name()}"
            folder.mkdir(mode=0o700)
            own = replace(settings, workspace=folder)
            return folder.name, _store(folder / _DONE, [work(own, task) for task in tasks])


def programs() -> tuple[str, ...]:
    """Return the versions that bytes and messages depend on."""
    found = [f"fw-gear-deid {__version__}", f"results {RESULTS}"]
    for name in ("isal", "pydicom"):
        try:
            found.append(f"{name} {version_of(name)}")
        except PackageNotFoundError:
            found.append(f"no {name}")
    return tuple(found)


def _compared(answer: object, here: tuple[str, ...] | None = None) -> str:
    """Return which versions a worker has otherwise."""
    own = here or programs()
    if not isinstance(answer, tuple):
        return f"has no {own[0]}: install the same there"
    other = [f"{theirs} (here: {ours})" for theirs, ours in zip(answer, own, strict=True) if theirs != ours]
    return f"has {', '.join(other)}: install the same there" if other else ""


def _plainly(answer: object) -> str:
    return answer if isinstance(answer, str) else f"cannot be asked ({type(answer).__name__})"


def _check(name: str, dask_worker: Worker) -> str:
    return cast(Kit, dask_worker.plugins[name]).check()


def _attempt(name: str, number: int, digest: str) -> tuple[str, str]:
    """Carry out a lot on a worker: all that dask knows of it.

    No exception gets out: dask writes their texts to logs and sends them on, and waits for ever for one that it cannot.

    Returns
    -------
    folder, digest : str
        Or nothing, and why the work cannot go on.
    """
    worker = get_worker()
    try:
        return cast(Kit, worker.plugins[name]).attempt(number, digest)
    except UsageError as error:
        return "", f"worker {worker.address} {error}"
    except OSError as error:
        return "", f"worker {worker.address}: {error.strerror or type(error).__name__} (in {place_of(error)})"
    except Exception as error:  # noqa: BLE001 -- the boundary
        return "", f"worker {worker.address}: unexpected {type(error).__name__} in {place_of(error)}; please report it"


@contextmanager
def _asking() -> Iterator[None]:
    """Turn the end of a cluster into that of the run; ``KilledWorker`` is for who asks.

    Raises
    ------
    StopRun
    """
    try:
        yield
    except KilledWorker:
        raise
    except Exception as error:  # noqa: BLE001 -- whatever dask and its sockets raise
        raise StopRun(f"the cluster is lost ({type(error).__name__} in {place_of(error)})") from None


def _store(path: Path, told: object) -> str:
    """Write what another process is to read; return its digest."""
    data = pickle.dumps(told)
    with os.fdopen(private.create(path), "wb") as stream:
        stream.write(data)
    return sha256(data).hexdigest()


def _load(path: Path, digest: str) -> Any:
    """Read what another process wrote.

    Raises
    ------
    OSError
    ValueError
        It is not what was written.
    """
    data = path.read_bytes()
    if sha256(data).hexdigest() != digest:
        raise ValueError("another digest")
    return pickle.loads(data)  # noqa: S301 -- our own, from a private folder, by its digest
