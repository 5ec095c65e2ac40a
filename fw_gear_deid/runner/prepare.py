"""Job → what is to be done: a first look at every source, whose each is, and the place of every task."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from fw_gear_deid.deid.container import CleanContainer, deidentify_container
from fw_gear_deid.deid.identity import identity_of_metadata
from fw_gear_deid.deid.survey import Surveyed
from fw_gear_deid.model.errors import Unfit
from fw_gear_deid.model.frozen import frozen
from fw_gear_deid.model.outcome import Trouble
from fw_gear_deid.model.person import Person
from fw_gear_deid.model.ports import Branch, Item
from fw_gear_deid.model.seen import Seen
from fw_gear_deid.runner import copies
from fw_gear_deid.runner.directory import with_subjects
from fw_gear_deid.runner.marks import TOOK_TOO_MUCH
from fw_gear_deid.runner.memory import Memory
from fw_gear_deid.runner.people import People, container_person, people_in_containers, people_in_folders
from fw_gear_deid.runner.plan import (
    Cleaned,
    Group,
    Labelling,
    Place,
    arrange,
    branch_pseudonyms,
    first_tasks,
    group,
    subject_labels,
    wanted_containers,
)
from fw_gear_deid.runner.pool import Crew, Out, Pool, Work
from fw_gear_deid.runner.progress import Manner, Progress
from fw_gear_deid.runner.sieve import BY_ONLY
from fw_gear_deid.runner.workers import Settings, Task, digest, look, look_closer

if TYPE_CHECKING:
    from fw_gear_deid.runner.run import Job

_LOST = Trouble(f"{TOOK_TOO_MUCH}its worker process died while reading it")


Watched = Callable[[Sequence[Item]], Progress]
"""Items that a pass is about → who tells of its progress."""


@frozen
class Eyes:
    """What looks are taken with.

    Attributes
    ----------
    settings : Settings
    pool : Crew
    progress : callable
    """

    settings: Settings
    pool: Crew
    progress: Watched

    def all(self, work: Work[Out], tasks: Sequence[Task], lost: Callable[[], Out]) -> Iterator[tuple[Task, Out]]:
        """Yield task and result, and tell how far it is."""
        with self.progress([item for task in tasks for item in task.items[:1]]) as progress:
            self.pool.tick = progress.tick
            for task, result in self.pool.run(work, tasks, lost):
                yield task, result
                progress.step(task.items[:1])


def _unwatched(items: Sequence[Item]) -> Progress:
    return Progress("looking", items, Manner(quiet=True), {})


@frozen
class Prepared:
    """Everything that is known before the first file is written.

    Attributes
    ----------
    places : list of Place
        In source order.
    containers : dict
        Key of a source container → what becomes of it.
    people : People
    seen : mapping
        Source file → what the look at it found, or why it cannot be read.
    """

    places: list[Place]
    containers: dict[str, Cleaned]
    people: People
    seen: Mapping[str, Seen | str]


def pinned(job: Job) -> list[Item]:
    """Return the items with versions that change with the content; what cannot be read fails."""
    items = []
    for item in job.items:
        try:
            items.append(item if item.problem else replace(item, version=job.source.pin(item)))
        except OSError as error:
            cause = f"{error.strerror or type(error).__name__} (while reading)"
            items.append(replace(item, problem=cause, problem_state="failed"))
    return items


def prepare(job: Job, settings: Settings, pool: Crew, memory: Memory, progress: Watched) -> Prepared:
    """Look at the headers that people and places depend on, de-identify containers, and arrange everything."""
    eyes = Eyes(settings, pool, progress)
    people, seen = look_at_people(job.items, job.branches, eyes, root=job.root, memory=memory)
    _join(people, seen, job.items, job.branches, settings)
    memory.compare(job.items, people, seen)
    clean, problems = _clean(job, settings, people)
    groups = group(job.items, seen, people)
    tasks = first_tasks(groups, seen, people, job.keyring)
    tasks = with_subjects(tasks, people, seen, job.branches, settings)
    headers = _headers(tasks, seen, people, eyes, memory)
    held = memory.held(job.items, people, seen)
    how = Labelling(job.keyring, job.labels == "keep", job.profiles.joins, held, job.sink.apart)
    subjects = subject_labels(job.branches, clean, groups, headers, people, how)
    containers = wanted_containers(job.branches, clean, job.source, subjects, people, how)
    places = arrange(tasks, headers, people, containers, subjects, how)
    return Prepared([_with_container_problem(place, problems) for place in places], containers, people, seen)


def whose(items: Sequence[Item], branches: Sequence[Branch], settings: Settings) -> tuple[People, dict[str, Task]]:
    """Tell whose every file is as a run would: item → a task that has its person, labels and pseudonyms."""
    people, seen = look_at_people(items, branches, Eyes(settings, Pool(settings, 1), _unwatched))
    _join(people, seen, items, branches, settings)
    by_key = {branch.record.id: branch for branch in branches}
    tasks = {}
    first = first_tasks([Group((item,)) for item in items], seen, people, settings.keyring)
    for task in with_subjects(first, people, seen, branches, settings):
        item = task.items[0]
        if item.containers and item.id not in people.loose:
            branch = by_key[item.containers[-1]]
            known = branch_pseudonyms(branch, people.of.get(item.id), settings.keyring)
            task = replace(task, labels=branch.labels, pseudonyms=known)
        tasks[item.id] = task
    return people, tasks


def _join(
    people: People,
    seen: Mapping[str, Seen | str],
    items: Sequence[Item],
    branches: Sequence[Branch],
    settings: Settings,
) -> None:
    """Let subjects that a mapping joins on purpose be one person, with one pseudonym and one shift."""
    book = settings.profiles
    if book.lookup is None or not book.lookup.allow_shared or book.by_header not in ("", "PatientID"):
        return  # rows by study are not of persons
    labels = {branch.record.id: branch.labels for branch in branches}
    for key in people.subjects:
        new = book.new_id(labels.get(key, ()))
        if new and not book.by_header:
            people.subjects[key] = Person("row", (settings.keyring.stamp("row", *new),))
    for item in items:
        one = seen.get(item.id)
        if book.by_header and isinstance(one, Seen) and one.row and item.id in people.loose and item.id in people.of:
            people.of[item.id] = Person("row", (one.row,))
        elif item.containers and item.id in people.of and item.id not in people.loose and not book.by_header:
            people.of[item.id] = people.subjects[item.containers[0]]


def look_at_people(
    items: Sequence[Item],
    branches: Sequence[Branch],
    eyes: Eyes,
    *,
    root: str = "",
    memory: Memory | None = None,
) -> tuple[People, Mapping[str, Seen | str]]:
    """Take the first look at every source; return whose each is, and what was seen of it.

    Parameters
    ----------
    items, branches : sequence
        Of the source.
    eyes : Eyes
    root : str
        As for ``people_in_folders``.
    memory : Memory, optional
        What looks of earlier runs found.
    """
    if eyes.settings.source.keeps_subjects:
        return _on_platform(items, branches, eyes.settings)
    looked_at = [item for item in items if not item.problem or item.problem == BY_ONLY]
    known = memory.recall(looked_at) if memory is not None else {}
    seen: dict[str, Seen | str] = {**known}
    tasks = _tasks(item for item in looked_at if item.id not in seen)
    for task, result in eyes.all(look, tasks, lambda: _LOST):
        seen[task.items[0].id] = result
    unsure = [item for item in copies.suspects(items, seen) if not item.problem]
    tasks = _tasks(item for item in unsure if isinstance(one := seen[item.id], Seen) and not one.sha256)
    for task, sha256 in eyes.all(digest, tasks, str):
        one = seen[task.items[0].id]
        assert isinstance(one, Seen)  # noqa: S101 -- the others are not asked for
        seen[task.items[0].id] = replace(one, sha256=sha256)
    if memory is not None:
        new = {item.id for item in looked_at if item.id not in known} | {item.id for item in unsure}
        memory.remember((item for item in looked_at if item.id in new), seen)
    return people_in_folders(items, seen, root=root, strict=eyes.settings.strict), seen


def _on_platform(
    items: Sequence[Item], branches: Sequence[Branch], settings: Settings
) -> tuple[People, Mapping[str, Seen | str]]:
    listed = {item.id: item for item in (*settings.source.witnesses(), *items)}
    noted: dict[str, Seen | str] = {key: _noted(item, settings) for key, item in listed.items()}
    born = {
        branch.record.id: identity_of_metadata(
            {"PatientBirthDate": branch.record.fields.get("date_of_birth")}, settings.keyring
        ).born
        for branch in branches
        if branch.record.level == "subject"
    }
    found = people_in_containers(list(listed.values()), noted, born, strict=settings.strict)
    own = {item.id for item in items}
    found.copies = {key: other for key, other in found.copies.items() if other in own}
    for branch in branches:
        found.subjects.setdefault(branch.keys[0], container_person(branch.keys[0]))
    return found, noted


def _noted(item: Item, settings: Settings) -> Seen:
    """Return what a platform tells of a file without its bytes."""
    sha256 = item.digest if item.kind == "dicom" else ""
    book = settings.profiles
    ids = {book.by_header: str(item.header.get(book.by_header) or "").strip(" \0")} if book.by_header else {}
    number = book.lookup.row((), ids) if book.lookup is not None and ids else None
    identity = identity_of_metadata(item.header, settings.keyring)
    return Seen("", (identity,), sha256=sha256, number=number or 0)


def _tasks(items: Iterable[Item]) -> list[Task]:
    return [Task(number, (item,), None) for number, item in enumerate(items)]


def _clean(job: Job, settings: Settings, people: People) -> tuple[dict[str, CleanContainer], dict[str, str]]:
    """De-identify the metadata of containers; return why it is impossible for some."""
    clean: dict[str, CleanContainer] = {}
    problems: dict[str, str] = {}
    for branch in job.branches:
        person = people.subjects.get(branch.keys[0])
        try:
            clean[branch.record.id] = CleanContainer(None, {}, ())
            if person is not None:
                clean[branch.record.id] = _container(job, settings, branch, person)
        except Unfit as error:
            problems[branch.record.id] = str(error)
    return clean, problems


def _container(job: Job, settings: Settings, branch: Branch, person: Person) -> CleanContainer:
    known = branch_pseudonyms(branch, person, job.keyring)
    section = job.profiles.flywheel(branch.labels, known)
    return deidentify_container(branch.record, section, job.keyring.draw(person.text), settings.today)


def _headers(
    tasks: Sequence[Task], seen: Mapping[str, Seen | str], people: People, eyes: Eyes, memory: Memory
) -> dict[str, Surveyed | str]:
    """Look closer at the first of each loose group: its header decides where they go."""
    headers: dict[str, Surveyed | str] = {}
    closer = []
    for task in tasks:
        item = task.items[0]
        found = seen.get(item.id)
        if item.id not in people.loose or item.problem or item.id in people.problems or item.id in people.copies:
            continue
        if isinstance(found, str):
            headers[item.id] = found
        elif task.person is not None:
            closer.append(task)
    headers |= memory.recall_headers(closer, eyes.settings.today)
    fresh = [task for task in closer if task.items[0].id not in headers]
    for task, result in eyes.all(look_closer, fresh, lambda: _LOST):
        headers[task.items[0].id] = result
    memory.remember_headers(fresh, headers, eyes.settings.today)
    return headers


def _with_container_problem(place: Place, problems: dict[str, str]) -> Place:
    item = place.task.items[0]
    found = [problems[key] for key in item.containers if key in problems]
    # what is left out needs no values, and the mapping no row for it
    return replace(place, problem=found[0]) if found and not place.problem and not item.problem else place
