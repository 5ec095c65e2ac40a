"""Fragments of encapsulated PixelData → what is put over comments in its JPEG and JPEG 2000 frames (PS3.5 §A.4).

As many bytes stand there as before, so that fragments, offset tables and lengths stay right, and nobody needs to know
which fragments make a frame.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator
from itertools import accumulate
from struct import Struct

from fw_gear_deid.formats import jpeg, jpeg2000
from fw_gear_deid.formats.jpeg import Blank
from fw_gear_deid.model.errors import Malformed, Unfit

REMEDY = "decompress or compress it again with a DICOM toolkit, or remove it"
_BEGINS = {jpeg.BEGINS: jpeg.blanks, jpeg2000.CODESTREAM: jpeg2000.blanks, jpeg2000.WRAPPER: jpeg2000.blanks}
# JPEG, JPEG-LS, JPEG 2000, HTJ2K; in other syntaxes these bytes may stand anywhere in the pixels
_JPEG = re.compile(r"1\.2\.840\.10008\.1\.2\.4\.([5-8]\d|9[0-3]|20[123])")
_LATER = re.compile(rb"\xff\xd8\xff|\xff\x4f\xff\x51|jP  \r\n\x87\n")
_LENGTH = Struct("<L")
Fragment = tuple[int, int]


def blanks(src: bytes, value: int, end: int, syntax: str) -> Iterator[Blank]:
    """Yield what is to be put over the frames of one element, in their order.

    Parameters
    ----------
    value, end : int
        Its items, delimiter included.
    syntax : str
        UID of the transfer syntax.

    Raises
    ------
    Unfit
        A frame is damaged where comments may hide in it.
    """
    group: list[Fragment] = []
    for number, (start, stop) in enumerate(_fragments(src, value, end)):
        begins = any(src.startswith(head, start, stop) for head in _BEGINS)
        if number == 0 and not begins:
            continue  # the offset table, which some writers leave out
        if group and begins:
            yield from _frame(src, group, syntax)
            group = []
        group.append((start, stop))
    if group:
        yield from _frame(src, group, syntax)


def _fragments(src: bytes, pos: int, end: int) -> Iterator[Fragment]:
    while pos < end - 8:
        start = pos + 8
        pos = start + _LENGTH.unpack_from(src, pos + 4)[0]
        yield start, pos


def _frame(src: bytes, group: list[Fragment], syntax: str) -> Iterator[Blank]:
    """Yield what is to be put over fragments of which the first may begin a frame."""
    data = b"".join(src[start:stop] for start, stop in group)
    look = next((look for head, look in _BEGINS.items() if data.startswith(head)), None)
    if look is None:
        if _JPEG.fullmatch(syntax) and _LATER.search(data):
            raise Unfit(f"a frame does not begin where its fragment does; {REMEDY}")
        return
    try:
        found = list(look(data))
    except Malformed as error:
        raise Unfit(f"{error}; {REMEDY}") from None
    offsets = [0, *accumulate(stop - start for start, stop in group)]
    for first, last, new in found:  # by where they stand in the file
        number, begin = bisect_right(offsets, first) - 1, first
        while begin < last:
            end, move = min(last, offsets[number + 1]), group[number][0] - offsets[number]
            if begin < end:
                yield begin + move, end + move, new[begin - first : end - first]
            number, begin = number + 1, end
