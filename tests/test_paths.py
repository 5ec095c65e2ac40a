"""No path from data: what a header, a label or a tampered ledger says never leads out of DEST, or into SOURCE."""

from __future__ import annotations

import csv
import os
import sqlite3
import warnings
from pathlib import Path

import pytest

from fw_gear_deid.keys import Keyring
from fw_gear_deid.model.portable import sanitize
from fw_gear_deid.model.ports import Destination, Item, Upload
from fw_gear_deid.runner.people import container_person
from fw_gear_deid.runner.run import Job, run
from fw_gear_deid.runner.setup import PlannedProfile, book_for
from fw_gear_deid.stores.folder import FolderSource
from fw_gear_deid.stores.memory import MemorySink, MemorySource
from fw_gear_deid.system.root import Outside, Root, lies_in
from tests.desk import PROFILE, Desk, Ran, contents, forked, instance, packed, powerless

NASTY = [
    "../../../../elsewhere/x", "/etc/x", "a\0b", "a\nb", "\x1b[31mred", "..", ".hidden", "a\\..\\b", "con", "x" * 300,
    "a/b", "2.25.1.", "C:x", "", " ", "\u202edb", "\x9b2J",
]  # fmt: skip
KEPT = PROFILE.replace("    - name: SeriesInstanceUID\n      hashuid: true\n", "")


@pytest.mark.parametrize("text", NASTY, ids=ascii)
@pytest.mark.parametrize("exists", ["skip", "replace"])
def test_series_uid_makes_no_path(desk: Desk, text: str, exists: str) -> None:
    desk.rules(KEPT)
    good = instance("P2")
    placeholder = "9.9.9.8"
    raw = text.encode()
    old = placeholder.encode().ljust(len(raw), b"7")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pydicom's, of its length
        data = instance(SeriesInstanceUID=old.decode())
    if len(raw) < len(old):
        raw = raw.ljust(len(old), b"\0")
    assert data.count(old) == 1
    desk.put({"bad": data.replace(old, raw), "good": good})
    (desk.folder / "elsewhere").mkdir()
    before = contents(desk.source)
    done = desk.run("--exists", exists)
    assert "Traceback" not in done.err and "unexpected" not in str(desk.reasons())
    assert desk.states()["good"] == "released"
    assert desk.states()["bad"] == "released"
    assert contents(desk.source) == before
    assert {path.name for path in desk.folder.iterdir()} == {
        "in",
        "out",
        "out-report",
        "profile.yaml",
        "key",
        "elsewhere",
    }
    assert contents(desk.folder / "elsewhere") == {}
    for path in desk.there():
        parts = path.split("/")
        assert len(parts) == 4
        assert all(part.isprintable() and not part.startswith((".", " ")) and "\\" not in part for part in parts)


WORDS = ("PatientID", "StudyInstanceUID", "SeriesDescription", "ProtocolName", "SOPInstanceUID", "Modality")


@pytest.mark.parametrize("labels", ["rules", "keep"])
@pytest.mark.parametrize("tree", [False, True])
def test_no_text_of_a_header_makes_a_path(desk: Desk, labels: str, tree: bool) -> None:
    """Whatever stands in the elements that label and name: names of one part each, at their depth."""
    desk.rules("name: keeps\ndicom:\n  fields:\n    - name: PatientName\n      remove: true\n")
    number = 0
    for word in WORDS:
        for text in NASTY:
            raw = text.encode()[:60]
            old = b"9.9.9.8".ljust(len(raw), b"7")
            number += 1
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # pydicom's, of its length
                data = instance(**{"patient": f"P{number}", "number": number} | {word: old.decode()})
            new = raw.ljust(len(old), b"\0" if word.endswith("UID") else b" ")
            desk.put({f"S{number}/V/A/1" if tree else f"d/{number}": data.replace(old, new)})
    desk.run("--labels", labels)
    assert "unexpected" not in str(desk.reasons())
    assert {path.name for path in desk.folder.iterdir()} == {"in", "out", "out-report", "profile.yaml", "key"}
    paths = list(desk.there())
    assert len(paths) > number // 2
    for path in paths:
        assert path.count("/") == 3
        assert all(part == sanitize(part) for part in path.split("/"))


