"""encrypt and decrypt: what comes back, who can open it, and that no key goes anywhere."""

from __future__ import annotations

import base64
import io
import json
import pickle
import random
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pydicom
import pytest
from pydicom.datadict import DicomDictionary

from fw_gear_deid.ciphers import Ciphers
from fw_gear_deid.deid import Context, Result, deidentify
from fw_gear_deid.keys import Keyring
from fw_gear_deid.model.errors import Unfit
from fw_gear_deid.model.locks import Lock
from fw_gear_deid.model.outcome import Edit
from fw_gear_deid.profile.parse import parse_profile
from fw_gear_deid.profile.values.variables import keys_in
from tests import pictures, tiff_files
from tests.desk import Desk, call, contents, edits_of, instance, packed, plain
from tests.dicom_files import IDENTITY, SYNTAXES, Item, Leaf, Node, Seq, Syntax, part10, text
from tests.nifti_files import volume

HEX = "000102030405060708090A0B0C0D0E0F"
OTHER = "FF0102030405060708090A0B0C0D0E0F"
PLACE = "{{ SECRET_KEY }}"
ENVELOPE = 0x04000500
KEYS = {"SECRET_KEY": HEX.encode()}


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with two owners' keys: ``a.key``, ``a.pem``, ``b.key``, and ``b.pub`` without a certificate."""
    from datetime import UTC, datetime, timedelta

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    folder = tmp_path_factory.mktemp("keys")
    for name in "ab":
        key = rsa.generate_private_key(65537, 2048)
        who = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
        now = datetime.now(UTC)
        told = x509.CertificateBuilder().subject_name(who).issuer_name(who).public_key(key.public_key())
        made = (
            told.serial_number(7).not_valid_before(now).not_valid_after(now + timedelta(9)).sign(key, hashes.SHA256())
        )
        pem = serialization.Encoding.PEM
        (folder / f"{name}.pem").write_bytes(made.public_bytes(pem))
        (folder / f"{name}.pub").write_bytes(
            key.public_key().public_bytes(pem, serialization.PublicFormat.SubjectPublicKeyInfo)
        )
        (folder / f"{name}.key").write_bytes(
            key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        )
    return folder


def section(*entries: dict[str, Any], key: str = "dicom", **options: Any) -> str:
    return json.dumps({key: {"secret-key": PLACE} | options | {"fields": list(entries)}})


def done(
    profile: str, data: bytes, folder: Path, keys: Mapping[str, bytes] = KEYS, name: str = "in.dcm"
) -> tuple[bytes, Result]:
    """De-identify one file by a profile; return its result, and what is told of it."""
    folder.mkdir(exist_ok=True)
    (folder / "in").write_bytes(data)
    told = {name: value.encode() for name, value in keys_in(profile).items()}
    ctx = Context(
        parse_profile(profile, "p.yaml", {}),
        Keyring(b"k" * 32, told | dict(keys)),
        "folder S",
        __import__("datetime").date(2026, 1, 1),
        "strict",
        originals=True,
    )
    ran = deidentify(folder / "in", name, ctx, folder / "out")
    assert isinstance(ran, Result)
    return (folder / "out").read_bytes(), ran


def rows(ran: Result) -> list[Edit]:
    return [edit for _, edit in edits_of(ran.trail)]


def encrypted(*names: str, **options: Any) -> str:
    return section(*({"name": name, "encrypt": True} for name in names), **options)


def decrypted(*names: str, **options: Any) -> str:
    return section(*({"name": name, "decrypt": True} for name in names), **options)


def kept(data: bytes, folder: Path) -> bytes:
    """Return a file as it comes out when nothing is asked for, and without an envelope."""
    return done(section({"name": "(0400,0500)", "remove": True}), data, folder)[0]


# -- one element ---------------------------------------------------------------------------------------


def first_tags() -> dict[str, int]:
    """Return an element of each VR that stands before the envelope and is no sequence, character set or UID of the instance."""
    found: dict[str, int] = {}
    for tag, (vr, *_) in sorted(DicomDictionary.items()):
        if 0x00080008 <= tag < 0x7FE00000 and tag >> 16 not in (0x0400, 0xFFFC) and tag & 0xFFFF:
            found.setdefault(vr.split(" or ")[0], tag)
    return {vr: tag for vr, tag in found.items() if vr not in ("SQ", "NONE")}


