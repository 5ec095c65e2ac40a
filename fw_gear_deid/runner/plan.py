"""Items, containers and headers → which task goes where (interfaces §1: labels)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256

from fw_gear_deid.deid.container import CleanContainer
from fw_gear_deid.deid.survey import Surveyed
from fw_gear_deid.keys import Keyring
from fw_gear_deid.model.errors import Unfit
from fw_gear_deid.model.outcome import Always, Edit
from fw_gear_deid.model.portable import same_name_key, sanitize
from fw_gear_deid.model.ports import LEVELS, Branch, Item, Source, Wanted
from fw_gear_deid.runner.workers import Task

_KINDS = {"subject": "sub", "session": "ses", "acquisition": "acq"}


@dataclass(frozen=True, slots=True)
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
        Empty when the place holds.
    """

    task: Task
    containers: tuple[Wanted, ...]
    key: str = ""
    source_label: str = ""
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Cleaned:
    """A source container, what it becomes, and where that stands."""

    branch: Branch
    clean: CleanContainer
    chain: tuple[Wanted, ...]

    def renamed(self, label: str) -> list[Edit]:
        """Return the audit of a label that no rule has set, empty when it stays."""
        record = self.branch.record
        if self.clean.label or label == record.label:
            return []
        path = f"container {record.level}.label"
        return [Edit(path, "", "", "replace-with", Always.LABEL.value, record.label, label)]


def wanted_containers(
    branches: Sequence[Branch],
    clean: Mapping[str, CleanContainer],
    source: Source,
    keyring: Keyring,
    *,
    keep: bool,
) -> dict[str, Cleaned]:
    """Give every source container its place at the destination; key → branch and chain of containers.

    Parameters
    ----------
    branches : sequence of Branch
        Outermost first.
    clean : mapping
        Key → de-identified metadata.
    keep : bool
        ``--labels keep``: labels without a rule stay.
    """
    out: dict[str, Cleaned] = {}
    for branch in branches:
        record = branch.record
        done = clean[record.id]
        above = out[branch.keys[-2]].chain if len(branch.keys) > 1 else ()
        label = _safe(done.label or "") or (_safe(record.label) if keep else "")
        if not label and record.level != "acquisition":
            label = keyring.name(_KINDS[record.level], record.id)
        one = Wanted(record.level, label, source.origin(record.id), done.fields)
        out[record.id] = Cleaned(branch, done, (*above, one))
    return out


def acquisition_label(place: Place, sorting: Mapping[str, str], keyring: Keyring) -> str:
    """Decide an acquisition's label by the first result of it: it stays where the header has it unchanged."""
    label = _safe(place.source_label)
    if label and place.source_label in (sorting.get("SeriesDescription"), sorting.get("ProtocolName")):
        return label
    return keyring.name("acq", place.key)


def arrange(
    items: Sequence[Item],
    seen: Mapping[str, Surveyed | str],
    containers: Mapping[str, Cleaned],
    keyring: Keyring,
    *,
    keep: bool,
    apart: frozenset[str] = frozenset(),
) -> list[Place]:
    """Group loose instances by series and give every task its place.

    Parameters
    ----------
    items : sequence of Item
        In source order.
    seen : mapping
        Header of loose items by id, or why there is none.
    containers : mapping
        From ``wanted_containers``.
    apart : frozenset of str
        Levels at which the destination tells containers of one label apart by their origins.
    """
    groups: dict[tuple[str, ...], list[Item]] = {}
    for item in items:
        groups.setdefault(_series_key(item, seen.get(item.id)) or ("", item.id), []).append(item)
    places = [
        _place(number, tuple(group), seen.get(group[0].id), containers, keyring, keep=keep)
        for number, group in enumerate(groups.values())
    ]
    return _refuse_shared_labels(places, seen, apart)


def _series_key(item: Item, header: Surveyed | str | None) -> tuple[str, ...] | None:
    """Return what loose instances are grouped by; None for everything else."""
    if not item.loose or not isinstance(header, Surveyed) or header.kind != "instance":
        return None
    key = tuple(header.before.get(keyword, "") for keyword in ("PatientID", "StudyInstanceUID", "SeriesInstanceUID"))
    return ("series", *key) if key[2] else None


