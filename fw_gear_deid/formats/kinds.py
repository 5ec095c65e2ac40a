"""First bytes of a file that nobody takes → a word for what it is, for the report of what was left out."""

from __future__ import annotations

from collections.abc import Mapping

from fw_gear_deid.formats import TABLE, archive
from fw_gear_deid.formats.dicom.sniff import is_index

_SIGNATURES = {
    b"%PDF": "PDF",
    b"GIF8": "picture",
    b"RIFF": "media file",
    b"\0\0\x01\xba": "media file",
    b"\0\0\x01\xb3": "media file",
    b"ID3": "media file",
    b"MZ": "program",
    b"\x7fELF": "program",
    b"\xca\xfe\xba\xbe": "program",
    b"MSCF": "program",
    b"\xd0\xcf\x11\xe0": "office document",
    b"{\\rtf": "office document",
}
_CONTROL = frozenset(range(32)) - frozenset(b"\t\n\f\r\x1b")


def word_for(head: bytes) -> str:
    """Return what a file is, in a word or two that tell nothing of its content."""
    if not head:
        return "empty file"
    if is_index(head):
        return "DICOMDIR"
    for row in TABLE:
        if row.word and row.sniff(head):
            return row.word
    for signature, word in _SIGNATURES.items():
        if head.startswith(signature):
            return word
    if head[4:8] == b"ftyp":
        return "media file"
    kind = archive.kind_of(head)
    if kind:
        return "packed file" if kind == "packed" else "archive"
    return "text" if _is_text(head) else "other file"


def listing(words: Mapping[str, int]) -> str:
    """Return how many there are of each kind.

    >>> listing({"PDF": 1, "system file": 2})
    '2 system files, 1 PDF'
    """
    ordered = sorted(words.items(), key=lambda pair: (-pair[1], pair[0]))
    return ", ".join(f"{number} {_plural(word) if number > 1 else word}" for word, number in ordered if number)


def _plural(word: str) -> str:
    if word.endswith(")"):
        return word  # "excluded (site.yaml:3)"
    first, that, rest = word.partition(" that ")
    return f"{first[:-1]}ies{that}{rest}" if first.endswith("y") else f"{first}s{that}{rest}"


def _is_text(head: bytes) -> bool:
    """Tell whether the first bytes of a file are text in an encoding without zeros."""
    return not any(byte in _CONTROL for byte in head)
