"""What an object says of itself → words for what may tell whose it is though no rule for its elements does.

The table is ``risks.tsv``; ``accept`` in a profile names the words whose files may leave as they are.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from fw_gear_deid.model.dictionary import tag_of

TABLE = "risks.tsv"  # word, SOP classes, conditions
WORDS = ("burned-in", "documents", "reports", "annotations", "raw", "private-sop", "slides", "faces")
"""In the order of reports."""
COUNTED = frozenset({"faces"})
"""Those that refuse no file."""
COVERED = {"reports": "clean-structured-content", "annotations": "clean-graphics"}
"""Risk → the option of PS3.15 that takes it away."""
MEANT = {
    "burned-in": "text may be drawn into its pixels",
    "documents": "a document or a recording is in it",
    "reports": "it is a report",
    "annotations": "graphics and notes are in it",
    "raw": "its data only the vendor can read",
    "private-sop": "its SOP class is of no standard",
    "slides": "it may show the label of a slide",
    "faces": "it may show a face",
}
SOP_CLASS = 0x00080016
_STANDARD = "1.2.840.10008."
_CONDITION = re.compile(r"(!?)([\w|]+?)(?:(!=|<=|=|~)(.+))?")
Texts = Mapping[int, tuple[str, ...]]
"""Tag → values, of elements that are there; none of a sequence."""


class Line(NamedTuple):
    """One line of the table.

    Attributes
    ----------
    word : str
    classes : tuple of str
        UIDs, ``1.2.3.*``, ``*`` or ``?``.
    holds : tuple of callable
        Each tells by the texts whether it holds.
    """

    word: str
    classes: tuple[str, ...]
    holds: tuple[Callable[[Texts], bool], ...]


class _Table(NamedTuple):
    lines: tuple[Line, ...]
    tags: frozenset[int]


@lru_cache(maxsize=1)
def _table() -> _Table:
    lines, tags = [], {SOP_CLASS}
    for text in Path(__file__).with_name(TABLE).read_text(encoding="utf-8").splitlines():
        if text and not text.startswith("#"):
            word, classes, *conditions = text.split("\t")
            read = [_condition(one) for one in conditions]
            lines.append(Line(word, tuple(classes.split("|")), tuple(holds for _, holds in read)))
            tags.update(*(used for used, _ in read))
    return _Table(tuple(lines), frozenset(tags))


def tags() -> frozenset[int]:
    """Return the elements of the top level that the table goes by."""
    return _table().tags


def risks_of(texts: Texts, media_class: str = "") -> tuple[str, ...]:
    """Return the words for an object, in the order of ``WORDS``.

    Parameters
    ----------
    texts : mapping of int to tuple of str
        What ``tags`` asks for, as the object came.
    media_class : str
        MediaStorageSOPClassUID, which counts where the data set names no class. None at all is of no standard.
    """
    own = texts.get(SOP_CLASS) or (media_class,)
    shared = _of_class(own[0].strip("\0 "))
    found = {line.word for line in shared if all(holds(texts) for holds in line.holds)}
    return tuple(word for word in WORDS if word in found)


@lru_cache(maxsize=256)
def _of_class(uid: str) -> tuple[Line, ...]:
    """Return the lines that speak of a SOP class."""
    return tuple(line for line in _table().lines if any(_is_of(uid, one) for one in line.classes))


def _is_of(uid: str, classes: str) -> bool:
    if classes == "?":
        return not uid.startswith(_STANDARD)
    return uid.startswith(classes[:-1]) if classes.endswith("*") else uid == classes


def uncovered(words: Collection[str], options: Collection[str], accepted: Collection[str]) -> tuple[str, ...]:
    """Return the risks for which a file is refused under ``ps3-15``: no option covers them, ``accept`` names none.

    Parameters
    ----------
    words : collection of str
        As ``risks_of``.
    options : collection of str
        Of PS3.15, as the profile has them.
    accepted : collection of str
    """
    left = remaining(words, options)
    return tuple(word for word in left if word not in COUNTED and word not in accepted)


def remaining(words: Collection[str], options: Collection[str]) -> tuple[str, ...]:
    """Return the risks that no option of PS3.15 takes away."""
    return tuple(word for word in words if COVERED.get(word) not in options)


# -- conditions --------------------------------------------------------------------------------------------


def _condition(text: str) -> tuple[frozenset[int], Callable[[Texts], bool]]:
    """Return the tags of a condition of the table, and what tells whether it holds."""
    found = _CONDITION.fullmatch(text)
    assert found is not None, text  # noqa: S101 -- the table is ours, and a test reads all of it
    absent, keywords, sign, value = found.groups()
    tags = tuple(tag for keyword in keywords.split("|") if (tag := tag_of(keyword)) is not None)
    assert len(tags) == keywords.count("|") + 1, text  # noqa: S101 -- as above
    if not sign:
        return frozenset(tags), _there(tags, wanted=not absent)
    return frozenset(tags), _MADE[sign](tags, value)


def _there(tags: tuple[int, ...], *, wanted: bool) -> Callable[[Texts], bool]:
    if wanted:
        return lambda texts: any(tag in texts for tag in tags)
    return lambda texts: not any(any(map(str.strip, texts.get(tag, ()))) for tag in tags)


def _equals(tags: tuple[int, ...], value: str) -> Callable[[Texts], bool]:
    wanted = frozenset(value.split("|"))
    return lambda texts: any(one.strip("\0 ").upper() in wanted for tag in tags for one in texts.get(tag, ()))


def _differs(tags: tuple[int, ...], value: str) -> Callable[[Texts], bool]:
    equals = _equals(tags, value)
    return lambda texts: not equals(texts)


def _begins(tags: tuple[int, ...], value: str) -> Callable[[Texts], bool]:
    words = re.compile(rf"(?<![^\W\d_])(?:{'|'.join(map(re.escape, value.split('|')))})", re.IGNORECASE)
    return lambda texts: any(words.search(one) for tag in tags for one in texts.get(tag, ()))


def _at_most(tags: tuple[int, ...], value: str) -> Callable[[Texts], bool]:
    most = float(value)

    def holds(texts: Texts) -> bool:
        return all(_number(one) <= most for tag in tags for one in texts.get(tag, ()))

    return holds


def _number(text: str) -> float:
    """Return a number; what is none is no thickness, so that it counts as absent."""
    try:
        return float(text)
    except ValueError:
        return 0.0


_MADE = {"=": _equals, "!=": _differs, "~": _begins, "<=": _at_most}
