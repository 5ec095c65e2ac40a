"""Section and bytes of a file that is read whole → its de-identified bytes, what changed, and the check of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from fw_gear_deid.actions import ACTIONS, Keep, Remove, Replace
from fw_gear_deid.deid import leaves
from fw_gear_deid.formats import FORMATS
from fw_gear_deid.formats.row import Changes, Codec, Document, Listing
from fw_gear_deid.model.action import REMOVE, At, Gone, Texts
from fw_gear_deid.model.errors import Malformed, Unfit
from fw_gear_deid.model.outcome import ALWAYS, Always, Edit
from fw_gear_deid.model.selectors import AnySelector, KeyAt, KeysAt
from fw_gear_deid.profile.compiled import FieldSection, KeyRule
from fw_gear_deid.verify import readback, residue


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
    """

    section: FieldSection
    document: Document
    at: At
    texts: dict[int, Texts | Gone] = field(default_factory=dict)
    made: dict[str, Texts] = field(default_factory=dict)
    matched: set[int] = field(default_factory=set)
    ruled: set[int] = field(default_factory=set)
    _last: dict[int | str, tuple[str, str]] = field(default_factory=dict)
    """Field, or name of one that was made → action and rule that changed it last."""

    @property
    def changes(self) -> Changes:
        """What is to be done to the file."""
        return Changes(self.texts, self.made)

    @property
    def edits(self) -> tuple[Edit, ...]:
        """Rows for the audit."""
        rows = []
        for number, now in self.texts.items():
            one = self.document.fields[number]
            if number in self._last and (now != one.texts or one.is_group):
                action, rule = self._last[number]
                before = leaves.size(one.holds) if one.is_group else shown(one.texts)
                rows.append(Edit(one.path, "", "", action, rule, before, shown(now)))
        for name, now in self.made.items():
            rows.append(Edit(name, "", "", *self._last[name], "", shown(now)))
        return tuple(rows)

    def by_rules(self) -> Iterator[tuple[int, Texts | Gone]]:
        """Yield the fields that were changed by rules and options, not by names that they follow or by habit."""
        for number, now in self.texts.items():
            if not self._last.get(number, ("", ""))[1].startswith(ALWAYS):
                yield number, now

    def read(self, selector: AnySelector) -> str | None:
        """Return the text of a field as it stands now; None where it is absent or empty."""
        found = [shown(self._now(number)) for number in self._there(selector)]
        if isinstance(selector, KeyAt) and selector.path in self.made:
            found.append(shown(self.made[selector.path]))
        return next(filter(None, found), None)

    def run(self) -> None:
        """Carry out the rules, and what goes whatever they say."""
        for number, why in self.document.gone.items():
            self._put(number, REMOVE, "remove", why)
        for rule in self.section.rules:
            try:
                self._carry_out(rule)
            except Unfit as error:
                raise type(error)(f"{rule.label} {rule.action.key}: {error}") from None

    def follow(self, replaced: Callable[[str], str]) -> None:
        """Let texts that stay follow names that were replaced elsewhere."""
        for number, one in enumerate(self.document.fields):
            now = self._now(number)
            if isinstance(now, Gone) or one.is_group:
                continue
            if (new := tuple(map(replaced, now))) != now:
                self._put(number, new, "replace-with", Always.BIDS.value)

    def _carry_out(self, rule: KeyRule) -> None:
        places = self._there(rule.selector)
        self.ruled.update(places)
        for number in places:
            now = self._now(number)
            if self._is_group(number):
                self._carry_out_on_group(number, rule)
            elif not isinstance(now, Gone):
                self._put(number, rule.action(now, self.at), rule.action.key, rule.label)
        name = rule.selector.path if isinstance(rule.selector, KeyAt) else ""
        if name in self.made:
            self._remake(name, rule.action(self.made[name], self.at), rule)
        elif not places and rule.insert and name and isinstance(rule.action, Replace):
            self._remake(name, rule.action.values, rule)
        elif not places:
            return
        self.matched.add(rule.index)

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
            self._put(number, rule.action.values, rule.action.key, rule.label)
        elif by_name and not isinstance(rule.action, Keep):
            raise Unfit(f"{self.document.fields[number].path} is a group; name the fields in it")
        else:
            return
        for inside in range(number + 1, number + 1 + self.document.fields[number].holds):
            self.texts[inside] = REMOVE
            self._last.pop(inside, None)

    def _put(self, number: int, result: Texts | Gone, action: str, rule: str) -> None:
        if result != self._now(number):
            self.texts[number] = result
            self._last[number] = action, rule

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
    """Return the text of the first field that a selector points at and that is not empty."""
    return next(filter(None, (shown(listing.fields[number].texts) for number in _places(listing, selector))), "")


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


def edit(data: bytes, section: FieldSection, at: At, follow: Callable[[str], str] | None = None) -> Edited:
    """Carry out a section on a file.

    Parameters
    ----------
    at : At
        Surroundings of its values, but for its fields.
    follow : callable, optional
        Text that rules leave → the same with names in it that were replaced elsewhere.

    Raises
    ------
    Unfit
        It is no file of the format, or a rule cannot be carried out; the message quotes no value.
    """
    edited = Edited(section, opened(data, section), at)
    references = dict(section.references)
    edited.at = replace(at, read=lambda name: edited.read(references[name]) or "")
    edited.run()
    if follow is not None:
        edited.follow(follow)
    return edited


def written(data: bytes, edited: Edited) -> bytes:
    """Return the bytes of a file with what its rules changed.

    Raises
    ------
    Unfit
    """
    view = memoryview(data)  # a file may be half of what is in memory: no piece of it is copied before all are joined
    pieces: list[bytes | memoryview] = []
    at = 0
    for start, end, new in edited.document.splices(edited.changes):
        if not at <= start <= end <= len(data):
            raise Malformed("its fields stand in each other")
        pieces += [view[at:start], new]
        at = end
    return b"".join((*pieces, view[at:]))


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
    codec, options = codec_of(edited.section), edited.section.options
    promises = [
        readback.Held(rule.selector, spec.promise, spec.texts(rule.action), f"{rule.label} {rule.action.key}")
        for rule in edited.section.rules
        for spec in (ACTIONS[rule.action.key],)
    ]
    source = codec.again(data, options)
    if [(one.name, one.texts) for one in source.fields] != [(o.name, o.texts) for o in edited.document.fields]:
        raise Malformed("two readers of its format find different fields in it")
    readback.check(source, codec.again(result, options), edited.changes, promises)
    fields = edited.document.fields
    changed = ((fields[at].name, shown(fields[at].texts), shown(now)) for at, now in edited.by_rules())
    stay = (one for at, one in enumerate(fields) if at not in edited.ruled and at not in edited.texts)
    residue.check(changed, codec.beside(result, options), stay)


def shown(texts: Texts | Gone) -> str:
    """Return the texts of a field as a person reads them."""
    return "" if isinstance(texts, Gone) else "\\".join(texts)
