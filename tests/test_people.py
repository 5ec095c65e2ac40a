"""Who a patient is: normal forms, and the stocks that people have, each with who must come out of it."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace

import pytest

from fw_gear_deid.deid.dataset import WATCHED
from fw_gear_deid.deid.identity import SERIES_UID, identity_of
from fw_gear_deid.deid.survey import WHOSE
from fw_gear_deid.formats.dicom import part10
from fw_gear_deid.keys import Keyring
from fw_gear_deid.model.person import NO_ID, SEVERAL, Identity, Known, Person, birth_date, contradict, usable_id
from fw_gear_deid.model.ports import Item
from fw_gear_deid.model.seen import Seen
from fw_gear_deid.runner.people import People, people_in_containers, people_in_folders
from tests import dicom_files as files

RING = Keyring(b"the secret of these tests, of no one else")


@pytest.mark.parametrize(
    "text",
    ["", "  ", "\0", "ANON", "Anonymous", "anon^anon", "UNKNOWN", "REDACTED", "N/A", "#N/A", "None", "0", "000", "xxx",
     "---", "TEST", "De-Identified", "PatientID", "group/project", "fw://group/project", "my.group/Some Project",
     "group/project/ANON/ses", "group/project/", "999999", "not available"],
)  # fmt: skip
def test_what_is_no_id(text: str) -> None:
    assert usable_id(text) == ""


@pytest.mark.parametrize(
    ("text", "normal"),
    [("1", "1"), ("P1", "p1"), (" PID  12 ", "pid 12"), ("0001", "0001"), ("A", "a"), ("N", "n"), ("TEST-12", "test-12"),
     ("PID-0", "pid-0"), ("740104/0020", "740104/0020"), ("12/34/56", "12/34/56"), ("RAD/12345", "rad/12345"),
     ("group/project/Sub-1", "sub-1"), ("group/project/Sub-1/ses-2", "sub-1"), ("u\u0308-1", "\u00fc-1"), ("anon_007", "anon_007")],
)  # fmt: skip
def test_ids_in_normal_form(text: str, normal: str) -> None:
    assert usable_id(text) == normal


@pytest.mark.parametrize(
    ("one", "other", "differ"),
    [("19700115", "1970-01-15T00:00:00.000Z", False), ("19700115", "1970.01.15", False), ("19700115", "1970", False),
     ("19700115", "", False), ("19700115", "00000000", False), ("19700115", "19000101", False),
     ("19700115", "19700100", False), ("15.01.1970", "19700115", False), ("19700115", "19700116", True),
     ("1970", "19710101", True), ("197002", "19700115", True), ("19700115", "unknown", False)],
)  # fmt: skip
def test_birth_dates_that_contradict(one: str, other: str, differ: bool) -> None:
    first, second = (Identity.of({"PatientBirthDate": text}, RING.stamp).born for text in (one, other))
    assert contradict(first, second) == contradict(second, first) == differ
    assert birth_date("19700115") == ("1970", "01", "15")


def test_an_identity_is_sealed() -> None:
    texts = {"IssuerOfPatientID": "H", "PatientID": "P-7", "PatientBirthDate": "19700115", "PatientName": "Doe^Jane"}
    one = Identity.of(texts, RING.stamp)
    assert not any(word in repr(one) for word in ("P-7", "p-7", "1970", "Doe", "doe", "Jane"))
    assert Identity.of(texts | {"PatientName": "DOE^JANE^^"}, RING.stamp) == one
    assert Identity.of(texts | {"IssuerOfPatientID": "K"}, RING.stamp).id != one.id
    assert Identity.of(texts, Keyring(b"another secret of these tests").stamp).id != one.id


def test_a_look_survives_the_ledger() -> None:
    seen = Seen("archive", (Identity("a", ("b", "c"), "d"), Identity()), "s", "r", "i", "f" * 64, "w")
    assert Seen.from_json(json.loads(json.dumps(seen.as_json()))) == seen


def test_persons_of_two_kinds_never_meet() -> None:
    people = [Person("id", ("a",)), Person("folder", ("a",)), Person("id", ("a", "b")), Person("id", ("a 1:b",))]
    assert len({one.text for one in people}) == len(people)


# -- the beginning of a file ---------------------------------------------------------------------------

PATIENT = (
    files.text(0x00100010, "PN", "Doe^Jane"), files.text(0x00100020, "LO", "P-7"), files.text(0x00100030, "DA", "19700115"),
)  # fmt: skip
UIDS = (files.text(0x0020000D, "UI", "1.2.3"), files.text(0x0020000E, "UI", "1.2.3.4"))
LARGE = files.Leaf(0x00091010, "OB", bytes(200_000))
PIXELS = files.Leaf(0x7FE00010, "OW", bytes(500_000))


class Counted(io.BytesIO):
    """Counts what is read."""

    count = 0

    def read(self, size: int | None = -1, /) -> bytes:
        data = super().read(size)
        self.count += len(data)
        return data


@pytest.mark.parametrize("syntax", files.SYNTAXES)
@pytest.mark.parametrize("before", [(), (LARGE,)], ids=["short", "behind a large element"])
def test_the_beginning_says_what_the_whole_says(syntax: str, before: tuple[files.Node, ...]) -> None:
    data = files.part10((*files.IDENTITY[:3], *before, *PATIENT, *UIDS, PIXELS), files.SYNTAXES[syntax])
    stream = Counted(data)
    head = WHOSE.read(stream.read, len(data))
    assert identity_of(head, RING) == identity_of(part10.look(data, WATCHED), RING) != Identity()
    assert head.text(SERIES_UID) == "1.2.3.4"
    assert stream.count <= (33_000 if not before else 530_000) or syntax == "deflated"


def test_a_file_out_of_order_is_read_to_its_end() -> None:
    data = files.part10((*files.IDENTITY[:3], *UIDS, PIXELS, *PATIENT), files.SYNTAXES["explicit"])
    assert identity_of(WHOSE.read(io.BytesIO(data).read, len(data)), RING).id


# -- stocks --------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Header:
    """What one file says; ``also`` what other members of an archive say."""

    id: str = ""
    born: str = ""
    name: str = ""
    study: str = "1"
    series: str = "1"
    number: str = ""
    issuer: str = ""
    also: tuple[Header, ...] = ()
    content: str = ""

    def identity(self) -> Identity:
        texts = {"PatientID": self.id, "PatientBirthDate": self.born, "PatientName": self.name}
        return Identity.of({**texts, "IssuerOfPatientID": self.issuer}, RING.stamp)


Stock = Mapping[str, Header]


def listed(stock: Stock) -> tuple[list[Item], dict[str, Seen | str]]:
    items, seen = [], {}
    for path, header in sorted(stock.items()):
        parts = path.split("/")
        keys = tuple("/".join(parts[:depth]) for depth in (1, 2, 3)) if len(parts) == 4 else ()
        items.append(Item(path, parts[-1], keys, not keys, "v", 1))
        identities = tuple(one.identity() for one in (header, *header.also))
        kind = "archive" if path.endswith(".zip") else "instance"
        number = header.number or path
        seen[path] = Seen(kind, identities, header.study, header.series, number, header.content or path)
    return items, seen


def people(stock: Stock, *, strict: bool = True, root: str = "here") -> People:
    return people_in_folders(*listed(stock), root=root, strict=strict)


def grouped(found: People) -> set[frozenset[str]]:
    """Return the files of each person."""
    groups: dict[Person, set[str]] = {}
    for item, person in found.of.items():
        if item not in found.problems and item not in found.copies:
            groups.setdefault(person, set()).add(item)
    return {frozenset(group) for group in groups.values()}


def tree(*ids: str, born: tuple[str, ...] = (), visits: int = 2) -> dict[str, Header]:
    """Return a tree S0, S1 …, one id each, some visits."""
    return {
        f"S{n}/V{visit}/A/1": Header(one, born[n] if born else "", f"Name{n}", f"{n}.{visit}")
        for n, one in enumerate(ids)
        for visit in range(visits)
    }


def by_folder(stock: Stock) -> set[frozenset[str]]:
    folders = {path.split("/")[0] for path in stock}
    return {frozenset(path for path in stock if path.startswith(folder + "/")) for folder in folders}


TREES: dict[str, dict[str, Header]] = {
    "ids": tree("P1", "P2", "P3"),
    "all ids blank": tree("", "", ""),
    "ANON": tree("ANON", "ANON", "ANON"),
    "one constant id everywhere": tree("X-1", "X-1", "X-1"),
    "group/project": tree("lab/study", "lab/study", "lab/study"),
    "group/project/subject/ses": {
        f"S{n}/V{v}/A/1": Header(f"lab/study/S{n}/V{v}", study=f"{n}.{v}") for n in range(3) for v in range(2)
    },
    "a new id at each visit": {
        f"S{n}/V{v}/A/1": Header(f"P{n}-{v}", f"197{n}0101", study=f"{n}.{v}") for n in range(3) for v in range(2)
    },
    "the folder of one is named as the id of another": {
        "P2/V/A/1": Header("P1", study="1"), "P1/V/A/1": Header("", study="2"), "P3/V/A/1": Header("P2", study="3"),
    },
    "some ids emptied": {"S0/V1/A/1": Header("P1"), "S0/V2/A/1": Header(""), "S1/V1/A/1": Header("P2")},
    "one id, other birth dates": tree("X-1", "X-1", born=("19700101", "19800101")),
}  # fmt: skip


@pytest.mark.parametrize("stock", TREES)
@pytest.mark.parametrize("strict", [True, False])
def test_folders_of_a_tree_are_people(stock: str, strict: bool) -> None:
    found = people(TREES[stock], strict=strict)
    assert found.problems == {}
    assert grouped(found) == by_folder(TREES[stock])
    assert {found.subjects[path.split("/")[0]] for path in TREES[stock]} == set(found.of.values())


def test_what_tells_a_folder() -> None:
    kinds = {stock: {one.kind for one in people(TREES[stock]).subjects.values()} for stock in TREES}
    assert kinds["ids"] == kinds["group/project/subject/ses"] == kinds["some ids emptied"] == {"id"}
    assert (
        kinds["all ids blank"]
        == kinds["ANON"]
        == kinds["one constant id everywhere"]
        == kinds["group/project"]
        == {"folder"}
    )
    assert kinds["a new id at each visit"] == {"folder"}


LOOSE = {
    "a/1": Header("P1", "19700101", study="1"), "b/2": Header(" p1 ", "", study="2"), "c/3": Header("P2", study="3"),
    "d/4": Header("P1", study="4", issuer="H"),
}  # fmt: skip


def test_loose_files_go_by_id() -> None:
    assert grouped(people(LOOSE)) == {frozenset({"a/1", "b/2"}), frozenset({"c/3"}), frozenset({"d/4"})}


@pytest.mark.parametrize("text", ["", "ANON", "lab/study", "0"])
def test_loose_files_without_an_id(text: str) -> None:
    stock = {
        "a": Header(text, "19700101", study="1"),
        "b": Header(text, "19800101", study="2"),
        "c": Header(text, study="3"),
    }
    found = people(stock)
    assert found.problems == dict.fromkeys(stock, NO_ID)
    assert "SUBJECT/SESSION/ACQUISITION" in NO_ID and "--mapping" in NO_ID
    warned = people(stock, strict=False)
    assert (warned.problems, grouped(warned)) == ({}, {frozenset({"a"}), frozenset({"b"}), frozenset({"c"})})
    assert {remark.items for remark in warned.remarks} >= {("a",), ("b",), ("c",)}


def test_who_is_in_the_mapping_needs_no_id() -> None:
    items, seen = listed({"a": Header(study="1"), "b": Header(study="2"), "c": Header(study="3")})
    rows = {
        key: replace(one, row=row)
        for (key, one), row in zip(seen.items(), ("r1", "r1", ""), strict=True)
        if isinstance(one, Seen)
    }
    found = people_in_folders(items, rows)
    assert (found.problems, grouped(found)) == ({"c": NO_ID}, {frozenset({"a", "b"})})


CD = {
    "DICOM/PA0/ST0/1": Header("P1", "19700101", study="1"), "DICOM/PA0/ST0/2": Header("P1", "19700101", study="1"),
    "DICOM/PA1/ST0/1": Header("P2", "19800101", study="2"), "DICOM/PA2/ST0/1": Header("", "19800101", study="3"),
}  # fmt: skip


def test_a_disc_is_no_subject() -> None:
    found = people(CD)
    assert grouped(found) == {frozenset({"DICOM/PA0/ST0/1", "DICOM/PA0/ST0/2"}), frozenset({"DICOM/PA1/ST0/1"})}
    assert found.problems == {"DICOM/PA2/ST0/1": NO_ID}
    assert found.loose == set(CD) and found.subjects == {}
    assert "DICOM/PA0/ST0/1" in found.remarks[0].items and "DICOM/PA1/ST0/1" in found.remarks[0].items


def test_a_disc_without_birth_dates() -> None:
    stock = {path: replace(header, born="") for path, header in CD.items()}
    assert len(grouped(people(stock))) == 2
    assert len(grouped(people({f"S{path}": header for path, header in stock.items()}))) == 1  # visits, for all we know


def test_two_discs_of_one_layout() -> None:
    """Run one after the other, or side by side: each goes by its id, not by its folders."""
    first = {"DICOM/PA0/ST0/1": Header("P1", "19700101")}
    second = {"DICOM/PA0/ST0/1": Header("P2", "19800101")}
    assert people(first).of["DICOM/PA0/ST0/1"] != people(second).of["DICOM/PA0/ST0/1"]
    both = {f"cd{n}/{path}": header for n, disc in enumerate((first, second)) for path, header in disc.items()}
    assert len(grouped(people(both))) == 2


def test_two_discs_without_ids_cannot_be_told_apart_by_their_folders() -> None:
    one, other = (people({"DICOM/PA0/ST0/1": Header(study=study)}, root=study) for study in ("1", "2"))
    (text,) = one.known
    assert one.known[text].contradicts(other.known[text])
    assert not one.known[text].contradicts(one.known[text])


@pytest.mark.parametrize("born", [("19700101", "19800101", "19900101"), ()], ids=["birth dates", "none"])
def test_a_tree_and_one_of_its_subjects_alone(born: tuple[str, ...]) -> None:
    whole = people(tree("P1", "P2", "P3", born=born))
    alone = people(
        {
            path.removeprefix("S1/"): header
            for path, header in tree("P1", "P2", "P3", born=born).items()
            if path.startswith("S1/")
        }
    )
    assert set(alone.of.values()) == {whole.subjects["S1"]}


def test_a_tree_and_its_patient_loose_are_one() -> None:
    stock = {"S0/V/A/1": Header("P1", study="1"), "x": Header("P1", study="2"), "y": Header("P2", study="3")}
    assert grouped(people(stock)) == {frozenset({"S0/V/A/1", "x"}), frozenset({"y"})}


CONTRADICT = {
    "a": Header("P1", "19700101", study="1"),
    "b": Header("P1", "19800101", study="2"),
    "c": Header("P2", study="3"),
}


def test_one_id_with_two_birth_dates_refuses_both_sides() -> None:
    found = people(CONTRADICT)
    assert found.problems == {
        "a": "one PatientID with two birth dates: see b",
        "b": "one PatientID with two birth dates: see a",
    }
    assert grouped(found) == {frozenset({"c"})}
    warned = people(CONTRADICT, strict=False)
    assert (warned.problems, grouped(warned)) == ({}, {frozenset(name) for name in "abc"})
    assert [remark.items for remark in warned.remarks] == [("a", "b")]


def test_a_loose_file_that_contradicts_a_tree() -> None:
    found = people({"S0/V/A/1": Header("P1", "19700101", study="1"), "x": Header("P1", "19800101", study="2")})
    assert set(found.problems) == {"S0/V/A/1", "x"}


@pytest.mark.parametrize(
    "other",
    [Header("P2"), Header("P1", "19800101"), Header("", "19800101")],
    ids=["id", "birth date", "birth date alone"],
)
def test_several_patients_in_one_archive(other: Header) -> None:
    stock = {
        "x.zip": Header("P1", "19700101", also=(other,)),
        "y.zip": Header("P3", study="3", also=(Header(""), Header("P3"))),
    }
    found = people(stock)
    assert found.problems == {"x.zip": SEVERAL}
    assert grouped(found) == {frozenset({"y.zip"})}
    assert len(grouped(people({**stock, "z": Header("P1", "19700101", study="4")}, strict=False))) == 3


@pytest.mark.parametrize(
    ("stock", "word", "items"),
    [
        ({"a": Header("P1"), "b": Header("P2"), "c": Header("P1")}, "study", ("a", "b")),
        ({"S0/V/A/1": Header("P1"), "S1/V/A/1": Header("P2")}, "study", ("S0/V/A/1", "S1/V/A/1")),
        ({"S0/V/A/1": Header(""), "S1/V/A/1": Header("")}, "study", ("S0/V/A/1", "S1/V/A/1")),
        ({"a": Header("P1", name="Doe^Jane"), "b": Header("P1", name="Doe^John")}, "names", ("a", "b")),
        ({"S0/V/A/1": Header("P1", study="1"), "S1/V/A/1": Header("P1", study="2")}, "below several", ("S0/V/A/1", "S1/V/A/1")),
    ],
    ids=["loose study", "study in a tree", "study without ids", "name", "id"],
)  # fmt: skip
def test_what_is_warned_of(stock: Stock, word: str, items: tuple[str, ...]) -> None:
    found = people(stock)
    assert found.problems == {}
    assert [remark.items for remark in found.remarks if word in remark.text] == [items]


@pytest.mark.parametrize(
    "stock",
    [TREES["ids"], LOOSE, {"S0/V/A/1": Header("P1"), "S0/V/A/2": Header("")}, {"a": Header("P1", name="Doe^Jane"), "b": Header("P1", name="DOE^JANE^^")}],
    ids=["tree", "loose", "blank", "name in capitals"],
)  # fmt: skip
def test_nothing_is_warned_of_where_nothing_is_odd(stock: Stock) -> None:
    assert people(stock).remarks == []


# -- copies --------------------------------------------------------------------------------------------


def test_copies() -> None:
    """A disc copied twice, a link in the tree and the object it leads to, and what two subjects have in common."""
    one, two = Header("P1", content="1", number="1"), Header("P1", content="2", number="2", series="2")
    stock = {
        "cd1/a/1": one, "cd1/a/2": two, "cd2/a/1": one, "cd2/a/2 (1)": two,
        "S0/V/A/1": Header("P5", content="5", number="5"), "S0/V/B/1": Header("P5", content="5", number="5"),
        ".git/annex/x/y/z/5": Header("P5", content="5", number="5"),
        "S1/V/A/1": Header("P6", content="5", number="5"),
    }  # fmt: skip
    assert people(stock).copies == {
        "cd2/a/1": "cd1/a/1", "cd2/a/2 (1)": "cd1/a/2", "S0/V/B/1": "S0/V/A/1", ".git/annex/x/y/z/5": "S0/V/A/1",
    }  # fmt: skip


def test_copies_without_an_id_have_no_say() -> None:
    stock = {"S0/V/A/1": Header("", content="5", number="5"), "annex/a/b/c/5": Header("", content="5", number="5")}
    found = people(stock)
    assert (found.problems, found.copies) == ({}, {"annex/a/b/c/5": "S0/V/A/1"})


def test_one_instance_with_two_contents() -> None:
    """Those two are refused, the rest of the series is not."""
    stock = {
        "a/1": Header("P1", number="1", content="1"), "a/2": Header("P1", number="2", content="2"),
        "b/1": Header("P1", number="1", content="x"), "c/1": Header("P2", number="1", content="y"),
        "d/1": Header("P1", number="1", content="z", series="2"),
        "S/V/A/1": Header("P3", number="3", content="3"), "S/V/A/2": Header("P3", number="3", content="4"),
        "S/V/B/1": Header("P3", number="3", content="5"),
    }  # fmt: skip
    found = people(stock)
    clash = "another file has its SOPInstanceUID and other bytes: see "
    assert found.problems == {
        "a/1": clash + "b/1", "b/1": clash + "a/1", "S/V/A/1": clash + "S/V/A/2", "S/V/A/2": clash + "S/V/A/1",
    }  # fmt: skip


# -- a platform ----------------------------------------------------------------------------------------


def on_platform(stock: Stock, born: Mapping[str, str] | None = None, *, strict: bool = True) -> People:
    items, seen = listed(stock)
    dates = {key: Identity.of({"PatientBirthDate": text}, RING.stamp).born for key, text in (born or {}).items()}
    return people_in_containers(items, seen, dates, strict=strict)


@pytest.mark.parametrize("stock", TREES)
def test_subjects_of_a_platform_are_people(stock: str) -> None:
    found = on_platform(TREES[stock])
    assert (found.problems, grouped(found)) == ({}, by_folder(TREES[stock]))
    assert {one.kind for one in found.of.values()} == {"container"}


DATES = {
    "S0/V/A/1": Header("P1", "19700101"), "S0/V/A/2": Header("P1", "1970"), "S0/V/B/1": Header("P9", "19800101"),
    "S0/V/C/1": Header("P1", ""), "S1/V/A/1": Header("P2", "19900101"),
}  # fmt: skip


def test_a_birth_date_that_contradicts_the_subject() -> None:
    assert set(on_platform(DATES).problems) == {"S0/V/B/1"}
    one_each = {path: header for path, header in DATES.items() if path != "S0/V/A/2"}
    assert set(on_platform(one_each).problems) == {"S0/V/A/1", "S0/V/B/1"}
    assert "see S0/V/B/1" in on_platform(one_each).problems["S0/V/A/1"]
    assert set(on_platform(DATES, {"S0": "1980-01-01"}).problems) == {"S0/V/A/1", "S0/V/A/2"}
    warned = on_platform(DATES, strict=False)
    assert (warned.problems, [remark.items for remark in warned.remarks]) == ({}, [("S0/V/B/1",)])


def test_copies_within_one_container() -> None:
    stock = {f"S0/V/{path}": Header(content="1") for path in ("A/1", "A/2", "B/1")}
    assert on_platform(stock).copies == {"S0/V/A/2": "S0/V/A/1"}


def test_what_another_run_knows() -> None:
    born = [Identity.of({"PatientBirthDate": text}, RING.stamp).born for text in ("19700101", "19800101", "")]
    assert "another birth date" in Known(born[0]).contradicts(Known(born[1]))
    assert Known(born[0]).contradicts(Known(born[2])) == Known().contradicts(Known()) == ""
    assert "folder of this name" in Known(root="a").contradicts(Known(root="b"))
