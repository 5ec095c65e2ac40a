"""TIFF: every page, sub-image and block; nothing moves, nothing that went is left; slides; odd and hostile files."""

from __future__ import annotations

import random
import struct
import time
from dataclasses import replace
from datetime import date
from typing import Any

import pytest
import yaml

from fw_gear_deid.deid import document
from fw_gear_deid.formats.tiff import FORMAT, aside, names, ranges, slides
from fw_gear_deid.formats.tiff.again import Again
from fw_gear_deid.model.action import At
from fw_gear_deid.model.errors import Malformed, Unfit
from fw_gear_deid.profile.compiled import FieldSection
from fw_gear_deid.profile.parse import parse_profile
from fw_gear_deid.profile.text.problems import ProfileError
from tests.tiff_files import At as Where
from tests.tiff_files import Below, Pixels, page, rich, tiff, tiled

AROUND = At("UT", lambda purpose: 1 << 253, date(2026, 1, 1), lambda name: "")
KINDS = [(order, big) for order in "<>" for big in (False, True)]
LONG = "a text that is longer than what stood there before, and than a place"


def section(*fields: dict[str, Any], **options: Any) -> FieldSection:
    text = yaml.safe_dump(
        {"tiff": {"fields": list(fields), **{key.replace("_", "-"): value for key, value in options.items()}}}
    )
    (found,) = parse_profile(text, "p.yaml").sections
    assert isinstance(found, FieldSection)
    return found


def gone(*tags: str, **options: Any) -> FieldSection:
    return section(*({"name": name, "remove": True} for name in tags), **options)


KEEP = section({"name": "Artist"})


def run(data: bytes, rules: FieldSection = KEEP) -> bytes:
    """De-identify and check; no byte of the source moves."""
    edited = document.edit(data, rules, AROUND)
    result = document.written(data, edited)
    document.check(data, result, edited)
    assert document.written(data, edited) == result, "twice the same"
    return result


def values(data: bytes) -> dict[str, tuple[str, ...]]:
    edited = document.edit(data, KEEP, AROUND)
    return {one.path: one.texts for one in edited.document.fields if not one.is_group}


def changed(before: bytes, after: bytes) -> dict[str, tuple[str, ...] | None]:
    """Return the fields that differ, with their new texts."""
    old, new = values(before), values(after)
    return {path: new.get(path) for path in old | new if old.get(path) != new.get(path)}


# -- every page, sub-image and block -----------------------------------------------------------------------


@pytest.mark.parametrize(("order", "big"), KINDS)
def test_keep_changes_no_byte(order: str, big: bool) -> None:
    data = rich(order, big)
    assert run(data) == data


@pytest.mark.parametrize(("order", "big"), KINDS)
def test_rule_works_wherever_its_tag_stands(order: str, big: bool) -> None:
    data = rich(order, big)
    result = run(data, gone("artist", "IMAGEDESCRIPTION", "DateTimeOriginal", "GPSDateStamp", "InteropIndex"))
    assert changed(data, result) == dict.fromkeys(
        ("page 1 Artist", "page 2 Artist", "page 1 SubIFDs 1 Artist", "page 1 ImageDescription",
         "page 1 SubIFDs 1 ImageDescription", "page 1 EXIF DateTimeOriginal", "page 1 GPS GPSDateStamp",
         "page 1 EXIF Interop InteroperabilityIndex"), None,
    )  # fmt: skip
    for needle in (b"DOE^", b"WHAT", b"SMITH", b"ROE", b"R98"):
        assert needle in data and needle not in result
    assert b"somebody was here" in result


@pytest.mark.parametrize(("order", "big"), KINDS)
def test_private_tags_go_with_what_they_point_at(order: str, big: bool) -> None:
    data = rich(order, big)
    result = run(data, section(remove_private_tags=True))
    for needle in (b"somebody", b"maker", b"2021:03:04\0", b"ours private", b"\x1c\2\x50"):
        assert needle not in result
    assert not [path for path in values(result) if "EXIF" in path or "GPS" in path or path.split()[-1].isdecimal()]
    assert changed(data, result).keys() <= {path for path in values(data) if path not in values(result)}
    assert b"DOE^JANE" in result and b"<x>packet</x>" in result, "XMP is no private tag"


def test_private_tags_that_tell_how_to_decode_stay() -> None:
    data = tiff(page(t50674=(4, [4, 0]), t32997=(4, 1), t32998=(2, "DOE"), t65000=(3, 7)))
    assert changed(data, run(data, section(remove_private_tags=True))) == {
        "page 1 TileDepth": None,
        "page 1 65000": None,
    }


