"""Requests about containers → answers."""

from __future__ import annotations

from typing import Any

from . import documents, edits, query
from .model import KINDS, PARENT, UPDATE_FIELDS, Container, Deletion, StoredFile
from .routes import Call, Route
from .wire import RefusedError, Reply, answer
from .world import checked_reason

Document = dict[str, Any]

MODIFIED = {"modified": 1, "jobs_spawned": 0}


def read(call: Call, kinds: str, cid: str) -> Reply:
    """``GET /sessions/{id}`` → the full document."""
    return answer(_full(call, call.container(kinds, cid)))


def _full(call: Call, container: Container) -> Document:
    document = documents.container_document(container)
    if container.kind != "group":
        analyses = [at for at in call.world.below(container) if at.kind == "analysis"]
        own = [documents.container_document(at) for at in analyses if at.parent is container]
        document["analyses"] = own
    shown = call.world.file_info_in_containers
    return document if shown else documents.without_file_info(document)


def list_all(call: Call, kinds: str) -> Reply:
    """``GET /sessions`` → those the key reaches."""
    reachable = [at for at in call.world.containers.values() if call.world.reaches(call.caller, at)]
    return _list(call, kinds, reachable)


def list_children(call: Call, kinds: str, cid: str, children: str) -> Reply:
    """``GET /projects/{id}/sessions`` → those inside; analyses: its own only."""
    parent = call.container(kinds, cid)
    inside = list(call.world.below(parent))
    own = [at for at in inside if at.parent is parent]
    return _list(call, children, own if children == "analyses" else inside)


def _list(call: Call, kinds: str, containers: list[Container]) -> Reply:
    found = [documents.container_document(at) for at in containers if at.kind == KINDS.get(kinds)]
    page = query.select(found, call.request, id_field="_id")[: call.world.page_cap]
    all_info = call.request.asks("include_all_info")
    shown = [documents.listed(document, all_info=all_info) for document in page]
    return answer(shown if call.world.file_info_in_lists else [documents.without_file_info(one) for one in shown])


def create(call: Call, kinds: str) -> Reply:
    """``POST /sessions`` → ``{"_id"}``; 409 when the parent has one of that label."""
    kind, body = KINDS.get(kinds, ""), call.request.json()
    if kind not in PARENT:
        raise RefusedError(404, f"Nobody creates {kinds}")
    named = body.get(PARENT[kind])
    parent_id = named.get("_id") if isinstance(named, dict) else named
    if not parent_id:
        raise RefusedError(422, f"{PARENT[kind]} is required")
    parent = call.world.find(parent_id, PARENT[kind])
    call.world.admit(call.caller, parent, write=True)
    made = call.world.create(kind, parent, body)
    if kind == "project":
        made.permissions = {call.caller.user: ["admin"]}
    return answer({"_id": made.id})


def update(call: Call, kinds: str, cid: str) -> Reply:
    """``PUT /sessions/{id}`` → its known fields changed, info merged."""
    container = call.container(kinds, cid, write=True)
    body = call.request.json()
    changes = {name: body[name] for name in UPDATE_FIELDS[container.kind] & set(body)}
    renamed = changes.get("label") not in {None, container.label}
    known = changes if renamed else {k: v for k, v in changes.items() if k != "label"}
    call.world.check_fields(container.kind, known, container.parent)
    if "tags" in changes:
        container.tags[:] = changes.pop("tags")
    if "info" in changes:
        changes["info"] = container.info | edits.checked_info(changes["info"])
    container.fields |= changes
    return _modified(call, container)


def update_info(call: Call, kinds: str, cid: str) -> Reply:
    """``PATCH /sessions/{id}/info`` → set, replace or delete of keys."""
    container = call.container(kinds, cid, write=True)
    container.fields["info"] = edits.edit_info(container.info, call.request.json())
    return _modified(call, container)


def delete(call: Call, kinds: str, cid: str) -> Reply:
    """``DELETE /sessions/{id}`` → gone with all that is below."""
    container = call.container(kinds, cid, write=True)
    reason = checked_reason(call.request.query.get("delete_reason"))
    call.world.deletions.append(Deletion(container.kind, container.id, container.label, reason, force=False))
    return answer({"deleted": call.world.remove(container)})


def add_tag(call: Call, kinds: str, cid: str) -> Reply:
    """``POST /sessions/{id}/tags {"value"}`` → 409 when it is there already."""
    container = call.container(kinds, cid, write=True)
    tag = call.request.json()["value"]
    if tag in container.tags:
        raise RefusedError(409, "The tag exists already")
    container.tags.append(tag)
    return _modified(call, container)


def add_tags(call: Call, kinds: str, cid: str) -> Reply:
    """``PATCH /sessions/{id}/tags [...]`` → those that are missing added."""
    container = call.container(kinds, cid, write=True)
    container.tags[:] = dict.fromkeys([*container.tags, *call.request.json()])
    return _modified(call, container)


