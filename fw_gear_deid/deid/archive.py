"""Archive → archive of its de-identified members, or nothing (profile language §9)."""

from __future__ import annotations

import zipfile
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path, PurePosixPath

from fw_gear_deid.deid.context import Context
from fw_gear_deid.deid.member import (
    DROPPED,
    HEAD,
    Done,
    deidentify_member,
    is_cruft,
    is_index,
    renamed,
    safe_name,
    takes,
)
from fw_gear_deid.deid.names import Identifiers, from_templates
from fw_gear_deid.formats import zips
from fw_gear_deid.model.action import At, Gone
from fw_gear_deid.model.errors import Unfit
from fw_gear_deid.model.outcome import Always, Edit, MemberEdits
from fw_gear_deid.model.portable import same_name_key
from fw_gear_deid.profile.profile import ZipSection


@dataclass(slots=True)
class Work:
    """What is known of an archive while it is rewritten."""

    known: Identifiers
    written: list[str] = field(default_factory=list)
    audit: list[MemberEdits] = field(default_factory=list)
    dropped: list[Edit] = field(default_factory=list)
    unmatched: frozenset[int] | None = None
    sorting: dict[str, str] | None = None
    """Sorting tags after de-identification; empty text where members differ."""
    ruled: frozenset[str] = frozenset()
    first: Done | None = None


def deidentify_archive(source: Path, name: str, ctx: Context, out: Path) -> tuple[str, Work]:
    """De-identify every member that a section takes and drop the others.

    Parameters
    ----------
    source : Path
    name : str
        Base name at the source.
    out : Path
        Where the result is written.

    Returns
    -------
    str, Work
        Base name at the destination, and what was done; the archive's own edits are those of member ``""``.

    Raises
    ------
    Unfit
        One bad member, a name that stands twice, nothing left, or an archive that is not sane.
    """
    with zips.open_archive(source) as archive:
        known = Identifiers()
        for text in ctx.telling:
            known.add(text, "PN")
        work = _rewrite(archive, ctx, out, known)
        if any(work.known.found_in(folder) for folder in _folders(work.written)):
            # a folder of an early member carries what only a later one told us to look for
            work = _rewrite(archive, ctx, out, work.known)
        return _finish(archive, name, ctx, out, work)


def _rewrite(archive: zipfile.ZipFile, ctx: Context, out: Path, known: Identifiers) -> Work:
    section = ctx.profile.zip
    work = Work(known)
    taken: set[str] = set()
    with zipfile.ZipFile(out, "w") as target:
        for position, member in enumerate(zips.members(archive), 1):
            try:
                result = _member(archive, member, ctx, section, work)
                if result is None:
                    continue
                written = _written_name(member.name, result, section, ctx, work)
                key = same_name_key(written)
                if key in taken:
                    raise Unfit("its output name is that of another member")
                taken.add(key)
                zips.write_member(target, written, result.data, member.info.compress_type)
            except Unfit as error:
                raise type(error)(f"member {position}: {error}") from None
            work.written.append(written)
    if not work.written:
        raise Unfit("the archive has no member that a section of the profile takes")
    return work


def _member(
    archive: zipfile.ZipFile, member: zips.Member, ctx: Context, section: ZipSection, work: Work
) -> Done | None:
    base = PurePosixPath(member.name).name
    cruft = is_cruft(member.name)
    data = b"" if cruft else zips.read_member(archive, member)
    if cruft or is_index(data) or takes(ctx.profile, base, data[:HEAD]) is None:
        if section.validate_members and not cruft and not is_index(data):
            raise Unfit("no section of the profile takes it, and validate-zip-members is on")
        work.dropped.append(Edit("member", "", "", "remove", DROPPED, member.name, ""))
        return None
    result = deidentify_member(data, base, ctx)
    work.known.learn(result.edits)
    work.unmatched = result.unmatched if work.unmatched is None else work.unmatched & result.unmatched
    if result.read is not None:
        work.first = work.first or result
        work.ruled |= result.ruled
        common = work.sorting or result.sorting
        work.sorting = {key: text if common.get(key) == text else "" for key, text in result.sorting.items()}
    return result


def _written_name(source: str, result: Done, section: ZipSection, ctx: Context, work: Work) -> str:
    folders = PurePosixPath(source).parent.parts
    if section.hash_subdirectories:
        written = [sha256((section.salt + folder).encode("utf-8", "surrogateescape")).hexdigest() for folder in folders]
        rule = "hash-subdirectories"
    else:
        written = [_folder(folder, ctx, work) for folder in folders]
        rule = Always.NAME.value
    name = "/".join([*written, result.name])
    moved = renamed("/".join(folders), "/".join(written), rule)
    moved = [replace(edit, path="folder") for edit in moved]
    work.audit.append(MemberEdits(name, (*result.edits, *moved)))
    return name


def _folder(name: str, ctx: Context, work: Work) -> str:
    """Return a folder's name; one in letters of an unknown system does not stay, whatever it says."""
    readable = not any("\ud800" <= letter <= "\udfff" for letter in name)
    return safe_name(name, work.known, ctx, "folder") if readable else ctx.keyring.name("folder", name)


def _folders(names: list[str]) -> set[str]:
    return {folder for name in names for folder in PurePosixPath(name).parent.parts}


def _finish(archive: zipfile.ZipFile, name: str, ctx: Context, out: Path, work: Work) -> tuple[str, Work]:
    """Set the comment, find the archive's own name, and note what was dropped."""
    section = ctx.profile.zip
    subject = ctx.subject if ctx.subject is not None else ""
    at = At("text", ctx.keyring.draw(subject), ctx.today, lambda field: "")
    edits = list(work.dropped)
    before = archive.comment.decode("utf-8", "replace")
    after, key, rule = before if section.comment else "", "remove", Always.ZIP_COMMENT.value
    for action, label in section.comment:
        if after or action.key == "replace-with":
            result = action((after,), at)
            after = "" if isinstance(result, Gone) else ",".join(result)
            key, rule = action.key, label
    if before != after:
        edits.append(Edit("zip comment", "", "", key, rule, before, after))
    if after:
        with zipfile.ZipFile(out, "a") as target:
            target.comment = after.encode()
    if any(info.extra or info.comment for info in archive.infolist()):
        edits.append(Edit("zip extra", "", "", "remove", Always.ZIP_EXTRA.value, "", ""))
    read = work.first.read if work.first is not None else None
    sorting = work.sorting or {}
    if ctx.acquisition not in (sorting.get("SeriesDescription"), sorting.get("ProtocolName")):
        work.known.add(ctx.acquisition, "")
    if section.filenames:
        written = from_templates(section.filenames, name, read or (lambda selector: None), at)
        rule = section.filenames[0].label
    else:
        written, rule = safe_name(name, work.known, ctx, "file"), Always.NAME.value
    edits += renamed(name, written, rule)
    work.audit.insert(0, MemberEdits("", tuple(edits)))
    return written, work
