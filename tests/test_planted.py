"""The look for planted identifiers finds what it is there for, and looks where it says."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from fw_gear_deid.model.errors import Malformed, StopRun, Unfit, UsageError
from fw_gear_deid.sample import MARKER
from tests import planted
from tests.desk import ROOT, Desk, Ran, call, instance

pytestmark = pytest.mark.clear


@pytest.mark.parametrize("word", [*planted.PLANTED, "127.0.0.1:8080:__force_insecure:abc123"])
def test_every_planted_word_is_found(word: str) -> None:
    planted.say("somewhere", f"first line\nsomething {word} more\nlast")
    [line] = planted.found(None)
    assert line.startswith("somewhere: ") and word in line and "first" not in line


@pytest.mark.parametrize("kind", [Unfit, Malformed, UsageError, StopRun])
def test_errors_are_heard(kind: type[Exception]) -> None:
    kind(f"(0010,0010) holds {MARKER}^ONE")
    [line] = planted.found(None)
    assert line.startswith(f"{kind.__name__}: ")


def test_output_of_runs_is_heard(desk: Desk) -> None:
    """But for what a preview shows to who asked for it."""
    Ran(0, "", f"refused: {MARKER}").heard()
    Ran(0, MARKER, "").heard()
    assert len(planted.found(None)) == 2
    planted.begin()
    desk.put({"S/V/A/1": instance()})
    assert MARKER in call("preview", str(desk.source), "--profile", str(desk.profile)).out
    assert planted.found(None) == []


@pytest.mark.parametrize(
    ("path", "heard"),
    [
        ("out-report/audit.csv", True), ("r/summary.json", True), ("gear/output/files.csv", True), ("worker.log", True),
        ("out-report/private/files.csv", False), ("in/audit.csv", False), ("m.csv", False),
    ],
)  # fmt: skip
def test_reports_are_read(tmp_path: Path, path: str, heard: bool) -> None:
    (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / path).write_text(f"a,b\n{MARKER},c\n")
    assert bool(planted.found(tmp_path)) == heard


@pytest.mark.parametrize("name", [f"{MARKER}/V/A/x.dcm", f"S/V/{MARKER}/x.dcm", f"S/V/A/{MARKER}.dcm"])
def test_names_at_a_destination_are_read(tmp_path: Path, name: str) -> None:
    (tmp_path / "out" / name).parent.mkdir(parents=True)
    (tmp_path / "out" / name).write_bytes(b"")
    assert len(planted.found(tmp_path)) == 1


def test_a_test_that_tells_fails_and_one_that_may_does_not(tmp_path: Path) -> None:
    """As pytest runs them, with the settings of this suite."""
    body = "from fw_gear_deid.model.errors import Unfit\nimport pytest\n{}def test_x(tmp_path):\n    {}\n"
    cases = {
        "error": ("", f"Unfit('{MARKER}')", 1), "print": ("", f"print('{MARKER}')", 1), "quiet": ("", "pass", 0),
        "log": ("", f"import logging; logging.getLogger('x').warning('{MARKER}')", 1),
        "report": ("", f"(tmp_path / 'audit.csv').write_text('{MARKER}')", 1),
        "clear": ("@pytest.mark.clear\n", f"Unfit('{MARKER}')", 0),
    }  # fmt: skip
    for name, (mark, line, failed) in cases.items():
        path = tmp_path / f"test_{name}.py"
        path.write_text(body.format(mark, line))
        command = [sys.executable, "-m", "pytest", "-q", "-c", str(ROOT / "pyproject.toml"), "-p", "tests.conftest"]
        done = subprocess.run(
            [*command, f"--basetemp={tmp_path / name}", str(path)],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == failed, (name, done.stdout)
