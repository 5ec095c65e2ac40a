"""Selector and draft → the places it points at."""

from __future__ import annotations

from collections.abc import Iterator

from fw_gear_deid.formats.dicom.draft import Draft
from fw_gear_deid.formats.dicom.scan import Dataset
from fw_gear_deid.model.dictionary import is_private_creator, keyword_of
from fw_gear_deid.model.errors import Unfit
from fw_gear_deid.model.selectors import GroupsAt, PathAt, PrivateAt, RegexAt, Selector, TagAt

Place = tuple[Dataset, int]
"""A data set and a tag in it; the element need not exist."""


def select(draft: Draft, selector: Selector, *, recurse: bool) -> list[Place]:
    """Return the places of existing elements that a selector points at.

    Parameters
    ----------
    recurse : bool
        Look for the same element inside every sequence item, too (not for paths and regular expressions).
    """
    match selector:
        case TagAt(tag) if tag >> 16 == 2:
            return [(draft.meta, tag)] if tag in draft.meta.elements else []
        case TagAt(tag) if not recurse:
            return [(draft.body, tag)] if tag in draft.body.elements else []
        case PathAt(steps, tag):
            return [(ds, tag) for ds in _walk(draft.body, steps) if tag in ds.elements]
        case RegexAt():
            return [
                (ds, tag)
                for ds, tag, keywords, tags in paths(draft.body)
                if (keywords and selector.pattern.match(keywords)) or selector.hex_pattern.match(tags)
            ]
    found: list[Place] = []
    for ds in draft.datasets(draft.body) if recurse else (draft.body,):
        found += [(ds, tag) for tag in _in_dataset(draft, ds, selector)]
    return found


def _in_dataset(draft: Draft, ds: Dataset, selector: Selector) -> list[int]:
    match selector:
        case TagAt(tag):
            return [tag] if tag in ds.elements else []
        case PrivateAt():
            return [tag for tag in private_tags(draft, ds, selector) if tag in ds.elements]
        case GroupsAt(group, element):
            mask = group << 16 | element
            return [tag for tag in ds.elements if tag & 0xFF00FFFF == mask and not tag >> 16 & 1]
        case _:
            return []


def private_tags(draft: Draft, ds: Dataset, selector: PrivateAt) -> list[int]:
    """Return the tags that a creator's element has in a data set: one for each block reserved by that creator."""
    return [
        block & 0xFFFF0000 | (block & 0xFF) << 8 | selector.element
        for block, creator in draft.creators(ds).items()
        if block >> 16 == selector.group and creator == selector.creator
    ]


def create(draft: Draft, selector: Selector, action: str, rule: str) -> Place:
    """Return the place where an absent element goes; makes sequences, items and private blocks on the way."""
    match selector:
        case TagAt(tag):
            return draft.dataset_for(tag), tag
        case PathAt(steps, tag):
            ds = draft.body
            for sequence, index in steps:
                ds = draft.item(ds, sequence, index or 0, action, rule)
            return ds, tag
        case PrivateAt():
            return draft.body, _reserve(draft, selector, action, rule)
        case _:
            raise Unfit("a rule for many elements cannot create one")


def _reserve(draft: Draft, selector: PrivateAt, action: str, rule: str) -> int:
    """Reserve a block for a private creator where it has none (PS3.5 §7.8.1); return the element's tag."""
    ds = draft.body
    base = selector.group << 16
    known = private_tags(draft, ds, selector)
    blocks = [tag >> 8 & 0xFF for tag in known] or [
        block for block in range(0x10, 0x100) if base | block not in ds.elements
    ]
    creator = base | blocks[0]
    if creator not in ds.elements:
        draft.put(ds, creator, "LO", (selector.creator,), action, rule)
        draft.creators(ds)[creator] = selector.creator
    return base | blocks[0] << 8 | selector.element


def _walk(ds: Dataset, steps: tuple[tuple[int, int | None], ...]) -> Iterator[Dataset]:
    """Yield the existing data sets at the end of a path."""
    if not steps:
        yield ds
        return
    sequence, index = steps[0]
    el = ds.elements.get(sequence)
    items = (el.items if el is not None else None) or []
    for number, item in enumerate(items):
        if index is None or number == index:
            yield from _walk(item, steps[1:])


def paths(
    ds: Dataset, keywords: str = "", tags: str = "", *, named: bool = True
) -> Iterator[tuple[Dataset, int, str, str]]:
    """Yield place, dotted keyword path (empty without a keyword) and dotted lower-case tag path of all elements."""
    for tag, el in list(ds.elements.items()):
        keyword = keyword_of(tag)
        has_name = named and bool(keyword)
        keyword_path = keywords + keyword if has_name else ""
        tag_path = f"{tags}{tag:08x}"
        yield ds, tag, keyword_path, tag_path
        for index, item in enumerate(el.items or ()):
            yield from paths(item, f"{keyword_path}.{index}.", f"{tag_path}.{index}.", named=has_name)


__all__ = ["Place", "create", "is_private_creator", "paths", "private_tags", "select"]
