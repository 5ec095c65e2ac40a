"""Command line → exit code (interfaces §1)."""

from __future__ import annotations

import argparse
import gc
import os
import sys
from collections.abc import Sequence

from fw_gear_deid import __version__
from fw_gear_deid.commands import COMMANDS, fill
from fw_gear_deid.model.cells import shown
from fw_gear_deid.model.errors import DeidError, UsageError, place_of

OK, SOME_REFUSED, USAGE, INTERRUPTED = 0, 1, 2, 130


def main(argv: Sequence[str] | None = None) -> int:
    """Carry out one command.

    Returns
    -------
    int
        0 done · 1 something refused or failed · 2 wrong usage, profile or configuration · 130 interrupted.
    """
    words = sys.argv[1:] if argv is None else argv
    asked = next((word for word in words if not word.startswith("-")), "")
    try:
        arguments = parser(asked).parse_args(words)
        code: int = arguments.command(arguments)
    except UsageError as error:
        return _tell(_ours(error), USAGE)
    except DeidError as error:
        return _tell(_ours(error), SOME_REFUSED)
    except KeyboardInterrupt:
        return _tell(["fw-gear-deid: interrupted"], INTERRUPTED)
    except BrokenPipeError:
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115, PTH123 -- the reader of our output went away
        return OK
    except Exception as error:  # noqa: BLE001 -- the outer boundary: no text of an exception leaves, it may quote a value
        return _tell(
            [f"fw-gear-deid: unexpected {type(error).__name__} in {place_of(error)}; please report it"], SOME_REFUSED
        )
    return code


def entry() -> None:
    """End the process with the exit code of a command."""
    code = main()
    if code == INTERRUPTED:
        from fw_gear_deid.runner import signals

        signals.ignore()  # once more on the way out would be told with a traceback
    gc.freeze()  # what is left ends with the process, and is not looked through before
    sys.exit(code)


def _ours(error: DeidError) -> list[str]:
    first, *more = error.lines or ("",)
    return [first if error.named else f"fw-gear-deid: {first}", *more]


def _tell(lines: Sequence[str], code: int) -> int:
    """Say why a command ended; that nobody listens does not change its exit code."""
    try:
        print("\n".join(shown(line) for line in lines), file=sys.stderr)
    except OSError:
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115, PTH123
    return code


def parser(command: str = "") -> argparse.ArgumentParser:
    """Return the parser of all commands, with the arguments of the one that is asked for."""
    top = argparse.ArgumentParser(prog="fw-gear-deid", description="De-identify stored imaging files by a profile.")
    top.add_argument("--version", action="version", version=f"fw-gear-deid {__version__}")
    commands = top.add_subparsers(required=True, metavar="COMMAND")
    for name, line in COMMANDS.items():
        one = commands.add_parser(name, help=line)
        if name == command:
            fill(one, name)
    return top
