"""``keygen FILE``."""

from __future__ import annotations

import argparse
from pathlib import Path

from fw_gear_deid import keys
from fw_gear_deid.model.cells import shown


def fill(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("file", metavar="FILE", type=Path)
    parser.set_defaults(command=keygen)


def keygen(arguments: argparse.Namespace) -> int:
    """Write a fresh secret."""
    keys.generate(arguments.file)
    name = shown(str(arguments.file))
    print(f"{name}: a fresh secret; whoever has it can undo pseudonyms by guessing, so keep it apart")
    return 0
