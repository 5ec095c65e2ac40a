"""Files that somebody made to do harm, by the whole program: one row each, in bounded time and memory, workers alive."""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
import resource
import struct
import subprocess
import sys
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

from fw_gear_deid.deid import Result
from fw_gear_deid.formats.archive import budget, gz, layout
from fw_gear_deid.formats.dicom import deflated
from fw_gear_deid.model import limits
from fw_gear_deid.model.errors import Unfit
from fw_gear_deid.sample import MARKER
from tests.desk import PROFILE, ROOT, Bench, Desk, Ran, instance, packed, plain
from tests.dicom_files import IDENTITY, SYNTAXES, Leaf, deflate, encode, file_meta, meta_of, part10, text

CORPUS = Path(__file__).resolve().parents[2] / "shared" / "corpus"
MEMORY, SECONDS = 1 << 30, 120  # bytes of addresses that each process may have, libraries included; wall clock
ONE, TWO = instance(), instance(number=2)


Cases = dict[str, tuple[bytes, str]]
"""What is done to a file → its bytes, and what has to become of it."""


# -- archives that lie ---------------------------------------------------------------------------------


@dataclass
class Entry:
    """A member as it is written, and what directory and header say of it; None: the truth."""

    name: bytes
    data: bytes
    method: int = 8
    flags: int = 0
    local: bytes | None = None
    local_flags: int | None = None
    local_method: int | None = None
    local_crc: int | None = None
    local_size: int | None = None
    crc: int | None = None
    size: int | None = None
    packed: int | None = None
    offset: int | None = None
    extra: bytes = b""
    local_extra: bytes = b""
    behind: bytes = b""
    unlisted: bool = False
    system: int = 3
    mode: int = 0o100644
    comment: bytes = b""
    body: bytes | None = None


def zipped(
    *entries: Entry, prefix: bytes = b"", shift: bool = False, between: bytes = b"", end: bytes | None = None,
    count: int | None = None, comment: bytes = b"", comment_size: int | None = None, disk: int = 0,
) -> bytes:  # fmt: skip
    """Return an archive, written down from APPNOTE 4.3."""
    out, directory, base = bytearray(prefix), b"", 0 if shift else len(prefix)
    for one in entries:
        body = one.body if one.body is not None else one.data if one.method != 8 else raw_deflated(one.data)
        crc, at = zlib.crc32(one.data), len(out) - (len(prefix) - base)
        name = one.name if one.local is None else one.local
        out += struct.pack(
            "<4s5H3L2H", b"PK\3\4", 20, one.flags if one.local_flags is None else one.local_flags,
            one.method if one.local_method is None else one.local_method, 0, 33,
            crc if one.local_crc is None else one.local_crc, len(body),
            len(one.data) if one.local_size is None else one.local_size, len(name), len(one.local_extra),
        )  # fmt: skip
        out += name + one.local_extra + body + one.behind
        if one.unlisted:
            continue
        directory += struct.pack(
            "<4s4B4H3L5H2L", b"PK\1\2", 20, one.system, 20, 0, one.flags, one.method, 0, 33, crc if one.crc is None else one.crc,
            len(body) if one.packed is None else one.packed, len(one.data) if one.size is None else one.size,
            len(one.name), len(one.extra), len(one.comment), 0, 0, one.mode << 16, at if one.offset is None else one.offset,
        )  # fmt: skip
        directory += one.name + one.extra + one.comment
    out += between
    start, listed = (
        len(out) - (len(prefix) - base),
        sum(not one.unlisted for one in entries) if count is None else count,
    )
    out += directory
    size = len(comment) if comment_size is None else comment_size
    out += (
        struct.pack("<4s4H2LH", b"PK\5\6", disk, disk, listed, listed, len(directory), start, size)
        if end is None
        else end
    )
    return bytes(out + comment)


def into_the_directory() -> bytes:
    """The last member's data ends in what begins the directory."""
    begin = struct.pack("<4s4B", b"PK\1\2", 20, 3, 20, 0)
    image = instance(Rows=4, Columns=4, BitsAllocated=8, PixelData=bytes(16))  # what follows pixels is dropped
    data = image + begin
    size, crc = len(data), zlib.crc32(data)
    out = zipped(Entry(b"a", image, method=0, crc=crc, local_crc=crc, size=size, local_size=size, packed=size))
    return out[:18] + struct.pack("<L", size) + out[22:]


