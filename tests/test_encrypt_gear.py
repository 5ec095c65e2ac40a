"""Keys that lie on a platform: for the gear, and for a command line."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import pydicom
import pytest

from fw_gear_deid import locks
from fw_gear_deid.ciphers import Ciphers
from fw_gear_deid.model.errors import UsageError
from fw_gear_deid.model.locks import Lock
from tests.desk import call
from tests.site import Site, kept, scan

HEX = "000102030405060708090A0B0C0D0E0F"
RULES = """\
dicom:
  secret-key: "{{ SECRET_KEY }}"
  fields:
    - {name: PatientName, encrypt: true}
    - {name: PatientID, encrypt: true}
"""


def test_a_gear_reads_keys_from_the_platform(site: Site) -> None:
    scan(site, "P1/V/T1")
    other = site.world.add_project(site.world.find("lab", "group"), "Keys")
    site.world.add_file(other, "deid.txt", HEX.encode() + b"\n")
    done = site.gear(profile=RULES, secret_key="lab/Keys/files/deid.txt")
    assert done.returncode == 0, done.stderr
    (made,) = kept(site)
    with zipfile.ZipFile(io.BytesIO(made.content)) as archive:
        data = archive.read(archive.namelist()[0])
    with pydicom.dcmread(io.BytesIO(data)) as ds:
        sealed = ds.EncryptedAttributesSequence[0].EncryptedContent
        assert "PatientID" not in ds
    assert b"P1" in Ciphers({"k": HEX.encode()}).open(Lock("k"), sealed, lambda one: True)
    assert HEX not in done.stderr + done.stdout
    assert not any(HEX.encode() in path.read_bytes() for path in (site.folder / "gear").rglob("*") if path.is_file())


@pytest.mark.parametrize(
    ("place", "told"),
    [
        ("", "the profile needs {{ SECRET_KEY }}"),
        ("lab/Keys/none.txt", "lab/Keys/none.txt: cannot read the key"),
        ("lab/Stored", "lab/Stored: this is no file"),
    ],
)
def test_a_key_that_is_not_there_stops_the_job(site: Site, place: str, told: str) -> None:
    scan(site, "P1/V/T1")
    done = site.gear(profile=RULES, secret_key=place)
    assert (done.returncode, told in done.stderr) == (2, True), done.stderr
    assert kept(site) == []


def test_a_command_line_reads_keys_from_the_platform(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site.world.add_file(site.source, "deid.txt", HEX.encode())
    monkeypatch.setenv("FW_API_KEY", site.server.key())
    assert locks.content("fw://lab/Stored/deid.txt") == HEX.encode()
    with pytest.raises(UsageError, match="cannot read the key"):
        locks.content("fw://lab/Stored/other.txt")


def test_a_key_in_a_profile_that_is_put_is_warned_of(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FW_API_KEY", site.server.key())
    path = tmp_path / "p.yaml"
    path.write_text(RULES.replace("{{ SECRET_KEY }}", HEX))
    ran = call("profile", "put", str(path), "fw://lab/Clean")
    assert (ran.code, "the key stands in the profile, which others read" in ran.err) == (0, True), ran.err
    assert HEX not in ran.err + ran.out
