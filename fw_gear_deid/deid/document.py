"""Section and bytes of a file that is read whole → its de-identified bytes, what changed, and the check of them."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from fw_gear_deid.actions import ACTIONS, Keep, Remove, Replace
from fw_gear_deid.actions.cleaning import Fact
from fw_gear_deid.actions.encrypt import UNSURE, Unsure
from fw_gear_deid.deid import columns, leaves
from fw_gear_deid.deid.cleaning import cleaning_of, facts_of
from fw_gear_deid.deid.columns import Change, Rows
from fw_gear_deid.formats import FORMATS
from fw_gear_deid.formats.row import Changes, Codec, Document, Field, Listing
from fw_gear_deid.model.action import CLEANED, DIFFERS, REMOVE, At, Gone, Texts
from fw_gear_deid.model.errors import Malformed, Unfit
from fw_gear_deid.model.locks import HIDDEN
from fw_gear_deid.model.outcome import ALWAYS, Always, Edit
from fw_gear_deid.model.selectors import AnySelector, KeyAt, KeysAt
from fw_gear_deid.profile.compiled import FieldSection, KeyRule
from fw_gear_deid.verify import readback, residue

"""What happens to a field because of what rules did to others."""


@dataclass(slots=True)
class Edited:
    """A file after its rules.

    Attributes
    ----------
    document : Document
        As it came.
    texts : dict of int to texts or REMOVE
        Field → its new texts.
    made : dict of str to texts
        Name of a field that was absent → its texts.
    matched : set of int
        Rules that found something.
    ruled : set of int
        Fields that a rule named.
    rows : Rows, optional
        Whose the rows of a table are, where one of its columns says so.
    facts : tuple of Fact
        What no text that was cleaned may tell.
    """

    section: FieldSection
    document: Document
    at: At
    rows: Rows | None = None
    facts: tuple[Fact, ...] = ()
    texts: dict[int, Texts | Gone] = field(default_factory=dict)
    made: dict[str, Texts] = field(default_factory=dict)
    matched: set[int] = field(default_factory=set)
    ruled: set[int] = field(default_factory=set)
    _last: dict[int | str, tuple[str, str]] = field(default_factory=dict)
    """Field, or name of one that was made → action and rule that changed it last."""
    _told: dict[int, dict[int, Change]] = field(default_factory=dict)
    """Column → row → action and rule that changed it last, where it is not the column's."""

    @property
    def changes(self) -> Changes:
        """What is to be done to the file."""
        return Changes(self.texts, self.made, self._lost)

    @property
    def _lost(self) -> frozenset[int]:
        return self.rows.lost if self.rows is not None else frozenset()

    @property
    def edits(self) -> tuple[Edit, ...]:
        """Rows for the audit."""
        return tuple(self._edits())

    def _edits(self) -> Iterator[Edit]:
        empty = codec_of(self.section).empty
        for number, now in self.texts.items():
            one = self.document.fields[number]
            if isinstance(now, Gone) and empty is not None and empty(one.texts):
                continue
            if number not in self._last or (now == one.texts and one.holds <= one.stay):
                continue
            if isinstance(now, Unsure):
                yield Edit(one.path, "", "", "decrypt", f"{self._last[number][1]}: {UNSURE}", "", "")
            if one.cells:
                yield from columns.edits_of(one, now, self._last[number], self._told.get(number, {}), self._lost)
                continue
            action, rule = self._last[number]
            before = leaves.size(one.holds) if one.is_group else shown(one.texts)
            yield Edit(one.path, "", "", action, rule, before, HIDDEN.get(action, shown(now)))
        for name, now in self.made.items():
            if self._height is not None:
                yield from columns.made_edits(name, self.changes.left(now), *self._last[name])
            else:
                yield Edit(name, "", "", *self._last[name], "", shown(now))
        yield from columns.lost_edits(self.document.fields, self._lost)

    @property
    def _height(self) -> int | None:
        """How many rows a table has; None of another file."""
        fields = self.document.fields
        return len(fields[0].texts) if fields and fields[0].cells else None

    def by_rules(self) -> Iterator[tuple[int, Texts | Gone]]:
        """Yield the fields that were changed by something else than options, habits and names that they follow."""
        for number, now in self.texts.items():
            if number not in self.document.gone and not self._last.get(number, ("", ""))[1].startswith(ALWAYS):
                yield number, now

    def changed(self) -> Iterator[tuple[str, str, str]]:
        """Yield name, text before and after of the fields that rules changed."""
        for number, now in self.by_rules():
            one = self.document.fields[number]
            yield one.name, shown(one.texts), shown(now)

    def drop_copies(self) -> None:
        """Take away what nobody needs and what tells a value that a rule took away."""
        loose = codec_of(self.section).loose(self.document)
        changed = list(self.changed()) if loose else []
        taken = residue.Taken(changed)
        for number, pieces in loose.items() if changed else ():
            if number not in self.texts and any(map(taken.stand_in, pieces)):
                self._put(number, REMOVE, "remove", Always.COPY.value)

    def read(self, selector: AnySelector) -> str | None:
        """Return the text of a field as it stands now; None where it is absent or empty."""
        found = [self._now(number) for number in self._there(selector)]
        if isinstance(selector, KeyAt) and selector.path in self.made:
            found.append(self.made[selector.path])
        told = (shown(one) if self._height is None else columns.common(one) for one in found)
        return next(filter(None, told), None)

    def read_in(self, row: int, selector: AnySelector) -> str:
        """Return the text of a column in a row as it stands now; empty where it is absent."""
        found = (self._now(number) for number in self._there(selector))
        return next((texts[row] for texts in found if not isinstance(texts, Gone) and texts[row]), "")

    def run(self) -> None:
        """Carry out the rules, and what goes whatever they say."""
        for number, why in self.document.gone.items():
            self._put(number, REMOVE, "remove", why)
        for number, why in self.document.gone.items():  # those in a group that goes are told as well
            self._last[number] = "remove", why
        for rule in self.section.rules:
            try:
                self._carry_out(rule)
            except Unfit as error:
                raise type(error)(f"{rule.label} {rule.action.key}: {error}") from None

    def follow(self, replaced: Callable[[str], str]) -> None:
        """Let texts that stay follow names that were replaced elsewhere."""
        for number, one in enumerate(self.document.fields):
            now = self._now(number)
            if isinstance(now, Gone) or one.is_group or self._last.get(number, ("", ""))[0] in HIDDEN:
                continue
            given = self.rows.given if self.rows is not None else ()
            if (new := tuple(text if text in given else replaced(text) for text in now)) == now:
                continue
            change = "replace-with", Always.BIDS.value
            if one.cells and number in self._last:  # of rows that a rule has changed in another way
                rows = (row for row, (text, other) in enumerate(zip(now, new, strict=True)) if text != other)
                self._told.setdefault(number, {}).update(dict.fromkeys(rows, change))
                self.texts[number] = new
            else:
                self._put(number, new, *change)

    def _carry_out(self, rule: KeyRule) -> None:
        places = self._there(rule.selector)
        self.ruled.update(places)
        for number in places:
            now = self._now(number)
            if self._is_group(number):
                self._carry_out_on_group(number, rule)
            elif not isinstance(now, Gone):
                whole = isinstance(rule.action, Replace)
                self._put(number, self._result(number, now, rule), rule.action.key, rule.label, whole=whole)
        name = rule.selector.path if isinstance(rule.selector, KeyAt) else ""
        if name in self.made:
            self._remake(name, self._result(name, self.made[name], rule), rule)
        elif not places and rule.insert and name and isinstance(rule.action, Replace):
            absent = () if self._height is None else ("",) * self._height
            self._remake(name, self._result(name, absent, rule), rule)
        elif not places:
            return
        self.matched.add(rule.index)

    def _result(self, place: int | str, now: Texts, rule: KeyRule) -> Texts | Gone:
        """Return what a rule makes of a field, or of one that was made; of a column, of each of its cells."""
        if self._height is None or isinstance(rule.action, Remove):
            if ACTIONS[rule.action.key].sealed and isinstance(place, int) and self.document.fields[place].bare:
                raise Unfit(f"{self.document.fields[place].path} is no text: what comes back would be another value")
            return rule.action(now, self.at)
        alike = self._rows is None and not self.section.references and not ACTIONS[rule.action.key].sealed
        done = columns.carried_out(now, rule.action, self._at_row, self.rows, alike=alike)
        if isinstance(place, int):
            self._told[place] = {row: (what, rule.label) for row, what in done.told.items()}
        return done.texts

    @property
    def _rows(self) -> Rows | None:
        return self.rows if self.rows is not None and self.rows.texts is not None else None

    def _at_row(self, row: int) -> At:
        """Return the surroundings of a row's cells."""
        if self._rows is None and not self.section.references:
            return self.at
        references = dict(self.section.references)
        draw = self.at.draw if self._rows is None else self._rows.draw(row)
        return replace(self.at, draw=draw, read=lambda name: self.read_in(row, references[name]))

    def _is_group(self, number: int) -> bool:
        return self.document.fields[number].is_group and number not in self.texts

    def _carry_out_on_group(self, number: int, rule: KeyRule) -> None:
        """Take a group away, or put a value in its place; each field in it has its own turn with a regex.

        Raises
        ------
        Unfit
            Another action is to work on a group as a whole.
        """
        by_name = isinstance(rule.selector, KeyAt)
        if isinstance(rule.action, Remove):
            self._put(number, REMOVE, rule.action.key, rule.label)
        elif isinstance(rule.action, Replace) and by_name:
            self._put(number, rule.action.values, rule.action.key, rule.label, whole=True)
        elif by_name and not isinstance(rule.action, Keep):
            raise Unfit(f"{self.document.fields[number].path} is a group; name the fields in it")

    def _put(self, number: int, result: Texts | Gone, action: str, rule: str, *, whole: bool = False) -> None:
        """Give a field other texts; what is in it goes. ``whole``: also where its own text is the same."""
        inside = self.document.fields[number].inside(number, gone=isinstance(result, Gone))
        if result == self._now(number) and not (whole and inside):
            return
        self.texts[number] = result
        self._last[number] = action, rule
        for one in inside:
            self.texts[one] = REMOVE
            self._last.pop(one, None)

    def _remake(self, name: str, result: Texts | Gone, rule: KeyRule) -> None:
        if isinstance(result, Gone):
            del self.made[name]
        else:
            self.made[name] = result
            self._last[name] = rule.action.key, rule.label

    def _now(self, number: int) -> Texts | Gone:
        return self.texts.get(number, self.document.fields[number].texts)

    def _there(self, selector: AnySelector) -> list[int]:
        """Return the fields that a selector points at and that are still there."""
        return [number for number in _places(self.document, selector) if self._now(number) is not REMOVE]


