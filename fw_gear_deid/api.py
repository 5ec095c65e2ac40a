"""What is asked for → a run: the way in that the command line and Python callers share."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from fw_gear_deid import keys, locks, options
from fw_gear_deid.ledger import ids
from fw_gear_deid.model.cells import shown
from fw_gear_deid.model.errors import UsageError
from fw_gear_deid.model.frozen import frozen
from fw_gear_deid.model.ports import Identity
from fw_gear_deid.options import Options
from fw_gear_deid.profile import store
from fw_gear_deid.profile.text.problems import show
from fw_gear_deid.runner.progress import Manner, counting
from fw_gear_deid.runner.rows import missing_ids, unused_rows
from fw_gear_deid.runner.run import Job, Stopped, run
from fw_gear_deid.runner.setup import PlannedProfile, book_for, detail_of, taking_part
from fw_gear_deid.runner.sieve import Sieve
from fw_gear_deid.runner.signals import Interrupts
from fw_gear_deid.runner.told import OK, SOME_REFUSED, last_lines, warned
from fw_gear_deid.stores import places
from fw_gear_deid.system import private
from fw_gear_deid.system.cores import usable_cores

if TYPE_CHECKING:
    from fw_gear_deid.runner.cluster import Scheduler

PRIVATE = "private"  # folder of the reports that are not handed on


@frozen
class Done:
    """How a run ended.

    Attributes
    ----------
    code : int
        0 all released, or skipped by rule · 1 something was not · 130 interrupted.
    reports : Path
        Folder of ``audit.csv`` and ``summary.json``; ``private/`` below it holds ``files.csv``.
    summary : mapping
        What ``summary.json`` says: ``states``, ``actions``, ``totals`` and more.
    """

    code: int
    reports: Path
    summary: Mapping[str, object]

    @property
    def states(self) -> dict[str, int]:
        """Count of files by state: ``released``, ``skipped``, ``refused``, ``failed``, ``orphan``, ``not-reached``."""
        found = self.summary["states"]
        assert isinstance(found, dict)  # noqa: S101 -- reports.write makes it
        return found


def deidentify(
    source: str | os.PathLike[str], dest: str | os.PathLike[str], *, profile: str | os.PathLike[str], **more: object
) -> Done:
    """De-identify a folder into another, as ``fw-gear-deid run`` does.

    Parameters
    ----------
    source, dest : path
        Or ``fw://GROUP/PROJECT...``.
    profile : path
        Or the name of a shipped one.
    **more
        Options of ``run`` with ``_`` for ``-``, such as ``mapping="ids.csv"``, ``workers=4``, ``dry_run=True``.

    Returns
    -------
    Done

    Raises
    ------
    UsageError
        The run cannot start as it was asked for; ``ProfileError`` with every problem of the profile.
    StopRun
        Nothing further could be released.
    TypeError, ValueError
        An option that does not exist, or a value that it cannot have.

    Notes
    -----
    Work is spread over processes, so a script needs the usual ``if __name__ == "__main__":`` around its call.
    """
    asked = options.made({"quiet": True, **more, "source": source, "dest": dest, "profile": profile})
    return carry_out(asked, lambda text: None)


def carry_out(asked: Options, tell: Callable[[str], None]) -> Done:
    """Check what was asked for, and do it.

    Parameters
    ----------
    asked : Options
    tell : callable
        Takes lines for the person who started it.

    Raises
    ------
    UsageError, ProfileError, StopRun
    """
    with Interrupts().listening() as interrupts:
        job = _job(asked, tell)
        try:
            code, summary = run(job, interrupts)
        except Stopped as error:
            for line in last_lines(SOME_REFUSED, error.summary, str(job.reports)):
                tell(line)
            raise
        done = Done(code, job.reports, summary)
        for note in (unused_rows(summary), missing_ids(summary)) if not asked.quiet else ():
            if note:
                tell(f"note: {note}")
        if not asked.quiet or code != OK:
            for line in last_lines(code, summary, str(job.reports)):
                tell(line)
        names = {row: item.id for row, item in enumerate(job.items, 2)} if sys.stderr.isatty() else None
        for line in warned(summary, names) if not asked.quiet else ():
            tell(line)
        return done


def _job(asked: Options, tell: Callable[[str], None]) -> Job:
    """Check what was asked for, and list the source."""
    reports = asked.reports or _default_reports(asked.dest)
    ids_table = reports / PRIVATE / "ids.csv" if asked.ids is True else asked.ids or None
    uid_map = reports / PRIVATE / "uids.csv" if asked.uid_map is True else asked.uid_map or None
    own = {
        "reports": reports,
        "ledger": asked.ledger,
        "ids": ids_table and ids_table.parent,
        "uid-map": uid_map and uid_map.parent,
    }
    places.check_folders(asked.source, asked.dest, own)
    _check_once(asked)
    if ids_table is not None:
        ids.read(ids_table, ids.TABLE)  # nothing of somebody else's is written over
    if uid_map is not None:
        ids.read(uid_map, ids.UID_MAP)
    ledger = asked.ledger or reports / PRIVATE
    scheduler = _scheduler(asked, ledger)
    deletes = asked.prune or asked.new_key or asked.exists == "replace"
    ends = places.Ends.find(asked.source, asked.dest, deletes=deletes)
    _check_binding(asked.profile, ends)
    planned = _planned(asked.profile, ends.destination, tell)
    opening = locks.gather(planned, locks.given(asked.secret_key, asked.public_key, asked.private_key))
    if opening and scheduler is not None:
        raise UsageError("keys stay on this machine: a profile that encrypts or decrypts works without --scheduler")
    source = ends.source(detail_of(planned))
    listed = list(counting(source.items(), Manner(quiet=asked.quiet)))
    branches = source.containers(listed)
    items = Sieve(asked.include, asked.exclude, asked.only).sift(listed, branches)
    book = book_for(
        planned,
        asked.mapping,
        taking_part(items, branches),
        by_session=asked.session_level_profile,
        allow_shared=asked.allow_shared_ids,
        given=dict(asked.limit),
    )
    sink = ends.sink()
    keyring, identity = _keyring(asked, ledger, reports, sink.identity)
    keyring = replace(keyring, locks=opening)
    job = Job(
        source=source,
        sink=sink,
        items=items,
        branches=branches,
        profiles=book,
        keyring=keyring,
        dest=identity,
        reports=reports,
        private=reports / PRIVATE,
        ledger=ledger,
        exists="replace" if asked.new_key else asked.exists,
        check=asked.check,
        prune=asked.prune,
        whole=ends.is_whole and not (asked.include or asked.exclude or asked.only),
        verify=asked.verify,
        labels=asked.labels,
        compression=asked.compression,
        workers=asked.workers or usable_cores(),
        scheduler=scheduler,
        originals=asked.audit_originals,
        ids=ids_table,
        uid_map=uid_map,
        dry_run=asked.dry_run,
        quiet=asked.quiet,
        strict=asked.identity == "strict",
        strict_rules=asked.strict_rules,
        root=ends.root,
        limits=dict(asked.limit),
        facts={"profile_source": planned.level},
    )
    if not asked.quiet:
        for warning in planned.profile.warnings:
            tell(show(planned.file, warning))
        for note in book.lookup.notes if book.lookup else ():
            tell(f"note: {note}")
    return job


def _check_once(asked: Options) -> None:
    """Refuse what would write down, or hand on, what a key that is forgotten is to keep apart."""
    if asked.key_file != keys.ONCE:
        return
    told = {"--ids": asked.ids, "--uid-map": asked.uid_map, "--audit-originals": asked.audit_originals}
    for option in (name for name, value in told.items() if value):
        raise UsageError(f"{option} writes down what --key-file once is to forget: leave one of them away")
    if asked.scheduler is not None or asked.scheduler_file is not None:
        raise UsageError("--key-file once is of one process and its children: workers of a cluster read a key's file")


def _scheduler(asked: Options, ledger: Path) -> Scheduler | None:
    """Return the cluster that is to do the work, None where this machine does.

    Raises
    ------
    UsageError
        It cannot be asked for like that, or its packages are missing.
    """
    named = asked.scheduler is not None, asked.scheduler_file is not None
    if not any(named):
        return None
    if all(named):
        raise UsageError("--scheduler and --scheduler-file name one cluster: give one of them")
    if asked.workers is not None:
        raise UsageError("--workers is of this machine: a cluster has the workers that it has")
    if places.on_platform(asked.source) or places.on_platform(asked.dest):
        raise UsageError(
            "a dask cluster works on folders that its workers share; for fw:// run the gear with fan_out, "
            "or without --scheduler"
        )
    try:
        from fw_gear_deid.runner.cluster import Scheduler
    except ModuleNotFoundError:
        raise UsageError(
            "--scheduler needs the packages of a cluster: python -m pip install 'fw-gear-deid[cluster]'"
        ) from None
    return Scheduler(asked.scheduler or "", asked.scheduler_file, asked.source, asked.key_file or ledger / "secret.key")


def _default_reports(dest: str) -> Path:
    """Return ``DEST-report``, for a platform in the working directory."""
    if places.on_platform(dest):
        return Path(dest.rstrip("/").rpartition("/")[2] + "-report")
    path = Path(dest)
    if path.name in ("", ".."):
        path = path.resolve()
    return path.with_name(path.name + "-report") if path.name else path


def _check_binding(name: str | None, ends: places.Ends) -> None:
    """Refuse a profile of one's own for an upload to a project whose project, group or site prescribes one."""
    if name is None or ends.destination is None or ends.origin is not None:
        return
    level = ends.destination.bound_by()
    if level:
        raise UsageError(
            f"the {level} of DEST has a de-id profile, which binds who uploads there: leave --profile away, "
            f"or change that one with 'profile put'"
        )


