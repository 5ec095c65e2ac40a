"""Keys and secrets come from files, the environment or a job's context, and go nowhere: no argument, value, file or log."""

from __future__ import annotations

import dataclasses
import json
import os
import pickle
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import date
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from fw_gear_deid import keys, options
from fw_gear_deid.cli import main as command_line
from fw_gear_deid.deid import Context
from fw_gear_deid.keys import Keyring
from fw_gear_deid.profile.parse import parse_profile
from fw_gear_deid.runner import release
from fw_gear_deid.runner.setup import PlannedProfile, book_for
from fw_gear_deid.runner.workers import Settings
from fw_gear_deid.stores.folder import FolderSource
from tests import planted
from tests.desk import PROFILE, ROOT, Desk, call, forked, instance, packed

SECRET = "a secret of these tests, and of no job"
TELLING = re.compile(r"key|secret|token|password|credential", re.IGNORECASE)


# -- nobody can write one where others read it ---------------------------------------------------------


def test_no_argument_is_a_secret() -> None:
    """What has to do with one is the name of a file, or a switch."""
    found = {name: word for name, word, _ in options.words() if TELLING.search(name)}
    files = {"secret_key", "public_key", "private_key"}
    assert found.keys() == {"key_file", "new_key"} | files
    assert found["key_file"].read is Path and not found["new_key"].metavar
    assert all(found[name].metavar == "F" and "file" in found["secret_key"].help for name in files)
    kinds = {one.name: one.type for one in dataclasses.fields(options.Options)}
    assert "bool" in str(kinds["new_key"]) and "Path" in str(kinds["key_file"])


def test_no_value_of_a_job_is_a_secret() -> None:
    """They are inputs: files, or values of the context, which the platform keeps apart from a job's configuration."""
    manifest = json.loads((ROOT / "manifest.json").read_text())
    assert {name for name in manifest["config"] if TELLING.search(name)} == {"public_key", "private_key", "secret_key"}
    bases = {name: one["base"] for name, one in manifest["inputs"].items() if TELLING.search(name)}
    assert bases == {
        "api-key": "api-key",
        "key_file": "file",
        "deid_secret": "context",
        "deid_destination_key": "context",
    }
    assert not TELLING.search(json.dumps(manifest["environment"]))


# -- what is shown -------------------------------------------------------------------------------------


def settings_of(tmp_path: Path, keyring: Keyring) -> Settings:
    (tmp_path / "in").mkdir(exist_ok=True)
    book = book_for(PlannedProfile.read(PROFILE, "p.yaml", "input"), None, [], by_session=False)
    source = FolderSource(tmp_path / "in")
    return Settings(source, book, keyring, date(2026, 1, 1), "strict", tmp_path, originals=False)


def test_nothing_that_holds_a_secret_shows_it(tmp_path: Path) -> None:
    keyring = keys.of(SECRET.encode(), "here")
    hidden = (SECRET, keyring.secret.hex(), repr(keyring.secret), sha256(SECRET.encode()).hexdigest())
    context = Context(parse_profile(PROFILE, "p.yaml"), keyring, "S", date(2026, 1, 1), "strict")
    shown = [f"{one!r} {one}" for one in (keyring, settings_of(tmp_path, keyring), context, keyring.draw("x"))]
    assert not [text for text in shown if any(secret in text for secret in hidden)]
    assert not any(secret in keyring.fingerprint() for secret in hidden)


def test_nothing_of_a_job_shows_its_keys(tmp_path: Path) -> None:
    pytest.importorskip("flywheel")
    from fw_gear_deid import parser
    from fw_gear_deid.stores.flywheel.source import FlywheelSource
    from tests.site import opened

    with opened(tmp_path) as site:
        theirs, other = site.server.key(), site.server.key()
        config = parser.parse(site.job(key=theirs, destination_key=other, secret=SECRET))
        source = FlywheelSource(theirs, "project", site.source.id, site.source.id)
        assert (config.key, config.destination_key, config.secret, source.key) == (theirs, other, SECRET, theirs)
        shown = repr(config) + str(config) + repr(source) + str(source)
        assert not [one for one in (theirs, other, SECRET) if one in shown]


