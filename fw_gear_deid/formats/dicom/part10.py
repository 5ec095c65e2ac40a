"""Bytes of a file → Draft, and Draft → bytes: preamble, file meta, data set (PS3.10 §7.1)."""

from __future__ import annotations

import zlib
from typing import IO

from fw_gear_deid.formats.dicom import careful
from fw_gear_deid.formats.dicom.draft import Draft
from fw_gear_deid.formats.dicom.scan import (
    EXPLICIT_BIG,
    EXPLICIT_LITTLE,
    IMPLICIT_LITTLE,
    Dataset,
    Encoding,
    is_explicit,
    scan,
    scan_head,
    scan_meta,
)
from fw_gear_deid.formats.dicom.splice import Pieces, splice
from fw_gear_deid.model.errors import Malformed, Odd, Unfit
from fw_gear_deid.model.outcome import Always

TRANSFER_SYNTAX = 0x00020010
META_LENGTH = 0x00020000
MEDIA_CLASS = 0x00020002
DEFLATED = "1.2.840.10008.1.2.1.99"
_ENCODING = {
    "1.2.840.10008.1.2": IMPLICIT_LITTLE,
    "1.2.840.10008.1.2.2": EXPLICIT_BIG,
    "1.2.840.113619.5.2": IMPLICIT_LITTLE,  # GE private: only the pixels are big endian
}
# A data set deflates to a fiftieth at best in practice; a bomb to a thousandth.
_INFLATE_RATIO = 200
_INFLATE_FREE = 64 << 20


def looks_like_dicom(head: bytes) -> bool:
    """Tell whether the first 132 bytes carry the prefix (PS3.10 §7.1)."""
    return head[128:132] == b"DICM"


def read(src: bytes) -> Draft:
    """Scan a DICOM file; what the scanner does not know goes through pydicom once, or is refused.

    Raises
    ------
    Malformed
        Truncated or damaged.
    Odd
        Not even pydicom reads it without a doubt.
    """
    try:
        return _read(src)
    except Odd:
        return _read(careful.rewrite(src))


def _read(src: bytes) -> Draft:
    if looks_like_dicom(src):
        start = 132
    elif src[:2] in (b"\x02\0", b"\x08\0") and len(src) > 8:
        start = 0  # file meta or data set without preamble, as before PS3.10
    else:
        raise Malformed("it is not DICOM: no prefix 'DICM' and no data set at its start")
    meta = scan_meta(src, start)
    length = meta.elements.get(META_LENGTH)
    if length is not None and (length.wire != "UL" or length.end - length.value != 4):
        raise Odd("the length of its file meta information is no number")
    body_src, start, tail = src, meta.end, b""
    syntax = transfer_syntax(src, meta)
    if syntax == DEFLATED:
        body_src, tail = _inflate(src, meta.end)
        start = 0
    encoding = _ENCODING.get(syntax, EXPLICIT_LITTLE)
    explicit = is_explicit(body_src, start, encoding)
    body, end = scan(body_src, start, Encoding(explicit, encoding.little))
    if not body.elements:
        raise Malformed("its data set is empty")
    if not looks_like_dicom(src) and (end != len(body_src) or not _IDENTITY & body.elements.keys()):
        raise Malformed("it is not DICOM: no prefix 'DICM', and its bytes are no complete data set")
    return Draft(src, meta, body_src + tail if tail else body_src, body)


_FIRST = 1 << 15  # bytes; the identifiers of most files stand in the first eight thousand


def read_head(stream: IO[bytes], needed: int, last: int) -> Draft:
    """Scan a file's elements up to a tag, without reading the rest where its beginning is plain.

    Parameters
    ----------
    stream : binary file
        At its beginning.
    needed : int
        A tag below ``last``. Where it is not found on the way, the whole file is read: it may be out of order.
    last : int
        The first element after this tag ends the reading.

    Raises
    ------
    Malformed, Odd
        As ``read``.
    """
    src, size = b"", _FIRST
    while True:
        more = stream.read(size)
        src += more
        draft = _head(src, last)
        if draft is not None and needed in draft.body.elements:
            return draft
        if len(more) < size:
            return read(src)
        if draft is not None:
            return read(src + stream.read())
        size = 3 * len(src)


