"""What stands in an archive: archives, hidden members, other people's files, copies, what is no DICOM: never lost."""

from __future__ import annotations

import bz2
import csv
import gzip
import io
import lzma
import random
import re
import struct
import zipfile
from collections.abc import Callable, Mapping
from itertools import islice, pairwise
from pathlib import Path

import pytest

from fw_gear_deid.cli import main
from fw_gear_deid.deid import Result
from fw_gear_deid.formats.archive import content, look, open_archive
from fw_gear_deid.formats.dicom.sniff import is_index, lacks_prefix
from fw_gear_deid.model.errors import Beyond, Malformed, Unfit
from fw_gear_deid.model.limits import within
from fw_gear_deid.model.outcome import Skipped
from fw_gear_deid.sample import MARKER
from tests import dicom_files, fuzz_archives
from tests.desk import PROFILE, Bench, Desk, contents, edits_of, instance, packed, plain
from tests.fuzz_archives import tarred
from tests.test_archive import DICOMDIR, STRICT, TEXT, patched
from tests.test_archive_kinds import (
    BARE,
    IMPLICIT,
    ONE,
)

# -- archives in archives --------------------------------------------------------------------------------

OPENED: Mapping[str, bytes] = {
    "zip": packed({"1": instance(number=9)}),
    "zip in zip": packed({"x.zip": packed({"1": instance(number=9)})}),
    "tar": tarred({"1": instance(number=9)}),
    "tgz": gzip.compress(tarred({"1": instance(number=9)})),
    "image without prefix in a zip": packed({"1": BARE}),
    "docx with an image": packed({"[Content_Types].xml": b"<x/>", "word/media/1.dcm": instance(number=9)}),
    "jar with an image": packed({"META-INF/MANIFEST.MF": b"x", "a.class": b"\xca\xfe\xba\xbe", "1": instance(number=9)}),
}  # fmt: skip
HIDING: Mapping[str, bytes] = {
    "gz": gzip.compress(instance(number=9)),
    "gz in gz": gzip.compress(gzip.compress(instance(number=9))),
    "bz2": bz2.compress(instance(number=9)),
    "xz": lzma.compress(instance(number=9)),
    "zip in gz in tar": tarred({"z": gzip.compress(packed({"1": instance(number=9)}))}),
    "damaged zip": packed({"1": TEXT, "2": TEXT})[:-40],
    "damaged gz": gzip.compress(instance(number=9))[:-30],
    "damaged image in a zip": packed({"1.dcm": bytes(400)}),
    "encrypted": patched(packed({"1": TEXT}), 6, "<H", 1, 8),
    "7z": b"7z\xbc\xaf\x27\x1c" + bytes(60),
    "RAR": b"Rar!\x1a\x07\x01\0" + bytes(60),
    "Zstandard": b"\x28\xb5\x2f\xfd" + bytes(60),
    "7z in a zip": packed({"x": b"7z\xbc\xaf\x27\x1c" + bytes(60)}),
}  # fmt: skip


def deep(levels: int) -> bytes:
    data = packed({"note": TEXT})
    for _ in range(levels):
        data = packed({"x": data})
    return data


@pytest.mark.parametrize("kind", HIDING)
@pytest.mark.parametrize("outer", [packed, tarred, lambda members: gzip.compress(tarred(members))])
def test_archive_inside_that_hides_something_refuses(
    bench: Bench, kind: str, outer: Callable[[Mapping[str, bytes]], bytes]
) -> None:
    for name in ("inner", "inner.zip"):
        for beside in ({"1": instance()}, {"note": TEXT}):
            with pytest.raises(Unfit, match=r"^member 2: "):
                bench.deid(outer({**beside, name: HIDING[kind]}))


def leaves(data: bytes, path: str = "") -> dict[str, bytes]:
    """Return what is in an archive of ours, and in archives in it."""
    found: dict[str, bytes] = {}
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert (archive.comment, archive.testzip()) == (b"", None)
        for name in archive.namelist():
            inner = archive.read(name)
            found |= leaves(inner, f"{path}{name}!") if inner[:2] == b"PK" else {path + name: inner}
    return found


