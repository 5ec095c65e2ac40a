"""What the de-identification log keeps of a released file, and the port that every log implements.

A file's entry is *reserved* before it is released, with everything that is known of it, and *confirmed* once it stands.
A run that is killed between the two leaves the entry reserved: with its planned place and SHA-256 the next run tells
whether the file is out. Texts here are identifiers: none of them belongs into a message.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import field
from typing import Protocol

from fw_gear_deid.model.frozen import frozen

KEYWORDS = (
    "AccessionNumber", "PatientBirthDate", "PatientID", "PatientName", "StudyInstanceUID", "StudyID", "StudyDate",
    "StudyTime", "StudyDateTime", "StudyDescription", "SeriesInstanceUID", "SeriesDate", "SeriesTime",
    "SeriesDateTime", "SeriesDescription", "TimezoneOffsetFromUTC",
)  # fmt: skip
"""What an entry can be looked up by: the platform's indexed fields, each a column of the table ``deid_log``."""
RESERVED, UPLOADED, FAILED, WITHDRAWN = "reserved", "uploaded", "failed", "withdrawn"
"""States of an entry: before its file is released, when it stands, when it never did, when it was taken back."""
UID, PATIENT = "uid", "patient"
"""Kinds of what the map keeps."""


@frozen
class Replaced:
    """A UID or patient id that became another one.

    Attributes
    ----------
    kind : str
        ``UID`` or ``PATIENT``.
    old, new : str
        ``new`` is empty where it was removed.
    """

    kind: str
    old: str = field(repr=False)
    new: str


@frozen
class Entry:
    """What is known of a file before it is released.

    Attributes
    ----------
    indexed : mapping
        Original values by the names of ``KEYWORDS``; those that are present.
    tags : str
        JSON text (an object) of what was changed: ``deidentified_tags``. It comes back as equal JSON, not as the same
        text: databases order names.
    replaced : tuple of Replaced
        Every UID and patient id that became another one; pairs may be given twice.
    run : str
        What tells this run from others.
    profile_name, profile_sha256 : str
    source_project, source_container, source_file, source_version, source_sha : str
        Platform: ids. Folders: real path of SOURCE, folders below it, path below it, version, SHA-256.
    dest_project, dest_container, dest_file, dest_sha : str
        Where it is meant to go: project id, or what tells the folder DEST from others; containers (ids where they are
        known, labels else, joined by ``/``); path or name; SHA-256 of the result.
    gear_version : str
    """

    indexed: Mapping[str, str] = field(repr=False)
    tags: str = field(repr=False)
    run: str
    replaced: tuple[Replaced, ...] = field(default=(), repr=False)
    profile_name: str = ""
    profile_sha256: str = ""
    source_project: str = field(default="", repr=False)
    source_container: str = field(default="", repr=False)
    source_file: str = field(default="", repr=False)
    source_version: str = ""
    source_sha: str = ""
    dest_project: str = ""
    dest_container: str = ""
    dest_file: str = ""
    dest_sha: str = ""
    gear_version: str = ""


@frozen
class Placed:
    """Where the file of an entry stands now.

    Attributes
    ----------
    id : str
        Of the entry.
    container, file, version, sha : str
        Platform: ids and version. Folders: folders below DEST, path, size and time. SHA-256 of what stands.
    """

    id: str
    container: str
    file: str
    version: str
    sha: str


@frozen
class Logged:
    """An entry as the log has it.

    Attributes
    ----------
    id : str
        UUID, dashed, lower case.
    timestamp : str
        When it was reserved: UTC, ISO 8601.
    state : str
        ``RESERVED``, ``UPLOADED``, ``FAILED`` or ``WITHDRAWN``.
    dest_version : str
        Empty until it is confirmed.
    entry : Entry
        ``replaced`` is empty: ask ``DeidLog.replaced``. ``tags`` is empty where many may be found: ask ``DeidLog.get``.
    sealed : bool
        The log is encrypted and was opened without its key: ``indexed`` and ``tags`` are empty, and of the source
        there are version and SHA-256.
    """

    id: str
    timestamp: str
    state: str
    dest_version: str
    entry: Entry
    sealed: bool = False


@frozen
class Look:
    """A line of the trail: who looked something up.

    Attributes
    ----------
    who : str
        Login name, or a platform's user id.
    reason : str
        Empty where none was asked for: no originals were shown.
    command : str
        What was done and by which keywords, such as ``find PatientName``; no values.
    ids : tuple of str
        Entries that were found; empty when none was, ``*`` for all.
    timestamp : str
        UTC, ISO 8601; the log fills it in.
    """

    who: str
    reason: str
    command: str
    ids: tuple[str, ...]
    timestamp: str = ""


class DeidLog(Protocol):
    """A de-identification log. The parent process alone has one; many processes may write to the same.

    Every method raises ``LogDown`` when the log cannot be reached or does not take it; what returned, lasts.
    """

    @property
    def readable(self) -> bool:
        """Whether entries can be looked up, confirmed and reconciled here; a site's service only takes them."""
        ...

    def probe(self) -> None:
        """Make sure that entries can be written: connection, schema, key, a row that is rolled back."""
        ...

    def reserve(self, entries: Sequence[Entry]) -> list[str]:
        """Write entries with what they replaced, all or none, and return their ids in order.

        An id is a UUID, dashed, lower case, as a file's metadata has it. They are committed when this returns.
        """
        ...

    def confirm(self, placed: Sequence[Placed]) -> None:
        """Note that the files of entries stand."""
        ...

    def fail(self, ids: Sequence[str], state: str = FAILED) -> None:
        """Note that the files of entries never stood, or (``WITHDRAWN``) stand no more."""
        ...

    def reserved(self, dest_project: str) -> list[Logged]:
        """Return what is reserved for a destination, by whichever run: one that was killed, or one that goes on."""
        ...

    def standing(self, dest_project: str) -> Iterable[tuple[str, str, str]]:
        """Return container, file (as in ``Placed``) and SHA-256 of all that stand at a destination."""
        ...

    def find(self, wanted: Mapping[str, str]) -> list[Logged]:
        """Return the entries that have all these values, exactly, in order of time; all entries for none.

        Parameters
        ----------
        wanted : mapping
            Values by the names of ``KEYWORDS``.
        """
        ...

    def get(self, id: str) -> Logged | None:
        """Return the entry of an id in any spelling, with its tags; None where there is none.

        Raises
        ------
        ValueError
            It is no id.
        """
        ...

    def find_file(self, name: str, sha: str = "") -> list[Logged]:
        """Return the entries of released files by id or path at the destination, else by SHA-256; the latest last.

        With their tags: these are few.
        """
        ...

    def of_subject(self, subject: str) -> list[Logged]:
        """Return the entries of a patient: by original PatientID, or by either side of the map of patient ids."""
        ...

    def replaced(self, kind: str, id: str = "") -> Iterable[Replaced]:
        """Return the map of UIDs or patient ids, each pair once; of one entry, or of all."""
        ...

    def purge(self, ids: Sequence[str]) -> None:
        """Erase entries and what they replaced."""
        ...

    def note(self, look: Look) -> None:
        """Write a line of the trail. Before anything that was found is shown."""
        ...

    def trail(self) -> Iterator[Look]:
        """Return the trail in order of time."""
        ...

    def close(self) -> None:
        """Let go of the connection."""
        ...
