"""``reap.py FILE COMMAND...``: run a command, wait for it and for all that it leaves behind, and write what they cost.

Workers that a server of ``multiprocessing`` forked are nobody's children when the command ends; who asks the system
for the command's CPU alone misses all that they did. A process of its own, and a small one: a child's peak begins
with its parent's, and it waits for children that aren't the caller's.
"""

import ctypes
import json
import os
import sys
import time

_SUBREAPER = 36  # PR_SET_CHILD_SUBREAPER (linux/prctl.h)
_PATIENCE = 60  # seconds for what is left behind


def main(told: str, command: list[str]) -> int:
    """Return the command's exit code, or 1 when something stays."""
    if ctypes.CDLL(None, use_errno=True).prctl(_SUBREAPER, 1, 0, 0, 0):
        sys.exit(f"prctl: {os.strerror(ctypes.get_errno())}")
    begin = time.perf_counter()
    first = os.posix_spawnp(command[0], command, os.environ)
    cpu, peak, wall, code = 0.0, 0, 0.0, 1
    while not wall or time.perf_counter() - begin - wall < _PATIENCE:
        try:
            pid, status, usage = os.wait4(-1, os.WNOHANG if wall else 0)
        except ChildProcessError:
            break
        if not pid:
            time.sleep(0.01)
            continue
        cpu, peak = cpu + usage.ru_utime + usage.ru_stime, max(peak, usage.ru_maxrss)
        if pid == first:
            wall, code = time.perf_counter() - begin, os.waitstatus_to_exitcode(status)
    else:
        sys.exit("processes stay behind")
    with open(told, "w", encoding="ascii") as stream:  # noqa: PTH123 -- pathlib would be a third of this process
        json.dump({"cpu": cpu, "wall": wall, "peak": peak / 1024}, stream)
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
