"""Source file → the section that takes it and how it is packed, or why it is left out; and the images in it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path, PurePosixPath

from fw_gear_deid.deid import document
from fw_gear_deid.deid.incoming import Incoming
from fw_gear_deid.deid.member import AnySection, takes
from fw_gear_deid.formats import archive
from fw_gear_deid.formats.dicom.sniff import is_dicom, is_index, is_text
from fw_gear_deid.model import limits
from fw_gear_deid.model.errors import Unfit
from fw_gear_deid.model.frozen import frozen
from fw_gear_deid.model.litter import litter_of
from fw_gear_deid.model.outcome import OTHER_DICOM
from fw_gear_deid.profile.compiled import DicomSection, FieldSection, FilenameSection, Profile, ZipSection

OTHER = "other file: "
"""How the reason begins why what is nobody's data is skipped."""
_TELLING = 1024  # bytes that tell an archive and DICOM from others


@frozen
class Found:
    """What a source file is to a profile.

    Attributes
    ----------
    section : section or None
        What takes it: the zip section every archive that is read, whatever its kind.
    name : str
        Its base name, without the suffix of what a single file is packed in.
    packing : str
        What a single file is packed in; empty for none, for archives, and where its format takes it as it is.
    reason : str
        Why it is left out, when no section takes it.
    """

    section: AnySection | None
    name: str
    packing: str = ""
    reason: str = ""


def sort(source: Path, name: str, profile: Profile) -> Found:
    """Find out what a source file is.

    Parameters
    ----------
    name : str
        Base name at the source.

    Raises
    ------
    Unfit
        An archive of a kind that is not read, or one inside of another that hides something.
    """
    litter = litter_of(name)
    if litter:
        return Found(None, name, reason=OTHER + litter)
    seen = archive.look(source)
    if is_index(seen.head):
        return Found(None, name, reason=f"{OTHER}a DICOMDIR indexes other files by byte offset; it is not copied")
    inside = archive.stem(name, seen.packing) if seen.packing else name
    opens = seen.kind == "tar" or (seen.kind == "zip" and not seen.packing)
    called = not (seen.kind or seen.unread) and (archive.called_archive(name) or profile.zip.match.by_name(name))
    section = takes(profile, inside, seen.head, archive=opens or called)
    if isinstance(section, FieldSection) and seen.packing == "gzip" and document.codec_of(section).reach is not None:
        return Found(section, name)
    if isinstance(section, DicomSection | FieldSection):
        return Found(section, inside, seen.packing)
    if isinstance(section, ZipSection):
        return Found(section, name)
    if seen.packing:
        section = takes(profile, name, seen.head)  # "*.nii.gz"
    if not is_left(section):
        return Found(section, name)
    if seen.unread and _opens(profile):
        raise Unfit(f"it is an archive of a kind that is not read ({seen.unread}): unpack it")
    if seen.packing and seen.kind:
        look_inside(archive.content(source, seen.packing), profile)
    return Found(section, name, reason="" if section else _untaken(source, seen, profile))


def is_nobodys(source: Path, name: str, profile: Profile) -> bool:
    """Tell whether no section takes a file: it needs no values of variables.

    Raises
    ------
    Unfit
        As ``sort``.
    """
    return sort(source, name, profile).section is None


def _untaken(source: Path, seen: archive.Look, profile: Profile) -> str:
    """Return why a file that no section takes is left out; that it is DICOM is told."""
    dicom = is_dicom(seen.head) or (seen.kind and not _opens(profile) and _holds_dicom(source))
    return (
        f"{OTHER_DICOM}, which no section of the profile takes"
        if dicom
        else f"{OTHER}no section of the profile takes it"
    )


def _holds_dicom(source: Path) -> bool:
    """Tell whether an archive that the profile has no use for holds DICOM; one that cannot be read holds none."""
    try:
        with archive.open_archive(source) as opened:
            return any(is_dicom(member.head()) for member in opened.members())
    except Unfit:
        return False


def is_left(section: AnySection | None) -> bool:
    """Tell whether a file is left out, or copied as it is."""
    return section is None or isinstance(section, FilenameSection)


def _opens(profile: Profile) -> bool:
    return bool(profile.sections)


def look_inside(data: bytes, profile: Profile, depth: int = 1) -> None:
    """Make sure that a file which would be left out, or copied as it is, is no archive with something in it.

    Raises
    ------
    Unfit
        It holds what a section of the profile takes, or cannot be looked into to its end.
    """
    seen = archive.look(data)
    if seen.unread:
        raise Unfit(f"an archive inside it is of a kind that is not read ({seen.unread}): unpack it")
    if not (seen.kind or seen.packing):
        return
    budget = limits.now()
    budget.check("depth", depth)
    budget.tick()
    if seen.kind == "tar" or (seen.kind == "zip" and not seen.packing):
        _look_at_members(data, profile, depth)
        return
    if seen.kind:
        look_inside(archive.content(data, seen.packing), profile, depth + 1)
    elif is_index(seen.head) or _hides("", seen.head, profile):
        raise Unfit(_HIDDEN)


_HIDDEN = "an archive or packed file inside it holds what a section of the profile takes: unpack it"


def _look_at_members(data: bytes, profile: Profile, depth: int) -> None:
    with archive.open_archive(data) as opened:
        profile = for_members(opened, profile)
        for member in opened.members():
            section = section_of(member, profile)
            if not is_left(section):
                raise Unfit(_HIDDEN)
            if not litter_of(member.name):
                check_inside(member, profile, depth + 1)


