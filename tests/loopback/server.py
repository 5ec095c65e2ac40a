"""World → an HTTP server on this machine that the real SDK logs in to."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import traceback
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

from . import container_routes, file_routes, site_routes, transfer_routes
from .faults import Fault, flip
from .routes import dispatch
from .wire import RefusedError, Reply, Request, parse_key, parse_target, refusal
from .world import World

ROUTES = (
    *site_routes.ROUTES,
    *transfer_routes.ROUTES,
    *file_routes.ROUTES,
    *container_routes.ROUTES,
)
_CREATES = {("projects",), ("subjects",), ("sessions",), ("acquisitions",)}
_SLOW_STEPS = 10


class LoopbackServer(HTTPServer):
    """Serves one world, a daemon thread to a connection."""

    request_queue_size = 64

    def __init__(self, world: World) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.world = world
        self.stopping = threading.Event()
        self._threads: dict[socket.socket, threading.Thread] = {}
        world.base_url = f"http://127.0.0.1:{self.server_port}"

    def key(self, user: str = "admin", **limits: Any) -> str:
        """Make a key as a client wants it: ``127.0.0.1:PORT:__force_insecure:KEY``.

        ``limits`` are those of `World.add_key`.
        """
        return self.address(self.world.add_key(user, **limits))

    def address(self, key: str) -> str:
        """Put host and port before a bare key."""
        return f"127.0.0.1:{self.server_port}:__force_insecure:{key}"

    def close(self) -> None:
        """Stop serving, also in the middle of an answer, and wait for all threads."""
        self.stopping.set()
        self.shutdown()
        self.server_close()
        for connection, thread in list(self._threads.items()):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            thread.join(timeout=5)
        self.world.wait_for_jobs(timeout=5)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Give a connection its thread."""
        args = (request, client_address)
        thread = threading.Thread(target=self._converse, args=args, daemon=True)
        self._threads[request] = thread
        thread.start()

    def _converse(self, connection: socket.socket, client_address: Any) -> None:
        try:
            self.finish_request(connection, client_address)
        except ConnectionError:
            pass  # the client went away
        except Exception:  # noqa: BLE001 - a mistake in here must fail the test, not one thread
            self.world.errors.append(traceback.format_exc())
        finally:
            self.shutdown_request(connection)
            self._threads.pop(connection, None)


@contextlib.contextmanager
def serve(world: World) -> Iterator[LoopbackServer]:
    """Serve a world on a free port until the block ends.

    Raises
    ------
    RuntimeError
        At the end, when the server itself made a mistake.
    """
    server = LoopbackServer(world)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield server
    finally:
        server.close()
    if world.errors:
        raise RuntimeError("The loopback server failed:\n" + "\n".join(world.errors))


class _Handler(BaseHTTPRequestHandler):
    """Turns the text of a connection into requests and answers."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: LoopbackServer

    def log_message(self, *_args: Any) -> None:
        """Stay silent: the world's log has it all."""

    def respond(self) -> None:
        """Serve one request, with whatever goes wrong."""
        world = self.server.world
        segments, query = parse_target(self.path)
        headers = {name.lower(): value for name, value in self.headers.items()}
        key = parse_key(headers.get("authorization", ""))
        request = Request(self.command, segments, query, headers, key)
        length = int(headers.get("content-length", 0))
        reset = world.faults.on_arrival(request)
        if reset:
            request = replace(request, body=self.rfile.read(int(length * reset.keep)))
            world.log.note(request, None)
            self._reset()
            return
        request = replace(request, body=self.rfile.read(length))
        if "transfer-encoding" in headers:
            self.close_connection = True
            self._send(refusal(411, "Content-Length is required"), {})
            return
        faults = world.faults.of(request)
        reply = self._serve(request, faults)
        world.log.note(request, None if "reset" in faults else reply.status)
        self._send(reply, faults)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = respond

    def _serve(self, request: Request, faults: dict[str, Fault]) -> Reply:
        """Answer a request: the faults before, the routes, the faults after."""
        world = self.server.world
        if "delay" in faults:
            self.server.stopping.wait(faults["delay"].seconds)
        status = faults.get("status")
        if status and status.when == "before":
            return _failure(status)
        with world.lock:
            if "expire_key" in faults and request.key in world.keys:
                world.expire(request.key)
            if "race409" in faults and request.segments in _CREATES:
                _answer(world, request)
            reply = _answer(world, replace(request, damage=_damage(faults)))
        return _failure(status) if status else reply

    def _send(self, reply: Reply, faults: dict[str, Fault]) -> None:
        body = flip(reply.body) if "corrupt" in faults else reply.body
        self.send_response_only(reply.status)
        for name, value in reply.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        partial_send = faults.get("cut") or faults.get("reset")
        if partial_send:
            self.wfile.write(body[: int(len(body) * partial_send.keep)])
            self.close_connection = True
            if partial_send.kind == "reset":
                self._reset()
        elif "slow" in faults:
            self._trickle(body, faults["slow"].seconds)
        else:
            self.wfile.write(body)

    def _trickle(self, body: bytes, seconds: float) -> None:
        step = len(body) // _SLOW_STEPS + 1
        for start in range(0, len(body), step):
            self.wfile.write(body[start : start + step])
            self.server.stopping.wait(seconds / _SLOW_STEPS)

    def _reset(self) -> None:
        """Close so that the other side sees a reset, not an end."""
        self.close_connection = True
        linger_not = struct.pack("ii", 1, 0)
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger_not)
        self.rfile.close()
        self.connection.close()


def _answer(world: World, request: Request) -> Reply:
    try:
        return dispatch(world, ROUTES, request)
    except RefusedError as refused:
        return refusal(refused.status, refused.message)
    except Exception:  # noqa: BLE001 - the client gets its 500, the test gets the traceback
        world.errors.append(f"{request.method} {request.path}\n{traceback.format_exc()}")
        return refusal(500, "The loopback server failed")


def _failure(fault: Fault) -> Reply:
    reply = refusal(fault.code, fault.message)
    return replace(reply, headers={**reply.headers, **fault.headers})


def _damage(faults: dict[str, Fault]) -> Any:
    """Turn the faults of a request into what happens to the bytes it stores."""
    if "store_truncated" in faults:
        return partial(_truncate, faults["store_truncated"].keep)
    return flip if "store_corrupt" in faults else None


def _truncate(keep: float, content: bytes) -> bytes:
    return content[: int(len(content) * keep)]
