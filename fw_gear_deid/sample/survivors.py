"""Planted identifiers and a folder → those that are still in it: in names, in text of any usual encoding, packed."""

from __future__ import annotations

import csv
import gzip
import io
import re
import tarfile
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import astuple, fields
from pathlib import Path

from pydicom.uid import DeflatedExplicitVRLittleEndian

from fw_gear_deid.model.errors import UsageError
from fw_gear_deid.model.frozen import frozen
from fw_gear_deid.sample.canaries import MARKER, Planted, in_text

_COLUMNS = [field.name for field in fields(Planted)]
_ENCODINGS = ("utf-8", "utf-16-le", "utf-16-be", "shift_jis", "euc_jp", "gb18030")
_DEPTH = 5  # archives in archives


@frozen
class Survivor:
    """A planted identifier that is still there.

    Attributes
    ----------
    value : str
    files : tuple of str
        Where, relative to the folder.
    """

    value: str
    files: tuple[str, ...]

    @property
    def kind(self) -> str:
        """What it stood for at its place: ``FAMILY``, ``MRN``, ``birth date``, ``name in another script``."""
        if self.value.isascii() and self.value.isdecimal():
            return "birth date"
        return re.sub(rf"^{MARKER}\d+|\d$", "", self.value) if self.value.isascii() else "name in another script"


def list_of(sample: Path) -> Path:
    """Return where the list of what is planted stands: beside the sample, for nobody who gets it should have it."""
    whole = sample.resolve() if sample.name in ("", "..") else sample
    return whole.with_name(f"{whole.name}-planted.csv")


def write_list(sample: Path, planted: Iterable[Planted]) -> Path:
    """Write what is planted in a sample, one identifier and place a row.

    Raises
    ------
    UsageError
        Something else has this name, or it cannot be written.
    """
    path = list_of(sample)
    try:
        if path.exists():
            _read(path)
        with path.open("w", encoding="utf-8", newline="") as stream:
            csv.writer(stream, lineterminator="\r\n").writerows([_COLUMNS, *map(astuple, planted)])
    except OSError as error:
        raise UsageError(f"{path}: cannot be written ({error.strerror})") from None
    return path


def read_list(sample: Path) -> list[Planted]:
    """Return what is planted in a sample.

    Raises
    ------
    UsageError
        There is no list of it.
    """
    path = list_of(sample)
    try:
        return _read(path)
    except OSError as error:
        raise UsageError(f"{path}: the list of what is planted cannot be read ({error.strerror})") from None


def _read(path: Path) -> list[Planted]:
    with path.open(encoding="utf-8", newline="") as stream:
        header, *rows = list(csv.reader(stream)) or [[]]
    if header != _COLUMNS:
        raise UsageError(f"{path}: is no list of planted identifiers; move it out of the way")
    return [Planted(*row) for row in rows]


def survivors(planted: Iterable[Planted], folder: Path) -> list[Survivor]:
    """Return which planted identifiers are in a folder, in files, in what is packed in them, or in names.

    Parameters
    ----------
    planted : iterable of Planted
    folder : Path

    Raises
    ------
    UsageError
        It holds no file: nothing would have been looked at.
    """
    values = {one.value for one in planted}
    found: dict[str, list[str]] = {}
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    if not files:
        raise UsageError(f"{folder}: holds no files, so there is nothing to look at")
    for path in files:
        name = path.relative_to(folder).as_posix()
        met: set[str] = set()
        for piece in (name.encode("utf-8", "surrogateescape"), *_pieces(path.read_bytes())):
            met |= _met(piece, values)
        for value in met:
            found.setdefault(value, []).append(name)
    return [Survivor(value, tuple(places)) for value, places in sorted(found.items())]


def _met(data: bytes, values: set[str]) -> set[str]:
    """Return the values that bytes hold in some encoding, in letters small or large; numbers as words of their own."""
    texts = [data.decode(encoding, "replace") for encoding in _ENCODINGS]
    texts += [data[1:].decode(encoding, "replace") for encoding in _ENCODINGS if encoding.startswith("utf-16")]
    found: set[str] = set()
    for text in map(str.upper, texts):
        found.update(values.intersection(in_text(text)))
        if MARKER in text:
            found.update(value for value in values if value.startswith(MARKER) and value in text)
    return found


def _pieces(data: bytes, depth: int = 0) -> Iterator[bytes]:
    """Yield bytes, and what they are when they are unpacked."""
    yield data
    if depth == _DEPTH:
        return
    if DeflatedExplicitVRLittleEndian.encode() in data[132:1024] and data[128:132] == b"DICM":
        start = 144 + int.from_bytes(data[140:144], "little")  # PS3.10 §7.1: the group length comes first
        yield zlib.decompressobj(-15).decompress(data[start:])
    elif data[:2] == b"PK":
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            yield archive.comment
            for info in archive.infolist():
                yield from (info.filename.encode("utf-8", "surrogateescape"), info.comment, info.extra)
                yield from _pieces(archive.read(info), depth + 1)
    elif data[:2] == b"\x1f\x8b":
        yield from _pieces(gzip.decompress(data), depth + 1)
    elif data[257:262] == b"ustar":
        with tarfile.open(fileobj=io.BytesIO(data)) as tar:
            for member in tar:
                yield f"{member.name} {member.uname} {member.linkname}".encode("utf-8", "surrogateescape")
                opened = tar.extractfile(member)
                if opened is not None:
                    yield from _pieces(opened.read(), depth + 1)
