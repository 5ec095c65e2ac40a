"""Items and what a look found in them → whose each is, what contradicts, and what to warn of (docs/people.md). Pure."""

from __future__ import annotations

import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from fw_gear_deid.model.frozen import frozen
from fw_gear_deid.model.person import (
    NO_ID,
    OTHER_BIRTH_DATE,
    SEVERAL,
    Born,
    Identity,
    Known,
    Person,
    contradict,
    fullest,
)
from fw_gear_deid.model.ports import Item
from fw_gear_deid.model.seen import Seen
from fw_gear_deid.runner import copies

_SHOWN = 4  # files that one warning names
_MEDIA = frozenset({"dicom", "images", "dcm"})  # first folders as discs have them


@frozen
class Remark:
    """A warning about files, named by the ids of their items: who shows it decides how they are told."""

    text: str
    items: tuple[str, ...]


@dataclass(slots=True)
class People:
    """Whose every file is.

    Attributes
    ----------
    of : dict
        Item → its person, where there is one.
    problems : dict
        Item → why it is refused.
    copies : dict
        Item → the item that it is a copy of.
    loose : set of str
        Items that no folder places: each goes by its own header.
    subjects : dict
        First folder, or subject container, → its person.
    remarks : list of Remark
    known : dict
        Text of a person → what is known of it, for comparing with other runs.
    """

    of: dict[str, Person] = field(default_factory=dict)
    problems: dict[str, str] = field(default_factory=dict)
    copies: dict[str, str] = field(default_factory=dict)
    loose: set[str] = field(default_factory=set)
    subjects: dict[str, Person] = field(default_factory=dict)
    remarks: list[Remark] = field(default_factory=list)
    known: dict[str, Known] = field(default_factory=dict)


@dataclass(slots=True)
class _Unit:
    """A subject's folder, or one loose file: what belongs together before ids are compared."""

    person: Person
    items: list[Item]
    born: Born
    folder: str = ""


Sights = Sequence[tuple[Item, Seen]]


def people_in_folders(
    items: Sequence[Item], seen: Mapping[str, Seen | str], *, root: str = "", strict: bool = True
) -> People:
    """Tell whose the files of a folder are.

    Parameters
    ----------
    items : sequence of Item
        In source order.
    seen : mapping
        Item → what a look found, or why it cannot be read; items that were not looked at have no say.
    root : str
        Stands for SOURCE: a folder's name alone tells nobody apart from the same name elsewhere.
    strict : bool
        Refuse what contradicts; else warn of it, and keep people apart all the same.
    """
    return _Folders(items, seen, root, strict).find()