VALUES = {
    "AE": b"ZZ CANARY AE ", "AS": b"042Y", "AT": b"\x10\0\x20\0\x10\0\x10\0", "CS": b"ZZ\\CANARY ", "DA": b"20200229\\20200301 ",
    "DS": b" 1.50 \\-2e3 ", "DT": b"20200229134501.123456+0100", "IS": b"+007", "LO": b"ZZ^CANARY \\ two\\", "LT": b" ZZ CANARY\r\n \\ x",
    "PN": b"ZZ^CANARY^^^=\xc3\xa4=", "SH": b"ZZCANARY", "ST": b"ZZ CANARY ", "TM": b"134501.12 ", "UC": b"ZZ CANARY\\x", "UI": b"1.2.3\\4.5.6\0",
    "UR": b"http://zz.canary/ ", "UT": b"ZZ \\ CANARY\0\0", "FD": bytes(range(16)), "FL": bytes(range(8)), "SL": bytes(range(4)), "SS": bytes(range(6)),
    "SV": bytes(range(8)), "UL": bytes(range(12)), "US": bytes(range(2)), "UV": bytes(range(8)), "OB": bytes(range(33, 63)), "OD": bytes(range(32)),
    "OF": bytes(range(32)), "OL": bytes(range(32)), "OV": bytes(range(32)), "OW": bytes(range(32)), "UN": b"\1\2\3\4",
}  # fmt: skip
TAGS = first_tags() | {"UN": 0x00091001}


@pytest.mark.parametrize("syntax", ["explicit", "implicit", "big", "deflated"])
@pytest.mark.parametrize("vr", VALUES)
def test_every_vr_comes_back_to_the_byte(vr: str, syntax: str, tmp_path: Path) -> None:
    extra: tuple[Node, ...] = (Leaf(0x00090010, "LO", b"ZZ ONE"),) if vr == "UN" else ()
    body = sorted((*IDENTITY, *extra, Leaf(TAGS[vr], vr, VALUES[vr])), key=lambda one: one.tag)
    data = part10(body, SYNTAXES[syntax])
    name = f"({TAGS[vr] >> 16:04X},{TAGS[vr] & 0xFFFF:04X})"
    sealed, told = done(encrypted(name), data, tmp_path / "1")
    with pydicom.dcmread(io.BytesIO(sealed)) as ds:
        assert TAGS[vr] not in ds and len(ds[ENVELOPE].value) == 1
    assert [row.action for row in rows(told)].count("encrypt") == 2
    opened, told = done(decrypted(name), sealed, tmp_path / "2")
    assert [row.path for row in rows(told) if row.action == "decrypt"]
    assert kept(opened, tmp_path / "3") == kept(data, tmp_path / "4")


def test_every_vr_is_there() -> None:
    assert VALUES.keys() == {vr for vr in TAGS if vr in VALUES} and len(VALUES) == 33


WIDE = "Müller^Jörg".encode()
NESTED = Seq(
    0x00081140,
    (
        Item((text(0x00081155, "UI", "1.2.3"),)),
        Item(
            (
                Leaf(0x00080005, "CS", b"ISO_IR 100"),
                Leaf(0x00100010, "PN", b"ZZ\xfcller "),
                text(0x00100020, "LO", "ZZ"),
            )
        ),
    ),
)
UNDEFINED = Seq(
    0x00081140, (Item((text(0x00100020, "LO", "ZZ1"),), undefined=True), Item(undefined=True)), undefined=True
)
SHAPES: dict[str, tuple[tuple[Node, ...], dict[str, Any] | None]] = {
    "several values": ((text(0x00080061, "CS", "A\\B\\ZZ"),), {"name": "ModalitiesInStudy"}),
    "empty": ((Leaf(0x00081030, "LO", b""),), {"name": "StudyDescription"}),
    "character set": ((Leaf(0x00080005, "CS", b"ISO_IR 192"), Leaf(0x00100010, "PN", WIDE + b" ")), {"name": "PatientName"}),
    "nested": ((NESTED,), {"name": "ReferencedImageSequence.1.PatientName"}),
    "nested, everywhere": ((NESTED,), {"name": "PatientID"}),
    "nested, by regex": ((NESTED,), {"regex": r".*\.PatientID"}),
    "of undefined length": ((UNDEFINED,), {"name": "ReferencedImageSequence.0.PatientID"}),
    "a sequence": ((NESTED,), {"name": "ReferencedImageSequence"}),
    "a sequence of undefined length": ((UNDEFINED,), {"name": "ReferencedImageSequence"}),
    "private": (
        (Leaf(0x00090010, "LO", b"GEMS_IDEN_01"), Leaf(0x00091002, "SH", b"ZZ"), Leaf(0x00091004, "SH", b"Y ")),
        {"name": '(0009,"GEMS_IDEN_01",02)'},
    ),
    "private, creator and all": (
        (Leaf(0x00090010, "LO", b"GEMS_IDEN_01"), Leaf(0x00091002, "SH", b"ZZ")),
        {"regex": "0009.*"},
    ),
    "private sequence as UN": (
        (Leaf(0x00090010, "LO", b"ZZ TWO"), Seq(0x00091003, (Item((text(0x00100010, "PN", "ZZ"),)),), vr="UN")),
        {"name": "(0009,1003)"},
    ),
    "in a private sequence": (
        (Leaf(0x00090010, "LO", b"ZZ TWO"), Seq(0x00091003, (Item((text(0x00100010, "PN", "ZZ"),)),), vr="UN")),
        {"regex": r"00091003.*PatientName"},
    ),
    "nothing there": ((), {"name": "PatientComments"}),
}  # fmt: skip


