"""One table of options: command line, gear and Python callers agree with it."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

import fw_gear_deid
from fw_gear_deid import options
from fw_gear_deid.cli import COMMANDS, parser
from fw_gear_deid.model.errors import UsageError
from fw_gear_deid.sample import make_sample
from tests.desk import Desk, instance

ROOT = Path(__file__).resolve().parents[1]
MANIFEST = json.loads((ROOT / "manifest.json").read_text(encoding="utf-8"))
WORDS = [(name, word, default) for name, word, default in options.words()]
GEAR_ALONE = {
    "project_path", "builtin_profile", "profile_source", "delete_reason", "match_by_id", "validate", "deid_log",
    "debug", "fan_out",
}  # fmt: skip
OTHERWISE = {("preview", "--profile"), ("sample", "--check")}
"""Options that have the name of one of the table and another meaning: a preview has no DEST, a sample is compared."""


def told(parser: argparse.ArgumentParser, command: str = "") -> Iterator[tuple[str, argparse.Action]]:
    """Yield the options of all commands, in any depth."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, below in action.choices.items():
                yield from told(below, f"{command} {name}".strip())
        elif action.option_strings and "--help" not in action.option_strings:
            yield command, action


ON_THE_LINE = [
    (command, action.option_strings[-1], action)
    for name in COMMANDS
    for command, action in told(parser(name))
    if command.split(" ")[0] == name
]


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


def test_gear_has_no_option_of_its_own_that_nobody_listed() -> None:
    ours = {word.gear for _, word, _ in WORDS if word.gear}
    assert MANIFEST["config"].keys() - ours == GEAR_ALONE
    assert ours - MANIFEST["config"].keys() <= MANIFEST["inputs"].keys()


def test_run_has_the_options_of_the_table_and_no_other() -> None:
    listed = [option for command, option, _ in ON_THE_LINE if command == "run"]
    assert listed == [f"--{name.replace('_', '-')}" for name, _, _ in WORDS]
    assert {(command, option) for command, option, _ in ON_THE_LINE} >= OTHERWISE


@pytest.mark.parametrize(("command", "option", "action"), ON_THE_LINE, ids=[f"{c} {o}" for c, o, _ in ON_THE_LINE])
def test_an_option_is_that_of_the_table_in_every_command_and_documented(
    command: str, option: str, action: argparse.Action
) -> None:
    table = {f"--{name.replace('_', '-')}": word for name, word, _ in WORDS}
    if option in table and (command, option) not in OTHERWISE:
        assert action.help == table[option].help
        assert tuple(action.choices or ()) == table[option].choices
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    if command == "run":
        assert f"`{option}" in readme
    elif command and option in table and (command, option) not in OTHERWISE:
        assert f"`{option}" in readme, "told with those of run"
    elif command:
        rows = [line for line in readme.splitlines() if line.startswith("|") and f"`{command}" in line]
        assert any(option in row for row in rows)


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
