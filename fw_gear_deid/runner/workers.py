"""Task → Worked, in this process or another; the one boundary where an error becomes an outcome."""

from __future__ import annotations

import hashlib
import os
import pickle
import shutil
import time
import warnings
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import field, replace
from datetime import date
from functools import partial
from pathlib import Path
from typing import TypeVar

from fw_gear_deid.deid import Context, Result, deidentify, deidentify_series, first_ids, pair, survey, taught
from fw_gear_deid.deid.columns import is_table
from fw_gear_deid.deid.identity import Watch
from fw_gear_deid.deid.notes import Notes
from fw_gear_deid.deid.shares import Shares, make_share
from fw_gear_deid.deid.sort import is_nobodys, sort
from fw_gear_deid.deid.survey import Surveyed, see
from fw_gear_deid.keys import Keyring
from fw_gear_deid.model.bids import Entities
from fw_gear_deid.model.errors import DeidError, Malformed, Odd, Unfit, place_of
from fw_gear_deid.model.frozen import frozen
from fw_gear_deid.model.limits import Budget, Given, within
from fw_gear_deid.model.outcome import Failed, Ids, Outcome, Refused, Skipped, Trail, Trouble
from fw_gear_deid.model.person import Born, Identity
from fw_gear_deid.model.ports import Item, Source
from fw_gear_deid.model.seen import Seen
from fw_gear_deid.profile.compiled import Profile
from fw_gear_deid.profile.values.book import ProfileBook
from fw_gear_deid.system import private


@frozen
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
    strict: bool = True
    """Refuse a file of another person than it stands for; else warn of it."""
    small: bool = False
    """Take the time for the fewest bytes."""
    strict_rules: bool = False
    """Refuse a file in which a rule of its section finds nothing."""
    limits: Given = field(default_factory=dict)
    """Those that were set."""
    marks: bool = False
    """Note in the workspace what each process is at."""
    uids: bool = False
    """Tell which UIDs were hashed."""

    def within(self, task: Task) -> AbstractContextManager[Budget]:
        """Let limits go for the files of a task."""
        return within(self.limits, sum(item.size for item in task.items))


@frozen
class Task:
    """One source file, or the instances of one series.

    Attributes
    ----------
    number : int
        Position in the run; names the result in the workspace.
    items : tuple of Item
    person : str or None
        Whose it is, as the text of a ``Person``; None: the PatientID in the file tells.
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
    born : tuple of str
        Birth date of the person, as far as it is known, sealed.
    by_id : bool
        The person is known by the id in the header: another one is another patient.
    visit : str
        What tells a loose file's visit from others of its person.
    row : int
        Row of the mapping that the first look found; 0 when it is not known.
    entities : Entities or None
        Labels of a tree in the layout of BIDS.
    beside : tuple of Item
        Companions: files of one stem in one folder. What rules take away in one, no name of another may carry.
    shares : int
        How many workers make its members beforehand; 0 for a file that is done at once.
    share : int
        Which of these shares this is about.
    half : Item or None
        The other half of a pair.
    subjects : mapping of str to str
        What the subjects of the run are found by that a table names, sealed → text of the person; empty where the item
        is no such table.
    """

    number: int
    items: tuple[Item, ...]
    person: str | None
    series: bool = False
    labels: tuple[str, ...] = ()
    telling: tuple[str, ...] = ()
    acquisition: str = ""
    pseudonyms: Mapping[str, str] = field(default_factory=dict)
    born: Born = ()
    by_id: bool = False
    visit: str = ""
    row: int = 0
    entities: Entities | None = None
    beside: tuple[Item, ...] = ()
    shares: int = 0
    share: int = 0
    half: Item | None = None
    subjects: Mapping[str, str] = field(default_factory=dict)


@frozen
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
    met: tuple[Identity, ...] = ()
    """Whose data sets it held, sealed."""
    doubts: tuple[str, ...] = ()
    """What would have refused it, had it not been asked to warn only."""
    holds: frozenset[str] = frozenset()
    """The instances it held, sealed."""
    trail: Trail = field(default_factory=Trail)
    """What was changed."""


_CHANGED = "it changed while it was read"


