"""Entries beside PS3.15's table → warnings of the codes that they make untrue, and of what is accepted for nothing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from fw_gear_deid.model.selectors import Selector
from fw_gear_deid.profile.advice.view import Advice, View, at, listed
from fw_gear_deid.profile.claims import withheld
from fw_gear_deid.profile.sections.standard import parse_standard
from fw_gear_deid.profile.text.problems import Problems
from fw_gear_deid.profile.values.variables import Unresolved
from fw_gear_deid.standard import risks
from fw_gear_deid.standard.marks import BASIC, MEANINGS


def codes_are_lost(view: View) -> Iterator[Advice]:
    """Warn of an entry for which files do not get a code of the standard."""
    options = _options(view)
    for entry in view.entries if options is not None else ():
        if not isinstance(entry.selector, Selector) or isinstance(entry.action, Unresolved):
            continue
        lost = sorted(withheld(entry.selector, entry.action, options or frozenset()))
        if lost:
            told = listed([f"{code} ({MEANINGS[code]})" for code in lost])
            more = " nor PatientIdentityRemoved" if BASIC in lost else ""
            yield at(entry, f"less than the standard asks: files in which this finds something do not get {told}{more}")


def nothing_to_accept(view: View) -> Iterator[Advice]:
    """Warn of a risk that is accepted though an option takes it away."""
    options = _options(view)
    for word, option in risks.COVERED.items():
        if options is not None and option in options and view.section.lists("accept", word):
            yield view.option("accept", f"{word} says nothing here: the option {option} takes the risk away")


def _options(view: View) -> frozenset[str] | None:
    """Return the options of PS3.15 that the section has, None where it does not follow it."""
    table = parse_standard(replace(view.section, problems=Problems()), frozenset()) if view.by_standard else None
    return None if table is None else table.options
