"""A destination project → what stands in it, by origin, label and place: one list of each level, read once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from fw_gear_deid.model.container import EDITABLE
from fw_gear_deid.model.ports import LEVELS, Spot, Standing, Wanted
from fw_gear_deid.stores.flywheel.client import Platform, PlatformError, plain, plain_digest

PLURAL = {"subject": "subjects", "session": "sessions", "acquisition": "acquisitions"}


@dataclass(slots=True, eq=False)
class Kept:
    """A file that stands at the destination.

    Attributes
    ----------
    id, name : str
    version : int
        The platform's number of it.
    size : int
    hash : str
        SHA-384, hexadecimal; empty where the platform does not tell it.
    export : mapping
        What this program wrote into its info; empty for a file of somebody else.
    log : str
        Id of its entry in the de-identification log.
    """

    id: str
    name: str
    version: int
    size: int
    hash: str
    export: Mapping[str, Any]
    log: str = ""

    @property
    def origin(self) -> str:
        """What stands for its source; empty for a file of somebody else."""
        return str(self.export.get("origin_id") or "")

    @property
    def whole(self) -> bool:
        """Whether it is what was sent: a version that somebody put on top inherits what was written here."""
        return self.export.get("size", self.size) == self.size and (
            not self.hash or self.export.get("sha384", self.hash) == self.hash
        )


@dataclass(slots=True, eq=False)
class Held:
    """A container that stands at the destination.

    Attributes
    ----------
    level, id, parent : str
    created : str
        Orders containers of one origin by age.
    fields : dict
        Its metadata as plain values: label, info, tags and what else a profile can speak about.
    files : dict of str to Kept
        By name.
    """

    level: str
    id: str
    parent: str
    created: str
    fields: dict[str, Any]
    files: dict[str, Kept] = field(default_factory=dict)

    @property
    def label(self) -> str:
        """Its name for people."""
        return str(self.fields.get("label") or "")

    @property
    def origin(self) -> str:
        """What stands for its source; empty for a container of somebody else."""
        return str(export_of(self.fields.get("info")).get("origin_id") or "")

    @property
    def origins(self) -> frozenset[str]:
        """Its origin, with those of subjects that a mapping has joined to it; empty for somebody else's container."""
        joined = export_of(self.fields.get("info")).get("joined") or ()
        return frozenset({self.origin, *map(str, joined)} - {""})

    @property
    def age(self) -> tuple[str, str]:
        """Sorts the oldest first, the same way in every job that looks."""
        return self.created, self.id


