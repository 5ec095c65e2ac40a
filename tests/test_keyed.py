"""What goes by the key: alike in every section, file, order, shard and run; by another key nothing meets again."""

from __future__ import annotations

import csv
import io
import itertools
import json
import re
import shutil
import subprocess
import zipfile
from collections.abc import Callable, Iterator
from datetime import date, datetime, timedelta
from pathlib import Path

import pydicom
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from fw_gear_deid import actions
from fw_gear_deid.actions import hashuid
from fw_gear_deid.actions.ages import TopCode, birth_date
from fw_gear_deid.actions.shift import Keyed
from fw_gear_deid.keys import Keyring
from fw_gear_deid.model.action import At
from fw_gear_deid.model.errors import Unfit
from fw_gear_deid.profile.language import requires
from fw_gear_deid.profile.parse import parse_profile
from fw_gear_deid.profile.text.problems import ProfileError
from fw_gear_deid.profile.text.wrapped import plain_values
from fw_gear_deid.profile.values.variables import read_template
from fw_gear_deid.verify.shapes import keeps_uid
from tests.desk import MR, Desk, call, instance, packed

PEERS = Path(__file__).resolve().parents[1] / ".venv-peers" / "bin" / "python"
EXAMPLES = settings(derandomize=True, database=None, deadline=None, max_examples=60)
RULES = """\
date-shift-range: 2000
dicom:
  recurse-sequence: true
  fields:
    - requires: fw-gear-deid
    - {name: PatientName, replace-with: '{{ subject.pseudonym }}'}
    - {name: PatientID, hash: keyed}
    - {name: AccessionNumber, hash: keyed}
    - {name: StudyInstanceUID, hashuid: keyed}
    - {name: SeriesInstanceUID, hashuid: keyed}
    - {name: SOPInstanceUID, hashuid: keyed}
    - {name: SOPClassUID, hashuid: keyed}
    - {name: ReferencedSOPInstanceUID, hashuid: keyed}
    - {name: PatientBirthDate, increment-date: keyed}
    - {name: StudyDate, increment-date: keyed}
    - {name: AcquisitionDateTime, increment-datetime: keyed}
    - {name: '(0009, "GEMS_IDEN_01", 27)', increment-date: keyed, date-format: timestamp}
json:
  fields:
    - {name: PatientID, hash: keyed}
    - {name: StudyInstanceUID, hashuid: keyed}
    - {name: StudyDate, increment-date: keyed}
    - {name: Acquired, increment-datetime: keyed}
csv:
  subject-column: participant_id
  fields:
    - {name: accession, hash: keyed}
    - {name: study, hashuid: keyed}
    - {name: scanned, increment-date: keyed, date-format: "%Y-%m-%d"}
zip:
  validate-zip-members: true
"""
DAY = "20200301"
UID = "2.25.77.1"


def slice_of(patient: str, number: int = 1, **more: object) -> bytes:
    """Return an instance with ids, references and dates of all kinds."""
    data = pydicom.dcmread(io.BytesIO(instance(patient, number=number)))
    data.PatientBirthDate, data.StudyDate, data.AccessionNumber = "19700115", DAY, "ACC-1"
    data.AcquisitionDateTime = f"{DAY}235959.5+0100"
    data.ReferencedSOPInstanceUID = data.SOPInstanceUID  # at the top, and below a sequence
    item = pydicom.Dataset()
    item.ReferencedSOPInstanceUID, item.ReferencedSOPClassUID = data.SOPInstanceUID, MR
    item.StudyDate, item.AccessionNumber = DAY, "ACC-1"
    data.ReferencedImageSequence = [item]
    block = data.private_block(9, "GEMS_IDEN_01", create=True)
    block.add_new(0x27, "SL", int((datetime.fromisoformat(DAY) - datetime(1970, 1, 1)).total_seconds()))  # noqa: DTZ001
    for keyword, value in more.items():
        setattr(data, keyword, value)
    stream = io.BytesIO()
    data.save_as(stream, enforce_file_format=True)
    return stream.getvalue()


