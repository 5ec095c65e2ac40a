"""Odd files → plain ones with a row for each repair, or a refusal that names place and remedy; nothing hides on the way."""

from __future__ import annotations

import io
import re
import shutil
import subprocess
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fw_gear_deid.deid import dataset
from fw_gear_deid.formats.dicom import part10 as codec
from fw_gear_deid.formats.dicom import wire
from fw_gear_deid.formats.dicom.repair import data_set, meta, readings
from fw_gear_deid.formats.dicom.wire import UNDEFINED
from fw_gear_deid.model.errors import Beyond, Malformed, Unfit
from fw_gear_deid.profile.parse import parse_profile
from tests import oracle, strategies
from tests.dicom_files import (
    CT,
    IDENTITY,
    SYNTAXES,
    UID,
    Item,
    Leaf,
    Node,
    Seq,
    Syntax,
    deflate,
    encode,
    file_meta,
    header,
    meta_of,
    part10,
    text,
)  # fmt: skip

EXPLICIT, IMPLICIT, BIG, DEFLATED, JPEG = (
    SYNTAXES[name] for name in ("explicit", "implicit", "big", "deflated", "jpeg")
)
ROOT = Path(__file__).resolve().parents[1]
CANARY = b"ZZ^CANARY^7F3A"
ITEM, ITEM_END, SEQUENCE_END = b"\xfe\xff\x00\xe0", b"\xfe\xff\x0d\xe0\0\0\0\0", b"\xfe\xff\xdd\xe0\0\0\0\0"
PIXELS = (
    Leaf(0x00280010, "US", b"\x08\0"), Leaf(0x00280011, "US", b"\x08\0"), Leaf(0x00280100, "US", b"\x10\0"),
    Leaf(0x7FE00010, "OW", bytes(range(64)) * 2),
)  # fmt: skip
NAME = text(0x00100010, "PN", CANARY.decode())
INSIDE = (text(0x00081150, "UI", CT), NAME)
RULES = """
dicom:
  recurse-sequence: true
  {private}
  fields:
    - name: PatientName
      remove: true
"""


def section(*, private: bool = False) -> Any:
    found = parse_profile(RULES.format(private="remove-private-tags: true" if private else ""), "test.yaml").dicom
    assert found is not None
    return found


def deid(src: bytes, *, private: bool = False) -> tuple[list[str], bytes]:
    """Carry out the rules and check the result; return the repairs, and the file."""
    done, written = oracle.carried_out(src, section(private=private))
    plan_check(done, written)
    rows = [f"{edit.path} {edit.rule}" for edit in done.edits if edit.action == "repair"]
    assert [edit.action for edit in done.edits][: len(rows)] == ["repair"] * len(rows)
    return rows, written


def plan_check(done: Any, written: bytes) -> None:
    _, told = codec.write(done.parts, done.meta, done.body)
    dataset.check(done, written, told)


def file(before: bytes, syntax: Syntax = EXPLICIT, after: tuple[Node, ...] = PIXELS) -> bytes:
    """Return a file in which some bytes stand between identity and pixels."""
    nodes = IDENTITY[:3]
    return part10((), syntax, after=encode(nodes, syntax) + before + encode(after, syntax))


def item(content: bytes, length: int | None = None, little: str = "little") -> bytes:
    size = len(content) if length is None else length
    tag = ITEM if little == "little" else b"\xff\xfe\xe0\x00"
    return tag + size.to_bytes(4, little) + content  # type: ignore[arg-type]


def element(tag: int, vr: bytes, value: bytes) -> bytes:
    """Return an element with a 16-bit length, whatever its VR."""
    return tag.to_bytes(4, "big")[1::-1] + tag.to_bytes(4, "big")[:1:-1] + vr + len(value).to_bytes(2, "little") + value


def long_element(tag: int, vr: str, value: bytes, length: int | None = None, syntax: Syntax = EXPLICIT) -> bytes:
    return header(tag, vr, len(value) if length is None else length, syntax) + value


PRIVATE = encode((text(0x00090010, "LO", "ZZ CREATOR"),), EXPLICIT)
CONTENT = encode(INSIDE, EXPLICIT)
BARE = encode(INSIDE, IMPLICIT)
REFERENCED = 0x00081140
JPEG_FRAME = b"\xff\xd8" + bytes(range(60)) + b"\xff\xd9"


