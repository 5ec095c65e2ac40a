"""Archives: every member de-identified, dropped or the reason to refuse all of it; nothing else of the original stays."""

from __future__ import annotations

import gzip
import io
import struct
import time
import warnings
import zipfile
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path

import pytest

from fw_gear_deid.deid import Result
from fw_gear_deid.formats.archive import open_archive
from fw_gear_deid.model.errors import Beyond, Malformed, Unfit
from fw_gear_deid.model.limits import within
from fw_gear_deid.model.outcome import Skipped
from fw_gear_deid.sample import MARKER
from tests import dicom_files
from tests.desk import PROFILE, Bench, contents, edits_of, instance, packed, plain

ZIP = "zip:\n  {}\n"
STRICT = PROFILE + ZIP.format("validate-zip-members: true")
STORED, DEFLATED, BZIP2, LZMA = zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA
SYNTAX = dicom_files.SYNTAXES["explicit"]
DICOMDIR = dicom_files.part10(
    [
        dicom_files.text(0x00041130, "CS", "DISC1"),
        dicom_files.Leaf(0x00041200, "UL", bytes(4)),
        dicom_files.Leaf(0x00041202, "UL", bytes(4)),
        dicom_files.Leaf(0x00041212, "US", bytes(2)),
        dicom_files.Seq(0x00041220),
    ],
    SYNTAX,
    meta=dicom_files.file_meta(
        dicom_files.text(0x00020002, "UI", "1.2.840.10008.1.3.10") if node.tag == 0x00020002 else node
        for node in dicom_files.meta_of(SYNTAX)
    ),
)
TEXT = b"Seen by ZZ."


def patched(data: bytes, offset: int, layout: str, value: int, central: int | None = None) -> bytes:
    """Overwrite a number in every local header, and at another offset in every entry of the directory."""
    out = bytearray(data)
    places = [(b"PK\x03\x04", offset)] + ([(b"PK\x01\x02", central)] if central is not None else [])
    for signature, distance in places:
        at = out.find(signature)
        while at >= 0:
            struct.pack_into(layout, out, at + distance, value)
            at = out.find(signature, at + 4)
    return bytes(out)


# -- what comes out ------------------------------------------------------------------------------------


@pytest.mark.parametrize("compression", [STORED, DEFLATED, BZIP2, LZMA])
def test_compression_stays(bench: Bench, compression: int) -> None:
    with bench.archive(packed({"a/1": instance(), "a/2": instance(number=2)}, compression)) as archive:
        assert [info.compress_type for info in archive.infolist()] == [compression] * 2
        assert archive.testzip() is None


def test_members_may_be_packed_each_in_its_own_way(bench: Bench) -> None:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for number, way in enumerate((STORED, DEFLATED, BZIP2)):
            archive.writestr(f"{number}", instance(number=number), way)
    with bench.archive(stream.getvalue()) as archive:
        assert [info.compress_type for info in archive.infolist()] == [STORED, DEFLATED, BZIP2]


def test_folders_stay_and_order_too(bench: Bench) -> None:
    members = {
        f"{folder}/{n}": instance(series=s, number=n) for s, folder in enumerate(("b", "a/c", "ü ö")) for n in (2, 1)
    }
    names = bench.members(packed({"empty/": b"", "b/": b""} | members))
    assert [name.rpartition("/")[0] for name in names] == ["b", "b", "a/c", "a/c", "ü ö", "ü ö"]
    assert all(name.endswith(".MR.dcm") for name in names)
    assert len(set(names)) == 6


def test_nothing_of_the_entries_travels(bench: Bench) -> None:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.comment = f"for {MARKER}".encode()
        for number in (1, 2):
            info = zipfile.ZipInfo(f"d/{number}", (2021, 3, number, 8, 0, 0))
            info.comment, info.extra = f"{MARKER}".encode(), struct.pack("<HH6s", 0x9999, 6, MARKER.encode())
            info.external_attr, info.create_system = 0o100755 << 16, 0
            archive.writestr(info, instance(number=number))
    data = f"#!{MARKER}\n".encode() + stream.getvalue()  # as a self-extracting archive
    with bench.archive(data) as archive:
        assert archive.comment == b""
        assert [
            (info.date_time, info.comment, info.extra, info.external_attr, info.create_system)
            for info in archive.infolist()
        ] == [((1980, 1, 1, 0, 0, 0), b"", b"", 0o644 << 16, 3)] * 2
    assert MARKER.encode() not in plain((bench.folder / "result").read_bytes())
    assert {edit.path for edit in bench.own_edits(data)} == {"zip comment", "zip extra", "bytes outside of members"}


