"""The word ``ps3-15`` of a ``dicom`` section → the table that decides where no entry does (language additions §4)."""

from __future__ import annotations

from fw_gear_deid.actions import dates, unreadable
from fw_gear_deid.profile.language.section import Section
from fw_gear_deid.profile.text.nodes import Listing, Mapping, Node, Scalar
from fw_gear_deid.profile.text.problems import did_you_mean
from fw_gear_deid.standard import tables
from fw_gear_deid.standard.table import KEY, StandardTable

_PARTS = ("profile", "options", "edition")
_DATES = ("full-dates", "modified-dates")
_WHOLE = f"must be {tables.PROFILE}, or {{profile: {tables.PROFILE}, options: [...]}}"


def parse_standard(section: Section, accepted: frozenset[str]) -> StandardTable | None:
    """Return the table of a section, None where it has none; what is wrong is complained about.

    Parameters
    ----------
    accepted : frozenset of str
        Risks that the section accepts.
    """
    node = section.options.get(KEY)
    if node is None:
        return None
    if isinstance(node, Mapping):
        options = _mapping(section, node)
    else:
        options = ()
        _profile(section, node, _WHOLE)
    if section.flag("remove-private-tags"):
        told = f"{KEY} decides about private elements: take this out"
        section.complain("remove-private-tags", told)
    reach = section.number(dates.SHIFT_RANGE, None)
    way = section.text(unreadable.KEY, "")
    default = StandardTable(frozenset())
    return StandardTable(
        frozenset(options),
        default.reach if reach is None else int(reach),
        way,
        "documents" in accepted,
        "burned-in" in accepted,
    )


def _mapping(section: Section, node: Mapping) -> tuple[str, ...]:
    where = f"{section.key}.{KEY}"
    for key, _ in node.entries:
        if key.text not in _PARTS:
            hint = did_you_mean(key.text, _PARTS)
            section.problems.error(key.line, key.column, where, f"unknown key {key.text!r}{hint}")
    profile = node.get("profile")
    if profile is None:
        section.problems.error(node.line, node.column, where, f"no profile: write 'profile: {tables.PROFILE}'")
    else:
        _profile(section, profile, f"the profile must be {tables.PROFILE}")
    edition = node.get("edition")
    if edition is not None and not (isinstance(edition, Scalar) and edition.text == tables.EDITION):
        told = f"this version has edition {tables.EDITION} of the table; take this out, or write that"
        section.problems.error(edition.line, edition.column, f"{where}.edition", told)
    return _options(section, node.get("options"), f"{where}.options")


def _profile(section: Section, node: Node, wrong: str) -> None:
    if not isinstance(node, Scalar) or node.text != tables.PROFILE:
        section.problems.error(node.line, node.column, f"{section.key}.{KEY}", wrong)


def _options(section: Section, node: Node | None, where: str) -> tuple[str, ...]:
    """Return the options, each of which the table knows; two that contradict each other are an error."""
    problems = section.problems
    if node is None:
        return ()
    if not isinstance(node, Listing):
        problems.error(node.line, node.column, where, "must be a list: [modified-dates, safe-private]")
        return ()
    found: dict[str, Scalar] = {}
    for item in node.items:
        text = item.text if isinstance(item, Scalar) else ""
        if text in tables.LATER:
            problems.error(item.line, item.column, where, f"{text} is not built yet; take it out")
        elif text not in tables.OPTIONS:
            hint = did_you_mean(text, tables.OPTIONS) or f"; options are {', '.join(tables.OPTIONS)}"
            problems.error(item.line, item.column, where, f"no option: {text!r}{hint}")
        elif text in found:
            problems.error(item.line, item.column, where, f"{text} stands twice")
        elif isinstance(item, Scalar):
            found[text] = item
    if all(one in found for one in _DATES):
        last = max((found[one] for one in _DATES), key=lambda one: (one.line, one.column))
        problems.error(last.line, last.column, where, f"{' and '.join(_DATES)} exclude each other: keep one")
    return tuple(found)
