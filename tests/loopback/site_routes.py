"""Requests about the site, its users, gears, jobs and rules → answers."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from . import documents
from .container_routes import MODIFIED
from .model import Job
from .routes import Call, Route
from .wire import RefusedError, Reply, answer
from .world import World

Document = dict[str, Any]


def auth_status(call: Call) -> Reply:
    """``GET /auth/status`` → who the key is."""
    key = call.caller
    roles = ["site_admin"] if key.admin else ["user"]
    return answer(
        {
            "origin": call.origin,
            "user_id": key.user,
            "user_is_admin": key.admin,
            "is_device": key.device,
            "roles": roles,
        }
    )


def config(call: Call) -> Reply:
    """``GET /config`` → site and features, to anybody."""
    world = call.world
    return answer(
        {
            "site": {
                "id": "loopback",
                "name": "Loopback",
                "api_url": f"{world.base_url}/api",
                "deid_log_url": f"{world.base_url}/deid-log" if world.deid_log.enabled else None,
            },
            "features": {**world.features, "deid_log": world.deid_log.enabled},
            "signed_url": world.features["signed_url"],
            "auth": {},
        }
    )


def version(call: Call) -> Reply:
    """``GET /version`` → release numbers, to anybody."""
    return answer({"_id": "version", "database": 1, "release": "23.0.0", "flywheel_release": "23.0.0"})


def current_user(call: Call) -> Reply:
    """``GET /users/self`` → the user of the key."""
    return answer(_user(call.caller.user, admin=call.caller.admin))


def list_users(call: Call) -> Reply:
    """``GET /users`` → all users, to site admins."""
    if not call.caller.admin:
        raise RefusedError(403, "Only site admins may")
    return answer([_user(user, admin=admin) for user, admin in call.world.users.items()])


def _user(user: str, *, admin: bool) -> Document:
    roles = ["site_admin"] if admin else ["user"]
    return {
        "_id": user,
        "email": user,
        "firstname": user,
        "lastname": "Loopback",
        "roles": roles,
        "root": admin,
    }


def read_role(call: Call, role: str) -> Reply:
    """``GET /roles/{id}`` → its label and the actions it allows."""
    if not (call.world.roles_readable or call.caller.admin):
        raise RefusedError(403, "Only site admins may")
    if role not in call.world.roles:
        raise RefusedError(404, "There is no such role")
    return answer({"_id": role, "label": role, "actions": sorted(call.world.roles[role]), "in_use": True})


def read_settings(call: Call) -> Reply:
    """``GET /site/settings`` → what was set."""
    return answer(call.world.site_settings)


def update_settings(call: Call) -> Reply:
    """``PUT /site/settings`` → the given ones changed, by a site admin."""
    if not call.caller.admin:
        raise RefusedError(403, "Only site admins may")
    call.world.site_settings |= call.request.json()
    return answer(call.world.site_settings)


def list_gears(call: Call) -> Reply:
    """``GET /gears`` → all of them: like the platform's, this list knows no ``after_id``."""
    return answer(list(call.world.gears.values())[: call.request.number("limit")])


def read_gear(call: Call, gear: str) -> Reply:
    """``GET /gears/{id}`` → category and manifest."""
    return answer(_gear(call, gear))


def _gear(call: Call, gear: str) -> Document:
    if gear not in call.world.gears:
        raise RefusedError(404, f"gear {gear} was not found")
    return call.world.gears[gear]


def add_job(call: Call) -> Reply:
    """``POST /jobs/add`` → ``{"_id"}`` of a pending job."""
    body = call.request.json()
    destination = body.get("destination")
    if not destination:
        raise RefusedError(422, "A destination is required")
    call.container("containers", destination["id"], write=True)
    return answer({"_id": _start(call, body, destination).id})


def add_analysis(call: Call, kinds: str, cid: str) -> Reply:
    """``POST /sessions/{id}/analyses`` → ``{"_id"}``; with a job, that runs into the analysis."""
    parent = call.container(kinds, cid, write=True)
    body = call.request.json()
    made = call.world.create("analysis", parent, body)
    if body.get("job"):
        made.fields["job"] = _start(call, body["job"], {"type": "analysis", "id": made.id}).id
    return answer({"_id": made.id})


