"""New ids that a mapping by study gives → one patient each: its rows do not tell which patients they are of."""

from __future__ import annotations

from dataclasses import replace

from fw_gear_deid.model.outcome import Refused
from fw_gear_deid.profile.book import ID_KEYS, ProfileBook
from fw_gear_deid.profile.newids import targets
from fw_gear_deid.profile.spelling import same_id
from fw_gear_deid.runner.workers import Worked


class NewIds:
    """Remembers whose every new PatientID of this run is.

    Parameters
    ----------
    book : ProfileBook
        Without a mapping, or where its rows were compared before, nothing is checked.
    """

    def __init__(self, book: ProfileBook) -> None:
        lookup = book.lookup
        by_study = lookup is not None and lookup.key in ID_KEYS[1:] and not lookup.allow_shared
        self._lookup = lookup if by_study and book.template is not None and targets(book.template) else None
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
