"""The main job as its users and its enemies start it: a folder in, a folder out, and what is told of it."""

from __future__ import annotations

import contextlib
import csv
import ctypes
import errno
import fcntl
import io
import json
import os
import re
import resource
import shutil
import signal
import socket
import subprocess
import sys
import termios
import time
import traceback
import warnings
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian

from fw_gear_deid.cli import main
from fw_gear_deid.keys import Keyring
from fw_gear_deid.model.cells import exact
from fw_gear_deid.model.outcome import Released
from fw_gear_deid.runner.run import Job, run
from fw_gear_deid.runner.setup import PlannedProfile, book_for
from fw_gear_deid.runner.workers import Settings, Task
from fw_gear_deid.runner.workers import process as carry_out
from fw_gear_deid.sample import MARKER, Planted, make_sample
from fw_gear_deid.stores.memory import MemorySink, MemorySource

ROOT = Path(__file__).resolve().parents[1]
MR = "1.2.840.10008.5.1.4.1.1.4"
PROFILE = """\
name: test
dicom:
  fields:
    - name: PatientName
      remove: true
    - name: PatientID
      hash: true
    - name: StudyInstanceUID
      hashuid: true
    - name: SeriesInstanceUID
      hashuid: true
    - name: SOPInstanceUID
      hashuid: true
"""
MORE = PROFILE + "    - name: PatientSex\n      remove: true\n"
SAME_LABEL = PROFILE + "flywheel:\n  subject:\n    fields:\n      - name: label\n        replace-with: SAME\n"
FILE_COLUMNS = "source,destination,state,reason,changes,members,bytes_in,bytes_out,sha256_out,seconds"
AUDIT_COLUMNS = "file,member,path,keyword,vr,action,rule,before,after"
Files = Mapping[str, bytes]


def instance(patient: str = "P1", study: int = 1, series: int = 1, number: int = 1, **values: Any) -> bytes:
    """Return a small MR instance; its UIDs say which it is."""
    ds = Dataset()
    uid = f"2.25.77.1.{sum(patient.encode())}.{study}.{series}"
    fields = {
        "SOPClassUID": MR, "SOPInstanceUID": f"{uid}.{number}", "SeriesInstanceUID": uid, "Modality": "MR",
        "StudyInstanceUID": uid.rpartition(".")[0], "PatientID": patient, "PatientName": f"{MARKER}^{patient}",
        "PatientSex": "O", "SeriesDescription": f"T{series}", "InstanceNumber": str(number),
    }  # fmt: skip
    for keyword, value in (fields | values).items():
        setattr(ds, keyword, value)
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    stream = io.BytesIO()
    ds.save_as(stream, enforce_file_format=True)
    return stream.getvalue()


def packed(members: Files, compression: int = zipfile.ZIP_DEFLATED, comment: bytes = b"") -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", compression) as archive:
        archive.comment = comment
        for name, data in members.items():
            archive.writestr(name, data)
    return stream.getvalue()


