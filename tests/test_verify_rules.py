"""A rule whose promise does not hold in the written bytes stops the release."""

from __future__ import annotations

from datetime import date

import pytest

from fw_gear_deid.deid import Context, dataset
from fw_gear_deid.deid.incoming import Incoming
from fw_gear_deid.deid.member import deidentify_member
from fw_gear_deid.formats.dicom import part10
from fw_gear_deid.keys import Keyring
from fw_gear_deid.model.errors import Unfit
from fw_gear_deid.profile.parse import parse_profile
from tests.dicom_files import SYNTAXES, Leaf
from tests.dicom_files import part10 as built

SOURCE = (
    Leaf(0x00080016, "UI", b"1.2.840.10008.5.1.4.1.1.4\0"),
    Leaf(0x00080018, "UI", b"1.2.3.4 ".replace(b" ", b"\0")),
    Leaf(0x00080050, "SH", b"ACC1"),
    Leaf(0x00100010, "PN", b"ZZ^A"),
    Leaf(0x00100020, "LO", b"ID77"),
)


def context(fields: str) -> Context:
    profile = parse_profile(f"dicom:\n  fields:\n{fields}", "p.yaml")
    return Context(profile, Keyring(bytes(32)), "s", date(2026, 1, 1), "strict")


def unchanged(data: bytes, ctx: Context) -> None:
    """Ask about a result in which the rules did nothing."""
    section = ctx.profile.dicom
    assert section is not None
    done = dataset.edit(dataset.open_file(data, section), section, ctx.draw("p"), "p", ctx.today)
    done.body = []
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
