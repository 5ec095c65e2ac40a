"""What earlier runs knew, for a run that begins: looks that need not be repeated, people, and labels that are taken."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import date

from fw_gear_deid.deid.survey import Surveyed
from fw_gear_deid.keys import Keyring
from fw_gear_deid.ledger.state import State
from fw_gear_deid.model.frozen import frozen
from fw_gear_deid.model.person import Known, fullest
from fw_gear_deid.model.portable import same_name_key
from fw_gear_deid.model.ports import Item, Source
from fw_gear_deid.model.seen import Seen
from fw_gear_deid.runner.people import People
from fw_gear_deid.runner.workers import Task


@frozen
class Memory:
    """The ledger, as far as a run that is being prepared asks it.

    Attributes
    ----------
    state : State
    source : Source
    keyring : Keyring
    reading : str
        What a look depends on besides the file: the profile and the mapping.
    values : str
        What a closer one depends on besides: the values that all have.
    """

    state: State
    source: Source
    keyring: Keyring
    reading: str
    values: str = ""

    def recall(self, items: Iterable[Item]) -> dict[str, Seen]:
        """Return what looks at these very versions found."""
        by_place = {self.source.place(item): item for item in items}
        looks = self.state.looks(list(by_place))
        return {
            by_place[place].id: Seen.from_json(seen)
            for place, (version, seen) in looks.items()
            if version == self._version(by_place[place])
        }

    def remember(self, items: Iterable[Item], seen: Mapping[str, Seen | str]) -> None:
        """Keep what looks found, for the next run."""
        self.state.remember_looks(
            (self.source.place(item), self._version(item), one.as_json())
            for item in items
            if isinstance(one := seen.get(item.id), Seen)
        )

    def recall_headers(self, tasks: Sequence[Task], today: date) -> dict[str, Surveyed]:
        """Return what closer looks found, for tasks that are what they were, by the first of their items."""
        by_place = {self.source.place(task.items[0]): task for task in tasks}
        looks = self.state.looks(list(by_place), closer=True)
        return {
            by_place[place].items[0].id: Surveyed.from_json(found)
            for place, (version, found) in looks.items()
            if version == self._version_of(by_place[place], today)
        }

    def remember_headers(self, tasks: Sequence[Task], headers: Mapping[str, Surveyed | str], today: date) -> None:
        """Keep what closer looks found, for the next run."""
        self.state.remember_looks(
            (
                (self.source.place(task.items[0]), self._version_of(task, today), one.as_json())
                for task in tasks
                if isinstance(one := headers.get(task.items[0].id), Surveyed)
            ),
            closer=True,
        )

    def _version_of(self, task: Task, today: date) -> str:
        """Return what changes with all that a header's de-identification goes by."""
        by = (self.values, task.person or "", task.visit, str(task.row), today.isoformat())
        return f"{self._version(task.items[0])} {self.keyring.stamp('header', *by)}"

    def _version(self, item: Item) -> str:
        return f"{item.version} {self.reading}"

    def compare(self, items: Sequence[Item], people: People, seen: Mapping[str, Seen | str]) -> None:
        """Refuse who cannot be the person that an earlier run knew by the same id or name."""
        instances = _instances(items, seen)
        told = self.state.people(list(people.known))
        problems: dict[str, str] = {}
        for text, earlier in list(told.items()):
            before, now = Known(tuple(earlier["born"]), earlier["root"]), people.known[text]
            problem = now.contradicts(before)
            own = (item for item in items if item.id in people.of and people.of[item.id].text == text)
            if problem and _differ(now, before) and not self._has_more(text, _instances(own, seen)):
                problem = ""  # it was corrected: nothing stands of the other birth date that this run does not see
                told[text] = {**earlier, "born": []}
            if problem and now.root != before.root and not _differ(now, before):
                agrees = bool(now.born) and now.born == before.born
                if agrees or self._holds(text, instances):
                    problem = ""  # the same birth date, or the same instances under another roof
            if problem:
                problems[text] = problem
        for item in items:
            person = people.of.get(item.id)
            if person is not None and person.text in problems:
                people.problems.setdefault(item.id, problems[person.text])
        fresh = ((text, known) for text, known in people.known.items() if text not in problems)
        self.state.remember_people(
            (text, {"born": list(fullest((known.born, tuple(told.get(text, {}).get("born", ()))))), "root": known.root})
            for text, known in fresh
        )

    def _has_more(self, person: str, instances: set[str]) -> bool:
        """Tell whether something of a person stands that holds none of the instances that are this person's now."""
        theirs = (name for name, _, whose, *_ in self.state.owners() if whose == person)
        return any(self.state.holds(name).isdisjoint(instances) for name in theirs)

    def _holds(self, person: str, instances: set[str]) -> bool:
        """Tell whether something of a person stands that holds one of the instances."""
        return any(made.person == person for made in self.state.of_instances(instances))

    def held(self, items: Sequence[Item], people: People, seen: Mapping[str, Seen | str]) -> dict[str, str]:
        """Return the labels below which stands what people have that this run does not see, or who stay where they are.

        Returns
        -------
        dict
            Label, as ``same_name_key`` has it → text of the person. Of people whom this run sees their pseudonyms
            alone: other labels may change hands.
        """
        instances = _instances(items, seen)
        here = {person.text for person in (*people.of.values(), *people.subjects.values())}
        held: dict[str, str] = {}
        own = self.keyring.fingerprint()
        pseudonyms = {person: same_name_key(self.keyring.subject(person)) for person in here}
        for name, path, person, key, stands in self.state.owners():
            label = same_name_key(path.partition("/")[0])
            if not stands or not person or key != own or held.get(label) == person:
                continue
            if person in here:
                if label == pseudonyms[person]:
                    held[label] = person
            elif self.state.holds(name).isdisjoint(instances):
                held[label] = person
        return held


def _instances(items: Iterable[Item], seen: Mapping[str, Seen | str]) -> set[str]:
    found = (seen.get(item.id) for item in items)
    return {one.instance for one in found if isinstance(one, Seen) and one.instance}


def _differ(now: Known, before: Known) -> bool:
    return bool(Known(now.born).contradicts(Known(before.born)))
