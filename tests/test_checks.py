"""Questions that the check asks of bytes, each by itself: nothing else is wrong with what is shown to it here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from fw_gear_deid.deid import dataset
from fw_gear_deid.deid.dataset import plan_of
from fw_gear_deid.deid.incoming import Incoming
from fw_gear_deid.deid.member import deidentify_member
from fw_gear_deid.formats.dicom import part10
from fw_gear_deid.model.errors import Unfit
from fw_gear_deid.profile.parse import parse_profile
from fw_gear_deid.verify import frames
from fw_gear_deid.verify.instance import Checker
from fw_gear_deid.verify.source import Reader, Span, Splice
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
    encode,
    file_meta,
    meta_of,
    text,
)
from tests.dicom_files import part10 as built
from tests.test_frames import JPEG, data_of, image, segment
from tests.test_verify_rules import context

OWN = (text(0x00080016, "UI", CT), text(0x00080018, "UI", UID))
NAME, PATIENT = text(0x00100010, "PN", "ZZ^A"), text(0x00100020, "LO", "ZZ77")
BELOW = Seq(0x00081140, (Item((NAME,)),))
EXPLICIT = SYNTAXES["explicit"]


def checker(fields: str, options: str = "") -> Checker:
    section = parse_profile(f"dicom:\n{options}  fields:\n{fields}", "p.yaml").dicom
    assert section is not None
    return plan_of(section).checker


def span(data: bytes, meta: bytes) -> Span:
    """Return where the parts of a plain file stand."""
    start = 132 + len(meta)
    return Span(data, data, 132, start, start, len(data), len(data))


def ask(
    one: Checker, nodes: Sequence[Node], splices: Sequence[Splice] = (), now: bytes | None = None,
    syntax: Syntax = EXPLICIT, meta: Sequence[Node] = (), paths: Sequence[str] = (), source: bytes | None = None,
) -> None:  # fmt: skip
    """Ask about a result that differs from its source by the splices, or is told."""
    head = file_meta(meta or meta_of(syntax))
    data = built([*OWN, *nodes], syntax, meta=head) if source is None else source
    out, at = b"", 0
    for first, last, new in splices:
        out, at = out + data[at:first] + new, last
    one.check(span(data, head), out + data[at:] if now is None else now, ((), list(splices), set(paths)))


REMOVE, HASH = "    - name: {}\n      remove: true\n", "    - name: {}\n      {}\n"
BLIND = checker(REMOVE.format("StudyDate"))


@pytest.mark.parametrize(
    ("nodes", "why"),
    [
        ([PATIENT, NAME, PATIENT], r"\(0010,0020\) stands twice"),
        ([Seq(0x00081140, (Item((PATIENT, NAME, PATIENT)),))], r"\(0010,0020\) stands twice"),
        ([NAME, Leaf(0xFFFCFFFC, "OB", b"ZZ SECRET ")], r"\(FFFC,FFFC\) is not gone"),
        ([Leaf(0x00081140, "UT", b"\xfe\xff\x00\xe0\x04\0\0\0ZZZZ")], "holds items and is no sequence"),
        ([Leaf(0x00081140, "UT", b"ab\xff\xfe\xe0\x00\x04\0\0\0ZZZZ")], "holds items and is no sequence"),
    ],
)
def test_what_no_result_holds(nodes: list[Node], why: str) -> None:
    """Though its source did, and no rule speaks of it."""
    with pytest.raises(Unfit, match=why) as caught:
        ask(BLIND, nodes)
    assert "SECRET" not in str(caught.value)


def test_an_element_that_runs_over_the_end() -> None:
    data = built([*OWN, PATIENT], EXPLICIT)
    long = data[:-6] + b"\x0c\0" + data[-4:]
    with pytest.raises(Unfit, match="the result does not parse"):
        ask(BLIND, [], source=long)


@pytest.mark.parametrize(
    "node",
    [
        text(0x00020002, "UI", CT.encode() + b"\0ZZ SECRET"), text(0x00020010, "UI", b"1.2.840.10008.1.2.1\0ZZ SECRET"),
        Leaf(0x00020001, "OB", b"\0\1ZZ SECRET "),
    ],
)  # fmt: skip
def test_text_behind_a_value_of_the_file_meta(node: Leaf) -> None:
    meta = {one.tag: one for one in (*meta_of(EXPLICIT), node)}
    with pytest.raises(Unfit, match="holds more than its value") as caught:
        ask(BLIND, [NAME], meta=[meta[tag] for tag in sorted(meta)])
    assert "SECRET" not in str(caught.value)


def test_private_elements_that_stand_before_their_creator() -> None:
    one = checker('    - name: (0009,"ACME 1",02)\n      keep: true\n', "  remove-private-tags: true\n")
    creator = text(0x00090010, "LO", "ACME 1")
    ask(one, [text(0x00091002, "LO", "stays"), creator])
    for nodes in ([text(0x00091001, "LO", "ZZ"), creator], [creator, text(0x00091001, "LO", "ZZ")]):
        with pytest.raises(Unfit, match=r"remove-private-tags: .* is not gone"):
            ask(one, nodes)


@pytest.mark.parametrize("undefined", [False, True])
def test_a_sequence_that_is_to_go_is_not_there(undefined: bool) -> None:
    one = checker(REMOVE.format("ReferencedImageSequence"))
    for items in ((Item((NAME,)),), ()):
        with pytest.raises(Unfit, match=r"\(0008,1140\) is not gone"):
            ask(one, [Seq(0x00081140, items, undefined)])


def replaced(nodes: Sequence[Node], old: Node, new: Node) -> list[Splice]:
    """Return the change of one element."""
    data = built([*OWN, *nodes], EXPLICIT)
    at = data.rindex(encode([old], EXPLICIT))
    return [(at, at + len(encode([old], EXPLICIT)), encode([new], EXPLICIT))]


@pytest.mark.parametrize(
    ("fields", "old", "new", "why"),
    [
        (REMOVE.format("PatientName"), NAME, text(0x00100010, "PN", "OTHER"), "is not gone"),
        (HASH.format("StudyInstanceUID", "hashuid: true"), "1.2.3", "no uid", "is no legal UID"),
        (HASH.format("StudyInstanceUID", "hashuid: true"), "1.2.3", "1.02.3", "is no legal UID"),
        (HASH.format("StudyInstanceUID", "hashuid: true"), "1.2.3", "1.2." + "3" * 62, "is no legal UID"),
        (HASH.format("StudyInstanceUID", "hashuid: true"), "1.2.3", "1.2.4\\ZZ", "is no legal UID"),
    ],
)
def test_what_was_changed_is_what_was_promised(fields: str, old: Any, new: Any, why: str) -> None:
    before = old if isinstance(old, Leaf) else text(0x0020000D, "UI", old)
    after = new if isinstance(new, Leaf) else text(0x0020000D, "UI", new)
    path = f"({before.tag >> 16:04X},{before.tag & 0xFFFF:04X})"
    with pytest.raises(Unfit, match=why):
        ask(checker(fields), [before], replaced([before], before, after), paths=[path])


def test_changes_do_not_lie_over_each_other() -> None:
    data = built([*OWN, NAME, PATIENT], EXPLICIT)
    at, size = data.index(encode([NAME], EXPLICIT)), len(encode([NAME], EXPLICIT))
    for splices in ([(at, at + size, b""), (at + 2, at + size, b"")], [(at, at + size, b""), (at - 8, at, b"")]):
        with pytest.raises(Unfit, match="changes lie over each other"):
            ask(BLIND, [NAME, PATIENT], splices, now=data[:at] + data[at + size :])


def test_elements_behind_the_last_one_are_none_of_it() -> None:
    """Well-formed ones: only the lengths tell that the source did not have them."""
    data = built([*OWN, NAME], EXPLICIT)
    with pytest.raises(Unfit, match="bytes follow the last element"):
        ask(BLIND, [NAME], now=data + encode([text(0x40000010, "LT", "ZZ SECRET")], EXPLICIT))


def test_a_data_set_of_nothing_is_none() -> None:
    data = built([NAME], EXPLICIT)
    head = file_meta(meta_of(EXPLICIT))
    at = 132 + len(head)
    told = ((), [(at, len(data), b"")], {"(0010,0010)"})
    with pytest.raises(Unfit, match="its data set is empty"):
        checker(REMOVE.format("PatientName")).check(span(data, head), data[:at], told)


def test_a_rule_does_not_make_an_inflated_data_set_of_a_deflated_one() -> None:
    for name, other in (("deflated", "explicit"), ("explicit", "deflated")):
        data = built([*OWN, NAME], SYNTAXES[name])
        rule = f"    - name: TransferSyntaxUID\n      replace-with: {SYNTAXES[other].uid}\n"
        with pytest.raises(Unfit):
            deidentify_member(Incoming(iter([data]), len(data)), "a.dcm", context(rule))


# -- of the source -------------------------------------------------------------------------------------

DATA = built([*OWN, NAME, PATIENT], EXPLICIT)
HEAD = 132 + len(file_meta(meta_of(EXPLICIT)))


@pytest.mark.parametrize(
    ("meta", "meta_end", "start", "why"),
    [
        (0, HEAD, HEAD, "the file meta of the source is not where it was read"),
        (146, HEAD, HEAD, "the file meta of the source is not where it was read"),
        (132, HEAD, HEAD + 30, "the data set of the source does not begin where it was read"),
        (132, 132 + 12, 132 + 12, "the file meta of the source is not where it was read"),
    ],
)
def test_parts_of_the_source_are_where_they_were_read(meta: int, meta_end: int, start: int, why: str) -> None:
    Reader().check(Span(DATA, DATA, 132, HEAD, HEAD, len(DATA), len(DATA)), (), (), set())
    with pytest.raises(Unfit, match=why):
        Reader().check(Span(DATA, DATA, meta, meta_end, start, len(DATA), len(DATA)), (), (), set())


def told(splices: Sequence[Splice], paths: Sequence[str]) -> None:
    Reader().check(Span(DATA, DATA, 132, HEAD, HEAD, len(DATA), len(DATA)), (), splices, set(paths))


def test_a_change_puts_one_element_in_the_place_of_one() -> None:
    first = DATA.index(encode([NAME], EXPLICIT))
    last = first + len(encode([NAME], EXPLICIT))
    one = encode([text(0x00100010, "PN", "NEW")], EXPLICIT)
    told([(first, last, one)], ["(0010,0010)"])
    for new in (one + encode([PATIENT], EXPLICIT), one[:-1], encode([PATIENT], EXPLICIT), one + b"\0"):
        with pytest.raises(Unfit, match="more or less than one element in"):
            told([(first, last, new)], ["(0010,0010)", "(0010,0020)"])


def test_a_mending_of_a_length_is_four_bytes() -> None:
    nodes = (*OWN, Seq(0x00081140, (Item((NAME, PATIENT)),)))
    data = built(nodes, EXPLICIT)
    at = data.index(encode([NAME], EXPLICIT))
    size = len(encode([NAME], EXPLICIT))
    inner, outer = at - 4, at - 12
    gone = (at, at + size, b"")
    length = len(encode([NAME, PATIENT], EXPLICIT)) - size
    right = [
        (outer, outer + 4, (length + 8).to_bytes(4, "little")),
        (inner, inner + 4, length.to_bytes(4, "little")),
        gone,
    ]
    whole = Span(data, data, 132, HEAD, HEAD, len(data), len(data))
    paths = {"(0008,1140)[0](0010,0010)"}
    Reader().check(whole, (), right, paths)
    for wrong in ((*right[0][:2], b"ZZZZZZ"), (outer, outer + 2, b"ZZZZ"), (outer, outer + 4, b"")):
        with pytest.raises(Unfit, match="more or less than one element"):
            Reader().check(whole, (), [wrong, *right[1:]], paths)


def frames_of(change: bytes, *, paths: bool = True, at: bytes = b"\xff\xfe") -> None:
    """Ask about a frame with a comment that is blanked, and with one more change in front of it or not."""
    data = data_of(JPEG, Fragments((b"", image(segment(0xFE, b"ZZ SECRET")))))
    ctx = context("    - name: StudyDate\n      remove: true\n")
    section = ctx.profile.dicom
    assert section is not None
    done = dataset.edit(dataset.open_file(data, section), section, ctx.draw("p"), "p", ctx.today)
    if change:
        where = data.rindex(at)
        done.body = sorted([*done.body, (where, where + len(change), change)])
    if not paths:
        done.edits = ()
    pieces, meta = part10.write(done.parts, done.meta, done.body)
    dataset.check(done, b"".join(pieces), meta)


def test_comments_in_frames_are_blanked_and_told_and_nothing_else_is() -> None:
    frames_of(b"")
    with pytest.raises(Unfit, match="the audit does not tell every change"):
        frames_of(b"", paths=False)


def test_what_stands_in_front_of_a_comment_is_the_sources() -> None:
    was = b"\xff\xd8" + segment(0xDB, b"TABLE") + segment(0xFE, b"ZZ SECRET") + segment(0xC0, b"FRAME") + b"\xff\xd9"
    blank = was.replace(b"ZZ SECRET", bytes(9))

    def check(now: bytes) -> None:
        src = b"\xfe\xff\x00\xe0\0\0\0\0\xfe\xff\x00\xe0" + len(now).to_bytes(4, "little") + now
        frames.check(src, 0, len(src), lambda start, stop: (src[:16] + was)[start:stop])

    check(blank)
    for find, now in ((b"TABLE", b"TABLF"), (b"FRAME", b"FRAMF"), (b"\xff\xdb", b"\xff\xc4")):
        with pytest.raises(Unfit, match="more than comments changed in a frame"):
            check(blank.replace(find, now))
