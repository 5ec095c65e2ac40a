"""JPEG and PNG: what stays stays to the bit, what goes is gone from the bytes, and what is damaged is refused."""

from __future__ import annotations

import io
import random
import struct
import tracemalloc
import zlib
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import yaml
from PIL import ExifTags, Image

from fw_gear_deid.deid import document
from fw_gear_deid.formats import FORMATS
from fw_gear_deid.formats.exif import edit as exif_edit
from fw_gear_deid.formats.exif.block import Block
from fw_gear_deid.formats.exif.edit import edited
from fw_gear_deid.formats.exif.tags import named, wrong
from fw_gear_deid.model.action import REMOVE, At
from fw_gear_deid.model.errors import Unfit
from fw_gear_deid.profile.compiled import FieldSection
from fw_gear_deid.profile.parse import parse_profile
from fw_gear_deid.profile.text.problems import ProfileError
from tests import pictures
from tests.pictures import blocks, chunk, exif, jpeg, png, seg, tags_of, tiff, xmp

AT = At("UT", lambda purpose: 7, date(2026, 1, 1), lambda name: "")
CORPUS = Path(__file__).resolve().parents[2] / "shared" / "corpus"
THUMBNAIL = jpeg()
GPS = {1: (2, "N"), 2: (5, [(48, 1), (8, 1), (1234, 100)]), 28: (7, b"ASCII\0\0\0AREA 7")}
FULL = {
    271: (2, "ACME"), 274: (3, 6), 282: (5, (72, 1)), 306: (2, "2021:03:04 10:11:12"), 315: (2, "ERIKA M"),
    40093: (1, "Erika".encode("utf-16-le") + b"\0\0"), 34853: (4, GPS),
    34665: (4, {
        36867: (2, "2021:03:04 10:11:12"), 37500: (7, b"MK01" + bytes(range(40))), 37510: (7, b"ASCII\0\0\0seen"),
        42033: (2, "SN-99"), 40965: (4, {1: (2, "R98")}), 33434: (5, (1, 250)), 37380: (10, (-2, 3)),
    }),
}  # fmt: skip


def section_of(key: str, section: Mapping[str, Any]) -> FieldSection:
    (found,) = parse_profile(yaml.safe_dump({key: section}), "p.yaml").sections
    assert isinstance(found, FieldSection)
    return found


def made_of(data: bytes, section: FieldSection) -> bytes:
    """Return a file after its rules and the check of it."""
    done = document.edit(data, section, AT)
    result = document.written(data, done)
    document.check(data, result, done)
    return result


def jpg(data: bytes, *fields: Mapping[str, Any], **options: Any) -> bytes:
    return made_of(data, section_of("jpg", {"fields": list(fields), **options}))


def only(data: bytes) -> dict[tuple[str, int], tuple[int, bytes]]:
    (block,) = blocks(data)
    return tags_of(block)


# -- EXIF ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", "<>")
def test_all_other_tags_keep_type_and_bytes(order: str) -> None:
    source = jpeg(exif(tiff(FULL, {259: (3, 6)}, order=order, thumbnail=THUMBNAIL)), seg(0xFE, b"turned"))
    fields = [{"name": "Artist", "remove": True}, {"name": "XPAuthor", "remove": True},
              {"name": "BodySerialNumber", "hash": True}, {"name": "Make", "replace-with": "A LONGER ONE"}]  # fmt: skip
    result = jpg(source, *fields, **{"remove-gps": True})
    before, after = only(source), only(result)
    assert before.keys() - after.keys() == {("0th", 315), ("0th", 40093), *(key for key in before if key[0] == "GPS")}
    assert after.pop(("Exif", 42033)) == (2, after_hash("SN-99"))
    assert after.pop(("0th", 271)) == (2, b"A LONGER ONE\0")
    assert after.items() <= before.items()
    for text in (
        b"ERIKA",
        "Erika".encode("utf-16-le"),
        b"AREA 7",
        b"SN-99",
        b"ACME",
        struct.pack(order + "II", 1234, 100),
    ):
        assert (text in source, text in result) == (True, False)
    assert source[source.rindex(pictures.FRAME) :] == result[result.rindex(pictures.FRAME) :]
    (old,), (new,) = blocks(source), blocks(result)
    note = bytes(range(40))
    assert old.index(note) == new.index(note), "offsets that only the maker knows hold"


def after_hash(text: str) -> bytes:
    from hashlib import sha256

    return sha256(text.encode()).hexdigest()[:16].encode() + b"\0"


