"""Protocol blocks of GE scanners: what stays, what goes, and hostile ones."""

from __future__ import annotations

import gzip
import io
import random
import struct
import zlib
from datetime import date
from pathlib import Path

import pydicom
import pytest

from fw_gear_deid.actions.cleaning import Fact
from fw_gear_deid.deid import Context, Result, deidentify
from fw_gear_deid.deid.cleaning import cleaning_of
from fw_gear_deid.formats.headers import cleaned
from fw_gear_deid.keys import Keyring
from fw_gear_deid.model.errors import Unreadable
from fw_gear_deid.model.headers import BLOCK
from fw_gear_deid.profile.parse import parse_profile
from fw_gear_deid.verify import headers
from tests.desk import instance

FACTS = (Fact("Doe^Jane", "PN", "PatientName"), Fact("48213", "LO", "PatientID"))
CLEAN, KNOWN = cleaning_of(FACTS).clean, cleaning_of(FACTS).known
STAY = ['ENTRY "Head First"', 'IOPT "EDR, EPI, FMRI"', 'MBACCEL "8"', 'SLOC1 "I17.7"', 'VIEWORDER "0"', 'TR "1000.0"']
GO = [
    'SEDESC "Axial Doe"', 'COIL "32Ch Head"', 'PDGMUID "1.2.840.113819"', 'NOTES "Doe"', 'PSEQ "Doe"', 'NEX "Doe"',
    'USERCV_MASK "48213"', "no line", 'lower "1"',
]  # fmt: skip


def block(lines: list[str], name: str = "Ex48Ser10Rx") -> bytes:
    stream = io.BytesIO()
    with gzip.GzipFile(name, "wb", fileobj=stream, mtime=1_576_000_000) as file:
        file.write("".join(f"{line}\n" for line in lines).encode())
    return struct.pack("<I", len(stream.getvalue())) + stream.getvalue()


def unpacked(data: bytes) -> list[str]:
    assert struct.unpack("<I", data[:4])[0] == len(data) - 4
    return zlib.decompress(data[4:], 31).decode("ascii").splitlines()


def test_lines_that_say_how_was_measured_stay() -> None:
    data = block([*STAY, *GO])
    result = cleaned(data, BLOCK, CLEAN)
    assert unpacked(result) == STAY
    assert result[7] == 0  # no name of a file, no comment
    assert headers.told_by(result, KNOWN) == "" != headers.told_by(data, KNOWN)
    assert cleaned(result, BLOCK, CLEAN) == result


def test_check_finds_what_a_writer_left() -> None:
    for line in ('PSEQ "Doe"', 'NEX "48213"', 'X "Doe^J"', "free text"):
        data = gzip.compress(line.encode(), mtime=0)
        assert headers.told_by(b"\0\0\0\0" + data, KNOWN), line


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\0\0\0\0\x1f\x8b",
        struct.pack("<I", 5) + b"hello",
        block(STAY)[:-12],
        block(['X "1"', f'NEX "{" " * 300}x"', f'PSEQ "{"a, " * 100}!"']),
        struct.pack("<I", 1) + gzip.compress(b"0" * (2 << 20)),
    ],
    ids=["empty", "head", "text", "cut", "nothing-stays", "bomb"],
)
def test_what_is_no_block_is_not_read(data: bytes) -> None:
    with pytest.raises(Unreadable):
        cleaned(data, BLOCK, CLEAN)


def test_mutations_are_read_or_refused_and_tell_nothing() -> None:
    dice, data = random.Random(3), block([*STAY, *GO])
    cases = [data[:end] for end in range(len(data))]
    for _ in range(1500):
        changed = bytearray(data)
        changed[dice.randrange(len(changed))] = dice.randrange(256)
        cases.append(bytes(changed))
    for case in cases:
        try:
            result = cleaned(case, BLOCK, CLEAN)
        except Unreadable:
            continue
        assert headers.told_by(result, KNOWN) == ""


def test_block_in_a_file_is_cleaned(tmp_path: Path) -> None:
    ds = pydicom.dcmread(io.BytesIO(instance("48213", PatientName="Doe^Jane")))
    ds.add_new(0x00250010, "LO", "GEMS_SERS_01")
    ds.add_new(0x0025101B, "OB", block([*STAY, *GO]))
    stream = io.BytesIO()
    ds.save_as(stream)
    (tmp_path / "in").write_bytes(stream.getvalue())
    text = "dicom: {ps3-15: {profile: basic, options: [safe-private]}, fields: [{requires: fw-gear-deid}]}"
    ctx = Context(parse_profile(text, "p.yaml"), Keyring(b"k" * 32), "id:1", date(2026, 1, 1), "strict")
    assert isinstance(deidentify(tmp_path / "in", "1.dcm", ctx, tmp_path / "out"), Result)
    value = pydicom.dcmread(tmp_path / "out")[0x0025101B].value
    size = struct.unpack("<I", value[:4])[0]
    assert unpacked(value[: 4 + size]) == STAY
