"""What a source may look like, odd folders, and wrong usage."""

from __future__ import annotations

import io
import os
import re
import socket
import subprocess
import zipfile
from hashlib import sha256
from pathlib import Path

import pytest

from fw_gear_deid.sample import MARKER
from tests.desk import (
    PROFILE,
    REPORT,
    Desk,
    Files,
    call,
    contents,
    folders,
    forked,
    instance,
    packed,
    plain,
    powerless,
)

# -- what a source may look like -----------------------------------------------------------------------

SERIES = r"[^/]+/[^/]+/[^/]+/2\.25\.77\.[\d.]+\.dicom\.zip"
IN_TREE = r"sub-\w{12}/ses-\w{12}/"
LAYOUTS: dict[str, tuple[Files, dict[str, str], list[str]]] = {
    # files at the source, states of those that are not released, patterns of what is at the destination
    "tree": (
        {"S1/V1/T1/IM1": instance(), "S1/V1/T2/IM1": instance(series=2), "S2/V1/T9/a.dcm": instance("P2")},
        {},
        [IN_TREE + r"T1/.+\.MR\.dcm", IN_TREE + r"T2/.+\.MR\.dcm", IN_TREE + r"acq-\w{12}/.+\.MR\.dcm"],
    ),
    "loose": (
        {
            "IM2": instance(number=2), "b/IM1": instance(), "x/y/z/v/w/IM1": instance(series=2),
            "other.dcm": instance("P2"), "b/c/IM": instance(study=2),
        },
        {}, [SERIES] * 4,
    ),
    "archives at the top": (
        {"all.zip": packed({"d/IM1": instance(), "d/IM2": instance(number=2)}), "b.zip": packed({"IM1": instance("P2")})},
        {}, [r".+/.+/T1/all\.zip", r".+/.+/T1/b\.zip"],
    ),
    "mixed": (
        {
            "S1/V1/T1/IM1": instance(), "IM7": instance("P2"), "more/x.dicom.zip": packed({"IM1": instance("P3")}),
            "S1/V1/T1/notes.txt": REPORT.encode(), "README": REPORT.encode(),
        },
        {"S1/V1/T1/notes.txt": "skipped", "README": "skipped"},
        [IN_TREE + r"T1/.+\.MR\.dcm", SERIES, r".+/.+/T1/x\.dicom\.zip"],
    ),
    "deeper than four": (
        {"a/b/c/d/e/notes.txt": REPORT.encode(), "a/b/c/d/IM1": instance(), "a/b/c/d/e/f/g/x.zip": packed({"I": instance("P2")})},
        {"a/b/c/d/e/notes.txt": "skipped"}, [SERIES, r".+/.+/T1/x\.zip"],
    ),
    "damaged among others": (
        {"S/V/A/bad.dcm": instance()[:-3], "S/V/A/good": instance(number=2), "loose-bad.dcm": instance()[:200]},
        {"S/V/A/bad.dcm": "refused", "loose-bad.dcm": "refused"}, [IN_TREE + r"acq-\w{12}/.+\.MR\.dcm"],
    ),
    "empty file": ({"S/V/A/empty.dcm": b"", "S/V/A/empty": b"", "S/V/A/i": instance()},
                   {"S/V/A/empty.dcm": "refused", "S/V/A/empty": "skipped"}, [IN_TREE + r".+dcm"]),
    "litter": (
        {"S/V/A/.DS_Store": b"x", "S/V/A/Thumbs.db": b"x", "__MACOSX/S/V/._i.dcm": b"x", "DICOMDIR": instance()},
        {"S/V/A/.DS_Store": "skipped", "S/V/A/Thumbs.db": "skipped", "__MACOSX/S/V/._i.dcm": "skipped"}, [SERIES],
    ),
    "nothing": ({}, {}, []),
}  # fmt: skip