@pytest.mark.parametrize("kind", OPENED)
@pytest.mark.parametrize("outer", [packed, tarred, lambda members: gzip.compress(tarred(members))])
def test_archive_inside_is_opened(bench: Bench, kind: str, outer: Callable[[Mapping[str, bytes]], bytes]) -> None:
    for beside in ({"1": instance()}, {"note": TEXT}):
        done = bench.deid(outer({**beside, "inner.zip": OPENED[kind]}))
        assert isinstance(done, Result)
        result = (bench.folder / "result").read_bytes()
        found = leaves(result)
        assert len(found) == 1 + ("1" in beside)
        assert not any(MARKER.encode() in data for data in found.values())
        (inner,) = [path for path in found if "!" in path]
        members = [member for member, edit in edits_of(done.trail) if edit.keyword == "PatientName"]
        assert inner.replace("!", "/") in members
        assert done.sorting["PatientID"]


PACKED = PROFILE + "json:\n  fields:\n    - {name: who, remove: true}\n"


def test_names_in_an_archive_inside_are_held_against_the_one_around_it(bench: Bench) -> None:
    """In any order: what a member behind it taught holds for it as well."""
    plain_ = packed(
        {f"{MARKER}/{MARKER}.json": b'{"n": 1}', "a/b.json": b'{"who": "SOMEBODY"}'}, comment=b"of SOMEBODY"
    )
    members = {"1.dcm": instance(), "inner.zip": packed({"x.zip": plain_, "SOMEBODY.json": b"{}"})}
    for order in (members, dict(reversed(members.items()))):
        done = bench.deid(packed(order), PACKED)
        assert isinstance(done, Result)
        result = plain((bench.folder / "result").read_bytes())
        assert MARKER.encode() not in result
        assert b"SOMEBODY" not in result
        assert b"/b.json" in result
        assert done.released.members == 2


def test_documents_are_nobodys_files(bench: Bench) -> None:
    """What an office document is made of is taken by no section of XML or JSON: it would come out as another one."""
    letter = packed({"[Content_Types].xml": b"<x/>", "word/a.json": b'{"who": "SOMEBODY"}'})
    assert isinstance(bench.deid(letter, PACKED, "letter.docx"), Skipped)
    done = bench.deid(packed({"a.json": b"{}", "letter.docx": letter}), PACKED)
    assert isinstance(done, Result)
    assert done.released.reason == "1 member left out: 1 archive"


HARMLESS: Mapping[str, tuple[bytes, str]] = {
    "letter.docx": (packed({"[Content_Types].xml": b"<x/>", "word/document.xml": b"<w/>"}), "archive"),
    "viewer.jar": (packed({"META-INF/MANIFEST.MF": b"x", "lib/a.jar": packed({"a.class": b"\xca\xfe\xba\xbe"})}), "archive"),
    "notes.zip": (packed({"notes.txt": TEXT}), "archive"),
    "empty.zip": (packed({}), "archive"),
    "v.nii.gz": (gzip.compress(bytes(400)), "packed file"),
    "log.xz": (lzma.compress(TEXT), "packed file"),
    "src.tar": (tarred({"a.c": TEXT}), "archive"),
    "said.zip": (TEXT, "text"),
    "two deep": (deep(2), "archive"),
}  # fmt: skip


@pytest.mark.parametrize("name", HARMLESS)
def test_archive_inside_without_images_is_like_a_report(bench: Bench, name: str) -> None:
    data, word = HARMLESS[name]
    done = bench.deid(packed({"1": instance(), name: data}))
    assert isinstance(done, Result)
    assert done.released.reason == f"1 member left out: 1 {word}"
    assert done.released.members == 1


