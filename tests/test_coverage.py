"""``profile coverage`` and ``suggest``: what a profile does to Table E.1-1; shipped profiles cover what they claim."""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from datetime import date, datetime
from pathlib import Path

import pydicom
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

from fw_gear_deid.cli import main
from fw_gear_deid.deid import Context, Result, coverage, deidentify, suggest
from fw_gear_deid.keys import Keyring
from fw_gear_deid.model.dictionary import keyword_of, public_vr
from fw_gear_deid.profile import store
from fw_gear_deid.profile.compiled import DicomSection
from fw_gear_deid.profile.parse import parse_profile
from fw_gear_deid.standard import tables
from fw_gear_deid.standard.categories import CATEGORIES, by_row
from tests.desk import Desk, instance, packed
from tests.desk import instance as small

NAMES = sorted(name for name in store.shipped() if name != "bids")
CLAIMS = re.compile(
    r"Covers: (?P<what>[a-z, ]+), by PS3\.15 (?P<edition>\w+) Table E\.1-1(?: with (?P<options>[a-z, -]+))?\."
)
VALUES = {"subject.pseudonym": "sub-0123456789ab"}


def text_of(name: str) -> str:
    return store.shipped()[name].read_text(encoding="utf-8")


def section_of(text: str) -> DicomSection:
    found = parse_profile(text, "p.yaml", VALUES).dicom
    assert found is not None
    return found


def lines_of(section: DicomSection, *options: str) -> dict[str, coverage.Line]:
    return {line.name: line for line in coverage.lines_of(section, frozenset(options))}


def profile(fields: str, options: str = "") -> str:
    head = "".join(f"  {one}\n" for one in options.split("\n") if one)
    return f"dicom:\n{head}  fields:\n    - requires: fw-gear-deid\n{fields}"


# -- the table -------------------------------------------------------------------------------------------


def test_every_attribute_has_a_category() -> None:
    assert len(by_row()) == 649
    assert set(by_row().values()) == set(CATEGORIES)


@pytest.mark.parametrize(
    ("keyword", "category"),
    [
        ("PatientName", "people"), ("AccessionNumber", "people"), ("OperatorsName", "people"),
        ("PatientAddress", "people"), ("StudyDate", "dates"), ("TimezoneOffsetFromUTC", "dates"),
        ("ReferencedSOPInstanceUID", "uids"), ("ReferencedStudySequence", "uids"), ("InstitutionName", "institutions"),
        ("GPSLatitude", "institutions"), ("DeviceSerialNumber", "devices"), ("StudyDescription", "free text"),
        ("ImageComments", "free text"), ("EncapsulatedDocument", "documents"), ("Overlay Data", "documents"),
        ("Private Attributes", "private"),
    ],
)  # fmt: skip
def test_categories(keyword: str, category: str) -> None:
    assert {(row.keyword or row.name): found for row, found in by_row().items()}[keyword] == category


