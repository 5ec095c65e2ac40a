"""Descriptions of elements → DICOM bytes, written down from PS3.5 §7 and PS3.10 §7.1 with no help of the codec."""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from dataclasses import dataclass, replace

ITEM, ITEM_END, SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
UNDEFINED = 0xFFFFFFFF
LONG_VRS = frozenset(["OB", "OD", "OF", "OL", "OV", "OW", "SQ", "SV", "UC", "UN", "UR", "UT", "UV"])  # PS3.5 §7.1.2
CT = "1.2.840.10008.5.1.4.1.1.2"
UID = "1.2.826.0.1.3680043.8.498.1"


@dataclass(frozen=True, slots=True)
class Syntax:
    """A transfer syntax: UID, VR on the wire, byte order, deflated."""

    uid: str
    explicit: bool = True
    little: bool = True
    deflated: bool = False


SYNTAXES = {
    "explicit": Syntax("1.2.840.10008.1.2.1"),
    "implicit": Syntax("1.2.840.10008.1.2", explicit=False),
    "big": Syntax("1.2.840.10008.1.2.2", little=False),
    "deflated": Syntax("1.2.840.10008.1.2.1.99", deflated=True),
    "jpeg": Syntax("1.2.840.10008.1.2.4.50"),
}


@dataclass(frozen=True, slots=True)
class Leaf:
    """An element with its value bytes as they stand on the wire."""

    tag: int
    vr: str
    value: bytes = b""


@dataclass(frozen=True, slots=True)
class Item:
    """An item of a sequence; ``implicit`` when it is so whatever holds it."""

    elements: tuple[Node, ...] = ()
    undefined: bool = False
    implicit: bool = False


@dataclass(frozen=True, slots=True)
class Seq:
    """A sequence; as UN its items are implicit VR little endian (PS3.5 §6.2.2)."""

    tag: int
    items: tuple[Item, ...] = ()
    undefined: bool = False
    vr: str = "SQ"


@dataclass(frozen=True, slots=True)
class Fragments:
    """Encapsulated pixel data: basic offset table and fragments."""

    parts: tuple[bytes, ...]
    tag: int = 0x7FE00010
    vr: str = "OB"


Node = Leaf | Seq | Fragments


def text(tag: int, vr: str, value: str | bytes) -> Leaf:
    """Return a text element, padded to even length (PS3.5 §6.2)."""
    raw = value.encode("ascii") if isinstance(value, str) else value
    return Leaf(tag, vr, raw if len(raw) % 2 == 0 else raw + (b"\0" if vr in ("UI", "UN", "OB") else b" "))


def encode(elements: Iterable[Node], syntax: Syntax) -> bytes:
    """Return the bytes of a data set."""
    return b"".join(_element(node, syntax) for node in elements)


def _element(node: Node, syntax: Syntax) -> bytes:
    match node:
        case Leaf(tag, vr, value):
            return header(tag, vr, len(value), syntax) + value
        case Fragments(parts, tag, vr):
            body = b"".join(_item_header(ITEM, len(part), syntax) + part for part in parts)
            return header(tag, vr, UNDEFINED, syntax) + body + _item_header(SEQUENCE_END, 0, syntax)
        case Seq(tag, items, undefined, vr):
            inside = SYNTAXES["implicit"] if vr == "UN" else syntax
            body = b"".join(_item(item, inside) for item in items)
            if undefined:
                return header(tag, vr, UNDEFINED, syntax) + body + _item_header(SEQUENCE_END, 0, inside)
            return header(tag, vr, len(body), syntax) + body


def _item(item: Item, syntax: Syntax) -> bytes:
    body = encode(item.elements, replace(syntax, explicit=False) if item.implicit else syntax)
    if item.undefined:
        return _item_header(ITEM, UNDEFINED, syntax) + body + _item_header(ITEM_END, 0, syntax)
    return _item_header(ITEM, len(body), syntax) + body


def header(tag: int, vr: str, length: int, syntax: Syntax) -> bytes:
    """Return tag, VR when explicit, and length."""
    number = length.to_bytes(4, _order(syntax))
    if not syntax.explicit:
        return _tag(tag, syntax) + number
    if vr in LONG_VRS:
        return _tag(tag, syntax) + vr.encode() + b"\0\0" + number
    return _tag(tag, syntax) + vr.encode() + length.to_bytes(2, _order(syntax))


