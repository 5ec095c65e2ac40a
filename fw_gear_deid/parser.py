"""A gear's folder (manifest.json, config.json, input/) → its configuration, checked against the manifest."""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping
from dataclasses import field
from pathlib import Path
from typing import Any

from fw_gear_deid.model.errors import UsageError
from fw_gear_deid.model.frozen import frozen

_TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "boolean": (bool,),
    "integer": (int,),
    "number": (int, float),
    "array": (list,),
}


_NOT_HERE = {
    ("deid_log", "sqlite"): "a job's disk is gone after it, and the log with it: choose service or postgres",
}
"""Values that a folder's run may have, and why a job may not."""


@frozen
class InputFile:
    """A file input: where the engine put it, and what it is on the platform."""

    path: Path
    name: str
    parent_type: str
    parent_id: str


@frozen
class GearConfig:
    """What a gear job was asked for.

    Attributes
    ----------
    options : mapping
        Every option of the manifest, with its default where the job sets none.
    files : mapping of str to InputFile
    key : str
        API key; never shown.
    destination_key : str
        Another key for the destination, from the context; never shown.
    secret : str or None
        Behind pseudonyms and keyed actions, from the context; never shown. None: there is none.
    log_url : str
        Of the de-identification log, from the context; it may hold a password, and is never shown.
    destination_type, destination_id : str
        Where the engine delivers ``output/``: an analysis, or a container.
    job_id : str
        Empty when the platform does not tell.
    output, work : Path
    """

    options: Mapping[str, Any]
    files: Mapping[str, InputFile]
    key: str = field(repr=False)
    destination_key: str = field(repr=False)
    secret: str | None = field(repr=False)
    log_url: str = field(repr=False)
    destination_type: str
    destination_id: str
    job_id: str
    output: Path
    work: Path


def parse(folder: Path) -> GearConfig:
    """Read a gear job.

    Raises
    ------
    UsageError
        With everything that is wrong, one line each; names of options only, never their values.
    """
    manifest = _json(folder / "manifest.json")
    raw = _by_toolkit(folder) or _json(folder / "config.json")
    problems: list[str] = []
    options = _options(manifest.get("config", {}), raw.get("config") or {}, problems)
    inputs = raw.get("inputs") or {}
    files = {
        name: _file(name, value, folder, problems) for name, value in inputs.items() if value.get("base") == "file"
    }
    key = next((str(value.get("key") or "") for value in inputs.values() if value.get("base") == "api-key"), "")
    if not key:
        problems.append("input api-key: the job has no API key")
    unknown = inputs.keys() - manifest.get("inputs", {}).keys()
    problems += [f"input {name}: not in the manifest" for name in sorted(unknown)]
    destination = raw.get("destination") or {}
    if not destination.get("id"):
        problems.append("destination: config.json does not tell where the job runs")
    if problems:
        raise UsageError(*problems)
    context = inputs.get("deid_destination_key") or {}
    secret = inputs.get("deid_secret") or {}
    log = inputs.get("deid_log_url") or {}
    return GearConfig(
        options=options,
        files={name: file for name, file in files.items() if file is not None},
        key=key,
        destination_key=str(context.get("value") or "") if context.get("found") else "",
        secret=str(secret.get("value") or "") if secret.get("found") else None,
        log_url=str(log.get("value") or "") if log.get("found") else "",
        destination_type=str(destination.get("type") or ""),
        destination_id=str(destination["id"]),
        job_id=str((raw.get("job") or {}).get("id") or ""),
        output=folder / "output",
        work=folder / "work",
    )


def _by_toolkit(folder: Path) -> dict[str, Any] | None:
    """Read config.json through the gear toolkit; None where it is not installed (its life has ended)."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            from flywheel_gear_toolkit import GearToolkitContext
        except ImportError:
            return None
        try:
            context = GearToolkitContext(gear_path=str(folder), log_metadata=False)
        except (OSError, ValueError, KeyError, TypeError):
            return None  # the plain reader says what is wrong
        found = dict(context.config_json)
    return found or None


def _json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UsageError(
            f"{path.name}: not in this folder; run a gear where the platform puts both its files"
        ) from None
    except OSError as error:
        raise UsageError(f"{path.name}: cannot be read ({error.strerror})") from None
    except ValueError:
        raise UsageError(f"{path.name}: it is not JSON") from None
    if not isinstance(found, dict):
        raise UsageError(f"{path.name}: it is no JSON object")
    return found


def _options(known: Mapping[str, Any], given: Mapping[str, Any], problems: list[str]) -> dict[str, Any]:
    options: dict[str, Any] = {}
    problems += [f"config {name}: not in the manifest" for name in sorted(given.keys() - known.keys())]
    for name, rule in known.items():
        value = given.get(name, rule.get("default"))
        options[name] = value
        if value is None:
            continue
        wanted = _TYPES[rule["type"]]
        if not isinstance(value, wanted) or (isinstance(value, bool) and bool not in wanted):
            problems.append(f"config {name}: must be of type {rule['type']}")
        elif why := _NOT_HERE.get((name, str(value))):
            problems.append(f"config {name}: {why}")
        elif "enum" in rule and value not in rule["enum"]:
            problems.append(f"config {name}: must be one of {', '.join(rule['enum'])}")
        elif "minimum" in rule and not rule["minimum"] <= value <= rule.get("maximum", value):
            problems.append(f"config {name}: must be from {rule['minimum']} to {rule.get('maximum', 'any')}")
        elif isinstance(value, list):
            allowed = rule.get("items", {}).get("enum")
            if allowed and any(item not in allowed for item in value):
                problems.append(f"config {name}: each must be one of {', '.join(allowed)}")
    return options


def _file(name: str, value: Mapping[str, Any], folder: Path, problems: list[str]) -> InputFile | None:
    location, hierarchy = value.get("location") or {}, value.get("hierarchy") or {}
    base = str(location.get("name") or "")
    path = Path(str(location.get("path") or ""))
    if not path.is_file():
        path = folder / "input" / name / base  # the engine's path inside the container
    if not base or not path.is_file():
        problems.append(f"input {name}: the file is not where config.json says")
        return None
    return InputFile(path, base, str(hierarchy.get("type") or ""), str(hierarchy.get("id") or ""))
