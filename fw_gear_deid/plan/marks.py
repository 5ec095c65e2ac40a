"""Splices of one file and its marks → the same with these: what it says of its de-identification (PS3.15 §E.1.1)."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Mapping

from fw_gear_deid import __version__
from fw_gear_deid.formats.dicom.level import Found, Level
from fw_gear_deid.formats.dicom.wire import ITEM_HEADS, Encoding, header, item_header
from fw_gear_deid.model.dictionary import format_tag, keyword_of
from fw_gear_deid.model.outcome import Always, Edit
from fw_gear_deid.plan.edits import Out, Splice
from fw_gear_deid.plan.places import Rank
from fw_gear_deid.standard.marks import (
    CODES,
    EQUIPMENT,
    MEANINGS,
    METHOD,
    PURPOSE,
    REMOVED,
    SCHEME,
    TIMES,
    Marks,
)

_CODE_VALUE, _SCHEME, _MEANING = 0x00080100, 0x00080102, 0x00080104
_MANUFACTURER, _MODEL, _VERSIONS, _DESCRIPTION, _PURPOSES = 0x00080070, 0x00081090, 0x00181020, 0x0018A003, 0x0040A170
_PATH = 11  # letters of the path of an element at the top level
_HEADER = 8  # bytes of an item's
MODEL = "fw-gear-deid"
_UNDEFINED = b"\xff\xff\xff\xff"
Values = Mapping[int, tuple[bytes, str]]
"""Tag of the top level → value bytes and VR."""


def item_of(encoding: Encoding, profile: str) -> bytes:
    """Return this program as an item of ContributingEquipmentSequence (PS3.3 §C.12.1.1.5).

    Parameters
    ----------
    profile : str
        By which the instance was de-identified; no more of it than fits is told.
    """
    told = {
        _MANUFACTURER: ("LO", "Flywheel"),
        _MODEL: ("LO", MODEL),
        _VERSIONS: ("LO", __version__),
        _DESCRIPTION: ("ST", profile),
    }
    content = b"".join(_element(tag, vr, text.encode(), encoding) for tag, (vr, text) in told.items())
    code = _code(*PURPOSE, encoding)
    content += header(_PURPOSES, "SQ", encoding, len(code)) + code
    return item_header(encoding, len(content)) + content


def own_items(encoding: Encoding, marks: Marks, profile: str) -> frozenset[bytes]:
    """Return the items that this program writes, without their headers."""
    items = [item_of(encoding, profile), *(_code(code, MEANINGS[code], encoding) for code in marks.codes)]
    return frozenset(item[_HEADER:] for item in items)


def _code(value: str, meaning: str, encoding: Encoding) -> bytes:
    """Return an item of a code of the standard (PS3.3 §8.8)."""
    texts = {_CODE_VALUE: ("SH", value), _SCHEME: ("SH", SCHEME), _MEANING: ("LO", meaning)}
    content = b"".join(_element(tag, vr, text.encode(), encoding) for tag, (vr, text) in texts.items())
    return item_header(encoding, len(content)) + content


def _element(tag: int, vr: str, value: bytes, encoding: Encoding) -> bytes:
    value += b" " * (len(value) % 2)
    return header(tag, vr, encoding, len(value)) + value


class Marking:
    """The marks of one file.

    Parameters
    ----------
    src : bytes
    level : Level
        The top level as it was walked.
    out : Out
        What the section made of it; changed in place.
    after : mapping
        Marks as the section leaves them, of those that are no sequences.
    """

    def __init__(self, src: bytes, level: Level, out: Out, after: Values) -> None:
        self._src = src
        self._level = level
        self._out = out
        self._after = after
        self._encoding = level.place.encoding
        self._touched = {row[3].path[:_PATH] for row in out.rows}

    def write(self, marks: Marks, profile: str) -> None:
        """Write them.

        Parameters
        ----------
        profile : str
            For ``item_of``.
        """
        self._text(REMOVED, "CS", "YES" if marks.removed else "")
        self._method(marks.method)
        code = b"".join(_code(one, MEANINGS[one], self._encoding) for one in marks.codes)
        self._whole(CODES, "SQ", code or None, f"<{len(marks.codes)} items>")
        self._equipment(item_of(self._encoding, profile))
        self._text(TIMES, "CS", marks.times)

    def _text(self, tag: int, vr: str, text: str) -> None:
        self._whole(tag, vr, text.encode() + b" " * (len(text) % 2) if text else None, text)

    def _method(self, method: str) -> None:
        """Add to DeidentificationMethod, unless it ends so already."""
        raw = self._after.get(METHOD, (b"", ""))[0].rstrip(b"\0 ")
        own = method.encode()
        if raw != own and not raw.endswith(b"\\" + own):
            raw = raw + b"\\" + own if raw else own
        self._whole(METHOD, "LO", raw + b" " * (len(raw) % 2), method)

    # -- splices -----------------------------------------------------------------------------------------

    def _found(self, tag: int) -> Found | None:
        return next((one for one in self._level.found if one.want.tag == tag), None)

    def _whole(self, tag: int, vr: str, value: bytes | None, after: str) -> None:
        """Let an element be what it is to be, or nothing, in place of whatever the section made of it."""
        found = self._found(tag)
        self._forget(tag, found)
        new = b"" if value is None else header(tag, vr, self._encoding, len(value)) + value
        if found is None:
            if new:
                self._insert(tag, new)
        elif self._src[found.start : found.end] == new:
            return
        else:
            insort(self._out.splices, (found.start, found.end, new), key=_span)
        if found is not None or new:
            before = (
                "" if found is None else "<items>" if found.items is not None else f"<{found.end - found.value} bytes>"
            )
            self._row(tag, vr, before, after)

    def _row(self, tag: int, vr: str, before: str, after: str) -> None:
        path = format_tag(tag)
        edit = Edit(path, keyword_of(tag), vr, "replace-with" if after else "remove", Always.MARKS.value, before, after)
        self._out.rows.append((Rank.NEVER, 0, len(self._out.rows), edit))

    def _forget(self, tag: int, found: Found | None) -> None:
        """Take back what the section made of an element, and in it."""
        out, path = self._out, format_tag(tag)
        if path not in self._touched:
            return  # every change has its row
        if found is None:
            out.splices[:] = [
                one
                for one in out.splices
                if not (one[0] == one[1] and self._tag_of(one[2]) == tag and self._is_top(one))
            ]
        else:
            out.splices[:] = [one for one in out.splices if not self._is_in(one, found)]
        out.rows[:] = [row for row in out.rows if not (row[3].path == path or row[3].path.startswith(f"{path}["))]

    def _is_top(self, splice: Splice) -> bool:
        """Tell whether something is put between elements of the top level, not into a sequence that ends there."""
        return splice[0] == self._level.gaps.get(self._tag_of(splice[2]), -1)

    def _is_in(self, splice: Splice, found: Found) -> bool:
        start, end, new = splice
        if start == end == found.end:
            return found.items is not None and new[:4] in ITEM_HEADS
        return found.start <= start and end <= found.end and (start, end) != (found.start, found.start)

    def _tag_of(self, new: bytes) -> int:
        order = "little" if self._encoding.little else "big"
        return int.from_bytes(new[:2], order) << 16 | int.from_bytes(new[2:4], order)  # type: ignore[arg-type]

    def _insert(self, tag: int, new: bytes) -> None:
        """Put an element where it belongs, among others that are put there."""
        at = self._level.gaps.get(tag, self._level.end)
        splices = self._out.splices
        index = bisect_left(splices, (at, at), key=_span)
        while (
            index < len(splices) and _span(splices[index]) == (at, at) and not self._is_behind(splices[index][2], tag)
        ):
            index += 1
        splices.insert(index, (at, at, new))

    def _is_behind(self, other: bytes, tag: int) -> bool:
        """Tell whether what is put at the same offset belongs behind an element: items belong to what ends there."""
        return other[:4] not in ITEM_HEADS and self._tag_of(other) > tag

    def _equipment(self, item: bytes) -> None:
        """Add an item to ContributingEquipmentSequence, or make it of that item alone."""
        found = self._found(EQUIPMENT)
        whole = found is not None and any(one[0] == found.start and one[1] == found.end for one in self._out.splices)
        if found is None or found.items is None or whole or not found.items:
            self._whole(EQUIPMENT, "SQ", item, "<1 items>")
            return
        last = found.items[-1]
        if self._src[last.start - 8 : last.end] == item:
            return  # it has been here before
        splices = self._out.splices
        ends = self._src[found.value - 4 : found.value] == _UNDEFINED
        at = found.end - 8 if ends else found.end
        index = bisect_left(splices, (at, at), key=_span)
        while index < len(splices) and _span(splices[index]) == (at, at) and splices[index][2][:4] in ITEM_HEADS:
            index += 1  # items that a rule adds, here or in a sequence that ends here, too
        if any(row[3].path == format_tag(EQUIPMENT) for row in self._out.rows):  # here: they are put in at once
            index -= 1
            splices[index] = (at, at, splices[index][2] + item)
        else:
            splices.insert(index, (at, at, item))
        if not ends:
            self._lengthen(found, len(item))
        count = len(found.items)
        self._row(EQUIPMENT, "SQ", f"<{count} items>", f"<{count + 1} items>")

    def _lengthen(self, found: Found, more: int) -> None:
        """Mend the length of a sequence that grows."""
        order = "little" if self._encoding.little else "big"
        place = found.value - 4, found.value
        splices = self._out.splices
        known = next((number for number, one in enumerate(splices) if one[:2] == place), None)
        length = splices[known][2] if known is not None else self._src[place[0] : place[1]]
        new = (int.from_bytes(length, order) + more).to_bytes(4, order)  # type: ignore[arg-type]
        if known is None:
            insort(splices, (*place, new), key=_span)
        else:
            splices[known] = (*place, new)


def write(src: bytes, level: Level, out: Out, after: Values, marks: Marks, profile: str) -> None:
    """Write the marks of a file into what its section made of it; ``Marking`` tells the parameters."""
    Marking(src, level, out, after).write(marks, profile)


def _span(splice: Splice) -> tuple[int, int]:
    return splice[:2]
