"""A rule whose promise does not hold in the written bytes stops the release."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from fw_gear_deid.deid import Context, dataset
from fw_gear_deid.deid.incoming import Incoming
from fw_gear_deid.deid.member import deidentify_member
from fw_gear_deid.formats.dicom import part10, values
from fw_gear_deid.keys import Keyring
from fw_gear_deid.model.errors import Unfit
from fw_gear_deid.plan import edits
from fw_gear_deid.profile.parse import parse_profile
from tests.dicom_files import SYNTAXES, Item, Leaf, Seq, encode
from tests.dicom_files import part10 as built

SOURCE = (
    Leaf(0x00080016, "UI", b"1.2.840.10008.5.1.4.1.1.4\0"),
    Leaf(0x00080018, "UI", b"1.2.3.4 ".replace(b" ", b"\0")),
    Leaf(0x00080050, "SH", b"ACC1"),
    Leaf(0x00100010, "PN", b"ZZ^A"),
    Leaf(0x00100020, "LO", b"ID77"),
)


def context(fields: str, options: str = "") -> Context:
    profile = parse_profile(f"dicom:\n{options}  fields:\n{fields}", "p.yaml")
    return Context(profile, Keyring(bytes(32)), "s", date(2026, 1, 1), "strict")


def unchanged(data: bytes, ctx: Context, *, meta_too: bool = False) -> None:
    """Ask about a result in which the rules did nothing."""
    section = ctx.profile.dicom
    assert section is not None
    done = dataset.edit(dataset.open_file(data, section), section, ctx.draw("p"), "p", ctx.today)
    done.body = []
    done.meta = [] if meta_too else done.meta
    pieces, meta = part10.write(done.parts, done.meta, done.body)
    dataset.check(done, b"".join(pieces), meta)


@pytest.mark.parametrize(
    ("fields", "wanted"),
    [
        ("    - name: PatientName\n      remove: true\n", "is not gone"),
        ("    - name: PatientID\n      replace-with: OTHER\n", "is not what the rule sets"),
        ("    - name: PatientID\n      replace-with: X\n      replace-with-append: true\n", "is not at its end what"),
        ("    - name: AccessionNumber\n      hash: true\n", "is not different from the source"),
        ("    - regex: 'Patient.*'\n      remove: true\n", "is not gone"),
    ],
)
def test_a_rule_that_did_nothing_is_noticed(fields: str, wanted: str) -> None:
    ctx = context(fields)
    data = built(SOURCE, SYNTAXES["explicit"])
    with pytest.raises(Unfit, match=wanted) as caught:
        unchanged(data, ctx)
    assert "ZZ" not in str(caught.value)
    deidentify_member(Incoming(iter([data]), len(data)), "a.dcm", ctx)


def test_the_last_rule_for_an_element_counts() -> None:
    fields = (
        "    - name: PatientID\n      remove: true\n    - name: (0010,0020)\n      replace-with: NEW\n"
        "    - name: PatientName\n      replace-with: A\n    - name: PatientName\n      replace-with: B\n"
    )
    data = built(SOURCE, SYNTAXES["explicit"])
    done = b"".join(deidentify_member(Incoming(iter([data]), len(data)), "a.dcm", context(fields)).pieces)
    assert b"NEW" in done
    assert b"B " in done


def test_what_is_appended_stands_behind_what_was_there() -> None:
    fields = "    - name: PatientID\n      replace-with: [NEW, ID]\n      replace-with-append: true\n"
    data = built(SOURCE, SYNTAXES["explicit"])
    once = b"".join(deidentify_member(Incoming(iter([data]), len(data)), "a.dcm", context(fields)).pieces)
    assert b"ID77\\NEW\\ID " in once
    twice = b"".join(deidentify_member(Incoming(iter([once]), len(once)), "a.dcm", context(fields)).pieces)
    assert twice == once


PRIVATE = (Leaf(0x00090010, "LO", b"ACME"), Leaf(0x00091001, "LO", b"ZZ^A"), Leaf(0x00091002, "LO", b"ZZ^B"))
KEEP = "    - name: PatientID\n      keep: true\n"
CREATOR = "    - {name: '(0009,\"ACME\",01)', keep: true}\n"
ONLY = "".join(
    f"    - {{name: {name}, keep: true}}\n"
    for name in ["PatientID", "PatientName", "AccessionNumber", "SOPInstanceUID"]
)
LATE = (PRIVATE[1], PRIVATE[0])  # an element before its creator
SEQUENCE = (Seq(0x00081140, (Item((Leaf(0x00081155, "UI", b"1.2\0"), Leaf(0x00100010, "PN", b"ZZ^A"))),)),)


@pytest.mark.parametrize(
    ("options", "fields", "more", "wanted"),
    [
        ("  remove-undefined: true\n", KEEP, (), "remove-undefined: .* is not gone"),
        ("  remove-undefined: true\n", KEEP, PRIVATE, "is not gone"),
        (
            "  remove-undefined: true\n",
            ONLY,
            SEQUENCE,
            r"remove-undefined: \(0008,1140\)\[0\]\(0008,1155\) is not gone",
        ),
        ("  remove-undefined: true\n", ONLY + CREATOR, PRIVATE, "remove-undefined: .*02.* is not gone"),
        ("  remove-undefined: true\n", ONLY + CREATOR, LATE, ""),
        ("  remove-undefined: true\n", ONLY, LATE, "remove-undefined: .* is not gone"),
        ("  remove-private-tags: true\n", KEEP, PRIVATE, "remove-private-tags: .* is not gone"),
        ("  remove-private-tags: true\n", KEEP + CREATOR, PRIVATE, "remove-private-tags: .*02.* is not gone"),
        ("", KEEP, (), ""),
    ],
)
def test_an_option_that_did_nothing_is_noticed(options: str, fields: str, more: tuple[Any, ...], wanted: str) -> None:
    in_order = (*SOURCE, *more) if more == LATE else sorted((*SOURCE, *more), key=lambda one: one.tag)
    data = built(tuple(in_order), SYNTAXES["explicit"])
    if wanted:
        with pytest.raises(Unfit, match=wanted) as caught:
            unchanged(data, context(fields, options))
        assert "ZZ" not in str(caught.value)
    else:
        unchanged(data, context(fields, options))
    deidentify_member(Incoming(iter([data]), len(data)), "a.dcm", context(fields, options))


META = encode(
    (
        Leaf(0x00020003, "UI", b"1.2.3.4\0"),
        Leaf(0x00020010, "UI", b"1.2.840.10008.1.2.1\0"),
        Leaf(0x00020016, "AE", b"ZZ_A"),
    ),
    SYNTAXES["explicit"],
)


def test_file_meta_that_stays_is_noticed() -> None:
    data = built(SOURCE, SYNTAXES["explicit"], meta=META)
    with pytest.raises(Unfit, match=r"always: file meta: \(0002,0016\) is not gone"):
        unchanged(data, context(KEEP), meta_too=True)
    unchanged(data, context(KEEP))
    unchanged(data, context(KEEP + "    - {name: '(0002,0016)', keep: true}\n"), meta_too=True)


@pytest.mark.parametrize(("age", "fine"), [(b"045Y", True), (b"ZZ^A", False), (b"45Y ", False)])
def test_an_age_is_one(age: bytes, fine: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    born, studied = Leaf(0x00100030, "DA", b"19750101"), Leaf(0x00080020, "DA", b"20200229")
    data = built((*SOURCE[:2], studied, *SOURCE[2:], born), SYNTAXES["explicit"])
    monkeypatch.setattr(edits, "age_of", lambda *texts: age.decode())
    monkeypatch.setattr(values, "encode", lambda texts, *rest, **more: texts[0].encode())
    ctx = context(KEEP, "  patient-age-from-birthdate: true\n")
    if fine:
        deidentify_member(Incoming(iter([data]), len(data)), "a.dcm", ctx)
        return
    with pytest.raises(Unfit, match=r"patient-age-from-birthdate: \(0010,1010\) is not a date"):
        deidentify_member(Incoming(iter([data]), len(data)), "a.dcm", ctx)
