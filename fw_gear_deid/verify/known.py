"""Values that rules took away → whether a text, or bytes, still tell one of them, however it is spelt.

A value is looked for in three ways. *Inside* of anything, as letters and digits only, without case and accents: what is
long enough not to stand there by chance. As a *component* of its own between separators: what is short, such as the
parts of a person's name. As a *day*, in the usual spellings of one. Words that tell nobody from anybody are not known:
numbers that count, words of the standard. In bytes they are looked for as whole words, by ``inbytes``.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Iterable, Iterator
from datetime import date
from functools import lru_cache
from itertools import chain, pairwise, permutations

from fw_gear_deid.model.letters import romanised, spelt_out, without_strokes
from fw_gear_deid.model.outcome import Edit
from fw_gear_deid.model.words import NEUTRAL, PARTICLES, is_neutral
from fw_gear_deid.verify.inbytes import Words

_SIZE = re.compile(r"<\d+ (bytes|items?|values?)>")
_INSIDE_MIN = 4  # bytes of UTF-8: four letters, two ideographs; shorter ones occur by chance
_PART_MIN = 5  # of one part of a person's name
_TEXT_MAX = 400  # letters; a name is never as long
_COUNT_MAX = 3  # digits of a number that may only count something
_SHORT_MIN = 2  # digits of an identifier without its zeros
_RUN_MIN = 6  # digits of an identifier that tell somebody by themselves
_WHOSE = {"LO", "SH", "UN", ""}
"""VRs whose values may tell one person from another, however short; PN is told apart by its parts."""
_CODED = {"CS", "DS", "IS", "AS", "TM", "US", "SS", "UL", "SL", "FL", "FD", "UV", "SV"}
_LONG_NUMBER = 10  # digits
_UID_MIN = 12  # digits of a UID without its dots
_CODE_MAX = 5  # digits of such a value that stand anywhere by chance
_IDS = ("PatientID", "OtherPatientIDs", "IssuerOfPatientID")
"""Elements whose number tells somebody whatever word stands before it: ``sub-12`` for ``SUBJ0012``."""
_UNTOLD = ("StudyID",)
"""Elements in which scanners write a number of the day."""
_SEEN_MAX = 1000
_FEW = 64
"""So many forms are looked for one by one in a long text."""
_TOLD_MAX = 200_000
"""Values of one file; a table of more tells anybody's name."""
_STANDARD_UID = "1.2.840.10008."
_SINGLE_MIN = "\u2e80"
"""From here on a letter may be a whole word (CJK, Hangul)."""


