"""A TIFF file, open: its fields, and what goes whatever the rules say."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from fw_gear_deid.formats.row import Changes, Field, Options, Splice
from fw_gear_deid.formats.tiff import PRIVATE, names, picture, ranges, slides, values, wire
from fw_gear_deid.formats.tiff.picture import Pixels
from fw_gear_deid.formats.tiff.ranges import Span
from fw_gear_deid.formats.tiff.wire import Directory, Entry
from fw_gear_deid.formats.tiff.write import Writer
from fw_gear_deid.model.action import Gone, Texts
from fw_gear_deid.model.errors import Malformed, Unfit
from fw_gear_deid.model.outcome import Always

UNUSED = "unused bytes"
_PRIVATE = 32768
_DESCRIPTION, _LENS, _DNG = 270, 65421, 50706
_MACRO = ("-1",)
_PIECES, _TIMES = 2_000_000, 4
_FEW = 16  # bytes


class Tiff:
    """A TIFF file, open; as ``formats.row.Document``.

    Raises
    ------
    Unfit
        It is damaged, or a slide whose label cannot be taken out.
    """

    def __init__(self, data: bytes, options: Options) -> None:
        self._data = data
        self._file = wire.File(data)
        self._told: dict[tuple[int, int, int, names.Tag], Texts] = {}
        self._pixels: dict[int, Pixels] = {}
        self._following = 1
        pieces = pictures = 0
        for one in self._directories():
            picture.own_places([entry.tag for entry in one.entries])
            self._pixels[one.at] = picture.pixels(self._numbers(one), data, one.place)
            pieces += len(self._pixels[one.at].sure)
            pictures += sum(end - start for start, end in ranges.union(self._pixels[one.at].sure))
            if pieces > _PIECES or pictures > _TIMES * len(data):
                raise Malformed(f"{one.place}: pictures stand in each other, or in too many pieces")
        self._add_following()
        self.fields: list[Field] = []
        self._named: dict[names.Tag, list[int]] = {}
        self.gone: dict[int, str] = {}
        for page in self._file.pages:
            self._add_page(page)
        self._leave(options)
        unused = ranges.minus([(0, len(data))], ranges.union(self._everything()))
        if next(ranges.not_blank(data, unused), None) is not None:
            self.gone[len(self.fields)] = Always.UNUSED.value
            self.fields.append(Field(UNUSED, UNUSED, ()))

    def _directories(self) -> Iterator[Directory]:
        for page in self._file.pages:
            yield from page.within()

    def _numbers(self, directory: Directory) -> picture.Numbers:
        return lambda tag: self._file.numbers(directory, tag)

    def _everything(self) -> Iterator[Span]:
        """Yield the bytes that something points at."""
        yield 0, self._file.layout.head
        for one in self._directories():
            yield from one.used(self._file.layout.width)
            yield from ((entry.start, entry.end) for entry in one.entries if not entry.inline)
            yield from self._pixels[one.at].sure
            yield from self._pixels[one.at].perhaps

    # -- fields --------------------------------------------------------------------------------------------

    def find(self, name: str) -> Sequence[int]:
        """Return which of the fields a name points at, in any case: on every page, in every sub-image and block."""
        return sorted(number for tag in names.tags_of(name) for number in self._named.get(tag, ()))

    def _add_following(self) -> None:
        """Count the bytes of pictures that have no directory to the first one's."""
        first = self._file.pages[0]
        entry = first.entry(_DESCRIPTION)
        told = picture.following(self._text(first, entry), self._numbers(first))
        if told > len(self._file.pages):
            self._following = told
            pixels = self._pixels[first.at]
            pixels.sure += picture.rest_of(told, pixels, self._numbers(first), len(self._data))

    def _add_page(self, page: Directory) -> None:
        page.number = len(self.fields)
        self.fields.append(Field(wire.PAGE, page.place, ()))
        self._add_entries(page)
        self._close(page.number)

    def _add_entries(self, directory: Directory) -> None:
        for entry in directory.entries:
            entry.number = len(self.fields)
            tag = directory.group, entry.tag
            self._named.setdefault(tag, []).append(entry.number)
            name = names.name_of(*tag)
            path = f"{directory.place} {name}"
            if entry.below:
                self.fields.append(Field(name, path, ()))
                for one in entry.below:
                    self._add_entries(one)
                self._close(entry.number)
            else:
                self.fields.append(Field(name, path, self._texts(directory, entry)))
        spans = ranges.union(self._pixels[directory.at].sure)
        if spans:
            self.fields.append(
                Field(picture.NAME, f"{directory.place} {picture.NAME}", (picture.told(self._data, spans),))
            )

    def _close(self, number: int) -> None:
        one = self.fields[number]
        self.fields[number] = Field(one.name, one.path, (), len(self.fields) - number - 1)

    def _texts(self, directory: Directory, entry: Entry) -> Texts:
        tag = directory.group, entry.tag
        if entry.inline:
            return values.texts_of(self._file.raw(entry), entry.kind, tag, self._file.layout.order)
        key = entry.start, entry.size, entry.kind, tag
        if key not in self._told:
            self._told[key] = values.texts_of(self._file.raw(entry), entry.kind, tag, self._file.layout.order)
        return self._told[key]

    def _text(self, directory: Directory, entry: Entry | None) -> str:
        return "\n".join(self._texts(directory, entry)) if entry is not None else ""

    def _leave(self, options: Options) -> None:
        """Note what goes whatever the rules say: pages with labels, and private tags where the profile wants it."""
        subs = [self._look(one) for one in self._directories() if one.role == wire.SUB]
        for number in slides.labels([self._look(page) for page in self._file.pages], subs):
            self._go(self._file.pages[number].number, Always.SLIDE_LABEL.value)
        if not options.get(PRIVATE):
            return
        for directory in self._directories():
            for entry in directory.entries:
                if entry.tag >= _PRIVATE and not _is_needed(entry):
                    self._go(entry.number, PRIVATE)

    def _go(self, number: int, why: str) -> None:
        for one in range(number, number + 1 + max(0, self.fields[number].holds)):
            self.gone.setdefault(one, why)

    def _look(self, page: Directory) -> slides.Look:
        def first(tag: int) -> int:
            return next(iter(self._file.numbers(page, tag)), 0)

        lens = page.entry(_LENS)
        return slides.Look(
            text=self._text(page, page.entry(_DESCRIPTION)),
            subfile=first(254),
            width=first(256),
            length=first(257),
            tiled=page.entry(324) is not None,
            macro=lens is not None and self._texts(page, lens) == _MACRO,
            camera=page.entry(_DNG) is not None,
        )

    # -- bytes ---------------------------------------------------------------------------------------------

    def splices(self, changes: Changes) -> Sequence[Splice]:
        """Return what is to be done to the bytes, in their order.

        Raises
        ------
        Unfit
            A type cannot hold its new value, or what goes shares bytes with what stays.
        """
        self._hold_series(changes)
        return Writer(self._data, self._file, self._pixels, self.fields, changes).splices()

    def _hold_series(self, changes: Changes) -> None:
        """Make sure that a description goes on telling of pictures that no directory tells of."""
        first = self._file.pages[0]
        entry = first.entry(_DESCRIPTION)
        new = changes.texts.get(entry.number) if entry is not None else None
        if self._following == 1 or new is None or first.number in changes.texts:
            return
        text = "" if isinstance(new, Gone) else "\n".join(new)
        if picture.following(text, self._numbers(first)) != self._following:
            raise Unfit(
                "its description tells of pictures that nothing else tells of: change the words around it alone"
            )


def _is_needed(entry: Entry) -> bool:
    """Tell whether a tag of a few numbers says how to decode (LERC, volumes), though it is a private one."""
    return entry.tag in names.FIXED and entry.kind in (3, 4) and entry.size <= _FEW
