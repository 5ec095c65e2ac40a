"""Letters of other scripts and with strokes → those of ASCII that people write for them in names of files."""

from __future__ import annotations

from collections.abc import Iterator

_STROKES = str.maketrans({
    "ł": "l", "đ": "d", "ø": "o", "ı": "i", "ð": "d", "þ": "th", "æ": "ae", "œ": "oe", "ħ": "h", "ŧ": "t", "ŋ": "n",
    "ƶ": "z", "ɨ": "i", "ə": "e", "ſ": "s",
} | {chr(one): chr(one - 0x60) for one in range(0x30A1, 0x30F7)})  # fmt: skip
"""Small letters that Unicode does not take apart; and hiragana for katakana."""
_SPELT_OUT = str.maketrans({
    "ä": "ae", "ö": "oe", "ü": "ue", "Ä": "Ae", "Ö": "Oe", "Ü": "Ue", "ø": "oe", "Ø": "Oe", "å": "aa", "Å": "Aa",
    "æ": "ae", "Æ": "Ae", "œ": "oe", "Œ": "Oe", "đ": "dj", "Đ": "Dj",
})  # fmt: skip
_CYRILLIC = dict(zip("абвгґдеёєзиіїклмнопрстуфыэћђљњџјў", (
    "a", "b", "v", "g", "g", "d", "e", "e", "e", "z", "i", "i", "i", "k", "l", "m", "n", "o", "p", "r", "s", "t", "u",
    "f", "y", "e", "c", "dj", "lj", "nj", "dz", "j", "u",
), strict=True)) | {"ъ": "", "ь": ""}  # fmt: skip
_WAYS = tuple(
    dict(zip("йжхцчшщюя", way, strict=True))
    for way in (
        ("i", "zh", "kh", "ts", "ch", "sh", "shch", "iu", "ia"),  # ICAO 9303, as passports have it
        ("y", "zh", "kh", "ts", "ch", "sh", "shch", "yu", "ya"),  # BGN/PCGN
        ("j", "z", "h", "c", "c", "s", "sc", "ju", "ja"),  # ISO 9 without its signs
    )
)
_GREEK = dict(zip("αβγδεζηθικλμνξοπρσςτυφχψωϊάέήίόύώ", (
    "a", "v", "g", "d", "e", "z", "i", "th", "i", "k", "l", "m", "n", "x", "o", "p", "r", "s", "s", "t", "y", "f", "ch",
    "ps", "o", "i", "a", "e", "i", "i", "o", "y", "o",
), strict=True))  # fmt: skip
# ISO 843, and what is put together: ου is ou
_ROMANISED = tuple(str.maketrans(_CYRILLIC | way | _GREEK) for way in _WAYS)


def without_strokes(text: str) -> str:
    """Return a text in small letters without strokes, and its katakana as hiragana.

    >>> without_strokes("łódź")
    'lódź'
    """
    return text if text.isascii() else text.translate(_STROKES)


def spelt_out(text: str) -> str:
    """Return a text with two letters for one, as in ``Mueller``."""
    return text.translate(_SPELT_OUT)


def romanised(text: str) -> Iterator[str]:
    """Yield a text in Cyrillic or Greek in the letters of ASCII, in the usual ways.

    >>> sorted(romanised("Юлия"))
    ['iuliia', 'julija', 'yuliya']
    """
    lower = text.casefold()
    if any("\u0370" <= one <= "\u052f" for one in lower):
        yield from {lower.replace("ου", "ou").translate(way) for way in _ROMANISED}
