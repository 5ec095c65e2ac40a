"""``log reidentify ID|FILE``: the original values of a released file, or the file as it was, from the log alone."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Mapping
from hashlib import file_digest
from pathlib import Path
from typing import Any

from fw_gear_deid.commands.log import NOTHING_FOUND, OK, note, opened, reason_of
from fw_gear_deid.deid.giveback import give_back, name_of
from fw_gear_deid.deid.originals import File, files
from fw_gear_deid.log.ids import dashed
from fw_gear_deid.model import limits
from fw_gear_deid.model.cells import shown, to_json
from fw_gear_deid.model.errors import Unfit, UsageError
from fw_gear_deid.model.logged import UPLOADED, DeidLog, Logged
from fw_gear_deid.system import private
from fw_gear_deid.system.sync import sync_handle


def run(arguments: argparse.Namespace) -> int:
    """Show what was changed in a released file, or write it as it was."""
    reason_of(arguments)
    with opened(arguments) as log:
        found, released = _found(log, arguments.which)
        note(log, arguments, "reidentify", [] if found is None else [found.id])
    if found is None:
        print("nothing was found: no entry of the log is of this file")  # noqa: T201
        return NOTHING_FOUND
    if found.sealed:
        raise UsageError("this de-id log is encrypted: its originals are given back with its --log-key")
    tags = _tags(found)
    if arguments.out is None:
        print(to_json(_told(found, tags)))  # noqa: T201
        return OK
    if released is None:
        released = _standing(found)
    path, missing = _write(released, found, tags, arguments.out)
    print(f"{shown(str(path))}: as it was; original values, for its owner alone")  # noqa: T201
    for text in missing:
        print(f"not given back: {shown(text)}")  # noqa: T201
    return OK


def _found(log: DeidLog, which: str) -> tuple[Logged | None, Path | None]:
    """Return the entry that is asked for, and the released file where that was named.

    Raises
    ------
    UsageError
    """
    try:
        return log.get(dashed(which)), None
    except ValueError:
        path = Path(which)
    if not path.is_file():
        raise UsageError(f"{path}: neither a file nor the id of an entry, which has 32 digits 0-9 a-f")
    sha = _digest(path)
    here = _latest([one for one in log.find_file(os.path.realpath(path)) if one.entry.dest_sha == sha])
    if here:
        return here[-1], path
    elsewhere = _latest(log.find_file("", sha))
    if len(elsewhere) > 1:  # two patients may have one text, once nothing of theirs is in it
        ids = ", ".join(one.id for one in elsewhere)
        raise UsageError(f"{path}: several released files have these bytes; say which by its id: {ids}")
    return next(iter(elsewhere), None), path


def _latest(listed: list[Logged]) -> list[Logged]:
    """Return the entries whose files stand, all of them where none does."""
    return [one for one in listed if one.state == UPLOADED] or listed


def _digest(path: Path) -> str:
    try:
        with path.open("rb") as stream:
            return file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({error.strerror})") from None


def _standing(found: Logged) -> Path:
    """Return the released file of an entry where it stands on this machine.

    Raises
    ------
    UsageError
    """
    path = Path(found.entry.dest_file)
    if not path.is_absolute() or not path.is_file():
        raise UsageError(
            "the released file of this entry is not on this machine: bring it, and name it instead of its id"
        )
    return path


def _tags(found: Logged) -> Mapping[str, Any]:
    tags: Mapping[str, Any] = json.loads(found.entry.tags)
    return tags


def _told(found: Logged, tags: Mapping[str, Any]) -> dict[str, Any]:
    entry = found.entry
    return {
        "id": found.id,
        "state": found.state,
        "source": {"project": entry.source_project, "container": entry.source_container, "file": entry.source_file},
        "files": [_of(one) for one in _files(tags)],
    }


def _of(one: File) -> dict[str, Any]:
    told: dict[str, Any] = {"name": one.name, "source": one.source}
    if one.dropped:
        return told | {"left_out": one.dropped}
    told |= {
        "deidentified_tags": one.tags,
        "texts": {place: list(texts) for place, texts in one.texts},
        "inserted": list(one.inserted),
    }
    return told | {"not_given_back": list(one.missing), "files": [_of(inner) for inner in one.inside]}


def _files(tags: Mapping[str, Any]) -> list[File]:
    try:
        return list(files(tags))
    except Unfit as error:
        raise UsageError(str(error)) from None


def _name(found: Logged, tags: Mapping[str, Any]) -> str:
    """Return what a file was called; the files of a series that was packed have the name that it got."""
    source = Path(found.entry.source_file).name
    series = source in {Path(one.source).name for one in files(tags)}
    return Path(name_of(tags) or (found.entry.dest_file if series else source)).name or "original"


def _write(released: Path, found: Logged, tags: Mapping[str, Any], place: str) -> tuple[Path, tuple[str, ...]]:
    """Write a file as it was, for its owner alone, as ``place`` or into that folder; one that ends in ``/`` is made.

    Raises
    ------
    UsageError
        It is not what was released, or something stands there.
    """
    if _digest(released) != found.entry.dest_sha:
        raise UsageError(f"{released}: it is not what was released: its SHA-256 is another")
    out = Path(place)
    try:
        if place.endswith(("/", os.sep)):
            out.mkdir(mode=0o700, exist_ok=True)
        if out.is_dir():
            out = out / _name(found, tags)
        handle = private.create(out)
    except FileExistsError:
        raise UsageError(f"{out}: exists already; nothing was written") from None
    except (OSError, Unfit) as error:
        raise UsageError(f"{out}: cannot be written ({getattr(error, 'strerror', None) or error})") from None
    try:
        with limits.within({}, released.stat().st_size):
            missing = give_back(released, tags, out)
        sync_handle(handle)
    except (OSError, Unfit) as error:
        out.unlink(missing_ok=True)
        raise UsageError(f"{out}: it cannot be given back ({getattr(error, 'strerror', None) or error})") from None
    finally:
        os.close(handle)
    return out, missing
