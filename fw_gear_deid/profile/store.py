"""A path or the name of a shipped profile → Profile."""

from __future__ import annotations

from pathlib import Path

from fw_gear_deid.model.errors import UsageError
from fw_gear_deid.profile.parse import parse_profile
from fw_gear_deid.profile.profile import Profile

_PACKAGE = Path(__file__).resolve().parent.parent


def shipped_folder() -> Path:
    """Return where the shipped profiles are: inside the package once installed, beside it in a checkout."""
    inside = _PACKAGE / "shipped_profiles"
    return inside if inside.is_dir() else _PACKAGE.parent / "profiles"  # site-packages/profiles is somebody else's


def shipped() -> dict[str, Path]:
    """Return name → path of the shipped profiles."""
    return {path.stem: path for path in sorted(shipped_folder().glob("*.yaml"))}


def headline(path: Path) -> str:
    """Return the first comment line of a shipped profile."""
    return path.read_text(encoding="utf-8").splitlines()[0].lstrip("# ").strip()


def read_text(path: Path) -> str:
    """Return the text of a profile.

    Raises
    ------
    UsageError
    """
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise UsageError(f"{path}: the profile is not UTF-8 text") from None
    except OSError as error:
        raise UsageError(f"{path}: the profile cannot be read ({error.strerror})") from None


def path_of(name: str) -> Path:
    """Return the path of a profile given by path or by the name of a shipped one.

    Raises
    ------
    UsageError
        There is none of that name.
    """
    path = Path(name)
    if not path.exists() and name in shipped():
        path = shipped()[name]
    if not path.is_file():
        known = ", ".join(shipped())
        raise UsageError(f"{name}: no such profile; give a path, or the name of a shipped one: {known}")
    return path


def load(name: str) -> Profile:
    """Read a profile by path, or by the name of a shipped one.

    Raises
    ------
    UsageError
        There is none of that name.
    ProfileError
        It has errors.
    """
    path = path_of(name)
    return parse_profile(read_text(path), path.name, {})
