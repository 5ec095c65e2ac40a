"""Source labels → the profile that goes for them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass, replace
from typing import TypeVar

from fw_gear_deid.model.errors import Unfit
from fw_gear_deid.profile.profile import Profile
from fw_gear_deid.profile.variables import spell

Labels = tuple[str, ...]
Values = Mapping[str, str]
Part = TypeVar("Part")


@dataclass(frozen=True, slots=True)
class Page:
    """The profile of one subject or session.

    Attributes
    ----------
    profile : Profile
    unresolved : tuple of str
        Variables without a value; actions that depend on them refuse to act.
    fingerprint : str
        Changes with the profile's text and with the values it uses. Values can be guessed from it.
    """

    profile: Profile
    unresolved: tuple[str, ...]
    fingerprint: str


@dataclass(frozen=True, slots=True)
class ProfileBook:
    """One profile per subject or session; picklable, and what pages have in common is there once.

    Attributes
    ----------
    base : Profile
        For what belongs to no subject; the only one when the text has no variables.
    pages : mapping
        By subject label; and by subject and session label where profiles go by session.
    depth : int
        How many labels tell profiles apart: 1 or 2.
    unresolved_in_base : tuple of str
    """

    base: Profile
    pages: Mapping[Labels, Page] = field(default_factory=dict)
    depth: int = 1
    unresolved_in_base: tuple[str, ...] = ()

    @property
    def sha256(self) -> str:
        """SHA-256 of the profile's text."""
        return self.base.sha256

    def page(self, labels: Labels) -> Page:
        """Return the page for source labels, from the subject inwards; for unknown ones that of the base."""
        found = self.pages.get(labels[: self.depth])
        return found or Page(self.base, self.unresolved_in_base, self.sha256)

    def of(self, labels: Labels) -> Profile:
        """Return the profile for source labels, from the subject inwards; between sessions, as far as they agree.

        Raises
        ------
        Unfit
            No subject of the source has these labels, and the profile needs values.
        """
        if labels[: self.depth] not in self.pages and self.unresolved_in_base:
            raise Unfit(f"the profile's variables {spell(*self.unresolved_in_base)} have no value outside of subjects")
        return self.page(labels).profile

    def for_file(self, labels: Labels) -> Profile:
        """Return the profile for a file: one with all its values.

        Raises
        ------
        Unfit
            Values are missing.
        """
        page = self.page(labels)
        if page.unresolved:
            raise Unfit(f"the profile's variables {spell(*page.unresolved)} have no value for it")
        return page.profile


def agreed(listed: Sequence[Values]) -> Values:
    """Return the values that are the same for all."""
    first, *others = listed or [{}]
    return {name: value for name, value in first.items() if all(other.get(name) == value for other in others)}


def sharing(new: Part, old: Part) -> Part:
    """Return a compiled profile that takes over every part of another that is equal, so that it is kept once."""
    if new == old:
        return old
    if isinstance(new, tuple) and isinstance(old, tuple) and type(new) is type(old) is tuple and len(new) == len(old):
        return tuple(sharing(one, other) for one, other in zip(new, old, strict=True))  # type: ignore[return-value]
    if isinstance(new, dict) and isinstance(old, dict):
        return {key: sharing(value, old.get(key)) for key, value in new.items()}  # type: ignore[return-value]
    if is_dataclass(new) and not isinstance(new, type) and type(new) is type(old):
        parts = {part.name: sharing(getattr(new, part.name), getattr(old, part.name)) for part in fields(new)}
        return replace(new, **parts)
    return new
