"""Text headers read a second time: line by line, with nothing of the first reader but the kinds of headers."""

from __future__ import annotations

import io
from collections import deque
from collections.abc import Iterator, Sequence
from itertools import dropwhile

from fw_gear_deid.formats.keyvalue.kinds import JCAMP, LISTS, NRRD, RDA, kind_of
from fw_gear_deid.formats.row import Field, Options
from fw_gear_deid.model.errors import Malformed
from fw_gear_deid.model.patterns import Pattern


class Again:
    """The fields of a text header; as ``formats.row.Listing``."""

    def __init__(self, data: bytes, options: Options) -> None:
        self._delimiter = Pattern(str(options.get("delimiter") or ""))
        self._kind = kind_of(data)
        marks = {b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16", b"\xef\xbb": "utf-8-sig"}
        encoding = marks.get(data[:2], str(options.get("encoding") or "utf-8"))
        try:
            text = b"".join(self._header(data)).decode(encoding)
        except (UnicodeDecodeError, LookupError):
            raise Malformed("it is no text to a second reader") from None
        with io.StringIO(text, newline=None) as lines:
            self.fields: Sequence[Field] = list(self._fields(deque(line.removesuffix("\n") for line in lines)))

    def find(self, name: str) -> Sequence[int]:
        """Return which of the fields a key points at."""
        return [number for number, one in enumerate(self.fields) if one.name == name.strip()]

    def _header(self, data: bytes) -> Iterator[bytes]:
        """Yield the lines of the header."""
        for line in io.BytesIO(data):
            yield line
            bare = line.strip(b" \t\r\n")
            key, _, value = bare.replace(b":", b"=", 1).partition(b"=")
            if self._kind is NRRD and line in (b"\n", b"\r\n"):
                return
            if self._kind is RDA and bare == b">>> End of header <<<":
                return
            if self._kind.end and key.rstrip(b" \t") == b"ElementDataFile" and value.lstrip(b" \t").upper() == b"LOCAL":
                return

    def _fields(self, lines: deque[str]) -> Iterator[Field]:
        """Yield the fields of lines, each with those behind it that are no beginning of another."""
        while lines:
            line, inside = lines.popleft(), list[str]()
            if self._kind is JCAMP and line.startswith("##"):
                while lines and not lines[0].startswith(("##", "$$")):
                    inside.append(lines.popleft())
            sign = self._kind.comment
            if sign and line.startswith(sign):
                yield Field(sign, "", (line.removeprefix(sign).strip(" \t"),))
                continue
            found = self._delimiter.search(line)
            key = line[: found.start()].strip() if found else ""
            if found is None or not key:
                continue
            value = line[found.end() :]
            yield Field(key, "", (_value(value, inside) if self._kind is JCAMP else value.strip(" \t"),))
            if key in LISTS and value.strip(" \t").startswith("LIST"):
                return


def _value(first: str, inside: list[str]) -> str:
    """Return the value of a record of JCAMP-DX: behind its shape, out of its brackets."""
    while inside and not inside[-1].strip():
        inside.pop()
    shape = first.strip(" \t")
    if inside and (not shape or (shape[:1] == "(" and shape[-1:] == ")" and not set("()<>") & set(shape[1:-1]))):
        parts = list(dropwhile(lambda line: not line.strip(), inside))
    else:
        parts = [first, *inside]
    if not parts[0].lstrip(" \t").startswith("<"):
        return "\n".join(part.strip(" \t") for part in parts)
    value = "".join(parts).strip(" \t")
    return value[1:-1] if value.endswith(">") and not set("<>") & set(value[1:-1]) else value
