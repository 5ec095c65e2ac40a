"""``run SOURCE DEST --profile P``: the main job."""

from __future__ import annotations

import argparse

from fw_gear_deid import api, options
from fw_gear_deid.api import say


def fill(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.description = run.__doc__
    parser.add_argument(
        "source", metavar="SOURCE", help="a folder, one file, or fw://GROUP/PROJECT...; never written to"
    )
    parser.add_argument(
        "dest", metavar="DEST", help="receives SUBJECT/SESSION/ACQUISITION/FILE: a folder, or fw://GROUP/PROJECT"
    )
    options.add(parser)
    parser.set_defaults(command=run)


def run(arguments: argparse.Namespace) -> int:
    """De-identify SOURCE into DEST by a profile and report every change."""
    asked = options.read(arguments)
    return api.carry_out(asked, say).code
