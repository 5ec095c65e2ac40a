"""Key → a client of the platform whose errors never quote what they were about: the one door to flywheel-sdk."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache, partial
from hashlib import sha384
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

from fw_gear_deid.model.errors import DeidError, StopRun, UsageError

try:
    import flywheel
    from flywheel.rest import ApiException
except ImportError:
    raise UsageError(
        "fw:// and the gear need the packages of a platform: python -m pip install 'fw-gear-deid[gear]'"
    ) from None

PAGE = 250
UNCERTAIN = frozenset({0, 429, 500, 502, 503, 504})
"""Answers after which the platform may have done it or not; none (0) among them. The same request may succeed later."""
AMISS = -1
TRIES = 6
"""Of a request that may be sent again, the waits between them growing: half a minute in all."""
T = TypeVar("T")
Json = Mapping[str, Any]


class PlatformError(DeidError, OSError):
    """The platform did not do what it was asked for; the text tells status and remedy, not names.

    Attributes
    ----------
    status : int
        HTTP status, 0 when no answer came, `AMISS` when the answers do not agree.
    """

    def __init__(self, status: int, what: str) -> None:
        meaning = "" if status == AMISS else f": {_MEANING.get(status, f'the platform answered {status}')}"
        super().__init__(f"{what}{meaning}")
        self.status = status

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (self.status, str(self))


def refused(error: PlatformError) -> Exception:
    """Return what a failed write means for the run."""
    if error.status != 403:
        return error
    return StopRun(f"the destination: {error}. Nothing more was tried there; what was released is whole")


def _page(page: Callable[..., Any], options: Mapping[str, Any], sdk: Any) -> list[Any]:
    return list(page(sdk, limit=PAGE, **options))


def _rebuild(status: int, text: str) -> PlatformError:
    error = PlatformError(status, "")
    error.args = (text,)
    return error


_MEANING = {
    0: "no answer from the platform",
    401: "the API key is not valid or has expired (401)",
    402: "the platform asks for a permission that this key lacks (402)",
    403: "this key has no permission (403)",
    404: "not found, or out of reach of this key (404)",
    409: "it is there already (409)",
    413: "the platform finds it too large (413)",
    507: "the platform has no space left (507)",
}


class Platform:
    """A client of one site. Every method raises PlatformError instead of what the SDK raises."""

    def __init__(self, key: str) -> None:
        self._sdk = _connect(key)

    def call(self, what: str, request: Callable[[Any], T], *, tries: int = 1) -> T:
        """Do one request; again after a wait where that may help and is safe.

        Parameters
        ----------
        what : str
            For the message: "reading a project".
        request : callable
            SDK client → result.
        tries : int
            More than 1 only for requests that may be sent twice.
        """
        for attempt in range(1, tries + 1):
            try:
                return request(self._sdk)
            except ApiException as error:
                status = int(error.status or 0)
                if status not in UNCERTAIN or attempt == tries:
                    raise PlatformError(status, what) from None
            except PlatformError:
                if attempt == tries:
                    raise
            except (OSError, EOFError):
                raise
            except Exception as error:
                # the SDK lets errors of its HTTP library through; they have no common base that it exports
                if not _is_transport(error):
                    raise
                if attempt == tries:
                    raise PlatformError(0, what) from None
            time.sleep(wait(attempt))
        raise AssertionError("unreachable")

    def write(self, what: str, request: Callable[[Any], T], *, tries: int = 1) -> T:
        """Send a request that changes something; being forbidden once is enough."""
        try:
            return self.call(what, request, tries=tries)
        except PlatformError as error:
            raise refused(error) from None

    def listed(self, what: str, page: Callable[..., Any], **options: Any) -> Iterator[Any]:
        """Yield every result of a list request, page by page.

        Parameters
        ----------
        page : callable
            SDK client and paging options → one page.
        """
        after: dict[str, str] = {}
        # a short page is not the last one: a site may send fewer than it is asked for
        while found := self.call(what, partial(_page, page, {**after, **options}), tries=TRIES):
            if after == {"after_id": found[-1].id}:
                raise PlatformError(AMISS, f"{what}: the platform sends one page again and again")
            yield from found
            after = {"after_id": found[-1].id}

    def first_page(self, what: str, page: Callable[..., Any], **options: Any) -> list[Any]:
        """Return what a list request answers first: with the lowest ids, which are the oldest."""
        return self.call(what, partial(_page, page, options), tries=TRIES)

    def lookup(self, path: str) -> Any:
        """Return the container at ``GROUP/PROJECT/...``."""
        return self.call("looking up a path", lambda sdk: sdk.lookup(path), tries=TRIES)

    def get(self, level: str, key: str) -> Any:
        """Return a container with its info and files."""
        return self.call(f"reading a {level}", lambda sdk: getattr(sdk, f"get_{level}")(key), tries=TRIES)

    def gone(self, what: str, look: Callable[[Any], Any]) -> bool:
        """Look whether something is not there, once it was deleted."""
        try:
            there = self.call(what, look, tries=TRIES)
        except PlatformError as error:
            if error.status != 404:
                raise
            return True
        return bool(there.get("deleted"))

    def download(self, container: str, name: str, version: int, target: Path) -> None:
        """Bring a version of a file to a path; it may be cut short, so compare afterwards."""
        self.call(
            "downloading a file",
            lambda sdk: sdk.download_file_from_container(container, name, str(target), version=version),
        )

    def content(self, container: str, name: str) -> bytes:
        """Return what is in a small file."""
        return bytes(
            self.call(
                "reading a file", lambda sdk: sdk.download_file_from_container_as_data(container, name), tries=TRIES
            )
        )

    def upload(self, container: str, name: str, stream: BinaryIO, size: int, metadata: Json) -> list[Any]:
        """Send a file with its metadata; never twice by itself."""
        spec = flywheel.FileSpec(name, contents=stream, size=size)
        signed = self.signed_uploads
        return list(
            self.call(
                "uploading a file",
                lambda sdk: sdk.upload_file_to_container(container, spec, signed=signed, metadata=dict(metadata)) or [],
            )
        )

    @property
    def signed_uploads(self) -> bool:
        """Whether the site takes uploads by signed URL."""
        return _signed(self)

    def config(self) -> Any:
        """Return the site's configuration."""
        return self.call("reading the site's configuration", lambda sdk: sdk.get_config(), tries=TRIES)

    def raw(self, method: str, path: str, body: Json | None = None) -> Any:
        """Send a request that the SDK has no helper for; returns the JSON of the answer."""

        def request(sdk: Any) -> Any:
            return sdk.api_client.call_api(
                path, method, path_params={}, query_params=[], header_params={"Accept": "application/json"},
                body=body, response_type=object, auth_settings=["ApiKey"], _return_http_data_only=True,
                _preload_content=True, _request_timeout=None, collection_formats={},
            )  # fmt: skip

        return self.call("asking the platform", request, tries=TRIES if method == "GET" else 1)


