"""CSA headers and protocols of Siemens scanners: what stays, what goes, hostile ones, and that converters read them."""

from __future__ import annotations

import hashlib
import io
import json
import random
import re
import shutil
import struct
import subprocess
import sys
import time
import warnings
from datetime import date
from pathlib import Path
from typing import Any

import pydicom
import pytest

from fw_gear_deid.actions.cleaning import Fact
from fw_gear_deid.deid import Context, Result, deidentify
from fw_gear_deid.deid.cleaning import cleaning_of
from fw_gear_deid.formats.headers import cleaned
from fw_gear_deid.formats.siemens import csa
from fw_gear_deid.keys import Keyring
from fw_gear_deid.model.errors import Unfit, Unreadable
from fw_gear_deid.model.headers import CSA, PROTOCOL
from fw_gear_deid.model.siemens import PROTOCOLS, TEXTS
from fw_gear_deid.profile.parse import parse_profile
from fw_gear_deid.verify import headers
from tests.desk import instance

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # they are experimental, they say
    from nibabel.nicom import csareader

SHARED = Path(__file__).resolve().parents[2] / "shared" / "corpus"
FACTS = (
    Fact("Doe^Jane", "PN", "PatientName"),
    Fact("AB-0012345", "LO", "PatientID"),
    Fact("123456", "SH", "AccessionNumber"),
)
CLEAN = cleaning_of(FACTS).clean
KNOWN = cleaning_of(FACTS).known
LINES = {
    "ulVersion": "63010001",
    "tSequenceFileName": '""%SiemensSeq%\\ep2d_diff""',
    "tProtocolName": '""CBU DTI 64D""',
    "tPatientName": '""Doe^Jane""',
    "tPatientID": '""AB-0012345""',
    "tReferenceImage0": '""1.3.12.2.1107.5.2.32.35119.2010011420070434054586384""',
    "sProtConsistencyInfo.tBaselineString": '""N4_VB17A_LATEST_20090307""',
    "alTR[0]": "12000000",
    "alTE[0]": "30000",
    "sSliceArray.lSize": "0x30",
    "sSliceArray.asSlice[0].sNormal.dTra": "0.99998",
    "sKSpace.lBaseResolution": "128",
    "sKSpace.lPhaseEncodingLines": "123456",
    "sWipMemBlock.tFree": '""657ebc41||Sequence: Doe""',
    "sWipMemBlock.alFree[3]": "20190312",
    "asCoilSelectMeas[0].asList[1].sCoilElementID.tCoilID": '""HeadMatrix""',
    "asCoilSelectMeas[0].asList[2].sCoilElementID.tCoilID": '""Doe""',
    "asCoilSelectMeas[0].asList[1].sCoilElementID.tElement": '""H3P""',
    "sJaneDoe.lValue": "4",
    "sNew.lThing": "7",
    "sNew.lOther": "7654321",
    "sNew.tText": '""Roe""',
    "dPatientWeight": "71.5",
}
KEPT = {
    "ulVersion", "tSequenceFileName", "sProtConsistencyInfo.tBaselineString", "alTR[0]", "alTE[0]", "sSliceArray.lSize",
    "sSliceArray.asSlice[0].sNormal.dTra", "sKSpace.lBaseResolution", "sWipMemBlock.alFree[3]", "sNew.lThing",
    "asCoilSelectMeas[0].asList[1].sCoilElementID.tCoilID", "asCoilSelectMeas[0].asList[1].sCoilElementID.tElement",
}  # fmt: skip
HEAD = (
    " object=MrProtDataImpl@MrProtocolData version=41310008 converter=%MEASCONST%/ConverterList/Prot_Converter.txt ###"
)


def protocol(head: str = " ###", lines: dict[str, str] = LINES) -> bytes:
    body = "".join(f"{key}\t = \t{value}\n" for key, value in lines.items())
    before = '<XProtocol> {\n  <ParamString."PatientName"> { "Doe^Jane" }\n}\n'
    return f"{before}### ASCCONV BEGIN{head}\n{body}### ASCCONV END ###\n<Tail> Doe".encode("ascii")


