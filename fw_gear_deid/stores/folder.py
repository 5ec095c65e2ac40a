"""A folder ⇄ items and results."""

from __future__ import annotations

import errno
import os
import shutil
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from fw_gear_deid.model.container import ContainerRecord
from fw_gear_deid.model.ports import LEVELS, Branch, Destination, Earlier, Item, Upload, Wanted

TREE_DEPTH = 4  # SUBJECT/SESSION/ACQUISITION/FILE


@dataclass(frozen=True, slots=True)
class FolderSource:
    """A tree ``SUBJECT/SESSION/ACQUISITION/FILE``, any folder of files, or one file. Only ever read."""

    root: Path

    def items(self) -> Iterator[Item]:
        """Yield regular files in the order of their paths; links that leave the folder are not followed."""
        if self.root.is_file():
            yield self._item(self.root, self.root.name)
            return
        top = _real(self.root)
        # folders on the way down, with what is left to visit in each: a tree may be deeper than calls may nest
        way: list[tuple[Path, Path, Iterator[os.DirEntry[str]]]] = []
        down: tuple[Path, Path] | None = (self.root, top)
        while way or down is not None:
            if down is not None:
                try:
                    entries = sorted(os.scandir(down[0]), key=lambda entry: entry.name)
                except OSError as error:
                    yield self._problem(down[0], f"the folder cannot be read ({error.strerror})")
                    entries = []
                way.append((*down, iter(entries)))
                down = None
            folder, real, left = way[-1]
            entry = next(left, None)
            if entry is None:
                way.pop()
                continue
            path = folder / entry.name
            real = _real(path) if entry.is_symlink() else real / entry.name
            if not real.is_relative_to(top):
                yield self._problem(path, "a link that leaves the source folder is not followed")
            elif not _is_folder(entry):
                yield self._item(path, path.relative_to(self.root).as_posix())
            elif not (entry.is_symlink() and any(real == above for _, above, _ in way)):
                down = (path, real)  # a link to a folder above would never end

    def _problem(self, path: Path, problem: str) -> Item:
        return Item(path.relative_to(self.root).as_posix(), path.name, (), True, "", 0, problem)

    def _item(self, path: Path, name: str) -> Item:
        parts = name.split("/")
        in_tree = len(parts) == TREE_DEPTH
        keys = tuple("/".join(parts[:depth]) for depth in range(1, TREE_DEPTH)) if in_tree else ()
        try:
            status = path.stat()
        except OSError as error:
            return Item(name, path.name, keys, not in_tree, "", 0, f"it cannot be read ({error.strerror})")
        if not stat.S_ISREG(status.st_mode):
            return Item(name, path.name, keys, not in_tree, "", 0, "it is no regular file")
        return Item(name, path.name, keys, not in_tree, f"{status.st_size} {status.st_mtime_ns}", status.st_size)

    def containers(self) -> list[Branch]:
        """Return the folders of the tree: a label each, and nothing else is known of them."""
        found: dict[str, Branch] = {}
        for item in self.items():
            labels = tuple(key.rpartition("/")[2] for key in item.containers)
            for depth, key in enumerate(item.containers):
                parents = {level: {"label": label} for level, label in zip(LEVELS[:depth], labels[:depth], strict=True)}
                record = ContainerRecord(LEVELS[depth], key, labels[depth], {"label": labels[depth]}, parents)
                found.setdefault(key, Branch(record, item.containers[: depth + 1], labels[: depth + 1]))
        return list(found.values())

    def origin(self, *parts: str) -> str:
        """Return nothing: a folder leaves no trace at the destination."""
        return ""

    def fetch(self, item: Item, workspace: Path) -> Path:
        """Return the path of the file itself: nothing is copied."""
        return self.root if self.root.is_file() else self.root / item.id


@dataclass(frozen=True, slots=True)
class FolderSink:
    """A folder that receives ``SUBJECT/SESSION/ACQUISITION/FILE``."""

    root: Path

    def earlier(self, containers: tuple[Wanted, ...], origin: str) -> Earlier | None:
        """Return nothing: what a folder's files were made of stands in the ledger."""
        return None

    def exists(self, destination: Destination) -> bool:
        """Tell whether something stands at a destination."""
        return os.path.lexists(self.root / destination.path)

    def put(self, result: Path, destination: Destination, upload: Upload, *, replace: bool) -> None:
        """Move a result into place: a whole file under its final name, or nothing."""
        target = self.root / destination.path
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            _place(result, target, replace=replace)
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
            partial = _partial(target)  # the workspace is on another file system
            try:
                shutil.copyfile(result, partial)
                _place(partial, target, replace=replace)
            finally:
                partial.unlink(missing_ok=True)
        _sync(target.parent)

    def finish(self, containers: Sequence[tuple[Wanted, ...]]) -> None:
        """Do nothing: folders without files are not made."""

    def withdraw(self, path: str) -> None:
        """Remove a file, and folders that are empty without it."""
        target = self.root / path
        target.unlink(missing_ok=True)
        _partial(target).unlink(missing_ok=True)
        for folder in list(target.parents)[: TREE_DEPTH - 1]:
            try:
                folder.rmdir()
            except FileNotFoundError:
                continue  # a run that was killed here came as far
            except OSError:
                break  # not empty: others live there


def _real(path: Path) -> Path:
    return Path(os.path.realpath(path))  # Path.resolve raises at a link that leads to itself


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False  # a link that leads to itself; its stat says so


def _partial(target: Path) -> Path:
    return target.with_name(f".{target.name}.partial")


_NO_LINKS = frozenset({errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK})


def _place(file: Path, target: Path, *, replace: bool) -> None:
    """Give a whole file its name on the same file system."""
    _sync(file)
    if replace:
        file.replace(target)
        return
    try:
        os.link(file, target)  # unlike replace, fails when something is there
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        if os.path.lexists(target):  # exFAT and some network file systems have no hard links
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST)) from None
        file.replace(target)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
