"""What was made plain is read by pydicom as well: other elements, or a sequence that it cannot read, refuse."""

from __future__ import annotations

import pytest

from fw_gear_deid.formats.dicom.careful import read_back
from fw_gear_deid.model.errors import Odd
from tests.dicom_files import IDENTITY, SYNTAXES, Item, Leaf, Node, Seq, part10, text

NAME = text(0x00100010, "PN", "ZZ^CANARY")
BAD = Leaf(0x0040A730, "SQ", b"abc")  # it ends within the head of an item
TAGS = tuple(node.tag for node in IDENTITY)


def read(*nodes: Node, tags: tuple[int, ...] | None = None, syntax: str = "explicit") -> None:
    data = part10([*IDENTITY[:3], *nodes], SYNTAXES[syntax])
    read_back(data, tags or tuple(node.tag for node in (*IDENTITY[:3], *nodes)))


@pytest.mark.parametrize("syntax", ["explicit", "implicit", "big", "deflated"])
def test_the_same_elements_are_agreed_on(syntax: str) -> None:
    read(Seq(0x00081140, (Item((NAME,)), Item((Seq(0x00081140, (Item((NAME,)),)),)))), NAME, syntax=syntax)


@pytest.mark.parametrize("tags", [TAGS[:3], (*TAGS[:3], 0x00100010, 0x00100020), (0x00100010,)])
def test_other_elements_are_not(tags: tuple[int, ...]) -> None:
    with pytest.raises(Odd, match="another reader reads something else"):
        read(NAME, tags=tags)


@pytest.mark.parametrize(
    "nodes",
    [(BAD,), (Seq(0x00081140, (Item((BAD,)),)),), (Seq(0x00081140, (Item((Seq(0x00081140, (Item((BAD,)),)),)),)),)],
)
def test_a_sequence_that_it_cannot_read_is_not(nodes: tuple[Node, ...]) -> None:
    with pytest.raises(Odd, match="another reader reads something else") as caught:
        read(*nodes)
    assert "abc" not in str(caught.value)


def test_bytes_that_it_cannot_read_are_not() -> None:
    data = part10(IDENTITY, SYNTAXES["deflated"])
    with pytest.raises(Odd, match="another reader"):
        read_back(data[:-20], TAGS)
