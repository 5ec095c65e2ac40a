"""One contract for every store: whatever lists and keeps files does it as the ports say."""

from __future__ import annotations

import errno
import gc
import os
import pickle
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

import pytest

from fw_gear_deid.model.ports import LEVELS, Destination, Item, Sink, Source, Upload, Wanted
from fw_gear_deid.stores.folder import FolderSink, FolderSource
from fw_gear_deid.stores.memory import MemorySink, MemorySource
from tests.desk import Ran, contents, folders, forked
from tests.loopback import World, serve

TREE = {
    "S1/V1/A1/one.dcm": b"1" * 10, "S1/V1/A1/two.txt": b"2", "S1/V1/A2/one.dcm": b"3" * 5000,
    "S1/V2/A1/Größe (名前).bin": bytes(range(256)), "S2/V1/A1/one.dcm": b"1" * 10, "S2/V1/A1/empty": b"",
}  # fmt: skip
UNCLOSED = pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")  # the SDK leaves them to the collector
KINDS = ["folder", "memory", pytest.param("platform", marks=UNCLOSED)]


@dataclass
class Stocked:
    """A source that holds ``TREE``, with a way to change a file behind its back."""

    source: Source
    change: Callable[[str, bytes], None]
    everything: Callable[[], object]
    remove: Callable[[str], object]

    def paths(self) -> dict[str, Item]:
        items = list(self.source.items())
        labels = {branch.record.id: branch.labels for branch in self.source.containers(list(self.source.items()))}
        return {"/".join((*labels[item.containers[-1]], item.name)): item for item in items}


def in_folder(tmp_path: Path) -> Stocked:
    root = tmp_path / "tree"

    def put(path: str, data: bytes) -> None:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(data)

    for path, data in TREE.items():
        put(path, data)
    return Stocked(
        FolderSource(root), put, lambda: (contents(root), folders(root)), lambda path: (root / path).unlink()
    )


def in_memory() -> Stocked:
    source = MemorySource(dict(TREE))
    return Stocked(source, source.files.__setitem__, lambda: dict(source.files), source.files.pop)


def on_platform(stack: ExitStack) -> Stocked:
    pytest.importorskip("flywheel")
    from fw_gear_deid.stores.flywheel.source import FlywheelSource

    world = World()
    project = world.add_project(world.add_group("lab"), "Stored")
    held = {(): project}

    def put(path: str, data: bytes) -> None:
        *labels, name = path.split("/")
        for depth, level in enumerate(LEVELS, 1):
            key = tuple(labels[:depth])
            if key not in held:
                held[key] = world.add(level, held[key[:-1]], label=key[-1])
        world.add_file(held[tuple(labels)], name, data)

    def remove(path: str) -> None:
        *labels, name = path.split("/")
        held[tuple(labels)].files.pop(name)

    for path, data in TREE.items():
        put(path, data)
    server = stack.enter_context(serve(world))
    source = FlywheelSource(server.key(), "project", project.id, project.id)
    return Stocked(source, put, lambda: world.everything_at(project), remove)


@pytest.fixture(params=KINDS)
def stocked(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Stocked]:
    with ExitStack() as stack:
        match request.param:
            case "folder":
                yield in_folder(tmp_path)
            case "memory":
                yield in_memory()
            case _:
                yield on_platform(stack)
                gc.collect()


def test_every_file_is_listed_once_in_a_stable_order(stocked: Stocked) -> None:
    items = list(stocked.source.items())
    assert stocked.paths().keys() == TREE.keys()
    assert len({item.id for item in items}) == len(items) == len(TREE)
    assert [(item.id, item.version) for item in stocked.source.items()] == [(item.id, item.version) for item in items]
    for path, item in stocked.paths().items():
        assert (item.name, item.size, item.problem, item.loose) == (path.split("/")[-1], len(TREE[path]), "", False)
        assert len(item.containers) == 3


