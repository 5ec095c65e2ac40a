"""What the bench makes and computes; nothing is timed here."""

from __future__ import annotations

import hashlib
import sys
import zipfile
import zlib
from pathlib import Path

import pydicom
import pytest

from bench import cases, data, measure, peers, profiles, table
from bench.__main__ import Bench, write
from bench.cases import CASES, Case, Row
from bench.measure import Failed, Sample
from bench.table import Goal
from tests.desk import Desk


def sample(cpu: float, peak: float = 50, size: float = 1) -> Sample:
    return Sample(cpu, cpu, peak, size)


ROUNDS = [
    {"ours": sample(1.0), "peer": sample(12.0)},
    {"ours": sample(2.0), "peer": sample(26.0)},
    {"ours": sample(1.0, peak=70), "peer": sample(11.0)},
]


# data


def test_data_are_the_same_each_time(tmp_path: Path) -> None:
    first, second = (data.make(tmp_path / name, "slices-2").read_bytes() for name in "ab")
    assert first == second


def test_pixels_are_the_same_on_every_machine() -> None:
    digest = hashlib.sha256(data.pixels(3, 32, 64)).hexdigest()
    assert digest == "15f69ea1f3fa25300014d7202edf17adbf19f81a4463dfee89f44d71102270ab"


def test_slices_are_as_large_and_pack_as_those_of_scanners() -> None:
    first, second = data.slices(2)
    assert 500_000 < len(first) < 550_000
    assert 0.4 < len(zlib.compress(first, 6)) / len(first) < 0.6
    both = len(zlib.compress(first[-300_000:] + second[-300_000:], 9))
    assert both > 1.9 * len(zlib.compress(first[-300_000:], 9)), "one tells the other"


def test_pixels_never_repeat() -> None:
    body = data.pixels(1, 64, 512)
    pieces = [body[start : start + 32] for start in range(len(body) - 32)]
    assert len(set(pieces)) == len(pieces)


@pytest.mark.parametrize("name", ["slices-2", "stored-2", "small-3", "frames-2", "tree-20", "loose-20", "file-1"])
def test_data_sets_hold_what_their_names_say(name: str, tmp_path: Path) -> None:
    path = data.make(tmp_path, name)
    assert measure.result(path)[0] == cases.count(name)
    kind = name.split("-")[0]
    if path.suffix == ".zip":
        with zipfile.ZipFile(path) as opened:
            method = zipfile.ZIP_STORED if kind in ("stored", "frames") else zipfile.ZIP_DEFLATED
            assert {info.compress_type for info in opened.infolist()} == {method}
            opened.extractall(tmp_path / "out")
    instances = list((tmp_path / "out" if path.suffix == ".zip" else path.parent).rglob("*.dcm"))
    headers = [pydicom.dcmread(one) for one in instances]
    assert len({ds.SOPInstanceUID for ds in headers}) == len(headers)
    assert all(len(ds.PixelData) == 2 * ds.Rows * ds.Columns * int(ds.get("NumberOfFrames", 1)) for ds in headers)


def test_half_a_data_set_is_not_taken_for_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def ends_early(path: Path, count: int) -> None:
        path.mkdir()
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setitem(data.MAKERS, "loose", ends_early)
        with pytest.raises(KeyboardInterrupt):
            data.make(tmp_path, "loose-10")
    assert measure.result(data.make(tmp_path, "loose-10"))[0] == 10


# profiles


@pytest.mark.parametrize("text", [profiles.site(), profiles.block_list(), profiles.many(20), profiles.many(620)])
def test_profiles_have_no_error_and_what_they_make_is_whole(text: str, desk: Desk) -> None:
    data.tree(desk.source, 3)
    desk.rules(text)
    assert desk.run().code == 0
    assert measure.result(desk.dest)[0] == 3


def test_profiles_have_the_rules_that_their_names_say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(profiles, "SHARED", tmp_path / "none")
    profiles.write(tmp_path)
    for count in (20, 620, 2900):
        assert (tmp_path / f"rules-{count}.yaml").read_text().count("- name:") == count
    assert (tmp_path / "site.yaml").read_text() == profiles.site()


def test_a_shared_profile_goes_before_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shared = tmp_path / "bench" / "profiles"
    shared.mkdir(parents=True)
    (shared / "upenn4.yaml").write_text("dicom:\n  fields: []\n")
    monkeypatch.setattr(profiles, "SHARED", tmp_path)
    profiles.write(tmp_path / "out")
    assert (tmp_path / "out" / "site.yaml").read_text() == "dicom:\n  fields: []\n"


# arithmetic


def test_ratios_are_taken_round_by_round() -> None:
    goal = Goal("faster", cases.over("peer", "ours"), "≥", 12)
    assert goal.measured(ROUNDS) == (12.0, 11.0, 13.0)
    assert goal.met(goal.measured(ROUNDS)) == "yes"
    assert Goal("faster", goal.of, "≥", 12.5).met((12.0, 11.0, 13.0)) == "no"
    assert Goal("lighter", goal.of, "≤", 12.5).met((12.0, 11.0, 13.0)) == "yes"


