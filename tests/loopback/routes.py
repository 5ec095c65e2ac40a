"""Requests → answers: which function serves which path, and to whom."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from .model import KINDS, Container, Key, StoredFile, Version
from .wire import RefusedError, Reply, Request
from .world import World


@dataclass(frozen=True, slots=True)
class Call:
    """One request on its way through a route."""

    world: World
    request: Request
    key: Key | None

    @property
    def caller(self) -> Key:
        """The key, where one is needed."""
        if self.key is None or self.key.expired:
            raise RefusedError(401, "The API key is not valid")
        return self.key

    @property
    def origin(self) -> dict[str, str]:
        """Who the caller is, as files and jobs record it."""
        return {"type": "device" if self.caller.device else "user", "id": self.caller.user}

    def container(self, kinds: str, container_id: str, *, write: bool = False) -> Container:
        """Find the container of a path; ``containers`` in a path stands for any kind."""
        found = self.world.find(container_id, KINDS.get(kinds))
        return self.world.admit(self.caller, found, write=write)


OPEN = {"/config", "/version", "/signed/{ticket}", "/signed/{ticket}/{part}"}
"""Patterns that need no key; nor does a path with a ticket."""

Route = tuple[str, str, Callable[..., Reply]]
"""Method, pattern such as ``/{kinds}/{cid}/tags``, function of call and captured segments."""


def dispatch(world: World, routes: tuple[Route, ...], request: Request) -> Reply:
    """Serve a request by the first route that fits it."""
    call = Call(world, request, world.keys.get(request.key))
    for method, pattern, serve in routes:
        captured = _match(pattern, request.segments) if method == request.method else None
        if captured is None:
            continue
        if pattern in OPEN or request.query.get("ticket") or call.caller:
            return serve(call, **captured)
    raise RefusedError(404, f"There is no {request.method} {request.path}")


def _match(pattern: str, segments: tuple[str, ...]) -> dict[str, str] | None:
    """Capture the ``{names}`` of a pattern; ``{kinds}`` and ``{children}`` take plurals only."""
    steps = pattern.strip("/").split("/")
    if len(steps) != len(segments):
        return None
    captured = {}
    for step, segment in zip(steps, segments, strict=True):
        if not step.startswith("{"):
            if step != segment:
                return None
            continue
        name = step.strip("{}")
        if name == "children" and segment not in KINDS:
            return None
        if name == "kinds" and segment not in KINDS and segment != "containers":
            return None
        captured[name] = segment
    return captured


def named_file(call: Call, kinds: str, cid: str, name: str, *, write: bool = False) -> StoredFile:
    """Find the file of a path."""
    container = call.container(kinds, cid, write=write)
    if name not in container.files:
        raise RefusedError(404, f"The file was not found in {container.kind} {cid}")
    return container.files[name]


def file_by_id(call: Call, fid: str, *, write: bool = False) -> StoredFile:
    """Find a file by its stable id."""
    if fid not in call.world.files:
        raise RefusedError(404, f"file {fid} was not found")
    file = call.world.files[fid]
    call.world.admit(call.caller, file.parent, write=write)
    return file


def version_of(file: StoredFile, number: int | None) -> Version:
    """Find one version of a file; none and 0 mean the current one."""
    if not number:
        return file.current
    if number not in file.versions:
        raise RefusedError(404, f"The file has no version {number}")
    return file.versions[number]
