"""Edited data set → bytes: untouched spans as they were, new values between them (PS3.5 §7)."""

from __future__ import annotations

from fw_gear_deid.formats.dicom.scan import (
    ITEM,
    ITEM_END,
    SEQUENCE_END,
    UNDEFINED,
    Dataset,
    Element,
    Encoding,
)
from fw_gear_deid.model.dictionary import LONG_VRS, format_tag
from fw_gear_deid.model.errors import Unfit

Pieces = list[bytes | memoryview]


def splice(src: memoryview, ds: Dataset, out: Pieces) -> int:
    """Append the bytes of ``ds`` to ``out``; return how many they are.

    Parameters
    ----------
    src : memoryview
        The bytes that ``ds`` was scanned from.
    ds : Dataset
    out : list of bytes or memoryview
    """
    if not ds.dirty:
        out.append(src[ds.start : ds.end])
        return ds.end - ds.start
    size = 0
    begin = cursor = ds.start
    for el in in_order(ds):
        if not el.dirty:
            if el.start != cursor:
                out.append(src[begin:cursor])
                size += cursor - begin
                begin = el.start
            cursor = el.end
            continue
        if cursor > begin:
            out.append(src[begin:cursor])
            size += cursor - begin
        begin = cursor = max(cursor, el.end)
        size += _write(src, el, out)
    out.append(src[begin:cursor])
    return size + cursor - begin


def in_order(ds: Dataset) -> list[Element]:
    """Return the elements with each inserted one before the first of a higher tag."""
    order = list(ds.elements.values())
    if not ds.inserted:
        return order
    new = {id(el) for el in ds.inserted}
    order = [el for el in order if id(el) not in new]
    out: list[Element] = []
    waiting = sorted(ds.inserted, key=lambda el: el.tag, reverse=True)
    for el in order:
        while waiting and waiting[-1].tag < el.tag:
            out.append(waiting.pop())
        out.append(el)
    out.extend(reversed(waiting))
    return out


def _write(src: memoryview, el: Element, out: Pieces) -> int:
    """Append one changed element."""
    encoding = el.owner.encoding
    if el.items is None:
        value = el.raw if el.raw is not None else src[el.value : el.end]
        head = header(el, encoding, len(value))
        out.append(head)
        out.append(value)
        return len(head) + len(value)
    content: Pieces = []
    size = sum(_write_item(src, item, content) for item in el.items)
    if el.undefined:
        # what stands as UN is little endian inside, its delimiter included (PS3.5 §6.2.2)
        order = "little" if encoding.little or el.wire == "UN" else "big"
        content.append(_tag_bytes(SEQUENCE_END, order) + bytes(4))
        size += 8
    head = header(el, encoding, UNDEFINED if el.undefined else size)
    out.append(head)
    out.extend(content)
    return len(head) + size


def _write_item(src: memoryview, item: Dataset, out: Pieces) -> int:
    if not item.dirty:
        out.append(src[item.head : item.tail])
        return item.tail - item.head
    order = "little" if item.encoding.little else "big"
    content: Pieces = []
    size = splice(src, item, content)
    length = UNDEFINED if item.undefined else size
    out.append(_tag_bytes(ITEM, order) + length.to_bytes(4, order))  # type: ignore[arg-type]
    out.extend(content)
    if item.undefined:
        out.append(_tag_bytes(ITEM_END, order) + bytes(4))
        size += 8
    return size + 8


def _tag_bytes(tag: int, order: str) -> bytes:
    return (tag >> 16).to_bytes(2, order) + (tag & 0xFFFF).to_bytes(2, order)  # type: ignore[arg-type]


def header(el: Element, encoding: Encoding, length: int) -> bytes:
    """Return the header of an element: tag, VR when explicit, length (PS3.5 §7.1.2, §7.1.3).

    Raises
    ------
    Unfit
        The value is too long for a 16-bit length.
    """
    order = "little" if encoding.little else "big"
    tag = _tag_bytes(el.tag, order)
    if not encoding.explicit:
        return tag + length.to_bytes(4, order)  # type: ignore[arg-type]
    if el.wire in LONG_VRS:
        return tag + el.wire.encode() + b"\0\0" + length.to_bytes(4, order)  # type: ignore[arg-type]
    if length > 0xFFFE:
        raise Unfit(f"{format_tag(el.tag)}: the new value is too long for VR {el.wire}")
    return tag + el.wire.encode() + length.to_bytes(2, order)  # type: ignore[arg-type]
