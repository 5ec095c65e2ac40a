"""Tables: profiles of them, whose their rows are, what they cost, and what broken ones do."""

from __future__ import annotations

import csv
import io
import random
import re
import tracemalloc
import zipfile
from datetime import date
from pathlib import Path

import pydicom
import pytest

from fw_gear_deid.deid import Context, deidentify
from fw_gear_deid.deid.columns import Rows
from fw_gear_deid.deid.document import Edited, check, edit, written
from fw_gear_deid.deid.identity import keys_of, label_key
from fw_gear_deid.formats import FORMATS
from fw_gear_deid.keys import Keyring
from fw_gear_deid.model.action import At
from fw_gear_deid.model.errors import Unfit
from fw_gear_deid.model.outcome import Edit
from fw_gear_deid.model.person import Identity
from fw_gear_deid.profile.compiled import FieldSection
from fw_gear_deid.profile.parse import parse_profile
from fw_gear_deid.profile.text.problems import ProfileError
from fw_gear_deid.verify import known
from tests.desk import Desk, call, instance, packed

KEYS = Keyring(b"k" * 32)
AT = At("UT", lambda purpose: 1, date(2026, 1, 1), str)


def section(text: str) -> FieldSection:
    (found,) = parse_profile(text, "p.yaml").others
    assert isinstance(found, FieldSection)
    return found


def done(data: bytes, text: str, rows: Rows | None = None) -> tuple[bytes, Edited]:
    edited = edit(data, section(text), AT, rows=rows)
    result = written(data, edited)
    check(data, result, edited)
    return result, edited


# -- profiles ------------------------------------------------------------------------------------------

REMOVE = "fields: [{name: a, remove: true}]"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (f"table: {{file-filter: '*.txt', {REMOVE}}}", "no 'reader': must be csv, tsv or fwf"),
        (f"table: {{file-filter: '*.txt', reader: excel, {REMOVE}}}", "table.reader: must be csv, tsv or fwf"),
        (f"table: {{reader: csv, {REMOVE}}}", "no 'file-filter'"),
        (f"csv: {{delimiter: ', ', {REMOVE}}}", "csv.delimiter: must be one letter such as ',', ';', a tab, '|'"),
        (f"csv: {{delimiter: '', {REMOVE}}}", "csv.delimiter: must be one letter"),
        (f"csv: {{delimiter: '\"', {REMOVE}}}", "csv.delimiter: must be one letter"),
        (f"csv: {{delimiter: 1, {REMOVE}}}", "csv.delimiter: must be text"),
        (f"tsv: {{reader: fwf, delimiter: ';', {REMOVE}}}", "tsv.delimiter: a table of fixed widths has none"),
        ("csv: {fields: [{regex: a.*, remove: true}]}", "fields of csv go by name"),
        (f"json: {{subject-column: a, {REMOVE}}}", "unknown option 'subject-column'"),
    ],
)
def test_profile_that_cannot_be(text: str, told: str) -> None:
    with pytest.raises(ProfileError, match="error") as caught:
        parse_profile(text, "p.yaml")
    assert told in str(caught.value)


def test_word_that_others_do_not_know() -> None:
    text = "csv: {subject-column: a, fields: [{name: a, hash: true}]}"
    told = [one.message for one in parse_profile(text, "p.yaml").warnings]
    assert any(one.startswith("subject-column is known to this program only") for one in told)


@pytest.mark.parametrize("written_as", ["'\\t'", '"\\t"', "tab", "TAB"])
def test_tab_in_every_spelling(written_as: str) -> None:
    assert done(b"a\tb\n1\t2\n", f"csv: {{delimiter: {written_as}, {REMOVE}}}")[0] == b"b\n2\n"


