"""Project → the de-id profile that its settings, its group's or the site's hold; and back."""

from __future__ import annotations

import json
from typing import Any

from fw_gear_deid.model.errors import UsageError
from fw_gear_deid.model.frozen import frozen
from fw_gear_deid.stores.flywheel.client import Platform, PlatformError, plain


@frozen
class StoredProfile:
    """A profile kept in container settings.

    Attributes
    ----------
    level : str
        ``project``, ``group`` or ``site``.
    text : str
        As JSON.
    """

    level: str
    text: str


def stored_profile(platform: Platform, project: str, group: str) -> StoredProfile | None:
    """Return the first profile found from the project outwards; whether it is a good one is for the reader to say.

    Parameters
    ----------
    project, group : str
        Ids; an empty one is passed over.

    Raises
    ------
    UsageError
        The project's profile is there and blank: somebody opted it out, and nothing says what to do instead.
    PlatformError
    """
    for level, path in _levels(project, group):
        try:
            settings = plain(platform.raw("GET", path)) or {}
        except PlatformError as error:
            if level == "project" or error.status not in (403, 404):
                raise
            continue  # nothing here for this key
        if "deid_profile" not in settings or settings["deid_profile"] is None:
            continue
        found = settings["deid_profile"]
        if not found:
            if level == "project":
                raise OptedOut(
                    "the project's own de-id profile is blank, which opts it out of the group's and the site's: "
                    "put a profile there, or name one for this run"
                )
            continue
        return StoredProfile(level, json.dumps(found, indent=2, ensure_ascii=False))
    return None


class OptedOut(UsageError):
    """A project whose blank profile keeps the group's and the site's away."""


def binding_level(platform: Platform, project: str, group: str) -> str:
    """Return the level whose profile binds who uploads to a project: ``project``, ``group``, ``site`` or nothing."""
    try:
        found = stored_profile(platform, project, group)
    except OptedOut:
        return ""
    return found.level if found is not None else ""


def _levels(project: str, group: str) -> list[tuple[str, str]]:
    found = [("project", f"/projects/{project}/settings")] if project else []
    found += [("group", f"/groups/{group}/settings")] if group else []
    return [*found, ("site", "/site/settings")]


def put_profile(platform: Platform, project: str, group: str, profile: dict[str, Any]) -> None:
    """Store a profile in a project's settings; without a project in the group's, without both in the site's.

    Raises
    ------
    PlatformError
    """
    platform.raw("PUT", _levels(project, group)[0][1], {"deid_profile": profile})
