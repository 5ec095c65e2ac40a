"""A key → the real SDK's client, with retries short enough for tests and no socket left behind."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator
from typing import Any

ENVIRONMENT = {
    "FLYWHEEL_SDK_TOTAL_RETRIES": "2",
    "FLYWHEEL_SDK_BACKOFF_FACTOR": "0",
    "FLYWHEEL_SDK_CONNECT_TIMEOUT": "5",
    "FLYWHEEL_SDK_REQUEST_TIMEOUT": "10",
}
"""The same for a client in another process; the SDK reads it when it is imported."""


@contextlib.contextmanager
def connect(key: str, *, retries: int = 2, **options: Any) -> Iterator[Any]:
    """Log in with the SDK.

    Parameters
    ----------
    key : ``HOST:PORT:__force_insecure:KEY``, see `LoopbackServer.key`
    retries : how often the SDK repeats a request that failed for a moment, without waiting
    options : of ``flywheel.Client``

    Raises
    ------
    flywheel.rest.ApiException
        With status 401, when the key is not valid.
    """
    import flywheel  # not every environment of the tests has it

    client = flywheel.Client(key, disable_auth_check=True, connect_timeout=5, request_timeout=10, **options)
    pool = client.api_client.rest_client.client
    pool._transport.total = retries  # the SDK has no option for it but the environment
    pool._transport.backoff_factor = 0.0
    try:
        client.get_auth_status()
        yield client
    finally:
        client.shutdown()
        pool.close()


def spec(name: str, content: bytes) -> Any:
    """Turn bytes into what the SDK uploads as a file of that name."""
    import flywheel

    return flywheel.FileSpec(name, contents=io.BytesIO(content), size=len(content))
