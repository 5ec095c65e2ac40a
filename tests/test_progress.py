"""What is told while a run goes on, and what it ends with."""

from __future__ import annotations

import io
from collections.abc import Iterator

import pytest

from fw_gear_deid.model.outcome import kind_of
from fw_gear_deid.model.ports import Item
from fw_gear_deid.runner.progress import EVERY, Manner, Progress, counting
from fw_gear_deid.runner.told import code_of, last_lines
from tests.desk import MARKER, PROFILE, Desk, instance, packed

PDF = b"%PDF-1.7\n" + b"\xff" * 200


class Clock:
    """A clock that goes on when it is told to."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def items(number: int, size: int = 1000) -> list[Item]:
    return [Item(f"S/V/A/{n}", str(n), (), False, "1", size) for n in range(number)]


def told(clock: Clock, number: int = 40, *, dry_run: bool = False, quiet: bool = False) -> Iterator[Progress]:
    listed = items(number)
    manner = Manner(quiet=quiet, dry_run=dry_run, clock=clock)
    with Progress("de-identifying", listed, manner, {one.id: place for place, one in enumerate(listed)}) as progress:
        for one in listed:
            progress.step([one], "released", "somewhere")
            yield progress


# -- a log ---------------------------------------------------------------------------------------------


def test_log_has_a_line_every_few_seconds(capsys: pytest.CaptureFixture[str]) -> None:
    """With files, bytes and the time that is left; not one per file."""
    clock = Clock()
    for _ in told(clock):
        clock.now += 1
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "de-identifying: 0 of 40 files, 0.0 of 40.0 kB"
    assert lines[1] == "de-identifying: 6 of 40 files, 6.0 of 40.0 kB, 28 s left; 6 released"
    assert lines[-1] == "de-identifying: 40 of 40 files, 40.0 of 40.0 kB; 40 released"
    assert len(lines) == 2 + 39 // EVERY


def test_log_of_a_short_run_is_short(capsys: pytest.CaptureFixture[str]) -> None:
    for _ in told(Clock()):
        pass
    assert capsys.readouterr().err.splitlines() == ["de-identifying: 0 of 40 files, 0.0 of 40.0 kB"]


def test_a_long_file_is_no_silence(capsys: pytest.CaptureFixture[str]) -> None:
    clock = Clock()
    progress = next(told(clock))
    clock.now += EVERY
    progress.tick()
    progress.tick()
    assert len(capsys.readouterr().err.splitlines()) == 2


def test_time_left_follows_what_takes_longer(capsys: pytest.CaptureFixture[str]) -> None:
    """Small files first: bytes tell more than their number."""
    clock, listed = Clock(), [*items(10, size=1), *items(1, size=990)]
    with Progress("looking", listed, Manner(clock=clock), {}) as progress:
        clock.now += EVERY
        progress.step(listed[:10])
        assert capsys.readouterr().err.splitlines()[-1] == "looking: 10 of 11 files, 0.0 of 1.0 kB, 8 min left"


def test_dry_run_says_would(capsys: pytest.CaptureFixture[str]) -> None:
    clock = Clock()
    for _ in told(clock, dry_run=True):
        clock.now += EVERY
    assert "would release 40" in capsys.readouterr().err.splitlines()[-1]


def test_quiet_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    clock = Clock()
    for progress in told(clock, quiet=True):
        clock.now += EVERY
        progress.step(items(1), "refused", "why")
    assert capsys.readouterr() == ("", "")


def test_listing_that_takes_its_time_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    clock = Clock()

    def slow() -> Iterator[Item]:
        for one in items(250):
            clock.now += EVERY / 90
            yield one

    assert len(list(counting(slow(), Manner(clock=clock)))) == 250
    assert capsys.readouterr().err.splitlines() == [f"listing SOURCE: {n} files so far" for n in (100, 200)]


def test_who_listens_may_go_away(monkeypatch: pytest.MonkeyPatch) -> None:
    """Closed, or a terminal that hung up: the work goes on."""
    stream = io.StringIO()
    stream.close()
    monkeypatch.setattr("sys.stderr", stream)
    clock = Clock()
    for progress in told(clock):
        clock.now += EVERY
        progress.tick()


# -- who is told names ---------------------------------------------------------------------------------


def test_log_gives_rows_and_no_names(desk: Desk) -> None:
    """A refusal stays, and says where to read more; the header of the table is row 1."""
    files = {f"S/V/A/{n}": instance(number=n) for n in range(3)}
    desk.put(
        files
        | {"S/V/A/1-JANE.dcm": instance()[:-3], "b-DOE/1": instance("P", StudyID="x"), "b-DOE/2": instance("P")[:-3]}
    )
    done = desk.run()
    assert "JANE" not in done.err and "DOE" not in done.err and MARKER not in done.err
    lines = [line for line in done.err.splitlines() if line.startswith("refused: row ")]
    table = (desk.private / "files.csv").read_text(encoding="utf-8").splitlines()
    assert lines
    for line in lines:
        _, where, reason = line.split(": ", 2)
        row = table[int(where.split()[1]) - 1]
        assert ",refused," in row and reason in row
    assert "released" not in done.err.splitlines()[0]


class Screen(io.StringIO):
    """A terminal, as far as anybody asks."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("names", [True, False])
