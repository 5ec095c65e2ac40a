"""``- vr: PN``: an entry for all elements of a VR → entries, one for each action that comes of it (additions, §2)."""

from __future__ import annotations

from dataclasses import replace

from fw_gear_deid.actions import ACTIONS, HashUid, IncrementDate, Jitter, RegexSub, Replace, dates, encrypt
from fw_gear_deid.actions.dates import IncrementDatetime
from fw_gear_deid.model.action import Action
from fw_gear_deid.model.dictionary import BINARY_VRS, VRS
from fw_gear_deid.model.legal import problem
from fw_gear_deid.model.selectors import AnySelector, VrAt
from fw_gear_deid.profile.language import build
from fw_gear_deid.profile.language.section import Section
from fw_gear_deid.profile.text.nodes import Listing, Mapping, Scalar
from fw_gear_deid.profile.text.problems import Problems, did_you_mean

KEY = "vr"
_ONE_WAY = (encrypt.ENCRYPT.key, encrypt.DECRYPT.key)  # of these a value's place must be known
_INSERT = "replace-with-insert"
_DATED = frozenset({"DA", "DT", "TM"})


def parse(
    section: Section, item: Mapping, where: str, references: dict[str, AnySelector]
) -> list[tuple[VrAt, Action, str]]:
    """Return what an entry for VRs does: the VRs of each action, the action, and the entry's name.

    An entry has one action but where dates of another form move in another way. Wrong ones are complained about.
    """
    vrs = _vrs(section, item, where)
    if not vrs or not _is_for_classes(section, item, where):
        build.action_keys(section, item, where)
        return []
    done: dict[Action, list[str]] = {}
    for vr in vrs:
        told = Problems()
        action = _of(replace(section, problems=told), item, where, vr, references)
        if action is None and vr != vrs[0]:
            message = told.all()[0].message
            whose = "" if f"VR {vr} " in message else f"of VR {vr}: "
            section.problems.error(item.line, item.column, where, whose + message)
        elif vr == vrs[0]:
            section.problems.take(told)
        if action is None:
            return []
        done.setdefault(action, []).append(vr)
    return [(VrAt(tuple(some)), action, _name(some)) for action, some in done.items()]


def _name(vrs: list[str]) -> str:
    return f"{KEY}: {vrs[0]}" if len(vrs) == 1 else f"{KEY}: [{', '.join(vrs)}]"


def _vrs(section: Section, item: Mapping, where: str) -> list[str]:
    """Return the VRs that an entry lists, none after a complaint."""
    node = item.get(KEY)
    assert node is not None  # noqa: S101 -- asked for such entries
    found: list[str] = []
    for one in node.items if isinstance(node, Listing) else (node,):
        if not isinstance(one, Scalar) or one.text not in VRS:
            word = one.text if isinstance(one, Scalar) else ""
            hint = f"; did you mean {word.upper()!r}?" if word.upper() in VRS else did_you_mean(word, VRS)
            section.problems.error(one.line, one.column, where, f"{KEY} is a VR of DICOM such as PN, or a list{hint}")
            return []
        if one.text in found:
            section.problems.error(one.line, one.column, where, f"{one.text} is listed twice")
            return []
        found.append(one.text)
    if not found:
        section.problems.error(node.line, node.column, where, f"{KEY} lists nothing")
    return found


def _is_for_classes(section: Section, item: Mapping, where: str) -> bool:
    """Complain about what an entry for VRs cannot ask for."""
    wrong = ""
    if section.key != "dicom":
        wrong = f"{KEY} is for the fields of 'dicom'"
    for key in _ONE_WAY:
        if item.get(key) is not None:
            wrong = wrong or f"{key} needs the name of an element, and {KEY} is none"
    insert = item.get(_INSERT)
    if isinstance(insert, Scalar) and insert.truth:
        wrong = wrong or f"an entry with {KEY} creates nothing: take {_INSERT} out"
    if wrong:
        section.problems.error(item.line, item.column, where, wrong)
    return not wrong


def _of(section: Section, item: Mapping, where: str, vr: str, references: dict[str, AnySelector]) -> Action | None:
    """Return what is done to elements of one VR, or complain and return None."""
    action = build.parse_action(section, item, where, VrAt((vr,)), references, f"{KEY}: {vr}")
    if action is None:
        return None
    if isinstance(action, IncrementDate) and vr == "DT":
        moving = build.built(dates.DATETIME, section, item, where, action.key)
        if moving is None:
            return None
        assert isinstance(moving, IncrementDatetime)  # noqa: S101 -- of its kind
        action = replace(moving, key=action.key)
    elif isinstance(action, HashUid):
        action = replace(action, spares=True)
    elif isinstance(action, Replace):
        action = replace(action, insert=False)
    elif isinstance(action, Jitter):
        action = replace(action, name=KEY)
    if wrong := cannot_hold(action, vr):
        section.problems.error(item.line, item.column, where, wrong)
        return None
    return action


def cannot_hold(action: Action, vr: str) -> str:
    """Say why elements of a VR cannot hold what an action makes; empty where they can."""
    only = ACTIONS[action.key].only
    if only and vr not in only:
        return f"{action.key} is for VR {' and '.join(sorted(only))}, not for {vr}"
    made = ""
    if isinstance(action, IncrementDate | IncrementDatetime):
        made = dates.sample(action)
    elif isinstance(action, Jitter) and vr not in _DATED:
        made = "1"
    elif isinstance(action, RegexSub) and (vr == "SQ" or (vr in BINARY_VRS and vr != "UN")):
        return f"VR {vr} cannot hold what {action.key} makes"
    return f"VR {vr} cannot hold what {action.key} makes" if made and problem(made, vr) else ""