def test_depth_and_size_of_what_is_looked_into(bench: Bench) -> None:
    nested = packed({"1": instance(), "x": deep(5)})
    with pytest.raises(Beyond, match="'depth', 4 here"):
        bench.deid(nested)
    with within({"depth": 6}, len(nested)):
        assert isinstance(bench.deid(nested), Result)
    big = packed({"notes": bytes(range(256)) * 40}, zipfile.ZIP_STORED)
    noise = random.Random(1).randbytes(6000)
    volume = gzip.compress(bytes(344) + b"n+1\0" + noise)  # is no archive: its head tells
    with within({"inside": 1000}, 0):
        for outer in (packed, tarred):
            with pytest.raises(Beyond, match="'inside'"):
                bench.deid(outer({"1": instance(), "x": big}))
        with pytest.raises(Beyond, match="'inside'"):
            bench.deid(gzip.compress(big), name="x.zip.gz")
        done = bench.deid(packed({"1": instance(), "v.nii.gz": volume}, zipfile.ZIP_STORED))
        assert isinstance(done, Result)
        assert done.released.reason == "1 member left out: 1 NIfTI volume"
        for hidden in (tarred({"1": noise}), instance() + noise, gzip.compress(noise)):
            with pytest.raises(Beyond, match="'inside'"):
                bench.deid(packed({"1": instance(), "x.gz": gzip.compress(hidden)}))
    with within({"members": 3}, 0), pytest.raises(Beyond, match="'members'"):
        bench.deid(packed({"1": instance(), "x": packed({f"{n}": b"" for n in range(4)})}))


def test_archive_inside_is_not_copied_by_a_filename_section(bench: Bench) -> None:
    profile = PROFILE + "filename:\n  filenames: [{input-regex: '^(?P<n>.+)$', output: '{n}'}]\n"
    with pytest.raises(Unfit, match="member 2: an archive or packed file inside"):
        bench.deid(packed({"1": instance(), "x.gz": HIDING["gz"]}), profile)
    for name, data in (("x.tgz", OPENED["tgz"]), ("x.dcm.gz", HIDING["gz"])):
        done = bench.deid(data, profile, name)
        assert isinstance(done, Result)  # opened, not copied
        assert MARKER.encode() not in plain((bench.folder / "result").read_bytes())
    for data in (HIDING["gz in gz"], gzip.compress(OPENED["zip"]), HIDING["7z"]):
        with pytest.raises(Unfit):
            bench.deid(data, profile, "x.gz")


# -- files of other people -------------------------------------------------------------------------------

OTHERS: Mapping[str, bytes] = {
    **{name: data for name, (data, _) in HARMLESS.items() if name not in ("said.zip", "two deep")},
    "book.epub": packed({"mimetype": b"application/epub+zip", "a.xhtml": b"<x/>"}),
    "text.odt": packed({"mimetype": b"application/vnd.oasis.opendocument.text", "content.xml": b"<x/>"}),
    "app.apk": packed({"AndroidManifest.xml": b"\3\0\x08\0", "classes.dex": b"dex\n035\0"}),
    "jre.zip": packed({"lib/rt.jar": packed({"a.class": b"\xca\xfe\xba\xbe"}), "lib/x.zip": packed({"a": TEXT})}),
    "only folders.zip": packed({"a/": b"", "b/": b""}),
    "log.gz": gzip.compress(TEXT),
    "setup.cab": b"MSCF" + bytes(100),
}


@pytest.mark.parametrize("name", OTHERS)
def test_archive_without_images_is_another_file(bench: Bench, name: str) -> None:
    for profile in (PROFILE, STRICT):
        done = bench.deid(OTHERS[name], profile, name)
        assert isinstance(done, Skipped)
        assert done.reason.startswith(("other file: ", "not taken: "))


@pytest.mark.parametrize("kind", ["7z", "RAR", "Zstandard"])
def test_kinds_that_are_not_read_refuse(bench: Bench, kind: str) -> None:
    for name in ("x.7z", "x.zip", "x"):
        with pytest.raises(Unfit, match=rf"not read \({kind}\): unpack it"):
            bench.deid(HIDING[kind], name=name)
    with pytest.raises(Unfit, match=r"not read \(disc image\)"):
        bench.deid(bytes(0x8001) + b"CD001" + bytes(100), name="cd.iso")