Fields = list[tuple[str, str, list[bytes]]]
FIELDS: Fields = [
    ("EchoLinePosition", "IS", [b"64      "]),
    ("NumberOfImagesInMosaic", "US", [b"48      ", b""]),
    ("B_value", "IS", [b"1000    "]),
    ("MosaicRefAcqTimes", "FD", [b"1040.00000001", b"0.00000000", b"1102.50000001"]),
    ("SequenceMask", "UL", [b"134217732"]),
    ("ImaCoilString", "LO", [b"T:HEA;HEP"]),
    ("CoilString", "LO", [b"DOE"]),
    ("ImageHistory", "LO", [b"ChannelMixing:ND=true_CMM=1_CDM=1", b"ACC1"]),
    ("ICE_Dims", "LO", [b"X_1_1_1_2_1_1_48_1_1_1_1_201"]),
    ("UsedPatientWeight", "IS", [b"92      "]),
    ("PatReinPattern", "ST", [b"1;HFS;92.99;47.37;2;0;0;-803409527"]),
    ("PatientName", "PN", [b"Doe^Jane"]),
    ("ReferencedImageSequence", "UI", [b"1.3.12.2.1107.5.2.19.45306.300000"]),
    ("EchoTime", "DS", [b"Doe"]),
    ("ImageComments", "LT", [b"for Dr. Roe"]),
    ("MeasuredFourierLines", "IS", [b"12345"]),
    ("MrPhoenixProtocol", "UN", [protocol()]),
]
STAY = {
    "EchoLinePosition", "NumberOfImagesInMosaic", "B_value", "MosaicRefAcqTimes", "SequenceMask", "ImaCoilString",
    "ImageHistory", "ICE_Dims", "MrPhoenixProtocol",
}  # fmt: skip


def header(fields: Fields = FIELDS, *, two: bool = True, garbage: bytes = b"Doe") -> bytes:
    """Return a CSA header as consoles write them: with what memory held behind names and values."""
    first = len(fields[0][2])
    out = (b"SV10\4\3\2\1" if two else b"") + struct.pack("<II", len(fields), 77)
    for name, vr, items in fields:
        raw = name.encode() + b"\0" + garbage
        out += struct.pack("<64si4siii", raw, len(items), vr.encode() + b"\0D", 6, len(items), 77)
        for item in items:
            size = len(item) + 4 if item else 0
            total = size if two else size + first
            padded = (item + b"\0" + garbage)[:size].ljust(size + -size % 4, b"e") if item else b""
            out += struct.pack("<4i", total, size, 77, size) + padded
    return out + garbage * 5


@pytest.mark.parametrize("two", [True, False])
def test_header_keeps_the_fields_that_converters_read(two: bool) -> None:
    result = cleaned(header(two=two), CSA, CLEAN)
    (_, before), (version, after) = csa.read(header(two=two)), csa.read(result)
    assert version == two
    assert [one.name for one in after] == [one.name for one in before if one.name in STAY]
    assert [one for one in after if one.name not in PROTOCOLS] == [
        one for one in before if one.name in STAY - PROTOCOLS
    ]
    if two:  # nibabel fails on the first field of the other version
        read = csareader.read(result)["tags"]
        assert read["MosaicRefAcqTimes"]["items"] == [1040.00000001, 0, 1102.50000001]
        assert (read["B_value"]["items"], read["ImaCoilString"]["items"]) == ([1000], ["T:HEA;HEP"])


@pytest.mark.parametrize("two", [True, False])
def test_nothing_of_the_patient_is_left_in_its_bytes(two: bool) -> None:
    result = cleaned(header(two=two), CSA, CLEAN)
    assert not re.search(rb"(?i)doe|jane|roe|12345|1\.3\.12", result)
    assert headers.told_by(result, KNOWN) == ""
    assert headers.told_by(header(two=two), KNOWN) != ""
    assert cleaned(result, CSA, CLEAN) == result


@pytest.mark.parametrize("head", [" ###", HEAD])
def test_protocol_keeps_the_lines_that_say_how_was_measured(head: str) -> None:
    result = cleaned(protocol(head), PROTOCOL, CLEAN).decode("ascii")
    lines = result.split("\n")
    assert lines[:2] == ["", f"### ASCCONV BEGIN{head}"] and lines[-2:] == ["### ASCCONV END ###", ""]
    assert {line.partition("\t")[0] for line in lines[2:-2]} == KEPT
    assert all(f"{key}\t = \t{LINES[key]}" in lines for key in KEPT)


def test_head_of_a_protocol_is_made_plain_when_it_is_another() -> None:
    assert b"BEGIN ###\n" in cleaned(protocol(" object=Doe ###"), PROTOCOL, CLEAN)


def test_a_number_that_is_known_goes_wherever_it_stands() -> None:
    lines = {"alTR[0]": "123456", "sSliceArray.lSize": "12345", "alFree": "99999"}
    assert b"1234" not in cleaned(protocol(lines=lines), PROTOCOL, CLEAN)


@pytest.mark.parametrize(
    "text",
    [
        "tPatientName = 1",
        'x = "a@b"',
        "Doe",
        "JaneDoe",
        "1.3.12.2.1107.5.2.32.3",
        "20190312",
        "2019-03-12 x",
        "Doe^J",
        "AB0012345",
    ],
)
def test_check_finds_what_a_writer_left(text: str) -> None:
    assert headers.told_by(header([("ImaCoilString", "LO", [text.encode()])], garbage=b""), KNOWN)


# -- hostile ones ----------------------------------------------------------------------------------------

