"""Files as they are done → a bar on a terminal, a line every few seconds elsewhere; refused and failed ones always.

Who sees the terminal has the folder: there a refusal names the file. In a log, and in a gear, it names the row of
``files.csv``.
"""

from __future__ import annotations

import sys
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import field
from types import TracebackType
from typing import TYPE_CHECKING, Any

from fw_gear_deid.model.cells import shown
from fw_gear_deid.model.frozen import frozen
from fw_gear_deid.model.ports import Item
from fw_gear_deid.runner.told import counted

if TYPE_CHECKING:
    from tqdm import tqdm

EVERY = 5.0  # seconds between two lines of a log
SEE = ": see "
"""Stands in a reason before another file of SOURCE."""
_MARKS = 24  # lines that the time left is told from: what went on in the last two minutes
_UNITS = ("B", "kB", "MB", "GB", "TB")


@frozen
class Manner:
    """How a run tells of its progress.

    Attributes
    ----------
    quiet : bool
        Not at all.
    names : bool
        A terminal may show the names of files of SOURCE.
    dry_run : bool
    clock : callable
        Seconds.
    """

    quiet: bool = False
    names: bool = True
    dry_run: bool = False
    clock: Callable[[], float] = field(default=time.monotonic)


class Progress:
    """Tells how far a pass over files is.

    Parameters
    ----------
    doing : str
        What is done to them.
    items : sequence of Item
        All that the pass is about.
    manner : Manner
    rows : mapping of str to int
        Id of an item → its place in the listing, from 0.
    """

    def __init__(self, doing: str, items: Sequence[Item], manner: Manner, rows: Mapping[str, int]) -> None:
        self._doing = doing
        self._files = len(items)
        self._size = sum(item.size for item in items)
        self._manner = manner
        self._rows = rows
        self._quiet = manner.quiet or not items
        self._done = self._read = 0
        self._states: Counter[str] = Counter()
        self._marks: deque[tuple[float, int, int]] = deque(maxlen=_MARKS)
        self._bar: tqdm[Any] | None = None

    def __enter__(self) -> Progress:
        self._safely(self._begin)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._safely(self._end)

    def step(self, items: Sequence[Item], state: str = "", reason: str = "") -> None:
        """Note that one more source (or a series of them) is done, and how."""
        self._done += len(items)
        self._read += sum(item.size for item in items)
        self._states[state] += len(items)
        self._safely(lambda: self._tell(items, state, reason))

    def tick(self) -> None:
        """Note that time goes by."""
        self._safely(self._told_again)

    def _safely(self, tell: Callable[[], None]) -> None:
        """Tell, if anybody listens: whoever read this may go away, and the work goes on."""
        if self._quiet:
            return
        try:
            tell()
        except (OSError, ValueError):  # ValueError: the stream is closed
            self._quiet = True

    def _begin(self) -> None:
        if sys.stderr.isatty():
            self._bar = _bar(self._files, self._doing)
        else:
            self._line()

    def _end(self) -> None:
        if self._bar is not None:
            self._bar.close()
        elif len(self._marks) > 1:  # it took its time: the end is worth a line
            self._line()

    def _tell(self, items: Sequence[Item], state: str, reason: str) -> None:
        if self._bar is not None:
            self._bar.set_postfix_str(_of(self._read, self._size), refresh=False)
            self._bar.update(len(items))
        if state in ("refused", "failed"):
            named = self._bar is not None and self._manner.names
            where = _names(items) if named else _numbers([self._rows[item.id] + 2 for item in items])
            line = f"{state}: {where}: {shown(reason if named else self._nameless(reason))}"
            if self._bar is not None:
                self._bar.write(line, file=sys.stderr)
            else:
                _print(line)
        if self._bar is None:
            self._told_again()

    def _nameless(self, reason: str) -> str:
        """Return a reason that names another file with its row instead."""
        text, see, other = reason.rpartition(SEE)
        if not see:
            return reason
        return f"{text}{SEE}row {self._rows[other] + 2}" if other in self._rows else text

    def _told_again(self) -> None:
        if self._bar is not None:
            self._bar.refresh()
        elif self._manner.clock() - self._marks[-1][0] >= EVERY:
            self._line()

    def _line(self) -> None:
        now = self._manner.clock()
        text = f"{self._doing}: {self._done} of {self._files} files, {_of(self._read, self._size)}"
        left = self._left(now)
        self._marks.append((now, self._done, self._read))
        how = counted(self._states, dry_run=self._manner.dry_run) if self._states.keys() - {""} else ""
        _print("".join((text, f", {left} left" if left else "", f"; {how}" if how else "")))

    def _left(self, now: float) -> str:
        """Return how long the rest will take, if it goes on as it did; empty when nobody can know."""
        if not self._marks or self._done >= self._files:
            return ""
        then, done, read = self._marks[0]
        seconds, files, size = now - then, self._done - done, self._read - read
        by_files = seconds * (self._files - self._done) / files if files else 0.0
        by_size = seconds * (self._size - self._read) / size if size else 0.0
        return _span(max(by_files, by_size)) if files else ""


def _bar(files: int, doing: str) -> tqdm[Any]:
    from tqdm import tqdm  # where nobody looks, its import is in vain

    tqdm.set_lock(threading.RLock())  # its own is one between processes, which nobody here needs
    tqdm.monitor_interval = 0  # and a thread to wake it up
    return tqdm(total=files, desc=doing, unit="file", file=sys.stderr, dynamic_ncols=True)


def counting(items: Iterable[Item], manner: Manner) -> Iterator[Item]:
    """Yield what a source lists, and tell how much that is when it takes its time."""
    last = manner.clock()
    for number, item in enumerate(items, 1):
        yield item
        if manner.quiet or number % 100:
            continue
        now = manner.clock()
        if now - last >= EVERY:
            last = now
            try:
                _print(f"listing SOURCE: {number} files so far")
            except (OSError, ValueError):
                manner = Manner(quiet=True)


def _print(line: str) -> None:
    print(line, file=sys.stderr, flush=True)  # noqa: T201


def _names(items: Sequence[Item]) -> str:
    more = f" and {len(items) - 1} more" if len(items) > 1 else ""
    return shown(items[0].id) + more


def _numbers(rows: Sequence[int]) -> str:
    """Return rows as a spreadsheet counts them: the header is row 1."""
    if len(rows) == 1:
        return f"row {rows[0]} of files.csv"
    return f"row {rows[0]} of files.csv and {len(rows) - 1} more"


def _of(part: int, whole: int) -> str:
    """Return two sizes in the unit that suits the larger one.

    >>> _of(1_200_000_000, 30_000_000_000), _of(0, 900)
    ('1.2 of 30.0 GB', '0 of 900 B')
    """
    power = 0
    while whole >= 1000 ** (power + 1) and power + 1 < len(_UNITS):
        power += 1
    if not power:
        return f"{part} of {whole} B"
    return f"{part / 1000**power:.1f} of {whole / 1000**power:.1f} {_UNITS[power]}"


def _span(seconds: float) -> str:
    """Return a time as people say it.

    >>> _span(3), _span(100), _span(9000)
    ('3 s', '2 min', '2 h 30 min')
    """
    if seconds < 60:
        return f"{max(1, round(seconds))} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