@pytest.mark.parametrize("block", ["ExifIFD", "GPSInfoIFD", "SubIFDs", "InteroperabilityIFD"])
def test_block_goes_as_a_whole(block: str) -> None:
    data = rich()
    result = run(data, gone(block))
    inside = {"ExifIFD": " EXIF ", "GPSInfoIFD": " GPS ", "SubIFDs": " SubIFDs ", "InteroperabilityIFD": " Interop "}
    assert set(changed(data, result)) == {path for path in values(data) if inside[block] in path}
    assert len([path for path in values(data) if inside[block] in path]) > 1


def test_block_takes_no_value() -> None:
    with pytest.raises(Unfit, match="page 1 GPSInfoIFD points at tags of its own"):
        run(rich(), section({"name": "GPSInfoIFD", "replace-with": "5"}))


# -- values -------------------------------------------------------------------------------------------------


def value(kind: int, raw: Any, tag: int = 65000, **options: Any) -> bytes:
    return tiff(page(**{f"t{tag}": (kind, raw)}), **options)


@pytest.mark.parametrize(
    ("kind", "raw", "texts"),
    [
        (2, "DOE", ("DOE",)),
        (2, b"DOE\0JANE\0", ("DOE", "JANE")),
        (2, b"DOE\0\0\0\0", ("DOE",)),
        (2, b"DOE", ("DOE",)),
        (2, b"\0", ("",)),
        (2, "Mü".encode(), ("Mü",)),
        (2, b"M\xfc\0", ("Mü",)),
        (1, [1, 255], ("1", "255")),
        (3, 65535, ("65535",)),
        (4, [1, 2, 3], ("1", "2", "3")),
        (6, [-1], ("-1",)),
        (8, [-300], ("-300",)),
        (9, [-70000], ("-70000",)),
        (16, [1 << 40], (str(1 << 40),)),
        (17, [-1 << 40], (str(-1 << 40),)),
        (5, [(144, 2)], ("72",)),
        (5, [(1, 3), (1, 0)], ("0.3333333333333333", "1/0")),
        (10, [(-5, 2)], ("-2.5",)),
        (11, [0.5], ("0.5",)),
        (12, [0.1, 2.0], ("0.1", "2")),
        (7, b"0232", ("0232",)),
        (7, b"text\0\0", ("text",)),
    ],
)
@pytest.mark.parametrize(("order", "big"), KINDS)
def test_values_are_read(kind: int, raw: Any, texts: tuple[str, ...], order: str, big: bool) -> None:
    data = value(kind, raw, order=order, big=big)
    assert values(data)["page 1 65000"] == texts
    assert run(data) == data


@pytest.mark.parametrize(
    ("tag", "raw", "name", "text", "written"),
    [
        (40093, "DOE\0".encode("utf-16-le"), "XPAuthor", "DOE", "é\0".encode("utf-16-le")),
        (37510, b"ASCII\0\0\0DOE", "UserComment", "DOE", b"UNICODE\0" + "é".encode("utf-16-le")),
        (37510, b"UNICODE\0" + "DOE".encode("utf-16-le"), "UserComment", "DOE", b"UNICODE\0" + "é".encode("utf-16-le")),
        (37510, bytes(8) + b"DOE", "UserComment", "DOE", b"UNICODE\0" + "é".encode("utf-16-le")),
        (700, b"<x>DOE</x>", "XMP", "<x>DOE</x>", "é".encode()),
        (315, b"DOE\0", "Artist", "DOE", "é\0".encode()),
    ],
)
def test_texts_in_their_own_encodings(tag: int, raw: bytes, name: str, text: str, written: bytes) -> None:
    data = value(2 if tag == 315 else 7, raw, tag)
    assert values(data)[f"page 1 {name}"] == (text,)
    result = run(data, section({"name": name, "replace-with": "é"}))
    assert values(result)[f"page 1 {name}"] == ("é",)
    assert written in result and raw not in result


