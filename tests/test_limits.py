"""What one file may take: the table, bombs that are refused before they take much, files that kill who works on them."""

from __future__ import annotations

import gzip
import os
import re
import signal
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

import fw_gear_deid
from fw_gear_deid import fanout, main
from fw_gear_deid.deid import Result, dataset
from fw_gear_deid.formats.dicom import deflated
from fw_gear_deid.formats.json_text import Document
from fw_gear_deid.model import limits
from fw_gear_deid.model.errors import Beyond, Malformed, Unfit, UsageError
from fw_gear_deid.model.limits import LIMITS, within
from fw_gear_deid.parser import GearConfig
from fw_gear_deid.plan import places
from fw_gear_deid.profile.values.table import read_mapping
from fw_gear_deid.runner import marks
from fw_gear_deid.verify import shapes
from tests.desk import MORE, PROFILE, ROOT, Bench, Desk, instance, packed
from tests.dicom_files import CT, SYNTAXES, UNDEFINED, Item, Seq, encode, file_meta, header, meta_of, text
from tests.dicom_files import part10 as made

PAGE = (ROOT / "docs" / "limits.md").read_text(encoding="utf-8")
EXPLICIT, DEFLATED = SYNTAXES["explicit"], SYNTAXES["deflated"]
ITEM = b"\xfe\xff\x00\xe0"
END, SEQUENCE_END = b"\xfe\xff\x0d\xe0\0\0\0\0", b"\xfe\xff\xdd\xe0\0\0\0\0"
SEQUENCE = 0x00400275
HEAD = (
    text(0x00080016, "UI", CT), text(0x00080018, "UI", "1.2.3"), text(0x00080060, "CS", "CT"),
    text(0x00100010, "PN", "Doe^Jane"), text(0x00100020, "LO", "P1"),
)  # fmt: skip
SPARE = 96 << 20


# -- the table -------------------------------------------------------------------------------------------


def test_page_and_table_say_the_same() -> None:
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in PAGE.splitlines() if line.startswith("| `")]
    assert [row[0].strip("`") for row in rows] == list(LIMITS)
    for name, (_, default, each, what) in zip(LIMITS, rows, strict=True):
        limit = LIMITS[name]
        assert limits.read(f"{name}={default.replace(',', '')}") == (name, limit.default), name
        assert (limits.read(f"inside={each}")[1] if each else 0) == limit.each, name
        assert what == limit.what, name


@pytest.mark.parametrize(
    ("written", "name", "value"),
    [
        ("elements=1", "elements", 1), ("inflated=64MB", "inflated", 64 << 20), ("inside = 2 gb", "inside", 2 << 30),
        ("whole=3kB", "whole", 3072), ("ratio=0", "ratio", 0),
    ],
)  # fmt: skip
def test_limits_are_written(written: str, name: str, value: int) -> None:
    assert limits.read(written) == (name, value)


@pytest.mark.parametrize(
    "written", ["", "elements", "elements=", "elements=-1", "elements=1MB", "seconds=1.5", "nothing=1", "inside=1TB"]
)
def test_what_is_no_limit_is_said_before_anything_is_written(desk: Desk, written: str) -> None:
    name = written.partition("=")[0]
    with pytest.raises(ValueError, match="whole number" if name in LIMITS else "the names are elements, "):
        limits.read(written)
    done = desk.run("--limit", written)
    assert (done.code, "--limit" in done.err, desk.reports.exists()) == (2, True, False)


def test_python_callers_write_limits_as_they_like(desk: Desk) -> None:
    desk.put({"S/V/A/1.zip": packed({f"{n}": instance(number=n) for n in range(1, 4)})})
    for given in ({"members": 2}, "members=2", ["members=2"]):
        done = fw_gear_deid.deidentify(desk.source, desk.dest, profile=desk.profile, workers=1, limit=given)
        assert done.states["refused"] == 1
        assert done.summary["options"]["limits"] == {"members": 2}  # type: ignore[index]
    with pytest.raises(ValueError, match="limit: write NAME=VALUE"):
        fw_gear_deid.deidentify(desk.source, desk.dest, profile=desk.profile, limit={"member": "2", "x": 1})


