"""Profile text → Profile, or every problem at once."""

from __future__ import annotations

from collections.abc import Mapping as Values
from functools import lru_cache
from hashlib import sha256

from fw_gear_deid.formats import FORMATS, TABLE
from fw_gear_deid.model.patterns import Pattern
from fw_gear_deid.model.selectors import PathAt, RegexAt, Selector, VrAt
from fw_gear_deid.profile.advice import lint
from fw_gear_deid.profile.compiled import (
    DicomSection,
    FieldSection,
    FileMatch,
    FilenameSection,
    Profile,
    Rule,
    ZipSection,
)
from fw_gear_deid.profile.language import exclude, ranges, requires, schema
from fw_gear_deid.profile.language.addresses import vr_of
from fw_gear_deid.profile.language.build import hashuid_of
from fw_gear_deid.profile.language.entries import Entry, execution_order, parse_entries
from fw_gear_deid.profile.language.filenames import parse_filenames
from fw_gear_deid.profile.language.section import Section
from fw_gear_deid.profile.sections import locks
from fw_gear_deid.profile.sections.fields import parse_fields
from fw_gear_deid.profile.sections.flywheel import parse_flywheel
from fw_gear_deid.profile.sections.masks import parse_masks
from fw_gear_deid.profile.sections.standard import parse_standard
from fw_gear_deid.profile.text.nodes import Listing, Mapping, Node, Scalar
from fw_gear_deid.profile.text.problems import Problems, ProfileError, did_you_mean
from fw_gear_deid.profile.values.filling import Filling
from fw_gear_deid.profile.values.variables import Template, read_template
from fw_gear_deid.standard import risks


def parse_profile(text: str, file: str, values: Values[str, str] | None = None) -> Profile:
    """Read a profile.

    Parameters
    ----------
    text : str
        YAML or JSON.
    file : str
        Name to use in messages.
    values : mapping of str to str, optional
        Of its ``{{ variables }}``; one without a value is an error. None checks only.

    Raises
    ------
    ProfileError
        With every problem, in the order of the file.
    """
    if values is None:
        return _checked(text, file)
    return parse_template(read_template(text, file), values, strict=True)


@lru_cache(maxsize=4)
def _checked(text: str, file: str) -> Profile:
    """Check a profile; a run does so at its start, and again where it plans what each subject gets."""
    return parse_template(read_template(text, file), {}, strict=False)


def parse_template(template: Template, values: Values[str, str], *, strict: bool, lint_too: bool = True) -> Profile:
    """Compile a profile as ``parse_profile`` does; unless strict, what depends on a missing value refuses to act."""
    problems = Problems()
    filling = Filling(template, values, strict, problems)
    root = filling.fill()
    profile = None if root is None else _document(root, template, problems, lint_too=lint_too)
    if profile is None or problems.fatal:
        raise ProfileError(template.file, filling.explain(problems.all()))
    return profile


def _document(root: Node, template: Template, problems: Problems, *, lint_too: bool) -> Profile | None:
    file = template.file
    if not isinstance(root, Mapping) or not root.entries:
        problems.error(root.line, root.column, "", "the profile is empty: write sections such as 'dicom:'")
        return None
    written, root = root, ranges.spread(root, problems)
    sections: dict[str, Section] = {}
    name = ""
    for key, node in root.entries:
        if key.text in schema.SECTIONS:
            section = _open(key, node, file, problems)
            if section is not None:
                sections[key.text] = section
        elif key.text in schema.TOP:
            Section(key.text, root, file, problems).check_value(key, node, schema.TOP[key.text], key.text)
            if key.text == "name":
                name = node.text if isinstance(node, Scalar) else ""
        else:
            _unknown_top(key, problems)
    _top_options(root, sections, problems)
    if not sections and not any(key.text in schema.SECTIONS for key, _ in root.entries):
        problems.error(
            root.line, root.column, "", "no section for a file type, such as 'dicom:': nothing would be done"
        )
    if not sections:
        return None
    if sections.keys() == {"zip"} and not problems.fatal:
        key = root.key("zip")
        problems.error(
            key.line, key.column, "zip", "no section for the members, such as 'dicom:': nothing would be done"
        )
    dicom = _dicom(sections["dicom"]) if "dicom" in sections else None
    archive = sections.get("zip") or Section("zip", Mapping((), 1, 1), file, problems)
    renames = _filename(sections["filename"]) if "filename" in sections else None
    others = _others(sections, len(dicom.rules) if dicom is not None else 0)
    zip_section = _zip(archive)
    flywheel = parse_flywheel(root, sections.get("dicom"), dicom, file, problems)
    if lint_too:
        lint.warn(sections, problems)
        requires.warn(written, template, problems)
    return Profile(
        name=name or file,
        file=file,
        sha256=sha256(template.text.encode()).hexdigest(),
        dicom=dicom,
        zip=zip_section,
        filename=renames,
        others=others,
        warnings=problems.all(),
        flywheel=flywheel,
        keyed=requires.keyed(written),
    )


