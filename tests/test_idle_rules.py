"""Rules that find nothing, and what stays although a rule took it away elsewhere: counted, refused, told."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from contextlib import closing

import pytest

from fw_gear_deid.formats.row import Field
from fw_gear_deid.model.errors import Unfit
from fw_gear_deid.verify.residue import check, is_somebodys
from tests.desk import PROFILE, Desk, instance

JSON = PROFILE + "json:\n  fields:\n    - name: who\n      remove: true\n    - name: whoo\n      remove: true\n"
FILES = {"S/V/A/1": instance(), "S/V/A/a.json": b'{"who": "x", "n": 1}', "S/V/A/b.json": b'{"n": 1}'}


def test_rules_that_find_nothing_are_counted_in_files_of_their_section(desk: Desk) -> None:
    desk.put(FILES)
    desk.rules(JSON)
    assert desk.run().code == 0
    assert desk.summary()["rules_without_a_match"] == ["whoo (profile.yaml:18)"]
    assert desk.summary()["files_without_a_match"] == {"who (profile.yaml:16)": 1, "whoo (profile.yaml:18)": 2}
    first = desk.summary()["files_without_a_match"]
    assert desk.run().code == 0  # the ledger knows
    assert desk.summary()["files_without_a_match"] == first


def test_rules_that_find_nothing_refuse_when_asked(desk: Desk) -> None:
    desk.put(FILES)
    desk.rules(JSON)
    assert desk.run().code == 0
    assert desk.run("--strict-rules").code == 1  # also what stands from a run that did not ask
    assert desk.states() == {"S/V/A/1": "skipped", "S/V/A/a.json": "refused", "S/V/A/b.json": "refused"}
    assert desk.reasons()["S/V/A/b.json"].endswith("rules that find nothing in it: profile.yaml:16, profile.yaml:18")
    assert [name for name in desk.there() if name.endswith(".json")] == []
    desk.rules(JSON.replace("whoo", "n"))
    desk.put({"S/V/A/b.json": b'{"n": 1, "who": 2}'})
    assert desk.run("--strict-rules", "--exists", "replace").code == 0


def test_a_ledger_of_the_version_before_goes_on(desk: Desk) -> None:
    desk.put(FILES)
    desk.rules(JSON)
    assert desk.run().code == 0
    with closing(sqlite3.connect(desk.private / "state.sqlite")) as ledger, ledger:
        ledger.execute("UPDATE about SET version = 3")
        for column in ("sections", "risks"):
            ledger.execute(f"ALTER TABLE made DROP COLUMN {column}")
    assert desk.run().code == 0
    assert set(desk.states().values()) == {"skipped"}
    assert [path.name for path in desk.private.glob("state*.sqlite")] == ["state.sqlite"]


GONE = [("PatientName", "DOE^JANE", ""), ("StudyDate", "19540417", "19540420"), ("n", "12", "")]


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"taken by Jane Doe", True),
        (b"\0\1\2xx\0DOE_JANE\0\xff\xfe", True),
        ("by doe jane".encode("utf-16-le"), True),
        ("by doe jane".encode("utf-16-be"), True),
        ("\ufeffby doe jane".encode("utf-16"), True),
        (b"seen on 17.04.1954", True),
        (b"12", False),
        (b"janitor", False),
        (bytes(range(256)) * 40, False),
        (b"", False),
    ],
)
def test_what_stands_beside_tells_nothing(data: bytes, told: bool) -> None:
    if told:
        with pytest.raises(Unfit, match=r"stands in another place, too: comment$"):
            check(GONE, [("thing", b"nothing"), ("comment", data)], ())
    else:
        check(GONE, [("comment", data)], ())


def fields(*texts: str) -> Iterable[Field]:
    return [Field("", f"field {number}", (text,)) for number, text in enumerate(texts)]


def test_other_fields_tell_no_name() -> None:
    with pytest.raises(Unfit, match=r"stands in field 1, too: name a rule for that$"):
        check(GONE, [], fields("x", "jane was here"))
    check(GONE, [], fields("17.04.1954", "12", "janitor"))
    check([("site", "Doe Hospital", "")], [], fields("Doe Hospital"))
    check([("PatientName", "DOE^JANE", "DOE^JANE"), ("mrn", "", "X")], [], fields("Doe Jane", "X"))


@pytest.mark.parametrize(
    ("name", "is_so"),
    [
        ("PatientName", True), ("a.b.mrn", True), ("XPAuthor", True), ("00100010.Value.0.Alphabetic", True),
        ("/cda/recordTarget/patient/name/given", True), ("participant_id", True), ("ReferringPhysicianName", True),
        ("ProtocolName", False), ("EchoTime", False), ("StationName", False), ("SeriesInstanceUID", False),
        ("00080060.Value.0", False), ("file_name", False), ("task name", False), ("PatientSex", False), ("", False),
    ],
)  # fmt: skip
def test_names_of_fields_that_are_somebodys(name: str, is_so: bool) -> None:
    assert is_somebodys(name) is is_so