class Known:
    """Values, in the forms in which they are looked for.

    Attributes
    ----------
    tells_whose : bool
        Something says, or said, who the person is; where nothing does there is nothing to hold a text against.
    """

    def __init__(self) -> None:
        self.tells_whose = False
        self._more = False
        """There is more to know than is known: only what names nobody tells none of it."""
        self._inside: dict[int, set[str]] = {}
        self._components: set[str] = set()
        self._days: set[date] = set()
        self._seen: set[tuple[str, str]] = set()
        self._texts: dict[tuple[str, str], None] = {}
        """What is looked for in bytes, too, once somebody asks."""
        self._words: Words | None = None
        self._short = True

    def learn(self, edits: Iterable[Edit]) -> None:
        """Remember the values before of edits."""
        told: set[tuple[str, str, str]] = set()  # columns of a table repeat them
        for edit in edits:
            before, one = edit.before, (edit.before, edit.vr, edit.keyword)
            if one in told:
                continue
            if len(told) == _TOLD_MAX:
                self.doubt()
                return
            told.add(one)
            if before and before != edit.after and not (before[0] == "<" and _SIZE.fullmatch(before)):
                self.add(before, edit.vr, edit.keyword)

    def add(self, text: str, vr: str, keyword: str = "") -> None:
        """Remember one value, or several that a backslash parts.

        Parameters
        ----------
        text : str
        vr : str
            Empty: a label, or another text that is no element's.
        keyword : str
        """
        key = text, vr  # the members of an archive repeat most of them
        if key in self._seen:
            return
        if len(self._seen) >= _SEEN_MAX:
            self._seen.clear()
        self._seen.add(key)
        if vr != "UI" and (vr not in _CODED or len(text) >= _LONG_NUMBER):
            self._texts[key] = None
            self._words = None
        inside, components, days = _made(text, vr, keyword) if vr == "UI" else _forms(text, vr, keyword)
        for plain in inside:
            self._inside.setdefault(len(plain), set()).add(plain)
        self._components.update(components)
        self._days.update(days)

    def doubt(self) -> None:
        """Note that there is more than could be learnt: whatever may name somebody is taken for it from now on."""
        self._more = True

    def merge(self, other: Known) -> None:
        """Remember what another one does."""
        self._more |= other._more
        for length, texts in other._inside.items():
            self._inside.setdefault(length, set()).update(texts)
        self._components |= other._components
        self._days |= other._days
        self._texts |= other._texts
        self._words = None
        self.tells_whose |= other.tells_whose

    def telling(self) -> Known:
        """Return what of it tells somebody wherever it stands: short words stand in any text."""
        found = Known()
        found._inside, found._days, found.tells_whose = self._inside, self._days, self.tells_whose
        found._texts, found._short = self._texts, False
        found._components = {one for one in self._components if _weight(one) >= _INSIDE_MIN}
        return found

    def told_by(self, text: str) -> bool:
        """Tell whether a text has one of the values in it."""
        if self._more and not is_neutral(text):
            return True
        return any(self._is_in(spelt) for spelt in _readings(text))

    def suspects(self, texts: Collection[str]) -> Collection[str]:
        """Return which of many texts have to be asked one by one; the others have none of the values in them."""
        sought = [*chain.from_iterable(self._inside.values()), *(one.lstrip("#") for one in self._components)]
        plain = plainly("".join(filter(str.isascii, texts)))
        if self._more or len(sought) > _FEW or any(one in plain for one in sought):
            return texts
        years = {f"{day.year % 100:02d}" for day in self._days}  # in every spelling of a day
        return [text for text in texts if not text.isascii() or any(year in text for year in years)]

    def told_by_bytes(self, data: bytes) -> bool:
        """Tell whether bytes have one of the values in them, as text in one byte a letter, UTF-8 or UTF-16.

        Parameters
        ----------
        data : bytes
            Any, such as the value of a private element, or a whole file that was unpacked.
        """
        return self.words().are_in(data)

    def texts(self) -> Iterator[str]:
        """Yield what was remembered, as it came."""
        yield from (text for text, _ in self._texts)

    def words(self) -> Words:
        """Return what is looked for in bytes."""
        if self._words is None:
            self._words = Words(_days, self._is_uid, short=self._short)
            for text, vr in self._texts:
                for spelt in _spellings(text):
                    for value in spelt.split("\\"):
                        _add_words(self._words, value.strip("\0 "), vr)
        return self._words

    def _is_uid(self, digits: str) -> bool:
        return len(digits) >= _UID_MIN and digits in self._inside.get(len(digits), ())

    def _is_in(self, text: str) -> bool:
        plain, components, days = _parts(text) if len(text) <= _WORD else _parts.__wrapped__(text)
        for length, texts in self._inside.items():
            # by its places, not by the values, of which an archive may teach thousands
            if any(plain[at : at + length] in texts for at in range(len(plain) - length + 1)):
                return True
        return not self._components.isdisjoint(components) or not self._days.isdisjoint(days)


