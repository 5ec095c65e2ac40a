"""Who looks into the de-id log: what is shown to whom, and what stays in the trail."""

from __future__ import annotations

import csv
import io
import json
import os
import pwd
import stat
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest

from fw_gear_deid import keys
from fw_gear_deid.cli import main
from fw_gear_deid.log.ids import digits
from fw_gear_deid.log.open import address, has_password, open_log
from fw_gear_deid.model.errors import UsageError
from fw_gear_deid.model.logged import PATIENT, UID, DeidLog, Look, Placed, Replaced
from fw_gear_deid.sample import MARKER
from fw_gear_deid.system.login import login_name
from tests.logs import entry

ROOT = Path(__file__).resolve().parents[1]
ME = pwd.getpwuid(os.getuid()).pw_name
INDEXED = {"PatientName": f"{MARKER}^A", "PatientID": f"{MARKER}-7", "StudyDate": "20200101"}
REPLACED = (Replaced(UID, "1.2.3", "2.25.1"), Replaced(PATIENT, f"{MARKER}-7", "P1"))


@dataclass
class Desk:
    """A log with three entries, of two patients."""

    url: str
    key: Path | None
    ids: list[str]
    capsys: pytest.CaptureFixture[str]

    def run(self, *words: str, key: bool = True) -> tuple[int, str, str]:
        """Carry out ``log``; returns code, output and messages."""
        keyed = ["--log-key", str(self.key)] if key and self.key else []
        code = main(["log", *words, "--log-db", self.url, *keyed])
        told = self.capsys.readouterr()
        return code, told.out, told.err

    def log(self) -> DeidLog:
        return open_log(self.url, key=keys.load(self.key) if self.key else None, create=False)

    def trail(self) -> list[Look]:
        with closing(self.log()) as log:
            return list(log.trail())