@pytest.mark.parametrize("error", [ValueError("embedded null byte"), UnicodeEncodeError("ascii", "x", 0, 1, "no")])
def test_name_that_a_destination_cannot_write_is_that_files_failure(tmp_path: Path, error: ValueError) -> None:
    class Narrow(MemorySink):
        def put(self, result: Path, destination: Destination, upload: Upload, *, replace: bool) -> None:
            if destination.containers[0].label == keyring.subject(container_person("S").text):
                raise error
            super().put(result, destination, upload, replace=replace)

    source, sink, keyring = (
        MemorySource({"S/V/A/1": instance(), "T/V/A/2": instance("P2")}),
        Narrow(),
        Keyring(b"k" * 32),
    )
    items, reports = list(source.items()), tmp_path / "r"
    branches = source.containers(items)
    book = book_for(PlannedProfile.read(PROFILE, "p.yaml", "input"), None, branches, by_session=False)
    assert run(Job(source, sink, items, branches, book, keyring, reports, reports, reports, quiet=True))[0] == 1
    assert len(sink.files) == 1
    with (tmp_path / "r/files.csv").open(encoding="utf-8") as stream:
        rows = {row["source"]: (row["state"], row["reason"]) for row in csv.DictReader(stream)}
    assert rows["S/V/A/1"] == ("failed", "a name that cannot be written there (while writing to the destination)")
    assert rows["T/V/A/2"][0] == "released"


@pytest.mark.parametrize(
    "path", ["../victim", "S/../../victim", "/etc/passwd", "S/V/A/../../../../victim", "", ".", "a//b"]
)
def test_root_refuses_what_leads_out_of_it(tmp_path: Path, path: str) -> None:
    (tmp_path / "victim").write_text("mine")
    (tmp_path / "result").write_text("new")
    root = Root(tmp_path / "out")
    parts = path.split("/")
    for replace in (False, True):
        with pytest.raises(Outside) as raised:
            root.place(tmp_path / "result", parts, replace=replace)
        assert "victim" not in str(raised.value)
    for work in (root.remove, root.exists):
        with pytest.raises(Outside):
            work(parts)
    assert contents(tmp_path) == {"victim": b"mine", "result": b"new"}


@pytest.mark.parametrize("name", ["a\0b", "a/b", "\ud800"])
def test_name_that_is_none_is_an_error_of_its_file(tmp_path: Path, name: str) -> None:
    (tmp_path / "result").write_text("new")
    with pytest.raises(Outside):
        Root(tmp_path / "out").place(tmp_path / "result", ["S", name], replace=True)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("depth", [0, 1, 2])
def test_link_in_the_place_of_a_folder_is_not_followed(desk: Desk, depth: int) -> None:
    desk.put({"S/V/A/1": instance(), "T/V/A/2": instance("P2")})
    desk.run()
    path = next(row["destination"] for row in desk.rows() if row["source"] == "S/V/A/1")
    there = desk.there()
    elsewhere = desk.folder / "elsewhere"
    folder = desk.dest.joinpath(*path.split("/")[: depth + 1])
    folder.rename(elsewhere)
    folder.symlink_to(elsewhere)
    before = contents(elsewhere)
    assert desk.run("--exists", "replace").code == 1
    assert desk.states() == {"S/V/A/1": "failed", "T/V/A/2": "skipped"}
    assert contents(elsewhere) == before
    assert {name: data for name, data in desk.there().items() if name != path} == {
        name: data for name, data in there.items() if name != path
    }


