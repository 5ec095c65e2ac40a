"""The command line with a platform at one end or both."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("flywheel")

from fw_gear_deid.sample import MARKER
from tests.loopback.sdk import ENVIRONMENT
from tests.site import PROFILE, Site
from tests.test_gear import sample, site

__all__ = ["sample", "site"]  # fixtures
ROOT = Path(__file__).resolve().parents[1]


def command(site: Site, *arguments: str, key: str | None = None) -> subprocess.CompletedProcess[str]:
    """Run the command line with a key in its environment."""
    environment = {**os.environ, **ENVIRONMENT, "PYTHONPATH": str(ROOT), "HOME": str(site.folder)}
    environment["FW_API_KEY"] = site.server.key() if key is None else key
    return subprocess.run(
        [sys.executable, "-m", "fw_gear_deid", *arguments],
        cwd=site.folder, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip


@pytest.fixture
def profile(site: Site) -> str:
    path = site.folder / "profile.yaml"
    path.write_text(PROFILE, encoding="utf-8")
    return str(path)


def test_folder_to_platform(site: Site, sample: Path, profile: str) -> None:
    done = command(site, "run", str(sample), "fw://lab/Clean", "--profile", profile)
    assert done.returncode == 0, done.stderr
    assert len(site.at_destination()) == 10
    assert MARKER.encode() not in site.world.log.sent("^(POST|PUT|PATCH|DELETE) ")
    assert (site.folder / "Clean-report" / "private" / "files.csv").is_file()
    again = command(site, "run", str(sample), "fw://lab/Clean", "--profile", profile)
    assert again.returncode == 0 and "14 skipped" in again.stderr


def test_destination_profile_applies_and_is_announced(site: Site, sample: Path, profile: str) -> None:
    done = command(site, "run", str(sample), "fw://lab/Clean")
    assert done.returncode == 2 and "profile put" in done.stderr
    assert site.at_destination() == []
    assert command(site, "profile", "show", "fw://lab/Clean").returncode == 1
    assert command(site, "profile", "put", profile, "fw://lab/Clean").returncode == 0
    shown = command(site, "profile", "show", "fw://lab/Clean")
    assert shown.returncode == 0 and "PatientAddress" in shown.stdout
    done = command(site, "run", str(sample), "fw://lab/Clean")
    assert done.returncode == 0 and "from the project's settings" in done.stderr
    assert MARKER.encode() not in site.world.everything_at(site.destination)


def test_own_profile_does_not_pass_over_the_destinations(site: Site, sample: Path, profile: str) -> None:
    """A site's profile binds who uploads; what moves from project to project takes the profile that it is given."""
    for level, settings in (
        ("site", site.world.site_settings),
        ("group", site.world.containers["lab"].settings),
        ("project", site.destination.settings),
    ):
        settings["deid_profile"] = {"dicom": {"fields": [{"name": "PatientName", "remove": True}]}}
        done = command(site, "run", str(sample), "fw://lab/Clean", "--profile", profile)
        assert done.returncode == 2 and f"the {level} of DEST has a de-id profile" in done.stderr
    assert site.at_destination() == []
    assert command(site, "run", "fw://lab/Stored", "fw://lab/Clean", "--profile", profile).returncode == 0
    site.destination.settings["deid_profile"] = {}  # opted out
    assert command(site, "run", str(sample), "fw://lab/Clean", "--profile", profile, "--dry-run").returncode == 0


def test_a_profile_with_a_word_of_ours_asks_for_this_program(site: Site, tmp_path: Path) -> None:
    """Other engines would leave the original value where they do not know the variable."""
    path = tmp_path / "ours.yaml"
    path.write_text("dicom:\n  fields:\n    - name: PatientID\n      replace-with: '{{ subject.pseudonym }}'\n")
    done = command(site, "profile", "put", str(path), "fw://lab/Clean")
    assert done.returncode == 0 and "added '- requires: fw-gear-deid'" in done.stdout
    fields = site.destination.settings["deid_profile"]["dicom"]["fields"]
    assert [next(iter(entry)) for entry in fields] == ["requires", "name"]