def process(settings: Settings, task: Task) -> Worked:
    """Fetch, de-identify and verify one task; never raises for a bad file."""
    begin = time.perf_counter()
    result = settings.workspace / f"{task.number:08d}"
    done: Result | Outcome
    notes = Notes(collect=settings.ids, uids=settings.uids)
    watch = Watch(task.born, task.by_id, settings.strict)
    try:
        os.close(private.create_anew(result))  # whoever writes it keeps its mode
        with settings.within(task):
            done = _process(settings, task, result, notes, watch)
    except (Malformed, Odd) as error:
        done = Refused(str(error), damaged=True)
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
        return Worked(
            done.released,
            result,
            seconds,
            done.sorting,
            notes.row,
            tuple(notes.ids),
            tuple(watch.met),
            tuple(watch.notes),
            frozenset(watch.holds),
            done.trail,
        )
    result.unlink(missing_ok=True)
    return Worked(done, None, seconds, row=notes.row)


def _process(settings: Settings, task: Task, result: Path, notes: Notes, watch: Watch) -> Result | Outcome:
    for item in task.items:
        if item.problem:
            return problem_of(item)
    inbox = settings.workspace / f"{task.number:08d}.in"
    _clear(inbox)  # left by a worker that was killed at this very task
    try:
        paths = [settings.source.fetch(item, inbox) for item in task.items]
        try:
            ctx = replace(_context(settings, task, paths[0], notes, watch), shares=_shares(settings, task))
            half = _half(settings, task, inbox)
            lying = {task.items[0].name: paths[0]} | ({half[0].name: half[1]} if half is not None else {})
            ctx = _taught(settings, task, lying, replace(ctx, other=partial(pair.lying, lying)), inbox)
            done = _deidentified(task, paths, ctx, result)
        except Unfit:
            if _are_still(settings.source, task, paths):
                raise
            return Failed(_CHANGED)  # half of it may be read, half not there yet
        if half is not None and not settings.source.is_still(*half):
            return Failed(_CHANGED)
        return done if _are_still(settings.source, task, paths) else Failed(_CHANGED)
    finally:
        _clear(inbox)
        for number in range(task.shares):
            for path in _part(settings, task, number):
                path.unlink(missing_ok=True)


def _half(settings: Settings, task: Task, inbox: Path) -> tuple[Item, Path] | None:
    """Fetch the other half of a pair; None where there is none that can be read."""
    if task.half is None or task.half.problem:
        return None
    return task.half, settings.source.fetch(task.half, inbox / "half" if inbox.exists() else inbox)


def _taught(settings: Settings, task: Task, lying: dict[str, Path], ctx: Context, inbox: Path) -> Context:
    """Let the companions of a file teach what its name may not carry, where it is taken at all."""
    name = task.items[0].name
    if task.beside and is_nobodys(lying[name], name, ctx.profile):
        return ctx
    for number, item in enumerate(task.beside):
        if item.name not in lying:
            lying[item.name] = settings.source.fetch(item, inbox / str(number))
    for item in task.beside:
        ctx = taught(lying[item.name], item.name, ctx)
    return ctx


def share(settings: Settings, task: Task) -> bool:
    """Make some members of an archive beforehand; return whether that went well.

    Whatever goes wrong is found, and told, by who joins the shares: it makes what it misses.
    """
    part, told = _part(settings, task, task.share)
    try:
        os.close(private.create_anew(part))
        path = settings.source.fetch(task.items[0], settings.workspace)
        with settings.within(task):
            ctx = _context(settings, task, path, Notes(collect=settings.ids, uids=settings.uids), Watch())
            records = make_share(path, task.items[0].name, ctx, part, task.share, task.shares)
        data = pickle.dumps(records)
        with os.fdopen(private.create_anew(told), "wb") as stream:
            stream.write(data)
    except Exception:  # noqa: BLE001 -- the boundary, as in process, which does the same again
        told.unlink(missing_ok=True)
        return False
    return True


def _shares(settings: Settings, task: Task) -> Shares | None:
    """Return what was made of a task beforehand."""
    parts = [_part(settings, task, number) for number in range(task.shares)]
    # ours, from a private folder
    read = [(part, pickle.loads(told.read_bytes())) for part, told in parts if told.exists()]  # noqa: S301
    return Shares(read) if read else None


def _part(settings: Settings, task: Task, number: int) -> tuple[Path, Path]:
    """Return where a share lies, and what is told of it."""
    part = settings.workspace / f"{task.number:08d}.{number}"
    return part, part.with_name(f"{part.name}.told")


def _clear(folder: Path) -> None:
    """Remove a folder that most tasks do not have."""
    if os.path.lexists(folder):
        shutil.rmtree(folder, ignore_errors=True)


def _deidentified(task: Task, paths: list[Path], ctx: Context, result: Path) -> Result | Skipped:
    if task.series:
        named = [(path, item.name) for path, item in zip(paths, task.items, strict=True)]
        return deidentify_series(named, ctx, result)
    return deidentify(paths[0], task.items[0].name, ctx, result)


