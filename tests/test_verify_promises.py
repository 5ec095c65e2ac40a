"""Every kind of place that a rule can point at is looked at in the result: one where the rule did nothing is noticed."""

from __future__ import annotations

from datetime import date

import pytest

from fw_gear_deid.deid import Context, dataset
from fw_gear_deid.formats.dicom import part10
from fw_gear_deid.keys import Keyring
from fw_gear_deid.model.errors import Unfit
from fw_gear_deid.profile.parse import parse_profile
from tests.dicom_files import SYNTAXES, Item, Leaf, Node, Seq, text
from tests.dicom_files import part10 as built
from tests.test_verify_rules import unchanged

NAMED = (text(0x00100010, "PN", "ZZ^A"), text(0x00100020, "LO", "ZZ77"))
REMOVE, SET, HASH = "remove: true", "replace-with: OTHER\n      replace-with-insert: false", "hash: true"
BELOW = Seq(0x00081140, (Item((text(0x00080050, "SH", "ZZ1"),)), Item(NAMED)))
DEEP = Seq(0x00089215, (Item((BELOW,)),))
PRIVATE = (text(0x00090010, "LO", "ACME 1"), text(0x00091001, "LO", "ZZ SECRET"))
OVERLAY = (text(0x60003000, "OB", b"ZZ SECRET!"),)
CASES: dict[str, tuple[str, str, Node | tuple[Node, ...]]] = {
    # options and address of a rule, and what stands in the file besides what identifies it
    "top": ("", "name: PatientName", NAMED),
    "in an item": ("  recurse-sequence: true\n", "name: PatientName", BELOW),
    "deep": ("  recurse-sequence: true\n", "name: PatientName", DEEP),
    "by tag": ("", "name: (0010,0010)", NAMED),
    "by path": ("", "name: ReferencedImageSequence.1.PatientName", BELOW),
    "by path of any item": ("", "name: ReferencedImageSequence.*.PatientName", BELOW),
    "by path of numbers": ("", "name: '00081140.1.00100010'", BELOW),
    "by a pattern of keywords": ("", r"regex: '(.*\.)?PatientName$'", DEEP),
    "by a pattern of one keyword": ("", "regex: Patient.*", NAMED),
    "by a pattern of numbers": ("", "regex: '00100010'", NAMED),
    "by a pattern of numbers below": ("", r"regex: '00081140\.1\.0010.*'", BELOW),
    "by creator": ("", "name: (0009, \"ACME 1\", 01)", PRIVATE),
    "by creator in an item": ("  recurse-sequence: true\n", "name: (0009, \"ACME 1\", 01)", Seq(0x00081140, (Item(PRIVATE),))),
    "groups": ("", "name: (60xx,3000)", OVERLAY),
    "groups in an item": ("  recurse-sequence: true\n", "name: (60xx,3000)", Seq(0x00081140, (Item(OVERLAY),))),
}  # fmt: skip
ALL_PRIVATE = {
    "private": PRIVATE,
    "private in an item": Seq(0x00081140, (Item(PRIVATE),)),
    "a creator alone": PRIVATE[:1],
    "before its creator": PRIVATE[::-1],
}


def source(nodes: Node | tuple[Node, ...], syntax: str) -> bytes:
    listed = nodes if isinstance(nodes, tuple) else (nodes,)
    own = (text(0x00080016, "UI", "1.2.840.10008.5.1.4.1.1.4"), text(0x00080018, "UI", "1.2.3.4"))
    return built([*own, *listed], SYNTAXES[syntax])


def context(options: str, entry: str) -> Context:
    profile = parse_profile(f"dicom:\n{options}  fields:\n{entry}", "p.yaml")
    return Context(profile, Keyring(bytes(32)), "s", date(2026, 1, 1), "strict")


