"""A path or the name of a shipped profile → Profile."""

from __future__ import annotations

import codecs
from collections.abc import Mapping
from pathlib import Path

from fw_gear_deid.model.errors import UsageError
from fw_gear_deid.profile.compiled import Profile
from fw_gear_deid.profile.parse import parse_profile
from fw_gear_deid.profile.text.nodes import MAX_CHARACTERS
from fw_gear_deid.profile.text.problems import Problem, ProfileError

_PACKAGE = Path(__file__).resolve().parent.parent


def shipped_folder() -> Path:
    """Return where the shipped profiles are: inside the package once installed, beside it in a checkout."""
    inside = _PACKAGE / "shipped_profiles"
    return inside if inside.is_dir() else _PACKAGE.parent / "profiles"  # site-packages/profiles is somebody else's


def shipped() -> dict[str, Path]:
    """Return name → path of the shipped profiles."""
    return {path.stem: path for path in sorted(shipped_folder().glob("*.yaml"), key=lambda path: path.stem)}


def headline(path: Path) -> str:
    """Return the first comment line of a shipped profile."""
    return path.read_text(encoding="utf-8").splitlines()[0].lstrip("# ").strip()


def read_text(path: Path) -> str:
    """Return the text of a profile: UTF-8, or UTF-16 that begins with a byte order mark.

    Raises
    ------
    UsageError
        It cannot be read.
    ProfileError
        It is no text.
    """
    if path.is_dir():
        raise UsageError(f"{path}: the profile cannot be read: it is a folder; give the profile's file")
    try:
        with path.open("rb") as stream:
            data = stream.read(4 * MAX_CHARACTERS + 4)
    except OSError as error:
        raise UsageError(f"{path}: the profile cannot be read ({error.strerror})") from None
    for what, offset, signature in _KINDS:
        if data[offset:].startswith(signature):
            raise _no_profile(path, f"{what}, no profile: a profile is text, in YAML or JSON")
    if not data.startswith(tuple(mark for mark, _ in _MARKS)) and b"\0" in data:
        raise _no_profile(path, "the profile is not UTF-8 text (UTF-16 without its mark?): save it as UTF-8")
    encoding = next((name for mark, name in _MARKS if data.startswith(mark)), "utf-8")
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        before = data[: error.start].decode(encoding, "replace")
        line, column = before.count("\n") + 1, len(before) - before.rfind("\n")
        wanted = encoding.removesuffix("-sig").upper()
        raise _no_profile(path, f"the profile is not {wanted} text: save it as UTF-8", line, column) from None


# what is given instead of a profile: name, offset, first bytes
_KINDS = (
    ("a DICOM file", 128, b"DICM"),
    ("a zip archive or an office document", 0, b"PK\x03\x04"),
    ("a gzip file", 0, b"\x1f\x8b"),
    ("a PDF", 0, b"%PDF-"),
    ("an office document", 0, b"\xd0\xcf\x11\xe0"),
    ("a word processor's document", 0, b"{\\rtf"),
)
_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


def _no_profile(path: Path, message: str, line: int = 1, column: int = 1) -> ProfileError:
    return ProfileError(path.name, (Problem(line, column, "error", "", message),))


def path_of(name: str) -> Path:
    """Return the path of a profile given by path or by the name of a shipped one.

    Raises
    ------
    UsageError
        There is none of that name.
    """
    path = Path(name)
    if not path.is_file() and name in shipped():  # a folder of the data may be called so, too
        path = shipped()[name]
    if not path.is_file():
        known = ", ".join(shipped())
        what = "a folder, no profile" if name and path.is_dir() else "no such profile"
        raise UsageError(f"{name}: {what}; give a path, or the name of a shipped one: {known}")
    return path


def load(name: str, values: Mapping[str, str] | None = None) -> Profile:
    """Read a profile by path, or by the name of a shipped one.

    Parameters
    ----------
    name : str
    values : mapping of str to str, optional
        Of its variables.

    Raises
    ------
    UsageError
        There is none of that name.
    ProfileError
        It has errors.
    """
    path = path_of(name)
    return parse_profile(read_text(path), path.name, values or {})
