"""Identifiers and secrets that tests plant, and everything that the program says: no test passes in which the two meet.

``tests/conftest.py`` looks after each test. What is said is the text of every error that is raised on purpose; output
and logs; reports but for those in ``private``; names at the destination. A test that shows values on purpose has the
mark ``clear``.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from fw_gear_deid.sample import MARKER
from fw_gear_deid.sample.canaries import IDEOGRAPHIC, PHONETIC

KEY = "a key of these tests, and of no others"
PLANTED = (
    MARKER, IDEOGRAPHIC, PHONETIC, "CANARY", "MEADOWSWEET", "PLANTED", KEY, "a secret of these tests", "0123456789abcdef",
)  # fmt: skip
_ANY = re.compile("|".join((*map(re.escape, PLANTED), r"__force_insecure:[0-9A-Za-z]+")))
_REPORTS = frozenset({"audit.csv", "files.csv", "summary.json"})
_KEPT = frozenset({"private", "in", "ledger", ".work", "work", "input"})
"""Folders of what nobody hands on, and of sources."""
_found: list[str] = []


def begin() -> None:
    """Forget what was found before."""
    _found.clear()


def say(where: str, text: str) -> None:
    """Note what the program says somewhere, if it tells what it must not."""
    if match := _ANY.search(text):
        line = text[text.rfind("\n", 0, match.start()) + 1 :].partition("\n")[0]
        _found.append(f"{where}: {line[:300]!r}")


def names(where: str, listed: Iterable[str]) -> None:
    """Note names that stand at a destination."""
    say(where, "\n".join(listed))


def found(folder: Path | None) -> list[str]:
    """Return what was told of what was planted, reports below a folder and names in its ``out`` among it."""
    for path in _reports(folder) if folder is not None else ():
        say(path.name, path.read_text(encoding="utf-8", errors="replace"))
    for out in folder.glob("out*") if folder is not None else ():
        if out.is_dir() and not out.name.endswith("report"):
            names("a name at the destination", (str(path.relative_to(out)) for path in out.rglob("*")))
    return list(_found)


def _reports(folder: Path) -> Iterator[Path]:
    for here, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if name not in _KEPT]
        yield from (Path(here, name) for name in files if name in _REPORTS or name.endswith(".log"))
