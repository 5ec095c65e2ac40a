"""UID attributes → which kind of thing they name or refer to: a study, a series, an instance, a frame of reference.

``references.tsv`` has, by kind, the tag (``xx`` for the block of a private element), the sequence around it where that
decides, and the private creator. Public attributes as PS3.3 defines them, private ones as the vendors name them.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

from fw_gear_deid.model.dictionary import is_private

HEADS = {"study": 0x0020000D, "series": 0x0020000E, "instance": 0x00080018, "frame": 0x00200052}
"""Kind → the attribute of the top level that names the thing itself."""


CLASSES = frozenset({
    0x00000002, 0x00000003, 0x00020002, 0x00020032, 0x00041510, 0x0004151A, 0x00080016, 0x0008001A, 0x0008001B,
    0x00080062, 0x00081150, 0x0008115A, 0x30100052, 0x30100053,  # SOP classes
    0x00020010, 0x00041512, 0x0008040E, 0x00083002, 0x00340003, 0x04000010, 0x04000510,  # transfer syntaxes
    0x0008010C, 0x0008010D, 0x00080117, 0x00080118,  # coding schemes, context groups and who extends or maps them
    0x00020012,  # implementations
})  # fmt: skip
"""Attributes whose UIDs name a class, a syntax or a scheme (PS3.6 §6): the same in everybody's files, no instance."""


@lru_cache(maxsize=1)
def _table() -> dict[tuple[str, str, str], str]:
    """Return tag, sequence around it and creator → kind."""
    text = Path(__file__).with_name("references.tsv").read_text(encoding="utf-8")
    rows = (line.split("\t") for line in text.split("\n"))
    return {(tag, around, creator): kind for kind, tag, around, creator in rows}


def kind_of(tag: int, creator: str, way: Sequence[int]) -> str:
    """Return the kind of thing that an attribute names or refers to; empty where it does neither.

    Parameters
    ----------
    creator : str
        Of a private element.
    way : sequence of int
        Tags of the sequences around it, the outermost first.

    Examples
    --------
    >>> kind_of(0x00081155, "", (0x00081140,)), kind_of(0x00081155, "", (0x00081110,)), kind_of(0x00081150, "", ())
    ('instance', 'study', '')
    >>> kind_of(0x00451051, "GEMS_SENO_02", ())
    'series'
    """
    place = f"{tag:08X}"
    if is_private(tag):
        return _table().get((f"{place[:4]}xx{place[6:]}", "", creator), "")
    around = f"{way[-1]:08X}" if way else ""
    return _table().get((place, around, "")) or _table().get((place, "", ""), "")
