"""People of a run → what they are found by in tables of many subjects (``subject-column``)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from fw_gear_deid.deid import called_archive
from fw_gear_deid.deid.columns import is_table, subject_column
from fw_gear_deid.deid.identity import label_key
from fw_gear_deid.keys import Keyring
from fw_gear_deid.model.ports import Branch
from fw_gear_deid.model.seen import Seen
from fw_gear_deid.profile.compiled import FieldSection
from fw_gear_deid.runner.people import People
from fw_gear_deid.runner.workers import Settings, Task


def with_subjects(
    tasks: Sequence[Task],
    people: People,
    seen: Mapping[str, Seen | str],
    branches: Sequence[Branch],
    settings: Settings,
) -> list[Task]:
    """Return tasks; those that may be such tables, or archives of them, know by what each subject is found."""
    sections = [one for one in settings.profiles.base.sections if isinstance(one, FieldSection) and is_table(one)]
    if not sections:
        return list(tasks)
    found = _directory(people, seen, branches, settings.keyring)
    return [replace(task, subjects=found) if _may_be_of_many(task, sections) else task for task in tasks]


def _may_be_of_many(task: Task, sections: Sequence[FieldSection]) -> bool:
    """Tell whether a file may be a table of many subjects, packed or not, or an archive with some."""
    name = task.items[0].name
    names = (name, name.rpartition(".")[0])
    return any(
        subject_column(section, own=task.person is not None)
        for section in sections
        if called_archive(name) or any(map(section.match.by_name, names))
    )


def _directory(
    people: People, seen: Mapping[str, Seen | str], branches: Sequence[Branch], keyring: Keyring
) -> dict[str, str]:
    """Return label or id, sealed → text of the person; empty where it is of several."""
    pairs = [
        (label_key(branch.record.label, keyring), people.subjects[branch.keys[0]].text)
        for branch in branches
        if branch.record.level == "subject" and branch.keys[0] in people.subjects
    ]
    for item, person in people.of.items():
        one = seen.get(item)
        pairs += [(identity.id, person.text) for identity in (one.identities if isinstance(one, Seen) else ())]
    out: dict[str, str] = {}
    for key, text in pairs:
        if key:
            out[key] = text if out.get(key, text) == text else ""
    return out
