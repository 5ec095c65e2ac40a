"""Comments in JPEG and JPEG 2000 frames are blank in what leaves; all that decoding needs is as it was."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from datetime import date
from pathlib import Path

import pytest
from pydicom.data import get_testdata_file

from fw_gear_deid.deid import Context, dataset
from fw_gear_deid.deid.incoming import Incoming
from fw_gear_deid.deid.member import Done, deidentify_member
from fw_gear_deid.formats.dicom import part10
from fw_gear_deid.keys import Keyring
from fw_gear_deid.model.errors import Unfit
from fw_gear_deid.model.outcome import Always, Edit
from fw_gear_deid.profile.parse import parse_profile
from tests.dicom_files import IDENTITY, Fragments, Item, Node, Seq, Syntax
from tests.dicom_files import part10 as built

NAME = b"ZZ^CANARY^7F3A"
JPEG, JPEG_LS, J2K = (Syntax(f"1.2.840.10008.1.2.4.{number}") for number in (50, 80, 90))
KEEP = "dicom:\n  fields:\n    - name: PatientName\n      remove: true\n"
PIXELS = b"\xe0\x7f\x10\0"
SCAN = b"\x12\xff\x00\xff\xd0ABC\xff\x7f\x00\x00\x34"


def segment(code: int, payload: bytes) -> bytes:
    return bytes([0xFF, code]) + struct.pack(">H", len(payload) + 2) + payload


JFIF = b"JFIF\0\1\1\0\0\1\0\1"
TABLES = segment(0xDB, bytes(65)) + segment(0xC0, b"\x08\0\4\0\4\1\1\x11\0") + segment(0xC4, b"\0" * 18)
START = segment(0xDA, b"\1\1\0\0\x3f\0")
ICC = b"ICC_PROFILE\0\1\1" + bytes(36) + b"acsp" + b"colours"


def image(*before: bytes, between: bytes = b"", after: bytes = b"") -> bytes:
    made = b"\xff\xd8" + b"".join(before) + TABLES + START + SCAN + between + START + SCAN + b"\xff\xd9" + after
    return made + b"\0" * (len(made) % 2)


def blank(size: int) -> bytes:
    """Return a comment of zeros in place of a segment of some payload."""
    return segment(0xFE, bytes(size))


SIZ = b"\xff\x4f" + segment(0x51, bytes(38)) + segment(0x52, bytes(10)) + segment(0x5C, bytes(4))
PACKETS = b"\xcf\x64\xff\x64\0\x10packets\xff\x7f"


def tile(header: bytes, *, open_ended: bool = False) -> bytes:
    size = 0 if open_ended else 14 + len(header) + len(PACKETS)
    return segment(0x90, struct.pack(">HIBB", 0, size, 0, 1)) + header + b"\xff\x93" + PACKETS


def codestream(main: bytes = b"", header: bytes = b"", *, open_ended: bool = False, after: bytes = b"") -> bytes:
    made = SIZ + main + tile(header) + tile(header, open_ended=open_ended) + b"\xff\xd9" + after
    return made + b"\0" * (len(made) % 2)


def box(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", 8 + len(content)) + kind + content


def wrapped(extra: bytes, inner: bytes, main: bytes) -> bytes:
    header = box(b"jp2h", box(b"ihdr", bytes(14)) + inner)
    signature = box(b"jP  ", b"\r\n\x87\n") + box(b"ftyp", b"jp2 \0\0\0\0jp2 ")
    made = signature + header + extra + box(b"jp2c", codestream(main))
    return made + b"\0" * (len(made) % 2)


COM, NO_COM = segment(0x64, b"\0\1" + NAME), segment(0x64, bytes(2 + len(NAME)))
PLANTED = {
    "comment": (JPEG, image(segment(0xFE, NAME)), image(blank(14))),
    "exif": (JPEG, image(segment(0xE1, b"Exif\0\0" + NAME)), image(blank(20))),
    "between": (JPEG, image(between=segment(0xFE, NAME)), image(between=blank(14))),
    "fill": (JPEG, image(b"\xff\xff" + segment(0xED, NAME)), image(b"\xff\xff" + blank(14))),
    "thumbnail": (
        JPEG,
        image(segment(0xE0, JFIF + b"\2\2" + NAME[:12])),
        image(segment(0xE0, JFIF + b"\2\2" + bytes(12))),
    ),
    "jfxx": (JPEG, image(segment(0xE0, b"JFXX\0\x10" + NAME)), image(blank(20))),
    "adobe": (
        JPEG,
        image(segment(0xEE, b"Adobe\0\x64\0\0\0\0\1" + NAME)),
        image(segment(0xEE, b"Adobe\0\x64\0\0\0\0\1" + bytes(14))),
    ),
    "no profile": (JPEG, image(segment(0xE2, b"ICC_PROFILE\0\1\1" + NAME)), image(blank(28))),
    "stray": (JPEG, image(NAME), image(bytes(14))),
    "behind": (JPEG, image(after=NAME), image(after=bytes(14))),
    "spiff": (JPEG_LS, image(segment(0xE8, b"SPIFF\0" + NAME)), image(blank(20))),
    "main header": (J2K, codestream(COM), codestream(NO_COM)),
    "tile-part": (J2K, codestream(header=COM), codestream(header=NO_COM)),
    "open tile-part": (J2K, codestream(COM, open_ended=True), codestream(NO_COM, open_ended=True)),
    "unknown marker": (J2K, codestream(segment(0x7A, NAME + b"\0\0")), codestream(NO_COM)),
    "behind codestream": (J2K, codestream(after=NAME), codestream(after=bytes(14))),
    "boxes": (
        J2K,
        wrapped(box(b"xml ", NAME), box(b"uuid", NAME), COM),
        wrapped(box(b"free", bytes(14)), box(b"free", bytes(14)), NO_COM),
    ),
}
planted = pytest.mark.parametrize(("syntax", "frame", "wanted"), PLANTED.values(), ids=PLANTED.keys())
CLEAN = {
    "plain": (JPEG, image()),
    "kept": (JPEG, image(segment(0xE0, JFIF + b"\0\0"), segment(0xEE, b"Adobe\0\x64\0\0\0\0\1"), segment(0xE2, ICC))),
    "transform": (JPEG_LS, image(segment(0xE8, b"mrfx\1"))),
    "no end": (JPEG, image()[:-3] + b"\1"),
    "codestream": (J2K, codestream()),
    "cut": (J2K, codestream()[:-8]),
    "other": (JPEG, b"no frame at all "),
    "runs": (Syntax("1.2.840.10008.1.2.5"), b"\1\0\0\0" + segment(0xFE, NAME)),
    "chance": (Syntax("1.2.840.10008.1.2.5"), b"\1\0\0\0\xff\xd8\xff" + NAME + b"\0"),
}


def data_of(syntax: Syntax, *pixels: Node) -> bytes:
    return built((*IDENTITY, *pixels), syntax)


def deidentified(data: bytes, fields: str = KEEP, pieces: Iterable[bytes] = ()) -> tuple[bytes, Done]:
    ctx = Context(parse_profile(fields, "p.yaml"), Keyring(bytes(32)), "s", date(2026, 1, 1), "strict")
    done = deidentify_member(Incoming(iter(pieces or [data]), len(data)), "a.dcm", ctx)
    return b"".join(done.pieces), done


def rows(done: Done) -> list[str]:
    return [edit.path for edit in done.edits if edit.rule == Always.FRAMES.value]


def fragmented(frames: Iterable[bytes], size: int) -> tuple[bytes, ...]:
    return tuple(frame[at : at + size] for frame in frames for at in range(0, len(frame), size))


@planted
@pytest.mark.parametrize("table", [b"", struct.pack("<II", 0, 8)], ids=["no table", "table"])
def test_what_decodes_stays_and_comments_are_blank(syntax: Syntax, frame: bytes, wanted: bytes, table: bytes) -> None:
    assert len(frame) == len(wanted) and NAME[:12] in frame and NAME[:12] not in wanted
    before, after = (Fragments((table, one, one)) for one in (frame, wanted))
    result, done = deidentified(data_of(syntax, before))
    assert result[result.index(PIXELS) :] == data_of(syntax, after)[len(data_of(syntax)) :]
    assert NAME[:12] not in result
    assert rows(done) == ["(7FE0,0010)"]
    assert rows(deidentified(result)[1]) == []


@planted
@pytest.mark.parametrize("size", [12, 40])
def test_frames_over_several_fragments(syntax: Syntax, frame: bytes, wanted: bytes, size: int) -> None:
    before, after = (Fragments((b"", *fragmented((one, one), size))) for one in (frame, wanted))
    result, _ = deidentified(data_of(syntax, before))
    assert result[result.index(PIXELS) :] == data_of(syntax, after)[len(data_of(syntax)) :]


@planted
def test_without_an_offset_table(syntax: Syntax, frame: bytes, wanted: bytes) -> None:
    before, after = (Fragments(fragmented((one, one), 40)) for one in (frame, wanted))
    result, _ = deidentified(data_of(syntax, before))
    assert result[result.index(PIXELS) :] == data_of(syntax, after)[len(data_of(syntax)) :]


def test_a_large_file_of_frames() -> None:
    frame, wanted = (image(segment(0xE0, JFIF + b"\0\0"), segment(0xFE, one)) for one in (NAME, bytes(14)))
    scan = b"\x5a\xff\0" * 1_000_000
    frames, clean = ((b"", *([one.replace(SCAN, scan, 1)] * 4)) for one in (frame, wanted))
    data = data_of(JPEG, Fragments(frames))
    pieces = (data[at : at + (1 << 18)] for at in range(0, len(data), 1 << 18))
    result, done = deidentified(data, pieces=pieces)
    assert result[result.index(PIXELS) :] == data_of(JPEG, Fragments(clean))[len(data_of(JPEG)) :]
    assert [edit.before for edit in done.edits if edit.rule == Always.FRAMES.value] == ["<68 bytes>"]


@pytest.mark.parametrize("number", [0, 11, 12])
def test_several_frames_in_one_fragment(number: int) -> None:
    syntax, frame, wanted = list(PLANTED.values())[number]
    before, after = (Fragments((b"", one * 3)) for one in (frame, wanted))
    result, _ = deidentified(data_of(syntax, before))
    assert result[result.index(PIXELS) :] == data_of(syntax, after)[len(data_of(syntax)) :]


@planted
def test_icons(syntax: Syntax, frame: bytes, wanted: bytes) -> None:
    """One in a sequence that no rule speaks of, and the same again in the next file."""
    for _ in range(3):
        icon = Seq(0x00880200, (Item((Fragments((b"", frame)),)),))
        result, done = deidentified(data_of(syntax, icon))
        assert result.endswith(
            data_of(syntax, Seq(0x00880200, (Item((Fragments((b"", wanted)),)),)))[-len(wanted) - 30 :]
        )
        assert rows(done) == ["(0088,0200)[0](7FE0,0010)"]


@pytest.mark.parametrize(("syntax", "frame"), CLEAN.values(), ids=CLEAN.keys())
def test_other_frames_are_as_they_were(syntax: Syntax, frame: bytes) -> None:
    data = data_of(syntax, Fragments((b"", frame)))
    result, done = deidentified(data)
    assert result.endswith(data[data.index(PIXELS) :])
    assert rows(done) == []


@pytest.mark.parametrize(
    ("syntax", "frame"),
    [
        (JPEG, b"\xff\xd8" + segment(0xFE, NAME)[:-2]),
        (JPEG, image(between=segment(0xFE, NAME) + NAME)),
        (JPEG, b"\0\0" + image(segment(0xFE, NAME))),
        (J2K, SIZ + NAME),
        (J2K, SIZ + b"\0\xff"),
        (J2K, codestream(COM).replace(b"\xff\x90\0\x0a", b"\xff\x90\0\x0c")),
        (J2K, codestream(COM)[:60] + COM),
        (J2K, wrapped(box(b"xml ", NAME), b"", b"")[:-200]),
        (J2K, wrapped(b"\0\1\0\0xml " + NAME, b"", b"")),
    ],
)
def test_damage_that_may_hide_comments_is_refused(syntax: Syntax, frame: bytes) -> None:
    data = data_of(syntax, Fragments((b"", frame + b"\0" * (len(frame) % 2))))
    with pytest.raises(Unfit, match=r"^\(7FE0,0010\): .*; decompress or compress it again") as caught:
        deidentified(data)
    assert "ZZ" not in str(caught.value)


def test_frames_that_a_rule_takes_are_no_business_of_ours() -> None:
    data = data_of(JPEG, Fragments((b"", b"\xff\xd8" + segment(0xFE, NAME)[:-2])))
    result, done = deidentified(data, KEEP + "    - name: PixelData\n      remove: true\n")
    assert NAME not in result
    assert rows(done) == []


@planted
def test_the_check_sees_what_was_left(syntax: Syntax, frame: bytes, wanted: bytes) -> None:
    data = data_of(syntax, Fragments((b"", frame)))
    ctx = Context(parse_profile(KEEP, "p.yaml"), Keyring(bytes(32)), "s", date(2026, 1, 1), "strict")
    section = ctx.profile.dicom
    assert section is not None
    done = dataset.edit(dataset.open_file(data, section), section, ctx.draw("p"), "p", ctx.today)
    at = data.index(PIXELS)
    done.body = [splice for splice in done.body if splice[0] < at]
    pieces, meta = part10.write(done.parts, done.meta, done.body)
    with pytest.raises(Unfit, match=r"^verification: (comments|bytes that belong to no segment) are left in a frame"):
        dataset.check(done, b"".join(pieces), meta)


@pytest.mark.parametrize(
    ("find", "now", "wanted"),
    [
        (SCAN, b"\x13", "more than comments changed"),
        (b"\xff\xdb", b"\xff\xfe", "a segment that decoding needs is gone"),
        (b"\xff\xc0\0\x0b", b"\xff\xc1\0\x0b", "more than comments changed"),
        (SCAN, b"", "does not parse|more or less than one element"),
    ],
)
def test_the_check_sees_what_else_changed(find: bytes, now: bytes, wanted: str) -> None:
    data = data_of(JPEG, Fragments((b"", image())))
    ctx = Context(parse_profile(KEEP, "p.yaml"), Keyring(bytes(32)), "s", date(2026, 1, 1), "strict")
    section = ctx.profile.dicom
    assert section is not None
    done = dataset.edit(dataset.open_file(data, section), section, ctx.draw("p"), "p", ctx.today)
    at = data.index(find)
    done.body.append((at, at + (len(now) or 2), now))
    done.edits = (*done.edits, Edit("(7FE0,0010)", "PixelData", "OB", "remove", "always", "", ""))
    pieces, meta = part10.write(done.parts, done.meta, done.body)
    with pytest.raises(Unfit, match=wanted):
        dataset.check(done, b"".join(pieces), meta)


@pytest.mark.parametrize(
    ("name", "gone"),
    [
        ("JPEG2000.dcm", b"Kakadu"),
        ("SC_rgb_gdcm_KY.dcm", b"OpenJPEG"),
        ("GDCMJ2K_TextGBR.dcm", b"uuid"),
        ("SC_rgb_jls_lossy_sample.dcm", b"SPIFF"),
        ("examples_jpeg2k.dcm", b"Kakadu"),
        ("SC_rgb_small_odd_jpeg.dcm", b""),
        ("MR_small_RLE.dcm", b""),
    ],
)
def test_files_as_toolkits_write_them(name: str, gone: bytes) -> None:
    path = get_testdata_file(name, download=False)
    assert isinstance(path, str)
    data = Path(path).read_bytes()
    result, done = deidentified(data)
    before, after = (one[one.rindex(b"\xe0\x7f\x10\0O") :] for one in (data, result))
    assert (gone in before, gone in after) == (True, not gone)
    assert rows(done) == (["(7FE0,0010)"] if gone else [])