def fragments(*pieces: bytes, end: bytes = b"") -> bytes:
    """Return a file whose pixel data ends as told."""
    pixels = header(0x7FE00010, "OB", UNDEFINED, JPEG) + b"".join(map(item, pieces)) + end
    return part10((), JPEG, after=encode((*IDENTITY[:3], *PIXELS[:3]), JPEG) + pixels)


def in_implicit_meta(nodes: tuple[Node, ...]) -> bytes:
    inside = encode(meta_of(IMPLICIT), IMPLICIT)
    length = b"\x02\0\0\0\x04\0\0\0" + len(inside).to_bytes(4, "little")
    return bytes(128) + b"DICM" + length + inside + encode(nodes, IMPLICIT)


WHOLE = (*IDENTITY, *PIXELS)
REPAIRED = {
    "blank VR": (file(PRIVATE + element(0x00091001, b"\0\0", b"ab")), ["(0009,1001) VR that does not exist"]),
    "unknown VR": (file(PRIVATE + element(0x00091001, b"??", b"abcd")), ["(0009,1001) VR that does not exist"]),
    "blank public VR": (file(element(0x00181030, b"  ", b"abcd")), ["(0018,1030) VR that does not exist"]),
    "blank VR of nothing": (file(PRIVATE + element(0x00091001, b"\0\0", b"")), ["(0009,1001) VR that does not exist"]),
    "VR of the future": (
        file(PRIVATE + element(0x00091001, b"ZZ", b"")[:6] + b"\0\0\x06\0\0\0abcdef"),
        ["(0009,1001) VR that does not exist, with a long length"],
    ),
    "in an item": (
        file(long_element(REFERENCED, "SQ", item(CONTENT + PRIVATE + element(0x00091001, b"\0\0", b"ab")))),
        ["(0008,1140)[0](0009,1001) VR that does not exist"],
    ),
    "no VR": (
        part10((), EXPLICIT, after=encode(IDENTITY[:3], EXPLICIT) + encode((NAME,), IMPLICIT) + encode(PIXELS, EXPLICIT)),
        ["(0010,0010) element without VR"],
    ),
    "sequence without VR": (
        file(encode((Seq(REFERENCED, (Item(INSIDE),), undefined=True),), IMPLICIT)),
        ["(0008,1140) element without VR"],
    ),
    "file meta in it": (
        file(encode((text(0x00020010, "UI", "1.2"), text(0x00020016, "AE", CANARY.decode())), EXPLICIT)),
        ["(0002,0010) file meta or command in the data set", "(0002,0016) file meta or command in the data set"],
    ),
    "second file meta": (
        part10((), EXPLICIT, after=encode((*meta_of(EXPLICIT)[2:], *WHOLE), EXPLICIT)),
        None,
    ),
    "command": (file(long_element(0x00000002, "UI", b"1.2\0")), ["(0000,0002) file meta or command in the data set"]),
    "implicit file meta": (in_implicit_meta(WHOLE), None),
    "item ended by its sequence": (
        file(long_element(REFERENCED, "SQ", item(CONTENT, UNDEFINED) + SEQUENCE_END, UNDEFINED)),
        ["(0008,1140)[0](FFFE,E0DD) item ended by the delimiter of its sequence"],
    ),
    "delimiters in defined lengths": (
        file(long_element(REFERENCED, "SQ", item(CONTENT + ITEM_END) + SEQUENCE_END)),
        ["(0008,1140)[0](FFFE,E00D) delimiter that ends nothing", "(0008,1140)(FFFE,E0DD) delimiter that ends nothing"],
    ),
    "delimiter between items": (
        file(long_element(REFERENCED, "SQ", item(CONTENT) + ITEM_END + item(CONTENT))),
        ["(0008,1140)(FFFE,E00D) delimiter that ends nothing"],
    ),
    "delimiter at the top": (file(ITEM_END), ["(FFFE,E00D) delimiter that ends nothing"]),
    "delimiter with a length": (
        file(long_element(REFERENCED, "SQ", item(CONTENT, UNDEFINED) + ITEM_END[:4] + b"\xff" * 4 + SEQUENCE_END, UNDEFINED)),
        ["(0008,1140)[0](FFFE,E00D) delimiter with a length"],
    ),
    "padded": (file(long_element(REFERENCED, "SQ", item(CONTENT) + b"  ")), ["(0008,1140) padding behind the last item"]),
    "open item": (
        file(long_element(REFERENCED, "SQ", item(CONTENT, UNDEFINED))),
        ["(0008,1140)[0](FFFE,E00D) no delimiter before the end"],
    ),
    "text as a sequence": (
        file(long_element(REFERENCED, "UN", b"READABLE")),
        ["(0008,1140) text where a sequence is due"],
    ),
    "text as a sequence, implicit": (
        file(long_element(REFERENCED, "SQ", b"READABLE", syntax=IMPLICIT), IMPLICIT),
        ["(0008,1140) text where a sequence is due, emptied"],
    ),
    "fragments": (fragments(b"", JPEG_FRAME), ["(7FE0,0010) fragments without an end"]),
    "fragments and zeros": (fragments(b"", JPEG_FRAME, end=bytes(14)), ["(7FE0,0010) fragments without an end"]),
    "end with a length": (
        fragments(b"", JPEG_FRAME, end=SEQUENCE_END[:4] + b"\xff" * 4),
        ["(7FE0,0010) delimiter with a length"],
    ),
    "twice": (
        file(encode((text(0x00081030, "LO", "knee"),) * 2, EXPLICIT)),
        ["(0008,1030) element that stands twice"],
    ),
    "creator twice": (file(PRIVATE * 2), ["(0009,0010) element that stands twice"]),
    **{
        f"sequence as {vr}": (
            file(encode((Seq(REFERENCED, (Item(INSIDE),), vr=vr),), EXPLICIT)),
            ["(0008,1140) sequence with another VR"],
        )
        for vr in ("OB", "OW", "CS", "LO", "UT")
    },
    "implicit items as OB": (
        file(long_element(REFERENCED, "OB", item(BARE))),
        ["(0008,1140) sequence with another VR"],
    ),
    "sequence as OB, open": (
        file(long_element(REFERENCED, "OB", item(CONTENT) + SEQUENCE_END, UNDEFINED)),
        ["(0008,1140) sequence with another VR"],
    ),
}  # fmt: skip


