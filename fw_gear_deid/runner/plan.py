"""Items, containers and headers → which task goes where (interfaces §1: labels)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import field, replace
from functools import lru_cache
from hashlib import sha256
from unicodedata import normalize

from fw_gear_deid.deid.container import CleanContainer
from fw_gear_deid.deid.labels import holds, lost
from fw_gear_deid.deid.pair import other_names
from fw_gear_deid.deid.survey import Surveyed
from fw_gear_deid.keys import Keyring
from fw_gear_deid.model.errors import Unfit
from fw_gear_deid.model.frozen import frozen
from fw_gear_deid.model.outcome import Always, Edit, Trouble
from fw_gear_deid.model.person import Person
from fw_gear_deid.model.portable import same_name_key, sanitize
from fw_gear_deid.model.ports import LEVELS, Branch, Item, Source, Wanted
from fw_gear_deid.model.seen import Seen
from fw_gear_deid.runner.companions import with_companions
from fw_gear_deid.runner.people import People
from fw_gear_deid.runner.renaming import Renaming
from fw_gear_deid.runner.workers import Task


@frozen
class Place:
    """Where a task's result goes, or why it has no place.

    Attributes
    ----------
    task : Task
    containers : tuple of Wanted
        An acquisition whose label depends on the header has an empty one until the first result of it is there.
    key : str
        Key of the innermost source container.
    source_label : str
        Label of the acquisition at the source, when the header decides whether it stays.
    problem : str
        Why it is refused; empty when the place holds.
    skip : str
        Why it is left out.
    origin : tuple of str
        Person, visit and acquisition: two of one label must not be two of these.
    """

    task: Task
    containers: tuple[Wanted, ...]
    key: str = ""
    source_label: str = ""
    problem: str = ""
    skip: str = ""
    origin: tuple[str, ...] = ()
    stem: tuple[str, ...] = ()
    """What it shares with its companions: folder, and name without its suffix."""
    is_sidecar: bool = False
    """It is about another file of its stem, and does not stand without."""


@frozen
class Group:
    """Files that become one: the instances of a loose series, or a file alone."""

    items: tuple[Item, ...]
    series: bool = False


@frozen
class Labelling:
    """How labels are found.

    Attributes
    ----------
    keyring : Keyring
    keep : bool
        ``--labels keep``: labels without a rule stay.
    joined : bool
        Subjects that get one label by the profile are one on purpose: a mapping with ``--allow-shared-ids`` says so.
    held : mapping
        Label at the destination, as ``same_name_key`` has it → text of the person that another source has below it.
    apart : frozenset of str
        Levels at which the destination tells containers of one label apart by their origins.
    """

    keyring: Keyring
    keep: bool = False
    joined: bool = False
    held: Mapping[str, str] = field(default_factory=dict)
    apart: frozenset[str] = frozenset()


@frozen
class Cleaned:
    """A source container, what it becomes, and where that stands."""

    branch: Branch
    clean: CleanContainer
    chain: tuple[Wanted, ...]

    @property
    def lost(self) -> set[str]:
        """Names and ids that do not travel, the label of the source among them."""
        label = self.chain[-1].label
        gone = lost(self.branch.record, self.clean)
        if label and label != self.branch.record.label:
            gone.add(_telling_part(self.branch))
        return gone - {label}

    def renamed(self, label: str) -> list[Edit]:
        """Return the audit of a label that no rule has set, empty when it stays."""
        record = self.branch.record
        if label in (record.label, _safe(self.clean.label or "")):
            return []
        path = f"container {record.level}.label"
        rule = Always.NAME if self.clean.label else Always.LABEL
        return [Edit(path, "", "", "replace-with", rule.value, record.label, label)]


def group(items: Sequence[Item], seen: Mapping[str, Seen | str], people: People) -> list[Group]:
    """Put the loose instances of one series together; ``items`` are in source order."""
    groups: dict[tuple[str, ...], list[Item]] = {}
    for item in items:
        key = _series_key(item, seen.get(item.id), people)
        groups.setdefault(key or ("", item.id), []).append(item)
    return [Group(tuple(together), bool(key[0])) for key, together in groups.items()]


def _series_key(item: Item, one: Seen | str | None, people: People) -> tuple[str, ...] | None:
    """Return what loose instances are grouped by; None for everything else."""
    if item.id not in people.loose or item.problem or item.id in people.problems or item.id in people.copies:
        return None
    person = people.of.get(item.id)
    if person is None or not isinstance(one, Seen) or one.kind != "instance" or not one.series:
        return None
    return ("series", person.text, one.study, one.series)


def subject_labels(
    branches: Sequence[Branch],
    clean: Mapping[str, CleanContainer],
    groups: Sequence[Group],
    headers: Mapping[str, Surveyed | str],
    people: People,
    how: Labelling,
) -> dict[str, str]:
    """Give every person one label; text of the person → label.

    A container's comes before a header's. One that a rule gives to several persons is no label: the pseudonym is.
    """
    found: dict[str, tuple[str, bool]] = {}
    by_header: set[str] = set()
    for branch in branches:
        person = people.subjects.get(branch.keys[0])
        if person is not None and branch.record.level == "subject":
            ruled, kept = _ruled(branch, clean), _safe(branch.record.label) if how.keep else ""
            found.setdefault(person.text, (ruled or kept, bool(ruled)))
    for one in groups:
        person, header = people.of.get(one.items[0].id), headers.get(one.items[0].id)
        if person is not None and isinstance(header, Surveyed) and person.text not in found:
            found[person.text] = _subject_by_header(header, keep=how.keep)
            by_header.add(person.text)
    owners: dict[str, set[str]] = defaultdict(set)
    kept_labels: set[str] = set()
    for text, (label, by_rule) in found.items():
        owners[same_name_key(label)].add(text)
        if not by_rule:
            kept_labels.add(same_name_key(label))
    for label, text in how.held.items():
        owners[label].add(text)
    out = {}
    for text, (label, _) in found.items():
        key = same_name_key(label)
        pseudonym = how.keyring.subject(text)
        is_shared = len(owners[key]) > 1 and key not in kept_labels and not how.joined
        # an earlier run has put the person's tree there: loose files join it
        is_there = text in by_header and how.held.get(same_name_key(pseudonym)) == text
        out[text] = label if label and not is_shared and not is_there else pseudonym
    return out


def _subject_by_header(header: Surveyed, *, keep: bool) -> tuple[str, bool]:
    label = _safe(header.labels.get("subject", ""))
    if label:
        return label, True
    is_ruled = "PatientID" in header.ruled
    return (_safe(header.after.get("PatientID", "")) if is_ruled or keep else ""), is_ruled


def wanted_containers(
    branches: Sequence[Branch],
    clean: Mapping[str, CleanContainer],
    source: Source,
    subjects: Mapping[str, str],
    people: People,
    how: Labelling,
) -> dict[str, Cleaned]:
    """Give every source container its place at the destination; key → branch and chain of containers.

    Parameters
    ----------
    branches : sequence of Branch
        Outermost first; folders that are no subjects, and what is below them, are left out.
    clean : mapping
        Key → de-identified metadata.
    subjects : mapping
        From ``subject_labels``.
    """
    out: dict[str, Cleaned] = {}
    for branch in branches:
        record, person = branch.record, people.subjects.get(branch.keys[0])
        if person is None:
            continue
        done = clean[record.id]
        above = out[branch.keys[-2]].chain if len(branch.keys) > 1 else ()
        if record.level == "subject":
            label = subjects[person.text]
        else:
            label = _ruled(branch, clean) or (_safe(record.label) if how.keep or branch.fixed else "")
            gone = lost(record, done).union(*(out[key].lost for key in branch.keys[:-1]))
            label = "" if label and not branch.fixed and holds(label, gone) else label
        if not label and record.level == "session":
            label = how.keyring.session(person.text, _visit(branch, person))
        one = Wanted(record.level, label, source.origin(record.id), done.fields)
        out[record.id] = Cleaned(branch, done, (*above, one))
    return out


def _ruled(branch: Branch, clean: Mapping[str, CleanContainer]) -> str:
    """Return the label that a rule gives a container, as its layout wants it."""
    label = _safe(clean[branch.record.id].label or "")
    return label if not label or label.startswith(branch.prefix) else branch.prefix + label


def branch_pseudonyms(branch: Branch, person: Person | None, keyring: Keyring) -> Mapping[str, str]:
    """Return the values of the variables that need no mapping, for a container or the files in it."""
    return pseudonyms(keyring, person.text, _visit(branch, person)) if person is not None else {}


def _visit(branch: Branch, person: Person) -> str:
    """Return what tells a person's visits apart: of a platform the session's id, of a tree its folder."""
    if len(branch.keys) < 2 or (branch.fixed and len(branch.keys) == 2):
        return ""
    return branch.keys[1] if person.kind == "container" else normalize("NFC", f"folder {branch.labels[1]}")


def acquisition_label(place: Place, sorting: Mapping[str, str], keyring: Keyring) -> str:
    """Decide an acquisition's label by the first result of it: it stays where the header has it unchanged."""
    label = _safe(place.source_label)
    if label and place.source_label in (sorting.get("SeriesDescription"), sorting.get("ProtocolName")):
        return label
    return keyring.name("acq", place.key)