@pytest.mark.parametrize("name", ["x.tar", "x.tgz", "x.tar.gz", "x.zip", "x.txz"])
def test_damaged_archive_by_its_name_is_refused(bench: Bench, name: str) -> None:
    with pytest.raises(Unfit):
        bench.deid(bytes(700), name=name)


def test_damaged_image_in_an_archive_of_notes_is_refused(bench: Bench) -> None:
    for members in ({"n": TEXT, "1": instance()[:-3]}, {"1.dcm": bytes(400)}, {"1": BARE[:-3]}):
        for outer in (packed, tarred):
            with pytest.raises(Unfit, match="member"):
                bench.deid(outer(members))


# -- what a directory does not tell ----------------------------------------------------------------------


def without_entry(data: bytes, name: bytes) -> bytes:
    """Take a member out of the directory alone."""
    end = data.rfind(b"PK\5\6")
    total, size, start = struct.unpack_from("<HLL", data, end + 10)
    at = data.find(name, start) - 46
    length = 46 + sum(struct.unpack_from("<3H", data, at + 28))
    counts = struct.pack("<HHLL", total - 1, total - 1, size - length, start)
    return data[:at] + data[at + length : end + 8] + counts + data[end + 20 :]


PAIR = packed({"1": instance(), "22": instance(number=2)}, zipfile.ZIP_STORED)
UNTOLD = {
    "first member": without_entry(PAIR, b"1"),
    "last member": without_entry(PAIR, b"22"),
    "two archives": packed({"1": instance()}) + packed({"2": instance(number=2)}),
    "a cut archive behind": packed({"1": instance()}) + packed({"2": instance(number=2)})[:-30],
    "an archive as comment": packed({"1": instance()}, comment=packed({"2": instance(number=2)})),
    "other size inside": patched(packed({"1": instance()}), 22, "<L", 7),
    "other method inside": patched(packed({"1": instance()}), 8, "<H", 0),
    "other check sum inside": patched(packed({"1": instance()}), 14, "<L", 7),
    "count": re.sub(b"(PK\5\6.{6})\1\0", lambda found: found[1] + b"\2\0", packed({"1": instance()}), flags=re.S),
    "more packed than told": patched(patched(packed({"0": instance(), "1": bytes(4000)}, zipfile.ZIP_STORED), 22, "<L", 0, 24), 14, "<L", 0, 16),
}  # fmt: skip


@pytest.mark.parametrize("case", UNTOLD)
def test_zip_that_holds_more_than_it_tells_is_refused(bench: Bench, case: str) -> None:
    with pytest.raises(Malformed):
        bench.deid(UNTOLD[case])


@pytest.mark.parametrize("junk", [b"#!/bin/sh exit\n", bytes(64), MARKER.encode() * 20])
def test_bytes_that_belong_to_no_member_are_told(bench: Bench, junk: bytes) -> None:
    data = packed({"1": instance()})
    middle = data.index(b"PK\1\2")
    moved = data[:-6] + struct.pack("<L", middle + len(junk)) + data[-2:]
    for changed in (junk + data, data + junk, moved[:middle] + junk + moved[middle:]):
        done = bench.deid(changed)
        assert isinstance(done, Result)
        told = f"{len(junk)} bytes left out that belong to no member" if junk.strip(b"\0") else ""
        assert done.released.reason == told
        assert MARKER.encode() not in plain((bench.folder / "result").read_bytes())


@pytest.mark.parametrize("name", ["", "a/", "a/b/", "a\\", "/", "./"])
def test_member_without_a_file_name(bench: Bench, name: str) -> None:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("1", instance())
        info = zipfile.ZipInfo("x")
        info.filename = name
        archive.writestr(info, instance(number=2))
    with pytest.raises(Malformed, match=r"member 2: (it has no name|it is a folder's name|its path leads out)"):
        bench.deid(stream.getvalue())


