"""What people and programs are shown: no private creator's text, nothing that steers a terminal, no formula."""

from __future__ import annotations

import csv
import io
import unicodedata
from pathlib import Path

import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

from fw_gear_deid.model.cells import exact
from tests.desk import PROFILE, Desk, Ran, call, contents, instance, packed

NAME = "Dr. Jane Doe"
KNOWN = "SIEMENS MR HEADER"
WITH_PRIVATE = """\
name: p
dicom:
  remove-private-tags: true
  recurse-sequence: true
  fields:
    - name: PatientID
      hash: true
    - name: PatientName
      remove: true
"""


def with_private(creator: str, **values: object) -> bytes:
    """Return an instance with a block of a creator at the top and in a sequence."""
    ds = Dataset()
    uid = f"2.25.78.{len(creator)}"
    for keyword, value in ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.4", "SOPInstanceUID": f"{uid}.1.1",
                            "StudyInstanceUID": uid, "SeriesInstanceUID": f"{uid}.1", "Modality": "MR",
                            "PatientID": "P1", "PatientName": "A^B"} | values).items():  # fmt: skip
        setattr(ds, keyword, value)
    ds.private_block(0x0019, creator, create=True).add_new(0x0C, "LO", "x")
    item = Dataset()
    item.private_block(0x0019, creator, create=True).add_new(0x0D, "LO", "y")
    ds.ReferencedImageSequence = [item]
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    stream = io.BytesIO()
    ds.save_as(stream, enforce_file_format=True)
    return stream.getvalue()


def told(desk: Desk, *done: Ran) -> str:
    """Return everything that was printed and reported."""
    reports = (path.read_text("utf-8") for path in desk.reports.rglob("*") if path.suffix in (".csv", ".json"))
    return "\n".join([*(one.out + one.err for one in done), *reports])


def test_text_of_an_unknown_creator_is_not_told(desk: Desk) -> None:
    desk.put({"a/b/c/1.dcm": with_private(NAME), "a/b/c/2.zip": packed({"2.dcm": with_private(NAME)})})
    desk.rules(WITH_PRIVATE)
    done = desk.run()
    assert done.code == 0, done.err
    paths = {row["path"] for row in desk.rows("audit.csv")}
    assert {"(0019,100C)", "(0008,1140)[0](0019,100D)"} <= paths
    assert "Jane" not in told(desk, done)


def test_nor_in_the_reason_of_a_refusal(desk: Desk) -> None:
    desk.put({"a/b/c/1.dcm": with_private(NAME), "a/b/c/2.zip": packed({"2.dcm": with_private(NAME)})})
    desk.rules("name: p\ndicom:\n  date-increment: 3\n  fields:\n    - regex: .*0019100.\n      increment-date: true\n")
    done = desk.run()
    assert done.code == 1
    assert [reason for reason in desk.reasons().values() if "(0019,100" not in reason] == []
    assert "Jane" not in told(desk, done)