class _Folders:
    def __init__(self, items: Sequence[Item], seen: Mapping[str, Seen | str], root: str, strict: bool) -> None:
        self._items = items
        self._sights = [(item, one) for item in items if isinstance(one := seen.get(item.id), Seen)]
        self._root = root
        self._strict = strict
        self._out = People()

    def find(self) -> People:
        out = self._out
        trees = self._trees()
        out.loose = {item.id for item in self._items if item.loose or not item.containers} | {
            item.id for item in self._items if item.containers and item.containers[0] not in trees
        }
        out.copies = copies.copies([sight for sight in self._sights if not sight[0].problem], out.loose)
        self._sights = [sight for sight in self._sights if sight[0].id not in out.copies]
        for key, other in copies.clashes(self._sights, out.loose).items():
            out.problems[key] = f"another file has its SOPInstanceUID and other bytes: see {other}"
        shared = self._shared()
        units = [*self._folder_units(trees, shared), *self._loose_units(shared)]
        self._compare(units)
        _warn_of_studies(self._sights, out)
        _warn_of_names(self._sights, out)
        return out

    # -- who the folders are -------------------------------------------------------------------------------

    def _trees(self) -> set[str]:
        """Return the first folders that are subjects: no two birth dates below them contradict."""
        dates: dict[str, dict[Born, str]] = defaultdict(dict)
        ids: dict[str, dict[str, str]] = defaultdict(dict)
        keys = {item.containers[0] for item in self._items if item.containers and not item.loose}
        for item, one in self._sights:
            for identity in one.identities if item.containers and not item.loose else ():
                dates[item.containers[0]].setdefault(identity.born, item.id)
                if identity.id:
                    ids[item.containers[0]].setdefault(identity.id, item.id)
        for key, found in dates.items():
            if any(contradict(one, other) for one in found for other in found):
                keys.discard(key)
                text = "birth dates below one first folder contradict: it is no subject, each file goes by its own id"
                self._remark(text, (one for born, one in found.items() if born))
            elif key.casefold() in _MEDIA and len(ids[key]) > 1:
                keys.discard(key)
                text = "a folder of a disc with several PatientIDs is no subject: each file goes by its own id"
                self._remark(text, ids[key].values())
        return keys

    def _shared(self) -> set[str]:
        """Return the ids that stand below two first folders: they tell nobody apart."""
        owners: dict[str, dict[str, str]] = defaultdict(dict)
        for item, one in self._sights:
            for identity in one.identities if item.id not in self._out.loose else ():
                if identity.id:
                    owners[identity.id].setdefault(item.containers[0], item.id)
        shared = {key: folders for key, folders in owners.items() if len(folders) > 1}
        for folders in shared.values():
            self._remark("one PatientID below several first folders: these count by their names", folders.values())
        return set(shared)

    def _folder_units(self, trees: set[str], shared: set[str]) -> list[_Unit]:
        held: dict[str, list[Item]] = {}
        for item in self._items:
            if item.containers and item.containers[0] in trees:
                held.setdefault(item.containers[0], []).append(item)
        identities: dict[str, set[Identity]] = defaultdict(set)
        for item, one in self._sights:
            if item.id not in self._out.loose:
                identities[item.containers[0]].update(one.identities)
        units = []
        for key, items in held.items():
            ids = {identity.id for identity in identities[key]} - shared - {""}
            person = Person("id", tuple(ids)) if len(ids) == 1 else folder_person(key)
            units.append(_Unit(person, items, fullest(identity.born for identity in identities[key]), key))
            self._out.subjects[key] = person  # what is refused has a label, too
        return units

    # -- who the loose files are ---------------------------------------------------------------------------

    def _loose_units(self, shared: set[str]) -> list[_Unit]:
        units = []
        for item, one in self._sights:
            if item.id not in self._out.loose or not one.identities:
                continue
            person, problem = self._loose(item, one, shared)
            if problem and self._strict:
                self._out.problems.setdefault(item.id, problem)
                continue
            if problem:
                self._remark(problem, [item.id])
            units.append(_Unit(person, [item], fullest(identity.born for identity in one.identities)))
        return units

    @staticmethod
    def _loose(item: Item, one: Seen, shared: set[str]) -> tuple[Person, str]:
        """Return who a loose file is of, and what is wrong with that."""
        ids = {identity.id for identity in one.identities} - shared - {""}
        dates = [identity.born for identity in one.identities]
        if len(ids) > 1 or any(contradict(first, second) for first in dates for second in dates):
            return Person("file", (item.id,)), SEVERAL
        if ids:
            return Person("id", tuple(ids)), ""
        if one.row:
            return Person("row", (one.row,)), ""
        alone = Person("study", (one.study, *fullest(dates))) if one.study else Person("file", (item.id,))
        return alone, NO_ID

    # -- whether they can be -------------------------------------------------------------------------------

    def _compare(self, units: Iterable[_Unit]) -> None:
        by_person: dict[Person, list[_Unit]] = defaultdict(list)
        for unit in units:
            by_person[unit.person].append(unit)
        for same in by_person.values():
            two = _contradiction(same)
            if two is not None:
                self._tell_apart(same, two)
                continue
            for unit in same:
                self._settle(unit)

    def _tell_apart(self, same: list[_Unit], two: tuple[_Unit, _Unit]) -> None:
        text = "one PatientID with two birth dates"
        if not self._strict:
            self._remark(text, [unit.items[0].id for unit in two])
        for unit in same:
            if self._strict:
                other = two[1] if contradict(unit.born, two[1].born) else two[0]
                for item in unit.items:
                    self._out.problems.setdefault(item.id, f"{text}: see {other.items[0].id}")
            else:
                person = unit.person
                self._settle(replace(unit, person=Person(person.kind, (*person.key, *unit.born[-1:]))))

    def _settle(self, unit: _Unit) -> None:
        for item in unit.items:
            self._out.of[item.id] = unit.person
        if unit.folder:
            self._out.subjects[unit.folder] = unit.person
        text = unit.person.text
        known = self._out.known.get(text, Known())
        root = self._root if unit.person.kind == "folder" else ""
        self._out.known[text] = Known(fullest((known.born, unit.born)), root)

    def _remark(self, text: str, items: Iterable[str]) -> None:
        self._out.remarks.append(Remark(text, tuple(items)[:_SHOWN]))


def folder_person(key: str) -> Person:
    """Return the person that a folder's name tells; macOS writes it decomposed."""
    return Person("folder", (unicodedata.normalize("NFC", key),))


def container_person(key: str) -> Person:
    """Return the person that a platform's subject container stands for."""
    return Person("container", (key,))


def _contradiction(units: Sequence[_Unit]) -> tuple[_Unit, _Unit] | None:
    firsts: dict[Born, _Unit] = {}
    for unit in units:
        for other in firsts.values():
            if contradict(unit.born, other.born):
                return other, unit
        firsts.setdefault(unit.born, unit)
    return None


