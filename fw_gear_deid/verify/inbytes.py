"""Values that rules took away → whether bytes still hold one of them: as text of one byte a letter, UTF-8, or UTF-16.

Bytes are taken apart into words, of letters or of digits, once; words are looked up, so the cost goes by the bytes and
hardly by what is known. Whole words are looked for, and values of several words with separators between them. In a
million random bytes a word of four letters stands by chance once in five hundred: up to there they count only with text
or NULs around them, and words of two only in what is text from end to end; numbers of less than six digits, days of
six and one ideograph never.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from datetime import date

from fw_gear_deid.model.words import NEUTRAL

_WORD = re.compile(rb"[a-z]+|[0-9]+")
_PIECE = re.compile(r"[^\W\d_]+|\d+")
_DOTTED = re.compile(rb"[0-9]+(?:\.[0-9]+){3,}")
_MONTH = b"(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec|mai|okt|dez|ene|abr|ago|dic)[a-z]{0,7}"
_DATE = re.compile(rb"[0-9]{1,4}([-./_: ])[0-9]{1,2}\1[0-9]{1,4}")
_WRITTEN = (
    re.compile(rb"(?<![0-9])[0-9]{1,4}[-._ ]?%b[-._, ]{0,2}[0-9]{1,4}(?![0-9])" % _MONTH),
    re.compile(rb"%b[-._ ]{0,2}[0-9]{1,2}(?:st|nd|rd|th)?[-._, ]{1,2}[0-9]{4}(?![0-9])" % _MONTH),
)
# a letter at either end is whole though its zero stands outside of the pattern, in text of the other byte order
_WIDE = re.compile(rb"[\t\n\r -~]?(?:\0[\t\n\r -~]){3,}")
_RUN = re.compile(rb"[\t\n\r -~]{4,}")
_TEXT = rb"[\t\n\r -~]{8}"  # around a short word
_BETWEEN = rb"[^0-9a-z\0-\x08\x0e-\x1f\x80-\xff]{0,3}"
_WORD_MIN, _SHORT_MIN, _SEVERAL_MIN, _LOOSE_MIN, _NUMBER_MIN = 5, 2, 4, 5, 6  # letters or digits
_FOREIGN_MIN = 4  # bytes of a word in other letters than those of ASCII: two ideographs
_MOSTLY = 0.95  # of bytes that are text from end to end
_SMALL = 64  # bytes that are looked at as they are
_STAMPS = (8, 12, 14)  # digits of a day, with a time or without


class Words:
    """What is looked for in bytes.

    Parameters
    ----------
    days : callable
        Text → days that it names.
    is_uid : callable
        Digits of a UID → whether it is known.
    short : bool
        Words of two to four letters are looked for.
    """

    def __init__(self, days: Callable[[str], set[date]], is_uid: Callable[[str], bool], *, short: bool = True) -> None:
        self._least = _SHORT_MIN if short else _WORD_MIN
        self._days_of = days
        self._is_uid = is_uid
        self._words: set[bytes] = set()
        self._short: set[bytes] = set()
        self._several: dict[bytes, dict[tuple[bytes, ...], bytes]] = {}
        self._foreign: set[bytes] = set()
        self._days: set[date] = set()

    def add_text(self, text: str) -> None:
        """Add a value that is looked for as a whole."""
        plain = _plain(text)
        parts = tuple(_PIECE.findall(plain))
        whole = "".join(parts)
        if not text.isascii():
            self._foreign.update(_spelt(text))
        if not whole.isascii() or whole in NEUTRAL:
            return
        if whole.isdecimal():
            self._words.update(one.encode() for one in (whole, whole.lstrip("0")) if len(one) >= _NUMBER_MIN)
        elif whole.isalpha() and len(whole) >= _WORD_MIN:
            self._words.add(whole.encode())
        if len(parts) > 1 and len(whole) >= _SEVERAL_MIN and plain.isascii():
            self._add_several(tuple(part.encode() for part in parts), plain.encode())

    def add_word(self, text: str) -> None:
        """Add a part of a person's name, or an id, which tells by itself however short it is."""
        self.add_text(text)
        word = _plain(text)
        if word.isascii() and word.isalpha() and self._least <= len(word) < _WORD_MIN and word not in NEUTRAL:
            self._short.add(word.encode())

    def add_days(self, days: Iterable[date]) -> None:
        """Add days, which count in every usual spelling."""
        self._days.update(days)

    def _add_several(self, parts: tuple[bytes, ...], as_written: bytes) -> None:
        """Add words with anything between them that is none; numbers, and letters one by one, as they are written."""
        whole = b"".join(parts)
        loose = not whole.isdigit() and len(whole) >= _LOOSE_MIN and min(map(len, parts)) > 1
        inside = _BETWEEN.join(parts) if loose else re.escape(as_written.strip())
        first = rb"(?<![0-9])" if parts[0].isdigit() else rb"(?<![a-z])"
        last = rb"(?![0-9])" if parts[-1].isdigit() else rb"(?![a-z])"
        self._several.setdefault(parts[0], {})[parts] = first + inside + last

    def add_bytes(self, raw: bytes) -> None:
        """Add a word in the bytes of some other character set."""
        if len(raw) >= _FOREIGN_MIN:
            self._foreign.add(raw)

    def pieces(self) -> frozenset[bytes]:
        """Return bytes of which one is in all bytes, small and without NULs, that hold one of the values."""
        several = {max(parts, key=len) for ways in self._several.values() for parts in ways}
        foreign = {one.lower().replace(b"\0", b"") for one in self._foreign}
        return frozenset({*self._words, *self._short, *several, *foreign})

    # -- looking -------------------------------------------------------------------------------------------

    def are_in(self, data: bytes) -> bool:
        """Tell whether bytes hold one of the values."""
        if self._foreign and re.search(b"|".join(map(re.escape, self._foreign)), data):
            return True
        lower = data.lower()
        if self._short and re.search(rb"(?:\A|\0)(?:%b)(?:\Z|\0)" % b"|".join(self._alone()), lower):
            return True
        runs = lower if len(lower) < _SMALL else b"\0".join(_RUN.findall(lower))
        least = _SHORT_MIN if len(runs) > _MOSTLY * len(lower) else _SHORT_MIN + 1
        return any(self._is_told(text, least) for text in (runs, *_narrowed(lower)))

    def _alone(self) -> Iterator[bytes]:
        """Yield the short words that tell by themselves where nothing else stands with them."""
        yield from (one for one in self._short if len(one) > _SHORT_MIN)
        yield rb"(?!)"  # where all of them are shorter

    def _is_told(self, text: bytes, least: int) -> bool:
        found = set(_WORD.findall(text))
        if not self._words.isdisjoint(found):
            return True
        if not self._words.isdisjoint(one.lstrip(b"0") for one in found if one[:1] == b"0"):
            return True
        if self._is_short_told(found, text, least) or self._are_several_told(found, text):
            return True
        if any(self._is_uid(one.replace(b".", b"").decode()) for one in set(_DOTTED.findall(text))):
            return True
        return bool(self._days) and self._is_day_told(found, text)

    def _is_short_told(self, found: set[bytes], text: bytes, least: int) -> bool:
        """Look for short words with text around them: bytes that are none tell words of three letters by chance."""
        there = {one for one in self._short & found if len(one) >= least}
        if not there:
            return False
        word = rb"(?<![0-9a-z])(?:%b)(?![0-9a-z])" % b"|".join(there)
        return re.search(rb"(?:\A|%b)%b|%b(?:\Z|%b)" % (_TEXT, word, word, _TEXT), text) is not None

    def _are_several_told(self, found: set[bytes], text: bytes) -> bool:
        return any(
            found.issuperset(parts) and re.search(pattern, text)
            for first in self._several.keys() & found
            for parts, pattern in self._several[first].items()
        )

    def _is_day_told(self, found: set[bytes], text: bytes) -> bool:
        spelt = {one[:8] for one in found if len(one) in _STAMPS and one.isdigit()}
        spelt.update(_dates(text))
        if not _MONTHS.isdisjoint(one[:3] for one in found):
            spelt.update(one.group() for pattern in _WRITTEN for one in pattern.finditer(text))
        return any(not self._days.isdisjoint(self._days_of(one.decode())) for one in spelt)