@pytest.mark.parametrize("syntax", ["explicit", "implicit", "big", "deflated"])
@pytest.mark.parametrize("shape", SHAPES)
def test_every_shape_comes_back_to_the_byte(shape: str, syntax: str, tmp_path: Path) -> None:
    extra, entry = SHAPES[shape]
    tags = {one.tag for one in extra}
    data = part10(
        sorted((*(one for one in IDENTITY if one.tag not in tags), *extra), key=lambda one: one.tag), SYNTAXES[syntax]
    )
    options: dict[str, Any] = {"recurse-sequence": True} if shape.endswith("everywhere") else {}
    assert entry is not None
    sealed, _ = done(section(entry | {"encrypt": True}, **options), data, tmp_path / "1")
    assert (sealed == kept(data, tmp_path / "4")) == (shape == "nothing there")
    if shape == "nothing there":
        with pytest.raises(Unfit, match="nothing in"):
            done(section(entry | {"decrypt": True}), sealed, tmp_path / "2")
        return
    bare = re.sub(rb"-----BEGIN.*END CMS-----", b"", plain(sealed), flags=re.DOTALL)
    assert bare.count(b"ZZ") < plain(data).count(b"ZZ") or shape in ("empty", "character set")
    opened, _ = done(section(entry | {"decrypt": True}, **options), sealed, tmp_path / "2")
    assert kept(opened, tmp_path / "3") == kept(data, tmp_path / "4")


@pytest.mark.parametrize("syntax", SYNTAXES.values(), ids=SYNTAXES)
def test_retain_keeps_all_that_rules_change(syntax: Syntax, tmp_path: Path) -> None:
    private = (Leaf(0x00090010, "LO", b"ZZ ONE"), Leaf(0x00091001, "UN", b"mine"))
    data = part10(sorted((*IDENTITY, *private, NESTED), key=lambda one: one.tag), syntax)
    changes: list[dict[str, Any]] = [
        {"name": "PatientID", "replace-with": "X"},
        {"name": "PatientName", "remove": True},
        {"name": "SOPInstanceUID", "hashuid": True},
        {"name": "ReferencedImageSequence", "remove": True},
    ]
    sealed, _ = done(section(*changes, retain=True, **{"remove-private-tags": True}), data, tmp_path / "1")
    assert b"CANARY" not in plain(sealed) and b"ZZ ONE" not in plain(sealed)
    opened, _ = done(section({"regex": ".*", "decrypt": True}), sealed, tmp_path / "2")
    assert kept(opened, tmp_path / "3") == kept(data, tmp_path / "4")


def test_retain_keeps_uids_that_follow(tmp_path: Path) -> None:
    uid = "2.25.77.1.129.1"
    data = instance("P1", ProtocolName=uid, FrameOfReferenceUID="2.25.9", ReferencedSOPInstanceUID=uid)
    profile = section({"name": "StudyInstanceUID", "hashuid": True}, retain=True, **{"follow-uids": True})
    sealed, _ = done(profile, data, tmp_path / "1")
    with pydicom.dcmread(io.BytesIO(sealed)) as ds:
        assert uid not in (ds.StudyInstanceUID, ds.ProtocolName)
    opened, _ = done(section({"regex": ".*", "decrypt": True}), sealed, tmp_path / "2")
    assert kept(opened, tmp_path / "3") == kept(data, tmp_path / "4")


def test_a_rule_after_it_finds_what_was_decrypted(tmp_path: Path) -> None:
    sealed, _ = done(encrypted("PatientID"), instance("P1"), tmp_path / "1")
    profile = section(
        {"name": "PatientID", "decrypt": True},
        {"name": "PatientID", "regex-sub": [{"input-regex": "P(?P<n>.)", "output": "Q{n}"}]},
    )
    with pydicom.dcmread(io.BytesIO(done(profile, sealed, tmp_path / "2")[0])) as ds:
        assert ds.PatientID == "Q1"


