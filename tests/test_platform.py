"""What a project on a platform holds after runs and reruns: containers and files known by origin, nobody merged."""

from __future__ import annotations

import json
from dataclasses import replace
from hashlib import sha256
from typing import Any

import pytest

pytest.importorskip("flywheel")

from fw_gear_deid.model.ports import Destination, Upload, Wanted
from fw_gear_deid.stores.flywheel.sink import FlywheelSink
from tests.desk import instance, packed
from tests.loopback import Container, Request
from tests.loopback.model import StoredFile
from tests.loopback.wire import parse_form
from tests.site import PROFILE, Site, child, held, kept, scan

OTHER = PROFILE + "    - name: PatientSex\n      remove: true\n"
RENAME = "zip:\n  filenames:\n    - input-regex: '.*'\n      output: new.dicom.zip\n"
LABELS = "flywheel:\n  subject:\n    fields:\n      - name: label\n        replace-with: '{{ NEWID }}'\n"


def picture(site: Site) -> object:
    """Return all of the destination that a rerun must not change."""
    return (
        sorted((one.id, one.label, one.parent.id if one.parent else "") for one in held(site, "subject")),
        sorted((one.id, one.label, one.parent.id if one.parent else "") for one in held(site, "session")),
        sorted((one.id, one.label, one.parent.id if one.parent else "") for one in held(site, "acquisition")),
        sorted((file.id, file.name, file.parent.id, tuple(file.versions)) for file in kept(site)),
    )


# -- lists ---------------------------------------------------------------------------------------------


def test_a_site_may_cap_its_pages(site: Site) -> None:
    for number in range(7):
        scan(site, f"S{number}/V/T1", number)
    site.world.page_cap = 2
    assert site.here()[0] == 0
    assert len(kept(site)) == 7
    before = picture(site)
    assert site.here(name="again")[0] == 0
    assert (picture(site), site.states("again")) == (before, {"skipped": 7})


# -- containers ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("levels", [["subject", "session", "acquisition"], []])
def test_a_repeat_scan_is_a_second_acquisition(site: Site, levels: list[str]) -> None:
    scan(site, "P1/V1/T1w", 1, ProtocolName="T1w")
    scan(site, "P1/V1/T1w", 2, ProtocolName="T1w")
    rules = PROFILE.replace(
        "    - name: StudyDescription\n",
        "    - name: SeriesDescription\n      keep: true\n    - name: StudyDescription\n",
    )
    code, said = site.here(profile=rules, match_by_id=levels)
    assert code == 0, said
    labels = [one.label for one in held(site, "acquisition")]
    assert labels[0] == "T1w" and (labels[1] == "T1w") == bool(levels), "by label they need two"
    assert all(len(one.files) == 1 for one in held(site, "acquisition"))
    before = picture(site)
    assert site.here(profile=rules, name="again", match_by_id=levels)[0] == 0
    assert picture(site) == before
    assert site.here(profile=rules, name="third", match_by_id=levels, overwrite_files="Replace")[0] == 0
    assert len(held(site, "acquisition")) == len(kept(site)) == 2


def test_two_visits_of_one_label(site: Site) -> None:
    rules = PROFILE + "flywheel:\n  session:\n    fields:\n      - name: label\n        replace-with: VISIT\n"
    scan(site, "P1/V1/T1", 1)
    scan(site, "P1/V2/T1", 2)
    assert site.here(profile=rules)[0] == 0
    assert [one.label for one in held(site, "session")] == ["VISIT", "VISIT"]
    assert len(kept(site)) == 2


def test_two_visits_of_one_label_where_the_platform_takes_one(site: Site) -> None:
    site.world.unique_labels = {"project", "subject", "session"}
    rules = PROFILE + "flywheel:\n  session:\n    fields:\n      - name: label\n        replace-with: VISIT\n"
    scan(site, "P1/V1/T1", 1)
    scan(site, "P1/V2/T1", 2)
    assert site.here(profile=rules)[0] == 1
    assert len(kept(site)) == 1
    assert [row["reason"] for row in site.rows() if "flywheel.session.label" in row["reason"]]


