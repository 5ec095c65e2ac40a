"""Scanner, splicer and the file around them: the same bytes back, and nothing but Unfit for damaged ones."""

from __future__ import annotations

import zlib
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fw_gear_deid.formats.dicom import part10 as codec
from fw_gear_deid.formats.dicom import values, walk, wire
from fw_gear_deid.model.errors import Beyond, Malformed, Odd, Unfit
from tests import oracle, strategies
from tests.dicom_files import (
    CT,
    IDENTITY,
    SYNTAXES,
    UNDEFINED,
    Fragments,
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
    sample,
    text,
)
from tests.oracle import Change

EXPLICIT, IMPLICIT, BIG, DEFLATED, JPEG = SYNTAXES.values()
syntaxes = pytest.mark.parametrize("syntax", [pytest.param(syntax, id=name) for name, syntax in SYNTAXES.items()])


def try_all(data: bytes) -> bytes | None:
    """Read every element and write the file with a change; None when it is refused."""
    try:
        parts = oracle.opened(data)
    except Unfit:
        return None
    for src, level in ((parts.src, parts.meta), (parts.body_src, parts.body)):
        for _, one in oracle.places(level):
            try:
                if one.items is None:
                    values.decode(src[one.value : one.end], one.want.vr, (), little=level.place.encoding.little)
            except Unfit:
                pass
    if parts.body.doubts:
        return None
    done, written = oracle.edited(data, [Change((), 0x00100010)])
    assert "(0010,0010)" in [edit.path for edit in done.edits] or done.matched <= {0, 1, 2}
    try:
        oracle.opened(written)
    except Malformed:
        assert done.parts.body.end == done.parts.body.start or not body_of(written)
        return None
    return written


def body_of(data: bytes) -> bytes:
    """Return what follows the file meta."""
    meta = walk.Walker(data).meta(oracle.Everything(wire.EXPLICIT_LITTLE), 132 if data[128:132] == b"DICM" else 0)
    return data[meta.end :]


# -- nothing asked, nothing changed --------------------------------------------------------------------


@syntaxes
@settings(strategies.PROFILE, max_examples=60)
@given(data=st.data())
def test_no_edit_changes_no_byte(syntax: Syntax, data: Any) -> None:
    src = part10(data.draw(strategies.documents(syntax, shuffled=True)), syntax)
    assert oracle.opened(src).src is src  # pydicom was not asked
    assert oracle.unedited(src) == src


def test_preamble_is_cleaned() -> None:
    dirty = part10(IDENTITY, EXPLICIT, preamble=b"ZZCANARY".ljust(128, b"\x01"))
    assert oracle.unedited(dirty) == part10(IDENTITY, EXPLICIT)


def test_file_without_prefix() -> None:
    body = encode(IDENTITY, EXPLICIT)
    assert oracle.unedited(body) == body
    assert oracle.unedited(file_meta(meta_of(EXPLICIT)) + body) == file_meta(meta_of(EXPLICIT)) + body
    with pytest.raises(Unfit, match="not DICOM"):
        oracle.opened(encode(IDENTITY[3:4], EXPLICIT))
    with pytest.raises(Unfit, match="not DICOM"):
        oracle.opened(body + b"\0" * 7)


@pytest.mark.parametrize(
    "length", [b"", encode([Leaf(0x00020000, "UL", b"\x07\0\0\0")], EXPLICIT)], ids=["none", "lies"]
)
def test_meta_length_is_made_right(length: bytes) -> None:
    src = part10(IDENTITY, EXPLICIT, meta=length + encode(meta_of(EXPLICIT), EXPLICIT))
    assert oracle.unedited(src) == part10(IDENTITY, EXPLICIT)


def test_meta_length_follows_edits() -> None:
    changes = [Change((), 0x00020016, "AE", ("ZZ_AE",)), Change((), 0x00020003)]
    _, written = oracle.edited(part10(IDENTITY, EXPLICIT), changes)  # the instance UID follows that of the data set
    assert written == part10(IDENTITY, EXPLICIT, meta=file_meta((*meta_of(EXPLICIT), text(0x00020016, "AE", "ZZ_AE"))))


