"""ZIP archives in pieces: what is written is what the standard library writes, what is read is checked to its end."""

from __future__ import annotations

import io
import os
import random
import shutil
import struct
import subprocess
import sys
import tracemalloc
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fw_gear_deid.formats.archive import flate, open_archive, zips
from fw_gear_deid.formats.archive.members import PIECE, Member
from fw_gear_deid.model.errors import Malformed, Unfit
from tests.desk import packed
from tests.test_archive import patched

METHODS = {
    "stored": zipfile.ZIP_STORED,
    "deflated": zipfile.ZIP_DEFLATED,
    "bzip2": zipfile.ZIP_BZIP2,
    "lzma": zipfile.ZIP_LZMA,
}
NOISE = random.Random(1).randbytes(3 * PIECE + 7)
MIXED = bytes(b & 0x3F for b in NOISE)  # shrinks by a quarter
ROOT = Path(__file__).resolve().parents[1]


def written(path: Path, name: str, pieces: list[bytes], method: int, *, small: bool = False) -> bytes:
    with zips.Target(path, small=small) as target, target.member(name, method) as out:
        for piece in pieces:
            out.write(piece)
    return path.read_bytes()


def by_zipfile(members: dict[str, bytes], method: int, comment: bytes = b"") -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, data in members.items():
            info = zipfile.ZipInfo(name)
            info.compress_type, info.create_system, info.external_attr = method, 3, 0o644 << 16
            archive.writestr(info, data)
        archive.comment = comment
    return stream.getvalue()


def is_sound(path: Path) -> bool:
    """Ask whoever else reads ZIP archives."""
    with zipfile.ZipFile(path) as archive:
        sound = archive.testzip() is None
        readable = all(info.compress_type != zipfile.ZIP_LZMA for info in archive.infolist())
    if readable and shutil.which("unzip"):
        sound = sound and subprocess.run(["unzip", "-tqq", path], capture_output=True, check=False).returncode == 0
    return sound


# -- writing -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["stored", "bzip2", "lzma"])
@pytest.mark.parametrize("comment", [b"", b"seen"])
def test_archive_is_that_of_the_standard_library(tmp_path: Path, method: str, comment: bytes) -> None:
    members = {"a": b"", "b/c.dcm": MIXED[:1000], "Größe/1": MIXED[:PIECE], "d": MIXED[: PIECE + 1]}
    path = tmp_path / "x.zip"
    with zips.Target(path) as target:
        for name, data in members.items():
            zips.write_member(target, name, [data], METHODS[method])
        target.comment = comment
    assert path.read_bytes() == by_zipfile(members, METHODS[method], comment)