@pytest.mark.parametrize(
    ("kind", "raw", "rule", "texts"),
    [
        (2, "DOE", {"hash": True}, ("9acd1c0d68f6c8b4",)),
        (2, b"DOE\0ROE\0", {"replace-with": ["A", "B", "C"]}, ("A", "B", "C")),
        (2, "2020:02:29 10:11:12", {"increment-datetime": True}, ("2020:03:05 10:11:12",)),
        (2, "DOE-7", {"regex-sub": [{"input-regex": "DOE-(?P<n>\\d)", "output": "P{n}"}]}, ("P7",)),
        (2, LONG, {"replace-with": ""}, ("",)),
        (3, 7, {"replace-with": 9}, ("9",)),
        (3, 7, {"replace-with": [1, 2, 3]}, ("1", "2", "3")),
        (4, 70, {"jitter": True, "jitter-type": "int", "jitter-range": 3}, ("69",)),
        (5, [(72, 1)], {"replace-with": 0.25}, ("0.25",)),
        (10, [(72, 1)], {"replace-with": "-1/0"}, ("-1/0",)),
        (5, [(72, 1)], {"jitter": True}, ("70.5",)),
        (12, [1.0], {"replace-with": 0.1}, ("0.1",)),
        (11, [1.0], {"replace-with": -8}, ("-8",)),
        (7, b"\0\1\2\3\4\5\6\7\x08\t", {"hash": True}, None),
    ],
)
@pytest.mark.parametrize(("order", "big"), KINDS)
def test_actions_on_values(kind: int, raw: Any, rule: dict[str, Any], texts: Any, order: str, big: bool) -> None:
    data = value(kind, raw, order=order, big=big)
    result = run(data, section({"name": "65000", **rule}, date_increment=5))
    (new,) = changed(data, result).values()
    if texts is not None and "hash" not in rule:
        assert new == texts
    assert len(new or ()) >= 1


@pytest.mark.parametrize(
    ("kind", "raw", "rule", "told"),
    [
        (3, 7, {"replace-with": "DOE"}, "whole numbers"),
        (3, 7, {"replace-with": 70000}, "no number as large"),
        (4, 7, {"jitter": True}, "whole numbers"),
        (4, 7, {"replace-with": "07"}, "cannot hold the new value as it is written"),
        (4, 7, {"replace-with": ""}, "whole numbers"),
        (5, [(7, 1)], {"replace-with": -1}, "no number as large, or as small"),
        (5, [(7, 1)], {"replace-with": "DOE"}, "takes numbers"),
        (5, [(7, 1)], {"replace-with": 123456.7891234567}, "no rational number is as exact"),
        (7, b"DOE", {"replace-with": ["a", "b"]}, "one text"),
        (14, b"", {"replace-with": "a"}, "none of TIFF"),
    ],
)
def test_types_that_cannot_hold_a_result(kind: int, raw: Any, rule: dict[str, Any], told: str) -> None:
    if kind == 14:
        data = value(4, 7).replace(struct.pack("<HHLL", 65000, 4, 1, 7), struct.pack("<HHLL", 65000, 14, 1, 7))
    else:
        data = value(kind, raw)
    with pytest.raises(Unfit, match=told) as caught:
        run(data, section({"name": "65000", **rule}))
    assert "DOE" not in str(caught.value)


def test_many_numbers_are_told_by_their_digest() -> None:
    data = value(4, list(range(2000)))
    assert values(data)["page 1 65000"][0].startswith("<2000 numbers, ")
    other = value(4, [*range(1999), 7])
    assert values(other)["page 1 65000"] != values(data)["page 1 65000"]
    assert "page 1 65000" not in values(run(data, gone("65000")))


# -- bytes --------------------------------------------------------------------------------------------------


def test_longer_value_stands_at_the_end_and_nothing_else_moves() -> None:
    data = tiff(page(t315=(2, "DOE^JANE"), t305=(2, "software")), page(t315=(2, "DOE^JANE")))
    result = run(data, section({"name": "Artist", "replace-with": LONG}))
    assert result.count(LONG.encode()) == 1, "equal values stand there once"
    assert len(result) == len(data) + len(data) % 2 + len(LONG) + 1
    at = result.index(LONG.encode())
    assert at % 2 == 0 and at >= len(data)
    assert b"DOE" not in result
    assert result.index(b"software") == data.index(b"software")


def test_shorter_value_stands_where_it_stood() -> None:
    data = tiff(page(t315=(2, "DOE^JANE^OF^SOMEWHERE"), t305=(2, "software")))
    result = run(data, section({"name": "Artist", "replace-with": "ANONYMOUS"}))
    assert len(result) == len(data)
    assert result.index(b"ANONYMOUS\0") == data.index(b"DOE^JANE")
    assert b"SOMEWHERE" not in result


def test_unused_bytes_are_blank_and_told() -> None:
    data = tiff(page(t315=(2, "A")), lead=b"ZZGAP of an editor", tail=b"ZZTAIL")
    result = run(data)
    assert result == data.replace(b"ZZGAP of an editor", bytes(18))[:-6]
    edited = document.edit(data, KEEP, AROUND)
    assert [(edit.path, edit.rule) for edit in edited.edits] == [
        ("unused bytes", "always: bytes of a picture file that nothing points at")
    ]
    assert run(result) == result, "a second run finds nothing"


def test_zeros_at_the_end_stay() -> None:
    data = tiff(page(), tail=bytes(100))
    assert run(data) == data


