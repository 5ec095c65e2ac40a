"""Text → a template filled from its own parts and from other fields."""

from __future__ import annotations

import re

from fw_gear_deid.actions import unreadable
from fw_gear_deid.actions.spec import Given, Spec
from fw_gear_deid.actions.unreadable import REFUSE, instead
from fw_gear_deid.model.action import Action, At, Gone, Result, Texts
from fw_gear_deid.model.dictionary import BINARY_VRS
from fw_gear_deid.model.errors import Unreadable
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
    unreadable: str = REFUSE

    def __call__(self, texts: Texts, at: At) -> Result:
        """Return the filled template as one value.

        Raises
        ------
        Unreadable
            No pattern matches, or a part of it cannot be read, and ``on-unreadable`` does not say what then.
        """
        try:
            return (self._filled(",".join(texts), at),)
        except Unreadable as error:
            return instead(self.unreadable, error)

    def _filled(self, text: str, at: At) -> str:
        for substitution in self.substitutions:
            filled = substitution.fill(text, at)
            if filled is not None:
                return filled
        raise Unreadable("no input-regex of regex-sub matches the value; a last one, '.*', would take what is left")


def _build(given: Given) -> RegexSub | None:
    templates, way = given.templates(), unreadable.way(given)
    if templates is None or way is None:
        return None
    return RegexSub(tuple(Substitution(*template) for template in templates), unreadable=way)


def _wide(given: Given, action: Action, vr: str) -> Action | str:
    """Return what fills a template from all values of a VR: it makes text."""
    holds = vr == "UN" or (vr != "SQ" and vr not in BINARY_VRS)
    return action if holds else f"VR {vr} cannot hold what {action.key} makes"


SPEC = Spec(
    key="regex-sub",
    does="fills the `output` of the first `input-regex` that matches, from its captures and other fields",
    build=_build,
    options={unreadable.KEY: unreadable.OPTION},
    alone=False,
    wide=_wide,
    early=True,
)
