"""The strict reader: every kind of problem with its place, and nothing but ProfileError whatever the text."""

from __future__ import annotations

import difflib
import json
import random
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from fw_gear_deid import actions
from fw_gear_deid.model.dictionary import keywords
from fw_gear_deid.model.errors import UsageError
from fw_gear_deid.model.selectors import GroupsAt, PathAt, PrivateAt, Selector, TagAt
from fw_gear_deid.profile import store
from fw_gear_deid.profile.compiled import Profile, Rule
from fw_gear_deid.profile.language.addresses import BadName, parse_name
from fw_gear_deid.profile.parse import parse_profile
from fw_gear_deid.profile.text import problems
from fw_gear_deid.profile.text.problems import Problem, ProfileError, did_you_mean
from fw_gear_deid.profile.values import variables

EXAMPLES = settings(derandomize=True, database=None, deadline=None, max_examples=150)
Found = tuple[int, int, str]
"""Line, column, piece of the message."""
REMOVE = "dicom:\n  fields:\n    - name: PatientName\n      remove: true\n"


def errors(text: str) -> list[Problem]:
    with pytest.raises(ProfileError) as caught:
        parse_profile(text, "p.yaml")
    return [one for one in caught.value.problems if one.severity == "error"]


def warnings_of(text: str) -> list[Problem]:
    return list(parse_profile(text, "p.yaml").warnings)


def rules(text: str) -> tuple[Rule, ...]:
    profile = parse_profile(text, "p.yaml")
    assert profile.dicom is not None
    return profile.dicom.rules


def entry(text: str, options: str = "date-increment: 1") -> str:
    """Return a profile with one field, whose first line is line 4, column 7."""
    return f"dicom:\n  {options}\n  fields:\n    - " + text.replace("\n", "\n      ") + "\n"


def assert_found(found: list[Problem], wanted: list[Found]) -> None:
    assert [(one.line, one.column) for one in found] == [(line, column) for line, column, _ in wanted]
    for one, (_, _, piece) in zip(found, wanted, strict=True):
        assert piece in one.message


# -- the table: one problem each, and exactly that one ---------------------------------------------------

