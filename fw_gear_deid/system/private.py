"""Files and folders that only their owner may read, from the moment they are made."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from pathlib import Path

FILE, FOLDER = 0o600, 0o700
_NEW = os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)


def create(path: Path, mode: int = FILE) -> int:
    """Make a file that was not there and return its descriptor, for reading and writing.

    Raises
    ------
    FileExistsError
        Something stands there, be it a link that leads nowhere.
    OSError
    """
    return os.open(path, os.O_RDWR | _NEW, mode)


def create_anew(path: Path, mode: int = FILE) -> int:
    """Make a file in place of one that a killed run left; what stands there is removed, never written through.

    Raises
    ------
    OSError
    """
    try:
        return create(path, mode)
    except FileExistsError:
        path.unlink(missing_ok=True)
        return create(path, mode)


def ensure(path: Path) -> None:
    """Make a file unless it is there; one that others may read is closed to them where that is possible.

    Raises
    ------
    OSError
        A link or something else stands in its place, or it cannot be made.
    """
    try:
        os.close(create(path))
    except FileExistsError:
        status = path.lstat()
        if not stat.S_ISREG(status.st_mode):
            raise OSError(errno.ELOOP, "a link or something else stands in the place of a file of its own") from None
        if status.st_mode & 0o077:
            with contextlib.suppress(OSError):  # refused where all files of a mount have one mode
                path.chmod(FILE)


def make_folder(path: Path) -> None:
    """Make a private folder unless it is there; those above it get the usual mode.

    Raises
    ------
    OSError
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    path.mkdir(mode=FOLDER, exist_ok=True)
