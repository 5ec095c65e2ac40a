"""A DICOM file and what was done to it → what gives it back: bytes for the program, the DICOM JSON model for people."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from hashlib import sha256
from typing import Any

from fw_gear_deid.deid.undo import Back, Lost, Undo, Was, reversed_splices, told
from fw_gear_deid.formats.dicom import json_model, values
from fw_gear_deid.formats.dicom.fields import Fields
from fw_gear_deid.formats.dicom.json_model import MOST, Whole, is_by_digest
from fw_gear_deid.formats.dicom.level import Found, Level
from fw_gear_deid.formats.dicom.part10 import Parts, Splice
from fw_gear_deid.formats.dicom.walk import Walker
from fw_gear_deid.formats.dicom.wire import PIXEL_TAGS
from fw_gear_deid.model.dictionary import format_tag, is_private, is_private_creator
from fw_gear_deid.model.errors import Unfit
from fw_gear_deid.model.outcome import Edit
from fw_gear_deid.model.selectors import TagAt

TAGS = {
    "AccessionNumber": 0x00080050, "PatientBirthDate": 0x00100030, "PatientID": 0x00100020,
    "PatientName": 0x00100010, "StudyInstanceUID": 0x0020000D, "StudyID": 0x00200010, "StudyDate": 0x00080020,
    "StudyTime": 0x00080030, "StudyDescription": 0x00081030, "SeriesInstanceUID": 0x0020000E,
    "SeriesDate": 0x00080021, "SeriesTime": 0x00080031, "SeriesDescription": 0x0008103E,
    "TimezoneOffsetFromUTC": 0x00080201,
}  # fmt: skip
"""Keyword that the log is searched by → tag; StudyDateTime and SeriesDateTime are date and time together."""
ASKED = tuple(TagAt(tag) for tag in TAGS.values())
PATIENT_ID = "(0010,0020)"
_LENGTH = 4  # bytes of that of an item or a sequence
_TRAILING = "bytes after the last element"


def indexed(parts: Parts) -> dict[str, str]:
    """Return the texts by which the log is searched, as they came; those that are there."""
    src, level = parts.body_src, parts.body
    keywords = {tag: keyword for keyword, tag in TAGS.items()}
    raws = {
        one.want.tag: (src[one.value : one.end], one.want.vr)
        for one in level.found
        if one.items is None and one.want.tag in keywords
    }
    fields = Fields(raws, values.encodings_of(level.charset), level.place.encoding.little)
    found: dict[str, str] = {}
    for tag, (raw, _) in raws.items():
        try:
            text = "\\".join(fields.texts(tag)).strip(" \0")
        except Unfit:
            text = raw.decode("ascii", "replace").strip(" \0")
        if text:
            found[keywords[tag]] = text.replace("\0", "")
    for kind in ("Study", "Series"):
        if f"{kind}Date" in found and f"{kind}Time" in found:
            found[f"{kind}DateTime"] = found[f"{kind}Date"] + found[f"{kind}Time"]
    return found


def undo_dicom(
    parts: Parts,
    splices: tuple[Sequence[Splice], Sequence[Splice]],
    edits: Iterable[Edit],
    where: Callable[[Level, int], str],
    blanks: Iterable[Splice] = (),
) -> Undo:
    """Return what gives a DICOM file back.

    Parameters
    ----------
    parts : Parts
        As it came, and was made plain.
    splices : sequence of Splice, sequence of Splice
        Of file meta and data set, as they were carried out.
    edits : iterable of Edit
        The audit.
    where : callable
        Data set, tag → the element's place in the audit.
    blanks : iterable of Splice
        Those of the data set that take comments out of compressed frames.
    """
    listed = tuple(edits)
    work = _Work(parts, where, blanks)
    back = tuple(work.back(*splices))
    here = [edit for edit in listed if edit.before and edit.after and edit.before != edit.after]
    return Undo(
        f"deflated {parts.meta.end}" if parts.deflated else "bytes",
        back,
        tags=work.tags,
        inserted=tuple(dict.fromkeys(edit.path for edit in listed if _is_made(edit) and edit.path not in work.seen)),
        indexed=indexed(parts),
        uids=tuple(
            pair for edit in here if edit.vr == "UI" and not edit.path.startswith("(0002") for pair in _pairs(edit)
        ),
        patients=tuple((edit.before, edit.after) for edit in here if edit.path.endswith(PATIENT_ID)),
        missing=(*work.missing, *(f"{fix.path}: {_FIXED}" for fix in parts.fixes)),
    )


_FIXED = "as it was spelt before it was made plain"


def _is_made(edit: Edit) -> bool:
    return not edit.before and edit.action != "repair" and edit.path.startswith("(")


def _pairs(edit: Edit) -> Iterator[tuple[str, str]]:
    old, new = edit.before.split("\\"), edit.after.split("\\")
    if len(old) == len(new):
        yield from ((one, other) for one, other in zip(old, new, strict=True) if one and other and one != other)


class _Work:
    """What is found out on the way.

    Attributes
    ----------
    tags : dict
        As ``Undo.tags``.
    seen : set of str
        Places, as the audit has them, of elements that were there.
    missing : list of str
    """

    def __init__(self, parts: Parts, where: Callable[[Level, int], str], blanks: Iterable[Splice]) -> None:
        self._parts = parts
        self._blanks = frozenset((start, stop) for start, stop, _ in blanks)
        self._where = where
        self._sets: dict[int, dict[str, Any]] = {}
        self.tags: dict[str, Any] = {}
        self.seen: set[str] = set()
        self.missing: list[str] = []

    def back(self, meta: Sequence[Splice], body: Sequence[Splice]) -> Iterator[Back]:
        """Yield what turns the result into the source; a deflated data set counts as if it stood there inflated."""
        parts = self._parts
        there = {one.start: (level, one) for level in parts.meta.levels() for one in level.found}
        inside = {one.start: (level, one) for level in parts.body.levels() for one in level.found}
        shift = parts.meta.end if parts.deflated else 0
        splices = [(start + shift, stop + shift, new) for start, stop, new in body] if shift else list(body)
        if parts.has_prefix and parts.src[:128].strip(b"\0"):
            splices = [(0, 128, bytes(128)), *meta, *splices]
        else:
            splices = [*meta, *splices]
        if parts.trailing:
            splices.append((parts.body.end + shift, parts.total + shift, b""))

        def was(start: int, stop: int) -> Was | None:
            if start < parts.meta.end:
                return self._was(parts.src, there, start, stop)
            return self._was(parts.body_src, inside, start - shift, stop - shift)

        return reversed_splices(splices, was)

    def _was(self, src: bytes, inside: Mapping[int, tuple[Level, Found]], start: int, stop: int) -> Was | None:
        level, one = inside.get(start, (None, None))
        if level is None or one is None or one.end != stop or start == stop:
            return self._plainly(src, start, stop)
        tag, vr = one.want.tag, one.want.vr
        path = self._where(level, tag)
        codecs = self._codecs(level)
        self.seen.add(path)
        data_set = self._data_set(level)
        if one.items is not None or vr == "SQ":
            data_set[f"{tag:08X}"] = json_model.sequence(src, level, one, codecs)
            return self._without_pixels(src, level, one, path)
        raw = src[one.value : stop]
        little = level.place.encoding.little or one.want.wire == "UN"
        data_set[f"{tag:08X}"] = json_model.element(tag, vr, raw, codecs, little=little)
        if is_private(tag) and not is_private_creator(tag) and (creator := level.creator_of(tag)):
            data_set.setdefault(f"{tag & 0xFFFF0000 | tag >> 8 & 0xFF:08X}", {"vr": "LO", "Value": [creator]})
        if not is_by_digest(tag, vr, len(raw)):
            return (src[start:stop],)
        lost = Lost.of(raw)
        self.missing.append(told(lost, path))
        return (src[start : one.value], lost) if level.parent is not None else None

    def _plainly(self, src: bytes, start: int, stop: int) -> Was:
        """Return bytes that are no element: a length, the preamble, comments in frames, what stands behind it all.

        What else is changed inside of an element are pixels.
        """
        data, body = src[start:stop], self._parts.body
        behind = src is self._parts.body_src and start >= body.end
        front = start < self._parts.meta.end and src is self._parts.src
        comment = (start, stop) in self._blanks
        if len(data) <= _LENGTH or (len(data) <= MOST and (behind or front or comment)):
            return (data,) if data else ()
        lost = Lost.of(data)
        self.missing.append(told(lost, _TRAILING if behind else "pixels"))
        return (lost,)

    def _without_pixels(self, src: bytes, level: Level, one: Found, path: str) -> Was:
        """Return a sequence, of whose large binary values and pixels the digest alone is kept."""
        data = src[one.start : one.end]
        if len(data) <= MOST and not any(tag in data for tag in _PIXELS):
            return (data,)
        top = Walker(data).top(Whole(level.place.encoding), 0)
        pieces: list[bytes | Lost] = []
        at = 0
        for inner in sorted((leaf for there in top.levels() for leaf in there.found), key=lambda leaf: leaf.start):
            size = inner.end - inner.value
            if inner.items is None and is_by_digest(inner.want.tag, inner.want.vr, size):
                lost = Lost(size, sha256(data[inner.value : inner.end]).hexdigest())
                self.missing.append(told(lost, f"{path} > {format_tag(inner.want.tag)}"))
                pieces += [data[at : inner.value], lost]
                at = inner.end
        return (*pieces, data[at:])

    def _codecs(self, level: Level) -> tuple[str, ...]:
        while level.charset is None and level.parent is not None:
            level = level.parent
        return values.encodings_of(level.charset)

    def _data_set(self, level: Level) -> dict[str, Any]:
        """Return the data set of the record that stands for one of the file."""
        if level.parent is None:
            return self.tags
        known = self._sets.get(id(level))
        if known is None:
            holder = self._data_set(level.parent).setdefault(f"{level.tag:08X}", {"vr": "SQ", "Value": []})
            items = holder["Value"]
            items += ({} for _ in range(level.index + 1 - len(items)))
            known = self._sets[id(level)] = items[level.index]
        return known


_PIXELS = tuple(
    (tag >> 16).to_bytes(2, order) + (tag & 0xFFFF).to_bytes(2, order)
    for order in ("little", "big")
    for tag in PIXEL_TAGS
)