@pytest.mark.parametrize("layout", LAYOUTS)
def test_layout(desk: Desk, layout: str) -> None:
    files, others, expected = LAYOUTS[layout]
    desk.put(files)
    before = contents(desk.source)
    done = desk.run()
    assert desk.states() == {name: others.get(name, "released") for name in sorted(files)}
    assert done.code == (1 if "refused" in others.values() else 0), done.err
    there = sorted(desk.there())
    assert len(there) == len(expected)
    unmatched = [path for path in there if not any(re.fullmatch(pattern, path) for pattern in expected)]
    assert unmatched == []
    assert all(any(re.fullmatch(pattern, path) for path in there) for pattern in expected)
    assert contents(desk.source) == before
    assert not any(MARKER.encode() in plain(data) for data in desk.there().values())
    summary = desk.summary()
    assert summary["files"] == len(files) == sum(summary["states"].values())
    assert summary["complete"] is True


def test_single_file(desk: Desk) -> None:
    desk.put({"IM1": instance()})
    assert desk.run(source=desk.source / "IM1").code == 0
    (path,) = desk.there()
    assert re.fullmatch(SERIES, path)
    assert desk.states() == {"IM1": "released"}


def test_series_is_one_archive_of_its_instances(desk: Desk) -> None:
    desk.put({f"d{n % 3}/{n}": instance(number=n) for n in range(1, 8)})
    assert desk.run().code == 0
    (data,) = desk.there().values()
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        names = archive.namelist()
        assert len(names) == 7
        assert all(re.fullmatch(r"[\d.]+\.MR\.dcm", name) for name in names)
        assert {info.date_time for info in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}
    rows = desk.rows()
    assert {row["destination"] for row in rows} == set(desk.there())
    assert [row["members"] for row in rows] == ["7"] + ["0"] * 6
    assert {row["sha256_out"] for row in rows} == {sha256(data).hexdigest()}
    assert sorted({row["member"] for row in desk.rows("audit.csv")}) == sorted(names)


def test_one_bad_instance_refuses_its_series_and_no_other(desk: Desk) -> None:
    """Also the first one, and one that only the rules find bad."""
    desk.rules(PROFILE + "    - name: StudyDate\n      increment-date: true\n  date-increment: 3\n")
    desk.put({
        "a/1": instance(StudyDate="20200101"), "a/2": instance(number=2, StudyDate="20200230"),
        "b/1": instance(series=2, StudyDate="20200230"), "b/2": instance(series=2, number=2, StudyDate="20200101"),
        "c/1": instance(series=3, StudyDate="20200101"),
    })  # fmt: skip
    assert desk.run().code == 1
    assert desk.states() == {"a/1": "refused", "a/2": "refused", "b/1": "refused", "b/2": "refused", "c/1": "released"}
    assert all("instance 2" in desk.reasons()[name] for name in ("a/1", "a/2"))
    assert all("instance 1" in desk.reasons()[name] for name in ("b/1", "b/2"))


def test_loose_file_that_no_name_template_takes_is_skipped(desk: Desk) -> None:
    """As it is in a tree."""
    names = "  filenames:\n    - input-regex: ^(?P<n>IM.+)$\n      output: '{n}.dcm'\n"
    desk.rules(PROFILE + names)
    desk.put({"IM1": instance(), "xx1": instance(number=2), "S/V/A/IM1": instance("P2"), "S/V/A/xx": instance("P2")})
    assert desk.run().code == 0
    assert desk.states() == {"IM1": "released", "xx1": "skipped", "S/V/A/IM1": "released", "S/V/A/xx": "skipped"}


def test_what_has_no_place(desk: Desk) -> None:
    desk.rules(PROFILE + "filename:\n  filenames:\n    - input-regex: ^(?P<n>.+)$\n      output: '{n}'\n")
    desk.put({"README.txt": REPORT, "S/V/A/README.txt": REPORT, "x.zip": packed({"README.txt": REPORT.encode()})})
    assert desk.run().code == 1
    assert desk.states() == {"README.txt": "refused", "x.zip": "refused", "S/V/A/README.txt": "released"}
    assert "cannot be placed" in desk.reasons()["README.txt"]


# -- odd folders ---------------------------------------------------------------------------------------


