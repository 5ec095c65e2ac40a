"""A Flywheel platform on this machine, for tests: the real SDK talks HTTP to it.

Build a `World`, `serve` it, `connect` to it:

>>> world = World()
>>> project = world.add_project(world.add_group("lab"), "Study")
>>> with serve(world) as server, connect(server.key()) as client:
...     client.lookup("lab/Study").id == project.id
True
"""

from .faults import Fault, Faults
from .model import Container, Deletion, Job, Key, StoredFile, Version
from .sdk import connect
from .server import LoopbackServer, serve
from .wire import Request
from .world import DeidLog, World

__all__ = [
    "Container",
    "DeidLog",
    "Deletion",
    "Fault",
    "Faults",
    "Job",
    "Key",
    "LoopbackServer",
    "Request",
    "StoredFile",
    "Version",
    "World",
    "connect",
    "serve",
]
