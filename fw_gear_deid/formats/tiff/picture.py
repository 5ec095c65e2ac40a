"""Numbers of a directory → the bytes of its picture (TIFF 6.0 §3, §15, §22), and of pictures without a directory.

Both readers ask it, each with numbers that it has read itself.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from math import prod
from zlib import crc32

from fw_gear_deid.formats.tiff.ranges import Span
from fw_gear_deid.model.errors import Malformed, Unfit

NAME = "picture data"
Numbers = Callable[[int], Sequence[int]]
"""Tag → its whole numbers, none where it is absent."""
_STRIPS, _TILES, _JPEG = (273, 279), (324, 325), (513, 514)
_WIDTH, _LENGTH, _BITS, _COMPRESSION, _PHOTOMETRIC, _SAMPLES, _ROWS, _PLANAR = 256, 257, 258, 259, 262, 277, 278, 284
_TILE_WIDTH, _TILE_LENGTH = 322, 323
_NONE, _YCBCR, _SEPARATE = 1, 6, 2
_QUANTISERS, _HUFFMAN = 519, (520, 521)
_IMAGEJ = re.compile(r"ImageJ=[^\n]*\n(?:[^\n]*\n)*?images=(\d{1,9})\s*(?:\n|$)")
_DESCRIPTION_MAX = 1 << 20
_OWN_PLACES = {34412: "Zeiss LSM", 33628: "MetaMorph", 33629: "MetaMorph"}


@dataclass(slots=True)
class Pixels:
    """Where a picture is.

    Attributes
    ----------
    sure : list of Span
        As the directory says.
    perhaps : list of Span
        Bytes behind them that a reader of an uncompressed picture takes, whatever their number is said to be.
    """

    sure: list[Span] = field(default_factory=list)
    perhaps: list[Span] = field(default_factory=list)


def pixels(numbers: Numbers, data: bytes, place: str) -> Pixels:
    """Return where the picture of a directory is.

    Raises
    ------
    Malformed
        It is outside of the file, or nobody knows how long it is.
    """
    found = Pixels()
    for starts, sizes in ((_STRIPS, _STRIPS), (_TILES, _TILES), (_JPEG, _JPEG)):
        begins, lengths = numbers(starts[0]), numbers(sizes[1])
        if not begins:
            continue
        plain = _plain(numbers, len(begins)) if starts != _JPEG else ()
        lengths = lengths or plain
        if len(begins) != len(lengths):
            raise Malformed(f"{place}: it does not tell where each piece of its picture is, and how long")
        for number, (start, length) in enumerate(zip(begins, lengths, strict=True)):
            if length and (start < 8 or start + length > len(data)):
                raise Malformed(f"{place}: its picture is outside of the file")
            found.sure.append((start, start + length))
            more = plain[number] if plain else 0
            if start >= 8 and more > length and start + length < len(data):
                found.perhaps.append((start + length, min(start + more, len(data))))
    found.sure += _tables(numbers, data, place)
    return found


def _first(numbers: Numbers, tag: int, default: int) -> int:
    found = numbers(tag)
    return found[0] if found else default


def _plain(numbers: Numbers, pieces: int) -> Sequence[int]:
    """Return how long the pieces of an uncompressed picture are by its size; nothing of others."""
    width, length = _first(numbers, _WIDTH, 0), _first(numbers, _LENGTH, 0)
    if _first(numbers, _COMPRESSION, _NONE) != _NONE or _first(numbers, _PHOTOMETRIC, 0) == _YCBCR or not width:
        return ()
    bits, samples = numbers(_BITS) or (1,), _first(numbers, _SAMPLES, 1)
    separate = _first(numbers, _PLANAR, 1) == _SEPARATE
    deep = bits[0] if separate else (sum(bits) if len(bits) == samples else bits[0] * samples)
    if tile := _first(numbers, _TILE_WIDTH, 0):
        return [(tile * deep + 7) // 8 * _first(numbers, _TILE_LENGTH, 0)] * pieces
    row, rows = (width * deep + 7) // 8, max(1, min(_first(numbers, _ROWS, length), length))
    each = max(1, -(-length // rows))
    return [row * max(0, min(rows, length - number % each * rows)) for number in range(pieces)]


def _tables(numbers: Numbers, data: bytes, place: str) -> Iterator[Span]:
    """Yield tables of JPEG in its old way (TIFF 6.0 §22)."""
    for start in numbers(_QUANTISERS):
        yield start, start + 64
    for tag in _HUFFMAN:
        for start in numbers(tag):
            if start + 16 > len(data):
                raise Malformed(f"{place}: tables of its picture are outside of the file")
            yield start, start + 16 + sum(data[start : start + 16])


def following(description: str, numbers: Numbers) -> int:
    r"""Return how many pictures, one behind the other, a description says that there are from the first on.

    ImageJ writes so beyond 4 GB, tifffile where it is asked to.

    >>> following("ImageJ=1.53k\nimages=30\nslices=30\n", lambda tag: ())
    30
    """
    if len(description) > _DESCRIPTION_MAX:
        return 1
    if found := _IMAGEJ.match(description):
        return int(found[1])
    if not description.startswith('{"shape"'):
        return 1
    try:
        told = json.loads(description)
        one = prod(max(1, _first(numbers, tag, 1)) for tag in (_WIDTH, _LENGTH, _SAMPLES))
        return int(prod(told["shape"])) // one if told.get("truncated") is True else 1
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError):
        return 1


def rest_of(number: int, first: Pixels, numbers: Numbers, size: int) -> list[Span]:
    """Return where pictures are that follow the first, uncompressed, without a directory.

    Raises
    ------
    Unfit
        The file ends before they do.
    """
    spans = sorted(first.sure)
    length = sum(_plain(numbers, len(spans)))
    if not spans or not length or _first(numbers, _COMPRESSION, _NONE) != _NONE:
        return []
    start, end = spans[0][0], spans[0][0] + number * length
    if end > size:
        raise Unfit("its description tells of more pictures than the file has")
    return [(start, end)]


def told(data: bytes, spans: Sequence[Span]) -> str:
    """Return how many bytes of picture there are, and their checksum: equal pictures have equal texts."""
    view, found = memoryview(data), 0
    for start, end in spans:
        found = crc32(view[start:end], found)
    return f"<{sum(end - start for start, end in spans)} bytes, {found:08x}>"


def own_places(tags: Sequence[int]) -> None:
    """Refuse a directory with a private tag that holds places of blocks, which would be taken for unused bytes.

    Raises
    ------
    Unfit
    """
    for tag in tags:
        if tag in _OWN_PLACES:
            raise Unfit(f"tag {tag} ({_OWN_PLACES[tag]}) points at blocks that only its maker knows; convert the file")
