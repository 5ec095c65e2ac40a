"""``alter_pixels`` of the ``dicom`` section → masks: where, in which frames, of which images (§6.6)."""

from __future__ import annotations

import re
from collections.abc import Iterator

from fw_gear_deid.model.boxes import Box
from fw_gear_deid.profile.compiled import Mask
from fw_gear_deid.profile.language.addresses import BadName
from fw_gear_deid.profile.language.conditions import When, parse_condition
from fw_gear_deid.profile.language.section import Section
from fw_gear_deid.profile.text.nodes import Listing, Mapping, Node, Scalar
from fw_gear_deid.profile.text.problems import did_you_mean

WORDS = ("alter_pixels", "alter-pixels")
OUTSIDE = "outside-regions"
_KEYS = {"pixels": "list", "rectangles": "str", "detect": "list"}
_ENTRY = {"when": "str", "remove": "any", "keep": "any", "frames": "list"}
_FRAMES = re.compile(r"([1-9]\d{0,8})(?:-([1-9]\d{0,8})?)?")
_LINE = re.compile(r"(ctp|)(keep|)coordinates\s+(.+)", re.IGNORECASE)
_MOST = 1 << 20  # columns and rows; no image has as many
_CORNERS = "x0, y0, x1, y1: whole numbers from 0, x0 less than x1, y0 less than y1; the last ones are outside"


def parse_masks(section: Section) -> tuple[Mask, ...]:
    """Return the masks of a section; what is wrong goes to its problems."""
    word = next((one for one in WORDS if section.options.get(one) is not None), "")
    node = section.options.get(word)
    if node is None:
        return ()
    if section.options.get(WORDS[1]) is not None and word != WORDS[1]:
        section.complain(WORDS[1], f"the same as {WORDS[0]}: write one of them")
    where = f"{section.key}.{word}"
    if not isinstance(node, Mapping):
        section.complain(word, "a mapping: 'pixels:' with a list of entries, or 'rectangles: |' with lines")
        return ()
    _check_keys(section, node, _KEYS, where)
    _refuse_recipes(section, node.get("detect"), where)
    masks: list[Mask] = []
    pixels, lines = node.get("pixels"), node.get("rectangles")
    for number, entry in enumerate(pixels.items if isinstance(pixels, Listing) else ()):
        masks += _entry(section, entry, f"{where}.pixels[{number}]", blanked=any(map(_blanks, masks)))
    if isinstance(lines, Scalar) and not lines.unknown:
        masks += _lines(section, lines, f"{where}.rectangles")
    if not masks and not section.problems.fatal:
        section.complain(word, "it masks nothing: write 'pixels:' with a list of entries")
    return tuple(masks)


def _blanks(mask: Mask) -> bool:
    return mask.outside or any(box.blank for box in mask.boxes)


def _check_keys(section: Section, node: Mapping, known: dict[str, str], where: str) -> bool:
    good = True
    for key, value in node.entries:
        if key.text not in known:
            message = f"unknown key {key.text!r}{did_you_mean(key.text, known)}"
            section.problems.error(key.line, key.column, where, message)
            good = False
        else:
            good = section.check(value, known[key.text], f"{where}.{key.text}") and good
    return good


def _refuse_recipes(section: Section, node: Node | None, where: str) -> None:
    for item in node.items if isinstance(node, Listing) else ():
        message = (
            "recipes of other programs are not in this one; put the lines of the one that you mean below "
            "'rectangles: |', or write 'pixels:'"
        )
        section.problems.error(item.line, item.column, f"{where}.detect", message)


# -- entries -------------------------------------------------------------------------------------------


def _entry(section: Section, node: Node, where: str, *, blanked: bool) -> Iterator[Mask]:
    """Yield the mask of an entry of ``pixels``."""
    if not isinstance(node, Mapping):
        section.problems.error(node.line, node.column, where, "an entry has 'when' and one of 'remove' and 'keep'")
        return
    if not _check_keys(section, node, _ENTRY, where):
        return
    when, remove, keep = (node.get(key) for key in ("when", "remove", "keep"))
    if when is None or (remove is None) == (keep is None):
        section.problems.error(node.line, node.column, where, "an entry has 'when' and one of 'remove' and 'keep'")
        return
    if keep is not None and not blanked:
        message = "it leaves part of what an entry before it removes, and there is none: it would mask nothing"
        section.problems.error(keep.line, keep.column, f"{where}.keep", message)
        return
    condition = _condition(section, when, f"{where}.when")
    frames = _frames(section, node.get("frames"), f"{where}.frames")
    area = remove or keep
    outside = isinstance(remove, Scalar) and remove.text == OUTSIDE
    boxes = () if outside or area is None else _box(section, area, f"{where}.{'remove' if remove else 'keep'}", remove)
    if condition is not None and (boxes or outside):
        yield Mask(condition, boxes, outside, frames, section.label(node.line))


