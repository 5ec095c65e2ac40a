"""A folder ⇄ items and results."""

from __future__ import annotations

import errno
import os
import re
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from hashlib import file_digest, sha256
from itertools import accumulate
from pathlib import Path
from typing import ClassVar

from fw_gear_deid.model import bids
from fw_gear_deid.model.container import ContainerRecord
from fw_gear_deid.model.errors import UsageError
from fw_gear_deid.model.frozen import frozen
from fw_gear_deid.model.litter import litter_folder, litter_of
from fw_gear_deid.model.ports import LEVELS, Branch, Destination, Identity, Item, Spot, Standing, Upload, Wanted
from fw_gear_deid.system.real import below
from fw_gear_deid.system.root import Root
from fw_gear_deid.system.sync import sync_folder

TREE_DEPTH = 4  # SUBJECT/SESSION/ACQUISITION/FILE
_END = 64 << 10  # bytes
_SUBJECTS = 20  # folders that tell what the others are like
_IDENTITY = ".fw-gear-deid"  # of a destination: which ledger it belongs to, and which key it was made with
CHANGED = "it changed while the run was at it"
_NOTE = re.compile(r"[0-9a-f]+(\.[0-9a-f]+)*")
_KEYS = 12  # that one name has room for
_LEAVES = "a link that leaves the source folder is not followed"


