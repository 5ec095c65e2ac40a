"""Bytes of a data set → elements with their offsets; no value is converted (PS3.5 §7)."""

from __future__ import annotations

from dataclasses import dataclass
from struct import Struct

from fw_gear_deid.model import dictionary
from fw_gear_deid.model.errors import Malformed, Odd

UNDEFINED = 0xFFFFFFFF
ITEM = 0xFFFEE000
ITEM_END = 0xFFFEE00D
SEQUENCE_END = 0xFFFEE0DD
PIXEL_DATA = 0x7FE00010
PIXEL_TAGS = frozenset({PIXEL_DATA, 0x7FE00008, 0x7FE00009})  # PixelData, Float-, DoubleFloatPixelData
MAX_DEPTH = 64  # deepest real nesting seen is 6; deeper is an attack on the stack
_LONG = frozenset(vr.encode() for vr in dictionary.LONG_VRS)
_VR_OF = {vr.encode(): vr for vr in dictionary.VRS}


@dataclass(frozen=True, slots=True)
class Encoding:
    """How elements of a data set are written: VR on the wire or not, byte order."""

    explicit: bool
    little: bool


EXPLICIT_LITTLE = Encoding(explicit=True, little=True)
IMPLICIT_LITTLE = Encoding(explicit=False, little=True)
EXPLICIT_BIG = Encoding(explicit=True, little=False)

# tag (two halves), VR, 16-bit length · tag, 32-bit length · 32-bit length
_SHORT = {True: Struct("<HH2sH"), False: Struct(">HH2sH")}
_PLAIN = {True: Struct("<HHL"), False: Struct(">HHL")}
_LENGTH = {True: Struct("<L"), False: Struct(">L")}


class Element:
    """One element of a data set, as a span of the source or as new bytes.

    Attributes
    ----------
    tag : int
    vr : str
        VR for rules: a known public element that stands as UN has the dictionary's VR (PS3.5 §6.2.2).
    wire : str
        VR as written; equal to ``vr`` unless it is UN on the wire. Kept on writing.
    start, value, end : int
        Offsets in the source of header, value and the byte after (delimiters included); -1 when new.
    undefined : bool
        Undefined length: a sequence, or encapsulated pixel data.
    items : list of Dataset, or None
        For sequences.
    raw : bytes or None
        New value; None while the source's stands.
    """

    __slots__ = ("dirty", "end", "items", "owner", "raw", "start", "tag", "undefined", "value", "vr", "wire")

    def __init__(
        self, tag: int, vr: str, wire: str, start: int, value: int, end: int, undefined: bool, owner: Dataset
    ) -> None:
        self.tag = tag
        self.vr = vr
        self.wire = wire
        self.start = start
        self.value = value
        self.end = end
        self.undefined = undefined
        self.owner = owner
        self.items: list[Dataset] | None = None
        self.raw: bytes | None = None
        self.dirty = False


class Dataset:
    """Elements of the top level, the file meta or one item, in the order of the source.

    Attributes
    ----------
    elements : dict of int to Element
    encoding : Encoding
    parent : Element or None
        The sequence that holds this item.
    start, end : int
        Span of the elements, without item header and delimiter.
    head, tail : int
        Span with them; equal to ``start`` and ``end`` outside sequences.
    undefined : bool
        Item of undefined length.
    inserted : list of Element
        New elements; written at their place in tag order.
    index : int
        Position among the items of ``parent``.
    """

    __slots__ = (
        "dirty", "elements", "encoding", "end", "head", "index", "inserted", "parent", "start", "tail", "undefined"
    )  # fmt: skip

    def __init__(self, encoding: Encoding, parent: Element | None, start: int, head: int) -> None:
        self.elements: dict[int, Element] = {}
        self.encoding = encoding
        self.parent = parent
        self.start = start
        self.end = start
        self.head = head
        self.tail = start
        self.undefined = False
        self.inserted: list[Element] = []
        self.index = 0
        self.dirty = False


class _Stop(Exception):
    """The next bytes are no element: where, and what the caller may raise."""

    def __init__(self, at: int, error: Exception) -> None:
        super().__init__()
        self.at = at
        self.error = error


# The command set and the file meta have no place in a data set, PS3.7 §6.3, PS3.10 §7.1
_FORBIDDEN_GROUPS = frozenset({0x0000, 0x0002})


