"""What stands at a destination, and what the ledger knows of it, after replacing, taking back or putting went wrong."""

from __future__ import annotations

import errno
import os
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from fw_gear_deid.deid import Context
from fw_gear_deid.deid.incoming import Incoming
from fw_gear_deid.deid.member import deidentify_member
from fw_gear_deid.keys import Keyring
from fw_gear_deid.ledger.state import State
from fw_gear_deid.model.errors import Unfit
from fw_gear_deid.profile.parse import parse_profile
from fw_gear_deid.runner import workers
from fw_gear_deid.runner.policy import UNCHANGED
from tests.desk import PROFILE, Desk, contents, forked, instance, packed
from tests.dicom_files import IDENTITY, SYNTAXES, Item, Leaf, Seq, part10

NAMES = PROFILE + "  filenames:\n    - input-regex: .*\n      output: 'WORD-{InstanceNumber}.dcm'\n"
ONE, TWO = NAMES.replace("WORD", "one"), NAMES.replace("WORD", "two")
REPLACE = ("--exists", "replace")


def refusing(event: str, word: str) -> Any:
    """Return a hook that refuses what touches a path with a word in it."""

    def hook(name: str, path: str) -> None:
        if name == event and word in path:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    return hook


def known(desk: Desk) -> dict[str, bool]:
    """Return what the ledger says there is, and whether it is known to stand."""
    state = State(next(desk.private.glob("state*.sqlite")))
    try:
        return {made.path.rpartition("/")[2]: made.standing for made in state.all_made()}
    finally:
        state.close()


# -- replacing and taking back -------------------------------------------------------------------------


def test_a_dry_run_takes_nothing_back(desk: Desk) -> None:
    desk.put({"S/V/A/1": instance(), "S/V/A/2": instance(number=2)})
    desk.rules(ONE)
    assert desk.run().code == 0
    before, ledger = desk.there(), known(desk)
    desk.rules(TWO)
    desk.put({"S/V/A/2": instance(number=2, PatientBirthDate="19500101"), "S/V/A/1": instance(PatientBirthDate="1960")})
    desk.run(*REPLACE, "--dry-run")
    assert (desk.there(), known(desk)) == (before, ledger)


def test_what_was_replaced_stays_where_an_older_name_cannot_be_taken_back(desk: Desk) -> None:
    """A run was killed between putting the new name and taking back the old one; then the disk refuses."""
    desk.put({"S/V/A/1": instance()})
    desk.rules(ONE)
    assert desk.run().code == 0
    desk.rules(TWO)
    assert forked(lambda: desk.run(*REPLACE), killing("os.remove", "one-1.dcm")).code == -9
    assert {Path(path).name for path in desk.there()} == {"one-1.dcm", "two-1.dcm"}
    desk.rules(TWO.replace("PatientName\n      remove", "PatientSex\n      remove", 1))
    done = forked(lambda: desk.run(*REPLACE), refusing("os.remove", "one-1.dcm"))
    assert done.code == 1
    assert desk.states() == {"S/V/A/1": "failed"}
    assert "two-1.dcm" in {Path(path).name for path in desk.there()}, "what took the place of an older one is not lost"
    assert desk.run(*REPLACE).code == 0
    assert {Path(path).name for path in desk.there()} == {"two-1.dcm"}
    assert known(desk) == {"two-1.dcm": True}


def killing(event: str, word: str) -> Any:
    def hook(name: str, path: str) -> None:
        if name == event and word in path:
            os.kill(os.getpid(), 9)

    return hook


def test_a_replacement_that_failed_leaves_what_stood_and_what_was_known_of_it(desk: Desk) -> None:
    desk.put({"S/V/A/1": instance(), "S/V/A/2": instance(number=2)})
    desk.rules(ONE)
    assert desk.run().code == 0
    before = desk.there()
    desk.rules(ONE.replace("PatientName\n      remove", "PatientSex\n      remove", 1))
    done = forked(lambda: desk.run(*REPLACE), refusing("os.rename", ".work/0"))
    assert done.code == 1 and set(desk.states().values()) == {"failed"}
    assert desk.there() == before and known(desk) == {"one-1.dcm": True, "one-2.dcm": True}
    desk.rules(ONE)
    assert desk.run().code == 0
    assert set(desk.reasons().values()) == {UNCHANGED}, "and needs no work"


def test_what_could_not_be_put_is_not_known(desk: Desk) -> None:
    desk.put({"S/V/A/1": instance(), "S/V/A/2": instance(number=2)})
    done = forked(desk.run, refusing("os.link", ".work/00000000"))
    assert done.code == 1
    assert sorted(desk.states().values()) == ["failed", "released"]
    assert len(desk.there()) == 1 and list(known(desk).values()) == [True]
    assert desk.run().code == 0
    assert len(desk.there()) == 2


