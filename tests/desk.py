"""A folder with a source, a profile and a key, for tests of whole runs; made-up instances, and runs in a fork."""

from __future__ import annotations

import contextlib
import csv
import ctypes
import fcntl
import io
import json
import os
import signal
import subprocess
import sys
import traceback
import warnings
import zipfile
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian

from fw_gear_deid.cli import main
from fw_gear_deid.deid import Context, Result, deidentify
from fw_gear_deid.keys import Keyring
from fw_gear_deid.ledger.reports import lines_of
from fw_gear_deid.model.cells import exact
from fw_gear_deid.model.outcome import Edit, Skipped, Trail
from fw_gear_deid.profile.parse import parse_profile
from fw_gear_deid.sample import MARKER
from tests import planted
from tests.elements import are_read_alike

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
FILE_COLUMNS = "source,destination,state,reason,changes,members,bytes_in,bytes_out,sha256_out,seconds,risks"
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
            info = zipfile.ZipInfo(name, (2020, 2, 2, 2, 2, 2))  # tests look for bytes that a clock may make as well
            info.external_attr = 0o600 << 16
            archive.writestr(info, data, compression)
    return stream.getvalue()


def edits_of(trail: Trail) -> list[tuple[str, Edit]]:
    """Return what was changed, each with the member that it was changed in."""
    rows = csv.reader(io.StringIO("".join(lines_of("x", trail.lines)), newline=""))
    return [(exact(member), Edit(*map(exact, edit))) for _, member, *edit in rows]


def contents(folder: Path) -> dict[str, bytes]:
    """Return every file below a folder by relative path."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()
    }


def folders(folder: Path) -> set[str]:
    found = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_dir()}
    return {path for path in found if not path.startswith(".fw-gear-deid")}  # what DEST tells of itself


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

    def heard(self, *, shows: bool = False) -> Ran:
        """Note it for whoever looks for planted identifiers; a preview shows values to who asked for it."""
        planted.say("stdout", "" if shows else self.out)
        planted.say("stderr", self.err)
        return self


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
        (self.folder / "key").write_text(planted.KEY)

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
        workers = [] if {"--workers", "--scheduler", "--scheduler-file"} & {*options} else ["--workers", "1"]
        return ["run", *places, *named, *keyed, *workers, *options]

    def run(self, *options: str, source: Path | None = None, dest: Path | None = None) -> Ran:
        """Run in this process; what is released, pydicom reads as this program does."""
        done = call(*self.arguments(*options, source=source, dest=dest))
        there = Path(dest or self.dest)
        if "off" not in options and os.access(there, os.R_OK):
            are_read_alike(there.rglob("*"))
        return done

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
    return Ran(process.returncode, out.decode(), err.decode()).heard()


def call(*arguments: str) -> Ran:
    """Carry out a command line in this process."""
    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(io.StringIO()) as err:
        try:
            code = main(arguments)
        except SystemExit as stop:
            code = int(stop.code or 0)
    return Ran(code, out.getvalue(), err.getvalue()).heard(shows=arguments[:1] == ("preview",))


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
    return Ran(*json.loads(text)).heard() if text else Ran(-os.WTERMSIG(status), "", "")


def desk_row(desk: Desk, source: str) -> dict[str, str]:
    return next(row for row in desk.rows() if row["source"] == source)


def powerless(work: Callable[[], Ran]) -> Ran:
    """Give up what lets root read and write everything (capset(2)), then work."""
    words = ctypes.c_uint32 * 6
    assert ctypes.CDLL(None).capset((ctypes.c_uint32 * 2)(0x20080522, 0), words()) == 0
    return work()


REPORT = "Seen by ZZ."
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


THREE = {"S/V/A/1": instance(), "S/V/A/2": instance(number=2), "x/3": instance("P2")}

STORY = {
    "S/V/A/1": instance(), "S/V/A/2": instance(number=2), "S/V/A/z.zip": packed({"a/IM1": instance(number=3)}),
    "T/V/A/1": instance("P2"), "x/1": instance("P3"), "x/2": instance("P3", number=2), "S/V/B/twin": instance(number=8),
    "S/V/B/win": instance(number=8, StudyID="2"),
}  # fmt: skip


def timeless(rows: list[dict[str, str]]) -> list[dict[str, str]]:
    return [row | {"seconds": ""} for row in rows]


@dataclass(frozen=True)
class Bench:
    """A folder to work in."""

    folder: Path

    def deid(
        self, data: bytes, profile: str = PROFILE, name: str = "x.zip", subject: str | None = "S"
    ) -> Result | Skipped:
        (self.folder / "source").write_bytes(data)
        made = parse_profile(profile, "p.yaml")
        context = Context(made, Keyring(b"k" * 32), subject, date(2026, 1, 1), "strict", originals=True)
        done = deidentify(self.folder / "source", name, context, self.folder / "result")
        if isinstance(done, Result):
            are_read_alike([self.folder / "result"])
        return done

    def archive(self, data: bytes, profile: str = PROFILE, name: str = "x.zip") -> zipfile.ZipFile:
        done = self.deid(data, profile, name)
        assert isinstance(done, Result), done
        return zipfile.ZipFile(io.BytesIO((self.folder / "result").read_bytes()))

    def members(self, data: bytes, profile: str = PROFILE) -> list[str]:
        with self.archive(data, profile) as archive:
            assert archive.testzip() is None
            return archive.namelist()

    def own_edits(self, data: bytes, profile: str = PROFILE, name: str = "x.zip") -> list[Edit]:
        done = self.deid(data, profile, name)
        assert isinstance(done, Result)
        return [edit for member, edit in edits_of(done.trail) if not member]
