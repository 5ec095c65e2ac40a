"""What rules encrypt ⇄ EncryptedAttributesSequence of the same instance (PS3.15 §E.1, PS3.3 §C.12.1.1.4).

An envelope holds ModifiedAttributesSequence with one item: the data set as far as it was encrypted, with the sequences
that elements stood in and the creators and character sets that they are read by, each byte as it was.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from fw_gear_deid.actions import Decrypt
from fw_gear_deid.ciphers import Ciphers
from fw_gear_deid.deid.dataset import Edited, outside, span_of
from fw_gear_deid.formats.dicom import part10, values
from fw_gear_deid.formats.dicom.level import CHARACTER_SET, Found, Level
from fw_gear_deid.formats.dicom.part10 import Parts, Splice
from fw_gear_deid.formats.dicom.recode import Everything, mended, recoded
from fw_gear_deid.formats.dicom.walk import Walker
from fw_gear_deid.formats.dicom.wire import EXPLICIT_LITTLE, HEAD, Cut, Encoding, header, item_header
from fw_gear_deid.model.dictionary import (
    CHARSET_VRS,
    format_tag,
    is_private,
    is_private_creator,
    keyword_of,
    knows_creator,
)
from fw_gear_deid.model.errors import Malformed, Odd, Unfit
from fw_gear_deid.model.locks import HIDDEN
from fw_gear_deid.model.outcome import Edit
from fw_gear_deid.plan.places import Places, RulePlace
from fw_gear_deid.profile.compiled import DicomSection, Rule
from fw_gear_deid.verify import fails
from fw_gear_deid.verify.source import Reader

ENVELOPE, _SYNTAX, _CONTENT, _MODIFIED = 0x04000500, 0x04000510, 0x04000520, 0x04000550
_EXPLICIT = b"1.2.840.10008.1.2.1\0"
_SEQUENCE_END = 8  # bytes of its delimiter
_UNDEFINED = b"\xff\xff\xff\xff"
Sealed = Sequence[tuple[Level, Found]]
"""Data set and element, of what goes into an envelope."""


# -- into it -------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Node:
    """A data set as far as it goes into an envelope: its elements, and items of sequences, by tag."""

    own: dict[int, bytes] = field(default_factory=dict)
    below: dict[int, dict[int, _Node]] = field(default_factory=dict)

    def written(self) -> bytes:
        """Return its elements in order; of a sequence that goes as a whole nothing more."""
        parts = self.own | {tag: _sequence(tag, items) for tag, items in self.below.items() if tag not in self.own}
        return b"".join(parts[tag] for tag in sorted(parts))


def _sequence(tag: int, items: dict[int, _Node]) -> bytes:
    empty = _Node()
    written = (items.get(index, empty).written() for index in range(max(items) + 1))
    built = b"".join(item_header(EXPLICIT_LITTLE, len(one)) + one for one in written)
    return header(tag, "SQ", EXPLICIT_LITTLE, len(built)) + built


def content_of(src: bytes, sealed: Sealed) -> bytes:
    """Return the data set to be encrypted, explicit VR little endian."""
    root = _Node()
    for level, one in sealed:
        node = _node(root, level)
        _beside(node, level, one.want.tag)
        node.own[one.want.tag] = recoded(src, one.start, one.end, level.place.encoding, EXPLICIT_LITTLE)
    inside = root.written()
    item = item_header(EXPLICIT_LITTLE, len(inside)) + inside
    return header(_MODIFIED, "SQ", EXPLICIT_LITTLE, len(item)) + item


def _node(root: _Node, level: Level) -> _Node:
    if level.parent is None:
        return root
    above = _node(root, level.parent)
    _beside(above, level.parent, level.tag)
    return above.below.setdefault(level.tag, {}).setdefault(level.index, _Node())


def _beside(node: _Node, level: Level, tag: int) -> None:
    """Add what an element is read by: its character set, and the creator of its block."""
    if level.charset is not None:
        node.own.setdefault(CHARACTER_SET, _element(CHARACTER_SET, "CS", level.charset))
    creator = level.creator_of(tag)
    if is_private(tag) and not is_private_creator(tag) and creator:
        text = creator.encode("iso8859")
        block = _block(tag)
        node.own.setdefault(block, _element(block, "LO", text + b" " * (len(text) % 2)))


def _element(tag: int, vr: str, value: bytes, encoding: Encoding = EXPLICIT_LITTLE) -> bytes:
    return header(tag, vr, encoding, len(value)) + value


def _block(tag: int) -> int:
    return tag & 0xFFFF0000 | tag >> 8 & 0xFF


def _sealed_in(
    parts: Parts, body: Sequence[Splice], sealed: Sealed, section: DicomSection, cipher: Ciphers
) -> tuple[list[Splice], Splice]:
    """Return splices of a data set with one more, and that one: the envelope with what they take away.

    Raises
    ------
    Unfit
        A key is not at hand, or a rule changes the envelopes that are there.
    """
    src, encoding = parts.body_src, parts.body.place.encoding
    content = content_of(src, sealed)
    cms = cipher.seal(section.lock, content)
    cipher.check(section.lock, cms, content)
    inside = _element(_SYNTAX, "UI", _EXPLICIT, encoding) + _element(_CONTENT, "OB", cms, encoding)
    item = item_header(encoding, len(inside)) + inside
    passed = Walker(src, parts.total).passed(parts.body, parts.body.end)
    there = next((one for one in passed if one.want.tag == ENVELOPE), None)
    if there is None:
        at = next((one.start for one in passed if one.want.tag > ENVELOPE), parts.body.end)
        splice = at, at, _element(ENVELOPE, "SQ", item, encoding)
        first = [
            one for one in body if one[:2] < (at, at) or (one[:2] == (at, at) and _tag(one[2], encoding) < ENVELOPE)
        ]
        return [*first, splice, *body[len(first) :]], splice
    old, others = _items(src, there), [one for one in body if not there.start <= one[0] < there.end]
    if len(others) < len(body):
        if (there.start, there.end, b"") not in body:
            raise Unfit(f"{format_tag(ENVELOPE)}: a rule changes the envelopes that are there; keep or remove them")
        old = b""
    splice = there.start, there.end, _element(ENVELOPE, "SQ", old + item, encoding)
    return sorted([*others, splice], key=lambda one: one[:2]), splice


def _items(src: bytes, one: Found) -> bytes:
    """Return the items of the envelopes that are there."""
    if one.want.wire != "SQ":
        raise Unfit(f"{format_tag(ENVELOPE)} is there already, with another VR than SQ")
    undefined = src[one.value - 4 : one.value] == _UNDEFINED
    return src[one.value : one.end - _SEQUENCE_END * undefined]


def _tag(element: bytes, encoding: Encoding) -> int:
    group, number = HEAD[encoding.little].unpack_from(element)[:2]
    return int(group << 16 | number)


def _row(sealed: Sealed, section: DicomSection) -> Edit:
    """Return the audit's row of an envelope."""
    own = [rule.label for rule in section.rules if rule.action.key == "encrypt"]
    rule = "retain" if section.retain else own[0]
    after = f"<{len(sealed)} elements encrypted>"
    return Edit(format_tag(ENVELOPE), keyword_of(ENVELOPE), "SQ", "encrypt", rule, "", after)


