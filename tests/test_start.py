"""What a start costs: which modules each command brings along, without looking at a clock."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pytest

from fw_gear_deid.system.packages import version_of
from tests.desk import instance

ROOT = Path(__file__).resolve().parents[1]
DEAR = {
    "asyncio", "concurrent.futures", "difflib", "email", "flywheel", "flywheel_gear_toolkit", "importlib.metadata", "logging",
    "multiprocessing", "numpy", "pandas", "pydicom", "random", "secrets", "socket", "ssl", "tempfile", "tqdm", "urllib.request",
}  # fmt: skip
"""Modules that take their time, and that nothing on the way to one file needs."""
TABLE = {"fw_gear_deid.formats.dicom", "fw_gear_deid.formats.dicom.sniff"} | {
    f"fw_gear_deid.formats.{name}"
    for name in (
        *("json_text", "plain", "row", "spans", "xml", "keyvalue", "jpg", "png", "tiff"),
        *("tables", "cells", "fixed"),
        *("nifti", "nifti.document", "nifti.layout", "nifti.mrs"),
    )
}
SCRIPT = """
import sys
from fw_gear_deid.__main__ import entry
loaded = sys.argv.pop(1)
try:
    entry()
finally:
    open(loaded, "w").write("\\n".join(sys.modules))
"""


def loaded_by(folder: Path, *arguments: str) -> set[str]:
    """Return the modules of a process at its end."""
    listing = folder / "modules.txt"
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(listing), *arguments],
        capture_output=True, text=True, cwd=folder, env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"}, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return set(listing.read_text().splitlines())


def rooms(modules: set[str]) -> set[str]:
    return {name.split(".")[1] for name in modules if name.startswith("fw_gear_deid.")}


def run_of(folder: Path, data: bytes) -> set[str]:
    """Return the modules of a run on one file."""
    place = folder / "in" / "S" / "V" / "A"
    place.mkdir(parents=True)
    (place / "1.dcm").write_bytes(data)
    return loaded_by(folder, "run", "in", "out", "--profile", "research-site", "--workers", "1")


@pytest.mark.parametrize("arguments", [["--help"], ["--version"]])
def test_help_needs_next_to_nothing(tmp_path: Path, arguments: list[str]) -> None:
    modules = loaded_by(tmp_path, *arguments)
    assert not modules & (DEAR | {"dataclasses", "sqlite3", "yaml"})
    assert rooms(modules) == {"__main__", "cli", "commands", "model"}
    assert not {name for name in modules if name.startswith("fw_gear_deid.commands.")}


@pytest.mark.parametrize("command", ["preview", "profile", "keygen", "run"])
def test_help_of_one_command_loads_no_other(tmp_path: Path, command: str) -> None:
    modules = loaded_by(tmp_path, command, "--help")
    assert {name for name in modules if name.startswith("fw_gear_deid.commands.")} == {
        f"fw_gear_deid.commands.{command}"
    }
    assert not modules & DEAR


def test_check_of_a_profile_reads_no_images(tmp_path: Path) -> None:
    modules = loaded_by(tmp_path, "profile", "check", "research-site")
    assert not modules & (DEAR | {"sqlite3", "isal", "tarfile", "zipfile"})
    assert not rooms(modules) & {"deid", "ledger", "runner", "verify"}
    assert {name for name in modules if name.startswith("fw_gear_deid.formats.")} == TABLE, "only what rows are made of"


@pytest.mark.parametrize(
    ("charset", "name"),
    [("ISO_IR 6", "M"), ("ISO_IR 100", "Mü"), ("ISO_IR 192", "山"), ("GB18030", "山"), ("ISO_IR 13", "ﾔﾏﾀﾞ")],
)
def test_run_on_one_plain_file(tmp_path: Path, charset: str, name: str) -> None:
    modules = run_of(tmp_path, instance(SpecificCharacterSet=charset, PatientName=name, SeriesDescription=name))
    assert not modules & DEAR
    assert "fw_gear_deid.formats.dicom.values" in modules


def test_run_loads_pydicom_for_what_only_it_knows(tmp_path: Path) -> None:
    """The test above could not fail, if this one did not hold."""
    data = instance(SpecificCharacterSet=["", "ISO 2022 IR 87"], PatientName="山", SeriesDescription="山")
    assert b"\x1b" in data
    assert "pydicom" in run_of(tmp_path, data)


def test_pydicom_logs_nothing_whenever_it_is_loaded() -> None:
    script = (
        "import logging; logging.basicConfig(level=1)\n"
        "from fw_gear_deid.formats.dicom import values\n"
        "try: values.decode(b'\\x1b$B\\x7f\\x7f', 'PN', ('iso8859', 'iso2022_jp'), little=True)\n"
        "except Exception as error: print(type(error).__name__)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("Unreadable\n", "")


@pytest.mark.parametrize("name", ["pydicom", "isal", "tqdm"])
def test_version_of_a_package(name: str) -> None:
    assert version_of(name) == version(name)


def test_version_of_none() -> None:
    with pytest.raises(PackageNotFoundError):
        version_of("nobody-has-this")