def _head(src: bytes, last: int) -> Draft | None:
    if not looks_like_dicom(src):
        return None
    try:
        meta = scan_meta(src, 132)
    except Unfit:
        return None
    body_src, start = src, meta.end
    syntax = transfer_syntax(src, meta)
    if syntax == DEFLATED:
        try:
            body_src, start = zlib.decompressobj(-15).decompress(src[meta.end :], 8 * len(src)), 0
        except zlib.error:
            return None
    encoding = _ENCODING.get(syntax, EXPLICIT_LITTLE)
    explicit = is_explicit(body_src, start, encoding)
    body = scan_head(body_src, start, Encoding(explicit, encoding.little), last)
    return None if body is None else Draft(src, meta, body_src, body)


# SOPClassUID, SOPInstanceUID, Modality: one of them must be in a data set that has no file meta to name it
_IDENTITY = frozenset({0x00080016, 0x00080018, 0x00080060})


def transfer_syntax(src: bytes, meta: Dataset) -> str:
    """Return the UID of (0002,0010), empty when there is none."""
    el = meta.elements.get(TRANSFER_SYNTAX)
    return "" if el is None else src[el.value : el.end].decode("ascii", "replace").strip("\0 ")


def _inflate(src: bytes, start: int) -> tuple[bytes, bytes]:
    """Return an inflated data set, and what follows it but padding: some writers leave a gzip trailer there."""
    limit = (len(src) - start) * _INFLATE_RATIO + _INFLATE_FREE
    stream = zlib.decompressobj(-15)
    try:
        out = stream.decompress(memoryview(src)[start:], limit)
    except zlib.error:
        raise Malformed("its deflated data set is damaged") from None
    if stream.unconsumed_tail:
        raise Malformed("its deflated data set grows beyond any real one")
    if not stream.eof:
        raise Malformed("its deflated data set is cut off")
    return out, stream.unused_data if stream.unused_data.strip(b"\0") else b""


def clean_preamble(draft: Draft) -> bytes:
    """Return what stands before the file meta at the destination: 128 zero bytes and the prefix."""
    return bytes(128) + b"DICM" if looks_like_dicom(draft.src) else b""


def write(draft: Draft) -> Pieces:
    """Return the bytes of an edited file as pieces: clean preamble, file meta, data set, nothing after it."""
    out: Pieces = []
    prefix = clean_preamble(draft)
    if prefix:
        out.append(prefix)
    if draft.meta.elements:
        el = draft.meta.elements.get(META_LENGTH)
        probe: Pieces = []
        size = splice(memoryview(draft.src), draft.meta, probe)
        if el is None:
            size += 12
        size -= 12
        draft.put_raw(draft.meta, META_LENGTH, "UL", size.to_bytes(4, "little"), "keep", Always.FILE_META.value)
        splice(memoryview(draft.src), draft.meta, out)
    if draft.body_src is draft.src:
        splice(memoryview(draft.src), draft.body, out)
        return out
    if not draft.body.dirty and draft.body.end == len(draft.body_src):
        out.append(memoryview(draft.src)[draft.meta.end :])
        return out
    body: Pieces = []
    splice(memoryview(draft.body_src), draft.body, body)
    stream = zlib.compressobj(6, zlib.DEFLATED, -15)
    deflated = b"".join(stream.compress(piece) for piece in body) + stream.flush()
    out.append(deflated + b"\0" * (len(deflated) % 2))
    return out


def has_trailing_bytes(draft: Draft) -> bool:
    """Tell whether bytes follow the last element."""
    return draft.body.end != len(draft.body_src)


def check_readable(data: bytes) -> Draft:
    """Scan a result by the scanner alone: what we wrote must not need pydicom's leniency.

    Raises
    ------
    Unfit
    """
    try:
        return _read(data)
    except Unfit as error:
        raise Unfit(f"the result does not parse: {error}") from None
