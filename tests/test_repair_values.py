"""Readings that fit by their lengths and make no sense as values are none."""

from __future__ import annotations

import pytest

from fw_gear_deid.formats.dicom.wire import UNDEFINED
from fw_gear_deid.model.errors import Unfit
from tests.dicom_files import header
from tests.test_repair import CONTENT, EXPLICIT, REFERENCED, deid, element, file, item


@pytest.mark.parametrize(("tag", "value"), [(0x00280002, b"ab"), (0x00181030, b"abcd"), (0x00181030, b"ab\0\0")])
def test_a_value_that_may_be_of_its_vr_is_read(tag: int, value: bytes) -> None:
    rows, _ = deid(file(element(tag, b"??", value)))
    assert rows == [f"({tag >> 16:04X},{tag & 0xFFFF:04X}) repaired: VR that does not exist"]


@pytest.mark.parametrize(
    ("tag", "value"), [(0x00280002, b"abc"), (0x00280009, b"abcdef"), (0x00181030, b"a\0bc"), (0x00189073, b"1234567")]
)
def test_a_value_that_is_none_of_its_vr_is_not(tag: int, value: bytes) -> None:
    with pytest.raises(Unfit, match="has no known VR"):
        deid(file(element(tag, b"??", value)))


def test_a_delimiter_of_a_sequence_may_tell_a_length() -> None:
    data = header(REFERENCED, "SQ", UNDEFINED, EXPLICIT) + item(CONTENT) + b"\xfe\xff\xdd\xe0\x08\0\0\0"
    assert deid(file(data))[0] == ["(0008,1140)(FFFE,E0DD) repaired: delimiter with a length"]
