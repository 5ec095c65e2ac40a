"""A site's logging service over HTTP: it takes entries and gives ids, and whoever runs it looks them up."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from typing import NoReturn
from urllib.parse import urlsplit

from fw_gear_deid.log.ids import dashed
from fw_gear_deid.model.errors import UNLOGGED, UNRESOLVED, LogDown, UsageError
from fw_gear_deid.model.logged import FAILED, Entry, Logged, Look, Placed, Replaced

TIMEOUT = 60.0
"""Seconds for an answer; a service that is slower is down."""
_DEVICE_KEY = 57
_HERE, _INSECURE = ("127.0.0.1", "::1", "localhost"), ":__force_insecure:"
_LARGEST = 1 << 20  # bytes of an answer that is read
NO_READER = "a site's logging service is looked into by whoever runs it: this program can only write to it"


class ServiceLog:
    """As ``model.logged.DeidLog``; what was replaced is not kept, and nothing can be looked up, confirmed or erased.

    ``POST {url}/logs`` with the indexed fields and the changed tags, once: a service that has taken an entry and whose
    answer was lost would have it twice.

    Parameters
    ----------
    url : str
        The site's ``deid_log_url``.
    api_key : str
        ``HOST[:PORT[:...]]:KEY``.
    timeout : float
        Seconds.

    Raises
    ------
    UsageError
    """

    readable = False

    def __init__(self, url: str, api_key: str, timeout: float = TIMEOUT) -> None:
        try:
            parts = urlsplit(url)
            self._secure, self._host, self._port = parts.scheme.lower() == "https", parts.hostname, parts.port
        except ValueError:
            self._host = None
        if not self._host or parts.username is not None:
            raise UsageError("the address of the logging service must be https://HOST/PATH")
        if not self._secure and self._host not in _HERE and _INSECURE not in api_key:
            raise UsageError("the logging service would be told originals over http, which others can read: use https")
        self._path = parts.path.rstrip("/") + "/logs"
        self._timeout = timeout
        self._headers = {"Authorization": authorization(api_key), "Accept": "application/json"}

    def probe(self) -> None:
        """Make sure that the service answers and knows the key; nothing can be written and taken back there."""
        status, _ = self._ask("GET", None)
        if status in (401, 403) or status >= 500 and status != 501:  # noqa: RUF021 -- it need not know GET
            raise LogDown(f"{UNLOGGED}: the logging service does not take part", status)

    def reserve(self, entries: Sequence[Entry]) -> list[str]:
        """As the port, but one by one: those before the one that failed stay in the service, without a file."""
        return [self._reserve(entry) for entry in entries]

    def _reserve(self, entry: Entry) -> str:
        body = f'{{"indexed_fields":{json.dumps(dict(entry.indexed))},"deidentified_tags":{entry.tags or "{}"}}}'
        status, answer = self._ask("POST", body.encode("utf-8", "backslashreplace"))
        if not 200 <= status < 300:
            raise LogDown(f"{UNLOGGED}: the logging service refused it", status)
        try:
            return dashed(str(json.loads(answer)["id"]))
        except (ValueError, KeyError, TypeError):
            raise LogDown(f"{UNRESOLVED}: the logging service answered without an id", status) from None

    def _ask(self, method: str, body: bytes | None) -> tuple[int, bytes]:
        """Send one request over a connection of its own and return status and answer.

        Raises
        ------
        LogDown
        """
        assert self._host  # noqa: S101 -- else there would be no object
        connection = self._connection(self._host)
        headers = self._headers | ({} if body is None else {"Content-Type": "application/json"})
        try:
            connection.request(method, self._path, body, headers)
            answer: HTTPResponse = connection.getresponse()
            return answer.status, answer.read(_LARGEST)
        except (OSError, HTTPException) as error:
            raise LogDown(f"{UNLOGGED}: the logging service cannot be reached ({type(error).__name__})") from None
        finally:
            connection.close()

    def _connection(self, host: str) -> HTTPConnection:
        if not self._secure:
            return HTTPConnection(host, self._port, timeout=self._timeout)
        import ssl

        authorities = os.environ.get("FW_SSL_CERT_FILE") or None
        try:
            context = ssl.create_default_context(cafile=authorities)
        except OSError:
            raise UsageError("FW_SSL_CERT_FILE: these certificates cannot be read") from None
        return HTTPSConnection(host, self._port, timeout=self._timeout, context=context)

    def confirm(self, placed: Sequence[Placed]) -> None:
        """Nothing: the uploaded file has the id."""

    def fail(self, ids: Sequence[str], state: str = FAILED) -> None:
        """Nothing: no file has the id."""

    def reserved(self, dest_project: str) -> list[Logged]:
        """Nothing is known to be reserved."""
        return []

    def standing(self, dest_project: str) -> Iterator[tuple[str, str, str]]:
        """As ``_refuse``."""
        _refuse()

    def find(self, wanted: Mapping[str, str]) -> list[Logged]:
        """As ``_refuse``."""
        _refuse()

    def get(self, id: str) -> Logged | None:
        """As ``_refuse``."""
        _refuse()

    def find_file(self, name: str, sha: str = "") -> list[Logged]:
        """As ``_refuse``."""
        _refuse()

    def of_subject(self, subject: str) -> list[Logged]:
        """As ``_refuse``."""
        _refuse()

    def replaced(self, kind: str, id: str = "") -> Iterator[Replaced]:
        """As ``_refuse``."""
        _refuse()

    def purge(self, ids: Sequence[str]) -> None:
        """As ``_refuse``."""
        _refuse()

    def note(self, look: Look) -> None:
        """As ``_refuse``."""
        _refuse()

    def trail(self) -> Iterator[Look]:
        """As ``_refuse``."""
        _refuse()

    def close(self) -> None:
        """Nothing: each request had its connection."""


def authorization(api_key: str) -> str:
    """Return the header that a logging service knows a key of the platform by: with its host, unlike the platform.

    >>> authorization("site.example.org:443:" + "k" * 20)
    'scitran-user site.example.org:kkkkkkkkkkkkkkkkkkkk'

    Raises
    ------
    UsageError
    """
    host, _, rest = api_key.strip().partition(":")
    key = rest.rpartition(":")[2]
    if not host or not key or not re.fullmatch(r"[!-~]+", api_key.strip()):
        raise UsageError("the logging service needs the API key of a platform, HOST:KEY")
    return f"Bearer {key}" if len(key) == _DEVICE_KEY else f"scitran-user {host}:{key}"


def _refuse() -> NoReturn:
    """Say who can.

    Raises
    ------
    UsageError
    """
    raise UsageError(NO_READER)
