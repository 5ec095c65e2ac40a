"""Numbers → numbers nearby, the same distance for every file of a subject."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal, InvalidOperation
from struct import pack, unpack

from fw_gear_deid.actions import unreadable
from fw_gear_deid.actions.dates import DATE_FORMAT, DATETIME_FORMAT, IncrementDate, IncrementDatetime
from fw_gear_deid.actions.dates import promise as promise_of_dates
from fw_gear_deid.actions.shift import Shift, whole_offset
from fw_gear_deid.actions.spec import Given, Option, Spec
from fw_gear_deid.actions.unreadable import REFUSE, instead
from fw_gear_deid.model.action import SHIFTED, Action, At, Result, Texts
from fw_gear_deid.model.errors import Unfit, Unreadable
from fw_gear_deid.model.frozen import frozen
from fw_gear_deid.model.legal import problem

INTEGER_VRS = frozenset({"IS", "SL", "SS", "SV", "UL", "US", "UV"})
_DS_MAX = 16  # characters, PS3.5 Table 6.2-1
_US_MAX = 65535
_EXPONENT_MAX = 300  # about what FD holds; beyond it lie hours of arithmetic


@frozen
class Jitter:
    """``jitter: true``: adds an offset from the keyring, never 0, then clamps.

    Attributes
    ----------
    name : str
        Field as written; each field has an offset of its own.
    reach : float
        Largest distance (``jitter-range``).
    whole : bool
        ``jitter-type: int``.
    low, high : float or None
        ``jitter-min``, ``jitter-max``.
    """

    name: str
    reach: float = 2
    whole: bool = False
    low: float | None = None
    high: float | None = None
    key: str = "jitter"
    unreadable: str = REFUSE

    def __call__(self, texts: Texts, at: At) -> Result:
        """Return the shifted number; an empty value stays empty.

        Raises
        ------
        Unreadable
            Several values, or one that is no number, and ``on-unreadable`` does not say what then.
        Unfit
            One so large that the offset is lost in it.
        """
        if not any(texts):
            return texts
        try:
            number = self._number(texts)
            drawn = at.draw(f"jitter {self.name} {self.reach} {self.whole}")
        except Unreadable as error:
            return instead(self.unreadable, error)
        offset = whole_offset(drawn, int(self.reach)) if self.whole else (drawn / 2**255 - 1) * self.reach
        offset = offset or self.reach / 2
        # at a limit it goes the other way, where that is in
        moved = (self._moved(number, way, at.vr) for way in (offset, -offset))
        return (next((text for text in moved if _read(text, at.vr) != _read(texts[0], at.vr)), texts[0]),)

    def _moved(self, number: Decimal, offset: float, vr: str) -> str:
        if self.whole:
            return self._whole(int(number), int(offset), vr)
        if vr in INTEGER_VRS:
            moved = int(float(number) + offset)
            step = 1 if offset > 0 else -1
            return self._whole(int(number), moved - int(number) or step, vr)
        return self._real(float(number), offset, vr)

    def _number(self, texts: Texts) -> Decimal:
        if len(texts) != 1:
            raise Unreadable("jitter works on a single number, and there are several values")
        try:
            number = Decimal(texts[0])
        except InvalidOperation:
            raise Unreadable("jitter works on numbers, and the value is none") from None
        if not number.is_finite() or number.adjusted() > _EXPONENT_MAX:
            raise Unreadable("jitter works on numbers, and the value is none or too large")
        if (self.whole and number != int(number)) or (self.whole and "." in texts[0]):
            raise Unreadable("jitter with jitter-type int works on whole numbers, and the value is none")
        return number

    def _whole(self, number: int, offset: int, vr: str) -> str:
        moved = self._clamp(number + offset)
        if vr in ("UL", "US", "UV"):
            moved = max(0, moved)
        if vr == "US":
            moved = min(_US_MAX, moved)
        return str(int(moved))

    def _real(self, number: float, offset: float, vr: str) -> str:
        moved = self._clamp(number + offset)
        text = str(float(moved))
        digits = 15
        while vr == "DS" and len(text) > _DS_MAX:
            text = f"{moved:.{digits}g}"
            digits -= 1
        if _read(text, vr) == _read(str(number), vr) and (number + offset == number or moved != number):
            raise Unfit("jitter-range is too small to change a value as large as this one")
        return text

    def _clamp(self, number: float) -> float:
        if self.low is not None:
            number = max(number, type(number)(self.low))
        if self.high is not None:
            number = min(number, type(number)(self.high))
        return number


def _read(text: str, vr: str) -> Decimal:
    """Return a number as it is stored: FL and FD have 24 and 53 bits of it (PS3.5 Table 6.2-1)."""
    number = Decimal(text)
    try:
        kind = {"FL": "<f", "FD": "<d"}.get(vr)
        return Decimal(unpack(kind, pack(kind, number))[0]) if kind else number
    except OverflowError:
        return number


def _promise(action: Action) -> str:
    """Return what a number promises: to be another one, where limits leave room."""
    if not isinstance(action, Jitter):
        return promise_of_dates(action)
    low, high = action.low, action.high
    least = 0 if low is None else max(low, 0)  # of US, which ends at 0 and 65535
    return SHIFTED if least < (_US_MAX if high is None else min(high, _US_MAX)) else ""


def _warns(action: Action, kind: str | None, settled: bool) -> str:
    """Warn of numbers that come out as they went in."""
    if not settled or not isinstance(action, Jitter) or action.low is None or action.high is None:
        return ""
    stays = action.low >= action.high
    return "jitter-min and jitter-max leave no room: all values are the same afterwards" if stays else ""


def _build(given: Given) -> Action | None:
    kind, reach = given.text("jitter-type"), given.number("jitter-range")
    if kind not in ("int", "float"):
        given.complain("must be int or float", "jitter-type")
        return None
    if not reach or reach < 0 or (kind == "int" and reach < 1):
        given.complain("must be above 0, and at least 1 for int", "jitter-range")
        return None
    low, high, way = given.number("jitter-min"), given.number("jitter-max"), unreadable.way(given)
    if way is None:
        return None
    if given.vr not in ("DA", "DT"):
        return Jitter(given.name, reach, kind == "int", low, high, unreadable=way)
    # a date is moved by whole days: published profiles ask for it, and the reference engine fails on every file
    if reach < 1 or reach != int(reach) or low is not None or high is not None:
        given.complain("jitter of a date takes whole days as jitter-range, and no limits")
        return None
    shift = Shift(0, int(reach))
    if given.vr == "DA":
        return IncrementDate(shift, given.text("date-format"), key="jitter", unreadable=way)
    return IncrementDatetime(shift, given.text("datetime-format"), key="jitter", unreadable=way)


_HOW_FAR = "must be true; the number goes into 'jitter-range' of this entry"


def _wide(given: Given, action: Action, vr: str) -> Action | str:
    """Return what jitters all values of a VR: by one offset, and dates as dates."""
    if vr not in ("DA", "DT", "TM") and problem("1", vr):
        return f"VR {vr} cannot hold what {action.key} makes"
    return replace(action, name="vr") if isinstance(action, Jitter) else action


SPEC = Spec(
    key="jitter",
    does="adds an offset within `jitter-range` (2) that is never 0, the same in every file of a subject",
    build=_build,
    options={
        "jitter-range": Option("number", 2, section=True),
        "jitter-type": Option("str", "float", section=True, stand_in="float"),
        "jitter-min": Option("number"),
        "jitter-max": Option("number"),
        "date-format": replace(DATE_FORMAT, entry=False),
        "datetime-format": replace(DATETIME_FORMAT, entry=False),
        unreadable.KEY: unreadable.OPTION,
    },
    not_true={"int": _HOW_FAR, "float": _HOW_FAR},
    sure=_promise,
    wide=_wide,
    warns=_warns,
    moves=True,
    numbers=True,
)
