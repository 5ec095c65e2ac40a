"""What is measured: cases of data and commands in turn, and the goals that they decide."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from bench import ROOT
from bench.peers import PYTHON
from bench.table import Goal, Round, doubling

OURS = "fw-gear-deid"
_DRIVE = str(ROOT / "bench" / "drive.py")
_BUSY = "for _ in range(25_000_000): pass"
_TWO_BUSY = (
    "import subprocess, sys\n"
    f"both = [subprocess.Popen([sys.executable, '-c', {_BUSY!r}]) for _ in range(2)]\n"
    "sys.exit(any([one.wait() for one in both]))"
)


@dataclass(frozen=True, slots=True)
class Row:
    """A command of a case.

    Attributes
    ----------
    name : str
    command : tuple of str
        With ``{in}``, ``{out}``, ``{profile}``, ``{profile_zip}``.
    data : str
        Name of the data set.
    profile : str
    peer : str
        What must be there.
    environment : dict
    after : str
        Row whose result it finds at its destination.
    makes : int or None
        Files and members that it must make; None when it makes none.
    count_syncs : bool
    """

    name: str
    command: tuple[str, ...]
    data: str = ""
    profile: str = "site"
    peer: str = ""
    environment: dict[str, str] = field(default_factory=dict)
    after: str = ""
    makes: int | None = None
    count_syncs: bool = False


@dataclass(frozen=True, slots=True)
class Case:
    """Rows that are run in turn, and what they decide.

    Attributes
    ----------
    name : str
    title : str
    rows : tuple of Row
    goals : tuple of Goal
    quick : bool
        Part of ``make bench`` without arguments.
    counted : mapping
        Row to how many it does, for the table of growth.
    """

    name: str
    title: str
    rows: tuple[Row, ...]
    goals: tuple[Goal, ...] = ()
    quick: bool = False
    counted: Mapping[str, int] = field(default_factory=dict)


def ours(data: str, *options: str, name: str = OURS, workers: int | None = 1, **more: object) -> Row:
    """Return our command on a data set; ``None`` workers are as many as it takes by itself."""
    number = () if workers is None else ("--workers", str(workers))
    command = (
        sys.executable,
        "-m",
        "fw_gear_deid",
        "run",
        "{in}",
        "{out}",
        "--profile",
        "{profile}",
        "--quiet",
        *number,
        *options,
    )
    return Row(name, command, data, makes=count(data), **more)  # type: ignore[arg-type]


def peer(name: str, package: str, data: str, *, driver: str = "", profile: str = "site", zipped: bool = False) -> Row:
    """Return a peer on a data set; ``zipped`` when it wants the section for archives."""
    rules = "{profile_zip}" if zipped else "{profile}"
    command = (str(PYTHON), _DRIVE, driver or package, rules, "{in}", "{out}")
    return Row(name, command, data, profile, package, makes=count(data))


def here(name: str, driver: str, data: str, **more: object) -> Row:
    """Return what is driven by our own interpreter."""
    command = (sys.executable, _DRIVE, driver, "{profile}", "{in}", "{out}")
    return Row(name, command, data, makes=count(data), **more)  # type: ignore[arg-type]


def count(data: str) -> int:
    """Return the files and members of a data set."""
    kind, number = data.rsplit("-", 1)
    return {"frames": 1}.get(kind, int(number) * (26 if kind == "archives" else 1))


FWM, RS = "flywheel-migration", "fw-file-rs"


def peers_of(data: str, *, profile: str = "site") -> tuple[Row, ...]:
    """Return every peer that does archives or can be fed their members, and the floors."""
    return (
        peer(FWM, FWM, data, zipped=True, profile=profile),
        peer(
            "deid-export deidentify_file",
            "fw-gear-deid-export",
            data,
            driver="deid-export-file",
            zipped=True,
            profile=profile,
        ),
        peer(
            "deid-export deid_archive (stores)",
            "fw-gear-deid-export",
            data,
            driver="deid-export-archive",
            profile=profile,
        ),
        peer(RS, RS, data, profile=profile),
        peer("fw-file-rs (stores)", RS, data, driver="fw-file-rs stored", profile=profile),
        peer("pydicom/deid", "deid", data, driver="pydicom/deid", profile=profile),
        peer("dicognito", "dicognito", data),
        peer("dicom-anonymizer", "dicom-anonymizer", data),
        *floors(data),
    )


def floors(data: str) -> tuple[Row, ...]:
    """Return copies: what nobody who packs so can be faster than."""
    return (
        here("copy, our codec", "floor", data),
        here("copy, stored", "floor-stored", data),
        here("copy, zlib 6", "copy-zlib-6", data),
    )


def over(top: str, bottom: str, what: str = "cpu") -> Callable[[Round], float]:
    """Return the ratio of two rows."""
    return lambda one: float(getattr(one[top], what) / getattr(one[bottom], what))


def past_start(top: str, bottom: str, one_file: str = ", one file") -> Callable[[Round], float]:
    """Return the ratio of two rows, each without what it costs on one file."""
    return lambda one: (one[top].cpu - one[top + one_file].cpu) / (one[bottom].cpu - one[bottom + one_file].cpu)


def grows(rows: Mapping[int, str]) -> Callable[[Round], float]:
    """Return by how much CPU grows when the count doubles; rows by their counts."""
    return lambda one: doubling([(many, one[row].cpu) for many, row in rows.items()])


def largest_process(goal: str, *rows: str) -> Goal:
    """Return the goal on the largest process of rows."""
    return Goal(goal, lambda one: max(one[row].peak for row in rows), "≤", 96, " MB")


def start() -> Case:
    """What a call costs that has next to nothing to do."""
    rows = (
        Row("import pydicom", (sys.executable, "-c", "import pydicom")),
        ours("file-1", name="one small file", workers=None),
        ours("file-1", name="one small file, --workers 1"),
        Row("--help", (sys.executable, "-m", "fw_gear_deid", "--help")),
        Row("profile check", (sys.executable, "-m", "fw_gear_deid", "profile", "check", "{profile}")),
    )
    goals = (
        Goal("start: one small file over `import pydicom`", over("one small file", "import pydicom"), "≤", 1.0),
        Goal("start: `--help` over `import pydicom`", over("--help", "import pydicom"), "≤", 0.5),
        Goal("start: `profile check` over `import pydicom`", over("profile check", "import pydicom"), "≤", 1.0),
        Goal(
            "start: one file, default workers over one", over("one small file", "one small file, --workers 1"), "≤", 1.1
        ),
    )
    return Case("start", "One small file, and none", rows, goals, quick=True)


def slices() -> Case:
    """Slices of a scanner, deflated, by a site's profile: everybody."""
    data = "slices-208"
    rows = (
        ours(data),
        ours(data, "--verify", "off", name="--verify off"),
        ours(data, name="without isal", environment={"PYTHONPATH": str(ROOT / "bench" / "no_isal")}),
        *peers_of(data),
    )
    goals = (
        Goal("208 slices, site profile: over flywheel-migration", over(FWM, OURS), "≥", 12),
        Goal("208 slices: output over zlib 6's", over(OURS, "copy, zlib 6", "size"), "≤", 1.10),
        Goal("208 slices, standard library alone: over flywheel-migration", over(FWM, "without isal"), "≥", 4),
        Goal(
            "verification's share of a run, 208 slices",
            lambda one: 100 * (1 - one["--verify off"].cpu / one[OURS].cpu), "≤", 25, " %",
        ),
    )  # fmt: skip
    return Case("slices", "208 slices of 0.5 MB, deflated, site profile", rows, goals, quick=True)