def first_tasks(
    groups: Sequence[Group], seen: Mapping[str, Seen | str], people: People, keyring: Keyring
) -> list[Task]:
    """Return the task of every group: whose it is, and of a loose one which visit."""
    tasks = []
    lie = {_beside(item, item.name): item for one in groups for item in one.items if other_names(item.name)}
    for number, one in enumerate(groups):
        item = one.items[0]
        person, found = people.of.get(item.id), seen.get(item.id)
        known = people.known.get(person.text) if person is not None else None
        visit = f"study {found.study or '-'}" if item.id in people.loose and isinstance(found, Seen) else ""
        tasks.append(
            Task(
                number,
                one.items,
                person.text if person is not None else None,
                one.series,
                pseudonyms=pseudonyms(keyring, person.text, visit) if person is not None and visit else {},
                born=known.born if known is not None else (),
                by_id=person is not None and item.id in people.loose,
                visit=visit if person is not None else "",
                row=found.number if isinstance(found, Seen) else 0,
                half=next(filter(None, (lie.get(_beside(item, name)) for name in other_names(item.name))), None),
            )
        )
    return tasks


def _beside(item: Item, name: str) -> tuple[object, ...]:
    """Return what tells a file of a name that lies beside another one."""
    return item.containers, item.id[: len(item.id) - len(item.name)], name.lower()


