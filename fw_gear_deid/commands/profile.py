"""``profile new | check | coverage | suggest | list | show | put``."""

from __future__ import annotations

import argparse
import sys
from dataclasses import asdict
from pathlib import Path

from fw_gear_deid.model.cells import shown, to_json
from fw_gear_deid.model.errors import UsageError
from fw_gear_deid.model.locks import OPTIONS as KEYS
from fw_gear_deid.profile import store
from fw_gear_deid.profile.language import requires
from fw_gear_deid.profile.parse import parse_profile
from fw_gear_deid.profile.text.problems import ProfileError, show
from fw_gear_deid.profile.text.wrapped import plain_values
from fw_gear_deid.profile.values.variables import read_template
from fw_gear_deid.stores import places

OK, SOME_REFUSED, USAGE = 0, 1, 2


def fill(parser: argparse.ArgumentParser) -> None:
    """Add the parsers of its own commands."""
    subcommands = parser.add_subparsers(required=True, metavar="COMMAND")
    one = subcommands.add_parser("new", help="write the commented starter template")
    one.add_argument("file", metavar="FILE", type=Path)
    one.set_defaults(command=_new)
    one = subcommands.add_parser("check", help="show every problem at once")
    one.add_argument("files", metavar="FILE", nargs="+")
    one.add_argument("--format", choices=("text", "json"), default="text")
    one.add_argument("--strict", action="store_true", help="warnings fail, too")
    one.set_defaults(command=_check)
    one = subcommands.add_parser("coverage", help="what it does to each attribute of PS3.15 Table E.1-1, and leaves")
    one.add_argument("file", metavar="FILE")
    one.add_argument("--against", metavar="basic,OPTION,...", help="the standard's options that it is held against")
    one.add_argument("--format", choices=("text", "csv"), default="text")
    one.add_argument("--strict", action="store_true", help="gaps fail")
    one.set_defaults(command=_coverage)
    one = subcommands.add_parser("suggest", help="the smallest addition that closes what coverage or a run found")
    one.add_argument("file", metavar="FILE|REPORTS", help="a profile, or the reports of a run")
    one.add_argument("--against", metavar="basic,OPTION,...", help="as for coverage")
    one.add_argument("--category", metavar="WORD,...", help="close these gaps alone, such as people,dates")
    one.add_argument("--entries", action="store_true", help="with entries, also where ps3-15 would be shorter")
    one.set_defaults(command=_suggest)
    one = subcommands.add_parser("list", help="the shipped profiles")
    one.set_defaults(command=_list)
    one = subcommands.add_parser(
        "show", help="the profile that a project of a platform gets: its own, its group's, the site's"
    )
    one.add_argument("place", metavar="fw://[GROUP[/PROJECT]]")
    one.set_defaults(command=_show)
    one = subcommands.add_parser("put", help="check a profile and store it in the settings of a project, group or site")
    one.add_argument("file", metavar="FILE", type=Path)
    one.add_argument("place", metavar="fw://[GROUP[/PROJECT]]")
    one.set_defaults(command=_put)


def _new(arguments: argparse.Namespace) -> int:
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


def _check(arguments: argparse.Namespace) -> int:
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
        print(to_json(listed))
    else:
        for name, problem in found:
            print(shown(show(name, problem)))
    errors = sum(problem.severity == "error" for _, problem in found)
    if arguments.format == "text":
        print(f"{errors} errors, {len(found) - errors} warnings in {len(arguments.files)} profiles")
    return USAGE if errors or (arguments.strict and found) else OK


def _coverage(arguments: argparse.Namespace) -> int:
    from fw_gear_deid.commands import coverage

    return coverage.show(arguments)


def _suggest(arguments: argparse.Namespace) -> int:
    from fw_gear_deid.commands import coverage

    return coverage.suggest_command(arguments)


def _list(arguments: argparse.Namespace) -> int:
    for name, path in store.shipped().items():
        print(f"{name:24} {store.headline(path)}")
    return OK


def _show(arguments: argparse.Namespace) -> int:
    place = places.find_settings(arguments.place)
    found = place.profile()
    if found is None:
        who = {"project": "neither the project, its group nor the site", "group": "neither the group nor the site"}
        print(f"none: {who.get(place.level, 'no site')} has a de-id profile", file=sys.stderr)
        return SOME_REFUSED
    print(f"# from the {found.level}'s settings", file=sys.stderr)
    print(found.text)
    parse_profile(found.text, f"{found.level}-settings")
    return OK


def _put(arguments: argparse.Namespace) -> int:
    text = store.read_text(arguments.file)
    for warning in parse_profile(text, arguments.file.name).warnings:
        if warning.where in KEYS:
            print(shown(show(arguments.file.name, warning)), file=sys.stderr)
    place = places.find_settings(arguments.place)
    values = plain_values(text)
    if requires.add(values, read_template(text, arguments.file.name)):
        print(f"added '- {requires.KEY}: {requires.OURS}', for what it says is known to this program only")
    parse_profile(to_json(values), arguments.file.name)  # what is stored means what was checked
    place.put_profile(values)
    said = {
        "project": "it goes before the group's and the site's",
        "group": "it holds for projects that have none of their own, before the site's",
        "site": "it holds for projects that have none of their own or of their group",
    }
    print(f"stored in the {place.level}'s settings; {said[place.level]}")
    return OK
