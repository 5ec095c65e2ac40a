"""Files that the caller leaves out, by name or by subject (interfaces §1: ``--include --exclude --only``)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase

from fw_gear_deid.model.errors import UsageError
from fw_gear_deid.model.frozen import frozen
from fw_gear_deid.model.portable import same_name_key
from fw_gear_deid.model.ports import Branch, Item

BY_ONLY = "excluded by --only"


@frozen
class Sieve:
    """Which files take part.

    Attributes
    ----------
    include, exclude : tuple of str
        Patterns (``* ? [..]``) for a file's base name, its path below SOURCE, or a folder on the way to it; case and
        Unicode form do not count.
    only : tuple of str
        First folders of the source, or labels of its subjects.
    """

    include: tuple[str, ...]
    exclude: tuple[str, ...]
    only: tuple[str, ...]

    def sift(self, items: Iterable[Item], branches: Sequence[Branch]) -> list[Item]:
        """Mark what is left out: every file keeps its row.

        Raises
        ------
        UsageError
            A subject of ``only`` that the source does not have.
        """
        labels = {branch.record.id: branch.labels for branch in branches}
        paths = [(item, _path(item, labels)) for item in items]
        missing = set(self.only) - {path[0] for _, path in paths if len(path) > 1}
        if missing:
            raise UsageError(f"--only: SOURCE has no first folder or subject of {len(missing)} of the names given")
        return [
            replace(item, problem=reason, problem_state="skipped") if (reason := self._reason(path)) else item
            for item, path in paths
        ]

    def _reason(self, path: Path) -> str:
        if self.only and (len(path) < 2 or path[0] not in self.only):
            return BY_ONLY
        if self.include and not any(_matches(path, pattern) for pattern in self.include):
            return "excluded: no --include pattern matches"
        if any(_matches(path, pattern) for pattern in self.exclude):
            return "excluded by --exclude"
        return ""


Path = tuple[str, ...]


def _path(item: Item, labels: Mapping[str, Path]) -> Path:
    """Return a file's place as a person sees it: folders, or labels of a platform's containers, and its name."""
    if item.containers and item.containers[-1] in labels:
        return (*labels[item.containers[-1]], item.name)
    return tuple(item.id.split("/"))


def _matches(path: Path, pattern: str) -> bool:
    wanted = same_name_key(pattern).rstrip("/")
    heads = ("/".join(path[:depth]) for depth in range(1, len(path) + 1))
    return any(fnmatchcase(same_name_key(text), wanted) for text in (*path, *heads))