def test_a_limit_is_named_raised_and_makes_nothing_stale(desk: Desk) -> None:
    desk.put({"S/V/A/1.zip": packed({f"{n}": instance(number=n) for n in range(1, 4)}), "T/V/A/2": instance("P2")})
    assert desk.run("--limit", "members=2").code == 1
    assert desk.states() == {"S/V/A/1.zip": "refused", "T/V/A/2": "released"}
    assert desk.reasons()["S/V/A/1.zip"].startswith("beyond the limit 'members', 2 here (")
    assert desk.reasons()["S/V/A/1.zip"].endswith("--limit members=N allows more")
    assert desk.run("--limit", "members=3", "--limit", "ratio=100").code == 0
    assert desk.states() == {"S/V/A/1.zip": "released", "T/V/A/2": "skipped"}
    assert desk.reasons()["T/V/A/2"].startswith("unchanged")


def test_gear_has_them_in_one_text() -> None:
    def config(text: object) -> GearConfig:
        return cast(GearConfig, SimpleNamespace(options={"limits": text}))

    assert main._limits(config("elements=10, inside=1GB members=3")) == {
        "elements": 10,
        "inside": 1 << 30,
        "members": 3,
    }
    assert main._limits(config(None)) == main._limits(config("")) == {}
    with pytest.raises(UsageError, match="config limits: elements: write a whole number"):
        main._limits(config("elements=many"))
    assert "limits" in fanout._NO_MATTER  # no job is done again for them


def test_size_of_the_outermost_file_allows_more() -> None:
    with within({"elements": 10}, 6400) as budget:
        assert budget.most("elements") == 110
        assert budget.room(50) == (64 << 20) + 200 * 50
        assert budget.room(1 << 40) == (64 << 20) + 200 * 6400  # unpacked before, it was no larger
        assert limits.now() is budget
    assert limits.now() is not budget


def test_time_is_a_limit(bench: Bench) -> None:
    with within({"seconds": 0}, 0), pytest.raises(Beyond, match="'seconds', 0 seconds here"):
        bench.deid(packed({"1": instance()}))


@pytest.mark.parametrize("name", ["map.csv", "cr.csv", "wide.csv"])
def test_rows_of_a_mapping_are_a_limit(tmp_path: Path, name: str) -> None:
    line = {"map.csv": "S{},x\n", "cr.csv": "S{},x\r", "wide.csv": "S{}," + "x" * 4000 + "\n"}[name]
    path = tmp_path / name
    path.write_text("subject.label,new" + line[-1] + "".join(line.format(n) for n in range(9)), newline="")
    with within({"rows": 40}, 0):
        assert len(read_mapping(path).rows) == 9
    with within({"rows": 8}, 0), pytest.raises(UsageError, match="'rows', 8 here"):
        read_mapping(path)


# -- elements and items ----------------------------------------------------------------------------------


EMPTY = Item()
FULL = Item((text(0x00080022, "DA", "20200101"),))
SHAPES: dict[str, tuple[Any, ...]] = {
    "items": (Seq(SEQUENCE, (EMPTY,) * 50),),
    "undefined": (Seq(SEQUENCE, (Item(undefined=True),) * 50, undefined=True),),
    "not wanted": (Seq(0x00400270, (FULL,) * 25),),
    "nested": (Seq(SEQUENCE, tuple(Item((Seq(SEQUENCE, (EMPTY,) * (7 + n)),)) for n in range(5))),),
    "unknown": (Seq(SEQUENCE, (EMPTY,) * 50, vr="UN"),),
    "private": (text(0x00410010, "LO", "X"), Seq(0x00411001, (EMPTY,) * 50, vr="UN")),
    "flat": tuple(text(0x00410010 + n, "LO", "X") for n in range(45)),
    "out of order": (*(text(0x00410010 + n, "LO", "X") for n in range(45)), text(0x00200010, "SH", "1")),
    "empty sequences": (text(0x00410010, "LO", "X"), *(Seq(0x00411001 + n) for n in range(45))),
}