def raw_deflated(data: bytes) -> bytes:
    stream = zlib.compressobj(6, zlib.DEFLATED, -15)
    return stream.compress(data) + stream.flush()


def extra(kind: int, data: bytes) -> bytes:
    return struct.pack("<2H", kind, len(data)) + data


def unicode_name(name: bytes, of: bytes) -> bytes:
    """Info-ZIP's Unicode path (APPNOTE 4.6.9)."""
    return extra(0x7075, b"\1" + zlib.crc32(of).to_bytes(4, "little") + name)


WIDE = 0xFFFFFFFF
M = MARKER.encode()
RELEASED, REFUSED, SKIPPED = "released", "refused", "skipped"
A, B = Entry(b"a", ONE), Entry(b"b", TWO)


@cache
def zips() -> Cases:
    return {
        "plain": (zipped(A, B), RELEASED),
        "prefix": (zipped(A, prefix=b"#!/bin/sh\n# " + M + b"\n"), RELEASED),
        "prefix, offsets from it": (zipped(A, prefix=b"MZ" + M * 9, shift=True), RELEASED),
        "prefix is an archive": (zipped(A) + zipped(B), REFUSED),
        "prefix is a member": (zipped(A, prefix=zipped(B)[:200]), REFUSED),
        "prefix is an image": (zipped(A, prefix=TWO), REFUSED),
        "bytes between": (zipped(A, B, between=M * 7), RELEASED),
        "a member that nobody lists": (zipped(A, Entry(b"hidden", TWO, unlisted=True)), REFUSED),
        "other name": (zipped(Entry(b"a", ONE, local=b"b")), REFUSED),
        "longer name": (zipped(Entry(b"a", ONE, local=b"../../" + M)), REFUSED),
        "other method": (zipped(Entry(b"a", ONE, local_method=0)), REFUSED),
        "other sum": (zipped(Entry(b"a", ONE, local_crc=7)), REFUSED),
        "other size": (zipped(Entry(b"a", ONE, local_size=7)), REFUSED),
        "wrong sum": (zipped(Entry(b"a", ONE, local_crc=7, crc=7)), REFUSED),
        "wrong size": (zipped(Entry(b"a", ONE, local_size=7, size=7)), REFUSED),
        "too large": (zipped(Entry(b"a", ONE, local_size=WIDE - 9, size=WIDE - 9)), REFUSED),
        "packed longer": (zipped(Entry(b"a", ONE, packed=WIDE - 9)), REFUSED),
        "packed shorter": (zipped(Entry(b"a", ONE, packed=9)), REFUSED),
        "stored longer": (zipped(Entry(b"a", ONE, method=0, size=len(ONE) - 4, local_size=len(ONE) - 4)), REFUSED),
        "twice the same bytes": (zipped(A, Entry(b"b", ONE, offset=0)), REFUSED),
        "offset behind the end": (zipped(Entry(b"a", ONE, offset=WIDE - 9)), REFUSED),
        "offset in itself": (zipped(Entry(b"a", ONE, offset=4)), REFUSED),
        "encrypted": (zipped(Entry(b"a", ONE, flags=1)), REFUSED),
        "encrypted, its header does not say so": (zipped(Entry(b"a", ONE, flags=1, local_flags=0)), REFUSED),
        "strongly encrypted": (zipped(Entry(b"a", ONE, flags=0x41)), REFUSED),
        "AES": (zipped(Entry(b"a", ONE, method=99, extra=extra(0x9901, b"\2\0AE\3\x08\0"))), REFUSED),
        "unknown method": (zipped(Entry(b"a", ONE, method=1234)), REFUSED),
        "deflate64": (zipped(Entry(b"a", raw_deflated(ONE), method=9)), REFUSED),
        "sizes behind": (zipped(Entry(b"a", ONE, flags=8, local_crc=0, behind=b"PK\7\x08" + struct.pack("<3L", zlib.crc32(ONE), len(raw_deflated(ONE)), len(ONE)))), RELEASED),
        "zip64": (zipped(Entry(b"a", ONE, size=WIDE, extra=extra(1, struct.pack("<Q", len(ONE))))), RELEASED),
        "zip64, of any size": (zipped(Entry(b"a", ONE, size=WIDE, extra=extra(1, struct.pack("<Q", 1 << 60)))), REFUSED),
        "zip64, negative": (zipped(Entry(b"a", ONE, size=WIDE, extra=extra(1, b"\xff" * 8))), REFUSED),
        "zip64, cut": (zipped(Entry(b"a", ONE, size=WIDE, extra=extra(1, b"\1\2"))), REFUSED),
        "zip64, nothing": (zipped(Entry(b"a", ONE, size=WIDE)), REFUSED),
        "zip64 directory nowhere": (zipped(A, between=b"PK\6\6" + bytes(52) + b"PK\6\7" + b"\xff" * 16), RELEASED),
        "Unicode path": (zipped(Entry(b"a", ONE, extra=unicode_name("Größe/b".encode(), b"a"))), RELEASED),
        "Unicode path of somebody": (zipped(Entry(b"a", ONE, extra=unicode_name(M + b"/x", b"a"))), RELEASED),
        "Unicode path that leads out": (zipped(Entry(b"a", ONE, extra=unicode_name(b"../../x", b"a"))), RELEASED),
        "Unicode path of another name": (zipped(Entry(b"a", ONE, extra=unicode_name(M, b"other"))), RELEASED),
        "Unicode path, cut": (zipped(Entry(b"a", ONE, extra=extra(0x7075, b"\1"))), RELEASED),
        "extra, cut": (zipped(Entry(b"a", ONE, extra=b"\1\2\xff\xff" + M)), REFUSED),
        "no UTF-8 in a UTF-8 name": (zipped(Entry(b"\xff\xfe/a", ONE, flags=0x800)), REFUSED),
        "two names that are one": (zipped(A, Entry(b"a", TWO)), REFUSED),
        "two names that are one, with dots": (zipped(A, Entry(b"./a", TWO)), REFUSED),
        "names that differ in case": (zipped(A, Entry(b"A", TWO)), RELEASED),
        "two files of one image": (zipped(A, Entry(b"b", ONE)), RELEASED),
        "two images of one UID": (zipped(A, Entry(b"b", instance(StudyID="2"))), REFUSED),
        "absolute": (zipped(Entry(b"/etc/passwd", ONE)), REFUSED),
        "upwards": (zipped(Entry(b"x/../../y", ONE)), REFUSED),
        "upwards, backslash": (zipped(Entry(b"x\\..\\..\\y", ONE)), REFUSED),
        "drive": (zipped(Entry(b"C:x", ONE)), REFUSED),
        "NUL in a name": (zipped(Entry(b"a\0.txt", ONE)), RELEASED),
        "no name": (zipped(Entry(b"", ONE)), REFUSED),
        "name of 60,000": (zipped(Entry(M * 10_000, ONE)), RELEASED),
        "a folder with data": (zipped(Entry(b"a/", ONE)), REFUSED),
        "a link": (zipped(Entry(b"a", b"/etc/passwd", mode=0o120777), B), RELEASED),
        "comment": (zipped(A, comment=M * 99), RELEASED),
        "comment with an end": (zipped(A, comment=b"PK\5\6" + bytes(18)), REFUSED),
        "comment cut": (zipped(A, comment=b"x", comment_size=999), RELEASED),
        "more members than there are": (zipped(A, count=9), REFUSED),
        "fewer members than there are": (zipped(A, B, count=1), REFUSED),
        "of several disks": (zipped(A, disk=3), RELEASED),
        "no end": (zipped(A, end=b""), REFUSED),
        "junk in what is packed": (zipped(Entry(b"a", ONE, body=raw_deflated(ONE) + M * 999)), REFUSED),
        "a little junk in what is packed": (zipped(Entry(b"a", ONE, body=raw_deflated(ONE) + M)), RELEASED),
        "a damaged note": (zipped(A, Entry(b"n.txt", b"a note" * 400_000, crc=7, local_crc=7)), REFUSED),
        "called an archive": (zipped(A, Entry(b"x.tar.gz", bytes(range(200)))), REFUSED),
        "into the directory": (into_the_directory(), REFUSED),
        "an end alone": (b"PK\5\6" + bytes(18), SKIPPED),
        "a bomb": (packed({"a": bytes(80 << 20)}), REFUSED),
        "a bomb of many": (packed({f"{n}.dcm": bytes(5 << 20) for n in range(66)}), REFUSED),
        "an archive in archives": (packed({"1": packed({"2": packed({"3": packed({"4": packed({"5": packed({"6": ONE})})})})})}), REFUSED),
        "20,000 members": (zipped(*(Entry(b"%d.txt" % n, b"", method=0) for n in range(20_000)), A), RELEASED),
    }  # fmt: skip


