"""What the program keeps by itself is its value and nothing else: no text passes behind it, or in its place."""

from __future__ import annotations

from datetime import date

import pytest

from fw_gear_deid.deid import Context, dataset
from fw_gear_deid.deid.incoming import Incoming
from fw_gear_deid.deid.member import Done, deidentify_member
from fw_gear_deid.formats.dicom import part10 as codec
from fw_gear_deid.keys import Keyring
from fw_gear_deid.model.errors import Unfit
from fw_gear_deid.profile.parse import parse_profile
from tests import oracle
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
    encode,
    file_meta,
    part10,
    text,
)

EXPLICIT = SYNTAXES["explicit"]
SECRET = b"ZZ^CANARY"
PLAIN = "dicom:\n  fields:\n    - name: PatientName\n      remove: true\n"
LISTED = "dicom:\n  remove-undefined: true\n  fields:\n    - name: StudyDate\n      keep: true\n"


def context(profile: str) -> Context:
    return Context(parse_profile(profile, "p.yaml"), Keyring(bytes(32)), "s", date(2026, 1, 1), "strict")


def clean(data: bytes, profile: str) -> tuple[bytes, Done]:
    done = deidentify_member(Incoming(iter([data]), len(data)), "a.dcm", context(profile))
    return b"".join(done.pieces), done


def meta(*changed: Leaf) -> bytes:
    nodes = {
        0x00020001: Leaf(0x00020001, "OB", b"\0\1"),
        0x00020002: text(0x00020002, "UI", CT),
        0x00020003: text(0x00020003, "UI", UID),
        0x00020010: text(0x00020010, "UI", EXPLICIT.uid),
    }
    return file_meta((nodes | {node.tag: node for node in changed}).values())


def values_of(data: bytes) -> dict[int, bytes]:
    parts = oracle.opened(data)
    return {
        one.want.tag: src[one.value : one.end]
        for src, level in ((parts.src, parts.meta), (parts.body_src, parts.body))
        for one in level.found
    }


@pytest.mark.parametrize("behind", [b"\0" + SECRET, b"\\" + SECRET, b" " + SECRET, b"\0" * 8 + SECRET])
@pytest.mark.parametrize(
    ("tag", "value"),
    [(0x00020002, CT.encode()), (0x00020003, UID.encode()), (0x00020010, EXPLICIT.uid.encode()), (0x00020001, b"\0\1")],
)
def test_nothing_passes_behind_a_value_of_the_file_meta(tag: int, value: bytes, behind: bytes) -> None:
    raw = value + behind
    data = part10(
        IDENTITY, EXPLICIT, meta=meta(Leaf(tag, "OB" if tag == 0x00020001 else "UI", raw + b"\0" * (len(raw) % 2)))
    )
    out, done = clean(data, PLAIN)
    assert values_of(out)[tag] == value + b"\0" * (len(value) % 2)
    assert SECRET not in out
    assert any(edit.path == f"({tag >> 16:04X},{tag & 0xFFFF:04X})" for edit in done.edits)


@pytest.mark.parametrize(("tag", "left"), [(0x00020001, b"\0\1"), (0x00020002, None), (0x00020003, b"1.2.826")])
def test_text_instead_of_a_value_goes(tag: int, left: bytes | None) -> None:
    data = part10(IDENTITY, EXPLICIT, meta=meta(text(tag, "UI", SECRET)))
    found = values_of(clean(data, PLAIN)[0]).get(tag)
    assert found is None if left is None else found is not None and found.startswith(left)


def test_text_instead_of_a_transfer_syntax_is_refused() -> None:
    with pytest.raises(Unfit, match=r"\(0002,0010\) holds no transfer syntax; correct it"):
        clean(part10(IDENTITY, EXPLICIT, meta=meta(text(0x00020010, "UI", SECRET))), PLAIN)


@pytest.mark.parametrize("raw", [b"\0\1", b"\1\0", b"\0\2", b""])
def test_versions_as_they_are_written_stay(raw: bytes) -> None:
    data = part10(IDENTITY, EXPLICIT, meta=meta(Leaf(0x00020001, "OB", raw)))
    assert values_of(clean(data, PLAIN)[0])[0x00020001] == raw


@pytest.mark.parametrize("name", ["explicit", "big", "deflated"])
def test_the_syntax_counts_without_what_is_behind_it(name: str) -> None:
    syntax = SYNTAXES[name]
    raw = syntax.uid.encode() + b"\0" + SECRET
    data = part10(IDENTITY, syntax, meta=meta(Leaf(0x00020010, "UI", raw + b"\0" * (len(raw) % 2))))
    out, _ = clean(data, PLAIN)
    assert values_of(out)[0x00020010].rstrip(b"\0").decode() == syntax.uid


