"""A file after its rules → its marks: what was done to it by PS3.15, and what may still tell whose it is."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from functools import lru_cache

from fw_gear_deid.actions.cleaning import Fact
from fw_gear_deid.deid.context import Context
from fw_gear_deid.formats.dicom.fields import Fields, fields_of
from fw_gear_deid.formats.dicom.part10 import Parts
from fw_gear_deid.model.errors import Unfit
from fw_gear_deid.model.frozen import frozen
from fw_gear_deid.plan import marks as written
from fw_gear_deid.plan.edits import Edits
from fw_gear_deid.profile.compiled import DicomSection
from fw_gear_deid.standard import marks, risks
from fw_gear_deid.verify.marks import Said

_MEDIA_CLASS = 0x00020002
Untrue = Mapping[int, frozenset[str]]


@frozen
class Telling:
    """What the work on a file is told of the run and of what is around it.

    Attributes
    ----------
    profile : str
        Name and digest of the profile.
    checked : bool
        Results are checked before they leave.
    around : tuple of str or Fact
        Labels around the file, and what other members of its archive tell.
    """

    profile: str = ""
    checked: bool = True
    around: tuple[str | Fact, ...] = ()


NOTHING_TOLD = Telling()


def telling_of(ctx: Context) -> Telling:
    """Return what the work on a file is told of its run and its place."""
    told = f"de-identified by profile {ctx.profile.name[:64]}, SHA-256 {ctx.profile.sha256}"
    return Telling(told, ctx.verify != "off", ctx.around_texts)


def risks_of(parts: Parts) -> tuple[str, ...]:
    """Return words for what may tell whose a file is though no rule for its elements does, as it came."""
    tags = risks.tags()
    said = fields_of(parts.body_src, parts.body, tags)
    there = tuple(one.want.tag for one in parts.body.found if one.items is not None and one.want.tag in tags)
    return _words(tuple(said.raws.items()), (said.encodings, said.little), there, _media_class(parts))


@lru_cache(maxsize=256)  # files of one series say the same
def _words(
    raws: tuple[tuple[int, tuple[bytes, str]], ...],
    spelt: tuple[tuple[str, ...], bool],
    there: tuple[int, ...],
    media_class: str,
) -> tuple[str, ...]:
    said = Fields(dict(raws), *spelt)
    return risks.risks_of(dict.fromkeys(there, ()) | {tag: _plainly(said, tag) for tag in said.raws}, media_class)


def _plainly(said: Fields, tag: int) -> tuple[str, ...]:
    """Return the values of an element; what cannot be read tells nothing."""
    try:
        return said.texts(tag)
    except Unfit:
        return ("",)


def _media_class(parts: Parts) -> str:
    found = (one for one in parts.meta.found if one.want.tag == _MEDIA_CLASS)
    return next((parts.src[one.value : one.end].decode("ascii", "replace").strip("\0 ") for one in found), "")


def left(words: Collection[str], section: DicomSection) -> tuple[str, ...]:
    """Return the risks of a file that no option of its section takes away.

    Raises
    ------
    Unfit
        The section follows PS3.15, and neither an option nor ``accept`` speaks of one.
    """
    if section.claims is None:
        return tuple(words)
    for word in risks.uncovered(words, section.claims, section.accept):
        option = f"the option {risks.COVERED[word]}, " if word in risks.COVERED else ""
        remedy = f"{option}'accept: [{word}]' lets it leave, 'exclude' leaves it out"
        raise Unfit(f"(0008,0016): risk {word}: {risks.MEANT[word]}; {remedy}")
    return risks.remaining(words, section.claims)


def mark(
    parts: Parts, done: Edits, section: DicomSection, untrue: Untrue, telling: Telling
) -> tuple[tuple[str, ...], Said | None]:
    """Write the marks of a file into what its section made of it.

    Parameters
    ----------
    untrue : mapping of int to frozenset of str
        Rule → codes that are not true of a file in which it found something.

    Returns
    -------
    tuple of str
        The risks that are left.
    Said or None
        What its check will find; None where the section follows no standard.

    Raises
    ------
    Unfit
        As ``left``.
    """
    words = left(risks_of(parts), section)
    if section.claims is None:
        return words, None
    codes = frozenset[str]().union(*(untrue[index] for index in done.matched if index in untrue))
    made = marks.marks_of(section.claims, codes, set(words) - risks.COUNTED, checked=telling.checked)
    written.write(parts.body_src, parts.body, done.body, done.after, made, telling.profile)
    own = written.own_items(parts.body.place.encoding, made, telling.profile)
    return words, Said(made.removed, made.method, made.codes, made.times, written.MODEL, own)
