"""The shared conformance vectors: what the reference engine does, and what ours does instead where that is wrong."""

from __future__ import annotations

import base64
import io
import json
import struct
import warnings
import zipfile
from dataclasses import dataclass, field
from datetime import date, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as etree

import pydicom
import pytest
from PIL import ExifTags, Image, ImageSequence

from fw_gear_deid.ciphers import Ciphers
from fw_gear_deid.deid import Context, Result, deidentify, deidentify_series
from fw_gear_deid.formats import FORMATS
from fw_gear_deid.keys import Keyring
from fw_gear_deid.model.errors import Unfit
from fw_gear_deid.model.locks import Lock
from fw_gear_deid.model.outcome import Skipped
from fw_gear_deid.profile.compiled import Profile
from fw_gear_deid.profile.parse import parse_profile
from fw_gear_deid.profile.text.problems import ProfileError
from fw_gear_deid.profile.values.variables import keys_in
from tests.desk import plain

TODAY = date.today()  # noqa: DTZ011 -- increment-datetime-min-relative was made in local time
Json = dict[str, Any]
Case = Json
PATH = Path(__file__).resolve().parents[2] / "shared" / "vectors" / "cases.json"
CASES: list[Case] = json.loads(PATH.read_text(encoding="utf-8")) if PATH.exists() else []
pytestmark = pytest.mark.skipif(not CASES, reason="shared/vectors/cases.json is not beside this checkout")

# group → sections it needs; without them its files must be refused
NEEDS = {
    "json": {"json"},
    "xml": {"xml"},
    "table": {"csv", "tsv", "table"},
    "key-value": {"key-value-text-file"},
}
NIFTI = {"image-nii-replace": b"X", "image-nii-hash": sha256(b"PHI Doe").hexdigest()[:16].encode()}
"""Extensions do not travel, which the reference engine copies; and a text can be hashed: what descrip holds then."""
IMAGES = {"jpg": "jpg", "png": "png", "tiff": "tiff", "nii": "nifti"}
NEEDS_BY_ID = {"overlap-json-filename": {"json"}, "overlap-json-keyvalue": {"json", "key-value-text-file"}}

# where we decide otherwise, exact cases included: see the README of the vectors
REFUSED_NOT_SKIPPED = {
    "file-select-only-header": "a header without a data set is a damaged file, not another kind of file",
    "key-value-bad-line": "a file of the section that cannot be read is refused, with its reason",
}
PARTIAL = {"increment-datetime-partial-year": "a DT to the year is readable, and moves as its first day"}
SOP_STAYS = {"addressing-regex-uid-meta": "the regex would remove SOPInstanceUID, which is never removed"}
META_DROPPED = (
    "00020016",
    "00020017",
    "00020018",
    "00020026",
    "00020027",
    "00020028",
    "00020100",
    "00020102",
)
META_OURS = ("00020000", "00020003", "00020012", "00020013")
STAYS = ("00080005", "00080016", "00080018", "7FE00010")  # and group 0028, under remove-undefined
# the reference keeps the comment of an archive unless a rule speaks of it; ours keeps none (right of zip-basic)
COMMENTS = {"zip-comment-hash": sha256(b"ZIP PHI Doe").hexdigest()[:16].encode()}

Wrong = str
"""A fragment of what `profile check` says: the profile is refused."""
Tags = dict[str, list[Any] | None]
"""Tag → its values after us, None when it is gone; all other elements are as the reference writes them."""


@dataclass(frozen=True)
class Right:
    """What to do instead of a defect."""

    tags: Tags = field(default_factory=dict)
    name: str = ""
    base: str = "expected"
    """What all other elements are compared with: ``expected`` or ``input``."""
    text: str = ""
    """All of it, of a file that is text."""