def test_pillow_reads_what_was_written() -> None:
    stream = io.BytesIO()
    Image.effect_noise((40, 30), 90).convert("RGB").save(
        stream, "JPEG", exif=b"Exif\0\0" + tiff(FULL, order=">"), quality=90
    )
    done = jpg(stream.getvalue(), {"name": "Artist", "replace-with": "Ä Long Enough Name"},{"name": "XPAuthor", "remove": True}, {"name": "LensModel", "replace-with": "L"},
               {"name": "GPSLatitudeRef", "replace-with": "S"}, {"name": "UserComment", "replace-with": "né"})  # fmt: skip
    with Image.open(io.BytesIO(done)) as now, Image.open(stream) as before:
        assert now.tobytes() == before.tobytes()
        tags, deep = now.getexif(), now.getexif().get_ifd(ExifTags.IFD.Exif)
        assert tags[315].encode("latin-1").decode() == "Ä Long Enough Name"
        assert (deep[42036], deep[37510]) == ("L", b"UNICODE\0" + "né".encode("utf-16-be"))
        assert tags.get_ifd(ExifTags.IFD.GPSInfo)[1] == "S"
        assert deep[33434] == before.getexif().get_ifd(ExifTags.IFD.Exif)[33434]


def test_names_of_other_dictionaries_are_known() -> None:
    for space in (ExifTags.Base, ExifTags.GPS, ExifTags.Interop):
        for tag in space:
            assert tag.value in {one.number for one in named(tag.name.upper())}, tag
    assert wrong("Artst") == "EXIF has no tag of that name; did you mean 'Artist'?"
    with pytest.raises(ProfileError, match="did you mean 'DateTimeOriginal'"):
        section_of("jpg", {"fields": [{"name": "DateTimeOrginal", "remove": True}]})


def test_dates_in_every_directory() -> None:
    source = jpeg(
        exif(tiff(FULL, {306: (2, "2021:03:04 10:11:12")})), exif(tiff({306: (2, "2021:03:04 10:11:12")}, order=">"))
    )
    fields = [{"name": name, "increment-datetime": True} for name in ("DateTime", "DateTimeOriginal")]
    result = jpg(source, *fields, **{"date-increment": -10})
    assert result == source.replace(b"2021:03:04", b"2021:02:22")


CAN_HOLD = [
    (274, 3, 1, {"replace-with": 8}, struct.pack(">H", 8)),
    (274, 3, 1, {"replace-with": "x"}, None),
    (274, 3, 1, {"replace-with": 70000}, None),
    (274, 3, 1, {"hash": True}, None),
    (34855, 3, 100, {"jitter": True, "jitter-type": "int", "jitter-range": 1}, struct.pack(">H", 101)),
    (37386, 5, (50, 1), {"replace-with": 0.5}, struct.pack(">II", 1, 2)),
    (37386, 5, (50, 1), {"replace-with": -1}, None),
    (37386, 5, (50, 1), {"hash": True}, None),
    (37380, 10, (1, 3), {"replace-with": -0.25}, struct.pack(">ii", -1, 4)),
    (37381, 5, (7, 0), {"keep": True}, struct.pack(">II", 7, 0)),
    (37500, 7, bytes(range(256)), {"hash": True}, ...),
    (37500, 7, b"note\0\0", {"hash": True}, after_hash("note")[:-1]),
    (305, 2, "v1\0é", {"replace-with": "näht"}, b"n\xc3\xa4ht\0"),
    (305, 2, b"caf\xe9\0", {"regex-sub": [{"input-regex": "(?P<a>.*)é", "output": "{a}e"}]}, b"cafe\0"),
    (33432, 2, "me\0you", {"keep": True}, b"me\0you\0"),
    (700, 1, b"<x:xmpmeta>" * 3, {"replace-with": "<x/>"}, b"<x/>"),
    (40092, 1, "alt".encode("utf-16-le") + b"\0\0", {"replace-with": "é\U0001f600"}, "é\U0001f600\0".encode("utf-16-le")),
    (37510, 7, b"UNICODE\0" + "né".encode("utf-16-be"), {"replace-with": "x"}, b"UNICODE\0" + "x".encode("utf-16-be")),
    (37510, 7, bytes(8) + b"old", {"replace-with": "new"}, b"ASCII\0\0\0new"),
    (282, 11, 0.5, {"replace-with": 0.25}, struct.pack(">f", 0.25)),
    (59932, 7, bytes(9), {"keep": True}, bytes(9)),
]  # fmt: skip