@pytest.fixture(params=[False, True], ids=["clear", "sealed"])
def desk(request: pytest.FixtureRequest, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Desk:
    key = tmp_path / "log.key" if request.param else None
    if key:
        keys.generate(key)
    url = f"sqlite:///{tmp_path / 'log.sqlite'}"
    with closing(open_log(url, key=keys.load(key) if key else None)) as log:
        ids = log.reserve(
            [
                entry(1, INDEXED, replaced=REPLACED),
                entry(2, INDEXED, replaced=REPLACED),
                entry(3, {"PatientID": "other"}, replaced=(Replaced(PATIENT, "other", "P2"),)),
            ]
        )
        log.confirm([Placed(ids[0], "S/V/A", "S/V/A/1.dcm", "v", "f" * 64)])
        log.fail([ids[1]])
    return Desk(url, key, ids, capsys)


def rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


# -- what is shown -------------------------------------------------------------------------------------


def test_find_tells_ids_times_states_and_files_and_no_originals(desk: Desk) -> None:
    code, out, err = desk.run("find", f"PatientName={MARKER}^A", "StudyDate=20200101")
    assert (code, err) == (0, "")
    assert [(one["id"], one["state"], one["file"]) for one in rows(out)] == [
        (desk.ids[0], "uploaded", "S/V/A/1.dcm"),
        (desk.ids[1], "failed", "S1/V1/A1/2.dcm"),
    ]


def test_find_without_values_lists_all_even_without_the_key(desk: Desk) -> None:
    code, out, _ = desk.run("find", key=False)
    assert code == 0
    assert [one["id"] for one in rows(out)] == desk.ids


def test_what_is_found_by_a_value_needs_the_key(desk: Desk) -> None:
    code, out, err = desk.run("find", f"PatientName={MARKER}^A", key=False)
    assert (code, "--log-key" in err, out) == ((2, True, "") if desk.key else (0, False, out))


@pytest.mark.clear
@pytest.mark.parametrize("spell", [str, digits, str.upper])
def test_show_gives_originals(desk: Desk, spell: Callable[[str], str]) -> None:
    code, out, _ = desk.run("show", spell(desk.ids[0]), "--reason", "consent withdrawn")
    told = json.loads(out)
    assert (code, told["id"], told["indexed_fields"]) == (0, desk.ids[0], INDEXED)
    assert told["deidentified_tags"]["00100010"]["Value"] == [{"Alphabetic": "John Doe"}]
    assert told["source"]["file"] == "DOE_JOHN/1.dcm"
    assert told["destination"] == {
        "project": "dest",
        "container": "S/V/A",
        "file": "S/V/A/1.dcm",
        "version": "v",
        "sha256": "f" * 64,
    }
    assert {"kind": "uid", "old": "1.2.3", "new": "2.25.1"} in told["replaced"]


def test_show_needs_the_key(desk: Desk) -> None:
    if desk.key:
        code, out, err = desk.run("show", desk.ids[0], "--reason", "r", key=False)
        assert (code, out, "--log-key" in err) == (2, "", True)


def test_files_tells_the_source_to_who_says_why(desk: Desk) -> None:
    _, out, _ = desk.run("files", desk.ids[0])
    assert [(one["end"], one["file"]) for one in rows(out)] == [("destination", "S/V/A/1.dcm")]
    _, out, _ = desk.run("files", desk.ids[0], "--reason", "audit")
    assert [(one["end"], one["file"]) for one in rows(out)] == [
        ("destination", "S/V/A/1.dcm"),
        ("source", "DOE_JOHN/1.dcm"),
    ]


@pytest.mark.clear
@pytest.mark.parametrize(
    ("what", "pairs"), [("uids", [("1.2.3", "2.25.1")]), ("patients", [("other", "P2"), (f"{MARKER}-7", "P1")])]
)
def test_export_writes_old_and_new(desk: Desk, tmp_path: Path, what: str, pairs: list[tuple[str, str]]) -> None:
    path = tmp_path / "map.csv"
    code, out, _ = desk.run("export", what, str(path), "--reason", "audit")
    assert code == 0 and MARKER not in out
    assert path.read_text().startswith("id_old,id_new")
    assert sorted((one["id_old"], one["id_new"]) for one in rows(path.read_text())) == sorted(pairs)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    code, _, err = desk.run("export", what, str(path), "--reason", "audit")
    assert (code, "exists already" in err) == (2, True)


# -- erasing -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("subject", [f"{MARKER}-7", "P1"])
def test_purge_lists_the_copies_and_erases_the_rows(desk: Desk, subject: str) -> None:
    code, out, err = desk.run("purge", "--subject", subject, "--reason", "erasure request", "--dry-run")
    assert code == 0 and "nothing was erased" in err
    code, again, err = desk.run("purge", "--subject", subject, "--reason", "erasure request")
    assert (code, again) == (0, out)
    assert [(one["id"], one["project"], one["file"], one["sha256"]) for one in rows(out)] == [
        (desk.ids[0], "dest", "S/V/A/1.dcm", "f" * 64)
    ]
    assert "2 entries were erased" in err and "1 copies" in err
    with closing(desk.log()) as log:
        assert [one.id for one in log.find({})] == [desk.ids[2]]
        assert [one.new for one in log.replaced(PATIENT)] == ["P2"]
        assert list(log.replaced(UID)) == []
    assert [(one.command, one.ids) for one in desk.trail()] == [
        ("list for purge", tuple(desk.ids[:2])), ("purge", tuple(desk.ids[:2])),
    ]  # fmt: skip
    assert desk.run("purge", "--subject", subject, "--reason", "again")[0] == 1


# -- the trail -----------------------------------------------------------------------------------------


def test_every_look_leaves_a_line(desk: Desk, tmp_path: Path) -> None:
    some = "0" * 32
    for words in (
        ("find", f"PatientName={MARKER}^A"), ("find", "PatientName=nobody"), ("find",), ("files", desk.ids[2]), ("files", some),
        ("show", some, "--reason", "why"), ("export", "uids", str(tmp_path / "u.csv"), "--reason", "why"),
        ("purge", "--subject", "nobody", "--reason", "why"), ("trail",),
    ):  # fmt: skip
        desk.run(*words)
    assert [(one.who, one.command, one.ids, one.reason) for one in desk.trail()] == [
        (ME, "find PatientName", tuple(desk.ids[:2]), ""), (ME, "find PatientName", (), ""), (ME, "find", ("*",), ""),
        (ME, "files", (desk.ids[2],), ""), (ME, "files", (), ""), (ME, "show", (), "why"),
        (ME, "export uids", ("*",), "why"), (ME, "purge", (), "why"), (ME, "trail", (), ""),
    ]  # fmt: skip
    _, out, _ = desk.run("trail")
    assert [one["command"] for one in rows(out)][-1] == "trail"


def test_a_look_that_cannot_be_noted_shows_nothing(desk: Desk) -> None:
    import sqlite3

    with closing(sqlite3.connect(desk.url.removeprefix("sqlite:///"))) as db:
        db.execute("DROP TABLE deid_log_trail")
    for words in (("find",), ("show", desk.ids[0], "--reason", "r"), ("files", desk.ids[0])):
        code, out, err = desk.run(*words)
        assert (code, out, "cannot note this look-up" in err) == (1, "", True)


def test_nothing_found_is_exit_1(desk: Desk) -> None:
    for words in (("find", "PatientID=nobody"), ("show", "0" * 32, "--reason", "r"), ("files", "0" * 32)):
        code, _, err = desk.run(*words)
        assert (code, err) == (1, "nothing was found\n")


# -- wrong usage ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "what"),
    [
        (("show", "0" * 32), "--reason"), (("show", "0" * 32, "--reason", " "), "--reason"), (("export", "uids", "x.csv"), "--reason"),
        (("purge", "--subject", f"{MARKER}-7"), "--reason"), (("find", f"{MARKER}"), "KEYWORD=VALUE"),
        (("find", f"PatientSex={MARKER}"), "KEYWORD=VALUE"), (("find", f"{MARKER}=1"), "KEYWORD=VALUE"),
        (("find", "StudyID=1", f"StudyID={MARKER}"), "twice"), (("show", MARKER, "--reason", "r"), "32 digits"),
    ],
)  # fmt: skip
def test_wrong_usage_is_exit_2_quotes_no_value_and_leaves_no_line(
    desk: Desk, words: tuple[str, ...], what: str
) -> None:
    code, out, err = desk.run(*words)
    assert (code, out, what in err, MARKER in err) == (2, "", True, False)
    assert desk.trail() == []