def _start(call: Call, body: Document, destination: dict[str, str]) -> Job:
    world = call.world
    job = Job(
        id=world.new_id(),
        gear_id=_gear(call, body["gear_id"])["_id"],
        created=world.now(),
        user=call.caller.user,
        inputs=body.get("inputs") or {},
        config=body.get("config") or {},
        destination=destination,
        tags=body.get("tags") or [],
    )
    world.jobs[job.id] = job
    if world.on_job is not None:
        thread = threading.Thread(target=_run, args=(world, world.on_job, job), daemon=True)
        world.job_threads.append(thread)
        thread.start()
    return job


def _run(world: World, on_job: Callable[[Job], None], job: Job) -> None:
    with world.lock:
        job.state = "running"
    try:
        on_job(job)
    except Exception as error:  # noqa: BLE001 - whatever a gear dies of, the platform says failed
        job.state, job.failure_reason = "failed", repr(error)
    else:
        job.state = "complete" if job.state == "running" else job.state


def list_jobs(call: Call) -> Reply:
    """``GET /jobs`` → all jobs."""
    jobs = call.world.jobs.values()
    return answer([documents.job_document(job, _gear(call, job.gear_id)) for job in jobs])


def read_job(call: Call, job: str) -> Reply:
    """``GET /jobs/{id}`` → its document."""
    found = _job(call, job)
    return answer(documents.job_document(found, _gear(call, found.gear_id)))


def update_job(call: Call, job: str) -> Reply:
    """``PUT /jobs/{id} {"state"}`` → changed."""
    _job(call, job).state = call.request.json()["state"]
    return answer(MODIFIED)


def read_job_logs(call: Call, job: str) -> Reply:
    """``GET /jobs/{id}/logs`` → ``{"logs": [{"fd", "msg"}]}``."""
    return answer({"_id": job, "logs": _job(call, job).logs})


def add_job_logs(call: Call, job: str) -> Reply:
    """``POST /jobs/{id}/logs [{"fd", "msg"}]`` → appended."""
    _job(call, job).logs.extend(call.request.json())
    return answer(None)


def _job(call: Call, job: str) -> Job:
    if job not in call.world.jobs:
        raise RefusedError(404, f"job {job} was not found")
    return call.world.jobs[job]


def list_rules(call: Call, project: str) -> Reply:
    """``GET /projects/{id}/rules`` → its gear rules."""
    call.container("projects", project)
    return answer(call.world.rules.get(project, []))


def add_rule(call: Call, project: str) -> Reply:
    """``POST /projects/{id}/rules`` → the rule with an id; nothing ever triggers it."""
    call.container("projects", project, write=True)
    rule = {**call.request.json(), "_id": call.world.new_id(), "project_id": project}
    call.world.rules.setdefault(project, []).append(rule)
    return answer(rule)


def log_deid(call: Call) -> Reply:
    """``POST /deid-log/logs`` → ``{"id"}``: the log service, which is not part of the API."""
    log = call.world.deid_log
    if log.down:
        raise RefusedError(503, "Service Unavailable")
    body = call.request.json()
    missing = {"indexed_fields", "deidentified_tags"} - set(body)
    if missing:
        raise RefusedError(422, f"{', '.join(sorted(missing))} is required")
    log_id = call.world.new_uuid()
    log.records.append({**body, "id": log_id, "key": call.request.key})
    return answer({"id": log_id})


ROUTES: tuple[Route, ...] = (
    ("GET", "/auth/status", auth_status),
    ("GET", "/config", config),
    ("GET", "/version", version),
    ("GET", "/users/self", current_user),
    ("GET", "/users", list_users),
    ("GET", "/roles/{role}", read_role),
    ("GET", "/site/settings", read_settings),
    ("PUT", "/site/settings", update_settings),
    ("GET", "/gears", list_gears),
    ("GET", "/gears/{gear}", read_gear),
    ("POST", "/jobs/add", add_job),
    ("GET", "/jobs", list_jobs),
    ("GET", "/jobs/{job}", read_job),
    ("GET", "/jobs/{job}/detail", read_job),
    ("PUT", "/jobs/{job}", update_job),
    ("GET", "/jobs/{job}/logs", read_job_logs),
    ("POST", "/jobs/{job}/logs", add_job_logs),
    ("GET", "/projects/{project}/rules", list_rules),
    ("POST", "/projects/{project}/rules", add_rule),
    ("POST", "/{kinds}/{cid}/analyses", add_analysis),
    ("POST", "/deid-log/logs", log_deid),
)
