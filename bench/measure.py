"""A command → what its process and all that come of it cost, and what they made."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench import ROOT

_REAP = ROOT / "bench" / "reap.py"
SYNCS = "fsync,fdatasync,syncfs,sync,sync_file_range,msync"
"""Calls that wait for a disk."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One run of a command.

    Attributes
    ----------
    cpu, wall : float
        Seconds; user and system of all processes.
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
    if sys.platform != "linux":
        raise Failed("measured on Linux only: elsewhere what nobody waits for is not counted")
    told, trace = log.with_suffix(".json"), log.with_suffix(".syncs")
    if count_syncs:
        command = ["strace", "-f", "-qq", "-e", "signal=none", "-e", f"trace={SYNCS}", "-o", str(trace), *command]
    with log.open("wb") as said:
        done = subprocess.run(
            [sys.executable, "-I", "-S", str(_REAP), str(told), *command],
            stdin=subprocess.DEVNULL, stdout=said, stderr=said, env={**os.environ, **environment}, check=False,
        )  # fmt: skip
    if done.returncode:
        raise Failed(f"exit {done.returncode}: {_last_line(log)}")
    cost = json.loads(told.read_text(encoding="ascii"))
    calls = trace.read_text(encoding="utf-8").splitlines() if count_syncs else []
    syncs = sum("(" in line and "resumed>" not in line for line in calls) if count_syncs else None
    return Sample(**cost, size=0, syncs=syncs)


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
