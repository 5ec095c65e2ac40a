"""NIfTI headers: which field stands where, what may become of it, how long the volume is (nifti1.h, nifti2.h)."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping

from fw_gear_deid.formats.row import ALL
from fw_gear_deid.model.errors import Malformed, Unfit
from fw_gear_deid.model.frozen import frozen

_NIFTI1 = """sizeof_hdr:i data_type:10s db_name:18s extents:i session_error:h regular:1s dim_info:B dim:8h
intent_p1:f intent_p2:f intent_p3:f intent_code:h datatype:h bitpix:h slice_start:h pixdim:8f vox_offset:f scl_slope:f
scl_inter:f slice_end:h slice_code:B xyzt_units:B cal_max:f cal_min:f slice_duration:f toffset:f glmax:i glmin:i
descrip:80s aux_file:24s qform_code:h sform_code:h quatern_b:f quatern_c:f quatern_d:f qoffset_x:f qoffset_y:f
qoffset_z:f srow_x:4f srow_y:4f srow_z:4f intent_name:16s magic:4s"""
_NIFTI2 = """sizeof_hdr:i magic:4s eol_check:4b datatype:h bitpix:h dim:8q intent_p1:d intent_p2:d intent_p3:d pixdim:8d
vox_offset:q scl_slope:d scl_inter:d cal_max:d cal_min:d slice_duration:d toffset:d slice_start:q slice_end:q
descrip:80s aux_file:24s qform_code:i sform_code:i quatern_b:d quatern_c:d quatern_d:d qoffset_x:d qoffset_y:d
qoffset_z:d srow_x:4d srow_y:4d srow_z:4d slice_code:i xyzt_units:i intent_code:i intent_name:16s dim_info:B
unused_str:15s"""

TEXTS = ("descrip", "aux_file", "db_name", "intent_name", "data_type", "unused_str")
"""Fields of text; what stands behind its end belongs to nobody."""
UNUSED = "unused_str"
LOCKED = frozenset({
    "sizeof_hdr", "magic", "eol_check", "regular", "dim", "datatype", "bitpix", "pixdim", "vox_offset", "scl_slope",
    "scl_inter",
})  # fmt: skip
"""What a volume is read by: no rule changes it."""
PLACED = frozenset({
    "qform_code", "sform_code", "quatern_b", "quatern_c", "quatern_d", "qoffset_x", "qoffset_y", "qoffset_z", "srow_x",
    "srow_y", "srow_z", "xyzt_units",
})  # fmt: skip
"""Where the volume lies: other numbers may be asked for, zeros would move it."""
_BITS = {
    1: 1, 2: 8, 4: 16, 8: 32, 16: 32, 32: 64, 64: 64, 128: 24, 256: 8, 512: 16, 768: 32, 1024: 64, 1280: 64, 1536: 128,
    1792: 128, 2048: 256, 2304: 32,
}  # fmt: skip
"""Code of ``datatype`` → bits of a voxel."""


@frozen
class Slot:
    """A field of the header: where it begins, its ``struct`` format without byte order, its bytes."""

    name: str
    at: int
    form: str
    size: int


def _slots(text: str) -> dict[str, Slot]:
    found, at = {}, 0
    for one in text.split():
        name, form = one.split(":")
        found[name] = Slot(name, at, form, struct.calcsize(f"<{form}"))
        at += found[name].size
    return found


SLOTS: Mapping[int, Mapping[str, Slot]] = {1: _slots(_NIFTI1), 2: _slots(_NIFTI2)}
"""Version → name → field, in their order."""
NAMES = frozenset(SLOTS[1]) | frozenset(SLOTS[2])
LENGTH = {1: 348, 2: 540}
"""Bytes of the header; four that tell of extensions follow."""
NEEDED = 544
"""Bytes that tell a header, and whether extensions follow."""
_SMALLEST = 16  # bytes of an extension
_MOST = 1000  # extensions
_MAGIC = {b"n+1\0": 1, b"n+2\0": 2, b"ni1\0": 1, b"ni2\0": 2}
_PAIRS = (b"ni1\0", b"ni2\0")


def magic_of(head: bytes) -> bytes:
    """Return the four bytes that say NIfTI, empty where a file does not begin with its header."""
    for magic, size in ((head[344:348], 348), (head[4:8], 540)):
        known = (b"n+1\0", b"ni1\0") if size == LENGTH[1] else (b"n+2\0", b"ni2\0")
        if magic in known and (size == LENGTH[1] or head[:4] in (struct.pack("<i", size), struct.pack(">i", size))):
            return magic
    return b""


def is_analyze(head: bytes) -> bool:
    """Tell whether a file begins as Analyze 7.5 does, NIfTI's forerunner: the same header without a magic."""
    if len(head) < LENGTH[1]:
        return False
    sizes = {order: struct.unpack_from(f"{order}i30x2x4xh28xh", head) for order in "<>"}
    return any(size == LENGTH[1] and 1 <= count <= 7 and kind in (0, *_BITS) for size, count, kind in sizes.values())


