"""SOURCE and DEST as written on a command line → stores (``fw://GROUP/PROJECT...`` is on a platform)."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fw_gear_deid.model.errors import UsageError
from fw_gear_deid.model.frozen import frozen
from fw_gear_deid.model.ports import LEVELS, Sink, Source
from fw_gear_deid.stores.folder import FolderSink, FolderSource
from fw_gear_deid.system.root import lies_in

if TYPE_CHECKING:  # the SDK takes longer to import than a folder to de-identify
    from fw_gear_deid.stores.flywheel.settings import StoredProfile

SCHEME = "fw://"
_KEY_VARIABLES = ("FW_API_KEY", "FLYWHEEL_API_KEY")
_LOGIN = Path(".config/flywheel/user.json")  # where the fw command line keeps its login, below the home folder


def on_platform(text: str) -> bool:
    """Tell whether a place is on a platform."""
    return text.startswith(SCHEME)


def check_folders(source_text: str, dest_text: str, own: Mapping[str, Path | None], called: str = "DEST") -> None:
    """Refuse a source that is not there, folders that lie in one another, and those that cannot be written to.

    Parameters
    ----------
    source_text, dest_text : str
        As written.
    own : mapping of str to Path or None
        Option → folder for what is not delivered.
    called : str
        What the user calls the destination.

    Raises
    ------
    UsageError
    """
    source = None if on_platform(source_text) else Path(source_text)
    dest = None if on_platform(dest_text) else Path(dest_text)
    if source is not None:
        status = _status(source)
        if status is None:
            raise UsageError(f"{source}: no such file or folder")
        if not stat.S_ISDIR(status.st_mode) and not stat.S_ISREG(status.st_mode):
            raise UsageError(f"{source}: SOURCE must be a folder or a file")
    if source is not None and dest is not None and (_lies_in(dest, source) or _lies_in(source, dest)):
        raise UsageError(f"SOURCE and {called} lie in one another; choose a {called} elsewhere")
    for name, folder in own.items():
        if folder is None:
            continue
        if dest is not None and _lies_in(folder, dest):
            raise UsageError(
                f"the {name} lie inside DEST; they are not for those who receive it: choose another --{name}"
            )
        if source is not None and _lies_in(folder, source):
            raise UsageError(f"the {name} lie inside SOURCE, which is never written to; choose another --{name}")
    for name, folder in {"DEST": dest, **own}.items():
        if folder is not None:
            _check_writable(name, folder)


def _lies_in(inner: Path, outer: Path) -> bool:
    try:
        return lies_in(inner, outer)
    except OSError as error:
        raise UsageError(f"{inner}: cannot be looked up ({error.strerror})") from None


def _status(path: Path) -> os.stat_result | None:
    """Return what stands at a path, None for nothing."""
    try:
        return path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:  # a folder above may not be read, a link leads to itself, the name is too long
        raise UsageError(f"{path}: cannot be looked up ({error.strerror})") from None


def _check_writable(name: str, folder: Path) -> None:
    for path in (folder, *Path(os.path.realpath(folder)).parents):
        status = _status(path)
        if status is None:
            continue
        if not stat.S_ISDIR(status.st_mode):
            raise UsageError(f"{folder}: {name} must be a folder")
        if not os.access(path, os.W_OK | os.X_OK):
            raise UsageError(f"{folder}: no permission to write there, or a read-only disk")
        return


def api_key() -> str:
    """Return the key of the environment or of the ``fw`` login.

    Raises
    ------
    UsageError
        There is neither.
    """
    for variable in _KEY_VARIABLES:
        if os.environ.get(variable):
            return os.environ[variable]
    try:
        found = json.loads((Path.home() / _LOGIN).read_text(encoding="utf-8")).get("key")
    except (OSError, ValueError, AttributeError):
        found = None
    if not found:
        raise UsageError(f"no API key: set {_KEY_VARIABLES[0]} in the environment, or log in with 'fw login'")
    return str(found)


@frozen
class PlatformPlace:
    """A part of a platform that a command line names.

    Attributes
    ----------
    platform : object
        Client.
    key : str
    container : object
        None for a site.
    level : str
        ``site``, ``group``, or the container's.
    project, group : str
        Ids; empty above them.
    """

    platform: Any
    key: str
    container: Any
    level: str
    project: str
    group: str

    def profile(self) -> StoredProfile | None:
        """Return the profile that the project, its group or the site keeps, the first one found."""
        from fw_gear_deid.stores.flywheel.settings import stored_profile

        return stored_profile(self.platform, self.project, self.group)

    def bound_by(self) -> str:
        """Return the level whose profile binds who uploads here, empty where there is none."""
        from fw_gear_deid.stores.flywheel.settings import binding_level

        return binding_level(self.platform, self.project, self.group)

    def log_url(self) -> str:
        """Return where the site's de-identification log is, empty where it keeps none."""
        from fw_gear_deid.stores.flywheel import access

        return access.log_url(self.platform)

    def put_profile(self, profile: dict[str, Any]) -> None:
        """Store a profile in the settings of the project, group or site that this is."""
        from fw_gear_deid.stores.flywheel.settings import put_profile

        put_profile(self.platform, self.project, self.group, profile)