def contents(folder: Path) -> dict[str, bytes]:
    """Return every file below a folder by relative path."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != ".fw-gear-deid"  # what DEST tells of itself
    }


def folders(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_dir()}


def plain(data: bytes) -> bytes:
    """Return bytes with everything in them that is packed: members of archives, deflated data sets."""
    found = [data]
    if data[:2] == b"PK":
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            assert archive.testzip() is None
            found += [archive.comment]
            for info in archive.infolist():
                found += [info.filename.encode(), info.comment, info.extra, plain(archive.read(info))]
    if data[128:132] == b"DICM" and DeflatedExplicitVRLittleEndian.encode() in data[132:1024]:
        start = 144 + int.from_bytes(data[140:144], "little")
        found.append(zlib.decompress(data[start:], -15))
    return b"\n".join(found)


@dataclass(frozen=True, slots=True)
class Ran:
    """Exit code and what was said."""

    code: int
    out: str
    err: str


@dataclass(slots=True)
class Desk:
    """A folder with a source, a profile and a key, and where results and reports go."""

    folder: Path
    source: Path = field(init=False)
    dest: Path = field(init=False)
    reports: Path = field(init=False)
    profile: Path = field(init=False)

    def __post_init__(self) -> None:
        self.source, self.dest, self.reports = (self.folder / name for name in ("in", "out", "out-report"))
        self.profile = self.folder / "profile.yaml"
        self.source.mkdir()
        self.rules(PROFILE)
        (self.folder / "key").write_text("a key of these tests, and of no others")

    def rules(self, text: str) -> None:
        self.profile.write_text(text, encoding="utf-8")

    def put(self, files: Mapping[str, bytes | str]) -> None:
        for name, data in files.items():
            path = self.source / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data.encode() if isinstance(data, str) else data)

    def arguments(self, *options: str, source: Path | None = None, dest: Path | None = None) -> list[str]:
        places = [str(source or self.source), str(dest or self.dest)]
        named = [] if "--profile" in options else ["--profile", str(self.profile)]
        keyed = [] if "--key-file" in options else ["--key-file", str(self.folder / "key")]
        workers = [] if "--workers" in options else ["--workers", "1"]
        return ["run", *places, *named, *keyed, *workers, *options]

    def run(self, *options: str, source: Path | None = None, dest: Path | None = None) -> Ran:
        """Run in this process."""
        return call(*self.arguments(*options, source=source, dest=dest))

    def start(self, *options: str) -> subprocess.Popen[bytes]:
        """Start a process of its own that cannot be far ahead of who reads its progress."""
        process = subprocess.Popen(
            [sys.executable, "-m", "fw_gear_deid", *self.arguments(*options)], cwd=ROOT, bufsize=0,
            env={**os.environ, "TOKEN": str(self.folder)}, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # background jobs of a shell ignore it
        )  # fmt: skip
        assert process.stderr is not None
        fcntl.fcntl(process.stderr, fcntl.F_SETPIPE_SZ, 4096)
        return process

    def there(self) -> dict[str, bytes]:
        return contents(self.dest) if self.dest.exists() else {}

    @property
    def private(self) -> Path:
        return self.reports / "private"

    def rows(self, report: str = "files.csv", reports: Path | None = None) -> list[dict[str, str]]:
        folder = reports or self.reports
        text = (folder / "private" / report if report == "files.csv" else folder / report).read_bytes().decode()
        rows = csv.DictReader(io.StringIO(text, newline=""))
        return [{column: exact(cell) for column, cell in row.items()} for row in rows]

    def states(self) -> dict[str, str]:
        return {row["source"]: row["state"] for row in self.rows()}

    def reasons(self) -> dict[str, str]:
        return {row["source"]: row["reason"] for row in self.rows()}

    def summary(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.reports / "summary.json").read_text(encoding="utf-8"))
        return found


def result(process: subprocess.Popen[bytes]) -> Ran:
    """Wait for the end of a process."""
    out, err = process.communicate(timeout=60)
    return Ran(process.returncode, out.decode(), err.decode())


def call(*arguments: str) -> Ran:
    """Carry out a command line in this process."""
    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(io.StringIO()) as err:
        try:
            code = main(arguments)
        except SystemExit as stop:
            code = int(stop.code or 0)
    return Ran(code, out.getvalue(), err.getvalue())


TOUCHES = {"os.link", "os.rename", "os.remove", "os.rmdir", "os.mkdir", "open"}
Hook = Callable[[str, str], None]


def forked(work: Callable[[], Ran], on: Hook = lambda event, path: None) -> Ran:
    """Run in a fork of this process, where a hook sees each touch of the file system before it happens.

    The hook may kill the process, send it a signal or raise what the system would.
    """
    reader, writer = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # threads of other tests do not matter to this child
        child = os.fork()
    if child == 0:
        try:
            os.close(reader)

            def hook(event: str, arguments: tuple[Any, ...]) -> None:
                if event in TOUCHES and isinstance(arguments[0], (str, bytes, os.PathLike)):
                    written = event != "open" or (arguments[2] or 0) & os.O_ACCMODE != os.O_RDONLY
                    on(event if written else "read", os.fsdecode(arguments[0]))

            sys.addaudithook(hook)
            done = work()
        except BaseException:  # noqa: BLE001 -- nothing may get back into pytest
            done = Ran(-1, "", traceback.format_exc())
        with os.fdopen(writer, "w", errors="backslashreplace") as stream:
            json.dump([done.code, done.out, done.err], stream)
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as stream:
        text = stream.read()
    _, status = os.waitpid(child, 0)
    return Ran(*json.loads(text)) if text else Ran(-os.WTERMSIG(status), "", "")


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


# -- what a source may look like -----------------------------------------------------------------------

SERIES = r"[^/]+/[^/]+/[^/]+/2\.25\.77\.[\d.]+\.dicom\.zip"
IN_TREE = r"sub-\w{12}/ses-\w{12}/"
REPORT = "Seen by ZZ."
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


def powerless(work: Callable[[], Ran]) -> Ran:
    """Give up what lets root read and write everything (capset(2)), then work."""
    words = ctypes.c_uint32 * 6
    assert ctypes.CDLL(None).capset((ctypes.c_uint32 * 2)(0x20080522, 0), words()) == 0
    return work()


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


# -- no identifier leaves ------------------------------------------------------------------------------

REMOVED = (
    "PatientName PatientBirthDate PatientAddress OtherPatientIDsSequence AccessionNumber StudyID StudyDescription "
    "ReferringPhysicianName OperatorsName InstitutionName StationName DeviceSerialNumber ImageComments "
    "RequestAttributesSequence ContentSequence"
)
EVERYTHING = (
    PROFILE.replace("  fields:", "  remove-private-tags: true\n  fields:")
    .replace("    - name: PatientName\n      remove: true\n", "")
    + "".join(f"    - name: {name}\n      remove: true\n" for name in REMOVED.split())
    + "    - name: FrameOfReferenceUID\n      hashuid: true\n"
)  # fmt: skip


@pytest.fixture(scope="session")
def project(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Planted]]:
    folder = tmp_path_factory.mktemp("project") / "in"
    return folder, make_sample(folder, 2)


@pytest.fixture
def sampled(desk: Desk, project: tuple[Path, list[Planted]]) -> Desk:
    """A desk with the sample, in the tree and loose."""
    shutil.copytree(project[0], desk.source, dirs_exist_ok=True)
    return desk


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


# -- run again -----------------------------------------------------------------------------------------

THREE = {"S/V/A/1": instance(), "S/V/A/2": instance(number=2), "x/3": instance("P2")}


def test_rerun_skips_what_is_done(desk: Desk) -> None:
    desk.put(THREE | {"S/V/A/notes.txt": REPORT.encode()})
    assert desk.run().code == 0
    first, audit, rows = desk.there(), desk.rows("audit.csv"), desk.rows()
    for _ in range(2):
        assert desk.run().code == 0
        assert set(desk.states().values()) == {"skipped"}
        assert desk.there() == first
        assert desk.rows("audit.csv") == audit
        assert [row["destination"] for row in desk.rows()] == [row["destination"] for row in rows]
    assert desk.reasons()["S/V/A/1"] == "unchanged: an earlier run released it"


@pytest.mark.parametrize("between", [0, 1, 2], ids=["at once", "after a rerun", "after two"])
@pytest.mark.parametrize("changed", THREE)
def test_changed_source_is_stale_and_done_again_alone(desk: Desk, changed: str, between: int) -> None:
    desk.put(THREE)
    for _ in range(between + 1):
        assert desk.run().code == 0
    first = desk.there()
    desk.put({changed: instance("P2" if changed == "x/3" else "P1", number=int(changed[-1]) if changed != "x/3" else 1,
                                StudyID="NEW")})  # fmt: skip
    done = desk.run()
    assert (done.code, desk.there(), set(desk.states().values())) == (1, first, {"skipped"})
    assert {name for name, reason in desk.reasons().items() if reason.startswith("stale: ")} == {changed}
    assert desk.run("--exists", "replace").code == 0
    assert {name: state for name, state in desk.states().items() if state != "skipped"} == {changed: "released"}
    now = desk.there()
    assert now.keys() == first.keys()
    different = [path for path in now if now[path] != first[path]]
    assert different == [desk_row(desk, changed)["destination"]]
    assert b"NEW" in plain(now[different[0]])


def test_results_of_a_longer_profile_are_stale_and_told(desk: Desk) -> None:
    desk.put(THREE)
    desk.rules(PROFILE + "".join(f"    - {{name: '(0099,{n:04d})', remove: true}}\n" for n in range(50)))
    assert desk.run().code == 0
    assert len(desk.summary()["rules_without_a_match"]) >= 50
    desk.rules(PROFILE)
    assert desk.run().code == 1
    assert {reason.partition(":")[0] for reason in desk.reasons().values()} == {"stale"}
    assert desk.summary()["rules_without_a_match"] == []


def desk_row(desk: Desk, source: str) -> dict[str, str]:
    return next(row for row in desk.rows() if row["source"] == source)


@pytest.mark.parametrize("between", [0, 1])
def test_other_profile_renews_everything(desk: Desk, between: int) -> None:
    desk.put(THREE)
    for _ in range(between + 1):
        desk.run()
    first = desk.there()
    desk.rules(MORE)
    assert (desk.run().code, desk.there()) == (1, first)
    assert {reason.partition(":")[0] for reason in desk.reasons().values()} == {"stale"}
    assert desk.run("--exists", "replace").code == 0
    assert set(desk.states().values()) == {"released"}
    now = desk.there()
    assert now.keys() == first.keys()
    assert all(now[path] != first[path] for path in now)
    assert not any(b"\x10\x00\x40\x00CS" in plain(data) for data in now.values())


def test_other_labels_move_everything(desk: Desk) -> None:
    desk.put(THREE)
    desk.run()
    assert desk.run("--labels", "keep").code == 0
    assert desk.states() == {"S/V/A/1": "released", "S/V/A/2": "released", "x/3": "skipped"}
    assert len(desk.there()) == 3
    assert all(next((desk.dest / folder).iterdir(), None) for folder in folders(desk.dest))


def test_options_that_change_no_byte_make_nothing_stale(desk: Desk) -> None:
    desk.put(THREE)
    desk.run("--verify", "off")
    first = desk.there()
    for options in ([], ["--verify", "off"], ["--audit-originals"], []):
        assert (desk.run(*options).code, set(desk.states().values()), desk.there()) == (0, {"skipped"}, first)
        assert {reason.partition(":")[0] for reason in desk.reasons().values()} == {"unchanged"}
        assert {row["before"] for row in desk.rows("audit.csv")} == {""}
        if options == ["--audit-originals"]:
            assert MARKER in "".join(row["before"] for row in desk.rows("audit.csv", desk.private))


def test_name_that_changes_leaves_nothing_behind(desk: Desk) -> None:
    """Another UID of the source, another UID by the profile: the file of the old name goes, and its empty folders."""
    desk.put(THREE)
    desk.run()
    desk.put({"S/V/A/2": instance(number=7)})
    assert desk.run("--prune").code == 0
    assert len(desk.there()) == 3
    desk.rules(PROFILE.replace("hashuid: true", "keep: true"))
    assert desk.run("--exists", "replace").code == 0
    assert sorted(path.rpartition("/")[2] for path in desk.there()) == sorted(
        ["2.25.77.1.129.1.1.1.MR.dcm", "2.25.77.1.129.1.1.7.MR.dcm", "2.25.77.1.130.1.1.dicom.zip"]
    )
    assert len(folders(desk.dest)) == 6
    assert {row["destination"] for row in desk.rows()} == set(desk.there())


@pytest.mark.parametrize(
    ("rules", "data", "state"),
    [
        (MORE + "    - name: PatientAge\n      replace-with: x\n", None, "refused"),
        (PROFILE + "    - name: SeriesDescription\n      increment-date: true\n  date-increment: 3\n", instance(), "refused"),
    ],
    ids=["bad profile", "rule that cannot act"],
)  # fmt: skip
def test_what_is_not_released_any_more_is_taken_back(desk: Desk, rules: str, data: bytes | None, state: str) -> None:
    """The table says what stands at the destination: nothing does that this run did not make or confirm."""
    desk.put({"S/V/A/1": instance(), "S/V/B/2": instance(number=2)})
    assert desk.run().code == 0
    first = desk.there()
    desk.rules(rules)
    if data is None:
        assert desk.run().code == 2
        assert desk.there() == first
        return
    desk.put({"S/V/A/1": data})
    assert desk.run("--exists", "replace").code == 1
    assert desk.states()["S/V/A/1"] == state
    assert {row["destination"] for row in desk.rows() if row["destination"]} == set(desk.there())
    assert desk_row(desk, "S/V/A/1")["destination"] == ""
    desk.rules(PROFILE)
    desk.put({"S/V/A/1": instance()})
    assert desk.run().code == 0
    assert desk.there() == first


@pytest.mark.parametrize(
    "data", [instance()[:-3], instance()[:200], b"", b"plain text"], ids=["cut", "half a header", "empty", "a note"]
)
def test_source_that_cannot_be_read_any_more_keeps_its_result(desk: Desk, data: bytes) -> None:
    desk.put({"S/V/A/1": instance(), "S/V/B/2": instance(number=2)})
    assert desk.run().code == 0
    first = desk.there()
    desk.put({"S/V/A/1": data})
    for options in ([], ["--exists", "replace"], ["--prune"]):
        desk.run(*options)
        assert desk.there() == first
        assert desk.states()["S/V/A/1"] in ("refused", "failed", "skipped")
    desk.put({"S/V/A/1": instance()})
    assert desk.run().code == 0
    assert desk.there() == first


def test_profile_without_dicom_takes_nothing_back(desk: Desk) -> None:
    desk.put({"S/V/A/1": instance()})
    desk.run()
    first = desk.there()
    desk.rules("json:\n  fields:\n    - name: a\n      remove: true\n")
    desk.run("--exists", "replace")
    assert desk.there() == first


def test_series_grows_and_shrinks(desk: Desk) -> None:
    desk.put({f"d/{n}": instance(number=n) for n in (1, 2, 3)})
    assert desk.run().code == 0
    first = desk.there()
    desk.put({"d/4": instance(number=4)})
    assert (desk.run().code, desk.there()) == (1, first)
    assert desk.run("--exists", "replace").code == 0
    assert (set(desk.states().values()), desk.there().keys()) == ({"released"}, first.keys())
    assert desk.rows()[0]["members"] == "4"
    (desk.source / "d/4").unlink()
    grown = desk.there()
    for exists in ("skip", "replace"):  # an instance that is gone may be another run's
        assert (desk.run("--exists", exists).code, desk.there()) == (1, grown)
    assert desk.run("--exists", "replace", "--prune").code == 0
    assert desk.there() == first
    desk.put({"d/3": instance(series=2)})  # moves to a series of its own
    assert desk.run("--exists", "replace", "--prune").code == 0
    assert len(desk.there()) == 2
    assert sorted(row["members"] for row in desk.rows()) == ["0", "1", "2"]


def test_source_that_is_gone_keeps_its_result_until_another_takes_the_name(desk: Desk) -> None:
    desk.put({"a/1": instance(), "b/1": instance("P2")})
    desk.run()
    first = desk.there()
    (desk.source / "a/1").unlink()
    assert desk.run().code == 0
    orphan = str(desk.source / "a/1")
    assert (desk.there(), desk.states()) == (first, {"b/1": "skipped", orphan: "orphan"})
    desk.put({"moved/1": instance(StudyID="NEW")})
    assert desk.run("--exists", "replace").code == 0
    assert desk.states() == {"b/1": "skipped", "moved/1": "released"}
    assert desk.there().keys() == first.keys()
    assert desk.there() != first
    desk.put({"a/1": instance(number=2)})  # comes back, to the same series
    assert desk.run("--exists", "replace").code == 0
    assert desk.states() == {"a/1": "released", "b/1": "skipped", "moved/1": "released"}


def test_gone_source_that_comes_back_beside_its_heir_is_a_collision(desk: Desk) -> None:
    desk.rules(PROFILE.replace("SOPInstanceUID\n      hashuid", "SOPInstanceUID\n      keep"))
    desk.put({"S/V/A/1": instance()})
    desk.run()
    time_stamp = (desk.source / "S/V/A/1").stat()
    (desk.source / "S/V/A/1").rename(desk.folder / "kept")
    desk.put({"S/V/A/2": instance(StudyID="2")})
    assert desk.run("--exists", "replace").code == 0
    assert desk.states() == {"S/V/A/2": "released"}
    (desk.folder / "kept").rename(desk.source / "S/V/A/1")
    os.utime(desk.source / "S/V/A/1", ns=(time_stamp.st_atime_ns, time_stamp.st_mtime_ns))
    assert desk.run().code == 1
    assert (set(desk.states().values()), desk.there()) == ({"refused"}, {})


@pytest.mark.parametrize("exists", ["skip", "fail", "replace"])
@pytest.mark.parametrize("kind", ["file", "folder", "dangling link"])
def test_foreign_file_at_the_destination(desk: Desk, exists: str, kind: str) -> None:
    desk.put({"S/V/A/1": instance(), "S/V/A/2": instance(number=2)})
    desk.run()
    first = desk.there()
    path = desk_row(desk, "S/V/A/1")["destination"]
    shutil.rmtree(desk.dest)
    shutil.rmtree(desk.reports)
    target = desk.dest / path
    target.parent.mkdir(parents=True)
    if kind == "file":
        target.write_bytes(b"mine")
    elif kind == "folder":
        target.mkdir()
    else:
        target.symlink_to("nowhere")
    replaced = exists == "replace" and kind != "folder"
    expected = (
        "released" if replaced else "skipped" if exists == "skip" else "refused" if exists == "fail" else "failed"
    )
    for _ in range(2):
        done = desk.run("--exists", exists)
        assert done.code == (0 if expected == "released" else 1)
        assert desk.states()["S/V/A/1"] in (expected, "skipped" if replaced else expected)
        assert desk.states()["S/V/A/2"] in ("released", "skipped")
        if replaced:
            assert desk.there() == first
        else:
            assert os.path.lexists(target)
            assert not target.exists() or target.is_dir() or target.read_bytes() == b"mine"


def test_foreign_files_around_stay(desk: Desk) -> None:
    desk.put({"S/V/A/1": instance()})
    desk.run()
    (path,) = desk.there()
    mine = {str(Path(path).parent / "mine.txt"), path + ".partial", "top.txt"}
    for name in mine:
        (desk.dest / name).write_text("mine")
    desk.rules(PROFILE.replace("hashuid: true", "keep: true"))
    desk.run("--labels", "keep")
    assert {name for name in mine if (desk.dest / name).read_text() == "mine"} == mine
    assert len(desk.there()) == 4


def test_exists_replace_does_everything_again(desk: Desk) -> None:
    desk.put(THREE)
    desk.run()
    first = desk.there()
    for path in first:
        (desk.dest / path).write_bytes(b"spoilt")
    assert desk.run("--exists", "replace").code == 0
    assert set(desk.states().values()) == {"released"}
    assert desk.there() == first


def test_result_that_somebody_removed_is_made_again(desk: Desk) -> None:
    desk.put(THREE)
    desk.run()
    first = desk.there()
    gone = desk_row(desk, "S/V/A/2")["destination"]
    (desk.dest / gone).unlink()
    assert desk.run().code == 0
    assert desk.states() == {"S/V/A/1": "skipped", "S/V/A/2": "released", "x/3": "skipped"}
    assert desk.there() == first


def test_damaged_ledger_stops_the_run(desk: Desk) -> None:
    desk.put(THREE)
    desk.run()
    first = desk.there()
    (desk.private / "state.sqlite").write_bytes(b"no database" * 1000)
    desk.rules(MORE)
    done = desk.run()
    assert (done.code, "ledger" in done.err, "Traceback" in done.err) == (1, True, False)
    assert desk.there() == first


# -- one name for two ----------------------------------------------------------------------------------


def instances_of_one_name(*names: str) -> dict[str, bytes]:
    return {name: instance(StudyID=str(number)) for number, name in enumerate(names)}


@pytest.mark.parametrize("count", [2, 3])
def test_two_sources_of_one_name_are_refused_for_good(desk: Desk, count: int) -> None:
    desk.put(instances_of_one_name(*(f"S/V/A/{n}" for n in range(count))) | {"S/V/A/x": instance(number=9)})
    for _ in range(3):
        assert desk.run().code == 1
        assert list(desk.states().values())[:count] == ["refused"] * count
        assert [path.rpartition(".9.")[2] for path in desk.there()] == ["MR.dcm"]
        assert {row["file"] for row in desk.rows("audit.csv") if row["path"] == "filename"} == set(desk.there())
    for n in range(1, count):
        (desk.source / f"S/V/A/{n}").unlink()
    assert desk.run().code == 0
    assert len(desk.there()) == 2


@pytest.mark.parametrize("reruns", [0, 1, 2])
@pytest.mark.parametrize("rival", ["S/V/A/0", "S/V/A/2"], ids=["before", "after"])
def test_rival_of_what_an_earlier_run_released(desk: Desk, rival: str, reruns: int) -> None:
    desk.put({"S/V/A/1": instance(), "S/V/A/9": instance(number=9)})
    for _ in range(reruns + 1):
        assert desk.run().code == 0
    desk.put({rival: instance(StudyID="7")})
    for _ in range(2):
        assert desk.run().code == 1
        assert (desk.states()["S/V/A/1"], desk.states()[rival]) == ("refused", "refused")
        assert len(desk.there()) == 1
        rows = {row["source"]: row for row in desk.rows()}
        assert rows["S/V/A/1"]["destination"] == rows["S/V/A/1"]["sha256_out"] == ""
        assert {row["file"] for row in desk.rows("audit.csv") if row["path"] == "filename"} == set(desk.there())


@pytest.mark.parametrize("later", [False, True], ids=["at once", "after a release"])
def test_a_label_that_a_rule_gives_to_two_subjects_is_none(desk: Desk, later: bool) -> None:
    """The pseudonyms are, and what stood under the label moves below one."""
    desk.rules(SAME_LABEL)
    desk.put({"S1/V/A/1": instance()})
    if later:
        assert desk.run().code == 0
        assert next(iter(desk.there())).startswith("SAME/")
        assert desk.run().code == 0
    desk.put({"S2/V/A/1": instance("P2")})
    for _ in range(2):
        assert desk.run().code == 0
        assert len({path.split("/")[0] for path in desk.there()}) == len(desk.there()) == 2
        assert all(path.startswith("sub-") for path in desk.there())
        paths = {
            row["file"]: row["after"] for row in desk.rows("audit.csv") if row["path"] == "container subject.label"
        }
        assert set(paths.values()) == set(paths) == {path.split("/")[0] for path in desk.there()}


@pytest.mark.parametrize("labels", [("abc", "ABC"), ("\u00fc", "u\u0308")], ids=["case", "form"])
def test_kept_labels_that_are_one_elsewhere_are_refused(desk: Desk, labels: tuple[str, str]) -> None:
    desk.put({f"{label}/V/A/1": instance(f"P{number}") for number, label in enumerate(labels)})
    assert desk.run("--labels", "keep").code == 1
    assert set(desk.states().values()) == {"refused"}
    assert "two source subjects" in next(iter(desk.reasons().values()))


def test_ids_that_differ_by_case_alone_are_one(desk: Desk) -> None:
    """PatientID in normal form; the labels of the first holds for both."""
    desk.rules(PROFILE.replace("PatientID\n      hash: true", "PatientID\n      keep: true"))
    desk.put({f"x/{number}": instance(patient) for number, patient in enumerate(("P1", "p1 ", "P2"))})
    assert desk.run().code == 0
    assert {path.split("/")[0] for path in desk.there()} == {"P1", "P2"}


@pytest.mark.parametrize("reruns", [0, 1])
def test_names_that_differ_by_case_alone(desk: Desk, reruns: int) -> None:
    desk.rules(PROFILE + "filename:\n  filenames:\n    - input-regex: ^(?P<n>.+)$\n      output: '{n}'\n")
    desk.put({"S/V/A/one.txt": REPORT, "S/V/A/two.txt": REPORT})
    for _ in range(reruns):
        assert desk.run().code == 0
    desk.put({"S/V/A/ONE.txt": REPORT})
    assert desk.run().code == 1
    assert desk.states() == {"S/V/A/ONE.txt": "refused", "S/V/A/one.txt": "refused",
                             "S/V/A/two.txt": "skipped" if reruns else "released"}  # fmt: skip
    assert [path.rpartition("/")[2] for path in desk.there()] == ["two.txt"]


def test_one_patient_in_the_tree_and_loose_is_one(desk: Desk) -> None:
    desk.put({"P1/V/A/1": instance(), "x/1": instance(study=2)})
    desk.rules(PROFILE.replace("PatientID\n      hash: true", "PatientID\n      remove: true"))
    assert desk.run().code == 0
    assert len({path.split("/")[0] for path in desk.there()}) == 1


# -- ends before its time ------------------------------------------------------------------------------

WRITES = {"os.link", "os.rename", "os.remove", "os.rmdir", "os.mkdir", "open"}
FAULTS = ("kill", "SIGTERM", "ENOSPC")
STORY = {
    "S/V/A/1": instance(), "S/V/A/2": instance(number=2), "S/V/A/z.zip": packed({"a/IM1": instance(number=3)}),
    "T/V/A/1": instance("P2"), "x/1": instance("P3"), "x/2": instance("P3", number=2), "S/V/B/twin": instance(number=8),
    "S/V/B/win": instance(number=8, StudyID="2"),
}  # fmt: skip


def fault_at(count: int, kind: str, folder: Path) -> Hook:
    """Return a hook that does harm at the n-th write below a folder, a full disk also at all that follow."""
    seen = 0

    def hook(event: str, path: str) -> None:
        nonlocal seen
        if event not in WRITES or not path.startswith(str(folder)):
            return
        seen += 1
        if kind == "ENOSPC" and seen >= count and event not in ("os.remove", "os.rmdir"):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        if seen == count and kind == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        elif seen == count and kind.startswith("SIG"):
            os.kill(os.getpid(), getattr(signal, kind))

    return hook


def writes_of(desk: Desk) -> int:
    """Count the writes of an undisturbed run, up to the reports."""
    count = 0

    def hook(event: str, path: str) -> None:
        nonlocal count
        count += event in WRITES and path.startswith(str(desk.folder))

    def work() -> Ran:
        done = desk.run("--quiet", "--exists", "replace")
        return Ran(count, done.out, done.err)

    return forked(work, hook).code


def copied(desk: Desk, name: str) -> Desk:
    """Return another desk with everything of this one, times and links included."""
    shutil.copytree(desk.folder, desk.folder.parent / name, symlinks=True)
    other = Desk.__new__(Desk)
    other.folder = desk.folder.parent / name
    other.source, other.dest, other.reports = (other.folder / part for part in ("in", "out", "out-report"))
    other.profile = other.folder / "profile.yaml"
    return other


@pytest.fixture
def story(tmp_path: Path) -> tuple[Desk, Desk]:
    """A desk in the middle of its life, and the same after an undisturbed run.

    A first run has been there; then one source changed, one became bad, one came, and the profile names files anew.
    """
    (tmp_path / "desk").mkdir()
    desk = Desk(tmp_path / "desk")
    desk.put(STORY)
    assert desk.run().code == 1
    assert len(desk.there()) == 5
    desk.put({"S/V/A/1": instance(StudyID="NEW"), "T/V/A/1": instance("P2")[:-3], "S/V/A/3": instance(number=4)})
    (desk.source / "x/2").unlink()
    desk.rules(PROFILE.replace("SOPInstanceUID\n      hashuid", "SOPInstanceUID\n      keep") + "    - name: StudyID\n")
    done = copied(desk, "undisturbed")
    assert done.run("--exists", "replace").code == 1
    assert len(done.there()) == 6  # what is gone, and what became bad, stands as it did
    return desk, done


@pytest.mark.parametrize("part", range(4))
@pytest.mark.parametrize("kind", FAULTS)
def test_fault_at_any_write(story: tuple[Desk, Desk], kind: str, part: int) -> None:
    """Whole files or none under final names; what it leaves behind is no obstacle; a rerun ends where it should."""
    desk, undisturbed = story
    whole = set(desk.there().items()) | set(undisturbed.there().items())
    total = writes_of(copied(desk, "counted"))
    assert total > 40
    for number in range(1 + part, total, 8):  # the last one removes the workspace
        victim = copied(desk, f"victim{number}")
        done = forked(lambda victim=victim: victim.run("--exists", "replace"), fault_at(number, kind, victim.folder))
        assert done.code == {"kill": -9, "ENOSPC": 1}.get(kind, 130), (number, done.err)
        assert "Traceback" not in done.err
        twin = {pair for pair in victim.there().items() if ".1.1.8" in pair[0]}  # until the other one is met
        assert len(twin) <= 1
        assert set(victim.there().items()) - twin <= whole, number
        if kind == "ENOSPC":
            assert "No space left" in done.err or "disk" in done.err, (number, done.err)
        if kind != "kill":
            assert not (victim.private / ".work").exists()
            assert not list(victim.folder.rglob("*.partial"))
        assert victim.run("--exists", "replace").code == 1
        assert (number, victim.there()) == (number, undisturbed.there())
        assert victim.rows("audit.csv") == undisturbed.rows("audit.csv")
        assert folders(victim.dest) == folders(undisturbed.dest)
        states = {"skipped": "released"}
        then = {source: states.get(state, state) for source, state in victim.states().items()}
        assert then == {source: states.get(state, state) for source, state in undisturbed.states().items()}
        shutil.rmtree(victim.folder)


def test_interrupted_run_tells_of_every_source(desk: Desk) -> None:
    desk.put(STORY)
    links = 0

    def hook(event: str, path: str) -> None:
        nonlocal links
        links += event == "os.link"
        if event == "os.link" and links == 2:
            os.kill(os.getpid(), signal.SIGTERM)

    assert forked(desk.run, hook).code == 130
    assert desk.states().keys() == STORY.keys()
    assert set(desk.states().values()) <= {"released", "refused", "failed", "not-reached"}
    assert desk.summary()["complete"] is False
    assert 1 <= len(desk.there()) <= 2


def read_until(process: subprocess.Popen[bytes], count: int) -> None:
    """Read what a run of a crowded folder says until it has refused some files."""
    assert process.stderr is not None
    while count:
        line = process.stderr.readline()
        assert line, "it ended before"
        count -= line.startswith(b"refused: ")


@pytest.fixture
def crowded(sampled: Desk) -> Desk:
    """The sample, more files, and more damaged ones than a process can tell of that nobody listens to."""
    sampled.put({f"S/V/A/{n}": instance("Q", number=n) for n in range(40)})
    sampled.put({f"S/V/A/{n}-{m}.dcm": instance("Q", number=n)[:-3] for n in range(40) for m in range(5)})
    return sampled


def offspring(token: str) -> list[int]:
    """Return the processes that have a token in their environment."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if token.encode() in (folder / "environ").read_bytes():
                found.append(int(folder.name))
    return found


