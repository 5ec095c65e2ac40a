"""What the log has of a file gives it back: every format, from the released bytes and the entry alone."""

from __future__ import annotations

import gzip
import io
import json
import shutil
import sqlite3
import stat
import zipfile
from contextlib import closing
from datetime import date
from hashlib import sha256
from pathlib import Path
from typing import Any

import pydicom
import pytest
import yaml
from pydicom.dataset import Dataset
from pydicom.filewriter import dcmwrite
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from fw_gear_deid.cli import main
from fw_gear_deid.deid import Context, Result, dataset, deidentify
from fw_gear_deid.deid.giveback import give_back
from fw_gear_deid.deid.originals import files
from fw_gear_deid.deid.undo import Lost
from fw_gear_deid.deid.undo_dicom import undo_dicom
from fw_gear_deid.keys import Keyring, generate
from fw_gear_deid.model.errors import Malformed
from fw_gear_deid.profile.parse import parse_profile
from fw_gear_deid.sample import MARKER
from tests.desk import PROFILE, Desk, instance, packed, plain
from tests.nifti_files import DATA, volume
from tests.test_formats import CASES

Told = dict[str, Any]


def made(source: Path, name: str, profile: str, out: Path) -> tuple[Result, Told]:
    """De-identify a file, and read what the log is to have of it."""
    ctx = Context(parse_profile(profile, "p.yaml"), Keyring(b"k" * 32), "id:1", date(2026, 1, 1), "strict", log=True)
    done = deidentify(source, name, ctx, out)
    assert isinstance(done, Result) and done.originals is not None
    return done, json.loads(json.dumps(done.originals.told()))


GOOD = [(key, case) for key, case in CASES if "error" not in case and "skipped" not in case]


def data_of(case: dict[str, Any]) -> bytes:
    return bytes.fromhex(case["bytes"]) if "bytes" in case else case["content"].encode()


@pytest.mark.parametrize(("key", "case"), GOOD, ids=[f"{key}-{case['name']}" for key, case in GOOD])
def test_case_goes_back_to_the_byte(key: str, case: dict[str, Any], tmp_path: Path) -> None:
    source, out, back = tmp_path / "in", tmp_path / "out", tmp_path / "back"
    data = data_of(case)
    source.write_bytes(data)
    done, told = made(source, case["file"], yaml.safe_dump({key: case["section"]}), out)
    source.unlink()
    missing = give_back(out, json.loads(told["tags"]), back)
    assert back.read_bytes() == data or missing or done.released.name.endswith(".gz")
    if done.released.name.endswith(".gz"):
        assert gzip.decompress(back.read_bytes()) == gzip.decompress(data)


# -- DICOM: values for people, bytes for the program ---------------------------------------------------

RULES = """\
dicom:
  date-increment: -17
  recurse-sequence: true
  remove-private-tags: true
  fields:
    - {name: PatientName, replace-with: GONE}
    - {name: PatientID, hash: true}
    - {name: PatientBirthDate, remove: true}
    - {name: StudyDate, increment-date: true}
    - {name: RequestAttributesSequence, remove: true}
    - {name: IconImageSequence, remove: true}
    - {name: StudyInstanceUID, hashuid: true}
    - {name: SOPInstanceUID, hashuid: true}
    - {name: ReferencedSOPInstanceUID, hashuid: true}
    - {name: PatientComments, replace-with: "made"}
    - {name: EncapsulatedDocument, remove: true}
zip: {}
"""


