"""A DICOM file as it would leave → where it still tells a name or an id that a rule took away (docs/gate.md).

A finding names the place, never the value. One pass over the bytes without the pixels tells of nearly every file that
there is nothing; only where one of the words stands are the elements walked.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator
from functools import lru_cache
from itertools import chain, pairwise

from fw_gear_deid.formats.dicom import values
from fw_gear_deid.formats.dicom.every import Every
from fw_gear_deid.formats.dicom.level import Level, Want
from fw_gear_deid.formats.dicom.walk import Walker
from fw_gear_deid.formats.dicom.wire import EXPLICIT_LITTLE, PIXEL_TAGS, Encoding
from fw_gear_deid.model.dictionary import format_tag, is_private_creator, keyword_of, knows_creator
from fw_gear_deid.model.errors import Unfit
from fw_gear_deid.model.outcome import NOTHING_SOUGHT, RESIDUE, Edit
from fw_gear_deid.verify.instance import Written
from fw_gear_deid.verify.sought import PASSED, Sought, Taken, sought_of

REFUSING = "full"
"""Value of ``--verify`` with which a file that still tells is refused; with the others that is told."""
_MOST = 20  # places that are told of one file
_IDS = frozenset({
    "PatientID", "OtherPatientIDs", "AccessionNumber", "PatientAddress", "PatientTelephoneNumbers", "AdmissionID",
    "MedicalRecordLocator", "ReferringPhysicianAddress", "ReferringPhysicianTelephoneNumbers", "PersonAddress",
    "PersonTelephoneNumbers",
})  # fmt: skip
_SIZE = re.compile(r"<\d+ (bytes|items?|values?)>")
_INDEX = re.compile(r"\[\d+\]")


class _Telling(Every):
    """A place at which every element is noted that may tell somebody, whether its value is at hand or not."""

    __slots__ = ()

    def want(self, tag: int, vr: str, wire: str) -> Want:
        """Return whether it is noted."""
        return Want(tag, vr, wire, wanted=vr not in PASSED and tag not in PIXEL_TAGS and vr != "SQ", blind=True)


@lru_cache(maxsize=8)
def _telling(encoding: Encoding) -> _Telling:
    return _Telling(encoding)


def taken_by(edits: Iterable[Edit], unread: Iterable[tuple[str, str]], label: str = "") -> frozenset[Taken]:
    """Return the names and ids that rules took away: of elements, below sequences, and the folder's label.

    Parameters
    ----------
    edits : iterable of Edit
    unread : iterable of (str, str)
        Text and VR of what went in sequences.
    label : str
        As ``label_of``.
    """
    found = {
        Taken(edit.before, edit.vr == "PN")
        for edit in edits
        if edit.before and (edit.vr == "PN" or edit.keyword in _IDS) and edit.before != edit.after
        and not (edit.before[0] == "<" and _SIZE.fullmatch(edit.before))
    }  # fmt: skip
    found.update(Taken(text, is_name=True) for text, vr in unread if vr == "PN" and text)
    if label:
        found.add(Taken(label, is_name=False))
    return frozenset(found)


def label_of(person: str | None, telling: Collection[str]) -> str:
    """Return the label of the subject's folder where it tells whose the file is and does not travel; else nothing."""
    kind, _, key = (person or "").partition(" ")
    label = key.partition(":")[2]
    return label if kind == "folder" and label in telling else ""


def summed(risks: Iterable[str], nameless: Collection[bool | None]) -> tuple[str, ...]:
    """Return the words for what is released, with that which says that there was nothing to look for in all of it."""
    looked = [one for one in nameless if one is not None]
    return (*risks, NOTHING_SOUGHT) if looked and all(looked) else tuple(risks)


