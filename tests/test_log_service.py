"""A site's logging service over HTTP: what it is sent, and every way in which it is down."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from fw_gear_deid.keys import Keyring, fresh_id
from fw_gear_deid.log.ids import digits
from fw_gear_deid.log.open import open_log
from fw_gear_deid.log.service import ServiceLog, authorization
from fw_gear_deid.model.errors import UNLOGGED, UNRESOLVED, LogDown, UsageError
from fw_gear_deid.model.logged import UID, Look, Placed
from fw_gear_deid.sample import MARKER
from tests.logs import INDEXED, entry

API_KEY = "127.0.0.1:8080:__force_insecure:abcdefghijklmnopqrst"
USER = "scitran-user 127.0.0.1:abcdefghijklmnopqrst"


@dataclass
class Service:
    """What a service was sent, and what it answers."""

    asked: list[tuple[str, str, dict[str, str], bytes]] = field(default_factory=list)
    ids: list[str] = field(default_factory=list)
    status: int = 200
    answer: bytes | None = None
    waits: float = 0.0
    cuts: bool = False
    get: int = 404
    url: str = ""


@pytest.fixture
def service() -> Iterator[Service]:
    told = Service()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            told.asked.append(("POST", self.path, dict(self.headers), body))
            time.sleep(told.waits)
            if told.cuts:
                self.connection.shutdown(socket.SHUT_RDWR)
                return
            told.ids.append(fresh_id())
            self._send(
                told.status, told.answer if told.answer is not None else json.dumps({"id": told.ids[-1]}).encode()
            )

        def do_GET(self) -> None:
            told.asked.append(("GET", self.path, dict(self.headers), b""))
            self._send(told.get, b"{}")

        def _send(self, status: int, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Nothing."""

    class Server(ThreadingHTTPServer):
        daemon_threads = False  # none goes on while the next test runs

        def handle_error(self, *_: object) -> None:
            """Nothing: clients hang up on purpose."""

    server = Server(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    told.url = f"http://127.0.0.1:{server.server_port}/deid-log"
    yield told
    server.shutdown()
    server.server_close()
    thread.join()


def test_an_entry_is_sent_as_the_platform_sends_it(service: Service) -> None:
    log = open_log(service.url, api_key=API_KEY)
    ids = log.reserve([entry(1), replace(entry(2, {}), tags="{}")])
    assert ids == service.ids
    (method, path, headers, body), (_, _, _, second) = service.asked
    assert (method, path, headers["Authorization"], headers["Content-Type"]) == (
        "POST",
        "/deid-log/logs",
        USER,
        "application/json",
    )
    assert json.loads(body) == {"indexed_fields": INDEXED, "deidentified_tags": json.loads(entry().tags)}
    assert json.loads(second) == {"indexed_fields": {}, "deidentified_tags": {}}


def test_an_id_in_the_other_spelling_is_dashed(service: Service) -> None:
    id = fresh_id()
    service.answer = json.dumps({"id": digits(id)}).encode()
    assert open_log(service.url, api_key=API_KEY).reserve([entry()]) == [id]


@pytest.mark.parametrize("slash", ["", "/"])
def test_a_slash_at_the_end_of_the_address_is_none_too_many(service: Service, slash: str) -> None:
    open_log(service.url + slash, api_key=API_KEY).reserve([entry()])
    assert service.asked[0][1] == "/deid-log/logs"


@pytest.mark.parametrize("text", ["é山", "\udc80", "a\0b", '"\\'])
def test_any_text_arrives(service: Service, text: str) -> None:
    tags = json.dumps({"a": text}, ensure_ascii=False)
    open_log(service.url, api_key=API_KEY).reserve([replace(entry(1, {"PatientName": text}), tags=tags)])
    sent = json.loads(service.asked[0][3])
    assert (sent["indexed_fields"]["PatientName"], sent["deidentified_tags"]["a"]) == (text, text)


@pytest.mark.parametrize(
    ("key", "header"),
    [
        ("site.example.org:abcdefghijklmnopqrst", "scitran-user site.example.org:abcdefghijklmnopqrst"),
        ("site.example.org:443:abcdefghijklmnopqrst", "scitran-user site.example.org:abcdefghijklmnopqrst"),
        (API_KEY, USER), ("site.example.org:" + "d" * 57, "Bearer " + "d" * 57), (" site:k\n", "scitran-user site:k"),
    ],
)  # fmt: skip
def test_the_service_knows_the_key_with_its_host(key: str, header: str) -> None:
    assert authorization(key) == header


@pytest.mark.parametrize("key", ["", "nothing", ":key", "host:", "host:k\r\nX: y", "host:é"])
def test_what_is_no_key_is_refused(key: str) -> None:
    with pytest.raises(UsageError, match="HOST:KEY"):
        authorization(key)


# -- down ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [300, 302, 400, 401, 403, 404, 409, 429, 500, 502, 503, 504])
def test_its_status_is_told_and_nothing_is_sent_again(service: Service, status: int) -> None:
    service.status = status
    with pytest.raises(LogDown, match=rf"^{UNLOGGED}: .*\(HTTP {status}\)$") as caught:
        open_log(service.url, api_key=API_KEY).reserve([entry(1), entry(2)])
    assert caught.value.status == status
    assert len(service.asked) == 1


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"{}",
        b"[]",
        b"null",
        b'{"id": null}',
        b'{"id": "x"}',
        b'{"id": ["a"]}',
        b"\xff\xfe",
        b'{"id": 7}',
        b"<html>" * 1000,
    ],
)
def test_no_id_is_told(service: Service, answer: bytes) -> None:
    service.answer = answer
    with pytest.raises(LogDown, match=f"^{UNRESOLVED}"):
        open_log(service.url, api_key=API_KEY).reserve([entry()])