def test_file_name_of_one_person(tmp_path: Path) -> None:
    """A column may name a file where all rows say the same."""
    text = "csv: {fields: [{name: id, hash: true}], filenames: [{input-regex: .*, output: '{id}.csv'}]}"
    ctx = Context(parse_profile(text, "p.yaml"), KEYS, "id:1", date(2026, 1, 1), "strict")
    source = tmp_path / "in.csv"
    source.write_bytes(b"id,x\n7,1\n7,2\n,3\n")
    found = deidentify(source, "x.csv", ctx, tmp_path / "out")
    assert found.released.name == "7902699be42c8a8e.csv"  # type: ignore[union-attr]
    source.write_bytes(b"id,x\n7,1\n8,2\n")
    with pytest.raises(Unfit, match="id is absent or empty"):
        deidentify(source, "x.csv", ctx, tmp_path / "out")


# -- whose the rows are ----------------------------------------------------------------------------------

SHIFTED = """\
csv:
  subject-column: who
  date-increment: -1000
  date-format: '%Y-%m-%d'
  on-unreadable: refuse
  fields:
    - {name: who, replace-with: '{{ subject.pseudonym }}', replace-with-insert: false}
    - {name: day, increment-date: true, jitter-date: true, jitter-range: 300}
    - {name: w, jitter: true, jitter-range: 5}
"""
PEOPLE = {label_key("sub-01", KEYS): "id 1:a", label_key("02", KEYS): "id 1:b",
          Identity.of({"PatientID": "MRN 7"}, KEYS.stamp).id: "id 1:c", label_key("9", KEYS): ""}  # fmt: skip
STANDS_FOR = KEYS.subject("somebody")


def of_rows(way: str = "refuse", *, own: bool = False) -> Rows:
    return Rows("who", PEOPLE, KEYS, STANDS_FOR, way, own=own)


def many(data: bytes, text: str = SHIFTED, way: str = "refuse", *, own: bool = False) -> tuple[bytes, Edited]:
    """De-identify a table whose profile was filled as a run does."""
    profile = parse_profile(text.replace("refuse", way), "p.yaml", {"subject.pseudonym": STANDS_FOR})
    (found,) = profile.others
    assert isinstance(found, FieldSection)
    edited = edit(data, found, AT, rows=of_rows(way, own=own))
    result = written(data, edited)
    check(data, result, edited)
    return result, edited


def cells(data: bytes) -> list[list[str]]:
    return list(csv.reader(io.StringIO(data.decode())))[1:]


def shift_of(person: str) -> int:
    (moved,) = section(SHIFTED).rules[1].action(("2020-06-01",), At("UT", KEYS.draw(person), AT.today, str))  # type: ignore[misc]
    return (date.fromisoformat(moved) - date(2020, 6, 1)).days


def test_every_row_goes_by_its_own_person() -> None:
    result, edited = many(b"who,day,w\nsub-01,2020-06-01,5\nSUB-02,2020-06-01,5\nmrn 7,n/a,5\n01,2020-06-02,5\n")
    found = cells(result)
    pseudonyms = [KEYS.subject(one) for one in ("id 1:a", "id 1:b", "id 1:c", "id 1:a")]
    assert [row[0] for row in found] == pseudonyms
    days = [(date.fromisoformat(found[at][1]) - date(2020, 6, day)).days for at, day in ((0, 1), (1, 1), (3, 2))]
    assert days == [shift_of("id 1:a"), shift_of("id 1:b"), shift_of("id 1:a")]
    assert days[0] != days[1]
    assert found[2][1] == "n/a"
    assert found[0][2] == found[3][2] != found[1][2]
    assert len(edited.edits) == 11


@pytest.mark.parametrize("who", ["sub-03", "9", "", "n/a", "unknown"])
def test_row_of_nobody(who: str) -> None:
    data = f"who,day,x\nsub-01,2020-06-01,k\n{who},2020-06-01,m\n".encode()
    with pytest.raises(Unfit, match="row 2: its subject-column names no subject of the source, or several") as caught:
        many(data)
    assert who not in str(caught.value).split() or not who
    result, _ = many(data, way="empty")
    assert cells(result)[1] == ["", "", "m"]
    result, edited = many(data, way="remove")
    assert len(cells(result)) == 1
    told = {f"{one.path} {one.action}" for one in edited.edits}
    assert {"row 2 unreadable-remove", "column x, row 2 unreadable-remove"} <= told