def sidecar(patient: str) -> str:
    study = str(pydicom.dcmread(io.BytesIO(instance(patient))).StudyInstanceUID)
    moment = f"{DAY[:4]}-{DAY[4:6]}-{DAY[6:]}"
    return json.dumps(
        {"PatientID": patient, "StudyInstanceUID": study, "StudyDate": moment, "Acquired": f"{moment} 23:59:59"}
    )


def table(*patients: str) -> str:
    studies = [pydicom.dcmread(io.BytesIO(instance(one))).StudyInstanceUID for one in patients]
    rows = [f"{one},ACC-1,{study},2020-03-01\n" for one, study in zip(patients, studies, strict=True)]
    return "participant_id,accession,study,scanned\n" + "".join(rows)


def stock() -> dict[str, bytes | str]:
    """Return trees, loose files, archives, sidecars and a table of two patients, each in several ways."""
    return {
        "S1/V1/A1/1.dcm": slice_of("P1"), "S1/V1/A1/a.json": sidecar("P1"), "x/1.dcm": slice_of("P2"),
        "S1/V1/A1/z.zip": packed({"in/1.dcm": slice_of("P1", 3), "in/a.json": sidecar("P1").encode()}),
        "x/p2.zip": packed({"1.dcm": slice_of("P2", 7)}), "S1/V1/A1/t.csv": table("P1", "P2"),
    }  # fmt: skip


def told(data: bytes) -> Iterator[tuple[str, str]]:
    """Yield kind and value of what a file says of ids, UIDs and dates."""
    if data[:2] == b"PK":
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            for name in archive.namelist():
                yield from told(archive.read(name))
    elif data[128:132] == b"DICM":
        found = pydicom.dcmread(io.BytesIO(data))
        assert found.SOPClassUID == MR == found.file_meta.MediaStorageSOPClassUID
        assert found.file_meta.MediaStorageSOPInstanceUID == found.SOPInstanceUID
        yield from (("id", found.PatientID), ("accession", found.AccessionNumber), ("study", found.StudyInstanceUID))
        yield from (
            ("date", found.StudyDate),
            ("date", found.AcquisitionDateTime[:8]),
            ("born", found.PatientBirthDate),
        )
        yield from (("name", str(found.PatientName)), ("instance", found.SOPInstanceUID))
        yield from (("series", found.SeriesInstanceUID),)
        assert found.AcquisitionDateTime[8:] == "235959.500000+0100"
        (item,) = found.ReferencedImageSequence
        assert item.ReferencedSOPInstanceUID == found.ReferencedSOPInstanceUID == found.SOPInstanceUID
        yield from (("date", item.StudyDate), ("accession", item.AccessionNumber))
        seconds = found.private_block(9, "GEMS_IDEN_01")[0x27].value
        yield "date", (datetime(1970, 1, 1) + timedelta(seconds=seconds)).strftime("%Y%m%d")  # noqa: DTZ001
    elif data[:1] == b"{":
        record = json.loads(data)
        yield from (("id", record["PatientID"]), ("study", record["StudyInstanceUID"]))
        assert record["Acquired"].endswith(" 23:59:59")
        yield from (("date", record[key][:10].replace("-", "")) for key in ("StudyDate", "Acquired"))
    else:
        for row in csv.DictReader(io.StringIO(data.decode())):
            who = "" if row["participant_id"] == "P1" else " of P2"
            yield from (("accession", row["accession"]), (f"study{who}", row["study"]))
            yield f"date{who}", row["scanned"].replace("-", "")


def worked(desk: Desk) -> dict[str, set[tuple[str, str]]]:
    """Return what the files of a destination tell, by what they were made of."""
    there = desk.there()
    return {row["source"]: set(told(there[row["destination"]])) for row in desk.rows() if row["state"] == "released"}


def run(folder: Path, files: dict[str, bytes | str], *options: str, rules: str = RULES) -> Desk:
    folder.mkdir()
    desk = Desk(folder)
    desk.rules(rules)
    desk.put(files)
    done = desk.run(*options)
    assert done.code == 0, (desk.reasons(), done.err)
    return desk


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    return run(tmp_path_factory.mktemp("keyed") / "whole", stock())


def values(told: set[tuple[str, str]], kind: str) -> set[str]:
    return {value for one, value in told if one == kind}


