"""A copy of the program in which a test adds something, run in processes of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


class Tree:
    """The package with its tests and profiles."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in ("fw_gear_deid", "tests", "profiles"):
            shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(ROOT / "pyproject.toml", folder)

    def python(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        environment = os.environ | {"PYTHONPATH": str(self.folder)}
        command = [sys.executable, *arguments]
        return subprocess.run(command, cwd=self.folder, env=environment, capture_output=True, text=True, check=False)

    def call(self, text: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a command of the program beside a profile ``p.yaml``."""
        (self.folder / "p.yaml").write_text(text, encoding="utf-8")
        return self.python("-m", "fw_gear_deid", *arguments)
