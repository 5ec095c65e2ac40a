"""What is known of a patient → the spans of a text that tell it, however it is spelt.

Names are looked for by their parts, in any order, with initials and spelt out in ASCII; ids as they are, without what
stands between their digits and letters, and without zeros; days in any spelling; other values whole. A word that tells
goes as a whole, from one blank or mark to the next.
"""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from datetime import date
from itertools import permutations
from typing import NamedTuple

from fw_gear_deid.model.letters import romanised, spelt_out, without_strokes
from fw_gear_deid.model.words import NEUTRAL, PARTICLES

Span = tuple[int, int]
_WHOLE_MIN = 4
"""Letters and digits of what is found within words, too; shorter ones stand there by chance."""
_PART_MIN = 5
"""The same of one part of a name."""
_ID_MIN, _NUMBER_MIN = 2, 4
"""Digits of an id, and of a number that is known without its zeros and letters."""
_LONG = 400
_PARTS = 5
_WIDE = "\u2e80"
"""From here on a letter may be a word, and words stand without blanks."""
_WORD = re.compile(r"[^\W_]+(?:[\u0300-\u036f]+[^\W_]*)*")
_SOMEBODY = re.compile(
    r"(?<![^\W\d_])(?:p|pt|pat|patient|participant|proband|s|sub|subj|subject|id|pid|mrn|case|nr|no)"
    r"[ _#.:-]{0,2}0*(\d+)(?![^\W_])",
    re.IGNORECASE,
)
_SIX = re.compile(r"(?<!\d)(\d\d)([-./_ ]?)(\d\d)\2(\d\d)(?!\d)")
_LOOSE = re.compile(r"(?<!\d)(\d{1,4})[-./_, ]{1,2}(\d{1,2})[-./_, ]{1,2}(\d{1,4})(?!\d)")


_UNTOLD = ("StudyID",)
"""Elements in which scanners write a number of the day."""


class Fact(NamedTuple):
    """A value that tells of the patient."""

    text: str
    vr: str
    """Empty: a label, which may be a name or an id."""
    keyword: str = ""


class Sought:
    """What is known, in the forms in which it is looked for.

    Parameters
    ----------
    facts : sequence of Fact
    """

    def __init__(self, facts: Sequence[Fact]) -> None:
        self._words: set[str] = set()
        """Go where they stand as a word."""
        self._wholes: dict[int, set[str]] = {}
        """Go wherever their letters follow each other."""
        self._numbers: set[str] = set()
        self._of_somebody: set[str] = set()
        self._parts: set[str] = set()
        """All parts of names, particles as well: an initial beside one goes with it."""
        self._initials: set[str] = set()
        self._days: set[date] = set()
        for fact in facts:
            for text in _spellings(fact.text):
                for value in text.split("\\"):
                    self._add(value.strip("\0 "), fact.vr, fact.keyword)

    def _add(self, value: str, vr: str, keyword: str) -> None:
        if not value or len(value) > _LONG:
            return
        if keyword in _UNTOLD and value.isdecimal() and len(value) < _NUMBER_MIN:
            return
        if vr in ("DA", "DT"):
            found = re.match(r"(\d{4})[-./]?(\d\d)[-./]?(\d\d)", value)
            self._days.update(_day(*found.groups()) if found else ())
            return
        if vr == "PN":
            for group in value.split("="):
                self._add_name(group)
            return
        if vr == "":
            self._add_name(" ".join(re.findall(r"[^\W\d_]+(?:['’-][^\W\d_]+)*", value)))
        self._add_id(value)

    def _add_name(self, group: str) -> None:
        parts = [plain for plain in map(plainly, re.split(r"[\^ ,;]+", group)) if plain]
        telling = [one for one in parts if one not in PARTICLES and one not in NEUTRAL]
        if not telling:
            return
        halves = [half for half in _halves(group) if half not in NEUTRAL and half not in PARTICLES]
        names = [one for one in (*telling, *halves) if len(one) > 1 or one >= _WIDE]
        self._words.update(names)
        self._parts.update((*names, *parts))
        self._initials.update(one[0] for one in parts)
        for one in names:
            self._add_whole(one, least=_PART_MIN)
            for initial in {other[0] for other in parts if other != one}:
                self._words.update((initial + one, one + initial))
        first = [one[0] for one in parts if one not in names[:1]]
        for name in names:  # J.Q.Doe, DoeJQ
            self._words.update(("".join(first) + name, name + "".join(first)))
        long = [one for one in (*parts[:_PARTS], *halves[:2]) if len(one) > 1 or one >= _WIDE]
        for size in (2, 3):
            for order in permutations(long, size):
                if any(one in names for one in order):
                    self._add_whole("".join(order))
        self._add_whole(plainly(group))

    def _add_id(self, value: str) -> None:
        plain = plainly(value)
        if not plain or plain in NEUTRAL or (len(plain) == 1 and plain < _WIDE):
            return
        counts = plain.isdecimal() and len(plain) < _NUMBER_MIN
        self._words.add(plain)
        if not counts:
            self._add_whole(plain)
        runs = re.findall(r"\d+", plain)
        for run in runs:
            short = run.lstrip("0")
            if len(short) >= _NUMBER_MIN and (len(runs) == 1 or len(short) > _NUMBER_MIN):
                self._numbers.add(short)
            if len(runs) == 1 and len(short) == _NUMBER_MIN - 1:
                self._words.add(short)
            if len(runs) == 1 and short:
                self._of_somebody.add(short)

    def _add_whole(self, plain: str, least: int = _WHOLE_MIN) -> None:
        if len(plain.encode("utf-8", "surrogatepass")) >= least and plain not in NEUTRAL:
            self._wholes.setdefault(len(plain), set()).add(plain)

    # -- looking ---------------------------------------------------------------------------------------

    def spans(self, text: str) -> Iterator[Span]:
        """Yield the spans of a text that tell something known; some lie over each other."""
        words = [found.span() for found in _WORD.finditer(text)]
        if not words:
            return
        told = [span for span in words if self._tells(text[slice(*span)])]
        told += self._wholes_in(text, words)
        yield from told
        yield from self._initials_beside(text, words, told)
        for found in _SOMEBODY.finditer(text):
            if found.group(1).lstrip("0") in self._of_somebody:
                yield found.span(1)
        if self._days:
            yield from self._days_in(text)

    def _tells(self, word: str) -> bool:
        plain = plainly(word)
        if plain in self._words:
            return True
        pieces = [plainly(one) for one in _pieces(word)]
        if any(one in self._words for one in pieces if len(one) > 1 or one >= _WIDE):
            return True
        return any(run.lstrip("0") in self._numbers for run in re.findall(r"\d+", plain))

    def _wholes_in(self, text: str, words: Sequence[Span]) -> Iterator[Span]:
        """Yield the spans in which a value stands, whatever marks and blanks stand between its letters."""
        plain, places = _with_places(text)
        for length, wholes in self._wholes.items():
            for at in range(len(plain) - length + 1):
                if plain[at : at + length] in wholes:
                    start, end = places[at], places[at + length - 1] + 1
                    yield _widened(text, words, start, end)

    def _initials_beside(self, text: str, words: Sequence[Span], told: Iterable[Span]) -> Iterator[Span]:
        """Yield the initials that stand beside what tells: ``J. Doe``, ``Doe, J. Q.``."""
        starts = [start for start, _ in words]
        gone = {
            number for first, last in told for number in range(bisect_left(starts, first), bisect_left(starts, last))
        }
        for number in gone:
            if plainly(text[slice(*words[number])]) not in self._parts:
                continue
            for step in (-1, 1):
                at = number + step
                while 0 <= at < len(words) and at not in gone and self._is_initial(text, words, at, step):
                    yield words[at]
                    at += step

    def _is_initial(self, text: str, words: Sequence[Span], at: int, step: int) -> bool:
        word = plainly(text[slice(*words[at])])
        before, after = sorted((words[at], words[at - step]))
        between = text[before[1] : after[0]]
        return len(word) == 1 and word in self._initials and not between.strip(" .,^'_-") and len(between) <= 3

    def _days_in(self, text: str) -> Iterator[Span]:
        """Yield spellings of days that only tell one since it is known: ``120361``, ``3.12.61``."""
        for found in _overlapping(_SIX, text):
            if self._is_known(found.group(1), found.group(3), found.group(4)):
                yield found.span()
        for found in _overlapping(_LOOSE, text):
            if self._is_known(*found.groups()):
                yield found.span()

    def _is_known(self, one: str, two: str, three: str) -> bool:
        orders = ((one, two, three), (three, one, two), (three, two, one))
        return any(day in self._days for order in orders for day in _day(*order))


