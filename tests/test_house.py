"""What the house promises of itself: who imports whom, one version, a manifest that fits, an image that starts."""

from __future__ import annotations

import ast
import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from fw_gear_deid import __version__
from fw_gear_deid.actions import ACTIONS
from fw_gear_deid.cli import parser

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "fw_gear_deid"
ROOMS = {
    "model": set(),
    "standard": {"actions", "model"},
    "actions": {"model"},
    "profile": {"formats", "actions", "standard", "model"},
    "formats": {"model"},
    "verify": {"formats", "model"},
    "plan": {"profile", "formats", "actions", "standard", "model"},
    "deid": {"plan", "profile", "formats", "verify", "actions", "ciphers", "standard", "keys", "model"},
    "system": {"model"},
    "stores": {"system", "model"},
    "ledger": {"system", "model"},
    "log": {"keys", "system", "model"},
    "runner": {"deid", "profile", "ledger", "keys", "system", "model"},
    "scan": {"runner", "deid", "profile", "formats", "verify", "standard", "keys", "system", "model"},
}
DOORS = {
    "yaml": "profile/text/nodes.py",
    "flywheel": "stores/flywheel/client.py",
    "flywheel_gear_toolkit": "parser.py",
    "tqdm": "runner/progress.py",
    "isal": "formats/archive/flate.py",
    "pandas": "profile/values/table.py",
    "regex": "model/patterns.py",
    "distributed": "runner/cluster.py",
    "psycopg": "log/postgres.py",
    "cryptography": "ciphers.py log/seal.py",
    "asn1crypto": "ciphers.py",
}


