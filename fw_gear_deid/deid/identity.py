"""A data set → whose it is, and whether all that one task meets is of one person."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache

from fw_gear_deid.formats.dicom.fields import Fields
from fw_gear_deid.keys import Keyring
from fw_gear_deid.model.errors import Unfit
from fw_gear_deid.model.person import (
    OTHER_BIRTH_DATE,
    SEVERAL,
    Born,
    Identity,
    Person,
    contradict,
    is_placeholder,
    plain,
)
from fw_gear_deid.model.seen import Seen
from fw_gear_deid.model.words import is_neutral

PATIENT_ID, SERIES_UID = 0x00100020, 0x0020000E
_PATIENT = {
    "IssuerOfPatientID": 0x00100021, "PatientID": PATIENT_ID, "PatientBirthDate": 0x00100030, "PatientName": 0x00100010,
}  # fmt: skip
_SUB = "sub-"  # of BIDS
_NO_TEXT = "\udc80b"  # half of a surrogate pair stands in no decoded text
_UIDS = {"study": 0x0020000D, "series": SERIES_UID, "instance": 0x00080018}


def identity_of(fields: Fields, keyring: Keyring) -> Identity:
    """Seal what a data set says of its patient."""
    return _sealed(keyring, tuple(_text(fields, tag) for tag in _PATIENT.values()))


@lru_cache(maxsize=256)  # files of one patient follow one another
def _sealed(keyring: Keyring, texts: tuple[str, ...]) -> Identity:
    return Identity.of(dict(zip(_PATIENT, texts, strict=True)), keyring.stamp)


@lru_cache(maxsize=256)
def _stamp(keyring: Keyring, kind: str, uid: str) -> str:
    return keyring.stamp(kind, uid) if uid else ""


def identity_of_metadata(header: Mapping[str, object], keyring: Keyring) -> Identity:
    """Seal what a platform has noted of a header: keyword → value."""
    return _sealed(keyring, tuple(str(header.get(keyword) or "") for keyword in _PATIENT))


def seen_of(fields: Fields, keyring: Keyring) -> Seen:
    """Return what a look at one instance finds."""
    uids = {name: _text(fields, tag).strip("\0 ") for name, tag in _UIDS.items()}
    study, series, instance = (_stamp(keyring, name, uid) for name, uid in uids.items())
    return Seen("instance", (identity_of(fields, keyring),), study, series, instance)


def person_of(fields: Fields, keyring: Keyring) -> str | None:
    """Return the person that the PatientID tells; None without a usable one."""
    known = identity_of(fields, keyring).id
    return Person("id", (known,)).text if known else None


def keys_of(text: str, keyring: Keyring) -> frozenset[str]:
    """Return what a subject is found by that a table names, sealed: as a label or a PatientID, with ``sub-`` or not.

    An id with an issuer is not found by the id alone.
    """
    bare = plain(text).removeprefix(_SUB)
    if is_placeholder(bare):
        return frozenset()
    ids = (_sealed(keyring, ("", one, "", "")).id for one in (bare, _SUB + bare))
    return frozenset({label_key(text, keyring), *ids}) - {""}


def label_key(label: str, keyring: Keyring) -> str:
    """Return what a subject is found by that has a label; empty for one that tells nobody."""
    bare = plain(label).removeprefix(_SUB)
    return "" if is_placeholder(bare) else keyring.stamp("label", bare)


def tells_whose(fields: Fields) -> bool:
    """Tell whether a data set says whose it is, by an id or a name that is more than a word for anybody."""
    return not all(is_neutral(_text(fields, tag)) for tag in (PATIENT_ID, _PATIENT["PatientName"]))


def _text(fields: Fields, tag: int) -> str:
    """Return a text; of bytes that are none a name that no text has: it is compared, not shown."""
    try:
        return "\\".join(fields.texts(tag))
    except Unfit:
        return _NO_TEXT + (fields.raw(tag) or b"").strip(b"\0 ").hex()


@dataclass(slots=True)
class Watch:
    """Looks at every data set that one task meets.

    Attributes
    ----------
    born : tuple of str
        Birth date of the subject, as far as it is known.
    by_id : bool
        The subject is known by its id: another usable one is another patient.
    strict : bool
        Refuse; else only note.
    met : list of Identity
        The distinct ones.
    notes : list of str
        What would have been refused.
    holds : set of str
        The instances, sealed.
    """

    born: Born = ()
    by_id: bool = False
    strict: bool = True
    met: list[Identity] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    holds: set[str] = field(default_factory=set)
    _own: list[Identity] = field(default_factory=list)

    def see(self, fields: Fields, keyring: Keyring) -> bool:
        """Look at a data set as it came; as ``meet``."""
        instance = seen_of(fields, keyring).instance
        if instance:
            self.holds.add(instance)
        return self.meet(identity_of(fields, keyring))

    def meet(self, identity: Identity) -> bool:
        """Look at one; return whether it is of the person that the others are of.

        Raises
        ------
        Unfit
            It is not of the person that the others are of.
        """
        problem = self._problem(identity)
        if identity not in self.met:
            self.met.append(identity)
            if not problem:
                self._own.append(identity)
        if problem and self.strict:
            raise Unfit(problem)
        if problem and problem not in self.notes:
            self.notes.append(problem)
        return not problem

    def _problem(self, identity: Identity) -> str:
        if any(contradict(other.born, identity.born) for other in self._own):
            return SEVERAL
        if self.by_id and identity.id and any(other.id not in ("", identity.id) for other in self._own):
            return SEVERAL
        return OTHER_BIRTH_DATE if contradict(self.born, identity.born) else ""