def test_without_hard_links_a_name_that_was_taken_for_nothing_is_free_again(desk: Desk) -> None:
    desk.put({"S/V/A/1": instance(), "S/V/A/2": instance(number=2)})
    hurt: list[str] = []

    def hook(event: str, path: str) -> None:
        if event == "os.link":
            raise OSError(errno.EPERM, os.strerror(errno.EPERM))
        if event == "os.rename" and ".work/00000000" in path and not hurt:
            hurt.append(path)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    assert forked(desk.run, hook).code == 1
    assert sorted(desk.states().values()) == ["failed", "released"]
    assert len(desk.there()) == 1 and all(desk.there().values())


@pytest.mark.parametrize("data", [instance()[:-3], b"", bytes(128) + b"DICM\2\0", b"no longer DICOM" * 20])
def test_damage_at_the_source_takes_nothing_back(desk: Desk, data: bytes) -> None:
    """What was made of it when it could be read is good."""
    desk.put({"S/V/A/1.dcm": instance(), "S/V/A/2": instance(number=2)})
    assert desk.run().code == 0
    before = desk.there()
    desk.put({"S/V/A/1.dcm": data})
    desk.run(*REPLACE)
    assert desk.states()["S/V/A/1.dcm"] != "released"
    assert desk.there() == before


# -- what changes meanwhile ----------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["grows", "is another", "goes", "becomes a link"])
@pytest.mark.parametrize("well", [True, False])
def test_a_file_that_changes_under_the_work_is_a_failure(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, how: str, well: bool
) -> None:
    """Neither released, half of it being read, nor refused: it may be whole the next time."""
    desk.put({"S/V/A/1": instance(), "S/V/A/2": instance(number=2)})
    (desk.folder / "outside").write_bytes(instance("P2"))
    path, real = desk.source / "S/V/A/1", workers.deidentify

    def meanwhile(source: Path, *arguments: Any) -> Any:
        found = real(source, *arguments)
        if source.name == "1":
            if how == "grows":
                path.write_bytes(path.read_bytes() + bytes(8))
            elif how == "is another":
                path.write_bytes(instance(number=7))
                os.utime(path, ns=(1, 1))
            else:
                path.unlink()
                if how == "becomes a link":
                    path.symlink_to(desk.folder / "outside")
            if not well:
                raise Unfit("half of it")
        return found

    monkeypatch.setattr(workers, "deidentify", meanwhile)
    assert desk.run().code == 1
    assert desk.states() == {"S/V/A/1": "failed", "S/V/A/2": "released"}
    assert "changed" in desk.reasons()["S/V/A/1"]
    assert len(desk.there()) == 1


