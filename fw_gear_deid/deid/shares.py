"""Members of one archive, some made by each worker → packed bodies and what is known of them, for who joins them.

Who joins goes through the archive as if alone and takes what was made instead of making it, so that names, copies,
people who contradict, refusals and bytes are those of one worker. What is missing it makes itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

from fw_gear_deid.deid.archive import begun, made, word_of
from fw_gear_deid.deid.context import Context
from fw_gear_deid.deid.identity import Watch
from fw_gear_deid.deid.incoming import Incoming
from fw_gear_deid.deid.member import Done, deidentify_member
from fw_gear_deid.deid.sort import for_members, sort
from fw_gear_deid.formats.archive import Member, open_archive, zips
from fw_gear_deid.formats.archive.content import Content, Packed
from fw_gear_deid.formats.archive.members import PIECE
from fw_gear_deid.model.errors import Unfit
from fw_gear_deid.model.frozen import frozen
from fw_gear_deid.model.outcome import Ids
from fw_gear_deid.model.person import Identity
from fw_gear_deid.model.selectors import AnySelector
from fw_gear_deid.profile.compiled import ZipSection


@frozen
class Record:
    """What became of one member; it can be handed on.

    Attributes
    ----------
    word : str
        What it is, where it is left out.
    done : Done or None
        Without its bytes.
    texts : mapping
        What ``done.read`` says of the elements that names of archives are made of.
    packed : Packed or None
        Where its result lies.
    error : Unfit or None
        Why it cannot be released.
    damage : Unfit or None
        What its bytes ended in, whatever else is wrong with it.
    met, holds, ids
        What ``Watch`` and ``Notes`` took of it.
    """

    word: str = ""
    done: Done | None = None
    texts: Mapping[AnySelector, str | None] | None = None
    packed: Packed | None = None
    error: Unfit | None = None
    damage: Unfit | None = None
    met: tuple[Identity, ...] = ()
    holds: frozenset[str] = frozenset()
    ids: tuple[Ids, ...] = ()


@frozen
class Body:
    """The result of a member as it lies in a share."""

    part: Path
    record: Record

    def pieces(self) -> Iterator[bytes]:
        """Yield its bytes.

        Raises
        ------
        Unfit
            What they were made of is damaged.
        """
        with self.part.open("rb") as stream:
            content = Content(stream, self._packed())
            while piece := content.pull(PIECE):
                yield piece

    def copy(self, target: zips.Target, name: str) -> None:
        """Add it to an archive as it is packed; raises as ``pieces``."""
        packed = self._packed()
        with self.part.open("rb") as stream, target.member(name, packed.method) as out:
            out.copy(stream, packed)

    def _packed(self) -> Packed:
        if self.record.damage is not None:
            raise self.record.damage
        assert self.record.packed is not None  # noqa: S101 -- one or the other
        return self.record.packed


class Shares:
    """What several workers made of one archive.

    Parameters
    ----------
    parts : sequence
        Archive that a share was written to, and its records by the position of members.
    """

    def __init__(self, parts: Sequence[tuple[Path, Mapping[int, Record]]]) -> None:
        self._made = {position: (part, record) for part, records in parts for position, record in records.items()}

    def make(self, member: Member, ctx: Context) -> tuple[Done, Incoming | Body] | str:
        """Return what ``archive.made`` would, as far as possible without doing it.

        Raises
        ------
        Unfit
        """
        if member.position not in self._made:
            return made(member, ctx)
        part, record = self._made[member.position]
        try:
            alike = all(ctx.watch.meet(identity) for identity in record.met)
        except Unfit as error:
            if record.done is None or record.done.known is None:
                raise record.damage or error from None  # that it is damaged says more
            alike = False  # an archive: which member of it is to blame, the work on it tells
        if not alike:
            return made(member, ctx)  # another person's: what was drawn for it does not count
        ctx.watch.holds |= record.holds
        ctx.notes.ids |= dict.fromkeys(record.ids)
        if record.error is not None:
            raise record.error
        if record.done is None:
            return record.word
        body = Body(part, record)
        read = None if record.texts is None else record.texts.get
        return replace(record.done, pieces=body.pieces(), read=read), body


def make_share(source: Path, name: str, ctx: Context, out: Path, share: int, shares: int) -> dict[int, Record]:
    """Make every so-manieth member of an archive; nothing where it is none whose members can be had by themselves.

    Parameters
    ----------
    out : Path
        Where the results are written.
    share, shares : int
        Which one, from 0, of how many.

    Raises
    ------
    Unfit
        The archive is not sane, which whoever joins finds, too.
    """
    records: dict[int, Record] = {}
    if not isinstance(sort(source, name, ctx.profile).section, ZipSection):
        return records
    with open_archive(source) as archive:
        ctx = replace(ctx, profile=for_members(archive, ctx.profile))
        if not isinstance(archive, zips.ZipArchive):
            return records
        with zips.Target(out, small=ctx.small) as target:
            for number, member in enumerate(archive.members()):
                if number % shares == share:
                    own = replace(ctx, archive=archive)
                    record = records[member.position] = _record(member, own, target)
                    if record.error is not None or record.damage is not None:
                        break  # the archive is refused for it, or for an earlier one
    return records


def _record(member: Member, ctx: Context, target: zips.Target) -> Record:
    """Make one member, as ``archive.made`` and ``archive`` do."""
    own = replace(ctx, notes=ctx.notes.fresh(), watch=Watch())

    def record(**more: Any) -> Record:
        return Record(met=tuple(own.watch.met), holds=frozenset(own.watch.holds), ids=tuple(own.notes.ids), **more)

    try:
        incoming = begun(member, own)
    except Unfit as error:
        return record(error=error)
    if isinstance(incoming, str):
        return record(word=incoming)
    try:
        base = PurePosixPath(member.name).name
        done = incoming if isinstance(incoming, Done) else deidentify_member(incoming, base, own)
    except Unfit as error:
        try:
            if isinstance(incoming, Incoming):
                incoming.drain()
        except Unfit as damage:
            return record(error=damage, damage=damage)
        word = word_of(error)
        return record(word=word) if word else record(error=error)
    texts = None
    if done.read is not None:
        texts = {selector: done.read(selector) for one in ctx.profile.zip.filenames for _, selector in one.fields}
    bare = replace(done, pieces=iter(()), read=None, unread=partial(tuple, tuple(done.unread())))
    try:
        packed = zips.write_member(target, str(member.position), done.pieces, member.compression)
    except Unfit as damage:
        return record(done=bare, texts=texts, damage=damage)
    return record(done=replace(bare, edits=done.edits), texts=texts, packed=packed)