NAMES = {
    named(name)[0].number: name
    for name in ("Orientation", "ISOSpeedRatings", "FocalLength", "ExposureBiasValue", "MaxApertureValue", "MakerNote", "Software",
                 "Copyright", "XMLPacket", "XPComment", "UserComment", "XResolution")
}  # fmt: skip


@pytest.mark.parametrize(("tag", "kind", "value", "action", "expect"), CAN_HOLD)
def test_actions_work_where_a_type_can_hold_the_result(
    tag: int, kind: int, value: Any, action: Mapping[str, Any], expect: Any
) -> None:
    source = jpeg(exif(tiff({tag: (kind, value), 305 if tag != 305 else 306: (2, "stays")}, order=">")))
    name = NAMES.get(tag, "Make")
    fields = {"name": name, **action}
    if expect is None:
        with pytest.raises(Unfit, match="the new one is none: remove it instead") as caught:
            jpg(source, fields)
        assert "70000" not in str(caught.value)
        return
    result = only(jpg(source, fields))
    assert result["0th", tag] == (kind, result["0th", tag][1] if expect is ... else expect)
    assert (result["0th", tag] == only(source)["0th", tag]) == ("keep" in action)


def test_tags_are_made_where_they_belong() -> None:
    made = {
        "Artist": "x",
        "LensModel": "abcdefgh",
        "GPSDateStamp": "2020:01:01",
        "InteroperabilityIndex": "R98",
        "CFAPattern": "z",
    }
    fields = [{"name": name, "replace-with": text} for name, text in made.items()]
    there = {("0th", 315), ("Exif", 42036), ("GPS", 29), ("Interop", 1), ("Exif", 41730)}
    for source in (jpeg(), jpeg(exif(tiff({271: (2, "ACME")}))), jpeg(exif(tiff({34665: (4, {})}, {306: (2, "x")})))):
        result = jpg(source, *fields)
        before = {key for block in blocks(source) for key in tags_of(block)}
        assert only(result).keys() == there | before
        assert jpg(result, *fields) == result
        assert (
            jpg(jpeg(seg(0xFE, b"c"), picture=source[20:-2]), *fields, **{"remove-exif": True}).count(b"abcdefgh") == 1
        )


def test_random_changes_leave_all_else() -> None:
    """Blocks of many shapes; values that say where they stand, so that each that goes can be looked for."""
    draw = random.Random(5)
    pool = [269, 270, 271, 272, 305, 315, 316, 33432]
    deep = [36867, 36868, 42032, 42033, 42035, 42036, 42037]

    def some(tags: list[int]) -> dict[int, Any]:
        chosen = draw.sample(tags, draw.randrange(1, len(tags)))
        return {tag: (2, "".join(draw.choices("bcdfghjklmnpqrstvwz", k=draw.randrange(6, 50)))) for tag in chosen}

    for _ in range(150):
        first = some(pool) | ({34665: (4, some(deep))} if draw.random() < 0.8 else {})
        chain = [first, some(pool)] if draw.random() < 0.6 else [first]
        source = jpeg(exif(tiff(*chain, order=draw.choice("<>"), thumbnail=THUMBNAIL if len(chain) > 1 else b"")))
        names = [ExifTags.TAGS[tag] for tag in draw.sample(pool + deep, 5)]
        actions: list[dict[str, Any]] = [
            {"remove": True},
            {"hash": True},
            {"replace-with": "!"},
            {"replace-with": "long " * 9},
        ]
        fields = [{"name": name, "replace-with-insert": False} | one if "replace-with" in one else {"name": name} | one
                  for name in names for one in (draw.choice(actions),)]  # fmt: skip
        result = jpg(source, *fields)
        ruled = {tag.number for name in names for tag in named(name)}
        before, after = only(source), only(result) if blocks(result) else {}
        assert {key: value for key, value in before.items() if key[1] not in ruled} == {
            key: value for key, value in after.items() if key[1] not in ruled
        }
        for (place, tag), (kind, value) in before.items():
            if tag in ruled:
                assert after.get((place, tag), (kind, b""))[0] == kind
                assert len(value) < 8 or value not in result


def test_a_block_without_tags_goes() -> None:
    source = jpeg(exif(tiff({315: (2, "ERIKA M")})), seg(0xFE, b"c"))
    assert jpg(source, {"name": "Artist", "remove": True}) == jpeg(seg(0xFE, b"c"))