def test_same_bytes_every_time(bench: Bench) -> None:
    data = packed({"a/1": instance(), "a/2": instance(number=2)})
    results = []
    for _ in range(2):
        bench.deid(data)
        results.append((bench.folder / "result").read_bytes())
    assert results[0] == results[1]


@pytest.mark.parametrize(
    ("rule", "after"),
    [
        ("", b""),
        ("fields: [{name: comment, remove: true}]", b""),
        ("fields: [{name: comment, replace-with: clean}]", b"clean"),
        ("fields: [{name: comment, keep: true}]", b"for ZZ"),
    ],
)
@pytest.mark.parametrize("before", [b"for ZZ", b""])
def test_comment_follows_its_rule(bench: Bench, rule: str, after: bytes, before: bytes) -> None:
    expected = b"" if not before and after == b"for ZZ" else after
    profile = PROFILE + (ZIP.format(rule) if rule else "")
    data = packed({"1": instance()}, comment=before)
    with bench.archive(data, profile) as archive:
        assert archive.comment == expected
        assert archive.testzip() is None
    changed = [edit.path for edit in bench.own_edits(data, profile)]
    assert changed == (["zip comment"] if before != expected else [])
    done = bench.deid(data, profile)
    assert isinstance(done, Result)
    assert done.released.bytes_out == (bench.folder / "result").stat().st_size  # the comment included


# -- names ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("folder", "stays"),
    [
        ("T1", True),
        (MARKER, False),
        (f"scan_{MARKER.lower()}", False),
        (f"{MARKER[:3]}-{MARKER[3:]}", False),
        ("P1", False),  # an id is found at any length where it stands by itself
        ("P1x", True),
    ],
)
@pytest.mark.parametrize("position", [0, 1])
def test_folder_that_carries_an_identifier(bench: Bench, folder: str, stays: bool, position: int) -> None:
    """Also one that stands before the member that tells of it."""
    other = {f"{folder}/IM": instance(PatientName="Other")}
    telling = {"x/IM": instance(number=2)}
    names = bench.members(packed(other | telling if position == 0 else telling | other))
    kept = next(name for name in names if not name.startswith("x/")).rpartition("/")[0]
    assert (kept == folder) == stays
    assert stays or kept.startswith("folder-")


@pytest.mark.parametrize("encoding", ["utf-8", "cp437", "cp1252"])
@pytest.mark.parametrize("flagged", [True, False])
def test_folder_in_another_encoding(bench: Bench, encoding: str, flagged: bool) -> None:
    """Old programs write what they like; the name of a patient is found, or what cannot be read does not stay."""
    if flagged and encoding != "utf-8":
        return
    data = packed({"Müller/IM": instance(PatientName="Müller^A", SpecificCharacterSet="ISO_IR 192")}, STORED)
    raw = "Müller".encode(encoding)
    data = data.replace("Müller/IM".encode(), raw.ljust(7, b"_") + b"/IM")
    if not flagged:
        data = patched(data, 6, "<H", 0, 8)
    (name,) = bench.members(data)
    assert name.split("/")[0].startswith("folder-")
    edits = bench.deid(data)
    assert isinstance(edits, Result)
    assert "ller" not in name
    hashed = bench.members(data, PROFILE + ZIP.format("hash-subdirectories: true"))[0].split("/")[0]
    assert hashed == sha256(raw.ljust(7, b"_") if not flagged else "Müller".encode()).hexdigest()
    harmless = packed({"Größe/IM": instance()}, STORED)
    if encoding == "utf-8":
        assert bench.members(harmless if flagged else patched(harmless, 6, "<H", 0, 8))[0].startswith("Größe/")


def test_hashed_folders(bench: Bench) -> None:
    names = bench.members(
        packed({"PID-12345/b/1": instance(), "2": instance(number=2)}),
        PROFILE + ZIP.format("hash-subdirectories: true"),
    )
    first = names[0].split("/")
    assert first[0] == sha256(b"PID-12345").hexdigest()
    assert [len(part) for part in first[:-1]] == [64, 64]
    assert "/" not in names[1]


