"""What was stored and what was sent → bytes to search for a leak."""

from __future__ import annotations

import contextlib
import gzip
import io
import json
import re
import threading
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from .documents import Document, container_document, file_document
from .model import Container, StoredFile
from .wire import Request, parse_form

_READS = {"GET", "HEAD", "OPTIONS"}
_GZIP = b"\x1f\x8b\x08"


@dataclass(slots=True, eq=False)
class Record:
    """One request that was answered, or should have been."""

    method: str
    path: str
    """Decoded, without ``/api``."""
    query: dict[str, str]
    key: str
    size: int
    """Bytes of its body."""
    status: int | None
    """What was answered; None when the connection was reset instead."""
    headers: dict[str, str]
    body: bytes = field(repr=False)
    """The body of a writing request, else empty; empty too with `RequestLog.keep_bodies` off."""

    def line(self) -> str:
        """Show it as ``METHOD /path?query``."""
        query = "&".join(f"{name}={value}" for name, value in self.query.items())
        return f"{self.method} {self.path}" + (f"?{query}" if query else "")


class RequestLog:
    """Every request of a world, in the order of the answers."""

    def __init__(self) -> None:
        self.records: list[Record] = []
        self.keep_bodies = True
        self._lock = threading.Lock()

    def note(self, request: Request, status: int | None) -> None:
        """Add a request."""
        keep = self.keep_bodies and request.method not in _READS
        record = Record(
            method=request.method,
            path=request.path,
            query=dict(request.query),
            key=request.key,
            size=len(request.body),
            status=status,
            headers=dict(request.headers),
            body=request.body if keep else b"",
        )
        with self._lock:
            self.records.append(record)

    def reset(self) -> None:
        """Forget everything so far."""
        with self._lock:
            self.records.clear()

    def matching(self, pattern: str) -> list[Record]:
        """Find the requests whose `Record.line` holds a regular expression."""
        return [record for record in list(self.records) if re.search(pattern, record.line())]

    def count(self, pattern: str = "") -> int:
        """Count the requests whose `Record.line` holds a regular expression."""
        return len(self.matching(pattern))

    def sent(self, pattern: str = "") -> bytes:
        """All that such requests carried: lines, bodies, uploaded archives inflated."""
        return b"\n".join(piece for record in self.matching(pattern) for piece in _carried(record))


def _carried(record: Record) -> Iterator[bytes]:
    yield record.line().encode()
    content_type = record.headers.get("content-type", "")
    if not content_type.startswith("multipart/form-data"):
        yield from unpack(record.body)
        return
    for part in parse_form(content_type, record.body):
        yield part.filename.encode()
        yield from unpack(part.data)


def everything_under(root: Container, containers: Iterable[Container], files: Iterable[StoredFile]) -> bytes:
    """Turn a project's containers and files, all versions, into bytes to search in."""
    pieces = [_text(root.settings)]
    pieces.extend(_text(container_document(container)) for container in (root, *containers))
    for file in files:
        for version in file.versions.values():
            pieces.append(_text(file_document(file, version)))
            pieces.extend(unpack(version.content))
    return b"\n".join(pieces)


def _text(document: Document) -> bytes:
    return json.dumps(document, ensure_ascii=False).encode()


def unpack(content: bytes) -> Iterator[bytes]:
    """Yield bytes as they are, then what an archive in them holds: names, comments, members.

    What a damaged archive does not give back is not searched.
    """
    yield content
    with contextlib.suppress(zipfile.BadZipFile, zlib.error, EOFError, OSError):
        if content.startswith(_GZIP):
            yield from unpack(gzip.decompress(content))
        elif zipfile.is_zipfile(io.BytesIO(content)):
            yield from _members(content)


def _members(content: bytes) -> Iterator[bytes]:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        yield archive.comment
        for member in archive.infolist():
            yield member.filename.encode()
            yield member.comment
            yield from unpack(archive.read(member))
