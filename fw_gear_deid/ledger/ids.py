"""Old and new ids of what was released → the tables of ``--ids`` and ``--uid-map`` (docs/mapping.md)."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from pathlib import Path

from fw_gear_deid.model.cells import cell, exact
from fw_gear_deid.model.errors import UsageError
from fw_gear_deid.model.frozen import frozen
from fw_gear_deid.model.outcome import ID_COLUMNS, IDS, UID_COLUMNS, Ids
from fw_gear_deid.system.whole import written


@frozen
class Kind:
    """A table of old and new ids.

    Attributes
    ----------
    option : str
        Which asks for it.
    columns : tuple of str
    key : int
        How many of them are old ids, by which a row is known.
    """

    option: str
    columns: tuple[str, ...]
    key: int


TABLE, UID_MAP = Kind("--ids", ID_COLUMNS, len(IDS)), Kind("--uid-map", UID_COLUMNS, 1)


def read(path: Path, kind: Kind) -> list[Ids]:
    """Return the rows of a table that an earlier run wrote; none where there is none.

    Raises
    ------
    UsageError
        Something else stands there.
    """
    try:
        if path.is_symlink():
            raise UsageError(f"{path}: a link stands there; {kind.option} writes to none")
        with path.open(encoding="utf-8", newline="") as stream:
            rows = list(csv.reader(stream))
    except FileNotFoundError:
        return []
    except (OSError, UnicodeDecodeError, csv.Error):
        rows = []
    if not rows or tuple(rows[0]) != kind.columns or any(len(row) != len(kind.columns) for row in rows):
        raise UsageError(f"{path}: no table of ids, and nothing is written over it; choose another {kind.option}")
    return [tuple(map(exact, row)) for row in rows[1:]]


def write(path: Path, kind: Kind, found: Iterable[Ids]) -> int:
    """Write the table, for its owner alone, whole or not at all.

    Rows of earlier runs stay, but for those whose original ids were met again.

    Parameters
    ----------
    path : Path
    found : iterable of tuple of str
        Texts in the order of its columns; those of other tables are passed over.

    Returns
    -------
    int
        How many rows this run has.

    Raises
    ------
    OSError, UsageError
    """
    new = dict.fromkeys(row for row in found if len(row) == len(kind.columns))
    met = {row[: kind.key] for row in new}
    earlier = [row for row in read(path, kind) if row[: kind.key] not in met]
    path.parent.mkdir(parents=True, exist_ok=True)
    with written(path) as stream:
        table = csv.writer(stream, lineterminator="\r\n")
        table.writerow(kind.columns)
        table.writerows([cell(text) for text in row] for row in [*earlier, *new])
    return len(new)
