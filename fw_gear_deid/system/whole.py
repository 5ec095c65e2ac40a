"""A text file that is there whole or not at all, however its writing ends."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from fw_gear_deid.system import private
from fw_gear_deid.system.sync import sync_handle


@contextmanager
def written(path: Path, partial: Path | None = None, mode: int = private.FILE) -> Iterator[IO[str]]:
    """Open a file for writing beside its place; it takes that place when the block ends well.

    Parameters
    ----------
    path : Path
    partial : Path, optional
        What it is called until then: ``PATH.partial``.
    mode : int
        Of the file, from the moment it is made.

    Raises
    ------
    OSError
        It is not there; what stood in its place stands as before.
    """
    beside = partial or path.with_name(path.name + ".partial")
    handle = private.create_anew(beside, mode)
    try:
        # names of files may be no text
        with os.fdopen(handle, "w", encoding="utf-8", errors="backslashreplace", newline="") as stream:
            yield stream
            stream.flush()
            sync_handle(stream.fileno())
        beside.replace(path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
