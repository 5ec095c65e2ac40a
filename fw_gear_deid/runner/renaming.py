"""Containers of a tree in the layout of BIDS → the labels that its files name (docs/bids.md)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from fw_gear_deid.model.bids import Entities
from fw_gear_deid.runner.people import People
from fw_gear_deid.runner.workers import Task

if TYPE_CHECKING:
    from fw_gear_deid.runner.plan import Cleaned


class Renaming:
    """Labels of a tree in the layout of BIDS, for the names and texts of its files."""

    def __init__(self, containers: Mapping[str, Cleaned]) -> None:
        self._labels: dict[str, dict[str, str]] = defaultdict(dict)
        """First folder → its labels, and those of its sessions."""
        for cleaned in containers.values():
            if cleaned.branch.prefix:
                self._labels[cleaned.branch.labels[0]]["/".join(cleaned.branch.labels)] = cleaned.chain[-1].label
        self._all = {key: label for labels in self._labels.values() for key, label in labels.items()}

    def of(self, task: Task, people: People) -> Task:
        """Return a task with the labels that its file may name: those of its subject, or of all."""
        item = task.items[0]
        if not self._all or item.loose or item.problem or item.id in people.problems:
            return task
        subject = item.containers[0] if item.containers else ""
        return replace(task, entities=Entities(self._labels[subject] if subject else self._all, subject))
