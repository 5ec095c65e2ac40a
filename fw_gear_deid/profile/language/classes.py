"""``- vr: PN``: an entry for all elements of a VR → entries, one for each action that comes of it (additions, §2)."""

from __future__ import annotations

from dataclasses import replace

from fw_gear_deid.model.action import Action
from fw_gear_deid.model.dictionary import VRS
from fw_gear_deid.model.selectors import AnySelector, VrAt
from fw_gear_deid.profile.language import build
from fw_gear_deid.profile.language.section import Section
from fw_gear_deid.profile.text.nodes import Listing, Mapping, Scalar
from fw_gear_deid.profile.text.problems import Problems, did_you_mean

KEY = "vr"


def parse(
    section: Section, item: Mapping, where: str, references: dict[str, AnySelector]
) -> list[tuple[VrAt, Action, str]]:
    """Return what an entry for VRs does: the VRs of each action, the action, and the entry's name.

    An entry has one action but where dates of another form move in another way. Wrong ones are complained about.
    """
    vrs = _vrs(section, item, where)
    if vrs and section.key != "dicom":
        section.problems.error(item.line, item.column, where, f"{KEY} is for the fields of 'dicom'")
        return []
    if not vrs:
        build.action_keys(section, item, where)
    done: dict[Action, list[str]] = {}
    for vr in vrs:
        told = Problems()
        apart = replace(section, problems=told)
        action = build.parse_action(apart, item, where, VrAt((vr,)), references, f"{KEY}: {vr}")
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
