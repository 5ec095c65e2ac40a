"""A menu of things that go wrong, and when."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from .wire import Request

Match = Callable[[Request], bool] | str | None

Kind = Literal[
    "status",
    "cut",
    "corrupt",
    "slow",
    "reset",
    "delay",
    "race409",
    "expire_key",
    "store_truncated",
    "store_corrupt",
]
KINDS: tuple[str, ...] = get_args(Kind)
MOMENTS = {"status": ("before", "after"), "reset": ("request", "response")}


@dataclass(slots=True, eq=False)
class Fault:
    """One thing that goes wrong.

    Kinds
    -----
    status : answers ``code`` with ``headers``; ``when`` is "before" (nothing happened) or
        "after" (it happened, but the client is told that it failed)
    cut : sends only the share ``keep`` of the body, then closes the connection
    corrupt : sends a body of the right length with bytes flipped in its middle
    slow : spreads the body over ``seconds``
    reset : resets the connection: ``when`` is "request" (share ``keep`` of the body was read,
        nothing happened) or "response" (it happened, share ``keep`` of the answer was sent)
    delay : waits ``seconds`` before the request is looked at
    race409 : another client creates the same container a moment before this one
    expire_key : the key of this request expires for good, this request included
    store_truncated : what this request uploads is stored cut to the share ``keep``
    store_corrupt : what this request uploads is stored with bytes flipped
    """

    kind: str
    match: Callable[[Request], bool]
    times: int | None
    """How often it still happens; None: always."""
    skip: int
    """How many matching requests pass first."""
    code: int = 503
    message: str = "Loopback fault"
    headers: Mapping[str, str] = field(default_factory=dict)
    when: str = ""
    keep: float = 0.5
    seconds: float = 0.2
    hits: int = 0
    """How often it has happened."""

    def happens(self, request: Request) -> bool:
        """Decide about one request, and count it."""
        if (self.times is not None and self.hits >= self.times) or not self.match(request):
            return False
        if self.skip:
            self.skip -= 1
            return False
        self.hits += 1
        return True


class Faults:
    """The faults of a world, in the order in which they were added."""

    def __init__(self) -> None:
        self._faults: list[Fault] = []
        self._lock = threading.Lock()

    def add(
        self,
        kind: Kind,
        match: Match = None,
        *,
        times: int | None = 1,
        skip: int = 0,
        **options: Any,
    ) -> Fault:
        """Make something go wrong.

        Parameters
        ----------
        kind : see `Fault`
        match : regular expression searched in ``METHOD /path`` (decoded, without ``/api``), or a
            predicate over the request; None matches all. "reset" at "request" decides before
            the body is read: its predicate sees an empty one.
        times, skip, options : see `Fault`

        Returns
        -------
        The fault, whose ``hits`` tells how often it happened.

        Examples
        --------
        ``faults.add("status", r"POST .*/files$", code=507, times=None)``
        """
        if kind not in KINDS:
            raise ValueError(f"{kind!r} is not one of {', '.join(KINDS)}")
        if kind in MOMENTS:
            options.setdefault("when", MOMENTS[kind][0])
            if options["when"] not in MOMENTS[kind]:
                raise ValueError(f"{options['when']!r} is no moment of a {kind}")
        fault = Fault(kind, _predicate(match), times, skip, **options)
        with self._lock:
            self._faults.append(fault)
        return fault

    def clear(self) -> None:
        """Make everything go well again."""
        with self._lock:
            self._faults.clear()

    def on_arrival(self, request: Request) -> Fault | None:
        """Find the reset that happens while the body is still being read."""
        with self._lock:
            resets = [f for f in self._faults if f.kind == "reset" and f.when == "request"]
            return next((fault for fault in resets if fault.happens(request)), None)

    def of(self, request: Request) -> dict[str, Fault]:
        """Find what goes wrong with a request that was read: at most one fault of a kind."""
        found: dict[str, Fault] = {}
        with self._lock:
            for fault in self._faults:
                later = fault.kind != "reset" or fault.when == "response"
                if later and fault.kind not in found and fault.happens(request):
                    found[fault.kind] = fault
        return found


def _predicate(match: Match) -> Callable[[Request], bool]:
    if callable(match):
        return match
    pattern = re.compile(match or "")
    return lambda request: pattern.search(f"{request.method} {request.path}") is not None


def flip(content: bytes) -> bytes:
    """Turn bytes into as many other bytes: some in the middle are inverted."""
    middle = len(content) // 2
    spot = bytes(byte ^ 0xFF for byte in content[middle : middle + 16])
    return content[:middle] + spot + content[middle + len(spot) :]
