"""A CSA header ⇄ its fields: names, and values as text (nibabel's description of the format, "Siemens CSA").

A header has a number of fields, each of 84 bytes (name, multiplicity, VR, number of items) and its items, each of four
numbers, of which the second is its length, and its bytes up to a multiple of four. Version 2 begins with ``SV10``.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Iterator
from typing import NamedTuple

from fw_gear_deid.formats.siemens import protocol
from fw_gear_deid.model.errors import Unreadable
from fw_gear_deid.model.siemens import NUMBERS, PROTOCOLS, TEXTS

_TWO = b"SV10"
_COUNT = struct.Struct("<II")
_FIELD = struct.Struct("<64si4siii")
_ITEM = struct.Struct("<4i")
_FIELDS_MAX = 1_000
_UNUSED = 77  # 0x4D, which stands behind every count
_NUMBER = re.compile(r"[-+]?(?:\d{1,12}(?:\.\d{0,16})?|\.\d{1,16})(?:[eE][-+]?\d{1,3})?")
_WHOLE = re.compile(r"[-+]?\d{5,}")


class Field(NamedTuple):
    """One field.

    Attributes
    ----------
    name : str
    vm : int
    vr : str
    syngo : int
        The type by which Siemens calls the VR.
    mark : int
        77 or 205.
    items : tuple of bytes
        Values up to their first NUL; empty where there is none.
    lengths : tuple of int
        Bytes that each takes.
    """

    name: str
    vm: int
    vr: str
    syngo: int
    mark: int
    items: tuple[bytes, ...]
    lengths: tuple[int, ...]


def read(data: bytes) -> tuple[bool, tuple[Field, ...]]:
    """Return whether a header is of version 2, and its fields.

    Raises
    ------
    Unreadable
        It ends early, or counts and lengths do not fit it.
    """
    two = data.startswith(_TWO)
    try:
        at = 8 if two else 0
        count, _ = _COUNT.unpack_from(data, at)
        if not 0 < count <= _FIELDS_MAX:
            raise Unreadable("the CSA header does not tell a likely number of fields")
        return two, tuple(_fields(data, at + _COUNT.size, count, two=two))
    except struct.error:
        raise Unreadable("the CSA header ends before its last field does") from None


def _fields(data: bytes, at: int, count: int, *, two: bool) -> Iterator[Field]:
    more: int | None = None  # by which the first length of an item is larger, in version 1
    for _ in range(count):
        raw, vm, vr, syngo, number, mark = _FIELD.unpack_from(data, at)
        at += _FIELD.size
        if not 0 <= number <= (len(data) - at) // _ITEM.size:
            raise Unreadable("a field of the CSA header has more items than it has bytes")
        items, lengths = [], []
        for _ in range(number):
            total, length, _, _ = _ITEM.unpack_from(data, at)
            at += _ITEM.size
            more = total - length if more is None and length else more
            if length and not two and total - length != more:
                raise Unreadable("an item of the CSA header has two lengths")
            if not 0 <= length <= len(data) - at:
                raise Unreadable("an item of the CSA header has more bytes than are left")
            items.append(data[at : at + length].partition(b"\0")[0])
            lengths.append(length)
            at += length + -length % 4
        name, form = (one.partition(b"\0")[0].decode("iso8859") for one in (raw, vr))
        yield Field(name, vm, form, syngo, mark, tuple(items), tuple(lengths))


def written(fields: tuple[Field, ...], *, two: bool) -> bytes:
    """Return a header of fields, of even length."""
    first = len(fields[0].items) if fields else 0
    pieces = [b"SV10\4\3\2\1" if two else b"", _COUNT.pack(len(fields), _UNUSED)]
    for one in fields:
        name, vr = one.name.encode("iso8859"), one.vr.encode("iso8859")
        pieces.append(_FIELD.pack(name, one.vm, vr, one.syngo, len(one.items), one.mark))
        for item, length in zip(one.items, one.lengths, strict=True):
            total = length if two else length + first
            pieces += [_ITEM.pack(total, length, one.mark, length), item.ljust(length + -length % 4, b"\0")]
    return b"".join(pieces)


def cleaned(data: bytes, clean: Callable[[str], str]) -> bytes:
    """Return a header with the fields that say how was measured, and nothing beside their values.

    Parameters
    ----------
    data : bytes
    clean : callable
        As for ``headers.cleaned``.

    Raises
    ------
    Unreadable
        As ``read``; or no field is left.
    """
    two, fields = read(data)
    kept = tuple(new for one in fields if (new := _kept(one, clean)) is not None)
    if not kept:
        raise Unreadable("the CSA header has no field that says how was measured")
    return written(kept, two=two)


def _kept(one: Field, clean: Callable[[str], str]) -> Field | None:
    """Return a field as it stays, None where it goes."""
    if not (len(one.vr) == 2 and one.vr.isascii() and one.vr.isalpha()) or one.mark not in (_UNUSED, 205):
        return None
    if one.name in PROTOCOLS:
        return _with_protocol(one, clean)
    stays = _is_number if one.name in NUMBERS else _is_text
    if one.name not in NUMBERS and one.name not in TEXTS:
        return None
    texts = (item.decode("iso8859") for item in one.items)
    return one if all(not text.strip() or stays(one.name, text, clean) for text in texts) else None


def _with_protocol(one: Field, clean: Callable[[str], str]) -> Field | None:
    items = []
    for item in one.items:
        try:
            items.append(protocol.cleaned(item, clean) if item else b"")
        except Unreadable:
            return None
    new = tuple(items)
    return one._replace(items=new, lengths=tuple(len(item) + 1 if item else 0 for item in new))


def _is_number(name: str, text: str, clean: Callable[[str], str]) -> bool:
    return _NUMBER.fullmatch(text.strip()) is not None and not is_known(text.strip(), clean)


def _is_text(name: str, text: str, clean: Callable[[str], str]) -> bool:
    form = TEXTS[name]
    return form.fullmatch(text.strip()) is not None and clean(text) == text


def is_known(number: str, clean: Callable[[str], str]) -> bool:
    """Tell whether a whole number is one that is known of the patient; as a fraction patterns leave it alone."""
    return _WHOLE.fullmatch(number) is not None and clean(f"0.{number.lstrip('+-')}") != f"0.{number.lstrip('+-')}"
