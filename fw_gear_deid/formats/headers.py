"""Private headers of scanners → the same with the fields that converters read, and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

from fw_gear_deid.formats import ge
from fw_gear_deid.formats.siemens import csa, protocol
from fw_gear_deid.model.headers import BLOCK, CSA, PROTOCOL

_MOST = 1 << 20
"""Bytes of a header that is remembered; real ones have a few hundred thousand."""
_BY_KIND = {CSA: csa.cleaned, PROTOCOL: protocol.cleaned, BLOCK: ge.cleaned}


def cleaned(data: bytes, kind: str, clean: Callable[[str], str]) -> bytes:
    """Return a header without what says who was measured, where, and when.

    Parameters
    ----------
    data : bytes
    kind : str
        As ``model.headers.kind_of`` has it.
    clean : callable
        Text → the same without what is known of the patient; what it changes goes as a whole.

    Raises
    ------
    Unreadable
        It is no header of that kind, or not all of it can be read.
    """
    return (_remembered if len(data) <= _MOST else _cleaned)(data, kind, clean)


def _cleaned(data: bytes, kind: str, clean: Callable[[str], str]) -> bytes:
    return _BY_KIND[kind](data, clean)


_remembered = lru_cache(maxsize=16)(_cleaned)  # the header of a series stands in each of its files
