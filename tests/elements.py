"""Which elements a DICOM file has, by several readers: this program's, pydicom, and dcmdump."""

from __future__ import annotations

import io
import re
import subprocess
import sys
import tracemalloc
import warnings
import zipfile
from collections.abc import Iterable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

from pydicom import dcmread
from pydicom.dataset import Dataset

from fw_gear_deid.deid.dataset import span_of
from fw_gear_deid.formats.dicom import part10
from fw_gear_deid.formats.dicom.level import Level, Place, Want
from fw_gear_deid.formats.dicom.wire import EXPLICIT_LITTLE, Encoding
from fw_gear_deid.verify.instance import Checker
from fw_gear_deid.verify.promises import Promises

Ways = frozenset[tuple[int, ...]]
"""Of elements: tags and numbers of items that lead to each. Inside of values that only some read as items none counts."""
_UNDEFINED = b"\xff\xff\xff\xff"
_LINE = re.compile(r"( *)\(([0-9a-f]{4}),([0-9a-f]{4})\) \S\S")
_LARGE = 1 << 20
_SEEN: set[bytes] = set()


class _All(Place):
    __slots__ = ()

    def want(self, tag: int, vr: str, wire: str) -> Want:
        return Want(tag, vr, wire, wanted=True)

    def below(self, tag: int, index: int, encoding: Encoding) -> Place:
        return _All(encoding)


def ours(data: bytes) -> Ways:
    """Return the elements as the walk has them; the check's reader goes through the file as well."""
    parts = part10.read_plain(data, _All(EXPLICIT_LITTLE), _All)
    Checker(Promises((), recurse=False), frozenset()).check(span_of(parts), data, ((), (), set()))
    src, found = parts.body_src, set()

    def go(level: Level, way: tuple[int, ...]) -> None:
        for one in level.found:
            found.add((*way, one.want.tag))
            if one.items is not None and (one.want.wire == "SQ" or src[one.value - 4 : one.value] == _UNDEFINED):
                for number, item in enumerate(one.items):
                    go(item, (*way, one.want.tag, number))

    go(parts.body, ())
    return frozenset(found)


def by_pydicom(data: bytes) -> Ways:
    found: set[tuple[int, ...]] = set()

    def go(ds: Dataset, way: tuple[int, ...]) -> None:
        for tag in ds.keys():  # noqa: SIM118 -- a data set yields elements, not tags
            raw: Any = ds.get_item(tag)
            found.add((*way, int(tag)))
            told = raw.VR in ("SQ", None) or getattr(raw, "length", 0) == 0xFFFFFFFF
            if told and ds[tag].VR == "SQ":
                for number, item in enumerate(ds[tag].value):
                    go(item, (*way, int(tag), number))

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        go(dcmread(io.BytesIO(data), force=True), ())
    return frozenset(found)


def by_dcmdump(program: str, path: Path) -> Ways | None:
    """Return the elements as DCMTK has them, None where it gives up."""
    done = subprocess.run([program, "-q", str(path)], capture_output=True, check=False)
    if done.returncode:
        return None
    found: set[tuple[int, ...]] = set()
    way: list[int] = []
    """Of each depth: a tag, or the number of an item."""
    for line in done.stdout.decode("latin-1").splitlines():
        head = _LINE.match(line)
        if head is None:
            continue
        depth, tag = len(head[1]) // 2, int(head[2] + head[3], 16)
        if tag == 0xFFFEE000:
            number = way[depth] + 1 if len(way) > depth else 0
            way = [*way[:depth], number]
        elif tag >> 16 not in (2, 0xFFFE):
            way = way[:depth]
            found.add((*way, tag))
            way.append(tag)
        if tag >> 16 != 0xFFFE and depth < len(way):
            way = way[: depth + 1]
    return frozenset(found)


def instances(data: bytes) -> Iterator[bytes]:
    """Yield what is DICOM in a file, or in an archive."""
    if data[128:132] == b"DICM":
        yield data
    elif data[:2] == b"PK":
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            for one in archive.infolist():
                if one.file_size <= _LARGE:
                    yield from instances(archive.read(one))


def are_read_alike(paths: Iterable[Path]) -> None:
    """Make sure that pydicom finds in released files what this program does; each bytes are looked at once."""
    if sys.getprofile() is not None or tracemalloc.is_tracing():
        return  # somebody measures
    for path in paths:
        if not path.is_file() or path.stat().st_size > _LARGE:
            continue
        for data in instances(path.read_bytes()):
            mark = sha256(data).digest()
            if mark not in _SEEN:
                _SEEN.add(mark)
                assert by_pydicom(data) == ours(data)