@pytest.mark.parametrize("signed", [True, False])
@pytest.mark.parametrize("wide", [True, False])
def test_sizes_behind_the_data_are_no_stray_bytes(bench: Bench, signed: bool, wide: bool) -> None:
    class Pipe(io.BytesIO):
        def seekable(self) -> bool:
            return False

        def tell(self) -> int:
            raise OSError

    pipe = Pipe()
    with zipfile.ZipFile(pipe, "w", zipfile.ZIP_DEFLATED) as archive:
        for number in (1, 2):
            with archive.open(f"{number}", "w", force_zip64=wide) as stream:
                stream.write(instance(number=number))
    data = pipe.getvalue()
    if not signed:
        starts = [found.start() for found in re.finditer(b"PK\7\x08", data)]
        places = [struct.unpack_from("<L", data, found.start() + 42)[0] for found in re.finditer(b"PK\1\2", data)]
        directory, end = data.index(b"PK\1\2"), data.rfind(b"PK\5\6")
        assert len(starts) == len(places) == 2
        body = b"".join(data[a + 4 * bool(a) : b] for a, b in pairwise([0, *starts, directory]))
        entries = data[directory:end].replace(struct.pack("<L", places[1]), struct.pack("<L", places[1] - 4))
        data = body + entries + data[end : end + 16] + struct.pack("<L", directory - 8) + data[end + 20 :]
    done = bench.deid(data)
    assert isinstance(done, Result)
    assert (done.released.members, done.released.reason) == (2, "")


# -- names that no template takes, copies ----------------------------------------------------------------


def test_member_that_no_filenames_entry_matches_is_left_out_and_told(bench: Bench) -> None:
    profile = PROFILE + "  filenames: [{input-regex: '^IM(?P<n>.+)$', output: '{n}.dcm'}]\n"
    members = {"IM1": instance(), "x": instance(number=2), "IM3": instance(number=3)}
    for outer in (packed, tarred):
        done = bench.deid(outer(members), profile)
        assert isinstance(done, Result)
        assert done.released.members == 2
        assert done.released.reason == "1 member left out: 1 file that no filenames entry matches"
        with pytest.raises(Unfit, match=r"member 2: no section.*validate-zip-members"):
            bench.deid(outer(members), profile + "zip:\n  validate-zip-members: true\n")
    done = bench.deid(packed({"x": instance(), "y": instance(number=2)}), profile)
    assert isinstance(done, Skipped)
    assert done.reason.startswith("excluded: ")


def test_copy_of_a_member_is_one(bench: Bench) -> None:
    done = bench.deid(packed({"1": instance(), "1 (copy)": instance(), "2": instance(number=2)}))
    assert isinstance(done, Result)
    assert (done.released.members, done.released.reason) == (2, "1 member left out: 1 copy")
    with zipfile.ZipFile(bench.folder / "result") as archive:
        assert archive.testzip() is None
        assert len(archive.namelist()) == 2
    assert len({member for member, _ in edits_of(done.trail) if member}) == 2


def test_two_that_differ_in_what_goes_are_no_copies(bench: Bench) -> None:
    with pytest.raises(Unfit, match="member 2: its output name is that of another member"):
        bench.deid(packed({"1": instance(), "2": instance(PatientName="Other")}))


def test_what_is_left_out_is_told_by_number_and_kind(bench: Bench) -> None:
    members = {
        "1": instance(), "a.pdf": b"%PDF-1.4", "b.pdf": b"%PDF-1.5", "n.txt": TEXT, ".DS_Store": b"x", "DICOMDIR": DICOMDIR,
        "p.jpg": b"\xff\xd8\xff\xe0", "v.exe": b"MZ\x90\0\3", "e": b"", "x.bin": bytes(range(256)),
        "f.mp4": b"\0\0\0\x18ftypmp42", "v.nii": bytes(344) + b"n+1\0", "l.doc": b"\xd0\xcf\x11\xe0",
    }  # fmt: skip
    done = bench.deid(packed(members))
    assert isinstance(done, Result)
    assert done.released.reason == (
        "12 members left out: 2 PDFs, 1 DICOMDIR, 1 NIfTI volume, 1 empty file, 1 media file, 1 office document,"
        " 1 other file, 1 picture, 1 program, 1 system file, 1 text"
    )
    dropped = [edit.before for _, edit in edits_of(done.trail) if edit.path == "member"]
    assert dropped == [name for name in members if name != "1"]