@pytest.mark.parametrize(
    "node",
    [
        Leaf(0x00020000, "UL", b""), Leaf(0x00020000, "UL", bytes(8)), Leaf(0x00020000, "OB", bytes(4)),
        Leaf(0x00020000, "LO", b"ab"), Leaf(0x00020000, "SQ"),
    ],
    ids=["empty", "two", "OB", "LO", "SQ"],
)  # fmt: skip
@pytest.mark.parametrize("meta", [meta_of(EXPLICIT), ()], ids=["meta", "alone"])
def test_meta_length_that_is_no_number(node: Node, meta: tuple[Node, ...]) -> None:
    with pytest.raises(Odd):
        oracle.opened(part10(IDENTITY, EXPLICIT, meta=encode([node, *meta], EXPLICIT)))


# -- bytes after the last element ----------------------------------------------------------------------


@pytest.mark.parametrize("syntax", [EXPLICIT, IMPLICIT, BIG, DEFLATED, JPEG], ids=SYNTAXES)
@pytest.mark.parametrize("tail", [b"ZZCANARY after the end", b"\0" * 11, b"Z"])
def test_bytes_after_the_pixels_are_dropped(syntax: Syntax, tail: bytes) -> None:
    src = part10(sample(syntax), syntax, after=tail)
    assert oracle.opened(src).trailing == len(tail)
    assert oracle.unedited(src) == part10(sample(syntax), syntax)


def test_only_zeros_may_follow_where_no_pixels_are() -> None:
    report = (text(0x00080016, "UI", "1.2.840.10008.5.1.4.1.1.88.11"), *IDENTITY[1:], Seq(0x0040A730, (Item(),)))
    assert oracle.unedited(part10(report, EXPLICIT, after=bytes(300))) == part10(report, EXPLICIT)
    with pytest.raises(Unfit):
        oracle.opened(part10(report, EXPLICIT, after=b"ZZCANARY after the end"))


def test_bytes_after_a_deflated_stream_do_not_stay() -> None:
    """image_dfl.dcm of pydicom has a gzip trailer there; a name would stay, too."""
    for nodes in (sample(DEFLATED), IDENTITY):
        src = part10(nodes, DEFLATED)
        parts = oracle.opened(src + b"ZZCANARY")
        assert parts.body_src[parts.body.end :].strip(b"\0") == b"ZZCANARY"
        assert parts.trailing == len(parts.body_src) - parts.body.end
        assert oracle.unedited(src + b"ZZCANARY") == src


def test_bytes_after_a_deflated_stream_complete_nothing() -> None:
    cut = encode(sample(DEFLATED), DEFLATED)[:-10]
    with pytest.raises(Malformed, match="runs past the end"):
        oracle.opened(part10((), EXPLICIT, meta=file_meta(meta_of(DEFLATED)), after=deflate(cut) + b"ZZCANARY 12345"))


# -- encodings that lie --------------------------------------------------------------------------------


def test_sequence_as_un_in_a_big_endian_file() -> None:
    """Its delimiter is little endian, as all that is inside (PS3.5 §6.2.2)."""
    nodes = (*IDENTITY[:2], Seq(0x00081140, (Item(IDENTITY[:1], undefined=True),), undefined=True, vr="UN"))
    changes = [Change(((0x00081140, 0),), 0x00081155, "UI", ("1.2.3",))]
    done, written = oracle.edited(part10(nodes, BIG), changes)
    assert written == part10(oracle.after(nodes, changes[0], BIG), BIG)
    oracle.check(done, written)


