"""Wanted containers → containers of the destination project: found or made, up to date, taken away when empty."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

from fw_gear_deid.model.ports import Wanted
from fw_gear_deid.stores.flywheel.client import AMISS, TRIES, UNCERTAIN, Platform, PlatformError, wait
from fw_gear_deid.stores.flywheel.holding import PLURAL, Held, Holding, export_of

_CLEARED = frozenset({"firstname", "lastname", "operator", "species", "strain", "uid"})
"""Text fields that an empty text clears."""
_BELOW = {"project": "subject", "subject": "session", "session": "acquisition"}


class Containers:
    """The containers of a destination project.

    Parameters
    ----------
    platform : Platform
    project : str
        Its id.
    match_by_id : frozenset of str
        Levels at which a container is found again by its origin instead of its label.
    """

    def __init__(self, platform: Platform, project: str, match_by_id: frozenset[str]) -> None:
        self._platform = platform
        self._project = project
        self._match_by_id = match_by_id
        self._labels: dict[tuple[str, str], str] = {}
        """Level and origin → label that this run gives the container."""
        self._people: dict[str, list[str]] = {}
        """Label of a subject → origins that have it in this run: more than one where a mapping joins them."""
        self._ids: dict[tuple[str, str], str] = {}
        """Parent, and origin or label → container, once it is found or made."""
        self._used: dict[tuple[str, str], str] = {}
        """Level and origin → container that this run uses for it."""
        self._fresh: set[str] = set()
        """Containers whose metadata is that of this run."""
        self._moved: dict[str, Held] = {}
        """Containers under a label that made way for another one."""

    @cached_property
    def holding(self) -> Holding:
        """What the project holds; read when it is first asked for, and kept up to date."""
        return Holding(self._platform, self._project)

    def prepare(self, containers: Sequence[tuple[Wanted, ...]]) -> None:
        """Learn which containers the run wants: a label may have to make way for another one's."""
        for chain in containers:
            for wanted in chain:
                if wanted.origin:
                    self._labels[wanted.level, wanted.origin] = wanted.label
        for (level, origin), label in sorted(self._labels.items()):
            if level == "subject":
                self._people.setdefault(label, []).append(origin)

    def find(self, parent: Held, wanted: Wanted) -> Held | None:
        """Return the child that is meant, by origin or by label, without making anything.

        Raises
        ------
        PlatformError
            The only one of the label was made from another source: two people, or two scans, would become one.
        """
        key = (parent.id, wanted.origin or wanted.label)
        if key in self._ids:
            return self.holding.get(self._ids[key])
        by_origin = wanted.origin and (wanted.level in self._match_by_id or not wanted.label)
        if by_origin:
            joined = self._people.get(wanted.label, ()) if wanted.level == "subject" else ()
            candidates = (
                self.holding.of_origin(wanted.level, origin, parent.id) for origin in (wanted.origin, *joined)
            )
            found = next((one for one in candidates if one is not None), None)
        else:
            found = self._of_label(parent, wanted)
        if found is not None:
            self._ids[key] = found.id
            self._used[wanted.level, wanted.origin] = found.id
        return found

    def _of_label(self, parent: Held, wanted: Wanted) -> Held | None:
        same = [one for one in self.holding.below(parent.id, wanted.level) if one.label == wanted.label]
        if not wanted.origin:
            return same[0] if same else None
        free = [one for one in same if wanted.origin in one.origins] or [one for one in same if not one.origin]
        if same and not free:
            raise PlatformError(AMISS, _taken(wanted.level))
        return free[0] if free else None

    def ensure(self, chain: tuple[Wanted, ...]) -> Held:
        """Find or make every container of a chain and bring its metadata up to date; return the innermost."""
        parent = self.holding.root
        for wanted in chain:
            held = self.find(parent, wanted)
            if held is None:
                held = self._create(parent, wanted)
                self._ids[parent.id, wanted.origin or wanted.label] = held.id
                self._used[wanted.level, wanted.origin] = held.id
            if held.id not in self._fresh:
                self._refresh(parent, held, wanted)
            parent = held
        return parent

    def _create(self, parent: Held, wanted: Wanted) -> Held:
        """Make a container; somebody else may make it at the same moment."""
        body: dict[str, Any] = {
            key: value for key, value in wanted.fields.items() if key not in ("tags", "info", "label")
        }
        body |= {"label": wanted.label, "info": self._info(wanted)}
        if wanted.level == "subject":
            body["project"] = self._project
        elif wanted.level == "session":
            body |= {"project": self._project, "subject": {"_id": parent.id}}
        else:
            body["session"] = parent.id
        for attempt in range(1, TRIES + 1):
            try:
                made = self._platform.write(
                    f"making a {wanted.level}", lambda sdk: getattr(sdk, f"add_{wanted.level}")(body)
                )
            except PlatformError as error:
                if error.status != 409 and error.status not in UNCERTAIN:
                    raise
                # somebody made it, or the platform did and could not say so
                if error.status != 409:
                    time.sleep(wait(attempt))
                found = self.holding.again(parent.id, wanted)
                if found is not None:
                    return found
                if error.status == 409 and not self._make_way(parent, wanted):
                    known = any(one.label == wanted.label for one in self.holding.below(parent.id, wanted.level))
                    if known or attempt > 2:
                        raise PlatformError(AMISS, _taken(wanted.level)) from None
                    time.sleep(wait(attempt))  # another job is just making it
                if attempt == TRIES:
                    raise
                continue
            return self._settle(str(made if isinstance(made, str) else made.id), parent, wanted, body)
        raise AssertionError("unreachable")

    def _settle(self, made: str, parent: Held, wanted: Wanted, body: Mapping[str, Any]) -> Held:
        """Look again after making a container: of two that jobs made at the same moment the oldest is kept."""
        unique = wanted.level == "subject" and not wanted.origin  # the platform itself takes no two of one label
        oldest = None if unique else self.holding.again(parent.id, wanted)
        if oldest is not None and oldest.id != made:
            self._drop(Held(wanted.level, made, parent.id, "", dict(body)))
            return oldest
        if oldest is None:
            oldest = Held(wanted.level, made, parent.id, "", dict(body))
            self.holding.add(oldest)
        self._tag(made, wanted, ())
        self._fresh.add(made)
        return oldest

    def _make_way(self, parent: Held, wanted: Wanted) -> bool:
        """Give the container that has a wanted label a free one, if this run is to rename it anyway."""
        for one in self.holding.below(parent.id, wanted.level):
            later = self._labels.get((one.level, one.origin), "") if one.origin else ""
            if one.label == wanted.label and later and later != one.label:
                self._rename(one, f"renaming-{one.origin[:24]}")
                self._moved[one.id] = one
                return True
        return False

    def _rename(self, held: Held, label: str) -> None:
        self._platform.write(
            f"renaming a {held.level}",
            lambda sdk: getattr(sdk, f"modify_{held.level}")(held.id, {"label": label}),
            tries=TRIES,
        )
        held.fields["label"] = label

    def _refresh(self, parent: Held, held: Held, wanted: Wanted) -> None:
        """Bring the metadata of a container that was there up to date, where it differs."""
        there = held.fields
        export = export_of(there.get("info"))
        fields = {key: value for key, value in wanted.fields.items() if key not in ("tags", "info")}
        fields["label"] = wanted.label
        # what an earlier profile let travel and this one does not
        fields |= {key: "" for key in export.get("fields") or () if key in _CLEARED and key not in fields}
        changed = {key: value for key, value in fields.items() if there.get(key) != value}
        if changed:
            self._modify(parent, held, wanted, changed)
        info, has = self._info(wanted, held), there.get("info") or {}
        gone = [key for key in export.get("info") or () if key not in info and key in has]
        for change in ({"delete": gone} if gone else {}, {"set": {k: v for k, v in info.items() if has.get(k) != v}}):
            if any(change.values()):
                self._change_info(wanted.level, held.id, change)
        there["info"] = {key: value for key, value in has.items() if key not in gone} | info
        self._tag(held.id, wanted, there.get("tags") or ())
        self._fresh.add(held.id)
        self._moved.pop(held.id, None)

    def _modify(self, parent: Held, held: Held, wanted: Wanted, changed: Mapping[str, Any]) -> None:
        def modify() -> None:
            self._platform.write(
                f"updating a {held.level}",
                lambda sdk: getattr(sdk, f"modify_{held.level}")(held.id, dict(changed)),
                tries=TRIES,
            )

        try:
            modify()
        except PlatformError as error:
            if error.status != 409:
                raise
            if not self._make_way(parent, wanted):
                raise PlatformError(AMISS, _taken(held.level)) from None
            modify()
        held.fields |= changed

    def _change_info(self, level: str, container: str, body: Mapping[str, Any]) -> None:
        """Change some keys of a container's info; others' keys stay."""
        self._platform.write(
            f"updating a {level}", lambda sdk: getattr(sdk, f"modify_{level}_info")(container, dict(body)), tries=TRIES
        )

    def _tag(self, container: str, wanted: Wanted, there: Sequence[str]) -> None:
        """Add the tags that a container lacks, in one request."""
        tags = wanted.fields.get("tags")
        missing = [tag for tag in tags if tag not in there] if isinstance(tags, (list, tuple)) else []
        if missing:
            self._platform.write(
                f"tagging a {wanted.level}",
                lambda sdk: getattr(sdk, f"add_{wanted.level}_tags")(container, missing),
                tries=TRIES,
            )

    def _info(self, wanted: Wanted, held: Held | None = None) -> dict[str, Any]:
        info = wanted.fields.get("info")
        base = dict(info) if isinstance(info, Mapping) else {}
        if not wanted.origin:  # from a folder: noted is only that we made it
            ours = held is None or export_of(held.fields.get("info"))
            return base | ({"export": {"info": sorted(base)}} if ours else {})
        # which keys are ours, so that a later run can take back what its profile does not let travel
        fields = sorted(key for key in wanted.fields if key not in ("tags", "info"))
        export = {"origin_id": wanted.origin, "info": sorted(base), "fields": fields}
        people = {wanted.origin, *(self._people.get(wanted.label, ()) if wanted.level == "subject" else ())}
        if held is not None and people & held.origins:
            export["origin_id"] = held.origin
            people |= held.origins
        return base | {"export": export | ({"joined": sorted(people)} if len(people) > 1 else {})}

    def finish(self, containers: Sequence[tuple[Wanted, ...]]) -> None:
        """Make containers that hold no files, bring those that do up to date, end what a renaming began."""
        for chain in sorted(containers, key=lambda one: tuple((wanted.label, wanted.origin) for wanted in one)):
            self.ensure(chain)
        for held in list(self._moved.values()):
            self._rename(held, self._labels[held.level, held.origin])
            del self._moved[held.id]

    def tidy(self, held: Held) -> None:
        """Remove containers that this program made, that are empty now, and that are not where this run puts things."""
        while held.level != "project" and export_of(held.fields.get("info")) and not held.files:
            parent, use = self.holding.get(held.parent), self._used.get((held.level, held.origin))
            known = (held.level, held.origin) in self._labels and use in (None, held.id)
            wanted = known or held.id in self._fresh
            below = _BELOW.get(held.level)
            if wanted or (below and self.holding.below(held.id, below)) or not self._drop(held):
                return
            self.holding.forget(held)
            self._ids = {key: one for key, one in self._ids.items() if one != held.id}
            held = parent

    def _drop(self, held: Held) -> bool:
        """Delete a container of ours if nobody has put anything into it; tell of it where it has to stay."""
        below = _BELOW.get(held.level)
        try:
            there = self._platform.get(held.level, held.id)
            inside: list[Any] = [*(there.files or ()), *(there.analyses or ()), *(there.notes or ())]
            if below:
                inside += self._platform.listed(
                    f"listing {PLURAL[below]}",
                    lambda sdk, **page: getattr(sdk, f"get_{held.level}_{PLURAL[below]}")(held.id, **page),
                )
            if not inside:
                self._platform.call(
                    f"deleting a {held.level}",
                    lambda sdk: getattr(sdk, f"delete_{held.level}")(held.id, delete_reason="container_is_empty"),
                    tries=TRIES,
                )
                return True
            why = "somebody has put something into it"
        except PlatformError as error:
            if error.status == 404:
                return True
            why = str(error)
        print(f"the {held.level} {held.id} at the destination is of no more use; it stays: {why}", file=sys.stderr)  # noqa: T201
        return False


def _taken(level: str) -> str:
    return (
        f"another {level} at the destination has its label, made from another source: give each a label of its own "
        f"(a rule on flywheel.{level}.label, or labels: rules), or rename that one"
    )
