r"""Text → what may be shown on a terminal or stand in a cell of a report, and back.

A character that cannot be seen, or that steers a terminal or the direction of writing, stands as ``\x1b``, ``\u202e``
or ``\U000e0001``: control, C1 and format characters, line and paragraph separators, halves of a pair. A backslash in
front of what reads like such an escape is ``\x5c``; every other one, as between the values of an element, stays. A cell
that a spreadsheet would take for a formula begins with an apostrophe; ``exact`` takes it away.
"""

from __future__ import annotations

import json
import re
import unicodedata
from typing import Any

_UNSEEN = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
_ESCAPE = re.compile(r"\\(?:x([0-9a-f]{2})|u([0-9a-f]{4})|U([0-9a-f]{8}))")
_LIKE_ESCAPE = re.compile(r"\\(?=x[0-9a-f]{2}|u[0-9a-f]{4}|U[0-9a-f]{8})")
_PLAIN = re.compile(r"[ -\[\]-~]*")  # printable ASCII without a backslash
# what starts a formula, wide forms included, behind blanks and apostrophes
_FORMULA = re.compile(r"['\s]*[=+\-@\uff0b\uff0d\uff1d\uff20]")


def shown(text: str) -> str:
    r"""Return text as one line of visible characters.

    >>> shown("a\x1b[31m\nb"), shown("ORIGINAL\\PRIMARY")
    ('a\\x1b[31m\\x0ab', 'ORIGINAL\\PRIMARY')
    """
    if _PLAIN.fullmatch(text):
        return text
    return "".join(_visible(char) for char in _LIKE_ESCAPE.sub(r"\\x5c", text))


def cell(text: str) -> str:
    """Return text as a cell of a report: visible, and no formula.

    >>> cell("=HYPERLINK(A1)"), cell("-17")
    ("'=HYPERLINK(A1)", "'-17")
    """
    visible = shown(text)
    return "'" + visible if _FORMULA.match(visible) else visible


def exact(text: str) -> str:
    """Return the text that a cell stands for.

    >>> exact(cell("=1")), exact(cell("'=1")), exact(cell("it's"))
    ('=1', "'=1", "it's")
    """
    whole = text[1:] if text.startswith("'") and _FORMULA.match(text) else text
    return _ESCAPE.sub(lambda match: chr(int(match[1] or match[2] or match[3], 16)), whole)


def to_json(value: Any) -> str:
    """Return JSON for people, in which nothing is invisible; any reader of JSON gives back the exact text."""
    text = json.dumps(value, indent=2, ensure_ascii=False)
    return "".join(char if char == "\n" or not _is_unseen(char) else json.dumps(char)[1:-1] for char in text)


def _is_unseen(char: str) -> bool:
    return unicodedata.category(char) in _UNSEEN


def _visible(char: str) -> str:
    if not _is_unseen(char):
        return char
    code = ord(char)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