def _place(
    number: int,
    group: tuple[Item, ...],
    header: Surveyed | str | None,
    containers: Mapping[str, Cleaned],
    keyring: Keyring,
    *,
    keep: bool,
) -> Place:
    item = group[0]
    if item.problem:
        return Place(Task(number, group, None), ())
    if not item.loose:
        subject = item.containers[0] if item.containers else None
        task = Task(number, group, subject)
        if not item.containers:
            return Place(task, ())
        inner = containers[item.containers[-1]]
        record = inner.branch.record
        label = record.label if record.level == "acquisition" and not inner.chain[-1].label else ""
        task = Task(
            number, group, subject, labels=inner.branch.labels, telling=_telling(item, containers), acquisition=label
        )
        return Place(task, inner.chain, record.id, label)
    if not isinstance(header, Surveyed):
        return Place(Task(number, group, None), (), problem=header or "")
    if not header.after:
        # nothing to place it by: the work on it says whether it is left out or refused
        return Place(Task(number, group, None, _series_key(item, header) is not None), ())
    return _loose(number, group, header, keyring, keep=keep)


_NAMES = ("firstname", "lastname", "operator")


def _telling(item: Item, containers: Mapping[str, Cleaned]) -> tuple[str, ...]:
    """Return labels and names of a file's containers that do not travel."""
    found: set[str] = set()
    for key in item.containers:
        cleaned = containers[key]
        record, label = cleaned.branch.record, cleaned.chain[-1].label
        if label and label != record.label:
            found.add(record.label)
        for name in _NAMES:
            text = record.fields.get(name)
            if isinstance(text, str) and cleaned.clean.fields.get(name) != text:
                found.add(text)
    return tuple(sorted(found))


def _loose(number: int, group: tuple[Item, ...], header: Surveyed, keyring: Keyring, *, keep: bool) -> Place:
    before = header.before
    patient, study, series = (before.get(key, "") for key in ("PatientID", "StudyInstanceUID", "SeriesInstanceUID"))
    labels = (
        _from_header(header, "PatientID", "sub", patient, keyring, keep=keep),
        _from_header(header, "StudyInstanceUID", "ses", f"{patient}/{study}", keyring, keep=keep),
        _safe(header.after.get("SeriesDescription", "")) or keyring.name("acq", f"{patient}/{study}/{series}"),
    )
    chain = tuple(Wanted(level, label) for level, label in zip(LEVELS, labels, strict=True))
    is_series = _series_key(group[0], header) is not None
    return Place(Task(number, group, patient, is_series), chain)


def _from_header(header: Surveyed, keyword: str, kind: str, unique: str, keyring: Keyring, *, keep: bool) -> str:
    """A de-identified value names the container when a rule answers for it; else a pseudonym does."""
    text = header.after.get(keyword, "") if keep or keyword in header.ruled else ""
    return _safe(text) or keyring.name(kind, unique)


def _safe(text: str) -> str:
    try:
        return sanitize(text) if text else ""
    except Unfit:
        return ""


def _refuse_shared_labels(
    places: list[Place], seen: Mapping[str, Surveyed | str], apart: frozenset[str]
) -> list[Place]:
    """Refuse everything below a label that two different sources would share: patients are never merged."""
    owners: dict[tuple[str, ...], set[tuple[str, ...]]] = defaultdict(set)
    for place in places:
        origin = _origin(place, seen)
        for key in _label_keys(place, apart):
            owners[key].add(origin[: len(key)])
    out = []
    for place in places:
        problem = place.problem
        for key in _label_keys(place, apart):
            # series of one study may share a description; their archives have names of their own
            described = len(key) == len(LEVELS) and place.task.items[0].loose
            if len(owners[key]) > 1 and not problem and not described:
                problem = f"two source {LEVELS[len(key) - 1]}s would get one label at the destination"
        out.append(Place(place.task, place.containers, place.key, place.source_label, problem))
    return out


def _label_keys(place: Place, apart: frozenset[str]) -> list[tuple[str, ...]]:
    # containers that the destination tells apart by origin do not share a label with anybody
    labels = [
        f"{same_name_key(one.label)}/{one.origin}"
        if one.origin and one.label and one.level in apart
        else same_name_key(one.label)
        for one in place.containers
    ]
    return [tuple(labels[:depth]) for depth in range(1, len(labels) + 1) if labels[depth - 1]]


def _origin(place: Place, seen: Mapping[str, Surveyed | str]) -> tuple[str, ...]:
    item = place.task.items[0]
    if not item.loose:
        return item.containers
    header = seen.get(item.id)
    before = header.before if isinstance(header, Surveyed) else {}
    return tuple(before.get(key, "") for key in ("PatientID", "StudyInstanceUID", "SeriesInstanceUID"))


def version_of(items: Iterable[Item]) -> str:
    """Return what changes when anything that goes into a task's result changes."""
    listed = "\n".join(f"{item.id} {item.version}" for item in items)
    return sha256(listed.encode("utf-8", "surrogateescape")).hexdigest()
