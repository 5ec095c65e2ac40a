"""Dates and numbers that are to move: what is drawn changes them, one shift holds for a patient, and the check asks."""

from __future__ import annotations

import csv
import json
from collections import Counter
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom import dcmread

from fw_gear_deid.actions.shift import UNITS, Shift
from fw_gear_deid.deid.container import deidentify_container
from fw_gear_deid.keys import Keyring
from fw_gear_deid.model.action import At
from fw_gear_deid.model.container import ContainerRecord
from fw_gear_deid.model.errors import Unfit
from fw_gear_deid.profile.parse import parse_profile
from tests.desk import Desk, instance
from tests.dicom_files import SYNTAXES, Leaf
from tests.dicom_files import part10 as built
from tests.test_verify_rules import context, unchanged

EXAMPLES = settings(derandomize=True, database=None, deadline=None, max_examples=200)
DAY = timedelta(days=1)
TODAY = date(2026, 1, 1)
RULES = """dicom:
  date-increment: {days}
  fields:
    - {{name: PatientName, remove: true}}
    - {{name: PatientID, hash: true}}
    - {{name: StudyDate, increment-date: true, {jitter}}}
    - {{name: AcquisitionDateTime, increment-datetime: true, {jitter}}}
"""


def at(number: int) -> At:
    return At("DA", lambda purpose: number, TODAY, lambda name: "")


