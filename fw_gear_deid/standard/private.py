"""Private elements → what is done to them: they go, but for those that are known to be safe (PS3.15 §E.3.10)."""

from __future__ import annotations

from fw_gear_deid.model.dictionary import is_private_creator
from fw_gear_deid.model.headers import kind_of
from fw_gear_deid.model.ruling import Asked
from fw_gear_deid.standard import resolve, safe
from fw_gear_deid.standard.resolve import Done

OPTION = "safe-private"
_TEXTS = frozenset({"AE", "CS", "LO", "LT", "SH", "ST", "UC", "UR", "UT"})
_GONE = Done(resolve.REMOVE, "X", "3")


def of(asked: Asked, options: frozenset[str]) -> Done:
    """Return what is done to a private element; a creator goes where nothing of its block stays.

    Of safe ones names go and UIDs, dates and texts are treated as those of the standard, since what is safe is the
    attribute, not what a site writes there.
    """
    if OPTION not in options or is_private_creator(asked.tag):
        return _GONE
    if kind_of(asked.creator, asked.tag):  # its fields are told apart by who cleans it
        return Done(resolve.CLEAN, "C", "3")
    if not safe.is_safe(asked.creator, asked.tag >> 16, asked.tag & 0xFF):
        return _GONE
    return Done(_deed(_vr(asked), options), "C", "3")


def _vr(asked: Asked) -> str:
    """Return the VR of a safe element; where only bytes are known of it nobody can clean them, and UN is the answer."""
    return asked.vr if asked.vr != "UN" else safe.vr_of(asked.creator, asked.tag >> 16, asked.tag & 0xFF) or "UN"


def _deed(vr: str, options: frozenset[str]) -> str:
    if vr == "SQ":
        return resolve.ITEMS
    if vr == "UI":
        return resolve.KEEP if "uids" in options else resolve.UID
    if vr in ("DA", "DT", "TM"):
        dated = resolve.DATE if "modified-dates" in options else resolve.REMOVE
        return resolve.KEEP if "full-dates" in options else dated
    if vr in ("PN", "AS", "UN"):
        return resolve.REMOVE
    return resolve.CLEAN if vr in _TEXTS else resolve.KEEP
