"""Source, result and splices → nothing, or where a UID still stands that changed elsewhere in the file.

With ``follow-uids`` no element that nothing names may hold one. A reader of its own, for the few results in which such
a UID stands by itself.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from struct import error

from fw_gear_deid.model.dictionary import (
    SINGLE_TEXT_VRS,
    format_tag,
    is_private,
    is_private_creator,
    public_vr,
)
from fw_gear_deid.verify import fails
from fw_gear_deid.verify.promises import Promises, Way
from fw_gear_deid.verify.shapes import begins_like_items
from fw_gear_deid.verify.source import (
    HEADS,
    LENGTHS,
    LONG_CODES,
    PIXELS,
    PLAINS,
    UNDEFINED,
    VR_OF,
    Form,
    Splice,
    really,
)

_PADDING = b"\0 "
_PART = re.compile(rb"[0-9.]")
_DEPTH_MAX = 64
_IMPLICIT = Form(explicit=False, little=True)


def check(was: bytes, now: bytes, spans: Sequence[tuple[int, int]], splices: Sequence[Splice], hunt: Hunt) -> None:
    """Make sure that no UID is left which changed.

    Parameters
    ----------
    was, now : bytes
        What the data set stands in, before and after.
    spans : sequence of (int, int)
        Of the result: where to look; all but the pixels.
    splices : sequence of Splice
    hunt : Hunt

    Raises
    ------
    Unfit
    """
    gone = {uid for splice in splices for uid in _changed(was, splice, hunt.form)}
    if any(_stands(now, uid, first, last) for uid in gone for first, last in spans):
        hunt.run(now, gone)


def _changed(was: bytes, splice: Splice, form: Form) -> Iterator[bytes]:
    """Yield the UIDs of an element that another one took the place of."""
    start, end, new = splice
    if end - start < 8 or not new:
        return
    group, element, code, _ = HEADS[form.little].unpack_from(was, start)
    vr = VR_OF.get(code, "UN")
    vr = (public_vr(group << 16 | element) or "UN") if vr == "UN" else vr
    if vr != "UI":
        return
    value = 12 if code in LONG_CODES and new[4:6] == code else 8
    old, made = (raw.split(b"\\") for raw in (was[start + value : end], new[value:]))
    if len(old) == len(made):
        for before, after in zip(old, made, strict=True):
            if before.strip(_PADDING) and after.strip(_PADDING) not in (b"", before.strip(_PADDING)):
                yield before.strip(_PADDING)


def _stands(now: bytes, uid: bytes, first: int, last: int) -> bool:
    """Tell whether a UID stands in bytes as more than a part of a longer one."""
    at = now.find(uid, first, last)
    while at >= 0:
        end = at + len(uid)
        if not _PART.match(now, end) and not (at and _PART.match(now, at - 1)):
            return True
        at = now.find(uid, end, last)
    return False


class Hunt:
    """The reading of a result, element by element.

    Parameters
    ----------
    promises : Promises
    start, end : int
        Its data set.
    form : Form
    """

    def __init__(self, promises: Promises, start: int, end: int, form: Form) -> None:
        self._promises = promises
        self._start = start
        self._end = end
        self.form = form

    def run(self, now: bytes, gone: set[bytes]) -> None:
        """Make sure that every element that holds one of some UIDs is named.

        Raises
        ------
        Unfit
        """
        self._now, self._gone = now, gone
        self._level(self._start, self._end, self.form, Way(), undefined=False)

    def _level(self, pos: int, end: int, form: Form, way: Way, *, undefined: bool) -> int:
        now = self._now
        held: list[tuple[int, str]] = []
        creators: dict[int, str] = {}
        while pos < end:
            group, element, code, short = HEADS[form.little].unpack_from(now, pos)
            tag = group << 16 | element
            if undefined and tag == 0xFFFEE00D:
                pos += 8
                break
            vr = VR_OF[code] if form.explicit else public_vr(tag) or "UN"
            value = pos + (12 if form.explicit and code in LONG_CODES else 8)
            plain = form.explicit and code not in LONG_CODES
            length = short if plain else LENGTHS[form.little].unpack_from(now, value - 4)[0]
            inside = _IMPLICIT if form.explicit and vr == "UN" else form
            wire, vr = vr, (public_vr(tag) or "UN") if vr == "UN" else vr
            if not plain and now[value - 4 : value] == UNDEFINED:
                pos = self._undefined(value, end, tag, wire, inside, way)
                continue
            pos = value + length
            listed = vr == "SQ" or (not plain and begins_like_items(now[value : value + 8], length))
            if listed and self._items(value, pos, tag, inside, way):
                continue
            if is_private_creator(tag):
                creators[tag] = now[value:pos].decode("iso8859").strip("\0 ")
            if tag not in PIXELS and self._holds(now[value:pos] if length <= 1 << 16 else b"", vr):
                held.append((tag, vr))
        for tag, vr in held:
            creator = creators.get(tag if is_private_creator(tag) else tag & 0xFFFF0000 | tag >> 8 & 0xFF, "")
            if not self._promises.names(way, tag, creator if is_private(tag) else "", vr):
                raise fails(f"{_path(way)}{format_tag(tag)} still holds a UID that changed elsewhere")
        return pos

    def _holds(self, raw: bytes, vr: str) -> bool:
        parts = [raw] if vr in SINGLE_TEXT_VRS else raw.split(b"\\")
        return any(part.strip(_PADDING) in self._gone for part in parts)

    def _undefined(self, value: int, end: int, tag: int, wire: str, form: Form, way: Way) -> int:
        if wire not in ("OB", "OW"):
            return self._sequence(value, end, tag, form, way, undefined=True)
        now = self._now
        while PLAINS[form.little].unpack_from(now, value)[:2] != (0xFFFE, 0xE0DD):
            value += 8 + PLAINS[form.little].unpack_from(now, value)[2]
        return value + 8

    def _items(self, value: int, end: int, tag: int, form: Form, way: Way) -> bool:
        """Read a value as items; return whether it is one."""
        try:
            return self._sequence(value, end, tag, form, way, undefined=False) == end
        except (error, KeyError, ValueError):
            return False

    def _sequence(self, pos: int, end: int, tag: int, form: Form, way: Way, *, undefined: bool) -> int:
        count = 0
        if len(way.steps) > _DEPTH_MAX:
            raise ValueError
        while pos < end:
            group, element, length = PLAINS[form.little].unpack_from(self._now, pos)
            pos += 8
            if (group, element) == (0xFFFE, 0xE0DD) and undefined:
                return pos
            if (group, element) != (0xFFFE, 0xE000):
                raise ValueError
            open_end = length == 0xFFFFFFFF
            stop = end if open_end else pos + length
            below = Way((*way.steps, (tag, count)))
            inside = really(self._now, pos, stop, form)
            pos = self._level(pos, stop, inside, below, undefined=open_end)
            count += 1
        return pos


def _path(way: Way) -> str:
    return "".join(f"{format_tag(tag)}[{index}]" for tag, index in way.steps)