@pytest.mark.parametrize(("src", "words"), REPAIRED.values(), ids=REPAIRED)
def test_it_is_made_plain(src: bytes, words: list[str] | None) -> None:
    rows, written = deid(src)
    assert CANARY not in written
    if words is not None:
        assert [row.replace("repaired: ", "") for row in rows] == words
    assert rows
    again, same = deid(written)
    assert (again, same) == ([], written)
    ds = pydicom.dcmread(io.BytesIO(written))
    assert len(ds.PixelData) >= 70
    assert ds.SOPInstanceUID == UID


@pytest.mark.parametrize("name", ["padded", "open item", "blank VR", "twice", "delimiters in defined lengths"])
def test_a_deflated_data_set_is_made_plain(name: str) -> None:
    src, words = REPAIRED[name]
    body = src[len(part10((), EXPLICIT)) :]
    rows, written = deid(part10((), DEFLATED, after=body))
    assert [row.replace("repaired: ", "") for row in rows] == words
    assert len(pydicom.dcmread(io.BytesIO(written)).PixelData) == 128


def test_what_follows_the_pixels_goes_with_a_row_of_its_own() -> None:
    done, written = oracle.carried_out(REPAIRED["twice"][0] + CANARY, section())
    assert [edit.action for edit in done.edits if edit.path in ("(0008,1030)", "trailing bytes")] == [
        "repair",
        "remove",
    ]
    assert CANARY not in written


def test_rows_of_repairs_hide_no_change_without_a_row() -> None:
    """The check counts the rows: those of repairs are none of changes."""
    done, written = oracle.carried_out(REPAIRED["in an item"][0], section())
    _, told = codec.write(done.parts, done.meta, done.body)
    lacking = replace(done, edits=tuple(edit for edit in done.edits if edit.rule != "test.yaml:6"))
    assert len(lacking.edits) < len(done.edits)
    with pytest.raises(Unfit, match="audit does not tell every change"):
        dataset.check(lacking, written, told)


def test_a_second_reader_must_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pydicom, "dcmread", lambda *_, **__: pydicom.Dataset())
    with pytest.raises(Unfit, match="another reader reads something else"):
        deid(REPAIRED["twice"][0])


# Private values that begin like items, and what is the matter with them
HIDDEN = {
    "as they should be": item(CONTENT),
    "implicit": item(BARE),
    "open item": item(CONTENT, UNDEFINED),
    "closed item": item(CONTENT, UNDEFINED) + ITEM_END,
    "a byte behind": item(CONTENT) + b"\0",
    "blanks behind": item(CONTENT) + b"    ",
    "many zeros behind": item(CONTENT) + bytes(22),
    "lengths too long": item(CONTENT, len(CONTENT) + 2) + item(CONTENT, len(CONTENT) + 2),
    "lengths too short": item(CONTENT, len(CONTENT) - 2),
    "lengths one off": item(CONTENT, len(CONTENT) + 1),
    "delimiters inside": item(CONTENT + ITEM_END) + SEQUENCE_END,
}


