"""One table of options: command line, gear and Python callers agree with it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import fw_gear_deid
from fw_gear_deid import options
from fw_gear_deid.model.errors import UsageError
from fw_gear_deid.sample import make_sample
from tests.desk import Desk, instance

ROOT = Path(__file__).resolve().parents[1]
MANIFEST = json.loads((ROOT / "manifest.json").read_text(encoding="utf-8"))
WORDS = [(name, word, default) for name, word, default in options.words()]


@pytest.mark.parametrize(("name", "word", "default"), WORDS, ids=[name for name, _, _ in WORDS])
def test_gear_has_what_the_table_says(name: str, word: options.Word, default: object) -> None:
    if not word.gear:
        assert name not in MANIFEST["config"]
        return
    if word.gear in MANIFEST["inputs"]:
        return
    found = MANIFEST["config"][word.gear]
    if name == "exists":  # the other gears' word, with two more ways
        assert [one.lower() for one in found["enum"][:2]] == list(word.choices[:2])
    elif word.choices:
        assert (tuple(found["enum"]), found["default"]) == (word.choices, default)
    elif isinstance(default, bool):
        assert (found["type"], found["default"]) == ("boolean", default)


def test_python_call_is_the_command(tmp_path: Path) -> None:
    make_sample(tmp_path / "in", 1)
    done = fw_gear_deid.deidentify(tmp_path / "in", tmp_path / "out", profile="research-site", workers=1)
    assert done.code == 0
    assert done.states["released"] == len(
        [path for path in (tmp_path / "out").rglob("*") if path.is_file() and path.suffix]
    )
    assert done.reports == tmp_path / "out-report"
    assert (done.reports / "private" / "files.csv").is_file()


def test_python_call_says_what_is_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(UsageError, match="no such file or folder"):
        fw_gear_deid.deidentify(tmp_path / "nowhere", tmp_path / "out", profile="research-site")
    with pytest.raises(TypeError, match="no such option: dryrun"):
        fw_gear_deid.deidentify(tmp_path, tmp_path / "out", profile="research-site", dryrun=True)
    with pytest.raises(ValueError, match="exists: must be one of skip, replace, fail"):
        fw_gear_deid.deidentify(tmp_path, tmp_path / "out", profile="research-site", exists="never")
    with pytest.raises(ValueError, match="workers: must be a whole number from 1"):
        fw_gear_deid.deidentify(tmp_path, tmp_path / "out", profile="research-site", workers="two")
    assert capsys.readouterr() == ("", "")


TREE = {
    f"{subject}/V/{scan}/{n}.dcm": (subject, series, n)
    for subject in "ST"
    for series, scan in enumerate(("t1", "fmri"), 1)
    for n in (1, 2)
}


@pytest.mark.parametrize(
    ("asked", "taken"),
    [
        (("--only", "S"), {name for name in TREE if name[0] == "S"}),
        (("--only", "S", "T"), set(TREE)),
        (("--only", "S", "--only", "T"), set(TREE)),
        (("--include", "*1.DCM"), {name for name in TREE if "1.dcm" in name}),
        (("--include", "fmri"), {name for name in TREE if "fmri" in name}),
        (("--exclude", "S/V/t1"), {name for name in TREE if "S/V/t1" not in name}),
        (("--exclude", "S/V/t1/"), {name for name in TREE if "S/V/t1" not in name}),
        (("--exclude", "2.dcm", "fmri"), {name for name in TREE if "2.dcm" not in name and "fmri" not in name}),
        (("--include", "t1", "--exclude", "T"), {name for name in TREE if name.startswith("S/V/t1")}),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_files_are_left_out_by_name(desk: Desk, asked: tuple[str, ...], taken: set[str]) -> None:
    desk.put({name: instance(subject, series=series, number=n) for name, (subject, series, n) in TREE.items()})
    assert desk.run(*asked).code == 0
    states = desk.states()
    assert {name for name, state in states.items() if state == "released"} == taken
    assert all(desk.reasons()[name].startswith("excluded") for name in set(TREE) - taken)
    assert len(desk.there()) == len(taken)


def test_only_a_subject_that_is_there(desk: Desk) -> None:
    desk.put({"S/V/A/1.dcm": instance()})
    done = desk.run("--only", "S", "Jane")
    assert (done.code, "--only" in done.err, "Jane" in done.err) == (2, True, False)
    assert not desk.dest.exists()


def test_what_is_left_out_later_keeps_its_earlier_result(desk: Desk) -> None:
    desk.put({"S/V/A/1.dcm": instance(), "T/V/A/1.dcm": instance("Q")})
    assert desk.run().code == 0
    there = desk.there()
    assert desk.run("--only", "S").code == 0
    assert desk.there() == there
