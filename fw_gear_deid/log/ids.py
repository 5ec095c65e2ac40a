"""Spellings of an entry's id: 32 digits in upper case as SQLite keeps it, dashed in lower case as a file has it."""

from __future__ import annotations

import re

_DASHED = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_DIGITS = re.compile(r"[0-9a-f]{32}")


def dashed(text: str) -> str:
    """Return an id as a file's metadata has it.

    >>> dashed("D9C6FDB8A7B64BB0AA6B8F9F0E3C1D2E")
    'd9c6fdb8-a7b6-4bb0-aa6b-8f9f0e3c1d2e'

    Raises
    ------
    ValueError
        It is no id in any spelling.
    """
    small = text.strip().lower()
    if _DIGITS.fullmatch(small):
        return "-".join((small[:8], small[8:12], small[12:16], small[16:20], small[20:]))
    if _DASHED.fullmatch(small):
        return small
    raise ValueError("no id of the de-id log")


def digits(text: str) -> str:
    """Return an id as the column ``id`` has it, where that is text.

    Raises
    ------
    ValueError
    """
    return dashed(text).replace("-", "").upper()