@pytest.mark.parametrize("undefined", [True, False])
def test_empty_un_before_an_item(undefined: bool) -> None:
    """What follows an empty value is not its first item."""
    empty = Item((text(0x00080016, "UI", CT), Leaf(0x00080070, "UN")))
    parts = oracle.opened(part10((*IDENTITY, Seq(0x0040A730, (empty, Item(IDENTITY)), undefined)), EXPLICIT))
    (first, _) = parts.body.found[-1].items or ()
    (_, one) = first.found
    assert one.items is None
    assert one.value == one.end


@pytest.mark.parametrize("vr", ["LO", "UT", "DA", "FL"])
def test_length_that_spells_a_vr(vr: str) -> None:
    """An implicit VR element of 0x4F4C bytes starts like one of VR LO."""
    value = b"7" * int.from_bytes(vr.encode(), "little")
    top = (Leaf(0x00080008, "CS", value), *IDENTITY)
    nested = (*IDENTITY, Seq(0x0040A730, (Item((Leaf(0x0040A160, "UT", value),)), Item(IDENTITY))))
    for nodes in (top, nested):
        src = part10(nodes, IMPLICIT)
        assert oracle.unedited(src) == src
        assert not oracle.opened(src).body.place.encoding.explicit


@pytest.mark.parametrize("claimed", [EXPLICIT, IMPLICIT, JPEG], ids=["explicit", "implicit", "jpeg"])
@pytest.mark.parametrize("real", [EXPLICIT, IMPLICIT], ids=["is-explicit", "is-implicit"])
def test_vr_on_the_wire_is_seen_not_believed(claimed: Syntax, real: Syntax) -> None:
    nodes = sample(real)
    src = part10(nodes, real, meta=file_meta(meta_of(claimed)))
    assert oracle.unedited(src) == src
    nodes = nodes[1:]  # group lengths go
    change = Change(((0x00081140, 0),), 0x00081155, "UI", ("1.2.3.4",))
    _, written = oracle.edited(src, [change])
    assert written == part10(oracle.after(nodes, change, real), real, meta=file_meta(meta_of(claimed)))


def test_explicit_file_that_claims_to_be_implicit() -> None:
    """Seen also by a first element whose end is not told, and not by one that is cut off."""
    nodes = (Seq(0x00080006, (Item(IDENTITY),), undefined=True), *IDENTITY)
    src = part10(nodes, EXPLICIT, meta=file_meta(meta_of(IMPLICIT)))
    assert oracle.opened(src).body.place.encoding.explicit
    assert oracle.unedited(src) == src
    with pytest.raises(Unfit):
        oracle.opened(part10((), IMPLICIT, after=header(0x00080006, "OB", 0, EXPLICIT)[:-2]))


def test_explicit_items_in_an_implicit_file() -> None:
    items = encode(sample(EXPLICIT)[1:3], EXPLICIT)
    body = encode(IDENTITY[:2], IMPLICIT) + header(0x00081140, "SQ", len(items) + 8, IMPLICIT)
    src = part10((), IMPLICIT, after=body + b"\xfe\xff\x00\xe0" + len(items).to_bytes(4, "little") + items)
    item = (oracle.opened(src).body.found[-1].items or [])[0]
    assert item.place.encoding.explicit
    assert {one.want.tag for one in item.found} == {0x00080016, 0x00080018}
    assert oracle.unedited(src) == src


def test_encapsulated_pixels_in_an_implicit_file() -> None:
    """SC_rgb_jpeg.dcm of pydicom says JPEG and is implicit VR."""
    src = part10((*IDENTITY, Fragments((b"", b"\xff\xd8\xff\xd9"), vr="OW")), IMPLICIT)
    assert oracle.unedited(src) == src


# -- limits --------------------------------------------------------------------------------------------


def nested(depth: int, *, undefined: bool, vr: str) -> Node:
    node: Node = IDENTITY[0]
    for _ in range(depth):
        node = Seq(0x0040A730, (Item((node,), undefined),), undefined, vr)
    return node


