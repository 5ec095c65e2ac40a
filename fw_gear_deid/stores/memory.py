"""A store in memory, for tests of whatever works on the ports."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import ClassVar

from fw_gear_deid.model.container import ContainerRecord
from fw_gear_deid.model.frozen import frozen
from fw_gear_deid.model.ports import LEVELS, Branch, Destination, Identity, Item, Spot, Standing, Upload, Wanted


@frozen
class MemorySource:
    """Files by path ``SUBJECT/SESSION/ACQUISITION/FILE``."""

    keeps_subjects: ClassVar[bool] = True

    files: dict[str, bytes]

    def items(self) -> Iterator[Item]:
        """Yield the files in the order of their paths."""
        for path, data in sorted(self.files.items()):
            parts = path.split("/")
            keys = tuple("/".join(parts[:depth]) for depth in range(1, len(parts)))
            yield Item(path, parts[-1], keys, False, sha256(data).hexdigest(), len(data))

    def containers(self, items: Sequence[Item]) -> list[Branch]:
        """Return the containers that the paths name."""
        found: dict[str, Branch] = {}
        for item in items:
            labels = tuple(key.rpartition("/")[2] for key in item.containers)
            for depth, key in enumerate(item.containers):
                record = ContainerRecord(LEVELS[depth], key, labels[depth], {"label": labels[depth]}, {})
                found.setdefault(key, Branch(record, item.containers[: depth + 1], labels[: depth + 1]))
        return list(found.values())

    def place(self, item: Item) -> str:
        """Return the path."""
        return item.id

    def pin(self, item: Item) -> str:
        """Return the digest of the bytes."""
        return item.version

    def fetch(self, item: Item, workspace: Path) -> Path:
        """Write a file's bytes below the workspace."""
        if item.id not in self.files:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
        workspace.mkdir(mode=0o700, exist_ok=True)
        target = workspace / "file"
        target.write_bytes(self.files[item.id])
        return target

    def is_still(self, item: Item, fetched: Path) -> bool:
        """Return true: it was brought."""
        return True

    def witnesses(self) -> Iterator[Item]:
        """Yield nothing: everything there is has been listed."""
        return iter(())

    def origin(self, *parts: str) -> str:
        """Return a digest, as a platform's source does."""
        return sha256("".join(parts).encode()).hexdigest()


@dataclass(slots=True)
class MemorySink:
    """Files by path, with what travelled along."""

    files: dict[str, bytes] = field(default_factory=dict)
    uploads: dict[str, Upload] = field(default_factory=dict)
    containers: list[tuple[Wanted, ...]] = field(default_factory=list)

    places: dict[str, tuple[Wanted, ...]] = field(default_factory=dict)
    remembers: bool = True
    apart: frozenset[str] = frozenset()

    def prepare(self, containers: Sequence[tuple[Wanted, ...]]) -> None:
        """Do nothing: containers are labels."""

    def earlier(self, origin: str, older: str = "") -> Sequence[Standing]:
        """Return the files that carry an origin."""
        return [one for one in self.standing() if one.origin and one.origin in (origin, older)]

    def standing(self) -> Iterator[Standing]:
        """Yield all that was put."""
        for path, upload in list(self.uploads.items()):
            yield Standing(
                path, self.places[path], path.rpartition("/")[2], upload.origin, upload.version, upload.root,
                upload.fingerprint, upload.size, len(self.files[path]) == upload.size, upload.log,
                Spot(path.rpartition("/")[0], path, sha256(self.files[path]).hexdigest()),
            )  # fmt: skip

    def remove(self, standing: Standing) -> None:
        """Forget a file."""
        self._forget(standing.key)

    @property
    def identity(self) -> Identity:
        """Nothing but a name: it ends with its process."""
        return Identity("memory")

    def claim(self, identity: Identity) -> None:
        """Do nothing."""

    def stood(self, destination: Destination) -> str:
        """Return the digest of what stands there."""
        return self.digest(destination) if self.exists(destination) else ""

    def spot(self, destination: Destination) -> Spot:
        """Return the path."""
        return Spot(destination.path.rpartition("/")[0], destination.path, self.stood(destination))

    def digest(self, destination: Destination) -> str:
        """Return the SHA-256 of what stands there."""
        return sha256(self.files[destination.path]).hexdigest()

    def exists(self, destination: Destination) -> bool:
        """Tell whether a file stands at a path."""
        return destination.path in self.files

    def put(self, result: Path, destination: Destination, upload: Upload, *, replace: bool) -> None:
        """Keep a result."""
        if destination.path in self.files and not replace:
            raise FileExistsError(destination.path)
        self.files[destination.path] = result.read_bytes()
        self.uploads[destination.path] = upload
        self.places[destination.path] = destination.containers
        for one in self.earlier(upload.origin):
            if one.key != destination.path:
                self.remove(one)

    def settle(self, containers: tuple[Wanted, ...]) -> None:
        """Do nothing: it ends with its process."""

    def withdraw(self, destination: Destination) -> None:
        """Forget a result."""
        self._forget(destination.path)

    def _forget(self, path: str) -> None:
        self.files.pop(path, None)
        self.uploads.pop(path, None)

    def finish(self, containers: Sequence[tuple[Wanted, ...]]) -> None:
        """Remember which containers were asked for."""
        self.containers += [chain for chain in containers if chain not in self.containers]
