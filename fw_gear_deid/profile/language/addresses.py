"""Field names of the ``dicom`` section → selectors (profile language §6.1)."""

from __future__ import annotations

import re

from fw_gear_deid.model import dictionary, patterns
from fw_gear_deid.model.patterns import Pattern
from fw_gear_deid.model.selectors import AnySelector, GroupsAt, PathAt, PrivateAt, RegexAt, Selector, TagAt, VrAt
from fw_gear_deid.profile.text.problems import did_you_mean

_HEX = re.compile(r"(?:0x)?([0-9a-fA-F]{8})")
_TUPLE = re.compile(r"\(\s*([0-9a-fA-F]{4})\s*,\s*([0-9a-fA-F]{4})\s*\)")
_GROUPS = re.compile(
    r"\(\s*(?:0x)?([0-9a-fA-F]{2})[xX]{2}\s*,\s*(?:0x)?([0-9a-fA-F]{4})\s*\)"
    r"|(?:0x)?([0-9a-fA-F]{2})[xX]{2}([0-9a-fA-F]{4})"
)
# the element as two digits, or one; behind a block number, as tags are written, or 'xx' for any block
_PRIVATE = re.compile(
    r"""\(\s*(?:0x)?([0-9a-fA-F]{4})\s*,\s*(?P<quote>["']?)([^\\"()]{1,64}?)(?P=quote)\s*,"""
    r"""\s*(?:0x)?(?:([0-9a-fA-F]{2}|[xX]{2})?([0-9a-fA-F]{2})|([0-9a-fA-F]))\s*\)"""
)
_ANY_TAG = re.compile(r"\W*(?:0?x)?([0-9a-fA-F]{4})\W*(?:0?x)?([0-9a-fA-F]{4})[hH]?\W*")
_BLOCK = re.compile(r"\W*([0-9a-fA-F]{4})\W*[xX]{2}([0-9a-fA-F]{2})\W*")


class BadName(ValueError):
    """The text is no address of an element; says why and what may have been meant."""


def parse_name(text: str) -> Selector:
    """Return the selector of a ``name``.

    Raises
    ------
    BadName
    """
    name = text.strip()
    if match := _TUPLE.fullmatch(name):
        return TagAt(int(match.group(1) + match.group(2), 16))
    if match := _HEX.fullmatch(name):
        return TagAt(int(match.group(1), 16))
    if match := _GROUPS.fullmatch(name):
        group, element = match.group(1) or match.group(3), match.group(2) or match.group(4)
        if group not in ("50", "60"):
            raise BadName("only the groups 50xx and 60xx repeat")
        return GroupsAt(int(group, 16) << 8, int(element, 16))
    if name.startswith("("):
        match = _PRIVATE.fullmatch(name)
        if match is None and ")" not in name:
            raise BadName("a tag, cut off at its comma: put it in quotes inside { }")
        if match is None:
            raise BadName(_how_to_write(name) or f"not a tag; {_FORMS}")
        if not match.group(3).strip():
            raise BadName("a private element needs the name of its creator")
        if not int(match.group(1), 16) & 1:
            raise BadName("not a private tag: the group of a private element is odd")
        return PrivateAt(int(match.group(1), 16), match.group(3).strip(), int(match.group(5) or match.group(6), 16))
    if "." in name:
        return _parse_path(name)
    if how := _how_to_write(name):
        raise BadName(how)
    keyword = dictionary.keywords().get(name.lower())
    if keyword is None:
        raise BadName(f"not in the DICOM dictionary: {name!r}{did_you_mean(name, dictionary.keywords().values())}")
    tag = dictionary.tag_of(keyword)
    assert tag is not None  # noqa: S101 -- keywords() lists what tag_of() knows
    return TagAt(tag)


_FORMS = 'write (gggg,eeee), or (gggg, "creator", ee) for a private element'


def _how_to_write(name: str) -> str:
    """Return how to write what looks like a tag or a private element in another spelling; empty for a word."""
    if match := _ANY_TAG.fullmatch(name):
        return f'a tag is written in parentheses and quotes: "({match[1]},{match[2]})"'
    if match := _BLOCK.fullmatch(name):
        return f'a private element is addressed by its creator: ({match[1]}, "CREATOR", {match[2]})'
    return f"not a tag; {_FORMS}" if re.search(r"[,\[\]()\"]", name) else ""


def spelling_note(name: str) -> str:
    """Return what to warn of in an address that is read, though it says something without a meaning."""
    match = _PRIVATE.fullmatch(name.strip())
    block = match.group(4) if match else None
    if match is None or block is None or block.lower() == "xx":
        return ""
    read = f'({match[1]}, "{match[3].strip()}", {match[5]})'
    return f"read as {read}: with a creator the number of the block, {block}, says nothing"


def _parse_path(name: str) -> PathAt:
    parts = name.split(".")
    if len(parts) < 3 or not len(parts) % 2:
        raise BadName("a path is SEQUENCE.INDEX.ELEMENT; write an item index or '*' between the elements")
    steps = []
    for sequence, index in zip(parts[:-1:2], parts[1:-1:2], strict=True):
        tag = _parse_step(sequence)
        if dictionary.public_vr(tag) not in ("SQ", None):
            raise BadName(f"{sequence!r} is no sequence, so nothing can be below it")
        if index != "*" and not index.isdecimal():
            raise BadName(f"{index!r} is no item index; write a number from 0, or '*' for every item")
        if len(index.lstrip("0")) > 4:
            raise BadName("an item index with more than 4 digits is beyond any real sequence")
        steps.append((tag, None if index == "*" else int(index)))
    return PathAt(tuple(steps), _parse_step(parts[-1]))


def _parse_step(part: str) -> int:
    if match := _HEX.fullmatch(part):
        return int(match.group(1), 16)
    tag = dictionary.tag_of(part)
    if tag is None:
        raise BadName(
            f"not in the DICOM dictionary, in this spelling: {part!r}"
            f"{did_you_mean(part, dictionary.keywords().values())}"
        )
    return tag


def is_keyword(name: str) -> bool:
    """Tell whether a name, or the last part of a path, is a keyword of the dictionary, and no number."""
    return name.strip().rpartition(".")[2].lower() in dictionary.keywords()


def parse_regex(text: str) -> RegexAt:
    """Return the selector of a ``regex``.

    Raises
    ------
    BadName
    """
    return RegexAt(compile_pattern(text), compile_pattern(text, re.IGNORECASE))


def compile_pattern(text: str, flags: int = 0) -> Pattern:
    """Return a compiled regular expression.

    Raises
    ------
    BadName
    """
    try:
        return patterns.compile_pattern(text, flags)
    except patterns.BadPattern as error:
        raise BadName(str(error)) from None


def vr_of(selector: AnySelector) -> str | None:
    """Return the VR of what a selector points at, as far as the dictionaries know."""
    match selector:
        case TagAt(tag) | PathAt(_, tag):
            return dictionary.public_vr(tag)
        case PrivateAt(group, creator, element):
            return dictionary.private_vr(group << 16 | 0x1000 | element, creator)
        case GroupsAt(group, element):
            return dictionary.public_vr(group << 16 | element)
        case VrAt((vr,)):
            return vr
        case _:
            return None