def enveloped(edited: Edited, written: bytes, cipher: Ciphers, *, checked: bool) -> tuple[bytes, Edit]:
    """Return a file with the envelope of what its rules took away, and the audit's row of that.

    Parameters
    ----------
    edited : Edited
    written : bytes
        The file without the envelope, which has passed its check.
    cipher : Ciphers
    checked : bool
        Make sure that nothing else has become different.

    Raises
    ------
    Unfit
    Cut
        More of the file is needed.
    """
    parts, section = edited.parts, edited.section
    body, splice = _sealed_in(parts, edited.body, edited.sealed, section, cipher)
    part10.behind(parts, body)
    result = b"".join(part10.write(parts, edited.meta, body)[0])
    if checked:
        one, other = (_joined(parts, edited.body), _joined(parts, body)) if parts.deflated else (written, result)
        _check(one, other, parts.body_src[splice[0] : splice[1]], splice[2])
    return result, _row(edited.sealed, section)


def _joined(parts: Parts, body: Sequence[Splice]) -> bytes:
    pieces: part10.Pieces = []
    part10.join(parts.body_src, parts.body.start, parts.body.end, body, pieces)
    return b"".join(pieces)


def _check(without: bytes, result: bytes, old: bytes, new: bytes) -> None:
    """Make sure that a result is what passed its check, and an envelope in it."""
    at = result.find(new)
    one, other = memoryview(without), memoryview(result)
    stood = len(old) if at >= 0 and one[at : at + len(old)] == old else 0
    if at < 0 or one[:at] != other[:at] or one[at + stood :] != other[at + len(new) :]:
        raise fails("an envelope is not where it should be")


# -- out of it -----------------------------------------------------------------------------------------


@dataclass(slots=True)
class Restored:
    """A file with what its rules decrypt.

    Attributes
    ----------
    parts : Parts
    edits : tuple of Edit
    matched : set of int
        Rules that found something in an envelope.
    """

    parts: Parts
    edits: tuple[Edit, ...] = ()
    matched: set[int] = field(default_factory=set)

    def of(self, matched: set[int], section: DicomSection) -> set[int]:
        """Return the rules that found something: of those that decrypt, the ones that found it in an envelope."""
        if not section.lock.opens:
            return matched
        decrypt = {rule.index for rule in section.rules if isinstance(rule.action, Decrypt)}
        return matched - decrypt | self.matched