def test_which_log(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("FW_DEID_LOG_DB", raising=False)
    assert main(["log", "find"]) == 2
    assert "FW_DEID_LOG_DB" in capsys.readouterr().err
    open_log(f"sqlite:///{tmp_path}/a.sqlite").close()
    monkeypatch.setenv("FW_DEID_LOG_DB", f"sqlite:///{tmp_path}/a.sqlite")
    assert main(["log", "find"]) == 1, "there is a log, and nothing in it"
    assert "nothing was found" in capsys.readouterr().err
    assert main(["log", "find", "--log-db", f"sqlite:///{tmp_path}/b.sqlite"]) == 2


PASSWORDS = [
    "postgresql://me:planted-secret@h/d", "postgresql://me:@h/d", "postgresql://h/d?password=planted-secret",
    "postgresql://h/d?user=me&PASSWORD=planted-secret", "postgresql://h/d?sslpassword=planted-secret", "https://me:planted-secret@h/logs",
]  # fmt: skip


@pytest.mark.parametrize("url", PASSWORDS)
def test_a_password_on_the_command_line_is_refused(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["log", "find", "--log-db", url]) == 2
    told = capsys.readouterr().err
    assert "~/.pgpass" in told and "planted-secret" not in told


@pytest.mark.parametrize("url", PASSWORDS)
def test_a_password_may_come_from_the_environment(url: str) -> None:
    assert has_password(url)
    assert address(None, {"FW_DEID_LOG_DB": url}) == url


@pytest.mark.parametrize("url", ["postgresql://me@h:5432/d", "sqlite:////a:b@c/d", "https://h/logs?x=1"])
def test_other_addresses_have_none(url: str) -> None:
    assert not has_password(url)
    assert address(url, {"FW_DEID_LOG_DB": "sqlite:///other"}) == url


@pytest.mark.parametrize("url", ["mysql://h/d", "log.sqlite", "/tmp/log.sqlite", "http//x", "postgresql://[::1/d"])
def test_what_is_no_address_is_refused_at_once(url: str) -> None:
    with pytest.raises(UsageError, match="address must be"):
        address(url, {})


def test_the_login_name_is_not_what_the_environment_claims(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("USER", "LOGNAME", "USERNAME", "LNAME"):
        monkeypatch.setenv(name, "somebody-else")
    assert login_name() == ME
    monkeypatch.setattr(os, "getuid", lambda: 4_000_000)
    assert login_name() == "uid 4000000"


def test_help_needs_no_driver() -> None:
    script = "import sys; from fw_gear_deid.cli import main\ntry: main(['log', 'find', '--help'])\nexcept SystemExit: print(sorted({'psycopg', 'cryptography', 'sqlite3', 'http.client', 'pydicom'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