# -- DICOM without prefix, and what is no DICOMDIR ---------------------------------------------------------


@pytest.mark.parametrize(
    ("head", "is_dicom"),
    [
        (BARE, True),
        (IMPLICIT, True),
        (dicom_files.encode(dicom_files.IDENTITY, dicom_files.SYNTAXES["explicit"]), True),
        (dicom_files.encode(dicom_files.IDENTITY, dicom_files.SYNTAXES["big"]), True),
        (dicom_files.encode(dicom_files.IDENTITY[3:], dicom_files.SYNTAXES["explicit"]), True),
        (b"DICM" + BARE, True),
        (instance().replace(b"DICM", b"DICX", 1), True),
        (instance()[3:], True),
        (bytes(90) + instance(), True),
        (packed({"1": instance()}, zipfile.ZIP_STORED), False),
        (tarred({"1": instance()}), False),
        (instance(PatientName="x").replace(b"DICM", b"DICX", 1)[:160], True),
        (b"", False),
        (b"\x08\0", False),
        (b"\x08\0\x16\0UI", False),
        (bytes(500), False),
        (b"\x08\0\x16\0" + bytes(range(200)), False),
        (b"\x10\0\0\0\1\0\0\0\x20\0\0\0\2\0\0\0", False),
        (TEXT * 20, False),
    ],
)
def test_data_set_without_prefix_is_recognised(head: bytes, is_dicom: bool) -> None:
    assert lacks_prefix(head) == is_dicom


@pytest.mark.parametrize("data", [BARE, IMPLICIT])
def test_data_set_without_prefix_is_not_dropped(bench: Bench, data: bytes) -> None:
    """Alone, in an archive, beside one with a prefix, and cut."""
    assert isinstance(bench.deid(data, name="IM1"), Result)
    for outer in (packed, tarred):
        done = bench.deid(outer({"IM1": data, "2": instance(number=2)}))
        assert isinstance(done, Result)
        assert done.released.members == 2
        with pytest.raises(Unfit):
            bench.deid(outer({"IM1": data[:-3], "2": instance(number=2)}))
    with pytest.raises(Unfit):
        bench.deid(data[:-3], name="IM1")


def test_image_that_mentions_the_media_directory_is_an_image(bench: Bench) -> None:
    media = "1.2.840.10008.1.3.10"
    for data in (
        instance(ReferencedSOPClassUID=media, ReferencedSOPClassUIDInFile=media),
        instance().replace(b"1.2.840.10008.5.1.4.1.1.4\0", media.encode() + bytes(6)),
        instance(ReferencedFileID="X"),  # of group 0004
    ):
        assert not is_index(data[:2048])
        assert isinstance(bench.deid(data), Result)
        assert len(bench.members(packed({"1": data}))) == 1
    assert is_index(DICOMDIR[:2048])
    assert is_index(DICOMDIR[132:][:2048])
    done = bench.deid(DICOMDIR)
    assert isinstance(done, Skipped)
    assert done.reason.startswith("other file: a DICOMDIR")


# -- in a run --------------------------------------------------------------------------------------------