def test_thumbnail_goes_with_the_tag_that_points_at_it() -> None:
    result = jpg(
        jpeg(exif(tiff(FULL, {259: (3, 6)}, thumbnail=THUMBNAIL))), {"name": "JPEGInterchangeFormat", "remove": True}
    )
    assert result.count(pictures.SCAN) == 1
    assert FORMATS["jpg"].codec is not None
    assert "thumbnail" not in FORMATS["jpg"].codec.risks(result, {})


def test_directory_goes_with_the_tag_that_points_at_it() -> None:
    result = jpg(jpeg(exif(tiff(FULL))), {"name": "ExifTag", "remove": True})
    assert not any(place in ("Exif", "Interop") for place, _ in only(result))
    assert not any(text in result for text in (b"SN-99", b"seen", b"R98", bytes(range(40))))


def test_what_the_maker_left_between_goes_with_the_note() -> None:
    block = tiff(FULL) + b"AROUND THE NOTE"
    assert b"AROUND" in jpg(jpeg(exif(block)), {"name": "Make", "remove": True})
    assert b"AROUND" not in jpg(jpeg(exif(block)), {"name": "MakerNote", "remove": True})


def replaced(block: bytes, row: int, entry: bytes) -> bytes:
    at = 10 + 12 * row
    return block[:at] + entry + block[at + 12 :]


TWO = tiff({271: (2, "ACME MAKES"), 315: (2, "ERIKA MUSTER")})
DAMAGED = {
    "no byte order": (b"XX" + TWO[2:], "byte order"),
    "cut header": (TWO[:7], "byte order"),
    "first directory outside": (TWO[:4] + b"\xff\xff\xff\x7f" + TWO[8:], "stands outside"),
    "first directory in the header": (TWO[:4] + b"\4\0\0\0" + TWO[8:], "stands outside"),
    "more entries than bytes": (TWO[:8] + b"\xff\xff" + TWO[10:], "runs past the end"),
    "next is itself": (TWO[:34] + b"\x08\0\0\0" + TWO[38:], "stand in each other"),
    "next runs out": (TWO[:34] + b"\x0a\0\0\0" + TWO[38:], "runs past the end"),
    "next overlaps": (TWO[:34] + struct.pack("<I", 16) + TWO[38:], "stand in each other"),
    "pointer at itself": (replaced(TWO, 0, struct.pack("<HHII", 34665, 4, 1, 8)), "stand in each other"),
    "pointer of text": (replaced(TWO, 0, struct.pack("<HHII", 34853, 2, 9, 8)), "points at no directory"),
    "huge count": (replaced(TWO, 1, struct.pack("<HHII", 315, 2, 0xFFFFFFFF, 40)), "is cut or of an unknown type"),
    "unknown type": (replaced(TWO, 1, struct.pack("<HHII", 315, 99, 3, 40)), "is cut or of an unknown type"),
    "value outside": (replaced(TWO, 1, struct.pack("<HHII", 315, 2, 12, 0x7FFFFFFF)), "is cut or of an unknown type"),
    "shared value": (replaced(TWO, 1, struct.pack("<HHII", 315, 2, 8, 40)), "shares its bytes"),
    "value in a directory": (replaced(TWO, 1, struct.pack("<HHII", 315, 2, 12, 10)), "shares its bytes"),
}  # fmt: skip


@pytest.mark.parametrize(("block", "told"), DAMAGED.values(), ids=DAMAGED)
def test_damaged_blocks_are_refused_and_go_with_remove_exif(block: bytes, told: str) -> None:
    for action in ({"remove": True}, {"hash": True}, {"replace-with": "x"}):
        with pytest.raises(Unfit, match=told) as caught:
            jpg(jpeg(exif(block)), {"name": "Artist", **action})
        assert "ERIKA" not in str(caught.value)
    assert jpg(jpeg(exif(block)), **{"remove-exif": True}) == jpeg()


@pytest.mark.parametrize("broken", ["value outside", "huge count", "unknown type", "shared value"])
def test_ugly_values_that_no_rule_names_stay(broken: str) -> None:
    source = jpeg(exif(DAMAGED[broken][0]))
    assert jpg(source, {"name": "Copyright", "remove": True}) == source


def test_a_pointer_out_of_the_block_finds_nothing() -> None:
    lost = TWO[:34] + b"\x01\0\0\0" + TWO[38:]
    source = jpeg(exif(lost), seg(0xFE, b"c"))
    assert jpg(source, {"name": "Copyright", "remove": True}) == source
    assert b"ERIKA" not in jpg(source, {"name": "Artist", "remove": True})


