"""What the log has of a file gives it back: every format, from the released bytes and the entry alone."""

from __future__ import annotations

import io
import json
import zipfile
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import yaml

from fw_gear_deid.deid import Context, Result, deidentify
from fw_gear_deid.deid.giveback import give_back
from fw_gear_deid.deid.originals import files
from fw_gear_deid.keys import Keyring
from fw_gear_deid.profile.parse import parse_profile
from tests.test_formats import CASES

Told = dict[str, Any]


def made(source: Path, name: str, profile: str, out: Path) -> tuple[Result, Told]:
    """De-identify a file, and read what the log is to have of it."""
    ctx = Context(parse_profile(profile, "p.yaml"), Keyring(b"k" * 32), "id:1", date(2026, 1, 1), "strict", log=True)
    done = deidentify(source, name, ctx, out)
    assert isinstance(done, Result) and done.originals is not None
    return done, json.loads(json.dumps(done.originals.told()))


GOOD = [(key, case) for key, case in CASES if "error" not in case and "skipped" not in case]
ANEW = {"the-rest-of-a-packed-file"}


@pytest.mark.parametrize(("key", "case"), GOOD, ids=[f"{key}-{case['name']}" for key, case in GOOD])
def test_case_goes_back_to_the_byte(key: str, case: dict[str, Any], tmp_path: Path) -> None:
    source, out, back = tmp_path / "in", tmp_path / "out", tmp_path / "back"
    data = bytes.fromhex(case["bytes"]) if "bytes" in case else case["content"].encode()
    source.write_bytes(data)
    _, told = made(source, case["file"], yaml.safe_dump({key: case["section"]}), out)
    source.unlink()
    missing = give_back(out, json.loads(told["tags"]), back)
    assert back.read_bytes() == data or missing
