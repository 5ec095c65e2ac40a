"""What a platform has after uploads that went wrong: whole files that are ours, or what stood there before."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("flywheel")

from fw_gear_deid.model.ports import Destination, Upload, Wanted
from fw_gear_deid.stores.flywheel.sink import FlywheelSink
from tests.loopback import Request
from tests.site import PROFILE, Site, held, kept, scan

OTHER = PROFILE + "    - name: PatientSex\n      remove: true\n"
SAME = PROFILE + "    - name: PatientComments\n      remove: true\n"  # there are none
UPLOAD = r"^POST .*/files"
DAMAGED: list[tuple[str, dict[str, Any]]] = [
    ("store_corrupt", {}), ("store_truncated", {"keep": 0.5}), ("status", {"code": 503, "when": "before"}),
    ("reset", {"when": "request", "keep": 0.5}),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "options"), DAMAGED, ids=lambda value: str(value))
def test_what_never_arrives_whole_is_not_left_there(site: Site, kind: Any, options: dict[str, Any]) -> None:
    scan(site, "P1/V1/T1", 1)
    site.world.faults.add(kind, UPLOAD, times=None, **options)
    assert site.here()[0] == 1
    assert site.states() == {"failed": 1}
    assert kept(site) == []
    site.world.faults.clear()
    assert site.here(name="again")[0] == 0
    assert len(kept(site)) == 1


@pytest.mark.parametrize("mode", ["Replace", "Cleanup", "Cleanup_force"])
@pytest.mark.parametrize(("kind", "options"), DAMAGED, ids=lambda value: str(value))
def test_what_stood_before_stands_until_the_new_one_was_verified(
    site: Site, kind: Any, options: dict[str, Any], mode: str
) -> None:
    scan(site, "P1/V1/T1", 1)
    assert site.here()[0] == 0
    [file] = kept(site)
    before = file.content
    site.world.faults.add(kind, UPLOAD, times=None, **options)
    assert site.here(name="again", profile=OTHER, overwrite_files=mode)[0] == 1
    assert site.states("again") == {"failed": 1}
    assert [one.content for one in kept(site)] == [before]
    assert [list(one.versions) for one in kept(site)] == [[1]]
    site.world.faults.clear()
    assert site.here(name="third", profile=OTHER, overwrite_files=mode)[0] == 0
    [file] = kept(site)
    assert len(file.versions) == 1 and file.content != before


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("profile", [OTHER, SAME], ids=["other bytes", "same bytes"])
def test_an_older_version_is_not_taken_for_the_new_upload(site: Site, profile: str, when: str) -> None:
    """The platform says that it failed: what stands there is asked for, and it has to be the new one."""
    scan(site, "P1/V1/T1", 1)
    secret = "a secret of these tests"
    assert site.here(secret=secret)[0] == 0
    [old] = kept(site)
    before = old.content
    fault = site.world.faults.add("status", UPLOAD, code=503, when=when)
    site.world.log.reset()
    assert site.here(name="again", profile=profile, overwrite_files="Replace", secret=secret)[0] == 0
    assert (fault.hits, site.world.log.count(UPLOAD)) == (1, 2 if when == "before" else 1)
    [file] = kept(site)
    assert (file.content == before) == (profile == SAME)
    assert [one for one in site.world.deletions if one.name != file.name] == []
    assert list(file.versions) == [2]
    assert site.here(name="third", profile=profile, secret=secret)[0] == 0
    assert site.rows("third")[0]["reason"].startswith("unchanged")


def test_a_platform_without_digests_is_asked_for_the_size(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    from fw_gear_deid.stores.flywheel import sink

    monkeypatch.setattr(sink, "plain_digest", lambda text: "")
    scan(site, "P1/V1/T1", 1)
    site.world.faults.add("store_truncated", UPLOAD, keep=0.5)
    assert site.here()[0] == 0
    [file] = kept(site)
    assert len(file.content) == int(site.rows()[0]["bytes_out"])


@pytest.mark.parametrize("mode", ["Replace", "Cleanup_force"])
def test_a_file_of_another_source_is_never_replaced(site: Site, mode: str) -> None:
    """It came there under the same name since this run looked; its origin tells that it is no older result of ours."""
    scan(site, "P1/V1/T1", 1)
    assert site.here()[0] == 0
    [file] = kept(site)
    before = file.content
    file.info["export"] |= {"origin_id": "another source"}
    assert site.here(name="again", overwrite_files=mode, labels="keep")[0] == 1
    assert [(one.content, list(one.versions)) for one in kept(site)] == [(before, [1])]


def test_somebodys_file_that_came_since_the_look_stays(site: Site) -> None:
    chain = tuple(Wanted(level, f"{level}-1", f"origin of {level}") for level in ("subject", "session", "acquisition"))
    parent = site.world.add_session(site.world.add_subject(site.destination, "subject-1"), "session-1")
    theirs = site.world.add_file(site.world.add_acquisition(parent, "acquisition-1"), "scan.dcm", b"theirs")
    sink = FlywheelSink(site.server.key(), site.destination.id, match_by_id=frozenset())
    (site.folder / "result").write_bytes(b"ours")
    upload = Upload("origin of file", "f", 1, "s", 4, version="v", root="r")
    with pytest.raises(FileExistsError):
        sink.put(site.folder / "result", Destination(chain, "scan.dcm"), upload, replace=False)
    assert kept(site) == [theirs] and [one.content for one in theirs.versions.values()] == [b"theirs"]
    sink.put(site.folder / "result", Destination(chain, "scan.dcm"), upload, replace=True)
    assert theirs.content == b"ours"


@pytest.mark.parametrize("what", ["file", "note", "container"])
def test_a_container_that_holds_something_is_not_deleted(site: Site, what: str) -> None:
    """Renaming at the source leaves a session behind, into which somebody has put something meanwhile."""
    first = scan(site, "P1/V1/T1", 1)
    scan(site, "P2/V1/T1", 2)
    assert site.here()[0] == 0
    [ours] = [one for one in held(site, "session") if one.above("subject") is not None][:1]
    came: list[Request] = []

    def come(request: Request) -> bool:
        if request.method == "GET" and request.path == f"/sessions/{ours.id}" and not came:
            came.append(request)
            if what == "file":
                site.world.add_file(ours, "notes.txt", b"theirs")
            elif what == "note":
                site.world.add_note(ours, "theirs")
            else:
                site.world.add_acquisition(ours, "theirs")
        return False

    site.world.remove(first.parent.parent.parent)
    site.world.faults.add("delay", come)
    code, said = site.here(name="again", prune=True)
    assert code == 0 and len(came) == 1
    assert "of no more use; it stays: somebody has put something into it" in said
    assert ours in held(site, "session")
