"""``profile coverage`` and ``profile suggest``: a profile held against Table E.1-1 of PS3.15."""

from __future__ import annotations

import argparse
import csv
import sys
from collections.abc import Sequence
from pathlib import Path

from fw_gear_deid.deid import coverage, suggest
from fw_gear_deid.deid.coverage import GAPS, Break, Line
from fw_gear_deid.deid.suggest import Addition, Suggested
from fw_gear_deid.model.cells import shown
from fw_gear_deid.model.errors import UsageError
from fw_gear_deid.model.outcome import RESIDUE
from fw_gear_deid.profile import store
from fw_gear_deid.profile.compiled import DicomSection
from fw_gear_deid.profile.parse import parse_profile
from fw_gear_deid.profile.text.problems import did_you_mean
from fw_gear_deid.standard import tables
from fw_gear_deid.standard.categories import CATEGORIES

OK, SOME_LEFT = 0, 1
COLUMNS = ("tag", "keyword", "category", "standard", "top", "sequences", "state", "breaks")
_REPORT = "files.csv"
_WIDTH = 100


def show(arguments: argparse.Namespace) -> int:
    """Print what a profile does to each attribute; with ``--strict`` a gap is an error."""
    section = _section(arguments.file)
    options = _against(arguments.against, section)
    lines = coverage.lines_of(section, options)
    breaks = coverage.breaks_of(section)
    if arguments.format == "csv":
        _csv(lines, breaks)
    else:
        _text(arguments.file, lines, breaks, options)
    return SOME_LEFT if arguments.strict and any(line.state in GAPS for line in lines) else OK


def suggest_notes(found: Suggested, options: frozenset[str]) -> list[str]:
    """Return the comments that stand in front of a suggestion."""
    notes = [f"closes {len(found.closes)} of {len(found.closes) + len(found.meant) + len(found.left)} gaps against"]
    notes[0] += f" PS3.15 {tables.EDITION} {', '.join(['basic', *sorted(options)])}"
    if found.meant:
        notes += [
            "not closed, since entries of the profile mean it so: change these",
            *_wrapped(found.meant, 100, "  "),
        ]
    if found.left:
        notes += ["not closed, since objects need them: only ps3-15 can", *_wrapped(found.left, 100, "  ")]
    return notes


def suggest_text(section: DicomSection, options: frozenset[str], categories: Sequence[str], *, entries: bool) -> str:
    """Return the smallest addition that closes the gaps of a section, as text; empty where there are none.

    Parameters
    ----------
    section : DicomSection
    options : frozenset of str
        Of PS3.15, against which it is held.
    categories : sequence of str
        Only gaps of these; none: of all.
    entries : bool
        By entries, also where the standard's table is shorter.
    """
    lines = [one for one in coverage.lines_of(section, options) if not categories or one.category in categories]
    if not any(line.state in GAPS for line in lines):
        return ""
    found = suggest.by_entries(section, lines)
    text = suggest.text_of({"dicom": found.additions}, suggest_notes(found, options))
    whole = None if entries or categories else suggest.by_table(section, lines, options)
    if whole is None:
        return text
    notes = suggest_notes(whole, options)
    notes += ["take out remove-private-tags, if it is there: the table decides about private elements"]
    short = suggest.text_of({"dicom": whole.additions}, notes)
    return short if found.left or short.count("\n") < text.count("\n") else text


def suggest_from(reports: Path) -> str:
    """Return what lets refused files of a run pass, as text; empty where nothing of the profile refused one.

    Raises
    ------
    UsageError
        There are no reports.
    """
    there = [path for path in (reports / "private" / _REPORT, reports / _REPORT) if path.is_file()]
    if not there:
        raise UsageError(f"{reports}: no reports: there is no {_REPORT} in it, nor in its folder private")
    try:
        with there[0].open(encoding="utf-8", newline="") as stream:
            table = list(csv.DictReader(stream))
            rows = [(row["source"], row["reason"]) for row in table if row["state"] == "refused"]
            left = [row["risks"] for row in table if RESIDUE in row["risks"]]
    except (OSError, KeyError, UnicodeDecodeError, csv.Error):
        raise UsageError(f"{there[0]}: cannot be read as the {_REPORT} of a run") from None
    found = suggest.by_reasons(rows, left)
    notes = [
        f"for {len(rows)} refused files, and {len(left)} that tell a name or id; accept lets files leave as they are",
        "look at them first",
        "lines that the profile has already stay there as they are",
    ]
    return suggest.text_of(found, notes) if found else ""


