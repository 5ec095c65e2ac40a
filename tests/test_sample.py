"""What the sample says it planted is there, all that is there is listed, and it is sound DICOM."""

import gzip
import io
import json
import re
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import pydicom
import pytest
from pydicom.uid import DeflatedExplicitVRLittleEndian

from fw_gear_deid.cli import main
from fw_gear_deid.model.errors import UsageError
from fw_gear_deid.sample import MARKER, MAX_SUBJECTS, MR_PHYSICS, UID_ROOT, Planted, make_sample
from fw_gear_deid.sample.canaries import birth_date, canary, in_text
from fw_gear_deid.sample.survivors import survivors

SUBJECTS = 3
WORD = re.compile(rf"{MARKER}\d+[A-Z]+\d?|\b19[0-2]\d{{5}}\b".encode())


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Planted]]:
    folder = tmp_path_factory.mktemp("sample") / "project"
    return folder, make_sample(folder, SUBJECTS)


def contents(folder: Path) -> dict[str, bytes]:
    """Return the files of a folder by relative path."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def members(data: bytes) -> dict[str, bytes]:
    """Return the members of an archive, or a file that is none under an empty name."""
    if not data.startswith(b"PK"):
        return {"": data}
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert archive.testzip() is None
        return {name: archive.read(name) for name in archive.namelist()}


def plain(data: bytes) -> bytes:
    """Return the bytes of a file with its data set inflated."""
    if data[128:132] != b"DICM":
        return data
    start = 144 + int.from_bytes(data[140:144], "little")  # PS3.10 §7.1: the group length comes first
    if DeflatedExplicitVRLittleEndian.encode() not in data[132:start]:
        return data
    return data[:start] + zlib.decompress(data[start:], -15)


def instances(folder: Path) -> Iterator[pydicom.FileDataset]:
    """Yield every DICOM instance, in archives or not."""
    for data in contents(folder).values():
        for member in members(data).values():
            if member[128:132] == b"DICM":
                yield pydicom.dcmread(io.BytesIO(member))


def where(planted: Planted, data: bytes) -> bytes:
    """Return the bytes that a place stands for: no more than the member, name or comment that it names."""
    member, _, place = planted.place.rpartition(": ")
    if planted.place == "zip comment" or place in ("name", "comment"):
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            if not member:
                return archive.comment
            return archive.getinfo(member).comment if place == "comment" else member.encode()
    found = plain(members(data)[member])
    return found[:128] if place == "preamble" else found


def test_every_planted_value_is_at_its_place(sample: tuple[Path, list[Planted]]) -> None:
    folder, planted = sample
    files = contents(folder)
    for one in planted:
        if one.place in ("folder name", "file name"):
            assert one.value in Path(one.path).name
            assert (folder / one.path).is_dir() == (one.place == "folder name")
        else:
            assert one.value.encode() in where(one, files[one.path]), one


def test_nothing_is_planted_that_is_not_listed(sample: tuple[Path, list[Planted]]) -> None:
    folder, planted = sample
    for path, data in contents(folder).items():
        listed = {one.value.encode() for one in planted if one.path == path}
        named = {one.value.encode() for one in planted if path.startswith(one.path)}
        assert set(WORD.findall(path.encode())) <= named
        pieces = [plain(piece) for piece in members(data).values()]
        around = data.replace(b"PK", b" ")  # names and comments of an archive, up to its next signature
        assert {word for piece in [around, *pieces] for word in WORD.findall(piece)} <= listed


@pytest.mark.parametrize(
    ("place", "word"),
    [
        ("folder name", "MRN"),
        ("folder name", "ACC2"),
        ("folder name", "ACQUIS"),
        ("file name", "FAMILY"),
        ("zip comment", "ZIPNOTE"),
        ("{m}: name", "MRN"),
        ("{m}: comment", "ENTRY"),
        ("{m}: preamble", "PREAMB"),
        ("{m}: (0002,0016)", "SENDER"),
        ("{m}: (0008,0050)", "ACC1"),
        ("{m}: (0008,0080)", "INST"),
        ("{m}: (0008,0090)", "REFER"),
        ("{m}: (0008,1010)", "STATION"),
        ("{m}: (0008,1030)", "STUDY"),
        ("{m}: (0008,1070)", "OPERA"),
        ("{m}: (0008,1070)", "OPERB"),
        ("{m}: (0010,0010)", "FAMILY"),
        ("{m}: (0010,0010)", "GIVEN"),
        ("{m}: (0010,0020)", "MRN"),
        ("{m}: (0010,1002)[0](0010,0020)", "OTHERA"),
        ("{m}: (0010,1002)[0](0010,0024)[0](0040,0036)[0](0040,0031)", "CLINIC"),
        ("{m}: (0010,1002)[1](0010,0020)", "OTHERB"),
        ("{m}: (0010,1040)", "STREET"),
        ("{m}: (0018,1000)", "SERIAL"),
        ('{m}: (0019,"SIEMENS MR HEADER",09)', "SIEMENS"),
        ("{m}: (0020,4000)", "COMMENT"),
        ('{m}: (0021,"ACME RECON 2.1",01)', "UNKNOWN"),
        ('{m}: (0021,"ACME RECON 2.1",02)', "BLOB"),
        ('{m}: (0021,"ACME RECON 2.1",03)', "UNSEQ"),
        ("{m}: (0040,0275)[0](0032,1060)", "REQUEST"),
        ("{last}: bytes after the data set", "TRAILER"),
        ("{top}/.DS_Store: content", "FINDER"),
        ("__MACOSX/{top}/._IM0001: content", "MACOS"),
        ("{uid}/1.dcm: (0009,\"GEMS_IDEN_01\",30)", "GEMS"),
        ("(0040,A730)[0](0040,A123)", "OBSERV"),
        ("(0040,A730)[2](0040,A730)[0](0040,A160)", "CALL"),
        ("content", "LETTER"),
        ("content", "SIDECAR"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("subject", range(1, SUBJECTS + 1))
def test_each_subject_has_it(sample: tuple[Path, list[Planted]], subject: int, place: str, word: str) -> None:
    top = canary(subject, "MRN")
    uid = f"{UID_ROOT}.{subject}.1.2"
    wanted = place.format(m=f"{top}/IM0001", last=f"{top}/IM0003.dcm", top=top, uid=uid)
    mine = {(one.place, one.value) for one in sample[1] if one.path.startswith(top)}
    assert (wanted, canary(subject, word)) in mine


def test_birth_date_and_the_name_in_three_scripts(sample: tuple[Path, list[Planted]]) -> None:
    by_place = {(one.place, one.value) for one in sample[1]}
    assert {("(0010,0010)", "金糸雀001"), ("(0010,0010)", "カナリア001")} <= by_place
    assert {("(0010,0030)", birth_date(subject)) for subject in (1, 2, 3)} <= by_place
    names = [ds.PatientName for ds in instances(sample[0]) if ds.SpecificCharacterSet == "ISO_IR 192"]
    assert names
    assert {(name.ideographic, name.phonetic) for name in names} == {("金糸雀001", "カナリア001")}


def test_two_runs_write_the_same(sample: tuple[Path, list[Planted]], tmp_path: Path) -> None:
    folder, planted = sample
    assert make_sample(tmp_path, SUBJECTS) == planted
    assert contents(tmp_path) == contents(folder)


def test_instances_are_sound(sample: tuple[Path, list[Planted]]) -> None:
    uids = []
    for ds in instances(sample[0]):
        meta = ds.file_meta
        assert meta.MediaStorageSOPInstanceUID == ds.SOPInstanceUID
        assert meta.MediaStorageSOPClassUID == ds.SOPClassUID
        assert ds.SOPInstanceUID.is_valid
        assert ds.SOPInstanceUID.startswith(f"{ds.SeriesInstanceUID}.")
        assert ds.SeriesInstanceUID.startswith(f"{ds.StudyInstanceUID}.")
        assert ds.StudyInstanceUID.startswith(f"{UID_ROOT}.")
        assert len(list(ds.iterall())) > 40  # every element can be read
        uids.append(ds.SOPInstanceUID)
    assert len(set(uids)) == len(uids) == 9 * SUBJECTS


def test_pixels_are_a_ramp(sample: tuple[Path, list[Planted]]) -> None:
    images = [ds for ds in instances(sample[0]) if ds.Modality != "SR"]
    assert len(images) == 8 * SUBJECTS
    for ds in images:
        frames = ds.pixel_array.reshape(-1, 256)
        assert len(frames) == int(ds.get("NumberOfFrames", 1))
        for index, frame in enumerate(frames):
            first = ds.InstanceNumber + index
            assert frame.tolist() == [(first + pixel) % 256 for pixel in range(256)]


def test_every_way_to_encode_is_there(tmp_path: Path) -> None:
    make_sample(tmp_path, 1)
    assert {(ds.Modality, ds.file_meta.TransferSyntaxUID.keyword) for ds in instances(tmp_path)} == {
        ("MR", "ExplicitVRLittleEndian"),
        ("MR", "ImplicitVRLittleEndian"),
        ("CT", "ExplicitVRBigEndian"),
        ("US", "RLELossless"),
        ("SR", "DeflatedExplicitVRLittleEndian"),
    }


def test_mr_has_the_scientific_values(sample: tuple[Path, list[Planted]]) -> None:
    mr = [ds for ds in instances(sample[0]) if ds.Modality == "MR"]
    assert len(mr) == 5 * SUBJECTS
    for ds in mr:
        assert {keyword: str(ds[keyword].value) for keyword in MR_PHYSICS} == MR_PHYSICS
    sidecars = [json.loads(path.read_text("utf-8")) for path in sample[0].rglob("*.json")]
    assert [sidecar["EchoTime"] for sidecar in sidecars] == [2.98] * SUBJECTS


def test_archives_are_stored_and_deflated(sample: tuple[Path, list[Planted]]) -> None:
    ways = {}
    for path in sample[0].rglob("*.dicom.zip"):
        with zipfile.ZipFile(path) as archive:
            ways[path.parent.name] = {info.compress_type for info in archive.infolist()}
    deflated, stored = {zipfile.ZIP_DEFLATED}, {zipfile.ZIP_STORED}
    assert ways == {"T1_MPRAGE": deflated, "Abdomen": deflated, "DTI": stored}


def test_it_is_small_and_has_four_levels(sample: tuple[Path, list[Planted]]) -> None:
    files = contents(sample[0])
    assert sum(map(len, files.values())) < 2 << 20
    assert {path.count("/") for path in files} == {3}
    assert len({path.rsplit("/", 2)[0] for path in files}) == 2 * SUBJECTS


def test_one_name_stands_in_a_series_description(sample: tuple[Path, list[Planted]]) -> None:
    named = {one.value for one in sample[1] if one.place.endswith("(0008,103E)")}
    assert named == {canary(2, "FAMILY")}


# -- what survives -------------------------------------------------------------------------------------


def test_everything_survives_a_copy(sample: tuple[Path, list[Planted]]) -> None:
    folder, planted = sample
    assert {one.value for one in survivors(planted, folder)} == {one.value for one in planted}


FAMILY, BORN = canary(1, "FAMILY"), birth_date(1)


def zipped(name: str, data: bytes, comment: str = "") -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, data)
        archive.comment = comment.encode()
    return stream.getvalue()


def tarred(name: str, data: bytes) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        info = tarfile.TarInfo(name)
        info.size = len(data)
        archive.addfile(info, io.BytesIO(data))
    return stream.getvalue()


@pytest.mark.parametrize(
    ("name", "data", "expected"),
    [
        ("a", f"x{FAMILY}x".encode(), FAMILY),
        ("a", FAMILY.lower().encode(), FAMILY),
        ("a", b"?" + FAMILY.encode("utf-16-le"), FAMILY),
        ("a", FAMILY.encode("utf-16-be"), FAMILY),
        ("a", "金糸雀001".encode("shift_jis"), "金糸雀001"),
        ("a", b"DA\x08\0" + BORN.encode() + b"\x10\0", BORN),
        ("a", b"1.2." + BORN.encode() + b"99", None),
        (f"b/{FAMILY}/c", b"", FAMILY),
        ("a", zipped("x", FAMILY.encode()), FAMILY),
        ("a", zipped(FAMILY, b""), FAMILY),
        ("a", zipped("x", b"", FAMILY), FAMILY),
        ("a", zipped("x", zipped("y", gzip.compress(FAMILY.encode()))), FAMILY),
        ("a", gzip.compress(tarred("x", FAMILY.encode())), FAMILY),
        ("a", tarred(FAMILY, b""), FAMILY),
        ("a", canary(1, "NOBODY").encode(), None),
    ],
)
def test_survivor_is_found_in_any_form(tmp_path: Path, name: str, data: bytes, expected: str | None) -> None:
    path = tmp_path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    planted = [Planted("p", "content", value) for value in (FAMILY, BORN, "金糸雀001")]
    assert [one.value for one in survivors(planted, tmp_path)] == ([expected] if expected else [])


def test_command_counts_survivors(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The list lies beside the sample, and what it counts is what a search of one's own finds."""
    folder, out = tmp_path / "in", tmp_path / "out"
    assert main(["sample", str(folder)]) == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in", "in-planted.csv"]
    assert main(["sample", str(folder), "--check", str(out)]) == 2
    assert main(["run", str(folder), str(out), "--profile", "research-site", "--workers", "1"]) in (0, 1)
    capsys.readouterr()
    assert main(["sample", str(folder), "--check", str(out)]) == 1
    first, *kinds = capsys.readouterr().out.splitlines()
    assert re.fullmatch(rf"{re.escape(str(out))}: \d+ of \d+ planted identifiers survive", first)
    assert {line.split(":")[0].strip() for line in kinds} >= {"STUDY"}  # a description, which the profile keeps
    assert "MRN" not in first + "".join(kinds)
    for path in out.rglob("*"):
        if path.is_file():
            path.write_bytes(b"clean")
    assert main(["sample", str(folder), "--check", str(out)]) == 0


