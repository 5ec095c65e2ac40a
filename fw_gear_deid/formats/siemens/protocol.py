"""A protocol as Siemens scanners write it (Phoenix, ASCCONV) → its lines that say how was measured.

``key = value`` between two marks; what stands before and behind them is of the console, and says who was measured.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from fw_gear_deid.model.errors import Unreadable
from fw_gear_deid.model.siemens import LARGE, PROTOCOL_TEXTS, keys

_BEGIN, _END = "### ASCCONV BEGIN", "### ASCCONV END ###"
_HEAD = re.compile(
    r" object=MrProtDataImpl@MrProtocolData version=\d{1,12} "
    r"converter=%MEASCONST%/ConverterList/Prot_Converter\.txt ###"
)
_LINE = re.compile(
    r"(?P<key>[A-Za-z_]\w{0,48}(?:\[\d{1,6}\]){0,3}(?:\.\w{1,48}(?:\[\d{1,6}\]){0,3}){0,12})"
    r"(?P<gap>[ \t]{0,64}=[ \t]{0,8})"
    r"(?P<value>[^\r\n]*?)[ \t]*"
)
_NUMBER = re.compile(r"[-+]?(?:(?P<whole>\d{1,12})(?:\.\d{0,16})?|\.\d{1,16})(?:[eE][-+]?\d{1,3})?|0x[\da-fA-F]{1,8}")
_QUOTED = re.compile(r'(?P<quote>"{1,2})(?P<text>[^"]{0,200})(?P=quote)')
_INDEX = re.compile(r"\[\d+\]")
_HUNGARIAN = re.compile(r"(?:a?(?:s|l|d|fl|uc|ul|us|ui|un|b|i|n|e|f|c)|as|ds)[A-Z][A-Za-z\d_]{1,40}|\d{1,3}")
"""How parts of keys are called: a word for their type, and what they are."""
_TELLS = re.compile(
    r"patient|birth|institut|uuid|uid$|name|serial|operator|physician|weight|height|accession|study|address|phone|date|"
    r"comment|hospital|referr|\bage",
    re.IGNORECASE,
)
_LARGE, _SEVERAL = 8, 6
"""Digits of a whole number that may be a date or an id, and of one under a key that is not known."""
_MOST, _LONG = 200_000, 1_000
"""Lines, and characters of one."""


def cleaned(data: bytes, clean: Callable[[str], str]) -> bytes:
    """Return a protocol with the lines that say how was measured, ASCII alone.

    Parameters
    ----------
    data : bytes
        With whatever stands around it.
    clean : callable
        As for ``headers.cleaned``.

    Raises
    ------
    Unreadable
        There is no protocol in it, or no end of one.
    """
    text = data.decode("iso8859")
    parts = []
    at = text.find(_BEGIN)
    if at < 0:
        raise Unreadable("there is no protocol in it")
    while at >= 0:
        end = text.find(_END, at)
        if end < 0:
            raise Unreadable("its protocol has no end")
        parts.append(_section(text[at + len(_BEGIN) : end], clean))
        at = text.find(_BEGIN, end)
    return "\n".join(("", *parts, "")).encode("ascii")  # dcm2niix finds no protocol at the very beginning


def _section(text: str, clean: Callable[[str], str]) -> str:
    head, _, body = text.partition("\n")
    begin = head.rstrip() if _HEAD.fullmatch(head.rstrip()) else " ###"
    if body.count("\n") > _MOST:
        raise Unreadable("its protocol has too many lines")
    return "\n".join((_BEGIN + begin, *_lines(body, clean), _END))


def _lines(body: str, clean: Callable[[str], str]) -> Iterator[str]:
    for line in body.split("\n"):
        found = _LINE.fullmatch(line.rstrip("\r")) if len(line) <= _LONG else None
        if found is not None and _stays(found["key"], found["value"], clean):
            yield f"{found['key']}{found['gap']}{found['value']}"


def _stays(key: str, value: str, clean: Callable[[str], str]) -> bool:
    parts = _INDEX.sub("", key).split(".")
    known = keys()
    if not value.isascii() or any(_TELLS.search(part) for part in parts if part not in known | PROTOCOL_TEXTS.keys()):
        return False
    if (quoted := _QUOTED.fullmatch(value)) is not None:
        form = PROTOCOL_TEXTS.get(parts[-1])
        return form is not None and _is_plain(parts, clean) and _fits(form, quoted["text"], clean)
    number = _NUMBER.fullmatch(value)
    if number is None or not _is_plain(parts, clean):
        return False
    whole = (number["whole"] or "").lstrip("0")
    most = _LARGE if set(parts) <= known else _SEVERAL
    if len(whole) >= most and parts[-1] not in LARGE:
        return False
    return len(whole) < 5 or "." in value or clean(f"0.{number['whole']}") == f"0.{number['whole']}"


def _fits(form: re.Pattern[str], text: str, clean: Callable[[str], str]) -> bool:
    """Tell whether a text has its form and tells nobody; the day of a software's version is none of a patient's."""
    if not text:
        return True
    if text.isdecimal():
        return form.fullmatch(text) is not None and clean(f"0.{text}") == f"0.{text}"
    shown = re.sub(r"_20\d{6}$", "", text).rpartition("\\")[2]
    return form.fullmatch(text) is not None and clean(shown) == shown


def _is_plain(parts: list[str], clean: Callable[[str], str]) -> bool:
    return all(
        part in keys() or part in PROTOCOL_TEXTS or (_HUNGARIAN.fullmatch(part) and clean(part) == part)
        for part in parts
    )
