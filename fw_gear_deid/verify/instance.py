"""Source, written bytes and the splices asked for → nothing, or why a DICOM file may not leave (interfaces §4).

A reader of its own, which shares nothing with what wrote the file: it finds every element of the result by its bytes,
and asks whether each place holds what the rules promise. What was asked once of eight bytes at a place is remembered.
"""

from __future__ import annotations

import re
import struct
from bisect import bisect_left
from collections.abc import Sequence, Set
from typing import NamedTuple

from fw_gear_deid.formats.dicom import values
from fw_gear_deid.model import limits
from fw_gear_deid.model.action import CLEANED, ENDS, EQUALS, GONE, MOVED, RENAMED, SHIFTED
from fw_gear_deid.model.dictionary import (
    LONG_VRS,
    format_tag,
    is_private,
    is_private_creator,
    knows_creator,
    private_vr,
    public_vr,
)
from fw_gear_deid.model.errors import Unfit
from fw_gear_deid.model.headers import kind_of
from fw_gear_deid.verify import cleaned, copies, fails, frames, headers, marks
from fw_gear_deid.verify.known import Known
from fw_gear_deid.verify.promises import PRIVATE, UNNAMED, WANTED, Promise, Promises, Way
from fw_gear_deid.verify.shapes import (
    BLOCK,
    FORMS,
    ITEMS,
    begins_like_items,
    inflate,
    is_moment,
    is_uid,
    keeps_uid,
    only_uid,
    stands,
    stands_still,
)
from fw_gear_deid.verify.source import (
    DEFLATED,
    HEADS,
    LENGTHS,
    LONG_CODES,
    PIXELS,
    PLAINS,
    UNDEFINED,
    VR_OF,
    Form,
    Reader,
    Span,
    Splice,
    form_of,
    really,
)
from fw_gear_deid.verify.spots import Key, Must, Spot, State
from fw_gear_deid.verify.ways import is_read_otherwise

Told = tuple[Sequence[Splice], Sequence[Splice], Set[str]]
_NO_ITEMS: frozenset[bytes] = frozenset()
_PIXEL_DATA = 0x7FE00010
_KNOWN_MAX, _EXPECTED_MAX, _PLACES_MAX, _LATE_MAX = 50_000, 10_000, 20_000, 10_000
_PASSED_MAX, _PASSED_BYTES, _BEGINNING = 200, 1 << 14, 64  # sequences, bytes of each, and those that it is looked up by
_LARGE = 1 << 11  # bytes
_CHARACTER_SET, _INSTANCE, _MEDIA, _SYNTAX = 0x00080005, 0x00080018, 0x00020003, 0x00020010
_VERSION, _MEDIA_CLASS, _PADDING = 0x00020001, 0x00020002, 0xFFFCFFFC
_MARKED = (marks.CODES, marks.EQUIPMENT)
_IDENTITY = frozenset({0x00080016, _INSTANCE, 0x00080060})
_WATCHED = _IDENTITY | {_CHARACTER_SET, _VERSION, _MEDIA_CLASS, _MEDIA, _SYNTAX}
_BITS = re.compile(rb"([\0-\x1f]{2})?")
_ALONE = re.compile(rb" *[0-9.]*[\0 ]*")
_EARLY = (PRIVATE, UNNAMED)
"""What goes by creators, which may stand behind their elements."""
_NOT_DICOM = "it is not DICOM: no prefix 'DICM'"


