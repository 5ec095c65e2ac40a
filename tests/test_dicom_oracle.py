"""Two opinions on every edit: pydicom's, and the checks that a result must pass before it may leave."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pydicom.data
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fw_gear_deid.formats.dicom import part10 as codec
from fw_gear_deid.formats.dicom.draft import Draft
from fw_gear_deid.model.dictionary import is_private
from fw_gear_deid.model.errors import Unfit
from fw_gear_deid.verify import dicom as verify
from tests import oracle, strategies
from tests.dicom_files import (
    CT,
    IDENTITY,
    LONG_VRS,
    PIXELS,
    SYNTAXES,
    UID,
    Fragments,
    Item,
    Leaf,
    Node,
    Seq,
    Syntax,
    file_meta,
    meta_of,
    part10,
    sample,
    text,
)
from tests.oracle import Change

EXPLICIT, IMPLICIT, BIG, DEFLATED, JPEG = SYNTAXES.values()
syntaxes = pytest.mark.parametrize("syntax", [pytest.param(syntax, id=name) for name, syntax in SYNTAXES.items()])

# -- edits ---------------------------------------------------------------------------------------------


@syntaxes
@settings(strategies.PROFILE, max_examples=120)
@given(data=st.data())
def test_edits(syntax: Syntax, data: Any) -> None:
    """What rules did stands in the file, and nothing else moved: to the last byte, and as pydicom would have it."""
    nodes = data.draw(strategies.documents(syntax))
    changes = data.draw(strategies.changes(nodes, syntax))
    src = part10(nodes, syntax)
    draft = codec.read(src)
    # pydicom takes what stands as UN for big endian in a big endian file
    readable = syntax.little or not strategies.has_un_sequence(nodes)
    oracle.apply(draft, changes)
    got = oracle.written(draft)
    for change in changes:
        nodes = oracle.after(nodes, change, syntax)
    assert got == part10(nodes, syntax)
    if readable:
        assert oracle.differences(oracle.changed(src, changes), got) == []
        different = {line.split(" ")[0] for line in oracle.differences(oracle.read(src), got)}
        audited = tuple(oracle.path_of(ds, tag) for ds, tag, _, _ in draft.changes())
        assert all(path.startswith(audited) for path in different)  # nothing behind the audit's back
    verify.check(draft, got)
    assert len(list(draft.edits())) == len(list(draft.changes()))


@pytest.mark.parametrize(
    "change",
    [
        Change((), 0x00100020, "LO", ("ANOTHER",)),
        Change((), 0x00100020),
        Change((), 0x00101000, "LO", ("NEW",)),
        Change(((0x00081140, 1),), 0x00081155, "UI", ("1.2.3",)),
        Change(((0x00081199, 0), (0x00081140, 0)), 0x00081150),
        Change(((0x00091003, 0),), 0x00100010, "PN", ("NEW^NAME",)),
        Change((), 0x00081140, "SQ", ()),
        Change(((0x00081115, 2),), 0x0020000E, "UI", ("1.2.3",)),
        Change((), 0x00020016, "AE", ("ZZ",)),
        Change((), 0x00020003),
    ],
)
def test_oracle_sees_every_change(change: Change) -> None:
    """An oracle that calls everything equal would agree with anybody."""
    src = part10(sample(EXPLICIT), EXPLICIT)
    assert oracle.differences(oracle.read(src), src) == []
    assert len(oracle.differences(oracle.changed(src, [change]), src)) == 1


def test_remove_and_put_back() -> None:
    src = part10(IDENTITY, EXPLICIT)
    draft = codec.read(src)
    oracle.apply(draft, [Change((), 0x00100020), Change((), 0x00100020, "LO", ("ZZCANARY7F3A",))])
    assert oracle.written(draft) == src
    assert list(draft.edits()) == []
    oracle.apply(draft, [Change((), 0x00100030, "DA", ("19700101",)), Change((), 0x00100030)])
    assert oracle.written(draft) == src
    assert list(draft.edits()) == []


def test_what_is_no_sequence_has_no_items() -> None:
    draft = codec.read(part10(sample(EXPLICIT), EXPLICIT))
    for tag in (0x00100020, 0x00091002, 0x7FE00010):
        with pytest.raises(Unfit, match="is no sequence"):
            draft.item(draft.body, tag, 0, "replace-with", "test")
    with pytest.raises(Unfit, match="cannot take a value"):
        draft.put(draft.body, 0x00081140, "SQ", ("text",), "replace-with", "test")


def test_sequence_emptied_after_an_edit_inside() -> None:
    draft = codec.read(part10(sample(EXPLICIT), EXPLICIT))
    oracle.apply(draft, [Change(((0x00081140, 0),), 0x00081155), Change((), 0x00081140, "SQ", ())])
    assert [edit.path for edit in draft.edits()] == ["(0008,1140)"]


@pytest.mark.parametrize("syntax", [EXPLICIT, IMPLICIT], ids=["explicit", "implicit"])
def test_private_sequence_that_does_not_parse_is_emptied(syntax: Syntax) -> None:
    """The private dictionary says SQ, the bytes are none; ``replace-with: ''`` must not leave them."""
    private = (Leaf(0x00710010, "LO", b"AGFA-AG_HPState "), Leaf(0x00711018, "UN", b"ZZ^CANARY no sequence!"))
    draft = codec.read(part10((*IDENTITY, *private), syntax))
    el = draft.body.elements[0x00711018]
    assert draft.vr(el) == "SQ"
    draft.put(draft.body, el.tag, "SQ", ("",), "replace-with", "test")
    assert b"CANARY no sequence" not in oracle.written(draft)


# -- verification --------------------------------------------------------------------------------------

DONE = [
    Change((), 0x00100010, "PN", ("ZZ^NEW",)),
    Change((), 0x00100020),
    Change((), 0x00120062, "CS", ("YES",)),
    Change(((0x00081140, 0),), 0x00081155, "UI", ("1.2.3",)),
    Change(((0x00081199, 0), (0x00081140, 0)), 0x00081150),
    Change((), 0x00091004, "SQ", ()),
]
Damage = Callable[[tuple[Node, ...]], tuple[Node, ...]]


def put(node: Node) -> Damage:
    """Replace the element of its tag, or add it at its place."""
    return lambda nodes: oracle._with(nodes, node)


def drop(tag: int) -> Damage:
    return lambda nodes: tuple(node for node in nodes if node.tag != tag)


def inside(tag: int, index: int, damage: Damage) -> Damage:
    """Damage an item of a sequence."""

    def damaged(nodes: tuple[Node, ...]) -> tuple[Node, ...]:
        node = next(node for node in nodes if node.tag == tag)
        assert isinstance(node, Seq)
        items = list(node.items)
        items[index] = replace(items[index], elements=damage(items[index].elements))
        return oracle._with(nodes, replace(node, items=tuple(items)))

    return damaged


def swap(nodes: tuple[Node, ...]) -> tuple[Node, ...]:
    return (nodes[1], nodes[0], *nodes[2:])


FLIPPED = PIXELS[:70] + bytes([PIXELS[70] ^ 1]) + PIXELS[71:]
ITEM = Item((text(0x00081150, "UI", CT),))
DAMAGES: dict[str, tuple[Damage, str]] = {
    "pixel lost": (drop(0x7FE00010), "the pixel data changed"),
    "removal undone": (put(IDENTITY[4]), r"\(0010,0020\) is still there"),
    "replacement undone": (put(IDENTITY[3]), r"\(0010,0010\) does not have its new value"),
    "replacement lost": (drop(0x00100010), r"\(0010,0010\) is missing"),
    "insertion lost": (drop(0x00120062), r"\(0012,0062\) is missing"),
    "nested replacement undone": (
        inside(0x00081140, 0, put(text(0x00081155, "UI", UID + ".7"))),
        r"\(0008,1140\)\[0\]\(0008,1155\) does not have its new value",
    ),
    "nested removal undone": (
        inside(0x00081199, 0, inside(0x00081140, 0, put(text(0x00081150, "UI", CT)))),
        r"\(0008,1199\)\[0\]\(0008,1140\)\[0\]\(0008,1150\) is still there",
    ),
    "nested in the wrong item": (
        lambda nodes: oracle._with(
            nodes, replace(nodes[4], items=nodes[4].items[::-1]) if isinstance(nodes[4], Seq) else nodes[4]
        ),
        r"\(0008,1140\)\[0\]\(0008,1155\) does not have its new value",
    ),
    "sequence filled again": (put(Seq(0x00091004, (ITEM,), vr="UN")), "another number of items"),
    "sequence emptied": (put(Seq(0x00081140)), "is missing"),
    "item added": (put(Seq(0x0040A730, (ITEM,), undefined=True)), "another number of items"),
    "element lost": (drop(0x00200013), "not those that should be there"),
    "element added": (put(text(0x00101000, "LO", "ZZ")), "not those that should be there"),
    "element changed": (put(Leaf(0x00180015, "CS", b"EVE")), r"\(0018,0015\) changed without a rule"),
    "element of another VR": (put(Leaf(0x00180015, "SH", b"ODD")), r"\(0018,0015\) (changed|has another VR)"),
    "padding added": (put(Leaf(0x00180015, "CS", b"ODD ")), r"\(0018,0015\) changed without a rule"),
    "private changed": (put(Leaf(0x00091001, "UN", b"private bytes, ODD")), "changed without a rule"),
    "nested changed": (
        inside(0x00081140, 1, put(text(0x00081155, "UI", "1.2"))),
        r"\(0008,1140\)\[1\]\(0008,1155\) changed without a rule",
    ),
    "nested lost": (inside(0x00081140, 1, drop(0x00081155)), "not those that should be there"),
    "order changed": (swap, "not those that should be there"),
    "nested order changed": (inside(0x00081140, 1, swap), "not those that should be there"),
    "new value of another VR": (put(text(0x00100010, "LO", "ZZ^NEW")), r"\(0010,0010\) has another VR"),
    "emptied sequence of another VR": (put(Leaf(0x00091004, "OB", b"ZZCANARY")), "has another VR"),
}


def good(syntax: Syntax) -> tuple[Draft, tuple[Node, ...]]:
    """Return a draft with changes, and what should come of it."""
    nodes = sample(syntax)
    src = part10(nodes, syntax)
    draft = codec.read(src)
    oracle.apply(draft, DONE)
    for change in DONE:
        nodes = oracle.after(nodes, change, syntax)
    assert oracle.written(draft) == part10(nodes, syntax)
    verify.check(draft, part10(nodes, syntax))
    return draft, nodes


@pytest.mark.parametrize("syntax", [EXPLICIT, BIG, DEFLATED, JPEG], ids=["explicit", "big", "deflated", "jpeg"])
@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_is_noticed(damage: str, syntax: Syntax) -> None:
    draft, nodes = good(syntax)
    harm, message = DAMAGES[damage]
    assert harm(nodes) != nodes
    with pytest.raises(Unfit, match=message):
        verify.check(draft, part10(harm(nodes), syntax))


@pytest.mark.parametrize("syntax", [EXPLICIT, IMPLICIT], ids=["explicit", "implicit"])
def test_bytes_in_an_emptied_sequence_are_noticed(syntax: Syntax) -> None:
    draft, nodes = good(syntax)
    with pytest.raises(Unfit):
        verify.check(draft, part10(put(Leaf(0x00091004, "UN", b"ZZCANARY"))(nodes), syntax))


@pytest.mark.parametrize(
    ("syntax", "pixels"),
    [
        (EXPLICIT, Leaf(0x7FE00010, "OW", FLIPPED)),
        (EXPLICIT, Leaf(0x7FE00010, "OW", PIXELS[:-2])),
        (IMPLICIT, Leaf(0x7FE00010, "OW", FLIPPED)),
        (BIG, Leaf(0x7FE00010, "OW", FLIPPED)),
        (DEFLATED, Leaf(0x7FE00010, "OW", FLIPPED)),
        (JPEG, Fragments((b"", FLIPPED[:60], FLIPPED[60:]))),
        (JPEG, Fragments((b"", PIXELS[:62], PIXELS[62:]))),
        (JPEG, Fragments((b"\0\0\0\0", PIXELS[:60], PIXELS[60:]))),
        (JPEG, Fragments((b"", PIXELS))),
        (JPEG, Leaf(0x7FE00010, "OB", PIXELS)),
    ],
)
def test_pixels_are_compared(syntax: Syntax, pixels: Node) -> None:
    draft, nodes = good(syntax)
    with pytest.raises(Unfit, match="the pixel data changed"):
        verify.check(draft, part10((*nodes[:-1], pixels), syntax))


def test_replaced_pixels_are_compared_too() -> None:
    draft, nodes = good(JPEG)
    draft.put_raw(draft.body, 0x7FE00010, "OB", b"\0\0", "remove", "test")
    verify.check(draft, part10((*nodes[:-1], Leaf(0x7FE00010, "OB", b"\0\0")), JPEG))
    for pixels in (nodes[-1], Leaf(0x7FE00010, "OB", b"\0\1")):
        with pytest.raises(Unfit, match="does not have its new value"):
            verify.check(draft, part10((*nodes[:-1], pixels), JPEG))


META = meta_of(EXPLICIT)
LONG = frozenset(vr.encode() for vr in LONG_VRS)


@pytest.mark.parametrize(
    ("around", "message"),
    [
        ({"preamble": b"Z".rjust(128, b"\0")}, "the preamble is not empty"),
        ({"after": b"ZZCANARY"}, "bytes follow the last element"),
        ({"after": b"\0"}, "bytes follow the last element"),
        ({"after": b"\xfc\xff\xfc\xffOB\0\0\4\0\0\0ZZZZ"}, "not those that should be there"),
        ({"meta": file_meta((*META[:2], text(0x00020003, "UI", "1.2"), META[3]))}, "is not SOPInstanceUID"),
        ({"meta": file_meta((*META[:2], META[3]))}, "is not SOPInstanceUID"),
        ({"meta": file_meta((META[0], text(0x00020002, "UI", "1.2"), *META[2:]))}, "changed without a rule"),
        ({"meta": file_meta((*META, text(0x00020016, "AE", "ZZ")))}, "not those that should be there"),
        ({"meta": file_meta(META[1:])}, "not those that should be there"),
        ({"meta": b""}, "not those that should be there"),
    ],
)
def test_what_stands_around_is_compared(around: dict[str, bytes], message: str) -> None:
    draft, nodes = good(EXPLICIT)
    with pytest.raises(Unfit, match=message):
        verify.check(draft, part10(nodes, EXPLICIT, **around))


def test_lost_prefix_is_noticed() -> None:
    draft, nodes = good(EXPLICIT)
    with pytest.raises(Unfit, match="prefix"):
        verify.check(draft, part10(nodes, EXPLICIT)[132:])


@syntaxes
def test_cut_result_is_noticed(syntax: Syntax) -> None:
    draft, nodes = good(syntax)
    data = part10(nodes, syntax)
    for end in range(0, len(data) - 1, 7):
        with pytest.raises(Unfit):
            verify.check(draft, data[:end])


@syntaxes
def test_every_changed_byte_is_noticed(syntax: Syntax) -> None:
    """But for the two reserved bytes of a long header, which mean nothing (PS3.5 §7.1.2)."""
    draft, nodes = good(syntax)
    data = part10(nodes, syntax)
    for at in range(len(data)):
        reserved = data[at] == 0 and LONG & {data[at - 2 : at], data[at - 3 : at - 1]}
        try:
            verify.check(draft, data[:at] + bytes([data[at] ^ 0xFF]) + data[at + 1 :])
        except Unfit:
            continue
        assert reserved, data[at - 8 : at + 1]


# -- real files ----------------------------------------------------------------------------------------

CORPUS = Path(__file__).resolve().parents[2] / "shared" / "corpus"
# Damaged, or encoded as nobody could be sure of; pydicom reads some of them and guesses
REFUSED = {
    "dcm4che__Tag-0040-A170-VR-CS.dcm", "dicognito__bad.dcm", "DICOMDIR-nooffset", "fo-dicom__FreezePattern.dcm",
    "fo-dicom__GH179A.dcm", "fo-dicom__GH364.dcm", "fo-dicom__GH626.dcm", "pydicom__rtplan_truncated.dcm",
    "MR_truncated.dcm", "rtplan_truncated.dcm",
}  # fmt: skip
NOT_BY_PYDICOM = {"fo-dicom__GH177_D_CLUNIE_CT1_IVRLE_BigEndian_undefined_length.dcm"}


def files_of(*folders: Path, largest: int = 50 << 20) -> list[Any]:
    """Return the files below some folders; one that is skipped where there are none."""
    found = [path for folder in folders for path in sorted(folder.rglob("*")) if path.is_file()]
    found = [path for path in found if path.stat().st_size <= largest and path.suffix not in (".py", ".pyc", ".gz")]
    reason = "no corpus beside the checkout (../shared/corpus)"
    return [pytest.param(path, id=f"{path.parent.name}/{path.name}") for path in found] or [
        pytest.param(None, marks=pytest.mark.skip(reason=reason))
    ]


def claims_to_be_dicom(data: bytes) -> bool:
    return codec.looks_like_dicom(data) or (data[:2] in (b"\x02\0", b"\x08\0") and data[1:2] == b"\0")


@pytest.mark.parametrize(
    "path",
    [
        *files_of(*(CORPUS / folder for folder in ("dicom", "golden_upenn_tcia/dicom", "planted/dicom"))),
        *files_of(Path(pydicom.data.__file__).parent),  # those in the wheel: nothing is downloaded
    ],
)
def test_real_file(path: Path) -> None:
    src = path.read_bytes()
    if path.name in REFUSED:
        with pytest.raises(Unfit):
            codec.read(src)
        return
    if not claims_to_be_dicom(src):
        with pytest.raises(Unfit, match="not DICOM"):
            codec.read(src)
        return
    draft = codec.read(src)
    if draft.src is src:
        same_bytes(src, draft)
        draft = codec.read(src)
    changes = some_changes(draft)
    oracle.apply(draft, changes)
    got = oracle.written(draft)
    verify.check(draft, got)
    assert len(list(draft.edits())) >= 1
    if path.name not in NOT_BY_PYDICOM:
        # pydicom takes bytes after the last element for more elements
        whole = src[: draft.body.end] if draft.body_src is src else src
        assert oracle.differences(oracle.changed(whole, changes), got) == []


def same_bytes(src: bytes, draft: Draft) -> None:
    """Without an edit only the preamble, the length of the file meta and what follows the data set may change."""
    prefix = bytes(128) + b"DICM" if codec.looks_like_dicom(src) else b""
    length = draft.meta.elements.get(codec.META_LENGTH)
    meta = src[len(prefix) : draft.meta.end] if length is None else src[length.end : draft.meta.end]
    got = oracle.written(draft)
    header = b"\2\0\0\0UL\4\0" + len(meta).to_bytes(4, "little") if meta else b""
    assert got.startswith(prefix + header + meta)
    if draft.body_src is src:
        assert got.endswith(src[draft.meta.end : draft.body.end])
        return
    assert codec.read(got).body_src == draft.body_src[: draft.body.end]


def some_changes(draft: Draft) -> list[Change]:
    """Return what most profiles do: another PatientID, no private elements, and something inside a sequence."""
    uid, media = draft.text(0x00080018), draft.text(0x00020003)
    nested = [Change(path, el.tag) for path, el in oracle.places(draft.body) if path and el.items is None]
    return [
        Change((), 0x00100020, "LO", ("ZZ-ANOTHER-ID",)),
        *nested[:1],
        *nested[-1:],
        *(Change((), tag) for tag in draft.body.elements if is_private(tag)),
        *([Change((), 0x00020003, "UI", (uid,))] if draft.meta.elements and uid != media else []),
    ]


@pytest.mark.parametrize("path", files_of(CORPUS / "hostile_built" / "dicom", CORPUS / "hostile"))
def test_hostile_file(path: Path) -> None:
    """A file, or a refusal, within some memory."""
    src = path.read_bytes()
    tracemalloc.start()
    try:
        with suppress(Unfit):
            draft = codec.read(src)
            oracle.apply(draft, some_changes(draft)[:3])
            list(draft.edits())
            codec.check_readable(oracle.written(draft))
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < (256 << 20) + 8 * len(src)
