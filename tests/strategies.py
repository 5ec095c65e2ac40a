"""Chance → descriptions of DICOM data sets, and changes to make in them (hypothesis)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st

from fw_gear_deid.actions import Hash, Keep, Remove, Replace
from fw_gear_deid.model.action import Action
from fw_gear_deid.model.patterns import Pattern
from fw_gear_deid.model.selectors import PathAt, PrivateAt, RegexAt, Selector, TagAt, VrAt
from tests.dicom_files import SYNTAXES, Fragments, Item, Leaf, Node, Seq, Syntax, text
from tests.oracle import Change, Step, after

Draw = Any
PROFILE = settings(derandomize=True, database=None, deadline=None)
"""The same examples on every machine and in every run."""

# VRs as the dictionary has them: implicit VR tells no other
PLAIN = {
    0x00080008: "CS", 0x00080020: "DA", 0x0008002A: "DT", 0x00080030: "TM", 0x00080054: "AE", 0x00080070: "LO",
    0x00080119: "UC", 0x00081190: "UR", 0x00090010: "LO", 0x00091001: "UN", 0x00091002: "LO", 0x00091003: "OB",
    0x00091004: "US", 0x00100010: "PN", 0x00100020: "LO", 0x00101010: "AS", 0x00101030: "DS",
    0x00104000: "LT", 0x00186020: "SL", 0x00189073: "FD", 0x0020000D: "UI", 0x00200013: "IS", 0x00280009: "AT",
    0x00280010: "US", 0x0040A160: "UT", 0x00420011: "OB", 0x00720069: "OW", 0x00720082: "SV", 0x00720083: "UV",
    0x00720074: "FD", 0x00720076: "FL", 0x0072007C: "SL", 0x0072007E: "SS",
}  # fmt: skip
SEQUENCES = (0x00081140, 0x00091005, 0x0040A730, 0x54000100)
_SIZE = {"US": 2, "SS": 2, "AT": 4, "UL": 4, "SL": 4, "FL": 4, "FD": 8, "SV": 8, "UV": 8, "OW": 2}
_CHARACTERS = bytes(range(0x20, 0x7F))
CHARACTER_SET = text(0x00080005, "CS", "ISO_IR 192")
# What rules may write: shorter, longer, empty, several
NEW = {
    "CS": ("", "M", "ORIGINAL\\PRIMARY"), "DA": ("", "19700101"), "DT": ("", "1970", "19700101120000.5+0100"),
    "TM": ("", "12", "120000.123456"), "AE": ("", "ZZ_AE"), "LO": ("", "Z", "ZZ LONGER VALUE OF A TEXT", "A\\B"),
    "UC": ("", "Z" * 70), "UR": ("", "https://example.org/x"), "UN": ("", "ZZ"), "PN": ("", "ZZ^NEW", "A^B=C=D"),
    "UL": ("", "0", "4294967295"), "US": ("", "0", "1\\65535"), "SS": ("-1",), "SL": ("-2147483648",),
    "SV": ("-9223372036854775808",), "UV": ("18446744073709551615",), "FL": ("0.5",), "FD": ("0", "-1.5e300"),
    "AS": ("", "045Y"), "DS": ("", "1.5\\2", "0"), "IS": ("", "-7"), "LT": ("", "a line\r\nanother \\ line"),
    "UT": ("", "text " * 20), "UI": ("", "1.2.3", "2.25.12345"), "AT": ("", "7FE00010", "00080005\\0008FFFF"),
}  # fmt: skip


@st.composite
def documents(draw: Draw, syntax: Syntax, *, shuffled: bool = False) -> tuple[Node, ...]:
    """Describe a data set with sequences of both kinds, UN, private blocks, odd and empty values."""
    nodes = draw(_elements(syntax, 3))
    if draw(st.booleans()):
        nodes = (CHARACTER_SET, *nodes)
    nodes = (text(0x00080016, "UI", "1.2.3"), *nodes)
    if syntax is SYNTAXES["jpeg"]:
        nodes += (Fragments(tuple(draw(st.lists(st.binary(max_size=9), min_size=1, max_size=3)))),)
    elif draw(st.booleans()):
        nodes += (Leaf(0x7FE00010, "OW", draw(st.binary(max_size=40))),)
    if shuffled:
        return tuple(draw(st.permutations(nodes)))
    return tuple(sorted(nodes, key=lambda node: node.tag))


@st.composite
def _elements(draw: Draw, syntax: Syntax, depth: int) -> tuple[Node, ...]:
    tags = draw(st.lists(st.sampled_from(sorted(PLAIN)), unique=True, max_size=5))
    nodes: list[Node] = [draw(_leaf(tag, syntax)) for tag in tags]
    if depth:
        tags = draw(st.lists(st.sampled_from(SEQUENCES), unique=True, max_size=2))
        nodes += [draw(_sequence(tag, syntax, depth - 1)) for tag in tags]
    return tuple(sorted(nodes, key=lambda node: node.tag))


@st.composite
def _leaf(draw: Draw, tag: int, syntax: Syntax) -> Leaf:
    vr = PLAIN[tag]
    size = _SIZE.get(vr)
    if size:
        value = draw(st.integers(0, 3).flatmap(lambda n: st.binary(min_size=n * size, max_size=n * size)))
    elif vr in ("UN", "OB"):
        value = draw(st.sampled_from((b"", b"\xfe\xff\x00\xe0odd", b"\xfe\xff\x00\xe0\xf0\xff\xff\xff", b"ZZ\0")))
    else:
        value = bytes(draw(st.lists(st.sampled_from(_CHARACTERS), max_size=12)))
    as_un = syntax.explicit and draw(st.integers(0, 7)) == 0
    return Leaf(tag, "UN" if as_un else vr, value)


@st.composite
def _sequence(draw: Draw, tag: int, syntax: Syntax, depth: int) -> Seq:
    vr = draw(st.sampled_from(("SQ", "SQ", "UN")))
    undefined = draw(st.booleans())
    inside = SYNTAXES["implicit"] if vr == "UN" else syntax
    # a private sequence is one by its first item, unless VR or undefined length tell
    told = undefined or (vr == "SQ" and syntax.explicit) or not tag >> 16 & 1
    items = []
    for _ in range(draw(st.integers(0 if told else 1, 2))):
        implicit = inside.explicit and inside.little and draw(st.integers(0, 5)) == 0
        elements = draw(_elements(SYNTAXES["implicit"] if implicit else inside, depth))
        items.append(Item(elements, draw(st.booleans()), implicit and bool(elements)))
    return Seq(tag, tuple(items), undefined, vr)


def has_un_sequence(nodes: tuple[Node, ...]) -> bool:
    """Tell whether a sequence stands as UN anywhere: pydicom reads those as big endian in a big endian file."""
    return any(
        isinstance(node, Seq) and (node.vr == "UN" or any(has_un_sequence(item.elements) for item in node.items))
        for node in nodes
    )


@st.composite
def changes(draw: Draw, nodes: tuple[Node, ...], syntax: Syntax) -> list[Change]:
    """Draw some changes that rules could make one after the other: remove, replace, empty, create."""
    made: list[Change] = []
    for _ in range(draw(st.integers(1, 4))):
        change = draw(_change(nodes, syntax, ()))
        if any((other.path, other.tag, other.texts) == (change.path, change.tag, None) for other in made):
            continue  # what goes and comes back has a test of its own
        nodes = after(nodes, change, syntax)
        made.append(change)
    return made


@st.composite
def _change(draw: Draw, nodes: tuple[Node, ...], syntax: Syntax, path: tuple[Step, ...]) -> Change:
    sequences = [node for node in nodes if isinstance(node, Seq)]
    # how deep: into a sequence that is there, perhaps into an item that is not
    if sequences and draw(st.booleans()):
        node = draw(st.sampled_from(sequences))
        index = draw(st.integers(0, len(node.items)))
        inside = node.items[index].elements if index < len(node.items) else ()
        return draw(_change(inside, syntax, (*path, (node.tag, index))))
    # private ones have the VR that their creator says, and it is not made up here
    there = [node for node in nodes if not isinstance(node, Fragments) and not node.tag >> 16 & 1]
    kind = draw(st.sampled_from(("remove", "put", "put", "create", "descend")))
    goes = [node.tag for node in nodes if node.tag != 0x00080016]  # an empty data set is no file
    if kind == "remove" and goes:
        return Change(path, draw(st.sampled_from(goes)))
    if kind == "put" and there:
        node = draw(st.sampled_from(there))
        if isinstance(node, Seq):
            return Change(path, node.tag, "SQ", ())
        vr = PLAIN.get(node.tag, "CS")
        if vr in NEW and node.tag in PLAIN:
            return Change(path, node.tag, vr, draw(new_values(vr)))
    taken = {node.tag for node in nodes}
    free = [tag for tag in SEQUENCES if tag not in taken and not tag >> 16 & 1]
    if kind == "descend" and free:
        path = (*path, (draw(st.sampled_from(free)), draw(st.integers(0, 1))))
        taken = set()
    tag = draw(st.sampled_from([tag for tag, vr in PLAIN.items() if _is_free(tag, taken) and vr in NEW]))
    return Change(path, tag, PLAIN[tag], draw(new_values(PLAIN[tag])))


def _is_free(tag: int, taken: set[int]) -> bool:
    return tag not in taken and not tag >> 16 & 1 and tag & 0xFFFF > 0


_TEXTS = (0x00080070, 0x00100010, 0x00100020, 0x00104000)
_PATTERNS = (
    "Patient.*", ".*(Date|Time)$", ".*Sequence$", r".*\\.1\\..*", "ReferencedImageSequence.*", "00091002", "0028.*", r"5400.*\\.0010....",
)  # fmt: skip


@st.composite
def rules(draw: Draw, documents: list[tuple[Node, ...]], *, recurse: bool) -> list[tuple[Selector, Action]]:
    """Draw rules for what some documents hold; several may speak of one element, in sequences and of them."""
    seen = [((), 0x00100020, "LO", ""), *sorted({place for nodes in documents for place in _ways(nodes)})]
    placed = [draw(_rule(seen, recurse=recurse)) for _ in range(draw(st.integers(1, 8)))]
    return placed + [draw(_class_rule()) for _ in range(draw(st.integers(0, 3)))]


# without what says what others are; and pydicom takes a private UN of undefined length for a sequence
_CLASSES = (*sorted(set(PLAIN.values()) - {"CS", "UI", "OB", "OW", "UN"}), "SQ")


@st.composite
def _class_rule(draw: Draw) -> tuple[Selector, Action]:
    """Draw a rule for some VRs."""
    if draw(st.booleans()):
        return VrAt(tuple(draw(st.sets(st.sampled_from(("LO", "LT", "PN", "SH", "UT")), min_size=1)))), Hash()
    vrs = sorted(draw(st.sets(st.sampled_from(_CLASSES), min_size=1)))
    vrs += ["UN"] if "SQ" in vrs else []
    return VrAt(tuple(vrs)), draw(st.sampled_from((Remove(), Keep(), Replace(("",)))))


def _ways(nodes: tuple[Node, ...], way: tuple[Step, ...] = ()) -> Iterator[tuple[tuple[Step, ...], int, str, str]]:
    """Yield way, tag, VR and creator of everything that rules may change."""
    creators = {node.tag: node.value for node in nodes if isinstance(node, Leaf) and node.tag == 0x00090010}
    for node in nodes:
        if isinstance(node, Seq):
            for index, item in enumerate(node.items):
                yield from _ways(item.elements, (*way, (node.tag, index)))
        if isinstance(node, Fragments) or node.tag in (0x00080005, 0x00080016, 0x00090010):
            continue  # creators and character sets say what others are; an empty data set is no file
        vr = "SQ" if isinstance(node, Seq) else PLAIN.get(node.tag, "OW")
        creator = creators.get(0x00090010, b"").decode("ascii").strip(" ") if node.tag >> 16 == 9 else ""
        yield way, node.tag, vr, creator


@st.composite
def _rule(draw: Draw, seen: list[tuple[tuple[Step, ...], int, str, str]], *, recurse: bool) -> tuple[Selector, Action]:
    kinds = ("tag", "tag", "private") if recurse else ("tag", "path", "path", "private", "regex")  # profile language §3
    kind = draw(st.sampled_from(kinds))
    if kind == "regex":
        pattern = draw(st.sampled_from(_PATTERNS))
        action = draw(st.sampled_from((Remove(), Replace(("",)), Keep())))
        return RegexAt(Pattern(pattern), Pattern(pattern, re.IGNORECASE)), action
    private = [place for place in seen if place[3]]
    way, tag, vr, creator = draw(st.sampled_from(private if private and kind == "private" else seen))
    selector: Selector = TagAt(tag)
    if creator and kind == "private":
        selector = PrivateAt(tag >> 16, creator, tag & 0xFF)
    elif way and kind == "path":
        selector = PathAt(tuple((step, draw(st.sampled_from((index, None)))) for step, index in way), tag)
    return selector, draw(_action(tag, vr))


def _action(tag: int, vr: str) -> st.SearchStrategy[Action]:
    values = [Remove(), Keep()]
    if tag in _TEXTS:
        values.append(Hash())
    if not tag >> 16 & 1:  # private ones are not made again
        values.append(Replace(("",)))
    if vr in NEW and not tag >> 16 & 1:
        return st.one_of(st.sampled_from(values), new_values(vr).map(Replace))
    return st.sampled_from(values)


def new_values(vr: str) -> st.SearchStrategy[tuple[str, ...]]:
    """Draw values that are legal for a VR."""
    single = vr in ("LT", "ST", "UR", "UT")
    return st.sampled_from(NEW[vr]).map(lambda text: (text,) if single else tuple(text.split("\\")))
