"""A gear's folder → a run from the platform to the platform, and its exit code."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any, TypeVar

from fw_gear_deid import __version__, fanout, keys, locks, parser
from fw_gear_deid.keys import Keyring
from fw_gear_deid.model import limits
from fw_gear_deid.model.cells import shown
from fw_gear_deid.model.errors import DeidError, StopRun, UsageError, place_of
from fw_gear_deid.model.frozen import frozen
from fw_gear_deid.parser import GearConfig
from fw_gear_deid.profile import store
from fw_gear_deid.profile.text.problems import ProfileError, show
from fw_gear_deid.runner.rows import unused_rows
from fw_gear_deid.runner.run import Job, run
from fw_gear_deid.runner.setup import PlannedProfile, book_for, detail_of
from fw_gear_deid.runner.signals import Interrupts
from fw_gear_deid.runner.told import INTERRUPTED, SOME_REFUSED, USAGE, last_lines, warned
from fw_gear_deid.stores.flywheel import access
from fw_gear_deid.stores.flywheel.access import DELETE, READ, WRITE
from fw_gear_deid.stores.flywheel.client import Platform, PlatformError
from fw_gear_deid.stores.flywheel.settings import stored_profile
from fw_gear_deid.stores.flywheel.sink import FlywheelSink
from fw_gear_deid.stores.flywheel.source import FlywheelSource
from fw_gear_deid.system.cores import usable_cores

T = TypeVar("T")
_LEVELS = ("project", "subject", "session", "acquisition")


def main(folder: Path | None = None) -> int:
    """Run the gear of a folder (default: the working directory); return the exit code."""
    try:
        with Interrupts().listening() as interrupts:
            return _gear(parser.parse(folder or Path.cwd()), interrupts)
    except ProfileError as error:
        print("\n".join(shown(line) for line in error.lines), file=sys.stderr)  # noqa: T201
        return USAGE
    except UsageError as error:
        for line in error.lines:
            print(f"fw-gear-deid: {shown(line)}", file=sys.stderr)  # noqa: T201
        return USAGE
    except DeidError as error:
        print(f"fw-gear-deid: {shown(str(error))}", file=sys.stderr)  # noqa: T201
        return SOME_REFUSED
    except KeyboardInterrupt:
        print("fw-gear-deid: interrupted", file=sys.stderr)  # noqa: T201
        return INTERRUPTED
    except Exception as error:  # noqa: BLE001 -- the outer boundary: no text of an exception leaves, it may quote a value
        place = f"unexpected {type(error).__name__} in {place_of(error)}"
        print(f"fw-gear-deid: {place}; please report it", file=sys.stderr)  # noqa: T201
        return SOME_REFUSED


@frozen
class Sites:
    """The two ends of a gear run, found and checked.

    Attributes
    ----------
    source : FlywheelSource
        Without the detail that only the profile can ask for.
    project : object
        The destination project.
    """

    source: FlywheelSource
    project: Any


def _gear(config: GearConfig, interrupts: Interrupts) -> int:
    options = config.options
    problems: list[str] = []
    _check_options(config, problems)
    given = _collect(problems, lambda: _limits(config)) or {}
    sites = _collect(problems, lambda: _sites(config))
    planned = _collect(problems, lambda: _profile(config, sites)) if sites else None
    secret = _collect(problems, lambda: _keyring(config, sites.source.project if sites else ""))
    if planned is not None and secret is not None and secret[1] == "project" and planned.profile.keyed:
        problems.append(KEYLESS.format(f"{planned.file}: {planned.profile.keyed}"))
    found = _collect(problems, lambda: _locks(config, planned)) if planned else None
    if problems or sites is None or planned is None or secret is None or found is None:
        raise UsageError(*problems)
    keyring, key_from = secret
    keyring = replace(keyring, locks=found)
    divided = options["fan_out"] == "session" and sites.source.level in ("project", "subject")
    source = replace(sites.source, detail=detail_of(planned), above_sessions=divided)
    items = list(source.items())
    if source.file and not items:
        raise UsageError("input_file: its container has no file of that name any more")
    branches = source.containers(items)
    mapping = config.files.get("mapping_csv")
    book = book_for(
        planned,
        mapping.path if mapping else None,
        branches,
        by_session=bool(options["session_level_profile"]),
        allow_shared=bool(options["allow_shared_ids"]),
        given=given,
    )
    _say_first(config, sites, planned, key_from)
    _say(f"files: {len(items)}")
    overwrite = str(options["overwrite_files"])
    sink = FlywheelSink(
        config.destination_key or config.key,
        str(sites.project.id),
        match_by_id=frozenset(options["match_by_id"] or ()),
        cleanup=overwrite if overwrite.startswith("Cleanup") else "",
        delete_reason=str(options["delete_reason"] or ""),
    )
    job = Job(
        source=source,
        sink=sink,
        items=items,
        branches=branches,
        profiles=book,
        keyring=keyring,
        reports=config.work / "reports" if divided else config.output,
        private=config.work / "reports" if divided else config.output,
        ledger=config.work,
        exists="skip" if overwrite == "Skip" else "replace",
        verify=str(options["verify"]),
        labels=str(options["labels"]),
        compression=str(options["compression"]),
        workers=int(options["workers"]) or usable_cores(),
        originals=bool(options["audit_originals"]),
        dry_run=bool(options["dry_run"]),
        names=False,
        one_file=bool(sites.source.file),
        dest=sink.identity,
        prune=bool(options["prune"]),
        whole=source.level == "project" and not divided and not source.file,
        strict=options["identity"] == "strict",
        limits=given,
        strict_rules=bool(options["strict_rules"]),
        facts={"profile_source": planned.level, "secret": key_from}
        | ({"warnings": [GUESSABLE]} if key_from == "project" else {}),
    )
    try:
        for note in book.lookup.notes if book.lookup is not None else ():
            _say(f"note: {note}")
        code, summary = run(job, interrupts)
        if unused_rows(summary):
            _say(f"note: {unused_rows(summary)}")
        if options["debug"]:
            _tell_changes(job.reports / "audit.csv")
        if divided and code != INTERRUPTED:
            code = fanout.run(config, source, f"{planned.profile.sha256} {keyring.fingerprint()}", job.reports, code)
    except StopRun as error:
        _say(f"fw-gear-deid: {error}")
        code = SOME_REFUSED
    finally:
        if divided:
            fanout.keep(job.reports, config.output)
    _say_last(config.output, code)
    return code


def _say(text: str) -> None:
    print(shown(text), file=sys.stderr)  # noqa: T201


def _say_first(config: GearConfig, sites: Sites, planned: PlannedProfile, key_from: str) -> None:
    """Open the job's log with what it is about: ids and digests, no label and no value."""
    source, mapping = sites.source, config.files.get("mapping_csv")
    dry = "; DRY RUN: nothing is written to the destination" if config.options["dry_run"] else ""
    _say(f"fw-gear-deid {__version__}{dry}")
    if key_from == "project":
        _say(GUESSABLE)
    part = "" if source.level == "project" else f", {source.level} {source.id}"
    one = ", one file of it" if source.file else ""
    _say(f"source: project {source.project}{part}{one}; destination: project {sites.project.id}")
    _say(f"profile: {planned.profile.name}, from {planned.level}, SHA-256 {planned.profile.sha256}")
    for warning in planned.profile.warnings:
        _say(show(planned.profile.file, warning))
    digest = sha256(mapping.path.read_bytes()).hexdigest() if mapping else ""
    _say(f"mapping: SHA-256 {digest}" if digest else "mapping: none")
    _say(f"secret: {key_from}")


