"""Text of a ``when`` → a condition on elements: ``contains Modality US + equals Manufacturer ACME`` (§6.6)."""

from __future__ import annotations

import re

from fw_gear_deid.model.frozen import frozen
from fw_gear_deid.model.patterns import Pattern
from fw_gear_deid.model.selectors import TagAt
from fw_gear_deid.profile.language.addresses import BadName, compile_pattern, parse_name

WITH_VALUE = ("contains", "notcontains", "equals", "notequals")
ALONE = ("missing", "empty", "present")
_WORDS = "|".join((*WITH_VALUE, *ALONE))
# an operator joins two tests only where one follows: a value may hold '+' and '|'
_JOINT = re.compile(rf"\s*(\+|\|\||\n)\s*(?=(?:not\s+)?(?:{_WORDS})\s)", re.IGNORECASE)
_TEST = re.compile(rf"(not\s+)?({_WORDS})\s+(\([^)]*\)|\S+)(?:\s+(.*))?", re.IGNORECASE | re.DOTALL)


@frozen
class Test:
    """One test of an element of the top level.

    Attributes
    ----------
    word : str
        One of ``WITH_VALUE`` and ``ALONE``.
    tag : int
    value : str
        For ``equals`` and ``notequals``, in lower case.
    pattern : Pattern or None
        For ``contains`` and ``notcontains``.
    negated : bool
        ``not`` stands before it.
    """

    word: str
    tag: int
    value: str = ""
    pattern: Pattern | None = None
    negated: bool = False


@frozen
class When:
    """Tests, each with how it goes with all before it: ``and`` or ``or``, from left to right."""

    steps: tuple[tuple[str, Test], ...]

    @property
    def tags(self) -> frozenset[int]:
        """Elements that it asks for."""
        return frozenset(test.tag for _, test in self.steps)


def parse_condition(text: str) -> When:
    """Return the condition of a ``when``; lines without an operator must all hold.

    Raises
    ------
    BadName
        Its text says what is wrong.
    """
    lines = [line.split("#")[0].strip() for line in text.strip().splitlines()]
    joined = "\n".join(line for line in lines if line)
    operator = "and"
    if match := re.match(r"(\+|\|\|)\s*", joined):
        joined = joined[match.end() :]
    parts = _JOINT.split(re.sub(r"\n\s*(\+|\|\|)", r" \1", joined))
    steps = []
    for part, joint in zip(parts[::2], [*parts[1::2], ""], strict=True):
        steps.append((operator, _test(part.strip())))
        operator = "or" if joint == "||" else "and"
    return When(tuple(steps))


def _test(text: str) -> Test:
    match = _TEST.fullmatch(text)
    if match is None:
        raise BadName(f"not a condition; write one of {', '.join((*WITH_VALUE, *ALONE))}, then a keyword")
    negated, word, name, value = bool(match[1]), match[2].lower(), match[3], (match[4] or "").strip()
    selector = parse_name(name)
    if not isinstance(selector, TagAt):
        raise BadName(f"{name!r}: a condition asks for a keyword or tag of the top level")
    if word in ALONE:
        if value:
            raise BadName(f"{word!r} takes a keyword and nothing behind it")
        return Test(word, selector.tag, negated=negated)
    if not value:
        raise BadName(f"{word!r} takes a keyword and a value")
    if word in ("equals", "notequals"):
        return Test(word, selector.tag, value.lower(), negated=negated)
    return Test(word, selector.tag, pattern=compile_pattern(value, re.IGNORECASE), negated=negated)
