"""``sample DIR``."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from fw_gear_deid.model.cells import shown
from fw_gear_deid.options import count
from fw_gear_deid.sample import make_sample

if TYPE_CHECKING:
    from fw_gear_deid.commands import Commands


def add(commands: Commands[argparse.ArgumentParser]) -> None:
    """Add the parser."""
    one = commands.add_parser("sample", help="make a small made-up project with planted identifiers")
    one.add_argument("folder", metavar="DIR", type=Path)
    one.add_argument("--subjects", type=count, default=3, metavar="N", help="how many (default 3)")
    one.set_defaults(command=sample)


def sample(arguments: argparse.Namespace) -> int:
    """Make a small made-up project."""
    planted = make_sample(arguments.folder, arguments.subjects)
    files = len({one.path for one in planted if one.place != "folder name"})
    name = shown(str(arguments.folder))
    print(f"{name}: {arguments.subjects} subjects, {len(planted)} planted identifiers in {files} files")
    return 0
