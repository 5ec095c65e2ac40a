"""Text → a template filled from its own parts and from other fields."""

from __future__ import annotations

import re

from fw_gear_deid.actions.spec import Given, Spec
from fw_gear_deid.model.action import Action, At, Gone, Texts
from fw_gear_deid.model.errors import Unfit
from fw_gear_deid.model.frozen import frozen
from fw_gear_deid.model.patterns import Pattern

VARIABLE = re.compile(r"\{([^{}]+)\}")


@frozen
class Substitution:
    """One ``{input-regex, output, groups}``.

    Attributes
    ----------
    pattern : Pattern
        Matched from the start of the value.
    output : str
        Template; ``{x}`` is a named capture or another field.
    groups : tuple of (str, Action)
        What to do with a capture, or with another field's value.
    """

    pattern: Pattern
    output: str
    groups: tuple[tuple[str, Action], ...] = ()

    def fill(self, text: str, at: At) -> str | None:
        """Return the filled template, or None when the pattern does not match."""
        match = self.pattern.match(text)
        if match is None:
            return None
        captures = match.groupdict()
        actions = dict(self.groups)

        def value(variable: re.Match[str]) -> str:
            name = variable.group(1)
            found = (captures[name] or "") if name in captures else at.read(name)
            action = actions.get(name)
            if action is None or not found:
                return found
            result = action((found,), at)
            return "" if isinstance(result, Gone) else ",".join(result)

        return VARIABLE.sub(value, self.output)


@frozen
class RegexSub:
    r"""``regex-sub``: the first substitution whose pattern matches is used; none is an error.

    Examples
    --------
    >>> sub = Substitution(re.compile(r"^PID-(?P<n>\d+)$"), "SUB-{n}")
    >>> RegexSub((sub,))(("PID-12345",), None)
    ('SUB-12345',)
    """

    substitutions: tuple[Substitution, ...]
    key: str = "regex-sub"

    def __call__(self, texts: Texts, at: At) -> Texts:
        """Return the filled template as one value.

        Raises
        ------
        Unfit
            No pattern matches.
        """
        text = ",".join(texts)
        for substitution in self.substitutions:
            filled = substitution.fill(text, at)
            if filled is not None:
                return (filled,)
        raise Unfit("no input-regex of regex-sub matches the value; a last one, '.*', would take what is left")


def _build(given: Given) -> RegexSub | None:
    templates = given.templates()
    return None if templates is None else RegexSub(tuple(Substitution(*template) for template in templates))


SPEC = Spec(
    key="regex-sub",
    does="fills the `output` of the first `input-regex` that matches, from its captures and other fields",
    build=_build,
    alone=False,
    early=True,
)
