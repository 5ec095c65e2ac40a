"""Ages above 89 years → ``090Y``, and birth dates that tell no more (45 CFR 164.514(b)(2)(i)(C)).

No word of the language: what is built on it, such as a table of attributes, chooses the key for the audit.
"""

from __future__ import annotations

import re
from datetime import date

from fw_gear_deid.actions.unreadable import REFUSE, each
from fw_gear_deid.model.action import At, Result, Texts
from fw_gear_deid.model.errors import Unreadable
from fw_gear_deid.model.frozen import frozen

OLDEST = 89  # years; the last age that may be told
CODED = "090Y"
_AGE = re.compile(r"(\d{1,4})([DWMY])", re.ASCII)
_DAYS = {"D": 1.0, "W": 7.0, "M": 365.25 / 12, "Y": 365.25}


@frozen
class TopCode:
    """An age of VR AS (PS3.5 Table 6.2-1): one above 89 years becomes ``090Y``, others stay as they are.

    Attributes
    ----------
    key : str
        What the audit calls the change.
    unreadable : str
        What becomes of a value that is no age.

    Examples
    --------
    >>> at = At("AS", lambda purpose: 0, date(2020, 1, 1), str)
    >>> TopCode("ps3-15")(("089Y", "091Y", "011M", ""), at)
    ('089Y', '090Y', '011M', '')
    """

    key: str
    unreadable: str = REFUSE

    def __call__(self, texts: Texts, at: At) -> Result:
        """Return the ages.

        Raises
        ------
        Unreadable
            One is no age, and ``unreadable`` does not say what then.
        """
        return each(texts, _top_coded, self.unreadable)


def _top_coded(text: str) -> str:
    plain = text.strip(" \0")
    if not plain:
        return text
    match = _AGE.fullmatch(plain.upper())
    if match is None:
        raise Unreadable("the value is no age")
    return CODED if int(match[1]) * _DAYS[match[2]] >= (OLDEST + 1) * _DAYS["Y"] else text


def birth_date(born: date, studied: date) -> date:
    """Return a birth date by which nobody is older than 90 years at a study; dates move after it, together.

    Examples
    --------
    >>> birth_date(date(1925, 5, 3), date(2020, 2, 29)), birth_date(date(1970, 1, 15), date(2020, 2, 29))
    (datetime.date(1930, 2, 28), datetime.date(1970, 1, 15))
    """
    years = studied.year - born.year - ((studied.month, studied.day) < (born.month, born.day))
    if years <= OLDEST:
        return born
    day = min(studied.day, 28) if (studied.month, studied.day) == (2, 29) else studied.day
    return date(studied.year - OLDEST - 1, studied.month, day)