@pytest.mark.parametrize("vr", ["UN", "OB", "OW", "UT"])
@pytest.mark.parametrize("value", HIDDEN.values(), ids=HIDDEN)
def test_nothing_hides_in_a_private_value(vr: str, value: bytes) -> None:
    _, written = deid(file(PRIVATE + long_element(0x00091001, vr, value)))
    assert CANARY not in written
    assert CT.encode() in written[-1000:]
    assert vr == pydicom.dcmread(io.BytesIO(written)).get_item(0x00091001).VR
    assert len(pydicom.dcmread(io.BytesIO(written)).PixelData) == 128


@pytest.mark.parametrize("vr", ["OB", "OW"])
def test_nothing_hides_without_a_vr(vr: str) -> None:
    value = item(encode(INSIDE[:1], EXPLICIT) + encode(INSIDE[1:], IMPLICIT))
    _, written = deid(file(PRIVATE + long_element(0x00091001, vr, value)))
    assert CANARY not in written


@pytest.mark.parametrize("vr", ["UN", "OB"])
@pytest.mark.parametrize("value", HIDDEN.values(), ids=HIDDEN)
def test_nothing_hides_deep_in_private_values(vr: str, value: bytes) -> None:
    inner = item(PRIVATE + long_element(0x00091001, "OB", value))
    _, written = deid(file(PRIVATE + long_element(0x00091002, vr, inner)))
    assert CANARY not in written


@pytest.mark.parametrize("vr", ["UN", "OB", "OW"])
@pytest.mark.parametrize("name", ["as they should be", "lengths too short", "delimiters inside", "closed item"])
def test_nothing_hides_where_no_length_is_told(vr: str, name: str) -> None:
    value = HIDDEN[name].removesuffix(SEQUENCE_END) + SEQUENCE_END
    _, written = deid(file(PRIVATE + long_element(0x00091001, vr, value, UNDEFINED)))
    assert CANARY not in written


@pytest.mark.parametrize("value", HIDDEN.values(), ids=HIDDEN)
def test_nothing_hides_in_an_implicit_file(value: bytes) -> None:
    private = encode((text(0x00090010, "LO", "ZZ CREATOR"),), IMPLICIT)
    _, written = deid(file(private + long_element(0x00091001, "UN", value, syntax=IMPLICIT), IMPLICIT))
    assert CANARY not in written


@pytest.mark.parametrize("vr", ["OB", "LO", "UT"])
@pytest.mark.parametrize("value", HIDDEN.values(), ids=HIDDEN)
def test_nothing_hides_in_a_public_sequence_with_another_vr(vr: str, value: bytes) -> None:
    rows, written = deid(file(encode((Leaf(REFERENCED, vr, value),), EXPLICIT)))
    assert CANARY not in written
    assert rows[0] == "(0008,1140) repaired: sequence with another VR"
    assert pydicom.dcmread(io.BytesIO(written)).ReferencedImageSequence[0].ReferencedSOPClassUID == CT


def test_nothing_hides_in_a_big_endian_file() -> None:
    inside = encode(INSIDE, BIG)
    private = encode((text(0x00090010, "LO", "ZZ CREATOR"),), BIG)
    _, written = deid(file(private + long_element(0x00091001, "OB", item(inside, None, "big"), syntax=BIG), BIG))
    assert CANARY not in written


def test_nothing_hides_in_an_element_that_nobody_knows() -> None:
    _, written = deid(file(long_element(0x00087777, "OB", item(CONTENT))))
    assert CANARY not in written


UNREADABLE = {
    "cut inside": item(CONTENT[:-4]),
    "text between": item(CONTENT) + b"text" + item(CONTENT),
    "no element": item(b"any bytes that are none of a data set, " + CANARY),
}