def people_in_containers(
    items: Sequence[Item], seen: Mapping[str, Seen | str], born: Mapping[str, Born], *, strict: bool = True
) -> People:
    """Tell whose the files of a platform are: their subject container's, unless a birth date contradicts.

    Containers without files have their subject as well: ``container_person``.

    Parameters
    ----------
    items : sequence of Item
        Those of whole subjects, also where a run takes a part of one: they say who the subject is.
    seen : mapping
        Item → what the platform has noted of its header.
    born : mapping
        Subject container → birth date that the platform has.
    strict : bool
        As for folders.
    """
    out = People()
    subjects: dict[str, list[tuple[Item, Born]]] = defaultdict(list)
    for item in items:
        one = seen.get(item.id)
        if item.containers:
            dates = fullest(identity.born for identity in one.identities) if isinstance(one, Seen) else ()
            subjects[item.containers[0]].append((item, dates))
    for key, files in subjects.items():
        person = out.subjects[key] = container_person(key)
        stands = born.get(key, ()) or _agreed(date for _, date in files)
        for item, date in files:
            out.of[item.id] = person
            if stands is None or not contradict(stands, date):
                against = next((other for other, its in files if stands is None and contradict(date, its)), None)
                if against is None:
                    continue
                problem = f"{OTHER_BIRTH_DATE}: see {against.id}"
            else:
                problem = OTHER_BIRTH_DATE
            if strict:
                out.problems[item.id] = problem
            else:
                out.remarks.append(Remark(OTHER_BIRTH_DATE, (item.id,)))
        out.known[person.text] = Known(stands or ())
    sights = [(item, one) for item in items if not item.problem and isinstance(one := seen.get(item.id), Seen)]
    out.copies = copies.copies_in_containers(sights)
    return out


class Sightings:
    """Birth dates that a run reads of people of whom none was known before: what the first look could not see."""

    def __init__(self, known: Mapping[str, Known]) -> None:
        self._known = known
        self._read: dict[str, list[tuple[int, Born]]] = defaultdict(list)
        self._torn: set[str] = set()
        """Persons with two birth dates that were read as often."""

    def refuse(self, person: str, number: int, dates: Iterable[Born]) -> list[int]:
        """Note what a task has read; return the tasks that have to be refused for it.

        A birth date that contradicts what most tasks before have read is refused; one against one refuses both, and
        whatever else tells one of that person.

        Parameters
        ----------
        person : str
        number : int
            Of the task.
        dates : iterable of tuple of str
            None of them contradict.
        """
        born = fullest(dates)
        if not born or (person in self._known and self._known[person].born):
            return []
        read = self._read[person]
        others = [task for task, date in read if contradict(born, date)]
        if person in self._torn:
            return [number]
        if not others:
            read.append((number, born))
            return []
        if len(others) > 1:
            return [number]
        self._torn.add(person)
        return [*(task for task, _ in read), number]


def _agreed(dates: Iterable[Born]) -> Born | None:
    """Return the birth date that most files have; None when two are as frequent and contradict."""
    counts = Counter(date for date in dates if date)
    full = {date: sum(n for other, n in counts.items() if not contradict(date, other)) for date in counts}
    ranked = sorted(full, key=lambda date: (-full[date], -len(date), date))
    if not ranked:
        return ()
    rival = next((date for date in ranked if contradict(date, ranked[0])), None)
    return None if rival is not None and full[rival] == full[ranked[0]] else ranked[0]


def _warn_of_studies(sights: Sights, out: People) -> None:
    """Warn of a study under two ids, or in the folders of two subjects."""
    ids: dict[str, dict[str, str]] = defaultdict(dict)
    people: dict[str, dict[str, str]] = defaultdict(dict)
    for item, one in sights:
        if not one.study:
            continue
        for identity in one.identities:
            if identity.id:
                ids[one.study].setdefault(identity.id, item.id)
        if item.id in out.of:
            people[one.study].setdefault(out.of[item.id].text, item.id)
    for study in {**ids, **people}:
        files = max(ids[study], people[study], key=len)
        if len(files) > 1:
            text = "one study (StudyInstanceUID) under two PatientIDs or subjects"
            out.remarks.append(Remark(text, tuple(files.values())[:_SHOWN]))


def _warn_of_names(sights: Sights, out: People) -> None:
    """Warn of one person under two names."""
    names: dict[str, dict[str, str]] = defaultdict(dict)
    for item, one in sights:
        person = out.of.get(item.id)
        for identity in one.identities:
            if identity.name and person is not None:
                names[person.text].setdefault(identity.name, item.id)
    for files in names.values():
        if len(files) > 1:
            out.remarks.append(Remark("one patient under two names", tuple(files.values())[:_SHOWN]))
