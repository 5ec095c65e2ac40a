"""A segment of a JPEG file → what it holds, as audit and risks call it."""

from __future__ import annotations

from fw_gear_deid.formats.jpg import segments as wire
from fw_gear_deid.formats.jpg.segments import Segment

PICTURE, JFIF, ADOBE, ICC, EXIF, MPF = "picture", "JFIF", "Adobe", "ICC profile", "EXIF", "multi-picture index"
BEHIND, STRAY, COMMENT, XMP, IPTC = "bytes behind the picture", "bytes between segments", "comment", "XMP", "IPTC"
JFXX = "JFXX thumbnail"
SHOWS = frozenset({PICTURE, JFIF, ADOBE, ICC})
"""What it takes to show the picture."""
HEADERS = {JFIF: 14, ADOBE: 12}
"""Bytes of the content that say how to show it; what follows is a thumbnail, or nobody's."""
_BEGINS = (
    (wire.APP0, b"JFIF\0", JFIF), (wire.APP0, b"JFXX\0", JFXX), (wire.APP14, b"Adobe", ADOBE),
    (wire.APP2, b"ICC_PROFILE\0", ICC), (wire.APP2, b"MPF\0", MPF), (wire.APP1, b"http://ns.adobe.com/", XMP),
    (wire.APP13, b"Photoshop ", IPTC),
)  # fmt: skip
_NAMES = {wire.STRAY: STRAY, wire.BEHIND: BEHIND, wire.COM: COMMENT}
EXIF_HEAD = 6
"""Bytes in front of an EXIF block."""


def kind_of(data: bytes, segment: Segment) -> str:
    """Return what a segment holds."""
    code = segment.code
    if code in wire.DECODES:
        return PICTURE
    head = data[segment.body : min(segment.body + 32, segment.end)]
    if code == wire.APP1 and head[:5].lower() == b"exif\0":
        return EXIF
    for marker, begins, kind in _BEGINS:
        if code == marker and head.startswith(begins) and len(head) >= HEADERS.get(kind, 0):
            return kind
    if code in _NAMES:
        return _NAMES[code]
    return f"APP{code & 15} segment" if code & 0xF0 == 0xE0 else f"segment {code:02X}"
