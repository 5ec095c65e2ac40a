"""A result → packets in it that may say anything, and words for what may tell whose it is."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from fw_gear_deid.formats.tiff import names, values, wire
from fw_gear_deid.formats.tiff.wire import Directory, Entry, File

_WORDS = {700: "XMP", 33723: "IPTC", 34377: "Photoshop data", 34675: "ICC profile", 37500: "maker note"}
_PICTURES = frozenset({347, 513, 519, 520, 521, 37724, 50828})
"""Tables, thumbnails, layers and raw pictures: in packed pixels a short name stands by chance."""
_SMALL = 8
_TOLD = {700: "XMP", 33723: "IPTC", 34377: "Photoshop data", 37500: "maker note", 34665: "EXIF", 34853: "GPS position",
         37724: "layers", 50828: "raw picture"}  # fmt: skip
_SLIDE = re.compile(r"Aperio|Hamamatsu|<OME\b|ScanScope|iScan|Philips|leica|\|\s*\w[\w ]*=", re.I)
_DESCRIPTION = 270
_SEARCHED = 1 << 16  # bytes
_BINARY = re.compile(rb"[\x00-\x08\x0e-\x1f]")
_RUNS = re.compile(rb"[\t\x20-\x7e]{4,}|(?:[\x20-\x7e]\0){4,}|(?:\0[\x20-\x7e]){4,}")


def _entries(data: bytes) -> Iterator[tuple[File, Directory, Entry]]:
    file = File(data)
    for page in file.pages:
        for directory in page.within():
            for entry in directory.entries:
                yield file, directory, entry


def beside(data: bytes) -> Iterator[tuple[str, bytes]]:
    """Yield values of bytes, each with a word for its place: their fields may tell no more than how many they are."""
    for file, directory, entry in _entries(data):
        blob = entry.kind == values.UNDEFINED or entry.tag in values.PACKETS or entry.kind not in wire.SIZES
        if blob and entry.size > _SMALL and entry.tag not in _PICTURES:
            name = _WORDS.get(entry.tag) or names.name_of(directory.group, entry.tag)
            raw = file.raw(entry)
            yield f"{directory.place} {name}", raw if entry.size <= _SEARCHED else _readable(raw)


def risks(data: bytes) -> Sequence[str]:
    """Return words for what may tell whose a file is."""
    found: dict[str, None] = {}
    for file, directory, entry in _entries(data):
        if entry.tag in _TOLD and directory.group == names.MAIN:
            found[_TOLD[entry.tag]] = None
        if entry.tag == _DESCRIPTION and entry.kind == values.ASCII and _is_slide(file.raw(entry)):
            found["slide description"] = None
        if directory.role == wire.PAGE and entry.tag == 513:
            found["thumbnail"] = None
    return tuple(found)


def _is_slide(raw: bytes) -> bool:
    return _SLIDE.search(raw[:4096].decode("latin-1")) is not None


def _readable(raw: bytes) -> bytes:
    """Return what can be read in many bytes that are no text, in lines: pictures in them would take hours to search."""
    if not _BINARY.search(raw.rstrip(b"\0")):
        return raw
    return b"\n".join(run.replace(b"\0", b"") for run in _RUNS.findall(raw))
