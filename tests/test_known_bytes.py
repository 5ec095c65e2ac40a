"""Values that rules took away, looked for in bytes: what is found, what chance may not tell, and how cost grows."""

from __future__ import annotations

import random
import time
import zlib

import pytest

from fw_gear_deid.verify.known import Known

VALUES = (
    ("Roe-Smith^Jane^Q", "PN"),
    ("Li^Wei", "PN"),
    ("Müller^Jörg=山田^太郎", "PN"),
    ("Иванов^Иван", "PN"),
    ("PID-0012345", "LO"),
    ("00123456", "LO"),
    ("A1B2", "LO"),
    ("19541215", "DA"),
    ("20200229134501.123456", "DT"),
    ("12 Main Street, Springfield", "ST"),
    ("General Hospital", "LO"),
    ("1.2.840.113619.2.62.994044785528", "UI"),
    ("134501.123456", "TM"),
    ("ZZ_Canary 1987-06-05", ""),
)


@pytest.fixture(scope="module")
def known() -> Known:
    made = Known()
    for value, vr in VALUES:
        made.add(value, vr)
    return made


HOLDING = (
    "Jane Roe-Smith", "roe,jane", "JANEROE", "scan of Smith", "x\tRoe Smith\n", "Name: Li Wei", "<b>WEI, LI</b>",
    "Mueller", "Muller", "MÜLLER", "Jörg", "Mu\u0308ller", "山田", "山田 太郎", "иванов", "ИВАНОВ",
    "PID_0012345", "pid 0012345!", "id 123456", "id=00123456;", "a1b2", "1954-12-15", "15.12.1954", "12/15/54", "19541215",
    "1954:12:15 10:11:12", "15 Dec 1954", "December 15, 1954", "15-DEC-54", "20200229134501", "2020-02-29",
    "12 Main Street Springfield", "general_hospital", "(1.2.840.113619.2.62.994044785528)", "134501.123456",
    "zz canary", "5.6.1987",
)  # fmt: skip


@pytest.mark.parametrize("text", HOLDING)
@pytest.mark.parametrize("codec", ["utf-8", "latin_1", "utf-16-le", "utf-16-be"])
def test_a_value_is_found_in_bytes(known: Known, text: str, codec: str) -> None:
    raw = text.encode(codec, "ignore")
    if raw.decode(codec) != text:
        pytest.skip("the letters are in no such text")
    assert known.told_by_bytes(raw)
    for around in (b"\0\0", b"\x01\xff\x80\0", " text all around ".encode(codec)):
        assert known.told_by_bytes(around + raw + around)
    assert not Known().told_by_bytes(raw)


@pytest.mark.parametrize(
    "text",
    [
        "Rose Smithson, Janet", "roebuck", "1234567", "54-12", "1954", "1215", "15 December",
        "19541216", "12.15.1955", "119541215", "1.2.840.113619.2.62.9940447855281", "1.2.840.10008.1.2.1", "1.2.3.4.5.6",
        "a 1 b 2", "main street", "hospital", "general", "T1_MPRAGE_SAG 1.0 mm 134501", "MR BRAIN W/O CONTRAST",
        "ORIGINAL\\PRIMARY\\M\\ND", "541215", "hospital of the general",
    ],
)  # fmt: skip
def test_other_text_is_none(known: Known, text: str) -> None:
    assert not known.told_by_bytes(text.encode())
    assert not known.told_by_bytes(text.encode("utf-16-le"))


@pytest.mark.parametrize("seed", range(4))
def test_chance_tells_nothing(known: Known, seed: int) -> None:
    """Noise of pixels, what is packed, and tables of numbers."""
    draw = random.Random(seed)
    noise = draw.randbytes(1 << 20)
    pixels = b"".join(max(0, int(draw.gauss(1000, 200))).to_bytes(2, "little") for _ in range(1 << 18))
    numbers = " ".join(f"{draw.gauss(0, 100):.4f}" for _ in range(1 << 16)).encode()
    whole = ",".join(str(draw.randrange(100_000)) for _ in range(1 << 16)).encode()
    for data in (noise, pixels, numbers, whole, zlib.compress(numbers, 9), bytes(1 << 20), b" " * (1 << 20)):
        assert not known.told_by_bytes(data)
        assert known.told_by_bytes(data + b" JANE ROE " + data)


def test_what_is_added_later_is_looked_for(known: Known) -> None:
    one = Known()
    assert not one.told_by_bytes(b"Quuxington")
    one.add("Quuxington^Q", "PN")
    assert one.told_by_bytes(b"quuxington")


@pytest.mark.parametrize(
    "unit", [b"ab 12 roe ", b"\0j\0a\0n", b"1954-12-1", b"1.2.840.1", b"li ", bytes(8), b"dec 15 ", b"-" * 9]
)
def test_cost_grows_with_the_bytes(known: Known, unit: bytes) -> None:
    """Four times as many take about four times as long, whatever they are: three attempts, since others use the machine."""
    known.told_by_bytes(unit)
    small, large = unit * (200_000 // len(unit)), unit * (800_000 // len(unit))
    for _ in range(3):
        spent = []
        for data in (small, large):
            begin = time.process_time()
            known.told_by_bytes(data)
            spent.append(time.process_time() - begin)
        if spent[1] < 9 * spent[0] + 0.01:
            return
    pytest.fail(f"{spent}")


def test_what_is_known_hardly_costs() -> None:
    data = b"words of a text without any of them, and numbers 12 13 14 " * 5000
    spent = []
    for number in (10, 10_000):
        one = Known()
        for index in range(number):
            one.add(f"PATIENT{index:06}X", "LO")
            one.add(f"1.2.826.0.1.3680043.{index:08}", "UI")
        one.told_by_bytes(b"")
        begin = time.process_time()
        assert not one.told_by_bytes(data)
        spent.append(time.process_time() - begin)
    assert spent[1] < 5 * spent[0] + 0.05


@pytest.mark.parametrize(
    "data", [b"\1\2\0JANE\0\3", b"\0Roe\0", b"Jane", b"a text of somebody: Li, and more of such text"]
)
def test_a_short_name_stands_alone_or_in_text(data: bytes) -> None:
    one = Known()
    for name in ("Roe^Jane", "Li^X"):
        one.add(name, "PN")
    assert one.told_by_bytes(data)
    assert not one.told_by_bytes(b"\1\2Jane\3\4 \xffRoe\xfe \1li\2\0Li\0")