DOCUMENTS: dict[str, tuple[str, Found]] = {
    "empty": ("", (1, 1, "the profile is empty")),
    "comment-only": ("# nothing\n", (1, 1, "the profile is empty")),
    "blank-document": ("---\n", (2, 1, "the profile is empty")),
    "no-keys": ("{}", (1, 1, "the profile is empty")),
    "list": ("- dicom", (1, 1, "the profile is empty: write sections")),
    "word": ("dicom", (1, 1, "the profile is empty: write sections")),
    "two-documents": (REMOVE + "---\n" + REMOVE, (5, 1, "a second document begins here ('---')")),
    "no-section": ("name: x\n", (1, 1, "no section for a file type")),
    "zip-alone": ("zip: {}\n", (1, 1, "no section for the members")),
    "null-section": ("dicom:\n", (1, 1, "the section is empty")),
    "list-section": ("dicom:\n  - name: PatientName\n", (2, 3, "a section is a mapping of options")),
    "section-without-effect": ("dicom:\n  decode: true\n", (2, 3, "DICOM would come out as it went in")),
    "empty-fields": ("dicom:\n  fields: []\n", (2, 3, "DICOM would come out as it went in")),
    "fields-null": ("dicom:\n  remove-private-tags: true\n  fields:\n", (3, 10, "must be a list")),
    "fields-mapping": ("dicom:\n  remove-private-tags: true\n  fields:\n    a: b\n", (4, 5, "must be a list")),
    "unknown-section": (REMOVE + "dicon: {}\n", (5, 1, "unknown key 'dicon'; did you mean 'dicom'?")),
    "unknown-top-key": (REMOVE + "descripton: x\n", (5, 1, "did you mean 'description'?")),
    "outdented-option": (REMOVE + "remove-private-tags: true\n", (5, 1, "indent it below 'dicom:'")),
    "option-of-the-top": (REMOVE + "  name: x\n", (5, 3, "belongs at the left margin")),
    "misspelt-option": (REMOVE + "  remove-undefine: true\n", (5, 3, "did you mean 'remove-undefined'?")),
    "underscore-option": (REMOVE + "  remove_private_tags: true\n", (5, 3, "did you mean 'remove-private-tags'?")),
    "option-of-another-section": (REMOVE + "  hash-subdirectories: true\n", (5, 3, "unknown option")),
    "flag-as-text": (REMOVE + "  remove-private-tags: 'false'\n", (5, 24, "must be true or false")),
    "flag-as-number": (REMOVE + "  recurse-sequence: 1\n", (5, 21, "must be true or false")),
    "number-as-text": (REMOVE + "  date-increment: '5'\n", (5, 19, "must be a number")),
    "number-as-word": (REMOVE + "  date-increment: five\n", (5, 19, "must be a number")),
    "number-beyond-numbers": (REMOVE + f"  hash-digits: {'9' * 400}\n", (5, 16, "must be a whole number")),
    "salt-as-number": (REMOVE + "  salt: 12\n", (5, 9, "must be text; write it in quotes")),
    "top-name-as-list": (REMOVE + "name: [a]\n", (5, 7, "must be text")),
    "duplicate-section": (REMOVE + REMOVE, (5, 1, "key 'dicom' stands twice")),
    "duplicate-option": (REMOVE + "  decode: true\n  decode: true\n", (6, 3, "key 'decode' stands twice")),
    "merge-key": ("x: &x {decode: true}\n".replace("x:", "version:") + REMOVE + "  <<: *x\n", (6, 3, "merge keys")),
    "key-that-is-a-list": (REMOVE + "? [a, b]\n: c\n", (5, 3, "a key must be plain text")),
    "tab": ("dicom:\n\tfields: []\n", (2, 1, "indented with spaces, not tabs")),
    "unquoted-star": ("dicom:\n  file-filter: *.dcm\n", (2, 17, "in quotes")),
    "unquoted-percent": ("dicom:\n  date-format: %Y%m%d\n", (2, 16, "in quotes")),
    "unquoted-brace": (REMOVE + "  filenames:\n    - output: {x}.dcm\n", (6, 18, "in quotes")),
    "unknown-alias": ("dicom:\n  fields: *nowhere\n", (2, 11, "undefined alias")),
    "unclosed-quote": ("dicom:\n  salt: 'abc\n", (3, 1, "this is not YAML")),
    "bad-escape": ('dicom:\n  salt: "\\U99999999"\n', (1, 1, "an escape that stands for no character")),
    "half-a-character": (REMOVE + '  salt: "\\ud800"\n', (5, 9, "half a character")),
    "control-character": ("dicom:\n  salt: \x07\n", (2, 9, "a character that cannot be printed")),
    "too-long": (REMOVE + "#" * 1_000_000, (1, 1, "more than 1000000 characters")),
    "too-deep": ("dicom: " + "[" * 60 + "]" * 60, (1, 1, "deeper than 50")),
    "far-too-deep": ("dicom: " + "[" * 600, (1, 1, "deeper than 50")),
    "alias-bomb": (
        "version: &a [x, x, x, x, x, x, x, x, x]\n"
        + "".join(
            f"k{n}: &{b} [{', '.join([f'*{a}'] * 9)}]\n"
            for n, (a, b) in enumerate(zip("abcdef", "bcdefg", strict=True))
        ),
        (1, 1, "more than 200000 values"),
    ),
    "alias-of-itself": ("dicom: &a\n  fields: [*a, *a]\n", (1, 1, "deeper than 50")),
    "age-unit": ("dicom:\n  patient-age-from-birthdate: true\n  patient-age-units: W\n", (3, 3, "write D, M or Y")),
    "keep-list-of-nothing": ("dicom:\n  remove-undefined: true\n", (2, 3, "it would remove everything")),
    "bad-section-format": (
        "dicom:\n  date-format: '%Q'\n  remove-private-tags: true\n",
        (2, 16, "%Q is not a format code"),
    ),
    "filter-not-text": (REMOVE + "  file-filter: [12]\n", (5, 17, "a file filter is text")),
    "filter-in-a-list": (REMOVE + "  file-filter: [[a]]\n", (5, 17, "a file filter is text")),
    "filter-regex": (REMOVE + "  file-filter: ['*.x', 'r!(']\n", (5, 24, "not a regular expression")),
    "deid-log-bare": ("deid-log: log.csv\n" + REMOVE, (1, 11, "audit.csv")),
    "map-subjects": ("map-subjects: m.csv\n" + REMOVE, (1, 15, "not supported")),
    "no-key": (REMOVE + "  retain: true\n", (2, 3, "no key: write secret-key: '{{ SECRET_KEY }}'")),
    "no-certificate": (
        REMOVE + "  retain: true\n  asymmetric-encryption: true\n",
        (2, 3, "no key: write public-key: '{{ PUBLIC_KEY }}'"),
    ),
    "key-of-another-kind": (
        REMOVE + "  secret-key: '{{ PUBLIC_KEY }}'\n",
        (5, 15, "secret-key takes {{ SECRET_KEY }}"),
    ),
    "key-among-text": (REMOVE + "  secret-key: 'a{{ SECRET_KEY }}'\n", (5, 15, "and nothing beside it")),
    "key-elsewhere": (REMOVE + "  salt: '{{ SECRET_KEY }}'\n", (5, 9, "a key goes to the options")),
    "key-in-a-list": (
        REMOVE + "  asymmetric-encryption: true\n  retain: true\n  public-key: [a.pem, 1]\n",
        (7, 3, "must be the path of a file in PEM"),
    ),
    "force-nonce": (
        "json:\n  force-nonce: abc\n  fields: [{name: a, remove: true}]\n",
        (2, 16, "base64 of eight bytes"),
    ),
    "pixels": (REMOVE + "  alter_pixels: {}\n", (5, 3, "it masks nothing")),
    "name-in-recursion": (
        entry("name: OtherPatientIDsSequence.0.PatientID\nremove: true", "recurse-sequence: true"),
        (4, 7, "a path into sequences does not go together"),
    ),
    "regex-in-recursion": (
        entry("regex: x\nremove: true", "recurse-sequence: true"),
        (4, 7, "a regex does not go together"),
    ),
    "zip-field": (
        "zip:\n  fields:\n    - name: PatientName\n      remove: true\n" + REMOVE,
        (3, 13, "the fields comment only"),
    ),
    "filename-null": ("filename:\n", (1, 10, "no filenames")),
    "filename-without-names": ("filename: {}\n", (1, 11, "no filenames")),
    "filename-with-fields": (
        "filename:\n  filenames:\n    - {output: x, input-regex: .}\n  fields:\n    - name: PatientName\n",
        (4, 3, "this section renames only"),
    ),
}


def names(template: str, options: str = "decode: true") -> str:
    """Return a profile with one entry of ``filenames``, whose first line is line 6, column 7."""
    lines = template.replace("\n", "\n      ")
    return f"dicom:\n  {options}\n  fields:\n    - name: Modality\n  filenames:\n    - {lines}\n"


