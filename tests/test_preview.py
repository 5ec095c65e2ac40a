"""What a profile would do, shown to whoever holds the data; nothing is written but the table that was asked for."""

from __future__ import annotations

import csv
import io
import json
import os
import re

import pytest

from fw_gear_deid.sample import MARKER, make_sample
from tests.desk import PROFILE, Desk, Ran, call, contents, folders, instance, packed

FIELDS = ["src_path", "type", "StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"]


def preview(desk: Desk, *arguments: str, rules: str = PROFILE) -> Ran:
    desk.rules(rules)
    return call("preview", *(arguments or [str(desk.source)]), "--profile", str(desk.profile))


def table(desk: Desk) -> list[list[str]]:
    return list(csv.reader(io.StringIO((desk.folder / "t.csv").read_bytes().decode(), newline=""), strict=True))


def test_before_and_after_of_every_change(desk: Desk) -> None:
    desk.put({"a/IM1": instance(), "x.zip": packed({"d/IM2": instance(number=2), "n.txt": b"x"})})
    before = contents(desk.folder), folders(desk.folder)
    done = preview(desk)
    assert done.code == 0
    assert (contents(desk.folder), folders(desk.folder)) == before
    lines = done.out.splitlines()
    assert [line for line in lines if not line.startswith(" ")] == [
        f"{desk.source}/a/IM1", f"{desk.source}/x.zip!d/IM2",
    ]  # fmt: skip
    assert f"  (0010,0010) PatientName PN: '{MARKER}^P1' -> '(removed)'  [remove, profile.yaml:4]" in lines
    changed = re.findall(
        r"^  \(0010,0020\) PatientID LO: 'P1' -> '([0-9a-f]{16})'  \[hash, profile.yaml:6\]$", done.out, re.M
    )
    assert len(set(changed)) == 1 and len(changed) == 2


def test_one_file(desk: Desk) -> None:
    desk.put({"IM1": instance()})
    done = preview(desk, str(desk.source / "IM1"), str(desk.source / "IM1"))
    assert done.code == 0
    assert done.out.count("PatientName") == 2


def test_table_has_two_rows_for_each_file(desk: Desk) -> None:
    desk.put({"a": instance(), "b": instance("P2"), "x.zip": packed({"IM": instance("P3")}), "notes.txt": b"x"})
    rules = (
        PROFILE + "    - name: PatientComments\n      remove: true\n    - regex: .*Description\n      remove: true\n"
    )
    assert preview(desk, str(desk.source), "--csv", str(desk.folder / "t.csv"), rules=rules).code == 0
    header, *rows = table(desk)
    assert header == [*FIELDS, "PatientName", "PatientID", "PatientComments", ".*Description"]
    assert [row[1] for row in rows] == ["before", "after"] * 3
    assert [row[0].rpartition("/")[2] for row in rows[::2]] == ["a", "b", "x.zip!IM"]
    for before, after in zip(rows[::2], rows[1::2], strict=True):
        assert before[0] == after[0]
        assert before[2].startswith("2.25.77.1.") and after[2] != before[2]
        assert (before[5].startswith(f"{MARKER}^P"), after[5]) == (True, "")
        assert re.fullmatch("[0-9a-f]{16}", after[6])
        assert before[7] == after[7] == ""
        assert json.loads(before[8]) == {"SeriesDescription": "T1"}
        assert json.loads(after[8]) == {}
    assert (desk.folder / "t.csv").stat().st_mode & 0o777 == 0o600  # it holds identifiers
    assert (desk.folder / "t.csv").read_bytes().count(b"\r\n") == 7


def test_table_of_nested_and_repeated_fields(desk: Desk) -> None:
    desk.put({"a": instance(RequestAttributesSequence=[nested("A"), nested("B")], StudyID="7")})
    rules = (
        "dicom:\n  recurse-sequence: true\n  fields:\n    - name: ScheduledProcedureStepID\n      remove: true\n"
        "    - name: StudyID\n      replace-with: '1'\n    - name: StudyID\n      replace-with: '2'\n"
    )
    assert preview(desk, str(desk.source), "--csv", str(desk.folder / "t.csv"), rules=rules).code == 0
    header, before, after = table(desk)
    assert header == [*FIELDS, "ScheduledProcedureStepID", "StudyID"]
    assert list(json.loads(before[5]).values()) == ["A", "B"]
    assert after[5] == ""
    assert (before[6], after[6]) == ("7", "2")


