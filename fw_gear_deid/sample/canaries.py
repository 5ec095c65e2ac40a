"""Subject and place → a planted identifier, and text or data set → those that it carries.

One word marks them all, so ``MARKER`` alone finds any of them but a birth date or a name in another script.
Each is one word of its own that shares no part with another: a leak names the element that it came from, and
an element that a profile keeps on purpose is not taken for a leak of the one beside it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date, timedelta

from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset

from fw_gear_deid.model.frozen import frozen

MARKER = "ZZ7F3A"
IDEOGRAPHIC = "金糸雀"  # canary
PHONETIC = "カナリア"
MAX_SUBJECTS = 200
_BETWEEN_BIRTHS = timedelta(days=37)  # a shifted date should not be that of another subject
_OTHER_SCRIPT = f"(?:{IDEOGRAPHIC}|{PHONETIC})"
_CANARY = re.compile(rf"{MARKER}\d{{3}}[A-Z]+\d?|{_OTHER_SCRIPT}\d{{3}}|\b19[0-2]\d{{5}}\b", re.ASCII)


@frozen
class Planted:
    """One identifier at one place.

    Attributes
    ----------
    path : str
        The file, or the folder whose name it is; relative to the sample, ``/`` between its parts.
    place : str
        ``folder name``, ``file name``, ``content``, ``preamble``, ``(0002,0016)``,
        ``(0010,1002)[0](0010,0020)``, ``(0009,"GEMS_IDEN_01",30)``, ``bytes after the data set``,
        ``zip comment``. Inside an archive with the member in front: ``FOLDER/IM0001: (0010,0010)``,
        ``FOLDER/IM0001: name``, ``FOLDER/IM0001: comment``.
    value : str
        The identifier, as its bytes spell it.
    """

    path: str
    place: str
    value: str


@frozen
class Part:
    """Bytes of a file or of a member, and what is planted in them.

    Attributes
    ----------
    data : bytes
    planted : tuple of (str, str)
        Place and value.
    """

    data: bytes
    planted: tuple[tuple[str, str], ...]


def canary(subject: int, place: str) -> str:
    """Return the identifier of a subject for a place.

    Parameters
    ----------
    subject : int, from 1
    place : str
        Capitals, at most one digit after them; up to 7 characters where it must fit VR SH or AE.

    >>> canary(1, "ACC2")
    'ZZ7F3A001ACC2'
    """
    return f"{MARKER}{subject:03d}{place}"


def birth_date(subject: int) -> str:
    """Return the birth date of a subject as DA, between 1901 and 1921.

    >>> birth_date(1)
    '19010207'
    """
    return f"{date(1901, 1, 1) + subject * _BETWEEN_BIRTHS:%Y%m%d}"


def in_text(text: str | bytes) -> tuple[str, ...]:
    """Return the identifiers that a text carries, each once.

    >>> in_text("ZZ7F3A001FAMILY^ZZ7F3A001GIVEN, born 19010207")
    ('ZZ7F3A001FAMILY', 'ZZ7F3A001GIVEN', '19010207')
    """
    if isinstance(text, bytes):
        text = text.decode("utf-8", "replace")
    return tuple(dict.fromkeys(_CANARY.findall(text)))


def in_dataset(ds: Dataset, above: str = "") -> Iterator[tuple[str, str]]:
    """Yield place and value of each identifier in a data set, at every depth."""
    for element in ds:
        place = above + _place(element)
        if element.VR == "SQ":
            for index, item in enumerate(element.value):
                yield from in_dataset(item, f"{place}[{index}]")
        else:
            text = element.value if isinstance(element.value, bytes) else str(element.value)
            yield from ((place, value) for value in in_text(text))


def _place(element: DataElement) -> str:
    tag = element.tag
    if tag.is_private and not tag.is_private_creator:
        return f'({tag.group:04X},"{element.private_creator}",{tag.element & 0xFF:02X})'
    return f"({tag.group:04X},{tag.element:04X})"
