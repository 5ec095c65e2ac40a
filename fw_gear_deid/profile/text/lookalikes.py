"""Characters that look like those of YAML and are others, as web pages and word processors bring them."""

from __future__ import annotations

import re
import unicodedata

_SPACES = "\u00a0\u1680\u2000-\u200a\u202f\u205f\u3000"
_HIDDEN = "\u00ad\u180e\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff"
_DASHES = "\u2010-\u2015\u2212\ufe58\ufe63\uff0d"
_OPEN = "\u201c\u201d\u201e\u201f\u2018\u2019\u201a\u201b\u00ab\u00bb\u2039\u203a\uff02\uff07\u300c"
_COLONS = "\uff1a\ufe55\ua789\u2236"
# in a line that is no YAML: where one of them stands instead of a character of the syntax
_IN_LINE = (
    rf"^[ \t]*([{_SPACES}{_HIDDEN}])",
    rf"^\s*-([{_SPACES}{_HIDDEN}])",
    rf"^\s*([{_DASHES}])\s",
    rf"[\w-]:([{_SPACES}{_HIDDEN}])",
    rf"^\s*(?:-\s+)?[\w-]+([{_SPACES}{_HIDDEN}])\s*:",
    rf"^\s*(?:-\s+)?[\w-]+\s*([{_COLONS}])",
    rf"[:\-,\[{{]\s+([{_OPEN}])",
    rf":\s+([{_DASHES}])\d",
)
_NUMBER = re.compile(rf"([{_DASHES}])\s*[\d.]+")
_ITEM = re.compile(rf"([{_DASHES}])\s")
_HELD = re.compile(rf"-([{_SPACES}{_HIDDEN}])|[\w-]+:([{_SPACES}{_HIDDEN}])|[\w-]+\s*([{_COLONS}])")
_CREATOR = re.compile(rf"\([^()]*?([{_OPEN}])[^()]*\)")  # around the creator of a private element
_EDGE = re.compile(rf"[{_SPACES}]")
_ANYWHERE = re.compile(rf"[{_HIDDEN}]")


def in_line(line: str) -> list[tuple[int, str]]:
    """Return column, from 1, and message for each look-alike in the place of a character of the syntax."""
    found = {match.start(1) + 1: _message(match[1]) for pattern in _IN_LINE for match in re.finditer(pattern, line)}
    return sorted(found.items())


def in_plain(text: str, *, is_key: bool) -> str:
    """Return what is wrong with a value without quotes that YAML takes as it stands; empty when nothing is."""
    if match := _NUMBER.fullmatch(text) or _ITEM.match(text) or _HELD.match(text) or _CREATOR.fullmatch(text):
        return _message(next(char for char in match.groups() if char))
    if len(text) > 1 and text[0] in _OPEN and text[-1] in _OPEN:
        return _message(text[0])
    if text[:1] and (found := _EDGE.fullmatch(text[0]) or _EDGE.fullmatch(text[-1])):
        return _message(found[0])
    if found := _ANYWHERE.search(text) or (_EDGE.search(text) if is_key else None):
        return _message(found[0])
    return ""


def other_letter(word: str) -> str:
    """Say which character of a word is none of ASCII, as the letters of another script are that look alike."""
    for place, char in enumerate(word, 1):
        if not char.isascii():
            return f" (character {place} is {unicodedata.name(char, 'unnamed')}, U+{ord(char):04X})"
    return ""


def _message(char: str) -> str:
    bare = f"{unicodedata.name(char, 'control character').lower()} (U+{ord(char):04X})"
    name = ("an " if bare[0] in "aeiou" else "a ") + bare
    if re.match(f"[{_SPACES}]", char):
        return f"{name} stands here; write a plain space"
    if re.match(f"[{_HIDDEN}]", char):
        return f"an invisible character, {bare}, stands here; take it out"
    if re.match(f"[{_DASHES}]", char):
        return f"{name} stands here, which is no minus; write a plain '-'"
    if re.match(f"[{_COLONS}]", char):
        return f"{name} stands here; write a plain ':'"
    return f"a curly quote, {bare}, stands here, which YAML takes for part of the text; write a straight quote"
