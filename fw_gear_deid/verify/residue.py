"""Values that rules took away → where a result still tells one of them: for formats that are read whole.

What stands beside the fields (comments, packages, chunks, unpacked) may tell none of them. A field that no rule named
may tell no name and no identifier of somebody; other values, such as a day or a place, may stand in two fields, and a
rule have meant one of them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache

from fw_gear_deid.formats.row import Field
from fw_gear_deid.model.action import Gone, Texts
from fw_gear_deid.model.dictionary import keyword_of, public_vr, tag_of
from fw_gear_deid.verify import fails
from fw_gear_deid.verify.known import Known, plainly

_IDENTIFIERS = frozenset({
    "PatientID", "OtherPatientIDs", "AccessionNumber", "IssuerOfPatientID", "PatientAddress", "PatientTelephoneNumbers",
})  # fmt: skip
_WHO = re.compile(
    r"name|patient|subject|participant|mrn|medical.?record|ssn|social.?sec|phone|mail|address|artist|author|creator|owner|"
    r"operator|physician|doctor|insur|passport"
)
_WHAT = re.compile(
    r"(file|protocol|series|study|sequence|station|device|institution|manufacturer|model|column|event|task|trial|coil|intent)s?.?name"
)
"""Names of things, not of people."""
_NUMBER = re.compile(r"[-+]?\d{0,5}(\.\d{0,20})?([eE][-+]?\d{1,3})?")
"""One that may stand anywhere."""
_TAG = re.compile(r"[0-9A-Fa-f]{8}")
_LEAST, _LONGEST = 3, 400
"""Letters of the shortest and of the longest text that tells somebody, where the other cells of a row are looked at."""
_TEXT_MAX = 1 << 16  # bytes of a text that is read in every spelling
_TEXT = re.compile(rb"[^\x00-\x08\x0e-\x1f]*")


def is_somebodys(name: str) -> bool:
    """Tell whether a field of this name holds a name or an identifier of a person.

    >>> [is_somebodys(one) for one in ("PatientName", "a.b.mrn", "XPAuthor", "ProtocolName", "EchoTime", "StationName")]
    [True, True, True, False, False, False]
    """
    parts = [one for one in re.split(r"[./@]", name) if one] or [name]
    tag = tag_of(parts[-1])
    if tag is not None:
        return _is_persons(tag)
    tags = [int(one, 16) for one in parts if _TAG.fullmatch(one)]
    return any(map(_is_persons, tags)) or any(_WHO.search(_WHAT.sub("", one.casefold())) for one in parts)


def _is_persons(tag: int) -> bool:
    return public_vr(tag) == "PN" or keyword_of(tag) in _IDENTIFIERS


class Taken:
    """Values that rules took away.

    Parameters
    ----------
    changed : iterable
        Name of each field that was changed, and its texts before and after.
    """

    def __init__(self, changed: Iterable[tuple[str, str, str]]) -> None:
        self.every, self.somebodys, self.is_told = Known(), Known(), False
        for name, before, after in changed:
            if not before or before == after:
                continue
            if is_somebodys(name):
                self.somebodys.add(before, "")
                self.is_told = True
            elif _NUMBER.fullmatch(before):
                continue
            self.every.add(before, "")

    def stand_in(self, data: bytes) -> bool:
        """Tell whether some bytes tell one of them."""
        return _tell(self.every, data)


def check(changed: Iterable[tuple[str, str, str]], beside: Iterable[tuple[str, bytes]], stay: Iterable[Field]) -> None:
    """Make sure that a result does not tell what rules took away.

    Parameters
    ----------
    changed : iterable
        As for ``Taken``.
    beside : iterable
        As ``formats.row.Codec.beside`` of the result.
    stay : iterable of Field
        Those that no rule named.

    Names and ids of three letters and less are not looked for: some text has them by chance.

    Raises
    ------
    Unfit
    """
    taken = Taken(changed)
    every, somebodys = taken.every.telling(), taken.somebodys.telling()
    for place, data in beside:
        if _tell(every, data):
            raise fails(f"a value that a rule took away stands in another place, too: {place}")
    if not taken.is_told:
        return
    where = {text: one.path for one in stay for text in one.texts if not _NUMBER.fullmatch(text)}
    for text in somebodys.suspects(where):
        if somebodys.told_by(text):
            raise fails(f"a name or id that a rule took away stands in {where[text]}, too: name a rule for that")


def check_rows(changed: Iterable[tuple[Field, Texts | Gone]], stay: Iterable[Field]) -> None:
    """Make sure that no row of a table tells in another column the name or identifier that a rule took from it.

    What stands in other rows is of others: in a long table some name is somebody's word.

    Parameters
    ----------
    changed : iterable
        Columns as they came, and their texts after, or that they went.
    stay : iterable of Field
        Columns that no rule named.

    Raises
    ------
    Unfit
    """
    somebody = [(one.texts, now) for one, now in changed if is_somebodys(one.name)]
    for one in stay if somebody else ():
        for row, text in enumerate(one.texts):
            plain = plainly(text) if text and not _NUMBER.fullmatch(text) else ""
            if len(plain) >= _LEAST and any(_tells(text, plain, before[row], now, row) for before, now in somebody):
                what = f"a name or id that a rule took away stands in {one.path}, row {row + 1}, too"
                raise fails(f"{what}: name a rule for that column")


def _tells(text: str, plain: str, before: str, now: Texts | Gone, row: int) -> bool:
    """Tell whether a cell tells what another one told before."""
    if not before or (not isinstance(now, Gone) and now[row] == before) or len(before) > _LONGEST:
        return False
    # what shares no run of letters has no part of it
    if not any(one in plain for one in _runs(before)):
        return False
    known = Known()
    known.add(before, "")
    return known.told_by(text)


@lru_cache(maxsize=1024)  # rows of one person follow one another
def _runs(text: str) -> tuple[str, ...]:
    """Return what one of has to be in a text that tells this one."""
    parts = (plainly(one)[:_LEAST] for one in re.split(r"[\W_]+", text))
    found = tuple(one for one in parts if len(one) >= _LEAST)
    return found or (plainly(text)[:_LEAST],)


def _tell(known: Known, data: bytes) -> bool:
    """Tell whether bytes tell something known: in a text in any spelling, in others and long ones as whole words."""
    if len(data) <= _TEXT_MAX and _TEXT.fullmatch(data):
        return known.told_by(data.decode("utf-8", "surrogateescape"))
    return known.told_by_bytes(data)