def test_many_directories_are_refused() -> None:
    block = bytearray(b"II*\0\x08\0\0\0")
    for _ in range(5000):
        block += struct.pack("<HI", 0, len(block) + 6)
    with pytest.raises(Unfit, match="more than 64 EXIF directories"):
        jpg(jpeg(exif(bytes(block))), {"name": "Artist", "remove": True})


def test_values_that_share_a_block_many_times_are_refused() -> None:
    """Each would be read, and told, and hashed: of a file of 64 kB there would come gigabytes."""
    rows = 2000
    pictures_ = struct.pack("<HHII", 273, 4, 8000, 30) + struct.pack("<HHII", 279, 4, 8000, 30)
    for entries in (
        struct.pack("<HHII", 270, 2, 40000, 8) * rows,
        struct.pack("<HHII", 273, 4, 4000, 40) * rows + pictures_,
    ):
        block = b"II*\0\x08\0\0\0" + struct.pack("<H", len(entries) // 12) + entries + bytes(4 + 16000 + 24000)
        with pytest.raises(Unfit, match="values of an EXIF block stand in each other"):
            jpg(jpeg(exif(block[:65000])), {"name": "Artist", "remove": True})


def test_a_block_too_long_for_its_segment() -> None:
    source = jpeg(exif(tiff({271: (2, "A"), 37500: (7, bytes(65480))})))
    with pytest.raises(Unfit, match="longer than a JPEG segment"):
        jpg(source, {"name": "Make", "replace-with": "x" * 60})


def test_an_old_value_left_in_the_block_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exif_edit._Editor, "_free", lambda self, entry: None)
    with pytest.raises(Unfit, match="bytes of the EXIF block that belong to no tag"):
        jpg(jpeg(exif(TWO)), {"name": "Artist", "remove": True})


# -- JPEG ----------------------------------------------------------------------------------------------

ICC = [seg(0xE2, b"ICC_PROFILE\0" + bytes((number, 2)) + b"part") for number in (1, 2)]
ADOBE = seg(0xEE, b"Adobe\0d\0\0\0\0\1")
STAYS = [*ICC, ADOBE, seg(0xDB, bytes(65)), seg(0xDD, b"\0\4"), seg(0xCC, b"\0\1")]
GOES = [
    exif(tiff(FULL)), exif(tiff({315: (2, "SECOND")})), exif(b"damaged"), b"\xff\xe1\0\x08exif\0\0", xmp(b"<x/>"),
    seg(0xE1, b"http://ns.adobe.com/xmp/extension/\0" + bytes(40)), seg(0xED, b"Photoshop 3.0\0x"), seg(0xFE, b"one"),
    seg(0xFE), seg(0xE2, b"MPF\0II*\0"), seg(0xE2, b"FPXR\0"), seg(0xE0, b"JFXX\0\x10"), seg(0xEB, b"JP\0\1"), b"junk",
    seg(0xE8, b"SPIFF\0"), seg(0xF0, b"x"), b"\xff\xff\xff" + seg(0xFE, b"filled"), b"\xff\x01",
]  # fmt: skip


def test_remove_exif_leaves_what_shows_the_picture() -> None:
    pieces = [one for pair in zip(GOES, [*STAYS, *[b""] * len(GOES)], strict=False) for one in pair]
    assert jpg(jpeg(*pieces, tail=b"film"), **{"remove-exif": True}) == jpeg(*STAYS)


def test_remove_exif_takes_what_stands_behind_headers() -> None:
    thumbnail = seg(0xE0, pictures.JFIF[:12] + b"\2\1" + b"RGBRGB")
    source = jpeg(seg(0xEE, b"Adobe\0d\0\0\0\0\1" + b"HIDDEN")).replace(seg(0xE0, pictures.JFIF), thumbnail)
    assert jpg(source, **{"remove-exif": True}) == jpeg(ADOBE)
    assert jpg(source, {"name": "Artist", "remove": True}) == source


@pytest.mark.parametrize(
    ("pieces", "tail", "expect"),
    [
        ([], b"film", []),
        ([seg(0xE2, b"MPF\0II*\0")], jpeg(), []),
        ([seg(0xE2, b"MPF\0II*\0")], b"", [seg(0xE2, b"MPF\0II*\0")]),
        ([seg(0xFE, b"c")], b"\0", [seg(0xFE, b"c")]),
    ],
)
def test_nothing_behind_the_end_comes_out(pieces: list[bytes], tail: bytes, expect: list[bytes]) -> None:
    assert jpg(jpeg(*pieces, tail=tail), {"name": "Artist", "remove": True}) == jpeg(*expect)