def test_links(desk: Desk) -> None:
    outside = desk.folder / "outside"
    outside.mkdir()
    (outside / "IM1").write_bytes(instance("P9"))
    desk.put({"S/V/A/IM1": instance(), "S/V/B/IM1": instance(series=2)})
    (desk.source / "S/V/A/out").symlink_to(outside / "IM1")
    (desk.source / "S/V/C").symlink_to(outside)
    (desk.source / "S/V/D").symlink_to(outside.resolve(), target_is_directory=True)
    (desk.source / "S/V/A/gone").symlink_to("nowhere")
    (desk.source / "S/V/A/IM2").symlink_to("IM1")
    assert desk.run().code == 1
    linked = {"S/V/A/out", "S/V/C", "S/V/D"}
    assert {name for name, reason in desk.reasons().items() if "leaves the source" in reason} == linked
    assert desk.states()["S/V/A/gone"] == "failed"  # perhaps only for now
    assert desk.states()["S/V/B/IM1"] == "released"
    assert desk.states()["S/V/A/IM1"] == "released"
    assert (desk.states()["S/V/A/IM2"], desk.reasons()["S/V/A/IM2"]) == ("skipped", "copy of S/V/A/IM1")
    assert not any(b"P9" in data for data in desk.there().values())


@pytest.mark.parametrize("name", [".Trashes", "$RECYCLE.BIN", "#recycle", "S/.snapshot", "S/V/A/@eaDir", "lost+found"])
def test_folders_of_operating_systems_and_storage_are_skipped(desk: Desk, name: str) -> None:
    """What a person threw away is not released, nor what a snapshot keeps."""
    desk.put({"S/V/A/1": instance(), f"{name}/501/x/1": instance("P2"), f"{name}/1.dcm": instance("P3")})
    assert desk.run().code == 0
    assert desk.states() == {"S/V/A/1": "released", f"{name}/501/x/1": "skipped", f"{name}/1.dcm": "skipped"}
    assert desk.reasons()[f"{name}/1.dcm"].startswith("other file: in a")
    assert len(desk.there()) == 1


def test_folder_of_an_operating_system_that_may_not_be_read(desk: Desk) -> None:
    desk.put({"S/V/A/1": instance(), "lost+found/1": b""})
    (desk.source / "lost+found").chmod(0)
    assert forked(lambda: powerless(desk.run)).code == 0
    assert desk.states() == {"S/V/A/1": "released", "lost+found": "skipped"}


@pytest.mark.parametrize("target", [".", "..", "../..", "../../..", "loop", "../other"])
def test_link_loops_end(desk: Desk, target: str) -> None:
    desk.put({"S/V/A/IM1": instance()})
    (desk.source / "S/V/A/loop").symlink_to(target)
    (desk.source / "S/V/other").symlink_to("A/loop")
    done = desk.run("--quiet")
    assert done.code in (0, 1)
    assert desk.states()["S/V/A/IM1"] == "released"
    assert len(desk.there()) == 1  # other is a second way to A, and A is listed where it lies
    assert "Traceback" not in done.err


def test_folders_that_link_to_each_other_are_visited_once(desk: Desk) -> None:
    names = [f"d{n}" for n in range(8)]
    desk.put({f"{name}/IM1": instance(f"P{name}") for name in names})
    for name in names:
        for other in names:
            (desk.source / name / f"to-{other}").symlink_to(desk.source / other)
    assert desk.run("--quiet").code == 0
    assert desk.states() == {f"{name}/IM1": "released" for name in names}


def test_what_is_no_regular_file(desk: Desk) -> None:
    desk.put({"S/V/A/IM1": instance()})
    os.mkfifo(desk.source / "S/V/A/fifo")
    os.mkfifo(desk.source / "fifo.dcm")
    (desk.source / "null.dcm").symlink_to("S/V/A/fifo")
    with socket.socket(socket.AF_UNIX) as door:
        door.bind(os.path.relpath(desk.source / "door.dcm"))
    assert desk.run().code == 0
    skipped = dict.fromkeys(("S/V/A/fifo", "fifo.dcm", "null.dcm", "door.dcm"), "skipped")
    assert desk.states() == {"S/V/A/IM1": "released"} | skipped
    assert set(desk.reasons().values()) == {"", "other file: no regular file"}


