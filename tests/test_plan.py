"""Rules over whole files: as pydicom carries them out one after the other, and whatever was remembered of other files."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fw_gear_deid.actions import Keep, Replace
from fw_gear_deid.deid import Context, dataset
from fw_gear_deid.deid.incoming import Incoming
from fw_gear_deid.deid.member import deidentify_member
from fw_gear_deid.keys import Keyring
from fw_gear_deid.model.errors import Unfit
from fw_gear_deid.model.selectors import TagAt
from fw_gear_deid.profile.parse import parse_profile
from tests import oracle, strategies
from tests.dicom_files import CT, SYNTAXES, Item, Leaf, Node, Seq, Syntax, encode, file_meta, meta_of, part10, text

syntaxes = pytest.mark.parametrize("syntax", [pytest.param(syntax, id=name) for name, syntax in SYNTAXES.items()])


@syntaxes
@settings(strategies.PROFILE, max_examples=150)
@given(data=st.data())
def test_rules_one_after_the_other(syntax: Syntax, data: Any) -> None:
    """One pass over a file does what the rules would do one by one, and the audit tells where."""
    nodes = data.draw(strategies.documents(syntax).filter(lambda nodes: _is_readable(nodes, syntax)))
    recurse = data.draw(st.booleans())
    section = oracle.section_with(data.draw(strategies.rules([nodes], recurse=recurse)), recurse=recurse)
    src = part10(nodes, syntax)
    done, got = oracle.carried_out(src, section)
    assert oracle.differences(oracle.by_rules(src, section), got) == []
    changed = {line.split(" ")[0] for line in oracle.differences(oracle.read(src), got)}
    assert {oracle.numbers_of(edit.path) for edit in done.edits} == changed
    oracle.hold(done, got, oracle.promises_of(section))


@settings(strategies.PROFILE, max_examples=100)
@given(data=st.data())
def test_what_is_remembered_changes_nothing(data: Any) -> None:
    """Files of all kinds, in any order and again, come out as each does alone."""
    drawn = st.sampled_from(list(SYNTAXES.values())).flatmap(
        lambda syntax: strategies.documents(syntax).map(lambda nodes: (nodes, part10(nodes, syntax)))
    )
    documents = data.draw(st.lists(drawn, min_size=2, max_size=4))
    recurse = data.draw(st.booleans())
    rules = data.draw(strategies.rules([nodes for nodes, _ in documents], recurse=recurse))
    section = oracle.section_with(rules, recurse=recurse)
    alone = {}
    for _, src in documents:
        dataset._PLANS.clear()
        done, got = oracle.carried_out(src, section)
        alone[src] = got, done.edits, done.matched
    dataset._PLANS.clear()
    for src in data.draw(st.permutations([*alone, *alone])):
        done, got = oracle.carried_out(src, section)
        assert (got, done.edits, done.matched) == alone[src]
        oracle.hold(done, got, oracle.promises_of(section))


def _is_readable(nodes: Any, syntax: Syntax) -> bool:
    return syntax.little or not strategies.has_un_sequence(nodes)


# -- what went wrong once ------------------------------------------------

SOURCE = (text(0x00080016, "UI", CT), text(0x00080018, "UI", "1.2.3"))
BLOCK = (text(0x00090010, "LO", "GEMS_IDEN_01"), text(0x00091002, "SH", "ABC"))
ITEM = Seq(0x00400275, (Item((text(0x00080060, "CS", "CT"),)),))
PRIVATE = '(0009, "GEMS_IDEN_01", 02)'


def deidentified(nodes: tuple[Node, ...], profile: str, syntax: str = "explicit", meta: bytes | None = None) -> bytes:
    ctx = Context(parse_profile(profile, "p.yaml"), Keyring(bytes(32)), "s", date(2026, 1, 1), "strict")
    data = part10(nodes, SYNTAXES[syntax], meta=meta)
    return b"".join(deidentify_member(Incoming(iter([data]), len(data)), "a.dcm", ctx).pieces)


@pytest.mark.parametrize("index", [0, 1])
@pytest.mark.parametrize("sequence", [(ITEM,), (Seq(0x00400275),), ()], ids=["other", "empty", "absent"])
def test_an_allow_list_makes_elements_in_a_sequence_without_them(sequence: tuple[Node, ...], index: int) -> None:
    path = f"RequestAttributesSequence.{index}.ScheduledProcedureStepDescription"
    fields = f"    - name: {path}\n      replace-with: MADE\n"
    got = oracle.read(deidentified((*SOURCE, *sequence), f"dicom:\n  remove-undefined: true\n  fields:\n{fields}"))
    items = got.RequestAttributesSequence
    assert [[elem.keyword for elem in item] for item in items] == [[]] * index + [["ScheduledProcedureStepDescription"]]


@pytest.mark.parametrize("option", ["", "  remove-private-tags: true\n", "  remove-undefined: true\n"])
def test_a_private_element_goes_and_comes_back(option: str) -> None:
    fields = f"    - name: '{PRIVATE}'\n      remove: true\n    - name: '{PRIVATE}'\n      replace-with: NEW\n"
    got = oracle.read(deidentified((*SOURCE, *BLOCK), f"dicom:\n{option}  fields:\n{fields}"))
    assert got.private_block(0x0009, "GEMS_IDEN_01")[0x02].value == "NEW"


@pytest.mark.parametrize(
    ("element", "value"), [(BLOCK[1], "NEW"), (Seq(0x00091002, (Item(),)), '""')], ids=["text", "sequence"]
)
def test_a_number_makes_no_private_element_whose_creator_is_gone(element: Node, value: str) -> None:
    fields = f"    - name: '(0009,1002)'\n      replace-with: {value}\n"
    with pytest.raises(Unfit, match="no dictionary knows a VR"):
        deidentified((*SOURCE, BLOCK[0], element), f"dicom:\n  remove-private-tags: true\n  fields:\n{fields}")


def test_file_meta_out_of_order_is_checked_as_it_stands() -> None:
    first, second, *others = meta_of(SYNTAXES["explicit"])
    profile = "dicom:\n  fields:\n    - name: PatientSex\n      replace-with: M\n"
    got = deidentified(SOURCE, profile, meta=file_meta([second, first, *others]))
    assert oracle.read(got).PatientSex == "M"


def test_bytes_that_begin_like_an_item_are_checked_as_bytes() -> None:
    profile = "dicom:\n  fields:\n    - name: PatientSex\n      replace-with: M\n"
    odd = Leaf(0x00091002, "UN", b"\xfe\xff\x00\xe0odd")
    assert oracle.read(deidentified((*SOURCE, BLOCK[0], odd), profile)).PatientSex == "M"


@pytest.mark.parametrize(
    ("syntax", "other"), [("deflated", "1.2.3"), ("explicit", SYNTAXES["deflated"].uid), ("big", "1.2.3")]
)
def test_a_transfer_syntax_that_the_bytes_are_not_in_does_not_leave(syntax: str, other: str) -> None:
    fields = f"    - name: TransferSyntaxUID\n      replace-with: {other}\n"
    with pytest.raises(Unfit, match="does not parse"):
        deidentified(SOURCE, f"dicom:\n  fields:\n{fields}", syntax)


def test_what_stands_twice_is_noticed_in_a_file_out_of_order() -> None:
    """Behind the first element that is out of order every tag counts."""
    section = oracle.section_with([(TagAt(0x00100020), Keep())], recurse=False)
    nodes = (*SOURCE, text(0x00100020, "LO", "A"), text(0x00080060, "CS", "CT"), text(0x00200013, "IS", "1"))
    done, got = oracle.carried_out(part10(nodes, SYNTAXES["explicit"]), section)
    oracle.hold(done, got, ())
    again, end = encode(nodes[-1:], SYNTAXES["explicit"]), done.parts.body.end
    done.body.append((end, end, again))
    with pytest.raises(Unfit, match=r"\(0020,0013\) stands twice"):
        oracle.hold(done, got + again, ())


@syntaxes
def test_an_element_behind_a_sequence_in_un_that_ends_with_one_of_its_name(syntax: Syntax) -> None:
    """Where it is put the item ends as well, in which it would have no VR."""
    inside = Seq(0x00081140, (Item((text(0x0040A160, "UT", "A"),)),), vr="UN")
    section = oracle.section_with([(TagAt(0x0040A160), Replace(("B",)))], recurse=True)
    done, got = oracle.carried_out(part10((*SOURCE, inside), syntax), section)
    oracle.hold(done, got, oracle.promises_of(section))
