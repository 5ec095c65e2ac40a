"""Trees in the layout of BIDS: files keep their place, labels in names and texts are those of the destination."""

from __future__ import annotations

import csv
import gzip
import io
import json
import re
from datetime import date
from pathlib import Path

import nibabel
import numpy as np
import pytest

from fw_gear_deid.model.bids import Entities, depth, is_about_all, is_dataset, prefix_of
from tests.desk import PROFILE, Desk, instance, packed

RULES = (
    PROFILE
    + """\
json:
  fields:
    - {name: PatientName, remove: true}
    - {regex: 'Note.*', keep: true}
filename:
  file-filter: ['*.bval', '*.bvec']
  filenames: [{input-regex: '^(?P<n>.*)$', output: '{n}'}]
"""
)
SESSION = "sub-ZZA/ses-ZZone"
TREE = {
    "dataset_description.json": '{"Name": "study", "SourceDatasets": ["bids:raw:sub-ZZA/anat", "sub-ZZgone"]}',
    f"{SESSION}/anat/sub-ZZA_ses-ZZone_T1w.json": '{"PatientName": "ZZCANARY^Erika", "EchoTime": 0.00250}',
    f"{SESSION}/fmap/sub-ZZA_ses-ZZone_phase.json":
        '{"IntendedFor": ["ses-ZZone/dwi/sub-ZZA_ses-ZZone_dwi.nii.gz", "bids::sub-ZZB/anat/sub-ZZB_T1w.nii.gz"]}',
    f"{SESSION}/dwi/sub-ZZA_ses-ZZone_dwi.bval": "0 1000 1000 \n",
    f"{SESSION}/sub-ZZA_ses-ZZone_scans.json": '{"filename": "anat/sub-ZZA_ses-ZZone_T1w.nii.gz"}',
    "sub-ZZB/anat/sub-ZZB_T1w.json": '{"Sources": "bids::sub-ZZB/anat/sub-ZZB_run-01_T1w.nii.gz", "run": "01"}',
    "sub-ZZB/sub-ZZB_sessions.json": '{"NoteOnSub": "sub-marine and unsub-ZZB"}',
    "sub-ZZB/anat/sub-ZZB_T1w.dcm": instance("ZZPID"),
}  # fmt: skip


def shape(path: str) -> str:
    """Return a path with pseudonyms as ``sub-*`` and ``ses-*``."""
    return re.sub(r"(sub|ses)-[0-9a-f]{12}", r"\1-*", path)


def test_a_tree_stays_one(desk: Desk) -> None:
    desk.rules(RULES)
    desk.put(TREE)
    assert desk.run().code == 0, desk.reasons()
    there = desk.there()
    a = "sub-*/ses-*"
    assert sorted(map(shape, there)) == sorted([
        "dataset_description.json", f"{a}/anat/sub-*_ses-*_T1w.json", f"{a}/fmap/sub-*_ses-*_phase.json",
        f"{a}/dwi/sub-*_ses-*_dwi.bval", f"{a}/sub-*_ses-*_scans.json", "sub-*/anat/sub-*_T1w.json",
        "sub-*/sub-*_sessions.json", *(shape(name) for name in there if name.endswith(".dcm")),
    ])  # fmt: skip
    assert not [
        name for name, data in there.items() if b"ZZ" in name.encode() or b"ZZ" in data.replace(b"unsub-ZZB", b"")
    ]
    for name in there:  # names below a subject and a session carry its label, and no other
        for level in ("sub", "ses"):
            labels = set(re.findall(rf"{level}-[0-9a-f]{{12}}", name))
            assert len(labels) <= 1
    by_name = {shape(name): name for name in there}
    text = {name: json.loads(there[path]) for name, path in by_name.items() if name.endswith(".json")}
    assert text["sub-*/anat/sub-*_T1w.json"]["run"] == "01"
    assert text["sub-*/sub-*_sessions.json"]["NoteOnSub"] == "sub-marine and unsub-ZZB"
    subject, session = by_name[f"{a}/anat/sub-*_ses-*_T1w.json"].split("/")[:2]
    intended = text[f"{a}/fmap/sub-*_ses-*_phase.json"]["IntendedFor"]
    assert intended[0] == f"{session}/dwi/{subject}_{session}_dwi.nii.gz"
    assert shape(intended[1]) == "bids::sub-*/anat/sub-*_T1w.nii.gz"  # of another subject: nobody learns which
    assert text[f"{a}/sub-*_ses-*_scans.json"]["filename"] == f"anat/{subject}_{session}_T1w.nii.gz"
    sources = text["dataset_description.json"]["SourceDatasets"]
    assert sources[0] == f"bids:raw:{subject}/anat"
    assert shape(sources[1]) == "sub-*"
    assert there[by_name[f"{a}/dwi/sub-*_ses-*_dwi.bval"]] == b"0 1000 1000 \n"
    assert there[by_name[f"{a}/anat/sub-*_ses-*_T1w.json"]] == b'{"EchoTime": 0.00250}'
    assert {row["rule"] for row in desk.rows("audit.csv") if row["path"] == "filename" and row["file"].endswith(".json")} == {
        "always: names follow the labels of a BIDS tree"
    }  # fmt: skip
    assert desk.run().code == 0
    assert {state for name, state in desk.states().items() if not name.endswith(".dcm")} == {"skipped"}
    assert desk.there() == there


