"""tar and packed files: read as zips are, refused or told, never lost."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import struct
import tarfile
import tracemalloc
import zlib
from collections.abc import Callable, Mapping

import pytest

from fw_gear_deid.deid import Result
from fw_gear_deid.formats.archive import stem
from fw_gear_deid.model.errors import Beyond, Malformed, Unfit
from fw_gear_deid.model.limits import LIMITS, within
from fw_gear_deid.model.outcome import Skipped
from fw_gear_deid.sample import MARKER
from tests import dicom_files
from tests.desk import PROFILE, Bench, edits_of, instance, packed, plain
from tests.fuzz_archives import tarred
from tests.test_archive import STRICT

BARE = instance()[132:]  # file meta and data set, without preamble and prefix
IMPLICIT = dicom_files.encode(dicom_files.IDENTITY, dicom_files.SYNTAXES["implicit"])  # as before PS3.10


def special(kind: bytes, target: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo()
    info.type, info.linkname = kind, target
    return info


def named_gz(data: bytes) -> bytes:
    """Return a gzip file whose header tells a name, a comment and a time (RFC 1952 §2.3)."""
    head = b"\x1f\x8b\x08" + bytes([0x1A]) + struct.pack("<L", 1583200000) + b"\0\x03"
    head += f"{MARKER}.dcm\0for {MARKER}\0".encode()
    return head + struct.pack("<H", zlib.crc32(head) & 0xFFFF) + gzip.compress(data)[10:]


PACKINGS: Mapping[str, tuple[Callable[[bytes], bytes], str]] = {
    "plain": (bytes, ".tar"), "gzip": (gzip.compress, ".tgz"), "gzip with a name": (named_gz, ".tar.gz"),
    "bzip2": (bz2.compress, ".tar.bz2"), "xz": (lzma.compress, ".tar.xz"),
}  # fmt: skip


# -- tar -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("packing", PACKINGS)
@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_tar_is_read_as_a_zip_is(bench: Bench, packing: str, form: int) -> None:
    pack, suffix = PACKINGS[packing]
    members = {"a/1": instance(), f"{MARKER}/2": instance(number=2), "a/" + "n" * 90: instance(number=3)}
    done = bench.deid(pack(tarred(members, form)), name="T1.dicom" + suffix)
    assert isinstance(done, Result)
    assert done.released.name == "T1.dicom.zip"
    assert done.released.members == 3
    data = (bench.folder / "result").read_bytes()
    bench.deid(packed(members), name="T1.dicom.zip")
    assert (bench.folder / "result").read_bytes() == data  # the same bytes as from a ZIP archive
    assert MARKER.encode() not in plain(data) and b"radiology" not in plain(data)
    assert "tar headers" in {edit.path for member, edit in edits_of(done.trail) if not member}


def test_tar_of_old(bench: Bench) -> None:
    """Of 1979: no magic, a folder is a file whose name ends in a slash."""
    old = edited(edited(ONE, 257, bytes(8)), 156, b"\0")
    folder = edited(edited(edited(ONE[:512], 0, b"a/"), 124, b"00000000000\0"), 156, b"\0")
    done = bench.deid(edited(folder, 257, bytes(8)) + old)
    assert isinstance(done, Result)
    assert (done.released.members, done.released.reason) == (1, "")


@pytest.mark.parametrize(
    ("name", "written"),
    [
        ("T1.tar", "T1.dicom.zip"),
        ("T1.TAR.GZ", "T1.dicom.zip"),
        ("T1.dicom.tgz", "T1.dicom.zip"),
        ("T1", "T1.dicom.zip"),
        (".tar", "_tar.dicom.zip"),
        ("T1.zip", "T1.zip.dicom.zip"),
        (f"{MARKER}.tgz", "file-"),
    ],
)
def test_name_of_a_tar_at_the_destination(bench: Bench, name: str, written: str) -> None:
    done = bench.deid(tarred({"1": instance()}), name=name)
    assert isinstance(done, Result)
    assert done.released.name.startswith(written)


def test_rules_for_zip_names_hold_for_tars(bench: Bench) -> None:
    profile = PROFILE + "zip:\n  filenames: [{input-regex: '^(?P<n>..).*[.]zip$', output: '{n}-{Modality}.zip'}]\n"
    done = bench.deid(tarred({"1": instance()}), profile, "T1.tgz")
    assert isinstance(done, Result)
    assert done.released.name == "T1-MR.zip"


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_names_in_tar_headers(bench: Bench, form: int) -> None:
    """Long ones, and those that are no text."""
    folder = "f" * 120 + "/" + "g" * 60
    done = bench.deid(tarred({f"{folder}/1": instance(), "Größe/2": instance(number=2)}, form))
    assert isinstance(done, Result)
    folders = dict.fromkeys(member.rpartition("/")[0] for member, _ in edits_of(done.trail) if member)
    assert list(folders) == [folder, "Größe"]
    odd = tarred({"____/1": instance()}, form).replace(b"____", "\xfc\xfc\xfc\xfc".encode("latin-1"))
    done = bench.deid(checked(odd, odd.index(b"\xfc") // 512 * 512))
    assert isinstance(done, Result)
    (member,) = {member for member, _ in edits_of(done.trail) if member}
    assert member.startswith("folder-")


def checked(data: bytes, at: int = 0) -> bytes:
    """Return a tar archive with the check sum of a header made right."""
    block = bytearray(data[at : at + 512])
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return data[:at] + bytes(block) + data[at + 512 :]


def edited(data: bytes, offset: int, value: bytes, at: int = 0) -> bytes:
    """Overwrite bytes of a tar header."""
    return checked(data[: at + offset] + value + data[at + offset + len(value) :], at)


ONE = tarred({"1": instance()}, tarfile.USTAR_FORMAT)
TWO = tarred({"1": instance(), "2": instance(number=2)}, tarfile.USTAR_FORMAT)
SECOND = 512 + -(-len(instance()) // 512) * 512
HOSTILE_TARS = {
    "upward path": (tarred({"../1": instance()}), "member 1: its path leads out"),
    "absolute path": (tarred({"/etc/1": instance()}), "leads out"),
    "backslashes": (tarred({"..\\1": instance()}), "leads out"),
    "path by a pax header": (tarred({"../" + "x" * 200: instance()}), "leads out"),
    "one name twice": (edited(TWO, 0, b"1", SECOND), "member 2: its name stands twice"),
    "one name twice, spelt otherwise": (edited(TWO, 0, b".//1", SECOND), "member 2: its name stands twice"),
    "no name": (edited(ONE, 0, b"\0"), "member 1: it has no name"),
    "dot": (edited(ONE, 0, b"./."), "member 1: it has no name"),
    "folder with data": (edited(ONE, 0, b"a/"), "folder's name and has data"),
    "folder with data, by its kind": (edited(ONE, 156, b"5"), "folder's name and has data"),
    "link with data": (edited(ONE, 156, b"2"), "link or device and has data"),
    "hard link with data": (edited(ONE, 156, b"1"), "link or device and has data"),
    "sparse": (edited(ONE, 156, b"S"), "sparse"),
    "unknown kind": (edited(ONE, 156, b"Z"), "of a kind that is not supported"),
    "continued from another volume": (edited(ONE, 156, b"M"), "of a kind that is not supported"),
    "negative size": (edited(ONE, 124, b"\xff" * 12), "header is damaged"),
    "size beyond the file": (edited(ONE, 124, b"77777777777\0"), "larger than the archive can be"),
    "huge size": (edited(ONE, 124, b"\x80\0\0\0\x7f" + b"\xff" * 7), "larger than the archive can be"),
    "size that is no number": (edited(ONE, 124, b"9z9        \0"), "header is damaged"),
    "wrong check sum": (ONE[:148] + b"0000000\0" + ONE[156:], "member 1: its header is damaged"),
    "wrong check sum of the second": (TWO[: SECOND + 148] + b"0000000\0" + TWO[SECOND + 156 :], "member 2: its header"),
    "cut in its data": (ONE[:700], "cut off"),
    "cut in a header": (TWO[: SECOND + 100], "cut off"),
    "without an end": (TWO[: SECOND * 2], "cut off"),
    "cut between members": (TWO[:SECOND], "cut off"),
    "two archives": (ONE + TWO, "something follows the end"),
    "text behind the end": (ONE + b"for ZZ", "something follows the end"),
    "zeros between members": (TWO[:SECOND] + bytes(1024) + TWO[SECOND:], "something follows the end"),
    "long name of 2 MB": (edited(ONE, 124, b"00010000000\0", 0)[:156] + b"L" + ONE[157:], "."),
}  # fmt: skip


@pytest.mark.parametrize("packing", ["plain", "gzip"])
@pytest.mark.parametrize("case", HOSTILE_TARS)
def test_hostile_tar_is_refused(bench: Bench, case: str, packing: str) -> None:
    data, reason = HOSTILE_TARS[case]
    with pytest.raises(Unfit, match=reason) as caught:
        bench.deid(PACKINGS[packing][0](data), name="x" + PACKINGS[packing][1])
    assert MARKER not in str(caught.value)


def pax(records: Mapping[str, str], kind: bytes = b"x", raw: bytes = b"") -> bytes:
    """Return a pax header block with its records."""
    body = raw
    for key, value in records.items():
        line = f" {key}={value}\n".encode()
        size = next(n for n in range(len(line), len(line) + 20) if len(str(n)) + len(line) == n)
        body += str(size).encode() + line
    head = bytearray(512)
    head[:3], head[124:136], head[156:157], head[257:265] = b"pax", b"%011o\0" % len(body), kind, b"ustar\x0000"
    return checked(bytes(head)) + body + bytes(-len(body) % 512)


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        (pax({"path": "../x"}), "leads out"),
        (pax({"path": "a\0b"}), "leads out"),
        (pax({"path": ""}), "no name"),
        (pax({"size": "99999999999999999999999999"}), "larger than the archive can be"),
        (pax({"size": "-1"}), "header is damaged"),
        (pax({"size": "1e3"}), "header is damaged"),
        (pax({"GNU.sparse.map": "0,10"}), "sparse"),
        (pax({"GNU.sparse.major": "1", "GNU.sparse.minor": "0"}), "sparse"),
        (pax({"path": "x"}, b"g"), "a header for all members names one"),
        (pax({}, raw=b"99 path=x\n"), "header is damaged"),
        (pax({}, raw=b"path=x\n"), "header is damaged"),
        (pax({}, raw=b"0 path=x\n"), "header is damaged"),
        (pax({}, raw=b"9 path=xxx"), "header is damaged"),
        (pax({"comment": "x" * (1 << 20)}), "larger than any real one"),
    ],
)
def test_hostile_pax_header(bench: Bench, header: bytes, reason: str) -> None:
    with pytest.raises(Unfit, match=reason):
        bench.deid(header + ONE)


def test_harmless_headers_are_read_and_do_not_travel(bench: Bench) -> None:
    label = edited(edited(ONE[:512], 124, b"00000000000\0"), 156, b"V")
    data = label + pax({"comment": MARKER}, b"g") + pax({"SCHILY.xattr.user.name": MARKER, "uname": MARKER}) + ONE
    done = bench.deid(data)
    assert isinstance(done, Result)
    assert MARKER.encode() not in plain((bench.folder / "result").read_bytes())


def test_header_without_its_member_is_refused(bench: Bench) -> None:
    with pytest.raises(Malformed, match="a header without its member"):
        bench.deid(ONE[:SECOND] + pax({"path": "x"}) + bytes(1024))


def test_links_and_devices_in_a_tar_are_told(bench: Bench) -> None:
    kinds = (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE, tarfile.DIRTYPE)
    others = {f"x{number}": special(kind, "/etc/passwd") for number, kind in enumerate(kinds)}
    for profile in (PROFILE, STRICT):
        done = bench.deid(tarred({"1": instance(), **others}), profile)
        assert isinstance(done, Result)
        assert done.released.reason == "4 members left out: 2 devices, 2 links"


def test_links_to_images_that_are_not_there_refuse(bench: Bench) -> None:
    """As a folder that keeps its files elsewhere (git-annex) is packed."""
    with pytest.raises(Unfit, match="links and not the files they lead to"):
        bench.deid(tarred({"1.dcm": special(tarfile.SYMTYPE, "../objects/1")}))
    assert isinstance(bench.deid(tarred({"lib.so": special(tarfile.SYMTYPE, "lib.so.1")})), Skipped)


def test_tar_is_never_in_memory_as_a_whole(bench: Bench) -> None:
    pixels = {"Rows": 512, "Columns": 1024, "BitsAllocated": 16, "BitsStored": 16, "HighBit": 15, "SamplesPerPixel": 1,
              "PixelRepresentation": 0, "PhotometricInterpretation": "MONOCHROME2"}  # fmt: skip
    members = {f"{n}": instance(number=n, PixelData=bytes([n]) * (1 << 20), **pixels) for n in range(24)}
    for data in (tarred(members), gzip.compress(tarred(members), 1)):
        tracemalloc.start()
        done = bench.deid(data)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert isinstance(done, Result)
        assert done.released.members == 24
        assert peak < 12 << 20


# -- packed files --------------------------------------------------------------------------------------


@pytest.mark.parametrize("pack", [gzip.compress, named_gz, bz2.compress, lzma.compress])
@pytest.mark.parametrize("name", ["1.dcm.gz", f"{MARKER}", "IM1.GZ"])
def test_packed_image_comes_out_as_an_image(bench: Bench, pack: Callable[[bytes], bytes], name: str) -> None:
    done = bench.deid(pack(instance()), name=name)
    assert isinstance(done, Result)
    data = (bench.folder / "result").read_bytes()
    plainly = bench.deid(instance(), name="1.dcm")
    assert isinstance(plainly, Result)
    assert data == (bench.folder / "result").read_bytes()
    assert done.released.name == plainly.released.name
    assert [edit.path for _, edit in edits_of(done.trail) if edit.path.endswith(" header")]


def test_templates_see_the_name_without_what_it_is_packed_in(bench: Bench) -> None:
    profile = PROFILE + "  filenames: [{input-regex: '^(?P<n>..)[.]dcm$', output: '{n}-new.dcm'}]\n"
    done = bench.deid(gzip.compress(instance()), profile, "T1.dcm.gz")
    assert isinstance(done, Result)
    assert done.released.name == "T1-new.dcm"


def test_several_streams_are_one_content_unless_they_are_files(bench: Bench) -> None:
    data = instance()
    blocks = b"".join(gzip.compress(data[at : at + 100]) for at in range(0, len(data), 100))  # as bgzip and pigz do
    assert isinstance(bench.deid(blocks + bytes(100), name="1.dcm.gz"), Result)
    with pytest.raises(Malformed, match="several files are packed one after the other"):
        bench.deid(gzip.compress(data) + gzip.compress(instance(number=2)), name="1.dcm.gz")
    both = gzip.compress(tarred({"1": data})) + gzip.compress(tarred({"2": instance(number=2)}))
    with pytest.raises(Malformed, match="something follows the end"):
        bench.deid(both, name="1.tgz")


DAMAGED = {
    "check sum": lambda data: data[:-8] + bytes(4) + data[-4:],
    "length": lambda data: data[:-4] + b"\x01\0\0\0",
    "cut": lambda data: data[:-20],
    "cut in the trailer": lambda data: data[:-2],
    "middle": lambda data: data[: len(data) // 2] + bytes(8) + data[len(data) // 2 + 8 :],
    "text behind": lambda data: data + b"for ZZ",
    "zeros and text behind": lambda data: data + bytes(600) + b"x",
}


@pytest.mark.parametrize("damage", DAMAGED)
@pytest.mark.parametrize("made", ["image", "tar", "bzip2", "xz"])
def test_damaged_packed_file_is_refused(bench: Bench, damage: str, made: str) -> None:
    content_ = tarred({"1": instance()}) if made == "tar" else instance()
    pack = {"bzip2": bz2.compress, "xz": lzma.compress}.get(made, gzip.compress)
    name = "x.tgz" if made == "tar" else "x.dcm." + made
    with pytest.raises(Unfit, match=r"packed|follows|cut off|member 1"):
        bench.deid(DAMAGED[damage](pack(content_)), name=name)


def test_damaged_packed_file_that_nobody_takes_is_another_file(bench: Bench) -> None:
    volume = gzip.compress(bytes(344) + b"n+1\0" + bytes(4000))
    for data in (volume + b"x", volume[:-6]):
        assert isinstance(bench.deid(data, name="v.nii.gz"), Skipped)
    with pytest.raises(Malformed):
        bench.deid(volume[:12], name="v.nii.gz")  # nothing tells what it was


def test_packed_bomb(bench: Bench) -> None:
    stream = io.BytesIO()
    with gzip.GzipFile(fileobj=stream, mode="w") as packer:
        packer.write(instance())
        for _ in range(120):
            packer.write(bytes(1 << 20))
    tracemalloc.start()
    with pytest.raises(Beyond, match="beyond the limit 'inflated'"):
        bench.deid(stream.getvalue(), name="1.dcm.gz")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 3 * LIMITS["inflated"].default
    bomb = gzip.compress(tarred({"1": instance(), "2": bytes(120 << 20)}))
    with pytest.raises(Unfit, match=r"beyond the limit|larger than the archive can be"):
        bench.deid(bomb, name="x.tgz")


def test_number_of_members_of_a_tar(bench: Bench) -> None:
    with within({"members": 10}, 0), pytest.raises(Beyond, match="'members', 10 here"):
        bench.deid(tarred({f"{n}": b"x" for n in range(11)}))


@pytest.mark.parametrize(
    ("name", "packing", "inside"),
    [("T.tgz", "gzip", "T.tar"), ("v.nii.gz", "gzip", "v.nii"), (".gz", "gzip", ".gz"), ("a.TXZ", "xz", "a.tar")],
)
def test_stem(name: str, packing: str, inside: str) -> None:
    assert stem(name, packing) == inside
