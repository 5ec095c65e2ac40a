"""Samples of rounds → rows of a table, and goals beside what was measured. Arithmetic and text alone."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import exp2, log2
from statistics import median

from bench.measure import Sample

Round = Mapping[str, Sample]
Spread = tuple[float, float, float]
"""Median, least and most."""
_HOLDS = {"≥": operator.ge, "≤": operator.le}


@dataclass(frozen=True, slots=True)
class Goal:
    """A number that is computed from one round, and its bound.

    Attributes
    ----------
    name : str
    of : callable
        One round to the number.
    sign : str
        ``≥`` or ``≤``.
    bound : float
    unit : str
    """

    name: str
    of: Callable[[Round], float]
    sign: str
    bound: float
    unit: str = "×"

    def measured(self, rounds: Sequence[Round]) -> Spread | str:
        """Return the number's spread over the rounds that have all it needs, or what they lack."""
        found: list[float] = []
        lacks = "its case was not run"
        for one in rounds:
            try:
                found.append(self.of(one))
            except KeyError as error:
                lacks = str(error.args[0])
        return spread(found) if found else f"not measured: {lacks}"

    def met(self, measured: Spread | str) -> str:
        """Tell whether the median holds."""
        if isinstance(measured, str):
            return "–"
        return "yes" if _HOLDS[self.sign](measured[0], self.bound) else "no"


def spread(numbers: Sequence[float]) -> Spread:
    """Return median, least and most."""
    return median(numbers), min(numbers), max(numbers)


def doubling(costs: Sequence[tuple[int, float]]) -> float:
    """Return by how much cost grows when a count doubles: the steepest step between neighbouring counts."""
    steps = pairwise(costs)
    return max(exp2(log2(after / before) / log2(many / few)) for (few, before), (many, after) in steps)


def number(value: float) -> str:
    """Return three digits of a number."""
    for digits, least in ((0, 100), (1, 10), (2, 1)):
        if abs(value) >= least:
            return f"{value:.{digits}f}"
    return f"{value:.3f}"


def shown(measured: Spread | str, unit: str = "") -> str:
    """Return a spread as a cell; of one round there is none."""
    if isinstance(measured, str):
        return measured
    middle, least, most = map(number, measured)
    if measured[1] == measured[2]:
        return middle + unit
    return f"{middle}{unit} ({least}–{most})"


def grid(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table of Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "".join("| " + " | ".join(line) + " |\n" for line in lines)


def programs(rounds: Sequence[Round], notes: Mapping[str, str]) -> str:
    """Return the table of a case: CPU, its ratio to the first row's round by round, wall, memory, bytes.

    Parameters
    ----------
    rounds : sequence of mapping
        Row to sample.
    notes : mapping
        Row to what is to be said of it; rows without samples have only that.
    """
    names = list(dict.fromkeys([*(name for one in rounds for name in one), *notes]))
    if not names:
        return ""
    first = next((name for name in names if all(name in one for one in rounds)), names[0])
    head = ["program", "CPU s", f"× CPU of {first}", "wall s", "peak MB", "output MB", ""]
    rows = []
    for name in names:
        samples = [one[name] for one in rounds if name in one]
        if not samples:
            rows.append([name, *["–"] * 5, notes[name]])
            continue
        ratios = [one[name].cpu / one[first].cpu for one in rounds if name in one and first in one]
        rows.append([
            name,
            shown(spread([one.cpu for one in samples])),
            shown(spread(ratios)) if ratios else "–",
            number(median(one.wall for one in samples)),
            f"{max(one.peak for one in samples):.0f}",
            number(median(one.size for one in samples)),
            notes.get(name, ""),
        ])  # fmt: skip
    return grid(head, rows)


def growth(costs: Sequence[tuple[str, int, Sequence[Sample]]]) -> str:
    """Return the table of what one of many costs.

    Parameters
    ----------
    costs : sequence of (str, int, samples)
        What was done, to how many, and what it cost in each round.
    """
    rows = [
        [
            what,
            shown(spread([one.cpu for one in samples])),
            number(1000 * median(one.cpu for one in samples) / count),
            number(median(one.wall for one in samples)),
            f"{max(one.peak for one in samples):.0f}",
        ]
        for what, count, samples in costs
    ]
    return grid(["what", "CPU s", "CPU ms each", "wall s", "peak MB"], rows)


def goals(found: Sequence[tuple[Goal, Spread | str]], before: Mapping[str, str]) -> str:
    """Return the table of goals beside what was measured, and what was before."""
    rows = [
        [
            goal.name,
            f"{goal.sign} {goal.bound:g}{goal.unit}",
            before.get(goal.name, "–"),
            shown(measured),
            goal.met(measured),
        ]
        for goal, measured in found
    ]
    return grid(["what", "goal", "before", "now", "met"], rows)
