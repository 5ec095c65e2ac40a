"""By how much dates move: fixed days, and an offset of the subject's own, drawn from those that change a date."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from fw_gear_deid.model.action import Action, At
from fw_gear_deid.model.frozen import frozen

UNITS = ("days", "hours", "microseconds", "milliseconds", "minutes", "seconds", "weeks")  # of timedelta
_DAY = timedelta(days=1)


def whole_offset(number: int, reach: int) -> int:
    """Return a whole number in [-reach, reach] that is not 0, spread evenly over ``number``.

    >>> sorted(whole_offset(n, 2) for n in range(4))
    [-2, -1, 1, 2]
    """
    at = number % (2 * reach)
    return at - reach if at < reach else at - reach + 1


@frozen
class Shift:
    """By how much to move: fixed days, and with ``jitter-date`` an offset of the subject's own.

    Attributes
    ----------
    days : float
        ``date-increment`` or its override; may be fractional or negative.
    jitter : int
        ``jitter-range``; 0 without ``jitter-date``.
    unit : str
        ``jitter-unit``, a keyword of timedelta.
    """

    days: float
    jitter: int = 0
    unit: str = "days"

    def delta(self, at: At) -> timedelta:
        """Return the distance for the subject at hand: one for all dates with the same increment, range and unit.

        It goes by the shift alone, never by the value: a date, a date-time and a container's moment move alike. What
        is drawn first counts, unless a date without a time would stay where it is; then one of those is drawn by
        which it does not, if there are any.
        """
        if not self.jitter:
            return self._fixed
        purpose = f"jitter-date {self.jitter} {self.unit}"
        steps = whole_offset(at.draw(purpose), self.jitter)
        spans = self._spans()
        if not any(first <= steps <= last for first, last in spans):
            steps = _pick(at.draw(f"{purpose} beside {self._fixed}"), spans)
        return self._fixed + steps * self._step

    @property
    def moves(self) -> bool:
        """Whether anything moves."""
        return bool(self.days) or bool(self.jitter)

    @property
    def moves_dates(self) -> bool:
        """Whether a date without a time comes out as another one, for every subject."""
        total = self._fixed // _DAY
        return total != 0 if not self.jitter else not self._stays(self._spans()[0][0])

    @property
    def moves_clocks(self) -> bool:
        """Whether a time of day may come out as another one."""
        return bool(self._fixed % _DAY) or (self.jitter > 0 and bool(self._step % _DAY))

    @property
    def _fixed(self) -> timedelta:
        return timedelta(days=self.days)

    @property
    def _step(self) -> timedelta:
        return timedelta(**{self.unit: 1})

    def _stays(self, steps: int) -> bool:
        """Tell whether a date without a time stays: less than a day later is the same day."""
        return (self._fixed + steps * self._step) // _DAY == 0

    def _spans(self) -> list[tuple[int, int]]:
        """Return first and last of the steps to draw from: those that move a date, else those that move at all."""
        first = -(self._fixed // self._step)  # the first that is not back in time
        last = -((self._fixed - _DAY) // self._step) - 1  # the last that is not a day later
        if self._fixed % self._step == timedelta(0):
            nothing = (first, first)
        else:
            nothing = (1, 0)
        return list(self._without(first, last)) or list(self._without(*nothing))

    def _without(self, first: int, last: int) -> Iterator[tuple[int, int]]:
        """Yield the spans of steps within reach that are neither 0 nor in a span."""
        reach = self.jitter
        ends = ((-reach, min(first - 1, -1)), (max(last + 1, -reach), -1), (1, min(first - 1, reach)))
        spans = (*ends, (max(last + 1, 1), reach)) if first <= last else ((-reach, -1), (1, reach))
        yield from dict.fromkeys((low, high) for low, high in spans if low <= high)


RANGE, RANGE_MAX = 3650, 365_000  # days


@frozen
class Keyed:
    """``keyed``: a whole number of days into the past that belongs to the key and the patient, one for all dates.

    Attributes
    ----------
    reach : int
        ``date-shift-range``, the farthest.
    """

    reach: int = RANGE

    def delta(self, at: At) -> timedelta:
        """Return the distance for the patient at hand: from one day to all of the range, each as likely.

        Examples
        --------
        >>> Keyed(10).delta(At("DA", lambda purpose: 12, None, str))
        datetime.timedelta(days=-3)
        """
        return -_DAY * (1 + at.draw(f"date-shift {self.reach}") % self.reach)

    @property
    def moves(self) -> bool:
        """Whether anything moves."""
        return True

    @property
    def moves_dates(self) -> bool:
        """Whether a date without a time comes out as another one, for every patient."""
        return True

    @property
    def moves_clocks(self) -> bool:
        """Whether a time of day may come out as another one."""
        return False


def _pick(number: int, spans: list[tuple[int, int]]) -> int:
    """Return one of the steps of some spans, spread evenly over a number."""
    at = number % sum(last - first + 1 for first, last in spans)
    for first, last in spans:
        if at <= last - first:
            return first + at
        at -= last - first + 1
    raise AssertionError("the remainder is smaller than the sum")


def goes_by_key(action: Action) -> bool:
    """Tell whether an action hashes or moves by the key of the run, so that nobody undoes it by trying."""
    return bool(getattr(action, "keyed", False)) or isinstance(getattr(action, "shift", None), Keyed)
