"""Bytes of one file that is no archive → its de-identified bytes, checked (one section per file)."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain

from fw_gear_deid.actions.cleaning import Fact
from fw_gear_deid.deid import dataset, document, envelope, gate, masks, pair
from fw_gear_deid.deid.cleaning import clean_of
from fw_gear_deid.deid.columns import NO_PSEUDONYM, Rows, subject_column
from fw_gear_deid.deid.context import Context
from fw_gear_deid.deid.document import Edited
from fw_gear_deid.deid.identity import person_of, tells_whose
from fw_gear_deid.deid.incoming import Incoming
from fw_gear_deid.deid.marking import telling_of
from fw_gear_deid.deid.names import Excluded, from_templates, may_stay, stem_of, suffix_of
from fw_gear_deid.deid.notes import check_ids, ids_of
from fw_gear_deid.deid.passing import Passing
from fw_gear_deid.deid.undo import Undo, decrypted, passed, undo_fields, undo_front
from fw_gear_deid.deid.undo_dicom import ASKED, undo_dicom
from fw_gear_deid.formats import FORMATS
from fw_gear_deid.formats import known as known_format
from fw_gear_deid.formats.archive import HEAD, PIECE, packed
from fw_gear_deid.formats.dicom import careful, part10
from fw_gear_deid.formats.dicom.fields import Fields
from fw_gear_deid.formats.row import Splice
from fw_gear_deid.model import limits
from fw_gear_deid.model.action import At
from fw_gear_deid.model.errors import Unfit
from fw_gear_deid.model.outcome import NOTHING_SOUGHT, Always, Edit, Trail
from fw_gear_deid.model.portable import sanitize
from fw_gear_deid.model.selectors import AnySelector
from fw_gear_deid.model.words import is_neutral
from fw_gear_deid.profile.compiled import DicomSection, FieldSection, FilenameSection, Profile, ZipSection
from fw_gear_deid.verify.instance import Written
from fw_gear_deid.verify.known import Known

MODALITY = 0x00080060
SOP_INSTANCE_UID = 0x00080018
_TOLD = 5  # rules that a reason names
EXCLUDED = "excluded ("
"""Begins what is told of an instance that ``exclude`` leaves out; the place in the profile follows."""
# keyword → tag of what places and labels a file
SORTING = {
    "PatientID": 0x00100020,
    "StudyInstanceUID": 0x0020000D,
    "StudyDescription": 0x00081030,
    "SeriesInstanceUID": 0x0020000E,
    "SeriesDescription": 0x0008103E,
    "ProtocolName": 0x00181030,
}
AnySection = DicomSection | FieldSection | FilenameSection | ZipSection


@dataclass(slots=True)
class Done:
    """One de-identified file, not yet anywhere.

    Attributes
    ----------
    name : str
        Base name at the destination.
    pieces : iterator of bytes
        All of it, once. An error on the way, or at the end, takes back what came.
    edits : tuple of Edit
        All of them when the last piece has come.
    sections : frozenset of str
        Keys of the sections that took it, or what is in it.
    matched : frozenset of int
        Rules that found something.
    risks : tuple of str
        Words for what is in it and may tell whose it is though no rule names it.
    sorting : dict of str to str
        Texts of the sorting tags after de-identification; empty outside DICOM.
    ruled : frozenset of str
        Sorting tags that a rule sets, changes or keeps on purpose.
    read : callable or None
        Element → text after de-identification.
    unread : callable
        As ``Edited.unread``.
    whose : bool
        It says, or said, whose it is.
    kept : frozenset of str
        Names in it that come from the source's: its own, those of folders and files in an archive.
    inside : Trail
        Of an archive: what was changed in its members.
    known : Known or None
        Of an archive: what names around it may not carry.
    undo : Undo or None
        What gives it back, where that is wanted.
    facts : frozenset of Fact or None
        What it tells of the patient, where texts are cleaned of that.
    nameless : bool or None
        No rule took away a name or id that could be looked for; None where nobody looks.
    """

    name: str
    pieces: Iterator[bytes]
    edits: tuple[Edit, ...]
    sections: frozenset[str] = frozenset()
    matched: frozenset[int] = frozenset()
    risks: tuple[str, ...] = ()
    sorting: dict[str, str] = field(default_factory=dict)
    ruled: frozenset[str] = frozenset()
    read: Callable[[AnySelector], str | None] | None = None
    unread: Callable[[], Iterable[tuple[str, str]]] = tuple
    whose: bool = False
    kept: frozenset[str] = frozenset()
    inside: Trail = field(default_factory=Trail)
    known: Known | None = None
    undo: Undo | None = None
    facts: frozenset[Fact] | None = None
    nameless: bool | None = None

    def teach(self, known: Known) -> None:
        """Let a name that is to stand around it be held against what went from it."""
        known.learn(edit for edit in self.edits if edit.path != "filename")  # what a name was tells nothing by itself
        if self.known is not None:
            known.merge(self.known)
        for text, vr in self.unread():
            known.add(text, vr)
        known.tells_whose |= self.whose


def takes(profile: Profile, name: str, head: bytes, *, archive: bool = False) -> AnySection | None:
    """Return the one section that takes a file: by content first, then by name, each in the order of the formats.

    What content tells, no name changes: a format that this version knows goes to its own section, or to none.

    Parameters
    ----------
    name : str
        Base name.
    head : bytes
        First bytes, ``HEAD`` of them where there are as many.
    archive : bool
        It is an archive, or is called one, that may be opened.
    """
    sections = profile.sections
    for section in sections:
        if section.match.by_content(head):
            return section
    if (
        archive
        and (sections or profile.filename)
        and (not profile.zip.match.enforce or profile.zip.match.by_name(name))
    ):
        return profile.zip
    its_own = known_format(head)
    for section in sections:
        row = FORMATS[section.match.key]
        if its_own in (None, row) and section.match.by_name(name) and not row.denies(head):
            return section
    if its_own is None and profile.filename is not None and profile.filename.match.by_name(name):
        return profile.filename
    return None


def deidentify_member(source: Incoming, name: str, ctx: Context) -> Done:
    """De-identify one file and check the result: its beginning, and what follows as it is taken.

    Parameters
    ----------
    source : Incoming
    name : str
        Base name at the source.

    Raises
    ------
    Unfit
    """
    match takes(ctx.profile, name, source.data[:HEAD]):
        case DicomSection() as section:
            return _dicom(source, name, section, ctx)
        case FieldSection() as section:
            return _whole(source, name, section, ctx)
        case FilenameSection() as section:
            return _renamed(source, name, section, ctx)
        case _:
            raise Unfit("no section of the profile takes this file")


def _dicom(source: Incoming, name: str, section: DicomSection, ctx: Context) -> Done:
    try:
        if section.masks and section.exclude:
            source.enough(lambda: leave_out(dataset.open_file(source.data, section, (), source.total), section))
        masked = masks.masked(source, section, verify=ctx.verify != "off")
        source = masked.source
        done = source.enough(lambda: _from_beginning(source, name, section, ctx))
    except Excluded:
        source.drain()  # what cannot be read is refused
        raise
    done.edits = (*masked.edits, *done.edits)
    done.matched |= ctx.profile.met(masked.masks)
    return done


def _from_beginning(source: Incoming, name: str, section: DicomSection, ctx: Context) -> Done:
    """De-identify a file whose changes all lie in the bytes at hand."""
    also = tuple(selector for one in ctx.profile.zip.filenames for selector in one.elements)
    also += ASKED if ctx.log else ()
    parts = dataset.open_file(source.data, section, also, source.total)
    leave_out(parts, section)
    fields = dataset.fields_of(parts)
    before = ids_of(fields)
    check_ids(before, ctx.ids)
    if not ctx.watch.see(fields, ctx.keyring):
        ctx = replace(ctx, person=None)  # warned of: two people still never share what is drawn
    person = ctx.person or person_of(fields, ctx.keyring)
    back = envelope.restored(parts, section, dataset.plan_of(section).places, ctx.cipher)
    opened, parts = parts, back.parts
    edited = dataset.edit(parts, section, ctx.draw(person), (ctx.keyring, person), ctx.today, telling_of(ctx))
    behind = part10.behind(parts, edited.body)
    ctx.notes.add(before, edited.after)
    ctx.notes.take(edited.edits)
    clean = clean_of(edited.edits, edited.unread, ctx.around_texts)
    at = At("text", ctx.draw(person), ctx.today, lambda name: "", clean)
    if section.filenames:
        written = ctx.follow(from_templates(section.filenames, name, edited.read, at))
        rule = section.filenames[0].label
    else:
        written, rule = _default_name(edited.after, name, ctx), "default name"
    pieces, meta = part10.write(parts, edited.meta, edited.body)
    written_bytes = b"".join(pieces)
    del pieces  # which are all of it once more
    told: tuple[str, ...] = ()
    if ctx.verify != "off":
        written_as = dataset.check(edited, written_bytes, meta, behind)
        told = _left(written_as, written_bytes, edited, ctx)
    edits = (*back.edits, *edited.edits)
    body: Sequence[Splice] = edited.body
    if edited.sealed:
        checked = ctx.verify != "off"
        written_bytes, row, body = envelope.enveloped(edited, written_bytes, ctx.cipher, checked=checked)
        edits += (row,)
    done = Done(
        name=written,
        pieces=_pieces(written_bytes, source, behind),
        edits=edits,
        sections=frozenset({section.match.key}),
        matched=found_by(section, back.of(edited.matched, section), ctx),
        risks=(*edited.risks, *(word for word in told if word != NOTHING_SOUGHT)),
        sorting=sorting_texts(edited.after),
        ruled=ruled_keywords(section, edited.after, edited.edits),
        read=edited.read,
        unread=edited.unread,
        whose=tells_whose(fields),
        undo=undo_dicom(parts, (meta, body), edits, edited.where, edited.blanks) if ctx.log else None,
        facts=None if edited.facts is None else frozenset(edited.facts),
        nameless=NOTHING_SOUGHT in told if ctx.verify != "off" else None,
    )
    if done.undo is not None and parts is not opened:
        done.undo = decrypted(done.undo)
    if section.filenames:
        done.name, rule = templated(written, known_of(ctx, done), rule, ctx)
        done.kept = frozenset({done.name})
    if ctx.acquisition and ctx.acquisition in (done.sorting[keyword] for keyword in DESCRIPTIONS):
        done.sorting = held(done.sorting, known_of(ctx, done))
    done.edits = (*done.edits, *renamed(name, done.name, rule))
    return done


def _left(written: Written, data: bytes, edited: dataset.Edited, ctx: Context) -> tuple[str, ...]:
    """Return where a result still tells whose it is; raise Unfit where it may not."""
    label = gate.label_of(ctx.person, ctx.telling)
    if label and label in sorting_texts(edited.after)["PatientID"]:
        label = ""  # which is what the profile wants
    try:
        below = tuple(edited.unread())
    except Unfit:
        below = ()  # of a sequence that went and that nobody can read, no name is known
    taken = gate.taken_by(edited.edits, below, label)
    told = gate.look(written, data, edited.edits, taken, edited.parts.body.charset)
    if ctx.verify == gate.REFUSING:
        gate.refuse(told)
        careful.reads(data)
    return told


def leave_out(parts: part10.Parts, section: DicomSection) -> None:
    """Raise Excluded where the profile leaves an instance out for what its header says."""
    label = dataset.excluded(parts, section)
    if label:
        raise Excluded(f"{EXCLUDED}{label})")


def found_by(section: DicomSection | FieldSection, matched: Collection[int], ctx: Context) -> frozenset[int]:
    """Return the rules that found something in a file of their section.

    Raises
    ------
    Unfit
        Some found nothing, and the run is to refuse that.
    """
    if ctx.strict_rules:
        idle = [rule.label for rule in section.rules if rule.index not in matched]
        if idle:
            more = f" and {len(idle) - _TOLD} more" if len(idle) > _TOLD else ""
            raise Unfit(f"rules that find nothing in it: {', '.join(idle[:_TOLD])}{more}")
    return frozenset(matched)


def _pieces(beginning: bytes, source: Incoming, behind: int) -> Iterator[bytes]:
    """Yield a result; where nothing follows its beginning, the rest of the source is only made sure of."""
    yield beginning
    for piece in source.rest():
        if behind:
            yield piece


DESCRIPTIONS = ("SeriesDescription", "ProtocolName")
"""Elements that somebody typed, and by which acquisitions are called."""


def known_of(ctx: Context, *files: Done) -> Known:
    """Return what no name around some files may carry."""
    known = Known()
    for text in ctx.telling:
        known.add(text, "")
        known.tells_whose |= not is_neutral(text)
    known.tells_whose |= ctx.entities is not None  # names of a layout are made of its words
    if ctx.beside is not None:
        known.merge(ctx.beside)
    for one in files:
        one.teach(known)
    return known


def templated(name: str, known: Known, rule: str, ctx: Context) -> tuple[str, str]:
    """Return a name that ``filenames`` gives, and its rule; a neutral one where it carries what a rule took away."""
    if not known.told_by(name):
        return name, rule
    return _pseudonym(name, ctx), Always.NAME.value


def held(sorting: Mapping[str, str], known: Known) -> dict[str, str]:
    """Return texts without descriptions that no label may have, since they carry what a rule took away."""
    return {key: "" if key in DESCRIPTIONS and known.told_by(text) else text for key, text in sorting.items()}


def sorting_texts(fields: Fields) -> dict[str, str]:
    """Return the texts of the sorting tags; empty where there are none that can be read."""
    texts = {}
    for keyword, tag in SORTING.items():
        try:
            texts[keyword] = fields.text(tag)
        except Unfit:
            texts[keyword] = ""
    return texts


def ruled_keywords(section: DicomSection, after: Fields, edits: tuple[Edit, ...]) -> frozenset[str]:
    """Return the sorting tags that a rule sets, changes or keeps on purpose."""
    named = {tag for tag in dataset.plan_of(section).named_top(SORTING.values()) if after.raw(tag) is not None}
    edited = {edit.keyword for edit in edits if "[" not in edit.path}
    return frozenset(keyword for keyword, tag in SORTING.items() if tag in named or keyword in edited)


def _default_name(after: Fields, name: str, ctx: Context) -> str:
    """Return ``<SOPInstanceUID>.<Modality>.dcm`` of the de-identified data set (profile language §6.7)."""
    uid, modality = after.text(SOP_INSTANCE_UID), after.text(MODALITY)
    stem = uid or ctx.keyring.name("dicom", name)
    return sanitize(f"{stem}.{modality or 'NA'}.dcm")


def _whole(source: Incoming, name: str, section: FieldSection, ctx: Context) -> Done:
    """De-identify a file of a format that has fields: all of it, or its beginning while the rest passes through."""
    if (halves := pair.halves(source, name, section.match, ctx)) is not None:
        return _half(halves, name, section, ctx)
    passing = passing_of(source, section)
    data = passing.beginning if passing is not None else whole(source, section)
    result, edited, done = _edited(data, name, section, ctx)
    _name(done, name, edited, ctx)
    if passing is not None:
        done.pieces = _passed(result, passing, done, ctx)
    return done


def _half(halves: pair.Halves, name: str, section: FieldSection, ctx: Context) -> Done:
    """De-identify half of a pair; the other one has to be as it should, too, before a byte of it comes."""
    result, edited, done = _edited(halves.header.beginning, name, section, ctx)
    _name(done, name, edited, ctx)
    if section.filenames:  # where there is no name for one, both stay behind
        from_templates(section.filenames, halves.other, edited.read, edited.at)
    if halves.is_header:
        done.pieces = chain(halves.check(), _passed(result, halves.header, done, ctx))
        return done
    volume = halves.there()
    blank = bytes(len(volume.beginning))
    done.edits = tuple(edit for edit in done.edits if edit.path == "filename")
    if volume.beginning != blank:
        done.edits += (Edit("bytes in front of the volume", "", "", "remove", Always.BEFORE.value, "", ""),)
    if ctx.log:
        done.undo = undo_front(volume.beginning, blank)
    done.pieces = _passed(blank, volume, done, ctx)
    return done


def _edited(data: bytes, name: str, section: FieldSection, ctx: Context) -> tuple[bytes, Edited, Done]:
    # a VR in which commas and backslashes are text
    at = At("UT", ctx.draw(), ctx.today, lambda name: "", cipher=ctx.cipher)
    follow = ctx.follow if ctx.entities is not None else None
    edited = document.edit(data, section, at, follow, rows_of(section, ctx), ctx.around_texts)
    ctx.notes.take(edited.edits)
    told: list[Splice] | None = [] if ctx.log else None
    result = document.written(data, edited, told)
    if ctx.verify != "off":
        document.check(data, result, edited)
    done = Done(
        name=name,
        pieces=iter((result,)),
        edits=edited.edits,
        sections=frozenset({section.match.key}),
        matched=found_by(section, edited.matched, ctx),
        risks=tuple(document.codec_of(section).risks(result, section.options)),
        whose=bool(edited.edits),
        undo=undo_fields(data, edited, told) if told is not None else None,
        facts=frozenset(edited.facts) if edited.facts else None,
    )
    return result, edited, done


def _name(done: Done, name: str, edited: Edited, ctx: Context) -> None:
    """Name a result: by templates, or as much of its own as may be kept, or a neutral one."""
    known, section = known_of(ctx, done), edited.section
    if section.filenames:
        written = ctx.follow(from_templates(section.filenames, name, edited.read, edited.at))
        done.name, rule = templated(written, known, section.filenames[0].label, ctx)
    else:
        done.name, rule = _own_name(name, known, ctx)
    done.kept = frozenset({done.name})
    done.edits = (*done.edits, *renamed(name, done.name, rule))


def passing_of(source: Incoming, section: FieldSection) -> Passing | None:
    """Return a file in passing, where its format has that.

    Raises
    ------
    Unfit
    """
    codec = document.codec_of(section)
    return None if codec.reach is None else Passing(source, codec.reach, codec.most)


def whole(source: Incoming, section: FieldSection) -> bytes:
    """Return all of a file.

    Raises
    ------
    Beyond
        There is too much of it.
    """
    limits.now().check_whole(source.total, document.codec_of(section).most)
    return source.all()


def _passed(result: bytes, passing: Passing, done: Done, ctx: Context) -> Iterator[bytes]:
    """Yield a new beginning and what passes through, packed as its name says; then the audit has what was dropped."""
    pieces = chain((result,), passing.rest())
    is_packed = passing.is_packed and done.name.lower().endswith(".gz")
    yield from packed(pieces, PIECE, small=ctx.small) if is_packed else pieces
    if done.undo is not None:
        done.undo = passed(done.undo, packed=passing.is_packed, dropped=passing.dropped)
    if passing.is_packed:
        done.edits += (Edit("gzip header", "", "", "remove", Always.PACKED_HEADER.value, "", ""),)
    if passing.dropped:
        done.edits += (Edit("bytes behind the volume", "", "", "remove", Always.BEHIND.value, "", ""),)


def rows_of(section: FieldSection, ctx: Context) -> Rows | None:
    """Return whose the rows of tables are; None where the section does not say by which column."""
    own = ctx.person is not None
    column = subject_column(section, own=own)
    if not column:
        return None
    known = ctx.pseudonym or NO_PSEUDONYM
    return Rows(column, ctx.subjects, ctx.keyring, known, section.unreadable, own=own)


def _renamed(source: Incoming, name: str, section: FilenameSection, ctx: Context) -> Done:
    at = At("text", ctx.draw(), ctx.today, lambda name: "", clean_of((), tuple, ctx.around_texts))
    written = ctx.follow(from_templates(section.filenames, name, lambda selector: None, at))
    written, rule = templated(written, known_of(ctx), section.filenames[0].label, ctx)
    pieces = _pieces(source.data, source, source.total - len(source.data))
    undo = Undo() if ctx.log else None
    return Done(written, pieces, tuple(renamed(name, written, rule)), kept=frozenset({written}), undo=undo)


def renamed(before: str, after: str, rule: str) -> list[Edit]:
    """Return the audit of a name, empty when it stays."""
    return [] if before == after else [Edit("filename", "", "", "rename", rule, before, after)]


def _own_name(name: str, known: Known, ctx: Context) -> tuple[str, str]:
    """Return a file's name as it may stay, and what changed it."""
    followed = ctx.follow(name)
    written = safe_name(followed, known, (), ctx, "file")
    return written, Always.BIDS.value if written == sanitize(followed) != sanitize(name) else Always.NAME.value


def safe_name(name: str, known: Known, standing: Collection[str], ctx: Context, kind: str) -> str:
    """Return a name as it is, or a neutral one; ``names.may_stay`` decides."""
    if may_stay(name, known, standing):
        return sanitize(name)
    if kind == "folder":
        return ctx.keyring.name(kind, name)
    return _pseudonym(name, ctx)


def _pseudonym(name: str, ctx: Context) -> str:
    """Return a neutral name for a file: companions of one stem get one."""
    return ctx.keyring.name("file", stem_of(name) or name) + suffix_of(name)