def test_labels_of_rules_keep_their_form(desk: Desk) -> None:
    desk.rules(
        RULES
        + "flywheel:\n  subject: {fields: [{name: label, regex-sub: [{input-regex: 'sub-ZZ(?P<x>.)', output: 'p{x}'}]}]}\n"
    )
    desk.put({name: text for name, text in TREE.items() if not name.endswith(".dcm")})
    assert desk.run().code == 0, desk.reasons()
    assert {name.split("/")[0] for name in desk.there()} == {"dataset_description.json", "sub-pA", "sub-pB"}
    assert "sub-pB/anat/sub-pB_T1w.json" in desk.there()


def test_a_sidecar_is_refused_with_its_image(desk: Desk) -> None:
    """In any tree; one image that is released will do; what has no image stands by itself."""
    desk.rules(RULES)
    side = '{"EchoTime": 1}'
    desk.put({
        "S/V/A/x.dcm": instance()[:-3], "S/V/A/x.json": side, "S/V/A/x.bval": "0\n",
        "S/V/A/y.dcm": instance(number=2), "S/V/A/y.json": side, "S/V/A/z.json": side,
        "S/V/B/x.json": side, "S/V/A/t.dcm": instance()[:-3], "S/V/A/t.dicom.zip": b"", "S/V/A/t.json": side,
    })  # fmt: skip
    assert desk.run().code == 1
    assert {name for name, state in desk.states().items() if state == "released"} == {
        "S/V/A/y.dcm", "S/V/A/y.json", "S/V/A/z.json", "S/V/B/x.json",
    }  # fmt: skip
    assert desk.reasons()["S/V/A/x.json"] == "the file that it is about is not released"
    desk.put({"S/V/A/y.dcm": instance(number=2)[:-3], "S/V/A/x.dcm": instance(number=5)})
    assert desk.run("--exists", "replace").code == 1
    assert desk.states()["S/V/A/x.json"] == "released"


def test_companions_have_one_stem(desk: Desk) -> None:
    """What a rule takes away in one, no name of the others carries; one stem, one pseudonym."""
    desk.rules(RULES)
    desk.put({
        "S1/V/A/Roe_Jane_T1.json": '{"PatientName": "Roe^Jane"}', "S1/V/A/Roe_Jane_T1.bval": "0\n",
        "S1/V/A/Roe_Jane_T1.bvec": "0\n", "S1/V/A/other.bval": "0\n",
    })  # fmt: skip
    assert desk.run().code == 0
    names = sorted(Path(name).name for name in desk.there())
    assert names[-1] == "other.bval"
    stems = {name.split(".")[0] for name in names[:-1]}
    assert len(stems) == 1
    assert stems.pop().startswith("file-")