def rich(number: int = 1) -> Dataset:
    """Return a data set with everything that the record has to hold."""
    ds = pydicom.dcmread(io.BytesIO(instance("P7", number=number)))
    ds.SpecificCharacterSet = ["", "ISO 2022 IR 87"]
    ds.PatientName = "Yamada^Tarou=\u5c71\u7530^\u592a\u90ce=\u3084\u307e\u3060^\u305f\u308d\u3046"
    ds.PatientBirthDate = "19500301"
    ds.StudyDate, ds.StudyTime, ds.AccessionNumber = "20200229", "235959.5", "A1"
    ds.PatientWeight = "070.50"
    step, icon, reference = Dataset(), Dataset(), Dataset()
    step.ScheduledProcedureStepDescription = "of Yamada"
    icon.Rows, icon.Columns, icon.PixelData = 2, 2, b"\1\2\3\4"
    icon["PixelData"].VR = "OB"
    reference.ReferencedSOPInstanceUID = f"2.25.9.{number}"
    ds.RequestAttributesSequence, ds.IconImageSequence = [step], [icon]
    ds.ReferencedImageSequence = [Dataset(), reference]
    block = ds.private_block(0x0019, "SIEMENS MR HEADER", create=True)
    block.add_new(0x0C, "IS", "1000")
    block.add_new(0x0D, "UN", b"secret\0")
    ds.add_new(0x00420011, "OB", bytes(70_000))
    return ds


def saved(ds: Dataset, syntax: str = ExplicitVRLittleEndian, preamble: bytes = bytes(128)) -> bytes:
    ds.file_meta.TransferSyntaxUID = syntax
    ds.preamble = preamble
    stream = io.BytesIO()
    little, implicit = syntax != ExplicitVRBigEndian, syntax == ImplicitVRLittleEndian
    dcmwrite(stream, ds, little_endian=little, implicit_vr=implicit, enforce_file_format=True, overwrite=True)
    return stream.getvalue()


def gone_and_back(data: bytes, tmp_path: Path, name: str = "a.dcm") -> tuple[bytes, Told, tuple[str, ...], bytes]:
    source, out, back = tmp_path / "in", tmp_path / "out", tmp_path / "back"
    source.write_bytes(data)
    _, told = made(source, name, RULES, out)
    source.unlink()
    missing = give_back(out, json.loads(told["tags"]), back)
    return back.read_bytes(), told, missing, out.read_bytes()


def test_record_is_dicom_json_that_others_read(tmp_path: Path) -> None:
    _, told, _, _ = gone_and_back(saved(rich()), tmp_path)
    tags = json.loads(told["tags"])
    found = Dataset.from_json(told["tags"], lambda uri: b"")
    assert str(found.PatientName).startswith("Yamada^Tarou=\u5c71\u7530")
    assert found.PatientID == "P7" and found.PatientBirthDate == "19500301" and found.StudyDate == "20200229"
    assert found.RequestAttributesSequence[0].ScheduledProcedureStepDescription == "of Yamada"
    assert found.ReferencedImageSequence[1].ReferencedSOPInstanceUID == "2.25.9.1"
    assert len(found.ReferencedImageSequence[0]) == 0
    assert found[0x0019100C].value == 1000 and found[0x00190010].value == "SIEMENS MR HEADER"
    assert "00100010" in tags and "00101030" not in tags  # what nobody changed is not there
    assert "PixelData" not in told["tags"] and "AQIDBA==" not in told["tags"]
    assert told["indexed"] == {
        "AccessionNumber": "A1",
        "PatientBirthDate": "19500301",
        "PatientID": "P7",
        "PatientName": str(found.PatientName),
        "SeriesDescription": "T1",
        "SeriesInstanceUID": "2.25.77.1.135.1.1",
        "StudyDate": "20200229",
        "StudyDateTime": "20200229235959.5",
        "StudyInstanceUID": "2.25.77.1.135.1",
        "StudyTime": "235959.5",
    }
    assert {old for old, _ in told["uids"]} == {"2.25.77.1.135.1", "2.25.77.1.135.1.1.1", "2.25.9.1"}
    [[old, new]] = told["patients"]
    assert old == "P7" and new not in ("", "P7")


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian])
def test_dicom_goes_back_to_the_byte_but_for_pixels_and_large_values(syntax: str, tmp_path: Path) -> None:
    data = saved(rich(), syntax, b"Yamada Tarou" + bytes(116))
    back, _, missing, out = gone_and_back(data, tmp_path)
    assert b"Yamada" not in out
    order = "little" if syntax != ExplicitVRBigEndian else "big"
    start = data.index(b"".join(half.to_bytes(2, order) for half in (0x0042, 0x0011)))
    stop = start + (8 if syntax == ImplicitVRLittleEndian else 12) + 70_000
    assert back == (data[:start] + data[stop:]).replace(b"\1\2\3\4", bytes(4))
    assert len(missing) == 2
    there, wanted = pydicom.dcmread(io.BytesIO(back)), pydicom.dcmread(io.BytesIO(data))
    assert there.IconImageSequence[0].PixelData == bytes(4)
    assert all(sha256(part).hexdigest() in " ".join(missing) for part in (b"\1\2\3\4", bytes(70_000)))
    assert (0x0042, 0x0011) not in there
    del there.IconImageSequence[0].PixelData, wanted.IconImageSequence[0].PixelData, wanted[0x00420011]
    assert there == wanted and there.file_meta == wanted.file_meta