def delete_tags(call: Call, kinds: str, cid: str) -> Reply:
    """``DELETE /sessions/{id}/tags [...]`` → those removed."""
    container = call.container(kinds, cid, write=True)
    gone = call.request.json()
    container.tags[:] = [tag for tag in container.tags if tag not in gone]
    return _modified(call, container)


def delete_tag(call: Call, kinds: str, cid: str, tag: str) -> Reply:
    """``DELETE /sessions/{id}/tags/{tag}`` → 404 when it is not there."""
    container = call.container(kinds, cid, write=True)
    if tag not in container.tags:
        raise RefusedError(404, "There is no such tag")
    container.tags.remove(tag)
    return _modified(call, container)


def add_note(call: Call, kinds: str, cid: str) -> Reply:
    """``POST /sessions/{id}/notes {"text"}`` → the note."""
    container = call.container(kinds, cid, write=True)
    return answer(call.world.add_note(container, call.request.json()["text"], call.caller.user))


def delete_note(call: Call, kinds: str, cid: str, note: str) -> Reply:
    """``DELETE /sessions/{id}/notes/{note}`` → 404 when it is not there."""
    container = call.container(kinds, cid, write=True)
    left = [item for item in container.notes if item["_id"] != note]
    if len(left) == len(container.notes):
        raise RefusedError(404, "There is no such note")
    container.notes[:] = left
    return answer({"deleted": 1})


def read_settings(call: Call, kinds: str, cid: str) -> Reply:
    """``GET /projects/{id}/settings`` → what was set, of a group likewise."""
    return answer(call.container(kinds, cid).settings)


def update_settings(call: Call, kinds: str, cid: str) -> Reply:
    """``PUT /projects/{id}/settings`` → the given ones changed."""
    container = call.container(kinds, cid, write=True)
    container.settings |= call.request.json()
    return answer(container.settings)


def lookup(call: Call) -> Reply:
    """``POST /lookup {"path"}`` → the document of what is there, 404 otherwise."""
    *_, found = _walk(call)
    if isinstance(found, StoredFile):
        return answer(documents.file_document(found))
    return answer(_full(call, found))


def resolve(call: Call) -> Reply:
    """``POST /resolve {"path"}`` → the documents on the way, and the children of the last."""
    trail = _walk(call)
    path = [_node(call, at) for at in trail]
    last = trail[-1]
    if isinstance(last, StoredFile):
        return answer({"path": path, "children": []})
    inside = [at for at in call.world.below(last) if at.parent is last]
    children = [_full(call, at) for at in inside]
    children += [documents.file_document(file) for file in last.files.values()]
    return answer({"path": path, "children": children})


def _node(call: Call, at: Container | StoredFile) -> Document:
    return documents.file_document(at) if isinstance(at, StoredFile) else _full(call, at)


def _walk(call: Call) -> list[Container | StoredFile]:
    """Follow a path of labels; ``files`` and ``analyses`` may stand before a last name."""
    group, *names = call.request.json()["path"]
    at = call.world.find(group, "group")
    trail: list[Container | StoredFile] = [at]
    wanted = ""
    for name in names:
        if name in {"files", "analyses"}:
            wanted = name
            continue
        inside = [child for child in call.world.below(at) if child.parent is at]
        kinds = {"analysis"} if wanted == "analyses" else set(PARENT)
        labels = {child.label: child for child in reversed(inside) if child.kind in kinds}
        if wanted != "files" and name in labels:
            at, wanted = labels[name], ""
            trail.append(at)
        elif name in at.files:
            trail.append(at.files[name])
        else:
            raise RefusedError(404, f"{name} was not found in {at.kind} {at.id}")
    call.world.admit(call.caller, at)
    return trail


def _modified(call: Call, container: Container) -> Reply:
    container.modified = call.world.now()
    return answer(MODIFIED)


ROUTES: tuple[Route, ...] = (
    ("POST", "/lookup", lookup),
    ("POST", "/resolve", resolve),
    ("GET", "/{kinds}", list_all),
    ("POST", "/{kinds}", create),
    ("GET", "/{kinds}/{cid}", read),
    ("PUT", "/{kinds}/{cid}", update),
    ("DELETE", "/{kinds}/{cid}", delete),
    ("GET", "/{kinds}/{cid}/{children}", list_children),
    ("PATCH", "/{kinds}/{cid}/info", update_info),
    ("POST", "/{kinds}/{cid}/tags", add_tag),
    ("PATCH", "/{kinds}/{cid}/tags", add_tags),
    ("DELETE", "/{kinds}/{cid}/tags", delete_tags),
    ("DELETE", "/{kinds}/{cid}/tags/{tag}", delete_tag),
    ("POST", "/{kinds}/{cid}/notes", add_note),
    ("DELETE", "/{kinds}/{cid}/notes/{note}", delete_note),
    ("GET", "/{kinds}/{cid}/settings", read_settings),
    ("PUT", "/{kinds}/{cid}/settings", update_settings),
)
