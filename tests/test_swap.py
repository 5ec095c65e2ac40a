"""What is compiled anew for a subject is what compiling the whole profile for it gives."""

from __future__ import annotations

import pytest

from fw_gear_deid.profile import store
from fw_gear_deid.profile.parse import parse_template
from fw_gear_deid.profile.values.book import compiled
from fw_gear_deid.profile.values.swap import open_part, swapped
from fw_gear_deid.profile.values.variables import Template, names_in, read_template

HEAD = "dicom:\n  recurse-sequence: true\n"
KEPT = "    - {name: PatientSex, keep: true}\n    - {name: PatientName, remove: true}\n"
ID = "    - {name: PatientID, replace-with: '{{ x }}'}\n"
OPEN = {
    "value": HEAD + "  fields:\n" + KEPT + ID,
    "twice": HEAD + "  fields:\n" + ID + KEPT + "    - {name: StudyID, replace-with: ['{{ y }}', A]}\n",
    "early": HEAD
    + "  fields:\n"
    + KEPT
    + ID
    + "    - name: StudyID\n      regex-sub: [{input-regex: '{{ x }}', output: a}]\n",
    "days": HEAD
    + "  fields:\n"
    + KEPT
    + "    - {name: StudyDate, increment-date: true, date-increment-override: '{{ n }}'}\n",
    "zip": HEAD + "  fields:\n" + KEPT + ID + "zip:\n  hash-subdirectories: true\n",
}
WHOLE = {
    "option of the section": HEAD + "  salt: '{{ x }}'\n  fields:\n" + ID + "    - {name: StudyID, hash: true}\n",
    "another section": HEAD + "  fields:\n" + KEPT + ID + "zip:\n  salt: '{{ x }}'\n",
    "metadata": HEAD + "  fields:\n" + KEPT + ID + "flywheel:\n  subject:\n    all: true\n",
    "none": HEAD + "  fields:\n" + KEPT,
}
VALUES = {"x": "A-1", "y": "B 2", "n": "-12", "subject.pseudonym": "sub-0123456789ab"}


def opened(text: str) -> tuple[Template, Template | None]:
    template = read_template(text, "p.yaml")
    return template, open_part(template, parse_template(template, {}, strict=False))


@pytest.mark.parametrize(
    "values", [VALUES, {"y": "B 2"}, {**VALUES, "x": "C-3", "n": "4"}], ids=["all", "some", "others"]
)
@pytest.mark.parametrize("text", [*OPEN.values(), *(path.read_text() for path in store.shipped().values())])
def test_the_same_as_the_whole(text: str, values: dict[str, str]) -> None:
    template, part = opened(text)
    base = parse_template(template, {}, strict=False)
    used = tuple(dict.fromkeys(name for name, _, _ in names_in(template)))
    if part is None:
        assert not used
        return
    assert swapped(part, values, used, base) == compiled(template, values, used, base)


@pytest.mark.parametrize("text", WHOLE.values(), ids=WHOLE)
def test_what_others_depend_on_is_compiled_whole(text: str) -> None:
    assert opened(text)[1] is None


@pytest.mark.parametrize("value", ["A" * 65, "a\nb", ""])
def test_what_does_not_fit_is_told_by_the_whole(value: str) -> None:
    template, part = opened(OPEN["value"])
    assert part is not None
    assert swapped(part, {"x": value}, ("x",), parse_template(template, {}, strict=False)) is None


def test_rules_that_share_a_line_are_compiled_whole() -> None:
    text = "dicom: {fields: [{name: PatientID, replace-with: '{{ x }}'}, {name: PatientName, remove: true}]}\n"
    template, part = opened(text)
    assert part is not None
    assert swapped(part, VALUES, ("x",), parse_template(template, {}, strict=False)) is None
