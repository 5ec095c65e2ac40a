"""The commands of the command line: one file each, one line here."""

from __future__ import annotations

import argparse
from typing import Protocol

from fw_gear_deid.commands import keygen, preview, profile, run, sample

Commands = argparse._SubParsersAction  # the type that add_subparsers returns; argparse has no public name for it


class Command(Protocol):
    """A module of this folder."""

    def add(self, commands: Commands[argparse.ArgumentParser]) -> None:
        """Add its parser; the parser's default ``command`` takes the arguments and returns the exit code."""
        ...


COMMANDS: tuple[Command, ...] = (run, preview, profile, keygen, sample)