def test_nor_by_verification(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.put({"a/b/c/1.dcm": with_private(NAME)})
    desk.rules("name: p\ndicom:\n  fields:\n    - regex: .*0019100.\n      replace-with: other\n")
    monkeypatch.setattr("fw_gear_deid.plan.chain.Chain._put", lambda *_: None)
    done = desk.run()
    assert done.code == 1
    assert "verification: " in desk.reasons()["a/b/c/1.dcm"]
    assert "Jane" not in told(desk, done)


def test_creators_of_dictionary_and_profile_are_told(desk: Desk) -> None:
    desk.put({"a/b/c/1.dcm": with_private(KNOWN), "a/b/c/2.dcm": with_private("OURS 1")})
    desk.rules(WITH_PRIVATE + '    - name: (0021, "OURS 1", 01)\n      remove: true\n')
    assert desk.run().code == 0
    paths = {row["path"] for row in desk.rows("audit.csv")}
    assert {'(0019,"SIEMENS MR HEADER",0C)', '(0019,"OURS 1",0C)', '(0008,1140)[0](0019,"OURS 1",0D)'} <= paths


def test_preview_tells_no_creator_either(desk: Desk) -> None:
    desk.put({"1.dcm": with_private(NAME)})
    desk.rules(WITH_PRIVATE.replace("  recurse-sequence: true\n", "") + "    - regex: .*0019100.\n      remove: true\n")
    done = call("preview", str(desk.source), "--profile", str(desk.profile), "--csv", str(desk.folder / "t.csv"))
    assert done.code == 0, done.err
    assert "(0019,100C)" in (desk.folder / "t.csv").read_text()
    places = [line.split(": ")[0] for line in done.out.splitlines()]  # behind it stand the originals, on purpose
    assert "Jane" not in "".join(places) + done.err + (desk.folder / "t.csv").read_text()


STEERING = "\x1b]0;x\x07", "\x9b31m", "\u202e", "\u2066", "\u200f", "line\nline", "cr\rcr", "tab\ttab", "\u2028", "\x7f"


def test_nothing_steers_a_terminal_and_names_come_back(desk: Desk) -> None:
    names = [f"a/b/c/{number}{text}.dcm" for number, text in enumerate(STEERING)]
    desk.put({name: instance(number=number) for number, name in enumerate(names)})
    desk.put({f"{name}.bad.dcm": instance(number=20)[:-3] for name in names})
    done = desk.run("--labels", "keep")
    assert done.code == 1
    assert set(contents(desk.source)) == {row["source"] for row in desk.rows()}
    shown = call("preview", str(desk.source), "--profile", str(desk.profile), "--csv", str(desk.folder / "t.csv"))
    for text in (done.err, shown.out, shown.err, (desk.folder / "t.csv").read_bytes().decode().replace("\r\n", "\n"),
                 *((desk.reports / name).read_bytes().decode().replace("\r\n", "\n")
                   for name in ("private/files.csv", "audit.csv", "summary.json"))):  # fmt: skip
        assert not {char for char in text if unicodedata.category(char) in ("Cc", "Cf", "Zl", "Zp")} - {"\n"}
    rows = list(csv.reader(io.StringIO((desk.folder / "t.csv").read_bytes().decode(), newline="")))
    assert {exact(row[0]) for row in rows[1:]} == {f"{desk.source}/{name}" for name in names}


@pytest.mark.parametrize("mark", "=+-@")
def test_no_cell_is_a_formula(desk: Desk, mark: str) -> None:
    desk.put({f"{mark}S/{mark}V/{mark}A/{mark}1.zip": packed({f"{mark}d/1.dcm": instance(PatientComments="x")})})
    desk.put({f"{mark}S/{mark}V/{mark}A/{mark}2.zip": b"PK\x03\x04"})
    desk.rules(PROFILE + f"    - name: PatientComments\n      replace-with: '{mark}1+1'\n")
    assert desk.run("--labels", "keep", "--audit-originals").code == 1
    cells = [
        cell
        for name in ("private/files.csv", "audit.csv")
        for row in csv.reader(io.StringIO((desk.reports / name).read_text("utf-8"), newline=""))
        for cell in row
    ]
    assert cells and not [cell for cell in cells if cell.startswith(("=", "+", "-", "@"))]
    assert {row["source"] for row in desk.rows()} == set(contents(desk.source))
    assert [row["after"] for row in desk.rows("audit.csv") if row["keyword"] == "PatientComments"] == [f"{mark}1+1"]


ODD = "a\x1b[31m\nfw-gear-deid: all released\u202e"


@pytest.mark.parametrize(
    "arguments",
    [
        ["run", ODD, "out", "--profile", "minimal"], ["run", "in", ODD, "--profile", ODD], ["profile", "check", ODD],
        ["profile", "new", ODD], ["preview", ".", "--profile", ODD], ["keygen", "there/" + ODD],
    ],
    ids=lambda words: words[0] + words[-1][:1],
)  # fmt: skip
def test_names_on_the_command_line_make_no_lines(
    arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in").mkdir()
    done = call(*arguments)
    assert done.code == 2
    assert "a\\x1b[31m\\x0afw-gear-deid: all released\\u202e" in done.err
    assert not [line for line in done.err.splitlines() if line == "fw-gear-deid: all released"]


@pytest.mark.parametrize("form", ["text", "json"])
def test_a_profile_that_steers_is_shown_plainly(form: str, tmp_path: Path) -> None:
    path = tmp_path / ODD.replace("/", "")
    path.write_text('dicom:\n  fields:\n    - name: "\\e[31m\\x9b\\u202e"\n      remove: true\n"\\e]0;": x\n')
    done = call("profile", "check", str(path), "--format", form)
    assert done.code == 2
    assert not {char for char in done.out if unicodedata.category(char) in ("Cc", "Cf")} - {"\n"}