_MONTHS = frozenset(_MONTH[3 : _MONTH.index(b")")].split(b"|"))


def _dates(text: bytes) -> Iterator[bytes]:
    """Yield three numbers with one sign between them; blanks and colons only where a year stands first."""
    for one in _DATE.finditer(text):
        spelt, sign = one.group(), one[1]
        year_first = spelt[4:5] == sign
        alone = not (text[one.end() : one.end() + 1] + text[max(one.start() - 1, 0) : one.start()]).isdigit()
        if alone and (year_first or sign not in b": "):
            yield spelt.replace(b":", b"-")


def _plain(text: str) -> str:
    """Return a text without case and accents."""
    return "".join(one for one in unicodedata.normalize("NFKD", text).casefold() if not unicodedata.combining(one))


def _spelt(text: str) -> Iterator[bytes]:
    """Yield the bytes of a text that ASCII has no letters for."""
    for one in {text, text.lower(), text.upper(), text.title()}:
        for form in ("NFC", "NFD"):
            letters = unicodedata.normalize(form, one)
            for codec in ("utf-8", "latin_1", "utf-16-le", "utf-16-be"):
                raw = letters.encode(codec, "ignore")
                if len(raw) >= _FOREIGN_MIN and raw.decode(codec) == letters:
                    yield raw.lstrip(b"\0")  # of which there may be many


def _narrowed(data: bytes) -> Iterator[bytes]:
    """Yield what stands in UTF-16, of either byte order, as one byte a letter."""
    found = _WIDE.findall(data) if b"\0" in data else []
    if found:
        yield b"\n".join(found).replace(b"\0", b"")