def _places(listing: Listing, selector: AnySelector) -> Sequence[int]:
    match selector:
        case KeyAt(path):
            return listing.find(path)
        case KeysAt(pattern):
            return [number for number, one in enumerate(listing.fields) if pattern.match(one.name)]
        case _:
            return ()  # of a section for DICOM


def text(listing: Listing, selector: AnySelector) -> str:
    """Return the text of the first field that a selector points at and that is not empty; of a column its size."""
    found = (listing.fields[number] for number in _places(listing, selector))
    return next(filter(None, (_as_text(one) for one in found)), "")


def _as_text(one: Field) -> str:
    return columns.common(one.texts) or leaves.size(len(one.texts)) if one.cells else shown(one.texts)


def opened(data: bytes, section: FieldSection) -> Document:
    """Open a file.

    Raises
    ------
    Unfit
        It is no file of the section's format.
    """
    return codec_of(section).open(data, section.options)


def codec_of(section: FieldSection) -> Codec:
    """Return who opens the files of a section."""
    codec = FORMATS[section.match.key].codec
    assert codec is not None  # noqa: S101 -- sections of formats without one are of another class
    return codec


def edit(
    data: bytes,
    section: FieldSection,
    at: At,
    follow: Callable[[str], str] | None = None,
    rows: Rows | None = None,
    telling: tuple[str | Fact, ...] = (),
) -> Edited:
    """Carry out a section on a file.

    Parameters
    ----------
    at : At
        Surroundings of its values, but for its fields.
    follow : callable, optional
        Text that rules leave → the same with names in it that were replaced elsewhere.
    rows : Rows, optional
        Whose the rows of a table are.
    telling : tuple of str
        Labels around the file: texts that are cleaned lose them.

    Raises
    ------
    Unfit
        It is no file of the format, or a rule cannot be carried out; the message quotes no value.
    """
    edited = Edited(section, opened(data, section), at, rows)
    if rows is not None:
        rows.take([edited.document.fields[number] for number in edited.document.find(rows.column)])
    references = dict(section.references)
    edited.at = replace(at, read=lambda name: edited.read(references[name]) or "")
    if any(rule.action.key == "clean" for rule in section.rules):
        edited.facts = _facts(edited, telling)
        edited.at = replace(edited.at, clean=cleaning_of(edited.facts).clean)
    edited.run()
    if follow is not None:
        edited.follow(follow)
    edited.drop_copies()
    return edited