def block_list() -> Case:
    """The same by a block-list that removes private elements."""
    data, profile = "slices-208", "block-list"
    rows = (
        ours(data, profile=profile),
        peer(FWM, FWM, data, zipped=True, profile=profile),
        peer(RS, RS, data, profile=profile),
        here("copy, our codec", "floor", data),
    )
    goals = (
        Goal("208 slices, block-list: over flywheel-migration", over(FWM, OURS), "≥", 12),
        Goal("208 slices, block-list: output over flywheel-migration's", over(OURS, FWM, "size"), "≤", 1.10),
    )
    return Case("block-list", "208 slices of 0.5 MB, deflated, block-list", rows, goals)


def stored() -> Case:
    """Slices that are not deflated, and stay so."""
    data = "stored-208"
    rows = (ours(data), *(row for row in peers_of(data) if row.name not in ("fw-file-rs (stores)", "copy, zlib 6")))
    goals = (
        Goal("208 slices, stored: over flywheel-migration", over(FWM, OURS), "≥", 20),
        Goal("208 slices, stored: over fw-file-rs", over(RS, OURS), "≥", 1.0),
    )
    return Case("stored", "208 slices of 0.5 MB, stored, site profile", rows, goals, quick=True)


def real() -> Case:
    """Slices of scanners, from the shared files."""
    data = "real-208"
    rows = (ours(data), peer(FWM, FWM, data, zipped=True), peer(RS, RS, data), *floors(data))
    goals = (
        Goal("208 real slices, site profile: over flywheel-migration", over(FWM, OURS), "≥", 12),
        Goal("208 real slices: output over zlib 6's", over(OURS, "copy, zlib 6", "size"), "≤", 1.10),
    )
    return Case("real", "208 slices of two MR and a CT scanner (shared), deflated, site profile", rows, goals)