def test_what_belongs_to_a_dataset() -> None:
    assert is_dataset("sub-01", ["anat"])
    assert is_dataset("sub-01", ["ses-1"])
    assert not is_dataset("sub-01", ["T1"])
    assert not is_dataset("S01", ["anat"])
    assert [depth(path.split("/")) for path in ("sub-1/ses-1/anat", "sub-1/anat", "sub-1", "sub-1/ses-1")] == [
        3,
        2,
        1,
        2,
    ]
    assert [
        depth(path.split("/")) for path in ("code", "derivatives/x/sub-1", "sub-1/x", "sub-1/anat/x", "sub-1/ses-1/x")
    ] == [None] * 5
    assert depth([]) is None
    assert [is_about_all(name) for name in ("participants.tsv", "README", "README.md", "IM0001", "a.dcm", "x.zip")] == [
        True, True, True, False, False, False,
    ]  # fmt: skip
    assert [prefix_of(label) for label in ("sub-1", "ses-1", "anat", "subject")] == ["sub-", "ses-", "", ""]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("sub-1_ses-a_T1w", "sub-X_ses-Y_T1w"),
        ("sub-1/ses-a/anat/sub-1_ses-a_T1w", "sub-X/ses-Y/anat/sub-X_ses-Y_T1w"),
        ("ses-a/anat", "ses-Y/anat"),
        ("sub-11", "new(sub-11)"),
        ("sub-1_ses-b", "sub-X_new(sub-1/ses-b)"),
        ("xsub-1 sub- ses", "xsub-1 sub- ses"),
        ("(sub-1)", "(sub-X)"),
        ("run-01", "run-01"),
        ("sub-millimeter scan of sub-1", "sub-millimeter scan of sub-X"),
        ("bids::sub-2/anat", "bids::new(sub-2)/anat"),
    ],
)
def test_labels_are_replaced(text: str, expected: str) -> None:
    entities = Entities({"sub-1": "sub-X", "sub-1/ses-a": "ses-Y"}, "sub-1")
    assert entities.replaced(text, lambda key: f"new({key})") == expected
    assert Entities({}, "").replaced("ses-1", str) == "ses-1"


def test_pseudonyms_that_rules_write_stay(desk: Desk) -> None:
    """They are labels of the destination already, and not of somebody without a folder."""
    rules = PROFILE.replace("name: PatientName", "name: PatientComments") + "".join(
        f"{key}:\n  fields:\n    - {{name: {name}, replace-with: '{{{{ subject.pseudonym }}}}', replace-with-insert: false}}\n"
        for key, name in (("json", "PatientID"), ("tsv", "participant_id"))
    )
    desk.rules(rules)
    listed = "participant_id\tx\nsub-ZZA\tsub-ZZA/anat\nsub-ZZB\tn/a\n"
    desk.put({
        "sub-ZZA/anat/sub-ZZA_T1w.json": '{"PatientID": "1", "n": 1}',
        "sub-ZZA/anat/sub-ZZA_x.tsv": "participant_id\nsub-ZZA\n",
        "sub-ZZB/anat/sub-ZZB_T1w.json": '{"PatientID": "2", "n": 2}',
        "participants.tsv": listed,
    })  # fmt: skip
    assert desk.run().code == 0, desk.reasons()
    there = desk.there()
    one = {
        data["n"]: data["PatientID"]
        for name, text in there.items()
        if name.endswith("json")
        for data in [json.loads(text)]
    }
    assert there["participants.tsv"].decode() == f"participant_id\tx\n{one[1]}\t{one[1]}/anat\n{one[2]}\tn/a\n"
    assert {name.split("/")[0] for name in there} == {*one.values(), "participants.tsv"}
    assert there[f"{one[1]}/anat/{one[1]}_x.tsv"].decode() == f"participant_id\n{one[1]}\n"


# -- a whole dataset by the shipped profile ----------------------------------------------------------------

DAYS = {"ZZA": date(2021, 3, 4), "ZZB": date(2020, 2, 29)}