def test_equal_labels_of_two_projects_are_not_merged(site: Site) -> None:
    """match_by_id: [] goes by label; the other project's subject is somebody else."""
    scan(site, "P1/V1/T1", 1)
    assert site.here(labels="keep", match_by_id=[])[0] == 0
    group = site.source.parent
    assert group is not None
    site.source = site.world.add_project(group, "Second")
    scan(site, "P1/V1/T1", 2, patient="somebody else")
    code, _ = site.here(labels="keep", match_by_id=[], name="second")
    assert code == 1
    assert len(kept(site)) == 1
    assert "made from another source" in site.rows("second")[0]["reason"]


def test_parallel_jobs_keep_the_oldest(site: Site) -> None:
    """Another job makes the same session and acquisition a moment before this one: ours goes, being empty."""
    scan(site, "P1/V1/T1", 1)
    site.world.faults.add("race409", "^POST /sessions")
    site.world.faults.add("race409", "^POST /acquisitions")
    assert site.here()[0] == 0
    assert len(held(site, "session")) == len(held(site, "acquisition")) == len(kept(site)) == 1
    assert {one.kind for one in site.world.deletions} == {"session", "acquisition"}
    assert {one.reason for one in site.world.deletions} == {"container_is_empty"}


def test_what_another_job_makes_while_the_list_is_read(site: Site) -> None:
    """An acquisition may be listed whose subject and session came after theirs were."""
    scan(site, "P1/V1/T1", 1)
    came: list[Container] = []

    def come(request: Request) -> bool:
        if request.method == "GET" and request.path == f"/projects/{site.destination.id}/acquisitions" and not came:
            session = site.world.add_session(site.world.add_subject(site.destination, "P9"), "V")
            came.append(site.world.add_acquisition(session, "T"))
            site.world.add_file(came[0], "x.dcm", b"x", info={"export": {"origin_id": "another", "size": 1}})
        return False

    site.world.faults.add("delay", come)
    sink = FlywheelSink(site.server.key(), site.destination.id, match_by_id=frozenset())
    assert [one.path for one in sink.standing()] == ["P9/V/T/x.dcm"]
    assert len(came) == 1


def test_a_container_that_cannot_go_is_told(site: Site) -> None:
    scan(site, "P1/V1/T1", 1)
    site.world.faults.add("race409", "^POST /sessions")
    site.world.faults.add("status", "^DELETE /sessions", code=403)
    code, said = site.here()
    assert code == 0 and len(kept(site)) == 1
    assert "of no more use; it stays" in said


def test_a_session_moved_to_its_right_subject(site: Site) -> None:
    file = scan(site, "P1/V1/T1", 1)
    scan(site, "P2/V1/T1", 2)
    session = file.parent.parent
    assert session is not None
    assert site.here()[0] == 0
    wrong = {one.parent.id for one in held(site, "session") if one.parent}
    session.parent = child(site, site.source, "P2")
    session.fields["label"] = "V2"
    assert site.here(name="again")[0] == 0
    assert len(kept(site)) == 2
    owners = {file.parent.above("subject") for file in kept(site)}
    assert len(owners) == 1, "both visits are of one person"
    assert {one.id for one in owners if one} < wrong
    assert len(held(site, "session")) == len(held(site, "acquisition")) == 2, "what the move left empty has gone"
    before = picture(site)
    assert site.here(name="third")[0] == 0
    assert picture(site) == before


def test_a_moved_session_whose_label_is_taken_is_not_left_below_the_wrong_one(site: Site) -> None:
    site.world.unique_labels = {"project", "subject", "session"}
    file = scan(site, "P1/V1/T1", 1)
    scan(site, "P2/V2/T1", 2)
    keep = PROFILE + "flywheel:\n  session:\n    fields:\n      - name: label\n        replace-with: VISIT\n"
    assert site.here(profile=keep)[0] == 0
    session = file.parent.parent
    assert session is not None
    session.parent = child(site, site.source, "P2")
    code, _ = site.here(profile=keep, name="again")
    assert code == 1
    assert "flywheel.session.label" in site.rows("again")[0]["reason"]
    assert len(kept(site)) == 1


