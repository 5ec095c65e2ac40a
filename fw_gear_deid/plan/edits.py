"""Levels of one file and the places of a section → the splices that carry it out, and the audit's rows."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from fw_gear_deid.formats.dicom import texts, values
from fw_gear_deid.formats.dicom.level import CHARACTER_SET, Found, Level, Place
from fw_gear_deid.formats.dicom.walk import Walker
from fw_gear_deid.formats.dicom.wire import PIXEL_TAGS, header, item_header
from fw_gear_deid.model.dictionary import (
    TEXT_VRS,
    format_tag,
    is_private,
    is_private_creator,
    keyword_of,
    knows_creator,
)
from fw_gear_deid.model.errors import Unfit, Unreadable
from fw_gear_deid.model.headers import kind_of
from fw_gear_deid.model.outcome import Edit
from fw_gear_deid.model.selectors import PathAt, Selector, TagAt
from fw_gear_deid.plan.chain import Chain, Memory, Problem, Result, age_of
from fw_gear_deid.plan.copies import Copy, copies, may_hold
from fw_gear_deid.plan.growth import Growth, New
from fw_gear_deid.plan.places import (
    BIRTH_DATE,
    FOLLOW,
    SOP_INSTANCE_UID,
    STUDY_DATE,
    Act,
    Beside,
    Places,
    Rank,
    RulePlace,
)
from fw_gear_deid.plan.sequences import STAYS, Doomed, carry_sequence

Cleaner = Callable[[Iterable[Edit], Iterable[tuple[str, str]]], Callable[[str], str]]
"""Rows of the audit, and texts with their VR of what goes in sequences → how texts are cleaned of them."""
Splice = tuple[int, int, bytes]
"""Offsets in the source, and what stands there instead."""
Row = tuple[int, int, int, Edit]
"""Rank, number of the data set, position in the list, and the row: in this order they stand in the audit."""


@dataclass(slots=True)
class Out:
    """What comes of a part of a file."""

    splices: list[Splice] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)


class Edits:
    """What a section makes of one file.

    Parameters
    ----------
    places : Places
    src : bytes
        What ``body`` was walked in.
    body : Level
    memory : callable
        Text codecs → results remembered for them.
    cleaner : callable, optional
        How texts are cleaned; without one they cannot be.

    Attributes
    ----------
    body, meta : Out
        Splices of data set and file meta, in order.
    before, after : dict
        Watched tag of the top level → value bytes and VR, as they came and as they will stand.
    matched : set of int
        Rules that found something.
    unread : list of Level and Found
        What goes and has texts of which the audit tells the size alone: sequences, and values in an unknown spelling.
    sealed : list of Level and Found
        What goes into an envelope.
    """

    def __init__(
        self,
        places: Places,
        src: bytes,
        body: Level,
        memory: Callable[[tuple[str, ...]], Memory],
        cleaner: Cleaner | None = None,
    ) -> None:
        self._places = places
        self._section = places.section
        self._src = src
        self._top = body
        self._memory_of = memory
        self._cleaner = cleaner
        self._clean: Callable[[str], str] | None = None
        self._used: dict[int, Memory] = {}
        self._prefixes: dict[int, str] = {0: ""}
        self._problems: list[tuple[int, int, str]] = []
        self._listed: dict[int, set[int]] = {}
        self._growth: Growth | None = None
        self._grown: list[tuple[tuple[int, int | None], ...]] = []
        self._uids: dict[bytes, tuple[bytes, str, str]] = {}
        """UIDs that were changed → as they will stand, by which action and rule."""
        self.before: dict[int, tuple[bytes, str]] = {}
        self.after: dict[int, tuple[bytes, str]] = {}
        self.matched: set[int] = set()
        self.unread: list[tuple[Level, Found]] = []
        self.sealed: list[tuple[Level, Found]] = []
        self.body = Out()
        self.meta = Out()

    def run(self, meta_src: bytes, meta: Level) -> None:
        """Carry out the section.

        Raises
        ------
        Unfit
            A rule cannot be carried out; the message names rule, place and cause.
        """
        try:
            self._run(meta_src, meta)
        finally:
            for memory in self._used.values():
                memory.world.file = None  # what is remembered of values must not hold files

    def _run(self, meta_src: bytes, meta: Level) -> None:
        if self._section.remove_undefined:
            self._grown = [
                one.selector.steps
                for one in self._places.growing
                if isinstance(one.selector, PathAt) and not any(self._at(one.selector))
            ]
            self._list(self._top)
        if self._places.growing:
            self._grow()
        self._level(self._top, self._src, Rank.NEVER, self.body)
        if meta.found:
            self._level(meta, meta_src, Rank.NEVER, self.meta)
        if self._problems:
            raise Unfit(min(self._problems)[2])
        if self._uids:
            self._follow()
        for out in (self.body, self.meta):
            out.splices.sort(key=lambda splice: splice[:2])
        self._no_doubts()

    def _no_doubts(self) -> None:
        """Refuse where a value stays that may be a sequence, and cannot be read as one."""
        splices = self.body.splices
        for level, one in self._top.doubts:
            at = bisect_right(splices, one.start, key=lambda splice: splice[0]) - 1
            if at < 0 or splices[at][1] < one.end:
                here = self._prefix(level) + format_tag(one.want.tag)
                raise Unfit(f"{here} {one.want.wire} begins like a sequence and cannot be read as one; remove it")

    def rows(self) -> list[Edit]:
        """Return the audit's rows, in the order of the steps that made them."""
        return [row[3] for row in sorted([*self.meta.rows, *self.body.rows], key=lambda row: row[:3])]

    def _grow(self) -> None:
        growth = Growth(self._places, self._top, Walker(self._src).position, self._is_there, self._is_taken)
        try:
            growth.grow()
        except Unfit as error:
            tag = next(iter(self._places.growing_tags))
            raise Unfit(str(error).replace("{path}", format_tag(tag))) from None
        self._growth = growth
        if self._section.remove_undefined:
            self._listed[id(self._top)] |= growth.revived

    def _is_taken(self, level: Level, one: Found, rank: int) -> bool:
        """Tell whether a step before a rank takes the items of a sequence away."""
        return one.items is not None and self._doomed(level, self._act(level, one), one, rank).rank < rank

    def _is_there(self, selector: Selector, rank: int) -> bool:
        """Tell whether an element that a selector points at stands there before a rank."""
        for level, one in self._at(selector):
            act = self._act(level, one)
            if one.items is not None:
                there = self._doomed(level, act, one, rank).rank >= rank
            else:
                try:
                    there = self._memory(level).result(act, self._src[one.value : one.end], rank).value is not None
                except Problem:
                    return True  # told when it is carried out
            if there and self._lives(level, rank):
                return True
        return False

    # -- surroundings ----------------------------------------------------------------------------------

    def encodings(self, level: Level) -> tuple[str, ...]:
        """Return the text codecs of a data set as it came in: its own, or those of what holds it."""
        if level.charset is not None:
            return values.encodings_of(level.charset)
        return () if level.parent is None else self.encodings(level.parent)

    def _memory(self, level: Level) -> Memory:
        """Return what is remembered of values in the character set of a data set, and let it ask for this file."""
        memory = self._memory_of(() if level.place is self._places.meta else self.encodings(level))
        memory.world.file = self
        self._used[id(memory)] = memory
        return memory

    def _way(self, level: Level) -> str:
        """Return the path of an item of any walk: what was passed over in one has numbers in another."""
        if level.parent is None:
            return ""
        return f"{self._way(level.parent)}{self._here(level.parent, level.tag)}[{level.index}]"

    def _prefix(self, level: Level) -> str:
        """Return the path of an item: ``(0008,1140)[0]``."""
        if level.parent is None:
            return ""
        known = self._prefixes.get(level.number)
        if known is None:
            here = self._here(level.parent, level.tag)
            known = self._prefixes[level.number] = f"{self._prefix(level.parent)}{here}[{level.index}]"
        return known

    def _here(self, level: Level, tag: int) -> str:
        if is_private(tag) and not is_private_creator(tag):
            creator = level.creator_of(tag)
            if creator in self._places.creators or knows_creator(creator):
                return f'({tag >> 16:04X},"{creator}",{tag & 0xFF:02X})'
        return format_tag(tag)

    def ages(self) -> str:
        """Return PatientAge by the dates as they came."""
        texts = [self.text_before(tag) for tag in (BIRTH_DATE, STUDY_DATE)]
        return age_of(*texts, self._section.date_format, self._section.age_units)

    def text_before(self, tag: int) -> str:
        """Return the text of a watched element as it came; empty where it is absent or has none."""
        found = next((one for one in self._top.found if one.want.tag == tag and one.items is None), None)
        if found is None:
            return ""
        try:
            raw = self._src[found.value : found.end]
            little = self._top.place.encoding.little
            return ",".join(values.decode(raw, found.want.vr, self.encodings(self._top), little=little))
        except Unfit:
            return ""

    def clean(self, text: str) -> str:
        """Return a text without what the section takes away elsewhere in the file."""
        return self.cleaning()(text)

    def cleaning(self) -> Callable[[str], str]:
        """Return how texts lose what the section takes away elsewhere in the file.

        Raises
        ------
        Unfit
            Nobody says how.
        """
        if self._clean is None:
            if self._cleaner is None:
                raise Unfit("nobody says how a text is cleaned here")
            self._clean = _as_it_is  # what is cleaned and changed besides is known by what it was
            rows: list[Edit] = []
            unread: list[tuple[str, str]] = []
            for level in self._top.levels():
                for one in level.found:
                    self._learn(level, one, rows, unread)
            self._clean = self._cleaner(rows, unread)
        return self._clean

    def _learn(self, level: Level, one: Found, rows: list[Edit], unread: list[tuple[str, str]]) -> None:
        """Note what becomes of an element, as far as it says something of somebody."""
        act = self._act(level, one)
        if not act.steps or act.keeps or act.gone or kind_of(act.creator, act.tag):
            return
        if one.items is not None:
            result = self._doomed(level, act, one, Rank.NEVER).result
            if result is not None and result.new is not None:
                found = texts.texts_in(self._src[one.start : one.end], level.place.encoding, self.encodings(level))
                unread += found
            return
        try:
            result = self._memory(level).result(act, self._src[one.value : one.end])
        except Problem:
            return  # told when it is carried out
        if result.edit is not None:
            rows.append(result.edit)

    def sync(self) -> bytes | None:
        """Return what (0002,0003) must be: the SOPInstanceUID as it will stand (PS3.10 §7.1); None to leave it."""
        after = self.after.get(SOP_INSTANCE_UID)
        return None if after is None else after[0]

    def read(self, name: str, rank: int) -> str:
        """Return the text of another field, as it stands before a rank; empty when absent."""
        return self.text_at(self._places.references[name], rank)

    def text_at(self, selector: Selector, rank: int = Rank.NEVER) -> str:
        """Return the text of the first element that a selector points at, as it stands before a rank."""
        for level, one in self._at(selector):
            if one.items is not None:
                continue
            act = self._act(level, one)
            raw = self._src[one.value : one.end] if one.value > one.start else None
            memory = self._memory(level)
            result = memory.result(act, raw, rank)
            if result.value is None or not self._lives(level, rank):
                continue
            little = level.place.encoding.little or act.wire == "UN"
            try:
                return ",".join(values.decode(result.value, result.vr, memory.world.encodings, little=little))
            except Unreadable as error:
                raise Unreadable(f"{self._prefix(level)}{act.here} {result.vr}: {error}") from None
        return self._read_inserted(selector, rank)

    def _read_inserted(self, selector: Selector, rank: int) -> str:
        place = self._top.place
        assert isinstance(place, RulePlace)  # noqa: S101 -- walked by these places
        if not (isinstance(selector, TagAt) and selector.tag in place.inserts):
            return ""
        memory = self._memory(self._top)
        result = memory.result(place.absent(selector.tag), None, rank)
        if result.value is None:
            return ""
        return ",".join(values.decode(result.value, result.vr, memory.world.encodings, little=place.encoding.little))

    def shown(self, selector: Selector, meta_src: bytes, meta: Level) -> Iterator[tuple[str, str]]:
        """Yield keyword or path, and text, of every element that a selector points at."""
        for src, top in ((meta_src, meta), (self._src, self._top)):
            for level in top.levels():
                place = level.place
                assert isinstance(place, RulePlace)  # noqa: S101 -- walked by these places
                for one in level.found:
                    tag = one.want.tag
                    creator = "" if is_private_creator(tag) else level.creator_of(tag)
                    if not place.points(selector, tag, creator):
                        continue
                    label = keyword_of(tag) if level is self._top else ""
                    act = place.settled(tag, one.want.vr, one.want.wire, creator)
                    label = label or self._prefix(level) + act.here
                    if one.items is not None:
                        yield label, f"<{len(one.items)} items>"
                    else:
                        raw = src[one.value : one.end]
                        yield label, Chain(act, raw, self._memory(level).world).shown(raw, act.rule_vr)

    def _at(self, selector: Selector) -> Iterator[tuple[Level, Found]]:
        """Yield the noted elements that a selector points at, the top level's alone for rules that recurse."""
        for level in self._top.levels():
            place = level.place
            assert isinstance(place, RulePlace)  # noqa: S101 -- walked by these places
            for one in level.found:
                tag = one.want.tag
                if place.points(selector, tag, level.creator_of(tag), recurse=False):
                    yield level, one

    def _lives(self, level: Level, rank: int) -> bool:
        """Tell whether the items that hold a data set are still there before a rank."""
        while level.parent is not None:
            above, tag = level.parent, level.tag
            one = next(one for one in above.found if one.want.tag == tag and one.items and level in one.items)
            if self._doomed(above, self._act(above, one), one, rank).rank < rank:
                return False
            level = above
        return True

    # -- what depends on other elements ----------------------------------------------------------------

    def _act(self, level: Level, one: Found) -> Act:
        """Return an element with its steps, where these go by its creator or by what stands beside it."""
        act = one.want
        assert isinstance(act, Act)  # noqa: S101 -- walked by these places
        if act.fixed:
            return act
        tag = act.tag
        spared = is_private(tag) and self._spared(level, tag)
        mates = self._places.mates.get(tag)
        whole = mates is None or any(one.want.tag in mates and self._says(one) for one in level.found)
        beside = Beside(spared, tag in self._listed.get(id(level), ()), whole=whole)
        if is_private_creator(tag):
            return self._creator(level, act, beside)
        return act.place.settled(tag, act.vr, act.wire, level.creator_of(tag), beside)

    def _says(self, one: Found) -> bool:
        return bool(self._src[one.value : one.end].strip(b"\0 "))

    def _creator(self, level: Level, act: Act, beside: Beside) -> Act:
        """Return a private creator with its steps; a table takes it away where nothing of its block stays."""
        place, tag = act.place, act.tag
        known = self._places.known_creator(level.creators.get(tag, "")) if self._places.general else ""
        found = place.settled(tag, act.vr, act.wire, known, beside)
        if not any(step.removes and step.rank >= Rank.TABLE for step in found.steps):
            return found
        block = tag & 0xFFFF0000 | (tag & 0xFF) << 8
        inside = (one for one in level.found if one.want.tag & 0xFFFFFF00 == block)
        stays = any(not self._goes(level, one) for one in inside)
        stays = stays or (level is self._top and self._growth is not None and tag in self._growth.revived)
        return place.settled(tag, act.vr, act.wire, known, beside._replace(used=stays))

    def _goes(self, level: Level, one: Found) -> bool:
        """Tell whether a private element goes: by its steps, or since it is a header that cannot be read."""
        act = self._act(level, one)
        if any(step.removes for step in act.steps):
            return True
        if one.items is not None or not act.cleans or not kind_of(act.creator, act.tag):
            return False
        return self._memory(level).result(act, self._src[one.value : one.end]).value is None

    def _spared(self, level: Level, tag: int) -> bool:
        """Tell whether remove-private-tags leaves an element: a rule names it by its creator.

        Below the top level that is so with ``recurse-sequence``. Without, it stays only when its number is one that
        stays at the top (as the reference engine has it) *and* its block belongs to the same creator there (which the
        reference engine does not look at).
        """
        if not self._places.named_private:
            return False
        if is_private_creator(tag):
            if level is self._top and self._growth is not None and tag in self._growth.revived:
                return True
            block = (tag & 0xFF) << 8
            return any(
                one.want.tag & 0xFFFFFF00 == tag & 0xFFFF0000 | block and self._spared(level, one.want.tag)
                for one in level.found
                if not is_private_creator(one.want.tag)
            )
        names = self._places.names_private
        spared = self._section.recurse or level is self._top or names(tag, self._top.creator_of(tag))
        return spared and names(tag, level.creator_of(tag))

    def _list(self, level: Level) -> bool:
        """Note what remove-undefined leaves for the sake of others; return whether a rule points into a data set."""
        place = level.place
        assert isinstance(place, RulePlace)  # noqa: S101 -- walked by these places
        listed: set[int] = set()
        named = False
        for one in level.found:
            tag = one.want.tag
            inside = sum(map(self._list, one.items or ())) > 0
            inside = inside or (one.items is not None and any(_leads(steps, place.way, tag) for steps in self._grown))
            gone = is_private(tag) and self._section.remove_private and not self._spared(level, tag)
            if gone or not tag & 0xFFFF:
                continue
            creator = "" if is_private_creator(tag) else level.creator_of(tag)
            ruled = place.names(tag, one.want.vr, creator or level.creators.get(tag, ""))
            if inside:
                listed.add(tag)
            if is_private(tag) and (ruled or inside):
                listed.add(tag & 0xFFFF0000 | tag >> 8 & 0xFF)
            named = named or ruled or inside
        if named or level.parent is None:
            listed.add(CHARACTER_SET)
        self._listed[id(level)] = listed
        return named

    # -- one data set ----------------------------------------------------------------------------------

    def _level(self, level: Level, src: bytes, until: int, out: Out) -> int:
        """Carry out the section on a data set; return by how much it grows."""
        place = level.place
        assert isinstance(place, RulePlace)  # noqa: S101 -- walked by these places
        memory = self._memory(level)
        watching = level is self._top
        delta = 0
        for one in level.found:
            act: Act = one.want  # type: ignore[assignment]
            if not act.fixed:
                act = self._act(level, one)
            if one.items is not None:
                delta += self._sequence(level, act, one, src, until, out)
                continue
            if act.keeps and not act.watched:
                if act.steps:
                    self.matched.update(step.rule.index for step in act.steps if step.rank < until and step.rule)
                continue
            raw = None
            if act.gone and not act.watched and until == Rank.NEVER:
                result = memory.gone(act, one.end - one.value)
            else:
                raw = src[one.value : one.end]
                try:
                    result = memory.result(act, raw, until)
                except Problem as problem:
                    self._trouble(problem, level, act)
                    continue
            self.matched |= result.matched
            if result.new is not None:
                self._seal(level, act, one, result)
                delta += self._change(level, one.start, one.end, result, out)
                if self._section.follow_uids and until == Rank.NEVER and act.kind == "UI" and raw and result.value:
                    self._note_uids(raw, result)
                if act.vr in TEXT_VRS and raw and result.edit is not None and result.edit.before[:1] == "<":
                    self.unread.append((level, one))
            if watching and act.watched and raw is not None:
                self.before[act.tag] = raw, act.vr
                if result.value is not None:
                    self.after[act.tag] = result.value, result.vr
        if until == Rank.NEVER and (place.inserts or self._growth):
            delta += self._inserts(level, place, memory, out)
        return delta

    def _seal(self, level: Level, act: Act, one: Found, result: Result) -> None:
        """Note what goes into an envelope: what a rule encrypts, and with ``retain`` what rules take away or change."""
        if not act.seals:
            return
        encrypts = (step.rule for step in act.steps if step.rule is not None and step.rule.action.key == "encrypt")
        changed = result.rank == Rank.PRIVATE or Rank.FIRST_RULE <= result.rank < Rank.INSTANCE
        if (self._section.retain and changed) or any(rule.index in result.matched for rule in encrypts):
            self.sealed.append((level, one))

    # -- copies of UIDs --------------------------------------------------------------------------------

    def _note_uids(self, raw: bytes, result: Result) -> None:
        """Note which UIDs an element had, and which it will have."""
        edit, value = result.edit, result.value
        assert edit is not None  # noqa: S101 -- it changed
        assert value is not None  # noqa: S101 -- and stays
        old, new = ([part.strip(b"\0 ") for part in text.split(b"\\")] for text in (raw, value))
        if len(old) == len(new):
            for before, after in zip(old, new, strict=True):
                if before and after and before != after:
                    self._uids.setdefault(before, (after, edit.action, edit.rule))

    def _follow(self) -> None:
        """Change the values that are equal to a UID that was changed, where nothing names their elements."""
        taken = sorted(splice[:2] for splice in self.body.splices)
        pixels = [(one.value, one.end) for one in self._top.found if one.want.tag in PIXEL_TAGS and one.items is None]
        spans, at, size = [], self._top.start, len(self._src)
        for start, end in sorted([*taken, *pixels, (self._top.end,) * 2]):
            if start > at:
                spans.append((at, start))
            at = max(at, end)
        beyond = any(end > size for _, end in spans)
        if not beyond and not any(may_hold(self._src, uid, spans) for uid in self._uids):
            return
        changed = {old: new for old, (new, *_) in self._uids.items()}
        for copy in copies(self._src, self._top.end, self._top, changed):
            one = copy.one
            at = bisect_right(taken, one.start, key=lambda span: span[0]) - 1
            if at >= 0 and taken[at][1] >= one.end:
                continue
            place = self._place_of(copy.level)
            creator = "" if is_private_creator(one.want.tag) else copy.level.creator_of(one.want.tag)
            act = place.settled(one.want.tag, one.want.vr, one.want.wire, creator)
            if not any(step.rule is not None for step in act.steps):
                self._copy(copy, act)

    def _place_of(self, level: Level) -> RulePlace:
        """Return where a data set stands in the plan."""
        if level.parent is None:
            place = self._top.place
            assert isinstance(place, RulePlace)  # noqa: S101 -- walked by these places
            return place
        return self._place_of(level.parent).below(level.tag, level.index, level.place.encoding)

    def _copy(self, copy: Copy, act: Act) -> None:
        """Change one element, and mend the lengths of what it stands in."""
        level, one, value = copy
        if self._section.retain:
            self.sealed.append((level, one))
        raw = self._src[one.value : one.end]
        new = header(act.tag, act.wire, level.place.encoding, len(value)) + value
        self.body.splices.append((one.start, one.end, new))
        found = (self._uids.get(part.strip(b"\0 ")) for part in raw.split(b"\\"))
        _, action, rule = next(one for one in found if one is not None)
        label = rule if rule.startswith(FOLLOW) else f"{FOLLOW} ({rule})"
        chain = Chain(act, raw, self._memory(level).world)
        before, after = chain.shown(raw, act.rule_vr), chain.shown(value, act.rule_vr)
        path = self._way(level) + act.here
        edit = Edit(path, keyword_of(act.tag), act.rule_vr, action, label, before, after)
        self.body.rows.append((Rank.FOLLOW + 1, level.number, len(self.body.rows), edit))
        self._lengthen(level, len(new) - one.end + one.start)

    def _lengthen(self, level: Level, delta: int) -> None:
        """Mend the lengths of the items and sequences that hold a data set."""
        while delta and level.parent is not None:
            above, tag = level.parent, level.tag
            one = next(one for one in above.found if one.want.tag == tag and one.items and level in one.items)
            if not level.undefined:
                self._longer(level.place, level.start, level.end - level.start, delta)
            if self._src[one.value - 4 : one.value] != b"\xff\xff\xff\xff":
                self._longer(above.place, one.value, one.end - one.value, delta)
            level = above

    def _longer(self, place: Place, end: int, length: int, delta: int) -> None:
        """Mend a length before an offset, which may have been mended already."""
        order: Literal["little", "big"] = "little" if place.encoding.little else "big"
        for number, (start, stop, new) in enumerate(self.body.splices):
            if (start, stop) == (end - 4, end):
                self.body.splices[number] = _length(place, end, int.from_bytes(new, order) + delta)
                return
        self.body.splices.append(_length(place, end, length + delta))

    # -- what is made ----------------------------------------------------------------------------------

    def _made(self, level: Level, new: New, out: Out) -> bytes:
        """Return a new element."""
        act, rule = new.act, new.rule
        rank = Rank.FIRST_RULE + rule.index
        if new.creator:
            value = values.encode((new.creator,), "LO", (), little=act.place.encoding.little)
            edit = Edit(act.here, "", "LO", rule.action.key, rule.label, "", new.creator)
            self._row(level, Result(None, None, "LO", edit, rank, False, frozenset()), out)
            return header(act.tag, "LO", act.place.encoding, len(value)) + value
        if new.items is None:
            return self._inserted(level, act, self._memory(level), out)
        later = [step for step in act.steps if step.rank > rank and step.rule is not None and not step.general]
        if any(step.rule is not None and step.rule.action.key != "keep" for step in later):
            raise Unfit(f"{rule.label} {rule.action.key}: a later rule speaks of the sequence that this one makes")
        self.matched |= {step.rule.index for step in later if step.rule is not None}
        edit = Edit(act.here, keyword_of(act.tag), "SQ", rule.action.key, rule.label, "", f"<{len(new.items)} items>")
        self._row(level, Result(None, None, "SQ", edit, rank, False, frozenset()), out)
        content = self._built(new.items, out)
        return header(act.tag, "SQ", act.place.encoding, len(content)) + content

    def _built(self, items: list[Level], out: Out) -> bytes:
        """Return new items."""
        assert self._growth is not None  # noqa: S101 -- it made them
        built = b""
        for item in items:
            inside = sorted(self._growth.new.get(id(item), ()), key=lambda new: new.act.tag)
            content = b"".join(self._made(item, new, out) for new in inside)
            built += item_header(item.place.encoding, len(content)) + content
        return built

    def _added(self, level: Level, one: Found, src: bytes, out: Out) -> int:
        """Add items to a sequence; return by how much it grows."""
        added = None if self._growth is None else self._growth.added.get((id(level), one.want.tag))
        if added is None or one.items is None:
            return 0
        rule, count = added.rule, len(one.items)
        rank = Rank.FIRST_RULE + rule.index
        self.matched.add(rule.index)
        grown = one._replace(items=[*one.items, *added.items])
        if rank < self._doomed(level, self._act(level, one), grown, Rank.NEVER).rank < Rank.NEVER:
            raise Unfit(
                f"{rule.label} {rule.action.key}: a later rule speaks of the sequence that this one makes items in"
            )
        here = self._here(level, one.want.tag)
        after = f"<{count + len(added.items)} items>"
        edit = Edit(here, keyword_of(one.want.tag), "SQ", rule.action.key, rule.label, f"<{count} items>", after)
        self._row(level, Result(None, None, "SQ", edit, rank, False, frozenset()), out)
        built = self._built(added.items, out)
        at = one.end - 8 if src[one.value - 4 : one.value] == b"\xff\xff\xff\xff" else one.end
        out.splices.append((at, at, built))
        return len(built)

    def _inserts(self, level: Level, place: RulePlace, memory: Memory, out: Out) -> int:
        """Make what rules insert where it is absent, in the order of tags; return by how much the data set grows."""
        present = {one.want.tag for one in level.found}
        absent: list[Act | New] = [act for act in place.makes() if act.tag not in present]
        if self._growth is not None:
            absent = sorted([*absent, *self._growth.new.get(id(level), ())], key=_tag)
        delta = 0
        for one in absent:
            if isinstance(one, New):
                made, at = self._made(level, one, out), one.at
            else:
                made, at = self._inserted(level, one, memory, out), level.gaps.get(one.tag, level.end)
            if made:
                out.splices.append((at, at, made))
                delta += len(made)
        return delta

    def _inserted(self, level: Level, act: Act, memory: Memory, out: Out) -> bytes:
        """Return an element that a rule makes at a fixed place, empty when it makes none."""
        try:
            result = memory.result(act, None)
        except Problem as problem:
            self._trouble(problem, level, act)
            return b""
        self.matched |= result.matched
        if result.new:
            self._row(level, result, out)
        if level is self._top and act.watched and result.value is not None:
            self.after[act.tag] = result.value, result.vr
        return result.new or b""

    def _change(self, level: Level, start: int, end: int, result: Result, out: Out) -> int:
        assert result.new is not None  # noqa: S101 -- asked for what changes
        out.splices.append((start, end, result.new))
        self._row(level, result, out)
        return len(result.new) - end + start

    def _row(self, level: Level, result: Result, out: Out) -> None:
        assert result.edit is not None  # noqa: S101 -- what changes is told
        prefix = self._prefix(level)
        edit = replace(result.edit, path=prefix + result.edit.path) if prefix else result.edit
        out.rows.append((result.rank, 0 if result.flat else level.number, len(out.rows), edit))

    def _trouble(self, problem: Problem, level: Level, act: Act) -> None:
        """Note what cannot be done: the first in the order of the rules is told."""
        text = problem.text.replace("{path}", self._prefix(level) + act.here, 1)
        self._problems.append((problem.rank, level.number, problem.label + text))

    # -- sequences -------------------------------------------------------------------------------------

    def _sequence(self, level: Level, act: Act, one: Found, src: bytes, until: int, out: Out) -> int:
        """Carry out the section on a sequence and in its items; return by how much it grows."""
        items = one.items
        assert items is not None  # noqa: S101 -- a sequence
        doomed = self._doomed(level, act, one, until)
        result = doomed.result
        if result is not None:
            self.matched |= result.matched
            if result.new is not None:
                self._not_lost(level, one, doomed.rank)
                self._seal(level, act, one, result)
                delta = self._change(level, one.start, one.end, result, out)
                self.unread.append((level, one))
                for item in items:  # what rules before it find inside counts, and what they cannot do, too
                    self._level(item, src, min(until, doomed.rank), Out())
                return delta
        delta = 0
        inner = out if until == Rank.NEVER else Out()
        for item in items:
            grown = self._level(item, src, until, inner)
            if grown and not item.undefined:
                inner.splices.append(_length(item.place, item.start, item.end - item.start + grown))
            delta += grown
        if until == Rank.NEVER:
            delta += self._added(level, one, src, inner)
        if delta and src[one.value - 4 : one.value] != b"\xff\xff\xff\xff":
            inner.splices.append(_length(level.place, one.value, one.end - one.value + delta))
        return delta

    def _not_lost(self, level: Level, one: Found, rank: int) -> None:
        """Refuse where a rule makes items in a sequence that an earlier one takes away."""
        added = None if self._growth is None else self._growth.added.get((id(level), one.want.tag))
        if added is not None:
            self.matched.add(added.rule.index)
            if rank < Rank.FIRST_RULE + added.rule.index:
                rule = added.rule
                raise Unfit(f"{rule.label} {rule.action.key}: an earlier rule removes the sequence that it needs")

    def _doomed(self, level: Level, act: Act, one: Found, until: int) -> Doomed:
        """Work out what becomes of a sequence as a whole."""
        if not act.steps:
            return STAYS
        try:
            return carry_sequence(act, len(one.items or ()), until)
        except Problem as problem:
            self._trouble(problem, level, act)
            return STAYS


def _leads(steps: Sequence[tuple[int, int | None]], way: tuple[tuple[int, int], ...], tag: int) -> bool:
    """Tell whether the way to an element to be made leads through a sequence of a data set."""
    depth = len(way)
    return len(steps) > depth and steps[depth][0] == tag and way == tuple((one, at or 0) for one, at in steps[:depth])


def _as_it_is(text: str) -> str:
    return text


def _tag(absent: Act | New) -> int:
    return absent.act.tag if isinstance(absent, New) else absent.tag


def _length(place: Place, end: int, length: int) -> Splice:
    """Return the mending of a length that stands before an offset."""
    return end - 4, end, length.to_bytes(4, "little" if place.encoding.little else "big")
