"""Gaps of a profile against the standard's table → the smallest additions that close them, as text of a profile.

Each is a section of its own that ``profile check`` accepts: its options and fields go into the profile's section.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from fw_gear_deid.deid.coverage import BELOW, GAPS, WEAK, Line
from fw_gear_deid.model.dictionary import public_vr
from fw_gear_deid.model.frozen import frozen
from fw_gear_deid.profile.compiled import DicomSection
from fw_gear_deid.standard.categories import vr_of

_VRS = {"people": ("PN",), "uids": ("UI",), "dates": ("DA", "DT", "TM")}
"""Category → VRs of which one entry reaches all attributes, at every depth."""
_TEXTS = frozenset({"LO", "LT", "SH", "ST", "UC", "UT"})


@frozen
class Addition:
    """What closes some gaps.

    Attributes
    ----------
    options : tuple of str
        Lines of the section.
    fields : tuple of str
        Lines of an entry.
    closes : tuple of str
        Names of the attributes.
    """

    options: tuple[str, ...] = ()
    fields: tuple[str, ...] = ()
    closes: tuple[str, ...] = ()


def additions(section: DicomSection, lines: Sequence[Line]) -> Iterator[Addition]:
    """Yield what closes the gaps of a section, that which closes most first.

    Parameters
    ----------
    section : DicomSection
    lines : sequence of Line
        As ``coverage.lines_of``.

    Notes
    -----
    What an entry does to an attribute on purpose, but less than the standard wants, is not closed: an addition would
    contradict it.
    """
    gaps = [line for line in lines if line.state in GAPS and line.state != WEAK and "kept" not in line.top]
    found = [*_private(section, gaps), *_by_vr(section, gaps)]
    closed = {name for one in found for name in one.closes}
    rest = [line for line in gaps if line.name not in closed]
    found += _by_name(section, rest)
    yield from found


def _private(section: DicomSection, gaps: Iterable[Line]) -> Iterator[Addition]:
    for line in gaps:
        if not line.row.mask and section.table is None:
            yield Addition(("remove-private-tags: true",), (), (line.name,))


def _by_vr(section: DicomSection, gaps: Sequence[Line]) -> Iterator[Addition]:
    """Yield entries for VRs: one reaches every attribute of them that no other entry does, at every depth."""
    for category, vrs in _VRS.items():
        moving = category == "dates" and any("moved" in line.top or "by key" in line.top for line in gaps)
        there = [line for line in gaps if vr_of(line.row) in vrs]
        names = tuple(line.name for line in there)
        used = [vr for vr in vrs if any(vr_of(line.row) == vr for line in there)]
        if names:
            yield Addition((), (f"vr: [{', '.join(used)}]" if len(used) > 1 else f"vr: {used[0]}", _ACTION[category]), names)
        assert not moving or category == "dates"  # noqa: S101


_ACTION = {"people": "replace-with: ''", "uids": "hashuid: keyed", "dates": "replace-with: ''"}


def _by_name(section: DicomSection, gaps: Iterable[Line]) -> Iterator[Addition]:
    """Yield entries for single attributes."""
    raise NotImplementedError


__all__ = ["Addition", "BELOW", "additions", "public_vr"]
