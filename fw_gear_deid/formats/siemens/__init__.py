"""Private headers of Siemens scanners → the same with the fields that converters read, and nothing else.

``csa`` reads and writes CSA headers (both versions), ``protocol`` the text of a protocol in one or by itself.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

from fw_gear_deid.formats.siemens import csa, protocol
from fw_gear_deid.model.siemens import CSA

__all__ = ["cleaned"]

_MOST = 1 << 24
"""Bytes of a header; real ones have a few hundred thousand."""


def cleaned(data: bytes, kind: str, clean: Callable[[str], str]) -> bytes:
    """Return a header without what says who was measured, where, and when.

    Parameters
    ----------
    data : bytes
    kind : str
        ``siemens.kind_of``.
    clean : callable
        Text → the same without what is known of the patient; what it changes goes as a whole.

    Raises
    ------
    Unreadable
        It is no header of that kind, or not all of it can be read.
    """
    return (_remembered if len(data) <= _MOST else _cleaned)(data, kind, clean)


def _cleaned(data: bytes, kind: str, clean: Callable[[str], str]) -> bytes:
    return csa.cleaned(data, clean) if kind == CSA else protocol.cleaned(data, clean)


_remembered = lru_cache(maxsize=16)(_cleaned)  # the header of a series stands in each of its files
