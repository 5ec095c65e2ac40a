"""Files and a profile → before and after per element, for the person who holds the data."""

from __future__ import annotations

import csv
import io
import json
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import field
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

from fw_gear_deid.actions import ACTIONS
from fw_gear_deid.deid import Context, dataset, document, envelope, files, masks, sort, takes
from fw_gear_deid.deid.identity import person_of
from fw_gear_deid.deid.incoming import Incoming
from fw_gear_deid.deid.marking import telling_of
from fw_gear_deid.deid.member import leave_out, passing_of, rows_of, whole
from fw_gear_deid.deid.names import Excluded
from fw_gear_deid.deid.notes import ids_of
from fw_gear_deid.deid.pair import is_volume
from fw_gear_deid.formats.archive import HEAD
from fw_gear_deid.formats.dicom import part10
from fw_gear_deid.formats.dicom.part10 import Parts
from fw_gear_deid.formats.dicom.pixels.picture import png
from fw_gear_deid.keys import Keyring
from fw_gear_deid.model import limits
from fw_gear_deid.model.action import At
from fw_gear_deid.model.cells import cell, shown
from fw_gear_deid.model.dictionary import tag_of
from fw_gear_deid.model.errors import Unfit, UsageError
from fw_gear_deid.model.frozen import frozen
from fw_gear_deid.model.locks import HIDDEN
from fw_gear_deid.model.outcome import Edit
from fw_gear_deid.model.ports import Branch, Item
from fw_gear_deid.model.selectors import AnySelector, RegexAt, Selector, TagAt, VrAt
from fw_gear_deid.profile.compiled import DicomSection, FieldSection, Profile
from fw_gear_deid.profile.values.book import ProfileBook
from fw_gear_deid.runner.prepare import whose
from fw_gear_deid.runner.sieve import Sieve
from fw_gear_deid.runner.workers import Settings, Task, pseudonyms_of, silence
from fw_gear_deid.stores.folder import FolderSource
from fw_gear_deid.system import private

HIDDEN_CELL = "<hidden>"
"""Stands for what is encrypted or decrypted."""
LOG_FIELDS = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")
"""Columns that ``fw deid test`` puts in front of the profile's fields."""


@frozen
class Asked:
    """What to show.

    Attributes
    ----------
    places : sequence of Place
    table : Path or None
        Where to write the two-rows-per-file CSV. It holds identifiers in clear.
    pictures : Path or None
        New folder for a PNG of each file that masks meet: the first masked frame, as it will leave.
    include, exclude : tuple of str
        Patterns, as of ``run``.
    limits : mapping of str to int
        Those that were set.
    """

    places: Sequence[Place]
    table: Path | None = None
    pictures: Path | None = None
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    limits: limits.Given = field(default_factory=dict)


@frozen
class Place:
    """A file, or a folder and what is in it."""

    path: Path
    source: FolderSource
    items: list[Item]
    branches: list[Branch]

    @staticmethod
    def read(path: Path) -> Place:
        """List a path."""
        source = FolderSource(path)
        items = list(source.items())
        return Place(path, source, items, list(source.containers(items)))


def preview(asked: Asked, book: ProfileBook, keyring: Keyring) -> int:
    """Print every change of every file in the places that a section takes; return how many could not be done.

    Parameters
    ----------
    asked : Asked
    book : ProfileBook
    keyring : Keyring

    Raises
    ------
    UsageError
        The table cannot be written.
    """
    silence()
    refused = files = 0
    columns = _columns(book.base)
    album = Album(asked.pictures)
    with _private(asked.table) as stream:
        writer = csv.writer(stream, lineterminator="\r\n")
        writer.writerow([cell(label) for label in ("src_path", "type", *(label for label, _ in columns))])
        for name, task, data in _files(asked, book, keyring):
            print(shown(name))
            try:
                if isinstance(data, Unfit):
                    raise data
                before, after = _one(task, data, book, keyring, columns, album)
                writer.writerow([cell(text) for text in (name, "before", *before)])
                writer.writerow([cell(text) for text in (name, "after", *after)])
                files += 1
            except Excluded as error:
                print(f"  {error}")
            except Unfit as error:
                refused += 1
                print(f"  refused: {shown(str(error))}")
    if asked.table is not None:
        print(f"{shown(str(asked.table))}: {files} files, before and after; it holds identifiers", file=sys.stderr)
    return refused