def test_containers_come_outermost_first(stocked: Stocked) -> None:
    used = {key for item in stocked.source.items() for key in item.containers}
    seen: set[str] = set()
    for branch in stocked.source.containers(list(stocked.source.items())):
        assert branch.record.id == branch.keys[-1]
        assert branch.record.label == branch.labels[-1]
        assert branch.record.level == LEVELS[len(branch.keys) - 1]
        assert set(branch.keys[:-1]) <= seen
        assert branch.record.id not in seen
        seen.add(branch.record.id)
    assert seen == used
    labels = {branch.labels for branch in stocked.source.containers(list(stocked.source.items()))}
    assert labels == {tuple(path.split("/")[:depth]) for path in TREE for depth in (1, 2, 3)}


def test_bytes_are_fetched_by_whoever_holds_a_copy(stocked: Stocked, tmp_path: Path) -> None:
    """Workers are other processes."""
    before = stocked.everything()
    items = stocked.paths()
    copy = pickle.loads(pickle.dumps(stocked.source))
    for number, (path, item) in enumerate(items.items()):
        workspace = tmp_path / f"{number}.in"
        workspace.mkdir()
        fetched = copy.fetch(pickle.loads(pickle.dumps(item)), workspace)
        assert fetched.read_bytes() == TREE[path]
    assert stocked.everything() == before


def test_version_follows_the_content_alone(stocked: Stocked) -> None:
    before = {path: item.version for path, item in stocked.paths().items()}
    changed = "S1/V1/A1/one.dcm"
    stocked.change(changed, b"changed!!!")  # as long as it was
    after = {path: item.version for path, item in stocked.paths().items()}
    assert {path for path in TREE if after[path] != before[path]} == {changed}


def test_origin_tells_sources_apart_and_nothing_else(stocked: Stocked) -> None:
    one, again, other = (stocked.source.origin(*parts) for parts in (("a", "1"), ("a", "1"), ("a", "2")))
    assert one == again
    assert (one == other == "") or (one != other and len(one) == 64)


def test_file_that_is_gone_is_an_error_of_the_system(stocked: Stocked, tmp_path: Path) -> None:
    item = stocked.paths()["S1/V1/A2/one.dcm"]
    stocked.remove("S1/V1/A2/one.dcm")
    with pytest.raises(OSError, match=r"."):
        stocked.source.fetch(item, tmp_path).read_bytes()


# -- sinks ---------------------------------------------------------------------------------------------


def place(path: str) -> Destination:
    *labels, name = path.split("/")
    chain = tuple(
        Wanted(level, label, sha256("/".join(labels[: depth + 1]).encode()).hexdigest())
        for depth, (level, label) in enumerate(zip(LEVELS, labels, strict=True))
    )
    return Destination(chain, name)


@dataclass
class Shelf:
    """A sink, what stands in it, and a workspace for results."""

    sink: Sink
    there: Callable[[], dict[str, bytes]]
    workspace: Path
    count: int = field(default=0)

    def put(self, path: str, data: bytes, *, replace: bool = False, fingerprint: str = "f", origin: str = "") -> None:
        self.count += 1
        result = self.workspace / f"{self.count:08d}"
        result.write_bytes(data)
        upload = Upload(
            sha256((origin or path).encode()).hexdigest(), fingerprint, 1, sha256(data).hexdigest(), len(data)
        )
        self.sink.put(result, place(path), upload, replace=replace)


def on_platform_shelf(stack: ExitStack) -> tuple[Sink, Callable[[], dict[str, bytes]]]:
    pytest.importorskip("flywheel")
    from fw_gear_deid.stores.flywheel.sink import FlywheelSink

    world = World()
    project = world.add_project(world.add_group("lab"), "Clean")
    server = stack.enter_context(serve(world))

    def there() -> dict[str, bytes]:
        found = {}
        for file in world.files.values():
            if file.versions:
                labels = [one.label for one in file.parent.lineage() if one.kind in LEVELS]
                found["/".join((*sorted(labels, key=labels.index, reverse=True), file.name))] = file.versions[
                    max(file.versions)
                ].content
        return found

    return FlywheelSink(server.key(), project.id, match_by_id=frozenset()), there