def ended(token: str) -> bool:
    """Wait until all processes with a token in their environment are gone."""
    for _ in range(200):
        if not offspring(token):
            return True
        time.sleep(0.05)
    return False


@pytest.mark.parametrize(
    ("sent", "after"), [(signal.SIGKILL, 1), (signal.SIGKILL, 6), (signal.SIGINT, 2), (signal.SIGTERM, 4)], ids=str
)
def test_run_with_workers_is_ended(crowded: Desk, sent: signal.Signals, after: int) -> None:
    expected = crowded.run("--reports", str(crowded.folder / "r"), dest=crowded.folder / "undisturbed")
    assert expected.code == 1
    process = crowded.start("--workers", "2")
    read_until(process, after)
    process.send_signal(sent)
    done = result(process)
    assert done.code == (-9 if sent == signal.SIGKILL else 130)
    assert "Traceback" not in done.err
    assert ended(f"TOKEN={crowded.folder}"), "workers outlive the run"
    if sent != signal.SIGKILL:
        assert not (crowded.private / ".work").exists()
    assert 1 <= len(crowded.there()) < 50
    assert crowded.run().code == 1
    assert crowded.there() == contents(crowded.folder / "undisturbed")
    assert crowded.rows("audit.csv") == crowded.rows("audit.csv", crowded.folder / "r")