def test_what_may_not_be_read(desk: Desk) -> None:
    desk.put({"S/V/A/IM1": instance(), "S/V/A/IM2": instance(number=2), "T/V/A/IM1": instance("P2")})
    desk.put({"loose": instance("P3")})
    for name in ("S/V/A/IM2", "T/V", "loose"):
        (desk.source / name).chmod(0)
    try:
        done = forked(lambda: powerless(desk.run))
    finally:
        (desk.source / "T/V").chmod(0o700)
    assert done.code == 1, done.err
    states = {"S/V/A/IM1": "released", "S/V/A/IM2": "failed", "T/V": "failed", "loose": "failed"}
    assert desk.states() == states
    assert all("Permission denied" in reason for name, reason in desk.reasons().items() if name != "S/V/A/IM1")


@pytest.mark.parametrize("place", ["out", "out-report", "."])
def test_where_nothing_may_be_written(desk: Desk, place: str) -> None:
    desk.put({"S/V/A/IM1": instance()})
    (desk.folder / place).mkdir(exist_ok=True)
    (desk.folder / place).chmod(0o500)
    try:
        done = forked(lambda: powerless(desk.run))
    finally:
        (desk.folder / place).chmod(0o700)
    assert (done.code, "no permission" in done.err, desk.there()) == (2, True, {})


def test_what_may_not_be_taken_back_is_told(desk: Desk) -> None:
    """A new profile gives another name, and the old file cannot be removed: failed, not forgotten."""
    desk.put({"S/V/A/IM1": instance()})
    desk.run()
    (old,) = desk.there()
    desk.rules(PROFILE.replace("SOPInstanceUID\n      hashuid: true", "SOPInstanceUID\n      replace-with: 1.2.3"))
    (desk.dest / old).parent.chmod(0o500)
    try:
        done = forked(lambda: powerless(lambda: desk.run("--exists", "replace")))
    finally:
        (desk.dest / old).parent.chmod(0o700)
    assert done.code == 1
    assert [row["state"] for row in desk.rows()] == ["failed"]
    assert "Permission denied" in desk.rows()[0]["reason"]
    assert old in desk.there()
    assert desk.run("--exists", "replace").code == 0
    assert [path.rpartition("/")[2] for path in desk.there()] == ["1.2.3.MR.dcm"]


def test_file_that_vanishes_after_listing(desk: Desk) -> None:
    """The source is in use: what is gone when its turn comes fails alone."""
    desk.put({f"S/V/A/{n}": instance(number=n) for n in range(3)})
    desk.put({"loose": instance("P2")})
    hooked = forked(lambda: desk.run(), on=lambda event, path: unlink_first(event, path, desk.source / "S/V/A/2"))
    assert hooked.code == 1, hooked.err
    assert desk.states() == {"S/V/A/0": "released", "S/V/A/1": "released", "S/V/A/2": "failed", "loose": "released"}
    assert "No such file" in desk.reasons()["S/V/A/2"]


def unlink_first(event: str, path: str, victim: Path) -> None:
    if event == "read" and path.endswith("S/V/A/0"):
        victim.unlink(missing_ok=True)


NAMES = [
    b"plain", b"with space", b"with'quote\"s", b"new\nline", b"carriage\rreturn", b"comma,semi;colon", b"\xff\xfe-latin-\xe9",
    "Größe-名前".encode(), b"-rf", b"%s{0}", b"*?[a]", b"a" * 250, "ü".encode() * 120, b"\x1b[31mred", b"~", b"x.partial",
]  # fmt: skip