@pytest.fixture(params=KINDS)
def shelf(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Shelf]:
    workspace = tmp_path / "work"
    workspace.mkdir()
    with ExitStack() as stack:
        match request.param:
            case "folder":
                root = tmp_path / "out"
                yield Shelf(FolderSink(root), lambda: contents(root), workspace)
            case "memory":
                sink = MemorySink()
                yield Shelf(sink, lambda: dict(sink.files), workspace)
            case _:
                yield Shelf(*on_platform_shelf(stack), workspace)
                gc.collect()


ONE, TWO, OTHER = "S/V/A/one.zip", "S/V/A/two.zip", "S/V/B/one.zip"


def test_what_is_put_is_there(shelf: Shelf) -> None:
    assert not shelf.sink.exists(place(ONE))
    shelf.put(ONE, b"1")
    shelf.put(OTHER, b"2" * 10000)
    assert shelf.there() == {ONE: b"1", OTHER: b"2" * 10000}
    assert shelf.sink.exists(place(ONE))
    assert not shelf.sink.exists(place(TWO))
    assert not shelf.sink.exists(place("S/V/C/one.zip"))


def test_what_is_there_stays_unless_replaced(shelf: Shelf) -> None:
    shelf.put(ONE, b"1")
    with pytest.raises(FileExistsError):
        shelf.put(ONE, b"2", origin=OTHER)
    assert shelf.there() == {ONE: b"1"}
    shelf.put(ONE, b"3", replace=True)
    shelf.put(TWO, b"4", replace=True)
    assert shelf.there() == {ONE: b"3", TWO: b"4"}


def test_withdrawing_takes_one_file(shelf: Shelf) -> None:
    for path in (ONE, TWO, OTHER):
        shelf.put(path, path.encode())
    shelf.sink.withdraw(place(ONE))
    assert shelf.there() == {TWO: TWO.encode(), OTHER: OTHER.encode()}
    assert not shelf.sink.exists(place(ONE))
    shelf.sink.withdraw(place(ONE))
    shelf.sink.withdraw(place("never/was/there/x.zip"))
    shelf.put(ONE, b"again")
    assert shelf.there()[ONE] == b"again"


def test_earlier_file_is_known_by_its_origin_where_the_store_keeps_it(shelf: Shelf) -> None:
    origin = sha256(ONE.encode()).hexdigest()
    assert list(shelf.sink.earlier(origin)) == []
    shelf.put(ONE, b"12345", fingerprint="f9")
    shelf.put(TWO, b"1")
    found = shelf.sink.earlier(origin)
    if not shelf.sink.remembers:
        assert (list(found), list(shelf.sink.standing())) == ([], [])
        return
    [one] = found
    assert (one.name, one.path, one.fingerprint, one.size, one.whole) == ("one.zip", ONE, "f9", 5, True)
    assert sorted(standing.path for standing in shelf.sink.standing()) == [ONE, TWO]
    assert list(shelf.sink.earlier("another")) == []
    shelf.sink.remove(one)
    assert shelf.there() == {TWO: b"1"}
    assert list(shelf.sink.earlier(origin)) == []


def test_a_source_has_one_result_where_the_store_knows(shelf: Shelf) -> None:
    """The same source under another name or in another container: the older one leaves."""
    if not shelf.sink.remembers:
        return
    shelf.put(ONE, b"1")
    shelf.put(OTHER, b"2", origin=ONE)
    assert shelf.there() == {OTHER: b"2"}


def test_finishing_twice_changes_nothing(shelf: Shelf) -> None:
    shelf.put(ONE, b"1")
    chains = [place(ONE).containers, place("S2/V/A/x").containers[:2]]
    shelf.sink.finish(chains)
    shelf.sink.finish(chains)
    assert shelf.there() == {ONE: b"1"}


def test_result_that_cannot_be_read_leaves_nothing(shelf: Shelf) -> None:
    upload = Upload("o", "f", 1, "s", 1)
    with pytest.raises(OSError, match=r"."):
        shelf.sink.put(shelf.workspace / "nothing", place(ONE), upload, replace=False)
    assert shelf.there() == {}