def test_a_goal_without_its_peer_is_not_measured() -> None:
    goal = Goal("faster", cases.over("another", "ours"), "≥", 12)
    assert goal.measured(ROUNDS) == "not measured: another"
    assert goal.met(goal.measured(ROUNDS)) == "–"
    assert goal.measured([]) == "not measured: its case was not run"


def test_start_is_taken_off_both_sides() -> None:
    one = {"a": sample(5), "a, one file": sample(1), "b": sample(10), "b, one file": sample(2)}
    assert cases.past_start("a", "b")(one) == 0.5


def test_growth_is_the_steepest_step_a_doubling() -> None:
    assert table.doubling([(100, 1.0), (1000, 8.0), (2000, 24.0)]) == pytest.approx(3)


def test_numbers_have_three_digits() -> None:
    assert [table.number(one) for one in (0.0312, 1.0, 12.345, 2345.6)] == ["0.031", "1.00", "12.3", "2346"]


def test_table_says_median_least_most_and_what_is_missing() -> None:
    lines = table.programs(ROUNDS, {"absent": "not installed: no wheel"}).splitlines()
    assert lines[2].split(" | ")[1:3] == ["1.00 (1.00–2.00)", "1.00"]
    assert lines[2].split(" | ")[4] == "70"
    assert lines[3].split(" | ")[1:3] == ["12.0 (11.0–26.0)", "12.0 (11.0–13.0)"]
    assert lines[4] == "| absent | – | – | – | – | – | not installed: no wheel |"


def test_growth_is_told_by_piece() -> None:
    text = table.growth([("2 files", 2, [one["ours"] for one in ROUNDS])])
    assert text.splitlines()[2] == "| 2 files | 1.00 (1.00–2.00) | 500 | 1.00 | 70 |"


def test_goals_stand_beside_what_was_and_what_is() -> None:
    goal = Goal("faster", cases.over("peer", "ours"), "≥", 12)
    text = table.goals([(goal, goal.measured(ROUNDS))], {"faster": "3.00 (2.00–4.00)"})
    assert text.splitlines()[2] == "| faster | ≥ 12× | 3.00 (2.00–4.00) | 12.0 (11.0–13.0) | yes |"


def test_goals_name_rows_that_their_cases_have() -> None:
    """A name that is misspelled would be "not measured" for ever."""
    for case in CASES:
        one = {row.name: Sample(float(number), 1.0, 1.0, 1.0, 1) for number, row in enumerate(case.rows, 1)}
        assert [goal.measured([one]) for goal in case.goals if isinstance(goal.measured([one]), str)] == []
        assert set(case.counted) <= one.keys()
    names = [goal.name for case in CASES for goal in case.goals]
    assert len(set(names)) == len(names)


# commands


LARGE = "x = b'x' * (200 << 20)\nfor _ in range(3_000_000): pass"


@pytest.mark.parametrize(
    "start",
    [
        "import subprocess, sys; subprocess.run([sys.executable, '-c', LARGE], check=True)",
        "import subprocess, sys; subprocess.Popen([sys.executable, '-c', LARGE]); import os; os._exit(0)",
    ],
    ids=["waited for", "left behind"],
)
def test_counts_children_of_children(start: str, tmp_path: Path) -> None:
    measured = measure.run([sys.executable, "-c", f"LARGE = {LARGE!r}\n{start}"], {}, tmp_path / "said.txt")
    small = measure.run([sys.executable, "-c", "pass"], {}, tmp_path / "said.txt")
    assert small.peak < 100 and measured.peak > 200
    assert measured.cpu > small.cpu


def test_counts_workers_that_a_server_forked(tmp_path: Path) -> None:
    """As ours are: the command does not wait for the server."""
    code = (
        "import os, multiprocessing as m\n"
        "def work(): bytearray(b'x' * (200 << 20))\n"
        "if __name__ == '__main__':\n"
        "    one = m.get_context('forkserver').Process(target=work); one.start(); one.join(); os._exit(one.exitcode)\n"
    )
    script = tmp_path / "script.py"
    script.write_text(code)
    assert measure.run([sys.executable, str(script)], {}, tmp_path / "said.txt").peak > 200


def test_a_command_that_fails_says_its_last_line(tmp_path: Path) -> None:
    with pytest.raises(Failed, match=r"^exit 3: no luck$"):
        measure.run([sys.executable, "-c", "print('no luck'); exit(3)"], {}, tmp_path / "said.txt")


def test_results_are_files_and_members_but_not_what_is_hidden(tmp_path: Path) -> None:
    (tmp_path / ".mark").write_bytes(b"x")
    (tmp_path / "a.dcm").write_bytes(b"xx")
    with zipfile.ZipFile(tmp_path / "b.zip", "w") as made:
        made.writestr("c.dcm", b"")
        made.writestr("d.dcm", b"")
    assert measure.result(tmp_path) == (3, (2 + (tmp_path / "b.zip").stat().st_size) / 1e6)


