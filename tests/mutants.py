"""Breaks the program in one place after another, in a copy, and runs the tests that should see it.

``python -m tests.mutants [--only REGEX] [--workers N] [--list] [--show]``. The tables are ``tests/vectors/mutants/*.txt``:

    @ fw_gear_deid/stores/flywheel/sink.py
    ? tests/test_uploads.py

    what was uploaded is not compared
    - return file.size == size and held in ("", expected)
    + return True

``@`` is a file; ``?`` are tests, of all that follow in it or of one mutant; ``-`` are lines as they stand there, once and
together, whatever their indentation; ``+`` are what stands there instead, indented from the outermost of them. A mutant is
killed when a test fails, or when the tests take longer than their time. ``tests/test_mutants.py`` holds that each fits.
"""

from __future__ import annotations

import argparse
import itertools
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "tests" / "vectors" / "mutants"
COPIED = ("bench", "docs", "fw_gear_deid", "profiles", "tests", "CHANGELOG.md", "manifest.json", "pyproject.toml",
          "README.md", "run.py")  # fmt: skip
SECONDS = 120
"""How long the tests of one mutant may take."""
KILLED, TIMED_OUT, SURVIVED, BROKEN = "killed", "killed by time", "SURVIVED", "BROKEN"
_FAILED = 1  # what pytest returns when tests ran and some failed; else it could not run them


@dataclass
class Mutant:
    """One way to break the program.

    Attributes
    ----------
    table, name : str
        Where it stands, and what the program no longer does.
    file : str
        Relative to the root.
    tests : list of str
        Ids of tests, as pytest takes them.
    old, new : list of str
        Lines that stand there once, and what stands there instead.
    """

    table: str
    name: str
    file: str
    tests: list[str]
    old: list[str] = field(default_factory=list)
    new: list[str] = field(default_factory=list)

    def applied(self) -> str:
        """Return the file with the mutation.

        Raises
        ------
        ValueError
            The program has changed: the lines do not stand there once.
        """
        lines = (ROOT / self.file).read_text(encoding="utf-8").split("\n")
        plain, old, count = [line.strip() for line in lines], [line.strip() for line in self.old], len(self.old)
        found = [at for at in range(len(plain) - count + 1) if plain[at : at + count] == old]
        if len(found) != 1 or not count:
            raise ValueError(f"{self.table}: {self.name}: its lines stand {len(found)} times in {self.file}")
        [at] = found
        indent = min((line[: len(line) - len(line.lstrip())] for line in lines[at : at + count] if line), key=len)
        return "\n".join([*lines[:at], *(indent + line for line in self.new), *lines[at + count :]])


def mutants() -> list[Mutant]:
    """Return the mutants of all tables."""
    return [one for path in sorted(FOLDER.glob("*.txt")) for one in _read(path)]


def _read(path: Path) -> Iterator[Mutant]:
    file, tests, one = "", list[str](), None
    for line in [*path.read_text(encoding="utf-8").splitlines(), ""]:
        mark, _, rest = line.partition(" ")
        if mark == "@":
            file, tests = rest, []
        elif mark == "?":
            (tests if one is None else one.tests).append(rest)
        elif mark in ("-", "+") and one is not None:
            (one.old if mark == "-" else one.new).append(rest)
        elif line and mark != "#":
            one = Mutant(path.stem, line, file, [])
        elif not line and one is not None:
            one.tests = one.tests or tests
            yield one
            one = None