DOCUMENTS |= {
    "name-without-regex": (names("output: x"), (6, 7, "input-regex is missing")),
    "name-without-output": (names("input-regex: x"), (6, 7, "output is missing")),
    "name-misspelt-key": (
        names("output: x\ninput-regexp: x\ninput-regex: x"),
        (7, 7, "did you mean 'input-regex'?"),
    ),
    "name-bad-regex": (names("output: x\ninput-regex: (x"), (7, 20, "not a regular expression: missing )")),
    "name-unknown-variable": (
        names("output: '{Patient}'\ninput-regex: x"),
        (6, 15, "{Patient} is not a DICOM keyword"),
    ),
    "name-capture-is-a-keyword": (
        names("output: x\ninput-regex: (?P<patientid>.)"),
        (6, 7, "name of a DICOM keyword"),
    ),
    "name-group-not-captured": (
        names("output: x\ninput-regex: x\ngroups:\n  - {name: y, hash: true}"),
        (9, 18, "'y' is no named capture"),
    ),
    "name-taken-away": (
        names("output: '{PatientID}'\ninput-regex: x", "remove-undefined: true"),
        (5, 3, "{PatientID} is not among the fields"),
    ),
    "name-not-a-mapping": (names("x"), (6, 7, "must be a mapping of input-regex")),
}

