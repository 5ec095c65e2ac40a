"""Who a file is of → the profile that goes for it, its variables filled in."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass, replace
from hashlib import sha256
from typing import Any, TypeVar

from fw_gear_deid.model.errors import Unfit
from fw_gear_deid.model.frozen import frozen
from fw_gear_deid.profile.compiled import FlywheelSection, Profile
from fw_gear_deid.profile.parse import parse_template
from fw_gear_deid.profile.text.problems import ProfileError
from fw_gear_deid.profile.values.spelling import Nearest, same_id
from fw_gear_deid.profile.values.swap import open_part, swapped
from fw_gear_deid.profile.values.unique import Target
from fw_gear_deid.profile.values.variables import Template, is_blank, spell

Labels = tuple[str, ...]
Values = Mapping[str, str]
Part = TypeVar("Part")

LABEL_KEYS = ("subject.label", "session.label")
ID_KEYS = ("PatientID", "AccessionNumber", "StudyInstanceUID")
"""What a mapping may go by besides the subject's label: elements of the original header."""
NOTHING: Values = {}
_KEPT = 64  # compiled pages: work goes on with the same people for a while


@frozen
class Page:
    """The profile of one subject, session or patient.

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


@dataclass(slots=True)
class _Made:
    """What is made of the rows of a table when it is first asked for."""

    nearest: Nearest | None = None
    keys: dict[int, Labels] = field(default_factory=dict)
    digest: str = ""


@frozen
class Lookup:
    """Rows of a mapping table, cut down to the columns that the profile uses.

    Attributes
    ----------
    table : str
        Name of the table, for messages.
    key : str
        ``subject.label``, or one of ``ID_KEYS``.
    by_session : bool
        Rows belong to a session as well.
    columns : tuple of str
    rows : mapping
        Key (and session label) → number of the row, and its cells in these columns.
    numbers : tuple of int
        Of all rows of the table.
    allow_shared : bool
        Two subjects may get one new id.
    notes : tuple of str
        What was understood on reading though it need not have been meant.
    sha256 : str
        Of the file.
    beside : mapping
        Key → cells of columns that the profile does not use, and that no other row has: they tell whose the row is.
    """

    table: str
    key: str
    by_session: bool
    columns: tuple[str, ...]
    rows: Mapping[Labels, tuple[int, tuple[str, ...]]]
    numbers: tuple[int, ...] = ()
    allow_shared: bool = False
    notes: tuple[str, ...] = ()
    sha256: str = ""
    beside: Mapping[Labels, tuple[str, ...]] = field(default_factory=dict, compare=False)
    _made: _Made = field(default_factory=lambda: _Made(), repr=False, compare=False)

    def __reduce__(self) -> tuple[Any, ...]:
        listed = (self.numbers, self.allow_shared, self.notes, self.sha256, self.beside)
        return Lookup, (self.table, self.key, self.by_session, self.columns, self.rows, *listed)

    def key_of(self, labels: Labels, ids: Values) -> Labels:
        """Return what a file is looked up by; shorter than it has to be when something is missing."""
        if self.key == LABEL_KEYS[0]:
            return labels[: 2 if self.by_session else 1]
        own = ids.get(self.key, "")
        if is_blank(own):
            return ()
        return (own, *labels[1:2]) if self.by_session else (own,)

    def row(self, labels: Labels, ids: Values) -> int | None:
        """Return the number of the row that goes for a file."""
        found = self.rows.get(self.key_of(labels, ids))
        return found[0] if found else None

    def cells(self, labels: Labels, ids: Values) -> Values:
        """Return the values that the table has for a file."""
        found = self.rows.get(self.key_of(labels, ids))
        return dict(zip(self.columns, found[1], strict=True)) if found else NOTHING

    def ids_of(self, number: int) -> Values | None:
        """Return the id that a row goes by; None for a number without a row."""
        if not self._made.keys:
            self._made.keys.update((found, key) for key, (found, _) in self.rows.items())
        key = self._made.keys.get(number)
        return None if key is None else {self.key: key[0]}

    @property
    def digest(self) -> str:
        """What changes with any value of any row."""
        if not self._made.digest:
            told = json.dumps(sorted((key, cells) for key, (_, cells) in self.rows.items()))
            self._made.digest = sha256(told.encode("utf-8", "surrogatepass")).hexdigest()
        return self._made.digest

    def check(self, labels: Labels, ids: Values) -> None:
        """Make sure that a file has a row with a value in every column.

        Raises
        ------
        Unfit
            It says what is missing and what to do about it.
        """
        found = self.rows.get(self.key_of(labels, ids))
        if found is None:
            raise Unfit(self._why_not(labels, ids))
        blank = [name for name, cell in zip(self.columns, found[1], strict=True) if is_blank(cell)]
        if blank:
            raise Unfit(f"{self.table} row {found[0]}: column {', '.join(blank)} is blank")

    def _why_not(self, labels: Labels, ids: Values) -> str:
        key = self.key_of(labels, ids)
        if self.key == LABEL_KEYS[0] and not labels:
            return (
                f"{self.table} goes by subject.label, and this file stands in no SUBJECT/SESSION/ACQUISITION tree: "
                "put it into one, or give the mapping a column PatientID instead"
            )
        if not key:
            return f"{self.table} goes by {self.key}, and this file has none that can be read"
        if self.by_session and len(key) < 2:
            return f"{self.table} goes by session.label as well, and this file stands in no session"
        if self._made.nearest is None:
            self._made.nearest = Nearest((one, number) for one, (number, _) in self.rows.items())
        near = self._made.nearest.explain(key)
        what = f"{self.key} and session" if self.by_session else self.key
        return f"{self.table} has no row for its {what}: " + (near or "add one, or leave the file out")


@frozen
class ProfileBook:
    """One profile per subject, session or patient, compiled when first asked for; picklable.

    Attributes
    ----------
    base : Profile
        For what belongs to no subject; the only one when the text has no variables.
    template : Template, optional
        The text, its variables open.
    used : tuple of str
        Variables of the profile.
    known : mapping
        Source labels → values that do not depend on a header: by subject, and by subject and session where profiles
        go by session.
    common : mapping
        Values that are the same in the whole project; ``base`` has them.
    depth : int
        How many labels tell profiles apart: 1 or 2.
    lookup : Lookup, optional
        The mapping table.
    new_ids : tuple of Target
        Texts with variables that become somebody's id or label.
    """

    base: Profile
    template: Template | None = None
    used: tuple[str, ...] = ()
    known: Mapping[Labels, Values] = field(default_factory=dict)
    common: Values = field(default_factory=dict)
    depth: int = 1
    lookup: Lookup | None = None
    new_ids: tuple[Target, ...] = ()
    _pages: dict[tuple[tuple[str, str], ...], Profile] = field(default_factory=dict, repr=False, compare=False)
    _open: list[Template | None] = field(default_factory=list, repr=False, compare=False)

    def __reduce__(self) -> tuple[Any, ...]:
        told = (self.base, self.template, self.used, self.known, self.common, self.depth, self.lookup, self.new_ids)
        return ProfileBook, told

    @property
    def sha256(self) -> str:
        """SHA-256 of the profile's text."""
        return self.base.sha256

    @property
    def by_header(self) -> str:
        """The element that the mapping goes by; empty where a page can be taken without reading a header."""
        return self.lookup.key if self.lookup is not None and self.lookup.key in ID_KEYS else ""

    @property
    def joins(self) -> bool:
        """Whether two subjects that get one new id are one on purpose: the mapping says so, studies of a patient do."""
        if self.lookup is None or not (self.lookup.allow_shared or self.lookup.key in ID_KEYS[1:]):
            return False
        return any(name in self.lookup.columns for target in self.new_ids for name in target.variables)

    def ids_of_row(self, number: int) -> Values | None:
        """Return the ids that a row of the mapping goes by, as ``fingerprint`` takes them; None for unknown ones."""
        return self.lookup.ids_of(number) if self.lookup is not None and self.by_header else NOTHING

    def new_id(self, labels: Labels, ids: Values = NOTHING) -> tuple[str, ...]:
        """Return the new id that the mapping gives somebody; nothing when it gives none."""
        cells = self.lookup.cells(labels, ids) if self.lookup is not None else NOTHING
        for target in self.new_ids:
            if all(not is_blank(cells.get(name, "")) for name in target.variables):
                return ("new", same_id(target.text(cells)))
        return ()

    def telling(self, labels: Labels, ids: Values = NOTHING) -> tuple[str, ...]:
        """Return what the row of somebody tells besides what the profile uses of it."""
        return self.lookup.beside.get(self.lookup.key_of(labels, ids), ()) if self.lookup is not None else ()

    def values(self, labels: Labels, ids: Values = NOTHING, pseudonyms: Values = NOTHING) -> Values:
        """Return the values of the variables that the profile uses, as far as they are known."""
        have = {**self.known.get(labels[: self.depth], self.common)}
        have |= self.lookup.cells(labels, ids) if self.lookup is not None else {}
        have |= pseudonyms
        return {name: have[name] for name in self.used if not is_blank(have.get(name, ""))}

    def fingerprint(self, labels: Labels, ids: Values | None = None, pseudonyms: Values = NOTHING) -> str:
        """Return what changes with the profile's text and the values that go for a file.

        Parameters
        ----------
        ids : mapping, optional
            None: they are not known yet. Then every row of a mapping counts that goes by them.
        """
        values = self.values(labels, ids or NOTHING, pseudonyms)
        rows = [self.lookup.digest] if self.by_header and ids is None and self.lookup is not None else []
        if not values and not rows:
            return self.sha256
        told = json.dumps([self.sha256, sorted(values.items()), *rows])
        return sha256(told.encode("utf-8", "surrogatepass")).hexdigest()

    def page(self, labels: Labels, ids: Values = NOTHING, pseudonyms: Values = NOTHING) -> Page:
        """Return the page for source labels, ids and pseudonyms; for unknown ones that of the base.

        Parameters
        ----------
        labels : tuple of str
            At the source, from the subject inwards.
        ids : mapping of str to str
            Original texts of ``ID_KEYS`` in the file's header.
        pseudonyms : mapping of str to str
            Texts of ``variables.PSEUDONYMS``.

        Raises
        ------
        Unfit
            Values do not fit where they go.
        """
        values = self.values(labels, ids, pseudonyms)
        return Page(self._compiled(values), self._unresolved(values), self.fingerprint(labels, ids, pseudonyms))

    def _compiled(self, values: Values) -> Profile:
        if self.template is None or values == self.common:
            return self.base
        key = tuple(sorted(values.items()))
        profile = self._pages.pop(key, None)
        if profile is None:
            try:
                profile = self._swapped(self.template, values) or compiled(self.template, values, self.used, self.base)
            except ProfileError as error:
                where = ", ".join(f"{one.line}:{one.column}" for one in error.problems if one.severity == "error")
                told = spell(*values)
                raise Unfit(f"the values of {told} do not fit the profile ({self.template.file}:{where})") from None
            if len(self._pages) >= _KEPT:
                del self._pages[next(iter(self._pages))]
        self._pages[key] = profile  # the last one used is the last one
        return profile

    def _swapped(self, template: Template, values: Values) -> Profile | None:
        """Return the base with the rules that have variables compiled anew, where variables stand in rules alone."""
        if not self._open:
            self._open.append(open_part(template, self.base))
        part = self._open[0]
        return None if part is None else swapped(part, values, self.used, self.base)

    def of(self, labels: Labels, ids: Values = NOTHING, pseudonyms: Values = NOTHING) -> Profile:
        """Return the profile for a container; between sessions, as far as they agree.

        Parameters
        ----------
        labels, ids, pseudonyms
            As for ``page``.

        Raises
        ------
        Unfit
            No subject of the source has these labels, and the profile needs values.
        """
        return self._compiled(self._of_somebody(labels, self.values(labels, ids, pseudonyms)))

    def flywheel(self, labels: Labels, pseudonyms: Values = NOTHING) -> FlywheelSection | None:
        """Return what goes for a container's metadata; nothing is compiled where nothing does.

        Raises
        ------
        Unfit
            As ``of``.
        """
        if self.base.flywheel is not None:
            return self.of(labels, pseudonyms=pseudonyms).flywheel
        self._of_somebody(labels, self.values(labels, NOTHING, pseudonyms))
        return None

    def _of_somebody(self, labels: Labels, values: Values) -> Values:
        unresolved = self._unresolved(values)
        if unresolved and labels[: self.depth] not in self.known:
            raise Unfit(f"the profile's variables {spell(*unresolved)} have no value outside of subjects")
        return values

    def _unresolved(self, values: Values) -> tuple[str, ...]:
        return tuple(name for name in self.used if name not in values)

    def for_file(self, labels: Labels, ids: Values = NOTHING, pseudonyms: Values = NOTHING) -> Profile:
        """Return the profile for a file: one with all its values, of somebody who is in the mapping.

        Parameters
        ----------
        labels, ids, pseudonyms
            As for ``page``.

        Raises
        ------
        Unfit
            It has no row in the mapping, or values are missing. The message says which and what to do, and no value.
        """
        if self.lookup is not None and (self.by_header or labels[: self.depth] not in self.known):
            self.lookup.check(labels, ids)
        values = self.values(labels, ids, pseudonyms)
        if unresolved := self._unresolved(values):
            self._compiled(values)  # what does not fit is told first
            hint = "" if labels[: self.depth] in self.known else "; it stands in no SUBJECT/SESSION/ACQUISITION tree"
            raise Unfit(f"the profile's variables {spell(*unresolved)} have no value for it{hint}")
        return self._compiled(values)


def compiled(template: Template, values: Values, used: tuple[str, ...], base: Profile) -> Profile:
    """Compile a profile; variables that are left out make the actions refuse that depend on them.

    Raises
    ------
    ProfileError
        Values do not fit where they go.
    """
    strict = all(name in values for name in used)
    profile = parse_template(template, values, strict=strict, lint_too=False)
    return sharing(replace(profile, warnings=base.warnings), base)


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
