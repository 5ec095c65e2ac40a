"""``run SOURCE DEST --profile P``: the main job."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from fw_gear_deid import api, options
from fw_gear_deid.api import say

if TYPE_CHECKING:
    from fw_gear_deid.commands import Commands


def add(commands: Commands[argparse.ArgumentParser]) -> None:
    """Add the parser."""
    one = commands.add_parser("run", help="de-identify a folder into another", description=run.__doc__)
    one.add_argument("source", metavar="SOURCE", help="a folder, one file, or fw://GROUP/PROJECT...; never written to")
    one.add_argument(
        "dest", metavar="DEST", help="receives SUBJECT/SESSION/ACQUISITION/FILE: a folder, or fw://GROUP/PROJECT"
    )
    options.add(one)
    one.set_defaults(command=run)


def run(arguments: argparse.Namespace) -> int:
    """De-identify SOURCE into DEST by a profile and report every change."""
    asked = options.read(arguments)
    return api.carry_out(asked, say).code