def test_one_original_is_one_result_in_every_section_and_file(whole: Desk) -> None:
    found = worked(whole)
    assert found.keys() == stock().keys()
    first = [one for path, one in found.items() if path.startswith("S1/")]
    for kind in ("id", "study", "date", "accession", "name"):
        assert len(set[str]().union(*(values(one, kind) for one in first))) == 1, kind
    tables = found["S1/V1/A1/t.csv"]
    second = found["x/1.dcm"] | found["x/p2.zip"]
    assert values(tables, "date of P2") == values(second, "date") != values(tables, "date")
    assert values(tables, "study of P2") == values(second, "study")
    assert values(second, "accession") == values(first[0], "accession"), "an original, not a patient, is hashed"
    assert values(second, "id") != values(first[0], "id") and len(values(second, "name")) == 1


def test_intervals_and_the_age_stay(whole: Desk) -> None:
    for found in (worked(whole)["S1/V1/A1/1.dcm"], worked(whole)["x/1.dcm"]):
        (studied,), (born,) = values(found, "date"), values(found, "born")
        between = datetime.strptime(studied, "%Y%m%d") - datetime.strptime(born, "%Y%m%d")  # noqa: DTZ007
        assert between == datetime(2020, 3, 1) - datetime(1970, 1, 15)  # noqa: DTZ001
        assert 1 <= (datetime(2020, 3, 1) - datetime.strptime(studied, "%Y%m%d")).days <= 2000  # noqa: DTZ001, DTZ007


@pytest.mark.parametrize("way", ["two workers", "other order", "twice"])
def test_order_workers_and_reruns_do_not_matter(whole: Desk, way: str, tmp_path: Path) -> None:
    files = dict(reversed(stock().items())) if way == "other order" else stock()
    desk = run(tmp_path / "d", files, *(["--workers", "2"] if way == "two workers" else []))
    if way == "twice":
        assert desk.run("--exists", "replace").code == 0
    assert desk.there() == whole.there()


def test_shards_agree(whole: Desk, tmp_path: Path) -> None:
    """What a patient's files say does not depend on what else a run sees."""
    found = worked(whole)
    del found["S1/V1/A1/t.csv"]  # which names them all
    for number, path in enumerate(found):
        desk = run(tmp_path / str(number), {path: stock()[path], **whose(path)})
        assert worked(desk)[path] == found[path], path


def whose(path: str) -> dict[str, bytes | str]:
    """Return what tells whose a file of a tree is that has no header."""
    return {"S1/V1/A1/1.dcm": stock()["S1/V1/A1/1.dcm"]} if path.endswith(".json") else {}


def test_a_run_that_was_stopped_goes_on_alike(whole: Desk, tmp_path: Path) -> None:
    desk = run(tmp_path / "d", {"S1/V1/A1/1.dcm": stock()["S1/V1/A1/1.dcm"]})
    desk.put(stock())
    assert desk.run().code == 0
    assert desk.there() == whole.there()


@pytest.mark.parametrize("key", ["another", "once"])
def test_by_another_key_nothing_meets_again(whole: Desk, key: str, tmp_path: Path) -> None:
    (tmp_path / "key").write_text("quite another secret than the other")
    given = "once" if key == "once" else str(tmp_path / "key")
    desk = run(tmp_path / "d", stock(), "--key-file", given)
    ours, theirs = (set().union(*worked(one).values()) for one in (whole, desk))
    sources = {pair for data in stock().values() for pair in told_of_all(data)} | IDS
    dates = {"date", "born", "date of P2"}
    for one, other in itertools.combinations((ours, theirs, sources), 2):
        shared = {value for kind, value in one if kind not in dates} & {value for kind, value in other}
        assert shared == set()
        assert {value for kind, value in one if kind in dates} != {value for kind, value in other if kind in dates}
    names = [set(re.split(r"[/.]", "/".join(each.there()))) for each in (whole, desk)]
    assert not {name for name in names[0] & names[1] if re.search(r"\d{4}", name)}


# -- the words -----------------------------------------------------------------------------------------------


