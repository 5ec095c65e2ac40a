"""Every write, replacement and removal below a folder: what would lead out of it is refused."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import stat
from collections.abc import Sequence
from io import BufferedReader
from pathlib import Path

from fw_gear_deid.model.frozen import frozen
from fw_gear_deid.system import private
from fw_gear_deid.system.sync import sync_file, sync_folder

_NO_LINKS = frozenset(
    {errno.EPERM, errno.EACCES, errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK}
)
_SEPARATORS = frozenset("/\0" + os.sep + (os.altsep or "") + (":" if os.name == "nt" else ""))


class Outside(OSError):
    """A path that is none below the root; its text quotes nothing of it."""


def lies_in(inner: Path, outer: Path) -> bool:
    """Tell whether a path is a folder or lies below it, whether or not it is there yet.

    However both are written: by links, in other case where that does not count, by two mounts of one disk.

    Raises
    ------
    OSError
    """
    real, top = Path(os.path.realpath(inner)), Path(os.path.realpath(outer))
    if real.is_relative_to(top):
        return True
    return top.exists() and any(above.exists() and above.samefile(top) for above in (real, *real.parents))


@frozen
class Root:
    """A folder, given by the user, and what may be done below it.

    Paths are sequences of names: the folders from the outside in, and the file. Folders below the root are never
    links: one that stands there was not made by this program.
    """

    path: Path

    def exists(self, parts: Sequence[str]) -> bool:
        """Tell whether something stands at a path.

        Raises
        ------
        Outside
        OSError
        """
        try:
            return os.path.lexists(self._at(parts))
        except FileNotFoundError:
            return False

    def place(self, file: Path, parts: Sequence[str], *, replace: bool) -> None:
        """Move a whole file to its path; afterwards it is there entirely or not at all. Its folder is to be synced.

        Raises
        ------
        FileExistsError
            Something is there and ``replace`` is false.
        Outside
        OSError
        """
        _check(parts)
        made: list[Path] = []
        try:
            target = Path(self._folder(parts[:-1], made), parts[-1])
            sync_file(file)
            _open_to_others(file)
            try:
                _name(file, target, replace=replace)
            except OSError as error:
                if error.errno != errno.EXDEV:
                    raise
                _copy(file, target, replace=replace)
        except BaseException:
            with contextlib.suppress(OSError):  # not empty, or gone
                for folder in reversed(made):
                    folder.rmdir()
            raise

    def stood(self, parts: Sequence[str]) -> str:
        """Return size and time of what stands at a path, empty when nothing does.

        Raises
        ------
        Outside
        OSError
        """
        try:
            status = os.lstat(self._at(parts))
        except FileNotFoundError:
            return ""
        return f"{status.st_size} {status.st_mtime_ns}" if stat.S_ISREG(status.st_mode) else "no file"

    def open(self, parts: Sequence[str]) -> BufferedReader | None:
        """Open what stands at a path for reading; a link or a folder is none to read.

        Raises
        ------
        Outside
        OSError
        """
        target = Path(self._at(parts))
        return target.open("rb") if stat.S_ISREG(target.lstat().st_mode) else None

    def note(self, name: str, text: str) -> None:
        """Keep a short text as the name of an empty folder below one of this program's own: no file beside the others.

        Raises
        ------
        Outside
        OSError
        """
        folder = Path(self._folder((name,), []))
        (folder / text).mkdir(exist_ok=True)
        for other in folder.iterdir():
            if other.name != text:
                other.rmdir()
        sync_folder(folder)
        sync_folder(self.path)

    def noted(self, name: str) -> str:
        """Return what ``note`` has kept, empty for nothing; of two the longer: a run was killed between them.

        Raises
        ------
        OSError
        """
        try:
            return max((one.name for one in (self.path / name).iterdir()), key=len, default="")
        except FileNotFoundError:
            return ""

    def remove(self, parts: Sequence[str]) -> None:
        """Remove a file that this program placed, and the folders that are empty without it.

        Raises
        ------
        Outside
            A link or a folder stands there, or on the way.
        OSError
        """
        with contextlib.suppress(FileNotFoundError):  # a run that was killed here came as far
            target = Path(self._at(parts))
            if os.path.lexists(target) and not stat.S_ISREG(target.lstat().st_mode):
                raise Outside(errno.EPERM, "a link or a folder stands in the place of the file")
            target.unlink(missing_ok=True)
            _partial(target).unlink(missing_ok=True)
        for depth in range(len(parts) - 1, 0, -1):
            try:
                self.path.joinpath(*parts[:depth]).rmdir()
            except FileNotFoundError:
                continue
            except OSError:
                break  # not empty: others live there

    def _at(self, parts: Sequence[str]) -> str:
        _check(parts)
        return self._folder(parts[:-1], None) + os.sep + parts[-1]

    def _folder(self, parts: Sequence[str], made: list[Path] | None) -> str:
        """Return a folder below the root, made of real ones; ``made`` takes those that were not there."""
        here = str(self.path)
        if made is not None and not os.path.isdir(here):  # noqa: PTH112
            self.path.mkdir(parents=True, exist_ok=True)
        for part in parts:
            here += os.sep + part
            try:
                status = os.lstat(here)
            except FileNotFoundError:
                if made is None:
                    raise
                with contextlib.suppress(FileExistsError):  # somebody else's run was quicker
                    os.mkdir(here)  # noqa: PTH102
                    made.append(Path(here))
                status = os.lstat(here)
            if not stat.S_ISDIR(status.st_mode) or _is_junction(status):
                raise Outside(errno.ENOTDIR, "a link or a file stands in the place of a folder")
        return here


def _check(parts: Sequence[str]) -> None:
    for part in parts:
        if part in ("", ".", "..") or not _SEPARATORS.isdisjoint(part):
            raise Outside(errno.EINVAL, "its name would lead out of the folder")
        try:
            os.fsencode(part)
        except UnicodeEncodeError:
            raise Outside(errno.EILSEQ, "its name cannot be written in the letters of this file system") from None


def _is_junction(status: os.stat_result) -> bool:
    """Tell Windows' other kind of link."""
    return bool(getattr(status, "st_file_attributes", 0) & stat.FILE_ATTRIBUTE_REPARSE_POINT)


def _partial(target: Path) -> Path:
    return target.with_name(f".{target.name}.partial")


def _open_to_others(file: Path) -> None:
    """Give a file that was private on its way the mode that a new one has; a mount of one mode for all refuses."""
    mask = os.umask(0o077)
    os.umask(mask)
    with contextlib.suppress(OSError):
        file.chmod(0o666 & ~mask)


def _copy(file: Path, target: Path, *, replace: bool) -> None:
    """Bring a file from another file system, under another name until it is whole."""
    partial = _partial(target)
    try:
        with file.open("rb") as source, os.fdopen(private.create_anew(partial, 0o666), "wb") as out:
            shutil.copyfileobj(source, out, 1 << 20)
        sync_file(partial)
        _name(partial, target, replace=replace)
    finally:
        partial.unlink(missing_ok=True)


def _name(file: Path, target: Path, *, replace: bool) -> None:
    """Give a whole file its name on the same file system."""
    if replace:
        file.replace(target)
        return
    if hasattr(os, "link"):
        try:
            os.link(file, target)  # unlike replace, fails when something is there
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
        else:
            return
    os.close(private.create(target, 0o666))  # exFAT and some network file systems have no hard links: take the name
    try:
        file.replace(target)
    except BaseException:
        target.unlink(missing_ok=True)
        raise
