"""A folder of patients as it lives for months, by chance but repeatably: what has to hold after every run.

Every instance carries, in elements that no rule names, whose it truly is, which it is, and its version.
"""

from __future__ import annotations

import io
import os
import random
import shutil
import zipfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

import pytest
from pydicom import dcmread

from tests.desk import PROFILE, Desk, Ran, call, contents, instance, packed

TIME = 1_600_000_000
STATES = {"released", "skipped", "refused", "failed", "orphan"}
PEOPLE = {  # true owner → PatientID, birth date
    "AA": ("id-a-71", "19710101"),
    "BB": ("id-b-72", "19720202"),
    "CC": ("", "19730303"),
    "DD": ("", "19740404"),
    "EE": ("id-s-75", "19750505"),
    "FF": ("id-s-75", "19760606"),  # one id, two people
}
SEEDS = range(4)
STEPS = 10  # runs of each


@dataclass(frozen=True)
class Mark:
    """An instance: whose, which, and how often it was corrected."""

    owner: str
    number: int
    series: int
    version: int = 0
    patient: str = ""

    @property
    def data(self) -> bytes:
        known, born = PEOPLE[self.owner]
        return instance(
            self.owner, series=self.series, number=self.number, PatientID=self.patient or known,
            PatientBirthDate=born, StationName=f"own {self.owner}", StudyDescription=f"version {self.version:03}",
            AcquisitionNumber=str(self.number),
        )  # fmt: skip


@dataclass(frozen=True)
class Shown:
    """An instance at the destination."""

    owner: str
    which: str
    version: str
    profile: str


def shown(data: bytes) -> list[Shown]:
    if data[:2] == b"PK":
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            return [one for name in archive.namelist() for one in shown(archive.read(name))]
    if data[128:132] != b"DICM":
        return []
    ds = dcmread(io.BytesIO(data))
    which = f"{ds.StationName} {ds.SeriesDescription} {ds.AcquisitionNumber}"
    return [Shown(ds.StationName, which, str(ds.StudyDescription), str(ds.get("PatientComments", "")))]