@pytest.mark.parametrize("how", ["grows", "becomes a link", "becomes a link that stays"])
def test_a_file_that_changed_since_it_was_listed_is_a_failure(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    desk.put({"S/V/A/1": instance(), "S/V/A/2": instance(number=2)})
    (desk.folder / "outside").write_bytes(instance())
    path, real = desk.source / "S/V/A/1", workers._process
    stamp = path.stat().st_mtime_ns
    (desk.source / "S/V/A/.hidden").write_bytes(b"")

    def before(settings: Any, task: Any, *arguments: Any) -> Any:
        if task.items[0].name == "1":
            if how == "grows":
                path.write_bytes(path.read_bytes() + bytes(8))
            else:
                path.unlink()
                path.symlink_to(desk.folder / "outside")
                os.utime(path, ns=(stamp, stamp))
        return real(settings, task, *arguments)

    monkeypatch.setattr(workers, "_process", before)
    assert desk.run().code == 1
    assert desk.states()["S/V/A/1"] == "failed"
    assert len(desk.there()) == 1


def test_the_row_that_a_first_look_found_is_the_one_that_counts(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """The mapping goes by an id that the file has no more: values of another patient would go into it."""
    desk.rules(PROFILE.replace("PatientID\n      hash: true", "PatientID\n      replace-with: '{{ NEW }}'"))
    (desk.folder / "m.csv").write_text("PatientID,NEW\nP1,N1\nP2,N2\n")
    desk.put({"loose.dcm": instance("P1")})
    real = workers._context

    def other(settings: Any, task: Any, *arguments: Any) -> Any:
        assert task.row in (0, 2)
        return real(settings, replace(task, row=3) if task.row else task, *arguments)

    monkeypatch.setattr(workers, "_context", other)
    assert desk.run("--mapping", str(desk.folder / "m.csv")).code == 1
    assert desk.states() == {"loose.dcm": "refused"} and not contents(desk.dest)
    assert "is not the one that was noted of it" in desk.reasons()["loose.dcm"]


# -- text ----------------------------------------------------------------------------------------------

WIDE = {
    "UTF-8": (b"ISO_IR 192", "Müller".encode()),
    "Latin 1": (b"ISO_IR 100", "Müller".encode("latin-1")),
    "escape sequences": (b"\\ISO 2022 IR 87", b"\x1b$B;3ED\x1b(B"),
}


@pytest.mark.parametrize("syntax", ["explicit", "implicit", "deflated"])
@pytest.mark.parametrize("place", ["top", "item", "item with its own", "deep"])
@pytest.mark.parametrize("action", ["remove: true", "replace-with: ISO_IR 144"])
@pytest.mark.parametrize("case", WIDE)
def test_a_character_set_does_not_change_under_its_text(case: str, action: str, place: str, syntax: str) -> None:
    """Text that stays would be read as other letters."""
    term, raw = WIDE[case]
    charset = Leaf(0x00080005, "CS", term + b" " * (len(term) % 2))
    text = Leaf(0x00104000, "LT", raw + b" " * (len(raw) % 2))
    below = Seq(0x00400275, (Item((text,)),))
    own = Seq(0x00400275, (Item((charset, text)),))
    nodes: list[Any] = [charset, *IDENTITY[:3]]
    nodes += {"top": [text], "item": [below], "item with its own": [own], "deep": [Seq(0x0040A730, (Item((below,)),))]}[
        place
    ]
    rules = f"dicom:\n  recurse-sequence: true\n  fields:\n    - name: SpecificCharacterSet\n      {action}\n"
    ctx = Context(parse_profile(rules, "p.yaml"), Keyring(bytes(32)), "s", date(2026, 1, 1), "strict")
    data = part10(nodes, SYNTAXES[syntax])
    with pytest.raises(Unfit, match=r"\(0008,0005\) changes while text outside ASCII stays"):
        deidentify_member(Incoming(iter([data]), len(data)), "a.dcm", ctx)
    plain = data.replace(text.value, b"Muller".ljust(len(text.value))) if syntax != "deflated" else None
    if plain is not None:
        assert b"".join(deidentify_member(Incoming(iter([plain]), len(plain)), "a.dcm", ctx).pieces)


# -- which sources an earlier result is of -------------------------------------------------------------


def test_an_archive_with_instances_that_have_gone_is_not_taken_back_for_one_that_is_left(desk: Desk) -> None:
    """The series is called otherwise now, and two of its three files are gone: only --prune lets those go."""
    desk.put({f"x/{n}": instance(number=n) for n in range(3)})
    assert desk.run().code == 0
    [old] = desk.there()
    for n in (1, 2):
        (desk.source / f"x/{n}").unlink()
    desk.rules(PROFILE.replace("SeriesInstanceUID\n      hashuid", "SeriesInstanceUID\n      keep"))
    desk.run(*REPLACE)
    assert old in desk.there()


@pytest.mark.parametrize("pack", [False, True])
def test_damage_behind_a_good_beginning_takes_nothing_back(desk: Desk, pack: bool) -> None:
    """A look finds the instance that it is of; the work finds that it is damaged."""
    pixels = {"Rows": 40, "Columns": 40, "BitsAllocated": 8, "SamplesPerPixel": 1, "PixelData": bytes(1600)}
    whole = instance(**pixels)
    good, bad = whole, whole[:-300]
    if pack:
        good, bad = (packed({"1": instance(number=2), "2": one}) for one in (good, bad))
    name = "S/V/A/1.zip" if pack else "S/V/A/1.dcm"
    desk.put({name: good})
    assert desk.run().code == 0
    before = desk.there()
    desk.put({name: bad})
    assert desk.run(*REPLACE).code == 1
    assert desk.states() == {name: "refused"}
    assert desk.there() == before


def test_another_disc_at_the_same_place_takes_nothing_back_under_another_key(desk: Desk) -> None:
    """What was sealed by the key of before can be compared by its bytes alone."""
    desk.put({"x/1.dcm": instance("P1")})
    assert desk.run().code == 0
    before = desk.there()
    desk.put({"x/1.dcm": instance("P2")})
    (desk.folder / "key").write_text("another key of these tests, and of no others")
    assert desk.run("--new-key", *REPLACE).code == 0
    assert before.items() <= desk.there().items() and len(desk.there()) == 2


def test_what_was_renamed_and_is_left_out_is_no_orphan(desk: Desk) -> None:
    """Its instance is known by an earlier look, wherever it lies now."""
    desk.put({"S/V/A/1": instance(), "T/V/A/1": instance("P2")})
    assert desk.run().code == 0
    (desk.source / "T").rename(desk.source / "U")
    desk.run()
    before = desk.there()
    (desk.source / "U").rename(desk.source / "T")
    desk.run("--only", "S")
    assert "orphan" not in {row["state"] for row in desk.rows()}
    assert desk.there() == before