def dataset(folder: Path) -> None:
    """Write volumes, sidecars, gradients and tables of two subjects with two sessions each."""
    for subject, day in DAYS.items():
        for session in ("1", "2"):
            stem, place = f"sub-{subject}_ses-{session}", folder / f"sub-{subject}" / f"ses-{session}"
            for kind, suffix in (("anat", "T1w"), ("dwi", "dwi")):
                (place / kind).mkdir(parents=True)
                image = nibabel.Nifti1Image(np.arange(60, dtype=np.int16).reshape(3, 4, 5), np.diag([2.0, 2, 3, 1]))
                image.header["descrip"] = f"Time=101112 {subject}".encode()
                image.to_filename(place / kind / f"{stem}_{suffix}.nii.gz")
            (place / f"anat/{stem}_T1w.json").write_text(json.dumps({
                "PatientName": "ZZCANARY^Erika", "AcquisitionDateTime": f"{day}T10:11:12.500000", "EchoTime": 0.0025,
                "SeriesInstanceUID": "1.2.840.113619.2.9.1",
            }))  # fmt: skip
            (place / f"dwi/{stem}_dwi.bval").write_text("0 1000 1000 \n")
            (place / f"dwi/{stem}_dwi.bvec").write_text("0 0 1\n1 0 0\n0 1 0\n")
            (place / f"{stem}_scans.tsv").write_text(
                f"filename\tacq_time\nanat/{stem}_T1w.nii.gz\t{day}T10:11:12\ndwi/{stem}_dwi.nii.gz\tn/a\n"
            )
    rows = "sub-ZZA\tErika ZZCANARY\t34\nsub-ZZB\tRoe\t40\nsub-ZZgone\tPoe\t41\n"
    (folder / "participants.tsv").write_text(f"participant_id\tname\tage\n{rows}")
    (folder / "dataset_description.json").write_text('{"Name": "x", "BIDSVersion": "1.9.0"}')
    (folder / "README").write_text("of ZZCANARY")


def table(data: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(data.decode()), delimiter="\t"))


def test_a_dataset_by_the_shipped_profile(desk: Desk) -> None:
    dataset(desk.source)
    assert desk.run("--profile", "bids").code == 0, desk.reasons()
    assert {name: state for name, state in desk.states().items() if state != "released"} == {"README": "skipped"}
    there = desk.there()
    assert not [name for name, data in there.items() if b"ZZ" in name.encode() + gunzipped(data)]
    people = [row["participant_id"] for row in table(there["participants.tsv"])]
    subjects = {name.split("/")[0] for name in there if "/" in name}
    assert len(set(people)) == 3
    assert subjects == set(people[:2])
    shifts = set()
    for person, day in zip(people, DAYS.values(), strict=False):
        for name in (name for name in there if name.startswith(person) and name.endswith("_scans.tsv")):
            folder = name.rpartition("/")[0]
            rows = table(there[name])
            assert all(f"{folder}/{row['filename']}" in there for row in rows)
            assert rows[1]["acq_time"] == "n/a"
            moved = date.fromisoformat(rows[0]["acq_time"][:10])
            image = f"{folder}/{rows[0]['filename']}"
            side = json.loads(there[image.replace(".nii.gz", ".json")])
            assert side.keys() == {"AcquisitionDateTime", "EchoTime", "SeriesInstanceUID"}
            assert side["AcquisitionDateTime"] == f"{moved}T10:11:12.500000"
            shifts.add((person, (moved - day).days))
            loaded = nibabel.load(desk.dest / image)
            assert isinstance(loaded, nibabel.Nifti1Image)
            assert np.array_equal(np.asanyarray(loaded.dataobj), np.arange(60).reshape(3, 4, 5))
            assert (loaded.affine == np.diag([2.0, 2, 3, 1])).all()
            assert loaded.header["descrip"] == b""
    assert len({person for person, _ in shifts}) == len(shifts) == 2  # one of each, in all sessions
    assert all(-1096 < days < -364 for _, days in shifts)
    assert there[next(name for name in there if name.endswith(".bval"))] == b"0 1000 1000 \n"


def gunzipped(data: bytes) -> bytes:
    return gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data


def test_a_companion_that_cannot_be_read_leaves_no_name_that_may_tell(desk: Desk) -> None:
    """Whom it names nobody knows; an archive tells, too."""
    desk.rules(RULES)
    desk.put({
        "Roe/V/A/Roe_Jane_T1.json": '{"PatientName": "Roe^Jane"', "Roe/V/A/Roe_Jane_T1.bval": "0\n",
        "Poe/V/A/Doe_Jim_dwi.dicom.zip": packed({"1.dcm": instance("P2", PatientName="Doe^Jim")}),
        "Poe/V/A/Doe_Jim_dwi.bval": "0\n", "Poe/V/A/other.bval": "0\n",
    })  # fmt: skip
    assert desk.run().code == 1
    names = {Path(name).name for name in desk.there()}
    assert "other.bval" in names
    assert not [name for name in names if "J" in name]