def restored(parts: Parts, section: DicomSection, places: Places, cipher: Ciphers) -> Restored:
    """Put what rules decrypt back where it was, before any other rule runs; the envelopes stay.

    Parameters
    ----------
    parts : Parts
    section : DicomSection
    places : Places
        Of the section.
    cipher : Ciphers

    Raises
    ------
    Unfit
        There is no envelope, no key at hand opens one, or something stands where it was.
    Cut
        More of the file is needed.
    """
    if not section.lock.opens:
        return Restored(parts)
    rules = [rule for rule in section.rules if isinstance(rule.action, Decrypt)]
    if len(parts.src) != parts.total and not parts.deflated:
        raise Cut
    label = f"{rules[0].label} decrypt: "
    try:
        done = _Restoring(parts, rules, places)
        for src, level in _opened(parts, section, cipher):
            done.level(done.top, level, _Way(src, places.top(parts.body.place.encoding)))
    except Unfit as error:
        raise Unfit(f"{label}{error}") from None
    if not done.rows:
        return Restored(parts, matched=done.matched)
    splices = [(start, end, new) for start, end, _, new in sorted(done.splices, key=lambda one: one[:3])]
    paths = {row.path for row in (*outside(parts), *done.rows)}
    try:
        Reader().check(span_of(parts), (), splices, paths)
    except struct.error:
        raise fails("what was encrypted does not parse") from None
    data = b"".join(part10.write(parts, (), splices)[0])
    found = part10.read_plain(data, places.meta, places.top)
    found.fixes = parts.fixes
    return Restored(found, (*outside(parts), *done.rows), done.matched)


def _opened(parts: Parts, section: DicomSection, cipher: Ciphers) -> list[tuple[bytes, Level]]:
    """Return bytes and data set of what stands in the envelopes that a key at hand opens, the first one first."""
    src, place = parts.body_src, Everything(parts.body.place.encoding)
    top, _ = Walker(src, parts.total).beginning(place, parts.body.start)
    there = next((one for one in top.found if one.want.tag == ENVELOPE), None)
    envelopes = [
        src[one.value : one.end]
        for item in ((there.items or ()) if there is not None else ())
        for one in item.found
        if one.want.tag == _CONTENT and one.items is None
    ]
    if not envelopes:
        raise Unfit(f"there is nothing in {format_tag(ENVELOPE)}")
    problem: Unfit | None = None
    found = []
    for envelope in envelopes:
        try:
            content = cipher.open(section.lock, envelope, lambda one: _modified(one) is not None)
        except Unfit as error:
            problem = problem or error
            continue
        level = _modified(content)
        assert level is not None  # noqa: S101 -- it fits
        found.append((content, level))
    if problem is not None and not found:
        raise problem
    return found


def _modified(content: bytes) -> Level | None:
    """Return the item of ModifiedAttributesSequence; None of bytes that have none."""
    try:
        top = Walker(content).top(Everything(EXPLICIT_LITTLE), 0)
    except (Malformed, Odd, Cut):
        return None
    found = next((one for one in top.found if one.want.tag == _MODIFIED), None)
    return found.items[0] if found is not None and found.items else None


class _Way(NamedTuple):
    """Where a data set of an envelope stands in the file.

    Attributes
    ----------
    src : bytes
        The envelope's content.
    place : RulePlace
    path : str
    by : Rule, optional
        That points at a sequence around it.
    """

    src: bytes
    place: RulePlace
    path: str = ""
    by: Rule | None = None

    def inside(self, tag: int, item: Level, rule: Rule | None) -> _Way:
        """Return that of an item."""
        place = self.place.below(tag, item.index, item.place.encoding)
        return _Way(self.src, place, f"{self.path}{format_tag(tag)}[{item.index}]", rule)


