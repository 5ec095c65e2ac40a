"""URL → log."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

from fw_gear_deid.keys import Keyring
from fw_gear_deid.model.errors import UsageError
from fw_gear_deid.model.logged import DeidLog

VARIABLE = "FW_DEID_LOG_DB"
SQLITE, POSTGRES, SERVICE = "sqlite", "postgres", "service"
_KINDS = {"sqlite": SQLITE, "postgresql": POSTGRES, "postgres": POSTGRES, "https": SERVICE, "http": SERVICE}
_FORMS = "sqlite:///FILE (sqlite:////FILE from the root), postgresql://USER@HOST/DATABASE, or the https:// of a service"


def address(option: str | None, environment: Mapping[str, str] = os.environ) -> str | None:
    """Return the URL of the log that a command line asks for, else that of the environment; None for no log.

    Raises
    ------
    UsageError
        It holds a password, which others on the machine see in the list of processes; or it is no URL of a log.
    """
    if option is None:
        return environment.get(VARIABLE) or None
    if has_password(option):
        raise UsageError(
            "--log-db: a password on the command line can be seen by others; "
            f"keep it in ~/.pgpass, or set {VARIABLE} or PGPASSWORD"
        )
    kind_of(option)
    return option


def kind_of(url: str) -> str:
    """Return ``SQLITE``, ``POSTGRES`` or ``SERVICE``.

    Raises
    ------
    UsageError
    """
    kind = _KINDS.get(url.partition("://")[0].lower())
    if kind is None or "://" not in url:
        raise UsageError(f"the de-id log's address must be {_FORMS}")
    return kind


def has_password(url: str) -> bool:
    """Tell whether a URL holds a password, before the host or among its parameters."""
    try:
        parts = urlsplit(url)
        named = {name.lower() for name, _ in parse_qsl(parts.query, keep_blank_values=True)}
        return parts.password is not None or "password" in named or "sslpassword" in named
    except ValueError:
        raise UsageError(f"the de-id log's address must be {_FORMS}") from None


def open_log(
    url: str, *, key: Keyring | None = None, outside: Sequence[Path] = (), api_key: str = "", create: bool = True
) -> DeidLog:
    """Return the log at a URL.

    Parameters
    ----------
    url : str
        From ``address``, a gear's context value ``deid_log_url``, or a site's ``deid_log_url``.
    key : Keyring, optional
        Of ``--log-key``: originals are encrypted with it.
    outside : sequence of Path
        Folders that a file must not lie in: DEST, the reports that are handed on, the workspace.
    api_key : str
        Of the platform, for a service.
    create : bool
        False where a log is only looked into: one that is not there is an error.

    Raises
    ------
    UsageError
        No such kind, a file where none may be, a library or key that is missing.
    LogDown
    """
    # each with what it needs: a folder's run loads no driver of a server
    kind = kind_of(url)
    if kind == SERVICE:
        from fw_gear_deid.log.service import NO_READER, ServiceLog

        if not create:
            raise UsageError(NO_READER)
        if key is not None:
            raise UsageError("--log-key: a site's logging service keeps its own log; leave it away")
        return ServiceLog(url, api_key)
    from fw_gear_deid.log.tables import TableLog

    if kind == SQLITE:
        from fw_gear_deid.log.sqlite import SqliteDatabase, path_of

        return TableLog(SqliteDatabase(path_of(url), outside=outside, create=create), key, create=create)
    from fw_gear_deid.log.postgres import PostgresDatabase

    return TableLog(PostgresDatabase(url, create=create), key, create=create)