def _planned(name: str | None, destination: places.PlatformPlace | None, tell: Callable[[str], None]) -> PlannedProfile:
    """Return the profile that was named, or the one that the destination's project, group or site has."""
    if name is not None:
        path = store.path_of(name)
        return PlannedProfile.read(store.read_text(path), path.name, "input")
    if destination is None:
        raise UsageError("--profile is missing: give a path, or the name of a shipped profile (see 'profile list')")
    found = destination.profile()
    if found is None:
        raise UsageError(
            "neither the destination project, its group nor the site has a de-id profile: "
            "give --profile, or put one there with 'profile put'"
        )
    planned = PlannedProfile.read(found.text, f"{found.level}-settings", found.level)
    tell(f"profile: {planned.profile.name}, from the {found.level}'s settings")
    return planned


_OTHER_KEY = (
    "{}: its files were made with another key, so every patient would get a second pseudonym: give that key with "
    "--key-file (the reports of the earlier runs have it in private/secret.key), or make everything anew with --new-key"
)


def _keyring(asked: Options, ledger: Path, reports: Path, identity: Identity) -> tuple[keys.Keyring, Identity]:
    """Return the key of this run, and what the destination is to tell of itself.

    The key is the given one, one that nobody keeps, or the one that stays with the ledger so that reruns agree.

    Raises
    ------
    UsageError
        The destination's files were made with another one.
    """
    if asked.key_file is not None:
        keyring = keys.of_run(asked.key_file)
    else:
        private.make_folder(ledger)
        own, former = ledger / "secret.key", reports / "secret.key"
        if not own.exists() and former.is_file():
            former.rename(own)  # where the first version kept it
        if asked.new_key and own.exists():
            own.rename(ledger / f"secret-{keys.load(own).fingerprint()}.key")  # a key is never lost
        if not own.exists():
            if identity.keys and not asked.new_key:
                raise UsageError(_OTHER_KEY.format(asked.dest))
            keys.generate(own)
        keyring = keys.load(own)
    told = keyring.fingerprint()
    if identity.keys and told != identity.keys[-1] and not asked.new_key:
        raise UsageError(_OTHER_KEY.format(asked.dest))
    used = tuple(key for key in identity.keys if key != told)
    return keyring, Identity(identity.id or keys.fresh_name(), (*used, told))


def say(text: str) -> None:
    """Print a line to standard error; that nobody listens any more does not stop a run or change its exit code."""
    try:
        print(shown(text), file=sys.stderr)  # noqa: T201
    except OSError:
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115, PTH123 -- the reader went away
