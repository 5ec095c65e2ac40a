"""JSON value and action → the new value; and a value as people and rules read it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import date
from enum import Enum

from fw_gear_deid.actions import ACTIONS, IncrementDate, IncrementDatetime, Replace
from fw_gear_deid.actions.unreadable import REFUSE, instead, told
from fw_gear_deid.formats.record import Record
from fw_gear_deid.model.action import Action, At, Emptied, Gone, Result, Texts
from fw_gear_deid.model.container import Json, Moment
from fw_gear_deid.model.errors import Unfit, Unreadable

_MICROSECOND = 6  # digits; finer ones are kept as they are


def changed(value: Json, action: Action, at: At, *, is_moment: bool = False) -> tuple[Json | Gone, str]:
    """Return what an action makes of one single value, and what the audit calls that.

    Parameters
    ----------
    value : Json
        No group and no list.
    action : Action
    at : At
    is_moment : bool
        The value is in ISO 8601, whatever formats the profile names: moved, it keeps its precision and zone.

    Raises
    ------
    Unfit
    """
    if is_moment and isinstance(value, str) and isinstance(action, IncrementDate | IncrementDatetime):
        result: Result = _moved(value, action, at) if value.strip() else (value,)
        return result if isinstance(result, Gone) else "".join(result), told(action, result)
    text = seen(value, is_moment=is_moment)
    result = action((text,), at)
    return _written(value, text, action, result), told(action, result)


def _written(value: Json, text: str, action: Action, result: Result) -> Json | Gone:
    """Return the result of an action in the kind of the value that it was."""
    if isinstance(result, Gone):
        return result
    new = ",".join(result)
    if new == text:
        return value
    if isinstance(result, Emptied) and not isinstance(value, str):
        return None
    if not ACTIONS[action.key].numbers or isinstance(value, bool) or not isinstance(value, int | float):
        return new
    try:
        return int(new) if new.lstrip("+-").isdecimal() else float(new)
    except ValueError:
        raise Unfit("what comes out of a number is none") from None


def constant(action: Replace) -> Json:
    """Return what ``replace-with`` puts there: text, or a list of several or no texts."""
    return action.values[0] if len(action.values) == 1 else list[Json](action.values)


def seen(value: Json, *, is_moment: bool = False) -> str:
    """Return a single value as rules see it: as the reference gear renders it."""
    if is_moment and isinstance(value, str):
        try:
            return Moment.read(value).as_reference()
        except Unfit:
            return value
    return "" if value is None else str(value)


def joined(record: Record, name: str, separator: str, *, is_moment: bool = False) -> str:
    """Return the text of a field that another one is made from: a list by commas, empty for groups and absent ones."""
    for path in record.find(name, separator):
        value = record.get(path)
        items = value if isinstance(value, list) else [] if isinstance(value, dict | Gone) else [value]
        return ",".join(seen(item, is_moment=is_moment) for item in items if not isinstance(item, dict | list))
    return ""


def shown(value: object) -> str:
    """Return a value for the audit: several texts joined by a backslash, anything nested by its size."""
    match value:
        case None | Gone():
            return ""
        case Enum():
            return shown(value.value)
        case date():
            return value.isoformat()
        case str() | bool() | float():
            return str(value)
        case int():
            return str(value) if value.bit_length() <= 1024 else "<1 value>"
        case list() | tuple() if all(isinstance(item, str | int | float) for item in value):
            return "\\".join(shown(item) for item in value)
        case list() | tuple() | Mapping():
            return size(len(value)) if value else ""
        case _:
            return size(1)


def size(number: int) -> str:
    """Return ``<12 values>``."""
    return f"<{number} value{'' if number == 1 else 's'}>"


def _moved(text: str, action: IncrementDate | IncrementDatetime, at: At) -> Result:
    try:
        return (_moved_moment(Moment.read(text), replace(action, unreadable=REFUSE), at),)
    except Unreadable as error:
        return instead(action.unreadable, error)


def _moved_moment(moment: Moment, action: IncrementDate | IncrementDatetime, at: At) -> str:
    if isinstance(action, IncrementDate) or not moment.time:
        (day,) = _texts(replace(action, form="%Y-%m-%d")((moment.date,), at))
        return str(replace(moment, date=day))
    digits = moment.fraction[:_MICROSECOND]
    form = "%Y-%m-%d %H:%M" + (":%S" if len(moment.time) > 5 else "") + (".%f" if digits else "")
    before = f"{moment.date} {moment.time}" + (f".{digits}" if digits else "")
    (after,) = _texts(replace(action, form=form)((before,), at))
    day, _, rest = after.partition(" ")
    time, _, micros = rest.partition(".")
    fraction = micros[: len(digits)] + moment.fraction[_MICROSECOND:]
    return str(replace(moment, date=day, time=time, fraction=fraction))


def _texts(result: Result) -> Texts:
    return () if isinstance(result, Gone) else result