@cache
def streams() -> Cases:
    return {
        "name and comment": (b"\x1f\x8b\x08\x18" + bytes(6) + M + b".dcm\0" + M + b"\0" + raw_deflated(ONE) + struct.pack("<2L", zlib.crc32(ONE), len(ONE)), RELEASED),
        "junk behind": (gzip.compress(ONE) + M, REFUSED),
        "two files": (gzip.compress(ONE) + gzip.compress(TWO), REFUSED),
        "wrong sum": (gzip.compress(ONE)[:-8] + bytes(8), REFUSED),
        "cut": (gzip.compress(ONE)[:-20], REFUSED),
        "a bomb": (gzip.compress(bytes(128) + b"DICM" + bytes(90 << 20)), REFUSED),
        "a bomb in bzip2": (bz2.compress(bytes(128) + b"DICM" + bytes(90 << 20)), REFUSED),
        "in five layers": (gzip.compress(gzip.compress(gzip.compress(gzip.compress(gzip.compress(ONE))))), REFUSED),
    }  # fmt: skip


# -- images that lie -----------------------------------------------------------------------------------


def named(charset: bytes, raw: bytes, tag: int = 0x00100010, vr: str = "PN") -> bytes:
    nodes = {node.tag: node for node in (text(0x00080005, "CS", charset), *IDENTITY[:3], text(0x00100020, "LO", b"P1"))}
    nodes[tag] = text(tag, vr, raw)
    return part10([nodes[number] for number in sorted(nodes)], SYNTAXES["explicit"])


