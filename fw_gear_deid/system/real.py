"""A name below a folder → where it truly lies."""

from __future__ import annotations

import os
import stat

_LINKS = stat.FILE_ATTRIBUTE_REPARSE_POINT  # Windows has other kinds of them


def below(folder: str, name: str) -> str:
    """Return the real path of something below a folder, by looks at what is below it: most often nothing is a link.

    Parameters
    ----------
    folder : str
        Its real path, with a separator at its end.
    name : str
        Relative path, with ``/``.

    Raises
    ------
    OSError
        It is gone.
    """
    here = folder
    for part in name.split("/"):
        here += part
        status = os.lstat(here)
        if stat.S_ISLNK(status.st_mode) or getattr(status, "st_file_attributes", 0) & _LINKS:
            return os.path.realpath(folder + name)
        here += os.sep
    return here[: -len(os.sep)]