@pytest.mark.parametrize("small", [False, True])
def test_deflated_archive_differs_in_its_codec_alone(tmp_path: Path, small: bool) -> None:
    path = tmp_path / "x.zip"
    written(path, "Größe", [MIXED], zipfile.ZIP_DEFLATED, small=small)
    assert is_sound(path)
    with zipfile.ZipFile(path) as ours, zipfile.ZipFile(io.BytesIO(by_zipfile({"Größe": MIXED}, 8))) as theirs:
        names = ["filename", "date_time", "compress_type", "create_system", "create_version", "extract_version",
                 "flag_bits", "external_attr", "internal_attr", "extra", "comment", "header_offset", "CRC", "file_size"]  # fmt: skip
        for name in names:
            assert getattr(ours.infolist()[0], name) == getattr(theirs.infolist()[0], name), name
        assert ours.read("Größe") == MIXED


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("size", [0, 1, PIECE - 1, PIECE, PIECE + 1, 2 * PIECE, len(MIXED)])
def test_same_bytes_however_they_are_divided(tmp_path: Path, method: str, size: int) -> None:
    data, draw = MIXED[:size], random.Random(size)
    cuts = sorted(draw.randrange(size + 1) for _ in range(9))
    divided = [data[a:b] for a, b in zip([0, *cuts], [*cuts, size], strict=True)]
    ways = {
        written(tmp_path / "x.zip", "n", pieces, METHODS[method])
        for pieces in (
            [data],
            divided,
            [data[at : at + PIECE] for at in range(0, size, PIECE)],
            [data[at : at + 5000] for at in range(0, size, 5000)],
            [data[: PIECE // 2], data[PIECE // 2 :]],
        )
    }
    assert len(ways) == 1
    with zipfile.ZipFile(tmp_path / "x.zip") as archive:
        assert archive.read("n") == data


@pytest.mark.parametrize("method", METHODS)
def test_what_was_written_can_be_read_before_the_end(tmp_path: Path, method: str) -> None:
    with zips.Target(tmp_path / "x.zip") as target:
        for name in ("a", "b", "c"):
            zips.write_member(target, name, [MIXED + name.encode()], METHODS[method])
            assert b"".join(target.pieces(name)) == MIXED + name.encode()
        assert b"".join(target.pieces("a")) == MIXED + b"a"
        zips.write_member(target, "d", [b"d"], METHODS[method])
    assert is_sound(tmp_path / "x.zip")
    with zipfile.ZipFile(tmp_path / "x.zip") as archive:
        assert [archive.read(name)[-1:] for name in archive.namelist()] == [b"a", b"b", b"c", b"d"]


def fail(target: zips.Target, method: int, data: bytes) -> None:
    with target.member("b", method) as out:
        out.write(data)
        raise Unfit


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("size", [10, len(NOISE)])
def test_member_that_fails_was_never_begun(tmp_path: Path, method: str, size: int) -> None:
    with zips.Target(tmp_path / "x.zip") as target:
        zips.write_member(target, "a", [MIXED], METHODS[method])
        with pytest.raises(Unfit):
            fail(target, METHODS[method], NOISE[:size])
        zips.write_member(target, "c", [b"c"], METHODS[method])
    with zips.Target(tmp_path / "y.zip") as target:
        zips.write_member(target, "a", [MIXED], METHODS[method])
        zips.write_member(target, "c", [b"c"], METHODS[method])
    assert (tmp_path / "x.zip").read_bytes() == (tmp_path / "y.zip").read_bytes()


def test_archive_that_fails_is_none(tmp_path: Path) -> None:
    with pytest.raises(Unfit), zips.Target(tmp_path / "x.zip") as target:
        fail(target, 0, b"a")
    assert not zipfile.is_zipfile(tmp_path / "x.zip")


def test_unknown_way_of_packing_becomes_deflate(tmp_path: Path) -> None:
    written(tmp_path / "x.zip", "a", [MIXED], 93)
    with zipfile.ZipFile(tmp_path / "x.zip") as archive:
        assert archive.infolist()[0].compress_type == zipfile.ZIP_DEFLATED


def test_name_that_is_there(tmp_path: Path) -> None:
    with zips.Target(tmp_path / "x.zip") as target:
        zips.write_member(target, "a", [b"1"], 0)
        with pytest.raises(Unfit, match="name is that of another"):
            zips.write_member(target, "a", [b"2"], 0)
    with zipfile.ZipFile(tmp_path / "x.zip") as archive:
        assert [archive.read(info) for info in archive.infolist()] == [b"1"]


def test_name_that_is_too_long(tmp_path: Path) -> None:
    with zips.Target(tmp_path / "x.zip") as target:
        with pytest.raises(Unfit, match="output name is longer"), target.member("n" * 65536, 0):
            pass
        zips.write_member(target, "n" * 65535, [b"x"], 0)
    assert zipfile.ZipFile(tmp_path / "x.zip").namelist() == ["n" * 65535]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("limit", [100, 200_000, 900_000])
def test_sizes_and_offsets_of_eight_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str, limit: int
) -> None:
    """As for members beyond 2 GB: nobody knows beforehand that the header will need the room."""
    monkeypatch.setattr(zips, "_LIMIT", limit)
    members = {"a": MIXED, "b": b"small", "c": NOISE[: PIECE + 3], "d": MIXED[:150_000]}
    with zips.Target(tmp_path / "x.zip") as target:
        for name, data in members.items():
            with target.member(name, METHODS[method]) as out:
                for at in range(0, len(data), 70_000):
                    out.write(data[at : at + 70_000])
            assert b"".join(target.pieces(name)) == data
    assert is_sound(tmp_path / "x.zip")
    with zipfile.ZipFile(tmp_path / "x.zip") as archive:
        assert {name: archive.read(name) for name in archive.namelist()} == members
        assert any(info.extra for info in archive.infolist()) == (limit < 900_000 or method == "stored")
    with open_archive(tmp_path / "x.zip") as archive_:
        assert {member.name: member.read() for member in archive_.members()} == members


def test_more_members_than_two_bytes_count(tmp_path: Path) -> None:
    with zips.Target(tmp_path / "x.zip") as target:
        for number in range(65537):
            zips.write_member(target, f"{number}", [b""], 0)
    with zipfile.ZipFile(tmp_path / "x.zip") as archive:
        assert len(archive.namelist()) == 65537
    with open_archive(tmp_path / "x.zip") as opened:
        assert sum(1 for _ in opened.members()) == 65537


# -- size and codec ------------------------------------------------------------------------------------


def noisy(count: int) -> bytes:
    """Return 16-bit pixels with the noise of a scanner."""
    draw = random.Random(3)
    return struct.pack(f"<{count}H", *(max(0, int(draw.gauss(300, 12))) for _ in range(count)))


REPEATS = {f"every {size}": NOISE[:size] * (len(NOISE) * 4 // size) for size in (512, 8192, 16384, 31 * 1024)}
SIZES = {"pixels": noisy(200_000), **REPEATS}


@pytest.mark.parametrize("what", SIZES)
@pytest.mark.parametrize("isal", [True, False])
def test_size_of_what_is_deflated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str, isal: bool) -> None:
    """Quick compressors may lose sight of what lies a few kilobytes back, and write twenty times the bytes."""
    monkeypatch.setattr(flate, "HAS_ISAL", isal and flate.HAS_ISAL)
    best = zlib.compressobj(6, zlib.DEFLATED, -15)
    least = len(best.compress(SIZES[what]) + best.flush())
    fast = len(written(tmp_path / "x.zip", "n", [SIZES[what]], 8))
    assert fast < least * (1.1 if what == "pixels" or flate.HAS_ISAL else 2) + 1000
    assert len(written(tmp_path / "x.zip", "n", [SIZES[what]], 8, small=True)) <= least * 1.001 + 200


@pytest.fixture
def without_isal(tmp_path: Path) -> dict[str, str]:
    """Hide isal from a program and all that it starts."""
    hidden = tmp_path / "hidden"
    hidden.mkdir()
    (hidden / "isal.py").write_text("raise ImportError('hidden')\n")
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(hidden), str(ROOT)])}


