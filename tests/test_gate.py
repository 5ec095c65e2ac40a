"""Names and ids that rules took away, and the rest of a DICOM file: where they are found, and what is none of them."""

from __future__ import annotations

import io
from itertools import product
from typing import Any

import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from fw_gear_deid.cli import main
from fw_gear_deid.deid import suggest
from fw_gear_deid.profile.parse import parse_profile
from fw_gear_deid.verify.sought import Sought, Taken
from tests.desk import Desk, instance, packed

RULES = """\
dicom:
  fields:
  - name: PatientName
    replace-with: ''
  - name: PatientID
    remove: true
  - name: AccessionNumber
    remove: true
  - name: OtherPatientIDsSequence
    remove: true
  - name: PatientBirthDate
    remove: true
"""
WHO = {"PatientName": "Zimmerlund^Tabitha^Q", "AccessionNumber": "AC-774-120"}
ID = "90817263"
SYNTAXES = (ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian)


def made(syntax: str = ExplicitVRLittleEndian, patient: str = ID, **values: Any) -> bytes:
    """Return an instance of the patient in a syntax; elements by keyword, or ``private=(VR, value)``."""
    private, below = values.pop("private", None), values.pop("below", None)
    ds = pydicom.dcmread(io.BytesIO(instance(patient, **(WHO | values))))
    if private:
        ds.private_block(0x0029, "ACME 1", create=True).add_new(0x10, *private)
    if below:
        item, inner = Dataset(), Dataset()
        inner.TextValue = below
        item.ContentSequence = [inner]
        ds.ContentSequence = [item]
    new = Dataset(ds)
    new.file_meta = ds.file_meta
    new.file_meta.TransferSyntaxUID = syntax
    out = io.BytesIO()
    pydicom.dcmwrite(
        out,
        new,
        implicit_vr=syntax == ImplicitVRLittleEndian,
        little_endian=syntax != ExplicitVRBigEndian,
        enforce_file_format=True,
    )
    return out.getvalue()


FORMS = ("Zimmerlund", "for T. ZIMMERLUND", "tabitha_zimmerlund", "id 90817263.", "0090817263", "AC 774-120")
PLACES: dict[str, Any] = {
    "(0008,103E) SeriesDescription": lambda text: {"SeriesDescription": text},
    "(0010,4000) PatientComments": lambda text: {"PatientComments": f"seen by us\r\n{text}"},
    "(0040,A730)(0040,A730)(0040,A160) TextValue": lambda text: {"below": text},
    "(0029,1010)": lambda text: {"private": ("LO", text)},
}


@pytest.mark.parametrize("syntax", SYNTAXES, ids=lambda uid: uid.name)
@pytest.mark.parametrize("place", PLACES)
def test_forms_and_places(desk: Desk, place: str, syntax: str) -> None:
    desk.profile.write_text(RULES, encoding="utf-8")
    desk.put(
        {f"S/V/A/{number}": made(syntax, number=number, **PLACES[place](text)) for number, text in enumerate(FORMS)}
    )
    assert desk.run().code == 0
    assert {row["risks"] for row in desk.rows()} == {f"residue: {place}"}
    assert desk.summary()["risks"] == {"residue": len(FORMS)}


BLOB = bytes(range(128, 256)) * 4
BLOBS = {
    "ascii": BLOB + b"name=Zimmerlund;" + BLOB,
    "utf-16": BLOB + "Tabitha Zimmerlund".encode("utf-16-le") + BLOB,
    "utf-16-be": BLOB + "Tabitha Zimmerlund".encode("utf-16-be") + BLOB,
    "number": BLOB + b"\0\0" + ID.encode() + b"\0\0" + BLOB,
}


