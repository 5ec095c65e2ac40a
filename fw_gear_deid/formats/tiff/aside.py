"""A result → packets in it that may say anything, and words for what may tell whose it is."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from fw_gear_deid.formats.tiff import names, values, wire
from fw_gear_deid.formats.tiff.wire import Directory, Entry, File

_WORDS = {700: "XMP", 33723: "IPTC", 34377: "Photoshop data", 34675: "ICC profile", 37500: "maker note"}
_PICTURES = frozenset({347, 513, 519, 520, 521})
_SMALL = 8
_TOLD = {700: "XMP", 33723: "IPTC", 34377: "Photoshop data", 37500: "maker note", 34665: "EXIF", 34853: "GPS position"}
_SLIDE = re.compile(r"Aperio|Hamamatsu|<OME\b|ScanScope|iScan|Philips|leica|\|\s*\w[\w ]*=", re.I)
_DESCRIPTION = 270


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
            yield f"{directory.place} {name}", file.raw(entry)


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
