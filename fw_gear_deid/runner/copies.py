"""Files and their instances → which are copies of one another, and which share an instance's UID but not its bytes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

from fw_gear_deid.model.ports import Item
from fw_gear_deid.model.seen import Seen

Sights = Sequence[tuple[Item, Seen]]


def suspects(items: Iterable[Item], seen: Mapping[str, Seen | str]) -> list[Item]:
    """Return the files whose bytes have to be compared: they hold an instance that another file holds, too."""
    by_instance: dict[str, list[Item]] = defaultdict(list)
    for item in items:
        one = seen.get(item.id)
        if isinstance(one, Seen) and one.instance:
            by_instance[one.instance].append(item)
    return [item for same in by_instance.values() if len(same) > 1 for item in same]


def copies(sights: Sights, loose: Collection[str]) -> dict[str, str]:
    """Tell copies from what they are copies of; ids of items.

    Below one first folder, and among loose files, the first of equal bytes stands for all. Two first folders keep one
    each: they may be two subjects. A loose copy of a file in a tree is a copy.

    Parameters
    ----------
    sights : sequence of (Item, Seen)
        In source order.
    loose : collection of str
        Items that stand in no tree.
    """
    return _equal(sights, lambda item: "" if item.id in loose else item.containers[0])


def copies_in_containers(sights: Sights) -> dict[str, str]:
    """Tell copies within one container of a platform."""
    return _equal(sights, lambda item: "/".join(item.containers) or "project")


def _equal(sights: Sights, scope: Callable[[Item], str]) -> dict[str, str]:
    firsts: dict[str, dict[str, str]] = defaultdict(dict)
    out: dict[str, str] = {}
    for item, one in sorted(sights, key=lambda sight: not scope(sight[0])):  # in trees first
        if not one.sha256:
            continue
        known, place = firsts[one.sha256], scope(item)
        original = known.get(place) or (next(iter(known.values()), None) if not place else None)
        if original is None:
            known[place] = item.id
        else:
            out[item.id] = original
    return out


def clashes(sights: Sights, loose: Collection[str]) -> dict[str, str]:
    """Tell instances that share their UID but not their bytes, in one container or one loose series: id → the other."""
    groups: dict[tuple[str, ...], list[tuple[Item, Seen]]] = defaultdict(list)
    for item, one in sights:
        if one.kind == "instance" and one.instance and one.sha256:
            place = (one.identities[0].id, one.study, one.series) if item.id in loose else item.containers
            groups[one.instance, *place].append((item, one))
    return {
        item.id: next(other.id for other, its in same if its.sha256 != one.sha256)
        for same in groups.values()
        if len({one.sha256 for _, one in same}) > 1
        for item, one in same
    }