def test_remove_gps_takes_xmp_that_tells_the_position() -> None:
    told = xmp(b'<rdf exif:GPSLatitude="48,8.2N"/>')
    assert jpg(jpeg(told, xmp(b"<x/>")), **{"remove-gps": True}) == jpeg(xmp(b"<x/>"))


KINDS: dict[str, dict[str, Any]] = {
    "baseline": {}, "progressive": {"progressive": True}, "restarts": {"restart_marker_blocks": 1},
    "no subsampling": {"subsampling": 0}, "comment": {"comment": b"by nobody"}, "optimized": {"optimize": True},
}  # fmt: skip


@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
@pytest.mark.parametrize("options", KINDS.values(), ids=KINDS)
def test_pixels_of_real_images_are_the_same(mode: str, options: dict[str, Any]) -> None:
    stream = io.BytesIO()
    Image.effect_noise((61, 43), 80).convert("RGB").convert(mode).save(
        stream, "JPEG", icc_profile=b"p" * 70000, exif=b"Exif\0\0" + tiff(FULL), **options
    )
    bare = jpg(stream.getvalue(), **{"remove-exif": True})
    with Image.open(io.BytesIO(bare)) as now, Image.open(stream) as before:
        assert now.tobytes() == before.tobytes()
        assert now.info["icc_profile"] == b"p" * 70000
        assert now.info.keys() <= before.info.keys() - {"exif", "comment"}


@pytest.mark.parametrize("code", [0xC1, 0xC2, 0xC3, 0xC9, 0xCA, 0xCB, 0xCD, 0xF7])
def test_every_kind_of_frame_passes(code: int) -> None:
    """Twelve bits, lossless, arithmetic, JPEG-LS; several scans, lines told behind the first, and hierarchy."""
    frame = seg(code, bytes.fromhex("0c0001000101011100"))
    picture = (
        frame + pictures.SCAN + seg(0xDC, b"\0\1") + seg(0xC4, bytes(17)) + b"\xff" + pictures.SCAN + seg(0xDF, b"\1")
    )
    source = jpeg(seg(0xDE, bytes(6)), picture=picture)
    assert jpg(source, {"name": "Artist", "remove": True}) == source
    assert jpg(source, **{"remove-exif": True}) == source


NO_PICTURE = {
    "empty": b"", "start": b"\xff\xd8", "no scan": jpeg(picture=pictures.FRAME), "no frame": jpeg(picture=pictures.SCAN),
    "image in image": jpeg(THUMBNAIL), "segment past the end": jpeg(b"\xff\xe1\xff\xff"), "length of one": jpeg(b"\xff\xe1\0\1"),
    "many": jpeg(seg(0xFE) * 20_000), "png": png(), "text": b"ERIKA",
}  # fmt: skip


@pytest.mark.parametrize("data", NO_PICTURE.values(), ids=NO_PICTURE)
def test_what_is_no_picture_is_refused(data: bytes) -> None:
    for options in ({"remove-exif": True}, {"remove-gps": True}):
        with pytest.raises(Unfit):
            jpg(data, **options)


# -- both ----------------------------------------------------------------------------------------------

SECTIONS = [
    section_of("jpg", {"remove-exif": True}),
    section_of("jpg", {"remove-gps": True, "fields": [
        {"name": "Artist", "remove": True}, {"name": "Make", "hash": True}, {"name": "MakerNote", "remove": True},
        {"name": "Orientation", "replace-with": 1}, {"name": "LensModel", "replace-with": "new"}]}),
    section_of("png", {"remove-private-chunks": True, "fields": [{"name": "zTXt", "remove": True}]}),
]  # fmt: skip


