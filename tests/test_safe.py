"""Safe private attributes: by creator, in any block, nested; and that the file is what its sources say."""

from __future__ import annotations

import io
from datetime import date
from pathlib import Path

import pydicom
import pytest

from fw_gear_deid.deid import Context, Result, deidentify
from fw_gear_deid.keys import Keyring
from fw_gear_deid.profile.parse import parse_profile
from fw_gear_deid.standard import safe
from tests import safe as made
from tests.desk import instance

STANDARDS = Path(__file__).resolve().parents[2] / "shared" / "standards"
PROFILE = "dicom: {ps3-15: {profile: basic, options: [safe-private]}, fields: [{requires: fw-gear-deid}]}"


@pytest.mark.parametrize(
    ("creator", "group", "element", "expected"),
    [
        ("SIEMENS MR HEADER", 0x0019, 0x0C, True),  # b value
        ("SIEMENS MR HEADER", 0x0019, 0x110C, True),  # whichever block
        ("siemens mr header", 0x0019, 0x0C, False),
        ("SIEMENS MR HEADER", 0x0029, 0x0C, False),
        ("GEMS_PARM_01", 0x0043, 0x39, True),
        ("GEMS_ACQU_01", 0x0019, 0x9C, True),  # pulse sequence name: a converter reads it
        ("Philips Imaging DD 001", 0x2001, 0x6D, False),  # the curators delete what the standard keeps
        ("Philips Imaging DD 001", 0x2001, 0x04, True),  # they keep it somewhere
        ("CTP", 0x0013, 0x12, False),  # site name, which they keep
        ("FDMS 1.0", 0x0009, 0x92, False),  # department
        ("SIEMENS CSA HEADER", 0x0029, 0x10, False),  # bytes
        ("", 0x0019, 0x0C, False),
    ],
)
def test_what_is_safe(creator: str, group: int, element: int, expected: bool) -> None:
    assert safe.is_safe(creator, group, element) is expected


def test_no_safe_element_is_a_name_or_a_date_the_standard_does_not_list() -> None:
    vrs = {
        safe.vr_of(creator, group, element)
        for creator in safe.creators()
        for group, element in safe._elements()[creator]
    }
    assert vrs <= {"", *made.NUMBERS, "LO", "SH", "ST", "OB"}  # the last two by the standard's list


def test_file_is_what_its_sources_say() -> None:
    if not STANDARDS.is_dir():
        pytest.skip("the sources are not here")
    paths = [next(STANDARDS.glob("ps3_15_table_E3.10-1*")), next(STANDARDS.glob("tcia_private_tag_kb*"))]
    text = (Path(safe.__file__).with_name(safe.SAFE)).read_text("utf-8")
    assert text == "\n".join(made.lines(paths)) + "\n"


@pytest.mark.parametrize("block", [0x10, 0x11, 0xE0])
@pytest.mark.parametrize("deep", [False, True])
def test_safe_elements_stay_in_any_block_and_depth(tmp_path: Path, block: int, deep: bool) -> None:
    ds = pydicom.dcmread(io.BytesIO(instance("P1", PatientName="Doe^Jane")))
    at = ds
    if deep:
        ds.AnatomicRegionSequence = [pydicom.Dataset()]
        at = ds.AnatomicRegionSequence[0]
        at.CodeValue, at.CodingSchemeDesignator, at.CodeMeaning = "T-A0100", "SRT", "Brain"
    at.add_new(0x00190000 | block, "LO", "SIEMENS MR HEADER")
    at.add_new(0x00190000 | block << 8 | 0x0C, "IS", "1000")
    at.add_new(0x00190000 | block << 8 | 0x0D, "CS", "DIRECTIONAL")
    at.add_new(0x00190000 | block << 8 | 0x77, "LO", "Doe")
    at.add_new(0x00510000 | block, "LO", "SIEMENS MR HEADER")
    at.add_new(0x00510000 | block << 8 | 0x11, "LO", "p2 Jane")
    stream = io.BytesIO()
    ds.save_as(stream)
    (tmp_path / "in").write_bytes(stream.getvalue())
    ctx = Context(parse_profile(PROFILE, "p.yaml"), Keyring(b"k" * 32), "id:1", date(2026, 1, 1), "strict")
    done = deidentify(tmp_path / "in", "1.dcm", ctx, tmp_path / "out")
    assert isinstance(done, Result), done
    result = pydicom.dcmread(tmp_path / "out")
    if deep:
        result = result.AnatomicRegionSequence[0]
    assert result[0x00190000 | block << 8 | 0x0C].value == 1000
    assert result[0x00190000 | block << 8 | 0x0D].value == "DIRECTIONAL"
    assert 0x00190000 | block << 8 | 0x77 not in result
    assert "Jane" not in str(result)
