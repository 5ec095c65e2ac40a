"""A source's DICOM headers → whose it is, and what they say for placing it before and after de-identification."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import field, replace
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any, TypeVar

from fw_gear_deid.deid import dataset, envelope
from fw_gear_deid.deid.container import deidentify_container
from fw_gear_deid.deid.context import Context
from fw_gear_deid.deid.identity import PATIENT_ID, SERIES_UID, person_of, seen_of
from fw_gear_deid.deid.incoming import Incoming
from fw_gear_deid.deid.marking import telling_of
from fw_gear_deid.deid.member import held, known_of, leave_out, ruled_keywords, sorting_texts, takes
from fw_gear_deid.deid.names import Excluded
from fw_gear_deid.deid.notes import ids_of
from fw_gear_deid.deid.sort import Found, beginnings, coming, holds_taken, instances, sort
from fw_gear_deid.formats.archive import HEAD
from fw_gear_deid.formats.dicom import part10
from fw_gear_deid.formats.dicom.fields import Fields
from fw_gear_deid.keys import Keyring
from fw_gear_deid.model.container import ContainerRecord
from fw_gear_deid.model.errors import Unfit
from fw_gear_deid.model.frozen import frozen
from fw_gear_deid.model.seen import Seen
from fw_gear_deid.profile.compiled import DicomSection, Profile, ZipSection
from fw_gear_deid.profile.values.book import ProfileBook

Told = TypeVar("Told")


@frozen
class Surveyed:
    """The sorting tags of a file's first DICOM header.

    Attributes
    ----------
    series : str
        Original SeriesInstanceUID: an identifier.
    after : dict of str to str
        Texts by keyword after de-identification; empty when it cannot be: the work on the file will say why.
    ruled : frozenset of str
        Keywords that a rule sets or keeps on purpose.
    labels : dict of str to str
        Level → label that a rule of the flywheel section sets.
    acquisition : str
        What its series is called where no rule sets a label.
    """

    series: str
    after: dict[str, str]
    ruled: frozenset[str]
    labels: dict[str, str] = field(default_factory=dict)
    acquisition: str = ""

    def named(self, keyring: Keyring, person: str, visit: str) -> Surveyed:
        """Return what may leave the worker, and be kept: the series by a name of its own."""
        return replace(self, series="", acquisition=keyring.name("acq", person, visit, self.series or "-"))

    def as_json(self) -> dict[str, Any]:
        """Return plain values."""
        return {"after": self.after, "ruled": sorted(self.ruled), "labels": self.labels, "name": self.acquisition}

    @staticmethod
    def from_json(value: Mapping[str, Any]) -> Surveyed:
        """Return what ``as_json`` was made of."""
        return Surveyed("", value["after"], frozenset(value["ruled"]), value["labels"], value["name"])


NOTHING = Surveyed("", {}, frozenset())


def see(source: Path, name: str, book: ProfileBook, keyring: Keyring, *, whole: bool) -> Seen:
    """Look at whose a file is; no rule is carried out.

    Parameters
    ----------
    book : ProfileBook
        What no section of the profile takes is not looked at; a mapping may tell whose a file is.
    whole : bool
        Read it to its end, an archive's members all: no folder tells whose it is. Else its first header's beginning.

    Raises
    ------
    Unfit
        It cannot be read.
    """
    found = sort(source, name, book.base)
    match found.section:
        case DicomSection() as section:
            one = _instance(source, found, book, keyring, whole=whole)
            return one if book.used or _is_named(found.name, section) else replace(one, kind="unnamed")
        case ZipSection():
            heads = _heads(source, book, whole=whole)
            seen = [_seen(head, book, keyring) for head in heads]
            identities = tuple(dict.fromkeys(identity for one in seen for identity in one.identities))
            return replace(seen[0], kind="archive", identities=identities) if seen else Seen("archive")
    return Seen("other")


def _instance(source: Path, found: Found, book: ProfileBook, keyring: Keyring, *, whole: bool) -> Seen:
    if not whole and not found.packing:
        with source.open("rb") as stream:
            return _seen(WHOSE.read(stream.read, source.stat().st_size), book, keyring)
    incoming = coming(source, found)
    fields = incoming.enough(lambda: part10.look(incoming.data, dataset.WATCHED, incoming.total))
    digest = sha256(incoming.data)
    for piece in incoming.rest():
        digest.update(piece)
    return replace(_seen(fields, book, keyring), sha256="" if found.packing else digest.hexdigest())


WHOSE = part10.Head(frozenset(tag for tag in dataset.WATCHED if tag <= SERIES_UID), PATIENT_ID, SERIES_UID)
"""What a header says of patient, study and series."""


def _heads(source: Path, book: ProfileBook, *, whole: bool) -> Iterator[Fields]:
    """Yield the headers of the members, or the first that can be read; the work on it tells of the others."""
    for base, member in beginnings(source, book.base):
        section = takes(book.base, base, member.head())
        if isinstance(section, DicomSection) and not book.used and not _is_named(base, section):
            continue  # left out
        try:
            yield WHOSE.read(member.take, member.size)
        except Unfit:
            continue
        if not whole:
            return


def _seen(fields: Fields, book: ProfileBook, keyring: Keyring) -> Seen:
    """Return what a header tells, and of whom the mapping says it is."""
    one = seen_of(fields, keyring)
    if book.lookup is None or not book.by_header:
        return one
    ids = ids_of(fields)
    number = book.lookup.row((), ids)
    if number is None:
        return one
    told = book.new_id((), ids) or book.lookup.key_of((), ids)
    return replace(one, row=keyring.stamp("row", *told), number=number)


def survey(source: Path, name: str, ctx: Context) -> Surveyed:
    """Read and de-identify the first DICOM header of a file.

    Raises
    ------
    Unfit
        It cannot be read.
    """
    _, told = _first(source, name, ctx.profile, lambda incoming, base, section: _of(incoming, base, section, ctx))
    return told or NOTHING


def first_ids(source: Path, name: str, profile: Profile) -> dict[str, str] | None:
    """Return the ids of a file's first data set, for a mapping that goes by one of them.

    Parameters
    ----------
    source : Path
    name : str
        Base name at the source.
    profile : Profile
        Tells which files and members are DICOM to it; its values do not matter.

    Returns
    -------
    dict or None
        Empty where a section takes the file, but there is no data set in it; None where none takes anything in it.

    Raises
    ------
    Unfit
        It cannot be read.
    """
    found = sort(source, name, profile)
    if isinstance(found.section, DicomSection) and not found.packing:
        with source.open("rb") as stream:
            return ids_of(WHOSE.read(stream.read, source.stat().st_size))
    kind, ids = _first(source, name, profile, lambda one, *_: ids_of(WHOSE.look(one.data, one.total)))
    return {} if ids is None and kind != "nothing" else ids


def _first(
    source: Path, name: str, profile: Profile, tell: Callable[[Incoming, str, DicomSection], Told]
) -> tuple[str, Told | None]:
    """Return a file's kind, and what its first data set tells; that and those before it must be sound."""
    found = sort(source, name, profile)
    for member, base, incoming in instances(source, found, profile):
        section = takes(profile, base, incoming.data[:HEAD])
        assert isinstance(section, DicomSection)  # noqa: S101 -- instances are what it takes
        if not member or _is_named(base, section):
            try:
                told = incoming.sound(partial(tell, incoming, base, section))
            except Excluded:
                continue
            return "archive" if member else "instance", told
        incoming.drain()
    if isinstance(found.section, ZipSection):
        return "archive" if holds_taken(source, profile) else "nothing", None
    return "nothing" if found.section is None else "other", None


