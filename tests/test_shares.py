"""Members of one archive made by several workers: bytes, reports and refusals are those of one."""

from __future__ import annotations

import io
import json
import pickle
import zipfile
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from fw_gear_deid.deid import Context, Result, deidentify
from fw_gear_deid.deid.identity import Watch
from fw_gear_deid.deid.notes import Notes
from fw_gear_deid.deid.shares import Record, Shares, make_share
from fw_gear_deid.keys import Keyring
from fw_gear_deid.model.errors import Unfit
from fw_gear_deid.model.outcome import Skipped
from fw_gear_deid.profile.parse import parse_profile
from tests.desk import PROFILE, Desk, instance, packed, timeless

SITE = PROFILE + "    - name: SeriesDescription\n      remove: true\n"
NAMED = (
    SITE
    + "zip:\n  validate-zip-members: {strict}\n  fields:\n    - name: comment\n      replace-with: by us\n"
    + "  filenames:\n    - output: '{{SeriesInstanceUID}}.zip'\n      input-regex: '.*'\n"
)
LARGE = bytes(range(256)) * 1200  # more than one piece


def shot(patient: str = "P1", pixels: bytes = LARGE, **more: Any) -> bytes:
    return instance(patient, BitsAllocated=8, PixelData=pixels, **more)


def series(count: int, **more: Any) -> dict[str, bytes]:
    return {f"a/IM{n}": shot(number=n, **more) for n in range(1, count + 1)}


def damaged(position: int, members: dict[str, bytes]) -> bytes:
    """Pack, then change a byte in the data of one member."""
    data = bytearray(packed(members, zipfile.ZIP_STORED))
    at = data.find(members[[*members][position]]) + 600
    data[at] ^= 1
    return bytes(data)


