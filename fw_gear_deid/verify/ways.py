"""Bytes of a data set, and how it was read → whether it can be read in another way as well.

Elements have a VR on the wire or none, and nothing but the bytes tells which where a file changes from one to the
other: a length of 20048 is ``PN``. What can be read both ways holds other elements for others than for us.
"""

from __future__ import annotations

from struct import error

from fw_gear_deid.model.dictionary import BINARY_VRS, keyword_of, public_vr
from fw_gear_deid.verify.source import HEADS, LENGTHS, LONG_CODES, PLAINS, UNDEFINED, VR_OF, Form

_DEPTH_MAX = 64
_ITEMS = (b"\xfe\xff\x00\xe0", b"\xff\xfe\xe0\x00", b"")
_NUMBERS = {"AT": 4, "FD": 8, "FL": 4, "SL": 4, "SS": 2, "SV": 8, "UL": 4, "US": 2, "UV": 8}
_ITEM, _SEQUENCE_END = 0xFFFEE000, 0xFFFEE0DD
_ITEM_ENDS = {True: b"\xfe\xff\x0d\xe0\0\0\0\0", False: b"\xff\xfe\xe0\x0d\0\0\0\0"}


def is_read_otherwise(src: bytes, pos: int, end: int, form: Form, *, undefined: bool) -> bool:
    """Tell whether a data set that is read in one encoding can be read in the other as well.

    Parameters
    ----------
    src : bytes
        A file, or its beginning: what would lie behind it is not read.
    pos, end : int
        Span of the data set, or where it ends at the latest.
    form : Form
        The encoding in which it was read.
    undefined : bool
        Its delimiter tells where it ends.
    """
    if pos >= end:
        return False
    other = Form(not form.explicit, form.little)
    try:
        second = _behind(src, pos, end, other, 0)
        if second < 0:
            return False
        # who reads on until nothing makes sense has met two elements then; by chance none is known and in order
        known = second < end and _tag(src, second, other) > _tag(src, pos, other) and _is_known(src, second, other)
        stop = _behind(src, second, end, other, 0) if known else -1
        if stop >= 0 and _says_something(src, second, stop, other):
            return True
        return _data_set(src, pos, end, other, undefined=undefined, depth=0) >= 0
    except error:
        return False  # beyond the bytes at hand


def _tag(src: bytes, pos: int, form: Form) -> int:
    group, element = HEADS[form.little].unpack_from(src, pos)[:2]
    return int(group << 16 | element)


def _is_known(src: bytes, pos: int, form: Form) -> bool:
    return bool(keyword_of(_tag(src, pos, form)))  # which lengths of groups have not: zeros look like one


def _says_something(src: bytes, pos: int, end: int, form: Form) -> bool:
    """Tell whether the value of an element may be one of its VR: what was cut out by chance has zeros in its text."""
    vr = public_vr(_tag(src, pos, form)) or ""
    value = src[pos + (12 if form.explicit and src[pos + 4 : pos + 6] in LONG_CODES else 8) : end]
    if vr == "SQ":
        return value[:4] in _ITEMS
    if vr in _NUMBERS:
        return not len(value) % _NUMBERS[vr]
    return vr in BINARY_VRS or b"\0" not in value[:-1]


def _data_set(src: bytes, pos: int, end: int, form: Form, *, undefined: bool, depth: int) -> int:
    """Return where a data set ends, -1 where it cannot be read."""
    while pos < end:
        if undefined and src[pos : pos + 8] == _ITEM_ENDS[form.little]:
            return pos + 8
        pos = _behind(src, pos, end, form, depth)
        if pos < 0:
            return -1
    return -1 if undefined else pos


def _behind(src: bytes, pos: int, end: int, form: Form, depth: int) -> int:
    """Return where an element ends, -1 where there is none."""
    group, _, code, short = HEADS[form.little].unpack_from(src, pos)
    if group in (0, 2, 0xFFFE) or (form.explicit and code not in VR_OF):
        return -1
    value = pos + (12 if form.explicit and code in LONG_CODES else 8)
    if form.explicit and code not in LONG_CODES:
        stop = value + int(short)
    elif src[value - 4 : value] != UNDEFINED:
        stop = value + int(LENGTHS[form.little].unpack_from(src, value - 4)[0])
    else:
        inside = Form(explicit=False, little=True) if form.explicit and code == b"UN" else form
        stop = _items(src, value, end, inside, depth + 1)
    return stop if stop <= end else -1


def _items(src: bytes, pos: int, end: int, form: Form, depth: int) -> int:
    """Return where items, or fragments, end that no length tells; -1 where they cannot be read."""
    while pos < end and depth < _DEPTH_MAX:
        group, element, length = PLAINS[form.little].unpack_from(src, pos)
        tag = group << 16 | element
        if tag == _SEQUENCE_END and not length:
            return pos + 8
        if tag != _ITEM:
            return -1
        if length == 0xFFFFFFFF:
            pos = _data_set(src, pos + 8, end, form, undefined=True, depth=depth)
            if pos < 0:
                return -1
        else:
            pos += 8 + length
    return -1