@pytest.mark.parametrize(("kind", "vr"), list(product(BLOBS, ("OB", "UN"))))
def test_blobs(desk: Desk, kind: str, vr: str) -> None:
    desk.profile.write_text(RULES, encoding="utf-8")
    desk.put({"S/V/A/1": made(private=(vr, BLOBS[kind]))})
    assert desk.run().code == 0
    assert [row["risks"] for row in desk.rows()] == ["residue: (0029,1010)"]


NONE: dict[str, dict[str, Any]] = {
    "part of a word": {"SeriesDescription": "Tabithaphone Zimmerlundsen"},
    "part of a number": {"SeriesDescription": "1908172634"},
    "a broken number": {"SeriesDescription": "0.90817263"},
    "a number of pixels": {"RescaleSlope": "90817263"},
    "part of a UID": {"FrameOfReferenceUID": f"1.2.{ID}.4"},
    "a code": {"BodyPartExamined": "TABITHA"},
    "pixels": {"Rows": 8, "Columns": 8, "BitsAllocated": 8, "SamplesPerPixel": 1, "PixelData": b"ZIMMERLUND".ljust(64)},
    "a letter": {"SeriesDescription": "Q"},
}


@pytest.mark.parametrize("values", NONE.values(), ids=NONE)
def test_what_is_none_of_them(desk: Desk, values: dict[str, Any]) -> None:
    desk.profile.write_text(RULES, encoding="utf-8")
    desk.put({"S/V/A/1": made(**values)})
    assert desk.run("--verify", "full").code == 0
    assert [row["risks"] for row in desk.rows()] == [""]
    assert desk.summary()["nothing_to_search_for"] == 0


TRIVIAL = ("", "ANON", "Test^Patient", "Head^Phantom", "Li", "Name^Enter", "12345", "20210304", "MR0001", "0000000")


@pytest.mark.parametrize("text", TRIVIAL)
def test_trivial_values_are_not_looked_for(text: str) -> None:
    assert not Sought([Taken(text, is_name=True), Taken(text, is_name=False)])


def test_nothing_to_search_for_is_counted(desk: Desk) -> None:
    desk.profile.write_text(RULES, encoding="utf-8")
    blank = {"PatientName": "", "AccessionNumber": "", "SeriesDescription": "T1"}
    some = packed({"1": made(patient="", **blank), "2": made(patient="", number=2, **blank)})
    desk.put({"S/V/A/1.zip": some, "S/V/B/2": made(number=3), "S/V/C/3": made(patient="", number=4, **blank)})
    desk.run()
    assert desk.summary()["nothing_to_search_for"] == 2
    assert {row["risks"] for row in desk.rows()} == {""}
    desk.run()  # nothing is made anew, and it is told all the same
    assert desk.summary()["nothing_to_search_for"] == 2


CHARSETS = {
    "ISO_IR 192": "山田^太郎", "ISO 2022 IR 149": "김^희중", "GB18030": "王小东^大卫", "ISO_IR 100": "Bäumler^Jörg",
}  # fmt: skip


@pytest.mark.parametrize("charset", CHARSETS)
def test_other_scripts(desk: Desk, charset: str) -> None:
    name = CHARSETS[charset]
    desk.profile.write_text(RULES, encoding="utf-8")
    names = ["", charset] if charset.startswith("ISO 2022") else charset
    said = {"SpecificCharacterSet": names, "PatientName": name, "AccessionNumber": ""}
    desk.put(
        {"S/V/A/1": made(**said, SeriesDescription=f"T1 {name.partition('^')[2]} 2"), "S/V/A/2": made(**said, number=2)}
    )
    assert desk.run().code == 0
    told = {row["source"]: row["risks"] for row in desk.rows()}
    assert told == {"S/V/A/1": "residue: (0008,103E) SeriesDescription", "S/V/A/2": ""}


