"""A source's first DICOM header → what it says for placing the file, before and after de-identification."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from fw_gear_deid.deid import dicom
from fw_gear_deid.deid.context import Context
from fw_gear_deid.deid.member import HEAD, is_cruft, is_index, ruled_keywords, sorting_texts, takes
from fw_gear_deid.formats import zips
from fw_gear_deid.formats.dicom import part10
from fw_gear_deid.model.errors import Unfit
from fw_gear_deid.profile.profile import DicomSection, ZipSection


@dataclass(frozen=True, slots=True)
class Surveyed:
    """The sorting tags of a file's first DICOM header.

    Attributes
    ----------
    kind : str
        ``instance``, ``archive``, or ``other`` without a header.
    before : dict of str to str
        Original texts by keyword: identifiers.
    after : dict of str to str
        After de-identification; empty when it cannot be: the work on the file will say why.
    ruled : frozenset of str
        Keywords that a rule sets or keeps on purpose.
    """

    kind: str
    before: dict[str, str]
    after: dict[str, str]
    ruled: frozenset[str]


def survey(source: Path, name: str, ctx: Context) -> Surveyed:
    """Read and de-identify the first DICOM header of a file.

    Raises
    ------
    Unfit
        It cannot be read.
    """
    with source.open("rb") as stream:
        head = stream.read(2048)
    section = None if is_cruft(name) or is_index(head) else takes(ctx.profile, name, head[:HEAD], archives=True)
    if isinstance(section, DicomSection):
        return _of(source.read_bytes(), name, section, ctx, "instance")
    if isinstance(section, ZipSection):
        with zips.open_archive(source) as archive:
            for member in zips.members(archive):
                base = PurePosixPath(member.name).name
                if is_cruft(member.name):
                    continue
                data = zips.read_member(archive, member)
                taken = None if is_index(data) else takes(ctx.profile, base, data[:HEAD])
                if isinstance(taken, DicomSection):
                    return _of(data, base, taken, ctx, "archive")
        return Surveyed("archive", {}, {}, frozenset())
    return Surveyed("other", {}, {}, frozenset())


def _of(data: bytes, name: str, section: DicomSection, ctx: Context, kind: str) -> Surveyed:
    draft = part10.read(data)
    if section.filenames and not any(template.pattern.match(name) for template in section.filenames):
        return Surveyed("other", {}, {}, frozenset())  # the profile leaves it out
    before = sorting_texts(draft)
    try:
        edited = dicom.edit(draft, section, ctx)
    except Unfit:
        return Surveyed(kind, before, {}, frozenset())  # its series must not go without it
    return Surveyed(kind, before, sorting_texts(draft), ruled_keywords(section, draft, edited.edits))