@pytest.mark.parametrize("row", ["../victim", "S/../../victim", "../victim/V/A/x.dcm", "sub/ses/acq/\0"])
def test_tampered_ledger_removes_nothing_outside(desk: Desk, row: str) -> None:
    desk.put({"S/V/A/1": instance(), "T/V/A/2": instance("P2")})
    desk.run()
    (desk.folder / "victim/V/A").mkdir(parents=True)
    (desk.folder / "victim/V/A/x.dcm").write_text("mine")
    (ledger,) = desk.reports.rglob("state.sqlite")
    with sqlite3.connect(ledger) as db:
        places = "SELECT name FROM parts WHERE place LIKE '%S/V/A/1'"
        assert db.execute(f"UPDATE made SET path = ? WHERE name IN ({places})", (row,)).rowcount == 1
    db.close()
    before = contents(desk.folder / "victim")
    desk.rules(PROFILE.replace("name: test", "name: other") + "    - name: PatientSex\n      remove: true\n")
    for options in (["--exists", "replace"], ["--exists", "replace", "--only", "T", "--prune"], ["--prune"]):
        done = desk.run(*options)
        assert "Traceback" not in done.err
        assert contents(desk.folder / "victim") == before
        assert desk.states()["T/V/A/2"] in ("released", "skipped")
        assert done.code in (0, 1)


@pytest.mark.parametrize(("one", "other"), [("straße", "STRASSE"), ("M\u00fc", "mU\u0308"), ("ﬁx", "FIX")])
@pytest.mark.parametrize("apart", [False, True])
def test_files_whose_names_fall_together_somewhere_are_refused(desk: Desk, one: str, other: str, apart: bool) -> None:
    """In one run and in two."""
    desk.put({f"S/V/A/{one}.zip": packed({"IM": instance()})})
    if apart:
        assert desk.run().code == 0
    desk.put({f"S/V/A/{other}.zip": packed({"IM": instance(number=2)})})
    assert desk.run().code == 1
    assert set(desk.states().values()) == {"refused"}
    assert desk.there() == {}


@pytest.mark.parametrize(
    ("one", "other"), [("straße", "STRASSE"), ("M\u00fc", "mU\u0308"), ("S 1 ", "S 1"), ("a?", "a_")]
)
def test_labels_that_fall_together_somewhere_are_refused(desk: Desk, one: str, other: str) -> None:
    desk.put({f"{one}/V/A/1": instance(), f"{other}/V/A/1": instance("P2"), "third/V/A/1": instance("P3")})
    assert desk.run("--labels", "keep").code == 1
    assert desk.states() == {f"{one}/V/A/1": "refused", f"{other}/V/A/1": "refused", "third/V/A/1": "released"}


def test_labels_that_only_look_so_are_told_apart(desk: Desk) -> None:
    labels = ("Muster, A.", "Muster, A", "aux", "NUL.x", ".S", "Muster, A..b")
    desk.put({f"{label}/V/A/1": instance(f"P{n}") for n, label in enumerate(labels)})
    assert desk.run("--labels", "keep").code == 0
    made = {path.split("/")[0] for path in desk.there()}
    assert made == {"Muster, A_", "Muster, A", "_aux", "_NUL.x", "_S", "Muster, A..b"}


def test_members_whose_names_fall_together_somewhere_refuse_the_archive(desk: Desk) -> None:
    desk.rules(PROFILE.replace("  fields:", "  filenames: [{input-regex: '^(?P<n>.+)$', output: '{n}'}]\n  fields:"))
    members = {"straße": instance(), "STRASSE": instance(number=2)}
    desk.put({"S/V/A/x.zip": packed(members)})
    assert desk.run().code == 1
    assert desk.states() == {"S/V/A/x.zip": "refused"}
    assert "that of another member" in desk.reasons()["S/V/A/x.zip"]


def test_what_is_no_file_is_not_taken_back(tmp_path: Path) -> None:
    (tmp_path / "victim").write_text("mine")
    (tmp_path / "out/S").mkdir(parents=True)
    (tmp_path / "out/S/x").symlink_to(tmp_path / "victim")
    with pytest.raises(Outside):
        Root(tmp_path / "out").remove(["S", "x"])
    assert (tmp_path / "out/S/x").is_symlink()


