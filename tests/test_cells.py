"""Text in cells and lines: nothing invisible, no formula, and the exact text comes back."""

from __future__ import annotations

import csv
import io
import json
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fw_gear_deid.model.cells import cell, exact, shown, to_json

NASTY = st.text(
    st.one_of(
        st.sampled_from("\\xuU'=+-@\t\r\n \u202e\u2066\u200f\u0085\x1b\ufeff\uff1d0123456789abcdefABCDEF"),
        st.characters(),  # halves of pairs, too
    )
)
TRAPS = (
    "=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "'=1", "''+1", "'it", " =1", "\uff1d1", "\\x1b", "\\\x1b", "\\x4\n",
    "\\x5cx41", "\\u202e", "\\U0001f600", "\\\\x41", "A\\B", "\\", "\\x", "\\X41", "\x9b31m", "a\u2028b", "\udcff", "",
)  # fmt: skip


@given(NASTY)
def test_the_exact_text_comes_back(text: str) -> None:
    assert exact(cell(text)) == text


@pytest.mark.parametrize("text", TRAPS)
def test_traps_come_back(text: str) -> None:
    assert exact(cell(text)) == text


@given(NASTY)
def test_cells_are_visible_and_no_formulas(text: str) -> None:
    written = cell(text)
    assert not any(unicodedata.category(char) in ("Cc", "Cf", "Cs", "Zl", "Zp") for char in written)
    assert not written.lstrip().startswith(tuple("=+-@\uff1d\uff0b\uff0d\uff20"))
    assert written.splitlines() in ([written], [])


@given(st.lists(NASTY, min_size=1))
def test_a_row_survives_csv_and_back(row: list[str]) -> None:
    out = io.StringIO(newline="")
    csv.writer(out).writerow([cell(text) for text in row])
    again = next(csv.reader(io.StringIO(out.getvalue(), newline="")))
    assert [exact(text) for text in again] == row


def test_usual_values_stand_as_they_are() -> None:
    for text in ("ORIGINAL\\PRIMARY\\AXIAL", "1.5\\2", "Müller^Jörg", "東京 花子", "it's", "(removed)", "C:\\xray\\in"):
        assert cell(text) == shown(text) == text


@given(st.dictionaries(NASTY, NASTY))
def test_json_is_visible_and_exact(value: dict[str, str]) -> None:
    written = to_json(value)
    assert json.loads(written) == json.loads(json.dumps(value))
    assert not any(char != "\n" and unicodedata.category(char) in ("Cc", "Cf", "Cs", "Zl", "Zp") for char in written)
