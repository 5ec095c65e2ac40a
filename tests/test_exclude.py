"""Instances that a profile leaves out for what their header says."""

from __future__ import annotations

import zipfile
from datetime import date
from pathlib import Path

import pytest

from fw_gear_deid.deid import Context, Result, deidentify, deidentify_series
from fw_gear_deid.keys import Keyring
from fw_gear_deid.model.errors import Unfit
from fw_gear_deid.model.outcome import Skipped, kind_of
from fw_gear_deid.profile.parse import parse_profile
from fw_gear_deid.profile.text.problems import ProfileError
from tests.dicom_files import CT, SYNTAXES, Leaf, Node, part10, text

HEAD = "dicom:\n  exclude:\n"
TAIL = "  fields:\n    - requires: fw-gear-deid\n    - {name: PatientID, replace-with: X}\n"
PRIVATE = (text(0x00090010, "LO", "GEMS_IDEN_01"), text(0x00091004, "SH", "SCANNER"))


def nodes_of(*more: Node) -> tuple[Node, ...]:
    nodes = (
        text(0x00080008, "CS", "DERIVED\\SECONDARY\\SCREEN SAVE"),
        text(0x00080016, "UI", CT),
        text(0x00080018, "UI", "1.2.3"),
        text(0x00080060, "CS", "OT"),
        text(0x00080080, "LO", " Site A "),
        text(0x00100020, "LO", "P1"),
    )
    return tuple(sorted((*nodes, *more), key=lambda node: node.tag))


def context(lines: str, zips: str = "") -> Context:
    profile = parse_profile(HEAD + lines + TAIL + zips, "p.yaml")
    return Context(profile, Keyring(bytes(32)), "id:1", date(2026, 1, 1), "strict")


def became(data: bytes, ctx: Context, tmp_path: Path, name: str = "a.dcm") -> Result | Skipped:
    source = tmp_path / "source"
    source.write_bytes(data)
    return deidentify(source, name, ctx, tmp_path / "out")


@pytest.mark.parametrize("syntax", SYNTAXES)
@pytest.mark.parametrize(
    ("condition", "out"),
    [
        ("Modality: OT", True),
        ("Modality: ot", False),
        ("modality: [US, OT]", True),
        ('"(0008,0060)": OT', True),
        ("Modality: O", False),
        ("Modality: 'r!O.'", True),
        ("Modality: 'r!O'", False),
        ("ImageType: SECONDARY", True),
        ("ImageType: 'r!.*SCREEN.*'", True),
        ("ImageType: 'r!SCREEN'", False),
        ("InstitutionName: Site A", True),
        ("BurnedInAnnotation: 'YES'", False),
        ("BurnedInAnnotation: 'r!.*'", False),
        ("SOPClassUID: " + CT, True),
        ("MediaStorageSOPClassUID: " + CT, True),
        ("'(0009, \"GEMS_IDEN_01\", 04)': SCANNER", True),
        ("'(0009, \"OTHER\", 04)': SCANNER", False),
        ("{Modality: OT, ImageType: PRIMARY}", False),
        ("{Modality: OT, ImageType: DERIVED}", True),
    ],
)
def test_conditions(syntax: str, condition: str, out: bool, tmp_path: Path) -> None:
    found = became(part10(nodes_of(*PRIVATE), SYNTAXES[syntax]), context(f"    - {condition}\n"), tmp_path)
    assert isinstance(found, Skipped) == out
    if isinstance(found, Skipped):
        assert found.reason == "excluded (p.yaml:3)"
        assert kind_of(found.reason) == "excluded"


def test_one_of_several_lines_is_enough(tmp_path: Path) -> None:
    found = became(
        part10(nodes_of(), SYNTAXES["explicit"]), context("    - Modality: US\n    - Modality: OT\n"), tmp_path
    )
    assert found == Skipped("excluded (p.yaml:4)")


def test_the_header_counts_as_it_came(tmp_path: Path) -> None:
    data = part10(nodes_of(), SYNTAXES["explicit"])
    assert isinstance(became(data, context("    - PatientID: X\n"), tmp_path), Result)
    assert isinstance(became(data, context("    - PatientID: P1\n"), tmp_path), Skipped)


def test_what_stands_as_un_is_compared_by_the_dictionary(tmp_path: Path) -> None:
    data = part10(nodes_of(Leaf(0x00280301, "UN", b"YES ")), SYNTAXES["explicit"])
    assert isinstance(became(data, context("    - BurnedInAnnotation: 'YES'\n"), tmp_path), Skipped)


def test_what_is_inside_sequences_does_not_count(tmp_path: Path) -> None:
    from tests.dicom_files import Item, Seq

    inside = Seq(0x00081140, (Item((text(0x00280301, "CS", "YES"),)),))
    data = part10(nodes_of(inside), SYNTAXES["explicit"])
    assert isinstance(became(data, context("    - BurnedInAnnotation: 'YES'\n"), tmp_path), Result)