def nested(depth: int) -> bytes:
    begin, end = (
        b"\x08\0\x40\x11SQ\0\0\xff\xff\xff\xff\xfe\xff\x00\xe0\xff\xff\xff\xff",
        b"\xfe\xff\x0d\xe0\0\0\0\0\xfe\xff\xdd\xe0\0\0\0\0",
    )
    inner = encode([text(0x00100010, "PN", MARKER)], SYNTAXES["explicit"])
    return part10(
        (), SYNTAXES["explicit"], after=encode(IDENTITY[:3], SYNTAXES["explicit"]) + begin * depth + inner + end * depth
    )


def empty_items(count: int) -> bytes:
    body = b"\xfe\xff\x00\xe0\0\0\0\0" * count
    head = encode(IDENTITY[:3], SYNTAXES["explicit"]) + b"\x08\0\x40\x11SQ\0\0" + len(body).to_bytes(4, "little")
    return part10((), SYNTAXES["explicit"], after=head + body)


def with_length(length: int, vr: bytes = b"OB\0\0") -> bytes:
    head = encode([*IDENTITY[:3], text(0x00100020, "LO", "P1")], SYNTAXES["explicit"])
    return part10(
        (), SYNTAXES["explicit"], after=head + b"\xe0\x7f\x10\0" + vr + length.to_bytes(4, "little") + b"\1" * 64
    )


DEFLATED = file_meta(meta_of(SYNTAXES["deflated"]))