class Holding:
    """What a destination project holds, as it was when it was first asked, and as this run has changed it since.

    Parameters
    ----------
    platform : Platform
    project : str
        Id.
    """

    def __init__(self, platform: Platform, project: str) -> None:
        self._platform = platform
        self._project = project
        self._held: dict[str, Held] = {}
        self._below: dict[str, dict[str, Held]] = {}
        self._made_of: dict[str, list[tuple[Held, Kept]]] = {}
        top = platform.get("project", project)
        self.root = Held("project", project, "", "", {"label": ""}, self._files("project", top))
        self.add(self.root)
        for level in LEVELS:
            for container in self._list(level, "project", project):
                self._adopt(container)

    def _adopt(self, container: Held) -> None:
        """Note a listed container, and what holds it where that came after its own level was listed."""
        if container.parent not in self._held:
            above = LEVELS[LEVELS.index(container.level) - 1]
            try:
                self._adopt(self.read(above, self._platform.get(above, container.parent)))
            except PlatformError as error:
                if error.status != 404:
                    raise
                return  # it is being deleted
        self.add(container)

    def _list(self, level: str, above: str, parent: str, **options: Any) -> Iterator[Held]:
        # of one origin there are few, so one page has the oldest
        ask = self._platform.first_page if options else self._platform.listed
        pages = ask(
            f"listing {PLURAL[level]}",
            lambda sdk, **page: getattr(sdk, f"get_{above}_{PLURAL[level]}")(parent, **page),
            include_all_info=True,
            **options,
        )
        for container in pages:
            yield self.read(level, container)

    def read(self, level: str, container: Any) -> Held:
        """Keep of a platform's document what is compared later."""
        fields = {key: plain(container.get(key)) for key in ("label", *EDITABLE[level])}
        parents = container.parents
        parent = {"subject": self._project, "session": parents.get("subject"), "acquisition": parents.get("session")}
        files = self._files(level, container)
        return Held(level, str(container.id), str(parent[level]), str(plain(container.created)), fields, files)

    def _files(self, level: str, container: Any) -> dict[str, Kept]:
        found = list(container.files or [])
        if any(_hidden(file) for file in found):  # a list may leave the info of files out
            found = list(self._platform.get(level, str(container.id)).files or [])
        return {file.name: self.kept(file) for file in found}

    def kept(self, file: Any) -> Kept:
        """Keep of a platform's document of a file what is compared later."""
        if _hidden(file):
            file = self._platform.call("reading a file", lambda sdk: sdk.get_file(file.file_id), tries=4)
        return Kept(
            str(file.file_id), str(file.name), int(file.version or 0), int(file.size or 0),
            plain_digest(file.get("hash")), export_of(plain(file.get("info"))), str(file.get("deid_log_id") or ""),
        )  # fmt: skip

    # -- containers ------------------------------------------------------------------------------------

    def get(self, container: str) -> Held:
        """Return a container by id."""
        return self._held[container]

    def below(self, parent: str, level: str) -> list[Held]:
        """Return the containers of a level inside one, the oldest first."""
        children = self._below.get(parent, {}).values()
        return sorted((one for one in children if one.level == level), key=lambda one: one.age)

    def of_origin(self, level: str, origin: str, parent: str) -> Held | None:
        """Return the oldest container of an origin below a parent."""
        return next((one for one in self.below(parent, level) if origin in one.origins), None)

    def again(self, parent: str, wanted: Wanted) -> Held | None:
        """Ask the platform anew for the oldest container that is the wanted one: another job may have made it.

        By origin, or by label where there is no origin.
        """
        above = "project" if parent == self._project else LEVELS[LEVELS.index(wanted.level) - 1]
        options = {"filter": f'info.export.origin_id="{wanted.origin}"'} if wanted.origin else {}
        found = [
            one
            for one in self._list(wanted.level, above, parent, **options)
            if (wanted.origin in one.origins if wanted.origin else one.label == wanted.label)
        ]
        for one in found:
            if one.id not in self._held:
                self.add(one)
        oldest = min(found, key=lambda one: one.age, default=None)
        return self._held[oldest.id] if oldest is not None else None

    def add(self, container: Held) -> None:
        """Note a container that is there."""
        self._held[container.id] = container
        self._below.setdefault(container.parent, {})[container.id] = container
        for file in container.files.values():
            self._note(container, file)

    def forget(self, container: Held) -> None:
        """Note that an empty container is gone."""
        self._held.pop(container.id, None)
        self._below.get(container.parent, {}).pop(container.id, None)

    # -- files -----------------------------------------------------------------------------------------

    def made_of(self, *origins: str) -> list[tuple[Held, Kept]]:
        """Return the files of a source, wherever they stand, with what holds them."""
        return [pair for origin in dict.fromkeys(origins) if origin for pair in self._made_of.get(origin, [])]

    def ours(self) -> Iterator[tuple[Held, Kept]]:
        """Yield every file that this program put there."""
        for container in list(self._held.values()):
            for file in list(container.files.values()):
                if file.export:
                    yield container, file

    def set(self, container: Held, file: Kept) -> None:
        """Note a file that was put."""
        self.unset(container, file.name)
        container.files[file.name] = file
        self._note(container, file)

    def unset(self, container: Held, name: str) -> None:
        """Note that a file is gone."""
        before = container.files.pop(name, None)
        if before is not None and before.origin:
            self._made_of[before.origin].remove((container, before))

    def _note(self, container: Held, file: Kept) -> None:
        if file.origin:
            self._made_of.setdefault(file.origin, []).append((container, file))

    def describe(self, container: Held, file: Kept) -> Standing:
        """Return a file as the port has it."""
        chain: list[Wanted] = []
        at = container
        while at.level != "project":
            chain.insert(0, Wanted(at.level, at.label, at.origin))
            at = self._held[at.parent]
        export = file.export
        return Standing(
            f"{container.id}/{file.name}", tuple(chain), file.name, file.origin, str(export.get("version_id") or ""),
            str(export.get("root_id") or ""), str(export.get("fingerprint") or ""), file.size,
            file.whole, file.log, Spot(container.id, file.id, str(file.version)),
        )  # fmt: skip


def export_of(info: Any) -> Mapping[str, Any]:
    """Return what this program has written into a container's or file's info."""
    found = (info or {}).get("export") if isinstance(info, Mapping) else None
    return found if isinstance(found, Mapping) else {}


def _hidden(file: Any) -> bool:
    return not file.get("info") and bool(file.get("info_exists"))