class Copy:
    """A copy of the tree, of which one file at a time is broken."""

    _clock = itertools.count(int(time.time()) - 10_000_000)  # compiled files go by whole seconds

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        for name in COPIED:
            if (ROOT / name).is_dir():
                shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(ROOT / name, folder / name)

    def outcome(self, mutant: Mutant) -> tuple[str, str]:
        """Return what became of a mutant, and what its tests said."""
        path = self.folder / mutant.file
        whole = path.read_text(encoding="utf-8")
        try:
            self._write(path, mutant.applied())
            code, said = self.test(mutant.tests)
        finally:
            self._write(path, whole)
        if code is None:
            return TIMED_OUT, said
        return {0: SURVIVED, _FAILED: KILLED}.get(code, BROKEN), said

    def _write(self, path: Path, text: str) -> None:
        path.write_text(text, encoding="utf-8")
        os.utime(path, (now := next(self._clock), now))

    def test(self, tests: Sequence[str], *options: str, seconds: float = 0) -> tuple[int | None, str]:
        """Run tests until one fails; return pytest's exit code, None when they took too long, and what was said.

        Parameters
        ----------
        seconds : float
            How long they may take; 0 is what one mutant's may.
        """
        with tempfile.TemporaryDirectory(dir=self.folder) as base:
            command = [sys.executable, "-m", "pytest", "-q", "-x", "--tb=line", *options,
                       f"--basetemp={base}/t", *tests]  # fmt: skip
            process = subprocess.Popen(
                command, cwd=self.folder, env={**os.environ, "PYTHONPATH": str(self.folder)}, text=True,
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip
            try:
                said, _ = process.communicate(timeout=seconds or SECONDS)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                said, _ = process.communicate()
                return None, said
            return process.returncode, said


def main() -> int:
    """Break and test; return 0 when every mutant was killed."""
    parser = argparse.ArgumentParser(description="break the program and run the tests that should see it")
    parser.add_argument("--only", default="", metavar="REGEX", help="those whose table and name it is found in")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--list", action="store_true", help="name them and do nothing")
    parser.add_argument("--show", action="store_true", help="tell what tests said of those that survived")
    asked = parser.parse_args()
    chosen = [one for one in mutants() if re.search(asked.only, f"{one.table}: {one.name}")]
    if asked.list:
        for one in chosen:
            print(f"{one.table}: {one.name}")
        return 0
    begin = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        copies = [Copy(Path(folder, str(number))) for number in range(asked.workers)]
        if not _pass(sorted({test for one in chosen for test in one.tests}), copies):
            return 2
        print(f"the tests of {len(chosen)} mutants pass without them: {time.monotonic() - begin:.0f} s", flush=True)
        found = _run(chosen, copies, show=asked.show)
    counts = {state: found.count(state) for state in (KILLED, TIMED_OUT, SURVIVED, BROKEN)}
    print(", ".join(f"{count} {state}" for state, count in counts.items() if count), end="")
    print(f", of {len(found)}; {(time.monotonic() - begin) / 60:.1f} minutes")
    return 1 if counts[SURVIVED] or counts[BROKEN] else 0


def _pass(tests: Sequence[str], copies: Sequence[Copy]) -> bool:
    """Tell whether tests pass in a program that is whole."""

    def some(number: int) -> bool:
        listed = tests[number :: len(copies)]
        code, said = copies[number].test(listed, seconds=20 * SECONDS) if listed else (0, "")
        if code:
            print(said, "the tests do not pass without mutants", sep="\n")
        return not code

    with ThreadPoolExecutor(len(copies)) as pool:
        return all(pool.map(some, range(len(copies))))


def _run(chosen: Sequence[Mutant], copies: list[Copy], *, show: bool) -> list[str]:
    lock = threading.Lock()

    def one(mutant: Mutant) -> str:
        with lock:
            copy = copies.pop()
        begin = time.monotonic()
        state, said = copy.outcome(mutant)
        with lock:
            copies.append(copy)
            test = re.search(r"^(?:FAILED|ERROR) (\S+?)(?:\[| |$)", said, re.MULTILINE)
            by = f" ({test[1]})" if test and state == KILLED else ""
            print(f"{state:9} {time.monotonic() - begin:5.1f} s  {mutant.table}: {mutant.name}{by}", flush=True)
            if state == BROKEN or (show and state == SURVIVED):
                print(said, flush=True)
        return state

    with ThreadPoolExecutor(len(copies)) as pool:
        return list(pool.map(one, chosen))


if __name__ == "__main__":
    sys.exit(main())
