"""Key and project → whether the run may do there what it must, before anything is read or written."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from fw_gear_deid.model.errors import UsageError
from fw_gear_deid.stores.flywheel.client import TRIES, Platform, PlatformError

READ = {"download files": {"files_download"}}
WRITE = {
    "make containers": {"containers_create_hierarchy"},
    "change containers": {"containers_modify_metadata"},
    "upload files": {"files_create_single", "files_create_bulk"},
}
DELETE = {"delete files": {"files_delete_non_device_data", "files_delete_device_data"}}
"""What is done → actions of a role of which one allows it."""
_READERS = {"ro", "read-only"}
"""Roles that need not be read to know what they allow: the platform's own."""

Needs = dict[str, set[str]]


def check(platform: Platform, project: Any, needs: Needs, where: str) -> None:
    """Say what a key may not do in a project.

    Where the roles of its user cannot be read, having an entry in the project counts.

    Parameters
    ----------
    project : object
        As the platform has it.
    needs : dict
        From this module.
    where : str
        For the message, such as ``config project_path``.

    Raises
    ------
    UsageError
        Names the roles and what they lack.
    PlatformError
    """
    status = platform.call("checking the key", lambda sdk: sdk.get_auth_status(), tries=TRIES)
    entry = next((one for one in project.permissions or [] if str(one.id) == str(status.user_id)), None)
    if entry is None:
        # an administrator and a device need none; who could look the project up may read it
        if needs is not READ and not (status.user_is_admin or status.is_device):
            raise UsageError(f"{where}: the user of this key has no permission entry in the project")
        return
    roles = [_role(platform, str(role)) for role in entry.get("role_ids") or []]
    if not roles or None in roles:
        ids = {str(entry.get("access") or ""), *map(str, entry.get("role_ids") or [])} - {""}
        if needs is not READ and ids and ids <= _READERS:
            raise UsageError(f"{where}: the role of this key's user there ({', '.join(sorted(ids))}) only reads")
        return
    known = [role for role in roles if role is not None]
    allowed = {action for role in known for action in _actions(role)}
    lacking = [done for done, actions in needs.items() if not actions & allowed]
    if lacking:
        names = ", ".join(str(role.get("label") or role.get("id")) for role in known)
        raise UsageError(
            f"{where}: the role of this key's user there ({names}) does not allow it to {', '.join(lacking)}"
        )


def _role(platform: Platform, role: str) -> Any:
    """Return a role, None where this key may not read it."""
    try:
        return platform.call("reading a role", lambda sdk: sdk.get_role(role), tries=TRIES)
    except PlatformError as error:
        if error.status not in (403, 404):
            raise
        return None


def _actions(role: Any) -> Iterable[str]:
    return [str(action) for action in role.get("actions") or []]


def log_url(platform: Platform) -> str:
    """Return where a site's logging service is, which every upload has to name an entry of; empty where it has none.

    Raises
    ------
    UsageError
        It keeps a log, and does not say where.
    """
    config = platform.config()
    if not (config.get("features") or {}).get("deid_log"):
        return ""
    url = str((config.get("site") or {}).get("deid_log_url") or "")
    if not url:
        raise UsageError(
            "this site keeps a de-identification log (features.deid_log) and does not say where (site.deid_log_url): "
            "nothing would be released"
        )
    return url