ENTRIES: dict[str, tuple[str, Found]] = {
    "not-a-mapping": ("PatientName", (4, 7, "a field is a mapping")),
    "no-name": ("remove: true", (4, 7, "neither a name nor a regex")),
    "name-and-regex": ("name: PatientID\nregex: x\nremove: true", (4, 7, "both a name and a regex")),
    "name-null": ("name:\nremove: true", (4, 12, "name must be text")),
    "name-yes": ("name: yes\nremove: true", (4, 13, "name must be text")),
    "name-list": ("name: [PatientID]\nremove: true", (4, 13, "name must be text")),
    "misspelt-keyword": ("name: PatientBirtDate\nremove: true", (4, 13, "did you mean 'PatientBirthDate'?")),
    "nobodys-keyword": ("name: Qqqqqq\nremove: true", (4, 13, "not in the DICOM dictionary: 'Qqqqqq'")),
    "bad-tuple": ("name: (0010,020)\nremove: true", (4, 13, "not a tag; write (gggg,eeee)")),
    "tuple-with-a-tail": ("name: (0010,0020).0\nremove: true", (4, 13, "not a tag")),
    "even-private": (
        'name: (0010, "ACME", 01)\nremove: true',
        (4, 13, "the group of a private element is odd"),
    ),
    "creator-of-blanks": (
        "name: '(0009, \"  \", 01)'\nremove: true",
        (4, 13, "needs the name of its creator"),
    ),
    "other-repeater": ("name: (40xx,0010)\nremove: true", (4, 13, "only the groups 50xx and 60xx repeat")),
    "path-without-index": (
        "name: OtherPatientIDsSequence.PatientID\nremove: true",
        (4, 13, "SEQUENCE.INDEX.ELEMENT"),
    ),
    "path-bad-index": (
        "name: OtherPatientIDsSequence.-1.PatientID\nremove: true",
        (4, 13, "'-1' is no item index"),
    ),
    "path-far-index": (
        "name: OtherPatientIDsSequence.10000.PatientID\nremove: true",
        (4, 13, "beyond any real"),
    ),
    "path-through-no-sequence": (
        "name: PatientID.0.PatientID\nremove: true",
        (4, 13, "'PatientID' is no sequence"),
    ),
    "path-misspelt": (
        "name: OtherPatientIDsSequence.0.patientID\nremove: true",
        (4, 13, "did you mean 'PatientID'?"),
    ),
    "regex-bad": ("regex: 'a('\nremove: true", (4, 14, "missing ), unterminated subpattern at position 1")),
    "regex-unclear": ("regex: '[[:alpha:]]'\nremove: true", (4, 14, "not a clear regular expression")),
    "regex-too-large": ("regex: 'a{99999999999}'\nremove: true", (4, 14, "too large")),
    "regex-alone": ("regex: PatientID", (4, 7, "no action; a regex needs one")),
    "no-action-but-an-option": (
        "name: PatientID\njitter-range: 2",
        (5, 7, "option 'jitter-range' without an action"),
    ),
    "misspelt-action": (
        "name: PatientID\nremov: true",
        (5, 7, "unknown key 'remov'; did you mean 'remove'?"),
    ),
    "misspelt-next-to-keep": ("name: PatientID\nremov: true\nkeep: true", (5, 7, "did you mean 'remove'?")),
    "misspelt-option": (
        "name: PatientWeight\njitter: true\njitter-rang: 2",
        (6, 7, "did you mean 'jitter-range'?"),
    ),
    "option-of-another-action": (
        "name: PatientID\nhash: true\njitter-range: 2",
        (6, 7, "does not belong to 'hash'"),
    ),
    "two-actions": (
        "name: PatientID\nremove: true\nkeep: true",
        (6, 7, "several actions, 'remove', 'keep': keep one"),
    ),
    "action-twice": ("name: PatientID\nremove: true\nremove: true", (6, 7, "key 'remove' stands twice")),
    "false": ("name: PatientID\nremove: false", (5, 15, "must be true; take the entry out")),
    "null-action": ("name: PatientID\nhash:", (5, 12, "must be true")),
    "number-one": ("name: PatientID\nkeep: 1", (5, 13, "must be true")),
    "encrypt": ("name: PatientID\nencrypt: yes please", (5, 16, "must be true")),
    "replace-null": ("name: PatientID\nreplace-with:", (5, 20, "no value: write '' to empty the field")),
    "replace-number": ("name: PatientID\nreplace-with: 12", (5, 21, "VR LO takes text, not a number")),
    "replace-float": ("name: StudyInstanceUID\nreplace-with: 1.2", (5, 21, "VR UI takes text, not a number")),
    "replace-bool": ("name: PatientID\nreplace-with: yes", (5, 21, "reads this as true or false")),
    "replace-us-text": ("name: (0028,0010)\nreplace-with: '4'", (5, 21, "VR US takes a number, not text")),
    "replace-us-range": ("name: Rows\nreplace-with: -1", (5, 21, "not a whole number from 0 to 65535")),
    "replace-us-huge": (f"name: Rows\nreplace-with: {'9' * 5000}", (5, 21, "longer than any number")),
    "replace-is-huge": (
        f"name: InstanceNumber\nreplace-with: '{'9' * 5000}'",
        (5, 21, "longer than any number"),
    ),
    "replace-da": ("name: PatientBirthDate\nreplace-with: REDACTED", (5, 21, "not in the form of VR DA")),
    "replace-cs": ("name: Modality\nreplace-with: mr", (5, 21, "not in the form of VR CS")),
    "replace-one-of-two": ("name: PatientID\nreplace-with:\n  - A\n  - {b: c}", (7, 11, "must be a value")),
    "replace-private": ('name: (0019, "SIEMENS MR HEADER", 0C)\nreplace-with: x', (5, 21, "VR IS")),
    "replace-nested": ("name: OtherPatientIDsSequence.0.PatientBirthDate\nreplace-with: x", (5, 21, "VR DA")),
    "replace-insert-as-text": (
        "name: PatientID\nreplace-with: x\nreplace-with-insert: 'no'",
        (6, 28, "true or false"),
    ),
    "hash-da": ("name: StudyDate\nhash: true", (4, 7, "VR DA cannot hold a hash")),
    "hash-sq": ("name: OtherPatientIDsSequence\nhash: true", (4, 7, "VR SQ cannot hold a hash")),
    "hashuid-id": ("name: PatientID\nhashuid: true", (4, 13, "hashuid is for VR UI, and this element has VR LO")),
    "hashuid-below": ("name: OtherPatientIDsSequence.*.PatientID\nhashuid: true", (4, 13, "hashuid is for VR UI")),
    "hashuid-private": ('name: (0019, "SIEMENS MR HEADER", 0C)\nhashuid: true', (4, 13, "this element has VR IS")),
    "on-unreadable": (
        "name: StudyDate\nincrement-date: true\ndate-increment-override: 1\non-unreadable: skip",
        (7, 22, "must be refuse, empty or remove"),
    ),
    "on-unreadable-of-remove": ("name: StudyDate\nremove: true\non-unreadable: empty", (6, 7, "does not belong to")),
    "hash-repeater": ("name: (60xx,0010)\nhash: true", (4, 7, "VR US cannot hold a hash")),
    "override-as-text": (
        "name: StudyDate\nincrement-date: true\ndate-increment-override: x",
        (6, 32, "a number"),
    ),
    "date-format-of-datetime": (
        "name: StudyDate\nincrement-date: true\ndatetime-format: '%Y'",
        (6, 7, "does not belong to 'increment-date'"),
    ),
    "format-without-codes": (
        "name: StudyDate\nincrement-date: true\ndate-format: YYYY",
        (6, 20, "no format code"),
    ),
    "minimum-as-word": (
        "name: StudyDate\nincrement-date: true\ndatetime-min: then",
        (6, 21, "write YYYYMMDD"),
    ),
    "minimum-as-number": (
        "name: StudyDate\nincrement-date: true\ndatetime-min: 20200101",
        (6, 21, "in quotes"),
    ),
    "regex-sub-empty": ("name: PatientID\nregex-sub: []", (5, 18, "must be a list of {input-regex")),
    "regex-sub-bad": (
        "name: PatientID\nregex-sub:\n  - input-regex: '('\n    output: x",
        (6, 24, "not a regular expression"),
    ),
    "regex-sub-group-range": (
        "name: PatientID\nregex-sub:\n  - {input-regex: x, output: x, groups: [{name: 60xx0010, hash: true}]}",
        (6, 55, "a group reads one element"),
    ),
    "regex-sub-group-without-name": (
        "name: PatientID\nregex-sub:\n  - {input-regex: x, output: x, groups: [n]}",
        (6, 48, "a group is '- name: CAPTURE'"),
    ),
}


@pytest.mark.parametrize(("text", "wanted"), DOCUMENTS.values(), ids=DOCUMENTS)
def test_problem_of_a_document(text: str, wanted: Found) -> None:
    assert_found(errors(text), [wanted])


@pytest.mark.parametrize(("text", "wanted"), ENTRIES.values(), ids=ENTRIES)
def test_problem_of_an_entry(text: str, wanted: Found) -> None:
    assert_found(errors(entry(text)), [wanted])


def test_increment_beyond_the_calendar() -> None:
    found = errors(entry("name: StudyDate\nincrement-date: true", "date-increment: -4000000"))
    assert_found(found, [(4, 7, "the increment leaves the calendar")])


