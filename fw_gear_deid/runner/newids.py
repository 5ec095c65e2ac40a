"""New ids that a mapping by study gives → one patient each: its rows do not tell which patients they are of."""

from __future__ import annotations

from dataclasses import replace

from fw_gear_deid.model.outcome import Refused
from fw_gear_deid.profile.book import Lookup
from fw_gear_deid.profile.spelling import same_id
from fw_gear_deid.runner.workers import Worked


class NewIds:
    """Remembers whose every new PatientID of this run is.

    Parameters
    ----------
    lookup : Lookup or None
        The mapping; without one, or where its rows were compared before, nothing is checked.
    """

    def __init__(self, lookup: Lookup | None) -> None:
        self._lookup = lookup if lookup is not None and lookup.apart else None
        self._owners: dict[str, str] = {}

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
        why = f"{self._lookup.table} row {worked.row}: another patient has this new id; --allow-shared-ids lets them"
        return replace(worked, outcome=Refused(why), result=None, ids=())