def test_archives_are_read_and_written_without_isal(without_isal: dict[str, str]) -> None:
    tests = [
        "tests/test_archive.py",
        "tests/test_archive_kinds.py",
        "tests/test_archive_inside.py",
        "tests/test_zips.py",
    ]
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:xdist",
        "-k",
        "not without_isal and not lzma and not bzip2",
        *tests,
    ]
    done = subprocess.run(command, cwd=ROOT, env=without_isal, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:]


def test_run_without_isal_gives_the_same_results(tmp_path: Path, without_isal: dict[str, str]) -> None:
    def call(*arguments: str, env: dict[str, str] | None = None) -> None:
        command = [sys.executable, "-m", "fw_gear_deid", *arguments]
        done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr

    call("sample", str(tmp_path / "in"), "--subjects", "1")
    call("keygen", str(tmp_path / "key"))
    plain = {**os.environ, "PYTHONPATH": str(ROOT)}
    results, audits, sizes = {}, {}, {}
    for name, env, how in (("with", plain, "fast"), ("without", without_isal, "fast"), ("small", plain, "small")):
        out = tmp_path / name / "out"
        out.parent.mkdir()
        call("run", str(tmp_path / "in"), str(out), "--profile", "research-site", "--key-file", str(tmp_path / "key"),
             "--workers", "2", "--compression", how, env=env)  # fmt: skip
        results[name] = dict(unpacked(out))
        audits[name] = sorted((tmp_path / name / "out-report" / "audit.csv").read_text().splitlines())
        sizes[name] = sum(path.stat().st_size for path in out.rglob("*.zip"))
    assert results["with"] == results["without"] == results["small"]
    assert audits["with"] == audits["without"] == audits["small"]
    assert len(set(sizes.values())) == (3 if flate.HAS_ISAL else 2)
    assert any("!" in name for name in results["with"])


def unpacked(folder: Path) -> Iterator[tuple[str, object]]:
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.suffix == ".zip":
            with zipfile.ZipFile(path) as archive:
                for info in archive.infolist():
                    yield f"{name}!{info.filename}", (info.compress_type, archive.read(info))
        elif path.is_file() and path.suffix:
            yield name, path.read_bytes()


# -- reading -------------------------------------------------------------------------------------------


def one(data: bytes, read: Callable[[Member], object] = Member.read) -> object:
    """Read the one member of an archive."""
    with open_archive(data) as archive:
        (found,) = (read(member) for member in archive.members())
    return found


def piecewise(member: Member) -> bytes:
    return b"".join(member.pieces())


def headed(member: Member) -> bytes:
    head = member.head()
    data = member.read()
    assert data[:2048] == head
    return data


