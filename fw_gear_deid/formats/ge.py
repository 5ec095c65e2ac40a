"""A protocol data block of GE scanners (0025,xx1B) → its lines that say how was measured.

Four bytes of length, then a packed text (gzip) of lines ``KEY "value"``: what the console was set to.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Callable, Iterator

from fw_gear_deid.model.errors import Unreadable

_LENGTH = struct.Struct("<I")
_MOST = 1 << 20
"""Bytes of the text; real ones have some thousands."""
_LINE = re.compile(r'(?P<key>[A-Z][A-Z\d_]{0,31}) "(?P<value>[^"]{0,400})"')
_NUMBERS = re.compile(r"[RLAPSI]?[-+]?\d{0,7}(?:\.\d{0,8})?(?:[ ;,]{1,2}+[RLAPSI]?[-+]?\d{0,7}(?:\.\d{0,8})?){0,64}")
_WORDS = re.compile(r"[A-Za-z/+ -]{1,24}(?:, ?[A-Za-z\d/+ -]{1,24}){0,16}")
_MEASURED = """
AUTOSHIM AUTOSUBOPTIONS BWRT CONTAM DELACQ DISTORTIONCORRECTION DUMACQ ELOC1 ELOC2 ELOC3 FLIPANG FOV FOVCNT1 FOVCNT2
GRIP_NUMSLGROUPS GRIP_SLGROUP1 IDEAL MATRIXX MATRIXY MBACCEL MEGDIR MEGFREQ MULTIBVALUE MULTINEXVALUE MULTISYNBVALUE
NECHO NEX NOSLC NUMACCELFACTOR NUMACQS NUMBVALUE NUMSHOTS NUMSYNBVALUE OVLPLOC PHASEACCEL PHASEASSET PHASEFOV RBW
SLABLOC SLICEASSET SLICEORDER SLOC1 SLPERLOC SLTHICK SPC TEMPORALPHASES TI TR USERCV0 USERCV4 USERCV5 USERCV6
USERCV23 USERCV42 USERCV_MASK USERCV_MASK2 VIEWORDER
"""
_CHOSEN = """
CALINPRESCAN CONTRAST ENTRY EXCITATIONMODE FILTCHOICE GRADMODE IMODE IOPT PHASECORR PLANE POSITION PSEQ RFDRIVEMODE
SWAPPF TAG_TYPE TE
"""
MEASURED, CHOSEN = frozenset(_MEASURED.split()), frozenset(_CHOSEN.split())
"""Keys with numbers, and with words that the console offers."""


def cleaned(data: bytes, clean: Callable[[str], str]) -> bytes:
    """Return a block with the lines that say how was measured.

    Parameters
    ----------
    data : bytes
    clean : callable
        Text → the same without what is known of the patient; what it changes goes as a whole.

    Raises
    ------
    Unreadable
        It is no such block, or none of its lines stays.
    """
    lines = list(_lines(_text(data), clean))
    if not lines:
        raise Unreadable("the protocol block has no line that says how was measured")
    pack = zlib.compressobj(0, zlib.DEFLATED, 31)  # stored, so that it comes out the same everywhere
    packed = pack.compress("\n".join((*lines, "")).encode("ascii")) + pack.flush()
    return _LENGTH.pack(len(packed)) + packed


def _text(data: bytes) -> str:
    try:
        unpack = zlib.decompressobj(31)
        text = unpack.decompress(data[_LENGTH.size :], _MOST)
    except zlib.error:
        raise Unreadable("the protocol block is not packed as it should be") from None
    if not unpack.eof:
        raise Unreadable("the protocol block does not end, or is too large")
    return text.decode("iso8859")


def _lines(text: str, clean: Callable[[str], str]) -> Iterator[str]:
    for line in text.split("\n"):
        found = _LINE.fullmatch(line.rstrip("\r\0 "))
        if found is None:
            continue
        key, value = found.groups()
        numbers = key in MEASURED and _NUMBERS.fullmatch(value) is not None
        if numbers or (key in CHOSEN and _WORDS.fullmatch(value) is not None):
            shown = value if not numbers else "; ".join(f"0.{one}" for one in re.findall(r"\d{5,}", value))
            if clean(shown) == shown:
                yield f'{key} "{value}"'
