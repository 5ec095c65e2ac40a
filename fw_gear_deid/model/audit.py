"""Edits → lines of ``audit.csv`` (interfaces §3)."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator
from functools import lru_cache

from fw_gear_deid.model.cells import cell
from fw_gear_deid.model.outcome import Edit

AUDIT_COLUMNS = ("file", "member", "path", "keyword", "vr", "action", "rule", "before", "after")
LINE_END = "\r\n"
_PIECE, _FEED = 1 << 16, 1 << 12  # bytes that are made at once, and bytes that they are made of
_SPECIAL = frozenset('",')  # a cell has no line ends: they are not to be seen


def lines(member: str, edits: Iterable[Edit], *, originals: bool) -> str:
    """Return the lines of one member without their first column: whoever places the file knows its path.

    Parameters
    ----------
    member : str
        Empty for the file itself.
    originals : bool
        With the values before a change.
    """
    head = first(member)
    return "".join(
        head
        + _rest(
            edit.path, edit.keyword, edit.vr, edit.action, edit.rule, edit.before if originals else "", edit.after
        )
        for edit in edits
    )  # fmt: skip


def first(text: str) -> str:
    """Return a cell with what parts it from the next one."""
    return f"{_quoted(text)},"


@lru_cache(maxsize=512)  # files of one series are changed in the same way
def _rest(*texts: str) -> str:
    return ",".join(map(_quoted, texts)) + LINE_END


def _quoted(text: str) -> str:
    """Return a cell as RFC 4180 writes it."""
    visible = cell(text)
    return visible if _SPECIAL.isdisjoint(visible) else f'"{visible.replace(chr(34), chr(34) * 2)}"'


def unpacked(packed: bytes) -> Iterator[str]:
    """Yield whole lines, some at a time; ``packed`` is one piece of zlib's after the other.

    Raises
    ------
    zlib.error
        They are damaged, or cut.
    """
    at, feed, rest = 0, b"", b""
    while feed or at < len(packed):
        unpacker = zlib.decompressobj()
        while not unpacker.eof:
            if not feed:
                feed = packed[at : at + _FEED]
                at += len(feed)
            piece = unpacker.decompress(feed, _PIECE)
            feed = unpacker.unconsumed_tail
            if not (piece or feed or unpacker.eof or at < len(packed)):
                raise zlib.error("cut")
            whole, end, rest = (rest + piece).rpartition(LINE_END.encode())
            if end:
                yield (whole + end).decode()
        feed = unpacker.unused_data
