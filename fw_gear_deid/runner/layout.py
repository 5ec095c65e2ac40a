"""Items and headers → which task makes which destination (interfaces §1: labels)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256

from fw_gear_deid.deid.names import sanitize
from fw_gear_deid.deid.survey import Surveyed
from fw_gear_deid.keys import Keyring
from fw_gear_deid.model.errors import Unfit
from fw_gear_deid.model.ports import Item
from fw_gear_deid.runner.workers import Task

Labels = tuple[str, str, str]


@dataclass(frozen=True, slots=True)
class Place:
    """Where a task's result goes, or why it has no place.

    Attributes
    ----------
    task : Task
    labels : tuple of str
        Subject, session and acquisition at the destination.
    problem : str
        Empty when the labels hold.
    """

    task: Task
    labels: Labels
    problem: str = ""


def needs_look(items: list[Item]) -> list[Item]:
    """Return the items whose header must be seen to place them: loose ones, and in a tree all until one answers."""
    return [item for item in items if not item.problem]


def arrange(items: list[Item], seen: dict[str, Surveyed | str], keyring: Keyring, *, keep: bool) -> list[Place]:
    """Group loose instances by series and give every task its labels.

    Parameters
    ----------
    items : list of Item
        In source order.
    seen : dict of str to Surveyed or str
        By item id: its header, or why there is none.
    keyring : Keyring
        For pseudonyms.
    keep : bool
        Labels stay as they are at the source (``--labels keep``).
    """
    acquisitions = _acquisition_labels(items, seen, keyring, keep=keep)
    series: dict[tuple[str, ...], list[Item]] = defaultdict(list)
    order: list[tuple[str, ...]] = []
    for item in items:
        key = _series_key(item, seen.get(item.id)) or ("", item.id)
        if key not in series:
            order.append(key)
        series[key].append(item)
    places = []
    for number, key in enumerate(order):
        group = tuple(series[key])
        places.append(_place(number, group, seen.get(group[0].id), acquisitions, keyring, keep=keep))
    return _refuse_shared_labels(places, items, seen)


def _series_key(item: Item, header: Surveyed | str | None) -> tuple[str, ...] | None:
    """Return what loose instances are grouped by; None for everything else."""
    if item.labels or not isinstance(header, Surveyed) or header.kind != "instance":
        return None
    key = tuple(header.before.get(keyword, "") for keyword in ("PatientID", "StudyInstanceUID", "SeriesInstanceUID"))
    return ("series", *key) if key[2] else None


def _place(
    number: int,
    group: tuple[Item, ...],
    header: Surveyed | str | None,
    acquisitions: dict[tuple[str, ...], str],
    keyring: Keyring,
    *,
    keep: bool,
) -> Place:
    item = group[0]
    nowhere = ("", "", "")
    if item.problem:
        return Place(Task(number, group, None), nowhere)
    if item.labels:
        subject, session, _ = item.labels
        labels = (
            _label(subject, "sub", subject, keyring, keep=keep),
            _label(session, "ses", f"{subject}/{session}", keyring, keep=keep),
            acquisitions[item.labels],
        )
        return Place(Task(number, group, subject), labels)
    if not isinstance(header, Surveyed):
        return Place(Task(number, group, None), nowhere, header or "")
    if not header.after:
        # nothing to place it by: the work on it says whether it is left out or refused
        return Place(Task(number, group, None), nowhere)
    subject = header.before.get("PatientID", "")
    study = header.before.get("StudyInstanceUID", "")
    described = header.after.get("SeriesDescription", "")
    labels = (
        _from_header(header, "PatientID", "sub", subject, keyring, keep=keep),
        _from_header(header, "StudyInstanceUID", "ses", f"{subject}/{study}", keyring, keep=keep),
        _safe(described) or keyring.name("acq", f"{subject}/{study}/{header.before.get('SeriesInstanceUID', '')}"),
    )
    is_series = _series_key(item, header) is not None
    return Place(Task(number, group, subject, is_series), labels)


def _label(label: str, kind: str, unique: str, keyring: Keyring, *, keep: bool) -> str:
    return (_safe(label) if keep else "") or keyring.name(kind, unique)


def _from_header(header: Surveyed, keyword: str, kind: str, unique: str, keyring: Keyring, *, keep: bool) -> str:
    """A de-identified value names the container when a rule answers for it; else a pseudonym does."""
    text = header.after.get(keyword, "") if keep or keyword in header.ruled else ""
    return _safe(text) or keyring.name(kind, unique)


def _safe(text: str) -> str:
    try:
        return sanitize(text) if text else ""
    except Unfit:
        return ""


def _acquisition_labels(
    items: list[Item], seen: dict[str, Surveyed | str], keyring: Keyring, *, keep: bool
) -> dict[tuple[str, ...], str]:
    """An acquisition label stays where the de-identified header has it unchanged; else it becomes a pseudonym."""
    labels: dict[tuple[str, ...], str] = {}
    for item in items:
        if not item.labels:
            continue
        label = item.labels[2]
        header = seen.get(item.id)
        texts = (
            {header.after.get("SeriesDescription"), header.after.get("ProtocolName")}
            if isinstance(header, Surveyed)
            else set()
        )
        if (keep or label in texts) and _safe(label):
            labels[item.labels] = _safe(label)
        else:
            labels.setdefault(item.labels, keyring.name("acq", "/".join(item.labels)))
    return labels


def _refuse_shared_labels(places: list[Place], items: list[Item], seen: dict[str, Surveyed | str]) -> list[Place]:
    """Refuse everything below a label that two different sources would share (never merge patients)."""
    owners: dict[tuple[str, ...], set[tuple[str, ...]]] = defaultdict(set)
    for place in places:
        origin = _origin(place, seen)
        for depth in range(1, 4):
            if place.labels[0]:
                owners[tuple(label.casefold() for label in place.labels[:depth])].add(origin[:depth])
    out = []
    for place in places:
        problem = place.problem
        for depth, level in ((1, "subject"), (2, "session"), (3, "acquisition")):
            key = tuple(label.casefold() for label in place.labels[:depth])
            loose = not place.task.items[0].labels
            if place.labels[0] and len(owners[key]) > 1 and not (depth == 3 and loose):
                problem = problem or f"two source {level}s would get one label at the destination"
        out.append(Place(place.task, place.labels, problem))
    return out


def _origin(place: Place, seen: dict[str, Surveyed | str]) -> tuple[str, ...]:
    item = place.task.items[0]
    if item.labels:
        return ("tree", *item.labels)[1:]
    header = seen.get(item.id)
    before = header.before if isinstance(header, Surveyed) else {}
    return tuple(before.get(key, "") for key in ("PatientID", "StudyInstanceUID", "SeriesInstanceUID"))


def version_of(items: Iterable[Item]) -> str:
    """Return what changes when anything that goes into a task's result changes."""
    return sha256(
        "\n".join(f"{item.id} {item.version}" for item in items).encode("utf-8", "surrogateescape")
    ).hexdigest()
