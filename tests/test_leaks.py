"""No planted identifier leaves, whatever the profile."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from fw_gear_deid.sample import MARKER, Planted
from tests.desk import EVERYTHING, Desk, plain

SPOKEN = {"CALL", "FAMILY", "FINDING", "STUDY", "BORN"}  # of a structured report, and a description
LEFT_BY_DESIGN: dict[str, set[str]] = {
    # profile → planted words that may stay, as the header of the profile says
    "everything": set(),
    "keep-list": set(),
    "research-site": SPOKEN | {"INST"},
    "block-list": SPOKEN | {"COMMENT", "OBSERV"},
    "stored-archives": SPOKEN | {"OBSERV", "SERIAL", "STATION"},
}


@pytest.mark.parametrize("profile", LEFT_BY_DESIGN)
def test_no_planted_identifier_leaves(sampled: Desk, project: tuple[Path, list[Planted]], profile: str) -> None:
    check_no_identifier_leaves(sampled, project[1], profile, LEFT_BY_DESIGN[profile])


def test_no_planted_identifier_leaves_a_loose_folder(sampled: Desk, project: tuple[Path, list[Planted]]) -> None:
    tree = sampled.source.rename(sampled.folder / "tree")
    sampled.source.mkdir()
    tree.rename(sampled.source / "export")
    check_no_identifier_leaves(sampled, project[1], "everything", set())


def check_no_identifier_leaves(sampled: Desk, planted: list[Planted], profile: str, allowed: set[str]) -> None:
    sampled.rules(
        EVERYTHING.replace(
            "    - name: FrameOf", "    - name: SeriesDescription\n      remove: true\n    - name: FrameOf"
        )
    )
    done = sampled.run(*([] if profile == "everything" else ["--profile", profile]))
    assert (done.code, sampled.summary()["states"]) == (0, {"released": 10, "skipped": 4}), done.err
    told = done.out + done.err + (sampled.reports / "audit.csv").read_text() + json.dumps(sampled.summary())
    told += json.dumps([row | {"source": ""} for row in sampled.rows()])
    left = "\n".join(plain(data).decode("utf-8", "replace") + path for path, data in sampled.there().items())
    assert left.count("ORIGINAL") >= 16  # what is searched is not nothing
    words = {one.value for one in planted}
    kinds = {word: "BORN" if word.isdecimal() else re.sub(r"\d|^ZZ7F3A", "", word) for word in words}
    assert {kinds[word] for word in words if word in left} - allowed == set()
    assert sorted(word for word in words | {MARKER} if word in told) == []
