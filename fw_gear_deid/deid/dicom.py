"""DICOM section and draft → the draft with every rule carried out (profile language §2.2, §6)."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, datetime

from fw_gear_deid.actions.replace import Replace
from fw_gear_deid.deid.context import Context
from fw_gear_deid.deid.identity import person_of
from fw_gear_deid.formats.dicom import part10, values
from fw_gear_deid.formats.dicom.draft import CHARACTER_SET, Draft
from fw_gear_deid.formats.dicom.scan import PIXEL_TAGS, Dataset, Element
from fw_gear_deid.formats.dicom.select import Place, create, private_tags, select
from fw_gear_deid.model.action import At, Gone
from fw_gear_deid.model.dictionary import CHARSET_VRS, is_private, private_vr, public_vr
from fw_gear_deid.model.errors import Unfit
from fw_gear_deid.model.outcome import Always, Edit
from fw_gear_deid.model.selectors import PrivateAt, Selector, TagAt
from fw_gear_deid.profile.compiled import DicomSection, Rule

SOP_CLASS_UID = 0x00080016
SOP_INSTANCE_UID = 0x00080018
MEDIA_INSTANCE_UID = 0x00020003
BIRTH_DATE, STUDY_DATE, PATIENT_AGE = 0x00100030, 0x00080020, 0x00101010
# Ours, for (0002,0012) and (0002,0013): who wrote the file, PS3.10 §7.1
IMPLEMENTATION_CLASS = "2.25.318437409463482186211394526180331563271"
IMPLEMENTATION_VERSION = "FW_GEAR_DEID"
# File meta that names neither a person nor a machine, PS3.10 Table 7.1-1: length, version, class, instance, syntax
META_STAYS = frozenset({0x00020000, 0x00020001, 0x00020002, MEDIA_INSTANCE_UID, 0x00020010})
# What makes a file DICOM, and its pixels pixels (Image Pixel Module, PS3.3 §C.7.6.3): stays under remove-undefined
_ESSENTIAL = frozenset(
    {SOP_CLASS_UID, SOP_INSTANCE_UID}
    | PIXEL_TAGS
    | {0x7FE00001, 0x7FE00002, 0x7FE00003}
    | {0x00280000 | element for element in (
        0x0002, 0x0003, 0x0004, 0x0006, 0x0008, 0x0009, 0x0010, 0x0011, 0x0034, 0x0100, 0x0101, 0x0102, 0x0103,
        0x0106, 0x0107, 0x0108, 0x0109, 0x0110, 0x0111, 0x0120, 0x0121, 0x0122,
        0x1101, 0x1102, 0x1103, 0x1104, 0x1201, 0x1202, 0x1203, 0x1204, 0x1221, 0x1222, 0x1223, 0x1224,
    )}
)  # fmt: skip


@dataclass(slots=True)
class Edited:
    """A draft after its rules, and what they were.

    Attributes
    ----------
    draft : Draft
    edits : tuple of Edit
    unmatched : set of int
        Rules that found nothing.
    expected : list
        Place, kind of expectation and value, for the check of rules.
    """

    draft: Draft
    edits: tuple[Edit, ...] = ()
    unmatched: set[int] = field(default_factory=set)
    original_uid: str = ""


def edit(draft: Draft, section: DicomSection, ctx: Context) -> Edited:
    """Carry out a DICOM section on one file.

    Raises
    ------
    Unfit
        A rule cannot be carried out; the message names rule, place and cause.
    """
    draft.named = section.creators
    edited = Edited(draft, original_uid=draft.text(SOP_INSTANCE_UID))
    draw = ctx.draw(None if ctx.person else person_of(draft, ctx.keyring))
    always = _clean_outside(draft)
    _clean_meta(draft, section)
    _drop_group_lengths(draft)
    if section.remove_private:
        _remove_private(draft, section)
    if section.age:
        _compute_age(draft, section)
    if section.remove_undefined:
        _remove_undefined(draft, section)
    references = dict(section.references)

    def reader(name: str) -> str:
        return _read(draft, references[name])

    for rule in section.rules:
        places = select(draft, rule.selector, recurse=section.recurse)
        creates = rule.insert and not _present(draft, rule.selector)
        if not places and not creates:
            edited.unmatched.add(rule.index)
        try:
            if creates:
                _create(draft, rule)
            for place in places:
                _apply(draft, place, rule, At("", draw, ctx.today, reader))
        except Unfit as error:
            raise Unfit(f"{rule.label} {rule.action.key}: {error}") from None
    _protect_instance_uid(edited, section)
    _check_text(draft)
    edited.edits = (*always, *draft.edits())
    return edited


# -- what is always cleaned ----------------------------------------------------------------------------


def _clean_outside(draft: Draft) -> list[Edit]:
    """Note what is cleaned outside the elements: the preamble, and bytes after the last element."""
    edits = []
    src = draft.src
    if part10.looks_like_dicom(src) and src[:128].strip(b"\0"):
        edits.append(Edit("preamble", "", "", "remove", Always.PREAMBLE.value, "<128 bytes>", ""))
    if part10.has_trailing_bytes(draft):
        left = len(draft.body_src) - draft.body.end
        edits.append(Edit("trailing bytes", "", "", "remove", Always.TRAILING.value, f"<{left} bytes>", ""))
    padding = draft.body.elements.get(0xFFFCFFFC)
    if padding is not None:
        draft.remove(draft.body, padding.tag, "remove", Always.TRAILING.value)
    return edits


def _clean_meta(draft: Draft, section: DicomSection) -> None:
    """Drop file meta that names people or machines, and sign as the writer, unless a rule sets the element."""
    if not draft.meta.elements:
        return
    ruled = {rule.selector.tag for rule in section.rules if isinstance(rule.selector, TagAt)}
    why = Always.FILE_META.value
    for tag in list(draft.meta.elements):
        if tag not in META_STAYS and tag not in ruled and tag not in (0x00020012, 0x00020013):
            draft.remove(draft.meta, tag, "remove", why)
    for tag, vr, text in ((0x00020012, "UI", IMPLEMENTATION_CLASS), (0x00020013, "SH", IMPLEMENTATION_VERSION)):
        if tag not in ruled:
            draft.put(draft.meta, tag, vr, (text,), "replace-with", why)


def _drop_group_lengths(draft: Draft) -> None:
    """Drop (gggg,0000): retired, and wrong once anything in the group changes (PS3.5 §7.2)."""
    for ds in draft.datasets(draft.body):
        for tag in [tag for tag in ds.elements if not tag & 0xFFFF]:
            draft.remove(ds, tag, "remove", Always.GROUP_LENGTH.value)


# -- options of the section ----------------------------------------------------------------------------


def _remove_private(draft: Draft, section: DicomSection) -> None:
    """Remove odd groups at every depth but what rules name by creator.

    Below the top level an element stays only when its number is one that stays at the top (as the reference engine
    has it) *and* its block belongs to the same creator there (which the reference engine does not look at).
    """
    named = [rule.selector for rule in section.rules if isinstance(rule.selector, PrivateAt)]
    top = {tag for selector in named for tag in private_tags(draft, draft.body, selector)}
    for ds in draft.datasets(draft.body):
        stays: set[int] = set()
        for selector in named:
            for tag in private_tags(draft, ds, selector):
                if tag in ds.elements and tag in top:
                    stays |= {tag, tag & 0xFFFF0000 | tag >> 8 & 0xFF}
        for tag in [tag for tag in ds.elements if is_private(tag) and tag not in stays]:
            draft.remove(ds, tag, "remove", "remove-private-tags")


def _compute_age(draft: Draft, section: DicomSection) -> None:
    """Write PatientAge from the original birth and study dates; leave it where they do not say (§6.5)."""
    try:
        born, studied = (
            datetime.strptime(draft.text(tag), section.date_format).date()  # noqa: DTZ007 -- a calendar day
            for tag in (BIRTH_DATE, STUDY_DATE)
        )
    except (ValueError, Unfit):
        return
    if studied < born:
        return
    text = age_text(born, studied, section.age_units)
    draft.put(draft.body, PATIENT_AGE, "AS", (text,), "patient-age-from-birthdate", "patient-age-from-birthdate")


def age_text(born: date, studied: date, units: str) -> str:
    """Return an AS value: the first of days, months, years from ``units`` on that is below 960.

    >>> age_text(date(1954, 12, 15), date(2020, 2, 29), "")
    '782M'
    """
    months = (studied.year - born.year) * 12 + studied.month - born.month - (studied.day < born.day)
    candidates = [("D", (studied - born).days), ("M", months), ("Y", months // 12)]
    start = "DMY".index(units) if units else 0
    for unit, number in candidates[start:]:
        if number < 960:
            return f"{number:03d}{unit}"
    return "960Y"


def _remove_undefined(draft: Draft, section: DicomSection) -> None:
    """Remove every element that no field names, at every depth, but what makes the file DICOM (§6.4)."""
    stays: set[tuple[int, int]] = {(id(draft.body), tag) for tag in _ESSENTIAL}
    for rule in section.rules:
        for ds, tag in select(draft, rule.selector, recurse=section.recurse):
            stays.add((id(ds), tag))
            if is_private(tag):
                stays.add((id(ds), tag & 0xFFFF0000 | tag >> 8 & 0xFF))
            parent = ds.parent
            while parent is not None:
                stays.add((id(parent.owner), parent.tag))
                parent = parent.owner.parent
    for ds in draft.datasets(draft.body):
        keeps_text = ds is draft.body or any((id(ds), tag) in stays for tag in ds.elements)
        for tag in list(ds.elements):
            if (id(ds), tag) not in stays and not (tag == CHARACTER_SET and keeps_text):
                draft.remove(ds, tag, "remove", "remove-undefined")


# -- rules ---------------------------------------------------------------------------------------------


def _present(draft: Draft, selector: Selector) -> bool:
    """Tell whether the element that a rule would create is there; deeper ones (recurse-sequence) do not count."""
    return bool(select(draft, selector, recurse=False))


def _create(draft: Draft, rule: Rule) -> None:
    ds, tag = create(draft, rule.selector, rule.action.key, rule.label)
    if isinstance(rule.selector, PrivateAt):
        vr = private_vr(tag, rule.selector.creator)
    else:
        vr = public_vr(tag)
    if vr is None or vr == "UN":
        raise Unfit(
            f"{draft.path(ds, tag)} is absent, and no dictionary knows a VR to create it with; "
            "set replace-with-insert: false"
        )
    assert isinstance(rule.action, Replace)  # noqa: S101 -- only replace-with inserts
    draft.put(ds, tag, vr, rule.action.values, rule.action.key, rule.label)


def _apply(draft: Draft, place: Place, rule: Rule, at: At) -> None:
    ds, tag = place
    el = ds.elements.get(tag)
    if el is None:  # an earlier place of the same rule held it
        return
    key = rule.action.key
    if key == "keep":
        return
    if key == "remove":
        draft.remove(ds, tag, key, rule.label)
        return
    vr = draft.vr(el)
    if el.items is not None:
        if isinstance(rule.action, Replace) and not any(rule.action.values):
            draft.put_raw(ds, tag, "SQ", b"", key, rule.label)
            return
        raise Unfit(f"{draft.path(ds, tag)} is a sequence; remove it, or name the elements inside")
    texts = () if isinstance(rule.action, Replace) else draft.texts(el)
    try:
        result = rule.action(texts, At(vr, at.draw, at.today, at.read))
    except Unfit as error:
        raise Unfit(f"{draft.path(ds, tag)} {vr}: {error}") from None
    if isinstance(result, Gone):
        draft.remove(ds, tag, key, rule.label)
    elif isinstance(rule.action, Replace) or result != texts:
        draft.put(ds, tag, vr, result, key, rule.label)


def _read(draft: Draft, selector: Selector) -> str:
    """Return the text of another field of the record, empty when absent."""
    for ds, tag in select(draft, selector, recurse=False):
        el: Element = ds.elements[tag]
        if el.items is None:
            return ",".join(draft.texts(el))
    return ""


# -- after the rules -----------------------------------------------------------------------------------


def _protect_instance_uid(edited: Edited, section: DicomSection) -> None:
    """Replace a SOPInstanceUID that would be gone by its hashuid, and let the file meta follow (PS3.10 §7.1)."""
    draft = edited.draft
    listed = any(rule.selector == TagAt(SOP_INSTANCE_UID) for rule in section.rules)
    unlisted = section.remove_undefined and not listed
    if edited.original_uid and (unlisted or not draft.text(SOP_INSTANCE_UID)):
        (uid,) = _texts(section.uid((edited.original_uid,), _NOWHERE))
        draft.put(draft.body, SOP_INSTANCE_UID, "UI", (uid,), "hashuid", Always.SOP_INSTANCE_UID.value)
    if not draft.meta.elements:
        return
    media = draft.meta.elements.get(MEDIA_INSTANCE_UID)
    instance = draft.body.elements.get(SOP_INSTANCE_UID)
    if instance is not None:
        raw = draft.raw(instance)
    elif media is not None and (listed or unlisted):
        raw = values.encode(_texts(section.uid(draft.texts(media), _NOWHERE)), "UI", (), little=True)
    else:
        return
    draft.put_raw(draft.meta, MEDIA_INSTANCE_UID, "UI", raw, "replace-with", Always.SYNC.value)


_NOWHERE = At("UI", lambda purpose: 0, date.min, lambda name: "")


def _texts(result: Gone | tuple[str, ...]) -> tuple[str, ...]:
    return () if isinstance(result, Gone) else result


def _check_text(draft: Draft) -> None:
    """Refuse when text outside ASCII would be read in another character set than it was written in."""
    if not draft.touched(CHARACTER_SET):
        return
    for ds in draft.datasets(draft.body):
        el = ds.elements.get(CHARACTER_SET)
        was = draft.encodings(ds)
        now = draft.current_encodings(ds)
        if now != was and _has_wide_text(draft, ds):
            raise Unfit(
                f"{draft.path(ds, CHARACTER_SET)} changes while text outside ASCII stays; "
                f"{'keep it' if el is None else 'leave it as it is'}"
            )


def _has_wide_text(draft: Draft, ds: Dataset) -> bool:
    return any(
        el.items is None and el.vr in CHARSET_VRS and (not (raw := draft.raw(el)).isascii() or b"\x1b" in raw)
        for el in ds.elements.values()
    )