def small() -> Case:
    """Many small instances in one archive."""
    data = "small-2000"
    rows = (ours(data), *(row for row in peers_of(data) if row.name in (FWM, RS, "copy, our codec")))
    goals = (
        Goal("2000 instances of 17 kB in an archive: over flywheel-migration", over(FWM, OURS), "≥", 25),
        largest_process("peak memory: 2000 small members", OURS),
    )
    return Case("small", "2000 instances of 17 kB, deflated, site profile", rows, goals, counted={OURS: 2000})


def frames() -> Case:
    """One huge instance."""
    data = "frames-572"
    rows = (ours(data), *(row for row in peers_of(data) if row.name in (FWM, RS, "copy, our codec")))
    goals = (
        Goal("one instance of 300 MB, stored: over flywheel-migration", over(FWM, OURS), "≥", 20),
        largest_process("peak memory: an instance of 300 MB", OURS),
    )
    return Case("frames", "One instance of 300 MB, stored, site profile", rows, goals, counted={OURS: 1})


def tree() -> Case:
    """Small files in a tree: everybody who does folders, and what a rerun costs."""
    data, loop, again = "tree-1000", "pydicom read and write", "the same again"
    rows = (
        ours(data),
        ours(data, name=again, after=OURS),
        ours(data, name="--workers 2", workers=2),
        ours("tree-1", name=f"{OURS}, one file"),
        here(loop, "pydicom-loop", data),
        here(f"{loop}, one file", "pydicom-loop", "tree-1"),
        peer(FWM, FWM, data),
        peer(RS, RS, data),
        peer("pydicom/deid", "deid", data, driver="pydicom/deid"),
        peer("dicognito", "dicognito", data),
        peer("dicom-anonymizer", "dicom-anonymizer", data),
        Row(
            "gdcmanon",
            (sys.executable, _DRIVE, "gdcmanon", "{profile}", "{in}", "{out}"),
            data,
            peer="gdcmanon",
            makes=1000,
        ),
    )
    goals = (
        Goal("1000 small files, tree: over pydicom read and write", past_start(OURS, loop), "≤", 1.0),
        Goal("rerun over first run, 1000 files", over(again, OURS), "≤", 0.1),
    )
    return Case("tree", "1000 files of 17 kB in a tree, site profile", rows, goals, quick=True)


def loose() -> Case:
    """Small files in one folder."""
    data, loop = "loose-1000", "pydicom read and write"
    rows = (
        ours(data),
        ours("loose-1", name=f"{OURS}, one file"),
        here(loop, "pydicom-loop", data),
        here(f"{loop}, one file", "pydicom-loop", "loose-1"),
    )
    goals = (Goal("1000 small files, flat: over pydicom read and write", past_start(OURS, loop), "≤", 0.8),)
    return Case("loose", "1000 files of 17 kB in one folder, site profile", rows, goals)


