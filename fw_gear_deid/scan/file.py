"""A stored file → what a scan says of it: each instance, each member, their names and what the archive says."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path, PurePosixPath

from fw_gear_deid.deid import files, sort, takes
from fw_gear_deid.deid.incoming import Incoming
from fw_gear_deid.deid.member import passing_of, whole
from fw_gear_deid.deid.pair import is_volume
from fw_gear_deid.deid.sort import members
from fw_gear_deid.formats.archive import HEAD, open_archive
from fw_gear_deid.model.errors import Unfit
from fw_gear_deid.model.litter import litter_of
from fw_gear_deid.profile.compiled import DicomSection, FieldSection, Profile, ZipSection
from fw_gear_deid.profile.parse import parse_profile
from fw_gear_deid.scan import words
from fw_gear_deid.scan.document import Document
from fw_gear_deid.scan.findings import Finding
from fw_gear_deid.scan.header import Header
from fw_gear_deid.verify.known import Known

EVERYTHING = r"""
version: 1
name: scan
zip: {allow-unmatched-files: true}
dicom: {fields: [{name: PatientID, keep: true}]}
json: {fields: [{name: a, keep: true}]}
nifti: {keep-extensions: true, fields: [{name: descrip, keep: true}]}
tiff: {fields: [{name: Artist, keep: true}]}
jpg: {fields: [{name: Artist, keep: true}]}
png: {fields: [{name: tEXt, keep: true}]}
xml: {fields: [{name: /a, keep: true}]}
csv: {fields: [{name: a, keep: true}]}
tsv: {fields: [{name: a, keep: true}]}
key-value-text-file:
  delimiter: '\s*[:=]\s*'
  file-filter: ["*.mh[ad]", "*.MH[AD]", "*.nhdr", "*.nrrd", "*.PAR", "*.par", "*.SPAR", "*.spar", "*.rda",
    acqp, method, reco, subject, visu_pars, acqus, procs]
  fields: [{name: a, keep: true}]
