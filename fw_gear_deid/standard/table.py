"""``ps3-15`` in a plan: elements that no entry reaches → what Table E.1-1 does to them, as actions."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

from fw_gear_deid.actions import Clean, Hash, HashUid, IncrementDate, IncrementDatetime, Remove, Replace
from fw_gear_deid.actions.ages import TopCode
from fw_gear_deid.actions.inner import CAP_AGE, DropOverlay, Fill, KeepTime, Pseudonym, Zeros
from fw_gear_deid.actions.shift import RANGE, Keyed
from fw_gear_deid.actions.unreadable import EMPTY, REMOVE
from fw_gear_deid.model.action import Action
from fw_gear_deid.model.dictionary import is_private
from fw_gear_deid.model.frozen import frozen
from fw_gear_deid.model.outcome import UNTYPED
from fw_gear_deid.model.ruling import Asked, Ruling
from fw_gear_deid.standard import private, resolve, unlisted
from fw_gear_deid.standard.resolve import Done, Standard

KEY = "ps3-15"
_MATES = dict.fromkeys(unlisted.MEANINGS, unlisted.CODE_VALUES)
_BY_TYPE = (resolve.REMOVE, resolve.EMPTY, resolve.DUMMY, resolve.HASH)
_BIT_POSITION = 0x60000102  # OverlayBitPosition, of any overlay
_DIGITS = 16  # of a hashed id: an SH holds no more


@frozen
class StandardTable:
    """The basic profile of PS3.15 with options.

    Attributes
    ----------
    options : frozenset of str
        Of ``tables.OPTIONS``.
    reach : int
        ``date-shift-range``.
    unreadable : str
        What the profile says of dates that cannot be read; empty: they go by their Type.
    documents : bool
        Encapsulated documents stay in the classes that exist for them: the profile accepts their risk.
    drawn : bool
        Text drawn into the pixels is accepted, and so are overlays there.
    """

    options: frozenset[str]
    reach: int = RANGE
    unreadable: str = ""
    documents: bool = False
    drawn: bool = False

    @property
    def mates(self) -> Mapping[int, frozenset[int]]:
        """Return what a meaning needs beside it: a code."""
        return _MATES

    def rule(self, asked: Asked) -> Ruling | None:
        """Return what is done to an element, None where it stays."""
        if is_private(asked.tag):
            done = private.of(asked, self.options)
        else:
            done = _standard(self.options, asked.sop_class, self.documents).of(asked.way, asked.tag, asked.vr)
        if done.deed == resolve.MEANING and not asked.whole:
            done = done._replace(deed=resolve.DUMMY, code="X")  # words that no code says are anybody's
        actions = self._actions(done, asked.tag, asked.vr)
        guessed = not done.kind and done.deed in _BY_TYPE
        return Ruling(f"{KEY} {done.code}{UNTYPED if guessed else ''}", actions) if actions else None

    def _actions(self, done: Done, tag: int, vr: str) -> tuple[Action, ...]:
        match done.deed:
            case resolve.REMOVE:
                return (DropOverlay() if tag & 0xFF00FFFF == _BIT_POSITION and not self.drawn else Remove(),)
            case resolve.EMPTY:
                return (Replace((), insert=False),)
            case resolve.DUMMY:
                values = resolve.dummy_of(tag, vr)
                return (Zeros() if values is None else Replace(values, insert=False),)
            case resolve.UID:
                return (HashUid(keyed=True),)
            case resolve.HASH:
                return (Hash(_DIGITS, keyed=True),)
            case resolve.PSEUDONYM:
                return (Pseudonym(),)
            case resolve.AGE:
                return self._filled(TopCode(CAP_AGE, self._way(done)), done, tag, vr)
            case resolve.DATE:
                return self._filled(self._date(vr, self._way(done)), done, tag, vr)
            case resolve.CLEAN:
                return self._filled(Clean(), done, tag, vr)
        return ()

    def _way(self, done: Done) -> str:
        """Return what becomes of a value that cannot be read."""
        return self.unreadable or (REMOVE if done.kind == "3" else EMPTY)

    def _date(self, vr: str, way: str) -> Action:
        if vr == "TM":
            return KeepTime(way)
        shift = Keyed(self.reach)
        return IncrementDate(shift, unreadable=way) if vr == "DA" else IncrementDatetime(shift, unreadable=way)

    @staticmethod
    def _filled(action: Action, done: Done, tag: int, vr: str) -> tuple[Action, ...]:
        """Return an action, and what comes instead where it leaves nothing of what must not be empty."""
        values = resolve.dummy_of(tag, vr) if done.kind[:1] == "1" or not done.kind else None
        return (action, Fill(values[0])) if values else (action,)


@lru_cache(maxsize=64)
def _standard(options: frozenset[str], sop_class: str, documents: bool) -> Standard:
    return Standard(options, sop_class, documents=documents)
