"""The instance's UID never leaves as it came where rules would leave none, and the file meta has the same."""

from __future__ import annotations

from datetime import date

import pytest

from fw_gear_deid.deid import Context
from fw_gear_deid.deid.incoming import Incoming
from fw_gear_deid.deid.member import deidentify_member
from fw_gear_deid.keys import Keyring
from fw_gear_deid.profile.parse import parse_profile
from tests import oracle
from tests.dicom_files import IDENTITY, SYNTAXES, UID, part10

INSTANCE, MEDIA = 0x00080018, 0x00020003
KEEP_LISTED = "  remove-undefined: true\n  fields:\n    - name: StudyDate\n      keep: true\n"
NAME = "  fields:\n    - name: PatientName\n      remove: true\n"
RULE = "  fields:\n    - name: SOPInstanceUID\n      {}\n"
OURS = "2.25.1"
PROFILES = {
    "an allow-list": (KEEP_LISTED, "other"),
    "an allow-list that names it": (KEEP_LISTED + "    - name: SOPInstanceUID\n      keep: true\n", "same"),
    "a rule that removes it": (RULE.format("remove: true"), "other"),
    "a rule that empties it": (RULE.format("replace-with: ''"), "other"),
    "a rule that hashes it": (RULE.format("hashuid: true"), "other"),
    "a rule that sets it": (RULE.format(f"replace-with: {OURS}"), OURS),
    "a rule that keeps it": (RULE.format("keep: true"), "same"),
    "a pattern that removes it": ("  fields:\n    - regex: SOP.*\n      remove: true\n", "other"),
    "nobody speaks of it": (NAME, "same"),
}


def uids(profile: str, *, without: bool, syntax: str) -> tuple[str | None, str | None]:
    """Return the UIDs in data set and file meta of a result, None where there is none."""
    nodes = [node for node in IDENTITY if not (without and node.tag == INSTANCE)]
    data = part10(nodes, SYNTAXES[syntax])
    ctx = Context(parse_profile("dicom:\n" + profile, "p.yaml"), Keyring(bytes(32)), "s", date(2026, 1, 1), "strict")
    parts = oracle.opened(b"".join(deidentify_member(Incoming(iter([data]), len(data)), "a.dcm", ctx).pieces))
    found = {
        one.want.tag: src[one.value : one.end].decode().rstrip("\0")
        for src, level in ((parts.src, parts.meta), (parts.body_src, parts.body))
        for one in level.found
        if one.want.tag in (INSTANCE, MEDIA)
    }
    return found.get(INSTANCE), found.get(MEDIA)


@pytest.mark.parametrize("syntax", ["explicit", "implicit", "deflated"])
@pytest.mark.parametrize("case", PROFILES)
def test_the_instance_has_a_uid_and_the_media_the_same(case: str, syntax: str) -> None:
    profile, wanted = PROFILES[case]
    instance, media = uids(profile, without=False, syntax=syntax)
    assert instance == media and instance
    if wanted == "other":
        assert instance != UID
    else:
        assert instance == (UID if wanted == "same" else wanted)


@pytest.mark.parametrize("case", [case for case in PROFILES if case != "a pattern that removes it"])
def test_without_one_the_media_has_that_of_nobody(case: str) -> None:
    """Where no rule makes one, the one of the file meta is hashed wherever rules or an allow-list are about it."""
    profile, wanted = PROFILES[case]
    instance, media = uids(profile, without=True, syntax="explicit")
    assert (instance or None) == (OURS if wanted == OURS else None)
    if instance is not None:
        assert media == instance
    else:
        assert (media == UID) == (case == "nobody speaks of it")