class Checker:
    """The checks of one section's results.

    Parameters
    ----------
    promises : Promises
    creators : frozenset of str
        Private creators that the profile names: their text may be shown.
    """

    def __init__(self, promises: Promises, creators: frozenset[str]) -> None:
        self.promises = promises
        self.creators = creators
        self.meta = Spot(Way(meta=True), Form(explicit=True, little=True))
        self._top: dict[Form, Spot] = {}
        self._inside: dict[Form, Spot] = {}
        self._places = 0
        self.reader = Reader()
        self._expected: dict[tuple[Promise, str, tuple[str, ...], bool], bytes] = {}

    def check(
        self,
        source: Span,
        data: bytes,
        told: Told,
        total: int | None = None,
        known: Known | None = None,
        said: marks.Said | None = None,
    ) -> Written:
        """Compare a result with its source; return it as it was read.

        Parameters
        ----------
        source : Span
        data : bytes
            The file as it would leave, or its beginning.
        told : sequence of Splice, sequence of Splice, set of str
            Of file meta and data set: offsets in the source, in order, and what was put there; and the paths of the
            audit's rows.
        total : int, optional
            Length of the whole result.
        known : Known, optional
            What texts that were cleaned may not tell.
        said : Said, optional
            What it is to say of its de-identification.

        Raises
        ------
        Unfit
            It does not parse, a change is missing, something that no rule asked for is different, or a promise is
            not kept.
        """
        try:
            return _Check(self, source, data, len(data) if total is None else total, known).run(*told, said)
        except struct.error:
            raise fails("the result does not parse") from None

    def top(self, form: Form) -> Spot:
        """Return the top level in an encoding."""
        known = self._top.get(form)
        if known is None:
            known = self._top[form] = Spot(Way(), form)
        return known

    def inside(self, spot: Spot, tag: int, index: int, form: Form) -> Spot:
        """Return the place inside an item: one for all where no rule goes by a path."""
        if not self.promises.by_path and not self.promises.by_way:
            known = self._inside.get(form)
            if known is None:
                known = self._inside[form] = Spot(Way(((0, 0),)), form)
            return known
        key = tag, index if self.promises.by_path else 0, form
        known = spot.below.get(key)
        if known is None:
            self._places += 1
            if self._places > _PLACES_MAX:
                self._places = 0
                for one in (self.meta, *self._top.values()):
                    one.below.clear()  # with all that is below
            known = spot.below[key] = Spot(Way((*spot.way.steps, (tag, index))), form)
        return known

    def expected(self, promise: Promise, vr: str, encodings: tuple[str, ...], *, little: bool) -> bytes:
        """Return the value that a constant has."""
        key = promise, vr, encodings, little
        known = self._expected.get(key)
        if known is None:
            if len(self._expected) >= _EXPECTED_MAX:
                self._expected.clear()
            known = self._expected[key] = values.encode(promise.texts, vr, encodings, little=little)
        return known


class Written(NamedTuple):
    """A result that passed its check, for others to look at.

    Attributes
    ----------
    data : bytes
        What holds its data set: all of it, inflated, or the beginning of it.
    start, total : int
        Where the data set begins and ends.
    form : Form
    pixels : (int, int)
        Where the value of the top level's pixels begins and ends; at the end of all where it has none.
    large : sequence of (int, int)
        The same of values of some thousand bytes, in the order of the data set; there may be others.
    """

    data: bytes
    start: int
    total: int
    form: Form
    pixels: tuple[int, int]
    large: Sequence[tuple[int, int]]