def test_tag_in_braces_without_quotes() -> None:
    found = errors(entry("{name: (0010,0020), remove: true}"))
    assert_found(found, [(4, 14, "put it in quotes inside { }"), (4, 20, "unknown key '0020)'")])


def test_date_rule_without_increment() -> None:
    found = errors(entry("name: StudyDate\nincrement-date: true", "decode: true"))
    assert_found(found, [(4, 7, "needs a 'date-increment'")])


def test_all_problems_come_at_once_in_the_order_of_the_file() -> None:
    text = (
        "nam: x\n"
        "dicom:\n"
        "  remove-undefine: true\n"
        "  fields:\n"
        "    - name: PatientNam\n"
        "      remove: true\n"
        "    - name: PatientID\n"
        "      remov: true\n"
        "    - name: StudyDate\n"
        "      increment-date: true\n"
        "zipp: {}\n"
    )
    assert_found(
        errors(text),
        [
            (1, 1, "did you mean 'name'?"),
            (3, 3, "did you mean 'remove-undefined'?"),
            (5, 13, "did you mean 'PatientName'?"),
            (8, 7, "did you mean 'remove'?"),
            (9, 7, "needs a 'date-increment'"),
            (11, 1, "did you mean 'zip'?"),
        ],
    )


PUBLISHED = """\
dicom:
remove-undefined: true
  fields:
    - name: PatientBirthdate
      replace-with: 001
"""


def test_indentation_as_published_names_the_line_and_the_remedy() -> None:
    (found,) = errors(PUBLISHED)
    assert "'remove-undefined' in line 2 belongs inside a section such as 'dicom:'" in found.message
    assert "indent it like the other lines of that section" in found.message


def test_the_published_profile_once_indented() -> None:
    indented = PUBLISHED.replace("\nremove", "\n  remove")
    assert_found(errors(indented), [(5, 21, "not in the form of VR DA")])
    (rule,) = rules(indented.replace("PatientBirthdate", "patientid"))
    assert (rule.selector, rule.action) == (TagAt(0x00100020), actions.Replace(("001",)))


# -- what scalars mean -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "vr_name", "values"),
    [
        ("001", "PatientID", ("001",)),
        ("'001'", "PatientID", ("001",)),
        ("0x10", "PatientID", ("0x10",)),
        ("1_000", "PatientID", ("1_000",)),
        ("10:20:30", "PatientID", ("10:20:30",)),
        ("'yes'", "PatientID", ("yes",)),
        ("2020-01-01", "PatientID", ("2020-01-01",)),
        ("2020-01-01", "StudyDate", ("20200101",)),
        ("''", "PatientID", ("",)),
        ("[]", "PatientID", ()),
        ("[A, '']", "PatientID", ("A", "")),
        ("A\\B", "PatientID", ("A", "B")),
        ("A\\B", "PatientComments", ("A\\B",)),
        ("12", "Rows", ("12",)),
        ("1.50", "PatientWeight", ("1.50",)),
        ("7", "InstanceNumber", ("7",)),
        ('"\\ud83d\\ude00"', "PatientID", ("\U0001f600",)),
    ],
)
def test_values_keep_their_spelling(written: str, vr_name: str, values: tuple[str, ...]) -> None:
    (rule,) = rules(entry(f"name: {vr_name}\nreplace-with: {written}"))
    assert rule.action == actions.Replace(values)


@pytest.mark.parametrize(
    ("written", "selector"),
    [
        ("PatientName", TagAt(0x00100010)),
        ("patientname", TagAt(0x00100010)),
        ("00100010", TagAt(0x00100010)),  # YAML's octal 32776
        ("'00100010'", TagAt(0x00100010)),
        ("0x00100010", TagAt(0x00100010)),
        ("20100010", TagAt(0x20100010)),
        ("0020000d", TagAt(0x0020000D)),
        ("(0010,0010)", TagAt(0x00100010)),
        ("( 0010 , 0010 )", TagAt(0x00100010)),
        ("(0009,1101)", TagAt(0x00091101)),
        ("(0002,0003)", TagAt(0x00020003)),
        ('(0009, "GEMS_IDEN_01", 01)', PrivateAt(9, "GEMS_IDEN_01", 1)),
        ("(0009,GEMS_IDEN_01,01)", PrivateAt(9, "GEMS_IDEN_01", 1)),
        ("'(0019, \"SIEMENS: MR, A\", FF)'", PrivateAt(0x19, "SIEMENS: MR, A", 0xFF)),
        ("(60xx,3000)", GroupsAt(0x6000, 0x3000)),
        ("50XX200C", GroupsAt(0x5000, 0x200C)),
        ("OtherPatientIDsSequence.0.PatientID", PathAt(((0x00101002, 0),), 0x00100020)),
        ("00101002.*.00100020", PathAt(((0x00101002, None),), 0x00100020)),
        ("00101002.1.OtherPatientIDsSequence.*.PatientID", PathAt(((0x00101002, 1), (0x00101002, None)), 0x00100020)),
    ],
)
def test_names_point_at(written: str, selector: Selector) -> None:
    (rule,) = rules(entry(f"name: {written}\nremove: true"))
    assert rule.selector == selector


@EXAMPLES
@given(st.text(st.sampled_from("(){},.*xX0019AF \"'PatientID"), max_size=24))
def test_a_name_is_a_selector_or_a_bad_name(text: str) -> None:
    try:
        selector = parse_name(text)
    except BadName:
        return
    assert isinstance(selector, TagAt | PathAt | PrivateAt | GroupsAt)


