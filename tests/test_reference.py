"""docs/reference.md: what it shows is what happens, and what the tables of the language say."""

from __future__ import annotations

import pytest

from fw_gear_deid.actions import TABLE as ACTIONS
from fw_gear_deid.formats import TABLE as FORMATS
from tests.reference import KEYS, PAGE, Example, examples, page, ran

ALL = [(stem, one) for stem, listed in examples().items() for one in listed]


@pytest.mark.parametrize("example", [one for _, one in ALL], ids=[one["title"] for _, one in ALL])
def test_example(example: Example) -> None:
    assert example.keys() <= KEYS
    after, written = ran(example)
    assert after == example["after"]
    assert written == example.get("written", written)


def test_page_is_made_of_them() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run 'make reference'"


def test_every_action_and_section_has_an_example() -> None:
    profiles = "\n".join(one["profile"] for _, one in ALL)
    assert [spec.key for spec in ACTIONS if spec.build is not None and f"{spec.key}:" not in profiles] == []
    assert [row.key for row in FORMATS if f"{row.key}:" not in profiles] == []