@pytest.mark.parametrize("victims", ["one", "all"])
def test_killed_worker_costs_nothing_but_time(crowded: Desk, victims: str) -> None:
    """Somebody killed it, not its file: what it was at is done again."""
    process = crowded.start("--workers", "2")
    read_until(process, 1)
    workers = [
        int(pid)
        for server in children_of(process.pid)
        if "forkserver" in Path(f"/proc/{server}/cmdline").read_text()
        for pid in children_of(server)
    ]
    assert len(workers) == 2
    for pid in workers if victims == "all" else workers[:1]:
        os.kill(int(pid), signal.SIGKILL)
    done = result(process)
    assert done.code == 1, done.err
    assert crowded.summary()["states"] == {"released": 50, "skipped": 4, "refused": 200}


def test_work_begins_anew_where_a_worker_was_killed(tmp_path: Path) -> None:
    """What it left in the workspace is in nobody's way."""
    source = MemorySource({"S/V/A/1": instance()})
    book = book_for(
        PlannedProfile.read(PROFILE, "p.yaml", "input"), None, source.containers(list(source.items())), by_session=False
    )
    settings = Settings(source, book, Keyring(b"k" * 32), date(2026, 1, 1), "strict", tmp_path, originals=False)
    (tmp_path / "00000007.in").mkdir()
    (tmp_path / "00000007.in" / "file").write_bytes(b"half")
    (tmp_path / "00000007").write_bytes(b"half")
    worked = carry_out(settings, Task(7, tuple(source.items()), "S"))
    assert isinstance(worked.outcome, Released)
    assert contents(tmp_path).keys() == {"00000007"}
    assert sha256((tmp_path / "00000007").read_bytes()).hexdigest() == worked.outcome.sha256


