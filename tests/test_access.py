"""What a key may do is asked before anything is downloaded or written; a platform's packages may be missing."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("flywheel")

from tests.site import ROOT, Site, kept, scan
from tests.test_platform import OTHER


@pytest.fixture
def user(site: Site) -> Iterator[str]:
    """Somebody with a role in both projects that allows everything."""
    user = site.world.add_user("ann")
    site.source.permissions[user] = site.destination.permissions[user] = ["admin"]
    scan(site, "P1/V1/T1", 1)
    yield user
    assert site.world.log.count("^DELETE ") == 0


def refused(site: Site, user: str, **options: object) -> str:
    """Run the gear for somebody who may not; nothing was downloaded, nothing written."""
    code, said = site.here(key=site.server.key(user), **options)
    assert code == 2, said
    assert site.world.log.count(r"^GET .*/files/") == 0
    assert site.world.log.count(r"^(PUT|PATCH|POST (?!/lookup))") == 0
    return said


def test_who_may_may(site: Site, user: str) -> None:
    assert site.here(key=site.server.key(user))[0] == 0
    assert len(kept(site)) == 1


def test_a_role_that_cannot_write_is_named(site: Site, user: str) -> None:
    site.destination.permissions[user] = ["read-only"]
    said = refused(site, user)
    assert "read-only" in said and "upload files" in said and "project_path" in said


def test_a_role_that_cannot_download_is_named(site: Site, user: str) -> None:
    site.world.roles["labels"] = {"containers_view_metadata", "files_view_metadata"}
    site.source.permissions[user] = ["labels"]
    assert "source project" in refused(site, user)


def test_replacing_needs_deleting(site: Site, user: str) -> None:
    site.world.roles["adder"] = site.world.roles["admin"] - {"files_delete_non_device_data"}
    site.destination.permissions[user] = ["adder"]
    assert "delete files" in refused(site, user, overwrite_files="Replace")
    assert site.here(key=site.server.key(user))[0] == 0


def test_of_several_roles_one_is_enough(site: Site, user: str) -> None:
    site.destination.permissions[user] = ["read-only", "admin"]
    assert site.here(key=site.server.key(user))[0] == 0


def test_no_entry_at_the_destination(site: Site, user: str) -> None:
    del site.destination.permissions[user]
    assert "project_path" in refused(site, user)


def test_where_roles_cannot_be_read_the_entry_counts(site: Site, user: str) -> None:
    site.world.roles_readable = False
    assert site.here(key=site.server.key(user))[0] == 0
    site.world.roles["viewer"] = site.world.roles["read-only"]
    site.destination.permissions[user] = ["viewer"]
    code, said = site.here(key=site.server.key(user), name="again", overwrite_files="Replace", profile=OTHER)
    assert (code, site.states("again")) == (1, {"failed": 1})
    assert "no permission (403)" in said


def test_the_platforms_own_readers_need_not_be_read(site: Site, user: str) -> None:
    site.world.roles_readable = False
    site.destination.permissions[user] = ["read-only"]
    assert "(read-only) only reads" in refused(site, user)


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["run", "fw://lab/Stored", "out", "--profile", "basic"],
        ["profile", "show", "fw://lab"],
    ],
    ids=["gear", "run", "profile"],
)
def test_missing_packages_are_named(tmp_path: Path, arguments: list[str]) -> None:
    start = (
        "import runpy, sys\nsys.modules['flywheel'] = sys.modules['flywheel_gear_toolkit'] = None\n"
        f"sys.argv = ['run.py', *{arguments!r}]\nrunpy.run_path({str(ROOT / 'run.py')!r}, run_name='__main__')"
    )
    done = subprocess.run(
        [sys.executable, "-c", start],
        cwd=tmp_path, env={"PYTHONPATH": str(ROOT), "FW_API_KEY": "x", "PATH": ""}, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 2, done.stderr
    assert "pip install 'fw-gear-deid[gear]'" in done.stderr
    assert len(done.stderr.splitlines()) == 1
