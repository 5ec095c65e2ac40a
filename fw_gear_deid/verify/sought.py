"""Names and ids that rules took away from a file → whether a value of its result still tells one of them.

Each counts as whole words only: *names* by their parts of four letters and more, in any order, in every spelling that
``known`` has; *ids* of four signs and more, and numbers of six digits, which are no part of a longer or broken number.
In values that are no text, words of four letters are passed over: they stand there by chance. Words of
protocols, placeholders such as ANON, and days tell nobody from anybody.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator
from datetime import date
from functools import lru_cache

from fw_gear_deid.model.dictionary import TEXT_VRS
from fw_gear_deid.model.frozen import frozen
from fw_gear_deid.model.person import is_placeholder, plain
from fw_gear_deid.model.words import PARTICLES, is_protocol
from fw_gear_deid.verify.known import Known

PASSED = frozenset({
    "AS", "AT", "CS", "DA", "DS", "DT", "FD", "FL", "IS", "OD", "OF", "OL", "OV", "OW", "SL", "SS", "SV", "TM", "UI",
    "UL", "US", "UV",
})  # fmt: skip
"""VRs of numbers, days, UIDs and codes: no name stands in them, and a number stands there by chance."""
_LEAST, _ID_LEAST, _NUMBER_LEAST, _LONGEST = 4, 4, 6, 400
_DIGIT = re.compile(r"\d")
_COMMON = frozenset({
    "admin", "code", "doctor", "enter", "family", "first", "given", "last", "middle", "name", "service", "text",
    "title", "type", "value",
})  # fmt: skip
"""Words that stand for names in made-up files, and in any other text."""
_APART = re.compile(r"[\^ =,;\\]+")
_STEP, _OVERLAP = 4 << 20, 1 << 10  # bytes that are looked at at once
_LARGE, _ROOM, _BESIDE = 1 << 11, 2 << 20, 200
"""Bytes from which on a value is looked up, those of all that are remembered, and what each takes besides."""
_SMALL = bytes(range(256)).lower()
_ESCAPE = re.compile(rb"\x1b[ -/]*[0-~]")  # ISO 2022


@frozen
class Taken:
    """A name or an id, as it stood before a rule took it away."""

    text: str
    is_name: bool


class Sought:
    """What is looked for.

    Parameters
    ----------
    taken : iterable of Taken
    codecs : tuple of str
        Text codecs of the file.
    """

    def __init__(self, taken: Iterable[Taken], codecs: tuple[str, ...] = ()) -> None:
        known, numbers = Known(), set[str]()
        for one in taken:
            for text, is_name in _parts(one):
                if not (text.isascii() and text.isdecimal()):
                    known.add(text, "PN" if is_name else "LO")
                elif len(text.lstrip("0")) >= _NUMBER_LEAST:
                    numbers.add(text.lstrip("0"))
        self._in_text, self._in_bytes = known.words(), known.telling().words()
        for raw in _in_codecs(known.texts(), codecs):
            self._in_text.add_bytes(raw)
            self._in_bytes.add_bytes(raw)
        told = "|".join(sorted(numbers)) or "(?!)"
        self._numbers = re.compile(rb"(?<![0-9])(?<![0-9]\.)0*(?:%b)(?!\.?[0-9])" % told.encode())
        self._pieces = _shortest((self._in_text.pieces() | {one.encode() for one in numbers}) - {b""})
        self._large: dict[bytes, bool] = {}
        self._room = _ROOM
        self._met: dict[tuple[bytes, bool], bool] = {}

    def __bool__(self) -> bool:
        """Tell whether there is anything to look for."""
        return bool(self._pieces)

    def may_stand_in(self, data: bytes, spans: Iterable[tuple[int, int]]) -> bool:
        """Tell whether some spans of a file may hold one of them; where not, no element of theirs does."""
        for start, end in spans:
            for at in range(start, end, _STEP):
                some = data[at : min(at + _STEP + _OVERLAP, end)]
                if self._may_be_in(some) if len(some) < _LARGE else self._remembered(some):
                    return True
        return False

    def _may_be_in(self, data: bytes) -> bool:
        some = data.translate(_SMALL, b"\0")
        return any(one in some for one in self._pieces)

    def _remembered(self, data: bytes) -> bool:
        """Tell the same of a large value, such as a protocol that each file of a series has."""
        found = self._large.get(data)
        if found is None:
            found = self._may_be_in(data)
            if self._has_room(data):
                self._large[data] = found
        return found

    def stands_in(self, value: bytes, vr: str) -> bool:
        """Tell whether the value of an element tells one of them."""
        if vr in PASSED:
            return False
        key = value, vr in TEXT_VRS
        found = self._met.get(key)
        if found is None:
            found = self._is_in(*key)
            if self._has_room(value):
                self._met[key] = found
        return found

    def _has_room(self, data: bytes) -> bool:
        """Make room for a value that is to be remembered; a very large one is not."""
        size = len(data) + _BESIDE
        if size > _ROOM:
            return False
        self._room -= size
        if self._room < 0:
            self._large.clear()
            self._met.clear()
            self._room = _ROOM - size
        return True

    def _is_in(self, value: bytes, is_text: bool) -> bool:
        words = self._in_text if is_text else self._in_bytes
        return any(
            self._numbers.search(some) or self._numbers.search(some.replace(b"\0", b"")) or words.are_in(some)
            for some in (value[at : at + _STEP + _OVERLAP] for at in range(0, len(value), _STEP))
            if self._may_be_in(some)
        )


@lru_cache(maxsize=8)
def sought_of(taken: frozenset[Taken], codecs: tuple[str, ...]) -> Sought:
    """Return what is looked for: the same for all files of a series, which tell the same."""
    return Sought(sorted(taken, key=lambda one: one.text), codecs)


def _parts(one: Taken) -> Iterator[tuple[str, bool]]:
    """Yield what of a name or an id tells somebody, and whether it is a name: one without parts that tell nobody."""
    if len(one.text) > _LONGEST or is_placeholder(plain(one.text)):
        return
    for value in one.text.split("\\"):
        text = value.strip("\0 ")
        if not one.is_name:
            yield from ((text, False) for _ in range(_is_id(text)))
            continue
        for group in text.split("="):
            parts = [part for part in _APART.split(group) if part]
            yield from ((part, False) for part in parts if _DIGIT.search(part) and _is_id(part))  # no name has digits
            names = [part for part in parts if not _DIGIT.search(part) and _tells(part)]
            if names:
                yield "^".join(names), True


def _shortest(pieces: Collection[bytes]) -> tuple[bytes, ...]:
    """Return those that hold no other one: what holds a longer one holds one of them."""
    found: list[bytes] = []
    for one in sorted(pieces, key=len):
        if not any(other in one for other in found):
            found.append(one)
    return tuple(found)


def _is_id(text: str) -> bool:
    told = len(text) >= _ID_LEAST and bool(_DIGIT.search(text) or text.isalpha())
    return told and not (is_protocol(text) or _is_day(text) or is_placeholder(plain(text)) or plain(text) in _COMMON)


def _tells(part: str) -> bool:
    """Tell whether a part of a name tells somebody by itself."""
    if not part.isascii():
        return True
    words = [one for one in re.split(r"[^a-z]+", part.casefold()) if one]
    told = [one for one in words if one not in PARTICLES and one not in _COMMON and not is_protocol(one)]
    return len(max(told, key=len, default="")) >= _LEAST and len(told) == len(words) and not is_placeholder(part)


def _is_day(text: str) -> bool:
    """Tell whether an id is made of a day, as some scanners make them: it stands where days do."""
    digits = re.sub(r"\D", "", text)
    if len(digits) < 8 or re.search("[A-Za-z]{3}", text):
        return False
    try:
        return 1900 <= date(int(digits[:4]), int(digits[4:6]), int(digits[6:8])).year < 2100
    except ValueError:
        return False


def _in_codecs(texts: Iterable[str], codecs: tuple[str, ...]) -> Iterator[bytes]:
    """Yield words outside ASCII in the bytes of the file's own character sets."""
    for text in texts:
        for word in _APART.split(text):
            for codec in codecs if not word.isascii() else ():
                try:
                    yield _ESCAPE.sub(b"", word.encode(codec))
                except (UnicodeError, LookupError):
                    continue
