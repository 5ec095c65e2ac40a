"""The table of formats: its order, what content and names say, and the cases of tests/vectors/formats."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import pytest
import yaml

from fw_gear_deid.deid import Context, Result, deidentify, takes
from fw_gear_deid.formats import FORMATS, TABLE, known
from fw_gear_deid.keys import Keyring
from fw_gear_deid.model.errors import Unfit
from fw_gear_deid.model.outcome import Skipped
from fw_gear_deid.profile.parse import parse_profile
from tests.desk import edits_of, instance

FOLDER = Path(__file__).parent / "vectors" / "formats"
CASES = [
    (path.stem, case) for path in sorted(FOLDER.glob("*.yaml")) for case in yaml.safe_load(path.read_text("utf-8"))
]
KEYS = {"name", "section", "file", "content", "bytes", "expect", "expect-bytes", "written", "edits", "error", "skipped", "source"}  # fmt: skip
TAKEN = "name: x\ndicom: {fields: [{name: PatientName, remove: true}]}\n"
COPIES = "filename: {filenames: [{input-regex: .*, output: y}]}\n"
JPEG, PNG = b"\xff\xd8\xff\xe0", b"\x89PNG\r\n\x1a\n"


@pytest.mark.parametrize(("key", "case"), CASES, ids=[f"{key}-{case['name']}" for key, case in CASES])
def test_case(key: str, case: dict[str, Any], tmp_path: Path) -> None:
    assert case.keys() <= KEYS
    source, out = tmp_path / "in", tmp_path / "out"
    source.write_bytes(bytes.fromhex(case["bytes"]) if "bytes" in case else case["content"].encode())
    profile = parse_profile(yaml.safe_dump({key: case["section"]}), "p.yaml")
    ctx = Context(profile, Keyring(b"k" * 32), "id:1", date(2026, 1, 1), "strict")
    if "error" in case:
        with pytest.raises(Unfit, match=case["error"]):
            deidentify(source, case["file"], ctx, out)
        return
    done = deidentify(source, case["file"], ctx, out)
    if "skipped" in case:
        assert isinstance(done, Skipped) and case["skipped"] in done.reason
        return
    assert isinstance(done, Result)
    expected = bytes.fromhex(case["expect-bytes"]) if "expect-bytes" in case else case["expect"].encode()
    assert out.read_bytes() == expected
    assert done.released.name == case.get("written", case["file"])
    assert [f"{edit.path} {edit.action}" for _, edit in edits_of(done.trail)] == case["edits"]


def test_every_format_with_a_codec_has_cases() -> None:
    assert {row.key for row in TABLE if row.codec is not None} <= {key for key, _ in CASES}


def test_rows_are_told_apart() -> None:
    assert list(FORMATS.values()) == list(TABLE)
    assert TABLE[0].key == "dicom"
    assert TABLE[-1].key == "filename"
    shared = {"reader", "delimiter", "subject-column", "remove-private-tags"}
    options = [name for row in TABLE for name in row.options if name not in shared]
    assert len(set(options)) == len(options)


def test_content_is_of_one_format_at_most() -> None:
    heads = (instance(), JPEG, PNG, b"II*\0", b"MM\0*", b"II+\0", bytes(344) + b"n+1\0", b"<?xml version", b"{}", b"")
    told = [[row.key for row in TABLE if row.sniff(head)] for head in heads]
    assert told == [["dicom"], ["jpg"], ["png"], ["tiff"], ["tiff"], ["tiff"], ["nifti"], ["xml"], [], []]
    assert [one.key for head in heads if (one := known(head))] == [keys[0] for keys in told if keys]


@pytest.mark.parametrize(
    ("profile", "name", "head", "section"),
    [
        (TAKEN, "a.json", instance(), "dicom"),
        (TAKEN + "json: {fields: [{name: x, remove: true}]}\n", "a.json", instance(), "dicom"),
        (TAKEN + "json: {fields: [{name: x, remove: true}]}\n", "a.json", b"{}", "json"),
        (TAKEN, "a.dcm", b"\1\2", "dicom"),
        (TAKEN, "a.dcm", b"only text", None),
        (TAKEN + COPIES, "a.dcm", b"only text", "filename"),
        (COPIES, "a.txt", b"only text", "filename"),
        (COPIES, "a.txt", instance(), None),
        (COPIES, "a.txt", instance()[132:], None),
        ("json: {fields: [{name: x, remove: true}]}\n" + COPIES, "a.json", instance(), None),
        (TAKEN.replace("{fields", "{enforce-file-filter: true, fields") + COPIES, "IM1", instance(), None),
        (TAKEN.replace("{fields", "{enforce-file-filter: true, fields") + COPIES, "a.dcm", instance(), "dicom"),
        (
            "json: {fields: [{name: x, remove: true}]}\njpg: {remove-exif: true}\n",
            "a.json",
            JPEG,
            "jpg",
        ),  # whichever stands first in the profile
    ],
)
def test_content_decides_over_the_name(profile: str, name: str, head: bytes, section: str | None) -> None:
    found = takes(parse_profile(profile, "p.yaml"), name, head[:1024])
    assert (found.match.key if found is not None else None) == section