"""
"""A profile with a section for each format, which keeps what there is: sections say who opens what."""
_MOST = 2000
"""Different findings of one file that are told."""
_TEXT_MAX = 16 << 20
_REST = "other findings"


@dataclass
class Looked:
    """What a scan says of one file.

    Attributes
    ----------
    instances : int
        DICOM instances that were read.
    fields : dict of str to bool
        As ``Header.fields``, of all.
    methods : list of str
        What the instances say of how they were de-identified, each once.
    found : dict of (str, str, str) to list
        Kind, place and what of a finding → in how many instances or fields, and one value.
    """

    instances: int = 0
    fields: dict[str, bool] = field(default_factory=dict)
    methods: list[str] = field(default_factory=list)
    found: dict[tuple[str, str, str], tuple[int, str]] = field(default_factory=dict)

    def take(self, findings: Iterable[Finding], *, values: bool) -> None:
        """Add findings."""
        for one in findings:
            key = one.kind, one.place, one.what
            if key not in self.found and len(self.found) >= _MOST:
                key = "unread", _REST, f"more than {_MOST} different findings in this file"
            number, value = self.found.get(key, (0, one.value if values else ""))
            self.found[key] = number + 1, value

    def read(self, header: Header) -> None:
        """Add what an instance says of itself."""
        self.instances += 1
        for keyword, filled in header.fields.items():
            self.fields[keyword] = self.fields.get(keyword, False) or filled
        if header.method and header.method not in self.methods:
            self.methods.append(header.method)

    def kinds(self) -> Counter[str]:
        """Return how many different findings there are of each kind."""
        return Counter(kind for kind, _, _ in self.found)


@lru_cache(maxsize=1)
def everything() -> Profile:
    """Return the profile that takes every format."""
    return parse_profile(EVERYTHING, "scan")


def look_at(path: Path, name: str, around: Known, *, values: bool) -> Looked:
    """Look at a file and everything in it.

    Parameters
    ----------
    path : Path
        Where its bytes lie.
    name : str
        Base name as it is stored.
    around : Known
        What the containers' own fields say of persons.
    values : bool
        Let values leave; else findings have none.
    """
    looked = Looked()
    known = Known()
    known.merge(around)
    try:
        looked.take(_content(path, name, known, looked), values=values)
    except Unfit as error:
        looked.take([Finding("unread", "", str(error))], values=values)
    looked.take(name_findings(name, "file name", known), values=values)
    return looked


def _content(path: Path, name: str, known: Known, looked: Looked) -> Iterator[Finding]:
    """Yield what is found in a file; ``known`` learns what its identifiers say."""
    profile = everything()
    found = sort(path, name, profile)
    if isinstance(found.section, ZipSection):
        yield from _archive(path, known)
    some = False
    for member, base, incoming in files(path, found, profile, DicomSection, FieldSection):
        some = True
        own = Known()
        own.merge(known)
        try:
            yield from _one(incoming, base, own, looked)
        except Unfit as error:
            yield Finding("unread", "", str(error))
        known.merge(own)
        if member:
            yield from name_findings(member, "member name", own)
    if found.section is None:
        yield from _text(path, found.reason, known)
    elif not some and not isinstance(found.section, ZipSection):
        yield Finding("unread", "", found.reason or "nothing in it is of a format that is read")


def _one(incoming: Incoming, base: str, known: Known, looked: Looked) -> Iterator[Finding]:
    """Yield what is found in one file that a section takes."""
    section = takes(everything(), base, incoming.data[:HEAD])
    if isinstance(section, FieldSection):
        if is_volume(incoming.data, base, section.match):
            incoming.drain()
            return
        passing = passing_of(incoming, section)
        opened: Document | Header = Document(
            passing.beginning if passing is not None else whole(incoming, section), section
        )
    else:
        opened = Header(incoming)
    yield from opened.identifiers()
    known.merge(opened.known)
    yield from opened.others(known)
    if isinstance(opened, Header):
        looked.read(opened)
    incoming.drain()


def _archive(path: Path, known: Known) -> Iterator[Finding]:
    """Yield what is found in an archive beside the instances and documents: members of other kinds, its comment."""
    with open_archive(path) as opened:
        comment = opened.comment.decode("utf-8", "replace")
        if comment:
            yield Finding("text", "comment of the archive", words.tells(comment) or "a comment", comment)
        if opened.extras:
            yield Finding("risk", opened.extras, "what else travels with the members: times, users, comments")
        for name, member, section in members(opened, everything()):
            if section is None and not member.special:
                what = litter_of(name) or f"it is of no format that is read ({_suffix(name)})"
                yield Finding("unread", "member", what)
                yield from name_findings(name, "member name", known)


def _text(path: Path, reason: str, known: Known) -> Iterator[Finding]:
    """Yield what is found in a file of no format: its lines, where it is text."""
    data = path.read_bytes() if path.stat().st_size <= _TEXT_MAX else b""
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        text = ""
    if not text or "\0" in text:
        yield Finding("unread", "", reason or "it is of no format that is read")
        return
    for line in text.splitlines():
        if known.told_by(line):
            yield Finding("repeated", "a line of text", "a line of text", line)
        elif told := words.tells(line, numbers=False):
            yield Finding("text", "a line of text", told, line)


def name_findings(name: str, place: str, known: Known) -> Iterator[Finding]:
    """Yield what a name tells: of a member each folder, too."""
    for part in PurePosixPath(name).parts:
        if known.told_by(part):
            yield Finding("name", place, "what an identifier says", name)
            return
        if told := words.tells(part):
            yield Finding("name", place, told, name)
            return


def _suffix(name: str) -> str:
    """Return the suffix of a name, where it is a common one."""
    suffix = PurePosixPath(name).suffix.lower()
    return suffix if suffix in _SUFFIXES else "another name"


_SUFFIXES = frozenset(
    {".txt", ".log", ".pdf", ".doc", ".docx", ".xls", ".xlsx", ".mp4", ".avi", ".gif", ".bmp", ".exe", ".html"}
)
