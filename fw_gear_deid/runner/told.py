"""Summary of a run → its exit code and the words that it ends with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fw_gear_deid.model.outcome import STATES

OK, SOME_REFUSED, USAGE, INTERRUPTED = 0, 1, 2, 130
"""Exit codes."""
_SETTLED = ("unchanged", "copy", "excluded")  # skipped, and as it should be


def code_of(summary: Mapping[str, Any]) -> int:
    """Return the exit code of a run that came to its end.

    Not all is well when something was refused or failed, or stands older than it would be made now; neither when
    SOURCE held DICOM, and none of it was released, is there unchanged, is a copy, or was excluded.

    Parameters
    ----------
    summary : mapping
        What ``summary.json`` says.
    """
    states, skipped = summary["states"], summary["skipped"]
    if states.get("refused") or states.get("failed") or skipped.get("stale"):
        return SOME_REFUSED
    settled = states.get("released") or any(skipped.get(kind) for kind in _SETTLED)
    return SOME_REFUSED if summary["dicom_left_out"] and not settled else OK


def counted(states: Mapping[str, int], *, dry_run: bool = False) -> str:
    """Return numbers of files by state, as a person reads them.

    >>> counted({"refused": 1, "released": 3}), counted({"released": 3, "refused": 1}, dry_run=True)
    ('3 released, 1 refused', 'would release 3, 1 refused')
    """
    return ", ".join(
        f"would release {states[state]}" if dry_run and state == "released" else f"{states[state]} {state}"
        for state in STATES
        if states.get(state)
    )


def last_lines(code: int, summary: Mapping[str, Any], reports: str) -> list[str]:
    """Return counts by state, changes, and where to read more; after an interruption, in one more line, how it goes on.

    Parameters
    ----------
    code : int
        Exit code of the run.
    summary : mapping
        What ``summary.json`` says.
    reports : str
        Where the reports are.
    """
    states: Mapping[str, int] = summary["states"]
    skipped: Mapping[str, int] = summary.get("skipped", {})
    dry_run = bool(summary.get("options", {}).get("dry_run"))
    line = counted(states, dry_run=dry_run) or "SOURCE has no files"
    if skipped:
        kinds = ", ".join(f"{number} {kind}" for kind, number in skipped.items())
        line = line.replace(" skipped", f" skipped ({kinds})", 1)
    if not (states.get("released") or skipped.get("unchanged")):
        line = f"Nothing {'would be' if dry_run else 'was'} released: {line}"
    if dry_run:
        line = f"dry run: {line}"
    notes = [f"note: {note}" for note in summary.get("notes", ())]
    risks: Mapping[str, int] = summary.get("risks", {})
    told = f"; risks: {', '.join(f'{number} {word}' for word, number in risks.items())}" if risks else ""
    line += f"; {summary['totals'].get('changes', 0)} changes{told}; reports in {reports}"
    if code != INTERRUPTED:
        return [*notes, line]
    files = sum(states.values())
    over = files - states.get("not-reached", 0)
    return [*notes, line, f"interrupted: {over} of {files} done; the same command goes on"]


def warned(summary: Mapping[str, Any], names: Mapping[int, str] | None = None) -> list[str]:
    """Return what has to be said of people.

    Parameters
    ----------
    summary : mapping
    names : mapping of int to str, optional
        Row of ``files.csv`` → name of the file, for a terminal; a log is told the rows.
    """
    lines = []
    for warning in summary.get("identity_warnings", ()):
        rows = ", ".join(str(names[row] if names else row) for row in warning["rows"])
        lines.append(f"warning: {warning['what']}: {rows if names else f'rows {rows} of files.csv'}")
    return lines
