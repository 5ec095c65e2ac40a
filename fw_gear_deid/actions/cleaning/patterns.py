"""Text → spans of what may tell of anybody: dates and times beside them, telephone numbers, addresses, ids, names."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from datetime import date

from fw_gear_deid.actions.cleaning.names import spans as of_names

Span = tuple[int, int]

_MONTHS = {
    name: number
    for number, names in enumerate(
        (
            "jan january januar jaenner janner janvier enero ene gennaio gen janeiro januari",
            "feb february februar febr fevrier fev febrero febbraio fevereiro februari",
            "mar march marz maerz mars marzo marco maart mrt maa",
            "apr april avril avr abril abr aprile",
            "may mai mayo maggio mag maio mei",
            "jun june juni juin junio giugno giu junho",
            "jul july juli juillet juil julio luglio lug julho",
            "aug august aout aou agosto ago augustus",
            "sep sept september septembre septiembre setiembre settembre set setembro",
            "oct october oktober okt octobre octubre ottobre ott outubro out",
            "nov november novembre noviembre novembro",
            "dec december dezember dez decembre diciembre dic dicembre dezembro",
        ), 1,
    )
    for name in names.split()
}  # fmt: skip
"""Names of months in English, German, French, Spanish, Italian, Portuguese and Dutch, without accents."""
_PLAIN_MONTHS = "jan feb mar apr may jun jul aug sep sept oct nov dec"
"""Short ones that stand with a year alone; others are words, too: ``SET 2000``."""
_ANY = "(?:" + "|".join(sorted(_MONTHS, key=len, reverse=True)) + r")(?![^\W\d_])\.?"
_SURE = "(?:" + "|".join(
    sorted({*_PLAIN_MONTHS.split(), *(one for one in _MONTHS if len(one) > 4)}, key=len, reverse=True)
)
_SURE += r")(?![^\W\d_])\.?"
_D, _M = r"(?:0?[1-9]|[12]\d|3[01])", r"(?:0?[1-9]|1[0-2])"
_Y4, _Y = r"(?:18|19|20)\d\d", r"(?:(?:18|19|20)\d\d|'?\d\d)"
_SEP = r"(?:[ ]?[-./_,][ ]?|[ ])"
_GAP = r"[-._ /,']{0,3}(?:de |del |of )?"
_NTH = r"(?:st|nd|rd|th|er|º|ª|\.)?"
_ZONE = r"(?:\s?(?:[ap]\.?m\b\.?|h\b|hrs?\b|uhr\b|z\b|utc\b|gmt\b)|[+-]\d\d:?\d\d)?"
_CLOCK = rf"\d{{1,2}}[:h]\d{{2}}(?::\d{{2}}(?:[.,]\d+)?)?{_ZONE}"
_AFTER = rf"(?:(?:\s*(?:t|,|-|@|_|at|um|a las)?\s*{_CLOCK})|[t_-]\d{{4}}(?:\d\d(?:\.\d+)?)?(?!\d))?"
_BEFORE = rf"(?:{_CLOCK}\s*(?:,|-|on|am|le|el|,\s*on)?\s*)?"
_NO_DIGIT, _NO_MORE = r"(?<![\d])(?<!\d[.])", r"(?!\d)"

_DAY = (
    *(re.compile(rf"{_BEFORE}{_NO_DIGIT}{form}{_NO_MORE}{_AFTER}") for form in (
        rf"{_Y4}[-./_,]{_M}[-./_,]{_D}",
        rf"{_Y4}(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])",
        rf"{_Y4}(?:[ ]?[-/.][ ]{_M}[ ]?[-/.][ ]{_D}|[ ](?:0[1-9]|1[0-2])[ ](?:0[1-9]|[12]\d|3[01]))",
        rf"{_D}{_SEP}{_D}{_SEP}{_Y4}",
        r"\d{4}\s*[年년]\s*\d{1,2}\s*[月월]\s*\d{1,2}\s*[日일]?",
        rf"(?<![^\W_]){_D}{_NTH}{_GAP}{_ANY}{_GAP}{_Y}",
        rf"{_Y4}{_GAP}{_ANY}{_GAP}{_D}",
    )),
    re.compile(rf"{_BEFORE}(?<![^\W_]){_ANY}{_GAP}{_D}{_NTH}[-._ ,']{{1,3}}{_Y4}{_NO_MORE}{_AFTER}"),
    re.compile(rf"(?<![^\W_]){_SURE}{_GAP}{_Y4}{_NO_MORE}"),
)  # fmt: skip
_SHORT = re.compile(rf"(?<![\w.,/-])(\d\d?)([-./])(\d\d?)\2(\d\d){_NO_MORE}(?![./,-]\d){_AFTER}")
"""A date whose year has two digits; with a slash its other parts may have one."""

_PHONES = tuple(
    map(
        re.compile,
        (
            r"\+\s?\d{1,3}(?:[-. ()/]{0,3}\d){6,13}",
            r"(?<![\d.])(?:1[-. ])?(?:\(\d{3}\)|\d{3})[-. /]{1,2}\d{3}[-. ]\d{4}(?!\d)(?:\s?(?:x|ext\.?)\s?\d+)?",
            r"\(\d{2,5}\)[ ./-]{0,2}\d(?:[ -]?\d){4,}",
            r"(?<![\w.,-])\d{3}[-]\d{4}(?![\w-])(?:\s?(?:x|ext\.?)\s?\d+)?",
            r"(?<![\w.,-])0\d{1,4}[ /-]{1,3}\d(?:[ -]?\d){5,10}(?!\d)",
            r"(?<![\w.,-])0\d{2,4}[/-]\d{3,}(?:[ -]\d+)*(?!\d)",
            r"(?<![\w.,-])0\d(?:[ .-]\d\d){4}(?!\d)",
            r"(?<![^\W_])(?:tel|telephone|phone|fax|mobile|mob|cell|telefon|handy|ph|pager|beeper)[ .:#=-]{0,3}"
            r"(?P<it>[+(]?\d[\d ()./-]{2,}\d)",
        ),
    )
)
_ADDRESSES = tuple(
    map(
        re.compile,
        (
            r"(?<![\w.+%'-])[\w.+%'-]{1,128}\s?@\s?[\w-]+(?:\.[\w-]+)+",
            r"(?<![\w.+%'-])[\w.+%'-]{1,128}\s?[\[(]at[\])]\s?[\w-]+(?:\s?(?:\.|[\[(]dot[\])])\s?[\w-]+)+",
            r"(?:(?:https?|s?ftp|file|smb|s3|dicom)://|www\.)[^\s<>\"]*[^\s<>\"().,;]",
            r"(?:/home/|/users/|/export/home/|[a-z]:[/\\]users[/\\])[^\s/\\(),;]+(?:[/\\][^\s(),;]*)?",
            r"(?<![\d.])(?:(?:10|127)(?:\.\d{1,3}){3}|(?:\d{2,3})(?:\.\d{1,3}){2}\.\d{2,3})(?![\d.])",
        ),
    )
)
_ID_WORDS = (
    r"(?:mrn|pid|patid|pat(?:ient)?[ _.-]{0,2}(?:id|no|nr|num|number)|"
    r"acc(?:ession)?[ _.-]{0,2}(?:id|no|nr|num|number|#)|accession|"
    r"med(?:ical)?[ _.-]{0,2}rec(?:ord)?(?:[ _.-]{0,2}(?:no|nr|num|number))?|ssn|nhs(?:[ _.-]{0,2}(?:no|number))?|"
    r"case[ _.-]{0,2}(?:id|no|nr|number|#)|subj(?:ect)?[ _.-]{0,2}(?:id|no|nr|number)|chart[ _.-]{0,2}(?:id|no|nr|#)|"
    r"record[ _.-]{0,2}(?:id|no|nr|#)|visit[ _.-]{0,2}(?:id|no|nr)|encounter|id|fin|csn|hn|uhid)"
)
_NAMED_ID = re.compile(
    rf"(?<![^\W_]){_ID_WORDS}(?![^\W\d_])[ :#=._-]{{0,3}}(?P<it>[a-z]{{0,4}}[-_]?\d(?:[-./_]?[a-z\d]){{2,}})"
)
"""A number behind a word for one."""
_IDS = tuple(
    map(
        re.compile,
        (
            r"(?<![\w.])\d{3}-\d{2}-\d{4}(?!\w)",
            r"(?<![\w.,-])(?=[\d-]{9,24}(?![\w-]))\d{2,4}(?:-\d{2,4}){2,3}(?!\w)",
            r"(?<![\d.])\d(?=[\d.]{15})(?:\.\d+){4,}\.?",
            r"(?<![^\W_])[\da-f]{8}-(?:[\da-f]{4}-){3}[\da-f]{12}(?![^\W_])",
            r"(?<![^\W_])(?=[a-f]*\d+[a-f]+\d)[\da-f]{16,}(?![^\W_])",
        ),
    )
)
_ID_DIGITS = 3
_LONG_NUMBER = re.compile(r"(?<![^\W_])[^\W_]*\d{6,}[^\W_]*(?:-[a-z\d]{1,2}(?![^\W_]))?")
_FRACTION = re.compile(r"(?<![\d.])\d{1,4}\.\d+(?![\w.])")
_LETTERED = re.compile(r"(?<![^\W_])([a-z]{1,4})([-_]?)(\d{5})(?![^\W_])")
_COUNTING = "b bv bval te tr ti td ts tm tw bw fa hz khz ms us fov dw eff esp rep dyn ph mb im se sl vol"
_COUNTED = frozenset(_COUNTING.split())
"""What stands before a number that counts something, however long: ``b10000``, ``TR15000``."""
_BEFORE_NUMBER = re.compile(r"(?<![^\W_])([a-z]{1,4})[ =:]{0,2}$")


def spans(text: str, *, again: bool = False) -> Iterator[Span]:
    """Yield the spans of a text that may tell of somebody; some lie over each other.

    Parameters
    ----------
    text : str
    again : bool
        Something was taken out: what stands behind a word for an id now may be another word.
    """
    if len(text) < 3:
        return
    plain = folded(text)
    digits = sum(map(str.isdecimal, plain))
    if digits >= 3:
        yield from _dates(plain)
        for patterns in (_PHONES, _IDS):
            yield from _named(patterns, plain)
        yield from _numbers(plain)
        yield from () if again else _ids(plain)
    if digits >= 2 and (":" in plain or "'" in plain or digits >= 3):
        yield from _short_dates(plain)
    yield from _named(_ADDRESSES, plain)
    yield from of_names(text)


def folded(text: str) -> str:
    """Return a text in small letters without accents, as long as it is."""
    if text.isascii():
        return text.lower()
    return "".join(map(_fold, text))


def _fold(char: str) -> str:
    if char.isascii():
        return char.lower()
    plain = [one for one in unicodedata.normalize("NFKD", char) if not unicodedata.combining(one)]
    small = (plain[0] if len(plain) == 1 else char).lower()
    return small if len(small) == 1 else char


def _named(patterns: tuple[re.Pattern[str], ...], plain: str) -> Iterator[Span]:
    for pattern in patterns:
        part = "it" if "it" in pattern.groupindex else 0
        for found in pattern.finditer(plain):
            yield found.span(part)


def _dates(plain: str) -> Iterator[Span]:
    for pattern in _DAY:
        at = 0
        while (found := pattern.search(plain, at)) is not None:  # one may begin within another
            yield found.span()
            at = max(found.start() + 1, found.end() - 4)


def _short_dates(plain: str) -> Iterator[Span]:
    at = 0
    while (found := _SHORT.search(plain, at)) is not None:
        at = found.start() + 1
        first, mark, second, third = found.groups()
        whole = mark == "/" or (len(first) == len(second) == 2)
        if _counts(plain, found.start()):
            continue
        if whole and any(map(_is_day, ((third, second, first), (third, first, second), (first, second, third)))):
            yield found.span()


def _counts(plain: str, at: int) -> bool:
    """Tell whether the word before a number says what it counts."""
    before = _BEFORE_NUMBER.search(plain, max(0, at - 8), at)
    return before is not None and before.group(1) in _COUNTED


def _is_day(parts: tuple[str, str, str]) -> bool:
    year, month, day = map(int, parts)
    try:
        date(2000 + year, month, day)
    except ValueError:
        return False
    return True


def _ids(plain: str) -> Iterator[Span]:
    for found in _NAMED_ID.finditer(plain):
        if sum(map(str.isdecimal, found["it"])) >= _ID_DIGITS:
            yield found.span("it")


def _numbers(plain: str) -> Iterator[Span]:
    fractions = [found.span() for found in _FRACTION.finditer(plain)]
    for found in _LONG_NUMBER.finditer(plain):
        start, end = found.span()
        if not any(first <= start and end <= last for first, last in fractions):
            yield start, end
    for found in _LETTERED.finditer(plain):
        if found.group(1) not in _COUNTED:
            yield found.span()
