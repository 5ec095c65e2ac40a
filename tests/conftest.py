"""Settings for all tests: the same examples every time, and no clock that a busy machine could run against."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

# the SDK reads them when it is imported; nobody waits in a test
for _name, _value in {"FLYWHEEL_SDK_TOTAL_RETRIES": "2", "FLYWHEEL_SDK_BACKOFF_FACTOR": "0"}.items():
    os.environ.setdefault(_name, _value)

settings.register_profile("house", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("house")

from fw_gear_deid.sample import Planted, make_sample  # noqa: E402 -- after the settings
from tests.desk import Bench, Desk  # noqa: E402

if TYPE_CHECKING:
    from tests.site import Site


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


@pytest.fixture(scope="session")
def project(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Planted]]:
    folder = tmp_path_factory.mktemp("project") / "in"
    return folder, make_sample(folder, 2)


@pytest.fixture
def sampled(desk: Desk, project: tuple[Path, list[Planted]]) -> Desk:
    """A desk with the sample, in the tree and loose."""
    shutil.copytree(project[0], desk.source, dirs_exist_ok=True)
    return desk


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """Two projects on a platform, both empty; what is in the source the tests say."""
    from tests.site import opened  # the SDK is installed with [gear] only

    with opened(tmp_path) as site:
        yield site