@EXAMPLES
@given(
    days=st.integers(-30, 30) | st.floats(-3, 3, allow_nan=False).map(lambda one: round(one, 3)),
    reach=st.integers(1, 60),
    unit=st.sampled_from(UNITS),
    number=st.integers(0, 2**256 - 1),
)
def test_what_is_drawn_moves_a_date_where_one_can(days: float, reach: int, unit: str, number: int) -> None:
    shift, step = Shift(days, reach, unit), timedelta(**{unit: 1})
    fixed = timedelta(days=days)
    steps = [one for one in range(-reach, reach + 1) if one]
    moving = [one for one in steps if (fixed + one * step) // DAY] or [one for one in steps if fixed + one * step]
    drawn = (shift.delta(at(number)) - fixed) / step
    assert drawn in moving
    first = number % (2 * reach)
    first = first - reach if first < reach else first - reach + 1
    assert first not in moving or drawn == first, "what moved before moves as it did"
    assert shift.moves_dates == any((fixed + one * step) // DAY for one in moving)


@pytest.mark.parametrize(
    ("days", "reach", "unit"), [(10, 10, "days"), (0, 5, "hours"), (-1, 30, "hours"), (7, 2, "weeks")]
)
def test_of_200_subjects_none_keeps_a_date(days: int, reach: int, unit: str) -> None:
    shift = Shift(days, reach, unit)
    keyring = Keyring(b"k" * 32)
    moved = [shift.delta(At("DA", keyring.draw(f"sub-{n}"), TODAY, lambda name: "")) for n in range(200)]
    assert not [one for one in moved if one // DAY == 0]
    steps = Counter(moved)
    assert len(steps) >= min(reach, 4) and max(steps.values()) < 200 / len(steps) * 2.5, "spread evenly"


@pytest.mark.parametrize("jitter", ["jitter-date: true", "jitter-date: true, jitter-range: 5, jitter-unit: hours"])
def test_all_of_a_patient_moves_by_one_shift(jitter: str, tmp_path: Path) -> None:
    """Dates, date-times and the container's moment; of 40 patients none keeps a day."""
    desk = Desk(tmp_path)
    text = RULES.format(days=0, jitter=jitter)
    desk.rules(text)
    day = {"StudyDate": "20200229", "AcquisitionDateTime": "20200229134501.000000"}
    desk.put({f"S{n}/V/A/1.dcm": instance(f"P{n}", **day) for n in range(40)})
    done = desk.run()
    assert done.code == 0, done.err
    flywheel = f"flywheel:\n  date-increment: 0\n  session:\n    fields:\n      - {{name: timestamp, increment-datetime: true, {jitter}}}\n"
    section = parse_profile(text + flywheel, "p.yaml").flywheel
    found = [dcmread(path) for path in sorted(desk.dest.rglob("*.dcm"))]
    assert len(found) == 40
    for ds in found:
        clock = datetime.strptime(f"{ds.AcquisitionDateTime}+0000", "%Y%m%d%H%M%S.%f%z")
        delta = clock - datetime(2020, 2, 29, 13, 45, 1, tzinfo=UTC)
        assert (datetime(2020, 2, 29, tzinfo=UTC) + delta).strftime("%Y%m%d") == ds.StudyDate != "20200229"
    draw = Keyring(b"k" * 32).draw("P1")
    record = ContainerRecord("session", "1", "L", {"timestamp": "2020-02-29T13:45:01+00:00"})
    clean = deidentify_container(record, section, draw, TODAY)
    (moved,) = parse_profile(text, "p.yaml").dicom.rules[3].action(("20200229134501",), At("DT", draw, TODAY, str))  # type: ignore[union-attr]
    assert str(clean.fields["timestamp"]).replace("-", "").replace("T", "").replace(":", "")[:14] == moved[:14]


# -- what the check of a profile says --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("entry", "days", "told"),
    [
        ("{name: StudyDate, increment-date: true}", 0, "less than a day"),
        ("{name: StudyDate, increment-date: true}", 0.5, "less than a day"),
        ("{name: StudyDate, increment-date: true}", -0.5, ""),  # half a day earlier is the day before
        ("{name: StudyDate, increment-date: true, jitter-date: true, jitter-unit: hours}", 0.2, ""),
        ("{name: StudyDate, increment-date: true, jitter-date: true, jitter-unit: hours, jitter-range: 2}", 0.5, "less than"),
        ("{name: AcquisitionDateTime, increment-datetime: true}", 0.5, ""),
        ("{name: AcquisitionDateTime, increment-datetime: true}", 0, "less than a day"),
        ("{name: StudyTime, increment-date: true, date-format: '%H%M%S.%f'}", 3, "a time of day stays"),
        ("{name: StudyTime, increment-date: true, date-format: '%H%M%S.%f'}", 0.3, ""),
        ("{name: InstanceNumber, jitter: true, jitter-min: 3, jitter-max: 3}", 0, "leave no room"),
        ("{name: InstanceNumber, jitter: true, jitter-min: 3, jitter-max: 4}", 0, ""),
    ],
)  # fmt: skip
def test_a_profile_is_warned_of_what_cannot_change(entry: str, days: float, told: str) -> None:
    profile = parse_profile(f"dicom:\n  date-increment: {days}\n  fields:\n    - {entry}\n", "p.yaml")
    words = ("less than a day", "a time of day stays", "leave no room")
    warned = [one.message for one in profile.warnings if any(word in one.message for word in words)]
    assert bool(told) == bool(warned) and all(told in one for one in warned)


# -- what the check of a result asks ---------------------------------------------------------------------------

SOURCE = (
    Leaf(0x00080016, "UI", b"1.2.840.10008.5.1.4.1.1.4\0"),
    Leaf(0x00080018, "UI", b"1.2.3.4\0"),
    Leaf(0x00080020, "DA", b"20200229"),
    Leaf(0x0008002A, "DT", b"20200229134501"),
    Leaf(0x00080030, "TM", b"134501"),
    Leaf(0x00101030, "DS", b"70.5"),
    Leaf(0x0040A120, "DT", b"2020"),
)


@pytest.mark.parametrize(
    ("fields", "noticed"),
    [
        ("    - {name: StudyDate, increment-date: true, date-increment-override: 5}\n", True),
        ("    - {name: AcquisitionDateTime, increment-datetime: true, date-increment-override: -0.1}\n", True),
        ("    - {name: StudyDate, jitter: true}\n", True),
        ("    - {name: PatientWeight, jitter: true}\n", True),
        ("    - {name: PatientWeight, jitter: true, jitter-min: 70.5, jitter-max: 70.5}\n", False),
        ("    - {name: DateTime, increment-datetime: true, date-increment-override: 5}\n", False),  # a year alone
        ("    - {name: StudyDate, increment-date: true, date-increment-override: 0.5}\n", False),
        ("    - {name: StudyDate, increment-date: true, date-increment-override: -5, datetime-min: '20200229'}\n", False),
        ("    - {name: StudyTime, increment-date: true, date-increment-override: 5, date-format: '%H%M%S'}\n", False),
    ],
)  # fmt: skip
def test_a_value_that_did_not_move_is_noticed(fields: str, noticed: bool) -> None:
    data = built(SOURCE, SYNTAXES["explicit"])
    if not noticed:
        unchanged(data, context(fields))
        return
    with pytest.raises(Unfit, match="is not another value"):
        unchanged(data, context(fields))


def test_rules_that_move_there_and_back_refuse_nothing(tmp_path: Path) -> None:
    """Where several rules speak of a place, what one does another may undo: that is the profile's."""
    desk = Desk(tmp_path)
    desk.rules(
        "dicom:\n  fields:\n"
        "    - {name: StudyDate, increment-date: true, date-increment-override: 5}\n"
        "    - {name: '(0008,0020)', increment-date: true, date-increment-override: -5}\n"
    )
    desk.put({"S/V/A/1.dcm": instance(StudyDate="20200229")})
    assert desk.run().code == 0
    assert dcmread(next(desk.dest.rglob("*.dcm"))).StudyDate == "20200229"


def test_a_json_file_that_did_not_move_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    desk = Desk(tmp_path)
    desk.rules(
        "json:\n  date-increment: 3\n  fields:\n    - {name: when, increment-date: true}\n    - {name: keep, keep: true}\n"
    )
    desk.put({"S/V/A/1.json": json.dumps({"when": "2020-02-29", "keep": 1})})
    assert desk.run().code == 0
    assert json.loads(next(desk.dest.rglob("*.json")).read_text())["when"] == "2020-03-03"
    monkeypatch.setattr(Shift, "delta", lambda self, at: timedelta(0))
    assert desk.run("--exists", "replace", dest=tmp_path / "other").code == 1
    (row,) = csv.DictReader(
        (tmp_path / "other-report" / "private" / "files.csv").read_text(encoding="utf-8-sig").splitlines()
    )
    assert "is not another value" in row["reason"]