def scan(src: bytes, start: int, encoding: Encoding) -> tuple[Dataset, int]:
    """Scan the top level of a data set to the end of the bytes.

    Returns
    -------
    Dataset, int
        The elements, and where bytes begin that belong to no element (the length of ``src`` if none).

    Raises
    ------
    Malformed
        A value or a sequence runs past the end.
    Odd
        The encoding is not one that this scanner knows.
    """
    ds = Dataset(encoding, None, start, start)
    try:
        ds.end = _elements(src, ds, start, len(src), 0)
    except _Stop as stop:
        if not _is_complete(ds, src, stop.at):
            raise stop.error from None
        ds.end = stop.at
    ds.tail = ds.end
    return ds, ds.end


def _is_complete(ds: Dataset, src: bytes, end: int) -> bool:
    """Tell whether what follows belongs to no element: after the pixels or padding, or itself padding."""
    if any(tag >= 0x7FE00000 for tag in ds.elements):
        return True
    is_image = 0x00280010 in ds.elements  # Rows: pixels are due, so what is there instead is damage
    return bool(ds.elements) and not src[end : end + 8 if not is_image else None].strip(b"\0")


def scan_meta(src: bytes, start: int) -> Dataset:
    """Scan the file meta information: explicit VR little endian, group 0002 (PS3.10 §7.1).

    Raises
    ------
    Malformed, Odd
        As ``scan``.
    """
    ds = Dataset(EXPLICIT_LITTLE, None, start, start)
    try:
        ds.end = ds.tail = _elements(src, ds, start, len(src), 0, meta=True)
    except _Stop as stop:
        raise stop.error from None
    return ds


def scan_head(src: bytes, start: int, encoding: Encoding, last: int) -> Dataset | None:
    """Scan the top level up to an element after ``last``; None when the bytes end, or make no sense, before it."""
    ds = Dataset(encoding, None, start, start)
    try:
        ds.end = ds.tail = _elements(src, ds, start, len(src), 0, last=last)
    except _Stop:
        return None
    return ds if ds.end < len(src) else None


_NO_LAST = 0xFFFFFFFF


def _elements(
    src: bytes, ds: Dataset, pos: int, end: int, depth: int, *, meta: bool = False, last: int = _NO_LAST
) -> int:
    """Fill ``ds`` from ``pos``; return where it ended (after its delimiter when of undefined length)."""
    explicit, little = ds.encoding.explicit, ds.encoding.little
    short, plain, length_of = _SHORT[little].unpack_from, _PLAIN[little].unpack_from, _LENGTH[little].unpack_from
    elements = ds.elements
    long_vrs, vr_of, public_vr = _LONG, _VR_OF, dictionary.public_vr
    while pos < end:
        begin = pos
        if end - pos < 8:
            raise _Stop(begin, Malformed(f"cut off after {_last(ds)}"))
        if explicit:
            group, element, code, length = short(src, pos)
        else:
            group, element, length = plain(src, pos)
            code = b""
        tag = group << 16 | element
        if (meta and group != 2) or tag > last:
            return pos
        if group == 0xFFFE:
            if tag == ITEM_END and ds.undefined and plain(src, pos)[2] == 0:
                ds.end = pos
                return pos + 8
            raise _Stop(begin, Odd(f"an item delimiter stands after {_last(ds)}"))
        if group in _FORBIDDEN_GROUPS and not meta:
            raise _Stop(begin, Odd(f"{dictionary.format_tag(tag)} does not belong in a data set"))
        if tag in elements:
            raise _Stop(begin, Odd(f"{dictionary.format_tag(tag)} stands twice"))
        pos += 8
        if explicit:
            wire = vr_of.get(code, "")
            if not wire:
                raise _Stop(begin, Odd(f"the element after {_last(ds)} has no known VR"))
            if code in long_vrs:
                if end - pos < 4:
                    raise _Stop(begin, Malformed(f"cut off after {_last(ds)}"))
                (length,) = length_of(src, pos)
                pos += 4
            vr = wire if wire != "UN" else public_vr(tag) or "UN"
        else:
            wire = vr = public_vr(tag) or ("LO" if dictionary.is_private_creator(tag) else "UN")
        if length == UNDEFINED:
            el = Element(tag, vr, wire, begin, pos, pos, True, ds)
            pos = _undefined(src, el, end, depth)
        else:
            if length > end - pos:
                raise _Stop(begin, Malformed(f"{dictionary.format_tag(tag)} runs past the end"))
            el = Element(tag, vr, wire, begin, pos, pos + length, False, ds)
            if vr == "SQ":
                _items(src, el, pos + length, depth)
            elif length >= 8 and wire == "UN" and src[pos : pos + 4] == b"\xfe\xff\x00\xe0":
                _items_if_any(src, el, pos + length, depth)
            pos += length
        el.end = pos
        elements[tag] = el
    if ds.undefined:
        raise _Stop(pos, Malformed("an item of undefined length has no end"))
    if not ds.parent:
        return pos
    ds.end = pos
    return pos


