"""Bytes and names → the disk, as far as its file system can."""

from __future__ import annotations

import errno
import os
from pathlib import Path

_UNKNOWN = frozenset({errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS})
# CIFS, drvfs and FUSE answer these for a folder; Windows opens none
_NO_FOLDERS = _UNKNOWN | {errno.EIO, errno.EBADF, errno.EACCES, errno.EPERM, errno.EISDIR}


def sync_file(path: Path) -> None:
    """Bring a file's bytes to the disk.

    Raises
    ------
    OSError
        They did not get there.
    """
    handle = os.open(path, os.O_RDWR)
    try:
        sync_handle(handle)
    finally:
        os.close(handle)


def sync_handle(handle: int) -> None:
    """Bring the bytes of a file that is open for writing to the disk.

    Raises
    ------
    OSError
        They did not get there.
    """
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in _UNKNOWN:
            raise


def sync_folder(path: Path) -> None:
    """Bring the names in a folder to the disk; a file system that cannot is let pass: the files are there.

    Raises
    ------
    OSError
        Something else is wrong.
    """
    try:
        handle = os.open(path, os.O_RDONLY)
    except OSError as error:
        if error.errno not in _NO_FOLDERS:
            raise
        return
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in _NO_FOLDERS:
            raise
    finally:
        os.close(handle)