@lru_cache(maxsize=8)
def _signed(platform: Platform) -> bool:
    config = platform.config()
    features = config.get("features") or {}
    return bool(features.get("signed_url") or config.get("signed_url"))


_clients: dict[str, Any] = {}
"""Key → client, one for each process: its connections are worth keeping."""


def _connect(key: str) -> Any:
    if key not in _clients:
        try:
            _clients[key] = flywheel.Client(key, disable_auth_check=True)
        except ApiException as error:
            raise PlatformError(int(error.status or 0), "logging in") from None
        except Exception as error:  # noqa: BLE001 -- a malformed key may be quoted in whatever is raised
            raise PlatformError(0, f"logging in ({type(error).__name__})") from None
    return _clients[key]


def disconnect() -> None:
    """Close the connections of this process."""
    while _clients:
        _, client = _clients.popitem()
        client.shutdown()
        client.api_client.rest_client.client.close()


def _is_transport(error: BaseException) -> bool:
    return type(error).__module__.partition(".")[0] in (
        "httpx2",
        "httpx",
        "httpcore2",
        "httpcore",
        "h11",
        "requests",
        "urllib3",
    )


def wait(attempt: int) -> float:
    """Return the seconds to wait after a failed attempt (from 1): 1, 2, 4, ... times the SDK's back-off factor."""
    factor = float(os.environ.get("FLYWHEEL_SDK_BACKOFF_FACTOR") or 1)
    return min(30.0, factor * 2.0 ** (attempt - 1))


def digest(path: Path) -> str:
    """Return the SHA-384 that the platform keeps of a file, 96 hexadecimal digits."""
    whole = sha384()
    with path.open("rb") as stream:
        while block := stream.read(1 << 20):
            whole.update(block)
    return whole.hexdigest()


def plain_digest(text: str | None) -> str:
    """Return the hexadecimal part of a hash as the platform writes it, empty when it is none we can check."""
    tail = (text or "").rpartition("-")[2].lower()
    return tail if len(tail) == 96 else ""


def plain(value: Any) -> Any:
    """Turn models of the SDK into plain JSON values."""
    if hasattr(value, "to_dict"):
        value = value.to_dict()
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if hasattr(value, "isoformat"):
        return value.isoformat()
    return value