def test_rows_of_nobody_may_stand_anywhere() -> None:
    data = b"who,x,y\r\n3,a,b\r\n01,c,d\n4,e,f\r5,g,h\n\nsub-02,i,j\n6,k,l"
    text = SHIFTED.replace(
        "{name: w, jitter: true, jitter-range: 5}", "{name: y, remove: true}\n    - {name: z, replace-with: Z}"
    )
    result, _ = many(data, text, "remove")
    one, two = (KEYS.subject(person).encode() for person in ("id 1:a", "id 1:b"))
    assert result == b"who,x,z\r\n%s,c,Z\n\n%s,i,Z" % (one, two)


def test_what_no_rule_asks_a_person_for_needs_none() -> None:
    text = "csv: {subject-column: who, fields: [{name: x, hash: true}]}"
    result, _ = done(b"who,x\n77,1\n", text, of_rows())
    assert result.startswith(b"who,x\n77,")


def test_pseudonym_in_a_column_that_was_absent() -> None:
    text = "csv: {subject-column: who, fields: [{name: new, replace-with: 'x-{{ subject.pseudonym }}'}]}"
    result, _ = many(b"who\n01\n02\n", text)
    assert [row[1] for row in cells(result)] == [f"x-{KEYS.subject(one)}" for one in ("id 1:a", "id 1:b")]


def test_table_without_the_column_is_of_whom_it_stands_with() -> None:
    data = b"day,id\n2020-06-01,1\n"
    text = SHIFTED.replace("{name: who", "{name: id")
    result, _ = many(data, text, own=True)
    assert cells(result)[0][1] == STANDS_FOR
    with pytest.raises(Unfit, match="it has no column who, and stands with the files of nobody"):
        many(data, text)


def test_two_such_columns() -> None:
    with pytest.raises(Unfit, match="it has 2 columns of the name that subject-column says"):
        many(b"who,who\n01,02\n")


def test_labels_and_ids_are_found_by_the_same_keys() -> None:
    assert label_key(" Sub-01 ", KEYS) in keys_of("01", KEYS)
    assert Identity.of({"PatientID": "sub-01"}, KEYS.stamp).id in keys_of("01", KEYS)
    assert Identity.of({"PatientID": "01"}, KEYS.stamp).id in keys_of("sub-01", KEYS)
    for nobody in ("", " ", "n/a", "sub-", "sub-unknown"):
        assert keys_of(nobody, KEYS) == frozenset()
        assert label_key(nobody, KEYS) == ""


PROFILE = """\
dicom:
  date-increment: -1000
  fields:
    - {name: PatientName, remove: true}
    - {name: PatientID, replace-with: "{{ subject.pseudonym }}"}
    - {name: StudyDate, increment-date: true, jitter-date: true, jitter-range: 300}
tsv:
  subject-column: participant_id
  date-increment: -1000
  date-format: '%Y-%m-%d'
  fields:
    - {name: participant_id, replace-with: "{{ subject.pseudonym }}", replace-with-insert: false}
    - {name: day, increment-date: true, jitter-date: true, jitter-range: 300}
"""


def somebody(label: str, patient: str, number: int) -> dict[str, bytes | str]:
    uids = {name: f"1.{place}.{number}" for place, name in enumerate(("StudyInstanceUID", "SeriesInstanceUID"), 2)}
    return {f"{label}/v/a/1": instance(patient, SOPInstanceUID=f"1.4.{number}", StudyDate="20200301", **uids)}


LISTED = b"participant_id\tday\nsub-A\t2020-03-01\nMRN77\t2020-03-01\nsub-C\t2020-03-01\n"
THREE = somebody("sub-A", "A", 1) | somebody("sub-B", "MRN77", 2) | somebody("C", "C-1", 3)


