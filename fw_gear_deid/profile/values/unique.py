"""Template → the places whose value becomes somebody's new id: two people must not get one."""

from __future__ import annotations

from collections import abc

from fw_gear_deid.actions import replace
from fw_gear_deid.model.frozen import frozen
from fw_gear_deid.model.selectors import TagAt
from fw_gear_deid.profile.language.addresses import BadName, parse_name
from fw_gear_deid.profile.text.nodes import Listing, Mapping, Node, Scalar
from fw_gear_deid.profile.values.variables import Template

PATIENT_ID = TagAt(0x00100020)


@frozen
class Target:
    """A text with variables that replaces PatientID or the label of a subject.

    Attributes
    ----------
    what : str
        For messages.
    template : Template
    scalar : Scalar
    """

    what: str
    template: Template
    scalar: Scalar

    @property
    def variables(self) -> tuple[str, ...]:
        """Names of its variables."""
        return tuple(dict.fromkeys(spot.name for spot in self.template.spots_in(self.scalar.text)))

    def text(self, values: abc.Mapping[str, str]) -> str:
        """Return the new id with these values, every one of which it needs."""
        return self.template.token.sub(lambda token: values[self.template.spot(token).name], self.scalar.text)


def targets(template: Template) -> list[Target]:
    """Return the texts with variables that replace PatientID or a subject's label, in file order."""
    entries = [("PatientID", entry, _is_patient_id) for entry in _fields(template.root, "dicom")]
    entries += [("subject label", entry, _is_label) for entry in _fields(template.root, "flywheel", "subject")]
    found = []
    for what, entry, matches in entries:
        name, value = entry.get("name"), entry.get(replace.SPEC.key)
        if isinstance(name, Scalar) and isinstance(value, Scalar) and matches(name.text):
            target = Target(what, template, value)
            found += [target] if target.variables else []
    return found


def _fields(node: Node | None, *path: str) -> list[Mapping]:
    for key in (*path, "fields"):
        node = node.get(key) if isinstance(node, Mapping) else None
    return [item for item in node.items if isinstance(item, Mapping)] if isinstance(node, Listing) else []


def _is_patient_id(name: str) -> bool:
    try:
        return parse_name(name) == PATIENT_ID
    except BadName:
        return False  # told when the profile is compiled


def _is_label(name: str) -> bool:
    return name.strip() == "label"
