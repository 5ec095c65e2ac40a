"""One source file → one de-identified file with its audit, or the reason why there is none. Pure but for its paths."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from hashlib import file_digest, sha256
from itertools import islice
from pathlib import Path

from fw_gear_deid.deid import gate
from fw_gear_deid.deid.archive import deidentify_archive
from fw_gear_deid.deid.context import Context
from fw_gear_deid.deid.identity import Watch
from fw_gear_deid.deid.member import Done, deidentify_member, takes
from fw_gear_deid.deid.names import Excluded, NoTemplate
from fw_gear_deid.deid.notes import Notes
from fw_gear_deid.deid.originals import Originals
from fw_gear_deid.deid.sort import Found, coming, files, sort
from fw_gear_deid.deid.survey import first_ids, survey
from fw_gear_deid.deid.trail import Scribe
from fw_gear_deid.deid.undo import unpacked
from fw_gear_deid.formats import kinds
from fw_gear_deid.formats.archive import called_archive, methods, zips
from fw_gear_deid.model.errors import Unfit
from fw_gear_deid.model.frozen import frozen
from fw_gear_deid.model.outcome import Always, Edit, Released, Skipped, Trail
from fw_gear_deid.model.portable import same_name_key, sanitize
from fw_gear_deid.profile.compiled import DicomSection, FieldSection, ZipSection
from fw_gear_deid.verify.known import Known


@frozen
class Result:
    """A released file, what its header says for placing it, and what was changed."""

    released: Released
    sorting: dict[str, str]
    ruled: frozenset[str]
    trail: Trail
    originals: Originals | None = None
    """What gives it back, where that was wanted."""


def deidentify(source: Path, name: str, ctx: Context, out: Path) -> Result | Skipped:
    """De-identify one file or one archive.

    Parameters
    ----------
    source : Path
        Read only.
    name : str
        Base name at the source.
    ctx : Context
    out : Path
        Where the result is written; holds nothing useful unless a Result comes back.

    Raises
    ------
    Unfit
        It cannot be de-identified and checked.
    """
    found = sort(source, name, ctx.profile)
    if found.section is None:
        return Skipped(found.reason)
    try:
        if isinstance(found.section, ZipSection):
            rewritten = deidentify_archive(source, name, ctx, out)
            if isinstance(rewritten, Skipped):
                return rewritten
            written, work = rewritten
            size = source.stat().st_size
            released = replace(
                _released(out, written, len(work.written), size),
                reason=work.scribe.told(work.told()),
                unmatched=ctx.profile.without(work.matched),
                sections=frozenset(work.sections),
                risks=gate.summed(work.risks, work.nameless),
            )
            return Result(released, work.sorting or {}, work.ruled, work.trail, work.originals)
        done = _one(source, found, ctx)
    except NoTemplate as error:
        return Skipped(f"excluded: {error}")
    except Excluded as error:
        return Skipped(str(error))
    digest, size = sha256(), 0
    with out.open("wb") as stream:
        for piece in done.pieces:
            stream.write(piece)
            digest.update(piece)
            size += len(piece)
    scribe = Scribe(ctx.originals)
    scribe.edits("", done.edits)
    released = Released(
        name=done.name,
        members=1,
        bytes_in=source.stat().st_size,
        bytes_out=size,
        sha256=digest.hexdigest(),
        unmatched=ctx.profile.without(done.matched),
        sections=done.sections,
        risks=gate.summed(done.risks, [done.nameless]),
        reason=scribe.told(),
    )
    originals = None
    if done.undo is not None:
        originals = Originals()
        originals.add("", name, unpacked(done.undo, found.packing) if found.packing else done.undo)
    return Result(released, done.sorting, done.ruled, scribe.end(), originals)


def deidentify_series(sources: list[tuple[Path, str]], ctx: Context, out: Path) -> Result | Skipped:
    """De-identify the loose instances of one series into one archive (``.dicom.zip``), named by its series.

    Those that the profile leaves out are counted; with none left the series is skipped.

    Raises
    ------
    Unfit
        One instance that cannot be released refuses the series.
    """
    scribe, originals = Scribe(ctx.originals), Originals() if ctx.log else None
    taken: set[str] = set()
    sorting: dict[str, str] = {}
    ruled: frozenset[str] = frozenset()
    matched: set[int] = set()
    sections: set[str] = set()
    risks: dict[str, None] = {}
    nameless: set[bool | None] = set()
    size = 0
    left: Counter[str] = Counter()
    with zips.Target(out, small=ctx.small) as target:
        for position, (source, name) in enumerate(sources, 1):
            size += source.stat().st_size
            try:
                done = _one(source, sort(source, name, ctx.profile), ctx)
            except Excluded as error:
                left[str(error)] += 1
                continue
            except Unfit as error:
                raise type(error)(f"instance {position} of the series: {error}") from None
            key = same_name_key(done.name)
            if key in taken:
                raise Unfit(f"instance {position} of the series: its output name is that of another one")
            taken.add(key)
            zips.write_member(target, done.name, done.pieces, methods.DEFLATED)
            scribe.edits(done.name, done.edits)
            if originals is not None and done.undo is not None:
                originals.add(done.name, name, done.undo)
            matched |= done.matched
            sections |= done.sections
            risks |= dict.fromkeys(done.risks)
            nameless.add(done.nameless)
            sorting = {
                key: text if (sorting or done.sorting).get(key) == text else "" for key, text in done.sorting.items()
            }
            ruled |= done.ruled
    if not taken:
        return Skipped(next(iter(left)))
    count = sum(left.values())
    told = f"{count} instance{'s' if count > 1 else ''} left out: {kinds.listing(left)}" if left else ""
    name = _series_name(sorting.get("SeriesInstanceUID", ""), ctx, min(taken))
    released = replace(
        _released(out, name, len(taken), size),
        reason=scribe.told(told),
        unmatched=ctx.profile.without(matched),
        sections=frozenset(sections),
        risks=gate.summed(risks, nameless),
    )
    return Result(released, sorting, ruled, scribe.end(), originals)


def taught(source: Path, name: str, ctx: Context) -> Context:
    """Return a context in which names are held against what goes from a companion, too: of an archive its first file.

    From one that cannot be read nothing is learnt; then only names that tell nobody stay.
    """
    known = ctx.beside or Known()
    profile = ctx.profile.nameless()  # also where no name is made for it
    own = replace(ctx, profile=profile, notes=Notes(), watch=Watch(), shares=None, beside=None)
    try:
        found = sort(source, name, profile)
        for _, base, incoming in islice(files(source, found, profile, DicomSection, FieldSection), 1):
            deidentify_member(incoming, base, own).teach(known)
    except Unfit:
        known.doubt()
    return replace(ctx, beside=known)


def _series_name(uid: str, ctx: Context, member: str) -> str:
    """Return the archive's name by its UID, which may be any text; one that makes no name gets a pseudonym."""
    try:
        return sanitize(f"{uid}.dicom.zip" if uid else "")
    except Unfit:
        return ctx.keyring.name("series", ctx.person or "nobody", uid or member) + ".dicom.zip"


def _one(source: Path, found: Found, ctx: Context) -> Done:
    """De-identify a file that is no archive, packed or not."""
    done = deidentify_member(coming(source, found), found.name, ctx)
    if found.packing:
        header = Edit(f"{found.packing} header", "", "", "remove", Always.PACKED_HEADER.value, "", "")
        done.edits = (*done.edits, header)
    return done


def _released(
    out: Path,
    name: str,
    members: int,
    bytes_in: int,
) -> Released:
    with out.open("rb") as stream:
        digest = file_digest(stream, "sha256").hexdigest()
    return Released(
        name=name,
        members=members,
        bytes_in=bytes_in,
        bytes_out=out.stat().st_size,
        sha256=digest,
    )


__all__ = [
    "Context", "Done", "Result", "called_archive", "deidentify", "deidentify_series", "files", "first_ids", "sort",
    "survey", "takes",
]  # fmt: skip
