"""What a plan or walk that errs leaves behind, or takes untold, stops the release: the check reads the source itself."""

from __future__ import annotations

import io
import random
from collections.abc import Callable
from dataclasses import replace
from datetime import date

import pydicom
import pytest
from pydicom.dataset import Dataset

from fw_gear_deid.deid import Result, dataset
from fw_gear_deid.formats.dicom import level, part10, walk
from fw_gear_deid.model.errors import Unfit
from fw_gear_deid.plan.edits import Edits
from fw_gear_deid.profile.parse import parse_profile
from fw_gear_deid.verify.source import TRAILING
from tests.desk import PROFILE, Bench, edits_of, instance
from tests.dicom_files import IDENTITY, SYNTAXES, Item, Node, Seq, Syntax, encode, text
from tests.dicom_files import part10 as built

RULES = """dicom:
  fields:
    - {name: AccessionNumber, remove: true}
    - {name: PatientID, replace-with: OTHER}
    - {name: StudyDescription, replace-with: NEW}
    - {name: 'ReferencedImageSequence.0.ReferencedSOPInstanceUID', hashuid: true}
"""
REFERENCES = Seq(
    0x00081140,
    (Item((text(0x00081150, "UI", "1.2.3"), text(0x00081155, "UI", "1.2.4.5"), text(0x00081160, "IS", "12"))),),
)
COMMENTS, STUDY = text(0x00104000, "LT", "COMMENTS"), text(0x0020000D, "UI", "1.2.3.4.5")
NODES: tuple[Node, ...] = (
    *IDENTITY[:2],
    text(0x00080050, "SH", "ACCESS01"),
    IDENTITY[2],
    text(0x00080070, "LO", "MAKER001"),
    REFERENCES,
    *IDENTITY[3:],
    COMMENTS,
    STUDY,
    text(0x00280030, "DS", "1\\1 "),
)
EVERY = pytest.mark.parametrize("syntax", ["explicit", "implicit", "big", "deflated"])
Mutation = Callable[[dataset.Edited], None]


def done_of(data: bytes) -> dataset.Edited:
    section = parse_profile(RULES, "p.yaml").dicom
    assert section is not None
    return dataset.edit(dataset.open_file(data, section), section, lambda purpose: 0, "nobody", date(2026, 1, 1))


def leave(done: dataset.Edited) -> None:
    """Write a result and ask whether it may leave."""
    pieces, meta = part10.write(done.parts, done.meta, done.body)
    dataset.check(done, b"".join(pieces), meta)


def refused(done: dataset.Edited, why: str) -> None:
    with pytest.raises(Unfit, match=why) as caught:
        leave(done)
    assert not any(value in str(caught.value) for value in ("ACCESS01", "MAKER001", "CANARY", "COMMENTS"))


def span(done: dataset.Edited, node: Node, syntax: Syntax) -> tuple[int, int]:
    """Return where an element stands."""
    raw = encode([node], syntax)
    assert done.parts.body_src.count(raw) == 1
    at = done.parts.body_src.index(raw)
    return at, at + len(raw)


def put(done: dataset.Edited, first: int, last: int, new: bytes = b"") -> None:
    """Put a splice instead of those that touch its span."""
    done.body[:] = sorted([*(one for one in done.body if one[1] <= first or last <= one[0]), (first, last, new)])


@EVERY
def test_a_result_leaves_when_nothing_is_wrong(syntax: str) -> None:
    leave(done_of(built(NODES, SYNTAXES[syntax])))


@EVERY
def test_an_element_that_goes_untold_is_found(syntax: str) -> None:
    done = done_of(built(NODES, SYNTAXES[syntax]))
    put(done, *span(done, COMMENTS, SYNTAXES[syntax]))
    done.edits = (*done.edits, done.edits[0])  # as many rows as changes
    refused(done, "the audit does not tell every change")


@EVERY
def test_two_elements_in_one_splice_are_found(syntax: str) -> None:
    done = done_of(built(NODES, SYNTAXES[syntax]))
    first, _ = span(done, NODES[2], SYNTAXES[syntax])
    _, last = span(done, NODES[3], SYNTAXES[syntax])
    put(done, first, last)
    refused(done, "more or less than one element")


@EVERY
def test_a_splice_from_value_to_value_is_found(syntax: str) -> None:
    """The result parses: the first element has another value, and the second is gone."""
    done = done_of(built(NODES, SYNTAXES[syntax]))
    _, behind = span(done, COMMENTS, SYNTAXES[syntax])
    _, last = span(done, STUDY, SYNTAXES[syntax])
    put(done, behind - 8, last, b"OTHERTXT")
    refused(done, "more or less than one element")


@EVERY
def test_two_elements_of_an_item_in_one_splice_are_found(syntax: str) -> None:
    done = done_of(built(NODES, SYNTAXES[syntax]))
    one = next(
        splice for splice in done.body if splice[2][:4] == b"\x08\0\x55\x11" or splice[2][:4] == b"\0\x08\x11\x55"
    )
    more = len(encode([text(0x00081160, "IS", "12")], SYNTAXES[syntax]))
    little = SYNTAXES[syntax].little
    for index, (start, end, new) in enumerate(done.body):
        if end - start == 4 == len(new):  # lengths are right for what is taken
            length = int.from_bytes(new, "little" if little else "big") - more
            done.body[index] = start, end, length.to_bytes(4, "little" if little else "big")
    done.body[done.body.index(one)] = one[0], one[1] + more, one[2]
    refused(done, "more or less than one element")