def test_labels_that_were_swapped_are_changed(site: Site) -> None:
    for number, name in enumerate(("A", "B", "C")):
        scan(site, f"{name}/V1/T1", number)
    profile = PROFILE + LABELS
    first = "subject.label,NEWID\nA,one\nB,two\nC,three\n"
    assert site.here(profile=profile, mapping=first)[0] == 0
    was = {one.label: one.id for one in held(site, "subject")}
    later = "subject.label,NEWID\nA,two\nB,one\nC,four\n"
    code, _ = site.here(profile=profile, mapping=later, name="left")
    assert code == 1
    assert all(row["reason"].startswith("stale") for row in site.rows("left"))
    assert {one.label: one.id for one in held(site, "subject")} == was
    code, said = site.here(profile=profile, mapping=later, name="again", overwrite_files="Replace")
    assert code == 0, said
    now = {one.label: one.id for one in held(site, "subject")}
    assert now == {"two": was["one"], "one": was["two"], "four": was["three"]}
    assert len(kept(site)) == 3


def test_labels_moved_up_by_one(site: Site) -> None:
    for number, name in enumerate(("A", "B", "C")):
        scan(site, f"{name}/V1/T1", number)
    profile = PROFILE + LABELS
    assert site.here(profile=profile, mapping="subject.label,NEWID\nA,1\nB,2\nC,3\n")[0] == 0
    was = {one.label: one.id for one in held(site, "subject")}
    later = "subject.label,NEWID\nA,2\nB,3\nC,4\n"
    assert site.here(profile=profile, mapping=later, name="again", overwrite_files="Replace")[0] == 0
    assert {one.label: one.id for one in held(site, "subject")} == {"2": was["1"], "3": was["2"], "4": was["3"]}


def test_a_label_that_somebody_keeps_is_named(site: Site) -> None:
    scan(site, "A/V1/T1", 1)
    profile = PROFILE + LABELS
    assert site.here(profile=profile, mapping="subject.label,NEWID\nA,one\n")[0] == 0
    site.world.add_subject(site.destination, "two")
    code, _ = site.here(
        profile=profile, mapping="subject.label,NEWID\nA,two\n", name="again", overwrite_files="Replace"
    )
    assert code == 1
    assert "another subject at the destination has its label" in site.rows("again")[0]["reason"]


@pytest.mark.parametrize("shown", [(True, False), (False, True), (False, False)])
def test_platforms_that_show_less_in_lists(site: Site, shown: tuple[bool, bool]) -> None:
    """Where a list, or a container, leaves out the info of its files, they are read one by one."""
    site.world.file_info_in_lists, site.world.file_info_in_containers = shown
    scan(site, "P1/V1/T1", 1)
    scan(site, "P2/V1/T1", 2)
    assert site.here()[0] == 0
    before = picture(site)
    assert site.here(name="again")[0] == 0
    assert (picture(site), site.states("again")) == (before, {"skipped": 2})


# -- files ---------------------------------------------------------------------------------------------


def test_a_new_version_at_the_source_is_stale(site: Site) -> None:
    file = scan(site, "P1/V1/T1", 1)
    assert site.here()[0] == 0
    [old] = kept(site)
    corrected = packed({"1.dcm": instance("P1", series=1, InstanceNumber="7")})
    site.world.add_file(file.parent, file.name, corrected, type="dicom")
    code, _ = site.here(name="skip")
    assert code == 1 and site.states("skip") == {"skipped": 1}
    assert site.rows("skip")[0]["reason"].startswith("stale: the source has another version")
    assert kept(site) == [old] and len(old.versions) == 1
    assert site.here(name="replace", overwrite_files="Replace")[0] == 0
    assert kept(site) == [old] and list(old.versions) == [2], "the older version has gone"
    assert site.here(name="again")[0] == 0
    assert site.states("again") == {"skipped": 1}


def test_replace_removes_the_origin_under_any_name(site: Site) -> None:
    scan(site, "P1/V1/T1", 1)
    assert site.here()[0] == 0
    [old] = kept(site)
    renamed = (
        OTHER
        + "  filenames:\n    - input-regex: '.*'\n      output: '{SOPInstanceUID}.dcm'\nzip:\n  filenames:\n    - input-regex: '.*'\n      output: new.dicom.zip\n"
    )
    code, said = site.here(profile=renamed, name="again", overwrite_files="Replace", delete_reason="compliance_phi")
    assert code == 0, said
    assert [file.name for file in kept(site)] == ["new.dicom.zip"]
    assert [(one.name, one.reason) for one in site.world.deletions] == [(old.name, "compliance_phi")]