def test_bytes_behind_a_short_value_in_its_entry_are_blank() -> None:
    data = tiff(page(t315=(2, "A")))
    entry = struct.pack("<HHL", 315, 2, 2)
    hidden = data.replace(entry + b"A\0\0\0", entry + b"A\0ZQ")
    assert hidden != data
    assert run(hidden) == data
    assert run(hidden, gone("Software")) == data
    assert run(hidden, section({"name": "Artist", "replace-with": "B"})) == data.replace(entry + b"A", entry + b"B")


def test_entries_move_up_and_the_rest_is_blank() -> None:
    data = tiff(page(t305=(2, "s"), t315=(2, "D"), t316=(2, "h")))
    result = run(data, gone("Artist"))
    at = struct.unpack_from("<L", data, 4)[0]
    count = struct.unpack_from("<H", data, at)[0]
    assert struct.unpack_from("<H", result, at)[0] == count - 1
    assert result[at + 2 + 12 * (count - 1) :] == bytes(4), "it was the last: what was behind it is left out"
    first = run(tiff(page(t315=(2, "DOE")), page()), gone("Artist"))
    at = struct.unpack_from("<L", first, 4)[0] + 2 + 12 * 9 + 4
    assert first[at : at + 12] == bytes(12)


@pytest.mark.parametrize(("order", "big"), KINDS)
def test_absent_tag_is_made_on_the_first_page(order: str, big: bool) -> None:
    data = tiff(page(t305=(2, "software")), page(), order=order, big=big)
    result = run(data, section({"name": "Artist", "replace-with": "nobody"}, {"name": "XMP", "replace-with": "<x/>"}))
    assert changed(data, result) == {"page 1 Artist": ("nobody",), "page 1 XMP": ("<x/>",)}
    old = struct.unpack_from(order + ("Q" if big else "L"), data, 8 if big else 4)[0]
    assert result[old : old + 30] == bytes(30), "where the directory stood"
    tags = [entry.tag for entry in document.edit(result, KEEP, AROUND).document._file.pages[0].entries]  # type: ignore[attr-defined]
    assert tags == sorted(tags)


def test_absent_tag_of_a_block_is_not_made() -> None:
    rule = {"name": "GPSLatitude", "replace-with": 5}
    with pytest.raises(Unfit, match="GPSLatitude is absent and cannot be made; 'replace-with-insert: false'"):
        run(tiff(page()), section(rule))
    data = tiff(page())
    assert run(data, section({**rule, "replace-with-insert": False})) == data


# -- values that share bytes --------------------------------------------------------------------------------


def test_value_of_two_tags_stays_for_the_one_that_stays() -> None:
    data = tiff(page(t305=(2, "ABCDEFGH"), t316=(2, Where(305, count=9))))
    assert data.count(b"ABCDEFGH") == 1
    result = run(data, gone("Software"))
    assert values(result)["page 1 HostComputer"] == ("ABCDEFGH",)
    for rules in (gone("Software", "HostComputer"), section(*({"name": n, "replace-with": "X"} for n in ("Software", "HostComputer")))):  # fmt: skip
        assert b"CDE" not in run(data, rules)
    result = run(data, section({"name": "Software", "replace-with": "QRSTUVW"}))
    assert changed(data, result) == {"page 1 Software": ("QRSTUVW",)}


def test_value_within_another() -> None:
    data = tiff(page(t305=(2, "ABCDEFGH"), t316=(2, Where(305, 4, 5))))
    assert values(data)["page 1 HostComputer"] == ("EFGH",)
    assert changed(data, run(data, gone("Software"))) == {"page 1 Software": None}
    assert changed(data, run(data, gone("HostComputer"))) == {"page 1 HostComputer": None}
    assert changed(data, run(data, section({"name": "HostComputer", "replace-with": "ROE!"}))) == {
        "page 1 HostComputer": ("ROE!",)
    }


def test_value_in_the_picture() -> None:
    data = bytearray(tiff(page(b"DOE^JANE" * 4, t315=(2, "DOE^JANE"))))
    at = data.index(b"DOE^JANE\0")
    data = bytearray(bytes(data).replace(struct.pack("<HHLL", 315, 2, 9, at), struct.pack("<HHLL", 315, 2, 9, 8)))
    assert run(bytes(data), section({"name": "Software", "remove": True}))[8:40] == b"DOE^JANE" * 4
    with pytest.raises(Malformed, match="shares bytes with a directory or a picture"):
        run(bytes(data), gone("Artist"))


# -- pictures -----------------------------------------------------------------------------------------------


