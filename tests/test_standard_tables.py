"""Table E.1-1 and the Types of PS3.3: what the files made of them say."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from fw_gear_deid.model.dictionary import tag_of
from fw_gear_deid.standard import tables
from tests import standard

SHARED = Path(__file__).resolve().parents[2] / "shared" / "standards"


def test_codes_of_the_basic_profile_are_as_many_as_the_edition_has() -> None:
    found = Counter(row.basic for row in tables.rows())
    assert found == {
        "X": 411, "D": 92, "U": 55, "Z": 42, "X/D": 22, "X/Z": 11, "X/Z/D": 8, "Z/D": 6, "X/Z/U*": 2,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("option", "codes"),
    {
        "safe-private": {"C": 1},
        "uids": {"K": 60},
        "device": {"K": 48, "C": 11},
        "institution": {"K": 10},
        "patient-characteristics": {"K": 14, "C": 5},
        "full-dates": {"K": 169},
        "modified-dates": {"C": 169},
        "clean-descriptors": {"C": 134},
        "clean-structured-content": {"C": 3},
        "clean-graphics": {"C": 4},
    }.items(),
)
def test_options_have_as_many_codes_as_the_edition_has(option: str, codes: dict[str, int]) -> None:
    found = Counter(row.code_of(option) for row in tables.rows())
    assert {code: number for code, number in found.items() if code} == codes


@pytest.mark.parametrize(
    ("tag", "mask"),
    [(0x00100010, "00100010"), (0x50100103, "50xxxxxx"), (0x60023000, "60xx3000"), (0x601E4000, "60xx4000")],
)
def test_rows_are_found_by_tag_and_mask(tag: int, mask: str) -> None:
    row = tables.row_of(tag)
    assert row is not None and row.mask == mask


@pytest.mark.parametrize("tag", [0x00080060, 0x60020022, 0x60013000, 0x50010010])
def test_what_has_no_row_has_none(tag: int) -> None:
    assert tables.row_of(tag) is None


MR, ENHANCED, SR = "1.2.840.10008.5.1.4.1.1.4", "1.2.840.10008.5.1.4.1.1.4.1", "1.2.840.10008.5.1.4.1.1.88.33"


@pytest.mark.parametrize(
    ("sop_class", "path", "keyword", "kind"),
    [
        (MR, (), "AccessionNumber", "2"),
        (MR, (), "DeviceSerialNumber", "3"),
        (ENHANCED, (), "DeviceSerialNumber", "1"),
        (ENHANCED, ("PerFrameFunctionalGroupsSequence", "FrameContentSequence"), "FrameAcquisitionDateTime", "1C"),
        (MR, (), "VerifyingObserverName", ""),
        (SR, (), "VerifyingObserverSequence", "1C"),
        (SR, ("VerifyingObserverSequence",), "VerifyingObserverName", "1"),
        (SR, ("ContentSequence", "ContentSequence", "ContentSequence"), "PersonName", "1C"),
    ],
)
def test_types_go_by_place(sop_class: str, path: tuple[str, ...], keyword: str, kind: str) -> None:
    way = tuple(tag for step in path if (tag := tag_of(step)))
    tag = tag_of(keyword)
    assert tag is not None and tables.types_of(tables.iod_of(sop_class)).of(way, tag) == kind


def test_every_class_has_an_iod_of_known_modules_but_for_a_few() -> None:
    assert set(tables.sop_classes().values()) <= set(tables.iods())
    assert [iod for iod in tables.iods() if not tables.types_of(iod).whole] == [
        "real-time-audio-waveform",
        "real-time-video-endoscopic-image",
        "real-time-video-photographic-image",
        "waveform-acquisition-presentation-state",
        "waveform-presentation-state",
    ]


@pytest.mark.parametrize("sop_class", ["", "1.2.3", "2.25.1", "ct-image", "12-lead-ecg"])
def test_a_class_of_no_standard_has_no_iod(sop_class: str) -> None:
    assert tables.iod_of(sop_class) == ""


def test_the_file_of_the_table_is_what_its_script_makes() -> None:
    path = SHARED / "ps3_15_table_E1-1_2025c.csv"
    if not path.exists():
        pytest.skip("needs the standard's table")
    made = "\n".join(standard.table(path))
    assert made == Path(tables.__file__).with_name(tables.E1_1).read_text(encoding="utf-8")
    assert f"edition {tables.EDITION}" in made.partition("\n")[0]