def test_a_file_that_is_refused_now_keeps_no_earlier_result(site: Site) -> None:
    file = scan(site, "P1/V1/T1", 1)
    assert site.here()[0] == 0
    two = {f"{n}.dcm": instance(number=n, PatientBirthDate=f"19{n}00101") for n in (1, 2)}
    site.world.add_file(file.parent, file.name, packed(two), type="dicom")
    assert site.here(name="dry", overwrite_files="Replace", dry_run=True)[0] == 1
    assert len(kept(site)) == 1
    assert site.here(name="again", overwrite_files="Replace")[0] == 1
    assert site.states("again") == {"refused": 1}
    assert kept(site) == []


def test_a_failure_takes_nothing_back(site: Site) -> None:
    scan(site, "P1/V1/T1", 1)
    assert site.here(secret="a secret of sixteen")[0] == 0
    site.world.faults.add("status", r"^GET .*/files/", code=404, times=None)
    assert site.here(name="again", overwrite_files="Replace", secret="a secret of another")[0] == 1
    assert site.states("again") == {"failed": 1}
    assert len(kept(site)) == 1


def test_another_key_makes_everything_stale(site: Site) -> None:
    scan(site, "P1/V1/T1", 1)
    assert site.here(secret="a secret of sixteen")[0] == 0
    code, _ = site.here(secret="a secret of another", name="again")
    assert code == 1
    assert site.rows("again")[0]["reason"].startswith("stale")


def test_what_an_upload_left_cut_is_made_anew(site: Site) -> None:
    scan(site, "P1/V1/T1", 1)
    assert site.here()[0] == 0
    [file] = kept(site)
    whole = file.content
    file.current.content = whole[:10]
    assert site.here(name="again")[0] == 0
    assert site.states("again") == {"released": 1}
    assert [one.content for one in kept(site)] == [whole]


def test_what_somebody_put_on_top_is_not_ours(site: Site) -> None:
    """A new version inherits the metadata of the one below it."""
    scan(site, "P1/V1/T1", 1)
    assert site.here()[0] == 0
    [file] = kept(site)
    whole = file.content
    site.world.add_file(file.parent, file.name, whole[:-1] + b"!", type="dicom")
    assert site.here(name="again")[0] == 0
    assert site.states("again") == {"released": 1}
    assert kept(site)[0].content == whole


def test_replacing_by_the_same_bytes_sends_nothing(site: Site) -> None:
    scan(site, "P1/V1/T1", 1)
    for name, state in (("one", "released"), ("two", "skipped")):
        assert site.here(name=name, overwrite_files="Replace")[0] == 0
        assert site.states(name) == {state: 1}
    assert site.world.log.count(r"^POST .*/files") == 1
    assert [list(file.versions) for file in kept(site)] == [[1]]


@pytest.mark.parametrize("ours", [True, False])
def test_a_file_that_comes_while_ours_is_on_its_way(site: Site, ours: bool) -> None:
    """A parallel job's result of the same source is one with ours; somebody else's file of that name stays."""
    scan(site, "P1/V1/T1", 1)
    came: list[StoredFile] = []

    def come(request: Request) -> bool:
        if request.method == "POST" and request.path.endswith("/files") and not came:
            metadata = json.loads(parse_form(request.headers["content-type"], request.body)[0].data)
            [acquisition] = held(site, "acquisition")
            info = metadata["info"] if ours else {}
            came.append(site.world.add_file(acquisition, metadata["name"], b"came", type="dicom", info=info))
        return False

    site.world.faults.add("delay", come)
    site.here()
    assert ("released" in site.states()) == ours
    [file] = kept(site)
    assert list(file.versions) == ([2] if ours else [1])
    assert (file.content == b"came") != ours


def test_subjects_that_a_mapping_joins_are_one_container(site: Site) -> None:
    levels = frozenset({"subject", "session", "acquisition"})

    def chain(person: str) -> tuple[Wanted, ...]:
        return (
            Wanted("subject", "NEW", person),
            Wanted("session", "V", f"{person}/V"),
            Wanted("acquisition", "T1", person),
        )

    def run(*people: str) -> None:
        sink = FlywheelSink(site.server.key(), site.destination.id, match_by_id=levels)
        sink.prepare([chain(person) for person in people])
        for person in people:
            result = site.folder / person
            result.write_bytes(person.encode())
            upload = Upload(f"file of {person}", "f", 1, "s", len(person), version="v", root="r")
            sink.put(result, Destination(chain(person), "scan.dcm"), upload, replace=True)
            [there] = sink.earlier(f"file of {person}")
            assert there.belongs(chain(person))
        sink.finish([chain(person) for person in people])

    run("A", "B")
    before = picture(site)
    for people in (("B", "A"), ("B",), ("A",)):
        run(*people)
        assert picture(site) == before
    assert [len(held(site, level)) for level in ("subject", "session", "acquisition")] == [1, 2, 2]
    assert held(site, "subject")[0].info["export"]["joined"] == ["A", "B"]


