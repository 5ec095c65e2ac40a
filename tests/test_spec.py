"""The table of actions: what it says holds, and a new action is one file, its row, and its vectors."""

from __future__ import annotations

import ast
import csv
import re
import subprocess
from pathlib import Path

import pytest
from pydicom import dcmread

from fw_gear_deid.actions import ACTIONS, SPECS, TABLE, Replace
from fw_gear_deid.actions.spec import Spec
from fw_gear_deid.model.action import CLEANED, DIFFERS, ENDS, EQUALS, GONE, MOVED, NOTHING
from fw_gear_deid.profile.parse import parse_profile
from tests.desk import instance
from tests.tree import Tree

ROOT = Path(__file__).resolve().parents[1]
BUILT = [spec for spec in TABLE if spec.build is not None]
VALUES = {"replace-with": "X", "regex-sub": "[{input-regex: '.*', output: X}]"}


@pytest.mark.parametrize("spec", BUILT, ids=lambda spec: spec.key)
def test_action_has_the_key_of_its_entry(spec: Spec) -> None:
    for name in spec.names:
        element = "StudyInstanceUID" if spec.only else "PatientComments"
        entry = f"{{name: {element}, {name}: {VALUES.get(spec.key, 'true')}}}"
        profile = parse_profile(f"dicom: {{date-increment: 1, secret-key: x, fields: [{entry}]}}", "p.yaml")
        assert profile.dicom is not None
        assert profile.dicom.rules[0].action.key == spec.key
        assert ACTIONS[name] is spec


def test_names_are_told_apart() -> None:
    assert len(SPECS) == sum(len(spec.names) for spec in TABLE)
    words = [word for spec in TABLE for word in spec.words]
    assert len(set(words)) == len(words)
    assert not set(words) & (SPECS.keys() | {"name", "regex"})
    assert {spec.promise for spec in TABLE} == {NOTHING, GONE, EQUALS, DIFFERS, MOVED, CLEANED}
    assert SPECS["replace-with"].promised(Replace(("X",), append=True)) == ENDS


def test_an_option_means_the_same_kind_of_value_everywhere() -> None:
    said: dict[str, set[object]] = {}
    for spec in TABLE:
        for name, option in spec.options.items():
            said.setdefault(name, set()).add((option.kind, option.stand_in, option.problem))
            assert option.entry or option.section, name
    assert [name for name, found in said.items() if len(found) > 1] == []


def test_documentation_lists_every_action() -> None:
    page = (ROOT / "docs" / "profiles.md").read_text(encoding="utf-8")
    rows = [
        f"| {', '.join(f'`{name}`' for name in spec.names)} | {spec.does} | "
        f"{', '.join(f'`{option}`' for option in spec.own)} | {', '.join(f'`{option}`' for option in spec.shared)} |"
        for spec in BUILT
    ]
    assert "\n".join(rows) + "\n\n" in page


def test_the_language_names_no_action() -> None:
    """What it must know of one stands in its entry; a word in the language would be a second place to add one."""
    named = {
        (path.relative_to(ROOT).as_posix(), node.value)
        for path in (ROOT / "fw_gear_deid" / "profile").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and node.value in ACTIONS
    }
    masks = "fw_gear_deid/profile/sections/masks.py"  # rectangles are removed or kept, by words of their own
    assert named == {(masks, "keep"), (masks, "remove")}


# -- an action that is not there yet -----------------------------------------------------------------------

ECHO = '''\
"""Values → the same, several times."""

from __future__ import annotations

from dataclasses import dataclass

from fw_gear_deid.actions.spec import Given, Option, Spec
from fw_gear_deid.model.action import DIFFERS, Action, At, Texts


@dataclass(frozen=True, slots=True)
class Echo:
    """``echo: true``: each value ``echo-times`` times."""

    times: int
    key: str = "echo"

    def __call__(self, texts: Texts, at: At) -> Texts:
        """Return the repeated values."""
        return tuple(text * self.times for text in texts)


def _build(given: Given) -> Echo | None:
    times = given.number("echo-times")
    if not times or times < 1:
        given.complain("must be 1 or more", "echo-times")
        return None
    return Echo(int(times))


def _misfit(action: Action, vr: str) -> str:
    return "VR DA cannot hold an echo" if vr == "DA" else ""


def _warns(action: Action, kind: str | None, settled: bool) -> str:
    return "an echo tells what it repeats"


SPEC = Spec(
    key="echo",
    does="repeats the value",
    build=_build,
    options={"echo-times": Option("int", 2, section=True)},
    not_true={"int": "must be true; the number goes into 'echo-times'"},
    promise=DIFFERS,
    misfit=_misfit,
    warns=_warns,
    numbers=True,
    words={"repeat": "echo"},
)
'''
VECTORS = """\
- name: twice
  value: AB
  expect: ABAB
  source: a test
- name: option-of-the-section
  section: {echo-times: 3}
  value: [A, B]
  expect: [AAA, BBB]
  source: a test
- name: no-dates
  field: {name: StudyDate}
  value: 20200101
  error: VR DA cannot hold an echo
  source: a test
"""
GOOD = """\
dicom:
  fields:
    - name: PatientID
      echo: true
      echo-times: 3
    - name: PatientName
      remove: true
flywheel:
  session:
    echo-times: 2
    fields:
      - {name: info.number, echo: true}
      - {name: info.text, echo: true}
"""
CONTAINER = """
from datetime import date
from pathlib import Path
from fw_gear_deid.deid.container import deidentify_container
from fw_gear_deid.model.container import ContainerRecord
from fw_gear_deid.profile.parse import parse_profile
section = parse_profile(Path("good.yaml").read_text(), "good.yaml").flywheel
record = ContainerRecord("session", "1", "L", {"info": {"number": 12, "text": "ab"}})
print(deidentify_container(record, section, lambda purpose: 0, date(2026, 1, 1)).fields["info"])
"""


