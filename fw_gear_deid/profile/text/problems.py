"""What is wrong with a profile, all of it, each with line, column and a remedy."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from fw_gear_deid.model.errors import UsageError
from fw_gear_deid.profile.text.lookalikes import other_letter


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One finding in a profile."""

    line: int
    column: int
    severity: str
    """``error`` or ``warning``."""
    where: str
    """``dicom.fields[4]``, empty for the document."""
    message: str


class Problems:
    """Collects findings while a profile is read."""

    def __init__(self) -> None:
        self._found: list[Problem] = []

    def error(self, line: int, column: int, where: str, message: str) -> None:
        """Note something that must be mended before anything is read."""
        self._found.append(Problem(line, column, "error", where, message))

    def warn(self, line: int, column: int, where: str, message: str) -> None:
        """Note something that works as the language says, and leaves a risk."""
        self._found.append(Problem(line, column, "warning", where, message))

    def take(self, others: Problems) -> None:
        """Take over what was noted elsewhere."""
        self._found += others._found

    def all(self) -> tuple[Problem, ...]:
        """Return the findings in the order of the file, each once."""
        return tuple(sorted(set(self._found)))

    @property
    def fatal(self) -> bool:
        """Whether an error is among them."""
        return any(problem.severity == "error" for problem in self._found)


class ProfileError(UsageError):
    """A profile that cannot be used; carries every problem that was found."""

    named = True

    def __init__(self, name: str, problems: tuple[Problem, ...]) -> None:
        super().__init__(name, problems)
        self.name = name
        self.problems = problems

    @property
    def lines(self) -> tuple[str, ...]:
        """One for each problem."""
        return tuple(show(self.name, problem) for problem in self.problems)


def show(name: str, problem: Problem) -> str:
    """Return one line: ``profile.yaml:31:9 error dicom.fields[4]: unknown key ...``."""
    where = f" {problem.where}" if problem.where else ""
    return f"{name}:{problem.line}:{problem.column} {problem.severity}{where}: {problem.message}"


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return ``; did you mean 'x'?`` for the nearest known word, or nothing."""
    import difflib  # nobody makes a mistake in most runs

    lower = {name.lower(): name for name in known}
    for spelt in dict.fromkeys((word.lower().replace("_", "-"), word.lower())):
        near = difflib.get_close_matches(spelt, _alike(spelt, tuple(lower)), n=1, cutoff=0.6)
        if near:
            return f"; did you mean {lower[near[0]]!r}?" + other_letter(word)
    return other_letter(word)


_FEW = 100  # words that are compared letter by letter


def _alike(word: str, known: tuple[str, ...]) -> Iterable[str]:
    """Return the words that share most pairs of letters with one: the dictionary has five thousand."""
    if len(known) <= _FEW:
        return known
    pairs = _pairs(known)
    shared = Counter(name for at in range(len(word[:_FEW]) - 1) for name in pairs.get(word[at : at + 2], ()))
    return [name for name, _ in shared.most_common(_FEW)]


@lru_cache(maxsize=8)
def _pairs(known: tuple[str, ...]) -> Mapping[str, Sequence[str]]:
    found: defaultdict[str, list[str]] = defaultdict(list)
    for name in known:
        for pair in {name[at : at + 2] for at in range(len(name) - 1)}:
            found[pair].append(name)
    return found