ENTRY = "    - name: {}\n      {}\n"
DEEDS = [
    # entries, options of the section, attribute, options of the standard, top, below, state
    ("", "remove-private-tags: true", "PatientName", "", "stays", "stays", "left"),
    ("", "remove-private-tags: true", "Private Attributes", "", "removed", "removed", "handled"),
    (ENTRY.format("PatientName", "remove: true"), "", "PatientName", "", "removed", "stays", "left in sequences"),
    (ENTRY.format("PatientName", "remove: true"), "recurse-sequence: true", "PatientName", "", "removed", "removed", "handled"),
    (ENTRY.format("PatientName", "replace-with: ''"), "", "PatientName", "", "emptied", "stays", "left in sequences"),
    (ENTRY.format("PatientID", "replace-with: '{{ subject.pseudonym }}'"), "recurse-sequence: true", "PatientID", "", "replaced", "replaced", "handled"),
    (ENTRY.format("PatientID", "hash: true"), "recurse-sequence: true", "PatientID", "", "hashed", "hashed", "weaker"),
    (ENTRY.format("PatientID", "hash: keyed"), "recurse-sequence: true", "PatientID", "", "by key", "by key", "handled"),
    (ENTRY.format("PatientSex", "keep: true"), "recurse-sequence: true", "PatientSex", "", "kept", "kept", "left"),
    (ENTRY.format("PatientSex", "keep: true"), "", "PatientSex", "patient-characteristics", "kept", "stays", "retained"),
    (ENTRY.format("StudyDate", "increment-date: true"), "recurse-sequence: true\ndate-increment: 5", "StudyDate", "modified-dates", "moved", "moved", "handled"),
    (ENTRY.format("StudyDate", "increment-date: true"), "recurse-sequence: true\ndate-increment: 5", "StudyDate", "", "moved", "moved", "weaker"),
    (ENTRY.format("StudyDate", "increment-date: true"), "date-increment: 5", "StudyTime", "modified-dates", "stays", "stays", "retained"),
    ("    - vr: PN\n      replace-with: ''\n", "", "PersonName", "", "emptied", "emptied", "handled"),
    ("    - vr: UI\n      hashuid: true\n", "", "ReferencedImageSequence", "", "hashed", "hashed", "handled"),
    ("    - vr: UI\n      hashuid: true\n", "", "MediaStorageSOPInstanceUID", "", "hashed", "hashed", "handled"),
    ("    - regex: .*Physician.*\n      remove: true\n", "", "RequestingPhysician", "", "removed", "removed", "handled"),
    ("    - name: ReferencedImageSequence.*.PatientName\n      remove: true\n", "", "PatientName", "", "stays", "removed", "left"),
    ("    - name: (60xx,3000)\n      remove: true\n", "recurse-sequence: true", "Overlay Data", "", "removed", "removed", "handled"),
    (ENTRY.format("StudyDescription", "clean: true"), "recurse-sequence: true", "StudyDescription", "clean-descriptors", "cleaned", "cleaned", "handled"),
]  # fmt: skip


@pytest.mark.parametrize(("fields", "options", "name", "against", "top", "below", "state"), DEEDS)
def test_what_becomes_of_an_attribute(
    fields: str, options: str, name: str, against: str, top: str, below: str, state: str
) -> None:
    text = profile(fields, options)
    line = lines_of(section_of(text), *against.split())[name]
    assert (line.top, line.below, line.state) == (top, below, state)


def test_a_keep_list_leaves_what_it_names() -> None:
    text = profile(ENTRY.format("PatientSex", "keep: true"), "remove-undefined: true\nremove-private-tags: true")
    found = Counter(line.state for line in coverage.lines_of(section_of(text)))
    assert found == {"handled": 648, "left": 1}


def test_the_standard_leaves_no_gap() -> None:
    for options in ("", *tables.OPTIONS):
        word = f"ps3-15: {{profile: basic, options: [{options}]}}"
        section = section_of(profile("", word))
        gaps = [(line.name, line.state, line.top) for line in coverage.lines_of(section) if line.state in coverage.GAPS]
        assert gaps == [], options


def test_what_breaks() -> None:
    text = profile(
        ENTRY.format("StudyInstanceUID", "remove: true")
        + ENTRY.format("PatientName", "remove: true")
        + ENTRY.format("PatientBirthDate", "replace-with: ''")
        + ENTRY.format("Modality", "replace-with: ''")
        + ENTRY.format("StudyDescription", "remove: true")
    )
    found = {(one.name, one.deed, one.kind): len(one.iods) for one in coverage.breaks_of(section_of(text))}
    assert {key for key in found if key[0] != "Modality"} == {
        ("StudyInstanceUID", "removed", "1"), ("PatientName", "removed", "2"),
    }  # fmt: skip
    assert found["StudyInstanceUID", "removed", "1"] > 100
    assert coverage.breaks_of(section_of(profile("", "ps3-15: basic"))) == ()


