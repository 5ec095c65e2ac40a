"""Source name, rules and removed values → a name that tells nobody who the patient is (profile language §7)."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable

from fw_gear_deid.model.action import At, Gone
from fw_gear_deid.model.errors import Unfit
from fw_gear_deid.model.outcome import Edit
from fw_gear_deid.model.portable import sanitize
from fw_gear_deid.model.selectors import AnySelector
from fw_gear_deid.profile.compiled import NameTemplate

_VARIABLE = re.compile(r"\{([^{}]+)\}")
_COMPOUND = (".dicom.zip", ".nii.gz", ".tar.gz")
_TEXT_MIN = 4  # bytes of UTF-8: four letters, two ideographs; shorter values occur by chance
_NAME_PART_MIN = 3


class NoTemplate(Unfit):
    """No entry of ``filenames`` takes this source name: the profile leaves the file out."""


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
    """Return the suffix of a file name that says what kind of file it is."""
    lower = name.lower()
    for compound in _COMPOUND:
        if lower.endswith(compound):
            return compound
    match = re.search(r"\.[a-z0-9]{1,5}$", lower)
    return match.group() if match and not match.group()[1:].isdecimal() else ""


class Identifiers:
    """Values that rules removed or replaced, for finding them again in names."""

    def __init__(self) -> None:
        self._texts: set[str] = set()
        self._parts: set[str] = set()
        self._known: set[tuple[str, str]] = set()
        """Values added already: the members of an archive repeat them."""

    def learn(self, edits: Iterable[Edit]) -> None:
        """Remember the values before of edits."""
        for edit in edits:
            if edit.before and edit.before != edit.after and not edit.before.startswith("<"):
                self.add(edit.before, edit.vr)

    def add(self, text: str, vr: str) -> None:
        """Remember one value; a person's name also by its parts."""
        if (text, vr) in self._known:
            return
        self._known.add((text, vr))
        for value in text.split("\\"):
            groups = value.split("=") if vr == "PN" else [value]
            self._texts |= {plain for plain in map(_plain, groups) if _weight(plain) >= _TEXT_MIN}
            if vr == "PN":
                parts = (_plain(part) for part in re.split(r"[\^= ,]+", value))
                self._parts |= {part for part in parts if _weight(part) >= _NAME_PART_MIN}

    def found_in(self, name: str) -> bool:
        """Tell whether a name carries one of the values."""
        plain = _plain(name)
        if any(text in plain for text in self._texts):
            return True
        tokens = {_plain(token) for token in re.split(r"[^\w\u0300-\u036f]+|[_\d]+", name) if token}
        return bool(self._parts & tokens) or any(_weight(part) > _TEXT_MIN and part in plain for part in self._parts)


def _plain(text: str) -> str:
    """Text for comparing: letters and digits only, without case and accents, however these are encoded."""
    return re.sub(r"[\W_]+", "", unicodedata.normalize("NFKD", text).casefold())


def _weight(plain: str) -> int:
    return len(plain.encode("utf-8", "surrogatepass"))
