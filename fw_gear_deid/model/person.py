"""Who a patient is: normal forms of what a header says of one, and how two compare (docs/people.md)."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping

from fw_gear_deid.model.frozen import frozen

NO_ID = "no usable PatientID; put it below SUBJECT/SESSION/ACQUISITION or give --mapping"
OTHER_BIRTH_DATE = "its birth date contradicts the subject's"
SEVERAL = "several patients in one archive"

KEYWORDS = ("IssuerOfPatientID", "PatientID", "PatientBirthDate", "PatientName")
"""What tells a patient in a header."""

Stamp = Callable[..., str]
"""Texts → what tells them apart without telling any of them, by the secret of the run."""
Born = tuple[str, ...]
"""Stamps of year, month and day of birth, as far as they are known."""

# What stands in for an id: machines, de-identification and import write it into the files of many
_PLACEHOLDERS = frozenset(
    word
    for line in """
        anon anonym anonyme anonymous anonymized anonymised anonymizado anonimo anonimizado annonymous deid
        deidentified deidentify identified de pseudonym pseudonymized pseudonymised redacted removed deleted
        withheld hidden masked confidential unknown unk unbekannt inconnu desconocido undefined unspecified
        unnamed unidentified noname nobody no not none null nil nan na available applicable set given provided
        assigned specified missing empty blank default dummy test testing tst tbd xnat patient patientid
        patientname pat pid subject id name
    """.splitlines()
    for word in line.split()
)
_REPEATED = {"0": 1, "x": 2}
"""Sign → from how many of it on there is nothing but a placeholder; six of any other."""
_SEPARATORS = re.compile(r"[\W_]+")
# Where a Connector is told by the PatientID where to put a file: GROUP/PROJECT[/SUBJECT[/SESSION]]
_ROUTE = re.compile(r"(?:fw://)?(?P<group>[^\W\d_][\w.@-]+)/(?P<project>[^/]*[^\W\d_][^/]*)(?P<more>(?:/[^/]*){0,3})/?")
_DATE = re.compile(r"(\d{4})(?:[-./]?(\d{2})(?:[-./]?(\d{2}))?)?(?:[T ].*)?", re.ASCII)
_YEAR_LAST = re.compile(r"\d{1,2}[-./ ]\d{1,2}[-./ ](\d{4})", re.ASCII)
_FIRST_YEAR, _LAST_YEAR = 1850, 2200  # of birth; what lies outside, 0000 and 9999 among it, is no date
_NO_DATES = frozenset({("1900", "01", "01"), ("1901", "01", "01"), ("1900",)})  # for want of one


def plain(text: str) -> str:
    """Return a text for comparing: NFC, case folded, blanks outside gone and inside one.

    >>> plain('  Pid  12 ')
    'pid 12'
    """
    return " ".join(unicodedata.normalize("NFC", text.replace("\0", " ")).casefold().split())


def usable_id(text: str) -> str:
    """Return a PatientID in normal form, empty when it tells no patient from another.

    >>> usable_id('group/project'), usable_id('group/project/Sub-1/ses-2'), usable_id('740104/0020')
    ('', 'sub-1', '740104/0020')
    """
    text = plain(text)
    route = _ROUTE.fullmatch(text)
    if route is not None:
        text = plain(route["more"].split("/")[1]) if route["more"] else ""
    return "" if is_placeholder(text) else text


def is_placeholder(text: str) -> bool:
    """Tell whether a text in normal form stands in for an id: blank, a word such as ANON, zeros, one sign repeated."""
    words = [word for word in _SEPARATORS.split(text) if word]
    joined = "".join(words)
    if not joined:
        return True
    if len(set(joined)) == 1 and len(joined) >= _REPEATED.get(joined[0], 6):
        return True
    return joined in _PLACEHOLDERS or all(word in _PLACEHOLDERS for word in words)


def birth_date(text: str) -> tuple[str, ...]:
    """Return year, month and day of a birth date as far as it tells them; nothing when it tells no year.

    >>> birth_date('19700115'), birth_date('1970.01.15'), birth_date('19700000'), birth_date('00000000')
    (('1970', '01', '15'), ('1970', '01', '15'), ('1970',), ())
    """
    text = text.replace("\0", " ").strip()
    match = _DATE.fullmatch(text) or _YEAR_LAST.fullmatch(text)
    if match is None or not _FIRST_YEAR <= int(match[1]) <= _LAST_YEAR:
        return ()
    parts = [match[1]]
    for part in match.groups()[1:]:
        if not part or not part.strip("0"):
            break
        parts.append(part)
    return () if tuple(parts) in _NO_DATES else tuple(parts)


def contradict(one: Born, other: Born) -> bool:
    """Tell whether two birth dates cannot be the same; what is not known contradicts nothing."""
    return any(mine != yours for mine, yours in zip(one, other, strict=False))


def fullest(dates: Iterable[Born]) -> Born:
    """Return the birth date that is known best."""
    return max(dates, key=len, default=())


@frozen
class Identity:
    """What one header says of its patient, sealed: it can be compared and kept, not read.

    Attributes
    ----------
    id : str
        Of issuer and PatientID in normal form; empty when the id is not usable.
    born : tuple of str
        Of year, year and month, and the day; as far as known.
    name : str
        Of the name's parts; empty when there is none.
    """

    id: str = ""
    born: Born = ()
    name: str = ""

    @staticmethod
    def of(texts: Mapping[str, str], stamp: Stamp) -> Identity:
        """Seal what a header says.

        Parameters
        ----------
        texts : mapping
            Keyword → text, absent ones empty or left out.
        stamp : callable
        """
        issuer, patient, born, name = (texts.get(keyword, "") for keyword in KEYWORDS)
        usable = usable_id(patient)
        parts = birth_date(born)
        letters = [part for part in _SEPARATORS.split(plain(name.partition("=")[0])) if part]
        return Identity(
            stamp("id", plain(issuer), usable) if usable else "",
            tuple(stamp("born", *parts[:depth]) for depth in range(1, len(parts) + 1)),
            stamp("name", *letters) if letters and not is_placeholder(" ".join(letters)) else "",
        )


@frozen
class Person:
    """A patient, for every keyed draw and pseudonym.

    Attributes
    ----------
    kind : str
        What tells who it is: ``id``, ``folder``, ``container``, or, where contradictions are only warned of, ``study``
        or ``file``. Keys of two kinds never meet.
    key : tuple of str
    """

    kind: str
    key: tuple[str, ...]

    @property
    def text(self) -> str:
        """The person as one text; two persons never share it."""
        return " ".join((self.kind, *(f"{len(part)}:{part}" for part in self.key)))


@frozen
class Known:
    """What is known of a person: enough to tell in another run whether it is the same.

    Attributes
    ----------
    born : tuple of str
    root : str
        Where the folder lay whose name is all that tells who it is; empty for others.
    """

    born: Born = ()
    root: str = ""

    def contradicts(self, other: Known) -> str:
        """Say why what two runs know under one person cannot be one person; empty when it can."""
        if contradict(self.born, other.born):
            return "another source has this patient with another birth date"
        if self.root != other.root:
            return "another source has a folder of this name, and nothing tells whether it is the same patient"
        return ""
