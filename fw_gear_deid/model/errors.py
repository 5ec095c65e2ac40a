"""What can go wrong, as a tree of exceptions whose messages never quote a value.

DeidError
├── UsageError          wrong options, profile, mapping or configuration: exit code 2
│   └── ProfileError    carries every problem of a profile
├── Unfit               this file cannot be released; the others go on (outcome ``refused``)
│   ├── Malformed       the bytes are not what they claim to be
│   ├── Beyond          it takes more than a limit allows
│   ├── Odd             they are not encoded as DICOM demands; a repair may help
│   └── Unreadable      an action cannot read a value; `on-unreadable` may say what becomes of it
└── StopRun             nothing further may be released (ledger or destination lost)
    └── LogDown         … since the de-identification log cannot be written or read

A message names place (path, VR, action) and remedy. The value that caused it is left out on purpose:
logs and reports leave the building.
"""

from __future__ import annotations

import traceback
from pathlib import PurePath


class DeidError(Exception):
    """Base of every error that is raised on purpose; its text quotes no value.

    Parameters
    ----------
    *lines : str
        One finding each; a name of a file in one may hold anything, a line end too.

    Attributes
    ----------
    named : bool
        Each line begins with the file that it is about, so that nobody has to say who tells it.
    """

    named = False

    @property
    def lines(self) -> tuple[str, ...]:
        """The findings, each to be shown as one line."""
        return tuple(str(line) for line in self.args)

    def __str__(self) -> str:
        return "\n".join(self.lines)


class UsageError(DeidError):
    """The run cannot start as it was asked for."""


class Unfit(DeidError):
    """One file cannot be de-identified and checked, so it is not released."""


class Malformed(Unfit):
    """The bytes are truncated, damaged or hostile."""


class Beyond(Unfit):
    """It takes more than a limit allows, which somebody may raise."""


class Odd(Unfit):
    """Readable perhaps, but not as DICOM demands: it is to be made plain first."""


class Unreadable(Unfit):
    """An action cannot read a value."""


class StopRun(DeidError):
    """Going on would release something that nobody could prove."""


class LogDown(StopRun):
    """The de-identification log cannot be written or read: nothing is released without it.

    Parameters
    ----------
    why : str
        Begins with ``UNLOGGED`` or ``UNRESOLVED`` where a file was to be logged.
    status : int, optional
        HTTP status of a logging service.
    """

    def __init__(self, why: str, status: int | None = None) -> None:
        super().__init__(why if status is None else f"{why} (HTTP {status})")
        self.status = status


UNLOGGED = "Unable to log de-identified data"
UNRESOLVED = "Unable to resolve de-identification ID. Acquisition was not uploaded"
"""What users of the platform know these failures by."""
UNREAD = "The de-id log cannot be read"


def place_of(error: BaseException) -> str:
    """Return module and line of an error: its text may quote a value, so it is left out."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if "fw_gear_deid" in frame.filename] or list(frames)
    return f"{PurePath(ours[-1].filename).name}:{ours[-1].lineno}" if ours else "an unknown place"