def test_partial_file_of_a_killed_run_is_replaced_and_a_link_in_its_place_not_followed(tmp_path: Path) -> None:
    import errno

    (tmp_path / "victim").write_text("mine")
    out = tmp_path / "out/S"
    out.mkdir(parents=True)
    (out / ".one.partial").write_text("half")
    (out / ".two.partial").symlink_to(tmp_path / "victim")

    def elsewhere(event: str, path: str) -> None:
        if event in ("os.link", "os.rename") and ".partial" not in path:
            raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))

    def work() -> Ran:
        for name in ("one", "two"):
            (tmp_path / name).write_text(name)
            Root(tmp_path / "out").place(tmp_path / name, ["S", name], replace=False)
        return Ran(0, "", "")

    done = forked(work, elsewhere)
    assert done.code == 0, done.err
    assert contents(tmp_path / "out") == {"S/one": b"one", "S/two": b"two"}
    assert (tmp_path / "victim").read_text() == "mine"


def test_folders_lie_in_one_another_however_they_are_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "Data/in").mkdir(parents=True)
    (tmp_path / "link").symlink_to("Data")
    here = tmp_path / "Data"
    for inner in (
        here,
        here / "in",
        here / "new/deep",
        tmp_path / "link",
        tmp_path / "link/in/new",
        here / "../Data/in",
    ):
        assert lies_in(inner, here)
    for inner in (tmp_path, tmp_path / "Data2", here / "..", tmp_path / "data/in"):
        assert not lies_in(inner, here)
    monkeypatch.setattr(Path, "exists", lambda path: Path(str(path).replace("/data", "/Data")).is_dir())
    monkeypatch.setattr(Path, "samefile", lambda one, other: str(one).casefold() == str(other).casefold())
    assert lies_in(tmp_path / "data/in", here)  # macOS, Windows


@pytest.mark.parametrize("end", ["source", "dest", "reports"])
def test_place_below_a_folder_that_may_not_be_entered_is_told(desk: Desk, end: str) -> None:
    desk.put({"S/V/A/1": instance()})
    shut = desk.folder / "shut"
    (shut / "in").mkdir(parents=True)
    shut.chmod(0)
    places = {"source": {"source": shut / "in"}, "dest": {"dest": shut / "out"}, "reports": {}}[end]
    options = ["--reports", str(shut / "r")] if end == "reports" else []
    try:
        done = forked(lambda: powerless(lambda: desk.run(*options, **places)))
    finally:
        shut.chmod(0o700)
    assert (done.code, "cannot be looked up (Permission denied)" in done.err) == (2, True), done.err


def test_source_that_is_neither_folder_nor_file(desk: Desk) -> None:
    os.mkfifo(desk.folder / "fifo")
    done = desk.run(source=desk.folder / "fifo")
    assert (done.code, "must be a folder or a file" in done.err) == (2, True)


def test_places_that_are_not_there_yet_are_made(desk: Desk) -> None:
    desk.put({"S/V/A/1": instance()})
    far = desk.folder / "not/there/yet"
    assert desk.run("--reports", str(far / "r"), "--ledger", str(far / "l"), dest=far / "out").code == 0
    assert len(contents(far / "out")) == 1
    assert {"state.sqlite", ".lock"} <= contents(far / "l").keys()


# -- what SOURCE becomes after it was listed -----------------------------------------------------------


def listed(root: Path) -> dict[str, Item]:
    return {item.id: item for item in FolderSource(root).items()}