@pytest.mark.parametrize("word", ["true", "True", "yes", "on", "YES"])
def test_yes_is_true(word: str) -> None:
    profile = parse_profile(f"dicom:\n  remove-private-tags: {word}\n", "p.yaml")
    assert profile.dicom is not None
    assert profile.dicom.remove_private


@pytest.mark.parametrize("word", ["false", "no", "off", "No"])
def test_no_is_false(word: str) -> None:
    profile = parse_profile(REMOVE + f"  remove-private-tags: {word}\n", "p.yaml")
    assert profile.dicom is not None
    assert not profile.dicom.remove_private


@pytest.mark.parametrize(
    ("own", "section", "inserts"),
    [
        ("", "decode: true", True),
        ("", "replace-with-insert: false", False),
        ("true", "replace-with-insert: no", True),
    ],
)
def test_insert_of_the_field_wins(own: str, section: str, inserts: bool) -> None:
    (rule,) = rules(
        entry("name: PatientID\nreplace-with: x" + (f"\nreplace-with-insert: {own}" if own else ""), section)
    )
    assert rule.insert is inserts


@pytest.mark.parametrize("name", ["regex: PatientID", "name: (60xx,0022)", "name: OtherPatientIDsSequence.*.PatientID"])
def test_expanded_entries_never_create(name: str) -> None:
    (rule,) = rules(entry(f"{name}\nreplace-with: x"))
    assert not rule.insert


def test_regex_sub_runs_first_and_backwards() -> None:
    one = "    - name: {0}\n      regex-sub: [{{input-regex: x, output: y}}]\n"
    text = (
        "dicom:\n  fields:\n    - name: PatientID\n      hash: true\n"
        + one.format("StudyID")
        + one.format("PatientName")
    )
    assert [rule.name for rule in rules(text)] == ["PatientName", "StudyID", "PatientID"]
    assert [rule.index for rule in rules(text)] == [0, 1, 2]
    assert rules(text)[0].label == "p.yaml:7"


HEAD = bytes(128) + b"DICM"


@pytest.mark.parametrize(
    ("options", "name", "head", "taken"),
    [
        ("", "a.dcm", b"", True),
        ("", "a.IMA", b"", True),
        ("", "a.Dcm", b"", False),  # patterns are case-sensitive
        ("", "IM0001", b"", False),
        ("", "IM0001", HEAD, True),
        ("", "IM0001", HEAD[1:], False),
        ("  enforce-file-filter: true\n", "IM0001", HEAD, False),
        ("  file-filter: 'IM[0-9]*'\n", "IM0001", b"", True),
        ("  file-filter: ['x', 'r!IM[0-9]+']\n", "IM0001", b"", True),
        ("  file-filter: ['x', 'r!IM[0-9]+']\n", "IM0001.txt", b"", False),  # the whole name
        ("  file-filter: []\n", "a.dcm", b"", False),
    ],
)
def test_which_files_a_section_takes(options: str, name: str, head: bytes, taken: bool) -> None:
    profile = parse_profile(REMOVE + options, "p.yaml")
    assert profile.dicom is not None
    assert (profile.dicom.match.by_name(name) or profile.dicom.match.by_content(head)) is taken


# -- JSON and files --------------------------------------------------------------------------------------

AS_JSON: dict[str, Any] = {
    "name": "j",
    "dicom": {"salt": "ä\U00020bb7", "fields": [{"name": "PatientID", "hash": True}]},
}


@pytest.mark.parametrize("indent", [None, 2, "\t"], ids=repr)
def test_json_is_a_profile(indent: Any) -> None:
    profile = parse_profile(json.dumps(AS_JSON, indent=indent), "p.json")
    assert profile.name == "j"
    assert profile.dicom is not None
    assert profile.dicom.rules[0].action == actions.Hash(16, "ä\U00020bb7")


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"\xff\xfe\x00", "1:1 error: the profile is not UTF-16 text: save it as UTF-8"),
        (b"dicom:\n  name: \xe4", "2:9 error: the profile is not UTF-8 text: save it as UTF-8"),
        (b"\0" * 128 + b"DICM\x02\0", "1:1 error: a DICOM file, no profile: a profile is text, in YAML or JSON"),
        (b"PK\x03\x04", "1:1 error: a zip archive or an office document, no profile"),
        (b"\x1f\x8b\x08", "1:1 error: a gzip file, no profile"),
        (b"%PDF-1.7", "1:1 error: a PDF, no profile"),
        (b"{\\rtf1", "1:1 error: a word processor's document, no profile"),
        (REMOVE.encode("utf-16-le"), "1:1 error: the profile is not UTF-8 text (UTF-16 without its mark?)"),
        (b"", "1:1 error: the profile is empty"),
        (b" \n\t\n", "the profile is empty"),
    ],
)
def test_a_file_that_is_no_profile(data: bytes, said: str, tmp_path: Path) -> None:
    (tmp_path / "p.yaml").write_bytes(data)
    with pytest.raises(ProfileError) as caught:
        store.load(str(tmp_path / "p.yaml"))
    assert said in str(caught.value)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32"])
def test_a_profile_with_a_byte_order_mark_is_read(encoding: str, tmp_path: Path) -> None:
    (tmp_path / "p.yaml").write_bytes((REMOVE + "# ü\n").replace("\n", "\r\n").encode(encoding))
    assert store.load(str(tmp_path / "p.yaml")).dicom is not None


def test_a_byte_order_mark_is_no_key(tmp_path: Path) -> None:
    (tmp_path / "p.yaml").write_bytes(b"\xef\xbb\xbf" + REMOVE.replace("\n", "\r\n").encode())
    assert store.load(str(tmp_path / "p.yaml")).dicom is not None