def _item_header(tag: int, length: int, syntax: Syntax) -> bytes:
    return _tag(tag, syntax) + length.to_bytes(4, _order(syntax))


def _tag(tag: int, syntax: Syntax) -> bytes:
    return (tag >> 16).to_bytes(2, _order(syntax)) + (tag & 0xFFFF).to_bytes(2, _order(syntax))


def _order(syntax: Syntax) -> str:
    return "little" if syntax.little else "big"


def meta_of(syntax: Syntax) -> tuple[Node, ...]:
    """Return the elements that file meta information must have, without its length."""
    return (
        Leaf(0x00020001, "OB", b"\0\1"),
        text(0x00020002, "UI", CT),
        text(0x00020003, "UI", UID),
        text(0x00020010, "UI", syntax.uid),
    )


def file_meta(elements: Iterable[Node]) -> bytes:
    """Return file meta information with a right group length."""
    body = encode(elements, SYNTAXES["explicit"])
    return encode([Leaf(0x00020000, "UL", len(body).to_bytes(4, "little"))], SYNTAXES["explicit"]) + body


def part10(
    elements: Iterable[Node],
    syntax: Syntax,
    *,
    preamble: bytes = bytes(128),
    meta: bytes | None = None,
    after: bytes = b"",
) -> bytes:
    """Return a whole file; ``after`` follows the last element."""
    body = encode(elements, syntax) + after
    return (
        preamble
        + b"DICM"
        + (file_meta(meta_of(syntax)) if meta is None else meta)
        + (deflate(body) if syntax.deflated else body)
    )


def deflate(body: bytes) -> bytes:
    """Return a deflated data set, padded to even length (PS3.5 §A.5)."""
    stream = zlib.compressobj(6, zlib.DEFLATED, -15)
    deflated = stream.compress(body) + stream.flush()
    return deflated + b"\0" * (len(deflated) % 2)


IDENTITY: tuple[Node, ...] = (
    text(0x00080016, "UI", CT),
    text(0x00080018, "UI", UID),
    text(0x00080060, "CS", "CT"),
    text(0x00100010, "PN", "ZZ^CANARY^7F3A"),
    text(0x00100020, "LO", "ZZCANARY7F3A"),
)
_REFERENCE: tuple[Node, ...] = (text(0x00081150, "UI", CT), text(0x00081155, "UI", UID + ".7"))
PIXELS = bytes(range(64)) * 2


def sample(syntax: Syntax) -> tuple[Node, ...]:
    """Return one of everything that a data set of this syntax can hold."""
    order = _order(syntax)
    pixels: Node = Leaf(0x7FE00010, "OW", PIXELS)
    if syntax.uid == SYNTAXES["jpeg"].uid:
        pixels = Fragments((b"", PIXELS[:60], PIXELS[60:]))
    return (
        Leaf(0x00080000, "UL", (64).to_bytes(4, order)),
        *IDENTITY[:3],
        Seq(0x00081140, (Item(_REFERENCE), Item(_REFERENCE, undefined=True)), undefined=True),
        Seq(0x00081199, (Item((Seq(0x00081140, (Item(_REFERENCE),)),)),)),
        Leaf(0x00090010, "LO", b"ZZ CREATOR"),
        Leaf(0x00091001, "UN", b"private bytes, odd"),
        Leaf(0x00091002, "UN", b"\xfe\xff\x00\xe0no sequence"),
        Seq(0x00091003, (Item((text(0x00100010, "PN", "ZZ^NESTED"),)),), vr="UN"),
        Seq(0x00091004, (Item(_REFERENCE, undefined=True), Item()), undefined=True, vr="UN"),
        *IDENTITY[3:],
        Leaf(0x00101010, "AS", b""),
        Leaf(0x00180015, "CS", b"ODD"),
        Leaf(0x00189073, "FD", b"\0" * 8),
        Leaf(0x00200013, "IS", b"7 "),
        Leaf(0x00280009, "AT", (0x0018).to_bytes(2, order) + (0x1063).to_bytes(2, order)),
        Leaf(0x00280010, "US", (8).to_bytes(2, order)),
        Leaf(0x00280011, "US", (8).to_bytes(2, order)),
        Leaf(0x00280100, "US", (16).to_bytes(2, order)),
        Leaf(0x00280103, "US", bytes(2)),
        Leaf(0x00324000, "LT", b"free text \\ with a backslash"),
        Seq(0x0040A730, (), undefined=True),
        pixels,
    )