def _is_named(name: str, section: DicomSection) -> bool:
    """Tell whether the profile has a name for an instance; else it leaves it out."""
    return not section.filenames or any(template.pattern.match(name) for template in section.filenames)


def _of(incoming: Incoming, name: str, section: DicomSection, ctx: Context) -> Surveyed:
    parts = dataset.open_file(incoming.data, section, total=incoming.total)
    leave_out(parts, section)
    if not _is_named(name, section):
        return NOTHING
    fields = dataset.fields_of(parts)
    before = sorting_texts(fields)
    series = before["SeriesInstanceUID"]
    person = ctx.person or person_of(fields, ctx.keyring)
    try:
        parts = envelope.restored(parts, section, dataset.plan_of(section).places, ctx.cipher).parts
        edited = dataset.edit(parts, section, ctx.draw(person), (ctx.keyring, person), ctx.today, telling_of(ctx))
    except Unfit:
        return Surveyed(series, {}, frozenset())  # its series must not go without it
    ruled = ruled_keywords(section, edited.after, edited.edits)
    known = known_of(ctx)
    known.learn(edited.edits)
    for text, vr in edited.unread():
        known.add(text, vr)
    return Surveyed(series, held(sorting_texts(edited.after), known), ruled, _labels(before, ctx))


_NAMED_BY = {"subject": "PatientID", "session": "StudyInstanceUID", "acquisition": "SeriesDescription"}
"""Level → what stands in a header for the label that a container of it would have."""


def _labels(before: dict[str, str], ctx: Context) -> dict[str, str]:
    """Carry out the rules for labels on the containers that a platform would make of a header.

    Raises
    ------
    Unfit
        One of them cannot be.
    """
    labels: dict[str, str] = {}
    if ctx.profile.flywheel is None:
        return labels
    parents: dict[str, dict[str, object]] = {}
    for level, keyword in _NAMED_BY.items():
        text = before.get(keyword, "")
        record = ContainerRecord(level, text or level, text, {"label": text}, dict(parents))
        clean = deidentify_container(record, ctx.profile.flywheel, ctx.draw(), ctx.today)
        if clean.label:
            labels[level] = clean.label
        parents[level] = {"label": text}
    return labels
