"""A sequence as a whole and its steps → what becomes of it, as ``chain`` says it of a value."""

from __future__ import annotations

from typing import NamedTuple

from fw_gear_deid.actions.replace import Replace
from fw_gear_deid.formats.dicom.wire import header
from fw_gear_deid.model.dictionary import is_private, keyword_of
from fw_gear_deid.model.outcome import Edit
from fw_gear_deid.model.selectors import PrivateAt, RegexAt
from fw_gear_deid.plan.chain import ABSENT, Problem, Result
from fw_gear_deid.plan.places import Act, Rank, Step


class Doomed(NamedTuple):
    """What becomes of a sequence as a whole.

    Attributes
    ----------
    rank : int
        Of the step that takes its items away; rules after it find nothing in it.
    result : Result or None
        None: nothing is to be done to it.
    """

    rank: int
    result: Result | None


STAYS = Doomed(Rank.NEVER, None)


def carry_sequence(act: Act, count: int, until: int) -> Doomed:
    """Carry out the steps before a rank on a sequence as a whole.

    Raises
    ------
    Problem
    """
    state: int | None = count
    matched: set[int] = set()
    first: Step | None = None
    died, label = Rank.NEVER, ("", "")

    def note(step: Step, action: str) -> None:
        nonlocal first, died, label
        first = first or step
        died = min(died, step.rank)
        label = action, step.label

    for step in act.steps:
        if step.rank >= until:
            break
        rule = step.rule
        if step.removes:
            if state is not None:
                note(step, rule.action.key if rule else "remove")
                state = None
                matched |= {rule.index} if rule else set()
            continue
        if rule is None or (state is None and not (rule.insert and act.place.creates(rule.selector))):
            continue
        matched.add(rule.index)
        if rule.action.key == "keep":
            continue
        if state is None and is_private(act.tag) and not isinstance(rule.selector, PrivateAt):
            raise Problem(step.rank, f"{rule.label} {rule.action.key}: ", ABSENT)
        unknown = step.rank >= Rank.TABLE or (step.general and act.rule_vr == "UN")
        if unknown and not isinstance(rule.action, Replace):
            continue  # nobody knew that it is a sequence; what is in it goes by itself
        if not isinstance(rule.action, Replace):
            text = "{path} is a sequence; remove it, or name the elements inside"
            raise Problem(step.rank, f"{rule.label} {rule.action.key}: ", text)
        if any(rule.action.values) and not step.general:
            what = "is a sequence; remove it, or name the elements inside" if state is not None else None
            text = f"{{path}} {what}" if what else "{path}: a sequence cannot take a value"
            raise Problem(step.rank, f"{rule.label} {rule.action.key}: ", text)
        if state != 0:
            note(step, rule.action.key)
            state = 0
    if first is None or state == count:
        return Doomed(Rank.NEVER, Result(None, None, "SQ", None, 0, False, frozenset(matched)))
    new = b"" if state is None else header(act.tag, act.wire, act.place.encoding, 0)
    after = "" if state is None else "<0 items>"
    edit = Edit(act.here, keyword_of(act.tag), "SQ", label[0], label[1], f"<{count} items>", after)
    flat = first.rule is not None and isinstance(first.rule.selector, RegexAt)
    return Doomed(died, Result(new, None, "SQ", edit, first.rank, flat, frozenset(matched)))
