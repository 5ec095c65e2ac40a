"""A new format is one file, its row in the table, and its vectors: one that is not there yet, in a copy of the tree."""

from __future__ import annotations

import csv
import gzip
import json
import re
import subprocess
import zipfile
from hashlib import sha256
from pathlib import Path

import pytest

from tests.desk import instance, packed
from tests.tree import Tree

TOY = '''\
"""``KEY=value`` in lines behind ``TOY1``: bytes → fields → the same bytes with edits."""

from __future__ import annotations

import re
from collections.abc import Sequence

from fw_gear_deid.formats.row import Changes, Codec, Field, Format, Options, Splice
from fw_gear_deid.model.action import Gone
from fw_gear_deid.model.errors import Malformed, Unfit
from fw_gear_deid.model.frozen import frozen

_MAGIC = b"TOY1\\n"
_LINE = re.compile(rb"([a-z.]+)=([^\\n]*)\\n")


@frozen
class Toy:
    """A file, open: where its lines and values stand."""

    size: int
    spans: tuple[tuple[int, int, int], ...]
    fields: tuple[Field, ...]
    gone: dict[int, str]

    def find(self, name: str) -> Sequence[int]:
        """Return the lines of a key."""
        return [number for number, one in enumerate(self.fields) if one.name == name]

    def splices(self, changes: Changes) -> Sequence[Splice]:
        """Return what is to be done to the lines."""
        found = []
        for number, texts in sorted(changes.texts.items()):
            line, value, end = self.spans[number]
            found.append((line, end + 1, b"") if isinstance(texts, Gone) else (value, end, _one(texts)))
        made = b"".join(name.encode() + b"=" + _one(texts) + b"\\n" for name, texts in changes.made.items())
        return [*found, (self.size, self.size, made)]


def _one(texts: tuple[str, ...]) -> bytes:
    if len(texts) != 1 or "\\n" in texts[0]:
        raise Unfit("a line holds one text")
    return texts[0].encode()


def _open(data: bytes, options: Options) -> Toy:
    spans, fields, at = [], [], len(_MAGIC)
    if not data.startswith(_MAGIC):
        raise Malformed("it is no toy")
    while at < len(data):
        match = _LINE.match(data, at)
        if match is None:
            raise Malformed("a line of it has no key")
        name, value = (part.decode() for part in match.groups())
        fields.append(Field(name, f"line {name}", (value,)))
        spans.append((at, match.start(2), match.end(2)))
        at = match.end()
    notes = {number: "remove-notes" for number, one in enumerate(fields) if one.name.startswith("note.")}
    return Toy(len(data), tuple(spans), tuple(fields), notes if options.get("remove-notes") else {})


def _again(data: bytes, options: Options) -> Toy:
    pairs = [line.split("=", 1) for line in data.decode().splitlines()[1:]]
    return Toy(0, (), tuple(Field(name, "", (value,)) for name, value in pairs), {})


FORMAT = Format(
    "toy",
    "toy",
    ("*.toy",),
    lambda head: head.startswith(_MAGIC),
    options={"remove-notes": "bool"},
    defaults={"date-format": "%d.%m.%Y"},
    codec=Codec(_open, _again),
    regex=True,
)
'''
ROW = {"from fw_gear_deid.formats.row import Format\n": "from fw_gear_deid.formats import toy\nfrom fw_gear_deid.formats.row import Format\n",
       "    dicom.FORMAT,\n": "    dicom.FORMAT,\n    toy.FORMAT,\n"}  # fmt: skip
VECTORS = """\
- name: a-key-goes-and-all-else-stays
  section: {fields: [{name: who, remove: true}]}
  file: a.toy
  content: "TOY1\\nwho=DOE\\nwhat= a\\t\\n"
  expect: "TOY1\\nwhat= a\\t\\n"
  edits: [line who remove]
  source: a test
- name: cut-off
  section: {fields: [{name: who, remove: true}]}
  file: a.toy
  content: "TOY1\\nwho=DO"
  error: a line of it has no key
  source: a test
"""
PROFILE = """\
dicom:
  fields:
    - {name: PatientName, remove: true}
toy:
  remove-notes: true
  date-increment: 2
  fields:
    - {name: who, remove: true}
    - {name: site, replace-with: here}
    - {regex: 'id[.].*', hash: true}
    - {name: day, increment-date: true}
    - {name: nowhere, remove: true}
  filenames:
    - {input-regex: '^(?P<n>[a-z]+)', output: '{n}-{id.code}.toy', groups: [{name: n, keep: true}]}
"""
FILE = b"TOY1\nwho=DOE\nkeeps= \xc3\xa4 \nnote.b=DOE was here\nid.code=77\nday=28.02.2020\n"
HASHED = sha256(b"77").hexdigest()[:16]
CLEAN = f"TOY1\nkeeps= ä \nid.code={HASHED}\nday=01.03.2020\nsite=here\n".encode()
COLUMNS = ("path", "action", "rule", "before", "after")
EDITS = [
    ("line note.b", "remove", "remove-notes", "DOE was here", ""),
    ("line who", "remove", "p.yaml:8", "DOE", ""),
    ("line id.code", "hash", "p.yaml:10", "77", HASHED),
    ("line day", "increment-date", "p.yaml:11", "28.02.2020", "01.03.2020"),
    ("site", "replace-with", "p.yaml:9", "", "here"),
]