def _say_last(reports: Path, code: int) -> None:
    """End the job's log with the totals, as the command line ends."""
    summary = reports / "summary.json"
    if summary.is_file():  # else the run was stopped before it could report anything
        told = json.loads(summary.read_text(encoding="utf-8"))
        for line in (*last_lines(code, told, str(reports)), *warned(told)):
            _say(line)


def _tell_changes(audit: Path) -> None:
    """Print path, action and rule of every change, and no value."""
    with audit.open(encoding="utf-8", newline="") as stream:
        for row in csv.DictReader(stream):
            print(f"{row['path']} {row['action']} {row['rule']}", file=sys.stderr)  # noqa: T201


GUESSABLE = (
    "this job has no secret: whoever knows the ids of the source's project and containers can undo its pseudonyms; "
    "give input key_file, or the context value deid_secret"
)

KEYLESS = "{} goes by a secret, and this job has none: give input key_file, or the context value deid_secret"


def _keyring(config: GearConfig, project: str) -> tuple[Keyring, str]:
    """Return the job's keyring, and where it came from: ``key_file``, ``deid_secret`` or ``project``.

    Without a secret pseudonyms come from the ids of the source, which its users know.
    """
    file = config.files.get("key_file")
    if file is not None:
        return keys.load(file.path), "key_file"
    if config.secret is not None:
        return keys.of(config.secret.encode(), "context value deid_secret"), "deid_secret"
    return Keyring(sha256(f"fw-gear-deid {project}".encode()).digest()), "project"


def _locks(config: GearConfig, planned: PlannedProfile) -> dict[str, bytes]:
    """Return the keys that the profile encrypts and decrypts with: files on the platform."""
    listed = (str(config.options[name] or "") for name in ("secret_key", "public_key", "private_key"))
    secret, public, private = ([one.strip() for one in text.split(",") if one.strip()] for text in listed)
    given = locks.given(next(iter(secret), None), public, next(iter(private), None))
    return locks.gather(planned, given, lambda place: locks.from_platform(config.key, place))