WRONG = {
    "empty": b"",
    "text": b"not a header at all",
    "count": b"SV10\4\3\2\1" + struct.pack("<II", 1 << 30, 77),
    "none": b"SV10\4\3\2\1" + struct.pack("<II", 0, 77),
    "items": b"SV10\4\3\2\1" + struct.pack("<II64si4siii", 1, 77, b"B_value", 1, b"IS", 6, 1 << 30, 77),
    "negative": b"SV10\4\3\2\1" + struct.pack("<II64si4siii4i", 1, 77, b"B_value", 1, b"IS", 6, 1, 77, 1, -5, 77, 1),
    "long": b"SV10\4\3\2\1" + struct.pack("<II64si4siii4i", 1, 77, b"B_value", 1, b"IS", 6, 1, 77, 1, 1 << 30, 77, 1),
    "two-lengths": struct.pack("<II64si4siii4i", 1, 77, b"B_value", 1, b"IS", 6, 2, 77, 9, 4, 77, 9)
    + b"1000"
    + struct.pack("<4i", 8, 4, 77, 8)
    + b"1000",
    "nothing-stays": header([("PatientName", "PN", [b"Doe"])]),
}


@pytest.mark.parametrize("data", WRONG.values(), ids=WRONG.keys())
def test_what_is_no_header_is_not_read(data: bytes) -> None:
    with pytest.raises(Unreadable):
        cleaned(data, CSA, CLEAN)


@pytest.mark.parametrize(
    "data", [b"", b"x = 1", b"### ASCCONV BEGIN ###\nalTR[0] = 1\n"], ids=["empty", "no-mark", "no-end"]
)
def test_what_is_no_protocol_is_not_read(data: bytes) -> None:
    with pytest.raises(Unreadable):
        cleaned(data, PROTOCOL, CLEAN)


@pytest.mark.parametrize(("kind", "data"), [(CSA, header()), (CSA, header(two=False)), (PROTOCOL, protocol())])
def test_mutations_are_read_or_refused_and_tell_nothing(kind: str, data: bytes) -> None:
    dice = random.Random(7)
    cases = [data[:end] for end in range(0, len(data), 7)]
    for _ in range(600):
        changed = bytearray(data)
        for _ in range(dice.randint(1, 6)):
            at = dice.randrange(len(changed))
            changed[at : at + dice.choice((0, 1, 1, 4))] = bytes(
                dice.randrange(256) for _ in range(dice.choice((0, 1, 1, 4)))
            )
        cases.append(bytes(changed))
    for case in cases:
        try:
            result = cleaned(case, kind, CLEAN)
        except Unreadable:
            continue
        assert headers.told_by(result, KNOWN) == ""
        assert cleaned(result, kind, CLEAN) == result


def test_large_ones_take_no_time() -> None:
    start = time.process_time()
    for data in (
        protocol(lines={f"sX.alFree[{n}]": "1" for n in range(50_000)}),
        b"### ASCCONV BEGIN" * 20_000,
        b"a" * 1_000_000,
        protocol(lines={"a": " " * 500_000}),
    ):
        try:
            cleaned(data, PROTOCOL, CLEAN)
        except Unreadable:
            continue
    with pytest.raises(Unreadable):
        cleaned(header([("B_value", "IS", [b""] * 10)] * 900)[:-200], CSA, CLEAN)
    with pytest.raises(Unreadable):
        cleaned(header([(name, "LO", [b"A" * 45 + b"!", b"X_" * 40 + b"!"]) for name in TEXTS]), CSA, CLEAN)
    assert time.process_time() - start < 10


# -- in files --------------------------------------------------------------------------------------------

PROFILE = """\
dicom:
  remove-private-tags: true
  fields:
    - {name: PatientName, replace-with: ANON}
    - {name: PatientID, replace-with: ANON}
    - {name: '(0029,"SIEMENS CSA HEADER",10)', clean: true}
    - {name: '(0029,"SIEMENS CSA HEADER",20)', clean: true}
    - {name: '(0021,"SIEMENS MR SDS 01",19)', clean: true}
"""
STANDARD = "dicom: {ps3-15: {profile: basic, options: [safe-private]}, fields: [{requires: fw-gear-deid}]}"


def with_headers(block: int = 0x10, image: bytes = b"", **values: Any) -> bytes:
    ds = pydicom.dcmread(io.BytesIO(instance("AB-0012345", PatientName="Doe^Jane", **values)))
    ds.add_new(0x00290000 | block, "LO", "SIEMENS CSA HEADER")
    ds.add_new(0x00290000 | block << 8 | 0x10, "OB", image or header())
    ds.add_new(0x00290000 | block << 8 | 0x20, "OB", header(FIELDS[-1:] + FIELDS[:2]))
    ds.add_new(0x00210010, "LO", "SIEMENS MR SDS 01")
    ds.add_new(0x00211019, "OB", protocol() + b"\0" * (len(protocol()) % 2))
    stream = io.BytesIO()
    ds.save_as(stream)
    return stream.getvalue()