def headers(desk: Desk) -> dict[str, str]:
    """Return PatientID and StudyDate of what stands at the destination."""
    found = {}
    for data in desk.there().values():
        if data[128:132] == b"DICM":
            with pydicom.dcmread(io.BytesIO(data)) as ds:
                found[ds.PatientID] = ds.StudyDate
    return found


def table(data: bytes) -> dict[str, str]:
    lines = [line.split("\t") for line in data.decode().splitlines()[1:]]
    return {who: day.replace("-", "") for who, day in lines}


def test_rows_agree_with_the_headers_of_their_people(desk: Desk) -> None:
    desk.rules(PROFILE)
    desk.put(THREE | {"C/v/a/list.tsv": LISTED})
    assert desk.run("--workers", "2").code == 0
    (name,) = (name for name in desk.there() if name.endswith(".tsv"))
    found = table(desk.there()[name])
    assert found == headers(desk)
    assert len(found) == 3 and len(set(found.values())) > 1
    assert name.split("/")[0] == list(found)[2], "it stands with whom it stood"
    assert desk.run("--workers", "1").code == 0
    assert set(desk.states().values()) == {"skipped"}
    desk.put(somebody("D", "D-1", 4))  # whoever that is, it might be in the table; the work on it finds the same bytes
    assert desk.run().code == 0
    assert desk.states()["C/v/a/list.tsv"] == "skipped"


def test_table_in_an_archive(desk: Desk) -> None:
    desk.rules(PROFILE)
    archive = packed({"d/1.dcm": instance("A", SOPInstanceUID="1.9.1", StudyDate="20200301"), "d/list.tsv": LISTED})
    desk.put(THREE | {"sub-A/v/b/x.zip": archive})
    assert desk.run().code == 0
    (name,) = (name for name in desk.there() if name.endswith(".zip"))
    with zipfile.ZipFile(io.BytesIO(desk.there()[name])) as opened:
        (member,) = (one for one in opened.namelist() if one.endswith(".tsv"))
        assert table(opened.read(member)) == headers(desk)


def test_table_is_made_anew_when_somebody_comes(desk: Desk) -> None:
    desk.rules(PROFILE)
    desk.put(somebody("sub-A", "A", 1) | somebody("sub-B", "MRN77", 2) | {"sub-A/v/a/list.tsv": LISTED})
    assert desk.run().code == 1
    assert "row 3: its subject-column names no subject" in desk.reasons()["sub-A/v/a/list.tsv"]
    desk.put(somebody("C", "C-1", 3))
    assert desk.run().code == 0
    assert desk.states()["sub-A/v/a/list.tsv"] == "released"