def test_peer_that_is_absent_is_told_and_others_are_measured(tmp_path: Path) -> None:
    copy = "import shutil, sys; shutil.copy(*sys.argv[1:])"
    rows = (
        Row("copies", (sys.executable, "-c", copy, "{in}", "{out}"), "file-1", makes=1),
        Row("absent", ("/none",), "file-1", peer="gdcmanon", makes=1),
        Row("fails", (sys.executable, "-c", "exit('out of luck')"), "file-1", makes=1),
        Row("makes nothing", (sys.executable, "-c", "pass"), "file-1", makes=1),
    )
    goal = Goal("faster", cases.over("absent", "copies"), "≥", 2)
    case = Case("one", "One", rows, (goal,))
    bench = Bench(tmp_path, {"gdcmanon": "not on PATH"})
    bench.measure(case, 2)
    assert [list(one) for one in Bench(tmp_path, {}).rounds(case)] == [["copies"], ["copies"]]
    told = bench.told(case)
    assert "absent | – | – | – | – | – | not installed: not on PATH" in told
    assert "fails | – | – | – | – | – | failed: exit 1: out of luck" in told
    assert "makes nothing | – | – | – | – | – | failed: made 0 of 1" in told
    assert bench.goals([case]) == [(goal, "not measured: absent")]
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("driver", ["floor", "floor-stored", "copy-zlib-6"])
def test_copies_hold_what_they_copied(driver: str, tmp_path: Path) -> None:
    source, dest = data.make(tmp_path, "slices-2"), tmp_path / "copy.zip"
    row = cases.here("copy", driver, "slices-2")
    words = {"{in}": str(source), "{out}": str(dest), "{profile}": "-"}
    measure.run([words.get(word, word) for word in row.command], {}, tmp_path / "said.txt")
    with zipfile.ZipFile(source) as before, zipfile.ZipFile(dest) as after:
        assert after.testzip() is None
        assert {name: after.read(name) for name in after.namelist()} == {n: before.read(n) for n in before.namelist()}


@pytest.mark.parametrize("name", ["slices-2", "stored-2", "tree-3"])
def test_peers_are_fed_every_member_and_file(name: str, tmp_path: Path) -> None:
    source, dest = data.make(tmp_path, name), tmp_path / "out"
    row = cases.here("loop", "pydicom-loop", name)
    words = {"{in}": str(source), "{out}": str(dest), "{profile}": "-"}
    measure.run([words.get(word, word) for word in row.command], {}, tmp_path / "said.txt")
    assert measure.result(dest)[0] == row.makes
    if source.is_dir():
        assert {one.relative_to(dest) for one in dest.rglob("*")} == {
            one.relative_to(source) for one in source.rglob("*")
        }
    else:
        with zipfile.ZipFile(source) as before, zipfile.ZipFile(dest) as after:
            methods = [{info.filename: info.compress_type for info in one.infolist()} for one in (before, after)]
        assert methods[0] == methods[1]


def test_a_run_without_isal_has_none(tmp_path: Path) -> None:
    without = next(row for case in CASES for row in case.rows if row.name == "without isal")
    with pytest.raises(Failed, match="isal is hidden from this run"):
        measure.run([sys.executable, "-c", "import isal"], without.environment, tmp_path / "said.txt")


# the environment of the peers


def test_what_does_not_install_is_left_out_package_by_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def pip(packages: str) -> bool:
        asked.append(packages)
        return "bad" not in packages

    lock = tmp_path / "lock.txt"
    lock.write_text("bad==1 \\\n    --hash=sha256:00\ngood==2 ; python_version < '4' \\\n    --hash=sha256:11\n")
    monkeypatch.setattr(peers, "LOCK", lock)
    monkeypatch.setattr(peers, "PYTHON", tmp_path / "peers" / "bin" / "python")
    monkeypatch.setattr(peers, "_pip", pip)
    monkeypatch.setattr(peers, "_venv", lambda place: place.mkdir())
    peers.install()
    assert asked == [lock.read_text(), *(f"{one}" for one in peers.split(lock.read_text()))]
    assert [one.split("==")[0] for one in asked[1:]] == ["bad", "good"]
    peers.install()
    assert len(asked) == 3, "made once"


def test_peers_that_are_not_there_say_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peers, "PYTHON", Path(sys.executable))
    monkeypatch.setenv("PATH", str(tmp_path))
    there, missing = peers.present()
    assert there == {}
    assert missing["dicognito"] == "ModuleNotFoundError: No module named 'dicognito'"
    assert missing["gdcmanon"] == "not on PATH (Debian: libgdcm-tools)"


# the document


def test_measured_part_of_a_document_is_replaced(tmp_path: Path) -> None:
    document = tmp_path / "performance.md"
    document.write_text("# Kept\n<!-- measured: begin -->\nold\n<!-- measured: end -->\nkept\n")
    write(document, "| new |\n")
    assert document.read_text() == "# Kept\n<!-- measured: begin -->\n\n| new |\n\n<!-- measured: end -->\nkept\n"
    document.write_text("without marks\n")
    with pytest.raises(SystemExit, match="marks"):
        write(document, "new")
