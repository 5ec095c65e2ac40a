"""Private elements that are known to be safe: by creator, in any block, at any depth (PS3.15 §E.3.10).

The file beside this one is made by ``make safe``; ``tests/safe.py`` says from what, and what counts where they differ.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

SAFE = "safe.tsv"  # creator, group, and each element with the VR that is known of it


def is_safe(creator: str, group: int, element: int) -> bool:
    """Tell whether an element of a creator may stay, its values cleaned.

    Parameters
    ----------
    creator : str
        As it reserves the block, without padding; its case counts.
    group : int
    element : int
        Its last eight bits: the block's number says nothing.
    """
    return (group, element & 0xFF) in _elements().get(creator, {})


def vr_of(creator: str, group: int, element: int) -> str:
    """Return the VR of a safe element, empty where none is known."""
    return _elements().get(creator, {}).get((group, element & 0xFF), "")


def creators() -> frozenset[str]:
    """Return the creators that have safe elements."""
    return frozenset(_elements())


@lru_cache(maxsize=1)
def _elements() -> dict[str, dict[tuple[int, int], str]]:
    found: dict[str, dict[tuple[int, int], str]] = {}
    for line in Path(__file__).with_name(SAFE).read_text(encoding="utf-8").split("\n"):
        if line and not line.startswith("#"):
            creator, group, elements = line.split("\t")
            for one in elements.split(" "):
                found.setdefault(creator, {})[int(group, 16), int(one[:2], 16)] = one[2:]
    return found
