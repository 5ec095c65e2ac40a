"""Requests that carry file bytes, in or out → answers."""

from __future__ import annotations

import io
import json
import math
import re
import zipfile
from datetime import datetime
from typing import Any

from . import documents
from .model import Container, StoredFile, Ticket, Version
from .routes import Call, Route, file_by_id, named_file, version_of
from .wire import RefusedError, Reply, answer, parse_form


def upload(call: Call, kinds: str, cid: str) -> Reply:
    """``POST /sessions/{id}/files`` → the file's document, by form or by ticket."""
    container = call.container(kinds, cid, write=True)
    ticket = call.request.query.get("ticket")
    if ticket is not None:
        return _close_ticket(call, ticket) if ticket else _open_ticket(call, container)
    form = parse_form(call.request.headers.get("content-type", ""), call.request.body)
    described = next((part.data for part in form if part.name == "metadata"), b"{}")
    metadata = json.loads(described)
    parts = [part for part in form if part.filename]
    each = metadata if isinstance(metadata, list) else [metadata] * len(parts)
    stored = [_store(call, container, part.filename, part.data, about) for part, about in zip(parts, each, strict=True)]
    return answer([documents.file_document(file) for file in stored])


def _open_ticket(call: Call, container: Container) -> Reply:
    body = call.request.json()
    [name] = body["filenames"]
    metadata = body["metadata"]
    about = metadata[0] if isinstance(metadata, list) else metadata
    ticket = call.world.new_id()
    call.world.tickets[ticket] = Ticket(container, name, about)
    count = max(1, math.ceil((about.get("size") or 0) / call.world.signed_part_bytes))
    urls = [f"{call.world.base_url}/signed/{ticket}/{number}" for number in range(count)]
    return answer({"ticket": ticket, "urls": {name: urls}, "headers": {}})


def put_part(call: Call, ticket: str, part: str) -> Reply:
    """``PUT /signed/{ticket}/{part}`` → kept until the ticket is closed; no key needed."""
    _ticket(call, ticket).parts[int(part)] = _damaged(call, call.request.body)
    return Reply()


def _close_ticket(call: Call, text: str) -> Reply:
    """Store what has arrived, were it nothing: the SDK closes after a failed part, too."""
    ticket = _ticket(call, text)
    del call.world.tickets[text]
    content = b"".join(ticket.parts[number] for number in sorted(ticket.parts))
    file = _store(call, ticket.container, ticket.name, content, ticket.metadata)
    return answer([documents.file_document(file)])


def _store(call: Call, container: Container, name: str, content: bytes, metadata: dict[str, Any]) -> StoredFile:
    old = container.files.get(name)
    if old and call.request.asks("preserve_metadata"):
        metadata = old.fields
    return call.world.store(container, name, _damaged(call, content), metadata, call.origin)


def _damaged(call: Call, content: bytes) -> bytes:
    return call.request.damage(content) if call.request.damage else content


def _ticket(call: Call, text: str) -> Ticket:
    if text not in call.world.tickets:
        raise RefusedError(404, "There is no such ticket")
    return call.world.tickets[text]


def download(call: Call, kinds: str, cid: str, name: str) -> Reply:
    """``GET /sessions/{id}/files/{name}`` → bytes, or a ticket, zip listing or zip member."""
    ticket = call.request.query.get("ticket")
    if ticket:
        return signed_download(call, ticket)
    return _send(call, named_file(call, kinds, cid, name))


def download_by_id(call: Call, fid: str) -> Reply:
    """``GET /files/{id}/download`` → as by name."""
    return _send(call, file_by_id(call, fid))


def signed_download(call: Call, ticket: str) -> Reply:
    """``GET /signed/{ticket}`` → bytes, once, without a key."""
    found = _ticket(call, ticket)
    del call.world.tickets[ticket]
    file = found.container.files[found.name]
    return _bytes(call, version_of(file, found.version).content)


def _send(call: Call, file: StoredFile) -> Reply:
    version = version_of(file, call.request.number("version"))
    if call.request.asks("info"):
        return answer(_zip_listing(version))
    member = call.request.query.get("member")
    if member:
        return _bytes(call, _member(version, member))
    if "ticket" not in call.request.query and not call.world.redirect_downloads:
        return _bytes(call, version.content)
    ticket = call.world.new_id()
    call.world.tickets[ticket] = Ticket(file.parent, file.name, version=version.number)
    if call.world.redirect_downloads:
        return Reply(307, headers={"Location": f"{call.world.base_url}/signed/{ticket}"})
    return answer({"ticket": ticket})


def _bytes(call: Call, content: bytes) -> Reply:
    """Answer with bytes, or with a range of them where the platform knows ranges (``view``)."""
    headers = {"Content-Type": "application/octet-stream"}
    span = re.fullmatch(r"bytes=(\d+)-(\d*)", call.request.headers.get("range", ""))
    if span is None or not call.request.asks("view"):
        return Reply(200, content, headers)
    piece = content[int(span[1]) : int(span[2]) + 1 if span[2] else None]
    where = f"bytes {span[1]}-{int(span[1]) + len(piece) - 1}/{len(content)}"
    return Reply(206, piece, headers | {"Content-Range": where})


def read_zip(call: Call, fid: str) -> Reply:
    """``GET /files/{id}/zip_info`` → comment and members."""
    return answer(_zip_listing(version_of(file_by_id(call, fid), call.request.number("version"))))


def _archive(version: Version) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(io.BytesIO(version.content))
    except zipfile.BadZipFile as error:
        raise RefusedError(400, "The file is not a zip") from error


def _zip_listing(version: Version) -> dict[str, Any]:
    with _archive(version) as archive:
        members = [
            {
                "path": member.filename,
                "size": member.file_size,
                "timestamp": datetime(*member.date_time).isoformat(),  # noqa: DTZ001 - zips know no zone
                "comment": member.comment.decode(errors="replace"),
            }
            for member in archive.infolist()
        ]
        return {"comment": archive.comment.decode(errors="replace"), "members": members}


def _member(version: Version, path: str) -> bytes:
    with _archive(version) as archive:
        if path not in archive.namelist():
            raise RefusedError(404, "There is no such member")
        return archive.read(path)


ROUTES: tuple[Route, ...] = (
    ("POST", "/{kinds}/{cid}/files", upload),
    ("PUT", "/signed/{ticket}/{part}", put_part),
    ("GET", "/signed/{ticket}", signed_download),
    ("GET", "/{kinds}/{cid}/files/{name}", download),
    ("GET", "/files/{fid}/download", download_by_id),
    ("GET", "/files/{fid}/zip_info", read_zip),
)