def _limits(config: GearConfig) -> dict[str, int]:
    try:
        return limits.read_all(str(config.options["limits"] or ""))
    except ValueError as error:
        raise UsageError(f"config limits: {error}") from None


def _collect(problems: list[str], work: Callable[[], T]) -> T | None:
    """Do one check; what is wrong joins the other problems, so that all are shown at once."""
    try:
        return work()
    except UsageError as error:
        problems += error.lines
        return None
    except PlatformError as error:
        problems.append(str(error))
        return None


def _check_options(config: GearConfig, problems: list[str]) -> None:
    options = config.options
    if not options["project_path"]:
        problems.append("config project_path: the destination is missing; write GROUP/PROJECT")
    elif str(options["project_path"]).strip("/").count("/") != 1:
        problems.append("config project_path: must be GROUP/PROJECT")
    if options["prune"] and options["fan_out"] != "none":
        problems.append("config prune: a part of a fan-out sees no whole project; prune in a job without fan_out")
    if options["validate"] is False:
        problems.append("config validate: a profile is always checked; leave it true")
    if options["deid_log"] != "none":
        problems.append("config deid_log: no log backend is supported by this version")


def _sites(config: GearConfig) -> Sites:
    """Find start, source project and destination project, and whether the keys may do what they must."""
    problems: list[str] = []
    source = _collect(problems, lambda: _start(config))
    project = _collect(problems, lambda: _destination(config)) if config.options["project_path"] else None
    if source is not None and project is not None and str(project.id) == source.project:
        problems.append("config project_path: the destination is the source project; choose another one")
    if problems:
        raise UsageError(*problems)
    assert source is not None  # noqa: S101 -- else there was a problem
    return Sites(source, project)


def _start(config: GearConfig) -> FlywheelSource:
    """Return where the gear starts: the triggering file, the analysis' container, or the container itself."""
    platform = Platform(config.key)
    trigger = config.files.get("input_file")
    if trigger is not None:
        level, key, name = trigger.parent_type, trigger.parent_id, trigger.name
    elif config.destination_type == "analysis":
        parent = platform.get("analysis", config.destination_id).parent
        level, key, name = str(parent.type), str(parent.id), ""
    else:
        level, key, name = config.destination_type, config.destination_id, ""
    if level not in _LEVELS:
        raise UsageError(
            f"the gear runs on a project, subject, session, acquisition or file, not on a {level or 'nothing'}"
        )
    container = platform.get(level, key)
    project = key if level == "project" else str(container.parents.project)
    access.check(platform, platform.get("project", project), READ, "the source project")
    return FlywheelSource(config.key, level, key, project, name)


def _destination(config: GearConfig) -> Any:
    """Return the destination project, or say who cannot reach it and why."""
    path = str(config.options["project_path"]).strip("/")
    platform = Platform(config.destination_key or config.key)
    try:
        project = platform.lookup(path)
    except PlatformError as error:
        if error.status not in (403, 404):
            raise
        why = (
            "it does not exist, or this key cannot see it"
            if config.destination_key
            else "it does not exist, or this key cannot see it. The key of a gear rule sees its own project only: "
            "set the context value deid_destination_key, or start the gear as a user of both projects"
        )
        raise UsageError(f"config project_path: {why}") from None
    if project.container_type != "project":
        raise UsageError("config project_path: this is no project")
    deletes = config.options["overwrite_files"] != "Skip" or config.options["prune"]
    access.check(platform, project, WRITE | DELETE if deletes else WRITE, "config project_path")
    access.check_log(platform)
    return project


def _profile(config: GearConfig, sites: Sites | None) -> PlannedProfile:
    """Return the profile that the job asks for, and where it came from."""
    assert sites is not None  # noqa: S101 -- called with sites only
    wanted, builtin = config.options["profile_source"], config.options["builtin_profile"]
    file = config.files.get("deid_profile")
    if wanted == "platform":
        if file is not None:
            raise UsageError("input deid_profile: profile_source is 'platform'; take one of the two away")
        platform = Platform(config.destination_key or config.key)
        found = stored_profile(platform, str(sites.project.id), str(sites.project.group))
        if found is None:
            raise UsageError(
                "profile_source: neither the destination project, its group nor the site has a de-id profile"
            )
        return PlannedProfile.read(found.text, f"{found.level}-settings", found.level)
    if wanted == "input" and file is not None:
        return PlannedProfile.read(store.read_text(file.path), file.name, "input")
    if builtin == "none":
        raise UsageError(
            "there is no profile: give input deid_profile, or set builtin_profile or profile_source: platform"
        )
    path = store.shipped()[builtin]
    return PlannedProfile.read(store.read_text(path), path.name, "builtin")