@pytest.mark.parametrize("name", NAMES, ids=lambda name: str(name[:12]))
def test_names_that_hurt(desk: Desk, name: bytes) -> None:
    """As a file's and as a folder's, in the tree and loose; the table of files can still be read."""
    desk.rules(PROFILE + "filename:\n  filenames:\n    - input-regex: (?s)^(?P<n>.+)$\n      output: '{n}'\n")
    for number, path in enumerate(
        [b"S/V/A/" + name, name + b"/V/A/IM", b"S/" + name + b"/A/IM", b"S/V/" + name + b"/IM"]
    ):
        desk.put({os.fsdecode(path): instance(f"P{number}")})
    desk.put({os.fsdecode(b"S/V/A/text-" + name[:240]): REPORT, os.fsdecode(b"loose/" + name): instance("P7")})
    done = desk.run("--labels", "keep")
    assert "Traceback" not in done.err
    states = desk.states()
    assert len(states) == 6
    too_long = len(name) > 195
    assert sorted(states.values()) == ["refused"] * too_long + ["released"] * (6 - too_long)
    assert done.code == too_long
    for path in desk.there():
        assert path.isprintable()
        assert not set(path) & set('\\:*?"<>|')
        assert max(len(part.encode()) for part in path.split("/")) <= 200
    again = desk.run("--labels", "keep")
    assert again.code == too_long
    assert sorted(desk.states().values()) == ["refused"] * too_long + ["skipped"] * (6 - too_long)


def test_folder_deeper_than_calls_may_nest(desk: Desk) -> None:
    desk.put({"IM": instance()})
    deep = Path(*["d"] * 1050)
    subprocess.run(["mkdir", "-p", str(desk.source / deep)], check=True)  # pathlib nests calls
    try:
        (desk.source / deep / "IM").write_bytes(instance("P2"))
        assert desk.run("--quiet").code == 0
        assert desk.states() == {"IM": "released", (deep / "IM").as_posix(): "released"}
    finally:
        subprocess.run(["rm", "-rf", str(desk.source)], check=True)


# -- usage ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["nowhere", "out"], "no such file"),
        (["in", "in/out"], "one another"),
        (["in/S", "in"], "one another"),
        (["in", "in"], "one another"),
        (["in", "link"], "one another"),
        (["in", "taken"], "must be a folder"),
        (["in", "taken/out"], ""),
        (["in", "out", "--reports", "out"], "inside DEST"),
        (["in", "out", "--reports", "out/reports"], "inside DEST"),
        (["in", "out", "--reports", "in/reports"], "inside SOURCE"),
        (["in", "out", "--reports", "taken"], ""),
        (["in", "out", "--workers", "0"], "--workers"),
        (["in", "out", "--workers", "two"], "--workers"),
        (["in", "out", "--exists", "maybe"], "--exists"),
        (["in", "out", "--profile", "no-such-profile"], "no-such-profile"),
        (["in", "out", "--profile", "bad.yaml"], "PatientNaem"),
        (["in", "out", "--key-file", "nokey"], "nokey"),
        (["in", "out", "--key-file", "short"], "16 bytes"),
        (["in", "out", "--mapping", "nomap"], "nomap"),
        (["in"], "DEST"),
        ([], "SOURCE"),
        (["in", "."], "one another"),
        (["in", "/"], "one another"),
        (["in", ".."], "one another"),
    ],
    ids=" ".join,
)
def test_wrong_usage_writes_nothing(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, arguments: list[str], word: str
) -> None:
    desk.put({"S/V/A/IM1": instance()})
    (desk.folder / "taken").write_text("mine")
    (desk.folder / "short").write_text("short")
    (desk.folder / "bad.yaml").write_text("dicom:\n  fields:\n    - name: PatientNaem\n      remove: true\n")
    (desk.folder / "link").symlink_to("in")
    monkeypatch.chdir(desk.folder)
    before = contents(desk.folder), folders(desk.folder)
    profile = [] if "--profile" in arguments else ["--profile", "profile.yaml"]
    done = call("run", *arguments, *profile)
    assert done.code == 2, done.err
    assert word in done.err
    assert done.err.count("\n") < 40 and "Traceback" not in done.err
    assert (contents(desk.folder), folders(desk.folder)) == before


def test_profile_is_needed(desk: Desk) -> None:
    desk.put({"IM1": instance()})
    done = call("run", str(desk.source), str(desk.dest))
    assert (done.code, "--profile" in done.err, desk.there()) == (2, True, {})