def test_profiles_of_groups_and_sites(site: Site, profile: str) -> None:
    for place, level in (("fw://", "site"), ("fw://lab", "group"), ("fw://lab/Clean", "project")):
        assert command(site, "profile", "put", profile, place).returncode == 0
        shown = command(site, "profile", "show", place)
        assert shown.returncode == 0 and f"from the {level}'s settings" in shown.stderr
        assert command(site, "profile", "show", "fw://lab/Stored").returncode == 0
    assert all(
        settings["deid_profile"]["dicom"]["date-increment"] == -17
        for settings in (
            site.world.site_settings,
            site.world.containers["lab"].settings,
            site.destination.settings,
        )
    )
    site.world.site_settings.clear()
    assert command(site, "profile", "show", "fw://").returncode == 1
    for wrong in ("fw://lab/Clean/S1", "fw://nobody", "lab"):
        assert command(site, "profile", "show", wrong).returncode == 2


def test_role_is_asked_before_anything_is_done(site: Site, sample: Path, profile: str) -> None:
    user = site.world.add_user("ann")
    site.destination.permissions[user] = ["read-only"]
    done = command(site, "run", str(sample), "fw://lab/Clean", "--profile", profile, key=site.server.key(user))
    assert done.returncode == 2 and "DEST: the role of this key's user there (read-only)" in done.stderr


def test_platform_to_folder(site: Site, profile: str) -> None:
    done = command(site, "run", "fw://lab/Stored", "out", "--profile", profile, "--workers", "2")
    assert done.returncode == 0, done.stderr
    files = [path for path in (site.folder / "out").rglob("*") if path.is_file() and path.suffix]
    assert len(files) == 10
    assert all(len(path.relative_to(site.folder / "out").parts) == 4 for path in files)
    assert not any(MARKER in str(path) for path in files)


def test_a_repeat_scan_is_a_second_folder(site: Site, profile: str) -> None:
    file = next(f for f in site.world.files.values() if f.name == "dti.dicom.zip")
    session, label = file.parent.parent, file.parent.label
    assert session is not None
    site.world.add_file(site.world.add_acquisition(session, label), file.name, file.content, type="dicom")
    for _ in range(2):
        assert command(site, "run", "fw://lab/Stored", "out", "--profile", profile).returncode == 0
        there = sorted(path for path in (site.folder / "out").rglob("dti.dicom.zip"))
        copies = [path for path in there if sum(path.parent.parent == other.parent.parent for other in there) == 2]
        assert len(copies) == 2 and len({path.parent.name for path in copies}) == 2


def test_platform_to_platform(site: Site, profile: str) -> None:
    done = command(site, "run", "fw://lab/Stored", "fw://lab/Clean", "--profile", profile)
    assert done.returncode == 0, done.stderr
    assert len(site.at_destination()) == 10
    assert command(site, "run", "fw://lab/Stored", "fw://lab/Stored", "--profile", profile).returncode == 2


@pytest.mark.parametrize(
    ("source", "dest", "key", "word"),
    [
        ("fw://lab", "out", None, "fw://GROUP/PROJECT"),
        ("fw://lab/Nowhere", "out", None, "not found"),
        ("fw://lab/Stored", "out", "", "no API key"),
        ("fw://lab/Stored", "out", "127.0.0.1:1:__force_insecure:nobody", "no answer"),
    ],
)
def test_wrong_places(site: Site, profile: str, source: str, dest: str, key: str | None, word: str) -> None:
    done = command(site, "run", source, dest, "--profile", profile, key=key)
    assert done.returncode == 2
    assert word in done.stderr
    assert "nobody" not in done.stderr
    assert not (site.folder / "out").exists()