def _undefined(src: bytes, el: Element, end: int, depth: int) -> int:
    """Read a value of undefined length: sequence items, or the fragments of encapsulated pixel data."""
    if el.vr in ("SQ", "UN"):
        el.vr = "SQ"
        return _items(src, el, end, depth)
    if el.wire in ("OB", "OW") and el.owner.encoding.little:
        pos = el.value
        while end - pos >= 8:
            group, element, length = _PLAIN[True].unpack_from(src, pos)
            pos += 8
            tag = group << 16 | element
            if tag == SEQUENCE_END and length == 0:
                return pos
            if tag != ITEM:
                raise _Stop(el.start, Odd(f"a fragment of {dictionary.format_tag(el.tag)} is no item"))
            pos += length
        raise _Stop(el.start, Malformed(f"the fragments of {dictionary.format_tag(el.tag)} have no end"))
    raise _Stop(el.start, Odd(f"{dictionary.format_tag(el.tag)} {el.wire} has an undefined length"))


def _items(src: bytes, el: Element, end: int, depth: int) -> int:
    """Read the items of a sequence (PS3.5 §7.5); return where the sequence ended."""
    where = dictionary.format_tag(el.tag)
    if depth >= MAX_DEPTH:
        raise _Stop(el.start, Malformed(f"{where}: sequences are nested deeper than {MAX_DEPTH}"))
    # PS3.5 §6.2.2: what stands as UN is implicit VR little endian inside
    encoding = IMPLICIT_LITTLE if el.wire == "UN" else el.owner.encoding
    plain = _PLAIN[encoding.little].unpack_from
    items: list[Dataset] = []
    pos = el.value
    while True:
        if pos == end and not el.undefined:
            break
        if end - pos < 8:
            raise _Stop(el.start, Malformed(f"{where}: the sequence has no end"))
        group, element, length = plain(src, pos)
        tag = group << 16 | element
        if tag == SEQUENCE_END and el.undefined and length == 0:
            pos += 8
            break
        if tag != ITEM:
            raise _Stop(el.start, Odd(f"{where}: something else stands where an item is due"))
        item = Dataset(_peek(src, pos + 8, end, encoding), el, pos + 8, pos)
        pos += 8
        try:
            if length == UNDEFINED:
                item.undefined = True
                pos = _elements(src, item, pos, end, depth + 1)
            elif length > end - pos:
                raise _Stop(el.start, Malformed(f"{where}: an item runs past the end"))
            else:
                pos = _elements(src, item, pos, pos + length, depth + 1)
        except _Stop as stop:
            # the sequence as a whole is what cannot be read
            raise _Stop(el.start, stop.error) from None
        item.tail = pos
        item.index = len(items)
        items.append(item)
    el.items = items
    return pos


def _items_if_any(src: bytes, el: Element, end: int, depth: int) -> None:
    """Read a private UN value as a sequence when it is one from its first byte to its last."""
    try:
        _items(src, el, end, depth)
    except _Stop:
        el.items = None
    else:
        el.vr = "SQ"


def _peek(src: bytes, pos: int, end: int, encoding: Encoding) -> Encoding:
    """Return how an item is really encoded: some writers change between explicit and implicit VR inside."""
    if end - pos < 8:
        return encoding
    group, _, code, _ = _SHORT[encoding.little].unpack_from(src, pos)
    if group == 0xFFFE:
        return encoding
    explicit = code in _VR_OF
    if explicit and not encoding.explicit:
        # a 32-bit length such as 0x4C46 spells a VR, too: the element after must have one as well
        explicit = _has_vr_after(src, pos, end, encoding)
    return Encoding(explicit, encoding.little)


def _has_vr_after(src: bytes, pos: int, end: int, encoding: Encoding) -> bool:
    """Tell whether an element, read with its VR, is followed by another with a VR, an item or the end."""
    _, _, code, length = _SHORT[encoding.little].unpack_from(src, pos)
    pos += 8
    if code in _LONG:
        if end - pos < 4:
            return False
        (length,) = _LENGTH[encoding.little].unpack_from(src, pos)
        if length == UNDEFINED:
            return True
        pos += 4
    pos += length
    if end - pos < 8:
        return pos == end
    group, _, code, _ = _SHORT[encoding.little].unpack_from(src, pos)
    return group == 0xFFFE or code in _VR_OF


def _last(ds: Dataset) -> str:
    return dictionary.format_tag(next(reversed(ds.elements))) if ds.elements else "the start"


def is_explicit(src: bytes, pos: int, encoding: Encoding) -> bool:
    """Tell whether a data set starts with a VR on the wire, whatever its transfer syntax claims."""
    return _peek(src, pos, len(src), encoding).explicit
