"""What the work on one file may know besides its bytes."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from fw_gear_deid.keys import Keyring
from fw_gear_deid.profile.profile import Profile


@dataclass(frozen=True, slots=True)
class Context:
    """The run's fixed settings and the subject at hand.

    Attributes
    ----------
    profile : Profile
    keyring : Keyring
    subject : str or None
        Who the file belongs to, for draws; None: the PatientID in the file.
    today : date
    verify : str
        ``strict``, ``report`` or ``off``.
    telling : tuple of str
        Texts around the file that do not travel, such as the subject's label: no name may carry them.
    acquisition : str
        Label of the source's acquisition; it may stand in names where the de-identified header has it.
    """

    profile: Profile
    keyring: Keyring
    subject: str | None
    today: date
    verify: str
    telling: tuple[str, ...] = ()
    acquisition: str = ""
