"""What stands at a destination, what came out, and what was asked → what is done: the whole table, and nothing else.

Two sources are one when they hold the same instances and lie at the same place or are of the same person; a source
without instances is one with what lies at its place and is of the same person.
"""

from __future__ import annotations

from collections.abc import Collection
from enum import Enum

from fw_gear_deid.ledger.state import Made
from fw_gear_deid.model.frozen import frozen

UNCHANGED = "unchanged: an earlier run released it"
SAME_BYTES = "unchanged: the destination has these very bytes"
STALE_WORD = "stale"
STALE = "stale: {}; --exists replace (overwrite_files: Replace) makes it anew"
UNLOGGED = "the de-identification log has no entry of it"
SAME_NAME = "another source gets the same name at the destination"


class Stands(Enum):
    """What a look at the destination found under a name."""

    NOTHING = "nothing"
    OURS = "as an earlier run left it"
    CHANGED = "ours by name, but cut, changed, or not known to be whole"
    FOREIGN = "a file that no run with this ledger put there"


class Act(Enum):
    """What is done with a result."""

    PUT = "put"
    REPLACE = "replace"
    KEEP = "keep what stands"
    STALE = "leave what stands, which is older"
    REFUSE = "refuse"


@frozen
class Verdict:
    """An act and, but for ``PUT`` and ``REPLACE``, the reason that ``files.csv`` gives."""

    act: Act
    reason: str = ""


@frozen
class Situation:
    """One result and its name.

    Attributes
    ----------
    stands : Stands
    mine : bool
        What stands there was made of the same source.
    covered : bool
        Every instance that stands there is in the result as well.
    rival : bool
        What stands there was made of another source that this run has seen.
    same_bytes : bool
        What stands there has the SHA-256 of the result.
    logged : bool
        The log has an entry of what stands there, or none is kept.
    """

    stands: Stands
    mine: bool = False
    covered: bool = True
    rival: bool = False
    same_bytes: bool = False
    logged: bool = True


def decide(situation: Situation, exists: str, *, prune: bool = False) -> Verdict:
    """Return what is done with a result.

    Parameters
    ----------
    situation : Situation
    exists : str
        ``skip``, ``replace`` or ``fail``.
    prune : bool
        Instances that are gone from the source may go.

    >>> decide(Situation(Stands.NOTHING), "fail").act, decide(Situation(Stands.FOREIGN), "skip").act
    (<Act.PUT: 'put'>, <Act.STALE: 'leave what stands, which is older'>)
    """
    match situation:
        case Situation(rival=True):
            return Verdict(Act.REFUSE, SAME_NAME)
        case Situation(stands=Stands.NOTHING):
            return Verdict(Act.PUT)
        case Situation(stands=Stands.FOREIGN, same_bytes=True, logged=False):
            return _again(UNLOGGED, exists)
        case Situation(stands=Stands.FOREIGN, same_bytes=True):
            return Verdict(Act.KEEP, SAME_BYTES)
        case Situation(stands=Stands.FOREIGN):
            return _again(
                "the destination has another file of this name, which no run with this ledger put there", exists
            )
        case Situation(mine=False):
            return Verdict(Act.REFUSE, "the destination has a file of this name, made of another source")
        case Situation(covered=False) if not prune:
            return Verdict(
                Act.REFUSE,
                "the destination has instances of this series that are not in the source any more; "
                "let one run have all of them, or let them go with --prune",
            )
        case Situation(stands=Stands.OURS, same_bytes=True, logged=False):
            return _again(UNLOGGED, exists)
        case Situation(stands=Stands.OURS, same_bytes=True):
            return Verdict(Act.KEEP, SAME_BYTES)
        case Situation(stands=Stands.OURS):
            return _again(
                "it was made of another version of the source, or with another profile, mapping or option", exists
            )
        case Situation(stands=Stands.CHANGED):
            return Verdict(Act.REPLACE)
    raise AssertionError("a situation that the table does not have")


def _again(what: str, exists: str) -> Verdict:
    """Return what is done where something but not the right thing stands there."""
    if exists == "replace":
        return Verdict(Act.REPLACE)
    return Verdict(Act.STALE, STALE.format(what)) if exists == "skip" else Verdict(Act.REFUSE, what)


def same_source(made: Made, places: Collection[str], instances: Collection[str], person: str) -> bool:
    """Tell whether a file at the destination was made of a source.

    Parameters
    ----------
    made : Made
    places : collection of str
        Where the source lies.
    instances : collection of str
        What it holds, sealed; empty when it holds none.
    person : str
        Whose it is.
    """
    at_home = not made.holds.isdisjoint(instances) if instances else not made.holds
    here = any(place in places for place in made.places)
    if not instances or not made.holds:
        return at_home and here and made.person == person
    return at_home and (here or made.person == person)