def test_who_does_not_answer_in_time_is_down(service: Service) -> None:
    service.waits = 0.5
    with pytest.raises(LogDown, match=f"^{UNLOGGED}: the logging service cannot be reached"):
        ServiceLog(service.url, API_KEY, timeout=0.1).reserve([entry()])
    assert len(service.asked) == 1


def test_who_hangs_up_is_down(service: Service) -> None:
    service.cuts = True
    with pytest.raises(LogDown, match=f"^{UNLOGGED}: the logging service cannot be reached"):
        open_log(service.url, api_key=API_KEY).reserve([entry()])
    assert len(service.asked) == 1


def test_nobody_is_there() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        log = open_log(f"http://127.0.0.1:{taken.getsockname()[1]}", api_key=API_KEY)
        for work in (log.probe, lambda: log.reserve([entry()])):
            with pytest.raises(LogDown, match=f"^{UNLOGGED}: the logging service cannot be reached"):
                work()


@pytest.mark.parametrize(
    ("status", "is_up"),
    [
        (200, True),
        (400, True),
        (404, True),
        (405, True),
        (501, True),
        (401, False),
        (403, False),
        (500, False),
        (503, False),
    ],
)
def test_probing_writes_nothing(service: Service, status: int, is_up: bool) -> None:
    service.get = status
    log = open_log(service.url, api_key=API_KEY)
    if is_up:
        log.probe()
    else:
        with pytest.raises(LogDown, match=rf"^{UNLOGGED}: .*\(HTTP {status}\)$"):
            log.probe()
    assert [one[0] for one in service.asked] == ["GET"]


def test_messages_tell_neither_values_nor_key(service: Service) -> None:
    service.status, service.answer = 500, json.dumps({"message": MARKER}).encode()
    with pytest.raises(LogDown) as caught:
        open_log(service.url, api_key=API_KEY).reserve([entry(1, {"PatientName": MARKER})])
    assert MARKER not in str(caught.value) and "abcdefghij" not in str(caught.value)


# -- what it is not ------------------------------------------------------------------------------------


def test_nothing_is_confirmed_or_looked_up_there(service: Service) -> None:
    log = open_log(service.url, api_key=API_KEY)
    log.confirm([Placed(fresh_id(), "", "", "", "")])
    log.fail([fresh_id()])
    assert (log.readable, log.reserved("dest"), service.asked) == (False, [], [])
    looks: list[Callable[[], object]] = [
        lambda: log.find({}), lambda: log.get(fresh_id()), lambda: log.find_file("x"), lambda: log.of_subject("x"),
        lambda: log.replaced(UID), lambda: log.purge([]), lambda: log.note(Look("", "", "", ())), log.trail,
    ]  # fmt: skip
    for look in looks:
        with pytest.raises(UsageError, match="whoever runs it"):
            look()
    log.close()


@pytest.mark.parametrize(
    "url", ["https://", "https:///logs", "https://h:port/logs", "https://me@h/logs", "http://[::1/logs"]
)
def test_other_addresses_are_refused(url: str) -> None:
    with pytest.raises(UsageError, match="address"):
        open_log(url, api_key=API_KEY)


def test_originals_travel_encrypted() -> None:
    with pytest.raises(UsageError, match="use https"):
        open_log("http://log.example.org/", api_key="site.example.org:abcdefghijklmnopqrst")
    open_log("http://127.0.0.1/", api_key="site.example.org:abcdefghijklmnopqrst")
    open_log("http://site/", api_key="site:80:__force_insecure:abcdefghijklmnopqrst")


def test_a_key_of_ours_is_none_of_its(service: Service) -> None:
    with pytest.raises(UsageError, match="--log-key"):
        open_log(service.url, key=Keyring(b"k" * 32), api_key=API_KEY)


def test_no_certificate_of_anybody_is_taken(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(LogDown, match="cannot be reached"):
        open_log(service.url.replace("http:", "https:"), api_key=API_KEY).reserve([entry()])
    monkeypatch.setenv("FW_SSL_CERT_FILE", "/nothing/here")
    with pytest.raises(UsageError, match="FW_SSL_CERT_FILE"):
        open_log(service.url.replace("http:", "https:"), api_key=API_KEY).reserve([entry()])
