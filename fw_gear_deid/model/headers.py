"""Private headers that can be cleaned: where they stand."""

from __future__ import annotations

CSA, PROTOCOL, BLOCK = "csa", "protocol", "block"
_HEADERS = {
    ("SIEMENS CSA HEADER", 0x0029, 0x10): CSA,  # of the image
    ("SIEMENS CSA HEADER", 0x0029, 0x20): CSA,  # of the series
    ("SIEMENS MR SDS 01", 0x0021, 0x19): PROTOCOL,  # of XA
    ("GEMS_SERS_01", 0x0025, 0x1B): BLOCK,  # what the console was set to
}


def kind_of(creator: str, tag: int) -> str:
    """Return what kind of header an element of a creator holds, empty for none that can be cleaned."""
    return _HEADERS.get((creator, tag >> 16, tag & 0xFF), "") if tag & 0xFFFF > 0xFF else ""