def test_a_replacement_may_stand_where_something_was_encrypted(tmp_path: Path) -> None:
    profile = section({"name": "PatientID", "encrypt": True}, {"name": "PatientID", "replace-with": "ANON"})
    sealed, _ = done(profile, instance("P1"), tmp_path / "1")
    with pydicom.dcmread(io.BytesIO(sealed)) as ds:
        assert ds.PatientID == "ANON"
    opened, _ = done(decrypted("PatientID"), sealed, tmp_path / "2")
    assert kept(opened, tmp_path / "3") == kept(instance("P1"), tmp_path / "4")


def test_sop_instance_uid_is_hashed_and_comes_back(tmp_path: Path) -> None:
    data = instance("P1")
    sealed, _ = done(encrypted("SOPInstanceUID"), data, tmp_path / "1")
    with pydicom.dcmread(io.BytesIO(sealed)) as now, pydicom.dcmread(io.BytesIO(data)) as before:
        assert now.SOPInstanceUID != before.SOPInstanceUID
    opened, _ = done(decrypted("SOPInstanceUID"), sealed, tmp_path / "2")
    assert kept(opened, tmp_path / "3") == kept(data, tmp_path / "4")


def test_a_second_envelope_comes_behind_the_first(tmp_path: Path) -> None:
    data = instance("P1")
    once, _ = done(encrypted("PatientID"), data, tmp_path / "1")
    twice, _ = done(encrypted("PatientName"), once, tmp_path / "2")
    with pydicom.dcmread(io.BytesIO(twice)) as ds:
        assert len(ds[ENVELOPE].value) == 2
    opened, _ = done(decrypted("PatientID", "PatientName"), twice, tmp_path / "3")
    assert kept(opened, tmp_path / "4") == kept(data, tmp_path / "5")


def test_the_first_envelope_has_the_original(tmp_path: Path) -> None:
    data = instance("P1")
    again = section({"name": "PatientID", "encrypt": True}, {"name": "PatientID", "replace-with": "ANON"})
    twice, _ = done(again, done(again, data, tmp_path / "1")[0], tmp_path / "2")
    opened, _ = done(decrypted("PatientID"), twice, tmp_path / "3")
    assert kept(opened, tmp_path / "4") == kept(data, tmp_path / "5")


