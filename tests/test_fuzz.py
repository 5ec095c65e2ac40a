"""A few mutants of each target of ``tests/fuzz.py``, the same every time; what fuzzing has found stands in the vectors."""

from __future__ import annotations

import random
import time

import pytest

from tests import fuzz

COUNT = {"profiles": 60, "images": 400, "repairs": 400, "checks": 800, "archives": 60}


@pytest.mark.parametrize("name", fuzz.TARGETS)
def test_mutants(name: str) -> None:
    target, draw = fuzz.TARGETS[name](), random.Random(f"11 {name}")
    found = [fuzz.trial(name, target, draw)[1] for _ in range(COUNT[name])]
    assert [what for what in found if what.startswith("WRONG")] == []
    assert "refused" in found and len(set(found)) > 1


def test_what_is_wrong_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fuzz, "SECONDS", 1)

    class Wrong:
        words = (b"x",)
        bases = (b"abc",)
        verdicts = iter((ZeroDivisionError("text"), AssertionError("a leak"), None))

        def verdict(self, data: bytes) -> str:
            error = next(self.verdicts)
            if error is None:
                time.sleep(3)
            raise error or AssertionError

    told = [fuzz.trial("x", Wrong(), random.Random(1))[1] for _ in range(3)]
    assert told == [
        "WRONG: ZeroDivisionError: text",
        "WRONG: AssertionError: a leak",
        "WRONG: it takes longer than 1 seconds",
    ]