@pytest.mark.parametrize(
    ("name", "profile", "written"),
    [
        ("T1.dicom.zip", "", "T1.dicom.zip"),
        (f"{MARKER}.dicom.zip", "", "file-"),
        ("a.zip", ZIP.format("filenames: [{input-regex: '.*', output: '{Modality}.zip'}]"), "MR.zip"),
        (
            "a.zip",
            ZIP.format("filenames: [{input-regex: '^(?P<n>.).*$', output: '{n}-{PatientID}.zip'}]"),
            "a-" + sha256(b"P1").hexdigest()[:16],
        ),
    ],
)
def test_name_of_the_archive(bench: Bench, name: str, profile: str, written: str) -> None:
    done = bench.deid(packed({"1": instance()}), PROFILE + profile, name)
    assert isinstance(done, Result)
    assert done.released.name.startswith(written)
    assert (
        "filename" in {edit.path for edit in bench.own_edits(packed({"1": instance()}), PROFILE + profile, name)}
    ) == (done.released.name != name)


def test_name_template_that_fits_no_archive_skips_it(bench: Bench) -> None:
    profile = PROFILE + ZIP.format("filenames: [{input-regex: '^never$', output: 'x.zip'}]")
    assert isinstance(bench.deid(packed({"1": instance()}), profile), Skipped)


# -- members that go -----------------------------------------------------------------------------------

DROPPED: Mapping[str, bytes] = {
    "notes.txt": TEXT, "x/report.pdf": b"%PDF-1.4", "text.dcm": TEXT, "more.zip": packed({"1": TEXT}),
    "letter.docx": packed({"[Content_Types].xml": b"<x/>", "word/document.xml": b"<w/>"}), "v.nii.gz": gzip.compress(bytes(500)),
    "DICOMDIR": DICOMDIR, "Thumbs.db": b"\xd0\xcf", "a/.DS_Store": b"\0\0\0\1Bud1", "__MACOSX/._1": b"\0\5",
    "empty": b"",
}  # fmt: skip


@pytest.mark.parametrize("name", DROPPED)
def test_member_that_no_section_takes_is_dropped_and_told(bench: Bench, name: str) -> None:
    data = packed({"first": instance(), name: DROPPED[name]})
    assert len(bench.members(data)) == 1
    edits = bench.own_edits(data)
    assert [(edit.path, edit.action, edit.before) for edit in edits] == [("member", "remove", name)]
    litter = name in ("DICOMDIR", "Thumbs.db", "a/.DS_Store", "__MACOSX/._1")
    if litter:
        assert len(bench.members(data, STRICT)) == 1
    else:
        with pytest.raises(Unfit, match=r"member 2: no section.*validate-zip-members"):
            bench.deid(data, STRICT)


@pytest.mark.parametrize(
    "members",
    [{}, {"a/": b""}, {".DS_Store": b"x", "__MACOSX/._1": b"x"}, {"DICOMDIR": DICOMDIR}, {"n.txt": TEXT}],
    ids=str,
)
def test_archive_of_nothing_is_another_file(bench: Bench, members: dict[str, bytes]) -> None:
    for profile in (PROFILE, STRICT):
        done = bench.deid(packed(members), profile)
        assert isinstance(done, Skipped)
        assert done.reason.startswith("other file: an archive with no member that a section takes")


def test_member_of_another_section_refuses_the_archive(bench: Bench) -> None:
    profile = PROFILE + "xml:\n  fields:\n    - name: //b\n      remove: true\n"
    with pytest.raises(Unfit, match="member 2: it is no XML"):
        bench.deid(packed({"1": instance(), "side.xml": b"<?xml version='1.0'?><a>"}), profile)


def test_filename_section_takes_members_that_are_left(bench: Bench) -> None:
    profile = PROFILE + "filename:\n  filenames: [{input-regex: '^(?P<n>.+)$', output: '{n}'}]\n"
    names = bench.members(packed({"d/1": instance(), "d/notes.txt": TEXT}), profile)
    assert names[1] == "d/notes.txt"


# -- hostile archives ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        "../up",
        "a/../../up",
        "/etc/x",
        "..",
        "a/..",
        "C:/x",
        "c:x",
        "..\\up",
        "\\\\host\\share\\x",
        "a\\..\\..\\b",
        "\\x",
    ],
)
def test_member_that_leads_out(bench: Bench, name: str) -> None:
    with pytest.raises(Malformed, match="member 2: its path leads out"):
        bench.deid(packed({"1": instance(), name: instance(number=2)}))