def test_names_below_a_removed_sequence_and_the_label_of_the_folder(desk: Desk) -> None:
    item = Dataset()
    item.PatientName = "Quillfeather^Ann"
    desk.profile.write_text(RULES.replace("OtherPatientIDs", "ReferencedPatient"), encoding="utf-8")
    desk.put({
        "S/V/A/1": made(ReferencedPatientSequence=[item], SeriesDescription="QUILLFEATHER"),
        "Wotherspoon77/V/A/2": made(patient="", number=2, PatientName="", SeriesDescription="scan of Wotherspoon77"),
    })  # fmt: skip
    desk.run()
    assert [row["risks"] for row in desk.rows()] == ["residue: (0008,103E) SeriesDescription"] * 2


def test_members_of_an_archive_are_summed_and_long_lists_are_cut(desk: Desk) -> None:
    desk.profile.write_text(RULES, encoding="utf-8")
    many = Dataset()
    for number in range(30):
        many.private_block(0x0029, "ACME 1", create=True).add_new(number, "LO", "Zimmerlund")
    first = made(SeriesDescription="Zimmerlund")
    ds = pydicom.dcmread(io.BytesIO(made(number=2)))
    ds.update(many)
    out = io.BytesIO()
    ds.save_as(out, enforce_file_format=True)
    desk.put({"S/V/A/1.zip": packed({"1": first, "2": out.getvalue()})})
    desk.run()
    (row,) = desk.rows()
    told = row["risks"].split("; ")
    assert (told[0], told[1], told[-1]) == (
        "residue: (0008,103E) SeriesDescription", "residue: (0029,1000)", "residue: 10 places more",
    )  # fmt: skip
    assert desk.summary()["risks"] == {"residue": 1}
    assert "immerlund" not in row["risks"]


def test_full_refuses_and_suggest_writes_what_closes_it(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    desk.profile.write_text(RULES, encoding="utf-8")
    files = {
        "S/V/A/1": made(SeriesDescription="T1 Zimmerlund"), "S/V/A/2": made(number=2, below="seen: Zimmerlund, well"),
        "S/V/A/3": made(number=3, private=("OB", BLOBS["ascii"])), "S/V/A/4": made(number=4),
    }  # fmt: skip
    desk.put(files)
    for options in (["--verify", "full"], ["--exists", "replace"]):
        done = desk.run(*options)
        assert "1 residue" not in done.err
        assert main(["profile", "suggest", str(desk.reports)]) == 0
        text = capsys.readouterr().out
        for line in ("name: SeriesDescription\n      clean: true", "name: '(0029,1010)'\n      remove: true"):
            assert line in text
        parse_profile(text, "p.yaml")
        if options[0] == "--verify":
            assert sorted(desk.states().values()) == ["refused"] * 3 + ["released"]
            assert "stands in (0008,103E) SeriesDescription, too: name a rule for that" in desk.reasons()["S/V/A/1"]
            assert "immerlund" not in str(desk.reasons()) + done.err
    rules = text.partition("fields:\n")[2]
    desk.profile.write_text(RULES + rules.replace("    - ", "  - ").replace("      ", "    "), encoding="utf-8")
    assert desk.run("--exists", "replace", "--verify", "full").code == 0
    assert {row["risks"] for row in desk.rows()} == {""}
    said = {str(pydicom.dcmread(path).get("SeriesDescription", "")) for path in desk.dest.rglob("*.dcm")}
    assert "T1" in {one.strip() for one in said}


def test_what_is_found_in_a_table_is_not_taken_for_dicom() -> None:
    rows = [("a.csv", "a name or id that a rule took away stands in column note, row 3, too: name a rule")]
    assert "dicom" not in suggest.by_reasons(rows)


def test_off_looks_for_nothing(desk: Desk) -> None:
    desk.profile.write_text(RULES, encoding="utf-8")
    desk.put({"S/V/A/1": made(SeriesDescription="Zimmerlund")})
    assert desk.run("--verify", "off").code == 0
    assert [row["risks"] for row in desk.rows()] == [""]
    assert desk.summary()["nothing_to_search_for"] == 0
