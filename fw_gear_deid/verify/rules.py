"""What rules promise, source and result → nothing, or which promise is broken (interfaces §4, point 2)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fw_gear_deid.formats.dicom import values
from fw_gear_deid.formats.dicom.draft import Draft
from fw_gear_deid.formats.dicom.select import Place, select
from fw_gear_deid.model.action import DIFFERS as DIFFERS  # who compares needs the source as well
from fw_gear_deid.model.action import EQUALS, GONE
from fw_gear_deid.model.errors import Unfit
from fw_gear_deid.model.selectors import Selector
from fw_gear_deid.verify.dicom import MEDIA_INSTANCE_UID, SOP_INSTANCE_UID, find


@dataclass(frozen=True, slots=True)
class Promise:
    """What must hold of the places that a rule points at, unless a later rule speaks about them.

    Attributes
    ----------
    selector : Selector
    kind : str
        ``gone``; ``equals`` one of the texts; ``differs`` from the source where that was not empty; or empty: nothing.
    texts : tuple of str
    label : str
        Place in the profile.
    """

    selector: Selector
    kind: str
    texts: tuple[str, ...]
    label: str


def check(source: Draft | None, result: Draft, promises: Sequence[Promise], *, recurse: bool) -> None:
    """Look at the result for every promise, the last one first.

    Parameters
    ----------
    source, result : Draft
        Both scanned from bytes, with no edits. The source may be missing when nothing needs to differ from it.
    promises : sequence of Promise
        In the order in which the rules ran.
    recurse : bool
        Rules count inside sequences.

    Raises
    ------
    Unfit
    """
    settled: set[tuple[int, int]] = _spared(result)
    for promise in reversed(promises):
        if not promise.kind:
            continue
        for ds, tag in select(result, promise.selector, recurse=recurse):
            if (id(ds), tag) in settled:
                continue
            if not _holds(source, result, (ds, tag), promise):
                where = result.path(ds, tag)
                raise Unfit(f"verification: {promise.label}: {where} is not {_WANTED[promise.kind]}")
            settled.add((id(ds), tag))


def _spared(result: Draft) -> set[tuple[int, int]]:
    """Elements that are never removed, or follow another, whatever rules say."""
    return {(id(result.body), SOP_INSTANCE_UID), (id(result.meta), MEDIA_INSTANCE_UID)}


_WANTED = {GONE: "gone", EQUALS: "what the rule sets", DIFFERS: "different from the source"}


def _holds(source: Draft | None, result: Draft, place: Place, promise: Promise) -> bool:
    ds, tag = place
    el = ds.elements[tag]
    if promise.kind == GONE:
        return False
    if promise.kind == EQUALS:
        if el.items is not None:
            return not el.items
        little = ds.encoding.little or el.wire == "UN"
        return values.encode(promise.texts, result.vr(el), result.encodings(ds), little=little) == result.raw(el)
    above = None if source is None else find(source, result, ds)
    before = None if above is None else above.elements.get(tag)
    if source is None or before is None or not source.raw(before).strip(b"\0 "):
        return True
    return source.raw(before) != result.raw(el)