def syncs() -> Case:
    """How often a run waits for the disk."""
    data = "tree-1000"
    rows = (
        ours(data, count_syncs=True, peer="strace"),
        ours(data, name="the same again", after=OURS, count_syncs=True, peer="strace"),
    )
    goals = (
        Goal("syncs a file, first run", lambda one: (one[OURS].syncs or 0) / 1000, "≤", 3, ""),
        Goal("syncs a file, rerun", lambda one: (one["the same again"].syncs or 0) / 1000, "≤", 0.1, ""),
    )
    return Case("syncs", "Calls that wait for the disk, 1000 files in a tree (CPU with strace's)", rows, goals)


def rules() -> Case:
    """Profiles of few and of many rules."""
    data = "slices-208"
    rows = (
        ours(data, name="site profile"),
        *(ours(data, name=f"{number} rules", profile=f"rules-{number}") for number in (20, 620, 2900)),
    )
    goals = (Goal("620 rules at every depth over the site profile", over("620 rules", "site profile"), "≤", 1.5),)
    return Case(
        "rules",
        "208 slices by 20, 620 and 2,900 rules with recurse-sequence",
        rows,
        goals,
        counted={row.name: 208 for row in rows},
    )


def members() -> Case:
    """How cost and memory grow with the members of an archive."""
    counts = (26, 125, 208, 1000, 2000)
    floor = "2000 slices, copy, our codec"
    rows = (*(ours(f"slices-{n}", name=f"{n} slices") for n in counts), here(floor, "floor", "slices-2000"))
    names = [f"{n} slices" for n in counts if n >= 125]
    goals = (
        Goal("2000 slices over the codec's floor", over("2000 slices", floor), "≤", 1.5),
        Goal("growth: twice the members", grows({n: f"{n} slices" for n in counts}), "≤", 2.1),
        largest_process("peak memory: 125 to 2000 slices", *names),
        Goal(
            "memory of 125 to 2000 slices: most over least",
            lambda one: max(one[name].peak for name in names) / min(one[name].peak for name in names), "≤", 1.1,
        ),
    )  # fmt: skip
    return Case(
        "members", "How cost grows: slices of one archive", rows, goals, counted={f"{n} slices": n for n in counts}
    )


def files(kind: str, words: str) -> Case:
    """How cost grows with files."""
    counts = (100, 1000, 2000, 10_000)
    rows = tuple(ours(f"{kind}-{n}", name=f"{n} files") for n in counts)
    goals = (Goal(f"growth: twice the files, {words}", grows({n: f"{n} files" for n in counts}), "≤", 2.1),)
    return Case(
        f"{kind}-growth",
        f"How cost grows: files of 17 kB, {words}",
        rows,
        goals,
        counted={f"{n} files": n for n in counts},
    )


def workers() -> Case:
    """What a second process brings, beside what it brings to loops that do nothing."""
    data = "archives-16"
    rows = (
        ours(data, name="1 worker"),
        ours(data, name="2 workers", workers=2),
        Row("busy loop", (sys.executable, "-c", _BUSY)),
        Row("two busy loops", (sys.executable, "-c", _TWO_BUSY)),
    )

    def share(one: Round) -> float:
        loops = 2 * one["busy loop"].wall / one["two busy loops"].wall
        return one["1 worker"].wall / one["2 workers"].wall / loops

    goals = (Goal("two workers: share of what two busy loops get (wall)", share, "≥", 0.9, ""),)
    return Case(
        "workers",
        "16 archives of 26 slices by one and two workers",
        rows,
        goals,
        counted={row.name: 416 for row in rows[:2]},
    )


CASES = (
    start(), slices(), block_list(), stored(), real(), small(), frames(), tree(), loose(), syncs(), rules(), members(),
    files("loose", "in one folder"), files("tree", "in a tree"), workers(),
)  # fmt: skip