NO_OUTPUT = None
_MASKED = bytes(0 if number < 16 and number % 8 < 4 else number for number in range(64))
RIGHT: dict[str, Wrong | Right | bytes | None] = {
    "table-default-filter": b"id,dob\n1,19541215\n2,\n",
    "table-tsv": b"id\n1\n",
    "remove-keep-remove-sop": Right(
        {"00080018": ["1.2.826.0.977170.112145.195254.914318.121045.251968.632652"]},
        name="1.2.826.0.977170.112145.195254.914318.121045.251968.632652.MR.dcm",
    ),
    "replace-with-null": "no value",
    "replace-with-us-str-by-tag": "VR US takes a number",
    "replace-with-lo-int-by-tag": "VR LO takes text",
    "replace-with-da-text": "not in the form of VR DA",
    "hash-as": "VR AS cannot hold a hash",
    "hash-ui-by-tag": "VR UI cannot hold a hash",
    "hash-us-by-tag": "VR US cannot hold a hash",
    "hashuid-suffix-leading-zero": Right(
        {"0020000D": ["1.2.840.113619.542391.721267.692125.787226.157133.341161.451"]}
    ),
    "increment-date-override-zero-regex": Right({"00080020": ["20200229"]}),
    "increment-date-year-lt-1000": Right({"00080020": ["01030818"]}),
    "increment-date-text-with-comma": NO_OUTPUT,
    "increment-datetime-partial-minutes-tz": Right({"0008002A": ["202003051345+0100"]}),
    "increment-datetime-partial-date": Right({"0008002A": ["20200305"]}, base="input"),
    "increment-datetime-min-regex-dropped": Right({"00080020": ["20200229"]}),
    "jitter-type-bogus": "must be int or float",
    "addressing-hex-octal": Right({"00100010": None}),
    "addressing-regex-upper-hex": Right({"0020000D": None}),
    "addressing-rep-upper-element": Right({"5000200C": None}),
    "addressing-priv-creator-case-remove": Right(),  # and the rule is reported: test_unmatched_rule_is_reported
    "addressing-priv-two-blocks": Right({"00091101": None}),
    "addressing-meta-remove-absent-tag": Right(base="input"),
    "remove-private-tags-keep-leaks-other-creator": Right({"00101002": [{}]}),
    "remove-private-tags-typo": "did you mean 'remove-private-tags'",
    "remove-private-tags-outdented": "indent it below 'dicom:'",
    "remove-undefined-file-meta": Right(),  # check_always sees to the file meta of every output
    "remove-undefined-typo": "did you mean 'remove-undefined'",
    "recurse-sequence-un-sequence": Right({"00091001": [base64.b64encode(b"\xfe\xff\x00\xe0" + bytes(4)).decode()]}),
    "patient-age-neg": Right({"00101010": None}),
    "patient-age-unit-bogus": "write D, M or Y",
    "order-two-actions": "several actions",
    "order-two-actions-keep": "several actions",
    "filenames-default-hashed": Right(),
    "filenames-kw-lowercase": Right(name="X1.dcm"),
    "filenames-missing": NO_OUTPUT,
    "encoding-preamble": Right(),
    "encoding-meta-private": Right(),
    "encoding-no-profile-section": "no section for a file type",
    "profile-action-typo-with-keep": "did you mean 'remove'",
    "profile-dup-hides-validation": "must be true",
    "profile-dicom-null": "the section is empty",
    "profile-only-config-profiles": "no fields and no option that changes anything",
    "json-remove-missing-index": Right(base="input"),
    "xml-replace-all": Right(
        text="<r><p id='7'><name>X</name><d>2020-02-29</d></p><p><name>X</name></p><!-- Doe --></r>"
    ),
    "key-value-value-in-key": Right(text="Name = X\nA = b\n"),
    "key-value-empty-value": Right(text="A = X\nB = c\n"),
    "key-value-key-typo": Right(base="input"),  # and the rule is reported: test_unmatched_rule_is_reported
    "zip-basic": Right(),
    "zip-comment-hash": Right(),
    "zip-only-zip": "no section for the members",
    "pixels-reversed": "x0 less than x1",
    "pixels-hyphen-typo": Right({"7FE00010": [base64.b64encode(_MASKED).decode()]}),
    "pixels-undecodable": NO_OUTPUT,
}
PROPERTY_DEFECTS = ("jitter-ds-over16", "jitter-is-float-cast", "jitter-minmax-regex-zero")
LEAKS = {
    "hashuid-suffix-dob": "hashuid keeps the first and last components",
    "patient-age-over-89": "ages above 89",
    "encoding-encapsulated-text": "text that no field names",
    "zip-catch-all-filename": "copies files as they are",
}


# -- running ---------------------------------------------------------------------------------------------


@dataclass
class Ran:
    """What came of a case: outputs by name, and why there are no others."""

    files: dict[str, bytes]
    refused: list[str]
    skipped: list[str]
    unmatched: frozenset[int] = frozenset()


def inputs(case: Case) -> list[tuple[str, bytes]]:
    files = case["input"].get("files", [case["input"]])
    return [(one["filename"], base64.b64decode(one["bytes_b64"])) for one in files]