def test_two_jobs_that_put_the_same_file(site: Site) -> None:
    """Each listed the destination before the other one wrote: one container each, one file, nothing taken back."""
    chain = tuple(Wanted(level, f"{level}-1", f"origin of {level}") for level in ("subject", "session", "acquisition"))
    levels = frozenset({"subject", "session", "acquisition"})
    sinks = [FlywheelSink(site.server.key(), site.destination.id, match_by_id=levels) for _ in range(2)]
    for sink in sinks:
        sink.prepare([chain])
        assert list(sink.standing()) == []
    for number, sink in enumerate(sinks):
        result = site.folder / f"result-{number}"
        result.write_bytes(b"the same")
        upload = Upload("origin of file", "f", 1, "s", 8, version="v", root="r")
        sink.put(result, Destination(chain, "scan.dcm"), upload, replace=False)
    assert [list(file.versions) for file in kept(site)] == [[1]]
    assert [len(held(site, level)) for level in levels] == [1, 1, 1]


def test_files_of_the_previous_release_are_known(site: Site) -> None:
    scan(site, "P1/V1/T1", 1)
    assert site.here()[0] == 0
    [file] = kept(site)
    from fw_gear_deid.stores.flywheel.source import FlywheelSource

    source = FlywheelSource(site.server.key(), "project", site.source.id, site.source.id)
    [item] = source.items()
    file.info["export"] = {"origin_id": source.origin(item.id, item.version), "fingerprint": "older"}
    code, _ = site.here(name="again")
    assert code == 1 and site.rows("again")[0]["reason"].startswith("stale")
    assert site.here(name="renew", overwrite_files="Replace")[0] == 0
    assert len(kept(site)) == 1 and len(kept(site)[0].versions) == 1
    assert kept(site)[0].info["export"]["version_id"]


def test_somebody_elses_file_is_never_removed(site: Site) -> None:
    scan(site, "P1/V1/T1", 1)
    assert site.here()[0] == 0
    [acquisition] = held(site, "acquisition")
    theirs = site.world.add_file(acquisition, "notes.txt", b"theirs")
    code, _ = site.here(name="again", profile=OTHER, overwrite_files="Cleanup_force")
    assert code == 0
    assert theirs in kept(site) and theirs.content == b"theirs"


def test_copies_elsewhere_stop_a_deletion_and_are_told(site: Site) -> None:
    scan(site, "P1/V1/T1", 1)
    assert site.here()[0] == 0
    [old] = kept(site)
    old.copied = True
    renamed = OTHER + RENAME
    code, _ = site.here(profile=renamed, name="again", overwrite_files="Replace")
    assert code == 1
    assert "Cleanup_force" in site.rows("again")[0]["reason"]
    assert site.here(profile=renamed, name="force", overwrite_files="Cleanup_force")[0] == 0
    assert [file.name for file in kept(site)] == ["new.dicom.zip"]


def test_standing_tells_what_stands_there_and_of_which_root(site: Site) -> None:
    from fw_gear_deid.stores.flywheel.source import FlywheelSource

    first = scan(site, "P1/V1/T1", 1)
    scan(site, "P2/V1/T1", 2)
    assert site.here()[0] == 0
    source = FlywheelSource(site.server.key(), "project", site.source.id, site.source.id)
    sink = FlywheelSink(site.server.key(), site.destination.id, match_by_id=frozenset())
    assert {one.root for one in sink.standing()} == {source.origin()}
    site.world.remove(first.parent.parent.parent)  # withdrawn at the source
    seen = {source.origin(item.key) for item in source.items()}
    [orphan] = [one for one in sink.standing() if one.origin not in seen]
    sink.remove(orphan)
    assert len(kept(site)) == 1
    assert [len(held(site, kind)) for kind in ("subject", "session", "acquisition")] == [1, 1, 1]


# -- what the source has no more -----------------------------------------------------------------------