def test_damage_is_refused_or_the_result_passes_its_check() -> None:
    """Cuts at every byte, and flips: nothing but a refusal comes out."""
    draw = random.Random(3)
    photo = jpeg(exif(tiff(FULL, {306: (2, "2021:03:04 10:11:12")}, thumbnail=THUMBNAIL)), xmp(b"<x/>"), tail=b"more")
    chunks = png(
        chunk(b"tEXt", b"Author\0DOE"), chunk(b"zTXt", b"a\0\0" + zlib.compress(b"b")), chunk(b"eXIf", tiff(FULL))
    )
    released, told = 0, set[str]()
    for source in (photo, chunks):
        flips = []
        for _ in range(1500):
            flipped = bytearray(source)
            for _ in range(draw.choice((1, 1, 3))):
                flipped[draw.randrange(len(source))] = draw.choice((0, 1, 4, 255, draw.randrange(256)))
            flips.append(bytes(flipped))
        for data in (*(source[:end] for end in range(len(source))), *flips):
            for section in SECTIONS:
                try:
                    result = made_of(data, section)
                except Unfit as error:
                    told.add(str(error))
                    continue
                released += 1
                document.opened(result, section)
                assert document.codec_of(section).risks(result, section.options) is not None
    assert released > 1000
    assert not any("ERIKA" in one for one in told)


def test_both_readers_agree_on_damage_that_passes() -> None:
    """What one of them refuses and the other takes would be a file that nobody can de-identify."""
    draw = random.Random(4)
    source = tiff(FULL, {306: (2, "2021:03:04 10:11:12")}, thumbnail=THUMBNAIL)
    codec = FORMATS["jpg"].codec
    assert codec is not None
    for _ in range(1500):
        flipped = bytearray(source)
        for _ in range(draw.choice((1, 2, 4))):
            flipped[draw.randrange(len(source))] = draw.choice((0, 1, 2, 4, 8, 255, draw.randrange(256)))
        found = []
        for reader in (codec.open, codec.again):
            try:
                found.append(
                    [(one.name, one.texts, one.holds) for one in reader(jpeg(exif(bytes(flipped))), {}).fields]
                )
            except Unfit:
                found.append([])
        assert found[0] == found[1]