def test_uncompressed_picture_counts_by_its_size() -> None:
    """Writers tell too few bytes; readers take what width and length say."""
    data = tiff(page(bytes(range(1, 65)), width=8))
    short = data.replace(struct.pack("<HHLL", 279, 4, 1, 64), struct.pack("<HHLL", 279, 4, 1, 8))
    assert run(short) == short
    none = data.replace(struct.pack("<HHLL", 279, 4, 1, 64), struct.pack("<HHLL", 280, 4, 1, 0))
    assert run(none) == none


def test_pictures_that_one_directory_tells_of() -> None:
    pixels = bytes(range(1, 17))
    text = "ImageJ=1.53k\nimages=3\nslices=3\ninfo=DOE\n"
    one = page(pixels * 3, width=4, t270=(2, text))
    one |= {257: (3, 4), 278: (3, 4), 279: (4, 16)}
    stack = tiff(one)
    assert run(stack) == stack
    rule = {"name": "ImageDescription", "regex-sub": [{"input-regex": "(?s)(?P<a>.*)info=DOE(?P<b>.*)", "output": "{a}info=X{b}"}]}  # fmt: skip
    result = run(stack, section(rule))
    assert b"DOE" not in result and pixels * 3 in result
    with pytest.raises(Unfit, match="tells of pictures that nothing else tells of"):
        run(stack, gone("ImageDescription"))
    with pytest.raises(Unfit, match="more pictures than the file has"):
        run(stack.replace(b"images=3\nslices=3", b"images=99\nslices="))


def test_truncated_series_of_tifffile() -> None:
    one = page(bytes(range(1, 49)), t270=(2, '{"shape": [3, 4, 4], "truncated": true}'))
    data = tiff(one | {257: (3, 4), 278: (3, 4), 279: (4, 16)})
    assert run(data) == data


@pytest.mark.parametrize("tag", [34412, 33628, 33629])
def test_private_tags_with_places_of_their_own_are_refused(tag: int) -> None:
    with pytest.raises(Unfit, match="points at blocks that only its maker knows"):
        run(value(1, [1, 2, 3, 4, 5], tag))


def test_old_jpeg_tables_and_thumbnails_stay() -> None:
    first = page(t519=(4, Pixels([b"\7" * 64])), t520=(4, Pixels([b"\1" + bytes(15) + b"\x09"])))
    thumb = {256: (3, 4), 257: (3, 4), 513: (4, Pixels([b"\xff\xd8thumb\xff\xd9"])), 514: (4, 9)}
    data = tiff(first, thumb)
    assert run(data) == data


def test_camera_mark_stays() -> None:
    data = tiff(page(), lead=b"CR\2\0\1\2\3\4and more")
    assert run(data) == data.replace(b"and more", bytes(8))


# -- slides -------------------------------------------------------------------------------------------------

APERIO = "Aperio Image Library v12\r\n46000x32914 (256x256) JPEG/RGB Q=70|AppMag = 20|Filename = DOE|User = x"
LABEL, MACRO = b"LABELPIXELS-----" * 4, b"MACROPIXELS-----" * 4


def aperio(**last: Any) -> bytes:
    return tiff(
        tiled([b"\x21" * 256], t270=(2, APERIO)),
        page(b"\x22" * 16, t270=(2, "Aperio Image Library v12\r\n46000x32914 -> 1024x732 - |Filename = DOE")),
        page(LABEL, 16, t254=(4, 1), t270=(2, "Aperio Image Library v12\r\nlabel 387x463"), t306=(2, "2021:03:04")),
        page(MACRO, 16, t254=(4, 9), t270=(2, "Aperio Image Library v12\r\nmacro 1280x431")),
        **last,
    )


@pytest.mark.parametrize(("order", "big"), KINDS)
def test_label_and_macro_go_with_their_pixels(order: str, big: bool) -> None:
    data = aperio(order=order, big=big)
    result = run(
        data, section({"name": "ImageDescription", "regex-sub": [{"input-regex": "(?s).*", "output": "slide"}]})
    )
    assert not [word for word in (b"LABEL", b"MACRO", b"label", b"macro", b"DOE", b"2021") if word in result]
    assert result[: data.index(LABEL)].count(b"\x21" * 256) == 1
    listed = Again(result).fields
    assert [one.name for one in listed].count("page") == 2
    rows = document.edit(data, KEEP, AROUND).edits
    assert {row.rule for row in rows} == {"always: label and macro pages of a slide"}
    assert {"page 3", "page 4"} <= {row.path for row in rows}