# -- the folder by itself ------------------------------------------------------------------------------


def test_tree_is_what_is_four_deep(tmp_path: Path) -> None:
    for name in ("top.dcm", "a/b.dcm", "a/b/c.dcm", "a/b/c/in.dcm", "a/b/c/d/e.dcm"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    items = {item.id: item for item in FolderSource(tmp_path).items()}
    assert {name for name, item in items.items() if not item.loose} == {"a/b/c/in.dcm"}
    assert items["a/b/c/in.dcm"].containers == ("a", "a/b", "a/b/c")
    assert all(item.containers == () for item in items.values() if item.loose)
    (only,) = FolderSource(tmp_path / "top.dcm").items()
    assert (only.id, only.loose) == ("top.dcm", True)
    assert FolderSource(tmp_path / "top.dcm").fetch(only, tmp_path) == tmp_path / "top.dcm"


def test_order_is_that_of_names_whatever_the_disk_says(tmp_path: Path) -> None:
    for name in ("b", "a", "Z", "10", "9", "ä"):
        (tmp_path / name).write_bytes(b"")
    assert [item.id for item in FolderSource(tmp_path).items()] == ["10", "9", "Z", "a", "b", "ä"]


def test_withdrawing_removes_folders_that_are_empty_without_it(tmp_path: Path) -> None:
    shelf = Shelf(FolderSink(tmp_path / "out"), lambda: contents(tmp_path / "out"), tmp_path)
    shelf.put(ONE, b"1")
    shelf.put(OTHER, b"2")
    shelf.sink.withdraw(place(ONE))
    assert folders(tmp_path / "out") == {"S", "S/V", "S/V/B"}
    shelf.sink.withdraw(place(OTHER))
    assert folders(tmp_path) == {"out"}


def test_withdrawing_goes_on_where_a_killed_run_ended(tmp_path: Path) -> None:
    shelf = Shelf(FolderSink(tmp_path / "out"), lambda: contents(tmp_path / "out"), tmp_path)
    shelf.put(ONE, b"1")
    (tmp_path / "out" / ONE).unlink()
    (tmp_path / "out" / ONE).parent.rmdir()
    shelf.sink.withdraw(place(ONE))
    assert folders(tmp_path) == {"out"}


def test_folder_without_hard_links_keeps_what_is_there(tmp_path: Path) -> None:
    shelf = Shelf(FolderSink(tmp_path / "out"), lambda: contents(tmp_path / "out"), tmp_path)

    def refuse(event: str, path: str) -> None:
        if event == "os.link":
            raise OSError(errno.EPERM, os.strerror(errno.EPERM))

    def work() -> Ran:
        shelf.put(ONE, b"1")
        with pytest.raises(FileExistsError):
            shelf.put(ONE, b"2")
        return Ran(0, "", "")

    done = forked(work, refuse)
    assert done.code == 0, done.err
    assert shelf.there() == {ONE: b"1"}


def test_folder_takes_results_from_another_file_system(tmp_path: Path) -> None:
    """What arrives there is copied, then gets its name: never a part of it."""
    shelf = Shelf(FolderSink(tmp_path / "out"), lambda: contents(tmp_path / "out"), tmp_path)
    seen: list[dict[str, bytes]] = []

    def elsewhere(event: str, path: str) -> None:
        if event in ("os.link", "os.rename") and ".partial" not in path:
            raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))
        if event in ("os.link", "os.rename"):
            seen.append(shelf.there())

    def work() -> Ran:
        shelf.put(ONE, b"1" * 100000)
        shelf.put(ONE, b"2", replace=True)
        with pytest.raises(FileExistsError):
            shelf.put(ONE, b"3")
        names = [sorted(one) for one in seen]
        assert names == [["S/V/A/.one.zip.partial"], *[["S/V/A/.one.zip.partial", ONE]] * 2]
        return Ran(0, "", "")

    done = forked(work, elsewhere)
    assert done.code == 0, done.err
    assert shelf.there() == {ONE: b"2"}
