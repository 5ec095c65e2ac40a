"""Level and key of a platform's container → whether it may travel, and in which form."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import field
from datetime import datetime

from fw_gear_deid.model.errors import Unfit, Unreadable
from fw_gear_deid.model.frozen import frozen

Json = dict[str, "Json"] | list["Json"] | str | int | float | bool | None
"""What a JSON document holds."""

LEVELS = ("project", "subject", "session", "acquisition", "file")
"""Outermost first; a container sees the fields of those before it."""

# Keys that a profile can let travel, profile language §10. Tags of a file are ours: there they are always copied.
EDITABLE: dict[str, tuple[str, ...]] = {
    "project": ("info", "description", "tags"),
    "subject": (
        "firstname", "lastname", "date_of_birth", "sex", "cohort", "mlset", "ethnicity", "race", "species", "strain",
        "info", "type", "label", "tags",
    ),
    "session": ("age", "operator", "timestamp", "timezone", "uid", "weight", "info", "label", "tags"),
    "acquisition": ("timestamp", "timezone", "uid", "info", "label", "tags"),
    "file": ("classification", "info", "modality", "type", "tags"),
}  # fmt: skip
NEVER = ("notes", "metadata", "code", "master_code")
"""Keys with something of a person in them that no rule lets travel."""
DATED = frozenset({"timestamp", "date_of_birth"})
"""Keys that hold a moment in ISO 8601."""
GROUPS = frozenset({"info", "classification", "tags"})
"""Keys with values below them."""

_ENUMERATIONS: dict[str, tuple[str, ...]] = {
    "sex": ("male", "female", "other", "unknown"),  # flywheel-gear-toolkit 0.6.22, engine_metadata.json
    "cohort": ("Control", "Study"),  # flywheel-sdk 23.0.0, Cohort
    "mlset": ("Training", "Validation", "Testing", "Test"),  # flywheel-sdk 23.0.0, MLType; Test on older sites
    "type": ("human", "animal", "phantom"),  # of a subject
    "race": (
        "American Indian or Alaska Native", "Asian", "Native Hawaiian or Other Pacific Islander",
        "Black or African American", "White", "More Than One Race", "Unknown or Not Reported",
    ),
    "ethnicity": ("Hispanic or Latino", "Not Hispanic or Latino", "Unknown or Not Reported"),
}  # fmt: skip
_MOMENT = re.compile(
    r"(?P<date>\d{4}-\d{2}-\d{2})"
    r"(?:(?P<gap>[Tt ])(?P<time>\d{2}:\d{2}(?::\d{2})?)(?:\.(?P<fraction>\d+))?(?P<zone>[Zz]|[+-]\d{2}:?\d{2})?)?",
    re.ASCII,
)  # RFC 3339 §5.6, and without seconds or zone
_INT64 = 2**63  # BSON, where the platform keeps its documents


@frozen
class ContainerRecord:
    """A container or file as the source has it.

    Attributes
    ----------
    level : str
        One of ``LEVELS``.
    id : str
    label : str
        Of a file: its name.
    fields : mapping
        Its metadata, plain JSON values.
    parents : mapping
        Level → fields of the container of that level above, its label among them.
    """

    level: str
    id: str
    label: str
    fields: Mapping[str, object]
    parents: Mapping[str, Mapping[str, object]] = field(default_factory=dict)


@frozen
class Moment:
    """A date or date-time in ISO 8601, in its parts as written; absent ones are empty."""

    date: str
    gap: str
    time: str
    fraction: str
    zone: str

    @staticmethod
    def read(text: str) -> Moment:
        """Take a text apart.

        Raises
        ------
        Unreadable
            It is no date of the calendar in ISO 8601.
        """
        match = _MOMENT.fullmatch(text.strip())
        if match is None:
            raise Unreadable("the value is no date in ISO 8601")
        parts = match.groupdict(default="")
        zone = parts["zone"].upper().replace("Z", "+00:00")
        try:
            datetime.fromisoformat(f"{parts['date']}T{parts['time'] or '00:00'}{zone}")
        except ValueError:
            raise Unreadable("the value is no date of the calendar in ISO 8601") from None
        return Moment(**parts)

    def __str__(self) -> str:
        fraction = f".{self.fraction}" if self.fraction else ""
        return f"{self.date}{self.gap}{self.time}{fraction}{self.zone}"

    def as_reference(self) -> str:
        """Return the form in which the reference gear shows a timestamp to rules: ``2020-01-31 13:45:01+00:00``.

        >>> Moment.read("2020-01-31T13:45:01.000Z").as_reference()
        '2020-01-31 13:45:01+00:00'
        """
        if not self.time:
            return self.date
        micros = self.fraction[:6].ljust(6, "0")
        fraction = f".{micros}" if micros.strip("0") else ""
        zone = "+00:00" if self.zone in ("Z", "z") else self.zone
        return f"{self.date} {self.time}{':00' if len(self.time) == 5 else ''}{fraction}{zone}"


def choices(level: str, key: str) -> tuple[str, ...]:
    """Return the only values that a key takes; none for a free one."""
    return () if key == "type" and level != "subject" else _ENUMERATIONS.get(key, ())


def fit(level: str, key: str, value: Json) -> Json:
    """Return a value in the form that the platform takes, None when there is none.

    Raises
    ------
    Unfit
        The platform would not take it; the message does not quote it.
    """
    if value is None:
        return None
    allowed = choices(level, key)
    match key:
        case _ if allowed:
            if value not in ("", *allowed):
                raise Unfit(f"the value is none of {', '.join(allowed)}")
            return value or None
        case "age":
            return _whole(value)
        case "weight":
            return _real(value)
        case "timestamp" | "date_of_birth":
            return str(Moment.read(_text(value))) if value != "" else None
        case "info":
            if not isinstance(value, dict):
                raise Unfit("the value is no group of keys and values")
            return value
        case "classification":
            if not isinstance(value, dict):
                raise Unfit("the value is no group of keys and values")
            return {name: _texts(texts) for name, texts in value.items()}
        case "tags":
            return _texts(value)
        case _:
            return _text(value)


def _whole(value: Json) -> int | None:
    number = _real(value)
    if number is None:
        return None
    if (isinstance(value, str) and not re.fullmatch(r"[+-]?\d{1,18}", value.strip(), re.ASCII)) or number != int(
        number
    ):
        raise Unfit("the value is no whole number")
    whole = value if isinstance(value, int) else int(value) if isinstance(value, str) else int(number)
    if not -_INT64 <= whole < _INT64:
        raise Unfit("the value is a number beyond 64 bits")
    return whole


def _real(value: Json) -> float | None:
    if value == "":
        return None
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise Unfit("the value is no number")
    try:
        number = float(value)
    except (ValueError, OverflowError):
        raise Unfit("the value is no number") from None
    if not math.isfinite(number):
        raise Unfit("the value is no number")
    return number


def _text(value: Json) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, dict | list) or value is None:
        raise Unfit("the value is not a single one")
    return str(value)


def _texts(value: Json) -> list[Json]:
    if value in (None, ""):
        return []
    return [_text(item) for item in (value if isinstance(value, list) else [value])]
