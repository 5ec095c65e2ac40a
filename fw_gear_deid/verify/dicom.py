"""Draft and written bytes of a DICOM file → nothing, or why it may not leave (interfaces §4, points 1 and 2)."""

from __future__ import annotations

from fw_gear_deid.formats.dicom import part10
from fw_gear_deid.formats.dicom.draft import Draft
from fw_gear_deid.formats.dicom.scan import PIXEL_TAGS, Dataset
from fw_gear_deid.formats.dicom.splice import in_order
from fw_gear_deid.model.errors import Unfit

SOP_INSTANCE_UID = 0x00080018
MEDIA_INSTANCE_UID = 0x00020003


def check(draft: Draft, data: bytes) -> Draft:
    """Read the result again, by its bytes alone, and compare it with what was asked for.

    Parameters
    ----------
    draft : Draft
        With every change that rules made.
    data : bytes
        The file as it would leave.

    Returns
    -------
    Draft
        The result as scanned, for further checks.

    Raises
    ------
    Unfit
        The result does not parse, a change is missing, or something that no rule asked for is different.
    """
    result = part10.check_readable(data)
    result.named = draft.named
    if part10.looks_like_dicom(data) != part10.looks_like_dicom(draft.src):
        raise Unfit("verification: the prefix 'DICM' is not where it was")
    if part10.looks_like_dicom(data) and data[:128].strip(b"\0"):
        raise Unfit("verification: the preamble is not empty")
    if part10.has_trailing_bytes(result):
        raise Unfit("verification: bytes follow the last element")
    uid, media = result.text(SOP_INSTANCE_UID), result.text(MEDIA_INSTANCE_UID)
    if uid and result.meta.elements and media != uid:
        raise Unfit("verification: MediaStorageSOPInstanceUID is not SOPInstanceUID")
    _check_pixels(draft, result)
    _check_changes(draft, result)
    _check_rest(draft, draft.meta, result, result.meta)
    _check_rest(draft, draft.body, result, result.body)
    return result


def _check_pixels(draft: Draft, result: Draft) -> None:
    for tag in PIXEL_TAGS & draft.body.elements.keys():
        before, after = draft.body.elements[tag], result.body.elements.get(tag)
        if before.raw is not None:
            continue  # a rule replaced it, which _check_changes looks at
        old = draft.body_src[before.value : before.end]
        if after is None or result.body_src[after.value : after.end] != old:
            raise Unfit("verification: the pixel data changed")


def _check_changes(draft: Draft, result: Draft) -> None:
    """Every change stands in the result: gone, or with its new value."""
    for ds, tag, _, wanted in draft.changes():
        there = find(result, draft, ds)
        el = None if there is None else there.elements.get(tag)
        if wanted is None:
            if el is not None:
                raise Unfit(f"verification: {draft.path(ds, tag)} is still there")
        elif el is None:
            raise Unfit(f"verification: {draft.path(ds, tag)} is missing")
        elif wanted.items is None and result.raw(el) != draft.raw(wanted):
            raise Unfit(f"verification: {draft.path(ds, tag)} does not have its new value")


def find(result: Draft, draft: Draft, ds: Dataset) -> Dataset | None:
    """Return the data set of the result that stands where ``ds`` stands in the draft."""
    if ds is draft.meta:
        return result.meta
    if ds.parent is None:
        return result.body
    above = find(result, draft, ds.parent.owner)
    if above is None:
        return None
    el = above.elements.get(ds.parent.tag)
    if el is None or el.items is None or ds.index >= len(el.items):
        return None
    return el.items[ds.index]


def _check_rest(draft: Draft, asked: Dataset, result: Draft, there: Dataset) -> None:
    """The result has the elements that the draft has, in its order, and unchanged ones have their old bytes."""
    if [el.tag for el in in_order(asked)] != list(there.elements):
        raise Unfit("verification: the elements of the result are not those that should be there")
    for tag, el in asked.elements.items():
        other = there.elements[tag]
        if asked.encoding.explicit and el.wire != other.wire:
            raise Unfit(f"verification: {draft.path(asked, tag)} has another VR")
        if el.items is not None:
            if other.items is None and result.raw(other):
                raise Unfit(f"verification: {draft.path(asked, tag)} is no sequence")
            items = other.items or []  # an empty private one is UN where the VR is not on the wire
            if len(items) != len(el.items):
                raise Unfit(f"verification: {draft.path(asked, tag)} has another number of items")
            for mine, its in zip(el.items, items, strict=True):
                _check_rest(draft, mine, result, its)
        elif not el.dirty and (el.vr, draft.raw(el)) != (other.vr, result.raw(other)):
            raise Unfit(f"verification: {draft.path(asked, tag)} changed without a rule")
