"""Template and values → whether they fit, without compiling what no value reaches: tables are long."""

from __future__ import annotations

from dataclasses import replace

from fw_gear_deid.profile.parse import parse_template
from fw_gear_deid.profile.text.nodes import Listing, Mapping, Node, Scalar
from fw_gear_deid.profile.text.problems import Problem, ProfileError, show
from fw_gear_deid.profile.values.book import Values
from fw_gear_deid.profile.values.variables import Template, scalars_in, spell


class Trial:
    """Tries values on the entries of a profile that have variables.

    Parameters
    ----------
    template : Template
        It compiles without values.
    used : tuple of str
        Its variables.
    """

    def __init__(self, template: Template, used: tuple[str, ...]) -> None:
        self._template = template
        self._used = used
        self._short = replace(template, root=None if template.root is None else _short(template.root, template))
        self._artefacts = frozenset(self._errors(self._short, {}))
        self._done: dict[tuple[tuple[str, str], ...], list[str]] = {}

    def problems(self, values: Values) -> list[str]:
        """Return what is wrong with values, by place in the profile, or nothing. Others may still be missing."""
        key = tuple(values.items())
        if key not in self._done:
            suspect = set(self._errors(self._short, values)) - self._artefacts
            # places count from the whole profile
            errors = self._errors(self._template, values) if suspect else []
            self._done[key] = [self._told(problem) for problem in errors]
        return self._done[key]

    def _errors(self, template: Template, values: Values) -> list[Problem]:
        strict = all(name in values for name in self._used)
        try:
            parse_template(template, values, strict=strict, lint_too=False)
        except ProfileError as error:
            return [problem for problem in error.problems if problem.severity == "error"]
        return []

    def _told(self, problem: Problem) -> str:
        told = show(self._template.file, problem)
        return told + ("" if "{{" in problem.message else f" (with the values of {spell(*self._used)})")


def _short(node: Node, template: Template) -> Node:
    """Leave out the entries of ``fields`` that neither have a variable nor read an option that has one."""
    if not isinstance(node, Mapping):
        return node
    if any(_varies(value, template) for key, value in node.entries if not _is_inner(key.text, value)):
        return node
    entries: list[tuple[Scalar, Node]] = []
    for key, value in node.entries:
        if key.text == "fields" and isinstance(value, Listing):
            kept = tuple(item for item in value.items if _varies(item, template))
            entries.append((key, replace(value, items=kept or value.items[:1])))
        else:
            entries.append((key, _short(value, template)))
    return replace(node, entries=tuple(entries))


def _is_inner(key: str, value: Node) -> bool:
    return isinstance(value, Mapping) or (key == "fields" and isinstance(value, Listing))


def _varies(node: Node, template: Template) -> bool:
    return any(template.spots_in(scalar.text) for scalar in scalars_in(node))
