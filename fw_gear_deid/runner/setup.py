"""Profile text, mapping and source containers → what a run works with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from fw_gear_deid.model.cells import shown
from fw_gear_deid.model.frozen import frozen
from fw_gear_deid.model.limits import NO_LIMITS, Given, within
from fw_gear_deid.model.ports import Branch, Item
from fw_gear_deid.profile.compiled import Profile
from fw_gear_deid.profile.parse import parse_profile
from fw_gear_deid.profile.values import variables
from fw_gear_deid.profile.values.book import ProfileBook
from fw_gear_deid.profile.values.mapping import plan_profiles, read_mapping, used_columns


@frozen
class PlannedProfile:
    """A profile that reads well, before its variables have values.

    Attributes
    ----------
    profile : Profile
    text : str
    file : str
        Name for messages.
    level : str
        Where it came from: ``input``, ``builtin``, ``project``, ``group``, ``site``.
    """

    profile: Profile
    text: str
    file: str
    level: str

    @staticmethod
    def read(text: str, file: str, level: str) -> PlannedProfile:
        """Check a profile.

        Raises
        ------
        ProfileError
        """
        return PlannedProfile(parse_profile(text, file), text, file, level)


def detail_of(planned: PlannedProfile) -> frozenset[str]:
    """Return the container levels whose metadata the profile speaks about; the others need not be read in full."""
    levels = {name.partition(".")[0] for name, _, _ in variables.names(planned.text)}
    if planned.profile.flywheel is not None:
        levels |= set(planned.profile.flywheel.reads)
    return frozenset(levels & {"project", "subject", "session", "acquisition", "file"})


def book_for(
    planned: PlannedProfile,
    mapping: Path | None,
    branches: Sequence[Branch],
    *,
    by_session: bool,
    allow_shared: bool = False,
    given: Given = NO_LIMITS,
) -> ProfileBook:
    """Give every subject (or session) of the source, or every row of a mapping by an id, its profile.

    Parameters
    ----------
    given : mapping of str to int
        Limits that were set.

    Raises
    ------
    UsageError, ProfileError
        Variables without a value, rows that are missing or double: all of them.
    """
    depth = 2 if by_session else 1
    folders = {branch.labels: branch.record.id for branch in branches}
    subjects = [branch.labels for branch in branches if len(branch.labels) == depth]
    known = {branch.labels: _metadata(branch) for branch in branches if len(branch.labels) == depth}
    table = None
    if mapping is not None:
        with within(given, 0):
            table = read_mapping(mapping, used_columns(planned.text), by_session=by_session, allow_shared=allow_shared)
    return plan_profiles(
        planned.text,
        planned.file,
        table,
        subjects,
        lambda labels: known.get(labels, {}),
        by_session=by_session,
        place=lambda labels: shown(folders[labels]),
    )


def taking_part(items: Sequence[Item], branches: Sequence[Branch]) -> list[Branch]:
    """Leave out the containers whose files are all left out: they need no values."""
    held = {key for item in items for key in item.containers}
    kept = {key for item in items if item.problem_state != "skipped" for key in item.containers}
    return [branch for branch in branches if branch.record.id in kept or branch.record.id not in held]


def _metadata(branch: Branch) -> dict[str, str]:
    """Return ``project.*``, ``subject.*`` and ``session.*`` of a container as variables."""
    values: dict[str, str] = {}
    levels = {**branch.record.parents, branch.record.level: {**branch.record.fields, "label": branch.record.label}}
    for level, fields in levels.items():
        _flatten(level, fields, values)
    return values


def _flatten(prefix: str, value: object, values: dict[str, str]) -> None:
    if isinstance(value, Mapping):
        for key, item in value.items():
            _flatten(f"{prefix}.{key}", item, values)
    elif isinstance(value, (str, int, float)) and not isinstance(value, bool):
        values[prefix] = str(value)