def find(text: str) -> PlatformPlace:
    """Return the container at ``fw://GROUP/PROJECT[/SUBJECT[/SESSION[/ACQUISITION]]]``.

    Raises
    ------
    UsageError
        No such path, no key, or nothing there that this key may see.
    """
    parts = _parts(text)
    if not 2 <= len(parts) <= 5 or not all(parts):
        raise UsageError("a place on a platform is fw://GROUP/PROJECT[/SUBJECT[/SESSION[/ACQUISITION]]]")
    return _look_up(parts)


def told_of(text: str) -> Source:
    """Return a source that tells all that is known of its files and containers: a folder, one file, or a platform's.

    Raises
    ------
    UsageError
    """
    if not on_platform(text):
        return FolderSource(Path(text))
    from fw_gear_deid.stores.flywheel.source import FlywheelSource

    place = find(text)
    return FlywheelSource(
        place.key, place.level, str(place.container.id), place.project, "", frozenset((*LEVELS, "file")), told=True
    )


def find_settings(text: str) -> PlatformPlace:
    """Return the project, group or site at ``fw://GROUP/PROJECT``, ``fw://GROUP`` or ``fw://``.

    Raises
    ------
    UsageError
    """
    parts = _parts(text)
    if not on_platform(text) or len(parts) > 2 or not all(parts):
        raise UsageError("a profile is kept by a project, a group or a site: fw://GROUP/PROJECT, fw://GROUP or fw://")
    return _look_up(parts)


def _parts(text: str) -> list[str]:
    path = text.removeprefix(SCHEME).strip("/")
    return path.split("/") if path else []


def _look_up(parts: list[str]) -> PlatformPlace:
    from fw_gear_deid.stores.flywheel.client import Platform, PlatformError

    key = api_key()
    try:
        platform = Platform(key)
        container = platform.lookup("/".join(parts)) if parts else None
    except PlatformError as error:
        raise UsageError(f"{SCHEME}{parts[0] if parts else ''}/...: {error}") from None
    if container is None:
        return PlatformPlace(platform, key, None, "site", "", "")
    level = str(container.container_type)
    project = str(container.id) if level == "project" else "" if level == "group" else str(container.parents.project)
    return PlatformPlace(platform, key, container, level, project, parts[0])


@frozen
class Ends:
    """Both ends of a run.

    Attributes
    ----------
    from_text, to_text : str
        As written.
    origin, destination : PlatformPlace or None
        None for a folder.
    """

    from_text: str
    to_text: str
    origin: PlatformPlace | None
    destination: PlatformPlace | None

    @staticmethod
    def find(source: str, dest: str, *, deletes: bool = False) -> Ends:
        """Look both ends up.

        Parameters
        ----------
        source, dest : str
            As written.
        deletes : bool
            The run may have to take files back.

        Raises
        ------
        UsageError
        """
        origin = find(source) if on_platform(source) else None
        destination = find(dest) if on_platform(dest) else None
        if destination is not None and destination.level != "project":
            raise UsageError("DEST on a platform is a project: fw://GROUP/PROJECT")
        if origin is not None and destination is not None and origin.project == destination.project:
            raise UsageError("SOURCE and DEST are the same project; choose another DEST")
        _check_access(origin, destination, deletes=deletes)
        return Ends(source, dest, origin, destination)

    @property
    def root(self) -> str:
        """What tells SOURCE from others: a folder's own path, or the project of a platform."""
        return os.path.realpath(self.from_text) if self.origin is None else f"fw {self.origin.project}"

    @property
    def is_whole(self) -> bool:
        """Whether SOURCE is all of something, not a part of a project."""
        return self.origin is None or self.origin.level == "project"

    def source(self, detail: frozenset[str]) -> Source:
        """Return the store to read from.

        Parameters
        ----------
        detail : frozenset of str
            Container levels that the profile speaks about.
        """
        if self.origin is None:
            return FolderSource(Path(self.from_text))
        from fw_gear_deid.stores.flywheel.source import FlywheelSource

        return FlywheelSource(
            self.origin.key, self.origin.level, str(self.origin.container.id), self.origin.project, "", detail
        )

    def sink(self) -> Sink:
        """Return the store to write to."""
        if self.destination is None:
            return FolderSink(Path(self.to_text))
        from fw_gear_deid.stores.flywheel.sink import FlywheelSink

        by_id = frozenset(LEVELS) if self.origin is not None else frozenset[str]()
        return FlywheelSink(self.destination.key, self.destination.project, match_by_id=by_id)


def _check_access(origin: PlatformPlace | None, destination: PlatformPlace | None, *, deletes: bool) -> None:
    """Say before anything is downloaded or written what the key may not do.

    Raises
    ------
    UsageError
    """
    if origin is None and destination is None:
        return
    from fw_gear_deid.stores.flywheel import access

    if origin is not None:
        project = origin.platform.get("project", origin.project)
        access.check(origin.platform, project, access.READ, "SOURCE")
    if destination is not None:
        needs = access.WRITE | access.DELETE if deletes else access.WRITE
        access.check(destination.platform, destination.container, needs, "DEST")