def is_pair(head: bytes) -> bool:
    """Tell whether a file is the header of a volume that lies in another one."""
    return magic_of(head) in _PAIRS


class Header:
    """A header, read and checked.

    Parameters
    ----------
    head : bytes
        At least ``NEEDED`` of them, or the whole file.

    Attributes
    ----------
    version : int
        1 or 2.
    order : str
        Of ``struct``.
    is_pair : bool
        The volume lies in another file.
    begin, volume : int
        Bytes in front of the volume in the file that holds it, and of it.

    Raises
    ------
    Unfit
        It is Analyze.
    Malformed
    """

    def __init__(self, head: bytes) -> None:
        magic = magic_of(head)
        if not magic:
            if is_analyze(head):
                raise Unfit("it is Analyze 7.5 and no NIfTI: convert it")
            raise Malformed("it does not begin with the header of a NIfTI file")
        self.version, self.is_pair = _MAGIC[magic], magic in _PAIRS
        if len(head) < LENGTH[self.version] + (0 if self.is_pair else 4):
            raise Malformed("its header is cut off")
        self.head = head
        self.slots = SLOTS[self.version]
        self.order = self._order()
        self.begin = self._begin()
        self.volume = self._volume()

    def numbers(self, name: str) -> tuple[int | float, ...]:
        """Return the values of a field of numbers."""
        slot = self.slots[name]
        return struct.unpack_from(self.order + slot.form, self.head, slot.at)

    def raw(self, slot: Slot) -> bytes:
        """Return the bytes of a field."""
        return self.head[slot.at : slot.at + slot.size]

    def _order(self) -> str:
        """Return the byte order: the one in which dim says how many there are, as readers of the field tell it."""
        slot = self.slots["dim"]
        for order in "<>":
            if 1 <= struct.unpack_from(order + slot.form, self.head, slot.at)[0] <= 7:
                return order
        raise Malformed("dim says neither in one byte order nor in the other how many dimensions there are")

    def _begin(self) -> int:
        (offset,) = self.numbers("vox_offset")
        least = 0 if self.is_pair else LENGTH[self.version] + 4
        if not least <= offset < float("inf") or offset != int(offset):
            raise Malformed("vox_offset is not where a volume can begin")
        return int(offset)

    def _volume(self) -> int:
        count, *sizes = self.numbers("dim")
        shape = sizes[: int(count)]
        if shape[0] == -1 and all(size == 1 for size in shape[1:3]) and "glmin" in self.slots:
            shape[0] = self.numbers("glmin")[0]  # FreeSurfer: a row that dim has no room for
        voxels = 1
        for size in shape:
            if size < 0:
                raise Malformed("dim has a negative dimension")
            voxels *= int(size) or 1
        bits = _BITS.get(int(self.numbers("datatype")[0]))
        if bits is None:
            raise Malformed("its datatype is none of the standard: nobody knows how long the volume is")
        return (voxels * bits + 7) // 8


def reach(head: bytes) -> tuple[int, int]:
    """Return how many bytes stand in front of the volume, and how many it has; of half of a pair all and none.

    Raises
    ------
    Unfit
    """
    header = Header(head)
    return (ALL, 0) if header.is_pair else (header.begin, header.volume)


def volume_of(head: bytes) -> tuple[int, int]:
    """Return how many bytes stand in front of the volume in the other file of a pair, and how many it has.

    Raises
    ------
    Unfit
    """
    header = Header(head)
    return header.begin, header.volume


def blocks(data: bytes, at: int, order: str) -> Iterator[tuple[int, int, int]]:
    """Yield the extensions in front of a volume: their code, where they begin and end.

    Raises
    ------
    Malformed
        One leads beyond where the volume begins, or there are more than anybody writes.
    """
    count = 0
    while len(data) - at >= _SMALLEST:
        size, code = struct.unpack_from(f"{order}ii", data, at)
        if not size and not data[at:].strip(b"\0"):
            return  # room that nobody took
        if not 8 <= size <= len(data) - at:
            raise Malformed("an extension is longer than the bytes in front of the volume, or of no length")
        count += 1
        if count > _MOST:
            raise Malformed(f"it has more than {_MOST} extensions")
        yield code, at, at + size
        at += size
