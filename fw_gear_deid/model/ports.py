"""Where files come from and go to: the ports that every store implements."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import field
from pathlib import Path
from typing import Protocol

from fw_gear_deid.model.container import ContainerRecord
from fw_gear_deid.model.frozen import frozen

LEVELS = ("subject", "session", "acquisition")
"""Container levels below a project, outermost first."""


@frozen
class Item:
    """One source file.

    Attributes
    ----------
    id : str
        How the source is named in ``files.csv``: a relative path, or the ids of a platform.
    name : str
        Base name.
    containers : tuple of str
        Keys of the containers that hold it, outermost first: up to subject, session and acquisition.
    loose : bool
        It stands in no such tree; its header has to say where it belongs.
    version : str
        Changes when the content does.
    size : int
        Bytes.
    problem : str
        Why it cannot be read, found while listing; empty when it can.
    fields : mapping
        The platform's metadata of the file, when the profile asks for it.
    """

    id: str
    name: str
    containers: tuple[str, ...]
    loose: bool
    version: str
    size: int
    problem: str = ""
    fields: Mapping[str, object] = field(default_factory=dict)
    kind: str = ""
    """The platform's type of the file, such as ``dicom``."""
    problem_state: str = "refused"
    """What a problem makes of it: ``refused``, ``failed`` (the machine's fault) or ``skipped`` (nobody's data)."""
    key: str = ""
    """What a platform knows the file by, wherever it is moved to; empty: ``id``."""
    header: Mapping[str, object] = field(default_factory=dict)
    """What the platform has noted of its DICOM header, by keyword."""
    digest: str = ""
    """The platform's digest of its bytes."""


@frozen
class Wanted:
    """A container at the destination.

    Attributes
    ----------
    level : str
    label : str
    origin : str
        Stands for the source container without telling it; empty where there is none.
    fields : mapping
        De-identified metadata, without the label.
    """

    level: str
    label: str
    origin: str = ""
    fields: Mapping[str, object] = field(default_factory=dict)


@frozen
class Destination:
    """Where a result goes: its containers from the outside in, and its name."""

    containers: tuple[Wanted, ...]
    name: str

    @property
    def path(self) -> str:
        """``SUBJECT/SESSION/ACQUISITION/FILE``."""
        return "/".join((*(one.label for one in self.containers), self.name))


@frozen
class Upload:
    """What travels with a result.

    Attributes
    ----------
    origin : str
        Stands for the source file, whichever its version, without telling it; empty where there is none.
    version : str
        Stands for the version of the source file.
    root : str
        Stands for the source as a whole, such as a project.
    fingerprint : str
        Profile, key, options and results number.
    members : int
    sha256 : str
    size : int
    fields : mapping
        De-identified metadata of the file: type, modality, classification, tags, info.
    """

    origin: str
    fingerprint: str
    members: int
    sha256: str
    size: int
    fields: Mapping[str, object] = field(default_factory=dict)
    kind: str = ""
    """The platform's type of the file, such as ``dicom``."""
    version: str = ""
    root: str = ""
    older: str = ""
    """What the previous release wrote for the origin of this file and version."""
    renews: bool = False
    """The ledger knows what stands under the name: made of the same source, and as it was put there."""
    log: str = ""
    """Id of its entry in the de-identification log: UUID, dashed, lower case; empty where none is kept."""


@frozen
class Spot:
    """A place at the destination as the store itself knows it.

    Attributes
    ----------
    container : str
        Id; of folders, and where there is none yet, labels joined by ``/``.
    file : str
        Id; of folders the path; the name where it does not stand yet.
    version : str
        Of what stands there; empty for nothing.
    """

    container: str
    file: str
    version: str = ""


@frozen
class Standing:
    """A file at the destination that a run of this program put there, as the store itself knows it.

    Attributes
    ----------
    key : str
        What the store knows the file by.
    containers : tuple of Wanted
        Where it stands: labels and origins, from the outside in.
    name : str
    origin, version, root, fingerprint : str
        What it was made of, as in ``Upload``; ``version`` and ``root`` are empty where an older release wrote it.
    size : int
    whole : bool
        It is as long as what was sent.
    """

    key: str
    containers: tuple[Wanted, ...]
    name: str
    origin: str
    version: str
    root: str
    fingerprint: str
    size: int
    whole: bool = True
    log: str = ""
    """Id of its entry in the de-identification log."""
    spot: Spot | None = None

    @property
    def path(self) -> str:
        """``SUBJECT/SESSION/ACQUISITION/FILE``."""
        return "/".join((*(one.label for one in self.containers), self.name))

    def belongs(self, chain: Sequence[Wanted]) -> bool:
        """Tell whether it stands in the containers that it belongs in: by origin, by label where one has none."""
        return len(self.containers) == len(chain) and all(map(_is, self.containers, chain))


def _is(there: Wanted, wanted: Wanted) -> bool:
    if there.origin and wanted.origin:
        # subjects of one label are one container: a mapping has joined them
        return there.origin == wanted.origin or (there.level == "subject" and there.label == wanted.label)
    return not wanted.label or there.label == wanted.label


