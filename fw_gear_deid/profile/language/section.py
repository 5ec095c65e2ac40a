"""A section of a profile while it is read: typed access to its options, and where to complain."""

from __future__ import annotations

from fw_gear_deid.model.frozen import frozen
from fw_gear_deid.model.patterns import Pattern
from fw_gear_deid.profile.language import schema
from fw_gear_deid.profile.language.addresses import BadName, compile_pattern
from fw_gear_deid.profile.language.naming import ELEMENTS, Naming
from fw_gear_deid.profile.text.nodes import Listing, Mapping, Node, Scalar
from fw_gear_deid.profile.text.problems import Problems, did_you_mean

_TYPES = {
    "bool": ("bool",),
    "int": ("int",),
    "number": ("int", "float"),
    "str": ("str", "date"),
    "list": ("list",),
}
_TYPE_NAMES = {
    "bool": "true or false",
    "int": "a whole number",
    "number": "a number",
    "str": "text; write it in quotes",
    "list": "a list: lines that start with '- '",
}


@frozen
class Section:
    """A section while it is read: its options, and where to complain."""

    key: str
    options: Mapping
    file: str
    problems: Problems
    naming: Naming = ELEMENTS

    def check_options(self, known: dict[str, str], outside: dict[str, str]) -> None:
        """Complain about options that the section does not have, and about values of the wrong type.

        Parameters
        ----------
        known : dict
            Option → type.
        outside : dict
            Keys that belong at the left margin.
        """
        for option, value in self.options.entries:
            if option.text not in known:
                outer = "; it belongs at the left margin, outside of sections" if option.text in outside else ""
                hint = outer or did_you_mean(option.text, known)
                self.problems.error(option.line, option.column, self.key, f"unknown option {option.text!r}{hint}")
                continue
            self.check_value(option, value, known[option.text], f"{self.key}.{option.text}")

    def check_value(self, option: Scalar, value: Node, expected: str, where: str) -> None:
        """Complain about the value of an option that is of the wrong type, or that it cannot have."""
        good, declared = self.check(value, expected, where), schema.OPTIONS.get(option.text)
        wrong = declared.problem(value.text) if good and declared and isinstance(value, Scalar) else ""
        if wrong:
            self.problems.error(value.line, value.column, where, wrong)

    def check(self, node: Node, expected: str, where: str) -> bool:
        """Complain about a node of the wrong type; return whether it is right."""
        if expected == "any" or any(node.kind in _TYPES[one] for one in expected.split("|")):
            return True
        needed = " or ".join(_TYPE_NAMES[one] for one in expected.split("|"))
        self.problems.error(node.line, node.column, where, f"must be {needed}")
        return False

    def complain(self, option: str, message: str) -> None:
        """Note an error at an option."""
        key = self.options.key(option)
        self.problems.error(key.line, key.column, f"{self.key}.{option}", message)

    def flag(self, option: str) -> bool:
        """Return a boolean option, false when absent."""
        node = self.options.get(option)
        return isinstance(node, Scalar) and node.kind == "bool" and node.truth

    def text(self, option: str, default: str) -> str:
        """Return a text option."""
        node = self.options.get(option)
        return node.text if isinstance(node, Scalar) and node.kind in _TYPES["str"] else default

    def number(self, option: str, default: float | None) -> float | None:
        """Return a number option."""
        node = self.options.get(option)
        return float(node.text) if isinstance(node, Scalar) and node.kind in _TYPES["number"] else default

    def lists(self, option: str, word: str) -> bool:
        """Tell whether an option is a list with a word in it."""
        node = self.options.get(option)
        return isinstance(node, Listing) and any(isinstance(one, Scalar) and one.text == word for one in node.items)

    def is_unknown(self, option: str) -> bool:
        """Tell whether an option holds a variable without a value."""
        node = self.options.get(option)
        return isinstance(node, Scalar) and node.unknown

    def label(self, line: int) -> str:
        """Return the place of a rule for the audit."""
        return f"{self.file}:{line}"

    def regex(self, node: Node, text: str, where: str) -> Pattern | None:
        """Compile a pattern, or complain."""
        try:
            return compile_pattern(text)
        except BadName as error:
            self.problems.error(node.line, node.column, where, str(error))
            return None
