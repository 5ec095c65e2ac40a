"""A project too large for one job → one job of this gear per session, watched, their reports gathered."""

from __future__ import annotations

import csv
import io
import json
import shutil
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

from fw_gear_deid import RESULTS
from fw_gear_deid.ledger.reports import FILES_COLUMNS
from fw_gear_deid.model.audit import AUDIT_COLUMNS
from fw_gear_deid.model.errors import UsageError
from fw_gear_deid.model.frozen import frozen
from fw_gear_deid.parser import GearConfig
from fw_gear_deid.stores.flywheel.client import Platform, PlatformError, plain, wait
from fw_gear_deid.stores.flywheel.source import FlywheelSource, fields_of

_ENDED = frozenset({"complete", "failed", "cancelled"})
_REPORTS = ("audit.csv", "files.csv", "summary.json")
_NO_MATTER = ("fan_out", "workers", "debug", "limits")
"""Options that change no byte of a result."""
_POLL = 10  # of the pauses that ``wait`` counts in: ten seconds on a site, none in tests


@frozen
class Part:
    """One session's job.

    Attributes
    ----------
    session : str
    analysis : str
        Where its reports land.
    job : str
    """

    session: str
    analysis: str
    job: str


def run(config: GearConfig, source: FlywheelSource, work: str, own: Path, code: int) -> int:
    """Launch what is missing, watch it, gather the reports; return 0 when every job ended well, else 1.

    Parameters
    ----------
    work : str
        Stands for profile and key: another one is other work.
    own : Path
        Reports of what this job did itself: files that no session holds.
    code : int
        Exit code of that.

    Raises
    ------
    UsageError
        The job does not know its own gear.
    PlatformError
    """
    platform = Platform(config.key)
    if not config.job_id:
        raise UsageError("fan_out: config.json does not tell the job's id (custom.flywheel.show-job in the manifest)")
    gear = platform.call("reading this job", lambda sdk: sdk.get_job(config.job_id), tries=4).gear_id
    parts, kept = [], 0
    for session, holds in sorted(_sessions(platform, source).items()):
        # what came into a session since its job was done makes it another job
        label = f"fw-gear-deid part {_fingerprint(config, work, holds)}"
        known = _known(platform, session, label)
        kept += known is not None
        parts.append(known or _launch(platform, config, str(gear), session, label))
    print(f"{len(parts)} sessions: {len(parts) - kept} jobs launched, {kept} known", file=sys.stderr)  # noqa: T201
    states = {part: _watch(platform, part) for part in parts}
    summary = _gather(platform, config.output, states, own)
    return 0 if not code and all(state == "complete" for state in states.values()) and summary["complete"] else 1


def keep(own: Path, output: Path) -> None:
    """Hand out the reports of what this job did itself, where it came to an end before there were any of all parts."""
    for name in _REPORTS:
        if (own / name).is_file() and not (output / name).exists():
            shutil.copyfile(own / name, output / name)


def _fingerprint(config: GearConfig, work: str, holds: str) -> str:
    """Return what tells whether an earlier job did the same work on the same files."""
    options = {name: value for name, value in config.options.items() if name not in _NO_MATTER}
    mapping = config.files.get("mapping_csv")
    content = sha256(mapping.path.read_bytes()).hexdigest() if mapping else ""
    text = json.dumps([RESULTS, options, work, content, holds], sort_keys=True)
    return sha256(text.encode()).hexdigest()[:16]


def _sessions(platform: Platform, source: FlywheelSource) -> dict[str, str]:
    """Return each session, and what stands for the files and the metadata that it holds."""
    held: dict[str, list[Any]] = {}
    get = f"get_{source.level}_sessions"
    for session in platform.listed("listing sessions", lambda sdk, **page: getattr(sdk, get)(source.id, **page)):
        held[str(session.id)] = [str(session.parents.get("subject")), _described(session, "session")]
    for acquisition in _acquisitions(platform, source, list(held)):
        parent = str(acquisition.parents.get("session"))
        if parent in held:
            held[parent].append(_described(acquisition, "acquisition"))
    return {session: sha256(json.dumps(found, sort_keys=True).encode()).hexdigest() for session, found in held.items()}


def _acquisitions(platform: Platform, source: FlywheelSource, sessions: Sequence[str]) -> Iterator[Any]:
    what = "listing acquisitions"
    if source.level == "project":
        yield from platform.listed(what, lambda sdk, **page: sdk.get_project_acquisitions(source.id, **page))
        return
    for session in sessions:
        yield from platform.listed(
            what, lambda sdk, session=session, **page: sdk.get_session_acquisitions(session, **page)
        )