@pytest.mark.parametrize("name", ["nowhere.yaml", "", ".", "a\0b"])
def test_no_such_profile(name: str) -> None:
    with pytest.raises(UsageError, match=r"give a path, or the name of a shipped one: .*minimal"):
        store.load(name)


def test_shipped_profile_by_name() -> None:
    assert store.load("minimal").name == "minimal"


# -- warnings --------------------------------------------------------------------------------------------

WARNINGS = {
    "private": (REMOVE, "private elements stay"),
    "sequences": (REMOVE, "sequences stay as they are"),
    "text": (REMOVE, "text that no field names"),
    "hash": (entry("name: PatientID\nhash: true"), "a hash without a salt"),
    "hashuid": (entry("name: StudyInstanceUID\nhashuid: true"), "the first and last components"),
    "hashuid-of-an-id": (entry("name: '(0010,0020)'\nhashuid: true"), "the last six characters"),
    "unknown-tag": (entry("name: 00109999\nremove: true"), "no element of this tag"),
    "listed-twice": (
        entry("name: PatientID\nremove: true") + "    - {name: '00100020', hash: true}\n",
        "first in line 4",
    ),
    "the-same-twice": (entry("name: PatientID") + "    - name: PatientID\n", "the same again"),
    "no-days": (entry("name: StudyDate\nincrement-date: true", "date-increment: 0"), "moves by less than a day"),
    "half-a-day": (entry("name: StudyDate\nincrement-date: true", "date-increment: 0.5"), "moves by less than a day"),
    "keep-alone": (entry("name: PatientID\nkeep: true"), "did you mean remove-undefined?"),
    "name-taken-over": (names("output: '{x}.dcm'\ninput-regex: (?P<x>.*)"), "{x} is taken over from the name"),
    "filename": ("filename:\n  filenames:\n    - {output: x, input-regex: .}\n", "copies files as they are"),
    "comments": (REMOVE + "xml:\n  fields: [{name: //a, remove: true}]\n", "comments may say anything"),
    "unmatched": (REMOVE + "zip:\n  allow-unmatched-files: true\n", "is not honoured"),
    "deid-log": ("deid-log: ~/log.csv\n" + REMOVE, "not written"),
}


@pytest.mark.parametrize(("text", "piece"), WARNINGS.values(), ids=WARNINGS)
def test_warning(text: str, piece: str) -> None:
    assert [one for one in warnings_of(text) if piece in one.message and one.severity == "warning"]


SILENT = """\
dicom:
  remove-undefined: true
  salt: a secret
  date-increment: -3
  filenames: [{output: '{x}_{PatientID}.dcm', input-regex: '(?P<x>.*)', groups: [{name: x, hash: true}]}]
  fields:
    - {name: PatientID, hash: true}
    - {name: StudyDate, increment-date: true}
    - {name: PixelData, remove: true}
"""


def test_nothing_to_warn_of() -> None:
    assert warnings_of(SILENT) == []
    assert [one.message for one in warnings_of(SILENT.replace("-3", "0"))] == [
        "moves by less than a day: the value stays as it is"
    ]


# -- messages --------------------------------------------------------------------------------------------

SECRET = "ZZ-CANARY-7F3A"


@pytest.mark.parametrize(
    "text",
    [
        entry(f"name: StudyDate\nreplace-with: {SECRET}"),
        entry(f"name: Rows\nreplace-with: {SECRET}"),
        entry(f"name: StudyDate\nreplace-with: [20200101, {SECRET}]"),
        entry("name: StudyDate\nhash: true", f"salt: {SECRET}"),
        entry("name: PatientID\nhash: true", f"salt: [{SECRET}]"),
        entry("name: PatientID\nhash: 1", f"secret-key: {SECRET}"),
        f"secret-key: {SECRET}\nx: 1\n" + REMOVE,
        entry("name: PatientID\nhash: true", f"salt: '{SECRET}"),
        entry("name: PatientID\nhash: true", f"salt: [{SECRET}\x07]"),
    ],
)
def test_messages_never_quote_a_value(text: str) -> None:
    with pytest.raises(ProfileError) as caught:
        parse_profile(text, "p.yaml")
    assert SECRET not in str(caught.value)
    assert str(caught.value).startswith("p.yaml:")


# -- breaking it -----------------------------------------------------------------------------------------

