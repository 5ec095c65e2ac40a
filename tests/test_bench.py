"""The benchmark runs: what it says is not held to anything."""

from __future__ import annotations

import pytest

from tests.bench import made_up


@pytest.mark.parametrize("profile", ["research-site", "block-list"])
def test_benchmark_runs(profile: str, capsys: pytest.CaptureFixture[str]) -> None:
    made_up(profile, count=4)
    assert "4 slices" in capsys.readouterr().out