@pytest.mark.parametrize("undefined", [True, False])
@pytest.mark.parametrize("vr", ["SQ", "UN"])
def test_depth_has_a_limit(undefined: bool, vr: str) -> None:
    fits = part10((*IDENTITY, nested(walk.MAX_DEPTH, undefined=undefined, vr=vr)), EXPLICIT)
    assert oracle.unedited(fits) == fits
    with pytest.raises(Unfit, match="deeper"):
        oracle.opened(part10((*IDENTITY, nested(walk.MAX_DEPTH + 1, undefined=undefined, vr=vr)), EXPLICIT))


def test_inflating_has_a_limit() -> None:
    body = zlib.compressobj(9, zlib.DEFLATED, -15)
    bomb = b"".join(body.compress(bytes(1 << 20)) for _ in range(100)) + body.flush()
    with pytest.raises(Beyond, match="beyond the limit 'inflated'"):
        oracle.opened(part10((), EXPLICIT, meta=file_meta(meta_of(DEFLATED)), after=bomb))


@pytest.mark.parametrize(
    ("node", "message"),
    [
        (header(0x00100020, "LO", 60000, EXPLICIT) + b"short", "runs past the end"),
        (header(0x00100020, "UT", 0xFFFFFFFE, EXPLICIT) + b"short", "runs past the end"),
        (header(0x00081140, "SQ", UNDEFINED, EXPLICIT), "has no end"),
        (header(0x00081140, "SQ", 8, EXPLICIT) + b"\xfe\xff\x00\xe0\x09\0\0\0", "runs past the end"),
        (header(0x00081140, "SQ", 4, EXPLICIT) + b"\xfe\xff\x00\xe0", "has no end"),
        (header(0x7FE00010, "OB", UNDEFINED, EXPLICIT) + b"\xfe\xff\x00\xe0\xff\xff\xff\xff", "have no end"),
        (header(0x7FE00010, "OB", UNDEFINED, EXPLICIT) + b"\xfe\xff\x00\xe0\x02\0\0\0", "have no end"),
        (header(0x00100020, "LO", 4, EXPLICIT)[:7], "cut off"),
        (header(0x00104000, "LT", 0, EXPLICIT)[:4] + b"UT\0\0", "cut off"),
    ],
)
def test_lengths_that_lie(node: bytes, message: str) -> None:
    with pytest.raises(Unfit, match=message):
        oracle.opened(part10(IDENTITY[:2], EXPLICIT, after=node))


@pytest.mark.parametrize("undefined", [True, False])
def test_element_that_swallows_the_next_item(undefined: bool) -> None:
    """It runs past its own item, and ends where another would begin."""
    second = item_of(encode(IDENTITY, EXPLICIT))
    first = item_of(header(0x00100020, "LO", 20 + len(second), EXPLICIT) + b"Z" * 20)
    end = b"\xfe\xff\xdd\xe0\0\0\0\0" if undefined else b""
    length = UNDEFINED if undefined else len(first + second)
    src = part10(IDENTITY[:2], EXPLICIT, after=header(0x0040A730, "SQ", length, EXPLICIT) + first + second + end)
    with pytest.raises(Malformed, match=r"\(0010,0020\) runs past the end"):
        oracle.opened(src)


def item_of(content: bytes) -> bytes:
    return b"\xfe\xff\x00\xe0" + len(content).to_bytes(4, "little") + content


def test_no_data_set() -> None:
    for syntax in SYNTAXES.values():
        with pytest.raises(Malformed, match=r"is empty|cut off"):
            oracle.opened(part10((), syntax))


