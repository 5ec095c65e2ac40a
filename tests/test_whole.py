"""A half-copied file is refused: zeros, holes and cuts where its header announces more."""

from __future__ import annotations

import pytest

from fw_gear_deid.formats.dicom import wire
from fw_gear_deid.model.errors import Malformed, Unfit
from tests import oracle
from tests.dicom_files import (
    CT,
    SYNTAXES,
    UID,
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

EXPLICIT, IMPLICIT, BIG, DEFLATED, JPEG = SYNTAXES.values()
PIXELS = 0x7FE00010
native = pytest.mark.parametrize("syntax", [EXPLICIT, IMPLICIT, BIG], ids=["explicit", "implicit", "big"])
_CLASSES = {
    "report": ("1.2.840.10008.5.1.4.1.1.88.11", Seq(0x0040A730, (Item(),))),
    "document": ("1.2.840.10008.5.1.4.1.1.104.1", Leaf(0x00420011, "OB", b"%PDF")),
    "waveform": ("1.2.840.10008.5.1.4.1.1.9.1.1", Seq(0x54000100, (Item(),))),
    "state": ("1.2.840.10008.5.1.4.1.1.11.1", Seq(0x0070005A, (Item(),))),
    "structures": ("1.2.840.10008.5.1.4.1.1.481.3", Seq(0x30060080, (Item(),))),
    "spectra": ("1.2.840.10008.5.1.4.1.1.4.2", Leaf(0x56000020, "OF", bytes(8))),
}


def shape(data: bytes) -> list[tuple[int, int]]:
    """Return tag and length of every element of the top level, but for group lengths."""
    found = oracle.opened(data).body.found
    return [(one.want.tag, one.end - one.start) for one in found if one.want.tag & 0xFFFF]


def number(value: int, syntax: Syntax) -> bytes:
    return value.to_bytes(2, "little" if syntax.little else "big")


def image(syntax: Syntax, *pixels: Node, rows: int = 4, bits: int = 16, kind: str = "MONOCHROME2") -> tuple[Node, ...]:
    return (
        text(0x00080016, "UI", CT),
        text(0x00080018, "UI", UID),
        text(0x00100010, "PN", "ZZ^A"),
        Leaf(0x00280002, "US", number(1 if kind == "MONOCHROME2" else 3, syntax)),
        text(0x00280004, "CS", kind),
        text(0x00280008, "IS", "2"),
        Leaf(0x00280010, "US", number(rows, syntax)),
        Leaf(0x00280011, "US", number(4, syntax)),
        Leaf(0x00280100, "US", number(bits, syntax)),
        *pixels,
    )


@native
def test_zeros_from_anywhere_in_the_header(syntax: Syntax) -> None:
    data = part10(sample(syntax), syntax)
    pixels = oracle.opened(data).body.found[-1]
    for at in range(part10((), syntax).__len__(), pixels.value):
        copied = data[:at] + bytes(len(data) - at)
        if copied[: pixels.value] != data[: pixels.value]:
            with pytest.raises(Unfit):
                oracle.opened(copied)


@native
@pytest.mark.parametrize("size", [64, 512])
def test_a_hole_takes_no_element_away(syntax: Syntax, size: int) -> None:
    """Inside one value nobody can see it; all others refuse."""
    data = part10(sample(syntax), syntax)
    body = len(part10((), syntax))
    whole, refused = shape(data), 0
    for at in range(body, len(data) - 140):
        hole = data[:at] + bytes(size) + data[at + size :]
        try:
            found = shape(hole[: len(data)])
        except Unfit:
            refused += 1
        else:
            assert [tag for tag, _ in found] == [tag for tag, _ in whole], at
    assert refused > 200


@native
def test_eight_zeros_before_any_element(syntax: Syntax) -> None:
    data = part10(sample(syntax), syntax)
    for one in oracle.opened(data).body.found:
        with pytest.raises(Malformed, match=r"zeros (stand|follow)"):
            oracle.opened(data[: one.start] + bytes(8) + data[one.start :])


def test_zeros_in_an_item() -> None:
    inside = encode([text(0x00081155, "UI", UID)], EXPLICIT) + bytes(24)
    for content in (inside, bytes(24) + inside):
        item = b"\xfe\xff\x00\xe0" + len(content).to_bytes(4, "little") + content
        sequence = header(0x00081140, "SQ", len(item), EXPLICIT) + item
        with pytest.raises(Malformed, match="zeros stand where an element is due"):
            oracle.opened(part10(image(EXPLICIT)[:2], EXPLICIT, after=sequence))


def test_half_of_a_deflated_data_set() -> None:
    body = encode(sample(DEFLATED), DEFLATED)
    for cut in (300, 500, len(body) - 150):
        half = deflate(body[:cut] + bytes(len(body) - cut))
        with pytest.raises(Unfit):
            oracle.opened(part10((), EXPLICIT, meta=file_meta(meta_of(DEFLATED)), after=half))


@native
@pytest.mark.parametrize("after", [b"", bytes(90)], ids=["cut", "zeros"])
def test_tables_without_pixels(syntax: Syntax, after: bytes) -> None:
    nodes = image(syntax, Leaf(0x7FE00001, "OV", bytes(16)))
    with pytest.raises(Malformed, match="copy"):
        oracle.opened(part10(nodes, syntax, after=after))


@pytest.mark.parametrize("vr", ["OF", "OD"])
def test_an_element_that_was_begun_behind_pixels(vr: str) -> None:
    tag, size = (0x7FE00008, 128) if vr == "OF" else (0x7FE00009, 256)
    nodes = image(EXPLICIT, Leaf(tag, vr, bytes(size)))
    padding = header(0xFFFCFFFC, "OB", 40, EXPLICIT)
    for end in range(8, len(padding) + 39):
        with pytest.raises(Malformed, match=r"runs past the end|cut off"):
            oracle.opened(part10(nodes, EXPLICIT, after=(padding + bytes(40))[:end]))
    assert oracle.opened(part10(nodes, EXPLICIT, after=padding + bytes(40))).trailing == 0
    assert oracle.opened(part10(nodes, EXPLICIT, after=b"text of no element")).trailing == 18
    for cut in range(1, size):
        with pytest.raises(Malformed):
            oracle.opened(part10(nodes, EXPLICIT)[:-cut])


@native
@pytest.mark.parametrize(
    ("kind", "bits", "size"),
    [
        ("MONOCHROME2", 16, 64), ("MONOCHROME2", 8, 32), ("MONOCHROME2", 1, 4), ("RGB", 8, 96),
        ("YBR_FULL_422", 8, 64), ("YBR_PARTIAL_420", 8, 48),
    ],
)  # fmt: skip
@pytest.mark.parametrize("after", [bytes(40), b"no element there", bytes(9) + b"ZZCANARY"])
def test_what_follows_pixels_goes_when_they_are_whole(
    syntax: Syntax, kind: str, bits: int, size: int, after: bytes
) -> None:
    nodes = image(syntax, Leaf(PIXELS, "OW", b"\1" * size), bits=bits, kind=kind)
    assert oracle.unedited(part10(nodes, syntax, after=after)) == part10(nodes, syntax)
    for missing in (2, size):
        short = image(syntax, Leaf(PIXELS, "OW", b"\1" * (size - missing)), bits=bits, kind=kind)
        with pytest.raises(Unfit):
            oracle.opened(part10(short, syntax, after=after))
        assert oracle.unedited(part10(short, syntax)) == part10(short, syntax)


def test_fragments_are_whole_when_they_are_closed() -> None:
    nodes = image(JPEG, Fragments((b"", b"\1\2\3\4")))
    assert oracle.unedited(part10(nodes, JPEG, after=bytes(40))) == part10(nodes, JPEG)
    with pytest.raises(Malformed, match="zeros follow"):
        oracle.opened(part10(image(JPEG, Fragments((b"",))), JPEG, after=bytes(40)))


@native
@pytest.mark.parametrize("kind", _CLASSES)
def test_zeros_are_padding_behind_what_a_class_is_about(syntax: Syntax, kind: str) -> None:
    uid, content = _CLASSES[kind]
    nodes = (text(0x00080016, "UI", uid), *image(syntax)[1:3])
    assert oracle.unedited(part10((*nodes, content), syntax, after=bytes(300))) == part10((*nodes, content), syntax)
    with pytest.raises(Malformed, match="zeros follow"):
        oracle.opened(part10(nodes, syntax, after=bytes(300)))
    with pytest.raises(Unfit):
        oracle.opened(part10((*nodes, content), syntax, after=bytes(300) + b"ZZCANARY"))


def test_pixels_that_stand_elsewhere() -> None:
    nodes = image(EXPLICIT, text(0x00287FE0, "UR", "http://a.invalid/b"))
    assert oracle.unedited(part10(nodes, EXPLICIT, after=bytes(60))) == part10(nodes, EXPLICIT)
    with pytest.raises(Malformed):
        oracle.opened(part10(image(EXPLICIT, Leaf(0x00287FE0, "UR")), EXPLICIT, after=bytes(60)))


@native
def test_a_class_that_only_the_file_meta_tells(syntax: Syntax) -> None:
    nodes = (text(0x00080008, "CS", "ORIGINAL"), text(0x00080060, "CS", "CT"))
    for uid in (CT, "1.2.3.4", "1.2.840.10008.5.1.4.1.1.66"):
        meta = (Leaf(0x00020001, "OB", b"\0\1"), text(0x00020002, "UI", uid), text(0x00020010, "UI", syntax.uid))
        with pytest.raises(Malformed, match="zeros follow"):
            oracle.opened(part10(nodes, syntax, meta=file_meta(meta), after=bytes(1000)))


@native
def test_a_header_alone_stays_what_it_is(syntax: Syntax) -> None:
    """Tools leave such files; they end with an element."""
    nodes = image(syntax)
    assert oracle.unedited(part10(nodes, syntax)) == part10(nodes, syntax)


def test_what_is_not_at_hand_is_asked_for() -> None:
    uid, content = _CLASSES["document"]
    data = part10((text(0x00080016, "UI", uid), *image(EXPLICIT)[1:3], content), EXPLICIT, after=bytes(300))
    with pytest.raises(wire.Cut):
        oracle.part10.read(data[:-40], oracle.Everything(wire.EXPLICIT_LITTLE), oracle.Everything, len(data))