# -- where a run leaves traces -------------------------------------------------------------------------


def told_by(folder: Path, secrets: list[bytes], *, but: tuple[str, ...]) -> list[str]:
    """Return the files below a folder that hold a secret."""
    found = []
    for path in folder.rglob("*"):
        if path.is_file() and path.relative_to(folder).parts[0] not in but:
            data = path.read_bytes()
            found += [str(path.relative_to(folder)) for secret in secrets if secret in data]
    return found


def test_no_file_of_a_run_holds_the_secret(desk: Desk) -> None:
    """Looked at whenever the disk is touched: workspace, ledger, reports and results."""
    members = {f"{number}": instance(number=number, StudyID=os.urandom(4).hex()) for number in range(5)}
    desk.put({f"S/V/A/{n}": instance("Q", number=n) for n in range(3)} | {"S/V/A/z.zip": packed(members)})
    keyring = keys.load(desk.folder / "key")
    secrets = [planted.KEY.encode(), keyring.secret, keyring.secret.hex().encode()]
    left: list[str] = []

    def hook(event: str, path: str) -> None:
        if event in ("os.link", "os.rename", "os.remove"):
            left.extend(told_by(desk.folder, secrets, but=("key", "in")))

    def work() -> Any:
        done = desk.run("--audit-originals", "--ids")
        left.extend(told_by(desk.folder, secrets, but=("key", "in")))
        return dataclasses.replace(done, out=json.dumps(left))

    done = forked(work, hook)
    assert (done.code, json.loads(done.out)) == (0, [])


def test_no_file_of_a_job_holds_a_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("flywheel")
    from tests.site import opened, scan

    finish, left = release.Releaser.finish, []
    with opened(tmp_path) as site:
        scan(site, "P1/V/T", 1)
        theirs, other = site.server.key(), site.server.key()
        secrets = [theirs.rpartition(":")[2].encode(), other.rpartition(":")[2].encode(), SECRET.encode()]

        def looked(self: Any, *arguments: Any) -> None:
            left.extend(told_by(tmp_path / "gear", secrets, but=("config.json", "input")))
            finish(self, *arguments)

        monkeypatch.setattr(release.Releaser, "finish", looked)
        assert site.here(key=theirs, destination_key=other, secret=SECRET, debug=True)[0] == 0
        left += told_by(tmp_path / "gear", secrets, but=("config.json", "input"))
        assert left == []
        lines = "\n".join(one.line() for one in site.world.log.records)
        bodies = b"\n".join(one.body for one in site.world.log.records)
        assert lines and not [one for one in secrets if one.decode() in lines or one in bodies]
        there = site.world.everything_at(site.destination)
        assert not [one for one in secrets if one in there]


def commands(pid: int) -> Iterator[str]:
    """Yield the command lines of a process and of all that it started."""
    try:
        yield Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return
    for child in children:
        yield from commands(int(child))


def test_no_process_has_a_secret_in_its_arguments(tmp_path: Path) -> None:
    pytest.importorskip("flywheel")
    from tests.loopback.sdk import ENVIRONMENT
    from tests.site import opened, scan

    with opened(tmp_path) as site:
        for number in range(4):
            scan(site, f"P{number}/V/T", number)
        site.world.faults.add("delay", r"^GET .*/files/", seconds=0.3, times=None)
        theirs, other = site.server.key(), site.server.key()
        folder = site.job(key=theirs, destination_key=other, secret=SECRET, workers=2)
        process = subprocess.Popen(
            [sys.executable, str(ROOT / "run.py")], cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
            env={**os.environ, **ENVIRONMENT, "PYTHONPATH": str(ROOT)},
        )  # fmt: skip
        seen: set[str] = set()
        while process.poll() is None:
            seen.update(commands(process.pid))
            time.sleep(0.02)
        _, err = process.communicate()
        said = err.decode()
        assert process.returncode == 0, said
        assert any("forkserver" in one for one in seen), "workers were seen"
        told = "\n".join(seen) + said
        assert not [one for one in (theirs.rpartition(":")[2], other.rpartition(":")[2], SECRET) if one in told]


