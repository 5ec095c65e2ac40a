"""The main job as its users and its enemies start it: a folder in, a folder out, and what is told of it."""

from __future__ import annotations

import contextlib
import csv
import errno
import io
import json
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import time
import traceback
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian

from fw_gear_deid.cli import main
from fw_gear_deid.sample import MARKER, Planted, make_sample

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
        path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()
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
        (self.folder / "key").write_text("k" * 32)

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

    def start(self, *options: str, **more: Any) -> subprocess.Popen[str]:
        """Start a process of its own."""
        return subprocess.Popen(
            [sys.executable, "-m", "fw_gear_deid", *self.arguments(*options)],
            cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **more,
        )  # fmt: skip

    def there(self) -> dict[str, bytes]:
        return contents(self.dest) if self.dest.exists() else {}

    def rows(self, report: str = "files.csv", reports: Path | None = None) -> list[dict[str, str]]:
        text = ((reports or self.reports) / report).read_bytes().decode()
        return list(csv.DictReader(io.StringIO(text, newline="")))

    def states(self) -> dict[str, str]:
        return {row["source"]: row["state"] for row in self.rows()}

    def reasons(self) -> dict[str, str]:
        return {row["source"]: row["reason"] for row in self.rows()}

    def summary(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.reports / "summary.json").read_text(encoding="utf-8"))
        return found


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


def forked(work: Callable[[], Ran], on: Hook) -> Ran:
    """Run in a fork of this process, where a hook sees each touch of the file system before it happens.

    The hook may kill the process, send it a signal or raise what the system would.
    """
    reader, writer = os.pipe()
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
        {"S/V/A/bad.dcm": "refused", "loose-bad.dcm": "refused"}, [IN_TREE + r"T1/.+\.MR\.dcm"],
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
        "a/1": instance(StudyDate="20200101"), "a/2": instance(number=2, StudyDate="2020"),
        "b/1": instance(series=2, StudyDate="2020"), "b/2": instance(series=2, number=2, StudyDate="20200101"),
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
    assert desk.states()["S/V/A/gone"] == "refused"
    assert desk.states()["S/V/B/IM1"] == "released"
    assert desk.states()["S/V/A/IM2"] == desk.states()["S/V/A/IM1"] == "refused"  # one name for two sources
    assert not any(b"P9" in data for data in desk.there().values())


@pytest.mark.parametrize("target", [".", "..", "../..", "../../..", "loop", "../other"])
def test_link_loops_end(desk: Desk, target: str) -> None:
    desk.put({"S/V/A/IM1": instance()})
    (desk.source / "S/V/A/loop").symlink_to(target)
    (desk.source / "S/V/other").symlink_to("A/loop")
    done = desk.run("--quiet")
    assert done.code in (0, 1)
    assert desk.states()["S/V/A/IM1"] == "released"
    assert len(desk.there()) == 1
    assert "Traceback" not in done.err


def test_what_is_no_regular_file(desk: Desk) -> None:
    desk.put({"S/V/A/IM1": instance()})
    os.mkfifo(desk.source / "S/V/A/fifo")
    os.mkfifo(desk.source / "fifo.dcm")
    assert desk.run().code == 1
    assert desk.states() == {"S/V/A/IM1": "released", "S/V/A/fifo": "refused", "fifo.dcm": "refused"}
    assert set(desk.reasons().values()) == {"", "it is no regular file"}


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_what_may_not_be_read(desk: Desk) -> None:
    desk.put({"S/V/A/IM1": instance(), "S/V/A/IM2": instance(number=2), "T/V/A/IM1": instance("P2")})
    (desk.source / "S/V/A/IM2").chmod(0)
    (desk.source / "T/V").chmod(0)
    try:
        assert desk.run().code == 1
    finally:
        (desk.source / "T/V").chmod(0o700)
    assert desk.states() == {"S/V/A/IM1": "released", "S/V/A/IM2": "failed", "T/V": "refused"}


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
    root = os.fsencode(desk.source)
    for number, path in enumerate(
        [b"S/V/A/" + name, name + b"/V/A/IM", b"S/" + name + b"/A/IM", b"S/V/" + name + b"/IM"]
    ):
        os.makedirs(os.path.dirname(root + b"/" + path), exist_ok=True)
        with open(root + b"/" + path, "wb") as stream:
            stream.write(instance(f"P{number}"))
    with open(root + b"/S/V/A/text-" + name[:240], "wb") as stream:
        stream.write(REPORT.encode())
    os.makedirs(root + b"/loose", exist_ok=True)
    with open(root + b"/loose/" + name, "wb") as stream:
        stream.write(instance("P7"))
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
        (["in"], "dest"),
        ([], "source"),
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
