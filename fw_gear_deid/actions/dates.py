"""Dates and date-times → the same, moved by a number of days."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta

from fw_gear_deid.actions.jitter import whole_offset
from fw_gear_deid.model.action import At, Texts
from fw_gear_deid.model.errors import Unfit
from fw_gear_deid.model.frozen import frozen

DEFAULT_DATETIME = "%Y%m%d%H%M%S.%f"  # the profile language's default for DICOM
UNITS = ("days", "hours", "microseconds", "milliseconds", "minutes", "seconds", "weeks")  # of timedelta
_SINGLE = frozenset({"LT", "ST", "UR", "UT"})  # VRs in which a comma or backslash is text
_ZONE = re.compile(r"[+-]\d{2}:?\d{2}$")
_DT = re.compile(r"(\d{8})(\d{2})?(\d{2})?(\d{2})?(\.\d{1,6})?", re.ASCII)  # DT to the day or finer, PS3.5 Table 6.2-1
_DOTTED = re.compile(r"\d{4}\.\d{2}\.\d{2}", re.ASCII)
_PARTIAL = re.compile(r"\d{4}(\d{2})?|\d{4}0000|\d{6}00", re.ASCII)
_NO_DAY = (
    "the value is no date in the format that the rule expects: it has a year but no certain day; a regex-sub with two "
    "input-regex can keep the year and move full dates, or remove the element"
)
_NO_DATE = "the value is no date in the format that the rule expects; see date-format, or regex-sub for odd ones"
_LIMIT = re.compile(r"([+-]?\d+)\s*(years?|weeks?|days?)")


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
        """Return the distance for the subject at hand: one for all dates with the same range and unit."""
        moved = timedelta(days=self.days)
        if self.jitter:
            steps = whole_offset(at.draw(f"jitter-date {self.jitter} {self.unit}"), self.jitter)
            moved += timedelta(**{self.unit: steps})
        return moved


@frozen
class IncrementDate:
    """``increment-date: true``: a date in ``date-format``, moved by whole days (a fraction has no effect on a date).

    Examples
    --------
    >>> IncrementDate(Shift(-17), "%Y%m%d")(("20200229",), At("DA", lambda purpose: 0, date(2020, 1, 1), str))
    ('20200212',)
    """

    shift: Shift
    form: str = "%Y%m%d"
    low: str = ""
    high: str = ""
    key: str = "increment-date"
    loose: bool = False
    """Also take other spellings of a date (captures in file names), and write them in ``form``."""

    def __call__(self, texts: Texts, at: At) -> Texts:
        """Return the moved dates; an empty one stays empty.

        Raises
        ------
        Unfit
            A value is no date in the format, or leaves the calendar.
        """
        return tuple(self._move(text, at) if text.strip() else text for text in _split(texts, at))

    def _move(self, text: str, at: At) -> str:
        try:
            moment = _parse(text, self.form)
        except Unfit:
            if self.loose:
                moment = _parse_any(text)
            elif self.form == "%Y%m%d" and at.vr == "DA" and _DOTTED.fullmatch(text.strip()):
                moment = _parse(text.strip(), "%Y.%m.%d")  # of ACR-NEMA, which readers still meet (PS3.5 §6.2, DA)
            elif self.form == "%Y%m%d" and _PARTIAL.fullmatch(text.strip()):
                raise Unfit(_NO_DAY) from None
            else:
                raise
        return _write(_clamp(_add(moment, self.shift.delta(at)), self.low, self.high, at), self.form)


@frozen
class IncrementDatetime:
    """``increment-datetime: true``: a date-time in ``datetime-format``, moved; its zone is kept as written.

    With the default format a DICOM date-time of lower precision (to the day, hour or minute) keeps that precision.

    Examples
    --------
    >>> at = At("DT", lambda purpose: 0, date(2020, 1, 1), str)
    >>> IncrementDatetime(Shift(5))(("20200229134501",), at)
    ('20200305134501.000000',)
    """

    shift: Shift
    form: str = DEFAULT_DATETIME
    low: str = ""
    high: str = ""
    key: str = "increment-datetime"

    def __call__(self, texts: Texts, at: At) -> Texts:
        """Return the moved date-times; an empty one stays empty.

        Raises
        ------
        Unfit
            A value is no date-time in the format, or leaves the calendar.
        """
        return tuple(self._move(text, at) if text.strip() else text for text in _split(texts, at))

    def _move(self, text: str, at: At) -> str:
        zone = _ZONE.search(text)
        suffix = zone.group() if zone and self.form != "timestamp" else ""
        text = text.removesuffix(suffix)
        form = self.form
        if form == DEFAULT_DATETIME:
            fields = _DT.fullmatch(text)
            if fields is None:
                raise Unfit("the value is no date-time to the day or finer")
            present = [part for part in fields.groups()[1:4] if part]
            if len(present) < 3:
                form = "%Y%m%d" + "%H%M%S"[: 2 * len(present)]
        moment = _clamp(_add(_parse(text, form), self.shift.delta(at)), self.low, self.high, at)
        return _write(moment, form) + suffix


_YEARS = frozenset("YyGcx")  # those of strptime that tell a year
_DIRECTIVES = frozenset("aAwdbBmyYHIpMSfzZjUWcxX%GuV")  # of strptime


def format_problem(form: str) -> str:
    """Say why dates cannot be read and written in a format; empty when they can.

    >>> format_problem("%Y%m%d"), format_problem("%Q")
    ('', '%Q is not a format code')
    """
    if form == "timestamp":
        return ""
    codes = re.findall(r"%(.?)", form)
    bad = [code for code in codes if code not in _DIRECTIVES]
    if bad or not codes:
        return f"%{bad[0]} is not a format code" if bad else "no format code such as %Y"
    try:
        _parse(_write(datetime(2004, 3, 15, 13, 45, 1, 250000), form), form)  # noqa: DTZ001 -- any moment will do
    except (Unfit, re.error):
        return "a date written in this format cannot be read back"
    return ""


def limit(text: str, today: date) -> datetime:
    """Return the moment of a ``datetime-min`` or ``-max``: ``YYYYMMDD``, or ``-2years`` from today.

    Raises
    ------
    Unfit
        Neither of the two forms.
    """
    relative = _LIMIT.fullmatch(text.strip())
    if relative is None:
        return _parse(text, "%Y%m%d")
    days = {"y": 365.25, "w": 7, "d": 1}[relative.group(2)[0]]  # a year as the reference engine counts it
    try:
        distance = timedelta(days=float(relative.group(1)) * days)
    except OverflowError:
        raise Unfit("the limit leaves the calendar") from None
    return _add(datetime(today.year, today.month, today.day), distance)  # noqa: DTZ001 -- a calendar day


def _clamp(moment: datetime, low: str, high: str, at: At) -> datetime:
    if low:
        moment = max(moment, limit(low, at.today))
    if high:
        moment = min(moment, limit(high, at.today))
    return moment


def _split(texts: Texts, at: At) -> Texts:
    """Values of the field; text with commas is several only where the VR allows several."""
    if at.vr in _SINGLE:
        return texts
    return tuple(part for text in texts for part in text.split(","))


def _parse(text: str, form: str) -> datetime:
    """Parse strictly: what strptime lets pass but would not write the same way is no date."""
    try:
        if form == "timestamp":
            return datetime.fromtimestamp(float(text), UTC)
        if form.endswith(".%f") and "." not in text:
            text += ".0"
        moment = datetime.strptime(*_with_year(text, form))  # noqa: DTZ007 -- a wall-clock value; its zone stays text
        same = _write(moment, form)
    except (ValueError, OverflowError, OSError):
        raise Unfit(_NO_DATE) from None
    if _plain(same) != _plain(text):
        raise Unfit(_NO_DATE)
    return moment


def _with_year(text: str, form: str) -> tuple[str, str]:
    """Name the year that strptime takes for a day without one: from Python 3.15 on it takes another, or none.

    >>> _with_year("24.12", "%d.%m"), _with_year("20201224", "%Y%m%d")
    (('1900 24.12', '%Y %d.%m'), ('20201224', '%Y%m%d'))
    """
    named = {after[:1] for after in form.replace("%%", "").split("%")[1:]}
    return (f"1900 {text}", f"%Y {form}") if "d" in named and not named & _YEARS else (text, form)


def _plain(text: str) -> str:
    """Text for comparing: without trailing zeros of a fraction, in one case."""
    head, dot, fraction = text.strip().rpartition(".")
    return (head + dot + fraction.rstrip("0") if fraction.isdigit() else text.strip()).casefold()


_SPELLINGS = ("%Y%m%d", "%Y-%m-%d", "%Y/%m/%d", "%Y.%m.%d", "%Y_%m_%d", "%d-%b-%Y", "%d %b %Y", "%b %d %Y")


def _parse_any(text: str) -> datetime:
    for form in _SPELLINGS:  # unambiguous ones only: 01/02/2020 is refused, not guessed
        try:
            return _parse(text, form)
        except Unfit:
            continue
    raise Unfit("the value is no date in a spelling that is understood")


def _add(moment: datetime, delta: timedelta) -> datetime:
    try:
        return moment + delta
    except OverflowError:
        raise Unfit("the moved date leaves the calendar") from None


def _write(moment: datetime, form: str) -> str:
    if form == "timestamp":
        seconds = moment.timestamp()
        return str(int(seconds)) if seconds == int(seconds) else str(seconds)
    return moment.strftime(form.replace("%Y", f"{moment.year:04d}"))  # strftime does not pad years below 1000