def _described(container: Any, level: str) -> list[Any]:
    """Return what a job's result depends on: metadata that can travel, and which version of which files there is."""
    files = sorted((str(file.file_id), str(file.name), str(file.version)) for file in container.files or [])
    return [str(container.id), fields_of(container, level), files]


def _known(platform: Platform, session: str, label: str) -> Part | None:
    """Return an earlier job of the same work that ended well or is under way."""
    analyses = platform.listed(
        "listing a session's analyses", lambda sdk, **page: sdk.get_session_analyses(session, **page)
    )
    for analysis in analyses:
        if analysis.label != label or not analysis.job:
            continue
        job = str(analysis.job if isinstance(analysis.job, str) else analysis.job.id)
        if _state(platform, job) not in ("failed", "cancelled"):
            return Part(session, str(analysis.id), job)
    return None


def _launch(platform: Platform, config: GearConfig, gear: str, session: str, label: str) -> Part:
    body = {
        "label": label,
        "job": {
            "gear_id": gear,
            "inputs": {
                name: {"type": file.parent_type, "id": file.parent_id, "name": file.name}
                for name, file in config.files.items()
            },
            "config": {name: value for name, value in config.options.items() if value is not None}
            | {"fan_out": "none"},
        },
    }
    made = platform.call("launching a job", lambda sdk: sdk.add_session_analysis(session, body, job=True))
    analysis = str(made if isinstance(made, str) else made.id)
    job = platform.get("analysis", analysis).job
    return Part(session, analysis, str(job if isinstance(job, str) else job.id))


def _state(platform: Platform, job: str) -> str:
    return str(platform.call("reading a job", lambda sdk: sdk.get_job(job), tries=4).state)


def _watch(platform: Platform, part: Part) -> str:
    while (state := _state(platform, part.job)) not in _ENDED:
        time.sleep(_POLL * wait(1))
    return state


def _gather(platform: Platform, output: Path, states: dict[Part, str], own: Path) -> dict[str, Any]:
    """Put the reports of all parts into one set of three."""
    output.mkdir(parents=True, exist_ok=True)
    summary: dict[str, Any] = {"complete": True, "jobs": [], "states": {}, "skipped": {}, "actions": {}, "totals": {}}
    with (
        (output / "audit.csv").open("w", encoding="utf-8", newline="") as audit,
        (output / "files.csv").open("w", encoding="utf-8", newline="") as files,
    ):
        writers = {
            "audit.csv": csv.writer(audit, lineterminator="\r\n"),
            "files.csv": csv.writer(files, lineterminator="\r\n"),
        }
        writers["audit.csv"].writerow(AUDIT_COLUMNS)
        writers["files.csv"].writerow(FILES_COLUMNS)
        for name in _REPORTS:
            _merge(name, (own / name).read_text(encoding="utf-8"), writers, summary)
        for part, state in states.items():
            summary["jobs"].append({"session": part.session, "job": part.job, "state": state})
            for name in _REPORTS:
                text = _report(platform, part, name)
                if text is None:
                    summary["complete"] = False
                else:
                    _merge(name, text, writers, summary)
    (output / "summary.json").write_text(json.dumps(summary, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return summary


def _merge(name: str, text: str, writers: Mapping[str, Any], summary: dict[str, Any]) -> None:
    """Add one report of one part."""
    if name == "summary.json":
        _add(summary, json.loads(text))
    else:
        writers[name].writerows(list(csv.reader(io.StringIO(text, newline="")))[1:])


def _report(platform: Platform, part: Part, name: str) -> str | None:
    """Return a report of a part's job, None when it left none."""
    try:
        data = platform.call(
            "reading a report",
            lambda sdk: sdk.download_output_from_analysis_as_data(part.analysis, name),
            tries=4,
        )
    except PlatformError as error:
        if error.status != 404:
            raise
        return None
    return bytes(data).decode("utf-8") if not isinstance(data, str) else data


def _add(summary: dict[str, Any], part: dict[str, Any]) -> None:
    summary["complete"] = summary["complete"] and part.get("complete", False)
    for key in ("states", "skipped", "actions", "totals"):
        for name, count in plain(part.get(key) or {}).items():
            summary[key][name] = summary[key].get(name, 0) + count
    for key in ("program", "profile", "options", "profile_source", "secret", "warnings"):
        summary.setdefault(key, part.get(key))
