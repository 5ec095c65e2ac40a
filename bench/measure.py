"""A command → what its process and those it waited for cost. Imports little: a child begins with its parent's peak."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

SYNCS = "fsync,fdatasync,syncfs,sync,sync_file_range,msync"
"""Calls that wait for a disk."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One run of a command.

    Attributes
    ----------
    cpu, wall : float
        Seconds; user and system of all processes that were waited for.
    peak : float
        MB of the largest process.
    size : float
        MB of what it made.
    syncs : int or None
        Calls that wait for a disk, where they were counted.
    """

    cpu: float
    wall: float
    peak: float
    size: float
    syncs: int | None = None


class Failed(Exception):
    """A command did not do its work."""


def run(command: Sequence[str], environment: Mapping[str, str], log: Path, *, count_syncs: bool = False) -> Sample:
    """Run a command to its end.

    Parameters
    ----------
    command : sequence of str
    environment : mapping
        Added to this process's.
    log : Path
        Receives what it says.
    count_syncs : bool
        Run it under ``strace``, whose CPU is then counted, too.
    """
    if sys.platform == "win32":
        raise Failed("measured on POSIX only")
    trace = log.with_suffix(".syncs")
    if count_syncs:
        command = ["strace", "-f", "-qq", "-e", "signal=none", "-e", f"trace={SYNCS}", "-o", str(trace), *command]
    with log.open("wb") as said:
        begin = time.perf_counter()
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=said, stderr=said, env={**os.environ, **environment}
        )
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - begin
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise Failed(f"exit {process.returncode}: {_last_line(log)}")
    syncs = sum("(" in line and "resumed>" not in line for line in trace.open()) if count_syncs else None
    peak = usage.ru_maxrss / (1 << 20 if sys.platform == "darwin" else 1 << 10)
    return Sample(usage.ru_utime + usage.ru_stime, wall, peak, 0, syncs)


def _last_line(log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").split("\n")
    return next((line.strip()[:100] for line in reversed(lines) if line.strip()), "it said nothing")


def result(path: Path) -> tuple[int, float]:
    """Return how many files and members of archives a command made, and their MB; hidden files are not results."""
    count, size = 0, 0
    files = [path] if path.is_file() else [one for one in path.rglob("*") if one.is_file()]
    for file in files:
        if file.name.startswith("."):
            continue
        size += file.stat().st_size
        if zipfile.is_zipfile(file):
            with zipfile.ZipFile(file) as opened:
                count += len(opened.namelist())
        else:
            count += 1
    return count, size / 1e6