@dataclass
class Life:
    """A desk, what lies in its sources, and chance."""

    desk: Desk
    seed: int
    files: dict[Path, tuple[Mark, ...] | bytes] = field(default_factory=dict)
    mine: dict[Path, bytes] = field(default_factory=dict)
    cuts: set[bytes] = field(default_factory=set)
    log: list[str] = field(default_factory=list)
    profile: int = 0
    count: int = 0

    def __post_init__(self) -> None:
        self.chance = random.Random(self.seed)
        self.roots = [self.desk.source, self.desk.folder / "site"]
        self.rules()
        for root in self.roots:
            root.mkdir(exist_ok=True)
        for _ in range(5):
            self.add()

    def rules(self) -> None:
        more = f"    - name: PatientComments\n      replace-with: profile{self.profile}\n"
        self.desk.rules(PROFILE + more)

    # -- what happens to sources -----------------------------------------------------------------------

    def write(self, path: Path, what: tuple[Mark, ...] | bytes) -> None:
        self.files[path] = what
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(what, bytes):
            data = what
        elif path.suffix == ".zip":
            data = packed({f"m{number}": mark.data for number, mark in enumerate(what)}, zipfile.ZIP_STORED)
        else:
            data = what[0].data
        path.write_bytes(data)
        if self.chance.random() < 0.8:
            os.utime(path, (TIME, TIME))

    def some(self) -> Path | None:
        return self.chance.choice(sorted(self.files)) if self.files else None

    def whole(self) -> Path | None:
        found = sorted(path for path, what in self.files.items() if not isinstance(what, bytes))
        return self.chance.choice(found) if found else None

    def place(self, owner: str) -> Path:
        root = self.roots[0] if self.chance.random() < 0.75 else self.roots[1]
        name = self.chance.choice(["1", "2", "3", "x.dcm", "p.zip", "q.zip"])
        if self.chance.random() < 0.6:
            subject = owner if self.chance.random() < 0.85 else self.chance.choice(["AA", "CC", "SS"])
            return root / f"sub{subject}" / self.chance.choice("VW") / self.chance.choice(["acqA", "acqB"]) / name
        return root / self.chance.choice(["day1", "day2"]) / name

    def add(self) -> None:
        owner = self.chance.choice(sorted(PEOPLE))
        path = self.place(owner)
        series = self.chance.choice([1, 2])
        number = self.chance.randint(1, 4)
        marks = tuple(Mark(owner, number + n, series) for n in range(2 if path.suffix == ".zip" else 1))
        self.write(path, marks)

    def correct(self) -> None:
        if (path := self.whole()) is not None:
            what = self.files[path]
            assert isinstance(what, tuple)
            self.count += 1
            self.write(path, tuple(Mark(m.owner, m.number, m.series, self.count, m.patient) for m in what))

    def correct_id(self) -> None:
        if (path := self.whole()) is not None:
            what = self.files[path]
            assert isinstance(what, tuple)
            new = f"id-{what[0].owner.lower()}-new"
            self.write(path, tuple(Mark(m.owner, m.number, m.series, m.version, new) for m in what))

    def move(self) -> None:
        if (path := self.whole()) is not None:
            what = self.files[path]
            assert isinstance(what, tuple)
            new = self.place(what[0].owner)
            if new.suffix == path.suffix and new not in self.files:
                self.files[new] = self.files.pop(path)
                new.parent.mkdir(parents=True, exist_ok=True)
                path.rename(new)

    def rename_parent(self) -> None:
        if (path := self.some()) is not None:
            root = next(root for root in self.roots if path.is_relative_to(root))
            old = root / path.relative_to(root).parts[0]
            new = root / f"{old.name[:5]}{self.chance.randint(0, 9)}"
            if not new.exists():
                old.rename(new)
                self.files = {
                    new / p.relative_to(old) if p.is_relative_to(old) else p: w for p, w in self.files.items()
                }

    def copy(self) -> None:
        if (path := self.whole()) is not None:
            what = self.files[path]
            assert isinstance(what, tuple)
            new = self.place(what[0].owner)
            if new.suffix == path.suffix and new not in self.files:
                new.parent.mkdir(parents=True, exist_ok=True)
                self.chance.choice([shutil.copy, shutil.copy2])(path, new)
                self.files[new] = what

    def swap(self) -> None:
        one, other = self.whole(), self.whole()
        if one is not None and other is not None and one != other and one.suffix == other.suffix:
            first, second = self.files[one], self.files[other]
            self.write(one, second)
            self.write(other, first)
            os.utime(one, (TIME, TIME))
            os.utime(other, (TIME, TIME))

    def delete(self) -> None:
        if (path := self.some()) is not None:
            del self.files[path]
            path.unlink()

    def damage(self) -> None:
        if (path := self.whole()) is not None:
            data = path.read_bytes()
            self.write(path, self.chance.choice([b"", data[: len(data) // 2], data[:140], b"a note\n"]))

    def profiles(self) -> None:
        self.profile += 1
        self.rules()

    # -- what happens at the destination ---------------------------------------------------------------

    def cut(self) -> None:
        there = sorted(path for path in self.desk.dest.rglob("*") if path.is_file() and path.name[0] != ".")
        there = [path for path in there if path not in self.mine]
        if there:
            path = self.chance.choice(there)
            if self.chance.random() < 0.6:
                self.cuts.add(path.read_bytes()[:-20])
                path.write_bytes(path.read_bytes()[:-20])
            else:
                path.unlink()

    def put_own(self) -> None:
        if self.desk.dest.exists():
            folders = [self.desk.dest, *sorted(path for path in self.desk.dest.rglob("*") if path.is_dir())]
            path = self.chance.choice(folders) / "mine.txt"
            path.write_bytes(b"my own")
            self.mine[path] = b"my own"

    # -- runs --------------------------------------------------------------------------------------------

    def run(self) -> None:
        root = self.roots[0] if self.chance.random() < 0.75 else self.roots[1]
        options = ["--exists", "replace"] if self.chance.random() < 0.4 else []
        options += ["--prune"] if self.chance.random() < 0.15 else []
        options += ["--dry-run"] if self.chance.random() < 0.08 else []
        if self.chance.random() < 0.1 and (path := self.some()) is not None and path.is_relative_to(root):
            options += ["--only", path.relative_to(root).parts[0]]
        elif (
            self.chance.random() < 0.1
            and (path := self.some()) is not None
            and len(path.relative_to(root.parent).parts) > 2
        ):
            root = path.parents[len(path.relative_to(root.parent).parts) - 3]
        self.go(root, options)

    def go(self, root: Path, options: list[str]) -> None:
        before = self.there()
        done = self.call(root, options)
        after = self.there()
        rows = self.desk.rows()
        self.log.append(f"run {root.name} {options} -> {done.code}")
        assert "Traceback" not in done.err and "unexpected" not in done.err, done.err
        if "--dry-run" in options:
            assert before == after
            assert done.code in (0, 1)
            return
        self.check_rows(root, done, rows, after, options)
        self.check_kept(root, rows, before, after, options)
        self.check_people(after)
        for path, data in self.mine.items():
            assert path.read_bytes() == data, "a user's file was touched"
        # what a run took away may have stood in the way of another: that one is let in by the next run
        waiting = "--prune" in options or any("another source has" in row["reason"] for row in rows)
        again = self.call(root, options)
        released = [row for row in self.desk.rows() if row["state"] == "released"]
        if not waiting:
            assert not released, f"the second run released {released}"
            assert self.there() == after, "the second run changed something"
            assert again.code == done.code, (done, again)

    def call(self, root: Path, options: list[str]) -> Ran:
        reports = ["--reports", str(self.desk.reports)]
        return call(*self.desk.arguments(*options, *reports, source=root))

    def there(self) -> dict[str, bytes]:
        own = {path.relative_to(self.desk.dest).as_posix() for path in self.mine}
        return {path: data for path, data in self.desk.there().items() if path not in own}

    def listed(self, root: Path) -> dict[str, tuple[Mark, ...] | bytes]:
        return {
            path.relative_to(root).as_posix(): what for path, what in self.files.items() if path.is_relative_to(root)
        }

    def check_rows(
        self, root: Path, done: Ran, rows: list[dict[str, str]], after: dict[str, bytes], options: list[str]
    ) -> None:
        sources = [row["source"] for row in rows if row["state"] != "orphan"]
        listed = self.listed(root)
        assert sorted(sources) == sorted(listed)
        assert {row["state"] for row in rows} <= STATES
        bad = [row for row in rows if row["state"] in ("refused", "failed") or row["reason"].startswith("stale")]
        assert done.code == bool(bad), (done, bad)
        for row in rows:
            if row["state"] == "orphan" or not (row["state"] == "released" or row["reason"].startswith("unchanged")):
                continue
            stands = after[row["destination"]]
            if row["sha256_out"]:
                assert row["sha256_out"] == sha256(stands).hexdigest()
            what = listed[row["source"]]
            found = {(one.owner, one.which, one.version, one.profile) for one in shown(stands)}
            assert isinstance(what, tuple), "damaged, and called good"
            for mark in what:
                wanted = (
                    f"own {mark.owner}", f"own {mark.owner} T{mark.series} {mark.number}",
                    f"version {mark.version:03}", f"profile{self.profile}",
                )  # fmt: skip
                assert wanted in found, f"{row} tells of {wanted}, but {found} stands"

    def check_kept(
        self,
        root: Path,
        rows: list[dict[str, str]],
        before: dict[str, bytes],
        after: dict[str, bytes],
        options: list[str],
    ) -> None:
        """What this run's sources do not hold stands as it stood; what they hold is there, or refused."""
        listed = self.listed(root)
        state = {row["source"]: row for row in rows}
        sources: dict[str, list[str]] = {}
        for source, what in listed.items():
            for mark in what if isinstance(what, tuple) else ():
                sources.setdefault(f"own {mark.owner} T{mark.series} {mark.number}", []).append(source)
        stands = {one.which for data in after.values() for one in self.shown(data)}
        for path, data in before.items():
            if after.get(path) == data:
                continue
            for one in self.shown(data):
                of = sources.get(one.which, [])
                if not of:
                    assert "--prune" in options, f"{path} was of a source that this run did not see: {one}"
                elif one.which not in stands:
                    assert any(state[source]["state"] == "refused" for source in of), (
                        path,
                        one,
                        [state[s] for s in of],
                    )
        count = Counter(one.which for data in after.values() for one in self.shown(data))
        known = Counter(
            f"own {mark.owner} T{mark.series} {mark.number}"
            for what in self.files.values() if isinstance(what, tuple) for mark in what
        )  # fmt: skip
        if not any(
            row["state"] in ("orphan", "failed", "refused") or "excluded" in row["reason"] for row in rows
        ) and len(listed) == len(self.files):
            for which, number in count.items():
                assert number <= known[which], f"{which} stands {number} times"

    def check_people(self, after: dict[str, bytes]) -> None:
        owners: dict[str, set[str]] = {}
        for path, data in after.items():
            owners.setdefault(path.split("/")[0], set()).update(one.owner for one in self.shown(data))
        assert all(len(found) <= 1 for found in owners.values()), f"merged: {owners}"

    def shown(self, data: bytes) -> list[Shown]:
        """Return what a file at the destination tells; what this test itself has cut tells nothing."""
        return [] if data in self.cuts else shown(data)

    def step(self) -> None:
        deeds: list[tuple[int, Callable[[], None]]] = [
            (5, self.add), (3, self.correct), (1, self.correct_id), (2, self.move), (1, self.rename_parent),
            (2, self.copy), (2, self.swap), (2, self.delete), (1, self.damage), (1, self.profiles), (1, self.cut),
            (1, self.put_own),
        ]  # fmt: skip
        for _ in range(self.chance.randint(0, 3)):
            [deed] = self.chance.choices([deed for _, deed in deeds], [weight for weight, _ in deeds])
            before = dict(self.files)
            deed()
            gone = [str(p.relative_to(self.desk.folder)) for p in before if self.files.get(p) != before[p]]
            new = [f"{p.relative_to(self.desk.folder)}={w!r}" for p, w in self.files.items() if before.get(p) != w]
            self.log.append(f"{deed.__name__} {gone} -> {new}")
        self.run()


@pytest.mark.parametrize("seed", SEEDS)
def test_life(seed: int, tmp_path: Path) -> None:
    life = Life(Desk(tmp_path), seed)
    for _ in range(STEPS):
        try:
            life.step()
        except AssertionError as error:
            raise AssertionError("\n".join([*life.log, str(error)])) from error
    assert contents(life.desk.dest)