@dataclass(frozen=True, slots=True)
class FolderSource:
    """A tree ``SUBJECT/SESSION/ACQUISITION/FILE``, any folder of files, or one file. Only ever read."""

    keeps_subjects: ClassVar[bool] = False

    root: Path
    _top: str = field(init=False, repr=False)
    _below: str = field(init=False, repr=False)
    _alone: bool = field(init=False, repr=False)
    _bids: bool = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Find out where it truly lies, and whether it is one file, once for all that is asked of it."""
        object.__setattr__(self, "_top", os.path.realpath(self.root))
        object.__setattr__(self, "_below", os.path.join(self._top, ""))  # noqa: PTH118 -- with a separator at its end
        object.__setattr__(self, "_alone", self.root.is_file())
        object.__setattr__(self, "_bids", not self._alone and _is_dataset(self.root))

    def items(self) -> Iterator[Item]:
        """Yield regular files in the order of their paths; links that leave the folder are not followed.

        A link to a folder of this source is none to follow either: what it leads to is listed where it lies.
        """
        if self._alone:
            yield self._item(self.root, self.root.name)
            return
        way = [("", self._entries(self.root, ""))]  # folders on the way down: a tree may be deeper than calls may nest
        while way:
            above, entries = way[-1]
            entry = next(entries, None)
            if entry is None:
                way.pop()
            elif isinstance(entry, Item):
                yield entry
            elif not _is_link(entry):
                if entry.is_dir(follow_symlinks=False):
                    name = above + entry.name
                    way.append((f"{name}/", self._entries(Path(entry.path), name)))
                else:
                    yield self._item(entry, above + entry.name)
            elif not _real(Path(entry.path)).is_relative_to(self._top):
                yield self._problem(above + entry.name, _LEAVES, "refused")
            elif not Path(entry.path).is_dir():
                yield self._item(entry, above + entry.name)

    def _entries(self, folder: Path, name: str) -> Iterator[os.DirEntry[str] | Item]:
        try:
            with os.scandir(folder) as entries:
                yield from sorted(entries, key=lambda entry: entry.name)
        except OSError as error:
            yield self._problem(name or ".", f"the folder cannot be read ({error.strerror})", "failed")

    @staticmethod
    def _problem(name: str, problem: str, state: str) -> Item:
        base = name.rpartition("/")[2]
        if litter := litter_of(name) or litter_folder(base):
            problem, state = f"other file: {litter}", "skipped"
        return Item(name, base, (), True, "", 0, problem, problem_state=state)

    def _item(self, path: Path | os.DirEntry[str], name: str) -> Item:
        if litter_of(name):  # what was thrown away, or is kept in other states: nobody asked for it
            return self._problem(name, "", "skipped")
        *folders, base = name.split("/")
        in_tree = len(folders) == TREE_DEPTH - 1
        if self._bids and (bids.depth(folders) or (not folders and bids.is_about_all(base))):
            in_tree = True
        keys = tuple(accumulate(folders, "{}/{}".format)) if in_tree else ()
        problem, state = "", "refused"
        version, size = "", 0
        try:
            status = path.stat()
            if stat.S_ISREG(status.st_mode):
                version, size = _version(status), status.st_size
            else:  # to open it could wait for ever, or do something
                problem, state = "other file: no regular file", "skipped"
        except OSError as error:
            problem, state = f"it cannot be read ({error.strerror})", "failed"
        return Item(name, base, keys, not in_tree, version, size, problem, problem_state=state)

    def containers(self, items: Sequence[Item]) -> list[Branch]:
        """Return the folders of the tree: a label each, and nothing else is known of them."""
        found: dict[str, Branch] = {}
        for item in items:
            if not item.containers or item.containers[-1] in found:
                continue
            labels = tuple(key.rpartition("/")[2] for key in item.containers)
            for depth, key in enumerate(item.containers):
                if key not in found:
                    found[key] = self._branch(item.containers[: depth + 1], labels[: depth + 1])
        return list(found.values())

    def _branch(self, keys: tuple[str, ...], labels: tuple[str, ...]) -> Branch:
        *above, label = labels
        levels = list(LEVELS[: len(labels)])
        is_datatype = self._bids and len(labels) > 1 and label in bids.DATATYPES
        if is_datatype:
            levels[-1] = LEVELS[-1]  # below the subject where there are no sessions
        parents = {level: {"label": one} for level, one in zip(levels[:-1], above, strict=True)}
        record = ContainerRecord(levels[-1], keys[-1], label, {"label": label}, parents)
        prefix = bids.prefix_of(label) if self._bids else ""
        return Branch(record, keys, labels, prefix, is_datatype)

    def witnesses(self) -> Iterator[Item]:
        """Yield nothing: everything there is has been listed."""
        return iter(())

    def origin(self, *parts: str) -> str:
        """Return nothing: a folder leaves no trace at the destination."""
        return ""

    def place(self, item: Item) -> str:
        """Return the path of a file, whichever folder on the way to it a run starts from."""
        return self._top if self._alone else self._below + item.id

    def pin(self, item: Item) -> str:
        """Return size, time, and a digest of the first and last 64 kB.

        Raises
        ------
        OSError
        """
        with self.fetch(item, Path()).open("rb") as stream:
            status = os.fstat(stream.fileno())
            ends = sha256(stream.read(_END))
            if status.st_size > _END:
                stream.seek(max(_END, status.st_size - _END))
                ends.update(stream.read(_END))
        return f"{_version(status)} {ends.hexdigest()[:24]}"

    def fetch(self, item: Item, workspace: Path) -> Path:
        """Return the path of the file itself: nothing is copied.

        Raises
        ------
        OSError
            It is gone, or no longer what was listed, be it a link out of the folder.
        """
        return Path(self._whole(item))

    def is_still(self, item: Item, fetched: Path) -> bool:
        """Tell whether size, time and real path are what they were."""
        try:
            return self._whole(item) == str(fetched)
        except OSError:
            return False

    def _whole(self, item: Item) -> str:
        """Return the real path of a file that is what was listed.

        Raises
        ------
        OSError
        """
        path = self._top if self._alone else below(self._below, item.id)
        if not (self._alone or path.startswith(self._below)):
            raise OSError(errno.ELOOP, f"{_LEAVES}; it was a file when it was listed")
        if _version(os.stat(path)).split() != item.version.split()[:2]:  # noqa: PTH116
            raise OSError(errno.ESTALE, CHANGED)
        return path


@frozen
class FolderSink:
    """A folder that receives ``SUBJECT/SESSION/ACQUISITION/FILE``."""

    root: Path

    @property
    def remembers(self) -> bool:
        """What a folder's files were made of stands in the ledger."""
        return False

    @property
    def apart(self) -> frozenset[str]:
        """Two folders of one name are one folder."""
        return frozenset()

    def prepare(self, containers: Sequence[tuple[Wanted, ...]]) -> None:
        """Do nothing: folders are made with their files."""

    def earlier(self, origin: str, older: str = "") -> Sequence[Standing]:
        """Return nothing: see ``remembers``."""
        return ()

    def standing(self) -> Iterator[Standing]:
        """Yield nothing: see ``remembers``."""
        return iter(())

    def remove(self, standing: Standing) -> None:
        """Remove a file."""
        Root(self.root).remove(standing.path.split("/"))

    @property
    def identity(self) -> Identity:
        """What its own note tells; nothing where this program never wrote.

        Raises
        ------
        UsageError
            The note is damaged.
        """
        try:
            text = Root(self.root).noted(_IDENTITY)
        except OSError as error:
            raise UsageError(f"{self.root / _IDENTITY}: cannot be read ({error.strerror})") from None
        if not text:
            return Identity()
        if not _NOTE.fullmatch(text):
            raise UsageError(
                f"{self.root / _IDENTITY}: damaged; it tells which key the files of DEST were made with. "
                "Bring it back, or choose another DEST"
            )
        id_, *keys = text.split(".")
        return Identity(id_, tuple(keys))

    def claim(self, identity: Identity) -> None:
        """Write the note.

        Raises
        ------
        OSError
        """
        self.root.mkdir(parents=True, exist_ok=True)
        Root(self.root).note(_IDENTITY, ".".join((identity.id, *identity.keys[-_KEYS:])))

    def exists(self, destination: Destination) -> bool:
        """Tell whether something stands at a destination."""
        return Root(self.root).exists(_parts(destination))

    def spot(self, destination: Destination) -> Spot:
        """Return the folders below this one, and the whole path."""
        parts = _parts(destination)
        return Spot("/".join(parts[:-1]), str(_real(self.root).joinpath(*parts)), self.stood(destination))

    def stood(self, destination: Destination) -> str:
        """Return size and time of what stands at a destination, empty when nothing does."""
        return Root(self.root).stood(_parts(destination))

    def digest(self, destination: Destination) -> str:
        """Return the SHA-256 of the file that stands at a destination, empty for a link or a folder."""
        stream = Root(self.root).open(_parts(destination))
        if stream is None:
            return ""
        with stream:
            return file_digest(stream, "sha256").hexdigest()

    def put(self, result: Path, destination: Destination, upload: Upload, *, replace: bool) -> None:
        """Move a result into place: a whole file under its final name, or nothing."""
        Root(self.root).place(result, _parts(destination), replace=replace)

    def settle(self, containers: tuple[Wanted, ...]) -> None:
        """Bring the names in a folder to the disk, as far as its file system can."""
        sync_folder(self.root.joinpath(*(one.label for one in containers)))

    def finish(self, containers: Sequence[tuple[Wanted, ...]]) -> None:
        """Do nothing: folders without files are not made."""

    def withdraw(self, destination: Destination) -> None:
        """Remove a file, and folders that are empty without it."""
        Root(self.root).remove(_parts(destination))


def _parts(destination: Destination) -> list[str]:
    return [*(one.label for one in destination.containers), destination.name]


def _is_dataset(folder: Path) -> bool:
    """Tell whether a folder is a dataset in the layout of BIDS: that of a subject in it says so."""
    try:
        with os.scandir(folder) as entries:
            subjects = sorted(Path(one) for one in entries if one.name.startswith(bids.SUBJECT) and one.is_dir())
        return any(bids.is_dataset(one.name, [below.name for below in one.iterdir()]) for one in subjects[:_SUBJECTS])
    except OSError:
        return False  # listing it tells what is wrong


def _real(path: Path) -> Path:
    return Path(os.path.realpath(path))  # Path.resolve raises at a link that leads to itself


def _is_link(entry: os.DirEntry[str]) -> bool:
    """Tell links, Windows' junctions among them (known from Python 3.12)."""
    return entry.is_symlink() or (hasattr(entry, "is_junction") and entry.is_junction())


def _version(status: os.stat_result) -> str:
    return f"{status.st_size} {status.st_mtime_ns}"