def _facts(edited: Edited, telling: tuple[str | Fact, ...]) -> tuple[Fact, ...]:
    """Return what all rules but those that clean take away, and the labels around a file."""
    others = tuple(rule for rule in edited.section.rules if rule.action.key != "clean")
    first = Edited(replace(edited.section, rules=others), edited.document, edited.at, edited.rows)
    first.at = replace(first.at, read=lambda name: first.read(dict(edited.section.references)[name]) or "")
    first.run()
    return facts_of(first.edits, telling=telling)


def written(data: bytes, edited: Edited) -> bytes:
    """Return the bytes of a file with what its rules changed.

    Raises
    ------
    Unfit
    """
    out, at = io.BytesIO(), 0
    for start, end, new in edited.document.splices(edited.changes):
        if not at <= start <= end <= len(data):
            raise Malformed("its fields stand in each other")
        out.write(memoryview(data)[at:start])
        out.write(new)
        at = end
    out.write(memoryview(data)[at:])
    return out.getvalue()


def check(data: bytes, result: bytes, edited: Edited) -> None:
    """Make sure that a result may leave.

    Parameters
    ----------
    data, result : bytes
        The file as it came, and as it was written.

    Raises
    ------
    Unfit
    """
    codec, options, fields = codec_of(edited.section), edited.section.options, edited.document.fields
    promises = [_promise(rule, edited.rows) for rule in edited.section.rules if not ACTIONS[rule.action.key].keeps]
    source = codec.again(data, options)
    if len(source.fields) != len(fields) or any(
        (one.name, one.texts) != (other.name, other.texts) for one, other in zip(source.fields, fields, strict=True)
    ):
        raise Malformed("two readers of its format find different fields in it")
    read = codec.again(result, options)
    readback.check(source, read, edited.changes, promises, codec.empty)
    if edited.facts or any(held.kind == CLEANED for held in promises):
        readback.check_cleaned(read, promises, cleaning_of(edited.facts).known)
    stay = (at for at in range(len(fields)) if at not in edited.ruled and at not in edited.texts)
    if fields and fields[0].cells:
        pairs = ((fields[at], now) for at, now in edited.by_rules())
        residue.check_rows(pairs, (fields[at] for at in stay))
        return
    residue.check(edited.changed(), codec.beside(result, options), (fields[at] for at in stay))


def _promise(rule: KeyRule, rows: Rows | None) -> readback.Held:
    """Return what a rule promises; what differs from row to row is known by nobody but who made it."""
    spec = ACTIONS[rule.action.key]
    kind, texts = spec.promised(rule.action), spec.texts(rule.action)
    if rows is not None and rows.texts is not None and any(rows.pseudonym in text for text in texts):
        kind = DIFFERS
    return readback.Held(rule.selector, kind, texts, f"{rule.label} {rule.action.key}")


def shown(texts: Texts | Gone) -> str:
    """Return the texts of a field as a person reads them."""
    return "" if isinstance(texts, Gone) else "\\".join(texts)
