"""Names at the destination: held against all that rules took away, before they are made."""

from __future__ import annotations

import zipfile
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from pydicom import Sequence
from pydicom.dataset import Dataset

from fw_gear_deid.deid import Context, Result, deidentify
from fw_gear_deid.keys import Keyring
from fw_gear_deid.model.words import NEUTRAL, is_neutral
from fw_gear_deid.profile.parse import parse_profile
from fw_gear_deid.verify.known import Known
from tests.desk import edits_of, instance, packed

RULES = """dicom:
  fields:
    - name: PatientName
      remove: true
    - name: PatientID
      replace-with: S1
    - name: RequestAttributesSequence
      remove: true
"""


def deid(folder: Path, data: bytes, profile: str = RULES, name: str = "x.zip", **context: Any) -> Result:
    (folder / "source").write_bytes(data)
    ctx = Context(parse_profile(profile, "p.yaml"), Keyring(b"k" * 32), "S", date(2026, 1, 1), "strict", **context)
    result = deidentify(folder / "source", name, ctx, folder / "result")
    assert isinstance(result, Result), result
    return result


def folders(result: Result) -> list[str]:
    members = dict.fromkeys(member for member, _ in edits_of(result.trail))
    return [member.rpartition("/")[0] for member in members if member]


def requested(**values: str) -> Sequence:
    item = Dataset()
    for keyword, value in values.items():
        setattr(item, keyword, value)
    return Sequence([item])


def raw_name(value: bytes, charset: bytes = b"") -> bytes:
    """Return an instance whose PatientName has bytes that pydicom would not write."""
    data = instance(PatientName="@" * len(value), **({"SpecificCharacterSet": "ISO_IR 100"} if charset else {}))
    data = data.replace(b"@" * len(value), value)
    return data.replace(b"ISO_IR 100", charset.ljust(10)) if charset else data


@pytest.mark.parametrize(
    ("value", "charset", "folder"),
    [
        ("Jörg^Zänker".encode(), b"", "Zänker"),
        ("Jörg^Zänke".encode(), b"", "Za\u0308nke"),
        ("Jörg^Zänker".encode(), b"ISO IR 19", "zaenker"),
        ("Jörg^Zänker".encode("latin_1") + b" ", b"ISO_IR 192", "jorg"),
        ("王小东".encode("gb18030"), b"", "王小东"),
        ("山田^太郎 ".encode("shift_jis") + b" ", b"ISO_IR 192", "太郎"),
        ("Roe^\xff\xfe".encode("latin_1"), b"ISO_IR 192", "roe"),
        ("Иванов^Ив".encode("koi8_r") + b" ", b"", "ИВАНОВ"),
        (b"<Canary>", b"", "canary"),
    ],
)
def test_a_name_is_found_in_whatever_letters_it_was_written(
    tmp_path: Path, value: bytes, charset: bytes, folder: str
) -> None:
    value += b" " * (len(value) % 2)
    result = deid(tmp_path, packed({f"{folder}/IM1": raw_name(value, charset)}))
    assert folders(result)[0].startswith("folder-")


def test_values_below_a_sequence_that_goes_are_known(tmp_path: Path) -> None:
    data = instance(RequestAttributesSequence=requested(RequestedProcedureDescription="Zzcanary"))
    assert folders(deid(tmp_path, packed({"zzcanary/IM1": data})))[0].startswith("folder-")
    assert folders(deid(tmp_path, packed({"zzcanary/IM1": instance()}))) == ["zzcanary"]


def test_a_folder_has_no_suffix_and_a_file_one_of_a_list(tmp_path: Path) -> None:
    data = packed({"jane.zzcan/IM1": instance(PatientName="Zzcan^Jane")})
    result = deid(tmp_path, data, name="jane.zzcan")
    assert "zzcan" not in folders(result)[0] + result.released.name
    assert deid(tmp_path, data, name="jane.ZIP").released.name.endswith(".zip")


