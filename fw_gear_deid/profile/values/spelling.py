"""What spreadsheets and people do to an id: certain damage to a cell, and spellings that nearly agree."""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Iterable

Key = tuple[str, ...]

_ERROR = re.compile(r"#(N/?A|NV|REF|BEZUG|VALUE|WERT|NAME|DIV/0|NUM|ZAHL|NULL|SPILL|CALC)[!?]?|#{2,}", re.IGNORECASE)
_EXPONENT = re.compile(r"[-+]?\d([.,]\d+)?E[-+]\d{2,3}")
_MONTH = r"(Jan|Feb|M[aä]r|Apr|Ma[iy]|Jun|Jul|Aug|Sep|O[ck]t|Nov|De[cz])"
_DATED = re.compile(rf"\d{{1,2}}-{_MONTH}|\d{{1,2}}\. {_MONTH}|{_MONTH}[- ]\d{{2}}")
_FORMULA = re.compile(r'=\s*(".*"|[A-Z][A-Z.]*\(.*\))', re.DOTALL)


def damage(cell: str) -> str:
    """Say what a spreadsheet certainly did to a cell, without quoting it; empty where nothing is certain.

    >>> damage("#N/A"), damage("1.23E+11"), damage('="0042"'), damage("0042"), damage("1e5")
    ('an error of the spreadsheet', 'a number cut short by the spreadsheet', 'a formula', '', '')
    """
    text = cell.strip()
    if _ERROR.fullmatch(text):
        return "an error of the spreadsheet"
    if _EXPONENT.fullmatch(text):
        return "a number cut short by the spreadsheet"
    if _FORMULA.fullmatch(text):
        return "a formula"
    return ""


def looks_dated(cell: str) -> bool:
    """Tell whether a cell has the form into which spreadsheets turn ids such as ``1-2`` and ``MAR-5``.

    >>> looks_dated("2-Jan"), looks_dated("Mar-05"), looks_dated("2-1")
    (True, True, False)
    """
    return _DATED.fullmatch(cell.strip()) is not None


def _unicode(text: str) -> str:
    return unicodedata.normalize("NFKC", text)


def _blanks(text: str) -> str:
    visible = "".join(char for char in text if unicodedata.category(char) not in ("Cc", "Cf") or char in "\t\r\n")
    return "".join(visible.split())


def _zeros(text: str) -> str:
    return re.sub(r"(?<!\d)0+(?=\d)", "", text)


def _hyphens(text: str) -> str:
    return "".join("-" if unicodedata.category(char) == "Pd" or char == "\u2212" else char for char in text)


def _decimals(text: str) -> str:
    return re.sub(r"(?<=\d)[.,]0+$", "", text)


def _quotes(text: str) -> str:
    return "".join(char for char in text if unicodedata.category(char) not in ("Pi", "Pf") and char not in "\"'`")


def _digits(text: str) -> str:
    return text[:15] + "0" * (len(text) - 15) if text.isdecimal() else text


_WAYS: tuple[tuple[str, Callable[[str], str]], ...] = (
    ("Unicode form", _unicode),
    ("blanks", _blanks),
    ("case", str.casefold),
    ("hyphens", _hyphens),
    ("quotes", _quotes),
    ("a decimal point", _decimals),
    ("leading zeros", _zeros),
    ("digits after the fifteenth", _digits),
)


def normal(text: str, but: str = "") -> str:
    """Return a text without what people overlook in an id, or with one of these ways kept."""
    for name, way in _WAYS:
        if name != but:
            text = way(text)
    return text


def same_id(text: str) -> str:
    """Return an id in the form in which two that are equal would be taken for one."""
    return unicodedata.normalize("NFC", text).strip().casefold()


def differences(one: str, other: str) -> tuple[str, ...]:
    """Return in what two texts differ that mean the same to a reader; nothing when they differ otherwise or not at all.

    >>> differences("001", "1"), differences("a b", "AB"), differences("1", "2")
    (('leading zeros',), ('blanks', 'case'), ())
    """
    if normal(one) != normal(other):
        return ()
    return tuple(name for name, _ in _WAYS if normal(one, name) != normal(other, name))


class Nearest:
    """Keys of rows, to be found by other spellings.

    Parameters
    ----------
    keys : iterable of (tuple of str, int)
        Key and number of the row.
    """

    def __init__(self, keys: Iterable[tuple[Key, int]]) -> None:
        self._rows: dict[Key, list[tuple[Key, int]]] = defaultdict(list)
        for key, number in keys:
            self._rows[tuple(map(normal, key))].append((key, number))

    def explain(self, key: Key) -> str:
        """Say which rows nearly have a key and in what they differ; empty when none does."""
        told = []
        for other, number in self._rows.get(tuple(map(normal, key)), []):
            ways = dict.fromkeys(way for one, two in zip(key, other, strict=True) for way in differences(one, two))
            told.append(f"row {number} differs only by {' and '.join(ways) or 'its spelling'}")
        return ", ".join(told)
