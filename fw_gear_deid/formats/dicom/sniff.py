"""First bytes of a file → whether it is DICOM, and which kind: with and without prefix (PS3.10 §7.1, §8)."""

from __future__ import annotations

import re
import struct

from fw_gear_deid.formats.row import Format
from fw_gear_deid.model.dictionary import keyword_of

DICOMDIR = b"1.2.840.10008.1.3.10"
_MEDIA_CLASS = (2, 2)
_STARTS = (0x0002, 0x0008, 0x0010)  # groups that a file meta or a data set begins with
_LONG = frozenset(re.findall(b"..", b"OBODOFOLOVOWSQSVUCUNURUTUV"))
_SHORT = frozenset(re.findall(b"..", b"AEASATCSDADSDTFLFDISLOLTPNSHSLSSSTTMUIULUS"))
_NEAR = 260  # bytes within which a moved prefix is looked for
_VALUE_MAX = 1 << 16  # bytes of the first values of a data set, in any real one
_PLAIN = 132  # bytes
_TEXT = bytes(range(0x20, 0x7F)) + b"\t\n\r"


def looks_like_dicom(head: bytes) -> bool:
    """Tell whether the first 132 bytes carry the prefix (PS3.10 §7.1)."""
    return head[128:132] == b"DICM"


def lacks_prefix(head: bytes) -> bool:
    """Tell whether a file begins as DICOM does that was written without preamble: by its first two elements.

    One whose prefix is damaged counts as well: it is to be refused, not passed over.
    """
    near = head[:_NEAR]
    moved = b"DICM\x02\0" in near and b"PK\x03\x04" not in near  # bytes of its preamble lost, and no ZIP member
    damaged = head[132:134] == b"\x02\0" and _begins(head[132:], "<")
    return head.startswith(b"DICM") or moved or damaged or any(_begins(head, order) for order in "<>")


def _begins(head: bytes, order: str) -> bool:
    at, last = 0, (0, 0)
    for number in range(2):
        found = _element(head, at, order)
        if found is None:
            return False
        tag, _, at = found
        known = tag[1] == 0 or keyword_of(tag[0] << 16 | tag[1])
        if not known or tag <= last or (number == 0 and tag[0] not in _STARTS):
            return False
        last = tag
    return True


def _element(head: bytes, at: int, order: str) -> tuple[tuple[int, int], bytes, int] | None:
    """Return tag, value and end of an element whose header is there; None when it is none."""
    if len(head) < at + 8:
        return None
    tag = struct.unpack_from(f"{order}HH", head, at)
    vr = head[at + 4 : at + 6]
    if vr in _SHORT:
        start, length = at + 8, struct.unpack_from(f"{order}H", head, at + 6)[0]
    elif vr in _LONG and len(head) >= at + 12:
        start, length = at + 12, struct.unpack_from(f"{order}L", head, at + 8)[0]
    else:
        start, length = at + 8, struct.unpack_from(f"{order}L", head, at + 4)[0]
    if length > _VALUE_MAX:
        return None
    return (tag[0], tag[1]), head[start : start + length], start + length


def is_index(head: bytes) -> bool:
    """Tell whether a file is a DICOMDIR: an index by byte offset into files that change.

    Its class stands in (0002,0002) and its data set begins with group 0004. An image that only names the class is none.
    """
    at = 132 if looks_like_dicom(head) else 0
    media_class = b""
    while head[at : at + 2] == b"\x02\0":
        found = _element(head, at, "<")
        if found is None:
            break
        tag, value, at = found
        if tag == _MEDIA_CLASS:
            media_class = value.rstrip(b"\0 ")
    first = head[at : at + 2]
    if first not in (b"\x04\0", b"\0\x04"):
        return media_class == DICOMDIR and (first == b"\x02\0" or len(first) < 2)  # its data set is farther on
    found = _element(head, at, "<" if first[0] else ">")
    known = found is not None and (found[0][1] == 0 or keyword_of(4 << 16 | found[0][1]) != "")
    return media_class == DICOMDIR or (not media_class and known)


def is_dicom(head: bytes) -> bool:
    """Tell whether a file begins as DICOM does, with or without prefix."""
    return looks_like_dicom(head) or lacks_prefix(head)


def is_text(head: bytes) -> bool:
    """Tell whether a file is plain text: it is no DICOM, damaged or not, whatever its name says."""
    return bool(head) and not head[:_PLAIN].translate(None, _TEXT)


FORMAT = Format(
    "dicom",
    "DICOM",
    ("*.dcm", "*.DCM", "*.ima", "*.IMA"),
    is_dicom,
    is_text,
    options=dict.fromkeys(
        (
            "remove-private-tags", "remove-undefined", "recurse-sequence", "decode", "patient-age-from-birthdate",
            "retain", "asymmetric-encryption", "follow-uids",
        ),
        "bool",
    ) | {
        "patient-age-units": "str", "exclude": "list", "public-key": "any", "private-key": "any", "accept": "list",
        "ps3-15": "any",
    },
    ours=frozenset({"accept", "exclude", "follow-uids", "ps3-15"}),
)  # fmt: skip
"""It goes in pieces, by plans: see ``plan`` and ``deid``."""
