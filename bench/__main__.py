"""``python -m bench [--all | --only CASE...] [--rounds N]``: runs cases, prints their tables and the goals."""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bench import ROOT, SHARED, peers, table
from bench.cases import CASES, Case, Row
from bench.measure import Failed, Sample, result, run

IN_DOCUMENT = ("slices", "tree")
"""Cases with every peer, of archives and of folders; the others would make the page long."""
BEFORE = ROOT / "bench" / "before.json"
_MUCH = 1_000_000  # bytes
_BEGIN, _END = "<!-- measured: begin -->\n", "<!-- measured: end -->\n"


class Bench:
    """Runs cases and keeps what they measured.

    Attributes
    ----------
    place : Path
        Data, results and what runs make.
    missing : mapping
        Peer to why it isn't there.
    results : dict
        Case to its rounds, notes and the machine's load.
    out : Path
        Where what runs make goes; another folder for each round.
    warm : set
        Programs that have run once: their modules are compiled and in memory, as those of a machine at work are.
    """

    def __init__(self, place: Path, missing: Mapping[str, str]) -> None:
        self.place = place.resolve()
        self.missing = missing
        self.kept = self.place / "results.json"
        self.results: dict[str, Any] = json.loads(self.kept.read_text()) if self.kept.exists() else {}
        self.warm: set[tuple[str, ...]] = set()
        self.out = self.place / "out"
        self.clean()

    def measure(self, case: Case, rounds: int) -> None:
        """Run the rows of a case in turn and keep what was measured."""
        notes = {row.name: f"not installed: {self.missing[row.peer]}" for row in case.rows if row.peer in self.missing}
        rows = [row for row in case.rows if row.name not in notes]
        data = self.data([row.data for row in rows if row.data])
        load = os.getloadavg()[0]
        taken: list[dict[str, Sample]] = []
        for number in range(rounds + 1):
            one: dict[str, Sample] = {}
            self.out = self.place / "out" / f"{case.name}-{number}"
            for row in rows:
                program = row.command[:3]
                if row.name in notes or (number == 0 and program in self.warm):
                    continue
                self.warm.add(program)
                print(f"{case.name}: round {number} of {rounds}: {row.name}", file=sys.stderr, flush=True)
                try:
                    one[row.name] = self.sample(row, data)
                except Failed as failure:
                    notes[row.name] = f"failed: {failure}"
            if number:
                taken.append(one)
        self.lighten()
        self.results[case.name] = {
            "rounds": [{name: asdict(sample) for name, sample in one.items()} for one in taken],
            "notes": notes,
            "load": [load, os.getloadavg()[0]],
        }
        self.kept.write_text(json.dumps(self.results))

    def data(self, names: list[str]) -> dict[str, Path]:
        """Return where data sets are; another process makes them, so that this one stays small."""
        names = list(dict.fromkeys(names))
        for module, arguments in (("data", [str(self.place), *names]), ("profiles", [str(self.place / "profiles")])):
            command = [sys.executable, "-m", f"bench.{module}", *arguments]
            done = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True)
            if module == "data":
                found = dict(zip(names, map(Path, done.stdout.splitlines()), strict=True))
        for path in found.values():
            _read(path)
        return found

    def sample(self, row: Row, data: Mapping[str, Path]) -> Sample:
        """Run a command once and look whether it made what it should."""
        made = self.out / (row.after or row.name).replace("/", "-")
        made.parent.mkdir(parents=True, exist_ok=True)
        rules = self.place / "profiles" / row.profile
        words = {
            "{in}": str(data.get(row.data, "")), "{out}": str(made),
            "{profile}": f"{rules}.yaml", "{profile_zip}": f"{rules}_zip.yaml",
        }  # fmt: skip
        path = os.pathsep.join(filter(None, [row.environment.get("PYTHONPATH"), str(ROOT)]))
        measured = run(
            [words.get(word, word) for word in row.command],
            {**row.environment, "PYTHONPATH": path},
            self.out / "said.txt",
            count_syncs=row.count_syncs,
        )
        if row.makes is None:
            return measured
        count, size = result(made)
        if count != row.makes:
            raise Failed(f"made {count} of {row.makes}")
        return Sample(measured.cpu, measured.wall, measured.peak, size, measured.syncs)

    def lighten(self) -> None:
        """Remove what takes much of the disk; small files stay till the end.

        ext4 looks at each inode that was given back within minutes before it makes another file: as dear as the work.
        """
        for path in self.out.parent.rglob("*"):
            if path.is_file() and path.stat().st_size > _MUCH:
                path.unlink()

    def clean(self) -> None:
        """Remove what runs made."""
        shutil.rmtree(self.place / "out", ignore_errors=True)

    # what is said of it

    def rounds(self, case: Case) -> list[dict[str, Sample]]:
        """Return what was measured of a case."""
        kept = self.results.get(case.name, {"rounds": []})["rounds"]
        return [{name: Sample(**sample) for name, sample in one.items()} for one in kept]

    def told(self, case: Case) -> str:
        """Return the table of a case."""
        kept = self.results[case.name]
        before, after = kept["load"]
        head = f"**{case.title}** ({len(kept['rounds'])} rounds; load {before:.1f} before, {after:.1f} after)\n\n"
        return head + table.programs(self.rounds(case), kept["notes"])

    def growth(self, cases: list[Case]) -> str:
        """Return the table of how cost grows, of those cases that count."""
        costs = [
            (f"{case.title}: {row}", count, [one[row] for one in self.rounds(case) if row in one])
            for case in cases
            for row, count in case.counted.items()
        ]
        return "**What one of many costs**\n\n" + table.growth([one for one in costs if one[2]])

    def goals(self, cases: list[Case]) -> list[tuple[table.Goal, table.Spread | str]]:
        """Return the goals of cases, and what was measured of them."""
        return [(goal, goal.measured(self.rounds(case))) for case in cases for goal in case.goals]