@cache
def images() -> Cases:
    return {
        "UTF-8 that is Latin 1": (named(b"ISO_IR 192", MARKER.encode() + b"^M\xfcller "), RELEASED),
        "Latin 1 that is UTF-8": (named(b"ISO_IR 100", f"{MARKER}^Müller".encode()), RELEASED),
        "no UTF-8 in an id": (named(b"ISO_IR 192", b"\xff\xfe\xc0\x80", 0x00100020, "LO"), RELEASED),
        "a character set that does not exist": (named(b"ISO_IR 999", MARKER.encode()), RELEASED),
        "a character set of somebody": (named(b"NO SUCH SET OF OURS", b"x"), RELEASED),
        "100 character sets": (named(b"\\".join([b"ISO 2022 IR 87"] * 100), MARKER.encode()), RELEASED),
        "an escape without an end": (named(b"\\ISO 2022 IR 87", MARKER.encode() + b"^\x1b$B"), RELEASED),
        "escapes of nobody": (named(b"ISO 2022 IR 6\\ISO 2022 IR 87", MARKER.encode() + b"\x1b\x1b\x1b(J\x1b$)Z"), RELEASED),
        "GB 18030, cut": (named(b"GB18030", MARKER.encode() + b"^\x81\x30\x81"), RELEASED),
        "NUL in a name": (named(b"ISO_IR 100", b"a\0" + MARKER.encode()), RELEASED),
        "4 MB of text": (part10([*IDENTITY[:3], Leaf(0x00104000, "LT", b"x" * 60_000), Leaf(0x00181800, "UT", b"y" * (4 << 20))], SYNTAXES["explicit"]), RELEASED),
        "63 deep": (nested(63), RELEASED),
        "65 deep": (nested(65), REFUSED),
        "4,000 deep": (nested(4_000), REFUSED),
        "50,000 empty items": (empty_items(50_000), RELEASED),
        "a length of 4 GB": (with_length(0xFFFFFFFE), REFUSED),
        "fragments of 4 GB": (with_length(0xFFFFFFFF) + b"\xfe\xff\x00\xe0\xf0\xff\xff\xff", REFUSED),
        "a deflated bomb": (bytes(128) + b"DICM" + DEFLATED + deflate(encode(IDENTITY[:3], SYNTAXES["explicit"]) + bytes(80 << 20)), REFUSED),
        "deflated noise": (bytes(128) + b"DICM" + DEFLATED + os.urandom(4096), REFUSED),
        "a length of the file meta of 4 GB": (ONE[:140] + b"\xf0\xff\xff\xff" + ONE[144:], RELEASED),
        "nothing": (b"", REFUSED),
        "a prefix": (bytes(128) + b"DICM", REFUSED),
        "zeros": (bytes(9000), REFUSED),
        "noise": (bytes(128) + b"DICM" + bytes(range(256)) * 40, REFUSED),
        "an archive behind it": (ONE + zipped(B), REFUSED),
        "a program in front of it": (b"MZ".ljust(128, b"\x90") + ONE[128:], RELEASED),
        "markup in front of it": (b"<script>alert(1)</script>".ljust(128) + ONE[128:], RELEASED),
    }  # fmt: skip


def limited() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def run(desk: Desk, *options: str) -> Ran:
    """Run with two workers, none of which may have more memory or time."""
    done = subprocess.run(
        [sys.executable, "-m", "fw_gear_deid", *desk.arguments("--workers", "2", "--identity", "warn", *options)], cwd=ROOT,
        capture_output=True, text=True, check=False, timeout=SECONDS, preexec_fn=limited,
    )  # fmt: skip
    return Ran(done.returncode, done.stdout, done.stderr).heard()


def no_harm(desk: Desk, done: Ran, count: int) -> None:
    """Every file has one row, nobody died, and nothing that was planted has left."""
    rows = desk.rows()
    assert len(rows) == count and done.code == 1, done.err
    assert "Traceback" not in done.err
    wrong = [row for row in rows if row["state"] not in (RELEASED, REFUSED, SKIPPED) or "unexpected" in row["reason"]]
    assert wrong == []
    assert not any(MARKER.encode() in plain(data) or MARKER in path for path, data in desk.there().items())


@pytest.mark.parametrize("kind", ["zips", "streams", "images"])
def test_files_that_were_made_to_do_harm(desk: Desk, kind: str) -> None:
    cases, suffix = {"zips": (zips(), ".zip"), "streams": (streams(), ".dcm.gz"), "images": (images(), ".dcm")}[kind]
    desk.rules(PROFILE.replace("  fields:", "  recurse-sequence: true\n  fields:"))
    desk.put({f"S/V/{number}/{number}{suffix}": data for number, (data, _) in enumerate(cases.values())})
    done = run(desk)
    no_harm(desk, done, len(cases))
    states, reasons = desk.states(), desk.reasons()
    found = {
        name: (states[f"S/V/{number}/{number}{suffix}"], reasons[f"S/V/{number}/{number}{suffix}"])
        for number, name in enumerate(cases)
    }
    assert {name: pair for name, pair in found.items() if pair[0] != cases[name][1]} == {}


