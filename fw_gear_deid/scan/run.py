"""A source → every file looked at, by one or several workers, and the tables that tell of it.

What was found is noted file by file as it comes: a scan that was ended goes on where it was, as far as nothing changed.
"""

from __future__ import annotations

import json
import os
import shutil
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import field
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import IO, Any

from fw_gear_deid import __version__, keys
from fw_gear_deid.model.errors import DeidError, StopRun, UsageError, place_of
from fw_gear_deid.model.frozen import frozen
from fw_gear_deid.model.limits import Given
from fw_gear_deid.model.ports import LEVELS, Branch, Item, Source
from fw_gear_deid.profile.values.mapping import plan_profiles
from fw_gear_deid.runner.pool import Pool
from fw_gear_deid.runner.progress import Manner, Progress
from fw_gear_deid.runner.sieve import Sieve
from fw_gear_deid.runner.workers import Settings, Task, silence
from fw_gear_deid.scan import file, metadata, tables
from fw_gear_deid.scan.file import Looked
from fw_gear_deid.scan.findings import Finding
from fw_gear_deid.system import private
from fw_gear_deid.verify.known import Known

_NOTES = "scan.jsonl"
_WORK = ".work"


@frozen
class Asked:
    """What to scan.

    Attributes
    ----------
    source : Source
    place : str
        As it was written; for the summary.
    out : Path
        Folder for the tables.
    values : bool
        Write values. The tables then hold identifiers.
    workers : int
    include, exclude, only : tuple of str
        As of ``run``.
    limits : mapping of str to int
    quiet : bool
    """

    source: Source
    place: str
    out: Path
    values: bool = False
    workers: int = 1
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    only: tuple[str, ...] = ()
    limits: Given = field(default_factory=dict)
    quiet: bool = False


def scan(asked: Asked) -> Counter[str]:
    """Look at everything; return how many files and containers have a finding of each kind.

    Raises
    ------
    UsageError
        The folder for the tables holds something else, or cannot be written to.
    StopRun
        The tables cannot be written.
    """
    silence()
    items = list(asked.source.items())
    branches = list(asked.source.containers(items))
    items = Sieve(asked.include, asked.exclude, asked.only).sift(items, branches)
    with _notes(asked) as notes:
        known = _known(branches)
        if asked.source.keeps_subjects:
            for branch in branches:
                notes.add(_container(branch, asked.values))
        _look(asked, items, branches, known, notes)
        counts = tables.write(asked.out, notes.lines(), values=asked.values)
        left_out = Counter(item.problem for item in items if item.problem_state == "skipped")
        tables.summary(asked.out, counts, {
            "scanned": asked.place, "at": datetime.now(UTC).isoformat(timespec="seconds"), "version": __version__,
            "values": asked.values, "left out": dict(left_out),
            "not looked at": ["pixels (texts in them are told as a risk, and not read)", "sounds and films"],
        })  # fmt: skip
    return counts


def _look(
    asked: Asked, items: Sequence[Item], branches: Sequence[Branch], known: Mapping[str, Known], notes: _Notes
) -> None:
    labels = {branch.record.id: branch for branch in branches}
    book = plan_profiles(file.EVERYTHING, "scan", None, [])
    private.make_folder(asked.out / _WORK)
    try:
        settings = Settings(
            asked.source, book, keys.passing(), datetime.now(UTC).date(), "off", asked.out / _WORK,
            originals=asked.values, limits=asked.limits,
        )  # fmt: skip
        numbers = {item.id: number for number, item in enumerate(items)}
        tasks, pins = [], {}
        for item in items:
            if item.problem_state == "skipped":
                continue
            pins[numbers[item.id]] = pin = _pin(asked.source, item)
            if pin and notes.has(item.id, pin):
                continue
            person = known.get(item.containers[0]) if item.containers else None
            tasks.append(Task(numbers[item.id], (item,), None, telling=_telling(person, item, labels)))
        manner = Manner(quiet=asked.quiet)
        pool = Pool(settings, asked.workers)
        with Progress("looking", [task.items[0] for task in tasks], manner, numbers) as progress:
            pool.tick = progress.tick
            try:
                for task, looked in pool.run(_work, tasks, _lost):
                    item = task.items[0]
                    notes.add(_line(item, looked, pins[task.number], labels, asked))
                    progress.step([item])
            finally:
                pool.close()
    finally:
        shutil.rmtree(asked.out / _WORK, ignore_errors=True)


