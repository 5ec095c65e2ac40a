"""Archive of any kind → ZIP archive of its de-identified members, or nothing (profile language §9)."""

from __future__ import annotations

import io
from array import array
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from hashlib import sha256
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from fw_gear_deid.actions.cleaning import Fact
from fw_gear_deid.deid import pair
from fw_gear_deid.deid.cleaning import clean_of
from fw_gear_deid.deid.context import Context
from fw_gear_deid.deid.incoming import Incoming
from fw_gear_deid.deid.member import (
    EXCLUDED,
    Done,
    deidentify_member,
    held,
    known_of,
    renamed,
    safe_name,
    takes,
    templated,
)
from fw_gear_deid.deid.names import Excluded, NoTemplate, from_templates
from fw_gear_deid.deid.originals import Originals
from fw_gear_deid.deid.sort import OTHER, check_inside, for_members, inside, is_archive, is_left, section_of
from fw_gear_deid.deid.trail import Scribe
from fw_gear_deid.deid.undo import Undo
from fw_gear_deid.formats import kinds
from fw_gear_deid.formats.archive import Archive, Member, open_archive, zips
from fw_gear_deid.model.action import At, Gone
from fw_gear_deid.model.errors import Unfit
from fw_gear_deid.model.litter import litter_of
from fw_gear_deid.model.outcome import OTHER_DICOM, Always, Edit, Skipped, Trail
from fw_gear_deid.model.portable import same_name_key
from fw_gear_deid.profile.compiled import ZipSection
from fw_gear_deid.verify.known import Known, plainly

if TYPE_CHECKING:
    from fw_gear_deid.deid.shares import Body

_LITTER = "system file"
_COPY = "copy"
UNNAMED = "file that no filenames entry matches"
_LINKED = "link that has an image's name"
_HARMLESS = (_LITTER, _COPY, "DICOMDIR", "link", "device")
"""What validate-zip-members lets go."""


@dataclass(slots=True)
class Work:
    """What is known of an archive while it is rewritten."""

    known: Known
    scribe: Scribe
    standing: set[str] = field(default_factory=set)
    """Texts of the de-identified headers, as letters and digits."""
    kept: set[str] = field(default_factory=set)
    """Names of files that come from the source's, and all those in archives in it."""
    folders: dict[str, str] = field(default_factory=dict)
    """Folder of the source → its name."""
    written: list[str] = field(default_factory=list)
    trail: Trail = field(default_factory=Trail)
    dropped: list[Edit] = field(default_factory=list)
    comment: tuple[Edit, ...] = ()
    """What was done to that of the archive."""
    kinds: Counter[str] = field(default_factory=Counter)
    """What was dropped: word → number."""
    stray: int = 0
    """Position of the first dropped member that is a file of somebody's."""
    outside: int = 0
    """Bytes that belong to no member."""
    sections: set[str] = field(default_factory=set)
    """Keys of those that took members."""
    matched: set[int] = field(default_factory=set)
    """Rules that found something in a member."""
    risks: dict[str, None] = field(default_factory=dict)
    nameless: set[bool | None] = field(default_factory=set)
    """As ``Done.nameless`` of the members."""
    sorting: dict[str, str] | None = None
    """Sorting tags after de-identification; empty text where members differ."""
    ruled: frozenset[str] = frozenset()
    first: Done | None = None
    originals: Originals | None = None
    """Takes what gives members back, where that is wanted."""
    facts: set[frozenset[Fact]] = field(default_factory=set)
    """What each of them tells of the patient, where texts are cleaned of that."""

    def shared_facts(self) -> tuple[Fact, ...]:
        """Return what all of them tell together, in an order of its own; nothing where each tells the same."""
        return tuple(sorted(frozenset().union(*self.facts))) if len(self.facts) > 1 else ()

    def told(self) -> str:
        """Return what was left out, by number and kind: ``2 members left out: 1 PDF, 1 text``."""
        parts = []
        if self.kinds:
            count = sum(self.kinds.values())
            parts.append(f"{count} member{'s' if count > 1 else ''} left out: {kinds.listing(self.kinds)}")
        if self.outside:
            bytes_ = "1 byte" if self.outside == 1 else f"{self.outside} bytes"
            parts.append(f"{bytes_} left out that belong{'s' if self.outside == 1 else ''} to no member")
        return "; ".join(parts)


