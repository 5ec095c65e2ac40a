"""The machine and the limits of this process → how many workers it may keep busy."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

MOST_WORKERS = 61 if os.name == "nt" else 1_000_000
"""What one process can wait for: Windows' limit (WaitForMultipleObjects, as concurrent.futures has it)."""
_PROCESS = Path("/proc/self/cgroup")
_MOUNT = Path("/sys/fs/cgroup")


def usable_cores() -> int:
    """Return the number of cores that this process may use: those of the machine, its affinity, its quota."""
    counts: list[int | None] = [os.cpu_count()]
    if hasattr(os, "process_cpu_count"):  # from Python 3.13
        counts.append(os.process_cpu_count())
    if hasattr(os, "sched_getaffinity"):
        counts.append(len(os.sched_getaffinity(0)))
    counts.append(quota(_PROCESS, _MOUNT))
    return max(1, min(count for count in counts if count is not None)) if any(counts) else 1


def quota(process: Path, mount: Path) -> int | None:
    """Return the cores that control groups grant, rounded up; None without a limit.

    Parameters
    ----------
    process : Path
        The groups of this process (``/proc/self/cgroup``).
    mount : Path
        Where the groups are mounted.

    Notes
    -----
    Version 2 has ``cpu.max`` with quota and period, version 1 a file for each (Linux: admin-guide/cgroup-v2,
    scheduler/sched-bwc). The limit of every group above counts, too; a container may see its own group at the top.
    """
    try:
        groups = process.read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    limits: list[float] = []
    for group in groups:
        number, controllers, path = (*group.split(":", 2), "", "")[:3]
        if number == "0":
            limits += _limits(mount, path, "cpu.max", None)
        elif "cpu" in controllers.split(","):
            for name in (controllers, "cpu"):
                limits += _limits(mount / name, path, "cpu.cfs_quota_us", "cpu.cfs_period_us")
    return math.ceil(min(limits)) if limits else None


def _limits(top: Path, path: str, quota_name: str, period_name: str | None) -> Iterator[float]:
    inner = PurePosixPath(path.lstrip("/"))
    for group in (inner, *inner.parents):
        try:
            words = (top / group / quota_name).read_text(encoding="ascii").split()
            if period_name is not None:
                words += (top / group / period_name).read_text(encoding="ascii").split()
            granted, period = (int(word) for word in words)
        except (OSError, ValueError):  # no such group here, or "max"
            continue
        if granted > 0 and period > 0:
            yield granted / period
