"""``preview PATH... --profile P``."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

from fw_gear_deid import keys, locks, options, preview
from fw_gear_deid.profile import store
from fw_gear_deid.runner.setup import PlannedProfile, book_for


def fill(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("paths", nargs="+", metavar="PATH", type=Path)
    parser.add_argument("--profile", required=True, metavar="P", help="path of a profile, or the name of a shipped one")
    parser.add_argument("--csv", type=Path, metavar="F", help="two rows per file, as 'fw deid test' writes them")
    parser.add_argument("--pictures", type=Path, metavar="DIR", help="a PNG of each masked file's first masked frame")
    options.add(
        parser, "mapping", "session_level_profile", "allow_shared_ids", "include", "exclude", "limit", "key_file",
        "secret_key", "public_key", "private_key",
    )  # fmt: skip
    parser.set_defaults(command=show)


def show(arguments: argparse.Namespace) -> int:
    """Print every change."""
    path = store.path_of(arguments.profile)
    planned = PlannedProfile.read(store.read_text(path), path.name, "input")
    places = [preview.Place.read(one) for one in arguments.paths]
    book = book_for(
        planned,
        arguments.mapping,
        [branch for place in places for branch in place.branches],
        by_session=arguments.session_level_profile,
        allow_shared=arguments.allow_shared_ids,
        given=dict(arguments.limit or ()),
    )
    keyring = keys.of_run(arguments.key_file) if arguments.key_file else keys.passing()
    given = locks.given(arguments.secret_key, arguments.public_key or (), arguments.private_key)
    keyring = replace(keyring, locks=locks.gather(planned, given))
    include, exclude = tuple(arguments.include or ()), tuple(arguments.exclude or ())
    asked = preview.Asked(places, arguments.csv, arguments.pictures, include, exclude, dict(arguments.limit or ()))
    return 1 if preview.preview(asked, book, keyring) else 0