def deidentify_archive(source: Path, name: str, ctx: Context, out: Path) -> tuple[str, Work] | Skipped:
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
        Base name at the destination, and what was done; the archive's own edits stand in front.
    Skipped
        Nothing in it is taken by a section.

    Raises
    ------
    Unfit
        One bad member, a name that stands twice, an archive inside that hides something, or one that is not sane.
    """
    return _archived(source, name, ctx, out)


def _archived(source: Path | bytes, name: str, ctx: Context, out: Path | io.BytesIO) -> tuple[str, Work] | Skipped:
    with open_archive(source) as archive:
        ctx = replace(ctx, profile=for_members(archive, ctx.profile), archive=archive)
        work = _rewrite(archive, ctx, out, Work(_known(ctx), Scribe(ctx.originals), originals=_originals(ctx)))
        if not work.written:
            return _skipped(work)
        facts = work.shared_facts()
        if (
            any(_folder(name, ctx, work) != written for name, written in work.folders.items())
            or any(map(work.known.told_by, work.kept))
            or facts
        ):
            # a name of an early member carries what only a later one told us to look for, or is no longer known to;
            # or one tells of the patient what texts of another are to lose
            ctx = replace(ctx, around=work.known, facts=(*ctx.facts, *facts), shares=None)
            anew = Work(work.known, Scribe(ctx.originals), work.standing, originals=_originals(ctx))
            work = _rewrite(archive, ctx, out, anew)
        return _finish(archive, archive.zip_name(name), ctx, work)


def _originals(ctx: Context) -> Originals | None:
    return Originals(nested=ctx.depth > 0) if ctx.log else None


def _known(ctx: Context) -> Known:
    known = known_of(ctx)
    if ctx.around is not None:
        known.merge(ctx.around)
    return known


def _skipped(work: Work) -> Skipped:
    listed = kinds.listing(work.kinds)
    if by_rule := next((word for word in work.kinds if word.startswith(EXCLUDED)), ""):
        return Skipped(f"{by_rule}: no member is left ({listed})")
    if work.kinds[UNNAMED]:
        return Skipped(f"excluded: no filenames entry matches the name of a member ({listed})")
    if work.kinds[_LINKED]:
        raise Unfit("it holds links and not the files they lead to: pack the files (tar --dereference)")
    if work.kinds["DICOM"]:
        return Skipped(f"{OTHER_DICOM} in an archive, which no section of the profile takes ({listed})")
    return Skipped(f"{OTHER}an archive with no member that a section takes ({listed or 'it is empty'})")


def _rewrite(archive: Archive, ctx: Context, out: Path | io.BytesIO, work: Work) -> Work:
    section = ctx.profile.zip
    taken: dict[str, int] = {}  # name → which of those that were written
    marks = array("Q")  # size and check sum of what each was made of
    with zips.Target(out, small=ctx.small) as target:
        for member in archive.members():
            try:
                found = _member(member, ctx, work)
                if found is None:
                    continue
                result, body = found
                written, moved = _written_name(member.name, result, section, ctx, work)
                key = same_name_key(written)
                if key in taken:
                    there = taken[key]
                    same = _digest(result.pieces) == _digest(target.pieces(work.written[there]))
                    if not same or marks[2 * there : 2 * there + 2] != _mark(member):
                        raise Unfit("its output name is that of another member")
                    _drop(member, _COPY, work)
                    continue
                if isinstance(body, Incoming):
                    zips.write_member(target, written, result.pieces, member.compression)
                else:
                    body.copy(target, written)
                taken[key] = len(work.written)
                marks.extend(_mark(member))
            except Unfit as error:
                raise type(error)(f"member {member.position}: {error}") from None
            work.written.append(written)
            work.scribe.edits(written, (*result.edits, *moved))
            if result.inside.lines:
                work.scribe.below(written, result.inside)
            if work.originals is not None and result.undo is not None:
                work.originals.add(written, member.name, result.undo)
        work.outside = archive.outside
        if section.validate_members and work.written and work.stray:
            raise Unfit(f"member {work.stray}: no section of the profile takes it, and validate-zip-members is on")
        if work.written:
            target.comment, work.comment = _comment(archive, ctx, work.known)
    return work


def _mark(member: Member) -> array[int]:
    """Return size and check sum of a member that was read."""
    assert member.crc is not None  # noqa: S101 -- it is known when all pieces have come
    return array("Q", (member.size, member.crc))


def _digest(pieces: Iterator[bytes]) -> bytes:
    digest = sha256()
    for piece in pieces:
        digest.update(piece)
    return digest.digest()


def _comment(archive: Archive, ctx: Context, known: Known) -> tuple[bytes, tuple[Edit, ...]]:
    """Return the comment of the result, and what was done to it."""
    section = ctx.profile.zip
    before = archive.comment.decode("utf-8", "replace")
    after, key, rule = before if section.comment else "", "remove", Always.ZIP_COMMENT.value
    for action, label in section.comment:
        if after or action.key == "replace-with":
            result = action((after,), _at(ctx))
            after = "" if isinstance(result, Gone) else ",".join(result)
            key, rule = action.key, label
    if known.told_by(after):
        after, key, rule = "", "remove", Always.NAME.value
    edits = (Edit("zip comment", "", "", key, rule, before, after),) if before != after else ()
    return after.encode(), edits


def _member(member: Member, ctx: Context, work: Work) -> tuple[Done, Incoming | Body] | None:
    """Return a de-identified member, and what it is made of; None when it is left out, and told."""
    found = made(member, ctx) if ctx.shares is None else ctx.shares.make(member, ctx)
    if isinstance(found, str):
        _drop(member, found, work)
        return None
    result, body = found
    result.teach(work.known)
    work.facts |= {result.facts} if result.facts is not None else set()
    work.standing |= {plainly(text) for text in result.sorting.values() if text}
    work.sections |= result.sections
    work.kept |= result.kept
    work.matched |= result.matched
    work.risks |= dict.fromkeys(result.risks)
    work.nameless.add(result.nameless)
    if result.read is not None:
        work.first = work.first or result
        work.ruled |= result.ruled
        common = work.sorting or result.sorting
        work.sorting = {key: text if common.get(key) == text else "" for key, text in result.sorting.items()}
    return result, body


def made(member: Member, ctx: Context) -> tuple[Done, Incoming] | str:
    """De-identify a member, whatever the others are; return what it is in a word when it is left out.

    Raises
    ------
    Unfit
    """
    incoming = begun(member, ctx)
    if isinstance(incoming, Done):
        return incoming, Incoming(iter(()), 0)
    if isinstance(incoming, str):
        return incoming
    try:
        return deidentify_member(incoming, PurePosixPath(member.name).name, beside(member, ctx)), incoming
    except Unfit as error:
        incoming.drain()  # that it is damaged says more
        word = word_of(error)
        if not word:
            raise
        return word


def word_of(error: Unfit) -> str:
    """Return what is told of a member that the profile leaves out; empty for what is refused."""
    return UNNAMED if isinstance(error, NoTemplate) else str(error) if isinstance(error, Excluded) else ""


def beside(member: Member, ctx: Context) -> Context:
    """Let the work on a member find the other half of its pair."""
    return replace(ctx, other=partial(pair.among, ctx.archive, PurePosixPath(member.name).parent))


def begun(member: Member, ctx: Context) -> Done | Incoming | str:
    """Return a member that a section takes, or what it is in a word; of an archive what became of it.

    Raises
    ------
    Unfit
    """
    data = None
    if is_archive(member):
        data = inside(member, ctx.depth + 1)
        if (found := _nested(data, PurePosixPath(member.name).name, ctx)) is not None:
            return found
    section = section_of(member, ctx.profile)
    if is_left(section) and not litter_of(member.name):
        data = check_inside(member, ctx.profile, data=data)
    if section is None:
        if data is None and not litter_of(member.name):
            member.check()  # what is damaged may have been an image
        return _word(member, ctx)
    return Incoming(member.pieces() if data is None else iter((data,)), member.size)


def _nested(data: bytes, name: str, ctx: Context) -> Done | str | None:
    """De-identify an archive in an archive; None where no section takes anything in it, a word where it is left out.

    Raises
    ------
    Unfit
    """
    out = io.BytesIO()
    found = _archived(data, name, replace(ctx, depth=ctx.depth + 1, shares=None), out)
    if isinstance(found, Skipped):
        rule, end, _ = found.reason.partition("): ")
        if end and rule.startswith(EXCLUDED):
            return f"{rule})"
        return UNNAMED if found.reason.startswith("excluded") else None
    written, work = found
    return Done(
        name=written,
        pieces=iter((out.getvalue(),)),
        edits=(),
        sections=frozenset(work.sections),
        matched=frozenset(work.matched),
        risks=tuple(work.risks),
        sorting=work.sorting or {},
        ruled=work.ruled,
        read=work.first.read if work.first is not None else None,
        whose=work.known.tells_whose,
        kept=frozenset({written, *work.kept, *work.folders.values()}),
        inside=work.trail,
        known=work.known,
        undo=Undo("archive", inside=work.originals.ended()) if work.originals is not None else None,
        facts=frozenset().union(*work.facts) if work.facts else None,
        nameless=None if work.nameless <= {None} else work.nameless <= {None, True},
    )


def _word(member: Member, ctx: Context) -> str:
    """Return what a member is that nobody takes."""
    if litter_of(member.name):
        return _LITTER
    if member.special:
        named = not is_left(takes(ctx.profile, PurePosixPath(member.name).name, b""))
        return _LINKED if named else member.special
    return kinds.word_for(member.head())


def _drop(member: Member, word: str, work: Work) -> None:
    """Leave a member out."""
    work.kinds[word] += 1
    if word not in _HARMLESS and not word.startswith(EXCLUDED):
        work.stray = work.stray or member.position
    work.dropped.append(Edit("member", "", "", "remove", Always.MEMBER_DROPPED.value, member.name, ""))
    if work.originals is not None:
        work.originals.drop(member.name, member.size, word)


def _written_name(source: str, result: Done, section: ZipSection, ctx: Context, work: Work) -> tuple[str, list[Edit]]:
    """Return the path of a member, and what was done to its folders."""
    folders = PurePosixPath(source).parent.parts
    if section.hash_subdirectories:
        written = [sha256((section.salt + folder).encode("utf-8", "surrogateescape")).hexdigest() for folder in folders]
        rule = "hash-subdirectories"
    else:
        written = [work.folders.setdefault(folder, _folder(folder, ctx, work)) for folder in folders]
        rule = Always.NAME.value
    moved = renamed("/".join(folders), "/".join(written), rule)
    own, edits = result.name, [replace(edit, path="folder") for edit in moved]
    if own in result.kept and ctx.around is not None:
        own, rule = templated(own, work.known, "", ctx)
        edits += renamed(result.name, own, rule)
    return "/".join([*written, own]), edits


def _folder(name: str, ctx: Context, work: Work) -> str:
    """Return a folder's name; one in letters of an unknown system does not stay, whatever it says."""
    readable = not any("\ud800" <= letter <= "\udfff" for letter in name)
    return safe_name(name, work.known, work.standing, ctx, "folder") if readable else ctx.keyring.name("folder", name)