def test_every_case_is_told_apart() -> None:
    for cases in (zips(), streams(), images()):
        assert len({data for data, _ in cases.values()}) == len(cases)
        assert {state for _, state in cases.values()} >= {RELEASED, REFUSED}


def collected(folders: Iterable[str]) -> dict[str, bytes]:
    return {
        f"{folder}/{path.relative_to(CORPUS / folder).as_posix()}": path.read_bytes()
        for folder in folders for path in sorted((CORPUS / folder).rglob("*")) if path.is_file()
    }  # fmt: skip


@pytest.mark.skipif(not CORPUS.is_dir(), reason="no corpus here")
def test_hostile_files_of_the_corpus(desk: Desk) -> None:
    files = collected(("hostile", "hostile_built"))
    assert len(files) > 200
    desk.put(files)
    done = run(desk)
    no_harm(desk, done, len(files))
    assert desk.summary()["states"][RELEASED] > 20 and desk.summary()["states"][REFUSED] > 50


# -- limits, tried where they end ----------------------------------------------------------------------


@pytest.mark.parametrize("block", [*range(3, 12), 64])
def test_a_member_that_nobody_lists_is_found_wherever_a_block_ends(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, block: int
) -> None:
    monkeypatch.setattr(layout, "_BLOCK", block)
    for data in (zipped(A, Entry(b"hidden", TWO, unlisted=True)), zipped(A, between=b"xyz" + zipped(B)[:60])):
        with pytest.raises(Unfit, match="holds members that the archive's directory does not list"):
            bench.deid(data)


def test_a_member_has_a_largest_size() -> None:
    one, most = budget.Tally(), limits.LIMITS["member"].default
    one.add(1, most, most)
    with pytest.raises(Unfit, match="member 2: beyond the limit 'member'"):
        one.add(2, most + 1, most)


def test_what_unpacking_needs_is_bounded(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """xz may ask for as much memory as its header says."""
    data = lzma.compress(ONE)
    assert isinstance(bench.deid(data, name="1.dcm.xz"), Result)
    monkeypatch.setattr(gz, "_XZ_MEMORY", 1 << 16)
    with pytest.raises(Unfit, match="what it is packed in is damaged"):
        bench.deid(data, name="1.dcm.xz")


def test_a_budget_ends_where_it_says() -> None:
    one = limits.Budget({"inflated": 10, "ratio": 2}, 100)
    one.check_room(16, 3)
    with pytest.raises(Unfit, match="beyond the limit 'inflated', 16 bytes here"):
        one.check_room(17, 3)
    one.check_whole(20, 20)
    with pytest.raises(Unfit, match="beyond the limit 'whole', 20 bytes here"):
        one.check_whole(21, 20)
    other = limits.Budget({"whole": 5})
    with pytest.raises(Unfit, match="'whole', 5 bytes"):
        other.check_whole(6, 20)


@pytest.mark.parametrize("inner", [b"a note", ONE])
def test_archives_in_archives_end_somewhere(bench: Bench, inner: bytes) -> None:
    """Also those in which there is nothing: nobody knows before they were opened."""
    data = inner
    for depth in range(7):
        data = packed({f"{depth}.zip" if depth else "x": data})
    for whole, name in ((packed({"image": TWO, "y.zip": data}), "x.zip"), (gzip.compress(data), "x.zip.gz")):
        with pytest.raises(Unfit, match="beyond the limit 'depth'"):
            bench.deid(whole, name=name)


def test_items_are_counted_while_they_are_inflated() -> None:
    body = deflate(b"\xfe\xff\x00\xe0\0\0\0\0" * 50)
    with limits.within({"elements": 50}, 0):
        deflated.inflate(body, 0)
    with limits.within({"elements": 49}, 0), pytest.raises(Unfit, match="beyond the limit 'elements'"):
        deflated.inflate(body, 0)
