"""Fewer files than workers → large archives made by all of them, some members each."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import replace

from fw_gear_deid.runner.pool import Crew
from fw_gear_deid.runner.workers import Task, share

_WORTH = 128 << 20  # bytes; some two seconds of work, of which starting processes and joining take a part
_WORTH_SMALL = 16 << 20  # where they are deflated well, which takes ten times as long


def shared(crew: Crew, tasks: Sequence[Task], workers: int, *, small: bool) -> list[Task]:
    """Let workers that would have nothing to do make members beforehand; return the tasks, which know of it.

    Parameters
    ----------
    crew : Crew
    tasks : sequence of Task
        On files of this machine.
    workers : int
    small : bool
        Members are deflated well.
    """
    if len(tasks) >= workers:
        return list(tasks)
    size = _WORTH_SMALL if small else _WORTH
    told = [replace(task, shares=workers) if _is_worth(task, size) else task for task in tasks]
    parts = [replace(task, share=number) for task in told for number in range(task.shares)]
    if parts:
        deque(crew.run(share, parts, bool), maxlen=0)  # what is lost is made again, and told, by who joins
    return told


def _is_worth(task: Task, size: int) -> bool:
    item = task.items[0]
    return not task.series and not item.problem and item.size >= size and item.name.lower().endswith(".zip")