def _others(sections: dict[str, Section], first: int) -> tuple[FieldSection, ...]:
    """Compile the sections without a shape of their own, in the order of the table; ``first`` is their first rule."""
    found: list[FieldSection] = []
    for row in TABLE:
        section = sections.get(row.key)
        if section is None or row.codec is None:
            continue
        made = parse_fields(section, row, _match(section), first)
        found.append(made)
        first += len(made.rules)
    return tuple(found)


def _open(key: Scalar, node: Node, file: str, problems: Problems) -> Section | None:
    """Check a section's options and return it as a mapping with defaults."""
    if isinstance(node, Scalar) and node.kind == "null":
        if key.text in ("zip", "filename"):
            node = Mapping((), node.line, node.column)
        else:
            problems.error(
                key.line, key.column, key.text, "the section is empty: its files would come out as they went in"
            )
            return None
    if not isinstance(node, Mapping):
        problems.error(node.line, node.column, key.text, "a section is a mapping of options, indented below its name")
        return None
    section = Section(key.text, node, file, problems)
    section.check_options(schema.SECTIONS[key.text], schema.TOP)
    return section


def _unknown_top(key: Scalar, problems: Problems) -> None:
    if key.text in schema.SECTION_OPTIONS:
        hint = "; it is an option of a section: indent it below 'dicom:' (or the section it is meant for)"
    else:
        hint = did_you_mean(key.text, schema.SECTIONS.keys() | schema.TOP.keys() | schema.SECTION_OPTIONS)
    problems.error(key.line, key.column, "", f"unknown key {key.text!r}{hint}")


def _top_options(root: Mapping, sections: dict[str, Section], problems: Problems) -> None:
    log = root.get("deid-log")
    if isinstance(log, Scalar):
        if "/" in log.text:
            problems.warn(log.line, log.column, "deid-log", "not written: audit.csv holds every change; see --reports")
        else:
            problems.error(
                log.line, log.column, "deid-log", "not supported; audit.csv holds every change, see --reports"
            )
    node = root.get("map-subjects")
    if node is not None:
        problems.error(node.line, node.column, "map-subjects", "not supported by this version; take it out")
    locks.inherit(root, sections)
    locks.warn(root, sections, problems)


def _match(section: Section) -> FileMatch:
    globs = FORMATS[section.key].patterns
    node = section.options.get("file-filter")
    patterns: list[Pattern] = []
    if node is not None:
        items = node.items if isinstance(node, Listing) else (node,)
        texts = [item.text for item in items if isinstance(item, Scalar)]
        globs = tuple(text for text in texts if not text.startswith("r!"))
        for item in items:
            if not isinstance(item, Scalar) or item.kind != "str":
                section.problems.error(
                    item.line, item.column, f"{section.key}.file-filter", "a file filter is text; write it in quotes"
                )
            elif item.text.startswith("r!"):
                pattern = section.regex(item, item.text[2:], f"{section.key}.file-filter")
                patterns += [pattern] if pattern else []
    return FileMatch(section.key, globs, tuple(patterns), section.flag("enforce-file-filter"))