class Echoing(Tree):
    """With one more action."""

    def check(self, text: str) -> subprocess.CompletedProcess[str]:
        return self.call(text, "profile", "check", "p.yaml")

    def run(self, text: str, name: str) -> subprocess.CompletedProcess[str]:
        return self.call(text, "run", "in", name, "--profile", "p.yaml", "--workers", "1")


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Echoing:
    """One file, its row in the table (and the import of it), one file of vectors."""
    made = Echoing(tmp_path_factory.mktemp("tree"))
    (made.folder / "fw_gear_deid" / "actions" / "echo.py").write_text(ECHO, encoding="utf-8")
    table = made.folder / "fw_gear_deid" / "actions" / "__init__.py"
    code = table.read_text(encoding="utf-8")
    with_row = re.sub(
        r"import clean, dates, (.*\n(?:.*\n)*?)TABLE = \(\n",
        r"import clean, dates, echo, \1TABLE = (\n    echo.SPEC,\n",
        code,
    )
    assert with_row.count("echo") == 2
    table.write_text(with_row, encoding="utf-8")
    (made.folder / "tests" / "vectors" / "actions" / "echo.yaml").write_text(VECTORS, encoding="utf-8")
    (made.folder / "in" / "S" / "V" / "A").mkdir(parents=True)
    (made.folder / "in" / "S" / "V" / "A" / "1.dcm").write_bytes(instance("P1"))
    return made


def test_new_action_is_known_to_the_check(tree: Echoing) -> None:
    done = tree.check(GOOD)
    assert (done.returncode, "an echo tells what it repeats" in done.stdout) == (0, True), done.stdout + done.stderr
    wrong = {
        "echo-times: 3": [
            ("echo-times: two", "must be a whole number"),
            ("echo-times: 0", "p.yaml:5:19 error dicom.fields[0].echo-times: must be 1 or more"),
            ("echo-tims: 3", "did you mean 'echo-times'?"),
            ("jitter-min: 3", "option 'jitter-min' does not belong to 'echo'"),
        ],
        "echo: true": [
            ("echo: 2", "must be true; the number goes into 'echo-times'"),
            ("ecko: true", "did you mean 'echo'?"),
            ("repeat: true", "did you mean 'echo'?"),
        ],
        "name: PatientID": [("name: StudyDate", "VR DA cannot hold an echo")],
        "    echo-times: 2": [("    echo-times: two", "flywheel.session.echo-times: must be a whole number")],
    }
    for written, changes in wrong.items():
        for instead, told in changes:
            done = tree.check(GOOD.replace(written, instead, 1))
            assert (done.returncode, told in done.stdout) == (2, True), done.stdout + done.stderr


def test_new_action_changes_an_element_and_keeps_its_promise(tree: Echoing) -> None:
    done = tree.run(GOOD, "out")
    assert done.returncode == 0, done.stderr
    (made,) = (tree.folder / "out").rglob("*.dcm")
    assert dcmread(made).PatientID == "P1P1P1"
    done = tree.run(GOOD.replace("echo-times: 3", "echo-times: 1"), "broken")
    assert done.returncode == 1
    assert list((tree.folder / "broken").rglob("*.dcm")) == []
    listed = (tree.folder / "broken-report" / "private" / "files.csv").read_text(encoding="utf-8-sig")
    (row,) = csv.DictReader(listed.splitlines())
    told = "verification: p.yaml:3 echo: (0010,0020) is not different from the source"
    assert (row["state"], row["reason"]) == ("refused", told)


def test_new_action_waits_for_the_value_of_a_variable(tree: Echoing) -> None:
    (tree.folder / "map.csv").write_text("subject.label,n\nS,4\n", encoding="utf-8")
    text = GOOD.replace("echo-times: 3", 'echo-times: "{{ n }}"')
    assert tree.check(text).returncode == 0
    (tree.folder / "p.yaml").write_text(text, encoding="utf-8")
    arguments = ("run", "in", "filled", "--profile", "p.yaml", "--mapping", "map.csv", "--workers", "1")
    done = tree.python("-m", "fw_gear_deid", *arguments)
    assert done.returncode == 0, done.stderr
    (made,) = (tree.folder / "filled").rglob("*.dcm")
    assert dcmread(made).PatientID == "P1P1P1P1"


def test_new_action_changes_values_of_containers(tree: Echoing) -> None:
    (tree.folder / "good.yaml").write_text(GOOD, encoding="utf-8")
    done = tree.python("-c", CONTAINER)
    assert done.stdout.strip() == "{'number': 1212, 'text': 'abab'}", done.stderr


def test_new_action_passes_its_vectors(tree: Echoing) -> None:
    """And the tests that hold every action to having some."""
    which = ("tests/test_actions.py", "tests/test_house.py", "tests/test_spec.py")
    done = tree.python("-m", "pytest", "-q", "-k", "echo or every_action_has", *which)
    assert done.returncode == 0, done.stdout
    assert int(re.findall(r"(\d+) passed", done.stdout)[0]) >= 6
