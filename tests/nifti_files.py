"""Small NIfTI files, made with nibabel's headers."""

from __future__ import annotations

import gzip
import io
import struct
from typing import Any

from nibabel.nifti1 import Nifti1Header
from nibabel.nifti2 import Nifti2Header

DATA = struct.pack("<8h", *range(100, 108))


def volume(
    *ext: tuple[int, bytes], version: int = 1, order: str = "<", data: bytes = DATA, gap: bytes = b"", **fields: Any
) -> bytes:
    """Return a file of two by two by two voxels; ``fields`` of its header may be otherwise."""
    header = (Nifti1Header if version == 1 else Nifti2Header)(endianness=order)
    header.set_data_shape((2, 2, 2))
    header.set_data_dtype("i2")
    blocks = b""
    for code, content in ext:
        size = -(-(len(content) + 8) // 16) * 16
        blocks += struct.pack(f"{order}ii", size, code) + content.ljust(size - 8, b"\0")
    begin = len(header.binaryblock) + 4
    for name, value in {
        "magic": f"n+{version}",
        "vox_offset": begin + len(blocks + gap),
        "scl_slope": 1,
        **fields,
    }.items():
        header[name] = value
    return bytes(header.binaryblock) + bytes([bool(ext), 0, 0, 0]) + blocks + gap + data


def put(data: bytes, at: int, new: bytes) -> bytes:
    """Return bytes with others in some place."""
    return data[:at] + new + data[at + len(new) :]


def zipped(data: bytes, name: str = "", time: float = 1614852672) -> bytes:
    """Return a gzip file that tells a name and a time."""
    stream = io.BytesIO()
    with gzip.GzipFile(name, "wb", 6, stream, time) as out:
        out.write(data)
    return stream.getvalue()