@frozen
class Branch:
    """A source container and the way to it.

    Attributes
    ----------
    record : ContainerRecord
    keys : tuple of str
        Keys from the subject down to this container; the last is the record's id.
    labels : tuple of str
        Their labels at the source.
    """

    record: ContainerRecord
    keys: tuple[str, ...]
    labels: tuple[str, ...]
    prefix: str = ""
    """What its label begins with at the destination, too: of a folder in the layout of BIDS."""
    fixed: bool = False
    """Its label is a word of the layout, and stays."""


@frozen
class Identity:
    """What a destination tells of itself.

    Attributes
    ----------
    id : str
        What tells it from others; empty when this program never wrote to it.
    keys : tuple of str
        Fingerprints of the keys its files were made with, the latest last.
    """

    id: str = ""
    keys: tuple[str, ...] = ()


class Source(Protocol):
    """Lists files and hands out their bytes; never changes anything. Picklable: workers fetch for themselves.

    Attributes
    ----------
    keeps_subjects : bool
        Its subject containers say who a patient is, as a platform's do; folders are only somebody's names.
    """

    @property
    def keeps_subjects(self) -> bool:
        """As above."""
        ...

    def containers(self, items: Sequence[Item]) -> Sequence[Branch]:
        """Return the containers below the project, every one after the one that holds it.

        Parameters
        ----------
        items : sequence of Item
            What ``items`` has listed: a source is listed once.
        """
        ...

    def items(self) -> Iterator[Item]:
        """Yield every file once, in a stable order."""
        ...

    def witnesses(self) -> Iterator[Item]:
        """Yield files that the source does not list, and that tell who the subjects of the listed ones are."""

    def place(self, item: Item) -> str:
        """Return where a file lies, whichever part of the source a run starts from."""
        ...

    def pin(self, item: Item) -> str:
        """Return what changes with the content of a file, from a cheap look at it: a version for ``Item.version``.

        Raises
        ------
        OSError
        """
        ...

    def fetch(self, item: Item, workspace: Path) -> Path:
        """Return a local path of a file's bytes, below ``workspace`` if they had to be brought, which is made for them.

        Raises
        ------
        OSError
            The bytes cannot be had.
        """
        ...

    def is_still(self, item: Item, fetched: Path) -> bool:
        """Tell whether a file is what it was when it was fetched: one that was brought is."""
        ...

    def origin(self, *parts: str) -> str:
        """Return what stands for a container or file of this source at the destination, empty without a platform."""
        ...


class Sink(Protocol):
    """Takes results. The parent process alone writes."""

    @property
    def remembers(self) -> bool:
        """Whether the store itself keeps what its files were made of."""
        ...

    @property
    def apart(self) -> frozenset[str]:
        """Levels at which two containers of one label are told apart by their origins."""
        ...

    def prepare(self, containers: Sequence[tuple[Wanted, ...]]) -> None:
        """Learn which containers the run wants, before anything is written."""
        ...

    def earlier(self, origin: str, older: str = "") -> Sequence[Standing]:
        """Return what was made of a source file, wherever it stands; empty where the store does not know.

        Parameters
        ----------
        origin : str
            Of the source file.
        older : str
            What the previous release wrote for this file and version.
        """
        ...

    def standing(self) -> Iterator[Standing]:
        """Yield everything that the store knows this program to have put there, of whatever source."""
        ...

    def remove(self, standing: Standing) -> None:
        """Take back one of ``earlier`` or ``standing``.

        Raises
        ------
        OSError
            It is still there.
        """
        ...

    @property
    def identity(self) -> Identity:
        """What the destination tells of itself."""
        ...

    def claim(self, identity: Identity) -> None:
        """Let the destination tell who wrote to it; called before the first file is put.

        Raises
        ------
        OSError
        """
        ...

    def stood(self, destination: Destination) -> str:
        """Return what changes when the file at a destination does, empty when nothing stands there.

        Raises
        ------
        OSError
        """
        ...

    def digest(self, destination: Destination) -> str:
        """Return the SHA-256 of what stands at a destination, empty where the store does not tell.

        Raises
        ------
        OSError
        """
        ...

    def exists(self, destination: Destination) -> bool:
        """Tell whether a file of this name stands at the destination."""
        ...

    def spot(self, destination: Destination) -> Spot:
        """Return where a file stands, or is meant to.

        Raises
        ------
        OSError
        """
        ...

    def settle(self, containers: tuple[Wanted, ...]) -> None:
        """Bring to the disk that what was put into containers stands there.

        Raises
        ------
        OSError
            It may not last.
        """
        ...

    def put(self, result: Path, destination: Destination, upload: Upload, *, replace: bool) -> None:
        """Bring a whole, verified result to its place; afterwards it is there entirely or not at all.

        Where the store remembers, other files of the same origin leave once the new one is verified.

        Raises
        ------
        FileExistsError
            Something is there and ``replace`` is false, or it was made of another source.
        OSError
            It cannot be written, or what arrived is not what was sent.
        StopRun
            The destination takes nothing more.
        """
        ...

    def withdraw(self, destination: Destination) -> None:
        """Take back a file that this program put somewhere.

        Raises
        ------
        OSError
            It is still there.
        """
        ...

    def finish(self, containers: Sequence[tuple[Wanted, ...]]) -> None:
        """Bring containers to the destination that hold no files, and up to date those that do.

        Raises
        ------
        OSError
        """
        ...
