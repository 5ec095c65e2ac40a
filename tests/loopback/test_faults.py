"""Everything that the loopback platform can do wrong, seen by the real SDK."""

from __future__ import annotations

import hashlib
import threading
from pathlib import Path
from typing import Any

import pytest

from . import Container, LoopbackServer, World, connect, serve
from .sdk import spec

flywheel = pytest.importorskip("flywheel")
ApiException = flywheel.rest.ApiException

pytestmark = pytest.mark.filterwarnings("error")


def test_503_is_retried_by_the_sdk(world: World, client: Any, project: Container) -> None:
    fault = world.faults.add("status", "GET /projects/", times=2)
    assert client.get_project(project.id).label == "Study A"
    assert fault.hits == 2
    statuses = [record.status for record in world.log.matching("GET /projects/")]
    assert statuses == [503, 503, 200]


def test_reset_before_an_answer_is_retried_by_the_sdk(world: World, client: Any, project: Container) -> None:
    world.faults.add("reset", "GET /projects/")
    assert client.get_project(project.id).label == "Study A"
    assert [record.status for record in world.log.matching("GET /projects/")] == [None, 200]


def test_500_and_posts_are_not_retried(world: World, client: Any, project: Container) -> None:
    world.faults.add("status", "GET /projects/", code=500)
    world.faults.add("status", "POST /subjects", code=503)
    seen = client.get_project
    with pytest.raises(ApiException, match="500"):
        seen(project.id)
    with pytest.raises(ApiException, match="503"):
        seen(project.id).add_subject(label="S")


def test_429_says_when_to_come_back(world: World, client: Any, project: Container) -> None:
    world.faults.add("status", "GET /projects/", code=429, headers={"Retry-After": "0.01"})
    assert client.get_project(project.id).label == "Study A"


def test_failure_after_commit(world: World, client: Any, project: Container) -> None:
    world.faults.add("status", "POST /subjects", code=502, when="after")
    with pytest.raises(ApiException, match="502"):
        client.get_project(project.id).add_subject(label="S")
    assert [at.label for at in world.below(project)] == ["S"]


def test_second_matching_request_only(world: World, client: Any, project: Container) -> None:
    world.faults.add("status", lambda r: r.query.get("filter") == "a=1", skip=1, code=500)
    subjects = client.get_project(project.id).subjects
    assert subjects.find("a=1", limit=1) == []
    with pytest.raises(ApiException, match="500"):
        subjects.find("a=1", limit=1)
    assert subjects.find("a=1", limit=1) == []


def test_download_cut_short_leaves_a_partial_file(
    world: World, client: Any, acquisition: Container, tmp_path: Path
) -> None:
    world.add_file(acquisition, "f.bin", bytes(200_000))
    world.faults.add("cut", r"GET .*/files/f\.bin", keep=0.7)
    with pytest.raises(Exception, match=r"incomplete|peer closed"):
        client.download_file_from_container(acquisition.id, "f.bin", str(tmp_path / "f"))
    assert (tmp_path / "f").stat().st_size < 200_000


def test_corrupt_download_has_the_right_length(world: World, client: Any, acquisition: Container) -> None:
    stored = world.add_file(acquisition, "f.bin", bytes(2000))
    world.faults.add("corrupt", "/files/f.bin")
    got = client.download_file_from_container_as_data(acquisition.id, "f.bin")
    assert (len(got), got == stored.content) == (2000, False)


@pytest.mark.parametrize(("when", "names"), [("request", []), ("response", ["f.bin"])])
def test_reset_while_uploading(world: World, client: Any, acquisition: Container, when: str, names: list[str]) -> None:
    world.faults.add("reset", "POST .*/files$", when=when)
    with pytest.raises(Exception, match=r"reset|disconnected|peer closed|Broken pipe"):
        client.upload_file_to_container(acquisition.id, spec("f.bin", bytes(3_000_000)))
    assert list(acquisition.files) == names
    assert world.requests[-1].status is None


def test_reset_while_downloading(world: World, client: Any, acquisition: Container) -> None:
    world.add_file(acquisition, "f.bin", bytes(3_000_000))
    world.faults.add("reset", "GET .*/f.bin", when="response")
    with pytest.raises(Exception, match=r"reset|peer closed"):
        client.download_file_from_container_as_data(acquisition.id, "f.bin")


def test_destination_is_full(world: World, client: Any, acquisition: Container) -> None:
    world.faults.add("status", "POST .*/files$", code=507, skip=1, times=None)
    client.upload_file_to_container(acquisition.id, spec("1", b"1"))
    for _ in range(2):
        with pytest.raises(ApiException, match="507"):
            client.upload_file_to_container(acquisition.id, spec("2", b"2"))


def test_other_client_wins_the_race(world: World, client: Any, project: Container) -> None:
    world.faults.add("race409", "POST /subjects")
    found = client.get_project(project.id)
    assert found.subjects.find_first('label="S"') is None
    with pytest.raises(ApiException, match="409"):
        found.add_subject(label="S")
    assert found.subjects.find_first('label="S"').label == "S"


def test_key_expires(world: World, client: Any, project: Container) -> None:
    world.faults.add("expire_key", "GET /projects/", skip=1)
    client.get_project(project.id)
    for _ in range(2):
        with pytest.raises(ApiException, match="401"):
            client.get_project(project.id)


@pytest.mark.parametrize("signed", [False, True], ids=["direct", "signed"])
@pytest.mark.parametrize(("kind", "size"), [("store_truncated", 500), ("store_corrupt", 1000)])
def test_stored_upload_is_not_what_was_sent(
    world: World, client: Any, acquisition: Container, signed: bool, kind: Any, size: int
) -> None:
    world.features["signed_url"] = signed
    world.faults.add(kind, "PUT /signed/" if signed else "POST .*/files$")
    content = bytes(1000)
    [file] = client.upload_file_to_container(acquisition.id, spec("f", content))
    assert file.size == size
    assert file.hash != hashlib.sha384(content).hexdigest()


def test_failed_signed_part_leaves_an_empty_file(world: World, client: Any, acquisition: Container) -> None:
    world.features["signed_url"] = True
    world.faults.add("status", "PUT /signed/", code=500)
    with pytest.raises(ApiException, match="500"):
        client.upload_file_to_container(acquisition.id, spec("f", b"content"))
    assert acquisition.files["f"].content == b""


def test_delay_and_slow_stream(world: World, client: Any, acquisition: Container) -> None:
    world.add_file(acquisition, "f.bin", bytes(1000))
    world.faults.add("slow", "/f.bin", seconds=0.1)
    world.faults.add("delay", "/f.bin", seconds=0.1)
    got = client.download_file_from_container_as_data(acquisition.id, "f.bin")
    assert got == bytes(1000)


def test_many_clients_at_once(world: World, server: LoopbackServer, project: Container) -> None:
    def work(number: int) -> None:
        with connect(server.key()) as client:
            subject = client.get_project(project.id).add_subject(label=f"S{number}")
            subject.upload_file(spec("f.bin", bytes(100_000)))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(len(at.files) for at in world.below(project)) == 6


def test_mistakes_of_the_server_fail_the_test(world: World) -> None:
    world.features = None  # type: ignore[assignment]
    with (
        pytest.raises(RuntimeError, match="loopback server failed"),
        serve(world) as server,
        connect(server.key()) as client,
        pytest.raises(ApiException, match="500"),
    ):
        client.get_config()
