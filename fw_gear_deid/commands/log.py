"""``log find | show | files | reidentify | export | purge | trail``: each look leaves a line in the de-id log."""

from __future__ import annotations

import argparse
import csv
import json
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

from fw_gear_deid import keys, options
from fw_gear_deid.log.open import VARIABLE, address, open_log
from fw_gear_deid.model.cells import cell, shown, to_json
from fw_gear_deid.model.errors import UsageError
from fw_gear_deid.model.logged import KEYWORDS, PATIENT, RESERVED, UID, UPLOADED, DeidLog, Logged, Look
from fw_gear_deid.system import private
from fw_gear_deid.system.login import login_name
from fw_gear_deid.system.sync import sync_handle

OK, NOTHING_FOUND = 0, 1
ALL = ("*",)
"""Stands in the trail for the ids of all entries."""
_MAPS = {"uids": UID, "patients": PATIENT}


def fill(parser: argparse.ArgumentParser) -> None:
    """Add the parsers of its own commands."""
    subcommands = parser.add_subparsers(required=True, metavar="COMMAND")
    one = _command(subcommands, "find", "ids, times, states and files of entries, by original values; all without any")
    one.add_argument("wanted", nargs="*", metavar="KEYWORD=VALUE")
    one.set_defaults(command=_find)
    one = _command(subcommands, "show", "an entry with its original values")
    one.add_argument("id", metavar="ID")
    one.set_defaults(command=_show)
    one = _command(subcommands, "files", "the released file of an entry; with --reason its source, too")
    one.add_argument("id", metavar="ID")
    one.set_defaults(command=_files)
    one = _command(subcommands, "reidentify", "a released file as it was, or the values that were changed in it")
    one.add_argument("which", metavar="ID|FILE", help="id of an entry, or a released file")
    one.add_argument("--out", metavar="FILE", help="write the file as it was there, or into a folder; FOLDER/ makes it")
    one.set_defaults(command=_reidentify)
    one = _command(subcommands, "export", "a table of old and new UIDs or patient ids")
    one.add_argument("what", choices=tuple(_MAPS))
    one.add_argument("file", metavar="FILE", type=Path)
    one.set_defaults(command=_export)
    one = _command(subcommands, "purge", "list the copies of a patient's data, and erase all that the log has of them")
    one.add_argument("--subject", required=True, metavar="ID", help="original or new patient id")
    one.add_argument("--dry-run", action="store_true", help="list the copies, and erase nothing")
    one.set_defaults(command=_purge)
    one = _command(subcommands, "trail", "who looked something up, when and why")
    one.set_defaults(command=_trail)


def _command(
    subcommands: argparse._SubParsersAction[argparse.ArgumentParser], name: str, line: str
) -> argparse.ArgumentParser:
    parser = subcommands.add_parser(name, help=line, description=line)
    add_log(parser)
    return parser


