"""What each process is at, noted in the workspace: a killed run leaves it there, and the next one does such files last.

A note is one short write into a file that stays open; nothing is synced, since a kill takes nothing from the system's
memory.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Collection
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from fw_gear_deid.runner.workers import Settings, Task
from fw_gear_deid.system import private

Out = TypeVar("Out")
TOOK_TOO_MUCH = "took too much: "
"""Begins the reason of a file that its worker did not survive."""
_NAME = "at-"
_LENGTH = 8  # digits that tell how long the rest is


class Marks:
    """The notes of one process.

    Parameters
    ----------
    settings : Settings
        Nothing is noted unless they say so.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._file = -1

    def carry_out(self, work: Callable[[Settings, Task], Out], task: Task) -> Out:
        """Do some work; while it lasts, a note tells which file it is about."""
        if not self._settings.marks:
            return work(self._settings, task)
        if self._file < 0:
            self._file = private.create_anew(self._settings.workspace / f"{_NAME}{os.getpid()}")
        _write(self._file, [task.items[0].id])
        try:
            return work(self._settings, task)
        finally:
            _write(self._file, [])

    def close(self) -> None:
        """Note nothing more."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1


def left(workspace: Path) -> frozenset[str]:
    """Return the files that the processes of a killed run were at; none where it ended by itself."""
    found: set[str] = set()
    for path in workspace.glob(f"{_NAME}*"):
        with suppress(OSError, ValueError, TypeError):  # half a note says nothing
            data = path.read_bytes()
            found |= {str(name) for name in json.loads(data[_LENGTH : _LENGTH + int(data[:_LENGTH])])}
    return frozenset(found)


def carry(workspace: Path, names: Collection[str]) -> None:
    """Let the notes of a killed run outlive the next one, should that be killed before it comes to these files."""
    if names:
        handle = private.create(workspace / f"{_NAME}before")
        _write(handle, sorted(names))
        os.close(handle)


def _write(handle: int, names: list[str]) -> None:
    data = json.dumps(names).encode()
    os.lseek(handle, 0, os.SEEK_SET)
    os.write(handle, b"%0*d" % (_LENGTH, len(data)) + data)