@pytest.mark.parametrize("vr", ["UN", "OB"])
@pytest.mark.parametrize("value", UNREADABLE.values(), ids=UNREADABLE)
def test_what_cannot_be_read_as_items_goes_or_refuses(vr: str, value: bytes) -> None:
    src = file(PRIVATE + long_element(0x00091001, vr, value))
    with pytest.raises(Unfit, match=r"\(0009,1001\).*begins like a sequence.*remove"):
        deid(src)
    assert CANARY not in deid(src, private=True)[1]
    nested = file(long_element(REFERENCED, "SQ", item(PRIVATE + long_element(0x00091001, vr, value))))
    with pytest.raises(Unfit, match=r"\(0008,1140\)\[0\]\(0009,1001\).*begins like a sequence"):
        deid(nested)
    assert CANARY not in deid(nested, private=True)[1]


@pytest.mark.parametrize(
    "value", [b"\xfe\xff\x00\xe0no sequence", b"\xfe\xff\x00\xe0", b"\xfe\xff\x00\xe0\0\x10\0\0 far"]
)
def test_what_only_begins_with_four_such_bytes_is_a_value(value: bytes) -> None:
    src = file(PRIVATE + long_element(0x00091001, "OB", value + b"\0" * (len(value) % 2)))
    assert oracle.unedited(src) == src


@pytest.mark.parametrize("vr", ["CS", "LO", "OB", "UT"])
def test_a_value_without_items_stays_where_a_sequence_is_due(vr: str) -> None:
    src = file(encode((Leaf(REFERENCED, vr, b"READABLE"),), EXPLICIT))
    assert oracle.unedited(src) == src
    assert deid(src)[0] == []


