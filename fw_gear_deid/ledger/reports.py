"""Rows of the ledger → audit.csv, files.csv and summary.json (interfaces §3)."""

from __future__ import annotations

import csv
import io
import os
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from fw_gear_deid.ledger.state import Row
from fw_gear_deid.model.cells import cell, to_json
from fw_gear_deid.model.outcome import MemberEdits
from fw_gear_deid.system import private

AUDIT_COLUMNS = ("file", "member", "path", "keyword", "vr", "action", "rule", "before", "after")
FILES_COLUMNS = (
    "source", "destination", "state", "reason", "changes", "members", "bytes_in", "bytes_out", "sha256_out", "seconds"
)  # fmt: skip


def audit_text(file: str, audit: Iterable[MemberEdits], *, originals: bool) -> str:
    """Return the lines of ``audit.csv`` for one destination file."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    for member in audit:
        for edit in member.edits:
            before = edit.before if originals else ""
            row = (file, member.member, edit.path, edit.keyword, edit.vr, edit.action, edit.rule, before, edit.after)
            writer.writerow([cell(text) for text in row])
    return out.getvalue()


def count_actions(audit: Iterable[MemberEdits]) -> str:
    """Return ``action=count`` pairs, sorted."""
    counts = Counter(edit.action for member in audit for edit in member.edits)
    return " ".join(f"{action}={count}" for action, count in sorted(counts.items()))


@contextmanager
def _atomic(path: Path) -> Iterator[IO[str]]:
    partial = path.with_name(path.name + ".partial")
    handle = private.create_anew(partial)
    try:
        # names of files may be no text
        with os.fdopen(handle, "w", encoding="utf-8", errors="backslashreplace", newline="") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def write(
    folder: Path, rows: Iterable[Row], summary: dict[str, object], rules: tuple[str, ...], containers: str = ""
) -> dict[str, object]:
    """Write the three reports, each whole or not at all; return the summary.

    Parameters
    ----------
    folder : Path
    rows : iterable of Row
        In source order; read once.
    summary : dict
        What the run knows: versions, profile, times.
    rules : tuple of str
        Labels of the profile's rules by index, to name those that never found anything.
    containers : str
        Audit lines of containers; they stand in front.
    """
    states: Counter[str] = Counter()
    actions: Counter[str] = Counter()
    totals: Counter[str] = Counter()
    unmatched: set[int] | None = None
    with _atomic(folder / "audit.csv") as audit, _atomic(folder / "files.csv") as files:
        csv.writer(audit, lineterminator="\r\n").writerow(AUDIT_COLUMNS)
        audit.write(containers)
        table = csv.writer(files, lineterminator="\r\n")
        table.writerow(FILES_COLUMNS)
        for row in rows:
            table.writerow(
                (cell(row.source), cell(row.destination), row.state, cell(row.reason), row.changes, row.members,
                 row.bytes_in, row.bytes_out, row.sha256, f"{row.seconds:.3f}")
            )  # fmt: skip
            audit.write(row.audit)
            states[row.state] += 1
            totals.update(changes=row.changes, members=row.members, bytes_in=row.bytes_in, bytes_out=row.bytes_out)
            for pair in row.actions.split():
                action, _, count = pair.partition("=")
                actions[action] += int(count)
            if row.sha256:
                found_nothing = {int(index) for index in row.unmatched.split()}
                unmatched = found_nothing if unmatched is None else unmatched & found_nothing
    summary = summary | {
        "files": sum(states.values()),
        "states": dict(sorted(states.items())),
        "actions": dict(sorted(actions.items())),
        "totals": dict(totals),
        "rules_without_a_match": [rules[index] for index in sorted(unmatched or ())],
    }
    with _atomic(folder / "summary.json") as stream:
        stream.write(to_json(summary) + "\n")
    return summary
