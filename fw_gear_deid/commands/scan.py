"""``scan PATH|fw://...``: look for identifiers in what is stored already."""

from __future__ import annotations

import argparse
from pathlib import Path

from fw_gear_deid import options

DONE, FOUND = 0, 1


def fill(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.description = scan.__doc__
    parser.add_argument("source", metavar="SOURCE", help="a folder, one file, or fw://GROUP/PROJECT...; only ever read")
    parser.add_argument("--out", type=Path, metavar="DIR", help="folder for the tables (default: SOURCE-scan)")
    parser.add_argument("--values", action="store_true", help="write the values, too: the tables then hold identifiers")
    options.add(parser, "include", "exclude", "only", "limit", "workers", "quiet")
    parser.set_defaults(command=scan)


def scan(arguments: argparse.Namespace) -> int:
    """Look at every file of SOURCE for what tells whose it is, and write tables of it; values are hidden.

    Looked at are names and ids in DICOM elements at every depth and in fields of other formats, what they say in other
    places, texts with dates, telephone numbers and names, private elements, names of files and members, metadata of a
    platform, and what may be drawn into pixels. Exit code 1: something was found, or not looked at.
    """
    from fw_gear_deid.scan import run
    from fw_gear_deid.scan.findings import KINDS
    from fw_gear_deid.stores import places
    from fw_gear_deid.system.cores import usable_cores

    text = arguments.source
    out = arguments.out or Path(f"{text.rstrip('/')}-scan" if not places.on_platform(text) else "scan")
    places.check_folders(text, str(out), {}, "--out")
    source = places.told_of(text)
    asked = run.Asked(
        source, text, out, arguments.values, arguments.workers or usable_cores(), tuple(arguments.include or ()),
        tuple(arguments.exclude or ()), tuple(arguments.only or ()), dict(arguments.limit or ()), bool(arguments.quiet),
    )  # fmt: skip
    counts = run.scan(asked)
    print(f"{counts['files']} files looked at, {counts['instances']} DICOM instances in them; tables in {out}")
    for kind, meaning in KINDS.items():
        if counts[kind]:
            print(f"  {kind:<11}{counts[kind]:>7}  {meaning}")
    if not counts["with findings"]:
        print("  nothing found; pixels were not read")
    return FOUND if counts["with findings"] else DONE