class _Forms:
    """What is looked for when one value is."""

    def __init__(self) -> None:
        self.inside: set[str] = set()
        self.components: set[str] = set()
        self.days: set[date] = set()

    def add(self, value: str, vr: str, keyword: str) -> None:
        """Add a single value."""
        if len(value) > _TEXT_MAX or (vr == "UI" and value.startswith(_STANDARD_UID)):
            return
        if vr in ("DA", "DT"):
            self.days.update(_stored_day(value))
            return
        if vr == "PN":
            for group in value.split("="):
                self._add_name(group)
            return
        plain = plainly(value)
        if not plain or plain in NEUTRAL:
            return
        if vr == "":
            self.days.update(_days(value))
            self._add_name(" ".join(re.findall(r"[^\W\d_]+", value)))
        self._add_text(plain, vr, keyword)

    def _add_text(self, plain: str, vr: str, keyword: str) -> None:
        counts = plain.isdecimal() and len(plain) <= (_CODE_MAX if vr in _CODED else _COUNT_MAX)
        if _weight(plain) >= _INSIDE_MIN and not counts:
            self.inside.add(plain)
        letter = not vr and len(plain) == 1 and plain.isascii()
        if vr not in _WHOSE or (counts and keyword in _UNTOLD) or letter:
            return
        self.components.add(plain)
        for run in {plain} if plain.isdecimal() else set(re.findall(rf"\d{{{_RUN_MIN},}}", plain)):
            short = run.lstrip("0")
            if len(short) >= _RUN_MIN:
                self.inside.add(short)
            elif len(short) >= _SHORT_MIN:
                self.components.add(short)
        runs = re.findall(r"\d+", plain)
        if len(runs) == 1 and (not vr or keyword in _IDS):
            self.components.update((f"#{runs[0].lstrip('0')}", *([runs[0]] if len(runs[0]) >= _COUNT_MAX else [])))

    def _add_name(self, group: str) -> None:
        """Add a person's name: whole in every order, and by its parts."""
        parts = [plain for plain in map(plainly, re.split(r"[\^ ,;]+", group)) if plain]
        telling = [one for one in parts if one not in PARTICLES and one not in NEUTRAL]
        if not telling:
            return
        orders = (order for size in (2, 3) for order in permutations(parts[:5], size))
        together = [order for order in orders if any(one in telling and len(one) > 1 for one in order)]
        halves = list(_halves(group))
        together += [order for half in halves for part in telling if half not in part for order in _both(half, part)]
        for whole in (plainly(group), *map("".join, together)):
            if _weight(whole) >= _INSIDE_MIN:
                self.inside.add(whole)
        for part in (*telling, *halves):
            if _weight(part) >= _PART_MIN:
                self.inside.add(part)
            if len(part) > 1 or part >= _SINGLE_MIN:
                self.components.add(part)


def _add_words(words: Words, value: str, vr: str) -> None:
    """Add a single value to what is looked for in bytes."""
    if not value or len(value) > _TEXT_MAX:
        return
    if vr in ("DA", "DT"):
        words.add_days(_stored_day(value))
        return
    if vr in _CODED:  # words of the standard, but for numbers such as the time to a millisecond
        if plainly(value).isdecimal() and len(plainly(value)) >= _LONG_NUMBER:
            words.add_text(value)
        return
    if vr != "PN":
        words.add_word(value) if vr in _WHOSE else words.add_text(value)
    if vr == "":
        words.add_days(_days(value))
        value = " ".join(re.findall(r"[^\W\d_]+", value))
    for group in value.split("=") if vr in ("PN", "") else ():
        parts = [part for part in re.split(r"[\^ ,;]+", group) if part]
        telling = [part for part in parts if plainly(part) not in PARTICLES | NEUTRAL]
        halves = list(_halves(group))
        for part in (*telling, *halves):
            words.add_word(part)
        for order in permutations((*parts[:3], *halves[:2]), 2) if telling else ():
            words.add_text(" ".join(order))


Made = tuple[tuple[str, ...], tuple[str, ...], tuple[date, ...]]


@lru_cache(maxsize=1024)  # the files of a run repeat them
def _forms(text: str, vr: str, keyword: str) -> Made:
    return _made(text, vr, keyword)


def _made(text: str, vr: str, keyword: str) -> Made:
    forms = _Forms()
    for spelt in _readings(text):
        for value in spelt.split("\\"):
            forms.add(value.strip("\0 "), vr, keyword)
    return tuple(forms.inside), tuple(forms.components), tuple(forms.days)


_WORD = 32  # letters of what comes again and again: the words of a protocol in each slice


@lru_cache(maxsize=8192)
def _parts(text: str) -> tuple[str, frozenset[str], frozenset[date]]:
    """Return what of a text is compared with values: its letters and digits, its components, its days."""
    return plainly(text), frozenset(_components(text)), frozenset(_days(text))


def plainly(text: str) -> str:
    """Return letters and digits only, without case and accents, however these are encoded."""
    return re.sub(r"[\W_]+", "", without_strokes(unicodedata.normalize("NFKD", text).casefold()))