def _read(path: Path) -> None:
    """Have files in memory, for the first who reads them as for the others."""
    for file in [path] if path.is_file() else [one for one in path.rglob("*") if one.is_file()]:
        with file.open("rb") as stream:
            while stream.read(1 << 20):
                pass


def machine(there: Mapping[str, str], loads: list[float]) -> str:
    """Return what a reader must know of where it ran."""
    versions = ", ".join(f"{name} {version}" for name, version in there.items() if version != "on PATH")
    site = "upenn4 (shared)" if (SHARED / "bench/profiles/upenn4.yaml").exists() else "bench/profiles.py's"
    where = f"{platform.system()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    load = f"load {min(loads):.1f}–{max(loads):.1f}" if loads else "nothing measured"
    return f"{where}; {load}; site profile: {site}; {versions or 'no peers'}.\n"


def write(document: Path, text: str) -> None:
    """Put what was measured between the marks of a document."""
    before, _, rest = document.read_text(encoding="utf-8").partition(_BEGIN)
    _, end, after = rest.partition(_END)
    if not end:
        sys.exit(f"{document} has not the marks {_BEGIN.strip()} and {_END.strip()}")
    document.write_text(before + _BEGIN + "\n" + text + "\n" + _END + after, encoding="utf-8")


def main() -> None:
    """Read the arguments and carry them out."""
    known = [case.name for case in CASES]
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--all", action="store_true", help="every case: an hour (default: a quick part)")
    parser.add_argument("--only", nargs="+", choices=known, metavar="CASE", default=[], help=", ".join(known))
    parser.add_argument(
        "--rounds", type=int, default=3, metavar="N", help="after one that warms programs up (default: 3)"
    )
    parser.add_argument(
        "--place", type=Path, default=ROOT / ".bench", metavar="DIR", help="data and results (default: .bench)"
    )
    parser.add_argument("--told", action="store_true", help="measure nothing; print what earlier calls measured")
    parser.add_argument(
        "--write", type=Path, metavar="FILE", help="put all that was measured between the marks of FILE"
    )
    parser.add_argument(
        "--keep", action="store_true", help=f"make what was measured the column 'before' ({BEFORE.name})"
    )
    options = parser.parse_args()
    options.place.mkdir(exist_ok=True)
    if not options.told:
        peers.install()
    there, missing = peers.present()
    bench = Bench(options.place, missing)
    chosen = [
        case for case in CASES
        if case.name in options.only or (not options.only and (options.all or case.quick or options.told))
    ]  # fmt: skip
    for case in chosen if not options.told else ():
        if case.name == "real" and not (SHARED / "corpus/dicom").exists():
            print("real: no shared files on this machine\n")
            continue
        bench.measure(case, options.rounds)
        print(bench.told(case), flush=True)
    bench.clean()
    measured = [
        case for case in CASES if case.name in bench.results and (options.write or options.keep or case in chosen)
    ]
    found = bench.goals(measured)
    if options.keep:
        spreads = {goal.name: table.shown(value) for goal, value in found if not isinstance(value, str)}
        BEFORE.write_text(json.dumps(spreads, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    before = json.loads(BEFORE.read_text(encoding="utf-8")) if BEFORE.exists() else {}
    told = {case.name: bench.told(case) for case in measured}
    loads = [load for case in measured for load in bench.results[case.name]["load"]]
    summary = [machine(there, loads), table.goals(found, before)]
    print("\n".join([*(told.values() if options.told else ()), *summary]))
    if options.write:
        peers_of = [told[name] for name in IN_DOCUMENT if name in told]
        write(options.write, "\n".join([*summary, *peers_of, bench.growth(measured)]))


if __name__ == "__main__":
    main()