@EXAMPLES
@given(st.integers(0, 2**256 - 1), st.integers(1, 5000), st.dates(date(1900, 1, 1)), st.dates(date(1900, 1, 1)))
def test_a_shift_is_whole_days_into_the_past_and_keeps_intervals(number: int, reach: int, one: date, two: date) -> None:
    class Drawn:
        def __call__(self, purpose: str) -> int:
            return number

        def seal(self, kind: str, text: str) -> bytes:
            raise AssertionError

    at, move = At("DA", Drawn(), date(2020, 1, 1), str), actions.IncrementDate(Keyed(reach))
    moved = [move((day.strftime("%Y%m%d"),), at)[0] for day in (one, two)]  # type: ignore[index]
    days = [datetime.strptime(text, "%Y%m%d").date() for text in moved]  # noqa: DTZ007
    assert two - one == days[1] - days[0]
    assert 1 <= (one - days[0]).days <= reach


@EXAMPLES
@given(st.text(min_size=1), st.text(min_size=1), st.binary(min_size=16, max_size=40))
def test_kinds_texts_and_keys_are_apart(one: str, two: str, secret: bytes) -> None:
    ring = Keyring(secret)
    sealed = {ring.seal(kind, text) for kind in ("hash", "uid") for text in (one, two)}
    assert len(sealed) == 2 * len({one, two})
    assert ring.seal("hash", one) != Keyring(secret + b"!").seal("hash", one)


def test_nothing_is_sealed_for_nobody_and_of_nothing() -> None:
    with pytest.raises(ValueError, match="empty text"):
        Keyring(b"k" * 32).seal("hash", "")


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("dicom: {date-shift-range: 5, fields: [{name: StudyDate, increment-date: keyed}]}", ""),
        ("date-shift-range: 5\ndicom: {date-shift-range: 5, fields: [{name: StudyDate, increment-date: keyed}]}", ""),
        ("date-shift-range: 5\ndicom: {date-shift-range: 6, fields: [{name: StudyDate, increment-date: keyed}]}",
         "another date-shift-range than in line 1: a patient has one shift"),
        ("date-shift-range: 0\ndicom: {fields: [{name: StudyDate, increment-date: keyed}]}", "must be a whole number from 1"),
        ("date-shift-range: 1.5\ndicom: {fields: [{name: StudyDate, increment-date: keyed}]}", "must be a whole number"),
        ("flywheel: {session: {date-shift-range: 5}}\ndicom: {fields: [{name: StudyDate, increment-date: keyed}]}", ""),
        ("flywheel: {date-shift-range: 5}\ndicom: {fields: [{name: StudyDate, increment-date: keyed}]}", ""),
        ("dicom: {fields: [{name: StudyDate, increment-date: keyed, jitter-date: true}]}", "one shift of the patient"),
        ("dicom: {fields: [{name: StudyDate, remove: keyed}]}", "must be true; take the entry out"),
        ("dicom: {fields: [{name: StudyDate, hash: keyed}]}", "VR DA cannot hold a hash"),
    ],
)  # fmt: skip
def test_words_of_the_language(text: str, wrong: str) -> None:
    if not wrong:
        profile = parse_profile(text, "p.yaml")
        assert profile.dicom is not None and profile.keyed == f"increment-date: keyed (line {text.count(chr(10)) + 1})"
        action = profile.dicom.rules[0].action
        assert isinstance(action, actions.IncrementDate) and action.shift == Keyed(5)
        return
    with pytest.raises(ProfileError) as caught:
        parse_profile(text, "p.yaml")
    assert wrong in "\n".join(caught.value.lines)


def test_the_whole_profile_has_one_range() -> None:
    profile = parse_profile(
        "json: {date-shift-range: 77, fields: [{name: a, increment-date: keyed}]}\n"
        "dicom: {fields: [{name: StudyDate, increment-datetime: keyed}]}\n"
        "csv: {fields: [{name: a, regex-sub: [{input-regex: '(?P<d>.*)', output: '{d}', groups: [{name: d, increment-date: keyed}]}]}]}\n"
        "flywheel: {session: {all: true}, subject: {fields: [{name: date_of_birth, increment-date: keyed}]}}\n", "p.yaml",
    )  # fmt: skip
    shifts = set(re.findall(r"Keyed\(reach=(\d+)\)", repr(profile)))
    assert shifts == {"77"} and repr(profile).count("Keyed(reach=77)") >= 5
    assert "Shift(" not in repr(profile)


