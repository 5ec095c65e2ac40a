"""A source's first DICOM header → what it says for placing the file, before and after de-identification."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from fw_gear_deid.deid import dicom
from fw_gear_deid.deid.context import Context
from fw_gear_deid.deid.ids import ids_of
from fw_gear_deid.deid.member import ruled_keywords, sorting_texts, takes
from fw_gear_deid.deid.sort import holds_taken, instances, sort
from fw_gear_deid.formats.archive import HEAD
from fw_gear_deid.formats.dicom import part10
from fw_gear_deid.model.errors import Unfit
from fw_gear_deid.profile.profile import DicomSection, Profile, ZipSection


@dataclass(frozen=True, slots=True)
class Surveyed:
    """The sorting tags of a file's first DICOM header.

    Attributes
    ----------
    kind : str
        ``instance``, ``archive``, ``other`` without a header, ``nothing`` where no section takes the file.
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
    kind, found = _first(source, name, ctx.profile)
    return Surveyed(kind, {}, {}, frozenset()) if found is None else _of(*found, ctx, kind)


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
    kind, found = _first(source, name, profile)
    if found is None:
        return None if kind == "nothing" else {}
    return ids_of(part10.read(found[0]))


def _first(source: Path, name: str, profile: Profile) -> tuple[str, tuple[bytes, str, DicomSection] | None]:
    """Return a file's kind, and bytes, base name and section of its first data set."""
    found = sort(source, name, profile)
    for member, base, data in instances(source, found, profile):
        section = takes(profile, base, data[:HEAD])
        assert isinstance(section, DicomSection)  # noqa: S101 -- instances are what it takes
        if not member or _is_named(base, section):
            return "archive" if member else "instance", (data, base, section)
    if isinstance(found.section, ZipSection):
        return "archive" if holds_taken(source, profile) else "nothing", None
    return "nothing" if found.section is None else "other", None


def _is_named(name: str, section: DicomSection) -> bool:
    """Tell whether the profile has a name for an instance; else it leaves it out."""
    return not section.filenames or any(template.pattern.match(name) for template in section.filenames)


def _of(data: bytes, name: str, section: DicomSection, ctx: Context, kind: str) -> Surveyed:
    draft = part10.read(data)
    if not _is_named(name, section):
        return Surveyed("other", {}, {}, frozenset())
    before = sorting_texts(draft)
    try:
        edited = dicom.edit(draft, section, ctx)
    except Unfit:
        return Surveyed(kind, before, {}, frozenset())  # its series must not go without it
    return Surveyed(kind, before, sorting_texts(draft), ruled_keywords(section, draft, edited.edits))
