"""What one source file may take, by name: real ones stay below, and bombs do not (docs/limits.md).

Who works on a file says how large it is, outermost, as it lies there; whatever is packed in it, in any depth, is judged
by that. All else asks ``now()``. Without a file at hand the defaults go for one of no size.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from types import MappingProxyType

from fw_gear_deid.model.errors import Beyond
from fw_gear_deid.model.frozen import frozen

_UNITS = {"": 1, "kb": 1 << 10, "mb": 1 << 20, "gb": 1 << 30}
_VALUE = re.compile(r"([0-9]{1,15})\s*([kmg]b|)", re.IGNORECASE)


@frozen
class Limit:
    """A row of the table.

    Attributes
    ----------
    default : int
    what : str
        What there may be no more of.
    each : int
        So many bytes of the outermost file allow one more; 0 where its size does not matter.
    unit : str
        ``bytes``, ``seconds`` or empty.
    """

    default: int
    what: str
    each: int = 0
    unit: str = ""


LIMITS = {
    "elements": Limit(500_000, "items of sequences, and elements, in one data set", 64),
    "inflated": Limit(64 << 20, "bytes of what is packed, beyond what ratio allows", unit="bytes"),
    "ratio": Limit(200, "bytes that come of each byte of what is packed"),
    "member": Limit(8 << 30, "bytes of a member of an archive", unit="bytes"),
    "members": Limit(100_000, "members of an archive", 1024),
    "inside": Limit(256 << 20, "bytes of an archive in an archive, which is held in memory", unit="bytes"),
    "depth": Limit(4, "archives in archives that are looked into"),
    "whole": Limit(0, "bytes of a file that is read whole; 0: what its format says", unit="bytes"),
    "values": Limit(300_000, "values of a JSON file, elements and attributes of an XML file"),
    "rows": Limit(200_000, "rows of a mapping, of a thousand bytes each"),
    "seconds": Limit(600, "seconds of work on one file", 1 << 20, "seconds"),
}
"""Name → limit: everything that a user may set. What a standard or the machine sets stands where it is used."""

Given = Mapping[str, int]
"""Name → value, of those that were set."""
NO_LIMITS: Given = MappingProxyType({})


def read(text: str) -> tuple[str, int]:
    """Return name and value of ``NAME=VALUE``; bytes may be written as ``64MB``.

    Raises
    ------
    ValueError
        Its text says what is wrong.

    >>> read("inflated=2GB"), read("elements = 1000000")
    (('inflated', 2147483648), ('elements', 1000000))
    """
    name, _, value = (part.strip() for part in text.partition("="))
    limit = LIMITS.get(name)
    if limit is None:
        raise ValueError(f"write NAME=VALUE; the names are {', '.join(LIMITS)}")
    found = _VALUE.fullmatch(value)
    if found is None or (found[2] and limit.unit != "bytes"):
        raise ValueError(f"{name}: write a whole number{', with kB, MB or GB if you like' * (limit.unit == 'bytes')}")
    return name, int(found[1]) * _UNITS[found[2].lower()]


def read_all(text: str) -> dict[str, int]:
    """Return what a text of several sets, with blanks or commas between them.

    Raises
    ------
    ValueError

    >>> read_all("ratio=300, inside=1GB")
    {'ratio': 300, 'inside': 1073741824}
    """
    return dict(read(one) for one in re.split(r"[\s,]+", text) if one)


class Budget:
    """What one source file may take.

    Parameters
    ----------
    given : mapping of str to int
    size : int, optional
        Bytes of the source file, outermost; None where nobody knows.

    Attributes
    ----------
    size : int
    """

    __slots__ = ("_began", "_given", "_seconds", "_size", "size")

    def __init__(self, given: Given, size: int | None = None) -> None:
        self._given = given
        self._size = size
        self.size = size or 0
        self._began = time.thread_time()
        self._seconds = self.most("seconds")

    def most(self, name: str) -> int:
        """Return what a limit allows for this file."""
        limit = LIMITS[name]
        more = self.size // limit.each if limit.each else 0
        return self._given.get(name, limit.default) + more

    def room(self, packed: int) -> int:
        """Return how many bytes packed ones can honestly hold, whatever they are packed in besides."""
        real = packed if self._size is None else min(packed, self._size)
        return self.most("inflated") + self.most("ratio") * real

    def check(self, name: str, number: int, where: str = "") -> None:
        """Make sure that a number is within a limit.

        Parameters
        ----------
        where : str
            Begins the message: ``member 3``.

        Raises
        ------
        Beyond
        """
        most = self.most(name)
        if number > most:
            raise beyond(name, most, where)

    def check_room(self, size: int, packed: int, where: str = "") -> None:
        """Make sure that bytes are no more than packed ones can honestly hold.

        Raises
        ------
        Beyond
        """
        most = self.room(packed)
        if size > most:
            raise beyond("inflated", most, where)

    def check_whole(self, size: int, most: int) -> None:
        """Make sure that a file is no larger than it may be to be read whole.

        Parameters
        ----------
        most : int
            Bytes that its format sets, where nobody sets others.

        Raises
        ------
        Beyond
        """
        most = self.most("whole") or most
        if size > most:
            raise beyond("whole", most)

    def tick(self) -> None:
        """Make sure that there is time left; to be called between steps.

        Raises
        ------
        Beyond
        """
        if time.thread_time() - self._began > self._seconds:
            raise beyond("seconds", self._seconds)


def beyond(name: str, most: int, where: str = "") -> Beyond:
    """Return what a file is refused by that goes beyond a limit."""
    limit = LIMITS[name]
    shown = f"{most >> 20} MB" if limit.unit == "bytes" and most >= 1 << 20 else f"{most} {limit.unit}".rstrip()
    place = f"{where}: " if where else ""
    return Beyond(
        f"{place}beyond the limit '{name}', {shown} here ({limit.what}); if it is real, --limit {name}=N allows more"
    )


_NOW: ContextVar[Budget | None] = ContextVar("budget", default=None)


def now() -> Budget:
    """Return the budget of the file at hand."""
    return _NOW.get() or Budget(NO_LIMITS)


@contextmanager
def within(given: Given, size: int) -> Iterator[Budget]:
    """Let a budget go for a source file as long as this lasts.

    Parameters
    ----------
    size : int
        Bytes of the file as it lies there.
    """
    budget = Budget(given, size)
    token = _NOW.set(budget)
    try:
        yield budget
    finally:
        _NOW.reset(token)
