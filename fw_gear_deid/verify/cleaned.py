"""A text that was cleaned → what it still tells; by shapes of its words, and by what is known, in ways of its own."""

from __future__ import annotations

import re
import unicodedata
from datetime import date
from functools import lru_cache
from itertools import pairwise

from fw_gear_deid.model.words import is_protocol
from fw_gear_deid.verify.known import Known

_PIECE = re.compile(r"\d+|[^\W\d_]+|[\W_]")
_MAIL = re.compile(r"[a-z0-9]@[a-z0-9-]+\.[a-z]{2,}")
_LINK = re.compile(r"\b[a-z][a-z0-9+]{1,5}://[a-z0-9]|\bwww\.[a-z0-9]")
_CARET = re.compile(r"([^\W\d_]{2,64})\^([^\W\d_]{2,})")
_DECIMAL = re.compile(r"(?<![\d.])\d{1,4}\.\d+(?![\w.])")
_PHONE = re.compile(r"\+\d(?:[ ./()-]?\d){8,}|(?<![\w.,-])\(?\d{3}\)?[- ]\d{3}-\d{4}(?!\d)")
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_LONG = 1 << 10
"""Characters of a text that is remembered."""
_SEVERAL = 6
"""Digits of a number that may be somebody's."""


def told_by(text: str, known: Known) -> str:
    """Return what a text tells, in words that quote nothing of it; empty when it tells nothing.

    Parameters
    ----------
    text : str
    known : Known
        What rules took away from the file, and labels around it. No more is learnt by it afterwards.
    """
    return (_remembered if len(text) <= _LONG else _told_by)(text, known)


def _told_by(text: str, known: Known) -> str:
    plain = unicodedata.normalize("NFKC", text).casefold()
    if any(len(one) >= _SEVERAL for one in re.findall(r"\d+", _DECIMAL.sub(" ", plain))):
        return "a long number"
    if _MAIL.search(plain) or _LINK.search(plain):
        return "an address"
    if _PHONE.search(plain):
        return "a telephone number"
    if _has_day([one for one in _PIECE.findall(plain) if one]):
        return "a date"
    if any(not is_protocol(one) and not is_protocol(two) for one, two in _CARET.findall(plain)):
        return "what looks like a name"
    return "what a rule took away elsewhere" if known.told_by(text) else ""


_remembered = lru_cache(maxsize=4096)(_told_by)  # the files of a series repeat their texts


def _has_day(pieces: list[str]) -> bool:
    """Tell whether three pieces with single marks between them are a day with a year of four digits."""
    for at in range(len(pieces) - 4):
        one, mark, two, other, three = pieces[at : at + 5]
        if mark == other and mark in "-/." and _is_day(one, two, three) and not _goes_on(pieces, at):
            return True
    words = [one for one in pieces if one not in " -.,/_"]
    for (one, two), (_, three) in pairwise(pairwise(words)):
        if (
            two in _MONTHS
            and one.isdecimal()
            and three.isdecimal()
            and _is_day(one, str(_MONTHS.index(two) + 1), three)
        ):
            return True
    return False


def _goes_on(pieces: list[str], at: int) -> bool:
    """Tell whether numbers go on before or behind: a version, or a list of values."""
    before, after = pieces[max(0, at - 2) : at], pieces[at + 5 : at + 7]
    return any(
        len(two) == 2 and any(map(str.isdecimal, two)) and any(mark in "-/." for mark in two) for two in (before, after)
    )


def _is_day(one: str, two: str, three: str) -> bool:
    if not (one.isdecimal() and two.isdecimal() and three.isdecimal()) or len(two) > 2:
        return False
    orders = ((one, two, three), (three, two, one), (three, one, two))
    return any(len(year) == 4 and year[:2] in ("19", "20") and _is_one(year, month, day) for year, month, day in orders)


def _is_one(year: str, month: str, day: str) -> bool:
    if len(month) > 2 or len(day) > 2:
        return False
    try:
        date(int(year), int(month), int(day))
    except ValueError:
        return False
    return True
