"""Requests about the metadata of files → answers."""

from __future__ import annotations

from typing import Any

from . import documents, edits, query
from .container_routes import MODIFIED
from .model import Deletion, StoredFile
from .routes import Call, Route, file_by_id, named_file, version_of
from .wire import RefusedError, Reply, answer
from .world import checked_reason


def list_files(call: Call) -> Reply:
    """``GET /files`` → a page object of the files that the key reaches."""
    world = call.world
    reachable = [file for file in world.files.values() if world.reaches(call.caller, file.parent)]
    found = [documents.file_document(file) for file in reachable]
    page = query.select(found, call.request, id_field="file_id")[: world.page_cap]
    results = [documents.listed(document) for document in page]
    return answer({"count": len(page), "total": len(found), "results": results})


def read(call: Call, fid: str) -> Reply:
    """``GET /files/{id}`` → the document of a version."""
    file = file_by_id(call, fid)
    return answer(documents.file_document(file, version_of(file, call.request.number("version"))))


def read_named(call: Call, kinds: str, cid: str, name: str) -> Reply:
    """``GET /sessions/{id}/files/{name}/info`` → the document of the file."""
    return answer(documents.file_document(named_file(call, kinds, cid, name)))


def read_versions(call: Call, fid: str) -> Reply:
    """``GET /files/{id}/versions`` → one item for each version that is left."""
    file = file_by_id(call, fid)
    return answer(
        [
            {"file_id": fid, "version": at.number, "created": at.created, "origin": at.origin}
            for at in file.versions.values()
        ]
    )


def update(call: Call, fid: str) -> Reply:
    """``PUT /files/{id} {"type", "modality"}`` → changed."""
    return _update(call, file_by_id(call, fid, write=True))


def update_named(call: Call, kinds: str, cid: str, name: str) -> Reply:
    """``PUT /sessions/{id}/files/{name} {"type", "modality"}`` → changed."""
    return _update(call, named_file(call, kinds, cid, name, write=True))


def _update(call: Call, file: StoredFile) -> Reply:
    body = call.request.json()
    return _modified(call, file, {key: body[key] for key in ("type", "modality") if key in body})


def update_info_named(call: Call, kinds: str, cid: str, name: str) -> Reply:
    """``PATCH /sessions/{id}/files/{name}/info`` → set, replace or delete of keys."""
    file = named_file(call, kinds, cid, name, write=True)
    return _modified(call, file, {"info": edits.edit_info(file.info, call.request.json())})


def add_info(call: Call, fid: str) -> Reply:
    """``PATCH /files/{id}/info {...}`` → these keys added; no "set" around them here."""
    file = file_by_id(call, fid, write=True)
    added = edits.checked_info(call.request.json())
    return _modified(call, file, {"info": file.info | added})


def replace_info(call: Call, fid: str) -> Reply:
    """``PUT /files/{id}/info {...}`` → all info replaced, and returned."""
    file = file_by_id(call, fid, write=True)
    _modified(call, file, {"info": edits.checked_info(call.request.json())})
    return answer(file.info)


def read_info(call: Call, fid: str) -> Reply:
    """``GET /files/{id}/info`` → the info of a version."""
    file = file_by_id(call, fid)
    return answer(version_of(file, call.request.number("version")).fields["info"])


def classify(call: Call, fid: str) -> Reply:
    """``PUT /files/{id}/classification`` → as by name."""
    file = file_by_id(call, fid, write=True)
    return _modified(call, file, edits.edit_classification(file.fields, call.request.json()))


def classify_named(call: Call, kinds: str, cid: str, name: str) -> Reply:
    """``PATCH /sessions/{id}/files/{name}/classification`` → add, delete or replace."""
    file = named_file(call, kinds, cid, name, write=True)
    return _modified(call, file, edits.edit_classification(file.fields, call.request.json()))


def read_tags(call: Call, fid: str) -> Reply:
    """``GET /files/{id}/tags`` → its tags."""
    return answer(file_by_id(call, fid).tags)


def set_tags(call: Call, fid: str) -> Reply:
    """``PUT /files/{id}/tags [...]`` → exactly these."""
    return _modified(call, file_by_id(call, fid, write=True), {"tags": call.request.json()})


def add_tags(call: Call, fid: str) -> Reply:
    """``PATCH /files/{id}/tags [...]`` → all its tags."""
    file = file_by_id(call, fid, write=True)
    _modified(call, file, {"tags": list(dict.fromkeys([*file.tags, *call.request.json()]))})
    return answer(file.tags)


def delete(call: Call, fid: str) -> Reply:
    """``DELETE /files/{id}`` → gone, or only the version that was named."""
    file = file_by_id(call, fid, write=True)
    number = call.request.number("version")
    if not call.world.deletes:
        return answer({"deleted": 1})
    if number is not None and len(file.versions) > 1:
        version_of(file, number)
        del file.versions[number]
        return answer({"deleted": 1})
    return _delete(call, file)


def delete_named(call: Call, kinds: str, cid: str, name: str) -> Reply:
    """``DELETE /sessions/{id}/files/{name}`` → gone with all versions."""
    return _delete(call, named_file(call, kinds, cid, name, write=True))


def _delete(call: Call, file: StoredFile) -> Reply:
    reason = checked_reason(call.request.query.get("delete_reason"))
    force = call.request.asks("force")
    if file.copied and not force:
        raise RefusedError(409, "The file has copies that depend on it")
    del file.parent.files[file.name]
    del call.world.files[file.id]
    call.world.deletions.append(Deletion("file", file.id, file.name, reason, force))
    return answer({"deleted": 1})


def move(call: Call, fid: str) -> Reply:
    """``POST /files/{id}/move {"container_reference", "name"}`` → moved or renamed."""
    file, body = file_by_id(call, fid, write=True), call.request.json()
    reference = body.get("container_reference")
    target = call.container("containers", reference["id"], write=True) if reference else file.parent
    name = body.get("name") or file.name
    if name in target.files:
        raise RefusedError(409, "There is a file of that name")
    del file.parent.files[file.name]
    file.name, file.parent = name, target
    target.files[name] = file
    return answer(MODIFIED)


def _modified(call: Call, file: StoredFile, changes: dict[str, Any]) -> Reply:
    file.current.fields |= changes
    file.current.modified = call.world.now()
    return answer(MODIFIED)


_BY_NAME = "/{kinds}/{cid}/files/{name}"

ROUTES: tuple[Route, ...] = (
    ("PUT", _BY_NAME, update_named),
    ("DELETE", _BY_NAME, delete_named),
    ("GET", f"{_BY_NAME}/info", read_named),
    ("PATCH", f"{_BY_NAME}/info", update_info_named),
    ("PATCH", f"{_BY_NAME}/classification", classify_named),
    ("GET", "/files", list_files),
    ("GET", "/files/{fid}", read),
    ("PUT", "/files/{fid}", update),
    ("DELETE", "/files/{fid}", delete),
    ("GET", "/files/{fid}/versions", read_versions),
    ("GET", "/files/{fid}/info", read_info),
    ("PUT", "/files/{fid}/info", replace_info),
    ("PATCH", "/files/{fid}/info", add_info),
    ("PUT", "/files/{fid}/classification", classify),
    ("GET", "/files/{fid}/tags", read_tags),
    ("PUT", "/files/{fid}/tags", set_tags),
    ("PATCH", "/files/{fid}/tags", add_tags),
    ("POST", "/files/{fid}/move", move),
)