def _weight(plain: str) -> int:
    """Return how many bytes a text takes: ideographs tell more than letters."""
    return len(plain.encode("utf-8", "surrogatepass"))


def _both(one: str, other: str) -> tuple[tuple[str, str], tuple[str, str]]:
    return (one, other), (other, one)


def _halves(group: str) -> Iterator[str]:
    """Yield the halves of double names, ``Doe-Smith`` and ``O'Brien``; of two letters and less they tell nobody."""
    for part in re.split(r"[\^ ,;]+", group):
        pieces = [plainly(one) for one in re.split(r"[-'’.]+", part)]
        if len(pieces) > 1:
            yield from (one for one in pieces if len(one) > 2 and one not in NEUTRAL | PARTICLES)


_HUMP = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+")


_PEOPLE = "p|pt|pat|patient|participant|proband|s|sub|subj|subject|id|pid|mrn|case"
_SOMEBODY = re.compile(rf"(?<![a-z])(?:{_PEOPLE})0*(\d+)(?![a-z])")
"""A word for a person and a number, as letters and digits."""


def _components(text: str) -> set[str]:
    """Return what stands in a text between separators, digits and humps: ``JaneDoe_2`` has jane, doe, janedoe and 2.

    A letter or word and a number are one as well, ``A-17``; the number of somebody, ``sub-017``, has a mark: ``#17``.
    """
    found = set()
    parts = [one for one in re.split(r"[^\w\u0300-\u036f]+|_+", unicodedata.normalize("NFC", text)) if one]
    for one in parts:
        found.add(plainly(one))
        found.update(plainly(piece) for piece in re.split(r"\d+", one))
        if one.isascii():
            found.update(piece.lower() for piece in _HUMP.findall(one) if not piece.isdecimal())
    together = [plainly(one + other) for one, other in pairwise(parts) if one.isalpha() and other.isdecimal()]
    somebody = {f"#{number}" for one in (*map(plainly, parts), *together) for number in _SOMEBODY.findall(one)}
    wholes = {plainly(text), plainly(text.rpartition(".")[0])}  # with a suffix, or what looks like one, and without
    return ({*found, *together, *wholes} - {""} - NEUTRAL) | somebody


# -- letters that were read in another character set ---------------------------------------------------

_MISREAD = ("latin_1", "cp437", "cp1252")
_OTHERS = ("utf-8", "shift_jis", "gb18030", "euc_kr", "euc_jp", "big5", "iso8859_5", "koi8_r", "cp1251", "iso8859_7")


def _readings(text: str) -> Iterator[str]:
    """Yield a text, and what it says when its bytes are of another character set than they were read in."""
    yield text
    if text.isascii():
        return
    for one in (text, *_read_anew(text)):
        yield one
        yield spelt_out(unicodedata.normalize("NFC", one))
        yield from romanised(unicodedata.normalize("NFC", one))
    yield "".join(one if one.isascii() else " " for one in text)


def _spellings(text: str) -> Iterator[str]:
    """Yield a text, and it spelt out; and as UTF-8 where it was read as something else."""
    yield text
    if not text.isascii():
        anew = next(_read_anew(text), text)
        composed = [unicodedata.normalize("NFC", one) for one in (text, anew)]
        yield from {anew, *map(spelt_out, composed), *(one for each in composed for one in romanised(each))} - {text}


_NO_BYTES = re.compile("[\ud800-\udc7f\udd00-\udfff]")
"""Halves of characters that stand for no byte."""


def _read_anew(text: str) -> Iterator[str]:
    if any("\udc80" <= one <= "\udcff" for one in text):
        readings = [_NO_BYTES.sub("", text).encode("utf-8", "surrogateescape")]
    else:
        readings = [raw for raw in (_encoded(text, codec) for codec in _MISREAD) if raw is not None]
    for raw in readings:
        for codec in _OTHERS:
            try:
                yield raw.decode(codec)
            except UnicodeDecodeError:
                continue
            if codec == "utf-8":
                break  # what is UTF-8 by chance is rare


def _encoded(text: str, codec: str) -> bytes | None:
    try:
        return text.encode(codec)
    except UnicodeEncodeError:
        return None