@pytest.mark.parametrize("pair", [("a", "a"), ("d/a", "d\\a")])
def test_two_members_of_one_name(bench: Bench, pair: tuple[str, str]) -> None:
    stream = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with zipfile.ZipFile(stream, "w") as archive:
            for number, name in enumerate(pair):
                archive.writestr(name, instance(number=number))
    with pytest.raises(Malformed, match="member 2: its name stands twice"):
        bench.deid(stream.getvalue())


@pytest.mark.parametrize(
    ("members", "profile"),
    [
        ({"1": instance(), "2": instance(StudyID="7")}, ""),
        ({"a/1": instance(), "./a/2": instance(StudyID="7")}, ""),
        ({"a/1": instance(), "a//2": instance(StudyID="7")}, ""),
        ({"A/1": instance(), "a/2": instance(StudyID="7")}, ""),
        ({"aa:/1": instance(), "aa?/2": instance(StudyID="7")}, ""),
        ({"1": instance(), "2": instance(number=2)}, "  filenames: [{input-regex: '.*', output: 'same.dcm'}]\n"),
        ({"1": instance(), "x1": instance(number=2)}, "  filenames: [{input-regex: '^x?(?P<n>.)$', output: '{n}.dcm'}]\n"),
    ],
    ids=["uid", "dot", "double slash", "case", "reserved characters", "template", "capture"],
)  # fmt: skip
def test_two_members_that_get_one_name(bench: Bench, members: dict[str, bytes], profile: str) -> None:
    with pytest.raises(Unfit, match="member 2: its output name is that of another member"):
        bench.deid(packed(members), PROFILE + profile)


def test_one_uid_in_two_folders_is_two_files(bench: Bench) -> None:
    assert len(bench.members(packed({"a/1": instance(), "b/1": instance()}))) == 2