@pytest.mark.parametrize("syntax", ["explicit", "implicit", "big", "deflated"])
@pytest.mark.parametrize("action", [REMOVE, SET, HASH])
@pytest.mark.parametrize("case", CASES)
def test_a_rule_that_did_nothing_is_noticed(case: str, action: str, syntax: str) -> None:
    options, where, nodes = CASES[case]
    if action != REMOVE and ("60xx" in where or (syntax == "implicit" and "ACME" in where)):
        return  # bytes take neither
    ctx = context(options, f"    - {where}\n      {action}\n")
    wanted = {REMOVE: "is not gone", SET: "is not what the rule sets", HASH: "is not different from the source"}
    with pytest.raises(Unfit, match=wanted[action]) as caught:
        unchanged(source(nodes, syntax), ctx)
    assert "ZZ" not in str(caught.value)


@pytest.mark.parametrize("syntax", ["explicit", "implicit", "big", "deflated"])
@pytest.mark.parametrize("case", ALL_PRIVATE)
def test_private_elements_that_stayed_are_noticed(case: str, syntax: str) -> None:
    ctx = context("  remove-private-tags: true\n", f"    - name: PatientName\n      {REMOVE}\n")
    nodes = ALL_PRIVATE[case]
    with pytest.raises(Unfit, match=r"remove-private-tags: .*is not gone"):
        unchanged(source(nodes, syntax), ctx)


@pytest.mark.parametrize("syntax", ["explicit", "implicit"])
def test_private_elements_that_a_rule_names_may_stay(syntax: str) -> None:
    entry = '    - name: (0009, "ACME 1", 01)\n      keep: true\n'
    unchanged(source(PRIVATE, syntax), context("  remove-private-tags: true\n", entry))
    more = (*PRIVATE, Leaf(0x00091002, "UN", b"ZZ SECRET!"))
    with pytest.raises(Unfit, match="remove-private-tags"):
        unchanged(source(more, syntax), context("  remove-private-tags: true\n", entry))
    other = (text(0x00090010, "LO", "OTHER"), PRIVATE[1])
    with pytest.raises(Unfit, match="remove-private-tags"):
        unchanged(source(other, syntax), context("  remove-private-tags: true\n", entry))


def test_without_recursion_a_rule_speaks_of_the_top_alone() -> None:
    unchanged(source(BELOW, "explicit"), context("", "    - name: PatientName\n      remove: true\n"))


@pytest.mark.parametrize("syntax", ["explicit", "implicit", "big", "deflated"])
@pytest.mark.parametrize("tag", [0x00080018, 0x0020000D])
def test_uids_that_stayed_are_noticed(tag: int, syntax: str) -> None:
    name = {0x00080018: "SOPInstanceUID", 0x0020000D: "StudyInstanceUID"}[tag]
    data = source((text(0x0020000D, "UI", "1.2.3.5"),), syntax)
    with pytest.raises(Unfit, match=r"is not different from the source|MediaStorageSOPInstanceUID is not"):
        unchanged(data, context("", f"    - name: {name}\n      hashuid: true\n"))


@pytest.mark.parametrize("raw", ["20200230", "20201301", "2020", "ZZSECRET", "20200202", "00000101"])
@pytest.mark.parametrize("action", ["increment-date: true", "increment-datetime: true"])
def test_dates_that_are_none_are_noticed(action: str, raw: str) -> None:
    """Where a moved date stands now must be a date, whatever else it is."""
    moment = "StudyDate" if action == "increment-date: true" else "AcquisitionDateTime"
    node = text(0x00080020, "DA", "20200101") if moment == "StudyDate" else text(0x0008002A, "DT", "20200101120000")
    ctx = context("  date-increment: 17\n", f"    - name: {moment}\n      {action}\n")
    section = ctx.profile.dicom
    assert section is not None
    done = dataset.edit(dataset.open_file(source((node,), "explicit"), section), section, ctx.draw("p"), "p", ctx.today)
    [(start, end, new)] = done.body
    done.body = [(start, end, new[:8] + raw.ljust(len(new) - 8).encode())]
    pieces, meta = part10.write(done.parts, done.meta, done.body)
    legal = raw == "20200202" or (raw == "2020" and moment != "StudyDate")
    if legal:
        dataset.check(done, b"".join(pieces), meta)
        return
    with pytest.raises(Unfit, match="is not another value"):
        dataset.check(done, b"".join(pieces), meta)