def gone(site: Site) -> StoredFile:
    """Release two subjects and delete the first at the source; return what stands of it."""
    first = scan(site, "P1/V1/T1", 1)
    scan(site, "P2/V1/T1", 2)
    assert site.here()[0] == 0
    [ours] = [one for one in kept(site) if one.info["export"]["origin_id"] == origin(site, first.id)]
    site.world.remove(first.parent.parent.parent)
    return ours


def origin(site: Site, *parts: str) -> str:
    from fw_gear_deid.stores.flywheel.source import FlywheelSource

    return FlywheelSource("", "project", site.source.id, site.source.id).origin(*parts)


def test_prune_takes_back_what_the_source_has_no_more(site: Site) -> None:
    ours = gone(site)
    code, said = site.here(name="told")
    assert (code, site.states("told")) == (0, {"orphan": 1, "skipped": 1})
    assert "1 orphan" in said
    [row] = [row for row in site.rows("told") if row["state"] == "orphan"]
    assert ours.name in row["reason"] and "no source of this run" in row["reason"]
    assert len(kept(site)) == 2
    assert site.here(name="dry", prune=True, dry_run=True)[0] == 0
    assert (site.states("dry"), len(kept(site))) == ({"orphan": 1, "skipped": 1}, 2)
    assert site.here(name="prune", prune=True, delete_reason="compliance_consent_withdrawn")[0] == 0
    [row] = [row for row in site.rows("prune") if row["state"] == "orphan"]
    assert "taken back" in row["reason"]
    assert [one.reason for one in site.world.deletions if one.name == ours.name] == ["compliance_consent_withdrawn"]
    assert [len(held(site, kind)) for kind in ("subject", "session", "acquisition")] == [1, 1, 1]
    assert len(kept(site)) == 1 and kept(site) != [ours]
    assert site.here(name="again", prune=True)[0] == 0
    assert site.states("again") == {"skipped": 1}


@pytest.mark.parametrize("level", ["subject", "session", "acquisition", "file", "project's file"])
def test_a_part_of_a_project_prunes_nothing(site: Site, level: str) -> None:
    top = site.world.add_file(site.source, "notes.txt", b"nothing that a profile takes")
    gone(site)
    [file] = [
        one
        for one in site.world.files.values()
        if one.versions and one is not top and one.parent.above("project") is site.source
    ]
    if level == "file":
        code, said = site.here(trigger=(file.parent, file.name), prune=True, name="part")
    elif level == "project's file":
        code, said = site.here(trigger=(site.source, top.name), prune=True, name="part")
    else:
        code, said = site.here(file.parent.above(level), prune=True, name="part")
    assert code == 0, said
    assert "this run is of a part of a project" in said
    assert (site.states("part"), len(kept(site))) == ({"skipped": 1}, 2)


def test_prune_leaves_other_projects_and_other_people(site: Site) -> None:
    """One destination of two projects; a file of a folder's run, one of somebody, and one with a version on top."""
    changed = gone(site)
    theirs = site.world.add_file(held(site, "acquisition")[0], "notes.txt", b"theirs")
    info = {"export": {"origin_id": "", "root_id": "", "fingerprint": "f", "size": 6}}
    uploaded = site.world.add_file(held(site, "acquisition")[0], "edge.dcm", b"a file", info=info)
    site.world.add_file(changed.parent, changed.name, changed.content + b"!", type="dicom")
    group = site.source.parent
    assert group is not None
    site.source = site.world.add_project(group, "Second")
    scan(site, "P1/V1/T1", 3)
    before = kept(site)
    assert site.here(name="second", prune=True)[0] == 0
    assert (site.states("second"), len(kept(site))) == ({"released": 1}, len(before) + 1)
    site.source = next(one for one in site.world.containers.values() if one.label == "Stored")
    before = kept(site)
    assert site.here(name="first", prune=True)[0] == 0
    [row] = [row for row in site.rows("first") if row["state"] == "orphan"]
    assert row["reason"].endswith("it stays")
    assert kept(site) == before and theirs in before and uploaded in before and changed in before


def test_prune_leaves_what_somebody_has_below_ours(site: Site) -> None:
    first = scan(site, "P1/V1/T1", 1)
    scan(site, "P2/V1/T1", 2)
    assert site.here()[0] == 0
    [ours] = [one for one in kept(site) if one.info["export"]["origin_id"] == origin(site, first.id)]
    path, name = ours.parent, ours.name
    del site.world.files[ours.id], path.files[name]
    theirs = site.world.add_file(path, name, b"theirs", type="dicom")
    assert site.here(name="replace", overwrite_files="Replace")[0] == 0
    assert list(theirs.versions) == [1, 2]
    site.world.remove(first.parent.parent.parent)
    assert site.here(name="prune", prune=True)[0] == 0
    assert theirs in kept(site) and list(theirs.versions) == [1] and theirs.content == b"theirs"