LOST: dict[str, tuple[Callable[[Path], bytes], str]] = {
    "no envelope": (lambda folder: instance("P1"), "nothing in"),
    "the item is gone": (
        lambda folder: done(
            section({"name": "ReferencedImageSequence", "remove": True}),
            done(
                encrypted("ReferencedImageSequence.1.PatientID"), part10(sorted((*IDENTITY, NESTED), key=lambda one: one.tag), SYNTAXES["explicit"]), folder / "a"
            )[0],
            folder / "b",
        )[0],
        "item is gone",
    ),
    "another character set": (
        lambda folder: done(
            section({"name": "SpecificCharacterSet", "replace-with": "ISO_IR 100"}),
            done(encrypted("PatientName"), part10((Leaf(0x00080005, "CS", b"ISO_IR 192"), *IDENTITY[:3], Leaf(0x00100010, "PN", WIDE + b" ")), SYNTAXES["explicit"]), folder / "a")[0],
            folder / "b",
        )[0],
        "character set",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", LOST)
def test_what_cannot_come_back_is_refused(case: str, tmp_path: Path) -> None:
    make, why = LOST[case]
    with pytest.raises(Unfit, match=why):
        done(decrypted("PatientName", "ReferencedImageSequence.1.PatientID"), make(tmp_path), tmp_path / "1")


# -- who can open it -----------------------------------------------------------------------------------


def envelope_of(data: bytes) -> bytes:
    with pydicom.dcmread(io.BytesIO(data)) as ds:
        return bytes(ds[ENVELOPE].value[0].EncryptedContent)


def opens(content: bytes) -> bool:
    return content.startswith(b"\0\4P\5SQ")


def test_another_key_opens_nothing(tmp_path: Path) -> None:
    sealed, _ = done(encrypted("PatientID"), instance("P1"), tmp_path / "1")
    with pytest.raises(Unfit, match="key at hand does not open it"):
        done(decrypted("PatientID"), sealed, tmp_path / "2", {"SECRET_KEY": OTHER.encode()})


@pytest.mark.parametrize("digits", [32, 48, 64])
def test_keys_of_every_length(digits: int, tmp_path: Path) -> None:
    keys = {"SECRET_KEY": ("0A" * (digits // 2)).encode() + b"\n"}
    sealed, _ = done(encrypted("PatientID"), instance("P1"), tmp_path / "1", keys)
    opened, _ = done(decrypted("PatientID"), sealed, tmp_path / "2", keys)
    assert kept(opened, tmp_path / "3") == kept(instance("P1"), tmp_path / "4")


def test_every_owner_can_open_it(certificates: Path, tmp_path: Path) -> None:
    asymmetric: dict[str, Any] = {
        "asymmetric-encryption": True,
        "public-key": "{{ PUBLIC_KEY }}",
        "private-key": "{{ PRIVATE_KEY }}",
    }
    public = (certificates / "a.pem").read_bytes() + (certificates / "b.pub").read_bytes()
    data = instance("P1")
    sealed, _ = done(encrypted("PatientID", **asymmetric), data, tmp_path / "1", {"PUBLIC_KEY": public})
    for name in "ab":
        keys = {"PRIVATE_KEY": (certificates / f"{name}.key").read_bytes()}
        opened, _ = done(decrypted("PatientID", **asymmetric), sealed, tmp_path / name, keys)
        assert kept(opened, tmp_path / "3") == kept(data, tmp_path / "4")
    alone, _ = done(
        encrypted("PatientID", **asymmetric),
        data,
        tmp_path / "5",
        {"PUBLIC_KEY": (certificates / "a.pem").read_bytes()},
    )
    with pytest.raises(Unfit, match="key at hand does not open it"):
        done(
            decrypted("PatientID", **asymmetric),
            alone,
            tmp_path / "6",
            {"PRIVATE_KEY": (certificates / "b.key").read_bytes()},
        )


@pytest.mark.skipif(shutil.which("openssl") is None, reason="no openssl here")
def test_openssl_opens_and_makes_it(certificates: Path, tmp_path: Path) -> None:
    def openssl(*arguments: str, given: bytes) -> bytes:
        return subprocess.run(["openssl", "cms", *arguments], input=given, capture_output=True, check=True).stdout

    sealed, _ = done(encrypted("PatientID"), instance("P1"), tmp_path / "1")
    secret = ("-secretkey", HEX, "-secretkeyid", "00")
    content = openssl("-decrypt", "-inform", "PEM", "-binary", *secret, given=envelope_of(sealed))
    assert opens(content) and content.endswith(b"\x10\0\x20\0LO\2\0P1")
    ours = Ciphers(KEYS | {name: (certificates / name).read_bytes() for name in ("a.pem", "b.pem", "a.key", "b.key")})
    for cipher in ("-aes256", "-aes128", "-des3"):
        theirs = openssl("-encrypt", "-outform", "PEM", "-binary", cipher, *secret, given=content)
        assert ours.open(Lock("SECRET_KEY"), theirs, opens) == content
    der = openssl("-encrypt", "-outform", "DER", "-binary", "-aes256", *secret, given=content)
    assert ours.open(Lock("SECRET_KEY"), der + b"\0" * (len(der) % 2), opens) == content
    both = ours.seal(Lock(public=("a.pem", "b.pem")), content)
    for name in "ab":
        key = str(certificates / f"{name}.key")
        assert openssl("-decrypt", "-inform", "PEM", "-binary", "-inkey", key, given=both) == content
        for more in ((), ("-keyopt", "rsa_padding_mode:oaep")):
            theirs = openssl(
                "-encrypt",
                "-outform",
                "PEM",
                "-binary",
                "-aes256",
                "-recip",
                str(certificates / f"{name}.pem"),
                *more,
                given=content,
            )
            assert ours.open(Lock(private=f"{name}.key"), theirs, opens) == content


def test_a_broken_envelope_is_refused_and_nothing_else(tmp_path: Path) -> None:
    dice = random.Random(16)
    cipher, lock = Ciphers(KEYS), Lock("SECRET_KEY")
    content = b"\0\4P\5SQ" + bytes(40)
    sealed = cipher.seal(lock, content)
    der = base64.b64decode(sealed.split(b"-----")[2])
    tried = [der[:at] for at in range(len(der))] + [b"", b"\0", b"-----BEGIN CMS-----\n!\n-----END CMS-----"]
    for _ in range(1500):
        broken = bytearray(der)
        for _ in range(dice.randint(1, 3)):
            broken[dice.randrange(len(broken))] = dice.randrange(256)
        tried.append(bytes(broken))
    for one in tried:
        try:
            cipher.open(lock, one, content.__eq__)
        except Unfit:
            continue


def test_a_broken_content_is_refused_and_nothing_else(tmp_path: Path) -> None:
    """Who has the key may have put anything into an envelope."""
    dice = random.Random(7)
    cipher, lock = Ciphers(KEYS), Lock("SECRET_KEY")
    data, _ = done(encrypted("PatientID", "PatientName"), instance("P1"), tmp_path / "1")
    sealed = envelope_of(data)
    content = cipher.open(lock, sealed, opens)
    done_or_refused = [0, 0]
    for _ in range(150):
        broken = bytearray(content)
        for _ in range(dice.randint(1, 2)):
            broken[dice.randrange(len(broken))] = dice.randrange(256)
        other = cipher.seal(lock, bytes(broken))
        assert len(other) == len(sealed)
        try:
            done(decrypted("PatientID", "PatientName"), data.replace(sealed, other), tmp_path / "2")
            done_or_refused[0] += 1
        except Unfit:
            done_or_refused[1] += 1
    assert all(done_or_refused)


# -- texts ---------------------------------------------------------------------------------------------


TEXTS: dict[str, tuple[str, bytes, list[str], dict[str, Any]]] = {
    "json": ("a.json", b'{"a": "Doe \\u00e9", "l": ["x", ""], "n": 5, "o": {"b": "ZZ"}}', ["a", "o.b", "l.0"], {}),
    "csv": ("a.csv", b'id,name\r\n1,"Doe, J"\r\n2,\r\n3,n/a\r\n', ["name"], {"file-filter": "*.csv"}),
    "tsv": ("a.tsv", b"participant\tname\nx\tDoe\ny\tDoe\n", ["name"], {}),
    "xml": ("a.xml", b"<r><p id='7'><n>Doe &amp; co</n></p></r>", ["//n", "//p/@id"], {}),
    "key-value-text-file": ("a.txt", b"Name = Doe\nOther = x\n", ["Name"], {"file-filter": "*.txt", "delimiter": "="}),
    "jpg": ("a.jpg", pictures.photo({"Artist": "Doe", "Software": "x"}), ["Artist"], {}),
    "tiff": ("a.tiff", tiff_files.tiff(tiff_files.page(t315=(2, "Doe"))), ["Artist"], {}),
    "nifti": ("a.nii", volume(descrip=b"Doe"), ["descrip"], {}),
}  # fmt: skip


@pytest.mark.parametrize("key", TEXTS)
def test_texts_come_back(key: str, tmp_path: Path) -> None:
    name, data, fields, options = TEXTS[key]
    entries = [{"name": field} for field in fields]
    sealed, told = done(
        section(*(one | {"encrypt": True} for one in entries), key=key, **options), data, tmp_path / "1", name=name
    )
    assert b"Doe" not in sealed and data != sealed
    assert {row.after for row in rows(told) if row.action == "encrypt"} == {"<encrypted>"}
    opened, told = done(
        section(*(one | {"decrypt": True} for one in entries), key=key, **options), sealed, tmp_path / "2", name=name
    )
    if key == "jpg":  # its tags may stand elsewhere
        assert pictures.photo_fields(opened) == pictures.photo_fields(data)
    else:
        assert opened == data
    assert not any("Doe" in row.after for row in rows(told))


def test_equal_cells_become_different(tmp_path: Path) -> None:
    sealed, _ = done(
        section({"name": "sex", "encrypt": True}, key="csv", **{"file-filter": "*.csv"}),
        b"id,sex\n1,F\n2,F\n3,F\n",
        tmp_path,
        name="a.csv",
    )
    assert (
        len(set(sealed.split(b"\n")[1:4])) == len({line.partition(b",")[2] for line in sealed.split(b"\n")[1:4]}) == 3
    )


@pytest.mark.parametrize(("key", "name", "form"), [("json", "a.json", '{"a": "%s"}'), ("csv", "a.csv", "a\n%s\n")])
def test_text_of_the_reference_engine_has_a_row_of_its_own(key: str, name: str, form: str, tmp_path: Path) -> None:
    more = {"file-filter": "*.csv"} if key == "csv" else {}
    profile = section({"name": "a", "decrypt": True}, key=key, **more)
    keys = {"SECRET_KEY": b"0123456789abcdef"}
    opened, told = done(profile, (form % "AAAAAAAAAAA=D90h").encode(), tmp_path, keys, name)
    assert opened == (form % "Doe").encode()
    assert [row.rule for row in rows(told) if "no tag" in row.rule] != []


def test_changed_text_is_refused(tmp_path: Path) -> None:
    dice = random.Random(1)
    cipher = Ciphers({"SECRET_KEY": b"0123456789abcdef"})
    for length in range(1, 40):
        plain_text = "Doe^Jane " * 5
        sealed = cipher.encrypt("SECRET_KEY", plain_text[:length], "")
        assert cipher.decrypt("SECRET_KEY", sealed) == (plain_text[:length], True)
        for _ in range(40):
            at = dice.randrange(len(sealed) - 2)
            other = sealed[:at] + dice.choice("ABCxyz019+/=") + sealed[at + 1 :]
            try:
                found = cipher.decrypt("SECRET_KEY", other)
            except Unfit:
                continue
            # bits behind the last byte of a base64 part say nothing
            assert found == (plain_text[:length], True)
    with pytest.raises(Unfit):
        cipher.decrypt("SECRET_KEY", cipher.encrypt("SECRET_KEY", "\1\2", "AAAAAAAAAAA="))
    for text_ in ("", "A", "AAAAAAAAAAA=", "AAAAAAAAAAA=====", "é" * 50, "A" * 36, "AAAAAAAAAAA=" + "A" * 23 + "="):
        with pytest.raises(Unfit):
            cipher.decrypt("SECRET_KEY", text_)


@pytest.mark.parametrize(
    ("profile", "why"),
    [
        (section({"name": "n", "encrypt": True}, key="json"), "is no text"),
        (section({"name": "t", "encrypt": True}, key="json"), "is no text"),
        (section({"name": "o", "encrypt": True}, key="json"), "is a group"),
    ],
)
def test_what_would_come_back_as_another_value_is_refused(profile: str, why: str, tmp_path: Path) -> None:
    with pytest.raises(Unfit, match=why):
        done(profile, b'{"n": 5, "t": true, "o": {"x": 1}}', tmp_path, name="a.json")


# -- runs ----------------------------------------------------------------------------------------------


RULES = """\
dicom:
  secret-key: "{{ SECRET_KEY }}"
  fields:
    - {name: PatientName, encrypt: true}
    - {name: PatientID, encrypt: true}
json:
  secret-key: "{{ SECRET_KEY }}"
  fields:
    - {name: who, encrypt: true}
"""
BACK = RULES.replace("encrypt", "decrypt")
FILES = {
    "S/V/A/1.dcm": instance("P1"),
    "S/V/A/2.dcm": instance("P1", number=2),
    "S/V/A/all.zip": packed({"a.dcm": instance("P1", series=2), "b.dcm": instance("P1", series=2, number=2)}),
    "S/V/A/a.json": b'{"who": "ZZ CANARY DOE"}',
}


def key_file(desk: Desk, text_: str = HEX) -> tuple[str, ...]:
    (desk.folder / "secret").write_text(text_ + "\n")
    return "--secret-key", str(desk.folder / "secret")


def everything(desk: Desk) -> bytes:
    """Return what stands anywhere of a run, unpacked."""
    return b"\n".join(plain(data) for data in contents(desk.folder).values())


def test_a_run_there_and_back(desk: Desk) -> None:
    desk.put(FILES)
    desk.rules(RULES)
    ran = desk.run(*key_file(desk), "--workers", "2")
    assert ran.code == 0, ran.err
    assert {row["state"] for row in desk.rows()} == {"released"}
    for data in desk.there().values():
        assert b"CANARY" not in plain(data) and b"P1\x20" not in plain(data)
    (desk.folder / "secret").unlink()
    hidden = (HEX.encode(), HEX.lower().encode(), bytes.fromhex(HEX))
    assert not [one for one in hidden if one in everything(desk)]
    first = desk.there()
    again = desk.run(*key_file(desk), "--workers", "2")
    assert again.code == 0 and desk.there() == first
    assert {row["reason"][:9] for row in desk.rows()} == {"unchanged"}
    shutil.move(desk.dest, desk.folder / "sealed")
    shutil.rmtree(desk.reports)
    desk.rules(BACK)
    ran = desk.run(*key_file(desk), source=desk.folder / "sealed")
    assert ran.code == 0, ran.err
    told = b"".join(plain(data) for data in desk.there().values())
    assert told.count(b"P1") >= 4 and b"ZZ CANARY DOE" in told
    audit = (desk.reports / "audit.csv").read_text()
    assert "<decrypted>" in audit and "CANARY" not in audit


def test_another_key_writes_nothing(desk: Desk) -> None:
    desk.put(FILES)
    desk.rules(RULES)
    assert desk.run(*key_file(desk)).code == 0
    shutil.move(desk.dest, desk.folder / "sealed")
    shutil.rmtree(desk.reports)
    desk.rules(BACK)
    ran = desk.run(*key_file(desk, OTHER), source=desk.folder / "sealed")
    assert ran.code == 1
    assert {row["state"] for row in desk.rows()} == {"refused"}
    assert all("key" in row["reason"] for row in desk.rows())
    assert not [name for name in desk.there() if not name.startswith(".fw")]


WRONG: dict[str, tuple[str | None, str]] = {
    "no key": (None, "the profile needs {{ SECRET_KEY }}: say with --secret-key"),
    "no file": ("/nowhere/key", "/nowhere/key: cannot read the key (No such file or directory)"),
    "no digits": ("zz", "a secret key for DICOM has 32, 48 or 64 hexadecimal digits"),
    "blank": (" ", "it is empty"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_key_that_is_missing_or_none_stops_the_run(case: str, desk: Desk) -> None:
    desk.put(FILES)
    desk.rules(RULES)
    given, told = WRONG[case]
    options = () if given is None else ("--secret-key", given) if given.startswith("/") else key_file(desk, given)
    ran = desk.run(*options)
    assert (ran.code, told in ran.err) == (2, True), ran.err
    assert not desk.dest.exists() and "zz" not in ran.err


def test_a_key_in_the_profile_works_with_a_warning_and_goes_nowhere(desk: Desk) -> None:
    desk.put(FILES)
    desk.rules(f'secret-key: "{HEX}"\n' + RULES.replace('  secret-key: "{{ SECRET_KEY }}"\n', ""))
    ran = desk.run("--workers", "2")
    assert ran.code == 0, ran.err
    assert "profile.yaml:1:13 warning secret-key: the key stands in the profile" in ran.err
    desk.profile.unlink()
    assert HEX.encode() not in everything(desk) and HEX not in ran.err + ran.out
    checked = parse_profile(RULES.replace("{{ SECRET_KEY }}", HEX), "p.yaml")
    assert HEX.encode() not in pickle.dumps(checked) and HEX not in repr(checked)
    other = parse_profile(RULES.replace("{{ SECRET_KEY }}", OTHER), "p.yaml")
    assert checked.sha256 == other.sha256


def test_what_workers_are_told_by_a_file_has_no_key() -> None:
    from fw_gear_deid.runner.setup import PlannedProfile, book_for

    text_ = RULES.replace("{{ SECRET_KEY }}", HEX) + '    - {name: x, replace-with: "{{ subject.label }}"}\n'
    book = book_for(PlannedProfile.read(text_, "p.yaml", "input"), None, [], by_session=False)
    assert HEX not in repr(Ciphers(KEYS))
    assert HEX.encode() not in pickle.dumps(book) and HEX not in repr(Keyring(b"k" * 32, {"SECRET_KEY": HEX.encode()}))


def test_a_cluster_gets_no_key(desk: Desk) -> None:
    desk.put(FILES)
    desk.rules(RULES)
    ran = desk.run(*key_file(desk), "--scheduler", "tcp://127.0.0.1:9")
    assert (ran.code, "works without --scheduler" in ran.err) == (2, True), ran.err


def test_keys_by_paths_in_the_profile(certificates: Path, desk: Desk) -> None:
    desk.put(FILES)
    head = f"dicom:\n  asymmetric-encryption: true\n  public-key: [{certificates}/a.pem, '{certificates}/b.pem']\n  private-key: {{{{ PRIVATE_KEY }}}}\n"
    desk.rules(head + "  fields:\n    - {name: PatientName, encrypt: true}\n")
    assert desk.run().code == 0, "who only encrypts needs no private key"
    shutil.move(desk.dest, desk.folder / "sealed")
    shutil.rmtree(desk.reports)
    desk.rules(head + "  fields:\n    - {name: PatientName, decrypt: true}\n")
    assert desk.run(source=desk.folder / "sealed").code == 2
    ran = desk.run("--private-key", str(certificates / "b.key"), source=desk.folder / "sealed")
    assert ran.code == 0, ran.err
    assert b"ZZ7F3A^P1" in b"".join(plain(data) for data in desk.there().values())


def test_a_preview_hides_what_is_encrypted(desk: Desk) -> None:
    desk.put(FILES)
    desk.rules(RULES)
    table = desk.folder / "t.csv"
    ran = call("preview", str(desk.source), "--profile", str(desk.profile), "--csv", str(table), *key_file(desk))
    assert ran.code == 0, ran.err
    assert "'<hidden>' -> '<encrypted>'" in ran.out
    assert "CANARY" not in ran.out and "CANARY" not in table.read_text() and "<hidden>" in table.read_text()


def test_without_the_packages_the_run_says_what_to_install(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.put(FILES)
    desk.rules(RULES)
    monkeypatch.setitem(sys.modules, "asn1crypto", None)
    monkeypatch.setitem(sys.modules, "asn1crypto.cms", None)
    ran = desk.run(*key_file(desk))
    assert (ran.code, "fw-gear-deid[encrypt]" in ran.err) == (2, True), ran.err
