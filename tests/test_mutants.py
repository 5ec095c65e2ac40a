"""The tables of mutants fit the program: each stands once, still is Python, and names tests that are there."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

import pytest

from tests import mutants
from tests.mutants import ROOT, Copy, Mutant

ALL = mutants.mutants()
TABLES = sorted({one.table for one in ALL})


@cache
def named_in(file: str) -> frozenset[str]:
    tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
    return frozenset(node.name for node in tree.body if isinstance(node, ast.FunctionDef))


@pytest.mark.parametrize("table", TABLES)
def test_mutants_fit_the_program(table: str) -> None:
    wrong = []
    for one in (one for one in ALL if one.table == table):
        try:
            ast.parse(one.applied())
        except (ValueError, SyntaxError) as error:
            wrong.append(f"{one.name}: {error}")
    assert wrong == []


@pytest.mark.parametrize("table", TABLES)
def test_mutants_name_tests_that_are_there(table: str) -> None:
    wrong = []
    for one in (one for one in ALL if one.table == table):
        for test in one.tests:
            file, _, name = test.partition("::")
            if not (ROOT / file).is_file() or (name and name not in named_in(file)):
                wrong.append(f"{one.name}: {test}")
        if not one.tests:
            wrong.append(f"{one.name}: no test")
    assert wrong == []


def test_names_are_told_apart() -> None:
    names = [(one.table, one.file, one.name) for one in ALL]
    assert len(set(names)) == len(names) > 400


@pytest.mark.parametrize("room", ["actions", "verify", "runner", "stores", "deid", "ledger", "system", "plan"])
def test_every_room_with_promises_has_mutants(room: str) -> None:
    assert sum(one.file.startswith(f"fw_gear_deid/{room}/") for one in ALL) > 5


def test_every_action_and_every_repair_has_a_mutant() -> None:
    files = {one.file for one in ALL}
    actions = {path.name for path in (ROOT / "fw_gear_deid/actions").glob("*.py")} - {
        "__init__.py",
        "spec.py",
    }
    assert {f"fw_gear_deid/actions/{name}" for name in actions} <= files
    table = (ROOT / "fw_gear_deid/formats/dicom/repair/readings.py").read_text(encoding="utf-8")
    rows = [line.strip() for line in table.splitlines() if line.startswith("    Row(Kind.")]
    assert rows and set(rows) <= {line for one in ALL for line in one.old}


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Copy:
    """A tree of one module and one test, to make mutants in."""
    (tmp_path / "from/tests").mkdir(parents=True)
    (tmp_path / "from/m.py").write_text("def two():\n    if True:\n        return 2\n    return 0\n")
    (tmp_path / "from/tests/test_m.py").write_text(
        "import time, m\n\ndef test_it():\n    assert m.two() == 2\n\ndef test_no():\n    pass\n\n"
        "def test_slow():\n    while m.two() != 2:\n        time.sleep(0.1)\n"
    )
    monkeypatch.setattr(mutants, "ROOT", tmp_path / "from")
    monkeypatch.setattr(mutants, "COPIED", ("m.py", "tests"))
    monkeypatch.setattr(mutants, "SECONDS", 5)
    return Copy(tmp_path / "to")


@pytest.mark.parametrize(
    ("old", "new", "test", "state"),
    [
        (["return 2"], ["return 3"], "::test_it", mutants.KILLED), (["return 2"], ["return 3"], "::test_no", mutants.SURVIVED),
        (["return 2"], ["return 3"], "::test_slow", mutants.TIMED_OUT), (["return 2"], ["retur n"], "::test_no", mutants.BROKEN),
        (["return 2"], ["return 2"], "::test_gone", mutants.BROKEN),
        (["if True:", "return 2"], ["if False:", "    return 2"], "::test_it", mutants.KILLED),
    ],
)  # fmt: skip
def test_what_becomes_of_a_mutant(small: Copy, old: list[str], new: list[str], test: str, state: str) -> None:
    before = (small.folder / "m.py").read_bytes()
    one = Mutant("t", "n", "m.py", [f"tests/test_m.py{test}"], old, new)
    assert small.outcome(one)[0] == state
    assert (small.folder / "m.py").read_bytes() == before
    assert small.test(["tests/test_m.py::test_it"])[0] == 0, "the next one finds the program whole"


def test_a_mutant_that_does_not_fit_is_an_error(small: Copy) -> None:
    for old in (["return 7"], [], ["return 2", "if True:"]):
        with pytest.raises(ValueError, match=r"stand \d times"):
            Mutant("t", "n", "m.py", [], old, []).applied()
