"""Containers, files and jobs → the JSON documents that SDK 23 reads."""

from __future__ import annotations

from typing import Any

from .model import LEVELS, Container, Job, StoredFile, Version

Document = dict[str, Any]


def parents_of(container: Container) -> Document:
    """Turn a container's ancestors into ``{"group": id, …}``, absent levels null."""
    above = {at.kind: at.id for at in container.lineage() if at is not container}
    return {kind: above.get(kind) for kind in LEVELS}


def container_document(container: Container) -> Document:
    """Turn a container into its full document, files and all."""
    document: Document = {
        "_id": container.id,
        "container_type": container.kind,
        "created": container.created,
        "modified": container.modified,
        "revision": 1,
        "tags": list(container.tags),
        **container.fields,
    }
    if container.kind == "group":
        return document | {"permissions": [], "settings": container.settings}
    project = container.above("project") or container
    document |= {
        "parents": parents_of(container),
        "info_exists": bool(container.info),
        "notes": list(container.notes),
        "files": [file_document(file) for file in container.files.values()],
        "permissions": [{"_id": u, "role_ids": r} for u, r in project.permissions.items()],
    }
    return document | _of_its_kind(container)


def _of_its_kind(container: Container) -> Document:
    parent = container.parent
    parents = parents_of(container)
    if parent is None:
        return {}
    match container.kind:
        case "project":
            return {"group": parent.id, "settings": container.settings}
        case "subject":
            return {"project": parent.id}
        case "session":
            subject = container_document(parent) | {"files": []}
            return {"subject": subject, "project": parents["project"], "group": parents["group"]}
        case "acquisition":
            return {"session": parent.id}
        case _:
            return {"parent": {"type": parent.kind, "id": parent.id}}


def file_document(file: StoredFile, version: Version | None = None) -> Document:
    """Turn one version of a file, the current one if none is given, into its document."""
    at = version or file.current
    parents = parents_of(file.parent)
    if file.parent.kind in parents or file.parent.kind == "analysis":
        parents[file.parent.kind] = file.parent.id
    return {
        "_id": at.uuid,
        "file_id": file.id,
        "container_type": "file",
        "name": file.name,
        "version": at.number,
        "size": len(at.content),
        "hash": at.hash,
        "provider_id": "loopback",
        "reference": False,
        "parents": parents,
        "parent_ref": {"type": file.parent.kind, "id": file.parent.id},
        "origin": at.origin,
        "created": at.created,
        "modified": at.modified,
        "replaced": at.created if at.number > 1 else None,
        "revision": 1,
        **at.fields,
        "info_exists": bool(at.fields["info"]),
    }


def listed(document: Document, *, all_info: bool = False) -> Document:
    """Turn a full document into what a list shows: info and classification left out."""
    if document["container_type"] == "file":
        shown = {key: item for key, item in document.items() if key != "classification"}
        return shown | {"info": document["info"] if all_info else None}
    shown = dict(document)
    if "info" in shown and not all_info:
        shown["info"] = {}
    if isinstance(shown.get("subject"), dict):
        shown["subject"] = listed(shown["subject"], all_info=all_info)
    if "files" in shown:
        shown["files"] = [listed(file, all_info=all_info) for file in shown["files"]]
    return shown


def without_file_info(document: Document) -> Document:
    """Turn a full container document into one whose files do not show their info."""
    files = [file | {"info": None} for file in document.get("files", [])]
    return document | {"files": files}


def job_document(job: Job, gear: Document) -> Document:
    """Turn a job into its document."""
    manifest = gear["gear"]
    return {
        "_id": job.id,
        "id": job.id,
        "container_type": "job",
        "gear_id": job.gear_id,
        "gear_info": {
            "id": job.gear_id,
            "category": gear["category"],
            "name": manifest.get("name"),
            "version": manifest.get("version"),
        },
        "state": job.state,
        "failure_reason": job.failure_reason,
        "created": job.created,
        "modified": job.created,
        "inputs": job.inputs,
        "config": {"config": job.config, "destination": job.destination},
        "destination": job.destination,
        "tags": job.tags,
        "attempt": 1,
        "origin": {"type": "user", "id": job.user},
    }
