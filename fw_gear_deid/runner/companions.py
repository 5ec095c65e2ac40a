"""Places of files → the same, with what belongs together: files of one stem, and what they are about (docs/bids.md)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from fw_gear_deid.deid import called_archive
from fw_gear_deid.deid.names import stem_of
from fw_gear_deid.model.ports import Item

if TYPE_CHECKING:
    from fw_gear_deid.runner.plan import Place

_SIDECARS = (".json", ".bval", ".bvec")
_TOLD_MAX = 16 << 20
"""Bytes of a companion that is looked at for what its rules take away; of archives in folders the beginning is."""


def _is_near(item: Item) -> bool:
    """Tell whether the beginning of a file can be had without the rest: a platform gives keys, and whole files."""
    return not item.key


def with_companions(places: Sequence[Place]) -> list[Place]:
    """Let the files of one stem in a folder know one another, and a sidecar come behind what it is about."""
    groups: dict[tuple[str, ...], list[Place]] = defaultdict(list)
    for place in places:
        item = place.task.items[0]
        if place.containers and not item.loose and not item.problem:
            groups[(*item.containers, stem_of(item.name))].append(place)
    told: dict[int, Place] = {}
    behind: dict[int, list[Place]] = defaultdict(list)
    for key, group_ in groups.items():
        if len(group_) < 2:
            continue
        for place in group_:
            item = place.task.items[0]
            others = (one.task.items[0] for one in group_ if one is not place)
            beside = [one for one in others if one.size <= _TOLD_MAX or (_is_near(one) and called_archive(one.name))]
            is_sidecar = item.name.lower().endswith(_SIDECARS)
            told[place.task.number] = replace(
                place, task=replace(place.task, beside=tuple(beside)), stem=key, is_sidecar=is_sidecar
            )
        images = [one for one in group_ if not told[one.task.number].is_sidecar]
        if images:
            sidecars = [told[one.task.number] for one in group_ if told[one.task.number].is_sidecar]
            behind[images[-1].task.number] = sidecars
    moved = {one.task.number for sidecars in behind.values() for one in sidecars}
    out: list[Place] = []
    for place in places:
        number = place.task.number
        if number not in moved:
            out += [told.get(number, place), *behind.get(number, ())]
    return out
