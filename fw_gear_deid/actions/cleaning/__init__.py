"""What is known of a patient → how a text is cleaned of it.

``patterns`` finds what may tell of anybody, ``sought`` what is known; what stands outside of the spans stays as it was.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from fw_gear_deid.actions.cleaning.patterns import spans as by_pattern
from fw_gear_deid.actions.cleaning.sought import Fact, Sought

__all__ = ["Cleaner", "Fact"]

_TURNS = 8
"""What is taken out may bring together what was apart; longer texts than this holds are emptied."""
_REMEMBERED = 500
_LONG = 1 << 9
"""Characters of a text that is remembered."""


class Cleaner:
    """Takes what tells of a patient out of texts.

    Parameters
    ----------
    facts : sequence of Fact
        Values that tell of the patient.

    Examples
    --------
    >>> cleaner = Cleaner([Fact("Doe^Jane", "PN", "PatientName"), Fact("AB1234", "LO", "PatientID")])
    >>> cleaner.cleaned("AX T2 FLAIR J. Doe ab-1234 of 12 MAR 1961, b1000"), cleaner.cleaned("t1_mprage_sag_p2_iso")
    ('AX T2 FLAIR  of , b1000', 't1_mprage_sag_p2_iso')
    """

    def __init__(self, facts: Sequence[Fact]) -> None:
        self._sought = Sought(facts)
        self._known: dict[str, str] = {}

    def cleaned(self, text: str) -> str:
        """Return a text without what tells of the patient."""
        known = self._known.get(text)
        if known is None:
            known = self._cleaned(text)
            if len(text) <= _LONG:
                if len(self._known) >= _REMEMBERED:
                    self._known.clear()
                self._known[text] = known
        return known

    def _cleaned(self, text: str) -> str:
        for turn in range(_TURNS):
            found = _joined(text, [*by_pattern(text, again=turn > 0), *self._sought.spans(text)])
            if not found:
                return text
            text = without(text, found)
        return ""


def without(text: str, spans: Iterable[tuple[int, int]]) -> str:
    """Return a text without spans, which are in order."""
    kept, at = [], 0
    for start, end in spans:
        kept.append(text[at:start])
        at = end
    return "".join((*kept, text[at:]))


def _joined(text: str, spans: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return spans in order, those as one that overlap, or that only marks part: ``Doe, Jane`` is one."""
    joined: list[tuple[int, int]] = []
    for start, end in sorted(spans):
        if joined and (start <= joined[-1][1] or not text[joined[-1][1] : start].strip(" ,.^'-")):
            joined[-1] = joined[-1][0], max(end, joined[-1][1])
        elif end > start:
            joined.append((start, end))
    return joined