# -- shipped profiles ------------------------------------------------------------------------------------


def claims_of(name: str) -> tuple[list[str], list[str]]:
    header = " ".join(line.strip("# ") for line in text_of(name)[: text_of(name).index("\nname:")].splitlines())
    found = CLAIMS.search(header)
    assert ("Covers:" in header) == (found is not None)
    if found is None:
        return [], []
    assert found["edition"] == tables.EDITION
    return [word.strip() for word in found["what"].split(",")], [
        word.strip() for word in (found["options"] or "").split(",") if word
    ]


@pytest.mark.parametrize("name", NAMES)
def test_a_profile_covers_what_its_heading_claims(name: str) -> None:
    categories, options = claims_of(name)
    assert set(categories) <= set(CATEGORIES)
    assert set(options) <= set(tables.OPTIONS)
    lines = coverage.lines_of(section_of(text_of(name)), frozenset(options))
    stays = [
        (line.name, line.state, line.top)
        for line in lines
        if line.category in categories and line.state in (coverage.LEFT, coverage.BELOW)
    ]
    assert stays == []


@pytest.mark.parametrize("name", [name for name in NAMES if name not in ("minimal", "starter", "stored-archives")])
def test_a_name_of_a_person_is_nowhere(name: str) -> None:
    """Attributes of VR PN, also those that Table E.1-1 does not have, of SR content items and of newer modules."""
    place = coverage._places(section_of(text_of(name)))[0]
    tags = [tag for tag in pydicom.datadict.DicomDictionary if public_vr(tag) == "PN"]
    assert len(tags) >= 29
    for where in (place, place.below(0x0040A730, 0, place.encoding)):
        left = [
            keyword_of(tag) for tag in tags if coverage.deed_of(coverage._act(where, tag, "PN")) in ("stays", "kept")
        ]
        assert left == []


def test_the_claims_are_there() -> None:
    told = {name: claims_of(name)[0] for name in NAMES}
    assert told["minimal"] == told["starter"] == []
    assert told["research-site"] == ["people"]
    assert told["stored-archives"] == ["uids"]
    assert told["block-list"] == ["people", "dates", "uids", "institutions"]
    assert told["basic"] == list(CATEGORIES)


def with_dates() -> bytes:
    """Return an instance with every date that the dictionary knows, at the top level and in a sequence."""
    ds = pydicom.dcmread(io.BytesIO(small(SOPClassUID="1.2.840.10008.5.1.4.1.1.2")), force=True)
    inside = Dataset()
    for one in (ds, inside):
        for tag in pydicom.datadict.DicomDictionary:
            if public_vr(tag) in ("DA", "DT") and tag >> 16 not in (0, 2, 4, 0x50, 0x60):
                one.add_new(tag, public_vr(tag), "20200229" if public_vr(tag) == "DA" else "20200229134501")
    ds.AnatomicRegionSequence = [inside]
    stream = io.BytesIO()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.save_as(stream, enforce_file_format=True)
    return stream.getvalue()


@pytest.mark.parametrize("name", ["block-list", "basic-longitudinal", "basic-research"])
def test_all_dates_of_a_study_move_together(name: str, tmp_path: Path) -> None:
    source, out = tmp_path / "in", tmp_path / "out"
    source.write_bytes(with_dates())
    ctx = Context(store.load(name, VALUES), Keyring(b"k" * 32), "id:1", date(2026, 1, 1), "strict")
    assert isinstance(deidentify(source, "in", ctx, out), Result)
    ds = pydicom.dcmread(out)
    moved = {str(element.value)[:8] for element in ds.iterall() if element.VR in ("DA", "DT") and element.value}
    days = {(datetime.strptime(one, "%Y%m%d") - datetime(2020, 2, 29)).days for one in moved}  # noqa: DTZ001, DTZ007
    assert len(days) == 1, moved
    assert days != {0}


# -- what may be added -----------------------------------------------------------------------------------


