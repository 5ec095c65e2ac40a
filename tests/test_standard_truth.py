"""Identifiers planted in a corpus (shared, not part of the project): the basic profile leaves none that it names."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import truth

CORPUS = Path(__file__).resolve().parents[2] / "shared" / "corpus"
pytestmark = pytest.mark.skipif(not (CORPUS / "phi_truth.csv.gz").exists(), reason="needs the corpus")


@pytest.mark.clear
def test_nothing_planted_is_left_but_in_what_the_table_leaves_out() -> None:
    places, refused, sought = truth.count(CORPUS, [])
    assert sought > 80_000
    assert len(refused) <= 2, refused
    named = {place for place in places if place.split()[1] not in truth.TECHNICAL or not place.startswith("top ")}
    assert named == set()
