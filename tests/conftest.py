"""Settings for all tests: the same examples every time, and no clock that a busy machine could run against."""

import os
import shutil
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# the SDK reads them when it is imported; nobody waits in a test
for _name, _value in {"FLYWHEEL_SDK_TOTAL_RETRIES": "2", "FLYWHEEL_SDK_BACKOFF_FACTOR": "0"}.items():
    os.environ.setdefault(_name, _value)

settings.register_profile("house", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("house")

from fw_gear_deid.sample import Planted, make_sample  # noqa: E402 -- after the settings
from tests.desk import Desk  # noqa: E402


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


@pytest.fixture(scope="session")
def project(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Planted]]:
    folder = tmp_path_factory.mktemp("project") / "in"
    return folder, make_sample(folder, 2)


@pytest.fixture
def sampled(desk: Desk, project: tuple[Path, list[Planted]]) -> Desk:
    """A desk with the sample, in the tree and loose."""
    shutil.copytree(project[0], desk.source, dirs_exist_ok=True)
    return desk