@pytest.mark.parametrize("syntax", ["explicit", "implicit", "big", "deflated"])
@pytest.mark.parametrize("shape", SHAPES)
def test_elements_and_items_are_a_limit(bench: Bench, shape: str, syntax: str) -> None:
    """In every encoding, whatever the rules ask for; a limit that fits lets them pass."""
    nodes = tuple(sorted((*HEAD, *SHAPES[shape]), key=lambda node: node.tag)) if shape != "out of order" else (
        *HEAD, *SHAPES[shape]
    )  # fmt: skip
    body = encode(nodes, SYNTAXES[syntax])
    wire = deflate(body) if syntax == "deflated" else body
    data = made((), EXPLICIT, meta=file_meta(meta_of(SYNTAXES[syntax])), after=wire)
    profile = MORE.replace("dicom:\n", "dicom:\n  remove-private-tags: true\n  recurse-sequence: true\n")
    wanted = profile.replace("  fields:\n", "  fields:\n    - name: RequestAttributesSequence\n      remove: true\n")
    dataset._PLANS.clear()  # short sequences that held nothing are passed over when they come again
    for rules in (profile, wanted):
        with within({"elements": 20}, 0), pytest.raises(Beyond, match="'elements', 20 here"):
            bench.deid(data, rules, name="1.dcm")
        with within({"elements": 200}, 0):
            assert isinstance(bench.deid(data, rules, name="1.dcm"), Result)


def test_real_files_with_many_items_pass_and_lose_nothing(bench: Bench) -> None:
    """Above what is remembered before all are counted."""
    many = Seq(SEQUENCE, (FULL, EMPTY) * 15_000)
    data = made((*HEAD, many), EXPLICIT)
    done = bench.deid(data, MORE, name="1.dcm")
    assert isinstance(done, Result)
    assert encode((many,), EXPLICIT) in (bench.folder / "result").read_bytes()


def test_places_of_paths_are_not_remembered_for_ever(bench: Bench) -> None:
    data = made((*HEAD, Seq(SEQUENCE, (FULL,) * (places._PLACES_MAX + 10))), EXPLICIT)
    rules = PROFILE + "    - regex: .*InstanceCreationDate\n      remove: true\n"
    assert isinstance(bench.deid(data, rules, name="1.dcm"), Result)
    plans = [plan for plan in dataset._PLANS.values() if plan.places.by_path]
    held = [sum(len(top._below) for top in plan.places._top.values()) for plan in plans]
    assert held and max(held) < places._PLACES_MAX
    assert all(len(top.below) < places._PLACES_MAX for plan in plans for top in plan.checker._top.values())


# -- deflated data sets ----------------------------------------------------------------------------------


def deflate(data: bytes) -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    out = packer.compress(data) + packer.flush()
    return out + b"\0" * (len(out) % 2)