def mixed() -> bytes:
    """Every way of packing, large and empty members, and what nobody takes."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for n, method in enumerate((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA) * 2):
            pixels = LARGE * 3 if n < 4 else b"\1\2"
            archive.writestr(f"x/y/{n}", shot(number=n + 1, pixels=pixels), compress_type=method)
        archive.writestr("x/notes.txt", b"text")
        archive.writestr("x/empty", b"")
        archive.writestr("__MACOSX/._1", b"litter")
    return stream.getvalue()


ARCHIVES: dict[str, Callable[[], bytes]] = {
    "plain": lambda: packed(series(7)),
    "stored": lambda: packed(series(5), zipfile.ZIP_STORED),
    "mixed": mixed,
    "one": lambda: packed(series(1)),
    "copies": lambda: packed({**series(3), "a/again": shot(number=2)}),
    "one name for two": lambda: packed({**series(3), "a/other": shot(number=2, pixels=LARGE[::-1])}),
    "folder told by a later one": lambda: packed({
        "Katherine/1": instance(number=1), "Katherine/2": instance(number=2, SeriesDescription="Katherine")}),
    "archives in it": lambda: packed({
        "a.zip": packed({"Katherine/1": instance(number=1)}), **series(2), "n.zip": packed({"n": b"text"}),
        "b.zip": packed({"2": instance(number=9, SeriesDescription="Katherine"), "x.zip": packed(series(1))})}),
    "archive of somebody else in it": lambda: packed({**series(2), "b.zip": packed({"1": instance("P2")})}),
    "two descriptions": lambda: packed({f"{n}": instance(number=n, ProtocolName=f"P{n % 2}") for n in range(6)}),
    "two patients": lambda: packed({**series(3), "b": instance("P2"), "c": instance(number=8)}),
    "two patients, damaged": lambda: damaged(3, {**series(3), "b": shot("P2")}),
    "cut, then damaged": lambda: damaged(3, {**series(2), "cut": instance(number=9)[:-3], "z": instance(number=10)}),
    "damaged, then cut": lambda: damaged(1, {**series(2), "cut": instance(number=9)[:-3]}),
    "damaged": lambda: damaged(4, series(6)),
    "nobody's": lambda: packed({"notes.txt": b"text", "b.txt": b"text"}),
    "stray": lambda: packed({**series(2), "notes.txt": b"text"}),
    "no archive": lambda: packed(series(3))[:-30],
    "a name twice": lambda: packed({**series(2), "a//IM1": b"text"}),
    "an archive inside": lambda: packed({**series(2), "in.zip": packed(series(1))}),
}  # fmt: skip


def outcome(folder: Path, data: bytes, text: str, shares: int, strict: bool, lost: tuple[int, ...] = ()) -> Any:
    """Return all that comes of an archive, with some shares of it lost."""
    source, out = folder / "in.zip", folder / "out.zip"
    source.write_bytes(data)

    def context(made: Shares | None) -> Context:
        notes, watch = Notes(collect=True), Watch(by_id=True, strict=strict)
        profile = parse_profile(text, "p.yaml")
        return Context(
            profile, Keyring(b"k" * 32), "id 1:P", date(2026, 1, 1), "strict", notes=notes, watch=watch, shares=made,
            log=True,
        )  # fmt: skip

    parts: list[tuple[Path, dict[int, Record]]] = []
    for share in range(shares):
        part = folder / f"part{share}"
        try:
            records = make_share(source, "in.zip", context(None), part, share, shares)
        except Unfit:
            continue
        if share not in lost:
            parts.append((part, pickle.loads(pickle.dumps(records))))
    ctx = context(Shares(parts) if parts else None)
    try:
        result = deidentify(source, "in.zip", ctx, out)
    except Unfit as error:
        return type(error), str(error)
    if isinstance(result, Skipped):
        return result
    assert isinstance(result, Result)
    watched = ctx.watch.met, ctx.watch.notes, ctx.watch.holds
    assert result.originals is not None
    told = result.originals.told()
    return replace(result, originals=None), out.read_bytes(), list(ctx.notes.ids), watched, told


@pytest.mark.parametrize("strict", [True, False], ids=["strict", "warn"])
@pytest.mark.parametrize("name", ARCHIVES)
def test_what_comes_of_an_archive_is_the_same(tmp_path: Path, name: str, strict: bool) -> None:
    data = ARCHIVES[name]()
    for text in (SITE, NAMED.format(strict="false"), NAMED.format(strict="true")):
        alone = outcome(tmp_path, data, text, 0, strict)
        for shares in (2, 3):
            assert outcome(tmp_path, data, text, shares, strict) == alone
        assert outcome(tmp_path, data, text, 3, strict, lost=(1,)) == alone


def test_archives_of_this_test_come_to_different_ends(tmp_path: Path) -> None:
    """The test above could not fail, if all of them were refused for one thing."""
    ends = {name: outcome(tmp_path, data(), SITE, 0, True) for name, data in ARCHIVES.items()}
    released = {name for name, end in ends.items() if isinstance(end[0] if isinstance(end, tuple) else end, Result)}
    refused = {end[1] for name, end in ends.items() if isinstance(end, tuple) and name not in released}
    assert len(released) >= 8 and len(refused) >= 5, refused


def reports(desk: Desk, folder: Path) -> Any:
    summary = json.loads((folder / "summary.json").read_text())
    kept = {key: summary[key] for key in ("states", "actions", "totals", "skipped")}
    return timeless(desk.rows(reports=folder)), (folder / "audit.csv").read_bytes(), kept


@pytest.mark.parametrize("workers", ["2", "5"])
def test_run_on_few_archives(desk: Desk, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, workers: str) -> None:
    monkeypatch.setattr("fw_gear_deid.runner.shares._WORTH", 5000)
    desk.put(
        {"S/V/A/1.zip": packed(series(7)), "S/V/A/small.dcm": instance(series=9)}
        if workers == "5"
        else {"S/V/A/1.zip": mixed()}
    )
    assert desk.run("--workers", "1", "--reports", str(tmp_path / "r1"), dest=tmp_path / "o1").code == 0
    done = desk.run("--workers", workers)
    assert done.code == 0, done.err
    assert desk.there() == {
        path.relative_to(tmp_path / "o1").as_posix(): path.read_bytes() for path in (tmp_path / "o1").rglob("*.*")
        if path.is_file()
    }  # fmt: skip
    assert reports(desk, desk.reports) == reports(desk, tmp_path / "r1")
    assert not (desk.private / ".work").exists()


def test_members_are_made_by_others(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who joins would make what it misses: here it may not."""
    monkeypatch.setattr("fw_gear_deid.runner.shares._WORTH", 5000)
    monkeypatch.setattr("fw_gear_deid.deid.shares.made", None)
    desk.put({"S/V/A/1.zip": packed(series(7))})
    done = desk.run("--workers", "2")
    assert done.code == 0, done.err
    assert desk.rows()[0]["members"] == "7"


def test_small_archive_needs_no_process(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fw_gear_deid.runner.pool._Worker", None)
    desk.put({"S/V/A/1.zip": packed(series(2))})
    assert desk.run("--workers", "2").code == 0