def test_list_of_another_kind_is_not_overwritten(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "in-planted.csv").write_text("mine")
    assert main(["sample", str(tmp_path / "in")]) == 2
    assert (tmp_path / "in-planted.csv").read_text() == "mine"
    assert "move it out of the way" in capsys.readouterr().err


def test_a_folder_that_holds_something_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(UsageError, match="no empty folder"):
        make_sample(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]
    with pytest.raises(UsageError, match="no empty folder"):
        make_sample(tmp_path / "mine.txt")


@pytest.mark.parametrize("subjects", [0, -1, MAX_SUBJECTS + 1])
def test_a_number_out_of_range_is_refused(tmp_path: Path, subjects: int) -> None:
    with pytest.raises(UsageError, match="number of subjects"):
        make_sample(tmp_path / "new", subjects)
    assert not (tmp_path / "new").exists()


def test_the_last_subject_fits_a_short_string_and_has_a_birth_date_of_its_own() -> None:
    dates = {birth_date(subject) for subject in range(1, MAX_SUBJECTS + 1)}
    assert len(dates) == MAX_SUBJECTS
    assert all(in_text(born) == (born,) for born in dates)
    assert len(canary(MAX_SUBJECTS, "STATION")) == 16  # PS3.5 Table 6.2-1, SH and AE