@pytest.mark.parametrize(
    ("pages", "left"),
    [
        ([tiled([b"\1" * 256]), page(LABEL, 16, t254=(4, 1)), page(MACRO, 16, t254=(4, 9))], [1]),
        ([tiled([b"\1" * 256], t65421=(11, [20.0])), page(MACRO, t65421=(11, [-1.0])), page(b"\2" * 16, t65421=(11, [-2.0]))], [1, 3]),
        ([page(LABEL, 16, t270=(2, "Label Image")), tiled([b"\1" * 256], t270=(2, "level=0 mag=20"))], [2]),
        ([tiled([b"\1" * 256], t270=(2, APERIO)), page(LABEL, 16, t254=(4, 1))], [1]),
    ],
    ids=["gt450", "ndpi", "ventana", "aperio-without-a-macro"],
)  # fmt: skip
def test_marks_of_vendors(pages: list[Any], left: list[int]) -> None:
    data = tiff(*pages)
    result = run(data)
    kept = [number for number, one in enumerate(pages, 1) if number in left]
    assert [one.name for one in Again(result).fields].count("page") == len(kept)
    assert b"LABEL" not in result and b"MACRO" not in result


@pytest.mark.parametrize(
    ("pages", "told"),
    [
        ([page(), page(t270=(2, "label"))], "page 2 is called label or macro"),
        ([page(), page(t270=(2, "Macro image"))], "page 2 is called label or macro"),
        ([page(t330=(4, Below([page(t270=(2, "macro"))])))], "a sub-image is called label or macro"),
        ([page(bytes(256), 16), page(LABEL, 16, t254=(4, 1))], "page 2 is a reduced picture of another shape"),
        ([page(t254=(4, 9))], "no page of it would be left"),
        ([page(t270=(2, "<scn xmlns='http://www.leica-microsystems.com/scn/2010/10/01'/>"))], "Leica SCN"),
        ([page(t270=(2, '<Attribute Name="PIM_DP_IMAGE_TYPE">LABELIMAGE</Attribute>'))], "Philips"),
        ([page(t270=(2, '<OME><Image ID="Image:3" Name="label image"></Image></OME>'))], "OME-TIFF"),
    ],
)
def test_slides_whose_label_cannot_go_alone_are_refused(pages: list[Any], told: str) -> None:
    with pytest.raises(Unfit, match=told):
        run(tiff(*pages))


@pytest.mark.parametrize(
    "pages",
    [
        [page(t270=(2, "label-free imaging, macrophages")), page(t270=(2, "ImageJ=1\nlabels=3"))],
        [page(t270=(2, '<OME><Image ID="Image:0" Name="Label-free macrophage"/></OME>'))],
        [page(bytes(256), 16), page(bytes(64), 8, t254=(4, 1))],
        [page(bytes(256), 16), page(LABEL, 16)],
        [page(LABEL, 16, t254=(4, 1)), page(bytes(16), t254=(4, 1))],
        [page(bytes(256), 16, t50706=(1, [1, 4, 0, 0])), page(LABEL, 16, t254=(4, 9), t50706=(1, [1, 4, 0, 0]))],
    ],
    ids=["words", "ome", "pyramid", "pages-of-two-shapes", "camera-previews", "depth-map"],
)
def test_other_pages_are_no_labels(pages: list[Any]) -> None:
    data = tiff(*pages)
    assert run(data) == data


def test_labels_look_at_pages_alone() -> None:
    assert slides.labels([]) == []


# -- profiles -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("entry", "told"),
    [
        ({"name": "Artits", "remove": True}, "no tag of TIFF, EXIF or GPS; did you mean 'Artist'?"),
        ({"name": "xyzxyz", "remove": True}, "a tag without a name goes by its number"),
        ({"name": "70000", "remove": True}, "no tag of TIFF"),
        ({"regex": ".*", "remove": True}, "go by name"),
        ({"name": "imagewidth", "remove": True}, "without imagewidth nobody can read the file"),
        ({"name": "273", "replace-with": "1"}, "without 273 nobody can read the file"),
        ({"name": "LercParameters", "remove": True}, "no tag of TIFF"),
        ({"name": "0xc5f2", "remove": True}, "nobody can read the file"),
    ],
)
def test_profiles_are_told_what_is_wrong(entry: dict[str, Any], told: str) -> None:
    with pytest.raises(ProfileError, match=r"p\.yaml") as caught:
        section(entry)
    assert told in str(caught.value)


def test_needed_tags_can_be_kept() -> None:
    assert run(rich(), section({"name": "ImageWidth"}, {"name": "StripOffsets", "keep": True})) == rich()


def test_names_are_pillows() -> None:
    from PIL import ExifTags, TiffTags

    for tag, info in TiffTags.TAGS_V2.items():
        assert (names.MAIN, tag) in names.tags_of(info.name)
        assert names.name_of(names.MAIN, tag) == info.name
    assert names.tags_of("PixelXDimension") == names.tags_of("exifimagewidth") == {("", 40962)}
    assert names.tags_of(ExifTags.GPS.GPSAltitude.name) == {(names.GPS, 6)}