def _at(ctx: Context) -> At:
    return At("text", ctx.draw(), ctx.today, lambda field: "", clean_of((), tuple, ctx.around_texts))


def _finish(archive: Archive, name: str, ctx: Context, work: Work) -> tuple[str, Work]:
    """Find the archive's own name, and note what was dropped and what else was done to the whole."""
    section = ctx.profile.zip
    edits = [*work.dropped, *work.comment]
    if archive.extras:
        goes = Always.ZIP_EXTRA if archive.extras == "zip extra" else Always.TAR_HEADERS
        edits.append(Edit(archive.extras, "", "", "remove", goes.value, "", ""))
    if work.outside:
        edits.append(Edit("bytes outside of members", "", "", "remove", Always.ZIP_OUTSIDE.value, "", ""))
    read = work.first.read if work.first is not None else None
    sorting = work.sorting = held(work.sorting or {}, work.known)
    if ctx.acquisition not in (sorting.get("SeriesDescription"), sorting.get("ProtocolName")):
        work.known.add(ctx.acquisition, "LO")
    if section.filenames:
        written = from_templates(section.filenames, name, read or (lambda selector: None), _at(ctx))
        written, rule = templated(written, work.known, section.filenames[0].label, ctx)
    else:
        written, rule = safe_name(name, work.known, work.standing, ctx, "file"), Always.NAME.value
    edits += renamed(name, written, rule)
    own = Scribe(ctx.originals)
    own.edits("", edits)
    work.trail = work.scribe.end(own.end())
    return written, work
