"""Source name, rules and removed values → a name that tells nobody who the patient is (profile language §7)."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection

from fw_gear_deid.model.action import At, Gone
from fw_gear_deid.model.errors import Unfit
from fw_gear_deid.model.portable import sanitize
from fw_gear_deid.model.selectors import AnySelector
from fw_gear_deid.model.words import is_neutral
from fw_gear_deid.profile.compiled import NameTemplate
from fw_gear_deid.verify.known import Known, plainly

_VARIABLE = re.compile(r"\{([^{}]+)\}")
_SUFFIXES = (
    ".dicom.zip", ".dcm.zip", ".nii.gz", ".tar.gz", ".dcm", ".dicom", ".ima", ".zip", ".tar", ".tgz", ".gz", ".nii",
    ".jpg", ".jpeg", ".png", ".tif", ".tiff", ".xml", ".json", ".csv", ".tsv", ".txt", ".bval", ".bvec", ".hdr.gz",
    ".img.gz", ".hdr", ".img", ".mhd", ".mha", ".raw", ".zraw", ".nrrd", ".nhdr", ".par", ".rec",
    ".gii", ".spar", ".rda",
)  # fmt: skip


class NoTemplate(Unfit):
    """No entry of ``filenames`` takes this source name: the profile leaves the file out."""


class Excluded(Unfit):
    """A condition of ``exclude`` holds: the profile leaves the instance out. The message is what is told of it."""


def from_templates(
    templates: tuple[NameTemplate, ...], source: str, read: Callable[[AnySelector], str | None], at: At
) -> str:
    """Return the name that ``filenames`` gives.

    Parameters
    ----------
    source : str
        Base name of the source file.
    read : callable
        Field of the de-identified file → its text, None when it is absent or empty.

    Raises
    ------
    NoTemplate
        No ``input-regex`` matches.
    Unfit
        An element that the name needs is not there, or an action fails.
    """
    for template in templates:
        match = template.pattern.match(source)
        if match is None:
            continue
        captures, actions, fields = match.groupdict(), dict(template.groups), dict(template.fields)

        def value(variable: re.Match[str]) -> str:
            name = variable.group(1)
            if name in captures:  # noqa: B023 -- called before the loop goes on
                text = captures[name] or ""  # noqa: B023
                action = actions.get(name)  # noqa: B023
                if action is None or not text:
                    return text
                result = action((text,), at)
                return "" if isinstance(result, Gone) else ",".join(result)
            found = read(fields[name])  # noqa: B023
            if not found:
                raise Unfit(f"{template.label} filenames: {name} is absent or empty")  # noqa: B023
            return found

        return sanitize(_VARIABLE.sub(value, template.output))
    raise NoTemplate("no input-regex of filenames matches the name of the file")


def suffix_of(name: str) -> str:
    """Return the suffix of a file's name that says what kind of file it is; what is no such suffix may be a name."""
    lower = name.lower()
    return next((suffix for suffix in _SUFFIXES if lower.endswith(suffix)), "")


def stem_of(name: str) -> str:
    """Return what companions have in common: a file's name without the suffix that says what kind of file it is.

    >>> stem_of("sub-1_dwi.nii.gz"), stem_of("sub-1_dwi.bval"), stem_of("1.2.840.1")
    ('sub-1_dwi', 'sub-1_dwi', '1.2.840.1')
    """
    return name[: len(name) - len(suffix_of(name))]


def may_stay(name: str, known: Known, standing: Collection[str]) -> bool:
    """Tell whether a file's or folder's name may stay.

    Parameters
    ----------
    name : str
    known : Known
        What rules took away: the name carries none of it.
    standing : collection of str
        What ``plainly`` makes of texts of the de-identified header. Where nobody could tell whose the file is, there is
        nothing to hold a name against: it stays when it is one of them, or when its words name nobody.
    """
    if known.told_by(name):
        return False
    stem = name[: len(name) - len(suffix_of(name))]
    return known.tells_whose or is_neutral(stem) or plainly(stem) in standing
