"""Text headers: lines that no rule names stay, what stands behind them stays, and whatever else comes is refused."""

from __future__ import annotations

import gzip
import random
import tracemalloc
import zlib
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import yaml

from fw_gear_deid.deid import document
from fw_gear_deid.formats.keyvalue import FORMAT, volume
from fw_gear_deid.model.action import At
from fw_gear_deid.model.errors import Malformed, Unfit
from fw_gear_deid.profile.compiled import FieldSection
from fw_gear_deid.profile.parse import parse_profile
from fw_gear_deid.profile.text.problems import ProfileError

SHARED = Path(__file__).parents[2] / "shared" / "corpus"
AT = At("UT", lambda purpose: 0, date(2026, 1, 1), lambda name: "")
X = {"replace-with": "X"}
REMOVE = {"remove": True}
Rules = dict[str, dict[str, Any]]


def section(rules: Rules, **options: object) -> FieldSection:
    options = {"delimiter": " = "} | options | {"fields": [{"name": name, **action} for name, action in rules.items()]}
    text = yaml.safe_dump({"key-value-text-file": {key.replace("_", "-"): value for key, value in options.items()}})
    (found,) = parse_profile(text, "p.yaml").sections
    assert isinstance(found, FieldSection)
    return found


def run(data: bytes, rules: FieldSection) -> bytes:
    """Return the result, checked."""
    edited = document.edit(data, rules, AT)
    result = document.written(data, edited)
    document.check(data, result, edited)
    assert FORMAT.codec is not None
    list(FORMAT.codec.beside(result, rules.options))
    FORMAT.codec.risks(result, rules.options)
    return result