def merged(text: str, addition: str) -> str:
    """Put the options and fields of an addition into the dicom section of a profile that ends with its fields."""
    options, _, fields = addition.partition("  fields:\n")
    there = {line.split(":")[0] for line in text.splitlines()}
    lines = [line for line in options.splitlines() if line.startswith("  ") and line.split(":")[0] not in there]
    entries = fields.replace("    - requires: fw-gear-deid\n", "") if "requires:" in text else fields
    return text.replace("dicom:\n", "dicom:\n" + "".join(f"{line}\n" for line in lines), 1) + entries


STARTS = [
    profile(ENTRY.format("PatientName", "remove: true")),
    profile(ENTRY.format("PatientName", "remove: true"), "recurse-sequence: true\nremove-private-tags: true"),
    profile("    - regex: .*Physician.*\n      remove: true\n"),
    profile(ENTRY.format("StudyDate", "increment-date: true"), "date-increment: 5"),
    profile(ENTRY.format("StudyInstanceUID", "hashuid: true")),
    text_of("minimal"),
    text_of("research-site"),
    text_of("block-list"),
]


@pytest.mark.parametrize("number", range(len(STARTS)))
@pytest.mark.parametrize("category", ["", "people", "documents"])
def test_entries_close_the_gaps(number: int, category: str) -> None:
    start = STARTS[number]
    section = section_of(start)
    lines = [line for line in coverage.lines_of(section) if not category or line.category == category]
    found = suggest.by_entries(section, lines)
    text = suggest.text_of({"dicom": found.additions})
    if not found.additions:
        assert not [line for line in lines if line.state in coverage.GAPS and line.name not in found.meant]
        return
    assert section_of(text) is not None
    after = lines_of(section_of(merged(start, text)), *coverage.options_of(section))
    allowed = {*found.meant, *found.left}
    assert [name for name in found.closes if after[name].state in coverage.GAPS and name not in allowed] == []


