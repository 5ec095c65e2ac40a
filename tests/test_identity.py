"""Whose draws a file gets that nobody has told a subject for: those of the patient in it, or none."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from pathlib import Path

import pytest

from fw_gear_deid.deid import Context, Result, deidentify
from fw_gear_deid.deid.identity import Watch
from fw_gear_deid.keys import Keyring
from fw_gear_deid.model.errors import Unfit
from fw_gear_deid.profile.parse import parse_profile
from tests.desk import instance, packed, plain

PROFILE = (
    "dicom:\n  date-increment: 0\n  fields:\n    - name: StudyDate\n      increment-date: true\n"
    "      jitter-date: true\n      jitter-range: 20000\n"
)
DAY = "20200101"


def moved(tmp_path: Path, members: Mapping[str, bytes], *, strict: bool = True, person: str | None = None) -> list[str]:
    """De-identify an archive without a subject; return the dates of its members."""
    (tmp_path / "in").write_bytes(packed(members))
    profile = parse_profile(PROFILE, "p.yaml")
    watch = Watch(by_id=True, strict=strict)
    ctx = Context(profile, Keyring(b"k" * 32), person, date(2026, 1, 1), "strict", watch=watch)
    assert isinstance(deidentify(tmp_path / "in", "x.zip", ctx, tmp_path / "out"), Result)
    data = plain((tmp_path / "out").read_bytes())
    found = [data[at + 8 : at + 16].decode() for at in range(len(data)) if data[at : at + 6] == b"\x08\0\x20\0DA"]
    assert len(found) == len(members) and DAY not in found
    return found


def one(patient: str, number: int = 1) -> bytes:
    return instance(patient, number=number, StudyDate=DAY)


def test_patients_have_offsets_of_their_own(tmp_path: Path) -> None:
    dates = [moved(tmp_path, {"1": one(patient)})[0] for patient in ("A", "B", "C", "A")]
    assert dates[0] == dates[3] and len(set(dates)) == 3


def test_a_given_subject_goes_before_the_patient(tmp_path: Path) -> None:
    dates = [moved(tmp_path, {"1": one(patient)}, person="S")[0] for patient in ("A", "B")]
    assert dates[0] == dates[1] != moved(tmp_path, {"1": one("A")})[0]


def test_without_an_id_nothing_is_drawn(tmp_path: Path) -> None:
    for patient in ("", "UNKNOWN", "0"):
        with pytest.raises(Unfit, match="PatientID"):
            moved(tmp_path, {"1": one(patient)})


def test_two_patients_that_are_only_warned_of_share_no_draws(tmp_path: Path) -> None:
    alone = [moved(tmp_path, {"1": one(patient)})[0] for patient in ("A", "B")]
    assert moved(tmp_path, {"1": one("A"), "2": one("B", 2)}, strict=False) == alone
    given = moved(tmp_path, {"1": one("A"), "2": one("B", 2)}, strict=False, person="S")
    assert given[0] != given[1], "the second one is not the subject"
    with pytest.raises(Unfit):
        moved(tmp_path, {"1": one("A"), "2": one("B", 2)})


def test_thousands_of_people_have_stamps_of_their_own() -> None:
    ring = Keyring(b"k" * 32)
    stamps = {ring.stamp("id", str(number)) for number in range(2000)}
    assert len(stamps) == 2000 and {len(one) for one in stamps} == {32}
