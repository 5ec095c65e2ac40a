"""An EXIF block → the same with changes: in place, or behind its end; no byte that stays moves.

A value that goes leaves zeros. One that no longer fits stands behind the end of the block, and so does a directory that
gets another entry, so that offsets of all others, also those that only a maker knows, hold.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence

from fw_gear_deid.formats.exif import values
from fw_gear_deid.formats.exif.block import Block, Directory, Entry, Span
from fw_gear_deid.formats.exif.tags import BELOW, EXIF, GPS, IMAGES, INTEROP, MAKER_NOTE, Tag
from fw_gear_deid.model.action import Gone, Texts
from fw_gear_deid.model.errors import Unfit

_FIXED = frozenset({*IMAGES, *IMAGES.values()})
"""Tags of where something stands: they go or stay."""
_ABOVE = {"Exif": ("0th", EXIF), "GPS": ("0th", GPS), "Interop": ("Exif", INTEROP)}


def edited(block: Block, texts: Mapping[int, Texts | Gone], made: Sequence[tuple[Tag, Texts]]) -> bytes:
    """Return the bytes of a block with changes; none where nothing is left in it.

    Parameters
    ----------
    texts : mapping of int to texts or REMOVE
        Number among the block's entries → what becomes of it; all below an entry that goes must go.
    made : sequence
        Tags that are to be there, and their texts.

    Raises
    ------
    Unfit
        A type cannot hold a text, or what goes shares its bytes with what stays.
    """
    changes = {id(block.entries[number]): new for number, new in texts.items()}
    if not made and all(isinstance(changes.get(id(one)), Gone) for one in block.entries):
        return b""
    return _Editor(block, changes).run(made)


class _Editor:
    """One block, while it is changed."""

    def __init__(self, block: Block, changes: Mapping[int, Texts | Gone]) -> None:
        self._block, self._changes, self._order = block, changes, block.order
        self._new = bytearray(block.data)
        self._wire = {id(one): bytearray(block.data[one.at : one.at + 12]) for one in block.entries}
        self._taken: list[Span] = []
        self._stays = bytearray(len(block.data))
        block.uses([one for one in block.entries if id(one) not in changes], self._stays)

    def run(self, made: Sequence[tuple[Tag, Texts]]) -> bytes:
        touched = [one for one in self._block.entries if id(one) in self._changes]
        for entry in touched:
            self._free(entry)
        for entry in touched:
            new = self._changes[id(entry)]
            if not isinstance(new, Gone):
                raw = values.raw_of(entry.directory, entry.tag, entry.type, new, self._order, self._block.raw(entry))
                self._put(entry, raw)
        kept = {id(one): self._kept(one) for one in self._block.directories}
        for tag, new in made:
            self._make(tag, values.raw_of(tag.home, tag.number, tag.type, new, self._order), kept)
        first = self._write(self._block.first, kept)
        struct.pack_into(self._order + "I", self._new, 4, first)
        if any(one.tag == MAKER_NOTE and isinstance(self._changes[id(one)], Gone) for one in touched):
            self._clear_gaps()
        return bytes(self._new)

    # -- values ------------------------------------------------------------------------------------------

    def _free(self, entry: Entry) -> None:
        """Put zeros over a value that goes or changes, and over what its entry points at."""
        where = f"EXIF {entry.directory} {entry.name}"
        goes = isinstance(self._changes[id(entry)], Gone)
        if not goes and (entry.is_pointer or entry.tag in _FIXED):
            raise Unfit(f"{where} tells where something stands: it can be kept or removed")
        if not entry.is_whole and (entry.count or (entry.type not in values.SIZES and not goes)):
            raise Unfit(f"{where} is cut or of an unknown type: nobody can tell where its value ends")
        for start, end in (entry.value, *entry.images):
            inside = (start, end) == entry.value and entry.is_inside
            if not inside and self._is_shared(start, end):
                raise Unfit(f"{where} shares its bytes with something that stays")
            self._new[start:end] = bytes(end - start)
        for one in entry.below:
            self._leave(one)

    def _is_shared(self, start: int, end: int) -> bool:
        return any(self._stays[start:end]) or any(start < stop and at < end for at, stop in self._block.solid)

    def _leave(self, directory: Directory) -> None:
        """Put zeros over a directory that goes, or stands elsewhere from now on."""
        if any(self._stays[directory.at : directory.end]):
            raise Unfit(f"the EXIF directory {directory.name} shares its bytes with a value that stays")
        self._new[directory.at : directory.end] = bytes(directory.end - directory.at)

    def _put(self, entry: Entry, raw: bytes) -> None:
        """Write a new value: into its entry, where the old one stood, or behind the end."""
        wire, (start, end) = self._wire[id(entry)], entry.value
        struct.pack_into(self._order + "I", wire, 4, len(raw) // values.SIZES[entry.type])
        if len(raw) <= 4:
            wire[8:12] = raw.ljust(4, b"\0")
            return
        free = not entry.is_inside and not any(start < stop and at < end for at, stop in self._taken)
        if not free or len(raw) > end - start:
            start = self._append(raw)
        else:
            self._taken.append((start, start + len(raw)))
            self._new[start : start + len(raw)] = raw
        struct.pack_into(self._order + "I", wire, 8, start)

    def _append(self, raw: bytes) -> int:
        ends = max(one.end + 4 for one in self._block.directories)  # one at the end may lack the pointer at the next
        self._new += bytes(max(0, ends - len(self._new)))
        self._new += bytes(len(self._new) % 2)  # values begin at a word, TIFF 6.0 §2
        self._new += raw
        return len(self._new) - len(raw)

    # -- directories -------------------------------------------------------------------------------------

    def _kept(self, directory: Directory) -> list[Entry]:
        return [one for one in directory.entries if not isinstance(self._changes.get(id(one)), Gone)]

    def _make(self, tag: Tag, raw: bytes, kept: dict[int, list[Entry]]) -> None:
        entry = self._entry(self._home(tag.home, kept), tag.home, tag.number, tag.type, kept)
        self._put(entry, raw)

    def _entry(self, into: Directory, name: str, tag: int, kind: int, kept: dict[int, list[Entry]]) -> Entry:
        entry = Entry(name, tag, kind, 0, -12, (-4, 0), is_whole=True)
        self._wire[id(entry)] = bytearray(struct.pack(self._order + "HHII", tag, kind, 1, 0))
        entries = kept[id(into)]
        entries.insert(next((at for at, one in enumerate(entries) if one.tag > tag), len(entries)), entry)
        return entry

    def _home(self, name: str, kept: dict[int, list[Entry]]) -> Directory:
        """Return a directory for a new tag; make one where there is none."""
        if name not in _ABOVE:
            return self._block.first
        above, pointer = _ABOVE[name]
        into = self._home(above, kept)
        found = next((one for one in kept[id(into)] if one.tag == pointer), None)
        entry = found if found is not None else self._entry(into, above, pointer, 4, kept)
        if not entry.below:
            entry.below = [Directory(BELOW[pointer], -1, [])]
            kept[id(entry.below[0])] = []
        return entry.below[0]

    def _write(self, directory: Directory, kept: dict[int, list[Entry]]) -> int:
        """Write a directory and all that hang on it; return where it stands, 0 where it is left out of its chain."""
        follows = self._write(directory.follows, kept) if directory.follows is not None else 0
        entries = kept[id(directory)]
        for entry in entries:
            for one in entry.below:
                at = self._write(one, kept)
                if at != one.at:
                    struct.pack_into(self._order + "I", self._wire[id(entry)], 8, at)
                    self._wire[id(entry)][2:4] = struct.pack(self._order + "H", 13 if entry.type == 13 else 4)
        is_chained = directory.name not in BELOW.values()
        if is_chained and not entries and directory is not self._block.first:
            self._leave(directory)
            return follows
        wire = struct.pack(self._order + "H", len(entries)) + b"".join(self._wire[id(one)] for one in entries)
        if directory.at < 0 or len(entries) > len(directory.entries):
            if directory.at >= 0:
                self._leave(directory)
            return self._append(wire + struct.pack(self._order + "I", follows))
        self._new[directory.at : directory.end] = wire.ljust(directory.end - directory.at, b"\0")
        if is_chained:
            self._link(directory, directory.at + len(wire), follows)
        return directory.at

    def _link(self, directory: Directory, at: int, follows: int) -> None:
        """Write the pointer at the next directory, and zeros where it stood."""
        if directory.end + 4 <= len(self._block.data) and at != directory.end:
            self._new[directory.end : directory.end + 4] = bytes(4)
        if at + 4 <= len(self._block.data):
            self._new[at : at + 4] = struct.pack(self._order + "I", follows)

    def _clear_gaps(self) -> None:
        """Put zeros over what belongs to nothing: it was the maker's."""
        mask = Block(bytes(self._new)).mask()
        at = mask.find(0)
        while at >= 0:
            end = mask.find(1, at)
            end = len(mask) if end < 0 else end
            self._new[at:end] = bytes(end - at)
            at = mask.find(0, end)
