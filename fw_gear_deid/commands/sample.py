"""``sample DIR``, and ``sample DIR --check DEST``."""

from __future__ import annotations

import argparse
from pathlib import Path

from fw_gear_deid.model.cells import shown
from fw_gear_deid.options import count
from fw_gear_deid.sample import make_sample, survivors


def fill(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("folder", metavar="DIR", type=Path)
    parser.add_argument("--subjects", type=count, default=3, metavar="N", help="how many (default 3)")
    parser.add_argument(
        "--check", type=Path, metavar="DEST", help="make nothing; count what of a sample's identifiers survives at DEST"
    )
    parser.set_defaults(command=sample)


def sample(arguments: argparse.Namespace) -> int:
    """Make a small made-up project, or count how many of its planted identifiers are in another folder."""
    if arguments.check is not None:
        return _check(arguments.folder, arguments.check)
    planted = make_sample(arguments.folder, arguments.subjects)
    listed = survivors.write_list(arguments.folder, planted)
    files = len({one.path for one in planted if one.place != "folder name"})
    name = shown(str(arguments.folder))
    print(f"{name}: {arguments.subjects} subjects, {len(planted)} planted identifiers in {files} files")
    print(f"{shown(str(listed))}: which they are and where")
    return 0


def _check(folder: Path, dest: Path) -> int:
    """Print what survives, by kind; all of it is made up, so it may be shown."""
    planted = survivors.read_list(folder)
    found = survivors.survivors(planted, dest)
    total = len({one.value for one in planted})
    print(f"{shown(str(dest))}: {len(found)} of {total} planted identifiers survive")
    for kind in dict.fromkeys(one.kind for one in found):
        kin = [one for one in found if one.kind == kind]
        files = {file for one in kin for file in one.files}
        many = "1 file" if len(files) == 1 else f"{len(files)} files"
        print(f"  {kind}: {len(kin)} in {many}, such as {kin[0].value} in {shown(kin[0].files[0])}")
    return 1 if found else 0