@pytest.mark.parametrize(
    ("folder", "stays"), [("Roe_Jane", False), ("MR_brain_01", True), ("T1", True), ("r12345678", False)]
)
@pytest.mark.parametrize("name", ["", "Anonymous", "ANON^DEID"])
def test_where_nobody_is_told_a_name_is_made_of_words_for_anybody(
    tmp_path: Path, folder: str, stays: bool, name: str
) -> None:
    result = deid(tmp_path, packed({f"{folder}/IM1": instance(PatientName=name, PatientID="")}))
    assert (folders(result) == [folder]) == stays
    assert stays or folders(result)[0].startswith("folder-")


def test_it_may_stand_in_the_header_that_leaves(tmp_path: Path) -> None:
    blank = {"PatientName": "", "PatientID": "", "SeriesDescription": "Roe protocol"}
    assert folders(deid(tmp_path, packed({"Roe_Protocol/IM1": instance(**blank)}))) == ["Roe_Protocol"]


@pytest.mark.parametrize("first", [True, False])
def test_the_order_of_members_does_not_matter(tmp_path: Path, first: bool) -> None:
    told, blank = instance(PatientName="Roe^Jane"), instance(number=2, PatientName="", PatientID="")
    members = {"a/IM1": told, "visit of j roe/IM2": blank, "quux/IM3": instance(number=3, PatientName="", PatientID="")}
    if not first:
        members = dict(reversed(members.items()))
    found = sorted(folders(deid(tmp_path, packed(members))))
    assert found[0] == "a" and found[1].startswith("folder-") and found[2] == "quux"


def test_a_description_that_holds_the_name_is_no_label(tmp_path: Path) -> None:
    for data in (instance(SeriesDescription="T1 of Roe"), packed({"1": instance(SeriesDescription="T1 of Roe")})):
        assert deid(tmp_path, data, acquisition="T1 of Roe").sorting["SeriesDescription"] == "T1 of Roe"
    named = {"SeriesDescription": "T1 of Roe", "PatientName": "Roe^Jane"}
    for data in (instance(**named), packed({"1": instance(**named)})):
        assert deid(tmp_path, data, acquisition="T1 of Roe").sorting["SeriesDescription"] == ""


def test_a_template_does_not_bring_it_back(tmp_path: Path) -> None:
    profile = RULES + "  filenames:\n    - output: '{n}.dcm'\n      input-regex: '^(?P<n>.*)\\.dcm$'\n"
    assert deid(tmp_path, instance(), profile, "scan.dcm").released.name == "scan.dcm"
    result = deid(tmp_path, instance(PatientName="Roe^Jane"), profile, "roe-1.dcm")
    assert result.released.name.startswith("file-") and result.released.name.endswith(".dcm")
    (edit,) = [edit for _, edit in edits_of(result.trail) if edit.path == "filename"]
    assert edit.rule == "always: name carries an identifier"


def test_the_subject_s_label_is_known_to_be_somebody(tmp_path: Path) -> None:
    data = packed({"Roe/IM1": instance(PatientName="", PatientID=""), "Quux/IM2": instance(number=2, PatientName="")})
    found = folders(deid(tmp_path, data, telling=("roe_jane",)))
    assert found[0].startswith("folder-") and found[1] == "Quux"


def test_neutral_words_are_in_small_letters() -> None:
    assert NEUTRAL and all(word == word.lower() and word.isalnum() for word in NEUTRAL)
    assert not is_neutral("müller") and is_neutral("") and is_neutral("IM-0001-0002.dcm")


def test_thousands_of_values_are_looked_for_by_places() -> None:
    """What a name costs goes by its length, not by what is known: an archive teaches an UID a member."""
    known = Known()
    for number in range(20_000):
        known.add(f"1.2.3.{number:06}", "UI")
    assert len(known._inside) == 1
    assert known.told_by("x1.2.3.019999") and not known.told_by("1.2.4.019999")


def test_a_comment_that_stays_is_held_too(tmp_path: Path) -> None:
    profile = RULES + "zip:\n  fields:\n    - name: comment\n      keep: true\n"
    for name, kept in (("Roe^Jane", b""), ("Quux^Q", b"by Dr. Jane")):
        deid(tmp_path, packed({"1": instance(PatientName=name)}, comment=b"by Dr. Jane"), profile)
        with zipfile.ZipFile(tmp_path / "result") as archive:
            assert archive.comment == kept