MORE = (text(0x00081030, "LO", "one"), text(0x00081030, "LO", "two"))
REFUSED = {
    "differs": (file(encode(MORE, EXPLICIT)), r"\(0008,1030\) stands twice"),
    "differs far away": (file(encode(MORE[:1], EXPLICIT), after=(*PIXELS[:3], MORE[1], PIXELS[3])), r"\(0008,1030\) stands"),
    "differs in an item": (file(long_element(REFERENCED, "SQ", item(encode(MORE, EXPLICIT)))), r"\[0\]\(0008,1030\) stands"),
    "block of two": (file(PRIVATE + encode((text(0x00090010, "LO", "ZZ OTHER"),), EXPLICIT)), r"\(0009,0010\) stands twice"),
    "cut value": (file(PRIVATE + element(0x00091001, b"??", b"abcd"))[:-9], r"\(7FE0,0010\) runs past the end"),
    "cut fragment": (fragments(b"", JPEG_FRAME)[:-20], r"\(7FE0,0010\)"),
    "cut image": (fragments(b"", JPEG_FRAME[:40]), r"\(7FE0,0010\)"),
    "no fragment": (fragments(b""), r"\(7FE0,0010\)"),
    "text behind fragments": (fragments(b"", JPEG_FRAME, end=b"text, no delimiter"), r"\(7FE0,0010\)"),
    "junk between items": (
        file(long_element(REFERENCED, "SQ", item(CONTENT) + b"junk and more" + item(CONTENT))),
        r"\(0008,1140\): something else stands where an item is due",
    ),
    "sequence that is cut": (
        file(long_element(REFERENCED, "SQ", item(CONTENT, UNDEFINED), UNDEFINED), after=()), r"\(0008,1140\)",
    ),
    "hidden and cut": (
        file(long_element(REFERENCED, "OB", item(CONTENT[:-4]))), r"\(0008,1140\).*",
    ),
    "hidden behind text": (file(long_element(REFERENCED, "OB", b"text" + item(CONTENT))), r"\(0008,1140\): something else"),
    "implausible": (file(element(0x12345678, b"??", b"abcd")), r"\(1234,5678\) has no known VR"),
    "zeros": (file(encode(PIXELS[:3], EXPLICIT) + bytes(8), after=PIXELS[3:]), r"zeros (stand|follow)"),
    "zeros, implicit": (
        file(encode(PIXELS[:3], IMPLICIT) + bytes(8), IMPLICIT, PIXELS[3:]), r"zeros (stand|follow)",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("src", "message"), REFUSED.values(), ids=REFUSED)
def test_it_is_refused_with_place_and_remedy(src: bytes, message: str) -> None:
    with pytest.raises(Unfit, match=message) as caught:
        deid(src)
    assert "pydicom" not in str(caught.value)
    assert "Error" not in str(caught.value)
    assert CANARY.decode() not in str(caught.value)
    assert isinstance(caught.value, Malformed) or "dcmconv" in str(caught.value)


def test_two_readings_that_both_fit_refuse() -> None:
    """With a short length it is empty, and another follows; with a long one, that is its value."""
    with pytest.raises(Unfit, match=r"\(0009,1001\) can be read in two ways.*dcmconv"):
        deid(file(PRIVATE + both(1)))


def both(number: int) -> bytes:
    """Return an element of nine bytes, or one of none before another."""
    return element(0x00091000 + number, b"ZZ", b"") + b"\x09\0\0\0LO\x05\0ABCDE"


def test_many_ways_come_to_an_end() -> None:
    odd = b"".join(map(both, range(1, 60)))
    with pytest.raises(Unfit, match=r"too many ways.*dcmconv"):
        deid(file(PRIVATE + odd + b"no element at all"))


def frames(count: int, *pieces: bytes) -> bytes:
    told = (*IDENTITY[:3], text(0x00280008, "IS", str(count)), *PIXELS[:3])
    pixels = header(0x7FE00010, "OB", UNDEFINED, JPEG) + b"".join(map(item, (b"", *pieces)))
    return part10((), JPEG, after=encode(told, JPEG) + pixels)


def test_fragments_without_an_end_must_be_all() -> None:
    rle = (1).to_bytes(4, "little") + (64).to_bytes(4, "little") + bytes(56) + b"\x01ab"
    for frame in (JPEG_FRAME, rle):
        assert deid(frames(2, frame, frame))[0]
        with pytest.raises(Unfit, match=r"\(7FE0,0010\)"):
            deid(frames(2, frame))
    with pytest.raises(Unfit, match=r"\(7FE0,0010\)"):
        deid(frames(1, b"of a kind that nobody knows here"))


def test_what_is_repaired_inflates_within_limits() -> None:
    bomb = part10(
        (), EXPLICIT, meta=file_meta(meta_of(DEFLATED)), after=deflate(encode(MORE, EXPLICIT) + bytes(200 << 20))
    )
    with pytest.raises(Beyond, match="beyond the limit 'inflated'"):
        oracle.opened(bomb)


def test_page_and_table_say_the_same() -> None:
    page = (ROOT / "docs" / "repairs.md").read_text(encoding="utf-8")
    listed = re.findall(r"^\| `([^`]+)` \|", page, re.MULTILINE)
    assert listed == list(dict.fromkeys((*meta.WORDS, *(row.words for row in readings.READINGS))))


@pytest.mark.parametrize("syntax", [EXPLICIT, IMPLICIT, BIG, JPEG], ids=["explicit", "implicit", "big", "jpeg"])
@settings(strategies.PROFILE, max_examples=60)
@given(data=st.data())
def test_plain_data_sets_have_one_reading(syntax: Syntax, data: Any) -> None:
    body = encode(data.draw(strategies.documents(syntax)), syntax)
    src = part10((), syntax, after=body)
    start = len(src) - len(body)
    made = data_set(src, start, wire.Encoding(syntax.explicit, syntax.little))
    assert (made.data + made.rest, made.fixes) == (body, ())


# -- other readers -------------------------------------------------------------------------------------

DCMDUMP = shutil.which("dcmdump")
needs_dcmdump = pytest.mark.skipif(DCMDUMP is None, reason="dcmdump (dcmtk) is not installed")


def dumped(path: Path) -> list[str]:
    """Return the tags that dcmdump sees, wherever they stand, without delimiters and file meta; the private as well."""
    done = subprocess.run([str(DCMDUMP), "-q", str(path)], capture_output=True, check=False)
    found = re.findall(rb"^ *\(([0-9a-f]{4},[0-9a-f]{4})\)", done.stdout, re.MULTILINE)
    return sorted(tag.decode() for tag in found if not tag.startswith((b"fffe", b"0002", b"0000")))


@needs_dcmdump
@pytest.mark.parametrize("src", [src for src, _ in REPAIRED.values()], ids=REPAIRED)
def test_nothing_is_lost_that_dcmdump_sees(src: bytes, tmp_path: Path) -> None:
    before, after = tmp_path / "before.dcm", tmp_path / "after.dcm"
    before.write_bytes(src)
    after.write_bytes(oracle.unedited(src))
    there, now = Counter(dumped(before)), Counter(dumped(after))
    if src in (REPAIRED["twice"][0], REPAIRED["creator twice"][0]):
        there = Counter(set(there))
    assert not there - now
    assert now


def test_a_plain_file_is_not_repaired(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(codec, "_mended", lambda *_: pytest.fail("it was asked for"))
    src = part10(WHOLE, EXPLICIT)
    assert oracle.unedited(src) == src
