"""`profile check | list | show | new` as they are called: output and exit codes."""

from __future__ import annotations

import json
import re
from datetime import date, datetime, timedelta
from pathlib import Path

import pytest

from fw_gear_deid.keys import Keyring
from fw_gear_deid.model.action import At
from fw_gear_deid.model.errors import UsageError
from fw_gear_deid.profile import store
from fw_gear_deid.profile.language import requires
from fw_gear_deid.profile.parse import parse_profile
from fw_gear_deid.profile.text.problems import ProfileError
from fw_gear_deid.profile.text.wrapped import plain_values
from fw_gear_deid.profile.values.variables import read_template
from tests.test_profile import REMOVE, SILENT, rules


def command(*arguments: str) -> int:
    from fw_gear_deid import cli  # only here: the rest needs the reader alone

    return cli.main(["profile", *arguments])


@pytest.fixture
def good(tmp_path: Path) -> str:
    path = tmp_path / "good.yaml"
    path.write_text(SILENT, encoding="utf-8")
    return str(path)


@pytest.fixture
def risky(tmp_path: Path) -> str:
    path = tmp_path / "risky.yaml"
    path.write_text(REMOVE, encoding="utf-8")
    return str(path)


@pytest.fixture
def bad(tmp_path: Path) -> str:
    path = tmp_path / "bad.yaml"
    path.write_text(REMOVE.replace("remove: true", "remov: true"), encoding="utf-8")
    return str(path)


def test_check_says_what_is_wrong_and_where(good: str, bad: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert command("check", good, bad) == 2
    out = capsys.readouterr().out
    assert f"{bad}:4:7 error dicom.fields[0]: unknown key 'remov'; did you mean 'remove'?\n" in out
    assert out.endswith("1 errors, 6 warnings in 2 profiles\n")


def test_check_of_a_good_profile(good: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert command("check", good, "--strict") == 0
    assert capsys.readouterr().out == "0 errors, 0 warnings in 1 profiles\n"


def test_warnings_fail_only_when_strict(risky: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert command("check", risky) == 0
    assert command("check", "--strict", risky) == 2
    assert "private elements stay" in capsys.readouterr().out


def test_check_as_json(risky: str, bad: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert command("check", "--format", "json", risky, bad) == 2
    rows = json.loads(capsys.readouterr().out)
    assert {row["file"] for row in rows} == {risky, bad}
    assert [row for row in rows if row["severity"] == "error"] == [
        {
            "file": bad,
            "line": 4,
            "column": 7,
            "severity": "error",
            "where": "dicom.fields[0]",
            "message": "unknown key 'remov'; did you mean 'remove'?",
        }
    ]


def test_check_as_json_of_a_good_profile(good: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert command("check", "--format", "json", good) == 0
    assert json.loads(capsys.readouterr().out) == []


@pytest.mark.parametrize("name", ["nowhere.yaml", "."])
def test_check_of_what_is_no_file(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command("check", str(tmp_path / name)) == 2
    assert "cannot be read" in capsys.readouterr().err


def test_check_of_shipped_profiles(capsys: pytest.CaptureFixture[str]) -> None:
    assert command("check", *store.shipped()) == 0
    assert re.search(r"^0 errors, \d+ warnings in 11 profiles$", capsys.readouterr().out, re.MULTILINE)


def test_a_folder_of_data_hides_no_shipped_profile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "bids").mkdir()
    monkeypatch.chdir(tmp_path)
    assert store.path_of("bids") == store.shipped()["bids"]
    with pytest.raises(UsageError, match="a folder, no profile"):
        store.path_of(".")


def test_new_writes_the_starter_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "mine" / "site.yaml"
    assert command("new", str(path)) == 0
    assert path.read_text(encoding="utf-8") == store.shipped()["starter"].read_text(encoding="utf-8")
    path.write_text("mine", encoding="utf-8")
    assert command("new", str(path)) == 2
    assert "exists already; nothing was written" in capsys.readouterr().err
    assert path.read_text(encoding="utf-8") == "mine"


@pytest.mark.parametrize("name", ["site.txt", "site", "file.yaml/site.yaml"])
def test_new_where_it_cannot_be(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file.yaml").touch()
    assert command("new", str(tmp_path / name)) == 2
    assert "site" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["file.yaml"]


def test_list_has_a_line_for_each_shipped_profile(capsys: pytest.CaptureFixture[str]) -> None:
    assert command("list") == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == sorted(store.shipped())
    assert all(len(line.split(maxsplit=1)[1]) > 20 for line in lines)


def test_jitter_of_a_date_moves_it_by_whole_days() -> None:
    profile = parse_profile(
        "dicom:\n  fields:\n    - name: StudyDate\n      jitter: true\n      jitter-range: 5\n", "p.yaml"
    )
    assert profile.dicom is not None
    action = profile.dicom.rules[0].action
    at = At("DA", Keyring(bytes(32)).draw("someone"), date(2026, 1, 1), lambda name: "")
    (moved,) = action(("20200229",), at)
    days = (datetime.strptime(moved, "%Y%m%d") - datetime(2020, 2, 29)).days  # noqa: DTZ001, DTZ007
    assert 1 <= abs(days) <= 5
    assert action(("20210301",), at) == ((datetime(2021, 3, 1) + timedelta(days)).strftime("%Y%m%d"),)  # noqa: DTZ001


@pytest.mark.parametrize("option", ["jitter-min: 3", "jitter-max: 9", "jitter-range: 0.5"])
def test_jitter_of_a_date_takes_days_only(option: str) -> None:
    with pytest.raises(ProfileError, match="jitter of a date"):
        parse_profile(f"dicom:\n  fields:\n    - name: StudyDate\n      jitter: true\n      {option}\n", "p.yaml")


@pytest.mark.parametrize(
    ("entry_", "message"),
    [
        ("requires: fw-gear-deid", ""),
        ("requires: other", "requires must be fw-gear-deid"),
        ("requires: [fw-gear-deid]", "requires must be fw-gear-deid"),
        ("requires: fw-gear-deid\nname: PatientID", "stands alone"),
    ],
)
def test_an_entry_for_other_engines(entry_: str, message: str) -> None:
    text = (
        "dicom:\n  fields:\n    - "
        + entry_.replace("\n", "\n      ")
        + "\n    - name: PatientName\n      remove: true\n"
    )
    if message:
        with pytest.raises(ProfileError, match=message):
            parse_profile(text, "p.yaml")
    else:
        assert [rule.name for rule in rules(text)] == ["PatientName"]


@pytest.mark.parametrize("asked", [True, False])
@pytest.mark.parametrize(
    "word", ["replace-with: '{{ subject.pseudonym }}'", "replace-with: X\n      replace-with-append: true"]
)
def test_a_word_of_ours_asks_for_this_program(word: str, asked: bool) -> None:
    text = "dicom:\n  fields:\n" + "    - requires: fw-gear-deid\n" * asked
    text += f"    - name: PatientID\n      {word}\n"
    told = [
        one.message for one in parse_profile(text, "p.yaml").warnings if "known to this program only" in one.message
    ]
    assert len(told) == (not asked)
    values = plain_values(text)
    assert requires.add(values, read_template(text, "p.yaml")) is not asked
    assert values["dicom"]["fields"][0] == {"requires": "fw-gear-deid"}
