"""Rows of a mapping that a run went by → what the summary and the log say of the others."""

from __future__ import annotations

from collections.abc import Mapping

from fw_gear_deid.profile.values.book import ID_KEYS, Lookup

_SHOWN = 20  # rows in one line


class Rows:
    """Remembers which rows were used.

    Parameters
    ----------
    lookup : Lookup or None
        The mapping.
    """

    def __init__(self, lookup: Lookup | None) -> None:
        self._lookup = lookup
        self._used: set[int] = set()
        self._unread = False

    def use(self, number: int | None) -> None:
        """Note the row that a file went by."""
        if number is not None:
            self._used.add(number)

    def pass_over(self, number: int) -> None:
        """Note a file that was done before, and its row; 0 where that stands in a header that was not read again."""
        self.use(number or None)
        self._unread |= not number

    def report(self) -> dict[str, object]:
        """Return what the summary tells of a mapping; ``unused_rows`` is None where that is not known."""
        lookup = self._lookup
        if lookup is None:
            return {}
        by_header = lookup.key in ID_KEYS
        used = self._used if by_header else {number for number, _ in lookup.rows.values()}
        unused = [number for number in lookup.numbers if number not in used]
        told = {"name": lookup.table, "sha256": lookup.sha256, "key": lookup.key, "rows": len(lookup.numbers)}
        return {"mapping": {**told, "unused_rows": None if by_header and self._unread else unused}}


def unused_rows(summary: Mapping[str, object]) -> str:
    """Return a line about the rows that nothing went by, empty when there is nothing to say."""
    told = summary.get("mapping")
    if not isinstance(told, dict) or not told["unused_rows"]:
        return ""
    numbers = told["unused_rows"]
    more = f" and {len(numbers) - _SHOWN} more" if len(numbers) > _SHOWN else ""
    listed = ", ".join(map(str, numbers[:_SHOWN])) + more
    what = "row was" if len(numbers) == 1 else "rows were"
    return f"{len(numbers)} {what} used by nothing in this run, of the mapping's {told['rows']}: {listed}"


_TABLES = {"ids": "--ids", "uid_map": "--uid-map"}


def missing_ids(summary: Mapping[str, object]) -> str:
    """Return a line about files whose ids this run has not seen, empty when it saw those of all."""
    asked = [(summary[name], option) for name, option in _TABLES.items() if name in summary]
    if not asked:
        return ""
    told, option = asked[0]
    if not isinstance(told, dict) or not told["unchanged_files"]:
        return ""
    what = "file was" if told["unchanged_files"] == 1 else "files were"
    return (
        f"{told['unchanged_files']} {what} unchanged: the table of ids has them if an earlier run had {option}; "
        "--exists replace makes them anew"
    )
