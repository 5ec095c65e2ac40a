"""New ids that a mapping by study gives → one patient each: its rows do not tell which patients they are of."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import replace

from fw_gear_deid.model.errors import UsageError
from fw_gear_deid.model.outcome import Refused
from fw_gear_deid.profile.values.book import ID_KEYS, ProfileBook
from fw_gear_deid.profile.values.spelling import same_id
from fw_gear_deid.runner.workers import Task, Worked

_LETS = "--allow-shared-ids lets them"


class NewIds:
    """Remembers whose every new id of this run is.

    Parameters
    ----------
    book : ProfileBook
        Without a mapping, or where its rows were compared before, nothing is checked.
    """

    def __init__(self, book: ProfileBook) -> None:
        lookup = book.lookup
        by_study = lookup is not None and lookup.key in ID_KEYS[1:] and not lookup.allow_shared
        self._book = book
        self._lookup = lookup if by_study and book.new_ids else None
        self._owners: dict[str, str] = {}

    def compare(self, tasks: Iterable[Task]) -> None:
        """Compare what a first look has found, before anything is written.

        Raises
        ------
        UsageError
            Two patients would get one new id; the message names the rows.
        """
        if self._lookup is None:
            return
        owners: dict[tuple[str, ...], dict[str, set[int]]] = defaultdict(lambda: defaultdict(set))
        for task in tasks:
            ids = self._book.ids_of_row(task.row)
            new = self._book.new_id(task.labels, ids) if ids else ()
            if new and task.person:
                owners[new][task.person].add(task.row)
        lines = []
        for people in (people for people in owners.values() if len(people) > 1):
            rows = ", ".join(map(str, sorted(set().union(*people.values()))))
            lines.append(f"{len(people)} patients would get one new id; {_LETS}: {self._lookup.table} rows {rows}")
        if lines:
            raise UsageError("\n".join(lines))

    def check(self, person: str | None, worked: Worked) -> Worked:
        """Return what was worked, or its refusal when another patient has its new id.

        Parameters
        ----------
        person : str or None
            Whose it is.
        """
        new = same_id(worked.sorting.get("PatientID", ""))
        if self._lookup is None or worked.result is None or not person or not new:
            return worked
        if self._owners.setdefault(new, person) == person:
            return worked
        worked.result.unlink(missing_ok=True)
        why = f"{self._lookup.table} row {worked.row}: another patient has this new id; {_LETS}"
        return replace(worked, outcome=Refused(why), result=None, ids=())
