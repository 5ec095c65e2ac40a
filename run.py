#!/usr/bin/env python3
"""Gear entry: arguments go to the command line; none, and the gear of this folder runs."""

import sys


def main() -> int:
    """Carry out the command line, or the gear of this folder; return its exit code."""
    if sys.argv[1:]:
        from fw_gear_deid.__main__ import entry

        entry()
    from fw_gear_deid.model.errors import UsageError

    try:
        from fw_gear_deid.main import main as gear
    except UsageError as error:  # a package that only a platform needs is missing
        sys.stderr.write(f"fw-gear-deid: {error}\n")
        return 2
    except KeyboardInterrupt:
        return 130
    code = gear()
    if code == 130:
        from fw_gear_deid.runner import signals

        signals.ignore()  # once more on the way out would be told with a traceback
    return code


if __name__ == "__main__":
    sys.exit(main())
