"""Members → bytes of a ZIP archive as sites have them: comments, folders, file managers' litter."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from io import BytesIO

from fw_gear_deid.sample.canaries import Part, in_text

_MADE = (2021, 3, 5, 8, 0, 0)  # a fixed time stamp, so that every sample is the same


def pack(members: Mapping[str, Part], compression: int, *, comment: str = "", entry: str = "") -> Part:
    """Pack members in their order.

    Parameters
    ----------
    members : mapping of str to Part
        By path in the archive.
    compression : int
        ``zipfile.ZIP_DEFLATED`` or ``zipfile.ZIP_STORED``.
    comment, entry : str
        Comments of the archive and of its first member.
    """
    stream = BytesIO()
    planted: list[tuple[str, str]] = []
    with zipfile.ZipFile(stream, "w") as archive:
        archive.comment = comment.encode()
        for index, (name, part) in enumerate(members.items()):
            info = zipfile.ZipInfo(name, date_time=_MADE)
            info.compress_type = compression
            info.create_system = 3  # Unix, wherever this runs
            info.external_attr = 0o644 << 16
            info.comment = b"" if index else entry.encode()
            archive.writestr(info, part.data)
            planted += [(f"{name}: name", value) for value in in_text(name)]
            planted += [(f"{name}: comment", value) for value in in_text(info.comment)]
            planted += [(f"{name}: {place}", value) for place, value in part.planted]
    planted += [("zip comment", value) for value in in_text(comment)]
    return Part(stream.getvalue(), tuple(planted))