# -- days ----------------------------------------------------------------------------------------------

_MONTHS = {
    name: number
    for number, names in enumerate(
        (
            "jan gen ene", "feb fev", "mar maa", "apr abr avr", "may mai mag mei", "jun juin giu", "jul juil lug",
            "aug ago aou", "sep set", "oct okt ott out", "nov", "dec dez dic",
        ), 1,
    )
    for name in names.split()
}  # fmt: skip
"""How months begin in English, German, French, Spanish, Italian, Portuguese and Dutch, without accents."""
_MONTH = "(" + "|".join(sorted(_MONTHS, key=len, reverse=True)) + ")[a-z]*"
_PARTED = re.compile(r"(?<!\d)(\d{1,4})[-._ /](\d{1,2})[-._ /](\d{1,4})(?!\d)")
_NTH = r"(?:st|nd|rd|th|er|º|ª)?[-._ ]{0,2}(?:de )?"
_DAY_MONTH = re.compile(rf"(?<!\d)(\d{{1,2}}){_NTH}{_MONTH}[-._, ]*(?:de )?(\d{{4}}|\d{{2}})(?!\d)")
_MONTH_DAY = re.compile(rf"{_MONTH}[-._ ]*(\d{{1,2}})(?:st|nd|rd|th)?[-._, ]+(\d{{4}})(?!\d)")
_YEAR_MONTH = re.compile(rf"(?<!\d)(\d{{4}})[-._ ]?{_MONTH}[-._ ]?(\d{{1,2}})(?!\d)")
_SIGNED = re.compile(r"(\d{4})年(\d{1,2})月(\d{1,2})日")
_SHORT = 6
_FIRST, _LAST = 1880, 2100
"""Years in which somebody whose images are stored was born, or seen."""


def _stored_day(value: str) -> Iterator[date]:
    """Yield the day of a DA or DT value; what is none is looked at as a text."""
    found = re.match(r"(\d{4})[-./]?(\d{2})[-./]?(\d{2})", value)
    yield from _day(*found.groups()) if found else _days(value)


def _days(text: str) -> set[date]:
    """Return the days that a text names, in any order of year, month and day in which one comes out."""
    apart = unicodedata.normalize("NFKD", text).casefold()
    lower = _SIGNED.sub(r"\1-\2-\3", "".join(one for one in apart if not unicodedata.combining(one)))
    found: set[date] = set()
    for run in re.findall(r"\d{6,}", lower):
        for at in range(len(run) - 7):
            some = run[at : at + 8]
            found.update(_day(some[:4], some[4:6], some[6:]))
            found.update(_either(some[:2], some[2:4], some[4:]))
        if len(run) == _SHORT:
            found.update(_day(run[:2], run[2:4], run[4:]))
            found.update(_either(run[:2], run[2:4], run[4:]))
    for first, second, third in _overlapping(_PARTED, lower):
        found.update(_day(first, second, third))
        found.update(_either(first, second, third))
    for day, month, year in _DAY_MONTH.findall(lower):
        found.update(_day(year, str(_MONTHS[month]), day))
    for month, day, year in _MONTH_DAY.findall(lower):
        found.update(_day(year, str(_MONTHS[month]), day))
    for year, month, day in _YEAR_MONTH.findall(lower):
        found.update(_day(year, str(_MONTHS[month]), day))
    return found


def _overlapping(pattern: re.Pattern[str], text: str) -> Iterator[tuple[str, ...]]:
    at = 0
    while (found := pattern.search(text, at)) is not None:
        yield found.groups()
        at = found.end(1)


def _either(first: str, second: str, year: str) -> Iterator[date]:
    """Yield the days of two numbers before a year: Europe writes the day first, America the month."""
    yield from _day(year, second, first)
    yield from _day(year, first, second)


def _day(year: str, month: str, day: str) -> Iterator[date]:
    if len(year) not in (2, 4) or len(month) > 2 or len(day) > 2:
        return
    for century in (0,) if len(year) == 4 else (1900, 2000):
        number = century + int(year)
        if _FIRST <= number <= _LAST:
            try:
                yield date(number, int(month), int(day))
            except ValueError:
                continue
