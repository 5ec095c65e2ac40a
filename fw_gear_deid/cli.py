"""Command line → exit code (interfaces §1)."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from fw_gear_deid import __version__, keys, preview
from fw_gear_deid.model.errors import DeidError, StopRun, UsageError
from fw_gear_deid.profile import store
from fw_gear_deid.profile.parse import parse_profile
from fw_gear_deid.profile.problems import ProfileError, show
from fw_gear_deid.profile.text import plain_values
from fw_gear_deid.runner.run import INTERRUPTED, OK, SOME_REFUSED, USAGE, Job, run
from fw_gear_deid.runner.setup import PlannedProfile, book_for, detail_of
from fw_gear_deid.sample import make_sample
from fw_gear_deid.stores import places


def main(argv: Sequence[str] | None = None) -> int:
    """Carry out one command.

    Returns
    -------
    int
        0 done · 1 something refused or failed · 2 wrong usage, profile or configuration · 130 interrupted.
    """
    arguments = _parser().parse_args(argv)
    try:
        code: int = arguments.command(arguments)
    except ProfileError as error:
        print(error, file=sys.stderr)
        return USAGE
    except UsageError as error:
        print(f"fw-gear-deid: {error}", file=sys.stderr)
        return USAGE
    except StopRun as error:
        print(f"fw-gear-deid: {error}", file=sys.stderr)
        return SOME_REFUSED
    except DeidError as error:
        print(f"fw-gear-deid: {error}", file=sys.stderr)
        return SOME_REFUSED
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115, PTH123 -- the reader of our output went away
        return OK
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="fw-gear-deid", description="De-identify stored imaging files by a profile.")
    parser.add_argument("--version", action="version", version=f"fw-gear-deid {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_run(commands)
    _add_preview(commands)
    _add_profile(commands)
    one = commands.add_parser("keygen", help="write a fresh secret, mode 0600")
    one.add_argument("file", metavar="FILE", type=Path)
    one.set_defaults(command=_keygen)
    one = commands.add_parser("sample", help="make a small made-up project with planted identifiers")
    one.add_argument("folder", metavar="DIR", type=Path)
    one.add_argument("--subjects", type=_count, default=3, metavar="N", help="how many (default 3)")
    one.set_defaults(command=_sample)
    return parser


Commands = argparse._SubParsersAction  # the type that add_subparsers returns; argparse has no public name for it


def _add_run(commands: Commands[argparse.ArgumentParser]) -> None:
    one = commands.add_parser("run", help="de-identify a folder into another", description=_run.__doc__)
    one.add_argument("source", metavar="SOURCE", help="a folder, one file, or fw://GROUP/PROJECT...; never written to")
    one.add_argument(
        "dest", metavar="DEST", help="receives SUBJECT/SESSION/ACQUISITION/FILE: a folder, or fw://GROUP/PROJECT"
    )
    one.add_argument("--profile", metavar="P", help="path or shipped name; a platform DEST may have one of its own")
    one.add_argument("--mapping", type=Path, metavar="CSV", help="values for {{ variables }}, by subject.label")
    one.add_argument("--session-level-profile", action="store_true", help="mapping rows by subject and session")
    one.add_argument(
        "--reports", type=Path, metavar="DIR", help="audit.csv, files.csv, summary.json (default DEST-report)"
    )
    one.add_argument("--audit-originals", action="store_true", help="fill the 'before' column: identifiers, in clear")
    one.add_argument("--exists", choices=("skip", "replace", "fail"), default="skip", help="when DEST has the file")
    one.add_argument("--verify", choices=("strict", "report", "off"), default="strict", help="checks before release")
    one.add_argument("--labels", choices=("rules", "keep"), default="rules", help="folder names at DEST")
    one.add_argument(
        "--workers", type=_count, default=os.cpu_count() or 1, metavar="N", help="processes (default: cores)"
    )
    one.add_argument("--key-file", type=Path, metavar="F", help="the secret behind pseudonyms and jitter")
    one.add_argument("--dry-run", action="store_true", help="everything but writing; the reports are written")
    one.add_argument("--quiet", action="store_true", help="no progress")
    one.set_defaults(command=_run)


def _add_preview(commands: Commands[argparse.ArgumentParser]) -> None:
    one = commands.add_parser("preview", help="show before and after per element; writes no image")
    one.add_argument("paths", nargs="+", metavar="PATH", type=Path)
    one.add_argument("--profile", required=True, metavar="P", help="path of a profile, or the name of a shipped one")
    one.add_argument("--csv", type=Path, metavar="F", help="two rows per file, as 'fw deid test' writes them")
    one.add_argument("--key-file", type=Path, metavar="F", help="the secret behind pseudonyms and jitter")
    one.set_defaults(command=_preview)


def _add_profile(commands: Commands[argparse.ArgumentParser]) -> None:
    group = commands.add_parser("profile", help="make, check and list profiles")
    subcommands = group.add_subparsers(required=True, metavar="COMMAND")
    one = subcommands.add_parser("new", help="write the commented starter template")
    one.add_argument("file", metavar="FILE", type=Path)
    one.set_defaults(command=_profile_new)
    one = subcommands.add_parser("check", help="show every problem at once")
    one.add_argument("files", metavar="FILE", nargs="+")
    one.add_argument("--format", choices=("text", "json"), default="text")
    one.add_argument("--strict", action="store_true", help="warnings fail, too")
    one.set_defaults(command=_profile_check)
    one = subcommands.add_parser("list", help="the shipped profiles")
    one.set_defaults(command=_profile_list)
    one = subcommands.add_parser(
        "show", help="the profile that a project of a platform gets: its own, its group's, the site's"
    )
    one.add_argument("project", metavar="fw://GROUP/PROJECT")
    one.set_defaults(command=_profile_show)
    one = subcommands.add_parser("put", help="check a profile and store it in a project's settings")
    one.add_argument("file", metavar="FILE", type=Path)
    one.add_argument("project", metavar="fw://GROUP/PROJECT")
    one.set_defaults(command=_profile_put)


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError("must be a whole number from 1")
    return int(text)


def _run(arguments: argparse.Namespace) -> int:
    """De-identify SOURCE into DEST by a profile and report every change."""
    reports = arguments.reports or _default_reports(arguments.dest)
    _check_folders(arguments.source, arguments.dest, reports)
    ends = places.Ends.find(arguments.source, arguments.dest)
    planned = _planned(arguments.profile, ends.destination)
    source = ends.source(detail_of(planned))
    items = list(source.items())
    book = book_for(planned, arguments.mapping, source.containers(), by_session=arguments.session_level_profile)
    job = Job(
        source=source,
        sink=ends.sink(),
        items=items,
        profiles=book,
        keyring=_keyring(arguments.key_file, reports),
        reports=reports,
        ledger=reports,
        exists=arguments.exists,
        verify=arguments.verify,
        labels=arguments.labels,
        workers=arguments.workers,
        originals=arguments.audit_originals,
        dry_run=arguments.dry_run,
        quiet=arguments.quiet,
        facts={"profile_source": planned.level},
    )
    if not arguments.quiet:
        for warning in planned.profile.warnings:
            _say(show(planned.file, warning))
    code = run(job)
    if not arguments.quiet:
        _tell(reports)
    return code


def _default_reports(dest: str) -> Path:
    """Return ``DEST-report``, for a platform in the working directory."""
    if places.on_platform(dest):
        return Path(dest.rstrip("/").rpartition("/")[2] + "-report")
    path = Path(dest)
    if path.name in ("", ".."):
        path = path.resolve()
    return path.with_name(path.name + "-report") if path.name else path


def _planned(name: str | None, destination: places.PlatformPlace | None) -> PlannedProfile:
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
    print(f"profile: {planned.profile.name}, from the {found.level}'s settings", file=sys.stderr)
    return planned


def _check_folders(source_text: str, dest_text: str, reports: Path) -> None:
    """Refuse a source that does not exist, and folders that lie in one another."""
    folders = {"DEST": dest_text, "SOURCE": source_text}
    local = {name: Path(text) for name, text in folders.items() if not places.on_platform(text)}
    source, dest = local.get("SOURCE"), local.get("DEST")
    if source is not None and not source.exists():
        raise UsageError(f"{source}: no such file or folder")
    if dest is not None and dest.exists() and not dest.is_dir():
        raise UsageError(f"{dest}: DEST must be a folder")
    if source is not None and dest is not None:
        inner, outer = source.resolve(), dest.resolve()
        if outer.is_relative_to(inner) or inner.is_relative_to(outer):
            raise UsageError("SOURCE and DEST lie in one another; choose a DEST elsewhere")
    told = reports.resolve()
    if dest is not None and told.is_relative_to(dest.resolve()):
        raise UsageError("the reports lie inside DEST; they are not for those who receive it: choose another --reports")
    if source is not None and told.is_relative_to(source.resolve()):
        raise UsageError("the reports lie inside SOURCE, which is never written to; choose another --reports")
    for folder in (dest, reports):
        if folder is None:
            continue
        parent = next(path for path in (folder, *folder.resolve().parents) if path.exists())
        if not os.access(parent, os.W_OK | os.X_OK):
            raise UsageError(f"{folder}: no permission to write there")


def _keyring(key_file: Path | None, reports: Path) -> keys.Keyring:
    """Return the given key, or the one that stays with the reports so that reruns agree."""
    if key_file is not None:
        return keys.load(key_file)
    reports.mkdir(parents=True, exist_ok=True)
    own = reports / "secret.key"
    if not own.exists():
        keys.generate(own)
    return keys.load(own)


def _tell(reports: Path) -> None:
    summary = json.loads((reports / "summary.json").read_text(encoding="utf-8"))
    states = ", ".join(f"{count} {state}" for state, count in summary["states"].items()) or "no files"
    _say(f"{states}; {summary['totals'].get('changes', 0)} changes; reports in {reports}")
    if summary["rules_without_a_match"]:
        count = len(summary["rules_without_a_match"])
        _say(f"note: {count} rules found nothing in any file; summary.json names them")


def _say(text: str) -> None:
    """Tell how a run goes; that nobody listens any more does not stop it or change its exit code."""
    try:
        print(text, file=sys.stderr)
    except OSError:
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115, PTH123 -- as above


def _preview(arguments: argparse.Namespace) -> int:
    profile = store.load(arguments.profile)
    keyring = keys.load(arguments.key_file) if arguments.key_file else keys.Keyring(os.urandom(keys.SECRET_BYTES))
    return SOME_REFUSED if preview.preview(arguments.paths, profile, keyring, arguments.csv) else OK


def _profile_new(arguments: argparse.Namespace) -> int:
    path: Path = arguments.file
    if path.suffix not in (".yaml", ".yml"):
        raise UsageError(f"{path}: a profile's name ends in .yaml or .yml")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"{path}: its folder cannot be made ({error.strerror})") from None
    try:
        with path.open("x", encoding="utf-8") as stream:
            stream.write(store.shipped()["starter"].read_text(encoding="utf-8"))
    except FileExistsError:
        raise UsageError(f"{path}: exists already; nothing was written") from None
    except OSError as error:
        raise UsageError(f"{path}: cannot be written ({error.strerror})") from None
    print("Sample template successfully created")
    return OK


def _profile_check(arguments: argparse.Namespace) -> int:
    found = []
    for name in arguments.files:
        path = Path(name) if Path(name).exists() or name not in store.shipped() else store.shipped()[name]
        try:
            problems = parse_profile(store.read_text(path), path.name).warnings
        except ProfileError as error:
            problems = error.problems
        found += [(name, problem) for problem in problems]
    if arguments.format == "json":
        listed = [{"file": name} | asdict(problem) for name, problem in found]
        print(json.dumps(listed, indent=2, ensure_ascii=False))
    else:
        for name, problem in found:
            print(show(name, problem))
    errors = sum(problem.severity == "error" for _, problem in found)
    if arguments.format == "text":
        print(f"{errors} errors, {len(found) - errors} warnings in {len(arguments.files)} profiles")
    return USAGE if errors or (arguments.strict and found) else OK


def _profile_list(arguments: argparse.Namespace) -> int:
    for name, path in store.shipped().items():
        print(f"{name:24} {store.headline(path)}")
    return OK


def _profile_show(arguments: argparse.Namespace) -> int:
    place = places.find(arguments.project)
    found = place.profile()
    if found is None:
        print("none: neither the project, its group nor the site has a de-id profile", file=sys.stderr)
        return SOME_REFUSED
    print(f"# from the {found.level}'s settings", file=sys.stderr)
    print(found.text)
    parse_profile(found.text, f"{found.level}-settings")
    return OK


def _profile_put(arguments: argparse.Namespace) -> int:
    text = store.read_text(arguments.file)
    parse_profile(text, arguments.file.name)
    place = places.find(arguments.project)
    if place.level != "project":
        raise UsageError("a profile is stored in a project: fw://GROUP/PROJECT")
    place.put_profile(plain_values(text))
    print("stored in the project's settings; it goes before the group's and the site's")
    return OK


def _keygen(arguments: argparse.Namespace) -> int:
    keys.generate(arguments.file)
    print(f"{arguments.file}: a fresh secret; whoever has it can undo pseudonyms by guessing, so keep it apart")
    return OK


def _sample(arguments: argparse.Namespace) -> int:
    planted = make_sample(arguments.folder, arguments.subjects)
    files = len({one.path for one in planted if one.place != "folder name"})
    print(f"{arguments.folder}: {arguments.subjects} subjects, {len(planted)} planted identifiers in {files} files")
    return OK