def suggest_command(arguments: argparse.Namespace) -> int:
    """Print the smallest addition."""
    path = Path(arguments.file)
    if path.is_dir():
        text = suggest_from(path)
        print(
            text or "# nothing to add: no file was refused for what the profile says, or tells a name",
            end="" if text else "\n",
        )
        return OK
    section = _section(arguments.file)
    options = _against(arguments.against, section)
    categories = _categories(arguments.category)
    text = suggest_text(section, options, categories, entries=arguments.entries)
    print(text or "# nothing to add: there are no gaps", end="" if text else "\n")
    return OK


def _section(name: str) -> DicomSection:
    path = store.path_of(name)
    section = parse_profile(store.read_text(path), path.name).dicom
    if section is None:
        raise UsageError(f"{name}: it has no dicom section, and the standard's table is about DICOM")
    return section


def _against(text: str | None, section: DicomSection) -> frozenset[str]:
    """Return the options that ``--against`` names."""
    if text is None:
        return coverage.options_of(section)
    first, *words = [word.strip() for word in text.split(",")]
    if first != tables.PROFILE:
        raise UsageError(f"--against begins with {tables.PROFILE}, the profile of the standard: basic,modified-dates")
    for word in words:
        if word not in tables.OPTIONS:
            hint = did_you_mean(word, tables.OPTIONS) or f"; options are {', '.join(tables.OPTIONS)}"
            raise UsageError(f"--against: no option of the standard: {word!r}{hint}")
    return frozenset(words)


def _categories(text: str | None) -> list[str]:
    words = [word.strip() for word in text.split(",")] if text else []
    for word in words:
        if word not in CATEGORIES:
            raise UsageError(f"--category: no category: {word!r}; there are {', '.join(CATEGORIES)}")
    return words


def _csv(lines: Sequence[Line], breaks: Sequence[Break]) -> None:
    broken: dict[str, str] = {}
    for one in breaks:
        broken[one.name] = f"{one.deed}, Type {one.kind} in {len(one.iods)} IODs"
    out = csv.writer(sys.stdout, lineterminator="\n")
    out.writerow(COLUMNS)
    for line in lines:
        out.writerow(
            (
                line.tag,
                line.name,
                line.category,
                line.wanted,
                line.top,
                line.below,
                line.state,
                broken.get(line.name, ""),
            )
        )


def _text(name: str, lines: Sequence[Line], breaks: Sequence[Break], options: frozenset[str]) -> None:
    against = ", ".join([tables.PROFILE, *sorted(options)])
    print(f"{name} against PS3.15 {tables.EDITION} Table E.1-1 ({len(lines)} attributes): {against}\n")
    print(f"{'category':14}{'handled':>9}{'retained':>10}{'weaker':>8}{'in sequences':>14}{'left':>6}")
    for category, counts in coverage.counts_of(lines):
        told = [counts[state] for state in coverage.STATES]
        print(f"{category:14}{told[0]:>9}{told[1]:>10}{told[2]:>8}{told[3]:>14}{told[4]:>6}")
    for state, what in (
        (coverage.LEFT, "left as they came"),
        (coverage.BELOW, "left inside sequences"),
        (coverage.WEAK, "changed, but not as far as the standard wants"),
    ):
        for category in CATEGORIES:
            names = [line.name for line in lines if (line.state, line.category) == (state, category)]
            if names:
                print(f"\n{category}, {what}:")
                print("\n".join(_wrapped(names, _WIDTH, "  ")))
    if breaks:
        print("\ntaken away though IODs want them, where their module is there:")
        for one in breaks:
            where = ", ".join(one.iods[:3]) + (f" and {len(one.iods) - 3} more" if len(one.iods) > 3 else "")
            print(shown(f"  {one.name} {one.deed}, Type {one.kind}: {where}"))


def _wrapped(names: Sequence[str], width: int, margin: str) -> list[str]:
    """Return names as lines of a width."""
    lines: list[str] = []
    line = margin
    for number, name in enumerate(names):
        word = name + ("," if number + 1 < len(names) else "")
        if len(line) + len(word) + 1 > width and line.strip():
            lines.append(line.rstrip())
            line = margin
        line += word + " "
    return [*lines, line.rstrip()]


__all__ = ["Addition", "show", "suggest_command"]