def kept(tag: int, vr: str, raw: bytes, syntax: Syntax = EXPLICIT) -> bytes | None:
    """Return what an allow-list that does not name an element leaves of it."""
    nodes: dict[int, Node] = {node.tag: node for node in (*IDENTITY, text(tag, vr, raw))}
    out, _ = clean(part10([nodes[number] for number in sorted(nodes)], syntax), LISTED)
    assert SECRET not in out
    return values_of(out).get(tag)


@pytest.mark.parametrize(
    ("tag", "vr", "value"),
    [
        (0x00280004, "CS", b"MONOCHROME2"), (0x00280004, "CS", b"YBR_FULL_422"), (0x00280004, "CS", b"PALETTE COLOR"),
        (0x00280008, "IS", b"12"), (0x00280034, "IS", b"1\\1"), (0x00080005, "CS", b"ISO_IR 192"),
        (0x00080005, "CS", b"\\ISO 2022 IR 87"), (0x00080016, "UI", CT.encode()),
    ],
)  # fmt: skip
def test_an_allow_list_keeps_values_and_nothing_behind_them(tag: int, vr: str, value: bytes) -> None:
    pad = b"\0" if vr == "UI" else b" "
    padded = value + pad * (len(value) % 2)
    assert kept(tag, vr, padded) == padded
    assert kept(tag, vr, value + b"\0" + SECRET) == padded
    if tag != 0x00080005:
        assert kept(tag, vr, value + b"\\" + SECRET) == padded


@pytest.mark.parametrize(
    ("tag", "vr"), [(0x00280004, "CS"), (0x00280008, "IS"), (0x00280034, "IS"), (0x00080005, "CS"), (0x00080016, "UI")]
)
def test_an_allow_list_keeps_no_text_in_their_place(tag: int, vr: str) -> None:
    assert kept(tag, vr, SECRET) is None


def test_an_allow_list_keeps_numbers_of_their_length() -> None:
    assert kept(0x00280010, "US", b"\4\0" + SECRET) == b"\4\0"
    assert kept(0x00280010, "US", b"\4\0") == b"\4\0"
    assert kept(0x00281101, "US", b"\0\1\0\0\10\0" + SECRET) == b"\0\1\0\0\10\0"
    assert kept(0x00280009, "AT", b"\x18\0\x63\x10") == b"\x18\0\x63\x10"
    assert kept(0x00280009, "AT", SECRET) is None


@pytest.mark.parametrize("undefined", [True, False])
@pytest.mark.parametrize("name", ["explicit", "implicit", "big"])
def test_padding_in_items_goes(name: str, undefined: bool) -> None:
    padding = Leaf(0xFFFCFFFC, "OB", SECRET + b"\0")
    inner = Seq(0x00081140, (Item((text(0x00081155, "UI", UID), padding), undefined),), undefined)
    nodes = (*IDENTITY[:2], inner, Seq(0x0040A730, (Item((inner, padding)),)))
    out, done = clean(part10(nodes, SYNTAXES[name]), "dicom:\n  fields:\n    - name: StudyDate\n      remove: true\n")
    assert SECRET not in out
    rules = [edit.path for edit in done.edits if edit.rule == "always: bytes after the last element"]
    assert rules == [
        "(0008,1140)[0](FFFC,FFFC)",
        "(0040,A730)[0](FFFC,FFFC)",
        "(0040,A730)[0](0008,1140)[0](FFFC,FFFC)",
    ]


@pytest.mark.parametrize(
    ("dirty", "why"),
    [
        (encode([text(0x00020002, "UI", CT + "\0ZZ")], EXPLICIT), r"\(0002,0002\) holds more than its value"),
        (encode([Leaf(0x00020001, "OB", b"\0\1ZZ")], EXPLICIT), r"\(0002,0001\) holds more than its value"),
    ],
)
def test_verification_reads_the_file_meta_by_itself(dirty: bytes, why: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fw_gear_deid.plan.kept.parsed", lambda tag, raw, little: raw)
    length = len(dirty).to_bytes(4, "little")
    data = part10(IDENTITY, EXPLICIT, meta=encode([Leaf(0x00020000, "UL", length)], EXPLICIT) + dirty)
    with pytest.raises(Unfit, match=why):
        clean(data, PLAIN)


def test_verification_looks_for_padding_by_itself() -> None:
    ctx = context(PLAIN)
    section = ctx.profile.dicom
    assert section is not None
    data = part10((*IDENTITY[:2], Leaf(0xFFFCFFFC, "OB", SECRET + b"\0")), EXPLICIT)
    done = dataset.edit(dataset.open_file(data, section), section, ctx.draw("p"), "p", ctx.today)
    done.body = []
    pieces, told = codec.write(done.parts, done.meta, done.body)
    with pytest.raises(Unfit, match=r"\(FFFC,FFFC\) is not gone"):
        dataset.check(done, b"".join(pieces), told)