def test_archives_of_a_run(desk: Desk) -> None:
    """Tars and packed images in a tree and loose; what is left out stands in its row, by name only when asked."""
    desk.put({
        "S/V/A/a.dcm.gz": gzip.compress(instance()), "S/V/A/b.dicom.tgz": gzip.compress(tarred({"x/1.dcm": instance(number=2)})),
        "S/V/A/c.tar": tarred({"x/1.dcm": instance(number=3), "secret name.pdf": b"%PDF"}), "S/V/A/letter.docx": OTHERS["letter.docx"],
        "S/V/A/n.zip": packed({"1": instance(), "x.zip": OPENED["zip"]}),
        "loose.tar.xz": lzma.compress(tarred({"n.txt": TEXT, "1": instance("P2")})),
        "l1.dcm.gz": gzip.compress(instance("P3")), "l2.dcm": instance("P3", number=2), "jre.zip": OTHERS["jre.zip"],
    })  # fmt: skip
    before = contents(desk.source)
    assert desk.run("--audit-originals").code == 0
    states = desk.states()
    assert {name: states[name] for name in states if states[name] != "released"} == {
        "S/V/A/letter.docx": "skipped", "jre.zip": "skipped",
    }  # fmt: skip
    reasons = {row["source"]: row["reason"] for row in desk.rows()}
    assert reasons["S/V/A/c.tar"] == "1 member left out: 1 PDF"
    assert reasons["loose.tar.xz"] == "1 member left out: 1 text"
    there = desk.there()
    assert sorted(Path(name).name for name in there if ".dicom.zip" in name)[:3] != []
    assert {Path(name).name for name in there} >= {"b.dicom.zip", "c.dicom.zip", "loose.dicom.zip"}
    series = next(
        data for name, data in there.items() if re.search(r"/2\.25\..*\.dicom\.zip$|/[\d.]+\.dicom\.zip$", name)
    )
    with zipfile.ZipFile(io.BytesIO(series)) as archive:
        assert len(archive.namelist()) == 2  # packed and plain of one series
    assert not any(MARKER.encode() in plain(data) for data in there.values())
    assert contents(desk.source) == before
    audits = {path.parent.name: path.read_text(encoding="utf-8") for path in desk.reports.rglob("audit.csv")}
    assert "secret name.pdf" in audits["private"]
    assert not any("secret name.pdf" in text for folder, text in audits.items() if folder != "private")


def test_loose_archive_is_placed_by_a_member_that_has_a_name(desk: Desk) -> None:
    desk.rules(PROFILE + "  filenames: [{input-regex: '^IM(?P<n>.+)$', output: '{n}.dcm'}]\n")
    desk.put({"x.zip": packed({"localizer": instance(number=2), "IM1": instance()})})
    assert desk.run().code == 0
    assert desk.rows()[0]["reason"] == "1 member left out: 1 file that no filenames entry matches"


def test_mapping_asks_nothing_of_other_peoples_archives(desk: Desk) -> None:
    desk.rules(PROFILE.replace("hash: true", 'replace-with: "{{ NEW }}"'))
    (desk.folder / "map.csv").write_text("PatientID,NEW\nP1,N1\n")
    desk.put({"a.dcm.gz": gzip.compress(instance()), "b.tgz": gzip.compress(tarred({"1": instance(series=2)}))})
    desk.put({"letter.docx": OTHERS["letter.docx"], "jre.zip": OTHERS["jre.zip"]})
    assert desk.run("--mapping", str(desk.folder / "map.csv")).code == 0
    states = desk.states()
    assert sorted(states[name] for name in states) == ["released", "released", "skipped", "skipped"]


LITTER = [
    ".snapshot/1.dcm", ".zfs/snapshot/1.dcm", "@Recently-Snapshot/S/V/1.dcm", "~snapshot/1.dcm", "S/.snapshots/1.dcm", "#snapshot/1.dcm",
    ".Trashes/501/1.dcm", "$RECYCLE.BIN/S-1-5/1.dcm", "System Volume Information/1.dcm", "#recycle/1.dcm", "@eaDir/1.dcm/x.dcm",
    "lost+found/1.dcm", ".Trash-1000/files/1.dcm", ".Spotlight-V100/1.dcm", ".fseventsd/1.dcm", "S/V/A/@eaDir/1.dcm",
    "S/.trash/A/1.dcm", "RECYCLER/1.dcm", "__MACOSX/1.dcm", "S/V/A/1.dcm@SynoEAStream",
]  # fmt: skip


def test_trash_and_snapshots_are_other_files(desk: Desk) -> None:
    desk.put({"S/V/A/1.dcm": instance(), **dict.fromkeys(LITTER, instance())})
    done = desk.run()
    assert done.code == 0, done.err
    assert len(desk.there()) == 1
    rows = {row["source"]: (row["state"], row["reason"]) for row in desk.rows()}
    assert rows.keys() == {"S/V/A/1.dcm", *LITTER}
    assert all(rows[name][0] == "skipped" and rows[name][1].startswith("other file: ") for name in LITTER)
    assert rows[".Trashes/501/1.dcm"][1] == "other file: in a trash folder"


