"""The lock is a closed set: everything that anything in it needs is in it, on every Python and system that we support."""

from __future__ import annotations

import re
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

import pytest
from packaging.markers import Marker, default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
IMAGE = {"", "encrypt", "gear", "pixels", "postgres"}
EXTRAS = {"requirements.txt": IMAGE, "requirements-dev.txt": IMAGE | {"dev"}}
# the systems that the lock promises to serve
SYSTEMS = [
    {**default_environment(), "python_version": python, "python_full_version": f"{python}.0", **system}
    for python in ("3.11", "3.12", "3.13")
    for system in (
        {"sys_platform": "linux", "platform_system": "Linux", "os_name": "posix"},
        {"sys_platform": "darwin", "platform_system": "Darwin", "os_name": "posix"},
        {"sys_platform": "win32", "platform_system": "Windows", "os_name": "nt"},
    )
]


def locked(name: str, system: dict[str, str]) -> dict[str, str]:
    """Return package → version of a lock, on one system."""
    found: dict[str, str] = {}
    for line in (ROOT / name).read_text(encoding="utf-8").splitlines():
        match = re.match(r"([A-Za-z0-9._-]+)==([^ ;\\]+)(?: ; ([^\\]+))?", line)
        if match and (match[3] is None or Marker(match[3].strip()).evaluate(system)):
            assert canonicalize_name(match[1]) not in found, match[1]
            found[canonicalize_name(match[1])] = match[2]
    return found


def needed(package: str, extras: set[str], system: dict[str, str]) -> list[Requirement]:
    """Return what a package needs with some of its extras, on one system."""
    listed = [Requirement(text) for text in requires(package) or ()]
    return [
        one for one in listed
        if one.marker is None or any(one.marker.evaluate({**system, "extra": extra}) for extra in extras | {""})
    ]  # fmt: skip


@pytest.mark.parametrize("name", EXTRAS)
@pytest.mark.parametrize("system", SYSTEMS, ids=lambda one: f"{one['python_version']}-{one['sys_platform']}")
def test_lock_is_closed(name: str, system: dict[str, str]) -> None:
    lock = locked(name, system)
    done: set[tuple[str, str]] = set()
    waiting = [("fw-gear-deid", extra) for extra in EXTRAS[name]]
    missing: set[str] = set()
    while waiting:
        package, extra = waiting.pop()
        if (package, extra) in done:
            continue
        done.add((package, extra))
        try:
            listed = needed(package, {extra}, system)
        except PackageNotFoundError:
            continue  # of another system: not installed here, nothing is known of it
        for one in listed:
            key = canonicalize_name(one.name)
            if key != "fw-gear-deid" and (key not in lock or not one.specifier.contains(lock[key], prereleases=True)):
                missing.add(f"{package} needs {one}")
            waiting += [(key, wanted) for wanted in {"", *one.extras}]
    assert missing == set()
    assert lock.keys() == {package for package, _ in done} - {"fw-gear-deid"}, "what nobody uses"


def test_what_is_installed_is_what_is_locked() -> None:
    lock = locked("requirements-dev.txt", default_environment())  # type: ignore[arg-type]
    assert {name: version(name) for name in lock} == lock


def test_core_is_light() -> None:
    """What folders need brings no client of a platform: its chain is large, and not all of it is free software."""
    found: set[str] = set()
    waiting = ["fw-gear-deid"]
    while waiting:
        for one in needed(waiting.pop(), set(), default_environment()):  # type: ignore[arg-type]
            if (key := canonicalize_name(one.name)) not in found:
                found.add(key)
                waiting.append(key)
    assert {"pydicom", "pyyaml", "pandas", "tqdm", "isal"} <= found
    assert not {name for name in found if "flywheel" in name or name.startswith("fw-")}
    assert len(found) <= 18, sorted(found)


def test_installing_asks_for_hashes_and_nothing_else() -> None:
    makefile, image = ((ROOT / name).read_text(encoding="utf-8") for name in ("Makefile", "Dockerfile"))
    for text, lock in ((makefile, "requirements-dev.txt"), (image, "requirements.txt")):
        assert re.search(rf"pip install [^\n]*--no-deps --require-hashes -r {re.escape(lock)}", text)
        assert "pip check" in text