def _are_still(source: Source, task: Task, paths: Iterable[Path]) -> bool:
    """Tell whether no file has changed since it was fetched."""
    return all(source.is_still(item, path) for item, path in zip(task.items, paths, strict=True))


def problem_of(item: Item) -> Refused | Skipped | Failed:
    """Return what becomes of a source whose listing found a problem."""
    kinds: dict[str, type[Refused | Skipped | Failed]] = {"refused": Refused, "skipped": Skipped, "failed": Failed}
    return kinds[item.problem_state](item.problem)


def _context(settings: Settings, task: Task, path: Path, notes: Notes, watch: Watch) -> Context:
    """Take the profile that goes for a task; where the mapping goes by an id, its first header tells which."""
    book = settings.profiles
    ids = first_ids(path, task.items[0].name, book.base) if book.by_header else {}
    # what no section takes needs no values: the work on it says that it is left out
    section = sort(path, task.items[0].name, book.base).section if task.subjects else None
    known = pseudonyms_of(task, section, settings.keyring)
    profile = book.base if ids is None else _profile(settings, task, path, ids, known)
    notes.row = book.lookup.row(task.labels, ids) if book.lookup is not None and ids is not None else None
    if task.row and notes.row != task.row:
        raise Unfit(f"its {book.by_header}, by which the mapping goes, is not the one that was noted of it")
    return Context(
        profile,
        settings.keyring,
        task.person,
        settings.today,
        settings.verify,
        (*task.telling, *book.telling(task.labels, ids or {})),
        task.acquisition,
        {book.by_header: ids[book.by_header]} if ids else {},
        notes,
        watch,
        small=settings.small,
        originals=settings.originals,
        entities=task.entities,
        strict_rules=settings.strict_rules,
        subjects=task.subjects,
        pseudonym=known.get("subject.pseudonym", ""),
    )


def pseudonyms_of(task: Task, section: object, keyring: Keyring) -> Mapping[str, str]:
    """Return the values of the variables that need no mapping; in a table of many subjects one stands for theirs."""
    if task.pseudonyms or not is_table(section):
        return task.pseudonyms
    return {"subject.pseudonym": keyring.subject("whose the row is")}


def _profile(
    settings: Settings, task: Task, path: Path, ids: Mapping[str, str], pseudonyms: Mapping[str, str]
) -> Profile:
    """Return the profile for a file; what is wrong with the file itself goes before values that it lacks."""
    book, name = settings.profiles, task.items[0].name
    try:
        return book.for_file(task.labels, ids, pseudonyms)
    except Unfit:
        if see(path, name, book, settings.keyring, whole=True).kind == "other" and is_nobodys(path, name, book.base):
            return book.base
        raise


def look(settings: Settings, task: Task) -> Seen | str:
    """Return whose a source is, or why it cannot be read."""
    item = task.items[0]
    book = settings.profiles
    return _first(settings, task, lambda path: see(path, item.name, book, settings.keyring, whole=item.loose))


def look_closer(settings: Settings, task: Task) -> Surveyed | str:
    """Return what the header of a source says for placing it, or why it cannot be read."""

    def read(path: Path) -> Surveyed:
        found = survey(path, task.items[0].name, _context(settings, task, path, Notes(), Watch()))
        return found.named(settings.keyring, task.person or "", task.visit)

    return _first(settings, task, read)


def digest(settings: Settings, task: Task) -> str:
    """Return the SHA-256 of a source's bytes, empty when it cannot be read."""

    def read(path: Path) -> Seen:
        with path.open("rb") as stream:
            return Seen("", sha256=hashlib.file_digest(stream, "sha256").hexdigest())

    found = _first(settings, task, read)
    return found.sha256 if isinstance(found, Seen) else ""


Found = TypeVar("Found")


def _first(settings: Settings, task: Task, read: Callable[[Path], Found]) -> Found | str:
    """Read a source, before anything is written; never raises for a bad file."""
    try:
        with settings.within(task):
            return read(settings.source.fetch(task.items[0], settings.workspace))
    except DeidError as error:
        return str(error)
    except OSError as error:
        return Trouble(f"{error.strerror or type(error).__name__} (while reading)")
    except MemoryError:
        return Trouble("not enough memory")
    except Exception as error:  # noqa: BLE001 -- the boundary
        return Trouble(f"unexpected {type(error).__name__} in {place_of(error)}; please report it")


def silence() -> None:
    """Keep libraries from printing what they read: their warnings quote values."""
    warnings.simplefilter("ignore")