def _work(settings: Settings, task: Task) -> Looked:
    """Fetch a file and look at it; never raises for a bad one."""
    item = task.items[0]
    looked = Looked()
    if item.problem:
        looked.take([Finding("unread", "", item.problem)], values=False)
        return looked
    inbox = settings.workspace / f"{task.number:08d}.in"
    around = Known()
    for text in task.telling:
        around.add(text, "")
    try:
        with settings.within(task):
            path = settings.source.fetch(item, inbox)
            looked = file.look_at(path, item.name, around, values=settings.originals)
        if not settings.source.is_still(item, path):
            looked.take([Finding("unread", "", "it changed while it was read")], values=False)
    except DeidError as error:
        looked.take([Finding("unread", "", str(error))], values=False)
    except OSError as error:
        looked.take([Finding("unread", "", f"{error.strerror or type(error).__name__} (while reading)")], values=False)
    except MemoryError:
        looked.take([Finding("unread", "", "not enough memory")], values=False)
    except Exception as error:  # noqa: BLE001 -- the boundary: nothing may stop the other files
        what = f"unexpected {type(error).__name__} in {place_of(error)}; please report it"
        looked.take([Finding("unread", "", what)], values=False)
    finally:
        shutil.rmtree(inbox, ignore_errors=True)
    return looked


def _lost() -> Looked:
    looked = Looked()
    looked.take([Finding("unread", "", "it took too much: whoever looked at it was killed")], values=False)
    return looked


# -- containers ----------------------------------------------------------------------------------------------


def _known(branches: Sequence[Branch]) -> dict[str, Known]:
    """Return what the containers of each subject say of the person, by the subject's key."""
    known: dict[str, Known] = {}
    for branch in branches:
        one = known.setdefault(branch.keys[0], Known())
        for _ in metadata.findings(branch.record.fields, one):
            pass
    return known


def _telling(person: Known | None, item: Item, labels: Mapping[str, Branch]) -> tuple[str, ...]:
    """Return what the containers of a file say of the person, for a worker."""
    if person is None:
        return ()
    told: list[str] = []
    for key in item.containers:
        if key in labels:
            found = metadata.findings(labels[key].record.fields, Known())
            told += [one.value for one in found if one.what == metadata.IDENTIFIER]
    return tuple(dict.fromkeys(told))


def _container(branch: Branch, values: bool) -> dict[str, Any]:
    """Return the line of a container."""
    record = branch.record
    fields = {**record.fields, "label": record.label}
    looked = Looked()
    looked.take(metadata.findings(fields, Known()), values=values)
    return {
        "kind": "container", "id": f"{record.level} {record.id}", "pin": "", "level": record.level,
        "place": _place(branch.keys, {record.id: branch}), "fields": metadata.penn(fields),
        "has_metadata": bool(record.fields.get("metadata") or record.fields.get("info")), "found": _found(looked),
    }  # fmt: skip


def _place(containers: Sequence[str], labels: Mapping[str, Branch]) -> dict[str, str]:
    place: dict[str, str] = {}
    for level, key in zip(LEVELS, containers, strict=False):
        place[f"{level}_id"] = key
        branch = labels.get(key)
        if branch is not None:
            for name, label in zip(LEVELS, branch.labels, strict=False):
                place[f"{name}_label"] = label
    return place


# -- lines -----------------------------------------------------------------------------------------------------


def _line(item: Item, looked: Looked, pin: str, labels: Mapping[str, Branch], asked: Asked) -> dict[str, Any]:
    """Return the line of a file."""
    own = Looked()
    own.take(metadata.findings(item.fields, Known()), values=asked.values)
    place = _place(item.containers, labels)
    if not asked.source.keeps_subjects:
        place = {key: text for key, text in place.items() if key.endswith("_label")}
    folders = PurePosixPath(item.id).parts[:-1] if not asked.source.keeps_subjects else ()
    return {
        "kind": "file", "id": item.id, "pin": pin, "place": place, "name": item.name, "type": item.kind,
        "user": _user(item), "created": str(item.fields.get("created") or ""), "instances": looked.instances,
        "fields": looked.fields, "methods": looked.methods, "info": metadata.penn(item.fields),
        "has_info": bool(item.fields.get("info")) if asked.source.keeps_subjects else tables.NONE,
        "found": [*_found(looked), *_found(own), *_folders(folders, asked.values)],
    }  # fmt: skip


