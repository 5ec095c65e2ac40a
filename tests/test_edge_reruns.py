"""Reruns where a platform is one end: from a folder, and to a folder, the ledger knows what was made of what."""

from __future__ import annotations

import contextlib
import csv
import io
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("flywheel")

from fw_gear_deid import api, options
from fw_gear_deid.model.errors import UsageError
from fw_gear_deid.stores.flywheel.client import disconnect
from tests.desk import instance, packed
from tests.site import PROFILE, Site, child, kept, scan
from tests.site import held as containers

STRICTER = PROFILE + "    - name: PatientSex\n      remove: true\n"
FILES = {"P1/V/A/scan.dicom.zip": 1, "P2/V/A/scan.dicom.zip": 2}


@pytest.fixture
def site(site: Site, monkeypatch: pytest.MonkeyPatch) -> Site:
    """A folder ``in`` with two archives, an empty source project and an empty destination."""
    monkeypatch.setenv("FW_API_KEY", site.server.key())
    for path, number in FILES.items():
        put(site, "in", path, number)
    return site


def put(site: Site, folder: str, path: str, series: int, **values: Any) -> Path:
    at = site.folder / folder / path
    at.parent.mkdir(parents=True, exist_ok=True)
    at.write_bytes(packed({"1.dcm": instance(path[:2], series=series, **values)}))
    return at


def run(site: Site, source: str = "in", dest: str = "fw://lab/Clean", profile: str = PROFILE, **more: Any) -> int:
    """Run the command in this process."""
    path = site.folder / "p.yaml"
    path.write_text(profile, encoding="utf-8")
    source, dest = (one if one.startswith("fw:") else str(site.folder / one) for one in (source, dest))
    values = {"reports": site.folder / "reports", "workers": 1, "quiet": True} | more
    asked = options.made({**values, "source": source, "dest": dest, "profile": path})
    with contextlib.redirect_stderr(io.StringIO()):
        return api.carry_out(asked, lambda text: None).code


def rows(site: Site, reports: str = "reports") -> list[dict[str, str]]:
    text = (site.folder / reports / "private" / "files.csv").read_text(encoding="utf-8")
    return list(csv.DictReader(io.StringIO(text, newline="")))


def states(site: Site, reports: str = "reports") -> list[str]:
    return [row["state"] for row in rows(site, reports)]


def held(site: Site) -> dict[str, list[bytes]]:
    """Return every file at the destination with its versions, the oldest first."""
    return {file.id: [file.versions[number].content for number in sorted(file.versions)] for file in kept(site)}


# -- from a folder -------------------------------------------------------------------------------------


@pytest.mark.parametrize("more", [{}, {"check": True}, {"exists": "replace"}, {"exists": "replace", "check": True}])
def test_a_rerun_sends_nothing(site: Site, more: dict[str, Any]) -> None:
    assert run(site) == 0 and states(site) == ["released", "released"]
    before = held(site)
    site.world.log.reset()
    assert run(site, **more) == 0
    assert states(site) == ["skipped", "skipped"]
    assert all(row["reason"].startswith("unchanged") for row in rows(site))
    assert held(site) == before
    assert not site.world.log.count("^(POST|PUT|DELETE) .*files")


@pytest.mark.parametrize("how", ["cut", "replaced", "gone"])
def test_what_was_changed_at_the_destination_is_made_anew(site: Site, how: str) -> None:
    assert run(site) == 0
    file, other = kept(site)
    whole = file.content
    if how == "cut":
        file.current.content = whole[:10]
    elif how == "replaced":
        site.world.add_file(file.parent, file.name, b"theirs", type="dicom")
    else:
        del site.world.files[file.id], file.parent.files[file.name]
    stays = list(other.versions)
    assert run(site) == 0
    assert sorted(states(site)) == ["released", "skipped"]
    assert sorted(one.content for one in kept(site)) == sorted([whole, other.content])
    assert list(other.versions) == stays
    if how == "replaced":
        assert b"theirs" in [one.content for one in file.versions.values()], "what somebody put there is not deleted"
    assert run(site) == 0 and states(site) == ["skipped", "skipped"]