def imports(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


@pytest.mark.parametrize("room", ROOMS)
def test_rooms_import_what_they_may(room: str) -> None:
    for path in (PACKAGE / room).rglob("*.py"):
        ours = {name.split(".")[1] for name in imports(path) if name.startswith("fw_gear_deid.")}
        assert ours - {"__version__", "RESULTS", room} <= ROOMS[room], path


def test_every_folder_of_the_package_is_a_room() -> None:
    folders = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    assert folders - {"sample", "commands"} == ROOMS.keys()


@pytest.mark.parametrize(("library", "door"), DOORS.items())
def test_third_parties_have_one_door(library: str, door: str) -> None:
    used = {
        path.relative_to(PACKAGE).as_posix()
        for path in PACKAGE.rglob("*.py")
        if any(name.split(".")[0] == library for name in imports(path))
    }
    assert used == set(door.split())  # of the two that encrypt one is loaded with a log, the other with a profile


def test_pydicom_has_one_door_but_for_sample_data() -> None:
    """Who imports it at the top makes every start wait for it, and it has to be kept from logging each time."""
    used = {
        path.relative_to(PACKAGE).as_posix()
        for path in PACKAGE.rglob("*.py")
        if path.parent.name != "sample" and any(name.split(".")[0] == "pydicom" for name in imports(path))
    }
    assert used == {"formats/dicom/careful.py", "verify/pixels.py"}  # the check shares nothing with what it checks


def test_the_check_shares_nothing_with_what_it_checks() -> None:
    for path in (PACKAGE / "verify").rglob("*.py"):
        theirs = {name for name in imports(path) if name.startswith("fw_gear_deid.formats")}
        only = {"fw_gear_deid.formats.dicom", "fw_gear_deid.formats.dicom.values"}
        assert {name for name in theirs if not name.startswith("fw_gear_deid.formats.row")} <= only, path


def test_the_core_runs_wherever_python_does() -> None:
    """No processes, sockets, data bases or signals: the same engine is to run in a browser."""
    outside = {
        "multiprocessing",
        "concurrent",
        "threading",
        "socket",
        "ssl",
        "urllib",
        "sqlite3",
        "signal",
        "subprocess",
    }
    for room in ("model", "standard", "actions", "profile", "formats", "plan", "deid", "verify"):
        for path in (PACKAGE / room).rglob("*.py"):
            assert not {name.split(".")[0] for name in imports(path)} & outside, path


def test_randomness_comes_from_the_keyring_alone() -> None:
    for path in PACKAGE.rglob("*.py"):
        assert not imports(path) & {"random", "secrets", "uuid"}, path
        assert "urandom" not in path.read_text(encoding="utf-8") or path.name == "keys.py", path


MANY = {
    "formats/dicom/walk.py": {"_elements", "_items"},  # every element comes by: a record of them takes its time
    "profile/values/mapping.py": {"plan_profiles"},
    "runner/plan.py": {"_place"},
    "runner/release.py": {"__init__"},
}
"""Functions that take more than six parameters; there come no more."""


def test_functions_take_six_parameters_at_most() -> None:
    found: dict[str, set[str]] = {}
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                given = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
                if len([one for one in given if one.arg not in ("self", "cls")]) > 6:
                    found.setdefault(path.relative_to(PACKAGE).as_posix(), set()).add(node.name)
    assert found == MANY


def test_version_has_one_home() -> None:
    manifest = json.loads((ROOT / "manifest.json").read_text())
    assert manifest["version"] == __version__
    assert manifest["custom"]["gear-builder"]["image"].endswith(f":{__version__}")


def test_results_number_not_the_version_is_in_the_fingerprint() -> None:
    """A release that changes no output byte makes nothing stale."""
    code = (PACKAGE / "runner" / "run.py").read_text(encoding="utf-8")
    assert "stamp(str(RESULTS)," in code and "stamp(__version__" not in code


def test_manifest_is_valid() -> None:
    pytest.importorskip("gears.generator")
    # in a process of its own: the library leaves its schema file open
    check = "import json, gears.generator as g; g.validate_manifest(json.load(open('manifest.json')))"
    done = subprocess.run([sys.executable, "-c", check], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_manifest_names_shipped_profiles() -> None:
    manifest = json.loads((ROOT / "manifest.json").read_text())
    shipped = {path.stem for path in (ROOT / "profiles").glob("*.yaml")} - {"starter"}
    assert set(manifest["config"]["builtin_profile"]["enum"]) == shipped | {"none"}


def test_every_gear_option_is_read() -> None:
    manifest = json.loads((ROOT / "manifest.json").read_text())
    code = "".join((PACKAGE / name).read_text() for name in ("main.py", "fanout.py", "parser.py"))
    unread = [name for name in manifest["config"] if f'"{name}"' not in code]
    assert unread == []


def test_every_action_has_vectors() -> None:
    files = {path.stem for path in (ROOT / "tests" / "vectors" / "actions").glob("*.yaml")}
    assert set(ACTIONS) - {"identity"} <= files


def test_readme_names_every_command_and_option() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for line in parser().format_help().splitlines():
        if match := re.match(r"    (\w+) ", line):
            assert f"`{match.group(1)}" in readme, line
    run = subprocess.run(
        [sys.executable, "-m", "fw_gear_deid", "run", "--help"], capture_output=True, text=True, cwd=ROOT, check=True
    )
    for option in sorted(set(re.findall(r"--[a-z-]+", run.stdout)) - {"--help"}):
        assert option in readme, option


def test_readme_opens_with_two_commands_that_exist() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    block = readme.split("```sh\n")[1].split("```")[0]
    targets = [shlex.split(line, comments=True) for line in block.splitlines()]
    assert targets == [["make", "demo"], ["make", "check"]]
    assert all(re.search(rf"^{target}:", makefile, re.MULTILINE) for _, target in targets)
    assert "make check" in (ROOT / ".ci" / "run").read_text()
    assert len(makefile.splitlines()) <= 30


def test_lock_files_name_no_host() -> None:
    for name in ("requirements.txt", "requirements-dev.txt", "bench/requirements-peers.txt"):
        text = (ROOT / name).read_text()
        assert "://" not in text
        pinned = [line for line in text.splitlines() if line and not line.startswith((" ", "#"))]
        assert pinned and all("==" in line for line in pinned)


def test_image_steps_make_a_program_that_starts(tmp_path: Path) -> None:
    """Carry out COPY and ENTRYPOINT of the Dockerfile in an empty folder, with this environment's packages."""
    instructions = re.findall(r"^(\w+) (.*(?:\\\n.*)*)$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    assert [word for word, _ in instructions if word in ("FROM", "USER", "ENTRYPOINT")] == [
        "FROM",
        "USER",
        "ENTRYPOINT",
    ]
    image = tmp_path / "flywheel" / "v0"
    image.mkdir(parents=True)
    allowed = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    for word, rest in instructions:
        if word != "COPY":
            continue
        *sources, target = rest.split()
        for source in sources:
            assert source in allowed, f"{source} is kept out by .dockerignore"
            if (ROOT / source).is_dir():
                shutil.copytree(ROOT / source, image / target, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(ROOT / source, image / target)
    entry = json.loads(next(rest for word, rest in instructions if word == "ENTRYPOINT"))
    command = [sys.executable, *(part.replace("/flywheel/v0", str(image)) for part in entry[1:])]
    steps = [rest for word, rest in instructions if word == "RUN"]
    assert any("chmod -R a+rX ." in step for step in steps), "files of a checkout under umask 077 are root's alone"
    assert any("compileall" in step for step in steps), "nobody may write below /flywheel/v0: each start would compile"
    (tmp_path / "empty").mkdir()

    def start(*arguments: str, cwd: Path = image) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*command, *arguments], capture_output=True, text=True, cwd=cwd, check=False, env={"PATH": "/usr/bin:/bin"}
        )

    assert start("--version").stdout.strip() == f"fw-gear-deid {__version__}"
    assert "research-site" in start("profile", "list", cwd=tmp_path / "empty").stdout
    assert start("sample", str(tmp_path / "in"), "--subjects", "1").returncode == 0
    done = start("run", str(tmp_path / "in"), str(tmp_path / "out"), "--profile", "research-site", "--workers", "2")
    assert done.returncode == 0, done.stderr
    gear = start(cwd=tmp_path / "empty")
    assert (gear.returncode, "config.json" in gear.stderr or "manifest.json" in gear.stderr) == (2, True)
    manifest = json.loads((image / "manifest.json").read_text())
    assert manifest["command"] == " ".join(entry)
