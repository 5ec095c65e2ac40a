"""One small platform for each test of the loopback, and a client logged in to it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from . import Container, LoopbackServer, World, connect, serve


@pytest.fixture
def world() -> World:
    """Make an empty platform."""
    return World()


@pytest.fixture
def project(world: World) -> Container:
    """Add the project ``lab/Study A``."""
    return world.add_project(world.add_group("lab"), "Study A")


@pytest.fixture
def acquisition(world: World, project: Container) -> Container:
    """Add the acquisition ``lab/Study A/S 1/V1/T1``."""
    session = world.add_session(world.add_subject(project, "S 1"), "V1")
    return world.add_acquisition(session, "T1")


@pytest.fixture
def server(world: World) -> Iterator[LoopbackServer]:
    """Serve the platform."""
    with serve(world) as running:
        yield running


@pytest.fixture
def client(server: LoopbackServer) -> Iterator[Any]:
    """Log the SDK in as admin."""
    with connect(server.key()) as connected:
        yield connected