def _dicom(section: Section) -> DicomSection:
    entries = parse_entries(section)
    problems, node = section.problems, section.options
    fields = node.get("fields")
    listed = isinstance(fields, Listing) and bool(fields.items) and not requires.is_all(fields)
    units = section.text("patient-age-units", "")
    if units not in ("", "D", "M", "Y"):
        section.complain("patient-age-units", "not an age unit; write D, M or Y")
    remove_undefined, recurse = section.flag("remove-undefined"), section.flag("recurse-sequence")
    if remove_undefined and not listed:
        section.complain("remove-undefined", "no fields: it would remove everything; list what to keep")
    if recurse:
        for entry in entries:
            if isinstance(entry.selector, PathAt | RegexAt):
                what = "a regex" if isinstance(entry.selector, RegexAt) else "a path into sequences"
                problems.error(
                    entry.line, entry.column, entry.where, f"{what} does not go together with recurse-sequence: true"
                )
    masks = parse_masks(section)
    accepted = _accepted(section)
    table = parse_standard(section, accepted)
    changes = (
        listed
        or table is not None
        or bool(masks)
        or any(section.flag(key) for key in ("remove-private-tags", "patient-age-from-birthdate", "remove-undefined"))
    )
    if not changes:
        problems.error(
            node.line,
            node.column,
            "dicom",
            "no fields and no option that changes anything: DICOM would come out as it went in",
        )
    filenames = parse_filenames(section, "filenames", elements=True)
    if remove_undefined:
        _names_listed(section, entries)
    rules = tuple(
        Rule(entry.selector, entry.action, entry.name, entry.label, index, entry.insert)
        for index, entry in enumerate(execution_order(entries))
        if isinstance(entry.selector, Selector)
    )
    references: dict[str, Selector] = {}
    for entry in entries:
        references |= {name: found for name, found in entry.references.items() if isinstance(found, Selector)}
    return DicomSection(
        match=_match(section),
        rules=rules,
        filenames=filenames,
        remove_private=section.flag("remove-private-tags"),
        remove_undefined=remove_undefined,
        recurse=recurse,
        age=section.flag("patient-age-from-birthdate"),
        age_units=units,
        date_format=section.text("date-format", "%Y%m%d"),
        references=tuple(references.items()),
        uid=hashuid_of(section),
        table=table,
        accept=accepted,
        claims=None if table is None else table.options,
        exclude=exclude.parse(section),
        follow_uids=section.flag("follow-uids") or table is not None,
        lock=locks.lock_of(section, entries),
        retain=section.flag("retain"),
        masks=masks,
    )


def _accepted(section: Section) -> frozenset[str]:
    """Return the risks that ``accept`` names."""
    node = section.options.get("accept")
    words: set[str] = set()
    for item in node.items if isinstance(node, Listing) else ():
        if isinstance(item, Scalar) and item.text in risks.WORDS:
            words.add(item.text)
        else:
            text = item.text if isinstance(item, Scalar) else "this"
            hint = did_you_mean(text, risks.WORDS) or f"; risks are {', '.join(risks.WORDS)}"
            section.problems.error(item.line, item.column, "dicom.accept", f"no risk: {text!r}{hint}")
    return frozenset(words)


# UIDs and the pixel module stay under remove-undefined; a name may use them
_STAYS = frozenset({"SOPInstanceUID", "SOPClassUID"})


def _names_listed(section: Section, entries: list[Entry]) -> None:
    listed = {entry.selector for entry in entries}
    by_vr = {vr for entry in entries if isinstance(entry.selector, VrAt) for vr in entry.selector.vrs}
    for template in parse_filenames(section, "filenames", elements=True, quiet=True):
        for name, selector in template.fields:
            if selector not in listed and vr_of(selector) not in by_vr and name not in _STAYS:
                section.complain(
                    "filenames", f"{{{name}}} is not among the fields, so remove-undefined takes it away: list it"
                )


def _zip(section: Section) -> ZipSection:
    entries = parse_entries(section, names=schema.ZIP_FIELDS)
    if section.flag("allow-unmatched-files"):
        key = section.options.key("allow-unmatched-files")
        section.problems.warn(
            key.line,
            key.column,
            "zip",
            "allow-unmatched-files is not honoured: members that no section takes are dropped",
        )
    return ZipSection(
        match=_match(section),
        filenames=parse_filenames(section, "filenames", elements=True),
        comment=tuple((entry.action, entry.label) for entry in entries),
        hash_subdirectories=section.flag("hash-subdirectories"),
        salt=section.text("salt", ""),
        validate_members=section.flag("validate-zip-members"),
    )


def _filename(section: Section) -> FilenameSection:
    fields = section.options.get("fields")
    if requires.is_all(fields):
        parse_entries(section)
    elif fields is not None:
        section.complain("fields", "this section renames only; list fields in the section of their file type")
    filenames = parse_filenames(section, "filenames", elements=False)
    if not filenames and not section.problems.fatal:
        section.problems.error(
            section.options.line,
            section.options.column,
            "filename",
            "no filenames: files would come out as they went in",
        )
    return FilenameSection(_match(section), filenames)