@lru_cache(maxsize=256)  # files of one visit follow one another
def pseudonyms(keyring: Keyring, person: str, visit: str) -> Mapping[str, str]:
    """Return the values of the variables that need no mapping."""
    known = {"subject.pseudonym": keyring.subject(person)}
    return known | {"session.pseudonym": keyring.session(person, visit)} if visit else known


def arrange(
    tasks: Sequence[Task],
    headers: Mapping[str, Surveyed | str],
    people: People,
    containers: Mapping[str, Cleaned],
    subjects: Mapping[str, str],
    how: Labelling,
) -> list[Place]:
    """Give every task its place.

    Parameters
    ----------
    tasks : sequence of Task
        From ``first_tasks``.
    headers : mapping
        What the header of the first of a loose group says, by its id, or why it cannot be read.
    containers, subjects : mapping
        From ``wanted_containers`` and ``subject_labels``.
    """
    telling: dict[tuple[str, ...], tuple[str, ...]] = {}
    for task in tasks:
        keys = task.items[0].containers
        if keys and keys not in telling and keys[-1] in containers:
            telling[keys] = _telling(keys, containers)
    renaming = Renaming(containers)
    places = [_place(renaming.of(task, people), headers, people, containers, subjects, telling, how) for task in tasks]
    return _refuse_shared_labels(with_companions(places), how)


def _place(
    task: Task,
    headers: Mapping[str, Surveyed | str],
    people: People,
    containers: Mapping[str, Cleaned],
    subjects: Mapping[str, str],
    telling: Mapping[tuple[str, ...], tuple[str, ...]],
    how: Labelling,
) -> Place:
    item = task.items[0]
    if item.problem:
        return Place(task, ())
    if item.id in people.copies:
        return Place(task, (), skip=f"copy of {people.copies[item.id]}")
    if item.id in people.problems:
        return Place(task, (), problem=people.problems[item.id])
    person = people.of.get(item.id)
    if item.id not in people.loose:
        return _in_tree(task, person, containers, telling[item.containers], how) if item.containers else Place(task, ())
    header = headers.get(item.id)
    if isinstance(header, Trouble):
        return Place(task, (), problem=header)
    if header is None or isinstance(header, str) or not header.after or person is None:
        # nothing to place it by: the work on it says whether it is left out, refused or failed
        return Place(task, ())
    return _loose(task, header, subjects[person.text], how)


