"""Text of a ``name``, ``regex`` or group → selector, in the way of the section that it stands in."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import field

from fw_gear_deid.model.frozen import frozen
from fw_gear_deid.model.selectors import AnySelector
from fw_gear_deid.profile.language.addresses import parse_name, parse_regex


@frozen
class Naming:
    """How a section names its fields, and what its values look like.

    Attributes
    ----------
    name, regex, reference : callable
        Text of a ``name``, of a ``regex``, and of another field that regex-sub reads → selector; they raise BadName.
    defaults : mapping of str to str
        Options of actions whose default differs from that for DICOM.
    multiple : bool
        A backslash separates several values, as in DICOM.
    """

    name: Callable[[str], AnySelector]
    regex: Callable[[str], AnySelector]
    reference: Callable[[str], AnySelector]
    defaults: Mapping[str, str] = field(default_factory=dict)
    multiple: bool = True


ELEMENTS = Naming(parse_name, parse_regex, parse_name)
"""DICOM elements (profile language §6.1)."""