def test_what_stays_is_told() -> None:
    assert len(FORMAT.stays({}, [])) == 3
    assert len(FORMAT.stays({"remove-private-tags": True}, [])) == 1
    assert FORMAT.stays({"remove-private-tags": True}, ["xmp"]) == []
    assert len(FORMAT.stays({}, ["ExifIFD", "GPSInfoIFD"])) == 1


# -- beside, risks ------------------------------------------------------------------------------------------


def test_packets_are_beside() -> None:
    assert {place: raw[:7] for place, raw in aside.beside(rich())} == {
        "page 1 XMP": b"<x>pack", "page 1 IPTC": b"\x1c\2P\0\4IP", "page 1 EXIF maker note": b"\1\2maker", "page 1 EXIF UserComment": b"ASCII\0\0",
    }  # fmt: skip
    icc = tiff(page(t34675=(7, b"profile of DOE"), t347=(7, b"JPEG tables of a picture")))
    assert list(aside.beside(icc)) == [("page 1 ICC profile", b"profile of DOE")]


def test_large_packets_are_searched_by_their_lines() -> None:
    raw = random.Random(1).randbytes(1 << 21) + b"\1" + "SMITH John".encode("utf-16-le") + b"\0\1Roe of the ward\0"
    data = tiff(page(t37500=(7, raw)))
    ((_, lines),) = aside.beside(data)
    assert len(lines) < len(raw) // 10 and lines.endswith(b"SMITH John\nRoe of the ward")
    text = b"<x>" + b"a long packet " * 10000 + b"</x>"
    assert dict(aside.beside(tiff(page(t700=(1, text))))) == {"page 1 XMP": text}


def test_risks_are_told_once() -> None:
    assert aside.risks(rich()) == ("XMP", "IPTC", "EXIF", "GPS position", "maker note")
    assert "slide description" in aside.risks(run(aperio()))
    assert aside.risks(run(rich(), gone("XMP", remove_private_tags=True))) == ()


# -- damaged and hostile ------------------------------------------------------------------------------------

REFUSED = {
    "nothing": (b"", "no TIFF"),
    "header": (b"II*\0\x08", "ends in its header"),
    "no-page": (b"II*\0" + bytes(4), "without a page"),
    "outside": (b"II*\0\xff\xff\0\0", "outside of the file"),
    "in-the-header": (b"II*\0\x04\0\0\0" + bytes(50), "outside of the file"),
    "circle": (b"II*\0\x08\0\0\0\0\0\x08\0\0\0", "a circle"),
    "bigtiff-of-four-bytes": (b"II+\0\4\0\0\0" + bytes(40), "no eight bytes"),
    "huge-count": (b"II*\0\x08\0\0\0\xff\xff" + bytes(40), "past the end"),
}


@pytest.mark.parametrize(("data", "told"), REFUSED.values(), ids=REFUSED)
def test_damaged_files_are_refused(data: bytes, told: str) -> None:
    with pytest.raises(Malformed, match=told):
        run(data)


def test_circles_are_refused() -> None:
    data = tiff(page(t330=(4, 8)), lead=b"")
    at = struct.unpack_from("<L", data, 4)[0]
    loop = data.replace(struct.pack("<HHLL", 330, 4, 1, 8), struct.pack("<HHLL", 330, 4, 1, at))
    with pytest.raises(Malformed, match="a circle"):
        run(loop)
    two = tiff(page(t330=(4, 8), t34665=(4, 8)))
    with pytest.raises(Malformed):
        run(two)


@pytest.mark.parametrize(
    ("tag", "kind", "count", "place"),
    [(315, 2, 1 << 31, 8), (315, 2, 100, 1 << 31), (273, 4, 1 << 30, 8), (315, 2, 20, 2)],
)
def test_values_outside_are_refused(tag: int, kind: int, count: int, place: int) -> None:
    data = tiff(page(t316=(2, "h")))
    entry = struct.pack("<HHL", 316, 2, 2) + b"h\0\0\0"
    assert entry in data
    with pytest.raises(Malformed, match="outside"):
        run(data.replace(entry, struct.pack("<HHLL", tag, kind, count, place)))


def test_deep_directories_are_refused() -> None:
    inner = page()
    for _ in range(12):
        inner = page(t330=(4, Below([inner])))
    with pytest.raises(Malformed, match="deep"):
        run(tiff(inner))


def test_many_values_in_each_other_are_refused_soon() -> None:
    count, size = 60000, 1 << 20
    entries = b"".join(struct.pack("<HHLL", 60000, 2, size, 8 + number) for number in range(count))
    data = b"II*\0" + struct.pack("<L", 8 + size + count) + b"A" * (size + count)
    data += struct.pack("<H", count) + entries + bytes(4)
    began = time.process_time()
    with pytest.raises(Malformed, match="stand in each other"):
        run(data)
    assert time.process_time() - began < 20


