"""HTTP text → requests, and answers → HTTP text."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

API = "/api"

_PART_NAME = re.compile(r'\bname="([^"]*)"')
_PART_FILENAME = re.compile(r'\bfilename="([^"]*)"')


class RefusedError(Exception):
    """A request answered with an error status."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


@dataclass(frozen=True, slots=True)
class Request:
    """One request as the routes, the faults and the log see it."""

    method: str
    segments: tuple[str, ...]
    """Decoded path segments, without ``/api``; a name may hold a slash."""
    query: Mapping[str, str]
    headers: Mapping[str, str]
    """Names in lower case."""
    key: str
    """The API key sent, empty without one."""
    body: bytes = b""
    damage: Callable[[bytes], bytes] | None = None
    """What a fault does to the bytes that this request wants stored."""

    @property
    def path(self) -> str:
        """The decoded path, without ``/api``."""
        return "/" + "/".join(self.segments)

    def json(self) -> Any:
        """Read the body as JSON; an empty one is an empty object."""
        try:
            return json.loads(self.body) if self.body else {}
        except ValueError as error:
            raise RefusedError(422, "The body is not JSON") from error

    def asks(self, name: str) -> bool:
        """Whether a boolean query parameter is set."""
        return self.query.get(name, "").lower() in {"1", "true"}

    def number(self, name: str) -> int | None:
        """Read a query parameter as a whole number."""
        text = self.query.get(name)
        if not text:
            return None
        if not text.isdecimal():
            raise RefusedError(422, f"{name} is not a number")
        return int(text)


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Part:
    """One part of a multipart form; ``filename`` is empty for a plain field."""

    name: str
    filename: str
    content_type: str
    data: bytes


def answer(data: Any, status: int = 200) -> Reply:
    """Turn a value into a JSON answer."""
    body = json.dumps(data, ensure_ascii=False).encode()
    return Reply(status, body, {"Content-Type": "application/json"})


def refusal(status: int, message: str) -> Reply:
    """Turn a status into the error answer whose fields the SDK reads."""
    return answer(
        {"message": message, "detail": None, "status_code": status, "request_id": "loopback"},
        status,
    )


def parse_target(target: str) -> tuple[tuple[str, ...], dict[str, str]]:
    """Turn a request target into decoded segments and query."""
    parts = urlsplit(target)
    path = parts.path.removeprefix(API) if parts.path.startswith(API + "/") else parts.path
    segments = tuple(unquote(segment) for segment in path.strip("/").split("/"))
    return segments, dict(parse_qsl(parts.query, keep_blank_values=True))


def parse_key(authorization: str) -> str:
    """Turn ``scitran-user [HOST:]KEY`` or ``Bearer [HOST:]KEY`` into the bare key."""
    return authorization.split(" ")[-1].rsplit(":", 1)[-1]


def parse_form(content_type: str, body: bytes) -> list[Part]:
    """Turn a multipart body into its parts (RFC 7578)."""
    boundary = re.search(r'boundary="?([^";]+)', content_type)
    if boundary is None:
        raise RefusedError(422, "The form has no boundary")
    parts = []
    for piece in body.split(b"--" + boundary[1].encode())[1:-1]:
        head, _, data = piece.partition(b"\r\n\r\n")
        lines = head.decode().strip().split("\r\n")
        headers = dict(line.split(": ", 1) for line in lines)
        disposition = headers["Content-Disposition"]
        name = _PART_NAME.search(disposition)
        filename = _PART_FILENAME.search(disposition)
        parts.append(
            Part(
                _plain(name[1]) if name else "",
                _plain(filename[1]) if filename else "",
                headers.get("Content-Type", ""),
                data.removesuffix(b"\r\n"),
            )
        )
    return parts


def _plain(parameter: str) -> str:
    """Undo the escapes that HTML gives to a form parameter."""
    return parameter.replace("%22", '"').replace("%0D", "\r").replace("%0A", "\n").replace("\\\\", "\\")
