"""The extension of NIfTI-MRS (code 44, JSON): which of its members are about the measurement and say nothing of people.

Names and kinds of values are those of the NIfTI-MRS standard 0.9, sections 4 and 5. Free text is on no list: it may
hold anything.
"""

from __future__ import annotations

import json
import re

CODE = 44
MOST = 1 << 17
"""Bytes of it that are read; real ones have some thousands."""
_NUMBERS = frozenset({
    "SpectrometerFrequency", "EchoTime", "RepetitionTime", "InversionTime", "MixingTime", "AcquisitionStartTime",
    "AcqusitionStartTime", "ExcitationFlipAngle", "TxOffset", "VOI", "WaterSuppressed", "SequenceTriggered",
    "SpectralWidth", "kSpace",
})  # fmt: skip
_NUCLEUS = re.compile(r"\d{1,3}[A-Z][A-Za-z]?", re.ASCII)
_DIMENSION = re.compile(r"dim_[567]")
_TAGS = frozenset({
    "DIM_COIL", "DIM_DYN", "DIM_INDIRECT_0", "DIM_INDIRECT_1", "DIM_INDIRECT_2", "DIM_PHASE_CYCLE", "DIM_EDIT",
    "DIM_MEAS", "DIM_USER_0", "DIM_USER_1", "DIM_USER_2", "DIM_ISIS", "DIM_METCYCLE",
})  # fmt: skip
_HEADER = re.compile(r"dim_[567]_header")
_RANGE = {"start", "increment", "Value"}
Pairs = list[tuple[str, object]]


class _Object(Pairs):
    """An object; a key may stand twice."""


def kept(payload: str) -> list[bool]:
    """Return of the members of the JSON object, in their order, which ones stay.

    Raises
    ------
    ValueError
        It is no JSON object.
    """
    try:
        root = json.loads(payload, object_pairs_hook=_Object)
    except RecursionError:
        raise ValueError from None
    if not isinstance(root, _Object):
        raise ValueError
    return [_stays(key, value) for key, value in root]


def _stays(key: str, value: object) -> bool:
    if key in _NUMBERS:
        return _is_numeric(value)
    if key == "ResonantNucleus":
        nuclei = value if isinstance(value, list) and not isinstance(value, _Object) else [value]
        return all(isinstance(one, str) and bool(_NUCLEUS.fullmatch(one)) for one in nuclei)
    if _DIMENSION.fullmatch(key):
        return value in _TAGS if isinstance(value, str) else False
    if _HEADER.fullmatch(key) and isinstance(value, _Object):
        return all(name in _NUMBERS and _is_series(one) for name, one in value)
    return False


def _is_series(value: object) -> bool:
    """Tell whether a value is numbers, or the range or list of them that a dimension has."""
    if isinstance(value, _Object):
        return all(key in _RANGE and _is_numeric(one) for key, one in value)
    return _is_numeric(value)


def _is_numeric(value: object) -> bool:
    if isinstance(value, _Object):
        return False
    if isinstance(value, list):
        return all(map(_is_numeric, value))
    return value is None or isinstance(value, bool | int | float)