@pytest.mark.parametrize(
    "node",
    [
        b"\x00\x00\x00\x00UL\x04\x00abcd",
        b"\x02\x00\x10\x00UI\x04\x001.2\x00",
        b"\xfe\xff\x0d\xe0\0\0\0\0" + encode(IDENTITY[3:], EXPLICIT),
        b"\xfe\xff\xdd\xe0\0\0\0\0" + encode(IDENTITY[3:], EXPLICIT),
        header(0x00100020, "ZZ", 4, EXPLICIT) + b"abcd",
        header(0x00100020, "UN", UNDEFINED, EXPLICIT)[:4] + b"OB\0\0\xff\xff\xff\xffabcdefgh",
        header(0x00081140, "SQ", 8, EXPLICIT) + b"\x10\0\x10\0PN\0\0",
    ],
    ids=["group 0", "group 2", "item end", "sequence end", "VR", "no fragments", "no items"],
)
def test_what_has_no_place_in_a_data_set(node: bytes) -> None:
    data = part10(IDENTITY[:2], EXPLICIT, after=node)
    with pytest.raises(Odd):
        codec.read_plain(data, oracle.Everything(wire.EXPLICIT_LITTLE), oracle.Everything)


def test_value_too_long_for_its_vr() -> None:
    src = part10((*IDENTITY, text(0x00104000, "LT", "Z")), EXPLICIT)
    fits = ("Z" * 0xFFFE,)
    assert wire.header(0x00104000, "LT", wire.EXPLICIT_LITTLE, len(fits[0]))
    with pytest.raises(Unfit, match="too long"):
        oracle.edited(src, [Change((), 0x00100020, "LO", ("Z" * 60,) * 2000)])


def test_new_elements_take_their_place() -> None:
    """Before the first of a higher tag, also in a file that is out of order."""
    nodes = (IDENTITY[4], IDENTITY[0], text(0x00200010, "SH", "1"))
    new = [Change((), tag, "LO", ("Z",)) for tag in (0x00100040, 0x00080070, 0x00321030)]
    _, written = oracle.edited(part10(nodes, EXPLICIT), new)
    got = [one.want.tag for one in oracle.opened(written).body.found]
    assert got == [0x00080070, 0x00100020, 0x00080016, 0x00100040, 0x00200010, 0x00321030]


# -- damaged files -------------------------------------------------------------------------------------


@syntaxes
def test_cut_at_every_byte(syntax: Syntax) -> None:
    src = part10(sample(syntax), syntax)
    parsed = {end for end in range(len(src)) if try_all(src[:end]) is not None}
    if syntax is DEFLATED:
        assert parsed <= {len(src) - 1}  # the padding
        return
    # before its pixels a file may end after any element of the top level, and zeros may follow
    may_end = set()
    for el in oracle.opened(src).body.found:
        zeros = len(src[el.end : el.end + 8]) - len(src[el.end : el.end + 8].lstrip(b"\0"))
        may_end |= set(range(el.end, el.end + zeros + 1))
    assert parsed <= may_end
    assert len(parsed) > 20


@syntaxes
@pytest.mark.parametrize(
    "damage",
    [bytes(255 - byte for byte in range(256)), bytes(byte ^ 1 for byte in range(256)), bytes(256)],
    ids=["not", "bit", "zero"],
)
def test_every_byte_damaged(syntax: Syntax, damage: bytes) -> None:
    src = part10(sample(syntax), syntax)
    for at in range(128, len(src)):
        try_all(src[:at] + damage[src[at] : src[at] + 1] + src[at + 1 :])


@syntaxes
@settings(strategies.PROFILE, max_examples=60)
@given(data=st.data())
def test_chance_damage(syntax: Syntax, data: Any) -> None:
    src = bytearray(part10(data.draw(strategies.documents(syntax)), syntax))
    for at in data.draw(st.lists(st.integers(132, len(src) - 1), min_size=1, max_size=4)):
        src[at] = data.draw(st.sampled_from((0, 1, 0x20, 0x7F, 0x80, 0xFE, 0xFF)))
    end = data.draw(st.one_of(st.just(len(src)), st.integers(0, len(src))))
    try_all(bytes(src[:end]))


@settings(strategies.PROFILE, max_examples=150)
@given(tail=st.binary(max_size=60))
def test_garbage(tail: bytes) -> None:
    for start in (
        b"",
        part10((), EXPLICIT)[:132],
        part10((), EXPLICIT),
        part10((text(0x00080016, "UI", CT),), IMPLICIT),
    ):
        try_all(start + tail)
