"""``keygen FILE``."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from fw_gear_deid import keys
from fw_gear_deid.model.cells import shown

if TYPE_CHECKING:
    from fw_gear_deid.commands import Commands


def add(commands: Commands[argparse.ArgumentParser]) -> None:
    """Add the parser."""
    one = commands.add_parser("keygen", help="write a fresh secret, mode 0600")
    one.add_argument("file", metavar="FILE", type=Path)
    one.set_defaults(command=keygen)


def keygen(arguments: argparse.Namespace) -> int:
    """Write a fresh secret."""
    keys.generate(arguments.file)
    name = shown(str(arguments.file))
    print(f"{name}: a fresh secret; whoever has it can undo pseudonyms by guessing, so keep it apart")
    return 0