WHOLE = """\
name: whole
description: every kind of thing
dicom:
  file-filter: ['*.dcm', 'r!^IM[0-9]+$']
  enforce-file-filter: false
  date-increment: -17.5
  date-format: '%Y%m%d'
  jitter-range: 2
  salt: abc
  hash-digits: 12
  uid-numeric-name: 2.16.840.1.114570.2.2
  uid-prefix-fields: 7
  uid-suffix-fields: 0
  patient-age-from-birthdate: true
  patient-age-units: Y
  remove-private-tags: true
  filenames:
    - output: '{s}_{Modality}.dcm'
      input-regex: '^(?P<s>\\w+)-(?P<d>\\d{8})'
      groups: [{name: s, hash: true}, {name: d, increment-date: true}]
  fields:
    - name: PatientName
    - name: 00100020
      regex-sub: [{input-regex: '^(?P<n>\\d+)', output: 'S{n}', groups: [{name: n, jitter: true}]}]
    - {name: 00100030, increment-date: true, jitter-date: true, jitter-range: 3, jitter-unit: weeks}
    - {name: AcquisitionDateTime, increment-datetime: true, datetime-min: -3years, date-increment-override: 1}
    - {name: PatientWeight, jitter: true, jitter-type: int, jitter-min: 0, jitter-max: 99.5}
    - {name: '(0019, "SIEMENS MR HEADER", 0C)', keep: true}
    - {name: OtherPatientIDsSequence.*.PatientID, replace-with: [A, B], replace-with-insert: false}
    - {regex: '.*UID$', hashuid: true}
    - {name: 60xx0022, remove: true}
zip:
  hash-subdirectories: true
  fields: [{name: comment, replace-with: de-identified}]
"""
TREE = yaml.load(WHOLE, Loader=yaml.BaseLoader)
PIECES = [
    "", " ", "\n", "\t", ":", ": ", "- ", "[", "]", "{", "}", "'", '"', "#", "&a ", "*a", "!!", "!!int ", "|", ">",
    "%", "\\", "0", "-1", "1e999", ".inf", "9" * 400, "null", "true", "yes", "~", "2020-01-01", "name", "regex",
    "fields", "dicom:\n", "<<: ", "(", ")", "*", "?", "+", "(?P<x>", "{x}", "\x00", "\x85", "\u2028", "\ufeff", "é",
    "\U0001f600", '"\\ud800"',
]  # fmt: skip


def only_profile_errors(text: str) -> Profile | None:
    problems: tuple[Problem, ...] = ()
    try:
        return parse_profile(text, "p.yaml")
    except ProfileError as error:
        problems = error.problems
    lines = len(re.split("[\n\r\x85\u2028\u2029]", text)) + 1
    assert any(one.severity == "error" for one in problems)
    assert all(1 <= one.line <= lines and one.column >= 1 and one.message for one in problems)
    return None


def test_the_whole_profile_is_good() -> None:
    assert only_profile_errors(WHOLE) is not None


@EXAMPLES
@given(data=st.data())
def test_mutated_text_ends_in_a_profile_or_its_problems(data: st.DataObject) -> None:
    text = WHOLE
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(text)))
        length = data.draw(st.sampled_from([0, 0, 1, 2, 7, 40]))
        text = text[:start] + data.draw(st.sampled_from(PIECES)) + text[start + length :]
    only_profile_errors(text)


NODES: st.SearchStrategy[Any] = st.recursive(
    st.sampled_from(PIECES) | st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from([*PIECES, "name", "remove"]), inner, max_size=3)
    ),
    max_leaves=6,
)


def mutate(node: Any, data: st.DataObject) -> Any:
    """Return a tree with one node, somewhere, replaced, doubled, renamed or gone."""
    if not isinstance(node, dict | list) or not node or data.draw(st.integers(0, 3)) == 0:
        return data.draw(NODES)
    if isinstance(node, list):
        at = data.draw(st.integers(0, len(node) - 1))
        return [*node[:at], mutate(node[at], data), *node[at + data.draw(st.integers(0, 1)) :]]
    key = data.draw(st.sampled_from(sorted(node, key=str)))
    new = data.draw(st.sampled_from([key, key, key, "hash", "keep", "jitter", "increment-date", "x", key + "s"]))
    return {old: value for old, value in node.items() if old != key} | {new: mutate(node[key], data)}


@EXAMPLES
@given(data=st.data())
def test_mutated_structure_ends_in_a_profile_or_its_problems(data: st.DataObject) -> None:
    tree = mutate(TREE, data)
    only_profile_errors(json.dumps(tree) if data.draw(st.booleans()) else yaml.safe_dump(tree, allow_unicode=True))


def test_a_profile_cut_anywhere_is_refused_or_shorter() -> None:
    whole = rules(WHOLE)
    for length in range(0, len(WHOLE), 7):
        profile = only_profile_errors(WHOLE[:length])
        assert profile is None or profile.dicom is None or len(profile.dicom.rules) <= len(whole)


def test_large_profiles_take_moments() -> None:
    fields = random.Random(1).sample([f"(0010,{number:04X})" for number in range(0x4000)], 1500)
    text = "dicom:\n  fields:\n" + "".join(f"    - {{name: '{name}', remove: true}}\n" for name in fields)
    assert len(rules(text)) == 1500


# -- size ----------------------------------------------------------------------------------------------


def test_a_field_listed_often_is_told_once_each() -> None:
    """Not each with each: eight thousand of them took 10 GB."""
    text = "dicom:\n  fields:\n" + "    - name: PatientName\n      remove: true\n" * 50
    assert len([one for one in warnings_of(text) if "listed twice" in one.message]) == 49


def test_braces_that_nobody_closes_are_read_once() -> None:
    """By what the pattern is: blanks may stand in one way only between braces."""
    assert variables._BRACES.pattern == r"\{\{([^{}\n]*)\}\}"
    assert variables.names('a: "{{' + " " * 200_000 + '"\n') == ()
    assert [name for name, _, _ in variables.names('a: "{{  \t x.y \t }}"\n')] == ["x.y"]


@pytest.mark.parametrize("word", ["PatientNam", "patient_name", "StudyInstanceUd", "AcesionNumber", "OtherPatientID"])
def test_the_nearest_of_five_thousand_keywords_is_found_without_comparing_all(word: str) -> None:
    known = list(keywords().values())
    nearest = difflib.get_close_matches(word.lower(), [one.lower() for one in known], n=1, cutoff=0.6)
    assert did_you_mean(word, known).lower() == f"; did you mean '{nearest[0]}'?"
    assert len(problems._alike(word.lower(), tuple(one.lower() for one in known))) <= 100