# -- what goes wrong -----------------------------------------------------------------------------------


@pytest.mark.parametrize("where", ["items", "fetch", "containers", "pin"])
def test_no_crash_of_a_job_tells_a_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str) -> None:
    """An exception that quotes it ends in its kind and place."""
    pytest.importorskip("flywheel")
    from fw_gear_deid.stores.flywheel.source import FlywheelSource
    from tests.site import opened, scan

    def breaks(self: FlywheelSource, *arguments: Any) -> Any:
        raise RuntimeError(f"cannot reach {self.key} with {SECRET}")

    with opened(tmp_path) as site:
        scan(site, "P1/V/T", 1)
        monkeypatch.setattr(FlywheelSource, where, breaks)
        theirs = site.server.key()
        code, said = site.here(key=theirs, secret=SECRET)
        said += "".join(path.read_text() for path in (tmp_path / "gear/output").iterdir())
        assert code == 1 and "unexpected RuntimeError in" in said
        assert theirs not in said and theirs.rpartition(":")[2] not in said and SECRET not in said


def test_no_crash_of_a_command_tells_a_key(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    def breaks(*arguments: Any) -> Any:
        raise RuntimeError(planted.KEY)

    monkeypatch.setattr("fw_gear_deid.api.run", breaks)
    desk.put({"S/V/A/1": instance()})
    done = desk.run()
    assert done.code == 1 and "unexpected RuntimeError in api.py" in done.err
    assert planted.KEY not in done.err + done.out
    assert command_line(["profile", "list"]) == 0


@pytest.mark.parametrize(
    "key", ["PLANTED", "site.example:PLANTED", "127.0.0.1:1:__force_insecure:PLANTED", "PLANTED\n", "ü:PLANTED"]
)
def test_a_key_that_is_none_is_not_quoted(desk: Desk, monkeypatch: pytest.MonkeyPatch, key: str) -> None:
    pytest.importorskip("flywheel")
    monkeypatch.setenv("FW_API_KEY", key)
    done = desk.run(source=Path("fw://lab/Stored"))
    assert done.code in (1, 2)
    assert "PLANTED" not in done.err + done.out
    monkeypatch.setenv("FW_API_KEY", "")
    monkeypatch.setenv("HOME", str(desk.folder))
    assert "no API key" in call("run", "fw://lab/Stored", str(desk.dest), "--profile", str(desk.profile)).err


def test_a_key_that_the_sdk_quotes_is_not_quoted(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("flywheel")
    from fw_gear_deid.stores.flywheel import client

    def refuses(key: str, **options: Any) -> Any:
        raise ValueError(f"invalid API key: {key}")

    monkeypatch.setattr(client.flywheel, "Client", refuses)
    with pytest.raises(client.PlatformError, match=r"logging in \(ValueError\)") as caught:
        client.Platform("site.example:PLANTED")
    assert "PLANTED" not in str(caught.value) and caught.value.__cause__ is None


def test_what_a_cluster_reads_has_no_secret(tmp_path: Path) -> None:
    cluster = pytest.importorskip("fw_gear_deid.runner.cluster", exc_type=ImportError)
    keyring = keys.of(SECRET.encode(), "here")
    sent: list[object] = []

    class Client:
        def wait_for_workers(self, *arguments: Any, **named: Any) -> None: ...

        def run(self, *arguments: Any, **named: Any) -> dict[str, object]:
            return {"w": cluster.programs() if arguments[0] is eval else ""}

        def register_plugin(self, kit: object, **named: Any) -> None:
            sent.append(kit)

    scheduler = cluster.Scheduler("", None, "in", tmp_path / "key")
    one = cluster.Cluster(Client(), settings_of(tmp_path, keyring))
    one.start(scheduler, [])
    data = b"".join(path.read_bytes() for path in one._folder.iterdir()) + pickle.dumps(sent)
    assert len(data) > 100 and keyring.secret not in data and SECRET.encode() not in data
