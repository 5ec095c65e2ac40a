"""Keys that a profile names, and where a run says that they lie → what is in their files, checked before all else."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from fw_gear_deid import ciphers
from fw_gear_deid.model.errors import UsageError
from fw_gear_deid.model.locks import PRIVATE, PUBLIC, SECRET, is_key
from fw_gear_deid.profile.values.variables import keys_in, spell
from fw_gear_deid.runner.setup import PlannedProfile
from fw_gear_deid.stores import places

_MOST = 1 << 20  # bytes; no key is that large
Given = Mapping[str, Sequence[str]]
"""Variable of a key → places of its files: paths, or ``fw://GROUP/PROJECT/.../FILE``."""


def given(secret: str | None, public: Sequence[str], private: str | None) -> Given:
    """Return what a command line says of keys."""
    found = {SECRET: [secret] if secret else [], PUBLIC: list(public), PRIVATE: [private] if private else []}
    return {name: places for name, places in found.items() if places}


def gather(planned: PlannedProfile, told: Given, read: Callable[[str], bytes] | None = None) -> dict[str, bytes]:
    """Return the content of every key that a profile works with, by its name there.

    Parameters
    ----------
    planned : PlannedProfile
    told : mapping
    read : callable, optional
        Place → what is in the file.

    Raises
    ------
    UsageError
        All keys that are missing, cannot be read, or are none.
    """
    dicom, *texts = planned.profile.locks
    names = dict.fromkeys((*dicom.names, *(one.secret for one in texts)))
    if not names:
        return {}
    ciphers.check_packages()
    found = {name: text.encode() for name, text in keys_in(planned.text).items() if name in names}
    problems: list[str] = []
    for name in names:
        listed = told.get(name, ()) if is_key(name) else (name,)
        if name in found or (not listed and name == dicom.private and not dicom.opens):
            continue
        if not listed:
            option = name.lower().replace("_", "-")
            where = f"say with --{option} (gear: {name.lower()}) where it lies"
            problems.append(f"the profile needs {spell(name)}: {where}")
            continue
        try:
            found[name] = b"\n".join((read or content)(place) for place in listed)
        except UsageError as error:
            problems += error.lines
    if problems:
        raise UsageError(*problems)
    ciphers.checked(found, dicom, [one.secret for one in texts])
    return found


def content(place: str) -> bytes:
    """Return what is in a key's file, here or on a platform.

    Raises
    ------
    UsageError
    """
    if places.on_platform(place):
        return from_platform(places.api_key(), place)
    try:
        with Path(place).open("rb") as stream:
            return _few(stream.read(_MOST + 1), place)
    except OSError as error:
        raise UsageError(f"{place}: cannot read the key ({error.strerror})") from None


def from_platform(key: str, place: str) -> bytes:
    """Return what is in a file of a platform.

    Parameters
    ----------
    key : str
        API key.
    place : str
        ``GROUP/PROJECT/.../FILE``, also with ``files/`` before its name.

    Raises
    ------
    UsageError
    """
    from fw_gear_deid.stores.flywheel.client import Platform, PlatformError

    platform = Platform(key)
    try:
        found = platform.lookup(place.removeprefix(places.SCHEME).strip("/"))
        if found.container_type != "file":
            raise UsageError(f"{place}: this is no file")
        return _few(platform.content(found.parent_ref.id, found.name), place)
    except PlatformError as error:
        raise UsageError(f"{place}: cannot read the key ({error})") from None


def _few(data: bytes, place: str) -> bytes:
    if not data.strip() or len(data) > _MOST:
        raise UsageError(f"{place}: {'it is empty' if len(data) <= _MOST else 'it is too large for a key'}")
    return data
