"""Kinds of text headers that say more than key and value: where they end, what a comment is, what has no key."""

from __future__ import annotations

import re

from fw_gear_deid.model.frozen import frozen


@frozen
class Kind:
    """A kind of header.

    Attributes
    ----------
    sign : bytes
        What it begins with.
    end : bytes
        Regular expression of its end, where bytes that are no text may follow; empty: it has none.
    comment : str
        What a line begins with that is a comment, wherever keys may be in it; empty: the kind has none of its own.
    frame : str
        Regular expression of lines that are neither; empty: there are none.
    records : str
        What a key begins with where values go on in the lines behind it; empty: each line is one.
    between : str
        What stands between key and value of a line that is made; empty: what stands there in the line before.
    """

    sign: bytes = b""
    end: bytes = b""
    comment: str = ""
    frame: str = r"(?!)"
    records: str = ""
    between: str = ""


META_IMAGE_END = "ElementDataFile"
"""Key of the last line of a MetaImage header: behind it are pixels, if it says LOCAL, or names of files, if LIST."""
LISTS = (META_IMAGE_END, "data file", "datafile")
"""Keys, of MetaImage and NRRD, behind whose LIST each line is the name of a file."""
JCAMP = Kind(b"##", comment="$$", records="##")  # JCAMP-DX 4.24; Bruker's ParaVision and TopSpin write it
NRRD = Kind(b"NRRD0", end=rb"\n\r?\n", comment="#", frame=r"NRRD\d{4}", between=":=")  # data are behind a blank line
RDA = Kind(
    b">>> Begin of header <<<", end=rb"(?m)^>>> End of header <<<[ \t]*\r?\n", frame=r">>> (?:Begin|End) of header <<<"
)  # Siemens spectroscopy
PLAIN = Kind(end=rb"(?m)^[ \t]*ElementDataFile[ \t]*[=:][ \t]*(?i:LOCAL)[ \t]*(?:\r?\n|\Z)")  # MetaImage, and all else
_KINDS = (JCAMP, NRRD, RDA)


def kind_of(data: bytes) -> Kind:
    """Return the kind of a header by its first bytes, blanks and a byte order mark apart."""
    head = data[:256].removeprefix(b"\xef\xbb\xbf").lstrip()
    return next((one for one in _KINDS if head.startswith(one.sign)), PLAIN)


def size_of(data: bytes, kind: Kind) -> int:
    """Return how many bytes the header has."""
    found = re.search(kind.end, data) if kind.end else None
    return found.end() if found else len(data)
