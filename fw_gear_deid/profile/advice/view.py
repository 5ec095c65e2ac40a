"""A dicom section as its entries and options leave a file: what is asked by keyword, before any file is read."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

from fw_gear_deid.actions import ACTIONS
from fw_gear_deid.model.action import GONE
from fw_gear_deid.model.dictionary import public_vr, tag_of
from fw_gear_deid.model.errors import Unfit
from fw_gear_deid.model.frozen import frozen
from fw_gear_deid.model.patterns import Pattern
from fw_gear_deid.model.selectors import PathAt, RegexAt, TagAt, VrAt
from fw_gear_deid.profile.language.entries import Entry, parse_entries
from fw_gear_deid.profile.language.section import Section
from fw_gear_deid.profile.text.problems import Problems


class Advice(NamedTuple):
    """A warning and where it belongs."""

    line: int
    column: int
    where: str
    message: str


@frozen
class View:
    """A dicom section, and what becomes of an element by it.

    Attributes
    ----------
    section : Section
    entries : list of Entry
        In the order of the file.
    """

    section: Section
    entries: list[Entry]

    @property
    def keep_list(self) -> bool:
        """Whether what no entry names is removed."""
        return self.section.flag("remove-undefined")

    @property
    def by_standard(self) -> bool:
        """Whether what no entry names goes by the standard's table."""
        return self.section.options.get("ps3-15") is not None

    @property
    def closed(self) -> bool:
        """Whether what no entry names does not come out as it went in."""
        return self.keep_list or self.by_standard

    @property
    def recursive(self) -> bool:
        """Whether entries for the top level count inside sequences."""
        return self.section.flag("recurse-sequence")

    def here(self, message: str) -> Advice:
        """Return a warning of the section as a whole."""
        return Advice(self.section.options.line, self.section.options.column, self.section.key, message)

    def option(self, option: str, message: str) -> Advice:
        """Return a warning of an option of the section."""
        key = self.section.options.key(option)
        return Advice(key.line, key.column, f"{self.section.key}.{option}", message)

    def ruling(self, keyword: str) -> list[Entry]:
        """Return the entries that point at an element of the top level: by its place, else the first for its VR."""
        return [entry for entry in self.entries if reaches(entry, keyword)] or self._of_class(keyword)

    def _of_class(self, keyword: str) -> list[Entry]:
        vr = public_vr(tag_of(keyword) or 0)
        found = (entry for entry in self.entries if isinstance(entry.selector, VrAt) and vr in entry.selector.vrs)
        first = next(found, None)
        return [] if first is None else [first]

    def stays(self, keyword: str) -> bool:
        """Tell whether an element of the top level comes out as it went in."""
        found = self.ruling(keyword)
        return all(keeps(entry) for entry in found) and (bool(found) or not self.closed)

    def stays_below(self, keyword: str) -> bool:
        """Tell whether an element inside sequences comes out as it went in."""
        found = [entry for entry in self.entries if self._reaches_below(entry, keyword)] or self._of_class(keyword)
        return all(keeps(entry) for entry in found) and (bool(found) or not self.closed)

    def _reaches_below(self, entry: Entry, keyword: str) -> bool:
        if isinstance(entry.selector, RegexAt):
            path = f"ReferencedImageSequence.0.{keyword}"
            return reaches(entry, keyword) or _matches(entry.selector.pattern, path)
        return self.recursive and reaches(entry, keyword)


def view_of(section: Section, names: frozenset[str] | None = None) -> View:
    """Return a section that has been read; what is wrong with its entries has been complained about."""
    return View(section, parse_entries(replace(section, problems=Problems()), names))


def at(entry: Entry, message: str) -> Advice:
    """Return a warning of an entry."""
    return Advice(entry.line, entry.column, entry.where, message)


def keeps(entry: Entry) -> bool:
    """Tell whether an entry changes nothing."""
    return ACTIONS[entry.action.key].keeps


def removes(entry: Entry) -> bool:
    """Tell whether an entry takes its element away."""
    return ACTIONS[entry.action.key].promised(entry.action) == GONE


def moves(entry: Entry) -> bool:
    """Tell whether an entry moves a value by a distance."""
    return ACTIONS[entry.action.key].moves


def reaches(entry: Entry, keyword: str) -> bool:
    """Tell whether an entry points at an element of the top level."""
    tag = tag_of(keyword)
    match entry.selector:
        case TagAt(other):
            return other == tag
        case RegexAt(pattern, hex_pattern):
            return _matches(pattern, keyword) or _matches(hex_pattern, f"{tag:08x}")
        case _:
            return False


def _matches(pattern: Pattern, text: str) -> bool:
    try:
        return bool(pattern.match(text))
    except Unfit:  # it takes too long, which files that have such a path will be refused for
        return False


def is_nested(entry: Entry) -> bool:
    """Tell whether an entry may point into sequences by itself."""
    return isinstance(entry.selector, PathAt | RegexAt | VrAt)


def listed(words: list[str]) -> str:
    """Return words as a text has them: ``A``, ``A and B``, ``A, B and C``."""
    return " and ".join(filter(None, (", ".join(words[:-1]), words[-1])))
