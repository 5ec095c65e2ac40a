"""Bytes of a text file ⇄ its text, with the bytes at which each of its letters stands."""

from __future__ import annotations

import codecs
from collections.abc import Iterable, Iterator

from fw_gear_deid.model.errors import Malformed

_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32-le"), (codecs.BOM_UTF32_BE, "utf-32-be"), (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"),
)  # fmt: skip


class Text:
    """A text file in memory.

    Parameters
    ----------
    data : bytes
    encoding : str
        Codec where no byte order mark says another.
    errors : str
        As ``bytes.decode``; ``surrogateescape`` for files whose letters outside ASCII nobody knows.

    Attributes
    ----------
    text : str
        Without the byte order mark.
    encoding : str

    Raises
    ------
    Malformed
        Its bytes are not in that encoding.
    """

    def __init__(self, data: bytes, encoding: str = "utf-8", errors: str = "strict") -> None:
        self._mark, self.encoding = next(
            ((mark, codec) for mark, codec in _MARKS if data.startswith(mark)), (b"", encoding)
        )
        self._errors = errors if self.encoding == encoding else "strict"
        try:
            self.text = data[len(self._mark) :].decode(self.encoding, self._errors)
        except (UnicodeDecodeError, LookupError):
            raise Malformed(f"its text is not {self.encoding}") from None
        if self.encode(self.text) != data[len(self._mark) :]:
            raise Malformed(f"its text is not {self.encoding} in the one way that it is written in")

    def encode(self, text: str) -> bytes:
        """Return the bytes of a text as the file would have them.

        Raises
        ------
        Malformed
            Its encoding has not all of the letters.
        """
        try:
            return text.encode(self.encoding, self._errors)
        except UnicodeEncodeError:
            raise Malformed(f"the new text has letters that {self.encoding} has not") from None

    def splices(self, changes: Iterable[tuple[int, int, str]]) -> list[tuple[int, int, bytes]]:
        """Return changes of letters, in order, as changes of bytes."""
        return list(self.each(changes))

    def each(self, changes: Iterable[tuple[int, int, str]]) -> Iterator[tuple[int, int, bytes]]:
        """Yield the same, where there may be millions."""
        letters, size = 0, len(self._mark)
        for start, end, new in changes:
            size += len(self.encode(self.text[letters:start]))
            length = len(self.encode(self.text[start:end]))
            yield size, size + length, self.encode(new)
            letters, size = end, size + length