@pytest.mark.parametrize("size", [0, 1, (1 << 18) - 1, 1 << 18, (1 << 18) + 1, 9 << 20])
@pytest.mark.parametrize("tail", [b"", b"\0", b"tail"])
def test_data_sets_inflate_in_steps_to_what_they_were(size: int, tail: bytes) -> None:
    body = (bytes(range(251)) * (size // 251 + 1))[:size]
    packer = zlib.compressobj(6, zlib.DEFLATED, -15)
    wire = packer.compress(body) + packer.flush()
    assert deflated.inflate(b"head" + wire + tail, 4) == (body, tail if tail.strip(b"\0") else b"")
    again = b"".join(deflated.deflate([body]))
    assert again[: len(wire)] == wire and len(again) - len(wire) == len(wire) % 2
    assert shapes.inflate(b"head" + again, 4, size) == body
    for cut in {0, 1, len(wire) // 2, len(wire) - 1} - {len(wire)}:
        with pytest.raises(Malformed, match="cut off"):
            deflated.inflate(wire[:cut], 0)


def test_a_result_that_inflates_to_more_is_not_held() -> None:
    with pytest.raises(Unfit, match="are missing"):
        shapes.inflate(deflate(bytes(30 << 20)), 0, 1000)


@pytest.mark.parametrize(("room", "passes"), [(1000, True), (999, False)])
def test_inflated_bytes_are_a_limit_to_the_byte(room: int, passes: bool) -> None:
    wire = deflate(bytes(1000))
    with within({"inflated": room, "ratio": 0}, 0):
        if passes:
            assert deflated.inflate(wire, 0)[0] == bytes(1000)
        else:
            with pytest.raises(Beyond, match="'inflated', 999 bytes"):
                deflated.inflate(wire, 0)


# -- whole runs on bombs ---------------------------------------------------------------------------------


def empty(count: int) -> bytes:
    return (ITEM + bytes(4)) * count


def sequence(items: bytes) -> bytes:
    return header(SEQUENCE, "SQ", len(items), EXPLICIT) + items


def with_head(more: bytes) -> bytes:
    return made(HEAD, EXPLICIT) + more


def squeezed(body: bytes) -> bytes:
    return made((), EXPLICIT, meta=file_meta(meta_of(DEFLATED)), after=deflate(encode(HEAD, EXPLICIT) + body))


def twice_deflated() -> bytes:
    return packed({"1": squeezed(header(0x7FE00010, "OW", 400 << 20, EXPLICIT) + bytes(400 << 20))})


def many_members() -> bytes:
    """A directory of a million members, by itself: nothing has to be unpacked to see it."""
    entry = (
        struct.Struct("<4s4B4H3L5H2L").pack(b"PK\1\2", 20, 3, 20, 0, 0, 0, 0, 33, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0) + b"x"
    )
    listed = entry * 1_000_000
    end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 0xFFFF, 0xFFFF, len(listed), 0, 0)
    return listed + end


def private_flat() -> bytes:
    return b"".join(
        header(group << 16 | 0x10, "LO", 2, EXPLICIT) + b"X "
        + b"".join(header(group << 16 | 0x1000 + n, "LO", 0, EXPLICIT) for n in range(256))
        for group in range(0x0041, 0x27FF, 2)
    )  # fmt: skip


FULL_ITEM = ITEM + struct.pack("<L", 16) + encode((text(0x00080022, "DA", "20200101"),), EXPLICIT)
BOMBS: dict[str, tuple[str, Callable[[], bytes], str]] = {
    "empty items, deflated": ("b.dcm", lambda: squeezed(sequence(empty(2_000_000))), "elements"),
    "empty items in a zip": ("b.zip", lambda: packed({"1": with_head(sequence(empty(2_000_000)))}), "elements"),
    "empty items, gzipped": ("b.dcm.gz", lambda: gzip.compress(with_head(sequence(empty(2_000_000)))), "elements"),
    "empty items, plain": ("b.dcm", lambda: with_head(sequence(empty(2_000_000))), "elements"),
    "items without lengths": ("b.zip", lambda: packed({"1": with_head(
        header(SEQUENCE, "SQ", UNDEFINED, EXPLICIT) + (ITEM + b"\xff\xff\xff\xff" + END) * 800_000 + SEQUENCE_END
    )}), "elements"),
    "items with dates": ("b.zip", lambda: packed({"1": with_head(sequence(FULL_ITEM * 600_000))}), "elements"),
    "private elements": ("b.zip", lambda: packed({"1": with_head(private_flat())}), "elements"),
    "hidden in unknown": ("b.zip", lambda: packed({"1": with_head(
        header(0x00410010, "LO", 2, EXPLICIT) + b"X " + header(0x00411000, "UN", 16_000_000, EXPLICIT)
        + empty(2_000_000))}), "elements"),
    "odd, and full of items": ("b.dcm", lambda: with_head(
        sequence(empty(1_000_000)) + header(0x00400280, "ST", 4, EXPLICIT)[:4] + b"??\4\0abcd"), "elements"),
    "deflated twice": ("b.zip", twice_deflated, "inflated"),
    "a million members": ("b.zip", many_members, "members"),
}  # fmt: skip


@pytest.mark.parametrize("name", BOMBS)
def test_bombs_are_refused_before_they_take_much(tmp_path: Path, name: str) -> None:
    """Measured in a process of its own: what all of it took, the program included."""
    file, make, limit = BOMBS[name]
    source = tmp_path / "in" / file
    source.parent.mkdir()
    source.write_bytes(make())
    (tmp_path / "p.yaml").write_text(MORE.replace("dicom:\n", "dicom:\n  remove-private-tags: true\n"))
    code = (
        "import sys\nfrom fw_gear_deid.cli import main\ncode = main(sys.argv[1:])\n"
        "status = open('/proc/self/status').read()\n"
        "print('PEAK', code, int(status.split('VmHWM:')[1].split()[0]) << 10)"
    )
    options = ["--profile", str(tmp_path / "p.yaml"), "--workers", "1", "--quiet"]
    done = subprocess.run(
        [sys.executable, "-c", code, "run", str(source.parent), str(tmp_path / "out"), *options],
        capture_output=True, text=True, cwd=ROOT, check=True, timeout=120,
    )  # fmt: skip
    found = re.search(r"PEAK (\d) (\d+)", done.stdout)
    assert found is not None and found[1] == "1", done.stderr
    rows = (tmp_path / "out-report" / "private" / "files.csv").read_text()
    assert f"beyond the limit '{limit}'" in rows and f"--limit {limit}=N" in rows, rows
    assert int(found[2]) < source.stat().st_size + SPARE


def test_hole_of_a_file_is_refused_in_bounded_memory(desk: Desk) -> None:
    desk.put({"S/V/A/1.dcm": with_head(b""), "S/V/A/2.dcm": instance()})
    with (desk.source / "S/V/A/1.dcm").open("r+b") as stream:
        stream.truncate(6 << 30)
    assert desk.run().code == 1
    assert desk.states() == {"S/V/A/1.dcm": "refused", "S/V/A/2.dcm": "released"}


# -- growth ----------------------------------------------------------------------------------------------


def calls(work: Callable[[], object]) -> int:
    """Count the calls of functions, ours and Python's, that some work makes."""
    count = 0

    def see(frame: object, event: str, argument: object) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    sys.setprofile(see)
    try:
        work()
    finally:
        sys.setprofile(None)
    return count


GROWS: dict[str, Callable[[int], bytes]] = {
    "members in folders": lambda count: packed({f"s{n % 9}/d{n}/IM{n}": instance(number=n) for n in range(1, count)}),
    "items with UIDs": lambda count: packed({"1": made((*HEAD, Seq(0x00081140, tuple(
        Item((text(0x00081155, "UI", f"1.2.{n}"),)) for n in range(count)))), EXPLICIT)}),
}  # fmt: skip


@pytest.mark.parametrize("name", GROWS)
def test_work_grows_with_the_file_and_no_faster(bench: Bench, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.desk.are_read_alike", lambda paths: None)  # our own work is counted
    rules = PROFILE + "    - name: ReferencedSOPInstanceUID\n      hashuid: true\n"
    rules = rules.replace("dicom:\n", "dicom:\n  recurse-sequence: true\n")
    small, large = (GROWS[name](count) for count in (100, 400))
    bench.deid(small, rules)  # what is read and remembered once
    first, second = (calls(lambda data=data: bench.deid(data, rules)) for data in (small, large))
    assert second < 4.4 * first


# -- files that kill who works on them -------------------------------------------------------------------


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A module that every process of this Python loads: a file with a certain name kills who works on it."""
    folder = tmp_path / "site"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(
        "import os, sys, time\n"
        "class Hook:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name == 'fw_gear_deid.runner.pool':\n"
        "            sys.meta_path.remove(self)\n"
        "            from fw_gear_deid.runner import workers\n"
        "            real = workers._process\n"
        "            def process(settings, task, *more):\n"
        "                with open(os.environ['LOG'], 'a') as log:\n"
        "                    log.write(task.items[0].name + '\\n')\n"
        "                if task.items[0].name.startswith('killer'):\n"
        "                    os.kill(os.getpid(), 9)\n"
        "                if task.items[0].name == '0slow':\n"
        "                    for _ in range(3000):\n"
        "                        time.sleep(0.01)\n"
        "                        if open(os.environ['LOG']).read().count('\\n') > 250:\n"
        "                            break\n"
        "                    open(os.environ['LOG'], 'a').write('0slow-ends\\n')\n"
        "                return real(settings, task, *more)\n"
        "            workers._process = process\n"
        "sys.meta_path.insert(0, Hook())\n"
    )
    return folder


def started(desk: Desk, site: Path, *options: str) -> tuple[int, list[str]]:
    """Run in a process of its own; return exit code and the names of the files in the order of the work on them."""
    log = desk.folder / "log"
    log.write_text("")
    environment = {**os.environ, "PYTHONPATH": f"{site}:{ROOT}", "LOG": str(log)}
    done = subprocess.run(
        [sys.executable, "-m", "fw_gear_deid", *desk.arguments(*options)],
        cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    return done.returncode, log.read_text().split()


def test_file_that_kills_one_worker_is_met_last_and_fails_alone(desk: Desk, site: Path) -> None:
    """With little to do, one worker is the run itself: the first one ends with it, the second one goes on without."""
    desk.put({"S/V/A/1": instance(), "S/V/A/killer": instance(number=2), "S/V/A/z": instance(number=3)})
    code, order = started(desk, site)
    assert (code, order) == (-signal.SIGKILL, ["1", "killer"])
    code, order = started(desk, site)
    assert (code, order) == (1, ["1", "z", "killer"]) or (code, order) == (1, ["z", "killer"])
    assert desk.states()["S/V/A/killer"] == "failed"
    assert desk.reasons()["S/V/A/killer"] == "took too much: its worker process died"
    assert desk.states()["S/V/A/z"] == "released"
    desk.put({"S/V/A/a": instance(number=4)})
    code, order = started(desk, site)  # a rerun does not meet it first, either
    assert (code, order) == (1, ["a", "killer"])
    assert not list(desk.private.glob(".work*"))


def test_with_much_to_do_one_worker_is_a_process_of_its_own(desk: Desk, site: Path) -> None:
    """Who is killed then is not the run: the rest goes on at once."""
    desk.put({"S/V/A/killer": instance(), "S/V/A/z": instance(number=3)})
    with (desk.source / "S/V/A/killer").open("r+b") as stream:
        stream.truncate(65 << 20)
    code, order = started(desk, site)
    assert (code == 1 and order == ["killer", "z", "killer"]) or order == ["killer", "killer", "z"]
    assert desk.states() == {"S/V/A/killer": "failed", "S/V/A/z": "released"}


def test_notes_outlive_a_second_kill(tmp_path: Path) -> None:
    workspace = tmp_path / "w"
    workspace.mkdir()
    marks.carry(workspace, {"a\udcff", "b"})
    (workspace / "at-7").write_bytes(b'00000005["c"]rest of a longer one')
    (workspace / "at-8").write_bytes(b'00000009["c"')
    (workspace / "at-9").write_bytes(b"")
    assert marks.left(workspace) == {"a\udcff", "b", "c"}
    assert marks.left(tmp_path / "none") == frozenset()


def test_a_file_that_takes_its_time_lets_the_others_pass(desk: Desk, site: Path) -> None:
    """But for those that its own worker was given with it."""
    desk.put({"S/V/A/0slow": instance(number=9), **{f"S/V/A/{n}": instance(number=n + 10) for n in range(300)}})
    code, order = started(desk, site, "--workers", "2")
    assert (code, len(order)) == (0, 302)
    assert order.index("0slow-ends") > 250
    assert set(desk.states().values()) == {"released"}


@pytest.mark.parametrize(
    "text", ["[0" + ",0" * 9000 + "]", '{"a": [{}' + ', {"b": {}}' * 4500 + "]}", "[" + '"a,b,", ' * 4500 + "1]"]
)
def test_json_of_too_many_values(text: str) -> None:
    with limits.within({"values": 20_000}, 0):
        Document(text.encode(), {})
    with limits.within({"values": 4000}, 0), pytest.raises(Beyond, match="limit 'values', 4000 here"):
        Document(text.encode(), {})