def _condition(section: Section, node: Node, where: str) -> When | None:
    try:
        return parse_condition(node.text if isinstance(node, Scalar) else "")
    except BadName as error:
        section.problems.error(node.line, node.column, where, str(error))
        return None


def _box(section: Section, node: Node, where: str, remove: Node | None) -> tuple[Box, ...]:
    """Return the rectangle of ``remove`` or ``keep``."""
    items = node.items if isinstance(node, Listing) else ()
    texts = [item.text for item in items if isinstance(item, Scalar) and item.kind == "int"]
    if len(items) != 4:
        either = f", or '{OUTSIDE}'" if remove is not None else ""
        section.problems.error(node.line, node.column, where, f"must be 4 values{either}: {_CORNERS}")
        return ()
    box = _corners(texts, blank=remove is not None)
    if box is None:
        section.problems.error(node.line, node.column, where, _CORNERS)
        return ()
    return (box,)


def _corners(texts: list[str], *, blank: bool) -> Box | None:
    if len(texts) != 4 or not all(re.fullmatch(r"\d{1,7}", text, re.ASCII) for text in texts):
        return None
    x0, y0, x1, y1 = map(int, texts)
    return Box(blank, x0, y0, x1, y1) if x0 < x1 <= _MOST and y0 < y1 <= _MOST else None


def _frames(section: Section, node: Node | None, where: str) -> tuple[tuple[int, int], ...]:
    """Return the frames of an entry as first and last, from 1; none for all of them."""
    found = []
    for item in node.items if isinstance(node, Listing) else ():
        match = _FRAMES.fullmatch(item.text) if isinstance(item, Scalar) else None
        first, last = (int(match[1]), int(match[2] or 1 << 31)) if match else (1, 0)
        if match and "-" not in match[0]:
            last = first
        if first > last:
            message = "frames are numbers from 1, or first and last in quotes: '2-5', '7-'"
            section.problems.error(item.line, item.column, where, message)
            continue
        found.append((first, last))
    if isinstance(node, Listing) and not node.items:
        section.problems.error(node.line, node.column, where, "no frames: it would mask nothing")
    return tuple(found)


# -- lines ---------------------------------------------------------------------------------------------


def _lines(section: Section, node: Scalar, where: str) -> Iterator[Mask]:
    """Yield the masks of a file of rectangles: ``LABEL`` lines, conditions below them, and their coordinates.

    Conditions stand as in ``when``; ``coordinates x0,y0,x1,y1`` blanks, ``keepcoordinates`` leaves, ``all`` is the
    whole image, and with ``ctp`` in front the last two are width and height.
    """
    groups: list[list[tuple[int, str]]] = []
    for number, line in enumerate(node.text.splitlines(), node.line + 1):
        text = line.split("#")[0].strip()
        if re.match(r"label\b", text, re.IGNORECASE):
            groups.append([])
        elif not text or re.match(r"(format\b|%)", text, re.IGNORECASE):
            continue
        elif groups:
            groups[-1].append((number, text))
        else:
            section.problems.error(number, 1, where, "lines stand below one that begins with LABEL")
            return
    for group in groups:
        yield from _group(section, group, where)


def _group(section: Section, group: list[tuple[int, str]], where: str) -> Iterator[Mask]:
    tests: list[str] = []
    boxes: list[Box] = []
    outside = False
    for number, text in group:
        match = _LINE.fullmatch(text)
        if match is None:
            tests.append(text)
            continue
        ctp, keep, area = bool(match[1]), bool(match[2]), match[3].replace(" ", "")
        if keep and area.lower() in ("from:sequenceofultrasoundregions", "regions"):
            outside = True
            continue
        if area.lower() == "all":
            boxes.append(Box(not keep, 0, 0, _MOST, _MOST))
            continue
        texts = area.split(",")
        if ctp and len(texts) == 4 and all(map(str.isdecimal, texts)):
            texts = [*texts[:2], *(str(int(texts[one]) + int(texts[one + 2])) for one in (0, 1))]
        box = _corners(texts, blank=not keep)
        if box is None:
            section.problems.error(number, 1, where, _CORNERS)
            return
        boxes.append(box)
    if not group:
        return
    line = group[0][0]
    try:
        condition = parse_condition("\n".join(tests)) if tests else When(())
    except BadName as error:
        section.problems.error(line, 1, where, str(error))
        return
    if not outside and not any(box.blank for box in boxes):
        section.problems.error(line, 1, where, "no coordinates below this LABEL: it would mask nothing")
        return
    yield Mask(condition, tuple(boxes), outside, (), section.label(line))
