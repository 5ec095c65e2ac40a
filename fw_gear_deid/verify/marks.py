"""A result and what it is to say of its de-identification → nothing, or why it may not leave.

A reader of its own for the few elements at the top level in which that stands.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from fw_gear_deid.model.dictionary import format_tag
from fw_gear_deid.model.frozen import frozen
from fw_gear_deid.verify import fails
from fw_gear_deid.verify.source import HEADS, LENGTHS, LONG_CODES, PLAINS, UNDEFINED, Form

CODES, EQUIPMENT = 0x00120064, 0x0018A001
_REMOVED, _METHOD, _TIMES = 0x00120062, 0x00120063, 0x00280303
_CODE_VALUE, _SCHEME, _PURPOSES, _MODEL = 0x00080100, 0x00080102, 0x0040A170, 0x00081090
TAGS = frozenset({_REMOVED, _METHOD, CODES, EQUIPMENT, _TIMES})
_ITEM, _ITEM_END, _END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
_PURPOSE = (b"109104", b"DCM")


@frozen
class Said:
    """What a result says of its de-identification.

    Attributes
    ----------
    removed : bool
        PatientIdentityRemoved is YES; else it is absent.
    method : str
        How DeidentificationMethod ends.
    codes : tuple of str
        Code values, all of DICOM's own scheme; none: the sequence is absent.
    times : str
        Empty: it is absent.
    model : str
        Of the last piece of equipment.
    own : frozenset of bytes
        Items, without their headers, in which no rule has a say.
    """

    removed: bool
    method: str
    codes: tuple[str, ...]
    times: str
    model: str
    own: frozenset[bytes]


def check(src: bytes, span: tuple[int, int], form: Form, said: Said, *, ordered: bool) -> None:
    """Make sure that the marks of a result are those that are true of it.

    Parameters
    ----------
    src : bytes
        The data set, or its beginning.
    span : tuple of int
        Where it begins and ends.
    form : Form
    said : Said
    ordered : bool
        Its elements are in the order of their tags.

    Raises
    ------
    Unfit
        A mark is missing, is another one, or stands there though it is not true.
    """
    found: dict[int, tuple[int, int]] = {}
    for tag, value, stop in _elements(src, *span, form):
        if tag > _TIMES and ordered:
            break
        if tag in TAGS:
            found[tag] = value, stop
    for tag, text in ((_REMOVED, "YES" if said.removed else ""), (_TIMES, said.times)):
        if _text(src, found.get(tag)) != text.encode():
            raise _wrong(tag)
    if not _text(src, found.get(_METHOD)).endswith(said.method.encode()):
        raise _wrong(_METHOD)
    codes = [_code(src, start, stop, form) for start, stop in _items(src, found.get(CODES), form)]
    if codes != [(code.encode(), b"DCM") for code in said.codes] or (CODES in found and not codes):
        raise _wrong(CODES)
    *_, last = _items(src, found.get(EQUIPMENT), form) or [(0, 0)]
    there = {tag: (value, stop) for tag, value, stop in _elements(src, *last, form)}
    purposes = [_code(src, start, stop, form) for start, stop in _items(src, there.get(_PURPOSES), form)]
    if purposes != [_PURPOSE] or _text(src, there.get(_MODEL)) != said.model.encode():
        raise _wrong(EQUIPMENT)


def _wrong(tag: int) -> Exception:
    return fails(f"{format_tag(tag)} does not say what was done")


def _text(src: bytes, span: tuple[int, int] | None) -> bytes:
    return b"" if span is None else src[span[0] : span[1]].strip(b"\0 ")


def _code(src: bytes, pos: int, end: int, form: Form) -> tuple[bytes, bytes]:
    """Return value and scheme of a code (PS3.3 §8.8)."""
    there = {tag: (value, stop) for tag, value, stop in _elements(src, pos, end, form)}
    return _text(src, there.get(_CODE_VALUE)), _text(src, there.get(_SCHEME))


def _elements(src: bytes, pos: int, end: int, form: Form) -> Iterator[tuple[int, int, int]]:
    """Yield tag, and where the value begins and ends, of each element of a data set that has been read already."""
    end = min(end, len(src))
    while pos + 8 <= end:
        group, element, code, short = HEADS[form.little].unpack_from(src, pos)
        tag = group << 16 | element
        if tag == _ITEM_END:
            return
        if form.explicit and code not in LONG_CODES:
            value, stop = pos + 8, pos + 8 + short
        else:
            value = pos + (12 if form.explicit else 8)
            undefined = src[value - 4 : value] == UNDEFINED
            stop = _past(src, value, form) if undefined else value + LENGTHS[form.little].unpack_from(src, value - 4)[0]
        yield tag, value, stop
        pos = stop


def _items(src: bytes, span: tuple[int, int] | None, form: Form) -> Sequence[tuple[int, int]]:
    """Return where each item of a sequence begins and ends, without headers and delimiters."""
    found: list[tuple[int, int]] = []
    pos, end = span or (0, 0)
    while pos + 8 <= end:
        tag, stop, length = _item(src, pos, form)
        if tag != _ITEM:
            break
        found.append((pos + 8, pos + 8 + length if length >= 0 else stop - 8))
        pos = stop
    return found


def _item(src: bytes, pos: int, form: Form) -> tuple[int, int, int]:
    """Return the tag at an item's beginning, where the item ends, and its length, -1 where it has none."""
    group, element, length = PLAINS[form.little].unpack_from(src, pos)
    if length != 0xFFFFFFFF:
        return group << 16 | element, pos + 8 + length, length
    stop = pos + 8
    for *_, last in _elements(src, stop, len(src), form):
        stop = last
    return group << 16 | element, stop + 8, -1


def _past(src: bytes, pos: int, form: Form) -> int:
    """Return where something of undefined length ends, its delimiter included."""
    while pos + 8 <= len(src):
        tag, stop, _ = _item(src, pos, form)
        if tag == _END:
            return pos + 8
        pos = stop
    return len(src)