def children_of(pid: int | str) -> list[str]:
    return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()


def test_file_that_kills_its_worker_fails_alone(sampled: Desk) -> None:
    """A file that needs more memory than there is: the system ends the worker, twice."""
    sampled.put({"S/V/A/huge.dcm": b"", "S/V/A/after": instance()})
    big = sampled.source / "S/V/A/huge.dcm"
    with big.open("wb") as stream:
        stream.truncate(6 << 30)
    limit = 3 << 30
    done = subprocess.run(
        [sys.executable, "-m", "fw_gear_deid", *sampled.arguments("--workers", "2")], cwd=ROOT, capture_output=True,
        text=True, check=False, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (limit, limit)),
    )  # fmt: skip
    assert done.returncode == 1, done.err
    assert sampled.states()["S/V/A/huge.dcm"] == "failed"
    assert sampled.reasons()["S/V/A/huge.dcm"] == "not enough memory"
    assert sampled.summary()["states"] == {"failed": 1, "released": 11, "skipped": 4}


def test_second_run_on_the_same_reports_is_refused(crowded: Desk) -> None:
    process = crowded.start("--workers", "2")
    read_until(process, 1)
    second = crowded.run("--quiet")
    assert result(process).code == 1
    assert (second.code, "another run" in second.err) == (2, True)
    assert len(crowded.there()) == 50
    assert crowded.run().code == 1  # the lock is gone