def test_deflated_goes_back_value_by_value(tmp_path: Path) -> None:
    ds = rich()
    del ds.IconImageSequence, ds[0x00420011]
    data = saved(ds, DeflatedExplicitVRLittleEndian)
    back, _, missing, _ = gone_and_back(data, tmp_path)
    assert not missing and plain(back).split(b"\n", 1)[1] == plain(data).split(b"\n", 1)[1]
    there, wanted = pydicom.dcmread(io.BytesIO(back)), pydicom.dcmread(io.BytesIO(data))
    assert there == wanted and there.file_meta == wanted.file_meta


def test_archive_goes_back_member_by_member_and_says_once_what_all_have(tmp_path: Path) -> None:
    members = {f"Yamada/IM{number}": saved(rich(number)) for number in range(40)}
    for data in members.values():
        assert len(data) < 100_000
    one, _, _, _ = gone_and_back(packed({"Yamada/IM0": members["Yamada/IM0"]}), tmp_path, "a.zip")
    inner = packed({"deep/IM": instance("P7", number=99)})
    listed = members | {"inner.zip": inner, "Yamada/.DS_Store": bytes(9)}
    source, out, back = tmp_path / "in", tmp_path / "out", tmp_path / "back"
    source.write_bytes(packed(listed))
    _, told = made(source, "a.zip", RULES, out)
    missing = give_back(out, json.loads(told["tags"]), back)
    with zipfile.ZipFile(back) as archive:
        there = {name: archive.read(name) for name in archive.namelist()}
    assert there.keys() == members.keys() | {"inner.zip"}
    for name, data in members.items():
        first, second = pydicom.dcmread(io.BytesIO(there[name])), pydicom.dcmread(io.BytesIO(data))
        del first.IconImageSequence, second.IconImageSequence, second[0x00420011]
        assert first == second
    with zipfile.ZipFile(io.BytesIO(there["inner.zip"])) as archive:
        assert archive.read("deep/IM") == instance("P7", number=99)
    assert any(".DS_Store: a member that was left out" in text for text in missing)
    assert len(told["tags"]) < 20 * 1024  # forty members of 70 kB
    assert one and len(told["uids"]) == 1 + 41 + 40


def test_released_file_that_was_changed_is_not_patched(tmp_path: Path) -> None:
    _, told, _, out = gone_and_back(saved(rich()), tmp_path)
    (tmp_path / "cut").write_bytes(out[:200])
    with pytest.raises(Malformed):
        give_back(tmp_path / "cut", json.loads(told["tags"]), tmp_path / "x")
    with pytest.raises(Malformed):
        give_back(tmp_path / "cut", {"00100010": {"vr": "PN"}}, tmp_path / "x")


# -- whole runs: from the log alone --------------------------------------------------------------------


