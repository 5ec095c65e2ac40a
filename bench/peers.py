"""The environment of the peers, apart from ours → which of them are there, and why others are not."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from bench import ROOT

LOCK = ROOT / "bench" / "requirements-peers.txt"
PYTHON = ROOT / ".venv-peers" / "bin" / "python"
_MODULES = {
    "flywheel-migration": "flywheel_migration.deidentify",
    "fw-gear-deid-export": "fw_gear_deid_export",
    "fw-file-rs": "fw_file_rs.dcm",
    "deid": "deid.dicom.parser",
    "dicognito": "dicognito.anonymizer",
    "dicom-anonymizer": "dicomanonymizer",
}
_PROGRAMS = {"gdcmanon": "libgdcm-tools", "strace": "strace"}
_ASK = (
    "import sys, importlib, importlib.metadata as known\n"
    "importlib.import_module(sys.argv[2])\n"
    "print(known.version(sys.argv[1]))"
)


def install() -> None:
    """Make the environment when it isn't there; what cannot be installed is left out, package by package."""
    ready = PYTHON.parents[1] / "ready"
    if ready.exists() and ready.read_bytes() == LOCK.read_bytes():
        return
    shutil.rmtree(PYTHON.parents[1], ignore_errors=True)
    _venv(PYTHON.parents[1])
    packages = LOCK.read_text(encoding="utf-8")
    if not _pip(packages):
        for package in split(packages):
            _pip(package)
    ready.write_text(packages, encoding="utf-8")


def split(lock: str) -> list[str]:
    """Return the packages of a lock, each with its hashes."""
    return re.findall(r"^\S.*(?:\\\n.*)*", lock, re.MULTILINE)


def _venv(place: Path) -> None:
    subprocess.run([sys.executable, "-m", "venv", str(place)], check=True)


def _pip(packages: str) -> bool:
    with TemporaryDirectory() as folder:
        listed = Path(folder, "packages.txt")
        listed.write_text(packages, encoding="utf-8")
        # one peer asks for a newer Python than its functions need
        options = ["--quiet", "--no-deps", "--require-hashes", "--ignore-requires-python"]
        command = [str(PYTHON), "-m", "pip", "install", *options, "-r", str(listed)]
        return subprocess.run(command, check=False, capture_output=True).returncode == 0


def present() -> tuple[dict[str, str], dict[str, str]]:
    """Return the version of each peer that is there, and why each other isn't."""
    there: dict[str, str] = {}
    missing: dict[str, str] = {}
    for package, module in _MODULES.items():
        if not PYTHON.exists():
            missing[package] = "no environment of peers"
            continue
        done = subprocess.run([str(PYTHON), "-c", _ASK, package, module], capture_output=True, text=True, check=False)
        if done.returncode:
            missing[package] = (done.stderr.strip().splitlines() or ["it cannot be loaded"])[-1][:100]
        else:
            there[package] = done.stdout.strip()
    for program, package in _PROGRAMS.items():
        if shutil.which(program):
            there[program] = "on PATH"
        else:
            missing[program] = f"not on PATH (Debian: {package})"
    return there, missing
