"""A DICOM instance → what in it tells whose it is: every element at every depth, private ones, what stands around."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from fw_gear_deid.deid.incoming import Incoming
from fw_gear_deid.formats.dicom import part10, values
from fw_gear_deid.formats.dicom.every import Every
from fw_gear_deid.formats.dicom.level import Found, Level
from fw_gear_deid.formats.dicom.part10 import Parts
from fw_gear_deid.formats.dicom.wire import EXPLICIT_LITTLE, PIXEL_TAGS
from fw_gear_deid.model.dictionary import format_tag, is_private, is_private_creator, keyword_of, known_vr
from fw_gear_deid.model.errors import Unfit
from fw_gear_deid.scan import words
from fw_gear_deid.scan.findings import Finding
from fw_gear_deid.standard import risks
from fw_gear_deid.verify.known import Known

_LONGEST = 1 << 20
"""Bytes of the longest value that is looked into; longer ones are pixels, or told as not looked at."""
_METHOD = 0x00120063
_PICTURES = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
"""With which a preamble begins that lets other programs read the pixels (PS3.10 §7.1)."""


class Header:
    """One instance, read.

    Attributes
    ----------
    known : Known
        What its identifiers say.
    method : str
        DeidentificationMethod, as it says it.
    fields : dict of str to bool
        Of the identifiers that Penn's utilities look at: keyword → whether it has a letter or digit in it.

    Raises
    ------
    Unfit
        It cannot be read.
    """

    def __init__(self, incoming: Incoming) -> None:
        self._incoming = incoming
        self._parts: Parts = incoming.enough(
            lambda: part10.read(incoming.data, Every(EXPLICIT_LITTLE), Every, incoming.total)
        )
        self.known = Known()
        self.fields: dict[str, bool] = {}
        self.method = ""
        self._texts: dict[int, tuple[str, ...]] = {}
        self._private: Counter[str] = Counter()
        self._unread: list[Finding] = []

    def identifiers(self) -> Iterator[Finding]:
        """Yield the identifiers that tell somebody; what they say is known from then on."""
        for level, one, path in self._elements():
            tag = one.want.tag
            if is_private(tag):
                if not is_private_creator(tag):
                    self._private[level.creator_of(tag) or "no creator"] += 1
                continue
            texts = self._texts_of(level, one)
            if level.parent is None:
                self._texts[tag] = texts
            keyword = keyword_of(tag)
            said = "\\".join(texts)
            if keyword in words.PENN:
                filled = one.items is not None and bool(one.items)
                has_letter = filled or any(letter.isalnum() for letter in said)
                if said.strip("\0 ") or filled:
                    self.fields[keyword] = self.fields.get(keyword, False) or has_letter
            if tag == _METHOD:
                self.method = self.method or said
            if not words.names_person(tag) or one.items is not None:
                continue
            if not words.says_nobody(said):
                if words.is_of_person(tag):
                    self.known.add(said, one.want.vr, keyword)
                yield Finding("identifier", path, keyword, said)

    def others(self, known: Known) -> Iterator[Finding]:
        """Yield what else tells somebody; ``identifiers`` comes first.

        Parameters
        ----------
        known : Known
            What the identifiers of the file say.
        """
        for level, one, path in self._elements():
            yield from self._other(level, one, path, known)
        yield from self._unread
        for creator, number in sorted(self._private.items()):
            yield Finding("private", creator, f"{number} element{'s' if number > 1 else ''}")
        for word in risks.risks_of(self._texts):
            yield Finding("risk", "", f"{word}: {risks.MEANT[word]}")
        yield from self._around(known)

    def _other(self, level: Level, one: Found, path: str, known: Known) -> Iterator[Finding]:
        tag = one.want.tag
        if one.items is not None or tag in PIXEL_TAGS or words.names_person(tag):
            return
        keyword = keyword_of(tag) or format_tag(tag)
        vr = known_vr(tag, level.creator_of(tag), one.want.vr) if is_private(tag) else one.want.vr
        if one.end - one.value > _LONGEST:
            self._unread.append(Finding("unread", path, f"{keyword}: a value of more than {_LONGEST >> 20} MB"))
            return
        if vr in words.TEXT_VRS:
            for text in self._texts_of(level, one):
                if not words.is_makers(tag) and known.told_by(text):
                    yield Finding("repeated", path, keyword, text)
                elif not words.is_code(tag) and (told := words.tells(text, numbers=not is_private(tag))):
                    yield Finding("text", path, told, text)
        elif vr in ("OB", "UN", "OW") and known.told_by_bytes(self._raw(level, one)):
            yield Finding("repeated", path, keyword)

    def _around(self, known: Known) -> Iterator[Finding]:
        """Yield what stands before and behind the data set."""
        parts = self._parts
        places = {"the preamble": parts.src[:128] if parts.has_prefix else b""}
        if not parts.deflated:
            places["bytes behind the data set"] = parts.body_src[parts.body.end : parts.body.end + _LONGEST]
        for place, data in places.items():
            if known.told_by_bytes(data):
                yield Finding("repeated", place, place)
            elif data.strip(b"\0") and data[:4] not in _PICTURES:
                yield Finding("risk", place, "bytes that are no zeros stand there")

    def _elements(self) -> Iterator[tuple[Level, Found, str]]:
        """Yield every element with its data set and its path without the numbers of items."""
        for top in (self._parts.meta, self._parts.body):
            for level in top.levels():
                prefix = _path(level)
                for one in level.found:
                    yield level, one, prefix + (keyword_of(one.want.tag) or _private_name(level, one))

    def _raw(self, level: Level, one: Found) -> bytes:
        top = level
        while top.parent is not None:
            top = top.parent
        src = self._parts.src if top is self._parts.meta else self._parts.body_src
        return bytes(src[one.value : one.end])

    def _texts_of(self, level: Level, one: Found) -> tuple[str, ...]:
        if one.items is not None or one.want.vr == "SQ" or one.end - one.value > _LONGEST:
            return ()
        try:
            return values.decode(
                self._raw(level, one), one.want.vr, _encodings(level), little=level.place.encoding.little
            )
        except Unfit:
            if one.want.vr in words.TEXT_VRS:
                self._unread.append(
                    Finding("unread", _path(level) + keyword_of(one.want.tag), "no text of its character set")
                )
            return ()


def _encodings(level: Level) -> tuple[str, ...]:
    at: Level | None = level
    while at is not None:
        if at.charset is not None:
            return values.encodings_of(at.charset)
        at = at.parent
    return values.encodings_of(None)


def _path(level: Level) -> str:
    steps = []
    at = level
    while at.parent is not None:
        steps.append(keyword_of(at.tag) or format_tag(at.tag))
        at = at.parent
    return "".join(f"{step}." for step in reversed(steps))


def _private_name(level: Level, one: Found) -> str:
    creator = level.creator_of(one.want.tag)
    return f'{format_tag(one.want.tag)} "{creator}"' if creator else format_tag(one.want.tag)
