"""Entries and options of a dicom section → warnings of what they do not reach."""

from __future__ import annotations

import re
from collections.abc import Iterator

from fw_gear_deid.model.dictionary import is_private
from fw_gear_deid.model.selectors import PathAt, RegexAt, TagAt, VrAt
from fw_gear_deid.profile.advice.view import Advice, View, at, is_nested, keeps, removes
from fw_gear_deid.profile.language.addresses import vr_of
from fw_gear_deid.profile.language.entries import Entry
from fw_gear_deid.standard import tables

_ODD_GROUP = re.compile(r"(?<![0-9a-f])[0-9a-f]{3}[13579bdf]", re.IGNORECASE)


def private_elements_stay(view: View) -> Iterator[Advice]:
    """Warn where no option takes private elements away."""
    if not view.closed and not view.section.flag("remove-private-tags"):
        yield view.here("private elements stay: see remove-private-tags")


def sequences_stay(view: View) -> Iterator[Advice]:
    """Warn where nothing works inside sequences."""
    if not view.closed and not view.recursive and not any(map(is_nested, view.entries)):
        yield view.here("sequences stay as they are: see recurse-sequence")


def text_stays(view: View) -> Iterator[Advice]:
    """Warn of free text that no entry names."""
    if not view.closed:
        yield view.here("text that no field names stays as it is: name it, or see remove-undefined")


def nothing_changes(view: View) -> Iterator[Advice]:
    """Warn where a list of what to keep has not the option that makes it one."""
    options = ("remove-undefined", "remove-private-tags", "patient-age-from-birthdate")
    changes = view.by_standard or any(map(view.section.flag, options))
    if view.entries and all(map(keeps, view.entries)) and not changes:
        yield view.here("every field is kept and no option changes anything: did you mean remove-undefined?")


def private_rules_without_effect(view: View) -> Iterator[Advice]:
    """Warn of rules for private elements that are gone before their turn: the option spares creators' alone."""
    for entry in view.entries if view.section.flag("remove-private-tags") else ():
        match entry.selector:
            case VrAt() if keeps(entry):
                how = '(gggg, "CREATOR", ee)'
            case TagAt(tag) | PathAt(_, tag) if is_private(tag):
                how = f'({tag >> 16:04X}, "CREATOR", {tag & 0xFF:02X})'
            case RegexAt(pattern) if _ODD_GROUP.search(pattern.pattern):
                how = '(gggg, "CREATOR", ee)'
            case _:
                continue
        if not removes(entry):
            what = f"{entry.action.key} {'protects' if keeps(entry) else 'does'} nothing"
            what += " private" if isinstance(entry.selector, VrAt) else " here"
            yield at(entry, f"{what}: remove-private-tags goes first; address the element by its creator: {how}")


def unknown_tags(view: View) -> Iterator[Advice]:
    """Warn of a tag that no file is likely to have."""
    for entry in view.entries:
        tag = entry.selector.tag if isinstance(entry.selector, TagAt) else None
        if tag is not None and not is_private(tag) and vr_at(entry) is None and tables.row_of(tag) is None:
            yield at(entry, "no element of this tag is in the DICOM dictionary")


def vr_at(entry: Entry) -> str | None:
    """Return the VR of what an entry points at, as far as the dictionaries know."""
    return None if entry.selector is None else vr_of(entry.selector)
