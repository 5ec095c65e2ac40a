"""Bytes of JPEG and JPEG-LS images → what is put over segments that say more than how to decode them.

Nothing moves: a comment or application segment becomes a comment of as many zeros (ITU-T T.81 §B.1.1, T.87 §C).
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from fw_gear_deid.model.errors import Malformed

BEGINS = b"\xff\xd8"
Blank = tuple[int, int, bytes]
"""Offsets, and as many bytes for what stands between them."""
_SOI, _EOI, _SOS, _COM, _ICC = 0xD8, 0xD9, 0xDA, 0xFE, 0xE2
_RESTARTS = range(0xD0, 0xD8)
# frames, Huffman and arithmetic tables · scan, quantisation, lines, restarts, hierarchy · JPEG-LS frame and presets
_KEPT = frozenset({*range(0xC0, 0xD0), *range(0xDA, 0xE0), 0xF7, 0xF8})
# Application segments that say how to decode: marker → how they begin, and how many bytes of them do so
_DECODES = {0xE0: (b"JFIF\0", 14), 0xE8: (b"mrfx", 5), 0xEE: (b"Adobe", 12)}
_PROFILE, _SIGNATURE = b"ICC_PROFILE\0", slice(50, 54)
_MARKER = re.compile(rb"\xff[\xc0-\xfe]")
_BEHIND_SCAN = re.compile(rb"\xff[\xc0-\xcf\xd8-\xfe]")  # 00 to 7F behind FF is entropy-coded, T.87 §A.1


def blanks(data: bytes) -> Iterator[Blank]:
    """Yield what is to be put over images that follow each other, the first from the first byte.

    Raises
    ------
    Malformed
        A segment runs past the end, or bytes that no marker begins follow a scan.
    """
    pos, scan, scanned, profile = 2, False, False, False
    while found := (_BEHIND_SCAN if scan else _MARKER).search(data, pos):
        at, code = found.start(), found[0][1]
        if not scan:
            yield from _stray(data, pos, at, scanned=scanned)
        pos, scan = at + 2, False
        if code == _SOI:
            scanned = profile = False
        elif code == _EOI:
            after = data.find(BEGINS, pos)
            stop = len(data) if after < 0 else after
            yield from _stray(data, pos, stop, scanned=False)
            pos = stop
        elif code not in _RESTARTS:
            pos += int.from_bytes(data[pos : pos + 2], "big")
            if pos < at + 4 or pos > len(data):
                raise Malformed("a JPEG segment runs past the end")
            profile = profile or (code == _ICC and _is_profile(data, at, pos))
            if code not in _KEPT and not (code == _ICC and profile and data.startswith(_PROFILE, at + 4)):
                yield from _blank(data, at, pos, code)
            scan = code == _SOS
            scanned = scanned or scan
    if not scan:
        yield from _stray(data, pos, len(data), scanned=scanned)


def _is_profile(data: bytes, at: int, end: int) -> bool:
    """Tell whether a segment begins an ICC profile, which colours need."""
    return data.startswith(_PROFILE + b"\x01", at + 4) and data[at + 4 : end][_SIGNATURE] == b"acsp"


def _blank(data: bytes, at: int, end: int, code: int) -> Iterator[Blank]:
    begins, size = _DECODES.get(code, (b"", 0))
    kept = data[at + 4 : min(at + 4 + size, end)] if size and data.startswith(begins, at + 4) else b""
    now = bytes([code if kept else _COM]) + data[at + 2 : at + 4] + kept
    now += bytes(end - at - 1 - len(now))
    if now != data[at + 1 : end]:
        yield at + 1, end, now


def _stray(data: bytes, start: int, end: int, *, scanned: bool) -> Iterator[Blank]:
    """Put zeros over bytes that belong to no segment; fill bytes and padding stay."""
    if data[start:end].strip(b"\xff\0"):
        if scanned:
            raise Malformed("bytes that belong to no JPEG segment follow a scan")
        yield start, end, bytes(end - start)
