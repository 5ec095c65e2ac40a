"""No planted identifier leaves, whatever the profile."""

from __future__ import annotations

import json
import os
import re
import stat
import zipfile
from hashlib import sha256
from pathlib import Path

import pytest

from fw_gear_deid.deid import Result
from fw_gear_deid.sample import MARKER, Planted
from tests.desk import EVERYTHING, PROFILE, Bench, Desk, Ran, forked, instance, packed, plain
from tests.dicom_files import IDENTITY, SYNTAXES, UID, part10

SPOKEN = {"CALL", "FAMILY", "FINDING", "STUDY", "BORN"}  # of a structured report, and a description
LEFT_BY_DESIGN: dict[str, set[str]] = {
    # profile → planted words that may stay, as the header of the profile says
    "everything": set(),
    "keep-list": set(),
    "research-site": SPOKEN | {"INST"},
    "block-list": SPOKEN | {"COMMENT", "OBSERV"},
    "stored-archives": SPOKEN | {"OBSERV", "SERIAL", "STATION"},
}


@pytest.mark.parametrize("profile", LEFT_BY_DESIGN)
def test_no_planted_identifier_leaves(sampled: Desk, project: tuple[Path, list[Planted]], profile: str) -> None:
    check_no_identifier_leaves(sampled, project[1], profile, LEFT_BY_DESIGN[profile])


def test_no_planted_identifier_leaves_a_loose_folder(sampled: Desk, project: tuple[Path, list[Planted]]) -> None:
    tree = sampled.source.rename(sampled.folder / "tree")
    sampled.source.mkdir()
    tree.rename(sampled.source / "export")
    check_no_identifier_leaves(sampled, project[1], "everything", set())


def check_no_identifier_leaves(sampled: Desk, planted: list[Planted], profile: str, allowed: set[str]) -> None:
    sampled.rules(
        EVERYTHING.replace(
            "    - name: FrameOf", "    - name: SeriesDescription\n      remove: true\n    - name: FrameOf"
        )
    )
    done = sampled.run(*([] if profile == "everything" else ["--profile", profile]))
    assert (done.code, sampled.summary()["states"]) == (0, {"released": 10, "skipped": 4}), done.err
    told = done.out + done.err + (sampled.reports / "audit.csv").read_text() + json.dumps(sampled.summary())
    told += json.dumps([row | {"source": ""} for row in sampled.rows()])
    left = "\n".join(plain(data).decode("utf-8", "replace") + path for path, data in sampled.there().items())
    assert left.count("ORIGINAL") >= 16  # what is searched is not nothing
    words = {one.value for one in planted}
    kinds = {word: "BORN" if word.isdecimal() else re.sub(r"\d|^ZZ7F3A", "", word) for word in words}
    assert {kinds[word] for word in words if word in left} - allowed == set()
    assert sorted(word for word in words | {MARKER} if word in told) == []


# -- names and salts -----------------------------------------------------------------------------------


@pytest.mark.parametrize("salt", ["", "pepper"])
def test_folders_are_hashed_with_their_salt(bench: Bench, salt: str) -> None:
    options = f"zip:\n  hash-subdirectories: true\n{f'  salt: {salt}' if salt else ''}\n"
    [name] = bench.members(packed({"PID-12345/IM1": instance()}), PROFILE + options)
    assert name.split("/")[0] == sha256(f"{salt}PID-12345".encode()).hexdigest()


@pytest.mark.parametrize("name", ["Roe.dcm", "Roe", "2020-01-01 Roe.IMA", "IM1"])
@pytest.mark.parametrize("known", [True, False])
def test_a_file_is_called_by_its_instance(bench: Bench, name: str, known: bool) -> None:
    """Without one by a name that is drawn; what it was called says nothing there."""
    keep = "dicom:\n  fields:\n    - name: PatientName\n      remove: true\n"
    nodes = [node for node in IDENTITY if known or node.tag != 0x00080018]
    done = bench.deid(part10(nodes, SYNTAXES["explicit"]), keep, name)
    assert isinstance(done, Result)
    assert re.fullmatch(f"{re.escape(UID)}.CT.dcm" if known else "dicom-[0-9a-f]{12}.CT.dcm", done.released.name)