META = b"NDims = 3\r\nName = Na\r\nPatientName = DOE Erika\r\nPatientID = 00123\r\nEmpty = \r\nDimSize = 2 2\r\nElementType = MET_UCHAR\r\nElementDataFile = LOCAL\r\n\0\1\2\xff"
JCAMP = b"##TITLE=Parameter List\n##OWNER=nm <x>\n$$ Wed DOE@host\n$$ /opt/PV/DOE\n##$SUBJECT_id=( 64 )\n<7364>\n##$N=( 3 )\n1 2 \n3\n$$ @vis= A B\n##$L=( 2, 65 )\n<mm> \n<mm>\n\n##$S=( 40 )\n<abc\ndef>\n##$E=<>\n##END=\n\n"
NRRD = b"NRRD0004\n# made: by DOE\ntype: short\npatient:=DOE\nsizes: 2\nencoding: raw\n\n\0\1\2\3"
PAR = b"# === DATA ===\r\n#\r\n# Dataset name: H:\\DOE\r\n.    Patient name     :   DOE\r\n.    Exam date/time   :  2018.01.01 / 01:01\r\n# sl ec\r\n 1 2 3\r\n"
RDA = b">>> Begin of header <<<\r\nPatientName: DOE\r\nTR: 2000\r\n>>> End of header <<<\r\n\0\xff: \n"
KINDS: dict[str, tuple[bytes, Rules, dict[str, Any]]] = {
    "meta": (META, {"PatientName": REMOVE, "PatientID": {"hash": True}, "Empty": X, "New": X}, {}),
    "jcamp": (JCAMP, {"##$SUBJECT_id": REMOVE, "##$L": X, "$$": REMOVE, "##$S": {"hash": True}, "##$New": X}, {"delimiter": "="}),
    "nrrd": (NRRD, {"#": REMOVE, "patient": REMOVE, "who": X}, {"delimiter": ":=|: "}),
    "par": (PAR, {".    Patient name": X, "# Dataset name": X}, {"delimiter": " *: *", "ignore-bad-lines": True}),
    "rda": (RDA, {"PatientName": REMOVE, "New": X}, {"delimiter": ": "}),
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_what_nothing_is_asked_of_stays(kind: str) -> None:
    data, _, options = KINDS[kind]
    assert run(data, section({"x": {"keep": True}}, **options)) == data


@pytest.mark.parametrize("kind", KINDS)
def test_names_go_and_data_stay(kind: str) -> None:
    data, rules, options = KINDS[kind]
    result = run(data, section(rules, **options))
    assert b"DOE" not in result
    behind = {"meta": b"\0\1\2\xff", "nrrd": b"\0\1\2\3", "rda": b"\0\xff: \n"}.get(kind, b"")
    assert result.endswith(behind)
    stay = [line for line in data.splitlines(keepends=True) if line in result]
    assert len(stay) >= len(data.splitlines()) - len(rules) - 4


@pytest.mark.parametrize("kind", KINDS)
def test_cut_anywhere_and_changed_at_any_byte(kind: str) -> None:
    data, rules, options = KINDS[kind]
    compiled, rng = section(rules, **options), random.Random(kind)
    put_in = [b"=", b" = ", b"\n", b"\r", b"\r\n", b"##", b"$$", b"\0", b"\xff", b"<", b">", b"( 4 )", b"# ", b": ", b"\n\n",
              b"ElementDataFile = LOCAL\n", b"\xef\xbb\xbf", b"\x0b", b"\x1c", b"\xc2\x85", b"\xe2\x80\xa8", b" ", b"\t"]  # fmt: skip
    variants = [data[:at] for at in range(len(data))]
    for _ in range(500):
        changed, at = bytearray(data), rng.randrange(len(data))
        match rng.randrange(4):
            case 0:
                changed[at] = rng.randrange(256)
            case 1:
                del changed[at : at + rng.randint(1, 8)]
            case 2:
                changed[at:at] = rng.choice(put_in)
            case _:
                other = rng.randrange(len(data))
                changed[at:at] = data[other : other + rng.randint(1, 30)]
        variants.append(bytes(changed))
    released = 0
    for one in variants:
        try:
            run(one, compiled)
        except Unfit:
            continue
        released += 1
    assert released > 50


TAMPERED = {
    "stays": META,
    "another-value": META.replace(b"PatientName = DOE Erika\r\n", b"").replace(b"Na\r", b"Nb\r"),
    "another-key": META.replace(b"PatientName = DOE Erika\r\n", b"").replace(b"Empty", b"Emptx"),
    "lost": META.replace(b"PatientName = DOE Erika\r\n", b"").replace(b"Empty = \r\n", b""),
    "more": META.replace(b"PatientName = DOE Erika\r\n", b"PatientNam = DOE Erika\r\n"),
    "turned": META.replace(b"PatientName = DOE Erika\r\n", b"").replace(b"Name = Na\r\nPatientID = 00123\r\n", b"PatientID = 00123\r\nName = Na\r\n"),
}  # fmt: skip


@pytest.mark.parametrize("name", TAMPERED)
def test_the_check_finds_what_is_wrong(name: str) -> None:
    edited = document.edit(META, section({"PatientName": REMOVE}), AT)
    document.check(META, document.written(META, edited), edited)
    with pytest.raises(Unfit):
        document.check(META, TAMPERED[name], edited)


def test_what_stands_beside() -> None:
    assert FORMAT.codec is not None
    options = {"delimiter": "=", "ignore-bad-lines": True}
    data = b"##TITLE=x\n$$ DOE\n$$ @vis= A\n##bad\nin it\n##END=\n"
    told = [
        ("line 2", b"DOE"),
        ("line 3", b"@vis= A"),
        ("a line without a key", b"##bad"),
        ("a line without a key", b"in it"),
    ]
    assert list(FORMAT.codec.beside(data, options)) == told
    assert FORMAT.codec.risks(data, options) == ("comments",)
    assert FORMAT.codec.risks(data.replace(b"$$ DOE\n", b""), options) == ()
    assert list(FORMAT.codec.beside(b"A=1\nElementDataFile=LIST\n1.raw\n", options)) == [
        ("a line without a key", b"1.raw")
    ]


RAW = bytes(200)
SHORT = {"DimSize": "10 10", "ElementType": "MET_SHORT", "ElementDataFile": "LOCAL"}
PACKED = SHORT | {"CompressedData": "True"}
NRRD_SHORT = {"type": "unsigned short", "sizes": "10 10", "encoding": "gzip"}
BOMB = zlib.compress(bytes(50_000_000))


@pytest.mark.parametrize(
    ("values", "data", "right"),
    [
        (SHORT, RAW, True), (SHORT, RAW + b"x", False), (SHORT, RAW[1:], False), (SHORT, RAW * 9, False),
        (SHORT | {"ElementNumberOfChannels": "2"}, RAW * 2, True),
        (SHORT | {"BinaryData": "False"}, b"1 2 3", True),
        (SHORT | {"ElementType": "MET_LONG"}, b"either", True),
        (SHORT | {"DimSize": "10 x"}, b"nobody knows", True), ({"ElementDataFile": "LOCAL"}, b"nobody knows", True),
        (PACKED, zlib.compress(RAW), True), (PACKED, zlib.compress(RAW) + b"x", False), (PACKED, zlib.compress(RAW)[:-1], False),
        (PACKED, zlib.compress(RAW[1:]), False), (PACKED, BOMB, False), (PACKED, b"", False), (PACKED, b"no zlib", False),
        (PACKED | {"CompressedDataSize": "7"}, b"1234567", True), (PACKED | {"CompressedDataSize": "7"}, b"12345678", False),
        (NRRD_SHORT, gzip.compress(RAW, mtime=0), True), (NRRD_SHORT, gzip.compress(RAW, mtime=0) + b"x", False),
        (NRRD_SHORT | {"encoding": "raw"}, RAW, True), (NRRD_SHORT | {"encoding": "raw"}, RAW + b"x", False),
        (NRRD_SHORT | {"encoding": "ascii"}, b"1 2", True), (NRRD_SHORT | {"byte skip": "-1"}, b"x", True),
    ],
)  # fmt: skip
def test_as_much_data_as_the_header_says(values: dict[str, str], data: bytes, right: bool) -> None:
    tracemalloc.start()
    try:
        if right:
            volume.check(values, memoryview(data))
        else:
            with pytest.raises(Malformed, match="as long as it says"):
                volume.check(values, memoryview(data))
        assert tracemalloc.get_traced_memory()[1] < 10_000_000
    finally:
        tracemalloc.stop()


def test_too_many_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fw_gear_deid.formats.keyvalue.scan._MOST", 100)
    with pytest.raises(Unfit, match="more than 100 lines"):
        run(b"".join(b"k%d = 1\n" % number for number in range(101)), section({"A": REMOVE}))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("fields: [{name: A, remove: true}]", "no 'delimiter'"),
        ("delimiter: '', fields: [{name: A, remove: true}]", "a regular expression for what stands between"),
        ("delimiter: '(', fields: [{name: A, remove: true}]", "not a regular expression"),
        ("delimiter: ' *', fields: [{name: A, remove: true}]", "matches where nothing stands"),
        ("delimiter: '=', encoding: rot13, fields: [{name: A, remove: true}]", "not an encoding"),
        ("delimiter: '=', encoding: DOE, fields: [{name: A, remove: true}]", "not an encoding"),
        ("delimiter: '=', fields: [{name: ' ', remove: true}]", "a key is text in one line"),
        ("delimiter: '=', fields: [{regex: '.*', remove: true}]", "go by name"),
        ("delimiter: '=', ignore-bad-lines: true", "no fields"),
        ("delimiter: '=', fields: []", "no fields"),
    ],
)
def test_profiles_that_are_wrong(text: str, told: str) -> None:
    with pytest.raises(ProfileError, match=told):
        parse_profile(f"key-value-text-file: {{{text}}}", "p.yaml")


def test_a_delimiter_that_matches_nothing_between_letters() -> None:
    with pytest.raises(Unfit, match="matches where nothing stands"):
        run(b"AB\n", section({"A": REMOVE}, delimiter="(?<=A)"))


@pytest.mark.skipif(not SHARED.is_dir(), reason="shared/corpus is not beside this checkout")
def test_real_headers_that_nothing_is_asked_of_stay() -> None:
    places = {
        "=": [path for path in (SHARED / "nondicom" / "bruker").rglob("*") if path.name in ("acqp", "method", "visu_pars", "reco")],
        " *: *": [*(SHARED / "nondicom").rglob("*.PAR"), *(SHARED / "nondicom").rglob("*.spar"), *(SHARED / "nondicom").rglob("*.rda")],
        ":=|: ": list((SHARED / "nondicom").rglob("*.nrrd")),
        " = ": [*(SHARED / "planted").rglob("*.mh?")],
    }  # fmt: skip
    for delimiter, paths in places.items():
        assert paths
        rules = section({"x": {"keep": True}}, delimiter=delimiter, ignore_bad_lines=True)
        for path in paths:
            assert run(path.read_bytes(), rules) == path.read_bytes()