@pytest.mark.parametrize("cut", [1, 20, 60])
def test_what_cannot_be_read_is_refused(cut: int, tmp_path: Path) -> None:
    data = part10(nodes_of(), SYNTAXES["explicit"])
    with pytest.raises(Unfit):
        became(data[:-cut], context("    - Modality: OT\n"), tmp_path)


def archive(path: Path, *members: bytes) -> bytes:
    with zipfile.ZipFile(path / "made.zip", "w") as made:
        for number, data in enumerate(members):
            made.writestr(f"{number}.dcm", data)
    return (path / "made.zip").read_bytes()


def instance(modality: str, number: int) -> bytes:
    nodes = (
        text(0x00080016, "UI", CT),
        text(0x00080018, "UI", f"1.2.{number}"),
        text(0x00080060, "CS", modality),
        text(0x00100020, "LO", "P1"),
    )
    return part10(nodes, SYNTAXES["explicit"])


def test_the_others_of_an_archive_go_on(tmp_path: Path) -> None:
    ctx = context("    - Modality: OT\n", "zip:\n  validate-zip-members: true\n")
    found = became(archive(tmp_path, instance("OT", 1), instance("CT", 2), instance("OT", 3)), ctx, tmp_path, "a.zip")
    assert isinstance(found, Result)
    assert found.released.members == 1
    assert found.released.reason == "2 members left out: 2 excluded (p.yaml:3)"


def test_an_archive_of_which_none_is_left_is_skipped(tmp_path: Path) -> None:
    found = became(archive(tmp_path, instance("OT", 1)), context("    - Modality: OT\n"), tmp_path, "a.zip")
    assert isinstance(found, Skipped)
    assert found.reason == "excluded (p.yaml:3): no member is left (1 excluded (p.yaml:3))"


def test_an_archive_in_an_archive_of_which_none_is_left_goes(tmp_path: Path) -> None:
    inner = archive(tmp_path, instance("OT", 1))
    with zipfile.ZipFile(tmp_path / "outer.zip", "w") as made:
        made.writestr("a/inner.zip", inner)
        made.writestr("a/2.dcm", instance("CT", 2))
    ctx = context("    - Modality: OT\n", "zip:\n  validate-zip-members: true\n")
    found = became((tmp_path / "outer.zip").read_bytes(), ctx, tmp_path, "a.zip")
    assert isinstance(found, Result)
    assert found.released.reason == "1 member left out: 1 excluded (p.yaml:3)"


def test_the_others_of_a_series_go_on(tmp_path: Path) -> None:
    sources = []
    for number, modality in enumerate(("OT", "CT", "CT")):
        (tmp_path / f"{number}.dcm").write_bytes(instance(modality, number))
        sources.append((tmp_path / f"{number}.dcm", f"{number}.dcm"))
    found = deidentify_series(sources, context("    - Modality: OT\n"), tmp_path / "out")
    assert isinstance(found, Result)
    assert (found.released.members, found.released.reason) == (2, "1 instance left out: 1 excluded (p.yaml:3)")
    assert deidentify_series(sources[:1], context("    - Modality: OT\n"), tmp_path / "out") == Skipped(
        "excluded (p.yaml:3)"
    )


@pytest.mark.parametrize(
    ("lines", "wrong"),
    [
        ("    - BurnedInAnnotation: YES\n", "YAML reads YES as true or false: write it in quotes"),
        ("    - BurnedInAnnotation: [NO]\n", "YAML reads NO as true or false"),
        ("    - Modalty: US\n", "did you mean 'Modality'"),
        ("    - Modality: []\n", "an empty list"),
        ("    - Modality:\n", "compares with text"),
        ("    - Modality: {a: b}\n", "compares with text"),
        ("    - Modality: 'r!('\n", "not a regular expression"),
        ("    - US\n", "a condition is a mapping"),
        ("    - {}\n", "a condition is a mapping"),
        ("    - ReferencedImageSequence: US\n", "VR SQ has no text"),
        ("    - PixelData: US\n", "VR OW has no text"),
        ("    - ReferencedImageSequence.0.Modality: US\n", "one element of the top level"),
        ("    - Modality: ''\n", "empty text"),
    ],
)
def test_wrong_conditions(lines: str, wrong: str) -> None:
    with pytest.raises(ProfileError) as error:
        parse_profile(HEAD + lines + TAIL, "p.yaml")
    assert any(wrong in line for line in error.value.lines), error.value.lines


def test_a_profile_of_conditions_alone_changes_nothing() -> None:
    with pytest.raises(ProfileError, match=r"p\.yaml"):
        parse_profile(HEAD + "    - Modality: US\n", "p.yaml")


def test_a_preview_tells_what_is_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from fw_gear_deid.cli import main

    (tmp_path / "a.dcm").write_bytes(instance("OT", 1))
    (tmp_path / "p.yaml").write_text(HEAD + "    - Modality: OT\n" + TAIL)
    assert main(["preview", str(tmp_path / "a.dcm"), "--profile", str(tmp_path / "p.yaml")]) == 0
    assert "  excluded (p.yaml:3)" in capsys.readouterr().out