def test_trash_in_an_archive_is_left_out(bench: Bench) -> None:
    for outer in (packed, tarred):
        done = bench.deid(outer({"1": instance(), **{f"d/{name}": instance(number=2) for name in LITTER}}))
        assert isinstance(done, Result)
        assert done.released.members == 1
        assert done.released.reason == f"{len(LITTER)} members left out: {len(LITTER)} system files"


@pytest.mark.parametrize("name", ["trash/1.dcm", "recycled/1.dcm", "snapshot/1.dcm", "S/V/snapshots of 2020/1.dcm"])
def test_folders_of_people_are_no_litter(desk: Desk, name: str) -> None:
    desk.put({name: instance()})
    assert desk.run().code == 0
    assert desk.states() == {name: "released"}


def test_preview_shows_members_of_tars_and_packed_images(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    desk.put({
        "a.tgz": gzip.compress(tarred({"x/1": instance(), "n.txt": TEXT})), "b.dcm.gz": gzip.compress(instance("P2")),
        "c.docx": OTHERS["letter.docx"], "d.tar": ONE[:900],
    })  # fmt: skip
    table = desk.folder / "table.csv"
    main(["preview", str(desk.source), "--profile", str(desk.profile), "--csv", str(table)])
    shown = capsys.readouterr().out
    assert "a.tgz!x/1" in shown and "b.dcm.gz" in shown and "n.txt" not in shown and "c.docx" not in shown
    assert "refused: the archive is cut off" in shown
    with table.open(encoding="utf-8", newline="") as stream:
        assert len(list(csv.reader(stream))) == 5


# -- mutants ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", fuzz_archives.bases())
def test_mutants(tmp_path: Path, name: str) -> None:
    """A fast sample of ``tests/fuzz_archives.py``, the same every time."""
    mutants = fuzz_archives.mutants(fuzz_archives.bases()[name], random.Random(7))
    for data in islice(mutants, 60):
        fuzz_archives.verdict(name, data, tmp_path)


# -- the door ----------------------------------------------------------------------------------------------


def test_look_tells_what_a_file_is(tmp_path: Path) -> None:
    cases = {
        b"": ("", "", ""), packed({"1": b"x"}): ("", "zip", ""), ONE: ("", "tar", ""), gzip.compress(ONE): ("gzip", "tar", ""),
        bz2.compress(b"x" * 600): ("bzip2", "", ""), lzma.compress(packed({})): ("xz", "zip", ""),
        gzip.compress(gzip.compress(b"x")): ("gzip", "packed", ""), HIDING["RAR"]: ("", "", "RAR"),
        b"BZh9 is no archive": ("", "", ""), b"\x1f\x8b is none": ("", "", ""),
    }  # fmt: skip
    for data, expected in cases.items():
        seen = look(data)
        assert (seen.packing, seen.kind, seen.unread) == expected
        (tmp_path / "x").write_bytes(data)
        assert look(tmp_path / "x") == seen


def test_members_may_be_read_partly_and_again(tmp_path: Path) -> None:
    members = {"a": b"a" * 3000, "b": b"b" * (3 << 20), "c": b"c"}
    for data in (packed(members), tarred(members), gzip.compress(tarred(members))):
        with open_archive(data) as archive:
            assert [member.name for member in archive.members()] == ["a", "b", "c"]
            assert [member.head()[:1] for member in archive.members()] == [b"a", b"b", b"c"]
            assert {member.name: member.read() for member in archive.members()} == members
            for member in archive.members():
                head = member.head()
                member.check()
                assert member.head() == head


def test_content_is_bounded() -> None:
    with within({"inside": 100}, 0):
        assert content(gzip.compress(b"x" * 100), "gzip") == b"x" * 100
    with within({"inside": 99}, 0), pytest.raises(Beyond, match="'inside', 99 bytes here"):
        content(gzip.compress(b"x" * 100), "gzip")
