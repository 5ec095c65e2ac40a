"""Regular expressions of a profile: Python's language, with an end in time.

Python's own engine looks at ``^(a+)+$`` and forty letters for longer than anybody lives, and nothing can stop it; one
with linear time (RE2) knows neither what stands behind nor what was captured, which profiles use. The package ``regex``
reads the same language and takes a time-out.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from fw_gear_deid.model.errors import Unfit

SECONDS = 2.0
"""For one value; what a rule does in earnest takes some microseconds."""
_PROBES = (
    "a" * 40 + "!", "1" * 40 + "!", "a1 " * 20 + "!", "ReferencedImageSequence.0.ReferencedSOPInstanceUID!",
)  # fmt: skip
_PROBED = 0.2  # seconds


class BadPattern(Exception):
    """A text that is no regular expression, or one that nobody should use; the message says why."""


class Pattern:
    """A compiled regular expression.

    Attributes
    ----------
    pattern : str
    flags : int
        As ``re`` has them.
    """

    __slots__ = ("flags", "pattern")

    def __init__(self, pattern: str, flags: int = 0) -> None:
        self.pattern = pattern
        self.flags = flags

    @property
    def groupindex(self) -> Mapping[str, int]:
        """Name of a group → its number."""
        return dict(_compiled(self.pattern, self.flags).groupindex)

    def __reduce__(self) -> tuple[type[Pattern], tuple[str, int]]:
        return Pattern, (self.pattern, self.flags)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Pattern) and (self.pattern, self.flags) == (other.pattern, other.flags)

    def __hash__(self) -> int:
        return hash((self.pattern, self.flags))

    def __repr__(self) -> str:
        return f"Pattern({self.pattern!r}, {self.flags})"

    def match(self, text: str) -> re.Match[str] | None:
        """Match a text from its start.

        Raises
        ------
        Unfit
            It takes too long.
        """
        return self._match("match", text, SECONDS)

    def fullmatch(self, text: str) -> re.Match[str] | None:
        """Match a text from its start to its end.

        Raises
        ------
        Unfit
        """
        return self._match("fullmatch", text, SECONDS)

    def search(self, text: str) -> re.Match[str] | None:
        """Find the first match in a text.

        Raises
        ------
        Unfit
        """
        return self._match("search", text, SECONDS)

    def _match(self, how: str, text: str, seconds: float) -> re.Match[str] | None:
        try:
            found: re.Match[str] | None = getattr(_compiled(self.pattern, self.flags), how)(text, timeout=seconds)
        except TimeoutError:
            raise Unfit(f"a regular expression takes more than {seconds:g} seconds; {_REMEDY}") from None
        return found


_REMEDY = "repeat nothing that is repeated inside, as '(a+)+' does"


def compile_pattern(text: str, flags: int = 0) -> Pattern:
    """Return a pattern that ends in time on what it will meet.

    Raises
    ------
    BadPattern
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # '[[:alpha:]]' compiles, and means something else than it looks like
            re.compile(text, flags)
            _compiled(text, flags)
    except re.error as error:
        raise BadPattern(f"not a regular expression: {error.msg} at position {error.pos}") from None
    except Warning as warning:
        raise BadPattern(f"not a clear regular expression: {warning}") from None
    except (OverflowError, RecursionError):
        raise BadPattern("not a regular expression: too large") from None
    except ValueError:
        raise BadPattern("not a regular expression that is carried out here: too unusual") from None
    pattern = Pattern(text, flags)
    try:
        for probe in _PROBES:
            pattern._match("match", probe, _PROBED)
    except Unfit:
        raise BadPattern(f"it may take for ever; {_REMEDY}") from None
    return pattern


@lru_cache(maxsize=1024)
def _compiled(pattern: str, flags: int) -> Any:
    import regex

    try:
        return regex.compile(pattern, flags, cache_pattern=False)
    except regex.error as error:
        raise ValueError(str(error)) from None
