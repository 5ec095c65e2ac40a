"""``filenames`` of a section → templates for output names (profile language §7)."""

from __future__ import annotations

from dataclasses import replace

from fw_gear_deid.actions import IncrementDate
from fw_gear_deid.actions.regexsub import VARIABLE
from fw_gear_deid.model.action import Action
from fw_gear_deid.model.dictionary import keywords
from fw_gear_deid.model.selectors import AnySelector
from fw_gear_deid.profile.compiled import NameTemplate
from fw_gear_deid.profile.language.addresses import parse_name
from fw_gear_deid.profile.language.naming import ELEMENTS
from fw_gear_deid.profile.language.section import Section
from fw_gear_deid.profile.language.templates import parse_groups, parse_template
from fw_gear_deid.profile.text.nodes import Listing, Mapping
from fw_gear_deid.profile.text.problems import Problems


def parse_filenames(section: Section, option: str, *, elements: bool, quiet: bool = False) -> tuple[NameTemplate, ...]:
    """Return the templates of a section; wrong ones are complained about and left out.

    Parameters
    ----------
    elements : bool
        Variables may be DICOM keywords.
    quiet : bool
        Complain to nobody; for a second look.
    """
    node = section.options.get(option)
    if quiet:
        section = replace(section, problems=Problems())
    if not isinstance(node, Listing):
        return ()
    templates = []
    for index, item in enumerate(node.items):
        where = f"{section.key}.{option}[{index}]"
        parsed = parse_template(section, item, where)
        if parsed is None or not isinstance(item, Mapping):
            continue
        pattern, output = parsed
        at = item.get("output") or item
        for capture in pattern.groupindex:
            if elements and capture.lower() in keywords():
                section.problems.error(
                    item.line,
                    item.column,
                    where,
                    f"capture {capture!r} has the name of a DICOM keyword; name it otherwise",
                )
        groups = parse_groups(section, item, where, pattern, None)
        fields: list[tuple[str, AnySelector]] = []
        for name in VARIABLE.findall(output):
            if name in pattern.groupindex:
                if name not in dict(groups or ()):
                    what = f"{{{name}}} is taken over from the name of the source as it is"
                    section.problems.warn(at.line, at.column, where, what)
                continue
            selector = _selector(section, name, elements=elements)
            if selector is None:
                what = "a DICOM keyword nor a named capture" if elements else "a named capture"
                section.problems.error(at.line, at.column, where, f"{{{name}}} is not {what} of input-regex")
            else:
                fields.append((name, selector))
        if groups is not None:
            label = section.label(item.line)
            templates.append(NameTemplate(pattern, output, _loosened(groups), tuple(fields), label))
    return tuple(templates)


def _selector(section: Section, name: str, *, elements: bool) -> AnySelector | None:
    """Return the selector of a variable that is no capture; None where the files of the section have no such field."""
    if elements:
        keyword = keywords().get(name.lower())
        return parse_name(keyword) if keyword else None
    return None if section.naming is ELEMENTS else section.naming.name(name)


def _loosened(groups: tuple[tuple[str, Action], ...]) -> tuple[tuple[str, Action], ...]:
    """Dates in file names may be spelt in more ways; they are written in the section's format."""
    return tuple(
        (name, replace(action, loose=True) if isinstance(action, IncrementDate) else action) for name, action in groups
    )