@pytest.mark.parametrize(
    "dicom", ["ps3-15: {profile: basic, options: [modified-dates]}", "fields: [{vr: [DA, DT], increment-date: keyed}]"]
)
def test_moments_of_containers_move_as_dates_that_no_entry_names(dicom: str) -> None:
    profile = parse_profile(f"date-shift-range: 77\ndicom: {{{dicom}}}\nflywheel: {{session: {{all: true}}}}", "p.yaml")
    assert profile.flywheel is not None
    moves = profile.flywheel.levels["session"].moves
    assert isinstance(moves, actions.IncrementDatetime) and moves.shift == Keyed(77)


def test_a_uid_that_no_entry_names_goes_by_the_key_too() -> None:
    """An SOPInstanceUID that would be gone is hashed: never in a way that anybody can try."""
    text = "dicom: {remove-undefined: true, fields: [{name: PatientID, hash: %s}]}"
    kinds = [parse_profile(text % word, "p.yaml").dicom for word in ("true", "keyed")]
    assert [one.uid for one in kinds if one is not None] == [actions.HashUid(), actions.HashUid(keyed=True)]


LOOSE = (
    "dicom: {fields: [{name: StudyDate, %s}, {name: SOPInstanceUID, hashuid: keyed}, {name: PatientID, hash: keyed}]}"
)