def plainly(text: str) -> str:
    """Return letters and digits only, without case, accents and strokes."""
    if text.isascii():
        return re.sub(r"[\W_]+", "", text.lower())
    return re.sub(r"[\W_]+", "", without_strokes(unicodedata.normalize("NFKD", text).casefold()))


def _with_places(text: str) -> tuple[str, list[int]]:
    """Return a text plainly, and where in it each letter stands."""
    plain, places = [], []
    for place, char in enumerate(text):
        letters = plainly(char)
        plain.append(letters)
        places += [place] * len(letters)
    return "".join(plain), places


def _widened(text: str, words: Sequence[Span], start: int, end: int) -> Span:
    """Return a span with the words that it begins and ends in; of a script without blanks as it is."""
    if text[start] >= _WIDE:
        return start, end
    first, last = _word_at(words, start), _word_at(words, end - 1)
    return min(start, first[0]), max(end, last[1])


def _word_at(words: Sequence[Span], place: int) -> Span:
    """Return the word in which a place of a text lies, else that place alone."""
    number = bisect_right(words, place, key=lambda span: span[0]) - 1
    return words[number] if number >= 0 and place < words[number][1] else (place, place + 1)


_HUMP = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")


def _pieces(word: str) -> Iterator[str]:
    """Yield what a word is put together from: letters between digits, and humps."""
    yield from re.split(r"\d+", word)
    if word.isascii():
        yield from _HUMP.findall(word)


def _halves(group: str) -> Iterator[str]:
    for part in re.split(r"[\^ ,;]+", group):
        pieces = [plainly(one) for one in re.split(r"[-'’.]+", part)]
        if len(pieces) > 1:
            yield from (one for one in pieces if len(one) > 2)


def _spellings(text: str) -> Iterator[str]:
    """Yield a text, and what people write for it in ASCII."""
    yield text
    if not text.isascii():
        composed = unicodedata.normalize("NFC", text)
        yield spelt_out(composed)
        yield from romanised(composed)


def _overlapping(pattern: re.Pattern[str], text: str) -> Iterator[re.Match[str]]:
    at = 0
    while (found := pattern.search(text, at)) is not None:
        yield found
        at = found.start() + 1


def _day(year: str, month: str, day: str) -> Iterator[date]:
    if len(year) not in (2, 4) or len(month) > 2 or len(day) > 2:
        return
    for century in (0,) if len(year) == 4 else (1900, 2000):
        try:
            yield date(century + int(year), int(month), int(day))
        except ValueError:
            continue
