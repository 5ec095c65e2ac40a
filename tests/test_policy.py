"""The table of what is done with a result, line by line, and who a source is."""

from __future__ import annotations

from itertools import product

import pytest

from fw_gear_deid.ledger.state import Made
from fw_gear_deid.runner.policy import Act, Situation, Stands, decide, same_source

# stands, mine, covered, rival, same bytes → skip, replace, fail
TABLE = [
    (Stands.NOTHING, False, True, False, False, "put", "put", "put"),
    (Stands.NOTHING, True, True, False, False, "put", "put", "put"),
    (Stands.FOREIGN, False, True, False, True, "keep", "keep", "keep"),
    (Stands.FOREIGN, False, True, False, False, "stale", "replace", "refuse"),
    (Stands.OURS, True, True, False, True, "keep", "keep", "keep"),
    (Stands.OURS, True, True, False, False, "stale", "replace", "refuse"),
    (Stands.OURS, True, False, False, False, "refuse", "refuse", "refuse"),
    (Stands.OURS, False, True, False, False, "refuse", "refuse", "refuse"),
    (Stands.OURS, False, True, True, False, "refuse", "refuse", "refuse"),
    (Stands.CHANGED, True, True, False, False, "replace", "replace", "replace"),
    (Stands.CHANGED, True, False, False, False, "refuse", "refuse", "refuse"),
    (Stands.CHANGED, False, True, False, False, "refuse", "refuse", "refuse"),
]
WORDS = {"put": Act.PUT, "replace": Act.REPLACE, "keep": Act.KEEP, "stale": Act.STALE, "refuse": Act.REFUSE}


@pytest.mark.parametrize("line", TABLE, ids=lambda line: f"{line[0].name}-{'-'.join(map(str, line[1:5]))}")
def test_table(line: tuple[object, ...]) -> None:
    stands, mine, covered, rival, same, *acts = line
    situation = Situation(stands, mine, covered, rival, same)  # type: ignore[arg-type]
    assert [decide(situation, exists).act for exists in ("skip", "replace", "fail")] == [
        WORDS[str(one)] for one in acts
    ]


@pytest.mark.parametrize("stands", [Stands.OURS, Stands.FOREIGN], ids=str)
def test_what_the_log_does_not_know_is_made_anew(stands: Stands) -> None:
    situation = Situation(stands, mine=True, same_bytes=True, logged=False)
    assert [decide(situation, exists).act for exists in ("skip", "replace", "fail")] == [
        Act.STALE, Act.REPLACE, Act.REFUSE,
    ]  # fmt: skip


@pytest.mark.parametrize(("stands", "exists"), [*product(Stands, ("skip", "replace", "fail"))], ids=str)
def test_every_situation_has_one_answer_and_a_reason(stands: Stands, exists: str) -> None:
    for mine, covered, rival, same in product((False, True), repeat=4):
        verdict = decide(Situation(stands, mine, covered, rival, same), exists)
        assert bool(verdict.reason) == (verdict.act not in (Act.PUT, Act.REPLACE))
        begins = {Act.KEEP: "unchanged", Act.STALE: "stale"}.get(verdict.act, "")
        assert verdict.reason.startswith(begins)


@pytest.mark.parametrize("exists", ["skip", "replace", "fail"])
def test_what_another_source_left_is_never_replaced(exists: str) -> None:
    for stands, covered, same in product((Stands.OURS, Stands.CHANGED), (False, True), (False, True)):
        assert decide(Situation(stands, False, covered, False, same), exists).act is Act.REFUSE


def made(*holds: str, parts: tuple[str, ...] = ("/in/a",), person: str = "p") -> Made:
    return Made(
        "S/V/A/f",
        "",
        True,
        "",
        "",
        "",
        person,
        "",
        0,
        parts=tuple((part, "") for part in parts),
        holds=frozenset(holds),
    )


@pytest.mark.parametrize(
    ("place", "instances", "person", "same"),
    [
        ("/in/a", "1", "p", True),  # read again
        ("/in/a", "12", "p", True),  # and one more
        ("/in/a", "1", "q", True),  # moved to its right patient
        ("/elsewhere/a", "1", "p", True),  # moved, or copied
        ("/elsewhere/a", "1", "q", False),  # another patient's, with a UID that is none
        ("/in/a", "2", "p", False),  # the next disc at the same place
        ("/in/a", "", "p", False),  # a note in its place
    ],
)
def test_a_source_is_what_it_holds(place: str, instances: str, person: str, same: bool) -> None:
    assert same_source(made("1"), [place], set(instances), person) is same


@pytest.mark.parametrize(
    ("place", "person", "same"), [("/in/a", "p", True), ("/in/a", "q", False), ("/elsewhere/a", "p", False)]
)
def test_without_instances_the_place_tells(place: str, person: str, same: bool) -> None:
    assert same_source(made(), [place], set(), person) is same
