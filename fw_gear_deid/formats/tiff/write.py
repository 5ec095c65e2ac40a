"""Changes → what is to be done to the bytes of a TIFF file.

Pixels, directories and values stay where they are. An entry that goes leaves its directory, and those behind it move
up; a value that is longer than before stands at the end of the file, as does the first directory when it gets a new
entry. Then every byte is blanked that nothing in the result points at; at the end of the file such bytes are left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from fw_gear_deid.formats.row import Changes, Field, Splice
from fw_gear_deid.formats.tiff import names, ranges, values, wire
from fw_gear_deid.formats.tiff.picture import Pixels
from fw_gear_deid.formats.tiff.ranges import Span
from fw_gear_deid.formats.tiff.wire import Directory, Entry, File
from fw_gear_deid.model.action import Gone, Texts
from fw_gear_deid.model.errors import Malformed, Unfit

_HAMAMATSU = 65420
_APPEND = -1


@dataclass(slots=True)
class _Value:
    """An entry of the result: as it was, or with a new value and where that stands."""

    tag: int
    old: bytes = b""
    kind: int = 0
    raw: bytes = b""
    start: int = _APPEND


@dataclass(slots=True)
class _Directory:
    """A directory of the result."""

    source: Directory
    entries: list[_Value] = field(default_factory=list)
    changed: bool = False
    at: int = 0
    size: int = 0
    """Without the place of the next one."""
    after: int = 0


class Writer:
    """Works out the bytes of one result.

    Parameters
    ----------
    data : bytes
    file : File
    pixels : mapping of int to Pixels
        Place of a directory → where its picture is.
    fields : sequence of Field
    changes : Changes
    """

    def __init__(
        self, data: bytes, file: File, pixels: Mapping[int, Pixels], fields: Sequence[Field], changes: Changes
    ) -> None:
        self._data, self._file, self._pixels = data, file, pixels
        self._fields, self._changes = fields, changes
        self._layout = file.layout
        self._crowded = ranges.crowded(self._source_spans())
        self._stay: list[Span] = [(0, file.layout.head)]
        self._firm: list[Span] = [(0, file.layout.head)]
        """What is no value, and stays: nothing that goes may stand in it."""
        self._perhaps: list[Span] = []
        self._freed: list[Span] = []
        self._written: list[Splice] = []
        self._added = bytearray()
        self._places: dict[bytes, int] = {}
        self._end = len(data)

    def splices(self) -> Sequence[Splice]:
        """Return what is to be done, in order.

        Raises
        ------
        Unfit
            A type cannot hold its new value, or what goes shares bytes with what stays.
        """
        pages: list[list[_Directory]] = []
        for page in self._file.pages:
            if self._goes(page.number):
                self._free(page)
            else:
                pages.append(list(self._planned(page)))
        if not pages:
            raise Unfit("no page of it would be left")
        self._make(pages[0][0])
        for one in (one for page in pages for one in page):
            self._settle(one)
        if ranges.meet(ranges.union(self._freed), ranges.union(self._firm)):
            raise Malformed("what is to go shares bytes with a directory or a picture that stays")
        blank = self._blank()
        self._link([page[0] for page in pages])
        for one in (one for page in pages for one in page if one.changed):
            self._write(one)
        if self._added:
            self._written.append((self._end, len(self._data), bytes(self._added)))
        elif self._end < len(self._data):
            self._written.append((self._end, len(self._data), b""))
        return sorted((*blank, *self._written))

    # -- what stays, and what goes -------------------------------------------------------------------------

    def _source_spans(self) -> Iterator[Span]:
        for page in self._file.pages:
            for one in page.within():
                yield from one.spans(self._layout.width)
                yield from ranges.union(self._pixels[one.at].sure)

    def _goes(self, number: int) -> bool:
        return isinstance(self._changes.texts.get(number), Gone)

    def _free(self, directory: Directory) -> None:
        for one in directory.within():
            self._freed += one.spans(self._layout.width)
            self._freed += self._pixels[one.at].sure

    def _planned(self, directory: Directory) -> Iterator[_Directory]:
        """Yield a directory of the result, and those below it."""
        found = _Directory(directory, after=directory.after)
        below: list[Directory] = []
        for entry in directory.entries:
            new = self._changes.texts.get(entry.number)
            span = () if entry.inline else ((entry.start, entry.end),)
            if isinstance(new, Gone):
                self._freed += span
                for one in entry.below:
                    self._free(one)
                found.changed = True
            elif new is None or new == self._fields[entry.number].texts:
                old = self._data[entry.at : entry.at + self._layout.entry_size - entry.slack] + bytes(entry.slack)
                found.entries.append(_Value(entry.tag, old))
                self._stay += span
                below += entry.below
            else:
                found.entries.append(self._new(directory, entry, new))
                self._freed += span
                found.changed = True
        pixels = self._pixels[directory.at]
        self._firm += pixels.sure
        self._stay += pixels.sure
        self._perhaps += pixels.perhaps
        yield found
        for one in below:
            yield from self._planned(one)

    def _new(self, directory: Directory, entry: Entry, texts: Texts) -> _Value:
        """Return an entry with new texts: in its place where they fit there and nothing else points at it."""
        path = self._fields[entry.number].path
        if entry.points:
            raise Unfit(f"{path} points at tags of its own: it can be kept or removed, or name them")
        if directory.group == names.MAIN and entry.tag in names.FIXED:
            raise Unfit(f"{path} is needed to read the picture: it can only be kept")
        kind, raw = self._raw(texts, entry.kind, (directory.group, entry.tag), path)
        found = _Value(entry.tag, kind=kind, raw=raw)
        span = entry.start, entry.end
        if not entry.inline and self._layout.width < len(raw) <= entry.size and span not in self._crowded:
            found.start = entry.start
            self._stay.append((entry.start, entry.start + len(raw)))
            self._written.append((entry.start, entry.start + len(raw), raw))
        return found

    def _raw(self, texts: Texts, kind: int, tag: names.Tag, path: str) -> tuple[int, bytes]:
        try:
            found, raw = values.raw_of(texts, kind, tag, self._layout.order)
        except Unfit as error:
            raise type(error)(f"{path}: {error}") from None
        if values.texts_of(raw, found, tag, self._layout.order) != texts:
            raise Unfit(f"{path}: its type cannot hold the new value as it is written (a whole number has no point)")
        return found, raw

    def _make(self, page: _Directory) -> None:
        """Put entries that were absent into the first page, in the order of tags.

        Raises
        ------
        Unfit
            Nothing says of which type they are, or they belong into a block.
        """
        for name, texts in self._changes.made.items():
            tags = sorted(tag for group, tag in names.tags_of(name) if group == names.MAIN and names.kind_of(tag))
            if not tags or tags[0] in (names.SUB_IFDS, *wire.POINTS):
                raise Unfit(f"{name} is absent and cannot be made; 'replace-with-insert: false' leaves it out")
            kind, raw = self._raw(texts, names.kind_of(tags[0]), (names.MAIN, tags[0]), name)
            at = next((at for at, one in enumerate(page.entries) if one.tag > tags[0]), len(page.entries))
            page.entries.insert(at, _Value(tags[0], kind=kind, raw=raw))
            page.changed = True

    def _settle(self, one: _Directory) -> None:
        """Decide where a directory stands: where it was, unless it has more entries."""
        source, layout = one.source, self._layout
        one.size = layout.count_size + len(one.entries) * layout.entry_size
        span = source.at, source.end + (layout.width if source.link else 0)
        if one.changed and span in self._crowded:
            raise Malformed(f"{source.place}: its directory shares bytes with something else")
        if one.size > source.end - source.at:
            self._freed.append(span)
            return
        one.at = source.at
        kept = one.at, one.at + one.size + (layout.width if source.link else 0)
        self._firm.append(kept)
        self._stay += (kept,) if one.changed else source.used(layout.width)

    def _blank(self) -> list[Splice]:
        """Return zeros for all that nothing points at; what stands at the end of the file is left out."""
        freed = ranges.union(self._freed)
        perhaps = ranges.minus(ranges.union(self._perhaps), freed)
        used = ranges.union((*self._stay, *perhaps))
        unused = ranges.not_blank(self._data, ranges.minus([(0, len(self._data))], used))
        found: list[Splice] = []
        for start, end in unused:
            if end == len(self._data):
                self._end = start
            else:
                found.append((start, end, bytes(end - start)))
        return found

    # -- bytes ---------------------------------------------------------------------------------------------

    def _link(self, pages: Sequence[_Directory]) -> None:
        """Let the header and each page point at the next one that stays; find a place for those without one."""
        for one in pages:
            if not one.at:
                extra = bytes(4 + 4 * len(one.entries)) if one.source.entry(_HAMAMATSU) else b""
                one.at = self._add(bytes(one.size + self._layout.width) + extra)
        if pages[0].at != self._layout.place(self._data, self._layout.first):
            first = self._layout.first
            self._written.append((first, first + self._layout.width, self._layout.put_place(pages[0].at)))
        for one, after in zip(pages, (*pages[1:], None), strict=True):
            place = after.at if after is not None else 0
            if place != one.source.after:
                one.after = place
                if not one.changed:
                    link = one.source.link
                    self._written.append((link, link + self._layout.width, self._layout.put_place(place)))

    def _add(self, raw: bytes) -> int:
        """Put bytes behind the end of the file, at an even place, and return that."""
        self._added += bytes((self._end + len(self._added)) % 2)
        at = self._end + len(self._added)
        self._added += raw
        return at

    def _write(self, one: _Directory) -> None:
        layout = self._layout
        raw = layout.put_count(len(one.entries)) + b"".join(map(self._entry, one.entries))
        if one.source.link:
            raw += layout.put_place(one.after)
        if one.at >= self._end:
            self._added[one.at - self._end : one.at - self._end + len(raw)] = raw
        else:
            self._written.append((one.at, one.at + len(raw), raw))

    def _entry(self, one: _Value) -> bytes:
        if one.old:
            return one.old
        count = len(one.raw) // wire.SIZES[one.kind]
        if len(one.raw) <= self._layout.width:
            return self._layout.put_entry(one.tag, one.kind, count, one.raw)
        start = one.start
        if start == _APPEND:
            if one.raw not in self._places:
                self._places[one.raw] = self._add(one.raw)
            start = self._places[one.raw]
        return self._layout.put_entry(one.tag, one.kind, count, self._layout.put_place(start))
