"""The commands of the command line: one file each, one line here.

A command's file is imported when it is asked for, so that none waits for what only another needs.
"""

from __future__ import annotations

import gc
from argparse import ArgumentParser
from importlib import import_module

COMMANDS = {
    "run": "de-identify a folder into another",
    "preview": "show before and after per element; writes no image",
    "profile": "make, check and list profiles",
    "log": "look into the de-id log, re-identify, erase",
    "scan": "look for identifiers in what is stored already",
    "keygen": "write a fresh secret, mode 0600",
    "sample": "make a small made-up project with planted identifiers",
}
"""Name, which is that of its file, and line of the help."""


def fill(parser: ArgumentParser, name: str) -> None:
    """Give a parser the arguments of a command; its default ``command`` takes them and returns the exit code."""
    gc.disable()  # modules are no garbage: to look for some among them takes as long as importing a dozen more
    module = import_module(f"{__name__}.{name}")
    gc.enable()
    module.fill(parser)
