"""Dates and date-times → the same, moved by a number of days."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

from fw_gear_deid.actions import unreadable
from fw_gear_deid.actions.shift import RANGE, RANGE_MAX, UNITS, Keyed, Shift
from fw_gear_deid.actions.spec import KEYED, Given, Option, Spec
from fw_gear_deid.actions.unreadable import REFUSE, each
from fw_gear_deid.model.action import MOVED, SHIFTED, Action, At, Result, Texts
from fw_gear_deid.model.errors import Unfit, Unreadable
from fw_gear_deid.model.frozen import frozen
from fw_gear_deid.model.legal import problem

DEFAULT_DATE, DEFAULT_DATETIME = "%Y%m%d", "%Y%m%d%H%M%S.%f"  # the profile language's defaults for DICOM
_SINGLE = frozenset({"LT", "ST", "UR", "UT"})  # VRs in which a comma or backslash is text
_MICROSECOND = 6  # digits
_PADDING = " \t\r\n\0"
_ZONE = re.compile(r"\s*([+-]\d{2}:?\d{2})$", re.ASCII)
_UTC = re.compile(r"(?<=\d)\s*Z$", re.ASCII)
# year, month, day, hour, minute, second and fraction, as far as they go: DT (PS3.5 Table 6.2-1), and as others write it
_DT = re.compile(
    r"(\d{4})(?:(?P<sep>[-./]?)(\d{2})(?:(?P=sep)(\d{2})(?:[T ]?(\d{2})(?::?(\d{2})(?::?(\d{2})(?:\.(\d+))?)?)?)?)?)?",
    re.ASCII,
)
_TO_THE_DAY = re.compile(r"\d{8,14}(\.\d+)?", re.ASCII)
# a day, year first, and a time or an offset from UTC behind it
_DAY = re.compile(
    r"(\d{4})(?P<sep>[-./:]?)(\d{2})(?P=sep)(\d{2})"
    r"(?:\s?T?(?:[01]\d|2[0-3])(?::?[0-5]\d(?::?[0-6]\d(?:\.\d+)?)?)?)?"
    r"(?:\s?(?:Z|[+-](?:0\d|1[0-4]):?(?:00|15|30|45)))?",
    re.ASCII,
)
_TIME = re.compile(r"(\d{2})(?::?(\d{2})(?::?(\d{2})(\.\d+)?)?)?", re.ASCII)
_TIME_FORMS = ("%H%M%S.%f", "%H%M%S")
_MICROS = re.compile(r"(\.\d{6})\d+$", re.ASCII)
_PARTIAL = re.compile(r"\d{4}(\d{2})?|\d{4}0000|\d{6}00", re.ASCII)
_NO_DAY = (
    "the value is no date in the format that the rule expects: it has a year but no certain day; a regex-sub with two "
    "input-regex can keep the year and move full dates, or remove the element"
)
_NO_DATE = "the value is no date in the format that the rule expects; see date-format, or regex-sub for odd ones"
_LIMIT = re.compile(r"([+-]?\d+)\s*(years?|weeks?|days?)")


@frozen
class IncrementDate:
    """``increment-date: true``: a date in ``date-format``, moved by whole days (a fraction has no effect on a date).

    Examples
    --------
    >>> IncrementDate(Shift(-17), "%Y%m%d")(("20200229",), At("DA", lambda purpose: 0, date(2020, 1, 1), str))
    ('20200212',)
    """

    shift: Shift | Keyed
    form: str = DEFAULT_DATE
    low: str = ""
    high: str = ""
    key: str = "increment-date"
    loose: bool = False
    """Also take other spellings of a date (captures in file names), and write them in ``form``."""
    unreadable: str = REFUSE

    def __call__(self, texts: Texts, at: At) -> Result:
        """Return the moved dates; an empty one stays empty.

        Raises
        ------
        Unreadable
            A value is no date in the format, or leaves the calendar, and ``on-unreadable`` does not say what then.
        """
        return each(_split(texts, at), lambda text: self._move(text, at), self.unreadable)

    def _move(self, text: str, at: At) -> str:
        plain = text.strip(_PADDING)
        if not plain:
            return text
        plain, form = _to_precision(plain, self.form, at.vr)
        moment = self._read(plain, form, at)
        return _write(_clamp(_add(moment, self.shift.delta(at)), self.low, self.high, at), form)

    def _read(self, text: str, form: str, at: At) -> datetime:
        try:
            return _parse(text, form)
        except Unreadable:
            if self.loose:
                return _parse_any(text)
            if form != DEFAULT_DATE:
                raise
            if _PARTIAL.fullmatch(text):
                raise Unreadable(_NO_DAY) from None
            day = _DAY.fullmatch(text) if at.vr == "DA" else None
            if day is None:
                raise
            return _parse(day[1] + day[3] + day[4], form)  # 1993.04.30 was ACR-NEMA's way (PS3.5 §6.2, DA)


@frozen
class IncrementDatetime:
    """``increment-datetime: true``: a date-time in ``datetime-format``, moved; its zone is kept as written.

    With the default format a DICOM date-time keeps its precision: one to the year or month moves as its first day.

    Examples
    --------
    >>> at = At("DT", lambda purpose: 0, date(2020, 1, 1), str)
    >>> IncrementDatetime(Shift(5))(("20200229134501",), at)
    ('20200305134501.000000',)
    """

    shift: Shift | Keyed
    form: str = DEFAULT_DATETIME
    low: str = ""
    high: str = ""
    key: str = "increment-datetime"
    loose: bool = False
    """Also take a date-time as ISO 8601 writes it, and write it in ``form``."""
    unreadable: str = REFUSE

    def __call__(self, texts: Texts, at: At) -> Result:
        """Return the moved date-times; an empty one stays empty.

        Raises
        ------
        Unreadable
            A value is no date-time in the format, or leaves the calendar, and ``on-unreadable`` does not say what then.
        """
        return each(_split(texts, at), lambda text: self._move(text, at), self.unreadable)

    def _move(self, text: str, at: At) -> str:
        plain = text.strip(_PADDING)
        if not plain:
            return text
        dicom = at.vr == "DT" and self.form == DEFAULT_DATETIME
        zone = _ZONE.search(_UTC.sub("+0000", plain) if dicom else plain) if self.form != "timestamp" else None
        suffix = zone[1] if zone else ""
        plain = zone.string[: zone.start()] if zone else plain
        if self.form == DEFAULT_DATETIME:
            plain = _joined(plain) if self.loose else plain
            if not dicom and not _TO_THE_DAY.fullmatch(plain):
                raise Unreadable("the value is no date-time to the day or finer")
            return self._move_parts(plain, at) + (suffix.replace(":", "") if dicom else suffix)
        plain, form = _to_precision(plain, self.form, at.vr)
        return _write(self._moved(self._read(plain, form), at), form) + suffix

    def _read(self, text: str, form: str) -> datetime:
        try:
            return _parse(text, form)
        except Unreadable:
            joined = _joined(text) if self.loose else ""
            if not _TO_THE_DAY.fullmatch(joined):
                raise
            whole, _, fraction = joined.partition(".")
            return _parse(f"{whole:0<14}.{(fraction or '0')[:_MICROSECOND]}", DEFAULT_DATETIME)

    def _move_parts(self, text: str, at: At) -> str:
        """Move a date-time of DICOM: what it does not tell is the first there is, and is not told afterwards."""
        match = _DT.fullmatch(text)
        if match is None:
            raise Unreadable("the value is no date-time")
        *parts, fraction = (match[number] for number in (1, 3, 4, 5, 6, 7, 8))
        full = "".join(part or first for part, first in zip(parts, ("", "01", "01", "00", "00", "00"), strict=True))
        moment = _parse(f"{full}.{(fraction or '0')[:_MICROSECOND]}", DEFAULT_DATETIME)
        told = len("".join(part for part in parts if part))
        moved = _write(self._moved(moment, at), DEFAULT_DATETIME)
        return moved if told == len(full) else moved[:told]

    def _moved(self, moment: datetime, at: At) -> datetime:
        return _clamp(_add(moment, self.shift.delta(at)), self.low, self.high, at)


def _joined(text: str) -> str:
    """Return a date-time of ISO 8601, to the day or finer, without what stands between its parts.

    >>> _joined("2020-02-29T13:45:01.5"), _joined("20200229"), _joined("29.02.2020")
    ('20200229134501.5', '20200229', '29.02.2020')
    """
    match = _DT.fullmatch(text)
    if match is None or match[4] is None:
        return text
    parts = "".join(part or "" for part in match.group(1, 3, 4, 5, 6, 7))
    return parts + (f".{match[8]}" if match[8] else "")


def _to_precision(text: str, form: str, vr: str) -> tuple[str, str]:
    """Return a text and the format for it: a TM has the precision that it has, and fractions end at six digits.

    >>> _to_precision("1345", "%H%M%S.%f", "TM"), _to_precision("134501.1234567", "%H%M%S.%f", "TM")
    (('1345', '%H%M'), ('134501.123456', '%H%M%S.%f'))
    """
    time = _TIME.fullmatch(text) if vr == "TM" and form in _TIME_FORMS else None
    if time is not None:
        present = [part for part in time.groups()[:3] if part]
        text = "".join(present) + (time[4] or "")
        form = form if len(present) == 3 else "%H%M%S"[: 2 * len(present)]
    return (_MICROS.sub(r"\1", text) if form.endswith(".%f") else text), form


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
        raise Unreadable("the limit leaves the calendar") from None
    return _add(datetime(today.year, today.month, today.day), distance)  # noqa: DTZ001 -- a calendar day


def _clamp(moment: datetime, low: str, high: str, at: At) -> datetime:
    zone = moment.tzinfo  # a limit is a day wherever the moment is
    if low:
        moment = max(moment, limit(low, at.today).replace(tzinfo=zone))
    if high:
        moment = min(moment, limit(high, at.today).replace(tzinfo=zone))
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
        raise Unreadable(_NO_DATE) from None
    if _plain(same) != _plain(text):
        raise Unreadable(_NO_DATE)
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
        except Unreadable:
            continue
    raise Unreadable("the value is no date in a spelling that is understood")


def _add(moment: datetime, delta: timedelta) -> datetime:
    try:
        return moment + delta
    except OverflowError:
        raise Unreadable("the moved date leaves the calendar") from None


def _write(moment: datetime, form: str) -> str:
    if form == "timestamp":
        seconds = moment.timestamp()
        return str(int(seconds)) if seconds == int(seconds) else str(seconds)
    return moment.strftime(form.replace("%Y", f"{moment.year:04d}"))  # strftime does not pad years below 1000


# -- in the language -----------------------------------------------------------------------------------

_DAYS_MAX = 3_700_000  # the years 1 to 9999


def _build_date(given: Given) -> IncrementDate | None:
    shift, way = _shift(given, "increment-date"), unreadable.way(given)
    if shift is None or way is None or not _are_limits(given) or not _is_format(given, "date-format"):
        return None
    low, high = given.text("datetime-min"), given.text("datetime-max")
    return IncrementDate(shift, given.text("date-format"), low, high, unreadable=way)


def _build_datetime(given: Given) -> IncrementDatetime | None:
    shift, way = _shift(given, "increment-datetime"), unreadable.way(given)
    if shift is None or way is None or not _are_limits(given) or not _is_format(given, "datetime-format"):
        return None
    low, high = given.text("datetime-min"), given.text("datetime-max")
    return IncrementDatetime(shift, given.text("datetime-format"), low, high, unreadable=way)


def _shift(given: Given, key: str) -> Shift | Keyed | None:
    """Return by how much an entry moves dates, or complain and return None."""
    if given.keyed:
        return _keyed(given)
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


def _keyed(given: Given) -> Keyed | None:
    own = [option for option in _OWN if given.written(option) is not None]
    if own:
        given.complain(f"one shift of the patient moves all dates that are {KEYED}: take this out", own[0])
        return None
    reach = given.number(SHIFT_RANGE)
    return Keyed(int(reach)) if reach is not None and not _range_problem(f"{reach:.0f}") else Keyed()


def _range_problem(text: str) -> str:
    """Say why a text is no ``date-shift-range``."""
    return "" if text.isdecimal() and 1 <= int(text) <= RANGE_MAX else f"must be a whole number from 1 to {RANGE_MAX}"


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
    """Warn of dates and times that come out as they went in."""
    if not settled or not isinstance(action, IncrementDate | IncrementDatetime):
        return ""
    shift, codes = action.shift, _codes(action.form)
    if not codes & _DATES:
        stays = not shift.moves_clocks
        return "moves by whole days: a time of day stays as it is" if stays else ""
    to_the_day = isinstance(action, IncrementDate) and not codes & _CLOCKS
    stays = not (shift.moves_dates if to_the_day else shift.moves)
    return "moves by less than a day: the value stays as it is" if stays else ""


def _wide(given: Given, action: Action, vr: str) -> Action | str:
    """Return what moves all dates of a VR: DT by its own format."""
    if isinstance(action, IncrementDate) and vr == "DT":
        moving = _build_datetime(given)
        action = action if moving is None else replace(moving, key=action.key)
    assert isinstance(action, IncrementDate | IncrementDatetime)  # noqa: S101 -- of this kind
    text = _write(datetime(2004, 3, 15, 13, 45, 1, 250000), action.form)  # noqa: DTZ001 -- any moment will do
    return f"VR {vr} cannot hold what {action.key} makes" if problem(text, vr) else action


def promise(action: Action) -> str:
    """Return what a date that moves promises: to be another one, where no subject's shift, and no limit, lets it be."""
    if not isinstance(action, IncrementDate | IncrementDatetime):
        return ""
    codes = _codes(action.form)
    whole = bool(codes & set("Ycx")) and bool(codes & set("djcx"))
    limited = bool(action.low or action.high)
    return SHIFTED if action.shift.moves_dates and whole and not limited else ""