HOSTILE = {
    "encrypted": (patched(packed({"1": instance()}), 6, "<H", 1, 8), "encrypted"),
    "strongly encrypted": (patched(packed({"1": instance()}), 6, "<H", 0x41, 8), "encrypted"),
    "unknown method": (patched(packed({"1": instance()}), 8, "<H", 9, 10), "not supported"),
    "AES": (patched(packed({"1": instance()}), 8, "<H", 99, 10), "not supported"),
    "patched data": (patched(packed({"1": instance()}), 6, "<H", 0x20, 8), "not supported"),
    "wrong CRC": (patched(packed({"1": instance()}), 14, "<L", 7, 16), "damaged"),
    "stored as deflated": (patched(packed({"1": instance()}, STORED), 8, "<H", 8, 10), "damaged"),
    "deflated as stored": (patched(packed({"1": instance()}), 8, "<H", 0, 10), "damaged"),
    "smaller than it is": (patched(packed({"1": instance()}), 22, "<L", 100, 24), "damaged"),
    "larger than it is": (patched(packed({"1": instance()}), 22, "<L", 100000, 24), "damaged|another size"),
    "huge by its entry": (patched(packed({"1": instance()}), 22, "<L", 0xFFFFFFF0, 24), "beyond the limit 'inflated'"),
    "another name inside": (packed({"1": instance()}).replace(b"1", b"2", 1), "damaged"),
    "cut": (packed({"1": instance(), "2": instance(number=2)})[:-30], "damaged"),
    "cut in its data": (packed({"1": instance()})[:100], "damaged"),
    "no archive": (b"PK\x03\x04" + b"nothing" * 20, "damaged"),
    "empty": (b"", "damaged"),
    "bad DICOM": (packed({"0": instance(), "1": instance()[:-3]}), "member 2"),
    "bad DICOM by name": (packed({"1.dcm": bytes(500)}), "member 1"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_archive_is_refused(bench: Bench, case: str) -> None:
    data, reason = HOSTILE[case]
    with pytest.raises(Unfit, match=reason) as caught:
        bench.deid(data)
    assert MARKER not in str(caught.value)


def test_archive_cut_at_any_byte_is_refused(bench: Bench) -> None:
    data = packed({"a/1": instance(), "2": instance(number=2)}, STORED)
    for end in range(0, len(data) - 1, 7):
        with pytest.raises(Unfit):
            bench.deid(data[:end])


def test_archive_with_any_byte_changed_is_refused_or_clean(bench: Bench) -> None:
    data = packed({"a/1": instance(PatientName=f"{MARKER}^X")})
    released = 0
    for at in range(0, len(data), 5):
        damaged = bytearray(data)
        damaged[at] ^= 0x55
        try:
            done = bench.deid(bytes(damaged))
        except Unfit:
            continue
        if isinstance(done, Result):
            released += 1
            assert MARKER.encode() not in plain((bench.folder / "result").read_bytes())
    assert released < len(data) / 10  # time stamps and attributes, which do not count


@pytest.mark.parametrize(("megabytes", "count"), [(100, 1), (60, 9)])
def test_bomb(bench: Bench, megabytes: int, count: int) -> None:
    """One member that grows too much, or several that do so together."""
    data = repeated(packed({"0": instance(), "1": bytes(megabytes << 20)}), count)
    with pytest.raises(Beyond, match="beyond the limit 'inflated'"):
        bench.deid(data)


def repeated(data: bytes, count: int) -> bytes:
    """Let the directory name the second member several times, as a bomb of overlapping members does."""
    end = data.rfind(b"PK\5\6")
    (total, _, size, start) = struct.unpack_from("<HHLL", data, end + 8)
    assert total == 2
    first = data[start : start + size]
    entry = first[first.find(b"PK\1\2", 4) :]
    entries = b"".join(entry[:46] + bytes([ord("a") + n]) + entry[47:] for n in range(count - 1))
    out = data[: start + size] + entries + data[end:]
    where = len(data[: start + size] + entries)
    return (
        out[: where + 8]
        + struct.pack("<HHL", total + count - 1, total + count - 1, size + len(entries))
        + out[where + 16 :]
    )


def test_overlapping_members_are_refused(bench: Bench) -> None:
    with pytest.raises(Unfit):
        bench.deid(repeated(packed({"0": instance(), "1": instance(number=2)}), 3))


def test_large_member_that_is_real_passes(bench: Bench) -> None:
    """An empty image of a real size shrinks a lot; that alone is no attack."""
    data = packed({"1": instance(BurnedInAnnotation="NO", ImageComments="", PixelData=bytes(40 << 20), Rows=1, Columns=1,
                                 BitsAllocated=8, BitsStored=8, HighBit=7, SamplesPerPixel=1,
                                 PixelRepresentation=0, PhotometricInterpretation="MONOCHROME2")})  # fmt: skip
    assert len(data) < 1 << 20
    assert len(bench.members(data)) == 1


def test_link_in_an_archive_is_a_file_like_any_other(bench: Bench) -> None:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("1", instance())
        link = zipfile.ZipInfo("link.dcm")
        link.external_attr = 0o120777 << 16
        archive.writestr(link, "/etc/passwd")
    assert len(bench.members(stream.getvalue())) == 1


def test_many_members_take_time_in_proportion(bench: Bench) -> None:
    small = {f"d{n % 50}/{n}": instance(number=n) for n in range(3)}
    notes = {f"notes/{n}.txt": TEXT for n in range(5000)}
    began = time.perf_counter()
    done = bench.deid(packed(small | notes))
    assert time.perf_counter() - began < 20
    assert isinstance(done, Result)
    assert done.released.members == 3
    assert sum(edit.path == "member" for member, edit in edits_of(done.trail) if not member) == 5000


def test_result_is_no_larger_than_it_must_be(bench: Bench) -> None:
    """Members are read one at a time: what stands open is one member and no copy of the archive."""
    data = packed({f"{n}": instance(number=n, ImageComments="x" * 5000) for n in range(20)})
    bench.deid(data)
    assert {path: len(found) < 2 * len(data) for path, found in contents(bench.folder).items()} == {
        "source": True, "result": True,
    }  # fmt: skip


def test_limits_of_members(tmp_path: Path) -> None:
    path = tmp_path / "x.zip"
    path.write_bytes(packed({f"{n}": b"x" for n in range(11)}))
    with within({"members": 10}, 0), pytest.raises(Beyond, match="'members', 10 here"), open_archive(path):
        pass
    with within({"members": 11}, 0), open_archive(path) as archive:
        assert len(list(archive.members())) == 11
    path.write_bytes(packed({f"{n}/": b"" for n in range(11)}))  # folders take memory as well
    with within({"members": 10}, 0), pytest.raises(Beyond, match="'members'"), open_archive(path):
        pass