def _in_tree(
    task: Task, person: Person | None, containers: Mapping[str, Cleaned], telling: tuple[str, ...], how: Labelling
) -> Place:
    item = task.items[0]
    inner = containers[item.containers[-1]]
    record = inner.branch.record
    label = record.label if record.level == "acquisition" and not inner.chain[-1].label else ""
    task = replace(
        task,
        labels=inner.branch.labels,
        telling=telling,
        acquisition=label,
        pseudonyms=branch_pseudonyms(inner.branch, person, how.keyring),
    )
    return Place(task, inner.chain, record.id, label, origin=(task.person or "", *item.containers[1:]))


_COUNTS = 3  # digits of a number that only counts subjects or visits


def _telling(keys: Sequence[str], containers: Mapping[str, Cleaned]) -> tuple[str, ...]:
    """Return labels and names of a file's containers that do not travel."""
    return tuple(sorted(set().union(*(containers[key].lost for key in keys)) - {""}))


def _telling_part(branch: Branch) -> str:
    """Return what of a label may tell whose a file is: in a layout a number is no more than that."""
    label = branch.record.label
    part = label.removeprefix(branch.prefix)
    return "" if branch.prefix and part.isdecimal() and len(part) <= _COUNTS else part


def _loose(task: Task, header: Surveyed, subject: str, how: Labelling) -> Place:
    person = task.person
    assert person is not None  # noqa: S101 -- who calls has one
    is_named = how.keep or "StudyInstanceUID" in header.ruled
    session = (
        _safe(header.labels.get("session", ""))
        or (_safe(header.after.get("StudyInstanceUID", "")) if is_named else "")
        or how.keyring.session(person, task.visit)
    )
    acquisition = (
        _safe(header.labels.get("acquisition", ""))
        or _safe(header.after.get("SeriesDescription", ""))
        or header.acquisition
    )
    chain = tuple(Wanted(level, label) for level, label in zip(LEVELS, (subject, session, acquisition), strict=True))
    return Place(task, chain, origin=(person, task.visit, header.acquisition))


def _safe(text: str) -> str:
    try:
        return sanitize(text) if text else ""
    except Unfit:
        return ""


def _refuse_shared_labels(places: list[Place], how: Labelling) -> list[Place]:
    """Refuse everything below a label that two different sources would share: patients are never merged."""
    owners: dict[tuple[str, ...], set[tuple[str, ...]]] = defaultdict(set)
    for label, person in how.held.items():
        owners[label,].add((person,))
    keys = [
        _label_keys(tuple((one.level, one.label, one.origin) for one in place.containers), how.apart)
        for place in places
    ]
    for place, its in zip(places, keys, strict=True):
        for key in its:
            owners[key].add(place.origin[: len(key)])
    out = []
    for place, its in zip(places, keys, strict=True):
        problem = place.problem
        for key in its:
            # series of one study may share a description; their archives have names of their own
            described = len(key) == len(LEVELS) and place.task.items[0].loose
            on_purpose = len(key) == 1 and how.joined
            if len(owners[key]) > 1 and not problem and not described and not on_purpose:
                problem = f"two source {LEVELS[len(key) - 1]}s would get one label at the destination"
        out.append(replace(place, problem=problem) if problem != place.problem else place)
    return out


@lru_cache(maxsize=256)  # files of one folder follow one another
def _label_keys(containers: tuple[tuple[str, str, str], ...], apart: frozenset[str]) -> tuple[tuple[str, ...], ...]:
    # containers that the destination tells apart by origin do not share a label with anybody
    labels = [
        f"{same_name_key(label)}/{origin}" if origin and label and level in apart else same_name_key(label)
        for level, label, origin in containers
    ]
    return tuple(tuple(labels[:depth]) for depth in range(1, len(labels) + 1) if labels[depth - 1])


def version_of(task: Task) -> str:
    """Return what changes when anything that goes into a task's result changes: its files, and whose they are.

    Where they lie does not: folders are renamed, and copied.
    """
    files = (*task.items, *task.beside, *((task.half,) if task.half is not None else ()))
    listed = "\n".join((task.person or "", *(f"{item.name} {item.version}" for item in files)))
    if task.entities is not None:
        listed += "".join(f"\n{key} {label}" for key, label in sorted(task.entities.labels.items()))
    if task.subjects:
        listed += "".join(f"\n{key} {text}" for key, text in sorted(task.subjects.items()))
    return sha256(listed.encode("utf-8", "surrogateescape")).hexdigest()
