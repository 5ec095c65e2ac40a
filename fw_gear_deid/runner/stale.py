"""What stands at the destination and what would be made now → whether it is as it should be."""

from __future__ import annotations

from collections.abc import Sequence

from fw_gear_deid.model.ports import Standing, Wanted
from fw_gear_deid.runner.policy import STALE, UNCHANGED


def verdict(found: Sequence[Standing], chain: Sequence[Wanted], version: str, fingerprint: str) -> str:
    """Return ``UNCHANGED``, a reason that begins with ``STALE``, or nothing where the work has to be done.

    Parameters
    ----------
    found : sequence of Standing
        What was made of the source file.
    chain : sequence of Wanted
        Where its result belongs.
    version : str
        Stands for the version of the source.
    fingerprint : str
        Of what would be made now.
    """
    if len(found) != 1 or not found[0].whole or not found[0].belongs(chain):
        return ""  # nothing, or below the wrong subject, or twice: the new one takes the place of them all
    [there] = found
    if there.version not in ("", version):
        return STALE.format("the source has another version of it now")
    if there.fingerprint != fingerprint:
        return STALE.format("it was made with another profile, key, mapping or results number")
    return UNCHANGED