def _folders(parts: Sequence[str], values: bool) -> list[list[Any]]:
    looked = Looked()
    for part in parts:
        looked.take(file.name_findings(part, "folder", Known()), values=values)
    return _found(looked)


def _user(item: Item) -> str:
    """Return who made a file, as a platform says it: ``user jane@site.org``."""
    origin = item.fields.get("origin")
    if not isinstance(origin, Mapping):
        return ""
    return " ".join(str(origin[key]) for key in ("type", "id") if origin.get(key))


def _found(looked: Looked) -> list[list[Any]]:
    return [[*key, number, value] for key, (number, value) in looked.found.items()]


def _pin(source: Source, item: Item) -> str:
    """Return what changes with the content; empty where nobody can say."""
    try:
        return str(source.pin(item)) if not item.problem else ""
    except OSError:
        return ""


# -- notes -----------------------------------------------------------------------------------------------------


class _Notes:
    """What was found so far, a line of JSON each."""

    def __init__(self, path: Path, head: dict[str, Any]) -> None:
        self._path = path
        self._pins: dict[str, str] = {}
        self._used: dict[str, int] = {}
        self._stream: IO[str]
        fresh = not self._again(head)
        if fresh:
            path.unlink(missing_ok=True)
            self._stream = os.fdopen(private.create(path), "w+", encoding="utf-8")
            self._write(head)
        self._wanted: set[str] = set()

    def _again(self, head: dict[str, Any]) -> bool:
        """Go on with the notes of a scan that was ended, or did the same; a line that was cut is left behind."""
        if not self._path.is_file() or self._path.is_symlink():
            return False
        self._stream = self._path.open("r+", encoding="utf-8")
        end = 0
        for number, text in enumerate(iter(self._stream.readline, "")):
            try:
                line = json.loads(text) if text.endswith("\n") else None
            except ValueError:
                line = None
            if line is None or (number == 0 and line != head):
                break
            if number:
                self._pins[line["id"]] = line["pin"]
                self._used[line["id"]] = end
            end = self._stream.tell()
        self._stream.seek(end)
        self._stream.truncate()
        return end > 0

    def has(self, id_: str, pin: str) -> bool:
        """Tell whether a file was looked at as it is; it counts from now on."""
        if self._pins.get(id_) != pin:
            return False
        self._wanted.add(id_)
        return True

    def add(self, line: dict[str, Any]) -> None:
        """Note a line."""
        self._wanted.add(line["id"])
        self._pins[line["id"]] = line["pin"]
        self._stream.seek(0, os.SEEK_END)
        self._used[line["id"]] = self._stream.tell()
        self._write(line)

    def _write(self, line: dict[str, Any]) -> None:
        self._stream.write(json.dumps(line, ensure_ascii=True) + "\n")
        self._stream.flush()

    def lines(self) -> Iterator[dict[str, Any]]:
        """Yield the lines of what is there now, in the order in which they were written."""
        for id_ in sorted(self._wanted, key=lambda one: self._used[one]):
            self._stream.seek(self._used[id_])
            yield json.loads(self._stream.readline())

    def close(self) -> None:
        """Let go of the file."""
        self._stream.close()


@contextmanager
def _notes(asked: Asked) -> Iterator[_Notes]:
    """Open the notes in the folder for the tables.

    Raises
    ------
    UsageError, StopRun
    """
    try:
        if asked.out.is_dir() and not (asked.out / _NOTES).is_file() and any(asked.out.iterdir()):
            raise UsageError(f"{asked.out}: holds other files, and tables of a scan tell names: choose a new --out")
        private.make_folder(asked.out)
        head = {"scan": asked.place, "version": __version__, "values": asked.values}
        notes = _Notes(asked.out / _NOTES, head)
    except OSError as error:
        raise UsageError(f"{asked.out}: cannot be written ({error.strerror})") from None
    try:
        yield notes
    except OSError as error:
        raise StopRun(f"{asked.out}: the tables cannot be written ({error.strerror})") from None
    finally:
        notes.close()
