"""``python -m fw_gear_deid`` is the command line, and so is the script that is installed."""

import sys


def entry() -> None:
    """Carry out the command line; who interrupts it while it is loaded gets no traceback."""
    try:
        from fw_gear_deid.cli import entry as command_line
    except KeyboardInterrupt:
        sys.exit(130)
    command_line()


if __name__ == "__main__":
    entry()
