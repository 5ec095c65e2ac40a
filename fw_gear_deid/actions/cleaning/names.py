"""Text → spans that look like somebody's name: behind a title or a word for somebody, or with ``^`` as DICOM has it."""

from __future__ import annotations

import re
from collections.abc import Iterator

from fw_gear_deid.model.words import PARTICLES, is_protocol

_WORD = r"[^\W\d_]+(?:['’.-][^\W\d_]+)*\.?(?![^\W_])"
_TITLES = (
    r"(?:(?:Mrs|Miss|Prof|Professor|Doctor|Doktor|Herrn?|Frau|Fr|Hr|Mme|Mlle|Monsieur|Madame|Señora?|Sra|Dra|Dott|Dottssa|"
    r"Sig|Signora?|Mevr|Dhr|MRS|MISS|PROF|DOCTOR|HERR|FRAU|MME|mrs|prof|doctor|herr|frau)\b\.?|"
    r"(?:Dr|Mr|Ms|Sr)\b\.?|(?:DR|MR|MS|dr|mr|ms)\.|(?:DR|dr)\b)"
)
_TITLED = re.compile(
    rf"(?<![^\W_]){_TITLES}(?:[ ]{{1,2}}(?:Dr|Prof|med|phil|h\.c|rer|nat|DR|PROF|MED)\b\.?)*[ ]{{0,2}}"
    rf"(?P<name>{_WORD}(?:[ ]{{1,2}}{_WORD}){{0,3}})"
)
_LABELLED = re.compile(
    r"(?<![^\W_])(?:(?:patient|pat|pt|subject)?[ _.]?names?|patient|pt|operators?|technologist|tech|physician|"
    r"referring|ref|referred[ ]by|radiologist|performed[ ]by|ordered[ ]by|requested[ ]by|reported[ ]by|"
    r"read[ ]by|signed[ ]by|dictated[ ]by|author|surgeon|nurse|contact|mother|father|husband|wife)\s?[:=]\s?"
    rf"(?P<name>{_WORD}(?:[ ,]{{1,2}}{_WORD}){{0,3}})",
    re.IGNORECASE,
)
_CARETS = re.compile(r"(?<![^\s^=:;,()\[\]\\/_\d])[^\s^=:;,()\[\]\\/_\d]*(?:\^[^\s^=:;,()\[\]\\/_\d]*)+")
_PIECE = re.compile(r"[^\^]+")


_INSTITUTE = re.compile(
    rf"(?P<name>(?:{_WORD}[ ]){{1,3}})(?=(?i:hospital|clinic|klinik|clinique|hopital|hôpital|ospedale|krankenhaus|"
    r"infirmary|medical cent(?:er|re)|university|klinikum)\b)"
)


def spans(text: str) -> Iterator[tuple[int, int]]:
    """Yield the spans that look like names; words of the field are none, ``MR Brain`` and ``HEAD^ROUTINE``."""
    for found in _TITLED.finditer(text):
        yield from _words(text, *found.span("name"))
    for found in _INSTITUTE.finditer(text):
        yield from _last_words(text, *found.span("name"))
    if ":" in text or "=" in text:
        for found in _LABELLED.finditer(text):
            yield from _words(text, *found.span("name"))
    if "^" in text:
        yield from _carets(text)


def _words(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """Yield the words of a name up to the first that is none; with two letters, or a capital."""
    for found in re.finditer(_WORD, text[start:end]):
        word = found.group()
        if _is_common(word):
            return
        yield start + found.start(), start + found.end()


def _last_words(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """Yield the last words of a span back to the first that is none of a name; names are written large."""
    for found in reversed(list(re.finditer(_WORD, text[start:end]))):
        if _is_common(found.group()) or not found.group()[0].isupper():
            return
        yield start + found.start(), start + found.end()


def _carets(text: str) -> Iterator[tuple[int, int]]:
    for found in _CARETS.finditer(text):
        pieces = [(one.start() + found.start(), one.end() + found.start()) for one in _PIECE.finditer(found.group())]
        telling = [span for span in pieces if not (_is_common(text[slice(*span)]) or _counts(text, *span))]
        if len(pieces) == 1 and _counts(text, *found.span()):
            continue  # F^18^Fluorine
        if telling and len(telling) == len(pieces):
            yield found.span()
        else:
            yield from telling


def _counts(text: str, start: int, end: int) -> bool:
    """Tell whether a piece goes on in digits: ``L3-S1^L1-L4``."""
    return text[start - 1 : start].isdecimal() or text[end : end + 1].isdecimal()


def _is_common(word: str) -> bool:
    plain = word.strip(".'’-").casefold()
    return len(plain) > 1 and plain not in PARTICLES and is_protocol(word)