RISKS = [
    ("jpg", jpeg(), []),
    ("jpg", jpeg(exif(tiff(FULL, {259: (3, 6)}, thumbnail=THUMBNAIL))), ["GPS position", "maker note", "comment", "serial number", "thumbnail"]),
    ("jpg", jpeg(xmp(b"exif:GPSLatitude"), seg(0xED, b"Photoshop 3.0\0"), seg(0xFE, b"c"), seg(0xEC, b"x")),
     ["XMP", "GPS position", "IPTC", "comment", "application segment"]),
    ("jpg", jpeg(exif(tiff({700: (1, b"<x/>"), 33723: (4, 7)}))), ["XMP", "IPTC"]),
    ("png", png(), []),
    ("png", png(chunk(b"eXIf", tiff(FULL)), chunk(b"prVt", b"1")), ["GPS position", "maker note", "comment", "serial number", "private chunk"]),
    ("png", png(chunk(b"eXIf", b"x"), chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0x"), chunk(b"zTXt", b"Raw profile type iptc\0\0x")),
     ["damaged EXIF", "XMP", "IPTC"]),
    ("png", png(chunk(b"tEXt", b"Title\0x")), ["comment"]),
]  # fmt: skip


@pytest.mark.parametrize(("key", "data", "words"), RISKS)
def test_risks_are_told(key: str, data: bytes, words: list[str]) -> None:
    codec = FORMATS[key].codec
    assert codec is not None
    assert sorted(codec.risks(data, {})) == sorted(words)


HEX = b"\nexif\n      10\n45786966000045524b\n41\n"
BESIDE = [
    ("jpg", jpeg(seg(0xFE, b"ERIKA"))), ("jpg", jpeg(xmp(b"ERIKA"))), ("jpg", jpeg(b"ERIKA")), ("jpg", jpeg(seg(0xF3, b"ERIKA"))),
    ("jpg", jpeg(exif(tiff({271: (2, "x")}) + b"ERIKA"))), ("jpg", jpeg(exif(tiff({271: (2, "x")}, thumbnail=jpeg(seg(0xFE, b"ERIKA")))))),
    ("jpg", jpeg(exif(tiff({700: (1, b"<dc>ERIKA</dc>  ")})))), ("jpg", jpeg(seg(0xEE, b"Adobe\0d\0\0\0\0\1ERIKA"))),
    ("png", png(chunk(b"tEXt", b"ERIKA\0x"))), ("png", png(chunk(b"zTXt", b"a\0\0" + zlib.compress(b"for ERIKA")))),
    ("png", png(chunk(b"iTXt", b"a\0\1\0de\0t\0" + zlib.compress(b"ERIKA")))), ("png", png(chunk(b"iTXt", b"a\0\0\0de\0ERIKA\0x"))),
    ("png", png(chunk(b"eXIf", tiff({315: (2, "ERIKA")})))), ("png", png(chunk(b"prVt", b"ERIKA"))),
    ("png", png(chunk(b"sPLT", b"ERIKA\0"))), ("png", png(after=[chunk(b"tEXt", b"a\0ERIKA")])),
    ("png", png(chunk(b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(HEX.replace(b"45524b\n41", b"4552494b\n41"))))),
]  # fmt: skip


@pytest.mark.parametrize(("key", "data"), BESIDE)
def test_what_may_say_anything_is_shown_unpacked(key: str, data: bytes) -> None:
    codec = FORMATS[key].codec
    assert codec is not None
    found = list(codec.beside(data, {}))
    assert any(b"ERIKA" in said for _, said in found)
    assert not any(pictures.SCAN in said for _, said in found)


STAYING = [
    ("jpg: {fields: [{name: Artist, remove: true}]}", ["comments, XMP", "position of GPS", "MakerNote, BodySerialNumber, the thumbnail"]),
    ("jpg: {remove-exif: true}", []),
    ("jpg: {remove-gps: true, fields: [{name: makernote, remove: true}, {name: BodySerialNumber, hash: true}, "
     "{name: JPEGInterchangeFormat, remove: true}]}", ["comments, XMP"]),
    ("png: {fields: [{name: tEXt, remove: true}, {name: eXIf, keep: true}]}", ["zTXt, iTXt, eXIf chunks stay", "private chunks stay"]),
    ("png: {remove-private-chunks: true, fields: [{name: TEXT, remove: true}, {name: zTXt, remove: true}, {name: iTXt, remove: true}, "
     "{name: eXIf, remove: true}]}", []),
]  # fmt: skip


@pytest.mark.parametrize(("text", "told"), STAYING)
def test_the_check_of_a_profile_tells_what_stays(text: str, told: list[str]) -> None:
    messages = [one.message for one in parse_profile(text, "p.yaml").warnings if "salt" not in one.message]
    assert len(messages) == len(told)
    assert all(any(word in message for message in messages) for word in told), messages


# -- PNG -----------------------------------------------------------------------------------------------


def test_bombs_take_no_memory() -> None:
    stream = zlib.compressobj(9)
    packed = b"Author\0\0" + b"".join(stream.compress(bytes(1 << 20)) for _ in range(100)) + stream.flush()
    data = png(*[chunk(b"zTXt", packed)] * 3)
    section = section_of("png", {"fields": [{"name": "zTXt", "remove": True}]})
    other = section_of("png", {"fields": [{"name": "tEXt", "remove": True}]})
    tracemalloc.start()
    try:
        assert made_of(data, section) == png()
        with pytest.raises(Unfit, match="unpacks to more than 16 MB"):
            made_of(data, other)
        assert tracemalloc.get_traced_memory()[1] < 60 << 20
    finally:
        tracemalloc.stop()


def test_only_remove_and_keep_work_on_chunks() -> None:
    with pytest.raises(ProfileError, match="png fields can take: keep, remove"):
        section_of("png", {"fields": [{"name": "tEXt", "hash": True}]})
    with pytest.raises(ProfileError, match="four letters"):
        section_of("png", {"fields": [{"name": "comment", "remove": True}]})


# -- real files ----------------------------------------------------------------------------------------


@pytest.mark.skipif(not CORPUS.is_dir(), reason="shared/corpus is not beside this checkout")
@pytest.mark.parametrize(("key", "folder", "keep"), [("jpg", "jpg_exif", "Orientation"), ("png", "png", "IHDR")])
def test_a_rule_that_keeps_changes_no_byte_of_real_files(key: str, folder: str, keep: str) -> None:
    section, passed = section_of(key, {"fields": [{"name": keep, "keep": True}]}), 0
    for path in sorted((CORPUS / "nondicom" / folder).iterdir()):
        data = path.read_bytes()
        try:
            assert made_of(data, section) == data, path
            passed += 1
        except Unfit:
            continue
    assert passed >= {"jpg": 14, "png": 4}[key]


def test_edits_are_of_blocks_alone() -> None:
    """An entry that goes takes its directories with it; told of one alone the editor would leave the rest."""
    block = Block(tiff({315: (2, "ERIKA MUSTER"), 271: (2, "x")}))
    assert tags_of(edited(block, {1: REMOVE}, [])) == {("0th", 271): (2, b"x\0")}