def test_file_that_becomes_a_link_out_of_the_source_is_not_followed(desk: Desk) -> None:
    """Also where what it leads to has the same size and time, and where a folder above becomes the link."""
    desk.put({"S/V/A/1": instance(), "S/V/B/2": instance(number=2), "S/V/C/3": instance(number=3)})
    outside = desk.folder / "outside"
    outside.mkdir()

    def hook(event: str, path: str) -> None:
        if (event == "read" and path.endswith("S/V/C/3")) or list(outside.iterdir()):
            return
        if event == "read" and path.endswith("S/V/A/1"):
            (desk.source / "S/V/B/2").rename(outside / "2")
            (desk.source / "S/V/B/2").symlink_to(outside / "2")
            (desk.source / "S/V/C").rename(outside / "C")
            (desk.source / "S/V/C").symlink_to(outside / "C")

    assert forked(desk.run, hook).code == 1
    assert desk.states() == {"S/V/A/1": "released", "S/V/B/2": "failed", "S/V/C/3": "failed"}
    assert all("leaves the source" in desk.reasons()[name] for name in ("S/V/B/2", "S/V/C/3"))


@pytest.mark.parametrize("change", ["longer", "touched", "fifo"])
def test_file_that_changes_after_it_was_listed_fails(desk: Desk, change: str) -> None:
    desk.put({"S/V/A/1": instance()})
    source, path = FolderSource(desk.source), desk.source / "S/V/A/1"
    item = listed(desk.source)["S/V/A/1"]
    assert source.fetch(item, desk.folder) == path
    if change == "longer":
        path.write_bytes(path.read_bytes() + b"x")
    elif change == "touched":
        os.utime(path, ns=(1, 1))
    else:
        path.unlink()
        os.mkfifo(path)
    with pytest.raises(OSError, match="it changed while the run was at it"):
        source.fetch(item, desk.folder)


@pytest.mark.parametrize("bad", [False, True])
@pytest.mark.parametrize("change", ["grows", "becomes a link"])
def test_file_that_changes_while_it_is_read_fails(desk: Desk, change: str, bad: bool) -> None:
    """Also where what was read of it cannot be de-identified: it may be whole the next time."""
    desk.put({"S/V/A/1": instance()[:-3] if bad else instance(), "S/V/A/2": instance(number=2)})
    path = desk.source / "S/V/A/1"
    (desk.folder / "kept").write_bytes(path.read_bytes())
    reads = 0

    def hook(event: str, touched: str) -> None:
        nonlocal reads
        reads += event == "read" and touched == str(path)
        if reads == 4:  # twice for the first look; once for its head, once for all of it
            reads += 1
            if change == "grows":
                path.write_bytes(path.read_bytes() + b"more")
            else:
                path.unlink()
                path.symlink_to(desk.folder / "kept")

    done = forked(desk.run, hook)
    assert done.code == 1, done.err
    assert desk.states() == {"S/V/A/1": "failed", "S/V/A/2": "released"}
    reason = desk.reasons()["S/V/A/1"]
    assert reason.startswith("it changed while") or "it was a file when it was listed" in reason


def test_links_inside_the_source_are_files(desk: Desk) -> None:
    """DataLad keeps contents below .git and links to them."""
    desk.put({".git/annex/objects/x": instance()})
    (desk.source / "S/V/A").mkdir(parents=True)
    (desk.source / "S/V/A/1.dcm").symlink_to("../../../.git/annex/objects/x")
    items = listed(desk.source)
    assert items.keys() == {".git/annex/objects/x", "S/V/A/1.dcm"}
    assert FolderSource(desk.source).fetch(items["S/V/A/1.dcm"], desk.folder).read_bytes() == instance()


def test_source_that_is_a_link_is_listed(desk: Desk) -> None:
    desk.put({"S/V/A/1": instance()})
    (desk.folder / "link").symlink_to("in")
    items = listed(desk.folder / "link")
    assert [item.problem for item in items.values()] == [""]
    assert FolderSource(desk.folder / "link").fetch(items["S/V/A/1"], desk.folder).exists()


def test_patterns_match_names_in_any_form(desk: Desk) -> None:
    """A Mac's disk has another form of the letters than its keyboard."""
    desk.put({"Mu\u0308ller/V/A/1": instance(), "S/V/A/1": instance("P2")})
    assert desk.run("--exclude", "M\u00dcLLER").code == 0
    assert desk.states() == {"Mu\u0308ller/V/A/1": "skipped", "S/V/A/1": "released"}