def places(written: Written, data: bytes, sought: Sought, own: Iterable[str] = ()) -> list[str]:
    """Return where a checked file still tells what is sought: path without numbers of items, and keyword.

    Parameters
    ----------
    written : Written
    data : bytes
        The file, or its beginning.
    own : iterable of str
        Paths of what a rule wrote in the place of what is sought.
    """
    size = len(written.data)
    edges = sorted({written.start, size, *written.pixels, *chain.from_iterable(written.large)})
    spans = [(one, min(two, size)) for one, two in pairwise(edges) if (one, two) != written.pixels and one < two]
    apart = written.data is not data  # inflated
    found: dict[str, None] = {}
    meta = data[: written.start] if not apart else data[:_META_MOST]
    if sought.may_stand_in(meta, [(0, len(meta))]):
        found |= dict.fromkeys(_in_meta(meta, sought))
    if sought.may_stand_in(written.data, spans):
        found |= dict.fromkeys(_in_data_set(written, sought, frozenset(own)))
    return list(found)


_META_MOST = 1 << 16


def _in_meta(data: bytes, sought: Sought) -> Iterator[str]:
    start = 132 if data[128:132] == b"DICM" else 0
    if data[start : start + 2] != b"\x02\0":
        return
    level = Walker(data).meta(_telling(EXPLICIT_LITTLE), start)
    yield from _in_level(data, level, sought, frozenset())


def _in_data_set(written: Written, sought: Sought, own: frozenset[str]) -> Iterator[str]:
    encoding = Encoding(*written.form)
    top, error = Walker(written.data, written.total).beginning(_telling(encoding), written.start)
    if error is not None:
        raise Unfit("it cannot be looked through for names that rules took away") from None
    for level in top.levels():
        yield from _in_level(written.data, level, sought, own)


def _in_level(data: bytes, level: Level, sought: Sought, own: frozenset[str]) -> Iterator[str]:
    for one in level.found:
        if one.items is not None or one.end > len(data):
            continue
        tag, value = one.want.tag, data[one.value : one.end]
        if sought.stands_in(value, one.want.vr) and not (is_private_creator(tag) and _is_known(value)):
            path = _way(level) + format_tag(tag)
            if path not in own:
                yield _INDEX.sub("", path) + (f" {keyword_of(tag)}" if keyword_of(tag) else "")


def _is_known(creator: bytes) -> bool:
    return knows_creator(creator.decode("iso8859").strip("\0 "))


def _way(level: Level) -> str:
    return "" if level.parent is None else f"{_way(level.parent)}{format_tag(level.tag)}[{level.index}]"


def words_of(found: list[str]) -> tuple[str, ...]:
    """Return the words for places as ``files.csv`` has them."""
    more = (f"{RESIDUE}{len(found) - _MOST} places more",) if len(found) > _MOST else ()
    return (*(f"{RESIDUE}{place}" for place in found[:_MOST]), *more)


def look(
    written: Written, data: bytes, edits: Iterable[Edit], taken: frozenset[Taken], charset: bytes | None
) -> tuple[str, ...]:
    """Return the words for what a file still tells; one says that there was nothing to look for."""
    sought = sought_of(taken, _codecs(charset))
    if not sought:
        return (NOTHING_SOUGHT,)
    own = (edit.path for edit in edits if edit.vr == "PN" or edit.keyword in _IDS)
    return words_of(places(written, data, sought, own))


@lru_cache(maxsize=64)
def _codecs(charset: bytes | None) -> tuple[str, ...]:
    return tuple(one for one in values.encodings_of(charset) if one not in values.UNKNOWN)


def refuse(words: Iterable[str]) -> None:
    """Make sure that a file tells nobody.

    Raises
    ------
    Unfit
        It does.
    """
    told = [word.removeprefix(RESIDUE) for word in words if word.startswith(RESIDUE)]
    if told:
        more = f" and {len(told) - 1} more places" if len(told) > 1 else ""
        raise Unfit(
            f"a name or id that a rule took away stands in {told[0]}, too{more}: "
            "name a rule for that ('clean: true' takes it out of a text)"
        )