@pytest.mark.clear("stdout")
def test_preview_of_rows(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    desk.rules(PROFILE)
    desk.put(THREE | {"C/v/a/list.tsv": LISTED})
    done_ = call("preview", str(desk.source), "--profile", str(desk.profile))
    assert done_.code == 0
    told = re.findall(r"column participant_id, row \d: '\S+' -> '(sub-\w+)'", done_.out)
    assert sorted(told) == sorted(re.findall(r"PatientID LO: '\S+' -> '(sub-\w+)'", done_.out))


# -- what it costs, and what is broken -----------------------------------------------------------------------


def test_cells_are_not_kept_one_by_one() -> None:
    rows = 20_000
    data = b"a,b,c,d,e\n" + b"1.50,text,2020-01-01,x,y\n" * rows
    text = "csv: {fields: [{name: b, hash: true}, {name: c, remove: true}]}"
    edit(data, section(text), AT)  # what is imported once
    tracemalloc.start()
    edited = edit(data, section(text), AT)
    result = written(data, edited)
    check(data, result, edited)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 160 * rows * 5, "bytes of a cell"
    assert len(edited.edits) == 2 * rows + 1


def test_name_of_a_table_of_very_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(known, "_TOLD_MAX", 3)
    some, many_ = ([Edit("p", "", "", "remove", "r", f"Somebody{one}", "") for one in range(size)] for size in (3, 4))
    few = known.Known()
    few.learn(some)
    assert not few.told_by("whatever") and few.told_by("somebody1")
    lots = known.Known()
    lots.learn(many_)
    assert lots.told_by("whatever") and not lots.told_by("brain_1")


HOSTILE = {
    "csv: {on-unreadable: empty, date-increment: 1, fields: [{name: a, remove: true}, {name: b, hash: true}, "
    "{name: c, replace-with: 'q\"x'}, {name: d, increment-date: true}, {name: z, replace-with: n}]}": False,
    "tsv: {fields: [{name: a, replace-with: ''}, {name: b, remove: true}, {name: c, remove: true}]}": False,
    "csv: {delimiter: ;, fields: [{name: a, keep: true}]}": True,
    "csv: {fields: [{name: a, keep: true}]}": True,
    "table: {file-filter: '*', reader: fwf, fields: [{name: a, remove: true}, {name: b, hash: true}]}": False,
    "table: {file-filter: '*', reader: fwf, fields: [{name: a, keep: true}]}": True,
}
SEEDS = (
    b'a,b,c,d\n1,2,3,20200101\n"x,""y",n/a,,\n\n5,6,7,8', b"a\tb\tc\n1\t2\t3\n", b"sep=;\r\na;b\r\n1;2\r\n",
    b"\xef\xbb\xbfa,b\n1,\xc3\xa4\n", "a,b\nä,2\n".encode("cp1252"), "a,b\n1,é\n".encode("utf-16"), b'a\n1\n\n""\n',
    b"a   b   c\n1   22  3\n  4 5   6\n\n7", b"a,b\r1,2\r\n3,4\n", "a,b\n1,😀\n".encode("utf-32"),
)  # fmt: skip
PIECES = (
    b",",
    b'"',
    b"\n",
    b"\r",
    b"\t",
    b";",
    b" ",
    b"\0",
    b"\xff",
    b"a",
    b'""',
    b"\xef\xbb\xbf",
    b"\x0c",
    b"sep=,\n",
)


def survives(data: bytes, text: str) -> bool:
    """Tell whether bytes come out, checked; nothing but a refusal may stop them."""
    try:
        result, _ = done(data, text)
    except Unfit:
        return False
    assert result == data or not HOSTILE[text]
    return True


def test_broken_tables_are_refused_or_right() -> None:
    draw = random.Random(7)
    came = sum(survives(seed[:at], text) for seed in SEEDS for at in range(len(seed) + 1) for text in HOSTILE)
    for _ in range(2000):
        data = bytearray(draw.choice(SEEDS))
        for _ in range(draw.randint(1, 5)):
            at = draw.randint(0, len(data))
            data[at : at + draw.choice((0, 0, 0, 1, 3))] = draw.choice(PIECES)
        came += survives(bytes(data), draw.choice(list(HOSTILE)))
    assert came > 500, "some have to come through"


@pytest.mark.parametrize(
    "data", [b'"' * 100_001, b'a,"' + b'""' * 50_000, b'"a"' * 50_000, b"," * 100_000, b"\r" * 100_000]
)
def test_quotes_and_ends_in_masses_take_no_time(data: bytes) -> None:
    survives(data, "csv: {fields: [{name: a, keep: true}]}")


def test_second_reader_is_another() -> None:
    """What the two share is the character set; a table that they read differently is refused."""
    codec = FORMATS["csv"].codec
    assert codec is not None
    data = b'"a ""q""",b\r\n" 1",\r\n\r\n"x\ny",5\'11"'
    for reader in (codec.open, codec.again):
        assert [(one.name, one.texts) for one in reader(data, {}).fields] == [
            ('a "q"', (" 1", "x\ny")),
            ("b", ("", "5'11\"")),
        ]