def test_a_listing_with_problems_prunes_nothing(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    from fw_gear_deid.stores.flywheel.source import FlywheelSource

    gone(site)
    listed = FlywheelSource._item

    def unread(*arguments: Any) -> Any:
        return replace(listed(*arguments), problem="the platform does not tell its version", problem_state="failed")

    monkeypatch.setattr(FlywheelSource, "_item", unread)
    code, said = site.here(name="again", prune=True)
    assert code == 1 and len(kept(site)) == 2
    assert "not everything in SOURCE could be read" in said


def test_a_listing_that_failed_prunes_nothing(site: Site) -> None:
    gone(site)
    site.world.faults.add("status", f"^GET /projects/{site.source.id}/acquisitions", code=500, times=None)
    assert site.here(name="again", prune=True)[0] != 0
    assert len(kept(site)) == 2


def test_an_empty_source_prunes_nothing(site: Site) -> None:
    gone(site)
    left = child(site, site.source, "P2")
    assert left is not None
    site.world.remove(left)
    site.here(name="again", prune=True)
    assert len(kept(site)) == 2


def test_prune_is_nothing_for_a_fan_out(site: Site) -> None:
    gone(site)
    code, said = site.here(name="again", prune=True, fan_out="session")
    assert code == 2 and "config prune" in said


def test_prune_asks_for_the_right_to_delete(site: Site) -> None:
    gone(site)
    site.world.roles["adder"] = site.world.roles["admin"] - {"files_delete_non_device_data"}
    user = site.world.add_user("ann")
    for project in (site.source, site.destination):
        project.permissions[user] = ["adder"]
    key = site.server.key(user)
    assert site.here(name="plain", key=key)[0] == 0
    code, said = site.here(name="prune", prune=True, key=key)
    assert code == 2 and "delete files" in said


# -- rows ----------------------------------------------------------------------------------------------


def test_rows_of_two_scans_of_one_label(site: Site) -> None:
    rules = PROFILE.replace(
        "    - name: StudyDescription\n",
        "    - name: SeriesDescription\n      keep: true\n    - name: StudyDescription\n",
    )
    scan(site, "P1/V1/T1w", 1, ProtocolName="T1w")
    scan(site, "P1/V1/T1w", 2, ProtocolName="T1w", ImageComments="one change more")
    assert site.here(profile=rules)[0] == 0
    rows = {row["source"]: row for row in site.rows()}
    assert len({row["destination"] for row in rows.values()}) == 1, "their labels are the same"
    for file in kept(site):
        [item] = [key for key in rows if origin(site, key.rpartition("/")[2]) == file.info["export"]["origin_id"]]
        assert rows[item]["sha256_out"] == sha256(file.content).hexdigest()
        assert int(rows[item]["bytes_out"]) == len(file.content)
    changes = [int(row["changes"]) for row in rows.values()]
    assert max(changes) == min(changes) + 1
    audited = [row for row in site.rows(report="audit.csv") if row["file"].endswith(".zip")]
    assert len(audited) == sum(changes)


def test_a_rival_takes_back_its_own_file_only(site: Site) -> None:
    """Two files of one acquisition get one name: neither stays; a twin of its label keeps its file."""
    twin = scan(site, "P1/V1/T1w", 1)
    other = scan(site, "P1/V1/T1w", 2)
    site.world.add_file(other.parent, "z.dicom.zip", packed({"1.dcm": instance("P1", series=3)}), type="dicom")
    site.world.add_file(twin.parent, "a.txt", b"nobody's", type="text")
    keep = PROFILE.replace(
        "    - name: StudyDescription\n",
        "    - name: SeriesDescription\n      keep: true\n    - name: StudyDescription\n",
    )
    code, _ = site.here(profile=keep + RENAME, labels="keep")
    assert code == 1
    assert site.states() == {"refused": 2, "released": 1, "skipped": 1}
    assert [one.info["export"]["origin_id"] for one in kept(site)] == [origin(site, twin.id)]
