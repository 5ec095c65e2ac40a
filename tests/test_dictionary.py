"""The DICOM dictionaries: what is shipped is what the installed pydicom knows."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import pytest
from pydicom import datadict
from pydicom._dicom_dict import DicomDictionary, RepeatersDictionary
from pydicom._private_dict import private_dictionaries

from fw_gear_deid.model import dictionary
from tests import dictionaries

_CHOICES = {"OB or OW": "OW", "OB_OW": "OW", "US or SS": "US", "US or OW": "OW", "US or SS or OW": "OW", "NONE": "UN"}


@pytest.mark.parametrize("name", dictionaries.TABLES)
def test_tables_are_those_of_the_installed_pydicom(name: str) -> None:
    shipped = (Path(dictionary.__file__).parent / name).read_text(encoding="utf-8")
    made = dictionaries.table(dictionaries.TABLES[name]())
    assert shipped == made, "pydicom has other tables: 'make dictionaries', and see what of results changes"


def places(mask: str, digits: str = "0129AF") -> list[int]:
    """Return tags that a mask stands for, the same digit in all its places."""
    return [int(mask.replace("x", digit), 16) for digit in digits]


def test_public_elements() -> None:
    repeating = [tag for mask in RepeatersDictionary for tag in places(mask)]
    beside = [tag ^ other for tag, other in product([*DicomDictionary, *repeating], (1, 0x100, 0x20000))]
    asked = {tag for tag in [*DicomDictionary, *repeating, *beside] if not tag >> 16 & 1}
    for tag in asked:
        try:
            vr, keyword = datadict.dictionary_VR(tag), datadict.dictionary_keyword(tag)
        except KeyError:
            vr, keyword = None, ""
        if tag & 0xFFFF:
            assert dictionary.public_vr(tag) == _CHOICES.get(vr, vr), f"{tag:08X}"
        assert dictionary.keyword_of(tag) == keyword, f"{tag:08X}"


def test_private_elements_are_no_public_ones() -> None:
    assert dictionary.public_vr(0x00191010) is None
    assert dictionary.keyword_of(0x00191010) == ""


def test_private_elements() -> None:
    for creator, entries in private_dictionaries.items():
        assert dictionary.knows_creator(creator)
        for tag in {tag ^ other for mask in entries for tag in places(mask, "1F") for other in (0, 1, 0x20000)}:
            try:
                vr = datadict.private_dictionary_VR(tag, creator)
            except KeyError:
                vr = None
            assert dictionary.private_vr(tag, creator) == _CHOICES.get(vr, vr), f"{creator} {tag:08X}"


def test_creators_count_in_their_exact_spelling() -> None:
    assert dictionary.private_vr(0x00191008, "SIEMENS MR HEADER") == "CS"
    assert dictionary.private_vr(0x00191008, "siemens mr header") is None
    assert not dictionary.knows_creator("siemens mr header")
    assert not dictionary.knows_creator("")


def test_keywords() -> None:
    named = {entry[4]: tag for tag, entry in DicomDictionary.items() if entry[4]}
    assert dictionary.keywords() == {keyword.lower(): keyword for keyword in named}
    assert {keyword: dictionary.tag_of(keyword) for keyword in named} == named


@pytest.mark.parametrize("word", ["", "patientname", "PatientName ", "OverlayData"])
def test_what_is_no_keyword_of_one_tag(word: str) -> None:
    """Elements without a keyword share none, and those of repeating groups have no tag of their own."""
    assert dictionary.tag_of(word) is None
