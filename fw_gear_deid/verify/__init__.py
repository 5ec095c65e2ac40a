"""Checks that run on every result before it may leave."""

from __future__ import annotations

from fw_gear_deid.model.errors import Unfit


def fails(what: str) -> Unfit:
    """Return what a failed check is told by."""
    return Unfit(f"verification: {what}")
