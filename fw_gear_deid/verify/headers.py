"""A private header that was cleaned → what it still tells: by the texts in its bytes, without knowing its layout."""

from __future__ import annotations

import re
import zlib
from datetime import date
from functools import lru_cache

from fw_gear_deid.model.siemens import NUMBERS, PROTOCOL_TEXTS, PROTOCOLS, TEXTS, keys
from fw_gear_deid.verify.known import Known

_TEXT = re.compile(rb"[\x20-\x7e\t]{3,}")
_TOKEN = re.compile(r"[A-Za-z0-9_-]+")
_OURS = re.compile(
    r" ?object=MrProtDataImpl@MrProtocolData version=\d+ converter=%MEASCONST%/ConverterList/Prot_Converter\.txt"
)
_SOFTWARE = re.compile(r'"[A-Z]\w{1,11}_[A-Z]{4,10}_20\d{6}"')
"""A version of a scanner's software, with the day on which it was built."""
_DAY = re.compile(r"(?<!\d)((?:19|20)\d\d)([-./]?)(\d\d)\2(\d\d)(?!\d)")
_UID = re.compile(r"\d+(?:\.\d+){5,}")
_NOT_ASCII = re.compile(rb"[\x80-\xff]{4,}")
_FOREIGN = ("@", "^", "://", "patientname", "patientid", "birth", "institution", "hospital")
_MOST = 1 << 20
_SEVERAL = 5
"""Digits of a number that may be somebody's; shorter ones count."""


def told_by(data: bytes, known: Known) -> str:
    """Return what a header tells, in words that quote nothing of it; empty when it tells nothing."""
    if data[4:6] == b"\x1f\x8b":
        return _told_by_packed(data[4:], known)
    if _NOT_ASCII.search(data):
        return "what is no ASCII"
    tokens: set[str] = set()
    for found in _TEXT.finditer(data):
        text = found.group()
        told, asked = _looked_at(text) if len(text) <= _LINE else _looked_at.__wrapped__(text)
        if told:
            return told
        tokens.update(asked)
    return "what a rule took away elsewhere" if any(map(known.told_by, tokens)) else ""


_LINE = 200  # bytes of what is remembered: headers of a series repeat their lines


@lru_cache(maxsize=8192)
def _looked_at(text: bytes) -> tuple[str, frozenset[str]]:
    """Return what a text tells by itself, and the words in it that may be somebody's."""
    line = _SOFTWARE.sub('""', _OURS.sub("", text.decode("ascii")))
    lower = line.casefold()
    if any(one in lower for one in _FOREIGN):
        return "what is of a patient or a place", frozenset()
    if _UID.search(line):
        return "a UID", frozenset()
    if any(_is_day(one) for one in _DAY.finditer(line)) and not _NUMBER_OF.search(line):
        return "a date", frozenset()
    short = (one for one in _TOKEN.findall(line) if not (one.isdecimal() and len(one) < _SEVERAL))
    return "", frozenset(short) - _ours()


@lru_cache(maxsize=1)
def _ours() -> frozenset[str]:
    """Return the words of the layout itself."""
    return frozenset(keys() | NUMBERS | TEXTS.keys() | PROTOCOLS | PROTOCOL_TEXTS.keys())


def _told_by_packed(data: bytes, known: Known) -> str:
    """Return what a packed text tells: lines of a key and a value in quotes."""
    unpack = zlib.decompressobj(31)
    try:
        text = unpack.decompress(data, _MOST).decode("ascii")
    except (zlib.error, UnicodeDecodeError):
        return "what is no ASCII"
    if not unpack.eof or unpack.unused_data.strip(b"\0") or data[3]:
        return "more than its text"  # a name of a file, a comment, or bytes behind it
    for line in text.split("\n"):
        key, _, value = line.partition(" ")
        if line and (not re.fullmatch(r"[A-Z][A-Z\d_]*", key) or not re.fullmatch(r'"[A-Za-z\d ,;./+-]*"', value)):
            return "what is no setting"
        if any(len(one) >= _SEVERAL or one.isalpha() for one in _TOKEN.findall(value)) and known.told_by(value):
            return "what a rule took away elsewhere"
    return ""


_NUMBER_OF = re.compile(r"^[A-Za-z][\w.\[\]]*[ \t]*=|^ *[-+]?\d+\.\d*(?:[eE][-+]?\d+)? *$")
"""A line of a protocol, or a number alone: eight digits may be microseconds."""


def _is_day(found: re.Match[str]) -> bool:
    try:
        date(int(found.group(1)), int(found.group(3)), int(found.group(4)))
    except ValueError:
        return False
    return True