@pytest.mark.parametrize(
    ("value", "more", "expected"),
    [
        ("00000000", "", None), ("00000000", "on-unreadable: empty", ""), ("00000000", "on-unreadable: remove", "gone"),
        ("", "", ""), ("1970", "", None), ("1970", "on-unreadable: remove", "gone"), ("20200229\\", "", "*\\"),
    ],
)  # fmt: skip
def test_what_cannot_be_read(value: str, more: str, expected: str | None, tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    desk = Desk(tmp_path / "d")
    desk.rules(LOOSE % f"increment-date: keyed, {more}".rstrip(", "))
    with pydicom.config.disable_value_validation():
        desk.put({"x/1": instance("P1", StudyDate=value)})
    done = desk.run()
    assert done.code == (expected is None)
    if expected is None:
        (reason,) = desk.reasons().values()
        assert "on-unreadable: empty" in reason and value not in reason
        return
    (data,) = desk.there().values()
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        found = pydicom.dcmread(io.BytesIO(archive.read(archive.namelist()[0])))
    raw = "gone" if "StudyDate" not in found else str(found.get_item("StudyDate").value.decode()).strip()
    assert re.fullmatch(expected.replace("\\", r"\\").replace("*", r"\d{8}"), raw), raw
    told = [row["action"] for row in desk.rows("audit.csv") if row["keyword"] == "StudyDate"]
    assert told == ([f"unreadable-{more.split()[-1]}"] if more else ["increment-date"] if "*" in expected else [])


def test_nobodys_dates_are_not_moved_and_ids_are_sealed_all_the_same(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    desk = Desk(tmp_path / "d")
    desk.rules(LOOSE % "increment-date: keyed")
    desk.put({"x/1": instance("ANON", StudyDate=DAY), "S/V/A/1": instance("ANON", number=2, StudyDate=DAY)})
    assert desk.run().code == 1
    assert desk.states() == {"x/1": "refused", "S/V/A/1": "released"}


@pytest.mark.parametrize(
    ("before", "now", "kept"),
    [
        (b"1.2.3", b"2.25.1", False), (b"1.2.3\0", b"1.2.3\0", True), (b"1.2.3 ", b"1.2.3\0", True), (b"", b"", False),
        (b"1.2.840.10008.1.2", b"1.2.840.10008.1.2", False), (b"1.2.840.10008.1.2", b"2.25.1", True),
        (b"1.2.3\\1.2.4", b"2.25.1\\1.2.4", True), (b"1.2.3\\1.2.840.10008.1.2", b"2.25.1\\1.2.840.10008.1.2", False),
        (b"a\\b", b"2.25.1", False), (b"1.2.840.10008.1.20200229", b"1.2.840.10008.1.20200229", True),
    ],
)  # fmt: skip
def test_the_check_sees_uids_that_stayed(before: bytes, now: bytes, kept: bool) -> None:
    assert keeps_uid(before, now) == kept


@pytest.mark.parametrize(
    "data", [slice_of("P1"), sidecar("P1").encode(), table("P1").encode()], ids=["dcm", "json", "csv"]
)
def test_a_uid_that_the_action_left_is_refused(data: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "d").mkdir()
    desk = Desk(tmp_path / "d")
    desk.rules(RULES)
    name = {b"\0": "a.dcm", b"{": "a.json", b"p": "a.csv"}[data[:1]]
    desk.put({f"S1/V1/A1/{name}": data, "S1/V1/A1/x.dcm": slice_of("P1", 9)})
    monkeypatch.setattr(hashuid, "_sealed", lambda text, at: text)
    assert desk.run().code == 1
    reason = desk.reasons()[f"S1/V1/A1/{name}"]
    assert "hashuid" in reason and ("is not another UID" in reason), reason


# -- the key -------------------------------------------------------------------------------------------------


def test_a_key_for_one_run_is_kept_nowhere(tmp_path: Path) -> None:
    desk = run(tmp_path / "d", stock(), "--key-file", "once", "--quiet")
    assert not list(desk.folder.rglob("*.key"))
    assert [path.name for path in desk.private.iterdir()] != []
    again = desk.run("--key-file", "once")
    assert again.code == 2 and "--new-key" in again.err
    before = desk.there()
    assert desk.run("--key-file", "once", "--new-key").code == 0
    assert not set(before) & set(desk.there())


@pytest.mark.parametrize("option", ["--ids", "--uid-map", "--audit-originals"])
def test_what_a_forgotten_key_keeps_apart_is_not_written_down(option: str, tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    done = desk.run("--key-file", "once", option)
    assert done.code == 2 and f"{option} writes down what --key-file once is to forget" in done.err


def test_a_key_for_one_run_reaches_no_cluster(tmp_path: Path) -> None:
    done = Desk(tmp_path).run("--key-file", "once", "--scheduler", "tcp://127.0.0.1:1")
    assert done.code == 2 and "cluster" in done.err


def test_a_map_of_uids(tmp_path: Path) -> None:
    desk = run(tmp_path / "d", stock(), "--uid-map")
    with (desk.private / "uids.csv").open(newline="") as stream:
        rows = list(csv.reader(stream))
    assert rows[0] == ["id_old", "id_new"]
    found = dict(rows[1:])
    assert len(found) == len(rows) - 1 == len(set(found.values()))
    wanted = {value for data in stock().values() for kind, value in told_of_all(data) if kind in UIDS}
    assert found.keys() == wanted
    assert set(found.values()) == {
        value for one in worked(desk).values() for kind, value in one if kind.partition(" ")[0] in UIDS
    }
    assert (desk.private / "uids.csv").stat().st_mode & 0o777 == 0o600
    assert desk.summary()["uid_map"]["rows"] == len(found)
    shutil.rmtree(desk.source / "S1")
    assert desk.run("--uid-map").code == 0, "rows of earlier runs stay"
    with (desk.private / "uids.csv").open(newline="") as stream:
        assert dict(list(csv.reader(stream))[1:]) == found
    (desk.folder / "mine.csv").write_text("a,b\n")
    refused = desk.run("--uid-map", str(desk.folder / "mine.csv"))
    assert refused.code == 2 and "choose another --uid-map" in refused.err


IDS = {("id", "P1"), ("id", "P2"), ("accession", "ACC-1"), ("date", DAY), ("born", "19700115")}
UIDS = {"study", "series", "instance"}


def told_of_all(data: bytes | str) -> Iterator[tuple[str, str]]:
    """Yield the UIDs of a source."""
    if isinstance(data, str):
        yield from (("study", uid) for uid in re.findall(r"2\.25\.77[\d.]+", data))
    elif data[:2] == b"PK":
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            for name in archive.namelist():
                member = archive.read(name)
                yield from told_of_all(member.decode() if member[:1] == b"{" else member)
    else:
        found = pydicom.dcmread(io.BytesIO(data))
        yield from (("study", found.StudyInstanceUID), ("series", found.SeriesInstanceUID))
        yield "instance", found.SOPInstanceUID


# -- other engines -------------------------------------------------------------------------------------------

WORDS = {
    "hash": "dicom: {fields: [{name: PatientID, hash: keyed}]}",
    "in a group": "dicom: {fields: [{name: StudyID, regex-sub: [{input-regex: '(?P<a>.*)', output: '{a}', groups: [{name: a, hash: keyed}]}]}]}",
    "a range": "date-shift-range: 5\ndicom: {fields: [{name: PatientID, remove: true}]}",
    "unreadable": "dicom: {on-unreadable: empty, fields: [{name: PatientID, remove: true}]}",
    "containers": "dicom: {fields: [{name: PatientID, remove: true}]}\nflywheel: {session: {fields: [{name: label, hash: keyed}]}}",
    "a pseudonym": "json: {fields: [{name: id, replace-with: '{{ subject.pseudonym }}'}]}",
    "names only": "filename: {filenames: [{input-regex: '(?P<a>.*)', output: '{a}', groups: [{name: a, hash: keyed}]}]}",
    "rows": "csv: {subject-column: id, fields: [{name: id, remove: true}]}",
}
AS_CONTAINERS = "\nflywheel: {session: {fields: [{requires: fw-gear-deid}, {name: label, hash: keyed}]}}"


def asks(text: str) -> bool:
    return any("known to this program only" in one.message for one in parse_profile(text, "p.yaml").warnings)


@pytest.mark.parametrize("name", WORDS)
def test_what_others_would_misread_is_refused_by_them(name: str, tmp_path: Path) -> None:
    """A warning without the entry, none with it; 'profile put' adds it, and the reference engine refuses it then."""
    text = WORDS[name]
    assert asks(text)
    stored = plain_values(text)
    assert requires.add(stored, read_template(text, "p.yaml"))
    again = yaml.safe_dump(stored)
    assert not asks(again)
    assert not requires.add(plain_values(again), read_template(again, "p.yaml"))
    if PEERS.exists():
        assert "Field element must defined either name or regex" in loaded(again, tmp_path / "p.yaml")


def test_beside_containers_it_is_not_seen_by_others() -> None:
    assert asks(WORDS["hash"] + AS_CONTAINERS)


@pytest.mark.skipif(not PEERS.exists(), reason="make bench has not made the peers' environment")
def test_the_reference_engine_loads_what_has_none(tmp_path: Path) -> None:
    """A word of ours that it does not know it passes over; only later versions look at values."""
    assert loaded(WORDS["a range"], tmp_path / "p.yaml") == "loaded"
    assert loaded(WORDS["a range"] + AS_CONTAINERS, tmp_path / "p.yaml") == "loaded"


def loaded(text: str, path: Path) -> str:
    path.write_text(text)
    code = (
        "import sys; from flywheel_migration.deidentify import load_profile\n"
        "try: load_profile(sys.argv[1]); print('loaded')\nexcept Exception as error: print(error)"
    )
    done = subprocess.run(
        [str(PEERS), "-W", "ignore", "-c", code, str(path)], capture_output=True, text=True, check=False
    )
    return done.stdout.strip().splitlines()[-1] if done.stdout.strip() else done.stderr


@pytest.mark.parametrize(
    ("written", "stored"),
    [("YES", "YES"), ("on", "on"), ("True", "True"), ("1.50", "1.50"), ("1.5", 1.5), ("007", "007"), ("7", 7), ("'7'", "7"),
     ("1e3", "1e3"), ("2020-01-01", "2020-01-01"), ("[YES, 1.50]", ["YES", "1.50"])],
)  # fmt: skip
def test_values_are_stored_as_written(written: str, stored: object) -> None:
    text = f"json: {{remove-x: yes, fields: [{{name: a, replace-with: {written}, replace-with-insert: off}}]}}"
    found = plain_values(text)
    assert found["json"]["fields"][0] == {"name": "a", "replace-with": stored, "replace-with-insert": False}
    text = text.replace("remove-x: yes, ", "")
    shown: Callable[[str], object] = lambda one: parse_profile(one, "p").others[0].rules[0].action  # type: ignore[union-attr] # noqa: E731
    assert shown(text) == shown(json.dumps(plain_values(text)))


# -- ages ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("age", "coded"),
    [("089Y", "089Y"), ("090Y", "090Y"), ("091Y", "090Y"), ("120Y", "090Y"), ("95Y", "090Y"), ("999M", "999M"), ("", ""),
     ("1100M", "090Y"), ("999W", "999W"), (" ", " "), ("45Y", "45Y")],
)  # fmt: skip
def test_ages_above_89_are_one(age: str, coded: str) -> None:
    assert TopCode("x")((age,), At("AS", Keyring(b"k").draw("p"), date(2020, 1, 1), str)) == (coded,)


@pytest.mark.parametrize("age", ["ninety", "95", "Y", "0954Y1"])
def test_what_is_no_age(age: str) -> None:
    at = At("AS", Keyring(b"k").draw("p"), date(2020, 1, 1), str)
    with pytest.raises(Unfit):
        TopCode("x")((age,), at)
    assert TopCode("x", "empty")((age,), at) == ("",)


@EXAMPLES
@given(st.dates(date(1850, 1, 1), date(2020, 12, 31)), st.dates(date(1940, 1, 1), date(2026, 12, 31)))
def test_birth_dates_follow_ages(born: date, studied: date) -> None:
    after = birth_date(born, studied)
    years = studied.year - after.year - ((studied.month, studied.day) < (after.month, after.day))
    assert years <= 90 and (after == born or (years == 90 and born < after))


def test_a_preview_may_have_a_key_of_its_own(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    desk.rules(RULES)
    desk.put({"x/1.dcm": slice_of("P1")})
    shown = [call("preview", str(desk.source), "--profile", str(desk.profile), "--key-file", "once") for _ in range(2)]
    assert [one.code for one in shown] == [0, 0] and shown[0].out != shown[1].out


@pytest.mark.parametrize("word", ["keyed", "true"])
def test_entries_for_uids_leave_what_names_a_class(word: str, tmp_path: Path) -> None:
    """Also one of a vendor, and a vendor's coding scheme: they are the same in everybody's files."""
    private = "1.3.12.2.1107.5.9.1"
    scheme, reference = pydicom.Dataset(), pydicom.Dataset()
    scheme.CodingSchemeUID, scheme.CodingSchemeRegistry = private, "X"
    reference.ReferencedSOPClassUID, reference.ReferencedSOPInstanceUID = private, f"{UID}.9"
    more = {
        "SOPClassUID": private,
        "CodingSchemeIdentificationSequence": [scheme],
        "ReferencedImageSequence": [reference],
    }
    rules = f"dicom: {{fields: [{{requires: fw-gear-deid}}, {{vr: UI, hashuid: {word}}}, {{vr: [DA, DT], increment-date: keyed}}]}}"
    desk = run(tmp_path / "d", {"S/V/A/1.dcm": slice_of("P1", **more)}, rules=rules)
    (data,) = desk.there().values()
    found = pydicom.dcmread(io.BytesIO(data))
    assert found.SOPClassUID == found.file_meta.MediaStorageSOPClassUID == private
    assert found.CodingSchemeIdentificationSequence[0].CodingSchemeUID == private
    (item,) = found.ReferencedImageSequence
    assert item.ReferencedSOPClassUID == private and item.ReferencedSOPInstanceUID != f"{UID}.9"
    assert found.StudyInstanceUID != pydicom.dcmread(io.BytesIO(slice_of("P1"))).StudyInstanceUID


@pytest.mark.parametrize("text", [" ", "\t", "\0", "\ud800", "ä" * 4000, "1.2.3\0", "\\", ","])
@pytest.mark.parametrize("action", [actions.Hash(keyed=True), actions.HashUid(keyed=True)], ids=["hash", "hashuid"])
def test_odd_values(action: actions.Hash | actions.HashUid, text: str) -> None:
    (made,) = action((text,), At("LO", Keyring(b"k").draw("p"), date(2020, 1, 1), str))
    assert (made == text) == (not text.strip(" \t\0"))