@EVERY
def test_a_row_that_is_missing_is_found(syntax: str) -> None:
    done = done_of(built(NODES, SYNTAXES[syntax]))
    rows = done.edits
    assert len(rows) > 3
    for row in rows:
        done.edits = tuple(replace(row, path="(0008,0070)") if one is row else one for one in rows)
        refused(done, "the audit does not tell every change")
        done.edits = tuple(one for one in rows if one is not row)
        refused(done, "the audit does not tell every change")


@EVERY
def test_two_elements_that_are_made_by_one_change_are_found(syntax: str) -> None:
    done = done_of(built(NODES, SYNTAXES[syntax]))
    more = encode([text(0x00081048, "PN", "MORE")], SYNTAXES[syntax])
    made = next(one for one in done.body if one[0] == one[1])
    done.body[done.body.index(made)] = made[0], made[1], made[2] + more
    refused(done, "more or less than one element")


@EVERY
@pytest.mark.parametrize("known", [False, True])
def test_a_walk_that_ends_early_is_found(syntax: str, known: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also when the length that it tells is as short."""
    honest = part10.read_plain

    def short(*args: object) -> part10.Parts:
        parts = honest(*args)  # type: ignore[arg-type]
        parts.body.end -= len(encode(NODES[-1:], SYNTAXES[syntax]))
        if known:
            parts.total = parts.body.end
        return parts

    monkeypatch.setattr(part10, "read_plain", short)
    refused(done_of(built(NODES, SYNTAXES[syntax])), "longer than what was read" if known else "are left behind")


@EVERY
def test_a_walk_that_passes_over_the_end_is_found(syntax: str) -> None:
    done = done_of(built(NODES, SYNTAXES[syntax]))
    done.parts.body.end -= 2
    done.parts.total -= 2
    refused(done, "parse")


def test_a_plan_that_carries_out_half_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = Edits.rows
    monkeypatch.setattr(Edits, "rows", lambda self: honest(self)[:-1])
    refused(done_of(built(NODES, SYNTAXES["explicit"])), "the audit does not tell every change")


def test_a_header_that_is_read_too_long_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """The walk takes the element behind for a part of the value."""
    honest = walk.Walker.beginning
    following = len(encode([NODES[3]], SYNTAXES["explicit"]))

    def swallow(self: walk.Walker, place: level.Place, start: int) -> tuple[level.Level, Unfit | None]:
        level, error = honest(self, place, start)
        level.found[:] = [
            one._replace(end=one.end + following) if one.want.tag == 0x00080050 else one for one in level.found
        ]
        return level, error

    monkeypatch.setattr(walk.Walker, "beginning", swallow)
    refused(done_of(built(NODES, SYNTAXES["explicit"])), "more or less than one element")


@pytest.mark.parametrize("after", [b"\0" * 10, b"junk that follows"])
def test_what_follows_the_last_element_is_told(after: bytes) -> None:
    pixels = (
        text(0x00280002, "US", b"\1\0"),
        text(0x00280010, "US", b"\2\0"),
        text(0x00280011, "US", b"\2\0"),
        text(0x00280100, "US", b"\x08\0"),
        text(0x7FE00010, "OB", b"abcd"),
    )
    done = done_of(built((*NODES[:-1], *pixels), SYNTAXES["explicit"], after=after))
    assert TRAILING in {row.path for row in done.edits}
    leave(done)
    done.edits = tuple(row for row in done.edits if row.path != TRAILING)
    if after.strip(b"\0"):
        refused(done, "bytes after the last element")
    else:
        leave(done)


def test_the_inflated_data_set_must_be_the_source_s() -> None:
    noise = random.Random(5).randbytes(1 << 17)
    nodes = (*NODES, text(0x7FE00008, "OF", noise))
    done = done_of(built(nodes, SYNTAXES["deflated"]))
    leave(done)
    done.parts.body_src = done.parts.body_src.replace(b"COMMENTS", b"OTHERTXT")
    refused(done, "not the data set of the source")
    honest = done_of(built(nodes, SYNTAXES["deflated"]))
    last = bytearray(honest.parts.body_src)
    last[-1] ^= 1
    honest.parts.body_src = bytes(last)
    refused(honest, "not the data set of the source")


def test_an_item_behind_one_that_ends_with_a_sequence(bench: Bench) -> None:
    """Where it is put, two sequences end; the outer one gets it."""
    inner = Dataset()
    inner.add_new(0x00090010, "LO", "SOMEBODY")
    inner.add_new(0x00091005, "SQ", [Dataset()])
    ds = pydicom.dcmread(io.BytesIO(instance()))
    ds.ReferencedImageSequence = [inner]
    stream = io.BytesIO()
    ds.save_as(stream, enforce_file_format=True)
    rules = PROFILE + "    - name: ReferencedImageSequence.1.Modality\n      replace-with: MR\n"
    done = bench.deid(stream.getvalue(), rules, "1.dcm")
    assert isinstance(done, Result)
    assert "(0008,1140)[1](0008,0060)" in [edit.path for _, edit in edits_of(done.trail)]