def test_reader_of_progress_goes_away(sampled: Desk) -> None:
    """``run ... 2>&1 | head -1`` does not stop the work, nor change what it returns."""
    sampled.put({"bad.dcm": instance()[:-3]})
    process = sampled.start("--workers", "1")
    read_until(process, 1)
    assert process.stderr is not None and process.stdout is not None
    process.stderr.close()
    process.stdout.close()
    assert process.wait(timeout=60) == 1
    assert sampled.summary()["states"] == {"refused": 1, "released": 10, "skipped": 4}


# -- the disk is full ----------------------------------------------------------------------------------


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own that holds little."""
    folder = tmp_path / "disk"
    folder.mkdir()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)], capture_output=True, check=False
    )
    if made.returncode:
        pytest.skip("file systems cannot be mounted here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.mark.parametrize("replaced", [False, True])
def test_destination_is_full(desk: Desk, small_disk: Path, replaced: bool) -> None:
    desk.put({f"S/V/A/{n}": instance(number=n) for n in (1, 2)})
    desk.put({"S/V/A/big": instance(number=3, ImageComments="x" * 9000, RequestAttributesSequence=[pixels(200)])})
    desk.dest = small_disk / "out"
    options = ["--reports", str(desk.reports), *(["--exists", "replace"] if replaced else [])]
    done = desk.run(*options)
    assert done.code == 1
    assert desk.states() == {"S/V/A/1": "released", "S/V/A/2": "released", "S/V/A/big": "failed"}
    assert "No space left" in desk.reasons()["S/V/A/big"]
    assert len(desk.there()) == 2
    subprocess.run(["mount", "-o", "remount,size=1m", str(small_disk)], check=True)
    assert desk.run(*options).code == 0
    assert len(desk.there()) == 3


def pixels(kib: int) -> Dataset:
    ds = Dataset()
    ds.add_new(0x00420011, "OB", os.urandom(kib << 10))
    return ds


@pytest.mark.parametrize("size", [12, 20, 28, 36, 44, 52])
def test_reports_are_full(desk: Desk, small_disk: Path, size: int) -> None:
    """Ledger, workspace or reports: nothing is released without a record, and the cause is told."""
    desk.put({f"S/V/A/{n}": instance(number=n, ImageComments="x" * 5000) for n in range(6)})
    subprocess.run(["mount", "-o", f"remount,size={size}k", str(small_disk)], check=True)
    reports = small_disk / "reports"
    done = desk.run("--reports", str(reports))
    assert done.code == 1
    assert "Traceback" not in done.err
    assert re.search("No space left|ledger", done.err), done.err
    assert not (reports / ".work").exists()
    assert not list(small_disk.rglob("*.partial"))
    subprocess.run(["mount", "-o", "remount,size=9m", str(small_disk)], check=True)
    assert desk.run("--reports", str(reports)).code == 0
    assert len(desk.there()) == 6
    assert {row["destination"] for row in desk.rows(reports=reports)} == set(desk.there())


def test_file_size_limit(desk: Desk) -> None:
    """As a quota has it: one result is too large, the others are released."""
    desk.put(
        {
            "S/V/A/1": instance(),
            "S/V/A/big": instance(number=2, ImageComments="x" * 10000, RequestAttributesSequence=[pixels(300)]),
        }
    )

    def work() -> Ran:
        resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
        return desk.run()

    assert forked(work).code == 1
    assert desk.states() == {"S/V/A/1": "released", "S/V/A/big": "failed"}
    assert "File too large" in desk.reasons()["S/V/A/big"]
    assert len(desk.there()) == 1
    assert desk.run().code == 0
    assert len(desk.there()) == 2


def test_destination_without_hard_links(desk: Desk) -> None:
    """exFAT and some network file systems have none."""
    desk.put(STORY)

    def refuse(event: str, path: str) -> None:
        if event == "os.link":
            raise OSError(errno.EPERM, os.strerror(errno.EPERM))

    assert forked(desk.run, refuse).code == 1
    first = desk.there()
    assert len(first) == 5
    shutil.rmtree(desk.dest)
    shutil.rmtree(desk.reports)
    path = next(iter(first))
    (desk.dest / path).parent.mkdir(parents=True)
    (desk.dest / path).write_bytes(b"mine")
    forked(desk.run, refuse)
    assert desk.there() == first | {path: b"mine"}


# -- workers, keys, places -----------------------------------------------------------------------------


def timeless(rows: list[dict[str, str]]) -> list[dict[str, str]]:
    return [row | {"seconds": ""} for row in rows]


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


@pytest.mark.parametrize("verify", ["strict", "report", "off"])
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
