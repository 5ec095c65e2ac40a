"""Rows of the ledger → audit.csv, files.csv and summary.json (interfaces §3)."""

from __future__ import annotations

import csv
import io
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from fw_gear_deid.ledger.state import Made, Row
from fw_gear_deid.model.audit import AUDIT_COLUMNS, LINE_END, first, unpacked
from fw_gear_deid.model.cells import cell, to_json
from fw_gear_deid.model.errors import StopRun
from fw_gear_deid.model.outcome import NOTHING_SOUGHT, OTHER_DICOM, SKIPPED, STATES, kind_of
from fw_gear_deid.system.whole import written

FILES_COLUMNS = (
    "source", "destination", "state", "reason", "changes", "members", "bytes_in", "bytes_out", "sha256_out", "seconds",
    "risks",
)  # fmt: skip

_DAMAGED = "the ledger cannot be read (an audit in it is damaged)"
_NOTHING = Made("", "", False, "", "", "", "", "", 0)


def lines_of(file: str, packed: bytes) -> Iterator[str]:
    """Yield the lines of ``audit.csv`` for one destination file, some at a time.

    Parameters
    ----------
    file : str
        Its path, the first column.
    packed : bytes
        The lines without it.

    Raises
    ------
    StopRun
        They are damaged.
    """
    head = first(file)
    try:
        for text in unpacked(packed):
            yield head + text[: -len(LINE_END)].replace(LINE_END, LINE_END + head) + LINE_END
    except zlib.error:
        raise StopRun(_DAMAGED) from None


@dataclass(frozen=True, slots=True)
class Folders:
    """Where reports go.

    Attributes
    ----------
    open : Path
        For what may be handed on: ``audit.csv``, ``summary.json``.
    private : Path
        For what may not: ``files.csv``, whose first column is the source's own names, and the audit with originals.
        In a gear both are one folder: there sources are container ids.
    originals : bool
        Whether lines of the audit hold values before a change.
    """

    open: Path
    private: Path
    originals: bool = False

    @property
    def divided(self) -> bool:
        """Tell whether there are two folders."""
        return self.open != self.private


_README = """\
What lies here is not for those who receive the de-identified files.

files.csv      what became of each source file; 'source' is its path as you have it
state.sqlite   the ledger: a rerun does only what is new or changed; keep it beside the data
secret.key     the secret behind pseudonyms and shifted dates; whoever has it can undo pseudonyms by guessing,
               and without it the next run gives every patient another pseudonym: keep a copy in a safe place
audit.csv      only with --audit-originals: every change with the value before it, in clear

The folder above holds what may be handed on: audit.csv without original values, and summary.json.
"""


