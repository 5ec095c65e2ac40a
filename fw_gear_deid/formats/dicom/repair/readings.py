"""The readings that are tried where bytes are not plain, in their order; docs/repairs.md has the same table.

Each is one small function: it yields the states that it leads to, or none. One that leads to the last byte of the data
set is taken where no other does as well.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from fw_gear_deid.formats.dicom import values
from fw_gear_deid.formats.dicom.repair.reader import Head, Kind, Reader, Row
from fw_gear_deid.formats.dicom.repair.tree import (
    ITEM_END,
    SEQUENCE_END,
    Entries,
    Fix,
    State,
    delimiter,
    in_order,
    wire_of,
)
from fw_gear_deid.formats.dicom.wire import UNDEFINED, header
from fw_gear_deid.model.dictionary import (
    TEXT_VRS,
    VRS,
    certain_vr,
    is_private,
    is_private_creator,
    keyword_of,
    public_vr,
)

_FRAMES = 0x00280008
_PIXEL_DATA = 0x7FE00010
_JPEG_STARTS, _JPEG_END = (b"\xff\xd8", b"\xff\x4f"), b"\xff\xd9"  # also of JPEG 2000
_CONTROL = bytes(code for code in range(32) if code not in b"\t\n\f\r\x1b") + b"\x7f"


def _plausible(tag: int) -> bool:
    """Tell whether a tag is one that files have: text and pixels spell others."""
    return bool(keyword_of(tag)) or (is_private(tag) and tag >> 16 > 8)


def _vr_of(tag: int) -> str:
    """Return the VR with which an element is written that has none: UN where there is a choice."""
    return "LO" if is_private_creator(tag) else certain_vr(tag) or "UN"


def _anew(reader: Reader, state: State, head: Head, words: str) -> Iterator[State]:
    if _plausible(head.tag):
        vr = _vr_of(head.tag)
        vr = "SQ" if vr == "UN" and head.stop < 0 else vr
        if head.stop > head.value and not _fits(reader.src[head.value : head.stop], vr):
            return
        anew = head._replace(wire="", vr=vr, fresh=vr)
        yield from reader.value(state.fixed(head.tag, vr, words), anew)


def _fits(raw: bytes, vr: str) -> bool:
    """Tell whether a value may be of a VR: by chance a length leads to where another element begins."""
    if vr in values.NUMBERS or vr == "AT":
        return len(raw) % (4 if vr == "AT" else struct.calcsize(values.NUMBERS[vr])) == 0
    return vr not in TEXT_VRS or b"\0" not in raw.rstrip(b"\0 ")


def short_vr(reader: Reader, state: State, head: Head, words: str) -> Iterator[State]:
    """Read a VR that is not known, printable or blank, with a 16-bit length."""
    code = reader.src[state.pos + 4 : state.pos + 6]
    if code == b"\0\0" or all(0x20 <= one < 0x7F for one in code):
        value = state.pos + 8
        stop = value + reader.number(state.pos + 6, 2, state.frame.encoding)
        yield from _anew(reader, state, head._replace(value=value, stop=stop), words)


def long_vr(reader: Reader, state: State, head: Head, words: str) -> Iterator[State]:
    """Read a VR that is not known, two capitals, with two reserved bytes and a 32-bit length."""
    code, reserved = reader.src[state.pos + 4 : state.pos + 6], reader.src[state.pos + 6 : state.pos + 8]
    if not (code.isalpha() and code.isupper() and reserved == b"\0\0" and reader.fits(state.frame, state.pos, 12)):
        return
    length = reader.number(state.pos + 8, 4, state.frame.encoding)
    if length != UNDEFINED:
        value = state.pos + 12
        yield from _anew(reader, state, head._replace(value=value, stop=value + length), words)


def no_vr(reader: Reader, state: State, head: Head, words: str) -> Iterator[State]:
    """Read an element as in implicit VR: its tag, and a 32-bit length."""
    length = reader.number(state.pos + 4, 4, state.frame.encoding)
    if not state.frame.encoding.little or length == 0:
        return  # of no length it is blank: read already
    value = state.pos + 8
    stop = -1 if length == UNDEFINED else value + length
    yield from _anew(reader, state, head._replace(value=value, stop=stop), words)


def stray_group(reader: Reader, state: State, head: Head, words: str) -> Iterator[State]:
    """Drop an element of the file meta, or of a command, that stands in the data set."""
    tag, frame = head.tag, state.frame
    vr = public_vr(tag)
    wire = reader.src[state.pos + 4 : state.pos + 6].decode("latin-1")
    if frame.encoding.explicit and wire in VRS:
        known = reader.explicit_head(state, tag, wire, reader.number(state.pos + 6, 2, frame.encoding))
    else:
        value = state.pos + 8
        known = Head(tag, "", "", value, value + reader.number(state.pos + 4, 4, frame.encoding))
    if vr is None or known is None or not known.value <= known.stop <= frame.limit:
        return
    if tag & 0xFFFF or known.stop - known.value == 4:  # zeros are no group length
        yield state.fixed(tag, vr, words, known.stop - state.pos)._replace(pos=known.stop)


def closed_by_sequence(reader: Reader, state: State, head: Head, words: str) -> Iterator[State]:
    """End an item where the delimiter of its sequence stands."""
    frame = state.frame
    above = frame.above
    if head.tag != SEQUENCE_END or frame.end >= 0 or frame.told >= 0 or above is None or not _is_bare(reader, state):
        return
    if above.end < 0 or state.pos + 8 == above.end:
        yield from reader.close(state.fixed(head.tag, "", words), state.pos, state.pos)


def stray_delimiter(reader: Reader, state: State, head: Head, words: str) -> Iterator[State]:
    """Drop a delimiter in what has a length of its own, or between items."""
    frame = state.frame
    if not _is_bare(reader, state):
        return
    last = state.pos + 8 == frame.end
    if frame.sequence:
        ok = head.tag == ITEM_END or (head.tag == SEQUENCE_END and last)
    else:
        ok = head.tag in (ITEM_END, SEQUENCE_END) and frame.end >= 0
    if ok:
        yield state.fixed(head.tag, "", words, 8)._replace(pos=state.pos + 8)


def _is_bare(reader: Reader, state: State) -> bool:
    return reader.src[state.pos + 4 : state.pos + 8] == bytes(4)


def long_delimiter(reader: Reader, state: State, head: Head, words: str) -> Iterator[State]:
    """End an item or a sequence with a delimiter that tells a length."""
    frame = state.frame
    due = SEQUENCE_END if frame.sequence else ITEM_END
    if head.tag == due and frame.end < 0 and frame.told < 0 and not _is_bare(reader, state):
        yield from reader.close(state.fixed(head.tag, "", words), state.pos, state.pos + 8)


def padding(reader: Reader, state: State, head: Head, words: str) -> Iterator[State]:
    """Drop zeros or blanks behind the last item of a sequence that has a length."""
    frame = state.frame
    rest = reader.src[state.pos : frame.end] if frame.end >= 0 else b"."
    if not rest.strip(b"\0") or not rest.strip(b" "):
        fix = Fix(frame.path, frame.tag, "", words, len(rest))
        yield from reader.close(state._replace(fixes=(fix, state.fixes)), state.pos, frame.end)


def unclosed(reader: Reader, state: State, head: Head, words: str) -> Iterator[State]:
    """End what has no delimiter where that ends which holds it; the end of the file ends nothing."""
    frame = state.frame
    if frame.bounded:
        due = SEQUENCE_END if frame.sequence else ITEM_END
        yield from reader.close(state.fixed(due, "", words), state.pos, state.pos)


def emptied(reader: Reader, state: State, head: Head, words: str) -> Iterator[State]:
    """Empty a sequence that is text, where no VR on the wire could tell that it is none."""
    frame = state.frame
    if not frame.encoding.explicit and _is_text(reader, head):
        size = head.stop - head.value
        fixed = state.fixed(head.tag, "SQ", words, size)
        yield fixed.took(head.tag, head.stop, header(head.tag, "SQ", frame.encoding, 0))


def as_text(reader: Reader, state: State, head: Head, words: str) -> Iterator[State]:
    """Read a sequence that is text as text."""
    frame = state.frame
    if frame.encoding.explicit and _is_text(reader, head):
        value = reader.src[head.value : head.stop]
        fixed = state.fixed(head.tag, "UT", words)
        yield fixed.took(head.tag, head.stop, header(head.tag, "UT", frame.encoding, len(value)) + value)


def _is_text(reader: Reader, head: Head) -> bool:
    value = reader.src[head.value : head.stop].rstrip(b"\0")
    return len(value.translate(None, _CONTROL)) == len(value)


def hidden_sequence(reader: Reader, state: State, head: Head, words: str) -> Iterator[State]:
    """Read a value as items where the dictionary says that it is a sequence."""
    for way in reader.hidden(state.fixed(head.tag, head.wire, words), head):
        if len(way.frame.explicit) < 2:
            yield reader.revealed(state, head, way, wire_of(way.frame))


def hidden_lengths(reader: Reader, state: State, head: Head, words: str) -> Iterator[State]:
    """End each item of a value where the next one begins, a byte or two off from where its length says."""
    yield from reader.revealing(state.fixed(head.tag, head.wire, words), head, loose=True)


def doubles(reader: Reader, state: State, head: Head, words: str) -> Iterator[State]:
    """Drop elements that stand in a data set already, with the same bytes."""
    first: dict[int, bytes] = {}
    kept: Entries = None
    for entry in in_order(state.frame.entries):
        raw = reader.src[entry.start : entry.stop]
        if first.setdefault(entry.tag, raw) != raw:
            return
        if first[entry.tag] is raw:
            kept = entry, kept
        else:
            state = state.fixed(entry.tag, "", words, len(raw))
    yield state._replace(frame=state.frame._replace(entries=kept))


def whole_fragments(reader: Reader, state: State, head: Head, words: str) -> Iterator[State]:
    """End the pixel data behind its last fragment, where nothing but zeros follows and no frame is missing."""
    frame, pos = state.frame, head.stop
    rest = reader.src[pos : frame.limit]
    last = frame.above is None and head.tag == _PIXEL_DATA and not rest.strip(b"\0")
    if not last or not _has_all_frames(reader, state, head):
        return
    fixed = state.fixed(head.tag, head.wire, words)
    new = reader.src[state.pos : pos] + delimiter(SEQUENCE_END, frame.encoding)
    yield fixed.took(head.tag, frame.limit, new)


def long_end(reader: Reader, state: State, head: Head, words: str) -> Iterator[State]:
    """End the pixel data with a delimiter that tells a length."""
    pos, end = head.stop, delimiter(SEQUENCE_END, state.frame.encoding)
    if reader.fits(state.frame, pos, 8) and reader.src[pos : pos + 4] == end[:4]:
        fixed = state.fixed(head.tag, head.wire, words)
        yield fixed.took(head.tag, pos + 8, reader.src[state.pos : pos] + end)


def _has_all_frames(reader: Reader, state: State, head: Head) -> bool:
    """Tell whether no frame, and no part of one, is missing: by what JPEG and RLE say of themselves."""
    pos, found = head.value, []
    while pos < head.stop:
        length = reader.number(pos + 4, 4, state.frame.encoding)
        found.append(reader.src[pos + 8 : pos + 8 + length])
        pos += 8 + length
    pixels = found[1:]  # the first is the table of offsets
    if not pixels:
        return False
    if pixels[0].startswith(_JPEG_STARTS):
        return len(pixels) >= _frames(reader, state) and pixels[-1].rstrip(b"\0").endswith(_JPEG_END)
    return len(pixels) == _frames(reader, state) and all(map(_is_rle, pixels))


def _frames(reader: Reader, state: State) -> int:
    """Return the number of frames that the data set tells."""
    for entry in in_order(state.frame.entries):
        if entry.tag == _FRAMES:
            digits = reader.src[entry.start + 8 : entry.stop].strip(b"\0 ")
            return int(digits) if digits.isdigit() else 1 << 32
    return 1


def _is_rle(frame: bytes) -> bool:
    """Tell whether a fragment begins with the header of a frame in RLE (PS3.5 §G.5)."""
    return len(frame) > 64 and 1 <= int.from_bytes(frame[:4], "little") <= 15 and frame[4:8] == b"@\0\0\0"


READINGS = (
    Row(Kind.VR, "VR that does not exist", short_vr),
    Row(Kind.VR, "VR that does not exist, with a long length", long_vr),
    Row(Kind.VR, "element without VR", no_vr),
    Row(Kind.GROUP, "file meta or command in the data set", stray_group),
    Row(Kind.DELIMITER, "item ended by the delimiter of its sequence", closed_by_sequence),
    Row(Kind.DELIMITER, "delimiter that ends nothing", stray_delimiter),
    Row(Kind.DELIMITER, "delimiter with a length", long_delimiter),
    Row(Kind.IN_SEQUENCE, "delimiter that ends nothing", stray_delimiter),
    Row(Kind.IN_SEQUENCE, "delimiter with a length", long_delimiter),
    Row(Kind.IN_SEQUENCE, "padding behind the last item", padding),
    Row(Kind.NO_END, "no delimiter before the end", unclosed),
    Row(Kind.NO_ITEMS, "text where a sequence is due", as_text),
    Row(Kind.NO_ITEMS, "text where a sequence is due, emptied", emptied),
    Row(Kind.HIDDEN, "sequence with another VR", hidden_sequence),
    Row(Kind.LENGTHS, "lengths of items in a value", hidden_lengths),
    Row(Kind.FRAGMENTS, "fragments without an end", whole_fragments),
    Row(Kind.FRAGMENTS, "delimiter with a length", long_end),
    Row(Kind.TWICE, "element that stands twice", doubles),
)
