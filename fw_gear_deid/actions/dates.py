"""Dates and date-times → the same, moved by a number of days."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta

from fw_gear_deid.actions.spec import RECORD, Given, Option, Spec
from fw_gear_deid.model.action import Action, At, Texts
from fw_gear_deid.model.errors import Unfit
from fw_gear_deid.model.frozen import frozen

DEFAULT_DATE, DEFAULT_DATETIME = "%Y%m%d", "%Y%m%d%H%M%S.%f"  # the profile language's defaults for DICOM
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
    form: str = DEFAULT_DATE
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


# -- in the language -----------------------------------------------------------------------------------

_DAYS_MAX = 3_700_000  # the years 1 to 9999


def _build_date(given: Given) -> IncrementDate | None:
    shift = _shift(given, "increment-date")
    if shift is None or not _are_limits(given) or not _is_format(given, "date-format"):
        return None
    low, high = given.text("datetime-min"), given.text("datetime-max")
    return IncrementDate(shift, given.text("date-format"), low, high)


def _build_datetime(given: Given) -> IncrementDatetime | None:
    shift = _shift(given, "increment-datetime")
    if shift is None or not _are_limits(given) or not _is_format(given, "datetime-format"):
        return None
    low, high = given.text("datetime-min"), given.text("datetime-max")
    return IncrementDatetime(shift, given.text("datetime-format"), low, high)


def _shift(given: Given, key: str) -> Shift | None:
    """Return by how much an entry moves dates, or complain and return None."""
    own, days = given.number("date-increment-override"), given.number("date-increment")
    days = days if own is None else own
    if days is None:
        given.complain(f"{key} needs a 'date-increment' (days) in the section, or 'date-increment-override'")
        return None
    if abs(days) > _DAYS_MAX:
        given.complain("the increment leaves the calendar")
        return None
    if not given.flag("jitter-date"):
        return Shift(days)
    reach, unit = given.number("jitter-range"), given.written("jitter-unit")
    unit = given.text("jitter-unit") if unit is None else unit
    if reach is None or reach < 1 or reach != int(reach):
        given.complain("must be a whole number from 1", "jitter-range")
        return None
    if unit not in UNITS:
        given.complain(f"not a unit; write one of {', '.join(UNITS)}", "jitter-unit")
        return None
    if reach * (timedelta(**{unit: 1}) / timedelta(days=1)) > _DAYS_MAX:
        given.complain("the jitter-range leaves the calendar")
        return None
    return Shift(days, int(reach), unit)


def _are_limits(given: Given) -> bool:
    for option in ("datetime-min", "datetime-max"):
        written = given.written(option)
        if written is not None and not _is_limit(written):
            given.complain("write YYYYMMDD in quotes, or a distance from today like '-2years'", option)
            return False
    return True


def _is_limit(text: str) -> bool:
    try:
        limit(text, date(2000, 1, 1))
    except Unfit:
        return False
    return True


def _is_format(given: Given, option: str) -> bool:
    written = given.written(option)
    wrong = "" if written is None else format_problem(written)
    if wrong:
        given.complain(wrong, option)
    return not wrong


def _warns(action: Action, kind: str | None, settled: bool) -> str:
    """Warn of dates that come out as they went in: a fraction of a day has no effect on a date without a time."""
    if not settled or kind == RECORD or not isinstance(action, IncrementDate | IncrementDatetime):
        return ""
    if action.shift.jitter:
        return ""
    days = action.shift.days
    lost = isinstance(action, IncrementDate) and 0 < days < 1 and action.form == DEFAULT_DATE
    return "moves by less than a day: the value stays as it is" if not days or lost else ""


DATE_FORMAT = Option("str", DEFAULT_DATE, section=True, stand_in=DEFAULT_DATE, problem=format_problem)
DATETIME_FORMAT = Option("str", DEFAULT_DATETIME, section=True, stand_in="%Y%m%d%H%M%S", problem=format_problem)
_SHIFT = {
    "date-increment": Option("number", entry=False, section=True),
    "date-increment-override": Option("number"),
    "jitter-date": Option("bool", False),
    "jitter-range": Option("number", 10),
    "jitter-unit": Option("str", "days", stand_in="days"),
    "datetime-min": Option("str", "", stand_in="20000101"),
    "datetime-max": Option("str", "", stand_in="20000101"),
}
_HOW_FAR = (
    "must be true; the number of days goes into 'date-increment' of the section, "
    "or 'date-increment-override' of this entry"
)

DATE = Spec(
    key="increment-date",
    does="moves a date in `date-format` by `date-increment` days",
    build=_build_date,
    options=_SHIFT | {"date-format": DATE_FORMAT},
    not_true={"int": _HOW_FAR, "float": _HOW_FAR},
    warns=_warns,
    moves=True,
    numbers=True,
    words=dict.fromkeys(("shift-date", "shift", "offset"), "increment-date"),
)
DATETIME = Spec(
    key="increment-datetime",
    does="moves a date with a time in `datetime-format` by `date-increment` days",
    build=_build_datetime,
    options=_SHIFT | {"datetime-format": DATETIME_FORMAT},
    not_true={"int": _HOW_FAR, "float": _HOW_FAR},
    warns=_warns,
    moves=True,
    numbers=True,
)