def _codes(form: str) -> set[str]:
    """Return the letters of a format; a timestamp tells date and time."""
    return {"c"} if form == "timestamp" else set(re.findall(r"%(.)", form))


_DATES, _CLOCKS = set("YyGmbBdjcxUWVaAwu"), set("HIpMSfXc")  # codes that tell something of the day, and of its time


DATE_FORMAT = Option("str", DEFAULT_DATE, section=True, stand_in=DEFAULT_DATE, problem=format_problem)
DATETIME_FORMAT = Option("str", DEFAULT_DATETIME, section=True, stand_in="%Y%m%d%H%M%S", problem=format_problem)
SHIFT_RANGE = "date-shift-range"
_OWN = ("date-increment-override", "jitter-date", "jitter-range", "jitter-unit")
_SHIFT = {
    SHIFT_RANGE: Option("int", RANGE, entry=False, section=True, stand_in="1", problem=_range_problem, ours=True),
    "date-increment": Option("number", entry=False, section=True),
    "date-increment-override": Option("number"),
    "jitter-date": Option("bool", False),
    "jitter-range": Option("number", 10),
    "jitter-unit": Option("str", "days", stand_in="days"),
    "datetime-min": Option("str", "", stand_in="20000101"),
    "datetime-max": Option("str", "", stand_in="20000101"),
    unreadable.KEY: unreadable.OPTION,
}
_HOW_FAR = (
    "must be true; the number of days goes into 'date-increment' of the section, "
    "or 'date-increment-override' of this entry"
)

DATE = Spec(
    key="increment-date",
    does="moves a date in `date-format` by `date-increment` days; `keyed`: by the patient's own shift, "
    "`date-shift-range` (3650) days at most, into the past",
    build=_build_date,
    options=_SHIFT | {"date-format": DATE_FORMAT, "datetime-format": replace(DATETIME_FORMAT, entry=False)},
    not_true={"int": _HOW_FAR, "float": _HOW_FAR},
    promise=MOVED,
    wide=_wide,
    sure=promise,
    warns=_warns,
    keyed=True,
    moves=True,
    numbers=True,
    words=dict.fromkeys(("shift-date", "shift", "offset"), "increment-date"),
)
DATETIME = Spec(
    key="increment-datetime",
    does="moves a date with a time in `datetime-format` by `date-increment` days; `keyed`: as `increment-date`",
    build=_build_datetime,
    options=_SHIFT | {"datetime-format": DATETIME_FORMAT},
    not_true={"int": _HOW_FAR, "float": _HOW_FAR},
    promise=MOVED,
    wide=_wide,
    sure=promise,
    warns=_warns,
    keyed=True,
    moves=True,
    numbers=True,
)