class Toys(Tree):
    """With one more format."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.module = folder / "fw_gear_deid" / "formats" / "toy.py"
        self.module.write_text(TOY, encoding="utf-8")
        table = folder / "fw_gear_deid" / "formats" / "__init__.py"
        code = table.read_text(encoding="utf-8")
        for before, after in ROW.items():
            assert code.count(before) == 1
            code = code.replace(before, after)
        table.write_text(code, encoding="utf-8")
        (folder / "tests" / "vectors" / "formats" / "toy.yaml").write_text(VECTORS, encoding="utf-8")
        place = folder / "in" / "S" / "V" / "A"
        place.mkdir(parents=True)
        (place / "loose.toy").write_bytes(FILE)
        (place / "called.dcm").write_bytes(FILE)
        (place / "packed.toy.gz").write_bytes(gzip.compress(FILE))
        (place / "both.zip").write_bytes(packed({"d/1.dcm": instance(), "d/in.toy": FILE}))
        (place / "plain.json").write_bytes(b"{}")

    def run(self, out: str, text: str = PROFILE) -> subprocess.CompletedProcess[str]:
        return self.call(text, "run", "in", out, "--profile", "p.yaml", "--workers", "1", "--audit-originals")

    def rows(self, table: str) -> list[dict[str, str]]:
        with (self.folder / table).open(encoding="utf-8-sig", newline="") as stream:
            return list(csv.DictReader(stream))


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Toys:
    """One file, its row in the table (and the import of it), one file of vectors."""
    return Toys(tmp_path_factory.mktemp("tree"))


WRONG = [
    ("remove-notes: true", "remove-notes: 3", "p.yaml:5:17 error toy.remove-notes: must be true or false"),
    ("remove-notes: true", "remove-note: true", "did you mean 'remove-notes'?"),
    ("remove-notes: true", "alter_pixels: {}", "not supported by this version"),
    ("{name: who, remove: true}", "{name: who, remov: true}", "did you mean 'remove'?"),
]


def test_new_format_is_known_to_the_check(tree: Toys) -> None:
    done = tree.call(PROFILE, "profile", "check", "p.yaml")
    assert (done.returncode, "not carried out" in done.stdout) == (0, False), done.stdout + done.stderr
    for written, instead, told in WRONG:
        done = tree.call(PROFILE.replace(written, instead, 1), "profile", "check", "p.yaml")
        assert (done.returncode, told in done.stdout) == (2, True), done.stdout + done.stderr
    done = tree.call("toy: {fields: []}\n", "profile", "check", "p.yaml")
    assert (done.returncode, "files would come out as they went in" in done.stdout) == (2, True), done.stdout


def test_new_format_runs_in_folders_and_archives(tree: Toys) -> None:
    done = tree.run("out")
    assert done.returncode == 0, done.stdout + done.stderr
    (archive,) = (tree.folder / "out").rglob("both.zip")
    place = archive.parent
    loose = [f"{name}-{HASHED}.toy" for name in ("called", "loose", "packed")]
    assert sorted(path.name for path in place.iterdir()) == ["both.zip", *loose]
    assert {(place / name).read_bytes() for name in loose} == {CLEAN}
    with zipfile.ZipFile(archive) as opened:
        assert len(opened.namelist()) == 2
        assert opened.read(f"d/in-{HASHED}.toy") == CLEAN
    rows = tree.rows("out-report/private/audit.csv")
    for member in ("", f"d/in-{HASHED}.toy"):
        told = [
            row
            for row in rows
            if row["member"] == member and row["file"].endswith("zip" if member else f"/loose-{HASHED}.toy")
        ]
        assert [tuple(row[key] for key in COLUMNS) for row in told][:5] == EDITS
        assert [row["path"] for row in told[5:]] == ["filename"]
    summary = json.loads((tree.folder / "out-report" / "summary.json").read_text(encoding="utf-8"))
    assert summary["rules_without_a_match"] == ["nowhere (p.yaml:12)"]
    reasons = {row["source"]: row["reason"] for row in tree.rows("out-report/private/files.csv")}
    assert reasons["S/V/A/plain.json"] == "other file: no section of the profile takes it"


def test_new_format_is_left_out_in_its_own_word(tree: Toys) -> None:
    """Without its section: what it is comes from its row, and no other section takes it by its name."""
    copies = "filename: {filenames: [{input-regex: .*, output: x}]}\n"
    done = tree.run("without", re.sub(r"(?s)toy:\n.*", copies, PROFILE))
    assert done.returncode == 0, done.stdout + done.stderr
    reasons = {row["source"]: row["reason"] for row in tree.rows("without-report/private/files.csv")}
    assert reasons == {
        "S/V/A/both.zip": "1 member left out: 1 toy",
        "S/V/A/called.dcm": "other file: no section of the profile takes it",
        "S/V/A/loose.toy": "other file: no section of the profile takes it",
        "S/V/A/packed.toy.gz": "other file: no section of the profile takes it",
        "S/V/A/plain.json": "",
    }


def test_new_format_is_previewed(tree: Toys) -> None:
    done = tree.call(PROFILE, "preview", "in", "--profile", "p.yaml", "--csv", "t.csv")
    assert done.returncode == 0, done.stdout + done.stderr
    lines = done.stdout.split("in/S/V/A/both.zip!d/in.toy\n")[1].split("\nin/")[0].splitlines()
    assert lines == [
        f"  {path}: '{before}' -> '{after or '(removed)'}'  [{action}, {rule}]"
        for path, action, rule, before, after in EDITS
    ]
    rows = [row for row in tree.rows("t.csv") if row["src_path"] == "in/S/V/A/loose.toy"]
    assert [(row["who"], row["site"], row["id[.].*"], row["PatientName"]) for row in rows] == [
        ("DOE", "", "77", ""), ("", "here", HASHED, ""),
    ]  # fmt: skip


BROKEN = {
    "leaves-the-value": ('found.append((line, end + 1, b"") if', 'found.append((line, line, b"") if', "more fields"),
    "another-value": ("(value, end, _one(texts))", '(value, end, b"x")', "not what it should be"),
    "loses-a-field": ("(self.size, self.size, made)", "(len(_MAGIC), self.spans[2][0], made)", "stand in each other"),
    "loses-the-last": ("*found, (self.size", "*found, (self.spans[-1][0]", "stand in each other"),
    "makes-nothing": ("(self.size, self.size, made)", '(self.size, self.size, b"")', "what a rule makes"),
    "makes-more": ("(self.size, self.size, made)", '(self.size, self.size, made + b"x=1\\n")', "more fields"),
    "reads-otherwise": ('Field(name, "", (value,))', 'Field(name, "", (value + name,))', "two readers"),
}


@pytest.mark.parametrize(("right", "wrong", "told"), BROKEN.values(), ids=BROKEN)
def test_broken_codec_is_found_by_the_check(
    tree: Toys, request: pytest.FixtureRequest, right: str, wrong: str, told: str
) -> None:
    assert TOY.count(right) == 1
    out = request.node.callspec.id
    tree.module.write_text(TOY.replace(right, wrong), encoding="utf-8")
    try:
        done = tree.run(out)
    finally:
        tree.module.write_text(TOY, encoding="utf-8")
    assert done.returncode == 1, done.stdout + done.stderr
    assert [*(tree.folder / out).rglob("*.toy"), *(tree.folder / out).rglob("*.zip")] == []
    rows = {row["source"]: row for row in tree.rows(f"{out}-report/private/files.csv")}
    for name in ("S/V/A/loose.toy", "S/V/A/both.zip"):
        assert (rows[name]["state"], told in rows[name]["reason"]) == ("refused", True), rows[name]
        assert "DOE" not in rows[name]["reason"]


def test_new_format_passes_its_vectors(tree: Toys) -> None:
    """And the tests that hold every format to having some."""
    done = tree.python("-m", "pytest", "-q", "-k", "toy or codec or told", "tests/test_formats.py")
    assert done.returncode == 0, done.stdout
    assert int(re.findall(r"(\d+) passed", done.stdout)[0]) == 4