def test_a_stricter_profile_takes_the_place_of_the_older_version(site: Site) -> None:
    assert run(site) == 0
    before = held(site)
    assert run(site, profile=STRICTER) == 1
    assert all(row["reason"].startswith("stale") for row in rows(site))
    assert held(site) == before
    assert run(site, profile=STRICTER, exists="replace") == 0
    assert states(site) == ["released", "released"]
    after = held(site)
    assert after.keys() == before.keys() and all(len(versions) == 1 for versions in after.values())
    assert all(after[key] != before[key] for key in after)
    assert run(site, profile=STRICTER) == 0 and states(site) == ["skipped", "skipped"]


def test_another_name_takes_the_place_of_the_former(site: Site) -> None:
    assert run(site) == 0
    renamed = STRICTER + "zip:\n  filenames:\n    - input-regex: '.*'\n      output: new.dicom.zip\n"
    assert run(site, profile=renamed, exists="replace") == 0
    assert [file.name for file in kept(site)] == ["new.dicom.zip"] * 2


def test_prune_takes_back_what_the_folder_has_no_more(site: Site) -> None:
    assert run(site) == 0
    theirs = site.world.add_file(kept(site)[0].parent, "notes.txt", b"theirs")
    (site.folder / "in" / "P1/V/A/scan.dicom.zip").unlink()
    assert run(site) == 0 and sorted(states(site)) == ["orphan", "skipped"]
    assert run(site, prune=True, dry_run=True) == 0 and len(kept(site)) == 3
    assert run(site, prune=True) == 0 and len(kept(site)) == 2
    assert theirs in kept(site)
    assert run(site, prune=True) == 0 and states(site) == ["skipped"]


def test_an_orphan_that_somebody_replaced_stays(site: Site) -> None:
    assert run(site) == 0
    for file in kept(site):
        site.world.add_file(file.parent, file.name, b"theirs", type="dicom")
    (site.folder / "in" / "P1/V/A/scan.dicom.zip").unlink()
    assert run(site, prune=True) == 0
    assert len(kept(site)) == 2
    assert any("it stays" in row["reason"] for row in rows(site))


@pytest.mark.parametrize("more", [{}, {"exists": "replace"}, {"prune": True}, {"exists": "replace", "prune": True}])
def test_another_folders_files_are_never_taken_back(site: Site, more: dict[str, Any]) -> None:
    """Two people upload, each with a ledger of their own; both have labels and names alike."""
    (site.folder / "key").write_bytes(b"0123456789abcdef0123456789abcdef")
    assert run(site, key_file=site.folder / "key", labels="keep") == 0
    before = held(site)
    put(site, "other", "P1/V/A/scan.dicom.zip", 7)
    code = run(site, "other", reports=site.folder / "second", labels="keep", **more)
    assert code == (0 if "exists" in more else 1)
    after = held(site)
    assert after.keys() == before.keys()
    assert all(set(before[key]) <= set(after[key]) for key in before)


def test_a_lost_ledger_with_the_same_key_finds_the_very_bytes(site: Site) -> None:
    (site.folder / "key").write_bytes(b"0123456789abcdef0123456789abcdef")
    assert run(site, key_file=site.folder / "key") == 0
    before = held(site)
    assert run(site, key_file=site.folder / "key", reports=site.folder / "second") == 0
    assert states(site, "second") == ["skipped", "skipped"]
    assert held(site) == before


def test_a_refused_file_keeps_no_earlier_result(site: Site) -> None:
    assert run(site) == 0
    two = {f"{n}.dcm": instance("P1", series=1, number=n, PatientBirthDate=f"19{n}00101") for n in (1, 2)}
    (site.folder / "in" / "P1/V/A/scan.dicom.zip").write_bytes(packed(two))
    assert run(site) == 1
    assert states(site) == ["refused", "skipped"] and len(kept(site)) == 1


