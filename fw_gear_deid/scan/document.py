"""A file of another format → what in it tells whose it is: its fields, what stands beside them, what it may show."""

from __future__ import annotations

import re
from collections.abc import Iterator

from fw_gear_deid.deid.document import codec_of
from fw_gear_deid.formats.row import Field
from fw_gear_deid.profile.compiled import FieldSection
from fw_gear_deid.scan import words
from fw_gear_deid.scan.findings import Finding
from fw_gear_deid.verify.known import Known
from fw_gear_deid.verify.residue import is_somebodys

_BORN = re.compile(r"birth|dob(?![a-z])|(?<![a-z])born", re.IGNORECASE)
_BIDS = re.compile(r"sub-[A-Za-z0-9]+")
_NUMBER = re.compile(r"[-+]?\d*\.?\d*(?:[eE][-+]?\d+)?")
_INDEX = re.compile(r"\[\d+\]")
_TEXT_MAX = 1 << 20
_PLACE_MAX = 200


class Document:
    """One file, opened.

    Parameters
    ----------
    data : bytes
        All of it, or as much as has fields.
    section : FieldSection
        Whose format it is.

    Attributes
    ----------
    known : Known
        What its identifiers say.

    Raises
    ------
    Unfit
        It cannot be read.
    """

    def __init__(self, data: bytes, section: FieldSection) -> None:
        self._data, self._section = data, section
        self._codec = codec_of(section)
        self._fields = self._codec.open(data, section.options).fields
        self.known = Known()

    def identifiers(self) -> Iterator[Finding]:
        """Yield the fields that are called like an identifier and tell somebody; they are known from then on."""
        for one in self._fields:
            if not _is_identifier(one):
                continue
            told = [text for text in one.texts if not (words.says_nobody(text) or _is_bids(one, text))]
            for text in told:
                self.known.add(text, "")
            if told:
                yield Finding("identifier", _place(one), one.name[-_PLACE_MAX:], told[0])

    def others(self, known: Known) -> Iterator[Finding]:
        """Yield what else tells somebody; ``identifiers`` comes first."""
        for one in self._fields:
            if _is_identifier(one):
                continue
            for text in one.texts:
                if not text or _NUMBER.fullmatch(text):
                    continue
                if known.told_by(text):
                    yield Finding("repeated", _place(one), one.name[-_PLACE_MAX:], text)
                elif told := words.tells(text, numbers=False):
                    yield Finding("text", _place(one), told, text)
        options = self._section.options
        for place, data in self._codec.beside(self._data, options):
            if known.told_by_bytes(data):
                yield Finding("repeated", place, "beside the fields")
            elif told := words.tells(data[:_TEXT_MAX].decode("utf-8", "replace"), numbers=False):
                yield Finding("text", place, told)
        for word in self._codec.risks(self._data, options):
            yield Finding("risk", "", word)


def _is_identifier(one: Field) -> bool:
    return is_somebodys(one.name) or _BORN.search(one.name) is not None


def _is_bids(one: Field, text: str) -> bool:
    """Tell whether a cell is a participant as BIDS writes it: a label of a subject."""
    return one.cells and _BIDS.fullmatch(text.strip()) is not None


def _place(one: Field) -> str:
    return _INDEX.sub("[]", one.path)[-_PLACE_MAX:]
