"""Rules beside PS3.15's table → the codes of which they make no true claim, where they find something."""

from __future__ import annotations

from collections.abc import Iterator

from fw_gear_deid.actions import CARRIED, clean
from fw_gear_deid.actions.shift import goes_by_key
from fw_gear_deid.model.action import EQUALS, GONE, Action
from fw_gear_deid.model.dictionary import is_private, public_vr
from fw_gear_deid.model.errors import Unfit
from fw_gear_deid.model.selectors import GroupsAt, PathAt, PrivateAt, RegexAt, Selector, TagAt
from fw_gear_deid.standard import tables
from fw_gear_deid.standard.marks import BASIC, CODE_OF
from fw_gear_deid.standard.tables import Row

_BELOW = "ReferencedImageSequence.0."
_ANY = "00081140.0."


def withheld(selector: Selector, action: Action, options: frozenset[str]) -> frozenset[str]:
    """Return the codes that an instance does not get in which a rule found something.

    A rule that takes away or replaces does no less than the table. One that keeps, or changes otherwise, an attribute
    that an option retains or cleans makes that option's code untrue, of any other attribute the basic profile's.

    Parameters
    ----------
    options : frozenset of str
        Of PS3.15, as the profile has them.
    """
    return frozenset(code for row in _reached(selector) for code in _of_row(action, row, options))


def _of_row(action: Action, row: Row, options: frozenset[str]) -> Iterator[str]:
    spec = CARRIED[action.key]
    retaining = [CODE_OF[one] for one in options if row.code_of(one) == "K"]
    cleaning = [CODE_OF[one] for one in options if row.code_of(one) == "C"]
    if spec.keeps:
        yield from () if retaining and not cleaning else cleaning or (BASIC,)
        return
    yield from retaining
    strong = spec.promised(action) in (GONE, EQUALS) or goes_by_key(action)
    moves = spec.moves and CODE_OF["modified-dates"] not in cleaning
    if not retaining and (moves or not strong):
        yield from () if action.key == clean.SPEC.key and cleaning else cleaning or (BASIC,)


def _reached(selector: Selector) -> tuple[Row, ...]:
    """Return the rows of Table E.1-1 of attributes that a rule may find, at any depth."""
    match selector:
        case TagAt(tag) | PathAt(_, tag):
            row = tables.private_row() if is_private(tag) else tables.row_of(tag)
            return () if row is None else (row,)
        case PrivateAt():
            return (tables.private_row(),)
        case GroupsAt(group, element):
            row = tables.row_of(group << 16 | element)
            return () if row is None else (row,)
        case RegexAt():
            return tuple(row for row in tables.rows() if _matches(selector, row))
        case _:  # for VRs
            vrs = getattr(selector, "vrs", ())
            return tuple(
                row for row in tables.rows() if "x" in row.mask or not row.mask or public_vr(int(row.mask, 16)) in vrs
            )


def _matches(selector: RegexAt, row: Row) -> bool:
    if not row.mask or "x" in row.mask:
        return True  # curves, overlays, private ones
    keywords = (row.keyword, f"{_BELOW}{row.keyword}") if row.keyword else ()
    tags = (row.mask.lower(), f"{_ANY}{row.mask.lower()}")
    try:
        return any(map(selector.pattern.match, keywords)) or any(map(selector.hex_pattern.match, tags))
    except Unfit:  # it takes too long
        return True
