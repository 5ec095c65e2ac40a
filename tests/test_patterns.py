"""Regular expressions of a profile end in time, and mean what Python's do."""

from __future__ import annotations

import pickle
import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fw_gear_deid.model import patterns
from fw_gear_deid.model.errors import Unfit
from fw_gear_deid.model.patterns import BadPattern, compile_pattern
from tests.desk import Desk, instance

SLOW = "(a|aa)+$"
OTHER = "(Z|ZZ)+$"
"""Takes as long on letters that nobody tries."""


def test_a_pattern_that_may_take_for_ever_is_an_error() -> None:
    begin = time.monotonic()
    with pytest.raises(BadPattern, match="it may take for ever; repeat nothing"):
        compile_pattern(SLOW)
    assert time.monotonic() - begin < 20  # forty letters take it some years


def test_one_that_nobody_foresaw_refuses_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patterns, "SECONDS", 0.1)
    with pytest.raises(Unfit, match=r"takes more than 0\.1 seconds") as caught:
        compile_pattern(OTHER).match("Z" * 60 + "!")
    assert "ZZ" not in str(caught.value)


def test_profile_check_tells_the_line(desk: Desk) -> None:
    desk.rules(f"dicom:\n  fields:\n    - regex: '{SLOW}'\n      remove: true\n")
    desk.put({"1.dcm": instance()})
    done = desk.run()
    assert done.code == 2 and "profile.yaml:3" in done.err and "may take for ever" in done.err


@pytest.mark.parametrize("text", ["(", "(?P<a", "[]", "(?P<a>x)(?P<a>y)", "x*+*", r"\p{L}"])
def test_what_python_refuses_is_refused(text: str) -> None:
    try:
        re.compile(text)
    except re.error:
        with pytest.raises(BadPattern):
            compile_pattern(text)


PIECE = st.sampled_from(
    ["a", "b", ".", r"\d", r"\w", "[ab]", "[^a]", "(?:ab|a)", "(?P<x>a)", "(?=a)", "^", "$", r"\.", "é"]
)
EXPRESSION = st.lists(st.tuples(PIECE, st.sampled_from(["", "?", "*", "+", "{1,2}"])), min_size=1, max_size=4)


@given(EXPRESSION, st.text("ab1.é_", max_size=8), st.sampled_from([0, re.IGNORECASE]))
def test_it_matches_as_python_does(pieces: list[tuple[str, str]], text: str, flags: int) -> None:
    expression = "".join(f"{piece}{'' if piece in '^$' else times}" for piece, times in pieces)
    try:
        theirs = re.compile(expression, flags)
        ours = compile_pattern(expression, flags)
    except (re.error, BadPattern):
        return
    for how in ("match", "fullmatch"):
        expected, found = getattr(theirs, how)(text), getattr(ours, how)(text)
        assert (expected is None) == (found is None)
        if expected is not None:
            assert (expected.span(), expected.groupdict()) == (found.span(), found.groupdict())


def test_what_reads_like_something_else_is_refused() -> None:
    with pytest.raises(BadPattern, match="not a clear regular expression"):
        compile_pattern("[[:alpha:]]")


def test_it_travels_and_is_compared_by_what_it_says() -> None:
    one = compile_pattern("(?P<n>a)", re.IGNORECASE)
    again = pickle.loads(pickle.dumps(one))
    assert again == one and hash(again) == hash(one) and again != compile_pattern("(?P<n>a)")
    assert again.match("A").groupdict() == {"n": "A"} and set(again.groupindex) == {"n"}
