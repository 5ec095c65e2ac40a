"""Project → the de-id profile that its settings, its group's or the site's hold; and back."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from fw_gear_deid.model.errors import UsageError
from fw_gear_deid.stores.flywheel.client import Platform, PlatformError, plain


@dataclass(frozen=True, slots=True)
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

    Raises
    ------
    UsageError
        The project's profile is there and blank: somebody opted it out, and nothing says what to do instead.
    PlatformError
    """
    levels = (
        ("project", f"/projects/{project}/settings"),
        ("group", f"/groups/{group}/settings"),
        ("site", "/site/settings"),
    )
    for level, path in levels:
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
                raise UsageError(
                    "the project's own de-id profile is blank, which opts it out of the group's and the site's: "
                    "put a profile there, or name one for this run"
                )
            continue
        return StoredProfile(level, json.dumps(found, indent=2, ensure_ascii=False))
    return None


def put_profile(platform: Platform, project: str, profile: dict[str, Any]) -> None:
    """Store a profile in a project's settings.

    Raises
    ------
    PlatformError
    """
    platform.raw("PUT", f"/projects/{project}/settings", {"deid_profile": profile})