def test_replace_and_prune_ask_for_the_right_to_delete(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site.world.roles["adder"] = site.world.roles["admin"] - {"files_delete_non_device_data"}
    user = site.world.add_user("ann")
    site.destination.permissions[user] = ["adder"]
    monkeypatch.setenv("FW_API_KEY", site.server.key(user))
    disconnect()
    assert run(site) == 0
    for more in ({"exists": "replace"}, {"prune": True}):
        with pytest.raises(UsageError, match="delete files"):
            run(site, **more)


def test_labels_of_before_do_not_stay(site: Site) -> None:
    """Containers that an upload made go when they are empty; those of somebody else stay."""
    theirs = site.world.add_subject(site.destination, "P2")
    assert run(site, labels="keep") == 0
    assert {one.label for one in containers(site, "subject")} == {"P1", "P2"}
    assert run(site, exists="replace") == 0
    labels = {one.label for one in containers(site, "subject")}
    assert "P1" not in labels and theirs.id in {one.id for one in containers(site, "subject")}
    assert [len(containers(site, kind)) for kind in ("subject", "session", "acquisition")] == [3, 2, 2]
    assert run(site) == 0 and states(site) == ["skipped", "skipped"]


def test_another_key_makes_all_of_an_upload_anew(site: Site) -> None:
    assert run(site) == 0
    before = {one.label for one in containers(site, "subject")}
    assert run(site, new_key=True) == 0
    after = {one.label for one in containers(site, "subject")}
    assert len(kept(site)) == len(after) == 2 and not before & after


# -- to a folder ---------------------------------------------------------------------------------------


def there(site: Site, folder: str = "out") -> dict[str, bytes]:
    root = site.folder / folder
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*.dicom.zip")}


def export(site: Site, source: str = "fw://lab/Stored", **more: Any) -> int:
    return run(site, source, "out", **({"labels": "keep"} | more))


@pytest.mark.parametrize("exists", ["skip", "replace"])
def test_a_session_that_was_moved_at_the_source_follows(site: Site, exists: str) -> None:
    file = scan(site, "P1/V1/T1", 1)
    scan(site, "P2/V2/T1", 2)
    assert export(site) == 0
    session = file.parent.parent
    assert session is not None
    session.parent = child(site, site.source, "P2")
    assert export(site, exists=exists) == 0
    assert sorted(there(site)) == ["P2/V1/T1/scan.dicom.zip", "P2/V2/T1/scan.dicom.zip"]
    assert export(site) == 0 and states(site) == ["skipped", "skipped"]


def test_a_file_deleted_at_the_source_is_an_orphan_of_the_export(site: Site) -> None:
    file = scan(site, "P1/V1/T1", 1)
    scan(site, "P2/V2/T1", 2)
    assert export(site) == 0
    session = file.parent.parent
    assert session is not None and session.parent is not None
    site.world.remove(session.parent)
    assert export(site) == 0 and sorted(states(site)) == ["orphan", "skipped"]
    assert len(there(site)) == 2
    assert export(site, "fw://lab/Stored/P2", prune=True) == 0
    assert len(there(site)) == 2 and "orphan" not in states(site)
    assert export(site, prune=True) == 0
    assert list(there(site)) == ["P2/V2/T1/scan.dicom.zip"]


def test_an_export_of_one_project_leaves_that_of_another(site: Site) -> None:
    scan(site, "P1/V1/T1", 1)
    assert export(site) == 0
    group = site.source.parent
    assert group is not None
    site.source = site.world.add_project(group, "Second")
    scan(site, "P2/V1/T1", 2)
    assert export(site, "fw://lab/Second", prune=True) == 0
    assert sorted(there(site)) == ["P1/V1/T1/scan.dicom.zip", "P2/V1/T1/scan.dicom.zip"]
    assert export(site, "fw://lab/Second/P2") == 0 and states(site) == ["skipped"]


# -- from project to project ---------------------------------------------------------------------------


def test_ids_of_what_is_unchanged_are_told(site: Site) -> None:
    scan(site, "P1/V1/T1", 1)
    ids = site.folder / "ids.csv"
    assert run(site, "fw://lab/Stored", ids=ids) == 0
    first = ids.read_text(encoding="utf-8")
    site.world.log.reset()
    ids.unlink()
    assert run(site, "fw://lab/Stored", ids=ids) == 0
    assert states(site) == ["skipped"]
    assert ids.read_text(encoding="utf-8") == first and len(first.splitlines()) == 2
    assert not site.world.log.count("^(POST|PUT|DELETE) .*files")


def test_a_part_of_a_project_is_no_reason_to_prune(site: Site) -> None:
    file = scan(site, "P1/V1/T1", 1)
    scan(site, "P2/V1/T1", 2)
    assert run(site, "fw://lab/Stored") == 0
    session = file.parent.parent
    assert session is not None
    site.world.remove(session)
    for part in ({"source": "fw://lab/Stored/P2"}, {"source": "fw://lab/Stored", "only": ("P2",)}):
        assert run(site, **part, prune=True) == 0
        assert len(kept(site)) == 2
    assert run(site, "fw://lab/Stored", prune=True) == 0
    assert len(kept(site)) == 1
