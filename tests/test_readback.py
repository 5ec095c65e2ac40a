"""What is asked of results of formats that are read whole, each question by itself."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from fw_gear_deid.formats.row import Changes, Field
from fw_gear_deid.model.action import DIFFERS, EQUALS, GONE, REMOVE
from fw_gear_deid.model.errors import Unfit
from fw_gear_deid.model.patterns import Pattern
from fw_gear_deid.model.selectors import KeyAt, KeysAt
from fw_gear_deid.verify.readback import Held, check


class Listed:
    """Fields as a codec lists them."""

    def __init__(self, *fields: Field) -> None:
        self.fields: Sequence[Field] = fields

    def find(self, name: str) -> Sequence[int]:
        return [number for number, one in enumerate(self.fields) if one.name == name]


def one(name: str, *texts: str, holds: int = -1) -> Field:
    return Field(name, f"$.{name}", texts, holds)


A, B, C = one("a", "1"), one("b", "2"), one("c", "3")
GROUP = one("g", holds=2)
SOURCE = Listed(A, B, C)
HELD = {
    GONE: Held(KeyAt("b"), GONE, (), "p.yaml:1"), EQUALS: Held(KeyAt("b"), EQUALS, ("9",), "p.yaml:1"),
    DIFFERS: Held(KeysAt(Pattern("b")), DIFFERS, (), "p.yaml:1"),
}  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "texts", "result"),
    [
        (GONE, {1: REMOVE}, (A, C)),
        (EQUALS, {1: ("9",)}, (A, one("b", "9"), C)),
        (DIFFERS, {1: ("x",)}, (A, one("b", "x"), C)),
    ],
)
def test_a_promise_that_is_kept(kind: str, texts: dict[int, object], result: tuple[Field, ...]) -> None:
    check(SOURCE, Listed(*result), Changes(texts, {}), [HELD[kind]])  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("kind", "texts", "result", "why"),
    [
        # the change was not even asked for, and the result agrees with what was
        (GONE, {}, (A, B, C), "p.yaml:1: the field is not gone"),
        (EQUALS, {}, (A, B, C), "p.yaml:1: the field is not what the rule sets"),
        (EQUALS, {1: ("8",)}, (A, one("b", "8"), C), "p.yaml:1: the field is not what the rule sets"),
        (DIFFERS, {}, (A, B, C), "p.yaml:1: the field is not different from the source"),
        # it was asked for, and is not in the result
        (GONE, {1: REMOVE}, (A, B, C), "the result holds more fields than it should"),
        (EQUALS, {1: ("9",)}, (A, B, C), "p.yaml:1: a field of the result is not what it should be"),
    ],
)
def test_a_promise_that_is_not(kind: str, texts: dict[int, object], result: tuple[Field, ...], why: str) -> None:
    with pytest.raises(Unfit, match=why):
        check(SOURCE, Listed(*result), Changes(texts, {}), [HELD[kind]])  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "result",
    [
        (A, B),
        (A, C, B),
        (A, B, one("d", "3")),
        (A,),
        (),
        (A, B, C, C),
        (A, one("b", "2", "2"), C),
        (A, one("b", "3"), C),
    ],
)
def test_fields_that_nobody_asked_to_change(result: tuple[Field, ...]) -> None:
    with pytest.raises(Unfit, match=r"the result|a field of the result"):
        check(SOURCE, Listed(*result), Changes({}, {}), [])


def test_a_group_goes_with_all_that_is_in_it() -> None:
    source = Listed(A, GROUP, B, C)
    check(source, Listed(A), Changes({1: REMOVE, 2: REMOVE, 3: REMOVE}, {}), [])
    for texts in ({1: REMOVE}, {1: REMOVE, 2: REMOVE}, {1: ("x",)}):
        left = Listed(*(field for number, field in enumerate(source.fields) if number not in texts))
        with pytest.raises(Unfit, match="a group goes and a field in it does not"):
            check(source, left, Changes(texts, {}), [])  # type: ignore[arg-type]


def test_what_a_rule_makes_is_there() -> None:
    made = Changes({}, {"n": ("new",)})
    check(SOURCE, Listed(A, B, C, one("n", "new")), made, [])
    for result in ((A, B, C), (A, B, C, one("n", "other"))):
        with pytest.raises(Unfit, match="the result does not hold what a rule makes"):
            check(SOURCE, Listed(*result), made, [])
