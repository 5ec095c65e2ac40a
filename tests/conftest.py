"""Settings for all tests: the same examples every time, and no clock that a busy machine could run against."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

# the SDK reads them when it is imported; nobody waits in a test
for _name, _value in {"FLYWHEEL_SDK_TOTAL_RETRIES": "2", "FLYWHEEL_SDK_BACKOFF_FACTOR": "0"}.items():
    os.environ.setdefault(_name, _value)

settings.register_profile("house", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("house")

from fw_gear_deid.model.errors import DeidError  # noqa: E402 -- after the settings
from fw_gear_deid.sample import Planted, make_sample  # noqa: E402
from tests import planted  # noqa: E402
from tests.desk import Bench, Desk  # noqa: E402

if TYPE_CHECKING:
    from tests.site import Site


_made = DeidError.__init__


def _noted(self: DeidError, *lines: object) -> None:
    _made(self, *lines)
    planted.say(f"{type(self).__name__}", "\n".join(map(str, lines)))


DeidError.__init__ = _noted  # type: ignore[method-assign]


def _hear() -> None:
    """Let signals be heard that a shell ignores for what runs in its background: tests send them to what they start."""
    for number, handler in ((signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, signal.SIG_DFL)):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, handler)


def pytest_configure(config: pytest.Config) -> None:
    _hear()
    config.addinivalue_line("markers", "clear: shows planted identifiers on purpose, such as originals in an audit")


@pytest.fixture(autouse=True)
def nothing_is_told(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail a test in which the program tells an identifier or a secret that was planted."""
    planted.begin()
    yield
    found = planted.found(request.node.funcargs.get("tmp_path"))
    assert found == [] or request.node.get_closest_marker("clear")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Look at what was printed and logged while a test ran."""
    report = yield
    if report.when == "call" and report.passed and item.get_closest_marker("clear") is None:
        for name, text in report.sections:
            planted.say(name, text)
    return report


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
