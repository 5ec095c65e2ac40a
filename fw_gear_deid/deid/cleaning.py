"""What rules take away from a file, and what stands around it → how its texts are cleaned, and how that is checked."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from functools import lru_cache

from fw_gear_deid.actions.cleaning import Cleaner, Fact
from fw_gear_deid.model.dictionary import is_private, public_vr, tag_of
from fw_gear_deid.model.outcome import ALWAYS, Edit
from fw_gear_deid.model.words import is_protocol
from fw_gear_deid.verify import cleaned
from fw_gear_deid.verify.known import Known
from fw_gear_deid.verify.residue import is_somebodys

_CLEAN = "clean"
_SIZE = re.compile(r"<\d+ (bytes|items?|values?)>")
_FREE = {"AE", "LO", "LT", "SH", "ST", "UC", "UN", "UR", "UT"}
_DAYS = {"DA", "DT"}
_BY_NAME = re.compile(r":\d+$")
"""How the label of a rule ends that stands in the profile: it names what it takes away."""
_TABLE = "ps3-15"
"""How the label of the standard's table begins, which names public elements."""
_DAY = re.compile(r"(?<!\d)\d{4}[-./]?\d\d[-./]?\d\d")
"""The day of a DA or DT value: times of a series differ from file to file."""
_DESCRIBES = re.compile(
    r"Description|Comments?$|Notes$|^Reason|Label$|Protocol|Technique|^Sequence|^Scan|Bolus|Agent|Narrative|Impressions|"
    r"^InterpretationText|^Selector|^Treatment|^Manufacturer|^SoftwareVersion|ModelName|^Image|^Pulse|^Contrast|Filter|"
    r"^Code(Meaning|Value)|^CodingScheme|ROIName|RTPlanName|StructureSetName|EntityName|TemplateName|CoilName|MedicalAlerts|"
    r"Allergies|History|^Occupation|PatientState|^Acquisition|^Convolution|^View|^Units|^BodyPart|^Anatomic|^Laterality|"
    r"Version|^Position|^Derivation|^Study(Comments|Description)|EthnicGroup|SpeciesDescription|BreedDescription|^SexNeut"
)
"""Elements in which protocols, techniques and findings are described: their words stay words elsewhere."""
_BESIDE = re.compile(r",? row \d+$|^column |^container \w+\.")
"""What stands in the audit's path beside the name of a field."""


def facts_of(
    edits: Iterable[Edit], unread: Iterable[tuple[str, str]] = (), telling: Iterable[str | Fact] = ()
) -> tuple[Fact, ...]:
    """Return what tells of the patient: what rules took away, and labels around the file.

    Parameters
    ----------
    edits : iterable of Edit
    unread : iterable of (str, str)
        Text and VR of what went in sequences.
    telling : iterable of str or Fact
        Labels of containers, names of folders, cells of the patient's row; and what other members of an archive tell.
    """
    found: dict[Fact, None] = {}
    for one in telling:
        if isinstance(one, Fact):
            found[one] = None
        elif not _is_of_words(one):
            found[Fact(one, "")] = None
    for edit in edits:
        if edit.before and edit.before != edit.after and edit.action != _CLEAN and not _SIZE.fullmatch(edit.before):
            found.update(dict.fromkeys(_facts(edit)))
    for text, vr in unread:
        if vr == "PN":
            found[Fact(text, vr)] = None
        elif vr in _DAYS:
            found.update(dict.fromkeys(Fact(day, "DA") for day in _DAY.findall(text)))
    return tuple(found)


def _facts(edit: Edit) -> Iterable[Fact]:
    """Yield what an edit tells: of free text only what is an id or a name by its element."""
    if not edit.vr:
        yield from _named(edit)
    elif edit.vr in _DAYS:
        yield from (Fact(day, "DA") for day in _DAY.findall(edit.before))
    elif edit.vr == "PN":
        yield Fact(edit.before, edit.vr, edit.keyword)
    elif edit.vr in _FREE and not _is_of_words(edit.before):
        by_table = edit.rule.startswith(_TABLE) and edit.keyword != ""
        by_name = by_table or (bool(_BY_NAME.search(edit.rule)) and not edit.rule.startswith(ALWAYS))
        tells = is_somebodys(edit.keyword) if edit.keyword else False
        if tells or (by_name and not _DESCRIBES.search(edit.keyword)):
            yield Fact(edit.before, edit.vr, edit.keyword)


def _is_of_words(text: str) -> bool:
    """Tell whether a text is made of words of protocols alone; one with digits may be an id."""
    return is_protocol(text) and not any(map(str.isdecimal, text))


def _named(edit: Edit) -> Iterable[Fact]:
    """Yield what the edit of a field without a VR tells, by its name."""
    if edit.path == "filename":
        return
    path = _BESIDE.sub("", edit.path)
    name = re.split(r"[./@ ]", path)[-1]
    tag = tag_of(name)
    vr = public_vr(tag) if tag is not None and not is_private(tag) else None
    if vr in _DAYS or vr == "PN":
        yield Fact(edit.before, vr, name)
    elif is_somebodys(path):
        yield Fact(edit.before, "", name)
    elif not _DESCRIBES.search(name) and not _is_number(edit.before):
        yield Fact(edit.before, "LO", name)


def _is_number(text: str) -> bool:
    return len(text) < 6 and re.fullmatch(r"[-+]?\d*\.?\d*", text) is not None


class Cleaning:
    """How texts are cleaned of some facts; what the check knows of them is kept apart."""

    def __init__(self, facts: tuple[Fact, ...]) -> None:
        self._cleaner = Cleaner(facts)
        self.known = Known()
        for text, vr, keyword in facts:
            self.known.add(text, vr, keyword)

    def clean(self, text: str) -> str:
        """Return a text cleaned; empty where it goes on telling."""
        new = self._cleaner.cleaned(text)
        return "" if cleaned.told_by(new, self.known) else new


@lru_cache(maxsize=64)  # files of a series tell the same, but for their instance
def cleaning_of(facts: tuple[Fact, ...]) -> Cleaning:
    """Return how texts are cleaned of some facts."""
    return Cleaning(facts)


def clean_of(
    edits: Iterable[Edit], unread: Callable[[], Iterable[tuple[str, str]]], telling: Iterable[str | Fact]
) -> Callable[[str], str]:
    """Return how names are cleaned of what went from a file and of labels around it, worked out when one is."""
    return lambda text: cleaning_of(facts_of(edits, unread(), telling)).clean(text)


def cleaner(
    telling: tuple[str | Fact, ...],
) -> Callable[[Iterable[Edit], Iterable[tuple[str, str]]], Callable[[str], str]]:
    """Return how texts of a file are cleaned that stands among some labels, once its edits are known."""
    return lambda edits, unread: cleaning_of(facts_of(edits, unread, telling)).clean
