"""Actions: the cases of tests/vectors/actions, and what draws from the keyring promise."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from fw_gear_deid import actions
from fw_gear_deid.actions.dates import Shift
from fw_gear_deid.ciphers import Ciphers
from fw_gear_deid.keys import Keyring
from fw_gear_deid.model.action import Action, At, Gone
from fw_gear_deid.model.errors import Unfit
from fw_gear_deid.model.legal import problem
from fw_gear_deid.profile.parse import parse_profile
from fw_gear_deid.profile.text.problems import ProfileError
from fw_gear_deid.profile.values.variables import keys_in

FOLDER = Path(__file__).parent / "vectors" / "actions"
TODAY = date(2020, 6, 15)
EXAMPLES = settings(derandomize=True, database=None, deadline=None, max_examples=60)
KEYS = {
    "name",
    "options",
    "part",
    "section",
    "field",
    "value",
    "vr",
    "others",
    "draw",
    "expect",
    "gone",
    "error",
    "source",
}


def cases() -> Iterator[Any]:
    for path in sorted(FOLDER.glob("*.yaml")):
        text = path.read_text(encoding="utf-8")
        as_text = yaml.load(text, Loader=yaml.BaseLoader)  # every value as written
        for typed, plain in zip(yaml.safe_load(text), as_text, strict=True):
            case = plain | {key: typed.get(key, {}) for key in ("section", "field")}
            case["options"] = typed.get("options", {path.stem: True})
            if path.stem not in case["options"] and case["options"] and "identity" not in case["options"]:
                case["options"] = {path.stem: True} | case["options"]
            yield pytest.param(case, id=f"{path.stem}-{case['name']}")


def build(case: dict[str, Any]) -> Action:
    entry = (case["field"] or {"regex": "."}) | case["options"]
    return parse_profile(written(case, entry), "case.yaml").rules[0].action


def written(case: dict[str, Any], entry: dict[str, Any]) -> str:
    return json.dumps({case.get("part", "dicom"): case["section"] | {"fields": [entry]}})


@dataclass(frozen=True)
class Fixed:
    """A key that draws one number, and seals by 32 times the letter k."""

    number: int

    def __call__(self, purpose: str) -> int:
        return self.number

    def seal(self, kind: str, text: str) -> bytes:
        return Keyring(b"k" * 32).seal(kind, text)


def surroundings(case: dict[str, Any]) -> At:
    others = case.get("others", {})
    number = int(case.get("draw", 0))
    cipher = Ciphers({name: key.encode() for name, key in keys_in(written(case, {})).items()})
    return At(case.get("vr", "LO"), Fixed(number), TODAY, lambda name: others.get(name, ""), cipher=cipher)


def as_texts(value: str | list[str]) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else tuple(value)


@pytest.mark.parametrize("case", list(cases()))
def test_case(case: dict[str, Any]) -> None:
    assert case.keys() <= KEYS
    assert case["source"]
    assert len({"expect", "gone", "error"} & case.keys()) == 1
    if "error" in case:
        with pytest.raises((ProfileError, Unfit)) as caught:
            build(case)(as_texts(case["value"]), surroundings(case))
        assert case["error"] in str(caught.value)
        if isinstance(caught.value, Unfit) and case["value"]:
            assert not any(text in str(caught.value) for text in as_texts(case["value"]))
        return
    result = build(case)(as_texts(case["value"]), surroundings(case))
    if "gone" in case:
        assert isinstance(result, Gone)
    else:
        assert result == as_texts(case["expect"])
        assert not isinstance(result, Gone)
        assert not [problem(text, case.get("vr", "LO")) for text in result if problem(text, case.get("vr", "LO"))]


def test_every_action_has_cases() -> None:
    assert {path.stem for path in FOLDER.glob("*.yaml")} == actions.ACTIONS.keys() - {"identity"}


# -- draws -----------------------------------------------------------------------------------------------

KEYRINGS = [Keyring(bytes([number]) * 32) for number in range(3)]
JITTER = actions.Jitter("PatientWeight", 5, whole=True)
MOVE = actions.IncrementDate(Shift(0, 1000))


def at(keyring: Keyring, subject: str, vr: str = "IS") -> At:
    return At(vr, keyring.draw(subject), TODAY, lambda name: "")


def drawn(action: Action, text: str, keyring: Keyring, subject: str, vr: str = "IS") -> str:
    result = action((text,), at(keyring, subject, vr))
    assert not isinstance(result, Gone)
    return result[0]


@pytest.mark.parametrize(("action", "text"), [(JITTER, "100"), (MOVE, "20200229")], ids=["jitter", "jitter-date"])
def test_one_draw_per_subject_in_every_file_and_process(action: Action, text: str) -> None:
    again = Keyring(KEYRINGS[0].secret)
    assert drawn(action, text, KEYRINGS[0], "sub-1") == drawn(action, text, again, "sub-1")


@pytest.mark.parametrize(("action", "text"), [(JITTER, "100"), (MOVE, "20200229")], ids=["jitter", "jitter-date"])
def test_draws_differ_between_subjects_and_keys(action: Action, text: str) -> None:
    by_subject = {drawn(action, text, KEYRINGS[0], f"sub-{number}") for number in range(40)}
    by_key = {drawn(action, text, Keyring(bytes([number]) * 32), "sub-1") for number in range(40)}
    assert min(len(by_subject), len(by_key)) >= 8


def test_fields_draw_apart_and_dates_together() -> None:
    height = actions.Jitter("PatientSize", 5, whole=True)
    subjects = [f"sub-{number}" for number in range(20)]
    weights = [drawn(JITTER, "100", KEYRINGS[0], subject) for subject in subjects]
    assert weights != [drawn(height, "100", KEYRINGS[0], subject) for subject in subjects]
    exact = actions.IncrementDatetime(Shift(0, 1000))
    assert {
        drawn(MOVE, "20200229", KEYRINGS[0], subject) == drawn(exact, "20200229", KEYRINGS[0], subject, "DT")
        for subject in subjects
    } == {True}


@pytest.mark.parametrize(
    ("field", "options", "purpose"),
    [
        ("PatientWeight", {"jitter": True}, "jitter PatientWeight 2 False"),
        ("PatientWeight", {"jitter": True, "jitter-range": 2}, "jitter PatientWeight 2.0 False"),
        ("PatientSize", {"jitter": True, "jitter-type": "int"}, "jitter PatientSize 2 True"),
        ("StudyDate", {"jitter": True}, "jitter-date 2 days"),
        ("StudyDate", {"increment-date": True, "jitter-date": True}, "jitter-date 10 days"),
        (
            "StudyDate",
            {"increment-date": True, "jitter-date": True, "jitter-range": 3, "jitter-unit": "weeks"},
            "jitter-date 3 weeks",
        ),
    ],
)
def test_purposes_stay(field: str, options: dict[str, Any], purpose: str) -> None:
    """They decide what is drawn: with other words the same key would move everything elsewhere."""
    asked: list[str] = []

    def draw(what: str) -> int:
        asked.append(what)
        return 0

    action = build({"field": {"name": field}, "section": {"date-increment": 5}, "options": options})
    value = "20200229" if field == "StudyDate" else "100"
    action((value,), At("DS", draw, TODAY, lambda name: ""))
    assert asked == [purpose]


@EXAMPLES
@given(number=st.integers(0, 2**256 - 1), reach=st.integers(1, 50), value=st.integers(-(10**9), 10**9))
def test_whole_jitter_is_never_zero_and_within_reach(number: int, reach: int, value: int) -> None:
    there = At("IS", lambda purpose: number, TODAY, lambda name: "")
    (text,) = actions.Jitter("x", reach, whole=True)((str(value),), there)
    assert 0 < abs(int(text) - value) <= reach


@EXAMPLES
@given(
    number=st.integers(0, 2**256 - 1),
    reach=st.floats(0.01, 50),
    value=st.decimals(-1000, 1000, places=2),
    vr=st.sampled_from(["DS", "IS", "FD"]),
)
def test_real_jitter_is_never_zero_and_legal(number: int, reach: float, value: Any, vr: str) -> None:
    there = At(vr, lambda purpose: number, TODAY, lambda name: "")
    before = str(int(value)) if vr == "IS" else str(value)
    (text,) = actions.Jitter("x", reach)((before,), there)
    assert float(text) != float(before)
    assert abs(float(text) - float(before)) <= reach + (1 if vr == "IS" else 1e-6)  # IS is cut to a whole number
    assert not problem(text, vr)


@EXAMPLES
@given(
    days=st.integers(-40000, 40000),
    first=st.dates(date(1900, 1, 1), date(2100, 1, 1)),
    second=st.dates(date(1900, 1, 1), date(2100, 1, 1)),
    subject=st.text(min_size=1, max_size=5),
)
def test_intervals_are_kept(days: int, first: date, second: date, subject: str) -> None:
    action = actions.IncrementDate(Shift(days, 30))
    moved = [
        datetime.strptime(drawn(action, day.strftime("%Y%m%d"), KEYRINGS[0], subject, "DA"), "%Y%m%d").date()  # noqa: DTZ007
        for day in (first, second)
    ]
    assert moved[1] - moved[0] == second - first
    assert moved[0] - first != timedelta(days=days), "jitter-date is never 0"


@EXAMPLES
@given(
    parts=st.lists(st.integers(0, 10**14), min_size=1, max_size=5),
    prefix=st.integers(0, 8),
    suffix=st.integers(0, 3),
    salt=st.text(max_size=5),
)
def test_hashuid_makes_other_legal_uids(parts: list[int], prefix: int, suffix: int, salt: str) -> None:
    uid = ".".join(map(str, parts))[:64].rstrip(".")
    action = actions.HashUid(prefix, suffix, salt=salt)
    try:
        (result,) = action((uid,), at(KEYRINGS[0], "x", "UI"))
    except Unfit:
        return
    assert not problem(result, "UI")
    assert result != uid
    assert action((uid,), at(KEYRINGS[1], "y", "UI")) == (result,), "a hash needs no key"
    assert actions.HashUid(prefix, suffix, salt=salt + "x")((uid,), at(KEYRINGS[0], "x", "UI")) != (result,)
