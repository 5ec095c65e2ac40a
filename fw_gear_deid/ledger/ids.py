"""Old and new ids of what was released → the table of ``--ids``, which is a mapping as well (docs/mapping.md)."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from pathlib import Path

from fw_gear_deid.model.cells import cell, exact
from fw_gear_deid.model.errors import UsageError
from fw_gear_deid.model.outcome import ID_COLUMNS, IDS, Ids
from fw_gear_deid.system.whole import written


def read(path: Path) -> list[Ids]:
    """Return the rows of a table that an earlier run wrote; none where there is none.

    Raises
    ------
    UsageError
        Something else stands there.
    """
    try:
        if path.is_symlink():
            raise UsageError(f"{path}: a link stands there; --ids writes to none")
        with path.open(encoding="utf-8", newline="") as stream:
            rows = list(csv.reader(stream))
    except FileNotFoundError:
        return []
    except (OSError, UnicodeDecodeError, csv.Error):
        raise UsageError(f"{path}: no table of ids, and nothing is written over it; choose another --ids") from None
    if not rows or tuple(rows[0]) != ID_COLUMNS or any(len(row) != len(ID_COLUMNS) for row in rows):
        raise UsageError(f"{path}: no table of ids, and nothing is written over it; choose another --ids")
    return [tuple(map(exact, row)) for row in rows[1:]]


def write(path: Path, found: Iterable[Ids]) -> None:
    """Write the table, for its owner alone, whole or not at all.

    Rows of earlier runs stay, but for those whose original ids were met again.

    Parameters
    ----------
    path : Path
    found : iterable of tuple of str
        Texts in the order of ``ID_COLUMNS``.

    Raises
    ------
    OSError, UsageError
    """
    new = dict.fromkeys(found)
    met = {row[: len(IDS)] for row in new}
    earlier = [row for row in read(path) if row[: len(IDS)] not in met]
    path.parent.mkdir(parents=True, exist_ok=True)
    with written(path) as stream:
        table = csv.writer(stream, lineterminator="\r\n")
        table.writerow(ID_COLUMNS)
        table.writerows([cell(text) for text in row] for row in [*earlier, *new])
