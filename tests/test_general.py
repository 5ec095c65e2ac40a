"""What no entry names by its place: entries for a VR, and a table."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from fw_gear_deid.actions import Hash, Keep, Remove, Replace
from fw_gear_deid.deid import dataset
from fw_gear_deid.formats.dicom import part10 as codec
from fw_gear_deid.model.errors import Unfit
from fw_gear_deid.model.ruling import Asked, Ruling
from fw_gear_deid.profile.compiled import DicomSection
from fw_gear_deid.profile.parse import parse_profile
from tests import oracle
from tests.dicom_files import CT, SYNTAXES, Item, Leaf, Node, Seq, part10, text

MR = "1.2.840.10008.5.1.4.1.1.4"


@dataclass(frozen=True)
class Toy:
    """A table by tag, VR, creator, way and class."""

    asked: Any = None
    mates: Any = field(default_factory=dict)

    def rule(self, asked: Asked) -> Ruling | None:
        if self.asked is not None:
            self.asked.append(asked)
        match asked:
            case Asked(tag=0x00081140):
                return Ruling("toy X", (Remove(),))
            case Asked(tag=0x00081115):
                return Ruling("toy Z", (Replace(()),))
            case Asked(tag=0x00400275):
                return Ruling("toy K", (Keep(),))
            case Asked(vr="SH", way=(0x00400275,)):
                return Ruling("toy way", (Replace(("INSIDE",)),))
            case Asked(vr="PN", sop_class=sop_class):
                return Ruling("toy D", (Replace(("MR",) if sop_class == MR else ("OTHER",)), Hash(8)))
            case Asked(creator="GEMS_IDEN_01", vr="SH"):
                return Ruling("toy safe", (Keep(),))
            case Asked(tag=tag) if tag >> 16 & 1:
                return Ruling("toy private", (Remove(),))
        return None


def section_of(fields: str = "    - name: StudyID\n", table: Any = None) -> DicomSection:
    section = parse_profile(f"dicom:\n  fields:\n{fields}", "toy.yaml").dicom
    assert section is not None
    return replace(section, table=table or Toy())


def nodes_of(sop_class: str = CT, *more: Node) -> tuple[Node, ...]:
    nodes = (
        text(0x00080016, "UI", sop_class),
        text(0x00080018, "UI", "1.2.3"),
        Seq(0x00081115, (Item((text(0x00080060, "CS", "CT"),)),)),
        Seq(0x00081140, (Item((text(0x00100010, "PN", "IN^SIDE"),)),)),
        text(0x00100010, "PN", "A^B"),
        text(0x00200010, "SH", "STUDY"),
        Seq(0x00400275, (Item((text(0x00080050, "SH", "ACC"), text(0x00100010, "PN", "C^D"))),)),
    )
    return tuple(sorted((*nodes, *more), key=lambda node: node.tag))


def done_with(section: DicomSection, nodes: tuple[Node, ...], syntax: str = "explicit") -> tuple[dataset.Edited, Any]:
    done, got = oracle.carried_out(part10(nodes, SYNTAXES[syntax]), section)
    _, meta = codec.write(done.parts, done.meta, done.body)
    dataset.check(done, got, meta)
    return done, oracle.read(got)


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_a_table_decides_where_no_entry_does(syntax: str) -> None:
    done, got = done_with(section_of(), nodes_of(), syntax)
    assert "ReferencedImageSequence" not in got
    assert list(got.ReferencedSeriesSequence) == []
    inside = got.RequestAttributesSequence[0]
    assert inside.AccessionNumber == "INSIDE"
    assert len(str(got.PatientName)) == 8 and got.PatientName == inside.PatientName
    assert got.StudyID == "STUDY"
    assert {edit.rule for edit in done.edits} >= {"toy X", "toy Z", "toy D", "toy way"}


def test_an_entry_goes_before_the_table_at_its_place_alone() -> None:
    _, got = done_with(section_of("    - name: PatientName\n      replace-with: ENTRY\n"), nodes_of())
    assert got.PatientName == "ENTRY"
    assert got.RequestAttributesSequence[0].PatientName not in ("ENTRY", "C^D")


def test_files_of_two_classes_by_one_plan() -> None:
    asked: list[Asked] = []
    section = section_of(table=Toy(asked))
    names = [str(done_with(section, nodes_of(sop_class))[1].PatientName) for sop_class in (MR, CT, MR, CT, CT)]
    assert names[0] == names[2] != names[1] == names[3] == names[4]
    count = len(asked)
    done_with(section, nodes_of(MR))
    assert len(asked) == count


PRIVATE = (
    text(0x00090010, "LO", "GEMS_IDEN_01"),
    text(0x00090011, "LO", "SOMEBODY"),
    text(0x00091001, "LO", "NAME"),
    text(0x00091002, "SH", "SAFE"),
    text(0x00091101, "LO", "NAME"),
)


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_a_creator_goes_with_the_last_of_its_block(syntax: str) -> None:
    _, got = done_with(section_of(), nodes_of(CT, *PRIVATE), syntax)
    assert [elem.tag for elem in got.group_dataset(0x0009)] == [0x00090010, 0x00091002]


def test_what_a_table_promises_is_checked() -> None:
    section = section_of()
    data = part10(nodes_of(CT, *PRIVATE), SYNTAXES["explicit"])
    done, _ = oracle.carried_out(data, section)
    for path in ("(0010,0010)", "(0008,1140)", "(0040,0275)[0](0008,0050)", "(0009,1101)", "(0009,0011)"):
        numbers = {edit.path: edit for edit in done.edits}
        assert path in numbers
    for index in range(len(done.body)):
        left = [splice for number, splice in enumerate(done.body) if number != index]
        pieces, meta = codec.write(done.parts, done.meta, left)
        broken = replace(done, body=left)
        with pytest.raises(Unfit, match="verification"):
            dataset.check(broken, b"".join(pieces), meta)


def test_elements_before_their_creator_are_decided_by_it() -> None:
    nodes = (*nodes_of(CT)[:2], Leaf(0x00091002, "SH", b"SAFE"), text(0x00090010, "LO", "GEMS_IDEN_01"))
    _, got = done_with(section_of(), nodes)
    assert got[0x00091002].value == "SAFE"
