"""NIfTI file up to its volume → fields of its header and extensions, and the bytes of changes."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256

from fw_gear_deid.formats import json_text
from fw_gear_deid.formats.nifti import mrs
from fw_gear_deid.formats.nifti.layout import LENGTH, LOCKED, PLACED, TEXTS, UNUSED, Header, Slot, blocks
from fw_gear_deid.formats.row import Changes, Field, Options, Splice
from fw_gear_deid.model.action import REMOVE, Gone, Texts
from fw_gear_deid.model.errors import Malformed, Unfit

KEEP = "keep-extensions"
TAIL = "always: bytes behind the end of a text field"
EXTENSION = "always: extension"
GAP = "always: bytes between header and volume that belong to no field"
_CIFTI = 32
_CIFTI_INTENTS = range(3000, 3100)
_ROUND = 16  # bytes; where extensions and volumes begin


@dataclass(slots=True)
class _Extension:
    """One of them, and its fields: one for all of it, or those of its JSON."""

    code: int
    raw: bytes
    first: int
    """Number of its first field."""
    inner: json_text.Document | None = None
    stays: tuple[bool, ...] = ()
    """Of the members of its JSON."""


class Document:
    """A NIfTI file, open, without its volume; as ``formats.row.Document``."""

    def __init__(self, data: bytes, options: Options) -> None:
        self._header = Header(data)
        self._data = data if self._header.is_pair else data[: self._header.begin]
        if not self._header.is_pair and len(data) < self._header.begin:
            raise Malformed("it is cut off in front of its volume")
        self._keeps = options.get(KEEP) is True
        self.fields: list[Field] = []
        self.gone: dict[int, str] = {}
        self._slots: dict[int, Slot] = {}
        self._named: dict[str, int] = {}
        for slot in self._header.slots.values():
            if slot.name != "vox_offset" or self._header.is_pair:  # else it follows the extensions
                self._add_slot(slot)
        self._extensions: list[_Extension] = []
        self._end = self._read_extensions()
        """Of the extensions; what follows in front of the volume belongs to nobody."""
        gap = self._data[self._end :]
        if gap.strip(b"\0"):
            self._add("bytes in front of the volume", (sha256(gap).hexdigest(),), GAP)

    @property
    def codes(self) -> list[int]:
        """Codes of the extensions."""
        return [one.code for one in self._extensions]

    @property
    def closed(self) -> list[tuple[int, bytes]]:
        """Code and content of those extensions that have no fields of their own."""
        return [(one.code, one.raw[8:]) for one in self._extensions if one.inner is None]

    def _add(self, name: str, texts: Texts, why: str = "") -> None:
        if why:
            self.gone[len(self.fields)] = why
        self.fields.append(Field(name, name, texts))

    def _add_slot(self, slot: Slot) -> None:
        number, raw = len(self.fields), self._header.raw(slot)
        self._slots[number] = slot
        self._named[slot.name] = number
        if not slot.form.endswith("s"):
            values = self._header.numbers(slot.name)
            self._add(slot.name, tuple(number_text(value, slot.form[-1]) for value in values))
            return
        text, _, tail = raw.partition(b"\0")
        self._add(slot.name, (decoded(text),), TAIL if slot.name == UNUSED and text else "")
        if slot.name in TEXTS and tail.strip(b"\0"):
            self._slots[len(self.fields)] = slot
            self._add(f"{slot.name} behind its end", (decoded(tail),), TAIL)

    def _read_extensions(self) -> int:
        end = LENGTH[self._header.version] + 4
        if len(self._data) < end:  # the header of a pair may end without the four bytes
            return end - 4
        if self._data[end - 4] == 0:
            return end
        for code, start, end in blocks(self._data, end, self._header.order):  # noqa: B020 -- the last one tells the end
            if code == _CIFTI and not self._keeps and self._header.numbers("intent_code")[0] in _CIFTI_INTENTS:
                raise Unfit(f"its CIFTI extension (32) cannot be cleaned, nor the file be read without: see {KEEP}")
            one = _Extension(code, self._data[start:end], len(self.fields))
            if code == mrs.CODE and code not in self.codes and len(one.raw) <= mrs.MOST:
                self._open_mrs(one)
            if one.inner is None:
                why = "" if self._keeps else EXTENSION
                self._add(f"extension {code}", (sha256(one.raw[8:]).hexdigest(),), why)
            self._extensions.append(one)
        return end

    def _open_mrs(self, one: _Extension) -> None:
        """Add the fields of the JSON that an extension holds; else it is one like others."""
        payload = one.raw[8:].rstrip(b"\0")
        try:
            one.inner = json_text.Document(payload, {})
            one.stays = tuple(mrs.kept(json_text.read(payload).text))
        except (Malformed, ValueError):
            one.inner = None
            return
        left, member = 0, -1
        for inner in one.inner.fields:
            if not left:
                member, left = member + 1, max(inner.holds, 0) + 1
            left -= 1
            self.fields.append(replace(inner, name=f"extension 44 {inner.name}", path=f"extension 44 {inner.path}"))
            if not (self._keeps or one.stays[member]):
                self.gone[len(self.fields) - 1] = EXTENSION

    def find(self, name: str) -> Sequence[int]:
        """Return the field of the header that a name points at, in any case."""
        number = self._named.get(name.lower())
        return () if number is None else (number,)

    def splices(self, changes: Changes) -> Sequence[Splice]:
        """Return what is to be done to the bytes.

        Raises
        ------
        Unfit
            A field cannot hold it, or the volume is read by it.
        """
        new: dict[Slot, bytes] = {}
        for number, texts in changes.texts.items():
            slot = self._slots.get(number)
            if slot is not None and self._named[slot.name] == number:
                new[slot] = self._packed(slot, texts)
            elif slot is not None:
                new.setdefault(slot, self._header.raw(slot).partition(b"\0")[0].ljust(slot.size, b"\0"))
        found = [
            (slot.at, slot.at + slot.size, raw) for slot, raw in new.items() if raw != self._header.raw(slot)
        ]  # fmt: skip
        return sorted([*found, *self._behind(changes)])

    def _packed(self, slot: Slot, texts: Texts | Gone) -> bytes:
        """Return a field's bytes.

        Raises
        ------
        Unfit
        """
        name, before = slot.name, self._header.raw(slot)
        if isinstance(texts, Gone):
            raw = bytes(slot.size)
        elif slot.form.endswith("s"):
            raw = _text_bytes(slot, texts)
        else:
            raw = self._number_bytes(slot, texts)
        if raw == before:
            return raw
        if name in LOCKED or (name == "glmin" and self._header.numbers("dim")[1] < 0):
            raise Unfit(f"{name} is what the volume is read by: it cannot be changed")
        if name in PLACED and isinstance(texts, Gone):
            raise Unfit(f"zeros in {name} would move the volume: replace it with numbers instead")
        return raw

    def _number_bytes(self, slot: Slot, texts: Texts) -> bytes:
        form = self._header.order + slot.form
        kind = slot.form[-1]
        try:
            raw = struct.pack(form, *(float(text) if kind in "fd" else int(text) for text in texts))
        except (ValueError, OverflowError, struct.error):
            raise Unfit(f"{slot.name} cannot hold it: the field takes {_counted(slot)}") from None
        if tuple(number_text(value, kind) for value in struct.unpack(form, raw)) != texts:
            raise Unfit(
                f"{slot.name} cannot hold the number as it is written: fewer digits, and no zeros behind a point"
            )
        return raw

    def _behind(self, changes: Changes) -> Iterator[Splice]:
        """Yield what becomes of extensions, of what follows them, and of what tells where the volume begins."""
        begin = LENGTH[self._header.version] + 4
        left = [self._kept(one, changes) for one in self._extensions]
        if all(now == one.raw for now, one in zip(left, self._extensions, strict=True)):
            if self._data[self._end :].strip(b"\0"):
                yield self._end, len(self._data), bytes(len(self._data) - self._end)
            return
        new = b"".join(left)
        new = new.ljust(-(-len(new) // _ROUND) * _ROUND, b"\0")
        if not new:
            yield begin - 4, begin, bytes(4)
        yield begin, len(self._data), new
        if not self._header.is_pair:
            yield self._offset(begin + len(new))

    def _offset(self, begin: int) -> Splice:
        slot = self._header.slots["vox_offset"]
        raw = struct.pack(self._header.order + slot.form, begin)
        if struct.unpack(self._header.order + slot.form, raw) != (begin,):
            raise Unfit("vox_offset cannot hold where the volume would begin behind what stays of the extensions")
        return slot.at, slot.at + slot.size, raw

    def _kept(self, one: _Extension, changes: Changes) -> bytes:
        """Return what becomes of an extension."""
        if one.inner is None:
            return b"" if one.first in changes.texts else one.raw
        count = len(one.inner.fields)
        texts = ((number, changes.texts.get(one.first + number)) for number in range(count))
        inner = {number: new for number, new in texts if new is not None}
        if not inner:
            return one.raw
        if list(inner.values()) == count * [REMOVE]:
            return b""
        payload, at, pieces = one.raw[8:].rstrip(b"\0"), 0, []
        for start, end, new in one.inner.splices(Changes(inner, {})):
            pieces += [payload[at:start], new]
            at = end
        left = b"".join((*pieces, payload[at:]))
        size = -(-(len(left) + 8) // _ROUND) * _ROUND
        return struct.pack(f"{self._header.order}ii", size, one.code) + left.ljust(size - 8, b"\0")


def decoded(raw: bytes) -> str:
    """Return the text of a field, whose encoding nobody says: UTF-8, else Latin-1."""
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw.decode("latin-1")


def number_text(value: int | float, form: str) -> str:
    """Return a number with the fewest digits that tell it from the next one its field can hold.

    >>> number_text(3, "h"), number_text(struct.unpack("<f", struct.pack("<f", 0.1))[0], "f"), number_text(2.0, "d")
    ('3', '0.1', '2')
    """
    if form == "f" and value - value == 0:  # neither NaN nor infinite
        value = next(
            float(text) for text in (f"{value:.{digits}g}" for digits in range(1, 18)) if _single(text) == value
        )
    return repr(value).removesuffix(".0")


def _single(text: str) -> float:
    try:
        return float(struct.unpack("<f", struct.pack("<f", float(text)))[0])
    except OverflowError:
        return float("inf")


def _text_bytes(slot: Slot, texts: Texts) -> bytes:
    raw = "".join(texts).encode("utf-8", "surrogatepass")
    if len(texts) != 1 or b"\0" in raw:
        raise Unfit(f"{slot.name} holds one text without NULs")
    if len(raw) > slot.size:
        raise Unfit(f"{slot.name} cannot hold it: the field has {slot.size} bytes")
    return raw.ljust(slot.size, b"\0")


def _counted(slot: Slot) -> str:
    count = int(slot.form[:-1] or 1)
    return f"{count} number{'s' if count > 1 else ''}"
