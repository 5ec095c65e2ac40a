"""Profile text with ``{{ variables }}`` → nodes with tokens in their place."""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_right
from dataclasses import replace
from functools import lru_cache

from fw_gear_deid.model.action import Action, At, Result, Texts
from fw_gear_deid.model.errors import Unfit
from fw_gear_deid.model.frozen import frozen
from fw_gear_deid.model.locks import SECRET, is_key
from fw_gear_deid.profile.language import schema
from fw_gear_deid.profile.text.nodes import BREAK, Listing, Mapping, Node, Scalar, read, spans
from fw_gear_deid.profile.text.problems import Problem, Problems
from fw_gear_deid.profile.text.wrapped import unwrap

PSEUDONYMS = ("subject.pseudonym", "session.pseudonym")
"""Variables that need no mapping: who takes a page hands their texts in."""
_BRACES = re.compile(r"\{\{([^{}\n]*)\}\}")
_NAME = re.compile(r"[^\W\d][\w.-]*")
_UNSEEN = ("Cc", "Cf", "Zl", "Zp", "Zs")  # controls, formats, separators
_HIGH, _LOW = 0xF0000, 0x8000  # indexes are written as two private-use characters of plane 15


@frozen
class Spot:
    """One ``{{ name }}`` in a profile.

    Attributes
    ----------
    name : str
        Empty when what stands between the braces is no name.
    line, column : int
        Of the braces, from 1.
    spelled : str
        As written.
    """

    name: str
    line: int
    column: int
    spelled: str


@frozen
class Template:
    """A profile as nodes, its variables still open: tokens that no profile holds stand for them."""

    text: str
    file: str
    root: Node | None
    problems: tuple[Problem, ...]
    """Of the YAML."""
    spots: tuple[Spot, ...]
    token: re.Pattern[str]

    def spots_in(self, text: str) -> list[Spot]:
        """Return the variables in the text of a scalar."""
        return [self.spot(match) for match in self.token.finditer(text)]

    def spot(self, token: re.Match[str]) -> Spot:
        """Return what a token stands for."""
        return self.spots[(ord(token.group(1)) - _HIGH) * _LOW + ord(token.group(2)) - _HIGH]

    def spelled(self, text: str) -> str:
        """Return text as it stands in the profile."""
        return self.token.sub(lambda token: self.spot(token).spelled, text)


def read_template(text: str, file: str) -> Template:
    """Parse a profile, its variables replaced by tokens of the same length, which YAML takes for text.

    Parameters
    ----------
    text : str
    file : str
        Name to use in messages.
    """
    return replace(_template(_lifted(text)[0]), file=file)


def keys_in(text: str) -> dict[str, str]:
    """Return the keys that stand in a profile itself, by the variables that stand for them in its template."""
    return dict(_lifted(text)[1])


@lru_cache(maxsize=4)
def _lifted(text: str) -> tuple[str, tuple[tuple[str, str], ...]]:
    """Return a profile with variables in the place of its keys, and those: nothing that is made of it holds one."""
    if "secret-key" not in text:
        return text, ()
    # what is no variable stays what it is; each keeps its length
    plain = _BRACES.sub(lambda match: "x" * len(match.group()), text)
    found: list[tuple[str, str]] = []
    for number, (start, end, value) in reversed(list(enumerate(spans(plain, "secret-key"), 1))):
        if "{{" in text[start:end] or not value.strip():
            continue
        name = f"{SECRET}.{number}"
        rest = "\n" * plain.count("\n", start, end)
        text = f'{text[:start]}"{{{{ {name} }}}}"{rest}{text[end:]}'
        found.append((name, value))
    return text, tuple(found)


@lru_cache(maxsize=4)
def _template(text: str) -> Template:
    """Parse a profile that has no name yet; a run asks for its one profile again and again."""
    lower = text.lower()
    # two characters that are neither in the text nor written as an escape in it
    free = (code for code in range(0x100000, 0x10FFF0) if chr(code) not in text and f"{code:x}" not in lower)
    lead, tail = chr(next(free)), chr(next(free))
    starts = [0, *(match.end() for match in BREAK.finditer(text))]
    spots: list[Spot] = []

    def hide(match: re.Match[str]) -> str:
        inside, whole = match.group(1).strip(" \t"), match.group()
        if not any(char.isalpha() or char == "_" for char in inside):
            return whole  # such as a quantifier of a regular expression
        line = bisect_right(starts, match.start())
        column = match.start() - starts[line - 1] + 1
        high, low = divmod(len(spots), _LOW)
        spots.append(Spot(inside if _NAME.fullmatch(inside) else "", line, column, whole))
        return f"{lead}{chr(_HIGH + high)}{chr(_HIGH + low)}".ljust(len(whole), tail)

    problems = Problems()
    root = read(_BRACES.sub(hide, text), problems, schema.SECTION_OPTIONS)
    root = root and unwrap(root, problems)
    shown = tuple(replace(one, message=one.message.replace(repr(lead)[1:-1], "{")) for one in problems.all())
    return Template(text, "", root, shown, tuple(spots), re.compile(f"{lead}(.)(.){tail}*"))


def names(text: str) -> tuple[tuple[str, int, int], ...]:
    """Return the variables of a profile in file order: name, line and column. Comments do not count."""
    return names_in(read_template(text, ""))


def names_in(template: Template) -> tuple[tuple[str, int, int], ...]:
    """Return the variables of a template in file order: name, line and column."""
    scalars = [] if template.root is None else scalars_in(template.root)
    used = {spot for scalar in scalars for spot in template.spots_in(scalar.text)}
    named = (spot for spot in template.spots if spot in used and spot.name and not is_key(spot.name))
    return tuple((spot.name, spot.line, spot.column) for spot in named)


def scalars_in(node: Node) -> list[Scalar]:
    """Return the scalars of a node, keys included."""
    match node:
        case Scalar():
            return [node]
        case Listing():
            return [scalar for item in node.items for scalar in scalars_in(item)]
        case Mapping():
            return [scalar for key, value in node.entries for scalar in (key, *scalars_in(value))]


def is_blank(value: str) -> bool:
    """Tell whether nothing of a value can be seen."""
    return all(unicodedata.category(char) in _UNSEEN for char in value)


def spell(*listed: str) -> str:
    """Return names as variables: ``{{ a }}, {{ b }}``."""
    return ", ".join(f"{{{{ {name} }}}}" for name in listed)


@frozen
class Unresolved:
    """An action that depends on a variable without a value: the file or container is refused."""

    action: Action
    names: tuple[str, ...] = ()
    """The variables it depends on."""

    @property
    def key(self) -> str:
        """Return the key of the action."""
        return self.action.key

    def __call__(self, texts: Texts, at: At) -> Result:
        """Refuse.

        Raises
        ------
        Unfit
            Always.
        """
        raise Unfit(f"{spell(*self.names) or 'a variable of the profile'} has no value here")


def settle(action: Action, *nodes: Node) -> Action:
    """Return an action, or its refusal when it depends on a value that is not known.

    Parameters
    ----------
    action : Action
    *nodes : Node
        What it is made from: its entry, and options of its section.
    """
    scalars = [scalar for node in nodes for scalar in scalars_in(node) if scalar.unknown]
    names = tuple(dict.fromkeys(name for scalar in scalars for name in scalar.variables))
    return Unresolved(action, names) if scalars else action
