"""Where files come from and go to: the ports that every store implements."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Item:
    """One source file.

    Attributes
    ----------
    id : str
        How the source is named in ``files.csv``: a relative path, or the ids of a platform.
    name : str
        Base name.
    labels : tuple of str
        Subject, session and acquisition at the source; empty when the file is not in such a tree.
    version : str
        Changes when the content does.
    size : int
        Bytes.
    problem : str
        Why it cannot be read, found while listing; empty when it can.
    """

    id: str
    name: str
    labels: tuple[str, ...]
    version: str
    size: int
    problem: str = field(default="")


class Source(Protocol):
    """Lists files and hands out their bytes; never changes anything. Picklable: workers fetch for themselves."""

    def items(self) -> Iterator[Item]:
        """Yield every file once, in a stable order."""
        ...

    def fetch(self, item: Item, workspace: Path) -> Path:
        """Return a local path of a file's bytes, below ``workspace`` if they had to be brought.

        Raises
        ------
        OSError
            The bytes cannot be had.
        """
        ...


class Sink(Protocol):
    """Takes results. The parent process alone writes."""

    def exists(self, destination: str) -> bool:
        """Tell whether a file stands at ``SUBJECT/SESSION/ACQUISITION/FILE``."""
        ...

    def put(self, result: Path, destination: str, *, replace: bool) -> None:
        """Move a whole, verified result to its place; afterwards it is there entirely or not at all.

        Raises
        ------
        FileExistsError
            Something is there and ``replace`` is false.
        OSError
            It cannot be written.
        """
        ...

    def withdraw(self, destination: str) -> None:
        """Take back a file that this program put there."""
        ...
