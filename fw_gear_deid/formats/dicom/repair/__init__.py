"""Odd DICOM bytes → plain ones that are walked like any other, and what was made plain; or a refusal with a remedy."""

from __future__ import annotations

from typing import NamedTuple

from fw_gear_deid.formats.dicom.repair.meta import read as read_meta
from fw_gear_deid.formats.dicom.repair.reader import REMEDY, ZEROS, Reader
from fw_gear_deid.formats.dicom.repair.readings import READINGS
from fw_gear_deid.formats.dicom.repair.tree import Fix, State, content, fixes_of, in_order
from fw_gear_deid.formats.dicom.wire import Encoding, is_explicit
from fw_gear_deid.model.errors import Malformed, Odd

__all__ = ["REMEDY", "Fix", "Repaired", "data_set", "read_meta"]


class Repaired(NamedTuple):
    """A data set made plain.

    Attributes
    ----------
    data, rest : bytes
        The data set, and what follows its last element.
    tags : tuple of int
        Of its top level.
    fixes : tuple of Fix
        What was odd; none where it was plain.
    """

    data: bytes
    rest: bytes
    tags: tuple[int, ...]
    fixes: tuple[Fix, ...]


def data_set(src: bytes, start: int, encoding: Encoding) -> Repaired:
    """Make a data set plain, from an offset to the end.

    Parameters
    ----------
    encoding : Encoding
        As its transfer syntax tells.

    Raises
    ------
    Odd
        It cannot be read to its last byte, or in two ways.
    Malformed
        Zeros stand where something is due.
    """
    reader = Reader(src, READINGS)
    explicit = is_explicit(src, start, len(src), encoding)
    forms = {explicit, encoding.explicit}
    ways: list[State] = []
    for form in sorted(forms, key=lambda form: form != explicit):
        ways = ways or reader.top(start, Encoding(form, encoding.little))
    if not ways and reader.finding.startswith(ZEROS):
        raise Malformed(reader.finding)
    if not ways:
        raise Odd(f"{reader.finding}; {REMEDY}")
    if len(ways) > 1:
        raise Odd(f"{_differing(*map(fixes_of, ways))} can be read in two ways; {REMEDY}")
    (way,) = ways
    inside = content(src, way.frame, way.stop)
    data = src[start : way.stop] if inside is None else inside
    tags = tuple(entry.tag for entry in in_order(way.frame.entries))
    return Repaired(data, src[way.stop :], tags, fixes_of(way))


def _differing(one: tuple[Fix, ...], other: tuple[Fix, ...]) -> str:
    """Return the first place at which two ways part."""
    pairs = zip((*one, None), (*other, None), strict=False)
    first = next((mine or its for mine, its in pairs if mine != its), None)
    return first.path if first else "it"