def section_of(member: archive.Member, profile: Profile) -> AnySection | None:
    """Return the section that takes a member of an archive."""
    if litter_of(member.name):
        return None
    head = member.head()
    if is_index(head) or (member.special and not head):
        return None
    return takes(profile, PurePosixPath(member.name).name, head)


def check_inside(member: archive.Member, profile: Profile, depth: int = 1, data: bytes | None = None) -> bytes | None:
    """Make sure that a member which would be left out, or copied as it is, hides nothing; return its bytes if read.

    Parameters
    ----------
    data : bytes, optional
        All of it, where it was read.

    Raises
    ------
    Unfit
    """
    head = member.head()
    if archive.kind_of(head) or archive.unread_kind(head):
        budget = limits.now()
        if member.size > budget.most("inside") and _is_volume(head, profile):
            return None
        budget.check("inside", member.size)
        data = member.read() if data is None else data
        look_inside(data, profile, depth)
        return data
    if head and archive.called_archive(member.name) and not is_text(head):
        raise Unfit("it has the name of an archive, and is none that can be read")
    return None


def _is_volume(head: bytes, profile: Profile) -> bool:
    """Tell whether a large member is one packed file that nobody takes, a NIfTI volume for example."""
    if archive.kind_of(head) != "packed":
        return False
    seen = archive.look(head)
    known = len(seen.head) >= _TELLING and not (seen.kind or seen.unread or is_index(seen.head))
    return known and not _hides("", seen.head, profile)


def _hides(name: str, head: bytes, profile: Profile) -> bool:
    return not is_left(takes(profile, name, head))


def holds_taken(source: Path, profile: Profile) -> bool:
    """Tell whether a section takes a member of an archive, or of one in it."""
    with archive.open_archive(source) as opened:
        return any(section is not None for _, _, section in members(opened, profile))


def for_members(opened: archive.Archive, profile: Profile) -> Profile:
    """Return what of a profile holds for the members of an archive: what documents are made of is nobody's file."""
    return replace(profile, others=(), filename=None) if opened.is_document else profile


def is_archive(member: archive.Member) -> bool:
    """Tell whether a member is opened like the archive around it: a ZIP, or a tar, packed or not."""
    if litter_of(member.name) or not archive.kind_of(member.head()):
        return False
    seen = archive.look(member.head())
    return seen.kind == "tar" or (seen.kind == "zip" and not seen.packing)


def inside(member: archive.Member, depth: int) -> bytes:
    """Return a member that is an archive itself.

    Parameters
    ----------
    depth : int
        How many archives it is in.

    Raises
    ------
    Unfit
        It is too deep, too large or damaged.
    """
    budget = limits.now()
    budget.check("depth", depth)
    budget.check("inside", member.size)
    return member.read()


def members(
    opened: archive.Archive, profile: Profile, depth: int = 1, *, glance: bool = False
) -> Iterator[tuple[str, archive.Member, AnySection | None]]:
    """Yield the members of an archive and of archives in it: path from the outermost in, member, who takes it.

    Parameters
    ----------
    glance : bool
        Beginnings are all that is wanted.

    Raises
    ------
    Unfit
    """
    profile = for_members(opened, profile)
    for member in opened.members():
        member.glanced = glance
        if not is_archive(member):
            yield member.name, member, section_of(member, profile)
            continue
        with archive.open_archive(inside(member, depth)) as inner:
            for path, one, section in members(inner, profile, depth + 1, glance=glance):
                yield f"{member.name}/{path}", one, section


def beginnings(source: Path, profile: Profile) -> Iterator[tuple[str, archive.Member]]:
    """Yield base name and beginning of the DICOM instances of an archive; the rest of them is not looked at.

    Raises
    ------
    Unfit
    """
    with archive.open_archive(source) as opened:
        for path, member, section in members(opened, profile, glance=True):
            if isinstance(section, DicomSection):
                yield PurePosixPath(path).name, member


def instances(source: Path, found: Found, profile: Profile) -> Iterator[tuple[str, str, Incoming]]:
    """Yield the DICOM instances of a source file; as ``files``."""
    return files(source, found, profile, DicomSection)


def files(
    source: Path, found: Found, profile: Profile, *of: type[DicomSection | FieldSection]
) -> Iterator[tuple[str, str, Incoming]]:
    """Yield what sections take in a source file: path in the archive (empty outside of one), base name, bytes.

    Each is to be taken before the next.

    Parameters
    ----------
    found : Found
        What ``sort`` says of the file.
    of : type
        Classes of the sections.

    Raises
    ------
    Unfit
    """
    if isinstance(found.section, of):
        yield "", found.name, coming(source, found)
    if not isinstance(found.section, ZipSection):
        return
    with archive.open_archive(source) as opened:
        for path, member, section in members(opened, profile):
            if isinstance(section, of):
                yield path, PurePosixPath(path).name, Incoming(member.pieces(), member.size)


def coming(source: Path, found: Found) -> Incoming:
    """Return the bytes of a file that is no archive, unpacked.

    Raises
    ------
    Unfit
    """
    if not found.packing:
        return Incoming(archive.pieces(source), source.stat().st_size)
    return Incoming(*archive.unpacked(source, found.packing))