class _Restoring:
    """Elements on their way back into a file."""

    def __init__(self, parts: Parts, rules: Sequence[Rule], places: Places) -> None:
        self._rules = rules
        self._creators = places.creators
        self._src = parts.body_src
        place = Everything(parts.body.place.encoding)
        self.top, _ = Walker(parts.body_src, parts.total).beginning(place, parts.body.start)
        self._done: set[tuple[int, int]] = set()
        self.splices: list[tuple[int, int, tuple[int, int], bytes]] = []
        """From where to where; what comes first of those at one place: deeper ones, then lower tags; and the bytes."""
        self.rows: list[Edit] = []
        self.matched: set[int] = set()

    def level(self, level: Level, kept: Level, way: _Way) -> int:
        """Put what was kept of a data set back into it; return by how much it grows."""
        delta = 0
        for one in kept.found:
            tag = one.want.tag
            rule = self._rule(kept, one, way)
            there = next((other for other in level.found if other.want.tag == tag), None)
            if there is not None and there.items and one.items is not None:
                delta += self._inside(level, there, one, way, rule)
            elif rule is not None:
                self.matched.add(rule.index)
                delta += self._element(level, kept, one, way, rule)
            elif one.items:
                self._none_inside(one, way)
        return delta

    def _rule(self, kept: Level, one: Found, way: _Way) -> Rule | None:
        tag = one.want.tag
        creator = "" if is_private_creator(tag) else kept.creator_of(tag)
        return next((rule for rule in self._rules if way.place.points(rule.selector, tag, creator)), way.by)

    def _inside(self, level: Level, there: Found, one: Found, way: _Way, rule: Rule | None) -> int:
        """Put back what was in the items of a sequence."""
        tag, items, delta = there.want.tag, there.items or [], 0
        for kept in one.items or ():
            if kept.index >= len(items):
                if kept.found and rule is not None:
                    raise self._lost(way, tag)
                self._none_inside(one._replace(items=[kept]), way)
                continue
            item = items[kept.index]
            grown = self.level(item, kept, way.inside(tag, item, rule))
            if grown and not item.undefined:
                little = item.place.encoding.little
                self._mend(item.start, item.end - item.start + grown, little=little)
            delta += grown
        if delta and self._src[there.value - 4 : there.value] != _UNDEFINED:
            little = level.place.encoding.little
            self._mend(there.value, there.end - there.value + delta, little=little)
        return delta

    def _mend(self, end: int, length: int, *, little: bool) -> None:
        start, end, new = mended(end, length, little=little)
        self.splices.append((start, end, (0, 0), new))

    def _none_inside(self, one: Found, way: _Way) -> None:
        """Make sure that no rule speaks of what was in items that are gone."""
        for kept in one.items or ():
            inside = way.inside(one.want.tag, kept, None)
            for other in kept.found:
                if self._rule(kept, other, inside) is not None:
                    raise self._lost(way, one.want.tag)
                self._none_inside(other, inside)

    def _lost(self, way: _Way, tag: int) -> Unfit:
        return Unfit(f"{way.path}{format_tag(tag)}: the item is gone in which something was encrypted")

    def _element(self, level: Level, kept: Level, one: Found, way: _Way, rule: Rule) -> int:
        tag, delta = one.want.tag, 0
        if (id(level), tag) in self._done:
            return 0
        self._done.add((id(level), tag))
        here = way.path + self._here(kept, tag)
        self._check_text(level, kept, one, way.src, here)
        block = _block(tag)
        creator = kept.creator_of(tag) if is_private(tag) and not is_private_creator(tag) else ""
        if creator and level.creator_of(tag) != creator and (id(level), block) not in self._done:
            if any(_block(other.want.tag) == block or other.want.tag == block for other in level.found):
                raise Unfit(f"{here}: its block is another one's here")
            delta += self._element(level, kept, next(own for own in kept.found if own.want.tag == block), way, rule)
        new = recoded(way.src, one.start, one.end, kept.place.encoding, level.place.encoding)
        there = next((other for other in level.found if other.want.tag == tag), None)
        at = next((other.start for other in level.found if other.want.tag > tag), level.end)
        start, end = (at, at) if there is None else (there.start, there.end)
        if self._src[start:end] == new:
            return delta
        self.splices.append((start, end, (-way.path.count("["), tag), new))
        self.rows.append(Edit(here, keyword_of(tag), one.want.vr, "decrypt", rule.label, "", HIDDEN["decrypt"]))
        return delta + len(new) - end + start

    def _here(self, kept: Level, tag: int) -> str:
        creator = kept.creator_of(tag) if is_private(tag) and not is_private_creator(tag) else ""
        if creator and (creator in self._creators or knows_creator(creator)):
            return f'({tag >> 16:04X},"{creator}",{tag & 0xFF:02X})'
        return format_tag(tag)

    def _check_text(self, level: Level, kept: Level, one: Found, src: bytes, here: str) -> None:
        """Make sure that text is read by the character set in which it was encrypted."""
        wide = one.items is not None or one.want.vr in CHARSET_VRS
        if not wide or (src[one.value : one.end].isascii() and b"\x1b" not in src[one.value : one.end]):
            return
        if values.encodings_of(_charset(level)) != values.encodings_of(_charset(kept)):
            raise Unfit(f"{here}: its character set is another one than that of the file; decrypt (0008,0005), too")


def _charset(level: Level | None) -> bytes | None:
    while level is not None and level.charset is None:
        level = level.parent
    return level.charset if level is not None else None
