"""A name below a folder → where it truly lies."""

from __future__ import annotations

import os
import stat

_LINKS = stat.FILE_ATTRIBUTE_REPARSE_POINT  # Windows has other kinds of them


def below(top: str, name: str) -> str:
    """Return the real path of something below a folder, by looks at what is below it: most often nothing is a link.

    Parameters
    ----------
    top : str
        Real path of the folder.
    name : str
        Relative path, with ``/``.

    Raises
    ------
    OSError
        It is gone.
    """
    here = top
    for part in name.split("/"):
        here = os.path.join(here, part)  # noqa: PTH118 -- asked several times per file
        status = os.lstat(here)
        if stat.S_ISLNK(status.st_mode) or getattr(status, "st_file_attributes", 0) & _LINKS:
            return os.path.realpath(os.path.join(top, name))  # noqa: PTH118
    return here