def test_many_pictures_of_the_same_bytes_are_refused_soon() -> None:
    big = bytes(1 << 22)
    data = bytearray(b"II*\0" + bytes(4) + big)
    link, strip = 4, struct.pack("<HHLLHHLL", 273, 4, 1, 8, 279, 4, 1, len(big))
    for _ in range(20000):
        struct.pack_into("<L", data, link, len(data))
        data += struct.pack("<H", 2) + strip + bytes(4)
        link = len(data) - 4
    with pytest.raises(Malformed, match="pictures stand in each other"):
        run(bytes(data))


def test_values_that_many_point_at_are_read_once() -> None:
    """A description of a megabyte on a thousand pages is no gigabyte."""
    text = b"D" * (1 << 20)
    data = bytearray(b"II*\0" + bytes(4) + text)
    link = 4
    for _ in range(1000):
        struct.pack_into("<L", data, link, len(data))
        data += struct.pack("<HHHLL", 1, 270, 2, len(text), 8) + bytes(4)
        link = len(data) - 4
    result = run(bytes(data), gone("ImageDescription"))
    assert b"DDDD" not in result


def test_cut_at_every_byte() -> None:
    data = rich()
    for length in range(len(data)):
        with pytest.raises(Unfit):
            run(data[:length])


@pytest.mark.parametrize("seed", range(4))
def test_mutations_are_refused_or_come_out_checked(seed: int) -> None:
    """Nothing but refusals; what comes out has passed the second reader."""
    pick = random.Random(seed)
    rules = section(
        {"name": "Artist", "replace-with": LONG}, {"name": "ImageDescription", "remove": True}, {"name": "XMP", "hash": True},
        remove_private_tags=bool(seed % 2),
    )  # fmt: skip
    came, told = 0, []
    for _ in range(250):
        data = bytearray(rich(*KINDS[seed]))
        for _ in range(pick.choice((1, 1, 2, 5))):
            at = pick.randrange(len(data))
            match pick.randrange(4):
                case 0:
                    data[at] = pick.randrange(256)
                case 1:
                    data[at : at + 4] = pick.choice(
                        (bytes(4), b"\xff" * 4, struct.pack("<L", pick.randrange(len(data))))
                    )
                case 2:
                    data[at : at + 12] = data[pick.randrange(len(data)) :][:12]
                case _:
                    del data[at : at + pick.randrange(1, 9)]
        try:
            run(bytes(data), rules)
            came += 1
        except Unfit as error:
            told.append(str(error))
    assert came > 10
    assert not [text for text in told if "DOE" in text or "WHAT" in text]


# -- the check ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        (bytes(range(16)), bytes(15) + b"\1", "not what it should be"),
        (b"software", b"hardware", "not what it should be"),
        (bytes(9), b"DOE^JANE\0", "more fields"),
    ],
    ids=["pixels", "another-tag", "left-behind"],
)
def test_check_finds_what_a_wrong_writer_does(before: bytes, after: bytes, told: str) -> None:
    data = tiff(page(t305=(2, "software"), t315=(2, "DOE^JANE")))
    edited = document.edit(data, gone("Artist"), AROUND)
    result = document.written(data, edited)
    document.check(data, result, edited)
    where = data.index(b"DOE^JANE\0") if not any(before) else result.index(before)
    wrong = result[:where] + after + result[where + len(after) :]
    assert len(wrong) == len(result)
    with pytest.raises(Unfit, match=told):
        document.check(data, wrong, edited)


def test_check_finds_a_reader_that_reads_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    data = tiff(page(t315=(2, "DOE")))
    edited = document.edit(data, KEEP, AROUND)
    fields = list(edited.document.fields)
    fields[-2] = replace(fields[-2], texts=("ROE",))
    monkeypatch.setattr(edited.document, "fields", fields)
    with pytest.raises(Malformed, match="two readers"):
        document.check(data, data, edited)


def test_ranges_are_sets() -> None:
    pick = random.Random(5)
    for _ in range(300):
        one, two = (
            [(at := pick.randrange(30), at + pick.randrange(6)) for _ in range(pick.randrange(6))] for _ in "ab"
        )
        a, b = ({n for start, end in spans for n in range(start, end)} for spans in (one, two))
        first, second = ranges.union(one), ranges.union(two)
        assert {n for start, end in first for n in range(start, end)} == a
        assert {n for start, end in ranges.minus(first, second) for n in range(start, end)} == a - b
        assert ranges.meet(first, second) == bool(a & b)
        assert len(first) == len([n for n in a if n - 1 not in a])