def told_by(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    code = main(["log", *words])
    found = capsys.readouterr()
    return code, found.out, found.err


def test_every_format_goes_back_from_the_log_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    desk = Desk(tmp_path)
    sections: dict[str, Any] = yaml.safe_load(PROFILE)
    files: dict[str, bytes] = {
        "S/V/single/a.dcm": instance(),
        "S/V/zip/a.zip": packed({"x/IM1": instance(number=2), "x/IM2": instance(number=3)}),
        "S/V/gz/a.dcm.gz": gzip.compress(instance(number=5), mtime=0),
        "loose/1": instance("P9"),
        "loose/2": instance("P9", number=2),
    }
    for key, case in GOOD:
        if key not in sections and key != "filename" and case["edits"]:
            sections[key] = case["section"]
            files[f"S/V/{key}/{case['file']}"] = data_of(case)
    assert len(sections) == 2 + 10
    desk.rules(yaml.safe_dump(sections))
    desk.put(files)
    url = f"sqlite:///{tmp_path}/log.sqlite"
    done = desk.run("--log-db", url)
    assert done.code == 0 and set(desk.states().values()) == {"released"}, desk.reasons()
    shutil.rmtree(desk.source)
    found: dict[str, bytes] = {}
    for number, path in enumerate(sorted(path for path in desk.dest.rglob("*") if path.is_file())):
        if ".fw-gear-deid" in path.parts:
            continue
        folder = tmp_path / "back" / str(number)
        folder.mkdir(parents=True)
        code, _, _ = told_by(capsys, "reidentify", str(path), "--log-db", url, "--reason", "test", "--out", str(folder))
        assert code == 0
        [back] = folder.iterdir()
        assert stat.S_IMODE(back.stat().st_mode) == 0o600
        found[f"{path.parent.name} {back.name}"] = back.read_bytes()
    wanted = {name.rpartition("/")[2]: data for name, data in files.items()}
    ours = {name.rpartition(" ")[2]: data for name, data in found.items()}
    for name, data in wanted.items():
        if name in ("1", "2"):
            continue
        if name == "a.zip":
            with zipfile.ZipFile(io.BytesIO(ours[name])) as archive:
                assert {one: archive.read(one) for one in archive.namelist()} == {
                    "x/IM1": instance(number=2),
                    "x/IM2": instance(number=3),
                }
        elif name == "a.dcm.gz":
            assert ours[name] == gzip.decompress(data)
        else:
            assert ours[name] == data, name
    [series] = [data for name, data in ours.items() if name.startswith("2.25.") and name.endswith(".dicom.zip")]
    with zipfile.ZipFile(io.BytesIO(series)) as archive:
        assert {archive.read(one) for one in archive.namelist()} == {files["loose/1"], files["loose/2"]}


def test_reidentify_asks_why_and_leaves_a_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    desk = Desk(tmp_path)
    desk.put({"S/V/A/a.dcm": instance()})
    log = tmp_path / "log.sqlite"
    url = f"sqlite:///{log}"
    assert desk.run("--log-db", url).code == 0
    [path] = desk.dest.rglob("*.dcm")
    with closing(sqlite3.connect(log)) as db:
        [(id_,)] = db.execute("SELECT id FROM deid_log").fetchall()
    assert told_by(capsys, "reidentify", str(path), "--log-db", url)[0] == 2
    for which in (id_, id_.lower(), str(path)):
        code, out, _ = told_by(capsys, "reidentify", which, "--log-db", url, "--reason", "asked for")
        assert code == 0
        [one] = json.loads(out)["files"]
        assert one["deidentified_tags"]["00100020"]["Value"] == ["P1"] and one["source"] == "a.dcm"
    back = tmp_path / "back.dcm"
    words = ("--log-db", url, "--reason", "asked for", "--out", str(back))
    assert told_by(capsys, "reidentify", id_, *words)[0] == 0
    assert back.read_bytes() == instance()
    assert told_by(capsys, "reidentify", id_, *words)[0] == 2  # nothing is written over
    assert told_by(capsys, "reidentify", id_, *words[:-1], f"{tmp_path}/folder/")[0] == 0
    [made] = (tmp_path / "folder").iterdir()
    assert made.read_bytes() == back.read_bytes()
    assert [oct(one.stat().st_mode & 0o777) for one in (made.parent, made)] == ["0o700", "0o600"]
    with closing(sqlite3.connect(log)) as db:
        looks = db.execute("SELECT command, reason FROM deid_log_trail").fetchall()
    assert looks == [("reidentify", "asked for")] * 6
    other = tmp_path / "other.dcm"
    other.write_bytes(instance("P2"))
    assert told_by(capsys, "reidentify", str(other), "--log-db", url, "--reason", "x")[0] == 1
    path.unlink()
    path.write_bytes(instance("P2"))
    code, _, err = told_by(capsys, "reidentify", id_, "--log-db", url, "--reason", "x", "--out", str(other) + "2")
    assert code == 2 and "SHA-256 is another" in err and not Path(str(other) + "2").exists()


def test_files_of_two_patients_with_the_same_bytes_are_told_apart(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    desk = Desk(tmp_path)
    desk.rules("json: {fields: [{name: PatientName, remove: true}]}\n")
    texts = {name: f'{{"PatientName": "{name}", "EchoTime": 3}}'.encode() for name in ("Ann", "Bob", "Cyd")}
    desk.put({f"{name}/V/A/x.json": text for name, text in texts.items()})
    log = tmp_path / "log.sqlite"
    assert desk.run("--log-db", f"sqlite:///{log}").code == 0
    released = sorted(desk.dest.rglob("*.json"))
    assert len(released) == 3 and len({path.read_bytes() for path in released}) == 1
    asked = ("--log-db", f"sqlite:///{log}", "--reason", "x", "--out")
    with closing(sqlite3.connect(log)) as db:
        sources = dict(db.execute("SELECT dest_file_id, source_file_id FROM deid_log").fetchall())
    for number, path in enumerate(released):
        back = tmp_path / str(number)
        assert told_by(capsys, "reidentify", str(path), *asked, str(back))[0] == 0
        assert back.read_bytes() == texts[sources[str(path)].partition("/")[0]]
    moved = released[0].rename(tmp_path / "moved.json")
    code, _, err = told_by(capsys, "reidentify", str(moved), *asked, str(tmp_path / "back"))
    assert code == 2 and "say which by its id" in err and not (tmp_path / "back").exists()


def test_sealed_log_gives_back_with_its_key_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    desk = Desk(tmp_path)
    desk.put({"S/V/A/a.dcm": instance()})
    url, key = f"sqlite:///{tmp_path}/log.sqlite", str(tmp_path / "log.key")
    generate(Path(key))
    assert desk.run("--log-db", url, "--log-key", key).code == 0
    assert MARKER.encode() not in (tmp_path / "log.sqlite").read_bytes()
    [path] = desk.dest.rglob("*.dcm")
    asked = ("reidentify", str(path), "--log-db", url, "--reason", "x", "--out")
    assert told_by(capsys, *asked, str(tmp_path / "1"))[0] == 2
    assert told_by(capsys, *asked, str(tmp_path / "2"), "--log-key", key)[0] == 0
    assert (tmp_path / "2").read_bytes() == instance()


def test_halves_of_a_pair_go_back(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    desk = Desk(tmp_path)
    desk.rules("nifti: {fields: [{name: descrip, replace-with: A}]}\n")
    whole = volume(magic="ni1", descrip=b"DOE", vox_offset=16)
    files = {"S/V/A/a.hdr": whole[:352], "S/V/A/a.img": b"DOE" + bytes(13) + DATA}
    desk.put(files)
    url = f"sqlite:///{tmp_path}/log.sqlite"
    done = desk.run("--log-db", url)
    assert done.code == 0, desk.reasons()
    for name, data in files.items():
        [path] = desk.dest.rglob(f"*{name[-4:]}")
        assert b"DOE" not in path.read_bytes()
        back = tmp_path / name[-5:]
        assert told_by(capsys, "reidentify", str(path), "--log-db", url, "--reason", "x", "--out", str(back))[0] == 0
        assert back.read_bytes() == data


def test_a_table_is_told_by_runs_of_rows(tmp_path: Path) -> None:
    source, out, back = tmp_path / "in", tmp_path / "out", tmp_path / "back"
    text = "name,n\n" + "".join(f"{'-' if n == 3 else f'Jo{n}hn'},{n % 2}\n" for n in range(1, 1001))
    source.write_text(text)
    rules = "csv: {fields: [{name: name, replace-with: '-'}]}\n"
    _, told = made(source, "t.csv", rules, out)
    tags = json.loads(told["tags"])
    [one] = files(tags)
    assert [place for place, _ in one.texts] == ["column name, rows 1-2", "column name, rows 4-1000"]
    assert one.texts[0][1] == ("Jo1hn", "Jo2hn")
    assert give_back(out, tags, back) == () and back.read_text() == text
    assert len(told["tags"]) < 3 * len(text)


def test_names_in_letters_of_an_unknown_system(tmp_path: Path) -> None:
    data = bytearray(packed({"xx/IM1": instance(), "IM2": instance(number=2)}))
    while (at := data.find(b"xx/IM1")) >= 0:
        data[at : at + 2] = b"\x8e\xff"
    back, _, missing, _ = gone_and_back(bytes(data), tmp_path, "a.zip")
    with zipfile.ZipFile(io.BytesIO(back)) as archive:
        assert sorted(archive.read(name) for name in archive.namelist()) == sorted([instance(), instance(number=2)])
    assert missing


def test_what_is_changed_inside_of_pixels_is_known_by_its_digest(tmp_path: Path) -> None:
    data = instance(BitsAllocated=8, PixelData=b"\5\6\7\x08" * 8)
    at = data.index(b"\5\6\7\x08")
    [section] = parse_profile(RULES, "p.yaml").sections
    parts = dataset.open_file(data, section)
    undo = undo_dicom(parts, ([], [(at + 4, at + 12, bytes(8))]), (), lambda level, tag: "")
    [(gap, length, [lost])] = undo.back
    assert (gap, length, lost) == (at + 4, 8, Lost.of(data[at + 4 : at + 12]))
    assert "pixels: 8 bytes" in undo.missing[0]
    kept = undo_dicom(parts, ([], []), (), lambda level, tag: "")
    assert not kept.back and not kept.missing


@pytest.mark.parametrize("again", [False, True], ids=["first", "another"])
def test_an_envelope_is_taken_out_again(tmp_path: Path, again: bool) -> None:
    """What was encrypted into the file is in the log as any other original, and the envelope is none of it."""
    pytest.importorskip("cryptography")
    keyring = Keyring(b"k" * 32, {"SECRET_KEY": b"000102030405060708090A0B0C0D0E0F"})
    data = instance()
    source, out, back = tmp_path / "in", tmp_path / "out", tmp_path / "back"
    for name in ("PatientSex", "PatientName")[not again :]:
        rules = json.dumps({"dicom": {"secret-key": "{{ SECRET_KEY }}", "fields": [{"name": name, "encrypt": True}]}})
        if again and name == "PatientName":
            data = out.read_bytes()
        source.write_bytes(data)
        profile = parse_profile(rules, "p.yaml", {})
        ctx = Context(profile, keyring, "id:1", date(2026, 1, 1), "strict", log=True)
        done = deidentify(source, "a.dcm", ctx, out)
    assert isinstance(done, Result) and done.originals is not None
    tags = json.loads(done.originals.tags())
    assert tags["00100010"]["Value"][0]["Alphabetic"].startswith(MARKER)
    assert give_back(out, tags, back) == ()
    assert back.read_bytes() == data