def test_a_folder_in_letters_that_nobody_knows_does_not_stay(bench: Bench) -> None:
    """Not even where nothing that a rule took away is found in it, and the header says whose the file is."""
    data = packed({"Xxxxxx/IM": instance()}, zipfile.ZIP_STORED).replace(b"Xxxxxx/", b"\xff\xfe\x81kat/")
    [name] = bench.members(data)
    assert re.fullmatch(r"folder-[0-9a-f]{12}", name.split("/")[0])


def test_a_template_does_not_bring_the_name_of_an_archive_back(bench: Bench) -> None:
    rules = PROFILE + "zip:\n  filenames:\n    - input-regex: '^(?P<n>.*)\\.zip$'\n      output: '{n}-x.zip'\n"
    for name, kept in (("Roe_Jane.zip", False), ("scan.zip", True)):
        done = bench.deid(packed({"1": instance(PatientName="Roe^Jane")}), rules, name)
        assert isinstance(done, Result)
        assert (done.released.name == name.replace(".zip", "-x.zip")) == kept
        assert "roe" not in done.released.name.lower()


# -- what stays on this side ---------------------------------------------------------------------------


def test_originals_of_an_earlier_run_do_not_stay(desk: Desk) -> None:
    desk.put({"S/V/A/1": instance()})
    assert desk.run("--audit-originals").code == 0
    assert MARKER in (desk.private / "audit.csv").read_text() and MARKER not in (desk.reports / "audit.csv").read_text()
    assert desk.run().code == 0
    assert not (desk.private / "audit.csv").exists()


def test_workspace_and_reports_are_private_wherever_they_are(desk: Desk) -> None:
    """With a ledger elsewhere, under any umask: no folder of them can be entered by others, while the run is at it."""
    desk.put({"S/V/A/1": instance()})
    seen: dict[str, int] = {}

    def hook(event: str, path: str) -> None:
        for folder in (desk.private, desk.folder / "ledger", desk.folder / "ledger/.work"):
            if folder.is_dir():
                seen[folder.name] = stat.S_IMODE(folder.stat().st_mode)

    def work() -> Ran:
        os.umask(0)
        done = desk.run("--ledger", str(desk.folder / "ledger"))
        return Ran(done.code, json.dumps(seen), done.err)

    done = forked(work, hook)
    assert done.code == 0, done.err
    assert json.loads(done.out) == {"private": 0o700, "ledger": 0o700, ".work": 0o700}


@pytest.mark.clear
def test_the_audit_of_a_job_has_no_originals(tmp_path: Path) -> None:
    """Of the file, of its containers, and of what the platform knows of the file."""
    pytest.importorskip("flywheel")
    from tests.site import PROFILE as RULES
    from tests.site import opened, scan

    rules = (
        "flywheel:\n  file:\n    fields:\n      - name: info.note\n        hash: true\n"
        "      - name: tags\n        remove: true\n"
        "  subject:\n    fields:\n      - name: lastname\n        hash: true\n"
    )
    with opened(tmp_path) as site:
        file = scan(site, f"{MARKER}/V/T", 1, StudyDate="20200101")
        file.info["note"], file.fields["tags"] = f"{MARKER}NOTE", [f"{MARKER}TAG"]
        subject = file.parent.above("subject")
        assert subject is not None
        subject.fields["lastname"] = f"{MARKER}LAST"
        assert site.here(profile=RULES + rules)[0] == 0
        rows = site.rows(report="audit.csv")
        assert {"container file.info.note", "container subject.lastname"} <= {row["path"] for row in rows}
        assert not any(row["before"] for row in rows)
        assert MARKER not in json.dumps(rows)
        more = RULES + "    - name: PatientSex\n      remove: true\n" + rules
        assert site.here(name="clear", profile=more, audit_originals=True, overwrite_files="Replace")[0] == 0
        assert f"{MARKER}NOTE" in json.dumps(site.rows("clear", report="audit.csv"))