def _private(table: Path | None) -> IO[str]:
    """Open a new table for its owner alone; without one, nowhere."""
    if table is None:
        return io.StringIO()
    try:
        handle = private.create(table)
    except FileExistsError:
        raise UsageError(f"{table}: exists already; nothing was written") from None
    except OSError as error:
        raise UsageError(f"{table}: cannot be written ({error.strerror})") from None
    return os.fdopen(handle, "w", encoding="utf-8", errors="backslashreplace", newline="")


class Album:
    """Pictures of masked frames, in a new folder for its owner alone; without one, nowhere.

    Raises
    ------
    UsageError
        It cannot be made.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._count = 0
        if folder is not None:
            try:
                folder.mkdir(mode=private.FOLDER)
            except FileExistsError:
                raise UsageError(f"{folder}: exists already; nothing was written") from None
            except OSError as error:
                raise UsageError(f"{folder}: cannot be made ({error.strerror})") from None

    def keep(self, data: bytes, number: int) -> None:
        """Write a frame of a file, by its number from 0, and print where."""
        if self._folder is None:
            return
        self._count += 1
        path = self._folder / f"{self._count:05}-frame-{number + 1}.png"
        with os.fdopen(private.create(path), "wb") as stream:
            stream.write(png(data, number))
        print(f"  picture: {shown(str(path))}")


Given = tuple[str, bytes]
"""Base name of a file, and its bytes."""


def _files(asked: Asked, book: ProfileBook, keyring: Keyring) -> Iterator[tuple[str, Task, Given | Unfit]]:
    """Yield name, whose it is, base name and bytes of every file that has fields; one for copies of it."""
    sieve = Sieve(asked.include, asked.exclude, ())
    today = datetime.now(UTC).date()
    for place in asked.places:
        items = sieve.sift(place.items, place.branches)
        settings = Settings(place.source, book, keyring, today, "off", place.path, originals=True, limits=asked.limits)
        people, tasks = whose(items, place.branches, settings)
        for item in items:
            name = item.id if place.path.is_file() else f"{place.path}/{item.id}"
            task = tasks[item.id]
            if item.problem_state == "skipped" or item.id in people.copies:
                continue
            try:
                if item.problem or item.id in people.problems:
                    raise Unfit(item.problem or people.problems[item.id])
                file = place.source.fetch(item, place.path)
                with limits.within(asked.limits, item.size):
                    found = sort(file, item.name, book.base)
                    for member, base, incoming in files(file, found, book.base, DicomSection, FieldSection):
                        data = _taken(incoming, base, book.base)
                        if data is not None:
                            yield f"{name}!{member}" if member else name, task, (base, data)
            except OSError as error:
                yield name, task, Unfit(f"it cannot be read ({error.strerror})")
            except Unfit as error:
                yield name, task, error


def _taken(incoming: Incoming, base: str, profile: Profile) -> bytes | None:
    """Return the bytes of a file, or its beginning where only that has fields; None where nothing in it has."""
    section = takes(profile, base, incoming.data[:HEAD])
    if not isinstance(section, FieldSection):
        return incoming.all()
    if is_volume(incoming.data, base, section.match):
        return None
    passing = passing_of(incoming, section)
    if passing is None:
        return whole(incoming, section)
    for _ in passing.rest():  # that it is damaged is told, too
        pass
    return passing.beginning


Columns = list[tuple[str, AnySelector]]
Cells = tuple[list[str], list[str]]
"""Texts before and after."""


def _columns(profile: Profile) -> Columns:
    columns: Columns = []
    for keyword in LOG_FIELDS:
        tag = tag_of(keyword)
        assert tag is not None  # noqa: S101 -- keywords of the standard
        columns.append((keyword, TagAt(tag)))
    by_place = sorted(profile.rules, key=lambda rule: (int(rule.label.rpartition(":")[2]), rule.index))
    for rule in by_place:
        if not isinstance(rule.selector, VrAt) and rule.name not in (label for label, _ in columns):
            columns.append((rule.name, rule.selector))
    return columns


def _one(task: Task, given: Given, book: ProfileBook, keyring: Keyring, columns: Columns, album: Album) -> Cells:
    """Print the changes of a file; return its columns."""
    base, data = given
    section = takes(book.base, base, data[:HEAD])
    header = part10.look(data, dataset.WATCHED) if isinstance(section, DicomSection) else None
    known = pseudonyms_of(task, section, keyring)
    ids = ids_of(header) if header is not None else {}
    ctx = Context(
        book.for_file(task.labels, ids, known),
        keyring,
        task.person,
        datetime.now(UTC).date(),
        "strict",  # a run checks what it says of itself
        (*task.telling, *book.telling(task.labels, ids)),
        task.acquisition,
        {book.by_header: ids[book.by_header]} if book.by_header in ids else {},
        subjects=task.subjects,
        pseudonym=known.get("subject.pseudonym", ""),
    )
    profile = ctx.profile
    match takes(profile, base, data[:HEAD]):
        case DicomSection() as section:
            return _instance(_masked(data, section, album), section, ctx, columns)
        case FieldSection() as section:
            return _document(data, section, ctx, columns)
        case _:
            raise Unfit("no section of the profile takes this file")


def _masked(data: bytes, section: DicomSection, album: Album) -> bytes:
    """Return a file with its masks on; print what they do, and keep a picture where one is wanted."""
    met = masks.meet(data, section) if section.masks else None
    if met is None:
        return data
    masked = masks.masked(Incoming(iter((data,)), len(data)), section)
    result = masked.source.all()
    _tell(masked.edits)
    album.keep(result, next(span.start for span in met.ranges if span))
    return result


def _instance(data: bytes, section: DicomSection, ctx: Context, columns: Columns) -> Cells:
    parts = dataset.open_file(data, section)
    leave_out(parts, section)
    sealed = _sealed(section)
    before = [_cell(parts, section, selector) for _, selector in columns]
    person = ctx.person or person_of(part10.look(data, dataset.WATCHED), ctx.keyring)
    back = envelope.restored(parts, section, dataset.plan_of(section).places, ctx.cipher)
    parts = back.parts
    edited = dataset.edit(parts, section, ctx.draw(person), (ctx.keyring, person), ctx.today, telling_of(ctx))
    pieces, _ = part10.write(parts, edited.meta, edited.body)
    result = dataset.open_file(b"".join(pieces), section)
    after = [_cell(result, section, selector) for _, selector in columns]
    _tell((*back.edits, *edited.edits))
    return _hidden(columns, before, sealed), _hidden(columns, after, sealed)


def _document(data: bytes, section: FieldSection, ctx: Context, columns: Columns) -> Cells:
    at = At("UT", ctx.draw(), ctx.today, lambda name: "", cipher=ctx.cipher)
    edited = document.edit(data, section, at, None, rows_of(section, ctx), ctx.around_texts)
    result = document.opened(document.written(data, edited), section)
    before, after = ([document.text(one, selector) for _, selector in columns] for one in (edited.document, result))
    _tell(edited.edits)
    sealed = _sealed(section)
    return _hidden(columns, before, sealed), _hidden(columns, after, sealed)


def _sealed(section: DicomSection | FieldSection) -> set[AnySelector]:
    """Return the fields that are encrypted or decrypted: what they say stays hidden."""
    return {rule.selector for rule in section.rules if ACTIONS[rule.action.key].sealed}


def _hidden(columns: Columns, cells: list[str], sealed: set[AnySelector]) -> list[str]:
    return [
        HIDDEN_CELL if text and selector in sealed else text for (_, selector), text in zip(columns, cells, strict=True)
    ]


def _tell(edits: Sequence[Edit]) -> None:
    for edit in edits:
        becomes = "(removed)" if edit.action.endswith("remove") else HIDDEN.get(edit.action, edit.after)
        before = HIDDEN_CELL if edit.action in HIDDEN and edit.before else edit.before
        change = f"'{shown(before)}' -> '{shown(becomes)}'"
        where = f"{shown(edit.path)} {edit.keyword} {edit.vr}".rstrip()
        print(f"  {where}: {change}  [{edit.action}, {shown(edit.rule)}]")


def _cell(parts: Parts, section: DicomSection, selector: AnySelector) -> str:
    """Return the text of a field; several places, or a regex, as a JSON object of path to value."""
    found = dict(dataset.shown(parts, section, selector)) if isinstance(selector, Selector) else {}
    if isinstance(selector, RegexAt):
        return json.dumps(found, ensure_ascii=False)
    if len(found) > 1:
        return json.dumps(found, ensure_ascii=False)
    return next(iter(found.values()), "")
