"""The main job as its users start it: workers, keys, reports and options."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import os
import re
import shutil
import subprocess
import sys
import termios
from hashlib import sha256

import pytest

from fw_gear_deid.keys import Keyring
from fw_gear_deid.runner.run import Job, run
from fw_gear_deid.runner.setup import PlannedProfile, book_for
from fw_gear_deid.sample import MARKER
from fw_gear_deid.stores.memory import MemorySink, MemorySource
from tests.desk import (
    AUDIT_COLUMNS,
    EVERYTHING,
    FILE_COLUMNS,
    PROFILE,
    ROOT,
    THREE,
    Desk,
    Ran,
    call,
    contents,
    instance,
    result,
    timeless,
)

# -- workers, keys, places -----------------------------------------------------------------------------


def test_workers_make_no_difference(sampled: Desk) -> None:
    sampled.put({f"loose/{n}": instance(f"Q{n % 3}", number=n) for n in range(12)} | {"bad.dcm": instance()[:-3]})
    sampled.put({"S/V/A/twin1": instance(StudyID="1"), "S/V/A/twin2": instance(StudyID="2")})
    one = sampled.run("--workers", "1")
    expected = sampled.there(), sampled.rows("audit.csv"), timeless(sampled.rows())
    assert set(sampled.states().values()) == {"released", "skipped", "refused"}
    for folder in (sampled.dest, sampled.reports):
        shutil.rmtree(folder)
    three = result(sampled.start("--workers", "3"))
    assert three == one
    assert one.code == 1
    assert (sampled.there(), sampled.rows("audit.csv"), timeless(sampled.rows())) == expected


def test_key_file_makes_the_same_bytes_anywhere(sampled: Desk) -> None:
    other = sampled.folder / "elsewhere" / "deep"
    assert sampled.run().code == 0
    assert sampled.run("--workers", "1", dest=other).code == 0
    assert contents(other) == sampled.there()
    (sampled.folder / "key2").write_text("another key of these tests")
    third = sampled.folder / "third"
    assert sampled.run("--key-file", str(sampled.folder / "key2"), dest=third).code == 0
    assert not contents(third).keys() & sampled.there().keys()


def test_own_key_stays_with_the_reports(desk: Desk) -> None:
    desk.put(THREE)
    run = ["run", str(desk.source), str(desk.dest), "--profile", str(desk.profile), "--workers", "1"]
    assert call(*run).code == 0
    first, key = desk.there(), desk.private / "secret.key"
    assert key.stat().st_mode & 0o777 == 0o600
    shutil.rmtree(desk.dest)
    assert call(*run).code == 0
    assert desk.there() == first
    assert key.read_text().strip() not in "".join(path.read_text("latin-1") for path in desk.reports.glob("*.*v"))
    for path in [desk.dest, desk.reports]:
        shutil.rmtree(path)
    assert call(*run).code == 0
    assert not desk.there().keys() & {path for path in first if path.startswith("sub-")}


# -- reports -------------------------------------------------------------------------------------------

RFC4180 = re.compile(rb'(?:(?:"(?:[^"]|"")*"|[^",\r\n]*)(?:,|\r\n))*')


@pytest.mark.clear  # with labels that are kept
def test_reports_have_their_form(sampled: Desk) -> None:
    sampled.put({'S/V/A/odd, "name"\n.dcm': instance(), "bad.dcm": instance()[:-3]})
    assert sampled.run("--labels", "keep").code == 1
    for name, columns in (("audit.csv", AUDIT_COLUMNS), ("files.csv", FILE_COLUMNS)):
        data = ((sampled.private if name == "files.csv" else sampled.reports) / name).read_bytes()
        assert data.startswith(columns.encode() + b"\r\n")
        assert RFC4180.fullmatch(data), name
        rows = list(csv.reader(io.StringIO(data.decode(), newline=""), strict=True))
        assert {len(row) for row in rows} == {columns.count(",") + 1}
    files, audit, summary = sampled.rows(), sampled.rows("audit.csv"), sampled.summary()
    assert [row["source"] for row in files] == [*sorted(contents(sampled.source))]
    for row in files:
        assert row["state"] in ("released", "skipped", "refused", "failed")
        assert (
            row["reason"] if row["state"] != "released" else row["reason"] in ("", "2 members left out: 2 system files")
        )
        assert int(row["bytes_in"]) == (sampled.source / row["source"]).stat().st_size
        if row["state"] == "released":
            data = (sampled.dest / row["destination"]).read_bytes()
            assert (int(row["bytes_out"]), row["sha256_out"]) == (len(data), sha256(data).hexdigest())
            assert int(row["changes"]) == sum(one["file"] == row["destination"] for one in audit)
        else:
            assert row["destination"] == row["sha256_out"] == ""
            assert row["changes"] == row["members"] == row["bytes_out"] == "0"
    assert summary["files"] == len(files)
    assert summary["states"] == {state: sum(row["state"] == state for row in files) for state in summary["states"]}
    assert summary["totals"] == {
        name: sum(int(row[name]) for row in files) for name in ("changes", "members", "bytes_in", "bytes_out")
    }
    inside = [row for row in audit if not row["path"].startswith("container ")]
    assert summary["actions"] == {
        action: sum(row["action"] == action for row in inside) for action in {row["action"] for row in inside}
    }
    assert summary["profile"]["sha256"] == sha256(sampled.profile.read_bytes()).hexdigest()
    assert {row["file"] for row in inside} == sampled.there().keys()


@pytest.mark.parametrize("originals", [False, True])
def test_before_is_told_on_request_only(sampled: Desk, originals: bool) -> None:
    sampled.rules(EVERYTHING)
    assert sampled.run(*(["--audit-originals"] if originals else [])).code == 0
    audit = sampled.rows("audit.csv")
    assert {row["before"] for row in audit} == {""}
    assert MARKER not in (sampled.reports / "audit.csv").read_text()
    assert (sampled.private / "audit.csv").exists() == originals
    if not originals:
        return
    told = audit
    audit = sampled.rows("audit.csv", sampled.private)
    assert [row | {"before": ""} for row in audit] == told
    before = {row["before"] for row in audit}
    shown = {row["keyword"]: row["before"] for row in audit}
    assert shown["PatientBirthDate"] in ("19010207", "19010316")
    assert {f"{MARKER}001FAMILY^{MARKER}001GIVEN=金糸雀001=カナリア001", f"{MARKER}002MRN"} <= before
    assert any(row["path"] == "filename" and row["before"].endswith("FAMILY.dicom.zip") for row in audit)
    assert any(row["path"] == "container subject.label" and row["before"] == f"{MARKER}001MRN" for row in audit)
    assert MARKER not in "".join(row["after"] + row["file"] + row["member"] + row["path"] for row in audit)


def test_audit_has_a_row_for_every_kind_of_change(sampled: Desk) -> None:
    sampled.rules(EVERYTHING)
    sampled.run()
    rows = {(row["path"], row["action"], row["rule"]) for row in sampled.rows("audit.csv")}
    expected = {
        ("(0010,0010)", "remove", "profile.yaml"),
        ("(0010,0020)", "hash", "profile.yaml"),
        ('(0019,"SIEMENS MR HEADER",0C)', "remove", "remove-private-tags"),
        ("trailing bytes", "remove", "always: bytes after the last element"),
        ("preamble", "", "always: preamble"),
        ("filename", "rename", "default name"),
        ("filename", "rename", "always: name carries an identifier"),
        ("folder", "rename", "always: name carries an identifier"),
        ("member", "remove", "always: member that no section takes"),
        ("zip comment", "remove", "always: zip comment"),
        ("zip extra", "remove", "always: zip extra fields and member comments"),
        ("container subject.label", "replace-with", "always: label without a rule"),
        ("container session.label", "replace-with", "always: label without a rule"),
        ("container acquisition.label", "replace-with", "always: label without a rule"),
    }
    missing = [
        one for one in expected
        if not any(path == one[0] and one[1] in action and one[2] in rule for path, action, rule in rows)
    ]  # fmt: skip
    assert missing == [], sorted(rows)
    kept = {row["destination"].split("/")[2] for row in sampled.rows() if row["destination"]}
    told = {row["after"] for row in sampled.rows("audit.csv") if row["path"] == "container acquisition.label"}
    assert {"T1_MPRAGE", "DTI", "Report", "Abdomen"} < kept
    assert told == kept - {"T1_MPRAGE", "DTI", "Report", "Abdomen"}


def test_reports_are_private(desk: Desk) -> None:
    desk.put(THREE)
    desk.run()
    for name in ("audit.csv", "private/files.csv", "summary.json", "private/state.sqlite", "private/README.txt"):
        assert (desk.reports / name).stat().st_mode & 0o777 == 0o600, name


# -- options -------------------------------------------------------------------------------------------


def test_dry_run_writes_nothing_and_reports(desk: Desk) -> None:
    desk.put(THREE | {"bad.dcm": instance()[:-3]})
    done = desk.run("--dry-run")
    assert (done.code, desk.dest.exists()) == (1, False)
    told, audit = timeless(desk.rows()), desk.rows("audit.csv")
    assert desk.states() == dict.fromkeys(THREE, "released") | {"bad.dcm": "refused"}
    assert desk.summary()["options"]["dry_run"] is True
    assert not (desk.private / ".work").exists()
    assert desk.run().code == 1
    would = [row | {"reason": "dry run: would be released"} for row in timeless(desk.rows()) if row["destination"]]
    assert ([row for row in told if row["destination"]], audit) == (would, desk.rows("audit.csv"))


def test_dry_run_after_a_run_changes_nothing(desk: Desk) -> None:
    desk.put(THREE)
    desk.run()
    first, ledger = desk.there(), (desk.private / "state.sqlite").read_bytes()
    assert desk.run("--dry-run").code == 0
    assert set(desk.states().values()) == {"skipped"}
    desk.rules(PROFILE.replace("hashuid: true", "keep: true"))
    assert desk.run("--dry-run", "--exists", "replace").code == 0
    assert set(desk.states().values()) == {"released"}
    desk.put({"S/V/A/9": instance(StudyID="9"), "S/V/A/2": instance()[:-3]})
    assert desk.run("--dry-run", "--exists", "replace").code == 1
    assert desk.states() == {"S/V/A/1": "refused", "S/V/A/2": "refused", "S/V/A/9": "refused", "x/3": "released"}
    assert (desk.there(), (desk.private / "state.sqlite").read_bytes()) == (first, ledger)


def test_labels_keep(desk: Desk) -> None:
    desk.put({"Subject 1/Visit: 1/T1/IM": instance(), "loose": instance("P2")})
    assert desk.run("--labels", "keep").code == 0
    loose, tree = sorted(desk.there(), key=lambda path: " " in path)
    assert tree.startswith("Subject 1/Visit_ 1/T1/")
    assert loose.split("/")[0] == sha256(b"P2").hexdigest()[:16]


@pytest.mark.parametrize("verify", ["strict", "full", "report", "off"])
def test_verify_is_told_and_changes_no_byte(desk: Desk, verify: str) -> None:
    desk.put(THREE)
    assert desk.run("--verify", verify).code == 0
    assert desk.summary()["options"]["verify"] == verify
    there = desk.there()
    shutil.rmtree(desk.dest)
    desk.run("--exists", "replace")
    assert desk.there() == there


def test_quiet_says_what_is_missing(desk: Desk) -> None:
    desk.put(THREE | {"bad.dcm": instance()[:-3]})
    done = result(desk.start("--quiet"))
    assert done == Ran(1, "", f"3 released, 1 refused; 27 changes; reports in {desk.reports}\n")
    assert len(desk.rows()) == 4
    (desk.source / "bad.dcm").unlink()
    assert result(desk.start("--quiet")) == Ran(0, "", "")


def test_mapping_is_checked_before_anything_is_written(desk: Desk) -> None:
    desk.put({"S1/V/A/1": instance(), "S2/V/A/1": instance("P2")})
    desk.rules(PROFILE.replace("hash: true", 'replace-with: "{{ NEW }}"'))
    table = desk.folder / "map.csv"
    table.write_text("subject.label,NEW\nS1,0001\n")
    done = desk.run("--mapping", str(table))
    assert (done.code, "S2" in done.err or "row" in done.err, desk.dest.exists()) == (2, True, False)
    table.write_text("subject.label,NEW\nS1,0001\nS2,1e5\n")
    assert desk.run("--mapping", str(table)).code == 0
    assert all(one in b"".join(desk.there().values()) for one in (b"0001", b"1e5"))
    table.write_text("subject.label,NEW\nS1,0002\nS2,1e5\n")
    assert desk.run("--mapping", str(table), "--exists", "replace").code == 0
    assert desk.states() == {"S1/V/A/1": "released", "S2/V/A/1": "skipped"}


def test_progress_on_a_terminal(sampled: Desk) -> None:
    sampled.put({"bad.dcm": instance()[:-3]})
    ours, theirs = os.openpty()
    termios.tcsetwinsize(theirs, (24, 80))
    process = subprocess.Popen([sys.executable, "-m", "fw_gear_deid", *sampled.arguments()], cwd=ROOT, stderr=theirs)
    os.close(theirs)
    shown = b""
    with contextlib.suppress(OSError):  # its other end is closed
        while block := os.read(ours, 4096):
            shown += block
    os.close(ours)
    assert process.wait(timeout=30) == 1
    assert b"15/15" in shown
    assert b"looking: " in shown and b"refused: bad.dcm: " in shown
    assert MARKER.encode() not in shown


# -- other stores --------------------------------------------------------------------------------------


def test_stores_that_are_no_folders(desk: Desk) -> None:
    """Where the store knows its files by their origin, a rerun needs no ledger."""
    source = MemorySource(
        {f"S/V/A/{n}": instance(number=n) for n in range(3)} | {"S/V/A/n.txt": b"x", "T/V/A/0": instance("P2")}
    )
    sink = MemorySink()
    for number, states in enumerate(({"released": 4, "skipped": 1}, {"skipped": 5})):
        reports = desk.folder / f"reports{number}"
        items = list(source.items())
        book = book_for(
            PlannedProfile.read(PROFILE, "p.yaml", "input"),
            None,
            source.containers(items),
            by_session=False,
        )
        branches = source.containers(items)
        key = Keyring(b"k" * 32)
        job = Job(source, sink, items, branches, book, key, reports, reports, reports, quiet=True)
        assert run(job)[0] == 0
        assert json.loads((reports / "summary.json").read_text())["states"] == states
        assert len(sink.files) == 4
    assert [len(chain) for chain in sink.containers] == [3, 3]
    assert {upload.members for upload in sink.uploads.values()} == {1}