def run(case: Case, folder: Path, secret: bytes = b"k" * 32, verify: str = "strict") -> Ran:
    profile = parse_profile(case["profile"], "vector.yaml")
    ran = Ran({}, [], [])
    locks = {name: key.encode() for name, key in keys_in(case["profile"]).items()}
    ctx = Context(profile, Keyring(secret, locks), None, TODAY, verify)
    for number, (name, data) in enumerate(inputs(case)):
        source, out = folder / f"in{number}", folder / f"out{number}"
        source.write_bytes(data)
        try:
            match deidentify(source, name, ctx, out):
                case Result(released):
                    assert released.name not in ran.files
                    ran.files[released.name] = out.read_bytes()
                    ran.unmatched |= released.unmatched
                case Skipped(reason):
                    ran.skipped.append(reason)
        except Unfit as error:
            ran.refused.append(str(error))
    return ran


def is_refused(case: Case, folder: Path) -> bool:
    """Tell whether a case ends in an error: of the profile, or for every file, and leaves nothing behind."""
    try:
        ran = run(case, folder)
    except ProfileError:
        return True
    return not ran.files and len(ran.refused) == len(inputs(case))


# -- comparing -------------------------------------------------------------------------------------------


def read(data: bytes) -> tuple[Json, Json]:
    """Return file meta and data set as DICOM JSON."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # some vectors hold odd values on purpose
        ds = pydicom.dcmread(io.BytesIO(data), force=True)
        return ds.file_meta.to_json_dict(), json.loads(json.dumps(ds.to_json_dict()))


def is_keep_list(case: Case) -> bool:
    return "remove-undefined: true" in case["profile"]


def same_dicom(case: Case, want: bytes, got: bytes, changed: Tags) -> None:
    check_always(case, got)
    (want_meta, want_body), (got_meta, got_body) = read(want), read(got)
    for meta in (want_meta, got_meta):
        for tag in META_DROPPED + META_OURS:
            meta.pop(tag, None)
    for tag, values in changed.items():
        assert values_of(got_body.pop(tag, None)) == values, tag
        want_body.pop(tag, None)
    if is_keep_list(case):
        _, source = read(inputs(case)[0][1])
        for tag in [tag for tag in got_body if tag not in want_body]:
            assert tag in STAYS or tag.startswith("0028"), f"{tag} should have gone"
            assert got_body.pop(tag) == source[tag] or tag == "00080018"
    assert got_meta == want_meta
    assert got_body == want_body


def values_of(element: Json | None) -> list[Any] | None:
    if element is None:
        return None
    return [element["InlineBinary"]] if "InlineBinary" in element else element.get("Value", [])


def check_always(case: Case, data: bytes) -> None:
    """Check what holds for every DICOM file that we write, whatever the rules."""
    meta, body = read(data)
    if data[128:132] == b"DICM":
        assert not data[:128].strip(b"\0")
    assert "FFFCFFFC" not in body
    assert not [tag for tag in body if tag.endswith("0000")], "group lengths"
    if meta:
        assert meta["00020003"] == body["00080018"]
        for tag in META_DROPPED:
            assert tag not in meta or pydicom.datadict.keyword_for_tag(tag) in case["profile"]


def same_zip(case: Case, want: bytes, got: bytes) -> None:
    with zipfile.ZipFile(io.BytesIO(want)) as theirs, zipfile.ZipFile(io.BytesIO(got)) as ours:
        members = {name for name in theirs.namelist() if not name.endswith("/")}
        assert set(ours.namelist()) == members
        for name in members:
            if name.endswith(".dcm"):
                same_dicom(case, theirs.read(name), ours.read(name), {})
            else:
                assert ours.read(name) == theirs.read(name)
        speaks = "comment" in case["profile"]
        assert ours.comment == COMMENTS.get(case["id"], theirs.comment if speaks else b"")
        assert {info.date_time for info in ours.infolist()} == {(1980, 1, 1, 0, 0, 0)}
        assert not any(info.extra or info.comment for info in ours.infolist())


def same_files(case: Case, got: dict[str, bytes], right: Right = Right()) -> None:
    theirs = case["expected"]["files"] if right.base == "expected" else [case["input"]]
    want = [(one["filename"], one["type"], base64.b64decode(one["bytes_b64"])) for one in theirs]
    if right.text:
        want = [(name, kind, right.text.encode()) for name, kind, _ in want]
    assert len(got) == len(want)
    for (name, kind, data), (ours, written) in zip(sorted(want), sorted(got.items()), strict=True):
        match kind:
            case "dicom":
                same_dicom(case, data, written, right.tags)
            case "zip":
                same_zip(case, data, written)
            case _ if name.lower().endswith(".json"):
                assert json.loads(written) == json.loads(data)
            case _ if name.lower().endswith(".xml"):
                assert etree.canonicalize(written, with_comments=True) == etree.canonicalize(data, with_comments=True)
            case _:
                assert written == data
        if right.name:
            assert ours == right.name
        elif (
            (right.base == "input" and kind == "dicom")
            or (is_keep_list(case) and kind == "dicom")
            or case["id"] in SOP_STAYS
        ):
            assert ours == default_name(written)
        else:
            assert ours == name


def default_name(data: bytes) -> str:
    _, body = read(data)
    modality = (values_of(body.get("00080060")) or ["NA"])[0]
    return f"{body['00080018']['Value'][0]}.{modality}.dcm"


# -- the cases -------------------------------------------------------------------------------------------


def missing(case: Case) -> bool:
    """Tell whether a case needs what this version does not carry out."""
    needs: set[str] = NEEDS_BY_ID.get(case["id"]) or NEEDS.get(case["group"], set())
    if case["group"] == "image":
        needs = {IMAGES[case["id"].split("-")[1]]}
    return not needs <= FORMATS.keys()


def of(match: str, *, without: tuple[str, ...] = ()) -> pytest.MarkDecorator:
    chosen = [one for one in CASES if one["match"] == match and not missing(one) and one["id"] not in without]
    return pytest.mark.parametrize("case", [pytest.param(one, id=one["id"]) for one in chosen])


PAGES = "image-tiff-multipage"  # decided otherwise: every page is processed
OTHERWISE = {  # an error of the reference; decided otherwise: addressed
    "json-list-top": {"a.json": b"[{}]"},
    "xml-attribute": {
        "a.xml": b'<?xml version="1.0"?><r><p id="X"><name>Doe</name><d>2020-02-29</d></p>'
        b"<p><name>Roe<b>in</b>tail PHI</name></p><!-- Doe --></r>"
    },
}


def gone_from_pages(data: bytes, tag: int) -> list[bool]:
    """Tell of each page of a TIFF file whether it lacks a tag."""
    with Image.open(io.BytesIO(data)) as opened:
        return [tag not in frame.getexif() for frame in ImageSequence.Iterator(opened)]


@of("exact", without=tuple(NIFTI))
def test_exact(case: Case, tmp_path: Path) -> None:
    expected = case["expected"]
    if case["id"] in PARTIAL:
        same_files(case, run(case, tmp_path).files, Right({"0008002A": ["2020"]}, base="input"))
        return
    if case["id"] in OTHERWISE:
        assert run(case, tmp_path).files == OTHERWISE[case["id"]]
        return
    if case["id"] == PAGES:
        (data,) = run(case, tmp_path).files.values()
        assert gone_from_pages(data, 315) == [True, True]
        return
    if "error" in expected:
        assert is_refused(case, tmp_path)
        return
    ran = run(case, tmp_path)
    if "skipped" in expected:
        assert not ran.files
        assert bool(ran.refused) == (case["id"] in REFUSED_NOT_SKIPPED)
        return
    assert not ran.refused
    uid: Tags = {"00080018": ["1.2.826.0.977170.112145.195254.914318.121045.251968.632652"]}
    same_files(case, ran.files, Right(uid if case["id"] in SOP_STAYS else {}))


@pytest.mark.parametrize("case_id", NIFTI)
def test_volume_without_its_extensions(case_id: str, tmp_path: Path) -> None:
    case = by_id(case_id)
    source = bytearray(base64.b64decode(case["input"]["bytes_b64"]))
    source[148:228] = NIFTI[case_id].ljust(80, b"\0")
    source[108:112] = struct.pack("<f", 352)
    source[348:352] = bytes(4)
    assert run(case, tmp_path).files == {"a.nii": bytes(source[:352] + source[368:])}


NESTED = "zip-nested-zip"  # the reference loses what is in the inner archive


@of("property", without=(NESTED,))
def test_property(case: Case, tmp_path: Path) -> None:
    if isinstance(case["property"], str):  # "compare member names, member content, archive comment and archive name"
        ran = run(case, tmp_path)
        if "skipped" in case["expected"]:
            assert not ran.files
        else:
            same_files(case, ran.files)
        return
    if case["group"] == "image":
        check_picture(case, tmp_path)
        return
    if case["group"] == "encrypt":
        check_envelope(case, tmp_path)
        return
    check_property(case, tmp_path)


def opened(data: bytes, key: str) -> Json:
    """Return what stands in an envelope, as DICOM JSON, read by pydicom."""
    ds = pydicom.dcmread(io.BytesIO(data))
    (item,) = ds.EncryptedAttributesSequence
    assert item.EncryptedContentTransferSyntaxUID == "1.2.840.10008.1.2.1"
    content = Ciphers({"k": key.encode()}).open(Lock("k"), item.EncryptedContent, lambda one: True)
    inside = pydicom.filereader.read_dataset(io.BytesIO(content), is_implicit_VR=False, is_little_endian=True)
    found: Json = json.loads(inside.ModifiedAttributesSequence[0].to_json())
    return found


def check_envelope(case: Case, folder: Path) -> None:
    """Check what an envelope holds, and that all else is as the reference engine has it."""
    (data,) = run(case, folder).files.values()
    holds = case["property"]
    _, body = read(data)
    assert not body.keys() & set(holds["absent"])
    assert all(values_of(body[tag]) == [value] for tag, value in holds.get("values", {}).items())
    kept = opened(data, holds["key"])
    texts = {
        tag: pydicom.DataElement.from_json(pydicom.Dataset, tag, one["vr"], one["Value"], "Value").value
        for tag, one in kept.items()
    }
    assert {tag: str(text) for tag, text in texts.items()} == holds["cms_decrypts_to"]
    theirs = base64.b64decode(case["expected"]["files"][0]["bytes_b64"])
    same_dicom(case, theirs, data, {"04000500": values_of(body["04000500"])})


def test_every_file_has_an_envelope_of_its_own(tmp_path: Path) -> None:
    case = by_id("encrypt-two-files")
    files = run(case, tmp_path).files
    found = {opened(data, keys_in(case["profile"])["SECRET_KEY.1"])["00100020"]["Value"][0] for data in files.values()}
    assert found == {"PAT-ONE", "PAT-TWO"}


def check_picture(case: Case, folder: Path) -> None:
    """Check tags by Pillow, and that all pixels are what they were."""
    (data,) = run(case, folder).files.values()
    holds = case["property"]
    with Image.open(io.BytesIO(data)) as now, Image.open(io.BytesIO(inputs(case)[0][1])) as before:
        assert now.tobytes() == before.tobytes()
        tags = {number: str(value) for number, value in now.getexif().items()}
        gone = [*holds.get("tiff_absent", ()), *(getattr(ExifTags.Base, name) for name in holds.get("exif_absent", ()))]
        there = {getattr(ExifTags.Base, name): text for name, text in holds.get("exif", {}).items()}
        there |= {int(number): text for number, text in holds.get("tiff", {}).items()}
    assert not tags.keys() & set(gone)
    assert there.items() <= tags.items()


def test_nested_archive_is_opened(tmp_path: Path) -> None:
    (data,) = run(by_id(NESTED), tmp_path).files.values()
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert sum(name.endswith(".zip") for name in archive.namelist()) == 1
    assert b"Doe^Jane" not in plain(data)


@pytest.mark.parametrize("case_id", PROPERTY_DEFECTS)
def test_property_of_a_defect(case_id: str, tmp_path: Path) -> None:
    check_property(by_id(case_id), tmp_path)


def check_property(case: Case, folder: Path) -> None:
    """Check that a random value is one of those allowed, under many keys, and that the others are as expected."""
    holds = case["property"]
    seen = set()
    for number in range(12):
        (data,) = run(case, folder, bytes([number]) * 32).files.values()
        _, body = read(data)
        (value,) = body[holds["tag"]]["Value"]
        same_dicom(case, base64.b64decode(case["expected"]["files"][0]["bytes_b64"]), data, {holds["tag"]: [value]})
        assert satisfies(value, holds)
        with pydicom.dcmread(io.BytesIO(data)) as ds:
            assert len(str(ds[holds["tag"]].value)) <= holds.get("max_len", 64)
        seen.add(value)
    with pydicom.dcmread(io.BytesIO(base64.b64decode(case["input"]["bytes_b64"]))) as ds:
        before = ds[holds["tag"]].value
    assert before not in seen, "what would leave the value as it is is not drawn"
    assert len(seen) > 1 or len(set(holds.get("one_of", "ab")) - {before}) == 1, "the key decides"


def satisfies(value: Any, holds: Json) -> bool:
    if "one_of" in holds:
        return bool(value in holds["one_of"])
    if "one_of_offsets_days" in holds:
        moved = datetime.strptime(value, "%Y%m%d") - datetime.strptime(holds["base"], "%Y%m%d")  # noqa: DTZ007
        return bool(moved.days in holds["one_of_offsets_days"])
    return bool(holds["min"] <= value <= holds["max"] and value != holds.get("not", 7))


@of(
    "defect",
    without=(
        *PROPERTY_DEFECTS,
        *NIFTI,
        "encrypt-two-files",
        "overlap-dicom-filename",
        "overlap-json-filename",
        "overlap-same-sop-two-files",
        "image-jpg-remove-exif",
    ),
)
def test_defect(case: Case, tmp_path: Path) -> None:
    right = RIGHT[case["id"]]
    if isinstance(right, str):
        with pytest.raises(ProfileError) as caught:
            parse_profile(case["profile"], "vector.yaml")
        assert right in str(caught.value)
        return
    ran = run(case, tmp_path)
    if isinstance(right, bytes):
        assert list(ran.files.values()) == [right]
    elif right is NO_OUTPUT:
        assert not ran.files
        assert ran.refused or ran.skipped
    else:
        same_files(case, ran.files, right)


def test_no_comment_survives_remove_exif(tmp_path: Path) -> None:
    case = by_id("image-jpg-remove-exif")
    (data,) = run(case, tmp_path).files.values()
    assert not any(text.encode() in data for text in case["property"]["bytes_absent"])
    with Image.open(io.BytesIO(data)) as now, Image.open(io.BytesIO(inputs(case)[0][1])) as before:
        assert now.tobytes() == before.tobytes()
        assert now.info.keys() == {"jfif", "jfif_version", "jfif_unit", "jfif_density"}


@pytest.mark.parametrize("case_id", ["addressing-priv-creator-case-remove", "key-value-key-typo"])
def test_unmatched_rule_is_reported(case_id: str, tmp_path: Path) -> None:
    assert run(by_id(case_id), tmp_path).unmatched == {0}


def test_one_section_per_file_of_text(tmp_path: Path) -> None:
    assert run(by_id("overlap-json-filename"), tmp_path).files == {"a.json": b"{}"}


def test_one_section_per_file(tmp_path: Path) -> None:
    case = by_id("overlap-dicom-filename")
    ran = run(case, tmp_path)
    case["expected"]["files"] = [one for one in case["expected"]["files"] if one["filename"] != "a.dcm"]
    same_files(case, ran.files)


def test_two_files_of_one_uid_are_refused(tmp_path: Path) -> None:
    case = by_id("overlap-same-sop-two-files")
    sources = []
    for name, data in inputs(case):
        (tmp_path / name).write_bytes(data)
        sources.append((tmp_path / name, name))
    ctx = Context(parsed(case), Keyring(b"k" * 32), None, TODAY, "strict")
    with pytest.raises(Unfit, match="name is that of another"):
        deidentify_series(sources, ctx, tmp_path / "out.zip")


@pytest.mark.parametrize("case", [pytest.param(one, id=one["id"]) for one in CASES if missing(one)])
def test_not_carried_out_is_refused(case: Case, tmp_path: Path) -> None:
    assert is_refused(case, tmp_path)


@pytest.mark.parametrize("case", [pytest.param(one, id=one["id"]) for one in CASES if one.get("leak")])
def test_leak_is_warned_of(case: Case) -> None:
    assert any(LEAKS[case["id"]] in warning.message for warning in parsed(case).warnings)


def test_every_case_is_looked_at() -> None:
    defects = {one["id"] for one in CASES if one["match"] == "defect" and not missing(one)}
    elsewhere = {
        *PROPERTY_DEFECTS, "overlap-dicom-filename", "overlap-json-filename", "overlap-same-sop-two-files",
        "image-jpg-remove-exif", "encrypt-two-files",
    }  # fmt: skip
    elsewhere |= {one["id"] for one in CASES if one["id"] in NIFTI and one["match"] == "defect"}
    assert defects == RIGHT.keys() | elsewhere
    assert {one["match"] for one in CASES} == {"exact", "property", "defect"}


def by_id(case_id: str) -> Case:
    return json.loads(json.dumps(next(one for one in CASES if one["id"] == case_id)))  # type: ignore[no-any-return]


def parsed(case: Case) -> Profile:
    return parse_profile(case["profile"], "vector.yaml")