def write(
    folders: Folders,
    rows: Iterable[tuple[Row, Made | None]],
    summary: dict[str, object],
    rules: tuple[tuple[str, str], ...],
    containers: str = "",
) -> dict[str, object]:
    """Write the reports, each whole or not at all; return the summary.

    Parameters
    ----------
    folders : Folders
    rows : iterable
        Lines in source order, with what each tells of at the destination; read once.
    summary : dict
        What the run knows: versions, profile, times.
    rules : tuple of tuple of str
        Labels of the profile's rules by index, and the keys of their sections.
    containers : str
        Audit lines of containers; they stand in front.
    """
    states: Counter[str] = Counter()
    skipped: Counter[str] = Counter()
    left_out = nothing = 0
    risks: Counter[str] = Counter()
    actions: Counter[str] = Counter()
    totals: Counter[str] = Counter()
    idle = Idle(rules)
    with _audit(folders) as audit, written(folders.private / "files.csv") as files:
        audit(containers, folders.originals)
        table = csv.writer(files, lineterminator="\r\n")
        table.writerow(FILES_COLUMNS)
        for row, made in rows:
            sums = made if made is not None and row.first else _NOTHING
            path, digest = (made.path, made.sha256) if made is not None else ("", "")
            words = sums.risks.split("; ") if sums.risks else []
            told = [word for word in words if word != NOTHING_SOUGHT]
            table.writerow(
                (cell(row.source), cell(path), row.state, cell(row.reason), sums.changes, sums.members,
                 row.bytes_in, sums.size, digest, f"{row.seconds:.3f}",
                 cell("; ".join(told)))
            )  # fmt: skip
            states[row.state] += 1
            nothing += NOTHING_SOUGHT in words
            risks.update({word.partition(": ")[0] for word in told})
            if row.state == "skipped":
                skipped[kind_of(row.reason)] += 1
                left_out += row.reason.startswith(OTHER_DICOM)
            totals.update(changes=sums.changes, members=sums.members, bytes_in=row.bytes_in, bytes_out=sums.size)
            if row.state == "orphan":
                continue
            for text in lines_of(sums.path, sums.audit):
                audit(text, sums.originals)
            for pair in sums.actions.split():
                action, _, count = pair.partition("=")
                actions[action] += int(count)
            if sums is not _NOTHING and kind_of(row.reason) != "stale":  # that was made by the rules of another profile
                idle.count(sums.unmatched, sums.sections)
    summary = summary | {
        "files": sum(states.values()),
        "states": {state: states[state] for state in STATES if states[state]},
        "skipped": {kind: skipped[kind] for kind in SKIPPED if skipped[kind]},
        "dicom_left_out": left_out,
        "risks": dict(sorted(risks.items())),
        "nothing_to_search_for": nothing,
        "actions": dict(sorted(actions.items())),
        "totals": dict(totals),
        "rules_without_a_match": idle.never(),
        "files_without_a_match": idle.files(),
    }
    with written(folders.open / "summary.json") as stream:
        stream.write(to_json(summary) + "\n")
    if folders.divided:
        with written(folders.private / "README.txt") as stream:
            stream.write(_README)
    return summary


class Idle:
    """Rules that find nothing: in any file, and in how many of their section's.

    Parameters
    ----------
    rules : tuple
        As of ``write``.
    """

    def __init__(self, rules: tuple[tuple[str, str], ...]) -> None:
        self._rules = rules
        self._never: frozenset[int] | None = None
        self._alike: Counter[tuple[str, str]] = Counter()

    def count(self, unmatched: str, sections: str) -> None:
        """Take what a file tells: the rules that found nothing in it, and the sections that it is of."""
        found_nothing = _indices(unmatched)
        self._never = found_nothing if self._never is None else self._never & found_nothing
        self._alike[unmatched, sections] += 1

    def never(self) -> list[str]:
        """Return the rules that found nothing at all."""
        return [self._rules[index][0] for index in sorted(self._never or ())]

    def files(self) -> dict[str, int]:
        """Return in how many files of its section a rule found nothing, where there were some."""
        counts: Counter[int] = Counter()
        for (unmatched, sections), number in self._alike.items():
            keys = sections.split()
            counts.update({one: number for one in _indices(unmatched) if self._rules[one][1] in keys})
        return {self._rules[index][0]: counts[index] for index in sorted(counts)}


@lru_cache(maxsize=64)  # files of one kind lack the same
def _indices(listed: str) -> frozenset[int]:
    return frozenset(map(int, listed.split()))


@contextmanager
def _audit(folders: Folders) -> Iterator[Callable[[str, bool], None]]:
    """Open the audit, or both of them; yield what takes lines."""
    with ExitStack() as stack:
        outside = stack.enter_context(written(folders.open / "audit.csv"))
        clear, in_clear = None, folders.originals and not folders.divided
        if folders.divided and folders.originals:
            clear = stack.enter_context(written(folders.private / "audit.csv"))
        for stream in (outside, clear):
            if stream is not None:
                csv.writer(stream, lineterminator="\r\n").writerow(AUDIT_COLUMNS)

        def write(text: str, originals: bool) -> None:
            if clear is not None:
                clear.write(text)
            outside.write(_without_before(text) if originals and not in_clear else text)

        yield write
    if folders.divided and not folders.originals:
        (folders.private / "audit.csv").unlink(missing_ok=True)  # of an earlier run: it is no longer true


def _without_before(text: str) -> str:
    out = io.StringIO()
    column = AUDIT_COLUMNS.index("before")
    rows = csv.reader(io.StringIO(text, newline=""))
    csv.writer(out, lineterminator="\r\n").writerows([*row[:column], "", *row[column + 1 :]] for row in rows)
    return out.getvalue()