READS: list[Callable[[Member], bytes]] = [piecewise, headed, Member.read]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("size", [0, 1, PIECE, PIECE + 1, 5 * PIECE + 3])
@pytest.mark.parametrize("read", READS)
def test_pieces_are_the_bytes(method: str, size: int, read: Callable[[Member], bytes]) -> None:
    data = (MIXED * 2)[:size]
    assert one(by_zipfile({"n": data}, METHODS[method]), read) == data


DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "check sum": lambda data: patched(data, 14, "<L", 7, 16),
    "size more": lambda data: patched(data, 22, "<L", len(MIXED) + 1, 24),
    "size less": lambda data: patched(data, 22, "<L", len(MIXED) - 1, 24),
    "a bit at the start": lambda data: data[:60] + bytes([data[60] ^ 4]) + data[61:],
    "a bit in the middle": lambda data: data[: len(data) // 2] + bytes([data[len(data) // 2] ^ 4]) + data[len(data) // 2 + 1 :],
}  # fmt: skip


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("damage", DAMAGE)
def test_pieces_of_a_damaged_member_end_in_an_error(method: str, damage: str) -> None:
    """And what came until then is less than all of it."""
    data = DAMAGE[damage](by_zipfile({"n": MIXED}, METHODS[method]))
    came: list[bytes] = []
    said = []
    for read in (*READS, Member.check, lambda member: came.extend(member.pieces())):
        with pytest.raises(Malformed) as caught:
            one(data, read)
        said.append(str(caught.value))
    assert len(set(said)) == 1
    assert len(b"".join(came)) < len(MIXED) + (damage == "size more")


@pytest.mark.parametrize("more", [b"x", bytes(300)])
def test_deflated_data_that_goes_on_after_its_size_is_damaged(more: bytes) -> None:
    """The check sum is that of the part which the archive tells of."""
    data = by_zipfile({"n": b"told" + more}, zipfile.ZIP_DEFLATED)
    data = patched(patched(data, 22, "<L", 4, 24), 14, "<L", zlib.crc32(b"told"), 16)
    with pytest.raises(Malformed, match="a member of the archive is damaged"):
        one(data)


def test_stored_data_that_goes_on_after_its_size_is_damaged() -> None:
    data = patched(patched(by_zipfile({"n": b"told more"}, 0), 22, "<L", 4, 24), 14, "<L", zlib.crc32(b"told"), 16)
    with pytest.raises(Malformed, match="a member of the archive is damaged"):
        one(data)


def test_letters_that_directory_and_member_read_in_two_ways_are_damage() -> None:
    data = by_zipfile({"Größe": b"x"}, 0)
    at = data.index(b"PK\3\4") + 7
    with pytest.raises(Malformed, match="the directory says otherwise"):
        one(data[:at] + b"\0" + data[at + 1 :])
    plain = packed({"n": b"x"})
    assert one(plain[:7] + b"\x08" + plain[8:]) == b"x"


def test_lzma_without_a_mark_of_its_end() -> None:
    """What follows the last byte there is noise of the coder."""
    data = by_zipfile({"n": MIXED[:5000]}, zipfile.ZIP_LZMA)
    start, size = 31, struct.unpack_from("<L", data, 18)[0]
    for cut in range(1, 6):  # the mark takes some of the last bytes
        shorter = data[: start + size - cut] + data[start + size :]
        shorter = patched(shorter, 18, "<L", size - cut, 20)
        end = shorter.rfind(b"PK\5\6")
        shorter = shorter[: end + 16] + struct.pack("<L", start + size - cut) + shorter[end + 20 :]
        assert one(shorter) == MIXED[:5000]


@pytest.mark.parametrize("method", METHODS)
def test_member_that_grows_is_read_in_little_memory(method: str) -> None:
    data = by_zipfile({"n": bytes(32 << 20)}, METHODS[method])
    tracemalloc.start()
    one(data, Member.check)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 12 << 20  # of which the windows of bzip2 and LZMA take 4 and 8


@pytest.mark.parametrize("method", ["stored", "deflated"])
def test_member_passes_through_in_little_memory(tmp_path: Path, method: str) -> None:
    data = MIXED * 32
    (tmp_path / "x.zip").write_bytes(by_zipfile({"n": data}, METHODS[method]))
    crc = zlib.crc32(data)
    del data
    tracemalloc.start()
    with open_archive(tmp_path / "x.zip") as archive, zips.Target(tmp_path / "y.zip") as target:
        for member in archive.members():
            with target.member(member.name, member.compression) as out:
                for piece in member.pieces():
                    out.write(piece)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 3 << 20
    with zipfile.ZipFile(tmp_path / "y.zip") as archive_:
        assert [info.CRC for info in archive_.infolist()] == [crc] and archive_.testzip() is None