def ran(profile: str, data: bytes, folder: Path) -> tuple[Result, pydicom.Dataset]:
    (folder / "in").write_bytes(data)
    ctx = Context(parse_profile(profile, "p.yaml"), Keyring(b"k" * 32), "id:1", date(2026, 1, 1), "strict")
    done = deidentify(folder / "in", "1.dcm", ctx, folder / "out")
    assert isinstance(done, Result), done
    return done, pydicom.dcmread(folder / "out")


@pytest.mark.parametrize("profile", [PROFILE, STANDARD], ids=["by-name", "standard"])
@pytest.mark.parametrize("block", [0x10, 0x42])
def test_headers_in_a_file_are_cleaned(tmp_path: Path, profile: str, block: int) -> None:
    _, ds = ran(profile, with_headers(block), tmp_path)
    image = ds[0x00290000 | block << 8 | 0x10].value
    assert set(csareader.read(image)["tags"]) == STAY
    assert b"alTR[0]" in ds[0x00290000 | block << 8 | 0x20].value and b"alTR[0]" in ds[0x00211019].value
    assert not re.search(rb"(?i)doe|jane|1\.3\.12", (tmp_path / "out").read_bytes())


@pytest.mark.parametrize("profile", [PROFILE, STANDARD], ids=["by-name", "standard"])
def test_a_header_that_cannot_be_read_goes(tmp_path: Path, profile: str) -> None:
    done, ds = ran(profile, with_headers(image=b"SV10 of Doe^Jane"), tmp_path)
    assert 0x00291010 not in ds and 0x00291020 in ds
    assert done.trail.actions["unreadable-remove"] == 1
    ds = pydicom.dcmread(io.BytesIO(with_headers(image=b"SV10 of Doe^Jane")))
    del ds[0x00291020]
    stream = io.BytesIO()
    ds.save_as(stream)
    assert profile == PROFILE or 0x00290010 not in ran(profile, stream.getvalue(), tmp_path)[1]


def test_check_refuses_what_a_writer_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fw_gear_deid.plan.chain.headers.cleaned", lambda data, kind, clean: data)
    with pytest.raises(Unfit, match="still tells"):
        ran(PROFILE, with_headers(), tmp_path)


# -- converters ------------------------------------------------------------------------------------------


def converter() -> str:
    beside = Path(sys.executable).with_name("dcm2niix")
    found = shutil.which("dcm2niix") or (str(beside) if beside.exists() else "")
    if not found:
        pytest.skip("dcm2niix is not installed")
    return found


def converted(data: bytes, folder: Path) -> dict[str, Any]:
    """Return the volumes (their SHA-256) and JSON files that dcm2niix makes of a file."""
    (folder / "in").mkdir(parents=True)
    (folder / "out").mkdir()
    (folder / "in" / "1.dcm").write_bytes(data)
    command = [converter(), "-f", "x", "-b", "y", "-z", "n", "-o", str(folder / "out"), str(folder / "in")]
    subprocess.run(command, capture_output=True, check=False, timeout=60)
    return {
        path.name: json.loads(path.read_text("utf-8", "replace"))
        if path.suffix == ".json"
        else hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted((folder / "out").iterdir())
    }


CLEANED_AWAY = {"ProtocolName", "WipMemBlock", "MatrixCoilMode", "PatientName", "PatientID"}
"""What dcm2niix takes from texts that go; MatrixCoilMode is no number where nothing says it."""


def test_dcm2niix_makes_the_same_of_cleaned_headers(tmp_path: Path) -> None:
    converter()
    if not SHARED.is_dir():
        pytest.skip("the corpus is not here")
    paths = [path for path in sorted((SHARED / "dicom").rglob("*")) if path.is_file()]
    several = [
        path for path in paths if b"SIEMENS CSA HEADER" in (data := path.read_bytes()) or b"SIEMENS MR SDS 01" in data
    ]
    assert len(several) > 10
    keeping = PROFILE.replace("  remove-private-tags: true\n", "")
    for number, path in enumerate(several):
        (tmp_path / str(number)).mkdir()
        ran(keeping, path.read_bytes(), tmp_path / str(number))
        before = converted(path.read_bytes(), tmp_path / str(number) / "a")
        after = converted((tmp_path / str(number) / "out").read_bytes(), tmp_path / str(number) / "b")
        assert before.keys() == after.keys()
        for name, made in before.items():
            if isinstance(made, dict):
                told = {key for key in made.keys() | after[name].keys() if made.get(key) != after[name].get(key)}
                assert told <= CLEANED_AWAY, path.name
            else:
                assert made == after[name], path.name