class _Check:
    """One result."""

    def __init__(self, checker: Checker, source: Span, data: bytes, total: int, known: Known | None = None) -> None:
        self._checker = checker
        self._known = known
        self._source = source
        self._data = data
        self._total = total
        self._src = data
        self._at: dict[int, Splice] = {}
        self._put: list[int] = []
        self._was = b""
        self._trail: list[str] = []
        self._pixels: tuple[int, int] | None = None
        self._large: list[tuple[int, int]] = []
        self._media: bytes | None = None
        self._instance: bytes | None = None
        self._identified = False
        self._syntax = ""
        self._items_left = limits.now().most("elements")
        self._own = _NO_ITEMS
        self._ordered = True

    def run(self, meta: Sequence[Splice], body: Sequence[Splice], paths: Set[str], said: marks.Said | None) -> Written:
        source, data = self._source, self._data
        prefix = source.data[128:132] == b"DICM"
        if (data[128:132] == b"DICM") != prefix:
            raise fails("the prefix 'DICM' is not where it was")
        if prefix and data[:128].strip(b"\0"):
            raise fails("the preamble is not empty")
        if not prefix and data[:2] not in (b"\x02\0", b"\x08\0"):
            raise Unfit(f"the result does not parse: {_NOT_DICOM} and no data set at its start")
        start = 132 if prefix else 0
        self._src, self._was = data, source.data
        end = start + self._same(source.data, source.meta, source.meta_end, data, start, meta)
        form = self._meta(start, end)
        now, total = data, self._total
        inflated = source.body is not source.data
        if inflated != (self._syntax == DEFLATED):
            raise fails("the result does not parse")  # a rule may set another transfer syntax
        if inflated:
            now, end = inflate(data, end, len(source.body) + sum(len(new) for _, _, new in body)), 0
            total = len(now)
        length = self._same(source.body, source.start, source.end, now, end, body)
        missing = total - len(now)
        if end + length != total or (missing and missing != source.end - len(source.body)):
            raise fails("bytes follow the last element")
        if not length:
            raise Unfit("the result does not parse: its data set is empty")
        self._src, self._was = now, source.body
        form = really(now, end, total, form)
        self._one_way(end, total, form, undefined=False)
        self._own = _NO_ITEMS if said is None else said.own
        if self._level(end, total, State(self._checker.top(form), ()), undefined=False) != total:
            raise fails("bytes follow the last element")
        if not prefix and not self._identified:
            raise Unfit(f"the result does not parse: {_NOT_DICOM}, and its bytes are no complete data set")
        same = self._instance is None or self._media in (self._instance, only_uid(self._instance))
        if self._instance and source.meta_end > source.meta and not same:
            raise fails("MediaStorageSOPInstanceUID is not SOPInstanceUID")
        if said is not None:
            marks.check(now, (end, total), form, said, ordered=self._ordered)
        self._checker.reader.check(source, meta, body, paths)
        if self._checker.promises.follow:
            spans = [(end, self._pixels[0]), (self._pixels[1], total)] if self._pixels else [(end, total)]
            hunt = copies.Hunt(self._checker.promises, end, total, form)
            copies.check(source.body, now, spans, body, hunt)
        return Written(now, end, total, form, self._pixels or (total, total), self._large)

    def _same(self, src: bytes, start: int, end: int, now: bytes, at: int, splices: Sequence[Splice]) -> int:
        """Compare a span with its source; return its length. What no splice names is as it was, byte for byte."""
        self._at, self._put = {}, []
        begin = at
        for first, last, new in splices:
            length = first - start
            if length < 0:
                raise fails("changes lie over each other")
            if not (now.startswith(src[start:first], at) if length <= BLOCK else stands(src, start, first, now, at)):
                raise fails("something changed without a rule")
            at += length
            if new:
                if not now.startswith(new, at):
                    raise fails("a change is missing")
                self._at[at] = first, last, new
                self._put.append(at)
                at += len(new)
            start = last
        if end < start:
            raise fails("changes lie over each other")
        shown = max(min(len(src), end) - start, 0)
        if not stands(src, start, start + shown, now, at):
            raise fails("something changed without a rule")
        return at + end - start - begin

    # -- reading ---------------------------------------------------------------------------------------

    def _meta(self, pos: int, end: int) -> Form:
        """Read the file meta; return the encoding that it tells."""
        if self._level(pos, end, State(self._checker.meta, ()), undefined=False) != end:
            raise fails("the result does not parse")
        return form_of(self._syntax)

    def _level(self, pos: int, end: int, state: State, *, undefined: bool) -> int:
        """Read the elements of a data set; return where it ended, behind its delimiter if there is one."""
        src, spot = self._src, state.spot
        known = spot.known
        explicit, little = spot.form
        begin, last = pos, -1
        twins: set[int] | None = None
        while pos < end:
            entry = known.get(src[pos : pos + 8]) or self._learn(src[pos : pos + 8], spot)
            tag, length, must = entry
            if not length:
                if not undefined:
                    raise fails("the result does not parse")
                self._look_back(state)
                return pos + 8
            if tag <= last or twins is not None:
                self._ordered = False
                twins = self._no_twin(twins, begin, pos, tag, spot)
            last = max(tag, last)
            if length > 0:
                value, stop = pos + 8, pos + length
            else:
                value = pos + 12 if explicit else pos + 8
                if src[value - 4 : value] == UNDEFINED:
                    assert must is not None  # noqa: S101 -- of undefined length nothing is passed over
                    pos = self._open(pos, value, end, tag, must, state)
                    continue
                stop = value + LENGTHS[little].unpack_from(src, value - 4)[0]
                if stop - value >= _LARGE and spot.way.top:
                    self._large.append((value, stop))
            if stop > end:
                raise fails("the result does not parse")
            if must is not None:
                if must.vr == "SQ" or (must.hides and begins_like_items(src[value : value + 8], stop - value)):
                    self._closed(value, stop, tag, must, state)
                else:
                    if must.sealed and any(item in src[value:stop] for item in ITEMS):
                        raise fails(f"{self._here(tag, state)} holds items and is no sequence")
                    if tag == _CHARACTER_SET and not spot.way.meta:
                        state.encodings = values.encodings_of(src[value:stop])
                    elif is_private_creator(tag):
                        state.creators[tag] = src[value:stop].decode("iso8859").strip("\0 ")
                    elif tag in _WATCHED and spot.way.top:
                        self._take(tag, src[value:stop], must, meta=spot.way.meta)
                    elif tag in self._checker.promises.mate_tags and src[value:stop].strip(b"\0 "):
                        state.there.add(tag)
                    self._ask(pos, value, stop, tag, must, state)
            pos = stop
        if undefined:
            raise fails("the result does not parse")
        self._look_back(state)
        return pos

    def _one_way(self, pos: int, end: int, form: Form, *, undefined: bool) -> None:
        """Make sure that others find the same elements in a data set, whatever they take its encoding for."""
        if is_read_otherwise(self._src, pos, end, form, undefined=undefined):
            where = "".join(self._trail) or "the data set"
            raise fails(f"{where} can be read in two ways, with and without VR; convert the file with dcmconv")

    def _look_back(self, state: State) -> None:
        """Ask of what stood before its creator, or before what it goes by besides."""
        for tag in state.early:
            promise = self._checker.promises.at(state.spot.way, tag, state.creator_of(tag), "UN")
            if promise in _EARLY:
                raise self._broken(promise, tag, state)
        state.ended = True
        for pos, value, stop, tag, must in state.waiting:
            self._ask(pos, value, stop, tag, must, state)
        for count, tag, must in state.counts:
            self._ask_items(count, tag, must, state)

    def _take(self, tag: int, raw: bytes, must: Must, *, meta: bool) -> None:
        if meta and must.promise is None and tag != _MEDIA:  # which is compared
            form = _BITS if tag == _VERSION else _ALONE
            if form.fullmatch(raw) is None:
                raise fails(f"{format_tag(tag)} holds more than its value")
        if meta and tag == _SYNTAX:
            self._syntax = raw.decode("ascii", "replace").strip("\0 ")
        elif meta and tag == _MEDIA:
            self._media = raw
        elif not meta and tag in _IDENTITY:
            self._identified = True
            if tag == _INSTANCE:
                self._instance = raw

    def _no_twin(self, seen: set[int] | None, begin: int, pos: int, tag: int, spot: Spot) -> set[int]:
        """Make sure that a tag stands once in a data set that is out of order; return the tags up to it."""
        if seen is None:
            other = _Check(Checker(Promises((), recurse=False), frozenset()), self._source, self._data, self._total)
            other._src = self._src
            seen = other._tags(begin, pos, spot)
        if tag in seen:
            raise fails(f"{format_tag(tag)} stands twice")
        seen.add(tag)
        return seen

    def _tags(self, pos: int, end: int, place: Spot) -> set[int]:
        """Return the tags of a span of elements."""
        found = set()
        form = place.form
        spot = Spot(Way(((0, 0),), meta=place.way.meta), form)
        while pos < end:
            tag, length, must = self._learn(self._src[pos : pos + 8], spot)
            found.add(tag)
            if length > 0:
                pos += length
                continue
            value = pos + 12 if form.explicit else pos + 8
            if self._src[value - 4 : value] == UNDEFINED:
                assert must is not None  # noqa: S101 -- of undefined length nothing is passed over
                pos = self._open(pos, value, end, tag, must, State(spot, ()))
            else:
                pos = value + LENGTHS[form.little].unpack_from(self._src, value - 4)[0]
        return found

    def _learn(self, key: bytes, spot: Spot) -> tuple[int, int, Must | None]:
        """Decode the first eight bytes of an element; length 0 is the end of an item."""
        if len(key) < 8:
            raise fails("the result does not parse")
        explicit, little = spot.form
        group, element, code, short = HEADS[little].unpack(key)
        tag = group << 16 | element
        if tag == 0xFFFEE00D and key[4:] == bytes(4):
            return tag, 0, None
        if group == 0xFFFE or (group == 2) != spot.way.meta or group == 0:
            raise fails("the result does not parse")
        if explicit:
            wire = VR_OF.get(code, "")
            if not wire:
                raise fails("the result does not parse")
            length = -1 if code in LONG_CODES else 8 + short
            vr = wire if wire != "UN" else public_vr(tag) or "UN"
        else:
            length = -1 if key[4:] == UNDEFINED else 8 + LENGTHS[little].unpack_from(key, 4)[0]
            wire = vr = public_vr(tag) or ("LO" if is_private_creator(tag) else "UN")
        must = self._must(tag, vr, wire, spot)
        if length > 0 and must.promise is None and not must.late and vr != "SQ" and wire != "UN" and not must.sealed:
            watched = (
                tag in _WATCHED or tag in PIXELS or is_private_creator(tag) or tag in self._checker.promises.mate_tags
            )
            if not watched:
                entry: tuple[int, int, Must | None] = tag, length, None
                return self._keep(spot, key, entry)
        return self._keep(spot, key, (tag, length, must))

    @staticmethod
    def _keep(spot: Spot, key: bytes, entry: tuple[int, int, Must | None]) -> tuple[int, int, Must | None]:
        if len(spot.known) >= _KNOWN_MAX:
            spot.known.clear()
        spot.known[key] = entry
        return entry

    def _must(self, tag: int, vr: str, wire: str, spot: Spot) -> Must:
        promises = self._checker.promises
        spared = tag == (_MEDIA if spot.way.meta else _INSTANCE) and spot.way.top
        private = is_private(tag) and not is_private_creator(tag)
        unknown = is_private(tag) or public_vr(tag) is None
        hides = wire == "UN" or (unknown and wire in LONG_VRS and tag not in PIXELS)
        if (is_private(tag) and promises.by_creator) or (tag in promises.mates and not spot.way.meta):
            return Must(vr, wire, None, late=True, hides=hides, sealed=False)
        promise = None if spared else promises.at(spot.way, tag, "", vr)
        if tag == _PADDING and promise is None:
            raise fails(f"{format_tag(tag)} is not gone")
        sealed = public_vr(tag) == "SQ" and vr != "SQ"
        return Must(vr, wire, promise, private and vr == "UN" and promise is not None, hides, sealed)

    # -- sequences and fragments -----------------------------------------------------------------------

    def _open(self, pos: int, value: int, end: int, tag: int, must: Must, state: State) -> int:
        """Read what has no length: items, or the fragments of pixel data; return where it ends."""
        src = self._src
        if must.vr in ("SQ", "UN") or must.hides:
            stop, count = self._recall(value, tag, must, state, undefined=True)
            if stop < 0:
                stop, count = self._items(value, end, tag, must, state, undefined=True)
                self._remember(value, (stop, count), tag, must, state, undefined=True)
            self._ask_items(count, tag, must, state)
            return stop
        stop = value
        while src[stop : stop + 8] != b"\xfe\xff\xdd\xe0\0\0\0\0":
            if src[stop : stop + 4] != b"\xfe\xff\x00\xe0" or stop >= end:
                raise fails("the result does not parse")
            stop += 8 + LENGTHS[True].unpack_from(src, stop + 4)[0]
        if tag == _PIXEL_DATA:
            frames.check(src, value, stop + 8, self._undone)
        self._ask(pos, value, stop + 8, tag, must, state)
        return stop + 8

    def _undone(self, start: int, stop: int) -> bytes:
        """Return what stood in the source where a span of the result stands, in which nothing moved."""
        first = bisect_left(self._put, start)
        if first == len(self._put) or self._put[first] >= stop:
            return self._src[start:stop]
        was = bytearray(self._src[start:stop])
        for at in self._put[first : bisect_left(self._put, stop)]:
            begin, end, new = self._at[at]
            if end - begin != len(new) or at + len(new) > stop:
                raise fails("something moved in a frame")
            was[at - start : at - start + len(new)] = self._was[begin:end]
        return bytes(was)

    def _closed(self, value: int, stop: int, tag: int, must: Must, state: State) -> None:
        """Read a sequence of a length; a short one in which there is nothing to ask is read once."""
        known, count = self._recall(value, tag, must, state, undefined=False)
        if known != stop:
            _, count = self._items(value, stop, tag, must, state, undefined=False)
            self._remember(value, (stop, count), tag, must, state, undefined=False)
        self._ask_items(count, tag, must, state)

    def _recall(self, value: int, tag: int, must: Must, state: State, *, undefined: bool) -> tuple[int, int]:
        """Return where a sequence ends that passed before, and its number of items; -1 where it is not known.

        Without a change in it what is asked of it is answered by its bytes alone.
        """
        src = self._src
        key = self._key(value, tag, must, state, undefined=undefined)
        known, count = state.spot.passed.get(key, (b"", 0))
        stop = value + len(known)
        if not known or src[value:stop] != known or self._is_changed(value, stop):
            return -1, 0
        return stop, count

    def _remember(
        self, value: int, found: tuple[int, int], tag: int, must: Must, state: State, *, undefined: bool
    ) -> None:
        stop, count = found
        if stop - value > _PASSED_BYTES or self._is_changed(value, stop):
            return
        passed = state.spot.passed
        if len(passed) >= _PASSED_MAX:
            passed.clear()
        passed[self._key(value, tag, must, state, undefined=undefined)] = self._src[value:stop], count

    def _key(self, value: int, tag: int, must: Must, state: State, *, undefined: bool) -> Key:
        """Return what a sequence that passed is found by: what texts may not tell counts, too."""
        return tag, must.wire, undefined, state.encodings, self._src[value : value + _BEGINNING], self._known

    def _is_changed(self, start: int, stop: int) -> bool:
        """Tell whether something was put into a span of the result."""
        at = bisect_left(self._put, start)
        return at < len(self._put) and self._put[at] < stop

    def _items(self, pos: int, end: int, tag: int, must: Must, state: State, *, undefined: bool) -> tuple[int, int]:
        """Read the items of a sequence; return where it ends, and how many there are."""
        src, spot = self._src, state.spot
        form = Form(explicit=False, little=True) if must.wire == "UN" else spot.form
        count = 0
        while pos < end or undefined:
            group, element, length = PLAINS[form.little].unpack_from(src, pos)
            item = group << 16 | element
            pos += 8
            if item == 0xFFFEE0DD and undefined and not length:
                return pos, count
            if item != 0xFFFEE000:
                raise fails("the result does not parse")
            self._items_left -= 1
            if self._items_left < 0:
                raise limits.beyond("elements", limits.now().most("elements"))
            ends = length == 0xFFFFFFFF
            stop = end if ends else pos + length
            if stop > end:
                raise fails("the result does not parse")
            if tag in _MARKED and spot.way.top and src[pos:stop] in self._own:
                pos = stop  # the program's own word of itself, in which no rule has a say
                count += 1
                continue
            inside = really(src, pos, stop, form)
            below = self._checker.inside(spot, tag, count, inside)
            self._trail.append(f"{self._here(tag, state)}[{count}]")
            self._one_way(pos, stop, inside, undefined=ends)
            pos = self._level(pos, stop, State(below, state.encodings), undefined=ends)
            self._trail.pop()
            count += 1
        if pos != end:
            raise fails("the result does not parse")
        return pos, count

    # -- promises --------------------------------------------------------------------------------------

    def _held(self, tag: int, must: Must, state: State) -> tuple[Promise | None, str]:
        """Return the promise of an element and the VR that rules go by."""
        promise, vr = must.promise, must.vr
        if must.late:
            creator = state.creator_of(tag)
            mates = self._checker.promises.mates.get(tag)
            whole = mates is None or not mates.isdisjoint(state.there)
            key = tag, creator, vr, whole
            if key in state.spot.late:
                promise = state.spot.late[key]
            else:
                if len(state.spot.late) >= _LATE_MAX:
                    state.spot.late.clear()
                promise = self._checker.promises.at(state.spot.way, tag, creator, vr, whole=whole)
                state.spot.late[key] = promise
            if vr == "UN":
                vr = private_vr(tag, creator) or "UN"
        return promise, vr

    @staticmethod
    def _is_idle(tag: int, state: State) -> bool:
        """Tell whether a creator is a known one, no name, that an action left when it took the last of its block."""
        return knows_creator(state.creator_of(tag))

    def _waits(self, tag: int, must: Must, state: State) -> bool:
        """Tell whether what is asked of an element may go by a creator that stands behind it."""
        if state.ended or not must.late or not self._checker.promises.general:
            return False
        if tag in self._checker.promises.mates:
            return True
        if is_private_creator(tag):
            return self._checker.promises.by_way  # a table lets it stay for the sake of its block
        block = tag & 0xFFFF0000 | tag >> 8 & 0xFF
        state.used.add(block)
        return block not in state.creators

    def _ask(self, pos: int, value: int, stop: int, tag: int, must: Must, state: State) -> None:
        if self._waits(tag, must, state):
            state.waiting.append((pos, value, stop, tag, must))
            return
        if tag in PIXELS and state.spot.way.top:
            self._pixels = value, stop
        promise, vr = self._held(tag, must, state)
        if promise is None or self._is_early(promise, tag, state):
            return
        if promise.table and is_private_creator(tag) and (tag in state.used or self._is_idle(tag, state)):
            return
        if promise.kind == GONE:
            raise self._broken(promise, tag, state)
        if stop > len(self._src):
            raise fails("a change lies beyond the bytes at hand")
        now = self._src[value:stop]
        if promise.kind in (EQUALS, ENDS):
            little = state.spot.form.little or must.wire == "UN"
            wanted = self._checker.expected(promise, vr, state.encodings, little=little)
            behind = promise.kind == ENDS and now.rstrip(b" ").endswith(b"\\" + wanted.rstrip(b" "))
            if vr != "SQ" and now != wanted and not behind:
                raise self._broken(promise, tag, state)
            return
        if promise.kind == CLEANED:
            self._ask_cleaned(now, vr, tag, must, state, promise)
            return
        before = self._before(pos, value, stop, state.spot)
        if promise.kind in (MOVED, SHIFTED):
            if promise.kind == SHIFTED and stands_still(before, now, vr):
                raise self._broken(promise, tag, state)
            if before != now and vr in FORMS and not all(is_moment(one, vr) for one in now.split(b"\\")):
                raise self._broken(promise, tag, state)
            return
        if before.strip(b"\0 ") and (keeps_uid(before, now) if promise.kind == RENAMED else before == now):
            raise self._broken(promise, tag, state)
        if vr == "UI" and not all(map(is_uid, now.split(b"\\"))):
            raise fails(f"{promise.label}: {''.join(self._trail)}{self._here(tag, state)} is no legal UID")

    def _ask_cleaned(self, now: bytes, vr: str, tag: int, must: Must, state: State, promise: Promise) -> None:
        """Make sure that no value tells what was taken away; it is text, since the rule could read it."""
        if self._known is None:
            raise fails(f"{promise.label}: nobody says what texts may not tell")
        if kind_of(state.creator_of(tag), tag):
            if told := headers.told_by(now, self._known):
                raise fails(f"{promise.label}: {''.join(self._trail)}{self._here(tag, state)} still tells {told}")
            return
        little = state.spot.form.little or must.wire == "UN"
        for text in values.decode(now, vr, state.encodings, little=little):
            if told := cleaned.told_by(text, self._known):
                raise fails(f"{promise.label}: {''.join(self._trail)}{self._here(tag, state)} still tells {told}")

    def _before(self, pos: int, value: int, stop: int, spot: Spot) -> bytes:
        """Return the value that an element had in the source."""
        splice = self._at.get(pos)
        if splice is None:
            return self._src[value:stop]
        start, end, _ = splice
        if start == end:
            return b""
        code = self._was[start + 4 : start + 6]
        return self._was[start + (12 if spot.form.explicit and code in LONG_CODES else 8) : end]

    def _ask_items(self, count: int, tag: int, must: Must, state: State) -> None:
        if self._waits(tag, must, state):
            state.counts.append((count, tag, must))
            return
        promise, _ = self._held(tag, must, state)
        if promise is None or promise is UNNAMED or self._is_early(promise, tag, state):
            return  # a sequence may hold what is named: whatever is in it has been asked for
        if promise.kind == GONE or (promise.kind == EQUALS and count):
            raise self._broken(promise, tag, state)

    @staticmethod
    def _is_early(promise: Promise, tag: int, state: State) -> bool:
        if promise in _EARLY and is_private(tag) and not state.creator_of(tag):
            state.early.append(tag)
            return True
        return False

    def _broken(self, promise: Promise, tag: int, state: State) -> Unfit:
        path = "".join(self._trail) + self._here(tag, state)
        return fails(f"{promise.label}: {path} is not {WANTED[promise.kind]}")

    def _here(self, tag: int, state: State) -> str:
        if is_private(tag) and not is_private_creator(tag):
            creator = state.creator_of(tag)
            if creator in self._checker.creators or knows_creator(creator):
                return f'({tag >> 16:04X},"{creator}",{tag & 0xFF:02X})'
        return format_tag(tag)
