"""Free text → the same without the patient: what is known of them, and dates, telephone numbers, addresses and ids."""

from __future__ import annotations

from fw_gear_deid.actions.spec import Given, Spec
from fw_gear_deid.model.action import CLEANED, Action, At, Texts
from fw_gear_deid.model.dictionary import VRS
from fw_gear_deid.model.errors import Unfit
from fw_gear_deid.model.frozen import frozen

FREE = frozenset({"AE", "CS", "LO", "LT", "PN", "SH", "ST", "UC", "UN", "UR", "UT"})
"""VRs whose values people write words in; UN may hold any."""
BYTES = "OB"
"""The VR of private headers, of which some can be cleaned, too: those named by their creator."""
_NOT_FREE = "VR {vr} holds no words that could be cleaned; remove, replace or move its value"


@frozen
class Clean:
    """``clean: true``: words that tell of the patient leave, all others stay as they were.

    Examples
    --------
    >>> from datetime import date
    >>> at = At("LO", lambda purpose: 0, date(2020, 1, 1), str, lambda text: text.replace("Doe", ""))
    >>> Clean()(("AX T2 Doe", "FLAIR"), at)
    ('AX T2 ', 'FLAIR')
    """

    key: str = "clean"

    def __call__(self, texts: Texts, at: At) -> Texts:
        """Return each value cleaned.

        Raises
        ------
        Unfit
            The value is no text.
        """
        if at.vr in VRS and at.vr not in FREE:
            raise Unfit(_NOT_FREE.format(vr=at.vr))
        return tuple(at.clean(text) if text else text for text in texts)


def _build(given: Given) -> Clean | None:
    if given.vr == BYTES and '"' not in given.name:
        given.complain(_NOT_FREE.format(vr=BYTES))
        return None
    return Clean()


def _misfit(action: Action, vr: str) -> str:
    return _NOT_FREE.format(vr=vr) if vr in VRS and vr not in FREE and vr != BYTES else ""


SPEC = Spec(
    key="clean",
    does="takes what is known of the patient, dates, phone numbers, e-mails and ids out of a text; other words stay",
    build=_build,
    promise=CLEANED,
    misfit=_misfit,
    words={"scrub": "clean", "sanitize": "clean"},
)