def add_log(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of whatever looks into a log."""
    options.add(parser, "log_db", "log_key")
    parser.add_argument("--reason", metavar="TEXT", default="", help="why; needed where originals are shown")


@contextmanager
def opened(arguments: argparse.Namespace) -> Iterator[DeidLog]:
    """Open the log that a command line asks for, to look into it.

    Raises
    ------
    UsageError, LogDown
    """
    url = address(arguments.log_db)
    if url is None:
        raise UsageError(f"which de-id log? give --log-db, or set {VARIABLE}")
    key = keys.load(arguments.log_key) if arguments.log_key else None
    with closing(open_log(url, key=key, create=False)) as log:
        yield log


def reason_of(arguments: argparse.Namespace) -> str:
    """Return why originals are asked for.

    Raises
    ------
    UsageError
    """
    reason: str = arguments.reason.strip()
    if not reason:
        raise UsageError("this shows original values: say why with --reason TEXT; the log's trail keeps it")
    return reason


def note(log: DeidLog, arguments: argparse.Namespace, command: str, found: Iterable[str], who: str = "") -> None:
    """Leave a line in the trail, before anything is shown.

    Parameters
    ----------
    command : str
        What is done; no values.
    found : iterable of str
        Ids of entries.
    who : str
        User id where the look-up is made with the key of a platform; else the login name counts.
    """
    log.note(Look(who or login_name(), arguments.reason.strip(), command, tuple(found)))


def _find(arguments: argparse.Namespace) -> int:
    wanted = _wanted(arguments.wanted)
    with opened(arguments) as log:
        found = log.find(wanted)
        note(log, arguments, " ".join(("find", *wanted)), (one.id for one in found) if wanted else ALL)
    _table(("id", "timestamp", "state", "container", "file"), ((*_when(one), *_where(one)[1:3]) for one in found))
    return OK if found else _nothing()


def _wanted(texts: Sequence[str]) -> dict[str, str]:
    """Read ``KEYWORD=VALUE``; what is wrong is told without the value.

    Raises
    ------
    UsageError
    """
    wanted: dict[str, str] = {}
    for number, text in enumerate(texts, 1):
        keyword, equals, value = text.partition("=")
        if not equals or keyword not in KEYWORDS:
            raise UsageError(f"argument {number}: must be KEYWORD=VALUE; keywords are {', '.join(KEYWORDS)}")
        if keyword in wanted:
            raise UsageError(f"argument {number}: {keyword} is asked for twice")
        wanted[keyword] = value
    return wanted


def _entry(log: DeidLog, arguments: argparse.Namespace, command: str) -> Logged | None:
    """Return the entry of an id, and leave a line."""
    try:
        found = log.get(arguments.id)
    except ValueError:
        raise UsageError("an id of the de-id log has 32 digits 0-9 a-f, with dashes or without") from None
    note(log, arguments, command, [] if found is None else [found.id])
    return found


def _show(arguments: argparse.Namespace) -> int:
    reason_of(arguments)
    with opened(arguments) as log:
        found = _entry(log, arguments, "show")
        if found is None:
            return _nothing()
        if found.sealed:
            raise UsageError("this de-id log is encrypted: its originals are shown with its --log-key")
        pairs = [*log.replaced(UID, found.id), *log.replaced(PATIENT, found.id)]
    entry = found.entry
    told = {
        "id": found.id, "timestamp": found.timestamp, "state": found.state, "run": entry.run,
        "profile": {"name": entry.profile_name, "sha256": entry.profile_sha256},
        "gear_version": entry.gear_version, "source": _source(found), "destination": _destination(found),
        "indexed_fields": dict(entry.indexed), "deidentified_tags": json.loads(entry.tags),
        "replaced": [{"kind": pair.kind, "old": pair.old, "new": pair.new} for pair in pairs],
    }  # fmt: skip
    print(to_json(told))
    return OK


def _source(found: Logged) -> dict[str, str]:
    entry = found.entry
    return {
        "project": entry.source_project, "container": entry.source_container, "file": entry.source_file,
        "version": entry.source_version, "sha256": entry.source_sha,
    }  # fmt: skip


def _destination(found: Logged) -> dict[str, str]:
    return dict(zip(_PLACE, _where(found), strict=True))


_PLACE = ("project", "container", "file", "version", "sha256")


def _where(found: Logged) -> tuple[str, str, str, str, str]:
    """Return where the released file stands, in the order of ``_PLACE``."""
    entry = found.entry
    return entry.dest_project, entry.dest_container, entry.dest_file, found.dest_version, entry.dest_sha


def _when(found: Logged) -> tuple[str, str, str]:
    return found.id, found.timestamp, found.state


def _files(arguments: argparse.Namespace) -> int:
    with opened(arguments) as log:
        found = _entry(log, arguments, "files")
    if found is None:
        return _nothing()
    rows = [("destination", *_where(found))]
    if arguments.reason.strip() and not found.sealed:  # folders are named for people
        rows.append(("source", *_source(found).values()))  # type: ignore[arg-type]
    _table(("end", *_PLACE), rows)
    return OK


def _reidentify(arguments: argparse.Namespace) -> int:
    from fw_gear_deid import reidentify  # reads files, which nothing else here does

    return reidentify.run(arguments)


def _export(arguments: argparse.Namespace) -> int:
    reason_of(arguments)
    path: Path = arguments.file
    with opened(arguments) as log:
        pairs = list(log.replaced(_MAPS[arguments.what]))
        note(log, arguments, f"export {arguments.what}", ALL if pairs else ())
        _write(path, ((pair.old, pair.new) for pair in pairs))
    print(f"{shown(str(path))}: {len(pairs)} {arguments.what}; originals, for its owner alone")
    return OK if pairs else _nothing()


def _write(path: Path, rows: Iterable[tuple[str, str]]) -> None:
    """Write a table that was not there, for its owner alone.

    Raises
    ------
    UsageError
    """
    try:
        handle = private.create(path)
    except FileExistsError:
        raise UsageError(f"{path}: exists already; nothing was written") from None
    except OSError as error:
        raise UsageError(f"{path}: cannot be written ({error.strerror})") from None
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="") as stream:
            table = csv.writer(stream, lineterminator="\r\n")
            table.writerow(("id_old", "id_new"))
            table.writerows((cell(old), cell(new)) for old, new in rows)
            stream.flush()
            sync_handle(stream.fileno())
    except OSError as error:
        path.unlink()
        raise UsageError(f"{path}: cannot be written ({error.strerror})") from None


def _purge(arguments: argparse.Namespace) -> int:
    """List first and erase then: whoever is stopped between the two can do it again."""
    reason_of(arguments)
    with opened(arguments) as log:
        found = log.of_subject(arguments.subject)
        done = "list for purge" if arguments.dry_run else "purge"
        note(log, arguments, done, (one.id for one in found))
        if not found:
            return _nothing()
        copies = [one for one in found if one.state in (UPLOADED, RESERVED)]
        _table(("id", "timestamp", "state", *_PLACE), ((*_when(one), *_where(one)) for one in copies))
        sys.stdout.flush()
        if not arguments.dry_run:
            log.purge([one.id for one in found])
    erased = "nothing was erased" if arguments.dry_run else f"{len(found)} entries were erased from the log"
    print(f"{erased}; {len(copies)} copies are to be deleted where they stand", file=sys.stderr)
    return OK


def _trail(arguments: argparse.Namespace) -> int:
    with opened(arguments) as log:
        looks = list(log.trail())
        note(log, arguments, "trail", ())
    rows = ((one.timestamp, one.who, one.command, one.reason, " ".join(one.ids)) for one in looks)
    _table(("timestamp", "who", "command", "reason", "ids"), rows)
    return OK


def _table(heading: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    table = csv.writer(sys.stdout, lineterminator="\n")
    table.writerow(heading)
    table.writerows([cell(text) for text in row] for row in rows)


def _nothing() -> int:
    print("nothing was found", file=sys.stderr)
    return NOTHING_FOUND