def test_what_is_meant_so_gives_no_empty_section(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = tmp_path / "p.yaml"
    path.write_text(profile("    - name: ProtocolName\n", "ps3-15: basic"), encoding="utf-8")
    assert main(["profile", "suggest", str(path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "#   ProtocolName" in lines
    assert [line for line in lines if not line.startswith("#")] == []


def test_the_word_closes_all(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = tmp_path / "p.yaml"
    path.write_text(STARTS[0], encoding="utf-8")
    assert main(["profile", "suggest", str(path)]) == 0
    text = capsys.readouterr().out
    assert "  ps3-15: basic\n" in text
    after = lines_of(section_of(merged(STARTS[0], text)))
    gaps = [name for name, line in after.items() if line.state in coverage.GAPS]
    assert set(gaps) <= {"PatientName"}
    path.write_text(profile("", "ps3-15: basic"), encoding="utf-8")
    assert main(["profile", "suggest", str(path)]) == 0
    assert capsys.readouterr().out == "# nothing to add: there are no gaps\n"


def test_a_category_is_closed_by_entries(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["profile", "suggest", "minimal", "--category", "uids"]) == 0
    text = capsys.readouterr().out
    assert "- vr: UI\n      hashuid: keyed" in text
    assert "ps3-15:" not in text


def test_what_a_run_refused_is_let_pass(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    desk.profile.write_text(profile("", "ps3-15: basic"), encoding="utf-8")
    ultrasound = instance(SOPClassUID="1.2.840.10008.5.1.4.1.1.6.1")
    report = instance(SOPClassUID="1.2.840.10008.5.1.4.1.1.88.11", number=2)
    desk.put({"S/V/A/1": ultrasound, "S/V/A/2.zip": packed({"a": report}), "S/V/A/3": instance(number=3)})
    assert desk.run().code == 1
    states = desk.states()
    assert (states["S/V/A/1"], states["S/V/A/2.zip"], states["S/V/A/3"]) == ("refused", "refused", "released")
    assert "risk burned-in" in desk.reasons()["S/V/A/1"]
    assert main(["profile", "suggest", str(desk.reports)]) == 0
    text = capsys.readouterr().out
    assert "  accept: [burned-in, reports]\n" in text
    assert section_of(text).accept == {"burned-in", "reports"}
    desk.profile.write_text(merged(desk.profile.read_text("utf-8"), text), encoding="utf-8")
    done = desk.run("--exists", "replace")
    assert done.code == 0, done.err
    assert {row["source"]: row["risks"] for row in desk.rows()} == {
        "S/V/A/1": "burned-in", "S/V/A/2.zip": "reports", "S/V/A/3": "",
    }  # fmt: skip


def test_reasons_and_their_remedies() -> None:
    rows = [
        ("b.json", "verification: a name or id that a rule took away stands in info.note, too: name a rule for that"),
        ("c.dcm", "(0008,0016): risk faces-of-steel: no word"),
        ("d.dcm", "it is damaged"),
    ]
    text = suggest.text_of(suggest.by_reasons(rows))
    found = parse_profile(text, "p.yaml", VALUES)
    assert "json:\n  fields:\n    - name: 'info.note'\n      remove: true\n" in text
    assert "steel" not in text
    assert found.dicom is None


# -- the command -----------------------------------------------------------------------------------------


def test_the_page_and_the_table(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["profile", "coverage", "block-list"]) == 0
    page = capsys.readouterr().out
    assert "block-list against PS3.15 2025c Table E.1-1 (649 attributes): basic, modified-dates" in page
    assert "free text, left as they came:" in page
    assert main(["profile", "coverage", "block-list", "--format", "csv", "--against", "basic,full-dates"]) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert len(rows) == 649
    assert {row["keyword"]: row for row in rows}["StudyDate"] | {"breaks": ""} == {
        "tag": "(0008,0020)", "keyword": "StudyDate", "category": "dates", "standard": "K", "top": "moved",
        "sequences": "moved", "state": "retained", "breaks": "",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["coverage", "block-list", "--strict"], 1, ""),
        (["coverage", "basic", "--strict"], 0, ""),
        (["coverage", "no-such"], 2, "no such profile"),
        (["coverage", "basic", "--against", "modified-dates"], 2, "--against begins with basic"),
        (["coverage", "basic", "--against", "basic,modified-date"], 2, "did you mean 'modified-dates'"),
        (["suggest", "minimal", "--category", "persons"], 2, "no category: 'persons'"),
        (["suggest", "."], 2, "no reports"),
        (["coverage", "bids"], 2, "no dicom section"),
    ],
)
def test_exit_codes(arguments: list[str], code: int, told: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["profile", *arguments]) == code
    assert told in capsys.readouterr().err


CHECKS = [
    (ENTRY.format("ProtocolName", "keep: true"), "do not get 113105 (Clean Descriptors Option)"),
    (ENTRY.format("PatientName", "keep: true"), "113100 (Basic Application Confidentiality Profile) nor PatientIdentityRemoved"),
    (ENTRY.format("PatientName", "remove: true"), ""),
]  # fmt: skip


@pytest.mark.parametrize(("fields", "told"), CHECKS)
def test_check_tells_what_an_entry_costs(fields: str, told: str) -> None:
    text = profile(fields, "ps3-15: {profile: basic, options: [clean-descriptors]}")
    found = [one.message for one in parse_profile(text, "p.yaml", VALUES).warnings]
    costs = [one for one in found if "less than the standard asks" in one]
    assert bool(costs) == bool(told)
    assert told in "".join(costs)


def test_check_tells_of_a_risk_that_is_accepted_for_nothing() -> None:
    word = "ps3-15: {profile: basic, options: [clean-graphics]}\naccept: [annotations, raw]"
    found = [one.message for one in parse_profile(profile("", word), "p.yaml", VALUES).warnings]
    assert found == ["annotations says nothing here: the option clean-graphics takes the risk away"]
