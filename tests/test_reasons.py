"""The table of reasons holds what the program says, and every frequent one."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "docs" / "reasons.md").read_text(encoding="utf-8")
LISTED = [
    part.strip(" :;")
    for row in PAGE.splitlines()
    if row.startswith("| `")
    for reason in re.findall(r"`([^`]+)`", row.split("|")[1])
    for part in reason.split("…")
    if len(part.strip(" :;")) > 5
]


def said() -> Iterator[str]:
    """Yield every text of the program, what is filled in left out."""
    for path in (ROOT / "fw_gear_deid").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield node.value


TEXTS = "\0".join(said())


@pytest.mark.parametrize("reason", LISTED)
def test_reason_is_one_of_the_program(reason: str) -> None:
    assert reason in TEXTS


@pytest.mark.parametrize("outcome", ["Failed", "StopRun"])
def test_what_stops_a_file_or_a_run_is_listed(outcome: str) -> None:
    """Failures of the machine are rare, and there people need the page most."""
    missing = []
    for path in (ROOT / "fw_gear_deid").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == outcome:
                text = " ".join(
                    part.value
                    for one in node.args
                    for part in ast.walk(one)
                    if isinstance(part, ast.Constant) and isinstance(part.value, str)
                )
                if text.strip() and not any(reason in text for reason in LISTED):
                    missing.append((path.name, text))
    assert missing == []
