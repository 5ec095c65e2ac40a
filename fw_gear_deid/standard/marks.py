"""Options of PS3.15 → the marks that an instance gets: what was done to it, in the codes of CID 7050 (PS3.16)."""

from __future__ import annotations

from collections.abc import Collection

from fw_gear_deid.model.frozen import frozen
from fw_gear_deid.standard import tables

REMOVED, METHOD, CODES, EQUIPMENT, TIMES = 0x00120062, 0x00120063, 0x00120064, 0x0018A001, 0x00280303
"""PatientIdentityRemoved, DeidentificationMethod, its code sequence, ContributingEquipmentSequence,
LongitudinalTemporalInformationModified."""
TAGS = (REMOVED, METHOD, CODES, EQUIPMENT, TIMES)
SCHEME = "DCM"
MEANINGS = {
    "113100": "Basic Application Confidentiality Profile",
    "113103": "Clean Graphics Option",
    "113104": "Clean Structured Content Option",
    "113105": "Clean Descriptors Option",
    "113106": "Retain Longitudinal Temporal Information Full Dates Option",
    "113107": "Retain Longitudinal Temporal Information Modified Dates Option",
    "113108": "Retain Patient Characteristics Option",
    "113109": "Retain Device Identity Option",
    "113110": "Retain UIDs Option",
    "113111": "Retain Safe Private Option",
    "113112": "Retain Institution Identity Option",
}
BASIC = "113100"
CODE_OF = {
    "clean-graphics": "113103",
    "clean-structured-content": "113104",
    "clean-descriptors": "113105",
    "full-dates": "113106",
    "modified-dates": "113107",
    "patient-characteristics": "113108",
    "device": "113109",
    "uids": "113110",
    "safe-private": "113111",
    "institution": "113112",
}
"""Option → its code."""
PURPOSE = ("109104", "De-identifying Equipment")
"""Why this program is among the contributing equipment (PS3.16 CID 7005)."""


@frozen
class Marks:
    """What an instance says of its de-identification afterwards.

    Attributes
    ----------
    removed : bool
        PatientIdentityRemoved is YES; else it is absent, whatever it was.
    method : str
        Added to DeidentificationMethod.
    codes : tuple of str
        Of DeidentificationMethodCodeSequence; none: it is absent.
    times : str
        LongitudinalTemporalInformationModified; empty: it is absent.
    """

    removed: bool
    method: str
    codes: tuple[str, ...]
    times: str


def marks_of(options: Collection[str], withheld: Collection[str], risks: Collection[str], *, checked: bool) -> Marks:
    """Return the marks of one instance.

    Parameters
    ----------
    options : collection of str
        Of ``tables.OPTIONS``, as the profile has them.
    withheld : collection of str
        Codes that are not true of it: a rule that found something in it did less.
    risks : collection of str
        What may still tell whose it is, and the profile accepts.
    checked : bool
        The result is checked before it leaves; else nothing is claimed.
    """
    method = f"fw-gear-deid PS3.15 {tables.EDITION} {tables.PROFILE}"
    if not checked:
        return Marks(removed=False, method=f"{method}, not checked", codes=(), times="")
    all_codes = [BASIC, *(code for option, code in CODE_OF.items() if option in options)]
    codes = tuple(code for code in sorted(all_codes) if code not in withheld)
    times, code = _times(options)
    return Marks(
        removed=BASIC in codes and not risks,
        method=method,
        codes=codes,
        times=times if code in codes else "",
    )


def _times(options: Collection[str]) -> tuple[str, str]:
    """Return what becomes of dates, and the code by which that holds."""
    if "full-dates" in options:
        return "UNMODIFIED", CODE_OF["full-dates"]
    if "modified-dates" in options:
        return "MODIFIED", CODE_OF["modified-dates"]
    return "REMOVED", BASIC
