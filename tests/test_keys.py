"""The keyring: stable, apart for every purpose, and silent about its secret."""

from __future__ import annotations

import hmac
import pickle
import re
import stat
from pathlib import Path

import pytest

from fw_gear_deid import keys
from fw_gear_deid.keys import Keyring
from fw_gear_deid.model.errors import UsageError

SECRET = b"ZZ-CANARY-SECRET-0123456789abcdef"
RING, OTHER = Keyring(SECRET), Keyring(SECRET + b"!")


def test_a_draw_is_an_hmac_of_subject_and_purpose() -> None:
    message = b"\0\0\0\4draw\0\0\0\5sub-1\0\0\0\6jitter"
    assert RING.draw("sub-1")("jitter") == int.from_bytes(hmac.digest(SECRET, message, "sha256"), "big")


def test_draws_are_stable_and_apart() -> None:
    draws = [
        ring.draw(subject)(purpose)
        for ring in (RING, OTHER)
        for subject in ("a", "ab", "sub-1", "ü", "\udcff")
        for purpose in ("", "a", "b", "jitter")
    ]
    assert len(set(draws)) == len(draws)
    assert all(0 <= number < 2**256 for number in draws)
    assert RING.draw("ab")("c") != RING.draw("a")("bc"), "no two pairs make one message"
    assert pickle.loads(pickle.dumps(RING)).draw("a")("b") == RING.draw("a")("b")


@pytest.mark.parametrize("text", ["Doe^Jane", "ü", "not-utf8-\udcff"])
def test_a_name_is_a_pseudonym(text: str) -> None:
    name = RING.name("sub", text)
    assert re.fullmatch(r"sub-[0-9a-f]{12}", name)
    assert name == RING.name("sub", text)
    assert len({name, OTHER.name("sub", text), RING.name("sub", text + "x")}) == 3
    assert RING.name("ses", text)[4:] != name[4:], "a session and its subject of one label do not look alike"


def test_nothing_is_drawn_from_an_empty_text() -> None:
    """Everybody without an id would be one person."""
    for work in (lambda: RING.draw(""), lambda: RING.name("sub", ""), lambda: RING.name("ses", "a", "")):
        with pytest.raises(ValueError, match="empty text"):
            work()


def test_the_secret_does_not_show() -> None:
    shown = repr(RING) + str(RING) + RING.fingerprint()
    assert "CANARY" not in shown
    assert SECRET.hex()[:16] not in shown
    assert re.fullmatch(r"[0-9a-f]{16}", RING.fingerprint())
    assert RING.fingerprint() != OTHER.fingerprint()


def test_generate_writes_once_and_for_the_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "key"
    keys.generate(path)
    text = path.read_text()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert re.fullmatch(r"[0-9a-f]{64}\n", text)
    with pytest.raises(UsageError, match="never overwritten"):
        keys.generate(path)
    assert path.read_text() == text
    keys.generate(tmp_path / "other")
    assert (tmp_path / "other").read_text() != text


def test_generate_where_it_cannot_be(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be written"):
        keys.generate(tmp_path / "nowhere" / "key")


def test_white_space_around_a_key_is_none_of_it(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(SECRET)
    (tmp_path / "b").write_bytes(b"\n " + SECRET + b"\r\n")
    (tmp_path / "c").write_bytes(SECRET + b"x")
    rings = [keys.load(tmp_path / name).fingerprint() for name in "abc"]
    assert rings[0] == rings[1] != rings[2]


@pytest.mark.parametrize("data", [b"", b"\n" * 64, b"ZZ-CANARY-SHORT", b" ZZ-CANARY-SHORT\n\n\n"])
def test_a_short_key_is_refused(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "key").write_bytes(data)
    with pytest.raises(UsageError, match="needs at least 16 bytes") as caught:
        keys.load(tmp_path / "key")
    assert "CANARY" not in str(caught.value)


@pytest.mark.parametrize("data", [b"k" * 32, b"\0" * 64, b"aaaaaaaaaaaaaaaaa\n"])
def test_a_key_of_one_repeated_byte_is_none(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "key").write_bytes(data)
    with pytest.raises(UsageError, match="one repeated byte"):
        keys.load(tmp_path / "key")


@pytest.mark.parametrize("name", ["nowhere", "."])
def test_a_key_that_cannot_be_read(name: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot read the key"):
        keys.load(tmp_path / name)