def test_terminal_gives_names_where_it_may(monkeypatch: pytest.MonkeyPatch, names: bool) -> None:
    screen = Screen()
    monkeypatch.setattr("sys.stderr", screen)
    listed = [*items(2), Item("S/\x1b[31mred", "red", (), False, "1", 5)]
    rows = {one.id: place for place, one in enumerate(listed)}
    with Progress("de-identifying", listed, Manner(names=names), rows) as progress:
        progress.step(listed[:2], "refused", "no\x9bname")
        progress.step(listed[2:], "failed", "the disk")
    shown = screen.getvalue()
    wanted = (
        ("S/V/A/0 and 1 more", r"S/\x1b[31mred") if names else ("row 2 of files.csv and 1 more", "row 4 of files.csv")
    )
    assert rf"refused: {wanted[0]}: no\x9bname" in shown
    assert f"failed: {wanted[1]}: the disk" in shown
    assert ("S/V/A" in shown) is names


@pytest.mark.parametrize(("other", "told"), [("S/V/A/1", ": see row 3"), ("JANE/1", "")])
def test_log_names_no_other_file(capsys: pytest.CaptureFixture[str], other: str, told: str) -> None:
    listed = items(2)
    with Progress("de-identifying", listed, Manner(), {one.id: place for place, one in enumerate(listed)}) as progress:
        progress.step(listed[:1], "refused", f"another birth date: see {other}")
    assert capsys.readouterr().err.splitlines()[-1] == f"refused: row 2 of files.csv: another birth date{told}"


# -- what it ends with ---------------------------------------------------------------------------------

XML = "name: xml\nxml:\n  fields: [{name: //a, remove: true}]\n"
TEXT = "name: text\nfilename:\n  file-filter: ['*.txt']\n  filenames:\n    - input-regex: ^(?P<n>.+)$\n      output: '{n}'\n"
UNTAKEN = PROFILE + "  filenames:\n    - input-regex: ^(?P<n>x.+)$\n      output: '{n}.dcm'\n"


@pytest.mark.parametrize(
    ("files", "profile", "options", "code", "line"),
    [
        ({}, PROFILE, [], 0, "Nothing was released: SOURCE has no files; "),
        ({"a.pdf": PDF, "S/V/A/b.pdf": PDF}, PROFILE, [], 0, "Nothing was released: 2 skipped (2 other file); "),
        ({"S/V/A/1": instance(), "a.pdf": PDF}, TEXT, [], 1, "Nothing was released: 2 skipped (2 other file); "),
        ({"S/V/A/1.zip": packed({"1": instance()})}, TEXT, [], 1, "Nothing was released: 1 skipped (1 other file); "),
        ({"S/V/A/1.zip": packed({"1": instance()})}, XML, [], 1, "Nothing was released: 1 skipped (1 other file); "),
        ({"S/V/A/1": instance()}, UNTAKEN, [], 0, "Nothing was released: 1 skipped (1 excluded); "),
        ({"S/V/A/1": instance()}, PROFILE, ["--exclude", "S"], 0, "Nothing was released: 1 skipped (1 excluded); "),
        ({"S/V/A/1": instance()}, PROFILE, ["--dry-run"], 0, "dry run: would release 1; "),
        ({"a.pdf": PDF}, PROFILE, ["--dry-run"], 0, "dry run: Nothing would be released: 1 skipped (1 other file); "),
        ({"S/V/A/1.dcm": instance()[:-3]}, PROFILE, [], 1, "Nothing was released: 1 refused; "),
        ({"S/V/A/1": instance(), "a.pdf": PDF}, PROFILE, [], 0, "1 released, 1 skipped (1 other file); "),
    ],
)  # fmt: skip
def test_exit_code_and_last_line(
    desk: Desk, files: dict[str, bytes], profile: str, options: list[str], code: int, line: str
) -> None:
    desk.rules(profile)
    desk.put(files)
    done = desk.run(*options)
    assert (done.code, done.err.splitlines()[-1].startswith(line)) == (code, True), done.err
    quiet = desk.run("--quiet", *options)
    assert (quiet.code, bool(quiet.err)) == (code, code != 0)


def test_rerun_that_finds_all_unchanged_is_well(desk: Desk) -> None:
    desk.put({"S/V/A/1": instance()})
    desk.run()
    done = desk.run()
    assert (done.code, done.err.splitlines()[-1].startswith("1 skipped (1 unchanged); ")) == (0, True)
    assert desk.summary()["skipped"] == {"unchanged": 1}


@pytest.mark.parametrize(
    ("states", "skipped", "dicom", "code"),
    [
        ({"released": 1, "skipped": 1}, {"stale": 1}, 0, 1),
        ({"skipped": 2}, {"other file": 1, "copy": 1}, 1, 0),
        ({"skipped": 1}, {"not taken": 1}, 0, 0),
        ({"skipped": 1}, {"other file": 1}, 1, 1),
        ({"orphan": 1}, {}, 0, 0),
        ({"released": 1, "failed": 1}, {}, 0, 1),
    ],
)
def test_exit_code(states: dict[str, int], skipped: dict[str, int], dicom: int, code: int) -> None:
    assert code_of({"states": states, "skipped": skipped, "dicom_left_out": dicom}) == code


def test_last_line_counts_every_state() -> None:
    summary = {"states": {"refused": 2, "released": 3, "orphan": 1}, "skipped": {}, "totals": {"changes": 27}}
    assert last_lines(1, summary, "R") == ["3 released, 2 refused, 1 orphan; 27 changes; reports in R"]


def test_every_kind_has_its_word(desk: Desk) -> None:
    assert kind_of("whatever") == ""
    desk.put(
        {"S/V/A/1": instance(), "S/V/A/.DS_Store": b"x", "DICOMDIR": b"x", "a.pdf": PDF, "b.docx": packed({"x": b"y"})}
    )
    desk.run("--exclude", "DICOMDIR")
    reasons = [row["reason"] for row in desk.rows() if row["state"] == "skipped"]
    assert len(reasons) == 4 and all(map(kind_of, reasons)), reasons
