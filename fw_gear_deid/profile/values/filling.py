"""Template and values → nodes; a value is text or a number in its scalar, and never becomes structure."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping as Values
from dataclasses import dataclass, field, replace

from fw_gear_deid.actions.regexsub import VARIABLE as FIELD
from fw_gear_deid.model.locks import OPTIONS as KEY_OPTIONS
from fw_gear_deid.model.locks import is_key
from fw_gear_deid.profile.language import schema
from fw_gear_deid.profile.text.nodes import Listing, Mapping, Node, Scalar
from fw_gear_deid.profile.text.problems import Problem, Problems
from fw_gear_deid.profile.values.variables import Spot, Template, is_blank, spell

_HALF = re.compile(r"\{\{\s*[^\W\d]")  # braces that were meant to be a variable
_NUMBER = re.compile(r"[-+]?((0|[1-9]\d*)(\.\d*)?|\.\d+)([eE][-+]?\d+)?", re.ASCII)
_BOOL = {"true": "true", "yes": "true", "on": "true", "false": "false", "no": "false", "off": "false"}
_FIXED = {
    "name": "what a name stands for",
    "regex": "which fields a rule is for",
    "file-filter": "which files a section takes",
}
_KINDS = {
    key: kind
    for options in (*schema.SECTIONS.values(), *schema.ACTIONS.values(), schema.LEVEL, schema.FLYWHEEL)
    for key, kind in options.items()
    if kind in ("bool", "int", "number")
} | dict.fromkeys(schema.BOOLEAN_ACTIONS, "bool")
# What stands for a value that is not known yet, where a slot does not take every text
_STAND_IN = (
    {name: option.stand_in for name, option in schema.OPTIONS.items() if option.stand_in is not None}
    | dict.fromkeys(schema.BOOLEAN_ACTIONS | {"remove-private-tags", "patient-age-from-birthdate"}, "true")
    | {"patient-age-units": "Y"}
)
_BLAMED_AT_KEY = (_KINDS.keys() | _STAND_IN.keys()) - schema.BOOLEAN_ACTIONS
"""Options that other modules complain about at their key."""
_KEYS_GO = "a key goes to the options " + ", ".join(KEY_OPTIONS) + " alone"
_NEEDED = {"bool": "true or false", "int": "a whole number", "number": "a number"}


@dataclass(slots=True)
class Filling:
    """Values on their way into a template.

    Attributes
    ----------
    template : Template
    values : mapping of str to str
        By name of a variable.
    strict : bool
        A variable without a value is an error; else one whose value is not known yet.
    problems : Problems
    """

    template: Template
    values: Values[str, str]
    strict: bool
    problems: Problems
    _own: set[Problem] = field(default_factory=set)
    _places: dict[tuple[int, int], tuple[str, ...]] = field(default_factory=dict)
    """Where values went: what is wrong there is their fault."""
    _closed: set[tuple[int, int]] = field(default_factory=set)
    """Scalars that were complained about; others need not."""

    def fill(self) -> Node | None:
        """Return the nodes of the profile; what is wrong goes to ``problems``."""
        for problem in self.template.problems:
            tell = self.problems.error if problem.severity == "error" else self.problems.warn
            tell(problem.line, problem.column, problem.where, problem.message)
        return None if self.template.root is None else self._node(self.template.root, "", "")

    def explain(self, found: tuple[Problem, ...]) -> tuple[Problem, ...]:
        """Return problems that name the variables behind them, and quote no value."""
        quotable = [value for value in self.values.values() if len(value) > 2]
        out = []
        for problem in found:
            place = problem.line, problem.column
            if problem in self._own or place not in self._closed:
                told = f"the value of {spell(*self._places[place])}" if place in self._places else "a value"
                foreign = problem not in self._own and problem.severity == "error"
                if foreign and any(value in problem.message for value in quotable):
                    problem = replace(problem, message=f"{told} does not fit here")
                elif foreign and place in self._places:
                    says = problem.message.removeprefix("the value")
                    problem = replace(problem, message=f"{told}{':' * (says == problem.message)} {says.strip()}")
                out.append(problem)
        return tuple(out)

    def _complain(self, scalar: Scalar, line: int, column: int, where: str, message: str) -> None:
        self.problems.error(line, column, where, message)
        self._own.add(Problem(line, column, "error", where, message))
        self._closed.add((scalar.line, scalar.column))

    def _node(self, node: Node, where: str, key: str) -> Node:
        match node:
            case Scalar():
                return self._scalar(node, where, key)
            case Listing():
                items = (self._node(item, f"{where}[{index}]", key) for index, item in enumerate(node.items))
                return replace(node, items=tuple(items))
            case Mapping():
                return replace(node, entries=tuple(self._entry(key, value, where) for key, value in node.entries))

    def _entry(self, key: Scalar, value: Node, where: str) -> tuple[Scalar, Node]:
        if self.template.spots_in(key.text):
            self._complain(key, key.line, key.column, where, "a key cannot be a variable")
            key = replace(key, text=self.template.spelled(key.text))
        filled = self._node(value, f"{where}.{key.text}" if where else key.text, key.text)
        if isinstance(filled, Scalar) and filled.variables and key.text in _BLAMED_AT_KEY:
            self._places[key.line, key.column] = filled.variables
        return key, filled

    def _scalar(self, node: Scalar, where: str, key: str) -> Scalar:
        spots = self.template.spots_in(node.text)
        if _HALF.search(self.template.token.sub(" ", node.text)):
            message = "'{{' that starts no variable: write {{ NAME }}, in one line"
            self._complain(node, node.line, node.column, where, message)
        if not spots:
            return node
        if any(is_key(spot.name) for spot in spots):
            return self._key(node, spots, where, key)
        listed = tuple(dict.fromkeys(spot.name for spot in spots))
        node = replace(node, kind="str", variables=listed)
        self._places[node.line, node.column] = listed
        if self._is_misplaced(node, spots, where, key):
            return replace(node, text=self.template.spelled(node.text), unknown=True)
        if self._lacks(node, spots, where):
            return self._stand_in(node, key)
        if key in _KINDS:
            return self._typed(node, self._filled(node, key), where, _KINDS[key])
        if key == "output" and any("{" in self.values[name] or "}" in self.values[name] for name in listed):
            message = f"the value of {spell(*listed)} holds a brace, which an output cannot"
            self._complain(node, node.line, node.column, where, message)
        return replace(node, text=self._filled(node, key))

    def _key(self, node: Scalar, spots: list[Spot], where: str, key: str) -> Scalar:
        """Return a variable that stands for a key: it gets no value here."""
        spelled = self.template.spelled(node.text)
        (name, *others), wanted = (spot.name for spot in spots), KEY_OPTIONS.get(key, "")
        if others or name.partition(".")[0] != wanted or spelled.strip() != spots[0].spelled:
            can = f"{key} takes {spell(wanted)} and nothing beside it" if wanted else _KEYS_GO
            self._complain(node, node.line, node.column, where, can)
        return replace(node, kind="str", text=spell(name))

    def _is_misplaced(self, node: Scalar, spots: list[Spot], where: str, key: str) -> bool:
        """Complain about braces without a name, and about variables where none can be."""
        for spot in spots:
            if not spot.name:
                message = "not a variable: a name of letters, digits, '_', '-' and dots, without filters or expressions"
                self._complain(node, spot.line, spot.column, where, message)
        if key in _FIXED:
            message = f"{key} cannot hold a variable: {_FIXED[key]} must not depend on a value"
            self._complain(node, node.line, node.column, where, message)
        if key == "output" and any(self.template.token.search(inner) for inner in FIELD.findall(node.text)):
            self._complain(node, node.line, node.column, where, "a variable cannot name the field of a '{field}'")
        return (node.line, node.column) in self._closed

    def _lacks(self, node: Scalar, spots: list[Spot], where: str) -> bool:
        """Tell whether a value is missing, and complain where none may."""
        missing = [spot for spot in spots if is_blank(self.values.get(spot.name, ""))]
        for spot in missing if self.strict else ():
            what = "a blank value" if spot.name in self.values else "no value"
            self._complain(node, spot.line, spot.column, where, f"{spell(spot.name)} has {what}")
        return bool(missing)

    def _filled(self, node: Scalar, key: str) -> str:
        def value(token: re.Match[str]) -> str:
            text = self.values[self.template.spot(token).name]
            return f"(?:{re.escape(text)})" if key == "input-regex" else text

        return self.template.token.sub(value, node.text)

    def _typed(self, node: Scalar, text: str, where: str, expected: str) -> Scalar:
        """Return a number or boolean."""
        text = text.strip()
        if expected == "bool" and text.lower() in _BOOL:
            return replace(node, text=_BOOL[text.lower()], kind="bool")
        if expected != "bool" and len(text) <= 64 and _NUMBER.fullmatch(text) and math.isfinite(float(text)):
            whole = text.lstrip("+-").isdecimal()
            if whole or expected == "number":
                return replace(node, text=text, kind="int" if whole else "float")
        message = f"the value of {spell(*node.variables)} must be {_NEEDED[expected]}"
        self._complain(node, node.line, node.column, where, message)
        return self._stand_in(node, expected)

    def _stand_in(self, node: Scalar, key: str) -> Scalar:
        """Return what is valid wherever some value would be."""
        kind = _KINDS.get(key, key)
        if kind in ("int", "number"):
            return replace(node, text="1", kind="int", unknown=True)
        if kind == "bool":
            return replace(node, text=_STAND_IN.get(key, "false"), kind="bool", unknown=True)
        if key in ("output", "input-regex"):
            text = self.template.token.sub(lambda token: re.escape(self.template.spot(token).name), node.text)
        else:
            text = _STAND_IN.get(key, self.template.spelled(node.text))
        return replace(node, text=text, unknown=True)