def nested(text: str) -> object:
    from pydicom.dataset import Dataset

    ds = Dataset()
    ds.ScheduledProcedureStepID = text
    return ds


@pytest.mark.parametrize(
    ("name", "data", "reason"),
    [
        ("bad.dcm", instance()[:-3], "refused: "),
        ("empty.dcm", b"", "refused: "),
        ("x.zip", packed({"1": instance()})[:-30], "refused: the archive is damaged"),
        ("x.zip", packed({"1": instance()[:-3]}), "refused: "),
    ],
)
def test_refused_files_are_told_and_the_rest_goes_on(desk: Desk, name: str, data: bytes, reason: str) -> None:
    desk.put({name: data, "z": instance()})
    done = preview(desk, str(desk.source), "--csv", str(desk.folder / "t.csv"))
    assert done.code == 1
    assert reason in done.out
    assert "PatientName" in done.out.rpartition("/z\n")[2]
    assert len(table(desk)) == 3


def test_odd_things_in_a_folder(desk: Desk) -> None:
    desk.put({"z": instance(), ".DS_Store": b"x", "DICOMDIR.txt": b"x", "empty": b""})
    (desk.source / "gone").symlink_to("nowhere")
    (desk.source / "self").symlink_to("self")
    os.mkfifo(desk.source / "fifo.dcm")
    desk.put({os.fsdecode(b"\xff\xfe.dcm"): instance("P2"), "\x1b[31m\n.dcm": instance("P3")})
    done = preview(desk, str(desk.source), "--csv", str(desk.folder / "t.csv"))
    assert done.code == 1
    assert done.out.count("refused: ") == 2  # the FIFO is nobody's data
    assert done.out.count(MARKER) == 3
    assert done.out.encode()
    assert "\x1b" not in done.out
    assert len(table(desk)) == 7


@pytest.mark.parametrize(
    ("arguments", "code", "word"),
    [
        (["nowhere"], 1, "refused"),
        ([], 2, "PATH"),
        (["in", "--csv", "no/such/folder.csv"], 2, "cannot be written"),
        (["in", "--csv", "in"], 2, "exists already"),
        (["in", "--csv", "profile.yaml"], 2, "exists already"),
        (["in", "--csv", "link"], 2, "exists already"),
        (["in", "--key-file", "nowhere"], 2, "key"),
        (["in", "--profile", "nowhere"], 2, "nowhere"),
    ],
    ids=str,
)
def test_wrong_usage(desk: Desk, monkeypatch: pytest.MonkeyPatch, arguments: list[str], code: int, word: str) -> None:
    desk.put({"IM": instance()})
    (desk.folder / "link").symlink_to("nowhere")
    monkeypatch.chdir(desk.folder)
    profile = [] if "--profile" in arguments else ["--profile", "profile.yaml"]
    done = call("preview", *arguments, *profile)
    assert done.code == code, done
    assert word in done.out + done.err
    assert desk.profile.read_text() == PROFILE
    assert not (desk.folder / "nowhere").exists()
    assert "Traceback" not in done.err
    assert sorted(contents(desk.folder)) == ["in/IM", "key", "profile.yaml"]


@pytest.mark.parametrize(("profile", "code"), [("research-site", 0), ("basic-longitudinal", 1)])
def test_preview_and_run_agree(desk: Desk, profile: str, code: int) -> None:
    """What is shown is what is done: the audit has the same rows, marks of the standard among them."""
    desk.source.rmdir()
    make_sample(desk.source, 1)
    key = str(desk.folder / "key")
    done = call("preview", str(desk.source), "--profile", profile, "--key-file", key)
    assert done.code == code
    assert desk.run("--profile", profile).code == code
    shown = sorted(re.findall(r"^  (\(.*\)) (\w*) (\w\w): .* \[([\w-]+), .*\]$", done.out, re.M))
    elements = sorted(
        (row["path"], row["keyword"], row["vr"], row["action"])
        for row in desk.rows("audit.csv")
        if row["path"].startswith("(")
    )
    assert shown == elements
    assert len({path for path, _, _, _ in shown}) > 20
